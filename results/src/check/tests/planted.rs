//! Histories with one planted fault each, and histories that look wrong and are not.

use super::super::{
    Broken, Consistency, Finding, HistoryFile, Methods, Rule, Verdict, Violation, check, run,
};
use super::*;
use crate::history::HistoryWriter;

/// Each rule with histories that break it and nothing else.
pub(super) fn faults() -> Vec<(Rule, Vec<Operation>)> {
    vec![
        // A stale read: 1 is read after 2 was written.
        (Rule::OverwrittenButRead, vec![put(1, 2, 1), put(3, 4, 2), get(5, 6, 1)]),
        // A lost update: the key is still empty after a put.
        (Rule::OverwrittenButRead, vec![put(1, 2, 1), get(3, 4, 0)]),
        // A deleted value comes back.
        (Rule::OverwrittenButRead, vec![put(1, 2, 1), delete(3, 4, 2), get(5, 6, 1)]),
        // New-old inversion: of two concurrent puts 2 is read, then 1, then 2 again.
        (
            Rule::OverwrittenButRead,
            vec![put(0, 100, 1), put(0, 100, 2), get(11, 12, 2), get(13, 14, 1), get(15, 16, 2)],
        ),
        // The same with puts that ended early.
        (Rule::BothCurrent, vec![put(0, 10, 1), put(0, 10, 2), get(11, 12, 2), get(13, 14, 1)]),
        // A value without an answer, seen and then not.
        (
            Rule::BothCurrent,
            vec![put(0, 1, 1), unknown(put(2, 3, 2)), get(4, 5, 2), get(6, 7, 1), get(8, 9, 2)],
        ),
        (Rule::ValueFromNowhere, vec![put(1, 2, 1), get(3, 4, 9)]),
        (Rule::ValueFromNowhere, vec![cas(1, 2, 9, 1)]),
        (Rule::ReadBeforeWrite, vec![get(1, 2, 1), put(3, 4, 1)]),
        (Rule::RefusedValueRead, vec![refused(put(1, 2, 1)), get(3, 4, 1)]),
        (
            Rule::FailedValueRead,
            vec![Operation { outcome: Outcome::Absent, ..cas(1, 2, 7, 1) }, get(3, 4, 1)],
        ),
        (Rule::TwoSwapsOfOneValue, vec![put(1, 2, 1), cas(3, 4, 1, 2), cas(3, 5, 1, 3)]),
        (Rule::TwoSwapsOfOneValue, vec![cas(3, 4, 0, 2), unknown(cas(3, 5, 0, 3)), get(6, 7, 3)]),
        // A value is read after a swap had replaced it.
        (Rule::SwapAgainstTime, vec![put(1, 2, 1), cas(3, 4, 1, 2), get(5, 6, 1)]),
        (Rule::SwapAgainstTime, vec![cas(3, 4, 0, 2), cas(5, 6, 2, 3), get(7, 8, 2)]),
        (Rule::SwapCycle, vec![cas(1, 9, 2, 1), cas(1, 9, 1, 2)]),
        (
            Rule::MismatchDespiteMatch,
            vec![
                put(1, 2, 1),
                Operation { outcome: Outcome::Mismatch, observed: 1, ..cas(3, 4, 1, 2) },
            ],
        ),
        (
            Rule::AbsentDespiteValue,
            vec![put(1, 2, 1), Operation { outcome: Outcome::Absent, ..get(3, 4, 1) }],
        ),
        (Rule::ValueDespiteDelete, vec![delete(1, 2, 1), get(3, 4, 1)]),
        // A value always has a name: that of a key never written stands for none.
        (Rule::ValueUnnamed, vec![Operation { outcome: Outcome::Ok, ..get(3, 4, 0) }]),
        (
            Rule::ValueUnnamed,
            vec![
                put(1, 5, 1),
                Operation { outcome: Outcome::Mismatch, observed: 0, ..cas(3, 4, 1, 2) },
            ],
        ),
        (Rule::SumsOverlap, vec![add(1, 2, 1, 1), add(3, 4, 1, 1)]),
        (Rule::SumsOverlap, vec![add(1, 2, 5, 5), add(3, 4, 3, 7)]),
        (Rule::SumUnexplained, vec![add(1, 2, 1, 1), add(3, 4, 1, 3)]),
        (Rule::SumUnexplained, vec![unknown(add(9, 9, 1, 0)), add(3, 4, 1, 2)]),
        (
            Rule::SumUnexplained,
            vec![unknown(add(1, 2, 2, 0)), unknown(add(1, 2, 5, 0)), add(3, 4, 1, 4)],
        ),
        (Rule::SumsAgainstTime, vec![add(1, 2, 1, 2), add(3, 4, 1, 1)]),
        (Rule::SumsAgainstTime, vec![add(1, 2, 1, 1), get(3, 4, 0)]),
    ]
}

