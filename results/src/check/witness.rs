//! Linearizability by the replicas' own word: a second check, which shares nothing with the first.
//!
//! Each answer carries the place of its operation in the order that the replicas agreed on: for
//! protocols with a log the slot and the place within the slot's batch, which no two operations
//! share; for registers the tag of the write, which a get shares with the write that it saw. This
//! check replays each key in that order, compares every answer with what the replay holds, and asks
//! with a running maximum of starts whether anything ended before something that comes earlier in
//! the order had begun. Passing proves the history linearizable: here is the order. Not passing is
//! a mistake of the system or of the places it reports, even if another order would do.
//!
//! What was refused has no place and is left out. What was never answered has none either: it is put
//! right before the first operation that can only be explained by it, which is the latest
//! place possible and so the one that real time forbids least, or left out if there is no such
//! operation. On a counter the unanswered adds called first fill the first gap; that is exact if
//! they all have one delta, and otherwise only the sum of those called in time is compared, because
//! which of them fill which gap is for the check of sums to decide (`check/counters.rs`).
//!
//! A history whose answers carry no places at all, as one from elsewhere, cannot be judged here, and
//! neither can one that does not fit into the memory key by key; the verdict then does not name
//! this check. A history in which some answered writes have a place and others have none breaks a
//! rule.

mod keys;
mod unanswered;

use self::keys::{Keys, State};
use self::unanswered::Unanswered;
use super::explain::{Rule, Violation};
use super::partition::{Part, SlotCounts};
use super::{Broken, Finding, Source};
use crate::history::{HistoryError, Kind, Operation, Outcome};

/// What it takes to hold an operation, its place, and half of the places again to sort them.
const OPERATION_BYTES: u64 = 64 + 16 + 8;
/// What [`SlotCounts::parts`] assumes for a record, of which each operation has at least one.
const RECORD_BYTES: u64 = 32;

/// The bit of a place's index that says that the operation changes nothing: of the operations at
/// one place the write comes first.
const READS: u64 = 1 << 63;

/// The memory of a replay, kept from part to part.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// What was answered.
    operations: Vec<Operation>,
    /// The place of each of them, and where it is, with [`READS`].
    order: Vec<(u64, u64)>,
    unanswered: Unanswered,
    keys: Keys,
    /// A write that was answered with its place.
    placed: Option<Operation>,
    /// A write that was answered without one.
    unplaced: Option<Operation>,
    /// Whether reads may come earlier in the order than what had ended before they began.
    reads_behind: bool,
    #[cfg_attr(not(test), expect(dead_code, reason = "only mutants look at it"))]
    broken: Broken,
}

impl Replay {
    pub(super) fn new(broken: Broken) -> Self {
        Self { broken, ..Self::default() }
    }

    /// A replay that does not mind reads of an earlier state, as long as it is one.
    pub(super) fn with_reads_behind(self) -> Self {
        Self { reads_behind: true, ..self }
    }

    /// Replays a history of so many operations. True if it is explained by the places of its
    /// answers, and false if that cannot be said.
    pub(super) fn check(
        &mut self,
        source: &(impl Source + ?Sized),
        operations: u64,
        memory_bytes_max: u64,
    ) -> Result<Result<bool, Finding>, HistoryError> {
        if operations.saturating_mul(OPERATION_BYTES) <= memory_bytes_max {
            // At once: a vector that grows would be copied again and again.
            let operations = usize::try_from(operations).expect("they fit into memory");
            self.operations.reserve(operations);
            self.order.reserve(operations);
            if let Err(finding) = self.run(source, None)? {
                return Ok(Err(finding));
            }
            return Ok(self.verdict());
        }
        let mut counts = SlotCounts::default();
        source.for_each_block(&mut |block| counts.add(block))?;
        let Ok(parts) = counts.parts(memory_bytes_max / OPERATION_BYTES * RECORD_BYTES) else {
            return Ok(Ok(false));
        };
        for part in &parts {
            if let Err(finding) = self.run(source, Some(part))? {
                return Ok(Err(finding));
            }
        }
        Ok(self.verdict())
    }

    /// Replays the keys of a part, or all.
    fn run(
        &mut self,
        source: &(impl Source + ?Sized),
        part: Option<&Part>,
    ) -> Result<Result<(), Finding>, HistoryError> {
        self.operations.clear();
        self.order.clear();
        self.unanswered.clear();
        self.keys.clear();
        source.for_each_block(&mut |block| {
            for operation in block {
                if part.is_none_or(|part| part.contains(operation)) {
                    self.take(operation);
                }
            }
        })?;
        if self.unplaced.is_some() {
            return Ok(Ok(()));
        }
        self.unanswered.sort();
        self.order.sort();
        let order = std::mem::take(&mut self.order);
        let replayed = order.iter().try_for_each(|&(_, index)| {
            self.step(usize::try_from(index & !READS).expect("it is in memory"))
        });
        self.order = order;
        Ok(replayed.map_err(|violation| Finding::Violation(Box::new(violation))))
    }

    #[inline]
    fn take(&mut self, operation: &Operation) {
        match operation.outcome {
            Outcome::Refused => return,
            Outcome::Unknown => return self.unanswered.take(operation),
            Outcome::Ok | Outcome::Absent | Outcome::Mismatch => {}
        }
        let writes = is_write(operation);
        if writes {
            let kept = if operation.version == 0 { &mut self.unplaced } else { &mut self.placed };
            if kept.is_none() {
                *kept = Some(*operation);
            }
        }
        let index = self.operations.len() as u64;
        self.order.push((operation.version, if writes { index } else { index | READS }));
        self.operations.push(*operation);
    }

