//! The per-region overlap curve (Bergmann et al. 2021, MVTec AD, section 5; docs/method.md, "Metrics").

use std::borrow::Borrow;

use super::ordered::Ranked;
use crate::grid::{Mask, ScoreMap};

/// The FPR limits of AUPRO.
pub const AUPRO_LIMITS: [f64; 7] = [0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.01];

/// Thresholds of the published tables' curve.
const COARSE_THRESHOLDS: usize = 100;

/// The per-region overlap curve.
#[derive(Clone, Debug, PartialEq)]
pub struct ProCurve {
    /// False-positive rate, ascending from 0.
    pub fpr: Vec<f64>,
    /// Mean overlap of the ground truth's regions.
    pub pro: Vec<f64>,
}

impl ProCurve {
    /// The exact curve: every distinct score is a threshold. Regions are 8-connected. `None` unless there are good and
    /// defective pixels and all scores are numbers.
    ///
    /// Thresholds between two neighbouring defective scores lie on a level line of the curve, so only its ends are
    /// kept.
    ///
    /// # Panics
    /// If maps and truths differ in number or size: a bug of the caller.
    pub fn exact<M, T>(maps: &[M], truths: &[T]) -> Option<Self>
    where
        M: Borrow<ScoreMap> + Sync,
        T: Borrow<Mask> + Sync,
    {
        Self::from_ranked(&Ranked::of_maps(maps, truths)?)
    }

    /// The published tables' curve: 100 thresholds at equidistant ranks of the good pixels' scores; a pixel is found if
    /// its score is greater; the false-positive rate follows from the rank, whatever the ties. `None` as for
    /// [`ProCurve::exact`].
    ///
    /// # Panics
    /// If maps and truths differ in number or size: a bug of the caller.
    pub fn with_100_thresholds<M, T>(maps: &[M], truths: &[T]) -> Option<Self>
    where
        M: Borrow<ScoreMap> + Sync,
        T: Borrow<Mask> + Sync,
    {
        Self::coarse_from_ranked(&Ranked::of_maps(maps, truths)?)
    }

    pub(super) fn from_ranked(ranked: &Ranked) -> Option<Self> {
        let good = ranked.good_count();
        if good == 0 || ranked.defective_count() == 0 {
            return None;
        }
        let mut curve = Self { fpr: Vec::new(), pro: Vec::new() };
        curve.push(0.0, 0.0);
        let mut overlap = Overlap::new(ranked);
        for step in ranked.steps() {
            curve.push(step.good_above as f64 / good as f64, overlap.mean());
            step.regions().for_each(|region| overlap.add(region));
            curve.push(step.good_from as f64 / good as f64, overlap.mean());
        }
        curve.push(1.0, 1.0);
        Some(curve)
    }

    pub(super) fn coarse_from_ranked(ranked: &Ranked) -> Option<Self> {
        let good = ranked.good_count();
        if good == 0 || ranked.defective_count() == 0 {
            return None;
        }
        let mut curve = Self { fpr: Vec::new(), pro: Vec::new() };
        let mut overlap = Overlap::new(ranked);
        let mut steps = ranked.steps().peekable();
        let stride = (good - 1) as f64 / (COARSE_THRESHOLDS - 1) as f64;
        for threshold in (0..COARSE_THRESHOLDS).rev() {
            let rank = ((threshold as f64 * stride) as usize).min(good - 1);
            let score = ranked.good_score(rank);
            while let Some(step) = steps.next_if(|step| step.score() > score) {
                step.regions().for_each(|region| overlap.add(region));
            }
            curve.push((good - 1 - rank) as f64 / good as f64, overlap.mean());
        }
        curve.push(1.0, 1.0);
        Some(curve)
    }

    /// Adds a point unless it repeats the last one.
    fn push(&mut self, fpr: f64, pro: f64) {
        if (self.fpr.last(), self.pro.last()) != (Some(&fpr), Some(&pro)) {
            self.fpr.push(fpr);
            self.pro.push(pro);
        }
    }

    /// Area up to `limit`, divided by `limit`, with linear interpolation at the limit.
    pub fn area(&self, limit: f64) -> f64 {
        let mut area = 0.0;
        for i in 1..self.fpr.len() {
            let (left, right) = (self.fpr[i - 1], self.fpr[i]);
            if left >= limit {
                break;
            }
            let end = right.min(limit);
            // A vertical step has no area, and so no share of it to interpolate.
            let share = if right > left { (end - left) / (right - left) } else { 0.0 };
            let height = self.pro[i - 1] + share * (self.pro[i] - self.pro[i - 1]);
            area += (end - left) * 0.5 * (self.pro[i - 1] + height);
        }
        area / limit
    }

    /// At most `points` of the curve's points, evenly spread along its length, both ends included; the steep rise at
    /// small rates so keeps its shape.
    pub fn thinned(&self, points: usize) -> Self {
        let n = self.fpr.len();
        if n <= points || points < 2 {
            return self.clone();
        }
        // Rate and overlap both rise from 0 to 1, so their sum measures the way along the curve.
        let way = |i: usize| self.fpr[i] + self.pro[i];
        let (start, length) = (way(0), way(n - 1) - way(0));
        let mut thinned = Self { fpr: Vec::with_capacity(points), pro: Vec::with_capacity(points) };
        let mut next = 0;
        for i in 0..n {
            if i + 1 == n || way(i) - start >= length * next as f64 / (points - 1) as f64 && next + 1 < points {
                thinned.fpr.push(self.fpr[i]);
                thinned.pro.push(self.pro[i]);
                // Marks that a long step has passed are skipped.
                next = ((way(i) - start) / length * (points - 1) as f64) as usize + 1;
            }
        }
        thinned
    }
}

/// How much of each region has been found.
struct Overlap<'a> {
    region_sizes: &'a [u32],
    sum: f64,
    left: usize,
}

impl<'a> Overlap<'a> {
    fn new(ranked: &'a Ranked) -> Self {
        Self { region_sizes: ranked.region_sizes(), sum: 0.0, left: ranked.defective_count() }
    }

    /// One more pixel of a region is found.
    fn add(&mut self, region: usize) {
        self.sum += 1.0 / f64::from(self.region_sizes[region]);
        self.left -= 1;
    }

    /// Mean share that is found; exactly one once all is.
    fn mean(&self) -> f64 {
        if self.left == 0 { 1.0 } else { (self.sum / self.region_sizes.len() as f64).min(1.0) }
    }
}
