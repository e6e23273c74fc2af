//! One scalar of a workload: text to value by its kind, and what to say when it does not fit.

use crate::diagnostics::did_you_mean;
use crate::fields::Kind;
use crate::names::nearest;
use crate::units::{
    BYTE_UNITS, COUNT_UNITS, DURATION_UNITS, Unreadable, format_bytes, format_duration,
    format_rate, format_share, parse_integer, parse_rate, parse_real, parse_share, split_unit,
    unit_names,
};

/// A scalar that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A count, a size in bytes, a duration in nanoseconds, a flag, or the index of a choice.
    Integer(u64),
    /// A share, a rate or a plain number.
    Real(f64),
    Text(String),
}

/// Why a scalar does not fit, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) rule: String,
    pub(crate) instead: String,
}

/// Reads `text` as what `kind` asks for. `example` is shown to who wrote something else entirely.
pub(crate) fn read(kind: &Kind, text: &str, example: &str) -> Result<Value, Misfit> {
    match kind {
        Kind::Count { min, max } | Kind::Bytes { min, max } | Kind::Duration { min, max } => {
            read_integer(kind, text, example, *min, *max)
        }
        Kind::Share => read_real(kind, text, example, parse_share(text), 0.0, 1.0),
        Kind::Rate { min, max } => read_real(kind, text, example, parse_rate(text), *min, *max),
        Kind::Real { min, max } => read_real(kind, text, example, parse_real(text), *min, *max),
        Kind::Flag => read_flag(text),
        Kind::Choice(options) => {
            let names: Vec<&str> = options.list().into_iter().map(|(name, _)| name).collect();
            match names.iter().position(|name| *name == text) {
                Some(index) => Ok(Value::Integer(index as u64)),
                None => Err(not_among(&names, text)),
            }
        }
        Kind::Target => read_target(text),
        Kind::Name => read_name(text),
        Kind::Text => Ok(Value::Text(text.into())),
        Kind::Path if text.is_empty() || text.contains('\0') => {
            Err(misfit(rule(kind), "write a folder, for example `/var/tmp/synod`"))
        }
        Kind::Path => Ok(Value::Text(text.into())),
        Kind::Map | Kind::OneOf | Kind::List { .. } | Kind::Protocols => {
            Err(misfit(rule(kind), format!("write for example `{example}`")))
        }
    }
}

/// What a value of this kind must be.
pub(crate) fn rule(kind: &Kind) -> String {
    match kind {
        Kind::Text => "must be text".into(),
        Kind::Name => {
            "must be 1 to 64 letters, digits, `-`, `_` or `.`, a letter or digit first".into()
        }
        Kind::Path => "must be a path".into(),
        Kind::Count { min, max: u64::MAX } => {
            format!("must be a whole number from {min} to 2^64 - 1")
        }
        Kind::Count { min, max } => format!("must be a whole number from {min} to {max}"),
        Kind::Bytes { min, max } => {
            let (min, max) = (format_bytes(*min), format_bytes(*max));
            format!("must be a size from {min} to {max} in {}", unit_names(BYTE_UNITS))
        }
        Kind::Duration { min, max } => {
            let (min, max) = (format_duration(*min), show_long(*max));
            format!("must be a duration from {min} to {max} in {}", unit_names(DURATION_UNITS))
        }
        Kind::Share => "must be a share from 0% to 100%".into(),
        Kind::Rate { min, max } => format!("must be a rate from {min}/s to {}", format_rate(*max)),
        Kind::Real { min, max } => format!("must be a number from {min} to {max}"),
        Kind::Flag => "must be true or false".into(),
        Kind::Choice(options) => {
            let names: Vec<&str> = options.list().into_iter().map(|(name, _)| name).collect();
            format!("must be {}", either(&names))
        }
        Kind::Target => "must be leader, follower, random or the number of a replica".into(),
        Kind::Map => "must be a mapping of keys".into(),
        Kind::OneOf => "must be exactly one choice".into(),
        Kind::List { min: 0 } => "must be a list".into(),
        Kind::List { .. } => "must be a list that is not empty".into(),
        Kind::Protocols => "must be a list of protocols".into(),
    }
}

