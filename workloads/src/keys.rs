//! Which key an operation touches.
//!
//! A Zipf distribution is drawn from an alias table: exact for any skew, one random number and one
//! cache line per draw. The well-known closed formula is neither (it gives the third key a fifth
//! too much at theta 0.99). The scattering of ranks over the keys is baked into the table.

use std::sync::Arc;

use crate::math::inverse_power;
use crate::mix::fraction_of_draws;
use crate::random::{Concern, Random, WideningProduct};
use crate::spec::{KeyDistribution, Keys};

/// Draws keys, numbered from 0, and hands out the numbers of new ones.
///
/// Several load threads share the big table: make one generator and [`fork`](Self::fork) it. Each
/// thread inserts every so-manieth number, so no two insert the same key, and draws from the keys
/// of the start and its own insertions, so it never asks for a key that nobody wrote.
#[derive(Debug, Clone)]
pub struct KeyGenerator {
    choice: Choice,
    first: u64,
    initial: u64,
    /// Insertions handed out and insertions confirmed; the first is at least the second.
    handed_out: u64,
    confirmed: u64,
    thread: u64,
    threads: u64,
    random: Random,
}

#[derive(Debug, Clone)]
enum Choice {
    Uniform,
    Zipfian(Arc<AliasTable>),
    Latest(Arc<AliasTable>),
    HotSet { hot: u64, hot_draws: u64, scatter: Scatter },
}

impl KeyGenerator {
    /// A generator for a single load thread. With a skew this builds a table of 8 bytes per key.
    #[must_use]
    pub fn new(keys: &Keys, seed: u64) -> Self {
        assert!(keys.count > 0, "a workload has at least one key");
        let scatter = Scatter::new(keys.count);
        let choice = match keys.distribution {
            KeyDistribution::Uniform => Choice::Uniform,
            KeyDistribution::Zipfian { theta } => {
                let mut weights = vec![0.0; index(keys.count)];
                for rank in 0..keys.count {
                    weights[index(scatter.key(rank))] = zipf_weight(rank, theta);
                }
                Choice::Zipfian(Arc::new(AliasTable::new(weights)))
            }
            KeyDistribution::Latest { theta } => {
                let weights = (0..keys.count).map(|rank| zipf_weight(rank, theta)).collect();
                Choice::Latest(Arc::new(AliasTable::new(weights)))
            }
            KeyDistribution::HotSet { keys: share, operations } => Choice::HotSet {
                hot: hot_keys(keys.count, share),
                hot_draws: fraction_of_draws(operations),
                scatter,
            },
        };
        Self {
            choice,
            first: keys.first,
            initial: keys.count,
            handed_out: 0,
            confirmed: 0,
            thread: 0,
            threads: 1,
            random: Random::new(seed, Concern::Keys),
        }
    }

    /// The generator of one of several load threads, with its own stream and the same table.
    #[must_use]
    pub fn fork(&self, seed: u64, thread: u16, threads: u16) -> Self {
        assert!(thread < threads, "threads are numbered from 0");
        Self {
            handed_out: 0,
            confirmed: 0,
            thread: thread.into(),
            threads: threads.into(),
            random: Random::new(seed, Concern::Keys),
            ..self.clone()
        }
    }

    /// The key of the next operation on an existing key.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it never ends, so there is no Option")]
    pub fn next(&mut self) -> u64 {
        self.first + self.next_place()
    }

    #[inline]
    fn next_place(&mut self) -> u64 {
        match &self.choice {
            Choice::Uniform => {
                let position = self.random.below(self.initial + self.confirmed);
                self.key_at(position)
            }
            Choice::Zipfian(table) => table.pick(self.random.bits()),
            Choice::Latest(table) => {
                let age = table.pick(self.random.bits());
                self.key_at(self.initial + self.confirmed - 1 - age)
            }
            Choice::HotSet { hot, hot_draws, scatter } => {
                let (hot, scatter) = (*hot, *scatter);
                let rank = if self.random.bits() < *hot_draws {
                    self.random.below(hot)
                } else {
                    hot + self.random.below(self.initial - hot)
                };
                scatter.key(rank)
            }
        }
    }

    /// The number of a key that nobody has inserted yet.
    #[inline]
    pub fn next_new(&mut self) -> u64 {
        let key = self.first + self.key_at(self.initial + self.handed_out);
        self.handed_out += 1;
        key
    }

    /// One more of the keys from [`next_new`](Self::next_new) exists: from now on it may be drawn.
    ///
    /// `Zipfian` and `HotSet` draw from the keys of the start alone.
    #[inline]
    pub fn inserted(&mut self) {
        assert!(self.confirmed < self.handed_out, "a key exists only after it was handed out");
        self.confirmed += 1;
    }

