//! Promises below linearizability: planted histories, the definitions taken at their word, and
//! mutants.

use super::super::{Broken, Consistency, Finding, Rule, Staleness, Verdict, check, run_weaker};
use super::*;
use crate::random::Random;

fn by(session: u32, operation: Operation) -> Operation {
    Operation { session, ..operation }
}

fn other_key(operation: Operation) -> Operation {
    Operation { key: 2, ..operation }
}

fn judge(
    operations: &[Operation],
    promise: Consistency,
    mutant: Option<Mutant>,
) -> Result<Staleness, Option<Rule>> {
    match run_weaker(operations, promise, u64::MAX, Broken { mutant }).unwrap().1 {
        Ok(staleness) => Ok(staleness),
        Err(Finding::Violation(violation)) => Err(Some(violation.rule)),
        Err(Finding::Undecidable(_) | Finding::NotUnique | Finding::OfAccounts) => Err(None),
    }
}

/// Histories that are not linearizable, and of each weaker promise the rule that they break, if
/// they break one.
fn planted() -> Vec<(Vec<Operation>, [Option<Rule>; 3])> {
    let two_writes = [by(1, at(10, put(1, 2, 1))), by(1, at(20, put(3, 4, 2)))];
    let with = |reads: &[Operation]| [&two_writes, reads].concat();
    let everywhere = |rule| [Some(rule); 3];
    vec![
        // A stale read of another client.
        (with(&[by(2, at(15, get(5, 6, 1)))]), [None, Some(Rule::StaleRead), None]),
        // Of the client that wrote: it saw a newer state before.
        (
            with(&[by(1, at(15, get(5, 6, 1)))]),
            [Some(Rule::SessionGoesBack), Some(Rule::StaleRead), None],
        ),
        // A client that reads backwards.
        (
            with(&[by(2, at(20, get(5, 6, 2))), by(2, at(15, get(7, 8, 1)))]),
            [Some(Rule::SessionGoesBack), Some(Rule::StaleRead), None],
        ),
        // Over two keys: having seen the later write it must see the earlier one.
        (
            vec![
                by(1, at(10, put(1, 2, 1))),
                by(1, at(20, other_key(put(3, 4, 2)))),
                by(2, at(20, other_key(get(5, 6, 2)))),
                by(2, at(5, get(7, 8, 0))),
            ],
            [Some(Rule::SessionGoesBack), Some(Rule::StaleRead), None],
        ),
        // At the place that it reports, the read should have found the second write.
        (
            with(&[by(2, at(25, get(5, 6, 1)))]),
            [Some(Rule::PlaceAgainstValue), Some(Rule::StaleRead), None],
        ),
        // Writes against real time.
        (
            vec![by(1, at(20, put(1, 2, 1))), by(2, at(10, put(3, 4, 2))), at(20, get(5, 6, 1))],
            [Some(Rule::PlaceAgainstTime), Some(Rule::StaleRead), None],
        ),
        // Two reads of concurrent writes see them in turn: regular allows that.
        (
            vec![
                at(10, put(1, 9, 1)),
                at(20, by(1, put(1, 9, 2))),
                by(2, at(20, get(2, 3, 2))),
                by(3, at(10, get(4, 5, 1))),
                by(2, at(20, get(6, 7, 2))),
            ],
            [None, None, None],
        ),
        (with(&[at(30, get(5, 6, 3))]), everywhere(Rule::ValueFromNowhere)),
        (with(&[at(30, get(5, 6, 3)), refused(put(5, 6, 3))]), everywhere(Rule::RefusedValueRead)),
        (with(&[at(20, get(0, 1, 2))]), everywhere(Rule::ReadBeforeWrite)),
        (
            vec![at(1, delete(1, 2, 1)), Operation { outcome: Outcome::Ok, ..at(1, get(3, 4, 1)) }],
            everywhere(Rule::ValueDespiteDelete),
        ),
        (
            vec![
                at(1, put(1, 2, 1)),
                Operation { outcome: Outcome::Absent, ..at(1, get(3, 4, 1)) },
            ],
            everywhere(Rule::AbsentDespiteValue),
        ),
    ]
}

const WEAKER: [Consistency; 3] =
    [Consistency::Sequential, Consistency::Regular, Consistency::Eventual];

#[test]
fn each_promise_forbids_what_it_should() {
    for (operations, rules) in planted() {
        for (promise, rule) in WEAKER.into_iter().zip(rules) {
            let said = judge(&operations, promise, None).err();
            assert_eq!(said, rule.map(Some), "{promise:?} {operations:#?}");
        }
        let verdict = check(&*operations, Consistency::Linearizable, u64::MAX, &|| 0).unwrap();
        assert!(matches!(verdict, Verdict::Violation { .. }), "{verdict}");
    }
}

