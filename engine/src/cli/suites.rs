//! Suites: many runs of one workload, varied.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use synod::registry;
use synod::run::Options;
use synod::suite::{self, Progress};
use synod_results::suite_table;
use synod_results::units;
use synod_workloads::{Suite, load_suite};

use super::runs::{interruption, refuse};
use super::{exit, fail};

pub(crate) fn suite(file: &Path, dry_run: bool, fresh: bool, suites: &Path) -> ExitCode {
    let suite = match load_suite(file, &registry::catalog()) {
        Ok(suite) => suite,
        Err(diagnostics) => return refuse(&diagnostics),
    };
    if dry_run {
        print!("{}", plan(&suite));
        return ExitCode::SUCCESS;
    }
    let yaml = match std::fs::read_to_string(file) {
        Ok(yaml) => yaml,
        Err(error) => return fail(&format!("{}: {error}", file.display()), exit::BAD_INPUT),
    };
    let interrupted = match interruption() {
        Ok(interrupted) => interrupted,
        Err(code) => return code,
    };
    let options = Options {
        runs: suites.to_owned(),
        interrupted,
        progress: true,
        limits: false,
        simulated: suite.simulated,
    };
    let ran = suite::run(&suite, &yaml, suites, fresh, &options, &mut tell);
    let outcome = match ran {
        Ok(outcome) => outcome,
        Err(error) => return fail(&error, exit::ENVIRONMENT),
    };
    if !outcome.summaries.is_empty() {
        print!("\n{}", suite_table::render(&outcome.index, &outcome.summaries));
    }
    println!("\nresults: {}", outcome.folder.display());
    if !outcome.index.complete {
        println!("interrupted: the same command goes on from here");
    }
    let sound = outcome.summaries.iter().all(synod_results::summary::Summary::is_sound);
    if outcome.index.complete && sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::CHECK_FAILED)
    }
}

/// What would be run, in order.
fn plan(suite: &Suite) -> String {
    let mut text = String::new();
    for (number, (repeat, point)) in suite.order().into_iter().enumerate() {
        let point = &suite.points[point];
        let labels: Vec<&str> =
            point.workload.protocols.iter().map(|choice| choice.label.as_str()).collect();
        text.push_str(&format!(
            "{:4}  {}  repeat {}  {}\n",
            number + 1,
            labels.join(", "),
            repeat + 1,
            in_words(suite.settings(point)),
        ));
    }
    let runs = suite.points.len() * usize::try_from(suite.repeats).expect("at most a thousand");
    let time = if suite.simulated {
        "in virtual time".to_owned()
    } else {
        let each = suite::duration_ns(suite) * u64::from(suite.repeats);
        format!("about {}", minutes(each))
    };
    text.push_str(&format!("{runs} runs of {} points, {time}\n", suite.points.len()));
    text
}

fn in_words<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let words: Vec<String> = settings.map(|(path, value)| format!("{path}={value}")).collect();
    words.join("  ")
}

fn minutes(nanoseconds: u64) -> String {
    let seconds = Duration::from_nanos(nanoseconds).as_secs();
    if seconds < 90 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

fn tell(progress: &Progress<'_>) {
    match progress {
        Progress::Resumes { folder, done, total } => {
            println!("{}: goes on, {done} of {total} runs are there", folder.display());
        }
        Progress::Begins { number, total, left_ns } => {
            if io::stderr().is_terminal() {
                eprintln!("\r\x1b[2Krun {number} of {total}, {} left", minutes(*left_ns));
                eprint!("\x1b[1A");
            }
        }
        Progress::Ran { number, total, settings, summary } => {
            for result in &summary.results {
                println!(
                    "{number:4}/{total}  {:<16} {:>9} ops/s  p50 {:>8}  p99 {:>8}  {}  {}",
                    result.label,
                    units::count(result.overall.ops_per_second),
                    units::or_dash(result.overall.p50(), units::nanoseconds),
                    units::or_dash(result.overall.p99(), units::nanoseconds),
                    if result.is_sound() { "ok" } else { "NOT VALID" },
                    in_words(settings.iter().copied()),
                );
            }
        }
    }
}
