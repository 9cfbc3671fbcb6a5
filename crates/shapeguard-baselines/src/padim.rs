//! PaDiM on colour: a Gaussian of the features at each position.
//!
//! Source: Defard, Setkov, Loesch, Audigier, PaDiM, 2020 (arXiv 2011.08785): section III-A (maps of several layers, at the
//! finest's grid, channels chosen at random), III-B (mean and regularised covariance at each position), III-C
//! (Mahalanobis distance; the sample's score is the map's largest).
//!
//! Differs: distances come from the n samples' features instead of the d x d covariance, which is the same by Woodbury's
//! identity (test: `distances_equal_those_of_the_covariance`), but takes n d numbers a position, not d^2, and needs no inverse
//! of d^3. Maps are brought to pixels bilinearly, not by a cubic. Images are the method's samples of 224 x 224 pixels. With
//! the embedded network there are two levels and fewer channels than are to be chosen, so all are taken. Cells that the part does not
//! touch score 0.

use rand::SeedableRng;
use rand::seq::index;
use rayon::prelude::*;
use shapeguard_core::matrix::{Matrix, dot};
use shapeguard_core::resample::Sample;

use crate::backbone::Backbone;
use crate::settings::PadimSettings;

/// A covariance needs two samples.
pub const LEAST_SAMPLES: usize = 2;

/// The chosen channels of all levels at the finest one's grid, `[side * side, channels]`; a coarser map's pixel describes
/// every position that it covers.
pub fn features(sample: &Sample, backbone: &Backbone, settings: &PadimSettings, seed: u64) -> Matrix {
    let levels = backbone.levels(&sample.rgb);
    let all: usize = levels.iter().map(|level| level.features.cols()).sum();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut chosen = index::sample(&mut rng, all, settings.channels.min(all)).into_vec();
    chosen.sort_unstable();
    let side = levels[0].side;
    let mut features = Matrix::zeros(side * side, chosen.len());
    for position in 0..side * side {
        let (row, col) = (position / side, position % side);
        let mut chosen = chosen.iter().peekable();
        let (mut before, mut out) = (0, features.row_mut(position).iter_mut());
        for level in &levels {
            let from = level.features.row(row * level.side / side * level.side + col * level.side / side);
            while let Some(channel) = chosen.next_if(|channel| **channel < before + from.len()) {
                *out.next().expect("one for each chosen channel") = from[channel - before];
            }
            before += from.len();
        }
    }
    features
}

/// A Gaussian for each position.
pub struct Gaussians {
    /// `[positions, d]`.
    means: Matrix,
    /// `L^-1 X` of each position, `[positions * n, d]`: X are the centred features of the n samples, and
    /// `L L^T = X X^T + (n - 1) regularisation I`.
    whitened: Matrix,
    samples: usize,
    regularisation: f64,
}

impl Gaussians {
    /// Estimates mean and covariance (over n - 1) at each position.
    ///
    /// # Panics
    /// If there are fewer than two samples, their shapes differ, or the regularisation is not positive: bugs of the caller.
    pub fn fit(samples: &[Matrix], regularisation: f64) -> Self {
        assert!(samples.len() >= LEAST_SAMPLES && regularisation > 0.0);
        let (n, d, positions) = (samples.len(), samples[0].cols(), samples[0].rows());
        assert!(samples.iter().all(|sample| sample.rows() == positions && sample.cols() == d));
        let mut means = Matrix::zeros(positions, d);
        let mut whitened = Matrix::zeros(positions * n, d);
        means.as_mut_slice().par_chunks_mut(d).zip(whitened.as_mut_slice().par_chunks_mut(n * d)).enumerate().for_each(
            |(position, (mean, rows))| {
                for (channel, mean) in mean.iter_mut().enumerate() {
                    let sum: f64 = samples.iter().map(|sample| f64::from(sample.row(position)[channel])).sum();
                    *mean = (sum / n as f64) as f32;
                }
                for (row, sample) in rows.chunks_exact_mut(d).zip(samples) {
                    row.iter_mut().zip(sample.row(position)).zip(&*mean).for_each(|((x, f), m)| *x = f - m);
                }
                whiten(rows, n, (n - 1) as f64 * regularisation);
            },
        );
        Self { means, whitened, samples: n, regularisation }
    }

    /// How many positions there are.
    pub fn positions(&self) -> usize {
        self.means.rows()
    }

