//! Routing: which of several categories a scan shows, or that it shows none of them (docs/method.md, "Routing").
//!
//! The paper puts a classifier on the colour expert's features and does not say which. Ours: a scan is described by the mean
//! and the deviation of its cells' features; a category is the mean of its good scans, and its distance to a scan is
//! Mahalanobis' under the covariance that all categories share (linear discriminant analysis), shrunk as Ledoit and Wolf do it
//! (2004), since there are fewer scans than dimensions. Each distance is measured against what is typical of the category's own
//! good scans when each of them is left out. Test of that shortcut: `leaving_out_equals_learning_without`.

mod covariance;

use rayon::prelude::*;

use crate::calibration::{Threshold, ThresholdBasis};
use crate::matrix::Matrix;
use crate::memory::SampleFeatures;
use crate::square_matrix::SquareMatrix;
use covariance::Covariance;

/// A part is unknown when it is farther from every category than this many times what is typical there. Chosen on simulated
/// scans of seeds that no figure is given for: farther than nearly all good and defective scans of a category, nearer than all
/// scans of categories that were left out (docs/results.md, "Several kinds of parts in one model").
pub const UNKNOWN_FROM: f32 = 2.0;
/// Where a category has good scans enough to tell, at most this share of them may be farther than [`UNKNOWN_FROM`].
const UNKNOWN_RATE: f64 = 0.01;
/// Dimensions that a distance counts as having when it is made a confidence. Good scans' own distances vary as little as those
/// in more dimensions do; fewer let the confidence err low.
const EFFECTIVE_DIMENSIONS: f64 = 4.0;
/// Least deviation of a value within its category, as a share of the deviation of all values: what never varies would
/// otherwise make any change an infinite distance.
const LEAST_DEVIATION: f64 = 0.01;
/// Least typical distance of a category, as a share of the median over all good scans: copies of one scan are no measure.
const LEAST_TYPICAL: f64 = 0.5;

/// A scan as the router sees it: the mean of each value of its colour features, then the deviation of each, over the cells that
/// some patch has.
///
/// # Panics
/// If no patch has a cell: a bug of the caller.
pub fn descriptor(features: &SampleFeatures) -> Vec<f32> {
    let cells = features.used_cells();
    assert!(!cells.is_empty(), "a scan without a cell is not routed");
    let rows = || cells.iter().map(|cell| features.appearance.row(*cell as usize));
    let mean_of = |sums: Vec<f64>| sums.into_iter().map(|sum| sum / cells.len() as f64).collect::<Vec<_>>();
    let mut sums = vec![0.0; features.appearance.cols()];
    rows().for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value)));
    let mean = mean_of(sums);
    let mut squares = vec![0.0; mean.len()];
    rows().for_each(|row| {
        for ((square, value), mean) in squares.iter_mut().zip(row).zip(&mean) {
            *square += (f64::from(*value) - mean).powi(2);
        }
    });
    let deviation = mean_of(squares).into_iter().map(f64::sqrt);
    mean.iter().copied().chain(deviation).map(|value| value as f32).collect()
}

/// Where a scan belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Route {
    /// The nearest category.
    pub nearest: usize,
    /// How far it is, 1 being typical of its good scans.
    pub distance: f32,
    /// Probability of the nearest category, all categories and "unknown" being equally probable beforehand; "unknown" is as far as
    /// [`UNKNOWN_FROM`]. A scale to compare scans on, not a frequency.
    pub confidence: f32,
    /// Whether the scan shows a part of that category; else it shows an unknown one.
    pub is_known: bool,
}

/// Tells categories apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Router {
    /// Mean of all good scans' descriptors, `[d]`.
    pub mean: Vec<f32>,
    /// What makes the shared covariance a sphere, `[d, d]`, lower triangular: `whitening * (descriptor - mean)`.
    pub whitening: Matrix,
    /// Mean of each category, whitened, `[categories, d]`.
    pub centres: Matrix,
    /// Typical distance of each category's good scans from its mean, each left out; positive.
    pub typical: Vec<f32>,
}

/// Why categories cannot be told apart.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RoutingError {
    /// A category has too few scans.
    #[error(
        "routing needs at least 2 good scans of each category, found {found} of category {category} (counted from 0)"
    )]
    TooFewScans {
        /// Which one.
        category: usize,
        /// How many scans it has.
        found: usize,
    },
    /// A colour feature is no number.
    #[error(
        "a colour feature of good scan {scan} of category {category} (both counted from 0) is not a finite number; check that scan and the experts' weights"
    )]
    NotFinite {
        /// Which category.
        category: usize,
        /// Which of its scans.
        scan: usize,
    },
    /// There is nothing to tell them by.
    #[error(
        "all good scans of all categories have the same colour features, so nothing tells one category from the other; check that the scans differ, and the experts' weights"
    )]
    AllAlike,
}

