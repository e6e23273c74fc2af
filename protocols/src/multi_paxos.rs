//! Multi-Paxos: a stable leader, batches, a pipeline of slots.
//!
//! Lamport, *The Part-Time Parliament* (TOCS 1998) and *Paxos Made Simple* (2001, section 3), whose
//! words the messages use; quorums of the two phases may differ in size as long as they meet
//! (Howard, Malkhi and Spiegelman, *Flexible Paxos*, OPODIS 2016).
//!
//! **Promises** linearizability of one replicated state machine while any phase-1 quorum and any
//! phase-2 quorum share a replica; progress while such quorums can talk to a leader. **Assumes**
//! crash-recovery replicas whose disks keep what was synced, messages that may be lost, doubled and
//! reordered but not forged. No clock is trusted for safety, but by gets under a lease.
//!
//! What the papers leave open, and what is done here:
//!
//! * Phase 1 runs once for all slots from the candidate's first unapplied one, in pages, so that no
//!   answer is longer than 32 slots ([`phase1`]).
//! * The leader tells the others which slots are chosen with a running bound (`chosen`) in its next
//!   message. A follower trusts that bound only for slots it accepted in the same ballot; for others
//!   it asks ([`learn`]).
//! * A follower that hears a live leader ignores candidates; a leader that hears no phase-2 quorum
//!   resigns; and a leader that meets a higher ballot opens one above it at once. So one replica
//!   that comes and goes does not leave the rest without a leader.
//! * A replica that lost what it had promised follows as a learner, and takes part again only as the
//!   leader of a ballot that **all** others have promised, at once and whoever leads ([`repair`]).
//! * Gets go through the log, or are answered from the store of a leader that holds a lease, or of any
//!   replica that has asked a quorum ([`reads`]).
//! * What was applied stays in memory for those who lag, up to `retain_bytes`; whoever is further
//!   behind gets a snapshot.

mod learn;
mod phase1;
mod phase2;
mod reads;
mod recovery;
mod repair;

use self::reads::Way;
use crate::ledger::{Ledger, Notes};
use crate::log::LOG_SLOTS;
use crate::protocol::{
    Config, Conflict, Context, Default as DefaultValue, Input, Parameter, Protocol, Reads, Role,
    Service, Unit,
};
use crate::reads::{Lease, ReadQueue, lease_ns};
use crate::types::{Ballot, Payload, REPLICAS_MAX, ReplicaId, Replicas, Slot, Time};
use crate::wire_enum;

