//! `shapeguard bench --growth`: how costs grow with the number of good scans, the experts' image and the patches.

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;
use shapeguard::bench::{Cost, Series, log_log_svg, measure};
use shapeguard::presets;
use shapeguard_core::seams::{Progress, Silent};
use shapeguard_core::settings::Settings;
use shapeguard_data::simulator::Category;

use super::{BenchArgs, SECONDS_PER_SCAN, fitted, simulated};
use crate::device::Device;
use crate::progress::Bars;

/// Good scans of the growth table.
const GROWTH_SCANS: [usize; 5] = [10, 30, 100, 300, 1000];
/// Good scans where the growth table varies something else.
const GROWTH_FIXED_SCANS: usize = 20;
/// Sides of the experts' image in the growth table.
const GROWTH_SIDES: [usize; 3] = [224, 320, 448];
/// What rows with different numbers of good scans are called by.
const GOOD_SCANS_VARIED: &str = "good scans";
/// Points of a patch in the growth table.
const GROWTH_PATCHES: [usize; 4] = [250, 500, 750, 1000];

/// One row of the growth table.
#[derive(Debug, Serialize)]
pub(super) struct GrowthCost {
    pub(super) preset: String,
    /// Which of the presets asked for: their names may be the same.
    #[serde(skip)]
    pub(super) index: usize,
    /// What the rows around it differ in.
    pub(super) varied: &'static str,
    pub(super) good_scans: usize,
    pub(super) image_side_px: usize,
    pub(super) points_per_patch: usize,
    pub(super) fit: Cost,
    pub(super) inspect: Cost,
    pub(super) sdf_features: usize,
    pub(super) rgb_features: usize,
}

/// Fits and inspects with every variant of every preset.
///
/// # Errors
/// If a variant makes no sense, or nothing can be written to the temporary folder.
pub(super) fn growth(
    category: Category,
    presets: &[Settings],
    args: &BenchArgs,
    device: &Device,
    bars: &Bars,
) -> Result<Vec<GrowthCost>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let counts: Vec<usize> = GROWTH_SCANS.into_iter().filter(|count| *count <= args.most).collect();
    ensure!(!counts.is_empty(), "--most: expected at least {}, found {}", GROWTH_SCANS[0], args.most);
    let most = counts.iter().copied().fold(GROWTH_FIXED_SCANS, usize::max);
    let mut plans = Vec::new();
    for settings in presets {
        let mut variants: Vec<(&str, usize, Settings)> =
            counts.iter().map(|count| (GOOD_SCANS_VARIED, *count, settings.clone())).collect();
        for side_px in GROWTH_SIDES {
            let mut settings = settings.clone();
            settings.image.side_px = side_px;
            variants.push(("image side", GROWTH_FIXED_SCANS, settings));
        }
        for points_per_patch in GROWTH_PATCHES {
            let mut settings = settings.clone();
            settings.patches.points_per_patch = points_per_patch;
            variants.push(("points of a patch", GROWTH_FIXED_SCANS, settings));
        }
        for (varied, _, settings) in &variants {
            // Before the long work.
            presets::check(settings)
                .map_err(|message| anyhow!("{}, varied in {varied}: {message}", settings.preset))?;
        }
        plans.push(variants);
    }
    let scans = simulated(folder.path(), category, most + 1, 1.0, bars)?;
    let (test, good) = scans.split_last().context("at least one scan was simulated")?;
    let mut rows = Vec::new();
    for (index, variants) in plans.into_iter().enumerate() {
        bars.begin(&format!("Growth, {}", presets[index].preset), variants.len());
        for (varied, count, settings) in variants {
            let reader = args.scans.reader(settings.foreground.method)?;
            let (detector, fit) = fitted(&settings, &good[..count], &reader, args.wide_resnet, device, &Silent)?;
            let loaded = reader.load(test)?;
            let (inspection, inspect) = measure(SECONDS_PER_SCAN, || detector.inspect(&loaded));
            inspection?;
            rows.push(GrowthCost {
                preset: settings.preset.clone(),
                index,
                varied,
                good_scans: count,
                image_side_px: settings.image.side_px,
                points_per_patch: settings.patches.points_per_patch,
                fit,
                inspect,
                sdf_features: detector.memory().shape.rows(),
                rgb_features: detector.memory().appearance.rows(),
            });
            bars.step();
        }
        bars.end();
    }
    Ok(rows)
}

/// The rows that differ in nothing but the number of good scans.
pub(super) fn growth_plot(rows: &[GrowthCost]) -> String {
    let mut series: Vec<Series> = Vec::new();
    let mut presets: Vec<(usize, &str)> = rows.iter().map(|row| (row.index, row.preset.as_str())).collect();
    presets.dedup();
    for (index, preset) in presets {
        let of_preset: Vec<&GrowthCost> =
            rows.iter().filter(|row| row.index == index && row.varied == GOOD_SCANS_VARIED).collect();
        let points = |figure: &dyn Fn(&GrowthCost) -> Option<f64>| -> Vec<(f64, f64)> {
            of_preset.iter().filter_map(|row| Some((row.good_scans as f64, figure(row)?))).collect()
        };
        let name = |what: &str| format!("{preset}: {what}");
        series.push(Series { name: name("fit, CPU s"), points: points(&|row| row.fit.cpu_seconds) });
        series.push(Series { name: name("inspect, CPU s"), points: points(&|row| row.inspect.cpu_seconds) });
    }
    log_log_svg("Cost over the number of good scans", "good scans", &series)
}
