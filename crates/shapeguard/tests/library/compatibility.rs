//! Old model files stay readable: the committed fixture of each version still loads and still inspects to the scores
//! that were stored with it. See tests/fixtures/README.md.

use std::path::PathBuf;

use serde_json::{Value, json};
use shapeguard::experts::Experts;
use shapeguard::model_file::{VERSION, load, load_header, save};
use shapeguard::{Detector, FitInputs, Inspection, LoadedScan, Verdict};
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

#[test]
#[ignore = "writes the fixture of a new version; never over an old one"]
fn write_the_fixture() {
    let mut settings = Settings::preset(Preset::Default);
    settings.preset = "fixture".into();
    // Few features: the fixture is small.
    settings.image.side_px = 224;
    settings.patches.points_per_patch = 150;
    settings.patches.overlap = 2;
    settings.threshold.false_reject_rate = 0.25;
    settings.experts.shape = tiny_shape_expert().display().to_string();
    let experts = Experts::from_settings(&settings.experts).unwrap();
    // Where the weights lay is of no interest to others.
    settings.experts.shape = "shape_tiny.safetensors".into();
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
