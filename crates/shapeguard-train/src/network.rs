//! The shape expert as tensors: PointNet encoder with batch norm, neural implicit function (NIF), and the pull of query
//! points to the surface (paper section 3.2; Ma et al., "Neural-Pull", 2021; docs/method.md, "Training the shape expert").
//!
//! Three rearrangements change the work and not the function:
//! - the gradient `ds/dq` of a ReLU network is a chain of matrix products with masks, written out here as part of the
//!   forward pass, so that first-order differentiation trains it (`tests::the_chain_is_the_gradient`);
//! - batch norm is an affine map, and the statistics of `W h` follow from mean and covariance of the narrower `h`, so
//!   that the wide product before the maximum is never normalised point by point (`tests::statistics_are_those_of_the_layer`);
//! - on the CPU, the last shared layer is differentiated only at the points that win the maximum, the only ones whose
//!   gradient is not zero ([`crate::pooling`]).

use burn::tensor::{Device, Int, Tensor, TensorData};
use shapeguard_experts::shape::ShapeArchitecture;

use crate::parameters::{COORDINATES, Parameters};
use crate::patches::Batch;
use crate::pooling::winners;
use crate::training::EncoderInput;

/// Added to a variance (PyTorch's default for batch norm).
pub(crate) const NORM_EPSILON: f64 = 1e-5;
/// Added to a squared length before its root, so that its derivative stays finite (reference value).
const LENGTH_EPSILON: f64 = 1e-12;

/// Mean and variance of each output of one encoder layer, before its batch norm.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LayerStatistics {
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// The same where it was computed, `[1, outputs]` each.
pub(crate) struct Moments {
    mean: Tensor<2>,
    variance: Tensor<2>,
}

/// How the maximum over a patch's points is differentiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// At the points that win it, which the host finds: by far less work on a CPU.
    Winners,
    /// At all points, as the framework does it. A GPU does that work in less time than the host takes to see the layer.
    Points,
}

/// The parameters as tensors of one device.
pub(crate) struct Leaves {
    pub(crate) architecture: ShapeArchitecture,
    pub(crate) tensors: Vec<Tensor<2>>,
    pub(crate) pooling: Pooling,
}

/// `x W^T + b`.
#[derive(Clone)]
struct Affine {
    /// `[outputs, inputs]`
    weight: Tensor<2>,
    /// `[1, outputs]`
    bias: Tensor<2>,
}

/// The NIF with weight norm resolved.
pub(crate) struct Nif {
    query: Affine,
    code: Affine,
    /// `[w, w]`, for the query's branch.
    merge_query: Tensor<2>,
    /// For the code's branch, with the merge's bias.
    merge_code: Affine,
    hidden: Vec<Affine>,
    out: Affine,
}

/// What the NIF says of query points.
pub(crate) struct Field {
    /// Signed distances `[n, 1]`.
    pub(crate) distance: Tensor<2>,
    /// Their gradients with respect to the queries `[n, 3]`.
    pub(crate) gradient: Tensor<2>,
}

/// A tensor `[rows, cols]` of the given values.
pub(crate) fn tensor(values: Vec<f32>, rows: usize, cols: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, [rows, cols]), device)
}

/// The values of a tensor, row by row.
pub(crate) fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a tensor of single precision on the CPU")
}

/// Points as a tensor `[n, 3]`.
pub(crate) fn points_tensor(points: &[[f32; 3]], device: &Device) -> Tensor<2> {
    tensor(points.as_flattened().to_vec(), points.len(), COORDINATES, device)
}

impl Moments {
    fn new(mean: &Tensor<2>, variance: &Tensor<2>) -> Self {
        Self { mean: mean.clone().detach(), variance: variance.clone().detach() }
    }

    pub(crate) fn read(self) -> LayerStatistics {
        LayerStatistics { mean: values(self.mean), variance: values(self.variance) }
    }
}

impl Affine {
    fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.clone().transpose()) + self.bias.clone()
    }
}

impl Leaves {
    /// Copies the parameters; with gradients if the device differentiates.
    pub(crate) fn new(parameters: &Parameters, device: &Device) -> Self {
        let leaf = |values: &[f32], rows, cols| {
            let tensor = tensor(values.to_vec(), rows, cols, device);
            if device.is_autodiff() { tensor.require_grad() } else { tensor }
        };
        let tensors = parameters.list.iter().map(|p| leaf(&p.values, p.rows, p.cols)).collect();
        Self { architecture: parameters.architecture.clone(), tensors, pooling: Pooling::Winners }
    }

