//! Whether values rise or fall in their order: the test of Mann (1945) and Kendall (1938), and the
//! slope of Sen (1968).

use super::{has_ties, median, ties, two_sided};

/// Longer series are taken as normal rather than counted out.
const EXACT_MAX: usize = 50;

/// A series from its first value to its last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Pairs that rise less pairs that fall.
    pub s: f64,
    /// The probability of so large a number either way if the order means nothing.
    pub p: f64,
    /// By how much a value is above the one before, in the median of all pairs.
    pub slope: f64,
}

/// The trend of a series of at least three values.
#[must_use]
pub fn trend(values: &[f64]) -> Option<Trend> {
    if values.len() < 3 {
        return None;
    }
    let pairs = || (0..values.len()).flat_map(|i| (i + 1..values.len()).map(move |j| (i, j)));
    let (mut rising, mut falling) = (0_usize, 0_usize);
    for (i, j) in pairs() {
        rising += usize::from(values[j] > values[i]);
        falling += usize::from(values[j] < values[i]);
    }
    let slopes: Vec<f64> = pairs().map(|(i, j)| (values[j] - values[i]) / (j - i) as f64).collect();
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let s = rising as f64 - falling as f64;
    let p = if values.len() <= EXACT_MAX && !has_ties(&sorted) {
        exact(values.len(), rising.min(falling))
    } else {
        approximate(s, &sorted)
    };
    Some(Trend { s, p, slope: median(&slopes)? })
}

/// Twice the share of all orders of `count` values with at most so many inversions.
fn exact(count: usize, inversions: usize) -> f64 {
    let mut share = vec![1.0];
    for n in 2..=count {
        // The n-th value goes before any number of the others with the same probability.
        let mut next = vec![0.0; (share.len() + n - 1).min(inversions + 1)];
        for (k, sum) in next.iter_mut().enumerate() {
            let from = (k + 1).saturating_sub(n);
            *sum = share.iter().take(k + 1).skip(from).sum::<f64>() / n as f64;
        }
        share = next;
    }
    (2.0 * share.iter().take(inversions + 1).sum::<f64>()).min(1.0)
}

fn approximate(s: f64, sorted: &[f64]) -> f64 {
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let variance = (term(sorted.len() as f64) - ties(sorted).map(term).sum::<f64>()) / 18.0;
    if variance <= 0.0 { 1.0 } else { two_sided(s / variance.sqrt()) }
}
