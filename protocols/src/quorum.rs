//! Replicated registers with tunable N, R and W: quorums of votes, from Gifford's to Dynamo's.
//!
//! Gifford, *Weighted Voting for Replicated Data* (SOSP 1979): each replica has votes, a read needs
//! `r` of them and a write `w`. With `query` a write first asks a read quorum for the version, and
//! writes a higher one, as there. DeCandia et al., *Dynamo: Amazon's Highly Available Key-value Store*
//! (SOSP 2007), sections 4.5 and 5: without `query` a write asks nobody; its version is a timestamp
//! of its coordinator's clock, and the last one wins. After a get that found replicas behind, the
//! coordinator waits a little for the rest and updates them (`read_repair`). With `copies` only so many
//! replicas hold a key, the first ones on a ring (section 4.3); whoever is asked coordinates. With
//! `sloppy` quorums others stand in for replicas that do not answer in time, and keep what they take
//! with a hint until it can be handed off (section 4.6; `quorum/handoff.rs`).
//!
//! **Promises**, with N for all votes: if R + W > N, with `query`, linearizability of each register,
//! as long as gets write back what they found at less than a write quorum (`write_back`, from ABD);
//! without, regularity: two gets one after the other may see a new value and then an old one. If R +
//! W is not more than N, or without `query`, or with `sloppy`, only what Dynamo promises: a get
//! returns something that was written. N is then `copies`, and a sloppy quorum need not have a
//! replica in common with another. Sloppy writes go on after their answer until each of the key's
//! replicas has them or another one stands in for it; so all come to hold the newest value, and with
//! `read_repair` also where a coordinator crashed halfway. Gifford's version numbers need 2 W > N
//! besides, lest two writers choose the same; here versions are tags that name their writer.
//! **Assumes** crash-recovery replicas that keep what was synced, and no clock but for that last
//! order of writes. It is not a state machine: no compare-and-swap, no add, and a put that is sent
//! twice is two writes.
//!
//! What the papers leave open or have and this has not: transactions and locks (Gifford), vector
//! clocks with values that clients merge, Merkle trees, and gossip about who is there (Dynamo): here a
//! replica is there if it answers within `retry`. One that did not is asked on and on, but others stand
//! in for it at once until it is heard again (section 4.8.3). A replica that missed a write gets it by a
//! read repair, a write back, a hint or the next write of the key. A hint is lost with the disk of who
//! keeps it, and a replica that lost its own may miss what is handed from one to another while it asks
//! them.
//! How a coordinator that restarts makes its tags, and how a replica that lost its disk gets its
//! registers back, is in `registers/coordinator.rs`; a write that needs the votes of one replica
//! alone is lost with its disk.

use alloc::vec::Vec;

use crate::command::{Commands, Op};
use crate::protocol::{
    Config, Conflict, Consistency, Context, Default as DefaultValue, Hints as HintCounts, Input,
    Parameter, Protocol, Reads, Register, Role, Service, Unit,
};
use crate::registers::coordinator::Coordinator;
use crate::registers::items::{Answer, Entry, QueryItem};
use crate::registers::rounds::{Answers, Rounds};
use crate::registers::{self, Record, command_at_offset, reply_to_written, write_entries};
use crate::types::{Payload, ReplicaId, Replicas, Tag, Time};
use crate::wire_enum;

mod clock;
mod handoff;
mod hints;
pub mod ring;
pub mod votes;

use clock::Clock;
use hints::Hints;
use ring::Ring;
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
        /// Asks to keep what the payload says for a replica that does not answer.
        HintedWrite = 8 {
            /// The coordinator's name for this round.
            round: u64,
            /// That replica.
            meant_for: ReplicaId,
        },
        /// It is kept.
        HintedAck = 9 {
            /// The round answered.
            round: u64,
            /// For whom.
            meant_for: ReplicaId,
        },
        /// What the payload says was kept for the receiver.
        Handoff = 10 {
            /// The sender's number for this batch of hints.
            batch: u64,
        },
        /// It is stored.
        HandoffAck = 11 {
            /// The batch answered.
            batch: u64,
        },
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
    /// A write that is answered, with sloppy quorums, waits for the rest of the replicas, to let others
    /// stand in for those that do not answer.
    Spread,
}

