//! The real seams of the method: the two experts, the bank search, and progress. Everything else is a function
//! or a concrete type, so that tests fake exactly these.

use crate::grid::Grid;
use crate::matrix::Matrix;
use crate::memory::FeatureBank;

/// Side of a cell of the appearance features, pixels (paper: 28 x 28 cells on 224 x 224 pixels).
pub const CELL_PX: usize = 8;
/// Side of the square images that the paper's experts see, pixels; the setting `image.side_px` may differ.
pub const IMAGE_SIDE: usize = 224;
/// Side of the paper's cell grid.
pub const CELL_GRID_SIDE: usize = IMAGE_SIDE / CELL_PX;
/// Number of the paper's cells, 784.
pub const CELL_COUNT: usize = CELL_GRID_SIDE * CELL_GRID_SIDE;

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

    /// Number of weights and biases, where the expert tells.
    fn parameters(&self) -> Option<usize> {
        None
    }

    /// Multiply-adds of encoding one patch, where the expert tells.
    fn encode_multiply_adds(&self, _patch_size: usize) -> Option<usize> {
        None
    }

    /// Multiply-adds of the signed distances of one patch, where the expert tells.
    fn distance_multiply_adds(&self, _patch_size: usize) -> Option<usize> {
        None
    }

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

    /// Number of weights and biases, where the expert tells.
    fn parameters(&self) -> Option<usize> {
        None
    }

    /// Multiply-adds of describing an image of so many pixels a side, where the expert tells.
    fn multiply_adds(&self, _image_side: usize) -> Option<usize> {
        None
    }

    /// Describes a square image whose side is a multiple of [`CELL_PX`], channels in `0.0..=1.0`, background black,
    /// not yet normalised as the network was trained.
    ///
    /// # Shapes
    /// - result: `[n_cells, feature_dim]`, cells of [`CELL_PX`] x [`CELL_PX`] pixels row by row
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
    fn nearest(&self, bank: &FeatureBank, allowed: Option<&[u32]>, queries: &Matrix, k: usize) -> Vec<Vec<Neighbour>>;
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
