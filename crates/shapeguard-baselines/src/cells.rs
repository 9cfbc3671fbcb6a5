//! Cells: which of them the part touches, features on a grid of another side, and the way of scores to pixels.

use shapeguard_core::grid::{Grid, GridSize, ScoreMap};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::resample::Sample;
use shapeguard_core::seams::IMAGE_SIDE;
use shapeguard_experts::appearance::LayerMap;

/// Reach of the local average in cells: a 3 x 3 neighbourhood (PatchCore 3.1, p = 3).
const LOCAL_REACH: usize = 1;

/// The cells of a grid of `side` by `side` that hold a pixel of the part, ascending: one with a point, or with colour.
pub fn part_cells(sample: &Sample, side: usize) -> Vec<u32> {
    let has_colour = sample.rgb.map(|colour| *colour != [0.0; 3]);
    let valid = sample.cloud.valid();
    cells_where(side, |pixel| valid.as_slice()[pixel] || has_colour.as_slice()[pixel])
}

/// The cells that hold a point, ascending.
pub fn part_cells_with_points(sample: &Sample, side: usize) -> Vec<u32> {
    cells_where(side, |pixel| sample.cloud.valid().as_slice()[pixel])
}

fn cells_where(side: usize, is_part: impl Fn(usize) -> bool) -> Vec<u32> {
    let mut touched = vec![false; side * side];
    for pixel in (0..IMAGE_SIDE * IMAGE_SIDE).filter(|pixel| is_part(*pixel)) {
        let (row, col) = (pixel / IMAGE_SIDE, pixel % IMAGE_SIDE);
        touched[row * side / IMAGE_SIDE * side + col * side / IMAGE_SIDE] = true;
    }
    (0u32..).zip(touched).filter_map(|(cell, touched)| touched.then_some(cell)).collect()
}

/// The mean over each pixel's 3 x 3 neighbourhood, as far as it lies inside the map.
pub fn local_average(map: &LayerMap) -> LayerMap {
    let side = map.side;
    let around = |i: usize| i.saturating_sub(LOCAL_REACH)..(i + LOCAL_REACH + 1).min(side);
    let mut features = Matrix::zeros(side * side, map.features.cols());
    for pixel in 0..side * side {
        let (rows, cols) = (around(pixel / side), around(pixel % side));
        let share = 1.0 / (rows.len() * cols.len()) as f32;
        let out = features.row_mut(pixel);
        for neighbour in rows.flat_map(|row| cols.clone().map(move |col| row * side + col)) {
            add_scaled(out, map.features.row(neighbour), share);
        }
    }
    LayerMap { side, features }
}

/// Features on a grid of `side` by `side`: averages over what a cell covers where the map is finer, bilinear interpolation
/// with half-pixel centres where it is coarser.
///
/// # Panics
/// If the map is finer, but not a whole number of times: a bug of the caller.
pub fn at_side(map: &LayerMap, side: usize) -> Matrix {
    let mut features = Matrix::zeros(side * side, map.features.cols());
    let taps = taps(map.side, side);
    for cell in 0..side * side {
        let out = features.row_mut(cell);
        for (row, down) in &taps[cell / side] {
            for (col, across) in &taps[cell % side] {
                add_scaled(out, map.features.row(row * map.side + col), down * across);
            }
        }
    }
    features
}

/// Source positions and weights of each target position, along one axis.
fn taps(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    if from >= to {
        let covered = from / to;
        assert_eq!(covered * to, from, "a finer map has a whole number of pixels for each cell");
        return (0..to).map(|i| (0..covered).map(|j| (i * covered + j, 1.0 / covered as f32)).collect()).collect();
    }
    let at = |i: usize| ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
    let pair = |position: f32| {
        let low = position.floor() as usize;
        let share = position - low as f32;
        vec![(low, 1.0 - share), ((low + 1).min(from - 1), share)]
    };
    (0..to).map(|i| pair(at(i))).collect()
}

