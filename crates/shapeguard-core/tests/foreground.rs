//! Foreground against a slow DBSCAN, scikit-learn's labels and a scene whose truth is known.

mod synthetic;

use proptest::prelude::*;
use shapeguard_core::foreground::cluster::dbscan;
use shapeguard_core::foreground::{Foreground, ForegroundError, ForegroundWarning, segment, segment_with};
use shapeguard_core::grid::{Grid, GridSize, Mask, RgbImage};
use shapeguard_core::resample::{resample, resample_mask, resample_with};
use shapeguard_core::sample::{OrganizedCloud, Scan};
use shapeguard_core::settings::{
    BorderPolicy, ForegroundMethod, ForegroundSettings, Preset, ReferenceQuirks, Settings,
};
use synthetic::{scene, slow_dbscan};

fn settings() -> ForegroundSettings {
    Settings::preset(Preset::Default).foreground
}

fn found(scan: &Scan, settings: &ForegroundSettings) -> Foreground {
    segment(scan, settings, None, 0).unwrap()
}

#[derive(serde::Deserialize)]
struct DbscanGolden {
    points: Vec<[f32; 3]>,
    cases: Vec<DbscanCase>,
}

#[derive(serde::Deserialize)]
struct DbscanCase {
    eps: f32,
    min_points: usize,
    labels: Vec<i32>,
}

#[test]
fn clusters_equal_scikit_learns() {
    let golden: DbscanGolden = serde_json::from_str(include_str!("goldens/foreground_dbscan.json")).unwrap();
    for case in golden.cases {
        let labels: Vec<i32> =
            dbscan(&golden.points, case.eps, case.min_points).iter().map(|l| l.map_or(-1, |l| l as i32)).collect();
        assert_eq!(labels, case.labels, "eps {}, {} points", case.eps, case.min_points);
    }
}

#[test]
fn clusters_of_a_scene_equal_the_slow_ones() {
    // 200 x 200 pixels at 1.4 mm: few points a neighbourhood, so that every branch is taken.
    for (side, min_points) in [(200, 30), (200, 45), (400, 30)] {
        let scene = scene(side, 3);
        let cloud = scene.scan.cloud();
        let points: Vec<[f32; 3]> =
            cloud.points_m().as_slice().iter().copied().filter(|p| p[2] < synthetic::TABLE_M - 0.008).collect();
        assert!(points.len() > side * side / 8);
        assert_eq!(dbscan(&points, 0.006, min_points), slow_dbscan(&points, 0.006, min_points));
    }
}

