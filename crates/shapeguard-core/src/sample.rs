//! A scan as the method sees it: an organized point cloud in metres with a validity mask, and a colour image of
//! the same grid (docs/method.md, "Samples").
//!
//! This is the one place where absence stops being a number: [`OrganizedCloud::decode`] turns what is not
//! finite, `(0,0,0)` and, in the camera's frame, `z <= 0` into the mask.

use crate::grid::{Grid, GridSize, Mask, RgbImage};

/// Smallest extent that a scan in the right unit can have, metres (docs/method.md, "Samples").
pub const MIN_EXTENT_M: f32 = 0.005;
/// Largest extent that a scan in the right unit can have, metres (docs/method.md, "Samples").
pub const MAX_EXTENT_M: f32 = 5.0;

/// The frame that a cloud's coordinates are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The camera's: z points away from it, so `z <= 0` is invalid.
    Camera,
    /// Any other: only NaN and `(0,0,0)` are invalid.
    Other,
}

/// Why a scan cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// Cloud and image are of different sizes.
    #[error("the cloud has {cloud} but the colour image has {image}; both must come from the same pixel grid")]
    SizesDiffer {
        /// The cloud's size.
        cloud: GridSize,
        /// The image's size.
        image: GridSize,
    },
    /// No valid point.
    #[error(
        "the cloud has no valid point: every point is NaN, (0,0,0) or behind the camera; check the camera, the frame and the file"
    )]
    NoValidPoint,
    /// An extent that no part has: probably the wrong unit, or a single point.
    #[error("{}", implausible_extent(*extent_m))]
    ImplausibleExtent {
        /// Largest extent over the three axes, metres.
        extent_m: f32,
    },
}

fn implausible_extent(extent_m: f32) -> String {
    if extent_m == 0.0 {
        return "all valid points of the cloud are in one place, or there is only one; check that the file holds a whole scan"
            .to_owned();
    }
    format!(
        "the cloud's largest extent is {extent_m} m, outside 0.005 m to 5 m; it is probably in another unit: set the unit with --unit (m, mm, um)"
    )
}

/// An organized point cloud in metres. Invalid pixels hold `[0.0; 3]` and are `false` in the mask.
#[derive(Clone, Debug, PartialEq)]
pub struct OrganizedCloud {
    points_m: Grid<[f32; 3]>,
    valid: Mask,
}

impl OrganizedCloud {
    /// Decodes raw coordinates: scales by `unit_m` (metres per unit) and finds the invalid points.
    pub fn decode(mut raw: Grid<[f32; 3]>, unit_m: f32, frame: Frame) -> Self {
        let valid =
            raw.map(|p| p.iter().all(|x| x.is_finite()) && *p != [0.0; 3] && (frame == Frame::Other || p[2] > 0.0));
        for (point, valid) in raw.as_mut_slice().iter_mut().zip(valid.as_slice()) {
            *point = if *valid { point.map(|x| x * unit_m) } else { [0.0; 3] };
        }
        Self { points_m: raw, valid }
    }

    /// A cloud whose validity is already known; invalid points are set to `[0.0; 3]`.
    ///
    /// # Panics
    /// If the sizes differ: a bug of the caller.
    pub fn from_parts(mut points_m: Grid<[f32; 3]>, valid: Mask) -> Self {
        assert_eq!(points_m.size(), valid.size());
        for (point, valid) in points_m.as_mut_slice().iter_mut().zip(valid.as_slice()) {
            if !valid {
                *point = [0.0; 3];
            }
        }
        Self { points_m, valid }
    }

    /// Height and width.
    pub fn size(&self) -> GridSize {
        self.valid.size()
    }

    /// Coordinates in metres; `[0.0; 3]` where invalid.
    pub fn points_m(&self) -> &Grid<[f32; 3]> {
        &self.points_m
    }

    /// Where there is a measured point.
    pub fn valid(&self) -> &Mask {
        &self.valid
    }

