//! Exact nearest neighbours by blocked matrix products.
//!
//! `|q - b|^2 = |q|^2 - 2 <q, b> + |b|^2` is fast but loses digits where features are long and close together. So it
//! only proposes: every row that may be among the `k` nearest, given a bound on its rounding error, has its
//! distance computed again from the differences, in `f64`, and these decide. The result therefore depends neither
//! on the block sizes nor on the number of threads (test: `near_duplicates_of_long_features_are_ranked_exactly`).

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::matrix::{Matrix, dot, multiply_transposed};
use crate::seams::{BankSearch, Neighbour};

/// Bank rows of one task. With [`QUERY_BLOCK`] queries its products take 1 MiB, about a core's second-level cache
/// (measured with `examples/metrics_timing.rs`: twice as many rows are 8 % faster on one core, and share out worse).
const BANK_BLOCK: usize = 1024;
/// Queries of one task.
const QUERY_BLOCK: usize = 256;
/// Queries whose candidates are held at a time; bounds memory (about 40 MB for a bank of 200,000 rows and k = 10).
const QUERIES_IN_FLIGHT: usize = 4 * QUERY_BLOCK;
/// Values of a group whose minimum stands for it while the threshold is sought.
const GROUP_VALUES: usize = 16;

/// Exact search by blocked matrix products.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExactSearch;

impl BankSearch for ExactSearch {
    /// # Panics
    /// If bank and queries have rows of different length, or `allowed` names a row that the bank does not have: bugs
    /// of the caller.
    fn nearest(&self, bank: &Matrix, allowed: Option<&[u32]>, queries: &Matrix, k: usize) -> Vec<Vec<Neighbour>> {
        let n = allowed.map_or(bank.rows(), <[u32]>::len);
        let width = bank.cols();
        if n == 0 || k == 0 || width == 0 {
            return vec![Vec::new(); queries.rows()];
        }
        assert_eq!(width, queries.cols(), "queries must be as long as the bank's features");
        let starts: Vec<usize> = (0..n).step_by(BANK_BLOCK).collect();
        let mut found = Vec::with_capacity(queries.rows());
        for first in (0..queries.rows()).step_by(QUERIES_IN_FLIGHT) {
            let last = (first + QUERIES_IN_FLIGHT).min(queries.rows());
            let proposals: Vec<Vec<Proposal>> = starts
                .par_iter()
                .map(|start| {
                    let block = BankBlock::new(bank, allowed, *start, (*start + BANK_BLOCK).min(n));
                    let values = &queries.as_slice()[first * width..last * width];
                    values.chunks(QUERY_BLOCK * width).flat_map(|part| block.propose(part, k)).collect()
                })
                .collect();
            found.par_extend((first..last).into_par_iter().map(|query| {
                let proposed = proposals.iter().map(|block| &block[query - first]);
                choose(queries.row(query), bank, allowed, proposed, k)
            }));
        }
        found
    }
}

/// A row of the search and how near it is, roughly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// An index into `allowed`, or into the bank where all rows are allowed.
    pub row: u32,
    /// `|b|^2 / 2 - <q, b>`, which orders like the distance.
    pub value: f32,
}

/// What one block of the bank proposes for one query.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// All rows of the block whose value may be among the `k` smallest, given the rounding error.
    pub candidates: Vec<Candidate>,
    /// Bound on the rounding error of the values.
    pub error: f32,
}

/// Bound on the error of `|b|^2 / 2 - <q, b>` in `f32` for features of `width` values: each sum of `width` products is
/// off by at most `width eps |x| |y|` in any order of summation (Higham, section 3.1); the last subtraction and the
/// norms themselves add less than what `width + 4` and the whole of `eps` (twice the unit roundoff) leave.
pub fn product_error(width: usize, query_norm: f32, largest_norm: f32) -> f32 {
    let bound = (width + 4) as f32 * f32::EPSILON * largest_norm * (query_norm + largest_norm);
    if bound.is_nan() { f32::INFINITY } else { bound }
}

/// Consecutive rows of the search, side by side in memory.
struct BankBlock<'a> {
    first: usize,
    rows: std::borrow::Cow<'a, [f32]>,
    half_norms: Vec<f32>,
    largest_norm: f32,
    width: usize,
}

impl<'a> BankBlock<'a> {
    fn new(bank: &'a Matrix, allowed: Option<&[u32]>, first: usize, end: usize) -> Self {
        let width = bank.cols();
        let in_place = |start: usize| &bank.as_slice()[start * width..(start + end - first) * width];
        let rows = match allowed {
            None => std::borrow::Cow::Borrowed(in_place(first)),
            Some(allowed) => {
                let wanted = &allowed[first..end];
                debug_assert!(wanted.windows(2).all(|pair| pair[0] < pair[1]), "allowed rows must be ascending");
                let start = wanted[0] as usize;
                if wanted[wanted.len() - 1] as usize - start + 1 == wanted.len() {
                    std::borrow::Cow::Borrowed(in_place(start))
                } else {
                    let mut gathered = Vec::with_capacity(wanted.len() * width);
                    for row in wanted {
                        gathered.extend_from_slice(bank.row(*row as usize));
                    }
                    std::borrow::Cow::Owned(gathered)
                }
            }
        };
        let half_norms: Vec<f32> = rows.chunks_exact(width).map(|row| 0.5 * dot(row, row)).collect();
        let largest_norm = half_norms.iter().fold(0.0f32, |a, b| a.max(2.0 * b)).sqrt();
        Self { first, rows, half_norms, largest_norm, width }
    }

