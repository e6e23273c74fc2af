//! What arbitrary bytes are tried on: one function for each way in, which panics where something is
//! wrong.
//!
//! `engine/fuzz` has a fuzz target for each, and `engine/tests/integration/fuzzing.rs` replays the
//! bytes that such runs found worth keeping, and others. Nothing of the program calls this.

use std::path::Path;

use synod_results::history::{BLOCK_OPERATIONS_MAX, HistoryReader};
use synod_workloads::Catalog;

use crate::cluster::orders::{Enlist, Order, Report};
use crate::frame::{Assembler, Next};
use crate::greeting::{Accepting, Dialling, Hello, Key, Nonces, Speaker};
use crate::registry;

mod disk;
mod steps;

pub use disk::{log_open, snapshot_open};
pub use steps::protocol_step;

/// Takes arbitrary bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 8] = [
    ("frame", frame),
    ("handshake", handshake),
    ("log_open", log_open),
    ("snapshot_open", snapshot_open),
    ("yaml", yaml),
    ("history", history),
    ("control", control),
    ("protocol_step", protocol_step),
];

/// The longest frame that is taken.
const FRAME_BYTES_MAX: u32 = 512;

/// A stream gives the same frames however it is cut, and what is kept of it is bounded. The first
/// eight bytes say where it is cut; the second half of them, whether checksums are made right.
pub fn frame(bytes: &[u8]) {
    let Some((cuts, stream)) = bytes.split_first_chunk::<8>() else { return };
    let mut stream = stream.to_vec();
    if cuts[7] & 1 == 1 {
        seal_frames(&mut stream);
    }
    let (whole, whole_end) = frames(std::iter::once(&stream[..]));
    let mut rest = &stream[..];
    let mut sizes = cuts.iter().cycle();
    let pieces = std::iter::from_fn(|| {
        let size = usize::from(*sizes.next()?).max(1).min(rest.len());
        let (piece, behind) = rest.split_at(size);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    });
    let (cut, cut_end) = frames(pieces);
    assert_eq!(whole, cut, "the cuts changed the frames");
    assert_eq!(whole_end, cut_end);
}

/// Makes the checksums of the frames at the front right, as an attacker would.
fn seal_frames(stream: &mut [u8]) {
    let mut at = 0;
    while let Some(length) = stream.get(at..).and_then(<[u8]>::first_chunk::<4>) {
        let length = u32::from_le_bytes(*length) as usize;
        let Some(frame) = stream.get_mut(at..at.saturating_add(length)) else { return };
        if length < crate::frame::HEADER_BYTES {
            return;
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
        at += length;
    }
}

type Seen = Vec<(u8, u32, Vec<u8>, Vec<u8>)>;

/// The frames of a stream in pieces, and whether it ended with an error.
fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Seen, bool) {
    let mut assembler = Assembler::default();
    let mut seen = Seen::new();
    for piece in pieces {
        let fed = assembler.feed(piece, FRAME_BYTES_MAX, |frame| {
            let (message, payload) = (frame.message.to_vec(), frame.payload.to_vec());
            seen.push((frame.kind as u8, frame.count, message, payload));
            Next::Frames(FRAME_BYTES_MAX)
        });
        assert!(assembler.held_bytes() <= FRAME_BYTES_MAX as usize);
        if fed.is_err() {
            return (seen, true);
        }
    }
    (seen, false)
}

