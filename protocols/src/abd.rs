//! ABD: atomic registers by quorum reads and quorum writes, without a leader.
//!
//! Attiya, Bar-Noy and Dolev, *Sharing Memory Robustly in Message-Passing Systems* (JACM 1995),
//! with several writers as in Lynch and Shvartsman (FTCS 1997): a writer first asks a majority for
//! the highest tag, then writes with a higher one; a reader asks a majority and writes back what it
//! found, unless all of the majority agreed already.
//!
//! **Promises** linearizability of each register (get, put, delete) as long as a majority can talk;
//! any replica coordinates. **Assumes** crash-recovery replicas that keep what was synced. It is
//! not a state machine: compare-and-swap and add cannot be had (they need consensus), and a put that
//! is sent twice is two writes.
//!
//! Requests of a turn share one round, whose messages carry one item for each command. What is not
//! in the paper: how a coordinator that restarts makes its tags, and how a replica that lost its disk
//! gets its registers back (`registers/coordinator.rs`).

use alloc::vec::Vec;

use crate::command::{Commands, Op};
use crate::protocol::{
    Config, Conflict, Context, Default as DefaultValue, Input, Parameter, Protocol, Register, Role,
    Service, Unit,
};
use crate::registers::coordinator::Coordinator;
use crate::registers::items::{Answer, Entry, QueryItem};
use crate::registers::rounds::{Answers, Rounds};
use crate::registers::{self, Record, command_at_offset, reply_to_written, write_entries};
use crate::types::{Payload, ReplicaId, Replicas, Time};
use crate::wire_enum;

wire_enum! {
    /// What replicas say to each other. The paper's first phase is `Query`, its second `Write`.
    pub enum Message {
        /// Asks for the tags of the keys in the payload, and for the values that a reader wants.
        Query = 1 {
            /// The coordinator's name for this round.
            round: u64,
        },
        /// Tags and values, one for each key asked for.
        QueryAnswer = 2 {
            /// The round answered.
            round: u64,
        },
        /// Asks to store what the payload says, unless a larger tag is there.
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
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Query,
    Write,
}

impl Phase {
    /// What a round in this phase asks.
    const fn message(self, round: u64) -> Message {
        match self {
            Self::Query => Message::Query { round },
            Self::Write => Message::Write { round },
        }
    }
}

/// One replica: every one stores, and coordinates the requests that it gets.
#[derive(Debug)]
pub struct Abd {
    id: ReplicaId,
    replicas: usize,
    retry_ns: u64,
    coordinator: Coordinator,
    rounds: Rounds<Phase>,
    /// When to ask again for registers that were lost.
    repair_at: Time,
    scratch: Vec<u8>,
}

const RETRY: usize = 0;

/// Room for what one round says of a batch, from the start.
const SCRATCH_BYTES: usize = 64 << 10;

impl Protocol for Abd {
    const NAME: &'static str = "abd";
    const SUMMARY: &'static str =
        "ABD: quorum reads and quorum writes of atomic registers, no leader; linearizable.";
    const PAPER: &'static str = "\
        Attiya, Bar-Noy and Dolev, *Sharing Memory Robustly in Message-Passing Systems* \
        (JACM 1995); Lynch and Shvartsman (FTCS 1997)";
    const FAULT_MODEL: &'static str =
        "crash-recovery; goes on while a majority can talk to a coordinator";
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "retry",
        unit: Unit::Duration,
        default: DefaultValue::Fixed(50_000_000),
        minimum: 1_000_000,
        maximum: 10_000_000_000,
        doc: "After how long a coordinator asks again who has not answered.",
    }];
    const SERVICE: Service = Service::Registers;
    const REPAIRS: bool = true;

    type Message = Message;
    type Record = Record;

    fn validate(_replicas: usize, _parameters: &[u64]) -> Result<(), Conflict> {
        Ok(())
    }

    fn new(config: &Config) -> Self {
        let retry_ns = config.parameters[RETRY];
        Self {
            id: config.id,
            replicas: config.replicas,
            retry_ns,
            coordinator: Coordinator::new(config),
            rounds: Rounds::new(config.window, config.replicas, retry_ns),
            repair_at: Time::NEVER,
            scratch: Vec::with_capacity(SCRATCH_BYTES),
        }
    }

    fn replay<C: Context<Self>>(&mut self, record: Record, payload: Payload, cx: &mut C) {
        registers::replay(record, payload, &mut self.coordinator, cx);
    }

    fn step<C: Context<Self>>(&mut self, input: Input<Message>, cx: &mut C) {
        match input {
            Input::Started => {
                let life = self.coordinator.begin_life(cx);
                cx.send(self.id, Message::Ready { life }, Payload::EMPTY);
                self.ask_for_registers(cx);
            }
            Input::Requests(batch) if self.coordinator.is_lost() => cx.redirect(batch, None),
            Input::Requests(batch) => self.query(batch, cx),
            Input::Reads(_) => unreachable!("gets come among all requests"),
            Input::Message { from, message, payload } => match message {
                // What it acknowledged and what it knew is lost: it must not be counted.
                Message::Query { .. } | Message::Write { .. } | Message::Recovery {}
                    if self.coordinator.is_lost() => {}
                Message::Query { round } => self.on_query(from, round, payload, cx),
                Message::QueryAnswer { round } => self.on_query_answer(from, round, payload, cx),
                Message::Write { round } => Self::on_write(from, round, payload, cx),
                Message::WriteAck { round } => self.on_write_ack(from, round, cx),
                Message::Ready { life } => self.coordinator.note_durable(life),
                Message::Recovery {} => cx.send_snapshot(from),
            },
            Input::Timeout if self.coordinator.is_lost() => self.ask_for_registers(cx),
            Input::Timeout => self.ask_again(cx),
            Input::Change(_) => unreachable!("nobody asks for what cannot be changed"),
            Input::Installed { from, .. } => {
                if self.coordinator.is_lost() && !self.coordinator.take_in(from, cx) {
                    self.ask_for_registers(cx);
                }
            }
        }
    }

    fn deadline(&self) -> Time {
        if self.coordinator.is_lost() { self.repair_at } else { self.rounds.retry_at() }
    }

    fn room(&self) -> usize {
        if self.coordinator.is_ready() { self.rounds.capacity() - self.rounds.open() } else { 0 }
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        self.coordinator.checkpoint(cx);
    }

    fn check(&self) {
        self.rounds.check();
        for (_, round) in self.rounds.iter() {
            assert!(round.answered.len() < self.majority());
        }
    }

    fn is_whole(&self) -> bool {
        !self.coordinator.is_lost()
    }

    fn role(&self) -> Role {
        Role::Peer
    }
}

