//! A plot of costs over sizes, both on logarithmic axes, as an SVG file that needs no style sheet.

use std::fmt::Write;

/// Width and height.
const SIZE: (f64, f64) = (640.0, 400.0);
/// Room left of, below, right of and above the axes; right of them stand the series' names.
const MARGINS: [f64; 4] = [70.0, 50.0, 190.0, 20.0];
/// Colours that people with colour blindness can tell apart (Okabe and Ito).
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"];
/// Ticks of a decade.
const TICKS: [f64; 3] = [1.0, 2.0, 5.0];

/// A line of a plot.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it shows, with its unit.
    pub name: String,
    /// Positive values over positive sizes, by size.
    pub points: Vec<(f64, f64)>,
}

/// The plot. Points that are not positive numbers have no place on it and are left out.
pub fn log_log_svg(title: &str, x_label: &str, series: &[Series]) -> String {
    let is_shown = |(x, y): &&(f64, f64)| *x > 0.0 && *y > 0.0 && x.is_finite() && y.is_finite();
    let points = || series.iter().flat_map(|series| series.points.iter().filter(is_shown));
    let (width, height) = SIZE;
    let [left, below, right, above] = MARGINS;
    let x = Axis::of(points().map(|point| point.0), left, width - right);
    let y = Axis::of(points().map(|point| point.1), height - below, above);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"13\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escaped(title)
    );
    let mut line = |text: String| writeln!(svg, "{text}").expect("writing to a string cannot fail");
    let (bottom, end) = (height - below, width - right);
    for (value, at) in x.ticks() {
        line(format!("<path d=\"M{at:.1} {above}V{bottom}\" stroke=\"#ddd\"/>"));
        line(format!("<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>", bottom + 18.0));
    }
    for (value, at) in y.ticks() {
        line(format!("<path d=\"M{left} {at:.1}H{end}\" stroke=\"#ddd\"/>"));
        line(format!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>", left - 8.0, at + 4.0));
    }
    let middle = (left + end) / 2.0;
    line(format!(
        "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        height - 12.0,
        escaped(x_label)
    ));
    // Names stand beside the last points, apart from each other.
    let mut names: Vec<(f64, usize)> = Vec::new();
    for (index, series) in series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let places: Vec<(f64, f64)> =
            series.points.iter().filter(is_shown).map(|p| (x.place(p.0), y.place(p.1))).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        line(format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join(" ")));
        for (x, y) in &places {
            line(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"));
        }
        names.extend(places.last().map(|last| (last.1, index)));
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = f64::NEG_INFINITY;
    for (at, index) in names {
        let at = at.max(free);
        free = at + 17.0;
        let colour = COLOURS[index % COLOURS.len()];
        line(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            end + 10.0,
            at + 4.0,
            escaped(&series[index].name)
        ));
    }
    svg + "</svg>\n"
}

/// A logarithmic axis.
struct Axis {
    /// Decimal logarithms of its ends.
    range: (f64, f64),
    start: f64,
    end: f64,
}

impl Axis {
    /// From the largest tick below all values to the smallest above them.
    fn of(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (low, high) = values
            .map(f64::log10)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |range, v| (range.0.min(v), range.1.max(v)));
        if low > high {
            return Self { range: (0.0, 1.0), start, end };
        }
        let ticks = |decades: std::ops::RangeInclusive<i32>| {
            decades.flat_map(|decade| TICKS.map(|tick| f64::from(decade) + tick.log10())).collect::<Vec<_>>()
        };
        let all = ticks(low.floor() as i32 - 1..=high.ceil() as i32 + 1);
        let from = all.iter().copied().rfind(|tick| *tick < low + 1e-9).unwrap_or(low - 1.0);
        let to = all.iter().copied().find(|tick| *tick > high - 1e-9 && *tick > from + 1e-9).unwrap_or(high + 1.0);
        Self { range: (from, to), start, end }
    }

    fn place(&self, value: f64) -> f64 {
        self.start + (value.log10() - self.range.0) / (self.range.1 - self.range.0) * (self.end - self.start)
    }

    /// Values of the ticks and their places.
    fn ticks(&self) -> Vec<(String, f64)> {
        let decades = self.range.0.floor() as i32..=self.range.1.ceil() as i32;
        // Over many decades only the powers of ten.
        let steps: &[f64] = if self.range.1 - self.range.0 > 3.0 { &TICKS[..1] } else { &TICKS };
        let values = decades.flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
        let inside = |value: &f64| (self.range.0 - 1e-9..=self.range.1 + 1e-9).contains(&value.log10());
        values.filter(inside).map(|value| (short(value), self.place(value))).collect()
    }
}

fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_factors_are_equal_distances() {
        let axis = Axis::of([3.0, 900.0].into_iter(), 100.0, 400.0);
        // From the tick 2 to the tick 1000.
        assert!((axis.place(2.0) - 100.0).abs() < 1e-9 && (axis.place(1000.0) - 400.0).abs() < 1e-9);
        assert!((axis.place(40.0) - axis.place(20.0) - (axis.place(4.0) - axis.place(2.0))).abs() < 1e-9);
        let labels: Vec<String> = axis.ticks().into_iter().map(|tick| tick.0).collect();
        assert_eq!(labels, ["2", "5", "10", "20", "50", "100", "200", "500", "1000"]);
        let wide: Vec<String> =
            Axis::of([0.002, 90.0].into_iter(), 0.0, 1.0).ticks().into_iter().map(|t| t.0).collect();
        assert_eq!(wide, ["0.01", "0.1", "1", "10", "100"]);
    }

    #[test]
    fn every_series_is_drawn_and_named_and_nothing_breaks_on_odd_values() {
        let series = |name: &str, points: &[(f64, f64)]| Series { name: name.into(), points: points.to_vec() };
        let all = [
            series("fit <CPU s>", &[(10.0, 1.0), (100.0, 9.0)]),
            series("inspect", &[(10.0, 1.0), (100.0, 9.0), (0.0, 1.0), (10.0, f64::NAN)]),
        ];
        let svg = log_log_svg("growth", "good scans", &all);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("fit &lt;CPU s&gt;") && !svg.contains("NaN") && svg.ends_with("</svg>\n"), "{svg}");
        assert!(log_log_svg("empty", "x", &[]).contains("</svg>"));
    }
}
