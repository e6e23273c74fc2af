//! The folder of a suite: many runs of one workload, varied, and the index of them.
//!
//! ```text
//! <date>-<name>[-n]/
//!   suite.json        what varies, and which run is where
//!   suite.yaml        the file that asked for it
//!   runs/             a run folder for each point and repeat
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::run_folder::{FolderError, create_dated, read_json, replace_json, write_once};

/// The version of the index that this build writes and reads.
pub const SUITE_SCHEMA_VERSION: u32 = 1;

const INDEX: &str = "suite.json";

/// The index of a suite.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suite {
    /// [`SUITE_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name of the suite.
    pub name: String,
    /// What question it answers.
    pub description: String,
    /// When it began, after RFC 3339.
    pub date: String,
    /// The commit that was built; empty if unknown.
    pub commit: String,
    /// Two suites with the same are to run the same.
    pub fingerprint: String,
    /// Whether it ran in virtual time.
    pub simulated: bool,
    /// How often each point is to be run.
    pub repeats: u32,
    /// What varies.
    pub axes: Vec<SuiteAxis>,
    /// The combinations of values.
    pub points: Vec<SuitePoint>,
    /// The runs so far, in the order in which they ran.
    pub runs: Vec<SuiteRun>,
    /// Whether every point was run as often as was asked.
    pub complete: bool,
}

/// One thing that varies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteAxis {
    /// The path of a key of workloads, or `case`.
    pub path: String,
    /// Its values as one would write them.
    pub values: Vec<String>,
}

/// One combination of values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuitePoint {
    /// For each axis the index of its value.
    pub at: Vec<usize>,
}

/// One run of a point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteRun {
    /// The index of the point.
    pub point: usize,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// The name of its folder below `runs/`.
    pub folder: String,
}

impl Suite {
    /// The values of a point, each with the path of its axis.
    pub fn settings(&self, point: usize) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.axes.iter().zip(&self.points[point].at);
        pairs.map(|(axis, &at)| (axis.path.as_str(), axis.values[at].as_str()))
    }

    /// What is special about a point in a few words: `natural, rate 5k`. Empty where there is only one.
    #[must_use]
    pub fn name(&self, point: usize) -> String {
        let varies = |number: usize| self.axes[number].values.len() > 1;
        let settings = self.settings(point).enumerate().filter(|&(number, _)| varies(number));
        let words = settings.map(|(_, (path, value))| match path {
            // Cases have names of their own.
            "case" => value.to_owned(),
            path => format!("{} {value}", last_part(path)),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// Whether this point was run for this repeat.
    #[must_use]
    pub fn has(&self, point: usize, repeat: u32) -> bool {
        self.runs.iter().any(|run| (run.point, run.repeat) == (point, repeat))
    }
}

/// `window` of `cluster.window`: the whole path is in the folder, a table has to be narrow.
pub(crate) fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The folder of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteFolder {
    path: PathBuf,
}

impl SuiteFolder {
    /// Creates a new folder below `suites` for `suite`, with the file that asked for it.
    ///
    /// # Errors
    /// If something cannot be created.
    pub fn create(suites: &Path, suite: &Suite, yaml: &str) -> Result<Self, FolderError> {
        let folder = Self { path: create_dated(suites, &suite.date, &suite.name)? };
        write_once(&folder.path.join("suite.yaml"), yaml)?;
        folder.write(suite)?;
        Ok(folder)
    }

    /// Whether there is the folder of a suite at `path`.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        path.join(INDEX).is_file()
    }

    /// Opens the folder of a suite, whether all of it was run or not.
    ///
    /// # Errors
    /// If its index is missing, malformed, of another version or contradicts itself.
    pub fn open(path: &Path) -> Result<(Self, Suite), FolderError> {
        let file = path.join(INDEX);
        let suite: Suite = read_json(&file, SUITE_SCHEMA_VERSION)?;
        let sound = |point: &SuitePoint| {
            let fits = |(&at, axis): (&usize, &SuiteAxis)| at < axis.values.len();
            point.at.len() == suite.axes.len() && point.at.iter().zip(&suite.axes).all(fits)
        };
        if !suite.points.iter().all(sound) {
            return Err(FolderError::new(&file, "has a point that is on none of its axes"));
        }
        if suite.runs.iter().any(|run| run.point >= suite.points.len()) {
            return Err(FolderError::new(&file, "has a run of no point"));
        }
        Ok((Self { path: path.to_path_buf() }, suite))
    }

    /// The newest folder below `suites` that was begun for the same and is not complete.
    #[must_use]
    pub fn interrupted(suites: &Path, fingerprint: &str) -> Option<(Self, Suite)> {
        let folders = fs::read_dir(suites).ok()?.flatten().map(|entry| entry.path());
        folders
            .filter_map(|path| Self::open(&path).ok())
            .filter(|(_, suite)| suite.fingerprint == fingerprint && !suite.complete)
            .max_by(|(_, one), (_, other)| one.date.cmp(&other.date))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its run folders are made.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }

    /// Writes the index, or replaces it as a whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, suite: &Suite) -> Result<(), FolderError> {
        replace_json(&self.path.join(INDEX), suite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Suite {
        Suite {
            schema_version: SUITE_SCHEMA_VERSION,
            name: "windows".to_owned(),
            date: "2026-11-26T10:00:00Z".to_owned(),
            fingerprint: "5eed".to_owned(),
            axes: vec![SuiteAxis {
                path: "cluster.window".to_owned(),
                values: vec!["1".to_owned(), "4".to_owned()],
            }],
            points: vec![SuitePoint { at: vec![0] }, SuitePoint { at: vec![1] }],
            repeats: 1,
            ..Suite::default()
        }
    }

    #[test]
    fn what_was_interrupted_is_found_again() {
        let suites = tempfile::tempdir().unwrap();
        let mut suite = example();
        let folder = SuiteFolder::create(suites.path(), &suite, "name: windows\n").unwrap();
        suite.runs.push(SuiteRun { point: 1, repeat: 0, folder: "a".to_owned() });
        folder.write(&suite).unwrap();
        assert_eq!(SuiteFolder::interrupted(suites.path(), "other"), None);
        let (found, read) = SuiteFolder::interrupted(suites.path(), "5eed").unwrap();
        assert_eq!((found.path(), &read), (folder.path(), &suite));
        assert!(read.has(1, 0) && !read.has(0, 0) && !read.has(1, 1));
        assert_eq!(read.settings(1).collect::<Vec<_>>(), [("cluster.window", "4")]);
        suite.complete = true;
        folder.write(&suite).unwrap();
        assert_eq!(SuiteFolder::interrupted(suites.path(), "5eed"), None);
    }

    #[test]
    fn an_index_that_contradicts_itself_is_refused() {
        let suites = tempfile::tempdir().unwrap();
        let mut suite = example();
        suite.points[1].at[0] = 2;
        let folder = SuiteFolder::create(suites.path(), &suite, "").unwrap();
        let said = SuiteFolder::open(folder.path()).unwrap_err().to_string();
        assert!(said.ends_with("suite.json: has a point that is on none of its axes"), "{said}");
        suite.points.pop();
        suite.runs.push(SuiteRun { point: 1, repeat: 0, folder: "a".to_owned() });
        folder.write(&suite).unwrap();
        let said = SuiteFolder::open(folder.path()).unwrap_err().to_string();
        assert!(said.ends_with("suite.json: has a run of no point"), "{said}");
    }
}
