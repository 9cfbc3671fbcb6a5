use rand::{RngExt, SeedableRng};

use super::*;
use crate::memory::FeatureBank;
use crate::memory::search::{ExactSearch, nearest_of_all_rows, squared_distance};
use crate::seams::{BankSearch, Neighbour};

const WIDTH: usize = 128;

fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    Matrix::from_vec(rows, cols, (0..rows * cols).map(|_| rng.random_range(-1.0f32..1.0)).collect())
}

/// Features as an encoder makes them: they vary much in a few directions, a little in all, far from the origin.
fn features(rows: usize, seed: u64) -> Matrix {
    let directions = random(WIDTH, 5, 1);
    let mut features = crate::matrix::product_transposed(&random(rows, 5, seed), &directions);
    let noise = random(rows, WIDTH, seed + 1);
    features.as_mut_slice().iter_mut().zip(noise.as_slice()).for_each(|(value, noise)| *value += 3.0 + 0.05 * noise);
    features
}

/// What the tree finds is what comparing every row finds; tells how many queries it gave up.
fn given_up(bank: &Matrix, allowed: Option<&[u32]>, queries: &Matrix, k: usize) -> usize {
    let expected = nearest_of_all_rows(bank, allowed, queries, k);
    let found =
        Tree::new(bank).map_or_else(|| vec![None; queries.rows()], |tree| tree.nearest(bank, allowed, queries, k));
    assert_eq!(found.len(), queries.rows());
    // Compared as text: distances that are no numbers, too.
    let shown = |neighbours: &Vec<Neighbour>| format!("{neighbours:?}");
    for (query, (found, expected)) in found.iter().zip(&expected).enumerate() {
        if let Some(found) = found {
            assert_eq!(shown(found), shown(expected), "query {query}");
        }
    }
    let both = ExactSearch.nearest(&bank.clone().into(), allowed, queries, k);
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
    // One query is looked for as many are.
    assert_eq!(given_up(&bank, None, &queries.select_rows([7]), 10), 0);
}

#[test]
fn rows_as_near_as_each_other_go_by_their_number() {
    // Each row a thousand times, the copies spread over all of the bank.
    let few = features(6, 3);
    let bank = few.select_rows((0..6000).map(|row| row * 7 % 6));
    given_up(&bank, None, &features(40, 5), 10);
    given_up(&bank, None, &few.select_rows((0..40).map(|row| row % 6)), 10);
    // With the limit at a leaf's distance exactly: whole numbers along one direction.
    let steps: Vec<f32> = (0..2000).flat_map(|row| std::iter::repeat_n((row * 7 % 40) as f32, WIDTH)).collect();
    let steps = Matrix::from_vec(2000, WIDTH, steps);
    assert_eq!(given_up(&steps, None, &steps.select_rows(0..50), 20), 0);
}

#[test]
fn features_that_hardly_differ_are_told_apart_by_their_last_digits() {
    let mut bank = random(4000, WIDTH, 3);
    for (i, value) in bank.as_mut_slice().iter_mut().enumerate() {
        *value = 30.0 + (i % WIDTH) as f32 * 1e-2 + 1e-3 * *value;
    }
    given_up(&bank, None, &bank.select_rows((0..64).map(|row| 60 * row)), 10);
    // Fewer directions than the subspace has: the others stay 0.
    let line: Vec<f32> = (0..4000 * WIDTH).map(|i| 1.0 + 1e-4 * (i / WIDTH) as f32).collect();
    let line = Matrix::from_vec(4000, WIDTH, line);
    assert_eq!(given_up(&line, None, &line.select_rows((0..64).map(|row| 60 * row)), 10), 0);
    // None at all.
    let same = Matrix::from_vec(700, WIDTH, vec![0.3; 700 * WIDTH]);
    given_up(&same, None, &features(3, 4), 5);
}

#[test]
fn what_cannot_be_left_out_is_given_up() {
    let queries = random(100, WIDTH, 7);
    let bank = random(4000, WIDTH, 6);
    assert_eq!(given_up(&bank, None, &queries, 10), 100);
    // As many neighbours as there are rows: nothing can be left out.
    assert_eq!(given_up(&features(1000, 2), None, &queries, 1000), 100);
}

#[test]
fn what_is_no_number_or_too_large_is_left_to_the_comparison_of_every_row() {
    let queries = features(40, 5);
    let bank = features(4000, 2);
    for (row, value) in [(5, f32::NAN), (3999, f32::INFINITY), (3995, 1e30), (70, 1e10)] {
        let mut damaged = bank.clone();
        damaged.row_mut(row)[3] = value;
        assert!(given_up(&damaged, None, &queries, 10) == 40 || value.is_finite(), "{value}");
        let mut asked = queries.clone();
        asked.row_mut(9)[127] = value;
        assert!(given_up(&bank, None, &asked, 10) == 1 || value.is_finite(), "{value}");
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
fn rows_that_are_appended_are_found() {
    let mut bank = FeatureBank::from(features(1000, 2));
    let new = features(3, 4);
    let distance_of_first = |bank: &FeatureBank| ExactSearch.nearest(bank, None, &new, 1)[2][0].squared_distance;
    assert!(distance_of_first(&bank) > 0.0);
    bank.append(&new);
    assert_eq!(distance_of_first(&bank), 0.0);
}

#[test]
fn one_thread_and_many_agree() {
    let (bank, queries) = (FeatureBank::from(features(5000, 2)), features(300, 4));
    let with_threads = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| ExactSearch.nearest(&bank, None, &queries, 10))
    };
    assert_eq!(with_threads(1), with_threads(4));
    // Searches at the same time, whose threads wait for the tree and for each other.
    let fresh = FeatureBank::from(Matrix::clone(&bank));
    let all: Vec<_> = (0..8).into_par_iter().map(|_| ExactSearch.nearest(&fresh, None, &queries, 10)).collect();
    assert!(all.iter().all(|found| *found == all[0]));
}

/// The bound itself, at its tightest: rows that differ from each other within the subspace alone, or outside it alone.
#[test]
fn a_distance_in_the_subspace_is_never_above_that_of_the_features() {
    let bank = features(4000, 2);
    let z = Subspace::of(&bank).project(&bank);
    let norm = |row: usize| z.row(row).iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    for row in 0..bank.rows() {
        let other = row * 31 % bank.rows();
        let bound = squared_distance(z.row(row), z.row(other)).sqrt();
        let distance = squared_distance(bank.row(row), bank.row(other)).sqrt();
        assert!(bound <= distance + rounding(WIDTH) * (norm(row) + norm(other)), "rows {row} and {other}");
        // Most of the distance is in the few directions, so that the bound rules out what it can.
        assert!(bound >= 0.9 * distance, "rows {row} and {other}: {bound} of {distance}");
    }
}
