//! The nearest points of a centre, by brute force: 7,500 points are too few for a tree to pay (docs/method.md,
//! "Patches"). Exact; ties go to the smaller index.

use super::Coordinates;

/// Every how many points one is looked at to guess a radius that holds the neighbours.
const GUESS_STRIDE: usize = 8;
/// Share of `k` by which the guess aims too far: too near costs a full selection, too far a longer sort.
const GUESS_MARGIN: f64 = 0.3;

/// Squared distance of the centre from itself: below that of points that coincide with it.
const CENTRE: f32 = -1.0;

/// Buffers reused from centre to centre.
#[derive(Default)]
pub struct Scratch {
    squared: Vec<f32>,
    sparse: Vec<f32>,
    keys: Vec<u64>,
}

/// The `k` points nearest to `centre`, nearest first; the centre itself is the first, even if others coincide with it.
///
/// # Panics
/// If there are fewer than `k` points: a bug of the caller.
pub fn nearest(coordinates: &Coordinates, centre: u32, k: usize, scratch: &mut Scratch) -> Vec<u32> {
    let Scratch { squared, sparse, keys } = scratch;
    squared.clear();
    squared.extend(coordinates.squared_distances(centre));
    assert!((1..=squared.len()).contains(&k), "{k} neighbours of {} points", squared.len());
    squared[centre as usize] = CENTRE;

    let radius = guessed_radius(squared, k, sparse);
    keys.clear();
    keys.extend(keys_within(squared, radius));
    if keys.len() < k {
        keys.clear();
        keys.extend(keys_within(squared, f32::INFINITY));
    }
    if keys.len() > k {
        keys.select_nth_unstable(k - 1);
        keys.truncate(k);
    }
    keys.sort_unstable();
    keys.iter().map(|key| *key as u32).collect()
}

/// A squared radius that probably holds a little more than `k` points, from a regular sample of the points.
fn guessed_radius(squared: &[f32], k: usize, sparse: &mut Vec<f32>) -> f32 {
    sparse.clear();
    sparse.extend(squared.iter().step_by(GUESS_STRIDE));
    let rank = (k as f64 * (1.0 + GUESS_MARGIN) / GUESS_STRIDE as f64) as usize;
    if rank >= sparse.len() {
        return f32::INFINITY;
    }
    *sparse.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// Keys that sort by distance, then by index: the bits of floats that are not negative sort like the floats. The centre
/// has rank 0, all others at least 1.
fn keys_within(squared: &[f32], radius: f32) -> impl Iterator<Item = u64> {
    (0u64..).zip(squared).filter(move |(_, d)| **d <= radius).map(|(index, d)| {
        let rank = if *d == CENTRE { 0 } else { u64::from(d.to_bits()) + 1 };
        (rank << 32) | index
    })
}
