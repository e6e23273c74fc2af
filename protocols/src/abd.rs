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
//! in the paper: a coordinator that restarts must not use a tag twice, so each life of a replica has
//! a number, durable before its first round, that is part of its tags and of its rounds' names. And a
//! replica that lost its disk answers nobody until each other one has sent it all registers: whatever
//! it had acknowledged, another one that counted the acknowledgement stores too. As it does not know
//! its lives any more, its tags are from then on above all that it stores for a key itself.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::command::{Command, Commands, Op, Status};
use crate::protocol::{
    Config, Conflict, Context, Default as DefaultValue, Input, Parameter, Protocol, Register, Role,
    Service, Unit,
};
use crate::types::{Payload, REPLICAS_MAX, ReplicaId, Replicas, Tag, Time};
use crate::wire_enum;

mod items;

use items::{Answer, Entry, QueryItem};

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

wire_enum! {
    /// What survives a crash.
    pub enum Record {
        /// The number of a life of this replica.
        Life = 1 {
            /// It grows with each restart.
            life: u16,
        },
        /// Registers that were written; they are the payload.
        Written = 2 {},
        /// This replica once lost its lives and its registers, and got those back.
        Recovered = 3 {},
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    #[default]
    Free,
    Query,
    Write,
}

/// A batch on its way through the two phases.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    phase: Phase,
    name: u64,
    /// The requests.
    batch: Payload,
    /// What the present phase asks: query items, or entries to write.
    question: Payload,
    /// Who has answered the present phase.
    answered: Replicas,
    /// The answers to the query, by replica.
    answers: [Payload; REPLICAS_MAX],
    asked_at: Time,
}

/// One replica: every one stores, and coordinates the requests that it gets.
#[derive(Debug)]
pub struct Abd {
    id: ReplicaId,
    replicas: usize,
    retry_ns: u64,
    /// The number of this life; durable once `ready`.
    life: u16,
    ready: bool,
    /// The largest timestamp that this replica has put into a tag.
    timestamp: u64,
    rounds: Box<[Round]>,
    rounds_begun: u64,
    in_flight: usize,
    retry_at: Time,
    /// Who has sent all its registers, while this replica has not got back what it lost.
    lost: Option<Replicas>,
    /// Whether this replica ever got back what it had lost.
    recovered: bool,
    scratch: Vec<u8>,
}

const RETRY: usize = 0;

/// Room for what one round says of a batch, from the start.
const SCRATCH_BYTES: usize = 64 << 10;

impl Protocol for Abd {
    const NAME: &'static str = "abd";
    const SUMMARY: &'static str =
        "ABD: quorum reads and quorum writes of atomic registers, no leader; linearizable.";
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
        let rounds: Vec<Round> = (0..config.window).map(|_| Round::default()).collect();
        Self {
            id: config.id,
            replicas: config.replicas,
            retry_ns: config.parameters[RETRY],
            life: 0,
            ready: false,
            timestamp: 0,
            rounds: rounds.into_boxed_slice(),
            rounds_begun: 0,
            in_flight: 0,
            retry_at: Time::NEVER,
            lost: config.lost.then_some(Replicas::NONE),
            recovered: false,
            scratch: Vec::with_capacity(SCRATCH_BYTES),
        }
    }

    fn replay<C: Context<Self>>(&mut self, record: Record, payload: Payload, cx: &mut C) {
        match record {
            Record::Life { life } => self.life = self.life.max(life),
            Record::Written {} => write_entries(payload, cx),
            Record::Recovered {} => self.recovered = true,
        }
    }

    fn step<C: Context<Self>>(&mut self, input: Input<Message>, cx: &mut C) {
        match input {
            Input::Started => {
                self.life = self.life.checked_add(1).expect("a replica restarts 65,535 times");
                cx.append(Record::Life { life: self.life }, Payload::EMPTY);
                cx.send(self.id, Message::Ready { life: self.life }, Payload::EMPTY);
                self.ask_for_registers(cx);
            }
            Input::Requests(batch) if self.lost.is_some() => cx.redirect(batch, None),
            Input::Requests(batch) => self.query(batch, cx),
            Input::Reads(_) => unreachable!("gets come among all requests"),
            Input::Message { from, message, payload } => match message {
                // What it acknowledged and what it knew is lost: it must not be counted.
                Message::Query { .. } | Message::Write { .. } | Message::Recovery {}
                    if self.lost.is_some() => {}
                Message::Query { round } => self.on_query(from, round, payload, cx),
                Message::QueryAnswer { round } => self.on_query_answer(from, round, payload, cx),
                Message::Write { round } => Self::on_write(from, round, payload, cx),
                Message::WriteAck { round } => self.on_write_ack(from, round, cx),
                Message::Ready { life } => self.ready |= life == self.life,
                Message::Recovery {} => cx.send_snapshot(from),
            },
            Input::Timeout if self.lost.is_some() => self.ask_for_registers(cx),
            Input::Timeout => self.ask_again(cx),
            Input::Installed { from, .. } => self.on_installed(from, cx),
        }
    }

    fn deadline(&self) -> Time {
        self.retry_at
    }

    fn room(&self) -> usize {
        if self.ready { self.rounds.len() - self.in_flight } else { 0 }
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        cx.append(Record::Life { life: self.life }, Payload::EMPTY);
        if self.recovered {
            cx.append(Record::Recovered {}, Payload::EMPTY);
        }
    }

    fn check(&self) {
        let busy = self.rounds.iter().filter(|round| round.phase != Phase::Free).count();
        assert_eq!(busy, self.in_flight);
        for round in self.rounds.iter().filter(|round| round.phase != Phase::Free) {
            assert!(round.answered.len() < self.majority());
        }
    }

    fn is_whole(&self) -> bool {
        self.lost.is_none()
    }

    fn role(&self) -> Role {
        Role::Peer
    }
}

