//! Table 3.

use shapeguard::evaluation::mean;
use shapeguard::experts::Experts;

use super::{ABSENT, Origin, Row, RowKind, Table, experts_note};
use crate::category::CategoryResult;
use crate::published::{DOUBTS, PUBLISHED};
use crate::variant::{CORESET, FULL_BANK, SHAPE_GUIDED};

/// Table 3.
pub(super) fn cost(categories: &[CategoryResult], experts: &Experts, origin: &Origin) -> Table {
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
    Table {
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
    }
}
