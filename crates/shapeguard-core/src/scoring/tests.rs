use super::*;
use crate::grid::GridSize;
use crate::memory::{ExactSearch, FeatureBank};
use crate::patches::Patch;
use crate::seams::{CELL_COUNT, CELL_GRID_SIDE, IMAGE_SIDE};
use crate::settings::{AppearanceMetric, Preset, Settings};
use crate::typical::{SampleTypical, Typical, TypicalScores};

/// A shape expert whose signed distance is the query's x plus the feature's first value, minus one.
struct Ramp;

impl ShapeExpert for Ramp {
    fn feature_dim(&self) -> usize {
        2
    }
    fn encode(&self, points: &[[f32; 3]], patch_size: usize) -> Matrix {
        Matrix::zeros(points.len() / patch_size, 2)
    }
    fn signed_distances(&self, features: &Matrix, queries: &[[f32; 3]], patch_size: usize) -> Vec<f32> {
        queries.iter().enumerate().map(|(i, q)| q[0] + features.row(i / patch_size)[0] - 1.0).collect()
    }
}

fn settings() -> MemorySettings {
    Settings::preset(Preset::Paper).memory
}

/// Nearest neighbours in both banks.
fn nearest_neighbours() -> MemorySettings {
    MemorySettings { shape_coding: Coding::NearestNeighbour, appearance_coding: Coding::NearestNeighbour, ..settings() }
}

/// Three pixels in two patches that share the middle one.
fn two_patches() -> PatchSet {
    PatchSet {
        image_side: IMAGE_SIDE,
        pixels: vec![0, 10, 5000],
        positions: vec![[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1.0, 0.0, 0.0]],
        patches: vec![Patch { centre: 0, members: vec![0, 1] }, Patch { centre: 2, members: vec![2, 1] }],
        points_per_patch: 2,
        added_centres: 0,
    }
}

/// Features of [`two_patches`]; the colour of cell `c` is `[c, shift]`.
fn features(shape: [[f32; 2]; 2], shift: f32, patch_cells: [Vec<u32>; 2]) -> SampleFeatures {
    SampleFeatures {
        shape: Matrix::from_vec(2, 2, shape.concat()),
        appearance: Matrix::from_vec(CELL_COUNT, 2, (0..CELL_COUNT).flat_map(|c| [c as f32, shift]).collect()),
        patch_cells: patch_cells.into(),
    }
}

fn memory() -> DualMemory {
    let mut memory = DualMemory::default();
    memory.add(&features([[1.0, 0.0], [0.0, 1.0]], 1.0, [vec![3, 4], vec![4, 5]]));
    memory.add(&features([[2.0, 0.0], [0.0, 2.0]], 2.0, [vec![7], vec![8]]));
    memory
}

fn score_with(sample: &SampleFeatures, settings: &MemorySettings, leave_out: LeaveOut) -> SampleScores {
    score(sample, &two_patches(), &memory(), &Ramp, &ExactSearch, settings, leave_out)
}

#[test]
fn a_known_sample_is_rebuilt_without_rest() {
    let known = features([[1.0, 0.0], [0.0, 1.0]], 1.0, [vec![3, 4], vec![4, 5]]);
    let scores = score_with(&known, &settings(), LeaveOut::Nothing);
    assert_eq!(scores.shape.sample_score, 0.0);
    assert!(scores.appearance.sample_score < 1e-5, "{}", scores.appearance.sample_score);
    assert_eq!(scores.dictionary_size, 5);
    assert_eq!(scores.shape.scored.count(), 3);
    assert_eq!(scores.appearance.scored.count(), 3 * 64);
}

#[test]
fn a_sample_left_out_meets_none_of_its_own_features() {
    let known = features([[1.0, 0.0], [0.0, 1.0]], 1.0, [vec![3, 4], vec![4, 5]]);
    let nearest = nearest_neighbours();
    let scores = score_with(&known, &nearest, LeaveOut::Sample(0));
    // The nearest of the other sample are [2, 0] and [0, 2]; colours [7, 2] and [8, 2].
    assert_eq!(scores.shape.sample_score, 1.0);
    assert_eq!(scores.dictionary_size, 2);
    assert_eq!(scores.cells[(0, 3)], (16.0f32 + 1.0).sqrt());
    assert_eq!(scores.appearance.sample_score, scores.cells[(0, 3)]);
    let unguided = score_with(&known, &MemorySettings { shape_guided: false, ..nearest.clone() }, LeaveOut::Sample(0));
    assert_eq!(unguided.dictionary_size, 2);
    assert_eq!(
        score_with(&known, &MemorySettings { shape_guided: false, ..nearest }, LeaveOut::Nothing).dictionary_size,
        5
    );
}

