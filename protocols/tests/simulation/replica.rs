//! One replica: a protocol between its lives, its disk, and the verbs of [`Context`].

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use synod_protocols::command::{Commands, Op, SessionId, Status};
use synod_protocols::protocol::{Config, Context, Input, Protocol, Reads, Register, Role, Service};
use synod_protocols::types::{Payload, ReplicaId, Slot, Tag, Time, version_of};
use synod_protocols::wire::{WIRE_BYTES_MAX, Wire};

use crate::arena::{Arena, Bytes};
use crate::bank;
use crate::disk::{Disk, Logged};
use crate::misreading::Mail;
use crate::misreading::reads::{AskedFor, KeptLease};
use crate::mutation::Mutation;
use crate::random::Random;
use crate::store::{Outcome, Store, Value};

/// What one replica sends to another.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Message { message: Vec<u8>, payload: Bytes },
    Snapshot(Box<Store>),
}

/// An answer on its way to a client.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) session: SessionId,
    pub(crate) sequence: u64,
    pub(crate) outcome: Outcome,
    /// The version of what was read or written, where there is one.
    pub(crate) tag: Tag,
}

/// What a step leads to outside of its replica.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) packets: Vec<(ReplicaId, Packet)>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) committed: Vec<(Slot, Rc<[u8]>)>,
    /// A broken replica has done to its disk what it must not: it crashes, and its next life begins so.
    pub(crate) restarts: bool,
}

/// A packet that waits until the log is durable up to a position.
#[derive(Debug)]
struct Held {
    until: u64,
    to: ReplicaId,
    packet: Packet,
}

/// What a crash takes away.
#[derive(Debug)]
pub(crate) struct Life<P> {
    pub(crate) protocol: P,
    pub(crate) arena: Arena,
    pub(crate) store: Store,
    held: VecDeque<Held>,
    /// Commands that wait for room.
    waiting: VecDeque<Vec<u8>>,
    /// Gets that come to the protocol by themselves, and wait for room.
    reading: VecDeque<Vec<u8>>,
    /// How often an answer came: for those who count answers instead of replicas.
    pub(crate) counted: BTreeMap<(ReplicaId, Vec<u8>), usize>,
    /// Gets that a broken leader answers by itself.
    pub(crate) asked_for: Vec<AskedFor>,
    /// The lease under which another broken leader does so.
    pub(crate) kept: KeptLease,
}

#[derive(Debug)]
pub(crate) struct Replica<P> {
    pub(crate) config: Config,
    pub(crate) disk: Disk,
    /// The number of lives begun.
    pub(crate) lives: u64,
    pub(crate) life: Option<Life<P>>,
    /// After the loss of its disk: where the checkpoint ends with which it has all that it promised.
    pub(crate) whole_at: Option<u64>,
    pub(crate) random: Random,
    pub(crate) mutation: Option<Mutation>,
    /// Zab: whether its oracle names whomever.
    pub(crate) any_oracle: bool,
    /// How far its clock was ahead in the beginning, and how far it runs in a million nanoseconds.
    pub(crate) clock_ahead_ns: u64,
    pub(crate) clock_rate: u64,
    pub(crate) batch_commands_max: usize,
}

/// The rate of a right clock.
pub(crate) const CLOCK_RATE: u64 = 1_000_000;

/// Commands that wait for room at most; the rest is dropped, as an overloaded server would.
const WAITING_MAX: usize = 32;

impl<P: Protocol> Replica<P> {
    pub(crate) fn start(&mut self, now: u64, output: &mut Output) {
        assert!(self.life.is_none());
        self.lives += 1;
        let mut life = Life {
            protocol: P::new(&self.config),
            arena: Arena::default(),
            store: self.disk.snapshot().clone(),
            held: VecDeque::new(),
            waiting: VecDeque::new(),
            reading: VecDeque::new(),
            counted: BTreeMap::new(),
            asked_for: Vec::new(),
            kept: KeptLease::new::<P>(&self.config.parameters),
        };
        for Logged { record, payload } in self.disk.log().clone() {
            if self.mutation == Some(Mutation::ForgetsRecords(record[0])) {
                continue;
            }
            let record = self.misread_record(&record);
            let record = P::Record::decode(&record).expect("what was encoded can be decoded");
            let payload = life.arena.insert(payload);
            let mut turn = self.turn(&mut life.arena, &mut life.store, &mut life.held, now, output);
            turn.replaying = true;
            life.protocol.replay(record, payload, &mut turn);
            life.arena.release(payload);
        }
        if self.mutation == Some(Mutation::ForgetsSessions) {
            life.store.forget_sessions();
        }
        self.life = Some(life);
        self.step(Input::Started, now, output);
    }

