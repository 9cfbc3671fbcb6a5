//! Drift: whether the parts of late score as good parts do (docs/station.md, "Drift").
//!
//! The last [`WINDOW`] scores of a category are compared with those of the good parts that its threshold was made of by the
//! probability that one of the former is higher (Mann and Whitney 1947, "superiority"): 0.5 if nothing changed, near 1 if
//! light, camera or material make every part look odd. It asks nothing of the scores' distribution. The alarm has a distance
//! from chance that also the few good parts of a small model keep: see `five_hundred_good_parts_raise_no_alarm`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;

use crate::time::to_rfc3339;

/// Inspections that are looked at together.
pub const WINDOW: usize = 50;
/// Superiority from which on there is an alarm. By chance it has a deviation of 0.07 with 24 good parts.
pub const ALARM_FROM: f64 = 0.85;
/// Superiority below which the alarm ends.
pub const STEADY_BELOW: f64 = 0.75;
/// Share of scans that are not judged from which on there is an alarm.
pub const NOT_JUDGED_FROM: f64 = 0.5;
/// Share of scans that are not judged below which the alarm ends.
const NOT_JUDGED_BELOW: f64 = 0.3;

/// How a category fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DriftState {
    /// Too few inspections yet.
    Collecting,
    /// As good parts are.
    Steady,
    /// Not as good parts are.
    Alarm,
}

/// What is known of a category's drift.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DriftView {
    /// The category; `null` for scans that belong to none.
    pub category: Option<String>,
    /// How it fares.
    pub state: DriftState,
    /// Inspections that are looked at together.
    pub window: usize,
    /// How many of them there are.
    pub seen: usize,
    /// Probability that a part of late scores higher than a good one; `null` while there are too few.
    pub superiority: Option<f64>,
    /// Since when there is an alarm, RFC 3339 in UTC.
    pub since: Option<String>,
    /// What it means and what to do.
    pub message: Option<String>,
}

/// The drift of one category of one version of a model.
#[derive(Clone, Debug)]
struct Track {
    /// Ascending.
    good_scores: Vec<f32>,
    /// `None` is a scan that was not judged.
    recent: VecDeque<Option<f32>>,
    alarm_since_ms: Option<i64>,
}

impl Track {
    fn new(good_scores: &[f32]) -> Self {
        Self { good_scores: good_scores.to_vec(), recent: VecDeque::with_capacity(WINDOW), alarm_since_ms: None }
    }

    /// Adds a score; whether that raised or ended an alarm.
    fn add(&mut self, score: Option<f32>, at_ms: i64) -> bool {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(score);
        let (superiority, not_judged) = (self.superiority(), self.not_judged());
        let before = self.alarm_since_ms;
        let is_full = self.recent.len() == WINDOW;
        if is_full && (superiority.is_some_and(|value| value >= ALARM_FROM) || not_judged >= NOT_JUDGED_FROM) {
            self.alarm_since_ms = before.or(Some(at_ms));
        } else if superiority.is_none_or(|value| value < STEADY_BELOW) && not_judged < NOT_JUDGED_BELOW {
            self.alarm_since_ms = None;
        }
        before.is_some() != self.alarm_since_ms.is_some()
    }

    fn not_judged(&self) -> f64 {
        let count = self.recent.iter().filter(|score| score.is_none()).count();
        count as f64 / self.recent.len().max(1) as f64
    }

    /// The probability that a recent score is higher than a good one, ties half; `None` without scores.
    fn superiority(&self) -> Option<f64> {
        let (mut higher, mut pairs) = (0.0, 0);
        for score in self.recent.iter().flatten() {
            let below = self.good_scores.partition_point(|good| good < score);
            let not_above = self.good_scores.partition_point(|good| good <= score);
            higher += below as f64 + 0.5 * (not_above - below) as f64;
            pairs += self.good_scores.len();
        }
        (pairs > 0).then(|| higher / pairs as f64)
    }

    fn view(&self, category: Option<&str>) -> DriftView {
        let is_full = self.recent.len() == WINDOW;
        let state = match (self.alarm_since_ms, is_full) {
            (Some(_), _) => DriftState::Alarm,
            (None, true) => DriftState::Steady,
            (None, false) => DriftState::Collecting,
        };
        let superiority = self.superiority().filter(|_| is_full);
        let message = self.alarm_since_ms.map(|_| match superiority.filter(|value| *value >= STEADY_BELOW) {
            Some(value) => format!(
                "{:.0} % of comparisons find the last {WINDOW} parts odder than the good parts that were learnt from; check light, camera, focus and material, or fit again with parts as they are now",
                100.0 * value
            ),
            None => format!(
                "{:.0} % of the last {WINDOW} scans could not be judged; check the camera and that the part is in view",
                100.0 * self.not_judged()
            ),
        });
        DriftView {
            category: category.map(str::to_owned),
            state,
            window: WINDOW,
            seen: self.recent.len(),
            superiority,
            since: self.alarm_since_ms.map(to_rfc3339),
            message,
        }
    }
}

