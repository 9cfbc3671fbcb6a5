//! Finds defects on manufactured parts from one scan of a 3D camera, learning from good parts only.
//!
//! [`Detector::fit`] learns from good scans, [`Detector::inspect`] judges a scan, [`evaluate`](evaluation::evaluate)
//! measures a detector on scans whose defects are known, and [`model_file`] keeps a detector in one file. A
//! [`RoutedDetector`] knows several categories and tells which of them a scan shows.

pub mod bench;
pub mod benchmark;
pub mod chunks;
pub mod detector;
pub mod evaluation;
pub mod experts;
pub mod model;
pub mod model_file;
pub mod outputs;
pub mod pictures;
pub mod pipeline;
pub mod presets;
pub mod report;
pub mod routed;

pub use detector::{Detector, FitError, FitInputs, FittedCategory, Inspection, LoadedScan, ScanError, Verdict};
pub use model::Model;
pub use pipeline::NotJudged;
pub use routed::RoutedDetector;

/// Lower-case hexadecimal text of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
