//! Everything of a replica but its protocol: what the protocol's verbs act on.

use std::cell::Cell;
use std::collections::VecDeque;

use synod_protocols::command::{self, Command, Commands, Op, Reply, SessionId, Status};
use synod_protocols::protocol::{Context, Protocol, Reads, Register, Service, TURN_NS_MAX};
use synod_protocols::types::{Payload, ReplicaId, Replicas, Slot, Tag, Time};
use synod_protocols::wire::{WIRE_BYTES_MAX, Wire};

use super::batches::Batches;
use super::connections::Connections;
use super::pending::Pending;
use super::samples::{Sample, Samples};
use super::snapshots::Snapshots;
use super::state::State;
use super::{Counters, Refusal, Settings};
use crate::arena::Arena;
use crate::frame::{self, Frame, Kind};
use crate::greeting::{self, Accepting, Dialling, Hello, Nonces, Speaker};
use crate::io::{Address, Clock, Io, LinkId};
use crate::snapshot::{SnapshotIdentity, chunk_number};
use crate::store::{StoreLimits, Tagged};
use crate::wal::{Buffer, Lsn, Storage, Wal, WriteToken};
use synod_workloads::{Concern, Random};

/// Keys that a store holds at most, for each key that it is made for.
const KEYS_GROWTH: usize = 4;

/// Bytes that large values may take.
const LARGE_BYTES_MAX: usize = 8 << 30;

/// The arena beyond what the protocol retains: what is pending, held or in flight.
const ARENA_SLACK_BYTES: usize = 256 << 20;

/// A message that waits for the disk.
#[derive(Debug)]
struct Held<M> {
    until: Lsn,
    to: ReplicaId,
    message: M,
    payload: Payload,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Body<P: Protocol, S> {
    settings: Settings,
    clock: Clock,
    now: Time,
    random: Random,
    arena: Arena,
    pub(super) state: State,
    pub(super) snapshots: Snapshots,
    wal: Option<Wal<S>>,
    /// What went wrong with the disk in the middle of a turn; its end reports it.
    pub(super) failed: Option<std::io::Error>,
    held: VecDeque<Held<P::Message>>,
    to_self: VecDeque<(P::Message, Payload)>,
    pending: Pending,
    /// Gets that come to the protocol by themselves.
    reads: Pending,
    batches: Batches,
    samples: Samples,
    pub(super) connections: Connections,
    pub(super) counters: Counters,
    /// Registers read or written so far: they are read from behind shared references.
    registers: Cell<u64>,
    nonces: Nonces,
    /// Whether gets come to the protocol by themselves.
    reads_apart: bool,
    /// Whether gets were answered in this turn from the store as it was then.
    serves: bool,
    /// Whose message is being handled.
    hears: Option<ReplicaId>,
    /// From when on the next refusal is told.
    tell_at: Time,
}

/// Refusals are told once in so long; all are counted.
const TELL_NS: u64 = 1_000_000_000;

impl<P: Protocol, S: Storage> Body<P, S> {
    pub(super) fn new(settings: Settings, clock: Clock) -> Self {
        // Who executes nothing needs no memory for what commands leave behind.
        let (keys_expected, sessions_max) = if settings.protocol.is_witness() {
            (0, 1)
        } else {
            (settings.keys_expected, settings.sessions_max)
        };
        let retain_bytes = usize::try_from(settings.protocol.retain_bytes).expect("memory");
        Self {
            now: clock.now(),
            clock,
            random: Random::new(
                settings.seed ^ u64::from(settings.protocol.id.0) << 32,
                Concern::Timers,
            ),
            arena: Arena::new(
                settings.frame_bytes_max as usize,
                2 * retain_bytes + ARENA_SLACK_BYTES,
            ),
            state: State::new(
                SnapshotIdentity { cluster: settings.cluster, group: settings.group },
                StoreLimits {
                    keys_expected,
                    keys_max: keys_expected.max(1024) * KEYS_GROWTH,
                    large_bytes_max: LARGE_BYTES_MAX,
                },
                sessions_max,
            ),
            snapshots: Snapshots::default(),
            wal: None,
            failed: None,
            held: VecDeque::with_capacity(1024),
            to_self: VecDeque::with_capacity(1024),
            pending: pending(&settings),
            reads: pending(&settings),
            batches: Batches::new(settings.linger_ns, settings.objective_ns),
            samples: Samples::new(),
            connections: Connections::new(settings.clients_max),
            counters: Counters::default(),
            registers: Cell::new(0),
            nonces: Nonces::new(settings.nonces),
            tell_at: Time(0),
            reads_apart: P::reads(&settings.protocol.parameters) != Reads::Ordered,
            serves: false,
            hears: None,
            settings,
        }
    }

