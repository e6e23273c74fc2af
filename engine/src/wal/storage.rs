//! The files under a log: what the log needs of them, in memory and on disk.

use std::fmt;
use std::io;

mod blocks;
mod file;
mod memory;

pub use blocks::Blocks;
pub use file::FileStorage;
pub use memory::{Memory, MemoryStorage, SegmentBytes};

/// A segment of the log by its number: segment `n` holds the bytes from `n` times the segment size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentId(pub u64);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}.log", self.0)
    }
}

/// The directory of one log and its snapshot. One owner at a time.
///
/// Every error names the file and what was attempted. An error of a write or a sync is final: what
/// is on disk is unknown then, so the process has to stop, not to try again.
pub trait Storage {
    /// Name of a segment for messages.
    fn name(&self, segment: SegmentId) -> String;

    /// All segments, in order.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    fn list(&mut self) -> io::Result<Vec<SegmentId>>;

    /// Makes a segment of `bytes` zeros, written and durable, and opens it. It exists whole or not
    /// at all, even if this is interrupted.
    ///
    /// # Errors
    ///
    /// It exists, or the disk is full or fails.
    fn create(&mut self, segment: SegmentId, bytes: usize) -> io::Result<()>;

    /// Opens a segment and returns its size in bytes.
    ///
    /// # Errors
    ///
    /// It does not exist or cannot be opened.
    fn open(&mut self, segment: SegmentId) -> io::Result<usize>;

    /// Fills `bytes` from an open segment.
    ///
    /// # Errors
    ///
    /// The segment is shorter, or the disk fails.
    fn read_at(&mut self, segment: SegmentId, offset: usize, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes to an open segment, inside its size. Durable after [`Self::sync`]. Replicas write
    /// through their ring instead.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn write_at(&mut self, segment: SegmentId, offset: usize, bytes: &[u8]) -> io::Result<()>;

    /// Makes an open segment durable.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn sync(&mut self, segment: SegmentId) -> io::Result<()>;

    /// Gives an open segment another number, durably. Its bytes stay.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn recycle(&mut self, from: SegmentId, to: SegmentId) -> io::Result<()>;

    /// Starts a new snapshot; the one before stays until [`Self::snapshot_commit`].
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn snapshot_begin(&mut self) -> io::Result<()>;

    /// Appends to the snapshot that was begun.
    ///
    /// # Errors
    ///
    /// The disk is full or fails.
    fn snapshot_append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the snapshot that was begun durable and then the current one, in one step.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn snapshot_commit(&mut self) -> io::Result<()>;

    /// Reads from the current snapshot and returns how many bytes there were; 0 at its end and if
    /// there is none.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn snapshot_read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;

    /// Makes a durable note that what was promised here is lost, and then removes the log and the
    /// snapshot. Whenever this is interrupted the note is there.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn lose(&mut self) -> io::Result<()>;

    /// Whether there is such a note.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn is_lost(&mut self) -> io::Result<bool>;

    /// What was lost has been made good: removes the note, durably.
    ///
    /// # Errors
    ///
    /// The disk fails.
    fn regain(&mut self) -> io::Result<()>;
}
