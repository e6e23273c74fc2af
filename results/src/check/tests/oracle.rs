//! The checker against a search of all orders, on small random histories.

#![expect(clippy::cast_possible_truncation, reason = "random numbers below a handful")]
#![expect(clippy::wildcard_enum_match_arm, reason = "the oracle says what is usual last")]

use super::super::search::search;
use super::super::witness::Replay;
use super::super::{Broken, Checker, Consistency, Finding, check};
use super::*;
use crate::random::Random;

/// What a key holds: the id of a value or tombstone, or for a counter its sum.
#[derive(Clone, Copy)]
struct Register {
    id: u64,
    is_absent: bool,
}

/// The register after an operation, or nothing if the answer does not fit.
fn apply(register: Register, operation: &Operation) -> Option<Register> {
    let Operation { written, expected, observed, .. } = *operation;
    let same = |answer: bool| answer.then_some(register);
    let written = Register { id: written, is_absent: operation.kind == Kind::Delete };
    match (operation.kind, operation.outcome) {
        (Kind::Get, Outcome::Ok) => same(observed == register.id && !register.is_absent),
        (Kind::Get, _) => same(observed == register.id && register.is_absent),
        (Kind::Put | Kind::Delete, _) => Some(written),
        (Kind::CompareAndSwap, Outcome::Ok | Outcome::Unknown) => {
            (register.id == expected).then_some(written)
        }
        (Kind::CompareAndSwap, outcome) => same(
            observed == register.id
                && observed != expected
                && register.is_absent == (outcome == Outcome::Absent),
        ),
        (Kind::Add | Kind::Transaction | Kind::Transfer, _) => {
            unreachable!("counters have their own")
        }
    }
}

fn apply_to_counter(sum: u64, operation: &Operation) -> Option<u64> {
    let Operation { written, observed, kind, outcome, .. } = *operation;
    match (kind, outcome) {
        (Kind::Add, Outcome::Unknown) => Some(sum + written),
        (Kind::Add, _) => (sum + written == observed).then_some(observed),
        _ => (sum == observed).then_some(sum),
    }
}

/// Whether some order of `left` (a bit for each operation), agreeing with real time, explains
/// every answer from this state on. Operations without an answer may be left out.
fn explains<S: Copy>(
    operations: &[Operation],
    left: u32,
    state: S,
    apply: fn(S, &Operation) -> Option<S>,
) -> bool {
    let of_left = || (0..operations.len()).filter(|index| left >> index & 1 == 1);
    if of_left().all(|index| operations[index].outcome == Outcome::Unknown) {
        return true;
    }
    let earliest_end_ns = of_left().map(|index| operations[index].end_ns).min();
    of_left().any(|index| {
        Some(operations[index].start_ns) <= earliest_end_ns
            && apply(state, &operations[index])
                .is_some_and(|next| explains(operations, left & !(1 << index), next, apply))
    })
}

fn is_linearizable(operations: &[Operation]) -> bool {
    let answered: Vec<Operation> = operations
        .iter()
        .copied()
        .filter(|o| o.outcome != Outcome::Refused)
        .filter(|o| o.outcome != Outcome::Unknown || o.kind != Kind::Get)
        .collect();
    let all = (1 << answered.len()) - 1;
    if operations.iter().any(|operation| operation.kind == Kind::Add) {
        explains(&answered, all, 0, apply_to_counter)
    } else {
        explains(&answered, all, Register { id: 0, is_absent: true }, apply)
    }
}

/// A history of one key whose answers are mostly those of a register: each operation takes effect
/// somewhere between its stamps, and now and then an answer is replaced by any other.
fn random_registers(random: &mut Random) -> Vec<Operation> {
    let wrong = random.below(4);
    registers(random, wrong)
}

fn registers(random: &mut Random, wrong: u64) -> Vec<Operation> {
    let count = 2 + random.below(6);
    let mut points: Vec<u64> = (0..count).map(|_| 2 + random.below(20)).collect();
    points.sort_unstable();
    let kinds = [Kind::Get, Kind::Get, Kind::Put, Kind::CompareAndSwap, Kind::Delete];
    let mut register = Register { id: 0, is_absent: true };
    let mut operations = Vec::new();
    for (index, &point) in (1..).zip(&points) {
        let kind = kinds[random.below(5) as usize];
        let (start_ns, end_ns) = (point - random.below(3), point + random.below(6));
        let mut asked = operation(kind, Outcome::Ok, start_ns, end_ns);
        asked.written = if kind == Kind::Get { 0 } else { index };
        if kind == Kind::CompareAndSwap {
            let likely = random.below(4) != 0;
            asked.expected = if likely { register.id } else { random.below(count + 1) };
        }
        answer(&mut asked, register);
        let unanswered = random.below(6) == 0;
        if !unanswered || random.below(2) == 0 {
            register = apply(register, &asked).unwrap_or(register);
        }
        if unanswered {
            asked = if random.below(4) == 0 { refused(asked) } else { unknown(asked) };
            operations.push(asked);
            continue;
        }
        asked.version = index;
        if random.below(8) < wrong {
            distort(&mut asked, count, random);
        }
        operations.push(asked);
    }
    // The order in the file means nothing.
    for index in 1..operations.len() {
        operations.swap(index, random.below(index as u64 + 1) as usize);
    }
    operations
}

