//! The values of an axis: a list of them, or a range.

use super::{Choice, POINTS_MAX, Setting};
use crate::diagnostics::{Place, Report, did_you_mean};
use crate::names::nearest;
use crate::tree::{Data, Key, Node};
use crate::units::{
    BYTE_UNITS, COUNT_UNITS, DURATION_UNITS, format_bytes, format_duration, format_rate,
    parse_integer, parse_rate, parse_real,
};

const RANGE_KEYS: [&str; 4] = ["from", "to", "step", "factor"];
const RANGE_RULE: &str = "what varies is a list, or a range with from, to and step or factor";
const RANGE_EXAMPLE: &str = "write `[1, 4, 16]`, `{ from: 1, to: 64, factor: 4 }` or \
                             `{ from: 10k, to: 50k, step: 10k }`";

/// The values that `node` gives for the key at `path`.
pub(super) fn choices(path: &str, node: &Node, report: &mut Report) -> Vec<Choice> {
    let value = |text: String, place: Place| Choice {
        name: text.clone(),
        settings: vec![Setting { path: path.to_owned(), value: text, place }],
    };
    match &node.data {
        Data::List(items) if !items.is_empty() => {
            items.iter().map(|item| value(in_a_line(item), item.place)).collect()
        }
        Data::Map(entries) => {
            let values = range(entries, node.place, path, report);
            values.into_iter().map(|text| value(text, node.place)).collect()
        }
        Data::List(_) | Data::Scalar(_) | Data::Null => {
            report.add(node.place, field(path), node.found(), RANGE_RULE, RANGE_EXAMPLE);
            Vec::new()
        }
    }
}

fn field(path: &str) -> String {
    format!("vary.{path}")
}

/// A value as YAML in one line.
pub(super) fn in_a_line(node: &Node) -> String {
    match &node.data {
        Data::Null => String::from("~"),
        Data::Scalar(text) => quoted_if_needed(text),
        Data::List(items) => {
            let items: Vec<String> = items.iter().map(in_a_line).collect();
            format!("[{}]", items.join(", "))
        }
        Data::Map(entries) => {
            let entry = |(key, value): &(Key, Node)| {
                format!("{}: {}", quoted_if_needed(&key.text), in_a_line(value))
            };
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn quoted_if_needed(text: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "-_./%".contains(letter);
    let needed = text.is_empty() || text == "null" || text.starts_with('-');
    if needed || !text.chars().all(plain) {
        format!("'{}'", text.replace('\'', "''").replace('\n', " "))
    } else {
        text.to_owned()
    }
}

/// What the numbers of a range are, which says how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Count,
    Bytes,
    Duration,
    Share,
    Real,
}

impl Family {
    const ALL: [Self; 5] = [Self::Count, Self::Bytes, Self::Duration, Self::Share, Self::Real];

    /// The number in the smallest unit, if it is of this family.
    fn parse(self, text: &str) -> Option<f64> {
        let whole = |units| parse_integer(text, units).ok().map(|number| number as f64);
        match self {
            Self::Count => whole(COUNT_UNITS)
                .or_else(|| text.ends_with("/s").then(|| parse_rate(text).ok()).flatten()),
            Self::Bytes => whole(BYTE_UNITS),
            Self::Duration => whole(DURATION_UNITS),
            Self::Share => text.strip_suffix('%').and_then(|number| parse_real(number).ok()),
            Self::Real => parse_real(text).ok(),
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^53")]
    fn write(self, number: f64) -> String {
        match self {
            Self::Count => format_rate(number.round()).trim_end_matches("/s").to_owned(),
            Self::Bytes => format_bytes(number.round() as u64),
            Self::Duration => format_duration(number.round() as u64),
            Self::Share => format!("{}%", (number * 1e6).round() / 1e6),
            Self::Real => format!("{}", (number * 1e9).round() / 1e9),
        }
    }
}

/// How a range goes on from one value to the next.
#[derive(Clone, Copy, Debug)]
enum Advance {
    Step(f64),
    Factor(f64),
}

fn range(entries: &[(Key, Node)], place: Place, path: &str, report: &mut Report) -> Vec<String> {
    for (key, _) in entries {
        if !RANGE_KEYS.contains(&key.text.as_str()) {
            let hint = did_you_mean(nearest(&key.text, RANGE_KEYS.iter().copied()));
            let found = format!("found the key `{}`{hint}", key.text);
            report.add(key.place, field(path), found, RANGE_RULE, RANGE_EXAMPLE);
            return Vec::new();
        }
    }
    let text = |name: &str| {
        let entry = entries.iter().find(|(key, _)| key.text == name);
        entry.and_then(|(_, node)| match &node.data {
            Data::Scalar(text) => Some(text.as_str()),
            Data::Null | Data::List(_) | Data::Map(_) => None,
        })
    };
    let (from, to) = (text("from"), text("to"));
    let of_family = |family: Family| {
        let (from, to) = (family.parse(from?)?, family.parse(to?)?);
        let advance = match (text("step"), text("factor")) {
            (Some(step), None) => Advance::Step(family.parse(step)?),
            (None, Some(factor)) => Advance::Factor(parse_real(factor).ok()?),
            (None, None) | (Some(_), Some(_)) => return None,
        };
        Some((family, from, to, advance))
    };
    let Some((family, from, to, advance)) = Family::ALL.into_iter().find_map(of_family) else {
        report.add(place, field(path), "found a mapping", RANGE_RULE, RANGE_EXAMPLE);
        return Vec::new();
    };
    let grows = match advance {
        Advance::Step(step) => step > 0.0,
        Advance::Factor(factor) => factor > 1.0 && from > 0.0,
    };
    if from > to || !grows {
        let rule = "a range goes from less to more: from <= to, step > 0, factor > 1";
        report.add(place, field(path), "found a range without end", rule, RANGE_EXAMPLE);
        return Vec::new();
    }
    steps(family, from, to, advance)
}

fn steps(family: Family, from: f64, to: f64, advance: Advance) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    let mut number = from;
    // A hair above, because a tenth is no binary fraction.
    while number <= to * (1.0 + 1e-9) && values.len() <= POINTS_MAX {
        let written = family.write(number);
        if values.last() != Some(&written) {
            values.push(written);
        }
        number = match advance {
            Advance::Step(step) => number + step,
            Advance::Factor(factor) => number * factor,
        };
    }
    values
}
