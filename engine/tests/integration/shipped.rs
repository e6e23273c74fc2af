//! The workloads that are shipped, with the protocols that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use synod::registry;
use synod_workloads::{Operation, ParameterKind, Workload, load_file};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workloads")
}

fn workload(file: &Path, set: &[&str]) -> Workload {
    let set: Vec<String> = set.iter().map(|&it| it.to_owned()).collect();
    load_file(file, &registry::catalog(), &set).unwrap_or_else(|said| panic!("{said}"))
}

/// All YAML files in the folders below that of the workloads, but for those of tests, and suites,
/// which are no workloads.
fn shipped() -> Vec<PathBuf> {
    let folders = fs::read_dir(folder()).expect("the workloads are there");
    let folders = folders.map(|entry| entry.expect("it is read").path());
    folders
        .filter(|path| path.is_dir() && !path.ends_with("tests") && !path.ends_with("suites"))
        .flat_map(|path| fs::read_dir(path).expect("it is read"))
        .map(|entry| entry.expect("it is read").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect()
}

#[test]
fn every_workload_is_right() {
    let files = shipped();
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let _is_right = workload(&file, &[]);
    }
}

#[test]
fn all_protocols_with_reads_and_writes_are_compared_whatever_the_number_of_replicas() {
    let protocols = registry::catalog().protocols;
    let with_both = protocols.iter().filter(|protocol| {
        let offered = protocol.operations;
        offered.contains(Operation::Get) && offered.contains(Operation::Put)
    });
    let names: BTreeSet<&str> = with_both.map(|protocol| protocol.name).collect();
    for replicas in [3, 5, 7] {
        let set = format!("cluster.replicas={replicas}");
        let choices = workload(&folder().join("compare/all.yaml"), &[&set]).protocols;
        let compared: BTreeSet<&str> = choices.iter().map(|choice| choice.name.as_str()).collect();
        assert_eq!(compared, names);
    }
}

#[test]
fn leaders_crash_at_equal_time_outs() {
    let catalog = registry::catalog();
    let crash = workload(&folder().join("compare/leader_crash.yaml"), &[]);
    let durations = crash.protocols.iter().map(|choice| {
        let known = &catalog.find(&choice.name).expect("it was checked").parameters;
        let with_values = known.iter().zip(&choice.parameters);
        with_values
            .filter(|(known, _)| known.kind == ParameterKind::Duration)
            .map(|(_, &value)| value)
            .collect::<Vec<u64>>()
    });
    assert_eq!(durations.collect::<BTreeSet<_>>().len(), 1);
}
