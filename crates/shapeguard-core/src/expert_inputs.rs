//! What the experts are given of a patch: normalised points for the shape expert, cells for the appearance expert
//! (docs/method.md, "Patches" and "Appearance expert").

use rayon::prelude::*;

use crate::patches::PatchSet;
use crate::seams::CELL_PX;
use crate::settings::{CellNeighbourhood, PatchSettings, ReferenceQuirks};

/// How far `cells_shifted` shifts a cell, in rows and in columns (reference).
const SHIFT_CELLS: isize = 2;

/// The normalised points of all patches, patch after patch: each patch scaled by 1 / (its largest axis extent),
/// then centred on its mean.
pub fn normalised_patch_points(patches: &PatchSet) -> Vec<[f32; 3]> {
    let mut points = vec![[0.0f32; 3]; patches.patches.len() * patches.points_per_patch];
    points.par_chunks_mut(patches.points_per_patch.max(1)).zip(&patches.patches).for_each(|(points, patch)| {
        for (point, member) in points.iter_mut().zip(&patch.members) {
            *point = patches.positions[*member as usize];
        }
        normalise(points);
    });
    points
}

fn normalise(points: &mut [[f32; 3]]) {
    // Patches of no extent do not leave `extract_patches`.
    let (extent, mean) = extent_and_mean(points.iter().copied());
    for p in points {
        *p = [0, 1, 2].map(|axis| (p[axis] - mean[axis]) / extent);
    }
}

/// What normalises a patch: its points' largest extent along an axis, and their mean. Not finite without points.
pub fn extent_and_mean(points: impl Iterator<Item = [f32; 3]>) -> (f32, [f32; 3]) {
    let (mut min, mut max, mut sum, mut count) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3], [0.0f64; 3], 0.0f64);
    for p in points {
        for axis in 0..3 {
            min[axis] = min[axis].min(p[axis]);
            max[axis] = max[axis].max(p[axis]);
            sum[axis] += f64::from(p[axis]);
        }
        count += 1.0;
    }
    let extent = (0..3).map(|axis| max[axis] - min[axis]).fold(0.0, f32::max);
    (extent, sum.map(|s| (s / count) as f32))
}

/// The cells of each patch, ascending: those of its points, dilated, never across the image's border.
pub fn patch_cells(patches: &PatchSet, settings: &PatchSettings) -> Vec<Vec<u32>> {
    patch_cells_with(patches, settings, ReferenceQuirks::default())
}

/// As [`patch_cells`], with the reference's `cells_shifted` where it is on: then the settings' dilation plays no part.
pub fn patch_cells_with(patches: &PatchSet, settings: &PatchSettings, quirks: ReferenceQuirks) -> Vec<Vec<u32>> {
    let (image_side, grid_side) = (patches.image_side, patches.image_side / CELL_PX);
    let cell_of_point: Vec<usize> = patches
        .pixels
        .iter()
        .map(|pixel| {
            let (row, col) = (*pixel as usize / image_side, *pixel as usize % image_side);
            row / CELL_PX * grid_side + col / CELL_PX
        })
        .collect();
    let offsets = neighbourhood(settings, grid_side);
    patches
        .patches
        .par_iter()
        .map(|patch| {
            let mut touched = vec![false; grid_side * grid_side];
            patch.members.iter().for_each(|member| touched[cell_of_point[*member as usize]] = true);
            if quirks.cells_shifted { shifted(&touched, grid_side) } else { dilated(&touched, grid_side, &offsets) }
        })
        .collect()
}

/// Row and column offsets of the cells that a cell brings along, itself included.
fn neighbourhood(settings: &PatchSettings, grid_side: usize) -> Vec<(isize, isize)> {
    // A longer reach covers the whole grid already.
    let reach = settings.cell_dilation.min(2 * grid_side) as isize;
    let is_near = |row: isize, col: isize| match settings.cell_neighbourhood {
        CellNeighbourhood::CityBlock => row.abs() + col.abs() <= reach,
        CellNeighbourhood::Square => true,
    };
    let range = || -reach..=reach;
    range().flat_map(|row| range().map(move |col| (row, col))).filter(|(row, col)| is_near(*row, *col)).collect()
}

