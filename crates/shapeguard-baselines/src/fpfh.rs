//! Fast point feature histograms.
//!
//! Source: Rusu, Blodow, Beetz, "Fast Point Feature Histograms (FPFH) for 3D Registration", ICRA 2009, as Open3D computes
//! them, since BTF uses Open3D: 11 bins for each of three angles; the neighbours' histograms are weighted by one over the *squared*
//! distance (the paper: over the distance), their sum is scaled to 100 an angle (the paper: divided by their number), and the point's own is
//! added. A point and its neighbour take the role of the origin by the smaller angle of the normal to the line between them.
//!
//! Normals are the eigenvectors of the smallest eigenvalue of the neighbourhoods' covariances. Differs: all point to the camera, at
//! the origin, where Open3D leaves their signs to its solver, so that features do not depend on it; points nearer
//! than single precision tells are taken in the order of the grid. Golden: tests/goldens/README.md.

use rayon::prelude::*;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::patches::{PointBuckets, knn};

use crate::settings::FpfhSettings;

/// Bins of one angle.
const BINS_PER_ANGLE: usize = 11;
/// Length of a feature.
pub const BINS: usize = 3 * BINS_PER_ANGLE;
/// What the bins of one angle sum to in a histogram of one point's pairs.
const TOTAL: f64 = 100.0;

type Vector = [f64; 3];

/// The feature of each point, `[points, 33]`; zeros for a point without a neighbour.
pub fn fpfh(points_m: &[[f32; 3]], settings: &FpfhSettings) -> Matrix {
    let points: Vec<Vector> = points_m.iter().map(|p| p.map(f64::from)).collect();
    let neighbours = nearest(points_m, settings.normal_neighbours.max(settings.feature_neighbours));
    with_normals(&points, &normals(&points, &neighbours, settings), &neighbours, settings)
}

fn with_normals(points: &[Vector], normals: &[Vector], neighbours: &[Vec<Near>], settings: &FpfhSettings) -> Matrix {
    let limits = (settings.feature_radius_m, settings.feature_neighbours);
    let simple: Vec<[f64; BINS]> = neighbours
        .par_iter()
        .enumerate()
        .map(|(centre, neighbours)| simple_histogram(centre, within(neighbours, limits), points, normals))
        .collect();
    let mut features = Matrix::zeros(neighbours.len(), BINS);
    features.as_mut_slice().par_chunks_mut(BINS).zip(neighbours).enumerate().for_each(|(centre, (out, neighbours))| {
        let mut sum = [0.0; BINS];
        for near in within(neighbours, limits).iter().filter(|near| near.squared > 0.0) {
            let weight = 1.0 / near.squared;
            sum.iter_mut().zip(&simple[near.point]).for_each(|(sum, value)| *sum += weight * value);
        }
        for (angle, sum) in sum.chunks_exact_mut(BINS_PER_ANGLE).enumerate() {
            let total: f64 = sum.iter().sum();
            let scale = if total > 0.0 { TOTAL / total } else { 0.0 };
            for (bin, sum) in sum.iter().enumerate() {
                let bin = angle * BINS_PER_ANGLE + bin;
                out[bin] = (sum * scale + simple[centre][bin]) as f32;
            }
        }
    });
    features
}

/// The histogram of the angles between a point and each of its neighbours.
fn simple_histogram(centre: usize, neighbours: &[Near], points: &[Vector], normals: &[Vector]) -> [f64; BINS] {
    let mut histogram = [0.0; BINS];
    let share = TOTAL / neighbours.len() as f64;
    for near in neighbours {
        let other = near.point;
        let angles = pair_angles([points[centre], points[other]], [normals[centre], normals[other]]);
        let ranges = [(-std::f64::consts::PI, std::f64::consts::PI), (-1.0, 1.0), (-1.0, 1.0)];
        for (index, (angle, (from, to))) in angles.into_iter().zip(ranges).enumerate() {
            let bin = (BINS_PER_ANGLE as f64 * (angle - from) / (to - from)).floor();
            let bin = bin.clamp(0.0, (BINS_PER_ANGLE - 1) as f64) as usize;
            histogram[index * BINS_PER_ANGLE + bin] += share;
        }
    }
    histogram
}

