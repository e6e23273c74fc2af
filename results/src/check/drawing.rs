//! A violation as a picture: a row for each session, a bar for each operation.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::explain::{Violation, words};
use crate::history::Operation;
use crate::units::nanoseconds;

/// The most operations that are drawn; a violation shows a handful.
const OPERATIONS_MAX: usize = 64;

const LEFT: f64 = 110.0;
const AXIS_WIDTH: f64 = 760.0;
const WIDTH: f64 = 1_000.0;
const TOP: f64 = 64.0;
/// Bars of a session that would share a line are drawn on lanes below each other.
const LANE_HEIGHT: f64 = 40.0;
const BAR_HEIGHT: f64 = 14.0;
const TICKS: u32 = 4;
/// A bar is seen, however short it is.
const BAR_WIDTH_MIN: f64 = 3.0;

const INK: &str = "#1f2933";
const PALE: &str = "#d0d7de";
const WRITES: &str = "#c2410c";
const READS: &str = "#1d4ed8";

/// Draws the operations of a violation as an SVG document.
#[must_use]
pub fn draw(violation: &Violation) -> String {
    let operations = &violation.operations[..violation.operations.len().min(OPERATIONS_MAX)];
    let scale = Scale::new(operations);
    let rows = rows(operations, &scale);
    let lanes: usize = rows.values().map(Vec::len).sum();
    let bottom = TOP + LANE_HEIGHT * lanes as f64;
    let mut svg = String::new();
    let _infallible = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
        height = bottom + 60.0
    );
    text(&mut svg, (16.0, 26.0), "start", "15", &violation.sentence);
    axis(&mut svg, &scale, bottom);
    let mut y = TOP;
    for (session, lanes) in &rows {
        text(&mut svg, (16.0, y + 29.0), "start", "12", &format!("session {session}"));
        for lane in lanes {
            for operation in lane {
                bar(&mut svg, operation, &scale, y);
            }
            y += LANE_HEIGHT;
        }
        let _infallible = writeln!(
            svg,
            "<line x1=\"16\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"{PALE}\"/>",
            WIDTH - 16.0
        );
    }
    legend(&mut svg, bottom + 46.0);
    svg.push_str("</svg>\n");
    svg
}

/// From time to place.
struct Scale {
    begin_ns: u64,
    end_ns: u64,
}

impl Scale {
    fn new(operations: &[Operation]) -> Self {
        let begin_ns = operations.iter().map(|operation| operation.start_ns).min().unwrap_or(0);
        let stamps = operations.iter().flat_map(|operation| [operation.start_ns, operation.end_ns]);
        let end_ns = stamps.filter(|&stamp| stamp != u64::MAX).max().unwrap_or(begin_ns);
        Self { begin_ns, end_ns: end_ns.max(begin_ns.saturating_add(1)) }
    }

    /// Where a stamp is; what never ended goes on to the edge.
    fn x(&self, stamp_ns: u64) -> f64 {
        if stamp_ns == u64::MAX {
            return LEFT + AXIS_WIDTH + 30.0;
        }
        let part = stamp_ns.saturating_sub(self.begin_ns) as f64;
        LEFT + AXIS_WIDTH * part / (self.end_ns - self.begin_ns) as f64
    }
}

/// About how wide a label is.
fn label_width(label: &str) -> f64 {
    label.chars().count() as f64 * 7.0
}

/// Where a label begins: at its bar, unless it would end outside of the picture.
fn label_x(operation: &Operation, scale: &Scale) -> f64 {
    scale.x(operation.start_ns).min(WIDTH - 16.0 - label_width(&words(operation))).max(LEFT)
}

