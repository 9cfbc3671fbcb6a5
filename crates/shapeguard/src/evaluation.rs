//! Evaluation: the metrics of docs/method.md, "Metrics", for RGB, SDF and fused, in all and per defect kind.

pub mod routed;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use shapeguard_core::calibration::ThresholdBasis;
use shapeguard_core::fusion::{AnomalyMaps, Scores};
use shapeguard_core::grid::{Mask, ScoreMap};
use shapeguard_core::metrics::{AUPRO_LIMITS, PixelMetrics, auroc, f1_max};
use shapeguard_core::seams::Progress;
use shapeguard_data::DataError;

use crate::detector::{Detector, Inspection, LoadedScan, Verdict};
use crate::pipeline::{NotJudged, StageSeconds, truth_at_map_size};

/// The name of the defect-free kind.
pub const GOOD: &str = "good";

/// A test scan as it was read.
#[derive(Clone, Debug)]
pub struct LabelledScan {
    /// The scan.
    pub loaded: LoadedScan,
    /// Ground truth of the scan's size. `None` means for a good scan that nothing is defective, for another that
    /// nobody knows where the defect is: then it is in no pixel-level figure.
    pub truth: Option<Mask>,
}

/// Which of the three maps a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// The appearance expert alone.
    Rgb,
    /// The shape expert alone.
    Sdf,
    /// Both.
    Fused,
}

impl Channel {
    /// All three, in the order of the tables.
    pub const ALL: [Self; 3] = [Self::Rgb, Self::Sdf, Self::Fused];

    /// This channel's score.
    pub fn score(self, scores: &Scores) -> f32 {
        match self {
            Self::Rgb => scores.appearance,
            Self::Sdf => scores.shape,
            Self::Fused => scores.fused,
        }
    }

    /// This channel's map.
    pub fn map(self, maps: &AnomalyMaps) -> &ScoreMap {
        match self {
            Self::Rgb => &maps.appearance,
            Self::Sdf => &maps.shape,
            Self::Fused => &maps.fused,
        }
    }
}

/// The metrics of one channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelMetrics {
    /// Which channel.
    pub channel: Channel,
    /// Image-level AUROC; `None` unless there are good and defective scans.
    pub i_auroc: Option<f64>,
    /// Image-level F1-max; `None` unless there are good and defective scans.
    pub i_f1_max: Option<f64>,
    /// Pixel-level figures; `None` unless there are good and defective pixels.
    pub pixels: Option<PixelFigures>,
}

/// Pixel-level metrics of one channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PixelFigures {
    /// Pixel-level AUROC.
    pub p_auroc: f64,
    /// Pixel-level F1-max.
    pub f1_max: f64,
    /// Exact AUPRO at each of the limits 0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.01.
    pub aupro: [f64; 7],
    /// AUPRO with 100 thresholds at the same limits, for comparison with published tables.
    pub aupro_100_thresholds: [f64; 7],
    /// The PRO curve, thinned for plotting: false-positive rates.
    pub curve_fpr: Vec<f64>,
    /// The PRO curve, thinned for plotting: overlaps.
    pub curve_pro: Vec<f64>,
}

/// The metrics of one defect kind against the good scans, or of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindMetrics {
    /// Name of the defect kind, or `all`.
    pub kind: String,
    /// Number of defective scans that were judged.
    pub scans: usize,
    /// Number of defective scans that could not be judged: they are in no figure.
    pub not_judged: usize,
    /// Share of the judged defective scans that were rejected.
    pub detection_rate: Option<f64>,
    /// RGB, SDF, fused.
    pub channels: Vec<ChannelMetrics>,
}

/// What was found on one test scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScanResult {
    /// The scan's name.
    pub name: String,
    /// Its defect kind; `good` for none.
    pub kind: String,
    /// The verdict; `None` if it could not be judged.
    pub verdict: Option<Verdict>,
    /// Scores; `None` if it could not be judged.
    pub scores: Option<ScanScores>,
    /// Why it could not be judged.
    pub not_judged: Option<String>,
}

