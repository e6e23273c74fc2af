//! What the tests of the program share: running it, and reading what it left behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use synod_results::run_folder::RunFolder;
use synod_results::summary::Summary;
use tempfile::TempDir;

static TURN: Mutex<()> = Mutex::new(());

/// The program under test.
pub(crate) fn synod() -> Command {
    Command::new(env!("CARGO_BIN_EXE_synod"))
}

/// A workload file and a place for its results.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) file: PathBuf,
}

impl Bench {
    pub(crate) fn new(yaml: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("workload.yaml");
        std::fs::write(&file, yaml).expect("the workload is written");
        Self { folder, file }
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    /// Runs the workload and returns what the program printed. Runs take turns: each has more
    /// threads than the machine may have processors, and two at once would starve each other.
    pub(crate) fn run(&self) -> Output {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        synod()
            .arg("run")
            .arg(&self.file)
            .arg("--no-limits")
            .arg("--runs")
            .arg(self.runs())
            .output()
            .expect("the program starts")
    }

    /// The summary of the only run.
    pub(crate) fn summary(&self) -> Summary {
        read(&self.runs())
    }
}

fn read(runs: &Path) -> Summary {
    let mut folders = std::fs::read_dir(runs).expect("a run folder was made");
    let folder = folders.next().expect("there is one run").expect("it can be listed").path();
    let (_, summary) = RunFolder::open(&folder).expect("the run folder is whole");
    summary
}

/// Asserts that the program ended well, showing what it said otherwise.
pub(crate) fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
