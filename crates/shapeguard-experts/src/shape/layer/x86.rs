//! The tiles for AVX-512 and for AVX2 with FMA.
//!
//! AVX-512 keeps 12 rows x 32 outputs in 24 of 32 registers, AVX2 6 rows x 16 outputs in 12 of 16; either way
//! every weight loaded serves all rows of the tile, and the multiply-adds outnumber the loads.

use std::arch::x86_64::*;

use super::{Finish, LINES, Line, PANEL, PanelJob};

/// Rows of the largest AVX-512 tile.
const ROWS_AVX512: usize = 12;
/// Rows of the largest AVX2 tile.
const ROWS_AVX2: usize = 6;

/// One panel for all rows.
///
/// # Safety
/// The processor must have AVX-512F; `job` and `out` must have the sizes that `Layer::forward` asserts.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn panel_avx512(job: &PanelJob, out: &mut [f32]) {
    let mut row = 0;
    while row < job.rows.count {
        // SAFETY: as for this function; each tile lies within the rows.
        row += unsafe {
            match job.rows.count - row {
                ROWS_AVX512.. => tile_avx512::<ROWS_AVX512>(job, row, out),
                8.. => tile_avx512::<8>(job, row, out),
                4.. => tile_avx512::<4>(job, row, out),
                _ => tile_avx512::<1>(job, row, out),
            }
        };
    }
}

/// One panel for `ROWS` rows; returns `ROWS`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn tile_avx512<const ROWS: usize>(job: &PanelJob, first: usize, out: &mut [f32]) -> usize {
    // SAFETY: the caller has checked that rows `first..first + ROWS` of the input, with `inputs` values each, the
    // panel's `inputs * LINES` lines, and the output rows' PANEL values lie inside their slices.
    unsafe {
        let stride = job.rows.stride;
        let input = job.rows.values.as_ptr().add(first * stride);
        let mut weights: *const Line = job.weights.as_ptr();
        let bias = job.bias.as_ptr();
        let mut sums = [[_mm512_loadu_ps(bias), _mm512_loadu_ps(bias.add(16))]; ROWS];
        for k in 0..job.inputs {
            let w = [_mm512_load_ps(weights.cast()), _mm512_load_ps(weights.add(1).cast())];
            weights = weights.add(LINES);
            for (r, sum) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*input.add(r * stride + k));
                sum[0] = _mm512_fmadd_ps(x, w[0], sum[0]);
                sum[1] = _mm512_fmadd_ps(x, w[1], sum[1]);
            }
        }
        let zero = _mm512_setzero_ps();
        if job.finish == Finish::MaxRelu {
            let out = out[..PANEL].as_mut_ptr();
            let mut largest = [_mm512_loadu_ps(out), _mm512_loadu_ps(out.add(16))];
            for sum in &sums {
                largest[0] = _mm512_max_ps(sum[0], largest[0]);
                largest[1] = _mm512_max_ps(sum[1], largest[1]);
            }
            _mm512_storeu_ps(out, _mm512_max_ps(largest[0], zero));
            _mm512_storeu_ps(out.add(16), _mm512_max_ps(largest[1], zero));
            return ROWS;
        }
        let out = out.as_mut_ptr().add(first * job.out_stride);
        for (r, sum) in sums.iter_mut().enumerate() {
            if job.finish == Finish::Relu {
                *sum = [_mm512_max_ps(sum[0], zero), _mm512_max_ps(sum[1], zero)];
            }
            _mm512_storeu_ps(out.add(r * job.out_stride), sum[0]);
            _mm512_storeu_ps(out.add(r * job.out_stride + 16), sum[1]);
        }
    }
    ROWS
}

/// One panel for all rows.
///
/// # Safety
/// The processor must have AVX2 and FMA; `job` and `out` must have the sizes that `Layer::forward` asserts.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn panel_avx2(job: &PanelJob, out: &mut [f32]) {
    for half in 0..LINES {
        let mut row = 0;
        while row < job.rows.count {
            // SAFETY: as for this function; each tile lies within the rows.
            row += unsafe {
                match job.rows.count - row {
                    ROWS_AVX2.. => tile_avx2::<ROWS_AVX2>(job, half, row, out),
                    4.. => tile_avx2::<4>(job, half, row, out),
                    2.. => tile_avx2::<2>(job, half, row, out),
                    _ => tile_avx2::<1>(job, half, row, out),
                }
            };
        }
    }
}

/// Half a panel for `ROWS` rows; returns `ROWS`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_avx2<const ROWS: usize>(job: &PanelJob, half: usize, first: usize, out: &mut [f32]) -> usize {
    // SAFETY: as in `tile_avx512`.
    unsafe {
        let stride = job.rows.stride;
        let input = job.rows.values.as_ptr().add(first * stride);
        let mut weights: *const Line = job.weights.as_ptr().add(half);
        let bias = job.bias.as_ptr().add(16 * half);
        let mut sums = [[_mm256_loadu_ps(bias), _mm256_loadu_ps(bias.add(8))]; ROWS];
        for k in 0..job.inputs {
            let w = [_mm256_load_ps(weights.cast()), _mm256_load_ps(weights.cast::<f32>().add(8))];
            weights = weights.add(LINES);
            for (r, sum) in sums.iter_mut().enumerate() {
                let x = _mm256_set1_ps(*input.add(r * stride + k));
                sum[0] = _mm256_fmadd_ps(x, w[0], sum[0]);
                sum[1] = _mm256_fmadd_ps(x, w[1], sum[1]);
            }
        }
        let zero = _mm256_setzero_ps();
        if job.finish == Finish::MaxRelu {
            let out = out[16 * half..PANEL].as_mut_ptr();
            let mut largest = [_mm256_loadu_ps(out), _mm256_loadu_ps(out.add(8))];
            for sum in &sums {
                largest[0] = _mm256_max_ps(sum[0], largest[0]);
                largest[1] = _mm256_max_ps(sum[1], largest[1]);
            }
            _mm256_storeu_ps(out, _mm256_max_ps(largest[0], zero));
            _mm256_storeu_ps(out.add(8), _mm256_max_ps(largest[1], zero));
            return ROWS;
        }
        let out = out.as_mut_ptr().add(first * job.out_stride + 16 * half);
        for (r, sum) in sums.iter_mut().enumerate() {
            if job.finish == Finish::Relu {
                *sum = [_mm256_max_ps(sum[0], zero), _mm256_max_ps(sum[1], zero)];
            }
            _mm256_storeu_ps(out.add(r * job.out_stride), sum[0]);
            _mm256_storeu_ps(out.add(r * job.out_stride + 8), sum[1]);
        }
    }
    ROWS
}
