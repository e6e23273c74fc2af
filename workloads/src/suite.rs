//! A suite: one workload, varied. Each combination of what varies is a point, and each point is
//! a workload that was checked like any other.
//!
//! ```yaml
//! name: batch-window
//! workload: ../speed/in_memory.yaml # from the folder of the suite
//! repeats: 3
//! set: { load.clients: 512 } # for all points
//! vary:
//!   cluster.window: [1, 2, 4]
//!   cluster.batch.max_ops: { from: 1, to: 256, factor: 4 }
//! skip:
//!   - { cluster.window: 1, cluster.batch.max_ops: 1 }
//! ```
//!
//! What belongs together varies together in `cases`: each has a name and settings of its own.

mod axis;
mod read;

use std::path::{Path, PathBuf};

use crate::catalog::Catalog;
use crate::diagnostics::{Diagnostics, Place, Report};
use crate::spec::Workload;
use crate::{load, load_file, read_text};

/// Points of a suite at most.
pub const POINTS_MAX: usize = 10_000;

/// The name of the axis that `cases` make.
const CASE: &str = "case";

/// One workload, varied.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// The name of the suite's folder; the name of the file unless the file says otherwise.
    pub name: String,
    /// What question the suite answers, for people.
    pub description: String,
    /// The workload that is varied.
    pub workload: PathBuf,
    /// What varies, in the order of the file: the last one first.
    pub axes: Vec<Axis>,
    /// Every combination that is not skipped; at least one.
    pub points: Vec<Point>,
    /// How often each point is run.
    pub repeats: u32,
    /// Whether it runs in virtual time.
    pub simulated: bool,
}

/// One thing that varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The path of a key of workloads, or `case`.
    pub path: String,
    /// Its values as one would write them, in order.
    pub values: Vec<String>,
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// For each axis the index of its value.
    pub at: Vec<usize>,
    /// What is run.
    pub workload: Workload,
}

/// A key of the workload and the value that the suite gives it.
#[derive(Clone, Debug)]
struct Setting {
    path: String,
    /// YAML in one line.
    value: String,
    place: Place,
}

impl Setting {
    fn as_override(&self) -> String {
        format!("{}={}", self.path, self.value)
    }
}

/// One value of an axis: what it is called, and what it sets.
#[derive(Clone, Debug)]
struct Choice {
    name: String,
    settings: Vec<Setting>,
}

/// A suite as it was read, before its points are made.
#[derive(Debug)]
struct Draft {
    name: String,
    description: String,
    workload: PathBuf,
    repeats: u32,
    simulated: bool,
    fixed: Vec<Setting>,
    axes: Vec<(String, Vec<Choice>)>,
    /// Points with one of these names on every axis named are left out.
    skip: Vec<Vec<(usize, Vec<usize>)>>,
}

/// Reads the suite in the file at `path`.
///
/// # Errors
///
/// Every fault that was found in it, and with its settings in the workload that it varies.
pub fn load_suite(path: &Path, catalog: &Catalog) -> Result<Suite, Diagnostics> {
    let text = read_text(path).map_err(|(report, text)| report.finish(path, &text))?;
    let mut report = Report::new(&[]);
    let draft = read::read(path, &text, &mut report);
    let Some(draft) = draft.filter(|_| report.is_empty()) else {
        return Err(report.finish(path, &text));
    };
    // The faults of the workload itself are told where they stand, before anything is varied.
    load_file(&draft.workload, catalog, &[])?;
    let workload_text =
        read_text(&draft.workload).map_err(|(report, text)| report.finish(path, &text))?;
    let points = draft.points(&workload_text, catalog, &mut report);
    if points.is_empty() && report.is_empty() {
        let rule = "a suite has at least one point";
        report.add(Place::WHOLE, "skip", "every point is skipped", rule, "skip less");
    }
    if !report.is_empty() {
        return Err(report.finish(path, &text));
    }
    Ok(draft.into_suite(points))
}

impl Draft {
    fn points(&self, text: &str, catalog: &Catalog, report: &mut Report) -> Vec<Point> {
        let lengths: Vec<usize> = self.axes.iter().map(|(_, choices)| choices.len()).collect();
        let mut points = Vec::new();
        for at in combinations(&lengths) {
            if self.skips(&at) {
                continue;
            }
            let chosen = self
                .axes
                .iter()
                .zip(&at)
                .flat_map(|((_, choices), &at)| choices[at].settings.iter());
            let settings: Vec<&Setting> = self.fixed.iter().chain(chosen).collect();
            let overrides: Vec<String> =
                settings.iter().map(|setting| setting.as_override()).collect();
            match load(&self.workload, text, catalog, &overrides) {
                Ok(workload) => points.push(Point { at, workload }),
                Err(faults) => faults.blame(report, |said| {
                    settings.iter().find(|one| one.as_override() == said).map(|one| one.place)
                }),
            }
        }
        points
    }

    fn skips(&self, at: &[usize]) -> bool {
        let among = |(axis, values): &(usize, Vec<usize>)| values.contains(&at[*axis]);
        self.skip.iter().any(|all| all.iter().all(among))
    }

    fn into_suite(self, points: Vec<Point>) -> Suite {
        let axes = self.axes.into_iter().map(|(path, choices)| Axis {
            path,
            values: choices.into_iter().map(|choice| choice.name).collect(),
        });
        Suite {
            name: self.name,
            description: self.description,
            workload: self.workload,
            axes: axes.collect(),
            points,
            repeats: self.repeats,
            simulated: self.simulated,
        }
    }
}

/// Every combination of indices below `lengths`; the last one varies first.
fn combinations(lengths: &[usize]) -> Vec<Vec<usize>> {
    lengths.iter().fold(vec![Vec::new()], |shorter, &length| {
        shorter
            .into_iter()
            .flat_map(|head: Vec<usize>| (0..length).map(move |last| [&head[..], &[last]].concat()))
            .collect()
    })
}

impl Suite {
    /// The values of a point, each with the path of its axis.
    pub fn settings<'a>(&'a self, point: &'a Point) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.axes.iter().zip(&point.at);
        pairs.map(|(axis, &at)| (axis.path.as_str(), axis.values[at].as_str()))
    }

    /// In which order the points are run: each repeat goes the other way, so that what drifts
    /// with time falls on all points alike. Pairs of a repeat and the index of a point.
    #[must_use]
    pub fn order(&self) -> Vec<(u32, usize)> {
        let points = self.points.len();
        let repeats = 0..self.repeats;
        repeats
            .flat_map(|repeat| {
                (0..points).map(move |point| {
                    (repeat, if repeat % 2 == 0 { point } else { points - 1 - point })
                })
            })
            .collect()
    }
}
