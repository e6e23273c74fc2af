//! `protocols/README.md`: all protocols side by side, written from what they say of themselves and from
//! the closed forms that the tests hold them against.

use std::fmt::Write as _;
use std::path::Path;

use synod::registry;
use synod_workloads::{
    Catalog, ParameterDefault, ParameterKind, ParameterSpec, ProtocolSpec, format_duration,
    load_file,
};

use super::forms::{APART, Beside, FORMS, Form};

/// Replicas of the clusters whose promises are told.
const REPLICAS: u8 = 3;

const BEFORE: &str = "\
# The protocols, side by side

This page is written by a test: `UPDATE=1 cargo test --release -p synod --test integration list`. The header of
each file has what its paper leaves open.

All of them assume replicas that crash and come back with what their disks had synced, messages that are
lost, doubled and reordered but not forged, and no clock for safety, but where parameters say so.
";

const BEFORE_COSTS: &str = "
## What an operation costs

By itself, with N replicas that vote and execute, O observers or any witnesses where they are named, and
the parameters by default, if no others are. Delays are messages one after the other, from the client and
back to it; writes are those that are waited for, of all replicas, and those of observers, for which nobody
waits. The busiest replica sends and receives so many messages: with a leader it is always the same, without
one the work goes round. Each form is held against the simulator for 3 to 9 replicas and against the engine
for 3.

Gets go through the log like puts, if `reads` is not set, and cost the same where they are not named.
";

const BEFORE_APART: &str = "
There a transaction has a key of each replica. With N resource managers apart from who coordinates, and from
who accepts (`synod count paxos_commit --operations transaction --replicas 6 --managers 3`):
";

const BEFORE_STAGES: &str = "
## Where to see them at their best and at their worst

`synod run FILE --set 'protocols=[NAME]'`, with the names of this page.
";

/// A workload and what it shows.
type Stage = (&'static str, &'static str);

const CRASH: &str = "compare/leader_crash.yaml";

/// For each protocol a workload that shows it at its best, and one at its worst.
const STAGES: &[(&str, Stage, Stage)] = &[
    (
        "unreplicated",
        ("speed/durable.yaml", "one write to one disk, and no message"),
        (CRASH, "nobody is served until it is back"),
    ),
    (
        "paxos",
        ("speed/one_client.yaml", "one proposer, whom nobody gets in the way of"),
        ("wan/three_regions.yaml", "two round trips over the distance, and duels about slots"),
    ),
    (
        "multi_paxos",
        ("speed/durable.yaml", "large batches, a window of them, one round trip for each"),
        (CRASH, "nobody is served until another has taken over"),
    ),
    (
        "raft",
        ("speed/durable.yaml", "large batches, a window of them, one round trip for each"),
        (CRASH, "nobody is served until another is elected"),
    ),
    (
        "viewstamped",
        ("faults/wipe.yaml", "a replica recovers from the others without its disk"),
        (CRASH, "nobody is served until the next view has begun"),
    ),
    (
        "zab",
        ("speed/in_memory.yaml", "commits of many proposals, in few packets"),
        (CRASH, "nobody is served until election, discovery and synchronization are over"),
    ),
    (
        "abd",
        ("ycsb/c.yaml", "gets take one round and no disk, at any replica"),
        ("wan/three_regions.yaml", "puts go the long way twice"),
    ),
    (
        "two_phase_commit",
        ("transactions.yaml", "one round of votes decides about a batch of transactions"),
        ("faults/in_doubt.yaml", "while a coordinator is down others keep its locks"),
    ),
    (
        "paxos_commit",
        ("faults/in_doubt.yaml", "while a coordinator is down others soon take its rounds over"),
        ("compare/all.yaml", "two messages and a write more for each operation by itself"),
    ),
    (
        "quorum",
        ("ycsb/c.yaml", "gets take one round and no disk, at any replica"),
        ("wan/three_regions.yaml", "puts go the long way twice"),
    ),
];

#[test]
fn the_list_of_protocols_is_up_to_date() {
    let list = list(&registry::catalog());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocols/README.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &list).expect("the list is written");
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(kept == list, "run the tests with UPDATE=1 to write protocols/README.md");
}

