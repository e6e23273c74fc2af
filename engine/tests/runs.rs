//! Whole runs of the program: real processes, real sockets, real disks, every history checked.

#[path = "support/program.rs"]
mod support;

use std::collections::BTreeMap;

use support::{Bench, assert_success};
use synod::registry::NAMES;
use synod_results::breakdown::Part;
use synod_results::summary::Summary;

/// A short run, longer where disks and faults take their time, also on a busy machine.
fn workload(cluster: &str, protocols: &str, load: &str, faults: &str) -> Bench {
    let is_short = cluster.contains("durability: none") && faults.is_empty();
    let measure = if is_short { "500ms" } else { "1500ms" };
    workload_for(measure, cluster, protocols, load, faults)
}

fn workload_for(measure: &str, cluster: &str, protocols: &str, load: &str, faults: &str) -> Bench {
    Bench::new(&format!(
        "name: test\ncluster: {{ {cluster} }}\nprotocols: [{protocols}]\nload: {{ {load} }}\n\
         phases: {{ warm_up: 100ms, measure: {measure}, cool_down: 100ms }}\n{faults}"
    ))
}

const SMALL: &str = "clients: 32, keys: { count: 500 }";

/// Replicas fill it before they start, in a moment, and it is long enough for a run.
const LOG: &str = "durability: group, log: { segment_bytes: 4MiB, snapshot_bytes: 16MiB }";

/// A replica that comes back with it is soon ready.
const SMALL_LOG: &str = "durability: group, log: { segment_bytes: 1MiB, snapshot_bytes: 4MiB }";

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

/// All protocols; the first has one replica.
fn everybody() -> String {
    NAMES.join(", ")
}

#[test]
fn every_protocol_in_memory() {
    let bench = workload("durability: none", &everybody(), SMALL, "");
    let summary = assert_linearizable(&bench);
    assert_eq!(summary.results[0].replicas, 1, "one server has no peers");
    assert_eq!(summary.results[1].replicas, 3);
    assert!(summary.results.iter().all(|result| result.counters.log_syncs == 0));
}

/// Gates of the machine and of the processor time that it had for the run: on a busy machine they
/// may rightly fail.
const OF_THE_MACHINE: [&str; 4] = [
    "load generator has time to spare",
    "processors were not stolen",
    "processors kept their pace",
    "nothing was swapped",
];

#[test]
fn a_short_run_is_judged_by_every_gate_and_passes() {
    let load = "clients: 64, threads: 2";
    let bench = workload_for("1500ms", "durability: none", "multi_paxos, abd", load, "");
    let summary = assert_linearizable(&bench);
    for result in &summary.results {
        let names: Vec<&str> = result.gates.iter().map(|gate| gate.name.as_str()).collect();
        assert_eq!(names.len(), 13, "{names:?}");
        for name in OF_THE_MACHINE {
            assert!(names.contains(&name), "{names:?}");
        }
        let unexpected = result
            .gates
            .iter()
            .find(|gate| !gate.ok && !OF_THE_MACHINE.contains(&gate.name.as_str()));
        assert!(unexpected.is_none(), "{}: {unexpected:?}", result.label);
        let law = result.gates.iter().find(|gate| gate.name == "Little's law holds");
        let law = law.expect("it is among them");
        assert!(law.detail.contains("under way on average") && !law.warning, "{law:?}");
    }
}

#[test]
fn every_protocol_on_disk() {
    let load = format!("{SMALL}, sample_every: 16");
    let summary = assert_linearizable(&workload(LOG, &everybody(), &load, ""));
    assert!(summary.results.iter().all(|result| result.counters.log_syncs > 0));
    for result in &summary.results {
        for kind in ["get", "put"] {
            let breakdown = &result.breakdown[kind];
            assert!(breakdown.samples > 0, "{}: {breakdown:?}", result.label);
            for part in [Part::Network, Part::Batch, Part::Reply] {
                assert!(breakdown.part_ns(part) > 0.0, "{}: {breakdown:?}", result.label);
            }
        }
    }
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
        let bench = workload(&cluster, &everybody(), SMALL, "");
        let summary = assert_linearizable(&bench);
        assert!(summary.results.iter().all(|result| result.transport == "memory"));
        assert!(summary.results.iter().all(|result| result.counters.log_syncs == 0));
    }
}