    pub(crate) fn crash(&mut self) {
        self.life = None;
        self.disk.crash(&mut self.random);
        if self.mutation == Some(Mutation::LosesLastRecord) {
            self.disk.lose_last();
        }
        if self.config.lost {
            // What it had got back was not all.
            self.lose_disk();
        }
    }

    /// Between two lives its disk is lost.
    pub(crate) fn lose_disk(&mut self) {
        self.disk = Disk::default();
        self.whole_at = None;
        self.config.lost = true;
    }

    /// Who has lost its disk and is whole again keeps what it got back. Until that is durable it counts
    /// as lost.
    fn note_repair(&mut self, now: u64, output: &mut Output) {
        let is_whole = self.life.as_ref().is_some_and(|life| life.protocol.is_whole());
        if self.config.lost && is_whole && self.whole_at.is_none() {
            self.checkpoint(now, output);
            self.whole_at = Some(self.disk.end());
        }
    }

    /// Whether this replica leads, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.protocol.role() == Role::Leader)
    }

    /// The moment of the next timeout, on the cluster's clock.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let deadline = self.life.as_ref()?.protocol.deadline();
        let passed_ns = deadline.0.saturating_sub(self.clock_ahead_ns);
        (deadline < Time::NEVER)
            .then(|| passed_ns.saturating_mul(CLOCK_RATE).div_ceil(self.clock_rate))
    }

    /// What its clock shows.
    pub(crate) const fn clock(&self, now: u64) -> u64 {
        self.clock_ahead_ns + now * self.clock_rate / CLOCK_RATE
    }

    pub(crate) fn step(&mut self, input: Input<P::Message>, now: u64, output: &mut Output) {
        let Some(mut life) = self.life.take() else { return };
        let mut turn = self.turn(&mut life.arena, &mut life.store, &mut life.held, now, output);
        life.protocol.step(input, &mut turn);
        life.protocol.check();
        self.life = Some(life);
        self.note_repair(now, output);
    }

    pub(crate) fn receive(
        &mut self,
        from: ReplicaId,
        packet: Packet,
        now: u64,
        output: &mut Output,
    ) {
        let Some(life) = self.life.as_mut() else { return };
        match packet {
            Packet::Message { message, payload } => {
                let mail = Mail { peer: from, message, payload };
                if self.mutation == Some(Mutation::CutsOffWhatItHas)
                    && self.cuts_off_what_it_has(&mail)
                {
                    output.restarts = true;
                    return;
                }
                if self.mutation == Some(Mutation::ServesBeforeItsTerm) {
                    self.serve_confirmed(&mail, output);
                }
                if self.mutation == Some(Mutation::KeepsItsLease) {
                    self.keep_lease(&mail, now);
                }
                for mail in self.misread(mail, &mut output.packets) {
                    self.take_in(mail, now, output);
                }
            }
            Packet::Snapshot(snapshot) if snapshot.applied > life.store.applied => {
                let applied = snapshot.applied;
                life.store = *snapshot;
                if self.mutation != Some(Mutation::ForgetsInstalled) {
                    self.disk.install(&life.store);
                }
                self.step(Input::Installed { from, applied }, now, output);
            }
            Packet::Snapshot(_) if P::SERVICE == Service::StateMachine => {
                // Nothing new for the store; the protocol may not have known that.
                let applied = life.store.applied;
                self.step(Input::Installed { from, applied }, now, output);
            }
            Packet::Snapshot(snapshot) if P::SERVICE == Service::Registers && self.is_lost() => {
                self.merge(from, *snapshot, now, output);
            }
            Packet::Snapshot(_) => {}
        }
        self.propose(now, output);
    }

    /// Takes in all registers of another replica, to get back what was on a disk that is lost.
    fn merge(&mut self, from: ReplicaId, registers: Store, now: u64, output: &mut Output) {
        let applied = registers.applied;
        let life = self.life.as_mut().expect("only who lives is lost");
        life.store.merge(registers);
        self.disk.install(&life.store);
        for from in self.senders(from).iter() {
            self.step(Input::Installed { from, applied }, now, output);
        }
    }

    fn take_in(&mut self, mail: Mail, now: u64, output: &mut Output) {
        let Mail { peer: from, message, payload } = mail;
        let message = P::Message::decode(&message).expect("what was encoded");
        let life = self.life.as_mut().expect("a step ends no life");
        let payload = life.arena.insert(payload);
        self.step(Input::Message { from, message, payload }, now, output);
        self.life.as_mut().expect("a step ends no life").arena.release(payload);
    }

    /// Takes in one command of a client.
    pub(crate) fn request(&mut self, command: Vec<u8>, now: u64, output: &mut Output) {
        if self.serves_by_itself(&command, now, output) {
            return;
        }
        let Some(life) = self.life.as_mut() else { return };
        let reads_apart = P::reads(&self.config.parameters) != Reads::Ordered;
        let is_get = Commands::new(&command).next().is_some_and(|command| command.op == Op::Get);
        let queue = if reads_apart && is_get { &mut life.reading } else { &mut life.waiting };
        if queue.len() < WAITING_MAX {
            queue.push_back(command);
        }
        self.propose(now, output);
    }

    /// Hands over what waits, in batches, as far as there is room.
    pub(crate) fn propose(&mut self, now: u64, output: &mut Output) {
        let batch_commands_max = self.batch_commands_max;
        while let Some(life) = self.life.as_mut()
            && life.protocol.reads_room() > 0
            && let Some(gets) = take(&mut life.reading, batch_commands_max, &mut life.arena)
        {
            self.step(Input::Reads(gets), now, output);
            self.life.as_mut().expect("a step ends no life").arena.release(gets);
        }
        while let Some(life) = self.life.as_mut()
            && life.protocol.room() > 0
            && let Some(batch) = take(&mut life.waiting, batch_commands_max, &mut life.arena)
        {
            self.step(Input::Requests(batch), now, output);
            self.life.as_mut().expect("a step ends no life").arena.release(batch);
        }
    }

    pub(crate) fn checkpoint(&mut self, now: u64, output: &mut Output) {
        let Some(mut life) = self.life.take() else { return };
        let start = self.disk.end();
        let snapshot = snapshot(&life.store, self.mutation);
        let mut turn = self.turn(&mut life.arena, &mut life.store, &mut life.held, now, output);
        life.protocol.checkpoint(&mut turn);
        if let Some(Mutation::CheckpointsWithout(kind)) = self.mutation {
            self.disk.leave_out(start, kind);
        }
        self.disk.checkpoint(start, snapshot);
        if self.mutation == Some(Mutation::CutsLogEarly) {
            self.disk.cut_early();
        }
        self.life = Some(life);
    }

    /// A write is done: sends what waited for it.
    pub(crate) fn flushed(&mut self, output: &mut Output) {
        self.disk.finish_flush();
        if self.whole_at.is_some_and(|whole_at| whole_at <= self.disk.durable()) {
            (self.whole_at, self.config.lost) = (None, false);
        }
        let Some(life) = self.life.as_mut() else { return };
        while let Some(held) = life.held.pop_front_if(|held| held.until <= self.disk.durable()) {
            output.packets.push((held.to, held.packet));
        }
    }

    fn turn<'a>(
        &'a mut self,
        arena: &'a mut Arena,
        store: &'a mut Store,
        held: &'a mut VecDeque<Held>,
        now: u64,
        output: &'a mut Output,
    ) -> Turn<'a> {
        let now = Time(self.clock(now));
        let Self { disk, random, mutation, .. } = self;
        let mutation = *mutation;
        Turn { now, arena, store, held, disk, random, mutation, output, replaying: false }
    }
}

