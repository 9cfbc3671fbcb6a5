//! The shape expert's half: neighbours in the SDF bank, and the signed-distance map (paper section 3.2).

use crate::grid::{Grid, GridSize, Mask, ScoreMap};
use crate::matrix::Matrix;
use crate::memory::DualMemory;
use crate::patches::PatchSet;
use crate::scoring::LeaveOut;
use crate::seams::{BankSearch, Neighbour};
use crate::settings::{MemorySettings, OverlapRule, ReferenceQuirks};

/// The nearest features of each patch in the SDF bank, without those that are left out.
///
/// # Shapes
/// - `features`: `[n_patches, shape_dim]`
/// - result: `n_patches` lists, nearest first
pub fn shape_neighbours(
    features: &Matrix,
    memory: &DualMemory,
    search: &dyn BankSearch,
    settings: &MemorySettings,
    leave_out: LeaveOut,
) -> Vec<Vec<Neighbour>> {
    let allowed = match leave_out {
        LeaveOut::Sample(sample) => Some(memory.shape_rows_without(sample)),
        LeaveOut::Nothing | LeaveOut::Nearest => None,
    };
    leave_out.nearest(search, &memory.shape, allowed.as_deref(), features, settings.shape_neighbours)
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
    signed_distance_map_with(distances, factors, patches, rule, ReferenceQuirks::default())
}

/// As [`signed_distance_map`], with the reference's `zero_is_unset` where it is on: in the minimum, patch after patch, a pixel at 0
/// takes whatever the next patch says, and one that is 0 in the end carries no score. The mean knows no such thing.
///
/// # Panics
/// As [`signed_distance_map`].
pub fn signed_distance_map_with(
    distances: &[f32],
    factors: &[f32],
    patches: &PatchSet,
    rule: OverlapRule,
    quirks: ReferenceQuirks,
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
        let is_unset = if quirks.zero_is_unset { *current == 0.0 } else { *count == 0 };
        match rule {
            // What is no number stays: it must surface, not be hidden by another patch.
            OverlapRule::Minimum if is_unset || distance < *current || distance.is_nan() => *current = distance,
            OverlapRule::Minimum => {}
            OverlapRule::Mean => *current += distance,
        }
        *count += 1;
        scored.as_mut_slice()[pixel] = true;
    }
    if rule == OverlapRule::Minimum && quirks.zero_is_unset {
        scored.as_mut_slice().iter_mut().zip(map.as_slice()).for_each(|(scored, score)| *scored &= *score != 0.0);
    }
    if rule == OverlapRule::Mean {
        map.as_mut_slice().iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= (*count).max(1) as f32);
    }
    (map, scored)
}