/// Gives an operation the answer of this register.
fn answer(operation: &mut Operation, register: Register) {
    let absent = if register.is_absent { Outcome::Absent } else { Outcome::Ok };
    match operation.kind {
        Kind::Get => (operation.observed, operation.outcome) = (register.id, absent),
        Kind::CompareAndSwap if operation.expected != register.id => {
            operation.observed = register.id;
            operation.outcome =
                if register.is_absent { Outcome::Absent } else { Outcome::Mismatch };
        }
        _ => {}
    }
}

fn distort(operation: &mut Operation, count: u64, random: &mut Random) {
    let any = random.below(count + 1);
    match operation.kind {
        Kind::Get => {
            operation.observed = any;
            if random.below(2) == 0 || any == 0 {
                operation.outcome = Outcome::Absent;
            }
        }
        Kind::CompareAndSwap if operation.outcome == Outcome::Ok => operation.expected = any,
        Kind::CompareAndSwap => operation.observed = any,
        _ => operation.end_ns = operation.start_ns,
    }
}

fn random_counters(random: &mut Random) -> Vec<Operation> {
    let deltas = 1 + random.below(3);
    counters(random, deltas, 8)
}

/// A history of one counter, of which one answer in `wrong_in` may be wrong.
fn counters(random: &mut Random, deltas: u64, wrong_in: u64) -> Vec<Operation> {
    let count = 2 + random.below(6);
    let mut points: Vec<u64> = (0..count).map(|_| 2 + random.below(20)).collect();
    points.sort_unstable();
    let mut sum = 0;
    let mut operations = vec![refused(add(1, 2, 1, 0))];
    for (version, &point) in (1..).zip(&points) {
        let (start_ns, end_ns) = (point - random.below(3), point + random.below(6));
        let delta = 1 + random.below(deltas);
        let distortion = if random.below(wrong_in) == 0 { random.below(3) } else { 0 };
        if random.below(3) == 0 {
            operations.push(at(version, get(start_ns, end_ns, sum + distortion)));
        } else if random.below(3) == 0 {
            operations.push(unknown(add(start_ns, end_ns, delta, 0)));
            sum += delta * random.below(2);
        } else {
            sum += delta;
            operations.push(at(version, add(start_ns, end_ns, delta, sum + distortion)));
        }
    }
    operations
}

/// Compares on `count` histories; returns how many were linearizable.
fn compare(count: u64, seed: u64, generate: fn(&mut Random) -> Vec<Operation>) -> u64 {
    let mut random = Random::new(seed);
    let mut checker = Checker::new(u64::MAX, Broken::default());
    let mut passed = 0;
    for index in 0..count {
        let operations = generate(&mut random);
        let expected = is_linearizable(&operations);
        checker.partitions.clear();
        let found = checker.run(operations.as_slice()).unwrap();
        assert!(
            !matches!(found, Err(Finding::Undecidable(_))) && found.is_ok() == expected,
            "history {index}: search says {expected}, checker says {found:?} of {operations:#?}"
        );
        passed += u64::from(expected);
    }
    passed
}

/// What others write: values that come again.
fn ambiguous(random: &mut Random) -> Vec<Operation> {
    let wrong = random.below(3);
    let mut operations = registers(random, wrong);
    let fold = |value: &mut u64| *value = if *value > 2 { 1 + *value % 2 } else { *value };
    for operation in &mut operations {
        fold(&mut operation.written);
        fold(&mut operation.observed);
        fold(&mut operation.expected);
        let failed = matches!(operation.outcome, Outcome::Absent | Outcome::Mismatch);
        if failed && operation.kind == Kind::CompareAndSwap {
            operation.expected = 9;
        }
    }
    operations
}

