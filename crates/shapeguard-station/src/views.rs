//! How inspections are shown: what is stored of one, with what operators said and where its pictures are, and a line of a list.

use serde::Serialize;
use shapeguard::outputs::RecordVerdict;
use utoipa::ToSchema;

use crate::record::{Record, Verdict};
use crate::store::{Feedback, FeedbackKind, FileRole, StoredInspection, Summary};
use crate::time::to_rfc3339;

/// Answer: one inspection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InspectionView {
    /// What was found.
    #[serde(flatten)]
    pub record: Record,
    /// What operators said, oldest first.
    pub feedback: Vec<FeedbackView>,
    /// Where its pictures are.
    pub links: Links,
}

/// Answer: what an operator said.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FeedbackView {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// What.
    pub kind: FeedbackKind,
    /// In words.
    pub comment: Option<String>,
    /// The name of the token that said it.
    pub by: Option<String>,
}

impl From<Feedback> for FeedbackView {
    fn from(feedback: Feedback) -> Self {
        let Feedback { at_ms, kind, comment, given_by } = feedback;
        Self { at: to_rfc3339(at_ms), kind, comment, by: given_by }
    }
}

/// Addresses of what belongs to an inspection; `null` where there is nothing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Links {
    /// The inspection itself.
    #[serde(rename = "self")]
    pub this: String,
    /// A small picture.
    pub thumbnail: Option<String>,
    /// The colour image.
    pub image: Option<String>,
    /// The fused map in colours, at the scan's size.
    pub heat_map: Option<String>,
    /// The same over the colour image.
    pub overlay: Option<String>,
    /// The maps' values.
    pub maps: Option<MapLinks>,
    /// The cloud with colour and score.
    pub cloud: Option<String>,
}

/// Addresses of the maps.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MapLinks {
    /// The shape expert's.
    pub sdf: String,
    /// The appearance expert's.
    pub rgb: String,
    /// Both.
    pub fused: String,
}

fn address(id: &str) -> String {
    format!("/v1/inspections/{id}")
}

impl InspectionView {
    /// Of what is stored.
    pub fn new(record: Record, stored: &StoredInspection, feedback: Vec<Feedback>) -> Self {
        let this = address(&record.id);
        let below = |name: &str| format!("{this}/{name}");
        // What cannot be read has no picture; what can be read has them even if it was not judged.
        let is_read = record.scan_size.is_some();
        let has_maps = stored.file(FileRole::Maps).is_some();
        let links = Links {
            thumbnail: stored.file(FileRole::Thumbnail).map(|_| below("thumbnail.png")),
            image: is_read.then(|| below("image.png")),
            heat_map: has_maps.then(|| below("heat.png")),
            overlay: has_maps.then(|| below("overlay.png")),
            maps: has_maps.then(|| MapLinks {
                sdf: below("maps/sdf.f32"),
                rgb: below("maps/rgb.f32"),
                fused: below("maps/fused.f32"),
            }),
            cloud: is_read.then(|| below("cloud.ply")),
            this: this.clone(),
        };
        Self { record, feedback: feedback.into_iter().map(FeedbackView::from).collect(), links }
    }
}

/// Answer: what lists show of an inspection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SummaryView {
    /// Its name.
    pub id: String,
    /// When the scan came, RFC 3339 in UTC.
    pub received_at: String,
    /// The model.
    pub model: String,
    /// The model's file.
    pub model_sha256: String,
    /// The category that it was compared with.
    pub category: Option<String>,
    /// The part's serial number.
    pub serial: Option<String>,
    /// The verdict.
    #[schema(value_type = Verdict)]
    pub verdict: RecordVerdict,
    /// The fused score.
    pub score: Option<f32>,
    /// The score above which a part is rejected.
    pub threshold: Option<f32>,
    /// Share of good parts that score at least as high.
    pub p_value: Option<f64>,
    /// Why it was not judged.
    pub reason: Option<String>,
    /// Number of warnings.
    pub warnings: usize,
    /// Number of defect regions.
    pub regions: usize,
    /// What an operator said last.
    pub feedback: Option<FeedbackKind>,
    /// Where more is.
    pub links: SummaryLinks,
}

/// Addresses in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SummaryLinks {
    /// The inspection.
    #[serde(rename = "self")]
    pub this: String,
    /// A small picture; answers 404 if the scan could not be read.
    pub thumbnail: String,
}

impl From<Summary> for SummaryView {
    fn from(s: Summary) -> Self {
        let this = address(&s.id);
        Self {
            received_at: to_rfc3339(s.received_ms),
            links: SummaryLinks { thumbnail: format!("{this}/thumbnail.png"), this },
            id: s.id,
            model: s.model,
            model_sha256: s.model_sha256,
            category: s.category,
            serial: s.serial,
            verdict: s.verdict,
            // They were single numbers before the database widened them.
            score: s.score.map(|score| score as f32),
            threshold: s.threshold.map(|threshold| threshold as f32),
            p_value: s.p_value,
            reason: s.reason,
            warnings: s.warnings,
            regions: s.regions,
            feedback: s.feedback,
        }
    }
}
