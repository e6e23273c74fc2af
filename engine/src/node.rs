//! One replica: the only driver of a protocol, in real and in simulated runs.
//!
//! A replica lives in turns. Each turn takes in everything that has arrived, lets the protocol
//! handle it, then makes at most one log write and one send for each connection:
//!
//! 1. [`Io::poll`]: bytes become frames, frames become messages and pending requests.
//! 2. The timer, if it is due; batches of pending requests, as long as the protocol has room.
//! 3. Everything appended becomes one write; what waited for earlier writes is released.
//! 4. Everything said becomes one send for each connection.

mod batches;
mod body;
mod connections;
mod counters;
pub(crate) mod fuzzing;
mod pending;
mod samples;
mod snapshots;
mod state;

use std::fmt;

use synod_protocols::command::{self, CommandLimits};
use synod_protocols::protocol::{Change, Config, Doubt, Hints, Input, Protocol, Role};
use synod_protocols::types::{Payload, ReplicaId, Replicas, Slot, Time};
use synod_protocols::wire::Wire;

use self::body::Body;
pub use self::counters::{Counters, Rejected};
use crate::frame::{Frame, FrameError, Kind, Next};
use crate::greeting::{Key, Speaker};
use crate::io::{Address, Event, Io, LinkId};
use crate::wal::{Identity, LogError, Lsn, Storage, Wal, WalLimits};

/// What a replica is told besides the protocol's own configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The protocol's part.
    pub protocol: Config,
    /// The run's cluster: frames and logs of others are refused.
    pub cluster: u64,
    /// What the replicas of the run know each other by.
    pub key: Key,
    /// Another one in each life: where the nonces of greetings come from.
    pub nonces: Key,
    /// Which group this replica belongs to.
    pub group: u16,
    /// Where all replicas of the group listen, this one included, in order.
    pub peers: Vec<Address>,
    /// Seeds the timers' jitter.
    pub seed: u64,
    /// Requests in one batch at most.
    pub batch_ops_max: usize,
    /// Bytes in one batch at most.
    pub batch_bytes_max: usize,
    /// How long a batch waits for more requests, in nanoseconds.
    pub linger_ns: u64,
    /// Within what a batch should be answered, in nanoseconds, so that it waits as long as this allows;
    /// 0 for batches that wait for [`Self::linger_ns`].
    pub objective_ns: u64,
    /// The longest frame.
    pub frame_bytes_max: u32,
    /// Requests that wait at this replica at most.
    pub pending_ops_max: usize,
    /// Keys that the store is made for.
    pub keys_expected: usize,
    /// Sessions that the replica remembers.
    pub sessions_max: usize,
    /// A snapshot is taken after so much log.
    pub snapshot_bytes: u64,
    /// Client numbers are below this.
    pub clients_max: usize,
    /// Whether each record is a write of its own.
    pub sync_each: bool,
    /// Whether the cluster starts for the first time. Later a replica without a log has lost it.
    pub founding: bool,
}

/// How long a replica waits before it connects again to one that it lost.
const RECONNECT_NS: u64 = 20_000_000;

/// One replica of one group.
pub struct Node<P: Protocol, I: Io> {
    protocol: P,
    body: Body<P, I::Storage>,
    io: I,
    reconnect_at: Time,
    /// Whether recovery is over: set by the first turn.
    started: bool,
    /// What an administrator asked for since the last turn.
    change: Option<Change>,
}

impl<P: Protocol, I: Io> fmt::Debug for Node<P, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node {{ {}, {:?} }}", P::NAME, self.protocol.role())
    }
}

/// Why a replica cannot go on.
#[derive(Debug)]
pub enum Fatal {
    /// The log could not be written: what was promised can no longer be kept.
    Log(std::io::Error),
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => {
                write!(f, "the log cannot be written, so this replica stops: {error}")
            }
        }
    }
}

