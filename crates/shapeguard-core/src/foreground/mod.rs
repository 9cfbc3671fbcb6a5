//! Foreground: the part without the table that it lies on (docs/method.md, "Foreground"; the steps are BTF's: Horwitz
//! and Hoshen, "Back to the Feature", 2023).
//!
//! As there, the distance to the table is absolute: what lies deeper than the table is not removed with it, and
//! competes with the part as a cluster (a hole in the table or a stray reflection is smaller than a part).
//! Differences, all ours: noise never competes as a cluster ([`segment_with`] restores that), and colour without depth is
//! kept inside the part's filled outline only (setting `mask_colour_without_depth`). A pixel with depth that is not the
//! part's is black wherever it is, also where the table shows through a hole. As there, a part whose depth jumps by more than
//! `cluster_eps_m` can fall into two clusters, of which one stays.

pub mod cluster;
pub mod outline;
pub mod plane;

use crate::grid::{Grid, GridSize, Mask, RgbImage};
use crate::sample::{OrganizedCloud, Scan};
use crate::settings::{BorderPolicy, ForegroundMethod, ForegroundSettings, ReferenceQuirks};
pub use plane::Plane;

/// Smallest radius of DBSCAN, metres: finer than any camera resolves.
const MIN_EPS_M: f32 = 1e-5;

/// What an inspector should know about a scan that is judged all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForegroundWarning {
    /// The part touches the image's border: what lies outside is not inspected.
    PartTouchesBorder,
    /// The experts' image is finer than the scan: measured points are repeated.
    CoarseScan {
        /// Pixels along each side of the square that the scan is padded to.
        square_side: usize,
        /// Pixels along each side of the experts' image.
        image_side: usize,
    },
}

impl std::fmt::Display for ForegroundWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PartTouchesBorder => f.write_str(
                "the part touches the image's border: what lies outside the image is not inspected; \
                 centre the part under the camera",
            ),
            Self::CoarseScan { square_side, image_side } => write!(
                f,
                "the scan has {square_side} pixels along its larger side, fewer than image.side_px = {image_side}: measured \
                 points are repeated, and a patch has fewer different ones than patches.points_per_patch; fit with a smaller \
                 image.side_px, or let the camera deliver its full resolution"
            ),
        }
    }
}

/// Why no part was found.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ForegroundError {
    /// A setting makes no sense.
    #[error("foreground.{name} is {value}, expected {expected}; correct it in the preset")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is possible.
        expected: &'static str,
    },
    /// Nothing would be left inside the border.
    #[error(
        "the image has {size}; telling the part from the table needs at least {needed} x {needed} pixels (a border of {border_px} pixels all around); use the camera's full resolution or set foreground.border_px lower"
    )]
    ImageTooSmall {
        /// Size of the scan.
        size: GridSize,
        /// Smallest side, pixels.
        needed: usize,
        /// Width of the border, pixels.
        border_px: usize,
    },
    /// The border shows too little to fit a plane to.
    #[error(
        "the image's border ({border_px} pixels wide) has {found} measured points, at least {needed} are needed to find the table; check that the camera sees the table around the part, or set foreground.method to \"none\" or \"mask\""
    )]
    NoBorderPoints {
        /// Width of the border, pixels.
        border_px: usize,
        /// Valid points in it.
        found: usize,
        /// Valid points needed.
        needed: usize,
    },
    /// The border does not show a plane.
    #[error(
        "no table found: only {:.0} % of the points at the image's border lie on one plane, expected at least {:.0} %; clear the table around the part, or set foreground.method to \"none\" or \"mask\"",
        100.0 * support,
        100.0 * needed
    )]
    NoPlane {
        /// Share of the border's points on the best plane.
        support: f32,
        /// Share needed.
        needed: f32,
    },
    /// Nothing is left.
    #[error(
        "no part found: {candidates} measured points are off the table, but no group of them is as dense as a part ({min_points} points within {eps_m} m); check that a part lies under the camera and the exposure"
    )]
    NoPart {
        /// Points that are not background.
        candidates: usize,
        /// Points of a dense neighbourhood.
        min_points: usize,
        /// Radius of the neighbourhood, metres.
        eps_m: f32,
    },
    /// The mask selects no measured point.
    #[error(
        "no part found: none of the {selected} pixels that the foreground mask selects has a measured point; check that mask and scan belong together"
    )]
    NoPointInMask {
        /// Pixels of the mask that are set.
        selected: usize,
    },
    /// The method `mask` without a mask.
    #[error("foreground.method is \"mask\", but the scan came without a foreground mask; give one or choose \"plane\"")]
    MaskMissing,
    /// A mask of another size.
    #[error("the foreground mask has {mask} but the scan has {scan}; both must come from the same pixel grid")]
    MaskSize {
        /// Size of the mask.
        mask: GridSize,
        /// Size of the scan.
        scan: GridSize,
    },
    /// A mask without a pixel.
    #[error("the foreground mask is empty; expected values above 0 on the part")]
    MaskEmpty,
    /// The part touches the border, and the settings refuse that.
    #[error(
        "the part touches the image's border, so that a piece of it may be outside; centre the part under the camera, or set foreground.border to \"warn\" to judge what is visible"
    )]
    PartTouchesBorder,
}

