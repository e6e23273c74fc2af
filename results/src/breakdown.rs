//! Where the mean latency went. Means add up where quantiles do not, and take in every operation.

use crate::summary::ProtocolResult;

/// Fewer than this share of the operations say nothing of all.
const SHARE_MIN: f64 = 0.95;

/// The parts of the mean latency, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breakdown {
    /// Until a client could send the operation; 0 where clients have one at a time.
    pub queue_ns: f64,
    /// At the leader, until the operation's batch was proposed: from the first request of that batch.
    pub batch_ns: f64,
    /// From then until the batch was agreed on: messages, the others' work, and disks.
    pub agreement_ns: f64,
    /// All else: to the leader, applying, and the way back, with whatever waits there.
    pub rest_ns: f64,
}

impl Breakdown {
    /// Of a result whose protocol orders batches, and nearly all of whose operations were in one.
    #[must_use]
    pub fn of(result: &ProtocolResult) -> Option<Self> {
        let (counters, overall) = (&result.counters, &result.overall);
        if (counters.agreed as f64) < SHARE_MIN * overall.count as f64 || counters.agreed == 0 {
            return None;
        }
        let each = |total_ns: u64| total_ns as f64 / counters.agreed as f64;
        let (batch_ns, agreement_ns) = (each(counters.waited_ns), each(counters.agreed_ns));
        let queue_ns =
            result.service.as_ref().map_or(0.0, |service| overall.mean_ns - service.mean_ns);
        let rest_ns = overall.mean_ns - queue_ns - batch_ns - agreement_ns;
        // A batch waits as long as its first request, and most of its operations for less.
        Some(Self { queue_ns, batch_ns, agreement_ns, rest_ns: rest_ns.max(0.0) })
    }
}
