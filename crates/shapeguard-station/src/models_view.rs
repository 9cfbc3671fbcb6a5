//! What is shown of a model: its categories with their thresholds, its versions, its drift, and what operators' feedback says.

use serde::Serialize;
use shapeguard::Detector;
use shapeguard_core::calibration::ThresholdBasis;
use utoipa::ToSchema;

use crate::drift::DriftView;
use crate::record::Basis;
use crate::shelf::LoadedModel;
use crate::store::{FeedbackKind, Judgement, ModelVersion, VersionOrigin};
use crate::time::to_rfc3339;

/// Confidence of the interval of a false-reject rate.
const CONFIDENCE: f64 = 0.95;

/// A model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelView {
    /// Its name.
    pub name: String,
    /// The active version.
    pub active: String,
    /// What it knows.
    pub categories: Vec<CategoryView>,
    /// Whether it finds a scan's category by itself.
    pub routes: bool,
    /// All versions, newest first.
    pub versions: Vec<VersionView>,
    /// How the parts of late compare with the good ones.
    pub drift: Vec<DriftView>,
}

/// A category of a model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CategoryView {
    /// Its name.
    pub name: String,
    /// Good scans that it has learnt from.
    pub training_scans: usize,
    /// Good scans that were kept aside for the threshold.
    pub validation_scans: usize,
    /// The highest value that a good part's fused map reached.
    pub good_peak: f32,
    /// The threshold.
    pub threshold: ThresholdView,
    /// The scores of good parts, ascending.
    pub good_scores: Vec<f32>,
}

/// A threshold.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ThresholdView {
    /// The score above which a part is rejected.
    pub score: f32,
    /// The wished false-reject rate.
    pub false_reject_rate: f64,
    /// What it was made of.
    #[schema(value_type = Basis)]
    pub basis: ThresholdBasis,
    /// Where the true false-reject rate lies with 95 % confidence.
    pub interval: [f64; 2],
}

/// A version of a model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionView {
    /// The hash of its file.
    pub sha256: String,
    /// When it came, RFC 3339 in UTC.
    pub added_at: String,
    /// Where it is from.
    pub origin: VersionOrigin,
    /// Size of its file.
    pub bytes: u64,
    /// Version of the program that fitted it.
    pub program_version: String,
    /// Whether scans are judged with it.
    pub active: bool,
    /// Since when.
    pub activated_at: Option<String>,
}

impl CategoryView {
    /// Of a detector.
    pub fn of(detector: &Detector) -> Self {
        let (threshold, provenance) = (detector.threshold(), detector.provenance());
        Self {
            name: provenance.name.clone(),
            training_scans: provenance.training_scans,
            validation_scans: provenance.validation_scans,
            good_peak: detector.good_peak(),
            threshold: ThresholdView {
                score: threshold.score,
                false_reject_rate: threshold.false_reject_rate,
                basis: threshold.basis,
                interval: threshold.false_reject_interval(CONFIDENCE),
            },
            good_scores: threshold.good_scores.clone(),
        }
    }
}

impl From<ModelVersion> for VersionView {
    fn from(version: ModelVersion) -> Self {
        Self {
            sha256: version.sha256,
            added_at: to_rfc3339(version.added_ms),
            origin: version.origin,
            bytes: version.bytes,
            program_version: version.program_version,
            active: version.active_since_ms.is_some(),
            activated_at: version.active_since_ms.map(to_rfc3339),
        }
    }
}

impl ModelView {
    /// Of a loaded model.
    pub fn new(loaded: &LoadedModel, versions: Vec<ModelVersion>, drift: Vec<DriftView>) -> Self {
        Self {
            name: loaded.name.clone(),
            active: loaded.sha256.clone(),
            categories: loaded.model.detectors().iter().map(CategoryView::of).collect(),
            routes: loaded.only_category().is_none(),
            versions: versions.into_iter().map(VersionView::from).collect(),
            drift,
        }
    }
}

/// What operators' feedback says of a model's thresholds.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FeedbackReport {
    /// The model.
    pub model: String,
    /// Of each category.
    pub categories: Vec<CategoryFeedback>,
}

