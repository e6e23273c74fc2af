//! Logs and snapshots as they may lie on a disk that somebody else wrote to.

use std::cell::RefCell;

use crate::node::fuzzing as snapshots;
use crate::wal::{Identity, Lsn, MemoryStorage, SegmentId, Storage, Wal, WalLimits};

const IDENTITY: Identity = Identity { cluster: 7, replica: 1, group: 0 };
const LIMITS: WalLimits =
    WalLimits { segment_bytes: 8192, write_bytes_max: 4096, writes_in_flight: 1 };

const RECORDS: u8 = 12;

/// Bytes of one change: where, and what is added there.
const CHANGE_BYTES: usize = 3;

/// A sound log of two segments.
fn sound_log() -> MemoryStorage {
    let opened = Wal::open(MemoryStorage::default(), IDENTITY, LIMITS, Lsn(0), |_, _, _| {});
    let (mut wal, _) = opened.expect("an empty log opens");
    for number in 0..RECORDS {
        wal.append(&[number; 9], &[number; 300]).expect("memory has room");
        if number % 4 == 3 {
            while let Some(write) = wal.next_write() {
                let bytes = write.bytes().to_vec();
                let storage = wal.storage_mut();
                storage.write_at(write.segment, write.offset, &bytes).expect("it exists");
                wal.written(write.token, write.buffer);
            }
        }
    }
    wal.storage_mut().clone()
}

/// A log opens with what was written to it, or says what is wrong. The first byte says how the rest
/// is meant: as changes of a sound log, or as the segments themselves.
pub fn log_open(bytes: &[u8]) {
    thread_local!(static SOUND: RefCell<MemoryStorage> = RefCell::new(sound_log()));
    let Some((&meant, rest)) = bytes.split_first() else { return };
    if meant % 2 == 0 {
        let mut storage = SOUND.with(|sound| sound.borrow().clone());
        let count = storage.list().expect("memory").len();
        for change in rest.chunks_exact(CHANGE_BYTES) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
            let segment = SegmentId((at / LIMITS.segment_bytes % count) as u64);
            let bytes = storage.segment_mut(segment).expect("listed");
            bytes[at % LIMITS.segment_bytes] ^= change[2];
        }
        open_sound_records(storage);
        return;
    }
    let mut storage = MemoryStorage::default();
    for (number, piece) in (u64::from(meant / 2 % 4)..).zip(rest.chunks(LIMITS.segment_bytes)) {
        let length = if meant & 0x80 == 0 { LIMITS.segment_bytes } else { piece.len() };
        storage.create(SegmentId(number), length).expect("memory");
        storage.write_at(SegmentId(number), 0, piece).expect("it is as long");
    }
    let first = storage.list().expect("memory").first().map_or(0, |segment| segment.0);
    let from = Lsn(first * LIMITS.segment_bytes as u64);
    if let Err(error) = Wal::open(storage, IDENTITY, LIMITS, from, |_, _, _| {}) {
        assert!(!error.to_string().is_empty());
    }
}

/// What comes back is a beginning of what was written.
fn open_sound_records(storage: MemoryStorage) {
    let mut next = 0;
    let opened = Wal::open(storage, IDENTITY, LIMITS, Lsn(0), |_, record, payload| {
        assert_eq!((record, payload), (&[next; 9][..], &[next; 300][..]));
        next += 1;
    });
    match opened {
        Ok((_, recovered)) => assert_eq!(recovered.records, u64::from(next)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A snapshot is installed as it was written, or what is wrong is told. The first byte says how the
/// rest is meant: as changes of a sound snapshot, or as the snapshot itself, with or without the
/// right checksums.
pub fn snapshot_open(bytes: &[u8]) {
    let Some((&meant, rest)) = bytes.split_first() else { return };
    if meant % 2 == 0 {
        snapshots::open_changed(rest);
    } else {
        snapshots::open_raw(rest, meant & 2 != 0);
    }
}
