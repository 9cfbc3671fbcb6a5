use pulp::WithSimd;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::matrix::product_transposed;
use crate::memory::FeatureBank;
use crate::memory::search::{ExactSearch, nearest_of_all_rows, squared_distance};
use crate::seams::{BankSearch, Neighbour};

const WIDTH: usize = 128;

fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    Matrix::from_vec(rows, cols, (0..rows * cols).map(|_| rng.random_range(-1.0f32..1.0)).collect())
}

/// Features that vary much in a few directions, by up to 1 in each value, a little in all, far from the origin.
fn features_of(rows: usize, width: usize, noise: f32, seed: u64) -> Matrix {
    let mut features = product_transposed(&random(rows, 5, seed), &random(width, 5, 1));
    let of_noise = random(rows, width, seed + 1);
    let values = features.as_mut_slice().iter_mut().zip(of_noise.as_slice());
    values.for_each(|(value, of_noise)| *value += 3.0 + noise * of_noise);
    features
}

/// Features as an encoder makes them.
fn features(rows: usize, seed: u64) -> Matrix {
    features_of(rows, WIDTH, 0.05, seed)
}

/// What the tree finds is what comparing every row finds; tells how many queries it gave up, or all if there is no tree.
fn given_up(bank: &Matrix, allowed: Option<&[u32]>, queries: &Matrix, k: usize) -> usize {
    let expected = nearest_of_all_rows(bank, allowed, queries, k);
    let Some(tree) = Tree::new(bank) else { return queries.rows() };
    let found = tree.nearest(bank, allowed, queries, k);
    assert_eq!(found.len(), queries.rows());
    // Compared as text: distances that are no numbers, too.
    let shown = |neighbours: &Vec<Neighbour>| format!("{neighbours:?}");
    for (query, (found, expected)) in found.iter().zip(&expected).enumerate() {
        if let Some(found) = found {
            assert_eq!(shown(found), shown(expected), "query {query}");
        }
    }
    let searched_before = FeatureBank::from(bank.clone());
    searched_before.tree_for(usize::MAX / 2);
    let both = ExactSearch.nearest(&searched_before, allowed, queries, k);
    assert!(both.iter().zip(&expected).all(|(found, expected)| shown(found) == shown(expected)));
    found.iter().filter(|found| found.is_none()).count()
}

#[test]
fn what_is_left_out_is_never_missed() {
    let bank = features(5000 + 17, 2);
    let queries = features(133, 4);
    for k in [1, 5, 10, 60] {
        assert_eq!(given_up(&bank, None, &queries, k), 0, "k {k}");
    }
    let most: Vec<u32> = (0..bank.rows() as u32).filter(|row| row % 5 != 1).collect();
    assert_eq!(given_up(&bank, Some(&most), &queries, 10), 0);
    let few: Vec<u32> = (0..bank.rows() as u32).filter(|row| row % 5 == 1 || *row < 500).collect();
    assert_eq!(given_up(&bank, Some(&few), &queries, 10), 0);
    // Queries out of the bank: distances of 0, and neighbours that are no nearer than others' noise.
    assert_eq!(given_up(&bank, None, &bank.select_rows(0..100), 10), 0);
    // One query is looked for as many are, and none, too.
    assert_eq!(given_up(&bank, None, &queries.select_rows([7]), 10), 0);
    assert_eq!(given_up(&bank, None, &queries.select_rows([]), 10), 0);
}

#[test]
fn any_width_and_number_of_rows_will_do() {
    for (width, rows) in [(48, 10 * LEAF), (50, 10 * LEAF + 1), (131, 11 * LEAF - 1)] {
        let bank = features_of(rows, width, 0.02, 2);
        assert_eq!(given_up(&bank, None, &features_of(40, width, 0.02, 4), 3), 0, "{rows} x {width}");
        assert_eq!(given_up(&bank, None, &bank.select_rows(rows - 3..rows), 3), 0, "{rows} x {width}");
    }
}

