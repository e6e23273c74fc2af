//! Every key of a workload, once: its path, what it holds, its default and what it is for.
//!
//! Reading, the schema and the reference of all keys follow from this table. `[]` stands for each
//! item of a list.

use crate::mix::Operation;
use crate::names::{Named, options};
use crate::spec::{
    Direction, Durability, FaultAction, FaultEvent, Shape, Spacing, Spread, Transport, Wait,
};

/// A key of a workload.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    pub(crate) doc: &'static str,
}

/// The names that a key may have, each with its meaning.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Options {
    /// Those of a type.
    Made(fn() -> Vec<(&'static str, &'static str)>),
    /// Those that a protocol lists.
    Listed(&'static [(&'static str, &'static str)]),
}

impl Options {
    pub(crate) fn list(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Made(make) => make(),
            Self::Listed(options) => options.to_vec(),
        }
    }
}

const fn choice<T: Named>() -> Kind {
    Kind::Choice(Options::Made(options::<T>))
}

/// What a key holds.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Free text.
    Text,
    /// A name fit for a folder and a column of a table.
    Name,
    /// A path of the file system.
    Path,
    /// A whole number.
    Count { min: u64, max: u64 },
    /// A size with a unit.
    Bytes { min: u64, max: u64 },
    /// A duration with a unit, in nanoseconds.
    Duration { min: u64, max: u64 },
    /// A percentage or a fraction.
    Share,
    /// Operations per second.
    Rate { min: f64, max: f64 },
    /// A plain number.
    Real { min: f64, max: f64 },
    /// `true` or `false`.
    Flag,
    /// One of some names.
    Choice(Options),
    /// Which replica a fault strikes.
    Target,
    /// A mapping with the keys below this one.
    Map,
    /// Exactly one of the keys below this one, or its name alone if it needs nothing.
    OneOf,
    /// A list of what the path with `[]` says, with at least so many items.
    List { min: usize },
    /// The list of protocols, whose keys the catalog knows.
    Protocols,
}

/// Whether a key must be given, and what holds when it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// This holds, as one would write it; keys that it does not show have their own defaults.
    Default(&'static str),
    /// Nothing holds: the key means something only when it is there.
    Optional,
    /// The key must be given.
    Required,
}

/// The key at a path of the table.
pub(crate) fn field(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.path == path)
}

/// The keys of the mapping at `path`, in the order of the table.
pub(crate) fn children(path: &str) -> impl Iterator<Item = &'static Field> {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    FIELDS.iter().filter(move |field| {
        field.path.strip_prefix(&prefix).is_some_and(|rest| !rest.contains(['.', '[']))
    })
}

impl Field {
    /// The key itself, without the path to it.
    pub(crate) fn key(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }
}

const DAY_NS: u64 = 86_400_000_000_000;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

const fn bytes(min: u64, max: u64) -> Kind {
    Kind::Bytes { min, max }
}

const fn duration(min: u64) -> Kind {
    Kind::Duration { min, max: DAY_NS }
}

const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
    Field { path, kind, presence: Presence::Default(default), doc }
}

const fn optional(path: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { path, kind, presence: Presence::Optional, doc }
}

const fn required(path: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { path, kind, presence: Presence::Required, doc }
}

const fn share(path: &'static str, default: &'static str, doc: &'static str) -> Field {
    key(path, Kind::Share, default, doc)
}

const fn theta(path: &'static str) -> Field {
    let kind = Kind::Real { min: 0.0, max: 10.0 };
    key(path, kind, "0.99", "The skew: 0 is uniform, 0.99 is the custom of key-value benchmarks.")
}

const fn cost(path: &'static str, default: &'static str, doc: &'static str) -> Field {
    key(path, Kind::Duration { min: 0, max: 1_000_000_000 }, default, doc)
}

const LOSS: &str = "Frames that are lost.";
const DUPLICATION: &str = "Frames that arrive twice.";

const fn link_delay(path: &'static str) -> Field {
    key(path, duration(0), "0s", "How long a frame takes, beside what it takes anyway.")
}

