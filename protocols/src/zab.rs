//! Zab: atomic broadcast for a primary and its backups, as ZooKeeper uses it.
//!
//! Junqueira, Reed and Serafini, *Zab: High-performance broadcast for primary-backup systems* (DSN
//! 2011), whose phases and messages this file uses. Where the paper leaves the leader oracle open it
//! follows ZooKeeper's Fast Leader Election as Medeiros describes it (*ZooKeeper's atomic broadcast
//! protocol: Theory and practice*, 2012, section 4.1), whose words are `Notification`, round and vote.
//! `Ping` and `Diff` are ZooKeeper's words; the paper has no name for these.
//!
//! **Promises** linearizability of one replicated state machine where all operations are broadcast,
//! sequential consistency where gets are not ([`reads`]), and primary order: what one leader proposes
//! is delivered in the order in which it did, and after everything that leaders before it have
//! delivered. Progress while a majority can talk to each other and to the leader. **Assumes**
//! crash-recovery replicas whose disks keep what was synced, messages that may be lost, doubled and
//! reordered but not forged. No clock is trusted for safety.
//!
//! What the papers leave open, or get wrong, and what is done here:
//!
//! * *Zxids.* A transaction is one batch. Its zxid is the epoch and the slot; slots go on across epochs,
//!   which orders transactions as the paper's counters that begin anew in each epoch do.
//! * *Epochs.* A leader chooses the smallest epoch above all it hears of that is its own, `e mod N`,
//!   of N voters. No two leaders ever open the same, and none opens one twice: its own promise is on
//!   disk before it proposes the epoch to others. So a follower may promise the same epoch again.
//! * *Histories in messages.* `AckE` names the history (`current_epoch`, end) and `NewLeader` does not
//!   carry it either; who lacks something fetches it page by page ([`catch_up`](crate::catch_up)).
//! * *Channels.* The paper's are FIFO. Here a follower takes transactions in order, keeps what comes
//!   early and fetches what is missing, and its acknowledgements cover everything before.
//! * *Disks.* The record of the epoch, `NewLeader`, comes behind the history in one log, and `AckLd`
//!   waits for both (ZooKeeper wrote `currentEpoch` before the history: ZOOKEEPER-4643, and acknowledged
//!   before the disk had it: ZOOKEEPER-4646).
//! * *Who gets proposals.* Those who have acknowledged `NewLeader`: a follower that joins has the history
//!   up to some proposal then, and fetches the few that were made before its `AckLd` came.
//! * *A follower that has promised a later epoch* than the leader's cannot follow it. The leader steps
//!   down when it hears of that, and opens one above.
//! * *Observers.* The paper has none, ZooKeeper does: [`observers`].
//! * *Votes.* Of equal histories that of the smallest id wins, so that runs are alike.
//! * *Commits.* In the paper a message each: three for each transaction and follower. With
//!   `piggyback_commits` a commit rides on the next proposal and on pings, which makes two.
//! * A replica that has lost its disk cannot come back: the paper has no way.

mod broadcast;
mod discovery;
mod election;
mod observers;
mod reads;
mod replay;
mod synchronization;

use self::reads::Way;
use crate::acks::Acks;
use crate::catch_up::{CatchUp, Early};
use crate::log::{LOG_SLOTS, Log};
use crate::protocol::{
    Config, Conflict, Consistency, Context, Default as DefaultValue, Input, Parameter, Protocol,
    Reads, Role, Service, Unit,
};
use crate::reads::ReadQueue;
use crate::types::{Payload, REPLICAS_MAX, Reign, ReplicaId, Replicas, Slot, Time};
use crate::wire_enum;

