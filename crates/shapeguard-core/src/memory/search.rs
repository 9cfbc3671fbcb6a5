//! Exact nearest neighbours.
//!
//! Of a large bank that is searched often, a tree leaves out most rows (`tree`). For other banks, and for queries for which it leaves out too
//! little, every row is compared, by blocked matrix products.
//!
//! `|q - b|^2 = |q|^2 - 2 <q, b> + |b|^2` is fast but loses digits where features are long and close together. So it
//! only proposes: every row that may be among the `k` nearest, given a bound on its rounding error, has its
//! distance computed again from the differences, in `f64`, and these decide. The result therefore depends neither
//! on the block sizes nor on the number of threads (test: `near_duplicates_of_long_features_are_ranked_exactly`).
//!
//! A sample of the bank says for each query above which value no row can be among the `k` nearest; the loop that makes the values
//! (`products`) keeps those alone that are not above it, and what it has kept lowers the limit for the rows that follow.

mod products;
mod subspace;
mod tree;

pub(super) use tree::Tree;

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::ops::RangeInclusive;

use rayon::prelude::*;

use super::bank::FeatureBank;
use crate::matrix::{Matrix, dot};
use crate::seams::{BankSearch, Neighbour};

/// Bank rows after which candidates are thinned out; 128 values of each take half of a core's second-level cache.
const BANK_BLOCK: usize = 512;
/// The sample has one of so many rows, so that it costs little beside the bank, within the bounds below: fewer leave more candidates.
const SAMPLED_ONE_OF: usize = 64;
/// Rows of the sample, at least and at most (measured: of 7,000 rows, 256 are better than 512).
const SAMPLE_ROWS: RangeInclusive<usize> = 256..=2048;
/// Most bank rows of one task, and how many tasks there are at least for large banks: fixed, so that the number of threads changes nothing.
const TASK_ROWS: usize = 32 * BANK_BLOCK;
/// See [`TASK_ROWS`].
const TASKS: usize = 8;
/// Rows of the sample of one task, so that the smallest sample makes four.
const SAMPLE_BLOCK: usize = 64;
/// Queries whose candidates are held at a time; bounds memory (about 40 MB for a bank of 200,000 rows and k = 10).
const QUERIES_IN_FLIGHT: usize = 1024;
/// Candidates are thinned out once there are so many times `k`: seldom enough that it costs little.
const MANY: usize = 4;

/// What is nearest to a query, nearest first.
type Neighbours = Vec<Neighbour>;

/// Exact search, by a tree where that helps, else by blocked matrix products.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExactSearch;

impl BankSearch for ExactSearch {
    /// # Panics
    /// If bank and queries have rows of different length, or `allowed` names a row that the bank does not have: bugs
    /// of the caller.
    fn nearest(&self, bank: &FeatureBank, allowed: Option<&[u32]>, queries: &Matrix, k: usize) -> Vec<Neighbours> {
        let n = allowed.map_or(bank.rows(), <[u32]>::len);
        if n == 0 || k == 0 || bank.cols() == 0 {
            return vec![Vec::new(); queries.rows()];
        }
        assert_eq!(bank.cols(), queries.cols(), "queries must be as long as the bank's features");
        let tree = if Tree::may_help(n, k) { bank.tree_for(queries.rows()) } else { None };
        let mut found = match tree {
            Some(tree) => tree.nearest(bank, allowed, queries, k),
            None => vec![None; queries.rows()],
        };
        let left: Vec<usize> = (0..found.len()).filter(|query| found[*query].is_none()).collect();
        for some in left.chunks(QUERIES_IN_FLIGHT) {
            let neighbours = nearest_of_all_rows(bank, allowed, &queries.select_rows(some.iter().copied()), k);
            some.iter().zip(neighbours).for_each(|(query, neighbours)| found[*query] = Some(neighbours));
        }
        found.into_iter().flatten().collect()
    }
}

