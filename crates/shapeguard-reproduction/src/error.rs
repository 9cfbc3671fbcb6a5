//! What can go wrong.

use std::path::PathBuf;

use shapeguard::FitError;
use shapeguard::detector::ScanError;
use shapeguard_baselines::BaselineError;
use shapeguard_core::alignment::AlignmentError;
use shapeguard_data::DataError;

/// Why the tables cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReproductionError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A training scan cannot be used.
    #[error("{category}: {source}; the published figures learn from all training scans, so mend or remove it")]
    TrainingScan {
        /// The category.
        category: String,
        /// Which one, and why.
        source: Box<ScanError>,
    },
    /// A category lacks what the tables are made of.
    #[error("{category}: expected at least {needed} {what}, found {found}; leave the category out, or add them")]
    TooFew {
        /// The category.
        category: String,
        /// Of what.
        what: &'static str,
        /// How many are needed.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// The two experts' scores cannot be brought to one scale.
    #[error("{category}: {source}")]
    Alignment {
        /// The category.
        category: String,
        /// Why.
        source: AlignmentError,
    },
    /// A baseline cannot be fitted.
    #[error("{category}: {source}")]
    Baseline {
        /// The category.
        category: String,
        /// Why.
        source: BaselineError,
    },
    /// Another preset cannot be fitted.
    #[error("{category}, preset {preset}: {source}")]
    Fit {
        /// The category.
        category: String,
        /// The preset.
        preset: String,
        /// Why.
        source: Box<FitError>,
    },
    /// Settings that the tables are not defined for.
    #[error("{message}")]
    Settings {
        /// Which, and what to do.
        message: String,
    },
    /// No such category.
    #[error("there is no category {name:?}; there are {known}")]
    UnknownCategory {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The folder has results of other settings, experts or scans.
    #[error(
        "{path}: these results were made with other settings, experts, scans or another version of the program; give another folder by --out, or pass --force to measure again"
    )]
    OtherResults {
        /// A category's file.
        path: PathBuf,
    },
    /// The folder is somebody else's.
    #[error(
        "{path}: expected an empty folder or one that `reproduce` made (with a file {marker}); give another by --out"
    )]
    OtherFolder {
        /// The folder.
        path: PathBuf,
        /// What marks such folders.
        marker: &'static str,
    },
    /// The page or a plot failed: a bug.
    #[error("the page could not be rendered: {0}")]
    Render(String),
}
