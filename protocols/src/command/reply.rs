//! The answer to a command, as bytes: a 24-byte header, the value, zeros to a multiple of 8.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | sequence of the command |
//! | 8..12 | index of the session; the client is the one at the other end of the connection |
//! | 12 | status |
//! | 13..16 | bytes of the value |
//! | 16..24 | version |

use super::{SEQUENCE_MAX, VALUE_BYTES_MAX};
use crate::bytes::{ALIGNMENT_BYTES, index, length_u32, put, round_up, u32_at, u64_at};
use alloc::vec::Vec;
use core::fmt;

/// Bytes before the value of a reply.
pub const REPLY_HEADER_BYTES: usize = 24;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done. Get: the value. Add: the sum, an i64.
    Ok = 1,
    /// Get found no value; the reply's value is the id of the tombstone, or empty if the key was
    /// never written.
    Absent = 2,
    /// Compare-and-swap saw another value, or add found something that is not an i64, or too little
    /// to take so much from it: nothing changed. The reply's value is the first 8 bytes of what was
    /// seen, empty for an absent value.
    Mismatch = 3,
    /// Not ordered, now: a limit is reached. Sending it again is safe.
    Busy = 4,
    /// Not ordered, here: the reply's value names who to ask.
    Redirect = 5,
    /// The session is not known (any more): whether the command was executed once is unknown, it
    /// will not be executed again. The client goes on with a new session.
    Expired = 6,
}

impl Status {
    /// The status with this number, if there is one.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Ok),
            2 => Some(Self::Absent),
            3 => Some(Self::Mismatch),
            4 => Some(Self::Busy),
            5 => Some(Self::Redirect),
            6 => Some(Self::Expired),
            _ => None,
        }
    }
}

/// A view of one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The command that is answered.
    pub sequence: u64,
    /// The session among those of the client.
    pub session_index: u32,
    /// How it ended.
    pub status: Status,
    /// The place of the command in the witness order; for a read that was not ordered, the version
    /// of what it saw. 0 if neither exists.
    pub version: u64,
    /// What the status says it is.
    pub value: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Bytes that this reply takes: a multiple of 8.
    pub fn encoded_bytes(&self) -> usize {
        REPLY_HEADER_BYTES + round_up(self.value.len(), ALIGNMENT_BYTES)
    }

    /// Appends the reply to `out`.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.value.len() <= VALUE_BYTES_MAX);
        let status_and_length = length_u32(self.value.len()) << 8 | u32::from(self.status as u8);
        let mut header = [0; REPLY_HEADER_BYTES];
        put(&mut header, 0, &self.sequence.to_le_bytes());
        put(&mut header, 8, &self.session_index.to_le_bytes());
        put(&mut header, 12, &status_and_length.to_le_bytes());
        put(&mut header, 16, &self.version.to_le_bytes());
        let padding = self.encoded_bytes() - REPLY_HEADER_BYTES - self.value.len();
        out.extend_from_slice(&header);
        if !self.value.is_empty() {
            out.extend_from_slice(self.value);
            out.extend_from_slice(&[0; ALIGNMENT_BYTES][..padding]);
        }
    }

    /// The first of valid replies and what follows it.
    fn split_first(replies: &'a [u8]) -> (Self, &'a [u8]) {
        let (header, rest) =
            replies.split_first_chunk::<REPLY_HEADER_BYTES>().expect("the replies were validated");
        let value_bytes = value_bytes(header);
        let (body, rest) = rest.split_at(round_up(value_bytes, ALIGNMENT_BYTES));
        let reply = Self {
            sequence: u64_at(header, 0),
            session_index: u32_at(header, 8),
            status: Status::from_byte(header[12]).expect("the replies were validated"),
            version: u64_at(header, 16),
            value: &body[..value_bytes],
        };
        (reply, rest)
    }
}

fn value_bytes(header: &[u8; REPLY_HEADER_BYTES]) -> usize {
    index(u64::from(u32_at(header, 12) >> 8))
}

/// Replies back to back that passed [`validate`], in order.
#[derive(Clone, Debug)]
pub struct Replies<'a> {
    rest: &'a [u8],
}

