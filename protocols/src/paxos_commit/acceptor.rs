//! The acceptor: takes part in the instances of a round together, and forgets them when nobody needs them.

use super::{KEPT_PER_ROUND, Message, PaxosCommit};
use crate::protocol::Context;
use crate::transactions::Record;
use crate::transactions::items::intersect;
use crate::types::{Ballot, Payload, REPLICAS_MAX, ReplicaId, Replicas, Time};

/// All instances of one round, at one acceptor.
#[derive(Clone, Copy, Debug)]
pub struct Instances {
    /// Whose round it is.
    pub(super) leader: ReplicaId,
    /// The round.
    pub(super) round: u64,
    /// The acceptor takes part in no ballot below.
    pub(super) promised: Ballot,
    /// The ballot that it has accepted in last.
    pub(super) accepted: Option<Ballot>,
    /// What the values that it has accepted come to.
    pub(super) outcome: Payload,
    /// Before it accepts in ballot 0: who has voted, and how.
    voted: Replicas,
    votes: [Payload; REPLICAS_MAX],
    /// The resource managers, as far as it knows them, that may need the outcome.
    pub(super) waiting: Replicas,
    /// Whether the leader may need it, too.
    leader_waits: bool,
    /// When the acceptor heard of the round, or has asked whether it may forget it.
    asked_at: Time,
    /// How often it has asked.
    pub(super) questions: u32,
}

impl Instances {
    /// Free instances, whose resource managers may be these.
    pub(super) const fn new(leader: ReplicaId, round: u64, waiting: Replicas, at: Time) -> Self {
        Self {
            leader,
            round,
            promised: Ballot::ZERO,
            accepted: None,
            outcome: Payload::EMPTY,
            voted: Replicas::NONE,
            votes: [Payload::EMPTY; REPLICAS_MAX],
            waiting,
            leader_waits: true,
            asked_at: at,
            questions: 0,
        }
    }

    pub(super) fn check(&self) {
        assert!(self.accepted.is_none_or(|accepted| accepted <= self.promised));
        assert!(self.voted.is_empty() || self.is_forgettable(), "votes are kept until it accepts");
        assert!(self.accepted.is_some() || self.outcome.is_empty());
    }

    /// Whether nothing was promised or accepted, so that it might as well not have heard of the round.
    fn is_forgettable(&self) -> bool {
        self.promised == Ballot::ZERO && self.accepted.is_none()
    }

    fn drop_votes<C: Context<PaxosCommit>>(&mut self, cx: &mut C) {
        self.voted = Replicas::NONE;
        for vote in &mut self.votes {
            cx.release(core::mem::take(vote));
        }
    }

    /// Asks everyone who may need the outcome.
    fn ask<C: Context<PaxosCommit>>(&mut self, cx: &mut C) {
        (self.asked_at, self.questions) = (cx.now(), self.questions.saturating_add(1));
        let mut asked = self.waiting;
        if self.leader_waits {
            asked.insert(self.leader);
        }
        for to in asked.iter() {
            let (leader, round) = (self.leader, self.round);
            // A question promises nothing.
            cx.send_now(to, Message::Inquire { leader, round }, Payload::EMPTY);
        }
    }

    /// Gives back all that is held.
    fn release<C: Context<PaxosCommit>>(&mut self, cx: &mut C) {
        self.drop_votes(cx);
        cx.release(core::mem::take(&mut self.outcome));
    }
}

// The ballots.
impl PaxosCommit {
    pub(super) fn place_of(&self, leader: ReplicaId, round: u64) -> Option<usize> {
        self.instances.iter().position(|it| it.round == round && it.leader == leader)
    }

    /// The place of a round's instances, which are free if they are new.
    pub(super) fn find(
        &mut self,
        leader: ReplicaId,
        round: u64,
        managers: Replicas,
        at: Time,
    ) -> usize {
        self.place_of(leader, round).unwrap_or_else(|| {
            self.inquire_at = self.inquire_at.min(at + self.vote_timeout_ns);
            self.instances.push(Instances::new(leader, round, managers, at));
            self.instances.len() - 1
        })
    }

