//! The shape expert on the device: PointNet and NIF, layer by layer, a scan in one submission.
//!
//! As on the CPU, what depends on a patch's feature alone is computed once per patch: the code branch and its half of the
//! merge become a bias for each patch. Points are worked on in chunks of whole patches, so that activations of any
//! scan fit in buffers of [`CHUNK_BYTES`].

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::seams::ShapeExpert;
use shapeguard_experts::shape::{PointNetNif, ShapeArchitecture};
use wgpu::Buffer;

use crate::device::{Gpu, GpuError};
use crate::kernels::{Kernel, POINT_OUTPUTS, THREADS};
use crate::layer::{Groups, Layer, ROW_UNIT, Rows};
use crate::work::{Bindings, Work};

/// Bytes of the activations of one layer, of which there are two at a time. What every device can bind at once is twice
/// as much; the paper's widest layer of a scan takes 150 MB.
const CHUNK_BYTES: usize = 64 << 20;
/// Coordinates of a point.
const COORDINATES: usize = 3;

/// A PointNet and NIF whose weights are on a device.
pub struct GpuShapeExpert {
    gpu: Arc<Gpu>,
    architecture: ShapeArchitecture,
    feature_dim: usize,
    encoder_point: Vec<Layer>,
    encoder_dense: Vec<Layer>,
    query: Layer,
    code: Layer,
    merge_query: Layer,
    merge_code: Layer,
    hidden: Vec<Layer>,
    out: Layer,
}

/// `struct Parameters` of shaders/points.wgsl.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct PointParameters {
    point_stride: u32,
    first: u32,
    output_stride: u32,
    rows: u32,
    outputs: u32,
}

/// `struct Parameters` of shaders/single.wgsl.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct SingleParameters {
    input_stride: u32,
    rows: u32,
    inputs: u32,
    weight_stride: u32,
    first: u32,
}

/// Points on the device, `[3, rows]`: patches of `patch_rows` rows, which are its points and copies of its last one.
struct Points {
    buffer: Buffer,
    stride: usize,
    patches: usize,
    patch_rows: usize,
}

/// Consecutive patches that are worked on together.
struct Chunk {
    first_patch: usize,
    patches: usize,
    /// Rows, filled up to whole tiles.
    rows: usize,
}

