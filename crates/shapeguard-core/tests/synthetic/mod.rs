//! A synthetic scan for tests and timings: a part with a step, a through-hole and a patch without depth, lying on a
//! tilted table beside a small second object, with noise, stray points at the part's silhouette and dropouts.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shapeguard_core::grid::{Grid, GridSize, Mask, RgbImage};
use shapeguard_core::sample::{OrganizedCloud, Scan};

/// Distance of the table from the camera, metres.
pub const TABLE_M: f32 = 0.45;
/// Width of the camera's view at the table, metres.
pub const VIEW_M: f32 = 0.28;
/// Standard deviation of the depth noise, metres.
pub const NOISE_M: f32 = 0.0001;

/// Radius of the part in the unit square.
const RADIUS: f32 = 0.216;

/// The scene, with what a perfect foreground would keep.
pub struct Scene {
    pub scan: Scan,
    /// Pixels that show the part, with or without depth.
    #[allow(dead_code)] // The timing does not look at it.
    pub shows_part: Mask,
}

/// What one pixel sees: height above the table in metres, and whether that is the part.
struct Seen {
    height_m: f32,
    is_part: bool,
    has_depth: bool,
}

/// A pixel of the unit square: the part is a disc of radius [`RADIUS`] (about 90,000 of 800 x 800 pixels).
fn look(u: f32, v: f32) -> Seen {
    let from = |cu: f32, cv: f32| (u - cu).hypot(v - cv);
    let in_part = from(0.5, 0.5) < RADIUS && from(0.57, 0.5) > 0.03;
    if in_part {
        // Below DBSCAN's radius: a higher step cuts the part in two.
        let step = if v > 0.5 { 0.004 } else { 0.0 };
        let dome = 0.01 * (1.0 - (from(0.5, 0.5) / RADIUS).powi(2)).max(0.0).sqrt();
        return Seen { height_m: 0.012 + step + dome, is_part: true, has_depth: from(0.42, 0.45) > 0.02 };
    }
    let beside = from(0.8, 0.8) < 0.06;
    Seen { height_m: if beside { 0.02 } else { 0.0 }, is_part: false, has_depth: true }
}

/// A scene of `side` x `side` pixels.
pub fn scene(side: usize, seed: u64) -> Scene {
    let size = GridSize::new(side, side);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut valid = Mask::filled(size, true);
    let mut shows_part = Mask::filled(size, false);
    let mut rgb = RgbImage::filled(size, [90, 90, 90]);
    let points = Grid::from_fn(size, |row, col| {
        let (u, v) = ((col as f32 + 0.5) / side as f32, (row as f32 + 0.5) / side as f32);
        let seen = look(u, v);
        let near_edge = [(-0.004, 0.0), (0.004, 0.0), (0.0, -0.004), (0.0, 0.004)]
            .iter()
            .any(|(du, dv)| look(u + du, v + dv).is_part != seen.is_part);
        let noise: f32 = (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 1.7 * NOISE_M;
        // A stray point of the table hangs between table and part.
        let stray =
            if near_edge && !seen.is_part && rng.random::<f32>() < 0.3 { 0.012 * rng.random::<f32>() } else { 0.0 };
        shows_part[(row, col)] = seen.is_part;
        valid[(row, col)] = seen.has_depth && rng.random::<f32>() > 0.01;
        if seen.is_part {
            rgb[(row, col)] = [200, 120, (row % 200) as u8 + 20];
        }
        // The table falls away to the right by 3 %.
        let z = TABLE_M + 0.03 * VIEW_M * (u - 0.5) - seen.height_m - noise - stray;
        [(u - 0.5) * VIEW_M * z / TABLE_M, (v - 0.5) * VIEW_M * z / TABLE_M, z]
    });
    let scan = Scan::new(OrganizedCloud::from_parts(points, valid), rgb).expect("the scene is a proper scan");
    Scene { scan, shows_part }
}

/// DBSCAN by definition, with a list of the points of each `eps` cube only to find neighbours in bearable time:
/// expands one cluster after the other from its first core point, distances in double precision.
pub fn slow_dbscan(points: &[[f32; 3]], eps: f32, min_points: usize) -> Vec<Option<u32>> {
    use std::collections::HashMap;
    let eps = f64::from(eps);
    let p = |i: usize| points[i].map(f64::from);
    let cube = |i: usize| p(i).map(|x| (x / eps).floor() as i64);
    let mut cubes: HashMap<[i64; 3], Vec<usize>> = HashMap::new();
    for i in 0..points.len() {
        cubes.entry(cube(i)).or_default().push(i);
    }
    let neighbours = |i: usize| {
        let (a, c) = (p(i), cube(i));
        let mut found = Vec::new();
        for offset in 0..27 {
            let near = [c[0] + offset % 3 - 1, c[1] + offset / 3 % 3 - 1, c[2] + offset / 9 - 1];
            for j in cubes.get(&near).into_iter().flatten() {
                let b = p(*j);
                if (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>() <= eps * eps {
                    found.push(*j);
                }
            }
        }
        found
    };
    let mut labels = vec![None; points.len()];
    let mut visited = vec![false; points.len()];
    let mut clusters = 0;
    for first in 0..points.len() {
        if visited[first] || labels[first].is_some() || neighbours(first).len() < min_points {
            continue;
        }
        let mut queue = vec![first];
        labels[first] = Some(clusters);
        while let Some(i) = queue.pop() {
            if std::mem::replace(&mut visited[i], true) {
                continue;
            }
            let near = neighbours(i);
            if near.len() < min_points {
                continue;
            }
            for j in near {
                if labels[j].is_none() {
                    labels[j] = Some(clusters);
                    queue.push(j);
                }
            }
        }
        clusters += 1;
    }
    labels
}
