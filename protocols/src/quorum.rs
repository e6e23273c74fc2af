//! Replicated registers with tunable N, R and W: quorums of votes, from Gifford's to Dynamo's.
//!
//! Gifford, *Weighted Voting for Replicated Data* (SOSP 1979): each replica has votes, a read needs
//! `r` of them and a write `w`. With `query` a write first asks a read quorum for the version, and
//! writes a higher one, as there. DeCandia et al., *Dynamo: Amazon's Highly Available Key-value Store*
//! (SOSP 2007), sections 4.5 and 5: without `query` a write asks nobody; its version is a timestamp
//! of its coordinator's clock, and the last one wins. After a get that found replicas behind, the
//! coordinator waits a little for the rest and updates them (`read_repair`).
//!
//! **Promises**, with N for all votes: if R + W > N, with `query`, linearizability of each register,
//! as long as gets write back what they found at less than a write quorum (`write_back`, from ABD);
//! without, regularity: two gets one after the other may see a new value and then an old one. If R + W
//! is not more than N, or without `query`, only what Dynamo promises: a get returns something that was
//! written. Gifford's version numbers need 2 W > N besides, lest two writers choose the same; here
//! versions are tags that name their writer. **Assumes** crash-recovery replicas that keep what was
//! synced, and no clock but for that last order of writes. It is not a state machine: no
//! compare-and-swap, no add, and a put that is sent twice is two writes.
//!
//! What the papers leave open or have and this has not: transactions and locks (Gifford), vector
//! clocks with values that clients merge, sloppy quorums with hinted handoff, Merkle trees (Dynamo).
//! A replica that missed a write gets it by a read repair, a write back or the next write of the key.
//! How a coordinator that restarts makes its tags, and how a replica that lost its disk gets its
//! registers back, is in `registers/coordinator.rs`; a write that needs the votes of one replica
//! alone is lost with its disk.

use alloc::vec::Vec;

use crate::command::{Commands, Op};
use crate::protocol::{
    Config, Conflict, Consistency, Context, Default as DefaultValue, Input, Parameter, Protocol,
    Reads, Register, Role, Service, Unit,
};
use crate::registers::coordinator::Coordinator;
use crate::registers::items::{Answer, Entry, QueryItem};
use crate::registers::rounds::{Answers, Rounds};
use crate::registers::{self, Record, command_at_offset, reply_to_written, write_entries};
use crate::types::{Payload, ReplicaId, Replicas, Tag, Time};
use crate::wire_enum;

mod clock;
pub mod votes;

use clock::Clock;
use votes::Quorums;

wire_enum! {
    /// What replicas say to each other.
    pub enum Message {
        /// Asks for the versions of the keys in the payload, and for the values that a get wants.
        Read = 1 {
            /// The coordinator's name for this round.
            round: u64,
        },
        /// Versions and values, one for each key asked for.
        ReadAnswer = 2 {
            /// The round answered.
            round: u64,
        },
        /// Asks to store what the payload says, unless a larger version is there.
        Write = 3 {
            /// The coordinator's name for this round.
            round: u64,
        },
        /// It is stored.
        WriteAck = 4 {
            /// The round answered.
            round: u64,
        },
        /// To oneself: the number of this life is durable.
        Ready = 5 {
            /// That number.
            life: u16,
        },
        /// A replica that has lost its registers asks for all that another one has.
        Recovery = 6 {},
        /// Read repair: what the payload says is newer than what the receiver answered.
        Repair = 7 {},
    }
}

/// What a round is doing. Gets and writes never share one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// A get asks a read quorum.
    Read,
    /// A get that is answered waits for the rest of the replicas, to update those that are behind.
    Repair,
    /// A get writes back what it found.
    WriteBack,
    /// A write asks a read quorum for the versions.
    Inquiry,
    /// A write writes.
    Write,
}

impl Phase {
    /// What a round in this phase asks.
    fn message(self, round: u64) -> Message {
        match self {
            Self::Read | Self::Inquiry => Message::Read { round },
            Self::Write | Self::WriteBack => Message::Write { round },
            Self::Repair => unreachable!("whoever has not answered was asked before"),
        }
    }

    const fn takes_answers(self) -> bool {
        matches!(self, Self::Read | Self::Repair | Self::Inquiry)
    }

    const fn takes_acks(self) -> bool {
        matches!(self, Self::Write | Self::WriteBack)
    }

