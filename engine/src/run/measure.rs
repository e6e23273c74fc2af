//! From what was observed to what the result says.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use synod_results::breakdown::{Breakdown, SampleTotals};
use synod_results::check::{Consistency, Verdict};
use synod_results::summary::{
    self, Fault, LatencySummary, ProtocolResult, ThreadUsage, VerdictSummary,
};
use synod_workloads::{Arrival, Durability, ProtocolChoice, Transaction, Transport, Workload};

use super::gates;
use super::machine::Edges;
use crate::cluster::Placed;
use crate::cluster::orders::Status;
use crate::load::Noticed;
use crate::load::writer::Written;

/// Everything that was seen of one run of one protocol.
pub(super) struct Observed<'a> {
    pub(super) workload: &'a Workload,
    pub(super) protocol: &'a ProtocolChoice,
    pub(super) repeat: u32,
    pub(super) placed: &'a Placed,
    /// The start of the warm-up on the machine's clock.
    pub(super) start_ns: u64,
    pub(super) noticed: &'a [Noticed],
    pub(super) written: &'a Written,
    /// How long operations took once they were sent, where that is told.
    pub(super) service: Option<Histogram<u64>>,
    /// For each replica what it said, each time for each group.
    pub(super) logs: Vec<Vec<Vec<Status>>>,
    pub(super) faults: Vec<Fault>,
    pub(super) trouble: Option<String>,
    /// The machine at both ends of the window.
    pub(super) edges: Edges,
    pub(super) simulated: bool,
    pub(super) promise: Consistency,
    pub(super) verdict: Verdict,
}

/// The result of one run of one protocol.
pub(super) fn result(observed: Observed<'_>) -> ProtocolResult {
    let workload = observed.workload;
    let cluster = &workload.cluster;
    let measured_seconds = workload.phases.measure_ns as f64 / 1e9;
    let totals = &observed.written.measured;
    let overall = totals.overall();
    let Usage { counters, threads, completed_by } = usage(&observed);
    let sum = |count: fn(&Noticed) -> u64| observed.noticed.iter().map(count).sum::<u64>();
    let groups = u32::from(cluster.cores);
    let connections = u32::from(workload.load.threads) * u32::from(workload.load.connections);
    ProtocolResult {
        label: observed.protocol.label.clone(),
        protocol: observed.protocol.name.clone(),
        repeat: observed.repeat,
        durability: match cluster.durability {
            Durability::None => "none",
            Durability::Group => "group",
            Durability::Each => "each",
        }
        .to_owned(),
        transport: match cluster.transport {
            Transport::Tcp => "tcp",
            Transport::Unix => "unix",
            Transport::Memory => "memory",
        }
        .to_owned(),
        replicas: u32::try_from(observed.placed.replicas.len()).expect("few replicas"),
        groups,
        connections: connections * groups,
        in_flight: match workload.load.arrival {
            Arrival::Closed { outstanding, .. } => workload.load.clients * outstanding,
            Arrival::Open { .. } => workload.load.clients,
        },
        measured_seconds,
        overall: LatencySummary::of(&overall, measured_seconds),
        service: observed.service.as_ref().map(|times| LatencySummary::of(times, measured_seconds)),
        kinds: LatencySummary::by_kind(totals, measured_seconds),
        breakdown: breakdown(observed.noticed),
        series: observed.written.seconds.clone(),
        threads,
        counters,
        completed_by,
        resident_bytes_max: observed.edges.resident_bytes_max(),
        retries: sum(|noticed| noticed.retries),
        timeouts: sum(|noticed| noticed.unknown),
        busy: sum(|noticed| noticed.busy),
        aborted: match workload.load.transaction {
            Transaction::ReadWrite { .. } => None,
            Transaction::Transfer(_) => Some(sum(|noticed| noticed.aborted)),
        },
        limits: Vec::new(),
        gates: gates::all(&observed, &overall),
        faults: observed.faults.clone(),
        promise: observed.promise,
        verdict: VerdictSummary::from(&observed.verdict),
    }
}

