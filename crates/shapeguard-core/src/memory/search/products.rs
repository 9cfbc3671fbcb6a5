//! The loop that most of a search's time goes into: products of queries and rows, of which it keeps what is small enough. Vectorised by
//! `pulp` for what the processor has.
//!
//! Queries lie side by side in the registers; a few rows of the bank at a time are copied to where they are read for all queries. Nothing but
//! what is kept is written: a matrix of all products and the passes over it would take as long as making them.

use pulp::{Arch, Simd, WithSimd};

/// Queries that lie side by side, coordinate by coordinate: one or more registers, and a cache line.
const LANES: usize = 16;
/// Rows that are compared at a time: with two registers of sums each they leave registers for what is loaded.
const ROWS: usize = 6;
/// Rows that all queries see before the next: together with [`LANES`] queries they fit into the first-level cache.
const CHUNK: usize = 4 * ROWS;
/// Values between rows, so that those of one coordinate do not lie in the same bank of the first-level cache (measured on Zen 3: a
/// quarter less time for 128 values).
const PADDING: usize = 2;

/// A row that may be among the nearest of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Hit {
    pub(super) query: u32,
    /// Row of the block.
    pub(super) row: u32,
    /// `|b|^2 / 2 - <q, b>`; infinite if it is no number.
    pub(super) value: f32,
}

/// Queries in the order in which they are compared.
pub(super) struct Queries {
    /// `[count / LANES, width, LANES]`, padded with 0.
    values: Vec<[f32; LANES]>,
    width: usize,
    count: usize,
}

impl Queries {
    pub(super) fn new(queries: &[f32], width: usize) -> Self {
        let count = queries.len() / width;
        let mut values = vec![[0.0; LANES]; packs(count) * width];
        for (query, features) in queries.chunks_exact(width).enumerate() {
            let some = &mut values[query / LANES * width..][..width];
            some.iter_mut().zip(features).for_each(|(some, feature)| some[query % LANES] = *feature);
        }
        Self { values, width, count }
    }

    /// Adds the rows of a block whose value does not exceed the query's threshold; where that is infinite, all rows.
    ///
    /// # Shapes
    /// - `rows`: `[n, width]`, `half_norms`: half of each one's squared norm, `thresholds`: one for each query
    pub(super) fn seek(&self, rows: &[f32], half_norms: &[f32], thresholds: &[f32], hits: &mut Vec<Hit>) {
        // What is only there to fill the registers is below no value.
        let mut limits = vec![[f32::NEG_INFINITY; LANES]; packs(self.count)];
        limits.as_flattened_mut()[..self.count].copy_from_slice(thresholds);
        Arch::new().dispatch(Seek { queries: self, rows, half_norms, limits: &limits, hits });
    }
}

/// How many [`LANES`] some queries take: an even number of them, so that there are always two registers to fill.
fn packs(queries: usize) -> usize {
    queries.div_ceil(2 * LANES) * 2
}

struct Seek<'a> {
    queries: &'a Queries,
    rows: &'a [f32],
    half_norms: &'a [f32],
    limits: &'a [[f32; LANES]],
    hits: &'a mut Vec<Hit>,
}

impl WithSimd for Seek<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { queries, rows, half_norms, limits, hits } = self;
        let width = queries.width;
        let stride = width + PADDING;
        let mut padded = vec![0.0; CHUNK * stride];
        let registers = limits.len() * LANES / S::F32_LANES;
        for (first_row, half_norms) in (0..).step_by(CHUNK).zip(half_norms.chunks(CHUNK)) {
            let rows = rows[first_row * width..].chunks_exact(width);
            padded.chunks_exact_mut(stride).zip(rows).for_each(|(padded, row)| padded[..width].copy_from_slice(row));
            for pair in (0..registers).step_by(2) {
                let first_lanes = [pair * S::F32_LANES, (pair + 1) * S::F32_LANES];
                let values = first_lanes.map(|lane| &queries.values[lane / LANES * width..][..width]);
                let limits = Limits::new(&limits.as_flattened()[first_lanes[0]..][..2 * S::F32_LANES]);
                for (first, half_norms) in (0..).step_by(ROWS).zip(half_norms.chunks(ROWS)) {
                    let row = |i: usize| &padded[(first + i) * stride..][..width];
                    let sums = products(simd, std::array::from_fn(row), values, first_lanes[0]);
                    compare(simd, &sums, half_norms, &limits, first_row + first, first_lanes[0], hits);
                }
            }
        }
    }
}

