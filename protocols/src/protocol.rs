//! The contract between a protocol and whatever runs it.
//!
//! The runner calls [`Protocol::step`] with one [`Input`] at a time. The protocol changes its own
//! state and speaks through the verbs of [`Context`]; it returns nothing and never waits. Two rules
//! carry the weight:
//!
//! * **Durable first.** [`Context::send`] is held until everything appended before it is durable.
//!   A vote for oneself is a `send` to oneself and comes back as a [`Input::Message`], so there is
//!   no second path for it. [`Context::send_now`] is for messages that promise nothing about this
//!   replica's disk; each use says why.
//! * **Messages may be lost, doubled, delayed and reordered**, between any two replicas and even to
//!   oneself when the replica restarts. What must arrive is sent again by the protocol's timer.

use core::fmt::Debug;

use crate::command::Status;
use crate::types::{Payload, REPLICAS_MAX, ReplicaId, Replicas, Slot, Tag, Time};
use crate::wire::Wire;

/// What a replica is told when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Who this replica is.
    pub id: ReplicaId,
    /// The number of replicas in the group, `1..=REPLICAS_MAX`.
    pub replicas: usize,
    /// How many of them, the last ones, follow and have no vote; fewer than there are replicas. Zero for
    /// protocols without [`Protocol::OBSERVERS`].
    pub observers: usize,
    /// How many of them, the last ones, vote and execute nothing; fewer than half. Zero for protocols
    /// without [`Protocol::WITNESSES`].
    pub witnesses: usize,
    /// Batches in flight at most, at least 1.
    pub window: usize,
    /// Bytes of agreed batches that a replica keeps for those who lag behind.
    pub retain_bytes: u64,
    /// Records that the log takes before one of them is durable: few where each is a write of its own.
    pub log_records: usize,
    /// The protocol's own parameters, in the order of [`Protocol::PARAMETERS`].
    pub parameters: [u64; PARAMETERS_MAX],
    /// This replica had promised things and has lost them, with its disk or a part of it. Until it
    /// has learned from the others what it must have promised, it may not promise anything.
    pub lost: bool,
}

impl Config {
    /// How many replicas have a vote, the first ones.
    ///
    /// # Panics
    /// If nobody has one.
    #[must_use]
    pub const fn voters(&self) -> usize {
        assert!(self.observers < self.replicas, "somebody votes");
        self.replicas - self.observers
    }

    /// Entries that one who lags asks another replica for at once: more than are in flight, so that it comes
    /// closer while others go on, and no more than its log takes.
    #[must_use]
    pub fn page_slots(&self) -> usize {
        (2 * self.window).clamp(32, 256).min(self.log_records)
    }

    /// Whether this replica executes nothing, and so has no state.
    #[must_use]
    pub const fn is_witness(&self) -> bool {
        self.id.index() + self.witnesses >= self.replicas
    }
}

/// Parameters that a protocol has at most.
pub const PARAMETERS_MAX: usize = 9;

/// One knob of a protocol, as the workload file shows it.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The key in the workload file.
    pub name: &'static str,
    /// What the number counts.
    pub unit: Unit,
    /// The value when the file says nothing.
    pub default: Default,
    /// The smallest value allowed.
    pub minimum: u64,
    /// The largest value allowed.
    pub maximum: u64,
    /// One sentence for the reader of the workload file.
    pub doc: &'static str,
}

/// What a parameter counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Nanoseconds, written with a unit of time.
    Duration,
    /// A plain number.
    Count,
    /// 0 or 1, written as false or true.
    Flag,
    /// One of these words, by its place, each with its meaning.
    Choice(&'static [(&'static str, &'static str)]),
}

/// The value of a parameter that the file leaves out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Default {
    /// This value.
    Fixed(u64),
    /// More than half of the replicas.
    Majority,
}

/// Why a set of parameters makes no sense, for the reader of the workload file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The parameter at fault.
    pub parameter: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
    /// What to write instead.
    pub instead: &'static str,
}

/// Which operations a protocol can carry and what a repeated request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// A replicated state machine: every operation, and a repeated request is applied once.
    StateMachine,
    /// Registers: get, put and delete. A repeated write is another write, so a client must not
    /// repeat one whose outcome it does not know.
    Registers,
    /// Every operation, and several at once as a transaction. Each replica holds keys of its own. A
    /// repeated request is carried out again, so a client must not repeat one whose outcome it does
    /// not know.
    Transactions,
}

/// What clients may rely on, the strongest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consistency {
    /// All transactions in one order that agrees with real time (Papadimitriou 1979). Of those with one
    /// operation that is linearizability.
    StrictlySerializable,
    /// All operations in one order that agrees with real time (Herlihy and Wing 1990).
    Linearizable,
    /// All operations in one order that agrees with that of each client. Writes agree with real
    /// time, reads may be behind.
    Sequential,
    /// Reads return the last value written, or one that is being written (Lamport 1986).
    Regular,
    /// Reads return something that was written. Once writes end, all replicas come to hold the
    /// same.
    Eventual,
}

