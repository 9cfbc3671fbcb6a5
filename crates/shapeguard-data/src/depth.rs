//! Depth images: from a pinhole camera's intrinsics and a depth per pixel to an organized cloud in the camera's frame.

use std::path::Path;

use serde::{Deserialize, Serialize};
use shapeguard_core::grid::{Grid, GridSize};

use crate::error::DataError;
use crate::fault::Fault;
use crate::file::read_file;

/// A scale of this or more is the inverse convention (units per metre), not metres per unit.
const MAX_DEPTH_SCALE: f64 = 1.0;
/// Pixels of an image are no measure of a small text file; this bounds it all the same.
const INTRINSICS_PIXELS: usize = 1;

/// Intrinsics of a pinhole camera, as JSON: `{"fx": .., "fy": .., "cx": .., "cy": .., "depth_scale": ..}`.
///
/// Pixel `(row, col)` looks along `((col - cx) / fx, (row - cy) / fy, 1)`: whole numbers are pixel centres.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intrinsics {
    /// Focal length along columns, pixels.
    pub fx: f64,
    /// Focal length along rows, pixels.
    pub fy: f64,
    /// Principal point, column.
    pub cx: f64,
    /// Principal point, row.
    pub cy: f64,
    /// Metres per unit of the depth image: 0.001 for millimetres.
    pub depth_scale: f64,
    /// Columns of the image that these values belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Rows of the image that these values belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<usize>,
    /// Lens distortion: must be absent or all zero; undistort the images first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distortion: Vec<f64>,
}

impl Intrinsics {
    /// Reads and checks a JSON file.
    ///
    /// # Errors
    /// If it cannot be read, lacks a value, has an unknown one, or its values describe no undistorted pinhole camera.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        Self::decode(path, &read_file(path, INTRINSICS_PIXELS)?)
    }

    /// As [`Self::read`], from memory; `path` is what messages call it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn decode(path: &Path, bytes: &[u8]) -> Result<Self, DataError> {
        let intrinsics: Self = serde_json::from_slice(bytes).map_err(|error| {
            Fault::unsupported(
                "JSON with fx, fy, cx, cy and depth_scale (optionally width, height, distortion)",
                error.to_string(),
                "write the file like {\"fx\": 1200, \"fy\": 1200, \"cx\": 400, \"cy\": 400, \"depth_scale\": 0.001}",
            )
            .at(path)
        })?;
        intrinsics.check().map_err(|fault| fault.at(path))?;
        Ok(intrinsics)
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                return Ok(());
            }
            Err(Fault::unsupported(format!("{name} > 0"), format!("{value}"), "correct the intrinsics"))
        };
        positive("fx", self.fx)?;
        positive("fy", self.fy)?;
        positive("depth_scale", self.depth_scale)?;
        if !(self.cx.is_finite() && self.cy.is_finite()) {
            return Err(Fault::unsupported("a finite cx and cy", "another number", "correct the intrinsics"));
        }
        if self.depth_scale >= MAX_DEPTH_SCALE {
            return Err(Fault::unsupported(
                "depth_scale in metres per unit, like 0.001",
                format!("{}", self.depth_scale),
                "write its inverse (1000 units per metre is 0.001)",
            ));
        }
        if self.distortion.iter().any(|value| *value != 0.0) {
            return Err(Fault::unsupported(
                "images without lens distortion",
                format!("the distortion {:?}", self.distortion),
                "undistort depth and colour first, then give the new intrinsics with distortion []",
            ));
        }
        Ok(())
    }

    /// The organized cloud in metres; depth 0 and NaN become `(0,0,0)`, which is absent.
    pub(crate) fn cloud(&self, depth: &Grid<f32>) -> Result<Grid<[f32; 3]>, Fault> {
        self.check()?;
        let size = depth.size();
        let told = GridSize::new(self.height.unwrap_or(size.rows), self.width.unwrap_or(size.cols));
        if told != size {
            return Err(Fault::unsupported(
                format!("the size of the intrinsics, {told}"),
                size.to_string(),
                "give the intrinsics that belong to this resolution",
            ));
        }
        Ok(Grid::from_fn(size, |row, col| {
            let z = f64::from(depth[(row, col)]) * self.depth_scale;
            if !z.is_finite() || z <= 0.0 {
                return [0.0; 3];
            }
            [((col as f64 - self.cx) / self.fx * z) as f32, ((row as f64 - self.cy) / self.fy * z) as f32, z as f32]
        }))
    }
}
