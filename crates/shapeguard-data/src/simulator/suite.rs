//! Suites: committed definitions of simulated datasets, with digests, so that a benchmark's data is the same everywhere.
//!
//! `v1` is the project's benchmark. Its definition and its digests are `suites/v1.json`; neither ever changes once
//! frozen. The digests are over decoded content (size, validity, coordinates, colours, truth), not over files.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shapeguard_core::grid::Mask;
use shapeguard_core::sample::Scan;
use shapeguard_core::seams::Progress;

use super::category::Category;
use super::write::{PlannedScan, Split, write_category};
use super::{DefectSpec, simulate_scan};
use crate::{DataError, ReadOptions, ScanSource, TruthRule, read_scan, read_truth, scan_digest};

/// Why a suite cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// A file or folder is at fault.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A definition that is not one.
    #[error(
        "suite \"{name}\": expected a suite's definition in JSON, found: {message}; use the definition as committed"
    )]
    Definition {
        /// The suite.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A category that the suite lacks.
    #[error("suite \"{suite}\" has no category \"{category}\"; it has {known}")]
    UnknownCategory {
        /// The suite.
        suite: String,
        /// The name that was asked for.
        category: String,
        /// The suite's categories.
        known: String,
    },
    /// No digest was committed.
    #[error("suite \"{suite}\" has no digest for {category}; freeze the suite first (example freeze_suite)")]
    NotFrozen {
        /// The suite.
        suite: String,
        /// The category.
        category: Category,
    },
    /// The scans are others.
    #[error(
        "suite \"{suite}\", {category}: expected the digest {expected}, found {found}, first at {first}; the scans are not the committed ones: simulate them again with the program's own version"
    )]
    Differs {
        /// The suite.
        suite: String,
        /// The category.
        category: Category,
        /// The committed digest.
        expected: String,
        /// The digest found.
        found: String,
        /// The first scan that differs.
        first: String,
    },
}

/// A simulated dataset's definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Name of the suite.
    pub name: String,
    /// Seed of every scan.
    pub seed: u64,
    /// Factor on all defects' severity.
    pub strength: f32,
    /// Good scans to learn from, for each category.
    pub train: usize,
    /// Further good scans.
    pub validation: usize,
    /// Good scans to test with.
    pub test_good: usize,
    /// Defective scans to test with, dealt to the category's kinds in turn.
    pub test_defective: usize,
    categories: Vec<SuiteCategory>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteCategory {
    category: String,
    /// Factor on this category's defects, besides the suite's.
    #[serde(default = "one")]
    strength: f32,
    /// SHA-256 over all scans' digests, in the order of [`Suite::scans`], as hexadecimal digits.
    #[serde(default)]
    digest: String,
    /// First 16 digits of each scan's digest.
    #[serde(default)]
    scans: String,
}

fn one() -> f32 {
    1.0
}

/// Sample indices start here for each split, so that no scan depends on another split's size.
mod first_index {
    pub const TRAIN: u64 = 0;
    pub const VALIDATION: u64 = 1_000_000;
    pub const TEST_GOOD: u64 = 2_000_000;
    pub const TEST_DEFECTIVE: u64 = 3_000_000;
}

/// Digits of a scan's digest that are committed: enough to find the scan that differs.
const SHORT_DIGITS: usize = 16;

impl Suite {
    /// The project's benchmark: every category, 20 training scans, 4 for validation, 10 good and 20 defective tests.
    pub fn v1() -> Self {
        Self::embedded("v1", include_str!("../../suites/v1.json"))
    }

    /// A small task for a first look: one category, quickly made and learnt.
    pub fn demo() -> Self {
        Self::embedded("demo", include_str!("../../suites/demo.json"))
    }