const fn link_jitter(path: &'static str) -> Field {
    key(path, duration(0), "0s", "How much the delay varies.")
}

const fn link_spread(path: &'static str) -> Field {
    key(path, choice::<Spread>(), "uniform", "How the delay varies.")
}

const fn link_bandwidth(path: &'static str) -> Field {
    optional(path, bytes(KIB, 1024 * GIB), "Bytes that the link takes in a second.")
}

const fn link_reorder(path: &'static str) -> Field {
    key(path, Kind::Flag, "false", "Whether a frame may overtake another.")
}

/// Every key, in the order in which a resolved workload shows them.
#[rustfmt::skip]
pub(crate) const FIELDS: &[Field] = &[
    optional("name", Kind::Name, "The name of the run folder; by default that of the file."),
    key("description", Kind::Text, "", "What question this workload answers."),

    key("cluster", Kind::Map, "", "The replicas and how they are run."),
    key("cluster.replicas", count(1, 9), "3", "Replicas in each group."),
    key("cluster.observers", count(0, 8), "0", "How many of the replicas, the last ones, follow and have no vote; for protocols that know observers."),
    key("cluster.witnesses", count(0, 4), "0", "How many of the replicas, the last ones, vote and execute nothing; for protocols that know witnesses."),
    key("cluster.cores", count(1, 64), "1", "Independent groups, one core of every replica each; keys are hashed to them."),
    key("cluster.transport", choice::<Transport>(), "tcp", "What carries the messages."),
    key("cluster.durability", choice::<Durability>(), "group", "What survives a crash of a replica."),
    key("cluster.wait", choice::<Wait>(), "auto", "What a replica does when it has nothing to do."),
    optional("cluster.placement", Kind::Map, "Which processors to pin to; by default chosen from the machine."),
    required("cluster.placement.replicas", Kind::List { min: 1 }, "For each replica the processor of its first core."),
    required("cluster.placement.replicas[]", count(0, 4095), "A processor, as the kernel numbers them."),
    required("cluster.placement.load", Kind::List { min: 1 }, "For each load thread its processor."),
    required("cluster.placement.load[]", count(0, 4095), "A processor, as the kernel numbers them."),
    optional("cluster.data", Kind::Path, "The folder for logs and snapshots; by default a temporary one."),
    key("cluster.batch", Kind::Map, "", "What is gathered into one slot."),
    key("cluster.batch.max_ops", count(1, 65_536), "4096", "Operations in one batch at most."),
    key("cluster.batch.max_bytes", bytes(KIB, 16 * MIB), "128KiB", "Command bytes in one batch at most."),
    key("cluster.batch.linger", Kind::Duration { min: 0, max: 1_000_000_000 }, "0s", "How long a batch waits for company."),
    key("cluster.batch.objective", Kind::Duration { min: 0, max: 10_000_000_000 }, "0s", "Within what a batch should be answered: it waits for company as long as that allows, longer by a step after each that was in time, half as long after one that was not. Of protocols that order slots; 0s for batches that wait for linger."),
    key("cluster.window", count(1, 4096), "16", "Slots in flight at most."),
    key("cluster.log", Kind::Map, "", "The log of each replica."),
    key("cluster.log.segment_bytes", bytes(64 * KIB, 4 * GIB), "64MiB", "Size of one file of the log."),
    key("cluster.log.writes_in_flight", count(1, 4), "2", "Writes given to the disk at a time."),
    key("cluster.log.retain_bytes", bytes(64 * KIB, 64 * GIB), "32MiB", "How much is kept in memory for followers that lag."),
    key("cluster.log.snapshot_bytes", bytes(64 * KIB, 1024 * GIB), "256MiB", "A snapshot is taken after so much log."),
    key("cluster.limits", Kind::Map, "", "What bounds memory; past a bound a client is told `busy`."),
    key("cluster.limits.frame_bytes", bytes(8 * KIB, 16 * MIB), "1MiB", "The largest frame on the wire."),
    key("cluster.limits.pending_ops", count(1, 16_777_216), "65536", "Operations queued at a replica."),
    key("cluster.limits.connections", count(1, 65_535), "256", "Connections from clients to a replica of one group."),
    key("cluster.limits.sessions", count(1, 16_777_216), "65536", "Sessions that a replica remembers, so that no operation is applied twice."),
    key("cluster.limits.memory", bytes(16 * MIB, 1024 * GIB), "4GiB", "Resident memory of a replica: one that had more makes the run invalid."),

    optional("cluster.links", Kind::Map, "What emulated links between replicas do from the start; by default there are none."),
    key("cluster.links.all", Kind::Map, "", "What each of them does."),
    link_delay("cluster.links.all.delay"),
    link_jitter("cluster.links.all.jitter"),
    link_spread("cluster.links.all.spread"),
    share("cluster.links.all.loss", "0%", LOSS),
    share("cluster.links.all.duplication", "0%", DUPLICATION),
    link_bandwidth("cluster.links.all.bandwidth"),
    link_reorder("cluster.links.all.reorder"),
    optional("cluster.links.delays", Kind::List { min: 1 }, "For each replica a row: how long frames to each replica take, in place of all.delay."),
    required("cluster.links.delays[]", Kind::List { min: 1 }, "For each replica how long frames to it take; 0 for the row's own."),
    required("cluster.links.delays[][]", duration(0), "How long a frame takes."),

    required("protocols", Kind::Protocols, "What to run, one after the other: names, or a name with parameters."),

    key("load", Kind::Map, "", "What the clients ask."),
    key("load.threads", count(1, 64), "1", "Threads of the load generator."),
    key("load.connections", count(1, 1024), "4", "Connections of each load thread to each group."),
    key("load.clients", count(1, 16_777_216), "1024", "Logical clients in total, each with a session of its own."),
    key("load.arrival", Kind::OneOf, "closed", "When operations start."),
    optional("load.arrival.closed", Kind::Map, "Each client starts its next operation when one ends."),
    key("load.arrival.closed.outstanding", count(1, 65_536), "1", "Operations of one client at a time."),
    key("load.arrival.closed.think", duration(0), "0s", "How long a client waits between an answer and its next operation."),
    optional("load.arrival.open", Kind::Map, "Operations start by the clock, whatever the system does."),
    required("load.arrival.open.rate", Kind::Rate { min: 0.001, max: 1e9 }, "Operations per second over all load threads."),
    key("load.arrival.open.spacing", choice::<Spacing>(), "poisson", "How the starts are spread."),
    optional("load.arrival.open.steps", Kind::List { min: 1 }, "Other rates from the start of the warm-up, one after the other; after them the rate holds."),
    required("load.arrival.open.steps[]", Kind::Map, "A rate and how long it holds."),
    required("load.arrival.open.steps[].for", duration(1_000_000), "How long."),
    required("load.arrival.open.steps[].rate", Kind::Rate { min: 0.001, max: 1e9 }, "Operations per second over all load threads."),
    key("load.mix", Kind::Map, "{ get: 50%, put: 50% }", "The share of each kind of operation; together 100 %."),
    share("load.mix.get", "0%", "Reads of a value."),
    share("load.mix.put", "0%", "Writes of a value, whether the key exists or not."),
    share("load.mix.insert", "0%", "Writes of a value to a key that has none."),
    share("load.mix.delete", "0%", "Removals of a value."),
    share("load.mix.compare_and_swap", "0%", "Writes of a value if the present one is as expected."),
    share("load.mix.add", "0%", "Additions to a counter; goes with get alone."),
    share("load.mix.read_modify_write", "0%", "A read and then a write of the same key."),
    share("load.mix.transaction", "0%", "Transactions, each of several keys at once: see load.transaction."),
    key("load.transaction", Kind::Map, "", "What each transaction does."),
    key("load.transaction.shape", choice::<Shape>(), "read_write", "Whether keys are values that it reads and replaces, or accounts of banks, between which it moves money: not if one would fall below zero. Such a load has nothing else."),
    key("load.transaction.reads", count(0, 16), "1", "Of read_write: keys that it reads."),
    key("load.transaction.writes", count(0, 16), "2", "Of read_write: keys whose value it replaces, and whose old value it gets."),
    key("load.transaction.accounts", count(2, 16), "8", "Of transfer: accounts of a bank, which money does not leave, and an audit reads at once; so many keys one after the other."),
    key("load.transaction.payees", count(1, 15), "1", "Of transfer: accounts that get something from the one that pays."),
    key("load.transaction.balance", count(1, 1_000_000_000), "100", "Of transfer: what each account is opened with."),
    key("load.transaction.amount", count(1, 1_000_000_000), "50", "Of transfer: the most that a payee gets; it is from 1 on, each as likely."),
    share("load.transaction.audits", "10%", "Of transfer: transactions that read all accounts of a bank, which must hold together what they were opened with."),
    key("load.keys", Kind::Map, "", "Which keys operations touch."),
    key("load.keys.count", count(1, 4_294_967_295), "100k", "Keys that exist at the start."),
    key("load.keys.first", count(0, 4_294_967_295), "0", "The number of the first key; the others follow it one by one."),
    key("load.keys.preload", Kind::Flag, "true", "Whether each key is written once before the warm-up."),
    key("load.keys.distribution", Kind::OneOf, "uniform", "How often each key is chosen."),
    optional("load.keys.distribution.uniform", Kind::Map, "All alike."),
    optional("load.keys.distribution.zipfian", Kind::Map, "The key of rank r with a weight of 1 / r^theta."),
    theta("load.keys.distribution.zipfian.theta"),
    optional("load.keys.distribution.latest", Kind::Map, "As zipfian, with the newest key first."),
    theta("load.keys.distribution.latest.theta"),
    optional("load.keys.distribution.hot_set", Kind::Map, "A part of the keys gets a part of the operations."),
    share("load.keys.distribution.hot_set.keys", "20%", "The hot keys, of all keys."),
    share("load.keys.distribution.hot_set.operations", "80%", "The operations on hot keys, of all operations."),
    key("load.values", Kind::OneOf, "{ fixed: 16B }", "How long values are."),
    optional("load.values.fixed", bytes(8, 16 * MIB), "All of this size."),
    optional("load.values.uniform", Kind::Map, "Each size in a range alike."),
    required("load.values.uniform.min", bytes(8, 16 * MIB), "The smallest size."),
    required("load.values.uniform.max", bytes(8, 16 * MIB), "The largest size."),
    optional("load.values.list", Kind::List { min: 1 }, "These sizes with these weights."),
    required("load.values.list[]", Kind::Map, "A size and its weight."),
    required("load.values.list[].size", bytes(8, 16 * MIB), "A size."),
    key("load.values.list[].weight", count(0, 1_000_000), "1", "How often, compared with the other weights."),
    key("load.timeout", duration(1_000), "1s", "A request without an answer for so long is sent again, with the same id."),
    key("load.give_up", duration(1_000), "10s", "After so long without an answer the outcome is recorded as unknown."),
    key("load.sample_every", count(0, 4_294_967_295), "1024", "Of one operation of so many, in the mean, it is seen where its latency goes, part by part; 0 for none. At most 256 at a time for each load thread."),

    key("phases", Kind::Map, "", "How long each part of a run lasts."),
    key("phases.warm_up", duration(0), "1s", "Load runs and nothing is counted."),
    key("phases.measure", duration(1_000_000), "5s", "What ends here is counted."),
    key("phases.cool_down", duration(0), "250ms", "Load runs on, so that the last operations end under load."),

    key("repeats", count(1, 1000), "1", "How often each protocol is run."),
    key("seed", count(0, u64::MAX), "1", "Where every random choice starts."),

    key("model", Kind::Map, "", "What simulated machines cost; `synod calibrate` fits it to this machine."),
    key("model.processors", count(0, 4096), "0", "Processors that all threads share, placed as in a run, with one disk; 0 when each thread has a processor and a disk of its own."),
    cost("model.away", "0s", "For how long a processor is away at a time, with others than the threads of the run; 0 if it never is."),
    key("model.between", Kind::Duration { min: 1_000, max: 1_000_000_000 }, "10ms", "How long it is there in between."),
    cost("model.turn", "500ns", "A turn of a thread."),
    cost("model.switch", "0s", "A turn besides, if the processor did something else before."),
    cost("model.arrival", "4400ns", "What came on a connection since the last turn, or a write that ended."),
    cost("model.send", "0s", "Something sent on a connection."),
    cost("model.kib", "60ns", "Each KiB received or sent."),
    cost("model.command", "150ns", "A command applied by a replica."),
    cost("model.register", "0s", "A register read or written by a replica."),
    cost("model.message", "0s", "A message that a replica gets from another or sends to it."),
    cost("model.operation", "0s", "An operation of a client, at the load generator."),
    cost("model.write", "0s", "A write given to the disk, for the processor."),
    cost("model.network", "15us", "How long bytes travel."),
    cost("model.disk", "96us", "How long a synced write takes at least."),
    cost("model.disk_tail", "0s", "How much longer in the mean, exponentially distributed."),
    cost("model.disk_gap", "0s", "For how long a write keeps the disk from beginning the next one."),
    cost("model.disk_kib", "0s", "The same, for each KiB of it."),

    key("faults", Kind::List { min: 0 }, "", "What is broken, and when."),
    required("faults[]", Kind::Map, "One thing that is broken or mended."),
    optional("faults[].at", duration(0), "When, counted from the start of the warm-up."),
    optional("faults[].after_ops", count(1, 1_000_000_000_000), "Instead of a time: when so many operations have ended since the start of the measurement."),
    optional("faults[].on", choice::<FaultEvent>(), "Instead of a time: when this happens first after the start of the warm-up."),
    optional("faults[].delay", duration(1_000), "How long after such an event."),
    required("faults[].action", choice::<FaultAction>(), "What is done."),
    required("faults[].target", Kind::Target, "To whom: leader, follower, random, or the number of a replica; a transfer is to it."),
    optional("faults[].for", duration(1_000), "After so long it ends by itself: the paused replica goes on, links are whole, writes end."),
    optional("faults[].restart_after", duration(1_000), "For a kill, a wipe or a disk_error: start the replica again so long after its end."),
    optional("faults[].peers", Kind::List { min: 1 }, "For a fault of links: the replicas at the other ends; by default all others."),
    required("faults[].peers[]", count(0, 8), "The number of a replica."),
    key("faults[].direction", choice::<Direction>(), "both", "For a fault of links: which way, seen from the target."),
    key("faults[].hold", Kind::Flag, "false", "For a partition: whether what is sent is kept until its end, and not lost."),
    optional("faults[].link", Kind::Map, "For degrade: what the links do; what is not given stays as it was."),
    link_delay("faults[].link.delay"),
    link_jitter("faults[].link.jitter"),
    link_spread("faults[].link.spread"),
    share("faults[].link.loss", "0%", LOSS),
    share("faults[].link.duplication", "0%", DUPLICATION),
    link_bandwidth("faults[].link.bandwidth"),
    link_reorder("faults[].link.reorder"),
    optional("faults[].repeat", Kind::Map, "Do it again and again."),
    required("faults[].repeat.every", duration(1_000_000), "From one time to the next."),
    required("faults[].repeat.times", count(2, 100_000), "How many times in all."),
];

/// The path of an operation's share in the mix.
pub(crate) fn share_path(operation: Operation) -> String {
    format!("load.mix.{}", operation.name())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_has_a_parent_and_stands_once() {
        let mut seen = BTreeSet::new();
        for entry in FIELDS {
            assert!(seen.insert(entry.path), "{} stands twice", entry.path);
            let parent = match entry.path.strip_suffix("[]") {
                Some(list) => list,
                None => entry.path.rsplit_once('.').map_or("", |(parent, _)| parent),
            };
            assert!(parent.is_empty() || seen.contains(parent), "{} has no parent", entry.path);
            assert!(entry.doc.ends_with('.'), "{}: a doc is a sentence", entry.path);
        }
        for operation in Operation::ALL {
            assert!(field(&share_path(operation)).is_some());
        }
    }
}
