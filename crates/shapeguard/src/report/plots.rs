//! The report's plots, as SVG text.

use plotters::prelude::*;

use crate::evaluation::{Evaluation, GOOD};
use crate::report::channel_name;

/// Width and height of a plot, pixels.
const PLOT_SIZE: (u32, u32) = (560, 340);
/// Colours of RGB, SDF and fused; distinguishable to colour-blind eyes (Okabe and Ito).
const CHANNEL_COLOURS: [RGBColor; 3] = [RGBColor(230, 159, 0), RGBColor(86, 180, 233), RGBColor(0, 114, 178)];
/// Colours of good and defective scans.
const GOOD_COLOUR: RGBColor = RGBColor(0, 158, 115);
const DEFECT_COLOUR: RGBColor = RGBColor(213, 94, 0);
/// The PRO curves are shown up to this false-positive rate, AUPRO's largest limit.
const PRO_FPR_LIMIT: f64 = 0.3;
/// Number of bars of the histogram.
const BINS: usize = 30;

/// PRO curves of the three channels up to a false-positive rate of 0.3. Empty without ground truth.
pub(super) fn pro_curves(evaluation: &Evaluation) -> Result<String, String> {
    let curves: Vec<_> =
        evaluation.all.channels.iter().filter_map(|c| c.pixels.as_ref().map(|pixels| (c.channel, pixels))).collect();
    if curves.is_empty() {
        return Ok(String::new());
    }
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, PLOT_SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..PRO_FPR_LIMIT, 0.0..1.0)
            .map_err(|e| e.to_string())?;
        chart
            .configure_mesh()
            .x_desc("false-positive rate of good pixels")
            .y_desc("mean overlap of defect regions")
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(|e| e.to_string())?;
        for ((channel, pixels), colour) in curves.into_iter().zip(CHANNEL_COLOURS) {
            let points = pixels.curve_fpr.iter().copied().zip(pixels.curve_pro.iter().copied());
            let shown: Vec<_> = points.take_while(|(fpr, _)| *fpr <= PRO_FPR_LIMIT).collect();
            chart
                .draw_series(LineSeries::new(shown, colour.stroke_width(2)))
                .map_err(|e| e.to_string())?
                .label(channel_name(channel))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(|e| e.to_string())?;
        root.present().map_err(|e| e.to_string())?;
    }
    Ok(svg)
}

/// Fused scores of good and defective scans on a logarithmic axis, with the threshold.
pub(super) fn score_histogram(evaluation: &Evaluation) -> Result<String, String> {
    let scores: Vec<(bool, f64)> = evaluation
        .scans
        .iter()
        .filter_map(|scan| scan.scores.map(|s| (scan.kind == GOOD, f64::from(s.fused).max(f64::MIN_POSITIVE).log10())))
        .collect();
    if scores.is_empty() {
        return Ok(String::new());
    }
    let threshold = f64::from(evaluation.threshold).max(f64::MIN_POSITIVE).log10();
    let low = scores.iter().map(|s| s.1).fold(threshold, f64::min);
    let high = scores.iter().map(|s| s.1).fold(threshold, f64::max);
    let margin = ((high - low) * 0.04).max(0.01);
    let (low, high) = (low - margin, high + margin);
    let width = (high - low) / BINS as f64;
    let mut bins = [[0usize; 2]; BINS];
    for (good, score) in &scores {
        let bin = (((score - low) / width) as usize).min(BINS - 1);
        bins[bin][usize::from(!good)] += 1;
    }
    let tallest = bins.iter().flatten().copied().max().unwrap_or(1);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, PLOT_SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(low..high, 0.0..(tallest as f64 * 1.1))
            .map_err(|e| e.to_string())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc("fused score (logarithmic)")
            .y_desc("scans")
            .x_label_formatter(&|x| super::short(10f64.powf(*x)))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(|e| e.to_string())?;
        for (class, (label, colour)) in [("good", GOOD_COLOUR), ("defective", DEFECT_COLOUR)].into_iter().enumerate() {
            let bars = bins.iter().enumerate().filter(|(_, counts)| counts[class] > 0).map(|(bin, counts)| {
                let left = low + bin as f64 * width;
                Rectangle::new([(left, 0.0), (left + width, counts[class] as f64)], colour.mix(0.55).filled())
            });
            chart
                .draw_series(bars)
                .map_err(|e| e.to_string())?
                .label(label)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], colour.mix(0.55).filled()));
        }
        chart
            .draw_series(LineSeries::new([(threshold, 0.0), (threshold, tallest as f64 * 1.1)], BLACK.stroke_width(2)))
            .map_err(|e| e.to_string())?
            .label("threshold")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK.stroke_width(2)));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(|e| e.to_string())?;
        root.present().map_err(|e| e.to_string())?;
    }
    Ok(svg)
}