/// The same for what only the order of versions shows.
pub(super) fn misplaced() -> Vec<(Rule, Vec<Operation>)> {
    let mismatch = |observed| Operation { outcome: Outcome::Mismatch, observed, ..cas(1, 9, 7, 8) };
    vec![
        // Nobody read either value, so only the versions are wrong.
        (Rule::PlaceAgainstTime, vec![at(2, put(1, 2, 1)), at(1, put(3, 4, 2))]),
        (
            Rule::PlaceAgainstTime,
            vec![at(1, put(1, 9, 1)), at(2, get(2, 3, 1)), at(3, put(1, 1, 2))],
        ),
        // What was never answered was called too late for who found it.
        (
            Rule::PlaceAgainstTime,
            vec![
                at(1, put(1, 9, 1)),
                unknown(put(5, 9, 2)),
                at(2, get(5, 9, 2)),
                at(3, put(1, 4, 3)),
            ],
        ),
        (
            Rule::PlaceAgainstValue,
            vec![at(1, put(1, 9, 1)), at(3, put(1, 9, 2)), at(4, get(1, 9, 1))],
        ),
        (
            Rule::PlaceAgainstValue,
            vec![at(1, put(1, 9, 1)), at(2, put(1, 9, 2)), at(3, mismatch(1))],
        ),
        (Rule::PlaceAgainstValue, vec![at(1, put(1, 9, 1)), at(2, cas(1, 9, 0, 2))]),
        (Rule::PlaceAgainstValue, vec![at(1, add(1, 9, 1, 2)), at(2, add(1, 9, 1, 1))]),
        (
            Rule::PlaceAgainstValue,
            vec![
                at(1, put(1, 9, 1)),
                unknown(put(1, 9, 2)),
                at(2, get(1, 9, 2)),
                at(3, get(1, 9, 1)),
                at(4, get(1, 9, 2)),
            ],
        ),
        (Rule::PlaceShared, vec![at(1, put(1, 2, 1)), at(1, put(3, 4, 2))]),
        (Rule::PlaceMissing, vec![at(1, put(1, 2, 1)), put(3, 4, 2)]),
    ]
}

/// Histories that the order of versions explains, though one mistake makes each look wrong.
pub(super) fn placed() -> Vec<Vec<Operation>> {
    let mismatch = |observed| Operation { outcome: Outcome::Mismatch, observed, ..cas(1, 9, 7, 8) };
    vec![
        vec![at(2, put(1, 9, 1)), at(1, put(3, 4, 2)), at(3, get(5, 6, 1))],
        // A register's reads share the place of the write, in any order, also before its answer.
        vec![at(5, get(4, 5, 1)), at(5, put(1, 9, 1)), at(5, get(2, 3, 1)), get(1, 2, 0)],
        // What was never answered comes right before who found it.
        vec![at(1, put(1, 2, 1)), unknown(put(3, 4, 2)), at(3, get(5, 6, 2)), at(4, get(7, 8, 2))],
        vec![
            at(1, put(1, 2, 1)),
            unknown(cas(3, 4, 1, 2)),
            unknown(cas(3, 4, 2, 3)),
            at(4, get(5, 6, 3)),
            at(5, put(7, 8, 4)),
        ],
        vec![
            at(1, put(1, 2, 1)),
            unknown(delete(3, 4, 2)),
            at(3, Operation { outcome: Outcome::Absent, ..get(5, 6, 2) }),
        ],
        vec![at(1, put(1, 2, 1)), at(2, mismatch(1)), at(3, get(3, 4, 1))],
        vec![
            at(1, put(1, 2, 1)),
            refused(put(3, 4, 2)),
            unknown(get(3, 4, 0)),
            at(2, get(5, 6, 1)),
        ],
        vec![
            at(1, add(1, 9, 1, 1)),
            unknown(add(1, 2, 2, 0)),
            unknown(add(1, 2, 2, 0)),
            at(3, add(5, 9, 1, 4)),
            at(4, get(5, 9, 6)),
        ],
        vec![unknown(add(1, 2, 2, 0)), unknown(add(1, 2, 3, 0)), at(3, add(5, 9, 1, 4))],
    ]
}

