//! What a crash or a bad disk can leave behind, tried out.

use super::*;
use crate::store::mix;
use std::path::Path;

mod exhaustive;
mod sectors;
mod steps;

const IDENTITY: Identity = Identity { cluster: 0xc1, replica: 2, group: 0 };
const LIMITS: WalLimits =
    WalLimits { segment_bytes: 1 << 15, write_bytes_max: 8192, writes_in_flight: 3 };

/// What [`append`] appends at most, with its header.
const RECORD_BYTES_MAX: usize = 32 + 64 + 8 + 704;

type Entry = (Lsn, Vec<u8>, Vec<u8>);
type Opened<S> = Result<(Wal<S>, Recovered, Vec<Entry>), LogError>;

fn open_from<S: Storage>(storage: S, from: Lsn) -> Opened<S> {
    let mut seen = Vec::new();
    let visit = |lsn, record: &[u8], payload: &[u8]| {
        seen.push((lsn, record.to_vec(), payload.to_vec()));
    };
    let (wal, recovered) = Wal::open(storage, IDENTITY, LIMITS, from, visit)?;
    assert_eq!(recovered.records, seen.len() as u64);
    Ok((wal, recovered, seen))
}

fn open<S: Storage>(storage: S) -> Opened<S> {
    open_from(storage, Lsn(0))
}

fn append<S: Storage>(wal: &mut Wal<S>, number: u64) -> Entry {
    let record = vec![number.to_le_bytes()[0] | 1; index(mix(number) % 65)];
    let payload = vec![number.to_le_bytes()[0] | 2; index(mix(number + 1) % 700)];
    (wal.append(&record, &payload).unwrap(), record, payload)
}

fn write<S: Storage>(wal: &mut Wal<S>, write: &LogWrite) {
    let bytes = write.bytes().to_vec();
    wal.storage_mut().write_at(write.segment, write.offset, &bytes).unwrap();
}

fn flush<S: Storage>(wal: &mut Wal<S>) {
    while let Some(next) = wal.next_write() {
        write(wal, &next);
        wal.written(next.token, next.buffer);
    }
}

/// A log of about 16 KiB in writes of up to four records, and its storage.
fn sample() -> (MemoryStorage, Vec<Entry>) {
    let (mut wal, _, _) = open(MemoryStorage::default()).unwrap();
    wal.prepare(1).unwrap();
    let mut entries = Vec::new();
    for number in 0..16 {
        entries.push(append(&mut wal, number));
        if number % 4 == 2 {
            flush(&mut wal);
        }
    }
    flush(&mut wal);
    assert!((12_000..32_000).contains(&wal.end().0), "{}", wal.end());
    (wal.storage_mut().clone(), entries)
}

/// Appends after recovery, and expects the same records and the new ones from then on.
fn assert_goes_on(storage: MemoryStorage, seen: &[Entry]) {
    let (mut wal, recovered, again) = open(storage).unwrap();
    assert_eq!(again, seen, "opening changes nothing");
    wal.prepare(1).unwrap();
    let mut expected = again;
    for number in 100..103 {
        expected.push(append(&mut wal, number));
        flush(&mut wal);
    }
    assert!(wal.durable() > recovered.next);
    let (wal, recovered, again) = open(wal.storage_mut().clone()).unwrap();
    assert_eq!(again, expected);
    assert_eq!(recovered.next, wal.end());
}

#[test]
fn reopening_shows_everything_again_and_from_any_record() {
    let (storage, entries) = sample();
    let (_, recovered, seen) = open(storage.clone()).unwrap();
    assert_eq!(seen, entries);
    assert_eq!((recovered.next, recovered.torn_bytes), (entries[15].0, 0));
    for (number, entry) in entries.iter().enumerate() {
        let (mut wal, _, seen) = open_from(storage.clone(), entry.0).unwrap();
        assert_eq!(seen, entries[number + 1..]);
        let mut expected = entries.clone();
        expected.push(append(&mut wal, 77));
        flush(&mut wal);
        assert_eq!(open(wal.storage_mut().clone()).unwrap().2, expected);
    }
    assert_goes_on(storage, &entries);
}

#[test]
fn writes_lost_out_of_order_are_a_torn_tail() {
    // Each subset of three writes in flight may have reached the disk.
    for kept in 0..8 {
        let (mut wal, _, _) = open(MemoryStorage::default()).unwrap();
        wal.prepare(1).unwrap();
        let mut entries = vec![append(&mut wal, 1)];
        flush(&mut wal);
        let writes: Vec<_> = (2..5)
            .map(|number| {
                entries.push(append(&mut wal, number));
                wal.next_write().unwrap()
            })
            .collect();
        for (bit, next) in writes.iter().enumerate().filter(|(bit, _)| kept >> bit & 1 == 1) {
            assert!(bit < 3);
            write(&mut wal, next);
        }
        let storage = wal.storage_mut().clone();
        let (_, recovered, seen) = open(storage.clone()).unwrap();
        let whole = 1 + (0..3).take_while(|bit| kept >> bit & 1 == 1).count();
        assert_eq!(seen, entries[..whole], "kept {kept:03b}");
        assert_eq!(recovered.torn_bytes > 0, whole - 1 < index(u64::from(u32::count_ones(kept))));
        assert_goes_on(storage, &seen);
    }
}