wire_enum! {
    /// What replicas say to each other. A `zxid` is the slot of a transaction, or where a history ends.
    pub enum Message {
        /// Phase 0: whom the sender votes for, or whom it follows.
        Notification = 1 {
            /// The election that the sender is in, or was in last.
            round: u64,
            /// Who is voted for.
            leader: ReplicaId,
            /// The current epoch of that one.
            epoch: Reign,
            /// The end of its history.
            zxid: Slot,
            /// Whether the sender is still looking for a leader.
            looking: bool,
        },
        /// Phase 1: the sender follows, and has promised this epoch.
        CEpoch = 2 {
            /// The last epoch that it has accepted.
            accepted_epoch: Reign,
        },
        /// Phase 1: the leader proposes an epoch.
        NewEpoch = 3 {
            /// The epoch.
            epoch: Reign,
        },
        /// Phase 1: the epoch is promised; what the follower has.
        AckE = 4 {
            /// The epoch promised.
            epoch: Reign,
            /// The last epoch whose initial history it has.
            current_epoch: Reign,
            /// The end of its history.
            zxid: Slot,
            /// All slots below this one are committed, as far as it knows.
            committed: Slot,
        },
        /// Phase 2: the leader's history.
        NewLeader = 5 {
            /// The epoch.
            epoch: Reign,
            /// The end of the history.
            zxid: Slot,
            /// The epoch in which its last transaction was proposed.
            proposed_in: Reign,
        },
        /// Phase 2: the follower has that history.
        AckLd = 6 {
            /// The epoch.
            epoch: Reign,
            /// The end of its history.
            zxid: Slot,
        },
        /// Phase 2: a majority has it.
        CommitLd = 7 {
            /// The epoch.
            epoch: Reign,
            /// All slots below this one are committed.
            zxid: Slot,
        },
        /// Phase 3: the leader proposes; the batch travels beside it.
        Propose = 8 {
            /// The epoch.
            epoch: Reign,
            /// The slot of the transaction.
            zxid: Slot,
            /// All slots below this one are committed; slot 0 unless commits ride on proposals.
            committed: Slot,
        },
        /// Phase 3: the follower has the leader's history up to `zxid`.
        Ack = 9 {
            /// The epoch.
            epoch: Reign,
            /// The first slot that it does not have.
            zxid: Slot,
        },
        /// Phase 3: a majority has it.
        Commit = 10 {
            /// The epoch.
            epoch: Reign,
            /// All slots below this one are committed.
            zxid: Slot,
        },
        /// The leader lives.
        Ping = 11 {
            /// The epoch.
            epoch: Reign,
            /// All slots below this one are committed.
            zxid: Slot,
        },
        /// Asks for transactions of the epoch's history.
        Fetch = 12 {
            /// The epoch.
            epoch: Reign,
            /// The first slot wanted.
            zxid: Slot,
        },
        /// A transaction of the epoch's history; the batch travels beside it.
        Diff = 13 {
            /// The epoch.
            epoch: Reign,
            /// The slot of the transaction.
            zxid: Slot,
            /// The epoch in which it was proposed.
            proposed_in: Reign,
            /// All slots below this one are committed.
            committed: Slot,
        },
        /// Asks the leader how far its proposals go.
        Sync = 14 {
            /// The epoch.
            epoch: Reign,
            /// The number of the question.
            id: u64,
        },
        /// How far they went when it was asked.
        Synced = 15 {
            /// The epoch.
            epoch: Reign,
            /// The question.
            id: u64,
            /// The first slot that the leader had not proposed.
            zxid: Slot,
        },
        /// To an observer: a transaction that is committed; the batch travels beside it.
        Inform = 16 {
            /// The epoch.
            epoch: Reign,
            /// The slot of the transaction.
            zxid: Slot,
            /// The epoch in which it was proposed.
            proposed_in: Reign,
        },
    }
}

