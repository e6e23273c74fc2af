//! Calibration and prediction: a model of this machine, and what it says of workloads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use synod::calibrate::{self, Calibrated, Progress};
use synod::predict::{self, Figures, Prediction, median_errors};
use synod::run::Options;
use synod_results::units::{count, nanoseconds};
use synod_workloads::Workload;

use super::runs::{interruption, read_modelled};
use super::{exit, fail};

pub(crate) fn calibrate(out: Option<&Path>, repeats: u32, suites: &Path) -> ExitCode {
    let options = match options(suites) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let mut hear = |progress: &Progress<'_>| match progress {
        Progress::Ran(name, result) => println!(
            "{name:<28} {:>7}/s  mean {:>8}  {}",
            count(result.overall.ops_per_second),
            nanoseconds(result.overall.mean_ns),
            if result.is_sound() { "" } else { "a gate failed" },
        ),
        Progress::Searched(round, off) => {
            println!("search {round:>2}: the simulator is off by {:.1} %", off * 100.0);
        }
    };
    match calibrate::calibrate(repeats, suites, &options, &mut hear) {
        Ok(Some(calibrated)) => {
            let yaml = calibrated.model.to_yaml();
            println!("\n{}\n{yaml}", explained(&calibrated));
            match out.map(|out| (out, fs::write(out, yaml))) {
                Some((out, Err(error))) => {
                    let message = format!("{} cannot be written: {error}", out.display());
                    fail(&message, exit::ENVIRONMENT)
                }
                Some((_, Ok(()))) | None => ExitCode::SUCCESS,
            }
        }
        Ok(None) => fail("interrupted", exit::CHECK_FAILED),
        Err(error) => fail(&error, exit::ENVIRONMENT),
    }
}

/// What the model says of the runs that it was made from.
fn explained(calibrated: &Calibrated) -> String {
    let mut text = format!("{:<28} {:>9} {:>9}    off\n", "run", "fitted", "measured");
    for (sample, expected) in calibrated.samples.iter().zip(&calibrated.expected) {
        let measured = sample.ops_per_second;
        text.push_str(&format!(
            "{:<28} {:>7}/s {:>7}/s {:>+4.0} %\n",
            sample.name,
            count(*expected),
            count(measured),
            (expected / measured - 1.0) * 100.0,
        ));
    }
    text
}

pub(crate) fn predict(
    files: &[PathBuf],
    set: &[String],
    model: Option<&Path>,
    repeats: u32,
    suites: &Path,
) -> ExitCode {
    let workloads: Result<Vec<Workload>, ExitCode> =
        files.iter().map(|file| read_modelled(file, set, model)).collect();
    let (workloads, options) = match (workloads, options(suites)) {
        (Ok(workloads), Ok(options)) => (workloads, options),
        (Err(code), _) | (_, Err(code)) => return code,
    };
    let tell = |what: &'static str| move |one: &Prediction| println!("{what} {}", line(one));
    let mut predictions = match predict::predict(&workloads, &mut tell("expected")) {
        Ok(predictions) => predictions,
        Err(error) => return fail(&error, exit::CHECK_FAILED),
    };
    let hear = &mut tell("measured");
    let measured =
        predict::measure(&workloads, &mut predictions, repeats, suites, &options, hear);
    match measured {
        Ok(complete) => {
            println!("\n{}", table(&predictions));
            let sound = predictions.iter().all(|one| one.sound);
            if complete && sound {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(exit::CHECK_FAILED)
            }
        }
        Err(error) => fail(&error, exit::ENVIRONMENT),
    }
}

fn options(suites: &Path) -> Result<Options, ExitCode> {
    let runs = suites.to_owned();
    let interrupted = interruption()?;
    Ok(Options { runs, interrupted, progress: true, limits: false, simulated: false })
}

/// The newest figures of a prediction.
fn line(one: &Prediction) -> String {
    let figures = one.runs.last().unwrap_or(&one.expected);
    let shown: Vec<String> = Figures::NAMES
        .iter()
        .zip(figures.all())
        .enumerate()
        .map(|(place, (name, value))| format!("{name} {:>8}", shown(place, value)))
        .collect();
    format!("{:<24} {:<14} {}", one.workload, one.label, shown.join("  "))
}

/// A figure by its place among all: the first is a rate, the others are times.
fn shown(place: usize, value: f64) -> String {
    if place == 0 { count(value) } else { nanoseconds(value) }
}

/// What was expected beside what was measured, and by how much it was off.
fn table(predictions: &[Prediction]) -> String {
    let mut text = format!("{:<24} {:<14}", "workload", "protocol");
    for name in Figures::NAMES {
        text.push_str(&format!(" {:>8} {:>8} {:>6}", name, "measured", "off"));
    }
    text.push('\n');
    for one in predictions {
        text.push_str(&format!("{:<24} {:<14}", one.workload, one.label));
        let (measured, off) = (one.measured(), one.off());
        for (place, expected) in one.expected.all().into_iter().enumerate() {
            let measured = measured.map_or("-".to_owned(), |all| shown(place, all.all()[place]));
            let off = off.map_or("-".to_owned(), |off| format!("{:+.0} %", off[place] * 100.0));
            text.push_str(&format!(" {:>8} {measured:>8} {off:>6}", shown(place, expected)));
        }
        text.push_str(if one.sound { "\n" } else { "  NOT VALID\n" });
    }
    if let Some(errors) = median_errors(predictions) {
        let shown: Vec<String> = Figures::NAMES
            .iter()
            .zip(errors)
            .map(|(name, error)| format!("{name} {:.0} %", error * 100.0))
            .collect();
        text.push_str(&format!("median error of {}: {}\n", predictions.len(), shown.join(", ")));
    }
    text
}
