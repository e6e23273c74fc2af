//! What is written for others comes back the same, and what others write wrongly is said.

use super::*;
use crate::check::{Consistency, Verdict, check};
use crate::history::{Kind, Operation, Outcome};

fn operation(kind: Kind, session: u32, start_ns: u64, end_ns: u64) -> Operation {
    Operation { kind, session, start_ns, end_ns, key: 7, ..Operation::default() }
}

/// One of every kind and outcome, among them what begins at the stamp of the answer before it.
fn varied() -> Vec<Operation> {
    let put = Operation { written: Operation::id(3, 1), ..operation(Kind::Put, 3, 5, 9) };
    let unknown = Operation {
        written: 12,
        outcome: Outcome::Unknown,
        end_ns: u64::MAX,
        ..operation(Kind::Put, 1, 6, 0)
    };
    let swap = Operation {
        expected: put.written,
        written: u64::MAX - 4,
        ..operation(Kind::CompareAndSwap, 3, 9, 12)
    };
    let failed = Operation {
        expected: 12,
        written: 1 << 63,
        observed: swap.written,
        outcome: Outcome::Mismatch,
        ..operation(Kind::CompareAndSwap, 1, 13, 14)
    };
    let delete = Operation { written: 40, ..operation(Kind::Delete, 3, 15, 16) };
    let absent =
        Operation { observed: 40, outcome: Outcome::Absent, ..operation(Kind::Get, 2, 17, 18) };
    let lost =
        Operation { outcome: Outcome::Unknown, end_ns: u64::MAX, ..operation(Kind::Get, 2, 19, 0) };
    let refused =
        Operation { written: 41, outcome: Outcome::Refused, ..operation(Kind::Put, 4, 19, 20) };
    let swap_of_nil =
        Operation { expected: 40, written: 42, ..operation(Kind::CompareAndSwap, 5, 21, 22) };
    let on = |key, operation| Operation { key, ..operation };
    let add = Operation { written: 2, observed: 2, ..operation(Kind::Add, 6, 1, 2) };
    let sum = Operation { observed: 2, ..operation(Kind::Get, 6, 3, 4) };
    let never = Operation { outcome: Outcome::Absent, ..operation(Kind::Get, 7, 30, 31) };
    let mut all = vec![on(8, add), on(8, sum), put, unknown, swap, failed, delete, absent];
    all.extend([lost, refused, swap_of_nil, on(9, never)]);
    all
}

