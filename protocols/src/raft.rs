//! Raft: a log that only ever follows its leader's.
//!
//! Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm* (ATC 2014), whose
//! words the messages use, and Ongaro, *Consensus: Bridging Theory and Practice* (2014), where the
//! two differ.
//!
//! **Promises** linearizability of one replicated state machine; progress while a majority can talk
//! to a leader. **Assumes** crash-recovery replicas whose disks keep what was synced, messages that
//! may be lost, doubled and reordered but not forged. No clock is trusted for safety, but by gets under
//! a lease.
//!
//! What the papers leave open, and what is done here:
//!
//! * An entry is a batch. Slots count from 0, so where the paper names the entry before
//!   (`prevLogIndex`) a message names the slot after it.
//! * Entries are sent as soon as they are proposed, one to a message. After a loss the leader asks
//!   with one entry at a time until it knows where the logs agree ([`replication`]).
//! * A heartbeat is not an `AppendEntries` without entries: the answer to it says nothing about a
//!   disk, so it does not wait for one.
//! * `RequestVote` is sent again until it is answered; a batch that changes nothing begins each term.
//! * Whether a candidate first asks whether it could win (section 9.6 of the dissertation), and
//!   whether replicas stay with a leader that they hear and leaders resign that hear no majority
//!   (sections 4.2.3 and 6.2), are parameters ([`election`]).
//! * `InstallSnapshot` is the engine's way to send a store. It does not carry the term of the last
//!   entry: the leader's next message tells it, and until then the log stays as it was
//!   ([`recovery`]).
//! * A replica that lost its disk is part of the group again once it has an entry of a term that
//!   nobody had reached before it asked ([`repair`]).
//! * Gets go through the log, or are answered from the leader's store after a round of heartbeats or
//!   under a lease ([`reads`]).
//! * An administrator hands leadership over ([`transfer`]), and changes who votes, one server at a time
//!   ([`membership`]). All replicas are there from the start; those that do not vote are learners.

mod election;
mod membership;
mod reads;
mod recovery;
mod repair;
mod replication;
mod transfer;

use self::membership::{Configurations, Waiting, is_majority};
use self::reads::Way;
use self::transfer::Transfer;
use crate::log::{LOG_SLOTS, Log};
use crate::protocol::{
    Config, Conflict, Context, Default as DefaultValue, Input, Parameter, Protocol, Reads, Role,
    Service, Unit,
};
use crate::reads::{Lease, ReadQueue, lease_ns};
use crate::types::{Payload, REPLICAS_MAX, Reign as Term, ReplicaId, Replicas, Slot, Time};
use crate::wire_enum;

wire_enum! {
    /// What replicas say to each other.
    pub enum Message {
        /// Asks whether the sender would be elected.
        PreVote = 1 {
            /// The term that the sender would begin.
            term: Term,
            /// The end of its log.
            end: Slot,
            /// The term of its last entry.
            last_log_term: Term,
        },
        /// The answer.
        PreVoteReply = 2 {
            /// The term asked for if the answer is yes, otherwise the term of who answers.
            term: Term,
            /// Whether it would vote for the sender.
            vote_granted: bool,
        },
        /// Asks for a vote.
        RequestVote = 3 {
            /// The candidate's term.
            term: Term,
            /// The end of its log.
            end: Slot,
            /// The term of its last entry.
            last_log_term: Term,
            /// Whether the leader has asked it to stand, so that nobody is loyal to that leader.
            transferred: bool,
        },
        /// The answer.
        RequestVoteReply = 4 {
            /// The term of who answers.
            term: Term,
            /// Whether it votes for the candidate.
            vote_granted: bool,
        },
        /// Brings an entry, whose batch travels beside it, or only asks whether the logs agree.
        AppendEntries = 5 {
            /// The leader's term.
            term: Term,
            /// The entry's slot.
            slot: Slot,
            /// The term of the entry before `slot`.
            prev_log_term: Term,
            /// The entry's term; zero when there is no entry.
            entry_term: Term,
            /// All slots below this one are committed.
            leader_commit: Slot,
            /// Who votes by the entry before `slot`.
            prev_voters: Replicas,
            /// Who votes by the entry.
            voters: Replicas,
        },
        /// The answer.
        AppendEntriesReply = 6 {
            /// The term of who answers.
            term: Term,
            /// Whether the logs agree below the slot asked for.
            success: bool,
            /// The slot asked for.
            slot: Slot,
            /// After success: below this slot the follower holds what the leader does. Otherwise:
            /// where the follower would try next.
            next: Slot,
            /// Without success: the term of the follower's entries from `next` on, which the
            /// leader's logs contradicts; zero when the follower's log ends there.
            conflict_term: Term,
        },
        /// The leader lives.
        Heartbeat = 7 {
            /// The leader's term.
            term: Term,
            /// Slots that are committed and that the follower is known to hold.
            leader_commit: Slot,
            /// When it was sent, on the leader's clock.
            sent: u64,
            /// The batches of gets before this one wait for the answer.
            round: u64,
        },
        /// The follower lives.
        HeartbeatReply = 8 {
            /// The term of who answers.
            term: Term,
            /// When the heartbeat was sent.
            sent: u64,
            /// The round that the heartbeat named.
            round: u64,
        },
        /// A replica that has lost what it promised asks whether all others are there.
        Recovery = 9 {},
        /// One of them is.
        RecoveryResponse = 10 {
            /// Its term.
            term: Term,
        },
        /// The leader asks a follower that has all its entries to become the leader at once.
        TimeoutNow = 11 {
            /// The leader's term.
            term: Term,
        },
    }
}

