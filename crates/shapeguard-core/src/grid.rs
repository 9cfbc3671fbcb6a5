//! Row-major grids: images, masks, organized clouds and score maps share one layout.

use serde::{Deserialize, Serialize};

/// Height and width of a grid, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GridSize {
    /// Number of rows (image height).
    pub rows: usize,
    /// Number of columns (image width).
    pub cols: usize,
}

impl GridSize {
    /// A size of `rows` by `cols` pixels.
    pub const fn new(rows: usize, cols: usize) -> Self {
        Self { rows, cols }
    }

    /// Number of pixels.
    pub const fn area(self) -> usize {
        self.rows * self.cols
    }
}

impl std::fmt::Display for GridSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows x {} columns", self.rows, self.cols)
    }
}

/// The number of values does not fit the grid's size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} values for a grid of {size}, found {found}")]
pub struct GridSizeError {
    size: GridSize,
    expected: usize,
    found: usize,
}

/// A row-major grid; pixel `(row, col)` has the index `row * cols + col`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid<T> {
    size: GridSize,
    data: Vec<T>,
}

/// A grid of yes and no: validity, foreground, ground truth.
pub type Mask = Grid<bool>;
/// A grid of anomaly scores.
pub type ScoreMap = Grid<f32>;
/// 8-bit colour image, RGB.
pub type RgbImage = Grid<[u8; 3]>;

impl<T> Grid<T> {
    /// A grid over `data`, row by row.
    ///
    /// # Errors
    /// If `data` does not hold `rows * cols` values.
    pub fn new(size: GridSize, data: Vec<T>) -> Result<Self, GridSizeError> {
        let expected = size.area();
        if data.len() != expected {
            return Err(GridSizeError { size, expected, found: data.len() });
        }
        Ok(Self { size, data })
    }

    /// A grid whose pixel `(row, col)` is `value(row, col)`.
    pub fn from_fn(size: GridSize, mut value: impl FnMut(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(size.area());
        for row in 0..size.rows {
            for col in 0..size.cols {
                data.push(value(row, col));
            }
        }
        Self { size, data }
    }

    /// Height and width.
    pub fn size(&self) -> GridSize {
        self.size
    }

    /// All pixels, row by row.
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// All pixels, row by row.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[T] {
        &self.data[row * self.size.cols..(row + 1) * self.size.cols]
    }

    /// The values, row by row.
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }

    /// A grid of the same size with every pixel mapped.
    pub fn map<U>(&self, value: impl FnMut(&T) -> U) -> Grid<U> {
        Grid { size: self.size, data: self.data.iter().map(value).collect() }
    }
}

impl<T: Clone> Grid<T> {
    /// A grid with the same value everywhere.
    pub fn filled(size: GridSize, value: T) -> Self {
        Self { size, data: vec![value; size.area()] }
    }
}

impl Mask {
    /// Number of pixels that are set.
    pub fn count(&self) -> usize {
        self.data.iter().filter(|set| **set).count()
    }
}

impl<T> std::ops::Index<(usize, usize)> for Grid<T> {
    type Output = T;
    fn index(&self, (row, col): (usize, usize)) -> &T {
        debug_assert!(col < self.size.cols);
        &self.data[row * self.size.cols + col]
    }
}

impl<T> std::ops::IndexMut<(usize, usize)> for Grid<T> {
    fn index_mut(&mut self, (row, col): (usize, usize)) -> &mut T {
        debug_assert!(col < self.size.cols);
        &mut self.data[row * self.size.cols + col]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_of_values_is_refused() {
        let error = Grid::new(GridSize::new(2, 3), vec![0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "expected 6 values for a grid of 2 rows x 3 columns, found 5");
    }

    #[test]
    fn pixels_are_row_major() {
        let grid = Grid::from_fn(GridSize::new(2, 3), |row, col| 10 * row + col);
        assert_eq!(grid.as_slice(), &[0, 1, 2, 10, 11, 12]);
        assert_eq!(grid[(1, 2)], 12);
        assert_eq!(grid.row(1), &[10, 11, 12]);
    }
}
