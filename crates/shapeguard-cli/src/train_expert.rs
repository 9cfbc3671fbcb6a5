//! `shapeguard train-expert`: trains the shape expert on scans of good parts and on analytic surfaces (docs/training.md).
//!
//! Patches come from simulated scans, from datasets, and from `shapeguard-train`'s own analytic surfaces. The simulator's
//! held-back categories are never trained on; the expert is measured on them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;
use serde_json::json;
use shapeguard_core::expert_inputs::{extent_and_mean, normalised_patch_points};
use shapeguard_core::foreground::{Foreground, segment};
use shapeguard_core::patches::extract_patches;
use shapeguard_core::resample::resample;
use shapeguard_core::sample::Scan;
use shapeguard_core::seams::{IMAGE_SIDE, Progress};
use shapeguard_core::settings::{PatchSettings, Preset, Settings};
use shapeguard_data::simulator::{Category, simulate_scan};
use shapeguard_data::{Dataset, ReadOptions, atomic_write, category_roots, read_scan};
use shapeguard_experts::shape::{PointNetNif, ShapeArchitecture, WeightPrecision};
use shapeguard_train::{
    EncoderInput, Evaluation, HeldBackPatch, Schedule, Trainer, TrainingData, TrainingPatch, TrainingSettings,
    evaluate, surface_patches,
};

use crate::device::TrainingDeviceOption;
use crate::progress::Bars;

/// Overlap of the patches that are trained on (reference value; banks and tests use 10).
const TRAINING_OVERLAP: usize = 5;
/// Seed of the simulated scans for training and measuring: none of a benchmark suite's.
const SIMULATION_SEED: u64 = 0x7261_696e;
/// Simulated scans of each held-back category that the expert is measured on.
const HELD_BACK_SCANS: u64 = 4;
/// Every so many of their patches are used: neighbours overlap.
const HELD_BACK_STRIDE: usize = 4;
/// Seed of the queries of the measurement.
const EVALUATION_SEED: u64 = 1;
/// Steps between two lines of the log.
const LOG_STEPS: usize = 50;

/// Train the shape expert, or measure one.
#[derive(Debug, clap::Args)]
#[command(
    about = crate::TRAIN_EXPERT_ABOUT,
    after_help = "Example:\n  shapeguard train-expert --architecture compact --steps 10000 --half \\\n      --checkpoint compact.checkpoint --out shape-compact.safetensors"
)]
pub struct TrainExpertArgs {
    /// `paper`, `compact`, or layer widths as JSON
    #[arg(long, default_value = "compact")]
    architecture: String,
    /// Datasets to learn from: categories in the MVTec 3D-AD layout, or a folder of them
    #[arg(long, value_name = "DIR", num_args = 1..)]
    data: Vec<PathBuf>,
    /// Simulated categories to learn from; all that are not held back, unless given
    #[arg(long, value_name = "CATEGORY", num_args = 1.., value_delimiter = ',')]
    simulated: Option<Vec<String>>,
    /// Scans of each category: simulated so many, and drawn from a dataset at most so many; 0 for none
    #[arg(long, default_value_t = 20)]
    scans: u64,
    /// Share of analytic surfaces among the patches of a step
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    surfaces: f32,
    /// Number of analytic surface patches
    #[arg(long, default_value_t = 6000)]
    surface_patches: usize,
    /// Number of steps
    #[arg(long, default_value_t = 10_000)]
    steps: usize,
    /// Patches of one step
    #[arg(long, default_value_t = Schedule::fast(1).patches)]
    batch: usize,
    /// Queries of each patch in one step
    #[arg(long, default_value_t = Schedule::fast(1).queries)]
    queries: usize,
    /// Learning rate at the start; it falls to a twentieth
    #[arg(long, default_value_t = Schedule::fast(1).learning_rate)]
    learning_rate: f32,
    /// The published training (32 patches x 500 queries, 600 epochs at 1e-4, scans alone, as they lie) instead of the
    /// options above: days on a CPU (see --device)
    #[arg(long, conflicts_with_all = ["surfaces", "surface_patches", "steps", "batch", "queries", "learning_rate"])]
    paper_schedule: bool,
    /// Let the encoder see the queries' targets instead of the patch, as the published implementation does
    #[arg(long)]
    reference_quirks: bool,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the trained weights go
    #[arg(long, value_name = "FILE", required_unless_present = "evaluate")]
    out: Option<PathBuf>,
    /// Overwrite the weights if they exist
    #[arg(long)]
    force: bool,
    /// Store the weights in half precision
    #[arg(long)]
    half: bool,
    /// Where the state of the training goes, every so many minutes and at the end
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Minutes between two checkpoints
    #[arg(long, default_value_t = 2.0)]
    checkpoint_minutes: f64,
    /// Go on from this checkpoint; its settings replace those given, the data options must be the same
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Where the log goes, one JSON line per 50 steps; appended to
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Do not train: measure these weights on the held-back simulated categories
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resume", "out", "device"])]
    evaluate: Option<PathBuf>,
    #[command(flatten)]
    device: TrainingDeviceOption,
}

