//! The interval of a median: the percentile bootstrap (Efron 1979). Its bias-corrected relative
//! was not taken, as the jackknife that it needs fails for medians.

use super::{CONFIDENCE, Interval, median_of_sorted};
use crate::random::Random;

/// Samples drawn from the values.
const RESAMPLES: usize = 10_000;

/// Between which values the median of further runs would lie. Fewer than two values say nothing.
/// The same values and seed give the same interval.
#[must_use]
pub fn median_interval(values: &[f64], seed: u64) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let mut random = Random::new(seed);
    let mut sample = vec![0.0; values.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            sample.fill_with(|| values[random.index(values.len())]);
            sample.sort_unstable_by(f64::total_cmp);
            median_of_sorted(&sample)
        })
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some(Interval { low: interpolated(&medians, tail), high: interpolated(&medians, 1.0 - tail) })
}

/// A quantile of sorted values, in a straight line between the two that are nearest.
fn interpolated(sorted: &[f64], quantile: f64) -> f64 {
    let place = quantile * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}