/// Whatever is changed in a greeting, nobody is taken for somebody who has the key. Each byte is
/// added to one of the greeting; all zeros leave it as it is, and then it succeeds.
pub fn handshake(bytes: &[u8]) {
    let key = Key::of_seed(1);
    let hello = Hello { cluster: 7, group: 1, to: 2, speaker: Speaker::Replica(0) };
    let mut changes = bytes.iter().copied();
    let mut changed = false;
    let mut change = |frame: &[u8]| {
        let mut payload = frame[crate::frame::HEADER_BYTES..].to_vec();
        for (byte, change) in payload.iter_mut().zip(&mut changes) {
            *byte ^= change;
            changed |= change != 0;
        }
        (payload, changed)
    };
    let (mut said, mut nonces) = (Vec::new(), Nonces::new(Key::of_seed(2)));
    let dialling = Dialling::begin(hello, key, &mut nonces, &mut said);
    let (hello_payload, _) = change(&said);
    said.clear();
    let key_of = |hello: Hello| (hello.cluster == 7).then_some(key);
    let accepting = Accepting::begin(&hello_payload, key_of, &mut nonces, &mut said);
    let Some(accepting) = accepting else { return };
    let (challenge, changed) = change(&said);
    said.clear();
    assert_eq!(dialling.answer(&challenge, &mut said), !changed);
    if !changed {
        let (proof, changed) = change(&said);
        assert_eq!(accepting.verify(&proof), (!changed).then_some(hello.speaker));
    }
    let rest: Vec<u8> = changes.collect();
    assert_eq!(accepting.verify(&rest), None);
    assert!(!dialling.answer(&rest, &mut said));
    let known = Accepting::begin(&rest, |_| Some(key), &mut nonces, &mut said);
    assert!(known.is_none() || rest.len() == hello_payload.len());
}

/// A workload file is one, or its faults are told.
pub fn yaml(bytes: &[u8]) {
    thread_local!(static CATALOG: Catalog = registry::catalog());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    CATALOG.with(|catalog| {
        let loaded = synod_workloads::load(Path::new("fuzz.yaml"), text, catalog, &[]);
        if let Err(faults) = loaded {
            let told = faults.to_string();
            assert!(!told.is_empty() && told.contains("fuzz.yaml"), "{told}");
        }
    });
}

/// A history is read to its end, or what is wrong is told. The first byte says whether the rest is
/// the whole file or its blocks, which then get the right checksums.
pub fn history(bytes: &[u8]) {
    let Some((&meant, rest)) = bytes.split_first() else { return };
    let mut file = rest.to_vec();
    if meant & 1 == 1 {
        file.splice(0..0, *b"SYNODHIS\x01\0\0\0\0\0\0\0");
        seal_blocks(&mut file[HISTORY_HEADER_BYTES..]);
    }
    let mut operations = Vec::new();
    let told = match HistoryReader::new(&file[..], Path::new("fuzz.bin")) {
        Err(error) => error.to_string(),
        Ok(mut reader) => loop {
            match reader.next_block(&mut operations) {
                Ok(true) => assert!(operations.len() <= BLOCK_OPERATIONS_MAX),
                Ok(false) => return,
                Err(error) => break error.to_string(),
            }
        },
    };
    assert!(told.contains("fuzz.bin"), "{told}");
}

const HISTORY_HEADER_BYTES: usize = 16;

/// Makes the checksums of the blocks right: operations, bytes of the payload, checksum, payload.
fn seal_blocks(mut blocks: &mut [u8]) {
    while let Some((header, rest)) = blocks.split_first_chunk_mut::<12>() {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let Some((payload, behind)) = rest.split_at_mut_checked(length) else { return };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..8]), payload);
        header[8..].copy_from_slice(&crc.to_le_bytes());
        blocks = behind;
    }
}

/// Orders and reports are read or refused, and what was read means the same when it is said again.
pub fn control(bytes: &[u8]) {
    fn again<T: serde::Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) {
        if let Ok(said) = serde_json::from_slice::<T>(bytes) {
            let line = serde_json::to_string(&said).expect("what was read can be said");
            assert!(!line.contains('\n'), "one order is one line");
            let heard: T = serde_json::from_str(&line).expect("what was said can be read");
            assert_eq!(serde_json::to_string(&heard).expect("as before"), line);
        }
    }
    if let Ok(enlist) = serde_json::from_slice::<Enlist>(bytes) {
        assert!(enlist.check().map_or_else(|sentence| !sentence.is_empty(), |()| true));
    }
    again::<Enlist>(bytes);
    again::<Order>(bytes);
    again::<Report>(bytes);
}
