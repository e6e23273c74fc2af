//! Objectives of latency: `p99<5ms`.

use std::fmt;

use crate::summary::LatencySummary;

/// A figure of latency that an objective bounds.
struct Figure {
    name: &'static str,
    of: fn(&LatencySummary) -> Option<f64>,
}

const FIGURES: [Figure; 6] = [
    Figure { name: "mean", of: |latency| Some(latency.mean_ns) },
    Figure { name: "p50", of: LatencySummary::p50 },
    Figure { name: "p90", of: LatencySummary::p90 },
    Figure { name: "p99", of: LatencySummary::p99 },
    Figure { name: "p99.9", of: LatencySummary::p999 },
    Figure { name: "max", of: |latency| Some(latency.max_ns as f64) },
];

const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)];

/// A bound that a figure of latency must stay below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    figure: usize,
    bound_ns: f64,
}

impl Objective {
    /// Reads an objective such as `p99<5ms`.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names = FIGURES.map(|figure| figure.name).join(", ");
        let rule = || format!("found `{text}`; an objective is one of {names}, `<` and a duration");
        let instead = "write for example `p99<5ms`";
        let (name, bound) = text.split_once('<').ok_or_else(|| format!("{}; {instead}", rule()))?;
        let figure = FIGURES.iter().position(|figure| figure.name == name.trim());
        let bound = bound.trim();
        let digits = bound.trim_end_matches(char::is_alphabetic);
        let unit = UNITS.iter().find(|(unit, _)| *unit == &bound[digits.len()..]);
        let number: Option<f64> = digits.trim().parse().ok();
        let number = number.filter(|number| number.is_finite() && *number > 0.0);
        match (figure, number, unit) {
            (Some(figure), Some(number), Some((_, unit_ns))) => {
                Ok(Self { figure, bound_ns: number * unit_ns })
            }
            _ => Err(format!("{}; {instead}", rule())),
        }
    }

    /// The figure that is bounded, in nanoseconds, if there were enough operations for it.
    #[must_use]
    pub fn figure_ns(&self, latency: &LatencySummary) -> Option<f64> {
        (FIGURES[self.figure].of)(latency)
    }

    /// The same for calculations: what is not known may be anything, so it is taken for endless.
    #[must_use]
    pub fn figure_or_worst_ns(&self, latency: &LatencySummary) -> f64 {
        self.figure_ns(latency).unwrap_or(f64::INFINITY)
    }

    /// The name of the figure that is bounded.
    #[must_use]
    pub fn name(&self) -> &'static str {
        FIGURES[self.figure].name
    }

    /// Whether the figure is below its bound.
    #[must_use]
    pub fn holds(&self, latency: &LatencySummary) -> bool {
        latency.count > 0 && self.figure_ns(latency).is_some_and(|figure| self.allows(figure))
    }

    /// Whether the bound is above this figure.
    #[must_use]
    pub fn allows(&self, figure_ns: f64) -> bool {
        figure_ns < self.bound_ns
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} < {}", self.name(), crate::units::nanoseconds(self.bound_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_read_as_people_write_them() {
        let latency =
            LatencySummary { count: 10_000, p99_ns: 5_000_000, p999_ns: 7, ..Default::default() };
        for (text, holds, words) in [
            ("p99<5ms", false, "p99 < 5.00 ms"),
            ("p99 < 5.1ms", true, "p99 < 5.10 ms"),
            ("p99.9<7us", true, "p99.9 < 7.00 us"),
            ("max<1s", true, "max < 1.00 s"),
        ] {
            let objective = Objective::parse(text).unwrap();
            assert_eq!(objective.holds(&latency), holds, "{text}");
            assert_eq!(objective.to_string(), words);
        }
        let few = LatencySummary { count: 9_999, ..latency };
        assert!(!Objective::parse("p99.9<7us").unwrap().holds(&few), "too few to know");
        let nothing = LatencySummary::default();
        assert!(!Objective::parse("p99<5ms").unwrap().holds(&nothing), "nothing was measured");
    }

    #[test]
    fn wrong_objectives_say_what_to_write() {
        for text in ["", "p99", "p98<1ms", "p99<5", "p99<ms", "p99<-1ms", "p99<infs", "p99>1ms"] {
            let said = Objective::parse(text).unwrap_err();
            assert!(said.contains(&format!("found `{text}`")), "{said}");
            assert!(said.ends_with("write for example `p99<5ms`"), "{said}");
        }
    }
}
