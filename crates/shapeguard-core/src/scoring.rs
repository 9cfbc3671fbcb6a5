//! Scoring: a sample's features against the dual memory (paper sections 3.2 to 3.4; docs/method.md, "Banks and
//! inference").
//!
//! Each stage can be called alone: [`shape_neighbours`], [`rebuild_features`], [`signed_distance_map`] for the shape
//! expert; [`dictionary`], [`cell_residuals`], [`cell_grid`], [`upsample_cells`], [`pixels_of_cells`] for the appearance expert.
//! [`raw_scores`] and [`score_maps`], or [`score`], run them in order.
//!
//! Where it differs from the published implementation: a distance of exactly 0 is a score like any other there is
//! (a mask says which pixels carry one), and a training sample leaves out all of its own features, not only the
//! nearest. Tests: `a_distance_of_zero_is_a_score`, `a_sample_left_out_meets_none_of_its_own_features`. [`score_maps_with`] and
//! [`LeaveOut::Nearest`] restore these.

mod appearance;
mod shape;

pub use appearance::{CellResiduals, cell_grid, cell_residuals, dictionary, pixels_of_cells, upsample_cells};
pub use shape::{shape_neighbours, signed_distance_map, signed_distance_map_with};

use rayon::prelude::*;

use crate::expert_inputs::normalised_patch_points;
use crate::fusion::{larger, mean_of_largest};
use crate::grid::{Grid, Mask, ScoreMap};
use crate::matrix::Matrix;
use crate::memory::{DualMemory, FeatureBank, SampleFeatures};
use crate::patches::PatchSet;
use crate::residual_metric::ResidualMetric;
use crate::seams::{BankSearch, Neighbour, ShapeExpert};
use crate::settings::{Coding, MemorySettings, OverlapRule, ReferenceQuirks, ShapeScore};
use crate::sparse_coding::{SparseCode, orthogonal_matching_pursuit};

/// `ShapeScore::SharedTop` averages one of this many pixels.
const SHARED_TOP_ONE_OF: usize = 1000;

/// What one expert says of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertScores {
    /// Scores of the sample's pixels, not blurred; 0 where nothing was scored, but RGB scores reach a cell's width beyond (they are
    /// interpolated).
    pub map: ScoreMap,
    /// Which pixels carry a score.
    pub scored: Mask,
    /// SDF: what the setting `shape_score` makes of the patches' `||f - f^||`. RGB: largest cell residual.
    pub sample_score: f32,
}

/// Both experts' scores of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleScores {
    /// The shape expert's.
    pub shape: ExpertScores,
    /// The appearance expert's.
    pub appearance: ExpertScores,
    /// Residual of each cell, a square grid; 0 where no patch has the cell.
    pub cells: Grid<f32>,
    /// How many RGB features the dictionary had.
    pub dictionary_size: usize,
}

/// What a sample's features score, before maps are made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawScores {
    /// The neighbours of each patch in the SDF bank.
    pub patch_neighbours: Vec<Vec<Neighbour>>,
    /// `||f - f^||` of each patch.
    pub patch_residuals: Vec<f32>,
    /// Signed distances of the patches' points, patch after patch, in the patches' normalised units.
    pub distances: Vec<f32>,
    /// Points of a patch.
    pub points_per_patch: usize,
    /// The cells that were compared, ascending.
    pub cells: Vec<u32>,
    /// The neighbours of each of them in the RGB bank.
    pub cell_neighbours: Vec<Vec<Neighbour>>,
    /// The residual of each of them, in the memory's metric; in Euclid's until that is learnt.
    pub cell_residuals: Vec<f32>,
    /// What each of them differs by from its reconstruction: only where a metric is yet to be learnt of it.
    pub cell_differences: Option<Matrix>,
    /// Cells along each side of the grid.
    pub grid_side: usize,
    /// How many RGB features the dictionary had.
    pub dictionary_size: usize,
}

