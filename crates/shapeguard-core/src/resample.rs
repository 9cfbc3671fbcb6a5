//! From the square foreground to the experts' 224 x 224 pixels (docs/method.md, "To 224 x 224").

use crate::foreground::Foreground;
use crate::grid::{Grid, GridSize, Mask};
use crate::sample::OrganizedCloud;

/// A part as the experts see it: [`IMAGE_SIDE`](crate::seams::IMAGE_SIDE) pixels a side.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Points in metres; background is invalid.
    pub cloud: OrganizedCloud,
    /// Colour in `0.0..=1.0`, background black.
    pub rgb: Grid<[f32; 3]>,
    /// Side of the square foreground that this was made from, pixels.
    pub square_side: usize,
    /// Size of the scan before padding.
    pub source_size: GridSize,
    /// Row and column of the scan's first pixel on the square grid.
    pub offset: (usize, usize),
}

/// Brings a foreground to 224 x 224: the cloud by the pixel at `floor((i + 0.5) S / 224)`, the colour by
/// antialiased bicubic interpolation.
pub fn resample(_foreground: &Foreground) -> Sample {
    todo!()
}

/// Brings a square mask to 224 x 224 by the same source pixels as the cloud.
pub fn resample_mask(_mask: &Mask) -> Mask {
    todo!()
}