impl<'a> Replies<'a> {
    /// Walks `replies`. Bytes that would not pass [`validate`] make the walk panic.
    pub fn new(replies: &'a [u8]) -> Self {
        Self { rest: replies }
    }
}

impl<'a> Iterator for Replies<'a> {
    type Item = Reply<'a>;

    fn next(&mut self) -> Option<Reply<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (reply, rest) = Reply::split_first(self.rest);
        self.rest = rest;
        Some(reply)
    }
}

/// Why replies were refused, with the byte at which the offending reply begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The bytes end inside a reply.
    Truncated {
        /// First byte of the reply.
        byte: usize,
    },
    /// The sequence or the status is impossible.
    Header {
        /// First byte of the reply.
        byte: usize,
    },
    /// The bytes between the value and the next reply are not zero.
    Padding {
        /// First byte of the reply.
        byte: usize,
    },
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (byte, what) = match self {
            Self::Truncated { byte } => (byte, "the bytes end inside it"),
            Self::Header { byte } => (byte, "its sequence or status is impossible"),
            Self::Padding { byte } => (byte, "the bytes after its value are not zero"),
        };
        write!(f, "reply at byte {byte}: {what}")
    }
}

impl core::error::Error for ReplyError {}

/// Checks every length, status and padding byte, and returns how many replies there are.
///
/// # Errors
///
/// The first reply that breaks a rule, by its place.
pub fn validate(replies: &[u8]) -> Result<usize, ReplyError> {
    let mut byte = 0;
    let mut count = 0;
    while byte < replies.len() {
        let bytes = &replies[byte..];
        let Some((header, body)) = bytes.split_first_chunk::<REPLY_HEADER_BYTES>() else {
            return Err(ReplyError::Truncated { byte });
        };
        let sequence = u64_at(header, 0);
        if sequence == 0 || sequence > SEQUENCE_MAX || Status::from_byte(header[12]).is_none() {
            return Err(ReplyError::Header { byte });
        }
        let used = value_bytes(header);
        let padded = round_up(used, ALIGNMENT_BYTES);
        let body = body.get(..padded).ok_or(ReplyError::Truncated { byte })?;
        if body[used..].iter().any(|&padding| padding != 0) {
            return Err(ReplyError::Padding { byte });
        }
        byte += REPLY_HEADER_BYTES + padded;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn samples() -> [Reply<'static>; 3] {
        let reply = |status, version, value| Reply {
            sequence: 5,
            session_index: 6,
            status,
            version,
            value,
        };
        [
            reply(Status::Ok, 1, b"value".as_slice()),
            reply(Status::Absent, 0, b"".as_slice()),
            reply(Status::Mismatch, u64::MAX, &[1; 8]),
        ]
    }

    fn encoded() -> Vec<u8> {
        let mut out = Vec::new();
        samples().iter().for_each(|reply| reply.encode(&mut out));
        out
    }

    #[test]
    fn what_is_encoded_validates_and_comes_back() {
        let out = encoded();
        assert_eq!(validate(&out), Ok(3));
        assert_eq!(Replies::new(&out).collect::<Vec<_>>(), samples());
    }

    #[test]
    fn a_value_may_have_its_full_length() {
        let value = vec![7; VALUE_BYTES_MAX];
        let mut out = Vec::new();
        Reply { value: &value, ..samples()[0] }.encode(&mut out);
        assert_eq!(validate(&out), Ok(1));
        assert_eq!(Replies::new(&out).next().unwrap().value.len(), VALUE_BYTES_MAX);
    }

    #[test]
    fn prefixes_and_flipped_bits_never_make_the_walk_panic() {
        let out = encoded();
        for length in 0..out.len() {
            if let Ok(count) = validate(&out[..length]) {
                assert_eq!(Replies::new(&out[..length]).count(), count);
            }
        }
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(count) = validate(&flipped) {
                assert_eq!(Replies::new(&flipped).count(), count);
            }
        }
    }

    #[test]
    fn padding_and_status_are_checked() {
        let mut out = encoded();
        out[REPLY_HEADER_BYTES + 5] = 1;
        assert_eq!(validate(&out), Err(ReplyError::Padding { byte: 0 }));
        let mut out = encoded();
        out[12] = 0;
        assert_eq!(validate(&out), Err(ReplyError::Header { byte: 0 }));
    }
}
