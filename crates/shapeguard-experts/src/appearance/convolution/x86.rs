//! The tiles for AVX-512 and for AVX2 with FMA.
//!
//! AVX-512 keeps 14 pixels x 2 panels in 28 of 32 registers (14 divides the sides 112, 56 and 28 of all maps), AVX2 6
//! pixels x 1 panel in 12 of 16; either way every weight loaded serves all pixels of the tile.

use std::arch::x86_64::*;

use super::{LANES, Line, PanelJob};

/// In place of a tile's pixel step: not known to the compiler.
const ANY_STEP: usize = 0;

/// Pixels of the largest AVX-512 tile.
const PIXELS_AVX512: usize = 14;
/// Pixels of the largest AVX2 tile.
const PIXELS_AVX2: usize = 6;

/// What is added to a tile: a map's values, or the same zeros for all pixels, so that the tile needs no branch. (With one,
/// the compiler keeps the sums in memory throughout, which was measured to take more than twice the time.)
struct ShortcutTile {
    values: *const f32,
    pixel_step: usize,
    block_step: usize,
}

static ZEROS: Line = Line([0.0; LANES]);

impl ShortcutTile {
    #[inline(always)]
    fn new(job: &PanelJob, panel: usize, row: usize, col: usize) -> Self {
        match job.shortcut {
            Some(shortcut) => {
                let offset = row * shortcut.row_step + panel * shortcut.block_step + col * LANES;
                Self {
                    values: shortcut.values.as_ptr().wrapping_add(offset),
                    pixel_step: LANES,
                    block_step: shortcut.block_step,
                }
            }
            None => Self { values: ZEROS.0.as_ptr(), pixel_step: 0, block_step: 0 },
        }
    }

    #[inline(always)]
    fn line(&self, panel: usize, pixel: usize) -> *const f32 {
        self.values.wrapping_add(panel * self.block_step + pixel * self.pixel_step)
    }
}

/// All rows of one panel or two.
///
/// # Safety
/// The processor must have AVX-512F; `job` and `out` must have the sizes that `Convolution::forward` asserts.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn panels_avx512(job: &PanelJob, out: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe {
        match (job.bias.len(), job.source.pixel_step) {
            (1, LANES) => rows_avx512::<1, LANES>(job, out),
            (1, _) => rows_avx512::<1, ANY_STEP>(job, out),
            (_, LANES) => rows_avx512::<2, LANES>(job, out),
            (_, _) => rows_avx512::<2, ANY_STEP>(job, out),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn rows_avx512<const PANELS: usize, const STEP: usize>(job: &PanelJob, out: &mut [f32]) {
    for row in 0..job.rows {
        let mut col = 0;
        while col < job.cols {
            // SAFETY: as for `panels_avx512`; each tile lies within the row, and there are PANELS panels.
            col += unsafe {
                match job.cols - col {
                    PIXELS_AVX512.. => tile_avx512::<PANELS, PIXELS_AVX512, STEP>(job, row, col, out),
                    8.. => tile_avx512::<PANELS, 8, STEP>(job, row, col, out),
                    4.. => tile_avx512::<PANELS, 4, STEP>(job, row, col, out),
                    _ => tile_avx512::<PANELS, 1, STEP>(job, row, col, out),
                }
            };
        }
    }
}

/// A tile of `PIXELS` pixels of one row; returns `PIXELS`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn tile_avx512<const PANELS: usize, const PIXELS: usize, const STEP: usize>(
    job: &PanelJob,
    row: usize,
    col: usize,
    out: &mut [f32],
) -> usize {
    // SAFETY: the caller has checked that the inputs of these pixels, PANELS panels of weights and biases, and PANELS
    // lines of each of these output pixels, and of the shortcut's, lie inside their slices.
    unsafe {
        let (source, depth) = (job.source, job.depth);
        let step = if STEP == ANY_STEP { source.pixel_step } else { STEP };
        let input = source.values.as_ptr().add(row * source.row_step + col * step);
        let panel_len = depth.total();
        let mut weights: *const Line = job.weights.as_ptr();
        let mut bias = [_mm512_setzero_ps(); PANELS];
        for (panel, bias) in bias.iter_mut().enumerate() {
            *bias = _mm512_load_ps(job.bias.as_ptr().add(panel).cast());
        }
        let mut sums = [bias; PIXELS];
        for block in 0..depth.blocks {
            for segment in 0..depth.segments {
                let mut input = input.add(block * source.block_step + segment * source.kernel_row_step);
                for _ in 0..depth.segment_len(block) {
                    let mut w = [_mm512_setzero_ps(); PANELS];
                    for (panel, w) in w.iter_mut().enumerate() {
                        *w = _mm512_load_ps(weights.add(panel * panel_len).cast());
                    }
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        let x = _mm512_set1_ps(*input.add(pixel * step));
                        for (sum, w) in sum.iter_mut().zip(w) {
                            *sum = _mm512_fmadd_ps(x, w, *sum);
                        }
                    }
                    weights = weights.add(1);
                    input = input.wrapping_add(1);
                }
            }
        }
        let (low, high) = (_mm512_set1_ps(job.clamp.low), _mm512_set1_ps(job.clamp.high));
        let shortcut = ShortcutTile::new(job, 0, row, col);
        let out = out.as_mut_ptr().add(row * job.out_row_step + col * LANES);
        for (pixel, sum) in sums.iter_mut().enumerate() {
            for (panel, sum) in sum.iter_mut().enumerate() {
                let added = _mm512_loadu_ps(shortcut.line(panel, pixel));
                let value = _mm512_min_ps(_mm512_max_ps(_mm512_add_ps(*sum, added), low), high);
                _mm512_storeu_ps(out.add(panel * job.out_block_step + pixel * LANES), value);
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
        let (source, depth) = (job.source, job.depth);
        let step = source.pixel_step;
        let input = source.values.as_ptr().add(row * source.row_step + col * step);
        let mut weights: *const f32 = job.weights.as_ptr().add(panel * depth.total()).cast();
        let bias: *const f32 = job.bias.as_ptr().add(panel).cast();
        let mut sums = [[_mm256_load_ps(bias), _mm256_load_ps(bias.add(HALF))]; PIXELS];
        for block in 0..depth.blocks {
            for segment in 0..depth.segments {
                let mut input = input.add(block * source.block_step + segment * source.kernel_row_step);
                for _ in 0..depth.segment_len(block) {
                    let w = [_mm256_load_ps(weights), _mm256_load_ps(weights.add(HALF))];
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        let x = _mm256_set1_ps(*input.add(pixel * step));
                        sum[0] = _mm256_fmadd_ps(x, w[0], sum[0]);
                        sum[1] = _mm256_fmadd_ps(x, w[1], sum[1]);
                    }
                    weights = weights.add(LANES);
                    input = input.wrapping_add(1);
                }
            }
        }
        let (low, high) = (_mm256_set1_ps(job.clamp.low), _mm256_set1_ps(job.clamp.high));
        let shortcut = ShortcutTile::new(job, panel, row, col);
        let out = out.as_mut_ptr().add(row * job.out_row_step + panel * job.out_block_step + col * LANES);
        for (pixel, sum) in sums.iter_mut().enumerate() {
            for (half, sum) in sum.iter_mut().enumerate() {
                let added = _mm256_loadu_ps(shortcut.line(0, pixel).add(half * HALF));
                let value = _mm256_min_ps(_mm256_max_ps(_mm256_add_ps(*sum, added), low), high);
                _mm256_storeu_ps(out.add(pixel * LANES + half * HALF), value);
            }
        }
    }
    PIXELS
}
