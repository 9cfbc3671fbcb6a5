//! The dual memory: the SDF bank, the RGB bank, which cells belong to which shape, and the exact search of a bank
//! (paper sections 3.2, 3.3; docs/method.md, "Banks and inference").

mod bank;
mod search;

pub use bank::FeatureBank;
pub use search::{Candidate, ExactSearch, Proposal, choose, product_error};

use crate::coreset::greedy_coreset;
use crate::matrix::Matrix;
use crate::residual_metric::ResidualMetric;
use crate::typical::TypicalScores;

/// Dimensions that a coreset's distances are computed in, by random projection: a ratio of distances then strays by about
/// 1 / sqrt(2 * 128), some percent. Shorter features are taken as they are.
const CORESET_DIM: usize = 128;

/// The features of one sample.
#[derive(Clone, Debug)]
pub struct SampleFeatures {
    /// `f` of each patch, `[n_patches, shape_dim]`.
    pub shape: Matrix,
    /// The features of all cells, `[n_cells, appearance_dim]`.
    pub appearance: Matrix,
    /// The cells of each patch, ascending.
    pub patch_cells: Vec<Vec<u32>>,
}

impl SampleFeatures {
    /// The cells that some patch has, ascending.
    pub fn used_cells(&self) -> Vec<u32> {
        let mut used = vec![false; self.appearance.rows()];
        for cell in self.patch_cells.iter().flatten() {
            used[*cell as usize] = true;
        }
        (0..used.len() as u32).filter(|cell| used[*cell as usize]).collect()
    }
}

/// Both banks and their links.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DualMemory {
    /// SDF bank, `[n_shape, shape_dim]`: the features of all patches of all samples, sample after sample.
    pub shape: FeatureBank,
    /// Which sample each SDF feature is from, ascending.
    pub shape_sample: Vec<u32>,
    /// RGB bank, `[n_appearance, appearance_dim]`: the cells that some patch uses, or those that thinning left of them, sample
    /// after sample, cell by cell.
    pub appearance: FeatureBank,
    /// Which sample each RGB feature is from, ascending.
    pub appearance_sample: Vec<u32>,
    /// Which cell each RGB feature is of.
    pub appearance_cell: Vec<u16>,
    /// Links: SDF feature `i` knows the RGB rows `link_rows[link_starts[i] .. link_starts[i + 1]]`, ascending.
    pub link_starts: Vec<u32>,
    /// See `link_starts`.
    pub link_rows: Vec<u32>,
    /// What good parts score where; `None` until it is learnt, and where no setting wants it.
    pub typical: Option<TypicalScores>,
    /// How long residuals of RGB features are; `None`, Euclid's metric, until it is learnt, and where no setting wants another.
    pub appearance_metric: Option<ResidualMetric>,
}

impl DualMemory {
    /// Adds a sample's features; only cells that some patch uses enter the RGB bank.
    ///
    /// # Panics
    /// If the features have other lengths than those in the memory, or there isn't one list of cells per patch:
    /// bugs of the caller.
    pub fn add(&mut self, features: &SampleFeatures) {
        assert_eq!(features.shape.rows(), features.patch_cells.len(), "each patch needs its list of cells");
        let sample = self.sample_count() as u32;
        let used = features.used_cells();
        let mut row_of_cell = vec![u32::MAX; features.appearance.rows()];
        for (row, cell) in (self.appearance.rows() as u32..).zip(&used) {
            row_of_cell[*cell as usize] = row;
        }
        self.shape.append(&features.shape);
        self.shape_sample.resize(self.shape.rows(), sample);
        self.appearance.append(&features.appearance.select_rows(used.iter().map(|cell| *cell as usize)));
        self.appearance_sample.resize(self.appearance.rows(), sample);
        self.appearance_cell.extend(used.iter().map(|cell| *cell as u16));
        if self.link_starts.is_empty() {
            self.link_starts.push(0);
        }
        for cells in &features.patch_cells {
            self.link_rows.extend(cells.iter().map(|cell| row_of_cell[*cell as usize]));
            self.link_starts.push(self.link_rows.len() as u32);
        }
    }

    /// A greedy coreset of the RGB features, ascending: a share of the rows, rounded, but at least one, and fewer where
    /// all others equal a chosen one. Its start and projection
    /// come from `seed`.
    pub fn appearance_coreset(&self, share: f64, seed: u64) -> Vec<u32> {
        let count = (self.appearance.rows() as f64 * share).round() as usize;
        if count >= self.appearance.rows() {
            return (0..self.appearance.rows() as u32).collect();
        }
        let mut rows = greedy_coreset(&self.appearance, count, CORESET_DIM, seed).rows;
        rows.sort_unstable();
        rows
    }

    /// Keeps [`Self::appearance_coreset`] alone of the RGB features. An SDF feature loses its links to those that go, and may be
    /// left with none.
    pub fn thin_appearance(&mut self, share: f64, seed: u64) {
        let kept = self.appearance_coreset(share, seed);
        if kept.len() == self.appearance.rows() {
            return;
        }
        let mut new_row = vec![None; self.appearance.rows()];
        for (new, old) in (0u32..).zip(&kept) {
            new_row[*old as usize] = Some(new);
        }
        let mut link_rows = Vec::new();
        let mut link_starts = vec![0];
        for shape_row in 0..self.shape.rows() as u32 {
            link_rows.extend(self.links(shape_row).iter().filter_map(|row| new_row[*row as usize]));
            link_starts.push(link_rows.len() as u32);
        }
        (self.link_rows, self.link_starts) = (link_rows, link_starts);
        self.appearance = self.appearance.select_rows(kept.iter().map(|row| *row as usize)).into();
        self.appearance_sample = kept.iter().map(|row| self.appearance_sample[*row as usize]).collect();
        self.appearance_cell = kept.iter().map(|row| self.appearance_cell[*row as usize]).collect();
    }

