//! The shape expert's half: neighbours in the SDF bank, and the signed-distance map (paper section 3.2).

use crate::grid::{Grid, GridSize, Mask, ScoreMap};
use crate::matrix::Matrix;
use crate::memory::DualMemory;
use crate::patches::PatchSet;
use crate::seams::{BankSearch, Neighbour};
use crate::settings::MemorySettings;

/// The nearest features of each patch in the SDF bank, without those of the sample `leave_out`.
///
/// # Shapes
/// - `features`: `[n_patches, shape_dim]`
/// - result: `n_patches` lists, nearest first
pub fn shape_neighbours(
    features: &Matrix,
    memory: &DualMemory,
    search: &dyn BankSearch,
    settings: &MemorySettings,
    leave_out: Option<u32>,
) -> Vec<Vec<Neighbour>> {
    let allowed = leave_out.map(|sample| memory.shape_rows_without(sample));
    search.nearest(&memory.shape, allowed.as_deref(), features, settings.shape_neighbours)
}

/// The absolute signed distance of each pixel that a patch holds, the smallest where several do, and which pixels
/// those are. Distances stay in the patches' normalised units.
///
/// # Shapes
/// - `distances`: of the patches' members, patch after patch
///
/// # Panics
/// If there is not one distance per member: a bug of the caller.
pub fn signed_distance_map(distances: &[f32], patches: &PatchSet) -> (ScoreMap, Mask) {
    let size = GridSize::new(patches.image_side, patches.image_side);
    let mut map = Grid::filled(size, 0.0f32);
    let mut scored = Mask::filled(size, false);
    let members = patches.patches.iter().flat_map(|patch| &patch.members);
    assert_eq!(distances.len(), members.clone().count(), "each patch member needs its distance");
    for (distance, member) in distances.iter().zip(members) {
        let pixel = patches.pixels[*member as usize] as usize;
        let distance = distance.abs();
        let current = map.as_slice()[pixel];
        // What is no number stays: it must surface, not be hidden by another patch.
        if !scored.as_slice()[pixel] || distance < current || distance.is_nan() {
            map.as_mut_slice()[pixel] = distance;
            scored.as_mut_slice()[pixel] = true;
        }
    }
    (map, scored)
}
