//! `shapeguard fit` over several categories: one model that knows them all.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use shapeguard::detector::check_counts;
use shapeguard::experts::Experts;
use shapeguard::{RoutedDetector, model_file};
use shapeguard_core::settings::Settings;
use shapeguard_data::Dataset;

use super::{CategorySummary, FitArgs, category_rows, check, file_bytes, fit_category};
use crate::output;
use crate::progress::{Bars, Named};
use crate::scans::ScanReader;

/// What fitting came to.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    model: &'a Path,
    preset: &'a str,
    categories: Vec<CategorySummary<'a>>,
    seconds: f64,
    file_bytes: u64,
}

/// Fits to all categories, one after the other, so that only one category's scans are in memory.
pub(super) fn run(
    args: &FitArgs,
    datasets: &[Dataset],
    settings: Settings,
    reader: &ScanReader,
    start: Instant,
    bars: &Bars,
) -> Result<()> {
    if let Some(name) = &args.name {
        bail!(
            "--name {name}: {} holds several categories, which are called after their folders; leave it out, or fit to one of them",
            args.dir.display()
        );
    }
    let of_category = |dataset: &Dataset| format!("category {}", dataset.name);
    let rate = settings.threshold.false_reject_rate;
    let mut readers = Vec::with_capacity(datasets.len());
    for dataset in datasets {
        // All of them before the work on any.
        let checked = || -> Result<ScanReader> {
            check_counts(dataset.train.len(), dataset.validation.len(), rate)?;
            let reader = reader.of_category(&dataset.name)?;
            check(dataset, &reader, args.skip_unusable)?;
            Ok(reader)
        };
        readers.push(checked().with_context(|| of_category(dataset))?);
    }
    let device = args.device.open()?;
    let experts = device.place(Experts::from_settings(&settings.experts)?)?;
    let mut fitted = Vec::with_capacity(datasets.len());
    for (dataset, reader) in datasets.iter().zip(&readers) {
        let (name, settings, experts) = (&dataset.name, settings.clone(), experts.clone());
        let named = Named::new(name, bars);
        let category = fit_category(dataset, name, settings, reader, experts, args.skip_unusable, &named);
        // Whatever fitting makes of it, this is why.
        device.check()?;
        fitted.push(category.with_context(|| of_category(dataset))?);
    }
    let model = RoutedDetector::new(fitted)?;
    model_file::save_routed(&model, &args.output, args.force)?;

    let detectors = model.detectors();
    let summary = Summary {
        model: &args.output,
        preset: &settings.preset,
        categories: detectors.iter().zip(datasets).map(|(d, dataset)| CategorySummary::of(d, dataset)).collect(),
        seconds: start.elapsed().as_secs_f64(),
        file_bytes: file_bytes(&args.output)?,
    };
    if args.json { output::json(&summary) } else { output::text(&table(&summary, &model)) }
}

fn table(summary: &Summary<'_>, model: &RoutedDetector) -> String {
    let categories = output::count_of(summary.categories.len(), "category", "categories");
    let mut text = format!("{}: {categories}, preset {}\n", summary.model.display(), summary.preset);
    for (category, detector) in summary.categories.iter().zip(model.detectors()) {
        text += &format!("{}\n", category.name);
        category_rows(category, detector.threshold(), &mut |key, value| text += &format!("  {key:10} {value}\n"));
    }
    text += &format!("in all\n  {:10} {:.1} s\n", "time", summary.seconds);
    text += &format!("  {:10} {}\n", "size", output::bytes(summary.file_bytes));
    text
}
