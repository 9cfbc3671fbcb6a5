//! Why a file or a folder cannot be used, in words for the person at the line.

use std::io;
use std::path::PathBuf;

use shapeguard_core::grid::GridSize;
use shapeguard_core::sample::SampleError;

/// Why a file or a folder cannot be used. Every message names it, what was expected, what was found, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused.
    #[error("{path}: cannot be read: {source}; check the path, the permissions and the disk")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system refused.
    #[error("{path}: cannot be written: {source}; check that the folder exists, may be written to and has room")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file of that name exists and overwriting was not asked for.
    #[error("{path}: exists already and is not overwritten; choose another name, remove it, or ask for overwriting")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Truncated or corrupt.
    #[error("{path}: truncated or damaged: expected {expected}, found {found}; copy or export the file again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the format demands.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// A sound file that does not hold what is needed.
    #[error("{path}: expected {expected}, found {found}; {remedy}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What can be read.
        expected: String,
        /// What the file holds.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// More pixels than allowed; nothing was allocated.
    #[error(
        "{path}: expected at most {max_pixels} pixels, found {rows} rows x {cols} columns; crop or bin the scan, or raise the limit with --max-megapixels"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Rows that its header claims.
        rows: u64,
        /// Columns that its header claims.
        cols: u64,
        /// The limit.
        max_pixels: usize,
    },
    /// A cloud without rows and columns.
    #[error(
        "{path}: expected an organized cloud (one point per pixel), found {points} points without rows and columns; export it as an organized cloud, or say its grid with --grid ROWSxCOLS"
    )]
    Unorganized {
        /// The file.
        path: PathBuf,
        /// Its number of points.
        points: u64,
    },
    /// A cloud without colour.
    #[error(
        "{path}: expected colour in the cloud or in an image beside it, found none; put NAME.png beside NAME.{extension}, or use folders rgb/ and xyz/, or export the cloud with colour"
    )]
    MissingColour {
        /// The cloud.
        path: PathBuf,
        /// Its extension.
        extension: String,
    },
    /// A depth image without the camera's intrinsics.
    #[error(
        "{path}: expected the camera's intrinsics for a depth image, found none; put intrinsics.json (fx, fy, cx, cy, depth_scale) beside the folders, or give it with --intrinsics"
    )]
    MissingIntrinsics {
        /// The depth image.
        path: PathBuf,
    },
    /// Cloud and colour image do not share a pixel grid.
    #[error(
        "{rgb}: expected the pixel grid of the cloud {cloud}, {cloud_size}, found {rgb_size}; export both from the same camera at the same resolution"
    )]
    SizesDiffer {
        /// The cloud's file.
        cloud: PathBuf,
        /// Its size.
        cloud_size: GridSize,
        /// The image's file.
        rgb: PathBuf,
        /// Its size.
        rgb_size: GridSize,
    },
    /// A mask whose size is not the scan's.
    #[error("{path}: expected the scan's size, {expected}, found {found}; the mask must belong to the scan")]
    MaskSize {
        /// The mask's file.
        path: PathBuf,
        /// The scan's size.
        expected: GridSize,
        /// The mask's size.
        found: GridSize,
    },
    /// Read, but no scan that the method can use.
    #[error("{path}: {source}")]
    Sample {
        /// The cloud's file.
        path: PathBuf,
        /// Why.
        source: SampleError,
    },
    /// A folder that holds nothing.
    #[error("{path}: expected scans, found an empty folder; check the path")]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A folder with no known layout.
    #[error("{path}: expected {expected}; found {found}; check the path, or arrange the files like this")]
    NothingRecognised {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// Half a scan: its other file is not there.
    #[error(
        "{path}: expected its {wanted} {partner}, found no such file; add it, or remove the file that stands alone"
    )]
    MissingPartner {
        /// The file that is there.
        path: PathBuf,
        /// What its partner would be.
        wanted: &'static str,
        /// Where its partner was looked for.
        partner: PathBuf,
    },
    /// Files that lack their partner.
    #[error("{path}: expected a file of the same name in {partner} for each file, found none for {names}; {remedy}")]
    Unmatched {
        /// The folder of the files that lack a partner.
        path: PathBuf,
        /// The folder in which the partners should be.
        partner: PathBuf,
        /// The files, the first few of them.
        names: String,
        /// What to do.
        remedy: String,
    },
}
