//! Which charts a report has.

use super::chart::{Axis, Chart, Mark, Series, Unit};
use super::source::{Run, Source};
use crate::suite::{Suite, SuiteAxis, last_part};
use crate::summary::ProtocolResult;
use crate::table::spread;

/// Every chart that the source has numbers for.
#[must_use]
pub fn charts(source: &Source) -> Vec<Chart> {
    let mut charts = Vec::new();
    match &source.suite {
        Some(suite) => {
            charts.extend(latency_over_throughput(source, suite));
            for axis in 0..suite.axes.len() {
                charts.extend(over_axis(source, suite, axis));
            }
        }
        None => {
            charts.push(repeats_apart(source));
            charts.push(percentiles(source));
            charts.extend(over_time(source));
        }
    }
    charts.into_iter().map(Chart::cleaned).filter(|chart| !chart.series.is_empty()).collect()
}

fn axis(label: &str, unit: Unit, is_log: bool) -> Axis {
    Axis { label: label.to_owned(), unit, is_log }
}

/// The name of a result among all of a run.
fn name_of(run: &Run, result: &ProtocolResult) -> String {
    if run.summary.results.iter().any(|other| other.repeat > 0) {
        format!("{} #{}", result.label, result.repeat + 1)
    } else {
        result.label.clone()
    }
}

/// Each repeat of a run as a point: how far repeats lie apart, beside how far protocols do.
fn repeats_apart(source: &Source) -> Chart {
    let point =
        |result: &&ProtocolResult| Some((result.overall.ops_per_second, result.overall.p99()?));
    let series = labels(source).into_iter().map(|label| Series {
        name: label.to_owned(),
        points: repeats(source, 0, label).iter().filter_map(point).collect(),
    });
    Chart {
        id: "latency-throughput".to_owned(),
        title: "Latency against throughput, repeat by repeat".to_owned(),
        note:
            "A point for each repeat. Protocols whose points lie among each other cannot be told \
               apart."
                .to_owned(),
        x: axis("operations per second", Unit::Plain, false),
        y: axis("p99", Unit::Nanoseconds, true),
        series: series.collect(),
        marks: Vec::new(),
    }
}

fn percentiles(source: &Source) -> Chart {
    let series = source.results().into_iter().map(|(run, number, result)| Series {
        name: name_of(run, result),
        points: run.percentiles[number].clone(),
    });
    Chart {
        id: "percentiles".to_owned(),
        title: "Latency by percentile".to_owned(),
        note:
            "So many of a hundred operations were no slower. To the right are the rare slow ones."
                .to_owned(),
        x: axis("percentile", Unit::Quantile, true),
        y: axis("latency", Unit::Nanoseconds, true),
        series: series.collect(),
        marks: Vec::new(),
    }
}

fn over_time(source: &Source) -> [Chart; 2] {
    let chart = |id: &str, title: &str, y: Axis, figure: fn(&crate::summary::Second) -> f64| {
        let series = source.results().into_iter().map(|(run, _, result)| {
            let warm_up = run.summary.warm_up_seconds();
            // After the measured time clients end one after the other.
            let end = result.measured_seconds + f64::EPSILON;
            let seconds = result.series.iter().enumerate();
            let points = seconds
                .map(|(second, figures)| (second as f64 + 0.5 - warm_up, figure(figures)))
                .filter(|(middle, _)| middle + 0.5 <= end);
            Series { name: name_of(run, result), points: points.collect() }
        });
        let faults = source.results().into_iter().flat_map(|(run, _, result)| {
            let of = name_of(run, result);
            result.faults.iter().map(move |fault| Mark {
                x: fault.at_s,
                label: format!("{} {} ({of})", fault.action, fault.target),
            })
        });
        Chart {
            id: id.to_owned(),
            title: title.to_owned(),
            note: "Seconds count from the start of the measurement; before 0 is the warm-up. \
                   Lines from top to bottom are faults."
                .to_owned(),
            x: axis("time", Unit::Seconds, false),
            y,
            series: series.collect(),
            marks: faults.collect(),
        }
    };
    [
        chart(
            "throughput",
            "Throughput over time",
            axis("operations per second", Unit::Plain, false),
            |second| second.ops as f64,
        ),
        chart(
            "latency",
            "99th percentile over time",
            axis("p99", Unit::Nanoseconds, true),
            |second| second.p99_ns as f64,
        ),
    ]
}