wire_enum! {
    /// What survives a crash.
    pub enum Record {
        /// This replica takes part in no smaller term.
        Term = 1 {
            /// The term.
            term: Term,
        },
        /// A vote.
        Vote = 2 {
            /// The term voted in.
            term: Term,
            /// The candidate.
            candidate: ReplicaId,
        },
        /// An entry, with its batch. It takes the place of whatever the log held from its slot on.
        Entry = 3 {
            /// Its slot.
            slot: Slot,
            /// The term in which it was proposed.
            term: Term,
            /// What this replica had applied by then.
            applied: Slot,
            /// Who votes from this entry on.
            voters: Replicas,
        },
        /// A snapshot of the own store, maybe not finished, holds everything below `applied`.
        Checkpoint = 4 {
            /// The first slot that is not in the snapshot.
            applied: Slot,
            /// The term of the last entry in it.
            last_included_term: Term,
            /// Who votes by that entry.
            voters: Replicas,
        },
        /// The store came from another replica and holds everything below `applied`.
        Installed = 5 {
            /// The first slot that the store did not hold.
            applied: Slot,
            /// The term of the last entry in it.
            last_included_term: Term,
            /// Who votes by that entry.
            voters: Replicas,
        },
    }
}

/// What a leader knows about the log of another replica.
#[derive(Clone, Copy, Default, Debug)]
struct Follower {
    /// Everything below is on the follower's disk as it is in the leader's log. Never decreases in
    /// a term.
    matched: Slot,
    /// The slot of the next entry to send.
    next: Slot,
    /// Where to go on when nothing is answered: the last slot below which the logs seemed to agree.
    resume: Slot,
    /// Whether it is not known that the logs agree below `next`: nothing follows the entry that
    /// asks.
    probing: bool,
    /// Since when an acknowledgement is overdue, if any is.
    asked_at: Time,
}

/// What an `AppendEntries` says.
#[derive(Clone, Copy, Debug)]
struct Append {
    term: Term,
    slot: Slot,
    prev_log_term: Term,
    entry_term: Term,
    leader_commit: Slot,
    prev_voters: Replicas,
    voters: Replicas,
}

/// What a replica that has lost what it promised knows of the others.
#[derive(Clone, Copy, Default, Debug)]
struct Lost {
    /// Who has answered.
    answered: Replicas,
    /// The highest term of those.
    term: Term,
}

/// One server.
#[derive(Debug)]
pub struct Raft {
    id: ReplicaId,
    replicas: usize,
    window: usize,
    heartbeat_ns: u64,
    election_timeout_ns: u64,
    pre_vote: bool,
    check_quorum: bool,

    role: Role,
    /// The latest term seen. Never decreases.
    current_term: Term,
    /// Who got this replica's vote in the current term.
    voted_for: Option<ReplicaId>,
    /// Who leads in the current term, once known.
    leader: Option<ReplicaId>,
    /// What was applied is what is known to be committed: one follows the other at once.
    log: Log,
    /// Who votes, along the log.
    configurations: Configurations,
    /// The store holds everything below, which may be more than the log knows of.
    stored: Slot,

