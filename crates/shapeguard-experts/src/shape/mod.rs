//! The shape expert: a PointNet encoder and a neural implicit function (NIF), on a CPU.
//!
//! Source: paper section 3.2 and docs/method.md, "Shape expert". Inference only: batch norm and weight norm are folded
//! into the weights by whoever writes the file ([`WEIGHT_FORMAT`]). What depends on a patch's feature alone is
//! evaluated once per patch instead of once per query point, which the paper's formula does not ask for but
//! allows; `tests::hoisting_changes_nothing` pins that it is the same function.

mod architecture;
mod layer;
mod weight_file;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use shapeguard_core::matrix::{Matrix, dot};
use shapeguard_core::seams::ShapeExpert;

pub use architecture::{ArchitectureError, ShapeArchitecture};
pub use weight_file::{FORMAT as WEIGHT_FORMAT, ShapeWeightsError, VERSION as WEIGHT_VERSION, WeightPrecision};

use architecture::COORDINATES;
use layer::{Buffer, Finish, Layer, Rows, Step, forward_all};

use crate::simd::Simd;

/// Names that [`builtin`] knows.
pub const BUILTIN_NAMES: [&str; 2] = ["paper", "compact"];

/// Points that are evaluated together, layer by layer: half a patch of the paper, rounded up to whole register tiles, so
/// that activations stay in the cache while the weights stream by (measured with examples/shape_timing.rs: 120
/// rows are 4 % slower, 504 no faster).
const ROW_BLOCK: usize = 252;
/// Features that one task evaluates in layers whose rows are patches: four register tiles.
const FEATURE_BLOCK: usize = 48;

/// PointNet and NIF with fixed weights.
pub struct PointNetNif {
    architecture: ShapeArchitecture,
    encoder_point: Vec<Layer>,
    encoder_dense: Vec<Layer>,
    nif: Nif,
    provenance: BTreeMap<String, String>,
    sha256: String,
    simd: Simd,
}

/// The neural implicit function: `h = relu(W3 [relu(W2 q); relu(W1 f)])`, hidden layers, one output.
struct Nif {
    /// W2, for the query point.
    query: Layer,
    /// W1, for the patch's feature.
    code: Layer,
    /// W3's columns for the query branch; its bias is replaced by `merge_code`'s result.
    merge_query: Layer,
    /// W3's columns for the code branch, with W3's bias.
    merge_code: Layer,
    hidden: Vec<Layer>,
    out_weight: Vec<f32>,
    out_bias: f32,
}

/// A shape expert whose weights are part of this crate; `None` for a name not in [`BUILTIN_NAMES`].
pub fn builtin(name: &str) -> Option<PointNetNif> {
    let bytes: &[u8] = match name {
        "paper" => include_bytes!("../../weights/shape-paper.safetensors"),
        "compact" => include_bytes!("../../weights/shape-compact.safetensors"),
        _ => return None,
    };
    Some(PointNetNif::from_safetensors(bytes).expect("the embedded weights are read by the tests"))
}

