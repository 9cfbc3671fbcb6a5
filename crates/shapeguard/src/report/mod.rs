//! The HTML report of an evaluation: one file that opens anywhere, with figures, curves and pictures.

mod plots;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;
use shapeguard_core::grid::{Grid, GridSize, Mask, RgbImage};
use shapeguard_core::seams::IMAGE_SIDE;
use shapeguard_data::{DataError, atomic_write, encode_rgb_png};

use crate::detector::{Detector, Inspection, Verdict};
use crate::evaluation::{Channel, Evaluation, GOOD, LabelledScan, ScanResult};
use crate::pictures::{heat_map, outline};
use crate::pipeline::truth_at_map_size;

/// Pictures shown per heading.
const PICTURES_PER_GROUP: usize = 6;
/// Colour of the ground truth's outline.
const TRUTH_COLOUR: [u8; 3] = [0, 230, 118];
/// White columns between the panels of a strip, pixels.
const GAP_PX: usize = 8;

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] DataError),
    /// The template or a plot failed: a bug.
    #[error("the report could not be rendered: {0}")]
    Render(String),
}

/// The picture of one scan: colour with the true defect's outline, then SDF, RGB and fused maps, side by side.
pub fn strip(labelled: &LabelledScan, inspection: &Inspection, good_peak: f32, detector: &Detector) -> RgbImage {
    let colour = inspection.sample.rgb.map(|pixel| pixel.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8));
    let truth = labelled.truth.as_ref().map(|truth| truth_at_map_size(truth, &inspection.sample));
    let colour = match &truth {
        Some(truth) => outline(colour, truth, TRUTH_COLOUR),
        None => colour,
    };
    let alignment = detector.alignment();
    let aligned = inspection.maps.appearance.map(|score| (alignment.a * score + alignment.b).max(0.0));
    let panels = [
        colour,
        heat_map(&inspection.maps.shape, good_peak),
        heat_map(&aligned, good_peak),
        heat_map(&inspection.maps.fused, good_peak),
    ];
    side_by_side(&panels)
}

fn side_by_side(panels: &[RgbImage]) -> RgbImage {
    let pitch = IMAGE_SIDE + GAP_PX;
    let size = GridSize::new(IMAGE_SIDE, pitch * panels.len() - GAP_PX);
    Grid::from_fn(size, |row, col| {
        let (panel, col) = (col / pitch, col % pitch);
        if col < IMAGE_SIDE { panels[panel][(row, col)] } else { [255; 3] }
    })
}

/// A scan's strip, encoded.
#[derive(Clone, Debug)]
pub struct StripPng(Vec<u8>);

impl StripPng {
    /// Encodes the strip of a scan.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn new(labelled: &LabelledScan, inspection: &Inspection, detector: &Detector) -> Result<Self, DataError> {
        Ok(Self(encode_rgb_png(&strip(labelled, inspection, detector.good_peak(), detector))?))
    }

    /// The PNG's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Serialize)]
struct Picture {
    name: String,
    kind: String,
    score: f32,
    p_value: f64,
    rejected: bool,
    png: String,
}

#[derive(Serialize)]
struct Group {
    title: &'static str,
    explanation: &'static str,
    pictures: Vec<Picture>,
}

/// Renders the report. `strips` holds one picture per scan of the evaluation, in its order.
///
/// # Errors
/// If a plot or the template fails.
pub fn render(evaluation: &Evaluation, strips: &[Option<StripPng>]) -> Result<String, ReportError> {
    let render = |e: minijinja::Error| ReportError::Render(format!("{e:#}"));
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    environment.add_filter("percent", |share: f64| format!("{:.1} %", share * 100.0));
    environment.add_filter("three", |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.3}")));
    environment.add_filter("short", |value: f64| short(value));
    environment.add_template("report.html", include_str!("report.html.jinja")).map_err(render)?;
    let template = environment.get_template("report.html").map_err(render)?;
    template
        .render(context! {
            e => Serde(evaluation),
            version => env!("CARGO_PKG_VERSION"),
            groups => Serde(groups(evaluation, strips)),
            pro_curves => plots::pro_curves(evaluation).map_err(ReportError::Render)?,
            histogram => plots::score_histogram(evaluation).map_err(ReportError::Render)?,
            good_scans => evaluation.scans.iter().filter(|s| s.kind == GOOD).count(),
            stages => Serde(stages(evaluation)),
        })
        .map_err(render)
}

