//! What each kernel of the method costs by itself, beside the machine's limits of the same run: `cargo bench -p shapeguard`.
//!
//! Sizes are those of a usual scan of the paper: 7,450 points of 224 x 224, 149 patches of 500 points, 784 cells. Whole scans are
//! measured by `shapeguard bench`. A word on the command line chooses the kernels that contain it.
#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::hint::black_box;

use rand::{RngExt, SeedableRng};
use shapeguard::bench::{Cost, Machine, measure};
use shapeguard_core::coreset::greedy_coreset;
use shapeguard_core::foreground::segment;
use shapeguard_core::fusion::gaussian_blur;
use shapeguard_core::grid::{Grid, GridSize, Mask, ScoreMap};
use shapeguard_core::matrix::{Matrix, product_transposed};
use shapeguard_core::memory::{ExactSearch, FeatureBank};
use shapeguard_core::metrics::{PixelMetrics, auroc};
use shapeguard_core::patches::extract_patches;
use shapeguard_core::resample::resample;
use shapeguard_core::seams::{AppearanceExpert, BankSearch, IMAGE_SIDE, ShapeExpert};
use shapeguard_core::settings::{Preset, Settings};
use shapeguard_core::sparse_coding::orthogonal_matching_pursuit;
use shapeguard_data::simulator::{Category, simulate_scan_at};
use shapeguard_experts::appearance::{WideResNet50, efficientnet_lite0};
use shapeguard_experts::shape::builtin;

/// Each kernel is repeated until it took so many seconds.
const SECONDS: f64 = 0.5;
/// Patches of a usual scan, and points of a patch.
const PATCHES: usize = 149;
/// See [`PATCHES`].
const PATCH_SIZE: usize = 500;
/// Cells of the paper's image.
const CELLS: usize = 784;
/// Directions in which features differ, but for some noise: about as many as an encoder's neighbourhoods have.
const FEATURE_DIRECTIONS: usize = 6;
/// Searches after which a bank is searched as in the long run.
const SEARCHES_BEFORE: usize = 3;
/// Rows of the banks that are searched: about 100 samples' colours.
const BANK_ROWS: usize = 25_000;
/// Maps of the metrics.
const MAPS: usize = 120;
/// Makes the simulated pear's scan one of 800 x 800 pixels.
const SCAN_SCALE: f32 = 2.0;

/// Chooses and prints kernels.
struct Table {
    machine: Machine,
    wanted: Option<String>,
}

impl Table {
    fn wants(&self, kernel: &str) -> bool {
        self.wanted.as_ref().is_none_or(|word| kernel.contains(word.as_str()))
    }

    /// Measures a kernel, if it is wanted, and prints its row. `multiply_adds` where products are nearly all of its work.
    fn kernel<T>(&self, name: &str, multiply_adds: Option<usize>, run: impl FnMut() -> T) {
        if self.wants(name) {
            let (_, cost) = measure(SECONDS, run);
            println!("{}", self.row(name, multiply_adds, &cost));
        }
    }

    fn row(&self, name: &str, multiply_adds: Option<usize>, cost: &Cost) -> String {
        let milliseconds = |seconds: Option<f64>| seconds.map_or_else(String::new, |s| format!("{:.3}", 1e3 * s));
        let rate = multiply_adds.zip(cost.cpu_seconds).map(|(count, seconds)| 2e-9 * count as f64 / seconds);
        let share = rate.map(|rate| rate / self.machine.fma_gflops_per_cpu_second);
        format!(
            "| {name} | {} | {} | {} | {} | {} |",
            milliseconds(Some(cost.wall_seconds)),
            milliseconds(cost.cpu_seconds),
            multiply_adds.map_or_else(String::new, |count| format!("{:.3}", 1e-9 * count as f64)),
            rate.map_or_else(String::new, |rate| format!("{rate:.1}")),
            share.map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share))
        )
    }
}

fn main() {
    // Cargo passes `--bench`; the word is what is no option.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let table = Table { machine: Machine::measure(), wanted };
    let Machine { platform, vector_instructions, threads, fma_gflops_per_cpu_second, read_gb_per_second, .. } =
        &table.machine;
    println!(
        "{platform}, {vector_instructions}, {threads} threads; limits: {fma_gflops_per_cpu_second:.0} GFLOP per CPU second, memory read at {read_gb_per_second:.1} GB/s by one thread\n"
    );
    println!("| kernel | wall ms | CPU ms | GMAC | GFLOP per CPU s | of the limit |\n|---|---|---|---|---|---|");
    geometry(&table);
    experts(&table);
    banks(&table);
    maps(&table);
}

/// From a scan to patches.
fn geometry(table: &Table) {
    let settings = Settings::preset(Preset::Paper);
    let Some(pear) = Category::by_name("pear") else { unreachable!("the simulator has pears") };
    let scan = simulate_scan_at(pear, 1, 0, None, SCAN_SCALE).scan;
    table.kernel("foreground of 800 x 800", None, || segment(&scan, &settings.foreground, None, 0));
    let Ok(part) = segment(&scan, &settings.foreground, None, 0) else { unreachable!("the pear is found") };
    table.kernel("to 224 x 224", None, || resample(&part, IMAGE_SIDE));
    let sample = resample(&part, IMAGE_SIDE);
    let points = sample.cloud.valid().count();
    let name = format!("patches of {points} points");
    table.kernel(&name, None, || extract_patches(&sample, &settings.patches));
}

