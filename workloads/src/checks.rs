//! What must hold between the keys of a workload.

mod faults;
mod links;
mod load;

use std::collections::BTreeMap;

use crate::catalog::{Catalog, ClusterFacts, Conflict, ProtocolSpec};
use crate::choices::{RawChoice, parameter_kind};
use crate::diagnostics::{Report, found};
use crate::fields::share_path;
use crate::mix::Operation;
use crate::names::Named as _;
use crate::scalars::show;
use crate::settings::{Settings, join, listed};
use crate::spec::{Durability, Transport, Workload};
use crate::units::{format_bytes, format_duration, format_share};

/// What a frame needs beside the commands of a batch, in bytes.
pub const FRAME_OVERHEAD_BYTES: u64 = 4096;
/// What a command needs in a batch beside its value, in bytes.
pub const COMMAND_OVERHEAD_BYTES: u64 = 256;
/// The longest folder in which a Unix socket still has a name that the kernel takes.
const SOCKET_FOLDER_BYTES_MAX: usize = 64;

/// Reports every relation that does not hold. Those of which a part is faulty are left alone.
pub(crate) fn check(
    workload: &Workload,
    settings: &Settings,
    catalog: &Catalog,
    report: &mut Report,
) {
    let mut checker = Checker { workload, settings, report };
    checker.transport();
    checker.placement();
    checker.voters();
    checker.active();
    checker.sizes();
    checker.batches();
    checker.links();
    checker.load();
    checker.labels();
    for (choice, resolved) in settings.choices.iter().zip(&workload.protocols) {
        let protocol = &catalog.protocols[choice.index];
        checker.replicas(choice, protocol);
        checker.roles(protocol);
        checker.operations(protocol);
        checker.parameters(choice, protocol, &resolved.parameters);
    }
    checker.faults();
    checker.changes(catalog);
}

struct Checker<'a> {
    workload: &'a Workload,
    settings: &'a Settings,
    report: &'a mut Report,
}

