//! The verdict's threshold, from good parts alone (docs/method.md, "Threshold"; split conformal prediction, Vovk et
//! al. 2005; Lei et al. 2018).
//!
//! If a good part is exchangeable with the `n` good parts that the threshold was made of, its score is equally likely
//! to have any of the `n + 1` ranks, so it exceeds the `k`-th smallest with a probability of at most
//! `1 - k / (n + 1)`. Test: `good_parts_are_rejected_no_more_often_than_promised`.

use serde::{Deserialize, Serialize};

/// What `(n + 1)(1 - rate)` may be off by rounding before it counts as the next whole number.
const ROUNDING_SLACK: f64 = 1e-9;

/// Where the good scores came from, and so what the threshold promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdBasis {
    /// Good samples that the memory has not seen: the rate is guaranteed (split conformal).
    Validation,
    /// Training samples scored without their own features, and the few that the memory has not seen: the rate is
    /// approximate.
    LeaveOneOut,
}

/// The threshold: a sample is rejected when its score is greater.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The score above which a sample is rejected.
    pub score: f32,
    /// The wished false-reject rate.
    pub false_reject_rate: f64,
    /// Where the good scores came from.
    pub basis: ThresholdBasis,
    /// The good scores, ascending.
    pub good_scores: Vec<f32>,
}

/// Why there is no threshold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ThresholdError {
    /// The rate is no rate.
    #[error("a false-reject rate lies between 0 and 1, both excluded; found {rate}; pass for example 0.05")]
    InvalidRate {
        /// The wished rate.
        rate: f64,
    },
    /// Too few good samples for the rate.
    #[error(
        "a false-reject rate of {rate} needs at least {needed} good samples, found {found}; \
         give more good samples, or wish for a rate of {attainable:.4} or more"
    )]
    TooFewSamples {
        /// The wished rate.
        rate: f64,
        /// How many good samples it needs.
        needed: usize,
        /// How many there are.
        found: usize,
        /// The smallest rate that can be promised with those there are.
        attainable: f64,
    },
    /// A good score is no number.
    #[error(
        "good score {index} (counted from 0) is {score}, not a finite number; check that sample's scan and the experts' weights"
    )]
    NotFinite {
        /// Which one.
        index: usize,
        /// What it is.
        score: f32,
    },
}

impl Threshold {
    /// The conformal threshold of the good scores for a wished false-reject rate: of `n` scores the `k`-th smallest,
    /// `k = ceil((n + 1)(1 - rate))`.
    ///
    /// # Errors
    /// If the rate is below `1 / (n + 1)`: the error says how many good samples it needs. Also if it is not between 0
    /// and 1, or a score is not finite.
    pub fn from_good_scores(
        mut good_scores: Vec<f32>,
        false_reject_rate: f64,
        basis: ThresholdBasis,
    ) -> Result<Self, ThresholdError> {
        let rate = false_reject_rate;
        if !(rate > 0.0 && rate < 1.0) {
            return Err(ThresholdError::InvalidRate { rate });
        }
        if let Some(index) = good_scores.iter().position(|score| !score.is_finite()) {
            return Err(ThresholdError::NotFinite { index, score: good_scores[index] });
        }
        let n = good_scores.len();
        let needed = Self::samples_needed(rate);
        if n < needed {
            return Err(ThresholdError::TooFewSamples { rate, needed, found: n, attainable: 1.0 / (n as f64 + 1.0) });
        }
        good_scores.sort_unstable_by(f32::total_cmp);
        let k = (((n + 1) as f64 * (1.0 - rate) - ROUNDING_SLACK).ceil() as usize).clamp(1, n);
        Ok(Self { score: good_scores[k - 1], false_reject_rate, basis, good_scores })
    }

    /// The smallest number of good samples with which a false-reject rate can be promised: `ceil(1 / rate) - 1`, and
    /// at least one. No number is enough for a rate that isn't positive.
    pub fn samples_needed(false_reject_rate: f64) -> usize {
        if false_reject_rate > 0.0 {
            ((1.0 / false_reject_rate - ROUNDING_SLACK).ceil() as usize).saturating_sub(1).max(1)
        } else {
            usize::MAX
        }
    }

    /// Whether a sample with this score is rejected; one that is no number is.
    pub fn rejects(&self, score: f32) -> bool {
        score.is_nan() || score > self.score
    }

