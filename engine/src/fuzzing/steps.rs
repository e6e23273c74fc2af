//! Arbitrary sequences of inputs into the `step` of each protocol.
//!
//! **Assumption:** replicas are correct and do not crash, and disks are synced at once; so every
//! message is one that a replica of this world has sent. It may arrive at any time, in any order,
//! as often as the bytes say, or never. (Crashes and disks are the simulator's matter.)

use std::collections::{BTreeMap, VecDeque};

use synod_protocols::abd::Abd;
use synod_protocols::command::{Command, Op, SessionId, Status};
use synod_protocols::multi_paxos::MultiPaxos;
use synod_protocols::paxos::Paxos;
use synod_protocols::paxos_commit::PaxosCommit;
use synod_protocols::protocol::{
    Change, Config, Context, Default as DefaultValue, Input, PARAMETERS_MAX, Protocol, Reads,
    Register, Service,
};
use synod_protocols::quorum::Quorum;
use synod_protocols::raft::Raft;
use synod_protocols::two_phase_commit::TwoPhaseCommit;
use synod_protocols::types::{Payload, ReplicaId, Slot, Tag, Time};
use synod_protocols::unreplicated::Unreplicated;
use synod_protocols::viewstamped::Viewstamped;
use synod_protocols::wire::{WIRE_BYTES_MAX, Wire};
use synod_protocols::zab::Zab;

/// Messages under way at most: older ones are lost.
const MESSAGES_MAX: usize = 512;

/// What one step may say.
const SAID_MAX: usize = 1024;

const WINDOW: usize = 4;

/// The first byte chooses the protocol, each further pair of bytes what happens next.
pub fn protocol_step(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    match first % 23 {
        0 => World::<Unreplicated>::new(1).run(rest),
        1 => World::<Abd>::new(3).run(rest),
        2 => World::<Quorum>::new(3).run(rest),
        3 => World::<Abd>::new(5).run(rest),
        4 => World::<MultiPaxos>::new(2).run(rest),
        5 => World::<MultiPaxos>::new(5).run(rest),
        8 => World::<Viewstamped>::new(2).run(rest),
        9 => World::<Viewstamped>::new(5).run(rest),
        10 => World::<Viewstamped>::new(3).run(rest),
        11 => World::<Zab>::new(3).run(rest),
        12 => World::<Zab>::new(5).run(rest),
        13 => World::<Raft>::new(2).run(rest),
        14 => World::<Raft>::new(3).run(rest),
        15 => World::<Raft>::new(5).run(rest),
        16 => World::<Paxos>::new(2).run(rest),
        17 => World::<Paxos>::new(3).run(rest),
        18 => World::<Paxos>::new(5).run(rest),
        19 => World::<TwoPhaseCommit>::new(2).run(rest),
        20 => World::<TwoPhaseCommit>::new(3).run(rest),
        21 => World::<PaxosCommit>::new(3).run(rest),
        22 => World::<PaxosCommit>::new(5).run(rest),
        _ => World::<MultiPaxos>::new(3).run(rest),
    }
}

struct Message<P: Protocol> {
    from: ReplicaId,
    to: ReplicaId,
    message: P::Message,
    payload: Payload,
}

impl<P: Protocol> Clone for Message<P> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

/// What replicas share in this world.
struct Shared<P: Protocol> {
    now: Time,
    draws: u64,
    /// Never given back: a run is short.
    payloads: Vec<Vec<u8>>,
    messages: VecDeque<Message<P>>,
    /// Snapshots under way: to whom, and of everything below which slot.
    snapshots: Vec<(usize, Slot)>,
    /// What was committed first in each slot.
    agreed: Vec<Vec<u8>>,
    said: usize,
}

#[derive(Default)]
struct Store {
    next: Slot,
    registers: BTreeMap<u64, (Tag, bool, Vec<u8>)>,
}

struct World<P: Protocol> {
    replicas: Vec<(P, Store)>,
    parameters: [u64; PARAMETERS_MAX],
    shared: Shared<P>,
    sequence: u64,
}

struct Verbs<'a, P: Protocol> {
    id: ReplicaId,
    store: &'a mut Store,
    shared: &'a mut Shared<P>,
}

