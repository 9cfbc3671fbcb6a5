//! Alignment: brings the RGB scores to the scale of the SDF scores (paper section 3.4; docs/method.md, "Alignment,
//! fusion, scores").
//!
//! Statistics are taken over the pixels that carried a score before the blur. The published implementation takes
//! those that are not zero after it, and leaves out only the nearest feature of a training sample; here the sample is
//! scored without any of its own. Test: `only_pixels_that_carried_a_score_count`. [`AlignmentStatistics::with_quirks`] restores
//! the former, [`crate::scoring::LeaveOut::Nearest`] the latter.

use crate::fusion::{blur, larger};
use crate::scoring::{ExpertScores, SampleScores};
use crate::settings::{FusionRule, FusionSettings, ReferenceQuirks};
use serde::{Deserialize, Serialize};

/// The affine map `a * rgb + b`, and the scale that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    /// `sd_sdf / sd_rgb`.
    pub a: f32,
    /// `mean_sdf - a * mean_rgb`.
    pub b: f32,
    /// Mean of the good samples' SDF scores, and so of their aligned RGB scores.
    pub mean: f32,
    /// Their deviation.
    pub deviation: f32,
}

/// Why there is no alignment.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AlignmentError {
    /// No pixel of any sample carried a score.
    #[error(
        "the alignment needs good samples with scores of both experts, found {shape_pixels} pixels with an SDF score and {appearance_pixels} with an RGB score; fit with at least two good samples"
    )]
    NoScores {
        /// Pixels with an SDF score.
        shape_pixels: u64,
        /// Pixels with an RGB score.
        appearance_pixels: u64,
    },
    /// The RGB scores are all alike.
    #[error(
        "the RGB scores of the good samples are all {mean}, so they have no scale to align; check that the samples are different scans and that their images show the part"
    )]
    AppearanceDoesNotVary {
        /// Their common value.
        mean: f64,
    },
    /// The SDF scores are all alike, but the fusion rule measures in their deviations.
    #[error(
        "the SDF scores of the good samples are all {mean}, so there is no deviation to measure scores in; check that the samples are different scans, or set fusion.rule = \"maximum\""
    )]
    ShapeDoesNotVary {
        /// Their common value.
        mean: f32,
    },
    /// A score is no number, or too large.
    #[error(
        "the good samples' scores have no finite mean and deviation (SDF {shape}, RGB {appearance}); check the experts' weights"
    )]
    NotFinite {
        /// Mean of the SDF scores.
        shape: f64,
        /// Mean of the RGB scores.
        appearance: f64,
    },
}

/// Mean and deviation are taken over the pixels that carried a score before the blur, sample after sample.
#[derive(Clone, Debug, Default)]
pub struct AlignmentStatistics {
    shape: Moments,
    appearance: Moments,
    quirks: ReferenceQuirks,
}

impl Alignment {
    /// An SDF score on the scale of the fused map that the rule makes.
    pub fn shape_on_fused_scale(self, score: f32, rule: FusionRule) -> f32 {
        match rule {
            FusionRule::Maximum => score,
            FusionRule::RootSumSquares => larger((score - self.mean) / self.deviation, 0.0),
        }
    }

    /// An RGB score on the scale of the fused map that the rule makes.
    pub fn appearance_on_fused_scale(self, score: f32, rule: FusionRule) -> f32 {
        larger(self.shape_on_fused_scale(self.a * score + self.b, rule), 0.0)
    }

    /// Makes sure that the fusion rule can work with it.
    ///
    /// # Errors
    /// If it measures in deviations and there is none.
    pub fn check(self, rule: FusionRule) -> Result<Self, AlignmentError> {
        match rule {
            FusionRule::RootSumSquares if self.deviation <= 0.0 => {
                Err(AlignmentError::ShapeDoesNotVary { mean: self.mean })
            }
            _ => Ok(self),
        }
    }
}

impl AlignmentStatistics {
    /// Of nothing so far, with the reference's `blur_in_8_bits`, and with its `aligned_over_nonzero`, by which all pixels count
    /// that are not zero after the blur.
    pub fn with_quirks(quirks: ReferenceQuirks) -> Self {
        Self { quirks, ..Self::default() }
    }

    /// Adds a sample that was scored without any feature of its own.
    pub fn add(&mut self, scores: &SampleScores, settings: &FusionSettings) {
        self.shape.merge(blurred_moments(&scores.shape, settings, self.quirks));
        self.appearance.merge(blurred_moments(&scores.appearance, settings, self.quirks));
    }