/// The sessions with their lanes. Neither bars nor labels of a lane lie on each other.
fn rows<'a>(operations: &'a [Operation], scale: &Scale) -> BTreeMap<u32, Vec<Vec<&'a Operation>>> {
    let mut rows: BTreeMap<u32, Vec<Vec<&Operation>>> = BTreeMap::new();
    let span = |operation: &Operation| {
        let label = label_x(operation, scale);
        let begin = label.min(scale.x(operation.start_ns));
        let label_end = label + label_width(&words(operation));
        (begin, label_end.max(scale.x(operation.end_ns) + BAR_WIDTH_MIN))
    };
    for operation in operations {
        let lanes = rows.entry(operation.session).or_default();
        let (begin, end) = span(operation);
        let is_free = |lane: &&mut Vec<&Operation>| {
            lane.iter().all(|other| {
                let (other_begin, other_end) = span(other);
                other_end < begin || end < other_begin
            })
        };
        match lanes.iter_mut().find(is_free) {
            Some(lane) => lane.push(operation),
            None => lanes.push(vec![operation]),
        }
    }
    rows
}

fn axis(svg: &mut String, scale: &Scale, bottom: f64) {
    for tick in 0..=TICKS {
        let part = f64::from(tick) / f64::from(TICKS);
        let x = LEFT + AXIS_WIDTH * part;
        let _infallible = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"{PALE}\" \
             stroke-dasharray=\"2 3\"/>"
        );
        let time = nanoseconds((scale.end_ns - scale.begin_ns) as f64 * part);
        text(svg, (x, bottom + 18.0), "middle", "11", &time);
    }
}

fn bar(svg: &mut String, operation: &Operation, scale: &Scale, y: f64) {
    let color = if operation.written == 0 { READS } else { WRITES };
    let begin = scale.x(operation.start_ns);
    let width = (scale.x(operation.end_ns) - begin).max(BAR_WIDTH_MIN);
    let dashes = if operation.end_ns == u64::MAX { " stroke-dasharray=\"4 3\"" } else { "" };
    let _infallible = writeln!(
        svg,
        "<rect x=\"{begin:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" \
         fill=\"{color}\" fill-opacity=\"0.35\" stroke=\"{color}\"{dashes}/>",
        top = y + 20.0
    );
    text(svg, (label_x(operation, scale), y + 15.0), "start", "12", &words(operation));
}

fn legend(svg: &mut String, y: f64) {
    for (x, color, label) in [(LEFT, WRITES, "writes a value"), (LEFT + 160.0, READS, "reads")] {
        let _infallible = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"10\" fill=\"{color}\" \
             fill-opacity=\"0.35\" stroke=\"{color}\"/>",
            y - 9.0
        );
        text(svg, (x + 20.0, y), "start", "11", label);
    }
    text(svg, (LEFT + 260.0, y), "start", "11", "dashed: never answered");
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, size: &str, words: &str) {
    let _infallible = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" \
         fill=\"{INK}\">{}</text>",
        escaped(words)
    );
}

/// Text as it may stand in XML.
#[must_use]
pub fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::*;
    use crate::history::{Kind, Outcome};

    #[test]
    fn each_operation_is_a_bar_within_the_picture() {
        let put = Operation {
            start_ns: 5_000,
            end_ns: 6_500,
            written: Operation::id(3, 17),
            session: 3,
            kind: Kind::Put,
            ..Operation::default()
        };
        let lost = Operation {
            start_ns: 9_000,
            end_ns: u64::MAX,
            outcome: Outcome::Unknown,
            session: 4,
            ..put
        };
        // It overlaps the first one, so it needs a lane of its own.
        let second = Operation { start_ns: 5_100, written: Operation::id(3, 18), ..put };
        let violation = Violation::new(Rule::BothCurrent, vec![put, second, lost]);
        let svg = draw(&violation);
        assert_eq!(svg.matches("fill-opacity").count(), 3 + 2);
        assert!(svg.contains(">put 3.17</text>") && svg.contains(">put 3.17: unknown</text>"));
        assert_eq!(svg.matches("session ").count(), 2);
        let scale = Scale::new(&violation.operations);
        assert_eq!(rows(&violation.operations, &scale)[&3].len(), 2);
        for operation in &violation.operations {
            for stamp in [operation.start_ns, operation.end_ns] {
                assert!((LEFT..WIDTH).contains(&scale.x(stamp)));
            }
        }
        assert!(draw(&Violation::new(Rule::SwapCycle, vec![])).ends_with("</svg>\n"));
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