    /// The suite of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "v1" => Some(Self::v1()),
            "demo" => Some(Self::demo()),
            _ => None,
        }
    }

    /// The suites' names.
    pub const fn names() -> &'static [&'static str] {
        &["demo", "v1"]
    }

    fn embedded(name: &str, text: &str) -> Self {
        Self::from_json(name, text).expect("embedded definitions are checked by a test")
    }

    /// Reads a definition.
    ///
    /// # Errors
    /// If it is no definition or names an unknown category.
    pub fn from_json(name: &str, text: &str) -> Result<Self, SuiteError> {
        let fail = |message: String| SuiteError::Definition { name: name.to_string(), message };
        let suite: Self = serde_json::from_str(text).map_err(|error| fail(error.to_string()))?;
        if let Some(unknown) = suite.categories.iter().find(|c| Category::by_name(&c.category).is_none()) {
            return Err(fail(format!("the unknown category \"{}\"", unknown.category)));
        }
        Ok(suite)
    }

    /// The definition as text.
    ///
    /// # Errors
    /// If a number in it cannot be written.
    pub fn to_json(&self) -> Result<String, SuiteError> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| SuiteError::Definition { name: self.name.clone(), message: error.to_string() })
    }

    /// The categories, in order.
    pub fn categories(&self) -> Vec<Category> {
        self.categories.iter().filter_map(|entry| Category::by_name(&entry.category)).collect()
    }

    /// The same suite with this category alone.
    ///
    /// # Errors
    /// If the suite lacks it.
    pub fn only(&self, category: &str) -> Result<Self, SuiteError> {
        let mut suite = self.clone();
        suite.categories.retain(|entry| entry.category == category);
        if suite.categories.is_empty() {
            let known: Vec<&str> = self.categories.iter().map(|entry| entry.category.as_str()).collect();
            return Err(SuiteError::UnknownCategory {
                suite: self.name.clone(),
                category: category.to_string(),
                known: known.join(", "),
            });
        }
        Ok(suite)
    }

    /// Number of scans of each category.
    pub fn scans_per_category(&self) -> usize {
        self.train + self.validation + self.test_good + self.test_defective
    }

    /// The scans of a category, in the order of their digests.
    pub fn scans(&self, category: Category) -> Vec<PlannedScan> {
        let strength = self.strength * self.entry(category).map_or(1.0, |entry| entry.strength);
        let good = |split, count: usize, first: u64| {
            (0..count).map(move |number| PlannedScan {
                split,
                number,
                sample_index: first + number as u64,
                defect: None,
            })
        };
        let kinds = category.defect_kinds();
        let defective = (0..self.test_defective).map(|i| PlannedScan {
            split: Split::Test,
            number: i / kinds.len(),
            sample_index: first_index::TEST_DEFECTIVE + i as u64,
            defect: Some(DefectSpec { kind: kinds[i % kinds.len()], strength }),
        });
        good(Split::Train, self.train, first_index::TRAIN)
            .chain(good(Split::Validation, self.validation, first_index::VALIDATION))
            .chain(good(Split::Test, self.test_good, first_index::TEST_GOOD))
            .chain(defective)
            .collect()
    }

    /// Writes all categories below `root` in the layout of MVTec 3D-AD; returns their folders.
    ///
    /// # Errors
    /// As [`write_category`].
    pub fn write(&self, root: &Path, overwrite: bool, progress: &dyn Progress) -> Result<Vec<PathBuf>, SuiteError> {
        if !overwrite {
            // Before the first minute's work, not after the tenth.
            for category in self.categories() {
                let folder = root.join(category.name());
                if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
                    return Err(DataError::Exists { path: folder }.into());
                }
            }
        }
        self.categories()
            .into_iter()
            .map(|category| Ok(write_category(root, category, self.seed, &self.scans(category), overwrite, progress)?))
            .collect()
    }

    /// Digest of one scan of this suite, simulated now.
    pub fn scan_digest(&self, category: Category, planned: &PlannedScan) -> [u8; 32] {
        let simulated = simulate_scan(category, self.seed, planned.sample_index, planned.defect);
        content_digest(&simulated.scan, &simulated.truth)
    }

    /// Digest of a category, simulated now, as hexadecimal digits.
    pub fn digest(&self, category: Category) -> String {
        let digests: Vec<[u8; 32]> =
            self.scans(category).par_iter().map(|planned| self.scan_digest(category, planned)).collect();
        combined(&digests)
    }

    /// The committed digest of a category; `None` before the suite is frozen.
    pub fn committed_digest(&self, category: Category) -> Option<&str> {
        self.entry(category).map(|entry| entry.digest.as_str()).filter(|digest| !digest.is_empty())
    }

    /// The committed beginning of a scan's digest, by its position in [`Suite::scans`].
    pub fn committed_scan_digest(&self, category: Category, position: usize) -> Option<&str> {
        self.entry(category)?.scans.split_whitespace().nth(position)
    }

    /// Checks a category on disk, as [`Suite::write`] writes it, against the committed digest.
    ///
    /// # Errors
    /// If a scan cannot be read or differs, or the suite is not frozen.
    pub fn verify_folder(&self, category: Category, folder: &Path) -> Result<(), SuiteError> {
        let read = |planned: &PlannedScan| -> Result<[u8; 32], SuiteError> {
            let place = folder.join(planned.folder());
            let file =
                |modality: &str, extension: &str| place.join(modality).join(planned.name()).with_extension(extension);
            let scan =
                read_scan(&ScanSource::with_rgb(file("xyz", "tiff"), file("rgb", "png")), &ReadOptions::default())?;
            let truth = match planned.split {
                Split::Test => read_truth(&file("gt", "png"), scan.size(), TruthRule::AboveZero)?,
                _ => Mask::filled(scan.size(), false),
            };
            Ok(content_digest(&scan, &truth))
        };
        let digests = self.scans(category).par_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        self.compare(category, &digests)
    }

    /// Checks a category, simulated now, against the committed digest.
    ///
    /// # Errors
    /// If a scan differs or the suite is not frozen.
    pub fn verify(&self, category: Category) -> Result<(), SuiteError> {
        let digests: Vec<[u8; 32]> =
            self.scans(category).par_iter().map(|planned| self.scan_digest(category, planned)).collect();
        self.compare(category, &digests)
    }

    fn compare(&self, category: Category, digests: &[[u8; 32]]) -> Result<(), SuiteError> {
        let expected = self
            .committed_digest(category)
            .ok_or_else(|| SuiteError::NotFrozen { suite: self.name.clone(), category })?;
        let found = combined(digests);
        if found == expected {
            return Ok(());
        }
        let differs = |(position, digest): &(usize, &[u8; 32])| {
            self.committed_scan_digest(category, *position) != Some(&hex(digest)[..SHORT_DIGITS])
        };
        let first = digests.iter().enumerate().find(differs).map_or("no single scan".to_string(), |(position, _)| {
            let planned = self.scans(category)[position];
            format!("{}/{}", planned.folder().display(), planned.name())
        });
        Err(SuiteError::Differs { suite: self.name.clone(), category, expected: expected.to_string(), found, first })
    }

    /// The same suite with the digests of what the simulator makes now: what freezes a suite.
    pub fn frozen(&self, progress: &dyn Progress) -> Self {
        let mut suite = self.clone();
        for (entry, category) in suite.categories.iter_mut().zip(self.categories()) {
            let scans = self.scans(category);
            progress.begin(&format!("digesting {category}"), scans.len());
            let digests: Vec<[u8; 32]> = scans
                .par_iter()
                .map(|planned| {
                    let digest = self.scan_digest(category, planned);
                    progress.step();
                    digest
                })
                .collect();
            progress.end();
            entry.digest = combined(&digests);
            let short: Vec<String> = digests.iter().map(|digest| hex(digest)[..SHORT_DIGITS].to_string()).collect();
            entry.scans = short.join(" ");
        }
        suite
    }

    fn entry(&self, category: Category) -> Option<&SuiteCategory> {
        self.categories.iter().find(|entry| entry.category == category.name())
    }
}

/// Digest of a scan and its truth.
fn content_digest(scan: &Scan, truth: &Mask) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(scan_digest(scan));
    let bits: Vec<u8> = truth.as_slice().iter().map(|set| u8::from(*set)).collect();
    digest.update(&bits);
    digest.finalize().into()
}

fn combined(digests: &[[u8; 32]]) -> String {
    let mut all = Sha256::new();
    digests.iter().for_each(|digest| all.update(digest));
    let digest: [u8; 32] = all.finalize().into();
    hex(&digest)
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
