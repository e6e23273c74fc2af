//! Memory that begins on a block, as direct I/O demands.

use super::format::BLOCK_BYTES;
use std::fmt;

/// A fixed piece of memory at a multiple of the block size.
pub struct Buffer {
    /// One block longer than needed, so that a block boundary lies in its first block.
    memory: Box<[u8]>,
    start: usize,
    length: usize,
    /// Everything from here on is zero.
    zeros_from: usize,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Buffer {
    /// Zeros, `length` of them.
    #[must_use]
    pub fn new(length: usize) -> Self {
        let memory = vec![0; length + BLOCK_BYTES].into_boxed_slice();
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        assert!(start < BLOCK_BYTES);
        Self { memory, start, length, zeros_from: 0 }
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }

    /// Its first bytes, to be written; how many is known before by who writes them.
    pub fn first_mut(&mut self, bytes: usize) -> &mut [u8] {
        assert!(bytes <= self.length);
        self.zeros_from = self.zeros_from.max(bytes);
        &mut self.memory[self.start..self.start + bytes]
    }

    /// Only the first `used` bytes are kept: zeros follow, of which most are there already.
    pub fn cut(&mut self, used: usize) {
        if used < self.zeros_from {
            self.memory[self.start + used..self.start + self.zeros_from].fill(0);
            self.zeros_from = used;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_on_a_block() {
        for length in [BLOCK_BYTES, 3 * BLOCK_BYTES] {
            let mut buffer = Buffer::new(length);
            buffer.first_mut(length).fill(1);
            assert_eq!(buffer.bytes(), vec![1; length]);
            assert_eq!(buffer.bytes().as_ptr().align_offset(BLOCK_BYTES), 0);
        }
    }

    #[test]
    fn what_was_used_before_is_zero_again() {
        let mut buffer = Buffer::new(BLOCK_BYTES);
        for used in [100, 3000, 64, 4096, 1] {
            buffer.first_mut(used).fill(7);
            buffer.cut(used);
            let (kept, rest) = buffer.bytes().split_at(used);
            assert!(kept.iter().all(|&byte| byte == 7));
            assert!(rest.iter().all(|&byte| byte == 0));
        }
    }
}
