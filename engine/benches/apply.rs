//! Nanoseconds per command of executing batches: 16-byte puts over a million keys.
//!
//! A replica has just received the batch that it executes, so it is in the cache, while the keys
//! are not: one buffer is filled with other keys in each round. `fill` is what that costs alone.

#![allow(missing_docs, reason = "the macros of criterion make public items without a comment")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use synod::apply::apply_batch;
use synod::sessions::{SESSIONS_DEFAULT, Sessions};
use synod::store::{Store, StoreLimits, Tagged};
use synod_protocols::command::{Command, Op, SessionId};

const KEYS: u64 = 1_000_000;
const VALUE: [u8; 16] = [7; 16];
const COMMAND_BYTES: usize = 48;

/// A batch of puts whose keys and sequences change from round to round.
struct Batch {
    bytes: Vec<u8>,
    random: u64,
    sequence: u64,
}

impl Batch {
    fn new(commands: u64, sessions: u64) -> Self {
        let mut bytes = Vec::new();
        for number in 0..commands {
            let session = SessionId::new(1, u32::try_from(number % sessions).unwrap_or(0));
            let (op, value) = (Op::Put, VALUE.as_slice());
            Command { session, sequence: 1, key: 0, op, expected: 0, value }.encode(&mut bytes);
        }
        Self { bytes, random: 1, sequence: 1 }
    }

    fn fill(&mut self) -> &[u8] {
        self.sequence += 1;
        for command in self.bytes.chunks_exact_mut(COMMAND_BYTES) {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = ((self.random >> 32) * KEYS) >> 32;
            command[8..16].copy_from_slice(&self.sequence.to_le_bytes());
            command[16..24].copy_from_slice(&key.to_le_bytes());
        }
        &self.bytes
    }
}

fn puts(criterion: &mut Criterion) {
    let limits = StoreLimits { keys_expected: 1_000_000, keys_max: 1_000_000, large_bytes_max: 0 };
    let mut store = Store::new(limits);
    for key in 0..KEYS {
        store.put_tagged(key, Tagged { version: 1, value: &[1; 16], tombstone: false });
    }
    let mut version = 2_u64;
    let mut replies = Vec::with_capacity(1 << 20);
    let mut group = criterion.benchmark_group("put16_1M_keys");
    for commands in [64, 1024] {
        group.throughput(Throughput::Elements(commands));
        let mut batch = Batch::new(commands, commands);
        group.bench_function(BenchmarkId::new("fill", commands), |bencher| {
            bencher.iter(|| black_box(batch.fill().len()));
        });
        let mut sessions = Sessions::new(SESSIONS_DEFAULT);
        for session in 0..commands {
            sessions.admit(SessionId((1 << 32) | session), 1, version + session);
        }
        version += commands;
        group.bench_function(BenchmarkId::new("fill_and_apply", commands), |bencher| {
            bencher.iter(|| {
                replies.clear();
                let batch = batch.fill();
                let tally = apply_batch(version, batch, &mut store, &mut sessions, |_, reply| {
                    reply.encode(&mut replies);
                });
                version += commands;
                assert_eq!(tally.fresh, commands);
                black_box(&replies);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, puts);
criterion_main!(benches);
