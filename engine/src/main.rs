//! The command line: parsing, printing and exit codes only.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::{Parser, Subcommand};
use synod::io::uring::{Wait, clock};
use synod::limits;
use synod::registry::{self, Visit};
use synod::run::{self, Options};
use synod::sim::campaign;
use synod::sim::{self, plan::Plan, trace};
use synod_protocols::protocol::Protocol;
use synod_results::check::Consistency;
use synod_results::run_folder::RunFolder;
use synod_results::{check, compare, exchange, table, timeline, verify};
use synod_workloads::{Workload, load_file, reference, schema};

/// Exit codes: what a script may rely on.
mod exit {
    /// A check failed: a history is not linearizable, a run is invalid or incomplete.
    pub(crate) const CHECK_FAILED: u8 = 1;
    /// The input is wrong.
    pub(crate) const BAD_INPUT: u8 = 2;
    /// The machine does not allow it.
    pub(crate) const ENVIRONMENT: u8 = 3;
}

/// A testbed for replication protocols.
#[derive(Parser)]
#[command(name = "synod", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a workload: start the replicas, load them, check the history, keep the results.
    Run {
        /// The workload file.
        file: PathBuf,
        /// Change a value of the file, for example `--set load.clients=64`.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Where run folders are made.
        #[arg(long, default_value = "results/runs")]
        runs: PathBuf,
        /// Do not measure what this machine allows; saves two seconds.
        #[arg(long)]
        no_limits: bool,
    },
    /// Run a workload in virtual time: the same code, tables and run folder, on simulated machines.
    Sim {
        /// The workload file.
        file: PathBuf,
        /// Change a value of the file, for example `--set cluster.replicas=5`.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Where every random choice starts; the file's seed if not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Where run folders are made.
        #[arg(long, default_value = "results/runs")]
        runs: PathBuf,
    },
    /// Measure what this machine allows: round trips, a consensus-shaped echo, synced writes, and
    /// the load generator alone.
    Limits {
        /// Processors of the leader, both followers and the client.
        #[arg(long, value_delimiter = ',', num_args = 4, default_values_t = [0, 1, 0, 1])]
        placement: Vec<usize>,
        /// What threads do when they have nothing to do.
        #[arg(long, value_enum, default_value_t = WaitArgument::Yield)]
        wait: WaitArgument,
        /// Seconds for each measurement.
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
        /// A folder on the disk to measure.
        #[arg(long, default_value = ".")]
        directory: PathBuf,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Say whether a workload file is right, and nothing else.
    Check {
        /// The workload file.
        file: PathBuf,
        /// Change a value of the file before it is checked.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Show the results in a run folder.
    Show {
        /// The run folder.
        folder: PathBuf,
    },
    /// Judge the histories of a run folder, a history file, or a file of Jepsen (.edn).
    Verify {
        /// The run folder, its part, or the file.
        history: PathBuf,
        /// What to hold them to, instead of what their run promised.
        #[arg(long, value_name = "NAME", value_parser = promise)]
        promise: Option<Consistency>,
        /// Draw the operations at fault of the first history that does not pass.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Write a history in the format of another checker.
    Export {
        /// The run folder, its part, or the file.
        folder: PathBuf,
        /// The format.
        #[arg(long, value_enum)]
        format: FormatArgument,
        /// Which part of the run folder, if it has several.
        #[arg(long)]
        part: Option<String>,
        /// The file to write; the standard output if not given.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Compare two run folders.
    Compare {
        /// The first run folder.
        first: PathBuf,
        /// The second run folder.
        second: PathBuf,
    },
    /// Run a protocol in virtual time with everything going wrong, once for each seed.
    Campaign {
        /// The protocol.
        #[arg(long)]
        protocol: String,
        /// How many seeds.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
        /// The first seed.
        #[arg(long, value_name = "FIRST", default_value_t = 1)]
        seed: u64,
        /// Threads; as many as there are processors if not given.
        #[arg(long)]
        jobs: Option<usize>,
        /// Run each seed twice: both runs must give the same events.
        #[arg(long)]
        twice: bool,
        /// Run the first seed only and print its messages.
        #[arg(long)]
        trace: bool,
        /// Draw the last messages of the first seed as a time-space diagram.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Print the JSON schema of workload files.
    Schema,
    /// Print every key of workload files with its unit, default and meaning.
    Reference,
    /// Serve as one replica; orders come on the standard input.
    #[command(hide = true)]
    Replica,
}

/// A wait policy on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum WaitArgument {
    /// Spin.
    Busy,
    /// Spin, but let others run.
    Yield,
    /// Sleep in the kernel.
    Block,
}

/// A format of another checker on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum FormatArgument {
    /// Jepsen's, one map for each line.
    Edn,
    /// Porcupine's, as JSON.
    Porcupine,
}

/// A promise by its name.
fn promise(name: &str) -> Result<Consistency, String> {
    Consistency::ALL.into_iter().find(|promise| promise.name() == name).ok_or_else(|| {
        let known = Consistency::ALL.map(Consistency::name).join(", ");
        format!("no such promise; use one of {known}")
    })
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    if !matches!(command, Command::Campaign { .. }) {
        abort_on_panic();
    }
    match command {
        Command::Run { file, set, runs, no_limits } => run(&file, &set, runs, !no_limits, false),
        Command::Sim { file, mut set, seed, runs } => {
            set.extend(seed.map(|seed| format!("seed={seed}")));
            run(&file, &set, runs, false, true)
        }
        Command::Limits { placement, wait, seconds, directory, json } => {
            let wait = match wait {
                WaitArgument::Busy => Wait::Busy,
                WaitArgument::Yield => Wait::Yield,
                WaitArgument::Block => Wait::Block,
            };
            let placement = [placement[0], placement[1], placement[2], placement[3]];
            let options =
                limits::Options { placement, wait, seconds, ..limits::Options::new(directory) };
            measure_limits(&options, json)
        }
        Command::Check { file, set } => match read_workload(&file, &set) {
            Ok(workload) => {
                println!("{}: {} is a valid workload", file.display(), workload.name);
                ExitCode::SUCCESS
            }
            Err(code) => code,
        },
        Command::Show { folder } => show(&folder),
        Command::Verify { history, promise, svg } => verify(&history, promise, svg.as_deref()),
        Command::Export { folder, format, part, out } => {
            export(&folder, format, part.as_deref(), out.as_deref())
                .map_or_else(|(message, code)| fail(&message, code), |()| ExitCode::SUCCESS)
        }
        Command::Compare { first, second } => compare(&first, &second),
        Command::Campaign { protocol, seeds, seed: first, jobs, twice, trace, svg } => {
            let jobs = jobs.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
            let options = campaign::Options { first, seeds, jobs: jobs.unwrap_or(1), twice };
            let name = protocol.clone();
            registry::with_protocol(&protocol, Campaign { options, trace, svg }).unwrap_or_else(
                || {
                    let known = registry::NAMES.join(", ");
                    fail(
                        &format!("--protocol {name}: no such protocol; use one of {known}"),
                        exit::BAD_INPUT,
                    )
                },
            )
        }
        Command::Schema => {
            let schema = schema(&registry::catalog());
            println!("{}", serde_json::to_string_pretty(&schema).expect("a schema is plain data"));
            ExitCode::SUCCESS
        }
        Command::Reference => {
            print!("{}", reference(&registry::catalog()));
            ExitCode::SUCCESS
        }
        Command::Replica => match synod::replica::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, exit::ENVIRONMENT),
        },
    }
}

