//! `synod knee`: the highest offered load at which an objective of latency holds.
//!
//! A closed loop says what the system can do at most. Below that the rate of an open loop is halved
//! (in its logarithm) until what holds and what does not are as near as was asked. Each rate is run
//! until most of its repeats agree. A rate holds if the objective does, the load that was offered
//! was served, the history passed and no gate failed.

use std::path::{Path, PathBuf};

use synod_results::objective::Objective;
use synod_results::suite::SuiteFolder;
use synod_results::summary::{ProtocolResult, Summary};
use synod_workloads::{Arrival, ProtocolChoice, Spacing, Workload, format_rate};

use crate::explore::Explorer;
use crate::run::Options;

/// Of the offered load so much must be served.
const SERVED_SHARE: f64 = 0.98;

/// The least rate that is tried, of what the closed loop served.
const LEAST_SHARE: f64 = 1.0 / 128.0;

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// What must hold.
    pub objective: Objective,
    /// Runs of each rate at most; the majority decides.
    pub repeats: u32,
    /// How near to each other the highest rate that holds and the lowest that does not must be, as
    /// a share.
    pub precision: f64,
}

/// A rate that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// Operations per second that were offered.
    pub rate: f64,
    /// For each run what the objective bounds, in nanoseconds.
    pub figures_ns: Vec<f64>,
    /// Runs in which everything held.
    pub held: u32,
    /// Why it did not, of the last run in which it did not.
    pub why: String,
}

impl Tried {
    /// Whether it held in most runs.
    #[must_use]
    pub fn holds(&self) -> bool {
        usize::try_from(self.held).is_ok_and(|held| held * 2 > self.figures_ns.len())
    }
}

/// What was found for one protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Knee {
    /// The protocol's label.
    pub label: String,
    /// What a closed loop served.
    pub closed_ops_per_second: f64,
    /// Every rate that was tried, in order of the rate.
    pub tried: Vec<Tried>,
}

impl Knee {
    /// The highest rate that held, below which none failed.
    #[must_use]
    pub fn holds(&self) -> Option<&Tried> {
        self.tried.iter().take_while(|tried| tried.holds()).last()
    }

    /// The lowest rate that did not hold.
    #[must_use]
    pub fn fails(&self) -> Option<&Tried> {
        self.tried.iter().find(|tried| !tried.holds())
    }
}

/// What was found, and where all of it is kept.
#[derive(Debug)]
pub struct Outcome {
    /// For each protocol of the workload that was searched to the end.
    pub knees: Vec<Knee>,
    /// The folder, as that of a suite over protocols and rates.
    pub folder: PathBuf,
    /// False if the search was interrupted.
    pub complete: bool,
}

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
    hear: &mut dyn FnMut(&str, &ProtocolResult),
) -> Result<Outcome, String> {
    let name = format!("{}-knee", workload.name);
    let description =
        format!("The highest load of {} at which {} holds.", workload.name, question.objective);
    let axes = ["protocol", "load.arrival"];
    let mut explorer = Explorer::begin((&name, &description), &axes, yaml, suites, options)?;
    let mut knees = Vec::new();
    for protocol in &workload.protocols {
        let mut one = One { workload, protocol, question, explorer: &mut explorer, hear };
        match one.search()? {
            Some(knee) => knees.push(knee),
            None => break,
        }
    }
    let complete = knees.len() == workload.protocols.len();
    let folder: SuiteFolder = explorer.end(complete)?;
    Ok(Outcome { knees, folder: folder.path().to_owned(), complete })
}

/// The search for one protocol.
struct One<'a> {
    workload: &'a Workload,
    protocol: &'a ProtocolChoice,
    question: &'a Question,
    explorer: &'a mut Explorer,
    hear: &'a mut dyn FnMut(&str, &ProtocolResult),
}

