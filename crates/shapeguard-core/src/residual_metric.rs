//! The metric of RGB residuals (docs/method.md, "Metric of RGB residuals"): how long the difference of a cell's feature and its
//! reconstruction is. Ours, not the paper's; the preset `paper` measures by Euclid.
//!
//! The channels of a feature vary unequally and together, so that in Euclid's metric a few of them decide. Here the residuals of
//! good parts, each without any feature of its own sample, tell how residuals vary, and a new one is measured in these
//! deviations: the Mahalanobis distance, as PaDiM (Defard et al. 2020) measures features, but of what sparse coding
//! leaves. The metric is scaled so that residuals that vary alike in all directions keep their lengths.
//!
//! A training scan's own residuals are among those that the metric is learnt of, so that its leave-one-out score comes out a
//! little small, as it does with typical scores.

use crate::matrix::{Matrix, product_transposed};
use crate::square_matrix::SquareMatrix;

/// Share of the mean variance in every direction: of few scans the covariance is known badly, and what they never show must not
/// count without limit. Measured: 0.01 and 0.05 do equally well, 0.2 a little worse, with 20 scans in the memory.
const SHRINKAGE: f64 = 0.05;
/// The least positive number whose product with a squared residual is still told from nothing.
const LEAST_VARIANCE: f64 = 1e-30;

/// A metric: residuals are as long as their product with a lower triangle.
#[derive(Clone, Debug, PartialEq)]
pub struct ResidualMetric {
    /// Row by row, `[d, d]`; zeros above the diagonal.
    whitening: Matrix,
}

impl ResidualMetric {
    /// Of residuals of good parts, sample after sample. Without any that differs from zero it is Euclid's. What is no number
    /// makes a metric that is none, so that it surfaces in the scores.
    ///
    /// # Shapes
    /// - `samples`: of each sample `[n_cells, d]`
    ///
    /// # Panics
    /// If residuals differ in length: a bug of the caller.
    pub fn learn(samples: &[&Matrix]) -> Self {
        let width = samples.first().map_or(0, |sample| sample.cols());
        let rows: Vec<&[f32]> = samples.iter().flat_map(|s| (0..s.rows()).map(|row| s.row(row))).collect();
        let count = rows.len().max(1) as f64;
        let mut covariance = SquareMatrix::scatter(&rows);
        let mean_variance = covariance.trace() / count / width.max(1) as f64;
        if mean_variance <= LEAST_VARIANCE {
            return Self { whitening: single_precision(&SquareMatrix::identity(width), 1.0) };
        }
        covariance.scale_and_add_to_diagonal((1.0 - SHRINKAGE) / count, SHRINKAGE * mean_variance);
        let inverse = covariance.cholesky().inverse_of_lower();
        Self { whitening: single_precision(&inverse, mean_variance.sqrt()) }
    }

    /// With a triangle that was learnt before.
    ///
    /// # Panics
    /// If it is not square: a bug of the caller.
    pub fn from_whitening(whitening: Matrix) -> Self {
        assert_eq!(whitening.rows(), whitening.cols(), "a metric is square");
        Self { whitening }
    }

    /// The triangle, `[d, d]`.
    pub fn whitening(&self) -> &Matrix {
        &self.whitening
    }

    /// How long each residual is.
    ///
    /// # Shapes
    /// - `residuals`: `[n, d]`
    pub fn lengths(&self, residuals: &Matrix) -> Vec<f32> {
        lengths(&product_transposed(residuals, &self.whitening))
    }
}

/// Euclidean length of every row.
fn lengths(rows: &Matrix) -> Vec<f32> {
    rows.squared_row_norms().into_iter().map(f32::sqrt).collect()
}

