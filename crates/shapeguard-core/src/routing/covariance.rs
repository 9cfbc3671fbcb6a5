//! The covariance that categories share: shrunk as in Ledoit and Wolf, "A well-conditioned estimator for large-dimensional
//! covariance matrices" (Journal of Multivariate Analysis, 2004), lemma 3.2 with the mean known.

use crate::square_matrix::SquareMatrix;

/// Least shrinkage: keeps the covariance definite whatever the rounding.
const LEAST_SHRINKAGE: f64 = 1e-6;

/// `(1 - shrinkage) * scatter / degrees of freedom + shrinkage * mean variance * identity`.
pub(super) struct Covariance {
    pub(super) matrix: SquareMatrix,
    /// By how much one product `w w^T` more or less in the scatter changes the covariance.
    pub(super) scatter_weight: f64,
}

impl Covariance {
    /// Of rows with mean 0.
    pub(super) fn shrunk(rows: &[Vec<f64>], degrees_of_freedom: f64) -> Self {
        let mut matrix = scatter(rows);
        let side = matrix.side();
        let shrinkage = shrinkage(rows, &matrix);
        let mean_variance = match matrix.trace() / (side as f64 * degrees_of_freedom) {
            // Copies alone: any deviation counts as its scale says.
            0.0 => 1.0,
            variance => variance,
        };
        let scatter_weight = (1.0 - shrinkage) / degrees_of_freedom;
        matrix.scale_and_add_to_diagonal(scatter_weight, shrinkage * mean_variance);
        Self { matrix, scatter_weight }
    }
}

fn scatter(rows: &[Vec<f64>]) -> SquareMatrix {
    SquareMatrix::scatter(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// How much of the covariance is given up for a multiple of the identity: the mean square error of its entries as a share of their
/// mean square distance from that multiple.
fn shrinkage(rows: &[Vec<f64>], scatter: &SquareMatrix) -> f64 {
    let (n, side) = (rows.len() as f64, scatter.side() as f64);
    let squared = scatter.values().iter().map(|value| (value / n).powi(2)).sum::<f64>();
    let mean_variance = scatter.trace() / n / side;
    let apart = squared - side * mean_variance.powi(2);
    let fourth: f64 = rows.iter().map(|row| row.iter().map(|value| value * value).sum::<f64>().powi(2)).sum();
    let error = fourth / n.powi(2) - squared / n;
    // Nothing is apart where all is the same already.
    if apart <= 0.0 { 1.0 } else { (error / apart).clamp(LEAST_SHRINKAGE, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    /// Rows whose neighbouring dimensions hang together.
    fn rows(count: usize, side: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..count)
            .map(|_| {
                let free: Vec<f64> = (0..=side).map(|_| rng.random::<f64>() - 0.5).collect();
                (0..side).map(|i| free[i] + 0.8 * free[i + 1]).collect()
            })
            .collect()
    }

    #[test]
    fn the_shrinkage_is_that_of_the_definition() {
        for (count, side) in [(5, 9), (40, 9), (300, 4)] {
            let rows = rows(count, side, 3);
            let (n, p) = (count as f64, side as f64);
            let entry = |i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum::<f64>() / n;
            let mu = (0..side).map(|i| entry(i, i)).sum::<f64>() / p;
            let (mut error, mut apart) = (0.0, 0.0);
            for i in 0..side {
                for j in 0..side {
                    let mean = entry(i, j);
                    apart += (mean - if i == j { mu } else { 0.0 }).powi(2);
                    error += rows.iter().map(|row| (row[i] * row[j] - mean).powi(2)).sum::<f64>() / n.powi(2);
                }
            }
            let expected = (error / apart).min(1.0);
            let found = shrinkage(&rows, &scatter(&rows));
            // Sums of at most 300 double-precision terms.
            assert!((found - expected).abs() < 1e-10, "{found} {expected}");
            assert!(found > 0.0 && found <= 1.0);
        }
        let [few, many] = [5, 3000].map(|count| shrinkage(&rows(count, 9, 4), &scatter(&rows(count, 9, 4))));
        assert!(few > 0.3 && many < 0.02, "the more scans, the less is given up: {few} {many}");
    }

    #[test]
    fn many_rows_leave_their_own_covariance() {
        let rows = rows(20_000, 3, 5);
        let covariance = Covariance::shrunk(&rows, rows.len() as f64);
        // Uniform values of variance 1/12: (1 + 0.64) / 12 on the diagonal, 0.8 / 12 beside it.
        let expected = [[1.64, 0.8, 0.0], [0.8, 1.64, 0.8], [0.0, 0.8, 1.64]];
        for (i, expected) in expected.iter().enumerate() {
            for (found, expected) in covariance.matrix.row(i).iter().zip(expected) {
                // The standard error of an entry is about 1 / sqrt(20,000) of 0.14.
                assert!((found - expected / 12.0).abs() < 5e-3, "{found} {expected}");
            }
        }
    }

    #[test]
    fn rows_that_never_vary_give_the_identity() {
        let covariance = Covariance::shrunk(&vec![vec![0.0; 3]; 4], 2.0);
        assert_eq!(covariance.matrix.values(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