/// The results of a point and label.
fn repeats<'a>(source: &'a Source, point: usize, label: &str) -> Vec<&'a ProtocolResult> {
    let all = source.results().into_iter();
    all.filter(|(run, _, result)| run.point == point && result.label == label)
        .map(|(_, _, result)| result)
        .collect()
}

/// Every label once, in the order in which they were run, so that each has the same color in every chart.
fn labels(source: &Source) -> Vec<&str> {
    let mut labels: Vec<&str> = Vec::new();
    for (_, _, result) in source.results() {
        if !labels.contains(&result.label.as_str()) {
            labels.push(&result.label);
        }
    }
    labels
}

fn median(results: &[&ProtocolResult], figure: fn(&ProtocolResult) -> Option<f64>) -> Option<f64> {
    spread(figure, results).map(|(_, median, _)| median)
}

/// More lines than this are told apart by nobody.
const LINES_MAX: usize = 8;

/// A part of a suite's points that has charts of its own.
#[derive(Clone, Copy, Debug)]
struct Panel<'a> {
    suite: &'a Suite,
    /// The points with this value of this axis; none for all of them.
    fixed: Option<(usize, usize)>,
}

impl<'a> Panel<'a> {
    /// The parts for charts over this axis: all points in one, or, if that would be too many lines, those
    /// of each value of the first other axis that varies.
    fn over(suite: &'a Suite, axis: usize, labels: usize) -> Vec<Self> {
        let whole = Self { suite, fixed: None };
        let mut others = (0..suite.axes.len()).filter(|&it| it != axis && whole.varies(it));
        match others.next() {
            Some(first) if labels * whole.groups(axis).len() > LINES_MAX => {
                let values = 0..suite.axes[first].values.len();
                values.map(|value| Self { suite, fixed: Some((first, value)) }).collect()
            }
            _ => vec![whole],
        }
    }

    fn varies(&self, axis: usize) -> bool {
        self.suite.axes[axis].values.len() > 1
    }

    /// What its charts' titles and names say besides: `: case two cities` and `-2`.
    fn names(&self) -> [String; 2] {
        let Some((axis, value)) = self.fixed else { return [String::new(), String::new()] };
        let SuiteAxis { path, values } = &self.suite.axes[axis];
        [format!(": {} {}", last_part(path), values[value]), format!("-{value}")]
    }

    /// The points that differ on this axis only, named by their other settings.
    fn groups(&self, axis: usize) -> Vec<(String, Vec<usize>)> {
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        let points = &self.suite.points;
        let is_shown =
            |&point: &usize| self.fixed.is_none_or(|(it, to)| points[point].at[it] == to);
        for point in (0..points.len()).filter(is_shown) {
            let others = self.suite.settings(point).enumerate().filter(|&(other, _)| {
                let is_fixed = self.fixed.is_some_and(|(fixed, _)| fixed == other);
                other != axis && !is_fixed && self.varies(other)
            });
            let words: Vec<String> =
                others.map(|(_, (path, value))| format!("{} {value}", last_part(path))).collect();
            let name = words.join(", ");
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, points)) => points.push(point),
                None => groups.push((name, vec![point])),
            }
        }
        groups
    }
}

/// Series over an axis: one for each label and each combination of the others.
fn series_over(
    source: &Source,
    panel: Panel<'_>,
    over: usize,
    place: impl Fn(usize, &[&ProtocolResult]) -> Option<(f64, f64)>,
) -> Vec<Series> {
    let mut all = Vec::new();
    for label in labels(source) {
        for (others, points) in panel.groups(over) {
            let name =
                if others.is_empty() { label.to_owned() } else { format!("{label}, {others}") };
            let points = points.into_iter().filter_map(|point| {
                let results = repeats(source, point, label);
                if results.is_empty() { None } else { place(point, &results) }
            });
            all.push(Series { name, points: points.collect() });
        }
    }
    all
}

