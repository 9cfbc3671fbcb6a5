//! Everything that the tables need of one category.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use shapeguard::chunks::in_chunks;
use shapeguard::evaluation::{Channel, ChannelMetrics, LabelledScan, LoadFault, evaluate};
use shapeguard::pipeline::truth_at_map_size;
use shapeguard::{Detector, FitInputs};
use shapeguard_baselines::{Backbone, Baseline, BaselineSettings};
use shapeguard_core::foreground::segment_with;
use shapeguard_core::fusion::{fuse_with, sample_scores};
use shapeguard_core::grid::Mask;
use shapeguard_core::resample::{Sample, resample_with};
use shapeguard_core::scoring::{LeaveOut, score_maps_with};
use shapeguard_core::settings::Settings;
use shapeguard_data::{DataError, Dataset, GOOD, SampleEntry, ScanSource, TestEntry, read_truth};

use crate::error::ReproductionError;
use crate::measures::{Measures, Scored, measure};
use crate::options::{Options, Part, SWEEP_POINTS, spread};
use crate::published::ScanCounts;
use crate::results::Picture;
use crate::sheets::Sheet;
use crate::study::{BankSizes, ChannelMeasures, Extras, Fitted, Laboratory, ScanScores};
use crate::variant::{CODINGS, CORESET, FULL_BANK, SHAPE_GUIDED, Variant, compare};

/// Fewest training scans: one leaves itself out.
const LEAST_TRAINING_SCANS: usize = 2;

/// What was measured of one category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryResult {
    /// The category's folder.
    pub name: String,
    /// What the figures belong to: settings, experts, options, scans and the program's version.
    pub fingerprint: String,
    /// Its scans.
    pub counts: ScanCounts,
    /// Figures on all test scans, by variant.
    pub measures: BTreeMap<String, Vec<ChannelMeasures>>,
    /// Figures on the sweeps' scans: by variant, and `k-N` for other numbers of points.
    pub sweeps: BTreeMap<String, Measures>,
    /// Baselines on all test scans, by name.
    pub baselines: BTreeMap<String, Measures>,
    /// The colour network that described the baselines' cells.
    pub baseline_backbone: Option<String>,
    /// Other presets on all test scans, by name.
    pub also: BTreeMap<String, OtherPreset>,
    /// Wall-clock seconds of one sample with all threads, foreground not counted, by variant.
    pub seconds: BTreeMap<String, f64>,
    /// Sizes of the banks.
    pub sizes: BankSizes,
    /// Patches of the samples that seconds were measured on.
    pub mean_patches: Option<f64>,
    /// Every test scan's scores.
    pub scans: Vec<ScanScores>,
    /// Pictures of some of them.
    pub pictures: Vec<Picture>,
    /// Wall-clock seconds that all of this took.
    pub took_seconds: f64,
}

/// Another preset's figures, as `fit` and `evaluate` give them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherPreset {
    /// Both experts.
    pub experts: [String; 2],
    /// RGB, SDF, fused: I-AUROC.
    pub i_auroc: [Option<f64>; 3],
    /// RGB, SDF, fused: P-AUROC.
    pub p_auroc: [Option<f64>; 3],
    /// RGB, SDF, fused: exact AUPRO at the seven limits.
    pub aupro: [Option<[f64; 7]>; 3],
    /// RGB, SDF, fused: AUPRO with 100 thresholds.
    pub aupro_100: [Option<[f64; 7]>; 3],
}

impl CategoryResult {
    /// The figures of a variant's channel.
    pub fn of(&self, variant: &Variant, channel: Channel) -> Option<&Measures> {
        self.measures.get(variant.name)?.iter().find(|one| one.channel == channel).map(|one| &one.measures)
    }
}

/// Counts a dataset's scans.
pub fn counts(dataset: &Dataset) -> ScanCounts {
    let test_good = dataset.test.iter().filter(|test| test.defect == GOOD).count();
    ScanCounts {
        train: dataset.train.len(),
        validation: dataset.validation.len(),
        test_good,
        test_defective: dataset.test.len() - test_good,
    }
}

