//! Where the defects of a rejected part are and how large (docs/method.md, "Defect regions"). Ours: the paper stops at the map.
//!
//! A region is 8-connected on the fused map, above what good parts reach. Its size is the measured surface below it: the area of
//! the triangles between neighbouring points, each shared among its three corners. What has no depth has no area.

use crate::grid::{Grid, GridSize, Mask, ScoreMap};
use crate::metrics::label_regions;
use crate::resample::MapFrame;
use crate::sample::OrganizedCloud;

/// Regions that are told, strongest first: a part that is bad all over doesn't fill a page.
pub const MOST_REGIONS: usize = 50;
/// A triangle with a side longer than this many times the region's median spacing spans a jump in depth: nothing was measured there.
const JUMP_SPACINGS: f32 = 5.0;
/// Square millimetres in a square metre.
const MM2_PER_M2: f64 = 1e6;

/// One defect on a part.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DefectRegion {
    /// Row of the middle, in the scan's pixels from 0.
    pub row: f32,
    /// Column of the middle, in the scan's pixels from 0.
    pub col: f32,
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Last row.
    pub bottom: usize,
    /// Last column.
    pub right: usize,
    /// Number of pixels of the scan.
    pub pixels: usize,
    /// Mean of the points measured in it, metres; `None` where there is none.
    pub xyz_m: Option<[f32; 3]>,
    /// Measured surface in it, square millimetres; `None` where there is none.
    pub area_mm2: Option<f32>,
    /// Highest value of the fused map in it.
    pub peak: f32,
    /// What part of it each expert accounts for.
    pub shares: ExpertShares,
}

/// What part of a finding each expert accounts for; together 1.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExpertShares {
    /// The shape expert's.
    pub sdf: f32,
    /// The appearance expert's.
    pub rgb: f32,
}

/// The defect regions of a part.
#[derive(Clone, Debug, PartialEq)]
pub struct Defects {
    /// The value of the fused map that a region's pixels exceed.
    pub level: f32,
    /// The regions, strongest first.
    pub regions: Vec<DefectRegion>,
    /// Of all of them together; `None` if there is no region.
    pub shares: Option<ExpertShares>,
}

/// The maps that defects are found in, of one size: both experts' on the scale of the fused one.
#[derive(Clone, Copy, Debug)]
pub struct DefectMaps<'a> {
    /// SDF.
    pub shape: &'a ScoreMap,
    /// RGB.
    pub appearance: &'a ScoreMap,
    /// Both.
    pub fused: &'a ScoreMap,
}

impl Defects {
    /// Finds the regions above what good parts reach; if the part was rejected for something weaker, the one around the
    /// highest value, down to half of it. `frame` tells where the maps lie on the scan, `cloud` is the scan's.
    ///
    /// # Panics
    /// If the maps differ in size, or the cloud is not of the scan's size: a bug of the caller.
    pub fn find(maps: DefectMaps<'_>, frame: MapFrame, cloud: &OrganizedCloud, good_peak: f32) -> Self {
        assert_eq!(maps.fused.size(), maps.shape.size(), "maps of one size");
        assert_eq!(maps.fused.size(), maps.appearance.size(), "maps of one size");
        assert_eq!(cloud.size(), frame.source_size, "the cloud of the scan");
        let highest = maps.fused.as_slice().iter().copied().max_by(f32::total_cmp).unwrap_or(0.0);
        let is_weak = highest <= good_peak;
        let level = if is_weak { highest / 2.0 } else { good_peak };
        let labels = label_regions(&maps.fused.map(|value| *value > level)).labels;
        let mut found: Vec<Found> = Vec::new();
        for (pixel, label) in labels.as_slice().iter().enumerate().filter(|(_, label)| **label > 0) {
            let index = *label as usize - 1;
            if index == found.len() {
                found.push(Found::default());
            }
            let of = |map: &ScoreMap| map.as_slice()[pixel];
            found[index].add(*label, of(maps.fused), of(maps.shape), of(maps.appearance));
        }
        found.sort_by(|a, b| b.peak.total_cmp(&a.peak).then(a.label.cmp(&b.label)));
        let most = if is_weak { 1 } else { MOST_REGIONS };
        let on_scan = OnScan::new(&labels, frame, cloud, found.len());
        let mut together = Found::default();
        let mut regions = Vec::new();
        for one in &found {
            if regions.len() == most {
                break;
            }
            // A region in the padding around the scan has no pixel of it.
            if let Some(region) = on_scan.describe(one, cloud) {
                together.shape += one.shape;
                together.appearance += one.appearance;
                regions.push(region);
            }
        }
        let shares = (!regions.is_empty()).then(|| together.shares());
        Self { level, regions, shares }
    }
}

