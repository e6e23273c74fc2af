//! The tables of a report.

use std::fmt::Write as _;

use super::bars;
use super::chart::Chart;
use super::source::Source;
use crate::breakdown::{Breakdown, Part, last_of_quorums};
use crate::check::escaped;
use crate::compare::{self, Finding, Pair, Points, Says};
use crate::statistics::bootstrap;
use crate::suite::Suite;
use crate::summary::ProtocolResult;
use crate::table::{Row, WHERE_TIME_GOES, breakdown_rows, by_label, rows, spread};
use crate::units;

/// An HTML table whose first column names the rows.
pub(super) fn table(caption: &str, header: &[String], rows: &[Vec<String>]) -> String {
    let mut html =
        format!("<div class=\"wide\"><table><caption>{}</caption>\n<tr>", escaped(caption));
    for cell in header {
        let _infallible = write!(html, "<th scope=\"col\">{}</th>", escaped(cell));
    }
    html.push_str("</tr>\n");
    for row in rows {
        html.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let _infallible = if column == 0 {
                write!(html, "<th scope=\"row\">{}</th>", escaped(cell))
            } else {
                write!(html, "<td>{}</td>", escaped(cell))
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
    html
}

/// The comparison at a glance: of a run each figure of each protocol, of a suite its points.
pub(super) fn at_a_glance(source: &Source) -> String {
    match &source.suite {
        Some(suite) => points(source, suite),
        None => protocols(source),
    }
}

fn protocols(source: &Source) -> String {
    let seed = source.runs[0].summary.seed;
    let results = &source.runs[0].summary.results;
    let protocols = by_label(results);
    let labels = protocols.iter().map(|(label, _)| (*label).to_owned());
    let header: Vec<String> = std::iter::once(String::new()).chain(labels).collect();
    let rows: Vec<Vec<String>> = rows(&protocols)
        .map(|row| {
            let cells = protocols.iter().map(|(_, results)| match spread(row.figure, results) {
                Some((_, median, _)) => with_interval(row, results, median, seed),
                None => "-".to_owned(),
            });
            std::iter::once(row.name.to_owned()).chain(cells).collect()
        })
        .collect();
    table("The median of the repeats, and its 95 % bootstrap interval", &header, &rows)
}

fn with_interval(row: &Row, results: &[&ProtocolResult], median: f64, seed: u64) -> String {
    let values: Vec<f64> = results.iter().filter_map(|result| (row.figure)(result)).collect();
    let print = row.print;
    match bootstrap::median_interval(&values, seed) {
        Some(ends) => format!("{} ({} to {})", print(median), print(ends.low), print(ends.high)),
        None => print(median),
    }
}

/// The parts of the mean latency of each protocol, of a run kind by kind, of a suite point by point: as bars,
/// and in numbers.
pub(super) fn where_time_goes(source: &Source) -> String {
    let sampled = bars::sampled(source);
    if sampled.is_empty() {
        return String::new();
    }
    let mut html = "<p class=\"small\">The parts of the mean of samples, of all repeats together, in the \
                    order in which they pass. As long as both disk and quorum are waited for, it counts \
                    as disk.</p>\n"
        .to_owned();
    if let Some(bars) = bars::draw_some(&sampled) {
        let _infallible = writeln!(html, "<figure id=\"breakdown\">\n{bars}</figure>");
    }
    html.push_str(&match &source.suite {
        Some(_) => parts_of_points(&sampled),
        None => parts_of_protocols(&source.runs[0].summary.results),
    });
    html
}

fn parts_of_protocols(results: &[ProtocolResult]) -> String {
    let protocols = by_label(results);
    let labels = protocols.iter().map(|(label, _)| (*label).to_owned());
    let header: Vec<String> = std::iter::once(WHERE_TIME_GOES.to_owned()).chain(labels).collect();
    table("In numbers", &header, &breakdown_rows(&protocols))
}

fn parts_of_points(sampled: &[(String, Breakdown)]) -> String {
    let parts = Part::ALL.map(|part| part.name().to_owned());
    let mut header = vec![WHERE_TIME_GOES.to_owned(), "mean".to_owned()];
    header.extend(parts);
    header.push("samples".to_owned());
    let rows: Vec<Vec<String>> = sampled
        .iter()
        .map(|(name, breakdown)| {
            let parts = Part::ALL.map(|part| units::nanoseconds(breakdown.part_ns(part)));
            let mut row = vec![name.clone(), units::nanoseconds(breakdown.total_ns())];
            row.extend(parts);
            row.push(units::grouped(breakdown.samples));
            row
        })
        .collect();
    table("In numbers", &header, &rows)
}

/// What the repeats can tell of the protocols of a run, or of each point of a suite.
pub(super) fn findings(source: &Source) -> String {
    let points = Points::of(source);
    let compared = compare::within(&points);
    if compared.pairs.is_empty() {
        return String::new();
    }
    let repeats_wanted = compared.repeats_wanted();
    let says_something =
        |pair: &Pair<'_>| pair.findings.iter().any(|finding| finding.says != Says::CannotTell);
    let mut html = String::new();
    if repeats_wanted.is_none() || compared.pairs.iter().any(says_something) {
        html.push_str(&finding_table(&compared.pairs));
    }
    let few = repeats_wanted.map(|repeats| {
        format!("There are too few repeats to tell anything: {repeats} of each could.")
    });
    let refusals = compared.refusals.iter().map(|why| format!("Not to be compared: {why}."));
    for sentence in few.into_iter().chain(refusals) {
        let _infallible = writeln!(html, "<p class=\"small\">{}</p>", escaped(&sentence));
    }
    html
}

fn finding_table(pairs: &[Pair<'_>]) -> String {
    let ends = |(low, high)| format!("{} to {}", compare::percent(low), compare::percent(high));
    let row = |(pair, finding): (&Pair<'_>, &Finding)| {
        vec![
            format!("{}: {}", pair.title, finding.figure),
            finding.says.words().to_owned(),
            compare::percent(finding.percent),
            finding.interval.map_or_else(|| "-".to_owned(), ends),
            units::figure(finding.p),
        ]
    };
    let rows: Vec<Vec<String>> = pairs
        .iter()
        .flat_map(|pair| pair.findings.iter().map(move |finding| (pair, finding)))
        .map(row)
        .collect();
    let header = ["", "it is", "change", "95 % interval", "p, corrected"].map(str::to_owned);
    table("Faster, slower, or cannot tell", &header, &rows)
}

/// Processor time of each thread of a run's first repeats: one that is full is the limit.
pub(super) fn threads(source: &Source) -> String {
    if source.suite.is_some() {
        return String::new();
    }
    let protocols = by_label(&source.runs[0].summary.results);
    let rows: Vec<Vec<String>> = protocols
        .iter()
        .flat_map(|(label, results)| {
            results[0].threads.iter().map(move |it| (label, results[0], it))
        })
        .map(|(label, result, thread)| {
            let share = thread.cpu_seconds / result.measured_seconds.max(f64::MIN_POSITIVE);
            vec![
                format!("{label}: {}", thread.name),
                format!("{} s", units::figure(thread.cpu_seconds)),
                format!("{:.0} %", share * 100.0),
            ]
        })
        .collect();
    let header = ["", "processor time", "of the measured time"].map(str::to_owned);
    table("Each thread, first repeat", &header, &rows)
}

fn points(source: &Source, suite: &Suite) -> String {
    let mut header: Vec<String> = suite.axes.iter().map(|axis| axis.path.clone()).collect();
    header.extend(["protocol", "ops/s", "p50", "p99", "p99.9", "valid"].map(str::to_owned));
    let mut rows = Vec::new();
    for point in 0..suite.points.len() {
        let results = source.results_of(point);
        for (label, results) in by_label(&results) {
            let median = |figure, print| {
                units::or_dash(spread(figure, &results).map(|(_, median, _)| median), print)
            };
            let sound = results.iter().filter(|result| result.is_sound()).count();
            let mut row: Vec<String> =
                suite.settings(point).map(|(_, value)| value.to_owned()).collect();
            row.extend([
                label.to_owned(),
                median(|result| Some(result.overall.ops_per_second), units::count),
                median(|result| result.overall.p50(), units::nanoseconds),
                median(|result| result.overall.p99(), units::nanoseconds),
                median(|result| result.overall.p999(), units::nanoseconds),
                format!("{sound} of {}", results.len()),
            ]);
            rows.push(row);
        }
    }
    table("The median of the repeats of each point", &header, &rows)
}

/// Throughput over two axes, a cell for each pair, for each protocol of a suite with two axes that
/// vary.
pub(super) fn heat_maps(source: &Source) -> String {
    let Some(suite) = &source.suite else { return String::new() };
    let varying: Vec<usize> =
        (0..suite.axes.len()).filter(|&axis| suite.axes[axis].values.len() > 1).collect();
    let &[down, across] = varying.as_slice() else { return String::new() };
    let mut labels: Vec<&str> =
        source.results().iter().map(|(_, _, it)| it.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    labels.into_iter().map(|label| heat_map(source, suite, label, (down, across))).collect()
}

fn heat_map(source: &Source, suite: &Suite, label: &str, (down, across): (usize, usize)) -> String {
    let ops = |row: usize, column: usize| {
        let results: Vec<&ProtocolResult> = source
            .results()
            .into_iter()
            .filter(|(run, _, result)| {
                let at = &suite.points[run.point].at;
                result.label == label && (at[down], at[across]) == (row, column)
            })
            .map(|(_, _, result)| result)
            .collect();
        spread(|result| Some(result.overall.ops_per_second), &results).map(|(_, median, _)| median)
    };
    let (rows, columns) = (&suite.axes[down], &suite.axes[across]);
    let cells: Vec<Vec<Option<f64>>> = (0..rows.values.len())
        .map(|row| (0..columns.values.len()).map(|column| ops(row, column)).collect())
        .collect();
    let most = cells.iter().flatten().flatten().copied().fold(0.0, f64::max);
    let mut html = format!(
        "<div class=\"wide\"><table class=\"heat\"><caption>{}: operations per second, {} down, {} \
         across</caption>\n<tr><td></td>",
        escaped(label),
        escaped(&rows.path),
        escaped(&columns.path)
    );
    for value in &columns.values {
        let _infallible = write!(html, "<th scope=\"col\">{}</th>", escaped(value));
    }
    html.push_str("</tr>\n");
    for (value, row) in rows.values.iter().zip(&cells) {
        let _infallible = write!(html, "<tr><th scope=\"row\">{}</th>", escaped(value));
        for cell in row {
            let _infallible = match cell {
                Some(ops) => {
                    let share = ops / most * 100.0;
                    write!(html, "<td style=\"--share:{share:.0}%\">{}</td>", units::count(*ops))
                }
                None => write!(html, "<td>-</td>"),
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
    html
}

/// What each operation cost, and how near the limits it came.
pub(super) fn costs(source: &Source) -> String {
    let header = [
        "",
        "CPU-s/M ops",
        "messages/op",
        "bytes/op",
        "syncs/op",
        "beside the limit",
        "last of its quorum",
    ];
    let number = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), units::figure);
    let rows: Vec<Vec<String>> = source
        .results()
        .into_iter()
        .map(|(run, _, result)| {
            let name = format!("{} #{}", result.label, result.repeat + 1);
            let messages = result.counters.replica_messages as f64;
            let operations = (result.overall.count as f64).max(1.0);
            let limit = result.limits.first().map_or_else(String::new, |limit| {
                format!("{} % of {}", units::figure(limit.percent), limit.name)
            });
            vec![
                source.at_point(run.point, name),
                number(result.cpu_seconds_per_million()),
                number(Some(messages / operations)),
                number(result.bytes_per_operation()),
                number(result.syncs_per_operation()),
                limit,
                last_of_quorums(result).unwrap_or_default(),
            ]
        })
        .collect();
    table("What an operation cost", &header.map(str::to_owned), &rows)
}

/// The numbers behind a chart.
pub(super) fn behind(chart: &Chart) -> String {
    let header = ["series", &chart.x.label, &chart.y.label].map(str::to_owned);
    let rows: Vec<Vec<String>> = chart
        .series
        .iter()
        .flat_map(|series| {
            series.points.iter().map(|&(x, y)| {
                vec![series.name.clone(), chart.x.unit.words(x), chart.y.unit.words(y)]
            })
        })
        .collect();
    table(&chart.title, &header, &rows)
}