#[test]
fn no_point_and_one_point_have_clusters_too() {
    assert_eq!(dbscan(&[], 0.006, 30), vec![]);
    assert_eq!(dbscan(&[[0.1, 0.2, 0.3]], 0.006, 2), vec![None]);
    assert_eq!(dbscan(&[[0.1, 0.2, 0.3]], 0.006, 1), vec![Some(0)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A lattice of quarters makes distances exact in both precisions, and border points of several clusters common.
    #[test]
    fn clusters_equal_the_definition(
        lattice in prop::collection::vec([0u8..40, 0u8..40, 0u8..6], 0..300),
        eps in 1u8..12,
        min_points in 1usize..9,
    ) {
        let points: Vec<[f32; 3]> = lattice.iter().map(|p| p.map(|x| 0.25 * f32::from(x))).collect();
        let eps = 0.25 * f32::from(eps);
        prop_assert_eq!(dbscan(&points, eps, min_points), slow_dbscan(&points, eps, min_points));
    }
}

#[test]
fn the_part_is_found_and_nothing_else() {
    for preset in [Preset::Paper, Preset::Default] {
        let scene = scene(400, 1);
        let part = found(&scene.scan, &Settings::preset(preset).foreground);
        let (kept, shown) = (part.cloud.valid(), &scene.shows_part);
        let mut missed = 0;
        let mut strange = 0;
        for ((kept, shown), valid) in
            kept.as_slice().iter().zip(shown.as_slice()).zip(scene.scan.cloud().valid().as_slice())
        {
            missed += usize::from(*shown && *valid && !kept);
            strange += usize::from(!shown && *kept);
        }
        // Stray points at the silhouette belong to the cluster by definition: under 1 % of the part's pixels.
        assert_eq!(missed, 0);
        assert!(strange * 100 < shown.count(), "{strange} of {}", shown.count());
        assert_eq!(part.warnings, vec![]);
        // Table: tilted by 3 % about y, its centre 0.45 m away; noise averages out over 14,000 points.
        let plane = part.plane.unwrap();
        assert!((plane.normal[0] / plane.normal[2] + 0.03).abs() < 2e-4, "{plane:?}");
        assert!(plane.signed_distance_m([0.0, 0.0, 0.45]).abs() < 5e-5, "{plane:?}");
        assert!(plane.offset_m > 0.0);
    }
}

#[test]
fn colour_without_depth_stays_inside_the_outline_only() {
    let scene = scene(400, 1);
    let strict = found(&scene.scan, &settings());
    let everywhere = found(&scene.scan, &ForegroundSettings { mask_colour_without_depth: false, ..settings() });
    let source = scene.scan.rgb();
    // The patch without depth in the part, around (0.45, 0.42).
    let inside = (180, 168);
    assert!(!scene.scan.cloud().valid()[inside] && strict.outline[inside]);
    assert_eq!(strict.rgb[inside], source[inside]);
    // The through-hole around (0.5, 0.57) shows the table: inside the outline, but with depth.
    let hole = (200, 228);
    assert!(strict.outline[hole] && !strict.cloud.valid()[hole]);
    let hole_pixels = (195..206).flat_map(|row| (223..234).map(move |col| (row, col)));
    let (with_depth, without): (Vec<_>, Vec<_>) = hole_pixels.partition(|p| scene.scan.cloud().valid()[*p]);
    assert!(with_depth.iter().all(|p| strict.rgb[*p] == [0; 3]));
    assert!(without.iter().all(|p| strict.rgb[*p] == source[*p]));
    // Dropouts on the table.
    let outside: Vec<_> =
        (0..100).flat_map(|r| (0..100).map(move |c| (r, c))).filter(|p| !scene.scan.cloud().valid()[*p]).collect();
    assert!(!outside.is_empty());
    assert!(outside.iter().all(|p| strict.rgb[*p] == [0; 3] && everywhere.rgb[*p] == source[*p]));
    assert_eq!(strict.rgb[(50, 50)], [0; 3]);
}

#[test]
fn the_plane_does_not_depend_on_the_number_of_threads() {
    let scene = scene(200, 5);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let part = found(&scene.scan, &settings());
            let sample = resample(&part, 224);
            (part.plane, part.cloud, part.rgb, sample.rgb)
        })
    };
    assert_eq!(run(1), run(4));
}

/// A plate of `part`, 20 mm high, on a table of 60 x 80 pixels of 1 mm.
fn plate(part: impl Fn(usize, usize) -> bool) -> Scan {
    block(0.02, part)
}

fn block(height_m: f32, part: impl Fn(usize, usize) -> bool) -> Scan {
    let size = GridSize::new(60, 80);
    let points = Grid::from_fn(size, |row, col| {
        [0.001 * col as f32, 0.001 * row as f32, if part(row, col) { 0.5 - height_m } else { 0.5 }]
    });
    Scan::new(OrganizedCloud::from_parts(points, Mask::filled(size, true)), RgbImage::filled(size, [9; 3])).unwrap()
}

#[test]
fn padding_is_centred_and_the_same_for_every_grid() {
    let scan = plate(|row, col| (20..40).contains(&row) && (30..60).contains(&col));
    let part = found(&scan, &settings());
    assert_eq!(part.outline.size(), GridSize::new(100, 100));
    assert_eq!((part.offset, part.source_size), ((20, 10), scan.size()));
    assert_eq!(part.cloud.valid().count(), 600);
    assert!(part.cloud.valid()[(40, 40)] && !part.cloud.valid()[(39, 40)] && !part.cloud.valid()[(40, 39)]);
    let truth = Mask::from_fn(scan.size(), |row, col| (row, col) == (59, 79));
    let padded = part.pad(&truth, false);
    assert!(padded[(79, 89)]);
    assert_eq!(padded.count(), 1);
    let small = resample(&part, 224);
    assert_eq!((small.square_side, small.offset, small.source_size), (100, (20, 10), scan.size()));
    // 600 pixels of 100 x 100, seen on 224 x 224.
    assert!((small.cloud.valid().count() as f32 - 600.0 * 5.0176).abs() < 300.0);
}