fn edn(operations: &[Operation]) -> String {
    let mut text = Vec::new();
    write_edn(operations, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn is_pass(operations: &[Operation]) -> bool {
    check(operations, Consistency::Linearizable, u64::MAX, &|| 0).unwrap().is_pass()
}

#[test]
fn what_is_written_as_edn_comes_back() {
    let all = varied();
    assert!(
        is_pass(&all),
        "{:?}",
        check(all.as_slice(), Consistency::Linearizable, u64::MAX, &|| 0)
    );
    let mut back = read_edn("history.edn", &edn(&all)).unwrap();
    let mut expected = all;
    let order = |operation: &Operation| (operation.start_ns, operation.session, operation.kind);
    back.sort_by_key(order);
    expected.sort_by_key(order);
    assert_eq!(back, expected);
    assert!(edn(&expected).contains("[7 [nil 42]], :expects 40,"));
    let is_answered = |operation: &&mut Operation| operation.outcome != Outcome::Unknown;
    for (place, operation) in (0..).zip(expected.iter_mut().filter(is_answered)) {
        operation.version = u64::MAX - place;
    }
    let vector = format!("[{}]", edn(&expected));
    let mut back = read_edn("history.edn", &vector).unwrap();
    back.sort_by_key(order);
    assert_eq!(back, expected);
}

#[test]
fn a_process_of_jepsen_ends_with_info_and_calls_stand_before_answers() {
    let text = edn(&varied());
    let process = |line: &str| line[10..].split(',').next().unwrap().to_owned();
    let mut ended = std::collections::BTreeSet::new();
    let mut stamps: Vec<(u64, bool)> = Vec::new();
    for line in text.lines() {
        assert!(!ended.contains(&process(line)), "{line}");
        if line.contains(":info") {
            ended.insert(process(line));
        }
        let time = line.split(":time ").nth(1).unwrap().split(',').next().unwrap();
        stamps.push((time.parse().unwrap(), !line.contains(":invoke")));
    }
    assert_eq!(ended.len(), 2);
    assert!(stamps.is_sorted());
}

#[test]
fn a_history_that_jepsen_wrote_is_judged() {
    let stale = "\
; a comment
#jepsen.history.Op{:index 0, :time 1, :type :invoke, :process 0, :f :write, :value [1 0]}
{:index 1, :time 2, :type :ok, :process 0, :f :write, :value [1 0]}
{:index 2, :time 3, :type :info, :process :nemesis, :f :kill, :value \"n1 } \\\" ]\"}
{:index 3, :time 3, :type :invoke, :process 1, :f :write, :value [1 -3]}
{:index 4, :time 4, :type :ok, :process 1, :f :write, :value [1 -3]}
{:index 5, :time 5, :type :invoke, :process 2, :f :read, :value [1 nil]}
{:index 6, :time 6, :type :ok, :process 2, :f :read, :value [1 0]}
";
    let operations = read_edn("history.edn", stale).unwrap();
    assert_eq!(operations.len(), 3);
    let verdict = check(operations.as_slice(), Consistency::Linearizable, u64::MAX, &|| 0).unwrap();
    assert!(matches!(verdict, Verdict::Violation { .. }), "{verdict}");
    let text = verdict.to_string();
    assert!(text.contains("put -3 ") && text.contains("get: found 0"), "{text}");
    assert!(is_pass(
        &read_edn("history.edn", &stale.replace("read, :value [1 0]", "read, :value [1 -3]"))
            .unwrap()
    ));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let write = |process: u32, kind: &str, value: &str| {
        format!("{{:process {process} :type :{kind} :f :write :value {value}}}\n")
    };
    let first = write(0, "invoke", "[1 5]") + &write(0, "ok", "[1 5]");
    for (text, words) in [
        ("{:process 0".to_owned(), "h.edn:1: `{` is not closed: the text ends before `}`"),
        ("\n\n]".to_owned(), "h.edn:3: `]` closes nothing"),
        ("\n5".to_owned(), "h.edn:2: 5: is no operation"),
        ("{:type :invoke}".to_owned(), "h.edn:1: :process is missing; it is an integer"),
        (write(0, "invoke", "5"), "h.edn:1: :value 5: must be [key value]"),
        (write(0, "ok", "[1 5]"), "h.edn:1: :type :ok: process 0 has invoked nothing"),
        (write(0, "began", "[1 5]"), "h.edn:1: :type :began: must be :invoke"),
        (
            first.clone() + &write(0, "invoke", "[1 6]") + &write(0, "invoke", "[1 7]"),
            "h.edn:4: :process 0: invokes while what it invoked in line 3 is not completed",
        ),
        (
            first.clone() + &write(3, "invoke", "[1 5]"),
            "h.edn:3: process 3 writes 5 to key 1, as process 0 does in line 1: values",
        ),
        (
            first.clone() + &write(0, "invoke", "[1 6]") + &write(0, "ok", "[2 6]"),
            "h.edn:4: :f :write: completes :write of key 1 in line 3",
        ),
        (
            first.clone() + "{:process 0 :type :invoke :f :read :value [1 nil] :time 4}",
            "h.edn:3: :time: must be in all maps or in none",
        ),
        (
            first.clone() + &write(0, "invoke", "[1 nil]"),
            "h.edn:3: nil of key 1 may be the nil that line 3 writes",
        ),
        (write(0, "invoke", "[1 99999999999999999999]"), "h.edn:1: 99999999999999999999: integers"),
        ("[".repeat(100), "h.edn:1: values lie more than 32 deep"),
    ] {
        let error = read_edn("h.edn", &text).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}\nand not: {words}");
    }
    // What failed did not happen, so its value may be written again.
    let failed = write(0, "invoke", "[1 5]") + &write(0, "fail", "[1 5]") + &first;
    assert_eq!(read_edn("h.edn", &failed).unwrap().len(), 1);
}

#[test]
fn cut_and_flipped_edn_is_read_or_refused_and_never_panics() {
    let text = edn(&varied());
    for cut in 0..text.len() {
        if let Err(error) = read_edn("h.edn", &text[..cut]) {
            assert!(error.line > 0 && !error.what.is_empty());
        }
    }
    let mut random = crate::random::Random::new(3);
    for _ in 0..5000 {
        let mut bytes = text.clone().into_bytes();
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes[at] = random.next().to_le_bytes()[0] & 0x7f;
        if let Err(error) = read_edn("h.edn", std::str::from_utf8(&bytes).unwrap()) {
            assert!(error.to_string().starts_with("h.edn:"), "{error}");
        }
    }
}

#[test]
fn porcupine_gets_every_operation_that_happened() {
    let all = varied();
    let mut text = Vec::new();
    write_porcupine(&all, &mut text).unwrap();
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    let happened: Vec<&Operation> =
        all.iter().filter(|operation| operation.outcome != Outcome::Refused).collect();
    assert_eq!(entries.len(), happened.len());
    for (entry, operation) in entries.iter().zip(happened) {
        assert_eq!(entry["ClientId"], operation.session);
        assert_eq!(entry["Call"], operation.start_ns);
        assert_eq!(entry["Input"]["key"], operation.key.to_string());
        let is_unknown = operation.outcome == Outcome::Unknown;
        assert_eq!(entry.get("Return").is_none(), is_unknown);
        assert_eq!(entry.get("Output").is_none(), is_unknown);
        if !is_unknown {
            assert_eq!(entry["Return"], operation.end_ns);
        }
        let written = external(operation.written).to_string();
        match operation.kind {
            Kind::Put | Kind::Add | Kind::CompareAndSwap => {
                assert_eq!(entry["Input"]["value"], written)
            }
            Kind::Delete => assert!(entry["Input"]["value"].is_null()),
            Kind::Get if operation.outcome == Outcome::Absent => {
                assert!(entry["Output"]["value"].is_null());
            }
            Kind::Get if !is_unknown => {
                assert_eq!(entry["Output"]["value"], external(operation.observed).to_string());
            }
            Kind::Get | Kind::Transaction | Kind::Transfer => {}
        }
    }
    let mut none = Vec::new();
    write_porcupine(&[], &mut none).unwrap();
    assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&none).unwrap().len(), 0);
}
