use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A value of a normal distribution, nearly: the sum of twelve uniform ones has variance 1.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

/// Scans around a centre, with this deviation in every dimension.
fn scans(centre: &[f32], deviation: f32, count: usize, seed: u64) -> Matrix {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values = (0..count).flat_map(|_| centre.to_vec()).map(|value| value + deviation * normal(&mut rng)).collect();
    Matrix::from_vec(count, centre.len(), values)
}

fn features(rows: &[[f32; 2]], patch_cells: Vec<Vec<u32>>) -> SampleFeatures {
    let appearance = Matrix::from_vec(rows.len(), 2, rows.concat());
    SampleFeatures { shape: Matrix::zeros(patch_cells.len(), 3), appearance, patch_cells }
}

#[test]
fn a_descriptor_is_mean_and_deviation_of_the_used_cells() {
    let rows = [[1.0, 5.0], [900.0, 900.0], [3.0, 5.0], [5.0, 11.0]];
    // Cell 1 is in no patch, cell 2 in two.
    let found = descriptor(&features(&rows, vec![vec![0, 2], vec![2, 3]]));
    let expected = [3.0, 7.0, (8.0f32 / 3.0).sqrt(), 8.0f32.sqrt()];
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    assert_eq!(found.len(), 4);
    assert_eq!(descriptor(&features(&rows, vec![vec![3]]))[2..], [0.0, 0.0], "one cell deviates from nothing");
}

#[test]
#[should_panic(expected = "without a cell")]
fn a_scan_without_a_cell_is_a_bug() {
    descriptor(&features(&[[0.0, 0.0]], vec![vec![]]));
}

#[test]
fn distances_are_those_of_the_shared_covariance() {
    // Four scans each on the corners of a square: the covariance is a multiple of the identity, and stays it.
    let square = |x: f32| Matrix::from_vec(4, 2, vec![x - 1.0, -1.0, x + 1.0, -1.0, x - 1.0, 1.0, x + 1.0, 1.0]);
    let router = Router::learn(&[square(0.0), square(60.0)]).unwrap();
    // Each variance is 8 / 6, and the square distance of a scan from its mean 2 in units of the features. Left out, it is 4/3 as far
    // from the mean of the other three.
    let typical = 4.0 / 3.0 * (2.0f64 / (8.0 / 6.0)).sqrt();
    let expected =
        |x: f64, y: f64, centre: f64| ((x - centre).powi(2) + y * y).sqrt() / (8.0f64 / 6.0).sqrt() / typical;
    for [x, y] in [[0.0, 0.0], [1.0, 1.0], [0.5, -3.0], [30.0, 0.0], [60.0, 2.0]] {
        let found = router.distances(&[x, y]);
        for (found, centre) in found.iter().zip([0.0, 60.0]) {
            let expected = expected(f64::from(x), f64::from(y), centre);
            // The whitening is kept in single precision.
            assert!((found - expected).abs() < 1e-5 * (1.0 + expected), "{x} {y} {centre}: {found} {expected}");
        }
    }
}

#[test]
fn the_confidence_is_the_posterior_with_unknown_as_one_more_category() {
    let square = |x: f32| Matrix::from_vec(4, 2, vec![x - 1.0, -1.0, x + 1.0, -1.0, x - 1.0, 1.0, x + 1.0, 1.0]);
    let router = Router::learn(&[square(0.0), square(5.0)]).unwrap();
    for x in [0.0, 1.0, 2.4, 2.6, 7.0, 8.0, 50.0] {
        let (route, distances) = (router.route(&[x, 0.3]), router.distances(&[x, 0.3]));
        let weights: Vec<f64> = distances.iter().map(|d| (-2.0 * d * d).exp()).collect();
        let unknown = (-2.0f64 * 4.0).exp();
        let nearest = usize::from(distances[1] < distances[0]);
        let expected = weights[nearest] / (weights.iter().sum::<f64>() + unknown);
        assert_eq!(route.nearest, nearest, "{x}");
        assert!((f64::from(route.confidence) - expected).abs() < 1e-6, "{x}: {route:?} {expected}");
        // Known means that the category is at least as probable as "unknown".
        assert_eq!(route.is_known, weights[nearest] >= unknown, "{x}");
    }
    let far = router.route(&[1e6, 0.0]);
    assert!(!far.is_known && far.confidence < 1e-6 && far.distance > 1e4, "{far:?}");
    let between = router.route(&[2.5, 0.0]);
    assert!((between.confidence - 0.5).abs() < 0.05, "two categories are as near: {between:?}");
}