#[test]
fn a_part_at_the_border_warns_or_is_refused() {
    let scan = plate(|row, col| (20..40).contains(&row) && col >= 60);
    let part = found(&scan, &settings());
    assert_eq!(part.warnings, vec![ForegroundWarning::PartTouchesBorder]);
    let strict = ForegroundSettings { border: BorderPolicy::Refuse, ..settings() };
    assert_eq!(segment(&scan, &strict, None, 0).unwrap_err(), ForegroundError::PartTouchesBorder);
}

#[test]
fn a_part_on_the_border_does_not_tilt_the_table() {
    // The part holds 40 % of the border's points; under `paper` 10 %: of its 50-point hypotheses hardly one is clean.
    // It is so high that no slanted plane through table and part has more support than the table.
    for (preset, rows, first_col) in [(Preset::Default, 0..60, 52), (Preset::Paper, 18..42, 70)] {
        let scan = block(0.1, |row, col| rows.contains(&row) && col >= first_col);
        let part = found(&scan, &Settings::preset(preset).foreground);
        let plane = part.plane.unwrap();
        // Nothing is noisy here: single precision at half a metre.
        assert!(plane.normal[2] < -1.0 + 1e-6 && (plane.offset_m - 0.5).abs() < 1e-5, "{preset:?} {plane:?}");
        assert_eq!(part.cloud.valid().count(), rows.len() * (80 - first_col));
    }
}

#[test]
fn the_larger_of_two_parts_stays() {
    let left = |row: usize, col: usize| (15..45).contains(&row) && (12..30).contains(&col);
    let right = |row: usize, col: usize| (15..45).contains(&row) && (40..62).contains(&col);
    let part = found(&plate(|row, col| left(row, col) || right(row, col)), &settings());
    assert_eq!(part.cloud.valid().count(), 30 * 22);
}

#[test]
fn an_empty_table_has_no_part() {
    let error = segment(&plate(|_, _| false), &settings(), None, 0).unwrap_err();
    assert_eq!(error, ForegroundError::NoPart { candidates: 0, min_points: 30, eps_m: 0.006 });
    // Ten pixels off the table are noise, not a part: noise never competes.
    let error = segment(&plate(|row, col| row == 30 && (30..40).contains(&col)), &settings(), None, 0).unwrap_err();
    assert!(matches!(error, ForegroundError::NoPart { candidates: 10, .. }));
    assert!(error.to_string().contains("no part found"), "{error}");
}

#[test]
fn noise_that_competes_wins_by_its_number() {
    let quirks = ReferenceQuirks { noise_competes: true, ..ReferenceQuirks::default() };
    let dense = |row: usize, col: usize| (20..26).contains(&row) && (30..36).contains(&col);
    // Three pixels apart: 13 points within 6 mm, fewer than the 30 of a cluster.
    let sparse = |row: usize, col: usize| {
        (33..=48).contains(&row) && (12..=66).contains(&col) && row.is_multiple_of(3) && col.is_multiple_of(3)
    };
    let scan = plate(|row, col| dense(row, col) || sparse(row, col));
    let part_of = |quirks| segment_with(&scan, &settings(), None, 0, quirks).unwrap();
    let kept = |part: &Foreground| -> Vec<(usize, usize)> {
        let pixels = (0..60).flat_map(|row| (0..80).map(move |col| (row, col)));
        pixels.filter(|(row, col)| part.cloud.valid()[(row + part.offset.0, col + part.offset.1)]).collect()
    };
    let (part, noise) = (part_of(ReferenceQuirks::default()), part_of(quirks));
    assert!(kept(&part).iter().all(|(row, col)| dense(*row, *col)) && kept(&part).len() == 36);
    assert!(kept(&noise).iter().all(|(row, col)| sparse(*row, *col)) && kept(&noise).len() == 6 * 19);
    // Fewer points of noise change nothing, and noise alone is a part.
    let few = plate(|row, col| dense(row, col) || (row == 45 && col == 60));
    assert_eq!(segment_with(&few, &settings(), None, 0, quirks).unwrap().cloud.valid().count(), 36);
    let alone = plate(|row, col| (row, col) == (30, 40));
    assert_eq!(segment_with(&alone, &settings(), None, 0, quirks).unwrap().cloud.valid().count(), 1);
    let error = segment_with(&plate(|_, _| false), &settings(), None, 0, quirks).unwrap_err();
    assert!(matches!(error, ForegroundError::NoPart { candidates: 0, .. }), "{error}");
}

