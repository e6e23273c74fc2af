//! Counts what happens in a measured time, after a warm-up.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use synod_protocols::types::Time;

/// The warm-up is this part of the whole: a fifth.
const WARM_UP_PART: u64 = 5;

/// Somebody who has not answered by then never will.
const SILENCE_NS_MAX: u64 = 10_000_000_000;

const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// See the module. It starts with what it is told first.
#[derive(Debug)]
pub(super) struct Stopwatch {
    length_ns: u64,
    made: Time,
    /// What happens in between is counted.
    from: Time,
    until: Time,
    count: u64,
    latencies: Histogram<u64>,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Of what was counted, in a second.
    pub(super) rate: f64,
    /// Median latency in nanoseconds.
    pub(super) p50_ns: u64,
    /// 99th percentile in nanoseconds.
    pub(super) p99_ns: u64,
}

impl Stopwatch {
    pub(super) fn new(seconds: f64, now: Time) -> Self {
        Self {
            length_ns: nanoseconds(seconds),
            made: now,
            from: Time::NEVER,
            until: Time::NEVER,
            count: 0,
            latencies: Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
                .expect("the bounds are valid"),
        }
    }

    /// `count` have come through together, and took from `since` until `now`.
    #[inline]
    pub(super) fn record(&mut self, since: Time, now: Time, count: usize) {
        if self.until == Time::NEVER {
            self.from = now + warm_up_ns(self.length_ns);
            self.until = now + self.length_ns;
        }
        if self.count == 0 {
            // On a crowded machine the time may pass before anything happens: the first to come
            // then ends the measurement, and the rate is one in all that time.
            self.until = self.until.max(now + 1);
        }
        if now >= self.from && now < self.until {
            self.count += count as u64;
            self.latencies.saturating_record(now.since(since));
        }
    }

    /// Whether the time is over, or nothing has come for much too long.
    pub(super) fn is_over(&self, now: Time) -> bool {
        if self.count == 0 {
            now.since(self.made) > self.length_ns + SILENCE_NS_MAX
        } else {
            now >= self.until
        }
    }

    pub(super) fn pace(&self) -> io::Result<Pace> {
        if self.count == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came through"));
        }
        let measured_seconds = self.until.since(self.from) as f64 / 1e9;
        Ok(Pace {
            rate: self.count as f64 / measured_seconds,
            p50_ns: self.latencies.value_at_quantile(0.5),
            p99_ns: self.latencies.value_at_quantile(0.99),
        })
    }
}

pub(super) fn nanoseconds(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds).as_nanos()).expect("shorter than centuries")
}

/// The warm-up of a measurement of this length.
pub(super) fn warm_up_ns(length_ns: u64) -> u64 {
    length_ns / WARM_UP_PART
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fifth_is_dropped_and_so_is_what_comes_late() {
        let mut stopwatch = Stopwatch::new(1.0, Time(0));
        let second = 1_000_000_000;
        for tenth in 0..=12 {
            let now = Time(second + tenth * second / 10);
            stopwatch.record(Time(now.0 - 500), now, 4);
            assert_eq!(stopwatch.is_over(now), tenth >= 10);
        }
        let pace = stopwatch.pace().unwrap();
        assert!((pace.rate - 40.0).abs() < 1e-9, "{pace:?}");
        assert_eq!((pace.p50_ns, pace.p99_ns), (500, 500));
    }

    #[test]
    fn what_comes_first_after_the_time_is_one_in_all_that_time() {
        let mut stopwatch = Stopwatch::new(1.0, Time(0));
        let second = 1_000_000_000;
        stopwatch.record(Time(0), Time(0), 1);
        assert!(!stopwatch.is_over(Time(2 * second)));
        stopwatch.record(Time(second), Time(second / 5 + 2 * second - 1), 1);
        assert!(stopwatch.is_over(Time(second / 5 + 2 * second)));
        let pace = stopwatch.pace().unwrap();
        assert!((pace.rate - 0.5).abs() < 1e-9, "{pace:?}");
    }

    #[test]
    fn silence_ends_too() {
        let stopwatch = Stopwatch::new(1.0, Time(0));
        let length_ns = 1_000_000_000;
        assert!(!stopwatch.is_over(Time(length_ns + SILENCE_NS_MAX)));
        assert!(stopwatch.is_over(Time(length_ns + SILENCE_NS_MAX + 1)));
        assert!(stopwatch.pace().is_err());
    }
}
