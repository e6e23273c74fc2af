//! From the chunks of a snapshot back to a table and its sessions.

use super::{
    CHUNK_HEADER_BYTES, ENTRY_HEADER_BYTES, FORMAT_VERSION, Kind, SESSION_BYTES, SnapshotIdentity,
};
use crate::apply::apply_batch;
use crate::sessions::{SessionEntry, Sessions};
use crate::store::{Store, StoreLimits, Tagged};
use std::fmt;
use synod_protocols::bytes::{ALIGNMENT_BYTES, index, round_up, u16_at, u32_at, u64_at};
use synod_protocols::command::VALUE_BYTES_MAX;

/// Why a chunk was refused. What was installed before it is of no use then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// The chunk is cut off or its checksum is wrong.
    Damaged {
        /// The chunk that was expected.
        chunk: u32,
    },
    /// The chunk is whole, but not the next one of this snapshot.
    OutOfOrder {
        /// The chunk that was expected.
        chunk: u32,
    },
    /// The chunk belongs to someone else.
    Foreign {
        /// Whose state it is.
        owner: SnapshotIdentity,
    },
    /// The chunk has a format of another version of this program.
    Format {
        /// The number of its format.
        version: u8,
    },
    /// The chunk is whole and next, but says what cannot be, or what the limits here do not allow.
    Impossible {
        /// The chunk.
        chunk: u32,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { chunk } => write!(f, "chunk {chunk} of the snapshot is damaged"),
            Self::OutOfOrder { chunk } => {
                write!(f, "chunk {chunk} of the snapshot was expected, but another one came")
            }
            Self::Foreign { owner: SnapshotIdentity { cluster, group } } => {
                write!(f, "the snapshot belongs to group {group} of cluster {cluster:x}")
            }
            Self::Format { version } => {
                write!(f, "the snapshot has format {version}, which this version does not read")
            }
            Self::Impossible { chunk } => {
                write!(f, "chunk {chunk} of the snapshot does not fit the limits of this replica")
            }
        }
    }
}

impl std::error::Error for SnapshotError {}

/// Length of the chunk that begins with these bytes, as far as its header says; `None` if not even
/// the header is there. For cutting a file into chunks; the chunk is checked when it is installed.
pub fn next_chunk_bytes(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<CHUNK_HEADER_BYTES>()?;
    Some(CHUNK_HEADER_BYTES + index(u64::from(u32_at(header, 4))))
}

/// The number of a chunk within its snapshot, as far as its header says.
pub fn chunk_number(chunk: &[u8]) -> Option<u32> {
    (chunk.len() >= CHUNK_HEADER_BYTES).then(|| u32_at(chunk, 8))
}

/// A snapshot being installed, chunk by chunk.
#[derive(Debug)]
pub struct Install {
    identity: SnapshotIdentity,
    store: Store,
    sessions_at_start: Sessions,
    sessions_at_end: Sessions,
    kind: Kind,
    chunks: u32,
    start: u64,
}

impl Install {
    /// Into an empty table. `sessions_max` is the limit of sessions, which all replicas share.
    pub fn new(identity: SnapshotIdentity, limits: StoreLimits, sessions_max: usize) -> Self {
        Self {
            identity,
            store: Store::new(limits),
            sessions_at_start: Sessions::new(sessions_max),
            sessions_at_end: Sessions::new(sessions_max),
            kind: Kind::SessionsAtStart,
            chunks: 0,
            start: 0,
        }
    }

    /// Installs the next chunk, exactly one. The last one gives the result.
    ///
    /// # Errors
    ///
    /// The chunk is not a whole, fitting, next chunk of this snapshot.
    pub fn chunk(mut self, chunk: &[u8]) -> Result<Installing, SnapshotError> {
        let kind = self.check(chunk)?;
        let payload = &chunk[CHUNK_HEADER_BYTES..];
        let fits = match kind {
            Kind::SessionsAtStart => restore_sessions(&mut self.sessions_at_start, payload),
            Kind::Entries => restore_entries(&mut self.store, payload),
            Kind::SessionsAtEnd => restore_sessions(&mut self.sessions_at_end, payload),
            Kind::End => payload.len() == 16,
        };
        let impossible = SnapshotError::Impossible { chunk: self.chunks };
        if !fits {
            return Err(impossible);
        }
        self.kind = kind;
        self.chunks += 1;
        if kind != Kind::End {
            return Ok(Installing::More(self));
        }
        let end = u64_at(payload, 0);
        if end < self.start || u64_at(payload, 8) != self.sessions_at_end.count_max() as u64 {
            return Err(impossible);
        }
        Ok(Installing::Done(Restored {
            store: self.store,
            sessions: self.sessions_at_start,
            sessions_at_end: self.sessions_at_end,
            start: self.start,
            end,
        }))
    }

