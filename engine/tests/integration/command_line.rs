//! What the program says about input that is wrong, and how it ends.

use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::{Bench, assert_success, synod};

/// Exit code and standard error of `synod check` with a workload.
fn check(yaml: &str, arguments: &[&str]) -> (i32, String) {
    let bench = Bench::new(yaml);
    let output = synod().arg("check").arg(&bench.file).args(arguments).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr)
        .replace(&format!("{}/", bench.folder.path().display()), "");
    (output.status.code().expect("no signal"), said)
}

#[test]
fn shipped_workloads_are_right() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../workloads");
    for file in ["quickstart.yaml", "ycsb/a.yaml", "ycsb/d.yaml", "ycsb/f.yaml", "faults/kill.yaml"]
    {
        let output = synod().arg("check").arg(format!("{folder}/{file}")).output().expect("starts");
        assert_success(&output);
    }
}

#[test]
fn wrong_input_is_told_and_ends_with_2() {
    for (yaml, arguments, expected) in [
        ("protocols: [multi_paxo]\n", &[][..], "workload.yaml:1:13: protocols.0"),
        ("protocols: [abd]\ncluster: { replcas: 3 }\n", &[], "workload.yaml:2:12: cluster.replcas"),
        (
            "protocols:\n  - multi_paxos: { phase1_quorum: 1, phase2_quorum: 2 }\n",
            &[],
            "workload.yaml:2:",
        ),
        ("protocols: [abd]\n", &["--set", "load.clients=0"], "load.clients"),
        (
            "protocols:\n  - quorum: { votes: 21 }\n",
            &[],
            "workload.yaml:2:22: protocols.0.quorum.votes",
        ),
        ("protocols:\n  - quorum: { write_quorum: 4 }\n", &[], "must not be more than the votes"),
        ("protocols: [abd]\nload: { mix: { add: 100% } }\n", &[], "load.mix"),
    ] {
        let (code, said) = check(yaml, arguments);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_wrong_model_is_told_and_ends_with_2() {
    let bench = Bench::new("protocols: [abd]\n");
    let model = bench.folder.path().join("model.yaml");
    std::fs::write(&model, "model: { turn: 5 }\n").expect("it is written");
    for command in ["sim", "predict"] {
        let arguments = [bench.file.as_os_str(), "--model".as_ref(), model.as_os_str()];
        let output = synod().arg(command).args(arguments).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("model.yaml:1:16: model.turn: found `5`"), "{said}");
    }
}

#[test]
fn what_is_not_to_be_measured_is_only_predicted() {
    let load = "load: { clients: 8, keys: { count: 10 } }\n";
    let phases = "phases: { warm_up: 5ms, measure: 50ms }\n";
    let bench = Bench::new(&format!("name: small\nprotocols: [multi_paxos, abd]\n{load}{phases}"));
    let arguments = [bench.file.as_os_str(), "--no-measure".as_ref()];
    let output = synod().arg("predict").args(arguments).output().expect("it starts");
    assert_success(&output);
    let said = String::from_utf8_lossy(&output.stdout);
    for label in ["multi_paxos", "abd"] {
        let known = |line: &&str| line.starts_with("small") && line.contains(label);
        assert_eq!(said.lines().filter(known).count(), 2, "{said}");
    }
    assert!(!said.contains("median error"), "{said}");
}

#[test]
fn a_wrong_workload_is_not_begun() {
    let bench = Bench::new("protocols: [abd]\nrepeats: many\n");
    assert_eq!(bench.run().status.code(), Some(2));
    assert!(!bench.runs().exists());
}

#[test]
fn a_missing_file_is_named() {
    let output = synod().args(["run", "nowhere/nothing.yaml"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere/nothing.yaml"));
}

#[test]
fn the_schema_of_workloads_is_up_to_date() {
    let output = synod().arg("schema").output().expect("it starts");
    assert_success(&output);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../workloads/schema.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, &output.stdout).expect("the schema is written");
    }
    let kept = std::fs::read(file).expect("workloads/schema.json is there");
    assert!(kept == output.stdout, "run the tests with UPDATE=1 to write workloads/schema.json");
}

/// Processes that this test's program has started.
fn replicas_of(parent: &Child) -> usize {
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    std::fs::read_to_string(children).map_or(0, |pids| pids.split_whitespace().count())
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_leaves_nothing_running() {
    let bench = Bench::new(
        "protocols: [multi_paxos]\ncluster: { durability: none }\n\
         load: { clients: 8, keys: { count: 100 } }\nphases: { warm_up: 100ms, measure: 60s }\n",
    );
    let mut child = synod()
        .arg("run")
        .arg(&bench.file)
        .arg("--no-limits")
        .arg("--runs")
        .arg(bench.runs())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    wait_until(|| replicas_of(&child) == 3);
    pause(Duration::from_millis(1500));
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill is there");
    assert!(sent.success());
    let output = child.wait().expect("it ends");
    assert_eq!(output.code(), Some(1), "an incomplete run is not a success");
    let summary = bench.summary();
    assert!(!summary.complete);
    assert!(summary.results[0].verdict.is_pass());
    assert!(summary.results[0].overall.count > 0, "what was measured is kept");
}

fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        pause(Duration::from_millis(10));
    }
    panic!("it did not happen within 10 s");
}

#[expect(clippy::disallowed_methods, reason = "the test waits for another process")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[test]
fn a_history_is_verified_and_exported() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |process: u32, value: u32| {
        format!(
            "{{:process {process}, :type :invoke, :f :write, :value [1 {value}]}}\n\
             {{:process {process}, :type :ok, :f :write, :value [1 {value}]}}\n"
        )
    };
    let read = "{:process 3, :type :invoke, :f :read, :value [1 nil]}\n\
                {:process 3, :type :ok, :f :read, :value [1 6]}\n";
    let run = |arguments: &[&str]| {
        let output = synod().current_dir(folder.path()).args(arguments).output().expect("starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().expect("no signal"), String::from_utf8_lossy(&said).into_owned())
    };
    for (text, code, words) in [
        (write(1, 5) + &write(2, 6) + read, 0, "h.edn: linearizable: yes, 3 ops"),
        (write(1, 6) + &write(2, 5) + read, 1, "h.edn: NOT LINEARIZABLE: key 1"),
        (String::new(), 1, "h.edn: cannot be judged: the history is empty"),
        (write(1, 5) + &write(2, 5), 2, "h.edn:3: process 2 writes 5 to key 1, as process 1"),
    ] {
        std::fs::write(folder.path().join("h.edn"), text).expect("written");
        let (ended, said) = run(&["verify", "h.edn", "--svg", "h.svg"]);
        assert!(ended == code && said.starts_with(words), "{ended}: {said}");
        assert_eq!(
            std::fs::remove_file(folder.path().join("h.svg")).is_ok(),
            words.contains("NOT")
        );
    }
    std::fs::write(folder.path().join("h.edn"), write(1, 5)).expect("written");
    for (format, words) in [("edn", ":f :write, :value [1 5]"), ("porcupine", "\"op\":\"put\"")] {
        let (ended, said) = run(&["export", "h.edn", "--format", format]);
        assert!(ended == 0 && said.contains(words), "{ended}: {said}");
    }
    let (ended, said) = run(&["verify", "."]);
    assert!(ended == 2 && said.contains("holds no history.bin"), "{ended}: {said}");
}
