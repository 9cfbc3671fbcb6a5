//! What a model's tensors hold, read and checked: sizes first, then every index and number that something relies on.

use safetensors::tensor::Dtype;
use shapeguard_core::alignment::Alignment;
use shapeguard_core::calibration::Threshold;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::memory::DualMemory;
use shapeguard_core::residual_metric::ResidualMetric;
use shapeguard_core::seams::CELL_PX;
use shapeguard_core::settings::AppearanceMetric;
use shapeguard_core::typical::{Typical, TypicalScores};

use super::container::{Container, Tensors};
use super::{
    APPEARANCE_EXPERT_FILE, Header, RGB_RESIDUAL_METRIC, RGB_TYPICAL_RESIDUAL, SDF_TYPICAL_DISTANCE,
    SDF_TYPICAL_RESIDUAL, SHAPE_EXPERT_FILE,
};

/// The sizes of a model's tensors, which fit each other.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    sdf_bank: [usize; 2],
    rgb_bank: [usize; 2],
}

impl Layout {
    /// Checks names, number formats and shapes of all tensors, of which none is read.
    pub(super) fn of(container: &Container, header: &Header) -> Result<Self, String> {
        let sdf_bank: [usize; 2] = container.shape("sdf_bank", Dtype::F32)?;
        let rgb_bank: [usize; 2] = container.shape("rgb_bank", Dtype::F32)?;
        if sdf_bank.contains(&0) || rgb_bank.contains(&0) {
            return Err("a memory bank is empty".into());
        }
        let [links]: [usize; 1] = container.shape("sdf_link_rows", Dtype::U32)?;
        let [good_scores]: [usize; 1] = container.shape("threshold_good_scores", Dtype::F32)?;
        let mut lists = vec![
            // Version 1 had no scale, which no rule of its time needs.
            ("alignment", Dtype::F32, if header.version == 1 { 2 } else { 4 }),
            ("good_peak", Dtype::F32, 1),
            ("rgb_cell", Dtype::U32, rgb_bank[0]),
            ("rgb_sample", Dtype::U32, rgb_bank[0]),
            ("sdf_link_rows", Dtype::U32, links),
            ("sdf_link_starts", Dtype::U32, sdf_bank[0].saturating_add(1)),
            ("sdf_sample", Dtype::U32, sdf_bank[0]),
            ("threshold_good_scores", Dtype::F32, good_scores),
            ("threshold_score", Dtype::F32, 1),
        ];
        if TypicalScores::are_wanted(&header.settings.memory) {
            lists.extend([
                (SDF_TYPICAL_DISTANCE, Dtype::F32, sdf_bank[0]),
                (SDF_TYPICAL_RESIDUAL, Dtype::F32, sdf_bank[0]),
                (RGB_TYPICAL_RESIDUAL, Dtype::F32, rgb_bank[0]),
            ]);
        }
        for (name, dtype, expected) in lists.iter().copied() {
            let [found]: [usize; 1] = container.shape(name, dtype)?;
            if found != expected {
                return Err(format!("the tensor {name:?} must have {expected} values, found {found}"));
            }
        }
        let has_metric = wants_metric(header);
        if has_metric {
            let found: [usize; 2] = container.shape(RGB_RESIDUAL_METRIC, Dtype::F32)?;
            if found != [rgb_bank[1]; 2] {
                return Err(format!(
                    "the tensor {RGB_RESIDUAL_METRIC:?} must have {0} x {0} values, found {found:?}",
                    rgb_bank[1]
                ));
            }
        }
        let mut experts = [None; 2];
        for (place, name) in experts.iter_mut().zip([SHAPE_EXPERT_FILE, APPEARANCE_EXPERT_FILE]) {
            if container.has(name) {
                let _: [usize; 1] = container.shape(name, Dtype::U8)?;
                *place = Some(name);
            }
        }
        let is_known = |name: &str| {
            ["sdf_bank", "rgb_bank"].contains(&name)
                || (has_metric && name == RGB_RESIDUAL_METRIC)
                || lists.iter().any(|(known, ..)| *known == name)
                || experts.contains(&Some(name))
        };
        match container.names().into_iter().find(|name| !is_known(name)) {
            Some(name) => Err(format!("it holds the tensor {name:?}, which no model has")),
            None => Ok(Self { sdf_bank, rgb_bank }),
        }
    }
}

/// Whether the model measures RGB residuals by a metric of its own.
fn wants_metric(header: &Header) -> bool {
    header.settings.memory.appearance_metric == AppearanceMetric::Mahalanobis
}

pub(super) fn values<const N: usize>(tensors: &mut Tensors, name: &str) -> Result<[f32; N], String> {
    let values = tensors.f32(name)?;
    let found = values.len();
    values.try_into().map_err(|_| format!("the tensor {name:?} must have {N} values, found {found}"))
}

pub(super) fn alignment(tensors: &mut Tensors, header: &Header) -> Result<Alignment, String> {
    let alignment = if header.version == 1 {
        let [a, b] = values(tensors, "alignment")?;
        Alignment { a, b, mean: 0.0, deviation: 1.0 }
    } else {
        let [a, b, mean, deviation] = values(tensors, "alignment")?;
        Alignment { a, b, mean, deviation }
    };
    alignment.check(header.settings.fusion.rule).map_err(|error| error.to_string())
}

