//! Points in the order of a k-d tree, and the boxes around its nodes.

use pulp::Simd;

use crate::memory::search::subspace::PROJECTED_DIM;

/// Rows of a leaf: four registers of the widest there are.
pub(super) const LEAF: usize = 64;

/// The rows of a tree and their `z`.
#[derive(Clone, Debug)]
pub(super) struct Leaves {
    /// The rows of the bank, leaf after leaf.
    rows: Vec<u32>,
    /// `z` of the rows, `[leaves, PROJECTED_DIM, LEAF]`.
    values: Vec<[[f32; LEAF]; PROJECTED_DIM]>,
    /// The boxes around the nodes' `z`: each node's before those of its left half, and these before those of its right one.
    boxes: Vec<BoundingBox>,
}

/// Some leaves that belong together.
#[derive(Clone, Copy)]
pub(super) struct Node {
    /// Where its box is.
    index: usize,
    first_leaf: usize,
    leaves: usize,
}

impl Node {
    /// The halves of a node of several leaves; `None` for a leaf.
    pub(super) fn halves(self) -> Option<[Self; 2]> {
        if self.leaves < 2 {
            return None;
        }
        let leaves = self.leaves.div_ceil(2);
        let left = Self { index: self.index + 1, first_leaf: self.first_leaf, leaves };
        let right = Self {
            // A binary tree of n leaves has 2 n - 1 nodes.
            index: left.index + 2 * leaves - 1,
            first_leaf: self.first_leaf + leaves,
            leaves: self.leaves - leaves,
        };
        Some([left, right])
    }
}

impl Leaves {
    /// Of rows in the order of a tree, at least one, given the `z` of each.
    pub(super) fn new(rows: Vec<u32>, z: impl Iterator<Item = [f32; PROJECTED_DIM]>) -> Self {
        let count = rows.len().div_ceil(LEAF);
        let mut values = vec![[[0.0; LEAF]; PROJECTED_DIM]; count];
        for (at, z) in z.enumerate() {
            values[at / LEAF].iter_mut().zip(z).for_each(|(values, z)| values[at % LEAF] = z);
        }
        let mut leaves = Self { rows, values, boxes: Vec::with_capacity(2 * count - 1) };
        leaves.add_boxes(leaves.root());
        leaves
    }

    /// Those rows alone that are allowed, at least one.
    pub(super) fn only(&self, is_allowed: &[bool]) -> Self {
        let from: Vec<usize> = (0..self.rows.len()).filter(|at| is_allowed[*at]).collect();
        let rows = from.iter().map(|at| self.rows[*at]).collect();
        let z = |at: &usize| std::array::from_fn(|dimension| self.values[at / LEAF][dimension][at % LEAF]);
        Self::new(rows, from.iter().map(z))
    }

    /// The rows of the bank, in the order of the tree.
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub(super) fn root(&self) -> Node {
        Node { index: 0, first_leaf: 0, leaves: self.values.len() }
    }

    pub(super) fn bounding_box(&self, node: Node) -> &BoundingBox {
        &self.boxes[node.index]
    }

    /// Where the rows of a leaf begin, and their `z`.
    pub(super) fn leaf(&self, node: Node) -> (usize, &[[f32; LEAF]; PROJECTED_DIM]) {
        (node.first_leaf * LEAF, &self.values[node.first_leaf])
    }

    fn add_boxes(&mut self, node: Node) {
        let own = self.boxes.len();
        debug_assert_eq!(own, node.index);
        self.boxes.push(BoundingBox::EMPTY);
        if let Some(halves) = node.halves() {
            for half in halves {
                self.add_boxes(half);
                let BoundingBox { low, high } = self.boxes[half.index];
                self.boxes[own].include(&low, &high);
            }
        } else {
            let (first, values) = self.leaf(node);
            let count = (self.rows.len() - first).min(LEAF);
            let mut around = BoundingBox::EMPTY;
            for (values, (low, high)) in values.iter().zip(around.low.iter_mut().zip(&mut around.high)) {
                *low = values[..count].iter().copied().fold(*low, f32::min);
                *high = values[..count].iter().copied().fold(*high, f32::max);
            }
            self.boxes[own] = around;
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct BoundingBox {
    low: [f32; PROJECTED_DIM],
    high: [f32; PROJECTED_DIM],
}

impl BoundingBox {
    const EMPTY: Self = Self { low: [f32::INFINITY; PROJECTED_DIM], high: [f32::NEG_INFINITY; PROJECTED_DIM] };

    fn include(&mut self, low: &[f32; PROJECTED_DIM], high: &[f32; PROJECTED_DIM]) {
        self.low.iter_mut().zip(low).for_each(|(all, value)| *all = all.min(*value));
        self.high.iter_mut().zip(high).for_each(|(all, value)| *all = all.max(*value));
    }

    /// Squared distance of a point from the box.
    #[inline(always)]
    pub(super) fn squared_distance<S: Simd>(&self, simd: S, z: &[f32; PROJECTED_DIM]) -> f32 {
        let (low, _) = S::as_simd_f32s(&self.low);
        let (high, _) = S::as_simd_f32s(&self.high);
        let (z, _) = S::as_simd_f32s(z);
        let zero = simd.splat_f32s(0.0);
        let mut sum = zero;
        for ((low, high), z) in low.iter().zip(high).zip(z) {
            let outside = simd.max_f32s(simd.sub_f32s(*low, *z), simd.sub_f32s(*z, *high));
            let outside = simd.max_f32s(outside, zero);
            sum = simd.mul_add_e_f32s(outside, outside, sum);
        }
        simd.reduce_sum_f32s(sum)
    }
}
