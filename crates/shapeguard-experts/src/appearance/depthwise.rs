//! Depthwise convolution of one row of pixels, each channel by itself, fused with ReLU6.
//!
//! The kernel is written once, for one block of channels at a time with that block's weights in registers, and compiled
//! for each set of instructions.

use super::convolution::{Clamp, FoldedWeights, Geometry};
use super::map::{LANES, Line};
use crate::simd::{PORTABLE_FUSED, Simd, multiply_add};

/// A depthwise convolution with packed weights.
pub(super) struct Depthwise {
    channels: usize,
    geometry: Geometry,
    clamp: Clamp,
    /// Block of channels after block; each holds a line for each kernel row and column.
    weights: Vec<Line>,
    /// One line a block.
    bias: Vec<Line>,
}

/// One output row.
struct RowJob<'a, const KERNEL: usize> {
    /// The rows under the kernel, their left and right margins included.
    rows: [&'a [f32]; KERNEL],
    stride: usize,
    weights: &'a [Line],
    bias: &'a [Line],
    clamp: Clamp,
}

impl Depthwise {
    /// Packs the weights.
    pub(super) fn new(channels: usize, geometry: Geometry, clamp: Clamp, folded: &FoldedWeights) -> Self {
        let taps = geometry.kernel * geometry.kernel;
        assert!(matches!(geometry.kernel, 3 | 5), "there are kernels of 3 and 5 rows");
        assert_eq!(folded.weight.len(), channels * taps);
        assert_eq!(folded.bias.len(), channels);
        let blocks = channels.div_ceil(LANES);
        let mut weights = vec![Line([0.0; LANES]); blocks * taps];
        let mut bias = vec![Line([0.0; LANES]); blocks];
        for (channel, (plane, b)) in folded.weight.chunks_exact(taps).zip(&folded.bias).enumerate() {
            let (block, lane) = (channel / LANES, channel % LANES);
            bias[block].0[lane] = *b;
            for (tap, value) in plane.iter().enumerate() {
                weights[block * taps + tap].0[lane] = *value;
            }
        }
        Self { channels, geometry, clamp, weights, bias }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// One output row, written to `out`; `row(i)` is the i-th row under the kernel with its margins. Both are laid out
    /// like rows of a [`FeatureMap`](super::map::FeatureMap), without margins in `out`.
    pub(super) fn forward<'a>(&self, simd: Simd, row: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
        match self.geometry.kernel {
            3 => self.forward_rows::<3>(simd, std::array::from_fn(row), out),
            5 => self.forward_rows::<5>(simd, std::array::from_fn(row), out),
            _ => unreachable!("`new` refuses other kernels"),
        }
    }

    fn forward_rows<const KERNEL: usize>(&self, simd: Simd, rows: [&[f32]; KERNEL], out: &mut [f32]) {
        let job =
            RowJob { rows, stride: self.geometry.stride, weights: &self.weights, bias: &self.bias, clamp: self.clamp };
        match simd {
            // SAFETY: these levels exist only where `Simd::available` detected the instructions.
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => unsafe { row_avx512(&job, out) },
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => unsafe { row_avx2(&job, out) },
            Simd::Portable => row::<KERNEL, PORTABLE_FUSED>(&job, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn row_avx512<const KERNEL: usize>(job: &RowJob<KERNEL>, out: &mut [f32]) {
    row::<KERNEL, true>(job, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn row_avx2<const KERNEL: usize>(job: &RowJob<KERNEL>, out: &mut [f32]) {
    row::<KERNEL, true>(job, out);
}

#[inline(always)]
fn row<const KERNEL: usize, const FUSED: bool>(job: &RowJob<KERNEL>, out: &mut [f32]) {
    let blocks = job.bias.len();
    let (out, _) = out.as_chunks_mut::<LANES>();
    let cols = out.len() / blocks;
    let rows = job.rows.map(|row| row.as_chunks::<LANES>().0);
    let padded_cols = rows[0].len() / blocks;
    assert!(rows.iter().all(|row| row.len() == padded_cols * blocks));
    assert!(padded_cols >= (cols - 1) * job.stride + KERNEL);
    for (block, out) in out.chunks_exact_mut(cols).enumerate() {
        let weights: [[[f32; LANES]; KERNEL]; KERNEL] =
            std::array::from_fn(|r| std::array::from_fn(|c| job.weights[(block * KERNEL + r) * KERNEL + c].0));
        let rows = rows.map(|row| &row[block * padded_cols..(block + 1) * padded_cols]);
        let bias = job.bias[block].0;
        for (col, out) in out.iter_mut().enumerate() {
            let mut sum = bias;
            for (row, weights) in rows.iter().zip(&weights) {
                let inputs = &row[col * job.stride..][..KERNEL];
                for (inputs, weights) in inputs.iter().zip(weights) {
                    for lane in 0..LANES {
                        sum[lane] = multiply_add::<FUSED>(inputs[lane], weights[lane], sum[lane]);
                    }
                }
            }
            *out = sum.map(|value| job.clamp.apply(value));
        }
    }
}