    /// Ballot 0: a vote. When all are there the acceptor accepts them.
    pub(super) fn on_prepared<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        leader: ReplicaId,
        round: u64,
        managers: Replicas,
        vote: Payload,
        cx: &mut C,
    ) {
        if leader == self.id {
            self.note_vote(from, round, vote, cx);
        }
        let place = self.find(leader, round, managers, cx.now());
        let it = &mut self.instances[place];
        if it.accepted == Some(Ballot::ZERO) {
            self.send_phase2b(place, leader, cx);
        }
        let it = &mut self.instances[place];
        if !it.is_forgettable() || !it.voted.insert(from) {
            return;
        }
        cx.retain(vote);
        it.votes[from.index()] = vote;
        if it.voted != managers {
            return;
        }
        intersect(&it.votes, managers, &mut self.scratch, cx);
        it.drop_votes(cx);
        let outcome = cx.store(&self.scratch);
        self.accept(place, Ballot::ZERO, outcome, cx);
        cx.release(outcome);
        if self.faster {
            managers.iter().filter(|&to| to != leader).for_each(|to| {
                self.send_phase2b(place, to, cx);
            });
        }
        self.send_phase2b(place, leader, cx);
        self.forget(leader, cx);
        self.ask_who_is_behind(leader, cx);
    }

    fn accept<C: Context<Self>>(
        &mut self,
        place: usize,
        ballot: Ballot,
        outcome: Payload,
        cx: &mut C,
    ) {
        let it = &mut self.instances[place];
        assert!(ballot >= it.promised);
        (it.promised, it.accepted) = (ballot, Some(ballot));
        cx.retain(outcome);
        cx.release(core::mem::replace(&mut it.outcome, outcome));
        self.log_accepted(place, cx);
    }

    fn send_phase2b<C: Context<Self>>(&self, place: usize, to: ReplicaId, cx: &mut C) {
        let Instances { leader, round, accepted, outcome, .. } = self.instances[place];
        let ballot = accepted.expect("it has accepted");
        cx.send(to, Message::Phase2b { leader, round, ballot }, outcome);
    }

    pub(super) fn on_phase1a<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        leader: ReplicaId,
        round: u64,
        ballot: Ballot,
        cx: &mut C,
    ) {
        let Some(place) = self.place_of_ballot(from, leader, round, ballot, cx) else { return };
        if from != self.id {
            self.postpone(leader, round, cx.now());
        }
        let it = &mut self.instances[place];
        if ballot > it.promised {
            it.promised = ballot;
            it.drop_votes(cx);
            let waiting = it.waiting;
            cx.append(Record::Promised { leader, round, ballot, waiting }, Payload::EMPTY);
        }
        let has_accepted = it.accepted.is_some();
        let accepted = it.accepted.unwrap_or(Ballot::ZERO);
        let promise = Message::Phase1b { leader, round, ballot, has_accepted, accepted };
        cx.send(from, promise, it.outcome);
    }

    pub(super) fn on_phase2a<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        leader: ReplicaId,
        round: u64,
        ballot: Ballot,
        outcome: Payload,
        cx: &mut C,
    ) {
        let Some(place) = self.place_of_ballot(from, leader, round, ballot, cx) else { return };
        self.instances[place].drop_votes(cx);
        if self.instances[place].accepted != Some(ballot) {
            self.accept(place, ballot, outcome, cx);
        }
        self.send_phase2b(place, from, cx);
    }

    /// The instances of a round, if nothing was promised that forbids this ballot of `from`.
    fn place_of_ballot<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        leader: ReplicaId,
        round: u64,
        ballot: Ballot,
        cx: &mut C,
    ) -> Option<usize> {
        let place = self.find(leader, round, Replicas::first(self.replicas), cx.now());
        let promised = self.instances[place].promised;
        if ballot < promised {
            // Promises nothing: it only tells what was promised.
            cx.send_now(from, Message::Reject { leader, round, promised }, Payload::EMPTY);
            return None;
        }
        Some(place)
    }
}

// What can be forgotten.
impl PaxosCommit {
    pub(super) fn note_bounds(
        &mut self,
        from: ReplicaId,
        leader: ReplicaId,
        closed_before: u64,
        finished_before: u64,
    ) {
        let closed = &mut self.closed_before[leader.index()];
        *closed = closed_before.max(*closed);
        let finished = &mut self.finished_before[leader.index()][from.index()];
        *finished = finished_before.max(*finished);
    }

    /// Forgets rounds of a leader that nobody needs any more: not even those that abort sooner, because
    /// one acceptor may have accepted in ballot 0 what was not chosen.
    pub(super) fn forget<C: Context<Self>>(&mut self, leader: ReplicaId, cx: &mut C) {
        let closed_before = self.closed_before[leader.index()];
        let finished_before = self.finished_before[leader.index()];
        self.instances.retain_mut(|it| {
            if it.leader != leader {
                return true;
            }
            let mut finished = Replicas::NONE;
            for manager in it.waiting.iter() {
                if it.round < finished_before[manager.index()] {
                    finished.insert(manager);
                }
            }
            it.waiting = it.waiting.without(finished);
            it.leader_waits &= it.round >= closed_before;
            let is_over = it.waiting.is_empty() && !it.leader_waits;
            if is_over {
                it.release(cx);
            }
            !is_over
        });
    }

    /// Asks at once where many rounds of a leader are kept: managers that have no part in later ones say
    /// nothing by themselves, and a leader that waited until all are asked would stand still.
    fn ask_who_is_behind<C: Context<Self>>(&mut self, leader: ReplicaId, cx: &mut C) {
        if self.remembers_too_much(leader) {
            let closed_before = self.closed_before[leader.index()];
            self.instances
                .iter_mut()
                .filter(|it| it.leader == leader && it.round < closed_before && it.questions == 0)
                .for_each(|it| it.ask(cx));
        }
    }

    /// Whether this acceptor keeps so many rounds of a leader about which it has asked nobody that there
    /// should be no more.
    pub(super) fn remembers_too_much(&self, leader: ReplicaId) -> bool {
        let kept = self.instances.iter().filter(|it| it.leader == leader && it.questions == 0);
        kept.count() >= KEPT_PER_ROUND * self.window
    }

    /// Asks who may need the outcomes that have been kept for long.
    pub(super) fn inquire<C: Context<Self>>(&mut self, cx: &mut C) {
        let now = cx.now();
        if now < self.inquire_at {
            return;
        }
        let patience_ns = self.vote_timeout_ns;
        self.instances.retain_mut(|it| {
            if now.since(it.asked_at) < patience_ns {
                return true;
            }
            if it.is_forgettable() {
                it.release(cx);
                return false;
            }
            it.ask(cx);
            true
        });
        let next = self.instances.iter().map(|it| it.asked_at + patience_ns).min();
        self.inquire_at = next.unwrap_or(Time::NEVER);
    }

    pub(super) fn on_finished<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        leader: ReplicaId,
        round: u64,
        cx: &mut C,
    ) {
        let Some(place) = self.place_of(leader, round) else { return };
        let it = &mut self.instances[place];
        it.waiting = it.waiting.without(Replicas::only(from));
        it.leader_waits &= from != leader;
        self.forget(leader, cx);
    }
}