impl RawScores {
    /// Measures the cells' residuals anew, by a metric that was learnt since; their differences are no longer needed then.
    pub fn measure(&mut self, metric: &ResidualMetric) {
        if let Some(differences) = self.cell_differences.take() {
            self.cell_residuals = metric.lengths(&differences);
        }
    }
}

/// Which features of the memory a sample is not compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveOut {
    /// Compared with all: a sample that the memory has not seen.
    Nothing,
    /// Without those of this sample of the memory: a training sample without its own.
    Sample(u32),
    /// Each of the sample's features without the nearest one, whosoever that is (the reference's `nearest_left_out`). All
    /// others of a training sample stay.
    Nearest,
}

impl LeaveOut {
    /// The nearest of the allowed rows that are not left out; those of a left-out sample the caller does not allow.
    fn nearest(
        self,
        search: &dyn BankSearch,
        bank: &FeatureBank,
        allowed: Option<&[u32]>,
        queries: &Matrix,
        k: usize,
    ) -> Vec<Vec<Neighbour>> {
        match self {
            Self::Nothing | Self::Sample(_) => search.nearest(bank, allowed, queries, k),
            // One more, and exactly one less: of features as near as each other the one of the smallest row goes.
            Self::Nearest => {
                let mut found = search.nearest(bank, allowed, queries, k.saturating_add(1));
                found.iter_mut().for_each(|neighbours| drop(neighbours.drain(..neighbours.len().min(1))));
                found
            }
        }
    }
}

/// Scores a sample without the features that it leaves out.
pub fn score(
    features: &SampleFeatures,
    patches: &PatchSet,
    memory: &DualMemory,
    expert: &dyn ShapeExpert,
    search: &dyn BankSearch,
    settings: &MemorySettings,
    leave_out: LeaveOut,
) -> SampleScores {
    score_maps(&raw_scores(features, patches, memory, expert, search, settings, leave_out), patches, memory, settings)
}

/// Compares a sample's features with the memory, as [`score`] does.
pub fn raw_scores(
    features: &SampleFeatures,
    patches: &PatchSet,
    memory: &DualMemory,
    expert: &dyn ShapeExpert,
    search: &dyn BankSearch,
    settings: &MemorySettings,
    leave_out: LeaveOut,
) -> RawScores {
    let patch_neighbours = shape_neighbours(&features.shape, memory, search, settings, leave_out);
    let (coding, nonzeros) = (settings.shape_coding, settings.nonzeros);
    let rebuilt = rebuild_features(&features.shape, &memory.shape, &patch_neighbours, coding, nonzeros);
    let points = normalised_patch_points(patches);
    let distances = expert.signed_distances(&rebuilt.features, &points, patches.points_per_patch);

    let dictionary = dictionary(&patch_neighbours, memory, settings, leave_out);
    let cells = features.used_cells();
    let compared =
        cell_residuals(&features.appearance, &cells, memory, dictionary.as_deref(), search, settings, leave_out);
    RawScores {
        patch_neighbours,
        patch_residuals: rebuilt.residuals,
        distances,
        points_per_patch: patches.points_per_patch,
        cells,
        cell_neighbours: compared.neighbours,
        cell_residuals: compared.residuals,
        cell_differences: compared.differences,
        grid_side: features.appearance.rows().isqrt(),
        dictionary_size: dictionary.map_or(memory.appearance.rows(), |rows| rows.len()),
    }
}

/// Makes maps of what a sample's features score, relative to the memory's typical scores where it has them.
pub fn score_maps(raw: &RawScores, patches: &PatchSet, memory: &DualMemory, settings: &MemorySettings) -> SampleScores {
    score_maps_with(raw, patches, memory, settings, ReferenceQuirks::default())
}

