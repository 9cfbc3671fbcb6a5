//! BTF, "Back to the Feature": point features, alone or with colour, in PatchCore's memory bank.
//!
//! Source: Horwitz and Hoshen, "Back to the Feature: Classical 3D Features are (Almost) All You Need for 3D Anomaly
//! Detection", CVPR workshops 2023: FPFH of every point of the part, averaged to the colour features' grid and put
//! beside them as they are; coreset, distances and sample score are PatchCore's (`bank.rs`).
//!
//! Differs: a cell averages the points that it and one pixel around it have; pixels without a point are absent, not zeros. A
//! cell without points has a feature of zeros and, with FPFH alone, scores 0. Normals have a side (`fpfh.rs`). With the embedded
//! network the colour features have another scale than in the paper, and so another weight beside FPFH.

use shapeguard_core::matrix::Matrix;
use shapeguard_core::resample::Sample;
use shapeguard_core::seams::{CELL_COUNT, CELL_GRID_SIDE, IMAGE_SIDE};

use crate::backbone::Backbone;
use crate::cells::side_by_side;
use crate::fpfh::{BINS, fpfh};
use crate::patchcore;
use crate::settings::FpfhSettings;

/// Pixels of a cell along each side.
const CELL_PX: usize = IMAGE_SIDE / CELL_GRID_SIDE;
/// How far a cell's average reaches beyond it: that of a 3 x 3 average pooling.
const REACH_PX: usize = 1;

/// Colour and point features of all cells, `[784, channels + 33]`.
pub fn features(sample: &Sample, backbone: &Backbone, settings: &FpfhSettings) -> Matrix {
    side_by_side(&[patchcore::features(sample, backbone), point_features(sample, settings)])
}

/// The point features of all cells, `[784, 33]`.
pub fn point_features(sample: &Sample, settings: &FpfhSettings) -> Matrix {
    let (pixels, points_m): (Vec<usize>, Vec<[f32; 3]>) = sample
        .cloud
        .points_m()
        .as_slice()
        .iter()
        .zip(sample.cloud.valid().as_slice())
        .enumerate()
        .filter_map(|(pixel, (point, valid))| valid.then_some((pixel, *point)))
        .unzip();
    let features = fpfh(&points_m, settings);
    let mut cells = Matrix::zeros(CELL_COUNT, BINS);
    let mut counts = vec![0usize; CELL_COUNT];
    for (pixel, row) in pixels.iter().zip(0..) {
        let reached = |x: usize| x.saturating_sub(REACH_PX) / CELL_PX..=(x + REACH_PX).min(IMAGE_SIDE - 1) / CELL_PX;
        for cell_row in reached(pixel / IMAGE_SIDE) {
            for cell_col in reached(pixel % IMAGE_SIDE) {
                let cell = cell_row * CELL_GRID_SIDE + cell_col;
                counts[cell] += 1;
                cells.row_mut(cell).iter_mut().zip(features.row(row)).for_each(|(sum, value)| *sum += value);
            }
        }
    }
    for (cell, count) in counts.iter().enumerate() {
        cells.row_mut(cell).iter_mut().for_each(|sum| *sum /= (*count).max(1) as f32);
    }
    cells
}