impl Abd {
    fn majority(&self) -> usize {
        self.replicas / 2 + 1
    }

    /// Asks the next replica that has not sent its registers: one at a time, since they are long.
    fn ask_for_registers<C: Context<Self>>(&mut self, cx: &mut C) {
        let Some(sent) = self.lost else { return };
        self.retry_at = cx.now() + self.retry_ns;
        let mut others = Replicas::first(self.replicas).without(sent).iter();
        if let Some(next) = others.find(|&other| other != self.id) {
            // A question promises nothing.
            cx.send_now(next, Message::Recovery {}, Payload::EMPTY);
        }
    }

    fn on_installed<C: Context<Self>>(&mut self, from: ReplicaId, cx: &mut C) {
        let Some(sent) = &mut self.lost else { return };
        sent.insert(from);
        if sent.len() + 1 < self.replicas {
            self.ask_for_registers(cx);
            return;
        }
        self.lost = None;
        self.recovered = true;
        self.retry_at = Time::NEVER;
        cx.append(Record::Recovered {}, Payload::EMPTY);
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
        let place = self.free_place();
        let name = self.round_name(place);
        self.rounds[place] =
            Round { phase: Phase::Query, name, batch, question, ..Round::default() };
        self.in_flight += 1;
        self.ask(place, cx);
    }

    fn free_place(&self) -> usize {
        self.rounds.iter().position(|round| round.phase == Phase::Free).expect("there is room")
    }

    /// A name that no other round of this replica ever has: its life, a count, its place.
    fn round_name(&mut self, place: usize) -> u64 {
        self.rounds_begun += 1;
        assert!(self.rounds_begun < 1 << 36);
        u64::from(self.life) << 48 | self.rounds_begun << 12 | place as u64
    }

    /// The round with this name, if it is in that phase and `from` has not answered yet.
    fn awaiting(&mut self, name: u64, phase: Phase, from: ReplicaId) -> Option<usize> {
        let place = usize::try_from(name & 0xfff).expect("12 bits");
        let round = self.rounds.get_mut(place)?;
        let awaits = round.name == name && round.phase == phase && from.index() < self.replicas;
        (awaits && round.answered.insert(from)).then_some(place)
    }