    /// Whether clients wait for it: for a get, or for a write.
    const fn is_get(self) -> bool {
        matches!(self, Self::Read | Self::WriteBack)
    }

    const fn is_write(self) -> bool {
        matches!(self, Self::Inquiry | Self::Write)
    }
}

/// One replica: every one stores, and coordinates the requests that it gets.
#[derive(Debug)]
pub struct Quorum {
    id: ReplicaId,
    everyone: Replicas,
    window: usize,
    retry_ns: u64,
    quorums: Quorums,
    read_repair: bool,
    write_back: bool,
    query: bool,
    clock: Clock,
    coordinator: Coordinator,
    rounds: Rounds<Phase>,
    /// Batches of gets, and of writes, for which clients wait.
    gets_open: usize,
    writes_open: usize,
    /// When to ask again for registers that were lost.
    recover_at: Time,
    scratch: Vec<u8>,
}

const RETRY: usize = 0;
const READ_QUORUM: usize = 1;
const WRITE_QUORUM: usize = 2;
const VOTES: usize = 3;
const QUERY: usize = 4;
const WRITE_BACK: usize = 5;
const READ_REPAIR: usize = 6;

/// Room for what one round says of a batch, from the start.
const SCRATCH_BYTES: usize = 64 << 10;

const fn flag(name: &'static str, doc: &'static str) -> Parameter {
    let (unit, default) = (Unit::Flag, DefaultValue::Fixed(1));
    Parameter { name, unit, default, minimum: 0, maximum: 1, doc }
}

const fn count(name: &'static str, maximum: u64, doc: &'static str) -> Parameter {
    let (unit, default) = (Unit::Count, DefaultValue::Fixed(0));
    Parameter { name, unit, default, minimum: 0, maximum, doc }
}

fn quorums(replicas: usize, parameters: &[u64]) -> Result<Quorums, Conflict> {
    let (read, write) = (parameters[READ_QUORUM], parameters[WRITE_QUORUM]);
    Quorums::read(replicas, read, write, parameters[VOTES])
}

