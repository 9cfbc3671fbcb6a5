//! The tiles for AVX-512 and for AVX2 with FMA.
//!
//! AVX-512 keeps 14 pixels x 2 panels in 28 of 32 registers (14 divides the sides 112, 56 and 28 of all maps), AVX2 6
//! pixels x 1 panel in 12 of 16; either way every weight loaded serves all pixels of the tile.

use std::arch::x86_64::*;

use super::{LANES, Line, PanelJob};

/// Pixels of the largest AVX-512 tile.
const PIXELS_AVX512: usize = 14;
/// Pixels of the largest AVX2 tile.
const PIXELS_AVX2: usize = 6;

/// All rows of one panel or two.
///
/// # Safety
/// The processor must have AVX-512F; `job` and `out` must have the sizes that `Convolution::forward` asserts.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn panels_avx512(job: &PanelJob, out: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe {
        match job.bias.len() {
            1 => rows_avx512::<1>(job, out),
            _ => rows_avx512::<2>(job, out),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn rows_avx512<const PANELS: usize>(job: &PanelJob, out: &mut [f32]) {
    for row in 0..job.rows {
        let mut col = 0;
        while col < job.cols {
            // SAFETY: as for `panels_avx512`; each tile lies within the row, and there are PANELS panels.
            col += unsafe {
                match job.cols - col {
                    PIXELS_AVX512.. => tile_avx512::<PANELS, PIXELS_AVX512>(job, row, col, out),
                    8.. => tile_avx512::<PANELS, 8>(job, row, col, out),
                    4.. => tile_avx512::<PANELS, 4>(job, row, col, out),
                    _ => tile_avx512::<PANELS, 1>(job, row, col, out),
                }
            };
        }
    }
}

/// A tile of `PIXELS` pixels of one row; returns `PIXELS`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn tile_avx512<const PANELS: usize, const PIXELS: usize>(
    job: &PanelJob,
    row: usize,
    col: usize,
    out: &mut [f32],
) -> usize {
    // SAFETY: the caller has checked that the inputs of these pixels, PANELS panels of weights and biases, and PANELS
    // lines of each of these output pixels, and of the shortcut's, lie inside their slices.
    unsafe {
        let source = job.source;
        let step = source.pixel_step;
        let mut input = source.values.as_ptr().add(row * source.row_step + col * step);
        let depth = job.segments * job.segment_len;
        let mut weights: *const Line = job.weights.as_ptr();
        let mut sums = [[_mm512_setzero_ps(); PANELS]; PIXELS];
        for sum in &mut sums {
            for (panel, sum) in sum.iter_mut().enumerate() {
                *sum = _mm512_load_ps(job.bias.as_ptr().add(panel).cast());
            }
        }
        for _ in 0..job.segments {
            for k in 0..job.segment_len {
                let mut w = [_mm512_setzero_ps(); PANELS];
                for (panel, w) in w.iter_mut().enumerate() {
                    *w = _mm512_load_ps(weights.add(panel * depth).cast());
                }
                weights = weights.add(1);
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*input.add(pixel * step + k));
                    for (sum, w) in sum.iter_mut().zip(w) {
                        *sum = _mm512_fmadd_ps(x, w, *sum);
                    }
                }
            }
            input = input.wrapping_add(source.kernel_row_step);
        }
        let (low, high) = (_mm512_set1_ps(job.clamp.low), _mm512_set1_ps(job.clamp.high));
        for (pixel, sum) in sums.iter_mut().enumerate() {
            let offset = (col + pixel) * job.out_pixel_step;
            if let Some(shortcut) = job.shortcut {
                let values = shortcut.values.as_ptr().add(row * shortcut.row_step + offset);
                for (panel, sum) in sum.iter_mut().enumerate() {
                    *sum = _mm512_add_ps(*sum, _mm512_loadu_ps(values.add(panel * LANES)));
                }
            }
            let out = out.as_mut_ptr().add(row * job.out_row_step + offset);
            for (panel, sum) in sum.iter().enumerate() {
                _mm512_storeu_ps(out.add(panel * LANES), _mm512_min_ps(_mm512_max_ps(*sum, low), high));
            }
        }
    }
    PIXELS
}

/// All rows of one panel or two.
///
/// # Safety
/// The processor must have AVX2 and FMA; `job` and `out` must have the sizes that `Convolution::forward` asserts.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn panels_avx2(job: &PanelJob, out: &mut [f32]) {
    for panel in 0..job.bias.len() {
        for row in 0..job.rows {
            let mut col = 0;
            while col < job.cols {
                // SAFETY: as for this function; each tile lies within the row.
                col += unsafe {
                    match job.cols - col {
                        PIXELS_AVX2.. => tile_avx2::<PIXELS_AVX2>(job, panel, row, col, out),
                        4.. => tile_avx2::<4>(job, panel, row, col, out),
                        2.. => tile_avx2::<2>(job, panel, row, col, out),
                        _ => tile_avx2::<1>(job, panel, row, col, out),
                    }
                };
            }
        }
    }
}

/// A tile of `PIXELS` pixels of one row; returns `PIXELS`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_avx2<const PIXELS: usize>(
    job: &PanelJob,
    panel: usize,
    row: usize,
    col: usize,
    out: &mut [f32],
) -> usize {
    // SAFETY: the caller has checked that the inputs of these pixels, the panel's weights and bias, and its line of each
    // of these output pixels, and of the shortcut's, lie inside their slices.
    unsafe {
        const HALF: usize = LANES / 2;
        let source = job.source;
        let step = source.pixel_step;
        let mut input = source.values.as_ptr().add(row * source.row_step + col * step);
        let mut weights: *const f32 = job.weights.as_ptr().add(panel * job.segments * job.segment_len).cast();
        let bias: *const f32 = job.bias.as_ptr().add(panel).cast();
        let mut sums = [[_mm256_load_ps(bias), _mm256_load_ps(bias.add(HALF))]; PIXELS];
        for _ in 0..job.segments {
            for k in 0..job.segment_len {
                let w = [_mm256_load_ps(weights), _mm256_load_ps(weights.add(HALF))];
                weights = weights.add(LANES);
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*input.add(pixel * step + k));
                    sum[0] = _mm256_fmadd_ps(x, w[0], sum[0]);
                    sum[1] = _mm256_fmadd_ps(x, w[1], sum[1]);
                }
            }
            input = input.wrapping_add(source.kernel_row_step);
        }
        let (low, high) = (_mm256_set1_ps(job.clamp.low), _mm256_set1_ps(job.clamp.high));
        for (pixel, sum) in sums.iter_mut().enumerate() {
            let offset = (col + pixel) * job.out_pixel_step + panel * LANES;
            if let Some(shortcut) = job.shortcut {
                let values = shortcut.values.as_ptr().add(row * shortcut.row_step + offset);
                sum[0] = _mm256_add_ps(sum[0], _mm256_loadu_ps(values));
                sum[1] = _mm256_add_ps(sum[1], _mm256_loadu_ps(values.add(HALF)));
            }
            let out = out.as_mut_ptr().add(row * job.out_row_step + offset);
            for (half, sum) in sum.iter().enumerate() {
                _mm256_storeu_ps(out.add(half * HALF), _mm256_min_ps(_mm256_max_ps(*sum, low), high));
            }
        }
    }
    PIXELS
}
