//! What a log holds after a crash.
//!
//! The walk follows the chain of records from a known place until it breaks. What comes after the
//! break decides what it means. Writes complete in any order, so whole writes may lie behind one
//! that a crash tore; none of them was issued knowing that the torn one was durable. Every write
//! says up to where the log was durable when it was issued: if one says that the place of the break
//! was, something that was safe is lost, and the log is *damaged*. Otherwise the rest is the *torn*
//! tail, which may have been acknowledged only in its last write, and is cut.
//!
//! Cutting writes nothing. New writes go to the next block and have a new generation; what is left
//! behind of the old ones can then continue nothing.

use super::format::{self, BLOCK_BYTES, MARK_BYTES, Mark, MarkAt};
use super::segments::Segments;
use super::storage::{SegmentId, Storage};
use super::{Identity, Lsn};
#[cfg(test)]
use crate::sim::mutation::Mutation;
use std::fmt;
use std::io;
use synod_protocols::bytes::{index, round_up};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where the last whole record ends, and the log goes on.
    pub next: Lsn,
    /// Records shown.
    pub records: u64,
    /// Bytes of unfinished writes that were cut off. Unless this is a fault of the disk, nothing in
    /// them was acknowledged.
    pub torn_bytes: u64,
}

/// Why a log cannot be used. Each message is a sentence that names the file.
#[derive(Debug)]
pub enum LogError {
    /// Reading failed.
    Io(io::Error),
    /// A segment is missing between others.
    Missing {
        /// Its file.
        file: String,
    },
    /// A segment is too short or too long.
    Size {
        /// Its file.
        file: String,
        /// Its size.
        bytes: usize,
        /// The size that this log's segments have.
        expected: usize,
    },
    /// The log begins after the place from which it is needed, or ends before.
    Gap {
        /// The place.
        from: Lsn,
        /// Where the first segment begins.
        first: Lsn,
        /// Where the last segment ends.
        end: Lsn,
    },
    /// The log belongs to someone else.
    Foreign {
        /// The file that says so.
        file: String,
        /// The byte at which it does.
        byte: usize,
        /// Whose it is.
        owner: Identity,
        /// Who asked.
        reader: Identity,
    },
    /// The log has a format of another version of this program.
    Format {
        /// The file that says so.
        file: String,
        /// The number of its format.
        version: u16,
    },
    /// Something that was durable is lost: the replica must not vote before it was repaired.
    Damaged {
        /// The file in which a record is missing.
        file: String,
        /// The byte at which the record is missing.
        byte: usize,
        /// Where that is in the log.
        lsn: Lsn,
        /// The later write that shows that the record was there.
        witness: Lsn,
    },
}

impl LogError {
    /// Whether something that was durable is gone, as opposed to what is whole and cannot be used.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Size { .. } | Self::Gap { .. } | Self::Damaged { .. } => {
                true
            }
            Self::Io(_) | Self::Foreign { .. } | Self::Format { .. } => false,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Missing { file } => {
                write!(f, "{file} is missing, although later parts of the log exist")
            }
            Self::Size { file, bytes, expected } => {
                write!(f, "{file} has {bytes} bytes, but segments of this log have {expected}")
            }
            Self::Gap { from, first, end } => write!(
                f,
                "the log is needed from {from} on, but its files go from {first} to {end}"
            ),
            Self::Foreign { file, byte, owner, reader } => {
                write!(f, "{file} belongs to {owner} (byte {byte}); this is {reader}")
            }
            Self::Format { file, version } => {
                write!(f, "{file} has format {version}, which this version does not read")
            }
            Self::Damaged { file, byte, lsn, witness } => write!(
                f,
                "{file}: no valid record at byte {byte} (log position {lsn}), but the write at \
                 {witness} was made when it was durable: damaged, not torn"
            ),
        }
    }
}

impl std::error::Error for LogError {}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, replica, group } = self;
        write!(f, "replica {replica}, group {group} of cluster {cluster:x}")
    }
}