#[test]
fn rows_as_near_as_each_other_go_by_their_number() {
    // Each row twenty times, the copies spread over all of the bank.
    let few = features(300, 3);
    let bank = few.select_rows((0..6000).map(|row| row * 7 % 300));
    assert_eq!(given_up(&bank, None, &features(40, 5), 10), 0);
    assert_eq!(given_up(&bank, None, &few, 10), 0);
    // Whole numbers along one direction: many rows at the same distance, in different leaves.
    let steps: Vec<f32> = (0..4000).flat_map(|row| std::iter::repeat_n((row * 7 % 80) as f32, WIDTH)).collect();
    let steps = Matrix::from_vec(4000, WIDTH, steps);
    assert_eq!(given_up(&steps, None, &steps.select_rows(0..50), 20), 0);
    assert_eq!(given_up(&steps, None, &steps.select_rows(0..50), 60), 0);
}

#[test]
fn features_that_hardly_differ_are_told_apart_by_their_last_digits() {
    let mut bank = features_of(4000, WIDTH, 0.01, 3);
    for (i, value) in bank.as_mut_slice().iter_mut().enumerate() {
        *value = 30.0 + (i % WIDTH) as f32 * 1e-2 + 1e-3 * *value;
    }
    assert_eq!(given_up(&bank, None, &bank.select_rows((0..64).map(|row| 60 * row)), 10), 0);
    // Fewer directions than the subspace has: the others stay 0.
    let line: Vec<f32> = (0..4000 * WIDTH).map(|i| 1.0 + 1e-4 * (i / WIDTH) as f32).collect();
    let line = Matrix::from_vec(4000, WIDTH, line);
    assert_eq!(given_up(&line, None, &line.select_rows((0..64).map(|row| 60 * row)), 10), 0);
    // None at all: nothing can be left out.
    let same = Matrix::from_vec(700, WIDTH, vec![0.3; 700 * WIDTH]);
    assert_eq!(given_up(&same, None, &features(3, 4), 5), 3);
}

#[test]
fn features_whose_squares_are_no_normal_numbers_are_told_apart() {
    for scale in [1e-19, 3e-22, 2e-23, 1e-30] {
        let scaled = |mut features: Matrix| {
            features.as_mut_slice().iter_mut().for_each(|value| *value *= scale);
            features
        };
        let (bank, queries) = (scaled(features(1500, 2)), scaled(features(40, 4)));
        let by_definition = |query: usize| {
            let mut all: Vec<(f64, u32)> =
                (0..1500).map(|row| (squared_distance(queries.row(query), bank.row(row as usize)), row)).collect();
            all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            all.iter().take(5).map(|(_, row)| *row).collect::<Vec<_>>()
        };
        let found = Tree::new(&bank).unwrap().nearest(&bank, None, &queries, 5);
        let compared = nearest_of_all_rows(&bank, None, &queries, 5);
        for (query, (found, compared)) in found.iter().zip(&compared).enumerate() {
            let rows = |neighbours: &Vec<Neighbour>| neighbours.iter().map(|n| n.row).collect::<Vec<_>>();
            assert_eq!(rows(compared), by_definition(query), "{scale}, query {query}");
            assert!(found.as_ref().is_none_or(|found| rows(found) == by_definition(query)), "{scale}, query {query}");
        }
    }
}

#[test]
fn what_cannot_be_left_out_is_given_up() {
    let noise = random(4000, WIDTH, 6);
    assert_eq!(given_up(&noise, None, &random(100, WIDTH, 7), 10), 100);
    // Some queries among noise, and some among features.
    let mut bank = features(4000, 2);
    bank.append(&noise);
    let mixed = |of_noise: usize| {
        let mut queries = features(100 - of_noise, 4);
        queries.append(&random(of_noise, WIDTH, 7));
        given_up(&bank, None, &queries, 10)
    };
    assert_eq!(mixed(0), 0);
    assert_eq!(mixed(30), 30);
    // Once most of those that are tried are given up, only these have been looked for.
    assert!(mixed(70) > 100 - TRIAL_QUERIES);
}

#[test]
fn what_is_no_number_or_too_large_is_left_to_the_comparison_of_every_row() {
    let queries = features(40, 5);
    let bank = features(4000, 2);
    // A value so long that rounding in it is longer than all distances rules out nothing; in a query, only for that.
    for value in [f32::NAN, f32::INFINITY, 1e30, 1e10] {
        for row in [5, 3999] {
            let mut damaged = bank.clone();
            damaged.row_mut(row)[3] = value;
            assert_eq!(given_up(&damaged, None, &queries, 10), 40, "{value}");
        }
        let mut asked = queries.clone();
        asked.row_mut(9)[127] = value;
        assert_eq!(given_up(&bank, None, &asked, 10), 1, "{value}");
    }
}

