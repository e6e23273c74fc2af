//! The percentile distribution of a histogram as text, in the form that HdrHistogram's plotters
//! read: four columns, and a few figures at the end behind `#`.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// Lines for each halving of the distance to the 100th percentile.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Renders a histogram of nanoseconds, with values in microseconds.
#[must_use]
pub fn render(histogram: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut total = 0;
    for point in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += point.count_since_last_iteration();
        let value_us = point.value_iterated_to() as f64 / 1e3;
        let quantile = point.quantile_iterated_to();
        let _infallible = if quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            writeln!(text, "{value_us:12.3} {quantile:.12} {total:10} {inverse:14.2}")
        } else {
            writeln!(text, "{value_us:12.3} {quantile:.12} {total:10}            inf")
        };
    }
    let (mean_us, deviation_us) = (histogram.mean() / 1e3, histogram.stdev() / 1e3);
    let (max_us, count) = (histogram.max() as f64 / 1e3, histogram.len());
    let _infallible = write!(
        text,
        "#[Mean    = {mean_us:12.3}, StdDeviation   = {deviation_us:12.3}]\n\
         #[Max     = {max_us:12.3}, Total count    = {count:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]\n",
        histogram.buckets(),
        2048
    );
    text
}

/// Reads back what [`render`] wrote: for each line `1 / (1 - percentile)` and the value in
/// nanoseconds. The last line, of the 100th percentile, has none.
///
/// # Errors
/// The number of the line that is not one of percentiles.
pub fn parse(text: &str) -> Result<Vec<(f64, f64)>, usize> {
    let mut points = Vec::new();
    for (number, line) in text.lines().enumerate().skip(2) {
        if line.starts_with('#') {
            break;
        }
        let mut words = line.split_whitespace();
        let (value, inverse) = (words.next(), words.nth(2));
        let parsed = value.zip(inverse).and_then(|(value, inverse)| {
            Some((inverse.parse::<f64>().ok()?, value.parse::<f64>().ok()? * 1e3))
        });
        let (inverse, value_ns) = parsed.ok_or(number + 1)?;
        if inverse.is_finite() {
            points.push((inverse, value_ns));
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::empty_histogram;

    #[test]
    fn percentiles_rise_to_one_and_count_everything() {
        let mut histogram = empty_histogram();
        for latency_us in 1..=10_000_u64 {
            histogram.record(latency_us * 1000).unwrap();
        }
        let text = render(&histogram);
        let parsed = parse(&text).unwrap();
        assert_eq!(parsed[0].0, 1.0);
        let at_p50 = parsed.iter().find(|(inverse, _)| *inverse == 2.0).unwrap();
        assert!((at_p50.1 - 5e6).abs() < 1e4, "{at_p50:?}");
        assert_eq!(parse("\n\nnonsense\n"), Err(3));
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.windows(2).all(|pair| pair[0][1] <= pair[1][1] && pair[0][2] <= pair[1][2]));
        let last = rows.last().unwrap();
        assert_eq!((last[1], last[2]), (1.0, 10_000.0));
        assert!((last[0] / 10_000.0 - 1.0).abs() < 0.001);
        assert!(text.contains("Total count    =        10000]"));
    }

    #[test]
    fn an_empty_histogram_has_no_rows_but_a_footer() {
        assert!(render(&empty_histogram()).contains("Total count    =            0]"));
    }
}
