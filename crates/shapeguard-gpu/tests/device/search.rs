use shapeguard_core::matrix::Matrix;
use shapeguard_core::memory::{ExactSearch, FeatureBank};
use shapeguard_core::seams::BankSearch;
use shapeguard_gpu::GpuSearch;

use crate::support::{numbers, on_device};

fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
    Matrix::from_vec(rows, cols, numbers(rows * cols, seed))
}

/// Neighbours and distances, to the last bit.
fn agrees(search: &GpuSearch, bank: &Matrix, allowed: Option<&[u32]>, queries: &Matrix, k: usize) {
    let bank = &FeatureBank::from(bank.clone());
    let expected = ExactSearch.nearest(bank, allowed, queries, k);
    assert_eq!(search.nearest(bank, allowed, queries, k), expected);
}

#[test]
fn it_finds_what_the_processor_finds() {
    on_device(|gpu| {
        let search = GpuSearch::new(&gpu);
        let (bank, queries) = (random(3000, 19, 1), random(300, 19, 2));
        agrees(&search, &bank, None, &queries, 10);
        let scattered: Vec<u32> = (0..3000).filter(|row| row % 3 != 1).collect();
        agrees(&search, &bank, Some(&scattered), &queries, 5);
        agrees(&search, &bank, Some(&[2999]), &queries, 5);
        agrees(&search, &random(7, 130, 3), None, &random(2, 130, 4), 10);
    });
}

/// A bank of 1,024 values a row has parts of 16,384 rows.
#[test]
fn banks_of_several_parts_agree() {
    on_device(|gpu| {
        let search = GpuSearch::new(&gpu);
        let (bank, queries) = (random(17_000, 1024, 5), random(3, 1024, 6));
        agrees(&search, &bank, None, &queries, 10);
        let some: Vec<u32> = (16_000..17_000).step_by(3).collect();
        agrees(&search, &bank, Some(&some), &queries, 10);
        agrees(&search, &bank, Some(&[5, 16_999]), &queries, 10);
    });
}

#[test]
fn what_products_cannot_tell_apart_is_ranked_exactly() {
    on_device(|gpu| {
        let search = GpuSearch::new(&gpu);
        // Norms near 350, distances near 0.01: the product form is off by far more than the distances differ.
        let mut long = random(2000, 128, 7);
        for (i, value) in long.as_mut_slice().iter_mut().enumerate() {
            *value = 30.0 + (i % 128) as f32 * 1e-2 + 2e-3 * *value;
        }
        agrees(&search, &long, None, &long.select_rows([0, 500, 1999]), 10);
        // Ties, and more neighbours than there are threads.
        let equal = Matrix::from_vec(1500, 3, vec![0.25; 4500]);
        agrees(&search, &equal, None, &Matrix::from_vec(1, 3, vec![0.5; 3]), 4);
        agrees(&search, &random(900, 5, 8), None, &random(4, 5, 9), 600);
    });
}

#[test]
fn what_is_no_number_is_found_as_by_the_processor() {
    on_device(|gpu| {
        let search = GpuSearch::new(&gpu);
        let mut queries = random(4, 3, 10);
        queries.row_mut(1)[2] = f32::NAN;
        queries.row_mut(2).fill(3e38);
        let bank = random(600, 3, 11);
        let rows = |found: Vec<Vec<shapeguard_core::seams::Neighbour>>| -> Vec<Vec<(u32, u32)>> {
            let bits = |one: &shapeguard_core::seams::Neighbour| (one.row, one.squared_distance.to_bits());
            found.iter().map(|found| found.iter().map(bits).collect()).collect()
        };
        for value in [0.0, f32::NAN, f32::INFINITY, 1e30, 1e-42] {
            let mut bank = bank.clone();
            bank.row_mut(7)[0] = value;
            let bank = FeatureBank::from(bank);
            let found = rows(search.nearest(&bank, None, &queries, 4));
            assert_eq!(found, rows(ExactSearch.nearest(&bank, None, &queries, 4)), "{value}");
        }
    });
}

#[test]
fn a_bank_that_changed_is_another_bank() {
    on_device(|gpu| {
        let search = GpuSearch::new(&gpu);
        let queries = random(5, 16, 12);
        let mut bank = random(400, 16, 13);
        for round in 0..12 {
            agrees(&search, &bank, None, &queries, 3);
            let nearest = search.nearest(&bank.clone().into(), None, &queries, 1)[round % 5][0].row as usize;
            bank.row_mut(nearest).fill(9.0);
            bank.append(&random(1, 16, 14 + round as u64));
        }
    });
}

#[test]
fn nothing_allowed_finds_nothing() {
    on_device(|gpu| {
        let search = GpuSearch::new(&gpu);
        let (bank, queries) = (FeatureBank::from(random(5, 3, 4)), random(2, 3, 5));
        assert_eq!(search.nearest(&bank, Some(&[]), &queries, 4), vec![vec![], vec![]]);
        assert_eq!(search.nearest(&FeatureBank::default(), None, &queries, 4), vec![vec![], vec![]]);
        assert!(search.nearest(&bank, None, &Matrix::zeros(0, 3), 4).is_empty());
    });
}

/// Works of several threads finish side by side, and any of them may be handed another one's answer to pass on.
#[test]
fn many_threads_all_get_their_answers() {
    const THREADS: u64 = 8;
    const SEARCHES: u64 = 200;
    on_device(|gpu| {
        let search = GpuSearch::new(&gpu);
        let bank = random(50, 4, 1);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (search, bank) = (&search, &bank);
                scope.spawn(move || {
                    for seed in 0..SEARCHES {
                        agrees(search, bank, None, &random(3, 4, 2 + thread * SEARCHES + seed), 2);
                    }
                });
            }
        });
        assert!(gpu.fault().is_none());
    });
}
