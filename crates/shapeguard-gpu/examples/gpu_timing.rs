//! How many scans a second a device judges: from prepared scans in the host's memory to maps there.
//!
//! `cargo run --release -p shapeguard-gpu --example gpu_timing -- [DEVICE] [SCANS] [PRESET]`: DEVICE is `gpu` (as
//! assumed), `gpu:NAME`, or `cpu` to measure the same there; SCANS are judged as fast as threads allow (100 as assumed);
//! PRESET is `default`, `paper`, or `paper-wrn`, which is `paper` with Wide-ResNet-50-2 of random weights (all as
//! assumed). `RAYON_NUM_THREADS` sets the threads that prepare and collect work.
//!
//! Scans are made here: a wavy part of about 7,450 points on the paper's image, and as many more as the preset's image has; the
//! banks hold 20 of them, without typical scores. A device's maps of one scan are first
//! compared with the CPU's. The time of each stage is that of one scan by itself, so the rate may be far above the
//! inverse of their sum.
#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use shapeguard_core::alignment::{Alignment, AlignmentStatistics};
use shapeguard_core::expert_inputs::{normalised_patch_points, patch_cells};
use shapeguard_core::fusion::{AnomalyMaps, fuse};
use shapeguard_core::grid::{Grid, GridSize, Mask};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::memory::{DualMemory, ExactSearch, SampleFeatures};
use shapeguard_core::patches::{PatchSet, extract_patches};
use shapeguard_core::resample::Sample;
use shapeguard_core::sample::OrganizedCloud;
use shapeguard_core::scoring::{LeaveOut, score};
use shapeguard_core::seams::{AppearanceExpert, BankSearch, IMAGE_SIDE, ShapeExpert};
use shapeguard_core::settings::{Preset, Settings};
use shapeguard_experts::appearance::{Network, WideResNet50, efficientnet_lite0};
use shapeguard_experts::shape;
use shapeguard_gpu::{Gpu, GpuAppearanceExpert, GpuSearch, GpuShapeExpert};

/// Scans in the banks, as in the reference's measurement.
const BANK_SCANS: usize = 20;
/// Different scans that are judged in turn.
const DIFFERENT_SCANS: usize = 8;
/// A stage's time is the smallest of so many.
const MEASUREMENTS: usize = 5;

/// Seed of Wide-ResNet's weights.
const WEIGHT_SEED: u64 = 1;

/// Experts and search on one device.
struct Engine {
    shape: Arc<dyn ShapeExpert>,
    appearance: Arc<dyn AppearanceExpert>,
    search: Arc<dyn BankSearch>,
}

/// A scan up to where the experts begin.
struct Prepared {
    sample: Sample,
    patches: PatchSet,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = arguments.first().map_or("gpu", String::as_str);
    let scans: usize = arguments.get(1).map_or(Ok(100), |text| text.parse())?;
    let presets = match arguments.get(2) {
        Some(preset) => vec![preset.as_str()],
        None => vec!["default", "paper", "paper-wrn"],
    };
    let gpu = match device {
        "cpu" => None,
        name => Some(Gpu::open(&name.parse()?)?),
    };
    println!("device {}, {} threads", gpu.as_ref().map_or("cpu", |gpu| gpu.name()), rayon::current_num_threads());
    println!(
        "| preset | scans/s | encoder ms | colour ms | signed distances ms | all of scoring ms | off the CPU by |"
    );
    println!("|---|---|---|---|---|---|---|");
    for preset in presets {
        measure(preset, gpu.as_ref(), scans)?;
        if let Some(fault) = gpu.as_ref().and_then(|gpu| gpu.fault()) {
            return Err(fault.into());
        }
    }
    Ok(())
}

