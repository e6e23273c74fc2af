//! Settings as the types of a workload.

use std::path::Path;

use crate::catalog::Catalog;
use crate::machine::MachineModel;
use crate::names::Named;
use crate::scalars::fit_name;
use crate::settings::Settings;
use crate::spec::{
    Arrival, Bank, Batch, Cluster, Fault, KeyDistribution, Keys, Limits, Link, Links, Load, Log,
    Mix, Phases, Placement, ProtocolChoice, RateStep, Repeat, Shape, Target, Transaction, Trigger,
    Values, Workload,
};

/// Gathers a workload; `path` lends it a name if it has none.
pub(crate) fn resolve(settings: &Settings, path: &Path, catalog: &Catalog) -> Workload {
    let cluster = cluster(settings);
    let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
    Workload {
        name: settings.text("name").map_or_else(|| fit_name(&stem), str::to_owned),
        description: settings.text("description").unwrap_or("").trim().to_owned(),
        protocols: protocols(settings, catalog, cluster.replicas),
        cluster,
        load: load(settings),
        phases: Phases {
            warm_up_ns: settings.integer("phases.warm_up"),
            measure_ns: settings.integer("phases.measure"),
            cool_down_ns: settings.integer("phases.cool_down"),
        },
        repeats: settings.narrow("repeats"),
        seed: settings.integer("seed"),
        model: MachineModel::resolve(settings),
        faults: (0..settings.length("faults")).map(|index| fault(settings, index)).collect(),
    }
}

fn cluster(settings: &Settings) -> Cluster {
    Cluster {
        replicas: settings.narrow("cluster.replicas"),
        observers: settings.narrow("cluster.observers"),
        witnesses: settings.narrow("cluster.witnesses"),
        cores: settings.narrow("cluster.cores"),
        transport: choice(settings, "cluster.transport"),
        durability: choice(settings, "cluster.durability"),
        wait: choice(settings, "cluster.wait"),
        placement: settings.has("cluster.placement").then(|| Placement {
            replicas: numbers(settings, "cluster.placement.replicas"),
            load: numbers(settings, "cluster.placement.load"),
        }),
        data: settings.text("cluster.data").map(Into::into),
        batch: Batch {
            max_ops: settings.narrow("cluster.batch.max_ops"),
            max_bytes: settings.integer("cluster.batch.max_bytes"),
            linger_ns: settings.integer("cluster.batch.linger"),
            objective_ns: settings.integer("cluster.batch.objective"),
        },
        window: settings.narrow("cluster.window"),
        log: Log {
            segment_bytes: settings.integer("cluster.log.segment_bytes"),
            writes_in_flight: settings.narrow("cluster.log.writes_in_flight"),
            retain_bytes: settings.integer("cluster.log.retain_bytes"),
            snapshot_bytes: settings.integer("cluster.log.snapshot_bytes"),
        },
        limits: Limits {
            frame_bytes: settings.narrow("cluster.limits.frame_bytes"),
            pending_ops: settings.narrow("cluster.limits.pending_ops"),
            connections: settings.narrow("cluster.limits.connections"),
            sessions: settings.narrow("cluster.limits.sessions"),
            memory_bytes: settings.integer("cluster.limits.memory"),
        },
        links: settings.has("cluster.links").then(|| Links {
            all: link(settings, "cluster.links.all"),
            delays_ns: settings.has("cluster.links.delays").then(|| delays(settings)),
        }),
    }
}

/// The matrix of delays.
fn delays(settings: &Settings) -> Vec<Vec<u64>> {
    let path = "cluster.links.delays";
    let row = |row: usize| {
        let columns = 0..settings.length(&format!("{path}.{row}"));
        columns.map(|column| settings.integer(&format!("{path}.{row}.{column}"))).collect()
    };
    (0..settings.length(path)).map(row).collect()
}

fn link(settings: &Settings, path: &str) -> Link {
    let key = |key: &str| format!("{path}.{key}");
    let bandwidth = key("bandwidth");
    Link {
        delay_ns: settings.integer(&key("delay")),
        jitter_ns: settings.integer(&key("jitter")),
        spread: choice(settings, &key("spread")),
        loss_ppm: parts_per_million(settings.real(&key("loss"))),
        duplication_ppm: parts_per_million(settings.real(&key("duplication"))),
        bandwidth_bytes: settings.has(&bandwidth).then(|| settings.integer(&bandwidth)),
        reorder: settings.integer(&key("reorder")) != 0,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is from 0 to 1"
)]
fn parts_per_million(share: f64) -> u32 {
    (share * 1e6).round() as u32
}

fn protocols(settings: &Settings, catalog: &Catalog, replicas: u8) -> Vec<ProtocolChoice> {
    let choices = settings.choices.iter().map(|choice| {
        let protocol = &catalog.protocols[choice.index];
        let parameters = protocol.parameters.iter().zip(&choice.parameters);
        ProtocolChoice {
            name: protocol.name.into(),
            label: choice.label.clone().unwrap_or_else(|| protocol.name.into()),
            parameters: parameters
                .map(|(spec, given)| given.unwrap_or_else(|| spec.default.resolve(replicas)))
                .collect(),
        }
    });
    choices.collect()
}

