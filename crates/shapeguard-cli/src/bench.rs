//! `shapeguard bench`: what fitting and inspecting cost on this machine.

mod growth;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use shapeguard::bench::{Cost, InspectionCost, Machine, inspection_cost, measure, measure_once};
use shapeguard::experts::Experts;
use shapeguard::outputs::RecordVerdict;
use shapeguard::{Detector, FitInputs, Model, model_file, presets};
use shapeguard_core::grid::{Grid, GridSize, Mask, ScoreMap};
use shapeguard_core::metrics::PixelMetrics;
use shapeguard_core::sample::{OrganizedCloud, Scan};
use shapeguard_core::seams::{IMAGE_SIDE, Progress, Silent};
use shapeguard_core::settings::Settings;
use shapeguard_data::simulator::{Category, simulate_scan_at};
use shapeguard_data::{ScanSource, atomic_write, write_rgb_png, write_xyz_tiff};

use growth::{GrowthCost, growth, growth_plot};
use table::table;

use crate::device::{Device, DeviceOption};
use crate::inspect::{Done, Inspector, inspect_all, inspect_one, tasks};
use crate::output;
use crate::progress::Bars;
use crate::scans::{ScanOptions, ScanReader, expand};

/// Side of the simulated scans, pixels: most of MVTec 3D-AD's have 800 x 800.
const SCAN_SIDE_PX: usize = 800;
/// Side at which they are simulated before their middle is cut out, so that the part fills as much of the picture as in the
/// published figures: about 7,500 points of 224 x 224.
const SIMULATED_SIDE_PX: usize = 880;
/// Seed of the simulated scans.
const SEED: u64 = 99;
/// Seed of untrained colour weights.
const WEIGHT_SEED: u64 = 0;
/// Rounds of the stream's measurement; the best of each way counts, since others may use the machine.
const STREAM_ROUNDS: usize = 3;
/// A scan is read, or inspected from files, again and again for so many seconds.
const SECONDS_PER_SCAN: f64 = 1.0;
/// Most scans that are simulated to learn from, and to look at: each takes 8 MB of the temporary folder.
const MOST_SCANS: usize = 2000;
/// Maps that the metrics are measured on: as many as MVTec 3D-AD has test scans.
const METRIC_MAPS: usize = 1200;

/// Measure what fitting and inspecting cost on this machine, stage by stage.
///
/// Without MODEL, scans of up to 800 x 800 pixels are simulated (with --growth, of the category's own size) and every preset
/// is fitted. Beside each figure stands the machine's own limit, measured in the same run. CPU seconds count all threads; of
/// wall seconds only those of an idle machine mean something. The limits are the processor's: with a GPU as device no share
/// of them is given.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard bench\n  shapeguard bench --preset paper --wide-resnet --json > bench.json\n  shapeguard bench part.shapeguard parts/test\n  shapeguard bench --growth --preset default --plot growth.svg"
)]
pub struct BenchArgs {
    /// Model file, to measure the inspection of your own scans
    #[arg(value_name = "MODEL", requires = "scan")]
    model: Option<PathBuf>,
    /// Clouds, folders of scans, or patterns, as for `inspect`
    #[arg(value_name = "SCAN")]
    scan: Vec<PathBuf>,
    /// Settings to measure: best, default, paper, or a TOML file; can be repeated [default: default and paper]
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "model")]
    preset: Vec<String>,
    /// Simulated category
    #[arg(long, default_value = "pear", conflicts_with = "model")]
    category: String,
    /// Good scans in the memory
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with_all = ["model", "growth"])]
    train: usize,
    /// Scans of the stream
    #[arg(long, value_name = "N", default_value_t = 16, conflicts_with_all = ["model", "growth"])]
    stream: usize,
    /// Take Wide-ResNet-50-2 with random weights as colour network, as costly as with the trained ones
    #[arg(long, conflicts_with = "model")]
    wide_resnet: bool,
    /// Measure the metrics of 1,200 maps too
    #[arg(long, conflicts_with = "growth")]
    metrics: bool,
    /// Instead, measure how costs grow with the number of good scans (up to 1,000), the experts' image and the patches;
    /// takes many minutes and up to 3 GB of temporary disk space
    #[arg(long, conflicts_with = "model")]
    growth: bool,
    /// Most good scans of the growth table
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "growth")]
    most: usize,
    /// Draw the growth with the number of good scans to this SVG file
    #[arg(long, value_name = "FILE", requires = "growth")]
    plot: Option<PathBuf>,
    /// Overwrite the plot if it exists
    #[arg(long, requires = "plot")]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOption,
    #[command(flatten)]
    scans: ScanOptions,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Report {
    program_version: &'static str,
    machine: Machine,
    /// Where experts and bank search ran.
    device: String,
    #[serde(skip)]
    is_on_cpu: bool,
    presets: Vec<PresetCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<MetricsCost>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    growth: Vec<GrowthCost>,
}

