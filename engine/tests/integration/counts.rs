//! What one operation costs, as closed forms in the number of replicas: in the simulator for all sizes
//! of clusters, on the engine for some.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::thread;

use synod::count::Question;

use crate::support;

/// Messages, delays and forced writes for so many replicas.
type ClosedForm = fn(u64) -> [u64; 3];

/// A stable leader: the batch to each other replica and an acknowledgement from it; what is committed
/// travels with the next batch.
const LEADER: ClosedForm = |n| [2 * (n - 1), 4, n];
/// The same, but commits are messages of their own.
const LEADER_WITH_COMMITS: ClosedForm = |n| [3 * (n - 1), 4, n];
/// A coordinator asks all others twice, and all write.
const TWO_PHASES: ClosedForm = |n| [4 * (n - 1), 6, n];
/// Both phases for each slot, then everybody learns; promises and votes are written.
const PAXOS: ClosedForm = |n| [5 * (n - 1), 6, 2 * n];
/// A coordinator asks all others once.
const ONE_PHASE: ClosedForm = |n| [2 * (n - 1), 4, 0];
const ALONE: ClosedForm = |_| [0, 2, 1];

/// Protocol, parameters, operation, and what it costs.
type Form = (&'static str, &'static str, &'static str, ClosedForm);

/// The delays of registers are those of their papers plus the way to the replica that coordinates and
/// back, which there is the client itself.
const FORMS: &[Form] = &[
    ("unreplicated", "", "put", ALONE),
    ("multi_paxos", "", "put", LEADER),
    ("multi_paxos", "", "get", LEADER),
    ("paxos", "", "put", PAXOS),
    ("raft", "", "put", LEADER),
    ("viewstamped", "", "put", LEADER),
    ("zab", "", "put", LEADER_WITH_COMMITS),
    ("abd", "", "put", TWO_PHASES),
    ("abd", "", "get", ONE_PHASE),
    ("quorum", "", "put", TWO_PHASES),
    ("quorum", "", "get", ONE_PHASE),
    ("quorum", "query: false, read_repair: false", "put", |n| [2 * (n - 1), 4, n]),
];

fn simulated(replicas: u8) {
    for &(protocol, parameters, operation, form) in FORMS {
        let question = Question { protocol, parameters, replicas, operation, simulated: true };
        let counts = question.ask().unwrap();
        let said = format!("{protocol} {operation}, {replicas} replicas: {counts:?}");
        assert_eq!(counts.whole(), Some(form(replicas.into())), "{said}");
    }
}

/// The command itself is asked, because replicas on the engine are processes of its own program.
fn on_the_engine(&(protocol, parameters, operation, form): &Form) {
    let output = support::synod()
        .args(["count", protocol, "--with", parameters, "--operations", operation])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let row = said.lines().find(|line| line.contains("engine")).unwrap_or_default();
    let counts: Vec<u64> =
        row.split(|c: char| !c.is_ascii_digit()).filter_map(|it| it.parse().ok()).collect();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(counts, form(3), "{protocol} {operation}: {said}{error}");
}

#[test]
fn simulated_operations_cost_what_papers_say() {
    thread::scope(|scope| {
        for replicas in [3, 4, 5, 7, 9] {
            scope.spawn(move || simulated(replicas));
        }
    });
}

#[test]
fn operations_on_the_engine_cost_what_papers_say() {
    thread::scope(|scope| {
        for forms in FORMS.chunks(2) {
            scope.spawn(|| forms.iter().for_each(on_the_engine));
        }
    });
}