impl<P: Protocol> World<P> {
    fn new(replicas: usize) -> Self {
        let mut parameters = [0; PARAMETERS_MAX];
        for (place, parameter) in parameters.iter_mut().zip(P::PARAMETERS) {
            *place = match parameter.default {
                DefaultValue::Fixed(value) => value,
                DefaultValue::Majority => replicas as u64 / 2 + 1,
            };
        }
        let config = |id| Config {
            id: ReplicaId(id),
            replicas,
            window: WINDOW,
            retain_bytes: 256,
            log_records: usize::MAX,
            parameters,
            observers: 0,
            witnesses: 0,
            lost: false,
        };
        let ids = 0..u8::try_from(replicas).expect("few");
        let mut world = Self {
            replicas: ids.map(|id| (P::new(&config(id)), Store::default())).collect(),
            parameters,
            shared: Shared {
                now: Time(1),
                draws: 0,
                payloads: vec![Vec::new()],
                messages: VecDeque::new(),
                snapshots: Vec::new(),
                agreed: Vec::new(),
                said: 0,
            },
            sequence: 0,
        };
        (0..replicas).for_each(|replica| world.step(replica, Input::Started));
        world
    }

    fn run(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks_exact(2) {
            let (what, which) = (pair[0], usize::from(pair[1]));
            let replica = which % self.replicas.len();
            match what {
                0..128 => self.deliver(which, what < 96),
                128..160 => {
                    let due = self.replicas[replica].0.deadline();
                    if due < Time::NEVER {
                        self.shared.now = self.shared.now.max(due);
                        self.step(replica, Input::Timeout);
                    }
                }
                160..208 => self.request(replica, what),
                208..224 => self.shared.now = self.shared.now + which as u64 * 1_000_000,
                224..240 => drop(self.shared.messages.pop_front()),
                240..244 if P::CHANGES => self.change(which),
                240..248 => self.install(which),
                248.. => {
                    let (protocol, store) = &mut self.replicas[replica];
                    let id = ReplicaId(u8::try_from(replica).expect("few"));
                    protocol.checkpoint(&mut Verbs { id, store, shared: &mut self.shared });
                }
            }
        }
    }

    /// One of the messages under way arrives, for the last time or not.
    fn deliver(&mut self, which: usize, last: bool) {
        if self.shared.messages.is_empty() {
            return;
        }
        let place = which % self.shared.messages.len();
        let message = self.shared.messages[place].clone();
        if last {
            self.shared.messages.remove(place);
        }
        let Message { from, to, message, payload } = message;
        self.step(to.index(), Input::Message { from, message, payload });
    }

    fn request(&mut self, replica: usize, what: u8) {
        let apart = P::reads(&self.parameters) != Reads::Ordered;
        let gets_only = apart && what.is_multiple_of(2);
        let protocol = &self.replicas[replica].0;
        let room = if gets_only { protocol.reads_room() } else { protocol.room() };
        if room == 0 {
            return;
        }
        let registers = P::SERVICE == Service::Registers;
        let mut batch = Vec::new();
        let commands = 1 + u32::from(what % 3);
        for _ in 0..commands {
            self.sequence += 1;
            let op = match self.sequence % 4 {
                _ if gets_only => Op::Get,
                0 if !apart => Op::Get,
                1 => Op::Delete,
                2 if !registers => Op::Add,
                _ => Op::Put,
            };
            let value = match op {
                Op::Get => &[][..],
                Op::Put | Op::Delete | Op::Add | Op::CompareAndSwap | Op::Transact => &[what; 8],
            };
            let (session, sequence) = (SessionId::new(1, 1), self.sequence);
            Command { session, sequence, key: sequence % 3, op, expected: 0, value }
                .encode(&mut batch);
        }
        let batch = Payload { commands, ..self.shared.keep(batch) };
        let input = if gets_only { Input::Reads(batch) } else { Input::Requests(batch) };
        self.step(replica, input);
    }

    fn install(&mut self, which: usize) {
        if self.shared.snapshots.is_empty() {
            return;
        }
        let place = which % self.shared.snapshots.len();
        let (replica, applied) = self.shared.snapshots.swap_remove(place);
        // As the engine does: only what is ahead is taken.
        if applied > self.replicas[replica].1.next {
            self.replicas[replica].1.next = applied;
            // Only who has lost its promises asks from whom a snapshot came.
            let other = (replica + 1) % self.replicas.len();
            let from = ReplicaId(u8::try_from(other).expect("few"));
            self.step(replica, Input::Installed { from, applied });
        }
    }

    /// Somebody asks everybody for something.
    fn change(&mut self, which: usize) {
        let replica = which / 3 % self.replicas.len();
        let id = ReplicaId(u8::try_from(replica).expect("few"));
        let change = [Change::Transfer(id), Change::Add(id), Change::Remove(id)][which % 3];
        (0..self.replicas.len()).for_each(|replica| self.step(replica, Input::Change(change)));
    }

