//! Wide-ResNet-50-2 up to layer 2, the paper's appearance expert, or to layer 3, which other methods use besides; its
//! weights come from a file.
//!
//! Source: Zagoruyko and Komodakis 2016 as torchvision builds it (stride in the 3x3 convolution), and paper section 3.3.
//! Batch norm is in evaluation mode and folded into the weights when they are loaded, in double precision.

use sha2::{Digest, Sha256};
use shapeguard_core::grid::Grid;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::seams::{AppearanceExpert, CELL_PX};

use super::convolution::{Clamp, Convolution, FoldedWeights, Geometry};
use super::map::{FeatureMap, LayerMap, Margin};
use super::network::{FoldedConvolution, Network, Operation};
use super::weight_file::{AppearanceWeightsError, WeightFile};
use super::{IMAGENET, hex, normalised_image, pooling};
use crate::random::SplitMix64;
use crate::simd::Simd;

/// The network, as errors call it.
const NETWORK: &str = "Wide-ResNet-50-2";
/// torchvision's batch norm.
const BATCH_NORM_EPSILON: f64 = 1e-5;

const STEM_CHANNELS: usize = 64;
const STEM: Geometry = Geometry { kernel: 7, stride: 2, padding: Margin::even(3) };

/// A layer of bottleneck blocks.
struct LayerShape {
    name: &'static str,
    blocks: usize,
    inputs: usize,
    /// Channels of the 3x3 convolutions: twice those of ResNet-50.
    narrow: usize,
    outputs: usize,
    /// Stride of the first block.
    stride: usize,
}

impl LayerShape {
    /// Weights and biases, batch norm folded in.
    fn parameters(&self) -> usize {
        let of_block = |inputs: usize| {
            let narrow = self.narrow;
            inputs * narrow + narrow + 9 * narrow * narrow + narrow + narrow * self.outputs + self.outputs
        };
        let downsample = self.inputs * self.outputs + self.outputs;
        of_block(self.inputs) + downsample + (self.blocks - 1) * of_block(self.outputs)
    }

    /// For maps of `before` pixels a side before the layer and `after` behind it.
    fn multiply_adds(&self, before: usize, after: usize) -> usize {
        let (before, after) = (before * before, after * after);
        let rest = 9 * self.narrow * self.narrow + self.narrow * self.outputs;
        let first = before * self.inputs * self.narrow + after * (rest + self.inputs * self.outputs);
        first + (self.blocks - 1) * after * (self.outputs * self.narrow + rest)
    }
}

const LAYERS: [LayerShape; 3] = [
    LayerShape { name: "layer1", blocks: 3, inputs: STEM_CHANNELS, narrow: 128, outputs: 256, stride: 1 },
    LayerShape { name: "layer2", blocks: 4, inputs: 256, narrow: 256, outputs: 512, stride: 2 },
    LayerShape { name: "layer3", blocks: 6, inputs: 512, narrow: 512, outputs: 1024, stride: 2 },
];
/// How many of them describe the cells (paper section 3.3: layers 1 and 2).
const CELL_LAYERS: usize = 2;

/// Wide-ResNet-50-2 up to layer 2: 256 channels at stride 4 and 512 at stride 8. With layer 3, 1,024 at stride 16
/// besides, which do not describe cells.
pub struct WideResNet50 {
    name: String,
    sha256: String,
    stem: Convolution,
    layers: Vec<Vec<Bottleneck>>,
    pub(super) simd: Simd,
}

impl WideResNet50 {
    /// Reads weights: safetensors or a PyTorch file, old or new, with torchvision's names. `name` is what the expert is
    /// called by, such as the file's name.
    ///
    /// # Errors
    /// If the file is of another kind, damaged or incomplete, or holds another network or numbers that are not finite.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, AppearanceWeightsError> {
        Self::read(bytes, name, CELL_LAYERS)
    }

    /// As [`WideResNet50::from_bytes`], with layer 3, for [`WideResNet50::layers`].
    ///
    /// # Errors
    /// As [`WideResNet50::from_bytes`].
    pub fn with_layer3(bytes: &[u8], name: &str) -> Result<Self, AppearanceWeightsError> {
        Self::read(bytes, name, LAYERS.len())
    }

    fn read(bytes: &[u8], name: &str, layers: usize) -> Result<Self, AppearanceWeightsError> {
        Ok(Self::pack(Weights::read(bytes, layers)?, name.to_owned(), hex(&Sha256::digest(bytes))))
    }

    /// A network with random weights: as costly as the trained one, and of no other use.
    pub fn random(seed: u64) -> Self {
        Self::draw(seed, CELL_LAYERS)
    }

    /// As [`WideResNet50::random`], with layer 3.
    pub fn random_with_layer3(seed: u64) -> Self {
        Self::draw(seed, LAYERS.len())
    }

    fn draw(seed: u64, layers: usize) -> Self {
        Self::pack(Weights::random(seed, layers), format!("random {seed}"), String::new())
    }

    fn pack(weights: Weights, name: String, sha256: String) -> Self {
        let pack = |layer: Vec<BottleneckWeights>| layer.into_iter().map(Bottleneck::pack).collect();
        let layers = weights.layers.into_iter().map(pack).collect();
        Self { name, sha256, stem: weights.stem.pack(), layers, simd: Simd::detect() }
    }

    /// The name that was given with the weights.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the weight file, in hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The outputs of all layers that were read: 56, 28 and, with layer 3, 14 pixels a side.
    pub fn layers(&self, rgb: &Grid<[f32; 3]>) -> Vec<LayerMap> {
        self.maps(rgb, self.layers.len()).iter().map(FeatureMap::to_layer_map).collect()
    }

    /// The outputs of the first layers.
    pub(super) fn maps(&self, rgb: &Grid<[f32; 3]>, layers: usize) -> Vec<FeatureMap> {
        let image = normalised_image(rgb, IMAGENET, STEM.padding);
        let stem = self.stem.apply(self.simd, &image, Margin::even(1), None);
        let mut maps: Vec<FeatureMap> = Vec::with_capacity(layers);
        for layer in &self.layers[..layers] {
            let first = match maps.last() {
                Some(map) => layer[0].apply(self.simd, map),
                None => layer[0].apply(self.simd, &pooling::max_pool_half(&stem)),
            };
            maps.push(layer[1..].iter().fold(first, |map, block| block.apply(self.simd, &map)));
        }
        maps
    }
}