/// The scores of one scan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScanScores {
    /// RGB.
    pub rgb: f32,
    /// SDF.
    pub sdf: f32,
    /// Fused.
    pub fused: f32,
    /// Conformal p-value of the fused score.
    pub p_value: f64,
}

/// A whole evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Name of the part or category.
    pub name: String,
    /// Preset of the model.
    pub preset: String,
    /// The two experts.
    pub experts: [String; 2],
    /// FPR limits that the AUPRO figures belong to.
    pub aupro_limits: [f64; 7],
    /// The threshold that verdicts were made with.
    pub threshold: f32,
    /// The false-reject rate that it was made for.
    pub wished_false_reject_rate: f64,
    /// What it was made of, and so whether that rate is guaranteed.
    pub threshold_basis: ThresholdBasis,
    /// Share of good scans that were rejected.
    pub false_reject_rate: Option<f64>,
    /// Share of defective scans that were rejected.
    pub detection_rate: Option<f64>,
    /// Scans that could not be judged: they are in no metric.
    pub not_judged: usize,
    /// All defects together.
    pub all: KindMetrics,
    /// Each defect kind against the good scans.
    pub kinds: Vec<KindMetrics>,
    /// Every scan.
    pub scans: Vec<ScanResult>,
    /// Mean wall-clock seconds per stage and scan, with the scans of a batch running side by side.
    pub mean_stage_seconds: StageSeconds,
}

impl Evaluation {
    /// How many of the judged good or defective scans were rejected, and how many were judged.
    pub fn rejected(&self, is_good: bool) -> (usize, usize) {
        rejected(&self.scans, |kind| (kind == GOOD) == is_good)
    }
}

/// Maps and truth of a judged scan.
struct Judged {
    kind: String,
    scores: Scores,
    maps: [ScoreMap; 3],
    /// `None` for a defect whose place is not known.
    truth: Option<Mask>,
}

/// Why a test scan cannot be had.
#[derive(Debug)]
pub enum LoadFault {
    /// The scan cannot be read: it is not judged, which is counted.
    Scan(DataError),
    /// Its ground truth cannot be read: then nothing can be measured.
    Truth(DataError),
}

impl From<DataError> for LoadFault {
    fn from(error: DataError) -> Self {
        Self::Scan(error)
    }
}

/// Measures a detector on test scans. `load` reads a scan, `kind` and `name` describe it, `watch` sees every
/// inspection (to keep pictures).
///
/// # Errors
/// If a ground truth cannot be read or differs from its scan in size. A scan that cannot be read or judged is counted,
/// never dropped silently.
pub fn evaluate<I: Sync>(
    detector: &Detector,
    inputs: &[I],
    load: impl Fn(&I) -> Result<LabelledScan, LoadFault> + Sync,
    name: impl Fn(&I) -> String + Sync,
    kind: impl Fn(&I) -> String + Sync,
    watch: impl Fn(usize, &LabelledScan, &Inspection) + Sync,
    progress: &dyn Progress,
) -> Result<Evaluation, DataError> {
    let inspect = |_, loaded: &LoadedScan| detector.inspect(loaded);
    evaluate_by(detector, inspect, inputs, load, name, kind, watch, progress)
}

