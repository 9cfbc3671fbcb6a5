//! Times the pixel metrics and the bank searches at the sizes of a full evaluation.
//!
//! `cargo run --release -p shapeguard-core --example metrics_timing`

use std::io::{Result, Write, stdout};
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shapeguard_core::fusion::gaussian_blur;
use shapeguard_core::grid::{Grid, GridSize, Mask, ScoreMap};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::memory::{ExactSearch, FeatureBank};
use shapeguard_core::metrics::PixelMetrics;
use shapeguard_core::scoring::rebuild_features;
use shapeguard_core::seams::{BankSearch, IMAGE_SIDE};
use shapeguard_core::settings::{Preset, Settings};

/// MVTec 3D-AD has 1,197 test samples.
const MAPS: usize = 1200;
/// Runs of each small timing; the smallest counts.
const RUNS: usize = 10;

fn main() -> Result<()> {
    let mut out = stdout().lock();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    writeln!(out, "threads: {}", rayon::current_num_threads())?;
    for (name, patches, rows, dim, k) in
        [("SDF", 149, 15_000, 128, 10), ("RGB", 223, 25_000, 64, 5), ("RGB", 223, 208_230, 64, 5)]
    {
        let mut random = |n: usize| Matrix::from_vec(n, dim, (0..n * dim).map(|_| rng.random::<f32>()).collect());
        let (bank, queries) = (FeatureBank::from(random(rows)), random(patches));
        let every_third: Vec<u32> = (0..rows as u32).filter(|row| row % 3 != 0).collect();
        let all = fastest(|| ExactSearch.nearest(&bank, None, &queries, k));
        let some = fastest(|| ExactSearch.nearest(&bank, Some(&every_third), &queries, k));
        let neighbours = ExactSearch.nearest(&bank, None, &queries, k);
        let settings = Settings::preset(Preset::Paper).memory;
        let codes =
            fastest(|| rebuild_features(&queries, &bank, &neighbours, settings.shape_coding, settings.nonzeros));
        writeln!(
            out,
            "{name} search {patches} x ({rows} x {dim}), k {k}: {all:.2} ms; two thirds allowed: {some:.2} ms; sparse codes: {codes:.2} ms"
        )?;
    }

    let size = GridSize::new(IMAGE_SIDE, IMAGE_SIDE);
    let truths: Vec<Mask> = (0..MAPS)
        .map(|map| {
            let (top, left, side) = (rng.random_range(0..180), rng.random_range(0..180), rng.random_range(3..40));
            let inside = |x: usize, first: usize| (first..first + side).contains(&x);
            Grid::from_fn(size, |row, col| map % 4 != 0 && inside(row, top) && inside(col, left))
        })
        .collect();
    let noise = |rng: &mut ChaCha8Rng| Grid::from_fn(size, |_, _| rng.random::<f32>());
    let blur = fastest(|| gaussian_blur(&noise(&mut ChaCha8Rng::seed_from_u64(2)), 4.0, 4.0))
        - fastest(|| noise(&mut ChaCha8Rng::seed_from_u64(2)));
    writeln!(out, "blur of a 224 x 224 map: {blur:.2} ms")?;
    let maps: Vec<ScoreMap> = truths
        .iter()
        .map(|truth| Grid::from_fn(size, |row, col| rng.random::<f32>() + if truth[(row, col)] { 0.3 } else { 0.0 }))
        .collect();
    let start = Instant::now();
    let metrics = PixelMetrics::compute(&maps, &truths);
    writeln!(out, "pixel metrics of {MAPS} maps: {:.2} s wall", start.elapsed().as_secs_f64())?;
    if let Some(metrics) = metrics {
        writeln!(
            out,
            "P-AUROC {:.4}, AUPRO {:.4?}, 100 thresholds {:.4?}",
            metrics.p_auroc, metrics.aupro, metrics.aupro_100
        )?;
    }
    Ok(())
}

/// Milliseconds of the fastest of several runs.
fn fastest<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        std::hint::black_box(run());
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
    }
    best
}
