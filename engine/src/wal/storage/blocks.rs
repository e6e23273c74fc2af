//! The bytes of a segment without the zeros that fill up its blocks.

use super::memory::SegmentBytes;

const BLOCK_BYTES: usize = 4096;

/// Zeros at the end of a block are looked for in pieces of this size.
const PIECE_BYTES: usize = 64;

/// A segment whose blocks are kept without the zeros at their ends. A write of the log is whole blocks
/// and mostly zeros at low load: a simulated disk would spend its time on copying them.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    length: usize,
    blocks: Vec<Vec<u8>>,
}

impl SegmentBytes for Blocks {
    fn zeros(bytes: usize) -> Self {
        Self { length: bytes, blocks: vec![Vec::new(); bytes.div_ceil(BLOCK_BYTES)] }
    }

    fn length(&self) -> usize {
        self.length
    }

    fn read_at(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= self.length, "reads end with the segment");
        let mut done = 0;
        while done < bytes.len() {
            let (number, start, end) = within_block(offset + done, bytes.len() - done);
            let block = &self.blocks[number];
            let kept = &block[start.min(block.len())..end.min(block.len())];
            let (copied, zeroed) = bytes[done..done + end - start].split_at_mut(kept.len());
            copied.copy_from_slice(kept);
            zeroed.fill(0);
            done += end - start;
        }
    }

    fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.length, "writes end with the segment");
        let mut done = 0;
        while done < bytes.len() {
            let (number, start, end) = within_block(offset + done, bytes.len() - done);
            put(&mut self.blocks[number], start, &bytes[done..done + end - start]);
            done += end - start;
        }
    }
}

/// The number of the block at this offset, and the part of it that so many bytes from there are in.
fn within_block(offset: usize, bytes: usize) -> (usize, usize, usize) {
    let start = offset % BLOCK_BYTES;
    (offset / BLOCK_BYTES, start, BLOCK_BYTES.min(start + bytes))
}

fn put(block: &mut Vec<u8>, start: usize, bytes: &[u8]) {
    let end = start + bytes.len();
    if end < block.len() {
        block[start..end].copy_from_slice(bytes);
        return;
    }
    let kept = &bytes[..without_zeros(bytes)];
    block.truncate(start);
    if !kept.is_empty() {
        block.resize(start, 0);
        block.extend_from_slice(kept);
    }
}

/// So many bytes are left without whole pieces of zeros at the end.
fn without_zeros(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    // All bytes of a piece at once, which the processor does in a few instructions.
    for piece in bytes.rchunks_exact(PIECE_BYTES) {
        if piece.iter().fold(0, |all, byte| all | byte) != 0 {
            break;
        }
        end -= PIECE_BYTES;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_workloads::{Concern, Random};

    #[test]
    fn they_hold_what_a_plain_segment_holds() {
        const BYTES: usize = 5 * BLOCK_BYTES;
        let mut random = Random::new(1, Concern::World);
        let mut draw = |below: usize| usize::try_from(random.below(below as u64)).unwrap();
        let (mut plain, mut blocks) = (Vec::zeros(BYTES), Blocks::zeros(BYTES));
        for _ in 0..2000 {
            let offset = draw(BYTES);
            let length = draw(2 * BLOCK_BYTES).min(BYTES - offset);
            let zeros = draw(length + 1);
            let mut written = vec![7; length];
            written[length - zeros..].fill(0);
            plain.write_at(offset, &written);
            blocks.write_at(offset, &written);
            let from = draw(BYTES);
            let mut read = vec![0xAA; draw(BYTES - from)];
            blocks.read_at(from, &mut read);
            assert_eq!(read, plain[from..from + read.len()]);
        }
    }
}
