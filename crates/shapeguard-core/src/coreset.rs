//! The greedy coreset of a memory bank: k-centre by farthest-first traversal.
//!
//! Source: PatchCore (Roth et al., CVPR 2022), section 3.2, equation 5 and algorithm 1: again and again the feature that is
//! farthest from all chosen ones, in a random projection of the features (there by the lemma of Johnson and Lindenstrauss).
//!
//! Differs: the projection has signs instead of Gaussian entries (Achlioptas 2003 shows the same bounds); the first feature is drawn
//! from the seed. A feature whose distance to its nearest centre is at most half of that centre's distance to the
//! new one cannot come nearer, by the triangle inequality, and is not looked at: the result is that of looking at all
//! (test: `skipping_by_the_triangle_inequality_changes_nothing`).

use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use crate::matrix::{Matrix, product_transposed};

/// Features of one task; fixed, so that the thread count never changes a result.
const BLOCK: usize = 2048;

/// A choice of features.
#[derive(Clone, Debug, PartialEq)]
pub struct Coreset {
    /// The chosen rows, in the order of their choice.
    pub rows: Vec<u32>,
    /// After each choice, the largest distance of a feature to its nearest chosen one, in the projection.
    pub radii: Vec<f32>,
}

/// Chooses `count` rows, or fewer if each other row equals a chosen one before.
///
/// # Panics
/// If there is no row: a bug of the caller.
pub fn greedy_coreset(features: &Matrix, count: usize, projected_dim: usize, seed: u64) -> Coreset {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let first = rng.random_range(0..features.rows());
    let projected;
    let points = if features.cols() > projected_dim {
        projected = product_transposed(features, &sign_projection(projected_dim, features.cols(), &mut rng));
        &projected
    } else {
        features
    };
    farthest_first(points, first, count, true)
}

/// Entries of plus or minus one over the root of the number of dimensions, `[to, from]`.
fn sign_projection(to: usize, from: usize, rng: &mut rand_chacha::ChaCha8Rng) -> Matrix {
    let size = 1.0 / (to as f32).sqrt();
    Matrix::from_vec(to, from, (0..to * from).map(|_| if rng.random::<bool>() { size } else { -size }).collect())
}

/// A feature's nearest centre so far.
#[derive(Clone, Copy)]
struct Nearest {
    squared: f32,
    centre: u32,
}

fn farthest_first(points: &Matrix, first: usize, count: usize, skip: bool) -> Coreset {
    let width = points.cols();
    let mut nearest = vec![Nearest { squared: f32::INFINITY, centre: 0 }; points.rows()];
    let mut centres = Matrix::default();
    let mut coreset = Coreset { rows: Vec::with_capacity(count), radii: Vec::with_capacity(count) };
    let mut next = first;
    while coreset.rows.len() < count.max(1) {
        let centre = points.row(next).to_vec();
        // A quarter of the squared distance of each earlier centre to the new one.
        let reach: Vec<f32> = match skip {
            true => centres.as_slice().par_chunks(width).map(|old| squared_distance(old, &centre) / 4.0).collect(),
            false => vec![0.0; centres.rows()],
        };
        let number = coreset.rows.len() as u32;
        let farthest = nearest
            .par_chunks_mut(BLOCK)
            .zip(points.as_slice().par_chunks(BLOCK * width))
            .map(|(nearest, points)| {
                let mut farthest = (f32::NEG_INFINITY, 0);
                for (index, (nearest, point)) in nearest.iter_mut().zip(points.chunks_exact(width)).enumerate() {
                    if reach.get(nearest.centre as usize).is_none_or(|reach| nearest.squared > *reach) {
                        let squared = squared_distance(point, &centre);
                        if squared < nearest.squared {
                            *nearest = Nearest { squared, centre: number };
                        }
                    }
                    if nearest.squared > farthest.0 {
                        farthest = (nearest.squared, index);
                    }
                }
                farthest
            })
            .collect::<Vec<_>>();
        coreset.rows.push(next as u32);
        centres.append(&Matrix::from_vec(1, width, centre));
        // The first of the farthest.
        let (block, (squared, index)) =
            farthest.into_iter().enumerate().reduce(|a, b| if b.1.0 > a.1.0 { b } else { a }).expect("there is a row");
        coreset.radii.push(squared.sqrt());
        if squared <= 0.0 {
            break;
        }
        next = block * BLOCK + index;
    }
    coreset
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (a, rest_a) = a.as_chunks::<16>();
    let (b, rest_b) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..16 {
            let difference = a[lane] - b[lane];
            lanes[lane] += difference * difference;
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| (a - b) * (a - b)).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(rows: usize, cols: usize) -> Matrix {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        // Clumps of different size, as features are.
        let value = |i: usize, u: f32| ((i / cols % 17) as f32 * 1.7).sin() * 3.0 + u;
        Matrix::from_vec(rows, cols, (0..rows * cols).map(|i| value(i, rng.random::<f32>())).collect())
    }

    #[test]
    fn the_spread_never_grows_and_rows_are_unique() {
        let coreset = greedy_coreset(&features(3000, 20), 300, 128, 1);
        assert_eq!(coreset.rows.len(), 300);
        assert!(coreset.radii.windows(2).all(|pair| pair[1] <= pair[0]));
        let mut rows = coreset.rows.clone();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), 300);
    }

    #[test]
    fn skipping_by_the_triangle_inequality_changes_nothing() {
        for cols in [5, 64] {
            let features = features(5000, cols);
            assert_eq!(farthest_first(&features, 17, 400, true), farthest_first(&features, 17, 400, false));
        }
    }

    #[test]
    fn every_row_lies_within_the_radius_of_a_chosen_one() {
        let features = features(500, 8);
        let coreset = greedy_coreset(&features, 40, 128, 3);
        let radius = *coreset.radii.last().unwrap();
        let to_nearest = |row: usize| {
            let of = |chosen: &u32| squared_distance(features.row(row), features.row(*chosen as usize)).sqrt();
            coreset.rows.iter().map(of).fold(f32::INFINITY, f32::min)
        };
        let farthest = (0..500).map(to_nearest).fold(0.0, f32::max);
        assert_eq!(farthest, radius);
        // And k-centre's guarantee: the next centre would be that far away, so no k centres reach within half of it.
        assert!((0..500).any(|row| to_nearest(row) == radius));
    }

    #[test]
    fn equal_rows_are_chosen_once() {
        let features = Matrix::from_vec(6, 1, vec![1.0, 2.0, 1.0, 2.0, 1.0, 5.0]);
        let coreset = greedy_coreset(&features, 6, 128, 0);
        assert_eq!(coreset.rows.len(), 3);
        assert_eq!(*coreset.radii.last().unwrap(), 0.0);
    }

    #[test]
    fn the_projection_keeps_distances_and_the_number_of_threads_changes_no_byte() {
        let features = features(4000, 300);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let projected = product_transposed(&features, &sign_projection(128, 300, &mut rng));
        let ratio = |i: usize| {
            squared_distance(projected.row(i), projected.row(i + 1))
                / squared_distance(features.row(i), features.row(i + 1))
        };
        let mean = (0..3999).map(ratio).sum::<f32>() / 3999.0;
        // The expected ratio is 1; neighbours are correlated, so that the mean strays by some percent.
        assert!((mean - 1.0).abs() < 0.2, "{mean}");
        let choose = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| greedy_coreset(&features, 200, 128, 9))
        };
        assert_eq!(choose(1), choose(3));
        assert_ne!(choose(1), greedy_coreset(&features, 200, 128, 10));
    }
}
