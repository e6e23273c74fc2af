//! A history of Jepsen as operations.
//!
//! Each operation is two maps of one process, `:invoke` and then `:ok`, `:fail` or `:info`. One
//! that is never completed, or by `:info`, has an unknown outcome; `:fail` certainly did not
//! happen. Keys that [`write_edn`](super::write_edn) adds are understood: `:session`, `:version`,
//! `:tombstone` and `:absent` (the name of the nil that is written or found), `:expects`, and
//! `:found` (what made a cas fail).

use std::collections::{BTreeMap, BTreeSet};

use super::LineError;
use super::edn::{self, Value};
use super::value::id;
use crate::history::{Kind, Operation, Outcome};

/// The largest text that is read.
const TEXT_BYTES_MAX: usize = 1 << 30;

/// An operation and where it was invoked.
#[derive(Debug)]
struct Line {
    line: u32,
    operation: Operation,
    /// It writes or found nil, and does not say which.
    is_nil_unnamed: bool,
}

/// Reads a history of Jepsen: one map for each line, or a vector of them. `file` is its name in
/// errors.
///
/// # Errors
/// Where the text is no history, or not one that can be checked: each value must be written once.
pub fn read_edn(file: &str, text: &str) -> Result<Vec<Operation>, LineError> {
    let fail = |(line, what)| LineError { file: file.to_owned(), line, what };
    if text.len() > TEXT_BYTES_MAX {
        return Err(fail((1, format!("is larger than {TEXT_BYTES_MAX} bytes"))));
    }
    let mut entries = edn::parse(text).map_err(fail)?;
    if let [edn::Located { value: Value::Sequence(items), .. }] = entries.as_mut_slice() {
        entries = std::mem::take(items);
    }
    let mut reader = Reader::default();
    for (position, entry) in (0..).zip(&entries) {
        reader.take(position, entry.line, &entry.value).map_err(|what| fail((entry.line, what)))?;
    }
    reader.finish().map_err(fail)
}

#[derive(Debug, Default)]
struct Reader {
    /// What each process has under way.
    pending: BTreeMap<i64, Line>,
    lines: Vec<Line>,
    /// Keys that are added to: what they hold are sums, not names.
    counters: BTreeSet<u64>,
    /// Whether the maps have a `:time`; the first one decides.
    has_times: Option<bool>,
}

impl Reader {
    fn take(&mut self, position: u64, line: u32, map: &Value) -> Result<(), String> {
        if !matches!(map, Value::Map(_)) {
            return Err(format!("{}: is no operation, which is a map {{...}}", map.words()));
        }
        let process = match map.entry("process") {
            Some(&Value::Integer(process)) => process,
            // The nemesis breaks things, which is no operation.
            Some(Value::Keyword(_)) => return Ok(()),
            other => return Err(wrong("process", other, "an integer")),
        };
        let time_ns = self.time_ns(position, map)?;
        match keyword(map, "type")? {
            "invoke" => {
                if let Some(before) = self.pending.get(&process) {
                    let line = before.line;
                    return Err(format!(
                        ":process {process}: invokes while what it invoked in line {line} is \
                         not completed"
                    ));
                }
                let invoked = self.invoke(line, process, time_ns, map)?;
                self.pending.insert(process, invoked);
                Ok(())
            }
            answer @ ("ok" | "fail" | "info") => {
                let Some(mut invoked) = self.pending.remove(&process) else {
                    return Err(format!(
                        ":type :{answer}: process {process} has invoked nothing that this completes"
                    ));
                };
                complete(&mut invoked, answer, time_ns, map)?;
                self.lines.push(invoked);
                Ok(())
            }
            other => Err(format!(":type :{other}: must be :invoke, :ok, :fail or :info")),
        }
    }

    fn time_ns(&mut self, position: u64, map: &Value) -> Result<u64, String> {
        let time = match map.entry("time") {
            None => None,
            Some(&Value::Integer(time)) => Some(
                u64::try_from(time).map_err(|_| format!(":time {time}: must not be negative"))?,
            ),
            other => return Err(wrong("time", other, "nanoseconds as an integer")),
        };
        let has_time = time.is_some();
        if *self.has_times.get_or_insert(has_time) != has_time {
            return Err(":time: must be in all maps or in none".to_owned());
        }
        Ok(time.unwrap_or(position))
    }

