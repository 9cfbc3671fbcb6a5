//! I-AUROC, P-AUROC, AUPRO and F1-max, exact (docs/method.md, "Metrics").
//!
//! Everything comes from one sort of the good pixels and one of the defective pixels: a defective pixel's rank among
//! the good ones is all that AUROC, F1 and the PRO curve need. The 100-threshold AUPRO, as in published tables,
//! stands beside the exact one; tests: `a_coarse_curve_misses_what_the_exact_one_sees` and the slow oracles.

mod ordered;
mod pro;
mod regions;

pub use pro::{AUPRO_LIMITS, ProCurve};
pub use regions::{Regions, label_regions};

use std::borrow::Borrow;

use crate::grid::{Mask, ScoreMap};
use ordered::Ranked;

/// Points that [`PixelMetrics`] keeps of its curve: more than a plot can show.
const PLOT_POINTS: usize = 500;

/// Area under the ROC curve; ties count half. `None` unless both classes are there and all scores are numbers.
///
/// # Panics
/// If there is not one score per truth: a bug of the caller.
pub fn auroc(scores: &[f32], positive: &[bool]) -> Option<f64> {
    Ranked::of_samples(scores, positive)?.auroc()
}

/// The largest F1 over all thresholds, and that threshold (a score that reaches it counts as positive). `None`
/// without positives, or if a score is no number.
///
/// # Panics
/// If there is not one score per truth: a bug of the caller.
pub fn f1_max(scores: &[f32], positive: &[bool]) -> Option<(f64, f32)> {
    Ranked::of_samples(scores, positive)?.f1_max()
}

/// All pixel-level metrics of a set of maps.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelMetrics {
    /// P-AUROC.
    pub p_auroc: f64,
    /// F1-max over all pixels.
    pub f1_max: f64,
    /// Exact AUPRO at each of [`AUPRO_LIMITS`].
    pub aupro: [f64; 7],
    /// AUPRO with 100 thresholds at each of [`AUPRO_LIMITS`].
    pub aupro_100: [f64; 7],
    /// The exact PRO curve, thinned for plotting.
    pub curve: ProCurve,
}

impl PixelMetrics {
    /// Measures maps against their ground truths. `None` unless there are good and defective pixels and all scores
    /// are numbers.
    ///
    /// Takes 4 bytes per good and 8 per defective pixel on top of the maps.
    ///
    /// # Panics
    /// If maps and truths differ in number or size: a bug of the caller.
    pub fn compute<M, T>(maps: &[M], truths: &[T]) -> Option<Self>
    where
        M: Borrow<ScoreMap> + Sync,
        T: Borrow<Mask> + Sync,
    {
        let ranked = Ranked::of_maps(maps, truths)?;
        let exact = ProCurve::from_ranked(&ranked)?;
        let coarse = ProCurve::coarse_from_ranked(&ranked)?;
        Some(Self {
            p_auroc: ranked.auroc()?,
            f1_max: ranked.f1_max()?.0,
            aupro: AUPRO_LIMITS.map(|limit| exact.area(limit)),
            aupro_100: AUPRO_LIMITS.map(|limit| coarse.area(limit)),
            curve: exact.thinned(PLOT_POINTS),
        })
    }
}

#[cfg(test)]
mod tests;
