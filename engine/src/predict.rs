//! `synod predict`: what a workload will do on this machine, from the simulator, beside what it does.
//!
//! The simulator runs the workload on machines of its model, which `synod calibrate` fits to a real
//! one. What others take of the processors meanwhile is looked at before each run. Faults are left
//! out on both sides: they ask what a protocol does, not how fast it is.

mod others;

use std::path::Path;

use synod_results::summary::LatencySummary;
use synod_workloads::{Arrival, ProtocolChoice, Workload};

use crate::calibrate::{self, Calibrated, Progress};
use crate::explore::Explorer;
use crate::run::{self, Options};

pub use self::others::Others;

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
    pub(crate) const fn of(summary: &LatencySummary) -> Self {
        Self {
            ops_per_second: summary.ops_per_second,
            mean_ns: summary.mean_ns,
            p50_ns: summary.p50_ns as f64,
            p99_ns: summary.p99_ns as f64,
        }
    }

    /// The median of each.
    pub(crate) fn median(of: &[Self]) -> Option<Self> {
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
    /// The workload, with this protocol alone.
    pub workload: Workload,
    /// What others took of the processors.
    pub others: Others,
    /// What the simulator says.
    pub expected: Option<Figures>,
    /// What each run on the engine said.
    pub runs: Vec<Figures>,
    /// Whether each of those had a history that passed.
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
        let (expected, measured) = (self.expected?.all(), self.measured()?.all());
        Some(std::array::from_fn(|figure| expected[figure] / measured[figure] - 1.0))
    }

    /// Asks the simulator, with others as they were.
    fn expect(&mut self) -> Result<(), String> {
        let mut workload = steady(&self.workload);
        workload.model = self.others.beside(&workload.model);
        self.expected = Some(forecast(&workload)?);
        Ok(())
    }
}

/// For each figure the median error over some predictions, as a share; nothing if none was measured.
#[must_use]
pub fn median_errors(predictions: &[Prediction]) -> Option<[f64; 4]> {
    let offs: Vec<[f64; 4]> = predictions.iter().filter_map(Prediction::off).collect();
    let middle =
        |figure: usize| median(&offs.iter().map(|off| off[figure].abs()).collect::<Vec<_>>());
    (!offs.is_empty()).then(|| std::array::from_fn(middle))
}

/// What the simulator says of the only protocol of a workload.
///
/// # Errors
/// A sentence: why the simulated cluster came to nothing.
pub fn forecast(workload: &Workload) -> Result<Figures, String> {
    Ok(Figures::of(&run::forecast(workload, &workload.protocols[0])?))
}

/// Predicts each protocol of some workloads and runs each `repeats` times on the engine, in turns;
/// folders are made below `suites`. With no repeats nothing is run. False if it was interrupted.
///
/// # Errors
/// A sentence: what the machine or the file system refused, or why a simulated cluster came to nothing.
pub fn predict(
    workloads: &[Workload],
    repeats: u32,
    suites: &Path,
    options: &Options,
    hear: &mut dyn FnMut(&Prediction),
) -> Result<(Vec<Prediction>, bool), String> {
    if repeats == 0 {
        let others = Others::look();
        let mut predictions: Vec<Prediction> = workloads.iter().flat_map(questions).collect();
        predictions.iter_mut().for_each(|one| one.others = others);
        return Ok((expect(predictions, hear)?, true));
    }
    let mut measuring = Measuring::begin(workloads, suites, options)?;
    let mut complete = true;
    for repeat in 0..repeats {
        complete = complete && measuring.round(repeat, hear)?;
    }
    Ok((expect(measuring.end(complete)?, hear)?, complete))
}

/// The same with machines that are fitted meanwhile: the runs of a calibration and those of the workloads
/// take turns, so that a machine that changes its pace changes it for both. Nothing comes out if it was
/// interrupted.
///
/// # Errors
/// As in [`predict`].
pub fn predict_calibrated(
    workloads: &[Workload],
    repeats: u32,
    suites: &Path,
    options: &Options,
    hear: &mut dyn FnMut(&Prediction),
    hear_calibration: &mut dyn FnMut(&Progress<'_>),
) -> Result<Option<(Vec<Prediction>, Calibrated)>, String> {
    let mut fitting = calibrate::Measuring::begin(suites, options)?;
    let mut measuring = Measuring::begin(workloads, suites, options)?;
    let mut complete = true;
    for repeat in 0..repeats {
        complete = complete
            && fitting.round(repeat, hear_calibration)?
            && measuring.round(repeat, hear)?;
    }
    let mut predictions = measuring.end(complete)?;
    let Some(calibrated) = fitting.fit(options, hear_calibration)? else { return Ok(None) };
    for one in &mut predictions {
        one.workload.model = calibrated.model;
    }
    Ok(Some((expect(predictions, hear)?, calibrated)))
}

fn expect(
    mut predictions: Vec<Prediction>,
    hear: &mut dyn FnMut(&Prediction),
) -> Result<Vec<Prediction>, String> {
    for one in &mut predictions {
        one.expect()?;
        hear(one);
    }
    Ok(predictions)
}

/// A workload, protocol by protocol.
fn questions(workload: &Workload) -> Vec<Prediction> {
    let question = |protocol: &ProtocolChoice| {
        let mut workload = workload.clone();
        workload.protocols = vec![protocol.clone()];
        workload.faults.clear();
        let (others, expected, runs) = (Others::default(), None, Vec::new());
        Prediction { workload, others, expected, runs, sound: true }
    };
    workload.protocols.iter().map(question).collect()
}

/// The runs that predictions are held against, while they are made.
struct Measuring {
    explorer: Explorer,
    predictions: Vec<Prediction>,
}

impl Measuring {
    fn begin(workloads: &[Workload], suites: &Path, options: &Options) -> Result<Self, String> {
        let predictions: Vec<Prediction> = workloads.iter().flat_map(questions).collect();
        let named = ("prediction", "What was predicted, as it is.");
        let catalog = crate::registry::catalog();
        let yaml: Vec<String> =
            predictions.iter().map(|one| one.workload.to_yaml(&catalog)).collect();
        let axes = ["workload", "protocol"];
        let explorer = Explorer::begin(named, &axes, &yaml.join("---\n"), suites, options)?;
        Ok(Self { explorer, predictions })
    }

    /// Each of them once. False if it was interrupted.
    fn round(&mut self, repeat: u32, hear: &mut dyn FnMut(&Prediction)) -> Result<bool, String> {
        for one in &mut self.predictions {
            one.others.add(&Others::look());
            let values = [one.workload.name.clone(), one.workload.protocols[0].label.clone()];
            let ran = self.explorer.run(
                &values.each_ref().map(|value| &**value),
                repeat,
                one.workload.clone(),
            )?;
            let Some(summary) = ran else { return Ok(false) };
            one.runs.push(Figures::of(&summary.results[0].overall));
            one.sound &= summary.results[0].verdict.is_pass();
            hear(one);
        }
        Ok(true)
    }

    fn end(self, complete: bool) -> Result<Vec<Prediction>, String> {
        self.explorer.end(complete)?;
        Ok(self.predictions)
    }
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
