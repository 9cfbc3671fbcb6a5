use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::*;
use crate::grid::{Grid, GridSize};

/// Sums of at most a few thousand f64 terms of magnitude up to 1.
const ROUNDING: f64 = 1e-12;

/// Made by `tests/goldens/metrics.py`.
const GOLDENS: &str = include_str!("../../tests/goldens/metrics.json");

#[derive(Deserialize)]
struct Golden {
    name: String,
    scores: Vec<f32>,
    positive: Vec<bool>,
    auroc: f64,
    f1_max: f64,
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < ROUNDING
}

fn map(rows: usize, cols: usize, values: &[f32]) -> ScoreMap {
    Grid::new(GridSize::new(rows, cols), values.to_vec()).unwrap()
}

fn mask(rows: &[&str]) -> Mask {
    let values = rows.iter().flat_map(|row| row.bytes().map(|pixel| pixel == b'#')).collect();
    Grid::new(GridSize::new(rows.len(), rows[0].len()), values).unwrap()
}

#[test]
fn samples_equal_scikit_learn() {
    let goldens: Vec<Golden> = serde_json::from_str(GOLDENS).unwrap();
    assert_eq!(goldens.len(), 4);
    for golden in &goldens {
        let area = auroc(&golden.scores, &golden.positive).unwrap();
        assert!(close(area, golden.auroc), "{}: {area} instead of {}", golden.name, golden.auroc);
        let (f1, threshold) = f1_max(&golden.scores, &golden.positive).unwrap();
        assert!(close(f1, golden.f1_max), "{}: {f1} instead of {}", golden.name, golden.f1_max);
        assert!(close(f1, f1_at(&golden.scores, &golden.positive, threshold)));
    }
}

fn f1_at(scores: &[f32], positive: &[bool], threshold: f32) -> f64 {
    let pairs = || scores.iter().zip(positive);
    let hits = pairs().filter(|(score, positive)| **score >= threshold && **positive).count();
    let found = pairs().filter(|(score, _)| **score >= threshold).count();
    2.0 * hits as f64 / (found + pairs().filter(|(_, positive)| **positive).count()) as f64
}

#[test]
fn closed_forms_of_auroc_and_f1() {
    let positive = [false, false, true, true];
    assert_eq!(auroc(&[0.1, 0.2, 0.3, 0.4], &positive), Some(1.0));
    assert_eq!(auroc(&[0.4, 0.3, 0.2, 0.1], &positive), Some(0.0));
    assert_eq!(auroc(&[0.5; 4], &positive), Some(0.5));
    assert_eq!(auroc(&[-0.0, 0.0, 0.0, -0.0], &positive), Some(0.5), "both zeros are one score");
    assert_eq!(auroc(&[f32::NEG_INFINITY, -1.0, f32::INFINITY, -1.0], &positive), Some(0.875));
    assert_eq!(f1_max(&[0.1, 0.2, 0.3, 0.4], &positive), Some((1.0, 0.3)));
    // Everything counts as positive: precision 1/2, recall 1.
    assert_eq!(f1_max(&[-0.5; 4], &positive), Some((2.0 / 3.0, -0.5)));
}

#[test]
fn one_class_alone_or_no_number_has_no_figure() {
    assert_eq!(auroc(&[0.1, 0.2], &[true, true]), None);
    assert_eq!(auroc(&[0.1, 0.2], &[false, false]), None);
    assert_eq!(auroc(&[], &[]), None);
    assert_eq!(auroc(&[0.1, f32::NAN], &[true, false]), None);
    assert_eq!(f1_max(&[0.1, 0.2], &[false, false]), None);
    assert_eq!(f1_max(&[0.1, 0.2], &[true, true]), Some((1.0, 0.1)));
    let maps = [map(1, 2, &[0.0, 1.0])];
    assert_eq!(PixelMetrics::compute(&maps, &[mask(&[".."])]), None);
    assert_eq!(PixelMetrics::compute(&maps, &[mask(&["##"])]), None);
    assert_eq!(PixelMetrics::compute(&[map(1, 2, &[0.0, f32::NAN])], &[mask(&[".#"])]), None);
    assert_eq!(ProCurve::exact::<ScoreMap, Mask>(&[], &[]), None);
}

