//! How long the greedy coreset takes.
//!
//! `cargo run --release -p shapeguard-baselines --example coreset_timing -- [ROWS] [COLS] [SHARE]`; features are clumps of
//! pseudo-random numbers.

#![allow(clippy::print_stdout, reason = "the time is the result")]

use std::error::Error;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use shapeguard_baselines::BaselineSettings;
use shapeguard_core::coreset::greedy_coreset;
use shapeguard_core::matrix::Matrix;

/// Features of one clump.
const CLUMP: usize = 50;
/// Deviation within a clump, where clumps' centres are drawn from 0..1.
const SPREAD: f32 = 0.2;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: &str| arguments.get(at).map_or(default, String::as_str).to_owned();
    let (rows, cols): (usize, usize) = (number(0, "15680").parse()?, number(1, "64").parse()?);
    let share: f64 = number(2, "0.1").parse()?;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let mut features = Matrix::zeros(rows, cols);
    let mut centre = vec![0.0f32; cols];
    for row in 0..rows {
        if row % CLUMP == 0 {
            centre.iter_mut().for_each(|x| *x = rng.random());
        }
        features.row_mut(row).iter_mut().zip(&centre).for_each(|(x, c)| *x = c + SPREAD * rng.random::<f32>());
    }
    let start = Instant::now();
    let count = (rows as f64 * share).round() as usize;
    let coreset = greedy_coreset(&features, count, BaselineSettings::default().bank.projected_dim, 0);
    let radius = coreset.radii.last().copied().unwrap_or_default();
    let seconds = start.elapsed().as_secs_f64();
    println!("{rows} features of {cols}: {} chosen in {seconds:.2} s, radius {radius:.3}", coreset.rows.len());
    Ok(())
}
