//! Workload files in virtual time: the same results each time, latencies that the simulated machines
//! explain, and the faults that strike real clusters.

use synod_results::breakdown::{Breakdown, Part};
use synod_results::check::Consistency;
use synod_results::run_folder::RunFolder;
use synod_results::summary::{Gate, Summary, VerdictSummary};

use crate::support::synod;

/// The way between two simulated machines.
const HOP_NS: u64 = 15_000;

fn simulate(file: &str, set: &[&str]) -> Summary {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let workloads = concat!(env!("CARGO_MANIFEST_DIR"), "/../workloads/");
    let mut command = synod();
    command.arg("sim").arg(format!("{workloads}{file}")).arg("--runs").arg(folder.path());
    for change in set {
        command.args(["--set", change]);
    }
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = std::fs::read_dir(folder.path()).expect("runs were made").next();
    let run = run.expect("there is one").expect("it can be listed");
    let (_, summary) = RunFolder::open(&run.path()).expect("the run folder is whole");
    summary
}

#[test]
fn a_seed_gives_the_same_result_again_and_another_one_another() {
    let run = |seed: &str| {
        let summary = simulate("simulated/steady.yaml", &["phases.measure=60s", seed]);
        // All but how long the check took.
        let result = &summary.results[0];
        let Breakdown { samples, .. } = result.breakdown["put"];
        assert!(samples > 0);
        let (counters, series) = (&result.counters, &result.series);
        format!("{:?} {counters:?} {series:?} {:?}", result.overall, result.breakdown)
    };
    let first = run("seed=1");
    assert_eq!(first, run("seed=1"));
    assert_ne!(first, run("seed=2"));
}

#[test]
fn an_operation_takes_as_long_as_its_way() {
    let set = ["phases.measure=60s", "cluster.durability=none"];
    let summary = simulate("simulated/steady.yaml", &set);
    let overall = &summary.results[0].overall;
    // To the leader, to a follower, back, and to the client.
    assert!(overall.p50_ns >= 4 * HOP_NS, "{overall:?}");
    assert!(overall.p99_ns < 20 * HOP_NS, "{overall:?}");
}

/// One client, so that nobody waits for anybody else, on machines whose turns all take as long; returns
/// the parts of its operations that take time at all, in microseconds.
fn parts_of(kind: &str, protocol: &str, batch: &str) -> Vec<(Part, f64)> {
    let set = [
        &format!("protocols=[{protocol}]"),
        "model={turn: 10us, arrival: 0s, kib: 0s, command: 0s, network: 50us, disk: 200us}",
        "load={clients: 1, arrival: closed, keys: {count: 10}, sample_every: 4}",
        &format!("load.mix={{{kind}: 100%}}"),
        &format!("cluster.batch={{{batch}}}"),
        "phases={warm_up: 50ms, measure: 200ms}",
    ];
    let summary = simulate("simulated/steady.yaml", &set);
    let result = &summary.results[0];
    let breakdown = &result.breakdown[kind];
    let share = breakdown.samples as f64 / result.overall.count as f64;
    assert!((0.2..0.3).contains(&share), "{share} of {} are samples", result.overall.count);
    let off = breakdown.total_ns() / result.overall.mean_ns - 1.0;
    assert!(off.abs() < 0.001, "alike operations have the mean of their samples: {off}");
    let of = |part| (part, (breakdown.part_ns(part) / 1_000.0).round());
    Part::ALL.map(of).into_iter().filter(|(_, part_us)| *part_us > 0.0).collect()
}

#[test]
fn the_parts_of_a_latency_are_those_that_the_machines_explain() {
    // The way there and back, and what the turns cost after which request and answer leave.
    let network = (Part::Network, 2.0 * 50.0 + 2.0 * 10.0);
    let (leader, disk) = ((Part::Leader, 10.0), (Part::Disk, 200.0));
    // The way to a follower and back, and its two turns. Its disk takes as long as the leader's.
    let quorum = (Part::Quorum, 2.0 * 50.0 + 2.0 * 10.0);
    assert_eq!(parts_of("put", "multi_paxos", ""), [network, leader, disk, quorum]);
    let linger = parts_of("put", "raft", "linger: 30us");
    assert_eq!(linger, [network, (Part::Batch, 30.0), leader, disk, quorum]);
    // It asks before it writes anything: twice the way, four turns, and the disk of another.
    let rounds = (Part::Quorum, 4.0 * 50.0 + 4.0 * 10.0 + 200.0);
    assert_eq!(parts_of("put", "abd", ""), [network, leader, rounds]);
    assert_eq!(parts_of("put", "unreplicated", ""), [network, leader, disk]);
    // Gets that do not go through the log need no disk, and some nobody else.
    let asked = (Part::Quorum, 2.0 * 50.0 + 10.0);
    assert_eq!(parts_of("get", "{raft: {reads: read_index}}", ""), [network, leader, asked]);
    assert_eq!(parts_of("get", "{zab: {reads: local}}", ""), [network]);
}