    /// Candidate: whether it still asks whether it would win.
    canvassing: bool,
    /// Candidate: whether the leader has asked it to stand.
    transferred: bool,
    /// Candidate: who has said yes.
    votes: Replicas,

    /// Leader: what it knows of each replica; of itself, what its disk holds.
    followers: [Follower; REPLICAS_MAX],
    /// Leader: who was heard since `resign_at` was set.
    heard: Replicas,
    /// Leader: when to resign unless a majority is heard.
    resign_at: Time,
    /// Leader: to whom it hands its leadership over.
    transfer: Option<Transfer>,
    /// Leader: the change of who votes that comes next.
    waiting: Option<Waiting>,

    /// Follower, candidate: when to become a candidate.
    election_at: Time,
    /// Until when a live leader makes this replica deaf to candidates.
    loyal_until: Time,
    /// Leader: when to send a heartbeat and to repeat what was not answered. Candidate: when to
    /// ask again. Who has lost its promises: when to repeat `Recovery`.
    repeat_at: Time,
    reads_way: Way,
    /// Leader: gets that wait to be answered from the store.
    reads: ReadQueue,
    /// Leader: the slot of the entry that began its term.
    term_start: Slot,
    /// Leader: until when nobody else can lead.
    lease: Lease,
    /// What is known of the others while this replica has not got back what it promised.
    lost: Option<Lost>,
}

const HEARTBEAT: usize = 0;
const ELECTION_TIMEOUT: usize = 1;
const PRE_VOTE: usize = 2;
const CHECK_QUORUM: usize = 3;
const READS: usize = 4;
const CLOCK_DRIFT: usize = 5;

