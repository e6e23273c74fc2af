//! `synod predict`: what a workload will do on this machine, from the simulator, beside what it does.
//!
//! The simulator runs the workload on machines of its model, which `synod calibrate` fits to a real
//! one. Faults are left out on both sides: they ask what a protocol does, not how fast it is.

use std::path::Path;

use synod_results::summary::LatencySummary;
use synod_workloads::{Arrival, Workload};

use crate::explore::Explorer;
use crate::run::{self, Options};

/// A load that does not change is simulated for so long at most: it would only repeat itself.
const STEADY_WARM_UP_NS: u64 = 200_000_000;
/// The measured part of that.
const STEADY_NS: u64 = 1_000_000_000;

/// Throughput and latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Operations a second.
    pub ops_per_second: f64,
    /// The mean latency, in nanoseconds.
    pub mean_ns: f64,
    /// The median latency, in nanoseconds.
    pub p50_ns: f64,
    /// What 99 of 100 operations did not exceed, in nanoseconds.
    pub p99_ns: f64,
}

impl Figures {
    /// For tables.
    pub const NAMES: [&str; 4] = ["ops/s", "mean", "p50", "p99"];

    /// All of them, in the order of their names.
    #[must_use]
    pub const fn all(&self) -> [f64; 4] {
        [self.ops_per_second, self.mean_ns, self.p50_ns, self.p99_ns]
    }

    #[expect(clippy::cast_precision_loss, reason = "latencies are below 2^53 ns")]
    const fn of(summary: &LatencySummary) -> Self {
        Self {
            ops_per_second: summary.ops_per_second,
            mean_ns: summary.mean_ns,
            p50_ns: summary.p50_ns as f64,
            p99_ns: summary.p99_ns as f64,
        }
    }

    /// The median of each.
    fn median(of: &[Self]) -> Option<Self> {
        let middle = |figure: usize| {
            median(&of.iter().map(|figures| figures.all()[figure]).collect::<Vec<_>>())
        };
        (!of.is_empty()).then(|| Self {
            ops_per_second: middle(0),
            mean_ns: middle(1),
            p50_ns: middle(2),
            p99_ns: middle(3),
        })
    }
}

/// The middle one of some values, or between the two in the middle.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// One protocol of a workload.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The workload's name.
    pub workload: String,
    /// The protocol's label.
    pub label: String,
    /// What the simulator says.
    pub expected: Figures,
    /// What each run on the engine said.
    pub runs: Vec<Figures>,
    /// Whether each of those was valid, with a history that passed.
    pub sound: bool,
}

impl Prediction {
    /// What was measured: the median of the runs.
    #[must_use]
    pub fn measured(&self) -> Option<Figures> {
        Figures::median(&self.runs)
    }

    /// By how much each figure is off, as a share of what was measured.
    #[must_use]
    pub fn off(&self) -> Option<[f64; 4]> {
        let (expected, measured) = (self.expected.all(), self.measured()?.all());
        Some(std::array::from_fn(|figure| expected[figure] / measured[figure] - 1.0))
    }
}

/// For each figure the median error over some predictions, as a share; nothing if none was measured.
#[must_use]
pub fn median_errors(predictions: &[Prediction]) -> Option<[f64; 4]> {
    let offs: Vec<[f64; 4]> = predictions.iter().filter_map(Prediction::off).collect();
    let middle = |figure: usize| median(&offs.iter().map(|off| off[figure].abs()).collect::<Vec<_>>());
    (!offs.is_empty()).then(|| std::array::from_fn(middle))
}

/// What the simulator says of each protocol of some workloads.
///
/// # Errors
/// A sentence: why a simulated cluster came to nothing.
pub fn predict(
    workloads: &[Workload],
    hear: &mut dyn FnMut(&Prediction),
) -> Result<Vec<Prediction>, String> {
    let mut predictions = Vec::new();
    for workload in workloads {
        let steady = steady(workload);
        for protocol in &workload.protocols {
            let expected = Figures::of(&run::forecast(&steady, protocol)?);
            let (workload, label) = (workload.name.clone(), protocol.label.clone());
            let one = Prediction { workload, label, expected, runs: Vec::new(), sound: true };
            hear(&one);
            predictions.push(one);
        }
    }
    Ok(predictions)
}

/// The same for no longer than a load that does not change needs.
fn steady(workload: &Workload) -> Workload {
    let mut workload = workload.clone();
    let steps = matches!(&workload.load.arrival, Arrival::Open { steps, .. } if !steps.is_empty());
    if !steps {
        let phases = &mut workload.phases;
        phases.warm_up_ns = phases.warm_up_ns.min(STEADY_WARM_UP_NS);
        phases.measure_ns = phases.measure_ns.min(STEADY_NS);
    }
    workload
}

/// Runs what was predicted on the engine, `repeats` times, in turns; folders are made below `suites`.
/// False if it was interrupted.
///
/// # Errors
/// A sentence: what the machine or the file system refused.
pub fn measure(
    workloads: &[Workload],
    predictions: &mut [Prediction],
    repeats: u32,
    suites: &Path,
    options: &Options,
    hear: &mut dyn FnMut(&Prediction),
) -> Result<bool, String> {
    let catalog = crate::registry::catalog();
    let yaml: Vec<String> = workloads.iter().map(|workload| workload.to_yaml(&catalog)).collect();
    let named = ("prediction", "What was predicted, as it is.");
    let axes = ["workload", "protocol"];
    let mut explorer = Explorer::begin(named, &axes, &yaml.join("---\n"), suites, options)?;
    for repeat in 0..repeats {
        let mut places = predictions.iter_mut();
        for workload in workloads {
            for (protocol, place) in workload.protocols.iter().zip(&mut places) {
                let mut alone = workload.clone();
                alone.protocols = vec![protocol.clone()];
                alone.faults.clear();
                let values = [workload.name.as_str(), protocol.label.as_str()];
                let Some(summary) = explorer.run(&values, repeat, alone)? else {
                    explorer.end(false)?;
                    return Ok(false);
                };
                let result = &summary.results[0];
                place.runs.push(Figures::of(&result.overall));
                place.sound &= result.verdict.is_pass();
                hear(place);
            }
        }
    }
    explorer.end(true)?;
    Ok(true)
}
