//! What it costs a load thread to record one latency.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use synod_results::history::Kind;
use synod_results::record::LatencyRecorder;

fn recorder(criterion: &mut Criterion) {
    let latencies: Vec<u64> =
        (0..4096_u64).map(|i| 20_000 + i.wrapping_mul(0x9e37_79b9) % 100_000).collect();
    let mut recorder = LatencyRecorder::new(0);
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(latencies.len() as u64));
    group.bench_function("two kinds", |bencher| {
        bencher.iter(|| {
            for &latency_ns in &latencies {
                let kind = if latency_ns % 2 == 0 { Kind::Get } else { Kind::Put };
                recorder.record(kind, latency_ns);
            }
        });
    });
    group.finish();
    criterion.bench_function("swap and clear an interval of two kinds", |bencher| {
        bencher.iter(|| {
            recorder.record(Kind::Get, 1000);
            recorder.record(Kind::Put, 1000);
            let interval = recorder.take_interval(1);
            recorder.recycle(interval.clear());
        });
    });
}

criterion_group!(benches, recorder);
criterion_main!(benches);
