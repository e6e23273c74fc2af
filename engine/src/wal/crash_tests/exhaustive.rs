//! Every prefix and every flipped bit of a log of 64 KiB.
//!
//! Acknowledged is what was durable when a later write was issued: of the last write alone nobody
//! can say whether its damage was there before anyone relied on it.

use super::*;
use std::thread;

const LOG_BYTES: usize = 1 << 16;

/// Half of the cases each; more would wait for each other on small machines.
const THREADS: usize = 2;

/// Two segments, full to the end, and how many of the records are acknowledged.
struct Full {
    storage: MemoryStorage,
    entries: Vec<Entry>,
    acknowledged: usize,
    /// Whether each byte belongs to a mark or a record that was acknowledged, and not to padding.
    relied_on: Vec<bool>,
}

fn full() -> Full {
    let (mut wal, _, _) = open(MemoryStorage::default()).unwrap();
    wal.prepare(1).unwrap();
    let mut entries = Vec::new();
    for number in 0.. {
        if number % 5 == 0 {
            flush(&mut wal);
        }
        if wal.room() < RECORD_BYTES_MAX {
            break;
        }
        entries.push(append(&mut wal, number));
    }
    flush(&mut wal);
    let storage = wal.storage_mut().clone();
    assert_eq!(storage.clone().list().unwrap().len() * LIMITS.segment_bytes, LOG_BYTES);
    assert!(index(wal.end().0) > LOG_BYTES - 8192, "the log is full: {}", wal.end());
    let durable = known_durable(&storage);
    let acknowledged = entries.partition_point(|entry| entry.0 <= durable);
    assert!(acknowledged < entries.len() && acknowledged + 10 > entries.len());
    let mut relied_on = vec![false; LOG_BYTES];
    for (end, record, payload) in &entries[..acknowledged] {
        let framed = framed_bytes(record.len(), payload.len());
        let start = index(end.0) - framed;
        relied_on[start..start + framed].fill(true);
        // What is before the first record of a write is its mark.
        if start % BLOCK_BYTES == MARK_BYTES {
            relied_on[start - MARK_BYTES..start].fill(true);
        }
    }
    Full { storage, entries, acknowledged, relied_on }
}

/// Up to where the log was durable when its last write was issued.
fn known_durable(storage: &MemoryStorage) -> Lsn {
    let mut storage = storage.clone();
    let mut durable = Lsn(0);
    for segment in storage.list().unwrap() {
        for block in storage.segment_mut(segment).unwrap().chunks(4096) {
            if let format::MarkAt::Mark(mark) = format::mark_at(block) {
                durable = durable.max(mark.durable);
            }
        }
    }
    durable
}

/// A copy of the disk that is damaged in place, as copying it anew each time would take longest.
struct Copy<'a> {
    segments: Segments<MemoryStorage>,
    entries: &'a [Entry],
}

impl<'a> Copy<'a> {
    fn new(full: &'a Full) -> Self {
        let segments = Segments::open(full.storage.clone(), LIMITS).unwrap();
        Self { segments, entries: &full.entries }
    }

    fn byte(&mut self, at: usize) -> &mut u8 {
        let segment = SegmentId((at / LIMITS.segment_bytes) as u64);
        let bytes = self.segments.storage_mut().segment_mut(segment).unwrap();
        &mut bytes[at % LIMITS.segment_bytes]
    }

    /// How many records come back, each as it was written.
    fn recover(&mut self) -> Result<(usize, Recovered), LogError> {
        let mut seen = 0;
        let found =
            recovery::recover(&mut self.segments, IDENTITY, Lsn(0), |lsn, record, payload| {
                let expected = &self.entries[seen];
                assert_eq!((lsn, record, payload), (expected.0, &*expected.1, &*expected.2));
                seen += 1;
            })?;
        assert_eq!(found.recovered.records, seen as u64);
        Ok((seen, found.recovered))
    }
}

/// Shares the cases `0..count` among threads and adds up what they tell.
fn share<const N: usize>(
    count: usize,
    run: impl Fn(std::ops::Range<usize>) -> [usize; N] + Sync,
) -> [usize; N] {
    let part = count.div_ceil(THREADS);
    thread::scope(|scope| {
        let parts: Vec<_> = (0..THREADS)
            .map(|thread| {
                let cases = thread * part..((thread + 1) * part).min(count);
                let run = &run;
                scope.spawn(move || run(cases))
            })
            .collect();
        let mut sums = [0; N];
        for part in parts {
            for (sum, more) in sums.iter_mut().zip(part.join().unwrap()) {
                *sum += more;
            }
        }
        sums
    })
}

#[test]
fn every_prefix_of_a_log_gives_exactly_the_records_in_it() {
    let full = full();
    for fill in [0, 0xa5] {
        let [tried] = share(LOG_BYTES + 1, |lengths| {
            let mut copy = Copy::new(&full);
            (lengths.end..LOG_BYTES).for_each(|at| *copy.byte(at) = fill);
            let mut tried = 0;
            for length in lengths.rev() {
                if length < LOG_BYTES {
                    *copy.byte(length) = fill;
                }
                let (seen, recovered) = copy.recover().unwrap();
                let whole = full.entries.partition_point(|entry| entry.0.0 <= length as u64);
                // The last bytes of a record may be padding, or be what they are torn to.
                assert!((whole..=whole + 1).contains(&seen), "prefix {length}: {seen} records");
                assert!(recovered.next.0 <= length as u64 + 64);
                if length % 997 == 0 {
                    let torn = copy.segments.storage_mut().clone();
                    assert_goes_on(torn, &full.entries[..seen]);
                }
                tried += 1;
            }
            [tried]
        });
        assert_eq!(tried, 65_537);
    }
}

#[test]
fn no_flipped_bit_loses_what_was_acknowledged_or_returns_what_was_not_written() {
    let full = full();
    let [tried, damaged, cut] = share(LOG_BYTES * 8, |bits| {
        let mut copy = Copy::new(&full);
        let [mut tried, mut damaged, mut cut] = [0; 3];
        for bit in bits {
            *copy.byte(bit / 8) ^= 1 << (bit % 8);
            match copy.recover() {
                Ok((seen, recovered)) => {
                    assert!(!full.relied_on[bit / 8], "bit {bit} is no damage");
                    assert!(seen >= full.acknowledged, "bit {bit} cut off what was acknowledged");
                    let missing = full.entries.len() - seen;
                    assert!(missing == 0 || recovered.torn_bytes > 0, "bit {bit} went unnoticed");
                    cut += usize::from(missing > 0);
                    if bit % 4999 == 0 {
                        let flipped = copy.segments.storage_mut().clone();
                        assert_goes_on(flipped, &full.entries[..seen]);
                    }
                }
                Err(LogError::Damaged { lsn, .. }) => {
                    assert!(index(lsn.0) <= bit / 8, "bit {bit} is named as {lsn}");
                    damaged += 1;
                }
                Err(error) => panic!("bit {bit}: {error}"),
            }
            *copy.byte(bit / 8) ^= 1 << (bit % 8);
            tried += 1;
        }
        [tried, damaged, cut]
    });
    assert_eq!(tried, 524_288);
    // What else is harmless lies in padding; in the last write it may have been torn.
    let relied_on = full.relied_on.iter().filter(|&&byte| byte).count();
    assert!(damaged >= relied_on * 8 && relied_on > LOG_BYTES / 3);
    assert!(cut > 1_000, "{cut} flips are a torn tail");
}
