//! Training patches and what is drawn from them: query points and their targets (Ma et al., "Neural-Pull", 2021;
//! docs/method.md, "Training the shape expert").
//!
//! Differences from the reference, whose 20 repetitions per patch are stored: queries are drawn anew in every step,
//! with the same probabilities; and the encoder sees the patch itself, not the queries' targets.

use rand_chacha::rand_core::Rng;
use rayon::prelude::*;
use shapeguard_core::expert_inputs::extent_and_mean;

use crate::random;
use crate::training::EncoderInput;

/// A query's deviation is half of sigma in 13 of 20 cases, else sigma (reference value).
const NEAR_SHARE: f32 = 13.0 / 20.0;
/// The smaller deviation, in units of sigma (reference value).
const NEAR_DEVIATION: f32 = 0.5;
/// Sigma is the distance to this neighbour, the point itself not counted (paper 3.2, reference value).
const SIGMA_NEIGHBOUR: usize = 50;

/// One patch of a good surface, normalised: scaled by 1 / (its largest axis extent), then centred on its mean.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPatch {
    /// The points; all patches of one training have equally many.
    pub points: Vec<[f32; 3]>,
}

impl TrainingPatch {
    /// Normalises points of one patch; `None` if they have no extent or are not finite.
    pub fn normalised(mut points: Vec<[f32; 3]>) -> Option<Self> {
        normalise(&mut points)?;
        Some(Self { points })
    }
}

/// Scales by 1 / (largest axis extent), then centres on the mean; returns the scale and the mean before scaling.
pub(crate) fn normalise(points: &mut [[f32; 3]]) -> Option<(f32, [f32; 3])> {
    let (extent, mean) = extent_and_mean(points.iter().copied());
    let scale = 1.0 / extent;
    if !(scale.is_finite() && mean.iter().all(|x| x.is_finite())) {
        return None;
    }
    for p in points {
        *p = [0, 1, 2].map(|axis| (p[axis] - mean[axis]) * scale);
    }
    Some((scale, mean))
}

/// A patch with what its queries need.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    points: Vec<[f32; 3]>,
    /// Distance of each point to its [`SIGMA_NEIGHBOUR`]th neighbour.
    sigma: Vec<f32>,
}

/// What one step sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Batch {
    /// `n_patches * patch_size` points.
    pub(crate) points: Vec<[f32; 3]>,
    /// Equally many queries for each patch.
    pub(crate) queries: Vec<[f32; 3]>,
    /// The patch point nearest to each query.
    pub(crate) targets: Vec<[f32; 3]>,
}

impl Batch {
    /// What the encoder sees of so many patches, and how many points of each patch that are.
    pub(crate) fn encoder_points(&self, patches: usize, input: EncoderInput) -> (&[[f32; 3]], usize) {
        let points = match input {
            EncoderInput::Patch => &self.points,
            EncoderInput::Targets => &self.targets,
        };
        (points, points.len() / patches)
    }
}

impl Prepared {
    pub(crate) fn new(patch: TrainingPatch) -> Self {
        let neighbour = SIGMA_NEIGHBOUR.min(patch.points.len() - 1);
        let mut squared = Vec::with_capacity(patch.points.len());
        let sigma = patch
            .points
            .iter()
            .map(|p| {
                squared.clear();
                squared.extend(patch.points.iter().map(|q| squared_distance(p, q)));
                // The point itself is at place 0.
                squared.select_nth_unstable_by(neighbour, f32::total_cmp).1.sqrt()
            })
            .collect();
        Self { points: patch.points, sigma }
    }

    /// Prepares many patches.
    pub(crate) fn all(patches: Vec<TrainingPatch>) -> Vec<Self> {
        patches.into_par_iter().map(Self::new).collect()
    }

    pub(crate) fn points(&self) -> &[[f32; 3]] {
        &self.points
    }

    /// The patch turned by a random angle about the viewing axis, mirrored in half of the cases, and normalised again.
    pub(crate) fn turned(&self, random: &mut impl Rng) -> Self {
        let (sin, cos) = (std::f32::consts::TAU * random::uniform(random)).sin_cos();
        let mirror = if random::uniform(random) < 0.5 { -1.0 } else { 1.0 };
        let turn = |p: &[f32; 3]| [mirror * (cos * p[0] - sin * p[1]), sin * p[0] + cos * p[1], p[2]];
        let mut points: Vec<[f32; 3]> = self.points.iter().map(turn).collect();
        match normalise(&mut points) {
            Some((scale, _)) => Self { points, sigma: self.sigma.iter().map(|sigma| sigma * scale).collect() },
            None => self.clone(),
        }
    }