#[test]
fn the_verdict_tells_the_promise_and_how_stale_reads_were() {
    let operations = [
        put(1_000_000, 1_500_000, 1),
        put(2_000_000, 2_500_000, 2),
        put(3_000_000, 3_500_000, 3),
        by(1, get(4_000_000, 5_000_000, 1)),
        by(1, get(6_000_000, 7_000_000, 3)),
    ];
    let said = |promise| check(&operations[..], promise, u64::MAX, &|| 0).unwrap();
    let eventual = said(Consistency::Eventual);
    assert!(eventual.is_pass() && eventual.violation().is_some());
    assert_eq!(
        eventual.to_string(),
        "eventual: yes, not linearizable, 5 ops, 50.000 % of 2 reads were stale, by up to 2 writes \
         and 1.500 ms; 0 went back, 0.0 s"
    );
    let regular = said(Consistency::Regular);
    assert!(!regular.is_pass());
    let text = regular.to_string();
    assert!(text.starts_with("NOT REGULAR: key 1: a value was read although"), "{text}");
    // Without places the order of the replicas is not known.
    assert!(matches!(said(Consistency::Sequential), Verdict::Undecidable { .. }));
    let linearizable = check(&operations[..3], Consistency::Eventual, u64::MAX, &|| 0).unwrap();
    assert!(matches!(linearizable, Verdict::Linearizable { .. }), "{linearizable}");
    let little = check(&operations[..], Consistency::Eventual, 1_000, &|| 0).unwrap();
    assert!(matches!(little, Verdict::Undecidable { .. }), "{little}");
}

/// Puts and gets of one key by a few clients, with answers that are often old.
fn random_history(random: &mut Random) -> Vec<Operation> {
    let count = 2 + random.below(10);
    let mut operations = vec![];
    for id in 1..=count {
        let start_ns = 1 + random.below(30);
        let operation = match random.below(4) {
            0 => unknown(put(start_ns, 0, id)),
            1 => put(start_ns, start_ns + random.below(8), id),
            2 => delete(start_ns, start_ns + random.below(8), id),
            _ => get(start_ns, start_ns + random.below(8), random.below(count + 1)),
        };
        operations.push(operation);
    }
    let deletes: Vec<u64> = (operations.iter())
        .filter(|operation| operation.kind == Kind::Delete)
        .map(|delete| delete.written)
        .collect();
    for get in operations.iter_mut().filter(|operation| operation.kind == Kind::Get) {
        if deletes.contains(&get.observed) {
            get.outcome = Outcome::Absent;
        }
    }
    operations
}

/// Writes that began after the one that was read had ended, and ended before the read began.
fn missed<'a>(operations: &'a [Operation], read: &Operation) -> Vec<&'a Operation> {
    let written = operations.iter().filter(|operation| operation.kind != Kind::Get);
    let writer = written.clone().find(|write| write.written == read.observed);
    let after_ns = writer.map(|writer| writer.end_ns);
    written
        .filter(|write| {
            write.end_ns < read.start_ns
                && after_ns.is_none_or(|after_ns| write.start_ns > after_ns)
        })
        .collect()
}

#[test]
fn staleness_is_what_the_definition_says() {
    let mut random = Random::new(7);
    let (mut regular, mut stale) = (0, 0);
    for _ in 0..100_000 {
        let operations = random_history(&mut random);
        let Ok(found) = judge(&operations, Consistency::Eventual, None) else { continue };
        let reads: Vec<&Operation> =
            operations.iter().filter(|operation| operation.kind == Kind::Get).collect();
        let all: Vec<_> = reads.iter().map(|read| (read, missed(&operations, read))).collect();
        let late = |read: &Operation, missed: &[&Operation]| {
            missed.iter().map(|write| read.start_ns - write.end_ns).max().unwrap_or(0)
        };
        let expected = Staleness {
            reads: reads.len() as u64,
            stale: all.iter().filter(|(_, missed)| !missed.is_empty()).count() as u64,
            writes_max: all.iter().map(|(_, missed)| missed.len() as u64).max().unwrap_or(0),
            ns_max: all.iter().map(|(read, missed)| late(read, missed)).max().unwrap_or(0),
            backward: 0,
        };
        assert_eq!(found, expected, "{operations:#?}");
        let is_regular = judge(&operations, Consistency::Regular, None).is_ok();
        assert_eq!(is_regular, expected.stale == 0);
        regular += u64::from(is_regular);
        stale += u64::from(!is_regular);
    }
    // Both must be common, or the comparison says little.
    assert!(regular > 10_000 && stale > 2_000, "{regular} regular, {stale} stale");
}

#[test]
fn mutants_are_killed() {
    for mutant in [Mutant::StaleIsRegular, Mutant::SessionsMayGoBack] {
        let is_killed = planted().iter().any(|(operations, _)| {
            WEAKER.iter().any(|&promise| {
                judge(operations, promise, Some(mutant)) != judge(operations, promise, None)
            })
        });
        assert!(is_killed, "{mutant:?}");
    }
}
