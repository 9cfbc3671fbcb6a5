//! What must hold for every category: the truth is exact, the surface is known, nothing depends on threads.

use shapeguard_core::foreground::segment;
use shapeguard_core::resample::resample;
use shapeguard_core::settings::{Preset, Settings};

use super::render::{CHANGED_ALBEDO, CHANGED_MM, least_piece};
use super::vector::Vec3;
use super::*;

const SEED: u64 = 41;

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn one_thread_and_many_give_the_same_bytes() {
    let defect = Some(DefectSpec { kind: DefectKind::Crack, strength: 1.0 });
    let scan = || simulate_scan(Category::Cork, SEED, 3, defect);
    let (one, three) = (with_threads(1, scan), with_threads(3, scan));
    // `Scan` compares floats by value; no coordinate is NaN or -0.
    assert_eq!(one.scan, three.scan);
    assert_eq!(one.truth, three.truth);
}

#[test]
fn samples_seeds_and_categories_differ() {
    let base = simulate_scan(Category::Cork, SEED, 3, None).scan;
    assert_ne!(base, simulate_scan(Category::Cork, SEED, 4, None).scan);
    assert_ne!(base, simulate_scan(Category::Cork, SEED + 1, 3, None).scan);
}

#[test]
fn a_finer_camera_sees_the_same_part_with_more_pixels() {
    let settings = Settings::preset(Preset::Paper);
    let part = |scale: f32| {
        let scan = simulate_scan_at(Category::Gear, SEED, 2, None, scale).scan;
        let points_m = segment(&scan, &settings.foreground, None, 0).unwrap().cloud;
        (scan.size(), points_m.valid().count() as f32, points_m.bounds_m().unwrap())
    };
    let ((size, count, bounds), (fine_size, fine_count, fine_bounds)) = (part(1.0), part(2.0));
    assert_eq!((fine_size.rows, fine_size.cols), (2 * size.rows, 2 * size.cols));
    // Noise and dropouts differ; a pixel is 0.5 mm, and depth ends where the part meets the table.
    assert!((fine_count / count / 4.0 - 1.0).abs() < 0.02, "{count} {fine_count}");
    for (coarse, fine) in [(bounds.0, fine_bounds.0), (bounds.1, fine_bounds.1)] {
        assert!((0..2).all(|axis| (coarse[axis] - fine[axis]).abs() < 1e-3), "{coarse:?} {fine:?}");
    }
}

#[test]
fn the_part_lies_whole_on_the_table_with_enough_points() {
    let settings = Settings::preset(Preset::Paper);
    for &category in Category::list() {
        let scan = simulate_scan(category, SEED, 0, None).scan;
        let foreground = segment(&scan, &settings.foreground, None, 0).unwrap();
        assert!(foreground.warnings.is_empty(), "{category}: {:?}", foreground.warnings);
        let points = resample(&foreground, settings.image.side_px).cloud.valid().count();
        assert!((3_500..=7_500).contains(&points), "{category}: {points} points at 224 x 224");
        let (min, max) = foreground.cloud.bounds_m().unwrap();
        let extent = (0..3).map(|axis| max[axis] - min[axis]).fold(0.0, f32::max);
        assert!((0.040..=0.155).contains(&extent), "{category}: {extent} m");
    }
}

/// The part's measured points that are far from any edge in depth, where mixed pixels are.
fn interior_points(staged: &Staged, scan: &Scan) -> Vec<[f32; 3]> {
    let mut points = Vec::new();
    let window = staged.picture.window;
    for row in (window.rows[0] + 2..window.rows[1] - 2).step_by(7) {
        for col in (window.cols[0] + 2..window.cols[1] - 2).step_by(7) {
            let here = staged.picture.get(row, col).unwrap();
            let steady = (-2i32..=2).all(|i| {
                let neighbours =
                    [(row.wrapping_add_signed(i as isize), col), (row, col.wrapping_add_signed(i as isize))];
                neighbours.iter().all(|(r, c)| {
                    staged.picture.get(*r, *c).is_some_and(|n| n.part && (n.range - here.range).abs() < 2.0)
                })
            });
            if here.part && steady && scan.cloud().valid()[(row, col)] {
                points.push(scan.cloud().points_m()[(row, col)]);
            }
        }
    }
    points
}