    pub(super) fn id(&self) -> ReplicaId {
        self.settings.protocol.id
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn registers(&self) -> u64 {
        self.registers.get()
    }

    pub(super) fn now(&self) -> Time {
        self.now
    }

    pub(super) fn set_now(&mut self, now: Time) {
        self.now = now;
    }

    /// All that came in this turn is there: whatever is new waits from now on.
    pub(super) fn note_pending(&mut self) {
        self.pending.note(self.now);
        self.reads.note(self.now);
    }

    /// The longest frame that may come by this connection.
    pub(super) fn frame_bytes_max(&self, link: LinkId) -> u32 {
        match self.connections.speaker(link) {
            Some(_) => self.settings.frame_bytes_max,
            None => greeting::FRAME_BYTES_MAX,
        }
    }

    pub(super) fn address_of(&self, peer: ReplicaId) -> &Address {
        &self.settings.peers[peer.index()]
    }

    /// A replica with a larger number that is not connected.
    pub(super) fn next_to_connect(&self) -> Option<ReplicaId> {
        Replicas::first(self.settings.protocol.replicas)
            .iter()
            .find(|&peer| peer > self.id() && !self.connections.has_peer(peer))
    }

    // Connections.

    /// Somebody connected. Of too many who have not greeted the oldest has to go.
    pub(super) fn accept(&mut self, link: LinkId) {
        if let Some(oldest) = self.connections.accept(link) {
            self.refuse(oldest, &Refusal::Crowd);
        }
    }

    /// The first frame of a connection that this side made.
    pub(super) fn greet(&mut self, link: LinkId) {
        let Some(peer) = self.connections.dialled(link) else { return };
        let Settings { cluster, group, key, .. } = self.settings;
        let speaker = Speaker::Replica(self.id().0);
        let hello = Hello { cluster, group, to: peer.0, speaker };
        let Some(outbox) = self.connections.outbox(link) else { return };
        let dialling = Dialling::begin(hello, key, &mut self.nonces, outbox);
        self.connections.set_dialling(link, dialling);
    }

    /// Who was dialled answers.
    pub(super) fn answer_challenge(
        &mut self,
        link: LinkId,
        challenge: &[u8],
    ) -> Result<(), Refusal> {
        let peer = self.connections.dialled(link);
        let (Some(peer), Some(dialling)) = (peer, self.connections.take_dialling(link)) else {
            return Err(Refusal::Kind(Kind::Challenge));
        };
        let Some(outbox) = self.connections.outbox(link) else { return Ok(()) };
        if !dialling.answer(challenge, outbox) {
            return Err(Refusal::Proof);
        }
        self.connections.set_speaker(link, Speaker::Replica(peer.0));
        Ok(())
    }

    /// The other end says who it is; it has to prove it next.
    pub(super) fn welcome(&mut self, link: LinkId, hello: &[u8]) -> Result<(), Refusal> {
        let settings = &self.settings;
        let own = settings.protocol.id.0;
        let key_of = |hello: Hello| {
            let Hello { cluster, group, to, speaker } = hello;
            let same = (cluster, group, to) == (settings.cluster, settings.group, own);
            let key = match speaker {
                Speaker::Replica(id) => (id < own).then_some(settings.key),
                Speaker::Client(id) => {
                    ((id as usize) < settings.clients_max).then(|| settings.key.for_clients())
                }
            };
            key.filter(|_| same)
        };
        if !self.connections.awaits_hello(link) {
            return Err(Refusal::Kind(Kind::Hello));
        }
        let Some(outbox) = self.connections.outbox(link) else { return Ok(()) };
        let accepting = Accepting::begin(hello, key_of, &mut self.nonces, outbox);
        self.connections.set_accepting(link, accepting.ok_or(Refusal::Hello)?);
        Ok(())
    }

    /// The other end proves who it is.
    pub(super) fn take_proof(&mut self, link: LinkId, proof: &[u8]) -> Result<(), Refusal> {
        let accepting = self.connections.take_accepting(link);
        let accepting = accepting.ok_or(Refusal::Kind(Kind::Proof))?;
        let speaker = accepting.verify(proof).ok_or(Refusal::Proof)?;
        self.connections.set_speaker(link, speaker);
        Ok(())
    }

    /// Whoever had time enough to greet and did not is gone.
    pub(super) fn drop_silent_strangers(&mut self) {
        while let Some(link) = self.connections.next_silent(self.now) {
            self.refuse(link, &Refusal::Silence);
        }
    }

    /// Closes a connection whose other end does not keep to the rules.
    pub(super) fn refuse(&mut self, link: LinkId, reason: &Refusal) {
        self.counters.rejected.count(reason);
        // A replica that is paused or cut off is silent, too, and nothing is wrong with it.
        if self.now >= self.tell_at && !matches!(reason, Refusal::Silence) {
            self.tell_at = self.now + TELL_NS;
            let total = self.counters.rejected.total();
            eprintln!("replica {}: connection refused: {reason} ({total} so far)", self.id());
        }
        self.connections.doom(link);
    }

    /// Whose message is handled from now on: what is answered meanwhile had waited for it.
    pub(super) fn hears(&mut self, from: Option<ReplicaId>) {
        self.hears = from;
    }

    fn count_completed(&mut self, commands: u64) {
        if let Some(from) = self.hears {
            self.counters.completed_by[from.index()] += commands;
        }
    }

    // Requests.

    pub(super) fn receive_requests(
        &mut self,
        client: u32,
        frame: Frame<'_>,
    ) -> Result<(), Refusal> {
        let limits = super::command_limits(&self.settings);
        let commands = command::validate(frame.payload, &limits).map_err(Refusal::Commands)?;
        if Commands::new(frame.payload).any(|command| !serves(P::SERVICE, command.op)) {
            return Err(Refusal::Operation);
        }
        if Commands::new(frame.payload).any(|command| command.session.client() != client) {
            return Err(Refusal::Session);
        }
        let mut rest = frame.payload;
        let mut left = commands;
        let mut samples_first = frame.kind == Kind::Sampled;
        while left > 0 {
            let reads = self.is_read(rest);
            let pending = if reads { &mut self.reads } else { &mut self.pending };
            // What fits is taken: clients that were refused together come again together.
            let room = pending.room();
            let commands_max = self.settings.batch_ops_max.min(room).max(1);
            let (run, run_commands) = self.first_run(rest, commands_max);
            let stored = (run_commands <= room)
                .then(|| self.arena.store(run, narrow(run_commands)))
                .flatten();
            if std::mem::take(&mut samples_first)
                && let Some(requests) = stored
            {
                self.samples.begin(requests, run, self.now);
            }
            match stored {
                Some(payload) if reads => self.reads.push(payload, &mut self.arena),
                Some(payload) => self.pending.push(payload, &mut self.arena),
                None => self.refuse_as_busy(client, run),
            }
            rest = &rest[run.len()..];
            left -= run_commands;
        }
        Ok(())
    }

    /// Whether the first command comes to the protocol by itself.
    fn is_read(&self, commands: &[u8]) -> bool {
        self.reads_apart
            && Commands::new(commands).next().is_some_and(|command| command.op == Op::Get)
    }

    /// As many of the first commands as one batch may have, and no more than `commands_max`; all of
    /// them come by themselves, or none.
    fn first_run<'a>(&self, commands: &'a [u8], commands_max: usize) -> (&'a [u8], usize) {
        let (mut bytes, mut count) = (0, 0);
        let reads = self.is_read(commands);
        for command in Commands::new(commands) {
            let with = bytes + command.encoded_bytes();
            let is_other = self.reads_apart && (command.op == Op::Get) != reads;
            let is_full = with > self.settings.batch_bytes_max || count == commands_max;
            if count > 0 && (is_full || is_other) {
                break;
            }
            bytes = with;
            count += 1;
        }
        (&commands[..bytes], count)
    }

