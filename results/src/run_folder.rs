//! The folder of a run: everything that came out of it, and what went in.
//!
//! ```text
//! <date>-<name>[-n]/
//!   summary.json            the run in one document
//!   workload.yaml           the workload as it was executed
//!   <label>-<repeat>/       for each protocol and repeat:
//!     latency-<thread>.hlog   every interval of a load thread
//!     latency.hgrm            the percentiles of the whole
//!     history.bin             what the clients saw
//!     throughput.csv          second by second
//!     violation.svg           the operations at fault, if there are any
//! ```

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::summary::{SCHEMA_VERSION, Second, Summary};

const SUMMARY: &str = "summary.json";
const WORKLOAD: &str = "workload.yaml";

/// Folders of one name and date before it is given up to find another.
const SAME_NAME_MAX: u32 = 10_000;

/// The folder of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Creates a new folder below `runs`, usually `results/runs`, with the workload in it. `date`
    /// is a day or a moment after RFC 3339; colons become hyphens. Nothing is ever overwritten: if
    /// the name is taken, a number is appended.
    ///
    /// # Errors
    /// If the folder or the file cannot be created.
    pub fn create(
        runs: &Path,
        date: &str,
        name: &str,
        workload: &str,
    ) -> Result<Self, FolderError> {
        let folder = Self { path: create_dated(runs, date, name)? };
        write_once(&folder.path.join(WORKLOAD), workload)?;
        Ok(folder)
    }

    /// Opens the folder of a run that is over.
    ///
    /// # Errors
    /// If there is no such folder, or its summary is missing, malformed or of another version.
    pub fn open(path: &Path) -> Result<(Self, Summary), FolderError> {
        if !path.is_dir() {
            return Err(FolderError::new(path, "is not the folder of a run"));
        }
        let folder = Self { path: path.to_path_buf() };
        let file = path.join(SUMMARY);
        let summary = read_json(&file, SCHEMA_VERSION)?;
        Ok((folder, summary))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the summary, or replaces it as a whole: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_summary(&self, summary: &Summary) -> Result<(), FolderError> {
        replace_json(&self.path.join(SUMMARY), summary)
    }

    /// The resolved workload.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn workload(&self) -> Result<String, FolderError> {
        let file = self.path.join(WORKLOAD);
        fs::read_to_string(&file).map_err(|error| FolderError::new(&file, error))
    }

    /// Creates the folder of one protocol and repeat.
    ///
    /// # Errors
    /// If it exists or cannot be created.
    pub fn create_part(&self, label: &str, repeat: u32) -> Result<PartFolder, FolderError> {
        let part = self.part(label, repeat);
        fs::create_dir(&part.path).map_err(|error| FolderError::new(&part.path, error))?;
        Ok(part)
    }

    /// The folder of one protocol and repeat, whether it exists or not.
    #[must_use]
    pub fn part(&self, label: &str, repeat: u32) -> PartFolder {
        PartFolder { path: self.path.join(format!("{}-{repeat}", plain(label))) }
    }
}

/// The folder of one protocol and repeat within a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFolder {
    path: PathBuf,
}

impl PartFolder {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The history, for [`crate::history`].
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.path.join("history.bin")
    }

    /// The interval log of a load thread, for [`crate::hlog`].
    #[must_use]
    pub fn hlog(&self, thread: &str) -> PathBuf {
        self.path.join(format!("latency-{}.hlog", plain(thread)))
    }

    /// Writes the percentiles that [`crate::hgrm::render`] made.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub fn write_hgrm(&self, text: &str) -> Result<(), FolderError> {
        write_once(&self.path.join("latency.hgrm"), text)
    }

    /// Writes the picture of a violation that [`crate::check::draw`] made.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub fn write_violation(&self, svg: &str) -> Result<(), FolderError> {
        write_once(&self.path.join("violation.svg"), svg)
    }

    /// Writes the seconds as comma-separated values.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub fn write_throughput(&self, series: &[Second]) -> Result<(), FolderError> {
        let mut text = String::from("second,ops,p50_ns,p99_ns,unknown,busy\n");
        for (number, second) in series.iter().enumerate() {
            let Second { ops, p50_ns, p99_ns, unknown, busy } = second;
            let _infallible = writeln!(text, "{number},{ops},{p50_ns},{p99_ns},{unknown},{busy}");
        }
        write_once(&self.path.join("throughput.csv"), &text)
    }
}