impl Phase {
    /// What a round in this phase asks.
    fn message(self, round: u64) -> Message {
        match self {
            Self::Read | Self::Inquiry => Message::Read { round },
            Self::Write | Self::WriteBack | Self::Spread => Message::Write { round },
            Self::Repair => unreachable!("whoever has not answered was asked before"),
        }
    }

    const fn takes_answers(self) -> bool {
        matches!(self, Self::Read | Self::Repair | Self::Inquiry)
    }

    const fn takes_acks(self) -> bool {
        matches!(self, Self::Write | Self::WriteBack | Self::Spread)
    }

    /// Whether clients wait for it: for a get, or for a write.
    const fn is_get(self) -> bool {
        matches!(self, Self::Read | Self::WriteBack)
    }

    const fn is_write(self) -> bool {
        matches!(self, Self::Inquiry | Self::Write)
    }

    /// Whether nobody waits for it.
    const fn is_kindness(self) -> bool {
        matches!(self, Self::Repair | Self::Spread)
    }
}

/// One replica: every one stores, and coordinates the requests that it gets.
#[derive(Debug)]
pub struct Quorum {
    id: ReplicaId,
    everyone: Replicas,
    /// Rounds of gets, and of writes, that clients may wait for.
    rounds_max: usize,
    retry_ns: u64,
    ring: Ring,
    quorums: Quorums,
    sloppy: bool,
    read_repair: bool,
    write_back: bool,
    query: bool,
    clock: Clock,
    coordinator: Coordinator,
    rounds: Rounds<Phase>,
    hints: Hints,
    /// Rounds of gets, and of writes, for which clients wait.
    gets_open: usize,
    writes_open: usize,
    /// Sloppy: who did not answer in time, and was not heard since.
    absent: Replicas,
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
const COPIES: usize = 7;
const SLOPPY: usize = 8;

/// Room for what one round says of a batch, from the start.
const SCRATCH_BYTES: usize = 64 << 10;

const fn flag(name: &'static str, default: bool, doc: &'static str) -> Parameter {
    let (unit, default) = (Unit::Flag, DefaultValue::Fixed(default as u64));
    Parameter { name, unit, default, minimum: 0, maximum: 1, doc }
}

const fn count(name: &'static str, maximum: u64, doc: &'static str) -> Parameter {
    let (unit, default) = (Unit::Count, DefaultValue::Fixed(0));
    Parameter { name, unit, default, minimum: 0, maximum, doc }
}

fn quorums(replicas: usize, parameters: &[u64]) -> Result<Quorums, Conflict> {
    let (read, write) = (parameters[READ_QUORUM], parameters[WRITE_QUORUM]);
    Quorums::read(replicas, read, write, parameters[VOTES], parameters[COPIES])
}

impl Protocol for Quorum {
    const NAME: &'static str = "quorum";
    const SUMMARY: &'static str = "Registers with tunable quorums of votes (Gifford, Dynamo): \
                                   linearizable, regular or eventual as its parameters say.";
    const PAPER: &'static str = "\
        Gifford, *Weighted Voting for Replicated Data* (SOSP 1979); DeCandia et al., \
        *Dynamo* (SOSP 2007)";
    const FAULT_MODEL: &'static str = "crash-recovery; goes on while a read and a write quorum of a key's replicas, or with `sloppy` of \
         any, can talk to a coordinator";
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
        flag(
            "query",
            true,
            "Writes ask a read quorum for the version; else their clock is it (Dynamo).",
        ),
        flag("write_back", true, "Gets write back what they found at less than a write quorum."),
        flag("read_repair", true, "After a get its coordinator updates replicas that were behind."),
        count("copies", 9, "Replicas that hold a key (Dynamo's N), with one vote each; 0 is all."),
        flag("sloppy", false, "Others stand in for a key's replicas that do not answer in time."),
    ];
    const SERVICE: Service = Service::Registers;
    const REPAIRS: bool = true;

    type Message = Message;
    type Record = Record;

