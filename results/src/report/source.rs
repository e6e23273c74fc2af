//! What a report is made of: runs, with their settings if they belong to a suite.

use std::path::Path;

use crate::hgrm;
use crate::run_folder::{FolderError, RunFolder};
use crate::suite::{Suite, SuiteFolder};
use crate::summary::{ProtocolResult, Summary};

/// The percentiles of a latency: for each the inverse of what is above, and nanoseconds.
pub type Percentiles = Vec<(f64, f64)>;

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its point in the suite, or 0.
    pub point: usize,
    /// What came out.
    pub summary: Summary,
    /// What was run, as YAML.
    pub workload: String,
    /// For each result its percentiles.
    pub percentiles: Vec<Percentiles>,
}

/// Everything that a report shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The command that made it, with a place for the file.
    pub command: String,
    /// The suite, if it is one.
    pub suite: Option<Suite>,
    /// The runs; at least one.
    pub runs: Vec<Run>,
}

impl Source {
    /// Reads a run folder or the folder of a suite.
    ///
    /// # Errors
    /// If it is neither, or something in it cannot be read.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        if !SuiteFolder::is_at(path) {
            let run = read(path, 0)?;
            let command = "synod run workload.yaml".to_owned();
            return Ok(Self { command, suite: None, runs: vec![run] });
        }
        let (folder, suite) = SuiteFolder::open(path)?;
        let runs = folder.runs();
        let runs: Vec<Run> = suite
            .runs
            .iter()
            .map(|run| read(&runs.join(&run.folder), run.point))
            .collect::<Result<_, _>>()?;
        if runs.is_empty() {
            return Err(FolderError::new(path, "is the folder of a suite without runs"));
        }
        let command = "synod suite suite.yaml".to_owned();
        Ok(Self { command, suite: Some(suite), runs })
    }

    /// The name of what was run.
    #[must_use]
    pub fn name(&self) -> &str {
        self.suite.as_ref().map_or(&self.runs[0].summary.name, |suite| &suite.name)
    }

    /// What question it answers, if anybody said.
    #[must_use]
    pub fn description(&self) -> &str {
        let workload = &self.runs[0].summary.workload;
        let own = || workload.get("description").and_then(serde_json::Value::as_str);
        self.suite.as_ref().map_or_else(|| own().unwrap_or(""), |suite| &suite.description)
    }

    /// Something that belongs to a point, with what is special about that: `window 8, multi_paxos`.
    #[must_use]
    pub fn at_point(&self, point: usize, what: String) -> String {
        match self.suite.as_ref().map(|suite| suite.name(point)) {
            Some(name) if !name.is_empty() => format!("{name}, {what}"),
            Some(_) | None => what,
        }
    }

    /// The results of a point, over all its repeats, in order of label.
    #[must_use]
    pub fn results_of(&self, point: usize) -> Vec<ProtocolResult> {
        let at_point = self.results().into_iter().filter(|(run, ..)| run.point == point);
        at_point.map(|(_, _, result)| result.clone()).collect()
    }

    /// Every result with its run, in order of point and label.
    #[must_use]
    pub fn results(&self) -> Vec<(&Run, usize, &ProtocolResult)> {
        let mut all: Vec<(&Run, usize, &ProtocolResult)> = self
            .runs
            .iter()
            .flat_map(|run| {
                let results = run.summary.results.iter().enumerate();
                results.map(move |(number, result)| (run, number, result))
            })
            .collect();
        if self.suite.is_some() {
            all.sort_by(|(one, _, a), (other, _, b)| {
                (one.point, &a.label).cmp(&(other.point, &b.label))
            });
        }
        all
    }
}

fn read(path: &Path, point: usize) -> Result<Run, FolderError> {
    let (folder, summary) = RunFolder::open(path)?;
    let workload = folder.workload()?;
    let percentiles = summary
        .results
        .iter()
        .map(|result| {
            let part = folder.part(&result.label, result.repeat);
            let file = part.path().join("latency.hgrm");
            let text =
                std::fs::read_to_string(&file).map_err(|error| FolderError::new(&file, error))?;
            hgrm::parse(&text).map_err(|line| {
                FolderError::new(&file, format!("line {line} is not one of percentiles"))
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Run { point, summary, workload, percentiles })
}