    fn refuse_as_busy(&mut self, client: u32, commands: &[u8]) {
        for command in Commands::new(commands) {
            self.counters.busy += 1;
            self.connections.reply(client, &answer(&command, Status::Busy, 0, &[]));
        }
    }

    pub(super) fn has_batch(&self) -> bool {
        let linger_ns = self.batches.linger_ns();
        !self.pending.is_empty()
            && (linger_ns == 0
                || self.pending.has_full_batch()
                || self.now.since(self.pending.since()) >= linger_ns)
    }

    /// When a batch that waits for more requests must go, if there is one.
    pub(super) fn linger_until(&self) -> Option<Time> {
        let linger_ns = self.batches.linger_ns();
        (linger_ns > 0 && !self.pending.is_empty()).then(|| self.pending.since() + linger_ns)
    }

    pub(super) fn take_batch(&mut self) -> Payload {
        let since = self.pending.since();
        let batch = self.pending.pop();
        self.batches.propose(batch, since);
        self.begin_step(batch);
        batch
    }

    /// The oldest gets that come by themselves. They never linger: no disk waits for them.
    pub(super) fn take_reads(&mut self) -> Option<Payload> {
        let gets = (!self.reads.is_empty()).then(|| self.reads.pop())?;
        self.begin_step(gets);
        Some(gets)
    }

