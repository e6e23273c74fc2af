//! Snapshots of the table and the sessions, taken while commands are applied.
//!
//! Nothing stops: [`Capture::step`] copies a bounded part of the table between batches. What it
//! copies is therefore *fuzzy*: each entry is as it was at some moment between the start version
//! `s0` and the end version `s1`. Replaying the log from `s0` to `s1` over it ([`Restored`]) gives
//! the exact state at `s1`.
//!
//! Why this is right. Take a key whose entry was copied when version `t` had been applied, and let
//! `e` be the version in it: the last command up to `t` that changed the key.
//!
//! - A command up to `e` finds an entry with its own version or a later one, and is skipped. Its
//!   effect is in the entry. If it was a swap or an addition, what it answered cannot be found out
//!   again; it need not be, because the sessions as of `s1` have it.
//! - A command after `e` up to `t` changed nothing when it was executed (a get, a swap that failed).
//!   It saw the value of `e`, and sees the same now, so it changes nothing again.
//! - A command after `t` finds what it found when it was executed, as all before it were replayed.
//! - A key that was new after its place in the table had been passed has only commands after `s0`.
//!
//! Whether a command was executed at all or was a repeat depends on the sessions alone, never on the
//! table. So the sessions are copied twice, each time in one piece: as of `s0`, with which replay
//! decides exactly what was decided then, and as of `s1`, which replace them when replay has come so
//! far. (With those of `s1` alone, a repeat between `s0` and `s1` of a command before `s0` would look
//! like one to execute.)
//!
//! If the table is moved to a larger one in between, the walk over it begins again; what was copied
//! before does no harm, since of two copies of an entry the later one stays.
//!
//! A snapshot is a sequence of chunks, each with its own checksum: appended to a file, or sent one
//! by one to a replica that is behind.

use crate::sessions::{SessionEntry, Sessions};
#[cfg(test)]
use crate::sim::mutation::Mutation;
use crate::store::{Store, Tagged};
use synod_protocols::bytes::{ALIGNMENT_BYTES, length_u32, put, round_up};

mod install;

pub use install::{Install, Installing, Restored, SnapshotError, chunk_number, next_chunk_bytes};

/// Bytes before the payload of a chunk.
///
/// | bytes | field |
/// |---|---|
/// | 0..4 | crc32c of all that follows |
/// | 4..8 | bytes of the payload, a multiple of 8 |
/// | 8..12 | number of the chunk |
/// | 12 | kind |
/// | 13 | format version |
/// | 14..16 | group |
/// | 16..24 | cluster |
/// | 24..32 | start version |
pub const CHUNK_HEADER_BYTES: usize = 32;

const FORMAT_VERSION: u8 = 1;

const ENTRY_HEADER_BYTES: usize = 24;
const SESSION_BYTES: usize = 32;

/// Which group's state it is. All replicas of a group have the same, so none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotIdentity {
    /// The cluster.
    pub cluster: u64,
    /// The group.
    pub group: u16,
}

/// What a chunk holds, in the order of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Sessions as of the start version.
    SessionsAtStart = 1,
    /// Entries of the table.
    Entries = 2,
    /// Sessions as of the end version.
    SessionsAtEnd = 3,
    /// The end version (u64) and the limit of the session table (u64): the snapshot is whole.
    End = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::SessionsAtStart),
            2 => Some(Self::Entries),
            3 => Some(Self::SessionsAtEnd),
            4 => Some(Self::End),
            _ => None,
        }
    }
}

/// Whether a capture is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to copy.
    More,
    /// The snapshot is whole.
    Done,
}

/// A snapshot being taken.
#[derive(Debug)]
pub struct Capture {
    identity: SnapshotIdentity,
    start: u64,
    /// Meaningful once all entries are copied.
    end: u64,
    kind: Kind,
    /// The sessions that are being written out, as they were at one moment.
    sessions: Sessions,
    /// Next place to copy, in the table or in `sessions`.
    slot: usize,
    rehashes: u64,
    chunks: u32,
}

impl Capture {
    /// Begins a snapshot between two batches; `start` is the version of the last command applied.
    /// Copies the session table (32 bytes per place).
    pub fn begin(
        identity: SnapshotIdentity,
        start: u64,
        store: &Store,
        sessions: &Sessions,
    ) -> Self {
        let (kind, sessions, rehashes) =
            (Kind::SessionsAtStart, sessions.clone(), store.rehashes());
        Self { identity, start, end: 0, kind, sessions, slot: 0, rehashes, chunks: 0 }
    }