#[test]
fn measured_points_lie_on_the_surface() {
    for &category in Category::list() {
        for defect in [None, Some(DefectSpec { kind: category.defect_kinds()[0], strength: 1.0 })] {
            let staged = stage(category, SEED, 1, defect, 1.0, Disturbance::NONE);
            let simulated = simulate_scan(category, SEED, 1, defect);
            let points = interior_points(&staged, &simulated.scan);
            assert!(points.len() > 100, "{category}: {} points", points.len());
            let mut distances: Vec<f32> =
                points.iter().map(|p| simulated.surface.signed_distance(*p).0.abs() * 1000.0).collect();
            distances.sort_by(f32::total_cmp);
            // Noise of 0.055 mm on a frontal surface, more on a slanted one, 0.035 mm ripple, 0.04 mm quantisation.
            let (median, high) = (distances[distances.len() / 2], distances[distances.len() * 98 / 100]);
            assert!(median < 0.12 && high < 0.6, "{category}: median {median} mm, 98 % {high} mm");
        }
    }
}

#[test]
fn going_by_the_signed_distance_along_the_gradient_reaches_the_surface() {
    for &category in Category::list() {
        let simulated = simulate_scan(category, SEED, 2, None);
        let staged = stage(category, SEED, 2, None, 1.0, Disturbance::NONE);
        let mut draws = Draws::new(9);
        let (mut misses, mut total) = (0, 0);
        for point in interior_points(&staged, &simulated.scan) {
            // Queries as the expert is trained on: up to some millimetres off the points.
            let query = point.map(|x| x + draws.range(-0.003, 0.003));
            let (distance, gradient) = simulated.surface.signed_distance(query);
            let length = Vec3::from_array(gradient).length();
            assert!((length - 1.0).abs() < 1e-3, "{category}: gradient of length {length}");
            let foot: [f32; 3] = std::array::from_fn(|i| query[i] - distance * gradient[i]);
            let foot_mm = staged.scene.camera_from_part.inverse_point(Vec3::from_array(foot) * 1000.0);
            total += 1;
            misses += usize::from(simulated.surface.part.distance(foot_mm).abs() > 0.1);
        }
        // Near ridges and grooves the nearest point is not unique and the search may stop short.
        assert!(misses * 50 <= total, "{category}: {misses} of {total} end more than 0.1 mm off the surface");
    }
}

#[test]
fn the_truth_is_where_something_differs_and_nowhere_else() {
    for &category in Category::list() {
        let good = stage(category, SEED, 5, None, 1.0, Disturbance::NONE);
        for &kind in category.defect_kinds() {
            let bad = stage(category, SEED, 5, Some(DefectSpec { kind, strength: 1.0 }), 1.0, Disturbance::NONE);
            assert!(bad.truth.count() >= 25, "{category}, {kind}: {} pixels", bad.truth.count());
            let mut unmarked = Mask::filled(category.size(), false);
            let mut marked_alike = 0;
            for row in 0..category.size().rows {
                for col in 0..category.size().cols {
                    let (Some(a), Some(b)) = (good.picture.get(row, col), bad.picture.get(row, col)) else { continue };
                    let moved = a.part != b.part || (a.range - b.range).abs() > CHANGED_MM;
                    let recoloured = (0..3).any(|i| (a.albedo[i] - b.albedo[i]).abs() > CHANGED_ALBEDO);
                    let marked = bad.truth[(row, col)];
                    marked_alike += usize::from(marked && !moved && !recoloured);
                    unmarked[(row, col)] = !marked && (moved || recoloured) && (a.part || b.part);
                    match kind.visibility() {
                        Visibility::Colour => assert_eq!((a.range, a.part), (b.range, b.part), "{category}, {kind}"),
                        Visibility::Depth if a.part && b.part => {
                            assert_eq!(a.albedo, b.albedo, "{category}, {kind}");
                        }
                        _ => {}
                    }
                }
            }
            assert_eq!(marked_alike, 0, "{category}, {kind}");
            let largest = pieces(&unmarked).iter().map(Vec::len).max().unwrap_or(0);
            assert!(largest < least_piece(category.size()), "{category}, {kind}: {largest} pixels outside the truth");
        }
    }
}

#[test]
fn a_stronger_defect_marks_more() {
    let marked = |strength: f32| -> usize {
        (0..4)
            .map(|i| {
                let spec = DefectSpec { kind: DefectKind::Hole, strength };
                stage(Category::Biscuit, SEED, i, Some(spec), 1.0, Disturbance::NONE).truth.count()
            })
            .sum()
    };
    assert!(marked(2.0) > 2 * marked(0.5));
}

