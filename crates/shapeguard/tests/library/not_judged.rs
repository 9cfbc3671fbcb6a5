//! What cannot be judged is never good: each case with a message that tells what to do.

use shapeguard::{Detector, LoadedScan, NotJudged};
use shapeguard_core::foreground::{ForegroundError, ForegroundWarning};
use shapeguard_core::grid::{Grid, GridSize, Mask};
use shapeguard_core::patches::PatchError;
use shapeguard_core::sample::{OrganizedCloud, SampleError, Scan};
use shapeguard_core::settings::{BorderPolicy, ForegroundMethod, Settings};

use crate::support::{SIDE, Scene, coded_experts, fit, settings};

fn detector(change: impl FnOnce(&mut Settings)) -> Detector {
    let mut settings = settings();
    change(&mut settings);
    let scenes: Vec<Scene> = (0..4).map(|code| Scene::coded(code, 1)).collect();
    fit("coded", &scenes, &[], settings, coded_experts())
}

/// The reason, after making sure that its message says all of these.
fn reason(detector: &Detector, scan: &LoadedScan, says: &[&str]) -> NotJudged {
    let inspected = detector.inspect(scan).map(|inspection| inspection.verdict);
    let reason = inspected.expect_err("this scan cannot be judged");
    for part in says {
        assert!(reason.to_string().contains(part), "expected {part:?} in: {reason}");
    }
    reason
}

/// A cloud of this size whose points lie on a slanted plane, 1 mm apart.
fn plain(rows: usize, cols: usize) -> LoadedScan {
    let size = GridSize::new(rows, cols);
    let points_m = Grid::from_fn(size, |row, col| [col as f32 * 1e-3, row as f32 * 1e-3, 0.5 + col as f32 * 1e-4]);
    let cloud = OrganizedCloud::from_parts(points_m, Mask::filled(size, true));
    LoadedScan { scan: Scan::new(cloud, Grid::filled(size, [90; 3])).unwrap(), mask: None }
}

#[test]
fn a_cloud_without_a_valid_point() {
    let size = GridSize::new(40, 40);
    let cloud = OrganizedCloud::from_parts(Grid::filled(size, [0.0; 3]), Mask::filled(size, false));
    let error = Scan::new(cloud, Grid::filled(size, [0; 3])).unwrap_err();
    assert_eq!(error, SampleError::NoValidPoint);
    assert!(error.to_string().contains("check the camera"), "{error}");
}

#[test]
fn a_table_without_a_part() {
    let bare = Scene::bare_table().scan();
    let reason = reason(&detector(|_| ()), &bare, &["no part found", "check that a part lies under the camera"]);
    assert!(matches!(reason, NotJudged::Foreground(ForegroundError::NoPart { .. })));
}

#[test]
fn a_part_without_a_table() {
    let rough = Scene { table_relief_m: 0.05, ..Scene::coded(0, 1) }.scan();
    let reason = reason(&detector(|_| ()), &rough, &["no table found", "clear the table around the part"]);
    assert!(matches!(reason, NotJudged::Foreground(ForegroundError::NoPlane { .. })));
}

#[test]
fn a_part_at_the_border_is_judged_with_a_warning_or_not_at_all() {
    let at_border = Scene { rows: 0..120, ..Scene::coded(0, 1) }.scan();
    let warned = detector(|_| ()).inspect(&at_border).unwrap();
    assert_eq!(warned.warnings, [ForegroundWarning::PartTouchesBorder]);
    assert!(warned.warnings[0].to_string().contains("centre the part under the camera"));
    assert!(detector(|_| ()).inspect(&Scene::coded(0, 1).scan()).unwrap().warnings.is_empty());

    let strict = detector(|settings| settings.foreground.border = BorderPolicy::Refuse);
    let reason = reason(&strict, &at_border, &["touches the image's border", "centre the part"]);
    assert!(matches!(reason, NotJudged::Foreground(ForegroundError::PartTouchesBorder)));
}

#[test]
fn a_part_smaller_than_a_patch() {
    let small = Scene { rows: 100..108, cols: 100..110, ..Scene::coded(0, 1) }.scan();
    let reason =
        reason(&detector(|_| ()), &small, &["80 measured points", "a patch needs 100", "fill more of the image"]);
    assert_eq!(
        format!("{reason:?}"),
        format!("{:?}", NotJudged::Patches(PatchError::TooFewPoints { side: 224, found: 80, needed: 100 }))
    );
}

