//! Histories: to judge them, and to hand them to the checkers of others.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use synod::io::uring::clock;
use synod::run;
use synod_results::check::Consistency;
use synod_results::{check, columns, exchange, verify};

use super::{exit, fail, parquet};

/// What a history is written as.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Format {
    /// For Jepsen's checkers, one map for each line.
    Edn,
    /// For Porcupine, as JSON.
    Porcupine,
    /// A table of comma-separated values, an operation a line.
    Csv,
    /// The same table for databases and data frames. Needs a program built with `--features parquet`.
    Parquet,
}

/// A promise by its name.
pub(crate) fn promise(name: &str) -> Result<Consistency, String> {
    Consistency::ALL.into_iter().find(|promise| promise.name() == name).ok_or_else(|| {
        let known = Consistency::ALL.map(Consistency::name).join(", ");
        format!("no such promise; use one of {known}")
    })
}

/// All parts are judged, whatever is said of the first ones.
pub(crate) fn verify(
    history: &Path,
    promise: Option<Consistency>,
    mut svg: Option<&Path>,
) -> ExitCode {
    let parts = match verify::open(history) {
        Ok(parts) => parts,
        Err(message) => return fail(&message, exit::BAD_INPUT),
    };
    let mut code = 0;
    for part in parts {
        let promise = promise.unwrap_or(part.promise);
        match check::check(&part, promise, run::CHECK_BYTES_MAX, &|| clock().0) {
            Ok(verdict) => {
                println!("{}: {verdict}", part.name);
                if let Some(violation) = verdict.violation()
                    && let Some(file) = svg.take()
                    && let Err(error) = std::fs::write(file, check::draw(violation))
                {
                    return fail(&format!("{}: {error}", file.display()), exit::ENVIRONMENT);
                }
                code = code.max(if verdict.is_pass() { 0 } else { exit::CHECK_FAILED });
            }
            Err(error) => {
                eprintln!("{error}");
                code = exit::BAD_INPUT;
            }
        }
    }
    ExitCode::from(code)
}

pub(crate) fn export(
    folder: &Path,
    format: Format,
    part: Option<&str>,
    out: Option<&Path>,
) -> Result<(), (String, u8)> {
    let bad_input = |message| (message, exit::BAD_INPUT);
    let parts = verify::open(folder).map_err(bad_input)?;
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    let wanted = parts.iter().find(|one| part.is_none_or(|name| one.name == name));
    let wanted = match (wanted, part) {
        (Some(wanted), part) if part.is_some() || parts.len() == 1 => wanted,
        _ => {
            let given = part
                .map_or_else(|| "is missing".to_owned(), |part| format!("{part}: no such part"));
            return Err(bad_input(format!("--part {given}; use one of {}", names.join(", "))));
        }
    };
    let operations = wanted.operations().map_err(bad_input)?;
    let target: Result<Box<dyn Write + Send>, io::Error> = match out {
        Some(file) => File::create_new(file).map(|file| Box::new(file) as Box<dyn Write + Send>),
        None => Ok(Box::new(io::stdout())),
    };
    let name = out.map_or_else(|| "standard output".to_owned(), |file| file.display().to_string());
    let unwritten = |error: io::Error| {
        if error.kind() == io::ErrorKind::InvalidInput {
            (error.to_string(), exit::BAD_INPUT)
        } else {
            (format!("{name}: {error}"), exit::ENVIRONMENT)
        }
    };
    let mut target = BufWriter::new(target.map_err(unwritten)?);
    match format {
        Format::Edn => exchange::write_edn(&operations, &mut target),
        Format::Porcupine => exchange::write_porcupine(&operations, &mut target),
        Format::Csv => target.write_all(columns::csv(&exchange::columns(&operations)).as_bytes()),
        Format::Parquet => parquet::write(&exchange::columns(&operations), &mut target),
    }
    .and_then(|()| target.flush())
    .map_err(unwritten)
}
