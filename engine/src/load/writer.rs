//! Writes away what load threads record: the history and the interval logs.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender};
use synod_results::history::HistoryWriter;
use synod_results::hlog::HlogWriter;
use synod_results::record::LatencyTotals;
use synod_results::summary::Second;

use super::recording::{Piece, Timed, Used};

/// Where the writer writes.
#[derive(Clone, Debug)]
pub struct Files {
    /// The history of all threads.
    pub history: PathBuf,
    /// The interval log of each thread.
    pub hlogs: Vec<PathBuf>,
    /// The wall clock when the run began, since the Unix epoch.
    pub began: Duration,
}

/// What the writer has added up.
#[derive(Debug, Default)]
pub struct Written {
    /// Latencies of the measured window.
    pub measured: LatencyTotals,
    /// Each second of the run, from the start of the warm-up.
    pub seconds: Vec<Second>,
    /// Operations in the history.
    pub operations: u64,
}

/// Writes until all load threads are done. `give_back` has one channel for each thread.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    pieces: &Receiver<Piece>,
    give_back: &[Sender<Used>],
    files: &Files,
) -> io::Result<Written> {
    let mut writer = Writer {
        history: HistoryWriter::create(&files.history)?,
        hlogs: files
            .hlogs
            .iter()
            .map(|path| HlogWriter::new(BufWriter::new(File::create(path)?), files.began))
            .collect::<io::Result<_>>()?,
        seconds: Seconds::new(files.hlogs.len()),
        measured: LatencyTotals::default(),
    };
    let mut next_back = 0;
    for piece in pieces {
        match piece {
            Piece::Operations(mut chunk) => {
                writer.history.write_block(&chunk)?;
                chunk.clear();
                // Chunks are alike, so they go back to whoever is next.
                let _thread_is_done = give_back[next_back].send(Used::Operations(chunk));
                next_back = (next_back + 1) % give_back.len();
            }
            Piece::Latencies(timed) => {
                writer.add(&timed)?;
                let spare = timed.interval.clear();
                let thread = usize::from(timed.thread);
                let _thread_is_done = give_back[thread].send(Used::Latencies(spare));
            }
        }
    }
    writer.finish()
}

struct Writer {
    history: HistoryWriter,
    hlogs: Vec<HlogWriter<BufWriter<File>>>,
    seconds: Seconds,
    measured: LatencyTotals,
}

impl Writer {
    fn add(&mut self, timed: &Timed) -> io::Result<()> {
        self.hlogs[usize::from(timed.thread)].write(&timed.interval)?;
        if timed.measured {
            self.measured.add(&timed.interval);
        }
        self.seconds.add(timed);
        Ok(())
    }

    fn finish(self) -> io::Result<Written> {
        let (operations, file) = self.history.finish()?;
        file.sync_all()?;
        for hlog in self.hlogs {
            hlog.finish()?;
        }
        Ok(Written { measured: self.measured, seconds: self.seconds.finish(), operations })
    }
}

/// The seconds of a run. Only those that some thread may still add to keep their latencies, which
/// take a megabyte: a long run must not take more memory than a short one.
struct Seconds {
    over: Vec<Second>,
    /// Those after `over`.
    open: VecDeque<(LatencyTotals, Second)>,
    /// For each thread the second that it added to last.
    reached: Vec<usize>,
    /// Memory for the next one.
    spare: Vec<LatencyTotals>,
}

impl Seconds {
    fn new(threads: usize) -> Self {
        let (over, open, spare) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { over, open, reached: vec![0; threads], spare }
    }

    fn add(&mut self, timed: &Timed) {
        let place = timed.second - self.over.len();
        while self.open.len() <= place {
            self.open.push_back((self.spare.pop().unwrap_or_default(), Second::default()));
        }
        let (latencies, second) = &mut self.open[place];
        latencies.add(&timed.interval);
        second.unknown += timed.unknown;
        second.busy += timed.busy;
        self.reached[usize::from(timed.thread)] = timed.second;
        let all_reached = self.reached.iter().min().copied().unwrap_or(0);
        while self.over.len() < all_reached {
            self.close_first();
        }
    }

    fn close_first(&mut self) {
        let Some((mut latencies, mut second)) = self.open.pop_front() else { return };
        let overall = latencies.overall();
        second.ops = overall.len();
        second.p50_ns = overall.value_at_quantile(0.5);
        second.p99_ns = overall.value_at_quantile(0.99);
        self.over.push(second);
        latencies.clear();
        self.spare.push(latencies);
    }

    fn finish(mut self) -> Vec<Second> {
        while !self.open.is_empty() {
            self.close_first();
        }
        self.over
    }
}
