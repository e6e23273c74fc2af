//! What the payloads of a round's messages hold: one item for each command.
//!
//! Values are padded to 8 bytes, so that every item starts at a multiple of 8.

use alloc::vec::Vec;
use core::iter;
use core::ops::Range;

use crate::bytes::{index, length_u32, round_up, u32_at, u64_at};
use crate::command::Status;
use crate::protocol::Register;
use crate::types::{Payload, Tag};

/// A value's length and whether it is a tombstone, in one word.
#[inline]
fn push_value(register: &Register<'_>, out: &mut Vec<u8>) {
    let shape = length_u32(register.value.len()) << 1 | u32::from(register.deleted);
    out.extend_from_slice(&u64::from(shape).to_le_bytes());
    out.extend_from_slice(register.value);
    out.resize(round_up(out.len(), 8), 0);
}

/// A value inside a payload.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// Whether it is a tombstone; the bytes are then its identity.
    pub deleted: bool,
    /// Its bytes, held as long as the payload is.
    pub bytes: Payload,
}

impl Value {
    /// The value that starts at `at`, and where the next item starts.
    #[inline]
    fn read(bytes: &[u8], payload: Payload, at: usize) -> (Self, usize) {
        let (deleted, value, next) = value_at(bytes, at);
        (Self { deleted, bytes: payload.part(value.start, value.len()) }, next)
    }
}

/// Whether the value that starts at `at` is a tombstone, where its bytes lie, and where the next item
/// starts.
#[inline]
fn value_at(bytes: &[u8], at: usize) -> (bool, Range<usize>, usize) {
    let shape = u32_at(bytes, at);
    let (start, length) = (at + 8, index(u64::from(shape >> 1)));
    (shape & 1 == 1, start..start + length, start + round_up(length, 8))
}

/// One key of a question: the key, and one bit for whether the value is wanted beside the tag.
#[derive(Clone, Copy, Debug)]
pub struct QueryItem {
    /// The key.
    pub key: u64,
    /// Whether the value is wanted.
    pub wants_value: bool,
}

impl QueryItem {
    const BYTES: usize = 16;

    /// Appends the item to a question.
    pub fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&u64::from(self.wants_value).to_le_bytes());
    }

    /// All items of a question.
    pub fn all(question: &[u8]) -> impl Iterator<Item = Self> {
        question
            .chunks_exact(Self::BYTES)
            .map(|item| Self { key: u64_at(item, 0), wants_value: u64_at(item, 8) != 0 })
    }
}

/// The answer to one key of a question: the tag and, if it was wanted, the value.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The tag of the write that the replica holds.
    pub tag: Tag,
    /// What was written; a tombstone without identity if the value was not wanted.
    pub value: Value,
}

impl Answer {
    /// Appends the answer of a replica that holds this register.
    #[inline]
    pub fn push(register: &Register<'_>, wants_value: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&register.tag.0.to_le_bytes());
        if wants_value {
            push_value(register, out);
        }
    }

    /// The answer that starts at `at`, and where the next one starts.
    #[inline]
    #[must_use]
    pub fn read(bytes: &[u8], payload: Payload, at: usize, wants_value: bool) -> (Self, usize) {
        let tag = Tag(u64_at(bytes, at));
        if !wants_value {
            let value = Value { deleted: true, bytes: Payload::EMPTY };
            return (Self { tag, value }, at + 8);
        }
        let (value, next) = Value::read(bytes, payload, at + 8);
        (Self { tag, value }, next)
    }

    /// What a reader is told.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.value.deleted { Status::Absent } else { Status::Ok }
    }
}

/// One register that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The key.
    pub key: u64,
    /// The tag of the write.
    pub tag: Tag,
    /// The command's place in its batch.
    pub index: u32,
    /// What is written.
    pub value: Value,
}

impl Entry {
    /// Appends an entry for the command at `index`.
    #[inline]
    pub fn push(key: u64, index: u32, register: &Register<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&register.tag.0.to_le_bytes());
        out.extend_from_slice(&u64::from(index).to_le_bytes());
        push_value(register, out);
    }

    /// The keys of all entries, and what is written there.
    pub fn all(entries: &[u8]) -> impl Iterator<Item = (u64, Register<'_>)> {
        let mut at = 0;
        iter::from_fn(move || {
            if at >= entries.len() {
                return None;
            }
            let (key, tag) = (u64_at(entries, at), Tag(u64_at(entries, at + 8)));
            let (deleted, value, next) = value_at(entries, at + 24);
            at = next;
            Some((key, Register { tag, deleted, value: &entries[value] }))
        })
    }

    /// The entry that starts at `at`, and where the next one starts.
    #[inline]
    #[must_use]
    pub fn read(bytes: &[u8], payload: Payload, at: usize) -> (Self, usize) {
        let (value, next) = Value::read(bytes, payload, at + 24);
        let entry = Self {
            key: u64_at(bytes, at),
            tag: Tag(u64_at(bytes, at + 8)),
            index: u32_at(bytes, at + 16),
            value,
        };
        (entry, next)
    }
}