/// `a, b or c`.
pub(crate) fn either(names: &[&str]) -> String {
    match names {
        [] => "nothing".into(),
        [only] => (*only).into(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A name that is none of `names`.
pub(crate) fn not_among(names: &[&str], text: &str) -> Misfit {
    let hint = did_you_mean(nearest(text, names.iter().copied()));
    misfit(format!("must be {}", either(names)), format!("write one of these{hint}"))
}

/// A number of this kind as one would write it.
pub(crate) fn show(kind: &Kind, value: u64) -> String {
    match kind {
        Kind::Bytes { .. } => format_bytes(value),
        Kind::Duration { .. } => format_duration(value),
        Kind::Flag => (value != 0).to_string(),
        Kind::Choice(options) => {
            let index = usize::try_from(value).unwrap_or(usize::MAX);
            options.list().get(index).map_or_else(String::new, |(name, _)| (*name).into())
        }
        Kind::Text
        | Kind::Name
        | Kind::Path
        | Kind::Count { .. }
        | Kind::Share
        | Kind::Rate { .. }
        | Kind::Real { .. }
        | Kind::Target
        | Kind::Map
        | Kind::OneOf
        | Kind::List { .. }
        | Kind::Protocols => value.to_string(),
    }
}

fn read_integer(
    kind: &Kind,
    text: &str,
    example: &str,
    min: u64,
    max: u64,
) -> Result<Value, Misfit> {
    let (units, _) = units_of(kind);
    // Nothing is nothing in every unit.
    let parsed = match text {
        "0" => Ok(0),
        _ => parse_integer(text, units),
    };
    let least = format!("write at least `{}`", show(kind, min));
    let most = format!("write at most `{}`", show(kind, max));
    let instead = match parsed {
        Ok(value) if value < min => least,
        Ok(value) if value > max => most,
        Ok(value) => return Ok(Value::Integer(value)),
        Err(Unreadable::Negative) => least,
        Err(Unreadable::TooLarge) => most,
        Err(other) => write_instead(kind, text, example, other),
    };
    Err(misfit(rule(kind), instead))
}

/// Advice on a number that cannot be read.
fn write_instead(kind: &Kind, text: &str, example: &str, why: Unreadable) -> String {
    let (number, unit) = split_unit(text);
    match why {
        Unreadable::NoUnit => {
            let (small, large) =
                if matches!(kind, Kind::Bytes { .. }) { ("B", "KiB") } else { ("ms", "s") };
            format!("add a unit, for example `{number}{small}` or `{number}{large}`")
        }
        Unreadable::UnknownUnit => meant_unit(kind, unit).map_or_else(
            || format!("write for example `{example}`"),
            |unit| format!("did you mean `{number}{unit}`?"),
        ),
        Unreadable::LeadingZero => {
            format!("write it without the leading zero: `{}`", text.trim_start_matches('0'))
        }
        Unreadable::Fraction if matches!(kind, Kind::Bytes { .. }) => {
            "write a whole number of bytes".into()
        }
        Unreadable::Fraction if matches!(kind, Kind::Duration { .. }) => {
            "write a whole number of nanoseconds".into()
        }
        Unreadable::Fraction => "write it without a fraction".into(),
        Unreadable::NotANumber | Unreadable::Negative | Unreadable::TooLarge => {
            format!("write for example `{example}`")
        }
    }
}

/// The unit that a wrong one stands for elsewhere.
fn meant_unit(kind: &Kind, unit: &str) -> Option<&'static str> {
    let (units, elsewhere) = units_of(kind);
    let lower = unit.to_lowercase();
    let spelled = elsewhere.iter().find(|(name, _)| *name == lower).map(|(_, meant)| *meant);
    spelled
        .or_else(|| units.iter().map(|(name, _)| *name).find(|name| name.to_lowercase() == lower))
}

type Units = &'static [(&'static str, u64)];
type Spellings = &'static [(&'static str, &'static str)];

/// The units of a whole number of this kind, and what others call them.
fn units_of(kind: &Kind) -> (Units, Spellings) {
    const DURATIONS: Spellings = &[
        ("sec", "s"),
        ("secs", "s"),
        ("second", "s"),
        ("seconds", "s"),
        ("msec", "ms"),
        ("millis", "ms"),
        ("usec", "us"),
        ("micros", "us"),
        ("\u{b5}s", "us"),
        ("\u{3bc}s", "us"),
        ("nanos", "ns"),
        ("min", "m"),
        ("mins", "m"),
        ("minutes", "m"),
        ("hours", "h"),
    ];
    const BYTES: Spellings =
        &[("bytes", "B"), ("k", "KiB"), ("m", "MiB"), ("g", "GiB"), ("kb", "kB")];
    if matches!(kind, Kind::Bytes { .. }) {
        (BYTE_UNITS, BYTES)
    } else if matches!(kind, Kind::Duration { .. }) {
        (DURATION_UNITS, DURATIONS)
    } else {
        (COUNT_UNITS, &[])
    }
}

