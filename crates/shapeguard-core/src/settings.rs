//! The method's constants that can be set, with their units; a preset is a value of [`Settings`]. The reasons and sources stand
//! beside the values in the commented preset files (`crates/shapeguard/presets/*.toml`) and in docs/method.md.

mod reference_quirks;

pub use reference_quirks::ReferenceQuirks;

use serde::{Deserialize, Serialize};

use crate::seams::IMAGE_SIDE;

/// All settings of the method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the preset that these settings came from, for reports.
    pub preset: String,
    /// Seed of everything random: plane hypotheses, choice of alignment samples, a coreset's start and projection.
    pub seed: u64,
    /// Foreground.
    pub foreground: ForegroundSettings,
    /// The image that the experts see.
    pub image: ImageSettings,
    /// Patches.
    pub patches: PatchSettings,
    /// Which experts look at the sample.
    pub experts: ExpertSettings,
    /// Memories, search and sparse coding.
    pub memory: MemorySettings,
    /// Alignment, fusion and sample scores.
    pub fusion: FusionSettings,
    /// The verdict's threshold.
    pub threshold: ThresholdSettings,
    /// What the reference does otherwise.
    pub reference_quirks: ReferenceQuirks,
}

/// How the part is told from what it lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForegroundMethod {
    /// Remove the plane that the image's border shows, keep the largest cluster.
    Plane,
    /// Every valid point is foreground.
    None,
    /// A mask image given with the scan.
    Mask,
}

/// What to do with a part that touches the image's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BorderPolicy {
    /// Judge it, with a warning.
    Warn,
    /// Do not judge it.
    Refuse,
}

/// Foreground constants (docs/method.md, "Foreground"; the field's published steps, BTF).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForegroundSettings {
    /// How the part is found.
    pub method: ForegroundMethod,
    /// Width of the image border whose points the plane is fitted to, pixels.
    pub border_px: usize,
    /// Distance within which a border point supports a plane hypothesis, metres.
    pub plane_inlier_m: f32,
    /// Points drawn for one hypothesis.
    pub plane_sample_points: usize,
    /// Number of hypotheses.
    pub plane_hypotheses: usize,
    /// Smallest share of the border's points that must support the plane, else there is no plane.
    pub plane_min_support: f32,
    /// Points nearer to the plane than this are background, metres.
    pub background_distance_m: f32,
    /// The square's side is the larger side rounded up to a multiple of this, pixels.
    pub pad_multiple_px: usize,
    /// DBSCAN's neighbourhood radius, metres.
    pub cluster_eps_m: f32,
    /// DBSCAN's smallest neighbourhood of a core point, the point itself counted.
    pub cluster_min_points: usize,
    /// What to do with a part that touches the border.
    pub border: BorderPolicy,
    /// Pixels without depth keep their colour inside the filled outline of the part and lose it outside; `false`
    /// keeps it everywhere (reference quirk).
    pub mask_colour_without_depth: bool,
}

/// The image that the experts see (docs/method.md, "To 224 x 224").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSettings {
    /// Pixels along each side, a multiple of [`crate::seams::CELL_PX`].
    pub side_px: usize,
}

/// Patch constants (paper section 3.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchSettings {
    /// Points of a patch, `K`.
    pub points_per_patch: usize,
    /// `round(N * overlap / K)` centres, half to even.
    pub overlap: usize,
    /// Keep adding centres until every valid point is in a patch.
    pub full_coverage: bool,
    /// Patch to cells: dilation in cells.
    pub cell_dilation: usize,
    /// Shape of that dilation.
    pub cell_neighbourhood: CellNeighbourhood,
}

/// How a patch's cells are dilated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellNeighbourhood {
    /// All cells within the city-block distance.
    CityBlock,
    /// All cells within the chessboard distance.
    Square,
}

/// Which experts look at a sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpertSettings {
    /// `paper`, `compact`, or the path of a safetensors file.
    pub shape: String,
    /// `efficientnet-lite0`, or the path of Wide-ResNet-50-2 weights.
    pub appearance: String,
}

/// How a feature is rebuilt from its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coding {
    /// Orthogonal matching pursuit over the neighbours.
    Sparse,
    /// The nearest neighbour alone (the paper's Table 6).
    NearestNeighbour,
}

/// Memory constants (paper sections 3.2 and 3.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemorySettings {
    /// Neighbours of a patch's feature in the SDF bank, `k1`.
    pub shape_neighbours: usize,
    /// Neighbours of a cell's feature in the RGB dictionary, `k2`.
    pub appearance_neighbours: usize,
    /// Non-zero coefficients of a sparse code.
    pub nonzeros: usize,
    /// How a patch's feature is rebuilt.
    pub shape_coding: Coding,
    /// How a cell's feature is rebuilt.
    pub appearance_coding: Coding,
    /// Share of the RGB features that the bank keeps, chosen by a greedy coreset; 1 keeps all (paper).
    pub appearance_share: f64,
    /// How long the residual of a cell's feature is.
    pub appearance_metric: AppearanceMetric,
    /// Compare a cell only with colours seen on similar shapes; `false` searches the whole RGB bank.
    pub shape_guided: bool,
    /// How a pixel's SDF score is made of the patches that share it.
    pub overlap_rule: OverlapRule,
    /// SDF scores are divided by what good parts score at similar shapes, to this power; 0 leaves them (paper).
    pub shape_typical_power: f32,
    /// RGB scores are divided by what good parts score at similar colours, to this power; 0 leaves them (paper).
    pub appearance_typical_power: f32,
    /// A patch's signed distances are multiplied by its `||f - f^||`, relative to what is typical, to this power; 0 leaves them
    /// (paper).
    pub residual_power: f32,
    /// What of the patches' `||f - f^||` is the shape expert's score of a sample.
    pub shape_score: ShapeScore,
}

