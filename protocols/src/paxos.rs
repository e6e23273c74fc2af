//! Classic Paxos: no leader. Each slot is an instance of its own, with both phases, and any replica
//! proposes what its own clients ask.
//!
//! Lamport, *The Part-Time Parliament* (TOCS 1998) and *Paxos Made Simple* (2001), whose words the
//! messages use: section 2.2 for the two phases of one instance, 2.3 for learning, 2.4 for progress,
//! 3 for the sequence of instances.
//!
//! **Promises** linearizability of one replicated state machine, and progress while a majority can
//! talk and no proposer gets in another's way for ever. **Assumes** crash-recovery replicas whose disks
//! keep what was synced, messages that may be lost, doubled and reordered but not forged. No clock is
//! trusted for safety.
//!
//! What the papers leave open, and what is done here:
//!
//! * A proposer takes the first slot of which it has seen nothing. Slots up to the window are under
//!   way at the same time, each for itself. A batch whose slot went to another value is proposed again
//!   in a later slot, and not before the outcome of the first one is known, so that no batch is chosen
//!   twice ([`proposer`]).
//! * A ballot that a majority cannot promise or accept any more is given up at once, as section 2.4
//!   advises, and one that somebody refused when it takes too long. The next one is opened after a
//!   while that is drawn from a range that doubles with each defeat, up to a bound. The wait begins
//!   anew with each promise or vote for another's ballot. Without that draw two proposers can keep
//!   each other from being heard for ever, as the section describes: who switches it off has no
//!   promise of progress.
//! * There is no queue before the slots that all proposers share: a request that its client repeats at
//!   another replica is one more proposal. Clients should wait for longer than a few slots take, each
//!   of them two writes of a majority one after the other, or they get in the way of themselves.
//! * Nobody waits for a disk before it asks: a ballot names the life of its proposer, whose number is
//!   durable before the first ballot, so none is ever opened twice.
//! * The distinguished learner of section 2.3 is the proposer: it tells the others which ballot was
//!   accepted by a majority. Who voted in that ballot or a later one has the value; others ask
//!   ([`learner`]).
//! * Slots that stay undecided are taken over by whoever misses them and has seen no ballot get on
//!   there for a while: with what phase 1 finds there, or with nothing at all, section 3's no-op.
//! * An acceptor that knows what was chosen says so instead of promising or voting. It forgets its
//!   promises for the slots that it has applied.
//! * A replica that lost what it had promised casts no vote until everything that may depend on those
//!   promises is decided ([`repair`]).

mod acceptor;
mod learner;
mod proposer;
mod recovery;
mod repair;

use alloc::collections::VecDeque;

use crate::ledger::{Ledger, Notes};
use crate::log::LOG_SLOTS;
use crate::protocol::{
    Config, Conflict, Context, Default as DefaultValue, Input, Parameter, Protocol, Role, Service,
    Unit,
};
use crate::types::{Ballot, Payload, ReplicaId, Replicas, Slot, Time};
use crate::wire_enum;

wire_enum! {
    /// What replicas say to each other.
    pub enum Message {
        /// 1a: asks for a promise in one slot.
        Prepare = 1 {
            /// The slot.
            slot: Slot,
            /// The proposer's ballot.
            ballot: Ballot,
        },
        /// 1b: the promise, with the vote cast earlier; its value travels beside it.
        Promise = 2 {
            /// The slot.
            slot: Slot,
            /// The proposer's ballot.
            ballot: Ballot,
            /// The ballot voted in; zero for no vote.
            accepted: Ballot,
        },
        /// 2a: asks for a vote; the batch travels beside it.
        Accept = 3 {
            /// The slot.
            slot: Slot,
            /// The proposer's ballot.
            ballot: Ballot,
        },
        /// 2b: the vote.
        Accepted = 4 {
            /// The slot.
            slot: Slot,
            /// The ballot voted in.
            ballot: Ballot,
        },
        /// The proposer tells the learners that its ballot has won.
        Learn = 5 {
            /// The slot.
            slot: Slot,
            /// The ballot in which a majority voted.
            ballot: Ballot,
        },
        /// The acceptor has promised a higher ballot.
        Reject = 6 {
            /// The slot.
            slot: Slot,
            /// The ballot refused.
            ballot: Ballot,
            /// The ballot promised.
            promised: Ballot,
        },
        /// Asks for chosen values.
        Ask = 7 {
            /// The first slot wanted.
            from: Slot,
        },
        /// A chosen value; it travels beside.
        Chosen = 8 {
            /// Its slot.
            slot: Slot,
            /// What the sender has applied: all slots below are chosen.
            applied: Slot,
        },
        /// What was asked about is applied and forgotten here.
        Applied = 9 {
            /// All slots below are chosen.
            applied: Slot,
        },
        /// To oneself: the number of this life is durable.
        Ready = 10 {
            /// That number.
            life: u16,
        },
        /// A replica that has lost what it promised asks where everything is new to the others.
        Recovery = 11 {},
        /// The answer.
        RecoveryResponse = 12 {
            /// From here on the sender has proposed, promised and voted nothing.
            tail: Slot,
            /// All slots below are chosen.
            applied: Slot,
        },
    }
}

