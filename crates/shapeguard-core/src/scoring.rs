//! Scoring: a sample's features against the dual memory (paper sections 3.2 to 3.4; docs/method.md, "Banks and
//! inference").
//!
//! Each stage can be called alone: [`shape_neighbours`], [`rebuild_features`], [`signed_distance_map`] for the shape
//! expert; [`dictionary`], [`cell_residuals`], [`upsample_cells`], [`pixels_of_cells`] for the appearance expert.
//! [`score`] runs them in order.
//!
//! Where it differs from the published implementation: a distance of exactly 0 is a score like any other there is
//! (a mask says which pixels carry one), and a training sample leaves out all of its own features, not only the
//! nearest. Tests: `a_distance_of_zero_is_a_score`, `a_sample_left_out_meets_none_of_its_own_features`.

mod appearance;
mod shape;

pub use appearance::{cell_residuals, dictionary, pixels_of_cells, upsample_cells};
pub use shape::{shape_neighbours, signed_distance_map};

use rayon::prelude::*;

use crate::expert_inputs::normalised_patch_points;
use crate::fusion::larger;
use crate::grid::{Grid, Mask, ScoreMap};
use crate::matrix::Matrix;
use crate::memory::{DualMemory, SampleFeatures};
use crate::patches::PatchSet;
use crate::seams::{BankSearch, Neighbour, ShapeExpert};
use crate::settings::{Coding, MemorySettings};
use crate::sparse_coding::{SparseCode, orthogonal_matching_pursuit};

/// What one expert says of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertScores {
    /// 224 x 224 scores, not blurred; 0 where nothing was scored, but RGB scores reach a cell's width beyond (they are
    /// interpolated).
    pub map: ScoreMap,
    /// Which pixels carry a score.
    pub scored: Mask,
    /// SDF: largest `||f - f^||` over the patches. RGB: largest cell residual.
    pub sample_score: f32,
}

/// Both experts' scores of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleScores {
    /// The shape expert's.
    pub shape: ExpertScores,
    /// The appearance expert's.
    pub appearance: ExpertScores,
    /// Residual of each cell, 28 x 28; 0 where no patch has the cell.
    pub cells: Grid<f32>,
    /// How many RGB features the dictionary had.
    pub dictionary_size: usize,
}

/// Scores a sample. Features of the sample `leave_out` of the memory are not used (a training sample leaves itself
/// out).
pub fn score(
    features: &SampleFeatures,
    patches: &PatchSet,
    memory: &DualMemory,
    expert: &dyn ShapeExpert,
    search: &dyn BankSearch,
    settings: &MemorySettings,
    leave_out: Option<u32>,
) -> SampleScores {
    let neighbours = shape_neighbours(&features.shape, memory, search, settings, leave_out);
    let rebuilt = rebuild_features(&features.shape, &memory.shape, &neighbours, settings);
    let points = normalised_patch_points(patches);
    let distances = expert.signed_distances(&rebuilt.features, &points, patches.points_per_patch);
    let (map, scored) = signed_distance_map(&distances, patches);
    let shape = ExpertScores { map, scored, sample_score: largest(&rebuilt.residuals) };

    let dictionary = dictionary(&neighbours, memory, settings, leave_out);
    let cells = features.used_cells();
    let residuals = cell_residuals(&features.appearance, &cells, memory, dictionary.as_deref(), search, settings);
    let appearance = ExpertScores {
        map: upsample_cells(&residuals),
        scored: pixels_of_cells(&cells),
        sample_score: largest(residuals.as_slice()),
    };
    let dictionary_size = dictionary.map_or(memory.appearance.rows(), |rows| rows.len());
    SampleScores { shape, appearance, cells: residuals, dictionary_size }
}

/// Features rebuilt from their neighbours in a bank.
#[derive(Clone, Debug, PartialEq)]
pub struct RebuiltFeatures {
    /// `f^` of each feature, `[n, d]`.
    pub features: Matrix,
    /// `||f - f^||` of each feature.
    pub residuals: Vec<f32>,
}

/// Rebuilds every feature from its neighbours in a bank.
///
/// # Shapes
/// - `features`: `[n, d]`, `bank`: `[m, d]`, `neighbours`: `n` lists
pub fn rebuild_features(
    features: &Matrix,
    bank: &Matrix,
    neighbours: &[Vec<Neighbour>],
    settings: &MemorySettings,
) -> RebuiltFeatures {
    let codes: Vec<SparseCode> = neighbours
        .par_iter()
        .enumerate()
        .map(|(row, neighbours)| rebuild(features.row(row), bank, neighbours, settings))
        .collect();
    let residuals = codes.iter().map(|code| code.residual).collect();
    let rebuilt = codes.into_iter().flat_map(|code| code.reconstruction).collect();
    RebuiltFeatures { features: Matrix::from_vec(neighbours.len(), features.cols(), rebuilt), residuals }
}

/// Rebuilds one feature from its neighbours, nearest first; the code's atoms are rows of the bank. Without a
/// neighbour the code is empty and rebuilds zero.
pub fn rebuild(feature: &[f32], bank: &Matrix, neighbours: &[Neighbour], settings: &MemorySettings) -> SparseCode {
    match (settings.coding, neighbours.first()) {
        (Coding::NearestNeighbour, Some(nearest)) => SparseCode {
            atoms: vec![nearest.row],
            coefficients: vec![1.0],
            reconstruction: bank.row(nearest.row as usize).to_vec(),
            residual: nearest.squared_distance.sqrt(),
        },
        _ => {
            let atoms = bank.select_rows(neighbours.iter().map(|neighbour| neighbour.row as usize));
            let mut code = orthogonal_matching_pursuit(feature, &atoms, settings.nonzeros);
            for atom in &mut code.atoms {
                *atom = neighbours[*atom as usize].row;
            }
            // A search that failed says so in the distances, which the code has no other use for.
            if neighbours.iter().any(|neighbour| neighbour.squared_distance.is_nan()) {
                code.residual = f32::NAN;
            }
            code
        }
    }
}

/// The largest of scores that are not negative; NaN if one of them is.
fn largest(scores: &[f32]) -> f32 {
    scores.iter().copied().fold(0.0, larger)
}

#[cfg(test)]
mod tests;