/// How gets come to a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reads {
    /// Among all other requests, as [`Input::Requests`].
    Ordered,
    /// By themselves, as [`Input::Reads`]. Clients ask whoever leads.
    OfLeader,
    /// By themselves, as [`Input::Reads`]. Clients are spread over all replicas.
    OfAny,
    /// As [`Self::OfAny`], and answers may be behind: each get says in
    /// [`expected`](crate::command::Command::expected) which version its client was told last, by
    /// whichever replica, and the answer must be of that or later.
    Behind,
}

/// What an administrator asks of a group. Every replica is told, for nobody outside knows who leads;
/// what is already so changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// This replica is to lead.
    Transfer(ReplicaId),
    /// It is to vote.
    Add(ReplicaId),
    /// It is to vote no more.
    Remove(ReplicaId),
}

/// One thing that happens to a replica.
#[derive(Clone, Copy, Debug)]
pub enum Input<M> {
    /// Recovery is over; timers may be set. The first input of every life of a replica.
    Started,
    /// A batch of client requests, at most one for each slot of [`Protocol::room`].
    Requests(Payload),
    /// A batch of gets, at most one for each of [`Protocol::reads_room`].
    Reads(Payload),
    /// A message from a replica, which may be this one.
    Message {
        /// Who sent it.
        from: ReplicaId,
        /// What it says.
        message: M,
        /// The bytes that travelled beside it.
        payload: Payload,
    },
    /// [`Protocol::deadline`] has come.
    Timeout,
    /// An administrator asks for something. Never where [`Protocol::CHANGES`] is false.
    Change(Change),
    /// The store now holds a snapshot of another replica: everything below `applied` is in it, or
    /// every register with the larger of both tags.
    Installed {
        /// Who sent it.
        from: ReplicaId,
        /// The first slot that the snapshot does not cover.
        applied: Slot,
    },
}

/// A replication protocol: one replica's state machine.
pub trait Protocol: Sized {
    /// The name in workload files.
    const NAME: &'static str;
    /// One sentence: what it is and what it promises.
    const SUMMARY: &'static str;
    /// The paper that it follows, as one cites it.
    const PAPER: &'static str;
    /// What may fail, and what it needs to go on.
    const FAULT_MODEL: &'static str;
    /// Its knobs, at most [`PARAMETERS_MAX`].
    const PARAMETERS: &'static [Parameter];
    /// What clients may ask of it.
    const SERVICE: Service;
    /// Whether a replica that has lost what it promised ([`Config::lost`]) can be made whole by the
    /// others, provided that none of them is lost at the same time and that whatever was agreed lies
    /// on the disk of one of them.
    const REPAIRS: bool;
    /// Whether it hands leadership over, and changes who votes, when an administrator asks
    /// ([`Input::Change`]). Whether it was done, [`Self::role`] and [`Self::voters`] tell.
    const CHANGES: bool = false;
    /// Replicas that it can use; a larger cluster runs it on so many.
    const REPLICAS_MAX: usize = REPLICAS_MAX;

    /// Whether it knows replicas that follow and have no vote ([`Config::observers`]).
    const OBSERVERS: bool = false;

    /// Whether it knows replicas that vote and execute nothing ([`Config::witnesses`]): they never call
    /// [`Context::commit`], and nobody sends them a snapshot or asks them for one.
    const WITNESSES: bool = false;

    /// What replicas say to each other, at most 64 bytes encoded. Command bytes travel beside it.
    type Message: Wire + Copy + Debug;
    /// One fact that must survive a crash: a promise, an accepted slot.
    type Record: Wire + Copy + Debug;

    /// Whether the parameters fit together for so many replicas.
    ///
    /// # Errors
    /// The rule that is broken.
    fn validate(replicas: usize, parameters: &[u64]) -> Result<(), Conflict>;

    /// What it promises with these parameters.
    fn consistency(_replicas: usize, _parameters: &[u64]) -> Consistency {
        Consistency::Linearizable
    }

    /// How gets come with these parameters.
    fn reads(_parameters: &[u64]) -> Reads {
        Reads::Ordered
    }

    /// A replica that remembers nothing.
    fn new(config: &Config) -> Self;

    /// Recovery: one record of an earlier life, in the order of appending. Only
    /// [`Context::commit`], [`Context::write_register`], [`Context::retain`] and
    /// [`Context::release`] may be used.
    fn replay<C: Context<Self>>(&mut self, record: Self::Record, payload: Payload, cx: &mut C);

    /// Handles one input.
    fn step<C: Context<Self>>(&mut self, input: Input<Self::Message>, cx: &mut C);

    /// When the next [`Input::Timeout`] is due.
    fn deadline(&self) -> Time;

    /// How many batches may be proposed now. With no room, requests gather into larger batches.
    fn room(&self) -> usize;

    /// How many batches of gets may come now, if they come by themselves. With no room they wait.
    fn reads_room(&self) -> usize {
        1
    }

