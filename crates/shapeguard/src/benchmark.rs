//! Suites as benchmarks: which scans of which categories, simulated in memory. What the accuracy examples share.

use shapeguard_core::metrics::{PixelMetrics, auroc};
use shapeguard_core::grid::{Mask, ScoreMap};
use shapeguard_data::simulator::{Category, PlannedScan, SimulatedScan, Split, Suite, SuiteError, simulate_scan};
use shapeguard_data::{DataError, GOOD};
use std::path::PathBuf;

/// The suite that is used unless another is named.
pub const DEFAULT_SUITE: &str = "v1";

/// A suite and those of its categories that are wanted.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// The suite.
    pub suite: Suite,
    /// What it was called by.
    pub suite_name: String,
    /// The wanted categories, in the suite's order.
    pub categories: Vec<Category>,
}

impl Benchmark {
    /// Takes a suite's name, or the file of its definition, and categories; all, if none is named.
    ///
    /// # Errors
    /// If there is no such suite or category.
    pub fn new(suite_name: &str, wanted: &[String]) -> Result<Self, SuiteError> {
        let suite = match Suite::by_name(suite_name) {
            Some(suite) => suite,
            None => {
                let path = PathBuf::from(suite_name);
                let text = std::fs::read_to_string(&path).map_err(|source| DataError::Io { path, source })?;
                Suite::from_json(suite_name, &text)?
            }
        };
        for name in wanted {
            suite.only(name)?;
        }
        let is_wanted = |category: &Category| wanted.is_empty() || wanted.iter().any(|name| name == category.name());
        let categories = suite.categories().into_iter().filter(is_wanted).collect();
        Ok(Self { suite, suite_name: suite_name.to_owned(), categories })
    }

    /// A category's scans of one split.
    pub fn scans(&self, category: Category, split: Split) -> Vec<PlannedScan> {
        self.suite.scans(category).into_iter().filter(|scan| scan.split == split).collect()
    }

    /// Simulates a scan.
    pub fn simulate(&self, category: Category, planned: &PlannedScan) -> SimulatedScan {
        simulate_scan(category, self.suite.seed, planned.sample_index, planned.defect)
    }
}

/// A planned scan's path within its category.
pub fn scan_name(planned: &PlannedScan) -> String {
    planned.folder().join(planned.name()).display().to_string()
}

/// A planned scan's defect kind; `good` for none.
pub fn scan_kind(planned: &PlannedScan) -> &'static str {
    planned.defect.map_or(GOOD, |defect| defect.kind.name())
}
