//! Viewstamped Replication: a primary per view, views in turn, batches, a pipeline.
//!
//! Liskov and Cowling, *Viewstamped Replication Revisited* (MIT-CSAIL-TR-2012-021), whose words and
//! sections this file uses. It descends from Oki and Liskov (PODC 1988); where the two differ it
//! follows the later one.
//!
//! **Promises** linearizability of one replicated state machine; progress while a majority can talk
//! to each other and to one primary. **Assumes** crash-recovery replicas whose disks keep what was
//! synced, messages that may be lost, doubled and reordered but not forged. No clock is trusted for
//! safety.
//!
//! What the paper leaves open, or gets wrong, and what is done here:
//!
//! * *Disks.* The paper's replicas keep nothing on disk and recover from the others. Here views and
//!   entries are records: a replica that restarts from its log is not in recovery, and has not
//!   forgotten the view that it promised in its `DoViewChange` (the defect that Michael, Ports,
//!   Sharma and Szekeres found, *Recovering Shared Objects Without Stable Storage*, DISC 2017). One
//!   that has lost its disk recovers as section 4.3 says, but needs an answer from **all** others,
//!   which mends the same defect ([`recovery`]).
//! * *A primary that restarts* never leads its old view again: others may have entries of it that
//!   its disk has not. It leads only when its own `StartView`, which waits for the disk, comes back.
//!   So in view 0, with which a group begins, nobody leads.
//! * *Logs in messages.* `DoViewChange` names the log (last normal view, op-number) and does not carry
//!   it; the new primary fetches the best one, page by page, before it sends `StartView`; a
//!   backup does the same after it. The paper's state transfer cuts the log at the commit number
//!   first and can lose what was acknowledged; [`catch_up`](crate::catch_up) says what is done
//!   instead.
//! * *Wishing for a view* is not moving to it. A replica that hears no primary asks with
//!   `StartViewChange`, and stays where it is until a majority asks for the same view; who hears a
//!   live primary does not join. A primary that hears no majority stands down. So one replica that
//!   comes and goes does not end views, and one that nobody hears does not keep them ([`view_change`]).
//! * *Witnesses* (section 6.1) stand by until active replicas do not answer; what their logs keep is
//!   said in [`witnesses`].
//! * With an even number of replicas a quorum is a majority, which is more than `f + 1`.
//! * Retransmission, and who asks whom: whoever waits repeats itself with each `heartbeat`.

mod normal;
mod recovery;
mod replay;
mod state_transfer;
mod view_change;
mod witnesses;

use crate::acks::Acks;
use crate::catch_up::CatchUp;
use crate::log::{LOG_SLOTS, Log};
use crate::protocol::{
    Config, Conflict, Context, Default as DefaultValue, Input, Parameter, Protocol, Role, Service,
    Unit,
};
use crate::types::{Payload, REPLICAS_MAX, Reign, ReplicaId, Replicas, Slot, Time};
use crate::wire_enum;