impl TrainExpertArgs {
    /// Share of analytic surfaces: the published training has none.
    fn surface_share(&self) -> f32 {
        if self.paper_schedule { 0.0 } else { self.surfaces }
    }
}

/// Runs the command.
///
/// # Errors
/// If an option makes no sense, there is no such device, data cannot be read or a file cannot be written.
pub fn run(args: &TrainExpertArgs, bars: &Bars) -> Result<()> {
    if let Some(path) = &args.evaluate {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let expert = PointNetNif::from_safetensors(&bytes).with_context(|| path.display().to_string())?;
        return print(&json!(measure(&expert)?));
    }
    let out = args.out.as_deref().context("--out is missing")?;
    ensure!(args.force || !out.exists(), "{} exists already; give another --out, or --force", out.display());

    // What can be refused is refused before scans are simulated.
    let resumed = args.resume.as_deref().map(Trainer::resume).transpose()?;
    settings(args, 1)?.check()?;
    let device = args.device.open()?;
    let log = args.log.as_deref().map(open_log).transpose()?;

    let (data, trained_on) = training_data(args, bars)?;
    let (n_scans, n_surfaces) = data.counts();
    let trainer = match resumed {
        Some(trainer) => trainer,
        None => Trainer::new(settings(args, n_scans)?)?,
    };
    let mut trainer = trainer.on(&device)?;
    tracing::info!(
        "{} parameters; {n_scans} patches of scans, {n_surfaces} of analytic surfaces; step {} of {}",
        trainer.parameter_count(),
        trainer.steps_done(),
        trainer.settings().schedule.steps
    );
    let between_checkpoints = Duration::from_secs_f64(60.0 * args.checkpoint_minutes.clamp(0.0, 1e6));
    train(&mut trainer, &data, args.checkpoint.as_deref(), between_checkpoints, log, bars)?;

    let precision = if args.half { WeightPrecision::F16 } else { WeightPrecision::F32 };
    let exact = trainer.expert(&data)?;
    // Measured as stored, with what half precision costs.
    let stored = PointNetNif::from_safetensors(&exact.to_safetensors(precision, &BTreeMap::new()))?;
    let measured = measure(&stored)?;
    let provenance = provenance(&trainer, &trained_on, &measured);
    let bytes = exact.to_safetensors(precision, &provenance);
    atomic_write(out, args.force, |file| file.write_all(&bytes))?;
    print(&json!({ "weights": out, "held_back": measured, "training_loss": trainer.smoothed_loss() }))
}

fn settings(args: &TrainExpertArgs, n_scan_patches: usize) -> Result<TrainingSettings> {
    let architecture = match args.architecture.as_str() {
        "paper" => ShapeArchitecture::paper(),
        "compact" => ShapeArchitecture::compact(),
        text => serde_json::from_str(text).with_context(|| {
            format!(
                "--architecture {text:?} is neither `paper` nor `compact` nor JSON like {}",
                json!(ShapeArchitecture::compact())
            )
        })?,
    };
    let schedule = if args.paper_schedule {
        Schedule::paper(n_scan_patches)
    } else {
        Schedule {
            patches: args.batch,
            queries: args.queries,
            learning_rate: args.learning_rate,
            ..Schedule::fast(args.steps)
        }
    };
    let turn = !args.paper_schedule;
    let encoder_input = if args.reference_quirks { EncoderInput::Targets } else { EncoderInput::Patch };
    let surface_share = args.surface_share();
    Ok(TrainingSettings { architecture, schedule, seed: args.seed, surface_share, turn, encoder_input })
}

