//! Orthogonal matching pursuit, as scikit-learn's `orthogonal_mp_gram` does it (docs/method.md, "Sparse coding").

use crate::matrix::Matrix;

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

/// Codes `signal` over the rows of `dictionary` with at most `nonzeros` atoms.
///
/// # Shapes
/// - `signal`: `[d]`, `dictionary`: `[n, d]`
pub fn orthogonal_matching_pursuit(_signal: &[f32], _dictionary: &Matrix, _nonzeros: usize) -> SparseCode {
    todo!()
}
