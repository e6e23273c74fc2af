//! One replica's disk: a log with a durable prefix, and the snapshot below it.

use std::collections::VecDeque;

use crate::arena::Bytes;
use crate::random::Random;
use crate::store::Store;

/// A record as it lies on disk.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) record: Vec<u8>,
    pub(crate) payload: Bytes,
}

/// A snapshot that counts once the records appended with it are durable.
#[derive(Debug)]
struct Checkpoint {
    start: u64,
    end: u64,
    snapshot: Store,
}

/// The log and the snapshot. Positions count records from the first life on.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    first: u64,
    log: VecDeque<Logged>,
    durable: u64,
    /// Up to where the write under way reaches.
    flushing: Option<u64>,
    snapshot: Store,
    checkpoint: Option<Checkpoint>,
}

impl Disk {
    pub(crate) fn append(&mut self, record: Vec<u8>, payload: Bytes) {
        self.log.push_back(Logged { record, payload });
    }

    /// The position behind the last record.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    pub(crate) const fn durable(&self) -> u64 {
        self.durable
    }

    /// How many of the records in the log are durable.
    pub(crate) fn durable_records(&self) -> usize {
        usize::try_from(self.durable.saturating_sub(self.first)).expect("tests are small")
    }

    /// Begins to write everything appended, unless a write is under way or nothing is new.
    pub(crate) fn begin_flush(&mut self) -> bool {
        let begins = self.flushing.is_none() && self.durable < self.end();
        if begins {
            self.flushing = Some(self.end());
        }
        begins
    }

    /// The write under way is done.
    pub(crate) fn finish_flush(&mut self) {
        self.durable = self.flushing.take().expect("a write was under way");
        if self.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.end <= self.durable) {
            let Checkpoint { start, snapshot, .. } = self.checkpoint.take().expect("just seen");
            self.log.drain(..usize::try_from(start - self.first).expect("tests are small"));
            self.first = start;
            self.install(&snapshot);
        }
    }

    /// A snapshot was taken; its records are those from `start` to the present end.
    pub(crate) fn checkpoint(&mut self, start: u64, snapshot: Store) {
        self.checkpoint = Some(Checkpoint { start, end: self.end(), snapshot });
    }

    /// A snapshot of another replica is durable at once.
    pub(crate) fn install(&mut self, snapshot: &Store) {
        // A register store has no slots: its newest snapshot always counts.
        if snapshot.applied >= self.snapshot.applied {
            self.snapshot = snapshot.clone();
        }
    }

    /// Loses what was not durable; a write under way may have got anywhere.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        if let Some(until) = self.flushing.take() {
            self.durable = random.between(self.durable, until);
        }
        self.checkpoint = None;
        self.log.truncate(usize::try_from(self.durable - self.first).expect("tests are small"));
    }

    pub(crate) const fn snapshot(&self) -> &Store {
        &self.snapshot
    }

    pub(crate) const fn log(&self) -> &VecDeque<Logged> {
        &self.log
    }

    /// Breaks the disk: what a checkpoint replaces is gone although the checkpoint is not durable.
    pub(crate) fn cut_early(&mut self) {
        let start = self.durable;
        self.log.drain(..usize::try_from(start - self.first).expect("tests are small"));
        self.first = start;
    }

    /// Breaks a checkpoint: its records of one kind are missing.
    pub(crate) fn leave_out(&mut self, start: u64, kind: u8) {
        let records = self.log.split_off(usize::try_from(start - self.first).expect("small"));
        self.log.extend(records.into_iter().filter(|logged| logged.record[0] != kind));
    }

    /// Breaks the disk: it has this record at once, and all before.
    pub(crate) fn write_at_once(&mut self, record: Vec<u8>) {
        self.append(record, Bytes::default());
        (self.durable, self.flushing) = (self.end(), None);
    }

    /// Breaks the disk: all records of these are gone at once, and the others durable.
    pub(crate) fn cut(&mut self, is_cut: impl Fn(&[u8]) -> bool) {
        self.log.retain(|logged| !is_cut(&logged.record));
        (self.durable, self.flushing, self.checkpoint) = (self.end(), None, None);
    }

    /// Breaks the disk: the last durable record is gone.
    pub(crate) fn lose_last(&mut self) {
        if self.log.pop_back().is_some() {
            self.durable -= 1;
        }
    }
}
