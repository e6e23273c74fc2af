//! How well a run knows its own quantile: the interval between two order statistics. It takes the
//! operations as independent, which they are not, so that it is the least that is unknown.

use hdrhistogram::Histogram;
use statrs::distribution::{Binomial, DiscreteCDF as _};

use super::{CONFIDENCE, Interval};

/// The ranks, from 1, of the two order statistics between which a quantile of `count` values lies;
/// none if the values are too few to bound it on both sides.
#[must_use]
pub fn ranks(count: u64, quantile: f64) -> Option<(u64, u64)> {
    let below = Binomial::new(quantile, count).ok()?;
    let tail = (1.0 - CONFIDENCE) / 2.0;
    // The number of values below the quantile is binomial: at least `low`, but for one tail, and
    // at most `high - 1`, but for the other.
    let (low, high) = (below.inverse_cdf(tail), below.inverse_cdf(1.0 - tail) + 1);
    (low >= 1 && high <= count).then_some((low, high))
}

/// The interval of a quantile of what a histogram counted.
#[must_use]
pub fn interval(histogram: &Histogram<u64>, quantile: f64) -> Option<Interval> {
    let count = histogram.len();
    let (low, high) = ranks(count, quantile)?;
    // A hundredth of a rank back, so that rounding does not reach the next one.
    let at = |rank: u64| {
        histogram.value_at_quantile(((rank as f64 - 0.01) / count as f64).min(1.0)) as f64
    };
    Some(Interval { low: at(low), high: at(high) })
}