/// As [`score_maps`], with the reference's `zero_is_unset` where it is on.
pub fn score_maps_with(
    raw: &RawScores,
    patches: &PatchSet,
    memory: &DualMemory,
    settings: &MemorySettings,
    quirks: ReferenceQuirks,
) -> SampleScores {
    let mut residuals = raw.patch_residuals.clone();
    let mut factors = vec![1.0; residuals.len()];
    let mut cell_residuals = raw.cell_residuals.clone();
    if let Some(typical) = &memory.typical {
        let patches = residuals.iter_mut().zip(&mut factors).zip(&raw.patch_neighbours);
        for ((residual, factor), neighbours) in patches {
            *factor = typical.distance.factor(neighbours, settings.shape_typical_power)
                * typical.residual.ratio(*residual, neighbours, settings.residual_power);
            *residual *= typical.residual.factor(neighbours, settings.shape_typical_power);
        }
        for (residual, neighbours) in cell_residuals.iter_mut().zip(&raw.cell_neighbours) {
            *residual *= typical.cell.factor(neighbours, settings.appearance_typical_power);
        }
    }
    let (map, scored) = signed_distance_map_with(&raw.distances, &factors, patches, settings.overlap_rule, quirks);
    let sample_score = match settings.shape_score {
        ShapeScore::LargestPatch => largest(&residuals),
        ShapeScore::SharedTop => mean_of_largest(&shared_residuals(&residuals, patches), SHARED_TOP_ONE_OF),
    };
    let shape = ExpertScores { map, scored, sample_score };
    let cells = cell_grid(&raw.cells, cell_residuals, raw.grid_side);
    let appearance = ExpertScores {
        map: upsample_cells(&cells),
        scored: pixels_of_cells(&raw.cells, raw.grid_side),
        sample_score: largest(cells.as_slice()),
    };
    SampleScores { shape, appearance, cells, dictionary_size: raw.dictionary_size }
}

/// Each pixel's mean of the residuals of the patches that share it; 0 in no patch.
fn shared_residuals(residuals: &[f32], patches: &PatchSet) -> ScoreMap {
    let one_for_each = vec![1.0; patches.patches.len() * patches.points_per_patch];
    signed_distance_map(&one_for_each, residuals, patches, OverlapRule::Mean).0
}

/// Features rebuilt from their neighbours in a bank.
#[derive(Clone, Debug, PartialEq)]
pub struct RebuiltFeatures {
    /// `f^` of each feature, `[n, d]`.
    pub features: Matrix,
    /// `||f - f^||` of each feature.
    pub residuals: Vec<f32>,
}

/// Rebuilds every feature from its neighbours in a bank, as `coding` says, a sparse code with at most `nonzeros` atoms.
///
/// # Shapes
/// - `features`: `[n, d]`, `bank`: `[m, d]`, `neighbours`: `n` lists
pub fn rebuild_features(
    features: &Matrix,
    bank: &Matrix,
    neighbours: &[Vec<Neighbour>],
    coding: Coding,
    nonzeros: usize,
) -> RebuiltFeatures {
    let codes: Vec<SparseCode> = neighbours
        .par_iter()
        .enumerate()
        .map(|(row, neighbours)| rebuild(features.row(row), bank, neighbours, coding, nonzeros))
        .collect();
    let residuals = codes.iter().map(|code| code.residual).collect();
    let rebuilt = codes.into_iter().flat_map(|code| code.reconstruction).collect();
    RebuiltFeatures { features: Matrix::from_vec(neighbours.len(), features.cols(), rebuilt), residuals }
}

/// Rebuilds one feature from its neighbours, nearest first; the code's atoms are rows of the bank. Without a
/// neighbour the code is empty and rebuilds zero.
pub fn rebuild(
    feature: &[f32],
    bank: &Matrix,
    neighbours: &[Neighbour],
    coding: Coding,
    nonzeros: usize,
) -> SparseCode {
    match (coding, neighbours.first()) {
        (Coding::NearestNeighbour, Some(nearest)) => SparseCode {
            atoms: vec![nearest.row],
            coefficients: vec![1.0],
            reconstruction: bank.row(nearest.row as usize).to_vec(),
            residual: nearest.squared_distance.sqrt(),
        },
        _ => {
            let atoms = bank.select_rows(neighbours.iter().map(|neighbour| neighbour.row as usize));
            let mut code = orthogonal_matching_pursuit(feature, &atoms, nonzeros);
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
