use proptest::prelude::*;

use super::*;
use crate::grid::{Grid, GridSize};
use crate::sample::OrganizedCloud;
use crate::seams::IMAGE_SIDE;
use crate::settings::{Preset, Settings};

fn settings(k: usize) -> PatchSettings {
    PatchSettings { points_per_patch: k, ..Settings::preset(Preset::Paper).patches }
}

/// The points on the first pixels of a 224 x 224 sample.
fn sample(points: &[[f32; 3]]) -> Sample {
    let size = GridSize::new(IMAGE_SIDE, IMAGE_SIDE);
    let pixel = |row: usize, col: usize| row * IMAGE_SIDE + col;
    Sample {
        cloud: OrganizedCloud::from_parts(
            Grid::from_fn(size, |r, c| points.get(pixel(r, c)).copied().unwrap_or([0.0; 3])),
            Grid::from_fn(size, |r, c| pixel(r, c) < points.len()),
        ),
        rgb: Grid::filled(size, [0.0; 3]),
        square_side: IMAGE_SIDE,
        source_size: size,
        offset: (0, 0),
    }
}

/// A dome over a disc of about `n` pixels, one unit of 0.5 mm a pixel.
fn dome(n: usize) -> Sample {
    let size = GridSize::new(IMAGE_SIDE, IMAGE_SIDE);
    let radius = (n as f32 / std::f32::consts::PI).sqrt();
    let from_centre = |r: usize, c: usize| (r as f32 - 111.3).hypot(c as f32 - 112.1);
    Sample {
        cloud: OrganizedCloud::from_parts(
            Grid::from_fn(size, |r, c| {
                let height = (1.0 - (from_centre(r, c) / radius).powi(2)).max(0.0).sqrt();
                [0.0005 * c as f32, 0.0005 * r as f32, 0.5 - 0.002 * height]
            }),
            Grid::from_fn(size, |r, c| from_centre(r, c) <= radius),
        ),
        ..sample(&[])
    }
}

fn squared(a: [f32; 3], b: [f32; 3]) -> f32 {
    let d = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
}

/// Farthest point sampling by definition.
fn slow_fps(positions: &[[f32; 3]], start: u32, n: usize) -> Vec<u32> {
    let mut chosen = vec![start];
    while chosen.len() < n {
        let spread = |i: &u32| {
            let to = |c: &u32| squared(positions[*i as usize], positions[*c as usize]);
            chosen.iter().map(to).fold(f32::INFINITY, f32::min)
        };
        let candidates = (0..positions.len() as u32).filter(|i| !chosen.contains(i));
        let next = candidates.reduce(|best, i| if spread(&i) > spread(&best) { i } else { best });
        chosen.push(next.unwrap());
    }
    chosen
}

/// The K nearest by definition: sort all.
fn slow_nearest(positions: &[[f32; 3]], centre: u32, k: usize) -> Vec<u32> {
    let mut all: Vec<u32> = (0..positions.len() as u32).collect();
    let key = |i: u32| (i != centre, squared(positions[i as usize], positions[centre as usize]), i);
    all.sort_by(|a, b| key(*a).partial_cmp(&key(*b)).unwrap());
    all.truncate(k);
    all
}

#[test]
fn a_dome_is_cut_as_the_definition_says() {
    let set = extract_patches(&dome(1500), &settings(100)).unwrap();
    let n = centre_count(set.pixels.len(), &settings(100));
    let centres: Vec<u32> = set.patches.iter().map(|p| p.centre).collect();
    assert_eq!(centres.len(), n + set.added_centres);
    assert_eq!(centres[..n], slow_fps(&set.positions, centres[0], n));
    for patch in &set.patches {
        assert_eq!(patch.members, slow_nearest(&set.positions, patch.centre, 100));
    }
    // The dome is shallow, so the point nearest its centroid is the apex.
    assert_eq!(set.pixels[centres[0] as usize], 111 * 224 + 112);
}

#[test]
fn positions_start_at_zero_and_span_one_along_x() {
    let set = extract_patches(&dome(1500), &settings(100)).unwrap();
    let bounds = |axis: usize| {
        let values = set.positions.iter().map(|p| p[axis]);
        (values.clone().fold(f32::INFINITY, f32::min), values.fold(f32::NEG_INFINITY, f32::max))
    };
    assert_eq!(bounds(0), (0.0, 1.0));
    assert_eq!((bounds(1).0, bounds(2).0), (0.0, 0.0));
    assert!(set.pixels.is_sorted());
}

