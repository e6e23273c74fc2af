//! A real replica of three, alone, in a world where a test plays everybody else.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use synod::frame::{self, HEADER_BYTES, Kind};
use synod::greeting::{
    Dialling, FRAME_BYTES_MAX as GREETING_BYTES_MAX, Hello, Key, Nonces, Speaker,
};
use synod::io::{Address, Clock, Event, Io, LinkId};
use synod::node::{Node, Rejected, Settings};
use synod::wal::{LogWrite, MemoryStorage};
use synod_protocols::command::{Command, Op, Replies, SessionId};
use synod_protocols::multi_paxos::MultiPaxos;
use synod_protocols::protocol::{Config, Default as DefaultValue, PARAMETERS_MAX, Protocol};
use synod_protocols::types::{ReplicaId, Time};

pub(crate) const CLIENTS_MAX: u32 = 16;
pub(crate) const FRAME_BYTES_MAX: u32 = 64 << 10;
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// What replica 0 says to the replica that is tested.
pub(crate) const HELLO: Hello = Hello { cluster: 7, group: 0, to: 1, speaker: Speaker::Replica(0) };

/// The key of the replicas.
#[expect(non_snake_case, reason = "it stands for a constant")]
pub(crate) fn KEY() -> Key {
    Key::of_seed(1)
}

pub(crate) fn none() -> Rejected {
    Rejected::default()
}

/// The frame of a hello, always with the same nonce.
pub(crate) fn hello_frame(hello: Hello) -> Vec<u8> {
    let mut out = Vec::new();
    Dialling::begin(hello, KEY(), &mut Nonces::new(Key::of_seed(9)), &mut out);
    out
}

enum Arrival {
    Accepted(LinkId),
    Received(LinkId, Vec<u8>),
    Closed(LinkId),
}

#[derive(Default)]
struct State {
    now: u64,
    links: u32,
    inbox: VecDeque<Arrival>,
    sent: BTreeMap<u32, Vec<u8>>,
    closed: BTreeSet<u32>,
}

pub(crate) struct WireIo(Rc<RefCell<State>>);

impl Io for WireIo {
    type Storage = MemoryStorage;

    fn now(&self) -> Time {
        Time(self.0.borrow().now)
    }

    fn clock(&self) -> Clock {
        let state = Rc::clone(&self.0);
        Clock::new(move || Time(state.borrow().now))
    }

    fn connect(&mut self, _address: &Address) -> LinkId {
        // Replica 2 never answers.
        new_link(&self.0)
    }

    fn close(&mut self, link: LinkId) {
        self.0.borrow_mut().closed.insert(link.index);
    }

    fn send(&mut self, link: LinkId, bytes: &mut Vec<u8>) -> bool {
        self.0.borrow_mut().sent.entry(link.index).or_default().append(bytes);
        true
    }

    fn write(&mut self, _storage: &mut MemoryStorage, _write: LogWrite) {
        unreachable!("there is no log");
    }

    fn poll(&mut self, _until: Time, mut handle: impl FnMut(Event<'_>)) {
        handle(Event::Woke(self.now()));
        loop {
            let Some(arrival) = self.0.borrow_mut().inbox.pop_front() else { return };
            match arrival {
                Arrival::Accepted(link) => handle(Event::Accepted(link)),
                Arrival::Received(link, bytes) => handle(Event::Received(link, &bytes)),
                Arrival::Closed(link) => handle(Event::Closed(link)),
            }
        }
    }
}

fn new_link(state: &RefCell<State>) -> LinkId {
    let mut state = state.borrow_mut();
    state.links += 1;
    LinkId { index: state.links - 1, generation: 1 }
}

pub(crate) struct World {
    state: Rc<RefCell<State>>,
    node: Node<MultiPaxos, WireIo>,
    nonces: Nonces,
    sequence: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let state = Rc::new(RefCell::new(State { now: SECOND_NS, ..State::default() }));
        let mut node = Node::new(settings(), WireIo(Rc::clone(&state)));
        node.turn().unwrap();
        Self { state, node, nonces: Nonces::new(Key::of_seed(77)), sequence: 0 }
    }

    pub(crate) fn turn(&mut self) {
        self.node.turn().unwrap();
    }

    pub(crate) fn now(&self) -> Time {
        Time(self.state.borrow().now)
    }

    pub(crate) fn node_deadline(&self) -> Time {
        self.node.deadline()
    }

    /// Lets time pass, in a turn for each second and one at the end.
    pub(crate) fn pass(&mut self, nanoseconds: u64) {
        self.state.borrow_mut().now += nanoseconds;
        self.turn();
    }

    pub(crate) fn accept(&mut self) -> LinkId {
        let link = new_link(&self.state);
        self.arrive(Arrival::Accepted(link));
        link
    }

    pub(crate) fn give(&mut self, link: LinkId, bytes: &[u8]) {
        if !self.is_closed(link) {
            self.arrive(Arrival::Received(link, bytes.to_vec()));
            self.turn();
        }
    }

    /// The other end closes.
    pub(crate) fn end(&mut self, link: LinkId) {
        self.arrive(Arrival::Closed(link));
        self.turn();
    }