impl GpuShapeExpert {
    /// Uploads an expert's weights.
    ///
    /// # Errors
    /// If the device has not enough memory, or failed.
    pub fn new(gpu: &Arc<Gpu>, expert: &PointNetNif) -> Result<Self, GpuError> {
        let architecture = expert.architecture();
        let (shapes, tensors) = (architecture.tensor_shapes(), expert.tensors());
        let mut pairs = shapes.chunks_exact(2).zip(tensors.chunks_exact(2));
        let mut raw = || {
            let (shapes, tensors) = pairs.next().expect("an expert has exactly its architecture's layers");
            (shapes[0].1[1], &tensors[0], &tensors[1])
        };
        let mut layer = || {
            let (inputs, weight, bias) = raw();
            Layer::new(gpu, inputs, weight, bias)
        };
        let mut encoder_point = architecture.encoder_point.iter().map(|_| layer()).collect::<Result<Vec<_>, _>>()?;
        let encoder_dense = architecture.encoder_dense.iter().map(|_| layer()).collect::<Result<_, _>>()?;
        let (query, code) = (layer()?, layer()?);
        if let [only] = &encoder_point[..] {
            // The first layer is no product, and the maximum is the end of one: one more layer changes nothing.
            encoder_point.push(identity(gpu, only.outputs())?);
        }
        let w = architecture.nif_width;
        let (_, merge, merge_bias) = raw();
        let half = |first: usize| -> Vec<f32> {
            merge.chunks_exact(2 * w).flat_map(|row| &row[first..first + w]).copied().collect()
        };
        let merge_query = Layer::new(gpu, w, &half(0), &vec![0.0; w])?;
        let merge_code = Layer::new(gpu, w, &half(w), merge_bias)?;
        let mut layer = || {
            let (inputs, weight, bias) = raw();
            Layer::new(gpu, inputs, weight, bias)
        };
        let hidden = (0..architecture.nif_hidden).map(|_| layer()).collect::<Result<_, _>>()?;
        let out = layer()?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            architecture: architecture.clone(),
            feature_dim: architecture.feature_dim(),
            encoder_point,
            encoder_dense,
            query,
            code,
            merge_query,
            merge_code,
            hidden,
            out,
        })
    }

    fn try_encode(&self, points: &[[f32; 3]], patch_size: usize) -> Result<Matrix, GpuError> {
        let patches = points.len() / patch_size;
        let (first, rest) = self.encoder_point.split_first().expect("at least one point layer");
        let (last, middle) = rest.split_last().expect("`new` sees to a second one");
        let stride = patches.next_multiple_of(ROW_UNIT);
        let features = self.gpu.run::<f32>(|work| {
            let points = Points::upload(work, points, patch_size);
            let pooled = Rows { buffer: work.scratch(last.padded_outputs() * stride), stride };
            work.clear(&pooled.buffer);
            let before_maximum = [first].into_iter().chain(middle);
            let (chunks, buffers) = points.chunks(work, before_maximum.map(Layer::padded_outputs));
            for chunk in &chunks {
                let rows = points.first_layer(work, first, chunk, &buffers[0]);
                let rows = forward_all(work, middle, rows, &buffers);
                last.forward_maximum(work, &rows, points.groups(chunk), &pooled);
            }
            let widest = self.encoder_dense.iter().map(Layer::padded_outputs).max().unwrap_or_default();
            let dense = [work.scratch(widest * stride), work.scratch(widest * stride)];
            let features = forward_all(work, &self.encoder_dense, pooled, &dense);
            (features.buffer, self.feature_dim * stride)
        })?;
        Ok(transposed(&features, self.feature_dim, stride, patches))
    }

    fn try_signed_distances(
        &self,
        features: &Matrix,
        queries: &[[f32; 3]],
        patch_size: usize,
    ) -> Result<Vec<f32>, GpuError> {
        let patches = features.rows();
        let patch_rows = patch_size.next_multiple_of(4);
        let distances = self.gpu.run::<f32>(|work| {
            // What the features add to the merge.
            let stride = patches.next_multiple_of(ROW_UNIT);
            let codes = Rows { buffer: upload_transposed(work, features, self.code.inputs(), stride), stride };
            let hidden_codes = work.scratch(self.code.padded_outputs() * stride);
            self.code.forward(work, &codes, false, &hidden_codes);
            let merge_bias = Rows { buffer: work.scratch(self.merge_code.padded_outputs() * stride), stride };
            self.merge_code.forward(work, &Rows { buffer: hidden_codes, stride }, true, &merge_bias.buffer);

            let points = Points::upload(work, queries, patch_size);
            let distances = work.scratch(points.stride);
            let (chunks, buffers) = points.chunks(work, [self.query.padded_outputs()]);
            for chunk in &chunks {
                let rows = points.first_layer(work, &self.query, chunk, &buffers[0]);
                self.merge_query.forward_grouped(work, &rows, points.groups(chunk), &merge_bias, &buffers[1]);
                let rows = Rows { buffer: buffers[1].clone(), stride: rows.stride };
                let rows = forward_all(work, &self.hidden, rows, &buffers);
                let parameters = SingleParameters {
                    input_stride: (rows.stride / 4) as u32,
                    rows: (chunk.patches * patch_rows / 4) as u32,
                    inputs: self.out.inputs() as u32,
                    weight_stride: self.out.padded_outputs() as u32,
                    first: (chunk.first_patch * patch_rows / 4) as u32,
                };
                let inputs = [&rows.buffer, self.out.weights(), self.out.bias()];
                let groups = [(chunk.rows / 4).div_ceil(THREADS) as u32, 1, 1];
                work.dispatch(Kernel::Single, &parameters, Bindings { inputs: &inputs, output: &distances }, groups);
            }
            (distances, patches * patch_rows)
        })?;
        Ok(distances.chunks_exact(patch_rows).flat_map(|patch| &patch[..patch_size]).copied().collect())
    }
}

impl ShapeExpert for GpuShapeExpert {
    fn feature_dim(&self) -> usize {
        self.feature_dim
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

    /// Not numbers where the device fails.
    fn encode(&self, points: &[[f32; 3]], patch_size: usize) -> Matrix {
        if points.is_empty() {
            return Matrix::zeros(0, self.feature_dim);
        }
        assert!(patch_size > 0 && points.len().is_multiple_of(patch_size), "points must come in whole patches");
        self.try_encode(points, patch_size).unwrap_or_else(|_| {
            let patches = points.len() / patch_size;
            Matrix::from_vec(patches, self.feature_dim, vec![f32::NAN; patches * self.feature_dim])
        })
    }

    /// Not numbers where the device fails.
    fn signed_distances(&self, features: &Matrix, queries: &[[f32; 3]], patch_size: usize) -> Vec<f32> {
        assert_eq!(queries.len(), features.rows() * patch_size, "each feature needs {patch_size} queries");
        if queries.is_empty() {
            return Vec::new();
        }
        assert_eq!(features.cols(), self.feature_dim, "features of another expert");
        self.try_signed_distances(features, queries, patch_size).unwrap_or_else(|_| vec![f32::NAN; queries.len()])
    }
}

impl Points {
    fn upload(work: &mut Work, points: &[[f32; 3]], patch_size: usize) -> Self {
        let patch_rows = patch_size.next_multiple_of(4);
        let patches = points.len() / patch_size;
        let stride = (patches * patch_rows).next_multiple_of(ROW_UNIT);
        let mut values = vec![0.0f32; COORDINATES * stride];
        for (axis, values) in values.chunks_exact_mut(stride).enumerate() {
            for (patch, values) in points.chunks_exact(patch_size).zip(values.chunks_exact_mut(patch_rows)) {
                for (row, value) in values.iter_mut().enumerate() {
                    *value = patch[row.min(patch_size - 1)][axis];
                }
            }
        }
        Self { buffer: work.upload(&values), stride, patches, patch_rows }
    }

