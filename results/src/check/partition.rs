//! Sorts the records of a history by a hash of their keys into partitions, each small enough to
//! be judged within the processor's caches, and a history that is too large for the memory into
//! parts.

use super::record::{Record, key_hash, records_of};
use crate::history::Operation;

/// Up to so many records are not partitioned: they fit into the second-level cache as they are.
const UNDIVIDED_RECORDS: usize = 8192;
/// The more partitions, the fewer of their ends stay in the caches while they are filled.
const PARTITION_BITS_MAX: u32 = 10;
/// Records of a chunk, which is a page of memory.
const CHUNK_RECORDS: u32 = 128;
const _: () = assert!(UNDIVIDED_RECORDS.is_multiple_of(CHUNK_RECORDS as usize));

/// Bits of the hash by which a history is split into parts that fit into memory.
const SLOT_BITS: u32 = 16;
/// Memory for a record.
const RECORD_BYTES: u64 = size_of::<Record>() as u64;
/// Memory for a record of the partition at hand, if it makes a group: the group, its zone, its
/// share of the table.
const JUDGED_BYTES: u64 = 80;

const fn memory_bytes(records: u64, at_hand: u64) -> u64 {
    records * RECORD_BYTES + at_hand * JUDGED_BYTES
}

/// A chunk that its partition has left.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// Records in it.
    used: u32,
    /// The chunk that continues it.
    next: u32,
}

/// Where the next record of a partition goes, and where its last chunk ends.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    next: u32,
    end: u32,
}

/// A list of chunks.
#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    first_chunk: u32,
    /// Where the last chunk begins.
    begin: u32,
    /// Records in the chunks before the last one.
    before: u32,
}

/// The records of a history or of a part of it.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    /// Chunks of records, each of one partition.
    records: Vec<Record>,
    chunks: Vec<Chunk>,
    /// Of each partition what is needed for every record, in little memory.
    cursors: Vec<Cursor>,
    partitions: Vec<Partition>,
    bits_max: u32,
}

impl Partitions {
    /// Prepares for so much memory: of many partitions the last chunks alone would not fit into
    /// little.
    pub(super) fn new(memory_bytes_max: u64) -> Self {
        let chunk_bytes = CHUNK_RECORDS as u64 * RECORD_BYTES;
        let partitions_max = (memory_bytes_max / chunk_bytes / 4).max(1);
        let bits_max = partitions_max.ilog2().min(PARTITION_BITS_MAX);
        let mut partitions = Self { bits_max, ..Self::default() };
        partitions.clear();
        partitions
    }