/// What operators' feedback says of one threshold. It is moved by nobody: thresholds come from good parts alone.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CategoryFeedback {
    /// The category.
    pub name: String,
    /// Its threshold.
    pub threshold: f32,
    /// How often what was said.
    pub counts: FeedbackCounts,
    /// The lowest threshold that rejects no part that operators call good; `null` if they call none so.
    pub to_accept_all_good: Option<f32>,
    /// A threshold just below the lowest score of the parts that they call defective; `null` if they call none so.
    pub to_catch_all_defects: Option<f32>,
    /// The threshold with the fewest errors on these parts, of several the nearest to the present one.
    pub least_errors: Option<Errors>,
    /// The errors of the present threshold on these parts.
    pub at_current: Errors,
}

/// How often what was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct FeedbackCounts {
    /// Rejected, but good.
    pub false_reject: usize,
    /// Passed, but defective.
    pub missed: usize,
    /// The verdict was right.
    pub confirmed: usize,
}

/// The errors of a threshold on parts that operators spoke of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Errors {
    /// The threshold.
    pub threshold: f32,
    /// Good parts that it rejects.
    pub false_rejects: usize,
    /// Defective parts that it passes.
    pub missed: usize,
}

impl CategoryFeedback {
    /// Of what operators said of parts of one category.
    pub fn new(name: &str, threshold: f32, judgements: &[&Judgement]) -> Self {
        let mut counts = FeedbackCounts::default();
        for judgement in judgements {
            match judgement.kind {
                FeedbackKind::FalseReject => counts.false_reject += 1,
                FeedbackKind::Missed => counts.missed += 1,
                FeedbackKind::Confirmed => counts.confirmed += 1,
            }
        }
        let scores = |is_good: bool| {
            judgements
                .iter()
                .filter(move |judgement| judgement.is_good == is_good)
                .map(|judgement| judgement.score as f32)
        };
        let errors_at = |threshold: f32| Errors {
            threshold,
            false_rejects: scores(true).filter(|score| *score > threshold).count(),
            missed: scores(false).filter(|score| *score <= threshold).count(),
        };
        // What lies between two neighbouring scores has the same errors, so these are all that there are.
        let mut candidates: Vec<f32> =
            scores(true).chain(scores(false).map(f32::next_down)).chain([threshold]).collect();
        candidates.sort_unstable_by(f32::total_cmp);
        let least = candidates.into_iter().map(errors_at).min_by(|a, b| {
            let far = |errors: &Errors| (errors.threshold - threshold).abs();
            (a.false_rejects + a.missed).cmp(&(b.false_rejects + b.missed)).then(far(a).total_cmp(&far(b)))
        });
        Self {
            name: name.to_owned(),
            threshold,
            counts,
            to_accept_all_good: scores(true).max_by(f32::total_cmp),
            to_catch_all_defects: scores(false).min_by(f32::total_cmp).map(f32::next_down),
            least_errors: least.filter(|_| !judgements.is_empty()),
            at_current: errors_at(threshold),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(score: f64, is_good: bool, kind: FeedbackKind) -> Judgement {
        Judgement { category: "part".into(), score, is_good, kind }
    }

    #[test]
    fn the_threshold_would_have_to_move_to_between_good_and_defective() {
        use FeedbackKind::{Confirmed, FalseReject, Missed};
        let said = [
            judgement(1.2, true, FalseReject),
            judgement(1.4, true, FalseReject),
            judgement(2.0, false, Confirmed),
            judgement(0.5, true, Confirmed),
        ];
        let report = CategoryFeedback::new("part", 1.0, &said.iter().collect::<Vec<_>>());
        assert_eq!(report.counts, FeedbackCounts { false_reject: 2, missed: 0, confirmed: 2 });
        assert_eq!(report.at_current, Errors { threshold: 1.0, false_rejects: 2, missed: 0 });
        assert_eq!(report.least_errors, Some(Errors { threshold: 1.4, false_rejects: 0, missed: 0 }));
        assert_eq!(report.to_accept_all_good, Some(1.4));
        let catches = report.to_catch_all_defects.unwrap();
        assert!(catches < 2.0 && catches > 1.999);

        // Good and defective parts that no threshold tells apart: the fewest errors, nearest to where it is.
        let said = [judgement(3.0, true, FalseReject), judgement(0.9, false, Missed)];
        let report = CategoryFeedback::new("part", 1.0, &said.iter().collect::<Vec<_>>());
        let least = report.least_errors.unwrap();
        assert_eq!((least.false_rejects, least.missed), (1, 0));
        assert!(least.threshold < 0.9 && least.threshold > 0.89);

        let nothing = CategoryFeedback::new("part", 1.0, &[]);
        assert_eq!((nothing.to_accept_all_good, nothing.least_errors), (None, None));
    }
}