    /// Divides the patches into chunks, and makes the two buffers that hold a chunk's activations of the widest layer.
    fn chunks(&self, work: &mut Work, widths: impl IntoIterator<Item = usize>) -> (Vec<Chunk>, [Buffer; 2]) {
        let width = widths.into_iter().max().unwrap_or_default().max(1);
        let most = CHUNK_BYTES / size_of::<f32>() / width / ROW_UNIT * ROW_UNIT;
        let patches = (most / self.patch_rows).clamp(1, self.patches);
        let rows_of = |patches: usize| (patches * self.patch_rows).next_multiple_of(ROW_UNIT);
        let chunks = (0..self.patches).step_by(patches).map(|first_patch| {
            let patches = patches.min(self.patches - first_patch);
            Chunk { first_patch, patches, rows: rows_of(patches) }
        });
        let values = rows_of(patches) * width;
        (chunks.collect(), [work.scratch(values), work.scratch(values)])
    }

    fn groups(&self, chunk: &Chunk) -> Groups {
        Groups { rows: self.patch_rows, first: chunk.first_patch, count: self.patches }
    }

    /// The first layer at a chunk's points.
    fn first_layer(&self, work: &mut Work, layer: &Layer, chunk: &Chunk, output: &Buffer) -> Rows {
        let first = chunk.first_patch * self.patch_rows;
        let parameters = PointParameters {
            point_stride: (self.stride / 4) as u32,
            first: (first / 4) as u32,
            output_stride: (chunk.rows / 4) as u32,
            rows: (chunk.rows / 4) as u32,
            outputs: layer.padded_outputs() as u32,
        };
        let inputs = [&self.buffer, layer.weights(), layer.bias()];
        let groups = [(chunk.rows / 4).div_ceil(THREADS) as u32, (layer.padded_outputs() / POINT_OUTPUTS) as u32, 1];
        work.dispatch(Kernel::Points, &parameters, Bindings { inputs: &inputs, output }, groups);
        Rows { buffer: output.clone(), stride: chunk.rows }
    }
}

/// A layer that changes nothing that is not negative.
fn identity(gpu: &Gpu, width: usize) -> Result<Layer, GpuError> {
    let mut weight = vec![0.0; width * width];
    weight.iter_mut().step_by(width + 1).for_each(|value| *value = 1.0);
    Layer::new(gpu, width, &weight, &vec![0.0; width])
}

/// Layer after layer, each with ReLU, in two buffers by turns, neither of which the first layer's input lies in unless it
/// is one of them.
fn forward_all(work: &mut Work, layers: &[Layer], input: Rows, buffers: &[Buffer; 2]) -> Rows {
    layers.iter().fold(input, |input, layer| {
        let output = if input.buffer == buffers[0] { &buffers[1] } else { &buffers[0] };
        layer.forward(work, &input, false, output);
        Rows { buffer: output.clone(), stride: input.stride }
    })
}

/// Uploads `[rows, cols]` as `[cols, rows]`, columns filled up to whole tiles' inputs, rows to `stride`.
fn upload_transposed(work: &mut Work, matrix: &Matrix, cols: usize, stride: usize) -> Buffer {
    let mut values = vec![0.0f32; cols.next_multiple_of(crate::kernels::TILE_K) * stride];
    for row in 0..matrix.rows() {
        for (col, value) in matrix.row(row).iter().enumerate() {
            values[col * stride + row] = *value;
        }
    }
    work.upload(&values)
}

/// `[cols, stride]` as a matrix `[rows, cols]`.
fn transposed(values: &[f32], cols: usize, stride: usize, rows: usize) -> Matrix {
    let mut matrix = Matrix::zeros(rows, cols);
    for row in 0..rows {
        for (col, value) in matrix.row_mut(row).iter_mut().enumerate() {
            *value = values[col * stride + row];
        }
    }
    matrix
}