#[test]
fn the_number_of_centres_rounds_half_to_even() {
    let with = |n, k| centre_count(n, &settings(k));
    // 7,425 * 10 / 500 = 148.5 and 7,475 * 10 / 500 = 149.5.
    assert_eq!([with(7425, 500), with(7475, 500), with(7450, 500)], [148, 150, 149]);
    assert_eq!([with(500, 500), with(20, 20), with(3, 1)], [10, 10, 3]);
    assert_eq!(centre_count(600, &PatchSettings { overlap: 1, ..settings(600) }), 1);
}

#[test]
fn far_points_get_patches_of_their_own() {
    // 2,000 points on a plate and one far away: no nearest 50 of the plate's points hold it, and with few centres
    // the plate itself is not covered either.
    let mut points: Vec<[f32; 3]> =
        (0..2000).map(|i| [0.001 * (i % 50) as f32, 0.001 * (i / 50) as f32, 0.4]).collect();
    points.push([0.5, 0.5, 0.4]);
    let few = PatchSettings { overlap: 1, ..settings(50) };
    let set = extract_patches(&sample(&points), &few).unwrap();
    assert_eq!(set.patches.len(), 40 + set.added_centres);
    assert!(set.added_centres > 0);
    assert_eq!(covered(&set), 2001);
    let uncovered = extract_patches(&sample(&points), &PatchSettings { full_coverage: false, ..few }).unwrap();
    assert_eq!((uncovered.patches.len(), uncovered.added_centres), (40, 0));
    assert!(covered(&uncovered) < 2001);
}

fn covered(set: &PatchSet) -> usize {
    let mut covered = vec![false; set.pixels.len()];
    set.patches.iter().flat_map(|p| &p.members).for_each(|m| covered[*m as usize] = true);
    covered.iter().filter(|c| **c).count()
}

#[test]
fn one_thread_and_many_agree() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| extract_patches(&dome(3000), &settings(200)).unwrap())
    };
    let (one, many) = (run(1), run(4));
    assert_eq!(one.patches, many.patches);
    assert_eq!(one.positions, many.positions);
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let plate: Vec<[f32; 3]> = (0..400).map(|i| [0.001 * (i % 20) as f32, 0.001 * (i / 20) as f32, 0.4]).collect();
    let error = extract_patches(&sample(&plate), &settings(500)).unwrap_err();
    assert_eq!(error, PatchError::TooFewPoints { side: 224, found: 400, needed: 500 });
    assert!(error.to_string().contains("400") && error.to_string().contains("500"), "{error}");
    assert_eq!(
        extract_patches(&sample(&[]), &settings(500)).unwrap_err(),
        PatchError::TooFewPoints { side: 224, found: 0, needed: 500 }
    );
    let upright: Vec<[f32; 3]> = plate.iter().map(|p| [0.1, p[1], p[0] + 0.4]).collect();
    assert_eq!(extract_patches(&sample(&upright), &settings(100)).unwrap_err(), PatchError::NoExtent { points: 400 });
    // So narrow that what it is divided by is beyond all numbers.
    let needle: Vec<[f32; 3]> = plate.iter().map(|p| [p[0] * 1e-40, p[1], 0.4]).collect();
    assert_eq!(extract_patches(&sample(&needle), &settings(100)).unwrap_err(), PatchError::NoExtent { points: 400 });
    let mut piled = vec![[0.1, 0.1, 0.4]; 300];
    piled.extend(&plate);
    assert_eq!(
        extract_patches(&sample(&piled), &settings(100)).unwrap_err(),
        PatchError::NoPatchExtent { points: 100 }
    );
    for broken in [settings(0), PatchSettings { overlap: 0, ..settings(10) }] {
        assert!(matches!(extract_patches(&sample(&plate), &broken), Err(PatchError::Setting { value: 0, .. })));
    }
}

