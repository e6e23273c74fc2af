//! The ring of provided buffers that all connections receive into.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The buffer group that receives name.
pub(super) const GROUP: u16 = 0;

/// Larger buffers mean fewer completions; 16 KiB is where loopback TCP stops to gain.
const BUFFER_BYTES: usize = 16 << 10;

/// A power of two, as the kernel's ring demands.
const BUFFERS: u16 = 256;

/// Memory that the kernel receives into, and the ring that tells it which parts are free.
pub(super) struct ReceiveBuffers {
    ring: Box<EntryRing>,
    memory: Vec<u8>,
    tail: u16,
}

/// The kernel reads these entries from page-aligned memory.
#[repr(C, align(4096))]
struct EntryRing([EntryBytes; BUFFERS as usize]);

#[repr(C)]
#[derive(Clone, Copy)]
struct EntryBytes([u8; 16]);

impl std::fmt::Debug for ReceiveBuffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReceiveBuffers {{ tail: {} }}", self.tail)
    }
}

impl ReceiveBuffers {
    pub(super) fn register(ring: &IoUring) -> io::Result<Self> {
        const { assert!(size_of::<BufRingEntry>() == size_of::<EntryBytes>()) };
        let entries = Box::new(EntryRing([EntryBytes([0; 16]); BUFFERS as usize]));
        let address = (&raw const *entries) as u64;
        // SAFETY: the memory is page-aligned, zeroed, large enough for BUFFERS entries, and boxed:
        // it stays where it is until the ring is gone.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(address, BUFFERS, GROUP, 0)?;
        }
        let memory = vec![0; BUFFER_BYTES * usize::from(BUFFERS)];
        let mut buffers = Self { ring: entries, memory, tail: 0 };
        (0..BUFFERS).for_each(|buffer| buffers.give_back(buffer));
        Ok(buffers)
    }

    /// What the kernel received into `buffer`.
    pub(super) fn bytes(&self, buffer: u16, received: usize) -> &[u8] {
        &self.memory[usize::from(buffer) * BUFFER_BYTES..][..received]
    }

    /// Lets the kernel fill `buffer` again.
    pub(super) fn give_back(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (BUFFERS - 1));
        let entries = (&raw mut *self.ring).cast::<BufRingEntry>();
        let memory = self.memory[usize::from(buffer) * BUFFER_BYTES..].as_mut_ptr();
        // SAFETY: `place` is below BUFFERS, and the kernel does not look at this entry before the
        // tail moves past it.
        let entry = unsafe { &mut *entries.add(place) };
        entry.set_addr(memory as u64);
        entry.set_len(u32::try_from(BUFFER_BYTES).expect("small"));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies inside the first entry, is aligned, and the kernel only reads it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
