//! Typical scores: what good parts score where (docs/method.md, "Typical scores"). Ours, not the paper's; the preset `paper` does
//! without.
//!
//! Some shapes and colours of a good part are rebuilt worse than others: sharp edges, glossy spots, grain. Every feature of the
//! memory therefore knows what its own sample scored there when all of its features were left out. A new score is divided by
//! what is typical for the features that it was compared with, relative to the median of the memory, so that scores keep their
//! scale. Typical scores of a sample's neighbours were learnt with that sample in the memory, so a sample that is left out
//! later finds them a little too small: the thresholds made of them err towards keeping good parts.

use crate::fusion::larger;
use crate::memory::DualMemory;
use crate::scoring::RawScores;
use crate::seams::Neighbour;
use crate::settings::MemorySettings;

/// A typical score counts as at least this share of the reference: what good parts rebuild perfectly still has noise.
const LEAST_SHARE: f32 = 0.2;
/// The reference is at least this share of the mean: where most of a memory is rebuilt perfectly, as with copies of one scan, the
/// median says nothing.
const LEAST_SHARE_OF_MEAN: f32 = 0.1;

/// What good parts score, feature by feature of the memory.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TypicalScores {
    /// For each SDF row the root mean square of the signed distances of its patch's points.
    pub distance: Typical,
    /// For each SDF row `||f - f^||`.
    pub residual: Typical,
    /// For each RGB row the residual of its cell.
    pub cell: Typical,
}

/// One kind of score, row by row, and the reference that scores are relative to: the median, or a tenth of the mean if that is
/// more.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Typical {
    values: Vec<f32>,
    reference: f32,
}

impl Typical {
    /// Of the scores of all rows of a bank.
    pub fn new(values: Vec<f32>) -> Self {
        let mut sorted = values.clone();
        let middle = sorted.len() / 2;
        let median = if sorted.is_empty() { 0.0 } else { *sorted.select_nth_unstable_by(middle, f32::total_cmp).1 };
        let mean = (values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len().max(1) as f64) as f32;
        Self { reference: larger(median, LEAST_SHARE_OF_MEAN * mean), values }
    }

    /// The scores, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// What is typical for a feature with these neighbours: their mean, of at least a fifth of the reference. The reference
    /// itself where there are no neighbours.
    fn of(&self, neighbours: &[Neighbour]) -> f32 {
        let sum: f32 = neighbours.iter().map(|neighbour| self.values[neighbour.row as usize]).sum();
        let mean = if neighbours.is_empty() { self.reference } else { sum / neighbours.len() as f32 };
        // What is no number must surface.
        larger(mean, LEAST_SHARE * self.reference)
    }

    /// By what a score with these neighbours is multiplied: 1 where the typical score is the reference.
    pub(crate) fn factor(&self, neighbours: &[Neighbour], power: f32) -> f32 {
        let typical = self.of(neighbours);
        // Good parts without any score leave nothing to compare with.
        if power == 0.0 || typical <= 0.0 { 1.0 } else { (self.reference / typical).powf(power) }
    }

    /// A score relative to what is typical.
    pub(crate) fn ratio(&self, score: f32, neighbours: &[Neighbour], power: f32) -> f32 {
        let typical = self.of(neighbours);
        if power == 0.0 || typical <= 0.0 { 1.0 } else { (score / typical).powf(power) }
    }
}

impl TypicalScores {
    /// Of all samples of a memory, each scored without any feature of its own, in the memory's order.
    ///
    /// # Panics
    /// If a feature of the memory has no score: a bug of the caller.
    pub fn learn(samples: &[SampleTypical], memory: &DualMemory) -> Self {
        let all =
            |kind: fn(&SampleTypical) -> &Vec<f32>| Typical::new(samples.iter().flat_map(kind).copied().collect());
        // A thinned bank has only some of a sample's cells.
        let rows = memory.appearance_sample.iter().zip(&memory.appearance_cell);
        let cell = Typical::new(rows.map(|(sample, cell)| samples[*sample as usize].of_cell(*cell)).collect());
        let typical = Self { distance: all(|s| &s.distance), residual: all(|s| &s.residual), cell };
        assert_eq!(typical.distance.values.len(), memory.shape.rows(), "each SDF feature needs its typical score");
        typical
    }

