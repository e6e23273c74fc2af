//! Storage in memory, for tests and the simulator.

use super::{SegmentId, Storage};
use std::collections::BTreeMap;
use std::io;
use synod_protocols::bytes::index;

/// The bytes of one segment.
pub trait SegmentBytes {
    /// So many bytes, all zero.
    fn zeros(bytes: usize) -> Self;
    /// How many bytes there are.
    fn length(&self) -> usize;
    /// Copies bytes that are within the segment.
    fn read_at(&self, offset: usize, bytes: &mut [u8]);
    /// Replaces bytes that are within the segment.
    fn write_at(&mut self, offset: usize, bytes: &[u8]);
}

impl SegmentBytes for Vec<u8> {
    fn zeros(bytes: usize) -> Self {
        vec![0; bytes]
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn read_at(&self, offset: usize, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self[offset..offset + bytes.len()]);
    }

    fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        self[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// Storage with segments that are plain bytes.
pub type MemoryStorage = Memory<Vec<u8>>;

/// Segments and a snapshot in memory. A clone is a copy of the disk.
#[derive(Clone, Debug)]
pub struct Memory<S> {
    segments: BTreeMap<SegmentId, S>,
    snapshot: Vec<u8>,
    snapshot_new: Vec<u8>,
    lost: bool,
}

impl<S> Default for Memory<S> {
    fn default() -> Self {
        let (segments, snapshot, snapshot_new) = Default::default();
        Self { segments, snapshot, snapshot_new, lost: false }
    }
}

impl<S> Memory<S> {
    /// The bytes of a segment, to be damaged.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn segment_mut(&mut self, segment: SegmentId) -> io::Result<&mut S> {
        self.segments.get_mut(&segment).ok_or_else(|| missing(segment))
    }

    /// The bytes of the current snapshot, to be damaged.
    pub fn snapshot_mut(&mut self) -> &mut Vec<u8> {
        &mut self.snapshot
    }

    /// Loses a segment.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn remove(&mut self, segment: SegmentId) -> io::Result<S> {
        self.segments.remove(&segment).ok_or_else(|| missing(segment))
    }
}

fn missing(segment: SegmentId) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {segment}"))
}

impl<S: SegmentBytes> Storage for Memory<S> {
    fn name(&self, segment: SegmentId) -> String {
        segment.to_string()
    }

    fn list(&mut self) -> io::Result<Vec<SegmentId>> {
        Ok(self.segments.keys().copied().collect())
    }

    fn create(&mut self, segment: SegmentId, bytes: usize) -> io::Result<()> {
        let before = self.segments.insert(segment, S::zeros(bytes));
        assert!(before.is_none(), "a segment is created once");
        Ok(())
    }

    fn open(&mut self, segment: SegmentId) -> io::Result<usize> {
        self.segment_mut(segment).map(|bytes| bytes.length())
    }

    fn read_at(&mut self, segment: SegmentId, offset: usize, bytes: &mut [u8]) -> io::Result<()> {
        self.segment_mut(segment)?.read_at(offset, bytes);
        Ok(())
    }

    fn write_at(&mut self, segment: SegmentId, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.segment_mut(segment)?.write_at(offset, bytes);
        Ok(())
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.segment_mut(segment).map(|_| ())
    }

    fn recycle(&mut self, from: SegmentId, to: SegmentId) -> io::Result<()> {
        let bytes = self.remove(from)?;
        let before = self.segments.insert(to, bytes);
        assert!(before.is_none(), "a recycled segment takes a free number");
        Ok(())
    }

    fn snapshot_begin(&mut self) -> io::Result<()> {
        self.snapshot_new.clear();
        Ok(())
    }

    fn snapshot_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.snapshot_new.extend_from_slice(bytes);
        Ok(())
    }

    fn snapshot_commit(&mut self) -> io::Result<()> {
        self.snapshot = std::mem::take(&mut self.snapshot_new);
        Ok(())
    }

    fn snapshot_read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let rest = self.snapshot.get(index(offset)..).unwrap_or(&[]);
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn lose(&mut self) -> io::Result<()> {
        *self = Self { lost: true, ..Self::default() };
        Ok(())
    }

    fn is_lost(&mut self) -> io::Result<bool> {
        Ok(self.lost)
    }

    fn regain(&mut self) -> io::Result<()> {
        self.lost = false;
        Ok(())
    }
}