    /// Asks whoever has not answered the present phase of a round.
    fn ask<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = &mut self.rounds[place];
        round.asked_at = cx.now();
        let message = match round.phase {
            Phase::Query => Message::Query { round: round.name },
            Phase::Write => Message::Write { round: round.name },
            Phase::Free => unreachable!("only rounds on their way ask"),
        };
        for to in Replicas::first(self.replicas).without(round.answered).iter() {
            // A question promises nothing: what this replica stores, it stores when it asks
            // itself, and its tags are unique because its life was durable first.
            cx.send_now(to, message, round.question);
        }
        self.retry_at = self.retry_at.min(cx.now() + self.retry_ns);
    }

    fn ask_again<C: Context<Self>>(&mut self, cx: &mut C) {
        self.retry_at = if self.in_flight == 0 { Time::NEVER } else { cx.now() + self.retry_ns };
        for place in 0..self.rounds.len() {
            let round = &self.rounds[place];
            let waits_ns = cx.now().since(round.asked_at);
            if round.phase != Phase::Free && waits_ns >= self.retry_ns {
                self.ask(place, cx);
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
        let Some(place) = self.awaiting(round, Phase::Query, from) else { return };
        cx.retain(answer);
        self.rounds[place].answers[from.index()] = answer;
        if self.rounds[place].answered.len() < self.majority() {
            return;
        }
        self.merge(place, cx);
        let round = &mut self.rounds[place];
        for answer in &mut round.answers {
            cx.release(core::mem::take(answer));
        }
        cx.release(core::mem::take(&mut round.question));
        if self.scratch.is_empty() {
            self.end(place, cx);
            return;
        }
        round.question = cx.store(&self.scratch);
        round.phase = Phase::Write;
        round.answered = Replicas::NONE;
        self.ask(place, cx);
    }

    /// A majority has answered: replies to the reads on which all of it agreed, and gathers in
    /// `scratch` what the others write: new values under new tags, and what readers write back.
    fn merge<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = self.rounds[place];
        let mut answers_at = [0; REPLICAS_MAX];
        let mut command_at = 0;
        self.scratch.clear();
        for index in 0..round.batch.commands {
            let command = command_at_offset(cx.bytes(round.batch), command_at);
            command_at += command.encoded_bytes();
            let is_read = command.op == Op::Get;
            let mut newest: Option<Answer> = None;
            let mut unanimous = true;
            for replica in round.answered.iter() {
                let (payload, at) =
                    (round.answers[replica.index()], &mut answers_at[replica.index()]);
                let (answer, next) = Answer::read(cx.bytes(payload), payload, *at, is_read);
                *at = next;
                unanimous &= newest.is_none_or(|newest| newest.tag == answer.tag);
                if newest.is_none_or(|newest| answer.tag > newest.tag) {
                    newest = Some(answer);
                }
            }
            let newest = newest.expect("a majority has answered");
            if is_read && unanimous {
                let (session, sequence) = (command.session.0, command.sequence);
                cx.reply(session, sequence, newest.status(), newest.tag, newest.value.bytes);
                continue;
            }
            let register = if is_read {
                let Answer { tag, value } = newest;
                Register { tag, deleted: value.deleted, value: cx.bytes(value.bytes) }
            } else {
                if self.recovered {
                    let own = cx.register(command.key).tag;
                    self.timestamp = self.timestamp.max(own.timestamp());
                }
                self.timestamp = self.timestamp.max(newest.tag.timestamp()) + 1;
                let tag = Tag::new(self.timestamp, self.life, self.id);
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
        let Some(place) = self.awaiting(round, Phase::Write, from) else { return };
        if self.rounds[place].answered.len() < self.majority() {
            return;
        }
        self.reply_to_written(place, cx);
        self.end(place, cx);
    }

    /// Replies to every command that has an entry: the entries are in the order of the batch.
    fn reply_to_written<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let Round { batch, question, .. } = self.rounds[place];
        let (mut index, mut command_at, mut entry_at) = (0, 0, 0);
        while entry_at < question.bytes as usize {
            let (entry, next) = Entry::read(cx.bytes(question), question, entry_at);
            entry_at = next;
            let command = loop {
                let command = command_at_offset(cx.bytes(batch), command_at);
                command_at += command.encoded_bytes();
                index += 1;
                if index > entry.index {
                    break command;
                }
            };
            let (session, sequence) = (command.session.0, command.sequence);
            let (status, value) = match command.op {
                Op::Get if entry.value.deleted => (Status::Absent, entry.value.bytes),
                Op::Get => (Status::Ok, entry.value.bytes),
                Op::Put | Op::Delete | Op::CompareAndSwap | Op::Add => (Status::Ok, Payload::EMPTY),
            };
            cx.reply(session, sequence, status, entry.tag, value);
        }
    }

    fn end<C: Context<Self>>(&mut self, place: usize, cx: &mut C) {
        let round = core::mem::take(&mut self.rounds[place]);
        cx.release(round.batch);
        cx.release(round.question);
        self.in_flight -= 1;
    }
}

fn command_at_offset(batch: &[u8], offset: usize) -> Command<'_> {
    Commands::new(&batch[offset..]).next().expect("as many commands as the batch counts")
}

/// Stores registers, each unless a larger tag is there.
fn write_entries<C: Context<Abd>>(entries: Payload, cx: &mut C) {
    let mut at = 0;
    while at < entries.bytes as usize {
        let (entry, next) = Entry::read(cx.bytes(entries), entries, at);
        at = next;
        cx.write_register(entry.key, entry.tag, entry.value.deleted, entry.value.bytes);
    }
}
