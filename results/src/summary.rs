//! A whole run in one document: `summary.json`. Every figure has its unit in its name; results
//! carry the workload, the machine and the commit, so that they can be made again.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::breakdown::Breakdown;
use crate::check::{Consistency, Rule, Staleness, Verdict, methods_of_transactions};
use crate::environment::Environment;
use crate::history::Kind;
use crate::record::LatencyTotals;
use crate::units;

/// The version of the document that this build writes and reads.
pub const SCHEMA_VERSION: u32 = 1;

/// One execution of a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name of the run.
    pub name: String,
    /// When it began, after RFC 3339.
    pub date: String,
    /// The commit that was built; empty if unknown.
    pub commit: String,
    /// Whether the sources differed from the commit.
    pub dirty: bool,
    /// The version of Synod.
    pub synod_version: String,
    /// The seed of everything that was drawn at random.
    pub seed: u64,
    /// The workload as it was executed, with all defaults filled in.
    pub workload: serde_json::Value,
    /// Where it ran.
    pub machine: Environment,
    /// One entry for each protocol and repeat, in the order in which they ran.
    pub results: Vec<ProtocolResult>,
    /// False if the run was interrupted: what is here happened, but more was meant to.
    pub complete: bool,
}

impl Summary {
    /// How long it warmed up before it was measured. The series of results have these seconds at
    /// their beginning, while faults count from the end of them.
    #[must_use]
    pub fn warm_up_seconds(&self) -> f64 {
        let warm_up = self.workload.pointer("/phases/warm_up").and_then(serde_json::Value::as_str);
        warm_up.and_then(units::seconds).unwrap_or(0.0)
    }

    /// Whether all of it was run, and every history and every gate passed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.complete && self.results.iter().all(ProtocolResult::is_sound)
    }
}

/// What one protocol did in one repeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProtocolResult {
    /// The name in tables, unique among the protocols of a run.
    pub label: String,
    /// The protocol.
    pub protocol: String,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// When an append counted as durable: `none`, `group` or `each`.
    pub durability: String,
    /// How messages travelled: `tcp`, `unix` or `memory`.
    pub transport: String,
    /// Replicas of each group.
    pub replicas: u32,
    /// Groups that shared the keys.
    pub groups: u32,
    /// Client connections.
    pub connections: u32,
    /// Operations that the clients kept under way at most.
    pub in_flight: u32,
    /// How long was measured, without warm-up.
    pub measured_seconds: f64,
    /// All answered operations.
    pub overall: LatencySummary,
    /// The same from when they were sent, if the load went by the clock ([`crate::service`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<LatencySummary>,
    /// The same by kind, under [`Kind::name`].
    pub kinds: BTreeMap<String, LatencySummary>,
    /// Where the time of samples went, by kind, under [`Kind::name`]. Missing in older files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub breakdown: BTreeMap<String, Breakdown>,
    /// Second by second.
    pub series: Vec<Second>,
    /// Who used the processors.
    pub threads: Vec<ThreadUsage>,
    /// What was moved and synced.
    pub counters: Counters,
    /// The most memory that a replica has had, in bytes, if the kernel said so.
    #[serde(default)]
    pub resident_bytes_max: Option<u64>,
    /// For each replica the operations that were answered when its message came: it was the last of
    /// the quorum.
    #[serde(default)]
    pub completed_by: Vec<u64>,
    /// Requests that were sent again.
    pub retries: u64,
    /// Operations that were given up without an answer.
    pub timeouts: u64,
    /// Operations that were turned away.
    pub busy: u64,
    /// If keys are accounts, the measured transfers that were refused for want of money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aborted: Option<u64>,
    /// The protocol beside what the machine could do at best.
    pub limits: Vec<Limit>,
    /// Whether the measurement itself can be trusted.
    pub gates: Vec<Gate>,
    /// What was broken on purpose, and the sign that it was.
    pub faults: Vec<Fault>,
    /// What the protocol promises with its parameters.
    #[serde(default)]
    pub promise: Consistency,
    /// What the checker said.
    pub verdict: VerdictSummary,
}

impl ProtocolResult {
    /// Processor time of all threads for a million operations, in seconds.
    #[must_use]
    pub fn cpu_seconds_per_million(&self) -> Option<f64> {
        let seconds: f64 = self.threads.iter().map(|thread| thread.cpu_seconds).sum();
        self.per_operation(seconds).map(|seconds| seconds * 1e6)
    }

