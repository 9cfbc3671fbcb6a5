//! The covariance that categories share: shrunk as in Ledoit and Wolf, "A well-conditioned estimator for large-dimensional
//! covariance matrices" (Journal of Multivariate Analysis, 2004), lemma 3.2 with the mean known; and the triangular algebra that it needs.

use rayon::prelude::*;

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
        let side = matrix.side;
        let shrinkage = shrinkage(rows, &matrix);
        let trace: f64 = (0..side).map(|i| matrix.row(i)[i]).sum();
        let mean_variance = match trace / (side as f64 * degrees_of_freedom) {
            // Copies alone: any deviation counts as its scale says.
            0.0 => 1.0,
            variance => variance,
        };
        let scatter_weight = (1.0 - shrinkage) / degrees_of_freedom;
        matrix.values.iter_mut().for_each(|value| *value *= scatter_weight);
        (0..side).for_each(|i| matrix.values[i * side + i] += shrinkage * mean_variance);
        Self { matrix, scatter_weight }
    }
}

/// `sum of w w^T`, in a fixed order of sums.
fn scatter(rows: &[Vec<f64>]) -> SquareMatrix {
    let side = rows.first().map_or(0, Vec::len);
    let mut values = vec![0.0; side * side];
    values.par_chunks_mut(side.max(1)).enumerate().for_each(|(i, sums)| {
        for row in rows {
            let factor = row[i];
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
        }
    });
    SquareMatrix { side, values }
}

/// How much of the covariance is given up for a multiple of the identity: the mean square error of its entries as a share of their
/// mean square distance from that multiple.
fn shrinkage(rows: &[Vec<f64>], scatter: &SquareMatrix) -> f64 {
    let (n, side) = (rows.len() as f64, scatter.side as f64);
    let squared = scatter.values.iter().map(|value| (value / n).powi(2)).sum::<f64>();
    let mean_variance = (0..scatter.side).map(|i| scatter.row(i)[i] / n).sum::<f64>() / side;
    let apart = squared - side * mean_variance.powi(2);
    let fourth: f64 = rows.iter().map(|row| row.iter().map(|value| value * value).sum::<f64>().powi(2)).sum();
    let error = fourth / n.powi(2) - squared / n;
    // Nothing is apart where all is the same already.
    if apart <= 0.0 { 1.0 } else { (error / apart).clamp(LEAST_SHRINKAGE, 1.0) }
}

/// A square matrix, row by row.
pub(super) struct SquareMatrix {
    side: usize,
    values: Vec<f64>,
}

impl SquareMatrix {
    #[cfg(test)]
    pub(super) fn from_rows(rows: &[Vec<f64>]) -> Self {
        Self { side: rows.len(), values: rows.concat() }
    }

    pub(super) fn side(&self) -> usize {
        self.side
    }

    pub(super) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.side..(row + 1) * self.side]
    }

    /// The lower triangular `l` with `l l^T` = this, which is symmetric and definite.
    pub(super) fn cholesky(&self) -> Self {
        let side = self.side;
        let mut lower = Self { side, values: vec![0.0; side * side] };
        for i in 0..side {
            let (above, rest) = lower.values.split_at_mut(i * side);
            let row = &mut rest[..side];
            for j in 0..i {
                let of_j = &above[j * side..=j * side + j];
                row[j] = (self.row(i)[j] - dot(&row[..j], &of_j[..j])) / of_j[j];
            }
            row[i] = (self.row(i)[i] - dot(&row[..i], &row[..i])).sqrt();
        }
        lower
    }

    /// Inverse of a lower triangular matrix, which is lower triangular too.
    pub(super) fn inverse_of_lower(&self) -> Self {
        let side = self.side;
        // Column by column of the inverse, as rows of its transpose.
        let mut transposed = vec![0.0; side * side];
        transposed.par_chunks_mut(side.max(1)).enumerate().for_each(|(column, values)| {
            values[column] = 1.0 / self.row(column)[column];
            for i in column + 1..side {
                values[i] = -dot(&self.row(i)[column..i], &values[column..i]) / self.row(i)[i];
            }
        });
        let values = (0..side * side).map(|at| transposed[at % side * side + at / side]).collect();
        Self { side, values }
    }

    /// The product of a lower triangular matrix with a vector.
    pub(super) fn times_lower(&self, vector: &[f64]) -> Vec<f64> {
        (0..self.side).map(|row| dot(&self.row(row)[..=row], &vector[..=row])).collect()
    }
}

/// Inner product in eight fixed lanes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (chunks_a, rest_a) = a.as_chunks::<8>();
    let (chunks_b, rest_b) = b.as_chunks::<8>();
    for (a, b) in chunks_a.iter().zip(chunks_b) {
        (0..8).for_each(|lane| lanes[lane] += a[lane] * b[lane]);
    }
    lanes.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
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
        assert_eq!(covariance.matrix.values, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn triangular_factors_multiply_back() {
        let side = 21;
        let matrix = Covariance::shrunk(&rows(60, side, 6), 59.0).matrix;
        let lower = matrix.cholesky();
        let inverse = lower.inverse_of_lower();
        for i in 0..side {
            for j in 0..side {
                let product: f64 = lower.row(i).iter().zip(lower.row(j)).map(|(a, b)| a * b).sum();
                assert!((product - matrix.row(i)[j]).abs() < 1e-12, "{i} {j}");
                let unit = if i == j { 1.0 } else { 0.0 };
                let product: f64 = (0..side).map(|k| lower.row(i)[k] * inverse.row(k)[j]).sum();
                assert!((product - unit).abs() < 1e-10, "{i} {j}: {product}");
                assert!(j <= i || (lower.row(i)[j] == 0.0 && inverse.row(i)[j] == 0.0));
            }
        }
        let vector: Vec<f64> = (0..side).map(|i| i as f64).collect();
        let expected: Vec<f64> =
            (0..side).map(|i| inverse.row(i).iter().zip(&vector).map(|(a, b)| a * b).sum()).collect();
        for (found, expected) in inverse.times_lower(&vector).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-10);
        }
    }
}
