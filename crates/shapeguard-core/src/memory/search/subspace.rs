//! Features in a subspace of a few dimensions, about where they vary most: `z = (P^T (x - c), |(I - P P^T) (x - c)|)`, the coordinates in the
//! subspace and the length of the rest.
//!
//! For any orthonormal `P`, `|z_q - z_b| <= |q - b|`, by the reverse triangle inequality for the rest. So `z` tells how far features are at
//! least, at a fraction of the cost (test: `a_distance_in_the_subspace_is_never_above_that_of_the_features`).

use pulp::{Arch, Simd, WithSimd};

use crate::matrix::Matrix;
use crate::square_matrix::dot;

/// Dimensions of the subspace.
const SUBSPACE_DIM: usize = PROJECTED_DIM - 1;
/// Values of `z`, the coordinates in the subspace and the length of the rest: whole registers of them. More rule out more rows, at more cost
/// for each (measured on banks of 24 and 300 simulated pears: 16 and 24 are slower, 40 is no faster).
pub(super) const PROJECTED_DIM: usize = 32;
/// Rows that the subspace is made of, evenly spread over the bank. Any subspace is right, a better one only rules out more (measured as
/// above: 1,024 rows, or 4 iterations, rule out no more).
const SUBSPACE_SAMPLE: usize = 512;
/// Power iterations towards the directions of largest variance.
const POWER_ITERATIONS: usize = 2;

/// Bound on how far rounding moves `z` of features of `width` values, where `norm` is at least as long as `|x - c|`.
///
/// In double precision the squares of both of its parts are off by some `12 width` roundoffs (Higham, section 3.1) and by what the directions
/// lack of being orthonormal, another few; 32 are allowed for. The rest's length is off by the root of that where it is near 0. Storing `z` in single
/// precision adds a roundoff of that. Squares in single precision that are too small to be normal numbers are far below the last term.
pub(super) fn rounding(width: usize, norm: f64) -> f64 {
    const SMALLEST: f64 = 1e-18;
    ((16.0 * width as f64 * f64::EPSILON).sqrt() + f64::from(f32::EPSILON)) * norm + SMALLEST
}

/// A few orthonormal directions, and the point that they start from.
#[derive(Clone, Debug)]
pub(super) struct Subspace {
    centre: Vec<f64>,
    /// `[width, PROJECTED_DIM]`; a direction is 0 where the sample has no further one, and the last is.
    by_coordinate: Vec<[f64; PROJECTED_DIM]>,
}

impl Subspace {
    /// The directions in which a sample of some features varies most, roughly: by orthogonal iteration (Golub and Van Loan, section 8.2.4).
    pub(super) fn of(features: &Matrix) -> Self {
        let width = features.cols();
        let sample: Vec<&[f32]> = (0..features.rows())
            .step_by(features.rows().div_ceil(SUBSPACE_SAMPLE))
            .map(|row| features.row(row))
            .collect();
        let mut centre = vec![0.0; width];
        for row in &sample {
            centre.iter_mut().zip(*row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        centre.iter_mut().for_each(|sum| *sum /= sample.len() as f64);
        let centred: Vec<f64> = sample.iter().flat_map(|row| differences(row, &centre)).collect();
        // One of each stretch of the sample, at irregular places, so that no regular order of the rows repeats itself among them.
        let stretch = sample.len() / SUBSPACE_DIM;
        let start = (0..SUBSPACE_DIM).map(|i| sample[i * stretch + i * i % stretch]);
        let mut directions: Vec<f64> = start.flat_map(|row| differences(row, &centre)).collect();
        orthonormalise(&mut directions, width);
        for _ in 0..POWER_ITERATIONS {
            let mut next = vec![0.0; directions.len()];
            Arch::new().dispatch(|| {
                for row in centred.chunks_exact(width) {
                    for (direction, next) in directions.chunks_exact(width).zip(next.chunks_exact_mut(width)) {
                        add(next, dot(direction, row), row);
                    }
                }
            });
            directions = next;
            orthonormalise(&mut directions, width);
        }
        let of_coordinate = |coordinate| {
            let mut values = [0.0; PROJECTED_DIM];
            values
                .iter_mut()
                .zip(directions.chunks_exact(width))
                .for_each(|(value, direction)| *value = direction[coordinate]);
            values
        };
        Self { by_coordinate: (0..width).map(of_coordinate).collect(), centre }
    }

    /// `z` of some features, `[n, PROJECTED_DIM]`.
    pub(super) fn project(&self, features: &Matrix) -> Matrix {
        let mut projected = Matrix::zeros(features.rows(), PROJECTED_DIM);
        let width = features.cols();
        let rows = features.as_slice().chunks_exact(width);
        let out = projected.as_mut_slice().chunks_exact_mut(PROJECTED_DIM);
        Arch::new().dispatch(Project { rows, centre: &self.centre, directions: &self.by_coordinate, out });
        projected
    }
}

fn differences<'a>(row: &'a [f32], centre: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    row.iter().zip(centre).map(|(value, centre)| f64::from(*value) - centre)
}

/// Gram and Schmidt, each direction twice, so that they are orthogonal to the last digits. What is nearly a combination of earlier ones
/// becomes 0.
fn orthonormalise(directions: &mut [f64], width: usize) {
    for at in 0..directions.len() / width {
        let (earlier, rest) = directions.split_at_mut(at * width);
        let direction = &mut rest[..width];
        let length = dot(direction, direction).sqrt();
        for _ in 0..2 {
            for other in earlier.chunks_exact(width) {
                add(direction, -dot(direction, other), other);
            }
        }
        let left = dot(direction, direction).sqrt();
        let factor = if left > 1e-9 * length { 1.0 / left } else { 0.0 };
        direction.iter_mut().for_each(|value| *value *= factor);
    }
}

#[inline(always)]
fn add(to: &mut [f64], factor: f64, addend: &[f64]) {
    to.iter_mut().zip(addend).for_each(|(to, addend)| *to += factor * addend);
}

struct Project<'a, I, O> {
    rows: I,
    centre: &'a [f64],
    /// `[width, PROJECTED_DIM]`.
    directions: &'a [[f64; PROJECTED_DIM]],
    out: O,
}

