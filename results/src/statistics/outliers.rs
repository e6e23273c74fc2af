//! Values that stand apart from the others.

use super::median;

/// Beyond so many robust deviations a value stands apart (Iglewicz and Hoaglin 1993).
const APART: f64 = 3.5;

/// What makes the median absolute deviation of normal values their standard deviation: the upper
/// quartile of the standard normal distribution.
const QUARTILE: f64 = 0.674_489_750_196_081_7;

/// Fewer values have no middle to stand apart from.
const VALUES_MIN: usize = 5;

/// The indexes of values that are far from the median, measured by the median absolute deviation.
#[must_use]
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let Some(middle) = median(values).filter(|_| values.len() >= VALUES_MIN) else {
        return Vec::new();
    };
    let far: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    let deviation = median(&far).unwrap_or(0.0) / QUARTILE;
    (0..values.len()).filter(|&index| deviation > 0.0 && far[index] / deviation > APART).collect()
}