/// What one preset, or a model, costs.
#[derive(Debug, Serialize)]
struct PresetCost {
    preset: String,
    shape_expert: String,
    appearance_expert: String,
    scan_size: String,
    good_scans: usize,
    /// Reading included; absent for a model from a file.
    fit: Option<Cost>,
    /// Absent where no model file was written.
    model_bytes: Option<u64>,
    /// Reading one scan's files.
    reading: Cost,
    inspection: InspectionCost,
    /// Reading and inspecting one scan after the other, with all threads.
    files_to_verdict: Cost,
    stream: StreamCost,
}

/// How many scans a second.
#[derive(Debug, Serialize)]
struct StreamCost {
    scans: usize,
    threads: usize,
    /// One scan after the other on one thread.
    one_thread_scans_per_second: f64,
    /// As `shapeguard inspect` does it.
    stream_scans_per_second: f64,
    ratio: f64,
}

#[derive(Debug, Serialize)]
struct MetricsCost {
    maps: usize,
    #[serde(flatten)]
    cost: Cost,
}

/// Runs the command.
///
/// # Errors
/// If the model, the preset, the device or the scans are unusable, or nothing can be written to the temporary folder.
pub fn run(args: &BenchArgs, bars: &Bars) -> Result<()> {
    if let Some(plot) = &args.plot {
        output::refuse_existing(plot, args.force)?;
    }
    let device = args.device.open()?;
    let report = report(args, &device, bars);
    // Whatever was measured, this is why.
    device.check()?;
    let report = report?;
    if let Some(path) = &args.plot {
        let svg = growth_plot(&report.growth);
        atomic_write(path, args.force, |file| file.write_all(svg.as_bytes()))?;
    }
    if args.json { output::json(&report) } else { output::text(&table(&report)) }
}

/// Measures all that is asked for.
fn report(args: &BenchArgs, device: &Device, bars: &Bars) -> Result<Report> {
    bars.begin("Machine", 1);
    let machine = Machine::measure();
    bars.step();
    bars.end();
    let mut report = Report {
        program_version: env!("CARGO_PKG_VERSION"),
        machine,
        device: device.name().to_owned(),
        is_on_cpu: device.is_cpu(),
        presets: vec![],
        metrics: None,
        growth: vec![],
    };
    if let Some(model) = &args.model {
        report.presets.push(model_cost(model, args, device, bars)?);
    } else {
        let category = Category::by_name(&args.category)
            .with_context(|| format!("no category {:?}; `shapeguard simulate --list` lists them", args.category))?;
        let names =
            if args.preset.is_empty() { vec!["default".to_owned(), "paper".to_owned()] } else { args.preset.clone() };
        let settings = names.iter().map(|name| Ok(presets::load(name)?)).collect::<Result<Vec<_>>>()?;
        if args.growth {
            report.growth = growth(category, &settings, args, device, bars)?;
        } else {
            let counts = [("--train", args.train, 2), ("--stream", args.stream, 1)];
            for (option, count, least) in counts {
                ensure!(
                    (least..=MOST_SCANS).contains(&count),
                    "{option}: expected {least} to {MOST_SCANS} scans, found {count}"
                );
            }
            let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
            let scale = SIMULATED_SIDE_PX as f32 / category.size().rows.max(category.size().cols) as f32;
            let scans = simulated(folder.path(), category, args.train + args.stream, scale, bars)?;
            for settings in settings {
                report.presets.push(preset_cost(settings, &scans, args, device, bars)?);
            }
        }
    }
    if args.metrics {
        report.metrics = Some(metrics_cost(bars));
    }
    Ok(report)
}

/// Simulates good scans into a folder; of those larger than [`SCAN_SIDE_PX`] the middle.
fn simulated(folder: &Path, category: Category, count: usize, scale: f32, bars: &Bars) -> Result<Vec<ScanSource>> {
    bars.begin("Simulating scans", count);
    let mut sources = Vec::with_capacity(count);
    for index in 0..count {
        let scan = middle(&simulate_scan_at(category, SEED, index as u64, None, scale).scan)?;
        let (cloud, rgb) = (folder.join(format!("xyz/{index:04}.tiff")), folder.join(format!("rgb/{index:04}.png")));
        write_xyz_tiff(&cloud, scan.cloud(), false)?;
        write_rgb_png(&rgb, scan.rgb(), false)?;
        sources.push(ScanSource::with_rgb(cloud, rgb));
        bars.step();
    }
    bars.end();
    Ok(sources)
}

