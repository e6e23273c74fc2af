//! What the clients saw, operation by operation: the input of the checkers.
//!
//! A history is written while a run goes on, in blocks, by [`HistoryWriter`]; it is read back by
//! [`HistoryReader`]. The bytes of a file are described in `history/format.rs`.

mod block;
mod columns;
mod format;

pub use format::{BLOCK_OPERATIONS_MAX, HistoryError, HistoryReader, HistoryWriter};

/// What an operation asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Read a key.
    #[default]
    Get = 0,
    /// Write a key, whatever it held.
    Put = 1,
    /// Write a tombstone, which later reads report as [`Outcome::Absent`].
    Delete = 2,
    /// Write a key if it holds the expected value.
    CompareAndSwap = 3,
    /// Add a positive number to a counter, which starts at zero, and return the sum.
    Add = 4,
    /// Do several things at once. There are latencies of it; in a history stand its parts, with one
    /// start and one end: gets, and each write as a compare-and-swap of what it replaced, or as a put
    /// where no answer tells that.
    Transaction = 5,
    /// As a part of a transaction, or alone to open an account, add a signed amount to an account and
    /// return what it then holds; 0 only reads it. Refused ones, which are a mismatch, tell what it
    /// held.
    Transfer = 6,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Get,
        Self::Put,
        Self::Delete,
        Self::CompareAndSwap,
        Self::Add,
        Self::Transaction,
        Self::Transfer,
    ];

    /// The name in files and tables: one lower-case word, without spaces or commas.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::CompareAndSwap => "cas",
            Self::Add => "add",
            Self::Transaction => "transaction",
            Self::Transfer => "transfer",
        }
    }

    /// The kind with that [`name`](Self::name), if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind of an operation in a history.
    const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Get),
            1 => Some(Self::Put),
            2 => Some(Self::Delete),
            3 => Some(Self::CompareAndSwap),
            4 => Some(Self::Add),
            6 => Some(Self::Transfer),
            _ => None,
        }
    }
}

/// How an operation ended, as its client knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// It did what it asked for.
    #[default]
    Ok = 0,
    /// A get or a compare-and-swap found no value: `observed` names the delete that removed it,
    /// or is 0 for a key that was never written.
    Absent = 1,
    /// A compare-and-swap found another value than it expected, and changed nothing.
    Mismatch = 2,
    /// Never answered: it may or may not have happened, and may still happen.
    Unknown = 3,
    /// Turned away before anything was done: certainly not applied.
    Refused = 4,
}

impl Outcome {
    /// Every outcome, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Ok, Self::Absent, Self::Mismatch, Self::Unknown, Self::Refused];

    /// The name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Absent => "absent",
            Self::Mismatch => "mismatch",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
        }
    }

    const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Ok),
            1 => Some(Self::Absent),
            2 => Some(Self::Mismatch),
            3 => Some(Self::Unknown),
            4 => Some(Self::Refused),
            _ => None,
        }
    }
}

/// One operation of one client: a line of a history, one cache line of memory.
///
/// All times are of one clock, in nanoseconds from any common origin. Values are known by the id
/// of the operation that wrote them, [`Operation::id`], which is unique in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// When the client sent it.
    pub start_ns: u64,
    /// When the client had the answer, never before `start_ns`; `u64::MAX` without an answer.
    pub end_ns: u64,
    /// The key it was about.
    pub key: u64,
    /// The id of the value or tombstone it writes; the delta of an add; the amount of a transfer, in
    /// two's complement; 0 for a get.
    pub written: u64,
    /// The id that a compare-and-swap expects to find, 0 for a key never written; else 0.
    pub expected: u64,
    /// The id that a get or a failed compare-and-swap found, 0 for a key never written; the sum
    /// that an add returned; what an account holds, in two's complement; else 0.
    pub observed: u64,
    /// The place in the protocol's own order (a slot or a tag), 0 where it gave none.
    pub version: u64,
    /// The client session that asked: it has one operation under way at a time.
    pub session: u32,
    /// What it asked for.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
}

impl Operation {
    /// The id of a value: the session that writes it and the number of the operation within the
    /// session, counted from 1 so that no id is 0.
    #[must_use]
    pub const fn id(session: u32, sequence: u32) -> u64 {
        (session as u64) << 32 | sequence as u64
    }
}

const _: () = assert!(size_of::<Operation>() == 64);