wire_enum! {
    /// What replicas say to each other. An op-number is the slot of a batch, or where a log ends.
    pub enum Message {
        /// The primary proposes; the batch travels beside it.
        Prepare = 1 {
            /// The primary's view.
            view: Reign,
            /// The slot of the batch.
            op: Slot,
            /// All slots below this one are committed.
            commit: Slot,
        },
        /// The backup has the primary's log up to `op`.
        PrepareOk = 2 {
            /// The primary's view.
            view: Reign,
            /// The first slot that it does not have.
            op: Slot,
        },
        /// The primary lives, and has nothing to propose.
        Commit = 3 {
            /// The primary's view.
            view: Reign,
            /// All slots below this one are committed.
            commit: Slot,
        },
        /// The sender wishes for a view.
        StartViewChange = 4 {
            /// The view.
            view: Reign,
            /// Whether a majority has wished for it, so that the sender has moved to it.
            entered: bool,
        },
        /// The sender has moved to `view` and takes part in no earlier one; what it has.
        DoViewChange = 5 {
            /// The view.
            view: Reign,
            /// The last view in which the sender had a log to go on with.
            last_normal: Reign,
            /// The end of its log.
            op: Slot,
            /// All slots below this one are committed.
            commit: Slot,
            /// Whether it has lost what it had: it promises, and knows nothing.
            lost: bool,
            /// Where a witness's log begins; [`Slot`] 0 for who has everything.
            base: Slot,
        },
        /// The view has begun.
        StartView = 6 {
            /// The view.
            view: Reign,
            /// The end of the primary's log.
            op: Slot,
            /// All slots below this one are committed.
            commit: Slot,
            /// The view in which the last entry of that log was proposed.
            reign: Reign,
        },
        /// Asks for entries of the view's log.
        GetState = 7 {
            /// The view.
            view: Reign,
            /// The first slot wanted.
            op: Slot,
        },
        /// An entry of the view's log; the batch travels beside it.
        NewState = 8 {
            /// The view.
            view: Reign,
            /// The slot of the batch.
            op: Slot,
            /// The view in which it was proposed.
            reign: Reign,
            /// All slots below this one are committed.
            commit: Slot,
        },
        /// A replica that has lost what it had asks what it must have promised.
        Recovery = 9 {
            /// What this life of it is told by.
            nonce: u64,
        },
        /// The answer.
        RecoveryResponse = 10 {
            /// The view of the answering replica.
            view: Reign,
            /// From the question.
            nonce: u64,
            /// The end of its log.
            op: Slot,
            /// Whether it leads that view.
            primary: bool,
        },
        /// What witnesses need not keep.
        Stable = 11 {
            /// The view.
            view: Reign,
            /// All slots below this one are on the disks of as many active replicas as make a quorum.
            op: Slot,
            /// Whether a witness is to have the rest: if it lacks some below, it goes on from there.
            called: bool,
        },
    }
}

wire_enum! {
    /// What survives a crash.
    pub enum Record {
        /// The replica has moved to a view and takes part in no earlier one.
        View = 1 {
            /// The view.
            view: Reign,
        },
        /// An entry of the log, with its batch. What the log had from that slot on is cut off.
        Prepared = 2 {
            /// The view in which it was proposed.
            reign: Reign,
            /// Its slot.
            op: Slot,
            /// What this replica had applied by then.
            applied: Slot,
            /// What witnesses need not keep, as far as was known by then.
            stable: Slot,
        },
        /// The log up to `op` is the one that the view began with, or more of that view's; what it
        /// had beyond is cut off.
        Normal = 3 {
            /// The view.
            view: Reign,
            /// The end of the log.
            op: Slot,
        },
        /// A snapshot of the own store, maybe not finished, holds everything below `applied`, or more.
        Checkpoint = 4 {
            /// The view.
            view: Reign,
            /// The last view in which the status was normal.
            last_normal: Reign,
            /// The first slot whose entry follows: not in the snapshot, or needed by witnesses.
            applied: Slot,
            /// The view in which the entry before it was proposed.
            reign: Reign,
            /// What witnesses need not keep.
            stable: Slot,
        },
        /// The store came from another replica and holds everything below `applied`; a witness has gone
        /// on from there.
        Installed = 5 {
            /// The first slot that the store did not hold.
            applied: Slot,
        },
    }
}

/// What a replica does in its view (section 4). The third of the paper's, recovering, is that `lost`
/// is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    /// It has a log to go on with.
    Normal,
    /// The view has not begun, or this replica does not have the log with which it did.
    ViewChange,
}

/// What a `DoViewChange` says.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    last_normal: Reign,
    op: Slot,
    commit: Slot,
    lost: bool,
    base: Slot,
}

/// Whose log is taken over, and how much of it.
#[derive(Clone, Copy, Debug)]
struct Source {
    from: ReplicaId,
    until: Slot,
    /// Whether nothing follows there.
    ends: bool,
}

/// What a `RecoveryResponse` says.
#[derive(Clone, Copy, Debug)]
struct Response {
    view: Reign,
    op: Slot,
    primary: bool,
}

/// What a replica that has lost what it promised knows of the others.
#[derive(Clone, Copy, Debug)]
struct Lost {
    nonce: u64,
    responses: [Option<Response>; REPLICAS_MAX],
}

