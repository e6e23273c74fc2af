//! The comparison of a run's protocols as a table of at most [`WIDTH_MAX`] columns: a row for each
//! figure, a column for each protocol, and below them what the checker and the gates said.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::breakdown::{Breakdown, Part, last_of_quorums};
use crate::summary::{Fault, LatencySummary, ProtocolResult, Summary};
use crate::units;

/// No line is wider.
pub const WIDTH_MAX: u16 = 100;

/// Columns of protocols side by side; further ones go into a table below. A cell with the spread
/// of several repeats is wide.
const PROTOCOLS_MAX: usize = 5;
const REPEATED_PROTOCOLS_MAX: usize = 3;

/// A figure of a result.
type Figure = fn(&ProtocolResult) -> Option<f64>;

/// A row: its name, the figure, and how to print it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) figure: Figure,
    pub(crate) print: fn(f64) -> String,
}

/// The rows of every comparison.
pub(crate) const ROWS: [Row; 11] = [
    Row { name: "ops/s", figure: |r| Some(r.overall.ops_per_second), print: units::count },
    Row { name: "mean", figure: |r| Some(r.overall.mean_ns), print: units::nanoseconds },
    Row { name: "p50", figure: |r| r.overall.p50(), print: units::nanoseconds },
    Row { name: "p90", figure: |r| r.overall.p90(), print: units::nanoseconds },
    Row { name: "p99", figure: |r| r.overall.p99(), print: units::nanoseconds },
    Row { name: "p99.9", figure: |r| r.overall.p999(), print: units::nanoseconds },
    Row { name: "max", figure: |r| Some(r.overall.max_ns as f64), print: units::nanoseconds },
    Row {
        name: "CPU-s/M ops",
        figure: ProtocolResult::cpu_seconds_per_million,
        print: units::figure,
    },
    Row { name: "bytes/op", figure: ProtocolResult::bytes_per_operation, print: units::figure },
    Row { name: "fsyncs/op", figure: ProtocolResult::syncs_per_operation, print: units::figure },
    Row { name: "% of limit", figure: percent_of_limit, print: units::figure },
];

/// Rows that only some results have: of real runs the memory of the largest replica; of transfers
/// between accounts, those that were carried out and those that were refused; of loads that replicas
/// sent back, how often: they had too much to do, or met a lock; of protocols that vote on what others
/// decide, how long they held locks without knowing the outcome; of those that let others stand in, what
/// they took and handed off; of loads that go by the clock, the latency without the time in which an
/// operation waited for a client that could send it.
const MORE_ROWS: [Row; 9] = [
    Row {
        name: "memory",
        figure: |r| r.resident_bytes_max.map(|bytes| bytes as f64),
        print: units::bytes,
    },
    Row { name: "commits/s", figure: commits_per_second, print: units::count },
    Row { name: "aborts/s", figure: aborts_per_second, print: units::count },
    Row { name: "busy/s", figure: busy_per_second, print: units::count },
    Row { name: "in doubt, mean", figure: doubt_ns, print: units::nanoseconds },
    Row {
        name: "  longest",
        figure: |r| (r.counters.doubts > 0).then_some(r.counters.doubt_ns_max as f64),
        print: units::nanoseconds,
    },
    Row { name: "hints taken", figure: hints, print: units::figure },
    Row {
        name: "  handed off",
        figure: |r| hints(r).map(|_| r.counters.handoffs as f64),
        print: units::figure,
    },
    Row {
        name: "p99 once sent",
        figure: |r| r.service.as_ref().and_then(LatencySummary::p99),
        print: units::nanoseconds,
    },
];

/// All rows that these protocols have.
pub(crate) fn rows(
    protocols: &[(&str, Vec<&ProtocolResult>)],
) -> impl Iterator<Item = &'static Row> {
    let is_known = |row: &&Row| protocols.iter().any(|(_, all)| spread(row.figure, all).is_some());
    ROWS.iter().chain(MORE_ROWS.iter().filter(is_known))
}