impl Checker<'_> {
    /// Reports at the first of `paths` that the workload gives itself.
    fn fault(&mut self, paths: &[&str], found: String, rule: String, instead: String) {
        let first = paths.first().copied().unwrap_or("");
        let given = paths.iter().copied().find(|path| self.settings.given(path));
        let path = given.unwrap_or(first);
        self.report.add(self.settings.place(path), path, found, rule, instead);
    }

    fn transport(&mut self) {
        let cluster = &self.workload.cluster;
        if !self.settings.sound(&["cluster.transport", "cluster.durability", "cluster.data"]) {
            return;
        }
        if cluster.transport == Transport::Memory && cluster.durability != Durability::None {
            let durability = cluster.durability.name();
            self.fault(
                &["cluster.durability", "cluster.transport"],
                format!("found durability `{durability}` with transport `memory`"),
                "replicas that share one process crash together, so no disk is written".into(),
                "write `durability: none`, or `transport: unix`".into(),
            );
        }
        let folder_bytes = cluster.data.as_ref().map_or(0, |data| data.as_os_str().len());
        if cluster.transport == Transport::Unix && folder_bytes > SOCKET_FOLDER_BYTES_MAX {
            self.fault(
                &["cluster.data"],
                format!("found a path of {folder_bytes} bytes with transport `unix`"),
                format!(
                    "sockets are made there, and the kernel takes short names only: at most \
                     {SOCKET_FOLDER_BYTES_MAX} bytes for the folder"
                ),
                "write a shorter path, or `transport: tcp`".into(),
            );
        }
    }

    fn placement(&mut self) {
        let Some(placement) = &self.workload.cluster.placement else { return };
        let (replicas, threads) =
            (usize::from(self.workload.cluster.replicas), usize::from(self.workload.load.threads));
        for (path, owner, length, expected) in [
            ("cluster.placement.replicas", "cluster.replicas", placement.replicas.len(), replicas),
            ("cluster.placement.load", "load.threads", placement.load.len(), threads),
        ] {
            if length != expected && self.settings.sound(&[path, owner]) {
                self.fault(
                    &[path],
                    format!("found {length} processors"),
                    format!("must be one for each of the {expected} of {owner}"),
                    format!("write {expected} numbers, or change {owner} to {length}"),
                );
            }
        }
    }

    fn batches(&mut self) {
        let batch = &self.workload.cluster.batch;
        let (linger, objective) = ("cluster.batch.linger", "cluster.batch.objective");
        if batch.objective_ns > 0
            && batch.linger_ns > 0
            && self.settings.sound(&[linger, objective])
        {
            self.fault(
                &[linger, objective],
                found(&format_duration(batch.linger_ns)),
                "with an objective a batch waits as long as that allows, not for a fixed time"
                    .into(),
                "remove it, or the objective".into(),
            );
        }
    }

    fn sizes(&mut self) {
        let cluster = &self.workload.cluster;
        let (batch, frame) = ("cluster.batch.max_bytes", "cluster.limits.frame_bytes");
        let (segment, snapshot) = ("cluster.log.segment_bytes", "cluster.log.snapshot_bytes");
        let frame_room = u64::from(cluster.limits.frame_bytes) - FRAME_OVERHEAD_BYTES;
        let batch_bytes = cluster.batch.max_bytes;
        if batch_bytes > frame_room && self.settings.sound(&[batch, frame]) {
            self.fault(
                &[batch, frame],
                found(&format_bytes(batch_bytes)),
                format!(
                    "a batch travels in one frame of {} with {} to spare",
                    format_bytes(cluster.limits.frame_bytes.into()),
                    format_bytes(FRAME_OVERHEAD_BYTES)
                ),
                format!("write at most `{}`, or raise {frame}", format_bytes(frame_room)),
            );
        }
        let log = &cluster.log;
        let record_bytes = batch_bytes + FRAME_OVERHEAD_BYTES;
        if log.segment_bytes < record_bytes && self.settings.sound(&[batch, segment]) {
            self.fault(
                &[segment, batch],
                found(&format_bytes(log.segment_bytes)),
                format!("a batch of {} is one record of a segment", format_bytes(batch_bytes)),
                format!("write at least `{}`, or lower {batch}", format_bytes(record_bytes)),
            );
        }
        if log.snapshot_bytes < log.segment_bytes && self.settings.sound(&[segment, snapshot]) {
            self.fault(
                &[snapshot, segment],
                found(&format_bytes(log.snapshot_bytes)),
                "a snapshot frees whole segments of the log".into(),
                format!("write at least `{}`, the size of one", format_bytes(log.segment_bytes)),
            );
        }
    }

    fn labels(&mut self) {
        let mut labels: BTreeMap<&str, usize> = BTreeMap::new();
        for (choice, resolved) in self.settings.choices.iter().zip(&self.workload.protocols) {
            if !self.settings.sound(&[&choice.path]) {
                continue;
            }
            let label = resolved.label.as_str();
            let Some(first) = labels.get(label) else {
                labels.insert(label, choice.name_place.line);
                continue;
            };
            let rule = format!("a label names one protocol, and line {first} has it already");
            let instead =
                format!("write a label of its own: `{}: {{ label: {label}-2 }}`", resolved.name);
            self.report.add(choice.label_place, &choice.path, found(label), rule, instead);
        }
    }

    fn replicas(&mut self, choice: &RawChoice, protocol: &ProtocolSpec) {
        let replicas = self.workload.cluster.replicas;
        if protocol.replicas.contains(&replicas) || !self.settings.sound(&["cluster.replicas"]) {
            return;
        }
        let (least, most) = (protocol.replicas.start(), protocol.replicas.end());
        let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let rule = format!("{} runs with {range} replicas", protocol.name);
        let nearest = replicas.clamp(*least, *most);
        let instead = format!("write `replicas: {nearest}`, or leave {} out", protocol.name);
        let found = format!("found {replicas} replicas");
        if self.settings.given("cluster.replicas") {
            self.fault(&["cluster.replicas"], found, rule, instead);
        } else {
            self.report.add(choice.name_place, &choice.path, found, rule, instead);
        }
    }

    fn voters(&mut self) {
        let (replicas, observers) =
            (self.workload.cluster.replicas, self.workload.cluster.observers);
        if observers < replicas || !self.settings.sound(&["cluster.observers", "cluster.replicas"])
        {
            return;
        }
        self.fault(
            &["cluster.observers", "cluster.replicas"],
            format!("found {observers} observers of {replicas} replicas"),
            "must leave a replica that votes".into(),
            format!("write at most `observers: {}`, or more replicas", replicas - 1),
        );
    }

    fn active(&mut self) {
        let (replicas, witnesses) =
            (self.workload.cluster.replicas, self.workload.cluster.witnesses);
        let most = replicas.saturating_sub(1) / 2;
        if witnesses <= most || !self.settings.sound(&["cluster.witnesses", "cluster.replicas"]) {
            return;
        }
        self.fault(
            &["cluster.witnesses", "cluster.replicas"],
            format!("found {witnesses} witnesses of {replicas} replicas"),
            "must leave a majority that executes".into(),
            format!("write at most `witnesses: {most}`, or more replicas"),
        );
    }

    /// No replica has a role that the protocol does not know.
    fn roles(&mut self, protocol: &ProtocolSpec) {
        let cluster = &self.workload.cluster;
        let roles = [
            ("observers", cluster.observers, protocol.observers, "votes"),
            ("witnesses", cluster.witnesses, protocol.witnesses, "executes"),
        ];
        for (role, count, is_known, does) in roles {
            let path: &str = &format!("cluster.{role}");
            if count == 0 || is_known || !self.settings.sound(&[path]) {
                continue;
            }
            self.fault(
                &[path],
                format!("found {count} {role}"),
                format!("{} has none: each of its replicas {does}", protocol.name),
                format!("write `{role}: 0`, or leave {} out", protocol.name),
            );
        }
    }

    fn operations(&mut self, protocol: &ProtocolSpec) {
        for operation in Operation::ALL {
            let share = self.workload.load.mix.share(operation);
            if share == 0.0 || protocol.operations.contains(operation) {
                continue;
            }
            let path = share_path(operation);
            if !self.settings.sound(&[&path]) {
                continue;
            }
            let names: Vec<&str> = protocol.operations.iter().map(Operation::name).collect();
            self.fault(
                &[&path, "load.mix"],
                format!("found {}", format_share(share)),
                format!("{} serves {}", protocol.name, listed(&names)),
                format!("write `{}: 0%`, or leave {} out", operation.name(), protocol.name),
            );
        }
    }

    fn parameters(&mut self, choice: &RawChoice, protocol: &ProtocolSpec, values: &[u64]) {
        if !self.settings.sound(&[&choice.path, "cluster.replicas", "cluster.window"]) {
            return;
        }
        let facts = ClusterFacts {
            replicas: self.workload.cluster.replicas,
            window: self.workload.cluster.window,
            durability: self.workload.cluster.durability,
        };
        let Err(Conflict { parameter, rule, instead }) = (protocol.validate)(&facts, values) else {
            return;
        };
        let position = protocol.parameters.iter().position(|spec| spec.name == parameter);
        let value = position.map_or_else(String::new, |position| {
            show(&parameter_kind(&protocol.parameters[position]), values[position])
        });
        // If it has its default, whichever of the others was given is the nearest place.
        let place = choice.places.get(parameter).or_else(|| choice.places.values().next());
        let place = place.copied().unwrap_or(choice.name_place);
        let path = join(&choice.path, parameter);
        self.report.add(place, path, found(&value), rule, instead);
    }
}
