//! The logical clients of one load thread: what each has asked and not been answered.

use std::slice;

use synod_protocols::command::{Command, Op, Reply, SessionId, Status};
use synod_protocols::protocol::Reads;
use synod_protocols::types::Time;
use synod_results::history::{Kind, Operation, Outcome};
use synod_workloads::{
    Arrival, KeyGenerator, Operation as Drawn, OperationGenerator, ValueGenerator, fill, verify,
};

use super::Plan;
use super::in_flight::InFlight;
use super::samples::{Sample, Samples};
use super::transactions::Transactions;

/// What a client does after one request of an operation was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The operation has another request.
    Another,
    /// The operation is over.
    Done,
}

/// Gets are numbered from here on, apart from all other commands: the session of a client is of
/// those that change something, and a get may be answered by a replica that does not know it.
const GETS_FROM: u64 = 1 << 32;

/// How often the time between two sends of a request doubles.
pub(super) const DOUBLINGS_MAX: u8 = 3;

/// How long a client waits after its request was not taken, the first time; then twice as long each
/// time. If all came back at once for ever, their copies alone would fill whatever room there is.
const REFUSED_NS: u64 = 1_000_000;

/// How often this doubles.
const REFUSED_DOUBLINGS_MAX: u8 = 7;

/// How long a client waits that was refused so many times before, between half of that time and all of it:
/// transactions that stopped each other would do so for ever if they came back together.
fn refused_ns(index: u32, times: u8) -> u64 {
    let half_ns = (REFUSED_NS << times.min(REFUSED_DOUBLINGS_MAX)) / 2;
    let mixed = (u64::from(index) << 8 | u64::from(times)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    half_ns + (mixed >> 32) % half_ns
}

#[derive(Clone, Copy, Debug)]
struct Client {
    outstanding: bool,
    op: Op,
    /// What follows the get of a read-modify-write or compare-and-swap.
    then: Option<Op>,
    group: u16,
    key: u64,
    /// The id written, or the delta.
    written: u64,
    expected: u64,
    value_bytes: u32,
    /// Operations that this client has started: the low half of the ids that it writes.
    count: u32,
    intended: Time,
    sent: Time,
    first_sent: Time,
    /// When to send again, after `busy`.
    repeat_at: Time,
    /// How often the request was sent again because nobody answered.
    repeats: u8,
    /// How often it was not taken.
    refusals: u8,
    /// Whether the request was given to a connection.
    is_sent: bool,
    /// Whether it is looked at where the time of the operation goes.
    is_sampled: bool,
}

/// The session of a client in one group. It opens with its first command; if that is never
/// answered, or the replicas have dropped the session, no later command would be executed, so the
/// client goes on with another one.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    /// The last sequence.
    sequence: u32,
    /// Whether a command of it was ever answered.
    is_open: bool,
    /// Sessions that the client had before.
    earlier: u32,
    /// The last version that an answer of the group told the client.
    told: u64,
}

impl Session {
    fn renew(&mut self) {
        *self = Self { earlier: self.earlier + 1, told: self.told, ..Self::default() };
    }
}

/// All clients of a thread.
#[derive(Debug)]
pub(super) struct Clients {
    clients: Vec<Client>,
    /// Of each client in each group.
    sessions: Vec<Session>,
    /// The number of client 0 in the whole run, from 1: the high half of ids.
    first_number: u32,
    groups: u64,
    /// Whether gets say what their client was told.
    reads_behind: bool,
    in_flight: InFlight,
    samples: Samples,
    mix: OperationGenerator,
    keys: KeyGenerator,
    values: ValueGenerator,
    scratch: Vec<u8>,
    transactions: Transactions,
}

