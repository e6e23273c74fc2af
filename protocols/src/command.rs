//! One client operation and its answer as bytes: the same on the wire, in memory and in the log.
//!
//! A command is a 32-byte header, the expected id (compare-and-swap only), the value, and zeros up
//! to a multiple of 8; a batch is commands back to back. All integers are little-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | session: client in the high 32 bits, index in the low |
//! | 8..16 | sequence, from 1, one outstanding per session |
//! | 16..24 | key |
//! | 24 | operation |
//! | 25 | zero |
//! | 26..28 | bytes of the expected id: 8 for compare-and-swap, else 0 |
//! | 28..32 | bytes of the value |
//!
//! The value of a transaction is a batch itself: its parts, which are executed all or not at all.
//!
//! Bytes from outside pass [`validate`] once; [`Commands`] then walks them without checking again.

use crate::bytes::{
    ALIGNMENT_BYTES, index, leading_u64, length_u32, put, round_up, u16_at, u32_at, u64_at,
};
use alloc::vec::Vec;
use core::fmt;

mod reply;

pub use reply::{
    REPLY_HEADER_BYTES, Replies, Reply, ReplyError, Status, validate as validate_replies,
};

/// Bytes before the expected id and the value of a command.
pub const COMMAND_HEADER_BYTES: usize = 32;

/// No value is longer, whatever the limits say: a reply has 24 bits for its length.
pub const VALUE_BYTES_MAX: usize = (1 << 24) - 1;

/// No sequence is larger: the session table keeps an outcome in the byte above.
pub const SEQUENCE_MAX: u64 = (1 << 56) - 1;

/// Parts that a transaction has at most.
pub const PARTS_MAX: usize = 16;

const ID_BYTES: usize = 8;

/// One session of a client: a stream of commands with at most one outstanding. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl SessionId {
    /// Session `index` of client `client`; one of the two is not 0.
    pub fn new(client: u32, index: u32) -> Self {
        assert!(client != 0 || index != 0, "session 0 of client 0 marks a free place");
        Self(u64::from(client) << 32 | u64::from(index))
    }

    /// The client, known by its connection.
    pub fn client(self) -> u32 {
        u32::try_from(self.0 >> 32).expect("32 bits are left")
    }

    /// The session among those of its client.
    pub fn index(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).expect("32 bits are left")
    }
}

/// What a command does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// Reads the value.
    Get = 1,
    /// Replaces the value.
    Put = 2,
    /// Leaves a tombstone that keeps the 8-byte id given as value.
    Delete = 3,
    /// Replaces the value if the id of the present one is `expected`.
    CompareAndSwap = 4,
    /// Adds the value, an i64, to the value, an i64; an absent one counts as 0. Wraps around; where
    /// there are transactions it is not done if the sum would be below 0.
    Add = 5,
    /// Does what its parts say, all of it or nothing. Its key is that of its first part.
    Transact = 6,
}

impl Op {
    /// Whether it may find that it cannot be done.
    #[must_use]
    pub const fn is_conditional(self) -> bool {
        matches!(self, Self::CompareAndSwap | Self::Add)
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Get),
            2 => Some(Self::Put),
            3 => Some(Self::Delete),
            4 => Some(Self::CompareAndSwap),
            5 => Some(Self::Add),
            6 => Some(Self::Transact),
            _ => None,
        }
    }
}

/// A view of one command in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Who asks.
    pub session: SessionId,
    /// Which of the session's commands this is, from 1 to [`SEQUENCE_MAX`].
    pub sequence: u64,
    /// The key, any u64.
    pub key: u64,
    /// The operation.
    pub op: Op,
    /// Compare-and-swap: the id (first 8 bytes) of the value to replace, 0 for an absent one. Get: the
    /// last version that its client was told, 0 if that does not matter (see
    /// [`Reads::Behind`](crate::protocol::Reads::Behind)). Otherwise 0.
    pub expected: u64,
    /// Put and compare-and-swap: the value. Delete: the id of the tombstone. Add: the summand.
    /// Get: empty. Transaction: its parts, each as a command, with ascending keys.
    pub value: &'a [u8],
}

impl<'a> Command<'a> {
    /// Bytes that this command takes in a batch: a multiple of 8.
    pub fn encoded_bytes(&self) -> usize {
        COMMAND_HEADER_BYTES + round_up(self.expected_bytes() + self.value.len(), ALIGNMENT_BYTES)
    }

