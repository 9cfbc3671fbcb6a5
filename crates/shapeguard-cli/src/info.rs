//! `shapeguard info`: what is in a model file.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use shapeguard::detector::Provenance;
use shapeguard::experts::ExpertIdentity;
use shapeguard::{Detector, Model, RoutedDetector, model_file, presets};
use shapeguard_core::calibration::ThresholdBasis;
use shapeguard_core::settings::Settings;

use crate::{fit, output};

/// Show what a model was made of: scans, experts, memories, threshold, settings.
///
/// Reads and checks the whole file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard info part.shapeguard\n  shapeguard info part.shapeguard --settings > mine.toml\n  shapeguard info all-parts.shapeguard --category gear"
)]
pub struct InfoArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print only the settings, as TOML that `fit --preset FILE` takes
    #[arg(long, conflicts_with = "json")]
    settings: bool,
    /// Only this category, of a model that knows several
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
}

/// Everything about a model but the features themselves.
#[derive(Debug, Serialize)]
struct Info<'a> {
    model: &'a Path,
    file_bytes: u64,
    format_version: u32,
    provenance: &'a Provenance,
    shape_expert: &'a ExpertIdentity,
    appearance_expert: &'a ExpertIdentity,
    memories: Memories,
    alignment: AlignmentInfo,
    threshold: ThresholdInfo<'a>,
    good_peak: f32,
    settings: &'a Settings,
}

#[derive(Debug, Serialize)]
struct Memories {
    sdf_features: usize,
    sdf_dim: usize,
    rgb_features: usize,
    rgb_dim: usize,
    links: usize,
}

#[derive(Debug, Serialize)]
struct AlignmentInfo {
    a: f32,
    b: f32,
}

#[derive(Debug, Serialize)]
struct ThresholdInfo<'a> {
    score: f32,
    false_reject_rate: f64,
    basis: ThresholdBasis,
    good_scores: &'a [f32],
}

/// Runs the command.
///
/// # Errors
/// If the file is no model that this program can use.
pub fn run(args: &InfoArgs) -> Result<()> {
    let model = model_file::load_model(&args.model)?;
    let category = args.category.as_deref().map(|name| model.category(name)).transpose().context("--category")?;
    if args.settings {
        return output::text(&presets::to_toml(model.settings())?);
    }
    let file_bytes = std::fs::metadata(&args.model).with_context(|| args.model.display().to_string())?.len();
    let detector = match (&model, category) {
        (_, Some(detector)) => detector,
        (Model::Single(detector), None) => detector,
        (Model::Routed(routed), None) => return several(args, routed, file_bytes),
    };
    let format_version = match &model {
        Model::Single(_) => model_file::load_header(&args.model)?.version(),
        Model::Routed(_) => model_file::ROUTED_VERSION,
    };
    let info = Info::of(&args.model, file_bytes, format_version, detector);
    if args.json { output::json(&info) } else { output::text(&table(&info, detector)) }
}

/// Everything about a model for several categories.
#[derive(Debug, Serialize)]
struct RoutedInfo<'a> {
    model: &'a Path,
    file_bytes: u64,
    format_version: u32,
    shape_expert: &'a ExpertIdentity,
    appearance_expert: &'a ExpertIdentity,
    categories: Vec<CategoryInfo<'a>>,
    settings: &'a Settings,
}

/// What is not the same for all categories.
#[derive(Debug, Serialize)]
struct CategoryInfo<'a> {
    provenance: &'a Provenance,
    memories: Memories,
    alignment: AlignmentInfo,
    threshold: ThresholdInfo<'a>,
    good_peak: f32,
    /// Typical distance of its good scans when scans are routed.
    typical_distance: f32,
}

fn several(args: &InfoArgs, routed: &RoutedDetector, file_bytes: u64) -> Result<()> {
    let categories = routed.detectors().iter().zip(&routed.router().typical).map(|(detector, typical_distance)| {
        let Info { provenance, memories, alignment, threshold, good_peak, .. } =
            Info::of(&args.model, file_bytes, model_file::ROUTED_VERSION, detector);
        CategoryInfo { provenance, memories, alignment, threshold, good_peak, typical_distance: *typical_distance }
    });
    let info = RoutedInfo {
        model: &args.model,
        file_bytes,
        format_version: model_file::ROUTED_VERSION,
        shape_expert: &routed.experts().shape_identity,
        appearance_expert: &routed.experts().appearance_identity,
        categories: categories.collect(),
        settings: routed.settings(),
    };
    if args.json { output::json(&info) } else { output::text(&routed_table(&info, routed)) }
}