/// How a replica with a log started.
#[derive(Debug)]
pub struct Opened {
    /// Records that were replayed.
    pub records: u64,
    /// Why it starts with nothing, to be made whole by the others, if it does.
    pub loss: Option<String>,
}

/// Why a log could not be opened.
struct Trouble {
    sentence: String,
    /// Whether what was durable is gone or damaged, so that nothing of it can be relied on.
    is_loss: bool,
}

impl Trouble {
    fn loss(sentence: &str) -> Self {
        Self { sentence: sentence.to_owned(), is_loss: true }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self { sentence: error.to_string(), is_loss: false }
    }
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        Self { is_loss: error.is_loss(), sentence: error.to_string() }
    }
}

impl From<Trouble> for String {
    fn from(trouble: Trouble) -> Self {
        trouble.sentence
    }
}

impl<P: Protocol, I: Io> Node<P, I> {
    /// A replica that keeps nothing on disk.
    pub fn new(settings: Settings, io: I) -> Self {
        let protocol = P::new(&settings.protocol);
        let body = Body::new(settings, io.clock());
        Self { protocol, body, io, reconnect_at: Time(0), started: false, change: None }
    }

    /// A replica with a log, which may be that of an earlier life: reads the snapshot, replays what
    /// follows. When what was durable is damaged or gone, and the protocol can bear that, all of it is
    /// thrown away and got back from the others.
    ///
    /// # Errors
    /// A sentence: what is wrong with the snapshot or the log.
    pub fn open(
        settings: Settings,
        io: I,
        storage: impl Fn() -> std::io::Result<I::Storage>,
        limits: WalLimits,
    ) -> Result<(Self, Opened), String> {
        let repairs = P::REPAIRS && settings.protocol.replicas > 1;
        let founding = settings.founding;
        let mut node = Self::new(settings, io);
        let trouble = match node.recover(storage().map_err(Trouble::from)?, limits, founding) {
            Ok(records) => return Ok((node, Opened { records, loss: None })),
            Err(trouble) => trouble,
        };
        if !repairs || !trouble.is_loss {
            return Err(trouble.sentence);
        }
        let mut settings = node.body.settings().clone();
        settings.protocol.lost = true;
        let mut node = Self::new(settings, node.io);
        let mut storage = storage().map_err(Trouble::from)?;
        storage.lose().map_err(Trouble::from)?;
        node.open_log(storage, limits, Lsn(0)).map_err(|trouble| trouble.sentence)?;
        Ok((node, Opened { records: 0, loss: Some(trouble.sentence) }))
    }

    /// Comes to the state of an earlier life, if there was one.
    fn recover(
        &mut self,
        mut storage: I::Storage,
        limits: WalLimits,
        founding: bool,
    ) -> Result<u64, Trouble> {
        if storage.is_lost()? {
            return Err(Trouble::loss("the log was lost, and not made good yet"));
        }
        if !founding && storage.list()?.is_empty() {
            return Err(Trouble::loss("there is no log"));
        }
        let mut from = Lsn(0);
        if let Some(found) = snapshots::read(&mut storage, &self.body.state)? {
            self.body.state.restore(found.restored, found.slot);
            from = found.from;
        }
        self.open_log(storage, limits, from)
    }

    /// Opens the log and replays it from `from`.
    fn open_log(
        &mut self,
        storage: I::Storage,
        limits: WalLimits,
        from: Lsn,
    ) -> Result<u64, Trouble> {
        let settings = self.body.settings();
        let identity = Identity {
            cluster: settings.cluster,
            replica: settings.protocol.id.0.into(),
            group: settings.group,
        };
        let snapshot_bytes = usize::try_from(settings.snapshot_bytes).expect("64-bit sizes");
        // Enough for the log to grow by half again while a snapshot is taken.
        let spares = snapshot_bytes / limits.segment_bytes * 3 / 2 + 2;
        let replay = |_, record: &[u8], payload: &[u8]| self.replay(record, payload);
        let (mut wal, recovered) = Wal::open(storage, identity, limits, from, replay)?;
        wal.prepare(spares)?;
        self.body.set_wal(wal, from);
        Ok(recovered.records)
    }