#[test]
fn each_bank_has_its_own_coding() {
    let known = features([[1.5, 0.0], [0.0, 1.5]], 1.5, [vec![3, 4], vec![4, 5]]);
    let of = |shape_coding, appearance_coding| {
        let settings = MemorySettings { shape_coding, appearance_coding, ..settings() };
        let scores = score_with(&known, &settings, LeaveOut::Nothing);
        (scores.shape.sample_score, scores.appearance.sample_score)
    };
    // Both features lie between rows of the bank: their multiples in shape, [3, 1] to [8, 2] in colour. The nearest is 0.5 away.
    let (sparse, nearest) = (Coding::Sparse, Coding::NearestNeighbour);
    let (neither, both) = (of(sparse, sparse), of(nearest, nearest));
    assert!(neither.0 < 1e-6 && neither.1 < 1e-5, "{neither:?}");
    assert_eq!(both, (0.5, 0.5));
    assert_eq!(of(nearest, sparse), (both.0, neither.1));
    assert_eq!(of(sparse, nearest), (neither.0, both.1));
}

#[test]
fn a_thinned_bank_without_a_link_leaves_the_cells_as_long_as_they_are() {
    let mut memory = memory();
    // Only the cell 3 of the first sample, [3, 1], or one other is left.
    memory.thin_appearance(0.1, 0);
    let left = memory.appearance_sample[0];
    let known = features([[1.0, 0.0], [0.0, 1.0]], 1.0, [vec![3, 4], vec![4, 5]]);
    let score_without = |leave_out: u32, shape_guided: bool| {
        let settings = MemorySettings { shape_guided, ..settings() };
        score(&known, &two_patches(), &memory, &Ramp, &ExactSearch, &settings, LeaveOut::Sample(leave_out))
    };
    for shape_guided in [true, false] {
        // Without that sample nothing is left to compare a cell with: nothing rebuilds it.
        let scores = score_without(left, shape_guided);
        assert_eq!(scores.dictionary_size, 0);
        assert_eq!(scores.cells[(0, 5)], (25.0f32 + 1.0).sqrt());
        // Without the other one, one feature.
        assert_eq!(score_without(1 - left, shape_guided).dictionary_size, 1);
    }
}

#[test]
fn typical_scores_follow_a_thinned_bank() {
    let mut memory = memory();
    memory.thin_appearance(0.6, 0);
    assert_eq!(memory.appearance.rows(), 3);
    let samples = [
        features([[1.0, 0.0], [0.0, 1.0]], 1.0, [vec![3, 4], vec![4, 5]]),
        features([[2.0, 0.0], [0.0, 2.0]], 2.0, [vec![7], vec![8]]),
    ];
    let raw: Vec<RawScores> = (0u32..)
        .zip(&samples)
        .map(|(index, sample)| {
            raw_scores(
                sample,
                &two_patches(),
                &memory,
                &Ramp,
                &ExactSearch,
                &nearest_neighbours(),
                LeaveOut::Sample(index),
            )
        })
        .collect();
    let typical = TypicalScores::learn(&raw.iter().map(SampleTypical::of).collect::<Vec<_>>(), &memory);
    for (row, value) in typical.cell.values().iter().enumerate() {
        let raw = &raw[memory.appearance_sample[row] as usize];
        let at = raw.cells.iter().position(|cell| *cell == u32::from(memory.appearance_cell[row])).unwrap();
        assert_eq!(*value, raw.cell_residuals[at], "row {row}");
    }
    assert_eq!((typical.cell.values().len(), typical.distance.values().len()), (3, 4));
}