impl<'a, I: Iterator<Item = &'a [f32]>, O: Iterator<Item = &'a mut [f32]>> WithSimd for Project<'_, I, O> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut centred = vec![0.0; self.centre.len()];
        for (row, out) in self.rows.zip(self.out) {
            for ((to, value), centre) in centred.iter_mut().zip(row).zip(self.centre) {
                *to = f64::from(*value) - centre;
            }
            let mut coordinates = [0.0; PROJECTED_DIM];
            let (sums, _) = S::as_mut_simd_f64s(&mut coordinates);
            // Four sums by name: as an array they would be kept in memory.
            for (four, sums) in sums.chunks_exact_mut(4).enumerate() {
                let (mut a, mut b, mut c, mut d) = (sums[0], sums[1], sums[2], sums[3]);
                for (value, directions) in centred.iter().zip(self.directions) {
                    let value = simd.splat_f64s(*value);
                    let directions = &S::as_simd_f64s(directions).0[4 * four..][..4];
                    a = simd.mul_add_e_f64s(value, directions[0], a);
                    b = simd.mul_add_e_f64s(value, directions[1], b);
                    c = simd.mul_add_e_f64s(value, directions[2], c);
                    d = simd.mul_add_e_f64s(value, directions[3], d);
                }
                sums.copy_from_slice(&[a, b, c, d]);
            }
            out.iter_mut().zip(coordinates).for_each(|(out, value)| *out = value as f32);
            let rest = dot(&centred, &centred) - dot(&coordinates, &coordinates);
            // What is no number stays: it stops the pruning.
            out[SUBSPACE_DIM] = if rest < 0.0 { 0.0 } else { rest.sqrt() as f32 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_orthonormal_or_none() {
        let of = |value: fn(usize, usize) -> f32| {
            Subspace::of(&Matrix::from_vec(600, 64, (0..600 * 64).map(|i| value(i / 64, i % 64)).collect()))
        };
        // All directions: digits that have no order. One: a line. None: a point. Rounding in single precision makes no others.
        let digits = of(|row, column| ((row * 64 + column) as u32).wrapping_mul(0x9e37_79b9) as f32 / 1e9);
        let line = of(|row, column| (row * (column + 1)) as f32);
        let point = of(|_, column| column as f32);
        for (subspace, expected) in [(digits, SUBSPACE_DIM), (line, 1), (point, 0)] {
            let mut count = 0;
            for i in 0..PROJECTED_DIM {
                for j in 0..PROJECTED_DIM {
                    let product: f64 = subspace.by_coordinate.iter().map(|values| values[i] * values[j]).sum();
                    let is_direction = i == j && product > 0.5;
                    // Some roundings of sums of 64 products, far below what `rounding` allows for.
                    assert!((product - f64::from(u8::from(is_direction))).abs() < 1e-13, "{i} and {j}: {product}");
                    count += usize::from(is_direction);
                }
            }
            assert_eq!(count, expected);
        }
    }
}
