//! Reports: what a folder holds, for people.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use synod_results::columns;
use synod_results::report::source::Source;
use synod_results::report::{self, svg};

use super::{exit, fail, parquet};

/// What is written besides the page, each into a file of its own or, for the pictures, a folder.
pub(crate) struct Extras<'a> {
    pub(crate) csv: Option<&'a Path>,
    pub(crate) parquet: Option<&'a Path>,
    pub(crate) pictures: Option<&'a Path>,
}

pub(crate) fn report(folder: &Path, out: Option<PathBuf>, extras: &Extras<'_>) -> ExitCode {
    let source = match Source::open(folder) {
        Ok(source) => source,
        Err(error) => return fail(&error.to_string(), exit::BAD_INPUT),
    };
    let page = out.unwrap_or_else(|| folder.join("report.html"));
    let mut files = vec![(page, report::render(&source).into_bytes())];
    let table = report::columns(&source);
    files.extend(extras.csv.map(|file| (file.to_owned(), columns::csv(&table).into_bytes())));
    if let Some(file) = extras.parquet {
        let mut bytes = Vec::new();
        if let Err(error) = parquet::write(&table, &mut bytes) {
            return fail(&error.to_string(), exit::BAD_INPUT);
        }
        files.push((file.to_owned(), bytes));
    }
    if let Some(pictures) = extras.pictures {
        if let Err(error) = fs::create_dir_all(pictures) {
            return fail(&format!("{}: {error}", pictures.display()), exit::ENVIRONMENT);
        }
        let charts = report::charts(&source).into_iter();
        let charts =
            charts.map(|chart| (pictures.join(format!("{}.svg", chart.id)), svg::draw(&chart)));
        let bars = report::breakdown(&source).map(|svg| (pictures.join("breakdown.svg"), svg));
        files.extend(charts.chain(bars).map(|(file, svg)| (file, svg.into_bytes())));
    }
    for (file, bytes) in files {
        if let Err(error) = fs::write(&file, bytes) {
            return fail(&format!("{}: {error}", file.display()), exit::ENVIRONMENT);
        }
        println!("{}", file.display());
    }
    ExitCode::SUCCESS
}