    // Samples.

    /// Stamps what is looked at in a batch.
    fn stamp(&mut self, batch: Payload, stamp: impl Fn(&mut Sample, &Clock)) {
        if !self.samples.is_empty() {
            let samples = self.samples.of(batch, self.arena.bytes(batch));
            samples.for_each(|sample| stamp(sample, &self.clock));
        }
    }

    fn log_end(&self) -> Option<Lsn> {
        self.wal.as_ref().map(Wal::end)
    }

    /// The protocol gets a batch.
    fn begin_step(&mut self, batch: Payload) {
        let log_end = self.log_end();
        self.stamp(batch, |sample, clock| sample.begin_step(log_end, clock.now()));
    }

    /// The protocol has got a batch, and appended whatever it appends at once.
    pub(super) fn end_step(&mut self, batch: Payload) {
        let log_end = self.log_end();
        self.stamp(batch, |sample, _| sample.end_step(log_end));
    }

    /// The turn is over.
    pub(super) fn note_handed(&mut self, now: impl FnOnce() -> Time) {
        self.samples.note_handed(now);
    }

    /// Tells the clients of samples that were answered in this turn where their time went.
    pub(super) fn tell_samples(&mut self) {
        while let Some(sample) = self.samples.next_answered() {
            let spans = sample.spans(self.clock.now());
            self.connections.tell(sample.client(), Kind::Spans, &spans.encode());
        }
    }

    // Payloads.

    pub(super) fn store_payload(&mut self, bytes: &[u8]) -> Payload {
        self.arena.store(bytes, 0).expect("recovery trims as it goes")
    }

    pub(super) fn release_payload(&mut self, payload: Payload) {
        self.arena.release(payload);
    }

