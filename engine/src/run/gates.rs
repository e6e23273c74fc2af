//! Conditions without which a measurement says nothing. Each is a named line in the result.

use synod_results::summary::Gate;
use synod_workloads::Arrival;

use super::measure::Observed;
use crate::load::LATE_NS;

/// Samples that a 99.9th percentile needs: ten beyond it.
const SAMPLES_MIN: u64 = 10_000;

/// All conditions of one run.
pub(super) fn all(observed: &Observed<'_>, measured: u64) -> Vec<Gate> {
    vec![
        whole(observed),
        load_has_time(observed),
        load_is_on_time(observed, measured),
        values_are_whole(observed),
        faults_left_evidence(observed),
        enough_samples(measured),
    ]
}

fn gate(name: &str, ok: bool, detail: String) -> Gate {
    Gate { name: name.to_owned(), ok, detail }
}

fn whole(observed: &Observed<'_>) -> Gate {
    let detail = observed.trouble.clone().unwrap_or_else(|| "the run went to its end".to_owned());
    gate("run is complete", observed.trouble.is_none(), detail)
}

/// A load thread that never waits is what is measured, not the protocol.
fn load_has_time(observed: &Observed<'_>) -> Gate {
    let measure_ns = observed.workload.phases.measure_ns as f64;
    let busiest = observed
        .noticed
        .iter()
        .map(|noticed| {
            let turns = noticed.turns.max(1) as f64;
            let working = 1.0 - noticed.idle_turns as f64 / turns;
            // A thread that sleeps when it is idle shows it by its processor time, one that spins
            // by its idle turns.
            (noticed.cpu_ns as f64 / measure_ns).min(working)
        })
        .fold(0.0, f64::max);
    let detail = format!("the busiest load thread was busy {:.0} % of the time", busiest * 100.0);
    gate("load generator has time to spare", busiest < 0.97, detail)
}

fn load_is_on_time(observed: &Observed<'_>, measured: u64) -> Gate {
    let late: u64 = observed.noticed.iter().map(|noticed| noticed.late).sum();
    let open = matches!(observed.workload.load.arrival, Arrival::Open { .. });
    let ok = !open || late * 100 <= measured;
    let detail = if open {
        format!("{late} operations started more than {} ms late", LATE_NS / 1_000_000)
    } else {
        "a closed loop has no schedule".to_owned()
    };
    gate("load generator is on time", ok, detail)
}

fn values_are_whole(observed: &Observed<'_>) -> Gate {
    let damaged: u64 = observed.noticed.iter().map(|noticed| noticed.damaged).sum();
    gate("values come back as written", damaged == 0, format!("{damaged} damaged answers"))
}

fn faults_left_evidence(observed: &Observed<'_>) -> Gate {
    let without: Vec<String> = observed
        .faults
        .iter()
        .filter(|fault| fault.evidence.is_empty())
        .map(|fault| format!("{} {}", fault.action, fault.target))
        .collect();
    let detail = if without.is_empty() {
        format!("{} faults", observed.faults.len())
    } else {
        format!("did not happen: {}", without.join(", "))
    };
    gate("faults left evidence", without.is_empty(), detail)
}

fn enough_samples(measured: u64) -> Gate {
    let detail = format!("{measured} operations measured, {SAMPLES_MIN} needed for p99.9");
    gate("enough samples", measured >= SAMPLES_MIN, detail)
}