    /// Checks that the chunk is whole, ours and next.
    fn check(&mut self, chunk: &[u8]) -> Result<Kind, SnapshotError> {
        let number = self.chunks;
        if next_chunk_bytes(chunk) != Some(chunk.len())
            || crc32c::crc32c(&chunk[4..]) != u32_at(chunk, 0)
        {
            return Err(SnapshotError::Damaged { chunk: number });
        }
        if chunk[13] != FORMAT_VERSION {
            return Err(SnapshotError::Format { version: chunk[13] });
        }
        let owner = SnapshotIdentity { cluster: u64_at(chunk, 16), group: u16_at(chunk, 14) };
        if owner != self.identity {
            return Err(SnapshotError::Foreign { owner });
        }
        let kind = Kind::from_byte(chunk[12]).ok_or(SnapshotError::Impossible { chunk: number })?;
        if number == 0 {
            self.start = u64_at(chunk, 24);
        }
        let next = u32_at(chunk, 8) == number && u64_at(chunk, 24) == self.start;
        let follows = kind == self.kind || kind as u8 == self.kind as u8 + 1;
        if !next || !follows {
            return Err(SnapshotError::OutOfOrder { chunk: number });
        }
        Ok(kind)
    }
}

/// What the installation of a chunk leads to.
#[derive(Debug)]
pub enum Installing {
    /// Further chunks are to come.
    More(Install),
    /// That was the last one.
    Done(Restored),
}

/// An installed snapshot over which the log has to be replayed from [`Self::start`] to
/// [`Self::end`]. Until then the table is not the state of any moment and must not be read.
#[derive(Debug)]
pub struct Restored {
    store: Store,
    sessions: Sessions,
    sessions_at_end: Sessions,
    start: u64,
    end: u64,
}

impl Restored {
    /// Commands up to this version are not needed.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Commands up to this version, the last of a batch, have to be replayed here.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Replays a batch of commands after [`Self::start`] and up to [`Self::end`]. Batches come in
    /// order, none left out; no one waits for the answers.
    pub fn replay(&mut self, version_base: u64, batch: &[u8]) {
        assert!(version_base > self.start);
        assert!(version_base <= self.end);
        apply_batch(version_base, batch, &mut self.store, &mut self.sessions, |_, _| {});
    }

    /// The state at [`Self::end`], once all batches up to there were replayed.
    pub fn finish(self) -> (Store, Sessions) {
        (self.store, self.sessions_at_end)
    }
}

/// Returns false if the payload is not a sequence of possible entries.
fn restore_entries(store: &mut Store, mut payload: &[u8]) -> bool {
    while let Some((header, rest)) = payload.split_first_chunk::<ENTRY_HEADER_BYTES>() {
        let (key, version, length) = (u64_at(header, 0), u64_at(header, 8), u64_at(header, 16));
        let tombstone = length >> 31 == 1;
        let value_bytes = index(length & 0x7fff_ffff);
        let padded = round_up(value_bytes, ALIGNMENT_BYTES);
        let possible = version != 0
            && length >> 32 == 0
            && value_bytes <= VALUE_BYTES_MAX
            && (!tombstone || value_bytes == 8)
            && rest.len() >= padded;
        if !possible {
            return false;
        }
        store.put_tagged(key, Tagged { version, value: &rest[..value_bytes], tombstone });
        payload = &rest[padded..];
    }
    payload.is_empty()
}

/// Returns false if the payload is not a sequence of possible sessions, or has too many.
fn restore_sessions(sessions: &mut Sessions, payload: &[u8]) -> bool {
    let (entries, rest) = payload.as_chunks::<SESSION_BYTES>();
    rest.is_empty()
        && entries.iter().all(|bytes| {
            let entry = SessionEntry {
                session: u64_at(bytes, 0),
                sequence_and_outcome: u64_at(bytes, 8),
                version: u64_at(bytes, 16),
                result: u64_at(bytes, 24),
            };
            entry.is_possible() && sessions.restore(entry)
        })
}