/// As [`evaluate`], with an inspection that also learns the scan's position among the inputs.
#[expect(clippy::too_many_arguments, reason = "what evaluation takes, and the inspection")]
fn evaluate_by<I: Sync>(
    detector: &Detector,
    inspect: impl Fn(usize, &LoadedScan) -> Result<Inspection, NotJudged> + Sync,
    inputs: &[I],
    load: impl Fn(&I) -> Result<LabelledScan, LoadFault> + Sync,
    name: impl Fn(&I) -> String + Sync,
    kind: impl Fn(&I) -> String + Sync,
    watch: impl Fn(usize, &LabelledScan, &Inspection) + Sync,
    progress: &dyn Progress,
) -> Result<Evaluation, DataError> {
    progress.begin("Inspecting test scans", inputs.len());
    let indexed: Vec<(usize, &I)> = inputs.iter().enumerate().collect();
    let outcomes = crate::chunks::in_chunks(&indexed, |(index, input)| -> Result<_, DataError> {
        let not_judged = |reason: String| ScanResult {
            name: name(input),
            kind: kind(input),
            verdict: None,
            scores: None,
            not_judged: Some(reason),
        };
        let labelled = match load(input) {
            Ok(labelled) => labelled,
            Err(LoadFault::Truth(error)) => return Err(error),
            Err(LoadFault::Scan(error)) => {
                progress.step();
                return Ok((not_judged(error.to_string()), None));
            }
        };
        let size = labelled.loaded.scan.size();
        if let Some(truth) = labelled.truth.as_ref().filter(|truth| truth.size() != size) {
            return Err(DataError::MaskSize { path: name(input).into(), expected: size, found: truth.size() });
        }
        let outcome = inspect(*index, &labelled.loaded);
        let result = match outcome {
            Ok(inspection) => {
                watch(*index, &labelled, &inspection);
                let truth = match &labelled.truth {
                    Some(truth) => Some(truth_at_map_size(truth, &inspection.sample)),
                    None => (kind(input) == GOOD).then(|| Mask::filled(inspection.maps.fused.size(), false)),
                };
                let scan = ScanResult {
                    name: name(input),
                    kind: kind(input),
                    verdict: Some(inspection.verdict),
                    scores: Some(ScanScores {
                        rgb: inspection.scores.appearance,
                        sdf: inspection.scores.shape,
                        fused: inspection.scores.fused,
                        p_value: inspection.p_value,
                    }),
                    not_judged: None,
                };
                let judged = Judged {
                    kind: kind(input),
                    scores: inspection.scores,
                    maps: [inspection.maps.appearance, inspection.maps.shape, inspection.maps.fused],
                    truth,
                };
                (scan, Some((judged, inspection.seconds)))
            }
            Err(error) => (not_judged(error.to_string()), None),
        };
        progress.step();
        Ok(result)
    });
    progress.end();
    let mut scans = Vec::new();
    let mut judged = Vec::new();
    let mut seconds = Vec::new();
    for outcome in outcomes {
        let (scan, rest) = outcome?;
        scans.push(scan);
        if let Some((one, time)) = rest {
            judged.push(one);
            seconds.push(time);
        }
    }

    let mut names: Vec<String> = scans.iter().map(|scan| scan.kind.clone()).filter(|kind| kind != GOOD).collect();
    names.sort();
    names.dedup();
    progress.begin("Metrics", names.len() + 1);
    let measure = |name: &str, is_meant: &dyn Fn(&str) -> bool| {
        let metrics = kind_metrics(name, &scans, &judged, is_meant);
        progress.step();
        metrics
    };
    let all = measure("all", &|kind| kind != GOOD);
    let kinds = names.iter().map(|one| measure(one, &|kind| kind == one)).collect();
    progress.end();
    let false_reject_rate = share_rejected(&scans, |kind| kind == GOOD);
    Ok(Evaluation {
        name: detector.provenance().name.clone(),
        preset: detector.settings().preset.clone(),
        experts: [detector.experts().shape_identity.name.clone(), detector.experts().appearance_identity.name.clone()],
        aupro_limits: AUPRO_LIMITS,
        threshold: detector.threshold().score,
        wished_false_reject_rate: detector.threshold().false_reject_rate,
        threshold_basis: detector.threshold().basis,
        false_reject_rate,
        detection_rate: all.detection_rate,
        not_judged: scans.iter().filter(|s| s.not_judged.is_some()).count(),
        all,
        kinds,
        scans,
        mean_stage_seconds: mean_seconds(&seconds),
    })
}

