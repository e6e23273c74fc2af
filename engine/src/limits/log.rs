//! Synchronous writes to the disk, as the log makes them: whole blocks into a file that was written
//! once before, opened so that a write is durable when it completes.

use std::io;
use std::sync::atomic::AtomicBool;
use std::thread;

use synod_protocols::types::Time;

use super::stopwatch::{Pace, Stopwatch};
use super::threads::{self, Scratch};
use super::{Entry, Options};
use crate::io::uring::Uring;
use crate::io::{Event, Io};
use crate::wal::{Buffer, FileStorage, LogWrite, SegmentId, Storage, WriteToken};

/// The unit of direct writes.
const BLOCK_BYTES: usize = 4 << 10;

/// A file has room for at least this many writes before they begin at its front again.
const WRITES_PER_FILE: usize = 64;

const FILE_BYTES_MIN: usize = 16 << 20;

/// Each log is one file.
const FILE: SegmentId = SegmentId(0);

/// Measures writes of `record_bytes`, rounded up to whole blocks, with `in_flight` of them at a
/// time, to each of `files` files. Each file has a thread of its own, on the processors of the
/// placement in their order. The rate is that of all files together.
///
/// # Errors
/// When the directory is on a file system without direct writes, a write fails, or a processor or
/// the ring is not to be had.
///
/// # Panics
/// When `record_bytes` or `in_flight` is 0, or `files` is not from 1 to 4.
pub fn log(
    options: &Options,
    record_bytes: usize,
    in_flight: usize,
    files: usize,
) -> io::Result<Entry> {
    assert!(record_bytes > 0 && in_flight > 0);
    assert!((1..=options.placement.len()).contains(&files));
    let scratch = Scratch::new(&options.directory)?;
    let bytes = record_bytes.next_multiple_of(BLOCK_BYTES);
    let file_bytes = (bytes * WRITES_PER_FILE).max(FILE_BYTES_MIN) / bytes * bytes;
    let paths: Vec<_> = (0..files).map(|file| scratch.path().join(format!("{file}"))).collect();
    let mut opened = Vec::new();
    for path in &paths {
        let mut storage = FileStorage::open(path)?;
        storage.create(FILE, file_bytes)?;
        opened.push(storage);
    }
    let stop = AtomicBool::new(false);
    let paces = thread::scope(|scope| {
        let mut writers = Vec::new();
        for (storage, processor) in opened.into_iter().zip(options.placement) {
            writers.push(threads::start(scope, "log", processor, &stop, move || {
                let io = Uring::new(options.wait, None)?;
                let stopwatch = Stopwatch::new(options.seconds, io.now());
                Writer::new(io, storage, file_bytes, bytes, stopwatch).run(in_flight)
            })?);
        }
        writers.into_iter().map(threads::join).collect::<io::Result<Vec<_>>>()
    })?;
    Ok(entry(&paces, bytes, in_flight))
}

/// All files in one figure: their rates add up, and the slowest says what a group waits for.
fn entry(paces: &[Pace], bytes: usize, in_flight: usize) -> Entry {
    Entry {
        name: format!("log {}", synod_workloads::format_bytes(bytes as u64)),
        batch: 1,
        window: in_flight,
        connections: paces.len(),
        bytes,
        rate: paces.iter().map(|pace| pace.rate).sum(),
        p50_ns: paces.iter().map(|pace| pace.p50_ns).max().unwrap_or(0),
        p99_ns: paces.iter().map(|pace| pace.p99_ns).max().unwrap_or(0),
        unit: "synced writes".to_owned(),
    }
}

struct Writer {
    io: Uring,
    storage: FileStorage,
    file_bytes: usize,
    bytes: usize,
    stopwatch: Stopwatch,
    /// Writes started so far.
    started: usize,
    /// When the write of each buffer was started; the place is the write's token.
    since: Vec<Time>,
}

impl Writer {
    fn new(
        io: Uring,
        storage: FileStorage,
        file_bytes: usize,
        bytes: usize,
        stopwatch: Stopwatch,
    ) -> Self {
        Self { io, storage, file_bytes, bytes, stopwatch, started: 0, since: Vec::new() }
    }

    fn run(mut self, in_flight: usize) -> io::Result<Pace> {
        for token in 0..in_flight {
            self.since.push(self.io.now());
            self.start(token, Buffer::new(self.bytes));
        }
        let mut written = Vec::with_capacity(in_flight);
        while !self.stopwatch.is_over(self.io.now()) {
            self.io.poll(Time::NEVER, |event| {
                if let Event::Written(token, buffer, outcome) = event {
                    written.push((token, buffer, outcome));
                }
            });
            for (token, buffer, outcome) in written.drain(..) {
                outcome?;
                let token = usize::try_from(token.0).expect("tokens are places");
                self.stopwatch.record(self.since[token], self.io.now(), 1);
                self.start(token, buffer);
            }
        }
        self.stopwatch.pace()
    }

    fn start(&mut self, token: usize, buffer: Buffer) {
        let offset = self.started * self.bytes % self.file_bytes;
        self.started += 1;
        self.since[token] = self.io.now();
        let write = LogWrite {
            token: WriteToken(token as u64),
            segment: FILE,
            offset,
            buffer,
            length: self.bytes,
        };
        self.io.write(&mut self.storage, write);
    }
}
