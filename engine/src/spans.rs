//! What a replica tells the client of a sampled operation: how long each stage took there.
//!
//! ```text
//! 0         4        8          16                              64
//! | session | unused | sequence | batch, leader, ... reply: ns  |
//! ```
//!
//! All integers are little-endian. It is the message of a frame that follows the answer
//! ([`Kind::Spans`](crate::frame::Kind::Spans)); [`breakdown`](synod_results::breakdown) says what the
//! stages are.

/// Stages at a replica: the parts from the batch on.
pub const STAGES: usize = 6;

/// Bytes before the stages.
const STAGES_AT: usize = 16;

/// Bytes of the message.
pub const SPANS_BYTES: usize = STAGES_AT + STAGES * 8;

/// How long the stages of an operation took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    /// The session among those of the client.
    pub session_index: u32,
    /// The number of the command.
    pub sequence: u64,
    /// The stages, in nanoseconds.
    pub stages_ns: [u64; STAGES],
}

impl Spans {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SPANS_BYTES] {
        let mut bytes = [0; SPANS_BYTES];
        bytes[..4].copy_from_slice(&self.session_index.to_le_bytes());
        let words = std::iter::once(&self.sequence).chain(&self.stages_ns);
        for (place, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// From bytes; `None` when they are too few or too many.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SPANS_BYTES] = bytes.try_into().ok()?;
        let word = |at: usize| bytes[at..].first_chunk().map(|word| u64::from_le_bytes(*word));
        let mut stages_ns = [0; STAGES];
        for (stage, at) in stages_ns.iter_mut().zip((STAGES_AT..).step_by(8)) {
            *stage = word(at)?;
        }
        let session_index = u32::from_le_bytes(*bytes.first_chunk()?);
        Some(Self { session_index, sequence: word(8)?, stages_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_comes_back_and_nothing_else_does() {
        let spans = Spans { session_index: 7, sequence: 1 << 40, stages_ns: [1, 2, 3, 4, 5, 6] };
        let bytes = spans.encode();
        assert_eq!(Spans::decode(&bytes), Some(spans));
        assert_eq!(Spans::decode(&bytes[1..]), None);
        assert_eq!(Spans::decode(&[]), None);
    }
}
