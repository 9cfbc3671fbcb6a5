//! The memory bank of PatchCore and BTF: a coreset of all cells' features, and scores by the nearest of them.
//!
//! Source: PatchCore (Roth et al., CVPR 2022), sections 3.2 and 3.3, equations 6 and 7.
//!
//! A sample's score is its largest cell distance s*, times `1 - exp(s*) / sum over the b nearest m of exp(d(m))`, where the m are
//! the features nearest to the one that the cell was matched with (itself included), and d(m) the cell's distance from each. It is computed as
//! `1 - 1 / sum of exp(d(m) - s*)`, which does not overflow. The search is exact.

use shapeguard_core::coreset::greedy_coreset;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::memory::{ExactSearch, FeatureBank};
use shapeguard_core::seams::BankSearch;

use crate::settings::BankSettings;

/// The features that samples are compared with.
pub struct Bank {
    features: FeatureBank,
}

/// What a bank says of a sample.
pub struct BankScores {
    /// Distance of each cell to its nearest feature.
    pub distances: Vec<f32>,
    /// The sample's re-weighted score.
    pub sample_score: f32,
}

impl Bank {
    /// Keeps a coreset of the features of all good samples, or all of them where its share is 1.
    ///
    /// # Panics
    /// If there is no feature: a bug of the caller.
    pub fn fit(features: &Matrix, settings: &BankSettings, seed: u64) -> Self {
        let count = (features.rows() as f64 * settings.coreset_share).round() as usize;
        if count >= features.rows() {
            return Self { features: features.clone().into() };
        }
        let coreset = greedy_coreset(features, count, settings.projected_dim, seed);
        Self { features: features.select_rows(coreset.rows.iter().map(|row| *row as usize)).into() }
    }

    /// The kept features, in the order of their choice.
    pub fn features(&self) -> &Matrix {
        &self.features
    }

    /// Scores the given cells of a sample; 0 for a sample without any.
    pub fn score(&self, features: &Matrix, cells: &[u32], settings: &BankSettings) -> BankScores {
        let queries = features.select_rows(cells.iter().map(|cell| *cell as usize));
        if queries.rows() == 0 {
            return BankScores { distances: Vec::new(), sample_score: 0.0 };
        }
        let nearest: Vec<_> =
            ExactSearch.nearest(&self.features, None, &queries, 1).into_iter().map(|found| found[0]).collect();
        let distances: Vec<f32> = nearest.iter().map(|neighbour| neighbour.squared_distance.sqrt()).collect();
        let worst = (0..distances.len())
            .reduce(|a, b| if distances[b] > distances[a] { b } else { a })
            .expect("there is a cell");
        let matched = self.features.select_rows([nearest[worst].row as usize]);
        let around = &ExactSearch.nearest(&self.features, None, &matched, settings.reweight_neighbours)[0];
        let of_matched = self.features.select_rows(around.iter().map(|neighbour| neighbour.row as usize));
        let to_all = ExactSearch.nearest(&of_matched.into(), None, &queries.select_rows([worst]), around.len());
        let largest = f64::from(distances[worst]);
        let sum: f64 = to_all[0].iter().map(|m| (f64::from(m.squared_distance).sqrt() - largest).exp()).sum();
        // The matched feature's own term is 1; a bank of one feature knows nothing of its surroundings.
        let weight = if around.len() > 1 { 1.0 - 1.0 / sum } else { 1.0 };
        BankScores { sample_score: (weight * largest) as f32, distances }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BankSettings = BankSettings { coreset_share: 1.0, projected_dim: 128, reweight_neighbours: 3 };

    #[test]
    fn the_sample_score_follows_equation_7() {
        let bank = Bank::fit(&Matrix::from_vec(5, 1, vec![0.0, 1.0, 2.0, 10.0, 11.0]), &SETTINGS, 0);
        let sample = Matrix::from_vec(3, 1, vec![0.1, 2.5, 77.0]);
        // The last cell is not the part's.
        let scores = bank.score(&sample, &[0, 1], &SETTINGS);
        assert!((scores.distances[0] - 0.1).abs() < 1e-6 && (scores.distances[1] - 0.5).abs() < 1e-6);
        // Matched with 2, whose three nearest are 2, 1 and 0, at 0.5, 1.5 and 2.5 from the cell.
        let sum = 0.5f64.exp() + 1.5f64.exp() + 2.5f64.exp();
        let expected = (1.0 - 0.5f64.exp() / sum) * 0.5;
        assert!((f64::from(scores.sample_score) - expected).abs() < 1e-6, "{}", scores.sample_score);
    }

    #[test]
    fn large_distances_do_not_overflow() {
        let bank = Bank::fit(&Matrix::from_vec(3, 1, vec![0.0, 5000.0, 9000.0]), &SETTINGS, 0);
        let scores = bank.score(&Matrix::from_vec(1, 1, vec![-2000.0]), &[0], &SETTINGS);
        assert_eq!(scores.sample_score, 2000.0);
    }

    #[test]
    fn nothing_to_score_scores_0() {
        let bank = Bank::fit(&Matrix::from_vec(2, 1, vec![0.0, 1.0]), &SETTINGS, 0);
        let scores = bank.score(&Matrix::from_vec(1, 1, vec![5.0]), &[], &SETTINGS);
        assert_eq!((scores.distances.len(), scores.sample_score), (0, 0.0));
    }
}
