//! What the detector learns and what it then says, with experts that can be worked out by hand.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use shapeguard::evaluation::LabelledScan;
use shapeguard::{Detector, FitError, FitInputs, LoadedScan, Verdict, model_file};
use shapeguard_core::calibration::ThresholdBasis;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::seams::{ShapeExpert, Silent};
use shapeguard_core::settings::SampleScoring;
use shapeguard_data::DataError;

use crate::support::{
    Notes, Scene, bits, coded_experts, fit, real_experts, seeing_experts, settings, try_fit, with_threads,
};

fn coded(codes: impl IntoIterator<Item = u8>) -> Vec<Scene> {
    codes.into_iter().map(|code| Scene::coded(code, 1)).collect()
}

#[test]
fn a_training_scan_is_scored_without_its_own_features() {
    // Every scan has features that no other has, so without its own it scores 1, with its own it would score 0.
    let detector = fit("coded", &coded(0..6), &[], settings(), coded_experts());
    assert_eq!(detector.threshold().basis, ThresholdBasis::LeaveOneOut);
    assert_eq!(detector.threshold().good_scores, [1.0; 6]);
    // The same scans once the detector is fitted: known, and so without any residual.
    for scene in coded(0..6) {
        let scores = detector.inspect(&scene.scan()).unwrap().scores;
        assert_eq!([scores.shape, scores.appearance, scores.fused], [0.0; 3]);
    }
    // The whole RGB bank instead of the cells of similar shapes: the sample must leave that, too.
    let mut unguided = settings();
    unguided.memory.shape_guided = false;
    let detector = fit("coded", &coded(0..6), &[], unguided, coded_experts());
    assert_eq!(detector.threshold().good_scores, [1.0; 6]);
}

#[test]
fn an_unknown_part_scores_what_the_experts_cannot_rebuild() {
    let detector = fit("coded", &coded(0..4), &coded(0..4), settings(), coded_experts());
    let inspection = detector.inspect(&Scene::coded(9, 3).scan()).unwrap();
    let scores = inspection.scores;
    assert_eq!([scores.shape, scores.appearance, scores.fused], [1.0, 3.0, 3.0]);
    assert_eq!(inspection.verdict, Verdict::Rejected);
    // Each of 4 good scans scores lower, and the part itself counts as one that scores as high.
    assert_eq!(inspection.p_value, 1.0 / 5.0);
    let known = detector.inspect(&Scene::coded(2, 1).scan()).unwrap();
    assert_eq!((known.verdict, known.p_value), (Verdict::Good, 1.0));
}