    fn validate(replicas: usize, parameters: &[u64]) -> Result<(), Conflict> {
        quorums(replicas, parameters)?;
        if parameters[SLOPPY] == 1 && Ring::new(replicas, parameters[COPIES]).lists() == 1 {
            return Err(Conflict {
                parameter: "sloppy",
                rule: "needs replicas that do not hold a key, to stand in for those that do",
                instead: "write copies less than cluster.replicas, such as copies: 3 of 5",
            });
        }
        Ok(())
    }

    fn consistency(replicas: usize, parameters: &[u64]) -> Consistency {
        let meet = quorums(replicas, parameters).is_ok_and(|quorums| quorums.meet());
        let atomic = meet && parameters[QUERY] == 1 && parameters[SLOPPY] == 0;
        match (atomic, parameters[WRITE_BACK] == 1) {
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
        let ring = Ring::new(config.replicas, config.parameters[COPIES]);
        // A batch becomes a round for each preference list.
        let rounds_max = config.window.max(ring.lists());
        // For each round of gets and of writes that clients wait for, and some that nobody waits for.
        let places = 3 * rounds_max;
        Self {
            id: config.id,
            everyone: Replicas::first(config.replicas),
            rounds_max,
            retry_ns,
            ring,
            quorums: quorums(config.replicas, &config.parameters).expect("they were validated"),
            sloppy: config.parameters[SLOPPY] == 1,
            read_repair: config.parameters[READ_REPAIR] == 1,
            write_back: config.parameters[WRITE_BACK] == 1,
            query: config.parameters[QUERY] == 1,
            clock: Clock::new(),
            coordinator: Coordinator::new(config),
            rounds: Rounds::new(places, config.replicas, retry_ns),
            hints: Hints::new(retry_ns),
            gets_open: 0,
            writes_open: 0,
            absent: Replicas::NONE,
            recover_at: Time::NEVER,
            scratch: Vec::with_capacity(SCRATCH_BYTES),
        }
    }

    fn replay<C: Context<Self>>(&mut self, record: Record, payload: Payload, cx: &mut C) {
        if let Record::Hinted { meant_for } = record {
            self.keep_hints(meant_for, payload, cx);
            self.hints.wake_by(Time(0));
        } else {
            registers::replay(record, payload, &mut self.coordinator, cx);
        }
    }

    fn step<C: Context<Self>>(&mut self, input: Input<Message>, cx: &mut C) {
        let is_lost = self.coordinator.is_lost();
        match input {
            Input::Started => {
                let life = self.coordinator.begin_life(cx);
                cx.send(self.id, Message::Ready { life }, Payload::EMPTY);
                self.hints.rest(cx.now());
                self.ask_for_registers(cx);
            }
            Input::Requests(batch) | Input::Reads(batch) if is_lost => cx.redirect(batch, None),
            Input::Requests(batch) if self.query => {
                self.divide(batch, cx, |self_, part, cx| {
                    self_.ask_versions(Phase::Inquiry, part, cx);
                });
            }
            Input::Requests(batch) => self.divide(batch, cx, Self::write_now),
            Input::Reads(gets) => {
                self.divide(gets, cx, |self_, part, cx| self_.ask_versions(Phase::Read, part, cx));
            }
            Input::Message { from, message, payload } => {
                self.on_message(from, message, payload, cx)
            }
            Input::Timeout if is_lost => self.ask_for_registers(cx),
            Input::Timeout => {
                if cx.now() >= self.rounds.retry_at() {
                    self.ask_again(cx);
                }
                if cx.now() >= self.hints.retry_at() {
                    self.hand_off_all(cx);
                }
            }
            Input::Change(_) => unreachable!("nobody asks for what cannot be changed"),
            Input::Installed { from, .. } => {
                if is_lost && !self.coordinator.take_in(from, cx) {
                    self.ask_for_registers(cx);
                }
            }
        }
    }

    fn deadline(&self) -> Time {
        if self.coordinator.is_lost() {
            self.recover_at
        } else {
            self.rounds.retry_at().min(self.hints.retry_at())
        }
    }

    fn room(&self) -> usize {
        self.room_beside(self.writes_open)
    }

    fn reads_room(&self) -> usize {
        self.room_beside(self.gets_open)
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        self.coordinator.checkpoint(cx);
        self.checkpoint_hints(cx);
    }

    fn check(&self) {
        self.rounds.check();
        self.hints.check(self.id);
        let count =
            |is: fn(Phase) -> bool| self.rounds.iter().filter(|&(phase, _)| is(phase)).count();
        assert_eq!(count(Phase::is_get), self.gets_open);
        assert_eq!(count(Phase::is_write), self.writes_open);
        assert!(self.gets_open <= self.rounds_max);
        assert!(self.writes_open <= self.rounds_max);
        assert!(self.sloppy || self.absent.is_empty(), "others stand in for the absent");
        for (phase, round) in self.rounds.iter() {
            let votes = self.quorums.votes.of(round.answered);
            match phase {
                Phase::Read | Phase::Inquiry => assert!(votes < self.quorums.read),
                Phase::Write | Phase::WriteBack => assert!(votes < self.quorums.write),
                Phase::Repair => {
                    assert!(votes >= self.quorums.read);
                    assert_ne!(round.answered, round.participants);
                }
                Phase::Spread => {
                    assert!(self.sloppy);
                    assert!(votes >= self.quorums.write);
                    assert_ne!(round.answered, round.participants);
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

    fn hints(&self) -> HintCounts {
        self.hints.counts()
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

impl Quorum {
    fn on_message<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        message: Message,
        payload: Payload,
        cx: &mut C,
    ) {
        self.absent = self.absent.without(Replicas::only(from));
        match message {
            // What it acknowledged and what it knew is lost: it must not be counted.
            Message::Read { .. }
            | Message::Write { .. }
            | Message::HintedWrite { .. }
            | Message::Handoff { .. }
            | Message::Recovery {}
                if self.coordinator.is_lost() => {}
            Message::Read { round } => self.on_read(from, round, payload, cx),
            Message::ReadAnswer { round } => self.on_read_answer(from, round, payload, cx),
            Message::Write { round } => {
                store(payload, cx);
                cx.send(from, Message::WriteAck { round }, Payload::EMPTY);
            }
            Message::WriteAck { round } => self.on_write_ack(from, round, cx),
            Message::Ready { life } => self.coordinator.note_durable(life),
            Message::Recovery {} => {
                self.store_hints(cx);
                cx.send_snapshot(from);
            }
            Message::Repair {} => store(payload, cx),
            Message::HintedWrite { round, meant_for } => {
                self.on_hinted_write(from, round, meant_for, payload, cx);
            }
            Message::HintedAck { round, meant_for } => {
                self.on_hinted_ack(from, round, meant_for, cx);
            }
            Message::Handoff { batch } => {
                store(payload, cx);
                cx.send(from, Message::HandoffAck { batch }, Payload::EMPTY);
            }
            Message::HandoffAck { batch } => self.on_handoff_ack(from, batch, cx),
        }
    }

    /// Batches that may come beside so many open rounds: each may become a round for each list.
    fn room_beside(&self, open: usize) -> usize {
        if self.coordinator.is_ready() { (self.rounds_max - open) / self.ring.lists() } else { 0 }
    }

    /// Begins a round for the commands of each preference list: all replicas of a round are asked the
    /// same.
    fn divide<C: Context<Self>>(
        &mut self,
        batch: Payload,
        cx: &mut C,
        begin: impl Fn(&mut Self, Payload, &mut C),
    ) {
        if self.ring.lists() == 1 {
            return begin(self, batch, cx);
        }
        for list in 0..self.ring.lists() {
            self.scratch.clear();
            let mut commands = 0;
            for command in Commands::new(cx.bytes(batch)) {
                if self.ring.list_of(command.key) == list {
                    command.encode(&mut self.scratch);
                    commands += 1;
                }
            }
            if commands > 0 {
                let part = Payload { commands, ..cx.store(&self.scratch) };
                begin(self, part, cx);
                cx.release(part);
            }
        }
    }

    /// The preference list of a round's batch.
    fn list_of_batch<C: Context<Self>>(&self, batch: Payload, cx: &C) -> usize {
        let first = Commands::new(cx.bytes(batch)).next().expect("a batch has commands");
        self.ring.list_of(first.key)
    }
}

// The coordinator of gets and writes.
impl Quorum {
    /// Asks all that hold a batch's keys for the versions; for those of gets with the values.
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
            let place = self.rounds.oldest(Phase::is_kindness).expect("there is room");
            if self.rounds[place].phase == Some(Phase::Repair) {
                // It does with what has come so far.
                self.repair(place, cx);
            } else {
                self.close(place, cx);
            }
            place
        });
        cx.retain(batch);
        let life = self.coordinator.life();
        self.rounds.begin(place, life, phase, batch, question, cx.now());
        self.rounds[place].participants = self.holders(batch, cx);
        self.gets_open += usize::from(phase.is_get());
        self.writes_open += usize::from(phase.is_write());
        self.ask(place, cx);
    }

    /// Asks whom a round concerns; with sloppy quorums others, too, where some of them are absent.
    fn ask<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let everyone = self.everyone;
        let round = &mut self.rounds[place];
        let takes_answers = round.phase.is_some_and(Phase::takes_answers);
        let misses_some = !round.participants.and(self.absent).is_empty();
        if misses_some && takes_answers {
            round.participants = everyone;
        }
        self.rounds.ask(place, Phase::message, cx);
        if misses_some && !takes_answers {
            self.offer_hints(place, cx);
        }
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
            if round.answered == round.participants {
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
        if self.scratch.is_empty() {
            if !self.read_repair {
                self.close(place, cx);
                return;
            }
            let round = &mut self.rounds[place];
            round.phase = Some(Phase::Repair);
            self.gets_open -= 1;
            if round.answered == round.participants {
                self.repair(place, cx);
            }
            return;
        }
        // What is written goes to all that hold the keys, so there is nothing to repair.
        let holders = self.holders(self.rounds[place].batch, cx);
        let round = &mut self.rounds[place];
        round.participants = holders;
        round.release_answers(cx);
        cx.release(round.question);
        round.question = cx.store(&self.scratch);
        round.phase = Some(if is_get { Phase::WriteBack } else { Phase::Write });
        round.answered = Replicas::NONE;
        self.ask(place, cx);
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
        self.note_written(place, cx);
    }

    /// One more of the replicas that a write is for has it, or another one in its place.
    fn note_written<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = &mut self.rounds[place];
        let is_everywhere = round.answered == round.participants;
        if round.phase != Some(Phase::Spread) {
            if self.quorums.votes.of(round.answered) < self.quorums.write {
                return;
            }
            reply_to_written(round.batch, round.question, cx);
            if self.sloppy && round.phase == Some(Phase::Write) && !is_everywhere {
                round.phase = Some(Phase::Spread);
                self.writes_open -= 1;
                return;
            }
        } else if !is_everywhere {
            return;
        }
        self.close(place, cx);
    }

    fn close<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let phase = self.rounds[place].phase.expect("a round ends once");
        self.gets_open -= usize::from(phase.is_get());
        self.writes_open -= usize::from(phase.is_write());
        self.rounds[place].release_answers(cx);
        self.rounds.close(place, cx);
    }

    /// Read repair: whoever holds a key and answered with an old version gets the newest one.
    fn repair<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = &self.rounds[place];
        let strangers = self.everyone.without(self.holders(round.batch, cx));
        let mut behind = Replicas::NONE;
        let mut answers = Answers::of(round);
        for _ in 0..round.batch.commands {
            let (_, holders) = answers.newest(true, cx);
            for replica in round.answered.without(holders).without(strangers).iter() {
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
                Some(_) => {
                    self.note_absent(place);
                    self.ask(place, cx);
                }
            }
        }
    }

    /// With sloppy quorums, whoever was asked in time and has said nothing counts as absent.
    fn note_absent(&mut self, place: usize) {
        if !self.sloppy {
            return;
        }
        let round = &self.rounds[place];
        let silent = round.participants.without(round.answered).iter();
        let unwilling = round.offered.without(round.stand_ins).iter();
        for replica in silent.chain(unwilling) {
            self.absent.insert(replica);
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
            let register = cx.register(item.key);
            let hint = self.hints.newest(item.key).filter(|hint| hint.tag > register.tag);
            Answer::push(&hint.unwrap_or(register), item.wants_value, &mut self.scratch);
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
