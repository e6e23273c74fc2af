//! What this crate is told about protocols, so that it knows none by name.

use std::fmt;
use std::ops::{BitOr, RangeInclusive};

use crate::mix::Operation;
use crate::spec::Durability;

/// Every protocol that a workload may name, in the order in which they are listed to people.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// The protocols; their names are unique.
    pub protocols: Vec<ProtocolSpec>,
}

impl Catalog {
    /// The protocol called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ProtocolSpec> {
        self.protocols.iter().find(|protocol| protocol.name == name)
    }
}

/// One protocol: its name, what it can do and its parameters.
#[derive(Debug, Clone)]
pub struct ProtocolSpec {
    /// The name in a workload, in snake case.
    pub name: &'static str,
    /// One sentence for lists and for the schema.
    pub summary: &'static str,
    /// Its parameters; [`crate::ProtocolChoice::parameters`] follows this order.
    pub parameters: Vec<ParameterSpec>,
    /// The kinds of operations that it can serve.
    pub operations: OperationSet,
    /// The replica counts that it runs with.
    pub replicas: RangeInclusive<u8>,
    /// Whether some of them may follow without a vote.
    pub observers: bool,
    /// Whether some of them may vote and execute nothing.
    pub witnesses: bool,
    /// Whether its leader and its voters are changed when an administrator asks.
    pub changes: bool,
    /// Judges the parameters together, in catalog order, once each is within its own range.
    pub validate: fn(&ClusterFacts, &[u64]) -> Result<(), Conflict>,
}

/// What a protocol may want to know of the cluster to judge its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Replicas in each group, 1 to 9.
    pub replicas: u8,
    /// Slots in flight at most.
    pub window: u32,
    /// What survives a crash.
    pub durability: Durability,
}

/// Parameters that do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The name of the parameter to change.
    pub parameter: &'static str,
    /// What must hold and does not, with the numbers: `must be more than 2 x heartbeat (40ms)`.
    pub rule: String,
    /// What to write: `write at least 41ms`.
    pub instead: String,
}

/// One parameter of a protocol.
#[derive(Debug, Clone)]
pub struct ParameterSpec {
    /// The key in a workload, in snake case; `label` is taken.
    pub name: &'static str,
    /// What its number counts and how it is written.
    pub kind: ParameterKind,
    /// What it is when the workload does not say.
    pub default: ParameterDefault,
    /// The smallest number allowed, in the unit of the kind.
    pub minimum: u64,
    /// The largest number allowed, in the unit of the kind.
    pub maximum: u64,
    /// One sentence on what it does.
    pub doc: &'static str,
}

/// What the number of a parameter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// Nanoseconds, written `20ms`.
    Duration,
    /// A plain count, written `3` or `10k`.
    Count,
    /// Bytes, written `64KiB`.
    Bytes,
    /// 0 or 1, written `false` or `true`.
    Flag,
    /// One of these names, by its place, each with its meaning.
    Choice(&'static [(&'static str, &'static str)]),
}

/// What a parameter is when the workload does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterDefault {
    /// This number, in the unit of the kind.
    Fixed(u64),
    /// More than half of the replicas.
    Majority,
}

impl ParameterDefault {
    /// The number for a cluster of so many replicas.
    #[must_use]
    pub fn resolve(self, replicas: u8) -> u64 {
        match self {
            Self::Fixed(value) => value,
            Self::Majority => u64::from(replicas / 2 + 1),
        }
    }
}

/// A set of kinds of operations.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct OperationSet(u8);

impl OperationSet {
    /// No operation.
    pub const EMPTY: Self = Self(0);
    /// Reading a value.
    pub const GET: Self = Self::only(Operation::Get);
    /// Writing a value, whether the key exists or not.
    pub const PUT: Self = Self::only(Operation::Put);
    /// Writing a value to a key that has none.
    pub const INSERT: Self = Self::only(Operation::Insert);
    /// Removing a value.
    pub const DELETE: Self = Self::only(Operation::Delete);
    /// Writing a value if the present one is as expected.
    pub const COMPARE_AND_SWAP: Self = Self::only(Operation::CompareAndSwap);
    /// Adding to a counter.
    pub const ADD: Self = Self::only(Operation::Add);
    /// A read and then a write of the same key, as two requests.
    pub const READ_MODIFY_WRITE: Self = Self::only(Operation::ReadModifyWrite);
    /// Reading and replacing several keys at once.
    pub const TRANSACTION: Self = Self::only(Operation::Transaction);
    /// Every operation.
    pub const ALL: Self = Self(0b1111_1111);
    /// Every operation on one key.
    pub const OF_ONE_KEY: Self = Self(Self::ALL.0 & !Self::TRANSACTION.0);

    /// The set of one operation.
    #[must_use]
    pub const fn only(operation: Operation) -> Self {
        Self(1 << operation as u8)
    }

    /// The set of the operations of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `operation` is in the set.
    #[must_use]
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u8) != 0
    }

    /// The operations of the set, in the order of [`Operation::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(move |operation| self.contains(*operation))
    }
}

impl BitOr for OperationSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl fmt::Debug for OperationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
