//! The tables, the published figures beside ours.

mod accuracy;
mod cost;
mod sweeps;

use serde::Serialize;
use shapeguard::evaluation::{Channel, mean};
use shapeguard::experts::Experts;
use shapeguard_core::settings::Settings;

use crate::category::CategoryResult;
use crate::measures::Measures;
use crate::options::Options;
use crate::published::{DOUBTS, PUBLISHED, ScanCounts};
use crate::variant::Variant;
use accuracy::{Figure, by_category, channels, fired, limits};
use cost::cost;
use sweeps::{coding, points_per_patch};

/// What stands where there is no figure.
pub const ABSENT: &str = "–";

/// Everything that the pages show.
#[derive(Debug, Serialize)]
pub struct Reproduction {
    /// Version of the program.
    pub program_version: &'static str,
    /// What the figures are from.
    pub origin: Origin,
    /// What the reader should know.
    pub warnings: Vec<String>,
    /// All tables.
    pub tables: Vec<Table>,
    /// What in the published figures does not add up.
    pub doubts: Vec<&'static str>,
    /// Everything that was measured.
    pub categories: Vec<CategoryResult>,
}

/// How the figures were made, as the caller knows it.
#[derive(Clone, Debug)]
pub struct Made {
    /// Name of the dataset's folder.
    pub dataset: String,
    /// The shape expert, and how it came to be.
    pub shape_expert: String,
    /// All settings, as TOML.
    pub settings_toml: String,
    /// Whether the reference's deviations are on.
    pub reference_quirks: bool,
}

/// What the figures are from.
#[derive(Debug, Serialize)]
pub struct Origin {
    /// Name of the dataset's folder.
    pub dataset: String,
    /// Its categories' scans together.
    pub scans: ScanCounts,
    /// Whether these are the categories and counts of MVTec 3D-AD.
    pub is_mvtec_3d_ad: bool,
    /// The shape expert, and how it came to be.
    pub shape_expert: String,
    /// The colour network.
    pub appearance_expert: String,
    /// Seed of fits and resamples.
    pub seed: u64,
    /// All settings, as TOML.
    pub settings: String,
    /// Whether the reference's deviations are on.
    pub reference_quirks: bool,
    /// What was measured, on how many scans.
    pub options: Options,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// Short name, like `table-1`.
    pub id: &'static str,
    /// Its title.
    pub title: String,
    /// What a reader needs to know.
    pub notes: Vec<String>,
    /// Headings of the columns; the first is that of the rows' names.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Whose figures they are.
    pub kind: RowKind,
    /// The cells.
    pub cells: Vec<String>,
}

/// Whose figures a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKind {
    /// The paper's, as published.
    Published,
    /// Measured here.
    Ours,
}

impl Reproduction {
    /// Makes the tables of what was measured of at least one category.
    pub fn new(
        made: Made,
        categories: Vec<CategoryResult>,
        settings: &Settings,
        experts: &Experts,
        options: Options,
    ) -> Self {
        let Made { dataset, shape_expert, settings_toml, reference_quirks } = made;
        let scans = categories.iter().fold(ScanCounts::default(), |sum, category| ScanCounts {
            train: sum.train + category.counts.train,
            validation: sum.validation + category.counts.validation,
            test_good: sum.test_good + category.counts.test_good,
            test_defective: sum.test_defective + category.counts.test_defective,
        });
        let names: Vec<&str> = categories.iter().map(|category| category.name.as_str()).collect();
        let is_mvtec_3d_ad = names == PUBLISHED.category_order && scans == PUBLISHED.scans;
        let origin = Origin {
            dataset,
            scans,
            is_mvtec_3d_ad,
            shape_expert,
            appearance_expert: experts.appearance_identity.name.clone(),
            seed: settings.seed,
            settings: settings_toml,
            reference_quirks,
            options,
        };
        let tables = [
            Some(by_category(&categories, &origin, Figure::IAuroc)),
            Some(by_category(&categories, &origin, Figure::Aupro03)),
            Some(limits(&categories, &origin)),
            Some(cost(&categories, experts, &origin)),
            points_per_patch(&categories, &origin),
            Some(channels(&categories, &origin)),
            coding(&categories, &origin),
            Some(fired(&categories, &origin)),
        ];
        Self {
            program_version: env!("CARGO_PKG_VERSION"),
            warnings: warnings(&origin, &categories),
            origin,
            tables: tables.into_iter().flatten().collect(),
            doubts: DOUBTS.to_vec(),
            categories,
        }
    }
}

fn warnings(origin: &Origin, categories: &[CategoryResult]) -> Vec<String> {
    let mut warnings = Vec::new();
    let (scans, published) = (origin.scans, PUBLISHED.scans);
    if !origin.is_mvtec_3d_ad {
        warnings.push(format!(
            "These are not the categories and scans of MVTec 3D-AD ({} training, {} validation, {} good and {} defective test scans): {} categories with {}, {}, {} and {}. The published figures beside ours are of other data.",
            published.train,
            published.validation,
            published.test_good,
            published.test_defective,
            categories.len(),
            scans.train,
            scans.validation,
            scans.test_good,
            scans.test_defective
        ));
    }
    for category in categories.iter().filter(|category| !category.sizes.not_judged.is_empty()) {
        warnings.push(format!(
            "{}: {} test scans could not be judged and are in no figure, the first of them: {}",
            category.name,
            category.sizes.not_judged.len(),
            category.sizes.not_judged[0]
        ));
    }
    warnings
}

pub(crate) fn three(value: Option<f64>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), |value| format!("{value:.3}"))
}

fn experts_note(origin: &Origin, scans: &str) -> String {
    let quirks = if origin.reference_quirks { ", with the reference's deviations" } else { "" };
    format!(
        "Ours: shape expert {}, colour network {}, seed {}{quirks}; {scans}.",
        origin.shape_expert, origin.appearance_expert, origin.seed
    )
}

fn all_scans(categories: &[CategoryResult]) -> String {
    let per: Vec<usize> = categories.iter().map(|c| c.counts.test_good + c.counts.test_defective).collect();
    let (least, most) = (per.iter().min().copied().unwrap_or(0), per.iter().max().copied().unwrap_or(0));
    let total: usize = per.iter().sum();
    if least == most {
        format!("{least} test scans in each cell")
    } else {
        format!("{least} to {most} test scans in each cell, {total} in all")
    }
}

/// A mean over all categories; `None` unless each has it.
pub(crate) fn mean_of(
    categories: &[CategoryResult],
    variant: &Variant,
    channel: Channel,
    figure: impl Fn(&Measures) -> Option<f64>,
) -> Option<f64> {
    mean(categories.iter().map(|category| category.of(variant, channel).and_then(&figure)))
}
