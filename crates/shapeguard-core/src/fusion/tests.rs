use super::*;
use crate::grid::{GridSize, Mask};
use crate::scoring::ExpertScores;

const SIGMA: f32 = 4.0;
const TRUNCATE: f32 = 4.0;
/// 66 products of values up to 1 with weights that sum to 1, in f32.
const BLUR_TOLERANCE: f32 = 1e-6;

fn ramp(rows: usize, cols: usize) -> ScoreMap {
    Grid::from_fn(GridSize::new(rows, cols), |row, col| ((row * 31 + col * 17) % 101) as f32 / 100.0)
}

/// The slow oracle: the two-dimensional sum in f64.
fn blur_slowly(map: &ScoreMap, sigma: f64, radius: isize) -> ScoreMap {
    let weight = |d: isize| (-((d * d) as f64) / (2.0 * sigma * sigma)).exp();
    let total: f64 = (-radius..=radius).map(weight).sum();
    let size = map.size();
    Grid::from_fn(size, |row, col| {
        let mut sum = 0.0;
        for down in -radius..=radius {
            for across in -radius..=radius {
                let (r, c) = (row as isize + down, col as isize + across);
                if (0..size.rows as isize).contains(&r) && (0..size.cols as isize).contains(&c) {
                    sum += weight(down) * weight(across) * f64::from(map[(r as usize, c as usize)]);
                }
            }
        }
        (sum / (total * total)) as f32
    })
}

#[test]
fn the_blur_equals_the_two_dimensional_sum() {
    for (rows, cols) in [(40, 50), (9, 7), (1, 30), (1, 1)] {
        let map = ramp(rows, cols);
        let (fast, slow) = (gaussian_blur(&map, SIGMA, TRUNCATE), blur_slowly(&map, 4.0, 16));
        for (x, y) in fast.as_slice().iter().zip(slow.as_slice()) {
            assert!((x - y).abs() < BLUR_TOLERANCE, "{rows} x {cols}: {x} instead of {y}");
        }
    }
}

#[test]
fn a_constant_stays_inside_and_falls_to_half_at_a_border() {
    let blurred = gaussian_blur(&Grid::filled(GridSize::new(80, 80), 3.0), SIGMA, TRUNCATE);
    assert!((blurred[(40, 40)] - 3.0).abs() < 3.0 * BLUR_TOLERANCE);
    // Half the kernel and half its middle weight, 0.0997 for sigma 4, lie inside.
    assert!((blurred[(40, 0)] - 3.0 * (0.5 + 0.5 * 0.0997)).abs() < 1e-3);
}

#[test]
fn a_kernel_beyond_all_memory_is_cut() {
    let map = ramp(3, 4);
    for (sigma_px, truncate) in [(f32::INFINITY, TRUNCATE), (SIGMA, f32::INFINITY), (1e30, 1e30)] {
        let blurred = gaussian_blur(&map, sigma_px, truncate);
        assert!(blurred.as_slice().iter().all(|value| value.is_finite()), "{sigma_px}, {truncate}");
    }
    assert_eq!(gaussian_blur(&map, SIGMA, f32::NAN), map, "a reach that is no number is none");
}

#[test]
fn a_weak_score_beside_a_strong_one_survives_the_blur() {
    let mut map = Grid::filled(GridSize::new(100, 100), 0.0);
    map[(10, 10)] = 1000.0;
    map[(80, 80)] = 0.01;
    let blurred = gaussian_blur(&map, SIGMA, TRUNCATE);
    // The kernel's middle weight is 0.0997 in each direction.
    assert!((blurred[(80, 80)] / 0.01 - 0.0997 * 0.0997).abs() < 1e-4);
}

#[test]
fn without_a_sigma_nothing_is_blurred() {
    let map = ramp(5, 6);
    for sigma in [0.0, -1.0, f32::NAN] {
        assert_eq!(gaussian_blur(&map, sigma, TRUNCATE), map);
    }
    let empty = Grid::filled(GridSize::new(0, 6), 0.0);
    assert_eq!(gaussian_blur(&empty, SIGMA, TRUNCATE), empty);
}

fn expert(values: Vec<f32>, sample_score: f32) -> ExpertScores {
    let size = GridSize::new(1, values.len());
    ExpertScores { map: Grid::new(size, values).unwrap(), scored: Mask::filled(size, true), sample_score }
}

fn settings(sample_score: SampleScoring) -> FusionSettings {
    FusionSettings {
        alignment_samples: 25,
        blur_sigma_px: 0.0,
        blur_truncate: TRUNCATE,
        sample_score,
        rule: FusionRule::Maximum,
    }
}