fn open_log(path: &Path) -> Result<File> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("opening {}", path.display()))
}

/// Steps until the schedule's end, with log and checkpoints.
pub(crate) fn train(
    trainer: &mut Trainer,
    data: &TrainingData,
    checkpoint: Option<&Path>,
    between_checkpoints: Duration,
    mut log: Option<File>,
    bars: &Bars,
) -> Result<()> {
    let start = Instant::now();
    let mut last_checkpoint = start;
    let steps = trainer.settings().schedule.steps;
    bars.begin("Training", steps - trainer.steps_done().min(steps));
    while !trainer.is_done() {
        let report = trainer.step(data)?;
        bars.step();
        if report.step.is_multiple_of(LOG_STEPS) || report.step == steps {
            let seconds = start.elapsed().as_secs_f64();
            if let Some(log) = &mut log {
                let line = json!({
                    "step": report.step, "loss": report.smoothed_loss, "learning_rate": report.learning_rate,
                    "seconds": seconds, "cpu_seconds": cpu_seconds(),
                });
                writeln!(log, "{line}")?;
            }
            tracing::info!("step {} of {steps}, loss {:.4}", report.step, report.smoothed_loss);
        }
        if let Some(path) = checkpoint
            && last_checkpoint.elapsed() >= between_checkpoints
        {
            trainer.save(path)?;
            last_checkpoint = Instant::now();
        }
    }
    bars.end();
    if let Some(path) = checkpoint {
        trainer.save(path)?;
    }
    Ok(())
}

/// The patches to learn from, and what they are of.
fn training_data(args: &TrainExpertArgs, bars: &Bars) -> Result<(TrainingData, String)> {
    let mut scans = Vec::new();
    let mut sources = Vec::new();
    if args.scans > 0 {
        let categories = simulated_categories(args.simulated.as_deref())?;
        bars.begin("Simulating scans", categories.len() * args.scans as usize);
        for category in &categories {
            let patches: Vec<_> = (0..args.scans)
                .into_par_iter()
                .map(|index| {
                    let patches = patches_of_scan(&simulate_scan(*category, SIMULATION_SEED, index, None).scan);
                    bars.step();
                    patches
                })
                .collect::<Result<_>>()
                .with_context(|| format!("the simulated category {}", category.name()))?;
            scans.extend(patches.into_iter().flatten());
        }
        bars.end();
        if !categories.is_empty() {
            let names: Vec<_> = categories.iter().map(|category| category.name()).collect();
            sources.push(format!("{} simulated scans each of {}", args.scans, names.join(", ")));
        }
    }
    for root in &args.data {
        for category in category_roots(root)? {
            let dataset = Dataset::open(&category)?;
            let entries = dataset.train.iter().take(args.scans.max(1) as usize).collect::<Vec<_>>();
            let patches: Vec<_> = entries
                .par_iter()
                .map(|entry| {
                    patches_of_scan(&read_scan(&entry.source, &ReadOptions::default())?)
                        .with_context(|| entry.name.clone())
                })
                .collect::<Result<_>>()?;
            sources.push(format!("{} scans of {}", entries.len(), dataset.name));
            scans.extend(patches.into_iter().flatten());
        }
    }
    let mut surfaces = Vec::new();
    if args.surface_share() > 0.0 || scans.is_empty() {
        let patch_size = patch_settings().points_per_patch;
        surfaces = surface_patches(args.seed, args.surface_patches, patch_size);
        sources.push(format!(
            "{} analytic surface patches ({:.0} % of a batch)",
            surfaces.len(),
            100.0 * args.surface_share()
        ));
    }
    Ok((TrainingData::new(scans, surfaces)?, sources.join("; ")))
}

fn simulated_categories(names: Option<&[String]>) -> Result<Vec<Category>> {
    let Some(names) = names else {
        return Ok(Category::list().iter().copied().filter(|category| !category.is_held_back()).collect());
    };
    let known = || Category::list().iter().map(|category| category.name()).collect::<Vec<_>>().join(", ");
    names
        .iter()
        .map(|name| match Category::by_name(name) {
            Some(category) if category.is_held_back() => {
                bail!(
                    "the simulated category {name} is held back from all training, to measure experts by; leave it out"
                )
            }
            Some(category) => Ok(category),
            None => bail!("there is no simulated category {name:?}; there are {}", known()),
        })
        .collect()
}