/// What the log needs to go on.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) recovered: Recovered,
    /// Checksum of the last record.
    pub(super) previous: u32,
    /// Largest generation seen anywhere after `from`.
    pub(super) generation_last: u32,
}

/// See [`super::Wal::open`].
pub(super) fn recover<S: Storage>(
    segments: &mut Segments<S>,
    identity: Identity,
    from: Lsn,
    mut visit: impl FnMut(Lsn, &[u8], &[u8]),
) -> Result<Found, LogError> {
    let (first, end) = segments.range();
    // An LSN at the very end of a segment is known from the record before, which is in there.
    if from < first || from > end {
        return Err(LogError::Gap { from, first, end });
    }
    let bytes = if first == end { 0 } else { segments.limits().segment_bytes };
    let mut walk = Walk {
        segments,
        identity,
        seed: identity.seed(),
        loaded: None,
        bytes: vec![0; bytes],
        at: from,
        previous: (from == Lsn(0)).then_some(0),
        generation: None,
        write_end: from,
        records: 0,
    };
    while walk.record(&mut visit)? || walk.mark()? {}
    let (generation_last, torn_end) = walk.examine_rest(end)?;
    // The end may have been found in the disk's cache only; what is replayed must be durable.
    walk.segments.sync_from(from).map_err(LogError::Io)?;
    let recovered =
        Recovered { next: walk.at, records: walk.records, torn_bytes: torn_end.0 - walk.at.0 };
    Ok(Found { recovered, previous: walk.previous.unwrap_or(0), generation_last })
}

struct Walk<'a, S> {
    segments: &'a mut Segments<S>,
    identity: Identity,
    seed: u32,
    /// The segment in `bytes`.
    loaded: Option<SegmentId>,
    bytes: Vec<u8>,
    /// Where the last record ended.
    at: Lsn,
    /// Its checksum. `None` if the walk began after it.
    previous: Option<u32>,
    /// Generation of the write that the walk is in, if it saw its mark or a record.
    generation: Option<u32>,
    /// Where that write ends according to its mark.
    write_end: Lsn,
    records: u64,
}

