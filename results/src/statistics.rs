//! What repeats of a run tell, and what they do not. The unit is the run: operations of one run
//! depend on each other, so that a million of them are no million observations.
//!
//! [`bootstrap`] has the interval of a median, [`ranks`] whether two sets of runs differ and by
//! how much, [`correction`] what many such questions cost; [`quantile`] says how well one run knows
//! its own quantile; [`trend`] and [`steady`] look at the order of seconds and repeats, and
//! [`outliers`] at those that stand apart.

pub mod bootstrap;
pub mod correction;
pub mod outliers;
pub mod quantile;
pub mod ranks;
pub mod steady;
#[cfg(test)]
mod tests;
pub mod trend;

use statrs::distribution::{ContinuousCDF as _, Normal};

/// How sure every interval of Synod is.
pub const CONFIDENCE: f64 = 0.95;

/// Where a figure lies, as sure as [`CONFIDENCE`] says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The middle of the values; the mean of the two in the middle if their number is even.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

pub(crate) fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let &upper = sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { sorted[middle - 1].midpoint(upper) })
}

/// The probability that a standard normal variable is at least as far from 0 as `z`.
fn two_sided(z: f64) -> f64 {
    (2.0 * Normal::standard().sf(z.abs())).min(1.0)
}

/// How many values of each group of equal ones there are, where there are several.
fn ties(sorted: &[f64]) -> impl Iterator<Item = f64> {
    sorted.chunk_by(|a, b| a == b).filter(|equal| equal.len() > 1).map(|equal| equal.len() as f64)
}

fn has_ties(sorted: &[f64]) -> bool {
    ties(sorted).next().is_some()
}
