//! `--set` on the tree: short forms grow, choices are replaced, lists go by number.

use std::path::Path;

use synod_workloads::{Arrival, KeyDistribution, Spacing, Trigger, Workload, load};

use crate::support;

const BASE: &str = "
name: base
protocols: [multi_paxos, abd]
load:
  arrival: { closed: { outstanding: 2 } }
  keys: { distribution: uniform }
faults:
  - { at: 2s, action: kill, target: leader }
";

fn with(overrides: &[&str]) -> Workload {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    match load(Path::new("base.yaml"), BASE, &support::catalog(), &overrides) {
        Ok(workload) => workload,
        Err(said) => panic!("{said}"),
    }
}

#[test]
fn a_key_that_the_file_lacks_is_made() {
    assert_eq!(with(&["cluster.batch.max_ops=64"]).cluster.batch.max_ops, 64);
    assert_eq!(with(&["cluster.data=/tmp/x=y"]).cluster.data.as_deref(), Some("/tmp/x=y".as_ref()));
}

#[test]
fn the_last_override_wins() {
    assert_eq!(with(&["seed=2", "seed=3"]).seed, 3);
    assert_eq!(with(&["load.clients=64", "load={ clients: 32 }"]).load.clients, 32);
}

#[test]
fn a_protocol_without_parameters_gets_some() {
    let workload = with(&["protocols.0.multi_paxos.heartbeat=10ms", "protocols.1.abd.label=two"]);
    assert_eq!(workload.protocols[0].parameters[0], 10_000_000);
    assert_eq!(workload.protocols[1].label, "two");
    assert_eq!(with(&["protocols=[abd]"]).protocols.len(), 1);
}

#[test]
fn a_choice_is_replaced() {
    let open =
        Arrival::Open { rate_per_second: 10_000.0, spacing: Spacing::Constant, steps: Vec::new() };
    let overrides = ["load.arrival.open.rate=10k", "load.arrival.open.spacing=constant"];
    assert_eq!(with(&overrides).load.arrival, open);
    let closed = Arrival::Closed { outstanding: 2, think_ns: 5_000 };
    assert_eq!(with(&["load.arrival.closed.think=5us"]).load.arrival, closed);
    assert_eq!(
        with(&["load.keys.distribution.zipfian.theta=0.5"]).load.keys.distribution,
        KeyDistribution::Zipfian { theta: 0.5 }
    );
}

#[test]
fn lists_go_by_number() {
    assert_eq!(with(&["faults.0.at=3s"]).faults[0].trigger, Trigger::At(3_000_000_000));
    assert!(with(&["faults=[]"]).faults.is_empty());
}

#[test]
fn an_empty_value_is_the_default() {
    assert_eq!(with(&["cluster.data=", "load.keys="]).load.keys.count, 100_000);
}
