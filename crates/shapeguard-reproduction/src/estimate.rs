//! What a reproduction will take, before it starts: the work is counted, and its dearest parts are timed on one scan.

use std::sync::Arc;

use cpu_time::ProcessTime;
use serde::Serialize;
use shapeguard::detector::ScanError;
use shapeguard::experts::Experts;
use shapeguard_baselines::{Backbone, Baseline, BaselineSettings};
use shapeguard_core::foreground::segment;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::memory::DualMemory;
use shapeguard_core::resample::resample;
use shapeguard_core::scoring::LeaveOut;
use shapeguard_core::seams::{CELL_COUNT, IMAGE_SIDE};
use shapeguard_core::settings::Settings;
use shapeguard_data::Dataset;

use crate::category::variants;
use crate::error::ReproductionError;
use crate::options::{Options, Part, SWEEP_POINTS, spread};
use crate::study::Laboratory;
use crate::variant::{Banks, SHAPE_GUIDED, compare};

/// Rows of the bank that the search is timed on.
const TIMED_ROWS: usize = 8192;
/// Bytes of a sample of 224 x 224 pixels: three coordinates, three colours, a mask.
const SAMPLE_BYTES: usize = IMAGE_SIDE * IMAGE_SIDE * 25;
/// Bytes of a map.
const MAP_BYTES: usize = IMAGE_SIDE * IMAGE_SIDE * 4;
/// Bytes of a row of pictures: of suite v1's they have 150,000 at a mean; finer surfaces take more.
const PICTURE_BYTES: usize = 400_000;
/// Bytes that the program and the scans in flight take anyway (docs/performance.md: 135 to 216 MiB with 20 scans in the memory).
const BASE_BYTES: usize = 300_000_000;

/// CPU seconds of a test scan's files, metrics, intervals and pictures. Measured: `reproduce --categories biscuit,gear --shape-expert
/// compact --colour embedded --without full-bank,points-per-patch,coding,baselines,timing` on suite v1 took 9.0 CPU seconds, 6.5 of which
/// were counted elsewhere, for 60 test scans.
const SECONDS_PER_SCAN: f64 = 0.04;

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// CPU seconds of all threads together.
    pub cpu_seconds: f64,
    /// Wall-clock seconds if nothing else runs on this machine.
    pub seconds: f64,
    /// Largest memory, bytes.
    pub bytes: u64,
    /// Scans that are prepared, each time counted.
    pub scans: usize,
}

/// What one scan costs.
struct Pilot {
    prepare: f64,
    compare: f64,
    /// Of one cell against one row of the bank.
    search: f64,
    cells: usize,
    patches: usize,
    feature_dim: usize,
}

/// Estimates the measuring of these categories, of which there is at least one.
///
/// # Errors
/// If the first training scan cannot be used.
pub fn estimate(
    laboratory: &Laboratory<'_>,
    datasets: &[&Dataset],
    settings: &Settings,
    options: &Options,
    backbone: Option<&Arc<Backbone>>,
    also: &[(Settings, Experts)],
) -> Result<Estimate, ReproductionError> {
    let Some(first) = datasets.first() else {
        return Ok(Estimate { cpu_seconds: 0.0, seconds: 0.0, bytes: 0, scans: 0 });
    };
    let pilot = pilot(laboratory, first, settings)?;
    let baselines = match backbone.filter(|_| options.has(Part::Baselines)) {
        Some(backbone) => Some((baseline_seconds(laboratory, first, settings, backbone)?, backbone.channels())),
        None => None,
    };
    let mut others = Vec::with_capacity(also.len());
    for (settings, experts) in also {
        let pilot = self::pilot(&Laboratory { experts, ..*laboratory }, first, settings)?;
        others.push(pilot.prepare + pilot.compare);
    }
    let (mut cpu_seconds, mut bytes, mut scans) = (0.0, 0, 0);
    for dataset in datasets {
        let (train, tests) = (dataset.train.len(), dataset.test.len());
        let sweep = spread(&dataset.test, options.sweep_scans).len();
        let aligned = settings.fusion.alignment_samples.min(train);
        let bank = train * pilot.cells;
        let mut prepared = train + tests;
        let mut compared = aligned + tests;
        let mut searched = 0;
        if options.has(Part::Coding) {
            compared += aligned + if sweep == tests { tests } else { 2 * sweep };
        }
        if options.has(Part::FullBank) {
            searched += (aligned + tests) * pilot.cells * (bank + bank / 10);
        }
        if options.has(Part::PointsPerPatch) {
            prepared += SWEEP_POINTS.len() * (train + sweep);
            compared += SWEEP_POINTS.len() * (aligned + sweep);
            if !options.has(Part::Coding) && sweep != tests {
                compared += sweep;
            }
        }
        if options.has(Part::Timing) {
            let timed = options.timing_scans.min(tests);
            let variants = if options.has(Part::FullBank) { 3 } else { 1 };
            prepared += variants * timed;
            compared += variants * timed;
        }
        let mut baseline_bytes = 0;
        if let Some((seconds, width)) = baselines {
            cpu_seconds += (train + tests) as f64 * seconds;
            baseline_bytes = (train + tests) * SAMPLE_BYTES + 2 * train * CELL_COUNT * width * 4;
        }
        // Fitting compares each training scan once, and so does the evaluation each test scan.
        cpu_seconds += others.iter().sum::<f64>() * (train + dataset.validation.len() + tests) as f64;
        cpu_seconds += tests as f64 * SECONDS_PER_SCAN;
        cpu_seconds +=
            prepared as f64 * pilot.prepare + compared as f64 * pilot.compare + searched as f64 * pilot.search;
        scans += prepared;
        let shape_features = pilot.patches * laboratory.experts.shape.feature_dim();
        let features = train * (pilot.cells * pilot.feature_dim + shape_features) * 4;
        let members = pilot.patches * settings.patches.points_per_patch;
        let kept = aligned * (CELL_COUNT * pilot.feature_dim + shape_features + members) * 4;
        let maps_per_scan: usize = variants(options).iter().map(|variant| variant.channels.len()).sum();
        let maps = tests * (maps_per_scan * MAP_BYTES + PICTURE_BYTES);
        bytes = bytes.max(BASE_BYTES + (features + kept + maps).max(baseline_bytes));
    }
    let seconds = cpu_seconds / rayon::current_num_threads() as f64;
    Ok(Estimate { cpu_seconds, seconds, bytes: bytes as u64, scans })
}

