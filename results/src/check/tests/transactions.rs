//! The check of transactions against the definition taken at its word: a search of all orders, on
//! small random histories whose keys are each linearizable by themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::super::transactions::judge;
use super::super::{Broken, Finding};
use super::orders::{has_order, scattered};
use super::*;
use crate::random::Random;

const KEYS: u64 = 3;

/// Gets and swaps, each swap of a value that no other writes.
fn drawn(random: &mut Random) -> Vec<Operation> {
    let moments = scattered(KEYS, random, |random, session, key| {
        let written = if random.below(3) > 0 { u64::from(session) << 8 | (key + 1) } else { 0 };
        let kind = if written > 0 { Kind::CompareAndSwap } else { Kind::Get };
        Operation { kind, written, ..Operation::default() }
    });
    let mut state: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut history = Vec::new();
    for (at, mut part) in moments {
        let (id, version) = state.entry(part.key).or_default();
        let writes = part.kind == Kind::CompareAndSwap;
        if at < u64::MAX && writes {
            part.expected = *id;
            (*id, *version) = (part.written, *version + 1);
        } else if at < u64::MAX {
            part.observed = *id;
            if *id == 0 && part.outcome == Outcome::Ok {
                part.outcome = Outcome::Absent;
            }
        }
        part.version = *version;
        if part.outcome == Outcome::Unknown {
            (part.version, part.observed, part.expected) = (0, 0, 0);
            part.kind = if writes { Kind::Put } else { Kind::Get };
        }
        history.push(part);
    }
    history
}

fn is_serializable(history: &[Operation]) -> bool {
    // What each key holds, and the last version of it that an answer told.
    let state = BTreeMap::<u64, (u64, u64)>::new();
    has_order(history, &state, |keys, part| {
        let (held, version) = keys.entry(part.key).or_default();
        let is_swap = part.kind == Kind::CompareAndSwap;
        let saw = if is_swap { part.expected } else { part.observed };
        let is_answered = part.outcome != Outcome::Unknown;
        let fits = !is_answered || (saw == *held && part.version >= *version + u64::from(is_swap));
        if part.written > 0 {
            *held = part.written;
        }
        *version = if is_answered { part.version } else { *version };
        fits
    })
}

fn passes(history: &[Operation], mutant: Option<Mutant>) -> bool {
    match judge(history, Broken { mutant }) {
        Ok(_) => true,
        Err(Finding::Violation(violation)) => {
            assert!(!violation.operations.is_empty(), "a circle has operations: {history:?}");
            false
        }
        Err(Finding::NotUnique | Finding::OfAccounts | Finding::Undecidable(_)) => {
            panic!("it can be judged")
        }
    }
}

#[test]
fn transactions_are_judged_as_their_definition_says() {
    let mut random = Random::new(7);
    let mut broken = 0;
    for _ in 0..40_000 {
        let history = drawn(&mut random);
        let truth = is_serializable(&history);
        let passes = passes(&history, None);
        // Among several that were never answered some orders are left open.
        let of_unknown = history.iter().filter(|part| part.outcome == Outcome::Unknown);
        let unknown: BTreeSet<u32> = of_unknown.map(|part| part.session).collect();
        let is_decided = unknown.len() <= 1 || !passes;
        assert!(passes == truth || !is_decided, "{history:#?}");
        broken += u32::from(!truth);
    }
    assert!((4_000..36_000).contains(&broken), "{broken} of them are not serializable");
}

#[test]
fn without_versions_nothing_is_said() {
    let write = Operation { version: 1, ..cas(1, 2, 0, 9) };
    assert!(passes(&[write], None));
    let judged = judge(&[Operation { version: 0, ..write }], Broken { mutant: None });
    assert!(matches!(judged, Err(Finding::Undecidable(_))), "{judged:?}");
}

#[test]
fn each_mutant_of_the_check_of_transactions_is_killed() {
    for mutant in [
        Mutant::TransactionsIgnoreTime,
        Mutant::TransactionsMayBeTorn,
        Mutant::TransactionsIgnoreReads,
    ] {
        let mut random = Random::new(8);
        let mut histories = (0..2_000).map(|_| drawn(&mut random));
        assert!(
            histories.any(|history| passes(&history, Some(mutant)) != is_serializable(&history)),
            "{mutant:?} survived"
        );
    }
}
