//! `shapeguard simulate`: scans of simulated parts, in the MVTec 3D-AD layout.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use serde_json::json;
use shapeguard_core::seams::Progress;
use shapeguard_data::simulator::{Category, Suite, SuiteError};
use shapeguard_data::{DataError, check_folder};

use crate::output;
use crate::progress::Bars;

/// Simulate scans of parts and foods, good and defective, with exact masks of the defects.
///
/// Either a suite, whose scans are the same everywhere, or categories with counts and a seed of your own. Writes one
/// folder per category, in the MVTec 3D-AD layout, and prints its path.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard simulate --list\n  shapeguard simulate --suite v1 --category gear --out data --verify\n  shapeguard simulate --category biscuit --train 30 --defective 20 --seed 1 --out data"
)]
pub struct SimulateArgs {
    /// A committed suite: v1 (the benchmark) or demo
    #[arg(long, value_name = "NAME", conflicts_with_all = ["train", "validation", "good", "defective", "seed", "strength"])]
    suite: Option<String>,
    /// Categories to simulate [default: all of the suite]
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    category: Vec<String>,
    /// Folder in which the categories' folders are made
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Replace categories' folders that exist
    #[arg(long)]
    force: bool,
    /// Read the scans back and compare them with the suite's committed digests
    #[arg(long, requires = "suite")]
    verify: bool,
    /// List suites and categories with their kinds of defects
    #[arg(long, conflicts_with_all = ["suite", "category", "out"])]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    own: OwnOptions,
}

/// A dataset of one's own.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Without --suite")]
struct OwnOptions {
    /// Good scans to learn from
    #[arg(long, value_name = "N", default_value_t = 16)]
    train: usize,
    /// Further good scans, for the threshold
    #[arg(long, value_name = "N", default_value_t = 4)]
    validation: usize,
    /// Good scans to test with
    #[arg(long, value_name = "N", default_value_t = 10)]
    good: usize,
    /// Defective scans to test with, dealt to the category's kinds of defects in turn
    #[arg(long, value_name = "N", default_value_t = 20)]
    defective: usize,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Factor on the defects' size, depth and opacity: 1 spreads them from obvious to barely visible
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    strength: f32,
}

/// Largest number of scans of each kind: their indices must stay apart.
const MOST_SCANS: usize = 1_000_000;

/// A category that was written.
#[derive(Debug, Serialize)]
struct Written {
    category: &'static str,
    folder: PathBuf,
    scans: usize,
    /// Whether the scans on disk have the committed digest; `None` if that was not asked.
    verified: Option<bool>,
}

/// Runs the command.
///
/// # Errors
/// If a suite or category is unknown, a folder exists, or the written scans are not the committed ones.
pub fn run(args: &SimulateArgs, bars: &Bars) -> Result<()> {
    if args.list {
        return if args.json { output::json(&list()) } else { output::text(&list_text()) };
    }
    let Some(out) = &args.out else { bail!("--out is missing: the folder in which the categories' folders are made") };
    let suites = suites(args)?;
    if args.verify {
        // Before the first minute's work.
        for suite in &suites {
            if let Some(category) = suite.categories().into_iter().find(|c| suite.committed_digest(*c).is_none()) {
                return Err(SuiteError::NotFrozen { suite: suite.name.clone(), category }.into());
            }
        }
    }
    if !args.force {
        for category in suites.iter().flat_map(Suite::categories) {
            refuse_filled(&out.join(category.name()))?;
        }
    }
    check_folder(out)?;
    let mut written = Vec::new();
    for suite in &suites {
        let folders = suite.write(out, args.force, bars)?;
        for (category, folder) in suite.categories().into_iter().zip(folders) {
            let scans = suite.scans(category).len();
            written.push(Written { category: category.name(), folder, scans, verified: None });
        }
    }
    if args.verify {
        verify(&suites, &mut written, bars)?;
    }
    if args.json {
        return output::json(&written);
    }
    output::text(&written.iter().map(|one| format!("{}\n", one.folder.display())).collect::<String>())
}

/// The suites to write: the one asked for, whole or category by category, or one made of the options.
fn suites(args: &SimulateArgs) -> Result<Vec<Suite>> {
    let repeated = args.category.iter().enumerate().find(|(i, name)| args.category[..*i].contains(name));
    if let Some((_, name)) = repeated {
        bail!("--category: {name} is given twice; give each category once");
    }
    let Some(name) = &args.suite else {
        ensure!(
            !args.category.is_empty(),
            "expected --suite or --category, found neither; `shapeguard simulate --list` shows what there is"
        );
        return Ok(vec![own_suite(&args.category, &args.own)?]);
    };
    let Some(suite) = Suite::by_name(name) else {
        bail!("there is no suite {name:?}; there are {}", Suite::names().join(", "));
    };
    if args.category.is_empty() {
        return Ok(vec![suite]);
    }
    Ok(args.category.iter().map(|category| suite.only(category)).collect::<Result<_, _>>()?)
}

