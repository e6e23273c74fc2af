//! What replicas said to each other, for people: as lines of text, and as a time-space diagram.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::time::Duration;

use synod_protocols::types::ReplicaId;
use synod_results::check::escaped;

/// Messages under way that are remembered; what was lost long ago makes room.
const UNDER_WAY_MAX: usize = 4096;

/// One message, timer or batch of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// When it was sent, in the world's time; `None` for what is not a message.
    pub sent_ns: Option<u64>,
    /// When it was handled; `None` for a message that never was.
    pub handled_ns: Option<u64>,
    /// The sender; the receiver itself for timers and requests.
    pub from: ReplicaId,
    /// The receiver.
    pub to: ReplicaId,
    /// The message and the number of commands beside it.
    pub what: String,
}

impl TraceLine {
    /// When it counts as having happened.
    fn at_ns(&self) -> u64 {
        self.handled_ns.or(self.sent_ns).unwrap_or_default()
    }
}

fn milliseconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64() * 1e3
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>14.4} ms  {} -> {}  {}",
            milliseconds(self.at_ns()),
            self.from,
            self.to,
            self.what
        )?;
        match (self.sent_ns, self.handled_ns) {
            (Some(sent_ns), Some(handled_ns)) => {
                write!(f, "  (under way {:.4} ms)", milliseconds(handled_ns - sent_ns))
            }
            (Some(_), None) => f.write_str("  (never handled)"),
            (None, _) => Ok(()),
        }
    }
}

/// A trace being written.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The world's time.
    pub(super) now_ns: u64,
    lines: Vec<TraceLine>,
    under_way: VecDeque<TraceLine>,
}

impl Trace {
    /// A replica says something to another one.
    pub(super) fn sent(&mut self, from: ReplicaId, to: ReplicaId, what: String) {
        if self.under_way.len() == UNDER_WAY_MAX {
            self.lines.extend(self.under_way.pop_front());
        }
        let sent_ns = Some(self.now_ns);
        self.under_way.push_back(TraceLine { sent_ns, handled_ns: None, from, to, what });
    }

    /// A replica handles a message.
    pub(super) fn handled(&mut self, from: ReplicaId, to: ReplicaId, what: String) {
        let is_it = |line: &TraceLine| (line.from, line.to) == (from, to) && line.what == what;
        let place = self.under_way.iter().position(is_it);
        // One that comes twice was sent once.
        let sent = place.and_then(|place| self.under_way.remove(place));
        let sent_ns = sent.and_then(|line| line.sent_ns);
        self.lines.push(TraceLine { sent_ns, handled_ns: Some(self.now_ns), from, to, what });
    }

    /// Something happens at a replica.
    pub(super) fn happened(&mut self, to: ReplicaId, what: String) {
        let handled_ns = Some(self.now_ns);
        self.lines.push(TraceLine { sent_ns: None, handled_ns, from: to, to, what });
    }

    /// All lines in order of time.
    pub(super) fn finish(mut self) -> Vec<TraceLine> {
        self.lines.extend(self.under_way);
        self.lines.sort_by_key(TraceLine::at_ns);
        self.lines
    }
}

/// Pixels between the lines of two replicas, and between two rows.
const COLUMN: usize = 320;
const ROW: usize = 19;
const LEFT: usize = 130;
const TOP: usize = 60;

/// A time-space diagram of `lines`: a vertical line for each replica, time goes down, and each
/// message is an arrow from where it was said to where it was heard, named where it was heard.
/// Whatever lies between two of them is one row; the times stand at the left.
#[must_use]
pub fn svg(title: &str, lines: &[TraceLine]) -> String {
    let replicas =
        lines.iter().map(|line| line.from.index().max(line.to.index()) + 1).max().unwrap_or(1);
    // What is said at one moment by one replica shares a row; what is heard has its own.
    let mut rows: Vec<(u64, Option<ReplicaId>, usize)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        rows.extend(line.sent_ns.map(|ns| (ns, Some(line.from), 0)));
        rows.extend(line.handled_ns.map(|ns| (ns, None, number)));
    }
    rows.sort_unstable();
    rows.dedup();
    let (width, height) = (LEFT + COLUMN * replicas + 80, TOP + 60 + ROW * rows.len());
    let mut out = String::new();
    head(&mut out, title, replicas, (width, height));
    let y = |row: usize| TOP + 30 + ROW * row;
    let mut before = None;
    for (row, &(ns, ..)) in rows.iter().enumerate() {
        if before.replace(ns) != Some(ns) {
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#555\">{:.4} ms</text>",
                LEFT - 12,
                y(row) + 4,
                milliseconds(ns)
            );
        }
    }
    let row_of = |point| y(rows.binary_search(&point).unwrap_or_default());
    for (number, line) in lines.iter().enumerate() {
        let said = line.sent_ns.map(|ns| row_of((ns, Some(line.from), 0)));
        let heard = line.handled_ns.map(|ns| row_of((ns, None, number)));
        draw(&mut out, line, said, heard);
    }
    out.push_str("</svg>\n");
    out
}

