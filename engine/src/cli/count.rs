//! What one operation costs.

use std::process::ExitCode;

use synod::count::Question;
use synod_results::table::grid;

use super::{exit, fail};

/// What to count.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The protocol.
    protocol: String,
    /// Its parameters as in a workload file: `reads: lease, pre_vote: false`.
    #[arg(long, default_value = "")]
    with: String,
    /// Replicas of the cluster.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    replicas: u8,
    /// How many of them, the last ones, follow and have no vote.
    #[arg(long, default_value_t = 0)]
    observers: u8,
    /// How many of them, the last ones, vote and execute nothing.
    #[arg(long, default_value_t = 0)]
    witnesses: u8,
    /// Resource managers of a transaction, by default all replicas: so many, the last ones, hold all
    /// keys, and the first, which coordinates, holds none if they are fewer.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9))]
    managers: Option<u8>,
    /// Kinds of operations, each counted by itself.
    #[arg(long, value_delimiter = ',', default_values = ["put", "get"])]
    operations: Vec<String>,
    /// Count in virtual time only.
    #[arg(long)]
    simulated: bool,
}

pub(crate) fn count(arguments: &Arguments) -> ExitCode {
    let Arguments {
        protocol,
        with,
        replicas,
        observers,
        witnesses,
        managers,
        operations,
        simulated,
    } = arguments;
    let managers = managers.unwrap_or(*replicas);
    if managers > *replicas {
        let error = format!("{managers} managers are more than {replicas} replicas");
        return fail(&error, exit::BAD_INPUT);
    }
    let worlds = [(true, "simulator"), (false, "engine")];
    let mut rows = Vec::new();
    for operation in operations {
        for (virtually, world) in worlds.into_iter().filter(|&(it, _)| it || !simulated) {
            let question = Question {
                protocol,
                parameters: with,
                replicas: *replicas,
                observers: *observers,
                witnesses: *witnesses,
                managers,
                operation,
                simulated: virtually,
            };
            let counts = match question.ask() {
                Ok(counts) => counts,
                Err(error) => return fail(&error, exit::BAD_INPUT),
            };
            let figures = match counts.whole() {
                Some(whole) => whole.map(|count| count.to_string()),
                None => [counts.messages, counts.delays, counts.writes]
                    .map(|count| format!("{count:.2}")),
            };
            rows.push([operation.clone(), world.to_owned()].into_iter().chain(figures).collect());
        }
    }
    let header = ["operation", "on the", "messages", "delays", "forced writes"];
    let roles = [(observers, "observers"), (witnesses, "witnesses")];
    let of_them: String = roles
        .iter()
        .filter(|&&(&count, _)| count > 0)
        .map(|(count, role)| format!(", {count} of them {role}"))
        .collect();
    println!("{protocol}, {replicas} replicas{of_them}, one operation at a time");
    print!("{}", grid(header.map(str::to_owned).to_vec(), rows.into_iter()));
    println!(
        "\nMessages are those between replicas; delays count the way from the client and back."
    );
    ExitCode::SUCCESS
}