    /// Appends again whatever an earlier record says that the store does not hold: the engine is
    /// about to take a snapshot and will drop all earlier records once it is on disk.
    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C);

    /// Asserts every invariant. Costly; the simulator calls it after each step.
    fn check(&self);

    /// Whether this replica has all that it ever promised: always, unless it was made as
    /// [`Config::lost`] and has not heard enough yet.
    fn is_whole(&self) -> bool {
        true
    }

    /// What this replica has voted on without knowing the outcome. Protocols that vote on what others
    /// decide (Two-Phase Commit) have such rounds.
    fn doubt(&self) -> Doubt {
        Doubt::default()
    }

    /// What this replica keeps for others. Protocols with hinted handoff (Dynamo) have such writes.
    fn hints(&self) -> Hints {
        Hints::default()
    }

    /// Who votes by the last configuration that is committed as far as this replica knows; `None` if
    /// that never changes.
    fn voters(&self) -> Option<Replicas> {
        None
    }

    /// What this replica is now, for people and for faults that aim at a role.
    fn role(&self) -> Role;
}

/// Rounds whose outcome a replica does, or did, not know after its vote. Its locks are held so long.
#[derive(Clone, Copy, Default, Debug)]
pub struct Doubt {
    /// Rounds in doubt now.
    pub open: usize,
    /// Rounds whose outcome came in this life.
    pub ended: u64,
    /// For how long those were in doubt in all: from the vote, or from a restart since.
    pub total_ns: u64,
    /// The longest of them.
    pub longest_ns: u64,
}

/// Writes that a replica took in the place of another, which was not there, until that one has them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Hints {
    /// Kept now.
    pub kept: usize,
    /// Taken in this life, or read back at its start.
    pub taken: u64,
    /// Handed off to whom they were meant for in this life, and dropped.
    pub handed_off: u64,
}

/// What a replica is in its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Takes requests and decides their order.
    Leader,
    /// Follows a leader, with a vote or without.
    Follower,
    /// Trying to become the leader.
    Candidate,
    /// The protocol has no roles: any replica takes requests.
    Peer,
}

/// A register as one replica holds it.
#[derive(Clone, Copy, Debug)]
pub struct Register<'a> {
    /// What orders its writes; [`Tag::ZERO`] when it was never written.
    pub tag: Tag,
    /// Whether the last write was a delete; `value` is then the tombstone's identity.
    pub deleted: bool,
    /// The value.
    pub value: &'a [u8],
}

/// What [`Context::serve`] answers leaves so long after [`Context::now`] at most, or not at all: a
/// process may stand still at any moment, and what it then says of its store is old.
pub const TURN_NS_MAX: u64 = 5_000_000;

/// What a protocol may do while it handles an input.
pub trait Context<P: Protocol> {
    /// The time of this turn, on this replica's clock.
    fn now(&self) -> Time;

    /// A random number of this replica's seeded stream.
    fn random(&mut self) -> u64;

    /// Appends a record and its payload to the log. It is durable some time later, in order.
    fn append(&mut self, record: P::Record, payload: Payload);

    /// Sends once everything appended so far is durable. `to` may be this replica.
    fn send(&mut self, to: ReplicaId, message: P::Message, payload: Payload);

    /// Sends at the end of this turn, whatever the disk does. Only for a message that promises
    /// nothing about this replica's disk.
    fn send_now(&mut self, to: ReplicaId, message: P::Message, payload: Payload);

    /// The batch is agreed for `slot` and all slots below were committed before: applies it, and
    /// answers the clients if `reply`. Nothing happens if the store has that slot from a snapshot.
    fn commit(&mut self, slot: Slot, batch: Payload, reply: bool);

    /// Answers a batch of gets from the store as it is now.
    fn serve(&mut self, gets: Payload);

    /// Tells the clients of this batch to ask `leader`, or any other replica if none is known.
    fn redirect(&mut self, batch: Payload, leader: Option<ReplicaId>);

    /// Keeps a payload beyond this step.
    fn retain(&mut self, payload: Payload);

    /// Gives back a payload that was retained or stored.
    fn release(&mut self, payload: Payload);

    /// Sends a snapshot of the store to a replica that is too far behind for the log.
    fn send_snapshot(&mut self, to: ReplicaId);

    /// The bytes of a payload: for protocols that must look into commands.
    fn bytes(&self, payload: Payload) -> &[u8];

    /// Copies bytes into the arena. The caller owns the payload and releases it.
    fn store(&mut self, bytes: &[u8]) -> Payload;

    /// Reads a register of this replica.
    fn register(&self, key: u64) -> Register<'_>;

    /// Writes a register of this replica, unless it already has a larger tag. `value` is part of a
    /// payload that is held.
    fn write_register(&mut self, key: u64, tag: Tag, deleted: bool, value: Payload);

    /// Answers one command of a client, for protocols whose coordinator computes the answers.
    /// `value` is part of a payload that is held.
    fn reply(&mut self, session: u64, sequence: u64, status: Status, tag: Tag, value: Payload);
}
