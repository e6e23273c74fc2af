//! Paxos Commit: transactions over keys that different replicas hold, whose outcome no failure of one
//! replica hides.
//!
//! Gray and Lamport, *Consensus on Transaction Commit* (TODS 2006), sections 4 and 5, whose words the
//! messages use. Each resource manager's vote is the value of an instance of Paxos of its own: the
//! vote itself is the instance's phase 2a message of ballot 0. A transaction commits if the instances
//! of all its managers choose *prepared*. The leader (the transaction manager) of a round is the
//! replica that got the client's batch; its acceptors are itself and the 2F replicas after it in the
//! ring. As in [Two-Phase Commit](crate::two_phase_commit) a batch is one round, and a transaction
//! one request with all that it reads, compares, adds and writes; votes are no for the same reasons.
//!
//! **Promises** strict serializability of transactions (two-phase locking, as there), and that nobody is
//! in doubt for long while at most F of a round's acceptors are down: whoever has voted and does not hear
//! the outcome takes the round over. **Assumes** that each replica keeps what was synced. No key is
//! replicated: while a replica is down its own keys are not available.
//!
//! Figure 4 counts N managers, the leader and the acceptors on their nodes: `N(F+3)-3` messages, or
//! `(N-1)(2F+3)` where acceptors tell the managers themselves (`faster`), and `N+F+1` forced writes.
//! All of that holds here. Its five delays begin with the message that asks the leader to commit and
//! end when the managers know: here they begin and end at the client, who hears of it when they do.
//! With `faster` the managers know after four, as there, and the client after five. With F = 0 it is
//! Two-Phase Commit.
//!
//! What the paper leaves open, and what is done here:
//!
//! * The instances of a round share their ballots. An acceptor waits for the votes of all managers before
//!   it accepts any, in one record, so that it has accepted in all instances of a ballot or in none, and
//!   keeps only what their values come to: which transactions commit. A ballot has one value in each
//!   instance, so that is one value, too. Whoever takes over thus finds all instances free, or none; free
//!   ones get *aborted*, which aborts all transactions of the batch ([`acceptor`], [`take_over`]).
//! * A manager votes once ([`vote`]). A no is forced as well, because a manager that forgot it could say
//!   yes in the same ballot; one that comes back with its vote, but not what it said, is silent.
//! * The client's answer needs what was read. It goes with the vote to the leader, which is one of the
//!   acceptors; the others get the bare vote. If others have taken the round over and the leader lacks a
//!   vote, its client hears nothing of a commit, as if the leader had crashed.
//! * Votes go to the first F+1 acceptors. When the leader lacks something it asks for the votes
//!   again, and they go to all; if that does not help either, it takes its round over itself
//!   ([`leader`]).
//! * The number of a ballot has that of the life of its owner, which is durable before the first, so that
//!   none is opened twice, and none is written down by who opens it. Each ballot of a take-over is given
//!   twice the time of the one before ([`take_over`]).
//! * Acceptors forget a round when its managers have the outcome durably, and its leader needs it no
//!   more. Both say so as a bound beside votes on later rounds; where no vote comes, acceptors ask,
//!   after a while or when they keep many.
//!   So they keep the rounds, also aborted ones, of a manager that is down; therefore a leader
//!   refuses at once what concerns a manager for which it keeps too many ([`leader`]).

pub mod acceptor;
pub mod leader;
pub mod learner;
mod recovery;
pub mod take_over;
pub mod vote;

use alloc::vec::Vec;

use self::acceptor::Instances;
use self::learner::Tally;
use self::take_over::TakeOver;
use crate::protocol::{
    Config, Conflict, Consistency, Context, Default as DefaultValue, Doubt, Input, Parameter,
    Protocol, Role, Service, Unit,
};
use crate::registers::rounds::Rounds;
use crate::transactions::Record;
use crate::transactions::manager::Manager;
use crate::types::{Ballot, Payload, REPLICAS_MAX, ReplicaId, Replicas, Time};
use crate::wire_enum;

