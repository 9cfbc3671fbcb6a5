//! Suites as benchmarks: which scans of which categories, simulated in memory. What the accuracy examples share.

use std::path::PathBuf;

use shapeguard_data::simulator::{Category, PlannedScan, SimulatedScan, Split, Suite, SuiteError, simulate_scan};
use shapeguard_data::{DataError, GOOD};

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
                let text = std::fs::read_to_string(&path).map_err(|source| DataError::Read { path, source })?;
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

/// Takes a flag and the value after it out of a command line; `None` without the flag.
pub fn take_option(arguments: &mut Vec<String>, flag: &str) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == flag)?;
    arguments.drain(at..(at + 2).min(arguments.len())).nth(1)
}

/// A planned scan's path within its category.
pub fn scan_name(planned: &PlannedScan) -> String {
    planned.folder().join(planned.name()).display().to_string()
}

/// A planned scan's defect kind; `good` for none.
pub fn scan_kind(planned: &PlannedScan) -> &'static str {
    planned.defect.map_or(GOOD, |defect| defect.kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_come_in_the_suite_s_order_and_unknown_ones_are_named() {
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            Benchmark::new(DEFAULT_SUITE, &wanted)
                .map(|benchmark| benchmark.categories.iter().map(|category| category.name()).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), 12);
        assert_eq!(names(&["gear", "biscuit"]).unwrap(), ["biscuit", "gear"]);
        let error = names(&["gear", "teapot"]).unwrap_err().to_string();
        assert!(error.contains("teapot") && error.contains("biscuit"), "{error}");
        assert!(Benchmark::new("no/such/suite.json", &[]).unwrap_err().to_string().contains("no/such/suite.json"));
    }

    #[test]
    fn splits_are_the_suite_s() {
        let benchmark = Benchmark::new(DEFAULT_SUITE, &["pear".to_owned()]).unwrap();
        let count = |split| benchmark.scans(benchmark.categories[0], split).len();
        assert_eq!([count(Split::Train), count(Split::Validation), count(Split::Test)], [20, 4, 30]);
        let test = benchmark.scans(benchmark.categories[0], Split::Test);
        assert_eq!((scan_kind(&test[0]), scan_name(&test[0]).as_str()), ("good", "test/good/000"));
    }

    #[test]
    fn options_are_taken_out_with_their_values() {
        let mut arguments: Vec<String> = ["v1", "--json", "out.json", "pear", "--weights"].map(Into::into).into();
        assert_eq!(take_option(&mut arguments, "--json").as_deref(), Some("out.json"));
        assert_eq!(take_option(&mut arguments, "--weights"), None);
        assert_eq!(arguments, ["v1", "pear"]);
    }
}