    /// Whether these settings have a use for them.
    pub fn are_wanted(settings: &MemorySettings) -> bool {
        [settings.shape_typical_power, settings.appearance_typical_power, settings.residual_power]
            .iter()
            .any(|power| *power != 0.0)
    }
}

/// What one sample of the memory scored without its own features, in the order of its features.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleTypical {
    distance: Vec<f32>,
    residual: Vec<f32>,
    /// The cells that were compared, ascending.
    cells: Vec<u32>,
    /// The residual of each of them.
    cell: Vec<f32>,
}

impl SampleTypical {
    /// Of the scores of a sample that was left out.
    pub fn of(raw: &RawScores) -> Self {
        let mean_square = |distances: &[f32]| {
            let sum: f64 = distances.iter().map(|d| f64::from(*d) * f64::from(*d)).sum();
            (sum / distances.len().max(1) as f64).sqrt() as f32
        };
        Self {
            distance: raw.distances.chunks(raw.points_per_patch.max(1)).map(mean_square).collect(),
            residual: raw.patch_residuals.clone(),
            cells: raw.cells.clone(),
            cell: raw.cell_residuals.clone(),
        }
    }

    fn of_cell(&self, cell: u16) -> f32 {
        let at = self.cells.binary_search(&cell.into());
        self.cell[at.expect("each RGB feature of the memory is of a cell of its sample")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbours(rows: &[u32]) -> Vec<Neighbour> {
        rows.iter().map(|row| Neighbour { row: *row, squared_distance: 1.0 }).collect()
    }

    #[test]
    fn scores_are_divided_by_what_is_typical_relative_to_the_median() {
        let typical = Typical::new(vec![4.0, 1.0, 2.0, 8.0, 0.0]);
        assert_eq!(typical.reference, 2.0);
        assert_eq!(typical.factor(&neighbours(&[2]), 1.0), 1.0);
        assert_eq!(typical.factor(&neighbours(&[0, 3]), 1.0), 2.0 / 6.0);
        assert_eq!(typical.factor(&neighbours(&[3]), 0.5), 0.5);
        // Nothing is typical by less than a fifth of the median.
        assert_eq!(typical.factor(&neighbours(&[4]), 1.0), 5.0);
        assert_eq!(typical.factor(&[], 1.0), 1.0);
        assert_eq!(typical.factor(&neighbours(&[3]), 0.0), 1.0);
        assert_eq!(typical.ratio(12.0, &neighbours(&[0, 3]), 1.0), 2.0);
        assert_eq!(typical.ratio(12.0, &neighbours(&[0, 3]), 0.0), 1.0);
    }

    #[test]
    fn good_parts_that_never_score_change_nothing() {
        let silent = Typical::new(vec![0.0; 3]);
        assert_eq!((silent.factor(&neighbours(&[1]), 1.0), silent.ratio(3.0, &neighbours(&[1]), 1.0)), (1.0, 1.0));
        assert_eq!(Typical::new(Vec::new()), Typical::default());
    }

    #[test]
    fn a_memory_that_is_mostly_rebuilt_perfectly_wipes_out_no_score() {
        let copies = Typical::new(vec![0.0, 0.0, 0.0, 1.0]);
        assert_eq!(copies.reference, 0.1 * 0.25);
        for power in [0.5, 1.0] {
            let factor = copies.factor(&neighbours(&[3]), power);
            assert!(factor > 0.01 && factor < 1.0, "{factor}");
        }
        assert!((copies.factor(&neighbours(&[0]), 1.0) - 5.0).abs() < 1e-5, "a fifth of the reference at least");
    }

    #[test]
    fn what_is_no_number_surfaces() {
        let broken = Typical::new(vec![1.0, f32::NAN, 3.0]);
        assert!(broken.factor(&neighbours(&[1]), 1.0).is_nan());
        let typical = Typical::new(vec![1.0, 2.0, 3.0]);
        assert!(typical.ratio(f32::NAN, &neighbours(&[0]), 0.5).is_nan());
    }
}
