//! Scans from files, and files from results: dataset layouts, file formats and the scan simulator
//! (docs/method.md, "Samples").
//!
//! One entry for every format: [`read_scan`] gives a [`Scan`](shapeguard_core::sample::Scan) in metres from a TIFF, PCD,
//! PLY, NPY, NPZ or depth image and its colour image. Formats are told by their first bytes, not by their names. What is
//! on disk is found by [`Dataset::open`] and [`discover_scans`]. Everything that is written is written by
//! [`atomic_write`], which never leaves half a file and never overwrites without being told to.
//!
//! No file is trusted: sizes are checked before anything is allocated, and every error names the file, what was
//! expected, what was found, and what to do about it.

mod dataset;
mod depth;
mod digest;
mod error;
mod fault;
mod file;
mod folder;
mod image_file;
mod lzf;
mod npy;
mod pcd;
mod ply;
mod scan_file;
pub mod simulator;
mod tiff_file;
mod values;
mod write;

pub use dataset::{Dataset, Datasets, GOOD, SampleEntry, TestEntry, category_roots, discover_arriving, discover_scans};
pub use depth::Intrinsics;
pub use digest::scan_digest;
pub use error::DataError;
pub use image_file::{encode_mask_png, encode_rgb_png};
pub use scan_file::{
    DEFAULT_MAX_PIXELS, NamedBytes, ReadOptions, ScanBytes, ScanSource, TruthRule, Unit, decode_rgb, decode_scan,
    parse_grid_size, read_mask, read_rgb, read_scan, read_truth,
};
pub use write::{
    atomic_write, check_folder, encode_xyz_tiff, write_coloured_ply, write_json, write_mask_png, write_rgb_png,
    write_xyz_tiff,
};