wire_enum! {
    /// What replicas say to each other.
    pub enum Message {
        /// 1a: asks for promises and for the votes from `from` on.
        Prepare = 1 {
            /// The candidate's ballot.
            ballot: Ballot,
            /// The first slot that the candidate has not applied.
            from: Slot,
            /// Whether the candidate has lost what it promised: then no loyalty holds against it.
            lost: bool,
        },
        /// Part of 1b: a vote that the acceptor has cast earlier; its value travels beside it.
        Voted = 2 {
            /// The candidate's ballot.
            ballot: Ballot,
            /// The slot voted in.
            slot: Slot,
            /// The ballot voted in.
            accepted: Ballot,
            /// Whether the acceptor knows the value to be chosen.
            chosen: bool,
        },
        /// 1b: the promise, after all votes of `from..until`.
        Promise = 3 {
            /// The candidate's ballot.
            ballot: Ballot,
            /// Where the candidate asked to start.
            from: Slot,
            /// The votes below this slot have been sent.
            until: Slot,
            /// Whether there are votes from `until` on.
            more: bool,
            /// Which slots of the page have a vote: bit 0 is `from`.
            votes: u32,
        },
        /// 2a: asks for a vote; the batch travels beside it.
        Accept = 4 {
            /// The leader's ballot.
            ballot: Ballot,
            /// The slot to vote in.
            slot: Slot,
            /// All slots below this one are chosen.
            chosen: Slot,
        },
        /// 2b: the vote.
        Accepted = 5 {
            /// The ballot voted in.
            ballot: Ballot,
            /// The slot voted in.
            slot: Slot,
        },
        /// The leader lives.
        Heartbeat = 6 {
            /// The leader's ballot.
            ballot: Ballot,
            /// All slots below this one are chosen.
            chosen: Slot,
            /// When it was sent, on the leader's clock.
            sent: u64,
        },
        /// The follower lives, and is loyal.
        HeartbeatReply = 7 {
            /// The leader's ballot.
            ballot: Ballot,
            /// When the heartbeat was sent.
            sent: u64,
        },
        /// The acceptor has promised a higher ballot.
        Reject = 8 {
            /// That ballot.
            promised: Ballot,
        },
        /// Asks for chosen values.
        Learn = 9 {
            /// The first slot wanted.
            from: Slot,
        },
        /// A chosen value; it travels beside.
        Chosen = 10 {
            /// Its slot.
            slot: Slot,
            /// All slots below this one are chosen, as far as the sender knows.
            chosen: Slot,
        },
        /// A replica that has lost what it promised asks whether all others are there.
        Recovery = 11 {},
        /// One of them is.
        RecoveryResponse = 12 {
            /// The highest ballot that it has promised.
            promised: Ballot,
            /// The first slot that it has not applied.
            applied: Slot,
        },
        /// Quorum read: asks where the votes end.
        QuorumRead = 13 {
            /// The number of the question.
            id: u64,
        },
        /// They end here.
        QuorumReadReply = 14 {
            /// The number of the question.
            id: u64,
            /// No slot from here on has a vote.
            until: Slot,
        },
    }
}

wire_enum! {
    /// What survives a crash.
    pub enum Record {
        /// A promise to take part in no smaller ballot.
        Promised = 1 {
            /// The ballot promised.
            ballot: Ballot,
        },
        /// A vote, with its batch.
        Accepted = 2 {
            /// The ballot voted in.
            ballot: Ballot,
            /// The slot voted in.
            slot: Slot,
            /// What this replica had applied by then.
            applied: Slot,
        },
        /// A value known to be chosen, with its batch.
        Chosen = 3 {
            /// Its slot.
            slot: Slot,
            /// What this replica had applied by then.
            applied: Slot,
        },
        /// A snapshot of the own store, maybe not finished, holds everything below `applied`.
        Checkpoint = 4 {
            /// The highest promise.
            ballot: Ballot,
            /// The first slot that is not in the snapshot.
            applied: Slot,
        },
        /// The store came from another replica and holds everything below `applied`. Earlier votes
        /// for those slots may have lost.
        Installed = 5 {
            /// The first slot that the store did not hold.
            applied: Slot,
        },
    }
}

/// What a leader or candidate knows about one slot.
#[derive(Clone, Copy, Default, Debug)]
struct Proposal {
    /// Leader: who voted for `value` in this leader's ballot.
    votes: Replicas,
    /// Leader: when it last asked for votes.
    asked_at: Time,
    /// Candidate: the highest vote that phase 1 found, retained; its ballot is zero when there is
    /// none.
    found: (Ballot, Payload),
}

impl Notes for Proposal {
    fn release<P: Protocol, C: Context<P>>(self, cx: &mut C) {
        if self.found.0 > Ballot::ZERO {
            cx.release(self.found.1);
        }
    }
}

/// One page of one acceptor's answer to `Prepare`.
#[derive(Clone, Copy, Default, Debug)]
struct Page {
    /// Where the page that is awaited starts.
    from: Slot,
    /// Slots whose vote has come: bit 0 is `from`. A set, so that a vote that comes twice does not
    /// stand in for one that was lost.
    votes: u32,
    /// Whether all pages have come.
    complete: bool,
}

/// What a `Promise` says about its page of votes.
#[derive(Clone, Copy, Debug)]
struct Answer {
    from: Slot,
    until: Slot,
    more: bool,
    votes: u32,
}

