//! Nanoseconds to draw a key out of a million, and to make and to check a value.

#![allow(missing_docs, reason = "the macros of criterion make public items without a comment")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use synod_workloads::{KeyDistribution, KeyGenerator, Keys, fill, verify};

const KEYS: u64 = 1_000_000;

fn keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("key_of_1M");
    group.throughput(Throughput::Elements(1));
    for (name, distribution) in [
        ("uniform", KeyDistribution::Uniform),
        ("zipfian 0.99", KeyDistribution::Zipfian { theta: 0.99 }),
        ("latest 0.99", KeyDistribution::Latest { theta: 0.99 }),
        ("hot set", KeyDistribution::HotSet { keys: 0.2, operations: 0.8 }),
    ] {
        let keys = Keys { count: KEYS, first: 0, preload: true, distribution };
        let mut generator = KeyGenerator::new(&keys, 1);
        group.bench_function(name, |bencher| bencher.iter(|| generator.next()));
    }
    group.finish();
}

fn values(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("value");
    for bytes in [16, 100, 1024] {
        let mut value = vec![0; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut id = 0;
        group.bench_function(BenchmarkId::new("fill", bytes), |bencher| {
            bencher.iter(|| {
                id += 1;
                fill(id, black_box(&mut value));
            });
        });
        group.bench_function(BenchmarkId::new("verify", bytes), |bencher| {
            bencher.iter(|| assert_eq!(verify(black_box(&value)), Some(id)));
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group!(name = benches; config = short(); targets = keys, values);
criterion_main!(benches);
