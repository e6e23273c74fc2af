//! Two-Phase Commit: transactions over keys that different replicas hold.
//!
//! Gray, *Notes on Data Base Operating Systems* (1978), section 5.8.3.3; the records and the recovery
//! are those of presumed abort: Mohan, Lindsay and Obermarck, *Transaction Management in the R\*
//! Distributed Database Management System* (TODS 1986), section 3. A transaction is one request, with
//! all that it reads, compares and writes (the minitransactions of Aguilera et al., *Sinfonia*, SOSP
//! 2007), so that it is executed by what the first phase says: `Prepare` carries it, and `Prepared`
//! what was read.
//!
//! **Promises** strict serializability of transactions: locks are held from the vote to the outcome,
//! and shared ones, too (two-phase locking). **Assumes** that each replica keeps what was synced. No
//! key is replicated: while a replica is down its keys are not available. What is worse, and the point
//! of the comparison: while the *coordinator* is down, those that have voted yes do not know the
//! outcome, and keep their locks.
//!
//! A resource manager votes no if a condition of a part does not hold, or if an addition would leave a
//! number below zero: a transfer between accounts is carried out as a whole or not at all.
//! A transaction that meets a lock is not carried out, and its client told that it may ask again. A
//! batch of requests is one round: one `Prepare` for each resource manager, one forced record for its
//! votes, and one for all decisions, but each transaction is decided by itself. The outcome is
//! acknowledged beside a later vote, and by a message only if it had to be told again. The managers'
//! records of outcomes and the coordinator's of what it may forget are never forced.

use alloc::vec::Vec;
use core::mem;

use crate::bytes::u64_at;
use crate::protocol::{
    Config, Conflict, Consistency, Context, Default as DefaultValue, Doubt, Input, Parameter,
    Protocol, Role, Service, Unit,
};
use crate::registers::rounds::Rounds;
use crate::transactions::Record;
use crate::transactions::answers::{concerned, refuse, reply};
use crate::transactions::items::intersect;
use crate::transactions::manager::Manager;
use crate::types::{Payload, ReplicaId, Replicas, Time};
use crate::wire_enum;

wire_enum! {
    /// What replicas say to each other.
    pub enum Message {
        /// Asks a resource manager to execute its parts of a batch, which is the payload, and to vote.
        Prepare = 1 {
            /// The coordinator's name for the batch.
            round: u64,
        },
        /// The votes, yes or no for each transaction, and what was read.
        Prepared = 2 {
            /// The round that is voted on.
            round: u64,
            /// Of the outcomes of rounds before this one the manager need not be told any more.
            finished_before: u64,
        },
        /// The transactions that the payload says commit, all others of the round abort.
        Commit = 3 {
            /// The round.
            round: u64,
        },
        /// All transactions of the round abort.
        Abort = 4 {
            /// The round.
            round: u64,
        },
        /// Asks for the outcome of a round.
        Inquire = 5 {
            /// The round.
            round: u64,
        },
        /// An outcome that was told again is durable.
        Acknowledge = 6 {
            /// The round.
            round: u64,
        },
        /// To oneself: the number of this life is durable.
        Ready = 7 {
            /// That number.
            life: u16,
        },
    }
}

/// What a round is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Resource managers vote.
    Voting,
    /// The decision is being written.
    Committing,
}

/// A round that committed, whose outcome not all resource managers have durably.
#[derive(Clone, Copy, Debug)]
struct Unfinished {
    round: u64,
    /// Those that may not have it.
    waiting: Replicas,
    /// Which of its transactions did.
    outcome: Payload,
    /// When they were told.
    told_at: Time,
}

/// One replica: a resource manager, and the coordinator of the transactions that it gets.
#[derive(Debug)]
pub struct TwoPhaseCommit {
    id: ReplicaId,
    replicas: usize,
    window: usize,
    retry_ns: u64,
    vote_timeout_ns: u64,
    /// The number of this life; durable once `ready`.
    life: u16,
    ready: bool,
    manager: Manager,
    rounds: Rounds<Phase>,
    unfinished: Vec<Unfinished>,
    /// When outcomes are to be told again.
    tell_at: Time,
    /// Rounds that are over, as words, which the log does not say yet.
    ended: Vec<u8>,
    scratch: Vec<u8>,
}

const RETRY: usize = 0;
const VOTE_TIMEOUT: usize = 1;