wire_enum! {
    /// What survives a crash.
    pub enum Record {
        /// The number of a life of this replica.
        Life = 1 {
            /// It grows with each restart.
            life: u16,
        },
        /// A promise to take part in no smaller ballot of a slot.
        Promised = 2 {
            /// The slot.
            slot: Slot,
            /// The ballot promised.
            ballot: Ballot,
            /// What this replica had applied by then.
            applied: Slot,
        },
        /// A vote, with its batch.
        Accepted = 3 {
            /// The slot.
            slot: Slot,
            /// The ballot voted in.
            ballot: Ballot,
            /// What this replica had applied by then.
            applied: Slot,
        },
        /// A value known to be chosen, with its batch.
        Chosen = 4 {
            /// Its slot.
            slot: Slot,
            /// What this replica had applied by then.
            applied: Slot,
        },
        /// A snapshot of the own store, maybe not finished, holds everything below `applied`.
        Checkpoint = 5 {
            /// The first slot that is not in the snapshot.
            applied: Slot,
        },
        /// The store came from another replica and holds everything below `applied`. Earlier votes
        /// for those slots may have lost.
        Installed = 6 {
            /// The first slot that the store did not hold.
            applied: Slot,
        },
    }
}

/// What a proposer is at in one slot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// Its ballot has lost; it will open another one.
    Defeated,
    /// Asks for promises.
    Prepare,
    /// Asks for votes.
    Accept,
}

/// One slot's instance, apart from vote and value.
#[derive(Clone, Copy, Default, Debug)]
struct Instance {
    /// Acceptor: no smaller ballot gets a promise or a vote. Never decreases.
    promised: Ballot,
    /// Acceptor: when it last gave a promise or a vote that was new.
    moved_at: Time,
    /// Proposer.
    phase: Phase,
    /// Proposer: the ballot that it opened last; zero before the first.
    ballot: Ballot,
    /// Proposer: when it did.
    opened_at: Time,
    /// Proposer: the highest ballot that got in the way.
    rival: Ballot,
    /// Proposer: who has answered the present phase as hoped.
    answered: Replicas,
    /// Proposer: who has refused.
    refused: Replicas,
    /// Proposer: the own batch, retained, as long as it may be chosen here and is not yet.
    batch: Option<Payload>,
    /// Proposer: the highest vote that the promises told of, retained; its ballot is zero when
    /// there is none.
    found: (Ballot, Payload),
    /// Proposer: ballots that have lost.
    defeats: u32,
    /// Proposer: when to ask again, or to open the next ballot.
    due: Time,
    /// Proposer: how long it waits after its last defeat; zero without random waits.
    wait_ns: u64,
    /// Learner: the chosen value is the own batch.
    answers: bool,
}

impl Instance {
    /// What the present ballot is for: what may have been chosen before, else the own batch, else
    /// nothing.
    fn proposal(&self) -> Payload {
        if self.found.0 > Ballot::ZERO { self.found.1 } else { self.batch.unwrap_or_default() }
    }

    /// A ballot gets on. Who waits after a defeat waits anew, or it would stop that one.
    fn give_way(&mut self, now: Time) {
        self.moved_at = now;
        if self.phase == Phase::Defeated {
            self.due = self.due.max(now + self.wait_ns);
        }
    }

    /// Forgets what the promises of a ballot told.
    fn drop_found<P: Protocol, C: Context<P>>(&mut self, cx: &mut C) {
        let (found, value) = core::mem::take(&mut self.found);
        if found > Ballot::ZERO {
            cx.release(value);
        }
    }
}

impl Notes for Instance {
    fn release<P: Protocol, C: Context<P>>(mut self, cx: &mut C) {
        self.drop_found(cx);
        if let Some(batch) = self.batch {
            cx.release(batch);
        }
    }
}

/// What a replica that has lost its promises knows of the others.
#[derive(Clone, Copy, Default, Debug)]
struct Lost {
    /// Who has answered.
    answered: Replicas,
    /// From here on none of them has proposed, promised or voted anything.
    until: Slot,
}

/// One replica: proposer, acceptor and learner of every slot.
#[derive(Debug)]
pub struct Paxos {
    id: ReplicaId,
    replicas: usize,
    window: usize,
    retry_ns: u64,
    patience_ns: u64,
    backoff_ns: u64,
    randomised_backoff: bool,