#[test]
fn what_a_crash_left_never_comes_back() {
    // The second write is lost, the third is not. After recovery the very same second record is
    // written again: the third must not continue it.
    let (mut wal, _, _) = open(MemoryStorage::default()).unwrap();
    wal.prepare(1).unwrap();
    let first = append(&mut wal, 1);
    flush(&mut wal);
    append(&mut wal, 2);
    assert!(wal.next_write().is_some());
    append(&mut wal, 3);
    let third = wal.next_write().unwrap();
    write(&mut wal, &third);
    for round in 0..3 {
        let storage = wal.storage_mut().clone();
        let (reopened, _, seen) = open(storage).unwrap();
        assert_eq!(seen[0], first);
        assert_eq!(seen.len(), 1 + round.min(1));
        wal = reopened;
        if round == 0 {
            append(&mut wal, 2);
            flush(&mut wal);
        }
    }
}

#[test]
fn segments_are_recycled_and_their_old_bytes_ignored() {
    let (mut wal, _, _) = open(MemoryStorage::default()).unwrap();
    wal.prepare(2).unwrap();
    let mut entries = Vec::new();
    for number in 0..500 {
        if wal.room() < RECORD_BYTES_MAX {
            wal.trim(wal.durable()).unwrap();
        }
        entries.push(append(&mut wal, number));
        flush(&mut wal);
        if number % 50 != 49 {
            continue;
        }
        let mut storage = wal.storage_mut().clone();
        let segment_first = storage.list().unwrap()[0].0;
        let start =
            entries.iter().position(|entry| entry.0.0 / (1 << 15) >= segment_first).unwrap();
        let (_, recovered, seen) = open_from(storage, entries[start].0).unwrap();
        assert_eq!(seen, entries[start + 1..]);
        assert_eq!((recovered.next, recovered.torn_bytes), (wal.end(), 0));
    }
    assert!(wal.end().0 > 10 << 15);
    // The one that holds the last durable record, the one that is written next, and two spares.
    assert_eq!(wal.storage_mut().list().unwrap().len(), 4);
    let gap = open(wal.storage_mut().clone()).map(|_| ()).unwrap_err();
    assert!(matches!(gap, LogError::Gap { .. }));
}

#[test]
fn missing_swapped_and_foreign_segments_are_named() {
    let (mut wal, _, _) = open(MemoryStorage::default()).unwrap();
    wal.prepare(4).unwrap();
    while wal.end().0 < 4 << 15 {
        let number = wal.end().0;
        append(&mut wal, number);
        flush(&mut wal);
    }
    let storage = wal.storage_mut().clone();

    let mut missing = storage.clone();
    missing.remove(SegmentId(1)).unwrap();
    let message = open(missing).map(|_| ()).unwrap_err().to_string();
    assert_eq!(message, "000001.log is missing, although later parts of the log exist");

    for (one, other) in [(0, 1), (1, 2), (2, 3)] {
        let mut swapped = storage.clone();
        swapped.recycle(SegmentId(one), SegmentId(99)).unwrap();
        swapped.recycle(SegmentId(other), SegmentId(one)).unwrap();
        swapped.recycle(SegmentId(99), SegmentId(other)).unwrap();
        assert!(matches!(open(swapped).map(|_| ()), Err(LogError::Damaged { .. })));
    }

    let mut short = storage.clone();
    short.segment_mut(SegmentId(2)).unwrap().truncate(100);
    let message = open(short).map(|_| ()).unwrap_err().to_string();
    assert_eq!(message, "000002.log has 100 bytes, but segments of this log have 32768");

    let reader = Identity { replica: 1, ..IDENTITY };
    let foreign = Wal::open(storage, reader, LIMITS, Lsn(0), |_, _, _| panic!("not ours"));
    assert_eq!(
        foreign.map(|_| ()).unwrap_err().to_string(),
        "000000.log belongs to replica 2, group 0 of cluster c1 (byte 0); \
         this is replica 1, group 0 of cluster c1"
    );
}

#[test]
fn the_same_on_a_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let reopen = |path: &Path| open(FileStorage::open(path).unwrap()).unwrap();
    let mut expected = Vec::new();
    for round in 0..3 {
        let (mut wal, recovered, seen) = reopen(directory.path());
        assert_eq!(seen, expected);
        assert_eq!(recovered.torn_bytes, 0);
        wal.prepare(1).unwrap();
        for number in 0..20 {
            if wal.room() < RECORD_BYTES_MAX {
                wal.prepare(1).unwrap();
            }
            expected.push(append(&mut wal, round * 100 + number));
            flush(&mut wal);
        }
    }
}