/// Rounds that managers may not have finished, for each one that may be on its way.
const UNFINISHED_PER_ROUND: usize = 4;

/// Room for what one round says of a batch, from the start.
const SCRATCH_BYTES: usize = 64 << 10;

impl Protocol for TwoPhaseCommit {
    const NAME: &'static str = "two_phase_commit";
    const SUMMARY: &'static str = "Two-Phase Commit (presumed abort): transactions over keys that \
                                   different replicas hold, strictly serializable, not replicated.";
    const PAPER: &'static str = "Gray, *Notes on Data Base Operating Systems* (1978); presumed abort: \
                                 Mohan, Lindsay and Obermarck (TODS 1986)";
    const FAULT_MODEL: &'static str =
        "crash-recovery; keys of a replica that is down, or that it has in doubt, wait for it";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "retry",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(50_000_000),
            minimum: 1_000_000,
            maximum: 10_000_000_000,
            doc: "After how long a replica asks or tells again.",
        },
        Parameter {
            name: "vote_timeout",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(200_000_000),
            minimum: 1_000_000,
            maximum: 60_000_000_000,
            doc: "After how long a coordinator that lacks a vote aborts.",
        },
    ];
    const SERVICE: Service = Service::Transactions;
    /// Nobody else has the keys of a replica.
    const REPAIRS: bool = false;

    type Message = Message;
    type Record = Record;

    fn validate(_replicas: usize, _parameters: &[u64]) -> Result<(), Conflict> {
        Ok(())
    }

    fn consistency(_replicas: usize, _parameters: &[u64]) -> Consistency {
        Consistency::StrictlySerializable
    }

    fn new(config: &Config) -> Self {
        let retry_ns = config.parameters[RETRY];
        Self {
            id: config.id,
            replicas: config.replicas,
            window: config.window,
            retry_ns,
            vote_timeout_ns: config.parameters[VOTE_TIMEOUT],
            life: 0,
            ready: false,
            manager: Manager::new(config, retry_ns),
            rounds: Rounds::new(config.window, config.replicas, retry_ns),
            unfinished: Vec::with_capacity((UNFINISHED_PER_ROUND + 1) * config.window),
            tell_at: Time::NEVER,
            ended: Vec::with_capacity(8 * (UNFINISHED_PER_ROUND + 1) * config.window),
            scratch: Vec::with_capacity(SCRATCH_BYTES),
        }
    }

    fn replay<C: Context<Self>>(&mut self, record: Record, payload: Payload, cx: &mut C) {
        match record {
            Record::Life { life } => self.life = self.life.max(life),
            Record::Committed { round, participants } => {
                if self.unfinished.iter().all(|it| it.round != round) {
                    cx.retain(payload);
                    let (waiting, outcome, told_at) = (participants, payload, Time(0));
                    self.unfinished.push(Unfinished { round, waiting, outcome, told_at });
                }
            }
            Record::Ended {} => {
                for at in (0..payload.bytes as usize).step_by(8) {
                    let round = u64_at(cx.bytes(payload), at);
                    if let Some(place) = self.unfinished.iter().position(|it| it.round == round) {
                        cx.release(self.unfinished.swap_remove(place).outcome);
                    }
                }
            }
            Record::Prepared { .. } | Record::Finished {} | Record::Heard { .. } => {
                self.manager.replay(record, payload, cx);
            }
            Record::Promised { .. } | Record::Accepted { .. } => {
                unreachable!("records of Paxos Commit");
            }
        }
    }

    fn step<C: Context<Self>>(&mut self, input: Input<Message>, cx: &mut C) {
        match input {
            Input::Started => {
                self.life = self.life.checked_add(1).expect("a replica restarts 65,535 times");
                cx.append(Record::Life { life: self.life }, Payload::EMPTY);
                cx.send(self.id, Message::Ready { life: self.life }, Payload::EMPTY);
                self.tell_at = Time(0);
                self.tell_again(cx);
            }
            Input::Requests(batch) => self.begin(batch, cx),
            Input::Reads(_) => unreachable!("gets come among all requests"),
            Input::Message { from, message, payload } => match message {
                Message::Prepare { round } => {
                    let vote = self.manager.prepare(from, round, payload, cx);
                    if !vote.is_empty() {
                        let finished_before = self.manager.finished_before(from);
                        cx.send(from, Message::Prepared { round, finished_before }, vote);
                    }
                    cx.release(vote);
                }
                Message::Prepared { round, finished_before } => {
                    self.on_prepared(from, round, finished_before, payload, cx);
                }
                Message::Commit { round } => self.on_commit(from, round, payload, cx),
                Message::Abort { round } => {
                    self.manager.finish(from, round, Payload::EMPTY, cx);
                }
                Message::Inquire { round } => self.on_inquire(from, round, cx),
                Message::Acknowledge { round } => self.on_finished(from, |it| it == round, cx),
                Message::Ready { life } => self.ready |= life == self.life,
            },
            Input::Timeout => {
                self.ask_again(cx);
                self.tell_again(cx);
                while let Some((coordinator, round)) = self.manager.overdue(cx.now()) {
                    // A question promises nothing.
                    cx.send_now(coordinator, Message::Inquire { round }, Payload::EMPTY);
                }
            }
            Input::Installed { .. } => {}
            Input::Change(_) => unreachable!("nobody asks for what cannot be changed"),
        }
    }

    fn deadline(&self) -> Time {
        self.rounds.retry_at().min(self.tell_at).min(self.manager.deadline())
    }

    fn room(&self) -> usize {
        let remembers_too_much = self.unfinished.len() >= UNFINISHED_PER_ROUND * self.window;
        if self.ready && !remembers_too_much { self.window - self.rounds.open() } else { 0 }
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        cx.append(Record::Life { life: self.life }, Payload::EMPTY);
        self.manager.checkpoint(cx);
        self.log_ended(cx);
        for &Unfinished { round, waiting, outcome, .. } in &self.unfinished {
            cx.append(Record::Committed { round, participants: waiting }, outcome);
        }
        for (phase, it) in self.rounds.iter() {
            if phase == Phase::Committing {
                let (round, participants) = (it.name(), it.participants);
                cx.append(Record::Committed { round, participants }, it.question);
            }
        }
    }

    fn check(&self) {
        self.manager.check();
        self.rounds.check();
        assert!(self.rounds.open() <= self.window);
        for (phase, round) in self.rounds.iter() {
            assert!(!round.participants.is_empty());
            match phase {
                Phase::Voting => assert_ne!(round.answered, round.participants),
                Phase::Committing => assert_eq!(round.answered, round.participants),
            }
        }
        assert!(self.unfinished.iter().all(|it| !it.waiting.is_empty()));
    }

    fn doubt(&self) -> Doubt {
        self.manager.doubt()
    }

    fn role(&self) -> Role {
        Role::Peer
    }
}