/// What is summed over a region's pixels of the maps.
#[derive(Clone, Debug, Default)]
struct Found {
    label: u32,
    peak: f32,
    shape: f64,
    appearance: f64,
}

impl Found {
    fn add(&mut self, label: u32, fused: f32, shape: f32, appearance: f32) {
        self.label = label;
        self.peak = self.peak.max(fused);
        self.shape += f64::from(shape.max(0.0));
        self.appearance += f64::from(appearance.max(0.0));
    }

    fn shares(&self) -> ExpertShares {
        let sum = self.shape + self.appearance;
        // Neither alone: what both gave rise to.
        let sdf = if sum > 0.0 { (self.shape / sum) as f32 } else { 0.5 };
        ExpertShares { sdf, rgb: 1.0 - sdf }
    }
}

/// Where the regions lie on a scan.
struct OnScan {
    /// Which region each pixel belongs to.
    labels: Grid<u32>,
    /// What is summed over each region's pixels; `None` of those that have none.
    footprints: Vec<Option<Footprint>>,
}

/// What is summed over a region's pixels of the scan.
#[derive(Clone)]
struct Footprint {
    window: Window,
    pixels: usize,
    rows: usize,
    cols: usize,
    points: usize,
    point: [f64; 3],
}

impl OnScan {
    fn new(labels: &Grid<u32>, frame: MapFrame, cloud: &OrganizedCloud, regions: usize) -> Self {
        let side = labels.size().rows;
        // The map's pixel that covers the middle of the scan's.
        let on_map =
            |pixel: usize, offset: usize| (((2 * (pixel + offset) + 1) * side) / (2 * frame.square_side)).min(side - 1);
        let cols: Vec<usize> = (0..frame.source_size.cols).map(|col| on_map(col, frame.offset.1)).collect();
        let mut footprints = vec![None; regions];
        let labels = Grid::from_fn(frame.source_size, |row, col| {
            let label = labels[(on_map(row, frame.offset.0), cols[col])];
            if label > 0 {
                let at = Window { top: row, left: col, bottom: row, right: col };
                let none = Footprint { window: at, pixels: 0, rows: 0, cols: 0, points: 0, point: [0.0; 3] };
                let point = cloud.valid()[(row, col)].then(|| cloud.points_m()[(row, col)]);
                footprints[label as usize - 1].get_or_insert(none).add(row, col, point);
            }
            label
        });
        Self { labels, footprints }
    }

    fn describe(&self, found: &Found, cloud: &OrganizedCloud) -> Option<DefectRegion> {
        let Footprint { window, pixels, rows, cols, points, point } =
            self.footprints[found.label as usize - 1].as_ref()?;
        let is_inside = |row: usize, col: usize| self.labels[(row, col)] == found.label;
        Some(DefectRegion {
            row: *rows as f32 / *pixels as f32,
            col: *cols as f32 / *pixels as f32,
            top: window.top,
            left: window.left,
            bottom: window.bottom,
            right: window.right,
            pixels: *pixels,
            xyz_m: (*points > 0).then(|| point.map(|sum| (sum / *points as f64) as f32)),
            area_mm2: surface_m2(cloud, *window, is_inside).map(|area| (area * MM2_PER_M2) as f32),
            peak: found.peak,
            shares: found.shares(),
        })
    }
}

impl Footprint {
    fn add(&mut self, row: usize, col: usize, point: Option<[f32; 3]>) {
        let window = &mut self.window;
        (window.top, window.bottom) = (window.top.min(row), window.bottom.max(row));
        (window.left, window.right) = (window.left.min(col), window.right.max(col));
        (self.pixels, self.rows, self.cols) = (self.pixels + 1, self.rows + row, self.cols + col);
        if let Some(point) = point {
            self.points += 1;
            for (sum, x) in self.point.iter_mut().zip(point) {
                *sum += f64::from(x);
            }
        }
    }
}

/// Rows and columns, all included.
#[derive(Clone, Copy)]
struct Window {
    top: usize,
    left: usize,
    bottom: usize,
    right: usize,
}