fn commits_per_second(result: &ProtocolResult) -> Option<f64> {
    Some(result.overall.ops_per_second - aborts_per_second(result)?)
}

fn aborts_per_second(result: &ProtocolResult) -> Option<f64> {
    Some(result.aborted? as f64 / result.measured_seconds)
}

fn busy_per_second(result: &ProtocolResult) -> Option<f64> {
    (result.busy > 0).then(|| result.busy as f64 / result.measured_seconds)
}

fn doubt_ns(result: &ProtocolResult) -> Option<f64> {
    let counters = &result.counters;
    (counters.doubts > 0).then(|| counters.doubt_ns as f64 / counters.doubts as f64)
}

fn hints(result: &ProtocolResult) -> Option<f64> {
    (result.counters.hints > 0).then_some(result.counters.hints as f64)
}

/// How near the protocol came to its first limit, that of throughput.
fn percent_of_limit(result: &ProtocolResult) -> Option<f64> {
    result.limits.first().map(|limit| limit.percent)
}

/// Renders the comparison of all protocols of a run; several repeats of one become the median,
/// with the smallest and the largest behind it. With `colors`, escape sequences mark what failed.
#[must_use]
pub fn render(summary: &Summary, colors: bool) -> String {
    let protocols = by_label(&summary.results);
    let repeated = protocols.iter().any(|(_, results)| results.len() > 1);
    let side_by_side = if repeated { REPEATED_PROTOCOLS_MAX } else { PROTOCOLS_MAX };
    let mut text = heading(summary);
    for some in protocols.chunks(side_by_side) {
        let header = |corner: &str| {
            let labels = some.iter().map(|(label, _)| (*label).to_owned());
            std::iter::once(corner.to_owned()).chain(labels).collect()
        };
        let rows = rows(some).map(|row| {
            let cells = some.iter().map(|(_, results)| cell(row, results));
            std::iter::once(row.name.to_owned()).chain(cells).collect()
        });
        text.push_str(&grid(header(""), rows.chain(gap_rows(some))));
        text.push('\n');
        let parts = breakdown_rows(some);
        if !parts.is_empty() {
            text.push_str(&grid(header(WHERE_TIME_GOES), parts.into_iter()));
            text.push('\n');
        }
    }
    text.push_str(&conditions(&summary.results));
    for result in &summary.results {
        text.push_str(&remarks(result, repeated, colors));
    }
    if !summary.complete {
        let line = "incomplete: the run was interrupted";
        let _infallible = writeln!(text, "{}", painted(line, AnsiColor::Yellow, colors));
    }
    text
}

fn heading(summary: &Summary) -> String {
    let dirty = if summary.dirty { ", changed" } else { "" };
    let commit = summary.commit.get(..12).unwrap_or(&summary.commit);
    format!(
        "{} of {} (commit {commit}{dirty}, seed {})\n",
        summary.name, summary.date, summary.seed
    )
}

/// Under what conditions the figures came about: a line for each different set of them.
fn conditions(results: &[ProtocolResult]) -> String {
    let mut sets: Vec<(String, Vec<&str>)> = Vec::new();
    for result in results {
        let set = format!(
            "{}, {}, {}, durability {}, {}, {} in flight",
            units::counted(result.replicas.into(), "replica"),
            units::counted(result.groups.into(), "group"),
            result.transport,
            result.durability,
            units::counted(result.connections.into(), "connection"),
            units::counted(result.in_flight.into(), "operation"),
        );
        match sets.iter_mut().find(|(same, _)| *same == set) {
            Some((_, labels)) if labels.contains(&result.label.as_str()) => {}
            Some((_, labels)) => labels.push(&result.label),
            None => sets.push((set, vec![&result.label])),
        }
    }
    let all_alike = sets.len() == 1;
    let line = |(set, labels): &(String, Vec<&str>)| {
        let prefix = if all_alike { String::new() } else { format!("{}: ", labels.join(", ")) };
        lines(&format!("{prefix}{set}"), AnsiColor::White, false)
    };
    sets.iter().map(line).collect()
}

