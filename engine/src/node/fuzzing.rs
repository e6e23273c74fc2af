//! Snapshots from a disk that somebody else wrote to, for [`crate::fuzzing`].

use synod_protocols::command::{Command, Op, SessionId};
use synod_protocols::types::Slot;

use super::snapshots::{self, Found};
use super::state::State;
use crate::snapshot::{CHUNK_HEADER_BYTES, Progress, SnapshotIdentity, next_chunk_bytes};
use crate::store::StoreLimits;
use crate::wal::{Lsn, MemoryStorage, Storage};

const SLOTS: u64 = 8;
const FROM: Lsn = Lsn(4096);

/// Bytes of one change: where, and what is added there.
const CHANGE_BYTES: usize = 3;

fn state() -> State {
    let limits = StoreLimits { keys_expected: 8, keys_max: 64, large_bytes_max: 1 << 16 };
    State::new(SnapshotIdentity { cluster: 7, group: 0 }, limits, 8)
}

/// The bytes of a sound snapshot, and the checksum of what is in it.
fn sound() -> (Vec<u8>, u64) {
    let mut state = state();
    for slot in 0..SLOTS {
        let mut batch = Vec::new();
        let (session, value) = (SessionId::new(1, 1), [7; 24]);
        Command { session, sequence: slot + 1, key: slot, op: Op::Put, expected: 0, value: &value }
            .encode(&mut batch);
        state.apply(Slot(slot), &batch, |_, _| {});
    }
    let (mut capture, mut bytes) = (state.capture(), Vec::new());
    while state.continue_capture(&mut capture, 256, &mut bytes) == Progress::More {}
    bytes.extend_from_slice(&snapshots::trailer(FROM, state.next()));
    (bytes, state.checksum())
}

fn open(bytes: &[u8]) -> Result<Option<(Found, State)>, String> {
    let mut storage = MemoryStorage::default();
    storage.snapshot_begin().expect("memory");
    storage.snapshot_append(bytes).expect("memory");
    storage.snapshot_commit().expect("memory");
    let state = state();
    Ok(snapshots::read(&mut storage, &state)?.map(|found| (found, state)))
}

/// Changes of a sound snapshot: it is as it was, or the error is a sentence.
pub(crate) fn open_changed(changes: &[u8]) {
    thread_local!(static SOUND: (Vec<u8>, u64) = sound());
    SOUND.with(|(sound, checksum)| {
        let mut bytes = sound.clone();
        for change in changes.chunks_exact(CHANGE_BYTES) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
            // Beyond the end stands for the end: the file is cut there.
            match bytes.get_mut(at) {
                Some(byte) => *byte ^= change[2],
                None => bytes.truncate(at % (sound.len() + 1)),
            }
        }
        match open(&bytes) {
            // A file of no bytes is no snapshot.
            Ok(None) => assert!(bytes.is_empty()),
            Ok(Some((found, mut state))) => {
                assert!(&bytes == sound, "a changed snapshot was taken for a sound one");
                let slot = found.slot;
                assert_eq!((found.from, slot), (FROM, Slot(SLOTS)));
                state.restore(found.restored, slot);
                assert_eq!(state.checksum(), *checksum);
            }
            Err(sentence) => assert!(sentence.contains("snapshot"), "{sentence}"),
        }
    });
}

/// Whatever lies on the disk, an error is a sentence.
pub(crate) fn open_raw(bytes: &[u8], seal: bool) {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while seal && let Some(length) = bytes.get(at..).and_then(next_chunk_bytes) {
        let Some(chunk) = bytes.get_mut(at..at.saturating_add(length)) else { break };
        assert!(length >= CHUNK_HEADER_BYTES);
        let crc = crc32c::crc32c(&chunk[4..]);
        chunk[..4].copy_from_slice(&crc.to_le_bytes());
        at += length;
    }
    if let Err(sentence) = open(&bytes) {
        assert!(sentence.contains("snapshot"), "{sentence}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_truncation_and_flipped_bit_of_a_snapshot_file_is_told() {
        let (bytes, checksum) = sound();
        let (mut cut, mut flipped) = (0, 0);
        for length in 1..bytes.len() {
            assert!(open(&bytes[..length]).is_err(), "cut at {length}");
            cut += 1;
        }
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bad).is_err(), "bit {bit}");
            flipped += 1;
        }
        assert!(cut > 500 && flipped == (cut + 1) * 8);
        let (found, mut state) = open(&bytes).unwrap().unwrap();
        state.restore(found.restored, found.slot);
        assert_eq!(state.checksum(), checksum);
    }
}