impl Protocol for Quorum {
    const NAME: &'static str = "quorum";
    const SUMMARY: &'static str = "Registers with tunable quorums of votes (Gifford, Dynamo): \
                                   linearizable, regular or eventual as its parameters say.";
    const PAPER: &'static str = "\
        Gifford, *Weighted Voting for Replicated Data* (SOSP 1979); DeCandia et al., \
        *Dynamo* (SOSP 2007)";
    const FAULT_MODEL: &'static str =
        "crash-recovery; goes on while a read and a write quorum can talk to a coordinator";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "retry",
            unit: Unit::Duration,
            default: DefaultValue::Fixed(50_000_000),
            minimum: 1_000_000,
            maximum: 10_000_000_000,
            doc: "After how long a coordinator asks again who has not answered.",
        },
        count("read_quorum", 81, "Votes that a read needs; 0 is a majority."),
        count("write_quorum", 81, "Votes that a write needs; 0 is a majority."),
        count("votes", 999_999_999, "A digit for each replica, such as 211; 0 is one vote each."),
        flag("query", "Writes ask a read quorum for the version; else their clock is it (Dynamo)."),
        flag("write_back", "Gets write back what they found at less than a write quorum."),
        flag("read_repair", "After a get its coordinator updates replicas that were behind."),
    ];
    const SERVICE: Service = Service::Registers;
    const REPAIRS: bool = true;

    type Message = Message;
    type Record = Record;

    fn validate(replicas: usize, parameters: &[u64]) -> Result<(), Conflict> {
        quorums(replicas, parameters).map(drop)
    }

    fn consistency(replicas: usize, parameters: &[u64]) -> Consistency {
        let meet = quorums(replicas, parameters).is_ok_and(|quorums| quorums.meet());
        match (meet && parameters[QUERY] == 1, parameters[WRITE_BACK] == 1) {
            (true, true) => Consistency::Linearizable,
            (true, false) => Consistency::Regular,
            (false, _) => Consistency::Eventual,
        }
    }

    fn reads(_parameters: &[u64]) -> Reads {
        Reads::OfAny
    }

    fn new(config: &Config) -> Self {
        let retry_ns = config.parameters[RETRY];
        // For each batch of gets and of writes that clients wait for, and some that repair.
        let places = 3 * config.window;
        Self {
            id: config.id,
            everyone: Replicas::first(config.replicas),
            window: config.window,
            retry_ns,
            quorums: quorums(config.replicas, &config.parameters).expect("they were validated"),
            read_repair: config.parameters[READ_REPAIR] == 1,
            write_back: config.parameters[WRITE_BACK] == 1,
            query: config.parameters[QUERY] == 1,
            clock: Clock::new(),
            coordinator: Coordinator::new(config),
            rounds: Rounds::new(places, config.replicas, retry_ns),
            gets_open: 0,
            writes_open: 0,
            recover_at: Time::NEVER,
            scratch: Vec::with_capacity(SCRATCH_BYTES),
        }
    }

    fn replay<C: Context<Self>>(&mut self, record: Record, payload: Payload, cx: &mut C) {
        registers::replay(record, payload, &mut self.coordinator, cx);
    }

    fn step<C: Context<Self>>(&mut self, input: Input<Message>, cx: &mut C) {
        let is_lost = self.coordinator.is_lost();
        match input {
            Input::Started => {
                let life = self.coordinator.begin_life(cx);
                cx.send(self.id, Message::Ready { life }, Payload::EMPTY);
                self.ask_for_registers(cx);
            }
            Input::Requests(batch) | Input::Reads(batch) if is_lost => cx.redirect(batch, None),
            Input::Requests(batch) if self.query => self.ask_versions(Phase::Inquiry, batch, cx),
            Input::Requests(batch) => self.write_now(batch, cx),
            Input::Reads(gets) => self.ask_versions(Phase::Read, gets, cx),
            Input::Message { from, message, payload } => match message {
                // What it acknowledged and what it knew is lost: it must not be counted.
                Message::Read { .. } | Message::Write { .. } | Message::Recovery {} if is_lost => {}
                Message::Read { round } => self.on_read(from, round, payload, cx),
                Message::ReadAnswer { round } => self.on_read_answer(from, round, payload, cx),
                Message::Write { round } => {
                    store(payload, cx);
                    cx.send(from, Message::WriteAck { round }, Payload::EMPTY);
                }
                Message::WriteAck { round } => self.on_write_ack(from, round, cx),
                Message::Ready { life } => self.coordinator.note_durable(life),
                Message::Recovery {} => cx.send_snapshot(from),
                Message::Repair {} => store(payload, cx),
            },
            Input::Timeout if is_lost => self.ask_for_registers(cx),
            Input::Timeout => self.ask_again(cx),
            Input::Change(_) => unreachable!("nobody asks for what cannot be changed"),
            Input::Installed { from, .. } => {
                if is_lost && !self.coordinator.take_in(from, cx) {
                    self.ask_for_registers(cx);
                }
            }
        }
    }

    fn deadline(&self) -> Time {
        if self.coordinator.is_lost() { self.recover_at } else { self.rounds.retry_at() }
    }

    fn room(&self) -> usize {
        if self.coordinator.is_ready() { self.window - self.writes_open } else { 0 }
    }

    fn reads_room(&self) -> usize {
        if self.coordinator.is_ready() { self.window - self.gets_open } else { 0 }
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        self.coordinator.checkpoint(cx);
    }

    fn check(&self) {
        self.rounds.check();
        let count =
            |is: fn(Phase) -> bool| self.rounds.iter().filter(|&(phase, _)| is(phase)).count();
        assert_eq!(count(Phase::is_get), self.gets_open);
        assert_eq!(count(Phase::is_write), self.writes_open);
        assert!(self.gets_open <= self.window);
        assert!(self.writes_open <= self.window);
        for (phase, round) in self.rounds.iter() {
            let votes = self.quorums.votes.of(round.answered);
            match phase {
                Phase::Read | Phase::Inquiry => assert!(votes < self.quorums.read),
                Phase::Write | Phase::WriteBack => assert!(votes < self.quorums.write),
                Phase::Repair => {
                    assert!(votes >= self.quorums.read);
                    assert_ne!(round.answered, self.everyone);
                }
            }
            for (answer, replica) in round.answers.iter().zip((0..).map(ReplicaId)) {
                let is_kept = phase.takes_answers() && round.answered.contains(replica);
                assert_eq!(!answer.is_empty(), is_kept);
            }
        }
    }

    fn is_whole(&self) -> bool {
        !self.coordinator.is_lost()
    }

    fn role(&self) -> Role {
        Role::Peer
    }
}

/// Stores registers, each unless a larger version is there, and so that they survive a crash.
fn store<C: Context<Quorum>>(entries: Payload, cx: &mut C) {
    write_entries(entries, cx);
    cx.append(Record::Written {}, entries);
}

