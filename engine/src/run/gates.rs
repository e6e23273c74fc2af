//! Conditions without which a measurement says nothing, or less than it seems to. Each is a named
//! line in the result: it holds, it holds with a warning, or the result is invalid.

mod course;
mod machine;

use hdrhistogram::Histogram;
use synod_results::summary::{Gate, QUANTILES, Quantile};
use synod_results::units;
use synod_workloads::{Arrival, Workload};

use self::course::Law;
use super::measure::Observed;
use crate::load::LATE_NS;

/// All conditions of one run.
pub(super) fn all(observed: &Observed<'_>, overall: &Histogram<u64>) -> Vec<Gate> {
    let measured = overall.len();
    let phases = &observed.workload.phases;
    let from_ns = observed.start_ns + phases.warm_up_ns;
    let window_ns = (from_ns, from_ns + phases.measure_ns);
    let faults = observed.faults.len();
    let passed = observed.noticed.iter().map(|noticed| noticed.passed);
    let why_not_steady = why_not_steady(observed.workload);
    let mut gates = vec![
        whole(observed),
        load_has_time(observed),
        load_is_on_time(observed, measured),
        values_are_whole(observed),
        faults_left_evidence(observed),
        course::no_stall(&observed.logs, window_ns, faults),
        enough_samples(measured),
        course::law(recorded(observed, overall), passed),
        course::steady(&observed.written.seconds, phases, why_not_steady),
    ];
    gates.extend(machine::all(
        &observed.edges,
        observed.workload.cluster.limits.memory_bytes,
        observed.simulated,
    ));
    gates
}

fn passed(name: &str, detail: String) -> Gate {
    Gate { name: name.to_owned(), ok: true, warning: false, detail }
}

fn warned(name: &str, detail: String) -> Gate {
    Gate { warning: true, ..passed(name, detail) }
}

fn failed(name: &str, detail: String) -> Gate {
    Gate { ok: false, ..passed(name, detail) }
}

fn gate(name: &str, ok: bool, detail: String) -> Gate {
    if ok { passed(name, detail) } else { failed(name, detail) }
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

/// With too few operations for its quantile a figure is not shown; with too few for any, nothing
/// was measured.
fn enough_samples(measured: u64) -> Gate {
    const NAME: &str = "enough samples";
    let needed = |quantile: &Quantile| {
        let needed = units::grouped(quantile.samples_min());
        format!("{} needs {needed}", quantile.name())
    };
    let lacking: Vec<&Quantile> =
        QUANTILES.iter().filter(|quantile| measured < quantile.samples_min()).collect();
    let said: Vec<String> = lacking.iter().map(|quantile| needed(quantile)).collect();
    let operations = format!("{} operations measured", units::grouped(measured));
    if lacking.is_empty() {
        passed(NAME, operations)
    } else if lacking.len() < QUANTILES.len() {
        warned(NAME, format!("{operations}, and {}, so it is not shown", said.join(", ")))
    } else {
        failed(NAME, format!("{operations}, and {}", said.join(", ")))
    }
}

/// What Little's law is asked of.
fn recorded(observed: &Observed<'_>, overall: &Histogram<u64>) -> Law {
    let given_up = observed.noticed.iter().any(|noticed| noticed.unknown > 0);
    Law {
        is_closed: matches!(observed.workload.load.arrival, Arrival::Closed { .. }),
        is_disturbed: given_up || !observed.faults.is_empty(),
        latencies_ns: overall.mean() * overall.len() as f64,
    }
}

/// Why a run is not meant to be in one state, if it is not.
fn why_not_steady(workload: &Workload) -> Option<&'static str> {
    if !workload.faults.is_empty() {
        return Some("faults were to disturb it");
    }
    let steps = match &workload.load.arrival {
        Arrival::Open { steps, .. } => !steps.is_empty(),
        Arrival::Closed { .. } => false,
    };
    steps.then_some("the load has steps")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_without_samples_are_noted_and_no_figures_fail() {
        for (measured, ok, warning) in
            [(10_000, true, false), (9_999, true, true), (20, true, true), (19, false, false)]
        {
            let gate = enough_samples(measured);
            assert_eq!((gate.ok, gate.warning), (ok, warning), "{measured}: {}", gate.detail);
        }
        let words = "999 operations measured, and p99 needs 1,000, p99.9 needs 10,000, so it is not \
                     shown";
        assert_eq!(enough_samples(999).detail, words);
    }
}
