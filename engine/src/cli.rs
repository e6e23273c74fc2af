//! The command line: what can be asked, and how it is answered for people and scripts.

pub(crate) mod campaign;
pub(crate) mod count;
pub(crate) mod histories;
pub(crate) mod knee;
pub(crate) mod limits;
mod parquet;
pub(crate) mod predict;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod suites;
pub(crate) mod tune;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use synod_results::check::Consistency;
use synod_results::objective::Objective;

/// Exit codes: what a script may rely on.
pub(crate) mod exit {
    /// A check failed: a history is not linearizable, a run is invalid or incomplete.
    pub(crate) const CHECK_FAILED: u8 = 1;
    /// The input is wrong.
    pub(crate) const BAD_INPUT: u8 = 2;
    /// The machine does not allow it.
    pub(crate) const ENVIRONMENT: u8 = 3;
    /// Nobody reads the output any more: as for who is ended by SIGPIPE.
    pub(crate) const NOBODY_READS: u8 = 141;
}

pub(crate) fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(code)
}

/// A testbed for replication protocols.
#[derive(Parser)]
#[command(name = "synod", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
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
        /// What simulated machines cost, from `synod calibrate`; the file's own model if not given.
        #[arg(long, value_name = "FILE")]
        model: Option<PathBuf>,
        /// Where run folders are made.
        #[arg(long, default_value = "results/runs")]
        runs: PathBuf,
    },
    /// Run a suite: a workload, varied. What was interrupted goes on where it was.
    Suite {
        /// The suite file.
        file: PathBuf,
        /// Say what would be run, and nothing else.
        #[arg(long)]
        dry_run: bool,
        /// Begin anew even if the same suite was interrupted.
        #[arg(long)]
        fresh: bool,
        /// Where folders of suites are made.
        #[arg(long, default_value = "results/suites")]
        suites: PathBuf,
    },
    /// Find the highest offered load at which an objective of latency holds, for each protocol.
    Knee {
        /// The workload file.
        file: PathBuf,
        /// What must hold, for example `p99<5ms`.
        #[arg(long, value_parser = Objective::parse)]
        slo: Objective,
        /// Change a value of the file, for example `--set cluster.replicas=5`.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Runs of each rate at most; the majority decides.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
        repeats: u32,
        /// How near the answer must be, in per cent.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
        precision: u8,
        /// Run in virtual time.
        #[arg(long)]
        simulated: bool,
        /// Where the folder of the search is made.
        #[arg(long, default_value = "results/suites")]
        suites: PathBuf,
    },
    /// Find batch size, window and linger for a workload, with a model to say where to look.
    Tune {
        /// The workload file.
        file: PathBuf,
        /// What must hold, for example `p99<5ms`.
        #[arg(long, value_parser = Objective::parse)]
        slo: Objective,
        /// What should become best.
        #[arg(long, value_enum, default_value_t = tune::GoalArgument::Throughput)]
        goal: tune::GoalArgument,
        /// Change a value of the file, for example `--set cluster.replicas=5`.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Runs of the best settings.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
        repeats: u32,
        /// Run in virtual time.
        #[arg(long)]
        simulated: bool,
        /// Where the folder of the search is made.
        #[arg(long, default_value = "results/suites")]
        suites: PathBuf,
    },
    /// Fit the simulator's machines to this one: short runs, then the costs that explain them.
    Calibrate {
        /// The file to write, for `--model`; the model is also printed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Runs of each kind; the median counts.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
        repeats: u32,
        /// Where the folder of the runs is made.
        #[arg(long, default_value = "results/suites")]
        suites: PathBuf,
    },
    /// Say what workloads will do on this machine, beside what they do.
    Predict {
        /// The workload files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What simulated machines cost, from `synod calibrate`; the file's own model if not given.
        #[arg(long, value_name = "FILE")]
        model: Option<PathBuf>,
        /// Fit the simulated machines meanwhile, by runs of `synod calibrate` that take turns with these.
        #[arg(long, conflicts_with_all = ["model", "no_measure"])]
        calibrate: bool,
        /// Change a value of each file, for example `--set phases.measure=1s`.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Do not run them on the engine.
        #[arg(long)]
        no_measure: bool,
        /// Runs on the engine of each; the median counts.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
        repeats: u32,
        /// Where the folder of the runs is made.
        #[arg(long, default_value = "results/suites")]
        suites: PathBuf,
    },
    /// Measure what this machine allows: round trips, a consensus-shaped echo, synced writes, and
    /// the load generator alone.
    Limits(limits::Arguments),
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
        #[arg(long, value_name = "NAME", value_parser = histories::promise)]
        promise: Option<Consistency>,
        /// Draw the operations at fault of the first history that does not pass.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Write a history in the format of another checker, or as a table.
    Export {
        /// The run folder, its part, or the file.
        folder: PathBuf,
        /// The format.
        #[arg(long, value_enum)]
        format: histories::Format,
        /// Which part of the run folder, if it has several.
        #[arg(long)]
        part: Option<String>,
        /// The file to write; the standard output if not given.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Write a run or a suite as one HTML page, with plots.
    Report {
        /// The run folder, or the folder of a suite.
        folder: PathBuf,
        /// The page; `report.html` in the folder if not given.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Also write every result as comma-separated values.
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
        /// Also write the same table as Parquet, if the program was built with `--features parquet`.
        #[arg(long, value_name = "FILE")]
        parquet: Option<PathBuf>,
        /// Also write each chart as SVG into this folder.
        #[arg(long, value_name = "FOLDER")]
        svg: Option<PathBuf>,
    },
    /// Say what is faster, what is slower and what repeats cannot tell: two runs or suites, or the
    /// protocols of one.
    Compare {
        /// The first folder, of a run or a suite, of which each point is compared.
        first: PathBuf,
        /// The second folder; without one, the protocols of the first.
        second: Option<PathBuf>,
        /// Compare also what is unequal or failed a gate, with footnotes.
        #[arg(long)]
        anyway: bool,
    },
    /// Count what one operation costs by itself: messages, delays, forced writes.
    Count(count::Arguments),
    /// Run a protocol in virtual time with everything going wrong, once for each seed.
    Campaign(campaign::Arguments),
    /// List the protocols, and what each is.
    Protocols {
        /// Only their names, a line each, for scripts.
        #[arg(long)]
        names: bool,
    },
    /// Print the JSON schema of workload files.
    Schema,
    /// Print every key of workload files with its unit, default and meaning.
    Reference,
    /// Serve as one replica; orders come on the standard input.
    #[command(hide = true)]
    Replica,
}