/// The verbs of one turn.
#[derive(Debug)]
struct Turn<'a> {
    now: Time,
    arena: &'a mut Arena,
    store: &'a mut Store,
    held: &'a mut VecDeque<Held>,
    disk: &'a mut Disk,
    random: &'a mut Random,
    mutation: Option<Mutation>,
    output: &'a mut Output,
    replaying: bool,
}

impl Turn<'_> {
    fn packet(&self, message: &impl Wire, payload: Payload) -> Packet {
        assert!(!self.replaying, "nothing is sent during recovery");
        Packet::Message { message: encoded(message), payload: self.arena.share(payload) }
    }
}

/// The next batch of what waits.
fn take(
    waiting: &mut VecDeque<Vec<u8>>,
    commands_max: usize,
    arena: &mut Arena,
) -> Option<Payload> {
    let count = commands_max.min(waiting.len());
    let batch: Vec<u8> = waiting.drain(..count).flatten().collect();
    let commands = u32::try_from(count).expect("a small batch");
    (count > 0).then(|| arena.insert(Bytes { shared: batch.into(), commands }))
}

/// A store as a snapshot holds it.
fn snapshot(store: &Store, mutation: Option<Mutation>) -> Store {
    let mut snapshot = store.clone();
    if mutation == Some(Mutation::SnapshotsWithoutSessions) {
        snapshot.forget_sessions();
    }
    snapshot
}

