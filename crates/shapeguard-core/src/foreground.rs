//! Foreground: the part without the table that it lies on (docs/method.md, "Foreground"; the steps are BTF's).

use crate::grid::{Grid, GridSize, Mask, RgbImage};
use crate::sample::{OrganizedCloud, Scan};
use crate::settings::ForegroundSettings;

/// A plane `normal . p + offset_m = 0` in the cloud's frame; `normal` has unit length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plane {
    /// Unit normal.
    pub normal: [f32; 3],
    /// Offset, metres.
    pub offset_m: f32,
}

/// What an inspector should know about a scan that is judged all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForegroundWarning {
    /// The part touches the image's border: what lies outside is not inspected.
    PartTouchesBorder,
}

/// Why no part was found.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ForegroundError {
    /// Placeholder until the variants are in.
    #[error("no part")]
    NoPart,
}

/// The part of a scan, padded to a square.
#[derive(Clone, Debug)]
pub struct Foreground {
    /// The part's points on the square grid; all else is invalid.
    pub cloud: OrganizedCloud,
    /// Colour on the square grid; background is black.
    pub rgb: RgbImage,
    /// The filled outline of the part on the square grid (pixels without depth inside it included).
    pub outline: Mask,
    /// Size of the scan before padding.
    pub source_size: GridSize,
    /// Row and column of the scan's first pixel on the square grid.
    pub offset: (usize, usize),
    /// The table, if the method looked for one.
    pub plane: Option<Plane>,
    /// What to tell the user.
    pub warnings: Vec<ForegroundWarning>,
}

impl Foreground {
    /// Pads a grid of the scan's size like the scan was padded.
    pub fn pad<T: Clone>(&self, _grid: &Grid<T>, _fill: T) -> Grid<T> {
        todo!()
    }
}

/// Finds the part. `mask` is the user's foreground mask, of the scan's size, for the method `mask`.
///
/// # Errors
/// If there is no plane, no part, or the settings do not fit the scan.
pub fn segment(
    _scan: &Scan,
    _settings: &ForegroundSettings,
    _mask: Option<&Mask>,
    _seed: u64,
) -> Result<Foreground, ForegroundError> {
    todo!()
}