wire_enum! {
    /// What survives a crash.
    pub enum Record {
        /// `acceptedEpoch`: takes part in no earlier epoch.
        NewEpoch = 1 {
            /// The epoch.
            epoch: Reign,
        },
        /// A transaction, with its batch. What the history had from that slot on is cut off.
        Proposed = 2 {
            /// The epoch in which it was proposed.
            epoch: Reign,
            /// Its slot.
            zxid: Slot,
            /// What this replica had applied by then.
            applied: Slot,
        },
        /// `currentEpoch`: the history up to `zxid` is the one that the epoch began with, or more of
        /// that epoch's; what it had beyond is cut off.
        NewLeader = 3 {
            /// The epoch.
            epoch: Reign,
            /// The end of the history.
            zxid: Slot,
        },
        /// A snapshot of the own store, maybe not finished, holds everything below `applied`.
        Checkpoint = 4 {
            /// The last epoch that was accepted.
            accepted_epoch: Reign,
            /// The last epoch whose initial history was taken over.
            current_epoch: Reign,
            /// The first slot that is not in the snapshot.
            applied: Slot,
            /// The epoch in which the transaction before it was proposed.
            proposed_in: Reign,
        },
        /// The store came from another replica and holds everything below `applied`.
        Installed = 5 {
            /// The first slot that the store did not hold.
            applied: Slot,
        },
    }
}

/// What a replica is doing (section IV). A leader is in a phase until a majority has ended it, a
/// follower until it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Phase 0: it looks for a leader.
    Election,
    /// Phase 1: a leader and its followers agree on an epoch and on the best history.
    Discovery,
    /// Phase 2: the leader and its followers come to have that history.
    Synchronization,
    /// Phase 3: the leader proposes.
    Broadcast,
}

/// A vote: for the best history, then for the smallest id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Vote {
    leader: ReplicaId,
    epoch: Reign,
    zxid: Slot,
}

/// What an `AckE` says.
#[derive(Clone, Copy, Debug)]
struct History {
    current_epoch: Reign,
    zxid: Slot,
    committed: Slot,
}

/// Whose history is taken over, and how much of it.
#[derive(Clone, Copy, Debug)]
struct Source {
    from: ReplicaId,
    until: Slot,
}

/// One replica: looking, leading or following.
#[derive(Debug)]
pub struct Zab {
    id: ReplicaId,
    replicas: usize,
    /// The first so many have a vote; the others are observers.
    voters: usize,
    quorum: usize,
    window: usize,
    page_slots: usize,
    heartbeat_ns: u64,
    election_timeout_ns: u64,
    piggybacks_commits: bool,
    reads_way: Way,

    phase: Phase,
    /// Whom this replica follows; itself when it leads or is about to. None in an election.
    leader: Option<ReplicaId>,
    /// It takes part in no earlier epoch: the paper's `f.p`. Never decreases.
    accepted_epoch: Reign,
    /// The last epoch whose initial history it has: the paper's `f.a`.
    current_epoch: Reign,
    log: Log,
    /// All slots below this one are committed, as far as is known. Never decreases.
    committed: Slot,

    /// The election that this replica is in, or was in last.
    round: u64,
    /// Election: whom it votes for.
    vote: Vote,
    /// Election: what the others vote for, in the same round.
    votes: [Option<Vote>; REPLICAS_MAX],
    /// Election: when what a majority votes for counts, unless a better vote comes.
    decide_at: Time,

    /// Leader: its epoch, once it is chosen.
    epoch: Option<Reign>,
    /// Leader, phase 1: who follows, and the latest epoch that one of them has accepted.
    followers: Replicas,
    latest_accepted: Reign,
    /// Leader, phase 1: what the followers have.
    histories: [Option<History>; REPLICAS_MAX],
    /// Leader, phases 2 and 3: who has how much of the history.
    acks: Acks,
    /// Leader, phase 3: observers that have the epoch's history.
    observers: Replicas,
    /// Leader: who was heard since `resign_at` was set.
    heard: Replicas,
    /// Leader: when to step down unless a majority is heard.
    resign_at: Time,

    /// Whose history is being taken over.
    source: Option<Source>,
    /// How far the history is that of the epoch.
    catch_up: CatchUp,

    /// Gets that wait.
    reads: ReadQueue,

    /// When to repeat what was not answered, or as the leader to show that it lives.
    repeat_at: Time,
    /// When to look for another leader.
    suspect_at: Time,
    /// Elections since an epoch began.
    attempts: u32,
}

