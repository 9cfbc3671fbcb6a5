//! What each stage of inspecting one scan costs: wall and CPU seconds, and the highest resident memory, by preset
//! (docs/results.md).
//!
//! `cargo run --release -p shapeguard --example stage_costs -- PRESET [CATEGORY]`. The bank holds 20 simulated scans;
//! figures are means over repetitions. Memory is the process's highest while the stage ran, where Linux tells it.

#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use shapeguard::experts::Experts;
use shapeguard::pipeline::prepare;
use shapeguard::presets;
use shapeguard_core::alignment::Alignment;
use shapeguard_core::expert_inputs::{normalised_patch_points, patch_cells};
use shapeguard_core::foreground::segment;
use shapeguard_core::fusion::fuse;
use shapeguard_core::memory::{DualMemory, ExactSearch, SampleFeatures};
use shapeguard_core::patches::extract_patches;
use shapeguard_core::resample::resample;
use shapeguard_core::scoring::{
    cell_residuals, dictionary, rebuild_features, score, shape_neighbours, signed_distance_map,
};
use shapeguard_data::simulator::{Category, simulate_scan};

/// Scans in the memory, as in the reference's measurement.
const BANK_SCANS: u64 = 20;
/// A stage is repeated until it took so many CPU seconds: the system counts in hundredths.
const CPU_SECONDS_PER_STAGE: f64 = 1.0;
/// Seed of the simulated scans.
const SEED: u64 = 99;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let preset = arguments.next().unwrap_or_else(|| "default".to_owned());
    let category = arguments.next().unwrap_or_else(|| "pear".to_owned());
    let category = Category::by_name(&category).ok_or("no such category")?;
    let settings = presets::load(&preset)?;
    let experts = Experts::from_settings(&settings.experts)?;

    let mut memory = DualMemory::default();
    for index in 0..BANK_SCANS {
        let scan = simulate_scan(category, SEED, index, None).scan;
        memory.add(&prepare(&scan, None, &settings, &*experts.shape, &*experts.appearance)?.features);
    }
    let scan = simulate_scan(category, SEED, BANK_SCANS, None).scan;

    println!("preset {preset}, {category}, {}, {} threads", scan.size(), rayon::current_num_threads());
    println!("| stage | wall s | CPU s | peak memory MB |\n|---|---|---|---|");
    let mut total = Cost::default();
    let mut stage = |name: &str, cost: Cost| {
        total.wall += cost.wall;
        total.cpu += cost.cpu;
        total.peak_mb = total.peak_mb.max(cost.peak_mb);
        println!("| {name} | {:.4} | {:.4} | {:.0} |", cost.wall, cost.cpu, cost.peak_mb);
    };
    let (part, cost) = measured(|| segment(&scan, &settings.foreground, None, settings.seed));
    stage("foreground", cost);
    let part = part?;
    let (sample, cost) = measured(|| resample(&part));
    stage("resampling", cost);
    let (patches, cost) = measured(|| extract_patches(&sample, &settings.patches));
    stage("patches", cost);
    let patches = patches?;
    let points = normalised_patch_points(&patches);
    let (shape, cost) = measured(|| experts.shape.encode(&points, patches.points_per_patch));
    stage("encoder", cost);
    let (appearance, cost) = measured(|| experts.appearance.describe(&sample.rgb));
    stage("colour network", cost);
    let patch_cells = patch_cells(&patches, &settings.patches);
    let features = SampleFeatures { shape, appearance, patch_cells };
    let (rebuilt, cost) = measured(|| {
        let neighbours = shape_neighbours(&features.shape, &memory, &ExactSearch, &settings.memory, None);
        let rebuilt = rebuild_features(&features.shape, &memory.shape, &neighbours, &settings.memory);
        (neighbours, rebuilt)
    });
    stage("SDF search and sparse codes", cost);
    let (neighbours, rebuilt) = rebuilt;
    let (_, cost) = measured(|| {
        let distances = experts.shape.signed_distances(&rebuilt.features, &points, patches.points_per_patch);
        signed_distance_map(&distances, &patches)
    });
    stage("signed distances", cost);
    let cells = features.used_cells();
    let (size, cost) = measured(|| {
        let rows = dictionary(&neighbours, &memory, &settings.memory, None);
        black_box(cell_residuals(
            &features.appearance,
            &cells,
            &memory,
            rows.as_deref(),
            &ExactSearch,
            &settings.memory,
        ));
        rows.map_or(memory.appearance.rows(), |rows| rows.len())
    });
    stage("RGB search and sparse codes", cost);
    let raw = score(&features, &patches, &memory, &*experts.shape, &ExactSearch, &settings.memory, None);
    let (_, cost) = measured(|| fuse(&raw, Alignment { a: 1.0, b: 0.0 }, &settings.fusion));
    stage("fusion", cost);
    stage_total(&total);
    println!(
        "\n{} points, {} patches, {} cells; banks of {} SDF and {} RGB features, {size} of them searched",
        patches.pixels.len(),
        patches.patches.len(),
        cells.len(),
        memory.shape.rows(),
        memory.appearance.rows()
    );
    Ok(())
}

fn stage_total(total: &Cost) {
    println!("| **sum** | {:.4} | {:.4} | {:.0} |", total.wall, total.cpu, total.peak_mb);
}

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
    peak_mb: f64,
}

/// Runs a stage again and again; its last result and its mean cost.
fn measured<T>(mut stage: impl FnMut() -> T) -> (T, Cost) {
    let mut result = stage();
    // Linux starts counting the highest resident memory anew when told so.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    let mut runs = 0.0;
    while cpu_seconds() - cpu_start < CPU_SECONDS_PER_STAGE {
        result = black_box(stage());
        runs += 1.0;
    }
    let cost = Cost {
        wall: start.elapsed().as_secs_f64() / runs,
        cpu: (cpu_seconds() - cpu_start) / runs,
        peak_mb: peak_megabytes().unwrap_or(f64::NAN),
    };
    (result, cost)
}

/// Processor seconds of this process, from `/proc/self/stat`: fields 14 and 15 in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map_or(vec![], |(_, rest)| rest.split_whitespace().collect());
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::INFINITY);
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kb| kb / 1024.0)
}
