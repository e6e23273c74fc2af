//! Latencies as they are measured: one [`LatencyRecorder`] for each load thread.
//!
//! A recorder has two sets of counts, in the buckets of an HdrHistogram, so that to record is to add
//! one in a place that takes a few instructions to find. One is filled; at the end of an interval it is handed to
//! a writer thread as an [`Interval`], and the other takes its place. The writer adds it up, logs
//! it, clears it and sends it back as a [`Spare`]. So nothing is allocated, cleared or serialised
//! on the load thread after the start.

use hdrhistogram::Histogram;

use crate::history::Kind;

/// The largest latency that a histogram tells apart: 60 s. What takes longer is recorded as this,
/// and counted in [`Interval::above`].
pub const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Significant decimal digits of a recorded latency.
pub const SIGNIFICANT_DIGITS: u8 = 3;

const KINDS: usize = Kind::ALL.len();

/// An empty histogram of latencies in nanoseconds, 1 to [`LATENCY_NS_MAX`].
#[must_use]
pub fn empty_histogram<C: hdrhistogram::Counter>() -> Histogram<C> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
        .expect("the bounds are right for every counter")
}

/// Buckets of one width, in powers of two: half of those that three digits need, because the other
/// half would be covered by narrower ones.
const HALF_BITS: u32 = 10;
/// Buckets up to that of [`LATENCY_NS_MAX`], and so many more that they make whole groups.
const BUCKETS: usize = (bucket_of(LATENCY_NS_MAX) + 1).next_multiple_of(GROUP_BUCKETS);

/// Buckets that lie together. Almost all groups stay empty, and are known to be.
const GROUP_BUCKETS: usize = 128;
const GROUPS: usize = BUCKETS / GROUP_BUCKETS;

/// The bucket of a latency, as an HdrHistogram of three digits has it: the leading eleven bits say
/// which among those of a width, and how many bits follow says which width.
#[expect(clippy::cast_possible_truncation, reason = "the largest number is below 2^16")]
#[inline]
const fn bucket_of(latency_ns: u64) -> usize {
    let bits = u64::BITS - (latency_ns | ((2 << HALF_BITS) - 1)).leading_zeros();
    let width_bits = bits.wrapping_sub(HALF_BITS + 1);
    ((width_bits << HALF_BITS) as u64).wrapping_add(latency_ns.wrapping_shr(width_bits)) as usize
}

/// The smallest latency of a bucket.
const fn latency_of(bucket: usize) -> u64 {
    let width_bits = (bucket >> HALF_BITS).saturating_sub(1);
    ((bucket - (width_bits << HALF_BITS)) as u64) << width_bits
}

/// The counts of each kind, and how many latencies were too long for them.
#[derive(Clone, Debug)]
struct Counts {
    /// One kind after the other.
    buckets: Box<[u32; KINDS * BUCKETS]>,
    /// Groups in which something was counted.
    occupied: [bool; KINDS * GROUPS],
    above: [u64; KINDS],
}

impl Counts {
    fn new() -> Self {
        // From a vector of plain numbers, because its zeros take no memory before they are counted in.
        let buckets = vec![0; KINDS * BUCKETS].into_boxed_slice();
        let buckets = buckets.try_into().expect("as many as it says");
        Self { buckets, occupied: [false; KINDS * GROUPS], above: [0; KINDS] }
    }

    #[inline]
    fn count(&mut self, kind: Kind, latency_ns: u64) {
        let place = kind as usize * BUCKETS + bucket_of(latency_ns);
        self.buckets[place] = self.buckets[place].saturating_add(1);
        self.occupied[place / GROUP_BUCKETS] = true;
    }

    /// The occupied groups of a kind: where the first bucket of each lies among those of the kind, and
    /// its counts.
    fn groups(&self, kind: Kind) -> impl Iterator<Item = (usize, &[u32])> {
        let first = kind as usize * GROUPS;
        let occupied = (0..GROUPS).filter(move |group| self.occupied[first + group]);
        occupied.map(move |group| {
            let start = (first + group) * GROUP_BUCKETS;
            (group * GROUP_BUCKETS, &self.buckets[start..start + GROUP_BUCKETS])
        })
    }

