//! Whether the seconds of a run are of one steady state: a warm-up that is too short, or a figure
//! that still rises or falls, misleads more than any noise.

use super::trend::trend;

/// Fewer seconds show no state.
const SECONDS_MIN: usize = 10;

/// From so many on, five seconds become one batch, as MSER-5 asks.
const BATCHED_SECONDS_MIN: usize = 50;

/// A difference below this share of the mean is of no consequence, however sure it is.
const SHARE_MIN: f64 = 0.05;

/// A trend is believed at this level; stricter than usual, as neighbors depend on each other.
const P_MAX: f64 = 0.01;

/// What a series of seconds shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Steadiness {
    /// Nothing speaks against it.
    Steady,
    /// It is too short to tell.
    TooShort,
    /// So many seconds at its beginning are unlike the rest, whose mean is away from theirs by so
    /// large a share.
    WarmingUp {
        /// The seconds to leave out.
        seconds: usize,
        /// How much the rest is above them; negative if below.
        share: f64,
    },
    /// From end to end it rises or falls by so large a share of its mean, without the beginning
    /// that differs most.
    Drifting {
        /// Negative if it falls.
        share: f64,
    },
}

/// Judges a series. The beginning is judged by the marginal standard error (MSER-5: White, Cobb
/// and Spratt 2000), the rest by the trend of Mann and Kendall.
#[must_use]
pub fn steadiness(seconds: &[f64]) -> Steadiness {
    if seconds.len() < SECONDS_MIN {
        return Steadiness::TooShort;
    }
    let size = if seconds.len() < BATCHED_SECONDS_MIN { 1 } else { 5 };
    let batches: Vec<f64> = seconds.chunks_exact(size).map(mean).collect();
    let cut = truncation(&batches);
    let (begin, rest) = batches.split_at(cut);
    let level = mean(rest);
    if level <= 0.0 {
        return Steadiness::Steady;
    }
    let share = if begin.is_empty() { 0.0 } else { (level - mean(begin)) / level };
    // What goes on as it began has no beginning to leave out, wherever the error is smallest.
    if let Some(drift) = drift(rest, level) {
        return Steadiness::Drifting { share: drift };
    }
    if share.abs() > SHARE_MIN {
        return Steadiness::WarmingUp { seconds: cut * size, share };
    }
    Steadiness::Steady
}

/// By how large a share of their level values rise from end to end, if that is to be believed.
fn drift(values: &[f64], level: f64) -> Option<f64> {
    let found = trend(values)?;
    let share = found.slope * (values.len() - 1) as f64 / level;
    (found.p < P_MAX && share.abs() > SHARE_MIN).then_some(share)
}

/// How many values to leave out at the beginning, at most half of them, so that the mean of the
/// rest has the smallest standard error.
#[must_use]
pub fn truncation(values: &[f64]) -> usize {
    let error = |cut: usize| {
        let rest = &values[cut..];
        let level = mean(rest);
        let squares: f64 = rest.iter().map(|value| (value - level) * (value - level)).sum();
        squares / (rest.len() as f64 * rest.len() as f64)
    };
    (0..=values.len() / 2).min_by(|&a, &b| error(a).total_cmp(&error(b))).unwrap_or(0)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
