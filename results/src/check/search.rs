//! A search through the orders of a history whose values are not unique, which zones cannot judge.
//!
//! Wing and Gong, *Testing and Verifying Concurrent Objects* (1993), with the states that were seen
//! before remembered (Lowe, *Testing for Linearizability*, 2017). It takes exponential time at worst,
//! so it is bounded by the memory for what it remembers: when that is full, nothing is known.

use std::collections::{BTreeMap, BTreeSet};

use super::explain::{Rule, Violation};
use super::{Finding, Source};
use crate::history::{HistoryError, Kind, Operation, Outcome};

/// What it takes to remember a state, with the tree around it.
const STATE_BYTES: u64 = 128;

/// Operations of a key that may be in doubt at one moment.
const OPEN_MAX: usize = 128;

/// Operations that a violation shows.
const SHOWN_MAX: usize = 8;

/// Which operations of a key have had their effect, and what the key holds then.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    /// All answered operations below this one, by start.
    from: usize,
    /// Of those from there on, a bit for each.
    beyond: u128,
    /// Of the unanswered ones, a bit for each.
    unanswered: u128,
    value: u64,
    is_absent: bool,
}

/// The operations of a key by start.
#[derive(Default)]
struct Register {
    answered: Vec<Operation>,
    unanswered: Vec<Operation>,
}

/// Searches an order for each key; returns how many operations and keys there are.
pub(super) fn search(
    source: &(impl Source + ?Sized),
    memory_bytes_max: u64,
) -> Result<Result<(u64, u64), Finding>, HistoryError> {
    let mut registers: BTreeMap<u64, Register> = BTreeMap::new();
    let mut operations = 0;
    source.for_each_block(&mut |block| {
        operations += block.len() as u64;
        for operation in block {
            let register = registers.entry(operation.key).or_default();
            match (operation.kind, operation.outcome) {
                (_, Outcome::Refused) | (Kind::Get, Outcome::Unknown) => {}
                (_, Outcome::Unknown) => register.unanswered.push(*operation),
                (_, Outcome::Ok | Outcome::Absent | Outcome::Mismatch) => {
                    register.answered.push(*operation);
                }
            }
        }
    })?;
    for (key, register) in &mut registers {
        register.answered.sort_by_key(|operation| operation.start_ns);
        register.unanswered.sort_by_key(|operation| operation.start_ns);
        if let Err(finding) = register.search(*key, memory_bytes_max / STATE_BYTES) {
            return Ok(Err(finding));
        }
    }
    Ok(Ok((operations, registers.len() as u64)))
}

impl Register {
    fn search(&self, key: u64, states_max: u64) -> Result<(), Finding> {
        let gives_up = |why: &str| {
            let reason =
                format!("key {key}: values are not unique, and a search for an order {why}");
            Err(Finding::Undecidable(reason))
        };
        if self.unanswered.len() > OPEN_MAX {
            return gives_up("gives up: too many operations were never answered");
        }
        let first = State { from: 0, beyond: 0, unanswered: 0, value: 0, is_absent: true };
        let (mut seen, mut left) = (BTreeSet::from([first]), vec![first]);
        let mut deepest = first;
        while let Some(state) = left.pop() {
            if state.from == self.answered.len() {
                return Ok(());
            }
            let reached = |state: State| state.from + state.beyond.count_ones() as usize;
            if reached(state) > reached(deepest) {
                deepest = state;
            }
            let Some(nexts) = self.nexts(state) else {
                return gives_up("gives up: too many operations overlap");
            };
            for next in nexts {
                if seen.insert(next) {
                    left.push(next);
                }
            }
            if seen.len() as u64 > states_max {
                return gives_up("does not end within its memory");
            }
        }
        Err(Finding::Violation(Box::new(self.stuck_at(deepest))))
    }

    /// The states that one more effect leads to. `None` if too many operations overlap.
    fn nexts(&self, state: State) -> Option<Vec<State>> {
        let mut nexts = Vec::new();
        let mut first_end_ns = u64::MAX;
        for (place, operation) in self.answered[state.from..].iter().enumerate() {
            if operation.start_ns > first_end_ns {
                break;
            }
            if place >= OPEN_MAX {
                return None;
            }
            if state.beyond >> place & 1 == 0 {
                first_end_ns = first_end_ns.min(operation.end_ns);
                nexts.extend(state.after(operation).map(|next| next.answered(place)));
            }
        }
        for (place, operation) in self.unanswered.iter().enumerate() {
            if operation.start_ns <= first_end_ns && state.unanswered >> place & 1 == 0 {
                let unanswered = state.unanswered | 1 << place;
                nexts.extend(state.after(operation).map(|next| State { unanswered, ..next }));
            }
        }
        Some(nexts)
    }

    /// What could not be explained any more, with what the key held then.
    fn stuck_at(&self, state: State) -> Violation {
        let rest = self.answered[state.from..].iter().enumerate();
        let left = rest.filter(|(place, _)| state.beyond >> (*place).min(OPEN_MAX - 1) & 1 == 0);
        let writer = |operation: &&Operation| {
            operation.kind != Kind::Get && operation.written == state.value
        };
        let shown = self.answered.iter().rev().find(writer).into_iter();
        let shown = shown.chain(left.map(|(_, operation)| operation)).take(SHOWN_MAX);
        Violation::new(Rule::NoOrder, shown.copied().collect())
    }
}

impl State {
    /// The state after the effect of an operation, if its answer fits.
    fn after(self, operation: &Operation) -> Option<Self> {
        let Operation { written, expected, observed, kind, outcome, .. } = *operation;
        let holds = |is_absent| self.value == observed && self.is_absent == is_absent;
        let write = Self { value: written, is_absent: kind == Kind::Delete, ..self };
        match (kind, outcome) {
            (_, Outcome::Refused) => None,
            (Kind::Get, _) => holds(outcome == Outcome::Absent).then_some(self),
            (Kind::Put, _) | (Kind::Delete, Outcome::Ok | Outcome::Unknown) => Some(write),
            (Kind::CompareAndSwap, Outcome::Ok | Outcome::Unknown) => {
                (self.value == expected).then_some(write)
            }
            (Kind::CompareAndSwap | Kind::Delete, Outcome::Absent | Outcome::Mismatch) => {
                let fits = holds(outcome == Outcome::Absent) && observed != expected;
                fits.then_some(self)
            }
            (Kind::Add | Kind::Transaction | Kind::Transfer, _) => None,
        }
    }

    /// One more of the answered operations from `from` on has had its effect.
    fn answered(self, place: usize) -> Self {
        let beyond = self.beyond | 1 << place;
        let done = beyond.trailing_ones();
        let shifted = beyond.checked_shr(done).unwrap_or(0);
        Self { from: self.from + done as usize, beyond: shifted, ..self }
    }
}
