//! Heat-map sheets: rows of pictures of test scans, as in the paper's Figures 7 to 9.

use shapeguard::evaluation::LabelledScan;
use shapeguard::report::{MapScale, Panels, panels, side_by_side};
use shapeguard_core::fusion::AnomalyMaps;
use shapeguard_core::grid::RgbImage;
use shapeguard_core::resample::Sample;
use shapeguard_data::{DataError, encode_rgb_png};

/// What a row shows, from left to right.
pub const COLUMNS: [&str; 6] = ["colour", "ground truth", "SDF", "RGB", "fused", "which expert fired"];

/// A row of a sheet: one scan, encoded as PNG.
#[derive(Clone, Debug)]
pub struct Sheet(Vec<u8>);

impl Sheet {
    /// Draws one scan's row.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn new(
        labelled: &LabelledScan,
        sample: &Sample,
        maps: &AnomalyMaps,
        scale: MapScale,
    ) -> Result<Self, DataError> {
        let Panels { colour, truth, sdf, rgb, fused, fired } = panels(labelled, sample, maps, scale);
        let truth: RgbImage = match truth {
            Some(truth) => truth.map(|defective| if *defective { [255; 3] } else { [0; 3] }),
            None => colour.map(|_| [0; 3]),
        };
        Ok(Self(encode_rgb_png(&side_by_side(&[colour, truth, sdf, rgb, fused, fired]))?))
    }

    /// The PNG's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
