//! Suites: what they become, and what is said of those that are wrong.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;

use synod_workloads::{Suite, load_suite};

use crate::support;

/// The suite `text` beside a workload, or what is said of it.
fn suite(text: &str) -> Result<Suite, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("base.yaml"), "protocols: [abd]\n").unwrap();
    let file = folder.path().join("suite.yaml");
    fs::write(&file, text).unwrap();
    load_suite(&file, &support::catalog())
        .map_err(|said| said.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn names(suite: &Suite) -> Vec<String> {
    let name = |point| {
        let values: Vec<&str> = suite.settings(point).map(|(_, value)| value).collect();
        values.join(" ")
    };
    suite.points.iter().map(name).collect()
}

#[test]
fn points_are_the_combinations_that_are_not_skipped() {
    let suite = suite(
        "workload: base.yaml\nrepeats: 2\nset: { load.clients: 64 }\n\
         vary:\n  cluster.window: [1, 4]\n  cluster.batch.max_ops: { from: 1, to: 16, factor: 4 }\n\
         skip:\n- { cluster.window: 4, cluster.batch.max_ops: [4, 16] }\n",
    )
    .unwrap();
    assert_eq!(names(&suite), ["1 1", "1 4", "1 16", "4 1"]);
    let last = &suite.points[3].workload;
    assert_eq!((last.cluster.window, last.cluster.batch.max_ops, last.load.clients), (4, 1, 64));
    assert_eq!(
        suite.order(),
        [(0, 0), (0, 1), (0, 2), (0, 3), (1, 3), (1, 2), (1, 1), (1, 0)],
        "the second repeat goes the other way"
    );
}

#[test]
fn cases_set_several_keys_together() {
    let suite = suite(
        "workload: base.yaml\ncases:\n- { name: small, set: { cluster.replicas: 3 } }\n\
         - { name: large, set: { cluster.replicas: 5, load.clients: 128 } }\n\
         vary: { load.mix: ['{ get: 100% }', '{ put: 100% }'] }\n",
    );
    let said = suite.unwrap_err();
    assert!(said.contains("suite.yaml:5:20: load.mix: found"), "a quoted mapping is text: {said}");
    let suite = self::suite(
        "workload: base.yaml\ncases:\n- { name: small, set: { cluster.replicas: 3 } }\n\
         - { name: large, set: { cluster.replicas: 5, load.clients: 128 } }\n\
         vary: { load.mix: [{ get: 100% }, { put: 100% }] }\n",
    )
    .unwrap();
    assert_eq!(
        names(&suite),
        [
            "small { get: 100% }",
            "small { put: 100% }",
            "large { get: 100% }",
            "large { put: 100% }"
        ]
    );
    assert_eq!(suite.points[3].workload.load.clients, 128);
    assert_eq!(suite.points[3].workload.cluster.replicas, 5);
}

#[test]
fn ranges_keep_their_units() {
    for (path, range, values) in [
        ("load.clients", "{ from: 1k, to: 3k, step: 1000 }", vec!["1k", "2k", "3k"]),
        (
            "load.arrival.open.rate",
            "{ from: 50k, to: 200k/s, factor: 2 }",
            vec!["50k", "100k", "200k"],
        ),
        ("load.values.fixed", "{ from: 16B, to: 4KiB, factor: 16 }", vec!["16B", "256B", "4KiB"]),
        (
            "cluster.batch.linger",
            "{ from: 0us, to: 200us, step: 100us }",
            vec!["0s", "100us", "200us"],
        ),
        (
            "load.keys.distribution.zipfian.theta",
            "{ from: 0.1, to: 0.3, step: 0.1 }",
            vec!["0.1", "0.2", "0.3"],
        ),
        ("cluster.window", "{ from: 1, to: 10, factor: 1.5 }", vec!["1", "2", "3", "5", "8"]),
    ] {
        let suite = suite(&format!("workload: base.yaml\nvary: {{ {path}: {range} }}\n")).unwrap();
        assert_eq!(suite.axes[0].values, values, "{path}: {range}");
    }
}

#[test]
fn wrong_suites_say_what_to_write() {
    for (text, said) in [
        (
            "vary: { cluster.window: [1] }\n",
            "suite.yaml:1:1: workload: found nothing; a suite says which workload it varies; write \
             `workload: ../quickstart.yaml`",
        ),
        (
            "workload: base.yaml\nvery: { cluster.window: [1] }\n",
            "suite.yaml:2:1: very: found it (did you mean `vary`?); a suite has no such key; use \
             one of name, description, workload, repeats, simulated, set, vary, cases, skip",
        ),
        (
            "workload: base.yaml\nvary:\n  cluster.window: [1, 9999]\n",
            "suite.yaml:3:23: cluster.window: found `9999`; must be a whole number from 1 to 4096; \
             write at most `4096`",
        ),
        (
            "workload: base.yaml\nvary:\n  cluster.windw: [1]\n",
            "suite.yaml:3:19: cluster.windw: found an unknown key",
        ),
        (
            "workload: base.yaml\nrepeats: 0\n",
            "suite.yaml:2:10: repeats: found `0`; must be a whole number from 1 to 1000; write for \
             example `5`",
        ),
        (
            "workload: base.yaml\nvary: { cluster.window: { from: 8, to: 1, step: 1 } }\n",
            "suite.yaml:2:25: vary.cluster.window: found a range without end; a range goes from \
             less to more",
        ),
        (
            "workload: base.yaml\nvary: { cluster.window: { from: 1, to: 8, stop: 1 } }\n",
            "suite.yaml:2:43: vary.cluster.window: found the key `stop` (did you mean `step`?)",
        ),
        (
            "workload: base.yaml\nvary: { cluster.window: [1] }\nskip: [{ cluster.window: 1 }]\n",
            "suite.yaml: skip: every point is skipped",
        ),
        (
            "workload: base.yaml\nvary: { cluster.window: [1] }\nskip: [{ cluster.window: 2 }]\n",
            "suite.yaml:3:26: skip.cluster.window: found 2; a point is skipped by values of what \
             varies",
        ),
        ("workload: none.yaml\n", "none.yaml: No such file or directory"),
    ] {
        let found = suite(text).expect_err(text);
        assert!(found.contains(said), "{text}\nsaid: {found}");
    }
}
