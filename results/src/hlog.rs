//! Interval logs, as the tools of HdrHistogram read them: a line for each interval and kind, with
//! the kind as its tag and the histogram in V2 compressed form.
//!
//! Times in a log are seconds from its base time, to the millisecond; latencies inside the
//! histograms are nanoseconds, and only the column of maxima is in milliseconds, as is the custom.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};

use crate::history::Kind;
use crate::record::Interval;

/// Writes the log of one load thread.
pub struct HlogWriter<W: Write> {
    target: W,
    serializer: V2DeflateSerializer,
    bytes: Vec<u8>,
    text: String,
}

impl<W: Write> fmt::Debug for HlogWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HlogWriter").finish_non_exhaustive()
    }
}

impl<W: Write> HlogWriter<W> {
    /// Begins a log. `started` is when the clock of the run stood at 0, since the Unix epoch.
    ///
    /// # Errors
    /// If the target cannot be written.
    pub fn new(mut target: W, started: Duration) -> io::Result<Self> {
        let seconds = started.as_secs_f64();
        writeln!(target, "#[Histogram log format version 1.3]")?;
        writeln!(target, "#[StartTime: {seconds:.3} (seconds since epoch)]")?;
        writeln!(target, "#[BaseTime: {seconds:.3} (seconds since epoch)]")?;
        writeln!(
            target,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
             \"Interval_Compressed_Histogram\""
        )?;
        let serializer = V2DeflateSerializer::new();
        Ok(Self { target, serializer, bytes: Vec::new(), text: String::new() })
    }

    /// Writes a line for each kind that the interval recorded.
    ///
    /// # Errors
    /// If the target cannot be written.
    pub fn write(&mut self, interval: &Interval) -> io::Result<()> {
        let started_s = interval.started_ns as f64 / 1e9;
        let length_s = interval.ended_ns.saturating_sub(interval.started_ns) as f64 / 1e9;
        for kind in Kind::ALL {
            if interval.latencies_ns(kind).next().is_none() {
                continue;
            }
            let histogram = interval.histogram(kind);
            self.bytes.clear();
            self.serializer.serialize(&histogram, &mut self.bytes).map_err(io::Error::other)?;
            self.text.clear();
            STANDARD.encode_string(&self.bytes, &mut self.text);
            let max_ms = histogram.max() as f64 / 1e6;
            let (name, text) = (kind.name(), &self.text);
            writeln!(self.target, "Tag={name},{started_s:.3},{length_s:.3},{max_ms:.3},{text}")?;
        }
        Ok(())
    }

    /// Flushes what is buffered and returns the target.
    ///
    /// # Errors
    /// If the target cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.target.flush()?;
        Ok(self.target)
    }
}

/// A line of a log.
#[derive(Clone, Debug)]
pub struct HlogInterval {
    /// When it began, from the log's base time.
    pub started: Duration,
    /// How long it lasted.
    pub length: Duration,
    /// The kind of the operations.
    pub kind: Kind,
    /// Their latencies in nanoseconds.
    pub histogram: Histogram<u64>,
}

/// Reads a whole log.
///
/// # Errors
/// If it cannot be read, or a line is not what [`HlogWriter`] writes.
pub fn read(path: &Path) -> Result<Vec<HlogInterval>, HlogError> {
    let failed = |what: String| HlogError { file: path.to_path_buf(), what };
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let mut deserializer = Deserializer::new();
    let mut intervals = Vec::new();
    for entry in IntervalLogIterator::new(&bytes) {
        let number = intervals.len() + 1;
        match entry {
            Ok(LogEntry::StartTime(_) | LogEntry::BaseTime(_)) => {}
            Ok(LogEntry::Interval(interval)) => {
                let name = interval.tag().map_or("", |tag| tag.as_str());
                let kind = Kind::from_name(name)
                    .ok_or_else(|| failed(format!("interval {number}: unknown tag {name:?}")))?;
                let packed = STANDARD
                    .decode(interval.encoded_histogram())
                    .map_err(|error| failed(format!("interval {number}: {error}")))?;
                let histogram = deserializer
                    .deserialize(&mut packed.as_slice())
                    .map_err(|error| failed(format!("interval {number}: {error}")))?;
                intervals.push(HlogInterval {
                    started: interval.start_timestamp(),
                    length: interval.duration(),
                    kind,
                    histogram,
                });
            }
            Err(_) => return Err(failed(format!("interval {number} is cut short or malformed"))),
        }
    }
    Ok(intervals)
}

/// Why a log could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HlogError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for HlogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.what)
    }
}

impl std::error::Error for HlogError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::LatencyRecorder;

    fn log() -> Vec<u8> {
        let mut recorder = LatencyRecorder::new(0);
        let mut writer = HlogWriter::new(Vec::new(), Duration::from_secs(1_700_000_000)).unwrap();
        for second in 1..=3_u64 {
            for latency_ns in 1..=1000 {
                recorder.record(Kind::Get, latency_ns * 1000 * second);
            }
            recorder.record(Kind::Put, 5_000_000);
            let interval = recorder.take_interval(second * 1_000_000_000);
            writer.write(&interval).unwrap();
            recorder.recycle(interval.clear());
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_log_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latency-0.hlog");
        std::fs::write(&path, log()).unwrap();
        let intervals = read(&path).unwrap();
        assert_eq!(intervals.len(), 6);
        let third = &intervals[4];
        assert_eq!((third.kind, third.started), (Kind::Get, Duration::from_secs(2)));
        assert_eq!(third.length, Duration::from_secs(1));
        assert_eq!(third.histogram.len(), 1000);
        let median_ns = third.histogram.value_at_quantile(0.5);
        assert!((1_499_000..1_502_000).contains(&median_ns), "{median_ns}");
        let text = String::from_utf8(log()).unwrap();
        assert!(
            text.starts_with("#[Histogram log format version 1.3]\n#[StartTime: 1700000000.000")
        );
    }

    #[test]
    fn a_broken_log_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latency-0.hlog");
        let bytes = log();
        std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("interval 6 is cut short"));
        let text = String::from_utf8(bytes).unwrap().replace("Tag=put", "Tag=pat");
        std::fs::write(&path, text).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("unknown tag \"pat\""));
        assert!(read(folder.path()).is_err());
    }
}
