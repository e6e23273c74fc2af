//! Knees: how much load an objective bears.

use std::path::Path;
use std::process::ExitCode;

use synod::knee::{self, Knee, Question};
use synod::run::Options;
use synod_results::summary::ProtocolResult;
use synod_results::units::{count, nanoseconds, or_dash};

use super::runs::{interruption, read_workload};
use super::{exit, fail};

pub(crate) fn knee(
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
    let mut hear = |rate: &str, result: &ProtocolResult| println!("{}", ran(rate, result));
    match knee::search(&workload, &yaml, question, suites, &options, &mut hear) {
        Ok(outcome) => {
            println!();
            outcome.knees.iter().for_each(|knee| println!("{}", found(knee, question)));
            println!("\nresults: {}", outcome.folder.display());
            if outcome.complete { ExitCode::SUCCESS } else { ExitCode::from(exit::CHECK_FAILED) }
        }
        Err(error) => fail(&error, exit::ENVIRONMENT),
    }
}

fn ran(rate: &str, result: &ProtocolResult) -> String {
    let overall = &result.overall;
    format!(
        "{:<16} {rate:>10}  served {:>7}/s  p50 {:>8}  p99 {:>8}  p99.9 {:>8}  {}",
        result.label,
        count(overall.ops_per_second),
        or_dash(overall.p50(), nanoseconds),
        or_dash(overall.p99(), nanoseconds),
        or_dash(overall.p999(), nanoseconds),
        if result.is_sound() { "" } else { "NOT VALID" },
    )
}

/// What was found for one protocol, in a line.
fn found(knee: &Knee, question: &Question) -> String {
    let objective = &question.objective;
    let closed = count(knee.closed_ops_per_second);
    let beyond = knee.fails().map_or_else(
        || "nothing more was tried".to_owned(),
        |fails| format!("not at {}/s: {}", count(fails.rate), fails.why),
    );
    match knee.holds() {
        Some(holds) => {
            let figures: Vec<String> = holds.figures_ns.iter().copied().map(nanoseconds).collect();
            format!(
                "{}: {objective} holds at {}/s ({} in {} of {} runs), {beyond}; a closed loop \
                 serves {closed}/s",
                knee.label,
                count(holds.rate),
                figures.join(", "),
                holds.held,
                holds.figures_ns.len(),
            )
        }
        None => format!(
            "{}: {objective} holds at no rate, {beyond}; a closed loop serves {closed}/s",
            knee.label
        ),
    }
}
