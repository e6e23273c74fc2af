//! The shape of consensus without consensus: client, leader, two followers, leader, client.
//!
//! A frame of the client is a slot. The leader keeps a copy and passes the slot on to both
//! followers, who keep theirs and acknowledge all slots so far at once. One acknowledgement commits
//! a slot: the leader and one follower are a majority. The leader answers each slot with one frame.
//! Whatever one of them has to say to another in a turn goes out in one send.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::AtomicBool;
use std::thread;

use synod_protocols::types::{Slot, Time};

use super::lines::{Role, play};
use super::stopwatch::Stopwatch;
use super::threads::{self, Scratch, StopOnDrop};
use super::{Entry, Options};
use crate::frame::{self, Frame, Kind};
use crate::io::Io;
use crate::io::uring::Uring;

/// Replicas beside the leader. Their lines are the leader's first.
const FOLLOWERS: usize = 2;

/// What the consensus-shaped echo achieved.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EchoResult {
    /// Messages in a frame.
    pub batch: usize,
    /// Frames in flight on each connection.
    pub window: usize,
    /// Client connections.
    pub connections: usize,
    /// Committed messages in a second.
    pub rate: f64,
    /// The median latency of a slot at the client, in nanoseconds.
    pub p50_ns: u64,
    /// The latency that 99 % of the slots do not exceed, in nanoseconds.
    pub p99_ns: u64,
}

impl EchoResult {
    /// The result among the other limits.
    #[must_use]
    pub fn to_entry(self, options: &Options) -> Entry {
        Entry {
            name: "echo".to_owned(),
            batch: self.batch,
            window: self.window,
            connections: self.connections,
            bytes: options.message_bytes,
            rate: self.rate,
            p50_ns: self.p50_ns,
            p99_ns: self.p99_ns,
            unit: "messages".to_owned(),
        }
    }
}

/// Measures the echo with `batch` messages in each frame and `window` frames in flight on each of
/// `connections` client connections.
///
/// # Errors
/// When a processor, the directory or the ring is not to be had, or a thread fails.
///
/// # Panics
/// When `batch`, `window` or `connections` is 0.
pub fn echo(
    options: &Options,
    batch: usize,
    window: usize,
    connections: usize,
) -> io::Result<EchoResult> {
    assert!(batch > 0 && window > 0 && connections > 0);
    let scratch = Scratch::new(&options.directory)?;
    let leader_listener = scratch.listen(options, "leader")?;
    let leader = vec![leader_listener.address().clone(); connections];
    let follower_listeners =
        [scratch.listen(options, "follower-1")?, scratch.listen(options, "follower-2")?];
    let followers = follower_listeners.each_ref().map(|listener| listener.address().clone());
    let stop = AtomicBool::new(false);
    let [leader_at, follower_at @ .., client_at] = options.placement;
    let pace = thread::scope(|scope| {
        // Should a thread not start, those that did must not wait for it.
        let _stopped_at_the_end = StopOnDrop(&stop);
        let mut threads = Vec::new();
        for (listener, processor) in follower_listeners.into_iter().zip(follower_at) {
            threads.push(threads::start(scope, "follower", processor, &stop, || {
                let mut io = Uring::new(options.wait, Some(listener))?;
                play(&mut io, &mut Follower::default(), &[], &stop)
            })?);
        }
        threads.push(threads::start(scope, "leader", leader_at, &stop, || {
            let mut io = Uring::new(options.wait, Some(leader_listener))?;
            play(&mut io, &mut Leader::new(options.reply_bytes), &followers, &stop)
        })?);
        let client = threads::start(scope, "client", client_at, &stop, || {
            let mut io = Uring::new(options.wait, None)?;
            let stopwatch = Stopwatch::new(options.seconds, io.now());
            let mut role = Client::new(stopwatch, batch, window, options.message_bytes);
            play(&mut io, &mut role, &leader, &stop)?;
            role.stopwatch.pace()
        })?;
        threads.into_iter().try_for_each(threads::join)?;
        threads::join(client)
    })?;
    let (rate, p50_ns, p99_ns) = (pace.rate, pace.p50_ns, pace.p99_ns);
    Ok(EchoResult { batch, window, connections, rate, p50_ns, p99_ns })
}

/// A log in memory that forgets: a replica that kept nothing would be faster than any can be.
#[derive(Debug, Default)]
struct MemoryLog {
    bytes: Vec<u8>,
}

impl MemoryLog {
    const BYTES_MAX: usize = 8 << 20;

    fn append(&mut self, payload: &[u8]) {
        if self.bytes.len() + payload.len() > Self::BYTES_MAX {
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(payload);
    }
}

/// A slot that waits for its acknowledgement.
struct Proposed {
    /// The client's connection.
    line: usize,
    /// The client's number of the frame, as it came.
    number: [u8; 8],
    count: u32,
}

struct Leader {
    log: MemoryLog,
    proposed: VecDeque<Proposed>,
    /// The first slot that is not committed: the front of `proposed`.
    committed: Slot,
    /// The first slot that each follower has not acknowledged.
    acknowledged: [Slot; FOLLOWERS],
    /// What answers one message.
    reply_bytes: usize,
    zeros: Vec<u8>,
}

impl Leader {
    fn new(reply_bytes: usize) -> Self {
        Self {
            log: MemoryLog::default(),
            proposed: VecDeque::new(),
            committed: Slot(0),
            acknowledged: [Slot(0); FOLLOWERS],
            reply_bytes,
            zeros: Vec::new(),
        }
    }