    /// The gradient of each parameter, in their order.
    pub(crate) fn gradients(&self, loss: &Tensor<1>) -> Vec<Tensor<2>> {
        let mut gradients = loss.backward();
        let zero = |leaf: &Tensor<2>| Tensor::zeros(leaf.dims(), &leaf.device().inner());
        self.tensors.iter().map(|leaf| leaf.grad_remove(&mut gradients).unwrap_or_else(|| zero(leaf))).collect()
    }

    /// Features of patches, normalised by the statistics of these patches themselves, and those statistics.
    ///
    /// # Shapes
    /// - `points`: `n_patches * patch_size` points
    /// - result: `[n_patches, feature_dim]`, one entry per encoder layer
    pub(crate) fn encode(&self, points: &[[f32; 3]], patch_size: usize, device: &Device) -> (Tensor<2>, Vec<Moments>) {
        let n_point = self.architecture.encoder_point.len();
        let n_dense = self.architecture.encoder_dense.len();
        let mut statistics = Vec::new();
        let mut h = points_tensor(points, device);
        for i in 0..n_point - 1 {
            let (affine, layer) = self.normalised(i, &h);
            statistics.push(layer);
            h = burn::tensor::activation::relu(affine.apply(h));
        }
        let (affine, layer) = self.normalised(n_point - 1, &h);
        statistics.push(layer);
        let mut f = burn::tensor::activation::relu(maximum_over_points(h, &affine, patch_size, self.pooling));
        for i in n_point..n_point + n_dense {
            let [weight, scale, shift] = self.encoder_layer(i);
            let x = f.matmul(weight.transpose());
            let mean = x.clone().mean_dim(0);
            let centred = x - mean.clone();
            let variance = centred.clone().square().mean_dim(0);
            statistics.push(Moments::new(&mean, &variance));
            let factor = scale / (variance + NORM_EPSILON).sqrt();
            f = burn::tensor::activation::relu(centred * factor + shift);
        }
        (f, statistics)
    }

    /// Batch norm and the linear layer before it as one affine map, for rows `h` `[n, inputs]`.
    fn normalised(&self, layer: usize, h: &Tensor<2>) -> (Affine, Moments) {
        let [weight, scale, shift] = self.encoder_layer(layer);
        let n = h.dims()[0] as f64;
        let mean = h.clone().mean_dim(0);
        let centred = h.clone() - mean.clone();
        let covariance = centred.clone().transpose().matmul(centred) / n;
        let variance = (weight.clone().matmul(covariance) * weight.clone()).sum_dim(1).transpose();
        let output_mean = mean.clone().matmul(weight.clone().transpose());
        let statistics = Moments::new(&output_mean, &variance);
        let factor = scale / (variance + NORM_EPSILON).sqrt();
        let bias = shift - output_mean * factor.clone();
        (Affine { weight: weight * factor.transpose(), bias }, statistics)
    }

    /// Weight, scale and shift of an encoder layer, counted from the input.
    fn encoder_layer(&self, layer: usize) -> [Tensor<2>; 3] {
        [0, 1, 2].map(|tensor| self.tensors[3 * layer + tensor].clone())
    }

    /// The NIF's layers.
    pub(crate) fn nif(&self) -> Nif {
        let first = 3 * (self.architecture.encoder_point.len() + self.architecture.encoder_dense.len());
        let mut rest = self.tensors[first..].iter().cloned();
        let mut next = || rest.next().expect("the tensors of the architecture");
        let query = Affine { weight: next(), bias: next() };
        let code = Affine { weight: next(), bias: next() };
        let merge_query = next();
        let merge_code = Affine { weight: next(), bias: next() };
        let hidden = (0..self.architecture.nif_hidden)
            .map(|_| {
                let (direction, length, bias) = (next(), next(), next());
                let norm = direction.clone().square().sum_dim(1).sqrt();
                Affine { weight: direction * (length / norm), bias }
            })
            .collect();
        let out = Affine { weight: next(), bias: next() };
        Nif { query, code, merge_query, merge_code, hidden, out }
    }
}

/// The largest value of an affine layer over each patch's points: `[n_patches, outputs]`.
fn maximum_over_points(h: Tensor<2>, affine: &Affine, patch_size: usize, pooling: Pooling) -> Tensor<2> {
    let [n, inputs] = h.dims();
    let [outputs, _] = affine.weight.dims();
    let patches = n / patch_size;
    if pooling == Pooling::Points {
        let product = h.matmul(affine.weight.clone().transpose()).reshape([patches, patch_size, outputs]);
        return product.max_dim(1).reshape([patches, outputs]) + affine.bias.clone();
    }
    let rows = winners(&values(h.clone().detach()), &values(affine.weight.clone().detach()), patch_size, inputs);
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [patches * outputs]), &h.device());
    let winning = h.select(0, rows).reshape([patches, outputs, inputs]);
    let product = (winning * affine.weight.clone().unsqueeze::<3>()).sum_dim(2);
    product.reshape([patches, outputs]) + affine.bias.clone()
}

