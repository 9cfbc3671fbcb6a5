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
        let score = good_scores[rank(n, rate) - 1];
        Ok(Self { score, false_reject_rate, basis, good_scores })
    }

    /// Where the true false-reject rate lies with the given confidence, `0.0..1.0`, in equal tails: for `n` exchangeable good
    /// scores it is a draw from Beta(`n + 1 - k`, `k`) (Vovk 2012). As approximate as the threshold's basis.
    ///
    /// # Panics
    /// If the confidence is no share: a bug of the caller.
    pub fn false_reject_interval(&self, confidence: f64) -> [f64; 2] {
        assert!(confidence > 0.0 && confidence < 1.0, "a confidence lies between 0 and 1");
        let n = self.good_scores.len();
        let rejected_ranks = n + 1 - rank(n, self.false_reject_rate);
        let tail = (1.0 - confidence) / 2.0;
        [tail, 1.0 - tail].map(|share| beta_quantile(n, rejected_ranks, share))
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

/// The rank of the threshold among `n` good scores, from 1: `ceil((n + 1)(1 - rate))`.
fn rank(n: usize, rate: f64) -> usize {
    (((n + 1) as f64 * (1.0 - rate) - ROUNDING_SLACK).ceil() as usize).clamp(1, n)
}

/// The quantile of Beta(`a`, `n + 1 - a`) for whole `a`: where at least `a` of `n` trials succeed with the probability `share`.
fn beta_quantile(n: usize, a: usize, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // Bisection to the last bit but a few.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if at_least(a, n, middle) < share { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The probability of at least `a` successes in `n` trials of the probability `p`.
fn at_least(a: usize, n: usize, p: f64) -> f64 {
    let odds = p.ln() - (-p).ln_1p();
    // The logarithm of the probability of exactly `i`, from one `i` to the next.
    let mut exactly = n as f64 * (-p).ln_1p();
    let mut fewer = 0.0;
    for i in 0..a {
        fewer += exactly.exp();
        exactly += ((n - i) as f64 / (i + 1) as f64).ln() + odds;
    }
    1.0 - fewer
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
    fn the_true_rate_lies_where_its_interval_says() {
        let interval = |n, rate, confidence| threshold(n, rate).unwrap().false_reject_interval(confidence);
        // n = k: the rate is a draw from Beta(1, n), whose quantiles are 1 - (1 - share)^(1 / n).
        let [low, high] = interval(19, 0.05, 0.95);
        assert!((low - (1.0 - 0.975f64.powf(1.0 / 19.0))).abs() < 1e-12, "{low}");
        assert!((high - (1.0 - 0.025f64.powf(1.0 / 19.0))).abs() < 1e-12, "{high}");
        // One score: uniform.
        assert!((interval(1, 0.5, 0.9)[0] - 0.05).abs() < 1e-12);
        // Many scores, where single probabilities underflow: normal with the deviation of a share.
        let [low, high] = interval(4000, 0.2, 0.95);
        let deviation = (0.2 * 0.8 / 4001f64).sqrt();
        assert!((low - (0.2 - 1.96 * deviation)).abs() < 2e-4 && (high - (0.2 + 1.96 * deviation)).abs() < 2e-4);
        assert!(interval(30, 0.05, 0.95)[1] < interval(30, 0.05, 0.99)[1]);
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
