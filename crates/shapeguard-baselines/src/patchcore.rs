//! PatchCore on colour.
//!
//! Source: Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler, "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022:
//! section 3.1 is here (locally aware patch features), 3.2 in core's `coreset.rs`, 3.3 in `bank.rs`.
//!
//! Differs: features are those of the 28 x 28 cells whatever the network; with Wide-ResNet-50-2 these are the paper's
//! (layer 2's grid, layer 3 brought to it bilinearly), with the embedded network the finer of its two maps is averaged to
//! them. Neighbourhoods at the border average the pixels inside. Channels are concatenated and not pooled to a preset number. Images are
//! the method's samples of 224 x 224 pixels, not scaled to 256 and cropped. Cells that the part does not touch are learnt,
//! but score 0.

use shapeguard_core::matrix::Matrix;
use shapeguard_core::resample::Sample;
use shapeguard_core::seams::CELL_GRID_SIDE;

use crate::backbone::Backbone;
use crate::cells::{at_side, local_average, side_by_side};

/// The locally aware features of all cells of a sample, `[784, channels]`.
pub fn features(sample: &Sample, backbone: &Backbone) -> Matrix {
    let levels = backbone.middle_levels(&sample.rgb);
    let parts: Vec<Matrix> = levels.iter().map(|level| at_side(&local_average(level), CELL_GRID_SIDE)).collect();
    side_by_side(&parts)
}