wire_enum! {
    /// What replicas say to each other.
    pub enum Message {
        /// The leader asks a resource manager to execute its parts of a batch, which is the payload,
        /// and to vote.
        Prepare = 1 {
            /// The leader's name for the batch.
            round: u64,
            /// The leader's rounds before this one are over for itself.
            closed_before: u64,
        },
        /// 2a of ballot 0: a resource manager's vote, yes or no for each transaction. What was read goes
        /// to the leader only.
        Prepared = 2 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round that is voted on.
            round: u64,
            /// All resource managers of the round.
            managers: Replicas,
            /// As the leader said.
            closed_before: u64,
            /// The manager needs no outcome of the leader's rounds before this one.
            finished_before: u64,
        },
        /// 1a: asks an acceptor for its promise.
        Phase1a = 3 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
            /// The ballot of who takes over.
            ballot: Ballot,
        },
        /// 1b: the promise, with what was accepted.
        Phase1b = 4 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
            /// The ballot that is promised.
            ballot: Ballot,
            /// Whether anything was accepted.
            has_accepted: bool,
            /// In which ballot.
            accepted: Ballot,
        },
        /// 2a of a ballot above 0; which transactions are to commit is the payload.
        Phase2a = 5 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
            /// The ballot.
            ballot: Ballot,
        },
        /// 2b of all instances of a round: the acceptor has accepted what the payload says.
        Phase2b = 6 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
            /// The ballot.
            ballot: Ballot,
        },
        /// The transactions that the payload says commit, all others of the round abort.
        Commit = 7 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
        },
        /// All transactions of the round abort.
        Abort = 8 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
        },
        /// The acceptor has promised a higher ballot.
        Reject = 9 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
            /// That ballot.
            promised: Ballot,
        },
        /// An acceptor asks whether it may forget a round.
        Inquire = 10 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
        },
        /// It may, as far as the sender is concerned.
        Finished = 11 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
        },
        /// To oneself: the number of this life is durable.
        Ready = 12 {
            /// That number.
            life: u16,
        },
    }
}

/// One replica: a resource manager, the leader of the rounds that it begins, and an acceptor of those of
/// its neighbors.
#[derive(Debug)]
pub struct PaxosCommit {
    id: ReplicaId,
    replicas: usize,
    window: usize,
    vote_timeout_ns: u64,
    takeover_timeout_ns: u64,
    faults: usize,
    faster: bool,
    /// The number of this life; durable once `ready`.
    life: u16,
    ready: bool,
    /// The resource manager.
    manager: Manager,
    /// The rounds that this replica leads.
    rounds: Rounds<()>,
    /// What this replica knows as an acceptor.
    instances: Vec<Instances>,
    /// For each leader the first round that may not be over for itself.
    closed_before: [u64; REPLICAS_MAX],
    /// For each leader, and each manager, the first round whose outcome the manager may still need.
    finished_before: [[u64; REPLICAS_MAX]; REPLICAS_MAX],
    /// When this acceptor looks for what it may forget.
    inquire_at: Time,
    /// Who has accepted what, of the rounds whose outcome this replica waits for.
    tallies: Vec<Tally>,
    /// Rounds that this replica takes over.
    take_overs: Vec<TakeOver>,
    scratch: Vec<u8>,
}

const RETRY: usize = 0;
const VOTE_TIMEOUT: usize = 1;
const TAKEOVER_TIMEOUT: usize = 2;
const FAULTS: usize = 3;
const FASTER: usize = 4;

/// Rounds of its own that a leader may not have forgotten as an acceptor, for each one that may be on its
/// way. Those that it waits for in vain are not among them: see [`leader`].
const KEPT_PER_ROUND: usize = 4;

/// Room for what one round says of a batch, from the start.
const SCRATCH_BYTES: usize = 64 << 10;

