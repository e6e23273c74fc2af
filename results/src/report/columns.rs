//! The results of a run or a suite as a table for other programs.

use std::collections::BTreeSet;

use super::source::{Run, Source};
use crate::breakdown::{Part, shares_of_last};
use crate::columns::{Column, Values};
use crate::suite::SuiteAxis;
use crate::summary::ProtocolResult;

/// Every result as a row: what was varied, who it is, what it did and what that cost.
#[must_use]
pub fn columns(source: &Source) -> Vec<Column> {
    let results = source.results();
    let mut columns = settings(source);
    let mut add = |name: &str, values: Values| columns.push(Column::new(name, values));
    add("label", words(&results, |result| &result.label));
    add("protocol", words(&results, |result| &result.protocol));
    add("repeat", counts(&results, |result| result.repeat.into()));
    add("replicas", counts(&results, |result| result.replicas.into()));
    add("durability", words(&results, |result| &result.durability));
    add("operations", counts(&results, |result| result.overall.count));
    add("ops_per_second", figures(&results, |result| result.overall.ops_per_second));
    add("mean_ns", figures(&results, |result| result.overall.mean_ns));
    add("p50_ns", counts(&results, |result| result.overall.p50_ns));
    add("p90_ns", counts(&results, |result| result.overall.p90_ns));
    add("p99_ns", counts(&results, |result| result.overall.p99_ns));
    add("p999_ns", counts(&results, |result| result.overall.p999_ns));
    add("max_ns", counts(&results, |result| result.overall.max_ns));
    let cpu = |result: &ProtocolResult| result.cpu_seconds_per_million().unwrap_or(0.0);
    add("cpu_seconds_per_million", figures(&results, cpu));
    add("replica_messages", counts(&results, |result| result.counters.replica_messages));
    add("replica_bytes", counts(&results, |result| result.counters.replica_bytes));
    add("log_syncs", counts(&results, |result| result.counters.log_syncs));
    let last = results.iter().map(|(_, _, result)| most_often_last(result)).collect();
    add("most_often_last_of_quorum", Values::MaybeCounts(last));
    let sound = results.iter().map(|(_, _, result)| result.is_sound()).collect();
    add("sound", Values::Flags(sound));
    columns.extend(where_time_goes(&results));
    columns
}

/// The replica for which most operations waited.
fn most_often_last(result: &ProtocolResult) -> Option<u64> {
    let (replica, _) = shares_of_last(result).first().copied()?;
    Some(replica as u64)
}

/// For each kind of operation that was sampled anywhere: how many samples there are, and the mean of each
/// part of their latency.
fn where_time_goes(results: &Rows<'_>) -> Vec<Column> {
    let kinds: BTreeSet<&String> =
        results.iter().flat_map(|(_, _, result)| result.breakdown.keys()).collect();
    let mut columns = Vec::new();
    for kind in kinds {
        let all = || results.iter().map(|(_, _, result)| result.breakdown.get(kind));
        let samples = all().map(|of| of.map(|breakdown| breakdown.samples)).collect();
        columns.push(Column::new(format!("{kind}_samples"), Values::MaybeCounts(samples)));
        columns.extend(Part::ALL.map(|part| {
            let means = all().map(|of| of.map(|breakdown| breakdown.part_ns(part))).collect();
            let part = part.name().to_lowercase().replace(' ', "_");
            Column::new(format!("{kind}_{part}_ns"), Values::MaybeFigures(means))
        }));
    }
    columns
}

/// What a suite varied, a column for each axis.
fn settings(source: &Source) -> Vec<Column> {
    let Some(suite) = &source.suite else { return Vec::new() };
    let column = |(number, axis): (usize, &SuiteAxis)| {
        let value = |run: &Run| axis.values[suite.points[run.point].at[number]].clone();
        let values = source.results().iter().map(|(run, _, _)| value(run)).collect();
        Column::new(&axis.path, Values::Words(values))
    };
    suite.axes.iter().enumerate().map(column).collect()
}

/// Results as [`Source::results`] gives them.
type Rows<'a> = [(&'a Run, usize, &'a ProtocolResult)];

fn words(rows: &Rows<'_>, of: impl Fn(&ProtocolResult) -> &str) -> Values {
    Values::Words(rows.iter().map(|(_, _, result)| of(result).to_owned()).collect())
}

fn counts(rows: &Rows<'_>, of: impl Fn(&ProtocolResult) -> u64) -> Values {
    Values::Counts(rows.iter().map(|(_, _, result)| of(result)).collect())
}

fn figures(rows: &Rows<'_>, of: impl Fn(&ProtocolResult) -> f64) -> Values {
    Values::Figures(rows.iter().map(|(_, _, result)| of(result)).collect())
}
