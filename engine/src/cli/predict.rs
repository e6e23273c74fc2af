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
    match calibrate::calibrate(repeats, suites, &options, &mut say) {
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

/// How a calibration goes on.
fn say(progress: &Progress<'_>) {
    match progress {
        Progress::Ran(name, result) => println!(
            "{name:<28} {:>7}/s  mean {:>8}  {}",
            count(result.overall.ops_per_second),
            nanoseconds(result.overall.mean_ns),
            if result.is_sound() { "" } else { "a gate failed" },
        ),
        Progress::Searched(round, off) => {
            println!("search {round:>2}: the simulator is off by {:.1} %", off * 100.0);
        }
    }
}

/// What the model says of the runs that it was made from.
fn explained(calibrated: &Calibrated) -> String {
    let mut text = format!("{:<28}", "run");
    for name in Figures::NAMES {
        text.push_str(&format!(" {name:>8} {:>8} {:>6}", "measured", "off"));
    }
    text.push('\n');
    for (sample, expected) in calibrated.samples.iter().zip(&calibrated.expected) {
        text.push_str(&format!(
            "{:<28}{}\n",
            sample.name,
            beside(*expected, Some(sample.measured))
        ));
    }
    text
}

/// Each figure as it was expected and measured, and by how much it is off.
fn beside(expected: Figures, measured: Option<Figures>) -> String {
    let mut text = String::new();
    for (place, expected) in expected.all().into_iter().enumerate() {
        let measured = measured.map(|measured| measured.all()[place]);
        let off = measured.map(|measured| format!("{:+.0} %", (expected / measured - 1.0) * 100.0));
        let measured = measured.map(|measured| shown(place, measured));
        let [measured, off] = [measured, off].map(|text| text.unwrap_or_else(|| "-".to_owned()));
        text.push_str(&format!(" {:>8} {measured:>8} {off:>6}", shown(place, expected)));
    }
    text
}

pub(crate) fn predict(
    files: &[PathBuf],
    set: &[String],
    model: Option<&Path>,
    calibrate: bool,
    repeats: u32,
    suites: &Path,
) -> ExitCode {
    let workloads: Result<Vec<Workload>, ExitCode> =
        files.iter().map(|file| read_modelled(file, set, model)).collect();
    let (workloads, options) = match (workloads, options(suites)) {
        (Ok(workloads), Ok(options)) => (workloads, options),
        (Err(code), _) | (_, Err(code)) => return code,
    };
    let mut hear = |one: &Prediction| println!("{}", line(one));
    let predicted = if calibrate {
        let (hear, say) = (&mut hear, &mut say);
        match predict::predict_calibrated(&workloads, repeats, suites, &options, hear, say) {
            Ok(Some((predictions, calibrated))) => {
                println!("\n{}\n{}", explained(&calibrated), calibrated.model.to_yaml());
                Ok((predictions, true))
            }
            Ok(None) => return fail("interrupted", exit::CHECK_FAILED),
            Err(error) => Err(error),
        }
    } else {
        predict::predict(&workloads, repeats, suites, &options, &mut hear)
    };
    match predicted {
        Ok((predictions, complete)) => {
            println!("\n{}", table(&predictions));
            if complete && predictions.iter().all(|one| one.sound) {
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

/// What is newly known of a prediction: a run, and when all are over what was expected.
fn line(one: &Prediction) -> String {
    let (what, figures) = match (one.expected, one.runs.last()) {
        (None, Some(run)) => ("measured", *run),
        (Some(expected), _) => ("expected", expected),
        (None, None) => return names(one),
    };
    let all = figures.all().into_iter().enumerate();
    let shown: Vec<String> = Figures::NAMES
        .iter()
        .zip(all)
        .map(|(name, (place, value))| format!("{name} {:>8}", shown(place, value)))
        .collect();
    format!("{} {what} {}", names(one), shown.join("  "))
}

fn names(one: &Prediction) -> String {
    format!("{:<24} {:<14}", one.workload.name, one.workload.protocols[0].label)
}

/// A figure by its place among all: the first is a rate, the others are times.
fn shown(place: usize, value: f64) -> String {
    if place == 0 { count(value) } else { nanoseconds(value) }
}

/// What was expected beside what was measured, and by how much it was off.
fn table(predictions: &[Prediction]) -> String {
    let mut text = format!("{:<24} {:<14} others", "workload", "protocol");
    for name in Figures::NAMES {
        text.push_str(&format!(" {name:>8} {:>8} {:>6}", "measured", "off"));
    }
    text.push('\n');
    for one in predictions {
        let Some(expected) = one.expected else { continue };
        let others = one.others.share() * 100.0;
        let figures = beside(expected, one.measured());
        let note = if one.sound { "" } else { "  NOT VALID" };
        text.push_str(&format!("{} {others:>4.0} %{figures}{note}\n", names(one)));
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
