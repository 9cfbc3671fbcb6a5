//! The peers that the paper compares itself with, written from their papers and judged on the same samples by the same
//! metrics: PatchCore and PaDiM on colour, BTF on point features alone and with colour (docs/baselines.md).
//!
//! [`Baseline::fit`] learns from good samples, [`FittedBaseline::score`] gives a sample's 224 x 224 map and score. Samples are
//! those of the method itself: foreground removed, 224 x 224 pixels. What all four share and their papers do
//! otherwise: cells that the part does not touch score 0 before the map is blurred, and no image is scaled and cropped.

pub mod backbone;
pub mod bank;
pub mod btf;
pub mod cells;
pub mod fpfh;
pub mod padim;
pub mod patchcore;
pub mod settings;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rayon::prelude::*;
use shapeguard_core::fusion::gaussian_blur;
use shapeguard_core::grid::ScoreMap;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::resample::Sample;
use shapeguard_core::seams::{CELL_GRID_SIDE, IMAGE_SIDE};

pub use backbone::Backbone;
pub use settings::BaselineSettings;

use bank::Bank;
use cells::{CellScores, part_cells, part_cells_with_points};
use padim::Gaussians;

/// The baselines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// PatchCore (Roth et al., CVPR 2022), on colour.
    PatchCore,
    /// PaDiM (Defard et al., 2020), on colour.
    Padim,
    /// BTF (Horwitz and Hoshen, CVPRW 2023) with FPFH alone.
    BtfFpfh,
    /// BTF with colour and FPFH.
    Btf,
}

/// Why a baseline cannot be fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// Too little to learn from.
    #[error("{} needs at least {needed} good samples, found {found}; give more", baseline.name())]
    TooFewSamples {
        /// Which baseline.
        baseline: Baseline,
        /// How many it needs.
        needed: usize,
        /// How many there were.
        found: usize,
    },
    /// A setting makes no sense.
    #[error("{name} is {value}, expected {expected}; correct it")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is possible.
        expected: &'static str,
    },
}

/// What a baseline says of one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineScores {
    /// 224 x 224, blurred.
    pub map: ScoreMap,
    /// The sample's score.
    pub score: f32,
}

/// A baseline that has learnt one kind of part.
pub struct FittedBaseline {
    baseline: Baseline,
    backbone: Arc<Backbone>,
    settings: BaselineSettings,
    memory: Memory,
}

/// What was learnt.
enum Memory {
    Bank(Bank),
    Gaussians(Gaussians),
}

impl Baseline {
    /// All four, in the order of the tables.
    pub const ALL: [Self; 4] = [Self::PatchCore, Self::Padim, Self::BtfFpfh, Self::Btf];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PatchCore => "PatchCore",
            Self::Padim => "PaDiM",
            Self::BtfFpfh => "BTF (FPFH)",
            Self::Btf => "BTF (RGB + FPFH)",
        }
    }

    /// Learns from good samples. The same samples, settings and seed give the same bytes, however many threads run.
    ///
    /// # Errors
    /// If there are too few samples, or a setting makes no sense.
    pub fn fit(
        self,
        samples: &[Sample],
        backbone: &Arc<Backbone>,
        settings: &BaselineSettings,
    ) -> Result<FittedBaseline, BaselineError> {
        settings.check()?;
        let needed = if self == Self::Padim { padim::LEAST_SAMPLES } else { 1 };
        if samples.len() < needed {
            return Err(BaselineError::TooFewSamples { baseline: self, needed, found: samples.len() });
        }
        let features: Vec<Matrix> =
            samples.par_iter().map(|sample| self.features(sample, backbone, settings)).collect();
        let memory = match self {
            Self::Padim => Memory::Gaussians(Gaussians::fit(&features, settings.padim.regularisation)),
            _ => {
                let mut all = Matrix::default();
                features.iter().for_each(|one| all.append(one));
                Memory::Bank(Bank::fit(&all, &settings.bank, settings.seed))
            }
        };
        Ok(FittedBaseline { baseline: self, backbone: Arc::clone(backbone), settings: settings.clone(), memory })
    }

    /// A sample's features, cell by cell.
    fn features(self, sample: &Sample, backbone: &Backbone, settings: &BaselineSettings) -> Matrix {
        assert_eq!(sample.side(), IMAGE_SIDE, "the baselines see the published size only");
        match self {
            Self::PatchCore => patchcore::features(sample, backbone),
            Self::Padim => padim::features(sample, backbone, &settings.padim, settings.seed),
            Self::BtfFpfh => btf::point_features(sample, &settings.fpfh),
            Self::Btf => btf::features(sample, backbone, &settings.fpfh),
        }
    }
}

impl FittedBaseline {
    /// Which baseline it is.
    pub fn baseline(&self) -> Baseline {
        self.baseline
    }

    /// How many features it compares a sample with; for PaDiM, how many positions have a Gaussian.
    pub fn memory_size(&self) -> usize {
        match &self.memory {
            Memory::Bank(bank) => bank.features().rows(),
            Memory::Gaussians(gaussians) => gaussians.positions(),
        }
    }

    /// Scores a sample.
    ///
    /// # Panics
    /// If the sample is not of 224 x 224 pixels: a bug of the caller. So does [`Baseline::fit`].
    pub fn score(&self, sample: &Sample) -> BaselineScores {
        let features = self.baseline.features(sample, &self.backbone, &self.settings);
        let (cells, score) = match &self.memory {
            Memory::Bank(bank) => {
                let part = match self.baseline {
                    Baseline::BtfFpfh => part_cells_with_points(sample, CELL_GRID_SIDE),
                    _ => part_cells(sample, CELL_GRID_SIDE),
                };
                let scored = bank.score(&features, &part, &self.settings.bank);
                (CellScores::new(CELL_GRID_SIDE, &part, &scored.distances), Some(scored.sample_score))
            }
            Memory::Gaussians(gaussians) => {
                let side = features.rows().isqrt();
                let part = part_cells(sample, side);
                (CellScores::new(side, &part, &gaussians.distances(&features, &part)), None)
            }
        };
        let map = gaussian_blur(&cells.upsampled(), self.settings.blur_sigma_px, self.settings.blur_truncate);
        // PaDiM's score is the largest of its final map (section III-C).
        let score = score.unwrap_or_else(|| map.as_slice().iter().copied().fold(0.0, f32::max));
        BaselineScores { map, score }
    }
}
