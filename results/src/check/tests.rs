//! The checker against exhaustive search, against planted violations, and broken on purpose.

mod accounts;
mod mutants;
mod oracle;
mod orders;
mod planted;
mod transactions;
mod weaker;

use crate::history::{Kind, Operation, Outcome};

/// A way to break the checker that the planted histories must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Never asks whether a backward zone lies within a forward one.
    SkipBackwardZones,
    /// Takes a write without an answer for one that did not happen.
    IgnoreUnansweredWrites,
    /// Takes an operation without an answer for one that succeeded.
    TimeoutIsOk,
    /// Compares each forward zone with itself instead of the next one.
    CompareWithItself,
    /// Takes a history in which nothing was answered for one that was checked.
    EmptyIsChecked,
    /// Replays in the order of versions without asking for real time.
    WitnessIgnoresTime,
    /// Leaves out compare-and-swaps that failed when it replays.
    WitnessIgnoresFailedSwaps,
    /// Says of any contents that nothing is lost.
    DurabilityChecksNothing,
    /// Takes stale reads for regular.
    StaleIsRegular,
    /// Lets a client see older states than before.
    SessionsMayGoBack,
    /// Lets transactions take effect before others that ended before they began.
    TransactionsIgnoreTime,
    /// Does not ask what of a transaction was written that was never answered.
    TransactionsMayBeTorn,
    /// Lets a read come after the write that replaced what it saw.
    TransactionsIgnoreReads,
    /// Takes any sum that an audit saw.
    AuditsAreNotSummedUp,
    /// Takes any balance.
    BalancesMayBeNegative,
    /// Takes transfers that were refused for no reason.
    RefusalsNeedNoReason,
    /// Lets an account hold something else than the last transfer left.
    BalancesMayJump,
}

fn operation(kind: Kind, outcome: Outcome, start_ns: u64, end_ns: u64) -> Operation {
    Operation { kind, outcome, start_ns, end_ns, key: 1, ..Operation::default() }
}

fn get(start_ns: u64, end_ns: u64, observed: u64) -> Operation {
    let outcome = if observed == 0 { Outcome::Absent } else { Outcome::Ok };
    Operation { observed, ..operation(Kind::Get, outcome, start_ns, end_ns) }
}

fn put(start_ns: u64, end_ns: u64, written: u64) -> Operation {
    Operation { written, ..operation(Kind::Put, Outcome::Ok, start_ns, end_ns) }
}

fn delete(start_ns: u64, end_ns: u64, written: u64) -> Operation {
    Operation { written, ..operation(Kind::Delete, Outcome::Ok, start_ns, end_ns) }
}

fn cas(start_ns: u64, end_ns: u64, expected: u64, written: u64) -> Operation {
    Operation {
        expected,
        written,
        ..operation(Kind::CompareAndSwap, Outcome::Ok, start_ns, end_ns)
    }
}

fn add(start_ns: u64, end_ns: u64, delta: u64, sum: u64) -> Operation {
    Operation {
        observed: sum,
        ..Operation { written: delta, ..operation(Kind::Add, Outcome::Ok, start_ns, end_ns) }
    }
}

fn unknown(operation: Operation) -> Operation {
    Operation { outcome: Outcome::Unknown, end_ns: u64::MAX, observed: 0, ..operation }
}

fn refused(operation: Operation) -> Operation {
    Operation { outcome: Outcome::Refused, observed: 0, ..operation }
}

/// The operation at this place of the replicas' own order.
fn at(version: u64, operation: Operation) -> Operation {
    Operation { version, ..operation }
}
