//! Fitting: from good scans to a detector (docs/method.md, "Banks and inference", "Alignment, fusion, scores", "Threshold").

use rand::SeedableRng;
use rand::seq::index;
use sha2::{Digest, Sha256};
use shapeguard_core::alignment::{AlignmentError, AlignmentStatistics};
use shapeguard_core::calibration::{Threshold, ThresholdBasis, ThresholdError};
use shapeguard_core::fusion::{fuse_with, sample_scores};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::memory::{DualMemory, SampleFeatures};
use shapeguard_core::patches::PatchSet;
use shapeguard_core::residual_metric::ResidualMetric;
use shapeguard_core::routing::descriptor;
use shapeguard_core::scoring::{LeaveOut, RawScores, score_maps_with};
use shapeguard_core::seams::Progress;
use shapeguard_core::settings::{AppearanceMetric, Settings};
use shapeguard_core::typical::{SampleTypical, TypicalScores};
use shapeguard_data::{DataError, scan_digest};

use super::{Detector, LoadedScan, Provenance, ScanError};
use crate::chunks::{consumed_in_chunks, in_chunks, in_chunks_to};
use crate::experts::Experts;

/// The good scans that a detector is fitted to.
#[derive(Clone, Copy, Debug)]
pub struct FitInputs<'a, I> {
    /// Name of the part or category.
    pub name: &'a str,
    /// Scans for the memories.
    pub train: &'a [I],
    /// Scans that are kept aside for the threshold.
    pub validation: &'a [I],
    /// Leave out scans that cannot be used, instead of refusing to fit.
    pub skip_unusable: bool,
}

/// A detector, and what a model for several categories learns besides from the scans that it was fitted to.
#[derive(Debug)]
pub struct FittedCategory {
    /// The detector.
    pub detector: Detector,
    /// What routing sees of each good scan, training first, `[scans, d]` (docs/method.md, "Routing").
    pub descriptors: Matrix,
    /// Scans that were left out ([`FitInputs::skip_unusable`]).
    pub unusable: Vec<UnusableScan>,
}

/// A good scan that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableScan {
    /// What its describer calls it.
    pub name: String,
    /// Why, naming the file or the scan.
    pub reason: String,
}

/// Why a detector cannot be fitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// A setting that no stage can work with.
    #[error("the settings make no sense: {message}")]
    Settings {
        /// Which one, and what is possible.
        message: String,
    },
    /// Not enough scans.
    #[error("fitting needs at least 2 usable good scans, found {found}; 30 or more are recommended")]
    TooFewScans {
        /// How many there were.
        found: usize,
    },
    /// Some scans cannot be used.
    #[error(
        "{count} of the good scans cannot be used (remove them, or pass --skip-unusable to fit without them):\n{list}"
    )]
    UnusableScans {
        /// How many.
        count: usize,
        /// Each with its reason, a line each.
        list: String,
    },
    /// The two experts' scores cannot be brought to one scale.
    #[error(transparent)]
    Alignment(#[from] AlignmentError),
    /// The wished false-reject rate cannot be promised.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
}

/// What fitting keeps of a good scan that was scored.
struct GoodScan {
    score: f32,
    peak: f32,
}

/// A training scan that was compared with the memory without its own features.
struct LeftOut {
    index: usize,
    patches: PatchSet,
    raw: RawScores,
    /// Compared otherwise for the alignment, where a setting wants that (`nearest_left_out`).
    for_alignment: Option<RawScores>,
}

/// What of a prepared scan is kept while fitting.
struct FitScan {
    patches: PatchSet,
    features: SampleFeatures,
    digest: [u8; 32],
}

impl Detector {
    /// Learns from good scans: memories, alignment, threshold. `load` reads one of the inputs.
    ///
    /// The threshold comes from the validation scans where there are enough of them for the wished false-reject
    /// rate, which then is guaranteed; else from them and the training scans, each scored without its own features,
    /// which is approximate.
    ///
    /// # Errors
    /// If a setting makes no sense, scans are unusable (see [`FitInputs::skip_unusable`]), too few, or too few for the
    /// false-reject rate.
    pub fn fit<I: Sync>(
        inputs: FitInputs<'_, I>,
        load: impl Fn(&I) -> Result<LoadedScan, DataError> + Sync,
        describe: impl Fn(&I) -> String + Sync,
        settings: Settings,
        experts: Experts,
        progress: &dyn Progress,
    ) -> Result<Self, FitError> {
        Self::fit_category(inputs, load, describe, settings, experts, progress).map(|fitted| fitted.detector)
    }

