//! The nearest points of a centre (docs/method.md, "Patches"): of those in the buckets within a radius that holds enough of them. Exact; ties go to
//! the smaller index.

use super::buckets::PointBuckets;

/// By how much the squared radius exceeds that of the centre before, roughly: a little too far costs less than to look again.
const MARGIN: f32 = 1.3;
/// By how much the squared radius grows where it held too few points.
const GROWTH: f32 = 2.0;

/// Buffers reused from centre to centre, and what the last one had for a radius.
#[derive(Default)]
pub struct Scratch {
    squared_radius: Option<f32>,
    keys: Vec<u64>,
}

/// The `k` points nearest to `centre`, nearest first; the centre itself is the first, even if others coincide with it.
///
/// # Panics
/// If there are fewer than `k` points: a bug of the caller.
pub fn nearest(buckets: &PointBuckets, centre: u32, k: usize, scratch: &mut Scratch) -> Vec<u32> {
    assert!((1..=buckets.len()).contains(&k), "{k} neighbours of {} points", buckets.len());
    let Scratch { squared_radius, keys } = scratch;
    // Coinciding points have none, and it must be able to grow.
    let guess = squared_radius.unwrap_or_else(|| buckets.squared_radius_of(k)).max(f32::MIN_POSITIVE);
    let mut within = MARGIN * guess;
    collect_keys_within(buckets, centre, within, keys);
    while keys.len() < k {
        assert!(within < f32::INFINITY, "finite points have distances");
        within *= GROWTH;
        collect_keys_within(buckets, centre, within, keys);
    }
    if keys.len() > k {
        keys.select_nth_unstable(k - 1);
        keys.truncate(k);
    }
    keys.sort_unstable();
    *squared_radius = Some(squared_distance_of(keys[k - 1]));
    keys.iter().map(|key| *key as u32).collect()
}

/// Collects the keys of the points within a squared radius. Keys sort by distance, then by index: the bits of floats that are not negative sort
/// like the floats. The centre has rank 0, all others at least 1.
fn collect_keys_within(buckets: &PointBuckets, centre: u32, squared_radius: f32, keys: &mut Vec<u64>) {
    keys.clear();
    let near =
        buckets.squared_distances_of_buckets(centre).enumerate().filter(|(_, nearest)| *nearest <= squared_radius);
    for (bucket, _) in near {
        let places = buckets.places_of(bucket);
        let points = buckets.points_at(places.clone()).iter().zip(buckets.squared_distances(places, centre));
        keys.extend(points.filter(|(_, squared)| *squared <= squared_radius).map(|(point, squared)| {
            let rank = if *point == centre { 0 } else { u64::from(squared.to_bits()) + 1 };
            rank << 32 | u64::from(*point)
        }));
    }
}

fn squared_distance_of(key: u64) -> f32 {
    f32::from_bits((key >> 32).saturating_sub(1) as u32)
}