pub(super) fn threshold(tensors: &mut Tensors, header: &Header) -> Result<Threshold, String> {
    let [score] = values(tensors, "threshold_score")?;
    let good_scores = tensors.f32("threshold_good_scores")?;
    if !good_scores.is_sorted() || good_scores.is_empty() {
        return Err("the good scores must be ascending and not empty".into());
    }
    Ok(Threshold { score, false_reject_rate: header.false_reject_rate, basis: header.threshold_basis, good_scores })
}

/// The memories, with every index checked.
pub(super) fn memory(tensors: &mut Tensors, layout: Layout, header: &Header) -> Result<DualMemory, String> {
    let Header { provenance, settings, .. } = header;
    let matrix = |[rows, cols]: [usize; 2], values| Matrix::from_vec(rows, cols, values);
    let memory = DualMemory {
        shape: matrix(layout.sdf_bank, tensors.f32("sdf_bank")?).into(),
        shape_sample: tensors.u32("sdf_sample")?,
        appearance: matrix(layout.rgb_bank, tensors.f32("rgb_bank")?).into(),
        appearance_sample: tensors.u32("rgb_sample")?,
        appearance_cell: cells(tensors.u32("rgb_cell")?, settings.image.side_px)?,
        link_starts: tensors.u32("sdf_link_starts")?,
        link_rows: tensors.u32("sdf_link_rows")?,
        typical: typical(tensors, header)?,
        appearance_metric: metric(tensors, layout, header)?,
    };
    for (name, samples) in [("SDF", &memory.shape_sample), ("RGB", &memory.appearance_sample)] {
        if !samples.is_sorted() {
            return Err(format!("the {name} bank's sample numbers are not ascending"));
        }
        // `is_sorted` above makes the last one the largest.
        if samples.last().is_some_and(|last| *last as usize >= provenance.training_scans) {
            return Err(format!(
                "the {name} bank has a feature of sample {}, the model was fitted to {} scans",
                samples[samples.len() - 1],
                provenance.training_scans
            ));
        }
    }
    check_links(&memory)?;
    Ok(memory)
}

fn cells(cells: Vec<u32>, image_side: usize) -> Result<Vec<u16>, String> {
    let count = (image_side / CELL_PX).pow(2);
    if let Some(cell) = cells.iter().find(|cell| **cell as usize >= count) {
        return Err(format!("an RGB feature is of cell {cell}, there are {count}"));
    }
    Ok(cells.into_iter().map(|cell| cell as u16).collect())
}

fn typical(tensors: &mut Tensors, header: &Header) -> Result<Option<TypicalScores>, String> {
    if !TypicalScores::are_wanted(&header.settings.memory) {
        return Ok(None);
    }
    let mut read = |name: &str| match tensors.f32(name)? {
        values if values.iter().any(|value| *value < 0.0) => Err(format!("the tensor {name:?} holds negative scores")),
        values => Ok(Typical::new(values)),
    };
    Ok(Some(TypicalScores {
        distance: read(SDF_TYPICAL_DISTANCE)?,
        residual: read(SDF_TYPICAL_RESIDUAL)?,
        cell: read(RGB_TYPICAL_RESIDUAL)?,
    }))
}

fn metric(tensors: &mut Tensors, layout: Layout, header: &Header) -> Result<Option<ResidualMetric>, String> {
    if !wants_metric(header) {
        return Ok(None);
    }
    let width = layout.rgb_bank[1];
    let whitening = Matrix::from_vec(width, width, tensors.f32(RGB_RESIDUAL_METRIC)?);
    for row in 0..width {
        if whitening.row(row)[row] <= 0.0 || whitening.row(row)[row + 1..].iter().any(|value| *value != 0.0) {
            return Err(format!(
                "the tensor {RGB_RESIDUAL_METRIC:?} must be a lower triangle with a positive diagonal, its row {row} is not"
            ));
        }
    }
    Ok(Some(ResidualMetric::from_whitening(whitening)))
}

fn check_links(memory: &DualMemory) -> Result<(), String> {
    let (starts, rows) = (&memory.link_starts, &memory.link_rows);
    let starts_fit = starts.first() == Some(&0)
        && starts.is_sorted()
        && starts.last().is_some_and(|end| *end as usize == rows.len());
    if !starts_fit || rows.iter().any(|row| *row as usize >= memory.appearance.rows()) {
        return Err("the links between the banks do not fit them".into());
    }
    for (sample, range) in memory.shape_sample.iter().zip(starts.windows(2)) {
        let rows = &rows[range[0] as usize..range[1] as usize];
        if !rows.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err("the links between the banks are not ascending".into());
        }
        // A sample that is left out leaves with all that it knows.
        if rows.iter().any(|row| memory.appearance_sample[*row as usize] != *sample) {
            return Err("a link between the banks leads to a feature of another sample".into());
        }
    }
    Ok(())
}