#[test]
fn diagonal_neighbours_are_one_region() {
    let regions = label_regions(&mask(&["#..#", ".#..", "#..#", "...#"]));
    assert_eq!(regions.sizes, [3, 1, 2]);
    assert_eq!(regions.labels.as_slice(), &[1, 0, 0, 2, 0, 1, 0, 0, 1, 0, 0, 3, 0, 0, 0, 3]);
    assert!(label_regions(&mask(&["....", "...."])).sizes.is_empty());
    let everything = Mask::filled(GridSize::new(224, 224), true);
    assert_eq!(label_regions(&everything).sizes, [224 * 224]);
    assert_eq!(label_regions(&mask(&["#.#", "#.#", "###"])).sizes, [7]);
}

#[test]
fn perfect_separation_has_every_figure_at_one() {
    let truth = mask(&["##..", "##..", "....", "...#"]);
    let perfect = Grid::from_fn(truth.size(), |row, col| if truth[(row, col)] { 0.9 } else { 0.1 });
    let metrics = PixelMetrics::compute(&[&perfect], &[&truth]).unwrap();
    assert_eq!((metrics.p_auroc, metrics.f1_max), (1.0, 1.0));
    for area in metrics.aupro {
        assert!(close(area, 1.0), "{area}");
    }
    assert_eq!(metrics.curve.fpr, [0.0, 0.0, 1.0]);
    assert_eq!(metrics.curve.pro, [0.0, 1.0, 1.0]);
}

#[test]
fn scores_that_are_all_alike_give_the_diagonal() {
    let truth = mask(&["##........"]);
    let flat = map(1, 10, &[0.5; 10]);
    let curve = ProCurve::exact(&[flat], &[truth]).unwrap();
    assert_eq!((curve.fpr.as_slice(), curve.pro.as_slice()), ([0.0, 1.0].as_slice(), [0.0, 1.0].as_slice()));
    for limit in AUPRO_LIMITS {
        // The diagonal's area up to the limit is limit^2 / 2.
        assert!(close(curve.area(limit), limit / 2.0));
    }
}

#[test]
fn each_region_weighs_the_same() {
    // Regions of 3 pixels and of 1; 4 good pixels.
    let truth = mask(&["###..#.."]);
    let scores = map(1, 8, &[9.0, 3.0, 1.0, 8.0, 2.0, 5.0, 0.0, 0.0]);
    let curve = ProCurve::exact(&[scores], &[truth]).unwrap();
    let third = 1.0 / 6.0;
    let expected = [
        (0.0, 0.0),
        (0.0, third),
        (0.25, third),
        (0.25, third + 0.5),
        (0.25, 2.0 * third + 0.5),
        (0.5, 2.0 * third + 0.5),
        (0.5, 1.0),
        (1.0, 1.0),
    ];
    assert_eq!(curve.fpr.len(), expected.len());
    for (i, (fpr, pro)) in expected.into_iter().enumerate() {
        assert!(close(curve.fpr[i], fpr) && close(curve.pro[i], pro), "point {i}: {}, {}", curve.fpr[i], curve.pro[i]);
    }
    // 0.25 wide at 1/6, 0.05 wide at 5/6.
    assert!(close(curve.area(0.3), (0.25 / 6.0 + 0.05 * 5.0 / 6.0) / 0.3));
}

#[test]
fn the_area_interpolates_at_the_limit() {
    let curve = ProCurve { fpr: vec![0.0, 0.2, 1.0], pro: vec![0.0, 0.8, 1.0] };
    // A triangle of slope 4 up to 0.1.
    assert!(close(curve.area(0.1), 0.5 * 0.4));
    assert!(close(curve.area(1.0), 0.08 + 0.72));
}

