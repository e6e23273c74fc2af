//! Workload files in virtual time: the same results each time, latencies that the simulated machines
//! explain, and the faults that strike real clusters.

use std::process::Command;

use synod_results::run_folder::RunFolder;
use synod_results::summary::Summary;

/// The way between two simulated machines.
const HOP_NS: u64 = 15_000;

fn simulate(file: &str, set: &[&str]) -> Summary {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let workloads = concat!(env!("CARGO_MANIFEST_DIR"), "/../workloads/");
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
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
        format!("{:?} {:?} {:?}", result.overall, result.counters, result.series)
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
fn groups_and_load_threads_are_machines_of_their_own() {
    let set = ["cluster.cores=2", "load.threads=2", "phases.measure=2s", "load.clients=16"];
    let summary = simulate("quickstart.yaml", &set);
    for result in &summary.results {
        assert!(result.verdict.is_pass(), "{}: {:?}", result.label, result.verdict);
        assert_eq!(result.threads.len(), 3 * 2 + 2);
    }
}