    /// Mahalanobis distances of a sample's features at the given positions.
    pub fn distances(&self, features: &Matrix, positions: &[u32]) -> Vec<f32> {
        let (n, d) = (self.samples, self.means.cols());
        positions
            .par_iter()
            .map(|position| {
                let position = *position as usize;
                let offset: Vec<f32> =
                    features.row(position).iter().zip(self.means.row(position)).map(|(f, m)| f - m).collect();
                let rows = &self.whitened.as_slice()[position * n * d..][..n * d];
                let explained: f64 = rows.chunks_exact(d).map(|row| f64::from(dot(row, &offset)).powi(2)).sum();
                let squared = offset.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>() - explained;
                // Rounding may leave less than nothing.
                (squared.max(0.0) / self.regularisation).sqrt() as f32
            })
            .collect()
    }
}

/// Replaces the rows X by `L^-1 X` with `L L^T = X X^T + ridge I`.
fn whiten(rows: &mut [f32], n: usize, ridge: f64) {
    let d = rows.len() / n;
    let inner = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let mut lower = vec![0.0f64; n * n];
    for i in 0..n {
        for j in 0..=i {
            let product = inner(&rows[i * d..][..d], &rows[j * d..][..d]) + if i == j { ridge } else { 0.0 };
            let known: f64 = (0..j).map(|k| lower[i * n + k] * lower[j * n + k]).sum();
            let rest = product - known;
            lower[i * n + j] = if i == j { rest.sqrt() } else { rest / lower[j * n + j] };
        }
    }
    let mut solved: Vec<f64> = rows.iter().map(|x| f64::from(*x)).collect();
    for i in 0..n {
        let (before, row) = solved.split_at_mut(i * d);
        for (k, earlier) in before.chunks_exact(d).enumerate() {
            let factor = lower[i * n + k];
            row[..d].iter_mut().zip(earlier).for_each(|(x, y)| *x -= factor * y);
        }
        row[..d].iter_mut().for_each(|x| *x /= lower[i * n + i]);
    }
    rows.iter_mut().zip(solved).for_each(|(x, y)| *x = y as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_equal_those_of_the_covariance() {
        // Five samples of two features at two positions; at the second nothing varies.
        let points = [[1.0, 2.0], [2.0, 1.0], [3.0, 5.0], [0.0, 0.5], [4.0, 4.0f32]];
        let samples: Vec<Matrix> = points.iter().map(|p| Matrix::from_vec(2, 2, vec![p[0], p[1], 3.0, 3.0])).collect();
        let epsilon = 0.01;
        let gaussians = Gaussians::fit(&samples, epsilon);
        let mean = [2.0, 2.5];
        let moment = |a: usize, b: usize| {
            let of = |p: &[f32; 2]| (f64::from(p[a]) - mean[a]) * (f64::from(p[b]) - mean[b]);
            points.iter().map(of).sum::<f64>() / 4.0 + if a == b { epsilon } else { 0.0 }
        };
        let (xx, xy, yy) = (moment(0, 0), moment(0, 1), moment(1, 1));
        for query in [[2.0, 2.5], [7.0, -1.0], [2.5, 2.0f32]] {
            let found = gaussians.distances(&Matrix::from_vec(2, 2, vec![query[0], query[1], 3.0, 4.0]), &[0, 1]);
            let (dx, dy) = (f64::from(query[0]) - mean[0], f64::from(query[1]) - mean[1]);
            let expected = ((yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / (xx * yy - xy * xy)).sqrt();
            // What is left of |x|^2 (up to 37) in single precision, over epsilon.
            assert!((f64::from(found[0]) - expected).abs() < 2e-3 * (1.0 + expected), "{} {expected}", found[0]);
            // Without variance the covariance is the regularisation: 1 / sqrt(0.01).
            assert!((found[1] - 10.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_known_gaussian_is_found_again() {
        // Independent features of deviations 1 and 3: 2,000 samples find squared distances within some percent.
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut normal = || (0..12).map(|_| rand::RngExt::random::<f32>(&mut rng)).sum::<f32>() - 6.0;
        let samples: Vec<Matrix> =
            (0..300).map(|_| Matrix::from_vec(1, 2, vec![normal() + 5.0, 3.0 * normal()])).collect();
        let gaussians = Gaussians::fit(&samples, 0.01);
        let at = |x: f32, y: f32| gaussians.distances(&Matrix::from_vec(1, 2, vec![x, y]), &[0])[0];
        for (x, y, expected) in [(7.0, 0.0, 2.0), (5.0, 9.0, 3.0), (8.0, 12.0, 5.0)] {
            assert!((at(x, y) - expected).abs() < 0.12 * expected, "{x} {y}: {}", at(x, y));
        }
    }
}