    /// The alignment.
    ///
    /// # Errors
    /// If nothing was added, the RGB scores do not vary, or scores are not finite.
    pub fn finish(&self) -> Result<Alignment, AlignmentError> {
        let (shape, appearance) = (self.shape, self.appearance);
        if shape.count == 0 || appearance.count == 0 {
            return Err(AlignmentError::NoScores { shape_pixels: shape.count, appearance_pixels: appearance.count });
        }
        let (sd_shape, sd_appearance) = (shape.deviation(), appearance.deviation());
        if sd_appearance == 0.0 {
            return Err(AlignmentError::AppearanceDoesNotVary { mean: appearance.mean });
        }
        let a = sd_shape / sd_appearance;
        let alignment = Alignment {
            a: a as f32,
            b: (shape.mean - a * appearance.mean) as f32,
            mean: shape.mean as f32,
            deviation: sd_shape as f32,
        };
        if !(alignment.a.is_finite() && alignment.b.is_finite()) {
            return Err(AlignmentError::NotFinite { shape: shape.mean, appearance: appearance.mean });
        }
        Ok(alignment)
    }
}

fn blurred_moments(scores: &ExpertScores, settings: &FusionSettings, quirks: ReferenceQuirks) -> Moments {
    let blurred = blur(&scores.map, settings, quirks);
    let values = blurred.as_slice().iter().zip(scores.scored.as_slice());
    let counts = |value: f32, scored: bool| if quirks.aligned_over_nonzero { value != 0.0 } else { scored };
    Moments::of(values.filter(|(value, scored)| counts(**value, **scored)).map(|(value, _)| f64::from(*value)))
}