const HEARTBEAT: usize = 0;
const ELECTION_TIMEOUT: usize = 1;
const PIGGYBACK_COMMITS: usize = 2;
const READS: usize = 3;

impl Protocol for Zab {
    const NAME: &'static str = "zab";
    const SUMMARY: &'static str =
        "Zab, ZooKeeper's atomic broadcast: a leader per epoch, one replicated log, linearizable.";
    const PAPER: &'static str = "\
        Junqueira, Reed and Serafini, *Zab: High-performance broadcast for primary-backup \
        systems* (DSN 2011)";
    const FAULT_MODEL: &'static str = "crash-recovery; goes on while a majority of those that vote can talk to each other and to a leader";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "heartbeat",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(20_000_000),
            minimum: 1_000_000,
            maximum: 10_000_000_000,
            doc: "How often the leader pings its followers and repeats what was not answered.",
        },
        Parameter {
            name: "election_timeout",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(200_000_000),
            minimum: 3_000_000,
            maximum: 60_000_000_000,
            doc: "How long a follower waits for its leader: drawn anew between this and twice this, \
                  and longer with each election that leads to nothing.",
        },
        Parameter {
            name: "piggyback_commits",
            unit: Unit::Flag,
            default: DefaultValue::Fixed(0),
            minimum: 0,
            maximum: 1,
            doc: "Whether a commit rides on the next proposal; in the paper it is a message.",
        },
        Parameter {
            name: "reads",
            unit: Unit::Choice(Way::OPTIONS),
            default: DefaultValue::Fixed(0),
            minimum: 0,
            maximum: 2,
            doc: "How gets are answered.",
        },
    ];
    const SERVICE: Service = Service::StateMachine;
    const REPAIRS: bool = false;
    const OBSERVERS: bool = true;

    type Message = Message;
    type Record = Record;

    fn validate(_replicas: usize, parameters: &[u64]) -> Result<(), Conflict> {
        if parameters[ELECTION_TIMEOUT] <= 2 * parameters[HEARTBEAT] {
            return Err(Conflict {
                parameter: "election_timeout",
                rule: "must be more than twice the heartbeat, or live leaders are deposed",
                instead: "raise it, or lower heartbeat",
            });
        }
        Ok(())
    }

    fn consistency(_replicas: usize, parameters: &[u64]) -> Consistency {
        match Way::of(parameters[READS]) {
            Way::Log => Consistency::Linearizable,
            Way::Sync | Way::Local => Consistency::Sequential,
        }
    }

    fn reads(parameters: &[u64]) -> Reads {
        match Way::of(parameters[READS]) {
            Way::Log => Reads::Ordered,
            Way::Sync | Way::Local => Reads::Behind,
        }
    }

    fn new(config: &Config) -> Self {
        assert!(config.window * 4 <= LOG_SLOTS);
        assert!(!config.lost, "a replica that has lost its promises cannot come back");
        let voters = config.voters();
        Self {
            id: config.id,
            replicas: config.replicas,
            voters,
            quorum: voters / 2 + 1,
            window: config.window,
            page_slots: config.page_slots(),
            heartbeat_ns: config.parameters[HEARTBEAT],
            election_timeout_ns: config.parameters[ELECTION_TIMEOUT],
            piggybacks_commits: config.parameters[PIGGYBACK_COMMITS] != 0,
            reads_way: Way::of(config.parameters[READS]),
            phase: Phase::Election,
            leader: None,
            accepted_epoch: Reign::ZERO,
            current_epoch: Reign::ZERO,
            log: Log::new(config.retain_bytes),
            committed: Slot(0),
            round: 0,
            vote: Vote { leader: config.id, epoch: Reign::ZERO, zxid: Slot(0) },
            votes: [None; REPLICAS_MAX],
            decide_at: Time::NEVER,
            epoch: None,
            followers: Replicas::NONE,
            latest_accepted: Reign::ZERO,
            histories: [None; REPLICAS_MAX],
            acks: Acks::NONE,
            observers: Replicas::NONE,
            heard: Replicas::NONE,
            resign_at: Time::NEVER,
            source: None,
            catch_up: CatchUp::default(),
            reads: ReadQueue::new(config.window),
            repeat_at: Time::NEVER,
            suspect_at: Time::NEVER,
            attempts: 0,
        }
    }

    fn replay<C: Context<Self>>(&mut self, record: Record, payload: Payload, cx: &mut C) {
        self.replay_record(record, payload, cx);
    }

    fn step<C: Context<Self>>(&mut self, input: Input<Message>, cx: &mut C) {
        match input {
            Input::Started => self.on_started(cx),
            Input::Requests(batch) => self.on_requests(batch, cx),
            Input::Reads(gets) => self.on_reads(gets, cx),
            Input::Message { from, message, payload } => {
                self.on_message(from, message, payload, cx);
            }
            Input::Timeout => self.on_timeout(cx),
            Input::Installed { applied, .. } => self.on_installed(applied, cx),
            Input::Change(_) => unreachable!("nobody asks for what cannot be changed"),
        }
        if self.reads_way != Way::Log {
            self.serve_reads(cx);
        }
    }

    fn deadline(&self) -> Time {
        self.repeat_at.min(self.suspect_at).min(self.decide_at).min(self.reads_deadline())
    }

    fn room(&self) -> usize {
        // Who does not lead redirects, which takes no slot.
        if !self.leads() {
            return 1;
        }
        let in_flight = usize::try_from(self.log.end() - self.log.applied()).unwrap_or(usize::MAX);
        self.window.saturating_sub(in_flight).min(self.log.room())
    }

    fn reads_room(&self) -> usize {
        self.reads.room()
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        self.append_checkpoint(cx);
    }

    fn check(&self) {
        self.log.check();
        assert!(self.current_epoch <= self.accepted_epoch);
        assert!(self.log.last_reign() <= self.accepted_epoch);
        assert!(self.log.applied() <= self.committed);
        assert_eq!(self.leader.is_none(), self.phase == Phase::Election);
        assert_eq!(self.decide_at == Time::NEVER, !self.decides());
        let verified = self.catch_up.verified();
        assert!(verified <= self.log.end());
        assert!(self.committed.min(verified) <= self.log.applied());
        if self.phase == Phase::Broadcast {
            assert_eq!(self.current_epoch, self.accepted_epoch);
            assert_eq!(verified, self.log.end());
            assert!(self.source.is_none());
            assert_eq!(self.leader, Some(self.owner_of(self.current_epoch)));
        }
        let voters = Replicas::first(self.voters);
        assert!(self.acks.present().without(voters).is_empty(), "observers are not counted");
        assert!(self.followers.without(voters).is_empty());
        assert!(self.observers.iter().all(|observer| self.is_observer(observer)));
        if self.is_observer(self.id) {
            assert_ne!(self.leader, Some(self.id), "an observer does not lead");
        }
        if self.leads() {
            assert_eq!(self.epoch, Some(self.current_epoch));
            assert!(self.acks.furthest() <= self.log.end());
            assert!(self.committed <= self.log.end());
            assert!(self.acks.reached_by(self.quorum) <= self.committed);
        }
    }

    fn role(&self) -> Role {
        if self.leads() {
            Role::Leader
        } else if self.leader == Some(self.id) {
            Role::Candidate
        } else {
            Role::Follower
        }
    }
}

