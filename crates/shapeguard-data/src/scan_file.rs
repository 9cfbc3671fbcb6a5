//! The one entry for reading scans: whatever the format, what comes out is a [`Scan`] in metres.

use std::io;
use std::path::{Path, PathBuf};

use shapeguard_core::grid::{Grid, GridSize, Mask, RgbImage};
use shapeguard_core::sample::{Frame, OrganizedCloud, Scan};
use shapeguard_core::settings::ReferenceQuirks;

use crate::depth::Intrinsics;
use crate::error::DataError;
use crate::fault::Fault;
use crate::file::{Format, read_file};
use crate::tiff_file::TiffImage;
use crate::values::RawCloud;
use crate::{image_file, npy, pcd, ply, tiff_file};

/// Largest number of pixels that is read unless told otherwise: 64 megapixels, beyond every 3D camera of today, and under
/// 2 GB in memory.
pub const DEFAULT_MAX_PIXELS: usize = 64_000_000;

/// The files of one scan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanSource {
    /// The organized cloud, or the depth image.
    pub cloud: PathBuf,
    /// The colour image, whether it is there or not; `None` takes the cloud's own colours.
    pub rgb: Option<PathBuf>,
    /// The camera's intrinsics for a depth image; [`ReadOptions::intrinsics`] comes first.
    pub intrinsics: Option<PathBuf>,
}

impl ScanSource {
    /// A cloud that brings its own colours.
    pub fn cloud_only(cloud: impl Into<PathBuf>) -> Self {
        Self { cloud: cloud.into(), rgb: None, intrinsics: None }
    }

    /// A cloud and its colour image.
    pub fn with_rgb(cloud: impl Into<PathBuf>, rgb: impl Into<PathBuf>) -> Self {
        Self { cloud: cloud.into(), rgb: Some(rgb.into()), intrinsics: None }
    }

    /// Makes sure that of cloud and colour image not only one is there. Reading the scan does it too; who reads many
    /// scans can do it before.
    ///
    /// # Errors
    /// If one is there without the other.
    pub fn check_partner(&self) -> Result<(), DataError> {
        let is_missing = |path: &Path| path.metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let Some(rgb) = &self.rgb else { return Ok(()) };
        let (path, wanted, partner) = match (is_missing(&self.cloud), is_missing(rgb)) {
            (false, true) => (&self.cloud, "colour image", rgb),
            (true, false) => (rgb, "cloud", &self.cloud),
            _ => return Ok(()),
        };
        Err(DataError::MissingPartner { path: path.clone(), wanted, partner: partner.clone() })
    }
}

/// The unit of coordinates in files that don't say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unit {
    /// Metres.
    #[default]
    Metre,
    /// Millimetres.
    Millimetre,
    /// Micrometres.
    Micrometre,
}

impl Unit {
    /// Metres per unit.
    pub fn metres(self) -> f32 {
        match self {
            Self::Metre => 1.0,
            Self::Millimetre => 1e-3,
            Self::Micrometre => 1e-6,
        }
    }
}

impl std::str::FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "m" => Ok(Self::Metre),
            "mm" => Ok(Self::Millimetre),
            "um" | "µm" => Ok(Self::Micrometre),
            _ => Err(format!("expected a unit m, mm or um, found \"{text}\"")),
        }
    }
}

/// A grid as it is written on the command line: `ROWSxCOLS`.
///
/// # Errors
/// A message that says what was expected.
pub fn parse_grid_size(text: &str) -> Result<GridSize, String> {
    let side = |digits: &str| digits.parse::<usize>().ok().filter(|side| *side > 0);
    let sides = text.split_once(['x', 'X']).and_then(|(rows, cols)| Some((side(rows)?, side(cols)?)));
    match sides {
        Some((rows, cols)) if rows.checked_mul(cols).is_some() => Ok(GridSize::new(rows, cols)),
        _ => Err(format!("expected a grid as ROWSxCOLS, like 480x640, found \"{text}\"")),
    }
}