/// A matrix times a number.
fn single_precision(matrix: &SquareMatrix, factor: f64) -> Matrix {
    let values = matrix.values().iter().map(|value| (value * factor) as f32);
    Matrix::from_vec(matrix.side(), matrix.side(), values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Residuals whose two channels vary by 3 and 1, uncorrelated.
    fn residuals() -> Matrix {
        Matrix::from_vec(4, 2, vec![3.0, 1.0, -3.0, 1.0, 3.0, -1.0, -3.0, -1.0])
    }

    #[test]
    fn residuals_are_measured_in_the_deviations_of_good_ones() {
        let (a, b) = (residuals(), residuals());
        let metric = ResidualMetric::learn(&[&a, &b]);
        // Variances 9 and 1, mean 5: with 5 % of it in every direction 8.8 and 1.2.
        let expected = |x: f32, y: f32| (5.0 * (x * x / 8.8 + y * y / 1.2)).sqrt();
        let found = metric.lengths(&Matrix::from_vec(3, 2, vec![3.0, 0.0, 0.0, 3.0, 1.0, -2.0]));
        for (found, (x, y)) in found.iter().zip([(3.0, 0.0), (0.0, 3.0), (1.0, -2.0)]) {
            // Single precision.
            assert!((found - expected(x, y)).abs() < 1e-5, "{found} {}", expected(x, y));
        }
    }

    #[test]
    fn what_varies_together_is_told_from_what_does_not() {
        // The channels are equal up to 0.1: a residual along the diagonal is usual, one across it is not.
        let pairs = [[1.0, 1.1], [-1.0, -1.1], [2.0, 1.9], [-2.0, -1.9]];
        let sample = Matrix::from_vec(4, 2, pairs.concat());
        let lengths = ResidualMetric::learn(&[&sample]).lengths(&Matrix::from_vec(2, 2, vec![1.0, 1.0, 1.0, -1.0]));
        assert!(lengths[1] > 4.0 * lengths[0], "{lengths:?}");
        // The covariance is [[2.5, 2.45], [2.45, 2.41]] with 5 % of its mean variance mixed in; by hand.
        let [a, b, c] = [2.5, 2.45, 2.41].map(|x: f64| 0.95 * x);
        let mean = (2.5 + 2.41) / 2.0;
        let (a, c) = (a + 0.05 * mean, c + 0.05 * mean);
        let squared = |x: f64, y: f64| mean * (c * x * x - 2.0 * b * x * y + a * y * y) / (a * c - b * b);
        for (length, expected) in lengths.iter().zip([squared(1.0, 1.0), squared(1.0, -1.0)]) {
            assert!((f64::from(*length) - expected.sqrt()).abs() < 1e-4, "{length} {}", expected.sqrt());
        }
    }

    #[test]
    fn residuals_that_vary_alike_keep_their_lengths() {
        let sample = Matrix::from_vec(4, 2, vec![2.0, 0.0, -2.0, 0.0, 0.0, 2.0, 0.0, -2.0]);
        let lengths = ResidualMetric::learn(&[&sample]).lengths(&Matrix::from_vec(1, 2, vec![3.0, 4.0]));
        assert!((lengths[0] - 5.0).abs() < 1e-5, "{lengths:?}");
    }

    #[test]
    fn without_residuals_it_is_euclids() {
        let none = Matrix::zeros(3, 2);
        for samples in [vec![&none, &none], vec![&none]] {
            let metric = ResidualMetric::learn(&samples);
            assert_eq!(metric.lengths(&Matrix::from_vec(1, 2, vec![3.0, 4.0])), [5.0]);
        }
        assert_eq!(ResidualMetric::learn(&[]).whitening().rows(), 0);
    }

    #[test]
    fn what_is_no_number_surfaces() {
        let broken = Matrix::from_vec(1, 2, vec![f32::NAN, 1.0]);
        let metric = ResidualMetric::learn(&[&residuals(), &broken]);
        assert!(metric.lengths(&residuals())[0].is_nan());
        let sound = ResidualMetric::learn(&[&residuals()]);
        assert!(sound.lengths(&broken)[0].is_nan());
    }
}