/// One replica: primary, backup or witness.
#[derive(Debug)]
pub struct Viewstamped {
    id: ReplicaId,
    replicas: usize,
    /// Who holds the state and executes; the others are witnesses.
    active: Replicas,
    quorum: usize,
    window: usize,
    page_slots: usize,
    heartbeat_ns: u64,
    view_change_timeout_ns: u64,

    status: Status,
    /// This replica takes part in no earlier view. Never decreases.
    view: Reign,
    /// The last view in which the status was normal.
    last_normal: Reign,
    log: Log,
    /// All slots below this one are committed, as far as is known. Never decreases.
    commit: Slot,
    /// All slots below this one are on the disks of a quorum of active replicas, as far as is known.
    /// Never decreases; of no meaning without witnesses.
    stable: Slot,

    /// Primary: whether the view has begun, with its log on disk.
    leads: bool,
    /// Primary: whether its own `StartView` is on its way.
    begins: bool,
    /// Primary: who has how much of the log.
    acks: Acks,
    /// Primary: who was heard since `resign_at` was set.
    heard: Replicas,
    /// Primary: when to stand down unless a majority is heard.
    resign_at: Time,
    /// Primary: where the log ended when it last looked who has how much of it.
    due: Slot,
    /// Primary: whether witnesses fill in for active replicas that do not answer.
    calls_witnesses: bool,

    /// The view wished for, when it is above `view`.
    wanted: Reign,
    /// Who wishes for it.
    wished: Replicas,
    /// Views that this replica has moved to since one was normal.
    attempts: u32,
    /// Who is to lead: what the others have.
    candidates: [Option<Candidate>; REPLICAS_MAX],
    /// Whose log is being taken over.
    source: Option<Source>,
    /// How far the log is that of the view.
    catch_up: CatchUp,

    /// When to repeat what was not answered, or as the primary to show that it lives.
    repeat_at: Time,
    /// When to wish for another view.
    suspect_at: Time,
    /// Until when a live primary makes this replica deaf to wishes.
    loyal_until: Time,
    lost: Option<Lost>,
}

const HEARTBEAT: usize = 0;
const VIEW_CHANGE_TIMEOUT: usize = 1;

