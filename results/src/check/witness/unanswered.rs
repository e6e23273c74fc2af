//! Operations that were never answered, until a replay finds that they must have happened.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::keys::State;
use crate::history::{Kind, Operation};

/// The unanswered adds of a counter.
#[derive(Debug, Default)]
struct Adds {
    /// All of them, by start.
    calls: Vec<Operation>,
    /// The sum of the first, the first two, ...
    sums: Vec<u64>,
    /// What each adds, if it is the same.
    delta: Option<u64>,
    /// How many have happened, if each adds the same.
    happened: usize,
    /// How much was added by those that have happened.
    sum: u64,
}

impl Adds {
    fn sort(&mut self) {
        self.calls.sort_unstable_by_key(|add| (add.start_ns, add.written));
        let mut sum = 0_u64;
        self.sums.extend(self.calls.iter().map(|add| {
            sum = sum.saturating_add(add.written);
            sum
        }));
        let first = self.calls.first().map(|add| add.written);
        self.delta = first.filter(|&delta| self.calls.iter().all(|add| add.written == delta));
    }

    /// Adds `gap`, all of it called by `end_ns`. False if that is impossible.
    fn fill(&mut self, state: &mut State, gap: u64, end_ns: u64) -> bool {
        self.sum = self.sum.saturating_add(gap);
        let Some(delta) = self.delta else {
            let called = self.calls.partition_point(|add| add.start_ns <= end_ns);
            return called > 0 && self.sum <= self.sums[called - 1];
        };
        if delta == 0 || !gap.is_multiple_of(delta) {
            return false;
        }
        let Some(happened) = usize::try_from(self.sum / delta).ok() else { return false };
        if happened > self.calls.len() {
            return false;
        }
        self.happened = happened;
        state.started(self.calls[happened - 1].start_ns);
        true
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    /// Writes of registers, by key and value, and whether each has happened.
    writes: Vec<(Operation, bool)>,
    adds: BTreeMap<u64, Adds>,
}

impl Unanswered {
    pub(super) fn clear(&mut self) {
        self.writes.clear();
        self.adds.clear();
    }

    pub(super) fn take(&mut self, operation: &Operation) {
        match operation.kind {
            Kind::Get | Kind::Transaction | Kind::Transfer => {}
            Kind::Put | Kind::Delete | Kind::CompareAndSwap => {
                self.writes.push((*operation, false));
            }
            Kind::Add => self.adds.entry(operation.key).or_default().calls.push(*operation),
        }
    }

    pub(super) fn sort(&mut self) {
        self.writes.sort_unstable_by_key(|(write, _)| (write.key, write.written));
        self.adds.values_mut().for_each(Adds::sort);
    }

    /// Makes the key hold `value`, which `operation` found, by what was never answered.
    pub(super) fn explain(
        &mut self,
        state: &mut State,
        value: u64,
        operation: &Operation,
    ) -> ControlFlow<()> {
        let Some(adds) = self.adds.get_mut(&operation.key) else {
            return self.write(state, value, operation.key);
        };
        let gap = value.checked_sub(state.value);
        if gap.is_none_or(|gap| !adds.fill(state, gap, operation.end_ns)) {
            return ControlFlow::Break(());
        }
        state.value = value;
        state.is_absent = false;
        ControlFlow::Continue(())
    }

    /// Writes a value, by a write alone or by a compare-and-swap and what that must have found.
    /// Each happens at most once.
    fn write(&mut self, state: &mut State, value: u64, key: u64) -> ControlFlow<()> {
        let (mut chain, mut missing) = (Vec::new(), value);
        while missing != state.value {
            let found = self
                .writes
                .binary_search_by_key(&(key, missing), |(write, _)| (write.key, write.written));
            let Ok(at) = found else { return ControlFlow::Break(()) };
            let (write, has_happened) = &mut self.writes[at];
            if std::mem::replace(has_happened, true) {
                return ControlFlow::Break(());
            }
            chain.push(at);
            if write.kind != Kind::CompareAndSwap {
                break;
            }
            missing = write.expected;
        }
        for at in chain.into_iter().rev() {
            let (write, _) = &self.writes[at];
            state.value = write.written;
            state.is_absent = write.kind == Kind::Delete;
            state.started(write.start_ns);
        }
        ControlFlow::Continue(())
    }

    /// What has happened on the key and started then.
    pub(super) fn that_started(&self, key: u64, start_ns: u64) -> Option<Operation> {
        let fits = |operation: &&Operation| operation.key == key && operation.start_ns == start_ns;
        let writes = self.writes.iter().filter(|(_, happened)| *happened).map(|(write, _)| write);
        let adds = self.adds.get(&key);
        let adds = adds.into_iter().flat_map(|adds| &adds.calls[..adds.happened]);
        writes.chain(adds).find(fits).copied()
    }
}