#[test]
fn categories_are_told_apart_and_strangers_are_unknown() {
    let dims = 24;
    let centre = |axis: usize| (0..dims).map(|i| if i == axis { 15.0 } else { 1.0 }).collect::<Vec<f32>>();
    let learnt: Vec<Matrix> = (0..4).map(|c| scans(&centre(c), 1.0, 20, c as u64)).collect();
    let router = Router::learn(&learnt).unwrap();
    for category in 0..4 {
        let fresh = scans(&centre(category), 1.0, 200, 100 + category as u64);
        let routes: Vec<Route> = (0..200).map(|scan| router.route(fresh.row(scan))).collect();
        assert!(routes.iter().all(|route| route.nearest == category));
        // What is typical of scans left out is typical of new ones.
        let mean = routes.iter().map(|route| route.distance).sum::<f32>() / 200.0;
        assert!((mean - 1.0).abs() < 0.12, "{mean}");
        assert!(routes.iter().filter(|route| !route.is_known).count() <= 2, "good scans are known");
    }
    let strangers = scans(&centre(9), 1.0, 200, 7);
    assert!((0..200).all(|scan| !router.route(strangers.row(scan)).is_known));
}

#[test]
fn leaving_out_equals_learning_without() {
    let learnt = [scans(&[0.0, 0.0, 0.0], 1.0, 6, 1), scans(&[3.0, 0.0, 1.0], 1.0, 5, 2)];
    let means: Vec<Vec<f64>> = learnt.iter().map(|category| column_means(&[category])).collect();
    let mean = column_means(&[&learnt[0], &learnt[1]]);
    let mut within = Within::of(&learnt, &means, &mean).unwrap();
    within.standardise();
    let covariance = Covariance::shrunk(&within.rows, within.degrees_of_freedom);
    let inverse_root = covariance.matrix.cholesky().inverse_of_lower();
    let found = left_out_distances(&within, &covariance, &inverse_root);

    // What the diagonal has besides the scatter is the shrinkage's part.
    let scatter_of = |rows: &[Vec<f64>], i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let weight = covariance.scatter_weight;
    let added = covariance.matrix.row(0)[0] - weight * scatter_of(&within.rows, 0, 0);
    for (scan, found) in found.iter().enumerate() {
        let category = within.category[scan];
        // The remaining scans of every category about their own means, and the scan from the mean of what remains of its own.
        let mut remaining = Vec::new();
        let mut own_mean = vec![0.0; 3];
        for of in 0..2 {
            let rows: Vec<&Vec<f64>> =
                (0..11).filter(|i| *i != scan && within.category[*i] == of).map(|i| &within.rows[i]).collect();
            let mean: Vec<f64> =
                (0..3).map(|d| rows.iter().map(|row| row[d]).sum::<f64>() / rows.len() as f64).collect();
            remaining.extend(rows.iter().map(|row| (0..3).map(|d| row[d] - mean[d]).collect::<Vec<f64>>()));
            if of == category {
                own_mean = mean;
            }
        }
        let values = (0..9)
            .map(|at| weight * scatter_of(&remaining, at / 3, at % 3) + if at / 3 == at % 3 { added } else { 0.0 });
        let rows: Vec<Vec<f64>> = values.collect::<Vec<_>>().chunks(3).map(<[f64]>::to_vec).collect();
        let from_mean: Vec<f64> = within.rows[scan].iter().zip(&own_mean).map(|(value, mean)| value - mean).collect();
        let expected = SquareMatrix::from_rows(&rows).cholesky().inverse_of_lower().times_lower(&from_mean);
        let expected = expected.iter().map(|value| value * value).sum::<f64>().sqrt();
        assert!((found - expected).abs() < 1e-9 * expected, "{scan}: {found} {expected}");
    }
}

#[test]
fn units_of_the_features_do_not_matter() {
    let learnt = [scans(&[0.0, 5.0, 1.0], 1.0, 12, 1), scans(&[4.0, 5.0, 1.0], 1.0, 12, 2)];
    let scaled = |matrix: &Matrix| {
        let factors = [4.0, 0.5, 1.0];
        let values = matrix.as_slice().iter().enumerate().map(|(at, value)| value * factors[at % 3]).collect();
        Matrix::from_vec(matrix.rows(), 3, values)
    };
    let router = Router::learn(&learnt).unwrap();
    let other = Router::learn(&learnt.each_ref().map(scaled)).unwrap();
    let fresh = scans(&[2.0, 5.0, 1.0], 2.0, 50, 3);
    for scan in 0..50 {
        let pair = router.distances(fresh.row(scan)).into_iter().zip(other.distances(scaled(&fresh).row(scan)));
        // Factors are powers of two: only sums of other sizes are rounded.
        assert!(pair.clone().all(|(a, b)| (a - b).abs() < 1e-4 * a), "{:?}", pair.collect::<Vec<_>>());
    }
}

#[test]
fn one_odd_scan_does_not_widen_a_category() {
    let sound = scans(&[0.0; 8], 1.0, 24, 1);
    let other = scans(&[20.0; 8], 1.0, 24, 2);
    let mut odd = sound.clone();
    odd.row_mut(3).fill(9.0);
    let [sound, with_odd] = [sound, odd].map(|first| Router::learn(&[first, other.clone()]).unwrap());
    // As far as the odd scan: in the sound model far beyond the limit, and unknown even where it was learnt.
    let there = [9.0; 8];
    assert!(!sound.route(&there).is_known && !with_odd.route(&there).is_known, "{:?}", with_odd.route(&there));
}