/// What a replica that has lost its promises knows of the others.
#[derive(Clone, Copy, Default, Debug)]
struct Lost {
    /// Who has answered.
    answered: Replicas,
    /// The first slot that none of them had applied.
    until: Slot,
}

/// One replica: proposer, acceptor and learner.
#[derive(Debug)]
pub struct MultiPaxos {
    id: ReplicaId,
    replicas: usize,
    phase1_quorum: usize,
    phase2_quorum: usize,
    window: usize,
    heartbeat_ns: u64,
    election_timeout_ns: u64,

    role: Role,
    /// The highest ballot this acceptor has promised or voted in. Never decreases.
    promised: Ballot,
    /// Whose `Accept` or `Heartbeat` of ballot `promised` was seen.
    leader: Option<ReplicaId>,
    log: Ledger<Proposal>,

    /// Leader: the slot of the next proposal.
    next: Slot,
    /// Candidate: the pages of each acceptor.
    pages: [Page; REPLICAS_MAX],
    /// Leader: who was heard since `resign_at` was set.
    heard: Replicas,
    /// Leader: when to resign unless a phase-2 quorum is heard.
    resign_at: Time,

    /// Follower, candidate: when to become a candidate.
    election_at: Time,
    /// Follower: until when a live leader makes this replica deaf to candidates.
    loyal_until: Time,
    /// Leader: when to send a heartbeat and to repeat what was not answered. Candidate: when to
    /// repeat `Prepare`. Who has lost its promises: when to repeat `Recovery`.
    repeat_at: Time,
    reads_way: Way,
    /// Gets that wait to be answered from the store.
    reads: ReadQueue,
    /// Leader: the first slot that this reign did not find taken.
    reign_start: Slot,
    /// Leader: until when nobody else can lead.
    lease: Lease,
    /// What is known of the others while this replica has not got back what it promised.
    lost: Option<Lost>,
}

const HEARTBEAT: usize = 0;
const ELECTION_TIMEOUT: usize = 1;
const PHASE1_QUORUM: usize = 2;
const PHASE2_QUORUM: usize = 3;
const READS: usize = 4;
const CLOCK_DRIFT: usize = 5;

/// Parts of a million.
const MILLION: u64 = 1_000_000;