    /// `count` queries at different points (all points, if fewer), with their targets.
    pub(crate) fn draw(&self, count: usize, random: &mut impl Rng) -> (Vec<[f32; 3]>, Vec<[f32; 3]>) {
        let n = self.points.len();
        let mut order: Vec<usize> = (0..n).collect();
        let mut queries = Vec::with_capacity(count);
        for i in 0..count.min(n) {
            order.swap(i, i + random::below(random, n - i));
            let point = order[i];
            let factor = if random::uniform(random) < NEAR_SHARE { NEAR_DEVIATION } else { 1.0 };
            let deviation = factor * self.sigma[point];
            queries.push(self.points[point].map(|x| x + deviation * random::normal(random)));
        }
        let targets = queries.iter().map(|q| self.points[nearest(q, &self.points)]).collect();
        (queries, targets)
    }
}

fn squared_distance(p: &[f32; 3], q: &[f32; 3]) -> f32 {
    (p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2) + (p[2] - q[2]).powi(2)
}

fn nearest(query: &[f32; 3], points: &[[f32; 3]]) -> usize {
    let mut best = (f32::INFINITY, 0);
    for (index, point) in points.iter().enumerate() {
        let squared = squared_distance(query, point);
        if squared < best.0 {
            best = (squared, index);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flat grid of 25 x 20 points.
    fn grid() -> TrainingPatch {
        let points = (0..500).map(|i| [(i % 25) as f32, (i / 25) as f32, 1.0]).collect();
        TrainingPatch::normalised(points).unwrap()
    }

    #[test]
    fn queries_have_the_published_spread_and_the_nearest_target() {
        let prepared = Prepared::new(grid());
        // On a unit grid, the 50th neighbour of an inner point is at distance 4 (49 points are within it, 45 + 4).
        let inner = 12 + 10 * 25;
        assert!((prepared.sigma[inner] * 24.0 - 17f32.sqrt()).abs() < 1e-3, "{}", prepared.sigma[inner] * 24.0);
        let mut random = random::generator(1, 2);
        let (mut sum, mut near) = (0.0f64, 0);
        let draws = 200;
        for _ in 0..draws {
            let (queries, targets) = prepared.draw(500, &mut random);
            for (query, target) in queries.iter().zip(&targets) {
                let best = prepared.points.iter().map(|p| squared_distance(query, p)).fold(f32::INFINITY, f32::min);
                assert_eq!(best, squared_distance(query, target));
                sum += f64::from(query[2] * query[2]);
                near += 1;
            }
        }
        // E z^2 = (0.65 * 0.25 + 0.35) * mean sigma^2; 100,000 draws have a relative deviation near 0.6 %.
        let mean_square = prepared.sigma.iter().map(|s| f64::from(s * s)).sum::<f64>() / 500.0;
        let expected = (0.65 * 0.25 + 0.35) * mean_square;
        assert!((sum / f64::from(near) / expected - 1.0).abs() < 0.03, "{} {expected}", sum / f64::from(near));
    }

    #[test]
    fn turning_keeps_distances_up_to_scale() {
        let prepared = Prepared::new(grid());
        let turned = prepared.turned(&mut random::generator(3, 0));
        let ratio = turned.sigma[7] / prepared.sigma[7];
        for (i, j) in [(0, 499), (3, 77), (250, 12)] {
            let before = squared_distance(&prepared.points[i], &prepared.points[j]).sqrt();
            let after = squared_distance(&turned.points[i], &turned.points[j]).sqrt();
            assert!((after / before - ratio).abs() < 1e-4, "{after} {before} {ratio}");
        }
    }

    #[test]
    fn points_without_extent_are_refused() {
        assert!(TrainingPatch::normalised(vec![[1.0; 3]; 5]).is_none());
        assert!(TrainingPatch::normalised(vec![]).is_none());
        assert!(TrainingPatch::normalised(vec![[0.0; 3], [f32::NAN, 0.0, 1.0]]).is_none());
    }
}