/// The nearest allowed rows of some queries, by comparing each of them with every row.
fn nearest_of_all_rows(bank: &Matrix, allowed: Option<&[u32]>, queries: &Matrix, k: usize) -> Vec<Neighbours> {
    let n = allowed.map_or(bank.rows(), <[u32]>::len);
    let row_of = |index: usize| allowed.map_or(index as u32, |allowed| allowed[index]);
    let sample_rows = (n / SAMPLED_ONE_OF).clamp(*SAMPLE_ROWS.start(), *SAMPLE_ROWS.end());
    let sample: Vec<u32> = (0..n).step_by(n.div_ceil(sample_rows)).map(row_of).collect();
    let sample: Vec<BankBlock> =
        sample.chunks(SAMPLE_BLOCK).map(|rows| BankBlock::new(bank, Some(rows), 0, rows.len())).collect();
    let task_rows = n.div_ceil(TASKS).next_multiple_of(BANK_BLOCK).min(TASK_ROWS);
    let tasks: Vec<usize> = (0..n).step_by(task_rows).collect();
    let blocks_from = |start: usize| {
        let end = (start + task_rows).min(n);
        let starts = (start..end).step_by(BANK_BLOCK);
        starts.map(move |start| BankBlock::new(bank, allowed, start, (start + BANK_BLOCK).min(end)))
    };
    let seeker = Seeker::new(queries.as_slice(), bank.cols(), k, &sample);
    let proposals: Vec<Vec<Proposal>> = tasks.par_iter().map(|start| seeker.seek(blocks_from(*start))).collect();
    let of_query = |query: usize| {
        let proposed = proposals.iter().map(|block| &block[query]);
        choose(queries.row(query), bank, allowed, proposed, k)
    };
    (0..queries.rows()).into_par_iter().map(of_query).collect()
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
/// norms themselves add less than what `width + 4` and the whole of `eps` (twice the unit roundoff) leave. Products that are too small to be
/// normal numbers may each be lost.
pub fn product_error(width: usize, query_norm: f32, largest_norm: f32) -> f32 {
    let relative = f32::EPSILON * largest_norm * (query_norm + largest_norm);
    let bound = (width + 4) as f32 * (relative + f32::MIN_POSITIVE);
    if bound.is_nan() { f32::INFINITY } else { bound }
}

/// Consecutive rows of the search, side by side in memory.
struct BankBlock<'a> {
    first: usize,
    rows: Cow<'a, [f32]>,
    half_norms: Vec<f32>,
    largest_norm: f32,
}

impl<'a> BankBlock<'a> {
    fn new(bank: &'a Matrix, allowed: Option<&[u32]>, first: usize, end: usize) -> Self {
        let width = bank.cols();
        let in_place = |start: usize| &bank.as_slice()[start * width..(start + end - first) * width];
        let rows = match allowed {
            None => Cow::Borrowed(in_place(first)),
            Some(allowed) => {
                let wanted = &allowed[first..end];
                debug_assert!(wanted.windows(2).all(|pair| pair[0] < pair[1]), "allowed rows must be ascending");
                let start = wanted[0] as usize;
                if wanted[wanted.len() - 1] as usize - start + 1 == wanted.len() {
                    Cow::Borrowed(in_place(start))
                } else {
                    let mut gathered = Vec::with_capacity(wanted.len() * width);
                    for row in wanted {
                        gathered.extend_from_slice(bank.row(*row as usize));
                    }
                    Cow::Owned(gathered)
                }
            }
        };
        let half_norms: Vec<f32> =
            pulp::Arch::new().dispatch(|| rows.chunks_exact(width).map(|row| 0.5 * dot(row, row)).collect());
        let largest_norm = half_norms.iter().fold(0.0f32, |a, b| a.max(2.0 * b)).sqrt();
        Self { first, rows, half_norms, largest_norm }
    }
}

/// The value above which a row cannot be among the nearest, if the last of these has `value` give or take `error`.
fn not_below(value: f32, error: f32) -> f32 {
    let threshold = value + 2.0 * error;
    if threshold.is_nan() { f32::INFINITY } else { threshold }
}

/// Drops candidates that cannot be among the `k` nearest, and tells the `k`-th smallest value; infinite where there are fewer.
fn prune(candidates: &mut Vec<Candidate>, k: usize, error: f32) -> f32 {
    if candidates.len() < k {
        return f32::INFINITY;
    }
    let kth = candidates.select_nth_unstable_by(k - 1, |a, b| a.value.total_cmp(&b.value)).1.value;
    let threshold = not_below(kth, error);
    candidates.retain(|candidate| candidate.value <= threshold);
    kth
}

/// Queries that look for rows which may be among their `k` nearest.
struct Seeker {
    queries: products::Queries,
    /// `|q|` of each.
    norms: Vec<f32>,
    /// The `k`-th smallest value of each in a sample of the bank, and what it may be off by.
    sampled: Vec<(f32, f32)>,
    width: usize,
    k: usize,
}

