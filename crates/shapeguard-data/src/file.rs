//! Reading whole files within bounds, and telling formats by their first bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::DataError;
use crate::fault::Fault;

/// Bytes per pixel that no real file exceeds: the longest are ASCII points of 64-bit numbers with colour and normals.
const MAX_BYTES_PER_PIXEL: u64 = 256;
/// Room for a header on top.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Tiff,
    Png,
    Jpeg,
    Bmp,
    Npy,
    Npz,
    Ply,
    Pcd,
}

impl Format {
    /// The format of a file's bytes.
    pub(crate) fn detect(bytes: &[u8]) -> Result<Self, Fault> {
        let starts = |magic: &[u8]| bytes.starts_with(magic);
        if starts(b"II*\0") || starts(b"MM\0*") || starts(b"II+\0") || starts(b"MM\0+") {
            Ok(Self::Tiff)
        } else if starts(b"\x89PNG\r\n\x1a\n") {
            Ok(Self::Png)
        } else if starts(b"\xff\xd8\xff") {
            Ok(Self::Jpeg)
        } else if starts(b"BM") {
            Ok(Self::Bmp)
        } else if starts(b"\x93NUMPY") {
            Ok(Self::Npy)
        } else if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
            Ok(Self::Npz)
        } else if starts(b"ply\n") || starts(b"ply\r") {
            Ok(Self::Ply)
        } else if starts(b"# .PCD") || starts(b"VERSION") || starts(b"FIELDS") {
            Ok(Self::Pcd)
        } else {
            let found = match bytes {
                [] => "an empty file".to_owned(),
                _ => format!("a file that begins with \"{}\"", bytes[..bytes.len().min(12)].escape_ascii()),
            };
            Err(Fault::unsupported(
                "a TIFF, PNG, PCD, PLY, NPY or NPZ file (for colour also JPEG or BMP)",
                found,
                "export the scan in one of these formats",
            ))
        }
    }

    /// The format's name with its article.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tiff => "a TIFF image",
            Self::Png => "a PNG image",
            Self::Jpeg => "a JPEG image",
            Self::Bmp => "a BMP image",
            Self::Npy => "a NumPy array",
            Self::Npz => "a NumPy archive",
            Self::Ply => "a PLY cloud",
            Self::Pcd => "a PCD cloud",
        }
    }
}

/// A regular file's bytes, if it is not longer than any scan of `max_pixels` can be.
pub(crate) fn read_file(path: &Path, max_pixels: usize) -> Result<Vec<u8>, DataError> {
    let fail = |source| DataError::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(fail(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let limit = (max_pixels as u64).saturating_mul(MAX_BYTES_PER_PIXEL).saturating_add(MAX_HEADER_BYTES);
    let mut bytes = Vec::with_capacity(metadata.len().min(limit) as usize);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > limit {
        return Err(Fault::unsupported(
            format!("at most {limit} bytes for a scan of {max_pixels} pixels"),
            format!("{} bytes", metadata.len()),
            "crop or bin the scan, or raise the limit with --max-megapixels",
        )
        .at(path));
    }
    Ok(bytes)
}