    fn arrive(&self, arrival: Arrival) {
        self.state.borrow_mut().inbox.push_back(arrival);
    }

    pub(crate) fn is_closed(&self, link: LinkId) -> bool {
        self.state.borrow().closed.contains(&link.index)
    }

    /// What was sent since this was asked last.
    pub(crate) fn sent(&mut self, link: LinkId) -> Vec<u8> {
        self.state.borrow_mut().sent.remove(&link.index).unwrap_or_default()
    }

    pub(crate) fn rejected(&self) -> Rejected {
        self.node.counters().rejected
    }

    fn begin(&mut self, link: LinkId, speaker: Speaker, key: Key) -> (Dialling, Vec<u8>, Vec<u8>) {
        let mut hello = Vec::new();
        let dialling =
            Dialling::begin(Hello { speaker, ..HELLO }, key, &mut self.nonces, &mut hello);
        self.sent(link);
        self.give(link, &hello);
        let sent = self.sent(link);
        let challenge = match frame::parse(&sent, GREETING_BYTES_MAX).unwrap() {
            Some((frame, _)) => {
                assert_eq!(frame.kind, Kind::Challenge);
                frame.payload.to_vec()
            }
            None => Vec::new(),
        };
        (dialling, hello, challenge)
    }

    /// Says hello; true when the challenge proves that the replica knows the same key.
    pub(crate) fn greet(&mut self, link: LinkId, speaker: Speaker, key: Key) -> bool {
        let (dialling, _, challenge) = self.begin(link, speaker, key);
        assert_eq!(challenge.len(), 64);
        dialling.answer(&challenge, &mut Vec::new())
    }

    /// Says hello with the right key, and gives the frame of the proof.
    pub(crate) fn proof(&mut self, link: LinkId, speaker: Speaker) -> Vec<u8> {
        self.greeting(link, speaker).1
    }

    fn greeting(&mut self, link: LinkId, speaker: Speaker) -> (Vec<u8>, Vec<u8>) {
        let key = match speaker {
            Speaker::Replica(_) => KEY(),
            Speaker::Client(_) => KEY().for_clients(),
        };
        let (dialling, hello, challenge) = self.begin(link, speaker, key);
        let mut proof = Vec::new();
        assert!(dialling.answer(&challenge, &mut proof));
        assert_eq!(proof.len(), HEADER_BYTES + 32);
        (hello, proof)
    }

    /// Greets, and gives what was said for it.
    pub(crate) fn record_greeting(&mut self, link: LinkId, speaker: Speaker) -> [Vec<u8>; 2] {
        let (hello, proof) = self.greeting(link, speaker);
        self.give(link, &proof);
        [hello, proof]
    }

    /// A connection of somebody who belongs to the run.
    pub(crate) fn greeted(&mut self, speaker: Speaker) -> LinkId {
        let link = self.accept();
        self.record_greeting(link, speaker);
        assert!(!self.is_closed(link));
        link
    }

    /// Whether client 1 gets an answer on this connection.
    pub(crate) fn serves(&mut self, link: LinkId) -> bool {
        self.serves_as(link, 1)
    }

    pub(crate) fn serves_as(&mut self, link: LinkId, client: u32) -> bool {
        self.sequence += 1;
        let session = SessionId::new(client, 1);
        let sequence = self.sequence;
        let mut payload = Vec::new();
        Command { session, sequence, key: 1, op: Op::Get, expected: 0, value: &[] }
            .encode(&mut payload);
        let mut bytes = Vec::new();
        frame::push(&mut bytes, Kind::Requests, &[], &payload, 1);
        self.sent(link);
        self.give(link, &bytes);
        let sent = self.sent(link);
        let Some((frame, _)) = frame::parse(&sent, FRAME_BYTES_MAX).unwrap() else { return false };
        frame.kind == Kind::Replies
            && Replies::new(frame.payload).any(|reply| reply.sequence == sequence)
    }
}

fn settings() -> Settings {
    let mut parameters = [0; PARAMETERS_MAX];
    for (place, parameter) in parameters.iter_mut().zip(MultiPaxos::PARAMETERS) {
        *place = match parameter.default {
            DefaultValue::Fixed(value) => value,
            DefaultValue::Majority => 2,
        };
    }
    Settings {
        founding: true,
        protocol: Config {
            observers: 0,
            witnesses: 0,
            lost: false,
            id: ReplicaId(1),
            replicas: 3,
            window: 16,
            retain_bytes: 1 << 20,
            log_records: usize::MAX,
            parameters,
        },
        cluster: 7,
        key: KEY(),
        nonces: Key::of_seed(3),
        group: 0,
        peers: (0..3).map(Address::Memory).collect(),
        seed: 1,
        batch_ops_max: 64,
        batch_bytes_max: 16 << 10,
        linger_ns: 0,
        objective_ns: 0,
        frame_bytes_max: FRAME_BYTES_MAX,
        pending_ops_max: 256,
        keys_expected: 64,
        sessions_max: 64,
        snapshot_bytes: 1 << 30,
        clients_max: CLIENTS_MAX as usize,
        sync_each: false,
    }
}
