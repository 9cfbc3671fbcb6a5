//! The ways in which the paper's tables compare a sample with the memory. All share a sample's features; what they
//! have in common is computed once.

use serde::{Deserialize, Serialize};
use shapeguard::evaluation::Channel;
use shapeguard::experts::Experts;
use shapeguard_core::memory::{DualMemory, SampleFeatures};
use shapeguard_core::patches::PatchSet;
use shapeguard_core::scoring::{LeaveOut, RawScores, cell_residuals, raw_scores};
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
    let by = |coding: Coding| {
        let settings = with_coding(settings, coding);
        raw_scores(features, patches, memory, &*experts.shape, &*experts.search, &settings, leave_out)
    };
    // Signed distances are nearly all of the work: one run of the NIF for each coding of SDF features.
    let sparse = by(Coding::Sparse);
    let nearest = variants
        .iter()
        .any(|variant| variant.sdf == Coding::NearestNeighbour || variant.rgb == Coding::NearestNeighbour)
        .then(|| by(Coding::NearestNeighbour));
    let of = |coding: Coding| match (coding, &nearest) {
        (Coding::NearestNeighbour, Some(nearest)) => nearest,
        _ => &sparse,
    };
    let unguided = |variant: &Variant, rows: Option<Vec<u32>>| {
        let settings = with_coding(settings, variant.rgb);
        let search = &*experts.search;
        let appearance = &features.appearance;
        let compared = cell_residuals(appearance, &sparse.cells, memory, rows.as_deref(), search, &settings, leave_out);
        let dictionary_size = rows.map_or(memory.appearance.rows(), |rows| rows.len());
        (compared.neighbours, compared.residuals, dictionary_size)
    };
    variants
        .iter()
        .map(|variant| {
            let (shape, colour) = (of(variant.sdf), of(variant.rgb));
            let others = |row: &u32| LeaveOut::Sample(memory.appearance_sample[*row as usize]) != leave_out;
            let (cell_neighbours, cell_residuals, dictionary_size) = match variant.dictionary {
                Dictionary::Guided => {
                    (colour.cell_neighbours.clone(), colour.cell_residuals.clone(), colour.dictionary_size)
                }
                Dictionary::FullBank => {
                    let rows = match leave_out {
                        LeaveOut::Sample(sample) => Some(memory.appearance_rows_without(sample)),
                        LeaveOut::Nothing | LeaveOut::Nearest => None,
                    };
                    unguided(variant, rows)
                }
                Dictionary::Coreset => unguided(variant, Some(banks.coreset.iter().copied().filter(others).collect())),
            };
            RawScores { cell_neighbours, cell_residuals, dictionary_size, ..shape.clone() }
        })
        .collect()
}

fn with_coding(settings: &MemorySettings, coding: Coding) -> MemorySettings {
    MemorySettings { shape_coding: coding, appearance_coding: coding, shape_guided: true, ..settings.clone() }
}
