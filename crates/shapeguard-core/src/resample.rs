//! From the square foreground to the pixels that the experts see, 224 x 224 in the paper (docs/method.md, "To 224 x
//! 224").
//!
//! Colour is resized as `torch.nn.functional.interpolate(mode="bicubic", antialias=True)` and Pillow do it: a separable
//! cubic with a = -0.5 that widens with the scale, weights normalised to 1. In floating point without rounding
//! to 8 bits between the passes (Pillow rounds), clamped to `0.0..=1.0` at the end (torch does not). Pinned by
//! the golden `tests/goldens/resample.json`. Cloud and masks share one source pixel, unlike the reference, where they differ by
//! up to 1.8 pixels ([`resample_with`] restores that).

use rayon::prelude::*;

use crate::foreground::Foreground;
use crate::grid::{Grid, GridSize, Mask, RgbImage};
use crate::sample::OrganizedCloud;
use crate::settings::ReferenceQuirks;

/// A part as the experts see it, on a square grid.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Points in metres; background is invalid.
    pub cloud: OrganizedCloud,
    /// Colour in `0.0..=1.0`, background black.
    pub rgb: Grid<[f32; 3]>,
    /// Side of the square foreground that this was made from, pixels.
    pub square_side: usize,
    /// Size of the scan before padding.
    pub source_size: GridSize,
    /// Row and column of the scan's first pixel on the square grid.
    pub offset: (usize, usize),
}

impl Sample {
    /// Pixels along each side of the experts' image.
    pub fn side(&self) -> usize {
        self.rgb.size().rows
    }

    /// Where the experts' image lies on the scan.
    pub fn frame(&self) -> MapFrame {
        MapFrame {
            side: self.side(),
            square_side: self.square_side,
            source_size: self.source_size,
            offset: self.offset,
        }
    }
}

/// Where the experts' image, and with it an anomaly map, lies on the scan: `side` pixels over the square of `square_side` that
/// the scan was padded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFrame {
    /// Pixels along each side of the map.
    pub side: usize,
    /// Side of the square, in the scan's pixels.
    pub square_side: usize,
    /// Size of the scan.
    pub source_size: GridSize,
    /// Row and column of the scan's first pixel on the square.
    pub offset: (usize, usize),
}

/// Brings a foreground to `side` x `side` pixels: the cloud by the pixel at `floor((i + 0.5) S / side)`, the colour by
/// antialiased bicubic interpolation.
pub fn resample(foreground: &Foreground, side: usize) -> Sample {
    resample_with(foreground, side, ReferenceQuirks::default())
}

/// As [`resample`], with the reference's `cloud_at_pixel_corner` where it is on.
pub fn resample_with(foreground: &Foreground, side: usize, quirks: ReferenceQuirks) -> Sample {
    let (points, valid) = (foreground.cloud.points_m(), foreground.cloud.valid());
    let half_px = if quirks.cloud_at_pixel_corner { 0 } else { 1 };
    Sample {
        cloud: OrganizedCloud::from_parts(nearest(points, side, half_px), nearest(valid, side, half_px)),
        rgb: resize_bicubic(&foreground.rgb, GridSize::new(side, side)),
        square_side: foreground.cloud.size().rows,
        source_size: foreground.source_size,
        offset: foreground.offset,
    }
}

/// Brings a square mask to `side` x `side` pixels by the pixel at `floor((i + 0.5) S / side)`, as [`resample`] does the cloud.
pub fn resample_mask(mask: &Mask, side: usize) -> Mask {
    nearest(mask, side, 1)
}

/// Takes the source pixel at `floor((i + half_px / 2) S / side)`, in whole numbers.
fn nearest<T: Copy>(grid: &Grid<T>, side: usize, half_px: usize) -> Grid<T> {
    let size = grid.size();
    let source = |i: usize, pixels: usize| (2 * i + half_px) * pixels / (2 * side);
    Grid::from_fn(GridSize::new(side, side), |row, col| grid[(source(row, size.rows), source(col, size.cols))])
}

/// Antialiased bicubic resize; the result is in `0.0..=1.0`.
pub fn resize_bicubic(image: &RgbImage, target: GridSize) -> Grid<[f32; 3]> {
    let source = image.size();
    let mut resized = Grid::filled(target, [0.0f32; 3]);
    // Black adds nothing: only the window that holds colour is worked on.
    let Some((rows, cols)) = coloured_window(image) else { return resized };
    let row_taps = taps(source.rows, target.rows);
    let col_taps = taps(source.cols, target.cols);
    let width = 3 * cols.len();
    let coloured: Vec<f32> = rows
        .clone()
        .flat_map(|row| image.row(row)[cols.clone()].as_flattened().iter().map(|channel| f32::from(*channel)))
        .collect();

    resized.as_mut_slice().par_chunks_mut(target.cols).zip(&row_taps).for_each_init(
        || vec![0.0f32; width],
        |line, (out, taps)| {
            line.fill(0.0);
            let mut is_black = true;
            for (row, weight) in taps.inside(&rows) {
                is_black = false;
                for (sum, channel) in line.iter_mut().zip(&coloured[(row - rows.start) * width..][..width]) {
                    *sum += weight * channel;
                }
            }
            if is_black {
                return;
            }
            let (line, _) = line.as_chunks::<3>();
            for (pixel, taps) in out.iter_mut().zip(&col_taps) {
                let mut sum = [0.0f32; 3];
                for (col, weight) in taps.inside(&cols) {
                    let colour = line[col - cols.start];
                    sum = [0, 1, 2].map(|channel| sum[channel] + weight * colour[channel]);
                }
                *pixel = sum.map(|x| (x / 255.0).clamp(0.0, 1.0));
            }
        },
    );
    resized
}