/// Clouds of many buckets, whose points tie across them, or of buckets that are far from square.
#[test]
fn many_points_are_sampled_and_found_as_the_definition_says() {
    let plate = |n: usize| (0..n).map(|i| [(i * 7 % 60) as f32, (i * 11 % 50) as f32, (i % 3) as f32]);
    let lattice: Vec<[f32; 3]> = plate(3000).collect();
    let outlier: Vec<[f32; 3]> = plate(700).chain([[30.0, 1e6, 0.0], [1e-30, 0.0, -1e5]]).collect();
    let upright: Vec<[f32; 3]> = (0..500).map(|i| [0.5, (i % 100) as f32, (i / 7) as f32]).collect();
    let coinciding = vec![[0.25, 0.5, 0.75]; 300];
    let tiny: Vec<[f32; 3]> = plate(640).map(|p| p.map(|value| value * f32::from_bits(1))).collect();
    let huge: Vec<[f32; 3]> = plate(640).map(|p| p.map(|value| (value - 30.0) * 1e37)).collect();
    for positions in
        [lattice, outlier, upright, coinciding, tiny, huge, vec![[1.0; 3]], vec![[0.0; 3], [1e-30, 0.0, 1.0]]]
    {
        let buckets = PointBuckets::new(&positions);
        let n = positions.len();
        let mut farthest = FarthestPoints::start(&buckets, 0);
        let mut chosen = vec![farthest.start_point()];
        chosen.extend((1..n.min(30)).map(|_| farthest.next()));
        assert_eq!(chosen, slow_fps(&positions, 0, n.min(30)));
        // One scratch for all: a radius that is far too small or too large for the next centre.
        let mut scratch = knn::Scratch::default();
        for (centre, k) in [(0, n.min(50)), (n - 1, 1), (n / 2, n), (n / 3, n.min(7)), (n - 1, n.min(50))] {
            let found = knn::nearest(&buckets, centre as u32, k, &mut scratch);
            assert_eq!(found, slow_nearest(&positions, centre as u32, k), "{k} nearest of {n} at {centre}");
        }
    }
    assert!(PointBuckets::new(&[]).is_empty());
}

#[test]
#[should_panic(expected = "points must be finite")]
fn points_that_are_no_numbers_are_a_bug() {
    PointBuckets::new(&[[0.0; 3], [0.0, f32::INFINITY, 0.0]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Coordinates on a coarse lattice, so that duplicates and ties abound.
    #[test]
    fn sampling_is_unique_and_its_spread_never_grows(
        lattice in prop::collection::vec([0u8..6, 0u8..6, 0u8..6], 2..120),
    ) {
        let positions: Vec<[f32; 3]> = lattice.iter().map(|p| p.map(f32::from)).collect();
        let buckets = PointBuckets::new(&positions);
        let mut farthest = FarthestPoints::start(&buckets, 0);
        let mut chosen = vec![0u32];
        let mut spreads = Vec::new();
        for _ in 1..positions.len() {
            let next = farthest.next();
            let to = |c: &u32| squared(positions[next as usize], positions[*c as usize]);
            spreads.push(chosen.iter().map(to).fold(f32::INFINITY, f32::min));
            chosen.push(next);
        }
        prop_assert!(spreads.is_sorted_by(|a, b| a >= b));
        prop_assert_eq!(&chosen, &slow_fps(&positions, 0, positions.len()));
        chosen.sort_unstable();
        chosen.dedup();
        prop_assert_eq!(chosen.len(), positions.len());
    }

    #[test]
    fn neighbours_are_exact_with_ties(
        lattice in prop::collection::vec([0u8..6, 0u8..6, 0u8..6], 1..400),
        k in 1usize..400,
        centre in 0u32..400,
    ) {
        let positions: Vec<[f32; 3]> = lattice.iter().map(|p| p.map(f32::from)).collect();
        let (k, centre) = (k.min(positions.len()), centre % positions.len() as u32);
        let found = knn::nearest(&PointBuckets::new(&positions), centre, k, &mut knn::Scratch::default());
        prop_assert_eq!(found, slow_nearest(&positions, centre, k));
    }

    #[test]
    fn every_point_is_covered(
        lattice in prop::collection::vec([0u8..12, 0u8..12, 0u8..3], 40..300),
        overlap in 1usize..4,
    ) {
        let points: Vec<[f32; 3]> = lattice.iter().map(|p| p.map(|x| 0.4 + 0.001 * f32::from(x))).collect();
        let settings = PatchSettings { overlap, ..settings(20) };
        if let Ok(set) = extract_patches(&sample(&points), &settings) {
            prop_assert_eq!(covered(&set), points.len());
            prop_assert!(set.patches.iter().all(|p| p.members.len() == 20 && p.members[0] == p.centre));
        }
    }
}