/// Theta, alpha and phi of two points and their normals (Rusu, equation 1): how the second normal turns about, and tilts
/// out of, the frame that the first spans with the line between the points, and how the line lies to the first.
/// The last two are cosines. All 0 where no frame exists: points that coincide, or a normal along the line.
fn pair_angles([first, second]: [Vector; 2], [first_normal, second_normal]: [Vector; 2]) -> [f64; 3] {
    let line = sub(second, first);
    let length = norm(line);
    if length == 0.0 {
        return [0.0; 3];
    }
    let cosines = [dot(first_normal, line) / length, dot(second_normal, line) / length];
    let (origin, target, line, phi) = if cosines[0].abs() < cosines[1].abs() {
        (second_normal, first_normal, line.map(|x| -x), -cosines[1])
    } else {
        (first_normal, second_normal, line, cosines[0])
    };
    let across = cross(line, origin);
    let size = norm(across);
    if size == 0.0 {
        return [0.0; 3];
    }
    let v = across.map(|x| x / size);
    let w = cross(origin, v);
    [dot(w, target).atan2(dot(origin, target)), dot(v, target), phi]
}

/// Unit normals that point to the origin.
fn normals(points: &[Vector], neighbours: &[Vec<Near>], settings: &FpfhSettings) -> Vec<Vector> {
    let limits = (settings.normal_radius_m, settings.normal_neighbours);
    let normal = |(centre, neighbours): (&Vector, &Vec<Near>)| {
        let around = within(neighbours, limits).iter().map(|near| points[near.point]);
        let normal = smallest_axis(covariance(&std::iter::once(*centre).chain(around).collect::<Vec<_>>()));
        if dot(normal, *centre) > 0.0 { normal.map(|x| -x) } else { normal }
    };
    points.par_iter().zip(neighbours).map(normal).collect()
}

/// Covariance of points.
fn covariance(points: &[Vector]) -> [[f64; 3]; 3] {
    let n = points.len() as f64;
    let mean = [0, 1, 2].map(|axis| points.iter().map(|p| p[axis]).sum::<f64>() / n);
    let moment = |a: usize, b: usize| points.iter().map(|p| (p[a] - mean[a]) * (p[b] - mean[b])).sum::<f64>() / n;
    let (xy, xz, yz) = (moment(0, 1), moment(0, 2), moment(1, 2));
    [[moment(0, 0), xy, xz], [xy, moment(1, 1), yz], [xz, yz, moment(2, 2)]]
}