fn list(catalog: &Catalog) -> String {
    let protocols = &catalog.protocols;
    let promises = ["protocol", "paper", "promises", "fault model", "without its disk a replica"];
    let costs = ["protocol", "operation", "delays", "messages", "forced writes", "busiest replica"];
    let known = ["protocol", "parameters and what they are by default"];
    let stages = ["protocol", "at its best", "at its worst"];
    [
        BEFORE.to_owned(),
        table(&promises, protocols.iter().map(promise)),
        BEFORE_COSTS.to_owned(),
        table(&costs, FORMS.iter().map(cost)),
        BEFORE_APART.to_owned(),
        table(&costs[..5], APART.iter().map(|(_, form)| cost(form)[..5].to_vec())),
        "\n## Parameters\n".to_owned(),
        table(&known, protocols.iter().map(parameters)),
        BEFORE_STAGES.to_owned(),
        table(&stages, protocols.iter().map(|protocol| stages_of(protocol, catalog))),
    ]
    .concat()
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("\n| {} |\n|{}\n", header.join(" | "), "---|".repeat(header.len()));
    for row in rows {
        let _infallible = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// The name, as a way to the file.
fn file_of(name: &str) -> String {
    format!("[`{name}`](src/{name}.rs)")
}

fn promise(protocol: &ProtocolSpec) -> Vec<String> {
    let name = protocol.name;
    let parameters: Vec<u64> =
        protocol.parameters.iter().map(|known| known.default.resolve(REPLICAS)).collect();
    let promise = registry::chosen(name, REPLICAS.into(), &parameters).expect("it is listed");
    let traits = registry::traits(name).expect("it is listed");
    let lost = if traits.repairs { "is made whole by the others" } else { "cannot come back" };
    let known = [traits.paper, promise.promise.name(), traits.fault_model, lost];
    [file_of(name)].into_iter().chain(known.map(str::to_owned)).collect()
}

fn cost(form: &Form) -> Vec<String> {
    let Form { protocol, with, operation, cost, .. } = form;
    let mut operation =
        if with.is_empty() { (*operation).to_owned() } else { format!("{operation}, `{with}`") };
    let mut more = ["", ""];
    match form.beside {
        Beside::Nobody => {}
        Beside::Observers { messages } => {
            operation.push_str(", with observers");
            more = [if messages == 1 { " + O" } else { " + 2O" }, " + O"];
        }
        Beside::Witnesses => operation.push_str(", with witnesses"),
    }
    let [delays, messages, writes] =
        [cost.delays, cost.messages, cost.writes].map(|count| count.to_string());
    vec![
        file_of(protocol),
        operation,
        delays,
        messages + more[0],
        writes + more[1],
        cost.of_busiest() + more[0],
    ]
}

fn parameters(protocol: &ProtocolSpec) -> Vec<String> {
    let known: Vec<String> = protocol.parameters.iter().map(parameter).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    vec![file_of(protocol.name), known]
}

fn parameter(known: &ParameterSpec) -> String {
    let default = match (known.default, known.kind) {
        (ParameterDefault::Majority, _) => "a majority".to_owned(),
        (ParameterDefault::Fixed(value), ParameterKind::Duration) => format_duration(value),
        (ParameterDefault::Fixed(value), ParameterKind::Flag) => (value == 1).to_string(),
        (ParameterDefault::Fixed(value), ParameterKind::Choice(options)) => {
            options[usize::try_from(value).expect("few")].0.to_owned()
        }
        (ParameterDefault::Fixed(value), ParameterKind::Count | ParameterKind::Bytes) => {
            value.to_string()
        }
    };
    format!("`{}: {default}`", known.name)
}

/// The two workloads, which must be such that the protocol can run them.
fn stages_of(protocol: &ProtocolSpec, catalog: &Catalog) -> Vec<String> {
    let name = protocol.name;
    let &(_, best, worst) = STAGES
        .iter()
        .find(|(staged, ..)| *staged == name)
        .unwrap_or_else(|| panic!("STAGES has no workloads for {name}"));
    let shown = [best, worst].map(|(workload, why)| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workloads").join(workload);
        load_file(&file, catalog, &[format!("protocols=[{name}]")])
            .unwrap_or_else(|said| panic!("{said}"));
        format!("[{workload}](../workloads/{workload}): {why}")
    });
    [file_of(name)].into_iter().chain(shown).collect()
}
