//! The picture of one scan: the camera's colour image with the true defect's outline, then the SDF, RGB and fused maps,
//! side by side, zoomed to the part.

use shapeguard_core::alignment::Alignment;
use shapeguard_core::fusion::AnomalyMaps;
use shapeguard_core::grid::{Grid, GridSize, Mask, RgbImage, ScoreMap};
use shapeguard_core::resample::Sample;
use shapeguard_core::seams::IMAGE_SIDE;
use shapeguard_core::settings::FusionRule;
use shapeguard_data::{DataError, encode_rgb_png};

use crate::detector::{Detector, Inspection};
use crate::evaluation::LabelledScan;
use crate::pictures::{heat_map, outline};

/// Colour of the ground truth's outline.
const TRUTH_COLOUR: [u8; 3] = [0, 230, 118];
/// Side of a panel, pixels.
const PANEL_SIDE: usize = IMAGE_SIDE;
/// Panels of a strip: colour, SDF, RGB, fused.
pub(super) const PANELS: usize = 4;
/// Columns between the panels, pixels.
const GAP_PX: usize = 4;
/// Colour of the gaps: apart from the maps' black, and at home on light and on dark pages.
const GAP_COLOUR: [u8; 3] = [128; 3];
/// Size of a strip.
pub(super) const STRIP_SIZE: GridSize = GridSize::new(PANEL_SIDE, PANELS * (PANEL_SIDE + GAP_PX) - GAP_PX);
/// Where the shape expert fired, where the appearance expert did, and where neither (Okabe and Ito's orange and blue).
const SHAPE_COLOUR: [u8; 3] = [230, 159, 0];
/// See [`SHAPE_COLOUR`].
const APPEARANCE_COLOUR: [u8; 3] = [86, 180, 233];
/// See [`SHAPE_COLOUR`].
const GREY: [u8; 3] = [128; 3];
/// Room around the part, of its larger side, for what the blur carries beyond it.
const MARGIN: f32 = 0.15;
/// Smallest view, pixels of the maps: below, a zoom shows nothing more.
const MIN_VIEW_PX: f32 = 64.0;

/// What scores are shown in: one scale for all maps, so that they can be compared.
#[derive(Clone, Copy, Debug)]
pub struct MapScale {
    /// Brings each expert's scores to one scale.
    pub alignment: Alignment,
    /// The rule that the fused map was made by.
    pub rule: FusionRule,
    /// The highest value that a good scan's fused map reached: the middle of the colours.
    pub good_peak: f32,
}

/// The picture of one scan.
pub fn strip(labelled: &LabelledScan, inspection: &Inspection, good_peak: f32, detector: &Detector) -> RgbImage {
    let scale = MapScale { alignment: detector.alignment(), rule: detector.settings().fusion.rule, good_peak };
    let Panels { colour, truth, sdf, rgb, fused, .. } = panels(labelled, &inspection.sample, &inspection.maps, scale);
    let colour = match truth {
        Some(truth) => outline(colour, &truth, TRUTH_COLOUR),
        None => colour,
    };
    side_by_side(&[colour, sdf, rgb, fused])
}

/// The pictures of one scan that strips and sheets are made of, all of the same part of the scan.
#[derive(Clone, Debug)]
pub struct Panels {
    /// The camera's colours.
    pub colour: RgbImage,
    /// Where the scan is defective, if that is known.
    pub truth: Option<Mask>,
    /// The shape expert's map.
    pub sdf: RgbImage,
    /// The appearance expert's map.
    pub rgb: RgbImage,
    /// Both.
    pub fused: RgbImage,
    /// Which expert fired: orange where the shape expert's score is the larger, blue where the appearance expert's is;
    /// grey where both are within what good parts reach.
    pub fired: RgbImage,
}

/// Makes the pictures of one scan.
pub fn panels(labelled: &LabelledScan, sample: &Sample, maps: &AnomalyMaps, scale: MapScale) -> Panels {
    let view = View::of(sample);
    let MapScale { alignment, rule, good_peak } = scale;
    let truth = labelled.truth.as_ref().map(|truth| {
        let size = truth.size();
        Grid::from_fn(GridSize::new(PANEL_SIDE, PANEL_SIDE), |row, col| {
            let (row, col) = view.scan_pixel(row as f32 + 0.5, col as f32 + 0.5, sample);
            pixel_of(row, size.rows).zip(pixel_of(col, size.cols)).is_some_and(|place| truth[place])
        })
    });
    let shape = view.map(&maps.shape.map(|score| alignment.shape_on_fused_scale(*score, rule)));
    let appearance = view.map(&maps.appearance.map(|score| alignment.appearance_on_fused_scale(*score, rule)));
    Panels {
        colour: view.colour(&labelled.loaded, sample),
        truth,
        fired: fired(&shape, &appearance, good_peak),
        sdf: heat_map(&shape, good_peak),
        rgb: heat_map(&appearance, good_peak),
        fused: heat_map(&view.map(&maps.fused), good_peak),
    }
}

