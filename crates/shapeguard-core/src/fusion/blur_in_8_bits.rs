//! The reference's blur, where the quirk `blur_in_8_bits` is on: a map becomes an image of 8 bits, relative to its maximum and
//! truncated, boxes approximate the Gaussian, and the result is multiplied by the maximum again.
//!
//! Source: Gwosdek, Grewenig, Bruhn and Weickert, *Theoretical Foundations of Gaussian Convolution by Extended Box Filtering*
//! (2011): three passes of a box whose two outermost pixels have a smaller weight, so that its variance is exactly a third of
//! the Gaussian's. As Pillow's `GaussianBlur` does it: first all passes along rows and then all along columns, rounded to whole
//! levels after each, the border's pixel repeated beyond it, weights in fixed point. Pinned by the golden
//! `tests/goldens/blur_in_8_bits.json`, level by level.

use super::{LARGEST_RADIUS_PX, larger};
use crate::grid::{Grid, ScoreMap};

/// Boxes that make a Gaussian (Pillow).
const PASSES: usize = 3;
/// The level of a map's maximum.
const WHITE: f32 = 255.0;
/// Weights are counted in so many parts of one.
const ONE: u32 = 1 << 24;

/// Blurs as the reference does. A map without a score above 0 stays as it is, and so does one that has a score which is not finite:
/// it must surface.
pub fn blur_in_8_bits(map: &ScoreMap, sigma_px: f32) -> ScoreMap {
    let peak = map.as_slice().iter().copied().fold(0.0, larger);
    if !(peak > 0.0 && peak.is_finite()) {
        return map.clone();
    }
    // Truncates.
    let levels = map.map(|value| (value / peak * WHITE) as u8);
    box_blur(&levels, sigma_px).map(|level| f32::from(*level) / WHITE * peak)
}

/// Blurs an image of 8 bits.
fn box_blur(levels: &Grid<u8>, sigma_px: f32) -> Grid<u8> {
    let kernel = BoxKernel::new(sigma_px);
    let size = levels.size();
    let mut blurred = levels.clone();
    if size.area() == 0 {
        return blurred;
    }
    for row in blurred.as_mut_slice().chunks_exact_mut(size.cols) {
        (0..PASSES).for_each(|_| kernel.pass(row));
    }
    for col in 0..size.cols {
        let mut column: Vec<u8> = (0..size.rows).map(|row| blurred[(row, col)]).collect();
        (0..PASSES).for_each(|_| kernel.pass(&mut column));
        column.iter().enumerate().for_each(|(row, level)| blurred[(row, col)] = *level);
    }
    blurred
}

/// A box of `2 radius + 1` pixels and one more at each end, whose weight is smaller.
struct BoxKernel {
    radius: usize,
    /// Weight of a pixel in the box.
    whole: u32,
    /// Weight of the pixel at each end.
    end: u32,
}

impl BoxKernel {
    /// The box whose variance is that of the Gaussian, shared out to the passes; one that is not positive blurs nothing.
    fn new(sigma_px: f32) -> Self {
        let sigma = if sigma_px > 0.0 { sigma_px.min(LARGEST_RADIUS_PX) } else { 0.0 };
        let variance = sigma * sigma / PASSES as f32;
        let radius = (((12.0 * variance + 1.0).sqrt() - 1.0) / 2.0).floor();
        let share = (2.0 * radius + 1.0) * (radius * (radius + 1.0) - 3.0 * variance)
            / (6.0 * (variance - (radius + 1.0) * (radius + 1.0)));
        let whole = (ONE as f32 / (2.0 * (radius + share) + 1.0)) as u32;
        let radius = radius as usize;
        Self { radius, whole, end: (ONE - (2 * radius as u32 + 1) * whole) / 2 }
    }

    fn pass(&self, line: &mut [u8]) {
        let reach = self.radius + 1;
        let (first, last) = (line[0], line[line.len() - 1]);
        let beyond = |level: u8| std::iter::repeat_n(u32::from(level), reach);
        let padded: Vec<u32> =
            beyond(first).chain(line.iter().map(|level| u32::from(*level))).chain(beyond(last)).collect();
        let mut sum: u32 = padded[1..2 * reach].iter().sum();
        for (i, level) in line.iter_mut().enumerate() {
            let (before, after) = (padded[i], padded[i + 2 * reach]);
            // All weights together are one at most: 255 and a half of 2^24 fit.
            *level = ((sum * self.whole + (before + after) * self.end + ONE / 2) / ONE) as u8;
            sum = sum + after - padded[i + 1];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::GridSize;

    #[derive(serde::Deserialize)]
    struct GoldenCase {
        size: [usize; 2],
        sigma: f32,
        image: Vec<u8>,
        blurred: Vec<u8>,
    }

    #[test]
    fn boxes_equal_pillows() {
        let golden: Vec<GoldenCase> =
            serde_json::from_str(include_str!("../../tests/goldens/blur_in_8_bits.json")).unwrap();
        assert!(golden.iter().any(|case| case.sigma == 4.0));
        for case in golden {
            let image = Grid::new(GridSize::new(case.size[0], case.size[1]), case.image).unwrap();
            assert_eq!(box_blur(&image, case.sigma).as_slice(), case.blurred, "{:?}, sigma {}", case.size, case.sigma);
        }
    }

    #[test]
    fn a_weak_score_beside_a_strong_one_vanishes_in_8_bits() {
        let mut map = Grid::filled(GridSize::new(100, 100), 0.0);
        map[(10, 10)] = 1000.0;
        map[(80, 80)] = 3.0;
        let blurred = blur_in_8_bits(&map, 4.0);
        // 3 of 1000 is less than one of 255 levels.
        assert_eq!(blurred[(80, 80)], 0.0);
        // A peak of 255 that the Gaussian spreads to 2.5 becomes three levels at most, and where less than half of one is left
        // after a pass, none.
        let levels: Vec<f32> = blurred.as_slice().iter().map(|value| value / 1000.0 * WHITE).collect();
        assert!((levels[10 * 100 + 10] - 2.0).abs() <= 1.0, "{}", levels[10 * 100 + 10]);
        assert!(levels.iter().all(|level| (level - level.round()).abs() < 1e-4));
        assert_eq!(blurred[(10, 24)], 0.0);
    }

    #[test]
    fn a_constant_stays_one_and_is_repeated_beyond_the_border() {
        let map = Grid::filled(GridSize::new(9, 12), 0.3);
        assert_eq!(blur_in_8_bits(&map, 4.0), map);
    }

    #[test]
    fn what_has_no_level_stays_as_it_is() {
        let size = GridSize::new(3, 3);
        assert_eq!(blur_in_8_bits(&Grid::filled(size, 0.0), 4.0), Grid::filled(size, 0.0));
        assert_eq!(
            blur_in_8_bits(&Grid::filled(GridSize::new(0, 3), 1.0), 4.0),
            Grid::filled(GridSize::new(0, 3), 1.0)
        );
        let mut hole = Grid::filled(size, 1.0);
        hole[(1, 1)] = f32::NAN;
        assert!(blur_in_8_bits(&hole, 4.0)[(1, 1)].is_nan());
        // Without a sigma the levels are truncated, nothing else.
        let two = Grid::new(GridSize::new(1, 2), vec![1.0, 0.4999]).unwrap();
        for sigma in [0.0, -1.0, f32::NAN] {
            assert_eq!(blur_in_8_bits(&two, sigma).as_slice(), [1.0, 127.0 / 255.0]);
        }
        assert!(blur_in_8_bits(&two, f32::INFINITY).as_slice().iter().all(|value| value.is_finite()));
    }
}