impl AppearanceExpert for WideResNet50 {
    fn feature_dim(&self) -> usize {
        LAYERS[..CELL_LAYERS].iter().map(|layer| layer.outputs).sum()
    }

    fn parameters(&self) -> Option<usize> {
        let stem = STEM.kernel.pow(2) * 3 * STEM_CHANNELS + STEM_CHANNELS;
        Some(stem + LAYERS[..CELL_LAYERS].iter().map(LayerShape::parameters).sum::<usize>())
    }

    fn multiply_adds(&self, image_side: usize) -> Option<usize> {
        // Stem and pooling bring the image to a quarter.
        let stem = (image_side / 2).pow(2) * STEM.kernel.pow(2) * 3 * STEM_CHANNELS;
        let mut side = image_side / 4;
        let of_layer = |layer: &LayerShape| {
            let before = side;
            side /= layer.stride;
            layer.multiply_adds(before, side)
        };
        Some(stem + LAYERS[..CELL_LAYERS].iter().map(of_layer).sum::<usize>())
    }

    fn describe(&self, rgb: &Grid<[f32; 3]>) -> Matrix {
        pooling::cells(self.simd, &self.maps(rgb, CELL_LAYERS).iter().collect::<Vec<_>>(), rgb.size().rows / CELL_PX)
    }
}

/// 1x1, 3x3 and 1x1 convolution, and the shortcut around them.
struct Bottleneck {
    reduce: Convolution,
    spatial: Convolution,
    expand: Convolution,
    /// Brings the input to the output's shape where they differ.
    downsample: Option<Convolution>,
}

impl Bottleneck {
    fn pack(weights: BottleneckWeights) -> Self {
        let BottleneckWeights { reduce, spatial, expand, downsample } = weights;
        let downsample = downsample.map(FoldedConvolution::pack);
        Self { reduce: reduce.pack(), spatial: spatial.pack(), expand: expand.pack(), downsample }
    }

    fn apply(&self, simd: Simd, input: &FeatureMap) -> FeatureMap {
        let reduced = self.reduce.apply(simd, input, self.spatial.geometry().padding, None);
        let narrow = self.spatial.apply(simd, &reduced, Margin::NONE, None);
        let downsampled = self.downsample.as_ref().map(|conv| conv.apply(simd, input, Margin::NONE, None));
        self.expand.apply(simd, &narrow, Margin::NONE, Some(downsampled.as_ref().unwrap_or(input)))
    }
}

/// The network as it is read.
struct Weights {
    stem: FoldedConvolution,
    layers: Vec<Vec<BottleneckWeights>>,
}

impl Weights {
    /// Reads the stem and the first layers.
    fn read(bytes: &[u8], layers: usize) -> Result<Self, AppearanceWeightsError> {
        let file = WeightFile::open(bytes, NETWORK)?;
        let stem = convolution(&file, "conv1", "bn1", [3, STEM_CHANNELS], STEM, Clamp::RELU)?;
        let layers = LAYERS[..layers]
            .iter()
            .map(|layer| (0..layer.blocks).map(|block| BottleneckWeights::read(&file, layer, block)).collect())
            .collect::<Result<_, _>>()?;
        Ok(Self { stem, layers })
    }