#[test]
fn the_threshold_says_what_it_was_made_of() {
    // A rate of 0.2 needs 4 good scans.
    let enough = fit("coded", &coded(0..4), &coded([0, 1, 2, 3]), settings(), coded_experts());
    assert_eq!(enough.threshold().basis, ThresholdBasis::Validation);
    assert_eq!(enough.threshold().good_scores, [0.0; 4], "only the validation scans, all known");
    assert_eq!(enough.provenance().validation_scans, 4);
    let too_few = fit("coded", &coded(0..4), &coded([0, 1, 2]), settings(), coded_experts());
    assert_eq!(too_few.threshold().basis, ThresholdBasis::LeaveOneOut);
    assert_eq!(too_few.threshold().good_scores, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    // The alignment is computed on two of the six training scans; the threshold on all of them.
    let mut few_for_alignment = settings();
    few_for_alignment.fusion.alignment_samples = 2;
    let detector = fit("coded", &coded(0..6), &[], few_for_alignment, coded_experts());
    assert_eq!(detector.threshold().good_scores, [1.0; 6]);
}

#[test]
fn senseless_settings_are_refused_before_any_work() {
    let mut wrong = settings();
    wrong.patches.overlap = 0;
    let error = try_fit("coded", &coded(0..4), &[], wrong, coded_experts()).unwrap_err();
    assert!(matches!(error, FitError::Settings { .. }) && error.to_string().contains("patches.overlap"), "{error}");
}

#[test]
fn a_rate_that_the_scans_cannot_promise_is_refused_with_their_number() {
    let mut strict = settings();
    strict.threshold.false_reject_rate = 0.1;
    let error = try_fit("coded", &coded(0..3), &coded([0, 1]), strict, coded_experts()).unwrap_err();
    assert!(matches!(error, FitError::Threshold(_)));
    let message = error.to_string();
    assert!(message.contains("at least 9 good samples, found 5"), "{message}");
    assert!(message.contains("0.1667"), "the rate that 5 scans attain: {message}");
}

#[test]
fn one_scan_is_too_few() {
    for train in [&coded([0])[..], &[]] {
        let error = try_fit("coded", train, &coded(0..9), settings(), coded_experts()).unwrap_err();
        let found = train.len();
        assert!(matches!(error, FitError::TooFewScans { found: n } if n == found), "{error}");
        assert!(error.to_string().contains(&format!("at least 2 usable good scans, found {found}")), "{error}");
    }
}

/// A scan that may be broken, with its name.
enum Input {
    Sound(Scene),
    Missing(&'static str),
}

fn load(input: &(&str, Input)) -> Result<LoadedScan, DataError> {
    match &input.1 {
        Input::Sound(scene) => Ok(scene.scan()),
        Input::Missing(path) => {
            Err(DataError::Read { path: PathBuf::from(path), source: std::io::ErrorKind::NotFound.into() })
        }
    }
}

#[test]
fn unusable_scans_are_listed_by_name_or_left_out() {
    let train = [
        ("xyz/000.tiff", Input::Sound(Scene::coded(0, 1))),
        ("xyz/001.tiff", Input::Sound(Scene::bare_table())),
        ("xyz/002.tiff", Input::Sound(Scene::coded(1, 1))),
        ("xyz/003.tiff", Input::Missing("xyz/003.tiff")),
        ("xyz/004.tiff", Input::Sound(Scene::coded(2, 1))),
    ];
    let validation = [("xyz/900.tiff", Input::Sound(Scene { table_relief_m: 0.05, ..Scene::coded(0, 1) }))];
    let fit = |skip_unusable: bool, notes: &Notes| {
        let inputs = FitInputs { name: "coded", train: &train[..], validation: &validation, skip_unusable };
        let mut settings = settings();
        settings.threshold.false_reject_rate = 0.25;
        Detector::fit(inputs, load, |input| input.0.to_owned(), settings, coded_experts(), notes)
    };
    let error = fit(false, &Notes::default()).unwrap_err();
    assert!(matches!(error, FitError::UnusableScans { count: 3, .. }));
    let message = error.to_string();
    assert!(message.starts_with("3 of the good scans cannot be used"), "{message}");
    let lines: Vec<&str> = message.lines().skip(1).collect();
    assert!(lines[0].contains("xyz/001.tiff: no part found"), "{message}");
    assert!(lines[1].contains("xyz/003.tiff: cannot be read"), "{message}");
    assert!(lines[2].contains("xyz/900.tiff: no table found"), "{message}");

    let detector = fit(true, &Notes::default()).unwrap();
    assert_eq!(detector.provenance().training_scans, 3);
    assert_eq!(detector.provenance().validation_scans, 0);
    assert_eq!(detector.memory().sample_count(), 3);
    assert_eq!(detector.threshold().good_scores, [1.0; 3], "each scan still leaves itself out, not its neighbour");
}

#[test]
fn left_out_scans_that_leave_too_few_are_refused() {
    let train = [("a", Input::Sound(Scene::coded(0, 1))), ("b", Input::Sound(Scene::bare_table()))];
    let inputs = FitInputs { name: "coded", train: &train[..], validation: &[], skip_unusable: true };
    let mut lenient = settings();
    lenient.threshold.false_reject_rate = 0.5;
    let error = Detector::fit(inputs, load, |input| input.0.to_owned(), lenient, coded_experts(), &Silent);
    assert!(matches!(error, Err(FitError::TooFewScans { found: 1 })));
}

/// Good parts that differ in their ripple only.
fn rippled() -> Vec<Scene> {
    (0..8).map(|i| Scene::rippled(i as f32 * 0.8)).collect()
}

/// Share of a map's sum that lies within two blurs' reach of the defect.
fn share_at_defect(map: &shapeguard_core::grid::ScoreMap) -> f32 {
    let near = |i: usize| {
        let (row, col) = ((i / map.size().cols) as f32, (i % map.size().cols) as f32);
        (row - 100.0).hypot(col - 100.0) < 6.0 + 2.0 * 8.0
    };
    let total: f32 = map.as_slice().iter().sum();
    map.as_slice().iter().enumerate().filter(|(i, _)| near(*i)).map(|(_, value)| value).sum::<f32>() / total
}

#[test]
fn a_stain_raises_the_colour_score_alone() {
    let detector = fit("rippled", &rippled(), &[], settings(), seeing_experts());
    let good = detector.inspect(&Scene::rippled(0.3).scan()).unwrap();
    let stained = detector.inspect(&Scene { stain: Some([20, 20, 230]), ..Scene::rippled(0.3) }.scan()).unwrap();
    // The cloud is the same, and so is everything that the shape expert says of it.
    assert_eq!(stained.scores.shape.to_bits(), good.scores.shape.to_bits());
    assert_eq!(stained.maps.shape, good.maps.shape);
    // Single precision: what is known is rebuilt to some 1e-6; the stain's colours are in no memory.
    assert!(good.scores.appearance < 1e-3, "{:?}", good.scores);
    assert!(stained.scores.appearance > 0.5, "{:?}", stained.scores);
    assert!(share_at_defect(&stained.maps.appearance) > 0.95);
    let peak =
        |inspection: &shapeguard::Inspection| inspection.maps.fused.as_slice().iter().copied().fold(0.0, f32::max);
    assert!(peak(&stained) > 2.0 * peak(&good), "fusion shows the stain: {} and {}", peak(&stained), peak(&good));
}

#[test]
fn a_bump_raises_the_shape_score_alone() {
    let detector = fit("rippled", &rippled(), &[], settings(), seeing_experts());
    let good = detector.inspect(&Scene::rippled(0.3).scan()).unwrap();
    let bumped = detector.inspect(&Scene { bump_m: 0.004, ..Scene::rippled(0.3) }.scan()).unwrap();
    // Which colours a part is compared with depends on its shape, but all parts have the same colours.
    assert!(good.scores.appearance < 1e-3 && bumped.scores.appearance < 1e-3, "{:?}", bumped.scores);
    assert!(good.scores.shape < 0.1, "{:?}", good.scores);
    assert!(bumped.scores.shape > 0.5, "{:?}", bumped.scores);
    assert!(share_at_defect(&bumped.maps.shape) > 0.5, "{}", share_at_defect(&bumped.maps.shape));
    let peak = |map: &shapeguard_core::grid::ScoreMap| map.as_slice().iter().copied().fold(0.0, f32::max);
    assert!(peak(&bumped.maps.fused) > 2.0 * peak(&good.maps.fused));
}

#[test]
fn one_thread_and_many_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let scenes: Vec<Scene> = (0..5).map(|i| Scene::rippled(i as f32 * 0.8)).collect();
    let stained = Scene { stain: Some([20, 20, 230]), bump_m: 0.003, ..Scene::rippled(0.3) }.scan();
    let run = |threads: usize| {
        with_threads(threads, || {
            let (settings, experts) = real_experts();
            let detector = fit("rippled", &scenes, &scenes[..1], settings, experts);
            let path = folder.path().join(format!("{threads}.shapeguard"));
            model_file::save(&detector, &path, false).unwrap();
            (std::fs::read(path).unwrap(), bits(&detector.inspect(&stained).unwrap()))
        })
    };
    let (alone, many) = (run(1), run(5));
    assert!(alone.0 == many.0, "the model files differ");
    assert!(alone.1 == many.1, "the inspections differ");
}

#[test]
fn a_thinned_bank_still_knows_its_part() {
    let scenes: Vec<Scene> = (0..5).map(|i| Scene::rippled(i as f32 * 0.8)).collect();
    let stained = Scene { stain: Some([20, 20, 230]), ..Scene::rippled(0.3) }.scan();
    for shape_guided in [true, false] {
        let fitted = |appearance_share: f64| {
            let (mut settings, experts) = real_experts();
            settings.memory.shape_guided = shape_guided;
            settings.memory.appearance_share = appearance_share;
            // With typical scores, which must follow the bank.
            settings.memory.appearance_typical_power = 0.5;
            fit("rippled", &scenes, &[], settings, experts)
        };
        let (full, thinned) = (fitted(1.0), fitted(0.1));
        let rows = full.memory().appearance.rows();
        assert_eq!(thinned.memory().appearance.rows(), (rows as f64 * 0.1).round() as usize);
        assert_eq!(thinned.memory().shape, full.memory().shape);
        let (of_all, of_few) = (full.inspect(&stained).unwrap(), thinned.inspect(&stained).unwrap());
        assert!(of_few.dictionary_size > 0 && of_few.dictionary_size < of_all.dictionary_size / 4);
        assert_eq!(of_few.scores.shape, of_all.scores.shape);
        let good = thinned.inspect(&Scene::rippled(0.3).scan()).unwrap();
        assert!(of_few.scores.appearance > 1.5 * good.scores.appearance, "{:?} {:?}", of_few.scores, good.scores);
        // What is left is a model like any other.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thinned.shapeguard");
        model_file::save(&thinned, &path, false).unwrap();
        let loaded = model_file::load(&path).unwrap();
        assert_eq!(bits(&loaded.inspect(&stained).unwrap()), bits(&of_few));
    }
}

#[test]
fn the_order_of_scans_is_part_of_the_data_digest() {
    let digest = |codes: [u8; 4]| {
        let detector = fit("coded", &coded(codes), &[], settings(), coded_experts());
        detector.provenance().data_sha256.clone()
    };
    assert_eq!(digest([0, 1, 2, 3]), digest([0, 1, 2, 3]));
    assert_ne!(digest([0, 1, 2, 3]), digest([0, 1, 3, 2]));
    assert_eq!(digest([0, 1, 2, 3]).len(), 64);
}

#[test]
fn progress_counts_every_step() {
    let notes = Notes::default();
    let (train, validation) = (coded(0..6), coded([0, 1]));
    let inputs = FitInputs { name: "coded", train: &train[..], validation: &validation, skip_unusable: false };
    let mut settings = settings();
    settings.fusion.alignment_samples = 2;
    let detector =
        Detector::fit(inputs, |scene| Ok(scene.scan()), |_| String::new(), settings, coded_experts(), &notes).unwrap();
    let tests = [(0, 1), (9, 1)];
    shapeguard::evaluation::evaluate(
        &detector,
        &tests,
        |(code, amplitude)| Ok(LabelledScan { loaded: Scene::coded(*code, *amplitude).scan(), truth: None }),
        |_| String::new(),
        |(code, _)| if *code == 0 { "good".into() } else { "dent".into() },
        |_, _, _| (),
        &notes,
    )
    .unwrap();
    let notes = notes.0.into_inner().unwrap();
    assert!(notes.len() >= 6, "{notes:?}");
    for (stage, total, steps) in notes {
        assert_eq!(total, steps, "{stage}");
    }
}

#[test]
fn a_score_that_is_no_number_is_not_judged() {
    /// Says what another expert says, until it breaks.
    struct Breaks(std::sync::Arc<dyn ShapeExpert>, &'static AtomicBool);
    impl ShapeExpert for Breaks {
        fn feature_dim(&self) -> usize {
            self.0.feature_dim()
        }
        fn encode(&self, points: &[[f32; 3]], patch_size: usize) -> Matrix {
            self.0.encode(points, patch_size)
        }
        fn signed_distances(&self, features: &Matrix, queries: &[[f32; 3]], patch_size: usize) -> Vec<f32> {
            let mut distances = self.0.signed_distances(features, queries, patch_size);
            if self.1.load(Ordering::Relaxed) {
                distances[7] = f32::NAN;
            }
            distances
        }
    }
    static BROKEN: AtomicBool = AtomicBool::new(false);
    let mut experts = coded_experts();
    experts.shape = std::sync::Arc::new(Breaks(experts.shape, &BROKEN));
    for score in [SampleScoring::Product, SampleScoring::FusedTop] {
        let mut settings = settings();
        settings.fusion.sample_score = score;
        BROKEN.store(false, Ordering::Relaxed);
        let detector = fit("coded", &coded(0..4), &[], settings, experts.clone());
        assert!(detector.inspect(&Scene::coded(2, 1).scan()).is_ok());
        BROKEN.store(true, Ordering::Relaxed);
        let inspected = detector.inspect(&Scene::coded(2, 1).scan()).map(|inspection| inspection.verdict);
        let reason = inspected.expect_err("a map with a hole is no verdict");
        assert!(reason.to_string().contains("not a finite number"), "{reason}");
    }
}