#[test]
fn a_cloud_at_the_pixels_corner_leaves_the_truth_behind() {
    let quirks = ReferenceQuirks { cloud_at_pixel_corner: true, ..ReferenceQuirks::default() };
    let part = found(&plate(|row, col| (20..40).contains(&row) && (30..60).contains(&col)), &settings());
    let side = 40;
    let (centre, corner) = (resample(&part, side), resample_with(&part, side, quirks));
    // The square has 100 pixels: floor(2.5 i) instead of floor(2.5 i + 1.25).
    for (row, col) in (0..side).flat_map(|row| (0..side).map(move |col| (row, col))) {
        let (at_corner, at_centre) = ((5 * row / 2, 5 * col / 2), ((10 * row + 5) / 4, (10 * col + 5) / 4));
        assert_eq!(corner.cloud.valid()[(row, col)], part.cloud.valid()[at_corner]);
        assert_eq!(corner.cloud.points_m()[(row, col)], part.cloud.points_m()[at_corner]);
        assert_eq!(centre.cloud.points_m()[(row, col)], part.cloud.points_m()[at_centre]);
    }
    // Colour and truth stay.
    assert_eq!(corner.rgb, centre.rgb);
    assert_eq!(&resample_mask(part.cloud.valid(), side), centre.cloud.valid());
    assert_ne!(corner.cloud.points_m()[(17, 17)], centre.cloud.points_m()[(17, 17)]);
}

#[test]
fn without_a_table_there_is_an_error() {
    // A rough border: no plane holds half of it within 4 mm.
    let size = GridSize::new(60, 80);
    let rough =
        Grid::from_fn(size, |r, c| [0.001 * c as f32, 0.001 * r as f32, 0.4 + 0.01 * ((r * 7 + c * 13) % 17) as f32]);
    let valid = Mask::filled(size, true);
    let rgb = RgbImage::filled(size, [9; 3]);
    let scan = Scan::new(OrganizedCloud::from_parts(rough.clone(), valid), rgb.clone()).unwrap();
    let error = segment(&scan, &settings(), None, 0).unwrap_err();
    assert!(matches!(error, ForegroundError::NoPlane { support, needed: 0.5 } if support < 0.5), "{error}");
    assert!(error.to_string().contains("expected at least 50 %"), "{error}");
    // A border without depth.
    let middle = Mask::from_fn(size, |row, col| (20..40).contains(&row) && (20..40).contains(&col));
    let scan = Scan::new(OrganizedCloud::from_parts(rough, middle), rgb).unwrap();
    let error = segment(&scan, &settings(), None, 0).unwrap_err();
    assert_eq!(error, ForegroundError::NoBorderPoints { border_px: 10, found: 0, needed: 50 });
    // The other methods need no table.
    let all = ForegroundSettings { method: ForegroundMethod::None, ..settings() };
    assert_eq!(found(&scan, &all).cloud.valid().count(), 400);
}

