//! Two sets of runs side by side: what is faster, what is slower, and where the repeats cannot tell.
//! [`Points`] are what is compared: those of a run, or of a suite.

mod points;
mod unequal;

use std::fmt::Write as _;

use crate::statistics::{correction, ranks};
use crate::summary::{ProtocolResult, Summary};
use crate::table::{ROWS, Row, by_label, grid, lines, spread};
use crate::units;

pub use self::points::{Points, between, within};

/// Above this probability of being mistaken nothing is said.
const P_MAX: f64 = 0.05;

/// More repeats than anybody makes; a search for their number ends here.
const REPEATS_MAX: usize = 100;

/// The rows that are tested, and whether more of it is better.
const TESTED: [(&str, bool); 4] =
    [("ops/s", true), ("p50", false), ("p99", false), ("p99.9", false)];

/// What can be said of the second set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// It is better, more operations or less latency.
    Faster,
    /// It is worse.
    Slower,
    /// The repeats do not show which, if any.
    CannotTell,
}

impl Says {
    /// As it is printed.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::CannotTell => "cannot tell",
        }
    }
}

/// One figure of two sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The figure, as tables name it.
    pub figure: &'static str,
    /// How much larger it is in the second set, in percent (Hodges and Lehmann, of ratios).
    pub percent: f64,
    /// Where that lies, as sure as [`crate::statistics::CONFIDENCE`] says; none of too few repeats.
    pub interval: Option<(f64, f64)>,
    /// The probability of a difference so clear between equals, corrected for all findings.
    pub p: f64,
    /// What follows.
    pub says: Says,
}

/// Two sets of one pair of names.
#[derive(Debug)]
pub struct Pair<'a> {
    /// What to call it.
    pub title: String,
    /// What to call the sets.
    pub names: [String; 2],
    /// The results of both.
    pub sides: [Vec<&'a ProtocolResult>; 2],
    /// Of the figures that both have.
    pub findings: Vec<Finding>,
}

/// A comparison and what is to be said against it.
#[derive(Debug, Default)]
pub struct Compared<'a> {
    /// What is compared.
    pub pairs: Vec<Pair<'a>>,
    /// Differences that forbid to compare.
    pub refusals: Vec<String>,
    /// Differences that are to be known.
    pub notes: Vec<String>,
}

/// Each protocol that two runs have in common, not judged yet.
fn gather_runs<'a>(first: &'a Summary, second: &'a Summary) -> Compared<'a> {
    let mut compared = Compared::default();
    unequal::machines(first, second, &mut compared);
    let (mine, others) = (by_label(&first.results), by_label(&second.results));
    for (label, results) in &mine {
        match others.iter().find(|(other, _)| other == label) {
            None => compared.notes.push(format!("{label} is only in the first run")),
            Some((_, other)) => {
                unequal::results(label, results[0], other[0], &mut compared);
                unequal::trust(" of the first run", results, &mut compared);
                unequal::trust(" of the second run", other, &mut compared);
                let names = ["first".to_owned(), "second".to_owned()];
                let sides = [results.clone(), other.clone()];
                let title = (*label).to_owned();
                compared.pairs.push(Pair { title, names, sides, findings: Vec::new() });
            }
        }
    }
    for (label, _) in &others {
        if mine.iter().all(|(other, _)| other != label) {
            compared.notes.push(format!("{label} is only in the second run"));
        }
    }
    if compared.pairs.is_empty() {
        compared.refusals.push("the runs have no protocol in common".to_owned());
    }
    compared
}

/// The protocols of one run, each with the one that was named first, not judged yet.
fn gather_within(run: &Summary) -> Compared<'_> {
    let mut compared = Compared::default();
    let protocols = by_label(&run.results);
    for (_, results) in &protocols {
        unequal::trust("", results, &mut compared);
    }
    let Some(((base, first), others)) = protocols.split_first() else {
        compared.refusals.push("the run has no results".to_owned());
        return compared;
    };
    if others.is_empty() {
        compared.refusals.push(format!("{base} is the only protocol: name another run"));
    }
    for (label, results) in others {
        unequal::results(&format!("{base} and {label}"), first[0], results[0], &mut compared);
        compared.pairs.push(Pair {
            title: format!("{label} beside {base}"),
            names: [(*base).to_owned(), (*label).to_owned()],
            sides: [first.clone(), results.clone()],
            findings: Vec::new(),
        });
    }
    compared
}