    /// The keys that this generator may draw.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.initial + self.confirmed
    }

    /// The key at a position, without the first, among those of the start and this thread's insertions.
    #[inline]
    fn key_at(&self, position: u64) -> u64 {
        if position < self.initial {
            position
        } else {
            self.initial + (position - self.initial) * self.threads + self.thread
        }
    }
}

/// The weight of a rank, counted from 0.
fn zipf_weight(rank: u64, theta: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "ranks are below 2^32")]
    let place = (rank + 1) as f64;
    inverse_power(place, theta)
}

/// How many keys are hot: at least one, and at least one is not.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "counts are below 2^32 and a share is between 0 and 1"
)]
fn hot_keys(count: u64, share: f64) -> u64 {
    ((count as f64 * share).round() as u64).clamp(1, count.max(2) - 1)
}

#[expect(clippy::cast_possible_truncation, reason = "counts are below 2^32")]
const fn index(key: u64) -> usize {
    key as usize
}

/// A bijection of the keys that sends neighbouring ranks far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scatter {
    count: u64,
    /// Near the golden section of `count`, and with no divisor in common.
    step: u64,
}

impl Scatter {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "counts are below 2^32"
    )]
    fn new(count: u64) -> Self {
        let mut step = ((count as f64 * 0.618_033_988_749_894_9) as u64).max(1);
        while greatest_common_divisor(step, count) != 1 {
            step += 1;
        }
        Self { count, step }
    }

    #[inline]
    const fn key(self, rank: u64) -> u64 {
        // Both are below 2^32, so the product fits.
        rank * self.step % self.count
    }
}

const fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Vose's alias table: any discrete distribution, one draw each.
///
/// A column keeps its own number for draws below `keep`, and gives `alias` for the others.
#[derive(Debug)]
struct AliasTable {
    columns: Box<[Column]>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    keep: u32,
    alias: u32,
}

