//! Exact nearest neighbours in a large bank, most of whose rows lower bounds of the distance rule out.
//!
//! A k-d tree (Friedman, Bentley and Finkel 1977) of the features in a subspace of a few dimensions ([`Subspace`]), where no distance is
//! longer than that of the features themselves. What is farther away there than the `k`-th nearest so far, a node's bounding box or a single
//! row, is left out; the distances of the others are computed, and these decide. A row is left out only by more than all rounding, so the
//! result is that of comparing every row (test: `what_is_left_out_is_never_missed`). A query for which too little is left out is given up,
//! since comparing every row is faster then (test: `what_cannot_be_left_out_is_given_up`).

mod leaves;
mod walk;

use std::borrow::Cow;

use pulp::Arch;
use rayon::prelude::*;

use super::Neighbours;
use super::subspace::{PROJECTED_DIM, Subspace, rounding};
use crate::matrix::{Matrix, dot};
use leaves::{LEAF, Leaves};
use walk::Walk;

/// Rows from which on a tree pays: some leaves of them.
const LEAST_ROWS: usize = 8 * LEAF;
/// Values of a feature from which on it pays: what is compared instead must be clearly shorter.
const LEAST_WIDTH: usize = 3 * PROJECTED_DIM / 2;
/// Rows of a node by which it is decided along which dimension it is halved: enough to tell wide from narrow ones.
const HALVING_SAMPLE: usize = 128;
/// A query is given up once more than one of so many rows had its distance computed. Comparing every row for the few that are left takes
/// about as long as for a whole register of them (measured on a bank of 24 simulated pears: with one of 32, two of 307 queries are given up, and
/// these take a third of the time).
const LOOKED_AT_ONE_OF: usize = 8;
/// Queries that are tried first, spread over all; if most of them are given up, so are the others. Few, since those that are given up cost twice.
const TRIAL_QUERIES: usize = 16;

/// A bank's features in a subspace, in the order of a k-d tree.
#[derive(Debug)]
pub(in crate::memory) struct Tree {
    subspace: Subspace,
    /// The largest `|z|`.
    largest_norm: f64,
    leaves: Leaves,
}

impl Tree {
    /// Of a bank; `None` if it is not large and wide enough for that to help, or holds what is no number or too large.
    ///
    /// On one thread, since it runs while other threads wait for it: parallel work of its own could be theirs, and wait for itself.
    pub(in crate::memory) fn new(bank: &Matrix) -> Option<Self> {
        if bank.rows() < LEAST_ROWS || bank.cols() < LEAST_WIDTH {
            return None;
        }
        let subspace = Subspace::of(bank);
        let z = subspace.project(bank);
        let squared_norms = (0..z.rows()).map(|row| dot(z.row(row), z.row(row)));
        let largest = squared_norms.reduce(|a, b| if b > a || b.is_nan() { b } else { a })?;
        if !largest.is_finite() {
            return None;
        }
        let mut rows: Vec<u32> = (0..bank.rows() as u32).collect();
        sort(&z, &mut rows, &mut Vec::new());
        let of_row = |row: &u32| z.row(*row as usize).try_into().expect("z has that many values");
        let leaves = Leaves::new(rows.clone(), rows.iter().map(of_row));
        Some(Self { subspace, largest_norm: f64::from(largest).sqrt(), leaves })
    }

    /// Whether a tree may help to find the `k` nearest of so many rows: a query must not be given up for the neighbours themselves.
    pub(super) fn may_help(rows: usize, k: usize) -> bool {
        rows / LOOKED_AT_ONE_OF / 2 >= k
    }

