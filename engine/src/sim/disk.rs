//! A disk in virtual time: what is on it, and what a crash or a fault makes of that.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use synod_workloads::Random;

use crate::wal::{LogWrite, MemoryStorage, SegmentId, Storage};

/// What a disk writes at once or not at all.
const SECTOR_BYTES: usize = 512;

/// A machine's disk. Clones are handles to the same disk, which outlives the node that uses it.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk(Rc<RefCell<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    storage: MemoryStorage,
    /// Operations that the log or a snapshot may still do before one fails.
    operations_left: Option<u64>,
}

impl SimulatedDisk {
    /// The write is on the disk.
    pub fn complete(&self, write: &LogWrite) {
        self.put(write.segment, write.offset, write.bytes());
    }

    /// The machine lost power during this write: of its sectors any are on the disk.
    pub fn tear(&self, write: &LogWrite, random: &mut Random) {
        // As often as not all or nothing: those are tears between writes.
        let share = [0, 50, 50, 100][usize::try_from(random.below(4)).expect("below 4")];
        for (number, sector) in write.bytes().chunks(SECTOR_BYTES).enumerate() {
            if random.below(100) < share {
                self.put(write.segment, write.offset + number * SECTOR_BYTES, sector);
            }
        }
    }

    fn put(&self, segment: SegmentId, offset: usize, bytes: &[u8]) {
        let storage = &mut self.0.borrow_mut().storage;
        storage.write_at(segment, offset, bytes).expect("the log writes to segments that exist");
    }

    /// From now on so many operations succeed, and all after them fail.
    pub fn fail_after(&self, operations: u64) {
        self.0.borrow_mut().operations_left = Some(operations);
    }

    /// The disk works again.
    pub fn repair(&self) {
        self.0.borrow_mut().operations_left = None;
    }

    /// Flips one bit of the log, somewhere. False when there is no log.
    pub fn rot(&self, random: &mut Random) -> bool {
        let storage = &mut self.0.borrow_mut().storage;
        let Ok(segments) = storage.list() else { return false };
        if segments.is_empty() {
            return false;
        }
        let segment = segments[usize::try_from(random.below(segments.len() as u64)).expect("few")];
        let bytes = storage.segment_mut(segment).expect("listed");
        let at = usize::try_from(random.below(bytes.len() as u64)).expect("fits memory");
        bytes[at] ^= 1 << random.below(8);
        true
    }

    /// Runs an operation, unless it is one that fails.
    fn attempt<T>(
        &self,
        operation: impl FnOnce(&mut MemoryStorage) -> io::Result<T>,
    ) -> io::Result<T> {
        let contents = &mut *self.0.borrow_mut();
        match &mut contents.operations_left {
            Some(0) => Err(io::Error::other("the simulated disk fails")),
            Some(left) => {
                *left -= 1;
                operation(&mut contents.storage)
            }
            None => operation(&mut contents.storage),
        }
    }

    /// Whether a write that ends now fails.
    pub fn fails(&self) -> bool {
        self.attempt(|_| Ok(())).is_err()
    }
}

impl Storage for SimulatedDisk {
    fn name(&self, segment: SegmentId) -> String {
        segment.to_string()
    }

    fn list(&mut self) -> io::Result<Vec<SegmentId>> {
        self.attempt(Storage::list)
    }

    fn create(&mut self, segment: SegmentId, bytes: usize) -> io::Result<()> {
        self.attempt(|storage| storage.create(segment, bytes))
    }

    fn open(&mut self, segment: SegmentId) -> io::Result<usize> {
        self.attempt(|storage| storage.open(segment))
    }

    fn read_at(&mut self, segment: SegmentId, offset: usize, bytes: &mut [u8]) -> io::Result<()> {
        self.attempt(|storage| storage.read_at(segment, offset, bytes))
    }

    fn write_at(&mut self, segment: SegmentId, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.attempt(|storage| storage.write_at(segment, offset, bytes))
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.attempt(|storage| storage.sync(segment))
    }

    fn recycle(&mut self, from: SegmentId, to: SegmentId) -> io::Result<()> {
        self.attempt(|storage| storage.recycle(from, to))
    }

    fn snapshot_begin(&mut self) -> io::Result<()> {
        self.attempt(Storage::snapshot_begin)
    }

    fn snapshot_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.attempt(|storage| storage.snapshot_append(bytes))
    }

    fn snapshot_commit(&mut self) -> io::Result<()> {
        self.attempt(Storage::snapshot_commit)
    }

    fn snapshot_read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.attempt(|storage| storage.snapshot_read(offset, bytes))
    }
}
