//! The program `synod`: takes the command line apart and calls what answers it.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use synod::knee::Question;
use synod::{registry, tune};
use synod_workloads::{reference, schema};

use cli::report::Extras;
use cli::{
    Arguments, Command, campaign, exit, fail, histories, knee, limits, predict, runs, suites,
};

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    if !matches!(command, Command::Campaign(_)) {
        abort_on_panic();
    }
    match command {
        Command::Run { file, set, runs, no_limits } => {
            runs::run(runs::read_workload(&file, &set), runs, !no_limits, false)
        }
        Command::Sim { file, mut set, seed, model, runs } => {
            set.extend(seed.map(|seed| format!("seed={seed}")));
            runs::run(runs::read_modelled(&file, &set, model.as_deref()), runs, false, true)
        }
        Command::Calibrate { out, repeats, suites } => {
            predict::calibrate(out.as_deref(), repeats, &suites)
        }
        Command::Predict { files, model, calibrate, set, no_measure, repeats, suites } => {
            let repeats = if no_measure { 0 } else { repeats };
            predict::predict(&files, &set, model.as_deref(), calibrate, repeats, &suites)
        }
        Command::Suite { file, dry_run, fresh, suites } => {
            suites::suite(&file, dry_run, fresh, &suites)
        }
        Command::Knee { file, slo, set, repeats, precision, simulated, suites } => {
            let precision = f64::from(precision) / 100.0;
            let question = Question { objective: slo, repeats, precision };
            knee::knee(&file, &set, &question, simulated, &suites)
        }
        Command::Tune { file, slo, goal, set, repeats, simulated, suites } => {
            let question = tune::Question { objective: slo, goal: goal.into(), repeats };
            cli::tune::tune(&file, &set, &question, simulated, &suites)
        }
        Command::Limits(arguments) => limits::measure(arguments),
        Command::Check { file, set } => runs::check(&file, &set),
        Command::Show { folder } => runs::show(&folder),
        Command::Verify { history, promise, svg } => {
            histories::verify(&history, promise, svg.as_deref())
        }
        Command::Export { folder, format, part, out } => {
            histories::export(&folder, format, part.as_deref(), out.as_deref())
                .map_or_else(|(message, code)| fail(&message, code), |()| ExitCode::SUCCESS)
        }
        Command::Report { folder, out, csv, parquet, svg } => {
            let (csv, parquet, pictures) = (csv.as_deref(), parquet.as_deref(), svg.as_deref());
            cli::report::report(&folder, out, &Extras { csv, parquet, pictures })
        }
        Command::Compare { first, second, anyway } => {
            runs::compare(&first, second.as_deref(), anyway)
        }
        Command::Count(arguments) => cli::count::count(&arguments),
        Command::Campaign(arguments) => campaign::campaign(arguments),
        Command::Protocols { names } => list_protocols(names),
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

fn list_protocols(names_only: bool) -> ExitCode {
    for protocol in registry::catalog().protocols {
        if names_only {
            println!("{}", protocol.name);
        } else {
            println!("{:<18}{}", protocol.name, protocol.summary);
        }
    }
    ExitCode::SUCCESS
}

/// A replica whose assertion failed on one thread must not go on with the others. Only a campaign
/// goes on: there a panic is a finding.
fn abort_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |information| {
        // Whoever reads the output has enough of it, as `head` does.
        let what = information.payload().downcast_ref::<String>();
        if what.is_some_and(|what| what.contains("Broken pipe")) {
            std::process::exit(exit::NOBODY_READS.into());
        }
        before(information);
        std::process::abort();
    }));
}
