//! How many operations the checker judges in a second, from decoded operations.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

mod generate;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use synod_results::check::{Consistency, check};

fn checker(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check");
    group.sample_size(10);
    for (count, keys) in [(1_000_000, 1), (4_000_000, 1), (4_000_000, 1000), (4_000_000, 1_000_000)]
    {
        let operations = generate::history(count, keys, 64);
        group.throughput(Throughput::Elements(count as u64));
        let shape = format!("{count} ops, {keys} keys");
        group.bench_function(BenchmarkId::from_parameter(shape), |bencher| {
            bencher.iter(|| {
                let verdict =
                    check(operations.as_slice(), Consistency::Linearizable, u64::MAX, &|| 0)
                        .expect("it is in memory");
                assert!(verdict.is_pass(), "{verdict}");
            });
        });
    }
}

criterion_group!(benches, checker);
criterion_main!(benches);