/// The slow oracle: at every distinct score, count pixels region by region.
fn curve_slowly(maps: &[ScoreMap], truths: &[Mask]) -> ProCurve {
    let regions: Vec<_> = truths.iter().map(label_regions).collect();
    let mut scores: Vec<f32> = maps.iter().flat_map(|map| map.as_slice().to_vec()).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.dedup();
    let mut curve = ProCurve { fpr: vec![0.0], pro: vec![0.0] };
    for threshold in scores {
        let (mut good, mut found, mut overlap, mut count) = (0, 0, 0.0, 0);
        for (map, regions) in maps.iter().zip(&regions) {
            let pixels: Vec<_> = map.as_slice().iter().zip(regions.labels.as_slice()).collect();
            good += pixels.iter().filter(|(_, label)| **label == 0).count();
            found += pixels.iter().filter(|(score, label)| **label == 0 && **score >= threshold).count();
            for (index, size) in regions.sizes.iter().enumerate() {
                let inside = |label: u32| label == index as u32 + 1;
                let hits = pixels.iter().filter(|(score, label)| inside(**label) && **score >= threshold).count();
                overlap += hits as f64 / f64::from(*size);
                count += 1;
            }
        }
        curve.fpr.push(found as f64 / good as f64);
        curve.pro.push(overlap / f64::from(count));
    }
    curve
}

/// Maps of a few levels with random truths that hold both classes.
fn random_maps(seed: u64, levels: u32) -> (Vec<ScoreMap>, Vec<Mask>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let size = GridSize::new(9, 11);
    let maps =
        (0..3).map(|_| Grid::from_fn(size, |_, _| rng.random_range(0..levels) as f32 / levels as f32 - 0.3)).collect();
    let mut truths: Vec<Mask> = (0..3).map(|_| Grid::from_fn(size, |_, _| rng.random::<f32>() < 0.2)).collect();
    truths[1] = Mask::filled(size, false);
    truths[0][(0, 0)] = true;
    (maps, truths)
}

#[test]
fn the_exact_curve_encloses_the_oracles_area() {
    for (seed, levels) in [(1, 3), (2, 20), (3, 1000), (4, 1_000_000)] {
        let (maps, truths) = random_maps(seed, levels);
        let (fast, slow) = (ProCurve::exact(&maps, &truths).unwrap(), curve_slowly(&maps, &truths));
        for limit in AUPRO_LIMITS.into_iter().chain([1.0]) {
            assert!(close(fast.area(limit), slow.area(limit)), "{levels} levels, limit {limit}");
        }
        assert!(fast.fpr.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(fast.pro.windows(2).all(|pair| pair[0] <= pair[1]));
        let metrics = PixelMetrics::compute(&maps, &truths).unwrap();
        let scores: Vec<f32> = maps.iter().flat_map(|map| map.as_slice().to_vec()).collect();
        let positive: Vec<bool> = truths.iter().flat_map(|truth| truth.as_slice().to_vec()).collect();
        assert_eq!(Some(metrics.p_auroc), auroc(&scores, &positive));
        assert_eq!(Some(metrics.f1_max), f1_max(&scores, &positive).map(|(f1, _)| f1));
        assert!(close(metrics.p_auroc, auroc_slowly(&scores, &positive)));
        assert_eq!(metrics.aupro, AUPRO_LIMITS.map(|limit| fast.area(limit)));
    }
}

fn auroc_slowly(scores: &[f32], positive: &[bool]) -> f64 {
    let of = |wanted: bool| (0..scores.len()).filter(move |i| positive[*i] == wanted);
    let mut right = 0.0;
    for defective in of(true) {
        for good in of(false) {
            right += if scores[defective] > scores[good] {
                1.0
            } else if scores[defective] == scores[good] {
                0.5
            } else {
                0.0
            };
        }
    }
    right / (of(true).count() * of(false).count()) as f64
}

#[test]
fn the_coarse_curve_has_its_thresholds_at_equidistant_ranks() {
    // 199 good pixels with the scores 0 to 198: the ranks are 0, 2, ... 198. One region of two pixels.
    let mut values: Vec<f32> = (0..199).map(|score| score as f32).collect();
    values.extend([150.5, 198.0]);
    let truth = Grid::from_fn(GridSize::new(1, 201), |_, col| col >= 199);
    let curve = ProCurve::with_100_thresholds(&[map(1, 201, &values)], &[truth]).unwrap();
    assert_eq!(curve.fpr.len(), 101);
    assert_eq!((curve.fpr[0], curve.pro[0]), (0.0, 0.0), "198 is not greater than the largest good score");
    assert!(close(curve.fpr[1], 2.0 / 199.0) && curve.pro[1] == 0.5);
    let found = curve.pro.iter().position(|pro| *pro == 1.0).unwrap();
    assert!(close(curve.fpr[found], 48.0 / 199.0), "150.5 is greater than rank 150, which leaves 48 above");
    assert_eq!((curve.fpr[100], curve.pro[100]), (1.0, 1.0));
}

#[test]
fn a_coarse_curve_misses_what_the_exact_one_sees() {
    // 10,000 good pixels; half of the region lies above all, the other half above all but 20 of them.
    let mut values: Vec<f32> = (0..10_000).map(|score| score as f32).collect();
    values.extend([1e6, 9_979.5]);
    let truth = Grid::from_fn(GridSize::new(1, 10_002), |_, col| col >= 10_000);
    let (maps, truths) = ([map(1, 10_002, &values)], [truth]);
    let metrics = PixelMetrics::compute(&maps, &truths).unwrap();
    let (exact, coarse) = (metrics.aupro[6], metrics.aupro_100[6]);
    // 0.002 wide at a half, 0.008 at one; the coarse curve climbs from a half to one in a single trapezoid whose
    // foot is at 0.0101.
    assert!(close(exact, 0.9));
    assert!((coarse - 0.7475).abs() < 1e-3, "{coarse}");
}

#[test]
fn the_thinned_curve_keeps_ends_and_area() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let size = GridSize::new(100, 100);
    let truth = Grid::from_fn(size, |row, col| (row / 10 + col / 10) % 4 == 0);
    let scores = Grid::from_fn(size, |row, col| rng.random::<f32>() + if truth[(row, col)] { 0.4 } else { 0.0 });
    let exact = ProCurve::exact(&[&scores], &[&truth]).unwrap();
    let thinned = exact.thinned(PLOT_POINTS);
    assert!(exact.fpr.len() > 2000 && (300..=PLOT_POINTS).contains(&thinned.fpr.len()), "{}", thinned.fpr.len());
    assert_eq!((thinned.fpr[0], thinned.pro[0]), (0.0, 0.0));
    assert_eq!((thinned.fpr.last(), thinned.pro.last()), (Some(&1.0), Some(&1.0)));
    // Points lie 2/499 apart along the curve, which bounds how far a chord strays from it.
    assert!((thinned.area(0.3) - exact.area(0.3)).abs() < 0.005);
    assert_eq!(PixelMetrics::compute(&[&scores], &[&truth]).unwrap().curve, thinned);
}

