//! The segment files of a log: which exist, and which place of the log is where.

use super::storage::{SegmentId, Storage};
use super::{LogError, Lsn, WalLimits};
use std::io;
use synod_protocols::bytes::index;

/// Segments with consecutive numbers, all open.
#[derive(Debug)]
pub(super) struct Segments<S> {
    storage: S,
    limits: WalLimits,
    first: u64,
    /// One more than the last.
    end: u64,
}

impl<S: Storage> Segments<S> {
    /// Opens what exists.
    pub(super) fn open(mut storage: S, limits: WalLimits) -> Result<Self, LogError> {
        let list = storage.list().map_err(LogError::Io)?;
        let first = list.first().map_or(0, |segment| segment.0);
        for (&segment, expected) in list.iter().zip(first..) {
            if segment.0 != expected {
                let name = storage.name(SegmentId(expected));
                return Err(LogError::Missing { file: name });
            }
            let bytes = storage.open(segment).map_err(LogError::Io)?;
            if bytes != limits.segment_bytes {
                let (file, expected) = (storage.name(segment), limits.segment_bytes);
                return Err(LogError::Size { file, bytes, expected });
            }
        }
        Ok(Self { storage, limits, first, end: first + list.len() as u64 })
    }

    pub(super) fn limits(&self) -> WalLimits {
        self.limits
    }

    pub(super) fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// Where the first segment begins and the last one ends.
    pub(super) fn range(&self) -> (Lsn, Lsn) {
        let bytes = self.limits.segment_bytes as u64;
        (Lsn(self.first * bytes), Lsn(self.end * bytes))
    }

    /// The file and the byte in it.
    pub(super) fn place(&self, lsn: Lsn) -> (SegmentId, usize) {
        let bytes = self.limits.segment_bytes as u64;
        (SegmentId(lsn.0 / bytes), index(lsn.0 % bytes))
    }

    pub(super) fn name(&self, lsn: Lsn) -> String {
        self.storage.name(self.place(lsn).0)
    }

    /// Whether the file for this place exists.
    pub(super) fn is_ready(&self, lsn: Lsn) -> bool {
        (self.first..self.end).contains(&self.place(lsn).0.0)
    }

    /// Fills `bytes` with a whole segment.
    pub(super) fn read(&mut self, segment: SegmentId, bytes: &mut [u8]) -> io::Result<()> {
        assert_eq!(bytes.len(), self.limits.segment_bytes);
        self.storage.read_at(segment, 0, bytes)
    }

    /// Makes all segments from the one that holds `lsn` durable as they are.
    pub(super) fn sync_from(&mut self, lsn: Lsn) -> io::Result<()> {
        (self.place(lsn).0.0..self.end)
            .try_for_each(|segment| self.storage.sync(SegmentId(segment)))
    }

    /// Makes segments until there are `spares` after the one that holds `lsn`.
    pub(super) fn prepare(&mut self, lsn: Lsn, spares: usize) -> io::Result<()> {
        let end = self.place(lsn).0.0 + 1 + spares as u64;
        while self.end < end {
            self.storage.create(SegmentId(self.end), self.limits.segment_bytes)?;
            self.end += 1;
        }
        Ok(())
    }

    /// Gives the segments that end at `before` or earlier the numbers after the last.
    pub(super) fn trim(&mut self, before: Lsn) -> io::Result<()> {
        let keep = self.place(before).0.0;
        while self.first < keep.min(self.end) {
            self.storage.recycle(SegmentId(self.first), SegmentId(self.end))?;
            self.first += 1;
            self.end += 1;
        }
        Ok(())
    }
}