impl Nif {
    /// The NIF of folded weights, named as in a weight file.
    pub(crate) fn folded(
        architecture: &ShapeArchitecture,
        mut weight: impl FnMut(&str) -> Vec<f32>,
        device: &Device,
    ) -> Self {
        let w = architecture.nif_width;
        let mut affine = |name: &str, inputs: usize, outputs: usize| Affine {
            weight: tensor(weight(&format!("{name}.weight")), outputs, inputs, device),
            bias: tensor(weight(&format!("{name}.bias")), 1, outputs, device),
        };
        let query = affine("nif.query", COORDINATES, w);
        let code = affine("nif.code", architecture.feature_dim(), w);
        let merge = affine("nif.merge", 2 * w, w);
        let merge_query = merge.weight.clone().narrow(1, 0, w);
        let merge_code = Affine { weight: merge.weight.narrow(1, w, w), bias: merge.bias };
        let hidden = (0..architecture.nif_hidden).map(|i| affine(&format!("nif.hidden.{i}"), w, w)).collect();
        let out = affine("nif.out", w, 1);
        Self { query, code, merge_query, merge_code, hidden, out }
    }

    /// The queries, moved by their signed distance against its gradient's direction `[n, 3]`; shapes as in
    /// [`Self::field`].
    pub(crate) fn pull(&self, features: Tensor<2>, queries: Tensor<2>) -> Tensor<2> {
        let Field { distance, gradient } = self.field(features, queries.clone());
        let length = (gradient.clone().square().sum_dim(1) + LENGTH_EPSILON).sqrt();
        queries - gradient * (distance / length)
    }

    /// Signed distances and their gradients.
    ///
    /// # Shapes
    /// - `features`: `[n_patches, feature_dim]`
    /// - `queries`: `[n, 3]`, equally many for each patch, patch after patch
    pub(crate) fn field(&self, features: Tensor<2>, queries: Tensor<2>) -> Field {
        let [patches, _] = features.dims();
        let [n, _] = queries.dims();
        let [w, _] = self.merge_query.dims();
        let relu = |x: Tensor<2>| {
            let y = burn::tensor::activation::relu(x);
            // A ReLU's derivative is the sign of its result.
            let mask = y.clone().detach().sign();
            (y, mask)
        };
        let (a, query_mask) = relu(self.query.apply(queries));
        // What depends on the feature alone is computed once per patch.
        let code = self.merge_code.apply(burn::tensor::activation::relu(self.code.apply(features)));
        let merged = a.matmul(self.merge_query.clone().transpose()).reshape([patches, n / patches, w])
            + code.reshape([patches, 1, w]);
        let (mut h, mask) = relu(merged.reshape([n, w]));
        let mut masks = vec![mask];
        for layer in &self.hidden {
            let (y, mask) = relu(layer.apply(h));
            h = y;
            masks.push(mask);
        }
        let distance = self.out.apply(h);

        let mut chain = self.out.weight.clone() * masks.pop().expect("the merge has a mask");
        for (layer, mask) in self.hidden.iter().rev().zip(masks.into_iter().rev()) {
            chain = chain.matmul(layer.weight.clone()) * mask;
        }
        let chain = chain.matmul(self.merge_query.clone()) * query_mask;
        let gradient = chain.matmul(self.query.weight.clone());
        Field { distance, gradient }
    }
}

/// Loss of a batch of so many patches.
pub(crate) fn batch_loss(
    leaves: &Leaves,
    batch: &Batch,
    patches: usize,
    encoder_input: EncoderInput,
    device: &Device,
) -> Tensor<1> {
    let (points, count) = batch.encoder_points(patches, encoder_input);
    let (features, _) = leaves.encode(points, count, device);
    let pulled = leaves.nif().pull(features, points_tensor(&batch.queries, device));
    mean_distance(pulled, points_tensor(&batch.targets, device))
}

/// Mean Euclidean distance between rows.
pub(crate) fn mean_distance(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    ((a - b).square().sum_dim(1) + LENGTH_EPSILON).sqrt().mean()
}

#[cfg(test)]
mod tests;