    /// Replays one record of an earlier life.
    fn replay(&mut self, record: &[u8], payload: &[u8]) {
        let record = P::Record::decode(record).expect("the log holds records of this protocol");
        let payload = self.body.store_payload(payload);
        self.protocol.replay(record, payload, &mut self.body);
        self.body.release_payload(payload);
    }

    /// The time of the last turn.
    pub fn now(&self) -> Time {
        self.body.now()
    }

    /// What the replica has counted so far.
    pub fn counters(&self) -> Counters {
        let Doubt { ended, total_ns, longest_ns, .. } = self.protocol.doubt();
        let Hints { taken, handed_off, .. } = self.protocol.hints();
        Counters {
            doubts: ended,
            doubt_ns: total_ns,
            doubt_ns_max: longest_ns,
            hints: taken,
            handoffs: handed_off,
            ..self.body.counters
        }
    }

    /// Commands applied so far.
    pub fn commands(&self) -> u64 {
        self.body.counters.commands
    }

    /// Registers read or written so far.
    pub fn registers(&self) -> u64 {
        self.body.registers()
    }

    /// Messages from other replicas and to them so far.
    pub fn messages(&self) -> u64 {
        self.body.counters.messages_sent + self.body.counters.messages_received
    }

    /// What the protocol is now.
    pub fn role(&self) -> Role {
        self.protocol.role()
    }

    /// Who votes by the last configuration that is known to be committed; `None` if that never changes.
    pub fn voters(&self) -> Option<Replicas> {
        self.protocol.voters()
    }

    /// An administrator asks for something: the next turn hands it over. The last word counts.
    pub fn change(&mut self, change: Change) {
        self.change = Some(change);
    }

    /// The first slot that was not applied; `None` while commands are replayed over a snapshot.
    pub fn applied(&self) -> Option<Slot> {
        self.body.state.is_whole().then(|| self.body.state.next())
    }

    /// Whether the outcome of everything that this replica has voted on is known to it, and it keeps
    /// nothing for others.
    pub fn is_certain(&self) -> bool {
        self.protocol.doubt().open == 0 && self.protocol.hints().kept == 0
    }

    /// A checksum of the table. Visits every key.
    pub fn checksum(&self) -> u64 {
        self.body.state.checksum()
    }

    /// Visits every key with its version and the id that its value or tombstone begins with.
    pub fn for_each_key(&self, visit: impl FnMut(u64, u64, u64)) {
        self.body.state.for_each_key(visit);
    }

    /// When there is something to do although nothing arrives.
    pub fn deadline(&self) -> Time {
        let lingers = || self.protocol.room() > 0 && self.body.log_has_room();
        let linger_until = self.body.linger_until().filter(|_| lingers()).unwrap_or(Time::NEVER);
        let greeting_until = self.body.connections.greeting_until();
        let snapshots_at = if self.body.snapshots_go_on() { self.io.now() } else { Time::NEVER };
        let reconnect_at =
            if self.body.next_to_connect().is_some() { self.reconnect_at } else { Time::NEVER };
        self.io
            .due()
            .min(self.protocol.deadline())
            .min(reconnect_at)
            .min(linger_until)
            .min(greeting_until)
            .min(snapshots_at)
    }

