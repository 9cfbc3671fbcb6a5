//! Pooling of feature maps: into cells, and the maximum that follows a ResNet's first convolution.

use std::ops::Range;

use rayon::prelude::*;
use shapeguard_core::matrix::Matrix;

use super::map::{FeatureMap, LANES, Margin};
use crate::simd::{PORTABLE_FUSED, Simd, multiply_add};

/// Side of the average pooling that comes first (reference value: 3x3, stride 1, no padding).
const LOCAL_WINDOW: usize = 3;

/// Describes each cell by all maps: each map 3x3 average pooling without padding, then adaptive average pooling to
/// a grid of `grid_side` x `grid_side` cells, concatenated.
///
/// Both poolings are separable averages, so that a cell is a weighted sum over at most five rows and as many columns:
/// rows first, then columns.
pub(super) fn cells(simd: Simd, maps: &[&FeatureMap], grid_side: usize) -> Matrix {
    let width: usize = maps.iter().map(|map| map.channels()).sum();
    let windows: Vec<Vec<Window>> = maps.iter().map(|map| windows(map.side(), grid_side)).collect();
    let mut cells = Matrix::zeros(grid_side * grid_side, width);
    cells.as_mut_slice().par_chunks_mut(grid_side * width).enumerate().for_each(|(cell_row, cells)| {
        let mut first = 0;
        for (map, windows) in maps.iter().zip(&windows) {
            cell_row_of_map(simd, map, windows, cell_row, &mut cells[first..], width);
            first += map.channels();
        }
    });
    cells
}

/// The pixels along one axis that make up a cell, and their weights.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) first: usize,
    pub(super) weights: Vec<f32>,
}

/// The windows of all `cells` cells along one axis of `side` pixels.
pub(super) fn windows(side: usize, cells: usize) -> Vec<Window> {
    let pooled = side - (LOCAL_WINDOW - 1);
    (0..cells)
        .map(|cell| {
            let bin = adaptive_bin(cell, pooled, cells);
            let share = 1.0 / (bin.len() * LOCAL_WINDOW) as f32;
            let mut counts = vec![0u8; bin.len() + LOCAL_WINDOW - 1];
            for i in 0..bin.len() {
                counts[i..i + LOCAL_WINDOW].iter_mut().for_each(|count| *count += 1);
            }
            Window { first: bin.start, weights: counts.iter().map(|count| f32::from(*count) * share).collect() }
        })
        .collect()
}

/// The inputs of one output of adaptive pooling, by PyTorch's rule: from floor(i n / m) to ceil((i + 1) n / m).
fn adaptive_bin(output: usize, inputs: usize, outputs: usize) -> Range<usize> {
    output * inputs / outputs..((output + 1) * inputs).div_ceil(outputs)
}

/// A map's part of one row of cells, `out_step` apart.
fn cell_row_of_map(
    simd: Simd,
    map: &FeatureMap,
    windows: &[Window],
    cell_row: usize,
    out: &mut [f32],
    out_step: usize,
) {
    assert_eq!(map.margin(), Margin::NONE);
    let mut row_sum = vec![0.0; map.row_stride()];
    let window = &windows[cell_row];
    for (i, weight) in window.weights.iter().enumerate() {
        let row = &map.rows()[(window.first + i) * map.row_stride()..][..map.row_stride()];
        add_scaled(simd, &mut row_sum, row, *weight);
    }
    for (col, window) in windows.iter().enumerate() {
        let out = &mut out[col * out_step..][..map.channels()];
        for (out, block) in out.chunks_mut(LANES).zip(row_sum.chunks_exact(map.block_stride())) {
            for (i, weight) in window.weights.iter().enumerate() {
                add_scaled(simd, out, &block[(window.first + i) * LANES..], *weight);
            }
        }
    }
}

