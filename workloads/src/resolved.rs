//! A workload as a file again, with every default in sight.

use serde_yaml::{Mapping, Value};

use crate::catalog::Catalog;
use crate::choices::{LABEL, parameter_kind};
use crate::machine::{MODEL, MachineModel};
use crate::mix::Operation;
use crate::names::Named;
use crate::scalars::show;
use crate::spec::{
    Arrival, Bank, Cluster, Fault, FaultAction, KeyDistribution, Keys, Link, Links, Load,
    Placement, ProtocolChoice, Repeat, Shape, Target, Transaction, Trigger, Values, Workload,
};
use crate::units::{format_bytes, format_duration, format_rate, format_share};

impl Workload {
    /// The workload as YAML with every default in sight and every number with its unit.
    ///
    /// [`load`](crate::load) makes the same workload of it. `catalog` must be the one that the
    /// workload was read with: it names the parameters.
    #[must_use]
    pub fn to_yaml(&self, catalog: &Catalog) -> String {
        let Ok(text) = serde_yaml::to_string(&self.document(catalog)) else {
            unreachable!("mappings of text and numbers have a form in YAML");
        };
        text
    }

    /// The same as JSON, for results; [`load`](crate::load) reads that as well.
    #[must_use]
    pub fn to_json(&self, catalog: &Catalog) -> serde_json::Value {
        let Ok(value) = serde_json::to_value(self.document(catalog)) else {
            unreachable!("mappings of text and finite numbers have a form in JSON");
        };
        value
    }

    fn document(&self, catalog: &Catalog) -> Value {
        let phases = &self.phases;
        let protocols = self.protocols.iter().map(|choice| protocol(choice, catalog)).collect();
        mapping([
            ("name", text(&self.name)),
            ("description", text(&self.description)),
            ("cluster", cluster(&self.cluster)),
            ("protocols", Value::Sequence(protocols)),
            ("load", load(&self.load)),
            (
                "phases",
                mapping([
                    ("warm_up", duration(phases.warm_up_ns)),
                    ("measure", duration(phases.measure_ns)),
                    ("cool_down", duration(phases.cool_down_ns)),
                ]),
            ),
            ("repeats", self.repeats.into()),
            ("seed", self.seed.into()),
            (MODEL, model(&self.model)),
            ("faults", Value::Sequence(self.faults.iter().map(fault).collect())),
        ])
    }
}

/// A model alone, as YAML.
pub(crate) fn model_document(one: &MachineModel) -> String {
    let Ok(text) = serde_yaml::to_string(&mapping([(MODEL, model(one))])) else {
        unreachable!("mappings of text and numbers have a form in YAML");
    };
    text
}

fn model(model: &MachineModel) -> Value {
    let costs = model.shown().map(|(key, shown)| (key, Value::String(shown)));
    mapping(std::iter::once(("processors", model.processors.into())).chain(costs))
}

fn cluster(cluster: &Cluster) -> Value {
    let (batch, log, limits) = (&cluster.batch, &cluster.log, &cluster.limits);
    let data = cluster.data.as_ref().map(|data| data.to_string_lossy());
    mapping([
        ("replicas", cluster.replicas.into()),
        ("observers", cluster.observers.into()),
        ("witnesses", cluster.witnesses.into()),
        ("cores", cluster.cores.into()),
        ("transport", text(cluster.transport.name())),
        ("durability", text(cluster.durability.name())),
        ("wait", text(cluster.wait.name())),
        ("placement", cluster.placement.as_ref().map_or(Value::Null, placement)),
        ("data", data.map_or(Value::Null, |data| text(&data))),
        (
            "batch",
            mapping([
                ("max_ops", batch.max_ops.into()),
                ("max_bytes", bytes(batch.max_bytes)),
                ("linger", duration(batch.linger_ns)),
                ("objective", duration(batch.objective_ns)),
            ]),
        ),
        ("window", cluster.window.into()),
        (
            "log",
            mapping([
                ("segment_bytes", bytes(log.segment_bytes)),
                ("writes_in_flight", log.writes_in_flight.into()),
                ("retain_bytes", bytes(log.retain_bytes)),
                ("snapshot_bytes", bytes(log.snapshot_bytes)),
            ]),
        ),
        (
            "limits",
            mapping([
                ("frame_bytes", bytes(limits.frame_bytes.into())),
                ("pending_ops", limits.pending_ops.into()),
                ("connections", limits.connections.into()),
                ("sessions", limits.sessions.into()),
                ("memory", bytes(limits.memory_bytes)),
            ]),
        ),
        ("links", cluster.links.as_ref().map_or(Value::Null, links)),
    ])
}

