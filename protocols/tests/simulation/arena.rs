//! Payload bytes with reference counts that forgive nothing.

use std::rc::Rc;

use synod_protocols::types::Payload;

/// Bytes outside of any arena: on a disk or on the network.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Bytes {
    pub(crate) shared: Rc<[u8]>,
    pub(crate) commands: u32,
}

/// One life's payloads. A block's number is never used again, so a stale handle is always noticed.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    blocks: Vec<Option<Block>>,
    held_bytes: usize,
}

#[derive(Debug)]
struct Block {
    bytes: Bytes,
    references: u32,
}

impl Arena {
    /// Takes bytes in, with one reference. No bytes take no block.
    pub(crate) fn insert(&mut self, bytes: Bytes) -> Payload {
        if bytes.shared.is_empty() {
            return Payload::EMPTY;
        }
        let length = bytes.shared.len();
        self.held_bytes += length;
        let commands = bytes.commands;
        self.blocks.push(Some(Block { bytes, references: 1 }));
        let narrow = |value: usize| u32::try_from(value).expect("tests are small");
        Payload { block: narrow(self.blocks.len()), offset: 0, bytes: narrow(length), commands }
    }

    pub(crate) fn retain(&mut self, payload: Payload) {
        if !payload.is_empty() {
            self.block_mut(payload).references += 1;
        }
    }

    pub(crate) fn release(&mut self, payload: Payload) {
        if payload.is_empty() {
            return;
        }
        let block = self.block_mut(payload);
        block.references -= 1;
        if block.references == 0 {
            self.held_bytes -= block.bytes.shared.len();
            self.blocks[payload.block as usize - 1] = None;
        }
    }

    /// What the handle stands for.
    pub(crate) fn bytes(&self, payload: Payload) -> &[u8] {
        if payload.is_empty() {
            return &[];
        }
        let start = payload.offset as usize;
        &self.block(payload).bytes.shared[start..start + payload.bytes as usize]
    }

    /// The whole block of a handle, to put on a disk or on the network.
    pub(crate) fn share(&self, payload: Payload) -> Bytes {
        if payload.is_empty() {
            return Bytes::default();
        }
        let bytes = &self.block(payload).bytes;
        assert_eq!(bytes.shared.len(), payload.bytes as usize, "only whole payloads travel");
        bytes.clone()
    }

    /// Bytes with at least one reference.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn block(&self, payload: Payload) -> &Block {
        let block = self.blocks[payload.block as usize - 1].as_ref();
        block.unwrap_or_else(|| panic!("{payload:?} is used after its release"))
    }

    fn block_mut(&mut self, payload: Payload) -> &mut Block {
        let block = self.blocks[payload.block as usize - 1].as_mut();
        block.unwrap_or_else(|| panic!("{payload:?} is used after its release"))
    }
}