/// The unit eigenvector of the smallest eigenvalue of a symmetric matrix, by Jacobi's rotations.
fn smallest_axis(mut a: [[f64; 3]; 3]) -> Vector {
    /// Sweeps; convergence is quadratic, and six reach double precision.
    const SWEEPS: usize = 10;
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for (p, q) in [(0, 1), (0, 2), (1, 2)].into_iter().cycle().take(3 * SWEEPS) {
        if a[p][q] == 0.0 {
            continue;
        }
        let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
        let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
        let c = 1.0 / (t * t + 1.0).sqrt();
        let s = t * c;
        for row in &mut a {
            (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
        }
        let (above, below) = a.split_at_mut(q);
        for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
            (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
        }
        for row in &mut vectors {
            (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
        }
    }
    let smallest = (0..3).reduce(|i, j| if a[j][j] < a[i][i] { j } else { i }).unwrap_or(0);
    let axis = vectors.map(|row| row[smallest]);
    let length = norm(axis);
    axis.map(|x| x / length)
}

/// A neighbour and its squared distance.
struct Near {
    point: usize,
    squared: f64,
}

/// The nearest points of each point, nearest first: `most` with the point itself, which is not among them.
fn nearest(points_m: &[[f32; 3]], most: usize) -> Vec<Vec<Near>> {
    let buckets = PointBuckets::new(points_m);
    let squared = |a: [f32; 3], b: [f32; 3]| {
        let difference = sub(a.map(f64::from), b.map(f64::from));
        dot(difference, difference)
    };
    (0..points_m.len())
        .into_par_iter()
        .map_init(knn::Scratch::default, |scratch, centre| {
            let found = knn::nearest(&buckets, centre as u32, most.min(points_m.len()), scratch);
            let points = found[1..].iter().map(|point| *point as usize);
            points.map(|point| Near { point, squared: squared(points_m[point], points_m[centre]) }).collect()
        })
        .collect()
}

/// Those of the nearest points that lie within a radius (metres), and at most so many, the point itself counted.
fn within(nearest: &[Near], (radius_m, most): (f64, usize)) -> &[Near] {
    let nearest = &nearest[..nearest.len().min(most - 1)];
    &nearest[..nearest.partition_point(|near| near.squared <= radius_m * radius_m)]
}

fn sub(a: Vector, b: Vector) -> Vector {
    [0, 1, 2].map(|axis| a[axis] - b[axis])
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn norm(a: Vector) -> f64 {
    dot(a, a).sqrt()
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::BaselineSettings;

    #[derive(serde::Deserialize)]
    struct Golden {
        normal_radius_m: f64,
        normal_neighbours: usize,
        feature_radius_m: f64,
        feature_neighbours: usize,
        points_m: Vec<[f32; 3]>,
        normals: Vec<Vector>,
        given_normals: Vec<Vector>,
        kept_every: usize,
        fpfh: Vec<Vec<f32>>,
    }

    fn golden() -> (Golden, FpfhSettings) {
        let golden: Golden = serde_json::from_str(include_str!("../tests/goldens/fpfh.json")).unwrap();
        let settings = FpfhSettings {
            normal_radius_m: golden.normal_radius_m,
            normal_neighbours: golden.normal_neighbours,
            feature_radius_m: golden.feature_radius_m,
            feature_neighbours: golden.feature_neighbours,
        };
        (golden, settings)
    }

    fn prepared(golden: &Golden) -> (Vec<Vector>, Vec<Vec<Near>>) {
        let most = golden.normal_neighbours.max(golden.feature_neighbours);
        (golden.points_m.iter().map(|p| p.map(f64::from)).collect(), nearest(&golden.points_m, most))
    }

    #[test]
    fn normals_equal_open3d_s() {
        let (golden, settings) = golden();
        let (points, neighbours) = prepared(&golden);
        let found = normals(&points, &neighbours, &settings);
        for (found, expected) in found.iter().zip(&golden.normals) {
            assert!(norm(sub(*found, *expected)) < 1e-6, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn features_equal_open3d_s() {
        let (golden, settings) = golden();
        let (points, neighbours) = prepared(&golden);
        let features = with_normals(&points, &golden.given_normals, &neighbours, &settings);
        for (index, expected) in golden.fpfh.iter().enumerate() {
            for (found, expected) in features.row(index * golden.kept_every).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-3, "point {index}: {found} {expected}");
            }
        }
    }

    #[test]
    fn a_plane_has_all_mass_in_the_middle_bins() {
        // All normals are equal: theta 0, alpha 0 and phi 0, so the sixth bin of each.
        let points: Vec<[f32; 3]> = (0..400).map(|i| [(i % 20) as f32 * 0.001, (i / 20) as f32 * 0.001, 0.4]).collect();
        let features = fpfh(&points, &BaselineSettings::default().fpfh);
        for row in 0..400 {
            for (bin, value) in features.row(row).iter().enumerate() {
                let expected = if bin % BINS_PER_ANGLE == 5 { 200.0 } else { 0.0 };
                assert!((value - expected).abs() < 1e-3, "point {row}, bin {bin}: {value}");
            }
        }
    }

    #[test]
    fn a_sphere_s_angles_have_their_closed_form() {
        // Normals of a unit sphere that point inwards, as a camera at its centre sees it: over a chord between points an angle b
        // apart the cosine of phi is sin(b / 2), alpha is 0, and theta is the angle itself, either way round.
        let b = 0.3f64;
        let points = [[1.0, 0.0, 0.0], [b.cos(), b.sin(), 0.0]];
        let normals = points.map(|p| p.map(|x| -x));
        let [theta, alpha, phi] = pair_angles(points, normals);
        assert!((theta.abs() - b).abs() < 1e-12 && alpha.abs() < 1e-12 && (phi - (b / 2.0).sin()).abs() < 1e-12);
        assert_eq!(pair_angles([points[0], points[0]], normals), [0.0; 3]);
        assert_eq!(pair_angles([[0.0; 3], [0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]; 2]), [0.0; 3]);
    }

    #[test]
    fn turning_the_scene_about_the_camera_changes_little() {
        let (golden, settings) = golden();
        let before = fpfh(&golden.points_m, &settings);
        let (sin, cos) = 0.7f32.sin_cos();
        let turned: Vec<[f32; 3]> =
            golden.points_m.iter().map(|p| [cos * p[0] - sin * p[1], sin * p[0] + cos * p[1], p[2]]).collect();
        let after = fpfh(&turned, &settings);
        let total: f32 = before.as_slice().iter().zip(after.as_slice()).map(|(a, b)| (a - b).abs()).sum();
        // Pairs at the edge of a bin may move; all others stay. The mass is 600 a point.
        assert!(total < 0.001 * 600.0 * 300.0, "{total}");
    }

    #[test]
    fn few_points_and_equal_points_give_finite_features() {
        let settings = BaselineSettings::default().fpfh;
        for points in [vec![], vec![[0.0, 0.0, 0.4]], vec![[0.0, 0.0, 0.4]; 3], vec![[0.0, 0.0, 0.4], [0.1, 0.0, 0.4]]]
        {
            let features = fpfh(&points, &settings);
            assert_eq!(features.rows(), points.len());
            assert!(features.as_slice().iter().all(|value| value.is_finite()));
        }
    }
}
