//! Drift on simulated lines: a lamp that fades and a camera that was knocked raise the alarm, good parts do not.

#![allow(clippy::print_stdout, reason = "the table is the result")]

use rayon::prelude::*;
use shapeguard::experts::Experts;
use shapeguard::{Detector, FitInputs, LoadedScan, presets};
use shapeguard_core::seams::Silent;
use shapeguard_data::simulator::{Category, Disturbance, simulate_disturbed};
use shapeguard_station::drift::{Drift, DriftState, DriftView, Observation, WINDOW};

/// The scans' seed.
const SEED: u64 = 41;

/// A line of one kind of part, with a model of its good parts.
struct Line {
    category: Category,
    /// Resolution, as a part of the category's.
    scale: f32,
    detector: Detector,
    /// The number of the next part.
    next: u64,
}

impl Line {
    fn new(category: Category, scale: f32, train: u64, validation: u64, changes: &[String]) -> Self {
        let parts = |range: std::ops::Range<u64>| range.collect::<Vec<u64>>();
        let settings = presets::load_with("default", changes).unwrap();
        let experts = Experts::from_settings(&settings.experts).unwrap();
        let detector = Detector::fit(
            FitInputs {
                name: category.name(),
                train: &parts(0..train),
                validation: &parts(train..train + validation),
                skip_unusable: false,
            },
            |part| Ok(scan(category, scale, *part, Disturbance::NONE)),
            |part: &u64| part.to_string(),
            settings,
            experts,
            &Silent,
        )
        .unwrap();
        Self { category, scale, detector, next: train + validation }
    }

    /// The scores of the next parts.
    fn scores(&mut self, count: usize, disturbance: Disturbance) -> Vec<Option<f32>> {
        let parts: Vec<u64> = (self.next..).take(count).collect();
        self.next += count as u64;
        let score = |part: u64| {
            let inspection = self.detector.inspect(&scan(self.category, self.scale, part, disturbance));
            inspection.ok().map(|inspection| inspection.scores.fused)
        };
        parts.into_par_iter().map(score).collect()
    }

    /// What is said of the drift after each of these scores.
    fn follow(&self, scores: &[Option<f32>]) -> Vec<DriftView> {
        let drift = Drift::default();
        let name = self.category.name();
        let see = |score: &Option<f32>| {
            drift.observe(&Observation {
                model_sha256: "m",
                category: Some(name),
                good_scores: &self.detector.threshold().good_scores,
                score: *score,
                at_ms: 0,
            });
            drift.of("m").remove(0)
        };
        scores.iter().map(see).collect()
    }
}

fn scan(category: Category, scale: f32, part: u64, disturbance: Disturbance) -> LoadedScan {
    LoadedScan { scan: simulate_disturbed(category, SEED, part, scale, disturbance).scan, mask: None }
}

fn light(light: f32) -> Disturbance {
    Disturbance { light, ..Disturbance::NONE }
}

fn tilt(degrees: f32) -> Disturbance {
    Disturbance { camera_tilt: degrees.to_radians(), ..Disturbance::NONE }
}

#[test]
fn a_fading_lamp_and_a_knocked_camera_raise_the_alarm_and_good_parts_do_not() {
    // Few parts, patches and pixels, for speed.
    let mut line = Line::new(Category::Bracket, 0.5, 8, 12, &["patches.overlap=2".to_owned()]);
    for (what, disturbance, expected) in [
        ("nothing", Disturbance::NONE, DriftState::Steady),
        ("lamp", light(0.3), DriftState::Alarm),
        ("camera", tilt(10.0), DriftState::Alarm),
    ] {
        let scores = line.scores(WINDOW, disturbance);
        let last = line.follow(&scores).pop().unwrap();
        assert_eq!(last.state, expected, "{what}: {last:?}");
    }
}

/// The table of docs/station.md: `cargo test --release -p shapeguard-station --test drift -- --ignored --nocapture`.
#[test]
#[ignore = "takes many minutes"]
fn how_much_of_a_change_raises_the_alarm() {
    let mut changes = vec![];
    changes.extend([0.8, 0.6, 0.5, 0.4].map(|share| (format!("light {share}"), light(share))));
    changes.extend([2.0, 5.0, 10.0].map(|degrees| (format!("camera {degrees} degrees"), tilt(degrees))));
    for category in ["biscuit", "bracket"].map(|name| Category::by_name(name).unwrap()) {
        let mut line = Line::new(category, 1.0, 40, 24, &[]);
        let good = line.scores(500, Disturbance::NONE);
        let views = line.follow(&good);
        let highest = views.iter().filter_map(|view| view.superiority).fold(0.0, f64::max);
        let alarms = views.iter().filter(|view| view.state == DriftState::Alarm).count();
        println!("{}: 500 good: superiority at most {highest:.2}, {alarms} in alarm", category.name());
        assert_eq!(alarms, 0, "{}", category.name());
        for (what, disturbance) in &changes {
            // A window of good ones first, as on a line: how many scans after the change it is told.
            let mut scores = good[good.len() - WINDOW..].to_vec();
            scores.extend(line.scores(WINDOW, *disturbance));
            let rejected = scores[WINDOW..].iter().flatten().filter(|score| line.detector.threshold().rejects(**score));
            let rejected = rejected.count();
            let views = line.follow(&scores);
            let told = views.iter().position(|view| view.state == DriftState::Alarm);
            let told = told.map_or("none".to_owned(), |index| format!("after {} scans", index + 1 - WINDOW));
            let superiority = views.last().and_then(|view| view.superiority);
            let superiority = superiority.map_or("-".to_owned(), |value| format!("{value:.2}"));
            println!(
                "{}: {what}: superiority {superiority}, alarm {told}, {rejected} of {WINDOW} good parts rejected",
                category.name()
            );
        }
    }
}