const fn column(id: ReplicaId) -> usize {
    LEFT + 30 + COLUMN * id.index()
}

fn head(out: &mut String, title: &str, replicas: usize, (width, height): (usize, usize)) {
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#1f5fa8\"/></marker>\
         </defs>\n<text x=\"16\" y=\"26\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    for id in (0..replicas).filter_map(|id| u8::try_from(id).ok()).map(ReplicaId) {
        let x = column(id);
        let _ = write!(
            out,
            "<text x=\"{x}\" y=\"{TOP}\" text-anchor=\"middle\" font-size=\"13\">{id}</text>\n\
             <path d=\"M{x} {}V{}\" stroke=\"#999\"/>\n",
            TOP + 10,
            height - 20
        );
    }
}

fn draw(out: &mut String, line: &TraceLine, said: Option<usize>, heard: Option<usize>) {
    let what = escaped(&short(&line.what));
    let (x, to_x) = (column(line.from), column(line.to));
    if let (Some(y), Some(to_y)) = (said, heard)
        && x != to_x
    {
        let _ = writeln!(
            out,
            "<path d=\"M{x} {y}L{to_x} {to_y}\" stroke=\"#1f5fa8\" marker-end=\"url(#tip)\"/>"
        );
    }
    let (at_x, at_y, color, note) = match (heard, said) {
        (Some(y), _) => (to_x, y, "#111", String::new()),
        (None, Some(y)) => (x, y, "#b3261e", format!(" to {}: never handled", line.to)),
        (None, None) => return,
    };
    let _ = write!(
        out,
        "<circle cx=\"{at_x}\" cy=\"{at_y}\" r=\"2.5\" fill=\"{color}\"/>\n\
         <text x=\"{}\" y=\"{}\" fill=\"{color}\" stroke=\"white\" stroke-width=\"3\" \
         paint-order=\"stroke\">{what}{note}</text>\n",
        at_x + 7,
        at_y + 4
    );
}

/// Without the names of types, and without a count of nothing.
fn short(what: &str) -> String {
    let mut out = what.strip_suffix(" +0").unwrap_or(what).to_owned();
    for name in ["Ballot(", "Slot(", "Tag("] {
        while let Some(at) = out.find(name) {
            out.replace_range(at..at + name.len(), "");
            if let Some(end) = out[at..].find(')') {
                out.remove(at + end);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced() -> Vec<TraceLine> {
        let (one, other) = (ReplicaId(0), ReplicaId(1));
        let mut trace = Trace::default();
        trace.happened(one, "Timeout".to_owned());
        trace.sent(one, other, "Hello <1>".to_owned());
        trace.sent(one, other, "Lost".to_owned());
        trace.now_ns = 1_500_000;
        trace.handled(one, other, "Hello <1>".to_owned());
        trace.handled(one, other, "Hello <1>".to_owned());
        trace.finish()
    }

    #[test]
    fn a_message_knows_when_it_was_sent_and_whether_it_came() {
        let lines: Vec<String> = traced().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "        0.0000 ms  r0 -> r0  Timeout",
                "        0.0000 ms  r0 -> r1  Lost  (never handled)",
                "        1.5000 ms  r0 -> r1  Hello <1>  (under way 1.5000 ms)",
                "        1.5000 ms  r0 -> r1  Hello <1>",
            ]
        );
    }

    #[test]
    fn a_diagram_has_every_message_and_escapes_it() {
        let diagram = svg("a & b", &traced());
        assert!(diagram.contains("a &amp; b"));
        assert_eq!(diagram.matches("Hello &lt;1&gt;").count(), 2);
        assert_eq!(diagram.matches("never handled").count(), 1);
        assert_eq!(diagram.matches("marker-end").count(), 1, "the second copy was not sent");
        assert_eq!(short("Learn { from: Slot(3), of: Ballot(2) } +0"), "Learn { from: 3, of: 2 }");
    }
}
