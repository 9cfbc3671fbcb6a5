//! Dense row-major `f32` matrices of features, and their product.
//!
//! Products run through the `gemm` crate without its own threads; callers split rows over rayon, so that one
//! thread and many give the same bytes.

use std::sync::Arc;

use rayon::prelude::*;

/// A dense row-major matrix `[rows, cols]`; one feature per row. Clones share their values until one is changed.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    data: Arc<Vec<f32>>,
}

/// Rows that one task multiplies: large enough for serial `gemm` to reach its peak (measured: blocks of
/// 3,000 rows are the fastest on a 2-core Zen 3), fixed so that the thread count never changes a result.
pub const GEMM_ROW_BLOCK: usize = 3000;

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols].into() }
    }

    /// A matrix over `data`, row by row.
    ///
    /// # Panics
    /// If `data` does not hold `rows * cols` values: a bug of the caller.
    pub fn from_vec(rows: usize, cols: usize, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} matrix needs {} values", rows * cols);
        Self { rows, cols, data: data.into() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// One row.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut Arc::make_mut(&mut self.data)[row * self.cols..(row + 1) * self.cols]
    }

    /// All values, row by row.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All values, row by row.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        Arc::make_mut(&mut self.data).as_mut_slice()
    }

    /// The values, row by row.
    pub fn into_vec(self) -> Vec<f32> {
        Arc::unwrap_or_clone(self.data)
    }

    /// The values, row by row, as they are shared. While anyone holds them, even weakly, no other values have this
    /// address: so a search may know a bank again whose rows it has brought elsewhere.
    pub fn shared(&self) -> &Arc<Vec<f32>> {
        &self.data
    }

    /// The given rows, in the given order.
    pub fn select_rows(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let mut data = Vec::new();
        let mut n = 0;
        for row in rows {
            data.extend_from_slice(self.row(row));
            n += 1;
        }
        Self { rows: n, cols: self.cols, data: data.into() }
    }

    /// Appends the rows of `other`.
    ///
    /// # Panics
    /// If the column counts differ: a bug of the caller.
    pub fn append(&mut self, other: &Matrix) {
        if self.rows == 0 && self.cols == 0 {
            self.cols = other.cols;
        }
        assert_eq!(self.cols, other.cols, "appended rows must have the same width");
        Arc::make_mut(&mut self.data).extend_from_slice(&other.data);
        self.rows += other.rows;
    }

    /// Squared Euclidean norm of every row.
    pub fn squared_row_norms(&self) -> Vec<f32> {
        (0..self.rows).map(|row| dot(self.row(row), self.row(row))).collect()
    }
}

/// Inner product of two vectors of equal length, in eight fixed lanes.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    let mut lanes = [0.0f32; 8];
    let mut chunks_a = a.chunks_exact(8);
    let mut chunks_b = b.chunks_exact(8);
    for (x, y) in (&mut chunks_a).zip(&mut chunks_b) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    let tail: f32 = chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f32>() + tail
}

/// `out = a * b^T` (+ `out` if `accumulate`), serially: `a` is `[m, k]`, `b` `[n, k]`, `out` `[m, n]`, row-major.
///
/// # Panics
/// If the slices' lengths do not fit the shapes: a bug of the caller.
pub fn multiply_transposed(a: &[f32], b: &[f32], out: &mut [f32], m: usize, k: usize, n: usize, accumulate: bool) {
    assert_eq!(a.len(), m * k);
    assert_eq!(b.len(), n * k);
    assert_eq!(out.len(), m * n);
    if m == 0 || n == 0 {
        return;
    }
    // SAFETY: the three slices hold m*k, n*k and m*n values (asserted above), the strides below stay inside
    // them, and `out` is borrowed mutably, so it overlaps neither input.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.as_ptr(),
            1,
            k as isize,
            b.as_ptr(),
            k as isize,
            1,
            if accumulate { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// `a * b^T` over rayon in blocks of [`GEMM_ROW_BLOCK`] rows: `a` is `[m, k]`, `b` `[n, k]`, the result `[m, n]`.
pub fn product_transposed(a: &Matrix, b: &Matrix) -> Matrix {
    assert_eq!(a.cols, b.cols, "both factors must have the same width");
    let mut out = Matrix::zeros(a.rows, b.rows);
    if out.data.is_empty() {
        return out;
    }
    out.as_mut_slice()
        .par_chunks_mut(GEMM_ROW_BLOCK * b.rows)
        .zip(a.data.par_chunks(GEMM_ROW_BLOCK * a.cols))
        .for_each(|(out_block, a_block)| {
            let m = a_block.len() / a.cols;
            multiply_transposed(a_block, &b.data, out_block, m, a.cols, b.rows, false);
        });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_values_that_others_know_changes_their_address() {
        let mut matrix = Matrix::from_vec(1, 2, vec![1.0, 2.0]);
        let (clone, weak) = (matrix.clone(), Arc::downgrade(matrix.shared()));
        assert!(Arc::ptr_eq(clone.shared(), matrix.shared()));
        matrix.row_mut(0)[0] = 3.0;
        assert!(!Arc::ptr_eq(clone.shared(), matrix.shared()));
        assert_eq!((clone.as_slice(), matrix.as_slice()), (&[1.0, 2.0][..], &[3.0, 2.0][..]));
        // Known weakly only, too.
        drop(clone);
        let known = Arc::downgrade(matrix.shared());
        matrix.as_mut_slice()[1] = 4.0;
        assert!(known.upgrade().is_none() && weak.upgrade().is_none());
        assert!(!std::ptr::eq(known.as_ptr(), Arc::as_ptr(matrix.shared())));
    }

    #[test]
    fn the_product_equals_inner_products() {
        let a = Matrix::from_vec(5, 11, (0..55).map(|i| (i as f32 * 0.37).sin()).collect());
        let b = Matrix::from_vec(3, 11, (0..33).map(|i| (i as f32 * 0.73).cos()).collect());
        let product = product_transposed(&a, &b);
        for i in 0..5 {
            for j in 0..3 {
                let expected: f64 = a.row(i).iter().zip(b.row(j)).map(|(x, y)| *x as f64 * *y as f64).sum();
                // 11 single-precision products of magnitude at most 1.
                assert!((product.row(i)[j] as f64 - expected).abs() < 1e-5);
            }
        }
    }
}
