//! The trainable numbers of a shape expert, by name, and how they start (docs/method.md, "Training the shape expert").
//!
//! They live in plain vectors between steps, so that a checkpoint is a list of vectors; the tensor framework sees them
//! for the length of one step ([`crate::network`]). The biases that the published encoder has before each batch norm
//! are left out: the norm subtracts them again, so that they never have an effect.

use std::f32::consts::{PI, SQRT_2};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use shapeguard_experts::shape::ShapeArchitecture;

use crate::random;

/// Coordinates of a point.
pub(crate) const COORDINATES: usize = 3;
/// Bias of the signed distance at the start: minus the radius of the sphere that the geometric start describes, in
/// units of a patch's largest extent (reference value).
const OUTPUT_BIAS: f32 = -0.5;
/// Deviation of the output weights at the start (reference value).
const OUTPUT_DEVIATION: f32 = 1e-6;

/// One tensor `[rows, cols]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) values: Vec<f32>,
}

/// All trainable tensors, in the order of the layers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameters {
    pub(crate) architecture: ShapeArchitecture,
    pub(crate) list: Vec<Parameter>,
}

/// How a tensor starts.
#[derive(Clone, Copy)]
enum Start {
    Uniform(f32),
    Normal {
        mean: f32,
        deviation: f32,
    },
    Constant(f32),
    /// The Euclidean length of each row of the tensor before.
    RowLengths,
}

impl Parameters {
    /// The start of training: PyTorch's default for the encoder and the first layers of query and code, the geometric
    /// start for the rest.
    pub(crate) fn new(architecture: &ShapeArchitecture, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut list: Vec<Parameter> = Vec::new();
        for (name, rows, cols, start) in layout(architecture) {
            let values = match start {
                Start::Uniform(bound) => {
                    (0..rows * cols).map(|_| bound * (2.0 * random::uniform(&mut random) - 1.0)).collect()
                }
                Start::Normal { mean, deviation } => {
                    (0..rows * cols).map(|_| mean + deviation * random::normal(&mut random)).collect()
                }
                Start::Constant(value) => vec![value; rows * cols],
                Start::RowLengths => {
                    let direction = list.last().expect("lengths follow their directions");
                    let squared = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>();
                    direction.values.chunks_exact(direction.cols).map(|row| squared(row).sqrt()).collect()
                }
            };
            list.push(Parameter { name, rows, cols, values });
        }
        Self { architecture: architecture.clone(), list }
    }

    /// Number of trainable numbers.
    pub(crate) fn count(&self) -> usize {
        self.list.iter().map(|parameter| parameter.values.len()).sum()
    }

    /// Number of parameters as the paper's authors count: with the biases before batch norm.
    #[cfg(test)]
    fn published_count(&self) -> usize {
        let architecture = &self.architecture;
        self.count() + architecture.encoder_point.iter().chain(&architecture.encoder_dense).sum::<usize>()
    }
}

/// Name, rows, columns and start of every tensor.
fn layout(architecture: &ShapeArchitecture) -> Vec<(String, usize, usize, Start)> {
    let mut layout = Vec::new();
    let mut inputs = COORDINATES;
    let point = architecture.encoder_point.iter().map(|outputs| ("point", outputs)).enumerate();
    let dense = architecture.encoder_dense.iter().map(|outputs| ("dense", outputs)).enumerate();
    for (i, (kind, outputs)) in point.chain(dense) {
        let name = |tensor: &str| format!("encoder.{kind}.{i}.{tensor}");
        layout.push((name("weight"), *outputs, inputs, Start::Uniform(1.0 / (inputs as f32).sqrt())));
        layout.push((name("scale"), 1, *outputs, Start::Constant(1.0)));
        layout.push((name("shift"), 1, *outputs, Start::Constant(0.0)));
        inputs = *outputs;
    }
    let w = architecture.nif_width;
    for (name, inputs) in [("nif.query", COORDINATES), ("nif.code", architecture.feature_dim())] {
        let bound = Start::Uniform(1.0 / (inputs as f32).sqrt());
        layout.push((format!("{name}.weight"), w, inputs, bound));
        layout.push((format!("{name}.bias"), 1, w, bound));
    }
    let geometric = Start::Normal { mean: 0.0, deviation: SQRT_2 / (w as f32).sqrt() };
    layout.push(("nif.merge.query".into(), w, w, geometric));
    layout.push(("nif.merge.code".into(), w, w, geometric));
    layout.push(("nif.merge.bias".into(), 1, w, Start::Constant(0.0)));
    for i in 0..architecture.nif_hidden {
        layout.push((format!("nif.hidden.{i}.direction"), w, w, geometric));
        layout.push((format!("nif.hidden.{i}.length"), w, 1, Start::RowLengths));
        layout.push((format!("nif.hidden.{i}.bias"), 1, w, Start::Constant(0.0)));
    }
    let mean = 2.0 * PI.sqrt() / (w as f32).sqrt();
    layout.push(("nif.out.weight".into(), 1, w, Start::Normal { mean, deviation: OUTPUT_DEVIATION }));
    layout.push(("nif.out.bias".into(), 1, 1, Start::Constant(OUTPUT_BIAS)));
    layout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_expert_has_the_published_number_of_parameters() {
        let parameters = Parameters::new(&ShapeArchitecture::paper(), 0);
        assert_eq!(parameters.published_count(), 3_170_433);
        // The published encoder alone: 734,848.
        let encoder: usize =
            parameters.list.iter().filter(|p| p.name.starts_with("encoder")).map(|p| p.values.len()).sum();
        assert_eq!(encoder + 64 + 128 + 1024 + 512 + 128, 734_848);
    }

    #[test]
    fn weight_norm_starts_at_the_geometric_weights() {
        let parameters = Parameters::new(&ShapeArchitecture::compact(), 1);
        let find = |name: &str| parameters.list.iter().find(|p| p.name == name).unwrap();
        let (direction, length) = (find("nif.hidden.0.direction"), find("nif.hidden.0.length"));
        let expected: f32 = direction.values[..96].iter().map(|x| x * x).sum();
        assert_eq!(length.values[0], expected.sqrt());
    }
}
