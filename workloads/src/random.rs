//! Random numbers that are the same for ever: xoshiro256++ seeded through splitmix64.
//!
//! Written out here, because a published run must draw the same operations from its seed whatever
//! version of whatever crate is installed. One stream per concern keeps them apart: another value
//! size does not change which keys are chosen.

/// What a stream of random numbers decides; each concern has its own stream for one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Concern {
    /// Which key an operation touches.
    Keys = 1,
    /// How long a value is.
    Values = 2,
    /// When operations start.
    Arrivals = 3,
    /// Which kind an operation is.
    Mix = 4,
    /// Which replica a fault strikes, and whatever else the schedule of faults leaves open.
    Faults = 5,
    /// For whoever drives the load: which connection, which jitter.
    Load = 6,
    /// The jitter of a replica's timers.
    Timers = 7,
    /// A simulated world: what a seed stands for, how long things take and what goes wrong.
    World = 8,
    /// Amounts, and who pays whom.
    Transfers = 9,
    /// Which operations are looked at part by part.
    Samples = 10,
}

/// A stream of random numbers: xoshiro256++.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of `concern` for `seed`.
    #[must_use]
    pub fn new(seed: u64, concern: Concern) -> Self {
        let mut mixer = SplitMix { state: seed };
        let base = mixer.next();
        Self::from_seed(base ^ (concern as u64).wrapping_mul(GOLDEN))
    }

    fn from_seed(seed: u64) -> Self {
        let mut mixer = SplitMix { state: seed };
        Self { state: [mixer.next(), mixer.next(), mixer.next(), mixer.next()] }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let [s0, s1, s2, s3] = self.state;
        let result = s0.wrapping_add(s3).rotate_left(23).wrapping_add(s0);
        let (s2, s3) = (s2 ^ s0, s3 ^ s1);
        self.state = [s0 ^ s3, s1 ^ s2, s2 ^ (s1 << 17), s3.rotate_left(45)];
        result
    }

    /// A number below `limit`, each equally likely; `limit` must not be 0.
    ///
    /// The high half of a product, as Lemire describes; it draws again only when the low half falls
    /// into the uneven rest, and only then divides.
    #[inline]
    pub fn below(&mut self, limit: u64) -> u64 {
        assert!(limit > 0, "no number is below 0");
        let (mut high, mut low) = self.bits().widening_product(limit);
        if low < limit {
            let uneven = limit.wrapping_neg() % limit;
            while low < uneven {
                (high, low) = self.bits().widening_product(limit);
            }
        }
        high
    }

    /// A number in (0, 1], in steps of 2^-53: never 0, so that its logarithm exists.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "at most 2^53, which a double holds exactly"
        )]
        let steps = ((self.bits() >> 11) + 1) as f64;
        steps / 9_007_199_254_740_992.0
    }
}

/// The seed of one load thread: threads of one run draw unrelated streams.
#[must_use]
pub fn thread_seed(seed: u64, thread: u16) -> u64 {
    let mut mixer = SplitMix { state: seed ^ u64::from(thread).rotate_left(32) };
    mixer.next()
}

/// 2^64 over the golden ratio: the step of splitmix64.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of splitmix64: a bijection that spreads any change over all bits.
#[inline]
pub(crate) fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The whole product of two 64-bit numbers.
pub(crate) trait WideningProduct {
    /// High and low half of `self * other`.
    fn widening_product(self, other: Self) -> (u64, u64);
}

impl WideningProduct for u64 {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "taking the two halves is the purpose")]
    fn widening_product(self, other: Self) -> (u64, u64) {
        let product = u128::from(self) * u128::from(other);
        ((product >> 64) as Self, product as Self)
    }
}

struct SplitMix {
    state: u64,
}

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        scramble(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_the_published_numbers() {
        let mut mixer = SplitMix { state: 1_234_567 };
        assert_eq!(mixer.next(), 6_457_827_717_110_365_317);
        assert_eq!(mixer.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn xoshiro_gives_the_published_numbers() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let drawn: Vec<u64> = (0..4).map(|_| random.bits()).collect();
        assert_eq!(drawn, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn streams_and_threads_are_apart() {
        let first = |seed, concern| Random::new(seed, concern).bits();
        assert_ne!(first(1, Concern::Keys), first(1, Concern::Values));
        assert_ne!(first(1, Concern::Keys), first(2, Concern::Keys));
        assert_ne!(thread_seed(1, 0), thread_seed(1, 1));
        assert_ne!(thread_seed(1, 1), thread_seed(2, 1));
    }

    #[test]
    fn below_is_even() {
        let mut random = Random::new(7, Concern::Keys);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[usize::try_from(random.below(6)).unwrap()] += 1;
        }
        // Six cells: chi-square above 20.5 has a chance of one in a thousand.
        let square: f64 =
            counts.iter().map(|n| (f64::from(*n) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(square < 20.5, "{counts:?}");
        assert_eq!(random.below(1), 0);
    }
}