fn links(links: &Links) -> Value {
    let row = |row: &Vec<u64>| Value::Sequence(row.iter().copied().map(duration).collect());
    let delays = links.delays_ns.as_ref();
    mapping([
        ("all", link(&links.all)),
        ("delays", delays.map_or(Value::Null, |rows| rows.iter().map(row).collect())),
    ])
}

fn link(link: &Link) -> Value {
    mapping([
        ("delay", duration(link.delay_ns)),
        ("jitter", duration(link.jitter_ns)),
        ("spread", text(link.spread.name())),
        ("loss", share(f64::from(link.loss_ppm) / 1e6)),
        ("duplication", share(f64::from(link.duplication_ppm) / 1e6)),
        ("bandwidth", link.bandwidth_bytes.map_or(Value::Null, bytes)),
        ("reorder", link.reorder.into()),
    ])
}

fn placement(placement: &Placement) -> Value {
    let list = |numbers: &[u16]| numbers.iter().copied().map(Value::from).collect();
    mapping([
        ("replicas", Value::Sequence(list(&placement.replicas))),
        ("load", Value::Sequence(list(&placement.load))),
    ])
}

fn protocol(choice: &ProtocolChoice, catalog: &Catalog) -> Value {
    let specs = catalog.find(&choice.name).map_or(&[][..], |protocol| &protocol.parameters);
    assert_eq!(specs.len(), choice.parameters.len(), "the catalog is another one");
    let parameters = specs.iter().zip(&choice.parameters).map(|(spec, value)| {
        (Value::from(spec.name), scalar(&show(&parameter_kind(spec), *value)))
    });
    let label = (Value::from(LABEL), text(&choice.label));
    let body: Mapping = std::iter::once(label).chain(parameters).collect();
    mapping([(choice.name.as_str(), Value::Mapping(body))])
}

fn load(load: &Load) -> Value {
    let shares = Operation::ALL.map(|kind| (kind.name(), share(load.mix.share(kind))));
    mapping([
        ("threads", load.threads.into()),
        ("connections", load.connections.into()),
        ("clients", load.clients.into()),
        ("arrival", arrival(&load.arrival)),
        ("mix", mapping(shares)),
        ("transaction", transaction(load.transaction)),
        ("keys", keys(&load.keys)),
        ("values", values(&load.values)),
        ("timeout", duration(load.timeout_ns)),
        ("give_up", duration(load.give_up_ns)),
        ("sample_every", load.sample_every.into()),
    ])
}

fn arrival(arrival: &Arrival) -> Value {
    match arrival {
        Arrival::Closed { outstanding, think_ns } => mapping([(
            "closed",
            mapping([("outstanding", (*outstanding).into()), ("think", duration(*think_ns))]),
        )]),
        Arrival::Open { rate_per_second, spacing, steps } => {
            let rate = |rate: f64| text(&format_rate(rate));
            let steps: Vec<Value> = steps
                .iter()
                .map(|step| {
                    let lasts = duration(step.for_ns);
                    mapping([("for", lasts), ("rate", rate(step.rate_per_second))])
                })
                .collect();
            let steps = if steps.is_empty() { Value::Null } else { Value::Sequence(steps) };
            let spacing = text(spacing.name());
            let open = [("rate", rate(*rate_per_second)), ("spacing", spacing), ("steps", steps)];
            mapping([("open", mapping(open))])
        }
    }
}