    /// As [`Self::fit`], for a model of several categories ([`RoutedDetector::new`](crate::routed::RoutedDetector::new)).
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn fit_category<I: Sync>(
        inputs: FitInputs<'_, I>,
        load: impl Fn(&I) -> Result<LoadedScan, DataError> + Sync,
        describe: impl Fn(&I) -> String + Sync,
        settings: Settings,
        experts: Experts,
        progress: &dyn Progress,
    ) -> Result<FittedCategory, FitError> {
        crate::presets::check(&settings).map_err(|message| FitError::Settings { message })?;
        // Before the long work: whatever turns out unusable, there won't be more good scans than these.
        let rate = settings.threshold.false_reject_rate;
        check_counts(inputs.train.len(), inputs.validation.len(), rate)?;
        let needed = Threshold::samples_needed(rate);

        let mut unusable = Vec::new();
        let mut read = |stage: &str, scans: &[I]| {
            progress.begin(stage, scans.len());
            let mut usable = Vec::with_capacity(scans.len());
            let prepare_one = |input: &I| -> Result<FitScan, ScanError> {
                let loaded = load(input)?;
                let digest = scan_digest(&loaded.scan);
                let prepared = experts
                    .prepare(&loaded, &settings)
                    .map_err(|source| ScanError::NotJudged { name: describe(input), source })?;
                progress.step();
                Ok(FitScan { patches: prepared.patches, features: prepared.features, digest })
            };
            let prepare = |input: &I| {
                prepare_one(input).map_err(|error| UnusableScan { name: describe(input), reason: error.to_string() })
            };
            in_chunks_to(scans, prepare, |result| match result {
                Ok(scan) => usable.push(scan),
                Err(scan) => unusable.push(scan),
            });
            progress.end();
            usable
        };
        let train = read("Good scans: features", inputs.train);
        let validation = read("Validation scans: features", inputs.validation);
        if !unusable.is_empty() {
            let list = unusable.iter().map(|scan| format!("  {}", scan.reason)).collect::<Vec<_>>().join("\n");
            if !inputs.skip_unusable {
                return Err(FitError::UnusableScans { count: unusable.len(), list });
            }
            tracing::warn!("left out {} unusable scans:\n{list}", unusable.len());
        }
        if train.len() < 2 {
            return Err(FitError::TooFewScans { found: train.len() });
        }

        let descriptors: Vec<Vec<f32>> =
            train.iter().chain(&validation).map(|scan| descriptor(&scan.features)).collect();
        let mut memory = DualMemory::default();
        let mut data = Sha256::new();
        for scan in &train {
            memory.add(&scan.features);
            data.update(scan.digest);
        }
        for scan in &validation {
            data.update(scan.digest);
        }
        if settings.memory.appearance_share < 1.0 {
            progress.begin("RGB bank: coreset", 1);
            memory.thin_appearance(settings.memory.appearance_share, settings.seed);
            progress.step();
            progress.end();
        }
        let basis = if validation.len() >= needed { ThresholdBasis::Validation } else { ThresholdBasis::LeaveOneOut };
        let training_scans = train.len();
        let chosen = alignment_choice(training_scans, &settings);
        let has_typical = TypicalScores::are_wanted(&settings.memory);
        let has_metric = settings.memory.appearance_metric == AppearanceMetric::Mahalanobis;
        let quirks = settings.reference_quirks;
        // Signed distances are most of the work: every scan that any of the following needs is compared once.
        let is_every_one = has_typical || has_metric || basis == ThresholdBasis::LeaveOneOut;
        let is_needed = |i: &usize| is_every_one || chosen.binary_search(i).is_ok();
        let scans: Vec<(usize, FitScan)> = train.into_iter().enumerate().filter(|(i, _)| is_needed(i)).collect();
        progress.begin("Training scans without their own features", scans.len());
        let mut left_out = consumed_in_chunks(scans, |(index, FitScan { patches, features, .. })| {
            let compare = |leave_out| experts.compare(&features, &patches, &memory, &settings, leave_out);
            let raw = compare(LeaveOut::Sample(index as u32));
            // Typical scores and threshold are not the reference's: they never see a scan's own features.
            let is_quirk = quirks.nearest_left_out && chosen.binary_search(&index).is_ok();
            let for_alignment = is_quirk.then(|| compare(LeaveOut::Nearest));
            progress.step();
            LeftOut { index, patches, raw, for_alignment }
        });
        progress.end();
        if has_metric {
            // Of all scans, so that those of the alignment do not weigh more; then every residual is measured by it.
            let differences: Vec<&Matrix> =
                left_out.iter().filter_map(|scan| scan.raw.cell_differences.as_ref()).collect();
            let metric = ResidualMetric::learn(&differences);
            for scan in &mut left_out {
                [Some(&mut scan.raw), scan.for_alignment.as_mut()]
                    .into_iter()
                    .flatten()
                    .for_each(|raw| raw.measure(&metric));
            }
            memory.appearance_metric = Some(metric);
        }
        if has_typical {
            let typical: Vec<SampleTypical> = left_out.iter().map(|scan| SampleTypical::of(&scan.raw)).collect();
            memory.typical = Some(TypicalScores::learn(&typical, &memory));
        }
        let maps =
            |raw: &RawScores, patches: &PatchSet| score_maps_with(raw, patches, &memory, &settings.memory, quirks);
        let is_chosen = |scan: &&LeftOut| chosen.binary_search(&scan.index).is_ok();
        let of_alignment: Vec<&LeftOut> = left_out.iter().filter(is_chosen).collect();
        progress.begin("Alignment", of_alignment.len());
        let mut statistics = AlignmentStatistics::with_quirks(quirks);
        for scan in of_alignment {
            let raw = scan.for_alignment.as_ref().unwrap_or(&scan.raw);
            statistics.add(&maps(raw, &scan.patches), &settings.fusion);
            progress.step();
        }
        progress.end();
        let alignment = statistics.finish()?.check(settings.fusion.rule)?;
        let total = |raw: &RawScores, patches: &PatchSet| {
            let scores = maps(raw, patches);
            let maps = fuse_with(&scores, alignment, &settings.fusion, quirks);
            let peak = maps.fused.as_slice().iter().copied().fold(0.0, f32::max);
            GoodScan { score: sample_scores(&scores, &maps, &settings.fusion).fused, peak }
        };

        progress.begin("Threshold: validation scans", validation.len());
        let mut good = in_chunks(&validation, |FitScan { patches, features, .. }| {
            let good = total(&experts.compare(features, patches, &memory, &settings, LeaveOut::Nothing), patches);
            progress.step();
            good
        });
        progress.end();
        if basis == ThresholdBasis::LeaveOneOut {
            progress.begin("Threshold: training scans", left_out.len());
            good.extend(in_chunks(&left_out, |scan| {
                let good = total(&scan.raw, &scan.patches);
                progress.step();
                good
            }));
            progress.end();
        }
        let good_peak = good.iter().map(|scan| scan.peak).fold(0.0, f32::max);
        let threshold = Threshold::from_good_scores(good.iter().map(|scan| scan.score).collect(), rate, basis)?;
        let provenance = Provenance {
            name: inputs.name.to_owned(),
            training_scans,
            validation_scans: validation.len(),
            data_sha256: crate::hex(&data.finalize()),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let dims = 2 * experts.appearance.feature_dim();
        let descriptors = Matrix::from_vec(descriptors.len(), dims, descriptors.concat());
        let detector = Self { settings, experts, memory, alignment, threshold, good_peak, provenance };
        Ok(FittedCategory { detector, descriptors, unusable })
    }
}

/// Makes sure that there are scans enough to fit to, for a wished false-reject rate.
///
/// # Errors
/// If not.
pub fn check_counts(train: usize, validation: usize, false_reject_rate: f64) -> Result<(), FitError> {
    if train < 2 {
        return Err(FitError::TooFewScans { found: train });
    }
    let (rate, needed, found) = (false_reject_rate, Threshold::samples_needed(false_reject_rate), train + validation);
    if found < needed {
        let attainable = 1.0 / (found as f64 + 1.0);
        return Err(ThresholdError::TooFewSamples { rate, needed, found, attainable }.into());
    }
    Ok(())
}

/// The training samples that the alignment is computed on: all, or a seeded choice; ascending.
pub fn alignment_choice(n: usize, settings: &Settings) -> Vec<usize> {
    let wanted = settings.fusion.alignment_samples;
    if n <= wanted {
        return (0..n).collect();
    }
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(settings.seed);
    let mut chosen = index::sample(&mut rng, n, wanted).into_vec();
    chosen.sort_unstable();
    chosen
}