/// Fills in what can be said of each pair, with one correction for all of them.
fn judge(pairs: &mut [Pair<'_>]) {
    for pair in &mut *pairs {
        pair.findings = TESTED.iter().filter_map(|&(name, _)| finding(name, &pair.sides)).collect();
    }
    let all = || pairs.iter().flat_map(|pair| &pair.findings);
    let corrected = correction::holm(&all().map(|finding| finding.p).collect::<Vec<_>>());
    let findings = pairs.iter_mut().flat_map(|pair| &mut pair.findings);
    for (finding, p) in findings.zip(corrected) {
        finding.p = p;
        let more_is_better = TESTED.contains(&(finding.figure, true));
        finding.says = match p <= P_MAX {
            false => Says::CannotTell,
            true if (finding.percent > 0.0) == more_is_better => Says::Faster,
            true => Says::Slower,
        };
    }
}

/// Ratios are differences of logarithms. A figure of 0 has none.
fn finding(name: &'static str, sides: &[Vec<&ProtocolResult>; 2]) -> Option<Finding> {
    let row = ROWS.iter().find(|row| row.name == name)?;
    let logarithms = |results: &[&ProtocolResult]| {
        let values = results.iter().filter_map(|result| (row.figure)(result));
        values.filter(|value| *value > 0.0).map(f64::ln).collect::<Vec<_>>()
    };
    let shift = ranks::shift(&logarithms(&sides[0]), &logarithms(&sides[1]))?;
    let percent = |logarithm: f64| logarithm.exp_m1() * 100.0;
    Some(Finding {
        figure: name,
        percent: percent(shift.estimate),
        interval: shift.interval.map(|ends| (percent(ends.low), percent(ends.high))),
        p: shift.p,
        says: Says::CannotTell,
    })
}

impl Compared<'_> {
    /// How many repeats a side would let so many findings say something at all, if every run of
    /// one side were above every run of the other; nothing if there are as many.
    #[must_use]
    pub fn repeats_wanted(&self) -> Option<usize> {
        let questions: usize = self.pairs.iter().map(|pair| pair.findings.len()).sum();
        let enough = |first, second| ranks::least_p(first, second) * questions as f64 <= P_MAX;
        let short = |pair: &Pair<'_>| !enough(pair.sides[0].len(), pair.sides[1].len());
        if !self.pairs.iter().any(short) {
            return None;
        }
        (1..=REPEATS_MAX).find(|&repeats| enough(repeats, repeats))
    }

    /// Renders a table for each pair, and below them what is to be known.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for pair in &self.pairs {
            let [first, second] = &pair.names;
            let counts = [pair.sides[0].len(), pair.sides[1].len()];
            let _infallible = writeln!(
                text,
                "{}: medians of {} and {} repeats",
                pair.title, counts[0], counts[1]
            );
            let header = ["", first, second, "change", "95 % interval", "p", "says"];
            let header = header.map(str::to_owned).to_vec();
            text.push_str(&grid(header, ROWS.iter().map(|row| cells(row, pair))));
            text.push('\n');
        }
        if let Some(repeats) = self.repeats_wanted() {
            let line = format!("too few repeats to tell anything: {repeats} a side could");
            let _infallible = writeln!(text, "{line}");
        }
        for (number, note) in (1..).zip(self.refusals.iter().chain(&self.notes)) {
            text.push_str(&lines(&format!("[{number}] {note}"), anstyle::AnsiColor::Yellow, false));
        }
        text
    }
}

fn cells(row: &Row, pair: &Pair<'_>) -> Vec<String> {
    let medians = [0, 1].map(|side| spread(row.figure, &pair.sides[side]).map(|(_, m, _)| m));
    let print = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), row.print);
    let mut cells = vec![row.name.to_owned(), print(medians[0]), print(medians[1])];
    if let Some(finding) = pair.findings.iter().find(|finding| finding.figure == row.name) {
        let ends = |(low, high)| format!("{} .. {}", percent(low), percent(high));
        cells.push(percent(finding.percent));
        cells.push(finding.interval.map_or_else(|| "-".to_owned(), ends));
        cells.push(units::figure(finding.p));
        cells.push(finding.says.words().to_owned());
        return cells;
    }
    cells.push(match medians {
        [Some(first), Some(second)] if first > 0.0 => percent((second / first - 1.0) * 100.0),
        _ => "-".to_owned(),
    });
    cells.extend(["", "", ""].map(str::to_owned));
    cells
}

