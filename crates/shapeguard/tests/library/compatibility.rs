//! Old model files stay readable: the committed fixture of each version still loads and still inspects to the scores
//! that were stored with it. See tests/fixtures/README.md.

use std::path::PathBuf;

use serde_json::{Value, json};
use shapeguard::experts::Experts;
use shapeguard::model_file::{ROUTED_VERSION, VERSION, load, load_header, load_model, save, save_routed};
use shapeguard::{Detector, FitInputs, Inspection, LoadedScan, Model, RoutedDetector, Verdict};
use shapeguard_core::calibration::ThresholdBasis;
use shapeguard_core::grid::{Grid, GridSize, Mask};
use shapeguard_core::sample::{OrganizedCloud, Scan};
use shapeguard_core::seams::Silent;
use shapeguard_core::settings::{Preset, Settings};

use crate::support::tiny_shape_expert;

/// Scores may differ by so much, relatively: processors with other vector instructions sum in another order, and the SDF
/// score is a small difference of features that are a thousand times as long. A reader that mixes anything up errs by
/// far more.
const TOLERANCE: f64 = 0.01;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A part of 40 x 40 mm with a grain that `seed` moves, on a table of 120 x 120 mm. In whole numbers, so that every
/// platform makes the same scan. Never to be changed: the stored scores are those of these scans.
fn scan(seed: usize, defect: bool) -> LoadedScan {
    let size = GridSize::new(120, 120);
    let is_part = |row: usize, col: usize| (40..80).contains(&row) && (40..80).contains(&col);
    let is_defect = |row: usize, col: usize| defect && (50..56).contains(&row) && (60..66).contains(&col);
    let grain = |row: usize, col: usize| (row * 7 + col * 3 + seed * 5) % 11;
    let points_m = Grid::from_fn(size, |row, col| {
        let height = match (is_part(row, col), is_defect(row, col)) {
            (false, _) => 0.0,
            (true, false) => 0.012 + grain(row, col) as f32 * 2e-5,
            (true, true) => 0.015,
        };
        [col as f32 * 1e-3, row as f32 * 1e-3, 0.5 - height]
    });
    let rgb = Grid::from_fn(size, |row, col| match (is_part(row, col), is_defect(row, col)) {
        (false, _) => [60; 3],
        (true, false) => [150 + 3 * grain(row, col) as u8, 110, 70 + grain(col, row) as u8],
        (true, true) => [30, 30, 200],
    });
    let cloud = OrganizedCloud::from_parts(points_m, Mask::filled(size, true));
    LoadedScan { scan: Scan::new(cloud, rgb).unwrap(), mask: None }
}

fn scores(inspection: &Inspection) -> Value {
    let peak = inspection.maps.fused.as_slice().iter().copied().fold(0.0, f32::max);
    json!({
        "rgb": inspection.scores.appearance,
        "sdf": inspection.scores.shape,
        "fused": inspection.scores.fused,
        "peak_of_fused_map": peak,
        "p_value": inspection.p_value,
    })
}

#[test]
fn models_of_every_version_still_load_and_score_the_same() {
    for version in 1..=VERSION {
        loads_and_scores_the_same(version);
    }
}

fn loads_and_scores_the_same(version: u32) {
    let path = fixture(&format!("model-v{version}.shapeguard"));
    assert!(std::fs::metadata(&path).unwrap().len() < 200_000, "a fixture is small");
    let stored = std::fs::read(fixture(&format!("model-v{version}.json"))).unwrap();
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    let detector = load(&path).unwrap();
    assert_eq!(detector.provenance().name, "fixture");
    assert_eq!(detector.provenance().training_scans, 3);
    assert_eq!(detector.settings().image.side_px, 224, "what version 1 does not say");
    assert_eq!(detector.threshold().basis, ThresholdBasis::LeaveOneOut);
    assert_eq!(load_header(&path).unwrap().shape_expert.name, "shape_tiny.safetensors");
    for (name, verdict, scan) in
        [("good", Verdict::Good, scan(1, false)), ("defective", Verdict::Rejected, scan(9, true))]
    {
        let inspection = detector.inspect(&scan).unwrap();
        assert_eq!(inspection.verdict, verdict, "{name}");
        let found = scores(&inspection);
        for (key, expected) in stored[name].as_object().unwrap() {
            let (expected, found) = (expected.as_f64().unwrap(), found[key].as_f64().unwrap());
            assert!((found - expected).abs() <= TOLERANCE * expected.abs(), "{name} {key}: {found}, not {expected}");
        }
    }
}

/// The same scan in other colours, for a second category: the first channel last, or in the middle.
fn recoloured(scan: LoadedScan, order: [usize; 3]) -> LoadedScan {
    let rgb = scan.scan.rgb().map(|pixel| order.map(|channel| pixel[channel]));
    LoadedScan { scan: Scan::new(scan.scan.cloud().clone(), rgb).unwrap(), mask: None }
}

