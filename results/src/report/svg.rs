//! A chart as an SVG document, for print and papers.

use std::fmt::Write as _;

use super::chart::{Axis, Chart, Series, Unit};
use crate::check::escaped;

/// Colors that people with any color vision tell apart (Okabe and Ito, *Color Universal Design*).
pub const COLORS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8c6d1f"];

/// Strokes, so that series are told apart without color as well.
const DASHES: [&str; 4] = ["none", "7 3", "2 3", "9 3 2 3"];

pub(super) const WIDTH: f64 = 720.0;
const PLOT_HEIGHT: f64 = 320.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const AXIS_HEIGHT: f64 = 46.0;
const LEGEND_LINE: f64 = 18.0;
const TICKS: u32 = 5;
/// Points that are also drawn as dots, at most, in one series.
const DOTS_MAX: usize = 40;

/// The beginning of a document of this height, in the color of the text around it.
pub(super) fn begin(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"currentColor\">\n\
         <title>{}</title>\n",
        escaped(title)
    )
}

/// Draws the chart as a document of its own. Text has the color of what is around it.
#[must_use]
pub fn draw(chart: &Chart) -> String {
    let points = || chart.series.iter().flat_map(|series| series.points.iter().copied());
    let x = Scale::new(points().map(|(x, _)| x), &chart.x, (LEFT, WIDTH - RIGHT));
    let y = Scale::new(points().map(|(_, y)| y), &chart.y, (TOP + PLOT_HEIGHT, TOP));
    let height = TOP + PLOT_HEIGHT + AXIS_HEIGHT + LEGEND_LINE * chart.series.len() as f64;
    let mut svg = begin(height, &chart.title);
    draw_axes(&mut svg, chart, &x, &y);
    for mark in chart.marks.iter().filter(|mark| x.holds(mark.x)) {
        let at = x.place(mark.x);
        let bottom = TOP + PLOT_HEIGHT;
        let _infallible = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#c00000\" \
             stroke-dasharray=\"3 3\"><title>{}</title></line>",
            escaped(&mark.label)
        );
    }
    for (number, series) in chart.series.iter().enumerate() {
        draw_series(&mut svg, series, number, &x, &y);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_axes(svg: &mut String, chart: &Chart, x: &Scale, y: &Scale) {
    let (right, bottom) = (WIDTH - RIGHT, TOP + PLOT_HEIGHT);
    for tick in y.ticks() {
        let at = y.place(tick);
        let _infallible = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"currentColor\" \
             stroke-opacity=\"0.15\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            chart.y.unit.words(tick)
        );
    }
    for tick in x.ticks() {
        let at = x.place(tick);
        let _infallible = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom}\" y2=\"{:.1}\" stroke=\"currentColor\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 4.0,
            bottom + 18.0,
            chart.x.unit.words(tick)
        );
    }
    let middle = f64::midpoint(LEFT, right);
    let _infallible = writeln!(
        svg,
        "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\" stroke=\"currentColor\"/>\
         <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        bottom + 34.0,
        escaped(&chart.x.label),
        TOP + PLOT_HEIGHT / 2.0,
        escaped(&chart.y.label),
    );
}

fn draw_series(svg: &mut String, series: &Series, number: usize, x: &Scale, y: &Scale) {
    let color = COLORS[number % COLORS.len()];
    let dash = DASHES[number / COLORS.len() % DASHES.len()];
    let mut path = String::new();
    for (index, &(at_x, at_y)) in series.points.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        let _infallible = write!(path, "{letter}{:.1} {:.1}", x.place(at_x), y.place(at_y));
    }
    let _infallible = writeln!(
        svg,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" \
         stroke-dasharray=\"{dash}\"/>"
    );
    if series.points.len() <= DOTS_MAX {
        for &(at_x, at_y) in &series.points {
            let (at_x, at_y) = (x.place(at_x), y.place(at_y));
            let _infallible = writeln!(
                svg,
                "<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"3\" fill=\"{color}\"/>"
            );
        }
    }
    let at = TOP + PLOT_HEIGHT + AXIS_HEIGHT + LEGEND_LINE * number as f64;
    let _infallible = writeln!(
        svg,
        "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at}\" y2=\"{at}\" stroke=\"{color}\" \
         stroke-width=\"2\" stroke-dasharray=\"{dash}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        LEFT + 26.0,
        LEFT + 32.0,
        at + 4.0,
        escaped(&series.name)
    );
}

