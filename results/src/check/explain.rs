//! What a violation says, and which histories cannot be judged at all.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::Finding;
use crate::exchange;
use crate::history::{Kind, Operation, Outcome};

/// The rule that a history breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// A value was found that no operation on the key writes.
    ValueFromNowhere,
    /// A value was found whose write had been refused.
    RefusedValueRead,
    /// A value was found whose compare-and-swap or delete had found nothing to change.
    FailedValueRead,
    /// A value was found and the answer given before its write was called.
    ReadBeforeWrite,
    /// A get or a compare-and-swap reports no value, and names one that was put.
    AbsentDespiteValue,
    /// An operation reports a value, and names the delete that removed it.
    ValueDespiteDelete,
    /// An operation reports a value, and names that of a key never written.
    ValueUnnamed,
    /// A compare-and-swap failed although it found what it expected.
    MismatchDespiteMatch,
    /// Two compare-and-swaps both replaced the same value.
    TwoSwapsOfOneValue,
    /// A compare-and-swap ended before an operation on a value that it had replaced began.
    SwapAgainstTime,
    /// Compare-and-swaps each replaced a value that another one of them wrote later.
    SwapCycle,
    /// Two values must both have been current at one moment.
    BothCurrent,
    /// A value was overwritten, or another read, while it must have been current.
    OverwrittenButRead,
    /// Two adds returned sums that cannot both have been reached.
    SumsOverlap,
    /// A sum or a value read is not what the adds before it can amount to.
    SumUnexplained,
    /// Sums or values read go back while time goes on.
    SumsAgainstTime,
    /// In the replicas' own order an operation found another value than the last one written.
    PlaceAgainstValue,
    /// In the replicas' own order an operation comes after one that began after its end.
    PlaceAgainstTime,
    /// Two writes of a key have one place in the replicas' own order.
    PlaceShared,
    /// Of two answered writes only one has a place in the replicas' own order.
    PlaceMissing,
    /// A read found a value although a later write had been answered before it began.
    StaleRead,
    /// A client saw a state that is older than what it had seen before.
    SessionGoesBack,
    /// Transactions each come before the next by what they saw or by real time, in a circle.
    TransactionCycle,
    /// What an audit saw does not add up to what its accounts were opened with.
    AuditSum,
    /// An account held less than nothing.
    BelowZero,
    /// A transfer was refused although no balance would have been below zero.
    RefusedDespiteFunds,
    /// An account did not hold what the last transfer had left.
    BalanceUnexplained,
    /// A search has tried all orders.
    NoOrder,
}

impl Rule {
    /// The rule as a sentence about the operations shown with it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::ValueFromNowhere => "a value was found that nothing wrote to this key",
            Self::RefusedValueRead => "a value was found whose write had been refused",
            Self::FailedValueRead => "a value was found whose write had failed",
            Self::ReadBeforeWrite => "a value was found before its write was called",
            Self::AbsentDespiteValue => "the key was reported absent while it held a value",
            Self::ValueDespiteDelete => "a value was reported although it had been deleted",
            Self::ValueUnnamed => "a value was reported that has no name",
            Self::MismatchDespiteMatch => "a cas failed although it found what it expected",
            Self::TwoSwapsOfOneValue => "two cas both replaced the same value",
            Self::SwapAgainstTime => {
                "a cas ended before an operation on a value that it replaced had begun"
            }
            Self::SwapCycle => "cas replaced each other's values in a circle",
            Self::BothCurrent => "two values must both have been current at the same time",
            Self::OverwrittenButRead => "a value was read after another one had replaced it",
            Self::SumsOverlap => "two adds counted from the same sum",
            Self::SumUnexplained => "no adds amount to this sum",
            Self::SumsAgainstTime => "a sum fell back behind one that was answered before",
            Self::PlaceAgainstValue => {
                "in the order of versions, an operation found another value than the last one"
            }
            Self::PlaceAgainstTime => {
                "in the order of versions, an operation comes after one that began after its end"
            }
            Self::PlaceShared => "two writes have the same version",
            Self::PlaceMissing => "one answered write has a version, and another one has none",
            Self::StaleRead => "a value was read although a later write had been answered before",
            Self::SessionGoesBack => "a client saw an older state than it had seen before",
            Self::TransactionCycle => {
                "transactions must each come before the next, and the last before the first"
            }
            Self::AuditSum => "an audit saw another sum than its accounts were opened with",
            Self::BelowZero => "an account held less than nothing",
            Self::RefusedDespiteFunds => "a transfer was refused although there was enough",
            Self::BalanceUnexplained => {
                "an account held something else than the last transfer left"
            }
            Self::NoOrder => "no order explains all answers; here is where each ends at the latest",
        }
    }
}