#[test]
fn every_processor_finds_the_same() {
    let (bank, queries) = (features(3000, 2), features(30, 4));
    let tree = Tree::new(&bank).unwrap();
    let expected = tree.nearest(&bank, None, &queries, 10);
    let z = tree.subspace.project(&queries);
    for (query, expected) in expected.iter().enumerate() {
        let z: &[f32; PROJECTED_DIM] = z.row(query).try_into().unwrap();
        let rounding = rounding(WIDTH, tree.largest_norm + squared_distance(z, &[0.0; PROJECTED_DIM]).sqrt());
        let query = queries.row(query);
        let walk =
            Walk { leaves: &tree.leaves, is_allowed: None, bank: &bank, query, z, k: 10, rounding, most_looks: 500 };
        assert_eq!(walk.with_simd(pulp::Scalar::new()), *expected);
    }
}

#[test]
fn small_and_narrow_banks_have_no_tree() {
    assert!(Tree::new(&features(LEAST_ROWS, 2)).is_some());
    assert!(Tree::new(&features(LEAST_ROWS - 1, 2)).is_none());
    assert!(Tree::new(&random(LEAST_ROWS, LEAST_WIDTH, 2)).is_some());
    assert!(Tree::new(&random(LEAST_ROWS, LEAST_WIDTH - 1, 2)).is_none());
    assert!(Tree::new(&Matrix::default()).is_none());
}

#[test]
fn a_bank_gets_a_tree_when_it_is_searched_often_and_another_one_when_it_grows() {
    let mut bank = FeatureBank::from(features(1000, 2));
    let (queries, new) = (features(300, 4), features(3, 6));
    let first = ExactSearch.nearest(&bank, None, &queries, 5);
    assert!(bank.clone().tree_for(0).is_some(), "a clone's searches count");
    assert_eq!(ExactSearch.nearest(&bank, None, &queries, 5), first);
    bank.append(&new);
    assert!(bank.tree_for(300).is_none() && bank.tree_for(0).is_some());
    assert!(ExactSearch.nearest(&bank, None, &new, 1).iter().all(|found| found[0].squared_distance == 0.0));
    // So many neighbours that the tree would give up for themselves alone.
    assert!(Tree::may_help(1000, 62) && !Tree::may_help(1000, 63) && !Tree::may_help(1000, usize::MAX));
    let many = ExactSearch.nearest(&bank, None, &new, 1003);
    assert!(many.iter().all(|found| found.len() == 1003));
}

#[test]
fn one_thread_and_many_agree() {
    let (bank, queries) = (features(5000, 2), features(300, 4));
    let tree = Tree::new(&bank).unwrap();
    let with_threads = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| tree.nearest(&bank, None, &queries, 10))
    };
    assert_eq!(with_threads(1), with_threads(4));
    // Searches at the same time, whose threads wait for the tree and for each other.
    let fresh = FeatureBank::from(bank);
    let all: Vec<_> = (0..8).into_par_iter().map(|_| ExactSearch.nearest(&fresh, None, &queries, 10)).collect();
    assert!(all.iter().all(|found| *found == all[0]));
}

/// The bound itself, which is tight: most of what features differ by is in the few directions.
#[test]
fn a_distance_in_the_subspace_is_never_above_that_of_the_features() {
    let bank = features(4000, 2);
    let z = Subspace::of(&bank).project(&bank);
    let norm = |row: usize| z.row(row).iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    for row in 0..bank.rows() {
        let other = row * 31 % bank.rows();
        let bound = squared_distance(z.row(row), z.row(other)).sqrt();
        let distance = squared_distance(bank.row(row), bank.row(other)).sqrt();
        assert!(bound <= distance + rounding(WIDTH, norm(row) + norm(other)), "rows {row} and {other}");
        assert!(bound >= 0.9 * distance, "rows {row} and {other}: {bound} of {distance}");
    }
}
