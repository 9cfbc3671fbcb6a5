//! The report's plots, as SVG text. Colours and fonts come from the page's style sheet, so that plots follow it into the
//! dark and onto paper.

use std::fmt::Write;

use super::short;
use crate::evaluation::{Channel, Evaluation, GOOD};
use crate::report::channel_name;

/// Width and height of a plot, in the plot's own units.
const PLOT_SIZE: (f64, f64) = (560.0, 330.0);
/// Room for the labels left of, below, right of and above the axes.
const MARGINS: [f64; 4] = [54.0, 46.0, 18.0, 16.0];
/// The PRO curves are shown up to this false-positive rate, AUPRO's largest limit.
const PRO_FPR_LIMIT: f64 = 0.3;
/// Position of that limit in [`Evaluation::aupro_limits`].
const PRO_LIMIT_INDEX: usize = 0;
/// Number of bars of a histogram.
const BINS: usize = 30;
/// Scores that differ by more than this factor are shown on a logarithmic axis.
const LOGARITHMIC_FROM: f64 = 30.0;
/// Largest number of labels along the axis of a histogram.
const MAX_SCORE_TICKS: usize = 7;

/// The axes of a plot: where a value lies on the page.
struct Frame {
    x: (f64, f64),
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn new(x: (f64, f64)) -> Self {
        let [left, below, right, above] = MARGINS;
        Self { x, left, right: PLOT_SIZE.0 - right, top: above, bottom: PLOT_SIZE.1 - below }
    }

    fn x(&self, value: f64) -> f64 {
        self.left + (value - self.x.0) / (self.x.1 - self.x.0) * (self.right - self.left)
    }

    /// The label below the axis.
    fn x_label(&self, svg: &mut String, text: &str) {
        let (x, y) = ((self.left + self.right) / 2.0, PLOT_SIZE.1 - 8.0);
        line(svg, format_args!("<text class=\"axis\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>"));
    }

    fn x_tick(&self, svg: &mut String, value: f64, text: &str) {
        let (x, y) = (self.x(value), self.bottom);
        line(svg, format_args!("<path class=\"frame\" d=\"M{x:.1} {y:.1}v5\"/>"));
        let below = y + 19.0;
        line(
            svg,
            format_args!("<text class=\"tick\" x=\"{x:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{text}</text>"),
        );
    }

    /// A label that reads upwards beside the axis, centred at a height.
    fn y_label(&self, svg: &mut String, y: f64, text: &str) {
        line(
            svg,
            format_args!(
                "<text class=\"axis\" transform=\"translate(13 {y:.1}) rotate(-90)\" text-anchor=\"middle\">{text}</text>"
            ),
        );
    }

    fn y_tick(&self, svg: &mut String, y: f64, text: &str) {
        let (left, right) = (self.left, self.right);
        line(svg, format_args!("<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>"));
        let (x, y) = (left - 8.0, y + 4.0);
        line(svg, format_args!("<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>"));
    }
}

fn line(svg: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(svg, "{text}").expect("writing to a string cannot fail");
}

/// A plot that screen readers read as the text.
fn open(text: &str) -> String {
    let (width, height) = PLOT_SIZE;
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{text}\">\n")
}

/// The style sheet's name for a channel's colour.
fn class(channel: Channel) -> &'static str {
    match channel {
        Channel::Rgb => "rgb",
        Channel::Sdf => "sdf",
        Channel::Fused => "fused",
    }
}

