//! Suites: those that are shipped can be run, and one that was interrupted goes on.

use std::fs;
use std::path::Path;
use std::process::Output;

use synod_results::run_folder::RunFolder;
use synod_results::suite::SuiteFolder;

use crate::support;

fn synod(arguments: &[&str]) -> Output {
    support::synod().args(arguments).output().expect("the program starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn every_shipped_suite_has_sound_points() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workloads/suites");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("there are suites") {
        let file = entry.expect("it can be listed").path();
        let output = synod(&["suite", &file.to_string_lossy(), "--dry-run"]);
        assert!(output.status.success(), "{}: {}", file.display(), said(&output));
        count += 1;
    }
    assert!(count >= 11, "only {count}");
}

const SUITE: &str = "workload: small.yaml
repeats: 2
simulated: true
vary:
  cluster.window: [1, 4]
  load.clients: [8, 16]
";

const SMALL: &str = "protocols: [multi_paxos, abd]
load: { keys: { count: 10 }, arrival: { closed: { think: 1ms } } }
phases: { warm_up: 100ms, measure: 3s }
";

#[test]
fn what_was_interrupted_goes_on_where_it_was() {
    let place = tempfile::tempdir().expect("a temporary folder");
    fs::write(place.path().join("small.yaml"), SMALL).expect("it is written");
    let file = place.path().join("suite.yaml");
    fs::write(&file, SUITE).expect("it is written");
    let suites = place.path().join("suites");
    let arguments = ["suite", &file.to_string_lossy(), "--suites", &suites.to_string_lossy()];
    let output = synod(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    let folder = fs::read_dir(&suites).expect("it is there").next().expect("one suite");
    let path = folder.expect("it can be listed").path();
    let (folder, mut index) = SuiteFolder::open(&path).expect("the index is whole");
    assert!(index.complete);
    let ran: Vec<(usize, u32)> = index.runs.iter().map(|run| (run.point, run.repeat)).collect();
    assert_eq!(ran, [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (2, 1), (1, 1), (0, 1)]);
    let labels = |run: usize| {
        let run = folder.runs().join(&index.runs[run].folder);
        let (_, summary) = RunFolder::open(&run).expect("the run folder is whole");
        summary.results.iter().map(|result| result.label.clone()).collect::<Vec<_>>()
    };
    assert_eq!(labels(0), ["multi_paxos", "abd"]);
    assert_eq!(labels(7), ["abd", "multi_paxos"], "the second repeat goes the other way");

    let lost = index.runs.split_off(6);
    index.complete = false;
    folder.write(&index).expect("it is written");
    let kept = index.runs.clone();
    let output = synod(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("goes on, 6 of 8 runs are there"), "{}", said(&output));
    let (_, index) = SuiteFolder::open(&path).expect("the index is whole");
    assert!(index.complete);
    assert_eq!(index.runs[..6], kept, "what was there is not run again");
    let point = |run: &synod_results::suite::SuiteRun| (run.point, run.repeat);
    assert_eq!(
        index.runs[6..].iter().map(point).collect::<Vec<_>>(),
        lost.iter().map(point).collect::<Vec<_>>()
    );

    let output = synod(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_dir(&suites).expect("it is there").count(), 2, "a whole one is kept");
}

#[test]
fn a_wrong_suite_is_told_where_it_is_wrong() {
    let place = tempfile::tempdir().expect("a temporary folder");
    fs::write(place.path().join("small.yaml"), SMALL).expect("it is written");
    let file = place.path().join("suite.yaml");
    let wrong = "workload: small.yaml\nvary: { cluster.replicas: [3, 77] }\n";
    fs::write(&file, wrong).expect("it is written");
    let output = synod(&["suite", &file.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("suite.yaml:2:31: cluster.replicas: found `77`"));
}

#[test]
fn a_knee_lies_between_a_rate_that_holds_and_one_that_does_not() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let file = place.path().join("small.yaml");
    let small = "protocols: [unreplicated]
load: { clients: 512, keys: { count: 10 } }
phases: { warm_up: 100ms, measure: 1s }
";
    fs::write(&file, small).expect("it is written");
    let suites = place.path().join("suites");
    let slo = "p99<2ms";
    let output = synod(&[
        "knee",
        &file.to_string_lossy(),
        "--slo",
        slo,
        "--simulated",
        "--repeats",
        "1",
        "--suites",
        &suites.to_string_lossy(),
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let folder = fs::read_dir(&suites).expect("it is there").next().expect("one search");
    let path = folder.expect("it can be listed").path();
    let (folder, index) = SuiteFolder::open(&path).expect("the index is whole");
    let objective = synod_results::objective::Objective::parse(slo).expect("it is one");
    let mut held = 0.0_f64;
    let mut failed = f64::INFINITY;
    for run in &index.runs {
        let (_, summary) = RunFolder::open(&folder.runs().join(&run.folder)).expect("it is whole");
        let overall = &summary.results[0].overall;
        if !index.settings(run.point).any(|(_, value)| value == "closed") {
            if objective.holds(overall) {
                held = held.max(overall.ops_per_second);
            } else {
                failed = failed.min(overall.ops_per_second);
            }
        }
    }
    assert!(held > 0.0 && held < failed && failed < held * 1.2, "{held} {failed}");
    assert!(said(&output).contains("unreplicated: p99 < 2.00 ms holds at"), "{}", said(&output));
}

#[test]
fn tuning_tells_what_it_expected_and_what_came_out() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let file = place.path().join("small.yaml");
    let small = "protocols: [multi_paxos]
cluster: { durability: none }
load: { clients: 256, keys: { count: 10 } }
phases: { warm_up: 50ms, measure: 300ms }
";
    fs::write(&file, small).expect("it is written");
    let suites = place.path().join("suites");
    let output = synod(&[
        "tune",
        &file.to_string_lossy(),
        "--slo",
        "p99<1s",
        "--simulated",
        "--repeats",
        "1",
        "--suites",
        &suites.to_string_lossy(),
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    let off = text.lines().find(|line| line.contains("the prediction is off by"));
    let words: Vec<&str> = off.unwrap_or_else(|| panic!("{text}")).split_whitespace().collect();
    let percent: f64 = words[5].parse().expect("a number");
    // On simulated machines the same each time.
    assert!(percent <= 15.0, "{text}");
    // What is printed to paste is a part of a workload.
    let (_, yaml) = text.split_once("cluster:\n").expect("there is YAML to paste");
    let yaml = yaml.split_once("\n\n").expect("it ends").0;
    let pasted = format!("protocols: [multi_paxos]\ncluster:\n{yaml}\n");
    fs::write(&file, pasted).expect("it is written");
    let output = synod(&["check", &file.to_string_lossy()]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_report_is_one_page_with_everything_in_it() {
    let place = tempfile::tempdir().expect("a temporary folder");
    fs::write(place.path().join("small.yaml"), SMALL).expect("it is written");
    let file = place.path().join("suite.yaml");
    fs::write(&file, SUITE.replace("repeats: 2", "repeats: 1")).expect("it is written");
    let suites = place.path().join("suites");
    let output = synod(&["suite", &file.to_string_lossy(), "--suites", &suites.to_string_lossy()]);
    assert!(output.status.success(), "{}", said(&output));
    let folder = fs::read_dir(&suites).expect("it is there").next().expect("one suite");
    let folder = folder.expect("it can be listed").path();
    let (csv, pictures) = (place.path().join("all.csv"), place.path().join("pictures"));
    let output = synod(&[
        "report",
        &folder.to_string_lossy(),
        "--csv",
        &csv.to_string_lossy(),
        "--svg",
        &pictures.to_string_lossy(),
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let page = fs::read_to_string(folder.join("report.html")).expect("the page is there");
    for part in ["all 8 results are valid", "class=\"heat\"", "multi_paxos, window 4", "NaN"] {
        assert_eq!(page.contains(part), part != "NaN", "{part}");
    }
    // Nothing is asked of a network: links of namespaces and of the license's words aside.
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
    let lines = fs::read_to_string(&csv).expect("the values are there");
    assert_eq!(lines.lines().count(), 9, "{lines}");
    let columns: Vec<usize> = lines.lines().map(|line| line.split(',').count()).collect();
    assert!(columns.iter().all(|&count| count == columns[0]), "{lines}");
    assert!(fs::read_dir(&pictures).expect("pictures are there").count() >= 4);
    assert!(page.contains("<figure id=\"breakdown\">") && page.contains("multi_paxos: put"));
    assert!(lines.starts_with("cluster.window,") && lines.contains(",put_quorum_wait_ns,"));
    let run = fs::read_dir(folder.join("runs")).expect("they are there").next().expect("one run");
    let run = run.expect("it can be listed").path();
    let output = synod(&["report", &run.to_string_lossy(), "--svg", &pictures.to_string_lossy()]);
    assert!(output.status.success(), "{}", said(&output));
    let page = fs::read_to_string(run.join("report.html")).expect("the page is there");
    assert!(page.contains("<figure id=\"breakdown\">") && page.contains("multi_paxos: put"));
    assert!(pictures.join("breakdown.svg").is_file());
    let output = synod(&["report", &place.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(2), "a folder without results");
}