    /// One turn.
    ///
    /// # Errors
    /// When the log fails; the replica must then stop, for it cannot keep a promise any more.
    pub fn turn(&mut self) -> Result<(), Fatal> {
        self.connect_to_peers();
        let until = self.deadline();
        let (protocol, body) = (&mut self.protocol, &mut self.body);
        let mut fatal = None;
        self.io.poll(until, |event| match event {
            Event::Woke(now) => body.set_now(now),
            Event::Accepted(link) => body.accept(link),
            Event::Connected(link) => body.greet(link),
            Event::Received(link, bytes) => receive(protocol, body, link, bytes),
            Event::Closed(link) => body.connections.close(link),
            Event::Written(token, buffer, Ok(())) => body.written(token, buffer),
            Event::Written(_, _, Err(error)) => fatal = Some(error),
        });
        self.body.note_pending();
        self.body.drop_silent_strangers();
        self.body.release_held();
        self.run_protocol();
        self.body.keep_repair(self.protocol.is_whole());
        self.keep_snapshots().map_err(Fatal::Log)?;
        // Before anything is said that rests on what could not be written.
        if let Some(error) = fatal.or_else(|| self.body.failed.take()) {
            return Err(Fatal::Log(error));
        }
        self.body.write_log(&mut self.io);
        self.body.drop_old_answers();
        self.body.tell_samples();
        self.body.flush(&mut self.io);
        self.body.counters.turns += 1;
        Ok(())
    }

    /// Whoever drives the replica says when its turn was over, which is asked only where an operation
    /// is looked at: within a simulated turn no time passes, so only the simulator knows.
    pub fn end_turn(&mut self, now: impl FnOnce() -> Time) {
        self.body.note_handed(now);
    }

    /// Begins a snapshot when one is due, and goes on with those under way.
    fn keep_snapshots(&mut self) -> std::io::Result<()> {
        // Also when the log has no room: only the snapshot will make some.
        if self.body.snapshot_is_due() {
            self.body.begin_snapshot()?;
            self.protocol.checkpoint(&mut self.body);
            self.body.end_checkpoint();
        }
        self.body.continue_snapshots()
    }

    /// The timer, messages to oneself, and batches of requests.
    fn run_protocol(&mut self) {
        let (protocol, body) = (&mut self.protocol, &mut self.body);
        if !std::mem::replace(&mut self.started, true) {
            protocol.step(Input::Started, body);
        }
        if body.now() >= protocol.deadline() {
            protocol.step(Input::Timeout, body);
        }
        if let Some(change) = self.change.take() {
            protocol.step(Input::Change(change), body);
        }
        deliver_to_self(protocol, body);
        while protocol.reads_room() > 0
            && let Some(gets) = body.take_reads()
        {
            protocol.step(Input::Reads(gets), body);
            deliver_to_self(protocol, body);
            body.end_step(gets);
            body.release_payload(gets);
        }
        while body.has_batch() && protocol.room() > 0 && body.log_has_room() {
            let batch = body.take_batch();
            body.counters.batches += 1;
            protocol.step(Input::Requests(batch), body);
            deliver_to_self(protocol, body);
            body.end_step(batch);
            body.release_payload(batch);
        }
    }

    /// Each pair of replicas has one connection, made by the one with the smaller number.
    fn connect_to_peers(&mut self) {
        if self.io.now() < self.reconnect_at {
            return;
        }
        self.reconnect_at = self.io.now() + RECONNECT_NS;
        while let Some(peer) = self.body.next_to_connect() {
            let link = self.io.connect(self.body.address_of(peer));
            self.body.connections.dial(link, peer);
        }
    }
}

/// What was sent to oneself and waits for nothing any more.
fn deliver_to_self<P: Protocol, S: Storage>(protocol: &mut P, body: &mut Body<P, S>) {
    while let Some((message, payload)) = body.next_to_self() {
        let from = body.id();
        step_message(protocol, body, from, message, payload);
    }
}

/// One message, whoever it comes from.
fn step_message<P: Protocol, S: Storage>(
    protocol: &mut P,
    body: &mut Body<P, S>,
    from: ReplicaId,
    message: P::Message,
    payload: Payload,
) {
    body.hears(Some(from));
    protocol.step(Input::Message { from, message, payload }, body);
    body.hears(None);
    body.release_payload(payload);
}