    /// The number of this life; durable once `ready`.
    life: u16,
    ready: bool,
    log: Ledger<Instance>,
    /// All slots below are known to be chosen, by whatever replica.
    heard: Slot,
    /// Own batches that were not applied yet.
    in_flight: usize,
    /// Own batches that lost their slot and for which there was no other place.
    waiting: VecDeque<Payload>,
    /// No ballot is due before.
    wake_at: Time,
    /// When to look whether this replica gets on.
    look_at: Time,
    /// How far it had applied at the last look.
    looked: Slot,
    /// When to take over slots that nobody decides, unless something is applied before.
    take_over_at: Time,
    /// How often it did since something was applied.
    take_overs: u32,
    /// What is known of the others while this replica has not got back what it promised.
    lost: Option<Lost>,
}

/// Times that the patience with others is doubled at most.
const PATIENCE_DOUBLINGS_MAX: u32 = 4;

const RETRY: usize = 0;
const PATIENCE: usize = 1;
const BACKOFF: usize = 2;
const RANDOMISED_BACKOFF: usize = 3;

impl Protocol for Paxos {
    const NAME: &'static str = "paxos";
    const SUMMARY: &'static str = "Classic Paxos without a leader, both phases for each slot: one replicated log, linearizable.";
    const PAPER: &'static str =
        "Lamport, *The Part-Time Parliament* (TOCS 1998) and *Paxos Made Simple* (2001)";
    const FAULT_MODEL: &'static str = "crash-recovery; goes on while a majority can talk";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "retry",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(50_000_000),
            minimum: 1_000_000,
            maximum: 10_000_000_000,
            doc: "After how long a proposer asks again who has not answered.",
        },
        Parameter {
            name: "patience",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(200_000_000),
            minimum: 3_000_000,
            maximum: 60_000_000_000,
            doc: "How long a slot may stay as it is, undecided, before others take it over: drawn anew \
                  between this and twice this, and doubled as long as that does not help.",
        },
        Parameter {
            name: "backoff",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(1_000_000),
            minimum: 10_000,
            maximum: 10_000_000_000,
            doc: "How long a proposer waits at most after its first defeat in a slot, or twice as long \
                  as the lost ballot took if that is longer, and half of it at least: doubled with each \
                  further one, ten times and up to sixteen times patience at most.",
        },
        Parameter {
            name: "randomised_backoff",
            unit: Unit::Flag,
            default: DefaultValue::Fixed(1),
            minimum: 0,
            maximum: 1,
            doc: "Whether that wait is drawn anew each time; otherwise it is always backoff, and duels \
                  may never end.",
        },
    ];
    const SERVICE: Service = Service::StateMachine;
    const REPAIRS: bool = true;

    type Message = Message;
    type Record = Record;

    fn validate(_replicas: usize, parameters: &[u64]) -> Result<(), Conflict> {
        if parameters[PATIENCE] <= 2 * parameters[RETRY] {
            return Err(Conflict {
                parameter: "patience",
                rule: "must be more than twice retry, or slots are taken from proposers that live",
                instead: "raise it, or lower retry",
            });
        }
        Ok(())
    }

    fn new(config: &Config) -> Self {
        assert!(config.window * 4 <= LOG_SLOTS);
        Self {
            id: config.id,
            replicas: config.replicas,
            window: config.window,
            retry_ns: config.parameters[RETRY],
            patience_ns: config.parameters[PATIENCE],
            backoff_ns: config.parameters[BACKOFF],
            randomised_backoff: config.parameters[RANDOMISED_BACKOFF] != 0,
            life: 0,
            ready: false,
            log: Ledger::new(config.retain_bytes),
            heard: Slot(0),
            in_flight: 0,
            waiting: VecDeque::with_capacity(config.window),
            wake_at: Time::NEVER,
            look_at: Time::NEVER,
            looked: Slot(0),
            take_over_at: Time::NEVER,
            take_overs: 0,
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
        self.wake_at.min(self.look_at)
    }

    fn room(&self) -> usize {
        // Who redirects takes no slot.
        if self.lost.is_some() {
            return 1;
        }
        if !self.ready {
            return 0;
        }
        let log_room = self.log.end().0.saturating_sub(self.next().0);
        let log_room = usize::try_from(log_room).unwrap_or(usize::MAX);
        (self.window - self.in_flight).min(log_room.saturating_sub(self.waiting.len()))
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        self.append_checkpoint(cx);
    }

    fn check(&self) {
        assert!(self.log.base() <= self.log.applied());
        assert!(self.in_flight <= self.window);
        let mut own = self.waiting.len();
        for (slot, entry) in self.log.slots(self.log.applied()) {
            let instance = &entry.notes;
            own += usize::from(instance.batch.is_some()) + usize::from(instance.answers);
            assert!(entry.accepted <= instance.promised, "a vote is a promise");
            assert!(!entry.chosen || slot > self.log.applied(), "what is next is applied");
            assert!(!entry.chosen || instance.phase == Phase::Idle, "what is chosen is settled");
            assert!(!entry.chosen || instance.batch.is_none());
            assert!(entry.chosen || !instance.answers);
            self.check_proposer(slot, instance);
        }
        assert_eq!(own, self.in_flight);
    }

    fn is_whole(&self) -> bool {
        self.lost.is_none()
    }

    fn role(&self) -> Role {
        Role::Peer
    }
}

