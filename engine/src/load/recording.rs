//! What a load thread records: latencies by interval, and every operation. Both go to a writer
//! thread in pieces whose memory comes back, so recording allocates nothing once warm.

use crossbeam::channel::{Receiver, Sender};
use synod_protocols::types::Time;
use synod_results::history::{Kind, Operation};
use synod_results::record::{Interval, LatencyRecorder, Spare};
use synod_workloads::Phases;

use super::Noticed;
use super::in_flight::{InFlight, Mark};

/// Operations in a chunk: 256 KiB, so that recorder and writer meet in the cache.
const CHUNK_OPERATIONS: usize = 4096;

/// The length of an interval.
const INTERVAL_NS: u64 = 1_000_000_000;

/// What a load thread hands to the writer.
#[derive(Debug)]
pub enum Piece {
    /// Operations, in the order in which they ended.
    Operations(Vec<Operation>),
    /// Latencies of the operations that ended in an interval.
    Latencies(Timed),
}

/// An interval and its place in the run.
#[derive(Debug)]
pub struct Timed {
    /// The load thread.
    pub thread: u16,
    /// Seconds since the start of the warm-up, rounded down.
    pub second: usize,
    /// Whether it lies in the measured window.
    pub measured: bool,
    /// The latencies.
    pub interval: Interval,
    /// Operations given up since the last interval.
    pub unknown: u64,
    /// Times that a replica said `busy` since the last interval.
    pub busy: u64,
}

/// Memory that the writer gives back.
#[derive(Debug)]
pub enum Used {
    /// A chunk.
    Operations(Vec<Operation>),
    /// An interval.
    Latencies(Spare),
}

/// The recorder of one load thread.
#[derive(Debug)]
pub struct Recording {
    thread: u16,
    chunk: Vec<Operation>,
    spare_chunks: Vec<Vec<Operation>>,
    full: Sender<Piece>,
    used: Receiver<Used>,
    latencies: LatencyRecorder,
    start: Time,
    measure_from: Time,
    measure_until: Time,
    end: Time,
    roll_at: Time,
    keeps_latencies: bool,
    counted: Noticed,
    cpu_from: Option<u64>,
    in_flight_from: Option<Mark>,
}

impl Recording {
    /// Pieces go out by `full`; their memory comes back by `used`.
    #[must_use]
    pub fn new(thread: u16, full: Sender<Piece>, used: Receiver<Used>) -> Self {
        Self {
            thread,
            chunk: Vec::with_capacity(CHUNK_OPERATIONS),
            spare_chunks: Vec::with_capacity(64),
            full,
            used,
            latencies: LatencyRecorder::new(0),
            start: Time::NEVER,
            measure_from: Time::NEVER,
            measure_until: Time::NEVER,
            end: Time::NEVER,
            roll_at: Time::NEVER,
            keeps_latencies: true,
            counted: Noticed::default(),
            cpu_from: None,
            in_flight_from: None,
        }
    }

    /// Hands over only the history, for those who would not look at the rest.
    #[must_use]
    pub(crate) fn without_latencies(self) -> Self {
        Self { keeps_latencies: false, ..self }
    }

    /// The load starts: what was recorded before does not count.
    pub(super) fn start(&mut self, start: Time, phases: &Phases) {
        self.start = start;
        self.measure_from = start + phases.warm_up_ns;
        self.measure_until = self.measure_from + phases.measure_ns;
        self.end = self.measure_until + phases.cool_down_ns;
        self.latencies = LatencyRecorder::new(start.0);
        if self.keeps_latencies {
            self.roll_at = self.next_roll(start);
        }
    }

    /// When the load ends.
    pub(super) fn end(&self) -> Time {
        self.end
    }

    pub(super) fn is_measuring(&self, now: Time) -> bool {
        now >= self.measure_from && now < self.measure_until
    }

