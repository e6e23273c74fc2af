//! How long things take: emulated links of real runs, and everything in a simulated world.

use serde::{Deserialize, Serialize};
use synod_workloads::Random;

/// A distribution of durations in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The shape of [`NOISY_THOUSANDTHS`] around this median.
    Noisy(u64),
}

/// A network with noisy neighbors by twenty samples, in thousandths of its median: narrow around it,
/// with a few far out.
pub const NOISY_THOUSANDTHS: [u64; 20] = [
    710, 780, 830, 870, 900, 930, 950, 970, 990, 1_000, 1_010, 1_030, 1_060, 1_100, 1_160, 1_250,
    1_430, 1_800, 3_100, 11_000,
];

impl Latency {
    /// Draws a duration.
    pub fn draw(self, random: &mut Random) -> u64 {
        match self {
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
            Self::Noisy(median) => {
                let sample = random.below(NOISY_THOUSANDTHS.len() as u64);
                median * NOISY_THOUSANDTHS[synod_protocols::bytes::index(sample)] / 1_000
            }
        }
    }

    /// How long it takes when nothing is the matter: the middle, without what seldom happens.
    pub const fn usual(self) -> u64 {
        match self {
            Self::Constant(always) => always,
            Self::Uniform(from, to) => from + (to - from) / 2,
            Self::Exponential(least, mean) => least + mean,
            Self::Normal(mean, _) => mean,
            Self::Pareto(least) => 2 * least,
            Self::Mixture(mostly, ..) => mostly,
            Self::Noisy(median) => median,
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
            5 => Self::Noisy(about_ns),
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

#[cfg(test)]
mod tests {
    use super::*;
    use synod_workloads::Concern;

    #[test]
    fn what_is_usual_is_what_it_was_drawn_around() {
        let mut random = Random::new(2, Concern::World);
        for _ in 0..100 {
            let latency = Latency::around(1_000_000, &mut random);
            let usual = latency.usual();
            assert!((1_000_000..=1_250_000).contains(&usual), "{latency:?} usually takes {usual}");
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
            (Latency::Noisy(1_000), 1_643.5),
        ] {
            let sum: u64 = (0..100_000).map(|_| latency.draw(&mut random)).sum();
            let drawn = real(sum) / 100_000.0;
            assert!((drawn / mean - 1.0).abs() < 0.02, "{latency:?} has the mean {drawn}");
        }
    }
}
