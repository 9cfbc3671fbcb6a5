//! Blur, fusion of the two experts' maps, and sample scores (paper section 3.4; docs/method.md, "Alignment, fusion, scores").

use crate::alignment::Alignment;
use crate::grid::ScoreMap;
use crate::scoring::SampleScores;
use crate::settings::FusionSettings;

/// The final maps of a sample, all blurred.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyMaps {
    /// SDF.
    pub shape: ScoreMap,
    /// RGB.
    pub appearance: ScoreMap,
    /// Both.
    pub fused: ScoreMap,
}

/// The scores of a whole sample, one per expert and one for both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// SDF.
    pub shape: f32,
    /// RGB.
    pub appearance: f32,
    /// Both.
    pub fused: f32,
}

/// A true Gaussian blur, separable, zero beyond the border.
pub fn gaussian_blur(_map: &ScoreMap, _sigma_px: f32, _truncate: f32) -> ScoreMap {
    todo!()
}

/// Fuses two experts' scores to final maps: `blur(max(max(a * rgb + b, 0), sdf))`.
pub fn fuse(_scores: &SampleScores, _alignment: Alignment, _settings: &FusionSettings) -> AnomalyMaps {
    todo!()
}

/// The sample's scores.
pub fn sample_scores(_scores: &SampleScores, _maps: &AnomalyMaps, _settings: &FusionSettings) -> Scores {
    todo!()
}