    /// What all parts amount to, of which none broke a rule.
    fn verdict(&self) -> Result<bool, Finding> {
        match (self.placed, self.unplaced) {
            (Some(placed), Some(unplaced)) => {
                let violation = Violation::new(Rule::PlaceMissing, vec![placed, unplaced]);
                Err(Finding::Violation(Box::new(violation)))
            }
            (Some(_), None) => Ok(true),
            (None, _) => Ok(false),
        }
    }

    /// Executes the operation that is next in the order of its key.
    #[inline]
    fn step(&mut self, index: usize) -> Result<(), Violation> {
        let operation = self.operations[index];
        let writes = is_write(&operation);
        #[cfg(test)]
        if self.broken.is(super::tests::Mutant::WitnessIgnoresFailedSwaps)
            && operation.kind == Kind::CompareAndSwap
            && !writes
        {
            return Ok(());
        }
        let state = self.keys.of(operation.key);
        if state.version != operation.version {
            state.go_on(operation.version);
        } else if writes {
            return Err(self.violation(Rule::PlaceShared, index));
        }
        let found = Found::by(&operation);
        if let Some(Found { value, .. }) = found
            && value != state.value
            && self.unanswered.explain(state, value, &operation).is_break()
        {
            return Err(self.violation(Rule::PlaceAgainstValue, index));
        }
        if found.is_some_and(|found| found.contradicts(state)) {
            return Err(self.violation(Rule::PlaceAgainstValue, index));
        }
        #[cfg(test)]
        if self.broken.is(super::tests::Mutant::WitnessIgnoresTime) {
            state.latest_start_ns = 0;
        }
        if operation.end_ns < state.latest_start_ns {
            return Err(self.violation(Rule::PlaceAgainstTime, index));
        }
        if writes {
            let adds = operation.kind == Kind::Add;
            state.value = if adds { operation.observed } else { operation.written };
            state.is_absent = operation.kind == Kind::Delete;
            state.started(operation.start_ns);
        } else if !self.reads_behind || operation.kind != Kind::Get {
            state.read_start_ns = state.read_start_ns.max(operation.start_ns);
        }
        Ok(())
    }

    /// The operation at fault with the write before it, or who wrote what it found, or what had
    /// begun too late to come before it.
    #[cold]
    fn violation(&mut self, rule: Rule, index: usize) -> Violation {
        let at_fault = self.operations[index];
        let key = at_fault.key;
        let latest_start_ns = self.keys.of(key).latest_start_ns;
        let mut before: Vec<&Operation> = (self.operations.iter())
            .filter(|other| other.key == key && other.version <= at_fault.version)
            .filter(|other| other.version < at_fault.version || is_write(other))
            .filter(|other| **other != at_fault)
            .collect();
        before.sort_by_key(|other| other.version);
        let mut shown = vec![at_fault];
        if rule == Rule::PlaceAgainstTime {
            let late = before.iter().find(|other| other.start_ns == latest_start_ns);
            let unanswered = || self.unanswered.that_started(key, latest_start_ns);
            shown.extend(late.map(|late| **late).or_else(unanswered));
        } else {
            shown.extend(before.iter().rev().find(|other| is_write(other)).copied());
        }
        if rule == Rule::PlaceAgainstValue
            && let Some(Found { value, .. }) = Found::by(&at_fault)
        {
            let wrote = |other: &&Operation| {
                other.key == key && is_write(other) && value_after(other) == value
            };
            shown.extend(self.operations.iter().find(wrote));
        }
        shown.sort_unstable_by_key(|operation| (operation.start_ns, operation.version));
        shown.dedup();
        Violation::new(rule, shown)
    }
}

/// Whether an answered operation changed its key.
const fn is_write(operation: &Operation) -> bool {
    matches!(operation.outcome, Outcome::Ok) && !matches!(operation.kind, Kind::Get)
}

/// What the key holds after a write.
const fn value_after(operation: &Operation) -> u64 {
    if matches!(operation.kind, Kind::Add) { operation.observed } else { operation.written }
}

/// What an answer says that the key held.
#[derive(Clone, Copy, Debug)]
struct Found {
    value: u64,
    /// Whether it was no value, if that is said.
    is_absent: Option<bool>,
    /// The value that it must not have been.
    unlike: Option<u64>,
}

impl Found {
    fn by(operation: &Operation) -> Option<Self> {
        let Operation { written, expected, observed, .. } = *operation;
        let said = |value, is_absent| Some(Self { value, is_absent, unlike: None });
        let unlike = (operation.kind == Kind::CompareAndSwap).then_some(expected);
        match (operation.kind, operation.outcome) {
            (_, Outcome::Absent) => Some(Self { value: observed, is_absent: Some(true), unlike }),
            (_, Outcome::Mismatch) => {
                Some(Self { value: observed, is_absent: Some(false), unlike })
            }
            (Kind::Get, _) => said(observed, Some(false)),
            (Kind::CompareAndSwap, _) => said(expected, None),
            // A sum below the delta is none, and no key holds that much.
            (Kind::Add, _) => said(observed.checked_sub(written).unwrap_or(u64::MAX), None),
            (Kind::Put | Kind::Delete | Kind::Transaction | Kind::Transfer, _) => None,
        }
    }

    fn contradicts(self, state: &State) -> bool {
        self.value != state.value
            || self.is_absent.is_some_and(|is_absent| is_absent != state.is_absent)
            || self.unlike == Some(state.value)
    }
}