/// Refuses a category that lacks what the tables are made of.
///
/// # Errors
/// Names what is lacking.
pub fn check(dataset: &Dataset) -> Result<(), ReproductionError> {
    let counts = counts(dataset);
    let needs = [
        ("training scans", LEAST_TRAINING_SCANS, counts.train),
        ("good test scans", 1, counts.test_good),
        ("defective test scans", 1, counts.test_defective),
    ];
    match needs.into_iter().find(|(_, needed, found)| found < needed) {
        Some((what, needed, found)) => {
            Err(ReproductionError::TooFew { category: dataset.name.clone(), what, needed, found })
        }
        None => Ok(()),
    }
}

/// The number of points of a patch's sweep in results.
pub(crate) fn sweep_name(points: usize) -> String {
    format!("k-{points}")
}

/// The variants that are fitted.
pub(crate) fn variants(options: &Options) -> Vec<Variant> {
    let mut variants = vec![SHAPE_GUIDED];
    if options.has(Part::FullBank) {
        variants.extend([FULL_BANK, CORESET]);
    }
    if options.has(Part::Coding) {
        variants.extend(CODINGS);
    }
    variants
}

/// A category's part of the work.
pub struct CategoryJob<'a> {
    /// Reads and measures.
    pub laboratory: Laboratory<'a>,
    /// The category.
    pub dataset: &'a Dataset,
    /// The paper's settings.
    pub settings: &'a Settings,
    /// What is measured.
    pub options: &'a Options,
    /// The colour network of the baselines.
    pub backbone: Option<&'a Arc<Backbone>>,
    /// Other presets, each with its experts.
    pub also: &'a [(Settings, shapeguard::experts::Experts)],
    /// See [`CategoryResult::fingerprint`].
    pub fingerprint: String,
}