#[test]
fn names_find_their_categories_and_kinds() {
    for &category in Category::list() {
        assert_eq!(Category::by_name(category.name()), Some(category));
        assert!((4..=6).contains(&category.defect_kinds().len()), "{category}");
    }
    for kind in DefectKind::ALL {
        assert_eq!(DefectKind::by_name(kind.name()), Some(kind));
        assert!(Category::list().iter().any(|c| c.defect_kinds().contains(&kind)), "{kind} is used nowhere");
    }
    let mut values: Vec<u8> = DefectKind::ALL.iter().map(|kind| kind.mask_value()).collect();
    values.dedup();
    assert_eq!(values.len(), DefectKind::ALL.len());
    assert!(Category::held_back().len() >= 3 && Category::Pear.is_held_back() && !Category::Cork.is_held_back());
}

#[test]
fn rays_meet_the_first_surface() {
    // A slow march in small steps is the oracle for the tracer's long ones. It cannot see a surface that the ray
    // enters for less than two steps, so only rays that go deeper count.
    const STEP_MM: f32 = 0.05;
    for &category in Category::list() {
        for defect in [None, Some(DefectSpec { kind: category.defect_kinds()[1], strength: 1.5 })] {
            let staged = stage(category, SEED, 7, defect, 1.0, Disturbance::NONE);
            let (scene, part, window) = (&staged.scene, &staged.part, staged.picture.window);
            let (mut beyond, mut total) = (0, 0);
            for row in (window.rows[0]..window.rows[1]).step_by(9) {
                for col in (window.cols[0]..window.cols[1]).step_by(7) {
                    let direction = scene.ray(row, col);
                    let seen = staged.picture.get(row, col).unwrap();
                    let Some((enter, leave)) = part.bounds().clip(scene.eye, direction) else { continue };
                    let leave = leave.min(scene.to_table(direction));
                    let inside = |t: f32| part.distance(scene.eye + direction * t) < 0.0;
                    let steps = ((leave - enter) / STEP_MM) as usize;
                    let first = (0..steps)
                        .map(|i| enter + i as f32 * STEP_MM)
                        .find(|&t| inside(t) && inside(t + STEP_MM) && inside(t + 2.0 * STEP_MM));
                    let Some(first) = first else { continue };
                    total += 1;
                    beyond += usize::from(seen.range > first + 2.0 * STEP_MM);
                }
            }
            assert!(total > 100, "{category}: {total} rays");
            // Where relief is steeper than its step scale allows for, a ray may go some tenths of a millimetre too far.
            assert!(beyond * 100 <= total, "{category}, {defect:?}: {beyond} of {total} rays went through the surface");
        }
    }
}

/// The mask's 8-connected pieces.
fn pieces(mask: &Mask) -> Vec<Vec<(usize, usize)>> {
    let size = mask.size();
    let mut left = mask.clone();
    let mut pieces = Vec::new();
    for start in (0..size.rows).flat_map(|row| (0..size.cols).map(move |col| (row, col))) {
        if !left[start] {
            continue;
        }
        left[start] = false;
        let (mut stack, mut piece) = (vec![start], Vec::new());
        while let Some((row, col)) = stack.pop() {
            piece.push((row, col));
            for r in row.saturating_sub(1)..=(row + 1).min(size.rows - 1) {
                for c in col.saturating_sub(1)..=(col + 1).min(size.cols - 1) {
                    if left[(r, c)] {
                        left[(r, c)] = false;
                        stack.push((r, c));
                    }
                }
            }
        }
        pieces.push(piece);
    }
    pieces
}

#[test]
fn a_truth_has_no_specks() {
    for &category in Category::list() {
        for &kind in category.defect_kinds() {
            let truth =
                stage(category, SEED, 52, Some(DefectSpec { kind, strength: 1.0 }), 1.0, Disturbance::NONE).truth;
            let pieces = pieces(&truth);
            let least = least_piece(category.size());
            assert!((1..=4).contains(&pieces.len()), "{category}, {kind}: {} pieces", pieces.len());
            assert!(pieces.iter().all(|pixels| pixels.len() >= least), "{category}, {kind}");
        }
    }
}
