//! `synod suite`: a workload, varied, each point run as often as was asked.
//!
//! Repeats go through the points forth and back and turn the order of the protocols round, so that
//! what drifts with time falls on all of them alike. After each run the index of the suite is written anew; the
//! same suite goes on from there when it was interrupted.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use synod_results::run_folder::{FolderError, RunFolder};
use synod_results::suite::{
    SUITE_SCHEMA_VERSION, Suite as Index, SuiteAxis, SuiteFolder, SuitePoint, SuiteRun,
};
use synod_results::summary::Summary;
use synod_workloads::{Suite, Workload};

use crate::explore::run_point;
use crate::registry;
use crate::run::{self, Options};

/// What is measured besides the phases of a run, about: starting, writing keys, checking.
const OVERHEAD_NS: u64 = 2_000_000_000;

/// What a caller hears while a suite runs.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// The suite was interrupted before, and goes on in this folder.
    Resumes {
        /// Its folder.
        folder: &'a Path,
        /// Runs that are there.
        done: usize,
        /// Runs in all.
        total: usize,
    },
    /// A run begins; the share of the time that is behind it.
    Begins {
        /// Which run, from 1.
        number: usize,
        /// Runs in all.
        total: usize,
        /// Nanoseconds of load that are left, with this run, about.
        left_ns: u64,
    },
    /// A run is over.
    Ran {
        /// Which run, from 1.
        number: usize,
        /// Runs in all.
        total: usize,
        /// The values of its point, each with the path of its axis.
        settings: Vec<(&'a str, &'a str)>,
        /// What came out.
        summary: &'a Summary,
    },
}

/// A suite that was run, or as much of it as was run before it was interrupted.
#[derive(Debug)]
pub struct Outcome {
    /// What is where.
    pub index: Index,
    /// The folder of the suite.
    pub folder: PathBuf,
    /// For each entry of the index's runs what came out.
    pub summaries: Vec<Summary>,
}

/// How long the points of a suite take at least, in nanoseconds, each once.
#[must_use]
pub fn duration_ns(suite: &Suite) -> u64 {
    suite.points.iter().map(|point| run_ns(&point.workload)).sum()
}

fn run_ns(workload: &Workload) -> u64 {
    let protocols = workload.protocols.len() as u64;
    protocols * (workload.phases.total_ns() + OVERHEAD_NS)
}

/// Runs a suite; `yaml` is the file that asks for it, and its folder is made below `suites`.
///
/// # Errors
/// A sentence: what the machine or the file system refused.
pub fn run(
    suite: &Suite,
    yaml: &str,
    suites: &Path,
    fresh: bool,
    options: &Options,
    hear: &mut dyn FnMut(&Progress<'_>),
) -> Result<Outcome, String> {
    let plain = |error: FolderError| error.to_string();
    let begun = index(suite);
    let before = (!fresh).then(|| SuiteFolder::interrupted(suites, &begun.fingerprint)).flatten();
    let (folder, mut index) = match before {
        Some((folder, index)) => {
            let (done, total) = (index.runs.len(), suite.order().len());
            hear(&Progress::Resumes { folder: folder.path(), done, total });
            (folder, index)
        }
        None => (SuiteFolder::create(suites, &begun, yaml).map_err(plain)?, begun),
    };
    let options = Options { runs: folder.runs(), simulated: suite.simulated, ..options.clone() };
    let order = suite.order();
    for (at, &(repeat, point)) in order.iter().enumerate() {
        if index.has(point, repeat) {
            continue;
        }
        if options.interrupted.load(Ordering::Relaxed) {
            break;
        }
        let left = order[at..].iter().filter(|(repeat, point)| !index.has(*point, *repeat));
        let left_ns = left.map(|&(_, point)| run_ns(&suite.points[point].workload)).sum();
        hear(&Progress::Begins { number: at + 1, total: order.len(), left_ns });
        let run = SuiteRun { point, repeat, folder: String::new() };
        index.complete = index.runs.len() + 1 == order.len();
        let workload = workload_of(suite, point, repeat);
        let Some(summary) = run_point(&folder, &mut index, run, &workload, &options)? else {
            index.complete = false;
            break;
        };
        hear(&Progress::Ran {
            number: at + 1,
            total: order.len(),
            settings: suite.settings(&suite.points[point]).collect(),
            summary: &summary,
        });
    }
    let summaries = summaries(&folder, &index).map_err(plain)?;
    Ok(Outcome { folder: folder.path().to_owned(), index, summaries })
}

/// The summary of each run of a suite, in the order of its index.
///
/// # Errors
/// If one of them cannot be read.
pub fn summaries(folder: &SuiteFolder, index: &Index) -> Result<Vec<Summary>, FolderError> {
    let runs = folder.runs();
    let read = |run: &SuiteRun| RunFolder::open(&runs.join(&run.folder)).map(|(_, read)| read);
    index.runs.iter().map(read).collect()
}

/// What is run for a point and a repeat.
fn workload_of(suite: &Suite, point: usize, repeat: u32) -> Workload {
    let mut workload = suite.points[point].workload.clone();
    workload.name = format!("{}-{point:03}-{repeat}", suite.name);
    workload.seed = workload.seed.wrapping_add(u64::from(repeat));
    workload.repeats = 1;
    if repeat % 2 == 1 {
        workload.protocols.reverse();
    }
    workload
}

fn index(suite: &Suite) -> Index {
    let catalog = registry::catalog();
    let commit = env!("SYNOD_COMMIT");
    let mut fingerprint = crc32c::crc32c(commit.as_bytes());
    for point in &suite.points {
        fingerprint =
            crc32c::crc32c_append(fingerprint, point.workload.to_yaml(&catalog).as_bytes());
    }
    let axes = suite
        .axes
        .iter()
        .map(|axis| SuiteAxis { path: axis.path.clone(), values: axis.values.clone() });
    Index {
        schema_version: SUITE_SCHEMA_VERSION,
        name: suite.name.clone(),
        description: suite.description.clone(),
        date: run::now(),
        commit: commit.to_owned(),
        fingerprint: format!("{fingerprint:08x}-{}-{}", suite.repeats, suite.simulated),
        simulated: suite.simulated,
        repeats: suite.repeats,
        axes: axes.collect(),
        points: suite.points.iter().map(|point| SuitePoint { at: point.at.clone() }).collect(),
        runs: Vec::new(),
        complete: false,
    }
}
