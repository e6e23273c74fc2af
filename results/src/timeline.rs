//! The seconds of a run as strips of characters, with the faults marked below.

use std::fmt::Write as _;

use crate::summary::{ProtocolResult, Summary};
use crate::units;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Characters of a strip; longer runs show the mean of several seconds in one.
const STRIP_MAX: usize = 64;

/// Renders a run: the table of [`crate::table`], then strips for each result.
#[must_use]
pub fn show(summary: &Summary, colors: bool) -> String {
    let mut text = crate::table::render(summary, colors);
    for result in &summary.results {
        if !result.series.is_empty() {
            text.push('\n');
            text.push_str(&strips(result, summary.warm_up_seconds()));
        }
    }
    text
}

/// Throughput and the 99th percentile over time, each from 0 to its maximum, and the faults. The
/// strips begin with the warm-up.
#[must_use]
pub fn strips(result: &ProtocolResult, warm_up_seconds: f64) -> String {
    let seconds_per_bar = result.series.len().div_ceil(STRIP_MAX).max(1);
    let strip = |values: Vec<f64>| {
        let bars: Vec<f64> = values
            .chunks(seconds_per_bar)
            .map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64)
            .collect();
        let most = bars.iter().copied().fold(0.0, f64::max);
        let text: String = bars.iter().map(|&value| bar(value, most)).collect();
        (text, most)
    };
    let mut text = format!("{} #{}, {seconds_per_bar} s a bar\n", result.label, result.repeat);
    let (ops, most) = strip(result.series.iter().map(|second| second.ops as f64).collect());
    let _infallible = writeln!(text, "  ops/s {ops} up to {}", units::count(most));
    let (p99, most) = strip(result.series.iter().map(|second| second.p99_ns as f64).collect());
    let _infallible = writeln!(text, "  p99   {p99} up to {}", units::nanoseconds(most));
    if !result.faults.is_empty() {
        let mut marks = vec![' '; ops.chars().count()];
        for fault in &result.faults {
            // A fault counts from the end of the warm-up; one that came later than the last second
            // has no place on the strip.
            let at = (0..marks.len()).find(|&bar| {
                let begin_s = (bar * seconds_per_bar) as f64;
                (begin_s..begin_s + seconds_per_bar as f64)
                    .contains(&(fault.at_s + warm_up_seconds))
            });
            if let Some(at) = at {
                marks[at] = '^';
            }
        }
        let marks: String = marks.into_iter().collect();
        let _infallible = writeln!(text, "  fault {}", marks.trim_end());
        for fault in &result.faults {
            let gap = fault.gap_ns.map_or_else(String::new, |gap_ns| {
                format!(", no answer for {}", units::nanoseconds(gap_ns as f64))
            });
            let line = format!(
                "  {:.1} s: {} {}: {}{gap}",
                fault.at_s, fault.action, fault.target, fault.evidence
            );
            text.push_str(&crate::table::lines(&line, anstyle::AnsiColor::Yellow, false));
        }
    }
    text
}

fn bar(value: f64, most: f64) -> char {
    let level =
        (1..BARS.len()).rev().find(|&level| value > most * level as f64 / BARS.len() as f64);
    if value > 0.0 { BARS[level.unwrap_or(0)] } else { ' ' }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::{Fault, Second};

    #[test]
    fn a_strip_shows_the_dip_and_its_fault() {
        let mut summary = crate::table::tests::summary(1, 1);
        let result = &mut summary.results[0];
        result.series =
            [800, 800, 0, 100, 400].map(|ops| Second { ops, ..Second::default() }).to_vec();
        result.faults = vec![Fault {
            at_s: 2.2,
            action: "kill".to_owned(),
            target: "n1".to_owned(),
            evidence: "exit by signal 9".to_owned(),
            gap_ns: Some(1_234_000_000),
        }];
        let text = show(&summary, false);
        assert!(text.contains("  ops/s ██ ▁▄ up to 800\n"), "{text}");
        assert!(
            text.contains(
                "  fault   ^\n  2.2 s: kill n1: exit by signal 9, no answer for 1.23 s\n"
            ),
            "{text}"
        );
        summary.workload = serde_json::json!({ "phases": { "warm_up": "1s" } });
        let text = show(&summary, false);
        assert!(text.contains("  fault    ^\n"), "{text}");
        summary.results[0].series = vec![Second { ops: 7, ..Second::default() }; 1000];
        crate::table::tests::assert_narrow(&show(&summary, false));
    }
}