/// The middle of a scan, of at most [`SCAN_SIDE_PX`] rows and columns.
fn middle(scan: &Scan) -> Result<Scan> {
    let size = scan.size();
    let cut = GridSize::new(size.rows.min(SCAN_SIDE_PX), size.cols.min(SCAN_SIDE_PX));
    let (top, left) = ((size.rows - cut.rows) / 2, (size.cols - cut.cols) / 2);
    let (points, valid) = (scan.cloud().points_m(), scan.cloud().valid());
    let cloud = OrganizedCloud::from_parts(
        Grid::from_fn(cut, |row, col| points[(top + row, left + col)]),
        Mask::from_fn(cut, |row, col| valid[(top + row, left + col)]),
    );
    Ok(Scan::new(cloud, Grid::from_fn(cut, |row, col| scan.rgb()[(top + row, left + col)]))?)
}

fn experts(settings: &Settings, wide_resnet: bool, device: &Device) -> Result<Experts> {
    let mut experts = device.place(Experts::from_settings(&settings.experts)?)?;
    if wide_resnet {
        experts.appearance = device.random_wide_resnet(WEIGHT_SEED)?;
        experts.appearance_identity.name = "Wide-ResNet-50-2, random weights".into();
    }
    Ok(experts)
}

/// Fits to good scans, none kept aside, and measures that.
fn fitted(
    settings: &Settings,
    train: &[ScanSource],
    reader: &ScanReader,
    wide_resnet: bool,
    device: &Device,
    progress: &dyn Progress,
) -> Result<(Detector, Cost)> {
    let mut settings = settings.clone();
    // Any rate will do that so few scans can promise.
    settings.threshold.false_reject_rate = settings.threshold.false_reject_rate.max(1.0 / (train.len() as f64 + 1.0));
    let experts = experts(&settings, wide_resnet, device)?;
    let inputs = FitInputs { name: "bench", train, validation: &[], skip_unusable: false };
    let (detector, cost) = measure_once(|| {
        Detector::fit(inputs, |s| reader.load(s), |s| s.cloud.display().to_string(), settings, experts, progress)
    });
    Ok((detector?, cost))
}

fn preset_cost(
    settings: Settings,
    scans: &[ScanSource],
    args: &BenchArgs,
    device: &Device,
    bars: &Bars,
) -> Result<PresetCost> {
    let reader = args.scans.reader(settings.foreground.method)?;
    let (train, stream) = scans.split_at(args.train);
    let (detector, fit) = fitted(&settings, train, &reader, args.wide_resnet, device, bars)?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let path = folder.path().join("model.shapeguard");
    // A model refers to built-in experts by digest; one with random weights has none.
    let model_bytes = if args.wide_resnet {
        None
    } else {
        model_file::save(&detector, &path, false)?;
        Some(std::fs::metadata(&path)?.len())
    };
    cost_of(&Model::Single(Box::new(detector)), stream, &reader, Some(fit), model_bytes, bars)
}

fn model_cost(path: &Path, args: &BenchArgs, device: &Device, bars: &Bars) -> Result<PresetCost> {
    let model = device.place_model(model_file::load_model(path)?)?;
    let reader = args.scans.reader(model.settings().foreground.method)?;
    let sources = expand(&args.scan)?;
    reader.check_masks(&sources)?;
    cost_of(&model, &sources, &reader, None, Some(std::fs::metadata(path)?.len()), bars)
}