impl PointNetNif {
    /// Reads a weight file.
    ///
    /// # Errors
    /// If the file is damaged, foreign, of another version, incomplete, or holds anything but finite weights of the
    /// architecture that it states.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, ShapeWeightsError> {
        let file = weight_file::read(bytes)?;
        let digest = Sha256::digest(bytes);
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self::assemble(file, sha256))
    }

    /// An expert with the given weights, named and shaped as [`ShapeArchitecture::tensor_shapes`] says, row by row.
    ///
    /// # Errors
    /// As for [`Self::from_safetensors`].
    pub fn from_tensors(
        architecture: &ShapeArchitecture,
        mut tensors: BTreeMap<String, Vec<f32>>,
    ) -> Result<Self, ShapeWeightsError> {
        architecture.check()?;
        let mut ordered = Vec::new();
        for (name, expected) in architecture.tensor_shapes() {
            let Some(values) = tensors.remove(&name) else {
                return Err(ShapeWeightsError::MissingTensor { name });
            };
            if values.len() != expected.iter().product::<usize>() {
                return Err(ShapeWeightsError::Shape { name, expected, found: vec![values.len()] });
            }
            ordered.push(values);
        }
        if let Some((name, _)) = tensors.pop_first() {
            return Err(ShapeWeightsError::ExtraTensor { name });
        }
        Self::from_safetensors(&weight_file::write(architecture, &ordered, WeightPrecision::F32, &BTreeMap::new()))
    }

    /// The weights as a file. `provenance` is stored beside them, except keys that the format itself uses.
    pub fn to_safetensors(&self, precision: WeightPrecision, provenance: &BTreeMap<String, String>) -> Vec<u8> {
        weight_file::write(&self.architecture, &self.tensors(), precision, provenance)
    }

    /// Layer widths.
    pub fn architecture(&self) -> &ShapeArchitecture {
        &self.architecture
    }

    /// Where the weights come from, as the file tells: `trained_on`, `loss` and the like.
    pub fn provenance(&self) -> &BTreeMap<String, String> {
        &self.provenance
    }

    /// SHA-256 of the file that the weights came from, in hexadecimal; for other origins, of their single-precision file
    /// without provenance.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    fn assemble(file: weight_file::WeightFile, sha256: String) -> Self {
        let architecture = file.architecture;
        let shapes = architecture.tensor_shapes();
        let mut layers = shapes.chunks_exact(2).zip(file.tensors.chunks_exact(2)).map(|(shapes, tensors)| {
            let [weight, bias] = tensors else { unreachable!("pairs") };
            (shapes[0].1[1], shapes[0].1[0], weight, bias)
        });
        let mut raw = || layers.next().expect("the file holds exactly the architecture's layers");
        let packed = |(inputs, outputs, weight, bias): (usize, usize, &Vec<f32>, &Vec<f32>)| {
            Layer::new(inputs, outputs, weight, bias)
        };
        let encoder_point = architecture.encoder_point.iter().map(|_| packed(raw())).collect();
        let encoder_dense = architecture.encoder_dense.iter().map(|_| packed(raw())).collect();
        let query = packed(raw());
        let code = packed(raw());
        let (_, w, merge, merge_bias) = raw();
        let half = |first: usize| merge.chunks_exact(2 * w).flat_map(|row| &row[first..first + w]).copied().collect();
        let (for_query, for_code): (Vec<f32>, Vec<f32>) = (half(0), half(w));
        let merge_query = Layer::new(w, w, &for_query, &vec![0.0; w]);
        let merge_code = Layer::new(w, w, &for_code, merge_bias);
        let hidden = (0..architecture.nif_hidden).map(|_| packed(raw())).collect();
        let (_, _, out_weight, out_bias) = raw();
        let nif =
            Nif { query, code, merge_query, merge_code, hidden, out_weight: out_weight.clone(), out_bias: out_bias[0] };
        let simd = Simd::detect();
        Self { architecture, encoder_point, encoder_dense, nif, provenance: file.provenance, sha256, simd }
    }

    /// The weights in the order of [`ShapeArchitecture::tensor_shapes`], each row by row: for those who run the expert
    /// elsewhere.
    pub fn tensors(&self) -> Vec<Vec<f32>> {
        let nif = &self.nif;
        let mut tensors = Vec::new();
        let mut push = |layer: &Layer| tensors.extend([layer.weight_rows(), layer.bias()[..layer.outputs()].to_vec()]);
        self.encoder_point.iter().chain(&self.encoder_dense).chain([&nif.query, &nif.code]).for_each(&mut push);
        let w = self.architecture.nif_width;
        let (for_query, for_code) = (nif.merge_query.weight_rows(), nif.merge_code.weight_rows());
        let rows = for_query.chunks_exact(w).zip(for_code.chunks_exact(w));
        let merge = rows.flat_map(|(query, code)| query.iter().chain(code)).copied().collect();
        tensors.extend([merge, nif.merge_code.bias()[..w].to_vec()]);
        let mut push = |layer: &Layer| tensors.extend([layer.weight_rows(), layer.bias()[..layer.outputs()].to_vec()]);
        nif.hidden.iter().for_each(&mut push);
        tensors.extend([nif.out_weight.clone(), vec![nif.out_bias]]);
        tensors
    }

    /// The maximum over the points of one patch, after the shared layers; `pooled` starts at zero.
    fn encode_points(&self, points: &[[f32; 3]], buffers: &mut [Buffer; 2], pooled: &mut [f32]) {
        let (last, before) = self.encoder_point.split_last().expect("at least one point layer");
        for block in points.chunks(ROW_BLOCK) {
            let points = Rows { values: block.as_flattened(), stride: COORDINATES, count: block.len() };
            let rows = forward_all(self.simd, before.iter().map(Step::relu), points, buffers);
            last.forward(self.simd, rows, last.bias(), Finish::MaxRelu, pooled);
        }
    }

    /// Signed distances at query points of one patch; `merge_bias` is what the patch's feature adds to the merge.
    fn patch_distances(&self, merge_bias: &[f32], queries: &[[f32; 3]], buffers: &mut [Buffer; 2], out: &mut [f32]) {
        let nif = &self.nif;
        for (block, out) in queries.chunks(ROW_BLOCK).zip(out.chunks_mut(ROW_BLOCK)) {
            let points = Rows { values: block.as_flattened(), stride: COORDINATES, count: block.len() };
            let merge = Step { layer: &nif.merge_query, bias: merge_bias, finish: Finish::Relu };
            let steps = [Step::relu(&nif.query), merge].into_iter().chain(nif.hidden.iter().map(Step::relu));
            let rows = forward_all(self.simd, steps, points, buffers);
            for (distance, row) in out.iter_mut().zip(rows.values.chunks_exact(rows.stride)) {
                *distance = nif.out_bias + dot(&row[..nif.out_weight.len()], &nif.out_weight);
            }
        }
    }

    /// Applies layers to rows `[n, d]`, one row per patch.
    fn forward_features(&self, steps: &[Step], input: &Matrix) -> Matrix {
        let width = steps.last().map_or(input.cols(), |step| step.layer.outputs());
        let in_width = input.cols();
        let mut out = Matrix::zeros(input.rows(), width);
        let blocks = out.as_mut_slice().par_chunks_mut(FEATURE_BLOCK * width);
        blocks.zip(input.as_slice().par_chunks(FEATURE_BLOCK * in_width)).for_each(|(out, input)| {
            let rows = Rows { values: input, stride: in_width, count: input.len() / in_width };
            let mut buffers = scratch(rows.count, steps.iter().map(|step| step.layer));
            let rows = forward_all(self.simd, steps.iter().copied(), rows, &mut buffers);
            for (out, row) in out.chunks_exact_mut(width).zip(rows.values.chunks_exact(rows.stride)) {
                out.copy_from_slice(&row[..width]);
            }
        });
        out
    }
}

