//! What is left to check of histories whose protocol promises less than linearizability.

use synod_protocols::command::{Op, Status};
use synod_protocols::protocol::Consistency;

use crate::history::{self, Operation};
use crate::transactions;

/// Explains what a history breaks of a promise.
pub(crate) fn check(history: &[Operation], promise: Consistency) -> Result<(), String> {
    match promise {
        Consistency::StrictlySerializable => transactions::check(history),
        Consistency::Linearizable => history::check(history),
        Consistency::Sequential => panic!("no protocol here promises it"),
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
    let op = if outcome.status == Status::Absent { Op::Delete } else { Op::Put };
    let writer = writes_of(read, history)
        .find(|write| write.op == op && write.value == outcome.value && !ends_before(read, write));
    writer.map(Some).ok_or_else(|| format!("it is not eventual: nobody wrote what {read:?} saw"))
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