    /// The nearest allowed rows of each query; `None` where it is given up.
    pub(super) fn nearest(
        &self,
        bank: &Matrix,
        allowed: Option<&[u32]>,
        queries: &Matrix,
        k: usize,
    ) -> Vec<Option<Neighbours>> {
        let most_looks = allowed.map_or(bank.rows(), <[u32]>::len) / LOOKED_AT_ONE_OF;
        let (leaves, is_allowed) = self.leaves_of(allowed);
        let z = self.subspace.project(queries);
        let search = |query: usize| {
            let z: &[f32; PROJECTED_DIM] = z.row(query).try_into().expect("z has that many values");
            let norm = f64::from(dot(z, z)).sqrt();
            let rounding = rounding(queries.cols(), norm + self.largest_norm);
            let query = queries.row(query);
            let is_allowed = is_allowed.as_deref();
            let walk = Walk { leaves: &leaves, is_allowed, bank, query, z, k, rounding, most_looks };
            rounding.is_finite().then(|| Arch::new().dispatch(walk)).flatten()
        };
        let mut found = vec![None; queries.rows()];
        let stride = queries.rows().div_ceil(TRIAL_QUERIES).max(1);
        let trial: Vec<Option<Neighbours>> = (0..queries.rows()).into_par_iter().step_by(stride).map(search).collect();
        let given_up = trial.iter().filter(|found| found.is_none()).count();
        if 2 * given_up <= trial.len() {
            let others = found.par_iter_mut().enumerate().filter(|(query, _)| query % stride != 0);
            others.for_each(|(query, found)| *found = search(query));
        }
        found.iter_mut().step_by(stride).zip(trial).for_each(|(found, tried)| *found = tried);
        found
    }

    /// The leaves in which allowed rows are, and which rows of them are allowed, if not all.
    fn leaves_of(&self, allowed: Option<&[u32]>) -> (Cow<'_, Leaves>, Option<Vec<bool>>) {
        let Some(allowed) = allowed else { return (Cow::Borrowed(&self.leaves), None) };
        let mut of_bank = vec![false; self.leaves.rows().len()];
        allowed.iter().for_each(|row| of_bank[*row as usize] = true);
        let is_allowed: Vec<bool> = self.leaves.rows().iter().map(|row| of_bank[*row as usize]).collect();
        // Of few rows, new leaves are smaller than the old ones.
        if 2 * allowed.len() < is_allowed.len() {
            (Cow::Owned(self.leaves.only(&is_allowed)), None)
        } else {
            (Cow::Borrowed(&self.leaves), Some(is_allowed))
        }
    }
}

/// Brings rows into the order of a tree: halved, at a leaf's end, in the dimension in which they differ most, and so are the halves.
fn sort(z: &Matrix, rows: &mut [u32], keys: &mut Vec<(f32, u32)>) {
    let leaves = rows.len().div_ceil(LEAF);
    if leaves < 2 {
        return;
    }
    let widest = widest_dimension(z, rows);
    keys.clear();
    keys.extend(rows.iter().map(|row| (z.row(*row as usize)[widest], *row)));
    let middle = leaves.div_ceil(2) * LEAF;
    keys.select_nth_unstable_by(middle, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    rows.iter_mut().zip(keys.iter()).for_each(|(row, key)| *row = key.1);
    let (left, right) = rows.split_at_mut(middle);
    sort(z, left, keys);
    sort(z, right, keys);
}

/// The dimension in which a sample of some rows has the largest variance.
fn widest_dimension(z: &Matrix, rows: &[u32]) -> usize {
    let sample = rows.iter().step_by(rows.len().div_ceil(HALVING_SAMPLE));
    let (mut sums, mut squares) = ([0.0; PROJECTED_DIM], [0.0; PROJECTED_DIM]);
    for row in sample.clone() {
        for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(z.row(*row as usize)) {
            *sum += f64::from(*value);
            *square += f64::from(*value).powi(2);
        }
    }
    let count = sample.len() as f64;
    let variance = |dimension: &usize| squares[*dimension] - sums[*dimension] * sums[*dimension] / count;
    (0..PROJECTED_DIM).max_by(|a, b| variance(a).total_cmp(&variance(b))).unwrap_or(0)
}

#[cfg(test)]
mod tests;