/// The mean of a figure over categories; `None` if it is unknown of one of them, or there is none.
pub fn mean(figures: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let figures: Vec<f64> = figures.into_iter().collect::<Option<_>>()?;
    (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
}

/// Share of the judged scans of some kinds that were rejected; `None` if none was judged.
fn share_rejected(scans: &[ScanResult], is_meant: impl Fn(&str) -> bool) -> Option<f64> {
    let (rejected, judged) = rejected(scans, is_meant);
    (judged > 0).then(|| rejected as f64 / judged as f64)
}

/// How many of the judged scans of some kinds were rejected, and how many were judged.
fn rejected(scans: &[ScanResult], is_meant: impl Fn(&str) -> bool) -> (usize, usize) {
    let verdicts = || scans.iter().filter(|scan| is_meant(&scan.kind)).filter_map(|scan| scan.verdict);
    (verdicts().filter(|verdict| *verdict == Verdict::Rejected).count(), verdicts().count())
}

/// The metrics of the defect kinds that are meant, against all good scans.
fn kind_metrics(name: &str, scans: &[ScanResult], judged: &[Judged], is_meant: &dyn Fn(&str) -> bool) -> KindMetrics {
    let chosen: Vec<&Judged> = judged.iter().filter(|j| j.kind == GOOD || is_meant(&j.kind)).collect();
    let defective: Vec<bool> = chosen.iter().map(|j| j.kind != GOOD).collect();
    let with_truth: Vec<(&Judged, &Mask)> = chosen.iter().filter_map(|j| Some((*j, j.truth.as_ref()?))).collect();
    let truths: Vec<&Mask> = with_truth.iter().map(|(_, truth)| *truth).collect();
    let channels = Channel::ALL
        .par_iter()
        .enumerate()
        .map(|(index, channel)| {
            let scores: Vec<f32> = chosen.iter().map(|j| channel.score(&j.scores)).collect();
            let maps: Vec<&ScoreMap> = with_truth.iter().map(|(j, _)| &j.maps[index]).collect();
            let pixels = PixelMetrics::compute(&maps, &truths).map(|m| PixelFigures {
                p_auroc: m.p_auroc,
                f1_max: m.f1_max,
                aupro: m.aupro,
                aupro_100_thresholds: m.aupro_100,
                curve_fpr: m.curve.fpr,
                curve_pro: m.curve.pro,
            });
            // Without good scans every threshold is perfect, which says nothing.
            let i_auroc = auroc(&scores, &defective);
            let i_f1_max = i_auroc.and_then(|_| f1_max(&scores, &defective)).map(|(f1, _)| f1);
            ChannelMetrics { channel: *channel, i_auroc, i_f1_max, pixels }
        })
        .collect();
    KindMetrics {
        kind: name.into(),
        scans: defective.iter().filter(|d| **d).count(),
        not_judged: scans.iter().filter(|scan| is_meant(&scan.kind) && scan.not_judged.is_some()).count(),
        detection_rate: share_rejected(scans, is_meant),
        channels,
    }
}

fn mean_seconds(all: &[StageSeconds]) -> StageSeconds {
    let mean = |stage: fn(&StageSeconds) -> f64| all.iter().map(stage).sum::<f64>() / all.len().max(1) as f64;
    StageSeconds {
        foreground: mean(|s| s.foreground),
        resample: mean(|s| s.resample),
        patches: mean(|s| s.patches),
        shape_features: mean(|s| s.shape_features),
        appearance_features: mean(|s| s.appearance_features),
        scoring: mean(|s| s.scoring),
        fusion: mean(|s| s.fusion),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_of_one_category_is_unknown_of_the_mean() {
        assert_eq!(mean([Some(0.5), Some(1.0)]), Some(0.75));
        assert_eq!(mean([Some(0.5), None]), None);
        assert_eq!(mean([]), None);
    }
}
