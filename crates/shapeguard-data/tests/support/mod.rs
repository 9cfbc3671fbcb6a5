//! The golden scan, and where the golden files are (see `goldens/README.md`).
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use shapeguard_core::grid::{Grid, GridSize, RgbImage};
use shapeguard_core::sample::{Frame, OrganizedCloud, Scan};

/// The size of every golden.
pub const SIZE: GridSize = GridSize::new(5, 7);

/// A golden file.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// Coordinates as they stand in every golden.
pub fn raw_xyz() -> Grid<[f32; 3]> {
    let bytes = std::fs::read(golden("xyz.f32")).unwrap();
    let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Grid::new(SIZE, values.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect()).unwrap()
}

/// The golden colours.
pub fn rgb() -> RgbImage {
    let bytes = std::fs::read(golden("rgb.u8")).unwrap();
    Grid::new(SIZE, bytes.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect()).unwrap()
}

/// The golden scan.
pub fn scan() -> Scan {
    Scan::new(OrganizedCloud::decode(raw_xyz(), 1.0, Frame::Camera), rgb()).unwrap()
}

/// The names of the golden files that begin and end so, sorted.
pub fn goldens(prefix: &str, suffix: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(golden(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(prefix) && name.ends_with(suffix))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no goldens {prefix}*{suffix}");
    names
}
