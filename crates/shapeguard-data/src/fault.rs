//! What a decoder finds wrong. Decoders see bytes, not paths; [`Fault::at`] names the file.

use std::path::Path;

use shapeguard_core::grid::GridSize;

use crate::error::DataError;

/// Output per input byte that no decoder here exceeds: deflate reaches 1,032, LZW with 12-bit codes 4,096 / 1.5. A header
/// that promises more than this is lying, and is refused before its image is allocated.
const MAX_EXPANSION: u64 = 2_731;

/// A fault of a file's content.
#[derive(Debug)]
pub(crate) enum Fault {
    Damaged { expected: String, found: String },
    Unsupported { expected: String, found: String, remedy: String },
    TooLarge { rows: u64, cols: u64, max_pixels: usize },
    Unorganized { points: u64 },
}

impl Fault {
    pub(crate) fn damaged(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Damaged { expected: expected.into(), found: found.into() }
    }

    pub(crate) fn unsupported(
        expected: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Unsupported { expected: expected.into(), found: found.into(), remedy: remedy.into() }
    }

    /// The error about this file.
    pub(crate) fn at(self, path: &Path) -> DataError {
        let path = path.to_path_buf();
        match self {
            Self::Damaged { expected, found } => DataError::Damaged { path, expected, found },
            Self::Unsupported { expected, found, remedy } => DataError::Unsupported { path, expected, found, remedy },
            Self::TooLarge { rows, cols, max_pixels } => DataError::TooLarge { path, rows, cols, max_pixels },
            Self::Unorganized { points } => DataError::Unorganized { path, points },
        }
    }
}

/// The size that a header claims, if it has pixels and not too many.
pub(crate) fn checked_size(rows: u64, cols: u64, max_pixels: usize) -> Result<GridSize, Fault> {
    if rows == 0 || cols == 0 {
        return Err(Fault::damaged("at least one pixel", format!("{rows} rows x {cols} columns")));
    }
    match rows.checked_mul(cols) {
        Some(area) if area <= max_pixels as u64 => Ok(GridSize::new(rows as usize, cols as usize)),
        _ => Err(Fault::TooLarge { rows, cols, max_pixels }),
    }
}

/// Refuses a header that promises more decoded bytes than `encoded` bytes can hold.
pub(crate) fn check_expansion(decoded: u64, encoded: usize) -> Result<(), Fault> {
    if decoded > (encoded as u64).saturating_mul(MAX_EXPANSION) {
        return Err(Fault::damaged(format!("data for {decoded} decoded bytes"), format!("{encoded} encoded bytes")));
    }
    Ok(())
}