/// The part of a scan, padded to a square.
#[derive(Clone, Debug)]
pub struct Foreground {
    /// The part's points on the square grid; all else is invalid.
    pub cloud: OrganizedCloud,
    /// Colour on the square grid; background is black.
    pub rgb: RgbImage,
    /// The filled outline of the part on the square grid (pixels without depth inside it included); with the method
    /// `mask`, the mask.
    pub outline: Mask,
    /// Size of the scan before padding.
    pub source_size: GridSize,
    /// Row and column of the scan's first pixel on the square grid.
    pub offset: (usize, usize),
    /// The table, if the method looked for one.
    pub plane: Option<Plane>,
    /// What to tell the user.
    pub warnings: Vec<ForegroundWarning>,
}

impl Foreground {
    /// Pads a grid of the scan's size like the scan was padded.
    ///
    /// # Panics
    /// If the grid is not of the scan's size: a bug of the caller.
    pub fn pad<T: Clone>(&self, grid: &Grid<T>, fill: T) -> Grid<T> {
        assert_eq!(grid.size(), self.source_size, "only a grid of the scan's size can be padded like the scan");
        Padding { side: self.outline.size().rows, offset: self.offset }.apply(grid, fill)
    }
}

/// Finds the part. `mask` is the user's foreground mask, of the scan's size, for the method `mask`; the other methods
/// do not look at it.
///
/// # Errors
/// If there is no plane, no part, or the settings do not fit the scan.
pub fn segment(
    scan: &Scan,
    settings: &ForegroundSettings,
    mask: Option<&Mask>,
    seed: u64,
) -> Result<Foreground, ForegroundError> {
    segment_with(scan, settings, mask, seed, ReferenceQuirks::default())
}

