//! Scoring: a sample's features against the dual memory (paper sections 3.2 to 3.4; docs/method.md, "Scoring").

use crate::grid::{Grid, Mask, ScoreMap};
use crate::memory::{DualMemory, SampleFeatures};
use crate::patches::PatchSet;
use crate::seams::{BankSearch, ShapeExpert};
use crate::settings::MemorySettings;

/// What one expert says of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertScores {
    /// 224 x 224 scores, not blurred; 0 where nothing was scored.
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
    _features: &SampleFeatures,
    _patches: &PatchSet,
    _memory: &DualMemory,
    _expert: &dyn ShapeExpert,
    _search: &dyn BankSearch,
    _settings: &MemorySettings,
    _leave_out: Option<u32>,
) -> SampleScores {
    todo!()
}
