//! The HTML report of an evaluation: one file that opens anywhere, with figures, curves and pictures.

mod overview;
mod plots;
mod strips;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;
use shapeguard_data::{DataError, atomic_write};

use crate::detector::Verdict;
use crate::evaluation::{Channel, Evaluation, GOOD, ScanResult};
use crate::pictures::heat_colour;
pub use overview::{Overview, render_overview, write_overview};
use strips::STRIP_SIZE;
pub use strips::{MapScale, Panels, StripPng, panels, side_by_side, strip};

/// What stands where there is no figure.
const ABSENT: &str = "–";
/// Colours that the heat maps' scale is drawn with, less one.
const HEAT_STOPS: usize = 16;
/// Pictures shown per heading.
const PICTURES_PER_GROUP: usize = 6;

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] DataError),
    /// The template failed: a bug.
    #[error("the report could not be rendered: {0}")]
    Render(String),
}

#[derive(Serialize)]
struct Picture {
    name: String,
    kind: String,
    score: f32,
    p_value: f64,
    rejected: bool,
    png: String,
    width: usize,
    height: usize,
}

#[derive(Serialize)]
struct Group {
    title: &'static str,
    explanation: &'static str,
    pictures: Vec<Picture>,
}

#[derive(Serialize)]
struct Plot {
    title: String,
    explanation: &'static str,
    svg: String,
}

#[derive(Serialize)]
struct Stage {
    name: &'static str,
    milliseconds: f64,
    /// Of the longest stage.
    percent: f64,
}

/// How many scans of a class there are and what became of them.
#[derive(Serialize)]
struct Count {
    class: &'static str,
    judged: usize,
    rejected: usize,
    not_judged: usize,
}

/// Renders the report. `strips` holds one picture per scan of the evaluation, in its order.
///
/// # Errors
/// If the template fails.
pub fn render(evaluation: &Evaluation, strips: &[Option<StripPng>]) -> Result<String, ReportError> {
    let render = |e: minijinja::Error| ReportError::Render(format!("{e:#}"));
    let mut environment = environment();
    environment.add_template("report.html", include_str!("report.html.jinja")).map_err(render)?;
    let template = environment.get_template("report.html").map_err(render)?;
    template
        .render(context! {
            e => Serde(evaluation),
            version => env!("CARGO_PKG_VERSION"),
            counts => Serde([count(evaluation, "good"), count(evaluation, "defective")]),
            groups => Serde(groups(evaluation, strips)),
            plots => Serde(plots(evaluation)),
            stages => Serde(stages(evaluation)),
            heat => heat_gradient(),
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

/// What all pages are rendered with: names are escaped, figures have one form.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    let percent = |share: Option<f64>| share.map_or(ABSENT.to_owned(), |share| format!("{:.1} %", share * 100.0));
    environment.add_filter("percent", percent);
    let three = |value: Option<f64>| value.map_or(ABSENT.to_owned(), |value| format!("{value:.3}"));
    environment.add_filter("three", three);
    environment.add_filter("short", short);
    environment
}

/// A number with three significant digits.
fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        "0".to_owned()
    } else if (0.001..100_000.0).contains(&magnitude) {
        let decimals = (2 - magnitude.log10().floor() as i32).max(0) as usize;
        format!("{value:.decimals$}")
    } else {
        format!("{value:.2e}")
    }
}

/// The colours of the heat maps, as a gradient of the style sheet.
fn heat_gradient() -> String {
    let stops = (0..=HEAT_STOPS).map(|i| {
        let [red, green, blue] = heat_colour(i as f32 / HEAT_STOPS as f32);
        format!("#{red:02x}{green:02x}{blue:02x}")
    });
    format!("linear-gradient(to right, {})", stops.collect::<Vec<_>>().join(", "))
}

fn count(evaluation: &Evaluation, class: &'static str) -> Count {
    let all = evaluation.scans.iter().filter(|scan| (scan.kind == GOOD) == (class == GOOD)).count();
    let (rejected, judged) = evaluation.rejected(class == GOOD);
    Count { class, judged, rejected, not_judged: all - judged }
}

fn plots(evaluation: &Evaluation) -> Vec<Plot> {
    let mut all = vec![
        Plot {
            title: "Scores and threshold".into(),
            explanation: "The fused score decides: to the right of the threshold a scan is rejected.",
            svg: plots::score_histogram(evaluation, Channel::Fused),
        },
        Plot {
            title: "How much of each defect is found".into(),
            explanation: "Per-region overlap of the maps with the true defects, against the share of good pixels that are marked with them. Numbers: AUPRO 0.3.",
            svg: plots::pro_curves(evaluation),
        },
    ];
    let single = [
        (Channel::Sdf, "The shape expert alone: what depth shows."),
        (Channel::Rgb, "The appearance expert alone: what colour shows."),
    ];
    all.extend(single.map(|(channel, explanation)| Plot {
        title: format!("Scores of {}", channel_name(channel)),
        explanation,
        svg: plots::score_histogram(evaluation, channel),
    }));
    all.retain(|plot| !plot.svg.is_empty());
    all
}

fn stages(evaluation: &Evaluation) -> Vec<Stage> {
    let s = &evaluation.mean_stage_seconds;
    let all = [
        ("Foreground", s.foreground),
        ("Resampling", s.resample),
        ("Patches", s.patches),
        ("Shape features", s.shape_features),
        ("Colour features", s.appearance_features),
        ("Scoring", s.scoring),
        ("Fusion", s.fusion),
    ];
    let longest = all.iter().map(|(_, seconds)| *seconds).fold(f64::MIN_POSITIVE, f64::max);
    let stage = |(name, seconds)| Stage { name, milliseconds: seconds * 1e3, percent: 100.0 * seconds / longest };
    all.map(stage).into()
}

/// The scans worth looking at: what was missed, what good parts look like at their worst, what was found.
fn groups(evaluation: &Evaluation, strips: &[Option<StripPng>]) -> Vec<Group> {
    let mut defective: Vec<usize> = judged(evaluation, |scan| scan.kind != GOOD);
    let mut good: Vec<usize> = judged(evaluation, |scan| scan.kind == GOOD);
    let score = |i: &usize| evaluation.scans[*i].scores.map_or(0.0, |s| s.fused);
    defective.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
    good.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
    let clearest = defective.iter().take(PICTURES_PER_GROUP).copied().collect::<Vec<_>>();
    let weakest =
        defective.iter().rev().filter(|i| !clearest.contains(i)).take(PICTURES_PER_GROUP).copied().collect::<Vec<_>>();
    let worst_good = good.into_iter().take(PICTURES_PER_GROUP).collect::<Vec<_>>();
    let pictures = |chosen: &[usize]| {
        chosen.iter().filter_map(|i| picture(&evaluation.scans[*i], strips.get(*i)?.as_ref()?)).collect()
    };
    vec![
        Group {
            title: "Defects with the highest scores",
            explanation: "What is found most surely.",
            pictures: pictures(&clearest),
        },
        Group {
            title: "Defects with the lowest scores",
            explanation: "What is missed first.",
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
        width: STRIP_SIZE.cols,
        height: STRIP_SIZE.rows,
    })
}

/// What tables and plots call a channel.
pub fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Rgb => "RGB",
        Channel::Sdf => "SDF",
        Channel::Fused => "Fused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1.00"),
            (0.05, "0.0500"),
            (0.001_234, "0.00123"),
            (12.345, "12.3"),
            (-123.4, "-123"),
            (99_999.0, "99999"),
            (123_456.0, "1.23e5"),
            (0.000_012, "1.20e-5"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
