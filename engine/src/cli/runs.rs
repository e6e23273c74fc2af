//! Workloads: to check them, to run them, to look at what came out.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use synod::registry;
use synod::run::{self, Options};
use synod_results::compare::{self, Points};
use synod_results::report::source::Source;
use synod_results::run_folder::RunFolder;
use synod_results::{table, timeline};
use synod_workloads::{Diagnostics, Workload, load_file, load_model};

use super::{exit, fail};

pub(crate) fn read_workload(file: &Path, set: &[String]) -> Result<Workload, ExitCode> {
    load_file(file, &registry::catalog(), set).map_err(|diagnostics| refuse(&diagnostics))
}

/// The workload with what simulated machines cost from a file of its own, if there is one.
pub(crate) fn read_modelled(
    file: &Path,
    set: &[String],
    model: Option<&Path>,
) -> Result<Workload, ExitCode> {
    let mut workload = read_workload(file, set)?;
    if let Some(model) = model {
        workload.model = load_model(model).map_err(|diagnostics| refuse(&diagnostics))?;
    }
    Ok(workload)
}

/// Tells what is wrong with a file.
pub(crate) fn refuse(diagnostics: &Diagnostics) -> ExitCode {
    if io::stderr().is_terminal() {
        eprint!("{}", diagnostics.render(true));
    } else {
        eprintln!("{diagnostics}");
    }
    ExitCode::from(exit::BAD_INPUT)
}

pub(crate) fn check(file: &Path, set: &[String]) -> ExitCode {
    match read_workload(file, set) {
        Ok(workload) => {
            println!("{}: {} is a valid workload", file.display(), workload.name);
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

pub(crate) fn run(
    workload: Result<Workload, ExitCode>,
    runs: PathBuf,
    limits: bool,
    simulated: bool,
) -> ExitCode {
    let workload = match workload {
        Ok(workload) => workload,
        Err(code) => return code,
    };
    let interrupted = match interruption() {
        Ok(interrupted) => interrupted,
        Err(code) => return code,
    };
    let options = Options { runs, interrupted, progress: true, limits, simulated };
    match run::run(&workload, &options) {
        Ok(outcome) => {
            print!("{}", table::render(&outcome.summary, io::stdout().is_terminal()));
            println!("\nresults: {}", outcome.folder.display());
            if outcome.summary.is_sound() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(exit::CHECK_FAILED)
            }
        }
        Err(error) => fail(&error, exit::ENVIRONMENT),
    }
}

/// Set by Ctrl-C; the second one ends the program at once. Replicas end with their input.
pub(crate) fn interruption() -> Result<Arc<AtomicBool>, ExitCode> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let twice = Arc::clone(&interrupted);
        let registered = signal_hook::flag::register_conditional_shutdown(signal, 130, twice)
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)));
        if let Err(error) = registered {
            let message = format!("signals cannot be handled: {error}");
            return Err(fail(&message, exit::ENVIRONMENT));
        }
    }
    Ok(interrupted)
}

pub(crate) fn show(folder: &Path) -> ExitCode {
    match RunFolder::open(folder) {
        Ok((_, summary)) => {
            print!("{}", timeline::show(&summary, io::stdout().is_terminal()));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string(), exit::BAD_INPUT),
    }
}

pub(crate) fn compare(first: &Path, second: Option<&Path>, anyway: bool) -> ExitCode {
    let open = |folder: &Path| match Source::open(folder) {
        Ok(source) => Ok(Points::of(&source)),
        Err(error) => Err(fail(&error.to_string(), exit::BAD_INPUT)),
    };
    let (first, second) = match (open(first), second.map(open).transpose()) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(code), _) | (_, Err(code)) => return code,
    };
    let compared = match &second {
        Some(second) => compare::between(&first, second),
        None => compare::within(&first),
    };
    if (compared.refusals.is_empty() || anyway) && !compared.pairs.is_empty() {
        print!("{}", compared.render());
        return ExitCode::SUCCESS;
    }
    let reasons = compared.refusals.join("\n  ");
    let advice = if compared.pairs.is_empty() { "" } else { "\n--anyway shows it with footnotes" };
    fail(&format!("not to be compared:\n  {reasons}{advice}"), exit::BAD_INPUT)
}
