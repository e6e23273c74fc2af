//! What is left to check of histories whose protocol promises less than linearizability.

use std::collections::BTreeMap;

use synod_protocols::command::{Op, Status};
use synod_protocols::protocol::Consistency;

use crate::history::{self, Operation};
use crate::transactions;

/// Explains what a history breaks of a promise.
pub(crate) fn check(history: &[Operation], promise: Consistency) -> Result<(), String> {
    match promise {
        Consistency::StrictlySerializable => transactions::check(history),
        Consistency::Linearizable => history::check(history),
        Consistency::Sequential => sequential(history),
        Consistency::Regular => reads(history).try_for_each(|read| regular(read, history)),
        Consistency::Eventual => reads(history).try_for_each(|read| written(read, history)),
    }
}

fn reads(history: &[Operation]) -> impl Iterator<Item = &Operation> {
    history.iter().filter(|operation| operation.op == Op::Get && operation.ended.is_some())
}

fn writes_of<'a>(
    read: &'a Operation,
    history: &'a [Operation],
) -> impl Iterator<Item = &'a Operation> {
    history.iter().filter(|other| other.op != Op::Get && other.key == read.key)
}

fn ends_before(first: &Operation, second: &Operation) -> bool {
    first.ended.as_ref().is_some_and(|(at, _)| *at < second.invoked_at)
}

/// Who wrote what a read saw; `None` for what was there before any write.
fn writer<'a>(
    read: &'a Operation,
    history: &'a [Operation],
) -> Result<Option<&'a Operation>, String> {
    let (_, outcome) = read.ended.as_ref().expect("only ended reads are looked at");
    if outcome.status == Status::Absent && outcome.value.is_empty() {
        return Ok(None);
    }
    let deleted = outcome.status == Status::Absent;
    let writer = writes_of(read, history).find(|write| {
        // What a sum consists of is not looked into.
        let is_it = write.op == Op::Add || write.value == outcome.value;
        (write.op == Op::Delete) == deleted && is_it && !ends_before(read, write)
    });
    writer.map(Some).ok_or_else(|| format!("it is not eventual: nobody wrote what {read:?} saw"))
}

/// Writes are linearizable, and each client's reads are of one moment after the other in the order of
/// the writes, its own among them. What a write did that was never answered has no known place there:
/// reads of it are only looked at as [`written`] does.
fn sequential(history: &[Operation]) -> Result<(), String> {
    let writes: Vec<_> = history.iter().filter(|write| write.op != Op::Get).cloned().collect();
    history::check(&writes)?;
    reads(history).try_for_each(|read| written(read, history))?;
    let mut seen_until = BTreeMap::<usize, u64>::new();
    for operation in history.iter().filter(|operation| operation.ended.is_some()) {
        let seen = seen_until.entry(operation.client).or_default();
        let (from, before) = match operation.op {
            Op::Get => match visible(operation, history) {
                Some(visible) => visible,
                None => continue,
            },
            Op::Put | Op::Delete | Op::CompareAndSwap | Op::Add | Op::Transact => {
                (operation.version, u64::MAX)
            }
        };
        if before <= *seen || (operation.op != Op::Get && from <= *seen) {
            return Err(format!("it is not sequential: {operation:?} comes after {seen}"));
        }
        *seen = from.max(*seen);
    }
    Ok(())
}

/// From which version on, and before which, a read could see what it saw, as far as the writes tell
/// that were answered. `None` if its writer was not.
fn visible(read: &Operation, history: &[Operation]) -> Option<(u64, u64)> {
    let (_, seen) = read.ended.as_ref().expect("only ended reads are looked at");
    let changes = || {
        let ended =
            writes_of(read, history).filter_map(|write| Some((write, write.ended.as_ref()?)));
        ended.filter(|(_, (_, outcome))| outcome.status == Status::Ok)
    };
    let nothing = seen.status == Status::Absent && seen.value.is_empty();
    let writer = changes().find(|(write, (_, outcome))| match write.op {
        Op::Add => seen.status == Status::Ok && outcome.value == seen.value,
        Op::Delete => seen.status == Status::Absent && write.value == seen.value,
        Op::Get | Op::Put | Op::CompareAndSwap | Op::Transact => {
            seen.status == Status::Ok && write.value == seen.value
        }
    });
    let from = if nothing { 0 } else { writer?.0.version };
    let later = changes().map(|(write, _)| write.version).filter(|&version| version > from);
    Some((from, later.min().unwrap_or(u64::MAX)))
}

/// A read returns what somebody wrote, and not later.
fn written(read: &Operation, history: &[Operation]) -> Result<(), String> {
    writer(read, history).map(drop)
}

/// A read returns a write that it overlaps, or one that no other write followed before the read.
fn regular(read: &Operation, history: &[Operation]) -> Result<(), String> {
    let writer = writer(read, history)?;
    let follows = |write: &&Operation| {
        ends_before(write, read) && writer.is_none_or(|writer| ends_before(writer, write))
    };
    match writes_of(read, history).find(follows) {
        Some(missed) => Err(format!("it is not regular: {read:?} missed {missed:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Outcome;

    fn put(value: u8, invoked_at: u64, ended_at: u64) -> Operation {
        let ended = Some((ended_at, Outcome { status: Status::Ok, value: Vec::new() }));
        Operation {
            client: 0,
            key: 1,
            op: Op::Put,
            expected: 0,
            value: vec![value; 8],
            invoked_at,
            version: 0,
            ended,
        }
    }

    fn get(value: u8, invoked_at: u64, ended_at: u64) -> Operation {
        let ended = Some((ended_at, Outcome { status: Status::Ok, value: vec![value; 8] }));
        Operation {
            client: 0,
            key: 1,
            op: Op::Get,
            expected: 0,
            value: Vec::new(),
            invoked_at,
            version: 0,
            ended,
        }
    }

    #[test]
    fn regular_reads_may_turn_around_but_not_miss_what_had_ended() {
        let turned = [put(1, 0, 1), put(2, 2, 9), get(2, 3, 4), get(1, 5, 6)];
        assert!(check(&turned, Consistency::Linearizable).is_err());
        assert_eq!(check(&turned, Consistency::Regular), Ok(()));
        let stale = [put(1, 0, 1), put(2, 2, 3), get(1, 4, 5)];
        assert!(check(&stale, Consistency::Regular).is_err());
        assert_eq!(check(&stale, Consistency::Eventual), Ok(()));
    }

    #[test]
    fn what_nobody_wrote_or_only_later_is_noticed() {
        assert!(check(&[get(1, 0, 1), put(1, 2, 3)], Consistency::Eventual).is_err());
        assert!(check(&[put(1, 0, 1), get(2, 2, 3)], Consistency::Eventual).is_err());
    }
}
