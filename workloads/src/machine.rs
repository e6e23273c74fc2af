//! What the machines of the simulator cost: the keys below `model` of a workload, or a file of its
//! own with nothing else in it.

use std::path::Path;

use crate::diagnostics::{Diagnostics, Origin, Place, Report};
use crate::read_text;
use crate::resolved::model_document;
use crate::settings::{Settings, read_part};
use crate::tree;
use crate::units::format_duration;

/// The key of a workload below which they stand.
pub(crate) const MODEL: &str = "model";

/// What a turn costs a processor, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    /// A turn of a thread.
    pub turn_ns: u64,
    /// A turn besides, if the processor did something else before.
    pub switch_ns: u64,
    /// What came on a connection since the last turn, or a write that ended.
    pub arrival_ns: u64,
    /// Something sent on a connection.
    pub send_ns: u64,
    /// Each KiB received or sent.
    pub kib_ns: u64,
    /// A command applied by a replica.
    pub command_ns: u64,
    /// A register read or written by a replica.
    pub register_ns: u64,
    /// A message that a replica gets from another or sends to it.
    pub message_ns: u64,
    /// An operation of a client, at the load generator.
    pub operation_ns: u64,
    /// A write given to the disk, for the processor.
    pub write_ns: u64,
}

/// What things cost on simulated machines, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MachineModel {
    /// Processors that all threads share, placed as in a run, with one disk for all; 0 when each
    /// thread has a processor and a disk of its own.
    pub processors: u16,
    /// For how long a processor is away at a time, with others than the threads of the run; 0 if it
    /// never is.
    pub away_ns: u64,
    /// How long it is there in between.
    pub between_ns: u64,
    /// What turns cost.
    pub cpu: Cpu,
    /// How long bytes travel.
    pub network_ns: u64,
    /// How long a synced write takes at least.
    pub disk_ns: u64,
    /// How much longer in the mean; any longer is as likely as after an exponential distribution.
    pub disk_tail_ns: u64,
    /// For how long a write keeps the disk from beginning the next one.
    pub disk_gap_ns: u64,
    /// The same, for each KiB of it.
    pub disk_kib_ns: u64,
}

/// Each cost: its key, and where it is kept.
pub type Cost = (&'static str, fn(&mut MachineModel) -> &mut u64);

impl MachineModel {
    /// Every cost by its key, in the order of the keys.
    pub const COSTS: [Cost; 15] = [
        ("turn", |model| &mut model.cpu.turn_ns),
        ("switch", |model| &mut model.cpu.switch_ns),
        ("arrival", |model| &mut model.cpu.arrival_ns),
        ("send", |model| &mut model.cpu.send_ns),
        ("kib", |model| &mut model.cpu.kib_ns),
        ("command", |model| &mut model.cpu.command_ns),
        ("register", |model| &mut model.cpu.register_ns),
        ("message", |model| &mut model.cpu.message_ns),
        ("operation", |model| &mut model.cpu.operation_ns),
        ("write", |model| &mut model.cpu.write_ns),
        ("network", |model| &mut model.network_ns),
        ("disk", |model| &mut model.disk_ns),
        ("disk_tail", |model| &mut model.disk_tail_ns),
        ("disk_gap", |model| &mut model.disk_gap_ns),
        ("disk_kib", |model| &mut model.disk_kib_ns),
    ];

    /// The cost with this key, which must be one of [`Self::COSTS`].
    pub fn cost(&mut self, key: &str) -> &mut u64 {
        let found = Self::COSTS.into_iter().find(|(other, _)| *other == key);
        let Some((_, cost)) = found else { panic!("{key} is no cost") };
        cost(self)
    }

    pub(crate) fn resolve(settings: &Settings) -> Self {
        let mut model = Self {
            processors: settings.narrow("model.processors"),
            away_ns: settings.integer("model.away"),
            between_ns: settings.integer("model.between"),
            ..Self::default()
        };
        for (key, cost) in Self::COSTS {
            *cost(&mut model) = settings.integer(&format!("{MODEL}.{key}"));
        }
        model
    }

    /// Each duration by its key, as one would write it.
    pub(crate) fn shown(mut self) -> impl Iterator<Item = (&'static str, String)> {
        let others = [("away", self.away_ns), ("between", self.between_ns)];
        let costs = Self::COSTS.map(|(key, cost)| (key, *cost(&mut self)));
        others.into_iter().chain(costs).map(|(key, ns)| (key, format_duration(ns)))
    }

    /// A file that [`load_model`] reads, and that can be pasted into a workload.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        model_document(self)
    }
}

/// Reads the file of a model at `path`: the key `model` of workloads, alone.
///
/// # Errors
///
/// Every fault that was found; also a file that cannot be read, or is not text.
pub fn load_model(path: &Path) -> Result<MachineModel, Diagnostics> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err((report, text)) => return Err(report.finish(path, &text)),
    };
    let mut report = Report::new(&[]);
    let root = tree::parse(&text, Origin::File, &mut report);
    let settings = root.as_ref().and_then(|root| read_part(root, MODEL, &mut report));
    if root.is_none() && report.is_empty() {
        let rule = "the file of a model has the key `model`";
        report.add(Place::START, "", "found nothing", rule, "write it with `synod calibrate`");
    }
    match settings {
        Some(settings) if report.is_empty() => Ok(MachineModel::resolve(&settings)),
        _ => Err(report.finish(path, &text)),
    }
}