impl Protocol for Viewstamped {
    const NAME: &'static str = "viewstamped";
    const SUMMARY: &'static str =
        "Viewstamped Replication Revisited: a primary in turn, one replicated log, linearizable.";
    const PAPER: &'static str =
        "Liskov and Cowling, *Viewstamped Replication Revisited* (MIT-CSAIL-TR-2012-021)";
    const FAULT_MODEL: &'static str =
        "crash-recovery; goes on while a majority can talk to each other and to a primary";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "heartbeat",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(20_000_000),
            minimum: 1_000_000,
            maximum: 10_000_000_000,
            doc: "How often the primary shows that it lives, repeats what was not answered, and looks \
                  whether witnesses must fill in.",
        },
        Parameter {
            name: "view_change_timeout",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(200_000_000),
            minimum: 3_000_000,
            maximum: 60_000_000_000,
            doc: "How long a backup waits for its primary: drawn anew between this and twice this, \
                  and longer with each view that does not begin.",
        },
    ];
    const SERVICE: Service = Service::StateMachine;
    const REPAIRS: bool = true;
    const WITNESSES: bool = true;

    type Message = Message;
    type Record = Record;

    fn validate(_replicas: usize, parameters: &[u64]) -> Result<(), Conflict> {
        if parameters[VIEW_CHANGE_TIMEOUT] <= 2 * parameters[HEARTBEAT] {
            return Err(Conflict {
                parameter: "view_change_timeout",
                rule: "must be more than twice the heartbeat, or live primaries are deposed",
                instead: "raise it, or lower heartbeat",
            });
        }
        Ok(())
    }

    fn new(config: &Config) -> Self {
        assert!(config.window * 4 <= LOG_SLOTS);
        let active = Replicas::first(config.replicas - config.witnesses);
        let quorum = config.replicas / 2 + 1;
        assert!(active.len() >= quorum, "somebody executes, in each quorum");
        Self {
            id: config.id,
            replicas: config.replicas,
            active,
            quorum,
            window: config.window,
            page_slots: config.page_slots(),
            heartbeat_ns: config.parameters[HEARTBEAT],
            view_change_timeout_ns: config.parameters[VIEW_CHANGE_TIMEOUT],
            status: Status::Normal,
            view: Reign::ZERO,
            last_normal: Reign::ZERO,
            log: log_of(config),
            commit: Slot(0),
            stable: Slot(0),
            leads: false,
            begins: false,
            acks: Acks::NONE,
            heard: Replicas::NONE,
            resign_at: Time::NEVER,
            due: Slot(0),
            calls_witnesses: false,
            wanted: Reign::ZERO,
            wished: Replicas::NONE,
            attempts: 0,
            candidates: [None; REPLICAS_MAX],
            source: None,
            catch_up: CatchUp::default(),
            repeat_at: Time::NEVER,
            suspect_at: Time::NEVER,
            loyal_until: Time(0),
            lost: config.lost.then_some(Lost { nonce: 0, responses: [None; REPLICAS_MAX] }),
        }
    }

    fn replay<C: Context<Self>>(&mut self, record: Record, payload: Payload, cx: &mut C) {
        self.replay_record(record, payload, cx);
    }

    fn step<C: Context<Self>>(&mut self, input: Input<Message>, cx: &mut C) {
        match input {
            Input::Started => self.on_started(cx),
            Input::Requests(batch) => self.on_requests(batch, cx),
            Input::Reads(_) => unreachable!("gets come among all requests"),
            Input::Message { from, message, payload } => {
                self.on_message(from, message, payload, cx);
            }
            Input::Timeout => self.on_timeout(cx),
            Input::Installed { applied, .. } => self.on_installed(applied, cx),
            Input::Change(_) => unreachable!("nobody asks for what cannot be changed"),
        }
    }

    fn deadline(&self) -> Time {
        self.repeat_at.min(self.suspect_at)
    }

    fn room(&self) -> usize {
        // Who does not lead redirects, which takes no slot.
        if !self.leads {
            return 1;
        }
        let in_flight = usize::try_from(self.log.end() - self.log.applied()).unwrap_or(usize::MAX);
        self.window.saturating_sub(in_flight).min(self.log.room())
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        self.append_checkpoint(cx);
    }

    fn check(&self) {
        self.log.check();
        assert!(self.last_normal <= self.view && self.view <= self.wanted);
        assert!(self.log.last_reign() <= self.view);
        assert!(self.log.applied() <= self.commit);
        assert!(!self.has_witnesses() || self.log.base() <= self.stable);
        let verified = self.catch_up.verified();
        assert!(verified <= self.log.end());
        assert_eq!(self.log.applied(), self.commit.min(verified).max(self.log.applied()));
        if self.status == Status::Normal {
            assert_eq!(self.last_normal, self.view);
            assert_eq!(verified, self.log.end());
            assert!(self.source.is_none());
        }
        if self.leads {
            assert!(self.is_whole() && self.status == Status::Normal && !self.begins);
            assert_eq!(self.primary(), Some(self.id));
            assert!(!self.is_witness(self.id));
            assert!(self.acks.furthest() <= self.log.end());
            assert!(self.commit <= self.log.end());
            assert!(self.acks.reached_by(self.quorum) <= self.commit);
        }
    }

    fn is_whole(&self) -> bool {
        self.lost.is_none()
    }

    fn role(&self) -> Role {
        if self.leads {
            Role::Leader
        } else if self.status == Status::ViewChange && self.primary() == Some(self.id) {
            Role::Candidate
        } else {
            Role::Follower
        }
    }
}

impl Viewstamped {
    fn on_started<C: Context<Self>>(&mut self, cx: &mut C) {
        self.wanted = self.view;
        self.await_primary(cx);
        if self.lost.is_some() {
            self.begin_recovery(cx);
        } else if self.view == Reign::ZERO && self.id == ReplicaId(0) {
            // The first primary of a new group is always replica 0, so that runs are alike.
            self.wish(Reign(self.active.len() as u64), cx);
        } else if self.status == Status::Normal && self.primary() == Some(self.id) {
            self.suspect(cx);
        } else if self.status == Status::ViewChange {
            self.repeat_at = cx.now();
        }
    }