    /// Bytes between replicas and to clients for each operation.
    #[must_use]
    pub fn bytes_per_operation(&self) -> Option<f64> {
        let counters = &self.counters;
        self.per_operation((counters.replica_bytes + counters.client_bytes) as f64)
    }

    /// Syncs of the logs for each operation, of all replicas together.
    #[must_use]
    pub fn syncs_per_operation(&self) -> Option<f64> {
        self.per_operation(self.counters.log_syncs as f64)
    }

    /// The verdict in a line, and the promise where it was less than what was found.
    #[must_use]
    pub fn verdict_words(&self) -> String {
        let words = self.verdict.words();
        let is_linearizable = matches!(self.verdict, VerdictSummary::Linearizable { .. });
        if is_linearizable && self.promise > Consistency::Linearizable {
            return format!("{} promised, {words}", self.promise.name());
        }
        words
    }

    /// The gates that failed: with any, the figures must not be compared.
    pub fn failed_gates(&self) -> impl Iterator<Item = &Gate> {
        self.gates.iter().filter(|gate| !gate.ok)
    }

    /// The gates that held with a warning: figures may be compared, and this has to be known.
    pub fn warnings(&self) -> impl Iterator<Item = &Gate> {
        self.gates.iter().filter(|gate| gate.ok && gate.warning)
    }

    /// Whether the history and every gate passed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.verdict.is_pass() && self.failed_gates().next().is_none()
    }

    fn per_operation(&self, total: f64) -> Option<f64> {
        (self.overall.count > 0).then(|| total / self.overall.count as f64)
    }
}

/// A quantile that is shown, by the share of operations beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantile {
    name: &'static str,
    /// One of so many is slower.
    one_of: u64,
}

/// So many operations have to be beyond a quantile: with fewer it is the luck of one of them.
const BEYOND_MIN: u64 = 10;

const P50: Quantile = Quantile { name: "p50", one_of: 2 };
const P90: Quantile = Quantile { name: "p90", one_of: 10 };
const P99: Quantile = Quantile { name: "p99", one_of: 100 };
const P999: Quantile = Quantile { name: "p99.9", one_of: 1000 };

/// Those that are shown.
pub const QUANTILES: [Quantile; 4] = [P50, P90, P99, P999];

impl Quantile {
    /// The name that tables have for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How many operations it needs to be shown.
    #[must_use]
    pub const fn samples_min(&self) -> u64 {
        BEYOND_MIN * self.one_of
    }
}

/// Throughput and latency of some operations. Latencies are in nanoseconds, to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// Operations that were answered.
    pub count: u64,
    /// Of them, for each measured second.
    pub ops_per_second: f64,
    /// The mean.
    pub mean_ns: f64,
    /// The fastest.
    #[serde(default)]
    pub min_ns: u64,
    /// The median.
    pub p50_ns: u64,
    /// 90 of 100 were no slower.
    pub p90_ns: u64,
    /// 99 of 100 were no slower.
    pub p99_ns: u64,
    /// 999 of 1000 were no slower.
    pub p999_ns: u64,
    /// The slowest, up to 60 s.
    pub max_ns: u64,
}

impl LatencySummary {
    /// The figures of a histogram of nanoseconds that was filled in `measured_seconds`.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>, measured_seconds: f64) -> Self {
        let count = histogram.len();
        if count == 0 {
            return Self::default();
        }
        let ops_per_second =
            if measured_seconds > 0.0 { count as f64 / measured_seconds } else { 0.0 };
        Self {
            count,
            ops_per_second,
            mean_ns: histogram.mean(),
            min_ns: histogram.min(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
        }
    }

    /// The median, of enough operations.
    #[must_use]
    pub fn p50(&self) -> Option<f64> {
        self.known(P50, self.p50_ns)
    }

    /// The 90th percentile, of enough operations.
    #[must_use]
    pub fn p90(&self) -> Option<f64> {
        self.known(P90, self.p90_ns)
    }

    /// The 99th percentile, of enough operations.
    #[must_use]
    pub fn p99(&self) -> Option<f64> {
        self.known(P99, self.p99_ns)
    }

    /// The 99.9th percentile, of enough operations.
    #[must_use]
    pub fn p999(&self) -> Option<f64> {
        self.known(P999, self.p999_ns)
    }

    fn known(&self, quantile: Quantile, figure_ns: u64) -> Option<f64> {
        (self.count >= quantile.samples_min()).then_some(figure_ns as f64)
    }

