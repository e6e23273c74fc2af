//! What one operation costs, held against closed forms in the number of replicas: in the simulator for
//! all sizes of clusters, on the engine for some. The list of protocols is made of the same forms.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod forms;
mod list;

use std::thread;

use forms::{APART, FORMS, Form};
use synod::count::Question;
use synod_protocols::types::REPLICAS_MAX;

use crate::support;

/// Whether there are clusters of so many replicas.
const fn is_cluster(replicas: u64) -> bool {
    replicas <= REPLICAS_MAX as u64
}

fn simulated(executing: u8) {
    let is_possible = |form: &&Form| form.replicas_min <= executing.into();
    for form in FORMS.iter().filter(is_possible) {
        let fits = |beside: &u8| is_cluster(u64::from(executing + beside));
        for beside in form.beside.tried().filter(fits) {
            let Form { protocol, with: parameters, operation, .. } = *form;
            let [observers, witnesses] = form.beside.roles(beside);
            let replicas = executing + beside;
            let question = Question {
                protocol,
                parameters,
                replicas,
                observers,
                witnesses,
                managers: replicas,
                operation,
                simulated: true,
            };
            let counts = question.ask().unwrap();
            let said = format!("{protocol} {operation}, {replicas} replicas: {counts:?}");
            assert_eq!(counts.whole(), Some(form.at(executing, beside)), "{said}");
        }
    }
}

/// How often the engine is asked, until it says what is expected. Where the machine does other work a
/// timer may go off meanwhile, and what is sent again is counted, too.
const QUESTIONS_MAX: usize = 3;

fn on_the_engine(form: &Form, beside: u8) {
    let expected = form.at(3, beside);
    for question in 1..=QUESTIONS_MAX {
        let (counts, said) = ask_the_engine(form, beside);
        if counts == expected {
            return;
        }
        assert_ne!(question, QUESTIONS_MAX, "{expected:?} expected of {}: {said}", form.protocol);
    }
}

/// Messages, delays and forced writes, and all that was said. The command itself is asked, because
/// replicas on the engine are processes of its own program.
fn ask_the_engine(form: &Form, beside: u8) -> (Vec<u64>, String) {
    let Form { protocol, with, operation, .. } = *form;
    let [observers, witnesses] = form.beside.roles(beside).map(|count| count.to_string());
    let replicas = (3 + beside).to_string();
    let output = support::synod()
        .args(["count", protocol, "--with", with, "--operations", operation])
        .args(["--replicas", &replicas, "--observers", &observers, "--witnesses", &witnesses])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let row = said.lines().find(|line| line.contains("engine")).unwrap_or_default();
    let counts = row.split(|c: char| !c.is_ascii_digit()).filter_map(|it| it.parse().ok());
    (counts.collect(), format!("{said}{}", String::from_utf8_lossy(&output.stderr)))
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
fn transactions_of_managers_apart_cost_what_papers_say() {
    thread::scope(|scope| {
        for managers in [3_u64, 4, 5, 6, 7, 8] {
            scope.spawn(move || {
                for (apart, form) in APART.iter().filter(|(it, _)| is_cluster(it + managers)) {
                    let Form { protocol, with: parameters, operation, .. } = *form;
                    let replicas = u8::try_from(managers + apart).unwrap();
                    let (narrow, simulated) = (u8::try_from(managers).unwrap(), true);
                    let question = Question {
                        protocol,
                        parameters,
                        replicas,
                        observers: 0,
                        witnesses: 0,
                        managers: narrow,
                        operation,
                        simulated,
                    };
                    let counts = question.ask().unwrap();
                    let said = format!("{protocol} {parameters}, {managers} managers: {counts:?}");
                    assert_eq!(counts.whole(), Some(form.at(narrow, 0)), "{said}");
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
            scope.spawn(move || {
                for form in possible {
                    form.beside.tried().for_each(|beside| on_the_engine(form, beside));
                }
            });
        }
    });
}
