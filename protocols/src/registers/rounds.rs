//! Batches on their way: each asks all replicas something and gathers their answers, phase by phase.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use super::items::Answer;
use crate::protocol::{Context, Protocol};
use crate::types::{Payload, REPLICAS_MAX, ReplicaId, Replicas, Time};

/// Bits of a round's name that say where it lies.
const PLACE_BITS: u32 = 14;

/// Bits of a round's name that count the rounds of a life. When they wrap around, no answer to a
/// round of that name is on its way any more.
const COUNT_BITS: u32 = 34;

/// One batch, whose phases are `K`.
#[derive(Clone, Copy, Debug)]
pub struct Round<K> {
    /// What it is doing; `None` for a free place.
    pub phase: Option<K>,
    name: u64,
    /// The requests.
    pub batch: Payload,
    /// What the present phase asks: query items, or entries to write.
    pub question: Payload,
    /// Whom it concerns.
    pub participants: Replicas,
    /// Who has answered the present phase.
    pub answered: Replicas,
    /// Who has taken a write in the place of one of those.
    pub stand_ins: Replicas,
    /// Who was asked last to take it so.
    pub offered: Replicas,
    /// The answers to a query, by replica.
    pub answers: [Payload; REPLICAS_MAX],
    begun_at: Time,
    asked_at: Time,
}

impl<K> Round<K> {
    const FREE: Self = Self {
        phase: None,
        name: 0,
        batch: Payload::EMPTY,
        question: Payload::EMPTY,
        participants: Replicas::NONE,
        answered: Replicas::NONE,
        stand_ins: Replicas::NONE,
        offered: Replicas::NONE,
        answers: [Payload::EMPTY; REPLICAS_MAX],
        begun_at: Time(0),
        asked_at: Time(0),
    };

    /// Its name, which no other round of its replica has.
    #[must_use]
    pub const fn name(&self) -> u64 {
        self.name
    }

    /// When it began.
    #[must_use]
    pub const fn begun_at(&self) -> Time {
        self.begun_at
    }

    /// Gives back the answers to a query.
    pub fn release_answers<P: Protocol>(&mut self, cx: &mut impl Context<P>) {
        for answer in &mut self.answers {
            cx.release(core::mem::take(answer));
        }
    }
}

/// All rounds of a replica.
#[derive(Debug)]
pub struct Rounds<K> {
    everyone: Replicas,
    places: Box<[Round<K>]>,
    begun: u64,
    open: usize,
    retry_ns: u64,
    retry_at: Time,
}

impl<K: Copy + PartialEq> Rounds<K> {
    /// So many places for rounds with all of the replicas.
    #[must_use]
    pub fn new(places: usize, replicas: usize, retry_ns: u64) -> Self {
        assert!(places <= 1 << PLACE_BITS);
        let places: Vec<Round<K>> = (0..places).map(|_| Round::FREE).collect();
        Self {
            everyone: Replicas::first(replicas),
            places: places.into_boxed_slice(),
            begun: 0,
            open: 0,
            retry_ns,
            retry_at: Time::NEVER,
        }
    }