    fn propose(&mut self, line: usize, frame: Frame<'_>, outboxes: &mut [Vec<u8>]) {
        let slot = self.committed + self.proposed.len() as u64;
        self.log.append(frame.payload);
        for outbox in &mut outboxes[..FOLLOWERS] {
            let message = slot.0.to_le_bytes();
            frame::push(outbox, Kind::Message, &message, frame.payload, frame.count);
        }
        let number = number_bytes(frame);
        self.proposed.push_back(Proposed { line, number, count: frame.count });
    }

    fn commit(&mut self, outboxes: &mut [Vec<u8>]) {
        let [first, second] = self.acknowledged;
        let until = first.max(second);
        while self.committed < until {
            let Proposed { line, number, count } =
                self.proposed.pop_front().expect("only what was proposed is acknowledged");
            self.zeros.resize(self.reply_bytes * count as usize, 0);
            frame::push(&mut outboxes[line], Kind::Replies, &number, &self.zeros, count);
            self.committed = self.committed.next();
        }
    }
}

impl Role for Leader {
    fn open(&mut self, _line: usize) {}

    fn take(&mut self, line: usize, frame: Frame<'_>, outboxes: &mut [Vec<u8>]) {
        match self.acknowledged.get_mut(line) {
            Some(acknowledged) => {
                let next = Slot(number(frame));
                assert!(*acknowledged < next);
                *acknowledged = next;
            }
            None => self.propose(line, frame, outboxes),
        }
    }

    fn turn(&mut self, _now: Time, outboxes: &mut [Vec<u8>]) {
        self.commit(outboxes);
    }

    fn is_over(&self, _now: Time) -> bool {
        false
    }
}

#[derive(Default)]
struct Follower {
    log: MemoryLog,
    /// The first slot that has not come.
    next: Slot,
    acknowledged: Slot,
}

impl Role for Follower {
    fn open(&mut self, line: usize) {
        assert_eq!(line, 0, "only the leader connects to a follower");
    }

    fn take(&mut self, _line: usize, frame: Frame<'_>, _outboxes: &mut [Vec<u8>]) {
        assert_eq!(Slot(number(frame)), self.next);
        self.log.append(frame.payload);
        self.next = self.next.next();
    }

    fn turn(&mut self, _now: Time, outboxes: &mut [Vec<u8>]) {
        if self.acknowledged < self.next {
            frame::push(&mut outboxes[0], Kind::Message, &self.next.0.to_le_bytes(), &[], 0);
            self.acknowledged = self.next;
        }
    }

    fn is_over(&self, _now: Time) -> bool {
        false
    }
}

struct Client {
    stopwatch: Stopwatch,
    batch: u32,
    window: usize,
    payload: Vec<u8>,
    lines: Vec<ClientLine>,
}

/// A connection of the client.
#[derive(Default)]
struct ClientLine {
    /// Answers since the last turn.
    answers: usize,
    /// Answers before that.
    taken: u64,
    /// When each of the frames that are on their way was sent, in order.
    sent: VecDeque<Time>,
}

impl Client {
    fn new(stopwatch: Stopwatch, batch: usize, window: usize, message_bytes: usize) -> Self {
        Self {
            stopwatch,
            batch: u32::try_from(batch).expect("a frame is smaller than 4 GiB"),
            window,
            payload: vec![0x5a; batch * message_bytes],
            lines: Vec::new(),
        }
    }
}

impl Role for Client {
    fn open(&mut self, _line: usize) {
        self.lines.push(ClientLine::default());
    }

    fn take(&mut self, line: usize, frame: Frame<'_>, _outboxes: &mut [Vec<u8>]) {
        let line = &mut self.lines[line];
        assert_eq!(number(frame), line.taken + line.answers as u64);
        assert_eq!(frame.count, self.batch);
        line.answers += 1;
    }

    fn turn(&mut self, now: Time, outboxes: &mut [Vec<u8>]) {
        for (line, outbox) in self.lines.iter_mut().zip(outboxes) {
            line.taken += line.answers as u64;
            for sent in line.sent.drain(..line.answers) {
                self.stopwatch.record(sent, now, self.batch as usize);
            }
            line.answers = 0;
            while line.sent.len() < self.window {
                let number = line.taken + line.sent.len() as u64;
                let message = number.to_le_bytes();
                frame::push(outbox, Kind::Requests, &message, &self.payload, self.batch);
                line.sent.push_back(now);
            }
        }
    }

    fn is_over(&self, now: Time) -> bool {
        self.stopwatch.is_over(now)
    }
}

/// The number in front of the payload.
fn number(frame: Frame<'_>) -> u64 {
    u64::from_le_bytes(number_bytes(frame))
}

fn number_bytes(frame: Frame<'_>) -> [u8; 8] {
    frame.message.try_into().expect("each frame of the echo has a number")
}