/// The panel [`Panels::fired`].
fn fired(shape: &ScoreMap, appearance: &ScoreMap, good_peak: f32) -> RgbImage {
    Grid::from_fn(shape.size(), |row, col| {
        let (shape, appearance) = (shape[(row, col)], appearance[(row, col)]);
        let level = if good_peak > 0.0 { (shape.max(appearance) / (2.0 * good_peak)).clamp(0.0, 1.0) } else { 0.0 };
        let colour = if level < 0.5 {
            GREY
        } else if shape >= appearance {
            SHAPE_COLOUR
        } else {
            APPEARANCE_COLOUR
        };
        colour.map(|channel| (f32::from(channel) * level).round() as u8)
    })
}

/// Pictures of one height and width beside each other, a row of a sheet.
///
/// # Panics
/// If there is none: a bug of the caller.
pub fn side_by_side(panels: &[RgbImage]) -> RgbImage {
    let side = panels.first().expect("a row has a picture").size();
    let pitch = side.cols + GAP_PX;
    let size = GridSize::new(side.rows, panels.len() * pitch - GAP_PX);
    Grid::from_fn(size, |row, col| {
        let (panel, col) = (col / pitch, col % pitch);
        if col < side.cols { panels[panel][(row, col)] } else { GAP_COLOUR }
    })
}

/// A scan's strip, encoded.
#[derive(Clone, Debug)]
pub struct StripPng(Vec<u8>);

impl StripPng {
    /// Encodes the strip of a scan.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn new(labelled: &LabelledScan, inspection: &Inspection, detector: &Detector) -> Result<Self, DataError> {
        Ok(Self(encode_rgb_png(&strip(labelled, inspection, detector.good_peak(), detector))?))
    }

    /// The PNG's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The square of the maps that a strip shows, in pixels of the maps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct View {
    top: f32,
    left: f32,
    side: f32,
}

impl View {
    /// The part with a margin; never beyond the maps.
    fn of(sample: &Sample) -> Self {
        let (mut rows, mut cols) = ((usize::MAX, 0), (usize::MAX, 0));
        for (pixel, _) in sample.cloud.valid().as_slice().iter().enumerate().filter(|(_, valid)| **valid) {
            let (row, col) = (pixel / sample.side(), pixel % sample.side());
            rows = (rows.0.min(row), rows.1.max(row + 1));
            cols = (cols.0.min(col), cols.1.max(col + 1));
        }
        let whole = sample.side() as f32;
        if rows.0 > rows.1 {
            return Self { top: 0.0, left: 0.0, side: whole };
        }
        let part = (rows.1 - rows.0).max(cols.1 - cols.0) as f32;
        let side = (part * (1.0 + 2.0 * MARGIN)).clamp(MIN_VIEW_PX, whole);
        let start = |(from, to): (usize, usize)| (((from + to) as f32 - side) / 2.0).clamp(0.0, whole - side);
        Self { top: start(rows), left: start(cols), side }
    }

    /// Where a place of a panel lies on the maps.
    fn map_place(&self, row: f32, col: f32) -> (f32, f32) {
        let scale = self.side / PANEL_SIDE as f32;
        (self.top + row * scale, self.left + col * scale)
    }

    /// Where a place of a panel lies on the scan; outside it where the scan was padded.
    fn scan_pixel(&self, row: f32, col: f32, sample: &Sample) -> (f32, f32) {
        let (row, col) = self.map_place(row, col);
        let scale = sample.square_side as f32 / sample.side() as f32;
        (row * scale - sample.offset.0 as f32, col * scale - sample.offset.1 as f32)
    }

    /// The camera's colours; black beyond them.
    fn colour(&self, loaded: &crate::LoadedScan, sample: &Sample) -> RgbImage {
        let (rgb, size) = (loaded.scan.rgb(), loaded.scan.size());
        // As many samples along each side of a panel's pixel as it covers pixels of the scan.
        let covered = self.side / PANEL_SIDE as f32 * sample.square_side as f32 / sample.side() as f32;
        let n = (covered.ceil() as usize).max(1);
        Grid::from_fn(GridSize::new(PANEL_SIDE, PANEL_SIDE), |row, col| {
            let mut sum = [0; 3];
            for i in 0..n * n {
                let within = |i: usize| (i as f32 + 0.5) / n as f32;
                let (row, col) = self.scan_pixel(row as f32 + within(i / n), col as f32 + within(i % n), sample);
                if let Some(place) = pixel_of(row, size.rows).zip(pixel_of(col, size.cols)) {
                    sum = std::array::from_fn(|channel| sum[channel] + usize::from(rgb[place][channel]));
                }
            }
            sum.map(|sum| (sum / (n * n)) as u8)
        })
    }

