//! Frames: what a connection carries, and how it is checked before anything in it is trusted.
//!
//! ```text
//! 0        4        8      9         10       12      16
//! | length | crc32c | kind | message | unused | count | message, padded to 8 | payload |
//! ```
//!
//! All integers are little-endian. `length` counts the whole frame; `crc32c` covers everything but
//! itself; `message` is the length of the protocol's message; `count` is the number of commands or
//! replies in the payload.

use std::fmt;

/// Bytes before the message.
pub const HEADER_BYTES: usize = 16;

/// Room that the buffers of a connection have from the start: what a busy one has on its way, so
/// that they do not grow once the load has settled. Memory that is never used costs nothing.
pub const BUFFER_BYTES: usize = 64 << 10;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The first frame of a connection, from who dials. See [`crate::greeting`].
    Hello = 1,
    /// A message of the protocol from a replica, with its payload.
    Message = 2,
    /// Commands of a client.
    Requests = 3,
    /// Replies to a client.
    Replies = 4,
    /// A piece of a snapshot from a replica.
    Snapshot = 5,
    /// The answer to a hello.
    Challenge = 6,
    /// The end of a greeting, from who dials.
    Proof = 7,
    /// Commands of a client, of which the first is a sample.
    Sampled = 8,
    /// Where the time of a sample went at a replica, for its client. See [`crate::spans`].
    Spans = 9,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Hello,
        Self::Message,
        Self::Requests,
        Self::Replies,
        Self::Snapshot,
        Self::Challenge,
        Self::Proof,
        Self::Sampled,
        Self::Spans,
    ];

    /// Whether it belongs to the greeting at the beginning of a connection.
    #[must_use]
    pub const fn is_greeting(self) -> bool {
        matches!(self, Self::Hello | Self::Challenge | Self::Proof)
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u8 == byte)
    }
}

/// A frame whose checksum was verified.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What it holds.
    pub kind: Kind,
    /// Commands or replies in the payload.
    pub count: u32,
    /// The protocol's message.
    pub message: &'a [u8],
    /// Command bytes.
    pub payload: &'a [u8],
}

/// Why bytes are not a frame. The connection that they came by cannot be used any further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The length is smaller than a header or larger than the limit.
    Length(u32),
    /// The checksum does not match.
    Checksum,
    /// The kind is unknown.
    Kind(u8),
    /// The message is longer than the frame.
    Message(u8),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "frame length {length} is outside its limits"),
            Self::Checksum => write!(f, "frame checksum does not match"),
            Self::Kind(kind) => write!(f, "frame kind {kind} is unknown"),
            Self::Message(bytes) => write!(f, "message of {bytes} bytes does not fit its frame"),
        }
    }
}

/// The first frame at the front of `bytes` and its length; `None` while it is incomplete.
///
/// # Errors
/// When the bytes cannot be a frame of at most `bytes_max`.
pub fn parse(bytes: &[u8], bytes_max: u32) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length);
    if (length as usize) < HEADER_BYTES || length > bytes_max {
        return Err(FrameError::Length(length));
    }
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let Some(frame) = bytes.get(..length as usize) else { return Ok(None) };
    if checksum(frame) != word(4) {
        return Err(FrameError::Checksum);
    }
    let kind = Kind::from_byte(header[8]).ok_or(FrameError::Kind(header[8]))?;
    let message_bytes = usize::from(header[9]);
    let payload_at = HEADER_BYTES + message_bytes.next_multiple_of(8);
    let (Some(message), Some(payload)) =
        (frame.get(HEADER_BYTES..HEADER_BYTES + message_bytes), frame.get(payload_at..))
    else {
        return Err(FrameError::Message(header[9]));
    };
    Ok(Some((Frame { kind, count: word(12), message, payload }, length as usize)))
}

/// The first whole frame at the front of `bytes`, unchecked, and what follows it.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    if length < HEADER_BYTES { None } else { bytes.split_at_checked(length) }
}

