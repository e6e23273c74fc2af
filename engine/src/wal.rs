//! The write-ahead log: records are copied into a buffer, buffers become writes, writes complete.
//!
//! The log does nothing to the disk by itself while commands run. Its owner asks for the next write,
//! hands it to the ring and reports its completion:
//!
//! ```text
//! append(record, payload) -> Lsn     copies; the record ends at this LSN
//! next_write() -> LogWrite           all that was appended since: group commit
//! written(token)                     in any order
//! durable() -> Lsn                   grows over the writes that completed without a gap before them
//! ```
//!
//! A write begins and ends on a block and never touches a block that was written before, so nothing
//! that is durable can be torn. Everything is bounded: [`Wal::room`] says how much can be appended
//! before a write completes or a segment is made ready.
//!
//! Segments have a fixed size, exist full of zeros before they are needed ([`Wal::prepare`]) and
//! get a new number, their bytes untouched, when nothing in them is needed any more
//! ([`Wal::trim`]). `format.rs` describes the bytes, `recovery.rs` what is made of them after a
//! crash.

use format::{BLOCK_BYTES, Link, MARK_BYTES, Mark, framed_bytes};
use segments::Segments;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use synod_protocols::bytes::{index, round_up};

mod buffer;
mod format;
mod recovery;
mod segments;
mod storage;

#[cfg(test)]
mod crash_tests;

pub use buffer::Buffer;
pub use recovery::{LogError, Recovered};
pub use storage::{Blocks, FileStorage, Memory, MemoryStorage, SegmentBytes, SegmentId, Storage};

/// Buffers that a log has at most, unless they are so small that more of them make [`BUFFERS_BYTES`].
const BUFFERS_MAX: usize = 512;

/// Bytes that may wait for the disk however small writes are: a checkpoint appends what an arena holds.
const BUFFERS_BYTES: usize = 512 << 20;

/// Writes that wait for the disk before records that are to be written one by one share one.
const SEALED_MAX: usize = 32;

/// A place in the log in bytes since its first record ever, growing over all segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose log it is. A log of someone else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster, by a number drawn when it was made.
    pub cluster: u64,
    /// The replica in the cluster.
    pub replica: u16,
    /// The group of the replica, as each of its cores has a log.
    pub group: u16,
}

/// Sizes of a log. The first two cannot change while it exists.
#[derive(Clone, Copy, Debug)]
pub struct WalLimits {
    /// Bytes of a segment file, a multiple of [`Self::write_bytes_max`].
    pub segment_bytes: usize,
    /// Most bytes in one write, a multiple of 4096. The largest record fits with 64 to spare.
    pub write_bytes_max: usize,
    /// Most writes not completed, 1 to 4.
    pub writes_in_flight: usize,
}

impl WalLimits {
    fn check(&self) {
        assert!(self.write_bytes_max >= BLOCK_BYTES);
        assert!(self.write_bytes_max.is_multiple_of(BLOCK_BYTES));
        assert!(self.segment_bytes.is_multiple_of(self.write_bytes_max));
        assert!(u32::try_from(self.segment_bytes).is_ok(), "a segment is below 4 GiB");
        assert!((1..=4).contains(&self.writes_in_flight));
    }
}

/// Names a write until its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteToken(pub u64);

/// A write to be made. Whoever makes it owns the buffer until [`Wal::written`].
#[derive(Debug)]
pub struct LogWrite {
    /// What to report when it has completed.
    pub token: WriteToken,
    /// The file.
    pub segment: SegmentId,
    /// First byte in the file, a multiple of 4096.
    pub offset: usize,
    /// Memory of the log; its first `length` bytes are to be written.
    pub buffer: Buffer,
    /// Bytes to write, a multiple of 4096.
    pub length: usize,
}

impl LogWrite {
    /// What to write.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer.bytes()[..self.length]
    }
}

