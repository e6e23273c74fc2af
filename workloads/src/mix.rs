//! Which kind of operation comes next.

use crate::names::Named;
use crate::random::{Concern, Random};
use crate::spec::Mix;

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Operation {
    /// Reads a value.
    Get,
    /// Writes a value, whether the key exists or not.
    Put,
    /// Writes a value to a key that has none.
    Insert,
    /// Removes a value.
    Delete,
    /// Writes a value if the present one is as expected.
    CompareAndSwap,
    /// Adds to a counter.
    Add,
    /// Reads a value, then writes another to the same key.
    ReadModifyWrite,
    /// Reads and replaces the values of several keys, all at once.
    Transaction,
}

impl Operation {
    /// Every kind, in the order of a mix.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::Put,
        Self::Insert,
        Self::Delete,
        Self::CompareAndSwap,
        Self::Add,
        Self::ReadModifyWrite,
        Self::Transaction,
    ];

    /// Its key in the mix of a workload.
    #[must_use]
    pub fn name(self) -> &'static str {
        Named::name(self)
    }
}

impl Named for Operation {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Get, "get", "read a value"),
        (Self::Put, "put", "write a value"),
        (Self::Insert, "insert", "write a value to a key that has none"),
        (Self::Delete, "delete", "remove a value"),
        (Self::CompareAndSwap, "compare_and_swap", "write if the value is as expected"),
        (Self::Add, "add", "add to a counter"),
        (Self::ReadModifyWrite, "read_modify_write", "read, then write the same key"),
        (Self::Transaction, "transaction", "read and replace several keys at once"),
    ];
}

/// Draws kinds of operations by the shares of a mix.
#[derive(Debug, Clone)]
pub struct OperationGenerator {
    choice: WeightedChoice<Operation, 8>,
    random: Random,
}

impl OperationGenerator {
    /// A generator for the shares of `mix`, of which at least one is above 0.
    #[must_use]
    pub fn new(mix: &Mix, seed: u64) -> Self {
        let weighted = Operation::ALL.map(|operation| (operation, mix.share(operation)));
        Self { choice: WeightedChoice::new(weighted), random: Random::new(seed, Concern::Mix) }
    }

    /// The kind of the next operation. Never ends, hence not an `Iterator`.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it never ends, so there is no Option")]
    pub fn next(&mut self) -> Operation {
        self.choice.pick(self.random.bits())
    }
}

/// A choice among a few by weight, with one comparison for each.
#[derive(Debug, Clone)]
struct WeightedChoice<T, const N: usize> {
    /// Each choice with the first draw that is past it; those without weight are never reached.
    bounds: [(T, u64); N],
    /// The last choice with a weight: what is left above the other bounds.
    last: T,
}

impl<T: Copy, const N: usize> WeightedChoice<T, N> {
    fn new(weighted: [(T, f64); N]) -> Self {
        let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
        assert!(total > 0.0, "some choice has a weight");
        let last = weighted.iter().rev().find(|(_, weight)| *weight > 0.0).unwrap_or(&weighted[0]);
        let last = last.0;
        let mut sum = 0.0;
        let bounds = weighted.map(|(choice, weight)| {
            sum += weight / total;
            (choice, fraction_of_draws(sum))
        });
        Self { bounds, last }
    }

    #[inline]
    fn pick(&self, draw: u64) -> T {
        let found = self.bounds.iter().find(|(_, bound)| draw < *bound);
        found.map_or(self.last, |(choice, _)| *choice)
    }
}

/// How many of 2^64 draws a fraction is, at most all but one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the cast saturates, and a fraction is not negative"
)]
pub(crate) fn fraction_of_draws(fraction: f64) -> u64 {
    (fraction * (u64::MAX as f64)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_out() {
        let mix = Mix { get: 0.5, put: 0.3, delete: 0.15, read_modify_write: 0.05, ..Mix::NOTHING };
        let mut generator = OperationGenerator::new(&mix, 42);
        let mut counts = [0_u32; Operation::ALL.len()];
        for _ in 0..100_000 {
            counts[generator.next() as usize] += 1;
        }
        let mut square = 0.0;
        for operation in Operation::ALL {
            let (count, expected) =
                (f64::from(counts[operation as usize]), 100_000.0 * mix.share(operation));
            if expected == 0.0 {
                assert_eq!(count, 0.0, "{operation:?}");
            } else {
                square += (count - expected).powi(2) / expected;
            }
        }
        // Four cells: chi-square above 16.3 has a chance of one in a thousand.
        assert!(square < 16.3, "{counts:?}");
    }

    #[test]
    fn a_single_kind_is_the_only_one() {
        for operation in Operation::ALL {
            let mut weighted = Operation::ALL.map(|operation| (operation, 0.0));
            weighted[operation as usize].1 = 1.0;
            let choice = WeightedChoice::new(weighted);
            for draw in [0, 1, u64::MAX / 2, u64::MAX] {
                assert_eq!(choice.pick(draw), operation);
            }
        }
    }

    #[test]
    fn a_seed_draws_the_same_for_ever() {
        let mix = Mix { get: 0.5, put: 0.5, ..Mix::NOTHING };
        let mut generator = OperationGenerator::new(&mix, 1);
        let drawn: String = (0..32).map(|_| &generator.next().name()[..1]).collect();
        assert_eq!(drawn, "gpgpggpggpgpggpggggpppgppgggggpg");
    }
}