#[test]
fn a_border_on_one_line_has_no_plane() {
    let size = GridSize::new(60, 80);
    let points = Grid::from_fn(size, |_, col| [0.001 * col as f32, 0.0, 0.5]);
    let scan = Scan::new(OrganizedCloud::from_parts(points, Mask::filled(size, true)), RgbImage::filled(size, [9; 3]))
        .unwrap();
    assert_eq!(
        segment(&scan, &settings(), None, 0).unwrap_err(),
        ForegroundError::NoPlane { support: 0.0, needed: 0.5 }
    );
}

#[test]
fn tiny_images_are_refused_not_crashed_on() {
    let size = GridSize::new(1, 2);
    let points = Grid::from_fn(size, |_, col| [0.1 * col as f32, 0.0, 0.5]);
    let scan = Scan::new(OrganizedCloud::from_parts(points, Mask::filled(size, true)), RgbImage::filled(size, [9; 3]))
        .unwrap();
    let error = segment(&scan, &settings(), None, 0).unwrap_err();
    assert_eq!(error, ForegroundError::ImageTooSmall { size, needed: 21, border_px: 10 });
    let all = ForegroundSettings { method: ForegroundMethod::None, ..settings() };
    assert_eq!(found(&scan, &all).outline.size(), GridSize::new(100, 100));
}

#[test]
fn a_mask_image_selects_the_part() {
    let scan = plate(|_, _| false);
    let by_mask = ForegroundSettings { method: ForegroundMethod::Mask, ..settings() };
    let run = |mask: Option<&Mask>| segment(&scan, &by_mask, mask, 0);
    let mask = Mask::from_fn(scan.size(), |row, col| (20..40).contains(&row) && (20..40).contains(&col));
    let part = run(Some(&mask)).unwrap();
    assert_eq!((part.cloud.valid().count(), part.outline.count(), part.plane), (400, 400, None));
    assert_eq!(run(None).unwrap_err(), ForegroundError::MaskMissing);
    assert_eq!(run(Some(&Mask::filled(scan.size(), false))).unwrap_err(), ForegroundError::MaskEmpty);
    let small = GridSize::new(3, 3);
    assert_eq!(
        run(Some(&Mask::filled(small, true))).unwrap_err(),
        ForegroundError::MaskSize { mask: small, scan: scan.size() }
    );
}

#[test]
fn a_mask_where_nothing_was_measured_has_no_part() {
    let size = GridSize::new(60, 80);
    let points = Grid::from_fn(size, |row, col| [0.001 * col as f32, 0.001 * row as f32, 0.5]);
    let valid = Mask::from_fn(size, |row, _| row < 20);
    let scan = Scan::new(OrganizedCloud::from_parts(points, valid), RgbImage::filled(size, [9; 3])).unwrap();
    let by_mask = ForegroundSettings { method: ForegroundMethod::Mask, ..settings() };
    let mask = Mask::from_fn(size, |row, _| row == 30);
    assert_eq!(segment(&scan, &by_mask, Some(&mask), 0).unwrap_err(), ForegroundError::NoPointInMask { selected: 80 });
}

#[test]
fn impossible_settings_are_named() {
    let scan = plate(|_, _| false);
    let s = settings;
    let broken = [
        ("border_px", ForegroundSettings { border_px: 0, ..s() }),
        ("plane_inlier_m", ForegroundSettings { plane_inlier_m: f32::NAN, ..s() }),
        ("plane_sample_points", ForegroundSettings { plane_sample_points: 2, ..s() }),
        ("plane_hypotheses", ForegroundSettings { plane_hypotheses: 0, ..s() }),
        ("plane_min_support", ForegroundSettings { plane_min_support: 1.5, ..s() }),
        ("background_distance_m", ForegroundSettings { background_distance_m: -1.0, ..s() }),
        ("pad_multiple_px", ForegroundSettings { pad_multiple_px: 0, ..s() }),
        ("cluster_eps_m", ForegroundSettings { cluster_eps_m: 0.0, ..s() }),
        ("cluster_min_points", ForegroundSettings { cluster_min_points: 0, ..s() }),
    ];
    for (setting, settings) in broken {
        let error = segment(&scan, &settings, None, 0).unwrap_err();
        assert!(error.to_string().starts_with(&format!("foreground.{setting} is ")), "{error}");
    }
}