/// Creates a folder of a date and a name that nothing has yet, below `parent`.
pub(crate) fn create_dated(parent: &Path, date: &str, name: &str) -> Result<PathBuf, FolderError> {
    fs::create_dir_all(parent).map_err(|error| FolderError::new(parent, error))?;
    let base = format!("{}-{}", plain(date), plain(name));
    for number in 1..=SAME_NAME_MAX {
        let path = match number {
            1 => parent.join(&base),
            _ => parent.join(format!("{base}-{number}")),
        };
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(FolderError::new(&path, error)),
        }
    }
    Err(FolderError::new(&parent.join(base), "too many folders have this name"))
}

/// Writes a document, or replaces it as a whole.
pub(crate) fn replace_json(file: &Path, document: &impl Serialize) -> Result<(), FolderError> {
    let draft = file.with_extension("json.draft");
    let failed = |error: io::Error| FolderError::new(file, error);
    let mut text =
        serde_json::to_string_pretty(document).map_err(io::Error::from).map_err(failed)?;
    text.push('\n');
    let mut target = File::create(&draft).map_err(failed)?;
    target.write_all(text.as_bytes()).map_err(failed)?;
    target.sync_all().map_err(failed)?;
    fs::rename(&draft, file).map_err(failed)
}

/// Reads a document whose `schema_version` is `version`.
pub(crate) fn read_json<T: DeserializeOwned>(file: &Path, version: u32) -> Result<T, FolderError> {
    let text = fs::read_to_string(file).map_err(|error| FolderError::new(file, error))?;
    let document: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| FolderError::new(file, error))?;
    let found = document.get("schema_version").and_then(serde_json::Value::as_u64);
    if found != Some(u64::from(version)) {
        let found = found.map_or_else(|| "none".to_owned(), |version| version.to_string());
        let what = format!("has schema version {found}, and this build reads {version}");
        return Err(FolderError::new(file, what));
    }
    serde_json::from_value(document).map_err(|error| FolderError::new(file, error))
}

pub(crate) fn write_once(file: &Path, text: &str) -> Result<(), FolderError> {
    File::create_new(file)
        .and_then(|mut target| target.write_all(text.as_bytes()))
        .map_err(|error| FolderError::new(file, error))
}

/// A name that is one plain component of a path on any system.
fn plain(name: &str) -> String {
    let keep = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let text: String = name.chars().map(|letter| if keep(letter) { letter } else { '-' }).collect();
    if text.starts_with('.') || text.is_empty() { format!("_{text}") } else { text }
}

/// Which file of a run's folder is at fault, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl FolderError {
    pub(crate) fn new(path: &Path, what: impl fmt::Display) -> Self {
        Self { path: path.to_path_buf(), what: what.to_string() }
    }
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for FolderError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_written_once_and_read_back() {
        let runs = tempfile::tempdir().unwrap();
        let create = || RunFolder::create(runs.path(), "2026-11-23T15:00", "quick start", "a: 1\n");
        let (first, second) = (create().unwrap(), create().unwrap());
        assert!(first.path().ends_with("2026-11-23T15-00-quick-start"));
        assert!(second.path().ends_with("2026-11-23T15-00-quick-start-2"));
        assert!(RunFolder::open(first.path()).unwrap_err().path.ends_with("summary.json"));
        let mut summary = Summary { schema_version: SCHEMA_VERSION, ..Summary::default() };
        first.write_summary(&summary).unwrap();
        summary.complete = true;
        first.write_summary(&summary).unwrap();
        let (opened, read) = RunFolder::open(first.path()).unwrap();
        assert_eq!((opened.workload().unwrap().as_str(), read), ("a: 1\n", summary));
        let part = first.create_part("multi_paxos", 0).unwrap();
        assert!(first.create_part("multi_paxos", 0).is_err());
        part.write_throughput(&[Second { ops: 5, ..Second::default() }]).unwrap();
        let csv = fs::read_to_string(part.path().join("throughput.csv")).unwrap();
        assert_eq!(csv, "second,ops,p50_ns,p99_ns,unknown,busy\n0,5,0,0,0,0\n");
        assert!(part.write_throughput(&[]).is_err());
    }

    #[test]
    fn a_wrong_folder_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let missing = RunFolder::open(&folder.path().join("no")).unwrap_err();
        assert!(missing.to_string().ends_with("no: is not the folder of a run"));
        let summary = folder.path().join(SUMMARY);
        for (text, words) in [
            ("{", "EOF while parsing"),
            ("{}", "schema version none"),
            (r#"{"schema_version": 2}"#, "schema version 2, and this build reads 1"),
            (r#"{"schema_version": 1}"#, "missing field `name`"),
        ] {
            fs::write(&summary, text).unwrap();
            let error = RunFolder::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains("summary.json: ") && error.contains(words), "{error}");
        }
    }
}
