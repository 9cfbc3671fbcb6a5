//! The detector: what is learnt from good parts, and the verdict on a scan (docs/method.md).

mod fit;

pub use fit::{FitError, FitInputs, FittedCategory, UnusableScan, alignment_choice, check_counts};

use shapeguard_core::alignment::Alignment;
use shapeguard_core::calibration::Threshold;
use shapeguard_core::defects::{DefectMaps, Defects};
use shapeguard_core::foreground::ForegroundWarning;
use shapeguard_core::fusion::{AnomalyMaps, Scores, fuse_with, sample_scores};
use shapeguard_core::grid::{Mask, ScoreMap};
use shapeguard_core::memory::{DualMemory, SampleFeatures};
use shapeguard_core::patches::PatchSet;
use shapeguard_core::resample::Sample;
use shapeguard_core::sample::Scan;
use shapeguard_core::scoring::{LeaveOut, RawScores, raw_scores, score_maps_with};
use shapeguard_core::settings::Settings;
use shapeguard_data::DataError;

use crate::experts::Experts;
use crate::pipeline::{NotJudged, PreparedScan, StageSeconds, Stopwatch, prepare};

/// A fitted detector for one kind of part.
#[derive(Debug)]
pub struct Detector {
    pub(crate) settings: Settings,
    pub(crate) experts: Experts,
    pub(crate) memory: DualMemory,
    pub(crate) alignment: Alignment,
    pub(crate) threshold: Threshold,
    pub(crate) good_peak: f32,
    pub(crate) provenance: Provenance,
}

/// Where a model is from.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Provenance {
    /// Name of the part or category.
    pub name: String,
    /// Number of good scans in the memories.
    pub training_scans: usize,
    /// Number of good scans that were kept aside.
    pub validation_scans: usize,
    /// SHA-256 over the digests of all scans, in order.
    pub data_sha256: String,
    /// Version of the program that fitted it.
    pub program_version: String,
}

/// A scan and, for the foreground method `mask`, its foreground mask.
#[derive(Clone, Debug)]
pub struct LoadedScan {
    /// The scan.
    pub scan: Scan,
    /// The foreground mask, of the scan's size.
    pub mask: Option<Mask>,
}

/// Why a single scan cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// It cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// It can be read but not judged.
    #[error("{name}: {source}")]
    NotJudged {
        /// The scan's name.
        name: String,
        /// Why.
        source: NotJudged,
    },
}

/// The verdict on a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The score is not above the threshold.
    Good,
    /// The score is above the threshold.
    Rejected,
}

/// Everything that the detector says of one scan.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The verdict.
    pub verdict: Verdict,
    /// Each expert's score, and the one that the verdict is made of.
    pub scores: Scores,
    /// Share of good parts that score at least as high (conformal p-value).
    pub p_value: f64,
    /// Blurred anomaly maps of the pixels that the experts see.
    pub maps: AnomalyMaps,
    /// The part as the experts saw it.
    pub sample: Sample,
    /// Number of patches.
    pub patches: usize,
    /// How many RGB features the sample was compared with.
    pub dictionary_size: usize,
    /// What the user should know.
    pub warnings: Vec<ForegroundWarning>,
    /// Wall-clock time of each stage.
    pub seconds: StageSeconds,
}

impl Detector {
    /// Judges a scan.
    ///
    /// # Errors
    /// If no part is found or it is too small: then the scan is *not judged*, which is never the same as good.
    pub fn inspect(&self, loaded: &LoadedScan) -> Result<Inspection, NotJudged> {
        self.judge(self.experts.prepare(loaded, &self.settings)?)
    }

