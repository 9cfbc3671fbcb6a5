//! How many steps a second a device trains, and how far its first losses are from the CPU's.
//!
//! `cargo run --release -p shapeguard-train --features gpu --example training_timing -- [DEVICE] [STEPS] [ARCHITECTURE]`:
//! DEVICE is `gpu` (as assumed), `gpu:NAME`, or `cpu` to measure the same there; STEPS are timed after a few that are not
//! (100 as assumed); ARCHITECTURE is `paper`, with the published batches of 32 patches x 500 queries (as assumed), or
//! `compact`, with 16 x 64. Without the feature there is only `cpu`. `RAYON_NUM_THREADS` sets the threads that draw the
//! batches.
//!
//! Patches are of analytic surfaces; what is trained on does not matter to the time.
#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::error::Error;
use std::time::Instant;

use shapeguard_experts::shape::ShapeArchitecture;
use shapeguard_train::{
    EncoderInput, Schedule, Trainer, TrainingData, TrainingDevice, TrainingSettings, surface_patches,
};

/// Points of a patch, as in the paper.
const PATCH_SIZE: usize = 500;
/// Different patches.
const PATCHES: usize = 400;
/// Steps before those that are timed: kernels are compiled, and buffers allocated, when they are first needed.
const WARM_UP_STEPS: usize = 5;
/// Steps whose losses are compared with the CPU's.
const COMPARED_STEPS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("gpu", String::as_str);
    let steps: usize = arguments.get(1).map_or(Ok(100), |text| text.parse())?;
    let architecture = arguments.get(2).map_or("paper", String::as_str);
    let (architecture, schedule) = match architecture {
        "paper" => (ShapeArchitecture::paper(), Schedule::paper(PATCHES)),
        "compact" => (ShapeArchitecture::compact(), Schedule::fast(1_000_000)),
        other => return Err(format!("expected an architecture paper or compact, found {other:?}").into()),
    };
    let device = open(name)?;
    println!("device {}, {} threads", device.name(), rayon::current_num_threads());

    let data = TrainingData::new(vec![], surface_patches(1, PATCHES, PATCH_SIZE))?;
    let batch = format!("{} x {}", schedule.patches, schedule.queries);
    let encoder_input = EncoderInput::Patch;
    let settings = TrainingSettings { architecture, schedule, seed: 0, surface_share: 1.0, turn: true, encoder_input };
    let mut trainer = Trainer::new(settings.clone())?.on(&device)?;

    let start = Instant::now();
    let mut losses = Vec::new();
    for _ in 0..WARM_UP_STEPS {
        losses.push(trainer.step(&data)?.loss);
    }
    let warm_up_s = start.elapsed().as_secs_f64();
    let off = match device.is_cpu() {
        true => "-".to_owned(),
        false => {
            let mut cpu = Trainer::new(settings)?;
            let mut off = 0.0f32;
            for loss in &losses[..COMPARED_STEPS] {
                let expected = cpu.step(&data)?.loss;
                off = off.max((loss - expected).abs() / expected);
            }
            format!("{off:.1e}")
        }
    };

    let start = Instant::now();
    for _ in 0..steps {
        losses.push(trainer.step(&data)?.loss);
    }
    let seconds = start.elapsed().as_secs_f64();
    let last = losses.last().copied().unwrap_or_default();
    println!(
        "| batch | parameters | steps/s | first {WARM_UP_STEPS} steps, s | first losses off the CPU's by | last loss |"
    );
    println!("|---|---|---|---|---|---|");
    println!(
        "| {batch} | {} | {:.2} | {warm_up_s:.1} | {off} | {last:.4} |",
        trainer.parameter_count(),
        steps as f64 / seconds
    );
    Ok(())
}

#[cfg(feature = "gpu")]
fn open(name: &str) -> Result<TrainingDevice, Box<dyn Error>> {
    match name {
        "cpu" => Ok(TrainingDevice::cpu()),
        name => Ok(TrainingDevice::open(&name.parse()?)?),
    }
}

#[cfg(not(feature = "gpu"))]
fn open(name: &str) -> Result<TrainingDevice, Box<dyn Error>> {
    match name {
        "cpu" => Ok(TrainingDevice::cpu()),
        name => Err(format!("{name}: built without GPUs; add `--features gpu` before `--example`").into()),
    }
}