/// The results of each label, in the order of its first one.
pub(crate) fn by_label(results: &[ProtocolResult]) -> Vec<(&str, Vec<&ProtocolResult>)> {
    let mut protocols: Vec<(&str, Vec<&ProtocolResult>)> = Vec::new();
    for result in results {
        match protocols.iter_mut().find(|(label, _)| *label == result.label) {
            Some((_, same)) => same.push(result),
            None => protocols.push((&result.label, vec![result])),
        }
    }
    protocols
}

/// The smallest, the median and the largest of a figure over the repeats that have it.
pub(crate) fn spread(figure: Figure, results: &[&ProtocolResult]) -> Option<(f64, f64, f64)> {
    spread_of(results.iter().filter_map(|result| figure(result)).collect())
}

fn spread_of(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let (&least, &most) = (values.first()?, values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        values[middle - 1].midpoint(values[middle])
    };
    Some((least, median, most))
}

fn cell(row: &Row, results: &[&ProtocolResult]) -> String {
    let Some((least, median, most)) = spread(row.figure, results) else { return "-".to_owned() };
    if results.len() == 1 {
        return (row.print)(median);
    }
    let [least, median, most] = [least, median, most].map(row.print);
    // A unit that all three have stands once: columns are narrow.
    let parts = [&least, &median, &most].map(|text| text.split_once(' '));
    match parts {
        [Some((low, one)), Some((_, two)), Some((high, three))] if one == two && two == three => {
            format!("{median} ({low}..{high})")
        }
        _ => format!("{median} ({least}..{most})"),
    }
}

/// The title of what [`breakdown_rows`] has.
pub(crate) const WHERE_TIME_GOES: &str = "where time goes";

/// Where the time of samples went: for each kind of operation their mean and how many they are, and a
/// row for each part of it.
pub(crate) fn breakdown_rows(protocols: &[(&str, Vec<&ProtocolResult>)]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for kind in kinds_sampled(protocols) {
        let all: Vec<Option<Breakdown>> =
            protocols.iter().map(|(_, results)| breakdown_of(kind, results)).collect();
        let mut row = |name: String, figure: &dyn Fn(&Breakdown) -> String| {
            let figures = all.iter().map(|all| all.as_ref().map(figure));
            let cells = figures.map(|figure| figure.unwrap_or_else(|| "-".to_owned()));
            rows.push(std::iter::once(name).chain(cells).collect());
        };
        row(format!("{kind}: mean"), &|all| units::nanoseconds(all.total_ns()));
        for part in Part::ALL {
            row(format!("  {}", part.name()), &|all| units::nanoseconds(all.part_ns(part)));
        }
        row("  samples".to_owned(), &|all| units::grouped(all.samples));
    }
    rows
}