/// PRO curves of the three channels up to a false-positive rate of 0.3. Empty without ground truth.
pub(super) fn pro_curves(evaluation: &Evaluation) -> String {
    let curves: Vec<_> =
        evaluation.all.channels.iter().filter_map(|c| c.pixels.as_ref().map(|pixels| (c.channel, pixels))).collect();
    if curves.is_empty() {
        return String::new();
    }
    let named = |(channel, pixels): &(Channel, &crate::evaluation::PixelFigures)| {
        format!("{} {:.3}", channel_name(*channel), pixels.aupro[PRO_LIMIT_INDEX])
    };
    let areas: Vec<String> = curves.iter().map(named).collect();
    let mut svg = open(&format!("Per-region overlap curves; AUPRO up to {PRO_FPR_LIMIT}: {}", areas.join(", ")));
    let frame = Frame::new((0.0, PRO_FPR_LIMIT));
    let y = |share: f64| frame.bottom + share.clamp(0.0, 1.0) * (frame.top - frame.bottom);
    for tick in 0..=5 {
        let share = f64::from(tick) * 0.2;
        frame.y_tick(&mut svg, y(share), &format!("{share:.1}"));
    }
    for tick in 0..=6 {
        let rate = f64::from(tick) * 0.05;
        frame.x_tick(&mut svg, rate, &format!("{rate:.2}"));
    }
    frame.x_label(&mut svg, "false-positive rate of good pixels");
    frame.y_label(&mut svg, (frame.top + frame.bottom) / 2.0, "mean overlap of defect regions");
    for (channel, pixels) in &curves {
        let points: Vec<String> = up_to(PRO_FPR_LIMIT, &pixels.curve_fpr, &pixels.curve_pro)
            .iter()
            .map(|(fpr, pro)| format!("{:.1} {:.1}", frame.x(*fpr), y(*pro)))
            .collect();
        let class = class(*channel);
        line(&mut svg, format_args!("<path class=\"curve {class}\" d=\"M{}\"/>", points.join("L")));
    }
    // The legend lies where no good curve comes: at the lower right.
    for (row, (area, (channel, _))) in areas.iter().zip(&curves).enumerate() {
        let (x, y) = (frame.right - 130.0, frame.bottom - 22.0 * (curves.len() - row) as f64 + 6.0);
        let class = class(*channel);
        line(&mut svg, format_args!("<path class=\"curve {class}\" d=\"M{x:.1} {y:.1}h24\"/>"));
        let (x, y) = (x + 32.0, y + 4.5);
        line(&mut svg, format_args!("<text class=\"legend\" x=\"{x:.1}\" y=\"{y:.1}\">{area}</text>"));
    }
    svg + "</svg>"
}

/// The points of a curve up to a limit, where it is cut between two points.
fn up_to(limit: f64, x: &[f64], y: &[f64]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (x, y) in x.iter().copied().zip(y.iter().copied()) {
        if x > limit {
            if let Some((x0, y0)) = points.last().copied() {
                points.push((limit, y0 + (y - y0) * (limit - x0) / (x - x0)));
            }
            break;
        }
        points.push((x, y));
    }
    points
}

/// Where scores are put along an axis.
struct ScoreAxis {
    is_logarithmic: bool,
    /// Ends, in scores or their logarithms.
    ends: (f64, f64),
}

impl ScoreAxis {
    /// An axis for these scores, of which there is at least one.
    fn new(scores: impl Iterator<Item = f64> + Clone) -> Self {
        let low = scores.clone().fold(f64::INFINITY, f64::min);
        let high = scores.fold(f64::NEG_INFINITY, f64::max);
        let is_logarithmic = low > 0.0 && high / low > LOGARITHMIC_FROM;
        let (low, high) = if is_logarithmic { (low.log10(), high.log10()) } else { (low, high) };
        let margin = if high > low { (high - low) * 0.04 } else { (high.abs() * 0.1).max(1e-6) };
        let low_end = if !is_logarithmic && low >= 0.0 { (low - margin).max(0.0) } else { low - margin };
        Self { is_logarithmic, ends: (low_end, high + margin) }
    }

    fn position(&self, score: f64) -> f64 {
        if self.is_logarithmic { score.log10() } else { score }
    }

    fn score(&self, position: f64) -> f64 {
        if self.is_logarithmic { 10f64.powf(position) } else { position }
    }

    /// Round scores along the axis.
    fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.ends;
        if self.is_logarithmic {
            let decades = low.floor() as i32..=high.floor() as i32;
            // As many of 1, 2 and 5 in each decade as there is room for.
            for steps in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]] {
                let all = decades.clone().flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
                let inside: Vec<f64> = all.filter(|score| (low..=high).contains(&score.log10())).collect();
                if inside.len() <= MAX_SCORE_TICKS || steps.len() == 1 {
                    return inside.iter().step_by(inside.len().div_ceil(MAX_SCORE_TICKS).max(1)).copied().collect();
                }
            }
        }
        let rough = (high - low) / (MAX_SCORE_TICKS - 1) as f64;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * decade);
        let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

