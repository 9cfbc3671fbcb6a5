//! The tables, the published figures beside ours.

use serde::Serialize;
use shapeguard::experts::Experts;
use shapeguard_core::metrics::AUPRO_LIMITS;
use shapeguard_core::settings::{Coding, Settings};

use crate::category::{CategoryResult, sweep_name};
use crate::measures::{LIMIT_001, LIMIT_03, Measures, interval, mean};
use crate::options::{Options, SWEEP_POINTS};
use crate::published::{DOUBTS, PUBLISHED, PublishedRow, ScanCounts};
use crate::study::ChannelName;
use crate::variant::{CODINGS, CORESET, FULL_BANK, SHAPE_GUIDED, Variant};

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
            by_category(&categories, &origin, Figure::IAuroc),
            by_category(&categories, &origin, Figure::Aupro03),
            limits(&categories, &origin),
            cost(&categories, experts, &origin),
            points_per_patch(&categories, &origin),
            channels(&categories, &origin),
            coding(&categories, &origin),
            fired(&categories, &origin),
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

/// A figure that Tables 1 and 2 have for each category.
#[derive(Clone, Copy, PartialEq)]
enum Figure {
    IAuroc,
    Aupro03,
}

impl Figure {
    fn of(self, measures: &Measures) -> Option<f64> {
        match self {
            Self::IAuroc => measures.i_auroc,
            Self::Aupro03 => measures.aupro_100.map(|areas| areas[LIMIT_03]),
        }
    }
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

/// Tables 1 and 2.
fn by_category(categories: &[CategoryResult], origin: &Origin, figure: Figure) -> Option<Table> {
    let published = &*PUBLISHED;
    let (id, title, rows) = match figure {
        Figure::IAuroc => ("table-1", "Table 1: I-AUROC", &published.i_auroc),
        Figure::Aupro03 => ("table-2", "Table 2: AUPRO up to a false-positive rate of 0.3", &published.aupro_03),
    };
    let ours = |method: &str| -> Option<Vec<Option<f64>>> {
        let of = |variant: &Variant, channel| {
            categories
                .iter()
                .map(|category| Some(figure.of(category.of(variant, channel)?)))
                .collect::<Option<Vec<_>>>()
        };
        match method {
            "Shape-Guided" => of(&SHAPE_GUIDED, ChannelName::Fused),
            "Shape-Guided, SDF" => of(&SHAPE_GUIDED, ChannelName::Sdf),
            "Shape-Guided, RGB alone" => of(&FULL_BANK, ChannelName::Rgb),
            baseline => categories
                .iter()
                .map(|category| Some(figure.of(category.baselines.get(baseline)?)))
                .collect::<Option<Vec<_>>>(),
        }
    };
    let published_row = |row: &PublishedRow| Row {
        name: row.method.clone(),
        kind: RowKind::Published,
        cells: categories
            .iter()
            .map(|category| three(published.figure(row, &category.name)))
            .chain([three(Some(row.mean))])
            .collect(),
    };
    let ours_row = |name: String, figures: Vec<Option<f64>>| Row {
        name,
        kind: RowKind::Ours,
        cells: figures.iter().map(|figure| three(*figure)).chain([three(mean(figures.iter().copied()))]).collect(),
    };
    let mut table_rows = Vec::new();
    for row in rows {
        table_rows.push(published_row(row));
        if let Some(figures) = ours(&row.method) {
            table_rows.push(ours_row(row.method.clone(), figures));
        }
    }
    // Presets that the user named, by the product's own fit and evaluation.
    for name in categories.first().map(|category| category.also.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
    {
        let figures = categories
            .iter()
            .map(|category| {
                let other = category.also.get(&name)?;
                match figure {
                    Figure::IAuroc => other.i_auroc[2],
                    Figure::Aupro03 => other.aupro_100[2].map(|areas| areas[LIMIT_03]),
                }
            })
            .collect();
        table_rows.push(ours_row(format!("Shapeguard, preset {name}"), figures));
    }
    let mut notes = vec![experts_note(origin, &all_scans(categories))];
    if let Some(backbone) = categories.iter().find_map(|category| category.baseline_backbone.as_deref()) {
        notes.push(format!("Our PatchCore, PaDiM and BTF see colour through {backbone}."));
    }
    if figure == Figure::Aupro03 {
        notes.push("Both with 100 thresholds; ours exactly stands below, at all limits.".into());
    }
    if let Some([low, high]) = interval(&of_all(categories, &SHAPE_GUIDED, ChannelName::Fused), |r| match figure {
        Figure::IAuroc => r.i_auroc,
        Figure::Aupro03 => r.aupro_03,
    }) {
        notes.push(format!(
            "The mean of our Shape-Guided row lies within {low:.3} to {high:.3} for 95 % of resampled test scans."
        ));
    }
    let header = std::iter::once("method".to_owned())
        .chain(categories.iter().map(|category| category.name.replace('_', " ")))
        .chain(["mean".to_owned()])
        .collect();
    Some(Table { id, title: title.into(), notes, header, rows: table_rows })
}

fn of_all<'a>(categories: &'a [CategoryResult], variant: &Variant, channel: ChannelName) -> Vec<&'a Measures> {
    categories.iter().filter_map(|category| category.of(variant, channel)).collect()
}

