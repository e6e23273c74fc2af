//! Campaigns: a protocol in virtual time with everything going wrong.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use synod::registry::{self, Visit};
use synod::sim::campaign;
use synod::sim::{self, plan::Plan, trace};
use synod_protocols::protocol::Protocol;

use super::{exit, fail};

/// Which protocol, and which seeds.
#[derive(clap::Args)]
pub(crate) struct Arguments {
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
}

pub(crate) fn campaign(arguments: Arguments) -> ExitCode {
    let Arguments { protocol, seeds, seed: first, jobs, twice, trace, svg } = arguments;
    let jobs = jobs.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let options = campaign::Options { first, seeds, jobs: jobs.unwrap_or(1), twice };
    registry::with_protocol(&protocol, Campaign { options, trace, svg }).unwrap_or_else(|| {
        let known = registry::NAMES.join(", ");
        let message = format!("--protocol {protocol}: no such protocol; use one of {known}");
        fail(&message, exit::BAD_INPUT)
    })
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
