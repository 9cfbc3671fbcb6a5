//! Wide-ResNet-50-2 up to layer 2, the paper's appearance expert; its weights come from a file.
//!
//! Source: Zagoruyko and Komodakis 2016 as torchvision builds it (stride in the 3x3 convolution), and paper section 3.3.
//! Batch norm is in evaluation mode and folded into the weights when they are loaded, in double precision.

use sha2::{Digest, Sha256};
use shapeguard_core::grid::Grid;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::seams::AppearanceExpert;

use super::convolution::{Clamp, Convolution, Geometry};
use super::map::{FeatureMap, Margin};
use super::network::{FoldedConvolution, Network, Operation};
use super::simd::Simd;
use super::weight_file::{AppearanceWeightsError, WeightFile};
use super::{IMAGENET, hex, normalised_image, pooling};

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

const LAYERS: [LayerShape; 2] = [
    LayerShape { name: "layer1", blocks: 3, inputs: STEM_CHANNELS, narrow: 128, outputs: 256, stride: 1 },
    LayerShape { name: "layer2", blocks: 4, inputs: 256, narrow: 256, outputs: 512, stride: 2 },
];

/// Wide-ResNet-50-2 up to layer 2: 256 channels at stride 4 and 512 at stride 8.
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
        let weights = read(bytes)?;
        let pack = |layer: Vec<BottleneckWeights>| layer.into_iter().map(Bottleneck::pack).collect();
        let layers = weights.layers.into_iter().map(pack).collect();
        let sha256 = hex(&Sha256::digest(bytes));
        Ok(Self { name: name.to_owned(), sha256, stem: weights.stem.pack(), layers, simd: Simd::detect() })
    }

    /// The name that was given with the weights.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the weight file, in hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The outputs of layers 1 and 2.
    pub(super) fn maps(&self, rgb: &Grid<[f32; 3]>) -> Vec<FeatureMap> {
        let image = normalised_image(rgb, IMAGENET, STEM.padding);
        let stem = self.stem.apply(self.simd, &image, Margin::even(1), None);
        let mut maps: Vec<FeatureMap> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
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
        LAYERS.iter().map(|layer| layer.outputs).sum()
    }

    fn describe(&self, rgb: &Grid<[f32; 3]>) -> Matrix {
        pooling::cells(self.simd, &self.maps(rgb).iter().collect::<Vec<_>>())
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

fn read(bytes: &[u8]) -> Result<Weights, AppearanceWeightsError> {
    let file = WeightFile::open(bytes, NETWORK)?;
    let stem = convolution(&file, "conv1", "bn1", [3, STEM_CHANNELS], STEM, Clamp::RELU)?;
    let layers = LAYERS
        .iter()
        .map(|layer| (0..layer.blocks).map(|block| BottleneckWeights::read(&file, layer, block)).collect())
        .collect::<Result<_, _>>()?;
    Ok(Weights { stem, layers })
}

/// The network with weights from a file.
pub(super) fn network(bytes: &[u8]) -> Result<Network, AppearanceWeightsError> {
    let weights = read(bytes)?;
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
    let mut taps = Vec::with_capacity(LAYERS.len());
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
    Ok(Network::new(IMAGENET, operations, [taps[0], taps[1]]))
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