impl One<'_> {
    /// Nothing if it was interrupted.
    fn search(&mut self) -> Result<Option<Knee>, String> {
        let closed = Arrival::Closed { outstanding: 1, think_ns: 0 };
        let Some(summary) = self.run("closed", closed, 0)? else { return Ok(None) };
        let closed_ops_per_second = summary.results[0].overall.ops_per_second;
        let mut knee =
            Knee { label: self.protocol.label.clone(), closed_ops_per_second, tried: Vec::new() };
        let (mut low, mut high) = (closed_ops_per_second * LEAST_SHARE, closed_ops_per_second);
        // A system that holds at what the closed loop served may hold at more.
        let mut bounded = false;
        while !bounded || high > low * (1.0 + self.question.precision) {
            let rate = rounded(if bounded { (low * high).sqrt() } else { high });
            let Some(tried) = self.rate(rate)? else { return Ok(None) };
            match (tried.holds(), bounded) {
                (true, true) => low = rate,
                (true, false) => (low, high) = (rate, rate * 1.5),
                (false, _) => (high, bounded) = (rate, true),
            }
            knee.tried.push(tried);
            if high <= closed_ops_per_second * LEAST_SHARE * (1.0 + self.question.precision) {
                break;
            }
        }
        knee.tried.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        Ok(Some(knee))
    }

    /// Runs one rate until most repeats agree.
    fn rate(&mut self, rate: f64) -> Result<Option<Tried>, String> {
        let spacing = match &self.workload.load.arrival {
            Arrival::Open { spacing, .. } => *spacing,
            Arrival::Closed { .. } => Spacing::Poisson,
        };
        let mut tried = Tried { rate, figures_ns: Vec::new(), held: 0, why: String::new() };
        for repeat in 0..self.question.repeats {
            let arrival = Arrival::Open { rate_per_second: rate, spacing, steps: Vec::new() };
            let Some(summary) = self.run(&format_rate(rate), arrival, repeat)? else {
                return Ok(None);
            };
            let result = &summary.results[0];
            tried.figures_ns.push(self.question.objective.figure_or_worst_ns(&result.overall));
            match fault(result, rate, &self.question.objective) {
                None => tried.held += 1,
                Some(why) => tried.why = why,
            }
            let failed = repeat + 1 - tried.held;
            if tried.held.max(failed) * 2 > self.question.repeats {
                break;
            }
        }
        Ok(Some(tried))
    }

    fn run(
        &mut self,
        name: &str,
        arrival: Arrival,
        repeat: u32,
    ) -> Result<Option<Summary>, String> {
        let mut workload = self.workload.clone();
        workload.protocols = vec![self.protocol.clone()];
        workload.load.arrival = arrival;
        let summary = self.explorer.run(&[&self.protocol.label, name], repeat, workload)?;
        if let Some(summary) = &summary {
            (self.hear)(name, &summary.results[0]);
        }
        Ok(summary)
    }
}

/// Why a run does not count as one in which the objective held.
fn fault(result: &ProtocolResult, rate: f64, objective: &Objective) -> Option<String> {
    let overall = &result.overall;
    if !result.verdict.is_pass() {
        return Some(result.verdict.words());
    }
    if !objective.holds(overall) {
        let name = objective.name();
        return Some(match objective.figure_ns(overall) {
            Some(found) => format!("{name} was {}", synod_results::units::nanoseconds(found)),
            None => format!("{} operations are too few to know {name}", overall.count),
        });
    }
    if overall.ops_per_second < rate * SERVED_SHARE {
        let share = overall.ops_per_second / rate * 100.0;
        return Some(format!("only {share:.0} % of the load was served"));
    }
    result.failed_gates().next().map(|gate| format!("not valid: {}: {}", gate.name, gate.detail))
}

/// Three digits are enough, and read well.
fn rounded(rate: f64) -> f64 {
    let scale = 10_f64.powf(rate.log10().floor() - 2.0);
    ((rate / scale).round() * scale).round().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_below_every_failure() {
        let tried = |rate, held, runs| Tried {
            rate,
            figures_ns: vec![0.0; runs],
            held,
            why: String::new(),
        };
        let knee = Knee {
            label: "abd".to_owned(),
            closed_ops_per_second: 0.0,
            tried: vec![tried(1.0, 2, 2), tried(2.0, 2, 3), tried(3.0, 1, 3), tried(4.0, 2, 2)],
        };
        assert_eq!(knee.holds().map(|tried| tried.rate), Some(2.0));
        assert_eq!(knee.fails().map(|tried| tried.rate), Some(3.0));
    }

    #[test]
    fn rates_have_three_digits() {
        assert_eq!(rounded(123_456.0), 123_000.0);
        assert_eq!(rounded(99_949.9), 99_900.0);
        assert_eq!(rounded(0.2), 1.0);
    }
}
