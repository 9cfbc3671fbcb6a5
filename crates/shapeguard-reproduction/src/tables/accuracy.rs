//! Tables 1, 2 and 5, Figure 6, and which expert fires.

use shapeguard::evaluation::{Channel, mean};
use shapeguard_core::metrics::AUPRO_LIMITS;

use super::{ABSENT, Origin, Row, RowKind, Table, all_scans, experts_note, mean_of, three};
use crate::category::CategoryResult;
use crate::measures::{LIMIT_001, LIMIT_03, Measures, interval};
use crate::published::{PUBLISHED, PublishedRow};
use crate::variant::{CORESET, FULL_BANK, SHAPE_GUIDED, Variant};

/// A figure that Tables 1 and 2 have for each category.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Figure {
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

/// Tables 1 and 2.
pub(super) fn by_category(categories: &[CategoryResult], origin: &Origin, figure: Figure) -> Table {
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
            "Shape-Guided" => of(&SHAPE_GUIDED, Channel::Fused),
            "Shape-Guided, SDF" => of(&SHAPE_GUIDED, Channel::Sdf),
            "Shape-Guided, RGB alone" => of(&FULL_BANK, Channel::Rgb),
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
    if let Some([low, high]) = interval(&of_all(categories, &SHAPE_GUIDED, Channel::Fused), |r| match figure {
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
    Table { id, title: title.into(), notes, header, rows: table_rows }
}

fn of_all<'a>(categories: &'a [CategoryResult], variant: &Variant, channel: Channel) -> Vec<&'a Measures> {
    categories.iter().filter_map(|category| category.of(variant, channel)).collect()
}

/// Figure 6: AUPRO at all limits.
pub(super) fn limits(categories: &[CategoryResult], origin: &Origin) -> Table {
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
    let channels = [("RGB", Channel::Rgb), ("SDF", Channel::Sdf), ("Shape-Guided", Channel::Fused)];
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
    Table {
        id: "figure-6",
        title: "Figure 6: AUPRO at seven limits".into(),
        notes: vec![
            experts_note(origin, &all_scans(categories)),
            "RGB is guided by shape. Published figures have 100 thresholds, with which AUPRO 0.01 is a single trapezoid: compare like with like.".into(),
        ],
        header: std::iter::once("up to".to_owned()).chain(AUPRO_LIMITS.iter().map(ToString::to_string)).collect(),
        rows,
    }
}

/// Table 5, and the full bank with both experts.
pub(super) fn channels(categories: &[CategoryResult], origin: &Origin) -> Table {
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
        ("RGB alone, full bank", alone("Shape-Guided, RGB alone"), FULL_BANK, Channel::Rgb),
        ("SDF alone", alone("Shape-Guided, SDF"), SHAPE_GUIDED, Channel::Sdf),
        (
            "RGB guided by shape, alone",
            published(None, None, Some(PUBLISHED.guided_rgb_aupro_03.mean), None),
            SHAPE_GUIDED,
            Channel::Rgb,
        ),
        ("RGB and SDF, full bank", fused(0), FULL_BANK, Channel::Fused),
        ("RGB and SDF, 10 % coreset", published(None, None, None, None), CORESET, Channel::Fused),
        ("RGB and SDF, shape-guided", fused(1), SHAPE_GUIDED, Channel::Fused),
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
    Table {
        id: "table-5",
        title: "Table 5: what each expert and the guidance are worth".into(),
        notes: vec![experts_note(origin, &all_scans(categories))],
        header: ["what", "I-AUROC", "P-AUROC", "AUPRO 0.3", "AUPRO 0.01", "AUPRO 0.01, exact"].map(Into::into).into(),
        rows,
    }
}

/// Which expert's map is the higher one at a scan's highest place.
pub(super) fn fired(categories: &[CategoryResult], origin: &Origin) -> Table {
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
    Table {
        id: "fired",
        title: "Which expert fires".into(),
        notes: vec![
            experts_note(origin, &all_scans(categories)),
            "Share of the scans on whose fused map the highest place is the shape expert's.".into(),
        ],
        header: ["category", "defective scans", "good scans"].map(Into::into).into(),
        rows,
    }
}
