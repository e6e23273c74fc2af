//! When operations start in an open loop: by the clock alone.
//!
//! The schedule never waits for the system and never skips: whoever falls behind sees starts in the
//! past, and counts latency from them.

use crate::math::ln;
use crate::random::{Concern, Random};
use crate::spec::{RateStep, Spacing};

/// The intended starts of one load thread, in nanoseconds from the start of its load.
#[derive(Debug, Clone)]
pub struct ArrivalGenerator {
    spacing: Spacing,
    /// The mean gap between two starts of all threads together.
    gap_ns: f64,
    thread: u64,
    threads: u64,
    /// Starts handed out so far.
    count: u64,
    /// The latest start of a Poisson schedule, whole and broken part: a sum of doubles alone would
    /// lose the nanoseconds in a long run.
    latest_ns: u64,
    fraction_ns: f64,
    random: Random,
    /// The rate after the last step.
    rate_per_second: f64,
    /// Steps that have not begun, the next last.
    steps: Vec<RateStep>,
    /// The present step.
    step_starts_ns: u64,
    step_ends_ns: u64,
}

impl ArrivalGenerator {
    /// The starts of load thread `thread` of `threads`, which together reach `rate_per_second`.
    ///
    /// Threads of a constant schedule take turns; those of a Poisson schedule need their own seeds
    /// (see [`crate::thread_seed`]) and add up to one Poisson schedule.
    #[must_use]
    pub fn new(
        spacing: Spacing,
        rate_per_second: f64,
        seed: u64,
        thread: u16,
        threads: u16,
    ) -> Self {
        assert!(rate_per_second > 0.0, "a rate is above 0");
        assert!(thread < threads, "threads are numbered from 0");
        Self {
            spacing,
            gap_ns: 1e9 / rate_per_second,
            thread: thread.into(),
            threads: threads.into(),
            count: 0,
            latest_ns: 0,
            fraction_ns: 0.0,
            random: Random::new(seed, Concern::Arrivals),
            rate_per_second,
            steps: Vec::new(),
            step_starts_ns: 0,
            step_ends_ns: u64::MAX,
        }
    }

    /// The same after these steps.
    #[must_use]
    pub fn after(mut self, steps: &[RateStep]) -> Self {
        assert_eq!((self.count, self.latest_ns), (0, 0), "nothing was handed out");
        self.steps = steps.iter().rev().copied().collect();
        self.step_ends_ns = 0;
        self.next_step();
        self
    }

    fn next_step(&mut self) {
        self.step_starts_ns = self.step_ends_ns;
        let rate_per_second = match self.steps.pop() {
            Some(step) => {
                self.step_ends_ns += step.for_ns;
                step.rate_per_second
            }
            None => {
                self.step_ends_ns = u64::MAX;
                self.rate_per_second
            }
        };
        self.gap_ns = 1e9 / rate_per_second;
        (self.count, self.latest_ns, self.fraction_ns) = (0, 0, 0.0);
    }

    /// When the next operation should start; never before the one handed out last.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it never ends, so there is no Option")]
    pub fn next(&mut self) -> u64 {
        loop {
            let start_ns = self.step_starts_ns + self.next_within_step();
            if start_ns < self.step_ends_ns {
                return start_ns;
            }
            self.next_step();
        }
    }

    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 operations")]
    fn next_within_step(&mut self) -> u64 {
        match self.spacing {
            Spacing::Constant => {
                let turn = self.count * self.threads + self.thread;
                self.count += 1;
                whole(turn as f64 * self.gap_ns)
            }
            Spacing::Poisson => {
                let mean_ns = self.gap_ns * self.threads as f64;
                self.fraction_ns -= mean_ns * ln(self.random.unit());
                let step_ns = whole(self.fraction_ns);
                self.fraction_ns -= step_ns as f64;
                self.latest_ns += step_ns;
                self.latest_ns
            }
        }
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast rounds down and saturates, and times are not negative"
)]
fn whole(time_ns: f64) -> u64 {
    time_ns as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_starts_do_not_drift() {
        let mut first = ArrivalGenerator::new(Spacing::Constant, 3.0, 1, 0, 2);
        let mut second = ArrivalGenerator::new(Spacing::Constant, 3.0, 1, 1, 2);
        assert_eq!([first.next(), first.next()], [0, 666_666_666]);
        assert_eq!([second.next(), second.next()], [333_333_333, 1_000_000_000]);
        let last = (0..3_000_000).map(|_| first.next()).last();
        assert_eq!(last, Some(2_000_000_666_666_666));
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let mut schedule = ArrivalGenerator::new(Spacing::Poisson, 1000.0, 5, 0, 1);
        let mut latest_ns = 0;
        // Eight classes of gaps, each as likely as the others: bounds at -ln(1 - k/8) ms.
        let mut counts = [0_u32; 8];
        for _ in 0..80_000 {
            let start_ns = schedule.next();
            assert!(start_ns >= latest_ns);
            #[expect(clippy::cast_precision_loss, reason = "gaps are small")]
            let gap_ms = (start_ns - latest_ns) as f64 / 1e6;
            latest_ns = start_ns;
            let below = 1.0 - (-gap_ms).exp();
            let class = (1..8).filter(|k| below >= f64::from(*k) / 8.0).count();
            counts[class] += 1;
        }
        let square: f64 = counts.iter().map(|n| (f64::from(*n) - 1e4).powi(2) / 1e4).sum();
        // Eight cells: chi-square above 24.3 has a chance of one in a thousand.
        assert!(square < 24.3, "{counts:?}");
        assert!(latest_ns.abs_diff(80_000_000_000) < 1_200_000_000, "{latest_ns}");
    }

    #[test]
    fn steps_follow_each_other_and_then_the_rate_holds() {
        let step = |for_ns, rate_per_second| RateStep { for_ns, rate_per_second };
        let steps = [step(1_000_000_000, 4.0), step(2_000_000_000, 1.0)];
        let mut schedule = ArrivalGenerator::new(Spacing::Constant, 2.0, 1, 0, 1).after(&steps);
        let starts_ms: Vec<u64> = (0..9).map(|_| schedule.next() / 1_000_000).collect();
        assert_eq!(starts_ms, [0, 250, 500, 750, 1000, 2000, 3000, 3500, 4000]);
        let mut schedule = ArrivalGenerator::new(Spacing::Poisson, 1e3, 1, 0, 1)
            .after(&[step(1_000_000_000, 10e3), step(1_000_000_000, 100e3)]);
        let mut counts = [0_u32; 3];
        loop {
            let second = usize::try_from(schedule.next() / 1_000_000_000).expect("few seconds");
            let Some(count) = counts.get_mut(second) else { break };
            *count += 1;
        }
        assert!(counts[0].abs_diff(10_000) < 500 && counts[1].abs_diff(100_000) < 1_500);
        assert!(counts[2].abs_diff(1_000) < 150, "{counts:?}");
    }

    #[test]
    fn a_seed_draws_the_same_for_ever() {
        let mut schedule = ArrivalGenerator::new(Spacing::Poisson, 1e6, 1, 0, 1);
        assert_eq!(
            std::array::from_fn::<u64, 5, _>(|_| schedule.next()),
            [134, 850, 1_316, 1_361, 1_669]
        );
    }
}