    /// Appends one chunk of about `budget_bytes` to `out`, between two batches; a value that is
    /// larger than the budget makes the chunk larger. `applied` is the version of the last command
    /// applied.
    pub fn step(
        &mut self,
        store: &Store,
        sessions: &Sessions,
        applied: u64,
        budget_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Progress {
        assert!(applied >= self.start);
        let header_at = out.len();
        out.resize(header_at + CHUNK_HEADER_BYTES, 0);
        let kind = self.kind;
        match kind {
            Kind::SessionsAtStart => {
                if self.copy_sessions(budget_bytes, out) {
                    self.go_on_with(Kind::Entries);
                }
            }
            Kind::Entries => {
                if self.copy_entries(store, budget_bytes, out) {
                    self.sessions.copy_from(sessions);
                    self.end = applied;
                    self.go_on_with(Kind::SessionsAtEnd);
                }
            }
            Kind::SessionsAtEnd => {
                if self.copy_sessions(budget_bytes, out) {
                    self.go_on_with(Kind::End);
                }
            }
            Kind::End => {
                out.extend_from_slice(&self.end.to_le_bytes());
                out.extend_from_slice(&(self.sessions.count_max() as u64).to_le_bytes());
            }
        }
        self.seal(kind, &mut out[header_at..]);
        if kind == Kind::End { Progress::Done } else { Progress::More }
    }

    /// Commands after this version are not in the snapshot and must be replayed: the log from here
    /// on has to stay until the next snapshot.
    pub fn start(&self) -> u64 {
        self.start
    }

    fn go_on_with(&mut self, kind: Kind) {
        self.kind = kind;
        self.slot = 0;
    }

    /// Copies sessions up to the budget; true if these were the last.
    fn copy_sessions(&mut self, budget_bytes: usize, out: &mut Vec<u8>) -> bool {
        let slots = (budget_bytes / SESSION_BYTES).max(1);
        let end = self.sessions.slots().min(self.slot + slots);
        for slot in self.slot..end {
            let entry = self.sessions.entry_at(slot);
            #[cfg(test)]
            let entry = entry.filter(|_| !Mutation::OmitsSessions.is_on());
            if let Some(entry) = entry {
                put_session(entry, out);
            }
        }
        self.slot = end;
        end == self.sessions.slots()
    }

    /// Copies entries up to the budget; true if these were the last.
    fn copy_entries(&mut self, store: &Store, budget_bytes: usize, out: &mut Vec<u8>) -> bool {
        if self.rehashes != store.rehashes() {
            self.rehashes = store.rehashes();
            self.slot = 0;
        }
        // Looking at a free place costs a cache line, too.
        let end = store.slots().min(self.slot + (budget_bytes / 64).max(1));
        let bytes_max = out.len() + budget_bytes;
        while self.slot < end && out.len() < bytes_max {
            if let Some((key, tagged)) = store.tagged_at(self.slot) {
                put_entry(key, &tagged, out);
            }
            self.slot += 1;
        }
        self.slot == store.slots()
    }

    fn seal(&mut self, kind: Kind, chunk: &mut [u8]) {
        let payload_bytes = chunk.len() - CHUNK_HEADER_BYTES;
        assert!(payload_bytes.is_multiple_of(ALIGNMENT_BYTES));
        put(chunk, 4, &length_u32(payload_bytes).to_le_bytes());
        put(chunk, 8, &self.chunks.to_le_bytes());
        chunk[12] = kind as u8;
        chunk[13] = FORMAT_VERSION;
        put(chunk, 14, &self.identity.group.to_le_bytes());
        put(chunk, 16, &self.identity.cluster.to_le_bytes());
        put(chunk, 24, &self.start.to_le_bytes());
        let checksum = crc32c::crc32c(&chunk[4..]);
        put(chunk, 0, &checksum.to_le_bytes());
        self.chunks += 1;
    }
}

/// Key, version, length of the value with the top bit set for a tombstone, 4 zeros; then the value.
fn put_entry(key: u64, tagged: &Tagged<'_>, out: &mut Vec<u8>) {
    let end = out.len() + ENTRY_HEADER_BYTES + round_up(tagged.value.len(), ALIGNMENT_BYTES);
    out.extend_from_slice(&key.to_le_bytes());
    out.extend_from_slice(&tagged.version.to_le_bytes());
    let length = length_u32(tagged.value.len()) | u32::from(tagged.tombstone) << 31;
    out.extend_from_slice(&u64::from(length).to_le_bytes());
    out.extend_from_slice(tagged.value);
    out.resize(end, 0);
}

fn put_session(entry: &SessionEntry, out: &mut Vec<u8>) {
    for field in [entry.session, entry.sequence_and_outcome, entry.version, entry.result] {
        out.extend_from_slice(&field.to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