impl Paxos {
    fn on_started<C: Context<Self>>(&mut self, cx: &mut C) {
        self.life = self.life.checked_add(1).expect("a replica restarts 65,535 times");
        cx.append(Record::Life { life: self.life }, Payload::EMPTY);
        cx.send(self.id, Message::Ready { life: self.life }, Payload::EMPTY);
        self.look_at = cx.now() + self.retry_ns;
        self.wait_patiently(cx);
        self.recover(cx);
    }

    fn on_message<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        message: Message,
        payload: Payload,
        cx: &mut C,
    ) {
        match message {
            Message::Prepare { slot, ballot } => self.on_prepare(from, slot, ballot, cx),
            Message::Promise { slot, ballot, accepted } => {
                self.on_promise(from, slot, ballot, accepted, payload, cx);
            }
            Message::Accept { slot, ballot } => self.on_accept(from, slot, ballot, payload, cx),
            Message::Accepted { slot, ballot } => self.on_accepted(from, slot, ballot, cx),
            Message::Learn { slot, ballot } => self.on_learn(from, slot, ballot, cx),
            Message::Reject { slot, ballot, promised } => {
                self.on_reject(from, slot, ballot, promised, cx);
            }
            Message::Ask { from: start } => self.on_ask(from, start, cx),
            Message::Chosen { slot, applied } => self.on_chosen(from, slot, applied, payload, cx),
            Message::Applied { applied } => self.hear_applied(from, applied, cx),
            Message::Ready { life } => self.ready |= life == self.life,
            Message::Recovery {} => self.on_recovery(from, cx),
            Message::RecoveryResponse { tail, applied } => {
                self.on_recovery_response(from, tail, applied, cx);
            }
        }
    }

    fn on_timeout<C: Context<Self>>(&mut self, cx: &mut C) {
        if cx.now() >= self.wake_at {
            self.wake(cx);
        }
        if cx.now() >= self.look_at {
            self.look(cx);
        }
    }

    /// Looks whether anything was applied since the last time, and if not asks what was missed. Slots
    /// that nobody decides for long are taken over.
    fn look<C: Context<Self>>(&mut self, cx: &mut C) {
        self.look_at = cx.now() + self.retry_ns;
        let stands_still = self.looked == self.log.applied();
        self.looked = self.log.applied();
        if !stands_still || self.next() == self.log.applied() {
            self.take_overs = 0;
            self.wait_patiently(cx);
        }
        self.recover(cx);
        if !stands_still {
            return;
        }
        let count = u64::try_from(self.replicas - 1).expect("a few");
        if count > 0 {
            let any = usize::try_from(cx.random() % count).expect("below a few");
            let other = self.others().nth(any).expect("so many are there");
            self.ask_to_learn(other, cx);
        }
        if cx.now() >= self.take_over_at && self.ready {
            self.take_over(cx);
            self.take_overs += 1;
            self.wait_patiently(cx);
        }
    }

    /// Sets when to take over: ever later, as whoever is slow needs more time than it had.
    fn wait_patiently<C: Context<Self>>(&mut self, cx: &mut C) {
        let range_ns = self.doubled_patience_ns();
        self.take_over_at = cx.now() + range_ns + cx.random() % range_ns;
    }

    fn doubled_patience_ns(&self) -> u64 {
        self.patience_ns << self.take_overs.min(PATIENCE_DOUBLINGS_MAX)
    }

    /// Every replica but this one.
    fn others(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        let id = self.id;
        Replicas::first(self.replicas).iter().filter(move |&replica| replica != id)
    }

    fn majority(&self) -> usize {
        self.replicas / 2 + 1
    }

    /// The first slot of which nothing was seen, here or at those who told of it.
    fn next(&self) -> Slot {
        let lost_until = self.lost.map_or(Slot(0), |lost| lost.until);
        self.log.tail().max(self.heard).max(self.log.applied()).max(lost_until)
    }
}