fn transaction(shape: Transaction) -> Value {
    match shape {
        Transaction::ReadWrite { reads, writes } => mapping([
            ("shape", text(Shape::ReadWrite.name())),
            ("reads", reads.into()),
            ("writes", writes.into()),
        ]),
        Transaction::Transfer(Bank { accounts, payees, balance, amount, audits }) => mapping([
            ("shape", text(Shape::Transfer.name())),
            ("accounts", accounts.into()),
            ("payees", payees.into()),
            ("balance", balance.into()),
            ("amount", amount.into()),
            ("audits", share(audits)),
        ]),
    }
}

fn keys(keys: &Keys) -> Value {
    let distribution = match keys.distribution {
        KeyDistribution::Uniform => text("uniform"),
        KeyDistribution::Zipfian { theta } => {
            mapping([("zipfian", mapping([("theta", theta.into())]))])
        }
        KeyDistribution::Latest { theta } => {
            mapping([("latest", mapping([("theta", theta.into())]))])
        }
        KeyDistribution::HotSet { keys, operations } => mapping([(
            "hot_set",
            mapping([("keys", share(keys)), ("operations", share(operations))]),
        )]),
    };
    mapping([
        ("count", keys.count.into()),
        ("first", keys.first.into()),
        ("preload", keys.preload.into()),
        ("distribution", distribution),
    ])
}

fn values(values: &Values) -> Value {
    match values {
        Values::Fixed(size) => mapping([("fixed", bytes((*size).into()))]),
        Values::Uniform { min, max } => mapping([(
            "uniform",
            mapping([("min", bytes((*min).into())), ("max", bytes((*max).into()))]),
        )]),
        Values::List(sizes) => {
            let items = sizes.iter().map(|(size, weight)| {
                mapping([("size", bytes((*size).into())), ("weight", (*weight).into())])
            });
            mapping([("list", Value::Sequence(items.collect()))])
        }
    }
}

fn fault(fault: &Fault) -> Value {
    let target = match fault.target {
        Target::Leader => text("leader"),
        Target::Follower => text("follower"),
        Target::Random => text("random"),
        Target::Replica(number) => number.into(),
    };
    let trigger = match fault.trigger {
        Trigger::At(at_ns) => ("at", duration(at_ns)),
        Trigger::AfterOps(operations) => ("after_ops", operations.into()),
        Trigger::On(event) => ("on", text(event.name())),
    };
    let optional = |value: Option<u64>| value.map_or(Value::Null, duration);
    let Repeat { every_ns, times } = fault.repeat;
    let repeat = mapping([("every", duration(every_ns)), ("times", times.into())]);
    let peers: Vec<Value> = fault.peers.iter().copied().map(Value::from).collect();
    let mut entries = vec![
        trigger,
        ("delay", optional(Some(fault.delay_ns).filter(|&delay_ns| delay_ns > 0))),
        ("action", text(fault.action.name())),
        ("target", target),
        ("for", optional(fault.for_ns)),
        ("restart_after", optional(fault.restart_after_ns)),
        ("repeat", if times > 1 { repeat } else { Value::Null }),
    ];
    if fault.action.is_of_links() {
        let peers = if peers.is_empty() { Value::Null } else { Value::Sequence(peers) };
        entries.push(("peers", peers));
        entries.push(("direction", text(fault.direction.name())));
    }
    if fault.action == FaultAction::Partition {
        entries.push(("hold", fault.hold.into()));
    }
    entries.extend(fault.link.as_ref().map(|degraded| ("link", link(degraded))));
    mapping(entries)
}

fn mapping<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Mapping(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

/// Numbers and flags as what they are, everything else as text.
fn scalar(shown: &str) -> Value {
    if let Ok(number) = shown.parse::<u64>() {
        return number.into();
    }
    shown.parse::<bool>().map_or_else(|_| text(shown), Value::from)
}

fn text(value: &str) -> Value {
    Value::String(value.into())
}

fn duration(duration_ns: u64) -> Value {
    Value::String(format_duration(duration_ns))
}

fn bytes(bytes: u64) -> Value {
    Value::String(format_bytes(bytes))
}

fn share(share: f64) -> Value {
    Value::String(format_share(share))
}
