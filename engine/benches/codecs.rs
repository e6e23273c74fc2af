//! Nanoseconds per command of everything that turns commands into bytes and back, and of the
//! arena: batches of 64 puts of 16 bytes, in the cache.

#![allow(missing_docs, reason = "the macros of criterion make public items without a comment")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use synod::arena::Arena;
use synod::frame::{self, Assembler, Kind, Next};
use synod_protocols::command::{
    Command, CommandLimits, Commands, Op, Replies, Reply, SessionId, Status, validate,
    validate_replies,
};
use synod_protocols::multi_paxos::Message;
use synod_protocols::types::{Ballot, Payload, Slot};
use synod_protocols::wire::{WIRE_BYTES_MAX, Wire};

const COMMANDS: u32 = 64;
const FRAME_BYTES_MAX: u32 = 1 << 20;
const LIMITS: CommandLimits = CommandLimits { commands_max: 4096, value_bytes_max: 1 << 16 };

fn encode_commands(out: &mut Vec<u8>) {
    for number in 0..COMMANDS {
        let (session, key) = (SessionId::new(1, number), u64::from(number) * 977);
        let put = Command { session, sequence: 9, key, op: Op::Put, expected: 0, value: &[7; 16] };
        black_box(put).encode(out);
    }
}

fn encode_replies(out: &mut Vec<u8>, value: &[u8]) {
    for session_index in 0..COMMANDS {
        let (status, version) = (Status::Ok, u64::from(session_index) + 1);
        black_box(Reply { sequence: 9, session_index, status, version, value }).encode(out);
    }
}

fn accept() -> Message {
    Message::Accept { ballot: Ballot(257), slot: Slot(1_000_000), chosen: Slot(999_990) }
}

/// A message with its batch, as a leader sends it and a follower takes it in.
fn frames(criterion: &mut Criterion) {
    let mut payload = Vec::new();
    encode_commands(&mut payload);
    let mut buffer = [0; WIRE_BYTES_MAX];
    let length = accept().encode(&mut buffer);
    let message = &buffer[..length];
    let mut out = Vec::with_capacity(1 << 16);
    let mut group = criterion.benchmark_group("frame_of_64");
    group.throughput(Throughput::Elements(COMMANDS.into()));
    group.bench_function("push", |bencher| {
        bencher.iter(|| {
            out.clear();
            frame::push(&mut out, Kind::Message, message, &payload, COMMANDS);
            black_box(&out);
        });
    });
    group.bench_function("parse", |bencher| {
        bencher.iter(|| frame::parse(black_box(&out), FRAME_BYTES_MAX).expect("it is sound"));
    });
    let (front, back) = out.split_at(out.len() / 2);
    let mut assembler = Assembler::default();
    group.bench_function("assemble two halves", |bencher| {
        bencher.iter(|| {
            let mut whole = 0;
            for half in [front, back] {
                let fed = assembler.feed(black_box(half), FRAME_BYTES_MAX, |frame| {
                    whole += frame.count;
                    Next::Frames(FRAME_BYTES_MAX)
                });
                fed.expect("it is sound");
            }
            assert_eq!(whole, COMMANDS);
        });
    });
    group.finish();
}

fn commands(criterion: &mut Criterion) {
    let mut batch = Vec::with_capacity(1 << 16);
    let mut group = criterion.benchmark_group("commands_64");
    group.throughput(Throughput::Elements(COMMANDS.into()));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            batch.clear();
            encode_commands(&mut batch);
            black_box(&batch);
        });
    });
    group.bench_function("validate", |bencher| {
        bencher.iter(|| validate(black_box(&batch), &LIMITS).expect("they are sound"));
    });
    group.bench_function("iterate", |bencher| {
        bencher.iter(|| {
            let commands = Commands::new(black_box(&batch));
            commands.fold(0, |sum: u64, command| sum ^ command.key ^ command.value.len() as u64)
        });
    });
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let mut out = Vec::with_capacity(1 << 16);
    let mut group = criterion.benchmark_group("replies_64");
    group.throughput(Throughput::Elements(COMMANDS.into()));
    for (kind, value) in [("put", [].as_slice()), ("get", &[7; 16])] {
        group.bench_function(format!("encode, {kind}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode_replies(&mut out, black_box(value));
                black_box(&out);
            });
        });
        group.bench_function(format!("validate and iterate, {kind}"), |bencher| {
            bencher.iter(|| {
                let count = validate_replies(black_box(&out)).expect("they are sound");
                assert_eq!(count, COMMANDS as usize);
                Replies::new(&out).fold(0, |sum, reply| sum ^ reply.version ^ reply.sequence)
            });
        });
    }
    group.finish();
}

fn wire(criterion: &mut Criterion) {
    let mut buffer = [0; WIRE_BYTES_MAX];
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| black_box(accept()).encode(black_box(&mut buffer)));
    });
    let length = accept().encode(&mut buffer);
    group.bench_function("decode", |bencher| {
        bencher.iter(|| Message::decode(black_box(&buffer[..length])));
    });
    group.finish();
}

/// A batch goes in while the oldest of 256 is let go of, as in a replica that retains a megabyte.
fn arena(criterion: &mut Criterion) {
    const HELD: usize = 256;
    let mut batch = Vec::new();
    encode_commands(&mut batch);
    let mut arena = Arena::new(1 << 20, 64 << 20);
    let mut held = [Payload::EMPTY; HELD];
    let mut oldest = 0;
    let mut group = criterion.benchmark_group("arena");
    group.throughput(Throughput::Elements(COMMANDS.into()));
    group.bench_function("store and release 64 commands", |bencher| {
        bencher.iter(|| {
            let stored = arena.store(black_box(&batch), COMMANDS).expect("there is room");
            arena.release(std::mem::replace(&mut held[oldest], stored));
            oldest = (oldest + 1) % HELD;
        });
    });
    let payload = held[0];
    group.bench_function("retain and release", |bencher| {
        bencher.iter(|| {
            arena.retain(black_box(payload));
            arena.release(black_box(payload));
        });
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .sample_size(20)
}

criterion_group!(
    name = benches;
    config = short();
    targets = frames, commands, replies, wire, arena
);
criterion_main!(benches);