// The coordinator of gets and writes.
impl Quorum {
    /// Asks all replicas for the versions of a batch's keys; for those of gets with the values.
    fn ask_versions<C: Context<Self>>(&mut self, phase: Phase, batch: Payload, cx: &mut C) {
        self.scratch.clear();
        for command in Commands::new(cx.bytes(batch)) {
            let (key, is_get) = (command.key, command.op == Op::Get);
            assert_eq!(is_get, phase.is_get(), "gets come by themselves");
            QueryItem { key, wants_value: is_get }.push(&mut self.scratch);
        }
        self.begin(phase, batch, cx);
    }

    /// Dynamo's put: the version is a timestamp of this replica's clock.
    fn write_now<C: Context<Self>>(&mut self, batch: Payload, cx: &mut C) {
        self.scratch.clear();
        for (index, command) in (0..).zip(Commands::new(cx.bytes(batch))) {
            assert_ne!(command.op, Op::Get, "gets come by themselves");
            let floor = self.coordinator.floor(command.key, cx);
            let timestamp = self.clock.stamp(command.key, cx.now(), floor);
            let tag = self.coordinator.tag(timestamp);
            let (deleted, value) = (command.op == Op::Delete, command.value);
            Entry::push(command.key, index, &Register { tag, deleted, value }, &mut self.scratch);
        }
        self.begin(Phase::Write, batch, cx);
    }

    /// A round for a batch, which asks what is in `scratch`.
    fn begin<C: Context<Self>>(&mut self, phase: Phase, batch: Payload, cx: &mut C) {
        let question = cx.store(&self.scratch);
        let place = self.rounds.free_place().unwrap_or_else(|| {
            // A repair is a kindness: it does with what has come so far.
            let place = self.rounds.oldest(Phase::Repair).expect("there is room");
            self.repair(place, cx);
            place
        });
        cx.retain(batch);
        let life = self.coordinator.life();
        self.rounds.begin(place, life, phase, batch, question, cx.now());
        self.gets_open += usize::from(phase.is_get());
        self.writes_open += usize::from(phase.is_write());
        self.rounds.ask(place, Phase::message, cx);
    }