#[test]
fn the_search_agrees_with_exhaustive_search_where_values_come_again() {
    let mut random = Random::new(5);
    let mut passed = 0;
    for index in 0..100_000 {
        let operations = ambiguous(&mut random);
        let expected = is_linearizable(&operations);
        let found = search(operations.as_slice(), u64::MAX).unwrap();
        assert!(
            !matches!(found, Err(Finding::Undecidable(_))) && found.is_ok() == expected,
            "history {index}: the oracle says {expected}, the search {found:?} of {operations:#?}"
        );
        passed += u64::from(expected);
    }
    // Both answers must be common, or the comparison says little.
    assert!((20_000..90_000).contains(&passed), "{passed} linearizable");
}

#[test]
fn a_search_that_does_not_end_knows_nothing() {
    // Any order of them might do, as far as one sees: none of them wrote what is read in the end.
    let mut operations: Vec<Operation> = (0..30).map(|id| put(1, 50, 1 + id % 29)).collect();
    operations.push(get(60, 70, 77));
    let said = |memory_bytes_max| {
        check(&operations[..], Consistency::Linearizable, memory_bytes_max, &|| 0).unwrap()
    };
    let verdict = said(10_000_000);
    assert!(!verdict.is_pass());
    assert!(verdict.to_string().contains("does not end within its memory"), "{verdict}");
    operations.truncate(2);
    operations[1].written = operations[0].written;
    operations.push(get(60, 70, 1));
    let verdict = check(&operations[..], Consistency::Linearizable, 10_000_000, &|| 0).unwrap();
    assert!(
        verdict.to_string().starts_with("linearizable: yes, 3 ops, 1 keys, search"),
        "{verdict}"
    );
    operations.push(get(80, 90, 0));
    let verdict = check(&operations[..], Consistency::Linearizable, 10_000_000, &|| 0).unwrap();
    assert!(verdict.to_string().contains("no order explains all answers"), "{verdict}");
}

#[test]
fn registers_agree_with_exhaustive_search() {
    let passed = compare(400_000, 1, random_registers);
    // Both answers must be common, or the comparison says little.
    assert!((100_000..300_000).contains(&passed), "{passed} linearizable");
}

#[test]
fn counters_agree_with_exhaustive_search() {
    let passed = compare(100_000, 2, random_counters);
    assert!((20_000..80_000).contains(&passed), "{passed} linearizable");
}

/// Replays histories of which a quarter have two places swapped; returns how many are explained.
/// What a replay explains must be linearizable.
fn replay(count: u64, seed: u64, generate: fn(&mut Random) -> Vec<Operation>) -> u64 {
    let mut random = Random::new(seed);
    let mut explained = 0;
    for index in 0..count {
        let mut operations = generate(&mut random);
        if random.below(4) == 0 {
            let [one, other] = [(); 2].map(|()| random.below(operations.len() as u64) as usize);
            let places = (operations[one].version, operations[other].version);
            if places.0 != 0 && places.1 != 0 {
                (operations[one].version, operations[other].version) = (places.1, places.0);
            }
        }
        let found = Replay::new(Broken::default()).check(operations.as_slice(), 9, u64::MAX);
        if found.unwrap().is_ok() {
            let is_placed = |operation: &Operation| operation.version != 0;
            assert!(
                is_linearizable(&operations) || !operations.iter().any(is_placed),
                "history {index} is replayed and not linearizable: {operations:#?}"
            );
            explained += 1;
        }
    }
    explained
}

fn counters_of_one_delta(random: &mut Random) -> Vec<Operation> {
    counters(random, 1, 8)
}

#[test]
fn what_a_replay_explains_is_linearizable() {
    let registers = replay(200_000, 3, random_registers);
    assert!((50_000..150_000).contains(&registers), "{registers} explained");
    let counters = replay(100_000, 4, counters_of_one_delta);
    assert!((20_000..80_000).contains(&counters), "{counters} explained");
}

/// The places are those at which everything took effect, so a replay must explain it, unless
/// something took effect that says it was refused.
#[test]
fn what_has_true_places_is_replayed() {
    let mut random = Random::new(5);
    for index in 0..100_000 {
        let operations = match index % 3 {
            0 => counters(&mut random, 1, u64::MAX),
            1 => counters(&mut random, 3, u64::MAX),
            _ => registers(&mut random, 0),
        };
        let found = Replay::new(Broken::default()).check(operations.as_slice(), 9, u64::MAX);
        let found = found.unwrap();
        let is_refused = |o: &Operation| o.kind != Kind::Add && o.outcome == Outcome::Refused;
        let refused = operations.iter().any(is_refused);
        assert!(found.is_ok() || refused, "history {index}: {found:?} of {operations:#?}");
    }
}
