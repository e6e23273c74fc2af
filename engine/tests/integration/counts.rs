//! What one operation costs, held against closed forms in the number of replicas: in the simulator for
//! all sizes of clusters, on the engine for some. The list of protocols is made of the same forms.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod forms;
mod list;

use std::thread;

use forms::{APART, FORMS, Form};
use synod::count::Question;

use crate::support;

/// Messages, delays and forced writes for so many replicas.
fn expected(form: &Form, replicas: u64) -> [u64; 3] {
    [form.cost.messages, form.cost.delays, form.cost.writes].map(|count| count.at(replicas))
}

fn simulated(replicas: u8) {
    for form in FORMS.iter().filter(|form| form.replicas_min <= replicas.into()) {
        let Form { protocol, with: parameters, operation, .. } = *form;
        let (managers, simulated) = (replicas, true);
        let question = Question { protocol, parameters, replicas, managers, operation, simulated };
        let counts = question.ask().unwrap();
        let said = format!("{protocol} {operation}, {replicas} replicas: {counts:?}");
        assert_eq!(counts.whole(), Some(expected(form, replicas.into())), "{said}");
    }
}

/// The command itself is asked, because replicas on the engine are processes of its own program.
fn on_the_engine(form: &Form) {
    let Form { protocol, with, operation, .. } = *form;
    let output = support::synod()
        .args(["count", protocol, "--with", with, "--operations", operation])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let row = said.lines().find(|line| line.contains("engine")).unwrap_or_default();
    let counts: Vec<u64> =
        row.split(|c: char| !c.is_ascii_digit()).filter_map(|it| it.parse().ok()).collect();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(counts, expected(form, 3), "{protocol} {operation}: {said}{error}");
}

#[test]
fn simulated_operations_cost_what_papers_say() {
    thread::scope(|scope| {
        for replicas in [3, 4, 5, 7, 9] {
            scope.spawn(move || simulated(replicas));
        }
    });
}

/// Replicas that a cluster has at most.
const REPLICAS_MAX: u64 = 9;

#[test]
fn transactions_of_managers_apart_cost_what_papers_say() {
    thread::scope(|scope| {
        for managers in [3_u64, 4, 5, 6, 7, 8] {
            scope.spawn(move || {
                for (apart, form) in APART.iter().filter(|(it, _)| it + managers <= REPLICAS_MAX) {
                    let Form { protocol, with: parameters, operation, .. } = *form;
                    let replicas = u8::try_from(managers + apart).unwrap();
                    let (narrow, simulated) = (u8::try_from(managers).unwrap(), true);
                    let question = Question {
                        protocol,
                        parameters,
                        replicas,
                        managers: narrow,
                        operation,
                        simulated,
                    };
                    let counts = question.ask().unwrap();
                    let said = format!("{protocol} {parameters}, {managers} managers: {counts:?}");
                    assert_eq!(counts.whole(), Some(expected(form, managers)), "{said}");
                }
            });
        }
    });
}

#[test]
fn operations_on_the_engine_cost_what_papers_say() {
    thread::scope(|scope| {
        for forms in FORMS.chunks(2) {
            let possible = forms.iter().filter(|form| form.replicas_min <= 3);
            scope.spawn(move || possible.for_each(on_the_engine));
        }
    });
}
