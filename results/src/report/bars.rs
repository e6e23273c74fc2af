//! Where time goes as an SVG document: a bar for each protocol and kind of operation, at each point of a
//! suite, as long as its mean latency, with a piece for each part of it.

use std::fmt::Write as _;

use super::source::Source;
use super::svg::{self, COLORS, WIDTH};
use crate::breakdown::{Breakdown, Part};
use crate::check::escaped;
use crate::summary::ProtocolResult;
use crate::table::{breakdown_of, by_label, kinds_sampled};
use crate::units;

const _: () = assert!(Part::ALL.len() == COLORS.len(), "each part has its color");

/// Room for names of this many pixels a character, and behind the longest bar for its length in words.
const LEFT_MIN: f64 = 190.0;
const LEFT_MAX: f64 = 380.0;
const CHARACTER: f64 = 6.4;
const RIGHT: f64 = 76.0;
const TOP: f64 = 6.0;
const BAR_HEIGHT: f64 = 22.0;
const BAR_LINE: f64 = 30.0;
const LEGEND_LINE: f64 = 20.0;
const LEGEND_COLUMNS: usize = 4;

/// More bars than this are looked at by nobody.
const BARS_MAX: usize = 36;

/// Where the time of samples went, of all repeats together, each with its name: of a run kind by kind, so
/// that protocols are beside each other, of a suite point by point.
pub(super) fn sampled(source: &Source) -> Vec<(String, Breakdown)> {
    let Some(suite) = &source.suite else {
        let protocols = by_label(&source.runs[0].summary.results);
        return of_protocols(&protocols);
    };
    let mut all = Vec::new();
    for point in 0..suite.points.len() {
        let results = source.results_of(point);
        let of_point = of_protocols(&by_label(&results)).into_iter();
        all.extend(of_point.map(|(who, breakdown)| (source.at_point(point, who), breakdown)));
    }
    all
}

fn of_protocols(protocols: &[(&str, Vec<&ProtocolResult>)]) -> Vec<(String, Breakdown)> {
    kinds_sampled(protocols)
        .into_iter()
        .flat_map(|kind| protocols.iter().map(move |protocol| (kind, protocol)))
        .filter_map(|(kind, (label, results))| {
            Some((format!("{label}: {kind}"), breakdown_of(kind, results)?))
        })
        .collect()
}

/// Draws where the time of samples went, if there are any and not too many. Text has the color of what
/// is around it.
#[must_use]
pub fn breakdown(source: &Source) -> Option<String> {
    draw_some(&sampled(source))
}

pub(super) fn draw_some(bars: &[(String, Breakdown)]) -> Option<String> {
    (1..=BARS_MAX).contains(&bars.len()).then(|| draw(bars))
}

fn draw(bars: &[(String, Breakdown)]) -> String {
    let longest_ns = bars.iter().map(|(_, of)| of.total_ns()).fold(f64::MIN_POSITIVE, f64::max);
    let longest_name = bars.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let left = CHARACTER.mul_add(longest_name as f64, 16.0).clamp(LEFT_MIN, LEFT_MAX);
    let bottom = TOP + BAR_LINE * bars.len() as f64;
    let legend_lines = Part::ALL.len().div_ceil(LEGEND_COLUMNS) as f64;
    let height = bottom + LEGEND_LINE * (legend_lines + 0.5);
    let mut svg = svg::begin(height, "Where time goes");
    for (number, (name, breakdown)) in bars.iter().enumerate() {
        let top = TOP + BAR_LINE * number as f64;
        let per_ns = (WIDTH - left - RIGHT) / longest_ns;
        draw_bar(&mut svg, (name, breakdown), (left, top), per_ns);
    }
    draw_legend(&mut svg, left, bottom + LEGEND_LINE);
    svg.push_str("</svg>\n");
    svg
}

fn draw_bar(
    svg: &mut String,
    (name, breakdown): (&str, &Breakdown),
    (left, top): (f64, f64),
    per_ns: f64,
) {
    let (name, total_ns) = (escaped(name), breakdown.total_ns());
    let text_at = top + BAR_HEIGHT / 2.0 + 4.0;
    let _infallible = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{text_at:.1}\" text-anchor=\"end\">{name}</text>",
        left - 8.0
    );
    let mut at = left;
    for (part, color) in Part::ALL.into_iter().zip(COLORS) {
        let part_ns = breakdown.part_ns(part);
        let width = part_ns * per_ns;
        if part_ns > 0.0 {
            let _infallible = writeln!(
                svg,
                "<rect x=\"{at:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" \
                 fill=\"{color}\"><title>{name}, {}: {}, {:.0} %</title></rect>",
                part.name(),
                units::nanoseconds(part_ns),
                part_ns / total_ns * 100.0
            );
        }
        at += width;
    }
    let _infallible = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{text_at:.1}\">{}</text>",
        at + 8.0,
        units::nanoseconds(total_ns)
    );
}

fn draw_legend(svg: &mut String, left: f64, top: f64) {
    let column_width = (WIDTH - left) / LEGEND_COLUMNS as f64;
    for (number, (part, color)) in Part::ALL.into_iter().zip(COLORS).enumerate() {
        let x = left + column_width * (number % LEGEND_COLUMNS) as f64;
        let y = top + LEGEND_LINE * (number / LEGEND_COLUMNS) as f64;
        let _infallible = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            y - 10.0,
            x + 18.0,
            part.name()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_as_long_as_their_parts_and_the_longest_bar_fills_its_room() {
        let of = |disk_ns, quorum_ns| Breakdown {
            samples: 1,
            mean_ns: [(Part::Disk, disk_ns), (Part::Quorum, quorum_ns)].into(),
        };
        let bars = [("a < b".to_owned(), of(3e5, 1e5)), ("c".to_owned(), of(1e5, 1e5))];
        let svg = draw(&bars);
        for part in [
            "a &lt; b",
            "width=\"340.5\"",
            "x=\"530.5\" y=\"6.0\" width=\"113.5\"",
            "a &lt; b, disk: 300 us, 75 %",
            "c, quorum wait: 100 us, 50 %",
            "leader CPU</text>",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(!svg.contains("network: "), "what took no time has no piece");
    }
}