    /// A map, between its pixels by bilinear interpolation.
    fn map(&self, map: &ScoreMap) -> ScoreMap {
        let last = map.size().rows - 1;
        let around = |place: f32| {
            let place = (place - 0.5).clamp(0.0, last as f32);
            let low = place.floor() as usize;
            (low, (low + 1).min(last), place - low as f32)
        };
        Grid::from_fn(GridSize::new(PANEL_SIDE, PANEL_SIDE), |row, col| {
            let (row, col) = self.map_place(row as f32 + 0.5, col as f32 + 0.5);
            let ((top, bottom, down), (left, right, across)) = (around(row), around(col));
            let upper = map[(top, left)] * (1.0 - across) + map[(top, right)] * across;
            let lower = map[(bottom, left)] * (1.0 - across) + map[(bottom, right)] * across;
            upper * (1.0 - down) + lower * down
        })
    }
}

/// The pixel that a place lies in; `None` outside.
fn pixel_of(place: f32, count: usize) -> Option<usize> {
    (place >= 0.0 && place < count as f32).then_some(place as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LoadedScan;
    use shapeguard_core::grid::Mask;
    use shapeguard_core::sample::{OrganizedCloud, Scan};

    /// A sample of a scan of 200 rows and 300 columns, padded to 448: each pixel of the maps is two of the scan.
    fn sample(is_part: impl Fn(usize, usize) -> bool) -> Sample {
        let size = GridSize::new(IMAGE_SIDE, IMAGE_SIDE);
        let valid = Mask::from_fn(size, is_part);
        Sample {
            cloud: OrganizedCloud::from_parts(Grid::filled(size, [0.1, 0.2, 0.5]), valid),
            rgb: Grid::filled(size, [0.0; 3]),
            square_side: 448,
            source_size: GridSize::new(200, 300),
            offset: (124, 74),
        }
    }

    #[test]
    fn the_view_is_the_part_with_a_margin() {
        // 60 x 80 pixels around (100, 110): 80 * 1.3 = 104.
        let view = View::of(&sample(|row, col| (70..130).contains(&row) && (70..150).contains(&col)));
        assert_eq!(view, View { top: 48.0, left: 58.0, side: 104.0 });
        let corner = View::of(&sample(|row, col| row < 10 && col > 213));
        assert_eq!(corner, View { top: 0.0, left: 160.0, side: 64.0 });
        let everything = View { top: 0.0, left: 0.0, side: 224.0 };
        assert_eq!(View::of(&sample(|_, _| true)), everything);
        assert_eq!(View::of(&sample(|_, _| false)), everything);
    }

    #[test]
    fn colour_and_maps_show_the_same_places() {
        let sample = sample(|row, col| (70..130).contains(&row) && (70..150).contains(&col));
        let view = View::of(&sample);
        // The centre of the view is the centre of the part: (100, 110) on the maps.
        assert_eq!(view.map_place(112.0, 112.0), (100.0, 110.0));
        assert_eq!(view.scan_pixel(112.0, 112.0, &sample), (200.0 - 124.0, 220.0 - 74.0));

        let map = Grid::from_fn(GridSize::new(IMAGE_SIDE, IMAGE_SIDE), |_, col| col as f32 + 0.5);
        let size = GridSize::new(200, 300);
        let rgb = Grid::from_fn(size, |_, col| [(col % 256) as u8; 3]);
        let points = Grid::from_fn(size, |row, col| [col as f32 * 1e-3, row as f32 * 1e-3, 0.5]);
        let cloud = OrganizedCloud::from_parts(points, Mask::filled(size, true));
        let loaded = LoadedScan { scan: Scan::new(cloud, rgb).unwrap(), mask: None };
        let (shown_map, shown_colour) = (view.map(&map), view.colour(&loaded, &sample));
        for col in [0, 50, 112, 223] {
            let on_map = view.map_place(0.0, col as f32 + 0.5).1;
            assert!((shown_map[(112, col)] - on_map).abs() < 1e-3, "a linear map stays linear");
            let on_scan = 2.0 * on_map - 74.0;
            // A mean of whole pixels, cut to a whole number.
            assert!((f32::from(shown_colour[(112, col)][0]) + 0.5 - on_scan).abs() <= 1.0, "{col}");
        }
    }

    #[test]
    fn the_expert_with_the_larger_score_fires_where_good_parts_do_not_reach() {
        let size = GridSize::new(1, 4);
        let shape = Grid::new(size, vec![0.5, 2.0, 1.0, f32::NAN]).unwrap();
        let appearance = Grid::new(size, vec![0.9, 1.0, 4.0, 0.0]).unwrap();
        let shown = fired(&shape, &appearance, 1.0);
        let dark = GREY.map(|channel| (f32::from(channel) * 0.45_f32).round() as u8);
        assert_eq!(shown.as_slice()[..3], [dark, SHAPE_COLOUR, APPEARANCE_COLOUR]);
        assert!(
            fired(&shape, &appearance, 0.0).as_slice().iter().all(|pixel| *pixel == [0; 3]),
            "no scale, no picture"
        );
    }

    #[test]
    fn places_outside_the_scan_are_no_pixels() {
        assert_eq!(
            [-0.1, 0.0, 9.9, 10.0, f32::NAN].map(|place| pixel_of(place, 10)),
            [None, Some(0), Some(9), None, None]
        );
    }
}