/// Histories that are linearizable, though one mistake makes each look wrong.
pub(super) fn sound() -> Vec<Vec<Operation>> {
    vec![
        vec![get(1, 2, 0)],
        vec![put(1, 2, 1), get(3, 4, 1), put(5, 6, 2), get(7, 8, 2)],
        // Stamps that are equal overlap.
        vec![put(1, 3, 1), get(3, 5, 0), get(3, 5, 1)],
        vec![put(0, 100, 1), put(0, 100, 2), get(11, 12, 2), get(13, 14, 1)],
        // What was never answered may happen late, or not at all.
        vec![put(1, 2, 1), unknown(put(3, 4, 2)), get(10, 11, 1), get(12, 13, 2)],
        vec![put(1, 2, 1), unknown(put(3, 4, 2)), get(10, 11, 1), get(12, 13, 1)],
        vec![put(1, 2, 1), unknown(get(3, 4, 0)), get(5, 6, 1)],
        vec![put(1, 2, 1), unknown(cas(3, 4, 1, 2)), cas(5, 6, 1, 3), get(7, 8, 3)],
        vec![
            unknown(put(1, 2, 1)),
            unknown(cas(3, 4, 1, 2)),
            unknown(cas(3, 4, 2, 3)),
            get(7, 8, 3),
        ],
        vec![refused(put(1, 2, 1)), get(3, 4, 0)],
        vec![delete(1, 2, 1), Operation { outcome: Outcome::Absent, ..get(3, 4, 1) }],
        vec![cas(1, 9, 0, 1), cas(1, 9, 1, 2), cas(1, 9, 2, 3), get(1, 9, 0), get(1, 9, 2)],
        vec![add(1, 9, 1, 2), add(1, 9, 1, 1), get(1, 9, 0), get(10, 11, 2)],
        vec![unknown(add(1, 2, 1, 0)), add(3, 4, 1, 2), get(5, 6, 2)],
        vec![unknown(add(1, 2, 1, 0)), add(3, 4, 1, 1), get(5, 6, 2)],
        vec![unknown(add(1, 2, 2, 0)), unknown(add(1, 2, 5, 0)), add(3, 4, 1, 6), get(8, 9, 8)],
    ]
}

/// What the checker says of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Passes(Methods),
    Breaks(Rule),
    Undecidable,
}

pub(super) fn said(operations: &[Operation], mutant: Option<Mutant>) -> Said {
    match run(operations, u64::MAX, Broken { mutant }).unwrap() {
        Ok((_, _, methods)) => Said::Passes(methods),
        Err(Finding::Violation(violation)) => {
            let Violation { rule, operations, .. } = &*violation;
            // What a mutant sees need not be there.
            assert!(mutant.is_some() || (1..=6).contains(&operations.len()), "{violation}");
            Said::Breaks(*rule)
        }
        Err(Finding::Undecidable(_) | Finding::NotUnique | Finding::OfAccounts) => {
            Said::Undecidable
        }
    }
}

#[test]
fn every_planted_fault_is_caught_by_its_rule() {
    for (rule, mut operations) in faults().into_iter().chain(misplaced()) {
        assert_eq!(said(&operations, None), Said::Breaks(rule), "{operations:?}");
        operations.reverse();
        assert_eq!(said(&operations, None), Said::Breaks(rule), "reversed {operations:?}");
    }
}