/// Two buffers for `rows` rows of the widest of `layers`.
fn scratch<'a>(rows: usize, layers: impl IntoIterator<Item = &'a Layer>) -> [Buffer; 2] {
    let widest = layers.into_iter().map(Layer::stride).max().unwrap_or(0);
    [Buffer::zeros(rows * widest), Buffer::zeros(rows * widest)]
}

impl ShapeExpert for PointNetNif {
    fn feature_dim(&self) -> usize {
        self.architecture.feature_dim()
    }

    fn parameters(&self) -> Option<usize> {
        Some(self.architecture.parameters())
    }

    fn encode_multiply_adds(&self, patch_size: usize) -> Option<usize> {
        Some(self.architecture.encoder_multiply_adds(patch_size))
    }

    fn distance_multiply_adds(&self, patch_size: usize) -> Option<usize> {
        Some(self.architecture.patch_multiply_adds(patch_size))
    }

    fn encode(&self, points: &[[f32; 3]], patch_size: usize) -> Matrix {
        if points.is_empty() {
            return Matrix::zeros(0, self.feature_dim());
        }
        assert!(patch_size > 0 && points.len().is_multiple_of(patch_size), "points must come in whole patches");
        let pooled_dim = self.encoder_point.last().expect("at least one point layer").stride();
        let mut pooled = Matrix::zeros(points.len() / patch_size, pooled_dim);
        pooled.as_mut_slice().par_chunks_mut(pooled_dim).zip(points.par_chunks(patch_size)).for_each_init(
            || scratch(ROW_BLOCK, &self.encoder_point[..self.encoder_point.len() - 1]),
            |buffers, (pooled, points)| self.encode_points(points, buffers, pooled),
        );
        let steps: Vec<_> = self.encoder_dense.iter().map(Step::relu).collect();
        self.forward_features(&steps, &pooled)
    }

    fn signed_distances(&self, features: &Matrix, queries: &[[f32; 3]], patch_size: usize) -> Vec<f32> {
        assert_eq!(queries.len(), features.rows() * patch_size, "each feature needs {patch_size} queries");
        if queries.is_empty() {
            return Vec::new();
        }
        assert_eq!(features.cols(), self.feature_dim(), "features of another expert");
        let nif = &self.nif;
        let steps = [Step::relu(&nif.code), Step { finish: Finish::Linear, ..Step::relu(&nif.merge_code) }];
        let merge = self.forward_features(&steps, features);
        let mut distances = vec![0.0; queries.len()];
        let patches = distances.par_chunks_mut(patch_size).zip(queries.par_chunks(patch_size)).enumerate();
        patches.for_each_init(
            || (scratch(ROW_BLOCK, [&nif.query]), vec![0.0; nif.merge_query.stride()]),
            |(buffers, merge_bias), (patch, (distances, queries))| {
                merge_bias[..merge.cols()].copy_from_slice(merge.row(patch));
                self.patch_distances(merge_bias, queries, buffers, distances);
            },
        );
        distances
    }
}
