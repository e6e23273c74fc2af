//! How the log looks on disk.
//!
//! A segment is a sequence of writes, each beginning on a block. A write is a mark and records:
//!
//! | bytes | mark and record |
//! |---|---|
//! | 0..4 | crc32c of all that follows; of a record, seeded with the owner's identity |
//! | 4..8 | crc of the record before, or of the last record before the mark |
//! | 8..16 | LSN: where in the log this is |
//! | 16..20 | bytes of the payload |
//! | 20 | bytes of the record |
//! | 21 | kind: 1 record, 2 mark |
//! | 22..24 | format version of a mark, else zero |
//! | 24..28 | generation: how often the log was opened for writing |
//! | 28..32 | zero |
//!
//! A record is followed by its bytes and its payload, each padded to a multiple of 8, a mark by:
//!
//! | bytes | mark |
//! |---|---|
//! | 32..40 | LSN at which the write before ended; what lies between is padding |
//! | 40..48 | LSN up to which the log was durable when this write was issued |
//! | 48..56 | cluster |
//! | 56..58, 58..60 | replica, group |
//! | 60..64 | bytes used by the mark and the records of this write |
//!
//! What lies at the wrong place has the wrong LSN; what a recycled segment still holds has an older
//! one; what a crash left beyond the end has an older generation or does not continue the chain.

use super::{Identity, Lsn};
use synod_protocols::bytes::{
    ALIGNMENT_BYTES, index, length_u32, put, round_up, u16_at, u32_at, u64_at,
};

/// Unit of the disk: every write begins and ends on a multiple of it.
pub(super) const BLOCK_BYTES: usize = 4096;

pub(super) const HEADER_BYTES: usize = 32;
pub(super) const MARK_BYTES: usize = 64;

/// Longest record: what a protocol states about itself. Commands travel as payload.
pub(super) const RECORD_BYTES_MAX: usize = 64;

const KIND_RECORD: u8 = 1;
const KIND_MARK: u8 = 2;
const FORMAT_VERSION: u16 = 1;

impl Identity {
    /// Start value for the checksums of this owner's records.
    pub(super) fn seed(self) -> u32 {
        let mut bytes = [0; 12];
        put(&mut bytes, 0, &self.cluster.to_le_bytes());
        put(&mut bytes, 8, &self.replica.to_le_bytes());
        put(&mut bytes, 10, &self.group.to_le_bytes());
        crc32c::crc32c(&bytes)
    }
}

/// What ties a record to its place: the same for all records of a write, but for the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) previous: u32,
    pub(super) lsn: Lsn,
    pub(super) generation: u32,
}

/// The first bytes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) link: Link,
    pub(super) previous_end: Lsn,
    pub(super) durable: Lsn,
    pub(super) identity: Identity,
    pub(super) used: usize,
}

/// A record read from disk whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framed<'a> {
    pub(super) checksum: u32,
    pub(super) link: Link,
    pub(super) record: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) framed_bytes: usize,
}

/// Bytes that a record with its payload takes in the log.
pub(super) fn framed_bytes(record_bytes: usize, payload_bytes: usize) -> usize {
    HEADER_BYTES
        + round_up(record_bytes, ALIGNMENT_BYTES)
        + round_up(payload_bytes, ALIGNMENT_BYTES)
}

/// Writes a record to the start of `out` and returns its checksum.
pub(super) fn put_record(
    out: &mut [u8],
    seed: u32,
    link: Link,
    record: &[u8],
    payload: &[u8],
) -> u32 {
    let framed = framed_bytes(record.len(), payload.len());
    let payload_start = HEADER_BYTES + round_up(record.len(), ALIGNMENT_BYTES);
    let out = &mut out[..framed];
    out[HEADER_BYTES + record.len()..payload_start].fill(0);
    out[payload_start + payload.len()..].fill(0);
    put_header(out, link, KIND_RECORD, record.len(), payload.len());
    put(out, HEADER_BYTES, record);
    put(out, payload_start, payload);
    let checksum = crc32c::crc32c_append(seed, &out[4..]);
    put(out, 0, &checksum.to_le_bytes());
    checksum
}

/// Writes a mark to the start of `out`.
pub(super) fn put_mark(out: &mut [u8], mark: &Mark) {
    let out = &mut out[..MARK_BYTES];
    put_header(out, mark.link, KIND_MARK, 0, 0);
    put(out, 22, &FORMAT_VERSION.to_le_bytes());
    put(out, 32, &mark.previous_end.0.to_le_bytes());
    put(out, 40, &mark.durable.0.to_le_bytes());
    put(out, 48, &mark.identity.cluster.to_le_bytes());
    put(out, 56, &mark.identity.replica.to_le_bytes());
    put(out, 58, &mark.identity.group.to_le_bytes());
    put(out, 60, &length_u32(mark.used).to_le_bytes());
    let checksum = crc32c::crc32c(&out[4..]);
    put(out, 0, &checksum.to_le_bytes());
}

