//! Square matrices in double precision, and the algebra of symmetric and triangular ones that covariances need.

use rayon::prelude::*;

/// Rows of a scatter that one task sums, so that it reads the samples once for all of them.
const BAND: usize = 8;

/// A square matrix, row by row.
pub(crate) struct SquareMatrix {
    side: usize,
    values: Vec<f64>,
}

impl SquareMatrix {
    #[cfg(test)]
    pub(crate) fn from_rows(rows: &[Vec<f64>]) -> Self {
        Self { side: rows.len(), values: rows.concat() }
    }

    /// `sum of w w^T` over rows of one length, each entry in the order of the rows; half of it is computed, the other half mirrored.
    pub(crate) fn scatter<T: Copy + Into<f64> + Sync>(rows: &[&[T]]) -> Self {
        let side = rows.first().map_or(0, |row| row.len());
        let mut values = vec![0.0; side * side];
        values.par_chunks_mut((side * BAND).max(1)).enumerate().for_each(|(band, sums)| {
            for row in rows {
                assert_eq!(row.len(), side, "all rows must have one length");
                for (offset, sums) in sums.chunks_exact_mut(side).enumerate() {
                    let i = band * BAND + offset;
                    let factor: f64 = row[i].into();
                    sums[..=i].iter_mut().zip(*row).for_each(|(sum, value)| *sum += factor * (*value).into());
                }
            }
        });
        for i in 0..side {
            for j in 0..i {
                values[j * side + i] = values[i * side + j];
            }
        }
        Self { side, values }
    }

    pub(crate) fn identity(side: usize) -> Self {
        let mut identity = Self { side, values: vec![0.0; side * side] };
        identity.scale_and_add_to_diagonal(0.0, 1.0);
        identity
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    pub(crate) fn trace(&self) -> f64 {
        (0..self.side).map(|i| self.row(i)[i]).sum()
    }

    /// `factor * self + addend * identity`.
    pub(crate) fn scale_and_add_to_diagonal(&mut self, factor: f64, addend: f64) {
        self.values.iter_mut().for_each(|value| *value *= factor);
        (0..self.side).for_each(|i| self.values[i * self.side + i] += addend);
    }

    pub(crate) fn side(&self) -> usize {
        self.side
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.side..(row + 1) * self.side]
    }

    /// The lower triangular `l` with `l l^T` = this, which is symmetric and definite.
    pub(crate) fn cholesky(&self) -> Self {
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
    pub(crate) fn inverse_of_lower(&self) -> Self {
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
    pub(crate) fn times_lower(&self, vector: &[f64]) -> Vec<f64> {
        (0..self.side).map(|row| dot(&self.row(row)[..=row], &vector[..=row])).collect()
    }
}

/// Inner product in eight fixed lanes.
#[inline(always)]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
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

    #[test]
    fn triangular_factors_multiply_back() {
        let side = 21;
        let rows: Vec<Vec<f64>> = (0..60)
            .map(|r| (0..side).map(|c| ((r * side + c) as f64 * 0.7).sin() + (r as f64).cos()).collect())
            .collect();
        let mut matrix = SquareMatrix::scatter(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for i in 0..side {
            for j in 0..side {
                let expected: f64 = rows.iter().map(|row| row[i] * row[j]).sum();
                assert!((matrix.row(i)[j] - expected).abs() < 1e-10, "{i} {j}");
            }
        }
        matrix.scale_and_add_to_diagonal(1.0 / 59.0, 0.1);
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
