//! Writes away what load threads record: the history and the interval logs.

use std::fs::File;
use std::io;
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
            .map(|path| HlogWriter::new(File::create(path)?, files.began))
            .collect::<io::Result<_>>()?,
        seconds: Vec::new(),
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
    hlogs: Vec<HlogWriter<File>>,
    /// For each second the latencies and the counts.
    seconds: Vec<(LatencyTotals, Second)>,
    measured: LatencyTotals,
}

impl Writer {
    fn add(&mut self, timed: &Timed) -> io::Result<()> {
        self.hlogs[usize::from(timed.thread)].write(&timed.interval)?;
        if timed.measured {
            self.measured.add(&timed.interval);
        }
        if self.seconds.len() <= timed.second {
            self.seconds.resize_with(timed.second + 1, Default::default);
        }
        let (latencies, second) = &mut self.seconds[timed.second];
        latencies.add(&timed.interval);
        second.unknown += timed.unknown;
        second.busy += timed.busy;
        Ok(())
    }

    fn finish(self) -> io::Result<Written> {
        let (operations, file) = self.history.finish()?;
        file.sync_all()?;
        for hlog in self.hlogs {
            hlog.finish()?;
        }
        let seconds = self.seconds.into_iter().map(|(latencies, mut second)| {
            let overall = latencies.overall();
            second.ops = overall.len();
            second.p50_ns = overall.value_at_quantile(0.5);
            second.p99_ns = overall.value_at_quantile(0.99);
            second
        });
        Ok(Written { measured: self.measured, seconds: seconds.collect(), operations })
    }
}