/// Where the time of the samples of all load threads went.
fn breakdown(noticed: &[Noticed]) -> BTreeMap<String, Breakdown> {
    let mut totals = SampleTotals::default();
    noticed.iter().for_each(|noticed| totals.merge(&noticed.sampled));
    Breakdown::by_kind(&totals)
}

/// What the measured window took.
struct Usage {
    /// What all replicas counted.
    counters: summary::Counters,
    /// Who used how much processor time.
    threads: Vec<ThreadUsage>,
    /// For each replica the operations that were answered when its message came.
    completed_by: Vec<u64>,
}

fn usage(observed: &Observed<'_>) -> Usage {
    let phases = &observed.workload.phases;
    let from_ns = observed.start_ns + phases.warm_up_ns;
    let until_ns = from_ns + phases.measure_ns;
    let mut total = summary::Counters::default();
    let (mut threads, mut completed_by) = (Vec::new(), vec![0; observed.logs.len()]);
    for (replica, log) in observed.logs.iter().enumerate() {
        for group in 0..usize::from(observed.workload.cluster.cores) {
            let samples: Vec<Status> =
                log.iter().filter_map(|statuses| statuses.get(group).copied()).collect();
            let count = |read: fn(&Status) -> u64| grown(&samples, from_ns, until_ns, read);
            for (place, total) in completed_by.iter_mut().enumerate() {
                let read = |status: &Status| status.counters.completed_by[place];
                *total += grown(&samples, from_ns, until_ns, read);
            }
            total.replica_messages += count(|status| status.counters.messages_sent);
            total.replica_bytes += count(|status| status.counters.peer_bytes);
            total.client_messages += count(|status| status.counters.client_sends);
            total.client_bytes += count(|status| status.counters.client_bytes);
            total.log_bytes += count(|status| status.counters.log_bytes);
            total.log_syncs += count(|status| status.counters.log_writes);
            total.doubts += count(|status| status.counters.doubts);
            total.doubt_ns += count(|status| status.counters.doubt_ns);
            total.hints += count(|status| status.counters.hints);
            total.handoffs += count(|status| status.counters.handoffs);
            let measured = samples.iter().filter(|status| status.at_ns <= until_ns);
            let longest_ns = measured.map(|status| status.counters.doubt_ns_max).max();
            total.doubt_ns_max = total.doubt_ns_max.max(longest_ns.unwrap_or(0));
            threads.push(ThreadUsage {
                name: format!("replica {replica}, group {group}"),
                role: "replica".to_owned(),
                cpu_seconds: count(|status| status.cpu_ns) as f64 / 1e9,
            });
        }
    }
    threads.extend(observed.noticed.iter().enumerate().map(|(thread, noticed)| ThreadUsage {
        name: format!("load {thread}"),
        role: "load".to_owned(),
        cpu_seconds: noticed.cpu_ns as f64 / 1e9,
    }));
    Usage { counters: total, threads, completed_by }
}

/// How much a count grew between two moments. A count that falls is that of a replica that started
/// again from zero.
pub(super) fn grown(
    samples: &[Status],
    from_ns: u64,
    until_ns: u64,
    read: impl Fn(&Status) -> u64,
) -> u64 {
    let mut grown = 0.0;
    for pair in samples.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let (low, high) = (before.at_ns.max(from_ns), after.at_ns.min(until_ns));
        let length = after.at_ns.saturating_sub(before.at_ns);
        if low >= high || length == 0 {
            continue;
        }
        let step = read(after).saturating_sub(read(before));
        grown += step as f64 * (high - low) as f64 / length as f64;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let whole = grown.round() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Counters;

    #[test]
    fn counts_are_cut_at_the_edges_of_the_window() {
        let sample = |at_ns, turns| Status {
            at_ns,
            counters: Counters { turns, ..Counters::default() },
            ..Status::default()
        };
        let samples = [sample(0, 0), sample(100, 100), sample(200, 300), sample(300, 10)];
        let turns = |from, until| grown(&samples, from, until, |status| status.counters.turns);
        assert_eq!(turns(0, 200), 300);
        assert_eq!(turns(50, 150), 150);
        assert_eq!(turns(200, 300), 0);
    }
}
