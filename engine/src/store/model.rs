//! What the store should do, said as simply as possible; and random commands. Tests only.

use super::{Store, Tagged};
use std::collections::BTreeMap;
use synod_protocols::bytes::leading_u64;
use synod_protocols::command::{Command, Op, SessionId, Status};

/// A seeded generator (`SplitMix64`).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        super::mix(self.0)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A command on one of 64 keys; small numbers, so that swaps often find what they expect.
pub(crate) fn random_command<'a>(
    random: &mut Random,
    sequence: u64,
    value: &'a mut Vec<u8>,
) -> Command<'a> {
    let op = match random.below(5) {
        0 => Op::Get,
        1 => Op::Put,
        2 => Op::Delete,
        3 => Op::CompareAndSwap,
        _ => Op::Add,
    };
    let value_bytes = match op {
        Op::Get => 0,
        Op::Delete | Op::Add => 8,
        Op::Transact => unreachable!("it is not drawn"),
        Op::Put | Op::CompareAndSwap => {
            [8, 8, 8, 3, 16, 40, 41, 300][synod_protocols::bytes::index(random.below(8))]
        }
    };
    value.clear();
    value.extend_from_slice(&(1 + random.below(4)).to_le_bytes());
    value.resize(value_bytes, 0);
    let expected = if op == Op::CompareAndSwap { random.below(5) } else { 0 };
    Command { session: SessionId(1), sequence, key: random.below(64) << 40, op, expected, value }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cell {
    version: u64,
    value: Vec<u8>,
    tombstone: bool,
}

/// A map that executes commands.
#[derive(Default)]
pub(crate) struct Model {
    cells: BTreeMap<u64, Cell>,
}

impl Model {
    pub(crate) fn apply(&mut self, version: u64, command: &Command<'_>) -> (Status, Vec<u8>) {
        let present = self.cells.get(&command.key).filter(|cell| !cell.tombstone);
        let seen = present.map(|cell| cell.value.clone());
        let deleted = self.cells.get(&command.key).filter(|cell| cell.tombstone);
        let tombstone = deleted.map(|cell| cell.value.clone()).unwrap_or_default();
        let seen_id = |seen: &Vec<u8>| seen[..seen.len().min(8)].to_vec();
        match (command.op, seen) {
            (Op::Get, Some(seen)) => (Status::Ok, seen),
            (Op::Get, None) => (Status::Absent, tombstone),
            (Op::Put | Op::Delete, _) => self.write(version, command, command.value, &[]),
            (Op::CompareAndSwap, Some(seen))
                if command.expected == 0 || leading_u64(&seen) != command.expected =>
            {
                (Status::Mismatch, seen_id(&seen))
            }
            (Op::CompareAndSwap, None)
                if leading_u64(&tombstone) != command.expected
                    || (command.expected == 0 && !tombstone.is_empty()) =>
            {
                (Status::Absent, tombstone)
            }
            (Op::CompareAndSwap, _) => self.write(version, command, command.value, &[]),
            (Op::Add, Some(seen)) if seen.len() != 8 => (Status::Mismatch, seen_id(&seen)),
            (Op::Add, seen) => {
                let before = leading_u64(&seen.unwrap_or_default()).cast_signed();
                let delta = leading_u64(command.value).cast_signed();
                let sum = before.wrapping_add(delta).to_le_bytes();
                self.write(version, command, &sum, &sum)
            }
            (Op::Transact, _) => unreachable!("it is not drawn"),
        }
    }

    /// Asserts that the store holds exactly what the model holds.
    pub(crate) fn check(&self, store: &Store) {
        let held: BTreeMap<u64, Cell> = (0..store.slots())
            .filter_map(|slot| store.tagged_at(slot))
            .map(|(key, Tagged { version, value, tombstone })| {
                (key, Cell { version, value: value.to_vec(), tombstone })
            })
            .collect();
        assert_eq!(held, self.cells);
        assert_eq!(store.keys(), self.cells.len());
        assert!(self.cells.keys().all(|&key| store.tagged(key).is_some()));
    }

    fn write(
        &mut self,
        version: u64,
        command: &Command<'_>,
        value: &[u8],
        result: &[u8],
    ) -> (Status, Vec<u8>) {
        let tombstone = command.op == Op::Delete;
        self.cells.insert(command.key, Cell { version, value: value.to_vec(), tombstone });
        (Status::Ok, result.to_vec())
    }
}
