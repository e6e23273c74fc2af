//! What a chart is: series of points over one axis, with marks.

use serde_json::{Value, json};

use crate::units;

/// How numbers of an axis are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number with three digits.
    Plain,
    /// Nanoseconds, in the unit that fits.
    Nanoseconds,
    /// Seconds.
    Seconds,
    /// `1 / (1 - q)` of a quantile `q`, written as a percentile.
    Quantile,
}

impl Unit {
    /// A number as people read it.
    #[must_use]
    pub fn words(self, number: f64) -> String {
        match self {
            Self::Plain => units::count(number),
            Self::Nanoseconds => units::nanoseconds(number),
            Self::Seconds => format!("{} s", units::figure(number)),
            Self::Quantile => percentile(number),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Nanoseconds => "nanoseconds",
            Self::Seconds => "seconds",
            Self::Quantile => "quantile",
        }
    }
}

/// `99.9 %` of 1000.
fn percentile(inverse: f64) -> String {
    let percent = 100.0 - 100.0 / inverse.max(1.0);
    // As many digits as tell it from 100.
    let digits = (inverse.log10().ceil() - 2.0).clamp(0.0, 9.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 9")]
    let digits = digits as usize;
    format!("{percent:.digits$} %")
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it shows.
    pub label: String,
    /// How its numbers are written.
    pub unit: Unit,
    /// Whether its scale is logarithmic. Numbers that are not positive have no place there.
    pub is_log: bool,
}

/// A named series of points, by rising x.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

/// A moment worth noting on the x axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where.
    pub x: f64,
    /// What.
    pub label: String,
}

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// A name for links and files, of letters, digits and hyphens.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// How to read it, in a sentence.
    pub note: String,
    /// The x axis.
    pub x: Axis,
    /// The y axis.
    pub y: Axis,
    /// What is drawn.
    pub series: Vec<Series>,
    /// What is noted.
    pub marks: Vec<Mark>,
}

/// Points of a series at most: more than a screen is wide shows nothing.
const POINTS_MAX: usize = 2000;

impl Chart {
    /// The chart without points that have no place on its scales, and with no more than can be seen.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        let fits = |value: f64, axis: &Axis| value.is_finite() && (!axis.is_log || value > 0.0);
        for series in &mut self.series {
            series.points.retain(|&(x, y)| fits(x, &self.x) && fits(y, &self.y));
            series.points.sort_by(|one, other| one.0.total_cmp(&other.0));
            thin(&mut series.points);
        }
        self.series.retain(|series| !series.points.is_empty());
        self
    }

    /// The chart for a script.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let axis = |axis: &Axis| json!({ "label": axis.label, "unit": axis.unit.name(), "log": axis.is_log });
        let series = self.series.iter().map(|series| {
            let (x, y): (Vec<f64>, Vec<f64>) = series.points.iter().copied().unzip();
            json!({ "name": series.name, "x": x, "y": y })
        });
        let marks = self.marks.iter().map(|mark| json!({ "x": mark.x, "label": mark.label }));
        json!({
            "id": self.id,
            "x": axis(&self.x),
            "y": axis(&self.y),
            "series": series.collect::<Vec<_>>(),
            "marks": marks.collect::<Vec<_>>(),
        })
    }
}

/// Keeps the least and the most of each stretch, so that no peak is lost.
fn thin(points: &mut Vec<(f64, f64)>) {
    if points.len() <= POINTS_MAX {
        return;
    }
    let stretch = points.len().div_ceil(POINTS_MAX / 2);
    let extremes = |stretch: &[(f64, f64)]| {
        let by_y = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
        let mut both: Vec<(f64, f64)> = stretch
            .iter()
            .min_by(by_y)
            .into_iter()
            .chain(stretch.iter().max_by(by_y))
            .copied()
            .collect();
        both.sort_by(|one, other| one.0.total_cmp(&other.0));
        both.dedup();
        both
    };
    *points = points.chunks(stretch).flat_map(extremes).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_the_digits_that_tell_them_apart() {
        for (inverse, words) in [
            (1.0, "0 %"),
            (2.0, "50 %"),
            (10.0, "90 %"),
            (100.0, "99 %"),
            (1e3, "99.9 %"),
            (1e5, "99.999 %"),
        ] {
            assert_eq!(Unit::Quantile.words(inverse), words);
        }
    }

    #[test]
    fn what_has_no_place_is_left_out_and_peaks_stay() {
        let axis = |is_log| Axis { label: String::new(), unit: Unit::Plain, is_log };
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|x| (f64::from(x), 1.0)).collect();
        points[777].1 = 9.0;
        points[778].1 = 0.0;
        let chart = Chart {
            id: String::new(),
            title: String::new(),
            note: String::new(),
            x: axis(false),
            y: axis(true),
            series: vec![
                Series { name: "a".to_owned(), points },
                Series { name: "b".to_owned(), points: vec![(1.0, -1.0), (2.0, f64::NAN)] },
            ],
            marks: Vec::new(),
        };
        let chart = chart.cleaned();
        assert_eq!(chart.series.len(), 1);
        let points = &chart.series[0].points;
        assert!(points.len() <= POINTS_MAX && points.contains(&(777.0, 9.0)));
        assert!(points.iter().all(|&(_, y)| y > 0.0));
    }
}
