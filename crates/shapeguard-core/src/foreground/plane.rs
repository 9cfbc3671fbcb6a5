//! The table: a plane through the valid points of the image's border (docs/method.md, "Foreground"; BTF's steps).
//!
//! RANSAC as published: a hypothesis is the least-squares plane of `plane_sample_points` border points, the one
//! with most points nearer than `plane_inlier_m` wins, and is refitted to those points. Differences, ours:
//! - Hypotheses are ranked on a regular subset of at most [`MAX_SCORED_POINTS`] border points, because a share is
//!   estimated well enough by them; refit and reported support use every border point.
//! - The refit is repeated until it changes no point's membership, at most [`MAX_REFITS`] times: of hypotheses of 50
//!   points hardly one is free of points that are not on the table.
//!   A part over 40 % of the border still defeats them (no plane, or a slanted one); hypotheses of three points do not
//!   suffer from that (test `a_part_on_the_border_does_not_tilt_the_table`).
//! - The random generator is seeded (test `the_plane_does_not_depend_on_the_number_of_threads`).

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::ForegroundError;
use crate::sample::OrganizedCloud;
use crate::settings::ForegroundSettings;

/// Border points that rank the hypotheses: the standard error of a share is then under 0.8 %.
pub const MAX_SCORED_POINTS: usize = 4096;
/// Refits to the supporting points (ours: changes are below the noise after two or three).
pub const MAX_REFITS: usize = 10;
/// Fewest valid border points that a plane is looked for in (reference value: one hypothesis draws as many).
pub const MIN_BORDER_POINTS: usize = 50;
/// Points whose second principal variance is below this share of the first lie on a line, not on a plane.
const LINE_VARIANCE_RATIO: f64 = 1e-9;
/// Sweeps of the Jacobi method; a symmetric 3 x 3 matrix converges in five or six.
const JACOBI_SWEEPS: usize = 12;

/// A plane `normal . p + offset_m = 0` in the cloud's frame; `normal` has unit length and points to the side of
/// the frame's origin, which is the camera's side in the camera's frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plane {
    /// Unit normal.
    pub normal: [f32; 3],
    /// Offset, metres.
    pub offset_m: f32,
}

impl Plane {
    /// Distance of a point from the plane, metres; negative on the side away from the origin.
    pub fn signed_distance_m(&self, p: [f32; 3]) -> f32 {
        self.normal[0] * p[0] + self.normal[1] * p[1] + self.normal[2] * p[2] + self.offset_m
    }
}

/// Fits the table to the valid points of the image's border.
///
/// # Errors
/// If the border has too few valid points, or too small a share of them lies on one plane.
pub fn fit_border_plane(
    cloud: &OrganizedCloud,
    settings: &ForegroundSettings,
    seed: u64,
) -> Result<Plane, ForegroundError> {
    let border = BorderPoints::collect(cloud, settings.border_px);
    let needed = settings.plane_sample_points.max(MIN_BORDER_POINTS);
    if border.len() < needed {
        return Err(ForegroundError::NoBorderPoints { border_px: settings.border_px, found: border.len(), needed });
    }
    let no_plane = |support| ForegroundError::NoPlane { support, needed: settings.plane_min_support };
    let mut plane = best_hypothesis(&border, settings, seed).ok_or_else(|| no_plane(0.0))?;
    let mut supporters = border.supporters(&plane, settings.plane_inlier_m);
    for _ in 0..MAX_REFITS {
        let Some(refit) = CentredPlane::fit(supporters.iter().map(|i| border.point(*i))) else { break };
        let refit_supporters = border.supporters(&refit, settings.plane_inlier_m);
        if refit_supporters.len() < supporters.len() {
            break;
        }
        plane = refit;
        if refit_supporters == supporters {
            break;
        }
        supporters = refit_supporters;
    }
    let support = supporters.len() as f32 / border.len() as f32;
    if support < settings.plane_min_support {
        return Err(no_plane(support));
    }
    Ok(plane.in_cloud_frame(border.centre))
}

/// Draws all hypotheses from one generator and returns the one with most support; the earliest among equals.
fn best_hypothesis(border: &BorderPoints, settings: &ForegroundSettings, seed: u64) -> Option<CentredPlane> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let draws: Vec<Vec<usize>> = (0..settings.plane_hypotheses)
        .map(|_| index::sample(&mut rng, border.len(), settings.plane_sample_points).into_vec())
        .collect();
    let scored = border.regular_subset(MAX_SCORED_POINTS);
    draws
        .par_iter()
        .enumerate()
        .filter_map(|(hypothesis, draw)| {
            let plane = CentredPlane::fit(draw.iter().map(|i| border.point(*i)))?;
            Some((scored.count_supporters(&plane, settings.plane_inlier_m), hypothesis, plane))
        })
        .max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)))
        .map(|(_, _, plane)| plane)
}

/// Valid points of the border, relative to their mean so that single precision resolves micrometres.
struct BorderPoints {
    centre: [f64; 3],
    x: Vec<f32>,
    y: Vec<f32>,
    z: Vec<f32>,
}

