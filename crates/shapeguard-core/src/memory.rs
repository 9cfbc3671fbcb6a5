//! The dual memory: the SDF bank, the RGB bank, and which cells belong to which shape (paper sections 3.2, 3.3).

use crate::matrix::Matrix;
use crate::seams::{BankSearch, Neighbour};

/// The features of one sample.
#[derive(Clone, Debug)]
pub struct SampleFeatures {
    /// `f` of each patch, `[n_patches, shape_dim]`.
    pub shape: Matrix,
    /// The features of all cells, `[784, appearance_dim]`.
    pub appearance: Matrix,
    /// The cells of each patch, ascending.
    pub patch_cells: Vec<Vec<u32>>,
}

/// Both banks and their links.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DualMemory {
    /// SDF bank, `[n_shape, shape_dim]`: the features of all patches of all samples, sample after sample.
    pub shape: Matrix,
    /// Which sample each SDF feature is from, ascending.
    pub shape_sample: Vec<u32>,
    /// RGB bank, `[n_appearance, appearance_dim]`: the cells that some patch uses, sample after sample, cell by cell.
    pub appearance: Matrix,
    /// Which sample each RGB feature is from, ascending.
    pub appearance_sample: Vec<u32>,
    /// Which cell each RGB feature is of.
    pub appearance_cell: Vec<u16>,
    /// Links: SDF feature `i` knows the RGB rows `link_rows[link_starts[i] .. link_starts[i + 1]]`, ascending.
    pub link_starts: Vec<u32>,
    /// See `link_starts`.
    pub link_rows: Vec<u32>,
}

impl DualMemory {
    /// Adds a sample's features; only cells that some patch uses enter the RGB bank.
    pub fn add(&mut self, _features: &SampleFeatures) {
        todo!()
    }

    /// Number of samples.
    pub fn sample_count(&self) -> usize {
        todo!()
    }

    /// The union of the RGB rows that the given SDF rows know, ascending.
    pub fn linked_rows(&self, _shape_rows: impl IntoIterator<Item = u32>) -> Vec<u32> {
        todo!()
    }
}

/// Exact search by blocked matrix products.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExactSearch;

impl BankSearch for ExactSearch {
    fn nearest(&self, _bank: &Matrix, _allowed: Option<&[u32]>, _queries: &Matrix, _k: usize) -> Vec<Vec<Neighbour>> {
        todo!()
    }
}