/// From the numbers of an axis to places on the picture.
struct Scale {
    from: f64,
    to: f64,
    is_log: bool,
    unit: Unit,
    places: (f64, f64),
}

impl Scale {
    fn new(numbers: impl Iterator<Item = f64> + Clone, axis: &Axis, places: (f64, f64)) -> Self {
        let least = numbers.clone().fold(f64::INFINITY, f64::min);
        let most = numbers.fold(f64::NEG_INFINITY, f64::max);
        let (mut from, mut to) = if least <= most { (least, most) } else { (1.0, 10.0) };
        if axis.is_log {
            if to / from < 1.5 {
                (from, to) = (from / 2.0, to * 2.0);
            }
        } else {
            // Bars and lines tell the truth from zero on only.
            from = from.min(0.0);
            to = if to > from { to + (to - from) * 0.05 } else { from + 1.0 };
        }
        Self { from, to, is_log: axis.is_log, unit: axis.unit, places }
    }

    fn holds(&self, number: f64) -> bool {
        (self.from..=self.to).contains(&number)
    }

    fn place(&self, number: f64) -> f64 {
        let share = if self.is_log {
            (number / self.from).ln() / (self.to / self.from).ln()
        } else {
            (number - self.from) / (self.to - self.from)
        };
        self.places.0 + (self.places.1 - self.places.0) * share
    }

    fn ticks(&self) -> Vec<f64> {
        if self.is_log { self.ticks_by_factors() } else { self.ticks_by_steps() }
    }

    /// Powers of ten, with what is between if there are few.
    fn ticks_by_factors(&self) -> Vec<f64> {
        let powers = || (-3..16).map(|power| 10_f64.powi(power));
        let steps: &[f64] = match powers().filter(|&tick| self.holds(tick)).count() {
            0..=2 if self.unit != Unit::Quantile => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let all = powers().flat_map(|power| steps.iter().map(move |step| power * step));
        all.filter(|&tick| self.holds(tick)).collect()
    }

    /// Multiples of 1, 2 or 5 times a power of ten.
    fn ticks_by_steps(&self) -> Vec<f64> {
        let rough = (self.to - self.from) / f64::from(TICKS);
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
        let step = step.into_iter().find(|&step| step >= rough).unwrap_or(rough);
        let first = (self.from / step).ceil();
        let ticks = (0..=2 * TICKS).map(|number| (first + f64::from(number)) * step);
        ticks.take_while(|&tick| tick <= self.to).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(unit: Unit, is_log: bool) -> Axis {
        Axis { label: "a < b".to_owned(), unit, is_log }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let linear = Scale::new([0.0, 47.0].into_iter(), &axis(Unit::Plain, false), (0.0, 1.0));
        assert_eq!(linear.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        let log = Scale::new([3.0, 40_000.0].into_iter(), &axis(Unit::Plain, true), (0.0, 1.0));
        assert_eq!(log.ticks(), [10.0, 100.0, 1_000.0, 10_000.0]);
        assert!((log.place(3.0), log.place(40_000.0)) == (0.0, 1.0));
        let near = Scale::new([7.0, 7.0].into_iter(), &axis(Unit::Plain, true), (0.0, 1.0));
        assert!(near.ticks().len() >= 2, "{:?}", near.ticks());
    }

    #[test]
    fn a_drawing_names_everything_and_escapes_it() {
        let chart = Chart {
            id: "id".to_owned(),
            title: "A & B".to_owned(),
            note: String::new(),
            x: axis(Unit::Seconds, false),
            y: axis(Unit::Nanoseconds, true),
            series: vec![Series { name: "<abd>".to_owned(), points: vec![(0.0, 1e3), (1.0, 1e6)] }],
            marks: vec![super::super::chart::Mark { x: 0.5, label: "kill 0".to_owned() }],
        };
        let svg = draw(&chart);
        for part in ["A &amp; B", "&lt;abd&gt;", "a &lt; b", "kill 0", "1.00 us", "1.00 ms"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(!svg.contains("NaN"));
    }
}