impl Protocol for Raft {
    const NAME: &'static str = "raft";
    const SUMMARY: &'static str =
        "Raft: one replicated log that follows its leader's, linearizable.";
    const PAPER: &'static str =
        "Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm* (ATC 2014)";
    const FAULT_MODEL: &'static str =
        "crash-recovery; goes on while a majority can talk to a leader";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "heartbeat",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(20_000_000),
            minimum: 1_000_000,
            maximum: 10_000_000_000,
            doc: "How often the leader shows that it lives and repeats what was not answered.",
        },
        Parameter {
            name: "election_timeout",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(200_000_000),
            minimum: 3_000_000,
            maximum: 60_000_000_000,
            doc: "How long a follower waits for its leader: drawn anew between this and twice this.",
        },
        Parameter {
            name: "pre_vote",
            unit: Unit::Flag,
            default: DefaultValue::Fixed(1),
            minimum: 0,
            maximum: 1,
            doc: "Whether a candidate asks whether it would win before it begins a term.",
        },
        Parameter {
            name: "check_quorum",
            unit: Unit::Flag,
            default: DefaultValue::Fixed(1),
            minimum: 0,
            maximum: 1,
            doc: "Whether a leader resigns that hears no majority, and those who hear it ignore \
                  candidates.",
        },
        Parameter {
            name: "reads",
            unit: Unit::Choice(Way::OPTIONS),
            default: DefaultValue::Fixed(0),
            minimum: 0,
            maximum: 2,
            doc: "How gets are answered.",
        },
        Parameter {
            name: "clock_drift",
            unit: Unit::Count,
            default: DefaultValue::Fixed(1_000),
            minimum: 0,
            maximum: 100_000,
            doc: "For a lease: how much faster or slower than real time a clock may run, in parts \
                  of a million.",
        },
    ];
    const SERVICE: Service = Service::StateMachine;
    const REPAIRS: bool = true;
    const OBSERVERS: bool = true;
    const CHANGES: bool = true;

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
        if Way::of(parameters[READS]) != Way::Lease {
            return Ok(());
        }
        if parameters[CHECK_QUORUM] == 0 {
            return Err(Conflict {
                parameter: "reads",
                rule: "a lease needs check_quorum: without it a leader is deposed at any moment",
                instead: "set check_quorum to true, or reads to read_index",
            });
        }
        let lease_ns = lease_ns(parameters[ELECTION_TIMEOUT], parameters[CLOCK_DRIFT]);
        if lease_ns <= 2 * parameters[HEARTBEAT] {
            return Err(Conflict {
                parameter: "reads",
                rule: "a lease ends 5 ms and twice the clock drift before election_timeout, which \
                       must leave more than twice the heartbeat",
                instead: "raise election_timeout, or lower heartbeat or clock_drift",
            });
        }
        Ok(())
    }

    fn reads(parameters: &[u64]) -> Reads {
        match Way::of(parameters[READS]) {
            Way::Log => Reads::Ordered,
            Way::ReadIndex | Way::Lease => Reads::OfLeader,
        }
    }

    fn new(config: &Config) -> Self {
        assert!(config.window * 4 <= LOG_SLOTS);
        Self {
            id: config.id,
            replicas: config.replicas,
            window: config.window,
            heartbeat_ns: config.parameters[HEARTBEAT],
            election_timeout_ns: config.parameters[ELECTION_TIMEOUT],
            pre_vote: config.parameters[PRE_VOTE] != 0,
            check_quorum: config.parameters[CHECK_QUORUM] != 0,
            role: Role::Follower,
            current_term: Term::ZERO,
            voted_for: None,
            leader: None,
            log: Log::new(config.retain_bytes),
            configurations: Configurations::new(Replicas::first(config.voters())),
            stored: Slot(0),
            canvassing: false,
            transferred: false,
            votes: Replicas::NONE,
            followers: [Follower::default(); REPLICAS_MAX],
            heard: Replicas::NONE,
            resign_at: Time::NEVER,
            transfer: None,
            waiting: None,
            election_at: Time::NEVER,
            loyal_until: Time(0),
            repeat_at: Time::NEVER,
            reads_way: Way::of(config.parameters[READS]),
            reads: ReadQueue::new(config.window),
            term_start: Slot(0),
            lease: Lease::new(config.parameters[ELECTION_TIMEOUT], config.parameters[CLOCK_DRIFT]),
            lost: config.lost.then(Lost::default),
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
            Input::Change(change) => self.on_change(change, cx),
        }
        self.serve_reads(cx);
    }

    fn deadline(&self) -> Time {
        match self.role {
            Role::Leader => self.repeat_at,
            Role::Candidate => self.repeat_at.min(self.election_at),
            Role::Follower if self.lost.is_some() => self.repeat_at,
            Role::Follower | Role::Peer => self.election_at,
        }
    }

    fn room(&self) -> usize {
        // Who is not the leader redirects, which takes no slot.
        if self.role != Role::Leader {
            return 1;
        }
        if self.transfer.is_some() {
            return 0;
        }
        let in_flight = usize::try_from(self.log.end() - self.log.applied()).expect("a few");
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
        self.configurations.check();
        assert!(self.log.last_reign() <= self.current_term);
        assert!(self.stored >= self.log.applied());
        if self.role == Role::Candidate && !self.canvassing {
            assert_eq!(self.voted_for, Some(self.id));
        }
        if self.role != Role::Leader {
            return;
        }
        assert!(self.is_whole());
        assert_eq!(self.leader, Some(self.id));
        assert_eq!(self.voted_for, Some(self.id));
        self.check_changes();
        // Its own term begins with an entry of its own.
        assert_eq!(self.log.last_reign(), self.current_term);
        assert!(self.term_start < self.log.end());
        for follower in &self.followers[..self.replicas] {
            assert!(follower.matched <= self.log.end() && follower.next <= self.log.end());
            assert!(follower.resume <= follower.next || follower.probing);
        }
        // What is committed lies on the disks of a majority. What another leader committed was on
        // a majority before, but this one has not asked for it all.
        let committed = self.log.applied();
        if committed > Slot(0) && self.log.reign_before(committed) == Some(self.current_term) {
            let held = |id: &ReplicaId| self.followers[id.index()].matched >= committed;
            let mut holders = Replicas::NONE;
            Replicas::first(self.replicas).iter().filter(held).for_each(|id| {
                holders.insert(id);
            });
            // It may have been counted before the configuration in force was.
            let before = self.configurations.before(committed);
            assert!(self.is_quorum(holders) || is_majority(holders, before));
        }
    }

    fn is_whole(&self) -> bool {
        self.lost.is_none()
    }

    fn voters(&self) -> Option<Replicas> {
        Some(self.configurations.before(self.log.applied()))
    }

    fn role(&self) -> Role {
        self.role
    }
}