/// What a frame says that it holds.
#[must_use]
pub fn kind(frame: &[u8]) -> Option<Kind> {
    Kind::from_byte(*frame.get(8)?)
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

/// Starts a frame at the end of `out`; the payload is appended by the caller, who then calls
/// [`finish`] with the position that this returns.
pub fn start(out: &mut Vec<u8>, kind: Kind, message: &[u8]) -> usize {
    let at = out.len();
    let message_bytes = u8::try_from(message.len()).expect("a message is at most 64 bytes");
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out[at + 8] = kind as u8;
    out[at + 9] = message_bytes;
    out.extend_from_slice(message);
    out.resize(at + HEADER_BYTES + message.len().next_multiple_of(8), 0);
    at
}

/// Completes the frame that starts at `at` and ends with `out`.
pub fn finish(out: &mut [u8], at: usize, count: u32) {
    let frame = &mut out[at..];
    let length = u32::try_from(frame.len()).expect("a frame is smaller than 4 GiB");
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[12..16].copy_from_slice(&count.to_le_bytes());
    let crc = checksum(frame);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// Appends a whole frame.
pub fn push(out: &mut Vec<u8>, kind: Kind, message: &[u8], payload: &[u8], count: u32) {
    let at = start(out, kind, message);
    out.extend_from_slice(payload);
    finish(out, at, count);
}

/// Puts frames together again that arrive in pieces.
///
/// A frame that lies whole in the received bytes is handed over where it is; only a frame that is
/// cut is copied.
#[derive(Debug, Default)]
pub struct Assembler {
    partial: Vec<u8>,
}

/// What follows a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// More frames, of at most so many bytes.
    Frames(u32),
    /// Nothing that matters: the rest is thrown away.
    Nothing,
}

impl Assembler {
    /// Takes the memory that a busy connection needs, so that it does not grow later.
    pub fn reserve(&mut self) {
        self.partial.reserve(BUFFER_BYTES - self.partial.len().min(BUFFER_BYTES));
    }

    /// Bytes of a frame that is incomplete.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial.len()
    }

    /// Hands each complete frame to `handle`, in order, and keeps what is incomplete. `handle`
    /// returns how long the next frame may be: a greeting is short, what follows it is not.
    ///
    /// # Errors
    /// When the bytes cannot be frames; the connection must then be closed.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut frame_bytes_max: u32,
        mut handle: impl FnMut(Frame<'_>) -> Next,
    ) -> Result<(), FrameError> {
        while !self.partial.is_empty() && !bytes.is_empty() {
            // Take just enough to know the length, then just enough to complete the frame.
            let wanted = match self.partial.first_chunk::<4>() {
                None => HEADER_BYTES,
                // Within the limit: it was parsed.
                Some(length) => u32::from_le_bytes(*length) as usize,
            };
            let taken = wanted.saturating_sub(self.partial.len()).min(bytes.len());
            self.partial.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let Some((frame, _)) = parse(&self.partial, frame_bytes_max)? {
                let next = handle(frame);
                self.partial.clear();
                let Next::Frames(bytes_max) = next else { return Ok(()) };
                frame_bytes_max = bytes_max;
            }
        }
        while let Some((frame, length)) = parse(bytes, frame_bytes_max)? {
            let Next::Frames(bytes_max) = handle(frame) else { return Ok(()) };
            frame_bytes_max = bytes_max;
            bytes = &bytes[length..];
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut out = Vec::new();
        push(&mut out, Kind::Hello, &[], &[6; 24], 0);
        push(&mut out, Kind::Message, &[1, 2, 3], &[4; 40], 2);
        push(&mut out, Kind::Requests, &[], &[5; 8], 1);
        out
    }

    #[test]
    fn frames_survive_every_cut() {
        let stream = stream();
        for cut in 0..=stream.len() {
            for second in [cut, (cut + stream.len()) / 2] {
                let mut assembler = Assembler::default();
                let mut seen = Vec::new();
                for piece in [&stream[..cut], &stream[cut..second], &stream[second..]] {
                    assembler
                        .feed(piece, 1024, |frame| {
                            seen.push((frame.kind, frame.count, frame.payload.to_vec()));
                            Next::Frames(1024)
                        })
                        .expect("the stream is valid");
                }
                assert_eq!(seen.len(), 3, "cut at {cut} and {second}");
                assert_eq!(seen[1], (Kind::Message, 2, vec![4; 40]));
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let stream = stream();
        for bit in 0..stream.len() * 8 {
            let mut bad = stream.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let mut whole = 0;
            let fed = Assembler::default().feed(&bad, 1024, |_| {
                whole += 1;
                Next::Frames(1024)
            });
            assert!(fed.is_err() || whole < 3, "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn lengths_are_checked_before_they_are_used() {
        for length in [0u32, 15, 1025, u32::MAX, u32::MAX - 8] {
            let mut bytes = stream();
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            assert_eq!(parse(&bytes, 1024).err(), Some(FrameError::Length(length)));
        }
    }
}
