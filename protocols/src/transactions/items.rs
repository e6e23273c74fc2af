//! What the payloads of transactions' messages and records hold.
//!
//! A resource manager executes its parts of a batch in their order. It answers each part with an
//! [`Answer`], and logs what its yes means as entries ([`registers::items`](crate::registers::items)):
//! for each part the key that is locked, and what is written to it, if anything is.

use alloc::vec::Vec;
use core::ops::Range;

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
    const HEADER_BYTES: usize = 16;

    /// Appends an answer, whose `value` is ignored in favor of these bytes.
    pub fn push(&self, value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&length_u32(value.len()).to_le_bytes());
        out.extend_from_slice(&[self.vote as u8, self.status as u8, 0, 0]);
        out.extend_from_slice(&self.tag.0.to_le_bytes());
        out.extend_from_slice(value);
        out.resize(round_up(out.len(), 8), 0);
    }

    /// The answer that starts at `at`, and where the next one starts.
    #[must_use]
    pub fn read(bytes: &[u8], payload: Payload, at: usize) -> (Self, usize) {
        let length = index(u64::from(u32_at(bytes, at)));
        let value_at = at + Self::HEADER_BYTES;
        let answer = Self {
            vote: match bytes[at + 4] {
                0 => Vote::Yes,
                1 => Vote::No,
                _ => Vote::Busy,
            },
            status: Status::from_byte(bytes[at + 5]).expect("replicas trust replicas"),
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

/// Where the numbers of the list that starts at `at` lie.
#[must_use]
pub fn list(bytes: &[u8], at: usize) -> Range<usize> {
    at + 8..at + 8 + 8 * index(u64_at(bytes, at))
}