#[test]
fn two_groups_share_the_keys() {
    let bench = workload("durability: none, cores: 2", "multi_paxos, abd, paxos", SMALL, "");
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
    assert_linearizable(&workload(
        "durability: none",
        "unreplicated, multi_paxos, paxos",
        load,
        "",
    ));
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let load = format!("{SMALL}, arrival: {{ open: {{ rate: 2k }} }}");
    let summary =
        assert_linearizable(&workload_for("1500ms", "durability: none", "multi_paxos", &load, ""));
    let rate = summary.results[0].overall.ops_per_second;
    assert!((1500.0..2500.0).contains(&rate), "{rate}");
}

#[test]
fn an_open_loop_changes_its_rate() {
    let steps = "steps: [{ for: 100ms, rate: 500 }, { for: 1s, rate: 4k }]";
    let load = format!("{SMALL}, arrival: {{ open: {{ rate: 500, {steps} }} }}");
    let summary =
        assert_linearizable(&workload_for("1500ms", "durability: none", "multi_paxos", &load, ""));
    let result = &summary.results[0];
    // A second of 4,000 and half a second of 500.
    assert!((3_800..4_700).contains(&result.overall.count), "{}", result.overall.count);
}

#[test]
fn values_of_many_sizes() {
    let load = "clients: 16, keys: { count: 50 }, values: { uniform: { min: 8B, max: 20KiB } }";
    assert_linearizable(&workload(LOG, "multi_paxos, abd", load, ""));
}

/// More requests are under way than fit a frame.
#[test]
fn frames_as_short_as_they_may_be() {
    let cluster = "durability: none, limits: { frame_bytes: 8KiB }, batch: { max_bytes: 4KiB }";
    assert_linearizable(&workload(cluster, "multi_paxos, abd", "clients: 1000", ""));
}

#[test]
fn the_log_is_cut_by_snapshots() {
    let cluster = "durability: group, log: { segment_bytes: 4MiB, snapshot_bytes: 4MiB }";
    let load = "clients: 64, keys: { count: 500 }, values: { fixed: 4KiB }, mix: { put: 100% }";
    let faults = "faults: [{ at: 400ms, action: kill, target: follower, restart_after: 100ms }]";
    assert_linearizable(&workload(cluster, "multi_paxos, abd, paxos", load, faults));
}

#[test]
fn killed_replicas_come_back() {
    for target in ["follower", "leader"] {
        let faults = format!(
            "faults: [{{ at: 400ms, action: kill, target: {target}, restart_after: 200ms }}]"
        );
        let load = format!("{SMALL}, timeout: 100ms");
        let bench = workload(SMALL_LOG, "multi_paxos, raft, viewstamped, zab", &load, &faults);
        let summary = assert_linearizable(&bench);
        for result in &summary.results {
            assert_eq!(result.faults.len(), 2, "one kill and one restart");
        }
    }
}

#[test]
fn a_witness_fills_in() {
    let faults = "faults: [{ at: 400ms, action: kill, target: 1, restart_after: 100ms }, \
                  { at: 1s, action: kill, target: leader, restart_after: 100ms }]";
    let (cluster, load) =
        (format!("witnesses: 1, {SMALL_LOG}"), format!("{SMALL}, timeout: 100ms"));
    let summary = assert_linearizable(&workload(&cluster, "viewstamped", &load, faults));
    assert_eq!(summary.results[0].faults.len(), 4, "two kills and two restarts");
}

#[test]
fn replicas_without_a_leader_come_back() {
    let faults = "faults: [{ at: 400ms, action: kill, target: random, restart_after: 200ms }]";
    let load = format!("{SMALL}, timeout: 100ms");
    let summary = assert_linearizable(&workload(
        SMALL_LOG,
        "abd, paxos, quorum, paxos_commit",
        &load,
        faults,
    ));
    assert!(summary.results.iter().all(|result| result.faults.len() == 2));
}

