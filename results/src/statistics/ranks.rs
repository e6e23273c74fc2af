//! Whether two sets of runs differ, without a guess at how their figures are distributed: the test
//! of Mann and Whitney (1947), and the shift of Hodges and Lehmann (1963) that belongs to it.

use statrs::distribution::{ContinuousCDF as _, Normal};

use super::{CONFIDENCE, Interval, has_ties, median_of_sorted, ties, two_sided};

/// Above so many pairs the distribution is taken as normal rather than counted out.
const EXACT_PAIRS_MAX: usize = 2_500;

/// Two sets beside each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// How many pairs have the larger value in the second set; half for a tie.
    pub u: f64,
    /// The probability of being so far from even if nothing differs, two-sided.
    pub p: f64,
    /// Whether `p` was counted out; else it is approximated, with its correction for ties.
    pub exact: bool,
    /// How much larger the second set is: the median of all differences.
    pub estimate: f64,
    /// Where the shift lies; none if the sets are too small to say.
    pub interval: Option<Interval>,
}

/// By how much `second` is above `first`; nothing if one of them is empty.
#[must_use]
pub fn shift(first: &[f64], second: &[f64]) -> Option<Shift> {
    let mut differences: Vec<f64> =
        first.iter().flat_map(|a| second.iter().map(move |b| b - a)).collect();
    differences.sort_unstable_by(f64::total_cmp);
    let estimate = median_of_sorted(&differences)?;
    let above = differences.iter().filter(|&&difference| difference > 0.0).count();
    let even = differences.iter().filter(|&&difference| difference == 0.0).count();
    let u = above as f64 + even as f64 / 2.0;
    let mut all = [first, second].concat();
    all.sort_unstable_by(f64::total_cmp);
    let exact = !has_ties(&all) && differences.len() <= EXACT_PAIRS_MAX;
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let (p, left_out) = if exact {
        let at_most = cumulative(first.len(), second.len());
        let least = above.min(differences.len() - above);
        let left_out = at_most.iter().take_while(|&&probability| probability <= tail).count();
        ((2.0 * at_most[least]).min(1.0), left_out)
    } else {
        let deviation = deviation(first.len(), second.len(), &all);
        let middle = differences.len() as f64 / 2.0;
        (normal(u - middle, deviation), normal_rank(middle, deviation, tail))
    };
    // The ends are the order statistics that leave so many differences out at either side.
    let interval = (left_out > 0 && 2 * left_out <= differences.len()).then(|| Interval {
        low: differences[left_out - 1],
        high: differences[differences.len() - left_out],
    });
    Some(Shift { u, p, exact, estimate, interval })
}

/// The smallest p-value that sets of so many can have: all of one above all of the other.
#[must_use]
pub fn least_p(first: usize, second: usize) -> f64 {
    // The number of ways to choose the places of one set, as a product that stays a fraction.
    let ways: f64 = (1..=first).map(|n| (second + n) as f64 / n as f64).product();
    (2.0 / ways).min(1.0)
}

/// For each number of pairs the probability that no more of them are ascending, if all orders of
/// the values are alike. The counts are those of partitions in a box, built up value by value.
fn cumulative(first: usize, second: usize) -> Vec<f64> {
    let pairs = first * second;
    let mut ways = vec![0.0; pairs + 1];
    ways[0] = 1.0;
    for n in 1..=first {
        // Multiplies by (1 - x^(second + n)) / (1 - x^n).
        for k in (second + n..=pairs).rev() {
            ways[k] -= ways[k - second - n];
        }
        for k in n..=pairs {
            ways[k] += ways[k - n];
        }
    }
    let total: f64 = ways.iter().sum();
    let mut sum = 0.0;
    ways.iter()
        .map(|count| {
            sum += count;
            sum / total
        })
        .collect()
}

fn deviation(first: usize, second: usize, sorted: &[f64]) -> f64 {
    let all = sorted.len() as f64;
    let tied: f64 = ties(sorted).map(|t| t * t * t - t).sum();
    let spread = all + 1.0 - tied / (all * (all - 1.0));
    ((first * second) as f64 / 12.0 * spread).max(0.0).sqrt()
}

/// With the correction for continuity.
fn normal(far: f64, deviation: f64) -> f64 {
    if deviation == 0.0 {
        return 1.0;
    }
    two_sided((far.abs() - 0.5).max(0.0) / deviation)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
fn normal_rank(middle: f64, deviation: f64, tail: f64) -> usize {
    let reach = -Normal::standard().inverse_cdf(tail) * deviation;
    (middle - reach).floor().max(0.0) as usize
}
