use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Matrix::from_vec(rows, cols, (0..rows * cols).map(|_| rng.random_range(-1.0f32..1.0)).collect())
}

fn nearest(bank: &Matrix, allowed: Option<&[u32]>, queries: &Matrix, k: usize) -> Vec<Neighbours> {
    ExactSearch.nearest(&bank.clone().into(), allowed, queries, k)
}

/// The slow oracle: all distances in f64, sorted.
fn sorted(bank: &Matrix, allowed: Option<&[u32]>, query: &[f32], k: usize) -> Vec<u32> {
    let rows = allowed.map_or_else(|| (0..bank.rows() as u32).collect(), <[u32]>::to_vec);
    let mut all: Vec<(f64, u32)> = rows.iter().map(|r| (squared_distance(query, bank.row(*r as usize)), *r)).collect();
    all.sort_by(|a, b| by_distance_then_row(*a, *b));
    all.truncate(k);
    all.iter().map(|(_, row)| *row).collect()
}

fn rows_of(found: &[Neighbour]) -> Vec<u32> {
    found.iter().map(|neighbour| neighbour.row).collect()
}

fn agrees_with_the_oracle(bank: &Matrix, allowed: Option<&[u32]>, queries: &Matrix, k: usize) {
    let found = nearest(bank, allowed, queries, k);
    assert_eq!(found.len(), queries.rows());
    for (query, neighbours) in found.iter().enumerate() {
        assert_eq!(rows_of(neighbours), sorted(bank, allowed, queries.row(query), k), "query {query}");
    }
}

#[test]
fn it_finds_what_sorting_all_distances_finds() {
    let bank = random(6 * BANK_BLOCK + 17, 19, 1);
    let queries = random(265, 19, 2);
    agrees_with_the_oracle(&bank, None, &queries, 10);
    let scattered: Vec<u32> = (0..bank.rows() as u32).filter(|row| row % 3 != 1).collect();
    agrees_with_the_oracle(&bank, Some(&scattered), &queries, 5);
    let two_runs: Vec<u32> = (0..bank.rows() as u32).filter(|row| !(600..700).contains(row)).collect();
    agrees_with_the_oracle(&bank, Some(&two_runs), &queries, 7);
}

#[test]
fn large_banks_are_shared_out_and_thinned_out() {
    // Several blocks of a task; each row is nearer than those before it, so that the sample's bound is the worst there can be.
    let n = 8 * TASKS * BANK_BLOCK + 77;
    let bank = Matrix::from_vec(n, 1, (0..n).map(|row| -(row as f32)).collect());
    agrees_with_the_oracle(&bank, None, &Matrix::from_vec(2, 1, vec![-(n as f32), 3.5 - n as f32]), 3);
    // Neighbours that the sample has none of, among others far away.
    let mut bank = random(n, 5, 8);
    let rare: Vec<u32> = (0..30).map(|i| 1 + 1000 * i).collect();
    rare.iter().for_each(|row| bank.row_mut(*row as usize).iter_mut().for_each(|value| *value += 100.0));
    let queries = bank.select_rows([5, 1001, 29_001]);
    agrees_with_the_oracle(&bank, None, &queries, 30);
    agrees_with_the_oracle(&bank, None, &queries, 2 * BANK_BLOCK);
    agrees_with_the_oracle(&bank, Some(&rare), &queries, 40);
}

#[test]
fn near_duplicates_of_long_features_are_ranked_exactly() {
    // Norms near 350, distances near 0.01: the product form is off by far more than the distances differ.
    let mut bank = random(2000, 128, 3);
    for (i, value) in bank.as_mut_slice().iter_mut().enumerate() {
        *value = 30.0 + (i % 128) as f32 * 1e-2 + 1e-3 * *value;
    }
    let queries = bank.select_rows([0, 500, 1999]);
    agrees_with_the_oracle(&bank, None, &queries, 10);
}

#[test]
fn ties_go_to_the_smaller_row() {
    let bank = Matrix::from_vec(1500, 3, vec![0.25; 4500]);
    let found = nearest(&bank, None, &Matrix::from_vec(1, 3, vec![0.5; 3]), 4);
    assert_eq!(rows_of(&found[0]), [0, 1, 2, 3]);
    assert_eq!(found[0][0].squared_distance, 3.0 * 0.0625);
    let allowed = [7, 900, 1400];
    let found = nearest(&bank, Some(&allowed), &Matrix::zeros(1, 3), 4);
    assert_eq!(rows_of(&found[0]), allowed);
}

#[test]
fn nothing_allowed_finds_nothing() {
    let bank = random(5, 3, 4);
    assert_eq!(nearest(&bank, Some(&[]), &random(2, 3, 5), 4), vec![vec![], vec![]]);
    assert_eq!(nearest(&Matrix::default(), None, &random(2, 3, 5), 4), vec![vec![], vec![]]);
    assert!(nearest(&bank, None, &Matrix::zeros(0, 3), 4).is_empty());
}

#[test]
fn features_that_are_no_numbers_surface_in_the_distances() {
    let bank = random(600, 3, 4);
    let found = nearest(&bank, None, &Matrix::from_vec(1, 3, vec![f32::NAN; 3]), 4);
    assert_eq!(found[0].len(), 4);
    assert!(found[0].iter().all(|neighbour| neighbour.squared_distance.is_nan()));
    // A damaged row of the bank is the last to be found, with either sign of NaN.
    for nan in [f32::NAN, -f32::NAN] {
        let bank = Matrix::from_vec(3, 1, vec![nan, 9.0, 5.0]);
        let query = Matrix::from_vec(1, 1, vec![4.0]);
        assert_eq!(rows_of(&nearest(&bank, None, &query, 2)[0]), [2, 1]);
        assert_eq!(rows_of(&nearest(&bank, None, &query, 3)[0]), [2, 1, 0]);
        // In a bank of several blocks, too: damaged rows are found if all are asked for, by a query that is damaged as well.
        let mut bank = random(3 * BANK_BLOCK, 3, 4);
        (0..bank.rows()).filter(|row| row % 3 > 0).for_each(|row| bank.row_mut(row)[1] = nan);
        bank.row_mut(7)[0] = f32::INFINITY;
        let queries = Matrix::from_vec(2, 3, vec![0.0, 0.0, 0.0, 0.0, nan, 0.0]);
        for k in [1, BANK_BLOCK, 2 * BANK_BLOCK + 5] {
            agrees_with_the_oracle(&bank, None, &queries, k);
        }
    }
}

#[test]
fn one_thread_and_many_agree() {
    let bank = random(5000, 32, 6);
    let queries = random(40, 32, 7);
    let with_threads = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| nearest(&bank, None, &queries, 10))
    };
    assert_eq!(with_threads(1), with_threads(4));
}

proptest! {
    #[test]
    fn coarse_features_with_many_ties_agree_with_the_oracle(
        values in prop::collection::vec(-2i8..=2, 60 * 4),
        query in prop::collection::vec(-2i8..=2, 4),
        k in 1usize..12,
        keep in prop::collection::vec(any::<bool>(), 60),
    ) {
        let bank = Matrix::from_vec(60, 4, values.iter().map(|v| f32::from(*v)).collect());
        let queries = Matrix::from_vec(1, 4, query.iter().map(|v| f32::from(*v)).collect());
        let allowed: Vec<u32> = (0..60).filter(|row| keep[*row as usize]).collect();
        agrees_with_the_oracle(&bank, Some(&allowed), &queries, k);
    }
}
