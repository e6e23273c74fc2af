//! What must hold between the keys of the load.

use super::{COMMAND_OVERHEAD_BYTES, Checker, FRAME_OVERHEAD_BYTES};
use crate::diagnostics::found;
use crate::mix::Operation;
use crate::settings::listed;
use crate::spec::{Arrival, Bank, KeyDistribution, Transaction, Values};
use crate::units::{format_bytes, format_duration, format_share};

/// Keys of a transaction.
const TRANSACTION_KEYS_MAX: u64 = 16;
/// What an account holds.
const BALANCE_BYTES: u64 = 8;
/// Keys in a table of a skewed distribution: 1 GiB of 8 bytes each.
const TABLE_KEYS_MAX: u64 = 1 << 27;
/// How far the sum of a mix may be from 1: what rounding of a few decimals leaves.
const SHARE_TOLERANCE: f64 = 1e-9;

impl Checker<'_> {
    pub(super) fn load(&mut self) {
        self.mix();
        self.additions();
        self.transactions();
        self.values();
        self.keys();
        self.clients();
        self.time_limits();
    }

    fn mix(&mut self) {
        if !self.settings.sound(&["load.mix"]) {
            return;
        }
        let sum: f64 = Operation::ALL.iter().map(|kind| self.workload.load.mix.share(*kind)).sum();
        if (sum - 1.0).abs() <= SHARE_TOLERANCE {
            return;
        }
        // The sum is for reading; the noise of adding doubles is not.
        let percent = (sum * 1e8).round() / 1e6;
        let change = ((sum - 1.0).abs() * 1e8).round() / 1e6;
        let advice = if sum < 1.0 { "add" } else { "take away" };
        self.fault(
            &["load.mix"],
            format!("found shares of {percent}% in total"),
            "the shares of a mix are 100% in total".into(),
            format!("{advice} {change}%"),
        );
    }

    /// The result of an addition can be checked only where nothing else writes.
    fn additions(&mut self) {
        let mix = &self.workload.load.mix;
        if mix.add == 0.0 || !self.settings.sound(&["load.mix"]) {
            return;
        }
        let others: Vec<&str> = Operation::ALL
            .into_iter()
            .filter(|kind| !matches!(kind, Operation::Get | Operation::Add))
            .filter(|kind| mix.share(*kind) > 0.0)
            .map(Operation::name)
            .collect();
        if !others.is_empty() {
            self.fault(
                &["load.mix.add"],
                format!("found {} beside {}", format_share(mix.add), listed(&others)),
                "additions can be checked only where nothing else writes".into(),
                "keep get and add alone, or write `add: 0%`".into(),
            );
        }
    }

    /// A transaction touches keys that are there, not too many, and of one group.
    fn transactions(&mut self) {
        let load = &self.workload.load;
        let parts = load.transaction.keys();
        let (mix, writes, count) =
            ("load.mix.transaction", "load.transaction.writes", "load.keys.count");
        self.shape();
        if load.mix.transaction == 0.0 || !self.settings.sound(&["load.mix", "load.transaction"]) {
            return;
        }
        let value_bytes = match load.transaction {
            Transaction::ReadWrite { .. } => self.largest_value().1,
            Transaction::Transfer(_) => BALANCE_BYTES,
        };
        if !(1..=TRANSACTION_KEYS_MAX).contains(&parts) {
            self.fault(
                &[writes, "load.transaction.reads", mix],
                format!("found {parts} keys"),
                format!("a transaction has 1 to {TRANSACTION_KEYS_MAX} keys in all"),
                "write for example `transaction: { reads: 1, writes: 2 }`".into(),
            );
        } else if parts > load.keys.count && self.settings.sound(&[count]) {
            self.fault(
                &[count, writes],
                found(&load.keys.count.to_string()),
                format!("a transaction touches {parts} different keys"),
                format!("write at least `{parts}`"),
            );
        }
        let bytes = (value_bytes + COMMAND_OVERHEAD_BYTES) * parts;
        let room = self.workload.cluster.batch.max_bytes - COMMAND_OVERHEAD_BYTES;
        let batch = "cluster.batch.max_bytes";
        if bytes > room && self.settings.sound(&[batch, "load.values"]) {
            self.fault(
                &["load.values", writes, batch],
                format!("found {parts} keys, with all values up to {}", format_bytes(bytes)),
                format!("a transaction fits one batch, which has room for {}", format_bytes(room)),
                format!("write fewer keys or smaller values, or raise {batch}"),
            );
        }
        let cores = self.workload.cluster.cores;
        if cores > 1 && self.settings.sound(&["cluster.cores"]) {
            self.fault(
                &["cluster.cores", mix],
                format!("found {cores} groups"),
                "a transaction has all its keys in one group".into(),
                "write `cores: 1`, and as many replicas as there are to be resource managers"
                    .into(),
            );
        }
    }

    /// Only keys of its own shape are given, and what moves money has accounts to itself.
    fn shape(&mut self) {
        let transaction = self.workload.load.transaction;
        let (shape, others): (_, &[&str]) = match transaction {
            Transaction::ReadWrite { .. } => {
                ("read_write", &["accounts", "payees", "balance", "amount", "audits"])
            }
            Transaction::Transfer(_) => ("transfer", &["reads", "writes"]),
        };
        for other in others {
            let path = format!("load.transaction.{other}");
            if self.settings.given(&path) && self.settings.sound(&[&path]) {
                self.fault(
                    &[&path],
                    format!("found it beside the shape {shape}"),
                    format!("transactions of this shape have no {other}"),
                    format!("leave {other} out, or write another `shape`"),
                );
            }
        }
        if let Transaction::Transfer(bank) = transaction
            && self.settings.sound(&["load.mix", "load.transaction"])
        {
            self.bank(bank);
        }
    }

    /// Money moves within whole banks of accounts, which were opened and hold nothing else.
    fn bank(&mut self, bank: Bank) {
        let (mix, keys) = (&self.workload.load.mix, &self.workload.load.keys);
        let (share, shape) = ("load.mix.transaction", "load.transaction.shape");
        if mix.transaction < 1.0 {
            self.fault(
                &[shape, share],
                format!("found transfer with transactions of {}", format_share(mix.transaction)),
                "the keys of transfers are accounts, to which nothing else may be done".into(),
                "write `mix: { transaction: 100% }`, or the shape `read_write`".into(),
            );
        }
        if bank.payees >= bank.accounts {
            self.fault(
                &["load.transaction.payees", "load.transaction.accounts"],
                found(&bank.payees.to_string()),
                format!("one of {} accounts pays, and others are paid", bank.accounts),
                format!("write at most `{}`, or more accounts", bank.accounts - 1),
            );
        }
        let (accounts, count) = (u64::from(bank.accounts), "load.keys.count");
        if !keys.count.is_multiple_of(accounts) && self.settings.sound(&[count]) {
            self.fault(
                &[count, "load.transaction.accounts"],
                found(&keys.count.to_string()),
                format!("keys are banks of {accounts} accounts each"),
                format!("write for example `{}`", keys.count.div_ceil(accounts) * accounts),
            );
        }
        let preload = "load.keys.preload";
        if !keys.preload && self.settings.sound(&[preload]) {
            self.fault(
                &[preload],
                found("false"),
                "accounts are opened before money moves between them".into(),
                "leave it out, or write `true`".into(),
            );
        }
    }

    fn values(&mut self) {
        if !self.settings.sound(&["load.values"]) {
            return;
        }
        let values = &self.workload.load.values;
        if let Values::Uniform { min, max } = values
            && min > max
        {
            let least = format_bytes((*min).into());
            self.fault(
                &["load.values.uniform.max"],
                found(&format_bytes((*max).into())),
                format!("must not be less than min, {least}"),
                format!("write at least `{least}`"),
            );
            return;
        }
        if let Values::List(sizes) = values
            && sizes.iter().all(|(_, weight)| *weight == 0)
        {
            self.fault(
                &["load.values.list"],
                "found no weight above 0".into(),
                "some size must have a weight".into(),
                "write for example `weight: 1`".into(),
            );
        }
        self.value_room();
    }

    /// The largest value must fit a frame, and a batch of its own.
    fn value_room(&mut self) {
        let (path, bytes) = self.largest_value();
        let cluster = &self.workload.cluster;
        let frame_room = u64::from(cluster.limits.frame_bytes) - FRAME_OVERHEAD_BYTES;
        let batch_room = cluster.batch.max_bytes - COMMAND_OVERHEAD_BYTES;
        for (limit, room, what) in [
            ("cluster.limits.frame_bytes", frame_room, "one frame"),
            ("cluster.batch.max_bytes", batch_room, "one batch"),
        ] {
            if bytes > room && self.settings.sound(&[limit]) {
                self.fault(
                    &[&path, "load.values"],
                    found(&format_bytes(bytes)),
                    format!("a value fits {what}, which has room for {}", format_bytes(room)),
                    format!("write at most `{}`, or raise {limit}", format_bytes(room)),
                );
                return;
            }
        }
    }

    fn largest_value(&self) -> (String, u64) {
        let values = &self.workload.load.values;
        let path = match values {
            Values::Fixed(_) => "load.values.fixed".into(),
            Values::Uniform { .. } => "load.values.uniform.max".into(),
            Values::List(sizes) => {
                let largest = sizes.iter().position(|(bytes, _)| *bytes == values.max_bytes());
                format!("load.values.list.{}.size", largest.unwrap_or(0))
            }
        };
        (path, values.max_bytes().into())
    }

    fn keys(&mut self) {
        if !self.settings.sound(&["load.keys"]) {
            return;
        }
        let keys = &self.workload.load.keys;
        let path = "load.keys.distribution";
        match keys.distribution {
            KeyDistribution::Uniform => {}
            KeyDistribution::Zipfian { .. } | KeyDistribution::Latest { .. } => {
                if keys.count > TABLE_KEYS_MAX {
                    self.fault(
                        &["load.keys.count"],
                        found(&keys.count.to_string()),
                        format!(
                            "a skewed choice needs 8 bytes per key, so {TABLE_KEYS_MAX} at most"
                        ),
                        format!("write at most `{TABLE_KEYS_MAX}`, or use uniform or hot_set"),
                    );
                }
            }
            KeyDistribution::HotSet { keys: share, .. } => {
                if keys.count < 2 || share <= 0.0 || share >= 1.0 {
                    let place = format!("{path}.hot_set.keys");
                    self.fault(
                        &[&place, path],
                        format!("found {} of {} keys", format_share(share), keys.count),
                        "some keys must be hot and some not".into(),
                        "write a share between 0% and 100% of at least 2 keys".into(),
                    );
                }
            }
        }
    }

    fn clients(&mut self) {
        let (load, limits) = (&self.workload.load, &self.workload.cluster.limits);
        let (clients, threads) = ("load.clients", "load.threads");
        if load.clients < u32::from(load.threads) && self.settings.sound(&[clients, threads]) {
            self.fault(
                &[clients, threads],
                found(&load.clients.to_string()),
                format!("each of the {} load threads has a client", load.threads),
                format!("write at least `{}`", load.threads),
            );
        }
        let sessions = "cluster.limits.sessions";
        let per_client = match load.arrival {
            Arrival::Closed { outstanding, .. } => outstanding,
            Arrival::Open { .. } => 1,
        };
        let too_many = load.clients.saturating_mul(per_client) > limits.sessions;
        if too_many && self.settings.sound(&[clients, sessions]) {
            self.fault(
                &[clients, sessions],
                found(&load.clients.to_string()),
                format!(
                    "each operation that a client has outstanding is a session, and {sessions} is {}",
                    limits.sessions
                ),
                format!("write at most `{}`, or raise {sessions}", limits.sessions / per_client),
            );
        }
        let links = u32::from(load.threads) * u32::from(load.connections);
        let (connections, bound) = ("load.connections", "cluster.limits.connections");
        if links > limits.connections && self.settings.sound(&[connections, threads, bound]) {
            self.fault(
                &[connections, threads],
                format!(
                    "found {} threads x {} connections = {links}",
                    load.threads, load.connections
                ),
                format!("{bound} is {}", limits.connections),
                format!("write fewer of either, or raise {bound}"),
            );
        }
        self.outstanding();
    }

    /// Clients that together ask more than a replica queues would only ever measure `busy`.
    fn outstanding(&mut self) {
        let (load, limits) = (&self.workload.load, &self.workload.cluster.limits);
        let Arrival::Closed { outstanding, .. } = load.arrival else { return };
        let total = u64::from(load.clients) * u64::from(outstanding);
        let (path, bound) = ("load.arrival.closed.outstanding", "cluster.limits.pending_ops");
        if total > limits.pending_ops.into()
            && self.settings.sound(&[path, "load.arrival", "load.clients", bound])
        {
            self.fault(
                &[path, "load.clients", bound],
                format!("found {} clients x {outstanding} outstanding = {total}", load.clients),
                format!(
                    "a replica queues {bound}, {}, and answers `busy` past that",
                    limits.pending_ops
                ),
                format!("write fewer of either, or raise {bound}"),
            );
        }
    }

    fn time_limits(&mut self) {
        let load = &self.workload.load;
        let (give_up, timeout) = ("load.give_up", "load.timeout");
        if load.give_up_ns < load.timeout_ns && self.settings.sound(&[give_up, timeout]) {
            self.fault(
                &[give_up, timeout],
                format!(
                    "found give_up {} with timeout {}",
                    format_duration(load.give_up_ns),
                    format_duration(load.timeout_ns)
                ),
                "a client asks again after timeout, and so gives up no earlier".into(),
                format!("write `give_up: {}` or more", format_duration(load.timeout_ns)),
            );
        }
    }
}
