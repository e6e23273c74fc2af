//! What this machine allows.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use synod::io::uring::Wait;
use synod::limits;

use super::{exit, fail};

/// What to measure, and where.
#[derive(clap::Args)]
pub(crate) struct Arguments {
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
}

/// A wait policy on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum WaitArgument {
    /// Spin.
    Busy,
    /// Spin, but let others run.
    Yield,
    /// Sleep in the kernel.
    Block,
}

pub(crate) fn measure(arguments: Arguments) -> ExitCode {
    let Arguments { placement, wait, seconds, directory, json } = arguments;
    let wait = match wait {
        WaitArgument::Busy => Wait::Busy,
        WaitArgument::Yield => Wait::Yield,
        WaitArgument::Block => Wait::Block,
    };
    let placement = [placement[0], placement[1], placement[2], placement[3]];
    let options = limits::Options { placement, wait, seconds, ..limits::Options::new(directory) };
    show(&options, json)
}

fn show(options: &limits::Options, json: bool) -> ExitCode {
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