/// A round number without the zeros that only tell its precision.
fn tick_text(value: f64) -> String {
    let text = short(value);
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Scores of one channel: good scans above, defective ones below, on one axis; for the fused channel with the
/// threshold. Empty without a judged scan.
pub(super) fn score_histogram(evaluation: &Evaluation, channel: Channel) -> String {
    let score_of = |scores: &crate::evaluation::ScanScores| match channel {
        Channel::Rgb => scores.rgb,
        Channel::Sdf => scores.sdf,
        Channel::Fused => scores.fused,
    };
    let scores: Vec<(bool, f64)> = evaluation
        .scans
        .iter()
        .filter_map(|scan| scan.scores.as_ref().map(|scores| (scan.kind == GOOD, f64::from(score_of(scores)))))
        .filter(|(_, score)| score.is_finite())
        .collect();
    if scores.is_empty() {
        return String::new();
    }
    let threshold = (channel == Channel::Fused).then_some(f64::from(evaluation.threshold)).filter(|t| t.is_finite());
    let axis = ScoreAxis::new(scores.iter().map(|(_, score)| *score).chain(threshold));
    let frame = Frame::new(axis.ends);
    let width = (axis.ends.1 - axis.ends.0) / BINS as f64;
    let mut bins = [[0usize; BINS]; 2];
    for (good, score) in &scores {
        let bin = ((axis.position(*score) - axis.ends.0) / width) as usize;
        bins[usize::from(!good)][bin.min(BINS - 1)] += 1;
    }
    let name = channel_name(channel);
    let mut svg = open(&format!("Histogram of {name} scores of good and of defective scans"));
    let gap = 26.0;
    let height = (frame.bottom - frame.top - gap) / 2.0;
    for (row, (label, counts)) in ["good", "defective"].into_iter().zip(&bins).enumerate() {
        let base = frame.top + height + row as f64 * (height + gap);
        let tallest = counts.iter().copied().max().unwrap_or(0).max(1);
        frame.y_tick(&mut svg, base - height, &tallest.to_string());
        frame.y_tick(&mut svg, base, "0");
        frame.y_label(&mut svg, base - height / 2.0, label);
        for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let from = axis.ends.0 + bin as f64 * width;
            let (x, right) = (frame.x(from) + 0.5, frame.x(from + width) - 0.5);
            let tall = height * *count as f64 / tallest as f64;
            let (low, high) = (short(axis.score(from)), short(axis.score(from + width)));
            line(
                &mut svg,
                format_args!(
                    "<rect class=\"{label}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"><title>{count} {label}, score {low} to {high}</title></rect>",
                    base - tall,
                    right - x
                ),
            );
        }
    }
    for tick in axis.ticks() {
        frame.x_tick(&mut svg, axis.position(tick), &tick_text(tick));
    }
    let scale = if axis.is_logarithmic { " (logarithmic)" } else { "" };
    frame.x_label(&mut svg, &format!("{name} score{scale}"));
    if let Some(threshold) = threshold {
        let x = frame.x(axis.position(threshold));
        let (top, bottom) = (frame.top, frame.bottom);
        line(&mut svg, format_args!("<path class=\"threshold\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>"));
        let middle = frame.top + height + gap / 2.0 + 4.0;
        // On the side where there is room.
        let (x, anchor) = if x > PLOT_SIZE.0 / 2.0 { (x - 6.0, "end") } else { (x + 6.0, "start") };
        let text = format!("threshold {}", short(threshold));
        line(
            &mut svg,
            format_args!(
                "<text class=\"legend\" x=\"{x:.1}\" y=\"{middle:.1}\" text-anchor=\"{anchor}\">{text}</text>"
            ),
        );
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_cut_at_the_limit() {
        let points = up_to(0.25, &[0.0, 0.125, 0.375], &[0.0, 0.5, 1.0]);
        assert_eq!(points, [(0.0, 0.0), (0.125, 0.5), (0.25, 0.75)]);
        assert_eq!(up_to(0.3, &[0.0, 0.3], &[0.0, 1.0]), [(0.0, 0.0), (0.3, 1.0)]);
    }

    #[test]
    fn score_axes_have_a_few_round_ticks_wherever_the_scores_lie() {
        let ticks = |scores: &[f64]| {
            let ticks = ScoreAxis::new(scores.iter().copied()).ticks();
            ticks.into_iter().map(tick_text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ticks(&[0.0, 1.0]), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(ticks(&[1.3, 1.9, 29.0]), "5 10 15 20 25 30");
        assert_eq!(ticks(&[0.01, 9.0]), "0.01 0.03 0.1 0.3 1 3 10");
        assert_eq!(ticks(&[1e-9, 1e9]).split(' ').count(), 7);
        // All alike, all zero, and what only a broken expert gives.
        for scores in [&[2.0, 2.0][..], &[0.0], &[-1.0, 1.0], &[1e-30, 2e-30], &[1e30, 3e38]] {
            let axis = ScoreAxis::new(scores.iter().copied());
            assert!(axis.ends.0 < axis.ends.1 && axis.ticks().len() <= 1 + MAX_SCORE_TICKS, "{scores:?}");
            assert!(scores.iter().all(|s| (axis.ends.0..=axis.ends.1).contains(&axis.position(*s))), "{scores:?}");
        }
    }
}
