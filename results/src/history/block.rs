//! A block of operations as columns, and back.
//!
//! Every operation has a tag (kind, outcome, which of the sparse columns hold a value of its), a
//! start (as a zigzag difference), a latency, a key and a session. The sparse columns follow:
//! what it wrote, expected and observed (session and sequence apart) and its version (as a zigzag
//! difference). A written id is almost always of the operation's own session, so it is stored as
//! the distance from that session's first id.

use super::columns;
use super::format::BLOCK_OPERATIONS_MAX;
use super::{Kind, Operation, Outcome};

const OUTCOME_SHIFT: u32 = 3;
const NUMBER_MASK: u64 = 7;
const HAS_WRITTEN: u64 = 1 << 6;
const HAS_EXPECTED: u64 = 1 << 7;
const HAS_OBSERVED: u64 = 1 << 8;
const HAS_VERSION: u64 = 1 << 9;
/// The end is `u64::MAX`, not the start plus a latency.
const NEVER_ENDED: u64 = 1 << 10;
const TAG_END: u64 = 1 << 11;

const LOW_HALF: u64 = u32::MAX as u64;

/// Encodes and decodes blocks; keeps its columns so that a warm codec allocates nothing.
#[derive(Debug, Default)]
pub(super) struct BlockCodec {
    tags: Vec<u64>,
    starts: Vec<u64>,
    latencies: Vec<u64>,
    keys: Vec<u64>,
    sessions: Vec<u64>,
    written: Vec<u64>,
    expected_high: Vec<u64>,
    expected_low: Vec<u64>,
    observed_high: Vec<u64>,
    observed_low: Vec<u64>,
    versions: Vec<u64>,
}

impl BlockCodec {
    /// Appends `operations`, at most [`BLOCK_OPERATIONS_MAX`], to `out`.
    pub(super) fn encode(&mut self, operations: &[Operation], out: &mut Vec<u8>) {
        assert!(operations.len() <= BLOCK_OPERATIONS_MAX);
        self.clear();
        let (mut start_before, mut version_before) = (0, 0);
        for operation in operations {
            self.tags.push(tag_of(operation));
            self.starts.push(zigzag(operation.start_ns.wrapping_sub(start_before)));
            start_before = operation.start_ns;
            let ended = operation.end_ns != u64::MAX;
            let latency = operation.end_ns.wrapping_sub(operation.start_ns);
            self.latencies.push(if ended { latency } else { 0 });
            self.keys.push(operation.key);
            self.sessions.push(u64::from(operation.session));
            if operation.written != 0 {
                let first = Operation::id(operation.session, 0);
                self.written.push(operation.written.wrapping_sub(first));
            }
            if operation.expected != 0 {
                self.expected_high.push(operation.expected >> 32);
                self.expected_low.push(operation.expected & LOW_HALF);
            }
            if operation.observed != 0 {
                self.observed_high.push(operation.observed >> 32);
                self.observed_low.push(operation.observed & LOW_HALF);
            }
            if operation.version != 0 {
                self.versions.push(zigzag(operation.version.wrapping_sub(version_before)));
                version_before = operation.version;
            }
        }
        for column in self.columns() {
            columns::encode(column, out);
        }
        out.extend_from_slice(&[0; columns::PADDING_BYTES]);
    }

