//! Orthogonal matching pursuit, as scikit-learn's `orthogonal_mp_gram` does it (paper sections 3.2 and 3.3;
//! docs/method.md, "Sparse coding"; Rubinstein et al. 2008, Batch-OMP).
//!
//! Atoms are not normalised: the atom with the largest `|<atom, residual>|` is next, all coefficients are fitted
//! anew by least squares (incremental Cholesky), and the pursuit stops early when the residual is exhausted or the
//! next atom depends on those chosen.
//!
//! Where it differs: sums run in `f64`, and the two stopping rules are relative to the norms of signal and atom.
//! scikit-learn's are absolute (machine epsilon, which presumes norms near 1), so that there a feature that is
//! merely small is not coded at all. Test: `scaling_signal_and_atoms_scales_the_code`.

use crate::matrix::Matrix;

/// Correlations of signal and atom, and independent parts of an atom, that are smaller than this share of their
/// norms count as zero: about 16 times the rounding of the `f32` features.
const NEGLIGIBLE_SHARE: f64 = 1e-6;

/// A sparse code and what it rebuilds.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseCode {
    /// Chosen atoms (rows of the dictionary), in the order of choice.
    pub atoms: Vec<u32>,
    /// Their coefficients; may be negative.
    pub coefficients: Vec<f32>,
    /// The reconstruction, `[d]`.
    pub reconstruction: Vec<f32>,
    /// Euclidean norm of signal minus reconstruction.
    pub residual: f32,
}

/// Codes `signal` over the rows of `dictionary` with at most `nonzeros` atoms. Without a usable atom the code is
/// empty and rebuilds zero.
///
/// # Shapes
/// - `signal`: `[d]`, `dictionary`: `[n, d]`
pub fn orthogonal_matching_pursuit(signal: &[f32], dictionary: &Matrix, nonzeros: usize) -> SparseCode {
    let n = dictionary.rows();
    let nonzeros = nonzeros.min(n);
    let signal_squared = dot(signal, signal);
    let correlations: Vec<f64> = (0..n).map(|atom| dot(dictionary.row(atom), signal)).collect();
    let mut chosen = Chosen::with_capacity(nonzeros);
    // Chosen atoms are swapped to the front, as scikit-learn does, so that equal correlations fall alike.
    let mut order: Vec<usize> = (0..n).collect();
    let mut residual_correlations = correlations.clone();
    while chosen.atoms.len() < nonzeros {
        let active = chosen.atoms.len();
        let next = position_of_largest(&order, &residual_correlations);
        let atom = order[next];
        let atom_squared = dot(dictionary.row(atom), dictionary.row(atom));
        let negligible = NEGLIGIBLE_SHARE * NEGLIGIBLE_SHARE * signal_squared * atom_squared;
        let exhausted = residual_correlations[atom] * residual_correlations[atom] <= negligible;
        if next < active || exhausted || !chosen.push(atom, atom_squared, dictionary) {
            break;
        }
        order.swap(active, next);
        chosen.solve(&correlations);
        for (atom, residual_correlation) in residual_correlations.iter_mut().enumerate() {
            let explained: f64 = chosen.coefficients.iter().zip(&chosen.gram).map(|(c, row)| c * row[atom]).sum();
            *residual_correlation = correlations[atom] - explained;
        }
    }
    chosen.into_code(signal, dictionary)
}

/// The atoms that the pursuit has chosen, and the Cholesky factor of their Gram matrix.
struct Chosen {
    atoms: Vec<usize>,
    /// Inner products of each chosen atom with all atoms.
    gram: Vec<Vec<f64>>,
    /// Lower triangle, row by row.
    factor: Vec<Vec<f64>>,
    coefficients: Vec<f64>,
}

impl Chosen {
    fn with_capacity(n: usize) -> Self {
        Self {
            atoms: Vec::with_capacity(n),
            gram: Vec::with_capacity(n),
            factor: Vec::with_capacity(n),
            coefficients: Vec::with_capacity(n),
        }
    }

    /// Adds an atom, unless it depends on those already there.
    fn push(&mut self, atom: usize, atom_squared: f64, dictionary: &Matrix) -> bool {
        let mut row: Vec<f64> = self.gram.iter().map(|gram_row| gram_row[atom]).collect();
        for i in 0..row.len() {
            let known: f64 = (0..i).map(|j| self.factor[i][j] * row[j]).sum();
            row[i] = (row[i] - known) / self.factor[i][i];
        }
        let independent = atom_squared - row.iter().map(|x| x * x).sum::<f64>();
        if independent <= NEGLIGIBLE_SHARE * NEGLIGIBLE_SHARE * atom_squared {
            return false;
        }
        row.push(independent.sqrt());
        self.factor.push(row);
        self.gram.push((0..dictionary.rows()).map(|other| dot(dictionary.row(atom), dictionary.row(other))).collect());
        self.atoms.push(atom);
        true
    }

    /// Least squares: solves `L L' x = correlations` of the chosen atoms.
    fn solve(&mut self, correlations: &[f64]) {
        let n = self.atoms.len();
        let mut x: Vec<f64> = self.atoms.iter().map(|atom| correlations[*atom]).collect();
        for i in 0..n {
            let known: f64 = (0..i).map(|j| self.factor[i][j] * x[j]).sum();
            x[i] = (x[i] - known) / self.factor[i][i];
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|j| self.factor[j][i] * x[j]).sum();
            x[i] = (x[i] - known) / self.factor[i][i];
        }
        self.coefficients = x;
    }

    fn into_code(self, signal: &[f32], dictionary: &Matrix) -> SparseCode {
        let mut rebuilt = vec![0.0f64; signal.len()];
        for (atom, coefficient) in self.atoms.iter().zip(&self.coefficients) {
            for (sum, value) in rebuilt.iter_mut().zip(dictionary.row(*atom)) {
                *sum += coefficient * f64::from(*value);
            }
        }
        let squared: f64 = signal.iter().zip(&rebuilt).map(|(s, r)| (f64::from(*s) - r) * (f64::from(*s) - r)).sum();
        SparseCode {
            atoms: self.atoms.iter().map(|atom| *atom as u32).collect(),
            coefficients: self.coefficients.iter().map(|c| *c as f32).collect(),
            reconstruction: rebuilt.iter().map(|r| *r as f32).collect(),
            residual: squared.sqrt() as f32,
        }
    }
}

/// Position in `order` of the atom with the largest absolute value; the first of equals.
fn position_of_largest(order: &[usize], values: &[f64]) -> usize {
    let mut best = 0;
    for position in 1..order.len() {
        if values[order[position]].abs() > values[order[best]].abs() {
            best = position;
        }
    }
    best
}

/// Inner product in `f64`, in eight fixed lanes.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    let mut lanes = [0.0f64; 8];
    let mut chunks_a = a.chunks_exact(8);
    let mut chunks_b = b.chunks_exact(8);
    for (x, y) in (&mut chunks_a).zip(&mut chunks_b) {
        for lane in 0..8 {
            lanes[lane] += f64::from(x[lane]) * f64::from(y[lane]);
        }
    }
    let tail: f64 =
        chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    lanes.iter().sum::<f64>() + tail
}

#[cfg(test)]
mod tests;