impl CategoryJob<'_> {
    /// Measures the category. Besides the figures, one picture of each judged test scan, in the order of
    /// [`CategoryResult::scans`].
    ///
    /// # Errors
    /// If scans are unusable.
    pub fn run(&self) -> Result<(CategoryResult, Vec<Option<Sheet>>), ReproductionError> {
        let start = Instant::now();
        check(self.dataset)?;
        let (dataset, options, settings) = (self.dataset, self.options, self.settings);
        let all: Vec<&TestEntry> = dataset.test.iter().collect();
        let fitted = self.laboratory.fit(dataset, settings, &variants(options))?;
        let sweep = spread(&dataset.test, options.sweep_scans);
        let sweep_is_whole = sweep.len() == dataset.test.len();
        // Table 6 takes the sweep's scans; where those are all, it shares the others' work.
        let on_all = |variant: &&Variant| sweep_is_whole || !CODINGS.contains(variant);
        let on_all: Vec<Variant> = fitted.variants.iter().filter(on_all).copied().collect();
        let extras = Extras { pictures: true, map_intervals: false };
        let study = self.laboratory.study(dataset, settings, &fitted, &on_all, &all, extras)?;
        let mut result = CategoryResult {
            name: dataset.name.clone(),
            fingerprint: self.fingerprint.clone(),
            counts: counts(dataset),
            measures: study.measures,
            sweeps: BTreeMap::new(),
            baselines: BTreeMap::new(),
            baseline_backbone: None,
            also: BTreeMap::new(),
            seconds: BTreeMap::new(),
            sizes: study.sizes,
            mean_patches: None,
            scans: study.scans,
            pictures: Vec::new(),
            took_seconds: 0.0,
        };
        self.sweep(&fitted, &sweep, sweep_is_whole, &mut result)?;
        if options.has(Part::Timing) {
            self.time(&fitted, &mut result);
        }
        drop(fitted);
        if let (true, Some(backbone)) = (options.has(Part::Baselines), self.backbone) {
            result.baselines = self.baselines(backbone)?;
            result.baseline_backbone = Some(backbone.name().to_owned());
        }
        for (settings, experts) in self.also {
            let other = self.other_preset(settings, experts)?;
            result.also.insert(settings.preset.clone(), other);
        }
        result.took_seconds = start.elapsed().as_secs_f64();
        Ok((result, study.sheets))
    }

    /// Tables 4 and 6, on their own number of scans.
    fn sweep(
        &self,
        fitted: &Fitted,
        tests: &[&TestEntry],
        is_whole: bool,
        result: &mut CategoryResult,
    ) -> Result<(), ReproductionError> {
        let (options, dataset) = (self.options, self.dataset);
        // Intervals tell what fewer scans are worth.
        let extras = Extras { pictures: false, map_intervals: !is_whole };
        let fused = |measures: &BTreeMap<String, Vec<ChannelMeasures>>, variant: &Variant| {
            let channels = measures.get(variant.name)?;
            channels.iter().find(|one| one.channel == Channel::Fused).map(|one| one.measures.clone())
        };
        let is_wanted = options.has(Part::Coding) || options.has(Part::PointsPerPatch);
        let variants: Vec<Variant> =
            fitted.variants.iter().filter(|v| **v == SHAPE_GUIDED || CODINGS.contains(v)).copied().collect();
        let measures = match is_wanted && !is_whole {
            true => self.laboratory.study(dataset, self.settings, fitted, &variants, tests, extras)?.measures,
            false => result.measures.clone(),
        };
        for variant in variants.iter().filter(|_| is_wanted) {
            result.sweeps.extend(fused(&measures, variant).map(|measures| (variant.name.to_owned(), measures)));
        }
        for points in SWEEP_POINTS.into_iter().filter(|_| options.has(Part::PointsPerPatch)) {
            let mut settings = self.settings.clone();
            settings.patches.points_per_patch = points;
            let fitted = self.laboratory.fit(dataset, &settings, &[SHAPE_GUIDED])?;
            let study = self.laboratory.study(dataset, &settings, &fitted, &[SHAPE_GUIDED], tests, extras)?;
            result.sweeps.extend(fused(&study.measures, &SHAPE_GUIDED).map(|m| (sweep_name(points), m)));
        }
        Ok(())
    }

    /// Seconds of one sample after another, each variant by itself, with all threads.
    fn time(&self, fitted: &Fitted, result: &mut CategoryResult) {
        let (laboratory, settings, quirks) = (&self.laboratory, self.settings, self.settings.reference_quirks);
        let timed: Vec<(usize, Variant)> =
            fitted.variants.iter().copied().enumerate().filter(|(_, variant)| !CODINGS.contains(variant)).collect();
        let tests = spread(&self.dataset.test, Some(self.options.timing_scans));
        laboratory.progress.begin(&format!("{}: seconds a sample", self.dataset.name), tests.len());
        let (mut count, mut patches) = (0usize, 0usize);
        let mut sums = vec![0.0; timed.len()];
        for test in tests {
            // Whatever cannot be judged was counted before.
            let Ok(loaded) = (laboratory.read)(&test.sample.source) else { continue };
            for ((index, variant), sum) in timed.iter().zip(&mut sums) {
                let start = Instant::now();
                let Ok(prepared) = laboratory.experts.prepare(&loaded, settings) else { break };
                let (banks, experts) = (&fitted.banks, laboratory.experts);
                let (features, patched) = (&prepared.features, &prepared.patches);
                let raw = compare(&[*variant], features, patched, banks, experts, &settings.memory, LeaveOut::Nothing);
                let scores = score_maps_with(&raw[0], patched, &banks.memory, &settings.memory, quirks);
                let maps = fuse_with(&scores, fitted.alignments[*index], &settings.fusion, quirks);
                std::hint::black_box(sample_scores(&scores, &maps, &settings.fusion));
                *sum += start.elapsed().as_secs_f64() - prepared.seconds.foreground;
                if *index == 0 {
                    count += 1;
                    patches += patched.patches.len();
                }
            }
            laboratory.progress.step();
        }
        laboratory.progress.end();
        if count > 0 {
            let mean = |((_, variant), sum): (&(usize, Variant), f64)| (variant.name.to_owned(), sum / count as f64);
            result.seconds = timed.iter().zip(sums).map(mean).collect();
            result.mean_patches = Some(patches as f64 / count as f64);
        }
    }

    /// The paper's peers on the same samples.
    fn baselines(&self, backbone: &Arc<Backbone>) -> Result<BTreeMap<String, Measures>, ReproductionError> {
        let category = || self.dataset.name.clone();
        let read = self.laboratory.read;
        let part = |source: &ScanSource| -> Result<Option<(Sample, shapeguard_core::grid::GridSize)>, DataError> {
            let loaded = read(source)?;
            let settings = self.settings;
            let (mask, quirks) = (loaded.mask.as_ref(), settings.reference_quirks);
            let part = segment_with(&loaded.scan, &settings.foreground, mask, settings.seed, quirks);
            Ok(part.ok().map(|part| (resample_with(&part, settings.image.side_px, quirks), loaded.scan.size())))
        };
        let train: Vec<Sample> = self
            .dataset
            .train
            .par_iter()
            .map(|entry| Ok(part(&entry.source)?.map(|(sample, _)| sample)))
            .collect::<Result<Vec<_>, DataError>>()?
            .into_iter()
            .flatten()
            .collect();
        // What cannot be judged is in no method's figures; the study has named it.
        let tested: Vec<(Sample, Option<Mask>, bool)> = in_chunks(&self.dataset.test, |test| {
            let Ok(Some((sample, size))) = part(&test.sample.source) else { return Ok(None) };
            let truth = test
                .truth
                .as_deref()
                .map(|path| read_truth(path, size, self.settings.reference_quirks.into()))
                .transpose()?;
            let truth = match truth {
                Some(truth) => Some(truth_at_map_size(&truth, &sample)),
                None => (test.defect == GOOD).then(|| Mask::filled(sample.cloud.size(), false)),
            };
            Ok(Some((sample, truth, test.defect != GOOD)))
        })
        .into_iter()
        .collect::<Result<Vec<_>, DataError>>()?
        .into_iter()
        .flatten()
        .collect();
        let settings = BaselineSettings::default();
        let progress = self.laboratory.progress;
        progress.begin(&format!("{}: PatchCore, PaDiM, BTF", self.dataset.name), Baseline::ALL.len());
        let mut all = BTreeMap::new();
        for baseline in Baseline::ALL {
            let fitted = baseline
                .fit(&train, backbone, &settings)
                .map_err(|source| ReproductionError::Baseline { category: category(), source })?;
            let scores: Vec<_> = tested.par_iter().map(|(sample, _, _)| fitted.score(sample)).collect();
            let scored: Vec<Scored<'_>> = scores
                .iter()
                .zip(&tested)
                .map(|(scores, (_, truth, is_defective))| Scored {
                    score: scores.score,
                    map: &scores.map,
                    truth: truth.as_ref(),
                    is_defective: *is_defective,
                })
                .collect();
            all.insert(baseline.name().to_owned(), measure(&scored, settings.seed, false));
            progress.step();
        }
        progress.end();
        Ok(all)
    }

    /// Another preset, by the product's own way.
    fn other_preset(
        &self,
        settings: &Settings,
        experts: &shapeguard::experts::Experts,
    ) -> Result<OtherPreset, ReproductionError> {
        let dataset = self.dataset;
        let Laboratory { read, progress, .. } = self.laboratory;
        let inputs = FitInputs {
            name: &dataset.name,
            train: &dataset.train,
            validation: &dataset.validation,
            skip_unusable: false,
        };
        let load = |entry: &SampleEntry| read(&entry.source);
        let describe = |entry: &SampleEntry| entry.source.cloud.display().to_string();
        let detector =
            Detector::fit(inputs, load, describe, settings.clone(), experts.clone(), progress).map_err(|source| {
                ReproductionError::Fit {
                    category: dataset.name.clone(),
                    preset: settings.preset.clone(),
                    source: Box::new(source),
                }
            })?;
        let load = |test: &TestEntry| -> Result<LabelledScan, LoadFault> {
            let loaded = read(&test.sample.source)?;
            let truth = test
                .truth
                .as_deref()
                .map(|path| read_truth(path, loaded.scan.size(), settings.reference_quirks.into()))
                .transpose();
            Ok(LabelledScan { loaded, truth: truth.map_err(LoadFault::Truth)? })
        };
        let name = |test: &TestEntry| format!("{}/{}", test.defect, test.sample.name);
        let evaluation =
            evaluate(&detector, &dataset.test, load, name, |test| test.defect.clone(), |_, _, _| {}, progress)?;
        let channels = &evaluation.all.channels;
        let each = |figure: &dyn Fn(&ChannelMetrics) -> Option<f64>| std::array::from_fn(|i| figure(&channels[i]));
        let areas =
            |figure: &dyn Fn(&ChannelMetrics) -> Option<[f64; 7]>| std::array::from_fn(|i| figure(&channels[i]));
        Ok(OtherPreset {
            experts: evaluation.experts.clone(),
            i_auroc: each(&|channel| channel.i_auroc),
            p_auroc: each(&|channel| channel.pixels.as_ref().map(|pixels| pixels.p_auroc)),
            aupro: areas(&|channel| channel.pixels.as_ref().map(|pixels| pixels.aupro)),
            aupro_100: areas(&|channel| channel.pixels.as_ref().map(|pixels| pixels.aupro_100_thresholds)),
        })
    }
}