    fn on_message<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        message: Message,
        batch: Payload,
        cx: &mut C,
    ) {
        match message {
            Message::Prepare { view, op, commit } => {
                self.on_prepare(from, view, op, commit, batch, cx);
            }
            Message::PrepareOk { view, op } => self.on_prepare_ok(from, view, op, cx),
            Message::Commit { view, commit } => self.on_commit(from, view, commit, cx),
            Message::StartViewChange { view, entered } => {
                self.on_start_view_change(from, view, entered, cx);
            }
            Message::DoViewChange { view, last_normal, op, commit, lost, base } => {
                let candidate = Candidate { last_normal, op, commit, lost, base };
                self.on_do_view_change(from, view, candidate, cx);
            }
            Message::StartView { view, op, commit, reign } => {
                self.on_start_view(from, view, op, commit, reign, cx);
            }
            Message::GetState { view, op } => self.on_get_state(from, view, op, cx),
            Message::NewState { view, op, reign, commit } => {
                self.on_new_state(from, view, op, reign, commit, batch, cx);
            }
            Message::Recovery { nonce } => self.on_recovery(from, nonce, cx),
            Message::RecoveryResponse { view, nonce, op, primary } => {
                self.on_recovery_response(from, nonce, Response { view, op, primary }, cx);
            }
            Message::Stable { view, op, called } => self.on_stable(view, op, called, cx),
        }
    }

    fn on_timeout<C: Context<Self>>(&mut self, cx: &mut C) {
        if self.leads {
            self.on_primary_timeout(cx);
            return;
        }
        if cx.now() >= self.suspect_at {
            self.suspect(cx);
        }
        if cx.now() >= self.repeat_at {
            self.repeat(cx);
        }
    }

    /// Who leads `view`, always an active replica; nobody leads the view with which a group begins.
    fn primary_of(&self, view: Reign) -> Option<ReplicaId> {
        let place = u8::try_from(view.0 % self.active.len() as u64).expect("replicas are few");
        (view > Reign::ZERO).then_some(ReplicaId(place))
    }

    fn primary(&self) -> Option<ReplicaId> {
        self.primary_of(self.view)
    }

    fn everyone(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        Replicas::first(self.replicas).iter()
    }

    fn others(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        let id = self.id;
        self.everyone().filter(move |&replica| replica != id)
    }

    /// Waits for a sign of the primary: longer with each view that did not begin.
    fn await_primary<C: Context<Self>>(&mut self, cx: &mut C) {
        if self.lost.is_some() {
            // Until it has recovered it knows of no reason to end a view.
            self.suspect_at = Time::NEVER;
            return;
        }
        let timeout_ns = self.view_change_timeout_ns << self.attempts.saturating_sub(1).min(4);
        let jitter_ns = cx.random() % timeout_ns;
        self.suspect_at = cx.now() + timeout_ns + jitter_ns;
    }

    /// Everything below `commit` is committed: applies it as far as the log is that of the view.
    fn advance<C: Context<Self>>(&mut self, commit: Slot, reply: bool, cx: &mut C) {
        self.commit = self.commit.max(commit);
        self.apply(self.commit.min(self.catch_up.verified()), reply, cx);
    }

    /// Everything below `committed` is committed, as the log has it; a witness does not execute it.
    fn apply<C: Context<Self>>(&mut self, committed: Slot, reply: bool, cx: &mut C) {
        if self.is_witness(self.id) {
            self.log.pass(committed, cx);
        } else {
            self.log.apply(committed, reply, cx);
        }
    }
}

/// Where there are witnesses all keep what those need; of the rest a witness keeps nothing.
fn log_of(config: &Config) -> Log {
    match config.witnesses {
        0 => Log::new(config.retain_bytes),
        _ if config.is_witness() => Log::holding(0),
        _ => Log::holding(config.retain_bytes),
    }
}
