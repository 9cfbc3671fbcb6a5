//! What the shape expert costs on one core: `cargo run --release -p shapeguard-experts --example shape_timing`.
//!
//! Prints CPU seconds for one sample of the paper (149 patches of 500 points) and the rate of multiply-adds, beside the
//! rate of the `gemm` crate at 3000 x 512 x 512 in the same run. With `--init DIR` it writes untrained weight files
//! of both built-in architectures to DIR instead.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::time::Instant;

use shapeguard_core::matrix::multiply_transposed;
use shapeguard_core::seams::ShapeExpert;
use shapeguard_experts::shape::{PointNetNif, ShapeArchitecture, WeightPrecision};

/// A usual sample of the paper: 7,450 points in patches of 500 with overlap 10.
const PATCHES: usize = 149;
const PATCH_SIZE: usize = 500;
/// The smallest of this many measurements counts: others share the machine.
const MEASUREMENTS: usize = 7;
/// Work is repeated until a measurement takes this long: Linux counts CPU time in ticks of about 4 ms.
const MEASUREMENT_SECONDS: f64 = 0.3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let architectures = [("paper", ShapeArchitecture::paper()), ("compact", ShapeArchitecture::compact())];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, directory] = &arguments[..]
        && flag == "--init"
    {
        for (name, architecture) in architectures {
            let provenance = BTreeMap::from([("trained_on".to_owned(), "untrained".to_owned())]);
            let bytes = PointNetNif::random(&architecture, 0).to_safetensors(WeightPrecision::F16, &provenance);
            std::fs::write(format!("{directory}/shape-{name}.safetensors"), bytes)?;
        }
        return Ok(());
    }
    rayon::ThreadPoolBuilder::new().num_threads(1).build()?.install(|| {
        report("gemm 3000x512x512", 3000 * 512 * 512, gemm_seconds());
        for (name, architecture) in architectures {
            let expert = PointNetNif::random(&architecture, 1);
            let points: Vec<[f32; 3]> = (0..PATCHES * PATCH_SIZE)
                .map(|i| [0.37, 0.73, 0.91].map(|step| (i as f32 * step).sin() * 0.5))
                .collect();
            let features = expert.encode(&points, PATCH_SIZE);
            let seconds = cpu_seconds(|| drop(expert.encode(&points, PATCH_SIZE)));
            report(&format!("{name} encoder"), PATCHES * architecture.encoder_multiply_adds(PATCH_SIZE), seconds);
            let seconds = cpu_seconds(|| drop(expert.signed_distances(&features, &points, PATCH_SIZE)));
            report(&format!("{name} NIF"), PATCHES * architecture.patch_multiply_adds(PATCH_SIZE), seconds);
        }
        report("gemm 3000x512x512", 3000 * 512 * 512, gemm_seconds());
    });
    Ok(())
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