/// A buffer that is being filled, or full and not yet written.
#[derive(Debug)]
struct Staged {
    buffer: Buffer,
    /// Where its mark goes; a multiple of the block.
    base: Lsn,
    /// The mark included.
    used: usize,
    /// Where the write before ended, and the checksum of the last record before this write.
    previous_end: Lsn,
    previous: u32,
}

impl Staged {
    fn end(&self) -> Lsn {
        Lsn(self.base.0 + self.used as u64)
    }
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    token: WriteToken,
    end: Lsn,
    completed: bool,
}

/// Records that a log takes before one of them is durable, with so many writes in flight.
pub const fn log_records(sync_each: bool, writes_in_flight: usize) -> usize {
    // There is one buffer more, in which something else may wait.
    if sync_each { writes_in_flight + 1 } else { usize::MAX }
}

/// The log of one replica, over the files of `S`.
#[derive(Debug)]
pub struct Wal<S> {
    identity: Identity,
    seed: u32,
    limits: WalLimits,
    segments: Segments<S>,
    /// Segments that are to be ready behind the one being written after each cut.
    spares: usize,
    generation: u32,
    /// Where the last record ends.
    end: Lsn,
    /// Invariant: all before it is on disk.
    durable: Lsn,
    /// Checksum of the last record.
    previous: u32,
    free: Vec<Buffer>,
    /// Buffers there are, free or not.
    buffers: usize,
    staged: Option<Staged>,
    /// Full buffers, the oldest first.
    full: VecDeque<Staged>,
    /// Writes whose completion, or that of one before, is missing; the oldest first.
    flights: VecDeque<Flight>,
    tokens: u64,
}

impl<S: Storage> Wal<S> {
    /// Opens the log, showing `visit` every record from `from` on: where it ends, its bytes and its
    /// payload. `from` is 0 or an LSN that [`Self::append`] returned once and that was not trimmed.
    ///
    /// # Errors
    ///
    /// The log is damaged, belongs to someone else, or cannot be read. It is left as it was.
    pub fn open(
        storage: S,
        identity: Identity,
        limits: WalLimits,
        from: Lsn,
        visit: impl FnMut(Lsn, &[u8], &[u8]),
    ) -> Result<(Self, Recovered), LogError> {
        limits.check();
        let mut segments = Segments::open(storage, limits)?;
        let found = recovery::recover(&mut segments, identity, from, visit)?;
        // One buffer is filled and one is full while all others are being written.
        let buffer_count = limits.writes_in_flight + 2;
        let recovered = found.recovered;
        let wal = Self {
            identity,
            seed: identity.seed(),
            limits,
            segments,
            spares: 0,
            generation: found.generation_last + 1,
            end: recovered.next,
            durable: recovered.next,
            previous: found.previous,
            free: (0..buffer_count).map(|_| Buffer::new(limits.write_bytes_max)).collect(),
            buffers: buffer_count,
            staged: None,
            full: VecDeque::with_capacity(buffer_count),
            flights: VecDeque::with_capacity(buffer_count),
            tokens: 0,
        };
        Ok((wal, recovered))
    }

    /// Bytes that can be appended now: any records whose [`Self::bytes_of`] add up to no more.
    pub fn room(&self) -> usize {
        let used = self.staged.as_ref().map_or(self.limits.write_bytes_max, |staged| staged.used);
        let fresh = self.limits.write_bytes_max - MARK_BYTES;
        let ready = !self.free.is_empty() && !self.is_full();
        if ready { fresh } else { self.limits.write_bytes_max - used }
    }

    /// Whether no segment is ready for the write after the present one: only a cut of the log, or
    /// [`Self::extend`], makes room then.
    pub fn is_full(&self) -> bool {
        let after = match &self.staged {
            Some(staged) => Lsn(staged.base.0 + self.limits.write_bytes_max as u64),
            None => self.end,
        };
        !self.segments.is_ready(self.base_after(after))
    }

    /// Bytes of the log that a record with its payload takes.
    pub fn bytes_of(record_bytes: usize, payload_bytes: usize) -> usize {
        framed_bytes(record_bytes, payload_bytes)
    }