/// Count, mean, and sum of squared differences from the mean.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// In two passes, so that equal values have a deviation of exactly zero.
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count() as u64;
        if count == 0 {
            return Self::default();
        }
        let mean = values.clone().sum::<f64>() / count as f64;
        Self { count, mean, squares: values.map(|value| (value - mean) * (value - mean)).sum() }
    }

    /// Adds other values' moments (Chan, Golub, LeVeque 1979).
    fn merge(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        let count = self.count + other.count;
        let share = other.count as f64 / count as f64;
        let difference = other.mean - self.mean;
        self.squares += other.squares + difference * difference * self.count as f64 * share;
        self.mean += difference * share;
        self.count = count;
    }

    /// Population deviation.
    fn deviation(self) -> f64 {
        (self.squares / self.count as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::gaussian_blur;
    use crate::grid::{Grid, GridSize};
    use crate::settings::{Preset, Settings};

    /// Scores of a 1-pixel-high sample; `None` carries no score.
    fn scores(shape: &[Option<f32>], appearance: &[Option<f32>]) -> SampleScores {
        let expert = |values: &[Option<f32>]| {
            let size = GridSize::new(1, values.len());
            ExpertScores {
                map: Grid::from_fn(size, |_, col| values[col].unwrap_or(0.0)),
                scored: Grid::from_fn(size, |_, col| values[col].is_some()),
                sample_score: 0.0,
            }
        };
        SampleScores {
            shape: expert(shape),
            appearance: expert(appearance),
            cells: Grid::filled(GridSize::new(1, 1), 0.0),
            dictionary_size: 0,
        }
    }

    fn unblurred() -> FusionSettings {
        FusionSettings { blur_sigma_px: 0.0, ..Settings::preset(Preset::Paper).fusion }
    }

    #[test]
    fn only_pixels_that_carried_a_score_count() {
        let mut statistics = AlignmentStatistics::default();
        // A scored zero counts, an absent pixel does not. SDF: 0, 2, 4; RGB: 10, 30, 20.
        statistics.add(&scores(&[Some(0.0), None, Some(2.0)], &[Some(10.0), None, None]), &unblurred());
        statistics.add(&scores(&[Some(4.0), None, None], &[Some(30.0), Some(20.0), None]), &unblurred());
        let alignment = statistics.finish().unwrap();
        // Means 2 and 20, squared deviations in the ratio 1 to 25.
        assert!((alignment.a - 0.2).abs() < 1e-7);
        assert!((alignment.b + 2.0).abs() < 1e-6);
    }

    #[test]
    fn pixels_that_are_not_zero_after_the_blur_count_scored_or_not() {
        let quirks = ReferenceQuirks { aligned_over_nonzero: true, ..ReferenceQuirks::default() };
        let mut statistics = AlignmentStatistics::with_quirks(quirks);
        // Unblurred: a scored zero does not count. SDF: 2, 4; RGB: 10, 30, 20.
        statistics.add(&scores(&[Some(0.0), None, Some(2.0)], &[Some(10.0), Some(0.0), None]), &unblurred());
        statistics.add(&scores(&[Some(4.0), None, None], &[Some(30.0), Some(20.0), None]), &unblurred());
        assert_eq!((statistics.shape.count, statistics.shape.mean), (2, 3.0));
        assert_eq!((statistics.appearance.count, statistics.appearance.mean), (3, 20.0));
        // Blurred: what the blur reaches counts too, here all three pixels, and so less than the score itself.
        let settings = Settings::preset(Preset::Paper).fusion;
        let sample = scores(&[Some(1.0), None, None], &[None, None, Some(1.0)]);
        let blurred = gaussian_blur(&sample.shape.map, settings.blur_sigma_px, settings.blur_truncate);
        let mut statistics = AlignmentStatistics::with_quirks(quirks);
        statistics.add(&sample, &settings);
        let sum: f64 = blurred.as_slice().iter().map(|value| f64::from(*value)).sum();
        assert_eq!((statistics.shape.count, statistics.shape.mean), (3, sum / 3.0));
        let mut all_zero = AlignmentStatistics::with_quirks(quirks);
        all_zero.add(&scores(&[Some(0.0)], &[Some(0.0)]), &settings);
        assert_eq!(all_zero.finish(), Err(AlignmentError::NoScores { shape_pixels: 0, appearance_pixels: 0 }));
    }

    #[test]
    fn absent_pixels_enter_the_blur_as_zero() {
        let settings = Settings::preset(Preset::Paper).fusion;
        let sample = scores(&[Some(1.0), Some(3.0), None], &[Some(1.0), None, Some(1.0)]);
        let blurred = gaussian_blur(&sample.appearance.map, settings.blur_sigma_px, settings.blur_truncate);
        let mut statistics = AlignmentStatistics::default();
        statistics.add(&sample, &settings);
        assert_eq!(statistics.appearance.mean, f64::from(blurred[(0, 0)] / 2.0 + blurred[(0, 2)] / 2.0));
        assert_eq!(statistics.appearance.count, 2);
    }

    #[test]
    fn three_deviations_map_onto_three_deviations() {
        let shape: Vec<_> = (0..50).map(|i| Some((i as f32 * 0.7).sin() * 0.02 + 0.05)).collect();
        let appearance: Vec<_> = (0..50).map(|i| Some((i as f32 * 1.9).cos() * 3.0 + 7.0)).collect();
        let mut statistics = AlignmentStatistics::default();
        statistics.add(&scores(&shape, &appearance), &unblurred());
        let Alignment { a, b, .. } = statistics.finish().unwrap();
        for sign in [-3.0, 3.0] {
            let from = statistics.appearance.mean + sign * statistics.appearance.deviation();
            let to = statistics.shape.mean + sign * statistics.shape.deviation();
            // a and b are rounded to f32, and b is a difference of values near 0.1.
            assert!((f64::from(a) * from + f64::from(b) - to).abs() < 1e-6);
        }
    }

    #[test]
    fn merging_samples_equals_all_pixels_at_once() {
        let values: Vec<f64> = (0..90).map(|i| (i as f64 * 0.31).sin() + 100.0).collect();
        let whole = Moments::of(values.iter().copied());
        let mut merged = Moments::default();
        for part in values.chunks(17) {
            merged.merge(Moments::of(part.iter().copied()));
        }
        assert_eq!(merged.count, whole.count);
        // Rounding of f64 at a mean of 100.
        assert!((merged.mean - whole.mean).abs() < 1e-12);
        assert!((merged.deviation() - whole.deviation()).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_aligned_is_refused() {
        let error = AlignmentStatistics::default().finish().unwrap_err();
        assert_eq!(error, AlignmentError::NoScores { shape_pixels: 0, appearance_pixels: 0 });
        let finish = |appearance: &[Option<f32>]| {
            let mut statistics = AlignmentStatistics::default();
            statistics.add(&scores(&[Some(0.0), Some(2.0)], appearance), &unblurred());
            statistics.finish().unwrap_err()
        };
        assert_eq!(finish(&[None, None]), AlignmentError::NoScores { shape_pixels: 2, appearance_pixels: 0 });
        let alike = finish(&[Some(0.3), Some(0.3)]);
        assert!(matches!(alike, AlignmentError::AppearanceDoesNotVary { .. }), "{alike}");
        assert!(matches!(finish(&[Some(f32::NAN), Some(1.0)]), AlignmentError::NotFinite { .. }));
    }
}
