//! A category measured in several ways at once: memories from its training scans, alignment by the samples that leave
//! themselves out, then every test scan. What `fit` and `evaluate` do for one setup, this does for all ways that share a
//! sample's features; a test holds the figures of the paper's own way equal to theirs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shapeguard::LoadedScan;
use shapeguard::chunks::{in_chunks, in_chunks_to};
use shapeguard::detector::{ScanError, alignment_choice};
use shapeguard::evaluation::{Channel, LabelledScan};
use shapeguard::experts::Experts;
use shapeguard::pipeline::truth_at_map_size;
use shapeguard::report::MapScale;
use shapeguard_core::alignment::{Alignment, AlignmentStatistics};
use shapeguard_core::fusion::{AnomalyMaps, fuse_with, sample_scores};
use shapeguard_core::grid::{Mask, ScoreMap};
use shapeguard_core::memory::{DualMemory, SampleFeatures};
use shapeguard_core::patches::PatchSet;
use shapeguard_core::scoring::{LeaveOut, SampleScores, score_maps_with};
use shapeguard_core::seams::Progress;
use shapeguard_core::settings::Settings;
use shapeguard_data::{DataError, Dataset, GOOD, SampleEntry, ScanSource, TestEntry, read_truth};

use crate::error::ReproductionError;
use crate::measures::{Measures, Scored, measure};
use crate::sheets::Sheet;
use crate::variant::{Banks, CORESET_SHARE, Dictionary, Variant, compare};

/// Reads scans.
pub type ReadScan<'a> = dyn Fn(&ScanSource) -> Result<LoadedScan, DataError> + Sync + 'a;

/// What a study is made with.
#[derive(Clone, Copy)]
pub struct Laboratory<'a> {
    /// Reads scans.
    pub read: &'a ReadScan<'a>,
    /// Both experts.
    pub experts: &'a Experts,
    /// Receives how far it has come.
    pub progress: &'a dyn Progress,
}

/// What a study makes beside its figures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras {
    /// A row of pictures of each scan.
    pub pictures: bool,
    /// Intervals of AUPRO, not only of I-AUROC.
    pub map_intervals: bool,
}

/// What was found of one category.
#[derive(Debug)]
pub struct Study {
    /// Figures of each variant's channels.
    pub measures: BTreeMap<String, Vec<ChannelMeasures>>,
    /// Scores of every test scan by the first variant.
    pub scans: Vec<ScanScores>,
    /// Pictures of the test scans by the first variant, if wanted, in the order of the scans.
    pub sheets: Vec<Option<Sheet>>,
    /// Sizes of the banks, and what was searched.
    pub sizes: BankSizes,
}

/// Figures of one kind of map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelMeasures {
    /// Which map.
    pub channel: Channel,
    /// Its figures.
    pub measures: Measures,
}

/// A test scan's scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanScores {
    /// Its name, with its kind before it.
    pub name: String,
    /// Its kind of defect, or `good`.
    pub kind: String,
    /// The appearance expert's score.
    pub rgb: f32,
    /// The shape expert's.
    pub sdf: f32,
    /// Both.
    pub fused: f32,
    /// Whether the shape expert's map is the higher one where the fused map is highest.
    pub shape_fired: bool,
}

/// Sizes of a category's banks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BankSizes {
    /// Training samples.
    pub samples: usize,
    /// Features of the SDF bank.
    pub shape: usize,
    /// Features of the RGB bank: cells that some patch uses.
    pub appearance: usize,
    /// Cells of all training samples, background included: the published "full bank".
    pub all_cells: usize,
    /// Mean number of RGB features that a test sample is compared with, by variant.
    pub searched: BTreeMap<String, f64>,
    /// Test scans that could not be judged; they are in no figure.
    pub not_judged: Vec<String>,
}

