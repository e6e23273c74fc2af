//! `synod tune`: batch size, window and linger for a workload.
//!
//! A few runs that saturate the system calibrate the model of [`synod_results::model`]. It says where
//! the best batch and window should be; from there the search goes to the neighbors, as long as one
//! is better, and leaves out what the model gives no hope. The best few are run again, with some
//! lingers too, and the medians decide.

use std::path::{Path, PathBuf};

use synod_results::model::{Model, Sample};
use synod_results::objective::Objective;
use synod_results::summary::ProtocolResult;
use synod_workloads::{Arrival, ProtocolChoice, Workload, format_duration};

use crate::explore::Explorer;
use crate::predict::median;
use crate::run::Options;

/// Batch sizes that are considered.
pub const BATCHES: [u32; 6] = [1, 4, 16, 64, 256, 1024];
/// Windows that are considered.
pub const WINDOWS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Lingers that are tried with the best batch and window.
const LINGERS_NS: [u64; 3] = [0, 20_000, 200_000];

/// Batches and windows of the calibration: indices of [`BATCHES`] and [`WINDOWS`].
const CALIBRATION: [(usize, usize); 6] = [(0, 0), (3, 0), (0, 5), (3, 3), (2, 2), (5, 1)];

/// A point is left out whose prediction is less than so much of the best measurement.
const HOPE: f64 = 0.7;

/// The smallest point whose prediction is at least so much of the best is where the search begins.
const NEARLY: f64 = 0.98;

/// Points that are measured besides the calibration at most.
const POINTS_MAX: usize = 14;

/// The best points that are run again.
const FINALISTS: usize = 2;

/// What should become best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// As many operations per second as the objective allows.
    Throughput,
    /// As low a figure as possible of the one that the objective bounds.
    Latency,
}

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// What must hold.
    pub objective: Objective,
    /// What should become best.
    pub goal: Goal,
    /// Runs of the best points.
    pub repeats: u32,
}

/// Settings that may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Operations in a batch at most.
    pub batch: u32,
    /// Slots in flight at most.
    pub window: u32,
    /// How long a batch waits for company.
    pub linger_ns: u64,
}

/// Settings that were tried, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The settings.
    pub setting: Setting,
    /// For each run the operations per second.
    pub ops_per_second: Vec<f64>,
    /// For each run what the objective bounds, in nanoseconds.
    pub figures_ns: Vec<f64>,
    /// Whether every run was valid, with a history that passed.
    pub sound: bool,
}

impl Trial {
    /// The median throughput.
    #[must_use]
    pub fn median_ops(&self) -> f64 {
        median(&self.ops_per_second)
    }

    /// The median of what the objective bounds, in nanoseconds.
    #[must_use]
    pub fn median_ns(&self) -> f64 {
        median(&self.figures_ns)
    }
}

/// What was found for one protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The protocol's label.
    pub label: String,
    /// The costs that the calibration shows, if it does.
    pub model: Option<Model>,
    /// Everything that was measured with the workload's own load, but for the calibration.
    pub trials: Vec<Trial>,
    /// The runs of the calibration: saturated by a closed loop.
    pub samples: Vec<Sample>,
    /// Points that were left out because the model gave no hope.
    pub hopeless: usize,
    /// The best settings that hold the objective: an index of `trials`.
    pub best: Option<usize>,
}

/// What was found, and where all of it is kept.
#[derive(Debug)]
pub struct Outcome {
    /// For each protocol of the workload that was searched to the end.
    pub tuned: Vec<Tuned>,
    /// The folder, as that of a suite.
    pub folder: PathBuf,
    /// False if the search was interrupted.
    pub complete: bool,
}

/// The paths of what is searched, as they stand in workloads.
const AXES: [&str; 4] =
    ["protocol", "cluster.batch.max_ops", "cluster.window", "cluster.batch.linger"];

/// Searches for each protocol of a workload; folders are made below `suites`.
///
/// # Errors
/// A sentence: what the machine or the file system refused.
pub fn search(
    workload: &Workload,
    yaml: &str,
    question: &Question,
    suites: &Path,
    options: &Options,
    hear: &mut dyn FnMut(Setting, &ProtocolResult),
) -> Result<Outcome, String> {
    let name = format!("{}-tune", workload.name);
    let description = format!("Batch and window for {}.", workload.name);
    let mut explorer = Explorer::begin((&name, &description), &AXES, yaml, suites, options)?;
    let mut tuned = Vec::new();
    for protocol in &workload.protocols {
        let (explorer, hear) = (&mut explorer, &mut *hear);
        let mut one = One { workload, protocol, question, explorer, hear, trials: Vec::new() };
        match one.search()? {
            Some(found) => tuned.push(found),
            None => break,
        }
    }
    let complete = tuned.len() == workload.protocols.len();
    let folder = explorer.end(complete)?;
    Ok(Outcome { tuned, folder: folder.path().to_owned(), complete })
}