/// What files don't say about themselves.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Unit of the coordinates. Depth images have theirs in the intrinsics.
    pub unit: Unit,
    /// Frame of the coordinates.
    pub frame: Frame,
    /// Intrinsics for depth images.
    pub intrinsics: Option<Intrinsics>,
    /// Rows and columns of clouds that don't tell theirs.
    pub grid: Option<GridSize>,
    /// Files that claim more pixels are refused before anything is allocated.
    pub max_pixels: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            unit: Unit::default(),
            frame: Frame::Camera,
            intrinsics: None,
            grid: None,
            max_pixels: DEFAULT_MAX_PIXELS,
        }
    }
}

/// The content of one of a scan's files, and what messages call it.
#[derive(Clone, Copy, Debug)]
pub struct NamedBytes<'a> {
    /// Its name; nothing is read from there.
    pub name: &'a Path,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// The files of one scan, in memory.
#[derive(Clone, Copy, Debug)]
pub struct ScanBytes<'a> {
    /// The organized cloud, or the depth image.
    pub cloud: NamedBytes<'a>,
    /// The colour image; `None` takes the cloud's own colours.
    pub rgb: Option<NamedBytes<'a>>,
    /// The camera's intrinsics for a depth image; [`ReadOptions::intrinsics`] comes first.
    pub intrinsics: Option<NamedBytes<'a>>,
}

/// Reads a scan: the cloud in metres with its validity mask, and its colours.
///
/// # Errors
/// If a file cannot be read or holds something else, a modality is missing, sizes differ, no point is valid, or the extent
/// speaks of another unit.
pub fn read_scan(source: &ScanSource, options: &ReadOptions) -> Result<Scan, DataError> {
    source.check_partner()?;
    let cloud = read_file(&source.cloud, options.max_pixels)?;
    let rgb = source.rgb.as_deref().map(|path| Ok((path, read_file(path, options.max_pixels)?))).transpose()?;
    let cloud = NamedBytes { name: &source.cloud, bytes: &cloud };
    let rgb = rgb.as_ref().map(|(name, bytes)| NamedBytes { name, bytes });
    scan_of(cloud, rgb, options, || source.intrinsics.as_deref().map(Intrinsics::read))
}

/// As [`read_scan`], from memory.
///
/// # Errors
/// As [`read_scan`].
pub fn decode_scan(files: &ScanBytes<'_>, options: &ReadOptions) -> Result<Scan, DataError> {
    scan_of(files.cloud, files.rgb, options, || files.intrinsics.map(|file| Intrinsics::decode(file.name, file.bytes)))
}

/// `intrinsics` are asked for only if there is depth to turn into points.
fn scan_of(
    cloud: NamedBytes<'_>,
    rgb: Option<NamedBytes<'_>>,
    options: &ReadOptions,
    intrinsics: impl FnOnce() -> Option<Result<Intrinsics, DataError>>,
) -> Result<Scan, DataError> {
    let path = cloud.name;
    let (raw, metres) = decode_cloud(cloud, options, intrinsics)?;
    let rgb = match (rgb, raw.colours) {
        (Some(rgb), _) => {
            let image = decode_rgb(rgb, options.max_pixels)?;
            if image.size() != raw.points.size() {
                return Err(DataError::SizesDiffer {
                    cloud: path.to_path_buf(),
                    cloud_size: raw.points.size(),
                    rgb: rgb.name.to_path_buf(),
                    rgb_size: image.size(),
                });
            }
            image
        }
        (None, Some(colours)) => colours,
        (None, None) => {
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            return Err(DataError::MissingColour { path: path.to_path_buf(), extension });
        }
    };
    let cloud = OrganizedCloud::decode(raw.points, metres, options.frame);
    Scan::new(cloud, rgb).map_err(|source| DataError::Sample { path: path.to_path_buf(), source })
}

/// Reads a colour image: PNG, JPEG or BMP.
///
/// # Errors
/// If it cannot be read, has more than 8 bits a channel, or is see-through anywhere.
pub fn read_rgb(path: &Path, max_pixels: usize) -> Result<RgbImage, DataError> {
    let bytes = read_file(path, max_pixels)?;
    decode_rgb(NamedBytes { name: path, bytes: &bytes }, max_pixels)
}