    /// Proposals for queries that lie side by side in memory.
    fn propose(&self, queries: &[f32], k: usize) -> Vec<Proposal> {
        let n = self.half_norms.len();
        let m = queries.len() / self.width;
        let mut products = vec![0.0; m * n];
        multiply_transposed(queries, &self.rows, &mut products, m, self.width, n, false);
        let propose_one = |(query, products): (&[f32], &mut [f32])| {
            for (value, half_norm) in products.iter_mut().zip(&self.half_norms) {
                // What is no number is as far away as can be, and shows as such in the exact distance.
                *value = (half_norm - *value).min(f32::INFINITY);
            }
            let error = product_error(self.width, dot(query, query).sqrt(), self.largest_norm);
            Proposal { candidates: self.smallest(products, k, error), error }
        };
        queries.chunks_exact(self.width).zip(products.chunks_exact_mut(n)).map(propose_one).collect()
    }

    /// All candidates among `values` that may be one of the `k` smallest, given the error. The `k`-th smallest minimum
    /// of disjoint groups bounds the `k`-th smallest value from above, and few groups lie below it.
    fn smallest(&self, values: &[f32], k: usize, error: f32) -> Vec<Candidate> {
        let groups = values.len().div_ceil(GROUP_VALUES);
        // Group `g` holds the values `g, g + groups, ...`, so that all minima are taken side by side.
        let mut minima = values[..groups].to_vec();
        for part in values[groups..].chunks(groups) {
            minima.iter_mut().zip(part).for_each(|(least, value)| *least = least.min(*value));
        }
        let mut threshold = f32::INFINITY;
        if k <= groups {
            let mut unordered = minima.clone();
            let (_, kth, _) = unordered.select_nth_unstable_by(k - 1, f32::total_cmp);
            threshold = not_below(*kth, error);
        }
        let mut candidates = Vec::with_capacity(2 * k);
        for (group, least) in minima.iter().enumerate() {
            if *least <= threshold {
                let of_group = (group..values.len()).step_by(groups).filter(|index| values[*index] <= threshold);
                candidates
                    .extend(of_group.map(|index| Candidate { row: (self.first + index) as u32, value: values[index] }));
            }
        }
        candidates
    }
}

/// The value above which a row cannot be among the nearest, if the last of these has `value` give or take `error`.
fn not_below(value: f32, error: f32) -> f32 {
    let threshold = value + 2.0 * error;
    if threshold.is_nan() { f32::INFINITY } else { threshold }
}

/// Drops candidates that cannot be among the `k` nearest.
fn prune(candidates: &mut Vec<Candidate>, k: usize, error: f32) {
    if k < candidates.len() {
        let (_, kth, _) = candidates.select_nth_unstable_by(k - 1, |a, b| a.value.total_cmp(&b.value));
        let threshold = not_below(kth.value, error);
        candidates.retain(|candidate| candidate.value <= threshold);
    }
}

/// The `k` nearest of all blocks' candidates, by distances computed from the differences: what the proposals of any
/// search come to, as long as no row that may be among the `k` nearest is missing.
pub fn choose<'a>(
    query: &[f32],
    bank: &Matrix,
    allowed: Option<&[u32]>,
    proposals: impl Iterator<Item = &'a Proposal>,
    k: usize,
) -> Vec<Neighbour> {
    let mut candidates = Vec::new();
    let mut error = 0.0f32;
    for proposal in proposals {
        candidates.extend_from_slice(&proposal.candidates);
        error = error.max(proposal.error);
    }
    prune(&mut candidates, k, error);
    let mut exact: Vec<(f64, u32)> = candidates
        .iter()
        .map(|candidate| {
            let row = allowed.map_or(candidate.row, |allowed| allowed[candidate.row as usize]);
            (squared_distance(query, bank.row(row as usize)), row)
        })
        .collect();
    exact.sort_unstable_by(|a, b| by_distance_then_row(*a, *b));
    exact.truncate(k);
    exact.iter().map(|(d, row)| Neighbour { row: *row, squared_distance: *d as f32 }).collect()
}

fn by_distance_then_row(a: (f64, u32), b: (f64, u32)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Squared Euclidean distance, in `f64` and eight fixed lanes; NaN, which then sorts last, is always positive.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    for (x, y) in a.chunks(8).zip(b.chunks(8)) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            let difference = f64::from(*x) - f64::from(*y);
            *lane += difference * difference;
        }
    }
    let sum: f64 = lanes.iter().sum();
    if sum.is_nan() { f64::NAN } else { sum }
}

#[cfg(test)]
mod tests;
