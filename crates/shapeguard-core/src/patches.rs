//! Patches: overlapping neighbourhoods that cover every foreground point (paper section 3.1; docs/method.md,
//! "Patches").

use crate::resample::Sample;
use crate::settings::PatchSettings;

/// Why a sample has no patches.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// Placeholder until the variants are in.
    #[error("too few points")]
    TooFewPoints,
}

/// One patch: its centre and its nearest points, the centre included, nearest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Index of the centre in [`PatchSet::pixels`].
    pub centre: u32,
    /// Indices of the members in [`PatchSet::pixels`].
    pub members: Vec<u32>,
}

/// The patches of a sample.
#[derive(Clone, Debug)]
pub struct PatchSet {
    /// Pixel of each valid point: `row * 224 + col`, ascending.
    pub pixels: Vec<u32>,
    /// Coordinates of each valid point: minus their minimum, divided by the extent along x.
    pub positions: Vec<[f32; 3]>,
    /// The patches, all of the same size.
    pub patches: Vec<Patch>,
    /// Points of a patch.
    pub points_per_patch: usize,
    /// How many centres were added until every point was covered.
    pub added_centres: usize,
}

/// Cuts a sample into patches.
///
/// # Errors
/// If it has fewer points than a patch, or no extent.
pub fn extract_patches(_sample: &Sample, _settings: &PatchSettings) -> Result<PatchSet, PatchError> {
    todo!()
}