#[test]
fn many_good_scans_that_vary_widely_are_known_as_promised() {
    // Nine of ten scans are near, one is four times as far.
    let varied = |count: usize, seed: u64| {
        let (near, far) = (scans(&[0.0; 4], 1.0, count, seed), scans(&[0.0; 4], 4.0, count, seed + 50));
        let rows = (0..count).flat_map(|i| if i % 10 == 0 { far.row(i) } else { near.row(i) }.to_vec()).collect();
        Matrix::from_vec(count, 4, rows)
    };
    let share_unknown = |learnt: usize| {
        let router = Router::learn(&[varied(learnt, 1), scans(&[90.0; 4], 1.0, learnt, 2)]).unwrap();
        let fresh = varied(2000, 9);
        (0..2000).filter(|scan| !router.route(fresh.row(*scan)).is_known).count() as f64 / 2000.0
    };
    // With few, a multiple of the median is all there is.
    assert!(share_unknown(40) > 0.04, "{}", share_unknown(40));
    // The conformal quantile of 400 is a draw whose mean share is below 1 %; five standard errors above that.
    assert!(share_unknown(400) < 0.035, "{}", share_unknown(400));
}

#[test]
fn copies_and_values_that_never_vary_are_no_obstacle() {
    // Dimension 1 is the same everywhere, dimension 2 tells the categories apart without varying within them.
    let rows = |first: [f32; 3], x: f32| first.iter().flat_map(|v| [*v, 7.0, x]).collect::<Vec<f32>>();
    let learnt = [Matrix::from_vec(3, 3, rows([0.0, 1.0, 2.0], 0.0)), Matrix::from_vec(3, 3, rows([1.0; 3], 5.0))];
    let router = Router::learn(&learnt).unwrap();
    assert!(router.whitening.as_slice().iter().chain(&router.typical).all(|value| value.is_finite()));
    assert!(router.typical.iter().all(|typical| *typical > 0.0));
    let found = [[1.0, 7.0, 0.0], [1.0, 7.0, 5.0]].map(|scan| router.route(&scan));
    assert!(found.iter().all(|route| route.is_known) && found[0].nearest == 0 && found[1].nearest == 1, "{found:?}");
    assert!(!router.route(&[1.0, 9.0, 0.0]).is_known, "no good scan ever had another value there");

    let copies = [Matrix::from_vec(2, 2, vec![0.0; 4]), Matrix::from_vec(2, 2, vec![1.0; 4])];
    let router = Router::learn(&copies).unwrap();
    let route = router.route(&[0.0, 0.0]);
    assert!(route.is_known && route.distance == 0.0, "{route:?}");
    assert!(!router.route(&[0.5, 0.5]).is_known);
}

#[test]
fn a_single_category_knows_itself_from_others() {
    let router = Router::learn(&[scans(&[1.0, 2.0, 3.0], 0.5, 20, 4)]).unwrap();
    assert!(router.route(&[1.0, 2.0, 3.0]).is_known);
    assert!(!router.route(&[1.0, 7.0, 3.0]).is_known);
}

#[test]
fn what_cannot_be_learnt_is_refused_with_its_place() {
    let sound = || scans(&[0.0, 1.0], 1.0, 4, 1);
    let error = Router::learn(&[sound(), scans(&[0.0, 1.0], 1.0, 1, 2)]).unwrap_err();
    assert_eq!(error, RoutingError::TooFewScans { category: 1, found: 1 });
    assert!(error.to_string().contains("at least 2 good scans"), "{error}");
    for bad in [f32::NAN, f32::INFINITY] {
        let mut spoilt = sound();
        spoilt.row_mut(2)[1] = bad;
        let error = Router::learn(&[sound(), spoilt]).unwrap_err();
        assert_eq!(error, RoutingError::NotFinite { category: 1, scan: 2 });
    }
    let alike = Matrix::from_vec(3, 2, vec![4.0; 6]);
    assert_eq!(Router::learn(&[alike.clone(), alike]).unwrap_err(), RoutingError::AllAlike);
}

#[test]
fn a_scan_whose_features_are_no_numbers_is_unknown() {
    let router = Router::learn(&[scans(&[0.0, 1.0], 1.0, 4, 1), scans(&[9.0, 1.0], 1.0, 4, 2)]).unwrap();
    for bad in [f32::NAN, f32::INFINITY] {
        let route = router.route(&[0.0, bad]);
        assert!(!route.is_known && route.confidence == 0.0, "{route:?}");
    }
}

#[test]
fn one_thread_and_many_learn_the_same() {
    let learn = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let centre = |at: f32| (0..40).map(|i| at * (i as f32).sin()).collect::<Vec<f32>>();
        pool.install(|| Router::learn(&[scans(&centre(1.0), 0.3, 15, 1), scans(&centre(2.0), 0.3, 15, 2)]).unwrap())
    };
    assert_eq!(learn(1), learn(4));
}