fn dilated(touched: &[bool], grid_side: usize, offsets: &[(isize, isize)]) -> Vec<u32> {
    let inside = |x: isize| (0..grid_side as isize).contains(&x);
    let mut used = vec![false; touched.len()];
    for cell in (0..touched.len()).filter(|cell| touched[*cell]) {
        let (row, col) = ((cell / grid_side) as isize, (cell % grid_side) as isize);
        for (down, right) in offsets {
            if inside(row + down) && inside(col + right) {
                used[(row + down) as usize * grid_side + (col + right) as usize] = true;
            }
        }
    }
    set_cells(&used)
}

/// The touched cells' numbers, shifted by two columns and by two rows to each side: neither diagonals nor neighbours, and a
/// touched cell itself only where another's shift lands. As the cells are numbered row by row, what leaves a row at one end
/// enters the next at the other; what leaves the image becomes its first or its last cell.
fn shifted(touched: &[bool], grid_side: usize) -> Vec<u32> {
    let rows = SHIFT_CELLS * grid_side as isize;
    let last = touched.len() as isize - 1;
    let mut used = vec![false; touched.len()];
    for cell in (0..=last).filter(|cell| touched[*cell as usize]) {
        for shift in [-SHIFT_CELLS, SHIFT_CELLS, -rows, rows] {
            used[(cell + shift).clamp(0, last) as usize] = true;
        }
    }
    set_cells(&used)
}

