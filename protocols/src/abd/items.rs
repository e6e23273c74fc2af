//! What the payloads of ABD's messages hold: one item for each command of a round.
//!
//! Values are padded to 8 bytes, so that every item starts at a multiple of 8.

use alloc::vec::Vec;

use crate::bytes::{index, length_u32, round_up, u32_at, u64_at};
use crate::command::Status;
use crate::protocol::Register;
use crate::types::{Payload, Tag};

/// A value's length and whether it is a tombstone, in one word.
fn push_value(register: &Register<'_>, out: &mut Vec<u8>) {
    let shape = length_u32(register.value.len()) << 1 | u32::from(register.deleted);
    out.extend_from_slice(&u64::from(shape).to_le_bytes());
    out.extend_from_slice(register.value);
    out.resize(round_up(out.len(), 8), 0);
}

/// A value inside a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) deleted: bool,
    pub(super) bytes: Payload,
}

impl Value {
    /// The value that starts at `at`, and where the next item starts.
    fn read(bytes: &[u8], payload: Payload, at: usize) -> (Self, usize) {
        let shape = u32_at(bytes, at);
        let length = index(u64::from(shape >> 1));
        let value = Self { deleted: shape & 1 == 1, bytes: payload.part(at + 8, length) };
        (value, at + 8 + round_up(length, 8))
    }
}

/// One key of a `Query`: the key, and one bit for whether the value is wanted beside the tag.
pub(super) struct QueryItem {
    pub(super) key: u64,
    pub(super) wants_value: bool,
}

impl QueryItem {
    const BYTES: usize = 16;

    pub(super) fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&u64::from(self.wants_value).to_le_bytes());
    }

    /// All items of a question.
    pub(super) fn all(question: &[u8]) -> impl Iterator<Item = Self> {
        question
            .chunks_exact(Self::BYTES)
            .map(|item| Self { key: u64_at(item, 0), wants_value: u64_at(item, 8) != 0 })
    }
}

/// One key of a `QueryAnswer`: the tag and, if it was wanted, the value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) tag: Tag,
    pub(super) value: Value,
}

impl Answer {
    pub(super) fn push(register: &Register<'_>, wants_value: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&register.tag.0.to_le_bytes());
        if wants_value {
            push_value(register, out);
        }
    }

    /// The answer that starts at `at`, and where the next one starts.
    pub(super) fn read(
        bytes: &[u8],
        payload: Payload,
        at: usize,
        wants_value: bool,
    ) -> (Self, usize) {
        let tag = Tag(u64_at(bytes, at));
        if !wants_value {
            let value = Value { deleted: true, bytes: Payload::EMPTY };
            return (Self { tag, value }, at + 8);
        }
        let (value, next) = Value::read(bytes, payload, at + 8);
        (Self { tag, value }, next)
    }

    /// What a reader is told.
    pub(super) fn status(&self) -> Status {
        if self.value.deleted { Status::Absent } else { Status::Ok }
    }
}

/// One register of a `Write`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: u64,
    pub(super) tag: Tag,
    /// The command's place in its batch.
    pub(super) index: u32,
    pub(super) value: Value,
}

impl Entry {
    pub(super) fn push(key: u64, index: u32, register: &Register<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&register.tag.0.to_le_bytes());
        out.extend_from_slice(&u64::from(index).to_le_bytes());
        push_value(register, out);
    }

    /// The entry that starts at `at`, and where the next one starts.
    pub(super) fn read(bytes: &[u8], payload: Payload, at: usize) -> (Self, usize) {
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
