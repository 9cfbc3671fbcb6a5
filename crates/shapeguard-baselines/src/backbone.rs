//! The frozen network whose maps describe colour: Wide-ResNet-50-2 to layer 3 where its weights are at hand, as in all
//! papers, else the embedded EfficientNet-Lite0, whose maps end at stride 8.

use shapeguard_core::grid::Grid;
use shapeguard_experts::appearance::{
    AppearanceWeightsError, EfficientNetLite0, LayerMap, WideResNet50, efficientnet_lite0,
};

/// A frozen network.
pub enum Backbone {
    /// The embedded one: 24 channels at stride 4 and 40 at stride 8.
    EfficientNetLite0(EfficientNetLite0),
    /// The papers': 256, 512 and 1,024 channels at strides 4, 8 and 16.
    WideResNet50(WideResNet50),
}

impl Backbone {
    /// The embedded network.
    pub fn embedded() -> Self {
        Self::EfficientNetLite0(efficientnet_lite0())
    }

    /// Wide-ResNet-50-2 from a weight file, safetensors or PyTorch, with torchvision's names. `name` is what it is called by.
    ///
    /// # Errors
    /// If the file is damaged, incomplete, or holds another network.
    pub fn wide_resnet(bytes: &[u8], name: &str) -> Result<Self, AppearanceWeightsError> {
        WideResNet50::with_layer3(bytes, name).map(Self::WideResNet50)
    }

    /// The name for headings.
    pub fn name(&self) -> &str {
        match self {
            Self::EfficientNetLite0(network) => network.name(),
            Self::WideResNet50(network) => network.name(),
        }
    }

    /// Channels of the widest maps that a baseline takes of it, those of [`Self::middle_levels`].
    pub fn channels(&self) -> usize {
        match self {
            Self::EfficientNetLite0(_) => 64,
            Self::WideResNet50(_) => 1536,
        }
    }

    /// The maps of all levels, the finest first.
    pub fn levels(&self, rgb: &Grid<[f32; 3]>) -> Vec<LayerMap> {
        match self {
            Self::EfficientNetLite0(network) => network.layers(rgb),
            Self::WideResNet50(network) => network.layers(rgb),
        }
    }

    /// The maps of the middle levels: layers 2 and 3 of Wide-ResNet-50-2, both of the embedded network.
    pub fn middle_levels(&self, rgb: &Grid<[f32; 3]>) -> Vec<LayerMap> {
        let mut levels = self.levels(rgb);
        levels.split_off(levels.len() - 2)
    }
}
