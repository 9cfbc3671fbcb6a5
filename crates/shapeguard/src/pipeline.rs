//! From one scan to the experts' features: the part of the method that fitting and inspecting share
//! (docs/method.md, sections "Foreground" to "Appearance expert").

use std::time::{Duration, Instant};

use shapeguard_core::expert_inputs::{normalised_patch_points, patch_cells_with};
use shapeguard_core::foreground::{self, ForegroundError, ForegroundWarning};
use shapeguard_core::grid::{Grid, GridSize, Mask, ScoreMap};
use shapeguard_core::memory::SampleFeatures;
use shapeguard_core::patches::{PatchError, PatchSet, extract_patches};
use shapeguard_core::resample::{MapFrame, Sample, resample_mask, resample_with};
use shapeguard_core::sample::Scan;
use shapeguard_core::seams::{AppearanceExpert, ShapeExpert};
use shapeguard_core::settings::Settings;

/// Largest side of the square that a scan is padded to, pixels: beyond a square scan of 64 megapixels, the most that is
/// read by default. The square of a scan that is long and narrow has far more pixels than the scan.
const MAX_SQUARE_SIDE_PX: usize = 10_000;

/// Why a scan cannot be judged.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotJudged {
    /// Too long for the square that it is padded to.
    #[error(
        "the scan has {size}; expected sides of at most {MAX_SQUARE_SIDE_PX} pixels; cut it into shorter pieces, or bin it"
    )]
    TooLong {
        /// Size of the scan.
        size: GridSize,
    },
    /// No part was found.
    #[error(transparent)]
    Foreground(#[from] ForegroundError),
    /// The part cannot be cut into patches.
    #[error(transparent)]
    Patches(#[from] PatchError),
    /// A part of no category that the model knows.
    #[error(
        "unknown part: nearest is {nearest}, at {distance:.2} times the distance that is typical of its good scans, expected at most {limit}; the model knows {known}; give the category if it is one of these, else fit a model that knows the part"
    )]
    UnknownPart {
        /// The nearest category.
        nearest: String,
        /// How far it is.
        distance: f32,
        /// How far it may be.
        limit: f32,
        /// All categories of the model.
        known: String,
    },
    /// A score is not a number: a bug, or damaged weights.
    #[error("the score is not a finite number ({score}); check the model with `shapeguard info`, and on a GPU the log")]
    NotFinite {
        /// The score.
        score: f32,
    },
}

/// Wall-clock time of each stage of one scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct StageSeconds {
    /// Plane, clustering, padding.
    pub foreground: f64,
    /// To the pixels that the experts see.
    pub resample: f64,
    /// Farthest point sampling and neighbours.
    pub patches: f64,
    /// Encoder of the shape expert.
    pub shape_features: f64,
    /// Colour network.
    pub appearance_features: f64,
    /// Searches, sparse codes, signed distances.
    pub scoring: f64,
    /// Blur, alignment, fusion.
    pub fusion: f64,
}

/// A scan with everything that the memories need to know of it.
#[derive(Clone, Debug)]
pub struct PreparedScan {
    /// The part as the experts see it.
    pub sample: Sample,
    /// Its patches.
    pub patches: PatchSet,
    /// Both experts' features.
    pub features: SampleFeatures,
    /// What the user should know.
    pub warnings: Vec<ForegroundWarning>,
    /// Time so far.
    pub seconds: StageSeconds,
}

/// Measures consecutive stages.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start or the previous lap.
    pub(crate) fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let lap: Duration = now - self.0;
        self.0 = now;
        lap.as_secs_f64()
    }
}

/// Runs foreground, resampling, patches and both experts.
///
/// # Errors
/// If no part is found, it is too small for a patch, or the scan is longer than any camera's.
pub fn prepare(
    scan: &Scan,
    mask: Option<&Mask>,
    settings: &Settings,
    shape: &dyn ShapeExpert,
    appearance: &dyn AppearanceExpert,
) -> Result<PreparedScan, NotJudged> {
    if scan.size().rows.max(scan.size().cols) > MAX_SQUARE_SIDE_PX {
        return Err(NotJudged::TooLong { size: scan.size() });
    }
    let mut watch = Stopwatch::start();
    let mut seconds = StageSeconds::default();
    let quirks = settings.reference_quirks;
    let part = foreground::segment_with(scan, &settings.foreground, mask, settings.seed, quirks)?;
    seconds.foreground = watch.lap();
    let sample = resample_with(&part, settings.image.side_px, quirks);
    seconds.resample = watch.lap();
    let patches = extract_patches(&sample, &settings.patches)?;
    seconds.patches = watch.lap();
    let points = normalised_patch_points(&patches);
    let shape_features = shape.encode(&points, patches.points_per_patch);
    seconds.shape_features = watch.lap();
    let appearance_features = appearance.describe(&sample.rgb);
    seconds.appearance_features = watch.lap();
    let features = SampleFeatures {
        shape: shape_features,
        appearance: appearance_features,
        patch_cells: patch_cells_with(&patches, &settings.patches, quirks),
    };
    let mut warnings = part.warnings;
    if sample.square_side < sample.side() {
        warnings.push(ForegroundWarning::CoarseScan { square_side: sample.square_side, image_side: sample.side() });
    }
    Ok(PreparedScan { sample, patches, features, warnings, seconds })
}