impl Abd {
    fn majority(&self) -> usize {
        self.replicas / 2 + 1
    }

    /// Asks a replica that has not sent its registers, while this one has not got back what it lost.
    fn ask_for_registers<C: Context<Self>>(&mut self, cx: &mut C) {
        self.repair_at = cx.now() + self.retry_ns;
        if let Some(next) = self.coordinator.next_to_ask() {
            // A question promises nothing.
            cx.send_now(next, Message::Recovery {}, Payload::EMPTY);
        }
    }

    /// Phase 1 for a batch: asks everyone, itself included.
    fn query<C: Context<Self>>(&mut self, batch: Payload, cx: &mut C) {
        cx.retain(batch);
        self.scratch.clear();
        for command in Commands::new(cx.bytes(batch)) {
            let wants_value = command.op == Op::Get;
            QueryItem { key: command.key, wants_value }.push(&mut self.scratch);
        }
        let question = cx.store(&self.scratch);
        let place = self.rounds.free_place().expect("there is room");
        let life = self.coordinator.life();
        self.rounds.begin(place, life, Phase::Query, batch, question, cx.now());
        self.rounds.ask(place, Phase::message, cx);
    }

    fn ask_again<C: Context<Self>>(&mut self, cx: &mut C) {
        self.rounds.rest(cx.now());
        for place in 0..self.rounds.capacity() {
            if self.rounds.overdue(place, cx.now()).is_some() {
                self.rounds.ask(place, Phase::message, cx);
            }
        }
    }

    fn on_query<C: Context<Self>>(
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
        cx.send(from, Message::QueryAnswer { round }, answer);
        cx.release(answer);
    }

    fn on_query_answer<C: Context<Self>>(
        &mut self,
        from: ReplicaId,
        round: u64,
        answer: Payload,
        cx: &mut C,
    ) {
        let is_query = |phase| phase == Phase::Query;
        let Some(place) = self.rounds.answered(round, from, is_query) else { return };
        cx.retain(answer);
        self.rounds[place].answers[from.index()] = answer;
        if self.rounds[place].answered.len() < self.majority() {
            return;
        }
        self.merge(place, cx);
        let round = &mut self.rounds[place];
        round.release_answers(cx);
        if self.scratch.is_empty() {
            self.rounds.close(place, cx);
            return;
        }
        cx.release(round.question);
        round.question = cx.store(&self.scratch);
        round.phase = Some(Phase::Write);
        round.answered = Replicas::NONE;
        self.rounds.ask(place, Phase::message, cx);
    }

    /// A majority has answered: replies to the reads on which all of it agreed, and gathers in
    /// `scratch` what the others write: new values under new tags, and what readers write back.
    fn merge<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = &self.rounds[place];
        let mut answers = Answers::of(round);
        let mut command_at = 0;
        self.scratch.clear();
        for index in 0..round.batch.commands {
            let command = command_at_offset(cx.bytes(round.batch), command_at);
            command_at += command.encoded_bytes();
            let is_read = command.op == Op::Get;
            let (newest, holders) = answers.newest(is_read, cx);
            let register = if is_read {
                if holders == round.answered {
                    let (session, sequence) = (command.session.0, command.sequence);
                    cx.reply(session, sequence, newest.status(), newest.tag, newest.value.bytes);
                    continue;
                }
                let Answer { tag, value } = newest;
                Register { tag, deleted: value.deleted, value: cx.bytes(value.bytes) }
            } else {
                let tag = self.coordinator.tag_above(newest.tag, command.key, cx);
                Register { tag, deleted: command.op == Op::Delete, value: command.value }
            };
            Entry::push(command.key, index, &register, &mut self.scratch);
        }
    }

    fn on_write<C: Context<Self>>(from: ReplicaId, round: u64, entries: Payload, cx: &mut C) {
        write_entries(entries, cx);
        cx.append(Record::Written {}, entries);
        cx.send(from, Message::WriteAck { round }, Payload::EMPTY);
    }

    fn on_write_ack<C: Context<Self>>(&mut self, from: ReplicaId, round: u64, cx: &mut C) {
        let is_write = |phase| phase == Phase::Write;
        let Some(place) = self.rounds.answered(round, from, is_write) else { return };
        if self.rounds[place].answered.len() < self.majority() {
            return;
        }
        let round = &self.rounds[place];
        reply_to_written(round.batch, round.question, cx);
        self.rounds.close(place, cx);
    }
}