    /// Draws the stem and the first layers.
    fn random(seed: u64, layers: usize) -> Self {
        let mut random = SplitMix64(seed);
        let mut convolution = |[inputs, outputs]: [usize; 2], geometry: Geometry, clamp: Clamp| {
            let fan_in = inputs * geometry.kernel.pow(2);
            let deviation = (1.0 / fan_in as f32).sqrt();
            let weight = (0..outputs * fan_in).map(|_| deviation * random.normal()).collect();
            let folded = FoldedWeights { weight, bias: vec![0.0; outputs] };
            FoldedConvolution::new([inputs, outputs], geometry, clamp, folded)
        };
        let stem = convolution([3, STEM_CHANNELS], STEM, Clamp::RELU);
        let mut block = |layer: &LayerShape, index: usize| {
            let LayerShape { narrow, outputs, .. } = *layer;
            let (inputs, stride) = if index == 0 { (layer.inputs, layer.stride) } else { (outputs, 1) };
            let spatial = Geometry { kernel: 3, stride, padding: Margin::even(1) };
            let strided = Geometry { stride, ..Geometry::POINTWISE };
            BottleneckWeights {
                reduce: convolution([inputs, narrow], Geometry::POINTWISE, Clamp::RELU),
                spatial: convolution([narrow, narrow], spatial, Clamp::RELU),
                expand: convolution([narrow, outputs], Geometry::POINTWISE, Clamp::RELU),
                downsample: (index == 0).then(|| convolution([inputs, outputs], strided, Clamp::NONE)),
            }
        };
        let layers = LAYERS[..layers].iter().map(|layer| (0..layer.blocks).map(|index| block(layer, index)).collect());
        Self { stem, layers: layers.collect() }
    }
}

/// A block as it is read.
struct BottleneckWeights {
    reduce: FoldedConvolution,
    spatial: FoldedConvolution,
    expand: FoldedConvolution,
    downsample: Option<FoldedConvolution>,
}

impl BottleneckWeights {
    fn read(file: &WeightFile, layer: &LayerShape, block: usize) -> Result<Self, AppearanceWeightsError> {
        let LayerShape { narrow, outputs, .. } = *layer;
        let (inputs, stride) = if block == 0 { (layer.inputs, layer.stride) } else { (outputs, 1) };
        let spatial = Geometry { kernel: 3, stride, padding: Margin::even(1) };
        let prefix = format!("{}.{block}", layer.name);
        let read = |index: usize, channels: [usize; 2], geometry: Geometry, clamp: Clamp| {
            let names = (format!("{prefix}.conv{index}"), format!("{prefix}.bn{index}"));
            convolution(file, &names.0, &names.1, channels, geometry, clamp)
        };
        let downsample = if block == 0 {
            let names = (format!("{prefix}.downsample.0"), format!("{prefix}.downsample.1"));
            let geometry = Geometry { stride, ..Geometry::POINTWISE };
            Some(convolution(file, &names.0, &names.1, [inputs, outputs], geometry, Clamp::NONE)?)
        } else {
            None
        };
        Ok(Self {
            reduce: read(1, [inputs, narrow], Geometry::POINTWISE, Clamp::RELU)?,
            spatial: read(2, [narrow, narrow], spatial, Clamp::RELU)?,
            expand: read(3, [narrow, outputs], Geometry::POINTWISE, Clamp::RELU)?,
            downsample,
        })
    }
}

/// The network up to layer 2, with weights from a file.
pub(super) fn network(bytes: &[u8]) -> Result<Network, AppearanceWeightsError> {
    Weights::read(bytes, CELL_LAYERS).map(network_of)
}

/// The network of [`WideResNet50::random`].
pub(super) fn random_network(seed: u64) -> Network {
    network_of(Weights::random(seed, CELL_LAYERS))
}

fn network_of(weights: Weights) -> Network {
    let mut operations = vec![
        Operation::Convolution { convolution: weights.stem, input: 0, shortcut: None },
        Operation::MaxPool { input: 1 },
    ];
    // Map `i + 1` is the output of operation `i`.
    let mut push = |operation: Operation| {
        operations.push(operation);
        operations.len()
    };
    let mut map = 2;
    let mut taps = Vec::with_capacity(CELL_LAYERS);
    for layer in weights.layers {
        for BottleneckWeights { reduce, spatial, expand, downsample } in layer {
            let shortcut = match downsample {
                Some(convolution) => push(Operation::Convolution { convolution, input: map, shortcut: None }),
                None => map,
            };
            let reduced = push(Operation::Convolution { convolution: reduce, input: map, shortcut: None });
            let narrow = push(Operation::Convolution { convolution: spatial, input: reduced, shortcut: None });
            map = push(Operation::Convolution { convolution: expand, input: narrow, shortcut: Some(shortcut) });
        }
        taps.push(map);
    }
    Network::new(IMAGENET, operations, [taps[0], taps[1]])
}

/// Reads a convolution and its batch norm; `channels` are inputs and outputs.
fn convolution(
    file: &WeightFile,
    name: &str,
    norm: &str,
    [inputs, outputs]: [usize; 2],
    geometry: Geometry,
    clamp: Clamp,
) -> Result<FoldedConvolution, AppearanceWeightsError> {
    let shape = [outputs, inputs, geometry.kernel, geometry.kernel];
    let folded = file.read_folded(name, norm, shape, BATCH_NORM_EPSILON)?;
    Ok(FoldedConvolution::new([inputs, outputs], geometry, clamp, folded))
}