/// The drift of all models: by the version's hash, then by the category.
#[derive(Debug, Default)]
pub struct Drift {
    tracks: Mutex<BTreeMap<String, BTreeMap<Option<String>, Track>>>,
}

impl Drift {
    /// Adds what came of a scan: its score, or `None` if it was not judged. `good_scores` are those of its category.
    /// Returns what is to be told if an alarm began or ended.
    pub fn observe(&self, of: &Observation<'_>) -> Option<DriftView> {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        let of_version = tracks.entry(of.model_sha256.to_owned()).or_default();
        let category = of.category.map(str::to_owned);
        let track = of_version.entry(category).or_insert_with(|| Track::new(of.good_scores));
        track.add(of.score, of.at_ms).then(|| track.view(of.category))
    }

    /// What is known of a version's categories.
    pub fn of(&self, model_sha256: &str) -> Vec<DriftView> {
        let tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        let of_version = tracks.get(model_sha256).into_iter().flatten();
        of_version.map(|(category, track)| track.view(category.as_deref())).collect()
    }
}

/// What came of a scan.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The model's version.
    pub model_sha256: &'a str,
    /// The category; `None` for scans that belong to none.
    pub category: Option<&'a str>,
    /// The good scores of that category, ascending.
    pub good_scores: &'a [f32],
    /// The score; `None` if it was not judged.
    pub score: Option<f32>,
    /// When.
    pub at_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `i`-th of numbers that fill `0..1` evenly and in no order.
    fn even(i: usize) -> f32 {
        (i as f32 * 0.618_034).fract()
    }

    fn good(count: usize) -> Vec<f32> {
        let mut scores: Vec<f32> = (0..count).map(|i| 1.0 + even(i + 1000)).collect();
        scores.sort_unstable_by(f32::total_cmp);
        scores
    }

    fn observe(drift: &Drift, good_scores: &[f32], score: Option<f32>, at_ms: i64) -> Option<DriftView> {
        drift.observe(&Observation { model_sha256: "m", category: Some("part"), good_scores, score, at_ms })
    }

    #[test]
    fn five_hundred_good_parts_raise_no_alarm() {
        // With as few good scores as a model may have: its own luck counts most there.
        for count in [9, 24, 100] {
            let (drift, good) = (Drift::default(), good(count));
            for i in 0..500 {
                assert_eq!(observe(&drift, &good, Some(1.0 + even(i)), i as i64), None, "{count} good, part {i}");
            }
            let view = &drift.of("m")[0];
            assert_eq!((view.state, view.seen), (DriftState::Steady, WINDOW));
            assert!((view.superiority.unwrap() - 0.5).abs() < 0.15, "{view:?}");
        }
    }

    #[test]
    fn a_shift_raises_one_alarm_and_its_end_ends_it() {
        let (drift, good) = (Drift::default(), good(24));
        let told: Vec<_> = (0..200i64)
            .filter_map(|i| {
                let shift = if (60..130).contains(&i) { 0.8 } else { 0.0 };
                observe(&drift, &good, Some(1.0 + even(i as usize) + shift), i).map(|view| (i, view.state))
            })
            .collect();
        let [(raised, DriftState::Alarm), (ended, DriftState::Steady)] = told[..] else { panic!("{told:?}") };
        assert!((61..=110).contains(&raised) && (131..=180).contains(&ended), "{told:?}");
    }

    #[test]
    fn an_alarm_says_since_when_and_what_to_do() {
        let (drift, good) = (Drift::default(), good(24));
        for i in 0..WINDOW {
            observe(&drift, &good, Some(9.0), i as i64 * 1000);
        }
        let view = &drift.of("m")[0];
        assert_eq!(view.since.as_deref(), Some("1970-01-01T00:00:49.000Z"));
        assert!(view.message.as_ref().unwrap().contains("check light"), "{view:?}");
        assert!(drift.of("another").is_empty());
    }

    #[test]
    fn scans_that_are_not_judged_raise_one_too() {
        let (drift, good) = (Drift::default(), good(24));
        let mut told = Vec::new();
        for i in 0..100 {
            let score = (i < 50 || i % 4 == 0).then(|| 1.0 + even(i));
            told.extend(observe(&drift, &good, score, i as i64));
        }
        assert_eq!(told.len(), 1);
        assert!(told[0].message.as_ref().unwrap().contains("could not be judged"), "{told:?}");
    }

    #[test]
    fn superiority_is_the_share_of_pairs_with_ties_half() {
        let mut track = Track::new(&[1.0, 2.0, 3.0]);
        for score in [2.0, 4.0] {
            track.add(Some(score), 0);
        }
        assert_eq!(track.superiority(), Some((1.5 + 3.0) / 6.0));
    }
}
