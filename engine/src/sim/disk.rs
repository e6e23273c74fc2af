//! A disk in virtual time: what is on it, and what a crash or a fault makes of that.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use synod_workloads::Random;

#[cfg(test)]
use super::mutation::Mutation;
use crate::wal::{Blocks, LogWrite, Memory, SegmentBytes, SegmentId, Storage};

/// What a disk writes at once or not at all.
const SECTOR_BYTES: usize = 512;

/// The unit of the log's writes.
const BLOCK_BYTES: usize = 4096;

/// A machine's disk. Clones are handles to the same disk, which outlives the node that uses it.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk(Rc<RefCell<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    storage: Memory<Blocks>,
    /// Operations that the log or a snapshot may still do before one fails.
    operations_left: Option<u64>,
    /// Whether nothing more fits on the disk.
    full: bool,
    /// The last completed writes, the oldest first: where and how long they were.
    recent: VecDeque<(SegmentId, usize, usize)>,
    /// Writes that a broken disk has ended before they were on it, the oldest first.
    #[cfg(test)]
    cache: VecDeque<(SegmentId, usize, Vec<u8>)>,
}

/// So many writes fit the cache of a broken disk.
#[cfg(test)]
const CACHE_WRITES_MAX: usize = 4;

/// Damage keeps off so many of the last writes. What follows them may not say yet that they were
/// durable, and a log cannot tell their loss from a torn tail: no protocol survives that.
const RECENT_WRITES: usize = 8;

impl SimulatedDisk {
    /// The write is on the disk.
    pub fn complete(&self, write: &LogWrite) {
        #[cfg(test)]
        if Mutation::CachesWrites.is_on() {
            return self.cache(write);
        }
        self.put(write.segment, write.offset, write.bytes());
        let recent = &mut self.0.borrow_mut().recent;
        if recent.len() == RECENT_WRITES {
            recent.pop_front();
        }
        recent.push_back((write.segment, write.offset, write.length));
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

    /// The write is in the cache of a broken disk.
    #[cfg(test)]
    fn cache(&self, write: &LogWrite) {
        let cache = &mut self.0.borrow_mut().cache;
        cache.push_back((write.segment, write.offset, write.bytes().to_vec()));
        let oldest = if cache.len() > CACHE_WRITES_MAX { cache.pop_front() } else { None };
        self.destage(oldest);
    }

    #[cfg(test)]
    fn destage(&self, writes: impl IntoIterator<Item = (SegmentId, usize, Vec<u8>)>) {
        for (segment, offset, bytes) in writes {
            self.put(segment, offset, &bytes);
        }
    }

    /// What is only in the cache of a broken disk is gone.
    #[cfg(test)]
    pub fn lose_cache(&self) {
        self.0.borrow_mut().cache.clear();
    }

    fn put(&self, segment: SegmentId, offset: usize, bytes: &[u8]) {
        let storage = &mut self.0.borrow_mut().storage;
        storage.write_at(segment, offset, bytes).expect("the log writes to segments that exist");
    }

    /// From now on so many operations succeed, and all after them fail.
    pub fn fail_after(&self, operations: u64) {
        self.0.borrow_mut().operations_left = Some(operations);
    }

    /// From now on nothing more fits on the disk than what is there.
    pub fn fill(&self) {
        self.0.borrow_mut().full = true;
    }

    /// The disk works again.
    pub fn repair(&self) {
        let contents = &mut *self.0.borrow_mut();
        contents.operations_left = None;
        contents.full = false;
    }

    /// The disk is a new, empty one.
    pub fn wipe(&self) {
        *self.0.borrow_mut() = Contents::default();
    }

    /// Whether it has the note that what was promised is lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.borrow_mut().storage.is_lost().expect("memory does not fail")
    }

    /// Flips one bit of the log or the snapshot, somewhere. False when there is nothing to damage.
    pub fn rot(&self, random: &mut Random) -> bool {
        let Some((segment, offset)) = self.old_block(random) else { return false };
        let storage = &mut self.0.borrow_mut().storage;
        let snapshot = storage.snapshot_mut();
        if snapshot.is_empty() || random.below(3) > 0 {
            let segment = storage.segment_mut(segment).expect("listed");
            let mut block = [0; BLOCK_BYTES];
            segment.read_at(offset, &mut block);
            flip(&mut block, random);
            segment.write_at(offset, &block);
        } else {
            flip(snapshot, random);
        }
        true
    }

