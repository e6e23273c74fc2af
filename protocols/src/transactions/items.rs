//! What the payloads of transactions' messages and records hold.
//!
//! A resource manager executes its parts of a batch in their order. It answers each part with an
//! [`Answer`], and logs what its yes means as entries ([`registers::items`](crate::registers::items)):
//! for each part the key that is locked, and what is written to it, if anything is.

use alloc::vec::Vec;

use crate::bytes::{index, length_u32, round_up, u32_at, u64_at};
use crate::command::Status;
use crate::types::{Payload, Tag};

/// What a resource manager says to its part of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vote {
    /// It is prepared to commit.
    Yes,
    /// A condition does not hold.
    No,
    /// Another transaction has the key.
    Busy,
}

/// The answer to one part.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The place of its transaction in the batch.
    pub place: u32,
    /// The vote. A transaction with several parts at one manager has one vote there.
    pub vote: Vote,
    /// What a client is told, provided that the transaction commits.
    pub status: Status,
    /// The tag of what was read, or is written.
    pub tag: Tag,
    /// What was read; of a write the identity of what it replaces.
    pub value: Payload,
}

impl Answer {
    const HEADER_BYTES: usize = 24;

    /// Appends an answer, whose `value` is ignored in favor of these bytes.
    pub fn push(&self, value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.place.to_le_bytes());
        out.extend_from_slice(&length_u32(value.len()).to_le_bytes());
        out.extend_from_slice(&self.tag.0.to_le_bytes());
        out.extend_from_slice(&[self.vote as u8, self.status as u8, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(value);
        out.resize(round_up(out.len(), 8), 0);
    }

    /// The answer that starts at `at`, and where the next one starts.
    #[must_use]
    pub fn read(bytes: &[u8], payload: Payload, at: usize) -> (Self, usize) {
        let length = index(u64::from(u32_at(bytes, at + 4)));
        let value_at = at + Self::HEADER_BYTES;
        let answer = Self {
            place: u32_at(bytes, at),
            vote: match bytes[at + 16] {
                0 => Vote::Yes,
                1 => Vote::No,
                _ => Vote::Busy,
            },
            status: Status::from_byte(bytes[at + 17]).expect("replicas trust replicas"),
            tag: Tag(u64_at(bytes, at + 8)),
            value: payload.part(value_at, length),
        };
        (answer, value_at + round_up(length, 8))
    }
}

/// Appends a list of numbers that says itself how long it is.
pub fn push_list(numbers: impl ExactSizeIterator<Item = u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(&(numbers.len() as u64).to_le_bytes());
    numbers.for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

/// The list that starts at `at`, and where it ends.
pub fn list(bytes: &[u8], at: usize) -> (impl Iterator<Item = u64> + Clone + '_, usize) {
    let end = at + 8 + 8 * index(u64_at(bytes, at));
    (words(&bytes[at + 8..end]), end)
}

/// Numbers one after the other.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + Clone + '_ {
    bytes.chunks_exact(8).map(|word| u64_at(word, 0))
}
