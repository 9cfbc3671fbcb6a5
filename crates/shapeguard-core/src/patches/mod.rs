//! Patches: overlapping neighbourhoods that cover every foreground point (paper section 3.1; docs/method.md,
//! "Patches").
//!
//! Differences from the reference: farthest point sampling starts at the point nearest the centroid instead of at a
//! random one, and centres are added until every point is covered (setting `full_coverage`).

mod buckets;
pub mod fps;
pub mod knn;

use rayon::prelude::*;

use crate::resample::Sample;
use crate::settings::PatchSettings;
pub use buckets::PointBuckets;
use fps::FarthestPoints;

/// Why a sample has no patches.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// A setting makes no sense.
    #[error("patches.{name} is {value}, expected {expected}; correct it in the preset")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: usize,
        /// What is possible.
        expected: &'static str,
    },
    /// The part is smaller than a patch.
    #[error(
        "the part has {found} measured points at {side} x {side} pixels, a patch needs {needed}; let the part fill more of the image, check for missing depth, or set patches.points_per_patch lower"
    )]
    TooFewPoints {
        /// Pixels along each side of the image.
        side: usize,
        /// Valid points of the part.
        found: usize,
        /// Points of a patch.
        needed: usize,
    },
    /// All points have the same x, by which all coordinates are divided.
    #[error(
        "the part has no extent along x (all {points} points have the same x, or nearly), expected more than 0 m; check the cloud's axes"
    )]
    NoExtent {
        /// Valid points of the part.
        points: usize,
    },
    /// All points of a patch are the same.
    #[error(
        "a patch has no extent: its {points} nearest points are all the same, expected different points; check that the camera delivers full resolution, or set patches.points_per_patch higher"
    )]
    NoPatchExtent {
        /// Points of the patch.
        points: usize,
    },
}

/// One patch: its centre and its nearest points, the centre included, nearest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Index of the centre in [`PatchSet::pixels`].
    pub centre: u32,
    /// Indices of the members in [`PatchSet::pixels`].
    pub members: Vec<u32>,
}

/// The patches of a sample.
#[derive(Clone, Debug)]
pub struct PatchSet {
    /// Pixels along each side of the image that the points are from.
    pub image_side: usize,
    /// Pixel of each valid point: `row * image_side + col`, ascending.
    pub pixels: Vec<u32>,
    /// Coordinates of each valid point: minus their minimum, divided by the extent along x.
    pub positions: Vec<[f32; 3]>,
    /// The patches, all of the same size.
    pub patches: Vec<Patch>,
    /// Points of a patch.
    pub points_per_patch: usize,
    /// How many centres were added until every point was covered.
    pub added_centres: usize,
}

/// Cuts a sample into patches.
///
/// # Errors
/// If it has fewer points than a patch, it or a patch has no extent, or a setting is 0.
pub fn extract_patches(sample: &Sample, settings: &PatchSettings) -> Result<PatchSet, PatchError> {
    let k = settings.points_per_patch;
    for (name, value) in [("points_per_patch", k), ("overlap", settings.overlap)] {
        if value == 0 {
            return Err(PatchError::Setting { name, value, expected: "1 or more" });
        }
    }
    let cloud = &sample.cloud;
    let (pixels, points_m): (Vec<u32>, Vec<[f32; 3]>) = (0u32..)
        .zip(cloud.points_m().as_slice())
        .zip(cloud.valid().as_slice())
        .filter_map(|((pixel, p), valid)| valid.then_some((pixel, *p)))
        .unzip();
    if pixels.len() < k {
        return Err(PatchError::TooFewPoints { side: sample.side(), found: pixels.len(), needed: k });
    }
    let positions = scaled_by_x_extent(cloud.bounds_m(), &points_m)?;
    let buckets = PointBuckets::new(&positions);

    let mut farthest = FarthestPoints::start(&buckets, nearest_to_centroid(&positions));
    let mut centres = vec![farthest.start_point()];
    for _ in 1..centre_count(positions.len(), settings) {
        centres.push(farthest.next());
    }
    let mut patches: Vec<Patch> = centres
        .par_iter()
        .map_init(knn::Scratch::default, |scratch, centre| patch(&buckets, *centre, k, scratch))
        .collect();
    let added_centres = if settings.full_coverage { cover(&buckets, &mut farthest, &mut patches, k) } else { 0 };
    if patches.iter().any(|p| p.members.iter().all(|m| positions[*m as usize] == positions[p.centre as usize])) {
        return Err(PatchError::NoPatchExtent { points: k });
    }
    Ok(PatchSet { image_side: sample.side(), pixels, positions, patches, points_per_patch: k, added_centres })
}

/// `round(N * overlap / K)`, half to even; at least one centre, at most one for each point.
fn centre_count(n_points: usize, settings: &PatchSettings) -> usize {
    let count = (n_points as f64 * settings.overlap as f64 / settings.points_per_patch as f64).round_ties_even();
    (count as usize).clamp(1, n_points)
}

fn scaled_by_x_extent(
    bounds: Option<([f32; 3], [f32; 3])>,
    points_m: &[[f32; 3]],
) -> Result<Vec<[f32; 3]>, PatchError> {
    let no_extent = PatchError::NoExtent { points: points_m.len() };
    let (min, max) = bounds.ok_or_else(|| no_extent.clone())?;
    let extent = max[0] - min[0];
    if !(extent.is_finite() && extent > 0.0) {
        return Err(no_extent);
    }
    let positions: Vec<_> = points_m.iter().map(|p| [0, 1, 2].map(|axis| (p[axis] - min[axis]) / extent)).collect();
    // As good as none beside the others.
    if positions.as_flattened().iter().all(|value| value.is_finite()) { Ok(positions) } else { Err(no_extent) }
}

fn nearest_to_centroid(positions: &[[f32; 3]]) -> u32 {
    let n = positions.len() as f64;
    let centroid = [0, 1, 2].map(|axis| positions.iter().map(|p| f64::from(p[axis])).sum::<f64>() / n);
    let squared = |p: &[f32; 3]| (0..3).map(|axis| (f64::from(p[axis]) - centroid[axis]).powi(2)).sum::<f64>();
    let nearest = (0u32..).zip(positions).min_by(|a, b| squared(a.1).total_cmp(&squared(b.1)));
    nearest.map_or(0, |(index, _)| index)
}

fn patch(buckets: &PointBuckets, centre: u32, k: usize, scratch: &mut knn::Scratch) -> Patch {
    Patch { centre, members: knn::nearest(buckets, centre, k, scratch) }
}

/// Adds patches at the uncovered point farthest from all centres until every point is in a patch.
fn cover(buckets: &PointBuckets, farthest: &mut FarthestPoints, patches: &mut Vec<Patch>, k: usize) -> usize {
    let mut covered = vec![false; buckets.len()];
    for patch in patches.iter() {
        patch.members.iter().for_each(|m| covered[*m as usize] = true);
    }
    let mut scratch = knn::Scratch::default();
    let before = patches.len();
    while let Some(centre) = farthest.next_among(|point| !covered[point as usize]) {
        let patch = patch(buckets, centre, k, &mut scratch);
        patch.members.iter().for_each(|m| covered[*m as usize] = true);
        patches.push(patch);
    }
    patches.len() - before
}

#[cfg(test)]
mod tests;