impl Protocol for MultiPaxos {
    const NAME: &'static str = "multi_paxos";
    const SUMMARY: &'static str =
        "Multi-Paxos with a stable leader: one replicated log, linearizable.";
    const PAPER: &'static str = "\
        Lamport, *Paxos Made Simple* (2001), section 3; Howard, Malkhi and Spiegelman, \
        *Flexible Paxos* (OPODIS 2016)";
    const FAULT_MODEL: &'static str =
        "crash-recovery; goes on while quorums of both phases can talk to a leader";
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
            name: "phase1_quorum",
            unit: Unit::Count,
            default: DefaultValue::Majority,
            minimum: 1,
            maximum: REPLICAS_MAX as u64,
            doc: "Promises that a leader needs (Flexible Paxos).",
        },
        Parameter {
            name: "phase2_quorum",
            unit: Unit::Count,
            default: DefaultValue::Majority,
            minimum: 1,
            maximum: REPLICAS_MAX as u64,
            doc: "Votes that make a value chosen (Flexible Paxos).",
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
            maximum: MILLION / 10,
            doc: "For a lease: how much faster or slower than real time a clock may run, in parts \
                  of a million.",
        },
    ];
    const SERVICE: Service = Service::StateMachine;
    const REPAIRS: bool = true;

    type Message = Message;
    type Record = Record;

    fn validate(replicas: usize, parameters: &[u64]) -> Result<(), Conflict> {
        let replicas = replicas as u64;
        if parameters[ELECTION_TIMEOUT] <= 2 * parameters[HEARTBEAT] {
            return Err(Conflict {
                parameter: "election_timeout",
                rule: "must be more than twice the heartbeat, or live leaders are deposed",
                instead: "raise it, or lower heartbeat",
            });
        }
        let lease_ns = lease_ns(parameters[ELECTION_TIMEOUT], parameters[CLOCK_DRIFT]);
        if Way::of(parameters[READS]) == Way::Lease && lease_ns <= 2 * parameters[HEARTBEAT] {
            return Err(Conflict {
                parameter: "reads",
                rule: "a lease ends 5 ms and twice the clock drift before election_timeout, which \
                       must leave more than twice the heartbeat",
                instead: "raise election_timeout, or lower heartbeat or clock_drift",
            });
        }
        for (index, parameter) in
            [(PHASE1_QUORUM, "phase1_quorum"), (PHASE2_QUORUM, "phase2_quorum")]
        {
            if parameters[index] > replicas {
                return Err(Conflict {
                    parameter,
                    rule: "must not be more than cluster.replicas",
                    instead: "lower it, or add replicas",
                });
            }
        }
        if parameters[PHASE1_QUORUM] + parameters[PHASE2_QUORUM] <= replicas {
            return Err(Conflict {
                parameter: "phase2_quorum",
                rule: "phase1_quorum + phase2_quorum must be more than cluster.replicas, or a new \
                       leader can miss what the old one chose",
                instead: "raise one of them",
            });
        }
        Ok(())
    }

    fn reads(parameters: &[u64]) -> Reads {
        match Way::of(parameters[READS]) {
            Way::Log => Reads::Ordered,
            Way::Lease => Reads::OfLeader,
            Way::Quorum => Reads::OfAny,
        }
    }

    fn new(config: &Config) -> Self {
        let quorum = |index: usize| -> usize {
            usize::try_from(config.parameters[index]).expect("a quorum is at most REPLICAS_MAX")
        };
        assert!(config.window * 4 <= LOG_SLOTS);
        Self {
            id: config.id,
            replicas: config.replicas,
            phase1_quorum: quorum(PHASE1_QUORUM),
            phase2_quorum: quorum(PHASE2_QUORUM),
            window: config.window,
            heartbeat_ns: config.parameters[HEARTBEAT],
            election_timeout_ns: config.parameters[ELECTION_TIMEOUT],
            role: Role::Follower,
            promised: Ballot::ZERO,
            leader: None,
            log: Ledger::new(config.retain_bytes),
            next: Slot(0),
            pages: [Page::default(); REPLICAS_MAX],
            heard: Replicas::NONE,
            resign_at: Time::NEVER,
            election_at: Time::NEVER,
            loyal_until: Time(0),
            repeat_at: Time::NEVER,
            reads_way: Way::of(config.parameters[READS]),
            reads: ReadQueue::new(config.window),
            reign_start: Slot(0),
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
            Input::Change(_) => unreachable!("nobody asks for what cannot be changed"),
        }
        self.serve_reads(cx);
    }

    fn deadline(&self) -> Time {
        let of_role = match self.role {
            Role::Leader => self.repeat_at,
            Role::Candidate => self.repeat_at.min(self.election_at),
            Role::Follower if self.lost.is_some() => self.repeat_at,
            Role::Follower | Role::Peer => self.election_at,
        };
        of_role.min(self.reads_deadline())
    }

    fn reads_room(&self) -> usize {
        self.reads.room()
    }

    fn room(&self) -> usize {
        // Who is not the leader redirects, which takes no slot.
        if self.role != Role::Leader {
            return 1;
        }
        let in_flight = self.in_flight();
        let log_room = usize::try_from(self.log.end() - self.next).unwrap_or(usize::MAX);
        self.window.saturating_sub(in_flight).min(log_room)
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        self.append_checkpoint(cx);
    }

    fn check(&self) {
        assert!(self.log.base() <= self.log.applied());
        for (_, entry) in self.log.slots(self.log.applied()) {
            assert!(entry.accepted <= self.promised);
            assert!(entry.notes.found.0 == Ballot::ZERO || self.role == Role::Candidate);
        }
        if self.role == Role::Leader {
            assert!(self.is_whole());
            assert_eq!(self.promised.owner(), self.id);
            assert!(self.log.applied() <= self.next);
        }
    }

    fn is_whole(&self) -> bool {
        self.lost.is_none()
    }

    fn role(&self) -> Role {
        self.role
    }
}

