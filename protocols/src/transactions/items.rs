//! What the payloads of transactions' messages and records hold.
//!
//! A resource manager executes its parts of a batch in their order. Its vote says which transactions may
//! commit as far as it is concerned, then answers each part with an [`Answer`]. It logs what its yes means
//! as entries ([`registers::items`](crate::registers::items)):
//! for each part the key that is locked, and what is written to it, if anything is.

use alloc::vec::Vec;
use core::ops::Range;

use crate::bytes::{index, length_u32, round_up, u32_at, u64_at};
use crate::command::Status;
use crate::protocol::{Context, Protocol};
use crate::types::{Payload, REPLICAS_MAX, Replicas, Tag};

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

/// Appends what becomes of the transactions of a batch, with its length before it: one bit for each, set
/// if it commits, padded to words. No bytes at all stand for: none commits.
pub fn push_outcome(outcome: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(outcome.len() as u64).to_le_bytes());
    out.extend_from_slice(outcome);
}

/// Where the outcome lies whose length stands at `at`.
#[must_use]
pub fn outcome_at(bytes: &[u8], at: usize) -> Range<usize> {
    at + 8..at + 8 + index(u64_at(bytes, at))
}

/// Notes that the transaction at this place of its batch commits.
pub fn set_commits(outcome: &mut [u8], place: usize) {
    outcome[place / 8] |= 1 << (place % 8);
}

/// Whether the transaction at this place of its batch commits.
#[must_use]
pub fn commits(outcome: &[u8], place: usize) -> bool {
    outcome.get(place / 8).is_some_and(|bits| bits >> (place % 8) & 1 == 1)
}

/// What comes of these votes, each of which begins with what its voter would have: a transaction commits
/// if nobody is against it.
pub fn intersect<P: Protocol>(
    votes: &[Payload; REPLICAS_MAX],
    voters: Replicas,
    outcome: &mut Vec<u8>,
    cx: &impl Context<P>,
) {
    outcome.clear();
    for voter in voters.iter() {
        let bytes = cx.bytes(votes[voter.index()]);
        let vote = &bytes[outcome_at(bytes, 0)];
        if outcome.is_empty() {
            outcome.extend_from_slice(vote);
        }
        outcome.iter_mut().zip(vote).for_each(|(all, one)| *all &= one);
    }
    if outcome.iter().all(|&bits| bits == 0) {
        outcome.clear();
    }
}
