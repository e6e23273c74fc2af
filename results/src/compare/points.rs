//! Suites side by side, point by point.

use super::{Compared, gather_runs, gather_within, judge};
use crate::report::source::Source;
use crate::summary::Summary;

/// What protocols run is not a setting under which they are compared.
const PROTOCOLS: &str = "protocols";

/// A run, or the points of a suite, each with all its repeats as one run.
#[derive(Debug)]
pub struct Points(Vec<(String, Summary)>);

impl Points {
    /// Takes the runs of a folder together.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        let mut points: Vec<(String, Summary)> = Vec::new();
        for run in &source.runs {
            let title = source.suite.as_ref().map_or_else(String::new, |suite| {
                let settings = suite.settings(run.point).filter(|(path, _)| *path != PROTOCOLS);
                let words = settings.map(|(path, value)| format!("{path} {value}"));
                words.collect::<Vec<_>>().join(", ")
            });
            match points.iter_mut().find(|(other, _)| *other == title) {
                Some((_, merged)) => merged.results.extend(run.summary.results.iter().cloned()),
                None => points.push((title, run.summary.clone())),
            }
        }
        Self(points)
    }
}

/// Compares each protocol that two runs, or the same points of two suites, have in common. All
/// findings share one correction.
#[must_use]
pub fn between<'a>(first: &'a Points, second: &'a Points) -> Compared<'a> {
    let mut all = Compared::default();
    for (title, mine) in &first.0 {
        match second.0.iter().find(|(other, _)| other == title) {
            Some((_, theirs)) => all.add(title, gather_runs(mine, theirs)),
            None => all.notes.push(format!("{title} is only in the first")),
        }
    }
    for (title, _) in &second.0 {
        if first.0.iter().all(|(other, _)| other != title) {
            all.notes.push(format!("{title} is only in the second"));
        }
    }
    if all.pairs.is_empty() && all.refusals.is_empty() {
        all.refusals.push("they have no point in common".to_owned());
    }
    judge(&mut all.pairs);
    all
}

/// Compares the protocols of a run, or of each point of a suite, with the one that was named first.
/// All findings share one correction.
#[must_use]
pub fn within(points: &Points) -> Compared<'_> {
    let mut all = Compared::default();
    for (title, run) in &points.0 {
        all.add(title, gather_within(run));
    }
    judge(&mut all.pairs);
    all
}

impl<'a> Compared<'a> {
    /// Takes in what was found at a point.
    fn add(&mut self, point: &str, found: Self) {
        let name = |what: String| if point.is_empty() { what } else { format!("{point}: {what}") };
        self.pairs.extend(found.pairs.into_iter().map(|mut pair| {
            pair.title = name(pair.title);
            pair
        }));
        for (mine, theirs) in [(&mut self.refusals, found.refusals), (&mut self.notes, found.notes)]
        {
            // What holds of the machine or the workload holds at every point.
            let new: Vec<String> = theirs.into_iter().filter(|what| !mine.contains(what)).collect();
            mine.extend(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Says;
    use crate::report::source::Run;
    use crate::suite::{Suite, SuiteAxis, SuitePoint};
    use crate::table::tests::summary;

    /// Two windows and two protocols, six repeats of each; the second protocol has so much more
    /// throughput at the second window.
    fn suite(gain: f64) -> Points {
        let mut runs = Vec::new();
        for point in 0..4 {
            for repeat in 0..6 {
                let mut one = summary(1, 1);
                one.results[0].label = ["abd", "raft"][point % 2].to_owned();
                one.results[0].repeat = repeat;
                let factor = if point == 3 { gain } else { 1.0 };
                one.results[0].overall.ops_per_second = factor * f64::from(1000 + repeat);
                runs.push(Run {
                    point,
                    summary: one,
                    workload: String::new(),
                    percentiles: Vec::new(),
                });
            }
        }
        let axis = |path: &str, values: [&str; 2]| SuiteAxis {
            path: path.to_owned(),
            values: values.map(str::to_owned).to_vec(),
        };
        let suite = Suite {
            axes: vec![axis("window", ["1", "16"]), axis("protocols", ["abd", "raft"])],
            points: (0..4).map(|point| SuitePoint { at: vec![point / 2, point % 2] }).collect(),
            ..Suite::default()
        };
        Points::of(&Source { command: String::new(), suite: Some(suite), runs })
    }

    #[test]
    fn protocols_are_compared_at_each_point_with_one_correction() {
        let points = suite(2.0);
        let compared = within(&points);
        let titles: Vec<&str> = compared.pairs.iter().map(|pair| pair.title.as_str()).collect();
        assert_eq!(titles, ["window 1: raft beside abd", "window 16: raft beside abd"]);
        let throughput = |pair: usize| &compared.pairs[pair].findings[0];
        assert_eq!(throughput(0).says, Says::CannotTell);
        assert_eq!(throughput(1).says, Says::Faster);
        // Six repeats a side, all of one above all of the other, among all questions of both pairs.
        let questions: usize = compared.pairs.iter().map(|pair| pair.findings.len()).sum();
        let p = 2.0 / 924.0 * questions as f64;
        assert!(questions > 2 && (throughput(1).p - p).abs() < 1e-9, "{}", throughput(1).p);
    }

    #[test]
    fn suites_are_compared_point_by_point() {
        let (before, after) = (suite(1.0), suite(0.5));
        let compared = between(&before, &after);
        let slower = compared.pairs.iter().filter(|pair| pair.findings[0].says == Says::Slower);
        let titles: Vec<&str> = slower.map(|pair| pair.title.as_str()).collect();
        assert_eq!((compared.pairs.len(), titles), (4, vec!["window 16: raft"]));
        let nothing = Points(Vec::new());
        assert_eq!(between(&nothing, &nothing).refusals.len(), 1);
    }
}
