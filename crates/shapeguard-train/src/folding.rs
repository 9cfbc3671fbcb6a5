//! From trainable parameters to an expert for inference: batch norm and weight norm are folded into the weights.

use std::collections::BTreeMap;

use shapeguard_experts::shape::PointNetNif;

use crate::TrainError;
use crate::network::{LayerStatistics, NORM_EPSILON};
use crate::parameters::Parameters;

/// Folds the norms; `statistics` has one entry per encoder layer.
pub(crate) fn fold(parameters: &Parameters, statistics: &[LayerStatistics]) -> Result<PointNetNif, TrainError> {
    let architecture = &parameters.architecture;
    let mut tensors = parameters.list.iter();
    let mut next = || tensors.next().expect("the tensors of the architecture");
    let mut folded = BTreeMap::new();

    let kinds = std::iter::repeat_n("point", architecture.encoder_point.len()).enumerate();
    let kinds = kinds.chain(std::iter::repeat_n("dense", architecture.encoder_dense.len()).enumerate());
    for ((i, kind), statistics) in kinds.zip(statistics) {
        let (weight, scale, shift) = (next(), next(), next());
        let factor: Vec<f32> = scale
            .values
            .iter()
            .zip(&statistics.variance)
            .map(|(scale, variance)| scale / (variance + NORM_EPSILON as f32).sqrt())
            .collect();
        let rows = weight.values.chunks_exact(weight.cols).zip(&factor);
        let values = rows.flat_map(|(row, factor)| row.iter().map(move |x| x * factor)).collect();
        let bias =
            shift.values.iter().zip(&statistics.mean).zip(&factor).map(|((shift, mean), f)| shift - mean * f).collect();
        folded.insert(format!("encoder.{kind}.{i}.weight"), values);
        folded.insert(format!("encoder.{kind}.{i}.bias"), bias);
    }
    for name in ["query", "code"] {
        folded.insert(format!("nif.{name}.weight"), next().values.clone());
        folded.insert(format!("nif.{name}.bias"), next().values.clone());
    }
    let (query, code, bias) = (next(), next(), next());
    let rows = query.values.chunks_exact(query.cols).zip(code.values.chunks_exact(code.cols));
    folded
        .insert("nif.merge.weight".into(), rows.flat_map(|(query, code)| query.iter().chain(code)).copied().collect());
    folded.insert("nif.merge.bias".into(), bias.values.clone());
    for i in 0..architecture.nif_hidden {
        let (direction, length, bias) = (next(), next(), next());
        let rows = direction.values.chunks_exact(direction.cols).zip(&length.values);
        let values = rows
            .flat_map(|(row, length)| {
                let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                row.iter().map(move |x| x * length / norm)
            })
            .collect();
        folded.insert(format!("nif.hidden.{i}.weight"), values);
        folded.insert(format!("nif.hidden.{i}.bias"), bias.values.clone());
    }
    folded.insert("nif.out.weight".into(), next().values.clone());
    folded.insert("nif.out.bias".into(), next().values.clone());
    Ok(PointNetNif::from_tensors(architecture, folded)?)
}