fn cost_of(
    model: &Model,
    scans: &[ScanSource],
    reader: &ScanReader,
    fit: Option<Cost>,
    model_bytes: Option<u64>,
    bars: &Bars,
) -> Result<PresetCost> {
    let preset = model.settings().preset.clone();
    bars.begin(&format!("Inspection, {preset}"), 3);
    let first = &scans[0];
    let (loaded, reading) = measure(SECONDS_PER_SCAN, || reader.load(first));
    let loaded = loaded?;
    bars.step();
    let name = || first.cloud.display().to_string();
    let inspection = inspection_cost(model, &loaded).with_context(name)?;
    bars.step();
    let (verdict, files_to_verdict) =
        measure(SECONDS_PER_SCAN, || anyhow::Ok(model.inspect(&reader.load(first)?, None).outcome?));
    verdict?;
    bars.step();
    bars.end();
    let stream = stream_cost(model, scans, reader, bars)?;
    Ok(PresetCost {
        preset,
        shape_expert: model.experts().shape_identity.name.clone(),
        appearance_expert: model.experts().appearance_identity.name.clone(),
        scan_size: loaded.scan.size().to_string(),
        good_scans: model.detectors().iter().map(|detector| detector.memory().sample_count()).sum(),
        fit,
        model_bytes,
        reading,
        inspection,
        files_to_verdict,
        stream,
    })
}

/// Throughput of the product's stream beside that of one thread.
fn stream_cost(model: &Model, scans: &[ScanSource], reader: &ScanReader, bars: &Bars) -> Result<StreamCost> {
    let tasks = tasks(scans.to_vec(), None, false, false)?;
    let inspector = Inspector { model, category: None, reader, force: false };
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    // A scan that is not judged costs next to nothing and would make the rate look better.
    let judged = |done: Done| {
        let record = done.record;
        let reason = record.reason.as_deref().unwrap_or_default();
        ensure!(record.verdict != RecordVerdict::NotJudged, "{}: not judged: {reason}; leave it out", record.scan);
        Ok(())
    };
    let (mut alone, mut together) = (f64::INFINITY, f64::INFINITY);
    bars.begin(&format!("Stream, {}", model.settings().preset), 2 * STREAM_ROUNDS);
    for _ in 0..STREAM_ROUNDS {
        let (_, cost) =
            measure_once(|| one_thread.install(|| tasks.iter().for_each(|task| drop(inspect_one(task, inspector)))));
        alone = alone.min(cost.wall_seconds);
        bars.step();
        let (result, cost) = measure_once(|| inspect_all(&tasks, inspector, &Silent, judged));
        result?;
        together = together.min(cost.wall_seconds);
        bars.step();
    }
    bars.end();
    let rate = |seconds: f64| tasks.len() as f64 / seconds;
    Ok(StreamCost {
        scans: tasks.len(),
        threads: rayon::current_num_threads(),
        one_thread_scans_per_second: rate(alone),
        stream_scans_per_second: rate(together),
        ratio: alone / together,
    })
}

/// All metrics of as many maps as MVTec 3D-AD has test scans, with regions of all sizes.
fn metrics_cost(bars: &Bars) -> MetricsCost {
    let size = GridSize::new(IMAGE_SIDE, IMAGE_SIDE);
    let (maps, truths): (Vec<ScoreMap>, Vec<Mask>) = (0..METRIC_MAPS)
        .map(|map| {
            let (top, left, side) = ((map * 37) % 180, (map * 53) % 180, 3 + (map * 11) % 37);
            let inside = |row: usize, col: usize| {
                map % 4 != 0 && (top..top + side).contains(&row) && (left..left + side).contains(&col)
            };
            let score = |row: usize, col: usize| {
                // A multiplicative hash: distinct scores without a pattern.
                let mixed =
                    ((map * size.rows * size.cols + row * size.cols + col) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (mixed >> 40) as f32 / (1 << 24) as f32 + if inside(row, col) { 0.3 } else { 0.0 }
            };
            (Grid::from_fn(size, score), Mask::from_fn(size, inside))
        })
        .unzip();
    bars.begin("Metrics", 1);
    let (_, cost) = measure_once(|| PixelMetrics::compute(&maps, &truths));
    bars.step();
    bars.end();
    MetricsCost { maps: METRIC_MAPS, cost }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_keeps_cloud_and_colour_together() {
        let size = GridSize::new(803, 20);
        let points = Grid::from_fn(size, |row, col| [1e-3 * row as f32, 1e-3 * col as f32, 0.5]);
        let cloud = OrganizedCloud::from_parts(points, Mask::from_fn(size, |row, _| row != 1));
        let scan = Scan::new(cloud, Grid::from_fn(size, |row, col| [row as u8, col as u8, 0])).unwrap();
        let cut = middle(&scan).unwrap();
        assert_eq!(cut.size(), GridSize::new(800, 20));
        assert_eq!((cut.cloud().points_m()[(3, 4)], cut.rgb()[(3, 4)]), ([4e-3, 4e-3, 0.5], [4, 4, 0]));
        assert!(!cut.cloud().valid()[(0, 0)] && cut.cloud().valid()[(1, 0)]);
    }
}
