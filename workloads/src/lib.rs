//! What to run: workloads of Synod, from YAML to types that cannot be wrong.
//!
//! A workload is one YAML file. [`load`] reads it in three steps, and a fault in any of them ends
//! up in [`Diagnostics`] with the line, the rule and what to write instead:
//!
//! 1. `tree`: text to a tree in which every value knows where it stands; `overrides` change it.
//! 2. `settings`: the tree against the one table of keys in `fields`; defaults are filled in.
//! 3. `resolve` and `checks`: to [`Workload`], and what must hold between keys.
//!
//! The same table makes the [`schema()`] and the [`reference()`] of all keys, and [`Workload::to_yaml`]
//! writes a workload back so that a run folder can hold what was really run.
//!
//! The generators ([`KeyGenerator`], [`ValueGenerator`], [`ArrivalGenerator`],
//! [`OperationGenerator`]) turn a workload into operations: the same ones for ever from one seed,
//! without allocation.
//!
//! A [`Suite`] is one workload, varied: [`load_suite`] reads it and checks every point of it.
//! [`load_model`] reads what simulated machines cost from a file of its own.
//!
//! The crate knows no protocol by name: the caller's [`Catalog`] tells it of all.

mod arrivals;
mod catalog;
mod checks;
mod choices;
mod diagnostics;
mod fields;
mod keys;
mod machine;
mod math;
mod mix;
mod names;
mod overrides;
mod random;
mod resolve;
mod resolved;
mod scalars;
mod schema;
mod settings;
mod spec;
mod suite;
mod tree;
mod units;
mod values;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use arrivals::ArrivalGenerator;
pub use catalog::{
    Catalog, ClusterFacts, Conflict, OperationSet, ParameterDefault, ParameterKind, ParameterSpec,
    ProtocolSpec,
};
pub use checks::{COMMAND_OVERHEAD_BYTES, FRAME_OVERHEAD_BYTES};
pub use diagnostics::{Diagnostic, Diagnostics};
pub use keys::KeyGenerator;
pub use machine::{Cost, Cpu, MachineModel, load_model};
pub use mix::{Operation, OperationGenerator};
pub use random::{Concern, Random, thread_seed};
pub use schema::{reference, schema};
pub use spec::{
    Arrival, Bank, Batch, Cluster, Direction, Durability, Fault, FaultAction, FaultEvent,
    KeyDistribution, Keys, Limits, Link, Links, Load, Log, Mix, Phases, Placement, ProtocolChoice,
    RateStep, Repeat, Spacing, Spread, Target, Transaction, Transport, Trigger, Values, Wait,
    Workload,
};
pub use suite::{Axis, POINTS_MAX, Point, Suite, load_suite};
pub use units::{format_bytes, format_duration, format_rate, format_share};
pub use values::{VALUE_ID_BYTES, ValueGenerator, fill, verify};

use diagnostics::{Origin, Place, Report};

/// Reads a workload from `text`; `path` is its name in messages.
///
/// Each override is `path.of.key=value`, with numbers for the items of lists, and is applied before
/// anything is judged: `load.clients=64`, `protocols.0.multi_paxos.heartbeat=10ms`.
///
/// # Errors
///
/// Every fault that was found, in the order of the file.
pub fn load(
    path: &Path,
    text: &str,
    catalog: &Catalog,
    overrides: &[String],
) -> Result<Workload, Diagnostics> {
    let mut report = Report::new(overrides);
    let workload = load_into(path, text, catalog, overrides, &mut report);
    match workload {
        Some(workload) if report.is_empty() => Ok(workload),
        _ => Err(report.finish(path, text)),
    }
}

/// Reads the workload in the file at `path`, as [`load`] does.
///
/// # Errors
///
/// Every fault that was found; also a file that cannot be read, or is not text.
pub fn load_file(
    path: &Path,
    catalog: &Catalog,
    overrides: &[String],
) -> Result<Workload, Diagnostics> {
    match read_text(path) {
        Ok(text) => load(path, &text, catalog, overrides),
        Err((report, text)) => Err(report.finish(path, &text)),
    }
}

fn load_into(
    path: &Path,
    text: &str,
    catalog: &Catalog,
    overrides: &[String],
    report: &mut Report,
) -> Option<Workload> {
    let faults_before = report.len();
    let mut root = match tree::parse(text, Origin::File, report) {
        Some(root) => root,
        None if report.len() > faults_before => return None,
        None => {
            let rule = "a workload says at least which protocols to run";
            let instead = settings::example_workload(catalog);
            report.add(Place::START, "", "found nothing", rule, instead);
            return None;
        }
    };
    overrides::apply(&mut root, overrides, report);
    let settings = settings::read_settings(&root, catalog, report);
    if !settings.has("") {
        return None;
    }
    let mut workload = resolve::resolve(&settings, path, catalog);
    checks::check(&workload, &settings, catalog, report);
    workload.faults.sort_by_key(|fault| fault.trigger.at_ns().unwrap_or(0));
    Some(workload)
}

/// The text of a file, or what is wrong with it and what of it is text.
fn read_text(path: &Path) -> Result<String, (Report, String)> {
    let mut report = Report::new(&[]);
    let mut bytes = Vec::new();
    let limit = tree::TEXT_BYTES_MAX as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if let Err(error) = read {
        let (rule, instead) = ("a workload is a file that can be read", "look at the path");
        report.add(Place::WHOLE, "", error.to_string(), rule, instead);
        return Err((report, String::new()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let before = &text[..valid];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let place = Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            ..Place::START
        };
        let found = format!("found the byte 0x{:02x}", bytes[valid]);
        report.add(place, "", found, "a workload is UTF-8 text", "save the file as UTF-8");
        (report, text)
    })
}
