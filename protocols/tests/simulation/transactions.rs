//! Transactions as clients draw them, and whether a history of them is strictly serializable.
//!
//! Every answer tells the version of what was read, or is written, and versions of a key are counted
//! one by one. So the order of the writes of each key is known, and with it what must come before
//! what (Adya, Liskov and O'Neil 2000). The history is strictly serializable if and only if this does
//! not go round in a circle, real time included.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use synod_protocols::bytes::leading_u64;
use synod_protocols::command::{Command, Commands, Op, Replies, SessionId, Status};
use synod_protocols::types::Tag;

use crate::bank::amount;
use crate::history::Operation;
use crate::random::Random;

/// Two or three parts of a transaction, whose values are unique by its number.
pub(crate) fn draw(number: u64, keys: u64, seen: u64, random: &mut Random) -> Vec<u8> {
    let parts: BTreeSet<u64> = (0..random.between(2, 3)).map(|_| random.below(keys)).collect();
    let mut encoded = Vec::new();
    for (place, key) in (0..).zip(parts) {
        let op = random.pick(&[Op::Get, Op::Get, Op::Put, Op::Put, Op::Delete, Op::CompareAndSwap]);
        let value = (number << 8 | place).to_le_bytes();
        let expected = if op == Op::CompareAndSwap { seen } else { 0 };
        let value: &[u8] = if op == Op::Get { &[] } else { &value };
        Command { session: SessionId(1), sequence: 1, key, op, expected, value }
            .encode(&mut encoded);
    }
    encoded
}

/// What an operation did to one key.
#[derive(Debug)]
struct Access {
    operation: usize,
    key: u64,
    /// The version of what was there before.
    before: u64,
    /// The identity of what was there before, if the answer tells it.
    saw: Option<u64>,
    /// The identity of what it wrote.
    wrote: Option<u64>,
}

/// What answered operations did.
fn accesses(history: &[Operation]) -> Vec<Access> {
    let mut accesses = Vec::new();
    for (number, operation) in history.iter().enumerate() {
        let Some((_, outcome)) = &operation.ended else { continue };
        let is_done = outcome.status != Status::Mismatch;
        let mut note = |part: Command<'_>, status, version: u64, value: &[u8]| {
            let succeeded = status == Status::Ok;
            let writes = part.op != Op::Get && succeeded;
            let tells = operation.op == Op::Transact || !writes;
            let told = leading_u64(value);
            // The answer to an addition is what it left.
            let (saw, wrote) = match part.op {
                Op::Add if writes => (told.wrapping_sub(leading_u64(part.value)), told),
                Op::Get | Op::Put | Op::Delete | Op::CompareAndSwap | Op::Add | Op::Transact => {
                    (told, leading_u64(part.value))
                }
            };
            accesses.push(Access {
                operation: number,
                key: part.key,
                before: Tag(version).timestamp() - u64::from(writes),
                saw: tells.then_some(saw),
                wrote: (writes && is_done).then_some(wrote),
            });
        };
        if operation.op == Op::Transact {
            for reply in Replies::new(&outcome.value) {
                let place = usize::try_from(reply.sequence - 1).expect("parts are few");
                let part = Commands::new(&operation.value).nth(place).expect("it was asked for");
                note(part, reply.status, reply.version, reply.value);
            }
        } else {
            let Operation { key, op, expected, value, .. } = operation;
            let part = Command {
                session: SessionId(1),
                sequence: 1,
                key: *key,
                op: *op,
                expected: *expected,
                value,
            };
            note(part, outcome.status, operation.version, &outcome.value);
        }
    }
    accesses
}

/// The versions of one key, each with its identity and who wrote it. Of additions that were never
/// answered several may have led to a version: then nobody is named.
type Versions = BTreeMap<u64, (u64, Option<usize>)>;

/// Explains why the history is not strictly serializable, if it is not.
pub(crate) fn check(history: &[Operation]) -> Result<(), String> {
    let accesses = accesses(history);
    let mut keys: BTreeMap<u64, Versions> = BTreeMap::new();
    for access in &accesses {
        let versions = keys.entry(access.key).or_insert_with(|| Versions::from([(0, (0, None))]));
        if let Some(id) = access.wrote
            && let Some(other) = versions.insert(access.before + 1, (id, Some(access.operation)))
        {
            return Err(format!("two writes make one version: {access:?} and {other:?}"));
        }
    }
    for access in &accesses {
        let versions = keys.get_mut(&access.key).expect("it was accessed");
        let Some(saw) = access.saw else { continue };
        let earlier = versions.get(&access.before.wrapping_sub(1)).map(|&(id, _)| id);
        let id = match versions.entry(access.before) {
            Entry::Occupied(version) => version.get().0,
            // Whoever wrote what was seen, and was never answered, did write.
            Entry::Vacant(version) => {
                let mut writers = unanswered_writers(history, access.key, earlier, saw);
                let first = writers.next();
                if first.is_none() {
                    return Err(format!("{access:?} saw something else than was written"));
                }
                version.insert((saw, first.filter(|_| writers.next().is_none()))).0
            }
        };
        if id != saw {
            return Err(format!("{access:?} saw something else than was written: {id}"));
        }
    }
    let order = Order::new(history, &accesses, &keys);
    match order.circle() {
        None => Ok(()),
        Some(circle) => {
            let lines: Vec<String> =
                circle.iter().map(|&number| format!("  {number}: {:?}", history[number])).collect();
            Err(format!("transactions come before themselves:\n{}", lines.join("\n")))
        }
    }
}

