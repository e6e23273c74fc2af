//! `synod count`: what one operation costs by itself, in messages, delays and forced writes.
//!
//! One client asks for one thing at a time and nothing else goes on, so that no two operations share
//! a message or a write. Two runs: the first, with links as they are, counts; in the second, links
//! between replicas take so long that whatever a machine does in between vanishes, and the shortest
//! latency in such delays is the number of messages, each caused by the one before.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use synod_results::summary::ProtocolResult;
use synod_workloads::{Catalog, ParameterKind, load};

use crate::registry;
use crate::run::{self, Options, Scratch};

/// Timers run so many times as long as they do by default: nobody takes a slow machine for a fault.
const PATIENCE: u64 = 10;

/// Heartbeats are rarer still, as rare as time-outs of ten times their default length allow: they are
/// then few beside the messages of operations even where a disk is slow.
const PATIENCE_BETWEEN_HEARTBEATS: u64 = 45;

/// How long a message takes from a replica to another in the second run: longer than what a busy
/// machine with nine replicas does in between, much shorter than the time-outs.
const DELAY_NS: u64 = 40_000_000;

/// How long the client waits after each answer, so that the slowest disk is done with an operation
/// before the next one begins: two that meet there would share a write.
const THINK_NS: u64 = 1_000_000;

/// Replicas fill their log files before they start, and one operation at a time needs few.
const LOG: &str = "{ segment_bytes: 4MiB, snapshot_bytes: 32MiB }";

/// From the client to a replica, and back.
const CLIENT_DELAYS: f64 = 2.0;

/// So far from a whole number a count may be: heartbeats are few, but some.
const NEARLY: f64 = 0.25;

/// What one operation of a kind costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// Messages from replicas to other replicas.
    pub messages: f64,
    /// Messages one after the other, from the client and back to it.
    pub delays: f64,
    /// Writes to logs that were waited for, of all replicas.
    pub writes: f64,
}

impl Counts {
    /// Messages, delays and forced writes as whole numbers; `None` if one of them is not nearly
    /// whole: then the protocol does not do the same for each operation.
    #[must_use]
    pub fn whole(&self) -> Option<[u64; 3]> {
        let whole = |count: f64| {
            let nearest = count.round();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few")]
            ((count - nearest).abs() <= NEARLY).then_some(nearest as u64)
        };
        Some([whole(self.messages)?, whole(self.delays)?, whole(self.writes)?])
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The name of the protocol.
    pub protocol: &'a str,
    /// Its parameters, as a workload has them: `reads: lease, pre_vote: false`.
    pub parameters: &'a str,
    /// Replicas of the cluster.
    pub replicas: u8,
    /// How many of them have no vote.
    pub observers: u8,
    /// How many of them vote and execute nothing.
    pub witnesses: u8,
    /// Resource managers of a transaction: so many replicas, the last ones, hold all keys. The first
    /// coordinates, and with less than all it is none of them.
    pub managers: u8,
    /// The kind of operation, as a mix has it; or `transfer`, which is a transaction between accounts.
    pub operation: &'a str,
    /// Whether in virtual time or on the engine.
    pub simulated: bool,
}

impl Question<'_> {
    /// Counts.
    ///
    /// # Errors
    /// A sentence: why the workload is wrong, what the machine refused, or what the run failed.
    pub fn ask(&self) -> Result<Counts, String> {
        let result = self.run("")?;
        let delayed = self.run(&format!(", links: {{ all: {{ delay: {DELAY_NS}ns }} }}"))?;
        let each = |count: u64| count as f64 / result.overall.count as f64;
        Ok(Counts {
            messages: each(result.counters.replica_messages),
            delays: delayed.overall.min_ns as f64 / DELAY_NS as f64 + CLIENT_DELAYS,
            writes: each(result.counters.log_syncs),
        })
    }

    /// The parameters that were given, and longer timers.
    fn parameters(&self, catalog: &Catalog) -> Result<String, String> {
        let Self { protocol, parameters, .. } = *self;
        let Some(spec) = catalog.find(protocol) else {
            return Err(format!(
                "{protocol}: no such protocol, use {}",
                registry::NAMES.join(", ")
            ));
        };
        let given: Vec<&str> =
            parameters.split(',').filter_map(|pair| Some(pair.split_once(':')?.0.trim())).collect();
        let timers = spec.parameters.iter().filter_map(|parameter| {
            let is_timer = parameter.kind == ParameterKind::Duration;
            let is_heartbeat = parameter.name == "heartbeat";
            let patience = if is_heartbeat { PATIENCE_BETWEEN_HEARTBEATS } else { PATIENCE };
            let longer_ns = parameter.default.resolve(self.replicas) * patience;
            (is_timer && !given.contains(&parameter.name))
                .then(|| format!("{}: {}ns", parameter.name, longer_ns.min(parameter.maximum)))
        });
        let all: Vec<String> = timers.chain([parameters.to_owned()]).collect();
        Ok(all.join(", ").trim_end_matches([',', ' ']).to_owned())
    }

    fn run(&self, links: &str) -> Result<ProtocolResult, String> {
        let Self {
            protocol, replicas, observers, witnesses, managers, operation, simulated, ..
        } = *self;
        let catalog = registry::catalog();
        let parameters = self.parameters(&catalog)?;
        // A transaction writes a key of each manager: replica r holds those that leave r as remainder.
        let keys = if matches!(operation, "transaction" | "transfer") { managers } else { 1 };
        // There is always enough.
        let (kind, shape) = match operation {
            "transfer" => {
                let payees = managers.saturating_sub(1);
                let bank =
                    format!("accounts: {managers}, payees: {payees}, balance: 1G, amount: 1");
                ("transaction", format!("shape: transfer, audits: 0%, {bank}"))
            }
            other => (other, format!("reads: 0, writes: {managers}")),
        };
        let first = replicas - managers;
        let yaml = format!(
            "name: count\n\
             cluster: {{ replicas: {replicas}, observers: {observers}, witnesses: {witnesses}, \
             durability: group, log: {LOG}, wait: block{links} }}\n\
             protocols: [{{ {protocol}: {{ {parameters} }} }}]\n\
             load: {{ clients: 1, connections: 1, keys: {{ count: {keys}, first: {first} }}, \
             transaction: {{ {shape} }}, \
             arrival: {{ closed: {{ think: {THINK_NS}ns }} }}, mix: {{ {kind}: 100% }} }}\n\
             phases: {{ warm_up: 3s, measure: 2s }}\n"
        );
        let workload = load(Path::new("count.yaml"), &yaml, &catalog, &[])
            .map_err(|diagnostics| diagnostics.to_string())?;
        let scratch = Scratch::new()?;
        let options = Options {
            runs: scratch.path().join("runs"),
            interrupted: Arc::new(AtomicBool::new(false)),
            progress: false,
            limits: false,
            simulated,
        };
        let result = run::run(&workload, &options)?.summary.results.remove(0);
        if result.overall.count > 0 && result.verdict.is_pass() {
            Ok(result)
        } else {
            Err(format!("{protocol}: {}", result.verdict.words()))
        }
    }
}