impl AliasTable {
    fn new(mut weights: Vec<f64>) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "workloads have fewer keys than 2^32")]
        let count = weights.len() as u32;
        let total: f64 = weights.iter().sum();
        let scale = f64::from(count) / total;
        weights.iter_mut().for_each(|weight| *weight *= scale);
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..count).partition(|column| weights[*column as usize] < 1.0);
        // What rounding leaves over keeps its own number.
        let mut columns: Box<[Column]> =
            (0..count).map(|column| Column { keep: u32::MAX, alias: column }).collect();
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            let (poor_at, rich_at) = (poor as usize, rich as usize);
            columns[poor_at] = Column { keep: threshold(weights[poor_at]), alias: rich };
            weights[rich_at] = (weights[rich_at] + weights[poor_at]) - 1.0;
            if weights[rich_at] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Self { columns }
    }

    /// The high half of the product with the length is the column; the low half is the coin.
    #[inline]
    fn pick(&self, draw: u64) -> u64 {
        let (column, low) = draw.widening_product(self.columns.len() as u64);
        let Column { keep, alias } = self.columns[index(column)];
        if low >> 32 < u64::from(keep) { column } else { alias.into() }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a weight is not negative"
)]
fn threshold(weight: f64) -> u32 {
    (weight * 4_294_967_296.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u64, distribution: KeyDistribution) -> Keys {
        Keys { count, first: 0, preload: true, distribution }
    }

    /// Draws and compares with the exact probabilities: (observed - expected)^2 / expected, summed
    /// over the cells, has mean n - 1 and a deviation of about sqrt(2n).
    fn assert_distribution(generator: &mut KeyGenerator, probabilities: &[f64], draws: u32) {
        let mut counts = vec![0_u32; probabilities.len()];
        for _ in 0..draws {
            counts[index(generator.next())] += 1;
        }
        let mut square = 0.0;
        for (count, probability) in counts.iter().zip(probabilities) {
            let expected = probability * f64::from(draws);
            assert!(expected > 5.0, "too few draws for the test");
            square += (f64::from(*count) - expected).powi(2) / expected;
        }
        let cells = f64::from(u32::try_from(probabilities.len()).unwrap());
        assert!(square < cells + 4.0 * (2.0 * cells).sqrt(), "{square} for {cells} cells");
    }

    fn zipf(count: u64, theta: f64) -> Vec<f64> {
        let weights: Vec<f64> = (1..=count)
            .map(|place| f64::from(u32::try_from(place).unwrap()).powf(-theta))
            .collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    #[test]
    fn uniform_is_even() {
        let mut generator = KeyGenerator::new(&keys(1000, KeyDistribution::Uniform), 1);
        assert_distribution(&mut generator, &[0.001; 1000], 200_000);
    }

    #[test]
    fn zipfian_is_exact_for_any_theta() {
        for theta in [0.0, 0.5, 0.99, 1.0, 1.2, 2.0] {
            let mut generator =
                KeyGenerator::new(&keys(100, KeyDistribution::Zipfian { theta }), 3);
            let scatter = Scatter::new(100);
            let mut probabilities = vec![0.0; 100];
            for (rank, probability) in (0..).zip(zipf(100, theta)) {
                probabilities[index(scatter.key(rank))] = probability;
            }
            assert_distribution(&mut generator, &probabilities, 1_000_000);
        }
    }

    #[test]
    fn latest_follows_the_insertions() {
        let latest = keys(100, KeyDistribution::Latest { theta: 0.99 });
        let mut generator = KeyGenerator::new(&latest, 3);
        let mut newest_first = zipf(100, 0.99);
        newest_first.reverse();
        assert_distribution(&mut generator, &newest_first, 200_000);

        let mut generator = KeyGenerator::new(&latest, 1).fork(9, 1, 3);
        let new: Vec<u64> = (0..3).map(|_| generator.next_new()).collect();
        assert_eq!(new, [101, 104, 107]);
        generator.inserted();
        generator.inserted();
        assert_eq!(generator.count(), 102);
        let mut drawn: Vec<u64> = (0..10_000).map(|_| generator.next()).collect();
        drawn.sort_unstable();
        drawn.dedup();
        let mut expected: Vec<u64> = (2..100).collect();
        expected.extend([101, 104]);
        assert_eq!(drawn, expected);
    }

    #[test]
    fn hot_set_gets_its_operations() {
        let distribution = KeyDistribution::HotSet { keys: 0.2, operations: 0.8 };
        let mut generator = KeyGenerator::new(&keys(50, distribution), 3);
        let scatter = Scatter::new(50);
        let mut probabilities = vec![0.2 / 40.0; 50];
        (0..10).for_each(|rank| probabilities[index(scatter.key(rank))] = 0.8 / 10.0);
        assert_distribution(&mut generator, &probabilities, 100_000);
        let hot: Vec<u64> = (0..10).map(|rank| scatter.key(rank)).collect();
        assert!(
            hot.iter().all(|key| !hot.contains(&(key + 1))),
            "hot keys are neighbours: {hot:?}"
        );
    }

    #[test]
    fn scatter_is_a_bijection() {
        for count in [1, 2, 3, 10, 97, 100, 1000, 65_536, 99_999] {
            let scatter = Scatter::new(count);
            let mut seen = vec![false; index(count)];
            for rank in 0..count {
                assert!(!std::mem::replace(&mut seen[index(scatter.key(rank))], true));
            }
        }
        // The product must not overflow at the largest count.
        let scatter = Scatter::new(u64::from(u32::MAX));
        assert!(scatter.key(u64::from(u32::MAX) - 1) < u64::from(u32::MAX));
    }

    #[test]
    fn one_key_is_always_that_key() {
        for distribution in [
            KeyDistribution::Uniform,
            KeyDistribution::Zipfian { theta: 0.99 },
            KeyDistribution::Latest { theta: 0.99 },
        ] {
            let mut generator = KeyGenerator::new(&keys(1, distribution), 1);
            assert_eq!(generator.next(), 0);
        }
    }

    #[test]
    fn keys_follow_the_first() {
        let keys = Keys { first: 7, ..keys(3, KeyDistribution::Uniform) };
        let mut generator = KeyGenerator::new(&keys, 1);
        let drawn: std::collections::BTreeSet<u64> = (0..100).map(|_| generator.next()).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [7, 8, 9]);
        assert_eq!(generator.next_new(), 10);
    }

    #[test]
    fn a_seed_draws_the_same_for_ever() {
        let draw = |distribution| {
            let mut generator = KeyGenerator::new(&keys(10_000, distribution), 1);
            std::array::from_fn::<u64, 5, _>(|_| generator.next())
        };
        assert_eq!(draw(KeyDistribution::Uniform), [3_326, 3_386, 1_521, 8_515, 8_891]);
        assert_eq!(
            draw(KeyDistribution::Zipfian { theta: 0.99 }),
            [2_362, 2_362, 1_514, 8_254, 8_543]
        );
        assert_eq!(
            draw(KeyDistribution::Latest { theta: 0.99 }),
            [9_998, 9_998, 9_999, 9_879, 9_824]
        );
        assert_eq!(
            draw(KeyDistribution::HotSet { keys: 0.2, operations: 0.8 }),
            [4_537, 6_243, 2_769, 4_838, 8_304]
        );
    }
}
