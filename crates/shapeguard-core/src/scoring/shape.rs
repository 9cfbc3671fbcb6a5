//! The shape expert's half: neighbours in the SDF bank, and the signed-distance map (paper section 3.2).

use crate::grid::{Grid, GridSize, Mask, ScoreMap};
use crate::matrix::Matrix;
use crate::memory::DualMemory;
use crate::patches::PatchSet;
use crate::seams::{BankSearch, Neighbour};
use crate::settings::{MemorySettings, OverlapRule};

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

/// The absolute signed distance of each pixel that a patch holds, made of those of several by `rule`, and which pixels
/// those are. Distances stay in the patches' normalised units, times each patch's factor.
///
/// # Shapes
/// - `distances`: of the patches' members, patch after patch
/// - `factors`: of the patches
///
/// # Panics
/// If there is not one distance per member, or one factor per patch: a bug of the caller.
pub fn signed_distance_map(
    distances: &[f32],
    factors: &[f32],
    patches: &PatchSet,
    rule: OverlapRule,
) -> (ScoreMap, Mask) {
    let size = GridSize::new(patches.image_side, patches.image_side);
    let mut map = Grid::filled(size, 0.0f32);
    let mut scored = Mask::filled(size, false);
    assert_eq!(factors.len(), patches.patches.len(), "each patch needs its factor");
    let members = patches.patches.iter().zip(factors).flat_map(|(patch, f)| patch.members.iter().map(move |m| (m, f)));
    assert_eq!(distances.len(), members.clone().count(), "each patch member needs its distance");
    let mut counts = vec![0u32; size.area()];
    for (distance, (member, factor)) in distances.iter().zip(members) {
        let pixel = patches.pixels[*member as usize] as usize;
        let distance = distance.abs() * factor;
        let (current, count) = (&mut map.as_mut_slice()[pixel], &mut counts[pixel]);
        match rule {
            // What is no number stays: it must surface, not be hidden by another patch.
            OverlapRule::Minimum if *count == 0 || distance < *current || distance.is_nan() => *current = distance,
            OverlapRule::Minimum => {}
            OverlapRule::Mean => *current += distance,
        }
        *count += 1;
        scored.as_mut_slice()[pixel] = true;
    }
    if rule == OverlapRule::Mean {
        map.as_mut_slice().iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= (*count).max(1) as f32);
    }
    (map, scored)
}
