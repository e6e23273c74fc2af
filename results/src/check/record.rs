//! Operations as the check keeps them: half as large, with only what it compares.
//!
//! Most operations are one [`Record`]. Those that name two values are two, one right after the
//! other: a compare-and-swap and an add, and whatever failed after it had found something.

use super::explain::malformed;
use super::{Broken, Finding};
use crate::history::{Kind, Operation, Outcome};

/// Bits of a time. The other bits of its word say something else.
pub(super) const TIME_BITS: u32 = 54;
/// Where the time begins in a word that holds something else too.
pub(super) const TIME_SHIFT: u32 = u64::BITS - TIME_BITS;
/// The end of what was never answered, later than all times.
pub(super) const NEVER: u64 = u64::MAX;
/// Later than every time, and before [`NEVER`].
const TIME_END: u64 = 1 << TIME_BITS;

/// Another name for a key, evenly spread over all bits: no two keys share one.
pub(super) const fn key_hash(key: u64) -> u64 {
    let mixed = (key ^ 0xa5a5_a5a5_5a5a_5a5a).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// Somebody was to write the value. Alone: the writer was refused, so it was never current.
pub(super) const WRITER: u64 = 1;
/// The writer succeeded.
pub(super) const WRITTEN: u64 = 1 << 1;
/// The writer was never answered.
pub(super) const UNANSWERED: u64 = 1 << 2;
/// It is a tombstone, or the state of a key never written.
pub(super) const DELETE: u64 = 1 << 3;
/// Its writer is a compare-and-swap. The next record holds the value that it replaced.
pub(super) const SWAP: u64 = 1 << 4;
/// Somebody found it as a value.
pub(super) const FOUND: u64 = 1 << 5;
/// Somebody found it to be none.
pub(super) const ABSENT: u64 = 1 << 6;
/// A compare-and-swap failed although it found what it expected.
pub(super) const AS_EXPECTED: u64 = 1 << 7;
/// The next record is of the same operation. If that was a writer and no swap, it found the next
/// record's value and failed.
pub(super) const PAIR: u64 = 1 << 8;
/// Only of a record: there is no value. It is an add if it has a writer, and if it is a pair, the
/// next record holds the sum; otherwise it only says that the key exists.
pub(super) const NO_VALUE: u64 = 1 << 9;

/// An add that was answered.
pub(super) const ADDED: u64 = NO_VALUE | WRITER | WRITTEN | PAIR;
/// An add that was not.
pub(super) const ADD_UNANSWERED: u64 = NO_VALUE | WRITER | UNANSWERED;
/// An add that was turned away.
pub(super) const ADD_REFUSED: u64 = NO_VALUE | WRITER;

/// All flags.
pub(super) const FLAGS: u64 = (1 << TIME_SHIFT) - 1;
const _: () = assert!(NO_VALUE <= FLAGS);
/// No operation ends so. Larger than any time.
const IMPOSSIBLE: u64 = 1 << 63;

/// What an operation of this kind and outcome says of the value that it wrote, or found if it is
/// a get.
const fn flags_of(kind: Kind, outcome: Outcome) -> u64 {
    match (kind, outcome) {
        (Kind::Get, Outcome::Ok) => FOUND,
        (Kind::Get, Outcome::Absent) => ABSENT,
        (Kind::Get, Outcome::Unknown | Outcome::Refused) => NO_VALUE,
        (Kind::Put, Outcome::Ok) => WRITER | WRITTEN,
        (Kind::Put, Outcome::Unknown) => WRITER | UNANSWERED,
        (Kind::Delete, Outcome::Ok) => WRITER | WRITTEN | DELETE,
        (Kind::Delete, Outcome::Unknown) => WRITER | UNANSWERED | DELETE,
        (Kind::CompareAndSwap, Outcome::Ok) => WRITER | WRITTEN | SWAP | PAIR,
        (Kind::CompareAndSwap, Outcome::Unknown) => WRITER | UNANSWERED | SWAP | PAIR,
        (Kind::CompareAndSwap, Outcome::Mismatch)
        | (Kind::CompareAndSwap | Kind::Delete, Outcome::Absent) => WRITER | PAIR,
        (Kind::Put | Kind::Delete | Kind::CompareAndSwap, Outcome::Refused) => WRITER,
        (Kind::Add, Outcome::Ok) => ADDED,
        (Kind::Add, Outcome::Unknown) => ADD_UNANSWERED,
        (Kind::Add, Outcome::Refused) => ADD_REFUSED,
        (Kind::Transaction | Kind::Transfer, _)
        | (Kind::Get | Kind::Delete, Outcome::Mismatch)
        | (Kind::Put | Kind::Add, Outcome::Absent | Outcome::Mismatch) => IMPOSSIBLE,
    }
}

/// What is known of an operation by its kind and outcome.
#[derive(Clone, Copy)]
struct Shape {
    flags: u64,
    /// All ones if its end says nothing, because it has no answer or no effect.
    endless: u64,
}

/// The shapes as a table, because which operation comes next is not to be foreseen.
const SHAPES: [[Shape; Outcome::ALL.len()]; Kind::ALL.len()] = {
    let mut table = [[Shape { flags: 0, endless: 0 }; Outcome::ALL.len()]; Kind::ALL.len()];
    let mut kind = 0;
    while kind < Kind::ALL.len() {
        let mut outcome = 0;
        while outcome < Outcome::ALL.len() {
            let flags = flags_of(Kind::ALL[kind], Outcome::ALL[outcome]);
            let is_endless = matches!(Outcome::ALL[outcome], Outcome::Unknown | Outcome::Refused);
            table[kind][outcome] = Shape { flags, endless: if is_endless { u64::MAX } else { 0 } };
            outcome += 1;
        }
        kind += 1;
    }
    table
};

/// How many records an operation makes.
pub(super) const fn records_of(operation: &Operation) -> u64 {
    if flags_of(operation.kind, operation.outcome) & PAIR == 0 { 1 } else { 2 }
}

/// A value and what was done with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// The [`key_hash`] of the key.
    pub(super) key: u64,
    pub(super) value: u64,
    /// The time of the start, and below it the flags.
    pub(super) start_and_flags: u64,
    pub(super) end: u64,
}

