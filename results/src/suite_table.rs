//! A suite as a table: a row for each point and protocol, the median of its repeats.

use crate::suite::{Suite, last_part};
use crate::summary::{ProtocolResult, Summary};
use crate::table::{by_label, grid, spread};
use crate::units;

const FIGURES: [&str; 7] = ["protocol", "ops/s", "spread", "p50", "p99", "p99.9", "valid"];

/// Renders the table; the spread is that of the throughput, from the least to the most of the
/// repeats. `summaries` are those of the suite's runs, in that order.
#[must_use]
pub fn render(suite: &Suite, summaries: &[Summary]) -> String {
    // What has one value only is the same in every row.
    let varies =
        |path: &str| suite.axes.iter().any(|axis| axis.path == path && axis.values.len() > 1);
    let axes = suite.axes.iter().filter(|axis| varies(&axis.path));
    let names = axes.map(|axis| last_part(&axis.path).to_owned());
    let header = names.chain(FIGURES.map(str::to_owned)).collect();
    let mut rows = Vec::new();
    for point in 0..suite.points.len() {
        let results: Vec<ProtocolResult> = suite
            .runs
            .iter()
            .zip(summaries)
            .filter(|(run, _)| run.point == point)
            .flat_map(|(_, summary)| summary.results.clone())
            .collect();
        let mut protocols = by_label(&results);
        // Repeats turn the order round.
        protocols.sort_by_key(|(label, _)| *label);
        for (label, results) in protocols {
            let settings = suite.settings(point).filter(|(path, _)| varies(path));
            let settings = settings.map(|(_, value)| value.to_owned());
            rows.push(settings.chain(row(label, &results)).collect());
        }
    }
    grid(header, rows.into_iter()) + "\n"
}

fn row(label: &str, results: &[&ProtocolResult]) -> Vec<String> {
    let (least, median, most) =
        spread(|result| Some(result.overall.ops_per_second), results).unwrap_or_default();
    let latency = |figure| {
        units::or_dash(spread(figure, results).map(|(_, median, _)| median), units::nanoseconds)
    };
    let sound = results.iter().filter(|result| result.is_sound()).count();
    vec![
        label.to_owned(),
        units::count(median),
        format!("{:.0} %", (most - least) / median.max(f64::MIN_POSITIVE) * 100.0),
        latency(|result| result.overall.p50()),
        latency(|result| result.overall.p99()),
        latency(|result| result.overall.p999()),
        format!("{sound}/{}", results.len()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{SuiteAxis, SuitePoint, SuiteRun};
    use crate::summary::{LatencySummary, VerdictSummary};

    #[test]
    fn repeats_become_one_row() {
        let result = |label: &str, ops_per_second| ProtocolResult {
            label: label.to_owned(),
            overall: LatencySummary {
                count: 20,
                ops_per_second,
                p50_ns: 1000,
                ..Default::default()
            },
            verdict: VerdictSummary::Linearizable {
                operations: 1,
                keys: 1,
                methods: String::new(),
                seconds: 0.1,
            },
            ..ProtocolResult::default()
        };
        let unchecked = |result| ProtocolResult { verdict: VerdictSummary::Unchecked, ..result };
        let summary = |results| Summary { results, ..Summary::default() };
        let run = |repeat| SuiteRun { point: 0, repeat, folder: String::new() };
        let suite = Suite {
            axes: vec![SuiteAxis {
                path: "cluster.window".to_owned(),
                values: vec!["4".to_owned(), "8".to_owned()],
            }],
            points: vec![SuitePoint { at: vec![0] }],
            runs: vec![run(0), run(1)],
            ..Suite::default()
        };
        let text = render(
            &suite,
            &[
                summary(vec![result("abd", 100.0), result("zab", 5.0)]),
                summary(vec![unchecked(result("zab", 7.0)), result("abd", 300.0)]),
            ],
        );
        let cells = |line: &str| {
            line.split(['│', '┆']).map(str::trim).map(str::to_owned).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<String>> =
            text.lines().filter(|line| line.contains("us")).map(cells).collect();
        assert_eq!(rows[0][1..5], ["4", "abd", "200", "100 %"]);
        assert_eq!(rows[1][1..5], ["4", "zab", "6.00", "33 %"]);
        assert_eq!((rows[0][8].as_str(), rows[1][8].as_str()), ("2/2", "1/2"));
    }
}