/// A replica whose assertion failed on one thread must not go on with the others. Only a campaign
/// goes on: there a panic is a finding.
fn abort_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |information| {
        before(information);
        std::process::abort();
    }));
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(code)
}

fn read_workload(file: &Path, set: &[String]) -> Result<Workload, ExitCode> {
    load_file(file, &registry::catalog(), set).map_err(|diagnostics| {
        if io::stderr().is_terminal() {
            eprint!("{}", diagnostics.render(true));
        } else {
            eprintln!("{diagnostics}");
        }
        ExitCode::from(exit::BAD_INPUT)
    })
}

fn run(file: &Path, set: &[String], runs: PathBuf, limits: bool, simulated: bool) -> ExitCode {
    let workload = match read_workload(file, set) {
        Ok(workload) => workload,
        Err(code) => return code,
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let twice = Arc::clone(&interrupted);
        // The second Ctrl-C ends at once; replicas end with their input.
        let registered = signal_hook::flag::register_conditional_shutdown(signal, 130, twice)
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)));
        if let Err(error) = registered {
            return fail(&format!("signals cannot be handled: {error}"), exit::ENVIRONMENT);
        }
    }
    let options = Options { runs, interrupted, progress: true, limits, simulated };
    match run::run(&workload, &options) {
        Ok(outcome) => {
            print!("{}", table::render(&outcome.summary, io::stdout().is_terminal()));
            println!("\nresults: {}", outcome.folder.display());
            let sound = outcome.summary.complete
                && outcome.summary.results.iter().all(|result| {
                    result.verdict.is_pass() && result.failed_gates().next().is_none()
                });
            if sound { ExitCode::SUCCESS } else { ExitCode::from(exit::CHECK_FAILED) }
        }
        Err(error) => fail(&error, exit::ENVIRONMENT),
    }
}

