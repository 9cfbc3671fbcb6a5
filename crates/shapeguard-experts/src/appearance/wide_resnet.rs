//! Wide-ResNet-50-2 up to layer 2, the paper's appearance expert, or to layer 3, which other methods use besides; its
//! weights come from a file.
//!
//! Source: Zagoruyko and Komodakis 2016 as torchvision builds it (stride in the 3x3 convolution), and paper section 3.3.
//! Batch norm is in evaluation mode and folded into the weights when they are loaded, in double precision.

use sha2::{Digest, Sha256};
use shapeguard_core::grid::Grid;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::seams::AppearanceExpert;

use super::convolution::{Clamp, Convolution, Geometry};
use super::map::{FeatureMap, LayerMap, Margin};
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
        let file = WeightFile::open(bytes, NETWORK)?;
        let stem = convolution(&file, "conv1", "bn1", [3, STEM_CHANNELS], STEM, Clamp::RELU)?;
        let layers = LAYERS[..layers]
            .iter()
            .map(|layer| (0..layer.blocks).map(|block| Bottleneck::read(&file, layer, block)).collect())
            .collect::<Result<_, _>>()?;
        Ok(Self { name: name.to_owned(), sha256: hex(&Sha256::digest(bytes)), stem, layers, simd: Simd::detect() })
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

    fn describe(&self, rgb: &Grid<[f32; 3]>) -> Matrix {
        pooling::cells(self.simd, &self.maps(rgb, CELL_LAYERS).iter().collect::<Vec<_>>())
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

    fn apply(&self, simd: Simd, input: &FeatureMap) -> FeatureMap {
        let reduced = self.reduce.apply(simd, input, self.spatial.geometry().padding, None);
        let narrow = self.spatial.apply(simd, &reduced, Margin::NONE, None);
        let downsampled = self.downsample.as_ref().map(|conv| conv.apply(simd, input, Margin::NONE, None));
        self.expand.apply(simd, &narrow, Margin::NONE, Some(downsampled.as_ref().unwrap_or(input)))
    }
}

/// Reads a convolution and its batch norm; `channels` are inputs and outputs.
fn convolution(
    file: &WeightFile,
    name: &str,
    norm: &str,
    [inputs, outputs]: [usize; 2],
    geometry: Geometry,
    clamp: Clamp,
) -> Result<Convolution, AppearanceWeightsError> {
    let shape = [outputs, inputs, geometry.kernel, geometry.kernel];
    let folded = file.read_folded(name, norm, shape, BATCH_NORM_EPSILON)?;
    Ok(Convolution::new(inputs, outputs, geometry, clamp, &folded))
}
