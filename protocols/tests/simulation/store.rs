//! What the replicas replicate: keys, registers, and the last answer of each session.

use std::collections::BTreeMap;

use synod_protocols::bytes::leading_u64;
use synod_protocols::command::{Command, Op, Status};
use synod_protocols::protocol::Service;
use synod_protocols::types::{Slot, Tag, version_of};

/// The value of one key. A key that was never written is deleted, with no bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Value {
    pub(crate) deleted: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Default for Value {
    fn default() -> Self {
        Self { deleted: true, bytes: Vec::new() }
    }
}

impl Value {
    /// The identity of what is here: its first eight bytes.
    fn identity(&self) -> &[u8] {
        &self.bytes[..self.bytes.len().min(8)]
    }

    /// The answer to a command whose condition does not hold.
    fn mismatch(&self) -> Outcome {
        let status = if self.deleted { Status::Absent } else { Status::Mismatch };
        Outcome { status, value: self.identity().to_vec() }
    }
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) value: Vec<u8>,
}

/// The meaning of each operation: changes the value and says how it ended.
pub(crate) fn execute(current: &mut Value, op: Op, expected: u64, value: &[u8]) -> Outcome {
    let ok = || Outcome { status: Status::Ok, value: Vec::new() };
    match op {
        Op::Get => {
            let status = if current.deleted { Status::Absent } else { Status::Ok };
            Outcome { status, value: current.bytes.clone() }
        }
        Op::Put | Op::Delete => {
            *current = Value { deleted: op == Op::Delete, bytes: value.to_vec() };
            ok()
        }
        Op::CompareAndSwap if leading_u64(&current.bytes) == expected => {
            *current = Value { deleted: false, bytes: value.to_vec() };
            ok()
        }
        Op::CompareAndSwap => current.mismatch(),
        Op::Add => {
            let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes);
            let before = if current.deleted { Ok(0) } else { number(&current.bytes) };
            let Ok(before) = before else { return current.mismatch() };
            let sum = before.wrapping_add(number(value).expect("a summand has 8 bytes"));
            *current = Value { deleted: false, bytes: sum.to_le_bytes().to_vec() };
            Outcome { status: Status::Ok, value: current.bytes.clone() }
        }
        Op::Transact => panic!("it concerns several keys"),
    }
}

/// One replica's store.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Store {
    /// The first slot that was not applied.
    pub(crate) applied: Slot,
    values: BTreeMap<u64, Value>,
    /// The last command of each session: its sequence, its version, and how it ended.
    sessions: BTreeMap<u64, (u64, u64, Outcome)>,
    registers: BTreeMap<u64, (Tag, Value)>,
}

impl Store {
    /// Applies a command once. Returns its version and how it ended; `None` for one that is older
    /// than its session's last.
    pub(crate) fn apply(&mut self, version: u64, command: &Command<'_>) -> Option<(u64, Outcome)> {
        if let Some((sequence, version, outcome)) = self.sessions.get(&command.session.0)
            && command.sequence <= *sequence
        {
            return (command.sequence == *sequence).then(|| (*version, outcome.clone()));
        }
        let value = self.values.entry(command.key).or_default();
        let outcome = execute(value, command.op, command.expected, command.value);
        self.sessions.insert(command.session.0, (command.sequence, version, outcome.clone()));
        Some((version, outcome))
    }

    /// The last version that this store can hold.
    pub(crate) fn version(&self) -> u64 {
        version_of(self.applied, 0) - 1
    }

    /// The register of a key; deleted with a zero tag when it was never written.
    pub(crate) fn register(&self, key: u64) -> (Tag, bool, &[u8]) {
        match self.registers.get(&key) {
            None => (Tag::ZERO, true, &[]),
            Some((tag, value)) => (*tag, value.deleted, &value.bytes),
        }
    }

    /// Writes a register unless it has a tag at least as large. One tag never has two values.
    pub(crate) fn write_register(&mut self, key: u64, tag: Tag, value: Value) {
        assert!(tag > Tag::ZERO, "nothing was ever written with it");
        let (present, deleted, bytes) = self.register(key);
        if present == tag {
            assert_eq!((deleted, bytes), (value.deleted, &value.bytes[..]), "{tag:?} twice");
        }
        if present < tag {
            self.registers.insert(key, (tag, value));
        }
    }

    /// Answers a read from this store alone.
    pub(crate) fn read(&self, key: u64, service: Service) -> Outcome {
        let value = match service {
            Service::StateMachine => self.values.get(&key),
            Service::Registers | Service::Transactions => {
                self.registers.get(&key).map(|(_, value)| value)
            }
        };
        execute(&mut value.cloned().unwrap_or_default(), Op::Get, 0, &[])
    }

    /// Writes a register whatever its tag.
    pub(crate) fn overwrite_register(&mut self, key: u64, tag: Tag, value: Value) {
        self.registers.insert(key, (tag, value));
    }

    /// Takes from another replica's registers those with a larger tag.
    pub(crate) fn merge(&mut self, other: Self) {
        for (key, (tag, value)) in other.registers {
            self.write_register(key, tag, value);
        }
    }

    /// What a snapshot that forgets its sessions would hold.
    pub(crate) fn forget_sessions(&mut self) {
        self.sessions.clear();
    }
}