    /// A block of the log went to the place of another one, as when a disk mistakes an address: it
    /// is whole, but somewhere else. False when there are no two blocks.
    pub fn misdirect(&self, random: &mut Random) -> bool {
        let (from, to) = (self.old_block(random), self.old_block(random));
        let (Some(from), Some(to)) = (from, to) else { return false };
        let storage = &mut self.0.borrow_mut().storage;
        let mut block = [0; BLOCK_BYTES];
        storage.segment_mut(from.0).expect("listed").read_at(from.1, &mut block);
        storage.segment_mut(to.0).expect("listed").write_at(to.1, &block);
        from != to
    }

    /// A block that the log has written, and not lately.
    fn old_block(&self, random: &mut Random) -> Option<(SegmentId, usize)> {
        let contents = &mut *self.0.borrow_mut();
        if contents.recent.len() < RECENT_WRITES {
            return None;
        }
        let &(last, end, _) = contents.recent.iter().min()?;
        let segments = contents.storage.list().ok()?;
        let blocks = |segment: SegmentId, storage: &mut Memory<Blocks>| match segment.cmp(&last) {
            Ordering::Less => storage.segment_mut(segment).map_or(0, |bytes| bytes.length()),
            Ordering::Equal => end,
            Ordering::Greater => 0,
        } / BLOCK_BYTES;
        let all: usize =
            segments.iter().map(|&segment| blocks(segment, &mut contents.storage)).sum();
        if all == 0 {
            return None;
        }
        let mut number = usize::try_from(random.below(all as u64)).expect("fits memory");
        for segment in segments {
            let count = blocks(segment, &mut contents.storage);
            if number < count {
                return Some((segment, number * BLOCK_BYTES));
            }
            number -= count;
        }
        None
    }

    /// Runs an operation, unless it is one that fails.
    fn attempt<T>(
        &self,
        operation: impl FnOnce(&mut Memory<Blocks>) -> io::Result<T>,
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

    /// Whether whoever cannot go on with this disk may blame it.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.0.borrow().full || self.fails()
    }

    /// Runs an operation that takes more of the disk.
    fn grow<T>(
        &self,
        operation: impl FnOnce(&mut Memory<Blocks>) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.0.borrow().full {
            let message = "nothing more fits on the simulated disk";
            return Err(io::Error::new(io::ErrorKind::StorageFull, message));
        }
        self.attempt(operation)
    }
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    let at = usize::try_from(random.below(bytes.len() as u64)).expect("fits memory");
    bytes[at] ^= 1 << random.below(8);
}

impl Storage for SimulatedDisk {
    fn name(&self, segment: SegmentId) -> String {
        segment.to_string()
    }

    fn list(&mut self) -> io::Result<Vec<SegmentId>> {
        self.attempt(Storage::list)
    }

    fn create(&mut self, segment: SegmentId, bytes: usize) -> io::Result<()> {
        self.grow(|storage| storage.create(segment, bytes))
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
        #[cfg(test)]
        {
            let cached = std::mem::take(&mut self.0.borrow_mut().cache);
            self.destage(cached);
        }
        self.attempt(|storage| storage.recycle(from, to))
    }

    fn snapshot_begin(&mut self) -> io::Result<()> {
        self.attempt(Storage::snapshot_begin)
    }

    fn snapshot_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.grow(|storage| storage.snapshot_append(bytes))
    }

    fn snapshot_commit(&mut self) -> io::Result<()> {
        self.attempt(Storage::snapshot_commit)
    }

    fn snapshot_read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.attempt(|storage| storage.snapshot_read(offset, bytes))
    }

    fn lose(&mut self) -> io::Result<()> {
        self.0.borrow_mut().recent.clear();
        self.attempt(Storage::lose)
    }

    fn is_lost(&mut self) -> io::Result<bool> {
        #[cfg(test)]
        if Mutation::RegainsEarly.is_on() {
            self.attempt(Storage::regain)?;
        }
        self.attempt(Storage::is_lost)
    }

    fn regain(&mut self) -> io::Result<()> {
        self.attempt(Storage::regain)
    }
}
