//! Where the mean latency went. Means add up where quantiles do not, and take in every operation.

use std::cmp::Reverse;

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

/// Whom operations waited for: the last of their quorums, the most frequent first. Nothing where
/// replicas do not wait for each other.
#[must_use]
pub fn last_of_quorums(result: &ProtocolResult) -> Option<String> {
    let total: u64 = result.completed_by.iter().sum();
    if result.replicas < 2 || total == 0 {
        return None;
    }
    let mut shares: Vec<(u64, usize)> = result.completed_by.iter().copied().zip(0..).collect();
    shares.sort_by_key(|&(count, replica)| (Reverse(count), replica));
    let words = shares.iter().filter(|(count, _)| *count > 0).map(|&(count, replica)| {
        format!("replica {replica} for {:.0} %", count as f64 / total as f64 * 100.0)
    });
    Some(words.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_operations_waited_for_most_comes_first() {
        let completed_by = vec![100, 0, 300];
        let result = ProtocolResult { replicas: 3, completed_by, ..ProtocolResult::default() };
        let words = last_of_quorums(&result);
        assert_eq!(words.as_deref(), Some("replica 2 for 75 %, replica 0 for 25 %"));
        assert_eq!(last_of_quorums(&ProtocolResult { replicas: 1, ..result }), None);
    }
}