#[test]
fn the_nearest_left_out_is_exactly_one_feature() {
    let known = features([[1.0, 0.0], [0.0, 1.0]], 1.0, [vec![3, 4], vec![4, 5]]);
    let rows_of = |lists: &[Vec<Neighbour>]| -> Vec<Vec<u32>> {
        lists.iter().map(|list| list.iter().map(|neighbour| neighbour.row).collect()).collect()
    };
    // Each of its patches is in the memory once; that one goes, the sample's other one stays.
    let raw_of = |memory: &DualMemory, settings: &MemorySettings, leave_out| {
        raw_scores(&known, &two_patches(), memory, &Ramp, &ExactSearch, settings, leave_out)
    };
    let raw = raw_of(&memory(), &nearest_neighbours(), LeaveOut::Nearest);
    assert_eq!(rows_of(&raw.patch_neighbours), [[2, 1, 3], [3, 0, 2]]);
    assert_eq!(raw.patch_residuals, [1.0, 1.0]);
    // All cells are in the dictionary; of each the nearest goes, which is its own: 3, 4, 5 and 7, 8 are left.
    assert_eq!(raw.dictionary_size, 5);
    assert_eq!(rows_of(&raw.cell_neighbours), [[1, 2, 3, 4], [0, 2, 3, 4], [1, 0, 3, 4]]);
    assert_eq!(raw.cell_residuals, [1.0; 3]);
    // Without the sample it is another score.
    assert_ne!(raw, raw_of(&memory(), &nearest_neighbours(), LeaveOut::Sample(0)));
    // A memory that has the sample twice: one of the equal features goes, the first, and the other rebuilds all.
    let mut twice = memory();
    twice.add(&known);
    let raw = raw_of(&twice, &nearest_neighbours(), LeaveOut::Nearest);
    assert_eq!(raw.patch_neighbours[0].iter().map(|neighbour| neighbour.row).collect::<Vec<_>>(), [4, 2, 1, 5, 3]);
    assert_eq!((raw.patch_residuals, raw.cell_residuals), (vec![0.0; 2], vec![0.0; 3]));
    // The whole bank is searched in the same way, and as many neighbours as otherwise are left.
    let few = MemorySettings { shape_neighbours: 2, appearance_neighbours: 2, shape_guided: false, ..settings() };
    let raw = raw_of(&twice, &few, LeaveOut::Nearest);
    assert_eq!(rows_of(&raw.patch_neighbours), [[4, 2], [5, 3]]);
    assert_eq!(rows_of(&raw.cell_neighbours), [[5, 1], [6, 0], [7, 1]]);
    // From nothing nothing can be taken.
    let nothing = LeaveOut::Nearest.nearest(&ExactSearch, &twice.shape, Some(&[]), &known.shape, 3);
    assert_eq!(nothing, vec![Vec::new(); 2]);
}

