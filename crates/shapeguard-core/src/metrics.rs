//! I-AUROC, P-AUROC, AUPRO and F1-max, exact (docs/method.md, "Metrics").

use crate::grid::{Mask, ScoreMap};

/// The FPR limits of AUPRO.
pub const AUPRO_LIMITS: [f64; 7] = [0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.01];

/// Area under the ROC curve; ties count half. `None` unless both classes are there.
pub fn auroc(_scores: &[f32], _positive: &[bool]) -> Option<f64> {
    todo!()
}

/// The largest F1 over all thresholds, and the threshold. `None` without positives.
pub fn f1_max(_scores: &[f32], _positive: &[bool]) -> Option<(f64, f32)> {
    todo!()
}

/// The per-region overlap curve.
#[derive(Clone, Debug, PartialEq)]
pub struct ProCurve {
    /// False-positive rate, ascending from 0.
    pub fpr: Vec<f64>,
    /// Mean overlap of the ground truth's regions.
    pub pro: Vec<f64>,
}

impl ProCurve {
    /// The exact curve: every distinct score is a threshold. Regions are 8-connected.
    pub fn exact(_maps: &[ScoreMap], _truths: &[Mask]) -> Option<Self> {
        todo!()
    }

    /// The published tables' curve: 100 thresholds at equidistant ranks of the good pixels' scores.
    pub fn with_100_thresholds(_maps: &[ScoreMap], _truths: &[Mask]) -> Option<Self> {
        todo!()
    }

    /// Area up to `limit`, divided by `limit`, with linear interpolation at the limit.
    pub fn area(&self, _limit: f64) -> f64 {
        todo!()
    }
}
