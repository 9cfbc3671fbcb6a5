//! Pictures of what is kept, drawn when somebody asks: they take more room than what they are made of.

use std::path::Path;

use shapeguard::pictures;
use shapeguard::pipeline::map_at_scan_size;
use shapeguard_core::grid::{Grid, ScoreMap};
use shapeguard_core::sample::Scan;
use shapeguard_data::{NamedBytes, ScanBytes, decode_scan, encode_rgb_png};

use crate::maps::{MapKind, unpack};
use crate::record::Record;
use crate::store::{FileRole, Store, StoreError, StoredInspection};

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// What it is made of cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it is made of is not what it was.
    #[error("{0}")]
    Damaged(String),
}

fn damaged(error: impl std::fmt::Display) -> PictureError {
    PictureError::Damaged(error.to_string())
}

/// The scan, read as it was when it was inspected; `None` if it could not be.
fn scan(store: &Store, stored: &StoredInspection, record: &Record, max: usize) -> Result<Option<Scan>, PictureError> {
    if record.scan_size.is_none() {
        return Ok(None);
    }
    let bytes = |role| stored.file(role).map(|sha256| store.file(sha256)).transpose();
    let (cloud, rgb, intrinsics) = (bytes(FileRole::Cloud)?, bytes(FileRole::Rgb)?, bytes(FileRole::Intrinsics)?);
    fn named(bytes: &Option<Vec<u8>>) -> Option<NamedBytes<'_>> {
        bytes.as_ref().map(|bytes| NamedBytes { name: Path::new("kept file"), bytes })
    }
    let Some(cloud) = named(&cloud) else { return Ok(None) };
    let files = ScanBytes { cloud, rgb: named(&rgb), intrinsics: named(&intrinsics) };
    let options = record.read_as.options(max);
    decode_scan(&files, &options).map(Some).map_err(damaged)
}

/// A map; `None` if the scan was not judged.
///
/// # Errors
/// If it cannot be read.
pub fn map(
    store: &Store,
    stored: &StoredInspection,
    record: &Record,
    kind: MapKind,
) -> Result<Option<ScoreMap>, PictureError> {
    let (Some(sha256), Some(frame)) = (stored.file(FileRole::Maps), record.frame()) else { return Ok(None) };
    let map = unpack(&store.file(sha256)?, frame.side, kind);
    map.map(Some).ok_or_else(|| damaged(format!("the maps of {} are not of {} pixels", record.id, frame.side)))
}

/// The fused map at the scan's size.
fn fused(store: &Store, stored: &StoredInspection, record: &Record) -> Result<Option<ScoreMap>, PictureError> {
    let map = map(store, stored, record, MapKind::Fused)?;
    Ok(map.zip(record.frame()).map(|(map, frame)| map_at_scan_size(&map, frame)))
}

fn good_peak(record: &Record) -> f32 {
    record.map.map_or(0.0, |map| map.good_peak)
}

/// The colour image as PNG; `None` if the scan could not be read.
///
/// # Errors
/// If what is kept cannot be read.
pub fn image(
    store: &Store,
    stored: &StoredInspection,
    record: &Record,
    max: usize,
) -> Result<Option<Vec<u8>>, PictureError> {
    let scan = scan(store, stored, record, max)?;
    scan.map(|scan| encode_rgb_png(scan.rgb()).map_err(damaged)).transpose()
}

/// The fused map in colours as PNG, at the scan's size; `None` if it was not judged.
///
/// # Errors
/// As for [`image`].
pub fn heat(store: &Store, stored: &StoredInspection, record: &Record) -> Result<Option<Vec<u8>>, PictureError> {
    let map = fused(store, stored, record)?;
    let picture = map.map(|map| pictures::heat_map(&map, good_peak(record)));
    picture.map(|picture| encode_rgb_png(&picture).map_err(damaged)).transpose()
}

/// The fused map over the colour image as PNG; `None` if it was not judged.
///
/// # Errors
/// As for [`image`].
pub fn overlay(
    store: &Store,
    stored: &StoredInspection,
    record: &Record,
    max: usize,
) -> Result<Option<Vec<u8>>, PictureError> {
    let (Some(map), Some(scan)) = (fused(store, stored, record)?, scan(store, stored, record, max)?) else {
        return Ok(None);
    };
    encode_rgb_png(&pictures::overlay(scan.rgb(), &map, good_peak(record))).map(Some).map_err(damaged)
}

/// The cloud as a binary PLY: position in metres, colour, score (0 if it was not judged), pixel. Every `n`-th row and column,
/// so that no more than `most` points are left; `None` if the scan could not be read.
///
/// # Errors
/// As for [`image`].
pub fn cloud(
    store: &Store,
    stored: &StoredInspection,
    record: &Record,
    max: usize,
    most: usize,
) -> Result<Option<Vec<u8>>, PictureError> {
    let Some(scan) = scan(store, stored, record, max)? else { return Ok(None) };
    let size = scan.size();
    let scores = fused(store, stored, record)?.unwrap_or_else(|| Grid::filled(size, 0.0));
    let valid = scan.cloud().valid();
    let counted = |step: usize| {
        (0..size.rows)
            .step_by(step)
            .map(|row| (0..size.cols).step_by(step).filter(|col| valid[(row, *col)]).count())
            .sum()
    };
    let first = ((valid.count() as f64 / most as f64).sqrt().floor() as usize).max(1);
    let step = (first..=size.rows.max(size.cols)).find(|step| counted(*step) <= most).unwrap_or(size.area());
    let count: usize = counted(step);
    let mut ply = format!(
        "ply\nformat binary_little_endian 1.0\ncomment written by shapeguard, metres\nelement vertex {count}\n\
         property float x\nproperty float y\nproperty float z\n\
         property uchar red\nproperty uchar green\nproperty uchar blue\nproperty float score\n\
         property int row\nproperty int col\nend_header\n"
    )
    .into_bytes();
    for row in (0..size.rows).step_by(step) {
        for col in (0..size.cols).step_by(step).filter(|col| valid[(row, *col)]) {
            ply.extend(scan.cloud().points_m()[(row, col)].iter().flat_map(|value| value.to_le_bytes()));
            ply.extend(scan.rgb()[(row, col)]);
            ply.extend(scores[(row, col)].to_le_bytes());
            ply.extend([row, col].iter().flat_map(|index| (*index as i32).to_le_bytes()));
        }
    }
    Ok(Some(ply))
}