    fn clear(&mut self) {
        for (group, occupied) in self.occupied.iter_mut().enumerate() {
            if std::mem::take(occupied) {
                self.buckets[group * GROUP_BUCKETS..][..GROUP_BUCKETS].fill(0);
            }
        }
        self.above = [0; KINDS];
    }
}

/// Records the latencies of one load thread.
#[derive(Debug)]
pub struct LatencyRecorder {
    current: Box<Counts>,
    spare: Option<Spare>,
    started_ns: u64,
}

impl LatencyRecorder {
    /// A recorder whose first interval starts at `now_ns`, on the clock of the run.
    #[must_use]
    pub fn new(now_ns: u64) -> Self {
        Self {
            current: Box::new(Counts::new()),
            spare: Some(Spare(Box::new(Counts::new()))),
            started_ns: now_ns,
        }
    }

    /// Counts one latency, clamped to 1 ns to [`LATENCY_NS_MAX`].
    #[inline]
    pub fn record(&mut self, kind: Kind, latency_ns: u64) {
        if latency_ns > LATENCY_NS_MAX {
            self.record_above(kind);
        } else {
            self.current.count(kind, latency_ns.max(1));
        }
    }

    #[cold]
    fn record_above(&mut self, kind: Kind) {
        let above = &mut self.current.above[kind as usize];
        *above = above.wrapping_add(1);
        self.current.count(kind, LATENCY_NS_MAX);
    }

    /// Ends the interval at `now_ns` and begins the next. Takes fresh memory only if the writer is
    /// so late that it has not given back the interval before.
    pub fn take_interval(&mut self, now_ns: u64) -> Interval {
        let spare = self.spare.take();
        let Spare(empty) = spare.unwrap_or_else(|| Spare(Box::new(Counts::new())));
        let counts = std::mem::replace(&mut self.current, empty);
        let started_ns = std::mem::replace(&mut self.started_ns, now_ns);
        Interval { started_ns, ended_ns: now_ns, counts }
    }

    /// Takes back the memory of an interval that was taken before.
    pub fn recycle(&mut self, spare: Spare) {
        self.spare = Some(spare);
    }
}

/// The latencies of one interval of one load thread.
#[derive(Debug)]
pub struct Interval {
    /// When it began, on the clock of the run.
    pub started_ns: u64,
    /// When it ended, on the same clock.
    pub ended_ns: u64,
    counts: Box<Counts>,
}

impl Interval {
    /// The latencies of one kind that occurred, rounded down to three digits, with their counts.
    pub fn latencies_ns(&self, kind: Kind) -> impl Iterator<Item = (u64, u32)> {
        let counts = self.counts.groups(kind).flat_map(|(first, group)| (first..).zip(group));
        counts.filter(|&(_, &count)| count > 0).map(|(bucket, &count)| (latency_of(bucket), count))
    }

    /// The latencies of one kind, in nanoseconds. Allocates: for the writer thread.
    #[must_use]
    pub fn histogram(&self, kind: Kind) -> Histogram<u32> {
        let mut histogram = empty_histogram();
        for (latency_ns, count) in self.latencies_ns(kind) {
            histogram.saturating_record_n(latency_ns, count);
        }
        histogram
    }

    /// How many latencies of one kind were longer than [`LATENCY_NS_MAX`].
    #[must_use]
    pub fn above(&self, kind: Kind) -> u64 {
        self.counts.above[kind as usize]
    }

    /// Empties it, so that its recorder can use the memory again: work for the writer thread.
    #[must_use]
    pub fn clear(mut self) -> Spare {
        self.counts.clear();
        Spare(self.counts)
    }
}

/// The memory of an interval, cleared.
#[derive(Debug)]
pub struct Spare(Box<Counts>);

/// Latencies of many intervals and threads, added up.
#[derive(Clone, Debug)]
pub struct LatencyTotals {
    by_kind: [Histogram<u64>; KINDS],
    above: [u64; KINDS],
}

impl Default for LatencyTotals {
    fn default() -> Self {
        Self { by_kind: std::array::from_fn(|_| empty_histogram()), above: [0; KINDS] }
    }
}

impl LatencyTotals {
    /// Adds an interval.
    pub fn add(&mut self, interval: &Interval) {
        for kind in Kind::ALL {
            let total = &mut self.by_kind[kind as usize];
            for (latency_ns, count) in interval.latencies_ns(kind) {
                total.saturating_record_n(latency_ns, u64::from(count));
            }
            self.above[kind as usize] += interval.above(kind);
        }
    }