    fn invoke(
        &mut self,
        line: u32,
        process: i64,
        start_ns: u64,
        map: &Value,
    ) -> Result<Line, String> {
        let (key, asked) = key_and_value(map)?.ok_or_else(|| wrong_value(map))?;
        let session = match map.entry("session") {
            Some(&Value::Integer(session)) => session,
            _ => process,
        };
        let session = u32::try_from(session)
            .map_err(|_| format!(":process {session}: must lie between 0 and {}", u32::MAX))?;
        let mut operation = Operation { start_ns, key, session, ..Operation::default() };
        operation.end_ns = u64::MAX;
        operation.outcome = Outcome::Unknown;
        let mut is_nil_unnamed = false;
        match (keyword(map, "f")?, asked) {
            ("read", _) => operation.kind = Kind::Get,
            ("write", Value::Integer(integer)) => {
                operation.kind = Kind::Put;
                operation.written = named(*integer)?;
            }
            ("write", Value::Nil) => {
                operation.kind = Kind::Delete;
                operation.written = integer(map, "tombstone")?.map_or(Ok(0), named)?;
                is_nil_unnamed = operation.written == 0;
            }
            ("cas", Value::Sequence(pair)) => {
                operation.kind = Kind::CompareAndSwap;
                (operation.expected, operation.written) = match pair.as_slice() {
                    [expected, written] => match (&expected.value, &written.value) {
                        (Value::Integer(old), Value::Integer(new)) => (named(*old)?, named(*new)?),
                        (Value::Nil, Value::Integer(new)) => {
                            let expects = integer(map, "expects")?;
                            is_nil_unnamed = expects.is_none();
                            (expects.map_or(Ok(0), name)?, named(*new)?)
                        }
                        _ => return Err(wrong_value(map)),
                    },
                    _ => return Err(wrong_value(map)),
                };
            }
            ("add", Value::Integer(delta)) => {
                operation.kind = Kind::Add;
                operation.written = u64::try_from(*delta)
                    .map_err(|_| format!(":f :add adds {delta}: must be positive"))?;
                self.counters.insert(key);
            }
            ("write" | "cas" | "add", _) => return Err(wrong_value(map)),
            (other, _) => return Err(format!(":f :{other}: must be :read, :write, :cas or :add")),
        }
        Ok(Line { line, operation, is_nil_unnamed })
    }

    /// The operations, if each value is written once and each nil can be told from the others.
    fn finish(mut self) -> Result<Vec<Operation>, (u32, String)> {
        self.lines.extend(std::mem::take(&mut self.pending).into_values());
        self.lines.sort_by_key(|line| line.line);
        let mut deletes = BTreeMap::new();
        for line in &self.lines {
            let is_write = line.operation.kind == Kind::Delete;
            if is_write && line.is_nil_unnamed && line.operation.outcome != Outcome::Refused {
                deletes.entry(line.operation.key).or_insert(line.line);
            }
        }
        let mut writers: BTreeMap<(u64, u64), (u32, u32)> = BTreeMap::new();
        // What was refused was not written, so it may be written again; and is then left out.
        let is_refused = |line: &Line| line.operation.outcome == Outcome::Refused;
        let (refused, mut kept): (Vec<Line>, Vec<Line>) =
            std::mem::take(&mut self.lines).into_iter().partition(is_refused);
        for line in &mut kept {
            self.settle(line, &deletes)?;
            let Operation { key, written, session, .. } = line.operation;
            if written == 0 || self.counters.contains(&key) {
                continue;
            }
            if let Some((process, first)) = writers.insert((key, written), (session, line.line)) {
                let value = super::external(written);
                return Err((
                    line.line,
                    format!(
                        "process {session} writes {value} to key {key}, as process {process} does \
                         in line {first}: values of a key must differ, or a read does not tell \
                         which write it saw"
                    ),
                ));
            }
        }
        for line in refused {
            let Operation { key, written, session, .. } = line.operation;
            let is_new =
                written != 0 && writers.insert((key, written), (session, line.line)).is_none();
            if is_new || line.operation.kind == Kind::Get || self.counters.contains(&key) {
                kept.push(line);
            }
        }
        kept.sort_by_key(|line| line.line);
        Ok(kept.into_iter().map(|line| line.operation).collect())
    }