impl MultiPaxos {
    fn on_started<C: Context<Self>>(&mut self, cx: &mut C) {
        self.role = Role::Follower;
        self.reads.number_from(cx.random());
        self.stay_loyal(cx);
        self.set_election_timer(cx);
        if self.lost.is_some() {
            self.ask_again(cx);
            return;
        }
        // The first leader of a new group is always replica 0, so that runs are alike.
        if self.promised == Ballot::ZERO && self.id == ReplicaId(0) {
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
            Message::Prepare { ballot, from: start, lost } => {
                self.on_prepare(from, ballot, start, lost, cx);
            }
            Message::Voted { ballot, slot, accepted, chosen } => {
                self.on_voted(from, ballot, slot, accepted, chosen, payload, cx);
            }
            Message::Promise { ballot, from: start, until, more, votes } => {
                self.on_promise(from, ballot, Answer { from: start, until, more, votes }, cx);
            }
            Message::Accept { ballot, slot, chosen } => {
                self.on_accept(from, ballot, slot, chosen, payload, cx);
            }
            Message::Accepted { ballot, slot } => self.on_accepted(from, ballot, slot, cx),
            Message::Heartbeat { ballot, chosen, sent } => {
                self.on_heartbeat(from, ballot, chosen, sent, cx);
            }
            Message::HeartbeatReply { ballot, sent } => {
                self.on_heartbeat_reply(from, ballot, sent, cx);
            }
            Message::Reject { promised } => self.on_reject(promised, cx),
            Message::Learn { from: start } => self.on_learn(from, start, cx),
            Message::Chosen { slot, chosen } => self.on_chosen(from, slot, chosen, payload, cx),
            Message::Recovery {} => self.on_recovery(from, cx),
            Message::RecoveryResponse { promised, applied } => {
                self.on_recovery_response(from, promised, applied, cx);
            }
            Message::QuorumRead { id } => self.on_quorum_read(from, id, cx),
            Message::QuorumReadReply { id, until } => self.reads.hear(id, from, until),
        }
    }

    fn on_timeout<C: Context<Self>>(&mut self, cx: &mut C) {
        let of_reads = cx.now() >= self.reads_deadline();
        match self.role {
            Role::Leader if of_reads && cx.now() < self.repeat_at => {}
            Role::Follower if of_reads && self.lost.is_none() && cx.now() < self.election_at => {}
            Role::Follower if of_reads && self.lost.is_some() && cx.now() < self.repeat_at => {}
            Role::Leader => self.on_leader_timeout(cx),
            Role::Candidate if cx.now() < self.election_at => self.repeat_prepare(cx),
            Role::Follower | Role::Candidate if self.lost.is_some() => self.ask_again(cx),
            Role::Follower | Role::Candidate | Role::Peer => self.campaign(cx),
        }
    }

    /// Every replica but this one.
    fn others(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        let id = self.id;
        Replicas::first(self.replicas).iter().filter(move |&replica| replica != id)
    }

    /// Slots that this leader proposed and that were not applied yet.
    fn in_flight(&self) -> usize {
        usize::try_from(self.next - self.log.applied()).expect("bounded by the log's window")
    }

    fn set_election_timer<C: Context<Self>>(&mut self, cx: &mut C) {
        let jitter_ns = cx.random() % self.election_timeout_ns;
        self.election_at = cx.now() + self.election_timeout_ns + jitter_ns;
    }

    /// Follows whoever owns a higher ballot. Leadership and candidacy end here.
    fn follow<C: Context<Self>>(&mut self, ballot: Ballot, cx: &mut C) {
        assert!(ballot >= self.promised);
        if ballot > self.promised {
            self.leader = None;
        }
        self.promised = ballot;
        if self.role != Role::Follower {
            self.drop_found(cx);
            self.role = Role::Follower;
            self.set_election_timer(cx);
        }
    }
}
