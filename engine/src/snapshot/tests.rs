use super::*;
use crate::apply::apply_batch;
use crate::store::StoreLimits;
use crate::store::model::{Random, random_command};
use synod_protocols::command::{Command, SessionId};

const IDENTITY: SnapshotIdentity = SnapshotIdentity { cluster: 0xc1, group: 3 };
const LIMITS: StoreLimits =
    StoreLimits { keys_expected: 8, keys_max: 1000, large_bytes_max: 1 << 20 };
const SESSIONS: usize = 12;

/// Commands of sessions that repeat themselves, are late, and are more than the table holds.
struct Clients {
    random: Random,
    /// The latest command of each session, and an earlier one.
    latest: Vec<(u64, Vec<u8>, Vec<u8>)>,
}

impl Clients {
    fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), latest: vec![(0, Vec::new(), Vec::new()); 16] }
    }

    fn batch(&mut self) -> Vec<u8> {
        let mut batch = Vec::new();
        for _ in 0..self.random.below(6) {
            let number = self.random.below(16);
            let (sequence, last, earlier) = &mut self.latest[synod_protocols::bytes::index(number)];
            match self.random.below(10) {
                0 | 1 => batch.extend_from_slice(last),
                2 => batch.extend_from_slice(earlier),
                _ => {
                    *sequence += 1;
                    let mut value = Vec::new();
                    let command = random_command(&mut self.random, *sequence, &mut value);
                    std::mem::swap(last, earlier);
                    last.clear();
                    Command { session: SessionId(1 + number), ..command }.encode(last);
                    batch.extend_from_slice(last);
                }
            }
        }
        batch
    }
}

fn contents(store: &Store) -> Vec<(u64, u64, bool, Vec<u8>)> {
    let taken = (0..store.slots()).filter_map(|slot| store.tagged_at(slot));
    let mut contents: Vec<_> = taken
        .map(|(key, tagged)| (key, tagged.version, tagged.tombstone, tagged.value.to_vec()))
        .collect();
    contents.sort_unstable();
    contents
}

fn session_contents(sessions: &Sessions) -> Vec<[u64; 3]> {
    let taken = (0..sessions.slots()).filter_map(|slot| sessions.entry_at(slot));
    let mut contents: Vec<_> =
        taken.map(|entry| [entry.session, entry.sequence_and_outcome, entry.version]).collect();
    contents.sort_unstable();
    contents
}

fn install(chunks: &[Vec<u8>]) -> Result<Restored, SnapshotError> {
    let mut install = Install::new(IDENTITY, LIMITS, SESSIONS);
    for chunk in chunks {
        match install.chunk(chunk)? {
            Installing::More(next) => install = next,
            Installing::Done(restored) => return Ok(restored),
        }
    }
    panic!("the last chunk is missing");
}

/// A state, its log, and a capture of it taken while commands went on.
struct Scene {
    store: Store,
    sessions: Sessions,
    clients: Clients,
    log: Vec<(u64, Vec<u8>)>,
    applied: u64,
    slot: u64,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let (store, sessions) = (Store::new(LIMITS), Sessions::new(SESSIONS));
        Self { store, sessions, clients: Clients::new(seed), log: vec![], applied: 0, slot: 0 }
    }

    fn run(&mut self, batches: u64) {
        for _ in 0..batches {
            self.slot += 1;
            let (base, batch) = (self.slot << 20, self.clients.batch());
            let commands = synod_protocols::command::Commands::new(&batch).count() as u64;
            apply_batch(base, &batch, &mut self.store, &mut self.sessions, |_, _| {});
            if commands > 0 {
                self.applied = base + commands - 1;
                self.log.push((base, batch));
            }
        }
    }

    fn capture(&mut self, budget_bytes: usize) -> Vec<Vec<u8>> {
        let mut capture = Capture::begin(IDENTITY, self.applied, &self.store, &self.sessions);
        assert_eq!(capture.start(), self.applied);
        let mut chunks = Vec::new();
        loop {
            let mut chunk = Vec::new();
            let (store, sessions) = (&self.store, &self.sessions);
            let progress = capture.step(store, sessions, self.applied, budget_bytes, &mut chunk);
            assert_eq!(next_chunk_bytes(&chunk), Some(chunk.len()));
            chunks.push(chunk);
            if progress == Progress::Done {
                return chunks;
            }
            self.run(2);
        }
    }

    /// Replays the whole log from the start of the snapshot, and expects the state of now.
    fn check(&self, mut restored: Restored) {
        let (start, end) = (restored.start(), restored.end());
        let after = |version: u64| self.log.iter().filter(move |(base, _)| *base > version);
        for (base, batch) in after(start).filter(|(base, _)| *base <= end) {
            restored.replay(*base, batch);
        }
        let (mut store, mut sessions) = restored.finish();
        for (base, batch) in after(end) {
            apply_batch(*base, batch, &mut store, &mut sessions, |_, _| {});
        }
        assert!(contents(&store) == contents(&self.store), "the tables differ");
        assert_eq!(session_contents(&sessions), session_contents(&self.sessions));
    }
}

#[test]
fn a_capture_among_commands_restores_the_same_state() {
    let mut rehashes = 0;
    for seed in 0..1500 {
        let mut scene = Scene::new(seed);
        scene.run(seed % 40);
        let rehashes_before = scene.store.rehashes();
        let chunks = scene.capture(64 + synod_protocols::bytes::index(seed % 7) * 100);
        rehashes += scene.store.rehashes() - rehashes_before;
        scene.run(20);
        scene.check(install(&chunks).unwrap());
    }
    assert!(rehashes > 100, "tables grew during captures: {rehashes}");
}

#[test]
fn a_snapshot_of_nothing_is_a_snapshot() {
    let mut scene = Scene::new(1);
    let chunks = scene.capture(1 << 20);
    scene.check(install(&chunks).unwrap());
}

#[test]
fn chunks_that_are_damaged_or_out_of_order_are_refused() {
    let mut scene = Scene::new(5);
    scene.run(50);
    let chunks = scene.capture(256);
    for bit in 0..chunks[1].len() * 8 {
        let mut flipped = chunks.clone();
        flipped[1][bit / 8] ^= 1 << (bit % 8);
        assert_eq!(install(&flipped).unwrap_err(), SnapshotError::Damaged { chunk: 1 });
    }
    for length in 0..chunks[2].len() {
        let mut cut = chunks.clone();
        cut[2].truncate(length);
        assert_eq!(install(&cut).unwrap_err(), SnapshotError::Damaged { chunk: 2 });
    }
    let mut swapped = chunks.clone();
    swapped.swap(2, 3);
    assert_eq!(install(&swapped).unwrap_err(), SnapshotError::OutOfOrder { chunk: 2 });
    scene.run(5);
    let mut mixed = chunks.clone();
    mixed[2] = scene.capture(256)[2].clone();
    assert_eq!(install(&mixed).unwrap_err(), SnapshotError::OutOfOrder { chunk: 2 });
    let other = SnapshotIdentity { group: 4, ..IDENTITY };
    let refused = Install::new(other, LIMITS, SESSIONS).chunk(&chunks[0]).unwrap_err();
    assert_eq!(refused.to_string(), "the snapshot belongs to group 3 of cluster c1");
    let fewer = Install::new(IDENTITY, LIMITS, 1).chunk(&chunks[0]);
    assert_eq!(fewer.unwrap_err(), SnapshotError::Impossible { chunk: 0 });
}