    /// Judges a scan that was prepared by this detector's experts and settings.
    ///
    /// # Errors
    /// If a score is no number: then the scan is *not judged*.
    pub fn judge(&self, prepared: PreparedScan) -> Result<Inspection, NotJudged> {
        let mut seconds = prepared.seconds;
        let mut watch = Stopwatch::start();
        let PreparedScan { sample, patches, features, warnings, .. } = prepared;
        let compared = self.experts.compare(&features, &patches, &self.memory, &self.settings, LeaveOut::Nothing);
        let quirks = self.settings.reference_quirks;
        let raw = score_maps_with(&compared, &patches, &self.memory, &self.settings.memory, quirks);
        seconds.scoring = watch.lap();
        let maps = fuse_with(&raw, self.alignment, &self.settings.fusion, quirks);
        let scores = sample_scores(&raw, &maps, &self.settings.fusion);
        seconds.fusion = watch.lap();
        // A product can hide what is no number in a map, and a maximum what is no number in a score.
        let in_maps = [&maps.shape, &maps.appearance, &maps.fused].into_iter().flat_map(|map| map.as_slice().iter());
        let all = [scores.shape, scores.appearance, scores.fused];
        if let Some(score) = all.iter().chain(in_maps).find(|score| !score.is_finite()) {
            return Err(NotJudged::NotFinite { score: *score });
        }
        let verdict = if scores.fused > self.threshold.score { Verdict::Rejected } else { Verdict::Good };
        Ok(Inspection {
            verdict,
            scores,
            p_value: self.threshold.p_value(scores.fused),
            maps,
            sample,
            patches: patches.patches.len(),
            dictionary_size: raw.dictionary_size,
            warnings,
            seconds,
        })
    }

    /// Both experts' maps of an inspection on the scale of the fused one: SDF, RGB.
    pub fn maps_on_fused_scale(&self, maps: &AnomalyMaps) -> [ScoreMap; 2] {
        let rule = self.settings.fusion.rule;
        [
            maps.shape.map(|score| self.alignment.shape_on_fused_scale(*score, rule)),
            maps.appearance.map(|score| self.alignment.appearance_on_fused_scale(*score, rule)),
        ]
    }

    /// Where the defects of a rejected part are; `None` of a good one.
    ///
    /// # Panics
    /// If the inspection is of another scan: a bug of the caller.
    pub fn defects(&self, scan: &Scan, inspection: &Inspection) -> Option<Defects> {
        if inspection.verdict == Verdict::Good {
            return None;
        }
        let [shape, appearance] = self.maps_on_fused_scale(&inspection.maps);
        let maps = DefectMaps { shape: &shape, appearance: &appearance, fused: &inspection.maps.fused };
        Some(Defects::find(maps, inspection.sample.frame(), scan.cloud(), self.good_peak))
    }

    /// The settings it was fitted with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The threshold of the verdict.
    pub fn threshold(&self) -> &Threshold {
        &self.threshold
    }

    /// How RGB scores are brought to the scale of SDF scores.
    pub fn alignment(&self) -> Alignment {
        self.alignment
    }

    /// The highest value that a good scan's fused map reached: the middle of the pictures' colour scale.
    pub fn good_peak(&self) -> f32 {
        self.good_peak
    }

    /// Both memory banks.
    pub fn memory(&self) -> &DualMemory {
        &self.memory
    }

    /// Both experts.
    pub fn experts(&self) -> &Experts {
        &self.experts
    }

    /// The same detector, whose experts and search run elsewhere.
    ///
    /// # Panics
    /// If they are other experts: a bug of the caller.
    #[must_use]
    pub fn with_experts(self, experts: Experts) -> Self {
        let identities = |experts: &Experts| (experts.shape_identity.clone(), experts.appearance_identity.clone());
        assert_eq!(identities(&experts), identities(&self.experts), "a memory belongs to the experts that filled it");
        Self { experts, ..self }
    }

    /// Where the model is from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }
}

impl Experts {
    /// Runs the shared part of the pipeline on a scan.
    ///
    /// # Errors
    /// As [`prepare`].
    pub fn prepare(&self, loaded: &LoadedScan, settings: &Settings) -> Result<PreparedScan, NotJudged> {
        prepare(&loaded.scan, loaded.mask.as_ref(), settings, &*self.shape, &*self.appearance)
    }

    /// Compares a scan's features with the memory, without those that are left out.
    fn compare(
        &self,
        features: &SampleFeatures,
        patches: &PatchSet,
        memory: &DualMemory,
        settings: &Settings,
        leave_out: LeaveOut,
    ) -> RawScores {
        raw_scores(features, patches, memory, &*self.shape, &*self.search, &settings.memory, leave_out)
    }
}
