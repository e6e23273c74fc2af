//! Numbers with units, as people write them: `100k`, `64KiB`, `250us`, `95%`, `10k/s`.
//!
//! Everything is read by exact decimal arithmetic and written back in the largest unit that keeps
//! it exact, so a value that went through a file is the same value.

use std::fmt::Write as _;

/// The units of a count, with what each multiplies by.
pub(crate) const COUNT_UNITS: &[(&str, u64)] =
    &[("", 1), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];

/// The units of a size, in bytes.
pub(crate) const BYTE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// The units of a duration, in nanoseconds.
pub(crate) const DURATION_UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a text is not the number that it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It does not start as a decimal number.
    NotANumber,
    /// It has a minus sign.
    Negative,
    /// It does not fit 64 bits.
    TooLarge,
    /// It is not whole in the smallest unit.
    Fraction,
    /// It starts with a zero that some YAML readers take for octal.
    LeadingZero,
    /// It has no unit and needs one.
    NoUnit,
    /// Its unit is not one of those allowed.
    UnknownUnit,
}

/// Reads a whole number with one of `units`; the unit without letters, if listed, is the plain
/// number.
///
/// # Errors
///
/// Says what is wrong with the text.
pub(crate) fn parse_integer(text: &str, units: &[(&str, u64)]) -> Result<u64, Unreadable> {
    let (decimal, unit) = Decimal::split(text)?;
    let multiplier = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    match multiplier {
        Some(factor) => decimal.times(factor),
        None if unit.is_empty() => Err(Unreadable::NoUnit),
        None => Err(Unreadable::UnknownUnit),
    }
}

/// Reads a share, `95%` or `0.95`, as a fraction; the caller checks its range.
///
/// # Errors
///
/// Says what is wrong with the text.
pub(crate) fn parse_share(text: &str) -> Result<f64, Unreadable> {
    let (decimal, unit) = Decimal::split(text)?;
    match unit {
        "%" => decimal.real(-2),
        "" => decimal.real(0),
        _ => Err(Unreadable::UnknownUnit),
    }
}

/// Reads a plain real number such as `0.99`.
///
/// # Errors
///
/// Says what is wrong with the text.
pub(crate) fn parse_real(text: &str) -> Result<f64, Unreadable> {
    match Decimal::split(text)? {
        (decimal, "") => decimal.real(0),
        _ => Err(Unreadable::UnknownUnit),
    }
}

/// Reads a rate, `100k` or `100k/s`, per second.
///
/// # Errors
///
/// Says what is wrong with the text.
pub(crate) fn parse_rate(text: &str) -> Result<f64, Unreadable> {
    let (decimal, unit) = Decimal::split(text)?;
    match unit.strip_suffix("/s").unwrap_or(unit).trim_end() {
        "" => decimal.real(0),
        "k" => decimal.real(3),
        "M" => decimal.real(6),
        "G" => decimal.real(9),
        _ => Err(Unreadable::UnknownUnit),
    }
}