/// The search for one protocol.
struct One<'a> {
    workload: &'a Workload,
    protocol: &'a ProtocolChoice,
    question: &'a Question,
    explorer: &'a mut Explorer,
    hear: &'a mut dyn FnMut(Setting, &ProtocolResult),
    trials: Vec<Trial>,
}

/// A place on the grid of [`BATCHES`] and [`WINDOWS`].
type Place = (usize, usize);

const fn setting_at((batch, window): Place) -> Setting {
    Setting { batch: BATCHES[batch], window: WINDOWS[window], linger_ns: 0 }
}

impl One<'_> {
    /// Nothing if it was interrupted.
    fn search(&mut self) -> Result<Option<Tuned>, String> {
        let Some(samples) = self.calibrate()? else { return Ok(None) };
        let model = Model::fit(&samples, self.workload.load.clients);
        let Some(hopeless) = self.climb(model.as_ref(), start(model.as_ref()))? else {
            return Ok(None);
        };
        if !self.linger()? || !self.confirm()? {
            return Ok(None);
        }
        let best = self.ranked().first().copied();
        let best = best.filter(|&best| self.score(&self.trials[best]) > 0.0);
        let trials = std::mem::take(&mut self.trials);
        let label = self.protocol.label.clone();
        Ok(Some(Tuned { label, model, trials, samples, hopeless, best }))
    }

    fn calibrate(&mut self) -> Result<Option<Vec<Sample>>, String> {
        let mut samples = Vec::new();
        for place in CALIBRATION {
            let setting = setting_at(place);
            let mut workload = self.with(setting);
            workload.load.arrival = Arrival::Closed { outstanding: 1, think_ns: 0 };
            // The same point under the own load is another run of it.
            let Some(result) = self.run(setting, u32::MAX, workload)? else { return Ok(None) };
            let (batch, window) = (setting.batch, setting.window);
            let ops_per_second = result.overall.ops_per_second;
            samples.push(Sample { batch, window, ops_per_second });
        }
        Ok(Some(samples))
    }

    /// Goes uphill from a place, to neighbors that there is hope for. Returns how many were left out.
    fn climb(&mut self, model: Option<&Model>, start: Place) -> Result<Option<usize>, String> {
        let mut open = vec![start];
        let mut seen = vec![start];
        let (mut best, mut best_ops, mut hopeless) = (0.0, 0.0_f64, 0);
        while !open.is_empty() && self.trials.len() < POINTS_MAX {
            let place = open.remove(0);
            let setting = setting_at(place);
            let predicted = model.map(|model| model.ops_per_second(setting.batch, setting.window));
            if predicted.is_some_and(|predicted| predicted < HOPE * best_ops) {
                hopeless += 1;
                continue;
            }
            let Some(trial) = self.measure(setting)? else { return Ok(None) };
            let score = self.score(&self.trials[trial]);
            best_ops = best_ops.max(self.trials[trial].median_ops());
            if score > best || self.trials.len() == 1 {
                best = score;
                open = neighbors(place).filter(|place| !seen.contains(place)).collect();
                seen.extend(&open);
            }
        }
        Ok(Some(hopeless))
    }

    /// Tries to wait for company at the best place; false if it was interrupted.
    fn linger(&mut self) -> Result<bool, String> {
        let Some(&best) = self.ranked().first() else { return Ok(true) };
        let setting = self.trials[best].setting;
        for linger_ns in LINGERS_NS.into_iter().filter(|&linger_ns| linger_ns > 0) {
            if self.measure(Setting { linger_ns, ..setting })?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs the best settings as often as was asked; false if it was interrupted.
    fn confirm(&mut self) -> Result<bool, String> {
        let finalists: Vec<Setting> =
            self.ranked().iter().take(FINALISTS).map(|&trial| self.trials[trial].setting).collect();
        for _ in 1..self.question.repeats {
            for &setting in &finalists {
                if self.measure(setting)?.is_none() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Runs a setting once more, and returns which trial it is.
    fn measure(&mut self, setting: Setting) -> Result<Option<usize>, String> {
        let at = self.trials.iter().position(|trial| trial.setting == setting);
        let at = at.unwrap_or_else(|| {
            let (ops_per_second, figures_ns) = (Vec::new(), Vec::new());
            self.trials.push(Trial { setting, ops_per_second, figures_ns, sound: true });
            self.trials.len() - 1
        });
        let repeat = u32::try_from(self.trials[at].figures_ns.len()).expect("a few");
        let Some(result) = self.run(setting, repeat, self.with(setting))? else { return Ok(None) };
        let trial = &mut self.trials[at];
        trial.ops_per_second.push(result.overall.ops_per_second);
        trial.figures_ns.push(self.question.objective.figure_or_worst_ns(&result.overall));
        trial.sound &= result.is_sound();
        Ok(Some(at))
    }

    /// The trials, the best one first; those run more often are no better for it.
    fn ranked(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.trials.len()).collect();
        let score = |trial: usize| self.score(&self.trials[trial]);
        order.sort_by(|&one, &other| score(other).total_cmp(&score(one)));
        order
    }

    /// The more the better; nothing if the objective does not hold or a run is not valid.
    fn score(&self, trial: &Trial) -> f64 {
        if !trial.sound || !self.question.objective.allows(trial.median_ns()) {
            return 0.0;
        }
        match self.question.goal {
            Goal::Throughput => trial.median_ops(),
            Goal::Latency => 1.0 / trial.median_ns(),
        }
    }

    fn with(&self, setting: Setting) -> Workload {
        let mut workload = self.workload.clone();
        workload.protocols = vec![self.protocol.clone()];
        workload.cluster.batch.max_ops = setting.batch;
        workload.cluster.batch.linger_ns = setting.linger_ns;
        workload.cluster.window = setting.window;
        workload
    }

    fn run(
        &mut self,
        setting: Setting,
        repeat: u32,
        workload: Workload,
    ) -> Result<Option<ProtocolResult>, String> {
        let (batch, window) = (setting.batch.to_string(), setting.window.to_string());
        let linger = format_duration(setting.linger_ns);
        let calibrates = repeat == u32::MAX;
        let label = &self.protocol.label;
        let label = if calibrates { format!("{label}, calibration") } else { label.clone() };
        let repeat = if calibrates { 0 } else { repeat };
        let values = [label.as_str(), &batch, &window, &linger];
        let Some(summary) = self.explorer.run(&values, repeat, workload)? else { return Ok(None) };
        let result = summary.results.into_iter().next().expect("one protocol was run");
        (self.hear)(setting, &result);
        Ok(Some(result))
    }
}

/// Where the search begins: the smallest window and batch that the model expects nearly the best of.
fn start(model: Option<&Model>) -> Place {
    let places = (0..WINDOWS.len()).flat_map(|w| (0..BATCHES.len()).map(move |b| (b, w)));
    let Some(model) = model else { return (3, 3) };
    let expected = |&(batch, window): &Place| model.ops_per_second(BATCHES[batch], WINDOWS[window]);
    let most = places.clone().map(|place| expected(&place)).fold(0.0, f64::max);
    places.into_iter().find(|place| expected(place) >= NEARLY * most).unwrap_or((3, 3))
}

/// The places beside a place.
fn neighbors((batch, window): Place) -> impl Iterator<Item = Place> {
    let batches = [batch.checked_sub(1), Some(batch + 1)].into_iter().flatten();
    let windows = [window.checked_sub(1), Some(window + 1)].into_iter().flatten();
    let beside = batches.map(move |batch| (batch, window));
    let above = windows.map(move |window| (batch, window));
    beside.chain(above).filter(|&(batch, window)| batch < BATCHES.len() && window < WINDOWS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_on_the_grid() {
        assert_eq!(neighbors((0, 0)).collect::<Vec<_>>(), [(1, 0), (0, 1)]);
        let corner = (BATCHES.len() - 1, WINDOWS.len() - 1);
        assert_eq!(neighbors(corner).count(), 2);
        assert_eq!(neighbors((2, 2)).count(), 4);
    }

    #[test]
    fn the_search_begins_where_more_would_gain_nothing() {
        let line = |instance_ns, request_ns| synod_results::model::Line { instance_ns, request_ns };
        let alone = line(120_000.0, 2_000.0);
        let busy = line(20_000.0, 2_000.0);
        let model = Model { alone, busy, away_ns: 100_000.0, clients: 4096.0 };
        let (batch, window) = start(Some(&model));
        assert_eq!((BATCHES[batch], WINDOWS[window]), (1024, 2));
    }
}