impl BorderPoints {
    fn collect(cloud: &OrganizedCloud, border_px: usize) -> Self {
        let size = cloud.size();
        let mut points = Vec::new();
        for row in 0..size.rows {
            let whole_row = row < border_px || row + border_px >= size.rows;
            let (left, right) = if whole_row || 2 * border_px >= size.cols {
                (size.cols, size.cols)
            } else {
                (border_px, size.cols - border_px)
            };
            for col in (0..left).chain(right..size.cols) {
                if cloud.valid()[(row, col)] {
                    points.push(cloud.points_m()[(row, col)]);
                }
            }
        }
        let centre = mean(points.iter().map(|p| p.map(f64::from)), points.len());
        let axis = |a: usize| points.iter().map(|p| (f64::from(p[a]) - centre[a]) as f32).collect();
        Self { centre, x: axis(0), y: axis(1), z: axis(2) }
    }

    fn len(&self) -> usize {
        self.x.len()
    }

    fn point(&self, i: usize) -> [f64; 3] {
        [self.x[i].into(), self.y[i].into(), self.z[i].into()]
    }

    /// At most `max` points, evenly spread over the border.
    fn regular_subset(&self, max: usize) -> Self {
        let kept = self.len().min(max);
        let pick = |values: &[f32]| (0..kept).map(|i| values[i * values.len() / kept]).collect();
        Self { centre: self.centre, x: pick(&self.x), y: pick(&self.y), z: pick(&self.z) }
    }

    fn count_supporters(&self, plane: &CentredPlane, inlier_m: f32) -> u32 {
        let [nx, ny, nz] = plane.normal.map(|n| n as f32);
        let offset = plane.offset_m as f32;
        let points = self.x.iter().zip(&self.y).zip(&self.z);
        points.map(|((x, y), z)| u32::from((nx * x + ny * y + nz * z + offset).abs() < inlier_m)).sum()
    }

    fn supporters(&self, plane: &CentredPlane, inlier_m: f32) -> Vec<usize> {
        (0..self.len()).filter(|i| plane.distance(self.point(*i)) < f64::from(inlier_m)).collect()
    }
}

/// A plane in the frame of [`BorderPoints`].
#[derive(Clone, Copy, Debug)]
struct CentredPlane {
    normal: [f64; 3],
    offset_m: f64,
}

impl CentredPlane {
    /// The least-squares plane; `None` if the points lie on a line.
    fn fit(points: impl Iterator<Item = [f64; 3]> + Clone) -> Option<Self> {
        let n = points.clone().count();
        let centre = mean(points.clone(), n);
        let mut scatter = [[0.0f64; 3]; 3];
        for p in points {
            let d = [p[0] - centre[0], p[1] - centre[1], p[2] - centre[2]];
            for i in 0..3 {
                for j in i..3 {
                    scatter[i][j] += d[i] * d[j];
                }
            }
        }
        for (i, j) in [(1, 0), (2, 0), (2, 1)] {
            scatter[i][j] = scatter[j][i];
        }
        let (values, vectors) = symmetric_eigen(scatter);
        let mut order = [0, 1, 2];
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let is_plane = values[order[1]] > LINE_VARIANCE_RATIO * values[order[2]];
        let normal = [0, 1, 2].map(|axis| vectors[axis][order[0]]);
        is_plane.then(|| Self { normal, offset_m: -inner(normal, centre) })
    }

    fn distance(&self, p: [f64; 3]) -> f64 {
        (inner(self.normal, p) + self.offset_m).abs()
    }

    fn in_cloud_frame(self, centre: [f64; 3]) -> Plane {
        let offset_m = self.offset_m - inner(self.normal, centre);
        let sign = if offset_m < 0.0 { -1.0 } else { 1.0 };
        Plane { normal: self.normal.map(|n| (sign * n) as f32), offset_m: (sign * offset_m) as f32 }
    }
}

fn inner(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn mean(points: impl Iterator<Item = [f64; 3]>, n: usize) -> [f64; 3] {
    let sum = points.fold([0.0; 3], |s, p| [s[0] + p[0], s[1] + p[1], s[2] + p[2]]);
    sum.map(|s| s / n.max(1) as f64)
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix, by cyclic Jacobi rotations.
fn symmetric_eigen(mut m: [[f64; 3]; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for _ in 0..JACOBI_SWEEPS {
        if m[0][1] == 0.0 && m[0][2] == 0.0 && m[1][2] == 0.0 {
            break;
        }
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if m[p][q] == 0.0 {
                continue;
            }
            let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
            let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
            let cos = 1.0 / (t * t + 1.0).sqrt();
            let sin = t * cos;
            for row in &mut m {
                (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
            }
            let (row_p, row_q) = (m[p], m[q]);
            m[p] = [0, 1, 2].map(|k| cos * row_p[k] - sin * row_q[k]);
            m[q] = [0, 1, 2].map(|k| sin * row_p[k] + cos * row_q[k]);
            (m[p][q], m[q][p]) = (0.0, 0.0);
            for row in &mut vectors {
                (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
            }
        }
    }
    ([m[0][0], m[1][1], m[2][2]], vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eigenvectors_diagonalise() {
        let m = [[4.0, 1.0, -2.0], [1.0, 3.0, 0.5], [-2.0, 0.5, 1.5]];
        let (values, vectors) = symmetric_eigen(m);
        for (k, value) in values.iter().enumerate() {
            let v = [vectors[0][k], vectors[1][k], vectors[2][k]];
            assert!((inner(v, v) - 1.0).abs() < 1e-12);
            for (i, row) in m.iter().enumerate() {
                // Double precision: a dozen roundings of numbers below 5.
                assert!((inner(*row, v) - value * v[i]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn points_on_a_line_have_no_plane() {
        let line = (0..20).map(|i| [0.01 * f64::from(i), 0.02 * f64::from(i), 0.5]);
        assert!(CentredPlane::fit(line).is_none());
    }
}