impl<S: Storage> Walk<'_, S> {
    /// The bytes of the segment from `lsn` on; none behind the last segment.
    fn bytes_at(&mut self, lsn: Lsn) -> Result<&[u8], LogError> {
        if !self.segments.is_ready(lsn) {
            return Ok(&[]);
        }
        let (segment, offset) = self.segments.place(lsn);
        if self.loaded != Some(segment) {
            self.segments.read(segment, &mut self.bytes).map_err(LogError::Io)?;
            self.loaded = Some(segment);
        }
        Ok(&self.bytes[offset..])
    }

    /// Goes over one record, if one continues the chain here.
    fn record(&mut self, visit: &mut impl FnMut(Lsn, &[u8], &[u8])) -> Result<bool, LogError> {
        let (at, seed, previous, generation) = (self.at, self.seed, self.previous, self.generation);
        let Some(framed) = format::record_at(self.bytes_at(at)?, seed) else { return Ok(false) };
        let continues = framed.link.lsn == at
            && previous.is_none_or(|previous| framed.link.previous == previous)
            && generation.is_none_or(|generation| framed.link.generation == generation);
        #[cfg(test)]
        let continues = continues || Mutation::IgnoresPlace.is_on();
        if !continues {
            return Ok(false);
        }
        let end = Lsn(at.0 + framed.framed_bytes as u64);
        visit(end, framed.record, framed.payload);
        let (checksum, generation) = (framed.checksum, framed.link.generation);
        self.at = end;
        self.previous = Some(checksum);
        self.generation = Some(generation);
        self.write_end = self.write_end.max(end);
        self.records += 1;
        Ok(true)
    }

    /// Goes over the mark of the write that follows the last record, on the next block or at the
    /// start of the next segment.
    fn mark(&mut self) -> Result<bool, LogError> {
        let segment_bytes = self.segments.limits().segment_bytes as u64;
        let block = Lsn(round_up(index(self.at.0), BLOCK_BYTES) as u64);
        let segment = Lsn(self.at.0.next_multiple_of(segment_bytes));
        for lsn in [block, segment] {
            let MarkAt::Mark(mark) = format::mark_at(self.bytes_at(lsn)?) else { continue };
            let continues = self.continues(lsn, &mark);
            #[cfg(test)]
            let continues = continues || Mutation::IgnoresPlace.is_on();
            if continues {
                self.at = Lsn(lsn.0 + MARK_BYTES as u64);
                self.previous = Some(mark.link.previous);
                self.generation = Some(mark.link.generation);
                self.write_end = Lsn(lsn.0 + mark.used as u64);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn continues(&self, lsn: Lsn, mark: &Mark) -> bool {
        // A later generation knows where it goes on, but, having been opened from a later place
        // than this walk, not always after which record.
        let later = self.generation.is_none_or(|generation| mark.link.generation > generation);
        let same = self.generation == Some(mark.link.generation)
            && self.previous == Some(mark.link.previous);
        mark.identity == self.identity
            && mark.link.lsn == lsn
            && mark.previous_end == self.at
            && (later || same)
    }

    /// Reads what lies behind the break. Returns the largest generation and where unfinished writes
    /// end.
    fn examine_rest(&mut self, end: Lsn) -> Result<(u32, Lsn), LogError> {
        let mut generation_last = self.generation.unwrap_or(0);
        let mut torn_end = self.write_end.max(self.at);
        let mut lsn = Lsn(self.at.0 / BLOCK_BYTES as u64 * BLOCK_BYTES as u64);
        while lsn < end {
            let mark = match format::mark_at(self.bytes_at(lsn)?) {
                MarkAt::None => None,
                MarkAt::OtherFormat(version) => {
                    let file = self.segments.name(lsn);
                    return Err(LogError::Format { file, version });
                }
                MarkAt::Mark(mark) => Some(mark),
            };
            if let Some(mark) = mark {
                self.examine(lsn, &mark)?;
                if mark.link.lsn == lsn {
                    generation_last = generation_last.max(mark.link.generation);
                    torn_end = torn_end.max(Lsn(lsn.0 + mark.used as u64));
                }
            } else if let Some(end) = self.record_behind_lost_mark(lsn)? {
                torn_end = torn_end.max(end);
            }
            lsn = Lsn(lsn.0 + BLOCK_BYTES as u64);
        }
        Ok((generation_last, torn_end))
    }

    /// Where the first record of a write ends whose mark should be at `lsn` and is not whole: the
    /// record shows that there was a write.
    fn record_behind_lost_mark(&mut self, lsn: Lsn) -> Result<Option<Lsn>, LogError> {
        let (seed, first) = (self.seed, Lsn(lsn.0 + MARK_BYTES as u64));
        let framed = format::record_at(self.bytes_at(first)?, seed);
        let framed = framed.filter(|framed| framed.link.lsn == first);
        Ok(framed.map(|framed| Lsn(first.0 + framed.framed_bytes as u64)))
    }

    /// Decides what a whole mark behind the break, found at `lsn`, says about the log.
    fn examine(&self, lsn: Lsn, mark: &Mark) -> Result<(), LogError> {
        if mark.identity != self.identity {
            let (file, byte) = (self.segments.name(lsn), self.segments.place(lsn).1);
            let (owner, reader) = (mark.identity, self.identity);
            return Err(LogError::Foreign { file, byte, owner, reader });
        }
        // A recycled segment holds what was earlier in the log. What was later got here by mistake.
        let misplaced = mark.link.lsn > lsn;
        let knows_more = mark.link.lsn == lsn && mark.durable > self.at;
        if misplaced || knows_more {
            return Err(LogError::Damaged {
                file: self.segments.name(self.at),
                byte: self.segments.place(self.at).1,
                lsn: self.at,
                witness: mark.link.lsn,
            });
        }
        Ok(())
    }
}
