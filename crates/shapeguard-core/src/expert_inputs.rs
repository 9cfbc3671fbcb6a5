//! What the experts are given of a patch: normalised points for the shape expert, cells for the appearance expert
//! (docs/method.md, "Patches" and "Appearance expert").

use crate::patches::PatchSet;
use crate::settings::PatchSettings;

/// The normalised points of all patches, patch after patch: each patch scaled by 1 / (its largest axis extent),
/// then centred on its mean.
pub fn normalised_patch_points(_patches: &PatchSet) -> Vec<[f32; 3]> {
    todo!()
}

/// The cells of each patch, ascending: those of its points, dilated, never across the image's border.
pub fn patch_cells(_patches: &PatchSet, _settings: &PatchSettings) -> Vec<Vec<u32>> {
    todo!()
}