    /// The conformal p-value of a score: the share of good parts that score at least as high, the part itself counted
    /// as one of them.
    pub fn p_value(&self, score: f32) -> f64 {
        let as_high = self.good_scores.iter().filter(|good| **good >= score).count();
        (1 + as_high) as f64 / (1 + self.good_scores.len()) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn threshold(n: usize, rate: f64) -> Result<Threshold, ThresholdError> {
        let scores = (1..=n).rev().map(|score| score as f32).collect();
        Threshold::from_good_scores(scores, rate, ThresholdBasis::Validation)
    }

    #[test]
    fn it_is_the_score_of_the_conformal_rank() {
        // ceil(20 * 0.95) = 19, ceil(31 * 0.95) = 30, ceil(101 * 0.9) = 91, ceil(10 * 0.9) = 9.
        for (n, rate, k) in [(19, 0.05, 19.0), (30, 0.05, 30.0), (100, 0.1, 91.0), (9, 0.1, 9.0), (1, 0.5, 1.0)] {
            assert_eq!(threshold(n, rate).unwrap().score, k, "{n} scores at {rate}");
        }
        assert_eq!(threshold(5, 0.999_999_999_999).unwrap().score, 1.0);
    }

    #[test]
    fn every_whole_share_is_attainable_with_exactly_as_many_as_it_needs() {
        for n in 1..500 {
            let rate = 1.0 / (n as f64 + 1.0);
            assert_eq!(Threshold::samples_needed(rate), n, "1 / {}", n + 1);
            assert_eq!(threshold(n, rate).unwrap().score, n as f32);
        }
    }

    #[test]
    fn a_stricter_rate_is_refused_with_the_number_that_it_needs() {
        let error = threshold(30, 0.01).unwrap_err();
        assert!(matches!(error, ThresholdError::TooFewSamples { needed: 99, found: 30, .. }));
        assert!(error.to_string().contains("at least 99 good samples, found 30"), "{error}");
        assert!(error.to_string().contains("0.0323"), "{error}");
        assert!(matches!(threshold(0, 0.9).unwrap_err(), ThresholdError::TooFewSamples { needed: 1, found: 0, .. }));
    }

    #[test]
    fn what_is_no_rate_or_no_number_is_refused() {
        for rate in [0.0, -0.1, 1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(threshold(50, rate).unwrap_err(), ThresholdError::InvalidRate { .. }));
        }
        assert_eq!(Threshold::samples_needed(0.0), usize::MAX);
        for bad in [f32::NAN, f32::INFINITY] {
            let error = Threshold::from_good_scores(vec![1.0, bad], 0.5, ThresholdBasis::Validation).unwrap_err();
            assert!(matches!(error, ThresholdError::NotFinite { index: 1, .. }));
        }
    }

    #[test]
    fn p_values_count_good_parts_that_score_as_high() {
        let threshold = threshold(19, 0.05).unwrap();
        assert_eq!(threshold.p_value(0.0), 1.0);
        assert_eq!(threshold.p_value(19.0), 2.0 / 20.0);
        assert_eq!(threshold.p_value(20.0), 1.0 / 20.0);
        assert!(!threshold.rejects(19.0) && threshold.rejects(19.5) && threshold.rejects(f32::NAN));
    }

    #[test]
    fn good_parts_are_rejected_no_more_often_than_promised() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        // (good samples, rate): the exact expectation is 1 - k / (n + 1).
        for (n, rate, exact) in [(30, 0.05, 1.0 / 31.0), (19, 0.05, 0.05), (60, 0.1, 6.0 / 61.0)] {
            let trials = 20_000;
            let mut rejected = 0;
            for _ in 0..trials {
                let scores: Vec<f32> = (0..n).map(|_| rng.random()).collect();
                let threshold = Threshold::from_good_scores(scores, rate, ThresholdBasis::Validation).unwrap();
                rejected += usize::from(threshold.rejects(rng.random()));
            }
            let found = rejected as f64 / trials as f64;
            // Five standard errors of a share of 20,000 trials.
            let slack = 5.0 * (exact * (1.0 - exact) / trials as f64).sqrt();
            assert!((found - exact).abs() < slack && exact <= rate + 1e-12, "{found} instead of {exact}");
        }
    }
}