/// Operations that cannot all be true, and the rule that they break.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// The key that they are on.
    pub key: u64,
    /// The rule.
    pub rule: Rule,
    /// What is wrong, for people: the rule, if there is no more to say.
    pub sentence: String,
    /// The operations, by start.
    pub operations: Vec<Operation>,
}

impl Violation {
    pub(super) fn new(rule: Rule, operations: Vec<Operation>) -> Self {
        let mut violation = Self::saying(rule, operations, String::new());
        violation.sentence = format!("key {}: {}", violation.key, rule.words());
        violation
    }

    pub(super) fn saying(rule: Rule, mut operations: Vec<Operation>, sentence: String) -> Self {
        operations.sort_by_key(|operation| (operation.start_ns, operation.end_ns));
        let key = operations.first().map_or(0, |operation| operation.key);
        Self { key, rule, sentence, operations }
    }
}

/// The rule in a line, then the operations as a table, with times from the first one's start and
/// values as the session and the number of the operation that wrote them, or as the integers that
/// others wrote.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.sentence)?;
        let width = self.operations.iter().map(|o| words(o).len()).max().unwrap_or(0).max(9);
        writeln!(f, "    start us       end us  session  {:width$}  version", "operation")?;
        let zero_ns = self.operations.first().map_or(0, |operation| operation.start_ns);
        for operation in &self.operations {
            write!(f, "{:>12}", microseconds(operation.start_ns - zero_ns))?;
            let end = match operation.end_ns {
                u64::MAX => "no answer".to_owned(),
                end_ns => microseconds(end_ns.saturating_sub(zero_ns)),
            };
            write!(f, " {end:>12} {:>8}  {:width$}", operation.session, words(operation))?;
            match operation.version {
                0 => writeln!(f, "        -")?,
                version => writeln!(f, "  {version:>7}")?,
            }
        }
        Ok(())
    }
}

fn microseconds(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

/// What an operation did: `put 3.17`, `get: found 3.17`.
pub(super) fn words(operation: &Operation) -> String {
    let Operation { written, expected, observed, kind, outcome, .. } = *operation;
    let mut text = kind.name().to_owned();
    let _infallible = match kind {
        Kind::Get => Ok(()),
        Kind::Put | Kind::Delete => write!(text, " {}", value(written)),
        Kind::CompareAndSwap => write!(text, " {} to {}", value(expected), value(written)),
        Kind::Add => write!(text, " {written}"),
        Kind::Transfer => write!(text, " {:+}", written.cast_signed()),
        Kind::Transaction => unreachable!("a history has the parts of transactions"),
    };
    let _infallible = match outcome {
        Outcome::Ok if kind == Kind::Get => write!(text, ": found {}", value(observed)),
        Outcome::Ok | Outcome::Absent | Outcome::Mismatch if kind == Kind::Transfer => {
            let refused = if outcome == Outcome::Mismatch { "refused, " } else { "" };
            write!(text, ": {refused}balance {}", observed.cast_signed())
        }
        Outcome::Ok if kind == Kind::Add => write!(text, ": sum {observed}"),
        Outcome::Ok => Ok(()),
        Outcome::Absent => write!(text, ": absent ({})", value(observed)),
        Outcome::Mismatch => write!(text, ": found {}", value(observed)),
        Outcome::Unknown | Outcome::Refused => write!(text, ": {}", outcome.name()),
    };
    text
}

pub(super) fn value(id: u64) -> String {
    match id {
        0 => "nothing".to_owned(),
        _ if exchange::is_external(id) => exchange::external(id).to_string(),
        _ => format!("{}.{}", id >> 32, id & u64::from(u32::MAX)),
    }
}

pub(super) fn malformed(operation: &Operation, wrong: &str) -> Finding {
    Finding::Undecidable(format!(
        "key {}: {} of session {} at {} ns: {wrong}, so this history cannot be checked",
        operation.key,
        words(operation),
        operation.session,
        operation.start_ns
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_reads_like_a_table() {
        let put = Operation {
            start_ns: 5_000,
            end_ns: 6_500,
            key: 7,
            written: Operation::id(3, 17),
            version: 12,
            session: 3,
            kind: Kind::Put,
            ..Operation::default()
        };
        let get = Operation {
            start_ns: 7_001,
            end_ns: 9_000,
            written: 0,
            kind: Kind::Get,
            outcome: Outcome::Absent,
            session: 4,
            version: 0,
            ..put
        };
        let text = Violation::new(Rule::OverwrittenButRead, vec![get, put]).to_string();
        let expected = "\
key 7: a value was read after another one had replaced it
    start us       end us  session  operation              version
       0.000        1.500        3  put 3.17                    12
       2.001        4.000        4  get: absent (nothing)        -
";
        assert_eq!(text, expected);
    }
}
