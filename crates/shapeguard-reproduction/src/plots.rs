//! Plots as SVG: AUPRO over its limits (the paper's Figure 6) and the scores of good and defective scans (Figure 10).

use std::error::Error;

use plotters::prelude::*;
use shapeguard::evaluation::Channel;
use shapeguard_core::metrics::AUPRO_LIMITS;
use shapeguard_data::GOOD;

use crate::category::CategoryResult;
use crate::measures::{LIMIT_001, LIMIT_03};
use crate::published::PUBLISHED;
use crate::tables::mean_of;
use crate::variant::SHAPE_GUIDED;

/// Colours that people with colour blindness can tell apart (Okabe and Ito): RGB, SDF, fused, published.
const RGB: RGBColor = RGBColor(0, 114, 178);
/// See [`RGB`].
const SDF: RGBColor = RGBColor(213, 94, 0);
/// See [`RGB`].
const FUSED: RGBColor = RGBColor(0, 158, 115);
/// See [`RGB`].
const PUBLISHED_COLOUR: RGBColor = RGBColor(90, 90, 90);
/// Limits that the axis names; 0.07 has no room.
const LIMIT_TICKS: [f64; 6] = [0.01, 0.03, 0.05, 0.1, 0.2, 0.3];
/// Height of a category in the plot of scores, pixels.
const ROW_PX: u32 = 46;
/// Scores are shown from this share of the good scans' median to this multiple of it, at most.
const SCORE_RANGE: (f64, f64) = (1e-2, 1e4);

/// AUPRO with 100 thresholds, as published, at the seven limits: the means over the categories. `None` where it is not known.
pub(crate) fn aupro_limits(categories: &[CategoryResult]) -> Result<Option<String>, String> {
    let channels = [("RGB", Channel::Rgb, RGB), ("SDF", Channel::Sdf, SDF), ("fused", Channel::Fused, FUSED)];
    let mut lines = Vec::new();
    for (name, channel, colour) in channels {
        let area = |limit: usize| {
            mean_of(categories, &SHAPE_GUIDED, channel, |measures| measures.aupro_100.map(|areas| areas[limit]))
        };
        let Some(areas) = (0..AUPRO_LIMITS.len()).map(area).collect::<Option<Vec<f64>>>() else { return Ok(None) };
        lines.push((name, colour, areas));
    }
    let mut svg = String::new();
    draw_limits(&mut svg, &lines).map_err(|error| error.to_string())?;
    Ok(Some(svg))
}

fn draw_limits(svg: &mut String, lines: &[(&str, RGBColor, Vec<f64>)]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::with_string(svg, (640, 380)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(52)
        .build_cartesian_2d((0.009..0.33).log_scale().with_key_points(LIMIT_TICKS.into()), 0.0..1.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .x_desc("up to a false-positive rate of")
        .y_desc("AUPRO, 100 thresholds")
        .x_label_formatter(&|limit| format!("{limit}"))
        .draw()?;
    let published = [
        (AUPRO_LIMITS[LIMIT_03], PUBLISHED.guidance[1].aupro_03),
        (AUPRO_LIMITS[LIMIT_001], PUBLISHED.guidance[1].aupro_001),
    ];
    for (name, colour, areas) in lines {
        let points: Vec<(f64, f64)> = AUPRO_LIMITS.iter().copied().zip(areas.iter().copied()).collect();
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], colour.stroke_width(2)));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .draw_series(published.map(|point| TriangleMarker::new(point, 6, PUBLISHED_COLOUR.filled())))?
        .label("fused, published (MVTec 3D-AD)")
        .legend(|(x, y)| TriangleMarker::new((x + 10, y), 6, PUBLISHED_COLOUR.filled()));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(("sans-serif", 13))
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

/// The fused scores of all test scans, each category relative to the median of its good scans. `None` without a category
/// that has such a median.
pub(crate) fn scores(categories: &[CategoryResult]) -> Result<Option<String>, String> {
    let rows: Vec<(&str, Vec<(bool, f64)>)> = categories
        .iter()
        .filter_map(|category| {
            let mut good: Vec<f32> =
                category.scans.iter().filter(|scan| scan.kind == GOOD).map(|scan| scan.fused).collect();
            good.sort_by(f32::total_cmp);
            let median = f64::from(*good.get(good.len() / 2)?);
            let (low, high) = SCORE_RANGE;
            let relative = |score: f32| (f64::from(score) / median).clamp(low, high);
            let scans = category.scans.iter().map(|scan| (scan.kind == GOOD, relative(scan.fused))).collect();
            (median > 0.0).then_some((category.name.as_str(), scans))
        })
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let mut svg = String::new();
    draw_scores(&mut svg, &rows).map_err(|error| error.to_string())?;
    Ok(Some(svg))
}

fn draw_scores(svg: &mut String, rows: &[(&str, Vec<(bool, f64)>)]) -> Result<(), Box<dyn Error>> {
    let all = || rows.iter().flat_map(|(_, scans)| scans.iter().map(|(_, score)| *score));
    let (low, high) = (all().fold(f64::INFINITY, f64::min) / 1.3, all().fold(0.0, f64::max) * 1.3);
    let height = ROW_PX * rows.len() as u32 + 70;
    let root = SVGBackend::with_string(svg, (720, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let count = rows.len() as f64;
    let mut chart = ChartBuilder::on(&root)
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(110)
        .build_cartesian_2d((low..high).log_scale(), 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .x_desc("score, relative to the median of the category's good scans")
        .x_label_formatter(&|score| format!("{score}"))
        .draw()?;
    for (index, (name, scans)) in rows.iter().enumerate() {
        let middle = count - index as f64 - 0.5;
        let text = name.replace('_', " ");
        root.draw(&Text::new(text, (12, 14 + (ROW_PX * index as u32 + ROW_PX / 2) as i32 - 6), ("sans-serif", 14)))?;
        for (good, offset, colour) in [(true, 0.2, RGB), (false, -0.2, SDF)] {
            let points = scans.iter().filter(|(is_good, _)| *is_good == good);
            chart.draw_series(
                points.map(|(_, score)| Circle::new((*score, middle + offset), 3, colour.mix(0.6).filled())),
            )?;
        }
    }
    root.present()?;
    Ok(())
}
