//! The functions that are fuzzed, on the bytes that fuzzing found worth keeping and on others drawn
//! from a seed: what `engine/fuzz` does, as far as it needs no nightly compiler.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::fs;
use std::path::Path;

use synod::fuzzing::TARGETS;

const INPUTS: u64 = 20_000;
const INPUT_BYTES_MAX: u64 = 600;
const CORPUS_FILES_MAX: usize = 100;
const CORPUS_FILE_BYTES_MAX: usize = 4096;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> usize {
        // Xorshift, by Marsaglia.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % bound.max(1)).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Something new, or something of the corpus with a few changes.
fn draw(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    if random.below(4) == 0 {
        let length = random.below(INPUT_BYTES_MAX);
        return (0..length).map(|_| random.byte()).collect();
    }
    let mut bytes = corpus[random.below(corpus.len() as u64)].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() as u64);
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.byte()),
            2 => {
                let other = &corpus[random.below(corpus.len() as u64)];
                bytes
                    .extend_from_slice(&other[random.below(other.len() as u64).min(other.len())..]);
                bytes.truncate(CORPUS_FILE_BYTES_MAX);
            }
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ if at < bytes.len() => bytes[at] = random.byte(),
            _ => {}
        }
    }
    bytes
}

/// Takes the corpus of a target and twenty thousand other inputs.
fn replay(name: &str) {
    let place = TARGETS.iter().position(|(target, _)| *target == name).unwrap();
    let target = TARGETS[place].1;
    let corpus = corpus(name);
    assert!((1..=CORPUS_FILES_MAX).contains(&corpus.len()), "{name}: {}", corpus.len());
    assert!(corpus.iter().all(|bytes| bytes.len() <= CORPUS_FILE_BYTES_MAX), "{name}");
    corpus.iter().for_each(|bytes| target(bytes));
    let mut random = Random(place as u64 + 0x9e37_79b9_7f4a_7c15);
    for _ in 0..INPUTS {
        target(&draw(&mut random, &corpus));
    }
}

#[test]
fn frame() {
    replay("frame");
}

#[test]
fn handshake() {
    replay("handshake");
}

#[test]
fn log_open() {
    replay("log_open");
}

#[test]
fn snapshot_open() {
    replay("snapshot_open");
}

#[test]
fn yaml() {
    replay("yaml");
}

#[test]
fn history() {
    replay("history");
}

#[test]
fn control() {
    replay("control");
}

#[test]
fn protocol_step() {
    replay("protocol_step");
}

#[test]
fn each_target_is_replayed_and_has_a_corpus() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut names: Vec<_> = fs::read_dir(corpora)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(names, targets);
}