impl Seeker {
    /// Queries that lie side by side in memory, `[n, width]`, and a sample of the bank.
    fn new(queries: &[f32], width: usize, k: usize, sample: &[BankBlock]) -> Self {
        let norms: Vec<f32> = queries.chunks_exact(width).map(|query| dot(query, query).sqrt()).collect();
        let sampled = vec![(f32::INFINITY, 0.0); norms.len()];
        let mut seeker = Self { queries: products::Queries::new(queries, width), norms, sampled, width, k };
        let proposals: Vec<Vec<Proposal>> =
            sample.par_iter().map(|block| seeker.seek(std::iter::once(block))).collect();
        let of_sample = |query: usize| {
            let mut merged = merge(proposals.iter().map(|proposals| &proposals[query]));
            (prune(&mut merged.candidates, k, merged.error), merged.error)
        };
        seeker.sampled = (0..seeker.norms.len()).map(of_sample).collect();
        seeker
    }

    /// What blocks of the bank propose for each query.
    fn seek<'a>(&self, blocks: impl Iterator<Item = impl Borrow<BankBlock<'a>>>) -> Vec<Proposal> {
        let none = |error| Proposal { candidates: Vec::with_capacity((2 * MANY * self.k).min(BANK_BLOCK)), error };
        let mut found: Vec<Proposal> = self.sampled.iter().map(|(_, error)| none(*error)).collect();
        let mut kth: Vec<f32> = self.sampled.iter().map(|(kth, _)| *kth).collect();
        let mut thresholds = vec![0.0; kth.len()];
        let mut largest_norm = 0.0f32;
        let mut hits = Vec::new();
        for block in blocks {
            let block: &BankBlock = block.borrow();
            largest_norm = largest_norm.max(block.largest_norm);
            for (query, found) in found.iter_mut().enumerate() {
                found.error = found.error.max(product_error(self.width, self.norms[query], largest_norm));
                if found.candidates.len() > MANY * self.k {
                    kth[query] = kth[query].min(prune(&mut found.candidates, self.k, found.error));
                }
                thresholds[query] = not_below(kth[query], found.error);
            }
            self.queries.seek(&block.rows, &block.half_norms, &thresholds, &mut hits);
            for hit in hits.drain(..) {
                let candidate = Candidate { row: block.first as u32 + hit.row, value: hit.value };
                found[hit.query as usize].candidates.push(candidate);
            }
        }
        found
    }
}

/// All proposals for a query as one.
fn merge<'a>(proposals: impl Iterator<Item = &'a Proposal>) -> Proposal {
    let mut merged = Proposal { candidates: Vec::new(), error: 0.0 };
    for proposal in proposals {
        merged.candidates.extend_from_slice(&proposal.candidates);
        merged.error = merged.error.max(proposal.error);
    }
    merged
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
    let mut merged = merge(proposals);
    prune(&mut merged.candidates, k, merged.error);
    let mut exact: Vec<(f64, u32)> = merged
        .candidates
        .iter()
        .map(|candidate| {
            let row = allowed.map_or(candidate.row, |allowed| allowed[candidate.row as usize]);
            (squared_distance(query, bank.row(row as usize)), row)
        })
        .collect();
    exact.sort_unstable_by(|a, b| by_distance_then_row(*a, *b));
    exact.truncate(k);
    as_neighbours(&exact)
}

fn as_neighbours(nearest: &[(f64, u32)]) -> Neighbours {
    nearest.iter().map(|(d, row)| Neighbour { row: *row, squared_distance: *d as f32 }).collect()
}

fn by_distance_then_row(a: (f64, u32), b: (f64, u32)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Squared Euclidean distance, in `f64` and eight fixed lanes; NaN, which then sorts last, is always positive.
#[inline(always)]
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let (eights_a, rest_a) = a.as_chunks::<8>();
    let (eights_b, rest_b) = b.as_chunks::<8>();
    let mut lanes = [0.0f64; 8];
    let squared = |x: f32, y: f32| {
        let difference = f64::from(x) - f64::from(y);
        difference * difference
    };
    for (a, b) in eights_a.iter().zip(eights_b) {
        (0..8).for_each(|lane| lanes[lane] += squared(a[lane], b[lane]));
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(rest_a.iter().zip(rest_b)) {
        *lane += squared(*x, *y);
    }
    let sum: f64 = lanes.iter().sum();
    if sum.is_nan() { f64::NAN } else { sum }
}

#[cfg(test)]
mod tests;