fn measure(preset: &str, gpu: Option<&Arc<Gpu>>, scans: usize) -> Result<(), Box<dyn Error>> {
    let settings = match preset {
        "default" => Settings::preset(Preset::Default),
        "paper" | "paper-wrn" => Settings::preset(Preset::Paper),
        other => return Err(format!("expected a preset default, paper or paper-wrn, found {other:?}").into()),
    };
    let cpu_shape = shape::builtin(&settings.experts.shape).ok_or("the presets name built-in experts")?;
    let (network, cpu_appearance): (Network, Arc<dyn AppearanceExpert>) = match preset {
        "paper-wrn" => (Network::random_wide_resnet50(WEIGHT_SEED), Arc::new(WideResNet50::random(WEIGHT_SEED))),
        _ => (Network::efficientnet_lite0(), Arc::new(efficientnet_lite0())),
    };
    let device = match gpu {
        Some(gpu) => Some(Engine {
            shape: Arc::new(GpuShapeExpert::new(gpu, &cpu_shape)?),
            appearance: Arc::new(GpuAppearanceExpert::new(gpu, &network)?),
            search: Arc::new(GpuSearch::new(gpu)),
        }),
        None => None,
    };
    let cpu = Engine { shape: Arc::new(cpu_shape), appearance: cpu_appearance, search: Arc::new(ExactSearch) };

    let prepared =
        (0..BANK_SCANS + DIFFERENT_SCANS).map(|index| prepare(index, &settings)).collect::<Result<Vec<_>, _>>()?;
    let (bank, new) = prepared.split_at(BANK_SCANS);
    let engine = device.as_ref().unwrap_or(&cpu);
    let mut memory = DualMemory::default();
    for scan in bank {
        memory.add(&engine.features(scan, &settings));
    }
    // Any alignment does for timing; this one is of the right size.
    let mut statistics = AlignmentStatistics::default();
    statistics.add(&engine.score(&bank[0], &memory, &settings, LeaveOut::Sample(0)), &settings.fusion);
    let alignment = statistics.finish()?;

    let off = match &device {
        Some(device) => {
            let maps = [device, &cpu].map(|engine| engine.maps(&new[0], &memory, &settings, alignment));
            let scale = maps[1].fused.as_slice().iter().copied().fold(0.0, f32::max);
            let pairs = maps[0].fused.as_slice().iter().zip(maps[1].fused.as_slice());
            format!("{:.1e}", pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max) / scale)
        }
        None => "-".into(),
    };
    let points = normalised_patch_points(&new[0].patches);
    let per_patch = new[0].patches.points_per_patch;
    let features = engine.shape.encode(&points, per_patch);
    let encoder = milliseconds(|| drop(engine.shape.encode(&points, per_patch)));
    let colour = milliseconds(|| drop(engine.appearance.describe(&new[0].sample.rgb)));
    let distances = milliseconds(|| drop(engine.shape.signed_distances(&features, &points, per_patch)));
    let sample_features = engine.features(&new[0], &settings);
    let all = LeaveOut::Nothing;
    let scoring = milliseconds(|| drop(engine.score_features(&sample_features, &new[0], &memory, &settings, all)));

    let start = Instant::now();
    let peaks: Vec<f32> = (0..scans)
        .into_par_iter()
        .map(|index| {
            let maps = engine.maps(&new[index % DIFFERENT_SCANS], &memory, &settings, alignment);
            maps.fused.as_slice().iter().copied().fold(0.0, f32::max)
        })
        .collect();
    let rate = scans as f64 / start.elapsed().as_secs_f64();
    if peaks.iter().any(|peak| !peak.is_finite()) {
        return Err("a score is not a number".into());
    }
    println!("| {preset} | {rate:.1} | {encoder:.2} | {colour:.2} | {distances:.2} | {scoring:.2} | {off} |");
    println!(
        "\n{} points, {} patches; banks of {} SDF and {} RGB features of lengths {} and {}\n",
        new[0].patches.pixels.len(),
        new[0].patches.patches.len(),
        memory.shape.rows(),
        memory.appearance.rows(),
        memory.shape.cols(),
        memory.appearance.cols()
    );
    Ok(())
}

impl Engine {
    fn features(&self, scan: &Prepared, settings: &Settings) -> SampleFeatures {
        let points = normalised_patch_points(&scan.patches);
        let shape: Matrix = self.shape.encode(&points, scan.patches.points_per_patch);
        let appearance = self.appearance.describe(&scan.sample.rgb);
        SampleFeatures { shape, appearance, patch_cells: patch_cells(&scan.patches, &settings.patches) }
    }

    fn score_features(
        &self,
        features: &SampleFeatures,
        scan: &Prepared,
        memory: &DualMemory,
        settings: &Settings,
        leave_out: LeaveOut,
    ) -> shapeguard_core::scoring::SampleScores {
        score(features, &scan.patches, memory, &*self.shape, &*self.search, &settings.memory, leave_out)
    }

    fn score(
        &self,
        scan: &Prepared,
        memory: &DualMemory,
        settings: &Settings,
        leave_out: LeaveOut,
    ) -> shapeguard_core::scoring::SampleScores {
        self.score_features(&self.features(scan, settings), scan, memory, settings, leave_out)
    }

    fn maps(&self, scan: &Prepared, memory: &DualMemory, settings: &Settings, alignment: Alignment) -> AnomalyMaps {
        fuse(&self.score(scan, memory, settings, LeaveOut::Nothing), alignment, &settings.fusion)
    }
}

/// A wavy disc of a radius of 49 of the paper's pixels, which has about 7,450 points there; every index another one.
fn prepare(index: usize, settings: &Settings) -> Result<Prepared, Box<dyn Error>> {
    let side = settings.image.side_px;
    let size = GridSize::new(side, side);
    let pixel = IMAGE_SIDE as f32 / side as f32;
    let phase = index as f32 * 0.7;
    let wave =
        |row: usize, col: usize| (row as f32 * pixel * 0.11 + phase).sin() + (col as f32 * pixel * 0.07 - phase).cos();
    let centre = side as f32 / 2.0;
    let is_part = |row: usize, col: usize| (row as f32 - centre).hypot(col as f32 - centre) * pixel < 48.7;
    let step = pixel * 1e-3;
    let points = Grid::from_fn(size, |row, col| [col as f32 * step, row as f32 * step, 0.5 + 2e-3 * wave(row, col)]);
    let colour =
        |row: usize, col: usize, step: f32| 0.5 + 0.2 * wave(row, col) * ((row * 7 + col * 3) as f32 * step).sin();
    let rgb = Grid::from_fn(size, |row, col| match is_part(row, col) {
        true => [0.1, 0.2, 0.3].map(|step| colour(row, col, step).clamp(0.0, 1.0)),
        false => [0.0; 3],
    });
    let cloud = OrganizedCloud::from_parts(points, Mask::from_fn(size, is_part));
    let sample = Sample { cloud, rgb, square_side: side, source_size: size, offset: (0, 0) };
    let patches = extract_patches(&sample, &settings.patches)?;
    Ok(Prepared { sample, patches })
}

/// Milliseconds of the fastest of several runs.
fn milliseconds(mut work: impl FnMut()) -> f64 {
    let mut measure = || {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..MEASUREMENTS).map(|_| measure()).fold(f64::INFINITY, f64::min)
}
