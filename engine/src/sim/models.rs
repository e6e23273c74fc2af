//! How long things take in a simulated world.

use synod_workloads::Random;

/// A distribution of durations in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Latency {
    /// Always the same.
    Constant(u64),
    /// Anything between, each equally likely.
    Uniform(u64, u64),
    /// A smallest, and on top of it something with this mean and no memory.
    Exponential(u64, u64),
    /// This mean and this deviation, cut off below a tenth of the mean.
    Normal(u64, u64),
    /// At least this; the exponent of the tail is 1.5, so a few take very long. Cut off at a
    /// thousand times the least.
    Pareto(u64),
    /// Mostly the first, and once in so many times the second, both constant.
    Mixture(u64, u64, u64),
    /// One of these, each equally likely: a distribution as it was measured somewhere.
    Empirical(Vec<u64>),
}

/// The shape of a network with noisy neighbors, in thousandths of its median: narrow around it,
/// with a few far out.
const NOISY_THOUSANDTHS: [u64; 20] = [
    710, 780, 830, 870, 900, 930, 950, 970, 990, 1_000, 1_010, 1_030, 1_060, 1_100, 1_160, 1_250,
    1_430, 1_800, 3_100, 11_000,
];

impl Latency {
    /// Draws a duration.
    pub fn draw(&self, random: &mut Random) -> u64 {
        match *self {
            Self::Constant(always) => always,
            Self::Uniform(from, to) => from + random.below(to - from + 1),
            Self::Exponential(least, mean) => least + whole(-random.unit().ln() * real(mean)),
            Self::Normal(mean, deviation) => {
                // Irwin and Hall: the sum of twelve uniform numbers is close to normal.
                let sum: f64 = (0..12).map(|_| random.unit()).sum();
                whole((sum - 6.0).mul_add(real(deviation), real(mean))).max(mean / 10)
            }
            Self::Pareto(least) => {
                let drawn = whole(real(least) * random.unit().powf(-1.0 / 1.5));
                drawn.min(least * 1000)
            }
            Self::Mixture(mostly, seldom, every) => {
                if random.below(every) == 0 {
                    seldom
                } else {
                    mostly
                }
            }
            Self::Empirical(ref measured) => {
                let place = random.below(measured.len() as u64);
                measured[usize::try_from(place).expect("an index")]
            }
        }
    }

    /// One of the distributions, around `about_ns`.
    pub fn around(about_ns: u64, random: &mut Random) -> Self {
        match random.below(7) {
            0 => Self::Constant(about_ns),
            1 => Self::Uniform(about_ns / 2, about_ns * 2),
            2 => Self::Exponential(about_ns / 2, about_ns / 2),
            3 => Self::Normal(about_ns, about_ns / 4),
            4 => Self::Pareto(about_ns / 2),
            5 => Self::Empirical(
                NOISY_THOUSANDTHS.iter().map(|share| about_ns * share / 1_000).collect(),
            ),
            _ => Self::Mixture(about_ns, about_ns * 50, 20),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "durations of hours are exact in a double")]
fn real(nanoseconds: u64) -> f64 {
    nanoseconds as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a negative duration becomes 0, and one of ages the longest"
)]
fn whole(nanoseconds: f64) -> u64 {
    nanoseconds as u64
}

/// A machine's clock: ahead of the world's by an offset that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// How far it is ahead at the start.
    pub offset_ns: u64,
    /// By how many parts in a million it is too fast, or too slow.
    pub drift_ppm: i64,
}

const MILLION: i128 = 1_000_000;

impl Clock {
    /// What this clock shows when the world's time is `now`.
    pub fn local(self, now: u64) -> u64 {
        let run = i128::from(now) * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        self.offset_ns + u64::try_from(run).expect("clocks go forward")
    }

    /// The world's time when this clock first shows `local`, or later.
    pub fn world(self, local: u64) -> u64 {
        let run = i128::from(local.saturating_sub(self.offset_ns));
        let rate = MILLION + i128::from(self.drift_ppm);
        u64::try_from((run * MILLION + rate - 1) / rate).unwrap_or(u64::MAX)
    }
}

/// What a turn costs a processor, in nanoseconds: first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Each turn.
    pub turn_ns: u64,
    /// Each thing that happened.
    pub arrival_ns: u64,
    /// Each KiB received or sent.
    pub kib_ns: u64,
    /// Each command applied.
    pub command_ns: u64,
}

impl Cpu {
    /// The cost of a turn.
    pub fn cost(self, arrivals: u64, bytes: u64, commands: u64) -> u64 {
        self.turn_ns
            + arrivals * self.arrival_ns
            + bytes * self.kib_ns / 1024
            + commands * self.command_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_workloads::Concern;

    #[test]
    fn clocks_come_back_to_where_they_were() {
        for (offset_ns, drift_ppm) in [(0, 0), (1 << 40, 300), (12_345, -500)] {
            let clock = Clock { offset_ns, drift_ppm };
            for now in [0, 1, 999_999_999, 3_600_000_000_000] {
                let back = clock.world(clock.local(now));
                assert!(back.abs_diff(now) <= 1, "{now} became {back}");
                assert!(clock.local(clock.world(clock.local(now))) >= clock.local(now));
            }
        }
    }

    #[test]
    fn distributions_have_their_means() {
        let mut random = Random::new(1, Concern::World);
        for (latency, mean) in [
            (Latency::Uniform(50, 150), 100.0),
            (Latency::Exponential(1_000, 4_000), 5_000.0),
            (Latency::Normal(10_000, 1_000), 10_000.0),
            (Latency::Mixture(100, 1_100, 10), 200.0),
        ] {
            let sum: u64 = (0..100_000).map(|_| latency.draw(&mut random)).sum();
            let drawn = real(sum) / 100_000.0;
            assert!((drawn / mean - 1.0).abs() < 0.02, "{latency:?} has the mean {drawn}");
        }
    }
}
