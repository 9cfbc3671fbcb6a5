//! The reference's deviations reach their stages through the settings: each alone changes what it should, in fitting or in
//! inspecting, and nothing else. What exactly they do is tested where they do it, in core and data.

use std::sync::Arc;

use shapeguard::experts::Experts;
use shapeguard::{Detector, LoadedScan, model_file};
use shapeguard_core::grid::Grid;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::sample::{OrganizedCloud, Scan};
use shapeguard_core::seams::ShapeExpert;
use shapeguard_core::settings::{ReferenceQuirks, Settings};

use crate::support::{Scene, bits, coded_experts, fit, real_experts, settings};

fn only(name: &str) -> ReferenceQuirks {
    ReferenceQuirks::only(name).unwrap()
}

fn scenes() -> Vec<Scene> {
    (0..4).map(|i| Scene::rippled(i as f32 * 0.8)).collect()
}

fn stained() -> LoadedScan {
    Scene { stain: Some([20, 20, 230]), bump_m: 0.003, ..Scene::rippled(0.3) }.scan()
}

/// With typical scores, so that all that is learnt shows.
fn fitted(quirks: ReferenceQuirks) -> Detector {
    let (mut settings, experts) = real_experts();
    settings.memory.shape_typical_power = 1.0;
    settings.reference_quirks = quirks;
    fit("rippled", &scenes(), &[], settings, experts)
}

/// The part as the experts see it.
fn prepared(scan: &LoadedScan, settings: &Settings) -> shapeguard::pipeline::PreparedScan {
    real_experts().1.prepare(scan, settings).unwrap()
}

#[test]
fn the_alignment_alone_leaves_out_the_nearest_feature_alone() {
    let (plain, quirk) = (fitted(ReferenceQuirks::default()), fitted(only("nearest_left_out")));
    assert_ne!(quirk.alignment(), plain.alignment());
    // What a sample leaves in of itself rebuilds it better.
    assert!(quirk.alignment().mean < plain.alignment().mean, "{:?} {:?}", quirk.alignment(), plain.alignment());
    // Typical scores are part of the memory; the sample score under `product` knows no alignment.
    assert_eq!(quirk.memory(), plain.memory());
    assert_eq!(quirk.threshold(), plain.threshold());
}

#[test]
fn the_alignment_counts_other_pixels() {
    let (plain, quirk) = (fitted(ReferenceQuirks::default()), fitted(only("aligned_over_nonzero")));
    // Around the part the blur leaves small values, which now count.
    assert!(quirk.alignment().mean < 0.9 * plain.alignment().mean, "{:?} {:?}", quirk.alignment(), plain.alignment());
    assert_eq!(quirk.memory(), plain.memory());
}

#[test]
fn maps_have_at_most_256_levels() {
    let (plain, quirk) = (fitted(ReferenceQuirks::default()), fitted(only("blur_in_8_bits")));
    let (plain, quirk) = (plain.inspect(&stained()).unwrap(), quirk.inspect(&stained()).unwrap());
    for (name, map) in [("SDF", &quirk.maps.shape), ("RGB", &quirk.maps.appearance), ("fused", &quirk.maps.fused)] {
        let mut levels: Vec<u32> = map.as_slice().iter().map(|value| value.to_bits()).collect();
        levels.sort_unstable();
        levels.dedup();
        assert!(levels.len() > 8 && levels.len() <= 256, "{name}: {}", levels.len());
    }
    // Before the blur nothing has changed.
    assert_eq!(quirk.scores.shape, plain.scores.shape);
}

#[test]
fn cells_and_pixels_are_others() {
    let mut plain = settings();
    // Not the scan's own side, so that pixels differ.
    plain.image.side_px = 160;
    let with = |name: &str| Settings { reference_quirks: only(name), ..plain.clone() };
    let scan = stained();
    let (usual, shifted) = (prepared(&scan, &plain), prepared(&scan, &with("cells_shifted")));
    assert_ne!(shifted.features.patch_cells, usual.features.patch_cells);
    assert_eq!(shifted.features.shape, usual.features.shape);
    let corner = prepared(&scan, &with("cloud_at_pixel_corner"));
    assert_ne!(corner.sample.cloud, usual.sample.cloud);
    assert_eq!(corner.sample.rgb, usual.sample.rgb);
}

#[test]
fn noise_can_be_the_part() {
    let scene = Scene { rows: 80..100, cols: 80..100, ..Scene::rippled(0.0) };
    let LoadedScan { scan, mask } = scene.scan();
    // Single pixels off the table, three apart and far from the part: 13 of them within 6 mm.
    let is_stray = |row: usize, col: usize| {
        (120..210).contains(&row) && (13..210).contains(&col) && row.is_multiple_of(3) && col.is_multiple_of(3)
    };
    let points = scan.cloud().points_m();
    let points = Grid::from_fn(scan.size(), |row, col| {
        let [x, y, z] = points[(row, col)];
        [x, y, if is_stray(row, col) { z - 0.03 } else { z }]
    });
    let cloud = OrganizedCloud::from_parts(points, scan.cloud().valid().clone());
    let scan = LoadedScan { scan: Scan::new(cloud, scan.rgb().clone()).unwrap(), mask };
    let plain = settings();
    let quirk = Settings { reference_quirks: only("noise_competes"), ..plain.clone() };
    assert_eq!(prepared(&scan, &plain).sample.cloud.valid().count(), 20 * 20);
    assert_eq!(prepared(&scan, &quirk).sample.cloud.valid().count(), 30 * 65);
}

#[test]
fn a_zero_of_one_patch_is_lost_to_the_next() {
    /// The signed distance is 0 in the first patch and 1 in all others.
    struct FirstIsZero(Arc<dyn ShapeExpert>);
    impl ShapeExpert for FirstIsZero {
        fn feature_dim(&self) -> usize {
            self.0.feature_dim()
        }
        fn encode(&self, points: &[[f32; 3]], patch_size: usize) -> Matrix {
            self.0.encode(points, patch_size)
        }
        fn signed_distances(&self, _: &Matrix, queries: &[[f32; 3]], patch_size: usize) -> Vec<f32> {
            (0..queries.len()).map(|query| if query < patch_size { 0.0 } else { 1.0 }).collect()
        }
    }
    let sum = |quirks: ReferenceQuirks| -> f32 {
        let experts = coded_experts();
        let experts = Experts { shape: Arc::new(FirstIsZero(experts.shape.clone())), ..experts };
        let settings = Settings { reference_quirks: quirks, ..settings() };
        let coded: Vec<Scene> = (0..4).map(|code| Scene::coded(code, 1)).collect();
        let detector = fit("coded", &coded, &[], settings, experts);
        detector.inspect(&Scene::coded(2, 1).scan()).unwrap().maps.shape.as_slice().iter().sum()
    };
    let (plain, quirk) = (sum(ReferenceQuirks::default()), sum(only("zero_is_unset")));
    // The first patch has 100 points, some of which are in no other patch.
    assert!(quirk > plain + 20.0 && quirk < plain + 101.0, "{plain} {quirk}");
}

#[test]
fn all_together_make_a_model_like_any_other() {
    let (settings, experts) = real_experts();
    let settings = settings.with_reference_quirks();
    let detector = fit("rippled", &scenes(), &[], settings.clone(), experts);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quirks.shapeguard");
    model_file::save(&detector, &path, false).unwrap();
    let loaded = model_file::load(&path).unwrap();
    assert_eq!(loaded.settings(), &settings);
    assert_eq!(bits(&loaded.inspect(&stained()).unwrap()), bits(&detector.inspect(&stained()).unwrap()));
}
