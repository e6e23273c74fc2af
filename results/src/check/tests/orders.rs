//! Small random histories of transactions, and a search of all orders of them: what it means that
//! there is one, taken at its word.

use std::collections::BTreeMap;

use crate::history::{Operation, Outcome};
use crate::random::Random;

/// Transactions whose parts happen one by one, so that they come between each other: each part with the
/// moment at which it does, the last of all for one that never does. `draw` says what a part of a session
/// does to a key.
pub(super) fn scattered(
    keys: u64,
    random: &mut Random,
    mut draw: impl FnMut(&mut Random, u32, u64) -> Operation,
) -> Vec<(u64, Operation)> {
    let mut moments = Vec::new();
    for session in 1..=3 + u32::try_from(random.below(4)).expect("a few") {
        let start_ns = random.below(60);
        let length = 1 + random.below(30);
        let is_unknown = random.below(4) == 0;
        let together = random.below(2) == 0;
        for key in (0..keys).filter(|_| random.below(3) > 0).collect::<Vec<_>>() {
            // Some come too late, and some never: only those without an answer may.
            let within = if together { length / 2 } else { random.below(length) };
            let at = if is_unknown && random.below(3) == 0 { u64::MAX } else { start_ns + within };
            let part = draw(random, session, key);
            let outcome = if is_unknown { Outcome::Unknown } else { Outcome::Ok };
            let end_ns = if is_unknown { u64::MAX } else { start_ns + length };
            moments.push((at, Operation { key, session, start_ns, end_ns, outcome, ..part }));
        }
    }
    moments.sort_by_key(|&(at, part)| (at, part.session));
    moments
}

/// Whether there is an order of a history's transactions in which each part fits what those before it
/// left of the state, which it changes; those without an answer may be left out.
pub(super) fn has_order<S: Clone>(
    history: &[Operation],
    state: &S,
    fits: impl Fn(&mut S, &Operation) -> bool,
) -> bool {
    let mut transactions = BTreeMap::<u32, Vec<Operation>>::new();
    for part in history {
        transactions.entry(part.session).or_default().push(*part);
    }
    explains(&transactions.into_values().collect::<Vec<_>>(), state, &fits)
}

/// The same of the transactions that are left.
fn explains<S: Clone>(
    left: &[Vec<Operation>],
    state: &S,
    fits: &impl Fn(&mut S, &Operation) -> bool,
) -> bool {
    if left.iter().all(|parts| parts[0].outcome == Outcome::Unknown) {
        return true;
    }
    let first_end = left.iter().map(|parts| parts[0].end_ns).min().expect("some are left");
    (0..left.len()).any(|next| {
        let mut after = state.clone();
        if left[next][0].start_ns > first_end
            || !left[next].iter().all(|part| fits(&mut after, part))
        {
            return false;
        }
        let mut rest = left.to_vec();
        rest.remove(next);
        explains(&rest, &after, fits)
    })
}