#[test]
fn one_thread_and_many_agree() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let size = GridSize::new(224, 224);
    let maps: Vec<ScoreMap> = (0..4).map(|_| Grid::from_fn(size, |_, _| rng.random::<f32>())).collect();
    let truths: Vec<Mask> = (0..4).map(|i| Grid::from_fn(size, |row, col| row * col % (90 + i) == 7)).collect();
    let with_threads = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| PixelMetrics::compute(&maps, &truths).unwrap())
    };
    assert_eq!(with_threads(1), with_threads(4));
}

proptest! {
    #[test]
    fn monotone_maps_change_nothing(seed in any::<u64>(), levels in 2u32..200) {
        let (maps, truths) = random_maps(seed, levels);
        // Strictly monotone, and fewer than 200 levels in -0.3..0.7 stay apart in f32.
        let stretched: Vec<ScoreMap> = maps.iter().map(|map| map.map(|score| (3.0 * score).exp() - 7.0)).collect();
        prop_assert_eq!(PixelMetrics::compute(&maps, &truths), PixelMetrics::compute(&stretched, &truths));
    }

    #[test]
    fn figures_lie_between_zero_and_one(seed in any::<u64>(), levels in 1u32..50) {
        let (maps, truths) = random_maps(seed, levels);
        let metrics = PixelMetrics::compute(&maps, &truths).unwrap();
        for figure in [metrics.p_auroc, metrics.f1_max].into_iter().chain(metrics.aupro).chain(metrics.aupro_100) {
            prop_assert!((0.0..=1.0).contains(&figure), "{figure}");
        }
    }
}
