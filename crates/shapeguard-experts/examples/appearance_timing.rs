//! What the appearance expert costs on one core: `cargo run --release -p shapeguard-experts --example appearance_timing`,
//! with a weight file of Wide-ResNet-50-2 as argument if that is to be timed with real weights instead of constants (which
//! changes nothing in its time).
//!
//! Prints CPU seconds for one image and the rate of multiply-adds, beside the rate of the `gemm` crate at
//! 3000 x 512 x 512 in the same run.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use safetensors::tensor::{Dtype, TensorView};
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
        None => WideResNet50::from_bytes(&constant_weights()?, "constant")?,
    };
    let image = Grid::from_fn(GridSize::new(IMAGE_SIDE, IMAGE_SIDE), |row, col| {
        [0.1, 0.2, 0.3].map(|step| ((row * 7 + col * 3) as f32 * step).sin() * 0.5 + 0.5)
    });
    let efficientnet = efficientnet_lite0();
    rayon::ThreadPoolBuilder::new().num_threads(1).build()?.install(|| {
        report("gemm 3000x512x512", 3000 * 512 * 512, gemm_seconds());
        let seconds = cpu_seconds(|| drop(efficientnet.describe(&image)));
        report("EfficientNet-Lite0", efficientnet_multiply_adds(), seconds);
        let seconds = cpu_seconds(|| drop(resnet.describe(&image)));
        report("Wide-ResNet-50-2", wide_resnet_multiply_adds(), seconds);
        report("gemm 3000x512x512", 3000 * 512 * 512, gemm_seconds());
    });
    Ok(())
}

/// Multiply-adds of EfficientNet-Lite0 to stride 8: the stem, then expansion, depthwise convolution and projection.
fn efficientnet_multiply_adds() -> usize {
    let stem = 27 * 32 * 112 * 112;
    // inputs, wide, outputs, kernel, input side, output side; the first block does not expand.
    let blocks = [
        (0, 32, 16, 3, 112, 112),
        (16, 96, 24, 3, 112, 56),
        (24, 144, 24, 3, 56, 56),
        (24, 144, 40, 5, 56, 28),
        (40, 240, 40, 5, 28, 28),
    ];
    let block = |(inputs, wide, outputs, kernel, from, to): (usize, usize, usize, usize, usize, usize)| {
        inputs * wide * from * from + (kernel * kernel + outputs) * wide * to * to
    };
    stem + blocks.into_iter().map(block).sum::<usize>()
}

/// Multiply-adds of Wide-ResNet-50-2 to layer 2 as a direct convolution counts them.
fn wide_resnet_multiply_adds() -> usize {
    let pixels = [56 * 56, 28 * 28];
    let first = pixels[0] * (128 * (64 + 2 * 256 + 3 * 9 * 128 + 3 * 256) + 64 * 256);
    let second = pixels[0] * 256 * 256 + pixels[1] * (256 * (3 * 512 + 4 * 9 * 256 + 4 * 512) + 256 * 512);
    112 * 112 * 147 * 64 + first + second
}

/// Weights of the right shapes.
fn constant_weights() -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |convolution: String, norm: String, shape: [usize; 4]| {
        shapes.push((format!("{convolution}.weight"), shape.to_vec()));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            shapes.push((format!("{norm}.{part}"), vec![shape[0]]));
        }
    };
    add("conv1".into(), "bn1".into(), [64, 3, 7, 7]);
    for (layer, blocks, inputs, narrow, outputs) in [(1, 3, 64, 128, 256), (2, 4, 256, 256, 512)] {
        for block in 0..blocks {
            let prefix = format!("layer{layer}.{block}");
            let inputs = if block == 0 { inputs } else { outputs };
            add(format!("{prefix}.conv1"), format!("{prefix}.bn1"), [narrow, inputs, 1, 1]);
            add(format!("{prefix}.conv2"), format!("{prefix}.bn2"), [narrow, narrow, 3, 3]);
            add(format!("{prefix}.conv3"), format!("{prefix}.bn3"), [outputs, narrow, 1, 1]);
        }
        add(format!("layer{layer}.0.downsample.0"), format!("layer{layer}.0.downsample.1"), [outputs, inputs, 1, 1]);
    }
    let bytes = |count: usize| 0.01f32.to_le_bytes().repeat(count);
    let data: Vec<Vec<u8>> = shapes.iter().map(|(_, shape)| bytes(shape.iter().product())).collect();
    let views = shapes
        .iter()
        .zip(&data)
        .map(|((name, shape), data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)));
    safetensors::serialize(views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?, None)
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