/// A suite as its definition would stand in a file.
fn own_suite(categories: &[String], own: &OwnOptions) -> Result<Suite> {
    ensure!(
        own.strength.is_finite() && own.strength > 0.0,
        "--strength: expected a number above 0, found {}",
        own.strength
    );
    for (option, count) in
        [("--train", own.train), ("--validation", own.validation), ("--good", own.good), ("--defective", own.defective)]
    {
        ensure!(count <= MOST_SCANS, "{option}: expected at most {MOST_SCANS} scans, found {count}");
    }
    ensure!(
        own.train + own.validation + own.good + own.defective > 0,
        "--train, --validation, --good and --defective: expected at least one scan in all, found 0 of each; leave one of them out for its default"
    );
    if let Some(unknown) = categories.iter().find(|name| Category::by_name(name).is_none()) {
        let known: Vec<_> = Category::list().iter().map(|category| category.name()).collect();
        bail!("there is no category {unknown:?}; there are {}", known.join(", "));
    }
    let definition = json!({
        "name": "own",
        "seed": own.seed,
        "strength": own.strength,
        "train": own.train,
        "validation": own.validation,
        "test_good": own.good,
        "test_defective": own.defective,
        "categories": categories.iter().map(|name| json!({ "category": name })).collect::<Vec<_>>(),
    });
    Ok(Suite::from_json("own", &definition.to_string())?)
}

fn refuse_filled(folder: &Path) -> Result<()> {
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(DataError::Exists { path: folder.to_path_buf() }.into());
    }
    Ok(())
}

fn verify(suites: &[Suite], written: &mut [Written], progress: &dyn Progress) -> Result<()> {
    progress.begin("verifying", written.len());
    let of_suites = suites.iter().flat_map(|suite| suite.categories().into_iter().map(move |c| (suite, c)));
    for ((suite, category), one) in of_suites.zip(written) {
        suite.verify_folder(category, &one.folder)?;
        one.verified = Some(true);
        progress.step();
    }
    progress.end();
    Ok(())
}

fn list() -> serde_json::Value {
    let suites: Vec<_> = Suite::names()
        .iter()
        .filter_map(|name| Suite::by_name(name))
        .map(|suite| {
            json!({
                "name": suite.name, "seed": suite.seed, "strength": suite.strength,
                "train": suite.train, "validation": suite.validation,
                "good": suite.test_good, "defective": suite.test_defective,
                "categories": suite.categories().iter().map(|category| category.name()).collect::<Vec<_>>(),
            })
        })
        .collect();
    let categories: Vec<_> = Category::list()
        .iter()
        .map(|category| {
            json!({
                "name": category.name(),
                "rows": category.size().rows,
                "cols": category.size().cols,
                "held_back": category.is_held_back(),
                "defects": category.defect_kinds().iter().map(|kind| kind.name()).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "suites": suites, "categories": categories })
}

fn list_text() -> String {
    let mut text = "Suites\n".to_owned();
    for suite in Suite::names().iter().filter_map(|name| Suite::by_name(name)) {
        text += &format!(
            "  {:8} {}; of each: {} to learn from, {} for validation, {} good and {} defective tests\n",
            suite.name,
            match suite.categories().len() {
                1 => "1 category".to_owned(),
                count => format!("{count} categories"),
            },
            suite.train,
            suite.validation,
            suite.test_good,
            suite.test_defective
        );
    }
    text += "\nCategories (*: no expert is trained on it)\n";
    for category in Category::list() {
        let size = category.size();
        let kinds: Vec<_> = category.defect_kinds().iter().map(|kind| kind.name()).collect();
        let name = format!("{}{}", category.name(), if category.is_held_back() { "*" } else { "" });
        text += &format!("  {name:16} {} x {}  {}\n", size.rows, size.cols, kinds.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> OwnOptions {
        OwnOptions { train: 3, validation: 2, good: 1, defective: 5, seed: 9, strength: 1.5 }
    }

    #[test]
    fn a_suite_of_ones_own_is_what_the_options_say() {
        let suite = own_suite(&["biscuit".into(), "gear".into()], &own()).unwrap();
        assert_eq!((suite.seed, suite.strength, suite.scans_per_category()), (9, 1.5, 11));
        assert_eq!(suite.categories(), [Category::Biscuit, Category::Gear]);
    }

    #[test]
    fn unknown_categories_and_senseless_numbers_are_named() {
        let error = own_suite(&["cake".into()], &own()).unwrap_err().to_string();
        assert!(error.contains("\"cake\"") && error.contains("biscuit, bracket"), "{error}");
        for strength in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let error = own_suite(&["gear".into()], &OwnOptions { strength, ..own() }).unwrap_err().to_string();
            assert!(error.contains("--strength"), "{error}");
        }
        let error = own_suite(&["gear".into()], &OwnOptions { good: usize::MAX, ..own() }).unwrap_err().to_string();
        assert!(error.contains("--good"), "{error}");
        let none = OwnOptions { train: 0, validation: 0, good: 0, defective: 0, ..own() };
        let error = own_suite(&["gear".into()], &none).unwrap_err().to_string();
        assert!(error.contains("at least one scan in all"), "{error}");
    }

    #[test]
    fn the_list_has_every_suite_and_category() {
        let (text, json) = (list_text(), list());
        for name in Suite::names().iter().copied().chain(Category::list().iter().map(|category| category.name())) {
            assert!(text.contains(name), "{name}");
        }
        assert_eq!(json["categories"].as_array().unwrap().len(), Category::list().len());
        assert_eq!(json["suites"][0]["categories"], json!(["biscuit"]));
    }
}