    /// Sums are numbers and not names, and a nil must be known.
    fn settle(&self, line: &mut Line, deletes: &BTreeMap<u64, u32>) -> Result<(), (u32, String)> {
        let operation = &mut line.operation;
        if self.counters.contains(&operation.key) && operation.kind == Kind::Get {
            let sum = if operation.observed == 0 { 0 } else { super::external(operation.observed) };
            operation.observed = u64::try_from(sum).map_err(|_| {
                (line.line, format!("a counter is read as {sum}: sums are not negative"))
            })?;
        }
        match deletes.get(&operation.key) {
            Some(first) if line.is_nil_unnamed => Err((
                line.line,
                format!(
                    "nil of key {} may be the nil that line {first} writes or another one: name \
                     it by `:tombstone` where it is written and `:absent` where it is read, or \
                     write an integer that stands for nil",
                    operation.key
                ),
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// Takes in the answer to an operation.
fn complete(line: &mut Line, answer: &str, end_ns: u64, map: &Value) -> Result<(), String> {
    let operation = &mut line.operation;
    let f = keyword(map, "f")?;
    let asked = match operation.kind {
        Kind::Get => "read",
        Kind::Put | Kind::Delete => "write",
        Kind::CompareAndSwap => "cas",
        Kind::Add => "add",
        Kind::Transaction | Kind::Transfer => unreachable!("no line is one"),
    };
    let value = key_and_value(map)?;
    if f != asked || value.is_some_and(|(key, _)| key != operation.key) {
        return Err(format!(
            ":f :{f}: completes :{asked} of key {} in line {}, so both must be the same",
            operation.key, line.line
        ));
    }
    if answer == "info" {
        return Ok(());
    }
    if end_ns < operation.start_ns {
        let start_ns = operation.start_ns;
        return Err(format!(":time {end_ns}: lies before its :invoke at {start_ns}"));
    }
    operation.end_ns = end_ns;
    operation.version = integer(map, "version")?.map_or(0, i64::cast_unsigned);
    operation.outcome = Outcome::Ok;
    if answer == "fail" {
        operation.outcome = Outcome::Refused;
        if let Some(found) = map.entry("found") {
            let outcome = match operation.kind {
                Kind::CompareAndSwap => Outcome::Mismatch,
                Kind::Get
                | Kind::Put
                | Kind::Delete
                | Kind::Add
                | Kind::Transaction
                | Kind::Transfer => Outcome::Ok,
            };
            operation.outcome = outcome;
            line.is_nil_unnamed |= find(operation, found, map)?;
        }
    } else if operation.kind == Kind::Get {
        let (_, found) = value.ok_or_else(|| wrong_value(map))?;
        line.is_nil_unnamed = find(operation, found, map)?;
    } else if operation.kind == Kind::Add {
        let sum = value.map(|(_, sum)| sum);
        let Some(&Value::Integer(sum)) = sum else { return Err(wrong_value(map)) };
        operation.observed =
            u64::try_from(sum).map_err(|_| format!(":value: the sum {sum} is negative"))?;
    }
    Ok(())
}

/// Takes in what an operation found; whether that is a nil without a name.
fn find(operation: &mut Operation, found: &Value, map: &Value) -> Result<bool, String> {
    match found {
        Value::Integer(integer) => operation.observed = named(*integer)?,
        Value::Nil => {
            let absent = integer(map, "absent")?;
            operation.outcome = Outcome::Absent;
            operation.observed = absent.map_or(Ok(0), name)?;
            return Ok(absent.is_none());
        }
        Value::Keyword(_) | Value::Sequence(_) | Value::Map(_) | Value::Other(_) => {
            return Err(wrong_value(map));
        }
    }
    Ok(false)
}

/// The id of a nil: 0 is that of a key never written.
fn name(integer: i64) -> Result<u64, String> {
    if integer == 0 { Ok(0) } else { named(integer) }
}

fn named(integer: i64) -> Result<u64, String> {
    id(integer).ok_or_else(|| format!("{integer}: values lie above it"))
}

fn keyword<'a>(map: &'a Value, name: &str) -> Result<&'a str, String> {
    match map.entry(name) {
        Some(Value::Keyword(word)) => Ok(word),
        other => Err(wrong(name, other, "a keyword")),
    }
}

fn integer(map: &Value, name: &str) -> Result<Option<i64>, String> {
    match map.entry(name) {
        None => Ok(None),
        Some(&Value::Integer(integer)) => Ok(Some(integer)),
        other => Err(wrong(name, other, "an integer")),
    }
}

/// What `:value [key value]` says; nothing if it is left out or nil.
fn key_and_value(map: &Value) -> Result<Option<(u64, &Value)>, String> {
    match map.entry("value") {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Sequence(pair)) => match pair.as_slice() {
            [key, value] => {
                let Value::Integer(key) = key.value else { return Err(wrong_value(map)) };
                Ok(Some((key.cast_unsigned(), &value.value)))
            }
            _ => Err(wrong_value(map)),
        },
        Some(_) => Err(wrong_value(map)),
    }
}

fn wrong(name: &str, found: Option<&Value>, right: &str) -> String {
    match found {
        None => format!(":{name} is missing; it is {right}"),
        Some(found) => format!(":{name} {}: must be {right}", found.words()),
    }
}

fn wrong_value(map: &Value) -> String {
    let right = "[key value] with an integer as key, and as value an integer, nil, or \
                 [expected written] for :cas";
    wrong("value", map.entry("value"), right)
}
