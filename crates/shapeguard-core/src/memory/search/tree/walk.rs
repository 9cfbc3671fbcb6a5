//! The way of a query through a tree. Vectorised by `pulp` for what the processor has.

use pulp::{Simd, WithSimd};

use super::leaves::{LEAF, Leaves, Node};
use crate::matrix::Matrix;
use crate::memory::search::subspace::PROJECTED_DIM;
use crate::memory::search::{Neighbours, as_neighbours, by_distance_then_row, squared_distance};

/// Dimensions after which it is looked whether any row of a leaf is still in question; mostly none is after the first ones, and what is not
/// read need not come from memory (measured on banks of 24 and 300 simulated pears: 8 are slower).
const DIMENSIONS_AT_A_TIME: usize = 4;

/// A query, and where it looks for its `k` nearest.
pub(super) struct Walk<'a> {
    pub(super) leaves: &'a Leaves,
    /// Which rows, in the order of the tree, may be found; `None` if all may.
    pub(super) is_allowed: Option<&'a [bool]>,
    pub(super) bank: &'a Matrix,
    pub(super) query: &'a [f32],
    /// The query in the subspace.
    pub(super) z: &'a [f32; PROJECTED_DIM],
    pub(super) k: usize,
    /// How much rounding may add to a distance in the subspace.
    pub(super) rounding: f64,
    /// How many distances may be computed before the query is given up.
    pub(super) most_looks: usize,
}

impl WithSimd for Walk<'_> {
    /// `None` if it is given up.
    type Output = Option<Neighbours>;

    /// Depth first, the nearer half first.
    // No closures around what is vectorised: they would be compiled without the processor's features.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let mut nearest = Nearest::new(self.k, self.rounding);
        let mut ahead: Vec<(f32, Node)> = vec![(0.0, self.leaves.root())];
        let mut sums = [0.0; LEAF];
        let mut waiting: Vec<(f32, u32)> = Vec::with_capacity(LEAF);
        let mut looks = 0;
        while let Some((bound, node)) = ahead.pop() {
            if bound > nearest.limit {
                continue;
            }
            if let Some([left, right]) = node.halves() {
                let left = (self.leaves.bounding_box(left).squared_distance(simd, self.z), left);
                let right = (self.leaves.bounding_box(right).squared_distance(simd, self.z), right);
                let (farther, nearer) = if left.0 > right.0 { (left, right) } else { (right, left) };
                ahead.push(farther);
                ahead.push(nearer);
                continue;
            }
            let (first, leaf) = self.leaves.leaf(node);
            if !squared_distances(simd, leaf, self.z, nearest.limit, &mut sums) {
                continue;
            }
            waiting.clear();
            for (at, (row, sum)) in (first..).zip(self.leaves.rows()[first..].iter().zip(&sums)) {
                if *sum <= nearest.limit && self.is_allowed.is_none_or(|is_allowed| is_allowed[at]) {
                    waiting.push((*sum, *row));
                }
            }
            // The likely ones first: they rule out others.
            waiting.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            for (sum, row) in &waiting {
                if *sum > nearest.limit {
                    break;
                }
                nearest.add(squared_distance(self.query, self.bank.row(*row as usize)), *row);
                looks += 1;
            }
            if looks > self.most_looks {
                return None;
            }
        }
        Some(as_neighbours(&nearest.found))
    }
}

/// The `k` nearest of the rows whose distances are known.
struct Nearest {
    k: usize,
    rounding: f64,
    /// Squared distances and rows, nearest first, ties by the row.
    found: Vec<(f64, u32)>,
    /// Above this, a squared distance in the subspace is not that of a row that is among the nearest.
    limit: f32,
}

impl Nearest {
    fn new(k: usize, rounding: f64) -> Self {
        Self { k, rounding, found: Vec::with_capacity(k + 1), limit: f32::INFINITY }
    }

    #[inline(always)]
    fn add(&mut self, squared_distance: f64, row: u32) {
        let new = (squared_distance, row);
        let place = self.found.partition_point(|old| by_distance_then_row(*old, new).is_lt());
        if place == self.k {
            return;
        }
        self.found.insert(place, new);
        self.found.truncate(self.k);
        if self.found.len() == self.k {
            let reach = self.found[self.k - 1].0.sqrt() + self.rounding;
            // Sums of that many squares in single precision are off by fewer roundings than that, with that of the limit itself; each is half
            // of an epsilon.
            let roundings = 1.0 + 2.0 * PROJECTED_DIM as f64 * f64::from(f32::EPSILON);
            self.limit = (reach * reach * roundings) as f32;
        }
    }
}

/// Squared distances of a leaf's rows from a point; `false`, and none of them, if all are found to be above the limit.
#[inline(always)]
fn squared_distances<S: Simd>(
    simd: S,
    leaf: &[[f32; LEAF]; PROJECTED_DIM],
    z: &[f32; PROJECTED_DIM],
    limit: f32,
    sums: &mut [f32; LEAF],
) -> bool {
    *sums = [0.0; LEAF];
    let (sums, _) = S::as_mut_simd_f32s(sums);
    let limit = simd.splat_f32s(limit);
    for (leaf, z) in leaf.chunks(DIMENSIONS_AT_A_TIME).zip(z.chunks(DIMENSIONS_AT_A_TIME)) {
        let mut least = simd.splat_f32s(f32::INFINITY);
        // Four sums by name: as an array they would be kept in memory.
        for (four, sums) in sums.chunks_exact_mut(4).enumerate() {
            let (mut a, mut b, mut c, mut d) = (sums[0], sums[1], sums[2], sums[3]);
            for (values, z) in leaf.iter().zip(z) {
                let z = simd.splat_f32s(*z);
                let values = &S::as_simd_f32s(values).0[4 * four..][..4];
                macro_rules! add {
                    ($at:literal to $sum:ident) => {
                        let difference = simd.sub_f32s(values[$at], z);
                        $sum = simd.mul_add_e_f32s(difference, difference, $sum);
                    };
                }
                add!(0 to a);
                add!(1 to b);
                add!(2 to c);
                add!(3 to d);
            }
            sums.copy_from_slice(&[a, b, c, d]);
            least = simd.min_f32s(least, simd.min_f32s(simd.min_f32s(a, b), simd.min_f32s(c, d)));
        }
        if simd.first_true_m32s(simd.less_than_or_equal_f32s(least, limit)) == S::F32_LANES {
            return false;
        }
    }
    true
}