/// Brings a ground-truth mask of the scan's size to the pixels of its maps.
///
/// # Panics
/// If the mask is not of the scan's size: a bug of the caller.
pub fn truth_at_map_size(truth: &Mask, sample: &Sample) -> Mask {
    assert_eq!(truth.size(), sample.source_size, "only a mask of the scan's size has its pixels");
    let square = GridSize::new(sample.square_side, sample.square_side);
    let mut padded = Mask::filled(square, false);
    let (top, left) = sample.offset;
    for row in 0..truth.size().rows {
        let start = (row + top) * square.cols + left;
        padded.as_mut_slice()[start..start + truth.size().cols].copy_from_slice(truth.row(row));
    }
    resample_mask(&padded, sample.side())
}

/// Brings a map back to the scan's own pixels, bilinearly.
pub fn map_at_scan_size(map: &ScoreMap, frame: MapFrame) -> Grid<f32> {
    let scale = frame.side as f32 / frame.square_side as f32;
    let last = frame.side - 1;
    let position = |pixel: usize| {
        let x = ((pixel as f32 + 0.5) * scale - 0.5).clamp(0.0, last as f32);
        let low = x.floor() as usize;
        (low, (low + 1).min(last), x - low as f32)
    };
    let columns: Vec<_> = (0..frame.source_size.cols).map(|col| position(col + frame.offset.1)).collect();
    let rows: Vec<_> = (0..frame.source_size.rows).map(|row| position(row + frame.offset.0)).collect();
    Grid::from_fn(frame.source_size, |row, col| {
        let ((top, bottom, down), (left, right, across)) = (rows[row], columns[col]);
        let upper = map[(top, left)] * (1.0 - across) + map[(top, right)] * across;
        let lower = map[(bottom, left)] * (1.0 - across) + map[(bottom, right)] * across;
        upper * (1.0 - down) + lower * down
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapeguard_core::sample::OrganizedCloud;
    use shapeguard_core::seams::IMAGE_SIDE;

    /// A sample of a scan of 100 rows and 448 columns, padded to 448: a pixel of the maps is two by two of the scan.
    fn sample() -> Sample {
        let size = GridSize::new(IMAGE_SIDE, IMAGE_SIDE);
        Sample {
            cloud: OrganizedCloud::from_parts(Grid::filled(size, [0.0; 3]), Mask::filled(size, false)),
            rgb: Grid::filled(size, [0.0; 3]),
            square_side: 448,
            source_size: GridSize::new(100, 448),
            offset: (174, 0),
        }
    }

    #[test]
    fn truth_comes_to_the_pixels_of_the_maps() {
        let sample = sample();
        // A map's pixel takes the scan's pixel at floor((i + 0.5) * 2) = 2 i + 1, less the offset.
        let truth = Mask::from_fn(sample.source_size, |row, col| (11..31).contains(&row) && (200..240).contains(&col));
        let at_map_size = truth_at_map_size(&truth, &sample);
        let expected = Mask::from_fn(GridSize::new(IMAGE_SIDE, IMAGE_SIDE), |row, col| {
            (185..205).contains(&(2 * row + 1)) && (200..240).contains(&(2 * col + 1))
        });
        assert_eq!(at_map_size, expected);
        assert_eq!(at_map_size.count(), 10 * 20);
    }

    #[test]
    #[should_panic(expected = "only a mask of the scan's size")]
    fn a_truth_of_another_size_is_a_bug() {
        truth_at_map_size(&Mask::filled(GridSize::new(100, 447), true), &sample());
    }

    #[test]
    fn maps_come_back_to_the_scans_own_pixels() {
        let sample = sample();
        let size = GridSize::new(IMAGE_SIDE, IMAGE_SIDE);
        // A map that is linear in both directions stays so: at the centre of the scan's pixel it has the centre's value.
        let map = Grid::from_fn(size, |row, col| (row as f32 + 0.5) + 1000.0 * (col as f32 + 0.5));
        let back = map_at_scan_size(&map, sample.frame());
        assert_eq!(back.size(), sample.source_size);
        for (row, col) in [(0, 1), (57, 100), (99, 446)] {
            let expected = (row as f32 + 174.5) / 2.0 + 1000.0 * (col as f32 + 0.5) / 2.0;
            // Single precision at 200,000.
            assert!((back[(row, col)] - expected).abs() < 0.1, "{row} {col}: {} {expected}", back[(row, col)]);
        }
        // Beyond the outermost centres the value continues.
        assert_eq!(back[(0, 0)], map_at_scan_size(&map.map(|value| value.max(500.0)), sample.frame())[(0, 0)]);
        let one = Grid::filled(size, 1.0);
        assert!(map_at_scan_size(&one, sample.frame()).as_slice().iter().all(|value| *value == 1.0));
    }
}