#[test]
fn the_maximum_of_aligned_maps_never_falls_below_zero() {
    let scores = SampleScores {
        shape: expert(vec![1.0, 0.0, 0.0, f32::NAN], 2.0),
        appearance: expert(vec![0.0, 4.0, 0.5, 1.0], 3.0),
        cells: Grid::filled(GridSize::new(1, 1), 0.0),
        dictionary_size: 1,
    };
    let alignment = Alignment { a: 0.5, b: -1.0, mean: 0.0, deviation: 1.0 };
    let maps = fuse(&scores, alignment, &settings(SampleScoring::Product));
    assert_eq!(maps.fused.as_slice()[..3], [1.0, 1.0, 0.0]);
    assert!(maps.fused.as_slice()[3].is_nan(), "what is no number must not be hidden");
    let product = sample_scores(&scores, &maps, &settings(SampleScoring::Product));
    assert_eq!(product, Scores { shape: 2.0, appearance: 3.0, fused: 6.0 });
}

#[test]
fn every_map_is_blurred_in_8_bits_by_itself() {
    let quirks = ReferenceQuirks { blur_in_8_bits: true, ..ReferenceQuirks::default() };
    let size = GridSize::new(30, 20);
    let of = |map: ScoreMap| ExpertScores { map, scored: Mask::filled(size, true), sample_score: 1.0 };
    let scores = SampleScores {
        shape: of(ramp(30, 20)),
        appearance: of(ramp(30, 20).map(|value| 9.0 - 8.0 * value)),
        cells: Grid::filled(GridSize::new(1, 1), 0.0),
        dictionary_size: 1,
    };
    let alignment = Alignment { a: 0.1, b: -0.2, mean: 0.0, deviation: 1.0 };
    let settings = FusionSettings { blur_sigma_px: 3.0, ..settings(SampleScoring::Product) };
    let maps = fuse_with(&scores, alignment, &settings, quirks);
    assert_eq!(maps.shape, blur_in_8_bits(&scores.shape.map, 3.0));
    assert_eq!(maps.appearance, blur_in_8_bits(&scores.appearance.map, 3.0));
    let fused = fuse_unblurred(&scores.shape.map, &scores.appearance.map, alignment);
    assert_eq!(maps.fused, blur_in_8_bits(&fused, 3.0));
    assert_ne!(maps, fuse(&scores, alignment, &settings));
}

#[test]
fn the_top_of_the_fused_map_is_a_thousandth_of_its_pixels() {
    let map = Grid::from_fn(GridSize::new(50, 60), |row, col| ((row * 60 + col) * 7 % 3000) as f32);
    // 3,000 pixels with the values 0 to 2,999: the largest three.
    assert_eq!(mean_of_largest(&map, TOP_ONE_OF), 2998.0);
    // Of `ProductTop` the largest twelve.
    assert_eq!(mean_of_largest(&map, PRODUCT_TOP_ONE_OF), 2993.5);
    assert_eq!(mean_of_largest(&ramp(1, 3), TOP_ONE_OF), 0.34);
    assert!(mean_of_largest(&Grid::filled(GridSize::new(2, 2), f32::NAN), TOP_ONE_OF).is_nan());
}

#[test]
fn both_experts_together_count_more_than_one() {
    let scores = SampleScores {
        shape: expert(vec![5.0, 5.0, 1.0, 0.0, 2.0], 2.0),
        appearance: expert(vec![0.0, 6.0, 6.0, 0.0, f32::NAN], 3.0),
        cells: Grid::filled(GridSize::new(1, 1), 0.0),
        dictionary_size: 1,
    };
    let alignment = Alignment { a: 0.5, b: 1.0, mean: 1.0, deviation: 1.0 };
    let settings = FusionSettings { rule: FusionRule::RootSumSquares, ..settings(SampleScoring::ProductTop) };
    let maps = fuse(&scores, alignment, &settings);
    // (5 - 1) / 1 = 4 and (0.5 * 6 + 1 - 1) / 1 = 3; below the mean nothing counts.
    assert_eq!(maps.fused.as_slice()[..4], [4.0, 5.0, 3.0, 0.0]);
    assert!(maps.fused.as_slice()[4].is_nan(), "what is no number must not be hidden");
    let four = AnomalyMaps { fused: Grid::filled(GridSize::new(1, 4), 4.0), ..maps };
    assert_eq!(sample_scores(&scores, &four, &settings), Scores { shape: 2.0, appearance: 3.0, fused: 24.0 });
}