    /// Appends a record of up to 64 bytes with a payload, and returns where it ends: it is durable
    /// when [`Self::durable`] has come so far. [`Self::room`] tells when to hold back; who cannot,
    /// as a checkpoint cannot, makes the log grow by a segment where it must, and blocks meanwhile.
    ///
    /// # Errors
    ///
    /// The log had to grow, and the disk is full or fails. Nothing was appended; the process has to
    /// stop.
    pub fn append(&mut self, record: &[u8], payload: &[u8]) -> io::Result<Lsn> {
        let framed = framed_bytes(record.len(), payload.len());
        assert!(framed <= self.limits.write_bytes_max - MARK_BYTES, "a record fits a write");
        let mut staged = match self.staged.take() {
            Some(staged) if staged.used + framed <= self.limits.write_bytes_max => staged,
            Some(full) => {
                self.full.push_back(full);
                self.begin()?
            }
            None => self.begin()?,
        };
        let link = Link { previous: self.previous, lsn: staged.end(), generation: self.generation };
        let out = &mut staged.buffer.first_mut(staged.used + framed)[staged.used..];
        self.previous = format::put_record(out, self.seed, link, record, payload);
        staged.used += framed;
        self.end = staged.end();
        self.staged = Some(staged);
        Ok(self.end)
    }

    /// Ends the present write: what is appended next goes into another. Unless many wait already:
    /// records that could not be held back, as those of a checkpoint, then share one.
    pub fn seal(&mut self) {
        if self.full.len() < SEALED_MAX
            && let Some(staged) = self.staged.take()
        {
            self.full.push_back(staged);
        }
    }

    /// The next write to make, if there is something to write and fewer than the limit are under
    /// way. Each is to be made durable (`O_DSYNC`), then reported to [`Self::written`].
    pub fn next_write(&mut self) -> Option<LogWrite> {
        if self.flights.len() == self.limits.writes_in_flight {
            return None;
        }
        let mut staged = self.full.pop_front().or_else(|| self.staged.take())?;
        assert!(staged.used > MARK_BYTES, "a buffer is begun for a record");
        let link =
            Link { previous: staged.previous, lsn: staged.base, generation: self.generation };
        let mark = Mark {
            link,
            previous_end: staged.previous_end,
            durable: self.durable,
            identity: self.identity,
            used: staged.used,
        };
        let length = round_up(staged.used, BLOCK_BYTES);
        format::put_mark(staged.buffer.first_mut(staged.used), &mark);
        staged.buffer.cut(staged.used);
        let token = WriteToken(self.tokens);
        self.tokens += 1;
        self.flights.push_back(Flight { token, end: staged.end(), completed: false });
        let (segment, offset) = self.segments.place(staged.base);
        Some(LogWrite { token, segment, offset, buffer: staged.buffer, length })
    }

    /// Reports that a write is durable. Writes may complete in any order. A write that failed must
    /// not be reported: the process has to stop, as no one knows what is on disk.
    pub fn written(&mut self, token: WriteToken, buffer: Buffer) {
        let flight = self.flights.iter_mut().find(|flight| flight.token == token);
        let flight = flight.expect("a write completes once");
        assert!(!flight.completed, "a write completes once");
        flight.completed = true;
        self.free.push(buffer);
        while let Some(flight) = self.flights.front().filter(|flight| flight.completed) {
            assert!(flight.end > self.durable);
            self.durable = flight.end;
            self.flights.pop_front();
        }
    }

    /// Every record that ends here or before is on disk.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Where the last record ends, durable or not.
    pub fn end(&self) -> Lsn {
        self.end
    }

    /// Makes segments until `spares` are ready behind the one being written. Blocks on the disk: to
    /// be called at start.
    ///
    /// # Errors
    ///
    /// The disk is full or fails.
    pub fn prepare(&mut self, spares: usize) -> io::Result<()> {
        self.spares = spares;
        self.segments.prepare(self.base_after(self.end), spares)
    }