/// A mean over all categories; `None` unless each has it.
pub(crate) fn mean_of(
    categories: &[CategoryResult],
    variant: &Variant,
    channel: ChannelName,
    figure: impl Fn(&Measures) -> Option<f64>,
) -> Option<f64> {
    mean(categories.iter().map(|category| category.of(variant, channel).and_then(&figure)))
}

/// Figure 6: AUPRO at all limits.
fn limits(categories: &[CategoryResult], origin: &Origin) -> Option<Table> {
    let mut rows = vec![Row {
        name: "Shape-Guided".into(),
        kind: RowKind::Published,
        cells: (0..AUPRO_LIMITS.len())
            .map(|limit| match limit {
                LIMIT_03 => three(Some(PUBLISHED.guidance[1].aupro_03)),
                LIMIT_001 => three(Some(PUBLISHED.guidance[1].aupro_001)),
                _ => ABSENT.into(),
            })
            .collect(),
    }];
    let channels = [("RGB", ChannelName::Rgb), ("SDF", ChannelName::Sdf), ("Shape-Guided", ChannelName::Fused)];
    for (name, channel) in channels {
        for (how, is_exact) in [("100 thresholds", false), ("exact", true)] {
            let area = |measures: &Measures, limit: usize| {
                if is_exact { measures.aupro } else { measures.aupro_100 }.map(|areas| areas[limit])
            };
            let cells = (0..AUPRO_LIMITS.len())
                .map(|limit| three(mean_of(categories, &SHAPE_GUIDED, channel, |measures| area(measures, limit))))
                .collect();
            rows.push(Row { name: format!("{name}, {how}"), kind: RowKind::Ours, cells });
        }
    }
    Some(Table {
        id: "figure-6",
        title: "Figure 6: AUPRO at seven limits".into(),
        notes: vec![
            experts_note(origin, &all_scans(categories)),
            "RGB is guided by shape. Published figures have 100 thresholds, with which AUPRO 0.01 is a single trapezoid: compare like with like.".into(),
        ],
        header: std::iter::once("up to".to_owned()).chain(AUPRO_LIMITS.iter().map(ToString::to_string)).collect(),
        rows,
    })
}