impl Protocol for PaxosCommit {
    const NAME: &'static str = "paxos_commit";
    const SUMMARY: &'static str = "Paxos Commit: transactions over keys that different replicas hold, \
                                   strictly serializable, not replicated; their outcome survives \
                                   whoever coordinates them.";
    const PAPER: &'static str = "Gray and Lamport, *Consensus on Transaction Commit* (TODS 2006)";
    const FAULT_MODEL: &'static str = "crash-recovery; keys of a replica that is down wait for it, those \
                                       in doubt only for F + 1 acceptors of 2F + 1";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "retry",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(50_000_000),
            minimum: 1_000_000,
            maximum: 10_000_000_000,
            doc: "After how long a leader asks for votes again, then of all acceptors.",
        },
        Parameter {
            name: "vote_timeout",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(200_000_000),
            minimum: 1_000_000,
            maximum: 60_000_000_000,
            doc: "After how long a leader that lacks a vote has the round aborted.",
        },
        Parameter {
            name: "takeover_timeout",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(300_000_000),
            minimum: 1_000_000,
            maximum: 60_000_000_000,
            doc: "After how long, up to twice that, a resource manager in doubt takes the round over.",
        },
        Parameter {
            name: "faults",
            unit: Unit::Count,
            default: DefaultValue::Fixed(1),
            minimum: 0,
            maximum: 4,
            doc: "Acceptors of a round that may be down (F); there are 2F + 1.",
        },
        Parameter {
            name: "faster",
            unit: Unit::Flag,
            default: DefaultValue::Fixed(0),
            minimum: 0,
            maximum: 1,
            doc: "Whether acceptors tell all resource managers, and not only the leader.",
        },
    ];
    const SERVICE: Service = Service::Transactions;
    /// Nobody else has the keys of a replica.
    const REPAIRS: bool = false;

    type Message = Message;
    type Record = Record;

    fn validate(replicas: usize, parameters: &[u64]) -> Result<(), Conflict> {
        if 2 * parameters[FAULTS] < replicas as u64 {
            return Ok(());
        }
        Err(Conflict {
            parameter: "faults",
            rule: "the 2 `faults` + 1 acceptors of a round must be different replicas",
            instead: "write fewer `faults`, 0 for one replica or two, or take more replicas",
        })
    }

    fn consistency(_replicas: usize, _parameters: &[u64]) -> Consistency {
        Consistency::StrictlySerializable
    }

    fn new(config: &Config) -> Self {
        let takeover_timeout_ns = config.parameters[TAKEOVER_TIMEOUT];
        let rounds_max = config.replicas * config.window;
        Self {
            id: config.id,
            replicas: config.replicas,
            window: config.window,
            vote_timeout_ns: config.parameters[VOTE_TIMEOUT],
            takeover_timeout_ns,
            faults: usize::try_from(config.parameters[FAULTS]).expect("a few"),
            faster: config.parameters[FASTER] == 1,
            life: 0,
            ready: false,
            manager: Manager::new(config, takeover_timeout_ns),
            rounds: Rounds::new(config.window, config.replicas, config.parameters[RETRY]),
            instances: Vec::with_capacity((KEPT_PER_ROUND + 1) * rounds_max),
            closed_before: [0; REPLICAS_MAX],
            finished_before: [[0; REPLICAS_MAX]; REPLICAS_MAX],
            inquire_at: Time::NEVER,
            tallies: Vec::with_capacity(rounds_max),
            take_overs: Vec::new(),
            scratch: Vec::with_capacity(SCRATCH_BYTES),
        }
    }

    fn replay<C: Context<Self>>(&mut self, record: Record, payload: Payload, cx: &mut C) {
        self.replay_record(record, payload, cx);
    }

    fn step<C: Context<Self>>(&mut self, input: Input<Message>, cx: &mut C) {
        match input {
            Input::Started => {
                self.life = self.life.checked_add(1).expect("a replica restarts 65,535 times");
                cx.append(Record::Life { life: self.life }, Payload::EMPTY);
                cx.send(self.id, Message::Ready { life: self.life }, Payload::EMPTY);
            }
            Input::Requests(batch) => self.begin(batch, cx),
            Input::Reads(_) => unreachable!("gets come among all requests"),
            Input::Message { from, message, payload } => {
                self.on_message(from, message, payload, cx)
            }
            Input::Timeout => {
                self.ask_again(cx);
                self.inquire(cx);
                self.take_over_what_is_in_doubt(cx);
                self.open_ballots(cx);
            }
            Input::Installed { .. } => {}
            Input::Change(_) => unreachable!("nobody asks for what cannot be changed"),
        }
    }

    fn deadline(&self) -> Time {
        let take_over_at = self.take_overs.iter().map(|it| it.at).min().unwrap_or(Time::NEVER);
        let others = self.rounds.retry_at().min(self.manager.deadline()).min(self.inquire_at);
        others.min(take_over_at)
    }

    fn room(&self) -> usize {
        let may_begin = self.ready && !self.remembers_too_much(self.id);
        if may_begin { self.window - self.rounds.open() } else { 0 }
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        cx.append(Record::Life { life: self.life }, Payload::EMPTY);
        self.manager.checkpoint(cx);
        self.checkpoint_acceptor(cx);
    }

    fn check(&self) {
        self.manager.check();
        self.rounds.check();
        assert!(self.rounds.open() <= self.window);
        self.instances.iter().for_each(Instances::check);
        for Tally { leader, round, accepted, .. } in &self.tallies {
            assert!(self.needs(*leader, *round), "what is counted is needed");
            assert!(accepted.len() <= self.faults, "what is chosen is not counted any more");
        }
        assert!(self.take_overs.iter().all(|it| self.needs(it.leader, it.round)));
    }

    fn doubt(&self) -> Doubt {
        self.manager.doubt()
    }

    fn role(&self) -> Role {
        Role::Peer
    }
}

