//! Blur, fusion of the two experts' maps, and sample scores (paper section 3.4; docs/method.md, "Alignment, fusion, scores").
//!
//! The published implementation blurs in 8 bits and by boxes; this is a true Gaussian, so that weak isolated scores
//! survive. Test: `a_weak_score_beside_a_strong_one_survives_the_blur`. [`fuse_with`] restores its blur. The rule
//! `root-sum-squares` and the sample scores `fused-top` and `product-top` are ours.

mod blur_in_8_bits;

pub use blur_in_8_bits::blur_in_8_bits;

use crate::alignment::Alignment;
use crate::grid::{Grid, ScoreMap};
use crate::scoring::SampleScores;
use crate::settings::{FusionRule, FusionSettings, ReferenceQuirks, SampleScoring};

/// `SampleScoring::FusedTop` averages one of this many pixels.
const TOP_ONE_OF: usize = 1000;
/// `SampleScoring::ProductTop` averages one of this many pixels: about the size of a small defect.
const PRODUCT_TOP_ONE_OF: usize = 250;

/// Longest half width of a kernel: far beyond any sensible blur, and little enough to allocate. The settings
/// are checked elsewhere; [`gaussian_blur`] itself takes any numbers, and a huge one would ask for more than all memory.
const LARGEST_RADIUS_PX: f32 = 4096.0;

/// The final maps of a sample, all blurred.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyMaps {
    /// SDF.
    pub shape: ScoreMap,
    /// RGB.
    pub appearance: ScoreMap,
    /// Both.
    pub fused: ScoreMap,
}

/// The scores of a whole sample, one per expert and one for both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// SDF.
    pub shape: f32,
    /// RGB.
    pub appearance: f32,
    /// Both.
    pub fused: f32,
}

/// Fuses two experts' scores to final maps. By [`FusionRule::Maximum`], the paper's, the fused map is
/// `blur(max(max(a * rgb + b, 0), sdf))`; by [`FusionRule::RootSumSquares`] it is [`root_sum_squares`] of both blurred maps.
pub fn fuse(scores: &SampleScores, alignment: Alignment, settings: &FusionSettings) -> AnomalyMaps {
    fuse_with(scores, alignment, settings, ReferenceQuirks::default())
}

/// As [`fuse`], with the reference's `blur_in_8_bits` where it is on.
pub fn fuse_with(
    scores: &SampleScores,
    alignment: Alignment,
    settings: &FusionSettings,
    quirks: ReferenceQuirks,
) -> AnomalyMaps {
    let blur = |map: &ScoreMap| blur(map, settings, quirks);
    let (shape, appearance) = (blur(&scores.shape.map), blur(&scores.appearance.map));
    let fused = match settings.rule {
        FusionRule::Maximum => blur(&fuse_unblurred(&scores.shape.map, &scores.appearance.map, alignment)),
        FusionRule::RootSumSquares => root_sum_squares(&shape, &appearance, alignment),
    };
    AnomalyMaps { shape, appearance, fused }
}

/// Both scores in deviations above the mean of good parts, cut at 0, and of the two the root of the sum of squares: what both
/// experts see counts more than what one sees, and what neither sees is 0. Ours.
///
/// # Panics
/// If the maps' sizes differ: a bug of the caller.
pub fn root_sum_squares(shape: &ScoreMap, appearance: &ScoreMap, alignment: Alignment) -> ScoreMap {
    assert_eq!(shape.size(), appearance.size(), "both experts' maps must have one size");
    let rule = FusionRule::RootSumSquares;
    Grid::from_fn(shape.size(), |row, col| {
        let of_shape = alignment.shape_on_fused_scale(shape[(row, col)], rule);
        let of_appearance = alignment.appearance_on_fused_scale(appearance[(row, col)], rule);
        (of_shape * of_shape + of_appearance * of_appearance).sqrt()
    })
}

/// `max(max(a * rgb + b, 0), sdf)` pixel by pixel, background included.
///
/// # Panics
/// If the maps' sizes differ: a bug of the caller.
pub fn fuse_unblurred(shape: &ScoreMap, appearance: &ScoreMap, alignment: Alignment) -> ScoreMap {
    assert_eq!(shape.size(), appearance.size(), "both experts' maps must have one size");
    Grid::from_fn(shape.size(), |row, col| {
        larger(alignment.appearance_on_fused_scale(appearance[(row, col)], FusionRule::Maximum), shape[(row, col)])
    })
}

