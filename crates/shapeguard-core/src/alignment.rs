//! Alignment: brings the RGB scores to the scale of the SDF scores (paper section 3.4; docs/method.md).

use crate::scoring::SampleScores;
use crate::settings::FusionSettings;
use serde::{Deserialize, Serialize};

/// The affine map `a * rgb + b`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    /// `sd_sdf / sd_rgb`.
    pub a: f32,
    /// `mean_sdf - a * mean_rgb`.
    pub b: f32,
}

/// Why there is no alignment.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AlignmentError {
    /// Placeholder until the variants are in.
    #[error("no samples")]
    NoSamples,
}

/// Mean and deviation are taken over the pixels that carried a score before the blur, sample after sample.
#[derive(Clone, Debug, Default)]
pub struct AlignmentStatistics {}

impl AlignmentStatistics {
    /// Adds a sample that was scored without any feature of its own.
    pub fn add(&mut self, _scores: &SampleScores, _settings: &FusionSettings) {
        todo!()
    }

    /// The alignment.
    ///
    /// # Errors
    /// If nothing was added, or the RGB scores do not vary.
    pub fn finish(&self) -> Result<Alignment, AlignmentError> {
        todo!()
    }
}