    /// An operation that was meant to start at `intended` has ended, and did these things.
    #[inline]
    pub(super) fn record(&mut self, kind: Kind, parts: &[Operation], intended: Time, now: Time) {
        self.latencies.record(kind, now.since(intended));
        parts.iter().for_each(|part| self.push(part));
    }

    pub(super) fn record_unknown(&mut self, parts: &[Operation]) {
        parts.iter().for_each(|part| self.push(part));
    }

    #[inline]
    fn push(&mut self, operation: &Operation) {
        self.chunk.push(*operation);
        if self.chunk.len() == CHUNK_OPERATIONS {
            self.take_back();
            let next = self.spare_chunks.pop();
            let next = next.unwrap_or_else(|| Vec::with_capacity(CHUNK_OPERATIONS));
            let full = std::mem::replace(&mut self.chunk, next);
            self.send(Piece::Operations(full));
        }
    }

    fn take_back(&mut self) {
        while let Ok(used) = self.used.try_recv() {
            match used {
                Used::Operations(chunk) => self.spare_chunks.push(chunk),
                Used::Latencies(spare) => self.latencies.recycle(spare),
            }
        }
    }

    fn send(&self, piece: Piece) {
        self.full.send(piece).expect("the writer outlives the load threads");
    }

    /// Hands over an interval that is over.
    pub(super) fn roll(&mut self, now: Time, noticed: &Noticed) {
        if now < self.roll_at {
            return;
        }
        self.take_back();
        let began = self.roll_at;
        self.roll_at = self.next_roll(now);
        self.hand_over(now, began, noticed);
    }

    fn hand_over(&mut self, now: Time, ended: Time, noticed: &Noticed) {
        let interval = self.latencies.take_interval(now.0);
        let middle = Time(ended.0 - 1);
        let second = middle.since(self.start) / INTERVAL_NS;
        let timed = Timed {
            thread: self.thread,
            second: usize::try_from(second).expect("runs are shorter than an age"),
            measured: self.is_measuring(middle),
            interval,
            unknown: noticed.unknown - self.counted.unknown,
            busy: noticed.busy - self.counted.busy,
        };
        self.counted = *noticed;
        self.send(Piece::Latencies(timed));
    }

    /// The end of the interval that `now` lies in: a whole second, or an edge of the window.
    fn next_roll(&self, now: Time) -> Time {
        let second = self.start + (now.since(self.start) / INTERVAL_NS + 1) * INTERVAL_NS;
        [self.measure_from, self.measure_until]
            .into_iter()
            .filter(|&edge| edge > now)
            .fold(second, Time::min)
    }

    /// Notes how much processor time the thread used while measuring.
    pub(super) fn sample_cpu(&mut self, now: Time, clock: fn() -> u64, noticed: &mut Noticed) {
        if self.cpu_from.is_none() && now >= self.measure_from {
            self.cpu_from = Some(clock());
        }
        if let Some(from) = self.cpu_from
            && noticed.cpu_ns == 0
            && now >= self.measure_until
        {
            noticed.cpu_ns = clock() - from;
        }
    }

    /// Notes what was under way while measuring. Goes before [`Self::roll`] in a turn, so that both
    /// divide operations in the same way: what ended in a turn belongs to what is over.
    pub(super) fn sample_in_flight(
        &mut self,
        now: Time,
        in_flight: &mut InFlight,
        noticed: &mut Noticed,
    ) {
        match &self.in_flight_from {
            None if now >= self.measure_from => self.in_flight_from = Some(in_flight.mark(now.0)),
            Some(from) if noticed.passed.for_ns == 0 && now >= self.measure_until => {
                noticed.passed = in_flight.mark(now.0).since(from);
            }
            None | Some(_) => {}
        }
    }

    /// Hands over what is left.
    pub(super) fn finish(mut self, now: Time, noticed: &Noticed) {
        if self.roll_at != Time::NEVER {
            self.take_back();
            self.hand_over(now, self.roll_at.min(now + 1), noticed);
        }
        let last = std::mem::take(&mut self.chunk);
        self.send(Piece::Operations(last));
    }
}