impl Zab {
    fn on_started<C: Context<Self>>(&mut self, cx: &mut C) {
        if self.reads_way == Way::Sync {
            self.reads.number_from(cx.random());
        }
        self.look(cx);
    }

    fn on_message<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        message: Message,
        batch: Payload,
        cx: &mut C,
    ) {
        match message {
            Message::Notification { round, leader, epoch, zxid, looking } => {
                let vote = Vote { leader, epoch, zxid };
                self.on_notification(from, round, vote, looking, cx);
            }
            Message::CEpoch { accepted_epoch } => self.on_c_epoch(from, accepted_epoch, cx),
            Message::NewEpoch { epoch } => self.on_new_epoch(from, epoch, cx),
            Message::AckE { epoch, current_epoch, zxid, committed } => {
                self.on_ack_e(from, epoch, History { current_epoch, zxid, committed }, cx);
            }
            Message::NewLeader { epoch, zxid, proposed_in } => {
                self.on_new_leader(from, epoch, zxid, proposed_in, cx);
            }
            Message::AckLd { epoch, zxid } => self.on_ack_ld(from, epoch, zxid, cx),
            Message::CommitLd { epoch, zxid } | Message::Commit { epoch, zxid } => {
                self.on_commit(from, epoch, zxid, cx);
            }
            Message::Propose { epoch, zxid, committed } => {
                self.on_propose(from, epoch, zxid, committed, batch, cx);
            }
            Message::Ack { epoch, zxid } => self.on_ack(from, epoch, zxid, cx),
            Message::Ping { epoch, zxid } => self.on_ping(from, epoch, zxid, cx),
            Message::Fetch { epoch, zxid } => self.on_fetch(from, epoch, zxid, cx),
            Message::Diff { epoch, zxid, proposed_in, committed } => {
                self.on_diff(from, epoch, zxid, proposed_in, committed, batch, cx);
            }
            Message::Sync { epoch, id } => self.on_sync(from, epoch, id, cx),
            Message::Synced { epoch, id, zxid } => self.on_synced(from, epoch, id, zxid),
            Message::Inform { epoch, zxid, proposed_in } => {
                self.on_inform(from, epoch, Early { slot: zxid, reign: proposed_in, batch }, cx);
            }
        }
    }

    fn on_timeout<C: Context<Self>>(&mut self, cx: &mut C) {
        let now = cx.now();
        if self.leads() {
            self.on_leader_timeout(cx);
        } else if now >= self.suspect_at {
            self.look(cx);
        } else if now >= self.decide_at {
            self.decide(cx);
        } else if now >= self.repeat_at {
            self.repeat(cx);
        }
    }

    /// Says again what was not answered.
    fn repeat<C: Context<Self>>(&mut self, cx: &mut C) {
        self.repeat_at = cx.now() + self.heartbeat_ns;
        match (self.phase, self.leader) {
            (Phase::Election, _) => self.notify_all(cx),
            (Phase::Discovery | Phase::Synchronization, Some(leader)) => {
                if let Some(source) = self.source {
                    self.fetch(source.from, cx);
                } else if leader == self.id {
                    self.repeat_to_followers(cx);
                } else {
                    self.send_c_epoch(cx);
                }
            }
            // Pings ask a follower whatever the leader wants to know.
            (Phase::Broadcast, _) | (_, None) => self.repeat_at = Time::NEVER,
        }
    }

    fn leads(&self) -> bool {
        self.phase == Phase::Broadcast && self.leader == Some(self.id)
    }

    /// Whose epoch it is.
    fn owner_of(&self, epoch: Reign) -> ReplicaId {
        let place = u8::try_from(epoch.0 % self.voters as u64).expect("replicas are few");
        ReplicaId(place)
    }

    /// All that have a vote.
    fn electorate(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        Replicas::first(self.voters).iter()
    }

    fn others(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        let id = self.id;
        Replicas::first(self.replicas).iter().filter(move |&replica| replica != id)
    }

    /// Waits for a sign of the leader: longer with each election that led to nothing.
    fn await_leader<C: Context<Self>>(&mut self, cx: &mut C) {
        let timeout_ns = self.election_timeout_ns << self.attempts.saturating_sub(1).min(4);
        let jitter_ns = cx.random() % timeout_ns;
        self.suspect_at = cx.now() + timeout_ns + jitter_ns;
    }

    /// Everything below `committed` is committed: applies it as far as the history is that of the
    /// epoch.
    fn advance<C: Context<Self>>(&mut self, committed: Slot, reply: bool, cx: &mut C) {
        self.committed = self.committed.max(committed);
        self.log.apply(self.committed.min(self.catch_up.verified()), reply, cx);
    }
}