/// The kinds of operations of which there are samples.
pub(crate) fn kinds_sampled<'a>(protocols: &[(&str, Vec<&'a ProtocolResult>)]) -> Vec<&'a str> {
    let results = protocols.iter().flat_map(|(_, results)| results);
    let mut kinds: Vec<&str> =
        results.flat_map(|result| result.breakdown.keys().map(String::as_str)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The samples of a kind, over all repeats.
pub(crate) fn breakdown_of(kind: &str, results: &[&ProtocolResult]) -> Option<Breakdown> {
    Breakdown::of_all(results.iter().filter_map(|result| result.breakdown.get(kind)))
}

/// How long nothing was answered at faults: for each kind of them a row with the median, and one with
/// the longest if a protocol met several.
fn gap_rows(protocols: &[(&str, Vec<&ProtocolResult>)]) -> Vec<Vec<String>> {
    let results = protocols.iter().flat_map(|(_, results)| results);
    let faults = results.flat_map(|result| &result.faults).filter(|fault| fault.gap_ns.is_some());
    let mut kinds: Vec<String> = Vec::new();
    for kind in faults.map(Fault::kind) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut rows = Vec::new();
    for kind in kinds {
        let gaps: Vec<Vec<f64>> =
            protocols.iter().map(|(_, results)| gaps_ns(&kind, results)).collect();
        let row = |name: String, figure: fn((f64, f64, f64)) -> f64| {
            let figures = gaps.iter().map(|gaps| spread_of(gaps.clone()).map(figure));
            let cells = figures.map(|figure| units::or_dash(figure, units::nanoseconds));
            std::iter::once(name).chain(cells).collect()
        };
        rows.push(row(format!("gap: {kind}"), |(_, median, _)| median));
        if gaps.iter().any(|gaps| gaps.len() > 1) {
            rows.push(row("  longest".to_owned(), |(.., most)| most));
        }
    }
    rows
}

/// The gaps at faults of a kind, over all repeats.
fn gaps_ns(kind: &str, results: &[&ProtocolResult]) -> Vec<f64> {
    let faults = results.iter().flat_map(|result| &result.faults);
    let of_kind = faults.filter(|fault| fault.kind() == kind);
    of_kind.filter_map(|fault| fault.gap_ns).map(|gap_ns| gap_ns as f64).collect()
}

/// A plain grid whose first column is to the left and whose others are to the right.
#[must_use]
pub fn grid(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(WIDTH_MAX);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// What the checker and the gates said of one result.
fn remarks(result: &ProtocolResult, repeated: bool, colors: bool) -> String {
    let mut name = result.label.clone();
    if repeated {
        let _infallible = write!(name, " #{}", result.repeat);
    }
    let color = if result.verdict.is_pass() { AnsiColor::Green } else { AnsiColor::Red };
    let mut text = lines(&format!("{name}: {}", result.verdict_words()), color, colors);
    for limit in &result.limits {
        let value = units::count(limit.value);
        let percent = units::figure(limit.percent);
        let _infallible =
            writeln!(text, "  {percent} % of {} ({value} {})", limit.name, limit.unit);
    }
    if let Some(words) = last_of_quorums(result) {
        let _infallible = writeln!(text, "  last of its quorum: {words}");
    }
    for gate in result.failed_gates() {
        let line = format!("  INVALID, not to be compared: {}: {}", gate.name, gate.detail);
        text.push_str(&lines(&line, AnsiColor::Red, colors));
    }
    for gate in result.warnings() {
        let line = format!("  note: {}: {}", gate.name, gate.detail);
        text.push_str(&lines(&line, AnsiColor::Yellow, colors));
    }
    text
}

/// A sentence in lines of at most [`WIDTH_MAX`] characters, the later ones indented.
pub(crate) fn lines(sentence: &str, color: AnsiColor, colors: bool) -> String {
    let indent = sentence.len() - sentence.trim_start().len();
    let (mut text, mut line) = (String::new(), " ".repeat(indent));
    for word in sentence.split_whitespace() {
        let used = line.chars().count() + 1 + word.chars().count();
        if used > usize::from(WIDTH_MAX) && !line.trim().is_empty() {
            let _infallible = writeln!(text, "{}", painted(&line, color, colors));
            line = " ".repeat(indent + 4);
        }
        if !line.trim().is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _infallible = writeln!(text, "{}", painted(&line, color, colors));
    text
}

fn painted(text: &str, color: AnsiColor, colors: bool) -> String {
    if !colors {
        return text.to_owned();
    }
    let style = Style::new().fg_color(Some(color.into()));
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::check::Consistency;
    use crate::summary::{Gate, LatencySummary, Limit, VerdictSummary};

    pub(crate) fn summary(protocols: usize, repeats: u32) -> Summary {
        let result = |number: usize, repeat: u32| ProtocolResult {
            label: format!("multi_paxos_{number}"),
            repeat,
            durability: "group".to_owned(),
            overall: LatencySummary {
                count: 1000,
                ops_per_second: 1_234_567.0 + f64::from(repeat),
                mean_ns: 123_456.0,
                p50_ns: 111_000,
                max_ns: 1_234_567_890,
                ..LatencySummary::default()
            },
            limits: vec![Limit { percent: 61.8, ..Limit::default() }],
            verdict: VerdictSummary::Linearizable {
                operations: 1000,
                keys: 1,
                methods: "zones".to_owned(),
                seconds: 0.1,
            },
            ..ProtocolResult::default()
        };
        let results = (0..protocols)
            .flat_map(|number| (0..repeats).map(move |repeat| result(number, repeat)))
            .collect();
        Summary { name: "quickstart".to_owned(), results, complete: true, ..Summary::default() }
    }

    pub(crate) fn assert_narrow(text: &str) {
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(WIDTH_MAX), "{line}");
        }
    }

    #[test]
    fn tables_stay_narrow_and_hold_every_protocol() {
        for (protocols, repeats) in [(1, 1), (5, 1), (12, 1), (7, 3)] {
            let text = render(&summary(protocols, repeats), false);
            assert_narrow(&text);
            for number in 0..protocols {
                assert!(text.contains(&format!("multi_paxos_{number}")));
            }
            assert!(text.contains("1.23 M") && text.contains("1.23 s"), "{text}");
            assert!(!text.contains('\u{1b}'));
        }
    }

    #[test]
    fn conditions_are_said_once_for_all_that_share_them() {
        let mut summary = summary(12, 1);
        for (result, replicas) in summary.results.iter_mut().zip([1].into_iter().chain([3; 11])) {
            (result.replicas, result.groups) = (replicas, 1);
        }
        let text = render(&summary, false);
        assert_narrow(&text);
        assert!(text.contains("\nmulti_paxos_0: 1 replica, 1 group, "), "{text}");
        assert!(text.contains("\nmulti_paxos_1, multi_paxos_2, "), "{text}");
        assert_eq!(text.matches("3 replicas").count(), 1, "{text}");
    }

    #[test]
    fn what_is_better_than_promised_is_said_with_the_promise() {
        let mut summary = summary(1, 1);
        summary.results[0].promise = Consistency::Regular;
        let text = render(&summary, false);
        assert!(text.contains("multi_paxos_0: regular promised, linearizable: yes, "), "{text}");
    }

    #[test]
    fn repeats_show_median_and_spread() {
        let mut summary = summary(1, 3);
        for (result, mean_ns) in summary.results.iter_mut().zip([3000.0, 1000.0, 2000.0]) {
            result.overall.mean_ns = mean_ns;
        }
        assert!(render(&summary, false).contains("2.00 us (1.00..3.00)"));
    }

    /// A line of a table without its frame.
    fn cells(line: &str) -> String {
        line.split(['│', '┆']).map(str::trim).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn gaps_at_faults_stand_side_by_side() {
        let mut summary = summary(2, 1);
        let fault = |target: &str, gap_ms: u64| Fault {
            action: "kill".to_owned(),
            target: target.to_owned(),
            gap_ns: Some(gap_ms * 1_000_000),
            ..Fault::default()
        };
        summary.results[0].faults =
            [fault("replica 2", 4), fault("replica 0 (leader)", 300)].to_vec();
        summary.results[1].faults =
            [100, 400, 200].map(|gap_ms| fault("replica 1 (leader)", gap_ms)).to_vec();
        let text = render(&summary, false);
        let rows: Vec<String> = text
            .lines()
            .filter(|line| line.contains("gap") || line.contains("longest"))
            .map(cells)
            .collect();
        let expected = [
            "|gap: kill|4.00 ms|-|",
            "|gap: kill leader|300 ms|200 ms|",
            "|longest|300 ms|400 ms|",
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn where_time_goes_stands_below_kind_by_kind() {
        let mut summary = summary(2, 1);
        assert!(!render(&summary, false).contains(WHERE_TIME_GOES));
        let means = Part::ALL.into_iter().zip([1.0, 20e3, 3e3, 4e3, 100e3, 40e3, 500.0, 600.0]);
        let put = Breakdown { samples: 1_234, mean_ns: means.collect() };
        let get = Breakdown { samples: 5, mean_ns: [(Part::Network, 10e3)].into() };
        summary.results[0].breakdown = [("put".to_owned(), put), ("get".to_owned(), get)].into();
        let text = render(&summary, false);
        assert_narrow(&text);
        let rows: Vec<String> = text
            .lines()
            .skip_while(|line| !line.contains(WHERE_TIME_GOES))
            .take_while(|line| line.starts_with(['│', '╞']))
            .filter(|line| line.starts_with('│'))
            .map(cells)
            .collect();
        let expected = [
            "|where time goes|multi_paxos_0|multi_paxos_1|",
            "|get: mean|10.0 us|-|",
            "|client queue|0 ns|-|",
            "|network|10.0 us|-|",
            "|batch wait|0 ns|-|",
            "|leader CPU|0 ns|-|",
            "|disk|0 ns|-|",
            "|quorum wait|0 ns|-|",
            "|apply|0 ns|-|",
            "|reply|0 ns|-|",
            "|samples|5|-|",
            "|put: mean|168 us|-|",
        ];
        assert_eq!(rows[..expected.len()], expected);
        assert_eq!(rows.len(), 1 + 2 * 10);
    }

    #[test]
    fn a_quantile_with_too_few_samples_is_not_shown() {
        let mut summary = summary(1, 1);
        summary.results[0].overall.p999_ns = 999_000;
        summary.results[0].gates = vec![Gate {
            name: "enough samples".to_owned(),
            ok: true,
            warning: true,
            detail: "p99.9 needs 10,000".to_owned(),
        }];
        let text = render(&summary, false);
        assert!(!text.contains("999"), "{text}");
        assert!(text.contains("\n  note: enough samples: p99.9 needs 10,000\n"), "{text}");
        summary.results[0].overall.count = 10_000;
        assert!(render(&summary, false).contains("999 us"));
    }

    #[test]
    fn of_transfers_it_is_said_how_many_were_refused() {
        let mut summary = summary(1, 1);
        assert!(!render(&summary, false).contains("aborts/s"));
        summary.results[0].overall.ops_per_second = 1_000.0;
        (summary.results[0].aborted, summary.results[0].measured_seconds) = (Some(750), 2.0);
        let text = render(&summary, false);
        let row = |name| text.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(row("commits/s").contains("625") && row("aborts/s").contains("375"), "{text}");
    }

    #[test]
    fn it_is_said_how_often_replicas_sent_requests_back() {
        let mut summary = summary(1, 1);
        (summary.results[0].busy, summary.results[0].measured_seconds) = (0, 2.0);
        assert!(!render(&summary, false).contains("busy/s"));
        summary.results[0].busy = 900;
        let text = render(&summary, false);
        assert!(text.lines().any(|line| line.contains("busy/s") && line.contains("450")), "{text}");
    }

    #[test]
    fn what_failed_is_said_below() {
        let mut summary = summary(1, 1);
        summary.complete = false;
        summary.results[0].gates = vec![Gate {
            name: "load generator".to_owned(),
            ok: false,
            warning: false,
            detail: "fell behind its schedule by 12 ms ".repeat(5),
        }];
        let text = render(&summary, false);
        assert_narrow(&text);
        assert!(text.contains("linearizable: yes, 1,000 ops, 1 keys, zones, 0.1 s"));
        assert!(text.contains("INVALID, not to be compared: load generator: fell behind"));
        assert!(text.contains("incomplete"));
        assert!(render(&summary, true).contains("\u{1b}[31m"));
    }
}
