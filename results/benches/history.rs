//! How many operations a second go into a history file and come out of it, in memory.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

mod generate;

use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use synod_results::history::{HistoryReader, HistoryWriter, Operation};

fn write(operations: &[Operation], bytes: Vec<u8>) -> Vec<u8> {
    let mut writer = HistoryWriter::new(bytes).expect("memory does not fail");
    writer.write_block(operations).expect("memory does not fail");
    writer.finish().expect("memory does not fail").1
}

fn history(criterion: &mut Criterion) {
    for keys in [1000, 1_000_000] {
        let operations = generate::history(1_000_000, keys, 64);
        let bytes = write(&operations, Vec::new());
        let per_operation = bytes.len() as f64 / operations.len() as f64;
        println!("{per_operation:.1} bytes for each operation on {keys} keys");
        let mut group = criterion.benchmark_group(format!("history/{keys}"));
        group.throughput(Throughput::Elements(operations.len() as u64));
        group.sample_size(20);
        let mut room = bytes.clone();
        group.bench_function("write", |bencher| {
            bencher.iter(|| {
                room.clear();
                room = write(&operations, std::mem::take(&mut room));
            });
        });
        group.bench_function("read", |bencher| {
            let mut block = Vec::new();
            bencher.iter(|| {
                let mut reader = HistoryReader::new(bytes.as_slice(), Path::new("history.bin"))
                    .expect("it was written");
                let mut count = 0;
                while reader.next_block(&mut block).expect("it was written") {
                    count += block.len();
                }
                assert_eq!(count, operations.len());
            });
        });
    }
}

criterion_group!(benches, history);
criterion_main!(benches);