impl Raft {
    fn on_started<C: Context<Self>>(&mut self, cx: &mut C) {
        self.role = Role::Follower;
        self.stay_loyal(cx);
        self.set_election_timer(cx);
        if self.lost.is_some() {
            self.ask_again(cx);
            return;
        }
        // The first leader of a new group is always replica 0, so that runs are alike.
        if self.current_term == Term::ZERO && self.id == ReplicaId(0) {
            self.election_at = cx.now();
        }
    }

    fn on_message<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        message: Message,
        payload: Payload,
        cx: &mut C,
    ) {
        match message {
            Message::PreVote { term, end, last_log_term } => {
                self.on_pre_vote(from, term, (last_log_term, end), cx);
            }
            Message::PreVoteReply { term, vote_granted } => {
                self.on_pre_vote_reply(from, term, vote_granted, cx);
            }
            Message::RequestVote { term, end, last_log_term, transferred } => {
                self.on_request_vote(from, term, (last_log_term, end), transferred, cx);
            }
            Message::RequestVoteReply { term, vote_granted } => {
                self.on_request_vote_reply(from, term, vote_granted, cx);
            }
            Message::AppendEntries {
                term,
                slot,
                prev_log_term,
                entry_term,
                leader_commit,
                prev_voters,
                voters,
            } => {
                let append = Append {
                    term,
                    slot,
                    prev_log_term,
                    entry_term,
                    leader_commit,
                    prev_voters,
                    voters,
                };
                self.on_append_entries(from, append, payload, cx);
            }
            Message::AppendEntriesReply { term, success, slot, next, conflict_term } => {
                if self.hear_follower(from, term, cx) {
                    if success {
                        self.on_agreement(from, next, cx);
                    } else {
                        self.on_disagreement(from, slot, next, conflict_term, cx);
                    }
                }
            }
            Message::Heartbeat { term, leader_commit, sent, round } => {
                if self.on_heartbeat(from, term, leader_commit, cx) {
                    self.answer_heartbeat(from, sent, round, cx);
                }
            }
            Message::HeartbeatReply { term, sent, round } => {
                self.on_heartbeat_reply(from, term, sent, round, cx);
            }
            Message::Recovery {} => self.on_recovery(from, cx),
            Message::RecoveryResponse { term } => self.on_recovery_response(from, term, cx),
            Message::TimeoutNow { term } => self.on_timeout_now(term, cx),
        }
    }

    fn on_timeout<C: Context<Self>>(&mut self, cx: &mut C) {
        match self.role {
            Role::Leader => self.on_leader_timeout(cx),
            Role::Candidate if cx.now() < self.election_at => self.ask_for_votes(cx),
            Role::Follower if self.lost.is_some() => self.ask_again(cx),
            Role::Follower | Role::Candidate | Role::Peer => self.stand(cx),
        }
    }

    /// Every replica but this one.
    fn others(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        let id = self.id;
        Replicas::first(self.replicas).iter().filter(move |&replica| replica != id)
    }

    /// Takes part in a higher term, if this is one. Leadership and candidacy end there.
    fn enter<C: Context<Self>>(&mut self, term: Term, cx: &mut C) {
        if term <= self.current_term {
            return;
        }
        self.current_term = term;
        self.voted_for = None;
        cx.append(Record::Term { term }, Payload::EMPTY);
        // Whoever led may not any more. What a lease rests on lasts until it was promised to end.
        self.leader = None;
        if self.reads_way != Way::Lease || self.role == Role::Leader {
            self.loyal_until = Time(0);
        }
        self.become_follower(cx);
    }

    fn become_follower<C: Context<Self>>(&mut self, cx: &mut C) {
        if self.role != Role::Follower {
            self.role = Role::Follower;
            (self.transfer, self.waiting) = (None, None);
            self.set_election_timer(cx);
        }
    }

    fn set_election_timer<C: Context<Self>>(&mut self, cx: &mut C) {
        let jitter_ns = cx.random() % self.election_timeout_ns;
        self.election_at = cx.now() + self.election_timeout_ns + jitter_ns;
    }

    /// Everything below `committed` is committed.
    fn commit<C: Context<Self>>(&mut self, committed: Slot, reply: bool, cx: &mut C) {
        self.log.apply(committed, reply, cx);
        self.stored = self.stored.max(self.log.applied());
        self.configurations.forget(self.log.base());
    }
}
