//! Against what SciPy says (`fixtures/scipy_values.py`), and on series whose answer is known.

use serde::Deserialize;

use super::steady::{Steadiness, steadiness, truncation};
use super::{bootstrap, correction, outliers, quantile, ranks, trend};
use crate::random::Random;
use crate::record::empty_histogram;

#[derive(Deserialize)]
struct Fixture {
    mann_whitney: Vec<Pair>,
    bootstrap: Vec<Median>,
    kendall: Vec<Series>,
    ranks: Vec<Ranks>,
    holm: Holm,
}

#[derive(Deserialize)]
struct Pair {
    first: Vec<f64>,
    second: Vec<f64>,
    u: f64,
    p: f64,
    shift: f64,
}

#[derive(Deserialize)]
struct Median {
    values: Vec<f64>,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Series {
    values: Vec<f64>,
    p: f64,
    slope: f64,
}

#[derive(Deserialize)]
struct Ranks {
    count: u64,
    quantile: f64,
    low: u64,
    high: u64,
}

#[derive(Deserialize)]
struct Holm {
    p: Vec<f64>,
    corrected: Vec<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/scipy.json")).unwrap()
}

#[track_caller]
fn assert_near(ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0), "{ours}, not {theirs}");
}

/// Normal values, as the sum of twelve even ones.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.below(1 << 32) as f64 / (1_u64 << 32) as f64).sum::<f64>() - 6.0
}

#[test]
fn sets_differ_as_scipy_says() {
    for pair in fixture().mann_whitney {
        let ours = ranks::shift(&pair.first, &pair.second).unwrap();
        assert_near(ours.u, pair.u);
        assert_near(ours.p, pair.p);
        assert_near(ours.estimate, pair.shift);
        // An interval and its test are one: it holds 0 exactly if the test sees no difference.
        if let Some(interval) = ours.interval.filter(|_| ours.exact) {
            let holds_zero = interval.low < 0.0 && 0.0 < interval.high;
            assert_eq!(holds_zero, ours.p > 0.05, "{ours:?}");
        }
    }
    assert_eq!(ranks::shift(&[], &[1.0]), None);
    let small = ranks::shift(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).unwrap();
    assert_eq!((small.interval, small.p), (None, ranks::least_p(3, 3)));
    assert_near(ranks::least_p(5, 5), 2.0 / 252.0);
    let alike = ranks::shift(&[1.0; 5], &[1.0; 5]).unwrap();
    assert_eq!((alike.p, alike.estimate), (1.0, 0.0));
}

#[test]
fn the_interval_of_a_shift_holds_the_true_one_as_often_as_it_says() {
    let mut random = Random::new(11);
    let mut draw = |middle: f64| (0..8).map(|_| middle + normal(&mut random)).collect::<Vec<_>>();
    let held = (0..1000)
        .filter(|_| {
            let interval = ranks::shift(&draw(0.0), &draw(2.0)).unwrap().interval.unwrap();
            interval.low <= 2.0 && 2.0 <= interval.high
        })
        .count();
    assert!((935..=985).contains(&held), "{held} of 1000");
}

#[test]
fn medians_are_as_sure_as_scipy_says() {
    for case in fixture().bootstrap {
        let ours = bootstrap::median_interval(&case.values, 1).unwrap();
        // Both draw: the ends may be off by a sliver between two values.
        let range = case.high - case.low;
        assert!((ours.low - case.low).abs() <= 0.05 * range, "{ours:?}, not {}", case.low);
        assert!((ours.high - case.high).abs() <= 0.05 * range, "{ours:?}, not {}", case.high);
        assert_eq!(bootstrap::median_interval(&case.values, 1), Some(ours));
    }
    assert_eq!(bootstrap::median_interval(&[1.0], 1), None);
}

#[test]
fn series_rise_as_scipy_says() {
    for case in fixture().kendall {
        let ours = trend::trend(&case.values).unwrap();
        assert_near(ours.p, case.p);
        assert_near(ours.slope, case.slope);
    }
    assert_eq!(trend::trend(&[1.0, 2.0]), None);
}

#[test]
fn quantiles_lie_between_the_ranks_of_scipy() {
    for case in fixture().ranks {
        let expected = (case.low > 0 && case.high <= case.count).then_some((case.low, case.high));
        assert_eq!(quantile::ranks(case.count, case.quantile), expected);
    }
    assert_eq!(quantile::ranks(100, 0.999), None);
    let mut histogram = empty_histogram();
    (1..=1000_u64).for_each(|value| histogram.record(value).unwrap());
    let (low, high) = quantile::ranks(1000, 0.9).unwrap();
    let interval = quantile::interval(&histogram, 0.9).unwrap();
    assert_eq!((interval.low, interval.high), (low as f64, high as f64));
}

#[test]
fn many_questions_cost() {
    let Holm { p, corrected } = fixture().holm;
    for (ours, theirs) in correction::holm(&p).into_iter().zip(corrected) {
        assert_near(ours, theirs);
    }
    assert!(correction::holm(&[]).is_empty());
}

#[test]
fn what_stands_apart_is_found() {
    assert_eq!(outliers::outliers(&[10.0, 11.0, 9.0, 10.5, 30.0, 9.5]), [4]);
    assert!(outliers::outliers(&[10.0, 11.0, 9.0, 10.5, 9.5]).is_empty());
    assert!(outliers::outliers(&[1.0, 1.0, 1.0, 1.0, 9.0]).is_empty(), "no deviation, no judgment");
    assert!(outliers::outliers(&[1.0, 2.0, 99.0]).is_empty(), "too few");
}

#[test]
fn a_state_is_steady_or_it_is_said_why_not() {
    let mut random = Random::new(5);
    let noisy: Vec<f64> = (0..60).map(|_| 1000.0 + 10.0 * normal(&mut random)).collect();
    assert_eq!(steadiness(&noisy), Steadiness::Steady);
    assert_eq!(steadiness(&noisy[..9]), Steadiness::TooShort);
    assert_eq!(steadiness(&[0.0; 20]), Steadiness::Steady);
    let mut cold = noisy.clone();
    cold[..10].iter_mut().for_each(|value| *value /= 2.0);
    // The least error may lie a few batches behind the step, never before it.
    let found = steadiness(&cold);
    assert!(
        matches!(found, Steadiness::WarmingUp { seconds: 10..=30, share } if share > 0.15),
        "{found:?}"
    );
    let slow = |second: usize, share: f64| noisy[second] * (1.0 - share * second as f64);
    let falling: Vec<f64> = (0..40).map(|second| slow(second, 0.004)).collect();
    let found = steadiness(&falling);
    assert!(
        matches!(found, Steadiness::Drifting { share } | Steadiness::WarmingUp { share, .. } if share < -0.05 ),
        "{found:?}"
    );
    // Level at first: only the test for a trend can see it.
    let late: Vec<f64> = (0..40).map(|second| slow(second.max(15) - 15, 0.008)).collect();
    let found = steadiness(&late);
    assert!(matches!(found, Steadiness::Drifting { share } if share < -0.05), "{found:?}");
    assert_eq!(truncation(&[9.0, 1.0, 1.0, 1.0, 1.0, 1.0]), 1);
    assert_eq!(truncation(&[]), 0);
}