    /// Forgets all records, and keeps their memory.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.chunks.clear();
        self.resize(1);
    }

    fn resize(&mut self, partitions: usize) {
        self.partitions.clear();
        self.partitions.resize(partitions, Partition::default());
        self.cursors.clear();
        self.cursors.resize(partitions, Cursor::default());
    }

    /// Takes in a record. There is room for one to follow in the same chunk.
    #[inline(always)]
    pub(super) fn add(&mut self, record: &Record) {
        let mut at = partition_of(record.key, self.cursors.len());
        let cursor = self.cursors[at];
        // The record itself stays out of the rare call, and so in registers.
        if cursor.end.wrapping_sub(cursor.next) < 2 {
            at = self.add_chunk(record.key);
        }
        self.append(at, record);
    }

    /// Takes in the second record of an operation, right after the first.
    pub(super) fn add_second(&mut self, record: &Record) {
        self.append(partition_of(record.key, self.cursors.len()), record);
    }

    #[inline(always)]
    fn append(&mut self, at: usize, record: &Record) {
        let cursor = &mut self.cursors[at];
        let place = &mut self.records[cursor.next as usize];
        cursor.next = cursor.next.wrapping_add(1);
        // Word by word, as it was made: a copy as a whole would wait for the words to arrive.
        place.key = record.key;
        place.value = record.value;
        place.start_and_flags = record.start_and_flags;
        place.end = record.end;
    }

    /// Continues the partition of a key with another chunk; returns which it is, now that the
    /// first records may have been divided.
    #[cold]
    fn add_chunk(&mut self, key: u64) -> usize {
        let is_divided = self.partitions.len() == 1 << self.bits_max;
        if !is_divided && self.records.len() >= UNDIVIDED_RECORDS {
            self.divide();
        }
        let at = partition_of(key, self.partitions.len());
        let begin = u32::try_from(self.records.len()).expect("memory ends before that");
        let end = begin.checked_add(CHUNK_RECORDS).expect("memory ends before that");
        let chunk = u32::try_from(self.chunks.len()).expect("fewer than records");
        let (partition, cursor) = (&mut self.partitions[at], &mut self.cursors[at]);
        if cursor.end.wrapping_sub(cursor.next) >= 2 {
            // Dividing gave it one.
            return at;
        }
        self.records.resize(end as usize, Record::default());
        self.chunks.push(Chunk { used: 0, next: chunk });
        if cursor.end == 0 {
            partition.first_chunk = chunk;
        } else {
            let used = cursor.next - partition.begin;
            self.chunks[(partition.begin / CHUNK_RECORDS) as usize] = Chunk { used, next: chunk };
            partition.before += used;
        }
        partition.begin = begin;
        *cursor = Cursor { next: begin, end };
        at
    }

    /// Moves the first records, which are few, to their partitions.
    fn divide(&mut self) {
        let undivided: Vec<Record> = self.chunks(0).flatten().copied().collect();
        self.clear();
        self.resize(1 << self.bits_max);
        let mut rest = undivided.into_iter();
        while let Some(first) = rest.next() {
            self.add(&first);
            if first.is_first_of_two() {
                self.add_second(&rest.next().expect("a pair is whole"));
            }
        }
    }

    /// What it takes to hold these records and to judge them.
    pub(super) fn memory_bytes(&self) -> u64 {
        let largest = (0..self.count()).map(|partition| self.records_in(partition)).max();
        memory_bytes(self.records.len() as u64, largest.unwrap_or(0) as u64)
    }

    /// Whether the records are of no more keys than so many, which are few.
    pub(super) fn have_few_keys(&self, keys_max: usize) -> bool {
        let mut keys = Vec::with_capacity(keys_max + 1);
        for record in (0..self.count()).flat_map(|at| self.chunks(at)).flatten() {
            if !keys.contains(&record.key) {
                keys.push(record.key);
                if keys.len() > keys_max {
                    return false;
                }
            }
        }
        true
    }

    /// How many partitions there are.
    pub(super) const fn count(&self) -> usize {
        self.partitions.len()
    }

    /// How many records a partition has.
    pub(super) fn records_in(&self, partition: usize) -> usize {
        let Partition { before, begin, .. } = self.partitions[partition];
        (before + self.cursors[partition].next - begin) as usize
    }

    /// The records of a partition, in their order.
    pub(super) fn chunks(&self, partition: usize) -> impl Iterator<Item = &[Record]> {
        let Partition { first_chunk, begin, .. } = self.partitions[partition];
        let Cursor { next, end } = self.cursors[partition];
        let last_chunk = begin / CHUNK_RECORDS;
        let first = (end > 0).then_some(first_chunk);
        std::iter::successors(first, move |&chunk| {
            (chunk != last_chunk).then(|| self.chunks[chunk as usize].next)
        })
        .map(move |chunk| {
            let used = self.chunks[chunk as usize].used;
            let used = if chunk == last_chunk { next - begin } else { used };
            let begin = (chunk * CHUNK_RECORDS) as usize;
            &self.records[begin..begin + used as usize]
        })
    }

    /// Counts the records by the slots of their keys.
    pub(super) fn slot_counts(&self) -> SlotCounts {
        let mut counts = SlotCounts::default();
        for record in (0..self.count()).flat_map(|at| self.chunks(at)).flatten() {
            counts.0[slot_of(record.key)] += 1;
        }
        counts
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the mask leaves few bits")]
const fn partition_of(key_hash: u64, partitions: usize) -> usize {
    // The low bits, because parts are ranges of the high ones.
    key_hash as usize & partitions.wrapping_sub(1)
}

const fn slot_of(key_hash: u64) -> usize {
    (key_hash >> (u64::BITS - SLOT_BITS)) as usize
}

/// How many records fall on each slot of the hash.
#[derive(Debug)]
pub(super) struct SlotCounts(Vec<u64>);

impl Default for SlotCounts {
    fn default() -> Self {
        Self(vec![0; 1 << SLOT_BITS])
    }
}

impl SlotCounts {
    pub(super) fn add(&mut self, operations: &[Operation]) {
        for operation in operations {
            self.0[slot_of(key_hash(operation.key))] += records_of(operation);
        }
    }

    /// Splits the slots into as few consecutive parts as fit into `memory_bytes_max` one at a
    /// time; fails with a reason if one slot alone does not. A part's partitions may be as uneven
    /// as they like: the largest is taken to hold the largest slot and its share of the rest.
    pub(super) fn parts(&self, memory_bytes_max: u64) -> Result<Vec<Part>, String> {
        let mut parts = vec![Part { slots: 0..0 }];
        let (mut records, mut largest) = (0, 0);
        for (slot, &count) in self.0.iter().enumerate() {
            let part = parts.last_mut().expect("there is a first part");
            let at_hand = largest.max(count) + (records + count) / 16;
            if memory_bytes(records + count, at_hand) <= memory_bytes_max {
                part.slots.end = slot + 1;
                records += count;
                largest = largest.max(count);
            } else if memory_bytes(count, count) <= memory_bytes_max {
                parts.push(Part { slots: slot..slot + 1 });
                (records, largest) = (count, count);
            } else {
                return Err(format!(
                    "{count} operations are on one key, or on a few that are checked together: \
                     that needs {} bytes of memory, and the limit is {memory_bytes_max}",
                    memory_bytes(count, count)
                ));
            }
        }
        Ok(parts)
    }
}

/// A range of slots whose operations are checked together.
#[derive(Debug)]
pub(super) struct Part {
    slots: std::ops::Range<usize>,
}

impl Part {
    pub(super) fn contains(&self, operation: &Operation) -> bool {
        self.slots.contains(&slot_of(key_hash(operation.key)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::record::Intake;
    use super::*;
    use crate::history::Kind;
    use crate::random::Random;

    fn operations(count: u64, keys: u64) -> Vec<Operation> {
        let mut random = Random::new(keys);
        (0..count)
            .map(|index| Operation {
                key: random.below(keys),
                written: index + 1,
                kind: if index % 3 == 0 { Kind::CompareAndSwap } else { Kind::Put },
                ..Operation::default()
            })
            .collect()
    }

    fn fill(partitions: &mut Partitions, operations: &[Operation]) {
        let mut intake = Intake::default();
        intake.begin_at(&operations[0]);
        for operation in operations {
            let record = intake.record(operation).unwrap();
            partitions.add(&record);
            if record.is_first_of_two() {
                partitions.add_second(&record.second(operation));
            }
        }
    }

    #[test]
    fn every_key_is_in_one_partition_in_order_and_pairs_stay_together() {
        for memory_bytes_max in [0, 1 << 20, 1 << 30] {
            let mut partitions = Partitions::new(memory_bytes_max);
            for (count, keys) in [(1, 1), (5000, 1), (100, 7), (50_000, 3), (50_000, 20_000)] {
                let operations = operations(count, keys);
                partitions.clear();
                fill(&mut partitions, &operations);
                let mut last: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
                let mut values = 0;
                for partition in 0..partitions.count() {
                    for chunk in partitions.chunks(partition) {
                        let mut rest = chunk.iter();
                        while let Some(record) = rest.next() {
                            let (place, value) = last.entry(record.key).or_insert((partition, 0));
                            assert!(*place == partition && *value < record.value);
                            *value = record.value;
                            values += 1;
                            if record.is_first_of_two() {
                                assert_eq!(rest.next().unwrap().key, record.key);
                            }
                        }
                    }
                }
                assert_eq!(values, count);
                let expected: u64 = operations.iter().map(records_of).sum();
                let found: usize =
                    (0..partitions.count()).map(|at| partitions.records_in(at)).sum();
                assert_eq!(found as u64, expected);
            }
        }
    }

    #[test]
    fn parts_cover_everything_within_the_limit() {
        let operations = operations(10_000, 1000);
        let mut counts = SlotCounts::default();
        counts.add(&operations);
        for memory_bytes_max in [20_000, 100_000, 10_000_000] {
            let parts = counts.parts(memory_bytes_max).unwrap();
            let mut total = 0;
            for part in &parts {
                let selected = operations.iter().filter(|operation| part.contains(operation));
                let records: u64 = selected
                    .map(|operation| {
                        total += 1;
                        records_of(operation)
                    })
                    .sum();
                assert!(records * RECORD_BYTES <= memory_bytes_max);
            }
            assert_eq!(total, operations.len());
        }
        assert!(counts.parts(1000).unwrap_err().contains("the limit is 1000"));
    }
}