/// Writes a duration in the largest unit that keeps it exact: `1500ms`, `2s`.
#[must_use]
pub fn format_duration(duration_ns: u64) -> String {
    const STEPS: &[(&str, u64)] =
        &[("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
    in_largest_unit(duration_ns, STEPS, ("ns", 1), "s")
}

/// Writes a size in the largest binary unit that keeps it exact: `128KiB`, `1000B`.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    const STEPS: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    in_largest_unit(bytes, STEPS, ("B", 1), "B")
}

/// Writes a share as a percentage without loss: 0.29 becomes `29%`.
#[must_use]
pub fn format_share(share: f64) -> String {
    // Moving the point through the digits is exact; multiplying by 100 is not (0.29 * 100 < 29).
    let digits = format!("{share}");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let mut text = String::from(whole);
    for position in 0..2 {
        text.push(fraction.as_bytes().get(position).copied().map_or('0', char::from));
    }
    let whole = text.trim_start_matches('0');
    let mut text = String::from(if whole.is_empty() { "0" } else { whole });
    if let Some(rest) = fraction.get(2..).filter(|rest| !rest.is_empty()) {
        text.push('.');
        text.push_str(rest);
    }
    text.push('%');
    text
}

/// Writes a rate per second, in thousands or millions where that is exact.
#[must_use]
pub fn format_rate(rate_per_second: f64) -> String {
    for (unit, factor) in [("M", 1e6), ("k", 1e3)] {
        let scaled = rate_per_second / factor;
        if scaled >= 1.0 && scaled.fract() == 0.0 {
            return format!("{scaled}{unit}/s");
        }
    }
    format!("{rate_per_second}/s")
}

/// The names of `units`, for a message: `B, kB, MB or GB`.
pub(crate) fn unit_names(units: &[(&str, u64)]) -> String {
    // Two spellings of one size would only lengthen the message.
    let names: Vec<&str> = units
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.is_empty() && *name != "KB")
        .collect();
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let joint = match index {
            0 => "",
            _ if index + 1 == names.len() => " or ",
            _ => ", ",
        };
        let _ = write!(text, "{joint}{name}");
    }
    text
}

/// Cuts a text into its number and its unit as written, for a hint about the unit.
pub(crate) fn split_unit(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| c.is_alphabetic() || c == '%').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number.trim_end(), unit)
}

fn in_largest_unit(value: u64, steps: &[(&str, u64)], last: (&str, u64), zero: &str) -> String {
    if value == 0 {
        return format!("0{zero}");
    }
    let (unit, factor) =
        steps.iter().copied().find(|(_, factor)| value.is_multiple_of(*factor)).unwrap_or(last);
    format!("{}{unit}", value / factor)
}

/// A decimal number before its unit: `digits * 10^exponent`.
struct Decimal {
    digits: u128,
    exponent: i32,
}