fn put_header(out: &mut [u8], link: Link, kind: u8, record_bytes: usize, payload_bytes: usize) {
    assert!(record_bytes <= RECORD_BYTES_MAX);
    out[..HEADER_BYTES].fill(0);
    put(out, 4, &link.previous.to_le_bytes());
    put(out, 8, &link.lsn.0.to_le_bytes());
    put(out, 16, &length_u32(payload_bytes).to_le_bytes());
    out[20] = u8::try_from(record_bytes).expect("64 at most");
    out[21] = kind;
    put(out, 24, &link.generation.to_le_bytes());
}

fn link(bytes: &[u8]) -> Link {
    Link { previous: u32_at(bytes, 4), lsn: Lsn(u64_at(bytes, 8)), generation: u32_at(bytes, 24) }
}

/// The record at the start of `bytes`, if there is one, whole, of the owner with this seed.
pub(super) fn record_at(bytes: &[u8], seed: u32) -> Option<Framed<'_>> {
    if bytes.len() < HEADER_BYTES || bytes[21] != KIND_RECORD {
        return None;
    }
    let record_bytes = usize::from(bytes[20]);
    let payload_bytes = index(u64::from(u32_at(bytes, 16)));
    let framed_bytes = framed_bytes(record_bytes, payload_bytes);
    let bytes = bytes.get(..framed_bytes)?;
    let checksum = u32_at(bytes, 0);
    if record_bytes > RECORD_BYTES_MAX || crc32c::crc32c_append(seed, &bytes[4..]) != checksum {
        return None;
    }
    let payload_start = HEADER_BYTES + round_up(record_bytes, ALIGNMENT_BYTES);
    Some(Framed {
        checksum,
        link: link(bytes),
        record: &bytes[HEADER_BYTES..HEADER_BYTES + record_bytes],
        payload: &bytes[payload_start..payload_start + payload_bytes],
        framed_bytes,
    })
}

/// What lies where a mark may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkAt {
    /// No mark, or one that is not whole.
    None,
    /// A whole mark of a format that this program does not know.
    OtherFormat(u16),
    /// A whole mark, of whatever owner.
    Mark(Mark),
}

/// Reads the mark at the start of `bytes`.
pub(super) fn mark_at(bytes: &[u8]) -> MarkAt {
    let Some(bytes) = bytes.get(..MARK_BYTES) else { return MarkAt::None };
    if bytes[21] != KIND_MARK || crc32c::crc32c(&bytes[4..]) != u32_at(bytes, 0) {
        return MarkAt::None;
    }
    if u16_at(bytes, 22) != FORMAT_VERSION {
        return MarkAt::OtherFormat(u16_at(bytes, 22));
    }
    MarkAt::Mark(Mark {
        link: link(bytes),
        previous_end: Lsn(u64_at(bytes, 32)),
        durable: Lsn(u64_at(bytes, 40)),
        identity: Identity {
            cluster: u64_at(bytes, 48),
            replica: u16_at(bytes, 56),
            group: u16_at(bytes, 58),
        },
        used: index(u64::from(u32_at(bytes, 60))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { cluster: 9, replica: 2, group: 1 };
    const LINK: Link = Link { previous: 5, lsn: Lsn(4096), generation: 3 };

    #[test]
    fn records_come_back_and_only_to_their_owner() {
        let mut out = [0xff; 200];
        let checksum = put_record(&mut out, IDENTITY.seed(), LINK, b"vote", b"commands");
        let framed = record_at(&out, IDENTITY.seed()).unwrap();
        assert_eq!((framed.record, framed.payload), (b"vote".as_slice(), b"commands".as_slice()));
        assert_eq!((framed.link, framed.checksum, framed.framed_bytes), (LINK, checksum, 48));
        for other in [
            Identity { cluster: 8, ..IDENTITY },
            Identity { replica: 1, ..IDENTITY },
            Identity { group: 0, ..IDENTITY },
        ] {
            assert!(record_at(&out, other.seed()).is_none());
        }
    }

    #[test]
    fn marks_come_back_and_flipped_bits_are_seen() {
        let mark = Mark {
            link: LINK,
            previous_end: Lsn(4000),
            durable: Lsn(3000),
            identity: IDENTITY,
            used: 100,
        };
        let mut out = [0; MARK_BYTES];
        put_mark(&mut out, &mark);
        assert_eq!(mark_at(&out), MarkAt::Mark(mark));
        for bit in 0..MARK_BYTES * 8 {
            let mut flipped = out;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(mark_at(&flipped), MarkAt::None);
        }
        assert_eq!(mark_at(&out[..63]), MarkAt::None);
    }
}
