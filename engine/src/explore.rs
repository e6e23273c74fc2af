//! Runs that a search chooses as it goes, kept as a suite whose points are added one by one.

use std::path::Path;
use std::sync::atomic::Ordering;

use synod_results::run_folder::FolderError;
use synod_results::suite::{
    SUITE_SCHEMA_VERSION, Suite as Index, SuiteAxis, SuiteFolder, SuitePoint, SuiteRun,
};
use synod_results::summary::Summary;
use synod_workloads::Workload;

use crate::run::{self, Options};

/// A search under way.
#[derive(Debug)]
pub struct Explorer {
    folder: SuiteFolder,
    index: Index,
    options: Options,
}

fn plain(error: FolderError) -> String {
    error.to_string()
}

impl Explorer {
    /// Begins a search over `axes`, in a new folder below `suites`.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn begin(
        (name, description): (&str, &str),
        axes: &[&str],
        yaml: &str,
        suites: &Path,
        options: &Options,
    ) -> Result<Self, String> {
        let axis = |path: &&str| SuiteAxis { path: (*path).to_owned(), values: Vec::new() };
        let index = Index {
            schema_version: SUITE_SCHEMA_VERSION,
            name: name.to_owned(),
            description: description.to_owned(),
            date: run::now(),
            commit: env!("SYNOD_COMMIT").to_owned(),
            simulated: options.simulated,
            axes: axes.iter().map(axis).collect(),
            ..Index::default()
        };
        let folder = SuiteFolder::create(suites, &index, yaml).map_err(plain)?;
        let options = Options { runs: folder.runs(), ..options.clone() };
        Ok(Self { folder, index, options })
    }

    /// Runs a workload as the point of these values, one for each axis. Nothing comes out if it was
    /// interrupted.
    ///
    /// # Errors
    /// A sentence: what the machine or the file system refused.
    pub fn run(
        &mut self,
        values: &[&str],
        repeat: u32,
        mut workload: Workload,
    ) -> Result<Option<Summary>, String> {
        let point = self.point(values);
        workload.name = format!("{}-{point:03}-{repeat}", self.index.name);
        workload.seed = workload.seed.wrapping_add(u64::from(repeat));
        workload.repeats = 1;
        self.index.repeats = self.index.repeats.max(repeat + 1);
        let at = SuiteRun { point, repeat, folder: String::new() };
        run_point(&self.folder, &mut self.index, at, &workload, &self.options)
    }

    fn point(&mut self, values: &[&str]) -> usize {
        let at = self.index.axes.iter_mut().zip(values).map(|(axis, &value)| {
            axis.values.iter().position(|known| known == value).unwrap_or_else(|| {
                axis.values.push(value.to_owned());
                axis.values.len() - 1
            })
        });
        let point = SuitePoint { at: at.collect() };
        self.index.points.iter().position(|known| *known == point).unwrap_or_else(|| {
            self.index.points.push(point);
            self.index.points.len() - 1
        })
    }

    /// Ends the search.
    ///
    /// # Errors
    /// If the index cannot be written.
    pub fn end(mut self, complete: bool) -> Result<SuiteFolder, String> {
        self.index.complete = complete;
        self.folder.write(&self.index).map_err(plain)?;
        Ok(self.folder)
    }
}

/// Runs one point of a suite and notes it in the index. A run that was interrupted leaves nothing
/// behind.
///
/// # Errors
/// A sentence: what the machine or the file system refused.
pub(crate) fn run_point(
    folder: &SuiteFolder,
    index: &mut Index,
    mut at: SuiteRun,
    workload: &Workload,
    options: &Options,
) -> Result<Option<Summary>, String> {
    let outcome = run::run(workload, options)?;
    if !outcome.summary.complete && options.interrupted.load(Ordering::Relaxed) {
        std::fs::remove_dir_all(&outcome.folder).map_err(|error| error.to_string())?;
        return Ok(None);
    }
    at.folder = outcome.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    index.runs.push(at);
    folder.write(index).map_err(plain)?;
    Ok(Some(outcome.summary))
}