/// The measured surface inside, square metres; `None` where none is.
fn surface_m2(cloud: &OrganizedCloud, window: Window, is_inside: impl Fn(usize, usize) -> bool) -> Option<f64> {
    let size: GridSize = cloud.size();
    let (valid, points): (&Mask, _) = (cloud.valid(), cloud.points_m());
    // Triangles reach one pixel beyond.
    let rows = window.top.saturating_sub(1)..(window.bottom + 1).min(size.rows - 1);
    let cols = window.left.saturating_sub(1)..(window.right + 1).min(size.cols - 1);
    let longest = JUMP_SPACINGS * median_spacing(cloud, window)?;
    let mut area = 0.0;
    for row in rows {
        for col in cols.clone() {
            let [a, b, c, d] = [(row, col), (row, col + 1), (row + 1, col), (row + 1, col + 1)];
            for corners in [[a, b, c], [b, c, d]] {
                let inside = corners.iter().filter(|corner| is_inside(corner.0, corner.1)).count();
                if inside == 0 || corners.iter().any(|corner| !valid[*corner]) {
                    continue;
                }
                let [p, q, r] = corners.map(|corner| points[corner]);
                if distance(p, q).max(distance(q, r)).max(distance(p, r)) <= longest {
                    area += inside as f64 / 3.0 * triangle(p, q, r);
                }
            }
        }
    }
    (area > 0.0).then_some(area)
}

/// Median distance of horizontal neighbours in the window and one pixel around it, metres; `None` if there are none.
fn median_spacing(cloud: &OrganizedCloud, window: Window) -> Option<f32> {
    let size = cloud.size();
    let mut spacings = Vec::new();
    for row in window.top.saturating_sub(1)..(window.bottom + 2).min(size.rows) {
        for col in window.left.saturating_sub(1)..(window.right + 1).min(size.cols - 1) {
            if cloud.valid()[(row, col)] && cloud.valid()[(row, col + 1)] {
                spacings.push(distance(cloud.points_m()[(row, col)], cloud.points_m()[(row, col + 1)]));
            }
        }
    }
    let middle = spacings.len() / 2;
    (!spacings.is_empty()).then(|| *spacings.select_nth_unstable_by(middle, f32::total_cmp).1)
}

fn between(p: [f32; 3], q: [f32; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| f64::from(q[axis]) - f64::from(p[axis]))
}

fn length([x, y, z]: [f64; 3]) -> f64 {
    (x * x + y * y + z * z).sqrt()
}

fn distance(p: [f32; 3], q: [f32; 3]) -> f32 {
    length(between(p, q)) as f32
}