    /// Takes in the payload of a message, or drops the message when there is no room for it: it
    /// then counts as lost on the way.
    pub(super) fn receive_payload(&mut self, frame: Frame<'_>) -> Option<Payload> {
        let stored = if frame.payload.is_empty() || self.log_has_room() {
            self.arena.store(frame.payload, frame.count)
        } else {
            None
        };
        self.counters.messages_dropped += u64::from(stored.is_none());
        stored
    }

    // Durability.

    pub(super) fn log_has_room(&self) -> bool {
        // No record is longer than a frame.
        self.wal.as_ref().is_none_or(|wal| wal.room() > self.settings.frame_bytes_max as usize)
    }

    pub(super) fn written(&mut self, token: WriteToken, buffer: Buffer) {
        self.wal.as_mut().expect("only a log writes").written(token, buffer);
    }

    /// Sends what waited for writes that are durable by now.
    pub(super) fn release_held(&mut self) {
        let Some(durable) = self.wal.as_ref().map(Wal::durable) else { return };
        self.samples.note_durable(durable, self.now);
        while self.held.front().is_some_and(|held| held.until <= durable) {
            let held = self.held.pop_front().expect("just seen");
            self.say(held.to, held.message, held.payload);
            self.arena.release(held.payload);
        }
    }

    pub(super) fn next_to_self(&mut self) -> Option<(P::Message, Payload)> {
        self.to_self.pop_front()
    }

    fn say(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        if to == self.id() {
            self.arena.retain(payload);
            self.to_self.push_back((message, payload));
            return;
        }
        let Some(outbox) = self.connections.peer_outbox(to) else {
            self.counters.messages_dropped += 1;
            return;
        };
        let mut buffer = [0; WIRE_BYTES_MAX];
        let length = message.encode(&mut buffer);
        let bytes = self.arena.bytes(payload);
        frame::push(outbox, Kind::Message, &buffer[..length], bytes, payload.commands);
        self.counters.messages_sent += 1;
    }

    /// Everything appended since the last write becomes one write, if one more may be in flight.
    pub(super) fn write_log<I: Io<Storage = S>>(&mut self, io: &mut I) {
        let Some(wal) = &mut self.wal else { return };
        while let Some(write) = wal.next_write() {
            self.counters.log_writes += 1;
            self.counters.log_bytes += write.length as u64;
            io.write(wal.storage_mut(), write);
        }
    }

    /// Recovery is over; the log goes on after the snapshot at `from`.
    pub(super) fn set_wal(&mut self, wal: Wal<S>, from: Lsn) {
        if self.settings.protocol.lost {
            self.snapshots.lost();
        }
        self.snapshots.recovered(from, wal.end());
        self.wal = Some(wal);
    }

    /// The protocol has appended its checkpoint.
    pub(super) fn end_checkpoint(&mut self) {
        if let Some(wal) = &self.wal {
            self.snapshots.checkpointed(wal.end());
        }
    }

    /// The protocol says whether it has all that it promised.
    pub(super) fn keep_repair(&mut self, is_whole: bool) {
        self.snapshots.note_repair(is_whole && self.state.is_whole());
    }

    /// Whether the log has grown so long that a snapshot should let it be cut.
    pub(super) fn snapshot_is_due(&self) -> bool {
        let every_bytes = self.settings.snapshot_bytes;
        self.state.is_whole()
            && self
                .wal
                .as_ref()
                .is_some_and(|wal| self.snapshots.is_due(wal, self.state.next(), every_bytes))
    }

    pub(super) fn begin_snapshot(&mut self) -> std::io::Result<()> {
        match &mut self.wal {
            Some(wal) => self.snapshots.begin_saving(&self.state, wal),
            None => Ok(()),
        }
    }

    /// Whether snapshots that are being saved or sent need a turn.
    pub(super) fn snapshots_go_on(&self) -> bool {
        self.snapshots.go_on(self.wal.as_ref(), &self.connections)
    }