/// Orders of the channels: of the categories `brown` and `violet`, and of a part that the model does not know.
const BROWN: [usize; 3] = [0, 1, 2];
const VIOLET: [usize; 3] = [1, 2, 0];
const UNKNOWN: [usize; 3] = [2, 0, 1];

#[test]
fn models_of_several_categories_of_every_version_still_load_and_say_the_same() {
    for version in 1..=ROUTED_VERSION {
        let path = fixture(&format!("routed-v{version}.shapeguard"));
        assert!(std::fs::metadata(&path).unwrap().len() < 300_000, "a fixture is small");
        let stored = std::fs::read(fixture(&format!("routed-v{version}.json"))).unwrap();
        let stored: Value = serde_json::from_slice(&stored).unwrap();
        let Model::Routed(model) = load_model(&path).unwrap() else { panic!("it has two categories") };
        let found = said(model);
        assert_eq!(stored.as_object().unwrap().len(), found.as_object().unwrap().len());
        for (scan, expected) in stored.as_object().unwrap() {
            assert_eq!(
                (&found[scan]["category"], &found[scan]["verdict"]),
                (&expected["category"], &expected["verdict"])
            );
            for key in ["distance", "fused"] {
                let [expected, found] = [expected, &found[scan]].map(|said| said[key].as_f64().unwrap_or(-1.0));
                assert!(
                    (found - expected).abs() <= TOLERANCE * expected.abs(),
                    "{scan} {key}: {found}, not {expected}"
                );
            }
        }
    }
}

/// What a model says of a good scan of each category, of a defective one whose category is given, and of an unknown part.
fn said(model: RoutedDetector) -> Value {
    let model = Model::Routed(model);
    let violet = model.category("violet").unwrap();
    let scans = [
        ("brown", BROWN, scan(7, false), None),
        ("violet", VIOLET, scan(6, false), None),
        ("defective", VIOLET, scan(9, true), Some(violet)),
        ("unknown", UNKNOWN, scan(7, false), None),
    ];
    let said = scans.map(|(name, order, scan, given)| {
        let found = model.inspect(&recoloured(scan, order), given);
        let judged = found.outcome.as_ref().ok();
        let of = json!({
            "category": found.detector.map(|detector| detector.provenance().name.clone()),
            "distance": found.route.map(|route| route.distance),
            "verdict": judged.map(|inspection| inspection.verdict),
            "fused": judged.map(|inspection| inspection.scores.fused),
        });
        (name.to_owned(), of)
    });
    Value::Object(said.into_iter().collect())
}

/// Settings of the fixtures, with few features, so that they are small, and their experts.
fn small_settings() -> (Settings, Experts) {
    let mut settings = Settings::preset(Preset::Default);
    settings.preset = "fixture".into();
    settings.image.side_px = 224;
    settings.patches.points_per_patch = 150;
    settings.patches.overlap = 2;
    settings.threshold.false_reject_rate = 0.25;
    settings.experts.shape = tiny_shape_expert().display().to_string();
    let experts = Experts::from_settings(&settings.experts).unwrap();
    // Where the weights lay is of no interest to others.
    settings.experts.shape = "shape_tiny.safetensors".into();
    (settings, experts)
}

#[test]
#[ignore = "writes the fixture of a new version; never over an old one"]
fn write_the_routed_fixture() {
    let (settings, experts) = small_settings();
    let fit = |name: &str, order| {
        let inputs = FitInputs { name, train: &[1, 2, 3], validation: &[], skip_unusable: false };
        let load = |seed: &usize| Ok(recoloured(scan(*seed, false), order));
        Detector::fit_category(inputs, load, |s| s.to_string(), settings.clone(), experts.clone(), &Silent).unwrap()
    };
    let model = RoutedDetector::new(vec![fit("brown", BROWN), fit("violet", VIOLET)]).unwrap();
    save_routed(&model, &fixture(&format!("routed-v{ROUTED_VERSION}.shapeguard")), false).unwrap();
    shapeguard_data::write_json(&fixture(&format!("routed-v{ROUTED_VERSION}.json")), &said(model), false).unwrap();
}

#[test]
#[ignore = "writes the fixture of a new version; never over an old one"]
fn write_the_fixture() {
    let (settings, experts) = small_settings();
    let inputs = FitInputs { name: "fixture", train: &[1, 2, 3], validation: &[], skip_unusable: false };
    let load = |seed: &usize| Ok(scan(*seed, false));
    let detector = Detector::fit(inputs, load, |seed| seed.to_string(), settings, experts, &Silent).unwrap();
    save(&detector, &fixture(&format!("model-v{VERSION}.shapeguard")), false).unwrap();
    let stored = json!({
        "good": scores(&detector.inspect(&scan(1, false)).unwrap()),
        "defective": scores(&detector.inspect(&scan(9, true)).unwrap()),
    });
    shapeguard_data::write_json(&fixture(&format!("model-v{VERSION}.json")), &stored, false).unwrap();
}