pub(crate) fn encoded(value: &impl Wire) -> Vec<u8> {
    let mut buffer = [0; WIRE_BYTES_MAX];
    let length = value.encode(&mut buffer);
    buffer[..length].to_vec()
}

impl<P: Protocol> Context<P> for Turn<'_> {
    fn now(&self) -> Time {
        self.now
    }

    fn random(&mut self) -> u64 {
        self.random.next()
    }

    fn append(&mut self, record: P::Record, payload: Payload) {
        assert!(!self.replaying, "nothing is appended during recovery");
        self.disk.append(encoded(&record), self.arena.share(payload));
    }

    fn send(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        let packet = self.packet(&message, payload);
        let kind = encoded(&message)[0];
        let early = self.mutation == Some(Mutation::SendsEarly)
            || self.mutation == Some(Mutation::SendsKindEarly(kind));
        if early || self.disk.durable() == self.disk.end() {
            self.output.packets.push((to, packet));
        } else {
            self.held.push_back(Held { until: self.disk.end(), to, packet });
        }
    }

    fn send_now(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        let packet = self.packet(&message, payload);
        self.output.packets.push((to, packet));
    }

    fn commit(&mut self, slot: Slot, batch: Payload, reply: bool) {
        self.output.committed.push((slot, self.arena.share(batch).shared));
        if slot < self.store.applied {
            // A snapshot was ahead of the log.
            return;
        }
        assert_eq!(slot, self.store.applied, "commits come in order");
        self.store.applied = slot.next();
        for (index, command) in Commands::new(self.arena.bytes(batch)).enumerate() {
            if let Some((version, outcome)) = self.store.apply(version_of(slot, index), &command)
                && reply
            {
                let (session, sequence, tag) = (command.session, command.sequence, Tag(version));
                self.output.answers.push(Answer { session, sequence, outcome, tag });
            }
        }
    }

    fn serve(&mut self, gets: Payload) {
        for command in Commands::new(self.arena.bytes(gets)) {
            let outcome = self.store.read(command.key, P::SERVICE);
            let (session, sequence) = (command.session, command.sequence);
            let tag = Tag(self.store.version());
            self.output.answers.push(Answer { session, sequence, outcome, tag });
        }
    }

    fn redirect(&mut self, batch: Payload, leader: Option<ReplicaId>) {
        for command in Commands::new(self.arena.bytes(batch)) {
            let value = leader.map(|leader| leader.0).into_iter().collect();
            let outcome = Outcome { status: Status::Redirect, value };
            let (session, sequence) = (command.session, command.sequence);
            self.output.answers.push(Answer { session, sequence, outcome, tag: Tag::ZERO });
        }
    }

    fn retain(&mut self, payload: Payload) {
        self.arena.retain(payload);
    }

    fn release(&mut self, payload: Payload) {
        self.arena.release(payload);
    }

    fn send_snapshot(&mut self, to: ReplicaId) {
        assert!(!self.replaying, "nothing is sent during recovery");
        let snapshot = snapshot(self.store, self.mutation);
        self.output.packets.push((to, Packet::Snapshot(Box::new(snapshot))));
    }

    fn bytes(&self, payload: Payload) -> &[u8] {
        self.arena.bytes(payload)
    }

    fn store(&mut self, bytes: &[u8]) -> Payload {
        self.arena.insert(Bytes { shared: bytes.into(), commands: 0 })
    }

    fn register(&self, key: u64) -> Register<'_> {
        let (tag, deleted, value) = self.store.register(key);
        if deleted && self.mutation == Some(Mutation::OverdrawsAccounts) {
            return Register { tag, deleted: false, value: &bank::OVERDRAFT };
        }
        Register { tag, deleted, value }
    }

    fn write_register(&mut self, key: u64, tag: Tag, deleted: bool, value: Payload) {
        let value = Value { deleted, bytes: self.arena.bytes(value).to_vec() };
        match self.mutation {
            Some(Mutation::IgnoresWrites) if self.random.percent(50) => {}
            Some(Mutation::StoresOlderTags) => self.store.overwrite_register(key, tag, value),
            Some(_) | None => self.store.write_register(key, tag, value),
        }
    }

    fn reply(&mut self, session: u64, sequence: u64, status: Status, tag: Tag, value: Payload) {
        let mut value = self.arena.bytes(value).to_vec();
        if self.mutation == Some(Mutation::OverdrawsAccounts) {
            value = bank::without_overdraft(&value);
        }
        let outcome = Outcome { status, value };
        let session = SessionId(session);
        self.output.answers.push(Answer { session, sequence, outcome, tag });
    }
}