/// What values of two registers of queries may not exceed.
struct Limits<'a> {
    values: &'a [f32],
    /// One is infinite: then what is no number is wanted, too, and no comparison finds it.
    are_open: bool,
}

impl<'a> Limits<'a> {
    fn new(values: &'a [f32]) -> Self {
        Self { values, are_open: values.contains(&f32::INFINITY) }
    }
}

/// Products of [`ROWS`] rows with two registers of queries.
// Twelve sums by name: as an array they would be kept in memory, at a quarter of the speed.
#[inline(always)]
fn products<S: Simd>(
    simd: S,
    rows: [&[f32]; ROWS],
    [x, y]: [&[[f32; LANES]]; 2],
    first_lane: usize,
) -> [[S::f32s; 2]; ROWS] {
    let [r0, r1, r2, r3, r4, r5] = rows;
    let zero = simd.splat_f32s(0.0);
    let (mut a0, mut a1, mut b0, mut b1, mut c0, mut c1) = (zero, zero, zero, zero, zero, zero);
    let (mut d0, mut d1, mut e0, mut e1, mut f0, mut f1) = (zero, zero, zero, zero, zero, zero);
    let rows = r0.iter().zip(r1).zip(r2).zip(r3).zip(r4).zip(r5);
    let first = first_lane % LANES / S::F32_LANES;
    let second = (first + 1) % (LANES / S::F32_LANES);
    for ((x, y), (((((r0, r1), r2), r3), r4), r5)) in x.iter().zip(y).zip(rows) {
        let (x, y) = (S::as_simd_f32s(x).0[first], S::as_simd_f32s(y).0[second]);
        macro_rules! add {
            ($row:ident to $a:ident, $b:ident) => {
                let row = simd.splat_f32s(*$row);
                $a = simd.mul_add_e_f32s(row, x, $a);
                $b = simd.mul_add_e_f32s(row, y, $b);
            };
        }
        add!(r0 to a0, a1);
        add!(r1 to b0, b1);
        add!(r2 to c0, c1);
        add!(r3 to d0, d1);
        add!(r4 to e0, e1);
        add!(r5 to f0, f1);
    }
    [[a0, a1], [b0, b1], [c0, c1], [d0, d1], [e0, e1], [f0, f1]]
}

/// Keeps what does not exceed the queries' limits.
#[inline(always)]
fn compare<S: Simd>(
    simd: S,
    products: &[[S::f32s; 2]; ROWS],
    half_norms: &[f32],
    limits: &Limits,
    first_row: usize,
    first_query: usize,
    hits: &mut Vec<Hit>,
) {
    let (limit, _) = S::as_simd_f32s(limits.values);
    for (row, (products, half_norm)) in (first_row..).zip(products.iter().zip(half_norms)) {
        let half_norm = simd.splat_f32s(*half_norm);
        for (register, product) in products.iter().enumerate() {
            let value = simd.sub_f32s(half_norm, *product);
            let is_hit = simd.less_than_or_equal_f32s(value, limit[register]);
            if !limits.are_open && simd.first_true_m32s(is_hit) == S::F32_LANES {
                continue;
            }
            let first = register * S::F32_LANES;
            let mut values = [0.0; LANES];
            S::as_mut_simd_f32s(&mut values).0[0] = value;
            // Without a branch for each: which lane it is cannot be predicted.
            let (mut found, mut count) = ([Hit::default(); LANES], 0);
            for (lane, (value, limit)) in values.iter().zip(&limits.values[first..][..S::F32_LANES]).enumerate() {
                // What is no number is as far away as can be, and shows as such in the exact distance.
                let value = value.min(f32::INFINITY);
                found[count] = Hit { query: (first_query + first + lane) as u32, row: row as u32, value };
                count += usize::from(value <= *limit);
            }
            hits.extend_from_slice(&found[..count]);
        }
    }
}