    /// Places, free or not.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.places.len()
    }

    /// Rounds on their way.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// A free place, if there is one.
    #[must_use]
    pub fn free_place(&self) -> Option<usize> {
        self.places.iter().position(|round| round.phase.is_none())
    }

    /// The round in such a phase that asked first, if there is one.
    #[must_use]
    pub fn oldest(&self, is_such: impl Fn(K) -> bool) -> Option<usize> {
        let of_phase = |&place: &usize| self.places[place].phase.is_some_and(&is_such);
        (0..self.places.len()).filter(of_phase).min_by_key(|&place| self.places[place].asked_at)
    }

    /// Begins a round at a free place, under a name that no other round of this life has. The batch
    /// and the question are given back when it is closed.
    pub fn begin(
        &mut self,
        place: usize,
        life: u16,
        phase: K,
        batch: Payload,
        question: Payload,
        begun_at: Time,
    ) {
        assert!(self.places[place].phase.is_none());
        self.begun = (self.begun + 1) & ((1 << COUNT_BITS) - 1);
        let name = u64::from(life) << 48 | self.begun << PLACE_BITS | place as u64;
        let participants = self.everyone;
        let phase = Some(phase);
        self.places[place] =
            Round { phase, name, batch, question, participants, begun_at, ..Round::FREE };
        self.open += 1;
    }

    /// The round with this name, if it is in such a phase and `from` has not answered yet; it has
    /// then.
    pub fn answered(
        &mut self,
        name: u64,
        from: ReplicaId,
        is_awaited: impl FnOnce(K) -> bool,
    ) -> Option<usize> {
        let place = self.place_of(name)?;
        let round = &mut self.places[place];
        let awaits = round.phase.is_some_and(is_awaited) && round.participants.contains(from);
        (awaits && round.answered.insert(from)).then_some(place)
    }

    /// Asks whoever has not answered the present phase of a round; everybody, if all have, and that was
    /// not enough.
    pub fn ask<P: Protocol>(
        &mut self,
        place: usize,
        message: impl FnOnce(K, u64) -> P::Message,
        cx: &mut impl Context<P>,
    ) {
        let round = &mut self.places[place];
        round.asked_at = cx.now();
        let phase = round.phase.expect("only rounds on their way ask");
        let message = message(phase, round.name);
        let silent = round.participants.without(round.answered);
        let asked = if silent.is_empty() { round.participants } else { silent };
        for to in asked.iter() {
            // A question promises nothing: what this replica stores, it stores when it asks
            // itself, and its tags are unique because its life was durable first.
            cx.send_now(to, message, round.question);
        }
        self.wake_by(cx.now() + self.retry_ns);
    }

    /// Rounds are looked at again at this moment or earlier.
    pub fn wake_by(&mut self, at: Time) {
        self.retry_at = self.retry_at.min(at);
    }

    /// When rounds are to be looked at again.
    #[must_use]
    pub const fn retry_at(&self) -> Time {
        self.retry_at
    }

    /// Rounds are being looked at: next in a while, if there are any.
    pub fn rest(&mut self, now: Time) {
        self.retry_at = if self.open == 0 { Time::NEVER } else { now + self.retry_ns };
    }

    /// The place of the round with this name, if it is on its way.
    #[must_use]
    pub fn place_of(&self, name: u64) -> Option<usize> {
        let place = usize::try_from(name & ((1 << PLACE_BITS) - 1)).expect("14 bits");
        let round = self.places.get(place)?;
        (round.name == name && round.phase.is_some()).then_some(place)
    }

    /// What a round is doing that was asked so long ago that it should be asked again.
    #[must_use]
    pub fn overdue(&self, place: usize, now: Time) -> Option<K> {
        let round = &self.places[place];
        round.phase.filter(|_| now.since(round.asked_at) >= self.retry_ns)
    }

    /// Ends a round.
    pub fn close<P: Protocol>(&mut self, place: usize, cx: &mut impl Context<P>) {
        let round = core::mem::replace(&mut self.places[place], Round::FREE);
        assert!(round.phase.is_some());
        cx.release(round.batch);
        cx.release(round.question);
        self.open -= 1;
    }

    /// Asserts that what is counted is so.
    pub fn check(&self) {
        assert_eq!(self.iter().count(), self.open);
    }

    /// The rounds on their way, each with what it is doing.
    pub fn iter(&self) -> impl Iterator<Item = (K, &Round<K>)> {
        self.places.iter().filter_map(|round| round.phase.map(|phase| (phase, round)))
    }
}

impl<K> Index<usize> for Rounds<K> {
    type Output = Round<K>;

    fn index(&self, place: usize) -> &Round<K> {
        &self.places[place]
    }
}

impl<K> IndexMut<usize> for Rounds<K> {
    fn index_mut(&mut self, place: usize) -> &mut Round<K> {
        &mut self.places[place]
    }
}

/// A walk over all answers to a query at once, command by command.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    answered: Replicas,
    answers: [Payload; REPLICAS_MAX],
    /// Where the next item of each answer starts.
    at: [usize; REPLICAS_MAX],
}

impl Answers {
    /// Before the first command.
    #[must_use]
    pub const fn of<K>(round: &Round<K>) -> Self {
        Self { answered: round.answered, answers: round.answers, at: [0; REPLICAS_MAX] }
    }

    /// The newest answer for the next command, and who gave it. `wants_value` as it was asked.
    #[inline]
    pub fn newest<P: Protocol>(
        &mut self,
        wants_value: bool,
        cx: &impl Context<P>,
    ) -> (Answer, Replicas) {
        let mut newest: Option<Answer> = None;
        let mut holders = Replicas::NONE;
        for replica in self.answered.iter() {
            let (payload, at) = (self.answers[replica.index()], &mut self.at[replica.index()]);
            let (answer, next) = Answer::read(cx.bytes(payload), payload, *at, wants_value);
            *at = next;
            match &newest {
                Some(newest) if answer.tag < newest.tag => {}
                Some(newest) if answer.tag == newest.tag => drop(holders.insert(replica)),
                Some(_) | None => {
                    newest = Some(answer);
                    holders = Replicas::only(replica);
                }
            }
        }
        (newest.expect("a quorum has answered"), holders)
    }
}