fn triangle(p: [f32; 3], q: [f32; 3], r: [f32; 3]) -> f64 {
    let ([a, b, c], [d, e, f]) = (between(p, q), between(p, r));
    length([b * f - c * e, c * d - a * f, a * e - b * d]) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::RgbImage;
    use crate::sample::{Frame, Scan};

    const SIDE: usize = 100;

    /// A scan of 80 rows and 100 columns on a square of 100, whose maps have 100 pixels a side; a plane at 0.5 m, tilted so that
    /// its surface is `stretch` times its projection, with a point every millimetre in x.
    fn scan(slope: f32) -> (Scan, MapFrame) {
        let size = GridSize::new(80, SIDE);
        let points =
            Grid::from_fn(size, |row, col| [col as f32 * 1e-3, row as f32 * 1e-3, 0.5 + slope * col as f32 * 1e-3]);
        let cloud = OrganizedCloud::decode(points, 1.0, Frame::Camera);
        let scan = Scan::new(cloud, RgbImage::filled(size, [0; 3])).unwrap();
        (scan, MapFrame { side: SIDE, square_side: SIDE, source_size: size, offset: (10, 0) })
    }

    fn map(value: impl FnMut(usize, usize) -> f32) -> ScoreMap {
        Grid::from_fn(GridSize::new(SIDE, SIDE), value)
    }

    #[test]
    fn regions_have_the_surface_below_them_and_lie_where_they_are() {
        let (scan, frame) = scan(0.75);
        // In the scan rows 20..30 and columns 40..60, strong in shape, and a smaller one, strong in colour.
        let shape = map(|row, col| if (30..40).contains(&row) && (40..60).contains(&col) { 9.0 } else { 0.0 });
        let appearance = map(|row, col| if (60..65).contains(&row) && (5..9).contains(&col) { 7.0 } else { 0.0 });
        let fused = map(|row, col| shape[(row, col)].max(appearance[(row, col)]) + 0.5);
        let maps = DefectMaps { shape: &shape, appearance: &appearance, fused: &fused };
        let defects = Defects::find(maps, frame, scan.cloud(), 1.0);
        assert_eq!((defects.level, defects.regions.len()), (1.0, 2));
        let [first, second] = &defects.regions[..] else { panic!() };
        assert_eq!((first.top, first.left, first.bottom, first.right, first.pixels), (20, 40, 29, 59, 200));
        assert_eq!((first.row, first.col, first.peak), (24.5, 49.5, 9.5));
        // 200 pixels of a square millimetre's projection, on a slope of 0.75: 1.25 times that. Rounding of 32-bit points.
        assert!((first.area_mm2.unwrap() - 250.0).abs() < 0.1, "{:?}", first.area_mm2);
        let xyz = first.xyz_m.unwrap();
        for (found, expected) in xyz.iter().zip([0.0495, 0.0245, 0.5 + 0.75 * 0.0495]) {
            assert!((found - expected).abs() < 1e-6, "{xyz:?}");
        }
        assert_eq!((first.shares.sdf, second.shares.rgb), (1.0, 1.0));
        assert_eq!((second.top, second.left, second.pixels), (50, 5, 20));
        let expected = (200.0 * 9.0) / (200.0 * 9.0 + 20.0 * 7.0);
        assert!((defects.shares.unwrap().sdf - expected).abs() < 1e-6);
    }

    #[test]
    fn jumps_in_depth_and_holes_have_no_surface() {
        let (scan, frame) = scan(0.0);
        let mut points = scan.cloud().points_m().clone();
        for row in 0..80 {
            for col in 50..SIDE {
                // Beyond a step of 10 cm; no depth at all in the middle of the region.
                points[(row, col)][2] += 0.1;
            }
        }
        points[(25, 45)] = [0.0; 3];
        let cloud = OrganizedCloud::decode(points, 1.0, Frame::Camera);
        let fused = map(|row, col| if (30..40).contains(&row) && (40..60).contains(&col) { 2.0 } else { 0.0 });
        let maps = DefectMaps { shape: &fused, appearance: &fused, fused: &fused };
        let defects = Defects::find(maps, frame, &cloud, 1.0);
        let [region] = &defects.regions[..] else { panic!() };
        // 200 square millimetres without the six triangles, half a square millimetre each, around the hole, and without the
        // corners' shares of the column of 10 pixels' steps: half of what lies between columns 49 and 50 on each side.
        assert!((region.area_mm2.unwrap() - (200.0 - 3.0 - 10.0)).abs() < 0.5, "{:?}", region.area_mm2);
        assert_eq!(region.pixels, 200);
        let nothing =
            OrganizedCloud::from_parts(Grid::filled(cloud.size(), [0.0; 3]), Mask::filled(cloud.size(), false));
        let region = &Defects::find(maps, frame, &nothing, 1.0).regions[0];
        assert_eq!((region.area_mm2, region.xyz_m), (None, None));
    }

    #[test]
    fn what_is_weaker_than_good_parts_peaks_has_one_region_down_to_half_its_height() {
        let (scan, frame) = scan(0.0);
        let fused = map(|row, col| match (row, col) {
            (40, 40) => 0.9,
            (40, 41) => 0.5,
            (40, 42) => 0.4,
            (70, 70) => 0.8,
            _ => 0.1,
        });
        let maps = DefectMaps { shape: &fused, appearance: &fused, fused: &fused };
        let defects = Defects::find(maps, frame, scan.cloud(), 1.0);
        assert_eq!((defects.level, defects.regions.len()), (0.45, 1));
        assert_eq!((defects.regions[0].pixels, defects.regions[0].top, defects.regions[0].left), (2, 30, 40));
    }

    #[test]
    fn a_part_that_is_bad_all_over_has_so_many_regions_and_no_more() {
        let (scan, frame) = scan(0.0);
        let fused = map(|row, col| if row % 2 == 0 && col % 2 == 0 { 2.0 + row as f32 } else { 0.0 });
        let maps = DefectMaps { shape: &fused, appearance: &fused, fused: &fused };
        let defects = Defects::find(maps, frame, scan.cloud(), 1.0);
        // The strongest lie in the padding below the scan, and don't take the place of those that can be seen.
        assert_eq!(defects.regions.len(), MOST_REGIONS);
        assert!(defects.regions.windows(2).all(|pair| pair[0].peak >= pair[1].peak));
    }
}
