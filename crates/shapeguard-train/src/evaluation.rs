//! How good an expert is: the share of the possible improvement that it closes, on patches that it was not trained on
//! (docs/training.md).

use burn::tensor::Device;
use rayon::prelude::*;
use safetensors::SafeTensors;
use serde::Serialize;
use shapeguard_core::seams::ShapeExpert;
use shapeguard_experts::shape::{PointNetNif, WeightPrecision};

use crate::network::{Nif, points_tensor, tensor, values};
use crate::patches::{Prepared, TrainingPatch};
use crate::random;

/// Patches that are evaluated together.
const PATCH_BLOCK: usize = 16;

/// Signed distance and its unit gradient, in a patch's normalised frame.
pub type SignedDistance = Box<dyn Fn([f32; 3]) -> (f32, [f32; 3]) + Send + Sync>;

/// A patch that no training saw, with the true surface that it was measured on.
pub struct HeldBackPatch {
    /// Normalised points, as in [`TrainingPatch`].
    pub points: Vec<[f32; 3]>,
    /// The true surface.
    pub signed_distance: SignedDistance,
}

/// Mean distances of queries to their targets, in units of a patch's largest extent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Number of patches.
    pub patches: usize,
    /// L0: the queries unmoved.
    pub unmoved: f64,
    /// L*: the queries pulled by the true signed distance.
    pub analytic: f64,
    /// L: the queries pulled by the expert.
    pub expert: f64,
    /// (L0 - L) / (L0 - L*).
    pub closed_share: f64,
}

/// Measures an expert on held-back patches: one query for each point of each patch, drawn from `seed`.
pub fn evaluate(expert: &PointNetNif, patches: &[HeldBackPatch], seed: u64) -> Evaluation {
    let device = Device::flex();
    let bytes = expert.to_safetensors(WeightPrecision::F32, &Default::default());
    let file = SafeTensors::deserialize(&bytes).expect("a file that was just written");
    let weight = |name: &str| {
        let view = file.tensor(name).expect("every tensor of the architecture");
        view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let nif = Nif::folded(expert.architecture(), weight, &device);

    let mut sums = [0.0f64; 3];
    let mut count = 0;
    for (block, patches) in
        patches.chunk_by(|a, b| a.points.len() == b.points.len()).flat_map(|same| same.chunks(PATCH_BLOCK)).enumerate()
    {
        let drawn: Vec<_> = patches
            .par_iter()
            .enumerate()
            .map(|(i, patch)| {
                let mut random = random::generator(seed, (block * PATCH_BLOCK + i) as u64);
                let prepared = Prepared::new(TrainingPatch { points: patch.points.clone() });
                prepared.draw(patch.points.len(), &mut random)
            })
            .collect();
        let patch_size = patches[0].points.len();
        let points: Vec<[f32; 3]> = patches.iter().flat_map(|patch| patch.points.iter().copied()).collect();
        let features = expert.encode(&points, patch_size);
        let features = tensor(features.as_slice().to_vec(), patches.len(), features.cols(), &device);
        let queries: Vec<[f32; 3]> = drawn.iter().flat_map(|(queries, _)| queries.iter().copied()).collect();
        let pulled = values(nif.pull(features, points_tensor(&queries, &device)));
        let by_expert = pulled.as_chunks::<3>().0.chunks(patch_size);
        for ((patch, (queries, targets)), by_expert) in patches.iter().zip(&drawn).zip(by_expert) {
            for ((query, target), by_expert) in queries.iter().zip(targets).zip(by_expert) {
                let (distance, gradient) = (patch.signed_distance)(*query);
                let by_truth = [0, 1, 2].map(|axis| query[axis] - distance * gradient[axis]);
                for (sum, moved) in sums.iter_mut().zip([query, &by_truth, by_expert]) {
                    *sum += (0..3).map(|axis| f64::from(moved[axis] - target[axis]).powi(2)).sum::<f64>().sqrt();
                }
                count += 1;
            }
        }
    }
    let [unmoved, analytic, by_expert] = sums.map(|sum| sum / f64::from(count.max(1)));
    Evaluation {
        patches: patches.len(),
        unmoved,
        analytic,
        expert: by_expert,
        closed_share: (unmoved - by_expert) / (unmoved - analytic),
    }
}