/// The operations without an answer that write this identity to the key, or may add up to it, given what
/// was there before if that is known.
fn unanswered_writers(
    history: &[Operation],
    key: u64,
    earlier: Option<u64>,
    id: u64,
) -> impl Iterator<Item = usize> {
    let writes = move |operation: &Operation| {
        let is_it = |part: Command<'_>| {
            part.key == key
                && match part.op {
                    Op::Get => false,
                    Op::Add => earlier
                        .is_none_or(|sum| sum.cast_signed() + amount(&part) == id.cast_signed()),
                    Op::Put | Op::Delete | Op::CompareAndSwap | Op::Transact => {
                        leading_u64(part.value) == id
                    }
                }
        };
        match operation.op {
            Op::Transact => Commands::new(&operation.value).any(is_it),
            Op::Get => false,
            Op::Put | Op::Delete | Op::CompareAndSwap | Op::Add => {
                operation.key == key && leading_u64(&operation.value) == id
            }
        }
    };
    let unanswered = (0..).zip(history).filter(|(_, operation)| operation.ended.is_none());
    unanswered.filter(move |(_, operation)| writes(operation)).map(|(number, _)| number)
}

/// What must come before what.
struct Order {
    after: Vec<BTreeSet<usize>>,
}

impl Order {
    fn new(history: &[Operation], accesses: &[Access], keys: &BTreeMap<u64, Versions>) -> Self {
        let mut order = Self { after: vec![BTreeSet::new(); history.len()] };
        for (later, operation) in history.iter().enumerate() {
            for (earlier, other) in history.iter().enumerate() {
                if other.ended.as_ref().is_some_and(|(at, _)| *at < operation.invoked_at) {
                    order.add(earlier, later);
                }
            }
        }
        for access in accesses {
            let versions = &keys[&access.key];
            if let Some((_, Some(writer))) = versions.get(&access.before) {
                order.add(*writer, access.operation);
            }
            let next = versions.range(access.before + 1..).next();
            if let Some((_, (_, Some(writer)))) = next {
                order.add(access.operation, *writer);
            }
        }
        for (key, versions) in keys {
            for pair in versions.values().collect::<Vec<_>>().windows(2) {
                if let ((_, Some(earlier)), (_, Some(later))) = (pair[0], pair[1]) {
                    order.add(*earlier, *later);
                }
            }
            order.add_missing(history, accesses, *key, keys);
        }
        order
    }

    fn add(&mut self, earlier: usize, later: usize) {
        if earlier != later {
            self.after[earlier].insert(later);
        }
    }

    /// A transaction without an answer of which one write was seen has written everything: where no
    /// version of another key can be its, that write comes after all of them.
    fn add_missing(
        &mut self,
        history: &[Operation],
        accesses: &[Access],
        key: u64,
        keys: &BTreeMap<u64, Versions>,
    ) {
        let versions = &keys[&key];
        let Some((&last, _)) = versions.last_key_value() else { return };
        let by = |version| versions.get(&version).and_then(|&(_, writer)| writer);
        let is_known = (1..=last).all(|version| by(version).is_some());
        let seen: BTreeSet<usize> =
            keys.values().flat_map(|versions| versions.values().filter_map(|it| it.1)).collect();
        for &number in seen.iter().filter(|&&number| history[number].ended.is_none()) {
            let writes = history[number].op == Op::Transact
                && Commands::new(&history[number].value)
                    .any(|part| part.key == key && part.op != Op::Get);
            let is_there = versions.values().any(|&(_, writer)| writer == Some(number));
            if writes && is_known && !is_there {
                for access in accesses.iter().filter(|access| access.key == key) {
                    self.add(access.operation, number);
                }
            }
        }
    }

    /// Operations each of which comes before the next, and the last before the first.
    fn circle(&self) -> Option<Vec<usize>> {
        let mut left: BTreeSet<usize> = (0..self.after.len()).collect();
        while let Some(&last) = left.iter().find(|&&number| self.after[number].is_disjoint(&left)) {
            left.remove(&last);
        }
        // From everyone that is left the way leads on, and so round in the end.
        let mut at = *left.first()?;
        let mut path = Vec::new();
        while !path.contains(&at) {
            path.push(at);
            at = *self.after[at].intersection(&left).next().expect("it is not disjoint");
        }
        let start = path.iter().position(|&number| number == at).expect("it is there");
        Some(path.split_off(start))
    }
}