struct Campaign {
    options: campaign::Options,
    trace: bool,
    svg: Option<PathBuf>,
}

impl Visit for Campaign {
    type Output = ExitCode;

    #[expect(clippy::disallowed_methods, reason = "how fast it goes is for people")]
    fn visit<P: Protocol + 'static>(self) -> ExitCode {
        let Self { options, trace, svg } = self;
        if trace || svg.is_some() {
            return show_trace::<P>(options.first, trace, svg.as_deref());
        }
        let began = Instant::now();
        let terminal = io::stderr().is_terminal();
        let totals = campaign::campaign::<P>(&options, &|done| {
            if terminal {
                let seeds = options.seeds;
                let seconds = began.elapsed().as_secs_f64();
                eprint!("\r\x1b[2K{}: {done} of {seeds} seeds, {seconds:.0} s", P::NAME);
            }
        });
        if terminal {
            eprint!("\r\x1b[2K");
        }
        print!("{}", campaign::report(P::NAME, &totals, began.elapsed().as_secs_f64()));
        if totals.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(exit::CHECK_FAILED)
        }
    }
}

/// Messages in a diagram: more cannot be read.
const DIAGRAM_MESSAGES: usize = 80;

fn show_trace<P: Protocol>(seed: u64, as_text: bool, svg: Option<&Path>) -> ExitCode {
    let lines = sim::messages::<P>(&Plan::draw::<P>(seed));
    if as_text {
        lines.iter().for_each(|line| println!("{line}"));
    }
    let Some(file) = svg else { return ExitCode::SUCCESS };
    let last = &lines[lines.len().saturating_sub(DIAGRAM_MESSAGES)..];
    let diagram = trace::svg(&format!("{}, the end of seed {seed}", P::NAME), last);
    match std::fs::write(file, diagram) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&format!("{} cannot be written: {error}", file.display()), exit::ENVIRONMENT)
        }
    }
}

fn measure_limits(options: &limits::Options, json: bool) -> ExitCode {
    let terminal = io::stderr().is_terminal();
    let measured = limits::run(options, |what| {
        if terminal {
            eprint!("\r\x1b[2Kmeasuring: {what}");
        }
    });
    if terminal {
        eprint!("\r\x1b[2K");
    }
    match measured {
        Ok(limits) if json => {
            println!("{}", serde_json::to_string_pretty(&limits).expect("limits are plain data"));
            ExitCode::SUCCESS
        }
        Ok(limits) => {
            print!("{}", limits::table(&limits));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string(), exit::ENVIRONMENT),
    }
}

fn show(folder: &Path) -> ExitCode {
    match RunFolder::open(folder) {
        Ok((_, summary)) => {
            print!("{}", timeline::show(&summary, io::stdout().is_terminal()));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string(), exit::BAD_INPUT),
    }
}

fn compare(first: &Path, second: &Path) -> ExitCode {
    match (RunFolder::open(first), RunFolder::open(second)) {
        (Ok((_, first)), Ok((_, second))) => {
            print!("{}", compare::render(&first, &second));
            ExitCode::SUCCESS
        }
        (Err(error), _) | (_, Err(error)) => fail(&error.to_string(), exit::BAD_INPUT),
    }
}

/// All parts are judged, whatever is said of the first ones.
fn verify(history: &Path, promise: Option<Consistency>, mut svg: Option<&Path>) -> ExitCode {
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

fn export(
    folder: &Path,
    format: FormatArgument,
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
    let target: Result<Box<dyn Write>, io::Error> = match out {
        Some(file) => File::create_new(file).map(|file| Box::new(file) as Box<dyn Write>),
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
        FormatArgument::Edn => exchange::write_edn(&operations, &mut target),
        FormatArgument::Porcupine => exchange::write_porcupine(&operations, &mut target),
    }
    .and_then(|()| target.flush())
    .map_err(unwritten)
}
