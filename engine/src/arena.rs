//! Where command bytes live, once, from receive to trim.
//!
//! Blocks of one size, filled from front to back. A block counts the payloads that somebody still
//! holds and is free again when the last is released, in whatever order that happens. Blocks that
//! were just freed are filled first: they are still in the cache.

use synod_protocols::types::Payload;

/// A bounded pool of blocks. See the module.
#[derive(Debug)]
pub struct Arena {
    blocks: Vec<Block>,
    free: Vec<u32>,
    /// The block being filled. It counts as held once, by the arena itself.
    current: u32,
    block_bytes: usize,
    blocks_max: usize,
}

#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    holders: u32,
}

impl Arena {
    /// At most `bytes_max` bytes, in blocks of `block_bytes`; no payload may be larger than a block.
    #[must_use]
    pub fn new(block_bytes: usize, bytes_max: usize) -> Self {
        let blocks_max = (bytes_max / block_bytes).max(4);
        let mut arena = Self {
            blocks: Vec::with_capacity(blocks_max),
            free: Vec::with_capacity(blocks_max),
            current: 0,
            block_bytes,
            blocks_max,
        };
        arena.current = arena.take_block().expect("there is at least one block");
        arena
    }

    /// Copies `bytes` in. The caller holds the payload. `None` when the arena is full: somebody
    /// keeps too much.
    pub fn store(&mut self, bytes: &[u8], commands: u32) -> Option<Payload> {
        if bytes.is_empty() {
            return Some(Payload::EMPTY);
        }
        assert!(bytes.len() <= self.block_bytes, "a payload is at most one block");
        if self.blocks[self.current as usize].bytes.len() + bytes.len() > self.block_bytes {
            let next = self.take_block()?;
            let full = std::mem::replace(&mut self.current, next);
            self.let_go(full);
        }
        let block = &mut self.blocks[self.current as usize];
        let offset = narrow(block.bytes.len());
        block.bytes.extend_from_slice(bytes);
        block.holders += 1;
        Some(Payload { block: self.current, offset, bytes: narrow(bytes.len()), commands })
    }

    /// The bytes of a payload that somebody holds.
    #[must_use]
    pub fn bytes(&self, payload: Payload) -> &[u8] {
        if payload.is_empty() {
            return &[];
        }
        let block = &self.blocks[payload.block as usize];
        assert!(block.holders > 0);
        &block.bytes[payload.offset as usize..][..payload.bytes as usize]
    }

    /// One more holder.
    pub fn retain(&mut self, payload: Payload) {
        if !payload.is_empty() {
            let block = &mut self.blocks[payload.block as usize];
            assert!(block.holders > 0, "only what is held can be retained");
            block.holders += 1;
        }
    }

    /// One holder less.
    pub fn release(&mut self, payload: Payload) {
        if !payload.is_empty() {
            self.let_go(payload.block);
        }
    }

    /// Bytes in blocks that somebody holds.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        (self.blocks.len() - self.free.len()) * self.block_bytes
    }

    fn let_go(&mut self, index: u32) {
        let block = &mut self.blocks[index as usize];
        assert!(block.holders > 0, "a payload was released twice");
        block.holders -= 1;
        if block.holders == 0 {
            block.bytes.clear();
            self.free.push(index);
        }
    }

    fn take_block(&mut self) -> Option<u32> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.blocks.len() < self.blocks_max => {
                self.blocks.push(Block { bytes: Vec::with_capacity(self.block_bytes), holders: 0 });
                narrow(self.blocks.len() - 1)
            }
            None => return None,
        };
        self.blocks[index as usize].holders = 1;
        Some(index)
    }
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).expect("an arena's blocks are small and few")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_in_any_order_of_release() {
        let mut arena = Arena::new(64, 256);
        for round in 0..100u8 {
            let held: Vec<Payload> =
                (0..6).map(|i| arena.store(&[round ^ i; 24], 1).expect("room")).collect();
            for (i, &payload) in held.iter().enumerate().rev() {
                assert_eq!(arena.bytes(payload), &[round ^ u8::try_from(i).expect("small"); 24]);
            }
            held.iter().step_by(2).for_each(|&payload| arena.release(payload));
            held.iter().skip(1).step_by(2).for_each(|&payload| arena.release(payload));
        }
        assert_eq!(arena.used_bytes(), 64);
    }

    #[test]
    fn a_full_arena_says_so() {
        let mut arena = Arena::new(64, 256);
        let held: Vec<Payload> = (0..4).map(|_| arena.store(&[1; 64], 1).expect("room")).collect();
        assert_eq!(arena.store(&[1], 1), None);
        arena.retain(held[0]);
        arena.release(held[0]);
        assert_eq!(arena.store(&[1], 1), None);
        arena.release(held[0]);
        assert!(arena.store(&[1], 1).is_some());
    }

    #[test]
    #[should_panic(expected = "released twice")]
    fn releasing_twice_is_a_bug() {
        let mut arena = Arena::new(64, 256);
        let payload = arena.store(&[1; 64], 1).expect("room");
        let _next = arena.store(&[1; 64], 1);
        arena.release(payload);
        arena.release(payload);
    }
}
