//! Costs are found again that the simulator itself was given: what was measured is then known, without
//! noise, and so is the answer.

use super::{Sample, expected, fitted, points, start};
use crate::predict::Figures;

/// The costs that are to be found, and how many tenths of the start the truth is.
const HIDDEN: [(&str, u64); 4] = [("send", 20), ("kib", 30), ("operation", 16), ("disk", 30)];

/// Runs that tell them apart.
const RUNS: [&str; 5] =
    ["one client", "one replica", "8 KiB values", "registers, one client", "synced, one client"];

#[test]
fn known_costs_are_found_again() {
    let start = start(2);
    let mut truth = start;
    for (key, tenths) in HIDDEN {
        let cost = truth.cost(key);
        *cost = *cost * tenths / 10;
    }
    let nothing = Figures { ops_per_second: 20_000.0, mean_ns: 0.0, p50_ns: 0.0, p99_ns: 0.0 };
    let mut samples: Vec<Sample> = points()
        .into_iter()
        .filter(|(name, _)| RUNS.contains(name))
        .map(|(name, workload)| Sample { name: name.to_owned(), workload, measured: nothing })
        .collect();
    assert_eq!(samples.len(), RUNS.len());
    // Twice: how long a run is simulated follows from what was measured.
    for _ in 0..2 {
        let measured = expected(&truth, &samples).unwrap();
        samples.iter_mut().zip(measured).for_each(|(sample, figures)| sample.measured = figures);
    }
    let keys = HIDDEN.map(|(key, _)| key);
    let mut found = fitted(&start, &keys, &samples, &mut |_, _| Ok(())).unwrap();
    for key in keys {
        let off = *found.cost(key) as f64 / *truth.cost(key) as f64 - 1.0;
        assert!(off.abs() < 0.05, "{key} is off by {off:.3}: {found:?}");
    }
    assert_eq!(found.cpu.turn_ns, start.cpu.turn_ns, "what was not asked for is left alone");
}