#[test]
fn faults_of_every_kind_strike_and_leave_evidence() {
    for file in ["faults/kill.yaml", "faults/wipe.yaml", "faults/links.yaml", "faults/disk.yaml"] {
        let set = ["load.clients=8", "load.arrival.closed.think=1ms"];
        let summary = simulate(file, &set);
        assert!(summary.complete, "{file}");
        for result in &summary.results {
            assert!(result.verdict.is_pass(), "{file}: {:?}", result.verdict);
            assert!(!result.faults.is_empty(), "{file}");
            let silent = result.faults.iter().find(|fault| fault.evidence.is_empty());
            assert!(silent.is_none(), "{file}: {silent:?}");
        }
    }
}

#[test]
fn leadership_is_handed_over_in_a_moment_and_lost_for_a_time_out() {
    let summary = simulate("faults/membership.yaml", &[]);
    let result = &summary.results[0];
    assert!(result.verdict.is_pass(), "{:?}", result.verdict);
    for fault in &result.faults {
        assert!(!fault.evidence.is_empty(), "{fault:?}");
        let gap_ms = fault.gap_ns.expect("it happened") / 1_000_000;
        let expected = if fault.kind() == "remove leader" { 150..1000 } else { 0..30 };
        assert!(expected.contains(&gap_ms), "{fault:?}");
    }
}

#[test]
fn a_run_passes_every_gate() {
    let set = ["phases.measure=12s", "load.clients=16", "load.arrival.closed.think=1ms"];
    let summary = simulate("quickstart.yaml", &set);
    for result in &summary.results {
        assert_eq!(result.gates.len(), 13, "{:?}", result.gates);
        // A simulated cluster may come to rest late as well, and is told so.
        let may_warn = |gate: &Gate| gate.name == "the state is steady";
        let wrong = result.gates.iter().find(|gate| !gate.ok || (gate.warning && !may_warn(gate)));
        assert!(wrong.is_none(), "{}: {wrong:?}", result.label);
        let said = |name: &str| {
            let gate = result.gates.iter().find(|gate| gate.name == name);
            gate.expect("it is among them").detail.as_str()
        };
        let law = said("Little's law holds");
        assert!(law.contains("off by 0.0"), "latencies have three digits: {law}");
        let steady = said("the state is steady");
        assert!(!steady.contains("unknown") && !steady.contains("not asked"), "{steady}");
    }
}

#[test]
fn groups_and_load_threads_are_machines_of_their_own() {
    let set = ["cluster.cores=2", "load.threads=2", "phases.measure=2s", "load.clients=16"];
    let summary = simulate("quickstart.yaml", &set);
    for result in &summary.results {
        assert!(result.verdict.is_pass(), "{}: {:?}", result.label, result.verdict);
        assert_eq!(result.threads.len(), 3 * 2 + 2);
    }
}

#[test]
fn a_stall_is_seen_in_full_and_hidden_from_who_measures_from_the_sending() {
    let summary = simulate("faults/stall.yaml", &[]);
    let result = &summary.results[0];
    // Of 20 s, 1.4 s stall: one in a hundred waits for more than 1.4 s less 0.2 s.
    assert!(result.overall.p99_ns.abs_diff(1_200_000_000) < 12_000_000, "{:?}", result.overall);
    // In the mean the square of the stall, over twice the window.
    assert!((result.overall.mean_ns / 1e6 - 49.0).abs() < 1.0, "{:?}", result.overall);
    let service = result.service.as_ref().expect("the load goes by the clock");
    assert!(service.p99_ns * 50 < result.overall.p99_ns, "{service:?}");
}

#[test]
fn threads_on_few_processors_wait_for_each_other_and_for_others() {
    let rates = |processors: &str| {
        let load = ["load.clients=4096", "load.keys.count=1k", "cluster.durability=none"];
        let set =
            [&["phases.measure=200ms", "phases.warm_up=50ms", processors], &load[..]].concat();
        let summary = simulate("quickstart.yaml", &set);
        summary.results.iter().map(|result| result.overall.ops_per_second).collect::<Vec<_>>()
    };
    let (own, one) = (rates("model.processors=0"), rates("model.processors=1"));
    let away = rates("model={ processors: 1, away: 2ms, between: 2ms }");
    for (protocol, own) in own.iter().enumerate() {
        assert!(one[protocol] < own * 0.8, "{own} {}", one[protocol]);
        let share = away[protocol] / one[protocol];
        assert!((0.35..0.65).contains(&share), "half of the time it is away: {share}");
    }
}