/// The networks.
fn experts(table: &Table) {
    let points: Vec<[f32; 3]> =
        (0..PATCHES * PATCH_SIZE).map(|i| [0.37, 0.73, 0.91].map(|step| (i as f32 * step).sin() * 0.5)).collect();
    for name in ["paper", "compact"] {
        let Some(expert) = builtin(name) else { unreachable!("both experts are built in") };
        let features = expert.encode(&points, PATCH_SIZE);
        let count = |per_patch: Option<usize>| per_patch.map(|count| count * PATCHES);
        let encode = count(expert.encode_multiply_adds(PATCH_SIZE));
        table.kernel(&format!("{name} encoder, 149 patches"), encode, || expert.encode(&points, PATCH_SIZE));
        let distances = count(expert.distance_multiply_adds(PATCH_SIZE));
        table.kernel(&format!("{name} NIF, 74,500 points"), distances, || {
            expert.signed_distances(&features, &points, PATCH_SIZE)
        });
    }
    let image = Grid::from_fn(GridSize::new(IMAGE_SIDE, IMAGE_SIDE), |row, col| {
        [0.3, 0.5, 0.7].map(|step| ((row * 3 + col) as f32 * step).sin().mul_add(0.5, 0.5))
    });
    let small = efficientnet_lite0();
    table.kernel("EfficientNet-Lite0", small.multiply_adds(IMAGE_SIDE), || small.describe(&image));
    if table.wants("Wide-ResNet-50-2, layers 1 and 2") {
        let large = WideResNet50::random(0);
        let count = large.multiply_adds(IMAGE_SIDE);
        table.kernel("Wide-ResNet-50-2, layers 1 and 2", count, || large.describe(&image));
    }
}

/// Products, searches, sparse codes, coresets.
fn banks(table: &Table) {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut matrix = |rows: usize, cols: usize| {
        Matrix::from_vec(rows, cols, (0..rows * cols).map(|_| random.random::<f32>()).collect())
    };
    let (left, right) = (matrix(3000, 512), matrix(512, 512));
    table.kernel("product, 3,000 x 512 x 512", Some(3000 * 512 * 512), || product_transposed(&left, &right));
    for (what, queries, width, k) in [
        ("SDF, 149 of 128 values", PATCHES, 128, 10),
        ("RGB, 784 of 64", CELLS, 64, 5),
        ("RGB, 784 of 768", CELLS, 768, 5),
    ] {
        let name = format!("search of 25,000: {what}");
        if table.wants(&name) {
            let directions = matrix(width, FEATURE_DIRECTIONS);
            let mut features = |rows: usize| {
                let mut features = product_transposed(&matrix(rows, FEATURE_DIRECTIONS), &directions);
                let noise = matrix(rows, width);
                features
                    .as_mut_slice()
                    .iter_mut()
                    .zip(noise.as_slice())
                    .for_each(|(value, noise)| *value += 0.1 * noise);
                features
            };
            let (features, queries) = (features(BANK_ROWS), features(queries));
            let count = queries.rows() * BANK_ROWS * width;
            table.kernel(&format!("{name}, the first one"), Some(count), || {
                ExactSearch.nearest(&FeatureBank::from(features.clone()), None, &queries, k)
            });
            let bank = FeatureBank::from(features);
            // Until it is searched by a tree.
            (0..SEARCHES_BEFORE).for_each(|_| drop(ExactSearch.nearest(&bank, None, &queries, k)));
            table.kernel(&format!("{name}, later ones"), None, || ExactSearch.nearest(&bank, None, &queries, k));
        }
    }
    let (signals, atoms) = (matrix(PATCHES, 128), matrix(10, 128));
    table.kernel("149 sparse codes, 3 of 10 atoms", None, || {
        (0..PATCHES).map(|row| orthogonal_matching_pursuit(signals.row(row), &atoms, 3).residual).sum::<f32>()
    });
    let features = matrix(5000, 64);
    table.kernel("coreset, 500 of 5,000 x 64", None, || greedy_coreset(&features, 500, 128, 0));
}

/// Blur and metrics.
fn maps(table: &Table) {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(8);
    let size = GridSize::new(IMAGE_SIDE, IMAGE_SIDE);
    let maps: Vec<ScoreMap> = (0..MAPS).map(|_| Grid::from_fn(size, |_, _| random.random::<f32>())).collect();
    let truths: Vec<Mask> =
        (0..MAPS).map(|i| Grid::from_fn(size, |row, col| i % 2 == 0 && row / 20 == 4 && col / 30 == i % 7)).collect();
    table.kernel("blur, sigma 4", None, || gaussian_blur(&maps[0], 4.0, 4.0));
    table.kernel("pixel metrics of 120 maps", None, || PixelMetrics::compute(&maps, &truths));
    let scores: Vec<f32> = (0..1200).map(|i| (i as f32 * 0.37).sin()).collect();
    let defective: Vec<bool> = (0..1200).map(|i| i % 3 == 0).collect();
    table.kernel("AUROC of 1,200 scores", None, || black_box(auroc(&scores, &defective)));
}