    /// The figures of each kind that was measured, under its name.
    #[must_use]
    pub fn by_kind(totals: &LatencyTotals, measured_seconds: f64) -> BTreeMap<String, Self> {
        Kind::ALL
            .into_iter()
            .filter(|&kind| !totals.histogram(kind).is_empty())
            .map(|kind| {
                (kind.name().to_owned(), Self::of(totals.histogram(kind), measured_seconds))
            })
            .collect()
    }
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Operations answered.
    pub ops: u64,
    /// Their median latency.
    pub p50_ns: u64,
    /// 99 of 100 of them were no slower.
    pub p99_ns: u64,
    /// Operations given up.
    pub unknown: u64,
    /// Operations turned away.
    pub busy: u64,
}

/// A thread and the processor time that it used while measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadUsage {
    /// Its name.
    pub name: String,
    /// What it did: `replica`, `load`, ...
    pub role: String,
    /// User and system time.
    pub cpu_seconds: f64,
}

/// Totals of all replicas while measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages that replicas sent to replicas.
    pub replica_messages: u64,
    /// Their bytes.
    pub replica_bytes: u64,
    /// Answers that replicas sent to clients.
    pub client_messages: u64,
    /// Their bytes.
    pub client_bytes: u64,
    /// Bytes written to logs.
    pub log_bytes: u64,
    /// Syncs of logs.
    pub log_syncs: u64,
    /// Rounds whose outcome a replica did not know for a while after its vote.
    #[serde(default)]
    pub doubts: u64,
    /// How long that was for all of them, in nanoseconds.
    #[serde(default)]
    pub doubt_ns: u64,
    /// How long it was for the worst since the replicas started, in nanoseconds.
    #[serde(default)]
    pub doubt_ns_max: u64,
    /// Writes that a replica took in the place of another, which was not there.
    #[serde(default)]
    pub hints: u64,
    /// Those that were handed off to it afterwards.
    #[serde(default)]
    pub handoffs: u64,
}

/// A figure that nothing on this machine can beat, beside the protocol's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// What is limited.
    pub name: String,
    /// The limit.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// How near the protocol came, 100 being the limit itself.
    pub percent: f64,
}

/// A condition for the measurement to be valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The condition.
    pub name: String,
    /// Whether it held.
    pub ok: bool,
    /// Whether it held, but not so well that nobody has to know.
    #[serde(default)]
    pub warning: bool,
    /// What was measured, in words.
    pub detail: String,
}

/// Something broken on purpose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// When, from the start of the measurement.
    pub at_s: f64,
    /// What was done.
    pub action: String,
    /// To whom.
    pub target: String,
    /// The sign that it happened. Without any the run is invalid.
    pub evidence: String,
    /// The longest time without an answer from then on, until something else was broken.
    #[serde(default)]
    pub gap_ns: Option<u64>,
}

impl Fault {
    /// What was done, and to which role if it was meant for one: `kill leader`, `restart`.
    #[must_use]
    pub fn kind(&self) -> String {
        let role = self.target.split_once(" (").and_then(|(_, role)| role.strip_suffix(')'));
        role.map_or_else(|| self.action.clone(), |role| format!("{} {role}", self.action))
    }
}

/// What the checker said, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum VerdictSummary {
    /// Nothing was checked, so nothing is known.
    #[default]
    Unchecked,
    /// The history is linearizable.
    Linearizable {
        /// Operations in the history.
        operations: u64,
        /// Distinct keys.
        keys: u64,
        /// What it was checked with, as `zones + witness`.
        #[serde(default)]
        methods: String,
        /// How long the check took.
        seconds: f64,
    },
    /// It is, and so are its transactions, each as a whole.
    StrictlySerializable {
        /// Transactions in the history.
        transactions: u64,
        /// If keys are accounts, those that audited the sum of some.
        #[serde(default)]
        audits: Option<u64>,
        /// Their operations.
        operations: u64,
        /// Distinct keys.
        keys: u64,
        /// How long the check took.
        seconds: f64,
    },
    /// It is not, but the system had promised less, and keeps that.
    Weaker {
        /// What it had promised.
        promise: Consistency,
        /// Operations in the history.
        operations: u64,
        /// How far its reads were behind.
        staleness: Staleness,
        /// The operations that show that it is not linearizable, as they are printed.
        example: String,
        /// How long the check took.
        seconds: f64,
    },
    /// The system did not keep its promise.
    Violation {
        /// What it had promised.
        #[serde(default)]
        promise: Consistency,
        /// The key at fault.
        key: u64,
        /// The rule that it breaks.
        rule: Rule,
        /// The violation as it was printed, with its operations.
        text: String,
    },
    /// It could not be judged.
    Undecidable {
        /// Why.
        reason: String,
    },
}