#[test]
fn batches_wait_as_long_as_their_objective_allows() {
    let run = |objective: &str| {
        let batch = format!("cluster.batch.objective={objective}");
        let rate = "load.arrival.open.rate=20k";
        let set = [&batch, rate, "load.clients=512", "phases.warm_up=2s", "phases.measure=4s"];
        let summary = simulate("simulated/steady.yaml", &set);
        let result = summary.results.into_iter().next().expect("there is one protocol");
        (result.syncs_per_operation().expect("there were operations"), result.overall)
    };
    let ((natural_syncs, natural), (syncs, waiting)) = (run("0s"), run("4ms"));
    assert!(syncs < natural_syncs / 4.0, "{syncs} and {natural_syncs} syncs for each operation");
    assert!(natural.p50_ns < 1_000_000, "{natural:?}");
    // The first request of a batch waits longest; the objective is met by most.
    assert!(waiting.p50_ns > natural.p50_ns && waiting.p90_ns < 4_400_000, "{waiting:?}");
}

/// Three replicas with such quorums, a few hot keys, and links that are slow and overtake each other.
fn quorums(parameters: &str) -> Summary {
    stale_prone(&format!("quorum: {{ {parameters} }}"))
}

fn stale_prone(protocol: &str) -> Summary {
    let protocols = format!("protocols=[{{ {protocol} }}]");
    let link = "cluster.links={ all: { delay: 1ms, jitter: 1ms, reorder: true } }";
    let load = ["load.clients=64", "load.connections=3", "load.arrival.open.rate=2k"];
    let set = [&[&protocols, link, "phases.measure=10s", "load.keys.count=5"], &load[..]].concat();
    simulate("simulated/steady.yaml", &set)
}

#[test]
fn quorums_that_do_not_meet_are_found_eventual_and_how_stale_their_reads_were() {
    let summary = quorums("read_quorum: 1, write_quorum: 1, write_back: false");
    let VerdictSummary::Weaker { promise, staleness, .. } = &summary.results[0].verdict else {
        panic!("{:?}", summary.results[0].verdict);
    };
    assert_eq!(*promise, Consistency::Eventual);
    assert!(staleness.stale > 0 && staleness.writes_max > 0 && staleness.ns_max > 0);
    let said = synod_results::table::render(&summary, false);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("eventual: yes, not linearizable"), "{said}");
    assert!(said.contains(&staleness.to_string()), "{said}");
}

#[test]
fn local_reads_are_found_sequential_and_not_linearizable() {
    let summary = stale_prone("zab: { reads: local }");
    let VerdictSummary::Weaker { promise, staleness, .. } = &summary.results[0].verdict else {
        panic!("{:?}", summary.results[0].verdict);
    };
    assert_eq!(*promise, Consistency::Sequential);
    assert!(staleness.stale > 0);
    assert_eq!(staleness.backward, 0, "no client sees its past");
}

#[test]
fn reads_that_ask_the_leader_are_fresh_while_it_leads() {
    let summary = stale_prone("zab: { reads: sync }");
    let verdict = &summary.results[0].verdict;
    assert!(verdict.is_pass() && !matches!(verdict, VerdictSummary::Weaker { .. }), "{verdict:?}");
}

#[test]
fn quorums_that_meet_keep_what_their_parameters_promise() {
    for parameters in ["votes: 211", "write_back: false", "read_quorum: 3, write_quorum: 1"] {
        let summary = quorums(parameters);
        assert!(summary.results[0].verdict.is_pass(), "{:?}", summary.results[0].verdict);
    }
}

#[test]
fn nobody_is_served_between_the_death_of_a_leader_and_the_time_out_of_its_followers() {
    let summary = simulate("compare/leader_crash.yaml", &["load.clients=8"]);
    for result in &summary.results {
        assert_eq!(result.faults.len(), 10, "{}", result.label);
        for fault in &result.faults {
            let gap_ms = fault.gap_ns.expect("it happened") / 1_000_000;
            // The last heartbeat before the death may be nearly as old as the next one is far.
            let expected = if fault.kind() == "kill leader" { 180..1000 } else { 0..60 };
            assert!(expected.contains(&gap_ms), "{}: {fault:?}", result.label);
        }
    }
}

/// With such small segments a log is full after a few writes, and nobody asks for anything until a
/// snapshot has made room: not even a heartbeat comes, for the protocol has none.
#[test]
fn a_full_log_makes_room_although_nothing_arrives() {
    let set = [
        "cluster.log={segment_bytes: 1MiB, snapshot_bytes: 4MiB, retain_bytes: 1MiB}",
        "load.keys.count=1k",
        "load.clients=16",
        "phases={warm_up: 100ms, measure: 400ms}",
    ];
    let summary = simulate("transactions.yaml", &set);
    let result = &summary.results[0];
    assert!(summary.complete && result.verdict.is_pass(), "{:?}", result.verdict);
    assert!(result.overall.count > 1000, "{:?}", result.overall);
}