#[test]
fn shape_decides_which_colours_count() {
    // Both patches look like the second sample's first one: only its cell 7 is in the dictionary.
    let sample = features([[2.0, 0.0], [2.0, 0.0]], 1.0, [vec![3], vec![3]]);
    let one = MemorySettings { shape_neighbours: 1, ..settings() };
    let neighbours = shape_neighbours(&sample.shape, &memory(), &ExactSearch, &one, LeaveOut::Nothing);
    assert_eq!(neighbours.iter().map(|list| list[0].row).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(dictionary(&neighbours, &memory(), &one, LeaveOut::Nothing), Some(vec![3]));
    assert_eq!(
        dictionary(&neighbours, &memory(), &MemorySettings { shape_guided: false, ..one }, LeaveOut::Nothing),
        None
    );
}

#[test]
fn a_pixel_takes_the_minimum_of_its_patches() {
    let (map, scored) = signed_distance_map(&[-0.5, 0.75, 2.0, -0.25], &[1.0; 2], &two_patches(), OverlapRule::Minimum);
    assert_eq!((map.as_slice()[0], map.as_slice()[10], map.as_slice()[5000]), (0.5, 0.25, 2.0));
    assert_eq!(scored.count(), 3);
}

#[test]
fn or_the_mean_of_its_patches_each_times_its_factor() {
    let (map, scored) = signed_distance_map(&[-0.5, 0.75, 2.0, -0.25], &[2.0, 1.0], &two_patches(), OverlapRule::Mean);
    // 0.5 * 2; the mean of 0.75 * 2 and 0.25; 2.
    assert_eq!((map.as_slice()[0], map.as_slice()[10], map.as_slice()[5000]), (1.0, 0.875, 2.0));
    assert_eq!(scored.count(), 3);
}

#[test]
fn scores_are_relative_to_what_good_parts_score_there() {
    let settings = MemorySettings {
        shape_neighbours: 1,
        appearance_neighbours: 1,
        shape_typical_power: 1.0,
        appearance_typical_power: 1.0,
        residual_power: 0.5,
        overlap_rule: OverlapRule::Mean,
        ..nearest_neighbours()
    };
    let mut memory = memory();
    memory.typical = Some(TypicalScores {
        distance: Typical::new(vec![2.0, 4.0, 1.0, 1.0]),
        residual: Typical::new(vec![1.0, 0.25, 1.0, 1.0]),
        cell: Typical::new(vec![1.0, 2.0, 4.0, 1.0, 1.0]),
    });
    // The patches' nearest are the rows 0 and 1, each 0.5 away; so are the cells' rows 0, 1 and 2.
    let sample = features([[1.5, 0.0], [0.0, 1.5]], 1.5, [vec![3, 4], vec![4, 5]]);
    let raw = raw_scores(&sample, &two_patches(), &memory, &Ramp, &ExactSearch, &settings, LeaveOut::Nothing);
    assert_eq!((raw.patch_residuals.as_slice(), raw.cell_residuals.as_slice()), (&[0.5, 0.5][..], &[0.5; 3][..]));
    assert_eq!(raw.distances, [-0.5, 0.5, -0.5, -1.5]);
    let scores = score_maps(&raw, &two_patches(), &memory, &settings);
    // Distances: references 2 and typical 2 and 4 give 1 and 1/2; residuals of 0.5 over typical 1 and 1/4, to the power of
    // a half, the roots of 1/2 and 2. Both patches: the root of 1/2.
    let root = 0.5f32.sqrt();
    let map = |pixel: usize| scores.shape.map.as_slice()[pixel];
    for (pixel, expected) in [(0, 0.5 * root), (10, (0.5 + 1.5) / 2.0 * root), (5000, 0.5 * root)] {
        // Two roundings.
        assert!((map(pixel) - expected).abs() < 1e-6, "{pixel}: {} {expected}", map(pixel));
    }
    // Residuals: references 1, typical 1 and 1/4.
    assert_eq!(scores.shape.sample_score, 2.0);
    let cells: Vec<f32> = (3..6).map(|cell| scores.cells[(0, cell)]).collect();
    assert_eq!(cells, [0.5, 0.25, 0.125]);
    assert_eq!(scores.appearance.sample_score, 0.5);
    // Without powers nothing changes, learnt or not.
    let off = MemorySettings {
        shape_typical_power: 0.0,
        appearance_typical_power: 0.0,
        residual_power: 0.0,
        ..settings.clone()
    };
    let plain = score_maps(&raw, &two_patches(), &memory, &off);
    assert_eq!((plain.shape.map.as_slice()[10], plain.shape.sample_score), (1.0, 0.5));
    assert_eq!(plain, score_maps(&raw, &two_patches(), &DualMemory { typical: None, ..memory }, &settings));
    assert!(!TypicalScores::are_wanted(&off) && TypicalScores::are_wanted(&settings));
}

#[test]
fn the_shape_score_may_be_what_patches_share() {
    let residuals = |shape: [[f32; 2]; 2], shape_score: ShapeScore| {
        let sample = features(shape, 1.0, [vec![3], vec![4]]);
        let settings = MemorySettings { shape_score, ..nearest_neighbours() };
        score_with(&sample, &settings, LeaveOut::Nothing).shape.sample_score
    };
    // The patches' nearest are [0, 1] and [1, 0], of which the one is at the root of 5 and the other at 1. They have 3 pixels
    // and share the middle one; a thousandth of the image are 50.
    let (shape, far) = ([[-2.0, 0.0], [0.0, 0.0]], 5.0f32.sqrt());
    assert_eq!(residuals(shape, ShapeScore::LargestPatch), far);
    let expected = (far + (far + 1.0) / 2.0 + 1.0) / 50.0;
    // Single precision.
    assert!((residuals(shape, ShapeScore::SharedTop) - expected).abs() < 1e-6);
}

#[test]
fn cells_are_measured_by_the_metric_of_the_memory() {
    let sample = features([[1.0, 0.0], [0.0, 1.0]], 1.5, [vec![3], vec![4]]);
    let settings = MemorySettings { appearance_metric: AppearanceMetric::Mahalanobis, ..nearest_neighbours() };
    let compare = |memory: &DualMemory, settings: &MemorySettings| {
        raw_scores(&sample, &two_patches(), memory, &Ramp, &ExactSearch, settings, LeaveOut::Nothing)
    };
    // Each cell differs by (0, 0.5) from the same cell of the first sample.
    let mut memory = memory();
    let euclidean = compare(&memory, &nearest_neighbours());
    assert_eq!((&euclidean.cell_residuals[..], &euclidean.cell_differences), (&[0.5, 0.5][..], &None));
    let unmeasured = compare(&memory, &settings);
    assert_eq!(unmeasured.cell_residuals, [0.5, 0.5]);
    assert_eq!(unmeasured.cell_differences.as_ref().unwrap().as_slice(), [0.0, 0.5, 0.0, 0.5]);
    let metric = ResidualMetric::from_whitening(Matrix::from_vec(2, 2, vec![1.0, 0.0, 0.0, 8.0]));
    memory.appearance_metric = Some(metric.clone());
    let measured = compare(&memory, &settings);
    assert_eq!((&measured.cell_residuals[..], &measured.cell_differences), (&[4.0, 4.0][..], &None));
    // Measured at once or later is the same, and later only once.
    let mut later = unmeasured;
    later.measure(&metric);
    assert_eq!(later, measured);
    later.measure(&metric);
    assert_eq!(later, measured);
}

#[test]
fn a_search_that_failed_surfaces_in_every_metric() {
    /// Finds the first row, and that it is no number away.
    struct Broken;
    impl BankSearch for Broken {
        fn nearest(&self, _: &FeatureBank, _: Option<&[u32]>, queries: &Matrix, _: usize) -> Vec<Vec<Neighbour>> {
            vec![vec![Neighbour { row: 0, squared_distance: f32::NAN }]; queries.rows()]
        }
    }
    let sample = features([[1.0, 0.0], [0.0, 1.0]], 1.5, [vec![3], vec![4]]);
    let settings = MemorySettings { appearance_metric: AppearanceMetric::Mahalanobis, ..settings() };
    let mut memory = memory();
    memory.appearance_metric = Some(ResidualMetric::from_whitening(Matrix::from_vec(2, 2, vec![1.0, 0.0, 0.0, 1.0])));
    let raw = raw_scores(&sample, &two_patches(), &memory, &Ramp, &Broken, &settings, LeaveOut::Nothing);
    assert!(raw.cell_residuals.iter().all(|residual| residual.is_nan()));
}

#[test]
fn typical_scores_are_learnt_without_a_samples_own_features() {
    let memory = memory();
    let samples = [
        features([[1.0, 0.0], [0.0, 1.0]], 1.0, [vec![3, 4], vec![4, 5]]),
        features([[2.0, 0.0], [0.0, 2.0]], 2.0, [vec![7], vec![8]]),
    ];
    let nearest = nearest_neighbours();
    let learnt: Vec<SampleTypical> = (0u32..)
        .zip(&samples)
        .map(|(index, sample)| {
            SampleTypical::of(&raw_scores(
                sample,
                &two_patches(),
                &memory,
                &Ramp,
                &ExactSearch,
                &nearest,
                LeaveOut::Sample(index),
            ))
        })
        .collect();
    let typical = TypicalScores::learn(&learnt, &memory);
    // Each patch is 1 away from that of the other sample.
    assert_eq!(typical.residual.values(), [1.0; 4]);
    // The first sample's cells 3, 4, 5 have [7, 2] as nearest; the second's 7 and 8 have [5, 1].
    let expected =
        [(4.0, 1.0), (3.0, 1.0), (2.0, 1.0), (2.0, 1.0), (3.0, 1.0)].map(|(x, y): (f32, f32)| (x * x + y * y).sqrt());
    assert_eq!(typical.cell.values(), expected);
    // Patch 0 of the first sample: -0.5 + 2 - 1 and 0.5 + 2 - 1.
    let rms = ((0.5f64.powi(2) + 1.5f64.powi(2)) / 2.0).sqrt() as f32;
    assert_eq!(typical.distance.values()[0], rms);
}

#[test]
fn a_distance_of_zero_is_a_score() {
    for distances in [[1.0, 0.0, 1.0, 0.75], [1.0, 0.75, 1.0, 0.0]] {
        let (map, scored) = signed_distance_map(&distances, &[1.0; 2], &two_patches(), OverlapRule::Minimum);
        assert_eq!(map.as_slice()[10], 0.0);
        assert!(scored.as_slice()[10] && !scored.as_slice()[11]);
    }
}

#[test]
fn a_zero_that_is_unset_is_overwritten_by_the_next_patch() {
    let quirks = ReferenceQuirks { zero_is_unset: true, ..ReferenceQuirks::default() };
    let map = |distances: [f32; 4], rule| signed_distance_map_with(&distances, &[1.0; 2], &two_patches(), rule, quirks);
    // Pixel 10 is in both patches.
    let (first, scored) = map([1.0, 0.0, 1.0, 0.75], OverlapRule::Minimum);
    assert_eq!((first.as_slice()[10], scored.as_slice()[10]), (0.75, true));
    let (last, scored) = map([1.0, 0.75, 0.0, 0.0], OverlapRule::Minimum);
    assert_eq!((last.as_slice()[10], scored.as_slice()[10]), (0.0, false), "0 is the minimum, and no score");
    assert_eq!((scored.as_slice()[0], scored.as_slice()[5000], scored.count()), (true, false, 1));
    let without_zero = [-0.5, 0.75, 2.0, -0.25];
    let plain = signed_distance_map(&without_zero, &[1.0; 2], &two_patches(), OverlapRule::Minimum);
    assert_eq!(map(without_zero, OverlapRule::Minimum), plain);
    // A mean has no order to be lost in.
    let (mean, scored) = map([0.0, 0.0, 0.0, 0.5], OverlapRule::Mean);
    assert_eq!((mean.as_slice()[10], scored.count()), (0.25, 3));
    assert!(map([1.0, f32::NAN, 1.0, 0.75], OverlapRule::Minimum).0.as_slice()[10].is_nan());
}

#[test]
fn a_distance_that_is_no_number_surfaces() {
    for distances in [[1.0, f32::NAN, 1.0, 0.75], [1.0, 0.75, 1.0, f32::NAN]] {
        for rule in [OverlapRule::Minimum, OverlapRule::Mean] {
            let (map, _) = signed_distance_map(&distances, &[1.0; 2], &two_patches(), rule);
            assert!(map.as_slice()[10].is_nan());
        }
    }
    assert!(largest(&[1.0, f32::NAN, 2.0]).is_nan());
}

#[test]
fn rebuilt_features_use_rows_of_the_bank_as_atoms() {
    let bank = Matrix::from_vec(4, 2, vec![9.0, 9.0, 1.0, 0.0, 9.0, 9.0, 0.0, 1.0]);
    let neighbours = [3, 1].map(|row| Neighbour { row, squared_distance: 1.0 });
    let code = rebuild(&[3.0, 2.0], &bank, &neighbours, Coding::Sparse, 3);
    assert_eq!((code.atoms, code.coefficients), (vec![1, 3], vec![3.0, 2.0]));
    let nothing = rebuild(&[3.0, 4.0], &bank, &[], Coding::NearestNeighbour, 3);
    assert_eq!((nothing.reconstruction, nothing.residual), (vec![0.0, 0.0], 5.0));
}

#[test]
fn upsampling_keeps_ramps_and_clamps_at_the_edge() {
    let cells = Grid::from_fn(GridSize::new(CELL_GRID_SIDE, CELL_GRID_SIDE), |row, col| (2 * row + col) as f32);
    let map = upsample_cells(&cells);
    assert_eq!(map.size(), GridSize::new(IMAGE_SIDE, IMAGE_SIDE));
    for (row, col) in [(4, 4), (100, 37), (219, 219)] {
        let centre = |pixel: usize| (pixel as f32 + 0.5) / 8.0 - 0.5;
        // Values up to 81 in f32.
        assert!((map[(row, col)] - (2.0 * centre(row) + centre(col))).abs() < 1e-4);
    }
    assert_eq!(map[(0, 0)], 0.0);
    assert_eq!(map[(223, 223)], 81.0);
}

#[test]
fn a_cell_owns_its_eight_by_eight_pixels() {
    let mask = pixels_of_cells(&[0, (CELL_GRID_SIDE + 2) as u32], CELL_GRID_SIDE);
    assert_eq!(mask.count(), 128);
    assert!(mask[(7, 7)] && !mask[(7, 8)] && mask[(8, 16)] && mask[(15, 23)] && !mask[(16, 16)]);
}
