use super::*;
use crate::grid::GridSize;
use crate::memory::ExactSearch;
use crate::patches::Patch;
use crate::seams::{CELL_COUNT, CELL_GRID_SIDE, IMAGE_SIDE};
use crate::settings::{OverlapRule, Preset, Settings};
use crate::typical::{SampleTypical, TypicalScores};

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

fn score_with(sample: &SampleFeatures, settings: &MemorySettings, leave_out: Option<u32>) -> SampleScores {
    score(sample, &two_patches(), &memory(), &Ramp, &ExactSearch, settings, leave_out)
}

#[test]
fn a_known_sample_is_rebuilt_without_rest() {
    let known = features([[1.0, 0.0], [0.0, 1.0]], 1.0, [vec![3, 4], vec![4, 5]]);
    let scores = score_with(&known, &settings(), None);
    assert_eq!(scores.shape.sample_score, 0.0);
    assert!(scores.appearance.sample_score < 1e-5, "{}", scores.appearance.sample_score);
    assert_eq!(scores.dictionary_size, 5);
    assert_eq!(scores.shape.scored.count(), 3);
    assert_eq!(scores.appearance.scored.count(), 3 * 64);
}

#[test]
fn a_sample_left_out_meets_none_of_its_own_features() {
    let known = features([[1.0, 0.0], [0.0, 1.0]], 1.0, [vec![3, 4], vec![4, 5]]);
    let nearest = MemorySettings { coding: Coding::NearestNeighbour, ..settings() };
    let scores = score_with(&known, &nearest, Some(0));
    // The nearest of the other sample are [2, 0] and [0, 2]; colours [7, 2] and [8, 2].
    assert_eq!(scores.shape.sample_score, 1.0);
    assert_eq!(scores.dictionary_size, 2);
    assert_eq!(scores.cells[(0, 3)], (16.0f32 + 1.0).sqrt());
    assert_eq!(scores.appearance.sample_score, scores.cells[(0, 3)]);
    let unguided = score_with(&known, &MemorySettings { shape_guided: false, ..nearest.clone() }, Some(0));
    assert_eq!(unguided.dictionary_size, 2);
    assert_eq!(score_with(&known, &MemorySettings { shape_guided: false, ..nearest }, None).dictionary_size, 5);
}

#[test]
fn shape_decides_which_colours_count() {
    // Both patches look like the second sample's first one: only its cell 7 is in the dictionary.
    let sample = features([[2.0, 0.0], [2.0, 0.0]], 1.0, [vec![3], vec![3]]);
    let one = MemorySettings { shape_neighbours: 1, ..settings() };
    let neighbours = shape_neighbours(&sample.shape, &memory(), &ExactSearch, &one, None);
    assert_eq!(neighbours.iter().map(|list| list[0].row).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(dictionary(&neighbours, &memory(), &one, None), Some(vec![3]));
    assert_eq!(dictionary(&neighbours, &memory(), &MemorySettings { shape_guided: false, ..one }, None), None);
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
    let mut memory = memory();
    let settings = MemorySettings {
        shape_typical_power: 1.0,
        appearance_typical_power: 1.0,
        residual_power: 0.5,
        overlap_rule: OverlapRule::Mean,
        ..settings()
    };
    let sample = features([[1.5, 0.0], [0.0, 1.5]], 1.5, [vec![3, 4], vec![4, 5]]);
    let raw = |memory: &DualMemory| raw_scores(&sample, &two_patches(), memory, &Ramp, &ExactSearch, &settings, None);
    let plain = score_maps(&raw(&memory), &two_patches(), &memory, &settings);
    let learnt: Vec<SampleTypical> = (0..2)
        .map(|left_out| {
            let raw = raw_scores(&sample, &two_patches(), &memory, &Ramp, &ExactSearch, &settings, Some(left_out));
            // The second sample of the memory has two cells.
            SampleTypical::of(&if left_out == 1 { RawScores { cell_residuals: vec![1.0; 2], ..raw } } else { raw })
        })
        .collect();
    memory.typical = Some(TypicalScores::learn(&learnt, &memory));
    let relative = score_maps(&raw(&memory), &two_patches(), &memory, &settings);
    assert_ne!(plain.shape.map, relative.shape.map);
    assert_ne!(plain.cells, relative.cells);
    // Without powers nothing changes, learnt or not.
    let off = MemorySettings { overlap_rule: OverlapRule::Mean, ..self::settings() };
    assert_eq!(score_maps(&raw(&memory), &two_patches(), &memory, &off), plain);
    assert!(!TypicalScores::are_wanted(&off) && TypicalScores::are_wanted(&settings));
    // All scores are not negative and finite.
    let maps = [&relative.shape.map, &relative.appearance.map];
    assert!(maps.iter().flat_map(|map| map.as_slice()).all(|score| *score >= 0.0 && score.is_finite()));
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
    let code = rebuild(&[3.0, 2.0], &bank, &neighbours, &settings());
    assert_eq!((code.atoms, code.coefficients), (vec![1, 3], vec![3.0, 2.0]));
    let nothing = rebuild(&[3.0, 4.0], &bank, &[], &MemorySettings { coding: Coding::NearestNeighbour, ..settings() });
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