fn patch_settings() -> PatchSettings {
    PatchSettings { overlap: TRAINING_OVERLAP, ..Settings::preset(Preset::Paper).patches }
}

fn patches_of_scan(scan: &Scan) -> Result<Vec<TrainingPatch>> {
    let settings = Settings::preset(Preset::Default);
    patches_of(&segment(scan, &settings.foreground, None, settings.seed)?)
}

/// The patches of a part to train on.
pub(crate) fn patches_of(part: &Foreground) -> Result<Vec<TrainingPatch>> {
    let sample = resample(part, IMAGE_SIDE);
    let patches = extract_patches(&sample, &patch_settings())?;
    let points = normalised_patch_points(&patches);
    Ok(points.chunks_exact(patches.points_per_patch).map(|points| TrainingPatch { points: points.to_vec() }).collect())
}

/// How well an expert does on the simulator's held-back categories.
fn measure(expert: &PointNetNif) -> Result<Evaluation> {
    let scans: Vec<(Category, u64)> = Category::held_back()
        .iter()
        .flat_map(|category| (0..HELD_BACK_SCANS).map(|index| (*category, index)))
        .collect();
    let patches: Vec<_> = scans
        .par_iter()
        .map(|(category, index)| held_back_patches(*category, *index).with_context(|| category.name()))
        .collect::<Result<_>>()?;
    let patches: Vec<HeldBackPatch> = patches.into_iter().flatten().collect();
    Ok(evaluate(expert, &patches, EVALUATION_SEED))
}

fn held_back_patches(category: Category, index: u64) -> Result<Vec<HeldBackPatch>> {
    let simulated = simulate_scan(category, SIMULATION_SEED, index, None);
    let surface = Arc::new(simulated.surface);
    let settings = Settings::preset(Preset::Default);
    let sample = resample(&segment(&simulated.scan, &settings.foreground, None, settings.seed)?, IMAGE_SIDE);
    let patches = extract_patches(&sample, &patch_settings())?;
    let points = normalised_patch_points(&patches);
    let points_m = sample.cloud.points_m().as_slice();
    let held_back = points.chunks_exact(patches.points_per_patch).zip(&patches.patches).step_by(HELD_BACK_STRIDE);
    Ok(held_back
        .map(|(points, patch)| {
            let members = || patch.members.iter().map(|m| points_m[patches.pixels[*m as usize] as usize]);
            let (extent_m, mean_m) = extent_and_mean(members());
            let surface = surface.clone();
            let signed_distance = move |p: [f32; 3]| {
                let (distance_m, gradient) = surface.signed_distance([0, 1, 2].map(|i| p[i] * extent_m + mean_m[i]));
                (distance_m / extent_m, gradient)
            };
            HeldBackPatch { points: points.to_vec(), signed_distance: Box::new(signed_distance) }
        })
        .collect())
}

fn provenance(trainer: &Trainer, trained_on: &str, measured: &Evaluation) -> BTreeMap<String, String> {
    let settings = trainer.settings();
    let held_back: Vec<_> = Category::held_back().iter().map(|category| category.name()).collect();
    [
        ("trained_on", trained_on.to_string()),
        ("held_back", held_back.join(", ")),
        ("schedule", json!(settings.schedule).to_string()),
        ("seed", settings.seed.to_string()),
        ("loss", format!("{:.4}", trainer.smoothed_loss())),
        ("l0", format!("{:.4}", measured.unmoved)),
        ("l_star", format!("{:.4}", measured.analytic)),
        ("l", format!("{:.4}", measured.expert)),
        ("closed_share", format!("{:.4}", measured.closed_share)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_string(), value))
    .collect()
}

/// Processor seconds of this process, where the system tells.
fn cpu_seconds() -> Option<f64> {
    /// Ticks per second that Linux reports in, on all its platforms of today.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(Path::new("/proc/self/stat")).ok()?;
    // The fields after the command's name, which is in brackets: state is the first, user and system time 12 and 13.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / TICKS)
}

fn print(value: &serde_json::Value) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{value:#}")?;
    Ok(())
}

#[cfg(test)]
mod tests;