impl Decimal {
    /// Reads the number at the start of `text` and returns what follows it as the unit.
    fn split(text: &str) -> Result<(Self, &str), Unreadable> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix('-') {
            let numeric = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            return Err(if numeric { Unreadable::Negative } else { Unreadable::NotANumber });
        }
        let text = text.strip_prefix('+').unwrap_or(text);
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Unreadable::NotANumber);
        }
        let bytes = text.as_bytes();
        if bytes[0] == b'0' && bytes.get(1).is_some_and(u8::is_ascii_digit) {
            return Err(Unreadable::LeadingZero);
        }
        let mut number = Self { digits: 0, exponent: 0 };
        let mut at = number.take_digits(bytes, 0, false)?;
        if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            at = number.take_digits(bytes, at + 1, true)?;
        }
        at = number.take_exponent(bytes, at)?;
        Ok((number, text[at..].trim_start()))
    }

    fn take_digits(&mut self, bytes: &[u8], from: usize, point: bool) -> Result<usize, Unreadable> {
        let mut at = from;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'0'..=b'9' => {
                    let digits = self.digits.checked_mul(10).ok_or(Unreadable::TooLarge)?;
                    self.digits = digits + u128::from(byte - b'0');
                    self.exponent -= i32::from(point);
                }
                // As in `1_000_000`: between digits only.
                b'_' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {}
                _ => break,
            }
            at += 1;
        }
        Ok(at)
    }

    fn take_exponent(&mut self, bytes: &[u8], at: usize) -> Result<usize, Unreadable> {
        if !matches!(bytes.get(at), Some(b'e' | b'E')) {
            return Ok(at);
        }
        let signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        let first = at + 1 + usize::from(signed);
        let length = bytes[first.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit());
        let mut exponent: i32 = 0;
        let mut end = first;
        for byte in length {
            exponent = exponent * 10 + i32::from(byte - b'0');
            end += 1;
            if exponent > 400 {
                return Err(Unreadable::TooLarge);
            }
        }
        if end == first {
            return Ok(at);
        }
        self.exponent += if bytes[at + 1] == b'-' { -exponent } else { exponent };
        Ok(end)
    }

    /// The number times `factor`, which must be whole.
    fn times(&self, factor: u64) -> Result<u64, Unreadable> {
        let mut value = self.digits.checked_mul(u128::from(factor)).ok_or(Unreadable::TooLarge)?;
        for _ in 0..self.exponent.unsigned_abs() {
            if value == 0 {
                break;
            }
            if self.exponent > 0 {
                value = value.checked_mul(10).ok_or(Unreadable::TooLarge)?;
            } else if value.is_multiple_of(10) {
                value /= 10;
            } else {
                return Err(Unreadable::Fraction);
            }
        }
        u64::try_from(value).map_err(|_| Unreadable::TooLarge)
    }

    /// The number times `10^shift`, rounded once.
    fn real(&self, shift: i32) -> Result<f64, Unreadable> {
        let text = format!("{}e{}", self.digits, self.exponent + shift);
        let value: f64 = text.parse().map_err(|_| Unreadable::NotANumber)?;
        if value.is_finite() { Ok(value) } else { Err(Unreadable::TooLarge) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_as_people_write_them() {
        for (text, value) in [
            ("0", 0),
            ("100k", 100_000),
            ("1M", 1_000_000),
            ("1_000_000", 1_000_000),
            ("1e6", 1_000_000),
            ("1.5k", 1_500),
            ("2.50e2", 250),
            ("+7", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_integer(text, COUNT_UNITS), Ok(value), "{text}");
        }
    }

    #[test]
    fn wrong_numbers_say_why() {
        for (text, why) in [
            ("", Unreadable::NotANumber),
            (".nan", Unreadable::NotANumber),
            ("inf", Unreadable::NotANumber),
            ("three", Unreadable::NotANumber),
            ("-1", Unreadable::Negative),
            ("-x", Unreadable::NotANumber),
            ("18446744073709551616", Unreadable::TooLarge),
            ("1e400", Unreadable::TooLarge),
            ("1e99999999999", Unreadable::TooLarge),
            ("1.5", Unreadable::Fraction),
            ("1e-1", Unreadable::Fraction),
            ("010", Unreadable::LeadingZero),
            ("0x10", Unreadable::UnknownUnit),
            ("1_", Unreadable::UnknownUnit),
            ("5K", Unreadable::UnknownUnit),
        ] {
            assert_eq!(parse_integer(text, COUNT_UNITS), Err(why), "{text}");
        }
        assert_eq!(parse_integer("20", DURATION_UNITS), Err(Unreadable::NoUnit));
        assert_eq!(parse_integer("1.5ns", DURATION_UNITS), Err(Unreadable::Fraction));
        assert_eq!(parse_rate("5/m"), Err(Unreadable::UnknownUnit));
    }

    #[test]
    fn durations_and_sizes_survive_writing() {
        for value in [0, 1, 250_000, 1_500_000_000, 60_000_000_000, 1 << 20, 12_345, u64::MAX] {
            let duration = format_duration(value);
            assert_eq!(parse_integer(&duration, DURATION_UNITS), Ok(value), "{duration}");
            let bytes = format_bytes(value);
            assert_eq!(parse_integer(&bytes, BYTE_UNITS), Ok(value), "{bytes}");
        }
        assert_eq!(format_duration(1_500_000_000), "1500ms");
        assert_eq!(format_bytes(128 * 1024), "128KiB");
    }

    #[test]
    fn shares_and_rates_survive_writing() {
        for thousandths in 0..=1000_u32 {
            let share = f64::from(thousandths) / 1000.0;
            assert_eq!(parse_share(&format_share(share)), Ok(share));
        }
        for share in [1.0 / 3.0, 1e-9, 0.07, 1.0] {
            assert_eq!(parse_share(&format_share(share)), Ok(share), "{}", format_share(share));
        }
        assert_eq!(format_share(0.29), "29%");
        assert_eq!(format_share(0.005), "0.5%");
        for rate in [0.5, 1.0, 1_500.0, 100_000.0, 1.0 / 3.0, 2e6] {
            assert_eq!(parse_rate(&format_rate(rate)), Ok(rate), "{}", format_rate(rate));
        }
    }
}
