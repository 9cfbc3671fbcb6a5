//! What each of the reference's deviations is worth on a simulated suite (docs/results.md).
//!
//! `cargo run --release -p shapeguard --example suite_quirks -- [SUITE] [CATEGORY...] [--seed N]`. The first line is the preset
//! `paper` with the compact shape expert; each further one has one deviation more than that line, the last two have all, one
//! of them with ground truth as it is. In brackets is the difference to the first line. Every category is simulated once.
//!
//! Ground truth has the values that the suite's files have, one for each kind of defect, 20 to 220: with `truth_above_half` those of
//! six kinds are empty.

#![allow(clippy::print_stdout, reason = "the table is the result")]

mod suite;

use std::error::Error;

use shapeguard::evaluation::{ChannelMetrics, Evaluation, PixelFigures, mean};
use shapeguard::presets;
use shapeguard_core::settings::{ReferenceQuirks, Settings};

use suite::{LIMITS, sweep};

/// The deviations that are settings of other groups.
const OTHERS: [&str; 2] = ["foreground.mask_colour_without_depth=false", "patches.full_coverage=false"];

fn main() -> Result<(), Box<dyn Error>> {
    let lines = lines()?;
    let settings: Vec<Settings> = lines.iter().map(|(_, settings)| settings.clone()).collect();
    let figures: Vec<[f64; 5]> = sweep(&settings)?.iter().map(|evaluations| means(evaluations)).collect();
    println!(
        "| deviation | I-AUROC | P-AUROC | AUPRO 0.3 | AUPRO 0.01 | AUPRO 0.01, 100 thresholds |\n|---|---|---|---|---|---|"
    );
    for (index, ((name, _), figures_of_line)) in lines.iter().zip(&figures).enumerate() {
        let cell = |(figure, first): (&f64, &f64)| match index {
            0 => format!("{figure:.3}"),
            _ => format!("{figure:.3} ({:+.3})", figure - first),
        };
        let cells: Vec<String> = figures_of_line.iter().zip(&figures[0]).map(cell).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    Ok(())
}

/// Each line's name and settings.
fn lines() -> Result<Vec<(String, Settings)>, Box<dyn Error>> {
    let base = presets::load_with("paper", &["experts.shape=compact".to_owned()])?;
    let mut lines = vec![("`paper` with the compact shape expert".to_owned(), base.clone())];
    for name in ReferenceQuirks::NAMES {
        let reference_quirks = ReferenceQuirks::only(name).ok_or("a name without a deviation")?;
        lines.push((format!("`{name}`"), Settings { reference_quirks, ..base.clone() }));
    }
    for change in OTHERS {
        lines.push((
            format!("`{}`", change.replace('=', " = ")),
            presets::change(base.clone(), "paper", &[change.to_owned()])?,
        ));
    }
    let all = base.with_reference_quirks();
    let mut same_truth = all.clone();
    same_truth.reference_quirks.truth_above_half = false;
    lines.push(("all but `truth_above_half`".to_owned(), same_truth));
    lines.push(("all together".to_owned(), all));
    Ok(lines)
}

/// Means over categories of the fused figures.
fn means(evaluations: &[Evaluation]) -> [f64; 5] {
    let mean_of = |figure: &dyn Fn(&ChannelMetrics) -> Option<f64>| {
        mean(evaluations.iter().map(|evaluation| figure(evaluation.all.channels.last()?))).unwrap_or(f64::NAN)
    };
    let pixels = |figure: fn(&PixelFigures) -> f64| mean_of(&|channel| channel.pixels.as_ref().map(figure));
    [
        mean_of(&|channel| channel.i_auroc),
        pixels(|p| p.p_auroc),
        pixels(|p| p.aupro[LIMITS[0]]),
        pixels(|p| p.aupro[LIMITS[1]]),
        pixels(|p| p.aupro_100_thresholds[LIMITS[1]]),
    ]
}
