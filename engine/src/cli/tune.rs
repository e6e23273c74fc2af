//! Tuning: settings for a workload, what was expected of them and what came out.

use std::path::Path;
use std::process::ExitCode;

use synod::run::Options;
use synod::tune::{self, BATCHES, Goal, Question, Setting, Trial, Tuned, WINDOWS};
use synod_results::model::{Line, Model};
use synod_results::summary::ProtocolResult;
use synod_results::units::{count, nanoseconds, or_dash};
use synod_workloads::format_duration;

use super::runs::{interruption, read_workload};
use super::{exit, fail};

/// What should become best, on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum GoalArgument {
    /// As many operations per second as the objective allows.
    Throughput,
    /// As low a latency as possible.
    Latency,
}

impl From<GoalArgument> for Goal {
    fn from(goal: GoalArgument) -> Self {
        match goal {
            GoalArgument::Throughput => Self::Throughput,
            GoalArgument::Latency => Self::Latency,
        }
    }
}

pub(crate) fn tune(
    file: &Path,
    set: &[String],
    question: &Question,
    simulated: bool,
    suites: &Path,
) -> ExitCode {
    let workload = match read_workload(file, set) {
        Ok(workload) => workload,
        Err(code) => return code,
    };
    let interrupted = match interruption() {
        Ok(interrupted) => interrupted,
        Err(code) => return code,
    };
    let yaml = workload.to_yaml(&synod::registry::catalog());
    let options =
        Options { runs: suites.to_owned(), interrupted, progress: true, limits: false, simulated };
    let mut hear = |setting: Setting, result: &ProtocolResult| {
        println!("{}", ran(setting, result));
    };
    match tune::search(&workload, &yaml, question, suites, &options, &mut hear) {
        Ok(outcome) => {
            outcome.tuned.iter().for_each(|tuned| println!("\n{}", found(tuned, question)));
            println!("results: {}", outcome.folder.display());
            let all = outcome.complete && outcome.tuned.iter().all(|tuned| tuned.best.is_some());
            if all { ExitCode::SUCCESS } else { ExitCode::from(exit::CHECK_FAILED) }
        }
        Err(error) => fail(&error, exit::ENVIRONMENT),
    }
}

fn ran(setting: Setting, result: &ProtocolResult) -> String {
    let overall = &result.overall;
    format!(
        "{:<16} batch {:>4}  window {:>2}  linger {:>5}  {:>7}/s  p50 {:>8}  p99 {:>8}  {}",
        result.label,
        setting.batch,
        setting.window,
        format_duration(setting.linger_ns),
        count(overall.ops_per_second),
        or_dash(overall.p50(), nanoseconds),
        or_dash(overall.p99(), nanoseconds),
        if result.is_sound() { "" } else { "NOT VALID" },
    )
}

/// Everything that was found for one protocol.
fn found(tuned: &Tuned, question: &Question) -> String {
    let mut text = format!("{}\n", tuned.label);
    match &tuned.model {
        Some(model) => {
            text.push_str(&format!("  T1  = {}\n", line(&model.alone)));
            text.push_str(&format!("  phi = {}\n", line(&model.busy)));
            text.push_str(&format!("{}{}", compared(tuned, model), surface(tuned, model)));
        }
        None => text.push_str("  the calibration does not tell the costs apart\n"),
    }
    if tuned.hopeless > 0 {
        text.push_str(&format!("  left out, without hope: {}\n", tuned.hopeless));
    }
    let objective = &question.objective;
    match tuned.best.map(|best| &tuned.trials[best]) {
        Some(best) => {
            text.push_str(&format!(
                "  best: {}/s with {} of {}, median of {}\n\n{}",
                count(best.median_ops()),
                objective.name(),
                nanoseconds(best.median_ns()),
                best.figures_ns.len(),
                yaml(best.setting),
            ));
        }
        None => text.push_str(&format!("  no settings were found with {objective}\n")),
    }
    text
}

fn line(line: &Line) -> String {
    let (instance, request) = (nanoseconds(line.instance_ns), nanoseconds(line.request_ns));
    format!("{instance} for an instance and {request} for each of its requests")
}

/// What the model expected beside what was measured.
fn compared(tuned: &Tuned, model: &Model) -> String {
    let mut text = String::from("  batch window   expected   measured    off\n");
    let mut offs = Vec::new();
    for trial in tuned.trials.iter().filter(|trial| trial.setting.linger_ns == 0) {
        let Setting { batch, window, .. } = trial.setting;
        let expected = model.ops_per_second(batch, window);
        let off = (expected - trial.median_ops()) / trial.median_ops() * 100.0;
        offs.push(off.abs());
        text.push_str(&format!(
            "  {batch:>5} {window:>6} {:>8}/s {:>8}/s {off:>+5.0} %\n",
            count(expected),
            count(trial.median_ops()),
        ));
    }
    offs.sort_by(f64::total_cmp);
    if let Some(median) = offs.get(offs.len() / 2) {
        text.push_str(&format!("  the prediction is off by {median:.0} % in the median\n"));
    }
    text
}

/// Throughput over batch and window: measured, or what the model expects, in brackets.
fn surface(tuned: &Tuned, model: &Model) -> String {
    const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let measured = |batch, window| {
        let at = |trial: &&Trial| trial.setting == Setting { batch, window, linger_ns: 0 };
        tuned.trials.iter().find(at).map(Trial::median_ops)
    };
    let cells = BATCHES.map(|batch| {
        WINDOWS.map(|window| match measured(batch, window) {
            Some(ops) => (ops, count(ops)),
            None => {
                let ops = model.ops_per_second(batch, window);
                (ops, format!("[{}]", count(ops)))
            }
        })
    });
    let most = cells.iter().flatten().map(|(ops, _)| *ops).fold(0.0, f64::max);
    let mut text = String::from("\n  batch \\ window");
    for window in WINDOWS {
        text.push_str(&format!("{window:>10}"));
    }
    text.push('\n');
    for (batch, row) in BATCHES.iter().zip(&cells) {
        text.push_str(&format!("  {batch:>14}"));
        for (ops, cell) in row {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share from 0 to 1"
            )]
            let shade = SHADES[(ops / most * 4.999) as usize];
            text.push_str(&format!("{cell:>9}{shade}"));
        }
        text.push('\n');
    }
    text.push_str("  in brackets: expected, not measured\n\n");
    text
}

/// The settings, ready to paste.
fn yaml(setting: Setting) -> String {
    format!(
        "cluster:\n  batch: {{ max_ops: {}, linger: {} }}\n  window: {}\n\n",
        setting.batch,
        format_duration(setting.linger_ns),
        setting.window
    )
}