#[test]
fn images_of_a_pixel_or_two() {
    // A single point has no extent, and so is no scan in any unit.
    let one = GridSize::new(1, 1);
    let cloud = OrganizedCloud::from_parts(Grid::filled(one, [0.0, 0.0, 0.5]), Mask::filled(one, true));
    assert!(matches!(
        Scan::new(cloud, Grid::filled(one, [0; 3])).unwrap_err(),
        SampleError::ImplausibleExtent { extent_m: 0.0 }
    ));
    for (rows, cols) in [(1, 10), (10, 1), (20, 20)] {
        let reason = reason(&detector(|_| ()), &plain(rows, cols), &["at least 21 x 21 pixels", "full resolution"]);
        assert!(matches!(reason, NotJudged::Foreground(ForegroundError::ImageTooSmall { .. })));
    }
    // Without a table to look for, such a scan is too small for a patch: each of its pixels is seen once.
    let anything = detector(|settings| settings.foreground.method = ForegroundMethod::None);
    reason(&anything, &plain(1, 10), &["10 measured points", "a patch needs 100"]);
}

#[test]
fn a_scan_without_extent_along_x() {
    let anything = detector(|settings| settings.foreground.method = ForegroundMethod::None);
    let size = GridSize::new(SIDE, SIDE);
    let points_m = Grid::from_fn(size, |row, col| [0.1, row as f32 * 1e-3, 0.5 + col as f32 * 1e-3]);
    let cloud = OrganizedCloud::from_parts(points_m, Mask::filled(size, true));
    let scan = LoadedScan { scan: Scan::new(cloud, Grid::filled(size, [90; 3])).unwrap(), mask: None };
    reason(&anything, &scan, &["no extent along x", "check the cloud's axes"]);
}

#[test]
fn a_scan_that_is_far_longer_than_wide() {
    // Its square would have 400 million pixels.
    let anything = detector(|settings| settings.foreground.method = ForegroundMethod::None);
    let size = GridSize::new(1, 20_000);
    let points_m = Grid::from_fn(size, |_, col| [col as f32 * 1e-4, 0.0, 0.5]);
    let cloud = OrganizedCloud::from_parts(points_m, Mask::filled(size, true));
    let scan = LoadedScan { scan: Scan::new(cloud, Grid::filled(size, [90; 3])).unwrap(), mask: None };
    let reason =
        reason(&anything, &scan, &["1 rows x 20000 columns", "at most 10000 pixels", "cut it into shorter pieces"]);
    assert!(matches!(reason, NotJudged::TooLong { .. }));
}

#[test]
fn a_mask_that_is_missing_empty_or_of_another_size() {
    let scene = Scene::coded(0, 1);
    let mask =
        Mask::from_fn(GridSize::new(SIDE, SIDE), |row, col| scene.rows.contains(&row) && scene.cols.contains(&col));
    let masked = |mask: Option<Mask>| LoadedScan { mask, ..scene.scan() };
    let mut settings = settings();
    settings.foreground.method = ForegroundMethod::Mask;
    let train: Vec<LoadedScan> =
        (0..4).map(|code| LoadedScan { mask: Some(mask.clone()), ..Scene::coded(code, 1).scan() }).collect();
    let inputs = shapeguard::FitInputs { name: "masked", train: &train[..], validation: &[], skip_unusable: false };
    let detector = Detector::fit(
        inputs,
        |scan| Ok(scan.clone()),
        |_| String::new(),
        settings,
        coded_experts(),
        &shapeguard_core::seams::Silent,
    )
    .unwrap();
    assert_eq!(detector.inspect(&masked(Some(mask.clone()))).unwrap().scores.fused, 0.0);
    reason(&detector, &masked(None), &["came without a foreground mask", "give one"]);
    reason(&detector, &masked(Some(Mask::filled(mask.size(), false))), &["mask is empty", "values above 0"]);
    reason(
        &detector,
        &masked(Some(Mask::filled(GridSize::new(3, 5), true))),
        &["3 rows x 5 columns", "same pixel grid"],
    );
}
