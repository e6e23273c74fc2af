//! Every mutant of the checker must be killed by a planted history.

use super::Mutant;
use super::planted::{Said, faults, misplaced, placed, said, sound};
use super::{put, unknown};
use crate::check::Methods;
use crate::history::Operation;
use crate::random::Random;

/// Orders in which the planted histories are tried.
const TRIALS: u64 = 100;

/// The name of each mutant.
const MUTANTS: &[(&str, Mutant)] = &[
    ("skips backward zones", Mutant::SkipBackwardZones),
    ("ignores unanswered writes", Mutant::IgnoreUnansweredWrites),
    ("compares a zone with itself", Mutant::CompareWithItself),
    ("no answer means success", Mutant::TimeoutIsOk),
    ("an empty history is checked", Mutant::EmptyIsChecked),
    ("witness order ignores real time", Mutant::WitnessIgnoresTime),
    ("witness ignores failed cas", Mutant::WitnessIgnoresFailedSwaps),
];

/// A history of which it is known what is to be said.
struct Planted {
    name: String,
    operations: Vec<Operation>,
    truth: Said,
}

fn planted() -> Vec<Planted> {
    let broken = faults().into_iter().chain(misplaced()).map(|(rule, operations)| Planted {
        name: format!("{rule:?}"),
        operations,
        truth: Said::Breaks(rule),
    });
    let right = [(sound(), Methods::Zones), (placed(), Methods::ZonesAndWitness)]
        .into_iter()
        .flat_map(|(histories, methods)| {
            histories.into_iter().map(move |operations| (operations, Said::Passes(methods)))
        })
        .map(|(operations, truth)| Planted { name: "NothingWrong".to_owned(), operations, truth });
    let vacuous = [vec![], vec![unknown(put(1, 2, 1))]].map(|operations| Planted {
        name: "NothingAnswered".to_owned(),
        operations,
        truth: Said::Undecidable,
    });
    broken.chain(right).chain(vacuous).collect()
}

/// After how many histories a mutant is killed in each trial, in ascending order, and what the
/// histories are called that kill it.
fn killed(mutant: Mutant, planted: &[Planted]) -> (Vec<usize>, Vec<&str>) {
    let kills: Vec<bool> = planted
        .iter()
        .map(|history| said(&history.operations, Some(mutant)) != history.truth)
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for (history, _) in planted.iter().zip(&kills).filter(|(_, kills)| **kills) {
        if !names.contains(&history.name.as_str()) {
            names.push(&history.name);
        }
    }
    let mut random = Random::new(1);
    let mut tried: Vec<usize> = (0..TRIALS)
        .filter_map(|_| {
            let mut order = kills.clone();
            for at in 1..order.len() {
                let other = random.below(at as u64 + 1);
                order.swap(at, usize::try_from(other).unwrap());
            }
            order.iter().position(|kills| *kills).map(|at| at + 1)
        })
        .collect();
    tried.sort_unstable();
    (tried, names)
}

#[test]
fn every_mutant_is_killed() {
    let planted = planted();
    for history in &planted {
        assert_eq!(said(&history.operations, None), history.truth, "{}", history.name);
    }
    println!("\n{:<13} {:<38} {:<24} median   p95   max", "checker", "mutant", "killed by");
    let mut survivors = Vec::new();
    for &(name, mutant) in MUTANTS {
        let (tried, killers) = killed(mutant, &planted);
        let rank = |percent: usize| tried.get((tried.len() * percent).div_ceil(100).max(1) - 1);
        match (rank(50), rank(95), tried.last()) {
            (Some(median), Some(p95), Some(max)) => println!(
                "{:<13} {name:<38} {:<24} {median:>6} {p95:>5} {max:>5}",
                "self-test", killers[0],
            ),
            _ => {
                println!("{:<13} {name:<38} survived", "self-test");
                survivors.push(name);
            }
        }
    }
    println!(
        "{} mutants, {} killed; each by one of {} planted histories",
        MUTANTS.len(),
        MUTANTS.len() - survivors.len(),
        planted.len()
    );
    assert_eq!(survivors, [""; 0], "so many mutants survived");
}
