//! An appearance network as a list of operations with their weights, for those who run it elsewhere than on a CPU.

use std::ops::Range;

use super::convolution::{Clamp, Convolution, FoldedWeights, Geometry};
use super::depthwise::Depthwise;
use super::map::Margin;
use super::weight_file::AppearanceWeightsError;
use super::{Normalisation, efficientnet, pooling, wide_resnet};

/// An appearance network up to stride 8.
#[derive(Clone, Debug)]
pub struct Network {
    /// What is taken from each channel's values in `0.0..=1.0`.
    pub mean: [f32; 3],
    /// What they are divided by then.
    pub deviation: [f32; 3],
    /// In the order in which they run. The maps that they read are numbered: 0 is the image, `i + 1` is the output of
    /// operation `i`.
    pub operations: Vec<Operation>,
    /// The maps that describe the cells, at strides 4 and 8.
    pub taps: [usize; 2],
}

/// A step of a network.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A convolution over all channels, the addition of a map, and the clamp.
    Convolution {
        /// Weights and geometry.
        convolution: FoldedConvolution,
        /// The map that it reads.
        input: usize,
        /// The map that is added before the clamp.
        shortcut: Option<usize>,
    },
    /// A convolution of each channel by itself, and the clamp.
    Depthwise {
        /// Weights and geometry; `inputs` is 1.
        convolution: FoldedConvolution,
        /// The map that it reads.
        input: usize,
    },
    /// The 3x3 maximum with stride 2 and a pixel of padding, of a map that is nowhere negative.
    MaxPool {
        /// The map that it reads.
        input: usize,
    },
}

/// A convolution with batch norm folded in.
#[derive(Clone, Debug)]
pub struct FoldedConvolution {
    /// Channels that an output sees.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Distance between windows.
    pub stride: usize,
    /// Pixels of zeros above and left of the map.
    pub padding_before: usize,
    /// Pixels of zeros below and right of it.
    pub padding_after: usize,
    /// The range that outputs are clamped to.
    pub range: [f32; 2],
    /// `[outputs, inputs, kernel, kernel]`.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

impl FoldedConvolution {
    pub(super) fn new([inputs, outputs]: [usize; 2], geometry: Geometry, clamp: Clamp, folded: FoldedWeights) -> Self {
        let Geometry { kernel, stride, padding } = geometry;
        let FoldedWeights { weight, bias } = folded;
        let (padding_before, padding_after) = (padding.before, padding.after);
        Self { inputs, outputs, kernel, stride, padding_before, padding_after, range: clamp.range(), weight, bias }
    }

    /// Side of the output for an input of `side` pixels.
    pub fn output_side(&self, side: usize) -> usize {
        self.geometry().output_side(side)
    }

    fn geometry(&self) -> Geometry {
        let padding = Margin { before: self.padding_before, after: self.padding_after };
        Geometry { kernel: self.kernel, stride: self.stride, padding }
    }

    pub(super) fn pack(self) -> Convolution {
        let (geometry, clamp) = (self.geometry(), Clamp::of(self.range));
        Convolution::new(self.inputs, self.outputs, geometry, clamp, &self.folded())
    }

    pub(super) fn pack_depthwise(self) -> Depthwise {
        let (geometry, clamp) = (self.geometry(), Clamp::of(self.range));
        Depthwise::new(self.outputs, geometry, clamp, &self.folded())
    }

    fn folded(self) -> FoldedWeights {
        FoldedWeights { weight: self.weight, bias: self.bias }
    }
}

impl Network {
    /// The network of [`EfficientNetLite0`](super::EfficientNetLite0), whose weights are part of this crate.
    pub fn efficientnet_lite0() -> Self {
        efficientnet::network()
    }

    /// The network of [`WideResNet50`](super::WideResNet50), from the same files.
    ///
    /// # Errors
    /// As for [`WideResNet50::from_bytes`](super::WideResNet50::from_bytes).
    pub fn wide_resnet50(bytes: &[u8]) -> Result<Self, AppearanceWeightsError> {
        wide_resnet::network(bytes)
    }

    /// The network of [`WideResNet50::random`](super::WideResNet50::random).
    pub fn random_wide_resnet50(seed: u64) -> Self {
        wide_resnet::random_network(seed)
    }

    pub(super) fn new(normalisation: Normalisation, operations: Vec<Operation>, taps: [usize; 2]) -> Self {
        Self { mean: normalisation.mean, deviation: normalisation.deviation, operations, taps }
    }

    /// Channels of a map.
    ///
    /// # Panics
    /// If there is no such map: a bug of the caller.
    pub fn channels(&self, map: usize) -> usize {
        match map.checked_sub(1).map(|index| &self.operations[index]) {
            None => 3,
            Some(Operation::Convolution { convolution, .. } | Operation::Depthwise { convolution, .. }) => {
                convolution.outputs
            }
            Some(Operation::MaxPool { input }) => self.channels(*input),
        }
    }

    /// Length of a cell's feature.
    pub fn feature_dim(&self) -> usize {
        self.taps.iter().map(|map| self.channels(*map)).sum()
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        let of = |operation: &Operation| match operation {
            Operation::Convolution { convolution, .. } | Operation::Depthwise { convolution, .. } => {
                convolution.weight.len() + convolution.bias.len()
            }
            Operation::MaxPool { .. } => 0,
        };
        self.operations.iter().map(of).sum()
    }

    /// Multiply-adds of an image of so many pixels a side.
    pub fn multiply_adds(&self, image_side: usize) -> usize {
        let mut sides = vec![image_side];
        let mut sum = 0;
        for operation in &self.operations {
            let side = match operation {
                Operation::Convolution { convolution, input, .. } | Operation::Depthwise { convolution, input } => {
                    let side = convolution.output_side(sides[*input]);
                    sum += side * side * convolution.weight.len();
                    side
                }
                Operation::MaxPool { input } => sides[*input].div_ceil(2),
            };
            sides.push(side);
        }
        sum
    }
}

/// The pixels along one axis that make up each of the `cells` cells along it, and their weights, for a map of `side`
/// pixels: a cell is the weighted sum over its rows and columns.
pub fn cell_windows(side: usize, cells: usize) -> Vec<(Range<usize>, Vec<f32>)> {
    let windows = pooling::windows(side, cells).into_iter();
    windows.map(|window| (window.first..window.first + window.weights.len(), window.weights)).collect()
}