/// Rows and columns that hold all pixels that are not black.
fn coloured_window(image: &RgbImage) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let size = image.size();
    let has_colour = |pixel: &[u8; 3]| *pixel != [0; 3];
    let (mut top, mut bottom, mut left, mut right) = (size.rows, 0, size.cols, 0);
    for row in 0..size.rows {
        let pixels = image.row(row);
        let Some(first) = pixels.iter().position(has_colour) else { continue };
        let last = pixels.iter().rposition(has_colour).unwrap_or(first);
        (top, bottom) = (top.min(row), row + 1);
        (left, right) = (left.min(first), right.max(last + 1));
    }
    (bottom > top).then_some((top..bottom, left..right))
}

/// The source pixels of one target pixel and their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Taps {
    /// Source pixel and weight of the taps that lie in `range`.
    fn inside(&self, range: &std::ops::Range<usize>) -> impl Iterator<Item = (usize, f32)> {
        let end = (self.first + self.weights.len()).min(range.end);
        let start = self.first.max(range.start).min(end);
        (start..end).zip(&self.weights[(start - self.first).min(self.weights.len())..]).map(|(i, w)| (i, *w))
    }
}

fn taps(source: usize, target: usize) -> Vec<Taps> {
    let scale = source as f64 / target as f64;
    // The cubic reaches two pixels; when shrinking, two target pixels.
    let filter_scale = scale.max(1.0);
    let reach = 2.0 * filter_scale;
    (0..target)
        .map(|i| {
            let centre = scale * (i as f64 + 0.5);
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(source);
            let raw: Vec<f64> = (first..end).map(|j| cubic((j as f64 - centre + 0.5) / filter_scale)).collect();
            let total: f64 = raw.iter().sum();
            Taps { first, weights: raw.iter().map(|w| (w / total) as f32).collect() }
        })
        .collect()
}

/// The cubic convolution kernel (Keys 1981) with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::IMAGE_SIDE;

    #[derive(serde::Deserialize)]
    struct GoldenCase {
        source: [usize; 2],
        target: [usize; 2],
        image: Vec<[u8; 3]>,
        resized: Vec<[f32; 3]>,
    }

    fn golden() -> Vec<GoldenCase> {
        serde_json::from_str(include_str!("../tests/goldens/resample.json")).unwrap()
    }

    #[test]
    fn colour_equals_torch() {
        for case in golden() {
            let image = Grid::new(GridSize::new(case.source[0], case.source[1]), case.image).unwrap();
            let resized = resize_bicubic(&image, GridSize::new(case.target[0], case.target[1]));
            for (ours, torch) in resized.as_slice().iter().zip(&case.resized) {
                for channel in 0..3 {
                    // Single-precision sums of at most 20 terms, twice, of numbers up to 1.
                    assert!((ours[channel] - torch[channel].clamp(0.0, 1.0)).abs() < 1e-5, "{ours:?} {torch:?}");
                }
            }
        }
    }

    #[test]
    fn a_black_surround_changes_nothing_and_stays_black() {
        let size = GridSize::new(400, 400);
        let inside = |i: usize| (150..250).contains(&i);
        let image = Grid::from_fn(size, |r, c| if inside(r) && inside(c) { [200, 7, (r % 256) as u8] } else { [0; 3] });
        let resized = resize_bicubic(&image, GridSize::new(IMAGE_SIDE, IMAGE_SIDE));
        assert_eq!(resized[(0, 0)], [0.0; 3]);
        assert_eq!(resized[(80, 112)], [0.0; 3]);
        // Flat colour keeps its value away from the edge; the weights' sum is 1 to single precision.
        assert!((resized[(112, 112)][0] - 200.0 / 255.0).abs() < 1e-6);
    }

    #[test]
    fn masks_take_the_pixel_at_the_centre() {
        for side in [1usize, 100, 224, 400, 900] {
            let mask = Mask::from_fn(GridSize::new(side, side), |row, col| (row + col) % 2 == 0);
            let small = resample_mask(&mask, IMAGE_SIDE);
            for i in 0..IMAGE_SIDE {
                let source = ((i as f64 + 0.5) * side as f64 / 224.0).floor() as usize;
                assert_eq!(small[(i, 3)], mask[(source, (3.5 * side as f64 / 224.0) as usize)]);
            }
        }
    }
}
