//! Two runs side by side, with the second as a multiple of the first, and what makes them unequal.

use std::fmt::Write as _;

use crate::summary::{ProtocolResult, Summary};
use crate::table::{ROWS, by_label, grid, lines, spread};

/// Renders the protocols that both runs have, the medians of their repeats and the ratio, with a
/// footnote for each setting that differs: with any, a ratio tells nothing of the protocol alone.
#[must_use]
pub fn render(first: &Summary, second: &Summary) -> String {
    let mut text = String::new();
    let mut notes = unequal_runs(first, second);
    let others = by_label(&second.results);
    for (label, results) in by_label(&first.results) {
        let Some((_, other_results)) = others.iter().find(|(other, _)| *other == label) else {
            notes.push(format!("{label} is only in the first run"));
            continue;
        };
        let header = [label, "first", "second", "second / first"].map(str::to_owned).to_vec();
        let rows = ROWS.iter().map(|row| {
            let median = |results| spread(row.figure, results).map(|(_, median, _)| median);
            let (a, b) = (median(&results), median(other_results));
            let print = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), row.print);
            let ratio = match (a, b) {
                (Some(a), Some(b)) if a > 0.0 => format!("{:.3}", b / a),
                _ => "-".to_owned(),
            };
            vec![row.name.to_owned(), print(a), print(b), ratio]
        });
        text.push_str(&grid(header, rows));
        text.push('\n');
        notes.extend(unequal_results(label, results[0], other_results[0]));
        notes.extend(not_to_be_trusted("first", &results));
        notes.extend(not_to_be_trusted("second", other_results));
    }
    let known = by_label(&first.results);
    for (label, _) in others {
        if known.iter().all(|(other, _)| *other != label) {
            notes.push(format!("{label} is only in the second run"));
        }
    }
    for (number, note) in (1..).zip(notes) {
        text.push_str(&lines(&format!("[{number}] {note}"), anstyle::AnsiColor::Yellow, false));
    }
    text
}

fn differs(name: &str, a: impl ToString, b: impl ToString) -> Option<String> {
    let (a, b) = (a.to_string(), b.to_string());
    let shown = |value: &str| if value.is_empty() { "unknown" } else { value }.to_owned();
    (a != b).then(|| format!("{name} differs: {} and {}", shown(&a), shown(&b)))
}

fn unequal_runs(a: &Summary, b: &Summary) -> Vec<String> {
    let commit = |run: &Summary| {
        let mut text = run.commit.clone();
        if run.dirty {
            let _infallible = write!(text, " with changes");
        }
        text
    };
    let (machine, other) = (&a.machine, &b.machine);
    let workload = (a.workload != b.workload).then(|| "the workloads differ".to_owned());
    [
        workload,
        differs("commit", commit(a), commit(b)),
        differs("processor", &machine.cpu_model, &other.cpu_model),
        differs("number of processors", machine.logical_processors, other.logical_processors),
        differs("memory in bytes", machine.memory_bytes, other.memory_bytes),
        differs("kernel", &machine.kernel, &other.kernel),
        differs("compiler", &machine.rustc_version, &other.rustc_version),
        differs("governor", &machine.governor, &other.governor),
        differs("seed", a.seed, b.seed),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn unequal_results(label: &str, a: &ProtocolResult, b: &ProtocolResult) -> Vec<String> {
    [
        differs("durability", &a.durability, &b.durability),
        differs("transport", &a.transport, &b.transport),
        differs("number of replicas", a.replicas, b.replicas),
        differs("number of groups", a.groups, b.groups),
        differs("number of connections", a.connections, b.connections),
        differs("number of operations in flight", a.in_flight, b.in_flight),
    ]
    .into_iter()
    .flatten()
    .map(|note| format!("{label}: {note}"))
    .collect()
}

/// Why figures of one side must not be compared at all.
fn not_to_be_trusted(side: &str, results: &[&ProtocolResult]) -> Vec<String> {
    let mut notes = Vec::new();
    for result in results {
        let name = format!("{} #{} of the {side} run", result.label, result.repeat);
        if !result.verdict.is_pass() {
            notes.push(format!("{name}: {}", result.verdict.words()));
        }
        for gate in result.failed_gates() {
            notes.push(format!("{name} is invalid: {}: {}", gate.name, gate.detail));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{assert_narrow, summary};

    #[test]
    fn equal_runs_have_ratios_and_no_footnotes() {
        let first = summary(2, 1);
        let mut second = first.clone();
        second.results[1].overall.mean_ns *= 2.0;
        let text = render(&first, &second);
        assert_narrow(&text);
        assert!(text.contains("2.000") && text.contains("1.000"), "{text}");
        assert!(!text.contains("[1]"), "{text}");
    }

    #[test]
    fn unequal_settings_are_footnotes() {
        let first = summary(2, 1);
        let mut second = first.clone();
        second.results[0].durability = "none".to_owned();
        second.results[0].verdict = crate::summary::VerdictSummary::Unchecked;
        second.results[1].label = "raft".to_owned();
        second.machine.cpu_model = "Abacus 9".to_owned();
        second.commit = "abc".to_owned();
        let text = render(&first, &second);
        for note in [
            "commit differs: unknown and abc",
            "processor differs: unknown and Abacus 9",
            "multi_paxos_0: durability differs: group and none",
            "multi_paxos_0 #0 of the second run: not checked",
            "multi_paxos_1 is only in the first run",
            "raft is only in the second run",
        ] {
            assert!(text.contains(note), "{note}\n{text}");
        }
    }
}
