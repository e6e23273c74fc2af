//! Reports: what a folder holds, for people.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use synod_results::report::source::Source;
use synod_results::report::{self, svg};

use super::{exit, fail};

pub(crate) fn report(
    folder: &Path,
    out: Option<PathBuf>,
    csv: Option<&Path>,
    pictures: Option<&Path>,
) -> ExitCode {
    let source = match Source::open(folder) {
        Ok(source) => source,
        Err(error) => return fail(&error.to_string(), exit::BAD_INPUT),
    };
    let page = out.unwrap_or_else(|| folder.join("report.html"));
    let mut files = vec![(page, report::render(&source))];
    files.extend(csv.map(|file| (file.to_owned(), report::csv(&source))));
    if let Some(pictures) = pictures {
        if let Err(error) = fs::create_dir_all(pictures) {
            return fail(&format!("{}: {error}", pictures.display()), exit::ENVIRONMENT);
        }
        for chart in report::charts(&source) {
            files.push((pictures.join(format!("{}.svg", chart.id)), svg::draw(&chart)));
        }
    }
    for (file, text) in files {
        if let Err(error) = fs::write(&file, text) {
            return fail(&format!("{}: {error}", file.display()), exit::ENVIRONMENT);
        }
        println!("{}", file.display());
    }
    ExitCode::SUCCESS
}