/// As [`segment`], with the reference's `noise_competes` where it is on.
///
/// # Errors
/// As [`segment`].
pub fn segment_with(
    scan: &Scan,
    settings: &ForegroundSettings,
    mask: Option<&Mask>,
    seed: u64,
    quirks: ReferenceQuirks,
) -> Result<Foreground, ForegroundError> {
    check(settings)?;
    let valid = scan.cloud().valid();
    let (part, outline, plane) = match settings.method {
        ForegroundMethod::Plane => {
            let (part, plane) = part_on_table(scan.cloud(), settings, seed, quirks.noise_competes)?;
            let outline = outline::filled_outline(&part);
            (part, outline, Some(plane))
        }
        ForegroundMethod::None => (valid.clone(), outline::filled_outline(valid), None),
        ForegroundMethod::Mask => {
            let mask = usable_mask(mask, scan.size())?;
            let part = both(mask, valid);
            if part.count() == 0 {
                return Err(ForegroundError::NoPointInMask { selected: mask.count() });
            }
            (part, mask.clone(), None)
        }
    };
    let mut warnings = Vec::new();
    if touches_border(&part) {
        match settings.border {
            BorderPolicy::Warn => warnings.push(ForegroundWarning::PartTouchesBorder),
            BorderPolicy::Refuse => return Err(ForegroundError::PartTouchesBorder),
        }
    }
    let rgb = part_colour(scan, &part, &outline, settings.mask_colour_without_depth);
    let padding = Padding::new(scan.size(), settings.pad_multiple_px);
    Ok(Foreground {
        cloud: OrganizedCloud::from_parts(
            padding.apply(scan.cloud().points_m(), [0.0; 3]),
            padding.apply(&part, false),
        ),
        rgb: padding.apply(&rgb, [0; 3]),
        outline: padding.apply(&outline, false),
        source_size: scan.size(),
        offset: padding.offset,
        plane,
        warnings,
    })
}

/// The largest cluster of the points that are not on the table; the first among equals. If noise competes, it is one of them.
fn part_on_table(
    cloud: &OrganizedCloud,
    settings: &ForegroundSettings,
    seed: u64,
    noise_competes: bool,
) -> Result<(Mask, Plane), ForegroundError> {
    let size = cloud.size();
    let needed = 2 * settings.border_px + 1;
    if size.rows < needed || size.cols < needed {
        return Err(ForegroundError::ImageTooSmall { size, needed, border_px: settings.border_px });
    }
    let plane = plane::fit_border_plane(cloud, settings, seed)?;
    let mut pixels: Vec<u32> = Vec::new();
    let mut points = Vec::new();
    for (pixel, (p, valid)) in cloud.points_m().as_slice().iter().zip(cloud.valid().as_slice()).enumerate() {
        if *valid && plane.signed_distance_m(*p).abs() >= settings.background_distance_m {
            pixels.push(pixel as u32);
            points.push(*p);
        }
    }
    let labels = cluster::dbscan(&points, settings.cluster_eps_m, settings.cluster_min_points);
    let largest = largest_cluster(&labels, noise_competes).ok_or(ForegroundError::NoPart {
        candidates: points.len(),
        min_points: settings.cluster_min_points,
        eps_m: settings.cluster_eps_m,
    })?;
    let mut part = Mask::filled(size, false);
    for (pixel, label) in pixels.iter().zip(&labels) {
        part.as_mut_slice()[*pixel as usize] = *label == largest;
    }
    Ok((part, plane))
}

/// The label that most points carry; among equals noise, if it competes, and then the smallest.
fn largest_cluster(labels: &[Option<u32>], noise_competes: bool) -> Option<Option<u32>> {
    // The first is noise.
    let mut sizes = vec![0usize];
    for label in labels.iter().filter(|label| noise_competes || label.is_some()) {
        let at = label.map_or(0, |cluster| cluster as usize + 1);
        sizes.resize(sizes.len().max(at + 1), 0);
        sizes[at] += 1;
    }
    let largest = (0..sizes.len()).max_by(|a, b| sizes[*a].cmp(&sizes[*b]).then(b.cmp(a)))?;
    (sizes[largest] > 0).then(|| largest.checked_sub(1).map(|cluster| cluster as u32))
}

fn usable_mask(mask: Option<&Mask>, scan: GridSize) -> Result<&Mask, ForegroundError> {
    let mask = mask.ok_or(ForegroundError::MaskMissing)?;
    if mask.size() != scan {
        return Err(ForegroundError::MaskSize { mask: mask.size(), scan });
    }
    if mask.count() == 0 {
        return Err(ForegroundError::MaskEmpty);
    }
    Ok(mask)
}

fn both(a: &Mask, b: &Mask) -> Mask {
    let mut both = a.clone();
    for (a, b) in both.as_mut_slice().iter_mut().zip(b.as_slice()) {
        *a &= *b;
    }
    both
}

