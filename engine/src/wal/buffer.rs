//! Memory that begins on a block, as direct I/O demands.

use super::format::BLOCK_BYTES;
use std::fmt;

/// A fixed piece of memory at a multiple of the block size.
pub struct Buffer {
    /// One block longer than needed, so that a block boundary lies in its first block.
    memory: Box<[u8]>,
    start: usize,
    length: usize,
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
        Self { memory, start, length }
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }

    /// All of it.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_on_a_block() {
        for length in [BLOCK_BYTES, 3 * BLOCK_BYTES] {
            let mut buffer = Buffer::new(length);
            buffer.bytes_mut().fill(1);
            assert_eq!(buffer.bytes().len(), length);
            assert_eq!(buffer.bytes().as_ptr().align_offset(BLOCK_BYTES), 0);
        }
    }
}