    /// Appends the command to a batch.
    pub fn encode(&self, batch: &mut Vec<u8>) {
        assert!(self.value.len() <= VALUE_BYTES_MAX);
        assert!(self.sequence <= SEQUENCE_MAX);
        let mut header = [0; COMMAND_HEADER_BYTES];
        put(&mut header, 0, &self.session.0.to_le_bytes());
        put(&mut header, 8, &self.sequence.to_le_bytes());
        put(&mut header, 16, &self.key.to_le_bytes());
        let expected_bytes = u16::try_from(self.expected_bytes()).expect("0 or 8");
        header[24] = self.op as u8;
        put(&mut header, 26, &expected_bytes.to_le_bytes());
        put(&mut header, 28, &length_u32(self.value.len()).to_le_bytes());
        let end = batch.len() + self.encoded_bytes();
        batch.extend_from_slice(&header);
        batch.extend_from_slice(&self.expected.to_le_bytes()[..self.expected_bytes()]);
        batch.extend_from_slice(self.value);
        batch.resize(end, 0);
    }

    /// The parts of a transaction; of any other command it is itself the only one.
    pub fn parts(&self) -> impl Iterator<Item = Self> + Clone + use<'a> {
        let (alone, parts): (_, &[u8]) =
            if self.op == Op::Transact { (None, self.value) } else { (Some(*self), &[]) };
        alone.into_iter().chain(Commands::new(parts))
    }

    fn expected_bytes(&self) -> usize {
        let expects = match self.op {
            Op::CompareAndSwap => true,
            Op::Get => self.expected != 0,
            Op::Put | Op::Delete | Op::Add | Op::Transact => false,
        };
        if expects { ID_BYTES } else { 0 }
    }

    /// The first command of a valid batch and what follows it.
    #[inline]
    fn split_first(batch: &'a [u8]) -> (Self, &'a [u8]) {
        let (header, rest) =
            batch.split_first_chunk::<COMMAND_HEADER_BYTES>().expect("the batch was validated");
        let expected_bytes = usize::from(u16_at(header, 26));
        let value_bytes = index(u64::from(u32_at(header, 28)));
        let (body, rest) = rest.split_at(round_up(expected_bytes + value_bytes, ALIGNMENT_BYTES));
        let command = Self {
            session: SessionId(u64_at(header, 0)),
            sequence: u64_at(header, 8),
            key: u64_at(header, 16),
            op: Op::from_byte(header[24]).expect("the batch was validated"),
            expected: if expected_bytes == 0 { 0 } else { leading_u64(body) },
            value: &body[expected_bytes..expected_bytes + value_bytes],
        };
        (command, rest)
    }
}

/// The commands of a batch that passed [`validate`], in order.
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    rest: &'a [u8],
}

impl<'a> Commands<'a> {
    /// Walks `batch`. Bytes that would not pass [`validate`] make the walk panic.
    pub fn new(batch: &'a [u8]) -> Self {
        Self { rest: batch }
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Command<'a>;

    #[inline]
    fn next(&mut self) -> Option<Command<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (command, rest) = Command::split_first(self.rest);
        self.rest = rest;
        Some(command)
    }
}

/// What a batch from outside may hold.
#[derive(Clone, Copy, Debug)]
pub struct CommandLimits {
    /// Most commands in a batch.
    pub commands_max: usize,
    /// Longest value, at most [`VALUE_BYTES_MAX`].
    pub value_bytes_max: usize,
}

/// Why a batch was refused, with the byte at which the offending command begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The bytes end inside a command.
    Truncated {
        /// First byte of the command.
        byte: usize,
    },
    /// The session, the sequence, the operation or a zero byte is impossible.
    Header {
        /// First byte of the command.
        byte: usize,
    },
    /// The lengths of expected id and value do not fit the operation or the limits.
    Length {
        /// First byte of the command.
        byte: usize,
    },
    /// The parts of a transaction are none, too many, malformed, transactions themselves, or not in
    /// the order of their keys, the first of which is that of the transaction.
    Parts {
        /// First byte of the command.
        byte: usize,
    },
    /// The bytes between the value and the next command are not zero.
    Padding {
        /// First byte of the command.
        byte: usize,
    },
    /// More commands than the limit.
    TooMany {
        /// First byte of the first command too many.
        byte: usize,
    },
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (byte, what) = match self {
            Self::Truncated { byte } => (byte, "the batch ends inside it"),
            Self::Header { byte } => (byte, "its session, sequence or operation is impossible"),
            Self::Length { byte } => (byte, "its lengths fit neither operation nor limits"),
            Self::Parts { byte } => (byte, "its parts are malformed or out of order"),
            Self::Padding { byte } => (byte, "the bytes after its value are not zero"),
            Self::TooMany { byte } => (byte, "it is one more than the limit allows"),
        };
        write!(f, "command at byte {byte} of the batch: {what}")
    }
}

