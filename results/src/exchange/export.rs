//! Histories for the checkers of others.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::external;
use crate::history::{Kind, Operation, Outcome};

/// A call or an answer: its time, whether it is an answer, and the operation's place.
type Event = (u64, bool, usize);

/// The process that stands for a session, which changes with it.
#[derive(Clone, Copy)]
struct Process {
    number: u32,
    free_from_ns: Option<u64>,
}

/// Writes a history of Jepsen, one map for each line.
///
/// A process of Jepsen is never used again after `:info`, so what its session does next is of a
/// new process. So is what begins at the very stamp of the answer before: then every call stands
/// before the answers of its stamp, and what counts as overlapping overlaps.
///
/// # Errors
/// If an operation cannot be said in this format, or the target cannot be written.
pub fn write_edn(operations: &[Operation], target: &mut dyn Write) -> io::Result<()> {
    let special = Special::new(operations)?;
    let mut events: Vec<Event> = Vec::with_capacity(2 * operations.len());
    let mut last_ns = 0;
    for (at, operation) in operations.iter().enumerate() {
        events.push((operation.start_ns, false, at));
        last_ns = last_ns.max(operation.start_ns);
        if operation.outcome != Outcome::Unknown {
            let end_ns = operation.end_ns.max(operation.start_ns);
            let is_stamped = operation.end_ns != u64::MAX;
            let end_ns = if is_stamped { end_ns } else { operation.start_ns };
            events.push((end_ns, true, at));
            last_ns = last_ns.max(end_ns);
        }
    }
    let unknown = |operation: &Operation| operation.outcome == Outcome::Unknown;
    let unknowns = operations.iter().enumerate().filter(|(_, operation)| unknown(operation));
    events.extend(unknowns.map(|(at, _)| (last_ns, true, at)));
    events.sort_unstable();
    let processes = processes(operations);
    for (index, &(time_ns, is_answer, at)) in events.iter().enumerate() {
        let operation = &operations[at];
        let process = processes[at];
        write!(target, "{{:process {process}, :type :")?;
        write_event(operation, is_answer, &special, target)?;
        if process != operation.session {
            write!(target, ", :session {}", operation.session)?;
        }
        if is_answer && operation.version != 0 {
            write!(target, ", :version {}", operation.version.cast_signed())?;
        }
        writeln!(target, ", :time {time_ns}, :index {index}}}")?;
    }
    Ok(())
}

/// What must be known of a history before its first operation is written.
struct Special {
    /// The keys that are added to: what they hold are sums, not names.
    counters: BTreeSet<u64>,
    /// The keys and ids of what is written by deletes, which others call nil.
    tombstones: BTreeSet<(u64, u64)>,
}

impl Special {
    fn new(operations: &[Operation]) -> io::Result<Self> {
        let of_kind =
            |kind| operations.iter().filter(move |operation: &&Operation| operation.kind == kind);
        if of_kind(Kind::Transfer).next().is_some() {
            let reason = "transfers between accounts cannot be said in this format";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        Ok(Self {
            counters: of_kind(Kind::Add).map(|operation| operation.key).collect(),
            tombstones: of_kind(Kind::Delete)
                .map(|operation| (operation.key, operation.written))
                .collect(),
        })
    }
}

/// The process of each operation.
fn processes(operations: &[Operation]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..operations.len()).collect();
    let by_session = |&at: &usize| {
        let Operation { session, start_ns, end_ns, .. } = operations[at];
        (session, start_ns, end_ns)
    };
    order.sort_by_key(by_session);
    let highest = operations.iter().map(|operation| operation.session).max().unwrap_or(0);
    let mut next_number = highest;
    let mut numbers = vec![0; operations.len()];
    for of_session in order.chunk_by(|&a, &b| operations[a].session == operations[b].session) {
        let session = operations[of_session[0]].session;
        let mut process = Process { number: session, free_from_ns: Some(0) };
        let mut is_first = true;
        for &at in of_session {
            let operation = &operations[at];
            let is_free = process.free_from_ns.is_some_and(|free| free < operation.start_ns);
            if !is_first && !is_free {
                next_number = next_number.wrapping_add(1);
                process.number = next_number;
            }
            is_first = false;
            let is_unknown = operation.outcome == Outcome::Unknown;
            process.free_from_ns = (!is_unknown).then_some(operation.end_ns);
            numbers[at] = process.number;
        }
    }
    numbers
}

