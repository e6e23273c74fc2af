//! Whether what was acknowledged is still there in the end.
//!
//! A history says nothing of what nobody read again. Here the contents of all keys, read when the
//! run was over, are held against the writes: what a key holds must have been written, and no
//! answered write may have begun after that one ended. Counters are left to the check of sums.

use std::collections::BTreeMap;

use super::Broken;
use super::explain::value;
use crate::history::{Kind, Operation, Outcome};

/// An answered write that is gone, or contents that nothing wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The key.
    pub key: u64,
    /// The id that it holds, 0 for nothing.
    pub held: u64,
    /// The answered write that should be there, if one is missed.
    pub lost: Option<Operation>,
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let held = value(self.held);
        match &self.lost {
            Some(lost) => write!(
                f,
                "key {}: holds {held}, and {} of session {}, answered at {} ns, is lost",
                self.key,
                value(lost.written),
                lost.session,
                lost.end_ns
            ),
            None => write!(f, "key {}: holds {held}, which nothing wrote to it", self.key),
        }
    }
}

/// Holds the final contents, key to written id (a tombstone's too), against a history; a key that
/// is missing holds nothing. Returns what is wrong, key by key.
#[must_use]
pub fn durability(operations: &[Operation], contents: &BTreeMap<u64, u64>) -> Vec<Loss> {
    judge(operations, contents, Broken::default())
}

/// The writes of a key that did or may have happened.
#[derive(Default)]
struct Writes {
    /// Whether it is added to, so that what it holds is a sum.
    is_counter: bool,
    all: Vec<Operation>,
}

fn judge(operations: &[Operation], contents: &BTreeMap<u64, u64>, broken: Broken) -> Vec<Loss> {
    #[cfg(test)]
    if broken.is(super::tests::Mutant::DurabilityChecksNothing) {
        return Vec::new();
    }
    let _only_mutants_look_at_it = broken;
    let mut keys: BTreeMap<u64, Writes> = BTreeMap::new();
    for &key in contents.keys() {
        keys.entry(key).or_default();
    }
    for operation in operations {
        let writes = keys.entry(operation.key).or_default();
        writes.is_counter |= matches!(operation.kind, Kind::Add | Kind::Transfer);
        let may_write = matches!(operation.outcome, Outcome::Ok | Outcome::Unknown);
        if operation.kind != Kind::Get && may_write {
            writes.all.push(*operation);
        }
    }
    let registers = keys.iter().filter(|(_, writes)| !writes.is_counter);
    registers
        .filter_map(|(&key, writes)| {
            let held = contents.get(&key).copied().unwrap_or(0);
            let writer = writes.all.iter().find(|write| write.written == held);
            // Nothing is held from before the first write; what was not answered ends never.
            let end_ns = match writer {
                None if held == 0 => None,
                None => return Some(Loss { key, held, lost: None }),
                Some(writer) if writer.outcome == Outcome::Unknown => Some(u64::MAX),
                Some(writer) => Some(writer.end_ns),
            };
            let is_later = |write: &&Operation| {
                write.outcome == Outcome::Ok && end_ns.is_none_or(|end_ns| write.start_ns > end_ns)
            };
            let lost = writes.all.iter().filter(is_later).max_by_key(|write| write.start_ns)?;
            Some(Loss { key, held, lost: Some(*lost) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Mutant;
    use super::*;

    fn put(start_ns: u64, end_ns: u64, written: u64) -> Operation {
        Operation { kind: Kind::Put, start_ns, end_ns, written, key: 1, ..Operation::default() }
    }

    fn unknown(operation: Operation) -> Operation {
        Operation { outcome: Outcome::Unknown, end_ns: u64::MAX, ..operation }
    }

    /// Histories, what their key holds in the end, and whether that is a loss.
    fn planted() -> Vec<(Vec<Operation>, u64, bool)> {
        let refused = Operation { outcome: Outcome::Refused, ..put(1, 2, 1) };
        let add = Operation { kind: Kind::Add, observed: 5, ..put(1, 2, 5) };
        vec![
            (vec![put(1, 2, 1)], 1, false),
            (vec![put(1, 2, 1)], 0, true),
            (vec![put(1, 2, 1), put(3, 4, 2)], 2, false),
            (vec![put(1, 2, 1), put(3, 4, 2)], 1, true),
            // They overlap, so either may be the last.
            (vec![put(1, 5, 1), put(3, 4, 2)], 1, false),
            (vec![put(1, 2, 1), unknown(put(3, 4, 2))], 2, false),
            (vec![put(1, 2, 1), unknown(put(3, 4, 2))], 1, false),
            // What was never answered may take effect after all others.
            (vec![unknown(put(1, 2, 1)), put(3, 4, 2)], 1, false),
            (vec![unknown(put(1, 2, 1))], 0, false),
            (vec![put(1, 2, 1)], 9, true),
            (vec![refused], 1, true),
            (vec![], 3, true),
            (vec![add], 5, false),
        ]
    }

    fn is_right(broken: Broken) -> bool {
        planted().iter().all(|(operations, held, is_loss)| {
            let contents = (*held != 0).then_some((1, *held)).into_iter().collect();
            judge(operations, &contents, broken).is_empty() != *is_loss
        })
    }

    #[test]
    fn what_is_lost_is_noticed_and_what_was_overwritten_is_not_missed() {
        assert!(is_right(Broken::default()));
        let loss = durability(&[put(1, 2, 1), put(3, 4, 2)], &[(1, 1)].into());
        assert_eq!(
            loss[0].to_string(),
            "key 1: holds 1, and 2 of session 0, answered at 4 ns, is lost"
        );
    }

    #[test]
    fn a_check_of_nothing_is_killed() {
        assert!(!is_right(Broken { mutant: Some(Mutant::DurabilityChecksNothing) }));
    }
}
