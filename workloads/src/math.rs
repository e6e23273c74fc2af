//! Logarithm and exponential from additions, products and quotients alone.
//!
//! The library functions may differ in the last bit between platforms and versions; these do not,
//! so tables and arrival times that follow from a seed are the same everywhere.

const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Smallest first: what the series of artanh divides by, from 1/19 to 1/3.
const ODD_INVERSES: [f64; 9] = [
    1.0 / 19.0,
    1.0 / 17.0,
    1.0 / 15.0,
    1.0 / 13.0,
    1.0 / 11.0,
    1.0 / 9.0,
    1.0 / 7.0,
    1.0 / 5.0,
    1.0 / 3.0,
];

/// Smallest first: what the series of the exponential divides by, from 1/13! to 1/2!.
const FACTORIAL_INVERSES: [f64; 12] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
];

/// The natural logarithm of a positive, normal number, within a few units of the last place.
pub(crate) fn ln(value: f64) -> f64 {
    debug_assert!(value.is_normal() && value > 0.0);
    let bits = value.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh s, and |s| < 0.172, so the terms shrink by 34 each.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for inverse in ODD_INVERSES {
        sum = (sum + inverse) * square;
    }
    let exponent = f64::from(exponent);
    2.0 * s * (1.0 + sum) + exponent * LN_2_LOW + exponent * LN_2_HIGH
}

/// e to the power of `value`, which must lie between -700 and 700.
pub(crate) fn exp(value: f64) -> f64 {
    debug_assert!(value.abs() <= 700.0);
    let twos = (value * std::f64::consts::LOG2_E).round();
    let rest = (value - twos * LN_2_HIGH) - twos * LN_2_LOW;
    let mut sum = 0.0;
    for inverse in FACTORIAL_INVERSES {
        sum = (sum + inverse) * rest;
    }
    // The two largest terms come last, so that they round least.
    let sum = 1.0 + (rest + sum * rest);
    #[expect(clippy::cast_possible_truncation, reason = "the argument bounds it to about 1,010")]
    let exponent = (twos as i64 + 1023).unsigned_abs();
    sum * f64::from_bits(exponent << 52)
}

/// `base` to the power of `-exponent`, for the weights of a Zipf distribution.
///
/// What is too small for a double is 0.
pub(crate) fn inverse_power(base: f64, exponent: f64) -> f64 {
    let logarithm = exponent * ln(base);
    if logarithm > 700.0 { 0.0 } else { exp(-logarithm) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_library() {
        let mut value = 1e-12;
        while value < 1e12 {
            let (ours, theirs) = (ln(value), value.ln());
            assert!((ours - theirs).abs() <= 1e-15 * theirs.abs().max(1.0), "ln {value}");
            value *= 1.37;
        }
        for step in -6_990..=6_990 {
            let value = f64::from(step) / 10.0;
            assert!((exp(value) / value.exp() - 1.0).abs() < 1e-14, "exp {value}");
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!((inverse_power(8.0, 0.99) - 8.0_f64.powf(-0.99)).abs() < 1e-15);
        assert_eq!(inverse_power(1e9, 100.0), 0.0);
    }

    #[test]
    fn bits_are_fixed() {
        assert_eq!(ln(3.0).to_bits(), 4_607_626_529_066_517_259);
        assert_eq!(exp(1.0).to_bits(), 4_613_303_445_314_885_482);
    }
}
