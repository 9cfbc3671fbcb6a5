//! Every constant of the baselines, with its source.

use crate::BaselineError;

/// Settings of all baselines.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineSettings {
    /// Coreset and sample score of PatchCore and BTF.
    pub bank: BankSettings,
    /// PaDiM.
    pub padim: PadimSettings,
    /// The point features of BTF.
    pub fpfh: FpfhSettings,
    /// Blur of the final maps, pixels (PatchCore 3.3 and PaDiM IV: 4).
    pub blur_sigma_px: f32,
    /// Where the blur's kernel ends, in sigmas (as in the method's own maps: 4).
    pub blur_truncate: f32,
    /// Seed of every random choice: the coreset's start and projection, PaDiM's channels.
    pub seed: u64,
}

/// The memory bank of PatchCore and BTF.
#[derive(Clone, Debug, PartialEq)]
pub struct BankSettings {
    /// Share of the features that the coreset keeps (PatchCore 4: 25 %, 10 % and 1 %; the paper's peers use 10 %).
    pub coreset_share: f64,
    /// Dimensions that the coreset's distances are computed in, by random projection; features that are not longer are
    /// not projected (PatchCore 3.2 has the projection, but no number; 128 is ours).
    pub projected_dim: usize,
    /// `b`: features nearest to the matched one that weigh the sample's score (PatchCore 3.3, equation 7, has no number;
    /// 9 is ours).
    pub reweight_neighbours: usize,
}

/// PaDiM's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct PadimSettings {
    /// Channels that are chosen at random (PaDiM IV: 550 of Wide-ResNet-50-2's 1,792); all, if there are not more.
    pub channels: usize,
    /// Added to the diagonal of every covariance (PaDiM III-B, equation 1; IV: 0.01).
    pub regularisation: f64,
}

/// Settings of normals and FPFH. The limits of both searches are those of Open3D's tutorial on global registration for its
/// voxel of 0.05: 2 voxels and 30 neighbours, 5 voxels and 100 neighbours. On a part of some centimetres, in metres, only
/// the numbers of neighbours matter.
#[derive(Clone, Debug, PartialEq)]
pub struct FpfhSettings {
    /// Radius of a normal's neighbourhood, metres.
    pub normal_radius_m: f64,
    /// Most points of a normal's neighbourhood, the point itself included.
    pub normal_neighbours: usize,
    /// Radius of a feature's neighbourhood, metres.
    pub feature_radius_m: f64,
    /// Most points of a feature's neighbourhood, the point itself included.
    pub feature_neighbours: usize,
}

impl Default for BaselineSettings {
    fn default() -> Self {
        Self {
            bank: BankSettings { coreset_share: 0.1, projected_dim: 128, reweight_neighbours: 9 },
            padim: PadimSettings { channels: 550, regularisation: 0.01 },
            fpfh: FpfhSettings {
                normal_radius_m: 0.1,
                normal_neighbours: 30,
                feature_radius_m: 0.25,
                feature_neighbours: 100,
            },
            blur_sigma_px: 4.0,
            blur_truncate: 4.0,
            seed: 0,
        }
    }
}

impl BaselineSettings {
    pub(crate) fn check(&self) -> Result<(), BaselineError> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let Self { bank, padim, fpfh, .. } = self;
        let rules: [(&'static str, bool, String, &'static str); 11] = [
            (
                "bank.coreset_share",
                bank.coreset_share > 0.0 && bank.coreset_share <= 1.0,
                bank.coreset_share.to_string(),
                "a share above 0 and up to 1",
            ),
            ("bank.projected_dim", bank.projected_dim >= 1, bank.projected_dim.to_string(), "1 or more"),
            (
                "bank.reweight_neighbours",
                bank.reweight_neighbours >= 1,
                bank.reweight_neighbours.to_string(),
                "1 or more",
            ),
            ("padim.channels", padim.channels >= 1, padim.channels.to_string(), "1 or more"),
            (
                "padim.regularisation",
                positive(padim.regularisation),
                padim.regularisation.to_string(),
                "a number above 0",
            ),
            (
                "fpfh.normal_radius_m",
                positive(fpfh.normal_radius_m),
                fpfh.normal_radius_m.to_string(),
                "a radius above 0 m",
            ),
            ("fpfh.normal_neighbours", fpfh.normal_neighbours >= 3, fpfh.normal_neighbours.to_string(), "3 or more"),
            (
                "fpfh.feature_radius_m",
                positive(fpfh.feature_radius_m),
                fpfh.feature_radius_m.to_string(),
                "a radius above 0 m",
            ),
            ("fpfh.feature_neighbours", fpfh.feature_neighbours >= 2, fpfh.feature_neighbours.to_string(), "2 or more"),
            (
                "blur_sigma_px",
                self.blur_sigma_px.is_finite() && self.blur_sigma_px >= 0.0,
                self.blur_sigma_px.to_string(),
                "0 or more pixels",
            ),
            (
                "blur_truncate",
                self.blur_truncate.is_finite() && self.blur_truncate > 0.0,
                self.blur_truncate.to_string(),
                "a number above 0",
            ),
        ];
        match rules.into_iter().find(|(_, holds, _, _)| !holds) {
            Some((name, _, value, expected)) => Err(BaselineError::Setting { name, value, expected }),
            None => Ok(()),
        }
    }
}