/// Table 3.
fn cost(categories: &[CategoryResult], experts: &Experts, origin: &Origin) -> Option<Table> {
    let published = PUBLISHED.cost.iter().map(|row| Row {
        name: row.method.clone(),
        kind: RowKind::Published,
        cells: vec![
            format!("{:.2}", row.seconds),
            format!("{:.2}", row.frames_per_second),
            row.features.to_string(),
            format!("{} %", row.share_percent),
            ABSENT.into(),
        ],
    });
    let mut rows: Vec<Row> = published.collect();
    let each = |figure: &dyn Fn(&CategoryResult) -> Option<f64>| mean(categories.iter().map(figure));
    for (name, variant) in [("full bank", FULL_BANK), ("10 % coreset", CORESET), ("shape-guided", SHAPE_GUIDED)] {
        let Some(searched) = each(&|category| category.sizes.searched.get(variant.name).copied()) else { continue };
        let seconds = each(&|category| category.seconds.get(variant.name).copied());
        let of = |size: &dyn Fn(&CategoryResult) -> usize| {
            each(&|category| Some(category.sizes.searched.get(variant.name)? / size(category) as f64))
        };
        let percent =
            |share: Option<f64>| share.map_or_else(|| ABSENT.into(), |share| format!("{:.1} %", 100.0 * share));
        rows.push(Row {
            name: format!("Shape-Guided, {name}"),
            kind: RowKind::Ours,
            cells: vec![
                seconds.map_or_else(|| ABSENT.into(), |seconds| format!("{seconds:.2}")),
                seconds.map_or_else(|| ABSENT.into(), |seconds| format!("{:.2}", 1.0 / seconds)),
                format!("{searched:.0}"),
                percent(of(&|category| category.sizes.all_cells)),
                percent(of(&|category| category.sizes.appearance)),
            ],
        });
    }
    let timed =
        format!("features searched of all test scans, seconds of {} of each category", origin.options.timing_scans);
    let mut notes = vec![
        experts_note(origin, &timed),
        "Seconds of wall clock, one sample after another with all threads of this machine, from the decoded scan to the maps without the foreground's removal; the published ones are another machine's.".to_owned(),
        "The published full bank is all 784 cells of each training sample, background included; ours keeps the cells that some patch uses. The first share is of the former, the second of the latter.".to_owned(),
    ];
    let (shape, appearance) = (&experts.shape, &experts.appearance);
    let k = 500;
    if let (Some(parameters), Some(encode), Some(distances)) =
        (shape.parameters(), shape.encode_multiply_adds(k), shape.distance_multiply_adds(k))
    {
        let per_patch = (encode + distances) as f64 / 1e9;
        let scan = match mean(categories.iter().map(|category| category.mean_patches)) {
            Some(patches) => format!("; a scan of {patches:.0} patches takes {:.0} GMAC", per_patch * patches),
            None => String::new(),
        };
        notes.push(format!(
            "Ours, shape expert {}: {:.2} M parameters, {per_patch:.2} GMAC a patch of {k}{scan}. Published: {:.2} M, {:.2} GMAC.",
            experts.shape_identity.name, parameters as f64 / 1e6, PUBLISHED.experts[1].parameters_millions, PUBLISHED.experts[1].gmac
        ));
    }
    if let (Some(parameters), Some(work)) =
        (appearance.parameters(), appearance.multiply_adds(shapeguard_core::seams::IMAGE_SIDE))
    {
        notes.push(format!(
            "Ours, colour network {}: {:.2} M parameters, {:.2} GMAC an image. Published, Wide-ResNet-50-2 to layer 2: {:.2} M, {:.1} GMAC.",
            experts.appearance_identity.name,
            parameters as f64 / 1e6,
            work as f64 / 1e9,
            PUBLISHED.experts[0].parameters_millions,
            PUBLISHED.experts[0].gmac
        ));
    }
    notes.push(format!("As printed in the paper, though it does not add up: {}", DOUBTS[..3].join(" ")));
    Some(Table {
        id: "table-3",
        title: "Table 3: cost of a sample".into(),
        notes,
        header: [
            "method",
            "seconds",
            "frames/s",
            "RGB features searched",
            "share of all cells",
            "share of the kept bank",
        ]
        .map(Into::into)
        .into(),
        rows,
    })
}

fn sweep_scans(categories: &[CategoryResult], name: &str) -> String {
    let per: Vec<usize> = categories
        .iter()
        .filter_map(|c| c.sweeps.get(name))
        .map(|measures| measures.good + measures.defective)
        .collect();
    match (per.iter().min(), per.iter().max()) {
        (Some(least), Some(most)) if least == most => format!("{least} test scans of each category in each cell"),
        (Some(least), Some(most)) => format!("{least} to {most} test scans of each category in each cell"),
        _ => "no test scans".into(),
    }
}

/// The means of a sweep's cell, with intervals where they were made.
fn sweep_cells(categories: &[CategoryResult], name: &str, with_p_auroc: bool) -> Option<Vec<String>> {
    let all: Vec<&Measures> = categories.iter().map(|category| category.sweeps.get(name)).collect::<Option<_>>()?;
    let figure = |of: &dyn Fn(&Measures) -> Option<f64>| mean(all.iter().map(|measures| of(measures)));
    let with = |value: Option<f64>, range: Option<[f64; 2]>| match range {
        Some([low, high]) => format!("{} ({low:.3} to {high:.3})", three(value)),
        None => three(value),
    };
    let mut cells = vec![with(figure(&|m| m.i_auroc), interval(&all, |resampled| resampled.i_auroc))];
    if with_p_auroc {
        cells.push(three(figure(&|m| m.p_auroc)));
    }
    let area = |limit: usize| figure(&|m| m.aupro_100.map(|areas| areas[limit]));
    cells.push(with(area(LIMIT_03), interval(&all, |resampled| resampled.aupro_03)));
    cells.push(with(area(LIMIT_001), interval(&all, |resampled| resampled.aupro_001)));
    cells.push(three(figure(&|m| m.aupro.map(|areas| areas[LIMIT_001]))));
    Some(cells)
}

