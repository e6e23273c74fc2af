//! Latencies from when a request was first sent, instead of from when it should have been.
//!
//! Under a load that goes by the clock, an operation whose turn comes while all clients wait is late
//! before it is sent. Whoever measures from the sending does not see that, and so almost nothing of a
//! stall (coordinated omission: Tene, *How NOT to Measure Latency*, 2013). The table shows it beside
//! the latency, so that the difference is seen.

use std::ops::Range;

use hdrhistogram::Histogram;

use crate::check::Source;
use crate::history::{HistoryError, Outcome};
use crate::record::{LATENCY_NS_MAX, empty_histogram};

/// The times from sending to answer of what was answered within the window, on the history's clock.
///
/// # Errors
/// If the history cannot be read to its end.
pub fn times(
    source: &(impl Source + ?Sized),
    window_ns: &Range<u64>,
) -> Result<Histogram<u64>, HistoryError> {
    let mut times = empty_histogram();
    source.for_each_block(&mut |block| {
        for operation in block {
            let answered = !matches!(operation.outcome, Outcome::Unknown | Outcome::Refused);
            if answered && window_ns.contains(&operation.end_ns) {
                let time_ns = operation.end_ns - operation.start_ns;
                times.saturating_record(time_ns.clamp(1, LATENCY_NS_MAX));
            }
        }
    })?;
    Ok(times)
}
