//! The real seams of the method: the two experts, the bank search, and progress. Everything else is a function
//! or a concrete type, so that tests fake exactly these.

use crate::grid::Grid;
use crate::matrix::Matrix;

/// Side of the cell grid of the appearance features (paper: 28 x 28 cells of 8 x 8 pixels).
pub const CELL_GRID_SIDE: usize = 28;
/// Number of cells, 784.
pub const CELL_COUNT: usize = CELL_GRID_SIDE * CELL_GRID_SIDE;
/// Side of the square images that the experts see, pixels (paper: 224).
pub const IMAGE_SIDE: usize = 224;

/// The shape expert: a point-cloud encoder and a neural implicit function (docs/method.md, "Shape expert").
pub trait ShapeExpert: Send + Sync {
    /// Length of a patch's feature `f` (128 in the paper).
    fn feature_dim(&self) -> usize;

    /// Encodes patches of `patch_size` points each.
    ///
    /// # Shapes
    /// - `points`: `n_patches * patch_size` points in normalised patch coordinates, patch after patch
    /// - result: `[n_patches, feature_dim]`
    fn encode(&self, points: &[[f32; 3]], patch_size: usize) -> Matrix;

    /// Signed distances of query points, `patch_size` queries for each row of `features`.
    ///
    /// # Shapes
    /// - `features`: `[n_patches, feature_dim]`
    /// - `queries`: `n_patches * patch_size` points in normalised patch coordinates
    /// - result: `n_patches * patch_size` distances in normalised patch units
    fn signed_distances(&self, features: &Matrix, queries: &[[f32; 3]], patch_size: usize) -> Vec<f32>;
}

/// The appearance expert: a frozen CNN that describes colour cell by cell (docs/method.md, "Appearance expert").
pub trait AppearanceExpert: Send + Sync {
    /// Length of a cell's feature.
    fn feature_dim(&self) -> usize;

    /// Describes an image of [`IMAGE_SIDE`] x [`IMAGE_SIDE`] pixels, channels in `0.0..=1.0`, background black,
    /// not yet normalised as the network was trained.
    ///
    /// # Shapes
    /// - result: `[CELL_COUNT, feature_dim]`, cells row by row
    fn describe(&self, rgb: &Grid<[f32; 3]>) -> Matrix;
}

/// One of the features nearest to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Row of the bank.
    pub row: u32,
    /// Squared Euclidean distance; not a number if a feature is none, or the search failed.
    pub squared_distance: f32,
}

/// Nearest features of a bank.
pub trait BankSearch: Send + Sync {
    /// The `k` nearest allowed bank rows of each query, nearest first, ties by the smaller row; fewer than `k`
    /// where fewer rows are allowed.
    ///
    /// # Shapes
    /// - `bank`: `[n, d]`, `queries`: `[m, d]`, `allowed`: the bank rows that may be returned, ascending;
    ///   `None` allows all
    /// - result: `m` lists
    fn nearest(&self, bank: &Matrix, allowed: Option<&[u32]>, queries: &Matrix, k: usize) -> Vec<Vec<Neighbour>>;
}

/// Receives how far a long computation has come. Implementations must be cheap and thread-safe.
pub trait Progress: Send + Sync {
    /// A stage with `total` steps begins.
    fn begin(&self, stage: &str, total: usize);
    /// One more step of the current stage is done.
    fn step(&self);
    /// The current stage has ended.
    fn end(&self);
}

/// Progress that nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &str, _total: usize) {}
    fn step(&self) {}
    fn end(&self) {}
}