    /// Makes the next segment if it is missing: for who must go on before the log can be cut. Blocks
    /// on the disk.
    ///
    /// # Errors
    ///
    /// The disk is full or fails.
    pub fn extend(&mut self) -> io::Result<()> {
        self.segments.prepare(self.base_after(self.end), 1)
    }

    /// Lets go of all records that end at `before` or earlier, as far as they fill whole segments;
    /// those segments become spares. If they are fewer than [`Self::prepare`] asked for, because what
    /// stays is long, makes more: otherwise the log might be full before it can be cut again. Blocks
    /// on the directory, for one rename and sync each.
    ///
    /// # Errors
    ///
    /// The disk is full or fails.
    pub fn trim(&mut self, before: Lsn) -> io::Result<()> {
        assert!(before <= self.durable, "only what is durable is ever obsolete");
        self.segments.trim(before)?;
        self.prepare(self.spares)
    }

    /// The files, for the ring (descriptors), the simulator (faults) and snapshots.
    pub fn storage_mut(&mut self) -> &mut S {
        self.segments.storage_mut()
    }

    /// Starts a write in a free buffer after the last record.
    fn begin(&mut self) -> io::Result<Staged> {
        // Who asks for room finds a free buffer. A new leader that proposes a whole window again,
        // or a checkpoint, may need more at once.
        let buffer = self.free.pop().unwrap_or_else(|| {
            self.buffers += 1;
            let buffers_max = BUFFERS_MAX.max(BUFFERS_BYTES / self.limits.write_bytes_max);
            assert!(self.buffers <= buffers_max, "{buffers_max} writes wait for the disk");
            Buffer::new(self.limits.write_bytes_max)
        });
        let base = self.base_after(self.end);
        self.segments.prepare(base, 0)?;
        assert!(base >= self.end);
        let (previous_end, previous) = (self.end, self.previous);
        Ok(Staged { buffer, base, used: MARK_BYTES, previous_end, previous })
    }