    /// Number of samples (those without a patch don't count).
    pub fn sample_count(&self) -> usize {
        self.shape_sample.last().map_or(0, |last| *last as usize + 1)
    }

    /// The RGB rows that one SDF row knows, ascending.
    pub fn links(&self, shape_row: u32) -> &[u32] {
        let row = shape_row as usize;
        &self.link_rows[self.link_starts[row] as usize..self.link_starts[row + 1] as usize]
    }

    /// The union of the RGB rows that the given SDF rows know, ascending.
    pub fn linked_rows(&self, shape_rows: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut linked = vec![false; self.appearance.rows()];
        let mut seen = vec![false; self.shape.rows()];
        for shape_row in shape_rows {
            if !std::mem::replace(&mut seen[shape_row as usize], true) {
                for row in self.links(shape_row) {
                    linked[*row as usize] = true;
                }
            }
        }
        (0..linked.len() as u32).filter(|row| linked[*row as usize]).collect()
    }

    /// The SDF rows that are not of the given sample, ascending.
    pub fn shape_rows_without(&self, sample: u32) -> Vec<u32> {
        rows_without(&self.shape_sample, sample)
    }

    /// The RGB rows that are not of the given sample, ascending.
    pub fn appearance_rows_without(&self, sample: u32) -> Vec<u32> {
        rows_without(&self.appearance_sample, sample)
    }
}

fn rows_without(samples: &[u32], sample: u32) -> Vec<u32> {
    (0..samples.len() as u32).filter(|row| samples[*row as usize] != sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample with two-dimensional SDF features and one-dimensional RGB features over 6 cells.
    fn sample(shift: f32, patch_cells: Vec<Vec<u32>>) -> SampleFeatures {
        let n = patch_cells.len();
        SampleFeatures {
            shape: Matrix::from_vec(n, 2, (0..2 * n).map(|i| shift + i as f32).collect()),
            appearance: Matrix::from_vec(6, 1, (0..6).map(|cell| 10.0 * shift + cell as f32).collect()),
            patch_cells,
        }
    }

    #[test]
    fn only_used_cells_enter_and_links_point_at_them() {
        let mut memory = DualMemory::default();
        assert_eq!(memory.sample_count(), 0);
        assert!(memory.linked_rows([]).is_empty());
        memory.add(&sample(0.0, vec![vec![1, 3], vec![3, 5]]));
        memory.add(&sample(1.0, vec![vec![0, 1]]));
        assert_eq!(memory.sample_count(), 2);
        assert_eq!(memory.shape.as_slice(), &[0.0, 1.0, 2.0, 3.0, 1.0, 2.0]);
        assert_eq!(memory.shape_sample, [0, 0, 1]);
        assert_eq!(memory.appearance.as_slice(), &[1.0, 3.0, 5.0, 10.0, 11.0]);
        assert_eq!(memory.appearance_sample, [0, 0, 0, 1, 1]);
        assert_eq!(memory.appearance_cell, [1, 3, 5, 0, 1]);
        assert_eq!(memory.link_starts, [0, 2, 4, 6]);
        assert_eq!(memory.link_rows, [0, 1, 1, 2, 3, 4]);
        assert_eq!(memory.linked_rows([2, 1, 2]), [1, 2, 3, 4]);
        assert_eq!(memory.shape_rows_without(0), [2]);
        assert_eq!(memory.appearance_rows_without(1), [0, 1, 2]);
    }

    #[test]
    fn thinning_keeps_what_differs_most_and_renumbers_the_links() {
        let mut memory = DualMemory::default();
        // Colours 1, 3 and 5; 10 and 11; 5 and 9.
        memory.add(&sample(0.0, vec![vec![1, 3], vec![3, 5]]));
        memory.add(&sample(1.0, vec![vec![0, 1], vec![1]]));
        memory.add(&sample(0.4, vec![vec![1], vec![5]]));
        let full = memory.clone();
        memory.thin_appearance(1.0, 0);
        assert_eq!(memory, full);
        // Three of seven: from whichever one, the two ends are among them.
        memory.thin_appearance(0.4, 0);
        assert_eq!(memory.appearance.as_slice(), &[1.0, 5.0, 11.0]);
        assert_eq!(memory.appearance_sample, [0, 0, 1]);
        assert_eq!(memory.appearance_cell, [1, 5, 1]);
        assert_eq!(memory.link_starts, [0, 1, 2, 3, 4, 4, 4]);
        assert_eq!(memory.link_rows, [0, 1, 2, 2]);
        assert!(memory.links(5).is_empty());
        assert_eq!(memory.linked_rows([4, 5]), [0u32; 0]);
        assert_eq!(memory.appearance_rows_without(1), [0, 1]);
        // SDF features stay, and so does the number of samples, though the last one has no colour left.
        assert_eq!((&memory.shape, &memory.shape_sample), (&full.shape, &full.shape_sample));
        assert_eq!(memory.sample_count(), 3);
    }

    #[test]
    fn one_feature_at_least_is_left() {
        let mut memory = DualMemory::default();
        memory.thin_appearance(0.5, 0);
        assert_eq!(memory, DualMemory::default());
        memory.add(&sample(0.0, vec![vec![1, 3]]));
        memory.thin_appearance(1e-9, 0);
        assert_eq!((memory.appearance.rows(), memory.link_rows.len()), (1, 1));
    }

    #[test]
    #[should_panic(expected = "each patch needs its list of cells")]
    fn patches_without_cells_are_a_bug() {
        let mut features = sample(0.0, vec![vec![0], vec![1]]);
        features.patch_cells.pop();
        DualMemory::default().add(&features);
    }
}