    /// One more piece of every snapshot that is being saved or sent.
    pub(super) fn continue_snapshots(&mut self) -> std::io::Result<()> {
        self.snapshots.continue_sending(&self.state, &mut self.connections);
        let Some(wal) = &mut self.wal else { return Ok(()) };
        if !self.state.is_whole() {
            // The log can be cut only when it has brought all that the received snapshot lacks.
            wal.extend()?;
        }
        self.snapshots.continue_saving(&self.state, wal)
    }

    /// Takes in a piece of another replica's snapshot. When it was the last, or the snapshot has
    /// nothing new, says below which slot this replica now has everything.
    pub(super) fn receive_snapshot(
        &mut self,
        from: ReplicaId,
        slot: Slot,
        chunk: &[u8],
    ) -> Option<Slot> {
        let merges = P::SERVICE == Service::Registers;
        if merges && !self.settings.protocol.lost {
            return None;
        }
        // Who asked for it may not know what the store has: the snapshot before was on disk when a
        // crash took the record of it.
        let is_old = !merges && slot <= self.state.next() && chunk_number(chunk) == Some(0);
        match self.snapshots.receive(&self.state, self.wal.as_mut(), from, slot, chunk, merges) {
            Ok(Some(restored)) if merges => {
                self.state.merge(restored);
                Some(slot)
            }
            Ok(Some(restored)) => {
                self.state.restore(restored, slot);
                // What others were being sent was the state before.
                self.snapshots.stop_sending();
                Some(slot)
            }
            Ok(None) => is_old.then(|| self.state.next()),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    /// Drops what was answered from the store, if this process has stood still since: somebody else
    /// may lead by now.
    pub(super) fn drop_old_answers(&mut self) {
        if std::mem::take(&mut self.serves) && self.clock.now().since(self.now) > TURN_NS_MAX {
            self.connections.doom_clients();
        }
    }

    /// One send for each connection that has something to say.
    pub(super) fn flush(&mut self, io: &mut impl Io) {
        let counters = &mut self.counters;
        self.connections.flush(|link, speaker, bytes| {
            let length = bytes.len() as u64;
            if !io.send(link, bytes) {
                return;
            }
            match speaker {
                Some(Speaker::Client(_)) => {
                    counters.client_sends += 1;
                    counters.client_bytes += length;
                }
                Some(Speaker::Replica(_)) | None => {
                    counters.peer_sends += 1;
                    counters.peer_bytes += length;
                }
            }
        });
        while let Some(link) = self.connections.next_doomed() {
            io.close(link);
        }
    }
}

impl<P: Protocol, S: Storage> Context<P> for Body<P, S> {
    fn now(&self) -> Time {
        self.now
    }

    fn random(&mut self) -> u64 {
        self.random.bits()
    }

    fn append(&mut self, record: P::Record, payload: Payload) {
        let Some(wal) = &mut self.wal else { return };
        let mut buffer = [0; WIRE_BYTES_MAX];
        let length = record.encode(&mut buffer);
        if let Err(error) = wal.append(&buffer[..length], self.arena.bytes(payload)) {
            self.failed = Some(error);
        }
        if self.settings.sync_each {
            wal.seal();
        }
    }

    fn send(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        let waits = self.wal.as_ref().filter(|wal| wal.end() > wal.durable());
        match waits.map(Wal::end) {
            None => self.say(to, message, payload),
            Some(until) => {
                self.arena.retain(payload);
                self.held.push_back(Held { until, to, message, payload });
            }
        }
    }

    fn send_now(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        self.say(to, message, payload);
    }

    fn commit(&mut self, slot: Slot, batch: Payload, reply: bool) {
        assert!(!self.settings.protocol.is_witness(), "a witness executes nothing");
        self.counters.commands += u64::from(batch.commands);
        if reply {
            self.stamp(batch, |sample, clock| sample.agreed = Some(clock.now()));
        }
        let connections = &mut self.connections;
        let on_reply = |session: SessionId, answer: &Reply<'_>| {
            if reply {
                connections.reply(session.client(), answer);
            }
        };
        let tally = self.state.apply(slot, self.arena.bytes(batch), on_reply);
        if reply {
            self.stamp(batch, |sample, clock| sample.applied = Some(clock.now()));
            if self.batches.answer(batch, self.now) {
                self.count_completed(batch.commands.into());
            }
        }
        self.counters.repeated += tally.repeated;
    }

    fn serve(&mut self, gets: Payload) {
        self.serves = true;
        self.counters.commands += u64::from(gets.commands);
        self.stamp(gets, |sample, clock| sample.agreed = Some(clock.now()));
        let connections = &mut self.connections;
        self.state.serve(self.arena.bytes(gets), |session, answer| {
            connections.reply(session.client(), answer);
        });
        self.stamp(gets, |sample, clock| sample.applied = Some(clock.now()));
    }

    fn redirect(&mut self, batch: Payload, leader: Option<ReplicaId>) {
        // An empty value says that nobody is known to lead.
        let leader: &[u8] = &leader.map_or([0; 1], |leader| [leader.0 + 1]);
        let leader = if leader == [0] { &[] } else { leader };
        for command in Commands::new(self.arena.bytes(batch)) {
            let reply = answer(&command, Status::Redirect, 0, leader);
            self.connections.reply(command.session.client(), &reply);
        }
        self.samples.forget(batch, self.arena.bytes(batch));
    }

    fn retain(&mut self, payload: Payload) {
        self.arena.retain(payload);
    }

    fn release(&mut self, payload: Payload) {
        self.arena.release(payload);
    }

    fn send_snapshot(&mut self, to: ReplicaId) {
        self.snapshots.begin_sending(&self.state, to);
    }

    fn bytes(&self, payload: Payload) -> &[u8] {
        self.arena.bytes(payload)
    }

    fn store(&mut self, bytes: &[u8]) -> Payload {
        self.arena.store(bytes, 0).expect("the arena has slack for what protocols build")
    }

    fn register(&self, key: u64) -> Register<'_> {
        self.registers.update(|registers| registers + 1);
        match self.state.register(key) {
            None => Register { tag: Tag::ZERO, deleted: true, value: &[] },
            Some(Tagged { version, value, tombstone }) => {
                Register { tag: Tag(version), deleted: tombstone, value }
            }
        }
    }