/// Renders the report and writes it.
///
/// # Errors
/// As [`render`], or if the file exists and `overwrite` is off.
pub fn write(
    path: &Path,
    evaluation: &Evaluation,
    strips: &[Option<StripPng>],
    overwrite: bool,
) -> Result<(), ReportError> {
    let html = render(evaluation, strips)?;
    atomic_write(path, overwrite, |file| std::io::Write::write_all(file, html.as_bytes()))?;
    Ok(())
}

/// A number with about three significant digits.
fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (0.001..1000.0).contains(&magnitude) {
        let decimals = if magnitude >= 100.0 { 0 } else if magnitude >= 1.0 { 2 } else { 4 };
        format!("{value:.decimals$}")
    } else {
        format!("{value:.2e}")
    }
}

#[derive(Serialize)]
struct Stage {
    name: &'static str,
    milliseconds: f64,
}

fn stages(evaluation: &Evaluation) -> Vec<Stage> {
    let s = &evaluation.mean_stage_seconds;
    [
        ("Foreground", s.foreground),
        ("Resampling", s.resample),
        ("Patches", s.patches),
        ("Shape features", s.shape_features),
        ("Colour features", s.appearance_features),
        ("Scoring", s.scoring),
        ("Fusion", s.fusion),
    ]
    .map(|(name, seconds)| Stage { name, milliseconds: seconds * 1e3 })
    .into()
}

/// The scans worth looking at: what was missed, what good parts look like at their worst, what was found.
fn groups(evaluation: &Evaluation, strips: &[Option<StripPng>]) -> Vec<Group> {
    let mut defective: Vec<usize> = judged(evaluation, |scan| scan.kind != GOOD);
    let mut good: Vec<usize> = judged(evaluation, |scan| scan.kind == GOOD);
    let score = |i: &usize| evaluation.scans[*i].scores.map_or(0.0, |s| s.fused);
    defective.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
    good.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
    let clearest = defective.iter().take(PICTURES_PER_GROUP).copied().collect::<Vec<_>>();
    let weakest = defective
        .iter()
        .rev()
        .filter(|i| !clearest.contains(i))
        .take(PICTURES_PER_GROUP)
        .copied()
        .collect::<Vec<_>>();
    let worst_good = good.into_iter().take(PICTURES_PER_GROUP).collect::<Vec<_>>();
    let pictures = |chosen: &[usize]| {
        chosen.iter().filter_map(|i| picture(&evaluation.scans[*i], strips.get(*i)?.as_ref()?)).collect()
    };
    vec![
        Group {
            title: "Clearest detections",
            explanation: "The defective scans with the highest scores.",
            pictures: pictures(&clearest),
        },
        Group {
            title: "Weakest detections",
            explanation: "The defective scans with the lowest scores: what is missed first.",
            pictures: pictures(&weakest),
        },
        Group {
            title: "Good parts with the highest scores",
            explanation: "What would be rejected falsely first.",
            pictures: pictures(&worst_good),
        },
    ]
}

fn judged(evaluation: &Evaluation, keep: impl Fn(&ScanResult) -> bool) -> Vec<usize> {
    let scans = evaluation.scans.iter().enumerate();
    scans.filter(|(_, scan)| scan.scores.is_some() && keep(scan)).map(|(i, _)| i).collect()
}

fn picture(scan: &ScanResult, strip: &StripPng) -> Option<Picture> {
    let scores = scan.scores?;
    Some(Picture {
        name: scan.name.clone(),
        kind: scan.kind.clone(),
        score: scores.fused,
        p_value: scores.p_value,
        rejected: scan.verdict == Some(Verdict::Rejected),
        png: BASE64.encode(strip.as_bytes()),
    })
}

/// The mask of nothing, for callers that have no ground truth.
pub fn no_truth(size: GridSize) -> Mask {
    Mask::filled(size, false)
}

/// All channels, for templates and tables.
pub fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Rgb => "RGB",
        Channel::Sdf => "SDF",
        Channel::Fused => "Fused",
    }
}