/// CPU seconds of one sample in all baselines, from its file to its scores.
fn baseline_seconds(
    laboratory: &Laboratory<'_>,
    dataset: &Dataset,
    settings: &Settings,
    backbone: &Arc<Backbone>,
) -> Result<f64, ReproductionError> {
    let fail =
        |source: ScanError| ReproductionError::TrainingScan { category: dataset.name.clone(), source: source.into() };
    let Some(entry) = dataset.train.first() else { return Ok(0.0) };
    let start = ProcessTime::now();
    let loaded = (laboratory.read)(&entry.source).map_err(|error| fail(error.into()))?;
    let part = segment(&loaded.scan, &settings.foreground, loaded.mask.as_ref(), settings.seed);
    let part = part.map_err(|error| fail(ScanError::NotJudged { name: entry.name.clone(), source: error.into() }))?;
    // PaDiM needs two.
    let samples = vec![resample(&part, settings.image.side_px); 2];
    for baseline in Baseline::ALL {
        let fitted = baseline
            .fit(&samples, backbone, &BaselineSettings::default())
            .map_err(|source| ReproductionError::Baseline { category: dataset.name.clone(), source })?;
        std::hint::black_box(fitted.memory_size());
    }
    // Two samples were described; scoring one describes it once.
    Ok(start.elapsed().as_secs_f64() / 2.0)
}

fn pilot(laboratory: &Laboratory<'_>, dataset: &Dataset, settings: &Settings) -> Result<Pilot, ReproductionError> {
    let category = || dataset.name.clone();
    let Some(entry) = dataset.train.first() else {
        return Err(ReproductionError::TooFew { category: category(), what: "training scans", needed: 2, found: 0 });
    };
    let fail = |source: ScanError| ReproductionError::TrainingScan { category: category(), source: source.into() };
    let loaded = (laboratory.read)(&entry.source).map_err(|error| fail(error.into()))?;
    let start = ProcessTime::now();
    let prepared = laboratory
        .experts
        .prepare(&loaded, settings)
        .map_err(|source| fail(ScanError::NotJudged { name: entry.name.clone(), source }))?;
    let prepare = start.elapsed().as_secs_f64();
    let mut banks = Banks { memory: DualMemory::default(), coreset: Vec::new() };
    banks.memory.add(&prepared.features);
    let start = ProcessTime::now();
    let (experts, memory) = (laboratory.experts, &settings.memory);
    compare(&[SHAPE_GUIDED], &prepared.features, &prepared.patches, &banks, experts, memory, LeaveOut::Nothing);
    let compare = start.elapsed().as_secs_f64();
    let cells = prepared.features.used_cells();
    let queries = prepared.features.appearance.select_rows(cells.iter().map(|cell| *cell as usize));
    let width = queries.cols();
    let bank = Matrix::from_vec(
        TIMED_ROWS,
        width,
        queries.as_slice().iter().copied().cycle().take(TIMED_ROWS * width).collect(),
    );
    // A bank's first search compares every row: what later ones take at most.
    let start = ProcessTime::now();
    experts.search.nearest(&bank.into(), None, &queries, memory.appearance_neighbours);
    let search = start.elapsed().as_secs_f64() / (TIMED_ROWS * cells.len().max(1)) as f64;
    Ok(Pilot {
        prepare,
        compare,
        search,
        cells: cells.len(),
        patches: prepared.patches.patches.len(),
        feature_dim: width,
    })
}
