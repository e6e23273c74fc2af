//! What the check found to be wrong, before the operations at fault are looked up.
//!
//! The check keeps no operations, only the times and values that decide. The few that a person
//! must see are found again by those, in one more pass over the history.

use super::explain::{Rule, Violation, malformed};
use super::record::{Intake, key_hash};
use super::{Finding, Source};
use crate::history::{HistoryError, Kind, Operation, Outcome};

/// An operation that has a part in a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It writes the value.
    Writer(u64),
    /// It writes the value too, after another one did.
    SecondWriter(u64),
    /// It found the value.
    Finder(u64),
    /// It found the value, and says that there is none.
    AbsentFinder(u64),
    /// It found the value, and says that it is one.
    ValueFinder(u64),
    /// It found the value, and had expected it.
    ExpectingFinder(u64),
    /// It wrote or found the value and ended then.
    Ends(u64, u64),
    /// It wrote or found the value and started then.
    Starts(u64, u64),
    /// It is on a counter, with this start, end, delta and sum.
    Counts { start: u64, end: u64, written: u64, observed: u64 },
}

/// What is wrong with the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Breaks(Rule),
    /// The first of them makes the history impossible to judge.
    Malformed(&'static str),
    WrittenTwice,
}

/// A key that did not pass.
#[derive(Debug)]
pub(super) struct Fault {
    /// The [`key_hash`] of the key.
    pub(super) key: u64,
    pub(super) wrong: Wrong,
    pub(super) roles: Vec<Role>,
}

impl Fault {
    pub(super) fn rule(key: u64, rule: Rule, roles: &[Role]) -> Box<Self> {
        Box::new(Self { key, wrong: Wrong::Breaks(rule), roles: roles.to_vec() })
    }

    pub(super) fn malformed(key: u64, words: &'static str, role: Role) -> Box<Self> {
        Box::new(Self { key, wrong: Wrong::Malformed(words), roles: vec![role] })
    }

    /// Looks up the operations. A role that nobody plays, as the writer of the initial value, is
    /// left out.
    pub(super) fn explain(
        &self,
        source: &(impl Source + ?Sized),
        intake: &Intake,
    ) -> Result<Finding, HistoryError> {
        let mut cast: Vec<Option<(u64, Operation)>> = vec![None; self.roles.len()];
        let mut at = 0;
        source.for_each_block(&mut |block| {
            for operation in block {
                at += 1;
                if key_hash(operation.key) == self.key {
                    for (role, player) in self.roles.iter().zip(&mut cast) {
                        role.offer(at, operation, intake, player);
                    }
                }
            }
        })?;
        let mut players: Vec<(u64, Operation)> = cast.into_iter().flatten().collect();
        players.sort_by_key(|&(at, _)| at);
        players.dedup_by_key(|&mut (at, _)| at);
        let operations: Vec<Operation> = players.into_iter().map(|(_, player)| player).collect();
        Ok(match (self.wrong, operations.as_slice()) {
            (Wrong::Malformed(words), [first, ..]) => malformed(first, words),
            (Wrong::WrittenTwice, [_, .., _]) => Finding::NotUnique,
            (Wrong::Breaks(rule), _) => {
                Finding::Violation(Box::new(Violation::new(rule, operations)))
            }
            (Wrong::Malformed(_) | Wrong::WrittenTwice, _) => {
                unreachable!("a history that is read twice is the same")
            }
        })
    }
}

impl Role {
    /// Gives the role to the `at`th operation if it fits and the role is free. The writer of a
    /// value comes before its readers, so that as few operations as possible are shown.
    fn offer(
        self,
        at: u64,
        operation: &Operation,
        intake: &Intake,
        player: &mut Option<(u64, Operation)>,
    ) {
        let is_writer = player.is_some_and(|(_, player)| player.kind != Kind::Get);
        let prefers_writer = matches!(self, Self::Ends(..) | Self::Starts(..));
        let is_taken = player.is_some() && (!prefers_writer || is_writer);
        let is_last = matches!(self, Self::SecondWriter(_));
        if (!is_taken || is_last) && self.fits(operation, intake) {
            *player = Some((at, *operation));
        }
    }

    fn fits(self, operation: &Operation, intake: &Intake) -> bool {
        let writes = |value: u64| operation.kind != Kind::Get && operation.written == value;
        let is_swap = operation.kind == Kind::CompareAndSwap && operation.outcome == Outcome::Ok;
        let reads = |value: u64| match (operation.kind, operation.outcome) {
            (Kind::Get, Outcome::Ok) | (_, Outcome::Absent | Outcome::Mismatch) => {
                operation.observed == value
            }
            _ => false,
        };
        let ends = |end: u64| {
            let is_unanswered = operation.outcome == Outcome::Unknown;
            !is_unanswered && intake.time(operation.end_ns) == end
        };
        let starts = |start: u64| intake.time(operation.start_ns) == start;
        match self {
            Self::Writer(value) | Self::SecondWriter(value) => writes(value),
            Self::Finder(value) => reads(value) || (is_swap && operation.expected == value),
            Self::AbsentFinder(value) => reads(value) && operation.outcome == Outcome::Absent,
            Self::ValueFinder(value) => reads(value) && operation.outcome != Outcome::Absent,
            Self::ExpectingFinder(value) => {
                reads(value)
                    && operation.expected == value
                    && operation.kind == Kind::CompareAndSwap
            }
            Self::Ends(value, end) => (writes(value) || reads(value)) && ends(end),
            Self::Starts(value, start) => (writes(value) || reads(value)) && starts(start),
            Self::Counts { start, end, written, observed } => {
                starts(start)
                    && (ends(end) || operation.outcome == Outcome::Unknown)
                    && operation.written == written
                    && operation.observed == observed
            }
        }
    }
}