// The coordinator.
impl TwoPhaseCommit {
    /// The first phase: everybody that has a part in the batch executes it and votes.
    fn begin<C: Context<Self>>(&mut self, batch: Payload, cx: &mut C) {
        let place = self.rounds.free_place().expect("there is room");
        // Once as the requests, once as the question.
        cx.retain(batch);
        cx.retain(batch);
        self.rounds.begin(place, self.life, Phase::Voting, batch, batch, cx.now());
        self.rounds[place].participants = concerned(batch, self.replicas, cx);
        self.rounds.ask(place, |_, round| Message::Prepare { round }, cx);
    }

    fn on_prepared<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        round: u64,
        finished_before: u64,
        votes: Payload,
        cx: &mut C,
    ) {
        self.on_finished(from, |it| it < finished_before, cx);
        let place = self.rounds.answered(round, from, |phase| phase == Phase::Voting);
        let Some(place) = place else { return };
        cx.retain(votes);
        let round = &mut self.rounds[place];
        round.answers[from.index()] = votes;
        if round.answered == round.participants {
            self.decide(place, cx);
        }
    }

    /// All have voted: a transaction commits if all votes on it are yes.
    fn decide<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = &self.rounds[place];
        intersect(&round.answers, round.participants, &mut self.scratch, cx);
        if self.scratch.is_empty() {
            reply(&self.rounds[place], self.replicas, &mut self.scratch, cx);
            self.abort(place, cx);
            return;
        }
        let (name, participants) = (round.name(), round.participants);
        self.log_ended(cx);
        let outcome = cx.store(&self.scratch);
        cx.append(Record::Committed { round: name, participants }, outcome);
        let round = &mut self.rounds[place];
        cx.release(mem::replace(&mut round.question, outcome));
        round.phase = Some(Phase::Committing);
        for to in participants.iter().filter(|&to| to != self.id).chain([self.id]) {
            cx.send(to, Message::Commit { round: name }, outcome);
        }
    }

    /// Ends a round of which nothing commits. It is not written anywhere: whoever asks for the outcome
    /// of a round that is not known hears that it was aborted.
    fn abort<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = self.rounds[place].name();
        for to in self.rounds[place].participants.iter() {
            // A presumption needs no disk.
            cx.send_now(to, Message::Abort { round }, Payload::EMPTY);
        }
        self.rounds[place].release_answers(cx);
        self.rounds.close(place, cx);
    }

    /// The decision of a round is durable: the clients hear of it.
    fn on_decided<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        reply(&self.rounds[place], self.replicas, &mut self.scratch, cx);
        let it = &mut self.rounds[place];
        let (round, waiting, outcome, told_at) =
            (it.name(), it.participants, it.question, cx.now());
        cx.retain(outcome);
        self.unfinished.push(Unfinished { round, waiting, outcome, told_at });
        self.tell_at = self.tell_at.min(told_at + self.retry_ns);
        it.release_answers(cx);
        self.rounds.close(place, cx);
    }

    fn on_inquire<C: Context<Self>>(&mut self, from: ReplicaId, round: u64, cx: &mut C) {
        if let Some(it) = self.unfinished.iter().find(|it| it.round == round) {
            // It is durable.
            cx.send_now(from, Message::Commit { round }, it.outcome);
        } else if self.rounds.place_of(round).is_none() {
            // Nothing of it was ever decided, or all have heard of it.
            cx.send_now(from, Message::Abort { round }, Payload::EMPTY);
        }
    }

    /// A resource manager has the outcomes of some rounds durably.
    fn on_finished<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        is_finished: impl Fn(u64) -> bool,
        cx: &mut C,
    ) {
        let ended = &mut self.ended;
        self.unfinished.retain_mut(|it| {
            if is_finished(it.round) {
                it.waiting = it.waiting.without(Replicas::only(from));
            }
            if it.waiting.is_empty() {
                cx.release(it.outcome);
                ended.extend_from_slice(&it.round.to_le_bytes());
            }
            !it.waiting.is_empty()
        });
    }

    fn log_ended<C: Context<Self>>(&mut self, cx: &mut C) {
        if self.ended.is_empty() {
            return;
        }
        let ended = cx.store(&self.ended);
        self.ended.clear();
        cx.append(Record::Ended {}, ended);
        cx.release(ended);
    }

    fn ask_again<C: Context<Self>>(&mut self, cx: &mut C) {
        if cx.now() < self.rounds.retry_at() {
            return;
        }
        self.rounds.rest(cx.now());
        for place in 0..self.rounds.capacity() {
            if self.rounds.overdue(place, cx.now()) != Some(Phase::Voting) {
                continue;
            }
            if cx.now().since(self.rounds[place].begun_at()) < self.vote_timeout_ns {
                self.rounds.ask(place, |_, round| Message::Prepare { round }, cx);
                continue;
            }
            refuse(self.rounds[place].batch, cx);
            self.abort(place, cx);
        }
    }

    fn tell_again<C: Context<Self>>(&mut self, cx: &mut C) {
        let now = cx.now();
        if now < self.tell_at {
            return;
        }
        for it in &mut self.unfinished {
            if now.since(it.told_at) < self.retry_ns {
                continue;
            }
            it.told_at = now;
            for to in it.waiting.iter() {
                // It is durable.
                cx.send_now(to, Message::Commit { round: it.round }, it.outcome);
            }
        }
        let next = self.unfinished.iter().map(|it| it.told_at + self.retry_ns).min();
        self.tell_at = next.unwrap_or(Time::NEVER);
    }
}

// The resource manager, where it meets the coordinator.
impl TwoPhaseCommit {
    fn on_commit<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        round: u64,
        outcome: Payload,
        cx: &mut C,
    ) {
        let is_new = self.manager.finish(from, round, outcome, cx);
        let decided = if from == self.id { self.rounds.place_of(round) } else { None };
        if let Some(place) = decided {
            self.on_decided(place, cx);
        } else if !is_new {
            // It was told again, so the coordinator lacks the acknowledgement.
            self.manager.log_outcomes(cx);
            cx.send(from, Message::Acknowledge { round }, Payload::EMPTY);
        }
    }
}