fn add_scaled(sum: &mut [f32], values: &[f32], weight: f32) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
}

/// Puts the columns of several matrices with as many rows side by side.
pub fn side_by_side(parts: &[Matrix]) -> Matrix {
    let mut joined = Matrix::zeros(parts[0].rows(), parts.iter().map(Matrix::cols).sum());
    for row in 0..joined.rows() {
        let mut rest = joined.row_mut(row);
        for part in parts {
            let (out, after) = rest.split_at_mut(part.cols());
            out.copy_from_slice(part.row(row));
            rest = after;
        }
    }
    joined
}

/// Scores of cells; 0 where there is none.
pub struct CellScores(Grid<f32>);

impl CellScores {
    /// A grid with these cells' scores.
    pub fn new(side: usize, cells: &[u32], scores: &[f32]) -> Self {
        let mut grid = Grid::filled(GridSize::new(side, side), 0.0);
        for (cell, score) in cells.iter().zip(scores) {
            grid.as_mut_slice()[*cell as usize] = *score;
        }
        Self(grid)
    }

    /// The scores at 224 x 224 pixels, bilinearly, with half-pixel centres.
    pub fn upsampled(&self) -> ScoreMap {
        let taps = taps(self.0.size().rows, IMAGE_SIDE);
        Grid::from_fn(GridSize::new(IMAGE_SIDE, IMAGE_SIDE), |row, col| {
            let line = |r: usize| taps[col].iter().map(|(c, across)| across * self.0[(r, *c)]).sum::<f32>();
            taps[row].iter().map(|(r, down)| down * line(*r)).sum()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(side: usize) -> LayerMap {
        let features = Matrix::from_vec(side * side, 1, (0..side * side).map(|i| (i % side) as f32 + 0.5).collect());
        LayerMap { side, features }
    }

    #[test]
    fn a_ramp_keeps_its_values_on_finer_and_coarser_grids() {
        // At half-pixel centres a linear ramp of slope 1 per source pixel stays one; the outermost centres continue.
        let finer = at_side(&ramp(14), 28);
        for col in 1..27 {
            assert!((finer.row(28 + col)[0] - (col as f32 + 0.5) / 2.0).abs() < 1e-5);
        }
        assert_eq!(finer.row(0)[0], 0.5);
        let coarser = at_side(&ramp(56), 28);
        for col in 0..28 {
            assert!((coarser.row(3 * 28 + col)[0] - (2.0 * col as f32 + 1.0)).abs() < 1e-5);
        }
        assert_eq!(at_side(&ramp(28), 28), ramp(28).features);
    }

    #[test]
    fn the_local_average_ends_at_the_map() {
        let average = local_average(&ramp(4));
        let expected = [1.0, 1.5, 2.5, 3.0];
        for (pixel, expected) in (0..16).map(|pixel| (pixel, expected[pixel % 4])) {
            assert!((average.features.row(pixel)[0] - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn columns_stand_side_by_side() {
        let left = Matrix::from_vec(2, 1, vec![1.0, 2.0]);
        let right = Matrix::from_vec(2, 2, vec![3.0, 4.0, 5.0, 6.0]);
        assert_eq!(side_by_side(&[left, right]).as_slice(), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
    }

    #[test]
    fn scores_reach_pixels_and_only_those_nearby() {
        let map = CellScores::new(28, &[28 * 10 + 10], &[2.0]).upsampled();
        // Eight pixels a cell: the largest weight of an axis is 1 - 0.5 / 8.
        let largest = map.as_slice().iter().copied().fold(0.0, f32::max);
        assert!((largest - 2.0 * 0.9375 * 0.9375).abs() < 1e-6);
        assert_eq!((map[(84, 70)], map[(84, 97)]), (0.0, 0.0));
        assert!(map[(84, 76)] > 0.0 && map[(84, 91)] > 0.0);
    }
}