impl VerdictSummary {
    /// Whether the history was checked and passed.
    #[must_use]
    pub const fn is_pass(&self) -> bool {
        matches!(
            self,
            Self::Linearizable { .. } | Self::StrictlySerializable { .. } | Self::Weaker { .. }
        )
    }

    /// The verdict in a line.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Unchecked => "not checked".to_owned(),
            Self::Linearizable { operations, keys, methods, seconds } => {
                let (operations, keys) = (units::grouped(*operations), units::grouped(*keys));
                let methods = if methods.is_empty() { "zones" } else { methods };
                format!(
                    "linearizable: yes, {operations} ops, {keys} keys, {methods}, {seconds:.1} s"
                )
            }
            Self::StrictlySerializable { transactions, audits, operations, keys, seconds } => {
                format!(
                    "strictly serializable: yes, {} transactions, {} ops, {} keys, {}, {seconds:.1} s",
                    units::grouped(*transactions),
                    units::grouped(*operations),
                    units::grouped(*keys),
                    methods_of_transactions(*audits),
                )
            }
            Self::Weaker { promise, operations, staleness, seconds, .. } => format!(
                "{}: yes, not linearizable, {} ops, {staleness}, {seconds:.1} s",
                promise.name(),
                units::grouped(*operations),
            ),
            Self::Violation { promise, text, .. } => {
                let sentence = text.lines().next().unwrap_or_default();
                format!("NOT {}: {sentence}", promise.name().to_uppercase())
            }
            Self::Undecidable { reason } => format!("cannot be judged: {reason}"),
        }
    }
}

impl From<&Verdict> for VerdictSummary {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            &Verdict::StrictlySerializable { transactions, audits, operations, keys, seconds } => {
                Self::StrictlySerializable { transactions, audits, operations, keys, seconds }
            }
            &Verdict::Linearizable { operations, keys, methods, seconds } => Self::Linearizable {
                operations,
                keys,
                methods: methods.words().to_owned(),
                seconds,
            },
            Verdict::Weaker { promise, operations, staleness, example, seconds } => Self::Weaker {
                promise: *promise,
                operations: *operations,
                staleness: *staleness,
                example: example.to_string(),
                seconds: *seconds,
            },
            Verdict::Violation { promise, violation } => Self::Violation {
                promise: *promise,
                key: violation.key,
                rule: violation.rule,
                text: violation.to_string(),
            },
            Verdict::Undecidable { reason } => Self::Undecidable { reason: reason.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_comes_back() {
        let result = ProtocolResult {
            label: "abd".to_owned(),
            overall: LatencySummary { count: 4, ..LatencySummary::default() },
            threads: vec![ThreadUsage { cpu_seconds: 2.0, ..ThreadUsage::default() }],
            verdict: VerdictSummary::Linearizable {
                operations: 1_000_000,
                keys: 2,
                methods: "zones + witness".to_owned(),
                seconds: 0.4,
            },
            ..ProtocolResult::default()
        };
        assert_eq!(result.cpu_seconds_per_million(), Some(500_000.0));
        assert_eq!(
            result.verdict.words(),
            "linearizable: yes, 1,000,000 ops, 2 keys, zones + witness, 0.4 s"
        );
        let summary = Summary {
            schema_version: SCHEMA_VERSION,
            workload: serde_json::json!({ "keys": 10 }),
            results: vec![result],
            ..Summary::default()
        };
        let text = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
    }

    #[test]
    fn a_histogram_becomes_figures() {
        let mut histogram = crate::record::empty_histogram();
        for latency_ns in 1..=1000 {
            histogram.record(latency_ns).unwrap();
        }
        let figures = LatencySummary::of(&histogram, 2.0);
        assert_eq!((figures.count, figures.ops_per_second), (1000, 500.0));
        assert_eq!((figures.p50_ns, figures.p999_ns, figures.max_ns), (500, 999, 1000));
        assert_eq!((figures.p99(), figures.p999()), (Some(990.0), None), "one is beyond p99.9");
    }
}