    fn on_read_answer<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        round: u64,
        answer: Payload,
        cx: &mut C,
    ) {
        let place = self.rounds.answered(round, from, Phase::takes_answers);
        let Some(place) = place else { return };
        cx.retain(answer);
        let round = &mut self.rounds[place];
        round.answers[from.index()] = answer;
        if round.phase == Some(Phase::Repair) {
            if round.answered == self.everyone {
                self.repair(place, cx);
            }
        } else if self.quorums.votes.of(round.answered) >= self.quorums.read {
            self.end_read(place, cx);
        }
    }

    /// A read quorum has answered: what follows is to be written, or to be repaired, or nothing.
    fn end_read<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let is_get = self.rounds[place].phase == Some(Phase::Read);
        self.scratch.clear();
        if is_get {
            self.answer_gets(place, cx);
        } else {
            self.choose_versions(place, cx);
        }
        let round = &mut self.rounds[place];
        if self.scratch.is_empty() {
            if !self.read_repair {
                self.close(place, cx);
                return;
            }
            round.phase = Some(Phase::Repair);
            self.gets_open -= 1;
            if round.answered == self.everyone {
                self.repair(place, cx);
            }
            return;
        }
        // What is written goes to all replicas, so there is nothing to repair.
        round.release_answers(cx);
        cx.release(round.question);
        round.question = cx.store(&self.scratch);
        round.phase = Some(if is_get { Phase::WriteBack } else { Phase::Write });
        round.answered = Replicas::NONE;
        self.rounds.ask(place, Phase::message, cx);
    }

    /// Answers gets with the newest of what a read quorum told, or gathers that to write it back.
    fn answer_gets<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = &self.rounds[place];
        let mut answers = Answers::of(round);
        let mut command_at = 0;
        let all_are_enough = self.quorums.votes.of(round.answered) >= self.quorums.write;
        for index in 0..round.batch.commands {
            let command = command_at_offset(cx.bytes(round.batch), command_at);
            command_at += command.encoded_bytes();
            let (newest, holders) = answers.newest(true, cx);
            // A write quorum of holders has it durably: nobody reads an older one later. Of a key that
            // was never written there is no older one.
            let is_settled = if newest.tag == Tag::ZERO {
                true
            } else if holders == round.answered {
                all_are_enough
            } else {
                self.quorums.votes.of(holders) >= self.quorums.write
            };
            if is_settled || !self.write_back {
                let (session, sequence) = (command.session.0, command.sequence);
                cx.reply(session, sequence, newest.status(), newest.tag, newest.value.bytes);
            } else {
                Entry::push(command.key, index, &register(&newest, cx), &mut self.scratch);
            }
        }
    }

    /// Gathers what is written, each under a version above those that a read quorum told.
    fn choose_versions<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = &self.rounds[place];
        let mut answers = Answers::of(round);
        for (index, command) in (0..).zip(Commands::new(cx.bytes(round.batch))) {
            let (newest, _) = answers.newest(false, cx);
            let tag = self.coordinator.tag_above(newest.tag, command.key, cx);
            let (deleted, value) = (command.op == Op::Delete, command.value);
            Entry::push(command.key, index, &Register { tag, deleted, value }, &mut self.scratch);
        }
    }

    fn on_write_ack<C: Context<Self>>(&mut self, from: ReplicaId, round: u64, cx: &mut C) {
        let Some(place) = self.rounds.answered(round, from, Phase::takes_acks) else { return };
        let round = &self.rounds[place];
        if self.quorums.votes.of(round.answered) >= self.quorums.write {
            reply_to_written(round.batch, round.question, cx);
            self.close(place, cx);
        }
    }

    fn close<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let phase = self.rounds[place].phase.expect("a round ends once");
        self.gets_open -= usize::from(phase.is_get());
        self.writes_open -= usize::from(phase.is_write());
        self.rounds[place].release_answers(cx);
        self.rounds.close(place, cx);
    }

    /// Read repair: whoever answered with an old version gets the newest one.
    fn repair<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = &self.rounds[place];
        let mut behind = Replicas::NONE;
        let mut answers = Answers::of(round);
        for _ in 0..round.batch.commands {
            let (_, holders) = answers.newest(true, cx);
            for replica in round.answered.without(holders).iter() {
                behind.insert(replica);
            }
        }
        for replica in behind.iter() {
            let mut answers = Answers::of(round);
            self.scratch.clear();
            for (index, command) in (0..).zip(Commands::new(cx.bytes(round.batch))) {
                let (newest, holders) = answers.newest(true, cx);
                if !holders.contains(replica) {
                    Entry::push(command.key, index, &register(&newest, cx), &mut self.scratch);
                }
            }
            let entries = cx.store(&self.scratch);
            // It promises nothing: what it says was durable where it was read.
            cx.send_now(replica, Message::Repair {}, entries);
            cx.release(entries);
        }
        self.close(place, cx);
    }

    fn ask_again<C: Context<Self>>(&mut self, cx: &mut C) {
        self.rounds.rest(cx.now());
        for place in 0..self.rounds.capacity() {
            match self.rounds.overdue(place, cx.now()) {
                None => {}
                Some(Phase::Repair) => self.repair(place, cx),
                Some(Phase::Read | Phase::WriteBack | Phase::Inquiry | Phase::Write) => {
                    self.rounds.ask(place, Phase::message, cx);
                }
            }
        }
    }
}

/// An answer as it is to be stored elsewhere.
fn register<'a, C: Context<Quorum>>(answer: &Answer, cx: &'a C) -> Register<'a> {
    let Answer { tag, value } = *answer;
    Register { tag, deleted: value.deleted, value: cx.bytes(value.bytes) }
}

// The replica that stores.
impl Quorum {
    fn on_read<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        round: u64,
        question: Payload,
        cx: &mut C,
    ) {
        self.scratch.clear();
        for item in QueryItem::all(cx.bytes(question)) {
            Answer::push(&cx.register(item.key), item.wants_value, &mut self.scratch);
        }
        let answer = cx.store(&self.scratch);
        // Held until what it tells is durable: a reader relies on it.
        cx.send(from, Message::ReadAnswer { round }, answer);
        cx.release(answer);
    }

    /// Asks a replica that has not sent its registers, while this one has not got back what it lost.
    fn ask_for_registers<C: Context<Self>>(&mut self, cx: &mut C) {
        self.recover_at = cx.now() + self.retry_ns;
        if let Some(next) = self.coordinator.next_to_ask() {
            // A question promises nothing.
            cx.send_now(next, Message::Recovery {}, Payload::EMPTY);
        }
    }
}