impl PaxosCommit {
    fn on_message<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        message: Message,
        payload: Payload,
        cx: &mut C,
    ) {
        match message {
            Message::Prepare { round, closed_before } => {
                self.on_prepare(from, round, closed_before, payload, cx);
            }
            Message::Prepared { leader, round, managers, closed_before, finished_before } => {
                self.note_bounds(from, leader, closed_before, finished_before);
                self.on_prepared(from, leader, round, managers, payload, cx);
            }
            Message::Phase1a { leader, round, ballot } => {
                self.on_phase1a(from, leader, round, ballot, cx);
            }
            Message::Phase1b { leader, round, ballot, has_accepted, accepted } => {
                let accepted = has_accepted.then_some(accepted);
                self.on_phase1b(from, leader, round, ballot, accepted, payload, cx);
            }
            Message::Phase2a { leader, round, ballot } => {
                self.on_phase2a(from, leader, round, ballot, payload, cx);
            }
            Message::Phase2b { leader, round, ballot } => {
                self.on_phase2b(from, leader, round, ballot, payload, cx);
            }
            Message::Commit { leader, round } => self.learn(leader, round, payload, cx),
            Message::Abort { leader, round } => self.learn(leader, round, Payload::EMPTY, cx),
            Message::Reject { leader, round, promised } => self.on_reject(leader, round, promised),
            Message::Inquire { leader, round } => self.on_inquire(from, leader, round, cx),
            Message::Finished { leader, round } => self.on_finished(from, leader, round, cx),
            Message::Ready { life } => self.ready |= life == self.life,
        }
    }

    /// The acceptors of a leader's rounds, itself first.
    fn acceptors(&self, leader: ReplicaId) -> impl Iterator<Item = ReplicaId> + use<> {
        let replicas = self.replicas;
        (0..=2 * self.faults).map(move |place| {
            let index = (leader.index() + place) % replicas;
            ReplicaId(u8::try_from(index).expect("replicas are few"))
        })
    }

    /// Acceptors that choose what they have accepted in one ballot, or promise one.
    const fn majority(&self) -> usize {
        self.faults + 1
    }
}
