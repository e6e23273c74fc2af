//! No text makes the reader panic, and every key refuses what it cannot be.

use std::path::Path;

use synod_workloads::{Concern, Random, load, reference};

use crate::support;

const SAMPLES: [&str; 3] = [
    include_str!("../../quickstart.yaml"),
    include_str!("../../faults/kill.yaml"),
    include_str!("everything.yaml"),
];

fn read_and_render(text: &str, overrides: &[String]) -> bool {
    match load(Path::new("damaged.yaml"), text, &support::catalog(), overrides) {
        Ok(workload) => {
            let yaml = workload.to_yaml(&support::catalog());
            let again = load(Path::new("again.yaml"), &yaml, &support::catalog(), &[]);
            assert_eq!(again.as_ref(), Ok(&workload), "{yaml}");
            true
        }
        Err(said) => {
            assert!(!said.to_string().is_empty() && !said.render(false).is_empty());
            false
        }
    }
}

#[test]
fn damaged_text_is_read_or_refused() {
    const PIECES: [&str; 16] = [
        "", "\n", " ", ":", "- ", "{", "}", "[", "]", "\"", "&a ", "0", "-1", "null", "\u{e9}",
        "zipfian",
    ];
    let mut random = Random::new(1, Concern::Load);
    let mut below = |limit: usize| usize::try_from(random.below(limit as u64)).unwrap();
    for _ in 0..600 {
        let mut text: Vec<char> = SAMPLES[below(SAMPLES.len())].chars().collect();
        for _ in 0..=below(4) {
            let start = below(text.len());
            let end = (start + below(12)).min(text.len());
            text.splice(start..end, PIECES[below(PIECES.len())].chars());
        }
        read_and_render(&text.into_iter().collect::<String>(), &[]);
    }
}

#[test]
fn a_sample_with_every_key_is_read() {
    let said = load(Path::new("w.yaml"), SAMPLES[2], &support::catalog(), &[]);
    assert!(read_and_render(SAMPLES[2], &[]), "{}", said.unwrap_err());
}

#[test]
fn every_key_refuses_what_it_cannot_be() {
    let text = reference(&support::catalog());
    let paths = text.lines().filter(|line| !line.starts_with(' ') && !line.contains('['));
    for path in paths {
        for junk in ["{ no_such: { key: [1] } }", "[[[]], 7]", "'"] {
            let set = [format!("{path}={junk}")];
            assert!(!read_and_render(SAMPLES[2], &set), "{set:?} was taken");
        }
        for odd in ["", "0", "1e300", "{}", "[]", "''"] {
            read_and_render(SAMPLES[2], &[format!("{path}={odd}")]);
        }
    }
}