fn load(settings: &Settings) -> Load {
    Load {
        threads: settings.narrow("load.threads"),
        connections: settings.narrow("load.connections"),
        clients: settings.narrow("load.clients"),
        arrival: arrival(settings),
        mix: Mix {
            get: settings.real("load.mix.get"),
            put: settings.real("load.mix.put"),
            insert: settings.real("load.mix.insert"),
            delete: settings.real("load.mix.delete"),
            compare_and_swap: settings.real("load.mix.compare_and_swap"),
            add: settings.real("load.mix.add"),
            read_modify_write: settings.real("load.mix.read_modify_write"),
            transaction: settings.real("load.mix.transaction"),
        },
        transaction: transaction(settings),
        keys: Keys {
            count: settings.integer("load.keys.count"),
            first: settings.integer("load.keys.first"),
            preload: settings.integer("load.keys.preload") != 0,
            distribution: distribution(settings),
        },
        values: values(settings),
        timeout_ns: settings.integer("load.timeout"),
        give_up_ns: settings.integer("load.give_up"),
        sample_every: settings.narrow("load.sample_every"),
    }
}

fn arrival(settings: &Settings) -> Arrival {
    if settings.has("load.arrival.open") {
        let path = "load.arrival.open.steps";
        let steps = 0..if settings.has(path) { settings.length(path) } else { 0 };
        return Arrival::Open {
            steps: steps
                .map(|index| RateStep {
                    for_ns: settings.integer(&format!("{path}.{index}.for")),
                    rate_per_second: settings.real(&format!("{path}.{index}.rate")),
                })
                .collect(),
            rate_per_second: settings.real("load.arrival.open.rate"),
            spacing: choice(settings, "load.arrival.open.spacing"),
        };
    }
    Arrival::Closed {
        outstanding: settings.narrow("load.arrival.closed.outstanding"),
        think_ns: settings.integer("load.arrival.closed.think"),
    }
}

fn distribution(settings: &Settings) -> KeyDistribution {
    let path = "load.keys.distribution";
    if settings.has(&format!("{path}.zipfian")) {
        KeyDistribution::Zipfian { theta: settings.real(&format!("{path}.zipfian.theta")) }
    } else if settings.has(&format!("{path}.latest")) {
        KeyDistribution::Latest { theta: settings.real(&format!("{path}.latest.theta")) }
    } else if settings.has(&format!("{path}.hot_set")) {
        KeyDistribution::HotSet {
            keys: settings.real(&format!("{path}.hot_set.keys")),
            operations: settings.real(&format!("{path}.hot_set.operations")),
        }
    } else {
        KeyDistribution::Uniform
    }
}

fn values(settings: &Settings) -> Values {
    if settings.has("load.values.uniform") {
        return Values::Uniform {
            min: settings.narrow("load.values.uniform.min"),
            max: settings.narrow("load.values.uniform.max"),
        };
    }
    if settings.has("load.values.list") {
        let sizes = (0..settings.length("load.values.list")).map(|index| {
            let item = format!("load.values.list.{index}");
            (settings.narrow(&format!("{item}.size")), settings.narrow(&format!("{item}.weight")))
        });
        return Values::List(sizes.collect());
    }
    Values::Fixed(settings.narrow("load.values.fixed"))
}

fn fault(settings: &Settings, index: usize) -> Fault {
    let path = format!("faults.{index}");
    let target = match settings.text(&format!("{path}.target")) {
        Some("leader") => Target::Leader,
        Some("follower") => Target::Follower,
        number => number.and_then(|n| n.parse().ok()).map_or(Target::Random, Target::Replica),
    };
    let repeat = format!("{path}.repeat");
    let optional = |key: &str| {
        let path = format!("{path}.{key}");
        settings.has(&path).then(|| settings.integer(&path))
    };
    let on = format!("{path}.on");
    let (link_path, peers) = (format!("{path}.link"), format!("{path}.peers"));
    let peers_count = if settings.has(&peers) { settings.length(&peers) } else { 0 };
    Fault {
        trigger: match (optional("after_ops"), settings.has(&on)) {
            (Some(operations), _) => Trigger::AfterOps(operations),
            (None, true) => Trigger::On(choice(settings, &on)),
            (None, false) => Trigger::At(optional("at").unwrap_or(0)),
        },
        delay_ns: optional("delay").unwrap_or(0),
        action: choice(settings, &format!("{path}.action")),
        target,
        for_ns: optional("for"),
        restart_after_ns: optional("restart_after"),
        peers: (0..peers_count)
            .map(|index| settings.narrow(&format!("{path}.peers.{index}")))
            .collect(),
        direction: choice(settings, &format!("{path}.direction")),
        hold: settings.integer(&format!("{path}.hold")) != 0,
        link: settings.has(&link_path).then(|| link(settings, &link_path)),
        repeat: if settings.has(&repeat) {
            Repeat {
                every_ns: settings.integer(&format!("{repeat}.every")),
                times: settings.narrow(&format!("{repeat}.times")),
            }
        } else {
            Repeat { every_ns: 0, times: 1 }
        },
    }
}

fn transaction(settings: &Settings) -> Transaction {
    match choice(settings, "load.transaction.shape") {
        Shape::ReadWrite => Transaction::ReadWrite {
            reads: settings.narrow("load.transaction.reads"),
            writes: settings.narrow("load.transaction.writes"),
        },
        Shape::Transfer => Transaction::Transfer(Bank {
            accounts: settings.narrow("load.transaction.accounts"),
            payees: settings.narrow("load.transaction.payees"),
            balance: settings.narrow("load.transaction.balance"),
            amount: settings.narrow("load.transaction.amount"),
            audits: settings.real("load.transaction.audits"),
        }),
    }
}

fn choice<T: Named>(settings: &Settings, path: &str) -> T {
    T::ALL[settings.narrow::<usize>(path)].0
}

fn numbers(settings: &Settings, path: &str) -> Vec<u16> {
    (0..settings.length(path)).map(|index| settings.narrow(&format!("{path}.{index}"))).collect()
}