fn touches_border(part: &Mask) -> bool {
    let size = part.size();
    let edge_row = |row: usize| part.row(row).contains(&true);
    edge_row(0) || edge_row(size.rows - 1) || (0..size.rows).any(|row| part[(row, 0)] || part[(row, size.cols - 1)])
}

/// Colour of the part, and of pixels without depth: inside the outline only, or everywhere.
fn part_colour(scan: &Scan, part: &Mask, outline: &Mask, mask_colour_without_depth: bool) -> RgbImage {
    let mut rgb = scan.rgb().clone();
    let pixels = part.as_slice().iter().zip(outline.as_slice()).zip(scan.cloud().valid().as_slice());
    for (colour, ((part, outline), valid)) in rgb.as_mut_slice().iter_mut().zip(pixels) {
        let keeps = *part || (!valid && (*outline || !mask_colour_without_depth));
        if !keeps {
            *colour = [0; 3];
        }
    }
    rgb
}

/// Where a scan lies on its square.
struct Padding {
    side: usize,
    offset: (usize, usize),
}

impl Padding {
    /// Centred; the side is the larger side rounded up to a multiple.
    fn new(size: GridSize, multiple_px: usize) -> Self {
        let side = size.rows.max(size.cols).next_multiple_of(multiple_px);
        Self { side, offset: ((side - size.rows) / 2, (side - size.cols) / 2) }
    }

    fn apply<T: Clone>(&self, grid: &Grid<T>, fill: T) -> Grid<T> {
        let size = grid.size();
        if size == GridSize::new(self.side, self.side) {
            return grid.clone();
        }
        let mut padded = Grid::filled(GridSize::new(self.side, self.side), fill);
        for row in 0..size.rows {
            let start = (row + self.offset.0) * self.side + self.offset.1;
            padded.as_mut_slice()[start..start + size.cols].clone_from_slice(grid.row(row));
        }
        padded
    }
}

fn check(settings: &ForegroundSettings) -> Result<(), ForegroundError> {
    let s = settings;
    let positive = |x: f32| x.is_finite() && x > 0.0;
    let rules: [(&'static str, bool, String, &'static str); 9] = [
        ("border_px", (1..=1 << 16).contains(&s.border_px), s.border_px.to_string(), "1 to 65536 pixels"),
        ("plane_inlier_m", positive(s.plane_inlier_m), s.plane_inlier_m.to_string(), "a distance above 0 m"),
        ("plane_sample_points", s.plane_sample_points >= 3, s.plane_sample_points.to_string(), "3 points or more"),
        ("plane_hypotheses", s.plane_hypotheses >= 1, s.plane_hypotheses.to_string(), "1 or more"),
        (
            "plane_min_support",
            (0.0..=1.0).contains(&s.plane_min_support),
            s.plane_min_support.to_string(),
            "a share from 0 to 1",
        ),
        (
            "background_distance_m",
            s.background_distance_m.is_finite() && s.background_distance_m >= 0.0,
            s.background_distance_m.to_string(),
            "a distance of 0 m or more",
        ),
        (
            "pad_multiple_px",
            (1..=1 << 16).contains(&s.pad_multiple_px),
            s.pad_multiple_px.to_string(),
            "1 to 65536 pixels",
        ),
        (
            "cluster_eps_m",
            s.cluster_eps_m.is_finite() && s.cluster_eps_m >= MIN_EPS_M,
            s.cluster_eps_m.to_string(),
            "a radius of 0.00001 m or more",
        ),
        ("cluster_min_points", s.cluster_min_points >= 1, s.cluster_min_points.to_string(), "1 point or more"),
    ];
    match rules.into_iter().find(|(_, holds, _, _)| !holds) {
        Some((name, _, value, expected)) => Err(ForegroundError::Setting { name, value, expected }),
        None => Ok(()),
    }
}