/// The sample's scores.
pub fn sample_scores(scores: &SampleScores, maps: &AnomalyMaps, settings: &FusionSettings) -> Scores {
    let shape = scores.shape.sample_score;
    let appearance = scores.appearance.sample_score;
    let fused = match settings.sample_score {
        SampleScoring::Product => shape * appearance,
        SampleScoring::FusedTop => mean_of_largest(&maps.fused, TOP_ONE_OF),
        SampleScoring::ProductTop => shape * appearance * mean_of_largest(&maps.fused, PRODUCT_TOP_ONE_OF),
    };
    Scores { shape, appearance, fused }
}

/// Mean of the largest pixels, one of `one_of`, but at least one.
pub(crate) fn mean_of_largest(map: &ScoreMap, one_of: usize) -> f32 {
    let mut values = map.as_slice().to_vec();
    let count = (values.len() / one_of).max(1);
    if values.is_empty() {
        return 0.0;
    }
    // NaN sorts as the largest and so surfaces in the mean.
    values.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
    let top = &mut values[..count];
    top.sort_unstable_by(f32::total_cmp);
    (top.iter().map(|value| f64::from(*value)).sum::<f64>() / count as f64) as f32
}

/// The larger of two numbers; NaN if either is, where `f32::max` would hide it.
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// The blur of the settings, or the reference's.
pub(crate) fn blur(map: &ScoreMap, settings: &FusionSettings, quirks: ReferenceQuirks) -> ScoreMap {
    if quirks.blur_in_8_bits {
        blur_in_8_bits(map, settings.blur_sigma_px)
    } else {
        gaussian_blur(map, settings.blur_sigma_px, settings.blur_truncate)
    }
}

/// A true Gaussian blur, separable, zero beyond the border. The kernel reaches `truncate * sigma_px` pixels (rounded)
/// to each side and sums to one; a sigma that is not positive leaves the map as it is.
pub fn gaussian_blur(map: &ScoreMap, sigma_px: f32, truncate: f32) -> ScoreMap {
    if !(sigma_px > 0.0 && map.size().area() > 0) {
        return map.clone();
    }
    let kernel = half_kernel(sigma_px, truncate);
    let (rows, cols) = (map.size().rows, map.size().cols);
    let radius = kernel.len() - 1;
    let mut across = vec![0.0; map.size().area()];
    let mut padded = vec![0.0; cols + 2 * radius];
    for (row, out) in across.chunks_exact_mut(cols).enumerate() {
        padded[radius..radius + cols].copy_from_slice(map.row(row));
        convolve(out, &kernel, |offset| {
            let start = (radius as isize + offset) as usize;
            Some(&padded[start..start + cols])
        });
    }
    let mut both = Grid::filled(map.size(), 0.0);
    for (row, out) in both.as_mut_slice().chunks_exact_mut(cols).enumerate() {
        convolve(out, &kernel, |offset| {
            let row = usize::try_from(row as isize + offset).ok().filter(|row| *row < rows)?;
            Some(&across[row * cols..(row + 1) * cols])
        });
    }
    both
}

/// `out = sum over offsets of kernel[|offset|] * line(offset)`, where a line beyond the border is absent. Whole lines
/// at a time, so that the compiler makes vector instructions of it.
fn convolve<'a>(out: &mut [f32], kernel: &[f32], line: impl Fn(isize) -> Option<&'a [f32]>) {
    for (distance, weight) in kernel.iter().enumerate() {
        let distance = distance as isize;
        match (line(-distance), line(distance)) {
            (Some(a), Some(_)) if distance == 0 => {
                out.iter_mut().zip(a).for_each(|(sum, a)| *sum = weight * a);
            }
            (Some(a), Some(b)) => {
                out.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += weight * (a + b));
            }
            (Some(a), None) | (None, Some(a)) => {
                out.iter_mut().zip(a).for_each(|(sum, a)| *sum += weight * a);
            }
            (None, None) => {}
        }
    }
}

/// The Gaussian from its centre outwards; both sides together sum to one.
fn half_kernel(sigma_px: f32, truncate: f32) -> Vec<f32> {
    let radius = (truncate * sigma_px).round().clamp(0.0, LARGEST_RADIUS_PX) as usize;
    let sigma = f64::from(sigma_px);
    let weights: Vec<f64> = (0..=radius).map(|x| (-0.5 * (x as f64 / sigma) * (x as f64 / sigma)).exp()).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

#[cfg(test)]
mod tests;