#[test]
fn a_fault_is_found_among_many_keys() {
    let mut operations: Vec<Operation> = Vec::new();
    for key in 0..20_000 {
        for of_key in [put(1, 2, 1), get(3, 4, 1), put(5, 6, 2), get(7, 8, 2)] {
            operations.push(Operation { key, ..of_key });
        }
    }
    let clock_ns = || 0;
    let verdict =
        check(operations.as_slice(), Consistency::Linearizable, u64::MAX, &clock_ns).unwrap();
    assert_eq!(
        verdict,
        Verdict::Linearizable {
            operations: 80_000,
            keys: 20_000,
            methods: Methods::Zones,
            seconds: 0.0,
        }
    );
    assert!(verdict.to_string().starts_with("linearizable: yes, 80,000 ops, 20,000 keys, zones,"));
    operations.push(Operation { key: 12_345, ..get(9, 10, 1) });
    let Verdict::Violation { violation, .. } =
        check(operations.as_slice(), Consistency::Linearizable, u64::MAX, &clock_ns).unwrap()
    else {
        panic!("the stale read was missed");
    };
    assert_eq!((violation.key, violation.operations.len()), (12_345, 4), "{violation}");
}

#[test]
fn what_only_looks_wrong_passes() {
    for operations in sound() {
        assert_eq!(said(&operations, None), Said::Passes(Methods::Zones), "{operations:?}");
    }
    for operations in placed() {
        let expected = Said::Passes(Methods::ZonesAndWitness);
        assert_eq!(said(&operations, None), expected, "{operations:?}");
    }
}

#[test]
fn what_was_not_answered_was_not_checked() {
    for (operations, words) in [
        (vec![], "the history is empty"),
        (vec![unknown(put(1, 2, 1)), refused(put(1, 2, 2))], "none of 2 operations was answered"),
    ] {
        let verdict =
            check(operations.as_slice(), Consistency::Linearizable, u64::MAX, &|| 0).unwrap();
        assert!(!verdict.is_pass());
        assert!(verdict.to_string().contains(words), "{verdict}");
    }
}

#[test]
fn malformed_histories_are_undecidable_and_say_why() {
    let cases = [
        (vec![put(3, 2, 5)], "it ends before it starts"),
        (vec![put(1, 2, 0)], "it writes 0"),
        (vec![Operation { outcome: Outcome::Mismatch, ..get(1, 2, 0) }], "kind cannot end"),
        (vec![put(1, 2, 5), add(1, 2, 1, 1)], "also added to"),
    ];
    for (operations, words) in cases {
        let verdict =
            check(operations.as_slice(), Consistency::Linearizable, u64::MAX, &|| 0).unwrap();
        assert!(!verdict.is_pass());
        assert!(verdict.to_string().contains(words), "{verdict}");
    }
}

#[test]
fn a_file_is_checked_in_parts_that_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.bin");
    let mut writer = HistoryWriter::create(&path).unwrap();
    for round in 0..10_u64 {
        let start = round * 100;
        let block: Vec<Operation> = (0..5000)
            .map(|key| Operation { key, ..put(start, start + 1, round + 1) })
            .chain((0..5000).map(|key| Operation { key, ..get(start + 2, start + 3, round + 1) }))
            .map(|operation| at(round + 1, operation))
            .collect();
        writer.write_block(&block).unwrap();
    }
    writer.finish().unwrap();
    let file = HistoryFile::new(&path);
    for memory_bytes_max in [100_000, 1_000_000, 1_000_000_000] {
        let verdict = check(&file, Consistency::Linearizable, memory_bytes_max, &|| 0).unwrap();
        let expected = Verdict::Linearizable {
            operations: 100_000,
            keys: 5000,
            methods: Methods::ZonesAndWitness,
            seconds: 0.0,
        };
        assert_eq!(verdict, expected);
    }
    assert!(matches!(
        check(&file, Consistency::Linearizable, 1000, &|| 0).unwrap(),
        Verdict::Undecidable { .. }
    ));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(
        check(&file, Consistency::Linearizable, 1_000_000, &|| 0)
            .unwrap_err()
            .to_string()
            .contains("cut short")
    );
}