/// A change in percent, with its sign.
#[must_use]
pub fn percent(value: f64) -> String {
    let sign = if value < 0.0 { "" } else { "+" };
    format!("{sign}{value:.1} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::table::tests::{assert_narrow, summary};

    fn runs<'a>(first: &'a Summary, second: &'a Summary) -> Compared<'a> {
        let mut compared = gather_runs(first, second);
        judge(&mut compared.pairs);
        compared
    }

    fn within(run: &Summary) -> Compared<'_> {
        let mut compared = gather_within(run);
        judge(&mut compared.pairs);
        compared
    }

    /// Runs with a noise of two percent, the second set with its throughput as a multiple.
    fn noisy(random: &mut Random, repeats: u32, factor: f64) -> Summary {
        let mut run = summary(1, repeats);
        for result in &mut run.results {
            let sum: f64 = (0..12).map(|_| random.below(1_000_000) as f64 / 1e6).sum();
            result.overall.ops_per_second = 100_000.0 * factor * (1.0 + 0.02 * (sum - 6.0));
        }
        run
    }

    #[test]
    fn equals_cannot_be_told_apart_and_five_percent_can() {
        let mut random = Random::new(3);
        let mut said = |factor| {
            let count = (0..100).filter(|_| {
                let (first, second) = (noisy(&mut random, 10, 1.0), noisy(&mut random, 10, factor));
                let compared = runs(&first, &second);
                let finding = &compared.pairs[0].findings[0];
                assert_eq!(
                    (finding.figure, finding.says == Says::CannotTell),
                    ("ops/s", finding.p > 0.05)
                );
                if factor < 1.0 {
                    finding.says == Says::Slower
                } else {
                    finding.says == Says::CannotTell
                }
            });
            count.count()
        };
        let (alike, slower) = (said(1.0), said(0.95));
        assert!(alike >= 95, "{alike} of 100");
        assert!(slower >= 80, "{slower} of 100");
    }

    #[test]
    fn too_few_repeats_cannot_tell_and_say_how_many_could() {
        let mut random = Random::new(4);
        let (first, second) = (noisy(&mut random, 3, 1.0), noisy(&mut random, 3, 2.0));
        let text = runs(&first, &second).render();
        assert_narrow(&text);
        assert!(text.contains("cannot tell") && !text.contains("faster"), "{text}");
        assert!(text.contains("5 a side could"), "{text}");
        let (first, second) = (noisy(&mut random, 5, 1.0), noisy(&mut random, 5, 2.0));
        let compared = runs(&first, &second);
        assert_eq!(
            (compared.repeats_wanted(), compared.pairs[0].findings[0].says),
            (None, Says::Faster)
        );
    }

    #[test]
    fn protocols_of_one_run_are_compared_with_the_first() {
        let mut run = summary(3, 6);
        for result in run.results.iter_mut().filter(|result| result.label.ends_with('1')) {
            result.overall.p50_ns += 50_000 + u64::from(result.repeat);
        }
        let compared = within(&run);
        assert!(compared.refusals.is_empty(), "{:?}", compared.refusals);
        assert_eq!(compared.pairs[0].title, "multi_paxos_1 beside multi_paxos_0");
        assert_eq!(compared.pairs[0].findings[1].says, Says::Slower);
        assert_eq!(compared.pairs[1].findings[1].says, Says::CannotTell);
        assert_narrow(&compared.render());
        let alone = summary(1, 1);
        assert_eq!(within(&alone).refusals.len(), 1);
    }

    #[test]
    fn unequal_settings_refuse_or_are_footnotes() {
        let first = summary(2, 1);
        let mut second = first.clone();
        second.results[0].durability = "none".to_owned();
        second.results[0].verdict = crate::summary::VerdictSummary::Unchecked;
        second.results[1].label = "raft".to_owned();
        second.machine.cpu_model = "Abacus 9".to_owned();
        second.commit = "abc".to_owned();
        let compared = runs(&first, &second);
        for refusal in [
            "processor differs: unknown and Abacus 9",
            "multi_paxos_0: durability differs: group and none",
            "multi_paxos_0 #0 of the second run: not checked",
        ] {
            assert!(
                compared.refusals.iter().any(|said| said == refusal),
                "{:?}",
                compared.refusals
            );
        }
        for note in [
            "commit differs: unknown and abc",
            "multi_paxos_1 is only in the first run",
            "raft is only in the second run",
        ] {
            assert!(compared.notes.iter().any(|said| said == note), "{:?}", compared.notes);
        }
        assert!(compared.render().contains("] raft is only"));
        let same = runs(&first, &first);
        assert!(same.refusals.is_empty() && same.notes.is_empty());
    }
}
