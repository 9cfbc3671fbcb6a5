//! The verdict's threshold, from good parts alone (docs/method.md, "Threshold").

use serde::{Deserialize, Serialize};

/// Where the good scores came from, and so what the threshold promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdBasis {
    /// Good samples that the memory has not seen: the rate is guaranteed (split conformal).
    Validation,
    /// Training samples scored without their own features: the rate is approximate.
    LeaveOneOut,
}

/// The threshold: a sample is rejected when its score is greater.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The score above which a sample is rejected.
    pub score: f32,
    /// The wished false-reject rate.
    pub false_reject_rate: f64,
    /// Where the good scores came from.
    pub basis: ThresholdBasis,
    /// The good scores, ascending.
    pub good_scores: Vec<f32>,
}

/// Why there is no threshold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ThresholdError {
    /// Placeholder until the variants are in.
    #[error("no good scores")]
    NoScores,
}

impl Threshold {
    /// The conformal threshold of the good scores for a wished false-reject rate.
    ///
    /// # Errors
    /// If the rate is below `1 / (n + 1)`: the error says how many good samples it needs.
    pub fn from_good_scores(
        _good_scores: Vec<f32>,
        _false_reject_rate: f64,
        _basis: ThresholdBasis,
    ) -> Result<Self, ThresholdError> {
        todo!()
    }

    /// The conformal p-value of a score: the share of good parts that score at least as high.
    pub fn p_value(&self, _score: f32) -> f64 {
        todo!()
    }
}
