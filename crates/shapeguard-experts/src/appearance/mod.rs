//! The appearance expert: a frozen CNN that describes colour cell by cell, on a CPU.
//!
//! Source: paper section 3.3 and docs/method.md, "Appearance expert". Two networks: [`EfficientNetLite0`] with weights that
//! are part of this crate, and the paper's [`WideResNet50`] with weights from a file. Both give two maps, at strides
//! 4 and 8, which the same pooling turns into one feature for each cell of 8 x 8 pixels.

mod convolution;
mod depthwise;
mod efficientnet;
mod inverted_residual;
mod map;
mod network;
mod pooling;
mod weight_file;
mod wide_resnet;

#[cfg(test)]
mod tests;

use shapeguard_core::grid::Grid;
use shapeguard_core::seams::CELL_PX;

pub use efficientnet::{EfficientNetLite0, efficientnet_lite0};
pub use map::LayerMap;
pub use network::{FoldedConvolution, Network, Operation, cell_windows};
pub use weight_file::AppearanceWeightsError;
pub use wide_resnet::WideResNet50;

use map::{FeatureMap, IMAGE_CHANNELS, Margin};

/// How a network wants its colours: `(value - mean) / deviation`, channel by channel, for values in `0.0..=1.0`.
#[derive(Clone, Copy)]
struct Normalisation {
    mean: [f32; 3],
    deviation: [f32; 3],
}

/// Mean and deviation of ImageNet's pixels.
const IMAGENET: Normalisation = Normalisation { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };

/// The image as a network's input.
///
/// # Panics
/// If the image is not square, or its side no multiple of [`CELL_PX`]: a bug of the caller.
fn normalised_image(rgb: &Grid<[f32; 3]>, normalisation: Normalisation, margin: Margin) -> FeatureMap {
    let side = rgb.size().rows;
    assert!(side == rgb.size().cols && side.is_multiple_of(CELL_PX), "the experts see squares of whole cells");
    let Normalisation { mean, deviation } = normalisation;
    let mut image = FeatureMap::image(side, margin);
    let row_stride = image.row_stride();
    let first = margin.before * IMAGE_CHANNELS;
    for (row, out) in image.rows_mut().chunks_exact_mut(row_stride).enumerate() {
        for (out, colour) in out[first..].as_chunks_mut::<IMAGE_CHANNELS>().0.iter_mut().zip(rgb.row(row)) {
            *out = [0, 1, 2].map(|channel| (colour[channel] - mean[channel]) / deviation[channel]);
        }
    }
    image
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