    fn write_register(&mut self, key: u64, tag: Tag, deleted: bool, value: Payload) {
        *self.registers.get_mut() += 1;
        self.state.write_register(key, tag, deleted, self.arena.bytes(value));
    }

    fn reply(&mut self, session: u64, sequence: u64, status: Status, tag: Tag, value: Payload) {
        let session = SessionId(session);
        self.counters.commands += 1;
        self.count_completed(1);
        let value = self.arena.bytes(value);
        let session_index = session.index();
        let reply = Reply { sequence, session_index, status, version: tag.0, value };
        let mut sample = self.samples.request(session, sequence);
        if let Some(sample) = &mut sample {
            sample.agreed = Some(self.clock.now());
        }
        self.connections.reply(session.client(), &reply);
        if let Some(sample) = sample {
            sample.applied = Some(self.clock.now());
        }
    }
}

fn pending(settings: &Settings) -> Pending {
    Pending::new(settings.pending_ops_max, settings.batch_ops_max, settings.batch_bytes_max)
}

/// Whether a protocol can carry this operation.
fn serves(service: Service, op: Op) -> bool {
    match service {
        Service::Transactions => true,
        Service::StateMachine => op != Op::Transact,
        Service::Registers => matches!(op, Op::Get | Op::Put | Op::Delete),
    }
}

fn answer<'a>(command: &Command<'_>, status: Status, version: u64, value: &'a [u8]) -> Reply<'a> {
    Reply {
        sequence: command.sequence,
        session_index: command.session.index(),
        status,
        version,
        value,
    }
}

fn narrow(commands: usize) -> u32 {
    u32::try_from(commands).expect("limits keep batches small")
}
