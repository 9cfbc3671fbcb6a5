//! The ways in which the paper's tables compare a sample with the memory. All share a sample's features; what they
//! have in common is computed once.

use serde::{Deserialize, Serialize};
use shapeguard::evaluation::Channel;
use shapeguard::experts::Experts;
use shapeguard_core::expert_inputs::normalised_patch_points;
use shapeguard_core::memory::{DualMemory, SampleFeatures};
use shapeguard_core::patches::PatchSet;
use shapeguard_core::scoring::{LeaveOut, RawScores, cell_residuals, dictionary, rebuild_features, shape_neighbours};
use shapeguard_core::settings::{Coding, MemorySettings};

/// Share of the RGB bank that the greedy coreset keeps (Table 3's 10 %).
pub const CORESET_SHARE: f64 = 0.1;

/// Which part of the RGB bank a sample's cells are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dictionary {
    /// The cells of similar shapes: the paper's method.
    Guided,
    /// All of it.
    FullBank,
    /// A greedy coreset of a tenth of it.
    Coreset,
}

/// A way to compare a sample with the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name in results.
    pub name: &'static str,
    /// How SDF features are rebuilt.
    pub sdf: Coding,
    /// How RGB features are rebuilt.
    pub rgb: Coding,
    /// What RGB features are compared with.
    pub dictionary: Dictionary,
    /// Of which maps figures are wanted.
    pub channels: &'static [Channel],
}

/// The paper's method.
pub const SHAPE_GUIDED: Variant = Variant {
    name: "shape-guided",
    sdf: Coding::Sparse,
    rgb: Coding::Sparse,
    dictionary: Dictionary::Guided,
    channels: &Channel::ALL,
};
/// The whole RGB bank, unguided.
pub const FULL_BANK: Variant = Variant {
    name: "full-bank",
    dictionary: Dictionary::FullBank,
    channels: &[Channel::Rgb, Channel::Fused],
    ..SHAPE_GUIDED
};
/// A coreset of the RGB bank, unguided.
pub const CORESET: Variant = Variant { name: "coreset", dictionary: Dictionary::Coreset, ..FULL_BANK };
/// Table 6 but for its last line, which is [`SHAPE_GUIDED`].
pub const CODINGS: [Variant; 3] = [
    Variant {
        name: "rgb-nn-sdf-nn",
        sdf: Coding::NearestNeighbour,
        rgb: Coding::NearestNeighbour,
        channels: &[Channel::Fused],
        ..SHAPE_GUIDED
    },
    Variant { name: "rgb-nn-sdf-sparse", rgb: Coding::NearestNeighbour, channels: &[Channel::Fused], ..SHAPE_GUIDED },
    Variant { name: "rgb-sparse-sdf-nn", sdf: Coding::NearestNeighbour, channels: &[Channel::Fused], ..SHAPE_GUIDED },
];

/// What samples are compared with: the memory, and the rows of its RGB bank that are the coreset.
#[derive(Debug)]
pub struct Banks {
    /// Both banks.
    pub memory: DualMemory,
    /// Rows of the coreset, ascending; empty where no variant wants it.
    pub coreset: Vec<u32>,
}

/// Compares a sample in each of these ways, without the features that it leaves out.
///
/// What the ways share is computed once, and nothing else is: signed distances, nearly all of the work, once for each coding
/// of SDF features, and residuals once for each dictionary and coding of RGB features.
pub fn compare(
    variants: &[Variant],
    features: &SampleFeatures,
    patches: &PatchSet,
    banks: &Banks,
    experts: &Experts,
    settings: &MemorySettings,
    leave_out: LeaveOut,
) -> Vec<RawScores> {
    let memory = &banks.memory;
    let search = &*experts.search;
    let neighbours = shape_neighbours(&features.shape, memory, search, settings, leave_out);
    let points = normalised_patch_points(patches);
    let shape = |coding: Coding| {
        let rebuilt = rebuild_features(&features.shape, &memory.shape, &neighbours, coding, settings.nonzeros);
        let distances = experts.shape.signed_distances(&rebuilt.features, &points, patches.points_per_patch);
        (rebuilt.residuals, distances)
    };
    let cells = features.used_cells();
    let appearance = |(which, appearance_coding): (Dictionary, Coding)| {
        let settings =
            MemorySettings { shape_guided: which == Dictionary::Guided, appearance_coding, ..settings.clone() };
        let others = |row: &u32| LeaveOut::Sample(memory.appearance_sample[*row as usize]) != leave_out;
        let rows = match which {
            Dictionary::Guided | Dictionary::FullBank => dictionary(&neighbours, memory, &settings, leave_out),
            Dictionary::Coreset => Some(banks.coreset.iter().copied().filter(others).collect()),
        };
        let compared =
            cell_residuals(&features.appearance, &cells, memory, rows.as_deref(), search, &settings, leave_out);
        (compared, rows.map_or(memory.appearance.rows(), |rows| rows.len()))
    };
    let (mut shapes, mut appearances) = (Vec::new(), Vec::new());
    variants
        .iter()
        .map(|variant| {
            let (patch_residuals, distances) = once(&mut shapes, variant.sdf, shape).clone();
            let (compared, dictionary_size) = once(&mut appearances, (variant.dictionary, variant.rgb), appearance);
            RawScores {
                patch_neighbours: neighbours.clone(),
                patch_residuals,
                distances,
                points_per_patch: patches.points_per_patch,
                cells: cells.clone(),
                cell_neighbours: compared.neighbours.clone(),
                cell_residuals: compared.residuals.clone(),
                cell_differences: None,
                grid_side: features.appearance.rows().isqrt(),
                dictionary_size: *dictionary_size,
            }
        })
        .collect()
}

/// What was made of the key before, or is made now.
fn once<K: PartialEq + Copy, V>(made: &mut Vec<(K, V)>, key: K, make: impl Fn(K) -> V) -> &V {
    let place = made.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        made.push((key, make(key)));
        made.len() - 1
    });
    &made[place].1
}