impl core::error::Error for CommandError {}

/// Checks every length, operation and padding byte of a batch, and returns how many commands it
/// holds. Bytes that pass are safe to walk with [`Commands`].
///
/// # Errors
///
/// The first command that breaks a rule, by its place.
pub fn validate(batch: &[u8], limits: &CommandLimits) -> Result<usize, CommandError> {
    assert!(limits.value_bytes_max <= VALUE_BYTES_MAX);
    let mut byte = 0;
    let mut commands = 0;
    while byte < batch.len() {
        if commands == limits.commands_max {
            return Err(CommandError::TooMany { byte });
        }
        byte += validate_first(batch, byte, limits)?;
        commands += 1;
    }
    assert_eq!(byte, batch.len());
    Ok(commands)
}

/// Checks the command at `byte` and returns its length in the batch.
fn validate_first(
    batch: &[u8],
    byte: usize,
    limits: &CommandLimits,
) -> Result<usize, CommandError> {
    let bytes = &batch[byte..];
    let Some((header, body)) = bytes.split_first_chunk::<COMMAND_HEADER_BYTES>() else {
        return Err(CommandError::Truncated { byte });
    };
    let sequence = u64_at(header, 8);
    let op = Op::from_byte(header[24]).ok_or(CommandError::Header { byte })?;
    if u64_at(header, 0) == 0 || sequence == 0 || sequence > SEQUENCE_MAX || header[25] != 0 {
        return Err(CommandError::Header { byte });
    }
    let expected_bytes = usize::from(u16_at(header, 26));
    let value_bytes = index(u64::from(u32_at(header, 28)));
    let lengths_fit = match op {
        Op::Get => (expected_bytes == 0 || expected_bytes == ID_BYTES) && value_bytes == 0,
        Op::Put => expected_bytes == 0 && value_bytes <= limits.value_bytes_max,
        Op::Delete | Op::Add => expected_bytes == 0 && value_bytes == ID_BYTES,
        Op::CompareAndSwap => expected_bytes == ID_BYTES && value_bytes <= limits.value_bytes_max,
        Op::Transact => expected_bytes == 0,
    };
    if !lengths_fit {
        return Err(CommandError::Length { byte });
    }
    let used = expected_bytes + value_bytes;
    let padded = round_up(used, ALIGNMENT_BYTES);
    let body = body.get(..padded).ok_or(CommandError::Truncated { byte })?;
    if body[used..].iter().any(|&padding| padding != 0) {
        return Err(CommandError::Padding { byte });
    }
    if op == Op::Transact && !has_parts(u64_at(header, 16), &body[..used], limits) {
        return Err(CommandError::Parts { byte });
    }
    Ok(COMMAND_HEADER_BYTES + padded)
}