/// A value of an axis as a number: `16KiB`, `50k`, `400ms`, `90%`, `3`.
fn number(value: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 14] = [
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("ns", 1e-9),
        ("us", 1e-6),
        ("ms", 1e-3),
        ("k/s", 1e3),
        ("M/s", 1e6),
        ("/s", 1.0),
        ("s", 1.0),
        ("k", 1e3),
        ("M", 1e6),
        ("B", 1.0),
        ("%", 1.0),
    ];
    let value = value.trim();
    let unit = UNITS.iter().find(|(unit, _)| value.ends_with(unit));
    let (digits, factor) =
        unit.map_or((value, 1.0), |(unit, factor)| (value.trim_end_matches(unit), *factor));
    digits.trim().parse::<f64>().ok().map(|number| number * factor)
}

fn over_axis(source: &Source, suite: &Suite, over: usize) -> Vec<Chart> {
    let SuiteAxis { path, values } = &suite.axes[over];
    let numbers: Option<Vec<f64>> = values.iter().map(|value| number(value)).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() > 1) else { return Vec::new() };
    // Values that grow by a factor are looked at by a factor.
    let is_log = numbers[0] > 0.0 && numbers[numbers.len() - 1] / numbers[0] >= 16.0;
    let x_at = |point: usize| numbers[suite.points[point].at[over]];
    let chart =
        |panel: Panel<'_>, what: &str, y: Axis, figure: fn(&ProtocolResult) -> Option<f64>| {
            let [of, number] = panel.names();
            Chart {
                id: format!("{what}-over-{}{number}", path.replace(['.', '_'], "-")),
                title: format!("{} over {}{of}", y.label, last_part(path)),
                note: "Medians of the repeats.".to_owned(),
                x: axis(path, Unit::Plain, is_log),
                y,
                series: series_over(source, panel, over, |point, results| {
                    Some((x_at(point), median(results, figure)?))
                }),
                marks: Vec::new(),
            }
        };
    let both = |panel: Panel<'_>| {
        let rate = axis("operations per second", Unit::Plain, false);
        let ops = |result: &ProtocolResult| Some(result.overall.ops_per_second);
        let mut throughput = chart(panel, "throughput", rate, ops);
        throughput.y.is_log = spans_decades(&throughput);
        let p99 = axis("p99", Unit::Nanoseconds, true);
        [throughput, chart(panel, "p99", p99, |result| result.overall.p99())]
    };
    Panel::over(suite, over, labels(source).len()).into_iter().flat_map(both).collect()
}

/// Whether the highest point is so far above the lowest that a plain axis would hide most of them.
fn spans_decades(chart: &Chart) -> bool {
    let values = || chart.series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y));
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    least > 0.0 && most / least >= 100.0
}

/// The curves of a suite that varies the offered load.
fn latency_over_throughput(source: &Source, suite: &Suite) -> Vec<Chart> {
    let is_load =
        |axis: &SuiteAxis| axis.path.starts_with("load.arrival") || axis.path == "load.clients";
    let Some(over) = suite.axes.iter().position(is_load) else { return Vec::new() };
    let curve = |panel: Panel<'_>| {
        let [of, number] = panel.names();
        let series = series_over(source, panel, over, |_, results| {
            let ops = median(results, |result| Some(result.overall.ops_per_second))?;
            Some((ops, median(results, |result| result.overall.p99())?))
        });
        Chart {
            id: format!("latency-over-throughput{number}"),
            title: format!("Latency against throughput{of}"),
            note:
                "What was served, and how long 99 of 100 operations took at most. Medians of the \
                   repeats. The further to the right and to the bottom, the better."
                    .to_owned(),
            x: axis("operations per second", Unit::Plain, false),
            y: axis("p99", Unit::Nanoseconds, true),
            series,
            marks: Vec::new(),
        }
    };
    Panel::over(suite, over, labels(source).len()).into_iter().map(curve).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_axes_become_numbers() {
        for (value, expected) in [
            ("3", Some(3.0)),
            ("16KiB", Some(16384.0)),
            ("16B", Some(16.0)),
            ("50k", Some(50_000.0)),
            ("20k/s", Some(20_000.0)),
            ("400ms", Some(0.4)),
            ("90%", Some(90.0)),
            ("closed", None),
            ("uniform", None),
        ] {
            assert_eq!(number(value), expected, "{value}");
        }
    }
}