    /// Replaces `operations` by the `count` that `bytes` hold; false if they are malformed.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        count: usize,
        operations: &mut Vec<Operation>,
    ) -> bool {
        operations.clear();
        let columns_end = bytes.len().checked_sub(columns::PADDING_BYTES);
        columns_end.is_some()
            && self.decode_columns(bytes, count) == columns_end
            && self.assemble(operations)
    }

    fn decode_columns(&mut self, bytes: &[u8], count: usize) -> Option<usize> {
        self.tags.resize(count, 0);
        let mut at = columns::decode(bytes, 0, &mut self.tags)?;
        let mut all = 0;
        let [mut written, mut expected, mut observed, mut versions] = [0_usize; 4];
        for &tag in &self.tags {
            all |= tag;
            written += usize::from(tag & HAS_WRITTEN != 0);
            expected += usize::from(tag & HAS_EXPECTED != 0);
            observed += usize::from(tag & HAS_OBSERVED != 0);
            versions += usize::from(tag & HAS_VERSION != 0);
        }
        if all >= TAG_END {
            return None;
        }
        for (column, length) in [
            (&mut self.starts, count),
            (&mut self.latencies, count),
            (&mut self.keys, count),
            (&mut self.sessions, count),
            (&mut self.written, written),
            (&mut self.expected_high, expected),
            (&mut self.expected_low, expected),
            (&mut self.observed_high, observed),
            (&mut self.observed_low, observed),
            (&mut self.versions, versions),
        ] {
            column.resize(length, 0);
            at = columns::decode(bytes, at, column)?;
        }
        Some(at)
    }

    /// Joins the columns. False if a number stands for nothing.
    fn assemble(&self, operations: &mut Vec<Operation>) -> bool {
        let mut written = self.written.iter();
        let mut expected = self.expected_high.iter().zip(&self.expected_low);
        let mut observed = self.observed_high.iter().zip(&self.observed_low);
        let mut versions = self.versions.iter();
        let (mut start_ns, mut version) = (0_u64, 0_u64);
        let times = self.starts.iter().zip(&self.latencies);
        let names = self.keys.iter().zip(&self.sessions);
        for ((&tag, (&start, &latency)), (&key, &session)) in self.tags.iter().zip(times).zip(names)
        {
            let (Some(kind), Some(outcome), Ok(session)) = (
                Kind::from_number(tag & NUMBER_MASK),
                Outcome::from_number(tag >> OUTCOME_SHIFT & NUMBER_MASK),
                u32::try_from(session),
            ) else {
                return false;
            };
            start_ns = start_ns.wrapping_add(unzigzag(start));
            let answered = tag & NEVER_ENDED == 0;
            let end_ns = if answered { start_ns.wrapping_add(latency) } else { u64::MAX };
            let mut operation =
                Operation { start_ns, end_ns, key, session, kind, outcome, ..Operation::default() };
            if tag & HAS_WRITTEN != 0 {
                let distance = written.next().map_or(0, |&distance| distance);
                operation.written = Operation::id(session, 0).wrapping_add(distance);
            }
            if tag & HAS_EXPECTED != 0 {
                operation.expected = expected.next().map_or(0, |(&high, &low)| high << 32 | low);
            }
            if tag & HAS_OBSERVED != 0 {
                operation.observed = observed.next().map_or(0, |(&high, &low)| high << 32 | low);
            }
            if tag & HAS_VERSION != 0 {
                let difference = versions.next().map_or(0, |&folded| unzigzag(folded));
                version = version.wrapping_add(difference);
                operation.version = version;
            }
            operations.push(operation);
        }
        true
    }

    fn clear(&mut self) {
        self.tags.clear();
        self.starts.clear();
        self.latencies.clear();
        self.keys.clear();
        self.sessions.clear();
        self.written.clear();
        self.expected_high.clear();
        self.expected_low.clear();
        self.observed_high.clear();
        self.observed_low.clear();
        self.versions.clear();
    }

    fn columns(&self) -> [&[u64]; 11] {
        [
            &self.tags,
            &self.starts,
            &self.latencies,
            &self.keys,
            &self.sessions,
            &self.written,
            &self.expected_high,
            &self.expected_low,
            &self.observed_high,
            &self.observed_low,
            &self.versions,
        ]
    }
}

fn tag_of(operation: &Operation) -> u64 {
    let has = |value: u64, flag: u64| if value == 0 { 0 } else { flag };
    operation.kind as u64
        | (operation.outcome as u64) << OUTCOME_SHIFT
        | has(operation.written, HAS_WRITTEN)
        | has(operation.expected, HAS_EXPECTED)
        | has(operation.observed, HAS_OBSERVED)
        | has(operation.version, HAS_VERSION)
        | if operation.end_ns == u64::MAX { NEVER_ENDED } else { 0 }
}

/// Folds a difference that may be negative into a number that is small if the difference is.
const fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ (difference.cast_signed() >> 63).cast_unsigned()
}

const fn unzigzag(folded: u64) -> u64 {
    (folded >> 1) ^ (folded & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zigzag_is_undone_and_small_for_small_differences() {
        for value in [0_u64, 1, u64::MAX, 1 << 63, u64::MAX >> 1, 12345, 12345_u64.wrapping_neg()] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!(zigzag(1_u64.wrapping_neg()), 1);
        assert_eq!(zigzag(3), 6);
    }

    #[test]
    fn a_block_with_an_unknown_kind_is_refused() {
        let mut bytes = Vec::new();
        let mut codec = BlockCodec::default();
        codec.encode(&[Operation::default()], &mut bytes);
        assert!(codec.decode(&bytes, 1, &mut Vec::new()));
        bytes[0] = 5;
        assert!(!codec.decode(&bytes, 1, &mut Vec::new()));
    }
}
