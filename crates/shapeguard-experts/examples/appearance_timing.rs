//! What the appearance expert costs on one core: `cargo run --release -p shapeguard-experts --example appearance_timing`,
//! with a weight file of Wide-ResNet-50-2 as argument if that is to be timed with real weights instead of random ones (which
//! changes nothing in its time).
//!
//! Prints CPU seconds for one image and the rate of multiply-adds, beside the rate of the `gemm` crate at
//! 3000 x 512 x 512 in the same run.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use shapeguard_core::grid::{Grid, GridSize};
use shapeguard_core::matrix::multiply_transposed;
use shapeguard_core::seams::{AppearanceExpert, IMAGE_SIDE};
use shapeguard_experts::appearance::{WideResNet50, efficientnet_lite0};

/// The smallest of this many measurements counts: others share the machine.
const MEASUREMENTS: usize = 7;
/// Work is repeated until a measurement takes this long.
const MEASUREMENT_SECONDS: f64 = 0.3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let resnet = match std::env::args().nth(1) {
        Some(path) => WideResNet50::from_bytes(&std::fs::read(&path)?, &path)?,
        None => WideResNet50::random(0),
    };
    let image = Grid::from_fn(GridSize::new(IMAGE_SIDE, IMAGE_SIDE), |row, col| {
        [0.1, 0.2, 0.3].map(|step| ((row * 7 + col * 3) as f32 * step).sin() * 0.5 + 0.5)
    });
    let efficientnet = efficientnet_lite0();
    rayon::ThreadPoolBuilder::new().num_threads(1).build()?.install(|| {
        report("gemm 3000x512x512", 3000 * 512 * 512, gemm_seconds());
        let seconds = cpu_seconds(|| drop(efficientnet.describe(&image)));
        report("EfficientNet-Lite0", multiply_adds(&efficientnet), seconds);
        let seconds = cpu_seconds(|| drop(resnet.describe(&image)));
        report("Wide-ResNet-50-2", multiply_adds(&resnet), seconds);
        report("gemm 3000x512x512", 3000 * 512 * 512, gemm_seconds());
    });
    Ok(())
}

fn multiply_adds(expert: &dyn AppearanceExpert) -> usize {
    expert.multiply_adds(IMAGE_SIDE).expect("the networks count")
}

fn report(what: &str, multiply_adds: usize, seconds: f64) {
    let gmac = multiply_adds as f64 * 1e-9;
    println!("{what:18} {seconds:8.4} CPU s  {gmac:8.3} GMAC  {:7.1} GFLOP/s", 2.0 * gmac / seconds);
}

fn gemm_seconds() -> f64 {
    let (m, k, n) = (3000, 512, 512);
    let a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.37).sin()).collect();
    let b: Vec<f32> = (0..n * k).map(|i| (i as f32 * 0.73).cos()).collect();
    let mut out = vec![0.0; m * n];
    cpu_seconds(|| multiply_transposed(&a, &b, &mut out, m, k, n, false))
}

/// CPU seconds of the fastest of several measurements.
fn cpu_seconds(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut measure = || {
        let before = thread_seconds(start);
        for repetitions in 1.. {
            work();
            let seconds = thread_seconds(start) - before;
            if seconds >= MEASUREMENT_SECONDS {
                return seconds / f64::from(repetitions);
            }
        }
        unreachable!("the clock goes on")
    };
    (0..MEASUREMENTS).map(|_| measure()).fold(f64::INFINITY, f64::min)
}

/// CPU seconds of this thread where the system tells (Linux), else wall-clock seconds.
fn thread_seconds(start: Instant) -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
        .map_or_else(|| start.elapsed().as_secs_f64(), |nanoseconds| nanoseconds * 1e-9)
}