/// Whether these are the parts of a transaction with such a key.
fn has_parts(key: u64, parts: &[u8], limits: &CommandLimits) -> bool {
    let (mut byte, mut count, mut last) = (0, 0, None);
    while byte < parts.len() {
        // Transactions do not nest: else bytes from outside would say how deep this goes.
        let is_plain = parts.get(byte + 24).is_some_and(|&op| op != Op::Transact as u8);
        let Some(Ok(length)) = is_plain.then(|| validate_first(parts, byte, limits)) else {
            return false;
        };
        let part = u64_at(parts, byte + 16);
        if last.map_or(part != key, |last| part <= last) {
            return false;
        }
        last = Some(part);
        byte += length;
        count += 1;
    }
    (1..=PARTS_MAX).contains(&count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const LIMITS: CommandLimits = CommandLimits { commands_max: 8, value_bytes_max: 100 };

    fn samples() -> Vec<Command<'static>> {
        let session = SessionId::new(7, 3);
        let command = |op, expected, value| Command {
            session,
            sequence: 9,
            key: u64::MAX - 1,
            op,
            expected,
            value,
        };
        vec![
            command(Op::Get, 0, b"".as_slice()),
            command(Op::Put, 0, b"hello, world!".as_slice()),
            command(Op::Put, 0, b"".as_slice()),
            command(Op::Delete, 0, &[1; 8]),
            command(Op::CompareAndSwap, 42, b"next".as_slice()),
            command(Op::Add, 0, &[0xff; 8]),
        ]
    }

    fn parts(keys: &[u64]) -> Vec<u8> {
        let mut parts = Vec::new();
        for &key in keys {
            Command { key, value: b"value", ..samples()[1] }.encode(&mut parts);
        }
        parts
    }

    fn transaction(key: u64, parts: &[u8]) -> Vec<u8> {
        let mut batch = Vec::new();
        Command { key, op: Op::Transact, value: parts, ..samples()[0] }.encode(&mut batch);
        batch
    }

    #[test]
    fn a_transaction_has_its_parts_and_every_other_command_itself() {
        let batch = transaction(3, &parts(&[3, 5]));
        assert_eq!(validate(&batch, &LIMITS), Ok(1), "its bytes are not those of one value");
        let command = Commands::new(&batch).next().unwrap();
        assert_eq!(command.parts().map(|part| part.key).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(samples()[1].parts().collect::<Vec<_>>(), [samples()[1]]);
    }

    #[test]
    fn parts_are_few_plain_and_in_order() {
        let most: Vec<u64> = (0..16).collect();
        assert_eq!(validate(&transaction(0, &parts(&most)), &LIMITS), Ok(1));
        let many: Vec<u64> = (0..17).collect();
        let nested = transaction(1, &parts(&[1]));
        let truncated = &parts(&[1])[..32];
        for (key, parts) in [
            (0, &parts(&many)[..]),
            (0, &[]),
            (2, &parts(&[1, 2])),
            (2, &parts(&[2, 1])),
            (2, &parts(&[2, 2])),
            (1, &nested),
            (1, truncated),
        ] {
            let wrong = transaction(key, parts);
            assert_eq!(validate(&wrong, &LIMITS), Err(CommandError::Parts { byte: 0 }));
        }
    }

    fn batch() -> Vec<u8> {
        let mut batch = Vec::new();
        samples().iter().for_each(|command| command.encode(&mut batch));
        batch
    }

    #[test]
    fn what_is_encoded_validates_and_comes_back() {
        let batch = batch();
        assert_eq!(validate(&batch, &LIMITS), Ok(samples().len()));
        assert_eq!(Commands::new(&batch).collect::<Vec<_>>(), samples());
        let lengths: usize = samples().iter().map(Command::encoded_bytes).sum();
        assert_eq!(lengths, batch.len());
        assert_eq!(samples()[0].session.client(), 7);
        assert_eq!(samples()[0].session.index(), 3);
    }

    #[test]
    fn every_prefix_is_whole_commands_or_truncated() {
        let batch = batch();
        let mut whole = vec![0];
        for command in samples() {
            whole.push(whole[whole.len() - 1] + command.encoded_bytes());
        }
        for length in 0..=batch.len() {
            match whole.iter().position(|&end| end == length) {
                Some(commands) => assert_eq!(validate(&batch[..length], &LIMITS), Ok(commands)),
                None => assert!(matches!(
                    validate(&batch[..length], &LIMITS),
                    Err(CommandError::Truncated { .. })
                )),
            }
        }
    }

    #[test]
    fn flipped_bits_never_make_the_walk_panic() {
        let batch = batch();
        for bit in 0..batch.len() * 8 {
            let mut flipped = batch.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(commands) = validate(&flipped, &LIMITS) {
                assert_eq!(Commands::new(&flipped).count(), commands);
            }
        }
    }

    #[test]
    fn each_rule_is_named() {
        let error = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut batch = Vec::new();
            samples()[1].encode(&mut batch);
            change(&mut batch);
            validate(&batch, &LIMITS).unwrap_err()
        };
        let header = CommandError::Header { byte: 0 };
        assert_eq!(error(&|batch| batch[..8].fill(0)), header);
        assert_eq!(error(&|batch| batch[8..16].fill(0)), header);
        assert_eq!(error(&|batch| batch[15] = 1), header);
        assert_eq!(error(&|batch| batch[24] = 0), header);
        assert_eq!(error(&|batch| batch[24] = 7), header);
        assert_eq!(error(&|batch| batch[25] = 1), header);
        assert_eq!(error(&|batch| batch[26] = 8), CommandError::Length { byte: 0 });
        assert_eq!(error(&|batch| batch[28] = 101), CommandError::Length { byte: 0 });
        assert_eq!(error(&|batch| batch[47] = 1), CommandError::Padding { byte: 0 });
        let many = CommandLimits { commands_max: 5, ..LIMITS };
        assert!(matches!(validate(&batch(), &many), Err(CommandError::TooMany { .. })));
    }
}