/// A test scan that was judged.
struct Judged {
    scan: ScanScores,
    /// Score and map of each column.
    columns: Vec<(f32, ScoreMap)>,
    truth: Option<Mask>,
    sheet: Option<Sheet>,
    searched: Vec<usize>,
}

/// What test scans are compared with, and in which ways.
#[derive(Debug)]
pub struct Fitted {
    /// The ways.
    pub variants: Vec<Variant>,
    /// Memory and coreset.
    pub banks: Banks,
    /// By variant.
    pub alignments: Vec<Alignment>,
    /// The highest value that a good scan's fused map reaches by the first variant.
    pub good_peak: f32,
}

impl Fitted {
    /// The same for some of its variants.
    ///
    /// # Panics
    /// If it has not been fitted for one of them: a bug of the caller.
    fn selection(&self, wanted: &[Variant]) -> Vec<usize> {
        let index = |variant: &Variant| self.variants.iter().position(|known| known == variant);
        wanted.iter().map(|variant| index(variant).expect("only fitted variants are asked for")).collect()
    }
}

/// A training scan as it is kept until it is compared without itself.
type Kept = (usize, PatchSet, SampleFeatures);

impl Laboratory<'_> {
    /// Measures a category on some of its test scans by some of the variants that it was fitted for. `pictures` makes
    /// sheets; `map_intervals` resamples AUPRO too.
    ///
    /// # Errors
    /// If a ground truth is unusable.
    pub fn study(
        &self,
        dataset: &Dataset,
        settings: &Settings,
        fitted: &Fitted,
        variants: &[Variant],
        tests: &[&TestEntry],
        Extras { pictures, map_intervals }: Extras,
    ) -> Result<Study, ReproductionError> {
        let selection = fitted.selection(variants);
        let stage = format!("{}: test scans, K = {}", dataset.name, settings.patches.points_per_patch);
        self.progress.begin(&stage, tests.len());
        let outcomes = in_chunks(tests, |test| {
            let outcome = self.judge(test, settings, fitted, &selection, pictures);
            self.progress.step();
            outcome
        });
        self.progress.end();
        let mut judged = Vec::new();
        let mut sizes = BankSizes {
            samples: fitted.banks.memory.sample_count(),
            shape: fitted.banks.memory.shape.rows(),
            appearance: fitted.banks.memory.appearance.rows(),
            all_cells: fitted.banks.memory.sample_count()
                * (settings.image.side_px / shapeguard_core::seams::CELL_PX).pow(2),
            ..BankSizes::default()
        };
        for outcome in outcomes {
            match outcome? {
                Ok(one) => judged.push(one),
                Err(reason) => sizes.not_judged.push(reason),
            }
        }
        for (index, variant) in variants.iter().enumerate() {
            let sum: usize = judged.iter().map(|one| one.searched[index]).sum();
            sizes.searched.insert(variant.name.to_owned(), sum as f64 / judged.len().max(1) as f64);
        }
        let columns = columns(variants);
        self.progress.begin(&format!("{}: metrics", dataset.name), columns.len());
        let mut measures: BTreeMap<String, Vec<ChannelMeasures>> = BTreeMap::new();
        for (column, (variant, channel)) in columns.iter().enumerate() {
            let scored: Vec<Scored<'_>> = judged
                .iter()
                .map(|one| Scored {
                    score: one.columns[column].0,
                    map: &one.columns[column].1,
                    truth: one.truth.as_ref(),
                    is_defective: one.scan.kind != GOOD,
                })
                .collect();
            let measures_of = measure(&scored, settings.seed, map_intervals);
            let of_channel = ChannelMeasures { channel: *channel, measures: measures_of };
            measures.entry(variants[*variant].name.to_owned()).or_default().push(of_channel);
            self.progress.step();
        }
        self.progress.end();
        let (scans, sheets) = judged.into_iter().map(|one| (one.scan, one.sheet)).unzip();
        Ok(Study { measures, scans, sheets, sizes })
    }

    /// Fills the memory and aligns every variant.
    ///
    /// # Errors
    /// If a training scan is unusable, or scores cannot be aligned.
    pub fn fit(
        &self,
        dataset: &Dataset,
        settings: &Settings,
        variants: &[Variant],
    ) -> Result<Fitted, ReproductionError> {
        let train = &dataset.train;
        let chosen = alignment_choice(train.len(), settings);
        let stage = format!("{}: training scans, K = {}", dataset.name, settings.patches.points_per_patch);
        self.progress.begin(&stage, train.len());
        let mut memory = DualMemory::default();
        let mut kept: Vec<Kept> = Vec::new();
        let prepare = |entry: &SampleEntry| -> Result<(PatchSet, SampleFeatures), ScanError> {
            let loaded = (self.read)(&entry.source)?;
            let prepared = self.experts.prepare(&loaded, settings).map_err(|source| not_judged(entry, source))?;
            self.progress.step();
            Ok((prepared.patches, prepared.features))
        };
        let (mut index, mut unusable) = (0, None);
        in_chunks_to(train, prepare, |prepared| {
            match prepared {
                Ok((patches, features)) => {
                    memory.add(&features);
                    if chosen.binary_search(&index).is_ok() {
                        kept.push((index, patches, features));
                    }
                }
                Err(error) => unusable = unusable.take().or(Some(error)),
            }
            index += 1;
        });
        self.progress.end();
        if let Some(source) = unusable {
            let source = Box::new(source);
            return Err(ReproductionError::TrainingScan { category: dataset.name.clone(), source });
        }
        let wants_coreset = variants.iter().any(|variant| variant.dictionary == Dictionary::Coreset);
        let mut banks = Banks { coreset: Vec::new(), memory };
        if wants_coreset {
            banks.coreset = banks.memory.appearance_coreset(CORESET_SHARE, settings.seed);
        }
        self.progress.begin(&format!("{}: alignment", dataset.name), kept.len());
        let scored: Vec<Vec<SampleScores>> = in_chunks(&kept, |(index, patches, features)| {
            let leave_out = match settings.reference_quirks.nearest_left_out {
                true => LeaveOut::Nearest,
                false => LeaveOut::Sample(*index as u32),
            };
            let scores = self.scores(features, patches, &banks, settings, variants, leave_out);
            self.progress.step();
            scores
        });
        self.progress.end();
        let mut alignments = Vec::with_capacity(variants.len());
        for variant in 0..variants.len() {
            let mut statistics = AlignmentStatistics::with_quirks(settings.reference_quirks);
            for scores in &scored {
                statistics.add(&scores[variant], &settings.fusion);
            }
            let alignment = statistics.finish().and_then(|alignment| alignment.check(settings.fusion.rule));
            alignments.push(
                alignment.map_err(|source| ReproductionError::Alignment { category: dataset.name.clone(), source })?,
            );
        }
        let peak = |scores: &Vec<SampleScores>| {
            let fused = fuse_with(&scores[0], alignments[0], &settings.fusion, settings.reference_quirks).fused;
            fused.as_slice().iter().copied().fold(0.0, f32::max)
        };
        let good_peak = scored.iter().map(peak).fold(0.0, f32::max);
        Ok(Fitted { variants: variants.to_vec(), banks, alignments, good_peak })
    }

    /// A sample's scores by each variant.
    fn scores(
        &self,
        features: &SampleFeatures,
        patches: &PatchSet,
        banks: &Banks,
        settings: &Settings,
        variants: &[Variant],
        leave_out: LeaveOut,
    ) -> Vec<SampleScores> {
        compare(variants, features, patches, banks, self.experts, &settings.memory, leave_out)
            .iter()
            .map(|raw| score_maps_with(raw, patches, &banks.memory, &settings.memory, settings.reference_quirks))
            .collect()
    }

    /// Judges a test scan; the inner error says why it cannot be.
    fn judge(
        &self,
        test: &TestEntry,
        settings: &Settings,
        fitted: &Fitted,
        selection: &[usize],
        pictures: bool,
    ) -> Result<Result<Judged, String>, ReproductionError> {
        let name = format!("{}/{}", test.defect, test.sample.name);
        let loaded = match (self.read)(&test.sample.source) {
            Ok(loaded) => loaded,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let truth = test
            .truth
            .as_deref()
            .map(|path| read_truth(path, loaded.scan.size(), settings.reference_quirks.into()))
            .transpose()?;
        let prepared = match self.experts.prepare(&loaded, settings) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(format!("{name}: {error}"))),
        };
        let patches = &prepared.patches;
        let variants: Vec<Variant> = selection.iter().map(|index| fitted.variants[*index]).collect();
        let alignments: Vec<Alignment> = selection.iter().map(|index| fitted.alignments[*index]).collect();
        let all = self.scores(&prepared.features, patches, &fitted.banks, settings, &variants, LeaveOut::Nothing);
        let maps: Vec<AnomalyMaps> = all
            .iter()
            .zip(&alignments)
            .map(|(scores, a)| fuse_with(scores, *a, &settings.fusion, settings.reference_quirks))
            .collect();
        let totals: Vec<_> =
            all.iter().zip(&maps).map(|(scores, maps)| sample_scores(scores, maps, &settings.fusion)).collect();
        if let Some(score) = totals.iter().map(|total| total.fused).find(|score| !score.is_finite()) {
            return Ok(Err(format!("{name}: the score is {score}, not a finite number; check the experts' weights")));
        }
        let columns: Vec<(f32, ScoreMap)> = columns(&variants)
            .into_iter()
            .map(|(variant, channel)| (channel.score(&totals[variant]), channel.map(&maps[variant]).clone()))
            .collect();
        let on_maps = match &truth {
            Some(truth) => Some(truth_at_map_size(truth, &prepared.sample)),
            None => (test.defect == GOOD).then(|| Mask::filled(maps[0].fused.size(), false)),
        };
        let scan = ScanScores {
            name,
            kind: test.defect.clone(),
            rgb: totals[0].appearance,
            sdf: totals[0].shape,
            fused: totals[0].fused,
            shape_fired: shape_fired(&maps[0], alignments[0], settings),
        };
        let scale = MapScale { alignment: alignments[0], rule: settings.fusion.rule, good_peak: fitted.good_peak };
        let sheet = match pictures {
            true => Some(Sheet::new(&LabelledScan { loaded, truth }, &prepared.sample, &maps[0], scale)?),
            false => None,
        };
        let searched = all.iter().map(|scores| scores.dictionary_size).collect();
        Ok(Ok(Judged { scan, columns, truth: on_maps, sheet, searched }))
    }
}

/// All maps that figures are wanted of: a variant's number and the channel.
fn columns(variants: &[Variant]) -> Vec<(usize, Channel)> {
    let of =
        |(index, variant): (usize, &Variant)| variant.channels.iter().map(move |c| (index, *c)).collect::<Vec<_>>();
    variants.iter().enumerate().flat_map(of).collect()
}

/// Whether the shape expert's score is the larger one where the fused map is highest.
fn shape_fired(maps: &AnomalyMaps, alignment: Alignment, settings: &Settings) -> bool {
    let fused = maps.fused.as_slice();
    let highest = (0..fused.len()).max_by(|a, b| fused[*a].total_cmp(&fused[*b])).unwrap_or(0);
    let rule = settings.fusion.rule;
    alignment.shape_on_fused_scale(maps.shape.as_slice()[highest], rule)
        >= alignment.appearance_on_fused_scale(maps.appearance.as_slice()[highest], rule)
}

fn not_judged(entry: &SampleEntry, source: shapeguard::NotJudged) -> ScanError {
    ScanError::NotJudged { name: entry.source.cloud.display().to_string(), source }
}