impl Clients {
    pub(super) fn new(plan: &Plan, seed: u64) -> Self {
        let per_client = match plan.load.arrival {
            Arrival::Closed { outstanding, .. } => outstanding,
            Arrival::Open { .. } => 1,
        };
        let threads = u32::from(plan.threads);
        let thread = u32::from(plan.thread);
        let all = plan.load.clients * per_client;
        let (share, rest) = (all / threads, all % threads);
        let count = share + u32::from(thread < rest);
        let first_number = 1 + thread * share + thread.min(rest);
        let idle = Client {
            outstanding: false,
            op: Op::Get,
            then: None,
            group: 0,
            key: 0,
            written: 0,
            expected: 0,
            value_bytes: 0,
            count: 0,
            intended: Time(0),
            sent: Time(0),
            first_sent: Time(0),
            repeat_at: Time::NEVER,
            repeats: 0,
            refusals: 0,
            is_sent: false,
            is_sampled: false,
        };
        let keys = KeyGenerator::new(&plan.load.keys, plan.seed);
        Self {
            clients: vec![idle; count as usize],
            sessions: vec![Session::default(); count as usize * plan.groups.len()],
            first_number,
            groups: plan.groups.len() as u64,
            reads_behind: plan.reads == Reads::Behind,
            in_flight: InFlight::default(),
            samples: Samples::new(plan.load.sample_every, seed),
            mix: OperationGenerator::new(&plan.load.mix, seed),
            keys: keys.fork(seed, plan.thread, plan.threads),
            values: ValueGenerator::new(&plan.load.values, seed),
            scratch: vec![0; plan.load.values.max_bytes() as usize],
            transactions: Transactions::new(&plan.load, count, seed),
        }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.clients.len()).expect("the workload bounds its clients")
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.in_flight.count()
    }

    pub(super) fn in_flight(&mut self) -> &mut InFlight {
        &mut self.in_flight
    }

    pub(super) fn samples(&mut self) -> &mut Samples {
        &mut self.samples
    }

    pub(super) fn is_outstanding(&self, client: u32) -> bool {
        self.clients[client as usize].outstanding
    }

    pub(super) fn group(&self, client: u32) -> usize {
        usize::from(self.clients[client as usize].group)
    }

    /// Starts the operation that writes `key` for the first time, or opens an account.
    pub(super) fn preload(&mut self, client: u32, key: u64, now: Time) {
        let op = if self.transactions.bank().is_some() { Op::Add } else { Op::Put };
        self.begin(client, op, None, key, now, now);
    }

    /// Starts an operation of the mix.
    #[inline]
    pub(super) fn start(&mut self, client: u32, intended: Time, now: Time) {
        let (op, then, key) = match self.mix.next() {
            Drawn::Get => (Op::Get, None, self.keys.next()),
            Drawn::Put => (Op::Put, None, self.keys.next()),
            Drawn::Delete => (Op::Delete, None, self.keys.next()),
            Drawn::Add => (Op::Add, None, self.keys.next()),
            Drawn::CompareAndSwap => (Op::Get, Some(Op::CompareAndSwap), self.keys.next()),
            Drawn::ReadModifyWrite => (Op::Get, Some(Op::Put), self.keys.next()),
            Drawn::Insert => {
                let key = self.keys.next_new();
                self.keys.inserted();
                (Op::Put, None, key)
            }
            Drawn::Transaction => {
                let key = self.transactions.draw(client, &mut self.keys);
                (Op::Transact, None, key)
            }
        };
        self.begin(client, op, then, key, intended, now);
    }

    /// After the get of a two-step operation: starts the second step on the same key.
    #[inline]
    pub(super) fn second_step(&mut self, client: u32, observed: u64, now: Time) -> Step {
        let Client { then, key, .. } = self.clients[client as usize];
        let Some(op) = then else { return Step::Done };
        self.begin(client, op, None, key, now, now);
        if op == Op::CompareAndSwap {
            self.clients[client as usize].expected = observed;
        }
        Step::Another
    }

    #[inline]
    fn begin(&mut self, index: u32, op: Op, then: Option<Op>, key: u64, intended: Time, now: Time) {
        let client = &mut self.clients[index as usize];
        assert!(!client.outstanding);
        self.in_flight.begin(intended.0, now.0);
        client.count += 1;
        client.outstanding = true;
        client.op = op;
        client.then = then;
        client.key = key;
        client.group = group_of(key, self.groups);
        client.expected = 0;
        let id = Operation::id(self.first_number + index, client.count);
        (client.written, client.value_bytes) = match op {
            Op::Get => (0, 0),
            Op::Put | Op::CompareAndSwap => (id, self.values.next_size()),
            Op::Transact => {
                // An id for each value, of which the first is this.
                client.count += self.transactions.values().max(1) - 1;
                (id, self.values.next_size())
            }
            Op::Delete => (id, 8),
            Op::Add => (self.transactions.bank().map_or(1, |bank| bank.balance.into()), 8),
        };
        client.intended = intended;
        client.sent = now;
        client.first_sent = now;
        client.repeat_at = Time::NEVER;
        client.repeats = 0;
        client.refusals = 0;
        client.is_sent = false;
        client.is_sampled = self.samples.next();
        if op != Op::Get {
            self.session_mut(index).sequence += 1;
        }
    }

    /// The number by which the answer to a client's request is known.
    fn sequence(&self, index: u32) -> u64 {
        let client = &self.clients[index as usize];
        match client.op {
            Op::Get => GETS_FROM + u64::from(client.count),
            Op::Put | Op::Delete | Op::Add | Op::CompareAndSwap | Op::Transact => {
                u64::from(self.session(index).sequence)
            }
        }
    }

    /// Whether the client's request only reads.
    pub(super) fn reads(&self, index: u32) -> bool {
        self.clients[index as usize].op == Op::Get
    }

    /// The place of the session that a client's present operation belongs to.
    fn session_place(&self, index: u32) -> usize {
        let groups = self.sessions.len() / self.clients.len();
        index as usize * groups + self.group(index)
    }

    fn session(&self, index: u32) -> &Session {
        &self.sessions[self.session_place(index)]
    }

    fn session_mut(&mut self, index: u32) -> &mut Session {
        let place = self.session_place(index);
        &mut self.sessions[place]
    }

    /// The number of a client's present session on its connection, from 1.
    fn session_index(&self, index: u32) -> u32 {
        1 + index + self.session(index).earlier * self.len()
    }

    /// Whose session has this number.
    pub(super) fn client_of(&self, session_index: u32) -> u32 {
        session_index.wrapping_sub(1) % self.len()
    }

    /// Appends the client's request to a frame. `connection` is the client number of the
    /// connection that it goes by.
    #[inline]
    pub(super) fn encode(&mut self, index: u32, connection: u32, out: &mut Vec<u8>) {
        let client = &self.clients[index as usize];
        let mut command = Command {
            session: SessionId::new(connection, self.session_index(index)),
            sequence: self.sequence(index),
            key: client.key,
            op: client.op,
            expected: client.expected,
            value: &[],
        };
        let word = client.written.to_le_bytes();
        match client.op {
            Op::Get => {
                if self.reads_behind {
                    command.expected = self.session(index).told;
                }
                command.encode(out);
            }
            Op::Delete | Op::Add => {
                command.value = &word;
                command.encode(out);
            }
            Op::Put | Op::CompareAndSwap => {
                // The bytes of a value follow from its id, so the encoder may write any bytes
                // first and the pattern goes over them.
                command.value = &self.scratch[..client.value_bytes as usize];
                let at = out.len() + command.encoded_bytes() - value_area(&command);
                command.encode(out);
                fill(client.written, &mut out[at..at + client.value_bytes as usize]);
            }
            Op::Transact => {
                let (first, bytes) = (client.written, client.value_bytes as usize);
                command.value = self.transactions.encode(index, &command, first, bytes);
                command.encode(out);
            }
        }
    }

    /// Whether the client's request, which is given to a connection now, is a sample. One that was given
    /// to a connection before is none any more.
    #[inline]
    pub(super) fn begins_sample(&mut self, index: u32) -> bool {
        let client = &self.clients[index as usize];
        if !client.is_sampled {
            return false;
        }
        let (is_first, intended) = (!client.is_sent, client.intended);
        if is_first {
            let request = (self.session_index(index), self.sequence(index));
            self.samples.begin(Sample::new(index, self.group(index), request, intended));
        } else {
            self.forget_sample(index);
        }
        is_first
    }

    /// The client's request has ended.
    #[inline]
    pub(super) fn end_sample(&mut self, index: u32, kind: Kind, now: Time) {
        if self.clients[index as usize].is_sampled {
            self.samples.end(index, kind, now);
        }
    }

    fn forget_sample(&mut self, index: u32) {
        if std::mem::take(&mut self.clients[index as usize].is_sampled) {
            self.samples.forget(index);
        }
    }

    #[inline]
    pub(super) fn awaits(&self, index: u32, group: usize, reply: &Reply<'_>) -> bool {
        self.is_outstanding(index)
            && self.group(index) == group
            && self.session_index(index) == reply.session_index
            && self.sequence(index) == reply.sequence
    }

    /// Ends the client's request. `None` when the reply cannot be an answer to it.
    #[inline]
    pub(super) fn complete(
        &mut self,
        index: u32,
        reply: &Reply<'_>,
        now: Time,
    ) -> (Option<Operation>, Time) {
        let client = &mut self.clients[index as usize];
        let outcome = match reply.status {
            Status::Ok => Outcome::Ok,
            Status::Absent => Outcome::Absent,
            Status::Mismatch => Outcome::Mismatch,
            Status::Busy | Status::Redirect | Status::Expired => return (None, client.intended),
        };
        let observed = match (client.op, outcome) {
            (Op::Get, Outcome::Ok) => verify(reply.value),
            (Op::Put | Op::Delete | Op::CompareAndSwap, Outcome::Ok) => Some(0),
            (Op::Transact, Outcome::Ok | Outcome::Mismatch) => {
                let (first, start_ns) = (client.written, client.first_sent.0);
                let session = self.first_number + index;
                let whole = Operation { start_ns, end_ns: now.0, session, ..Operation::default() };
                let is_answer = if outcome == Outcome::Ok {
                    self.transactions.complete(index, reply.value, first, &whole)
                } else {
                    self.transactions.refused(index, reply.value, &whole)
                };
                is_answer.then_some(0)
            }
            (Op::Transact, _) => None,
            (Op::Add, _) | (_, Outcome::Absent | Outcome::Mismatch) => word(reply.value),
            (_, Outcome::Unknown | Outcome::Refused) => None,
        };
        let Some(observed) = observed else { return (None, client.intended) };
        client.outstanding = false;
        let client = *client;
        self.in_flight.end(client.intended.0, now.0);
        let session = self.session_mut(index);
        session.told = session.told.max(reply.version);
        session.is_open |= client.op != Op::Get;
        let operation = Operation {
            start_ns: client.first_sent.0,
            end_ns: now.0,
            key: client.key,
            written: client.written,
            expected: client.expected,
            observed,
            version: reply.version,
            session: self.first_number + index,
            kind: self.kind(client.op),
            outcome,
        };
        (Some(operation), client.intended)
    }

    /// Ends the client's request with an unknown outcome.
    pub(super) fn give_up(&mut self, index: u32, now: Time) -> (Operation, Time) {
        self.forget_sample(index);
        let client = &mut self.clients[index as usize];
        assert!(client.outstanding);
        client.outstanding = false;
        let client = *client;
        self.in_flight.end(client.intended.0, now.0);
        if client.op != Op::Get && !self.session(index).is_open {
            self.session_mut(index).renew();
        }
        if client.op == Op::Transact {
            let (start_ns, end_ns, outcome) = (client.first_sent.0, u64::MAX, Outcome::Unknown);
            let session = self.first_number + index;
            let whole = Operation { start_ns, end_ns, session, outcome, ..Operation::default() };
            self.transactions.give_up(index, client.written, &whole);
        }
        let operation = Operation {
            start_ns: client.first_sent.0,
            end_ns: u64::MAX,
            key: client.key,
            written: client.written,
            expected: client.expected,
            observed: 0,
            version: 0,
            session: self.first_number + index,
            kind: self.kind(client.op),
            outcome: Outcome::Unknown,
        };
        (operation, client.intended)
    }

    /// What an operation is in a history.
    fn kind(&self, op: Op) -> Kind {
        match op {
            Op::Get => Kind::Get,
            Op::Put => Kind::Put,
            Op::Delete => Kind::Delete,
            Op::CompareAndSwap => Kind::CompareAndSwap,
            Op::Add if self.transactions.bank().is_some() => Kind::Transfer,
            Op::Add => Kind::Add,
            Op::Transact => Kind::Transaction,
        }
    }

    /// What the operation that ended last did: a transaction all of its parts.
    pub(super) fn parts<'a>(&'a self, last: &'a Operation) -> &'a [Operation] {
        if last.kind == Kind::Transaction {
            &self.transactions.parts
        } else {
            slice::from_ref(last)
        }
    }

    /// The replicas do not know the client's session any more.
    pub(super) fn expired(&mut self, index: u32) {
        self.session_mut(index).is_open = false;
    }

    /// The request was not taken: it is sent again after a while.
    pub(super) fn refused(&mut self, index: u32, now: Time) {
        self.forget_sample(index);
        let client = &mut self.clients[index as usize];
        client.is_sent = false;
        client.repeat_at = now + refused_ns(index, client.refusals);
        client.refusals = client.refusals.saturating_add(1);
    }

    /// The request is sent again, to the same replica or to another one.
    pub(super) fn repeated(&mut self, index: u32, now: Time) {
        let client = &mut self.clients[index as usize];
        let was_refused = now >= client.repeat_at;
        client.sent = now;
        client.repeat_at = Time::NEVER;
        client.repeats = client.repeats.saturating_add(u8::from(!was_refused));
    }

    /// Whether the request is due again. Clients wait twice as long each time: a replica that
    /// cannot keep up with new requests would otherwise be kept from ever keeping up by old ones.
    pub(super) fn is_overdue(&self, index: u32, now: Time, timeout_ns: u64) -> bool {
        let client = &self.clients[index as usize];
        let patience_ns = timeout_ns << client.repeats.min(DOUBLINGS_MAX);
        now >= client.repeat_at || now.since(client.sent) >= patience_ns
    }

    pub(super) fn is_hopeless(&self, index: u32, now: Time, give_up_ns: u64) -> bool {
        now.since(self.clients[index as usize].first_sent) >= give_up_ns
    }

    /// Whether a second execution of the client's request would do no harm, or the first did not
    /// happen.
    pub(super) fn may_repeat(&self, index: u32) -> bool {
        let client = &self.clients[index as usize];
        client.op == Op::Get || !client.is_sent
    }

    /// The request is on its way: whoever was to send it again need not.
    pub(super) fn set_sent(&mut self, index: u32) {
        let client = &mut self.clients[index as usize];
        client.is_sent = true;
        client.repeat_at = Time::NEVER;
    }
}

/// Bytes of the value and of the zeros after it, at the end of an encoded command.
fn value_area(command: &Command<'_>) -> usize {
    let before = synod_protocols::command::COMMAND_HEADER_BYTES
        + if command.op == Op::CompareAndSwap { 8 } else { 0 };
    command.encoded_bytes() - before
}

/// Which group a key belongs to.
#[must_use]
pub(super) fn group_of(key: u64, groups: u64) -> u16 {
    if groups == 1 {
        return 0;
    }
    let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    u16::try_from(mixed % groups).expect("groups are few")
}

pub(super) fn word(bytes: &[u8]) -> Option<u64> {
    match bytes.len() {
        0 => Some(0),
        8 => bytes.try_into().ok().map(u64::from_le_bytes),
        _ => None,
    }
}
