//! Whole runs of the program: real processes, real sockets, real disks, every history checked.

#[path = "support/program.rs"]
mod support;

use std::collections::BTreeMap;

use support::{Bench, assert_success};
use synod_results::summary::Summary;

/// A short run; the machine may be busy, so the clients are patient.
fn workload(cluster: &str, protocols: &str, load: &str, faults: &str) -> Bench {
    Bench::new(&format!(
        "name: test\ncluster: {{ {cluster} }}\nprotocols: [{protocols}]\n\
         load: {{ {load} }}\nphases: {{ warm_up: 100ms, measure: 1500ms, cool_down: 100ms }}\n{faults}"
    ))
}

const SMALL: &str = "clients: 32, keys: { count: 500 }";

fn verdicts(summary: &Summary) -> BTreeMap<&str, bool> {
    summary.results.iter().map(|result| (result.label.as_str(), result.verdict.is_pass())).collect()
}

/// Runs it and asserts that every protocol's history is linearizable and has operations.
fn assert_linearizable(bench: &Bench) -> Summary {
    let output = bench.run();
    let summary = bench.summary();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(summary.complete, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(verdicts(&summary).values().all(|&passed| passed), "{said}");
    for result in &summary.results {
        assert!(result.overall.count > 100, "{}: {said}", result.label);
        let silent: Vec<_> =
            result.faults.iter().filter(|fault| fault.evidence.is_empty()).collect();
        assert!(silent.is_empty(), "{}: {silent:?}", result.label);
    }
    summary
}

#[test]
fn every_protocol_in_memory() {
    let bench = workload("durability: none", "unreplicated, multi_paxos, abd", SMALL, "");
    let summary = assert_linearizable(&bench);
    assert_eq!(summary.results[0].replicas, 1, "one server has no peers");
    assert_eq!(summary.results[1].replicas, 3);
    assert!(summary.results.iter().all(|result| result.counters.log_syncs == 0));
}

#[test]
fn every_protocol_on_disk() {
    let bench = workload("durability: group", "unreplicated, multi_paxos, abd", SMALL, "");
    let summary = assert_linearizable(&bench);
    assert!(summary.results.iter().all(|result| result.counters.log_syncs > 0));
}

#[test]
fn unix_sockets_and_sleeping_replicas() {
    let bench =
        workload("durability: none, transport: unix, wait: block", "multi_paxos, abd", SMALL, "");
    assert_linearizable(&bench);
}

#[test]
fn everything_in_one_process() {
    for wait in ["auto", "block"] {
        let cluster = format!("durability: none, transport: memory, cores: 2, wait: {wait}");
        let bench = workload(&cluster, "multi_paxos, abd, unreplicated", SMALL, "");
        let summary = assert_linearizable(&bench);
        assert!(summary.results.iter().all(|result| result.transport == "memory"));
        assert!(summary.results.iter().all(|result| result.counters.log_syncs == 0));
    }
}

#[test]
fn two_groups_share_the_keys() {
    let bench = workload("durability: none, cores: 2", "multi_paxos, abd", SMALL, "");
    let summary = assert_linearizable(&bench);
    assert_eq!(summary.results[0].groups, 2);
    let replicas = summary.results[0].threads.iter().filter(|thread| thread.role == "replica");
    assert_eq!(replicas.count(), 6);
}

#[test]
fn every_operation_of_a_state_machine() {
    let mix = "mix: { get: 30%, put: 20%, delete: 10%, compare_and_swap: 20%, \
               read_modify_write: 20% }";
    let load = format!("clients: 32, keys: {{ count: 50 }}, {mix}");
    let summary = assert_linearizable(&workload("durability: group", "multi_paxos", &load, ""));
    let kinds = &summary.results[0].kinds;
    assert_eq!(kinds.keys().collect::<Vec<_>>(), ["cas", "delete", "get", "put"]);
}

#[test]
fn counters_count_each_addition_once() {
    let load = "clients: 32, keys: { count: 20, preload: false }, mix: { get: 30%, add: 70% }";
    assert_linearizable(&workload("durability: none", "unreplicated, multi_paxos", load, ""));
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let load = format!("{SMALL}, arrival: {{ open: {{ rate: 2k }} }}");
    let summary = assert_linearizable(&workload("durability: none", "multi_paxos", &load, ""));
    let rate = summary.results[0].overall.ops_per_second;
    assert!((1500.0..2500.0).contains(&rate), "{rate}");
}

#[test]
fn values_of_many_sizes() {
    let load = "clients: 16, keys: { count: 50 }, values: { uniform: { min: 8B, max: 20KiB } }";
    assert_linearizable(&workload("durability: group", "multi_paxos, abd", load, ""));
}

#[test]
fn the_log_is_cut_by_snapshots() {
    let cluster = "durability: group, log: { segment_bytes: 4MiB, snapshot_bytes: 4MiB }";
    let load = "clients: 64, keys: { count: 500 }, values: { fixed: 4KiB }, mix: { put: 100% }";
    let faults = "faults: [{ at: 400ms, action: kill, target: follower, restart_after: 100ms }]";
    assert_linearizable(&workload(cluster, "multi_paxos, abd", load, faults));
}

#[test]
fn killed_replicas_come_back() {
    for target in ["follower", "leader"] {
        let faults = format!(
            "faults: [{{ at: 400ms, action: kill, target: {target}, restart_after: 200ms }}]"
        );
        let load = format!("{SMALL}, timeout: 100ms");
        let bench = workload("durability: group", "multi_paxos", &load, &faults);
        let summary = assert_linearizable(&bench);
        assert_eq!(summary.results[0].faults.len(), 2, "one kill and one restart");
    }
}

#[test]
fn a_paused_leader_is_replaced() {
    let faults = "faults: [{ at: 300ms, action: pause, target: leader }, \
                  { at: 800ms, action: resume, target: random }]";
    let load = format!("{SMALL}, timeout: 100ms");
    assert_linearizable(&workload("durability: none", "multi_paxos", &load, faults));
}

#[test]
fn results_can_be_shown_and_compared() {
    let bench = workload("durability: none", "multi_paxos", SMALL, "");
    assert_success(&bench.run());
    let folder = std::fs::read_dir(bench.runs()).expect("runs").next().expect("one").expect("it");
    for arguments in [vec!["show"], vec!["compare"]] {
        let mut command = support::synod();
        command.args(&arguments).arg(folder.path());
        if arguments == ["compare"] {
            command.arg(folder.path());
        }
        let output = command.output().expect("the program starts");
        assert_success(&output);
        assert!(String::from_utf8_lossy(&output.stdout).contains("ops/s"));
    }
}