/// As [`read_rgb`], from memory.
///
/// # Errors
/// As [`read_rgb`].
pub fn decode_rgb(file: NamedBytes<'_>, max_pixels: usize) -> Result<RgbImage, DataError> {
    image_file::decode_colour(file.bytes, max_pixels).map_err(|fault| fault.at(file.name))
}

/// Reads a mask, PNG: set where a value is > 0.
///
/// # Errors
/// If it cannot be read.
pub fn read_mask(path: &Path, max_pixels: usize) -> Result<Mask, DataError> {
    let bytes = read_file(path, max_pixels)?;
    image_file::decode_mask(&bytes, max_pixels, TruthRule::AboveZero).map_err(|fault| fault.at(path))
}

/// Which values of a ground truth are defect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TruthRule {
    /// Every value above 0: MVTec 3D-AD writes one value for each kind of defect.
    #[default]
    AboveZero,
    /// What exceeds half of white, the largest value that the file's depth has room for (reference): of 8 bits above 127.
    AboveHalf,
}

impl From<ReferenceQuirks> for TruthRule {
    fn from(quirks: ReferenceQuirks) -> Self {
        if quirks.truth_above_half { Self::AboveHalf } else { Self::AboveZero }
    }
}

/// Reads the ground truth of a scan: what the rule takes is defect.
///
/// # Errors
/// If it cannot be read or is not of the scan's size.
pub fn read_truth(path: &Path, expected: GridSize, rule: TruthRule) -> Result<Mask, DataError> {
    let bytes = read_file(path, DEFAULT_MAX_PIXELS)?;
    let mask = image_file::decode_mask(&bytes, DEFAULT_MAX_PIXELS, rule).map_err(|fault| fault.at(path))?;
    if mask.size() != expected {
        return Err(DataError::MaskSize { path: path.to_path_buf(), expected, found: mask.size() });
    }
    Ok(mask)
}

/// The cloud as it stands in its file, and the metres of its unit.
fn decode_cloud(
    file: NamedBytes<'_>,
    options: &ReadOptions,
    intrinsics: impl FnOnce() -> Option<Result<Intrinsics, DataError>>,
) -> Result<(RawCloud, f32), DataError> {
    let NamedBytes { name, bytes } = file;
    let max_pixels = options.max_pixels;
    let at = |fault: Fault| fault.at(name);
    let raw = match Format::detect(bytes).map_err(at)? {
        Format::Tiff => match tiff_file::decode(bytes, max_pixels).map_err(at)? {
            TiffImage::Xyz(points) => RawCloud { points, colours: None },
            TiffImage::Depth(depth) => return cloud_from_depth(name, options, intrinsics, &depth),
        },
        Format::Png => {
            let depth = image_file::decode_depth(bytes, max_pixels).map_err(at)?;
            return cloud_from_depth(name, options, intrinsics, &depth);
        }
        Format::Npy => npy::decode_npy(bytes, max_pixels).map_err(at)?,
        Format::Npz => npy::decode_npz(bytes, max_pixels).map_err(at)?,
        Format::Ply => ply::decode(bytes, options.grid, max_pixels).map_err(at)?,
        Format::Pcd => pcd::decode(bytes, options.grid, max_pixels).map_err(at)?,
        other @ (Format::Jpeg | Format::Bmp) => {
            return Err(at(Fault::unsupported(
                "a cloud or a depth image",
                other.name(),
                "give the cloud here; its colour image is found beside it",
            )));
        }
    };
    Ok((raw, options.unit.metres()))
}

fn cloud_from_depth(
    path: &Path,
    options: &ReadOptions,
    beside: impl FnOnce() -> Option<Result<Intrinsics, DataError>>,
    depth: &Grid<f32>,
) -> Result<(RawCloud, f32), DataError> {
    let intrinsics = match &options.intrinsics {
        Some(intrinsics) => intrinsics.clone(),
        None => beside().ok_or_else(|| DataError::MissingIntrinsics { path: path.to_path_buf() })??,
    };
    let points = intrinsics.cloud(depth).map_err(|fault| fault.at(path))?;
    Ok((RawCloud { points, colours: None }, Unit::Metre.metres()))
}
