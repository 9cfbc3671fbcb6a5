//! The baselines' accuracy on a simulated suite, as `suite_accuracy` of the crate `shapeguard` prints the method's: the tables of
//! docs/baselines.md.
//!
//! `cargo run --release -p shapeguard-baselines --example suite_baselines -- [SUITE] [CATEGORY...] [--weights FILE] [--json FILE]`;
//! SUITE is `v1` unless given, or a suite's definition in a file. FILE has the weights of Wide-ResNet-50-2; without them
//! the embedded network describes colour. Scans are simulated in memory; nothing is written but the JSON file.

#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;
use shapeguard::benchmark::{Benchmark, DEFAULT_SUITE, scan_kind, scan_name, take_option};
use shapeguard::evaluation::mean;
use shapeguard::pipeline::truth_at_map_size;
use shapeguard_baselines::{Backbone, Baseline, BaselineScores, BaselineSettings};
use shapeguard_core::foreground::segment;
use shapeguard_core::grid::Mask;
use shapeguard_core::metrics::{AUPRO_LIMITS, PixelMetrics, auroc};
use shapeguard_core::resample::{Sample, resample};
use shapeguard_core::sample::Scan;
use shapeguard_core::seams::IMAGE_SIDE;
use shapeguard_core::settings::{ForegroundSettings, Preset, Settings};
use shapeguard_data::simulator::{Category, Split};
use shapeguard_data::{GOOD, write_json};

/// Positions of the limits 0.3 and 0.01 among the seven.
const LIMITS: [usize; 2] = [0, 6];

/// What one baseline reaches on one category.
#[derive(Serialize)]
struct Figures {
    i_auroc: Option<f64>,
    p_auroc: Option<f64>,
    aupro: Option<[f64; 7]>,
    memory: usize,
    fit_seconds: f64,
    score_seconds: f64,
}

/// A test sample and what is known of it.
struct Tested {
    sample: Sample,
    truth: Mask,
    defective: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let (json_path, weights) = (take_option(&mut arguments, "--json"), take_option(&mut arguments, "--weights"));
    let mut arguments = arguments.into_iter();
    let suite_name = arguments.next().unwrap_or_else(|| DEFAULT_SUITE.to_owned());
    let benchmark = Benchmark::new(&suite_name, &arguments.collect::<Vec<_>>())?;
    let backbone = Arc::new(match &weights {
        Some(path) => Backbone::wide_resnet(&std::fs::read(path).map_err(|error| format!("{path}: {error}"))?, path)?,
        None => Backbone::embedded(),
    });
    let settings = BaselineSettings::default();

    println!(
        "Suite {suite_name}, colour by {}. Each cell: {}\n",
        backbone.name(),
        Baseline::ALL.map(Baseline::name).join(" / ")
    );
    println!("| category | I-AUROC | P-AUROC | AUPRO 0.3 | AUPRO 0.01 |");
    println!("|---|---|---|---|---|");
    let mut categories: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
    for category in benchmark.categories.iter().copied() {
        let start = Instant::now();
        let figures = run(&benchmark, category, &backbone, &settings)?;
        println!("{}", row(category.name(), &[&figures]));
        eprintln!("{category}: {:.0} s", start.elapsed().as_secs_f64());
        for (baseline, figures) in Baseline::ALL.iter().zip(&figures) {
            let Figures { memory, fit_seconds, score_seconds, .. } = figures;
            eprintln!(
                "  {}: memory {memory}, fit {fit_seconds:.2} s, test scans {score_seconds:.2} s",
                baseline.name()
            );
        }
        categories.insert(category.name(), figures);
    }
    println!("{}", row("**mean**", &categories.values().collect::<Vec<_>>()));
    if let Some(path) = json_path {
        let named = |figures: &[Figures]| {
            Baseline::ALL.iter().zip(figures).map(|(baseline, figures)| (baseline.name(), json!(figures))).collect()
        };
        let categories: BTreeMap<&str, BTreeMap<&str, serde_json::Value>> =
            categories.iter().map(|(name, figures)| (*name, named(figures))).collect();
        let (suite, limits) = (&suite_name, AUPRO_LIMITS);
        let value =
            json!({ "suite": suite, "backbone": backbone.name(), "aupro_limits": limits, "categories": categories });
        write_json(Path::new(&path), &value, true)?;
    }
    Ok(())
}

