//! What makes two sets of runs unequal. What changes the question forbids to compare; what may be
//! the answer, as another commit, is a footnote.

use std::fmt::Write as _;

use super::Compared;
use crate::summary::{ProtocolResult, Summary};

fn differs(name: &str, a: impl ToString, b: impl ToString) -> Option<String> {
    let (a, b) = (a.to_string(), b.to_string());
    let shown = |value: &str| if value.is_empty() { "unknown" } else { value }.to_owned();
    (a != b).then(|| format!("{name} differs: {} and {}", shown(&a), shown(&b)))
}

/// Where and from what two runs were made, and what they asked for.
pub(super) fn machines(a: &Summary, b: &Summary, compared: &mut Compared<'_>) {
    let commit = |run: &Summary| {
        let mut text = run.commit.clone();
        if run.dirty {
            let _infallible = write!(text, " with changes");
        }
        text
    };
    let (machine, other) = (&a.machine, &b.machine);
    let processors = (machine.logical_processors, other.logical_processors);
    let refusals = [
        differs("processor", &machine.cpu_model, &other.cpu_model),
        differs("number of processors", processors.0, processors.1),
        differs("memory in bytes", machine.memory_bytes, other.memory_bytes),
    ];
    compared.refusals.extend(refusals.into_iter().flatten());
    for part in ["load", "keys", "values", "mix", "phases", "faults"] {
        let (mine, theirs) = (a.workload.get(part), b.workload.get(part));
        if mine != theirs {
            compared.refusals.push(format!("{part} of the workloads differ"));
        }
    }
    let workload = (a.workload != b.workload).then(|| "the workloads differ".to_owned());
    let notes = [
        workload,
        differs("commit", commit(a), commit(b)),
        differs("version", &a.synod_version, &b.synod_version),
        differs("kernel", &machine.kernel, &other.kernel),
        differs("compiler", &machine.rustc_version, &other.rustc_version),
        differs("governor", &machine.governor, &other.governor),
        differs("seed", a.seed, b.seed),
    ];
    compared.notes.extend(notes.into_iter().flatten());
}

/// How two sets were set up and loaded.
pub(super) fn results(
    name: &str,
    a: &ProtocolResult,
    b: &ProtocolResult,
    compared: &mut Compared<'_>,
) {
    let refusals = [
        differs("durability", &a.durability, &b.durability),
        differs("transport", &a.transport, &b.transport),
        differs("number of groups", a.groups, b.groups),
        differs("number of connections", a.connections, b.connections),
        differs("number of operations in flight", a.in_flight, b.in_flight),
    ];
    let note = |difference: String| format!("{name}: {difference}");
    compared.refusals.extend(refusals.into_iter().flatten().map(note));
    let notes = [
        differs("number of replicas", a.replicas, b.replicas),
        differs("promise", a.promise.name(), b.promise.name()),
    ];
    compared.notes.extend(notes.into_iter().flatten().map(note));
}

/// Why figures must not be compared at all.
pub(super) fn trust(side: &str, results: &[&ProtocolResult], compared: &mut Compared<'_>) {
    for result in results {
        let name = format!("{} #{}{side}", result.label, result.repeat);
        if !result.verdict.is_pass() {
            compared.refusals.push(format!("{name}: {}", result.verdict.words()));
        }
        for gate in result.failed_gates() {
            let why = format!("{name} is invalid: {}: {}", gate.name, gate.detail);
            compared.refusals.push(why);
        }
        for gate in result.warnings() {
            compared.notes.push(format!("{name}: {}: {}", gate.name, gate.detail));
        }
    }
}