const INTERVALS: &str =
    "In brackets: 95 % of resampled test scans. AUPRO with 100 thresholds, and in the last column exactly.";

/// Table 4.
fn points_per_patch(categories: &[CategoryResult], origin: &Origin) -> Option<Table> {
    let mut rows = Vec::new();
    let has_sweep = |points: usize| categories.iter().all(|category| category.sweeps.contains_key(&sweep_name(points)));
    if !SWEEP_POINTS.into_iter().any(has_sweep) {
        return None;
    }
    for published in &PUBLISHED.points_per_patch {
        let name = format!("K = {}", published.k);
        rows.push(Row {
            name: name.clone(),
            kind: RowKind::Published,
            cells: vec![
                three(Some(published.i_auroc)),
                three(Some(published.aupro_03)),
                three(Some(published.aupro_001)),
                ABSENT.into(),
            ],
        });
        let sweep =
            if SWEEP_POINTS.contains(&published.k) { sweep_name(published.k) } else { SHAPE_GUIDED.name.to_owned() };
        if let Some(cells) = sweep_cells(categories, &sweep, false) {
            rows.push(Row { name, kind: RowKind::Ours, cells });
        }
    }
    Some(Table {
        id: "table-4",
        title: "Table 4: points of a patch".into(),
        notes: vec![experts_note(origin, &sweep_scans(categories, &sweep_name(SWEEP_POINTS[0]))), INTERVALS.into()],
        header: ["points", "I-AUROC", "AUPRO 0.3", "AUPRO 0.01", "AUPRO 0.01, exact"].map(Into::into).into(),
        rows,
    })
}

/// Table 5, and the full bank with both experts.
fn channels(categories: &[CategoryResult], origin: &Origin) -> Option<Table> {
    let published = |i_auroc: Option<f64>, p_auroc: Option<f64>, aupro_03: Option<f64>, aupro_001: Option<f64>| {
        vec![three(i_auroc), three(p_auroc), three(aupro_03), three(aupro_001), ABSENT.into()]
    };
    let mean_in =
        |rows: &[PublishedRow], method: &str| rows.iter().find(|row| row.method == method).map(|row| row.mean);
    let alone =
        |method: &str| published(mean_in(&PUBLISHED.i_auroc, method), None, mean_in(&PUBLISHED.aupro_03, method), None);
    let fused = |index: usize| {
        let row = &PUBLISHED.guidance[index];
        published(Some(row.i_auroc), Some(row.p_auroc), Some(row.aupro_03), Some(row.aupro_001))
    };
    let lines = [
        ("RGB alone, full bank", alone("Shape-Guided, RGB alone"), FULL_BANK, ChannelName::Rgb),
        ("SDF alone", alone("Shape-Guided, SDF"), SHAPE_GUIDED, ChannelName::Sdf),
        (
            "RGB guided by shape, alone",
            published(None, None, Some(PUBLISHED.guided_rgb_aupro_03.mean), None),
            SHAPE_GUIDED,
            ChannelName::Rgb,
        ),
        ("RGB and SDF, full bank", fused(0), FULL_BANK, ChannelName::Fused),
        ("RGB and SDF, 10 % coreset", published(None, None, None, None), CORESET, ChannelName::Fused),
        ("RGB and SDF, shape-guided", fused(1), SHAPE_GUIDED, ChannelName::Fused),
    ];
    let mut rows = Vec::new();
    for (name, cells, variant, channel) in lines {
        if cells.iter().any(|cell| cell != ABSENT) {
            rows.push(Row { name: name.into(), kind: RowKind::Published, cells });
        }
        let of = |figure: &dyn Fn(&Measures) -> Option<f64>| mean_of(categories, &variant, channel, figure);
        let cells = vec![
            three(of(&|m| m.i_auroc)),
            three(of(&|m| m.p_auroc)),
            three(of(&|m| m.aupro_100.map(|areas| areas[LIMIT_03]))),
            three(of(&|m| m.aupro_100.map(|areas| areas[LIMIT_001]))),
            three(of(&|m| m.aupro.map(|areas| areas[LIMIT_001]))),
        ];
        if cells.iter().any(|cell| cell != ABSENT) {
            rows.push(Row { name: name.into(), kind: RowKind::Ours, cells });
        }
    }
    Some(Table {
        id: "table-5",
        title: "Table 5: what each expert and the guidance are worth".into(),
        notes: vec![experts_note(origin, &all_scans(categories))],
        header: ["what", "I-AUROC", "P-AUROC", "AUPRO 0.3", "AUPRO 0.01", "AUPRO 0.01, exact"].map(Into::into).into(),
        rows,
    })
}

