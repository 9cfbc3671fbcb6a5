//! Seconds of foreground, resampling and patches on a synthetic 800 x 800 scan with about 90,000 part points, and how
//! the kept pixels compare with a slow DBSCAN's.
//!
//! `RAYON_NUM_THREADS=1 cargo run --release -p shapeguard-core --example foreground_timing`: with one thread
//! the seconds are CPU seconds.
#![allow(clippy::print_stdout)] // Printing is what this program is for.

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::time::Instant;

use shapeguard_core::expert_inputs::{normalised_patch_points, patch_cells};
use shapeguard_core::foreground::{cluster, plane, segment};
use shapeguard_core::patches::extract_patches;
use shapeguard_core::resample::resample;
use shapeguard_core::settings::{Preset, Settings};

const REPETITIONS: usize = 15;

/// Prints the median of the seconds that `run` takes and returns its last result.
fn timed<T>(what: &str, mut run: impl FnMut() -> T) -> T {
    let mut seconds = Vec::new();
    let mut result = None;
    for _ in 0..REPETITIONS {
        let start = Instant::now();
        result = Some(run());
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    println!("{what:<34} {:8.2} ms", 1e3 * seconds[REPETITIONS / 2]);
    result.expect("at least one repetition")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scene = synthetic::scene(800, 1);
    for preset in [Preset::Paper, Preset::Default] {
        let settings = Settings::preset(preset);
        let f = &settings.foreground;
        println!("preset {}, {} threads", settings.preset, rayon::current_num_threads());
        let table = timed("plane", || plane::fit_border_plane(scene.scan.cloud(), f, 0))?;
        let cloud = scene.scan.cloud();
        let points: Vec<[f32; 3]> = cloud
            .points_m()
            .as_slice()
            .iter()
            .zip(cloud.valid().as_slice())
            .filter(|(p, valid)| **valid && table.signed_distance_m(**p).abs() >= f.background_distance_m)
            .map(|(p, _)| *p)
            .collect();
        let labels = timed("DBSCAN", || cluster::dbscan(&points, f.cluster_eps_m, f.cluster_min_points));
        let part = timed("foreground in all (segment)", || segment(&scene.scan, f, None, settings.seed))?;
        let sample = timed("resample", || resample(&part, settings.image.side_px));
        let patches = timed("extract_patches", || extract_patches(&sample, &settings.patches))?;
        timed("normalised_patch_points", || normalised_patch_points(&patches));
        let cells = timed("patch_cells", || patch_cells(&patches, &settings.patches));
        println!(
            "{} points off the table, {} of the part; {} points, {} patches ({} added), {:.1} cells a patch",
            points.len(),
            part.cloud.valid().count(),
            patches.pixels.len(),
            patches.patches.len(),
            patches.added_centres,
            cells.iter().map(Vec::len).sum::<usize>() as f64 / cells.len() as f64
        );
        let start = Instant::now();
        let slow = synthetic::slow_dbscan(&points, f.cluster_eps_m, f.cluster_min_points);
        let slow_seconds = start.elapsed().as_secs_f64();
        let differing = labels.iter().zip(&slow).filter(|(a, b)| a != b).count();
        let largest = |labels: &[Option<u32>]| {
            (0..=labels.iter().flatten().max().copied().unwrap_or(0))
                .max_by_key(|label| labels.iter().filter(|l| **l == Some(*label)).count())
        };
        let (ours, true_label) = (largest(&labels), largest(&slow));
        let (mut intersection, mut union) = (0usize, 0usize);
        for (a, b) in labels.iter().zip(&slow) {
            intersection += usize::from(*a == ours && *b == true_label);
            union += usize::from(*a == ours || *b == true_label);
        }
        println!(
            "slow DBSCAN {slow_seconds:.2} s; {differing} labels differ, intersection over union {:.6}\n",
            intersection as f64 / union as f64
        );
    }
    Ok(())
}