    /// Minimum and maximum of the valid points' coordinates, metres; `None` without valid points.
    pub fn bounds_m(&self) -> Option<([f32; 3], [f32; 3])> {
        let mut bounds: Option<([f32; 3], [f32; 3])> = None;
        for (p, _) in self.points_m.as_slice().iter().zip(self.valid.as_slice()).filter(|(_, valid)| **valid) {
            let (min, max) = bounds.get_or_insert((*p, *p));
            for axis in 0..3 {
                min[axis] = min[axis].min(p[axis]);
                max[axis] = max[axis].max(p[axis]);
            }
        }
        bounds
    }
}

/// One scan: an organized cloud and the colour image of the same grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    cloud: OrganizedCloud,
    rgb: RgbImage,
}

impl Scan {
    /// Puts cloud and image together.
    ///
    /// # Errors
    /// If their sizes differ, no point is valid, or the extent is outside 5 mm to 5 m.
    pub fn new(cloud: OrganizedCloud, rgb: RgbImage) -> Result<Self, SampleError> {
        if cloud.size() != rgb.size() {
            return Err(SampleError::SizesDiffer { cloud: cloud.size(), image: rgb.size() });
        }
        let (min, max) = cloud.bounds_m().ok_or(SampleError::NoValidPoint)?;
        let extent_m = (0..3).map(|axis| max[axis] - min[axis]).fold(0.0, f32::max);
        if !(MIN_EXTENT_M..=MAX_EXTENT_M).contains(&extent_m) {
            return Err(SampleError::ImplausibleExtent { extent_m });
        }
        Ok(Self { cloud, rgb })
    }

    /// Height and width.
    pub fn size(&self) -> GridSize {
        self.cloud.size()
    }

    /// The organized cloud.
    pub fn cloud(&self) -> &OrganizedCloud {
        &self.cloud
    }

    /// The colour image.
    pub fn rgb(&self) -> &RgbImage {
        &self.rgb
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(points: Vec<[f32; 3]>) -> Grid<[f32; 3]> {
        Grid::new(GridSize::new(1, points.len()), points).unwrap()
    }

    #[test]
    fn decoding_turns_absence_into_the_mask() {
        let raw = grid(vec![[f32::NAN, 1.0, 1.0], [0.0; 3], [10.0, 0.0, -5.0], [10.0, 0.0, 500.0]]);
        let camera = OrganizedCloud::decode(raw.clone(), 0.001, Frame::Camera);
        assert_eq!(camera.valid().as_slice(), &[false, false, false, true]);
        // One rounding of the product.
        assert_eq!(camera.points_m().as_slice()[3], [10.0 * 0.001, 0.0, 500.0 * 0.001]);
        let other = OrganizedCloud::decode(raw, 0.001, Frame::Other);
        assert_eq!(other.valid().as_slice(), &[false, false, true, true]);
    }

    #[test]
    fn a_wrong_unit_is_named() {
        let cloud = OrganizedCloud::decode(grid(vec![[0.0, 0.0, 400.0], [90.0, 0.0, 400.0]]), 1.0, Frame::Camera);
        let rgb = Grid::filled(GridSize::new(1, 2), [0u8; 3]);
        let error = Scan::new(cloud, rgb).unwrap_err();
        assert!(error.to_string().contains("--unit"), "{error}");
    }

    #[test]
    fn an_empty_cloud_and_differing_sizes_are_refused() {
        let empty = OrganizedCloud::decode(grid(vec![[0.0; 3]; 2]), 1.0, Frame::Camera);
        assert_eq!(
            Scan::new(empty.clone(), Grid::filled(GridSize::new(1, 2), [0; 3])).unwrap_err(),
            SampleError::NoValidPoint
        );
        assert!(matches!(
            Scan::new(empty, Grid::filled(GridSize::new(2, 2), [0; 3])).unwrap_err(),
            SampleError::SizesDiffer { .. }
        ));
    }
}