fn receive<P: Protocol, S: Storage>(
    protocol: &mut P,
    body: &mut Body<P, S>,
    link: LinkId,
    bytes: &[u8],
) {
    let Some(mut assembler) = body.connections.take_assembler(link) else { return };
    let mut refused = None;
    let fed = assembler.feed(bytes, body.frame_bytes_max(link), |frame| {
        match take_frame(protocol, body, link, frame) {
            Ok(()) => Next::Frames(body.frame_bytes_max(link)),
            Err(reason) => {
                refused = Some(reason);
                Next::Nothing
            }
        }
    });
    body.connections.give_assembler(link, assembler);
    if let Some(reason) = refused.or_else(|| fed.err().map(Refusal::Frame)) {
        body.refuse(link, &reason);
    }
}

/// Why a connection is closed by this side.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    /// The bytes are no frame.
    Frame(FrameError),
    /// The first frame is no greeting of this format, cluster, group or replica.
    Hello,
    /// The other end does not have the key.
    Proof,
    /// The greeting took too long.
    Silence,
    /// Too many have not greeted.
    Crowd,
    /// A frame that this speaker may not send.
    Kind(Kind),
    /// A message that this protocol does not know.
    Message,
    /// Commands that break a rule.
    Commands(command::CommandError),
    /// A command of another client's session.
    Session,
    /// An operation that the protocol cannot carry.
    Operation,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Hello => f.write_str("the greeting is not of this cluster, group and replica"),
            Self::Proof => f.write_str("the other end does not know the key of this run"),
            Self::Silence => f.write_str("the greeting was not over in time"),
            Self::Crowd => f.write_str("too many connections have not greeted"),
            Self::Kind(kind) => write!(f, "a frame of kind {kind:?} is out of place"),
            Self::Message => f.write_str("the message is not one of this protocol"),
            Self::Commands(error) => error.fmt(f),
            Self::Session => f.write_str("the session belongs to another client"),
            Self::Operation => f.write_str("registers have no compare-and-swap and no add"),
        }
    }
}

fn take_frame<P: Protocol, S: Storage>(
    protocol: &mut P,
    body: &mut Body<P, S>,
    link: LinkId,
    frame: Frame<'_>,
) -> Result<(), Refusal> {
    match (body.connections.speaker(link), frame.kind) {
        (None, Kind::Hello) => body.welcome(link, frame.payload),
        (None, Kind::Challenge) => body.answer_challenge(link, frame.payload),
        (None, Kind::Proof) => body.take_proof(link, frame.payload),
        (Some(Speaker::Replica(from)), Kind::Message) => {
            let message = P::Message::decode(frame.message).ok_or(Refusal::Message)?;
            let from = ReplicaId(from);
            let Some(payload) = body.receive_payload(frame) else { return Ok(()) };
            body.counters.messages_received += 1;
            step_message(protocol, body, from, message, payload);
            Ok(())
        }
        (Some(Speaker::Replica(from)), Kind::Snapshot) => {
            let slot: [u8; 8] = frame.message.try_into().map_err(|_| Refusal::Message)?;
            let slot = Slot(u64::from_le_bytes(slot));
            if !slot.is_possible() {
                return Err(Refusal::Message);
            }
            let from = ReplicaId(from);
            if let Some(applied) = body.receive_snapshot(from, slot, frame.payload) {
                protocol.step(Input::Installed { from, applied }, body);
            }
            Ok(())
        }
        (Some(Speaker::Client(client)), Kind::Requests | Kind::Sampled) => {
            body.receive_requests(client, frame)
        }
        (_, kind) => Err(Refusal::Kind(kind)),
    }
}

/// Limits of what a client may send in one frame.
fn command_limits(settings: &Settings) -> CommandLimits {
    CommandLimits {
        // As many as a frame holds: what does not fit the queue is told `busy`.
        commands_max: settings.frame_bytes_max as usize / command::COMMAND_HEADER_BYTES,
        value_bytes_max: settings.batch_bytes_max - command::COMMAND_HEADER_BYTES * 2,
    }
}