/// How long the residual of a cell's feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppearanceMetric {
    /// The root of the sum of squares of all channels (paper).
    Euclidean,
    /// In the deviations of good parts' residuals.
    Mahalanobis,
}

/// What of the patches' `||f - f^||` is the shape expert's score of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShapeScore {
    /// The largest (paper).
    LargestPatch,
    /// Each pixel takes the mean of the patches that share it; of the largest thousandth of the image's pixels, the mean.
    SharedTop,
}

/// How a pixel's SDF score is made of the patches that share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlapRule {
    /// The smallest (paper).
    Minimum,
    /// The mean.
    Mean,
}

/// How one number is made of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SampleScoring {
    /// (largest `||f - f^||`) x (largest RGB residual): the paper.
    Product,
    /// Mean of the largest thousandth of the fused map's pixels (at least one pixel).
    FusedTop,
    /// The product times the mean of the largest 1/250 of the fused map's pixels.
    ProductTop,
}

/// How two pixel scores become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FusionRule {
    /// The larger one, on the scale of SDF scores, before the blur (paper).
    Maximum,
    /// Root of the sum of the squares of both blurred scores, each in deviations above the mean of good parts.
    RootSumSquares,
}

/// Alignment and fusion constants (paper section 3.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FusionSettings {
    /// Training samples that the alignment is computed on (all, if fewer).
    pub alignment_samples: usize,
    /// Standard deviation of the blur, pixels.
    pub blur_sigma_px: f32,
    /// The Gaussian is cut at this many standard deviations.
    pub blur_truncate: f32,
    /// How one number is made of a sample.
    pub sample_score: SampleScoring,
    /// How two pixel scores become one.
    pub rule: FusionRule,
}

/// Threshold constants (docs/method.md, "Threshold").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdSettings {
    /// Largest wished share of good parts that are rejected.
    pub false_reject_rate: f64,
}

/// The built-in presets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The paper.
    Paper,
    /// The best that a CPU-only industrial PC does inside a takt time.
    Default,
    /// What pays in accuracy but costs more.
    Best,
}

impl Settings {
    /// The settings of a preset. The preset files are tested to say the same.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Paper => Self {
                preset: "paper".into(),
                seed: 0,
                foreground: ForegroundSettings {
                    method: ForegroundMethod::Plane,
                    border_px: 10,
                    plane_inlier_m: 0.004,
                    plane_sample_points: 50,
                    plane_hypotheses: 1000,
                    plane_min_support: 0.5,
                    background_distance_m: 0.005,
                    pad_multiple_px: 100,
                    cluster_eps_m: 0.006,
                    cluster_min_points: 30,
                    border: BorderPolicy::Warn,
                    mask_colour_without_depth: true,
                },
                image: ImageSettings { side_px: IMAGE_SIDE },
                patches: PatchSettings {
                    points_per_patch: 500,
                    overlap: 10,
                    full_coverage: true,
                    cell_dilation: 2,
                    cell_neighbourhood: CellNeighbourhood::CityBlock,
                },
                experts: ExpertSettings { shape: "paper".into(), appearance: "efficientnet-lite0".into() },
                memory: MemorySettings {
                    shape_neighbours: 10,
                    appearance_neighbours: 5,
                    nonzeros: 3,
                    shape_coding: Coding::Sparse,
                    appearance_coding: Coding::Sparse,
                    appearance_share: 1.0,
                    appearance_metric: AppearanceMetric::Euclidean,
                    shape_guided: true,
                    overlap_rule: OverlapRule::Minimum,
                    shape_typical_power: 0.0,
                    appearance_typical_power: 0.0,
                    residual_power: 0.0,
                    shape_score: ShapeScore::LargestPatch,
                },
                fusion: FusionSettings {
                    alignment_samples: 25,
                    blur_sigma_px: 4.0,
                    blur_truncate: 4.0,
                    sample_score: SampleScoring::Product,
                    rule: FusionRule::Maximum,
                },
                threshold: ThresholdSettings { false_reject_rate: 0.05 },
                reference_quirks: ReferenceQuirks::default(),
            },
            Preset::Default => {
                let paper = Self::preset(Preset::Paper);
                Self {
                    preset: "default".into(),
                    experts: ExpertSettings { shape: "compact".into(), ..paper.experts },
                    foreground: ForegroundSettings {
                        plane_sample_points: 3,
                        plane_hypotheses: 200,
                        ..paper.foreground
                    },
                    image: ImageSettings { side_px: 400 },
                    patches: PatchSettings { points_per_patch: 350, overlap: 6, ..paper.patches },
                    memory: MemorySettings {
                        appearance_metric: AppearanceMetric::Mahalanobis,
                        overlap_rule: OverlapRule::Mean,
                        shape_typical_power: 1.0,
                        appearance_typical_power: 0.5,
                        residual_power: 0.5,
                        shape_score: ShapeScore::SharedTop,
                        ..paper.memory
                    },
                    fusion: FusionSettings {
                        rule: FusionRule::RootSumSquares,
                        sample_score: SampleScoring::ProductTop,
                        ..paper.fusion
                    },
                    ..paper
                }
            }
            Preset::Best => {
                let default = Self::preset(Preset::Default);
                Self { preset: "best".into(), patches: PatchSettings { overlap: 15, ..default.patches }, ..default }
            }
        }
    }
}
