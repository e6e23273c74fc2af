//! The workloads that are shipped: each loads, survives writing, and means the same to another
//! YAML parser.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::Value;
use synod_workloads::{
    Arrival, Durability, FaultAction, KeyDistribution, Target, Trigger, Values, Workload, load,
    load_file,
};

use crate::support;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every workload beside the crate: no files of tests, no suites, and no comparisons of protocols that
/// the catalog of these tests does not have.
fn shipped() -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let of_workloads =
                !["tests", "target", "suites", "compare"].iter().any(|end| path.ends_with(end));
            if path.is_dir() && of_workloads {
                folders.push(path);
            } else if path.is_file() && path.extension().is_some_and(|end| end == "yaml") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
}

fn shipped_workload(name: &str) -> Workload {
    match load_file(&folder().join(name), &support::catalog(), &[]) {
        Ok(workload) => workload,
        Err(said) => panic!("{said}"),
    }
}

#[test]
fn every_shipped_file_loads_and_survives_writing() {
    let catalog = support::catalog();
    let paths = shipped();
    assert!(paths.len() >= 7, "{paths:?}");
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema="), "{}", path.display());
        let workload = load(&path, &text, &catalog, &[]).unwrap_or_else(|said| panic!("{said}"));
        let yaml = workload.to_yaml(&catalog);
        let json = serde_json::to_string_pretty(&workload.to_json(&catalog)).unwrap();
        for (form, text) in [("resolved.yaml", yaml), ("resolved.json", json)] {
            let again = load(Path::new(form), &text, &catalog, &[])
                .unwrap_or_else(|said| panic!("{said}\n{text}"));
            assert_eq!(again, workload, "{text}");
        }
    }
}

#[test]
fn another_parser_agrees() {
    for path in shipped() {
        let text = fs::read_to_string(&path).unwrap();
        let theirs: Value = serde_yaml::from_str(&text).unwrap();
        // Written by the other parser, the file must still mean the same.
        let rewritten = serde_yaml::to_string(&theirs).unwrap();
        let catalog = support::catalog();
        let ours = load(&path, &text, &catalog, &[]).unwrap_or_else(|said| panic!("{said}"));
        let again = load(&path, &rewritten, &catalog, &[])
            .unwrap_or_else(|said| panic!("{said}\n{rewritten}"));
        assert_eq!(ours, again, "{}", path.display());
    }
}

#[test]
fn quickstart_is_what_it_promises() {
    let workload = shipped_workload("quickstart.yaml");
    let names: Vec<&str> = workload.protocols.iter().map(|choice| choice.name.as_str()).collect();
    assert_eq!(names, ["multi_paxos", "abd"]);
    assert_eq!(workload.cluster.replicas, 3);
    assert_eq!(workload.cluster.durability, Durability::Group);
    assert_eq!((workload.load.mix.get, workload.load.mix.put), (0.5, 0.5));
    assert_eq!(workload.load.keys.count, 100_000);
    assert_eq!(workload.load.values, Values::Fixed(16));
    assert_eq!(workload.load.clients, 1024);
    assert_eq!(workload.load.arrival, Arrival::Closed { outstanding: 1, think_ns: 0 });
    assert_eq!(workload.phases.warm_up_ns, 1_000_000_000);
    assert_eq!(workload.phases.measure_ns, 5_000_000_000);
}

#[test]
fn ycsb_mixes_are_the_published_ones() {
    let zipfian = KeyDistribution::Zipfian { theta: 0.99 };
    for (name, get, put, insert, read_modify_write, distribution) in [
        ("a", 0.5, 0.5, 0.0, 0.0, zipfian),
        ("b", 0.95, 0.05, 0.0, 0.0, zipfian),
        ("c", 1.0, 0.0, 0.0, 0.0, zipfian),
        ("d", 0.95, 0.0, 0.05, 0.0, KeyDistribution::Latest { theta: 0.99 }),
        ("f", 0.5, 0.0, 0.0, 0.5, zipfian),
    ] {
        let load = shipped_workload(&format!("ycsb/{name}.yaml")).load;
        let mix = load.mix;
        assert_eq!(
            (mix.get, mix.put, mix.insert, mix.read_modify_write),
            (get, put, insert, read_modify_write),
            "{name}"
        );
        assert_eq!(load.keys.distribution, distribution, "{name}");
        assert_eq!(load.values, Values::Fixed(1000), "{name}");
    }
}

#[test]
fn kill_strikes_a_follower_and_then_the_leader() {
    let workload = shipped_workload("faults/kill.yaml");
    let faults: Vec<_> = workload
        .faults
        .iter()
        .map(|fault| (fault.trigger, fault.action, fault.target, fault.restart_after_ns))
        .collect();
    let second = 1_000_000_000;
    assert_eq!(
        faults,
        [
            (Trigger::At(2 * second), FaultAction::Kill, Target::Follower, Some(second)),
            (Trigger::At(5 * second), FaultAction::Kill, Target::Leader, Some(second)),
        ]
    );
    assert!(workload.phases.total_ns() >= 8 * second);
}