/// Fits and measures all baselines on one category.
fn run(
    benchmark: &Benchmark,
    category: Category,
    backbone: &Arc<Backbone>,
    settings: &BaselineSettings,
) -> Result<Vec<Figures>, Box<dyn Error>> {
    let Settings { foreground, seed, .. } = Settings::preset(Preset::Paper);
    let part = |scan: &Scan, name: String| part(scan, &foreground, seed).map_err(|error| format!("{name}: {error}"));
    let train: Vec<Sample> = benchmark
        .scans(category, Split::Train)
        .par_iter()
        .map(|planned| part(&benchmark.simulate(category, planned).scan, scan_name(planned)))
        .collect::<Result<_, _>>()?;
    let tested: Vec<Tested> = benchmark
        .scans(category, Split::Test)
        .par_iter()
        .map(|planned| {
            let simulated = benchmark.simulate(category, planned);
            let sample = part(&simulated.scan, scan_name(planned))?;
            let truth = truth_at_map_size(&simulated.truth, &sample);
            Ok(Tested { sample, truth, defective: scan_kind(planned) != GOOD })
        })
        .collect::<Result<_, String>>()?;
    let measure = |baseline: &Baseline| -> Result<Figures, Box<dyn Error>> {
        let start = Instant::now();
        let fitted = baseline.fit(&train, backbone, settings)?;
        let fit_seconds = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let scores: Vec<BaselineScores> = tested.par_iter().map(|tested| fitted.score(&tested.sample)).collect();
        let score_seconds = start.elapsed().as_secs_f64();
        let (of_samples, defective): (Vec<f32>, Vec<bool>) =
            scores.iter().zip(&tested).map(|(scores, tested)| (scores.score, tested.defective)).unzip();
        let maps: Vec<_> = scores.iter().map(|scores| &scores.map).collect();
        let truths: Vec<_> = tested.iter().map(|tested| &tested.truth).collect();
        let pixels = PixelMetrics::compute(&maps, &truths);
        Ok(Figures {
            i_auroc: auroc(&of_samples, &defective),
            p_auroc: pixels.as_ref().map(|pixels| pixels.p_auroc),
            aupro: pixels.map(|pixels| pixels.aupro),
            memory: fitted.memory_size(),
            fit_seconds,
            score_seconds,
        })
    };
    Baseline::ALL.iter().map(measure).collect()
}

/// The part at 224 x 224, as the method sees it under the preset `paper`.
fn part(scan: &Scan, settings: &ForegroundSettings, seed: u64) -> Result<Sample, String> {
    segment(scan, settings, None, seed)
        .map(|foreground| resample(&foreground, IMAGE_SIDE))
        .map_err(|error| error.to_string())
}

/// Means over categories as a line of the table.
fn row(name: &str, categories: &[&Vec<Figures>]) -> String {
    let four = |figure: fn(&Figures) -> Option<f64>| {
        let of = |baseline: usize| {
            format!("{:.3}", mean(categories.iter().map(|figures| figure(&figures[baseline]))).unwrap_or(f64::NAN))
        };
        (0..Baseline::ALL.len()).map(of).collect::<Vec<_>>().join(" / ")
    };
    let cells = [
        four(|f| f.i_auroc),
        four(|f| f.p_auroc),
        four(|f| f.aupro.map(|aupro| aupro[LIMITS[0]])),
        four(|f| f.aupro.map(|aupro| aupro[LIMITS[1]])),
    ];
    format!("| {name} | {} |", cells.join(" | "))
}