fn write_event(
    operation: &Operation,
    is_answer: bool,
    special: &Special,
    target: &mut dyn Write,
) -> io::Result<()> {
    let Operation { key, written, expected, observed, kind, outcome, .. } = *operation;
    let word = match outcome {
        _ if !is_answer => "invoke",
        Outcome::Ok => "ok",
        Outcome::Absent if kind == Kind::Get => "ok",
        Outcome::Absent | Outcome::Mismatch | Outcome::Refused => "fail",
        Outcome::Unknown => "info",
    };
    let is_counter = special.counters.contains(&key);
    let expects_nil = expected == 0 || special.tombstones.contains(&(key, expected));
    let key = key.cast_signed();
    let is_found = is_answer && outcome == Outcome::Ok;
    match kind {
        Kind::Get if is_found && is_counter => {
            write!(target, "{word}, :f :read, :value [{key} {observed}]")
        }
        Kind::Get if is_found => {
            let found = value(operation, observed)?;
            write!(target, "{word}, :f :read, :value [{key} {found}]")
        }
        Kind::Get => write!(target, "{word}, :f :read, :value [{key} nil]"),
        Kind::Put => {
            write!(target, "{word}, :f :write, :value [{key} {}]", value(operation, written)?)
        }
        Kind::Delete => {
            let name = value(operation, written)?;
            write!(target, "{word}, :f :write, :value [{key} nil], :tombstone {name}")
        }
        Kind::CompareAndSwap => {
            let new = value(operation, written)?;
            let old = name(expected);
            if expects_nil {
                write!(target, "{word}, :f :cas, :value [{key} [nil {new}]], :expects {old}")
            } else {
                write!(target, "{word}, :f :cas, :value [{key} [{old} {new}]]")
            }
        }
        Kind::Add if is_found => write!(target, "{word}, :f :add, :value [{key} {observed}]"),
        Kind::Add => write!(target, "{word}, :f :add, :value [{key} {written}]"),
        Kind::Transaction | Kind::Transfer => unreachable!("they were refused before"),
    }?;
    match (kind, outcome) {
        (Kind::Get, Outcome::Absent) if is_answer => write!(target, ", :absent {}", name(observed)),
        (_, Outcome::Absent) if is_answer => {
            write!(target, ", :found nil, :absent {}", name(observed))
        }
        (_, Outcome::Mismatch) if is_answer => {
            write!(target, ", :found {}", value(operation, observed)?)
        }
        _ => Ok(()),
    }
}

/// An id as an integer, 0 being the name of a key never written.
fn name(id: u64) -> i64 {
    if id == 0 { 0 } else { external(id) }
}

/// The integer for an id that must be there.
fn value(operation: &Operation, id: u64) -> io::Result<i64> {
    if id != 0 {
        return Ok(external(id));
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "{} of session {} at {} ns on key {} has a value without a name, which cannot be said \
             in this format",
            operation.kind.name(),
            operation.session,
            operation.start_ns,
            operation.key
        ),
    ))
}

/// Writes a history as an array of Porcupine's operations. What was refused did not happen and is
/// left out; what was never answered has no `Return`, and no `Output`.
///
/// # Errors
/// If the target cannot be written.
pub fn write_porcupine(operations: &[Operation], target: &mut dyn Write) -> io::Result<()> {
    let Special { counters, tombstones } = Special::new(operations)?;
    let happened = operations.iter().filter(|operation| operation.outcome != Outcome::Refused);
    let mut before = "[\n";
    for operation in happened {
        let Operation { start_ns, end_ns, key, written, expected, observed, kind, .. } = *operation;
        let is_counter = counters.contains(&key);
        let text = |id: u64| match id {
            _ if is_counter => serde_json::json!(id.to_string()),
            _ if tombstones.contains(&(key, id)) => serde_json::Value::Null,
            0 => serde_json::Value::Null,
            _ => serde_json::json!(external(id).to_string()),
        };
        let name = key.to_string();
        let input = match kind {
            Kind::Get => serde_json::json!({"op": "get", "key": name}),
            Kind::Put => serde_json::json!({"op": "put", "key": name, "value": text(written)}),
            Kind::Delete => serde_json::json!({"op": "put", "key": name, "value": null}),
            Kind::Add => serde_json::json!({"op": "add", "key": name, "value": text(written)}),
            Kind::CompareAndSwap => serde_json::json!({
                "op": "cas", "key": name, "expected": text(expected), "value": text(written)
            }),
            Kind::Transaction | Kind::Transfer => unreachable!("they were refused before"),
        };
        let found = if operation.outcome == Outcome::Absent && !is_counter {
            serde_json::Value::Null
        } else {
            text(observed)
        };
        let output = match kind {
            Kind::Get | Kind::Add => serde_json::json!({"value": found}),
            Kind::Put => serde_json::json!({}),
            Kind::Delete => serde_json::json!({"ok": operation.outcome == Outcome::Ok}),
            Kind::CompareAndSwap if operation.outcome == Outcome::Ok => {
                serde_json::json!({"ok": true})
            }
            Kind::CompareAndSwap => serde_json::json!({"ok": false, "value": found}),
            Kind::Transaction | Kind::Transfer => unreachable!("they were refused before"),
        };
        let mut entry = serde_json::json!({
            "ClientId": operation.session, "Input": input, "Call": start_ns
        });
        if operation.outcome != Outcome::Unknown {
            entry["Output"] = output;
            entry["Return"] = serde_json::json!(end_ns);
        }
        write!(target, "{before}{entry}")?;
        before = ",\n";
    }
    writeln!(target, "{}]", if before == ",\n" { "\n" } else { "[" })
}