    /// Where a write goes that follows `end`: on the next block, if a full buffer fits before the
    /// end of the segment, so that no write ever has to be cut to fit.
    fn base_after(&self, end: Lsn) -> Lsn {
        let segment_bytes = self.limits.segment_bytes as u64;
        let block = Lsn(round_up(index(end.0), BLOCK_BYTES) as u64);
        let left = segment_bytes - block.0 % segment_bytes;
        if left >= self.limits.write_bytes_max as u64 { block } else { Lsn(block.0 + left) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { cluster: 1, replica: 0, group: 0 };
    const LIMITS: WalLimits =
        WalLimits { segment_bytes: 1 << 15, write_bytes_max: 8192, writes_in_flight: 2 };

    fn open(storage: MemoryStorage) -> Wal<MemoryStorage> {
        let opened = Wal::open(storage, IDENTITY, LIMITS, Lsn(0), |_, _, _| {});
        let (mut wal, _) = opened.unwrap();
        wal.prepare(1).unwrap();
        wal
    }

    #[test]
    fn what_was_appended_since_the_last_write_is_one_write() {
        let mut wal = open(MemoryStorage::default());
        assert!(wal.next_write().is_none());
        let first = wal.append(b"one", b"").unwrap();
        let second = wal.append(b"two", &[1; 3000]).unwrap();
        assert!(first < second);
        let write = wal.next_write().unwrap();
        assert_eq!((write.segment, write.offset, write.length), (SegmentId(0), 0, 4096));
        assert_eq!(write.bytes().as_ptr().align_offset(4096), 0);
        let third = wal.append(b"three", b"").unwrap();
        assert_eq!(wal.next_write().unwrap().offset, 4096, "no block is written twice");
        assert_eq!(wal.durable(), Lsn(0));
        wal.written(write.token, write.buffer);
        assert_eq!(wal.durable(), second);
        assert_eq!(wal.end(), third);
    }

    #[test]
    fn durable_grows_without_gaps_whatever_the_order() {
        let mut wal = open(MemoryStorage::default());
        wal.append(b"1", b"").unwrap();
        let first = wal.next_write().unwrap();
        let second_end = wal.append(b"2", b"").unwrap();
        let second = wal.next_write().unwrap();
        wal.append(b"3", b"").unwrap();
        assert!(wal.next_write().is_none(), "two are under way");
        wal.written(second.token, second.buffer);
        assert_eq!(wal.durable(), Lsn(0));
        assert!(wal.next_write().is_none(), "the first still is");
        wal.written(first.token, first.buffer);
        assert_eq!(wal.durable(), second_end);
        assert!(wal.next_write().is_some());
    }

    #[test]
    fn sealed_records_are_writes_of_their_own() {
        let mut wal = open(MemoryStorage::default());
        let ends: Vec<Lsn> = (0..2)
            .map(|_| {
                let end = wal.append(b"r", b"p").unwrap();
                wal.seal();
                end
            })
            .collect();
        for end in ends {
            let write = wal.next_write().unwrap();
            wal.written(write.token, write.buffer);
            assert_eq!(wal.durable(), end);
        }
        assert!(wal.next_write().is_none());
    }

    #[test]
    fn more_sealed_records_than_buffers_share_writes() {
        let mut wal = open(MemoryStorage::default());
        for _ in 0..10 * BUFFERS_MAX {
            wal.append(b"r", b"p").unwrap();
            wal.seal();
        }
        let mut writes = 0;
        while let Some(write) = wal.next_write() {
            wal.written(write.token, write.buffer);
            writes += 1;
        }
        assert_eq!(wal.durable(), wal.end());
        assert!((SEALED_MAX..BUFFERS_MAX).contains(&writes), "{writes} writes");
    }

    #[test]
    fn room_ends_with_the_buffers_and_comes_back() {
        let mut wal = open(MemoryStorage::default());
        wal.prepare(10).unwrap();
        let mut appended = 0;
        while wal.room() >= Wal::<MemoryStorage>::bytes_of(8, 1000) {
            wal.append(&[1; 8], &[2; 1000]).unwrap();
            appended += 1;
        }
        assert_eq!(appended, 4 * ((8192 - 64) / 1040));
        let write = wal.next_write().unwrap();
        assert_eq!(write.length, 8192);
        wal.written(write.token, write.buffer);
        assert_eq!(wal.room(), 8192 - 64);
    }

    #[test]
    fn records_of_their_own_fit_as_many_as_are_promised() {
        let mut wal = open(MemoryStorage::default());
        wal.prepare(10).unwrap();
        wal.append(b"something else", &[]).unwrap();
        wal.seal();
        for _ in 0..log_records(true, LIMITS.writes_in_flight) {
            assert!(wal.room() > 1000);
            wal.append(&[1; 8], &[2; 1000]).unwrap();
            wal.seal();
        }
        assert_eq!(wal.room(), 0);
    }

    #[test]
    fn who_cannot_hold_back_makes_the_log_grow() {
        let mut wal = open(MemoryStorage::default());
        let record_bytes = Wal::<MemoryStorage>::bytes_of(1, 8000);
        let mut appended = 0;
        while appended < 3 * LIMITS.segment_bytes {
            wal.append(b"r", &[0; 8000]).unwrap();
            appended += record_bytes;
        }
        let writes = std::iter::from_fn(|| wal.next_write()).count();
        assert_eq!(writes, LIMITS.writes_in_flight);
    }

    #[test]
    fn room_ends_with_the_ready_segments() {
        let mut wal = open(MemoryStorage::default());
        let mut written = 0;
        while wal.room() > 8000 {
            wal.append(b"r", &[0; 8000]).unwrap();
            let write = wal.next_write().unwrap();
            wal.written(write.token, write.buffer);
            written += 1;
        }
        assert_eq!(written, 8, "two segments of four");
        assert_eq!(wal.room(), 0);
        wal.trim(wal.durable()).unwrap();
        assert!(wal.room() > 8000, "a segment was recycled");
    }
}
