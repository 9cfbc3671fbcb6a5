//! Tables 4 and 6, which have scans of their own number.

use shapeguard::evaluation::mean;
use shapeguard_core::settings::Coding;

use super::{ABSENT, Origin, Row, RowKind, Table, experts_note, three};
use crate::category::{CategoryResult, sweep_name};
use crate::measures::{LIMIT_001, LIMIT_03, Measures, interval};
use crate::options::SWEEP_POINTS;
use crate::published::PUBLISHED;
use crate::variant::{CODINGS, SHAPE_GUIDED, Variant};

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
pub(super) fn points_per_patch(categories: &[CategoryResult], origin: &Origin) -> Option<Table> {
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

/// Table 6.
pub(super) fn coding(categories: &[CategoryResult], origin: &Origin) -> Option<Table> {
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
