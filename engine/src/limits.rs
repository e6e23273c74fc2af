//! The speed of light: what this machine allows a replication protocol, measured with the same
//! ring, frames and checksums as real traffic, and no protocol.
//!
//! - [`ping_pong`]: one frame to and fro on one connection, the price of two hops.
//! - [`echo`]: a client, a leader and two followers that only pass messages on; a slot counts as
//!   committed with the first acknowledgement. No protocol of this shape can be faster.
//! - [`log`]: synchronous writes to a prewritten file, alone and with two neighbours.
//! - [`load`]: the load generator against a server that agrees with nobody.
//!
//! A measurement ends by itself, joins its threads and removes its files. Its first fifth is a
//! warm-up and is dropped.

pub mod echo;
mod lines;
pub mod load;
pub mod log;
pub mod ping_pong;
mod stopwatch;
mod threads;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use synod_results::units;

pub use self::echo::{EchoResult, echo};
use crate::io::uring::Wait;

/// What carries the messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// TCP over the loopback interface.
    Tcp,
    /// Unix stream sockets, with their names in the directory of the [`Options`].
    Unix,
}

/// Under which conditions to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The processors of the leader, of both followers and of the client, in this order. Two
    /// threads may share one.
    pub placement: [usize; 4],
    /// What every thread does when there is nothing to do.
    pub wait: Wait,
    /// What carries the messages.
    pub transport: Transport,
    /// The length of each measurement in seconds, warm-up included.
    pub seconds: f64,
    /// Where log files and sockets go: on the disk that the replicas would use.
    pub directory: PathBuf,
    /// Bytes of one message from the client, without the header of its frame.
    pub message_bytes: usize,
    /// Bytes that answer one message, without the header of its frame.
    pub reply_bytes: usize,
    /// Client connections of the echo in [`run`].
    pub connections: usize,
    /// Sizes of the log's writes in bytes; whole blocks are written.
    pub record_bytes: Vec<usize>,
    /// Sessions of the load generator, each with one operation under way.
    pub clients: u32,
}

impl Options {
    /// What is measured by default, with sockets and logs in `directory`.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            placement: [0, 0, 1, 1],
            wait: Wait::Yield,
            transport: Transport::Tcp,
            seconds: 1.0,
            directory,
            message_bytes: 16,
            reply_bytes: 0,
            connections: 1,
            record_bytes: vec![4 << 10, 64 << 10],
            clients: 4096,
        }
    }
}

/// One measurement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// What was measured.
    pub name: String,
    /// Messages in a frame; 1 where nothing is batched.
    pub batch: usize,
    /// Frames, writes or operations in flight: on each connection, to each file.
    pub window: usize,
    /// Connections, or files.
    pub connections: usize,
    /// Bytes of one of what the rate counts, without headers.
    pub bytes: usize,
    /// How many of `unit` in a second.
    pub rate: f64,
    /// The median latency of a frame, a write or an operation, in nanoseconds.
    pub p50_ns: u64,
    /// The latency that 99 % do not exceed, in nanoseconds.
    pub p99_ns: u64,
    /// What the rate counts.
    pub unit: String,
}

/// All measurements, in the order in which they were made.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// One for each measurement.
    pub entries: Vec<Entry>,
}

/// Messages in a frame of the echo.
const BATCHES: [usize; 4] = [1, 8, 64, 512];

/// Frames of the echo in flight.
const WINDOWS: [usize; 3] = [1, 4, 16];

/// Writes in flight to each log.
const WRITES_IN_FLIGHT: [usize; 3] = [1, 2, 4];

/// Logs that share a disk when the replicas of a group share a machine.
const REPLICAS: usize = 3;

/// Measures everything, one after the other, and says beforehand what comes.
///
/// # Errors
/// When a processor, the directory or the ring is not to be had, or a thread fails.
pub fn run(options: &Options, mut on_progress: impl FnMut(&str)) -> io::Result<Limits> {
    let mut limits = Limits::default();
    on_progress("ping-pong");
    limits.entries.push(ping_pong::ping_pong(options)?);
    for batch in BATCHES {
        for window in WINDOWS {
            on_progress(&format!("echo, {batch} messages in a frame, {window} frames in flight"));
            let result = echo(options, batch, window, options.connections)?;
            limits.entries.push(result.to_entry(options));
        }
    }
    for &bytes in &options.record_bytes {
        for in_flight in WRITES_IN_FLIGHT {
            on_progress(&format!("log, {bytes} bytes, {in_flight} in flight"));
            limits.entries.push(log::log(options, bytes, in_flight, 1)?);
        }
        on_progress(&format!("{REPLICAS} logs at once, {bytes} bytes"));
        limits.entries.push(log::log(options, bytes, 1, REPLICAS)?);
    }
    on_progress("load generator");
    limits.entries.extend(load::load(options)?);
    Ok(limits)
}

/// The measurements as a table for the terminal, 92 columns wide.
#[must_use]
pub fn table(limits: &Limits) -> String {
    let mut lines = vec![format!(
        "{:<20} {:>5} {:>6} {:>5} {:>9} {:<15} {:>9} {:>8} {:>8}",
        "limit", "batch", "window", "conns", "rate/s", "of", "bytes/s", "p50", "p99"
    )];
    lines.extend(limits.entries.iter().map(|entry| {
        format!(
            "{:<20} {:>5} {:>6} {:>5} {:>9} {:<15} {:>9} {:>8} {:>8}",
            entry.name,
            entry.batch,
            entry.window,
            entry.connections,
            units::count(entry.rate),
            entry.unit,
            units::count(entry.rate * entry.bytes as f64),
            units::nanoseconds(entry.p50_ns as f64),
            units::nanoseconds(entry.p99_ns as f64),
        )
    }));
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short() -> Options {
        Options { seconds: 0.2, clients: 256, ..Options::new(std::env::temp_dir()) }
    }

    fn assert_measured(entry: &Entry) {
        assert!(entry.rate > 0.0, "{entry:?}");
        assert!(entry.p50_ns > 0, "{entry:?}");
        assert!(entry.p99_ns >= entry.p50_ns, "{entry:?}");
    }

    fn leftovers() -> usize {
        let own = threads::scratch_prefix();
        let entries = std::fs::read_dir(std::env::temp_dir()).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(&own))
            .count()
    }

    /// One test, because measurements that run at once measure each other.
    #[test]
    fn every_limit_is_measured_and_leaves_nothing_behind() {
        let mut announced = 0;
        let limits = run(&short(), |_| announced += 1).unwrap();
        limits.entries.iter().for_each(assert_measured);
        assert_eq!(table(&limits).lines().count(), limits.entries.len() + 1);
        assert!(announced >= 20);
        for wait in [Wait::Busy, Wait::Yield, Wait::Block] {
            for transport in [Transport::Tcp, Transport::Unix] {
                let options = Options { wait, transport, ..short() };
                assert_measured(&ping_pong::ping_pong(&options).unwrap());
                assert_measured(&echo(&options, 8, 4, 3).unwrap().to_entry(&options));
            }
        }
        for missing in [1023, 4096] {
            let options = Options { placement: [0, 0, 0, missing], ..short() };
            let error = echo(&options, 1, 1, 1).unwrap_err().to_string();
            assert!(error.contains(&format!("processor {missing} ")), "{error}");
        }
        assert_eq!(leftovers(), 0);
    }
}