/// Table 6.
fn coding(categories: &[CategoryResult], origin: &Origin) -> Option<Table> {
    let mut rows = Vec::new();
    let mut scans = None;
    for published in &PUBLISHED.coding {
        let short = |coding: Coding| if coding == Coding::Sparse { "sparse" } else { "nearest" };
        let name = format!("RGB {}, SDF {}", short(published.rgb), short(published.sdf));
        let doubt = if published.legible { "" } else { " (presumed)" };
        rows.push(Row {
            name: format!("{name}{doubt}"),
            kind: RowKind::Published,
            cells: [published.i_auroc, published.p_auroc, published.aupro_03, published.aupro_001]
                .map(|figure| three(Some(figure)))
                .into_iter()
                .chain([ABSENT.to_owned()])
                .collect(),
        });
        let is_this = |variant: &&Variant| variant.rgb == published.rgb && variant.sdf == published.sdf;
        let Some(variant) = CODINGS.iter().chain([&SHAPE_GUIDED]).find(is_this) else { continue };
        if let Some(cells) = sweep_cells(categories, variant.name, true) {
            scans = scans.or(Some(sweep_scans(categories, variant.name)));
            rows.push(Row { name, kind: RowKind::Ours, cells });
        }
    }
    // Without the line of nearest neighbours nothing was compared.
    let has = categories.iter().all(|category| category.sweeps.contains_key(CODINGS[0].name));
    has.then(|| Table {
        id: "table-6",
        title: "Table 6: nearest neighbour against sparse coding".into(),
        notes: vec![
            experts_note(origin, &scans.unwrap_or_default()),
            INTERVALS.into(),
            "The paper's marks of the two middle lines cannot be read; which is which is presumed.".into(),
        ],
        header: ["coding", "I-AUROC", "P-AUROC", "AUPRO 0.3", "AUPRO 0.01", "AUPRO 0.01, exact"].map(Into::into).into(),
        rows,
    })
}

/// Which expert's map is the higher one at a scan's highest place.
fn fired(categories: &[CategoryResult], origin: &Origin) -> Option<Table> {
    let share = |category: &CategoryResult, is_good: bool| {
        let scans: Vec<bool> = category
            .scans
            .iter()
            .filter(|scan| (scan.kind == shapeguard_data::GOOD) == is_good)
            .map(|scan| scan.shape_fired)
            .collect();
        let fired = scans.iter().filter(|fired| **fired).count();
        (!scans.is_empty()).then(|| 100.0 * fired as f64 / scans.len() as f64)
    };
    let percent = |share: Option<f64>| share.map_or_else(|| ABSENT.to_owned(), |share| format!("{share:.0} %"));
    let row = |name: &str, shares: [Option<f64>; 2]| Row {
        name: name.into(),
        kind: RowKind::Ours,
        cells: shares.map(percent).into(),
    };
    let mut rows: Vec<Row> = categories
        .iter()
        .map(|category| row(&category.name.replace('_', " "), [share(category, false), share(category, true)]))
        .collect();
    let means = [false, true].map(|is_good| mean(categories.iter().map(|category| share(category, is_good))));
    rows.push(row("mean", means));
    Some(Table {
        id: "fired",
        title: "Which expert fires".into(),
        notes: vec![
            experts_note(origin, &all_scans(categories)),
            "Share of the scans on whose fused map the highest place is the shape expert's.".into(),
        ],
        header: ["category", "defective scans", "good scans"].map(Into::into).into(),
        rows,
    })
}