    fn step(&mut self, replica: usize, input: Input<P::Message>) {
        let (protocol, store) = &mut self.replicas[replica];
        let id = ReplicaId(u8::try_from(replica).expect("few"));
        self.shared.said = 0;
        protocol.step(input, &mut Verbs { id, store, shared: &mut self.shared });
        protocol.check();
        assert!(self.shared.said <= SAID_MAX, "{} messages in one step", self.shared.said);
        assert!(protocol.room() <= WINDOW);
    }
}

impl<P: Protocol> Shared<P> {
    fn keep(&mut self, bytes: Vec<u8>) -> Payload {
        let block = u32::try_from(self.payloads.len()).expect("a run is short");
        let length = u32::try_from(bytes.len()).expect("a run is short");
        self.payloads.push(bytes);
        Payload { block, offset: 0, bytes: length, commands: 0 }
    }

    fn bytes(&self, payload: Payload) -> &[u8] {
        let (at, length) = (payload.offset as usize, payload.bytes as usize);
        &self.payloads[payload.block as usize][at..at + length]
    }
}

impl<P: Protocol> Context<P> for Verbs<'_, P> {
    fn now(&self) -> Time {
        self.shared.now
    }

    fn random(&mut self) -> u64 {
        self.shared.draws += 1;
        crate::store::mix(self.shared.draws)
    }

    fn append(&mut self, record: P::Record, payload: Payload) {
        let mut buffer = [0; WIRE_BYTES_MAX];
        let length = record.encode(&mut buffer);
        assert!(P::Record::decode(&buffer[..length]).is_some(), "{record:?} cannot be replayed");
        self.shared.bytes(payload);
    }

    fn send(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        self.send_now(to, message, payload);
    }

    fn send_now(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        let mut buffer = [0; WIRE_BYTES_MAX];
        let length = message.encode(&mut buffer);
        let message = P::Message::decode(&buffer[..length]).expect("what is sent can be read");
        self.shared.said += 1;
        if self.shared.messages.len() == MESSAGES_MAX {
            self.shared.messages.pop_front();
        }
        self.shared.messages.push_back(Message { from: self.id, to, message, payload });
    }

    fn commit(&mut self, slot: Slot, batch: Payload, _reply: bool) {
        // What lies below is in the snapshot that the store is from.
        if slot >= self.store.next {
            assert_eq!(slot, self.store.next, "slots are committed in order, once each");
            self.store.next = slot.next();
        }
        let bytes = self.shared.bytes(batch);
        let place = usize::try_from(slot.0).expect("a run is short");
        match self.shared.agreed.get(place) {
            Some(agreed) => assert_eq!(agreed, bytes, "two values in {slot:?}"),
            None => {
                assert_eq!(place, self.shared.agreed.len(), "a slot before was never committed");
                let bytes = bytes.to_vec();
                self.shared.agreed.push(bytes);
            }
        }
    }

    fn serve(&mut self, gets: Payload) {
        self.shared.bytes(gets);
    }

    fn redirect(&mut self, batch: Payload, _leader: Option<ReplicaId>) {
        self.shared.bytes(batch);
    }

    fn retain(&mut self, _payload: Payload) {}

    fn release(&mut self, _payload: Payload) {}

    fn send_snapshot(&mut self, to: ReplicaId) {
        if self.shared.snapshots.len() < MESSAGES_MAX {
            self.shared.snapshots.push((to.index(), self.store.next));
        }
    }

    fn bytes(&self, payload: Payload) -> &[u8] {
        self.shared.bytes(payload)
    }

    fn store(&mut self, bytes: &[u8]) -> Payload {
        self.shared.keep(bytes.to_vec())
    }

    fn register(&self, key: u64) -> Register<'_> {
        match self.store.registers.get(&key) {
            None => Register { tag: Tag::ZERO, deleted: true, value: &[] },
            Some((tag, deleted, value)) => Register { tag: *tag, deleted: *deleted, value },
        }
    }

    fn write_register(&mut self, key: u64, tag: Tag, deleted: bool, value: Payload) {
        let value = self.shared.bytes(value).to_vec();
        let held = self.store.registers.entry(key).or_default();
        if tag > held.0 {
            *held = (tag, deleted, value);
        }
    }

    fn reply(&mut self, _session: u64, _sequence: u64, _status: Status, _tag: Tag, value: Payload) {
        self.shared.bytes(value);
    }
}