/// `sum += weight * values`, as far as `sum` reaches.
fn add_scaled(simd: Simd, sum: &mut [f32], values: &[f32], weight: f32) {
    match simd {
        // SAFETY: these levels exist only where `Simd::available` detected the instructions.
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 => unsafe { add_scaled_avx512(sum, values, weight) },
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2 => unsafe { add_scaled_avx2(sum, values, weight) },
        Simd::Portable => add_scaled_lanes::<PORTABLE_FUSED>(sum, values, weight),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn add_scaled_avx512(sum: &mut [f32], values: &[f32], weight: f32) {
    add_scaled_lanes::<true>(sum, values, weight);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn add_scaled_avx2(sum: &mut [f32], values: &[f32], weight: f32) {
    add_scaled_lanes::<true>(sum, values, weight);
}

#[inline(always)]
fn add_scaled_lanes<const FUSED: bool>(sum: &mut [f32], values: &[f32], weight: f32) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum = multiply_add::<FUSED>(*value, weight, *sum);
    }
}

/// 3x3 maximum with stride 2 of a map that is nowhere negative, so that a margin of zeros stands for no pixels at all.
pub(super) fn max_pool_half(input: &FeatureMap) -> FeatureMap {
    assert_eq!(input.margin(), Margin::even(1), "the windows reach one pixel beyond the map");
    let side = input.side().div_ceil(2);
    let mut output = FeatureMap::zeros(side, input.channels(), Margin::NONE);
    let (row_stride, out_row_stride) = (input.row_stride(), output.row_stride());
    output.rows_mut().par_chunks_mut(out_row_stride).enumerate().for_each(|(row, out)| {
        let rows: [&[f32]; 3] = std::array::from_fn(|i| &input.values()[(2 * row + i) * row_stride..][..row_stride]);
        for (block, out) in out.chunks_exact_mut(side * LANES).enumerate() {
            let rows = rows.map(|row| row[block * input.block_stride()..].as_chunks::<LANES>().0);
            for (col, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                for tap in rows.iter().flat_map(|row| &row[2 * col..2 * col + 3]) {
                    for lane in 0..LANES {
                        out[lane] = out[lane].max(tap[lane]);
                    }
                }
            }
        }
    });
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapeguard_core::seams::{CELL_COUNT, CELL_GRID_SIDE};

    #[test]
    fn adaptive_bins_follow_pytorch() {
        // torch.nn.functional.adaptive_avg_pool1d's bins for 5 -> 3: [0, 2), [1, 4), [3, 5).
        let bins: Vec<_> = (0..3).map(|i| adaptive_bin(i, 5, 3)).collect();
        assert_eq!(bins, [0..2, 1..4, 3..5]);
    }

    #[test]
    fn windows_cover_the_map_and_weigh_one() {
        for (side, cells) in [(28, 28), (56, 28), (56, 56), (112, 56), (8, 8)] {
            let windows = windows(side, cells);
            assert_eq!(windows.len(), cells);
            assert_eq!(windows[0].first, 0);
            let last = windows.last().unwrap();
            assert_eq!(last.first + last.weights.len(), side);
            for window in windows {
                // A handful of single-precision weights.
                assert!((window.weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
                assert!(window.weights.len() <= 5);
            }
        }
    }

    #[test]
    fn cells_equal_the_two_poolings_one_after_the_other() {
        for side in [28, 56] {
            let mut map = FeatureMap::zeros(side, 5, Margin::NONE);
            for (row, col) in (0..side * side).map(|i| (i / side, i % side)) {
                let channels = [0, 1, 2, 3, 4].map(|i| ((row * 131 + col * 17 + i * 29) as f32 * 0.37).sin());
                map.set_pixel(row, col, &channels);
            }
            let value = |row: usize, col: usize, channel: usize| f64::from(map.pixel(row, col)[channel]);
            let local = |row: usize, col: usize, channel: usize| -> f64 {
                (0..9).map(|i| value(row + i / 3, col + i % 3, channel)).sum::<f64>() / 9.0
            };
            for simd in Simd::available() {
                let cells = cells(simd, &[&map, &map], CELL_GRID_SIDE);
                for (cell, channel) in (0..CELL_COUNT).flat_map(|cell| (0..5).map(move |channel| (cell, channel))) {
                    let rows = adaptive_bin(cell / CELL_GRID_SIDE, side - 2, CELL_GRID_SIDE);
                    let cols = adaptive_bin(cell % CELL_GRID_SIDE, side - 2, CELL_GRID_SIDE);
                    let count = (rows.len() * cols.len()) as f64;
                    let sum: f64 =
                        rows.flat_map(|r| cols.clone().map(move |c| (r, c))).map(|(r, c)| local(r, c, channel)).sum();
                    // Single precision, values of at most 1.
                    assert!((f64::from(cells.row(cell)[channel]) - sum / count).abs() < 1e-6);
                    assert_eq!(cells.row(cell)[channel], cells.row(cell)[5 + channel]);
                }
            }
        }
    }

    #[test]
    fn the_maximum_reaches_over_borders() {
        let mut map = FeatureMap::zeros(4, 1, Margin::even(1));
        for i in 0..16 {
            map.set_pixel(i / 4, i % 4, &[i as f32]);
        }
        let pooled = max_pool_half(&map);
        let values: Vec<f32> = (0..4).map(|i| pooled.pixel(i / 2, i % 2)[0]).collect();
        assert_eq!(values, [5.0, 7.0, 13.0, 15.0]);
    }
}