impl Router {
    /// Learns from the descriptors of each category's good scans, a matrix `[scans, d]` for each.
    ///
    /// # Errors
    /// If a category has fewer than two scans, a value is not finite, or all scans are alike.
    ///
    /// # Panics
    /// If there is no category, or descriptors differ in length: bugs of the caller.
    pub fn learn(categories: &[Matrix]) -> Result<Self, RoutingError> {
        let dims = categories.first().expect("routing needs a category").cols();
        for (category, scans) in categories.iter().enumerate() {
            assert_eq!(scans.cols(), dims, "descriptors must have one length");
            if scans.rows() < 2 {
                return Err(RoutingError::TooFewScans { category, found: scans.rows() });
            }
            if let Some(value) = scans.as_slice().iter().position(|value| !value.is_finite()) {
                return Err(RoutingError::NotFinite { category, scan: value / dims });
            }
        }
        let means: Vec<Vec<f64>> = categories.iter().map(|scans| column_means(&[scans])).collect();
        let mean = column_means(&categories.iter().collect::<Vec<_>>());
        let mut within = Within::of(categories, &means, &mean).ok_or(RoutingError::AllAlike)?;
        within.standardise();
        let covariance = Covariance::shrunk(&within.rows, within.degrees_of_freedom);
        let inverse_root = covariance.matrix.cholesky().inverse_of_lower();

        let typical = typical_distances(&within, &covariance, &inverse_root);
        let whitened = |values: &[f64]| -> Vec<f64> {
            let standard: Vec<f64> = values.iter().zip(&within.scale).map(|(value, scale)| value / scale).collect();
            inverse_root.times_lower(&standard)
        };
        let centres = means.iter().flat_map(|of_category| {
            let from_mean: Vec<f64> = of_category.iter().zip(&mean).map(|(value, mean)| value - mean).collect();
            whitened(&from_mean).into_iter().map(|value| value as f32)
        });
        let centres = Matrix::from_vec(categories.len(), dims, centres.collect());
        let whitening = (0..dims).flat_map(|row| {
            inverse_root.row(row).iter().zip(&within.scale).map(|(value, scale)| (value / scale) as f32)
        });
        Ok(Self {
            whitening: Matrix::from_vec(dims, dims, whitening.collect()),
            mean: mean.into_iter().map(|value| value as f32).collect(),
            centres,
            typical: typical.into_iter().map(|value| value as f32).collect(),
        })
    }

    /// Number of categories.
    pub fn categories(&self) -> usize {
        self.centres.rows()
    }

    /// Where the scan with this descriptor belongs. One that is not finite is unknown, with confidence 0.
    ///
    /// # Panics
    /// If the descriptor has another length than those learnt from: a bug of the caller.
    pub fn route(&self, descriptor: &[f32]) -> Route {
        let distances = self.distances(descriptor);
        let nearest = (0..distances.len()).min_by(|a, b| distances[*a].total_cmp(&distances[*b])).unwrap_or_default();
        let distance = distances[nearest];
        let limit = f64::from(UNKNOWN_FROM);
        if !distance.is_finite() {
            return Route { nearest, distance: f32::INFINITY, confidence: 0.0, is_known: false };
        }
        // Relative to the most probable, so that no weight overflows and they are never all 0.
        let weight = |of: f64| (0.5 * EFFECTIVE_DIMENSIONS * (distance.min(limit).powi(2) - of.powi(2))).exp();
        let all: f64 = distances.iter().map(|of| weight(*of)).sum::<f64>() + weight(limit);
        let confidence = (weight(distance) / all) as f32;
        Route { nearest, distance: distance as f32, confidence, is_known: distance <= limit }
    }

    /// Distance to each category, 1 being typical of its good scans.
    ///
    /// # Panics
    /// As [`Self::route`].
    pub fn distances(&self, descriptor: &[f32]) -> Vec<f64> {
        assert_eq!(descriptor.len(), self.mean.len(), "a descriptor must be as long as those learnt from");
        let from_mean: Vec<f64> =
            descriptor.iter().zip(&self.mean).map(|(value, mean)| f64::from(*value) - f64::from(*mean)).collect();
        let whitened: Vec<f64> = (0..from_mean.len())
            .map(|row| self.whitening.row(row)[..=row].iter().zip(&from_mean).map(|(w, x)| f64::from(*w) * x).sum())
            .collect();
        (0..self.categories())
            .map(|category| {
                let centre = self.centres.row(category);
                let squared: f64 = whitened.iter().zip(centre).map(|(z, c)| (z - f64::from(*c)).powi(2)).sum();
                squared.sqrt() / f64::from(self.typical[category])
            })
            .collect()
    }
}

