//! Whether a history of operations is linearizable, key by key.
//!
//! A search over the orders that respect real time (Wing and Gong 1993), which never visits the
//! same set of finished operations with the same value twice (Lowe 2017). Exact, and exponential
//! only in the number of operations that overlap.

use std::collections::{BTreeMap, BTreeSet};

use synod_protocols::command::Op;

use crate::store::{Outcome, Value, execute};

/// One operation as its client saw it.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Whose it is.
    pub(crate) client: usize,
    pub(crate) key: u64,
    pub(crate) op: Op,
    pub(crate) expected: u64,
    pub(crate) value: Vec<u8>,
    pub(crate) invoked_at: u64,
    /// The version that the answer tells; 0 without one.
    pub(crate) version: u64,
    /// When and how it ended; `None` when its client never knew.
    pub(crate) ended: Option<(u64, Outcome)>,
}

/// Explains why the history is not linearizable, if it is not.
pub(crate) fn check(history: &[Operation]) -> Result<(), String> {
    let mut keys: BTreeMap<u64, Vec<&Operation>> = BTreeMap::new();
    let observed: BTreeSet<&[u8]> = history
        .iter()
        .filter_map(|operation| operation.ended.as_ref())
        .map(|(_, outcome)| &outcome.value[..])
        .collect();
    for operation in history {
        // Without an answer, a read says nothing. Neither does a write that nobody saw: values are
        // unique, so it may as well never have happened.
        if operation.ended.is_some()
            || (operation.op != Op::Get && observed.contains(&operation.value[..]))
        {
            keys.entry(operation.key).or_default().push(operation);
        }
    }
    for (key, mut operations) in keys {
        operations.sort_by_key(|operation| operation.invoked_at);
        if !is_linearizable(&operations)? {
            let lines: Vec<String> =
                operations.iter().map(|operation| format!("  {operation:?}")).collect();
            return Err(format!("key {key} is not linearizable:\n{}", lines.join("\n")));
        }
    }
    Ok(())
}

/// Which operations have taken effect, and the value that they left.
type State = (u128, Value);

/// States that a search visits at most.
const STATES_MAX: usize = 1 << 20;

fn is_linearizable(operations: &[&Operation]) -> Result<bool, String> {
    assert!(operations.len() <= 128, "a set of operations is a number of 128 bits");
    let wanted = set(operations, |operation| operation.ended.is_some());
    let mut seen = BTreeSet::new();
    let mut open: Vec<State> = vec![(0, Value::default())];
    while let Some((done, value)) = open.pop() {
        if seen.len() > STATES_MAX {
            return Err("linearizability is unknown: the search is too long".into());
        }
        if done & wanted == wanted {
            return Ok(true);
        }
        // Whatever begins after another has ended cannot come before it.
        let first_end = operations
            .iter()
            .enumerate()
            .filter(|(index, _)| done & (1 << index) == 0)
            .filter_map(|(_, operation)| operation.ended.as_ref().map(|(at, _)| *at))
            .min()
            .unwrap_or(u64::MAX);
        let candidates = operations
            .iter()
            .enumerate()
            .take_while(|(_, operation)| operation.invoked_at <= first_end)
            .filter(|(index, _)| done & (1 << index) == 0);
        // The stack turns the order around: operations without an end are tried last.
        let (ended, pending): (Vec<_>, Vec<_>) =
            candidates.partition(|(_, operation)| operation.ended.is_some());
        for (index, operation) in pending.into_iter().chain(ended) {
            let mut after = value.clone();
            let outcome = execute(&mut after, operation.op, operation.expected, &operation.value);
            let fits = operation.ended.as_ref().is_none_or(|(_, seen)| *seen == outcome);
            let state = (done | 1 << index, after);
            if fits && seen.insert(state.clone()) {
                open.push(state);
            }
        }
    }
    Ok(false)
}

fn set(operations: &[&Operation], is_in: impl Fn(&Operation) -> bool) -> u128 {
    operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| is_in(operation))
        .fold(0, |set, (index, _)| set | 1 << index)
}

#[cfg(test)]
mod tests {
    use synod_protocols::command::Status;

    use super::*;

    fn put(value: u8, invoked_at: u64, ended_at: Option<u64>) -> Operation {
        let outcome = Outcome { status: Status::Ok, value: Vec::new() };
        let ended = ended_at.map(|at| (at, outcome));
        Operation {
            client: 0,
            key: 1,
            op: Op::Put,
            expected: 0,
            value: vec![value; 8],
            invoked_at,
            version: 0,
            ended,
        }
    }

    fn get(value: u8, invoked_at: u64, ended_at: u64) -> Operation {
        let outcome = Outcome { status: Status::Ok, value: vec![value; 8] };
        let ended = Some((ended_at, outcome));
        Operation {
            client: 0,
            key: 1,
            op: Op::Get,
            expected: 0,
            value: Vec::new(),
            invoked_at,
            version: 0,
            ended,
        }
    }

    #[test]
    fn overlapping_operations_may_take_either_order() {
        let writes = [put(1, 0, Some(10)), put(2, 5, Some(15))];
        for last in [1, 2] {
            let history = [&writes[..], &[get(last, 20, 30)]].concat();
            assert_eq!(check(&history), Ok(()));
        }
    }

    #[test]
    fn an_old_value_after_a_new_one_is_noticed() {
        let history = [put(1, 0, Some(1)), put(2, 2, None), get(2, 3, 4), get(1, 5, 6)];
        assert!(check(&history).is_err());
    }

    #[test]
    fn a_stale_read_is_noticed() {
        assert!(check(&[put(1, 0, Some(1)), put(2, 2, Some(3)), get(1, 4, 5)]).is_err());
    }

    #[test]
    fn a_write_that_takes_effect_before_it_begins_is_noticed() {
        assert!(check(&[get(1, 0, 1), put(1, 2, Some(3))]).is_err());
    }
}