#[test]
fn money_only_moves_while_a_coordinator_is_killed() {
    let faults = "faults: [{ at: 400ms, action: kill, target: 1, restart_after: 100ms }]";
    let load = "clients: 16, mix: { transaction: 100% }, keys: { count: 400 }, timeout: 500ms, \
                transaction: { shape: transfer, accounts: 4, audits: 20% }";
    let protocols = "two_phase_commit, paxos_commit";
    let summary = assert_linearizable(&workload_for("3s", LOG, protocols, load, faults));
    for result in &summary.results {
        assert!(result.verdict.words().contains(" audits + balances"), "{:?}", result.verdict);
        let aborted = result.aborted.expect("keys are accounts");
        assert!(0 < aborted && aborted < result.overall.count, "{aborted} of them");
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
fn pauses_end_by_themselves_and_come_again() {
    let faults = "faults: [{ after_ops: 100, delay: 50ms, action: pause, target: random, for: 60ms, \
                  repeat: { every: 200ms, times: 3 } }]";
    let load = format!("{SMALL}, timeout: 100ms");
    let summary = assert_linearizable(&workload("durability: none", "multi_paxos", &load, faults));
    let actions: Vec<&str> =
        summary.results[0].faults.iter().map(|fault| fault.action.as_str()).collect();
    assert_eq!(actions, ["pause", "resume", "pause", "resume", "pause", "resume"]);
}

#[test]
fn a_fault_follows_another() {
    let faults = "faults: [{ at: 300ms, action: kill, target: leader, restart_after: 100ms }, \
                  { on: leader_elected, action: pause, target: leader, for: 50ms }, \
                  { on: replica_ready, delay: 10ms, action: pause, target: follower, for: 50ms }]";
    let load = format!("{SMALL}, timeout: 100ms");
    // Long enough for an election on a machine that is busy with other things.
    let bench = workload_for("4s", SMALL_LOG, "multi_paxos", &load, faults);
    let summary = assert_linearizable(&bench);
    let faults = &summary.results[0].faults;
    assert_eq!(faults.len(), 6, "{faults:?}");
    assert!(
        faults.iter().any(|fault| fault.action == "pause" && fault.target.ends_with("(leader)"))
    );
}

#[test]
fn a_fault_whose_event_never_comes_spoils_the_run() {
    let faults = "faults: [{ on: replica_ready, action: kill, target: follower }]";
    let bench = workload("durability: none", "abd", SMALL, faults);
    let output = bench.run();
    assert_eq!(output.status.code(), Some(1));
    let summary = bench.summary();
    assert_eq!(summary.results[0].faults[0].evidence, "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("did not happen: kill follower"), "{said}");
}

/// One fault at 300 ms; its evidence.
fn evidence_of(protocols: &str, fault: &str) -> Vec<String> {
    let faults = format!("faults: [{{ at: 300ms, {fault} }}]");
    let load = format!("{SMALL}, timeout: 100ms");
    let summary = assert_linearizable(&workload(SMALL_LOG, protocols, &load, &faults));
    let results = summary.results.iter();
    results.map(|result| result.faults[0].evidence.clone()).collect()
}

#[test]
fn links_are_slow() {
    let link = "link: { delay: 4ms, jitter: 1ms, bandwidth: 100MiB }";
    let fault = format!("action: degrade, target: random, for: 500ms, {link}");
    for evidence in evidence_of("multi_paxos, abd", &fault) {
        let late = evidence.split("late by ").nth(1).and_then(|rest| rest.split(' ').next());
        let late_ms: f64 = late.and_then(|late| late.parse().ok()).expect(&evidence);
        assert!(late_ms >= 3.0, "{evidence}");
    }
}

#[test]
fn links_lose_double_and_reorder_frames() {
    let link = "link: { delay: 1ms, jitter: 1ms, loss: 5%, duplication: 5%, reorder: true }";
    let fault = format!("action: degrade, target: leader, for: 600ms, {link}");
    for evidence in evidence_of("multi_paxos", &fault) {
        assert!(evidence.contains("frames lost, "), "{evidence}");
        assert!(evidence.contains("frames doubled in 0.6 s"), "{evidence}");
    }
    evidence_of("abd, paxos", &fault.replace("leader", "random"));
}

#[test]
fn replicas_are_cut_off() {
    for fault in [
        "target: follower, for: 400ms",
        "target: leader, for: 400ms",
        "target: leader, for: 400ms, direction: in",
        "target: leader, for: 400ms, direction: out, hold: true",
        "target: 0, for: 400ms, peers: [1]",
    ] {
        for evidence in evidence_of("multi_paxos", &format!("action: partition, {fault}")) {
            assert!(evidence.contains(if fault.contains("hold") { "held" } else { "lost" }));
        }
    }
    evidence_of("abd, paxos", "action: partition, target: 2, for: 400ms");
}

#[test]
fn a_disk_stalls() {
    for evidence in evidence_of("multi_paxos, abd", "action: stall, target: 0, for: 200ms") {
        assert!(evidence.contains("writes late by "), "{evidence}");
    }
}

#[test]
fn a_replica_whose_disk_fails_says_so_and_comes_back() {
    let fault = "action: disk_error, target: random, restart_after: 200ms";
    for evidence in evidence_of(&everybody(), fault) {
        assert!(evidence.contains("the log cannot be written"), "{evidence}");
    }
}

#[test]
fn leaders_and_voters_are_changed() {
    let faults = "faults: [{ at: 300ms, action: transfer, target: follower }, \
                  { at: 2s, action: remove, target: leader }, \
                  { at: 4s, action: add, target: random }]";
    let load = format!("{SMALL}, timeout: 100ms");
    // A learner comes close enough on a busy machine, too.
    let patient = "{ raft: { election_timeout: 400ms } }";
    // In two groups: each has a leader and voters of its own.
    for cluster in [SMALL_LOG, "durability: none, cores: 2"] {
        let summary = assert_linearizable(&workload_for("9s", cluster, patient, &load, faults));
        let evidence = |index: usize| summary.results[0].faults[index].evidence.as_str();
        assert!(evidence(0).starts_with("leads after "), "{}", evidence(0));
        assert!(evidence(1).starts_with("votes no more after "), "{}", evidence(1));
        assert!(evidence(2).starts_with("votes after "), "{}", evidence(2));
    }
}

/// It is told of the change before it knows whom to meet.
#[test]
fn a_replica_that_comes_back_is_not_ended_by_a_change() {
    let faults = "faults: [{ at: 300ms, action: kill, target: follower, restart_after: 100ms }, \
                  { at: 402ms, action: transfer, target: follower }]";
    let load = format!("{SMALL}, timeout: 100ms");
    assert_linearizable(&workload_for("4s", SMALL_LOG, "raft", &load, faults));
}

#[test]
fn a_change_that_changes_nothing_spoils_the_run() {
    let faults = "faults: [{ at: 300ms, action: add, target: 1 }]";
    let bench = workload_for("3s", "durability: none", "raft", SMALL, faults);
    assert_eq!(bench.run().status.code(), Some(1));
    assert_eq!(bench.summary().results[0].faults[0].evidence, "");
}

#[test]
fn links_are_long_from_the_start() {
    let cluster =
        "durability: none, links: { delays: [[0, 5ms, 9ms], [5ms, 0, 9ms], [9ms, 9ms, 0]] }";
    let summary = assert_linearizable(&workload(cluster, "multi_paxos, abd", SMALL, ""));
    for result in &summary.results {
        assert!(result.overall.p50_ns >= 10_000_000, "a round trip to the nearest other replica");
    }
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
            // A run of a moment on a busy machine may fail a gate.
            command.arg(folder.path()).arg("--anyway");
        }
        let output = command.output().expect("the program starts");
        assert_success(&output);
        assert!(String::from_utf8_lossy(&output.stdout).contains("ops/s"));
    }
}