fn routed_table(info: &RoutedInfo<'_>, routed: &RoutedDetector) -> String {
    let mut text = String::new();
    let mut row = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:18} {value}");
    };
    row("categories", info.categories.len().to_string());
    for (category, detector) in info.categories.iter().zip(routed.detectors()) {
        let CategoryInfo { provenance, memories, threshold, .. } = category;
        row(
            &provenance.name,
            format!("{} scans learnt from, {} kept aside", provenance.training_scans, provenance.validation_scans),
        );
        row("", format!("{} SDF, {} RGB features", memories.sdf_features, memories.rgb_features));
        row(
            "",
            format!("threshold {}: {}", output::number(f64::from(threshold.score)), fit::promise(detector.threshold())),
        );
    }
    row("preset", info.settings.preset.clone());
    row("shape expert", expert(info.shape_expert));
    row("", format!("SHA-256 {}", info.shape_expert.sha256));
    row("appearance expert", expert(info.appearance_expert));
    row("", format!("SHA-256 {}", info.appearance_expert.sha256));
    let written_by = &routed.detectors()[0].provenance().program_version;
    let (path, size) = (info.model.display(), output::bytes(info.file_bytes));
    row(
        "file",
        format!(
            "{path}, {size}, format {} of several categories, written by Shapeguard {written_by}",
            info.format_version
        ),
    );
    text
}

impl<'a> Info<'a> {
    fn of(model: &'a Path, file_bytes: u64, format_version: u32, detector: &'a Detector) -> Self {
        let (memory, experts, threshold) = (detector.memory(), detector.experts(), detector.threshold());
        let alignment = detector.alignment();
        Self {
            model,
            file_bytes,
            format_version,
            provenance: detector.provenance(),
            shape_expert: &experts.shape_identity,
            appearance_expert: &experts.appearance_identity,
            memories: Memories {
                sdf_features: memory.shape.rows(),
                sdf_dim: memory.shape.cols(),
                rgb_features: memory.appearance.rows(),
                rgb_dim: memory.appearance.cols(),
                links: memory.link_rows.len(),
            },
            alignment: AlignmentInfo { a: alignment.a, b: alignment.b },
            threshold: ThresholdInfo {
                score: threshold.score,
                false_reject_rate: threshold.false_reject_rate,
                basis: threshold.basis,
                good_scores: &threshold.good_scores,
            },
            good_peak: detector.good_peak(),
            settings: detector.settings(),
        }
    }
}

fn table(info: &Info, detector: &Detector) -> String {
    let (provenance, memories) = (info.provenance, &info.memories);
    let mut text = String::new();
    let mut row = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:18} {value}");
    };
    row("name", provenance.name.clone());
    row("preset", info.settings.preset.clone());
    row("scans", format!("{} learnt from, {} kept aside", provenance.training_scans, provenance.validation_scans));
    row("data SHA-256", provenance.data_sha256.clone());
    row("shape expert", expert(info.shape_expert));
    row("", format!("SHA-256 {}", info.shape_expert.sha256));
    row("appearance expert", expert(info.appearance_expert));
    row("", format!("SHA-256 {}", info.appearance_expert.sha256));
    row("SDF memory", format!("{} features of length {}", memories.sdf_features, memories.sdf_dim));
    row("RGB memory", format!("{} features of length {}", memories.rgb_features, memories.rgb_dim));
    row("links", format!("{} from SDF to RGB features", memories.links));
    let (a, b) = (f64::from(info.alignment.a), f64::from(info.alignment.b));
    row("alignment", format!("{} x RGB + {}", output::number(a), output::number(b)));
    row(
        "threshold",
        format!("{}: {}", output::number(f64::from(info.threshold.score)), fit::promise(detector.threshold())),
    );
    row("good maps' peak", output::number(f64::from(info.good_peak)));
    row(
        "file",
        format!(
            "{}, {}, format {}, written by Shapeguard {}",
            info.model.display(),
            output::bytes(info.file_bytes),
            info.format_version,
            provenance.program_version
        ),
    );
    text
}

fn expert(identity: &ExpertIdentity) -> String {
    let place = if identity.built_in { "built in" } else { "in the model file" };
    format!("{} ({place})", identity.name)
}