fn read_real(
    kind: &Kind,
    text: &str,
    example: &str,
    parsed: Result<f64, Unreadable>,
    min: f64,
    max: f64,
) -> Result<Value, Misfit> {
    let written = |value: f64| {
        if matches!(kind, Kind::Share) {
            format_share(value)
        } else if matches!(kind, Kind::Rate { .. }) {
            format_rate(value)
        } else {
            value.to_string()
        }
    };
    let instead = match parsed {
        Ok(value) if value < min => format!("write at least `{}`", written(min)),
        // 50 for a share is 50 %, not fifty times everything.
        Ok(value)
            if value > max
                && matches!(kind, Kind::Share)
                && value <= 100.0
                && !text.contains('%') =>
        {
            format!("did you mean `{text}%`?")
        }
        Ok(value) if value > max => format!("write at most `{}`", written(max)),
        Ok(value) => return Ok(Value::Real(value)),
        Err(Unreadable::Negative) => format!("write at least `{}`", written(min)),
        Err(Unreadable::TooLarge) => format!("write at most `{}`", written(max)),
        Err(_) => format!("write for example `{example}`"),
    };
    Err(misfit(rule(kind), instead))
}

fn read_flag(text: &str) -> Result<Value, Misfit> {
    match text {
        "true" => Ok(Value::Integer(1)),
        "false" => Ok(Value::Integer(0)),
        _ => {
            let instead = match text.to_lowercase().as_str() {
                "yes" | "on" | "y" | "1" => "write `true`",
                "no" | "off" | "n" | "0" => "write `false`",
                _ => "write `true` or `false`",
            };
            Err(misfit(rule(&Kind::Flag), instead))
        }
    }
}

fn read_target(text: &str) -> Result<Value, Misfit> {
    const ROLES: [&str; 3] = ["leader", "follower", "random"];
    // Whether a replica of this number exists is judged with the cluster at hand.
    if ROLES.contains(&text) || text.parse::<u8>().is_ok() {
        return Ok(Value::Text(text.into()));
    }
    let hint = did_you_mean(nearest(text, ROLES));
    Err(misfit(rule(&Kind::Target), format!("write for example `follower` or `0`{hint}")))
}

fn read_name(text: &str) -> Result<Value, Misfit> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let sensible = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if sensible && text.len() <= 64 && text.chars().all(fits) {
        return Ok(Value::Text(text.into()));
    }
    Err(misfit(rule(&Kind::Name), format!("write for example `{}`", fit_name(text))))
}

/// The nearest name that is fit for a folder.
pub(crate) fn fit_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().take(64) {
        if c.is_ascii_alphanumeric() || (matches!(c, '-' | '_' | '.') && !name.is_empty()) {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "workload".into() } else { name.into() }
}

/// The longest duration is a day, which has no unit of its own.
fn show_long(duration_ns: u64) -> String {
    const HOUR_NS: u64 = 3_600_000_000_000;
    if duration_ns >= HOUR_NS && duration_ns.is_multiple_of(HOUR_NS) {
        return format!("{}h", duration_ns / HOUR_NS);
    }
    format_duration(duration_ns)
}

fn misfit(rule: impl Into<String>, instead: impl Into<String>) -> Misfit {
    Misfit { rule: rule.into(), instead: instead.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instead(kind: &Kind, text: &str) -> String {
        read(kind, text, "EXAMPLE").unwrap_err().instead
    }

    #[test]
    fn advice_fits_the_mistake() {
        let duration = Kind::Duration { min: 1000, max: 1_000_000_000 };
        assert_eq!(instead(&duration, "20"), "add a unit, for example `20ms` or `20s`");
        assert_eq!(instead(&duration, "5sec"), "did you mean `5s`?");
        assert_eq!(instead(&duration, "5parsec"), "write for example `EXAMPLE`");
        assert_eq!(instead(&duration, "1ns"), "write at least `1us`");
        assert_eq!(instead(&duration, "1h"), "write at most `1s`");
        let bytes = Kind::Bytes { min: 8, max: 1 << 20 };
        assert_eq!(instead(&bytes, "64"), "add a unit, for example `64B` or `64KiB`");
        assert_eq!(instead(&bytes, "64K"), "did you mean `64KiB`?");
        assert_eq!(instead(&bytes, "64kib"), "did you mean `64KiB`?");
        let count = Kind::Count { min: 1, max: 9 };
        assert_eq!(instead(&count, "010"), "write it without the leading zero: `10`");
        assert_eq!(instead(&count, "-1"), "write at least `1`");
        assert_eq!(instead(&Kind::Share, "50"), "did you mean `50%`?");
        assert_eq!(instead(&Kind::Share, "150%"), "write at most `100%`");
        assert_eq!(instead(&Kind::Flag, "yes"), "write `true`");
        assert_eq!(instead(&Kind::Name, "a b/c"), "write for example `a-b-c`");
    }
}