    /// Adds the latencies of one kind, as read back from a log.
    pub fn add_histogram(&mut self, kind: Kind, source: &Histogram<u64>) {
        for bucket in source.iter_recorded() {
            let latency_ns = bucket.value_iterated_to();
            self.by_kind[kind as usize].saturating_record_n(latency_ns, bucket.count_at_value());
        }
    }

    /// The latencies of one kind, in nanoseconds.
    #[must_use]
    pub fn histogram(&self, kind: Kind) -> &Histogram<u64> {
        &self.by_kind[kind as usize]
    }

    /// How many latencies of one kind were longer than [`LATENCY_NS_MAX`].
    #[must_use]
    pub fn above(&self, kind: Kind) -> u64 {
        self.above[kind as usize]
    }

    /// The latencies of all kinds together.
    #[must_use]
    pub fn overall(&self) -> Histogram<u64> {
        let mut overall = empty_histogram();
        // Each has a hundred kilobytes, and most kinds are those of other workloads.
        for histogram in self.by_kind.iter().filter(|histogram| !histogram.is_empty()) {
            overall.add(histogram).expect("all histograms have the same bounds");
        }
        overall
    }

    /// Forgets everything, to begin the next second.
    pub fn clear(&mut self) {
        for histogram in self.by_kind.iter_mut().filter(|histogram| !histogram.is_empty()) {
            histogram.reset();
        }
        self.above = [0; KINDS];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_go_round_and_lose_nothing() {
        let mut recorder = LatencyRecorder::new(100);
        let mut totals = LatencyTotals::default();
        recorder.record(Kind::Get, 1000);
        recorder.record(Kind::Put, 0);
        recorder.record(Kind::Put, LATENCY_NS_MAX + 1);
        let first = recorder.take_interval(200);
        assert_eq!((first.started_ns, first.ended_ns), (100, 200));
        assert_eq!(first.above(Kind::Put), 1);
        recorder.record(Kind::Get, 3000);
        let late = recorder.take_interval(300);
        assert_eq!((late.started_ns, late.ended_ns), (200, 300), "the writer still has the other");
        assert_eq!(late.histogram(Kind::Get).len(), 1);
        totals.add(&first);
        recorder.recycle(first.clear());
        recorder.record(Kind::Get, 3000);
        recorder.record(Kind::Get, 3000);
        let second = recorder.take_interval(400);
        assert_eq!((second.started_ns, second.ended_ns), (300, 400));
        assert_eq!(second.histogram(Kind::Get).len(), 2);
        assert!(second.histogram(Kind::Put).is_empty());
        totals.add(&second);
        assert_eq!(totals.histogram(Kind::Get).len(), 3);
        assert_eq!(totals.overall().len(), 5);
        assert_eq!(totals.above(Kind::Put), 1);
        assert_eq!(totals.histogram(Kind::Put).min(), 1);
        recorder.recycle(second.clear());
        let third = recorder.take_interval(500);
        assert!(Kind::ALL.iter().all(|&kind| third.histogram(kind).is_empty()));
        totals.clear();
        assert!(totals.overall().is_empty());
    }

    #[test]
    fn buckets_are_those_of_a_histogram() {
        let histogram = empty_histogram::<u32>();
        for latency_ns in (0..100_000).chain((0..36).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power - 1, power, power + 1, power + power / 3].map(|ns| ns.min(LATENCY_NS_MAX))
        })) {
            let bucket = bucket_of(latency_ns);
            assert_eq!(latency_of(bucket), histogram.lowest_equivalent(latency_ns));
            assert_eq!(bucket_of(histogram.highest_equivalent(latency_ns)), bucket);
        }
    }

    #[test]
    fn latencies_keep_three_digits() {
        let mut recorder = LatencyRecorder::new(0);
        let mut totals = LatencyTotals::default();
        for latency_ns in [1, 999, 12_345, 1_234_567, LATENCY_NS_MAX] {
            recorder.record(Kind::Add, latency_ns);
            let interval = recorder.take_interval(1);
            totals.clear();
            totals.add(&interval);
            let found = totals.histogram(Kind::Add).max() as f64;
            assert!((found / latency_ns as f64 - 1.0).abs() < 0.001, "{latency_ns}: {found}");
            recorder.recycle(interval.clear());
        }
    }
}