fn set_cells(used: &[bool]) -> Vec<u32> {
    (0u32..).zip(used).filter_map(|(cell, used)| (*used).then_some(cell)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patches::Patch;
    use crate::seams::{CELL_COUNT, IMAGE_SIDE};
    use crate::settings::{Preset, Settings};

    /// One patch of the given pixels on a plane, `x = col`, `y = row`.
    fn one_patch(pixels: Vec<u32>) -> PatchSet {
        let members = (0..pixels.len() as u32).collect();
        let positions = pixels.iter().map(|p| [(p % 224) as f32 / 224.0, (p / 224) as f32 / 224.0, 0.5]).collect();
        let points_per_patch = pixels.len();
        PatchSet {
            image_side: IMAGE_SIDE,
            pixels,
            positions,
            patches: vec![Patch { centre: 0, members }],
            points_per_patch,
            added_centres: 0,
        }
    }

    /// The 500 or so pixels of a disc: a patch on a surface that faces the camera.
    fn disc(row: f32, col: f32) -> Vec<u32> {
        let radius = (500.0 / std::f32::consts::PI).sqrt();
        let near = |p: &u32| ((p / 224) as f32 - row).hypot((p % 224) as f32 - col) <= radius;
        (0..224 * 224).filter(near).collect()
    }

    #[test]
    fn a_frontal_patch_has_about_45_cells_or_62_with_a_square() {
        let city_block = Settings::preset(Preset::Paper).patches;
        let square = PatchSettings { cell_neighbourhood: CellNeighbourhood::Square, ..city_block.clone() };
        let mut counts = [0.0f32; 2];
        // The mean over 64 positions of the disc within a cell.
        for i in 0..64u32 {
            let patch = one_patch(disc(112.0 + (i / 8) as f32, 112.0 + (i % 8) as f32));
            for (count, settings) in counts.iter_mut().zip([&city_block, &square]) {
                *count += patch_cells(&patch, settings)[0].len() as f32 / 64.0;
            }
        }
        assert!((43.0..47.0).contains(&counts[0]), "{counts:?}");
        assert!((58.0..66.0).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn dilation_never_crosses_the_border() {
        let city_block = Settings::preset(Preset::Paper).patches;
        // The last pixel of the first row: cell (0, 27).
        let cells = patch_cells(&one_patch(vec![223]), &city_block);
        assert_eq!(cells, vec![vec![25, 26, 27, 28 + 26, 28 + 27, 56 + 27]]);
        let none = PatchSettings { cell_dilation: 0, ..city_block.clone() };
        assert_eq!(patch_cells(&one_patch(vec![0, 7, 8]), &none), vec![vec![0, 1]]);
        let all = PatchSettings { cell_dilation: usize::MAX, ..city_block };
        assert_eq!(patch_cells(&one_patch(vec![0]), &all)[0].len(), CELL_COUNT);
    }

    #[test]
    fn shifted_cells_replace_their_own() {
        let settings = Settings::preset(Preset::Paper).patches;
        let quirks = ReferenceQuirks { cells_shifted: true, ..ReferenceQuirks::default() };
        let shifted = |pixels: Vec<u32>| patch_cells_with(&one_patch(pixels), &settings, quirks).remove(0);
        let pixel = |row: u32, col: u32| 8 * row * 224 + 8 * col;
        // Cell (10, 10) alone: two columns and two rows away, nothing in between, not itself.
        assert_eq!(shifted(vec![pixel(10, 10)]), [8 * 28 + 10, 10 * 28 + 8, 10 * 28 + 12, 12 * 28 + 10]);
        // With (10, 12) each lands on the other.
        let pair = shifted(vec![pixel(10, 10), pixel(10, 12)]);
        assert_eq!(pair, [234, 236, 288, 290, 292, 294, 346, 348]);
        // At a row's end the next row's beginning follows, at its beginning the end of the row before.
        assert_eq!(shifted(vec![pixel(10, 27)]), [8 * 28 + 27, 10 * 28 + 25, 11 * 28 + 1, 12 * 28 + 27]);
        assert_eq!(shifted(vec![pixel(10, 0)]), [8 * 28, 9 * 28 + 26, 10 * 28 + 2, 12 * 28]);
        // Beyond the image there is its first or its last cell.
        assert_eq!(shifted(vec![pixel(1, 3)]), [0, 28 + 1, 28 + 5, 3 * 28 + 3]);
        assert_eq!(shifted(vec![pixel(27, 26)]), [25 * 28 + 26, 27 * 28 + 24, 783]);
        // About as many cells as the paper says, though others.
        let counts: usize = (0..64).map(|i| shifted(disc(112.0 + (i / 8) as f32, 112.0 + (i % 8) as f32)).len()).sum();
        assert!((43.0..47.0).contains(&(counts as f32 / 64.0)), "{}", counts as f32 / 64.0);
    }

    #[test]
    fn cells_follow_the_side_of_the_image() {
        let none = PatchSettings { cell_dilation: 0, ..Settings::preset(Preset::Paper).patches };
        // Of 320 pixels a side there are 40 x 40 cells.
        let mut patch = one_patch(vec![319, 8 * 320, 320 * 320 - 1]);
        patch.image_side = 320;
        assert_eq!(patch_cells(&patch, &none), vec![vec![39, 40, 1599]]);
    }

    #[test]
    fn patches_are_scaled_by_their_largest_extent_and_centred_on_their_mean() {
        let mut patch = one_patch(vec![0, 1, 2, 224]);
        patch.positions = vec![[1.0, 2.0, 3.0], [1.5, 2.0, 3.0], [1.0, 4.0, 3.0], [1.0, 2.0, 3.5]];
        let points = normalised_patch_points(&patch);
        // Extents 0.5, 2, 0.5: scaled by 1 / 2; all numbers are exact in binary.
        let expected =
            [[-0.0625, -0.25, -0.0625], [0.1875, -0.25, -0.0625], [-0.0625, 0.75, -0.0625], [-0.0625, -0.25, 0.1875]];
        assert_eq!(points, expected);
    }
}
