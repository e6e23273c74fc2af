//! Numbers as people read them.

/// A whole number in groups of three digits: `12,345,678`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many of what has a plural in `s`: `1 replica`, `3 replicas`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// Three significant digits with a unit: `999 ns`, `12.3 us`, `1.23 ms`, `45.6 s`.
#[must_use]
pub fn nanoseconds(number: f64) -> String {
    scaled(number, &[(1e9, " s"), (1e6, " ms"), (1e3, " us")], " ns")
}

/// Three significant digits with a decimal prefix: `999`, `12.3 k`, `1.23 M`.
#[must_use]
pub fn count(number: f64) -> String {
    scaled(number, &[(1e9, " G"), (1e6, " M"), (1e3, " k")], "")
}

/// Three significant digits with a binary prefix: `999 B`, `12.3 KiB`, `1.23 GiB`.
#[must_use]
pub fn bytes(number: f64) -> String {
    const KIB: f64 = 1024.0;
    scaled(number, &[(KIB * KIB * KIB, " GiB"), (KIB * KIB, " MiB"), (KIB, " KiB")], " B")
}

/// Three significant digits: `0.123`, `1.23`, `12.3`, `1234`.
#[must_use]
pub fn figure(number: f64) -> String {
    let size = number.abs();
    // The bounds lie where rounding would carry into a further digit.
    let decimals = match size {
        _ if size >= 99.95 || size == 0.0 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ => 3,
    };
    format!("{number:.decimals$}")
}

/// A figure as `print` shows it, or `-` if it is not known.
pub fn or_dash(figure: Option<f64>, print: fn(f64) -> String) -> String {
    figure.map_or_else(|| "-".to_owned(), print)
}

/// A duration as workloads write it, in seconds: `500ms`, `1s`, `2m`, `0`.
#[must_use]
pub fn seconds(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 6] =
        [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let parsed = UNITS.iter().find_map(|(unit, factor)| {
        Some(text.strip_suffix(unit)?.trim().parse::<f64>().ok()? * factor)
    });
    parsed.or_else(|| (text.trim() == "0").then_some(0.0))
}

fn scaled(number: f64, units: &[(f64, &str)], small: &str) -> String {
    for (size, unit) in units {
        if number.abs() >= 0.9995 * size {
            return format!("{}{unit}", figure(number / size));
        }
    }
    format!("{}{small}", figure(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(
            (counted(1, "write"), counted(1234, "write")),
            ("1 write".into(), "1,234 writes".into())
        );
        for (number, text) in [
            (0.0, "0 ns"),
            (999.0, "999 ns"),
            (999.9, "1.00 us"),
            (12_345.0, "12.3 us"),
            (1_234_000.0, "1.23 ms"),
            (60e9, "60.0 s"),
        ] {
            assert_eq!(nanoseconds(number), text);
        }
        for (text, number) in [("500ms", 0.5), ("1s", 1.0), ("2m", 120.0), ("0", 0.0)] {
            assert_eq!(seconds(text), Some(number));
        }
        assert_eq!((seconds("fast"), seconds("1 day")), (None, None));
        assert_eq!(count(1_234_567.0), "1.23 M");
        assert_eq!(count(99_960.0), "100 k");
        assert_eq!(figure(0.12345), "0.123");
    }
}