const _: () = assert!(size_of::<Record>() == 32);

impl Record {
    pub(super) const fn start(&self) -> u64 {
        self.start_and_flags >> TIME_SHIFT
    }

    pub(super) const fn flags(&self) -> u64 {
        self.start_and_flags & FLAGS
    }

    /// Whether another record follows that belongs to the same operation.
    pub(super) const fn is_first_of_two(&self) -> bool {
        self.start_and_flags & PAIR != 0
    }

    /// What a swap expected, an add returned, or a failed write found.
    pub(super) fn second(&self, operation: &Operation) -> Self {
        let is_swap = operation.kind == Kind::CompareAndSwap;
        let (value, flags) = if self.flags() & (WRITTEN | UNANSWERED) != 0 {
            (if is_swap { operation.expected } else { operation.observed }, NO_VALUE)
        } else if is_swap && operation.expected == operation.observed {
            (operation.observed, AS_EXPECTED)
        } else if operation.outcome == Outcome::Absent {
            (operation.observed, ABSENT)
        } else {
            (operation.observed, FOUND)
        };
        Self { value, start_and_flags: self.start() << TIME_SHIFT | flags, ..*self }
    }
}

/// Makes records. Its times count from long before the first operation, so that one of the initial
/// value, at 0, precedes them all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Intake {
    /// Where times count from, once the first operation has said so.
    origin_ns: u64,
    has_begun: bool,
    /// Whether any operation was answered.
    pub(super) has_answers: bool,
    #[cfg_attr(not(test), expect(dead_code, reason = "only mutants look at it"))]
    broken: Broken,
}

impl Intake {
    pub(super) fn new(broken: Broken) -> Self {
        Self { broken, ..Self::default() }
    }

    /// Fixes where times count from, unless it is fixed already.
    pub(super) fn begin_at(&mut self, first: &Operation) {
        if !self.has_begun {
            self.origin_ns = first.start_ns.wrapping_sub(TIME_END / 2);
            self.has_begun = true;
        }
    }

    /// The time of a stamp; [`TIME_END`] or later if it is none.
    #[inline]
    pub(super) fn time(&self, stamp_ns: u64) -> u64 {
        stamp_ns.wrapping_sub(self.origin_ns)
    }

    /// The record of an operation, or the first of two. Fails if no client could have recorded it.
    #[inline]
    pub(super) fn record(&mut self, operation: &Operation) -> Result<Record, Finding> {
        if operation.kind == Kind::Transfer {
            return Err(Finding::OfAccounts);
        }
        let Shape { flags, endless } = SHAPES[operation.kind as usize][operation.outcome as usize];
        #[cfg(test)]
        let flags = self.mutated(flags);
        self.has_answers |= endless == 0;
        let start = self.time(operation.start_ns);
        let end = self.time(operation.end_ns);
        // All conditions at once, because they always hold: it starts after time 0, has an answer
        // not before that, both of them are times, and operations can end so.
        let answer = (end | end.wrapping_sub(start)) & !endless;
        if (start.wrapping_sub(1) | answer | flags) >= TIME_END {
            return Err(wrong(operation));
        }
        let is_get = operation.kind == Kind::Get;
        Ok(Record {
            key: key_hash(operation.key),
            value: if is_get { operation.observed } else { operation.written },
            start_and_flags: start << TIME_SHIFT | flags,
            end: end | endless,
        })
    }

    #[cfg(test)]
    fn mutated(&self, flags: u64) -> u64 {
        let is_unanswered_swap = flags & (SWAP | UNANSWERED) == SWAP | UNANSWERED;
        if !self.broken.is(super::tests::Mutant::TimeoutIsOk) {
            flags
        } else if is_unanswered_swap {
            flags ^ (WRITTEN | UNANSWERED)
        } else if flags == NO_VALUE {
            ABSENT
        } else {
            flags
        }
    }
}

#[cold]
fn wrong(operation: &Operation) -> Finding {
    let wrong = if operation.end_ns < operation.start_ns {
        "it ends before it starts"
    } else if flags_of(operation.kind, operation.outcome) == IMPOSSIBLE {
        "its kind cannot end with its outcome"
    } else {
        "its stamps are a hundred days away from the first operation's"
    };
    malformed(operation, wrong)
}