/// Good scans relative to their category's mean.
struct Within {
    /// A row for each scan, category after category.
    rows: Vec<Vec<f64>>,
    /// Category of each row.
    category: Vec<usize>,
    /// Scans of each category.
    counts: Vec<usize>,
    /// What a value of each dimension is divided by.
    scale: Vec<f64>,
    /// Scans less categories.
    degrees_of_freedom: f64,
}

impl Within {
    /// `None` if no value varies at all.
    fn of(categories: &[Matrix], means: &[Vec<f64>], mean: &[f64]) -> Option<Self> {
        let (mut rows, mut category) = (Vec::new(), Vec::new());
        let (mut within, mut in_all) = (vec![0.0; mean.len()], 0.0);
        for (index, scans) in categories.iter().enumerate() {
            for scan in 0..scans.rows() {
                let row = scans.row(scan);
                in_all += row.iter().zip(mean).map(|(value, mean)| (f64::from(*value) - mean).powi(2)).sum::<f64>();
                let row: Vec<f64> = row.iter().zip(&means[index]).map(|(value, m)| f64::from(*value) - m).collect();
                within.iter_mut().zip(&row).for_each(|(sum, value)| *sum += value * value);
                rows.push(row);
                category.push(index);
            }
        }
        let degrees_of_freedom = (rows.len() - categories.len()) as f64;
        let least = LEAST_DEVIATION * (in_all / (rows.len() * mean.len()) as f64).sqrt();
        let scale = within.into_iter().map(|sum| (sum / degrees_of_freedom).sqrt().max(least)).collect();
        let counts = categories.iter().map(Matrix::rows).collect();
        (least > 0.0).then_some(Self { rows, category, counts, scale, degrees_of_freedom })
    }

    fn standardise(&mut self) {
        for row in &mut self.rows {
            row.iter_mut().zip(&self.scale).for_each(|(value, scale)| *value /= scale);
        }
    }
}

fn column_means(parts: &[&Matrix]) -> Vec<f64> {
    let mut sums = vec![0.0; parts[0].cols()];
    let mut count = 0;
    for row in parts.iter().flat_map(|part| (0..part.rows()).map(|row| part.row(row))) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        count += 1;
    }
    sums.into_iter().map(|sum| sum / f64::from(count)).collect()
}

/// What is typical of each category: the median distance of its good scans, each left out. Where there are enough of them, at
/// least so much that no more than [`UNKNOWN_RATE`] of good scans should be unknown, by the conformal quantile.
fn typical_distances(within: &Within, covariance: &Covariance, inverse_root: &SquareMatrix) -> Vec<f64> {
    let distances = left_out_distances(within, covariance, inverse_root);
    let of_all = match median(distances.clone()) {
        // Copies alone: what a deviation of 1 in every dimension would make.
        0.0 => (inverse_root.side() as f64).sqrt(),
        median => median,
    };
    (0..within.counts.len())
        .map(|category| {
            let of_category = within.category.iter().zip(&distances).filter(|(of, _)| **of == category);
            let of_category: Vec<f64> = of_category.map(|(_, distance)| *distance).collect();
            let scores = of_category.iter().map(|distance| *distance as f32).collect();
            let quantile = Threshold::from_good_scores(scores, UNKNOWN_RATE, ThresholdBasis::LeaveOneOut)
                .map_or(0.0, |threshold| f64::from(threshold.score / UNKNOWN_FROM));
            median(of_category).max(quantile).max(LEAST_TYPICAL * of_all)
        })
        .collect()
}

/// Distance of each scan from its category, learnt without it. The shrinkage and the scale are those of all scans; then the
/// covariance without a scan differs from that of all by one product `w w^T`, whose inverse is known (Sherman and Morrison).
fn left_out_distances(within: &Within, covariance: &Covariance, inverse_root: &SquareMatrix) -> Vec<f64> {
    within
        .rows
        .par_iter()
        .zip(&within.category)
        .map(|(row, category)| {
            let n = within.counts[*category] as f64;
            let apart = n / (n - 1.0);
            let squared: f64 = inverse_root.times_lower(row).iter().map(|value| value * value).sum();
            let share = covariance.scatter_weight * apart * squared;
            // The rest is positive, since what is left of the covariance still is definite; rounding may not know that.
            (apart.powi(2) * squared / (1.0 - share).max(1e-9)).sqrt()
        })
        .collect()
}

/// The middle value, or the mean of both; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => 0.0,
        (n, middle) if n % 2 == 1 => values[middle],
        (_, middle) => 0.5 * (values[middle - 1] + values[middle]),
    }
}

#[cfg(test)]
mod tests;
