//! `shapeguard evaluate` of a model that knows several categories.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use shapeguard::bench::peak_memory_bytes;
use shapeguard::evaluation::Channel;
use shapeguard::evaluation::routed::{
    CategoryEvaluation, MeanMetrics, RoutedSummary, Routing, RoutingCounts, StrangerEvaluation, evaluate_category,
    route_strangers,
};
use shapeguard::report::{self, Overview};
use shapeguard::{Model, RoutedDetector};
use shapeguard_data::{Dataset, Datasets, TestEntry, TruthRule};

use super::{EvaluateArgs, Strips, kind, load, name, refuse_no_tests};
use crate::Outcome;
use crate::device::Device;
use crate::output::{self, count_of, percent};
use crate::progress::{Bars, Named};
use crate::scans::ScanReader;

/// Positions of the limits 0.3 and 0.01 among AUPRO's seven.
const LIMITS: [usize; 2] = [0, 6];

/// What was measured, and what it took.
#[derive(Debug, Serialize)]
struct Measured {
    /// The model's categories that were tested.
    categories: Vec<CategoryEvaluation>,
    /// Other categories.
    strangers: Vec<StrangerEvaluation>,
    /// The model's categories without tests.
    not_tested: Vec<String>,
    summary: RoutedSummary,
    seconds: f64,
    peak_memory_bytes: Option<u64>,
}

/// A category's tests, and the report that they get, if one is wanted.
struct Job {
    name: String,
    tests: Vec<TestEntry>,
    reader: ScanReader,
    report: Option<PathBuf>,
}

/// Evaluates each category, one after the other, so that only one category's maps are in memory.
pub(super) fn run(
    args: &EvaluateArgs,
    model: &Model,
    routed: &RoutedDetector,
    datasets: Datasets,
    reader: &ScanReader,
    device: &Device,
    bars: &Bars,
) -> Result<Outcome> {
    let start = Instant::now();
    let jobs = jobs(args, model, routed, datasets, reader)?;
    let rule = TruthRule::from(model.settings().reference_quirks);
    let (mut categories, mut strangers) = (Vec::new(), Vec::new());
    for job in &jobs {
        let named = Named::new(&job.name, bars);
        let load = |test: &TestEntry| load(test, &job.reader, rule);
        let Ok(detector) = model.category(&job.name) else {
            let read = |test: &TestEntry| job.reader.load(&test.sample.source);
            strangers.push(route_strangers(routed, &job.name, &job.tests, read, name, kind, &named));
            continue;
        };
        let strips = Strips::new(job.tests.len(), job.report.is_some());
        let category = evaluate_category(
            routed,
            detector,
            &job.tests,
            load,
            name,
            kind,
            |index, labelled, inspection| strips.keep(index, labelled, inspection, detector),
            &named,
        )
        .with_context(|| format!("category {}", job.name))?;
        device.check()?;
        if let Some(path) = &job.report {
            report::write(path, &category.evaluation, &strips.finish()?, args.force)?;
        }
        categories.push(category);
    }
    device.check()?;
    let tested = |name: &str| categories.iter().any(|category| category.evaluation.name == name);
    let names = routed.detectors().iter().map(|detector| detector.provenance().name.clone());
    let measured = Measured {
        not_tested: names.filter(|name| !tested(name)).collect(),
        summary: RoutedSummary::of(&categories, &strangers),
        categories,
        strangers,
        seconds: start.elapsed().as_secs_f64(),
        peak_memory_bytes: peak_memory_bytes(),
    };
    if let Some(path) = &args.report {
        let files = jobs.iter().filter_map(|job| Some((job.name.clone(), file_name(job.report.as_deref()?)))).collect();
        let Measured { categories, strangers, not_tested, summary, .. } = &measured;
        report::write_overview(path, &Overview { categories, strangers, not_tested, summary, files }, args.force)?;
    }
    if args.json { output::json(&measured) } else { output::text(&table(&measured)) }?;
    Ok(if measured.summary.not_judged > 0 { Outcome::Incomplete } else { Outcome::Success })
}

/// What there is to measure, with everything checked that can be before the work.
fn jobs(
    args: &EvaluateArgs,
    model: &Model,
    routed: &RoutedDetector,
    datasets: Datasets,
    reader: &ScanReader,
) -> Result<Vec<Job>> {
    let datasets = match datasets {
        Datasets::One(dataset) => {
            let name = args.category.clone().unwrap_or_else(|| dataset.name.clone());
            model.category(&name).context("say by --category which category of the model these scans are of")?;
            refuse_no_tests(&dataset.test, &args.dir)?;
            vec![(reader.clone(), Dataset { name, ..dataset })]
        }
        Datasets::Several(datasets) => {
            ensure!(
                args.category.is_none(),
                "--category: {} holds several categories, which are told by their folders' names; leave it out, or give one of the folders",
                args.dir.display()
            );
            let tested: Vec<Dataset> = datasets.into_iter().filter(|dataset| !dataset.test.is_empty()).collect();
            let is_known = |dataset: &Dataset| model.category(&dataset.name).is_ok();
            refuse_no_tests(tested.first().map_or(&[], |dataset| &dataset.test), &args.dir)?;
            if !tested.iter().any(is_known) {
                let found: Vec<&str> = tested.iter().map(|dataset| dataset.name.as_str()).collect();
                bail!(
                    "{}: expected folders with tests that are called like a category of the model ({}), found {}; rename them, or give one of them and its --category",
                    args.dir.display(),
                    known_names(routed),
                    found.join(", ")
                );
            }
            let with_reader = |dataset: Dataset| Ok((reader.of_category(&dataset.name)?, dataset));
            tested.into_iter().map(with_reader).collect::<Result<_>>()?
        }
    };
    let mut jobs = Vec::with_capacity(datasets.len());
    for (reader, dataset) in datasets {
        reader.check_masks(dataset.test.iter().map(|test| &test.sample.source))?;
        let report = args.report.as_deref().filter(|_| model.category(&dataset.name).is_ok());
        let report = report.map(|path| beside(path, &dataset.name));
        if let Some(path) = &report {
            output::refuse_existing(path, args.force)?;
        }
        jobs.push(Job { name: dataset.name, tests: dataset.test, reader, report });
    }
    Ok(jobs)
}

fn known_names(routed: &RoutedDetector) -> String {
    routed.detectors().iter().map(|detector| detector.provenance().name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The report of a category, beside the overview.
fn beside(overview: &Path, category: &str) -> PathBuf {
    let stem = overview.file_stem().unwrap_or_default().to_string_lossy();
    overview.with_file_name(format!("{stem}-{category}.html"))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn table(measured: &Measured) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    if let Some(first) = measured.categories.first().map(|category| &category.evaluation) {
        let categories = count_of(measured.categories.len(), "category", "categories");
        line(format!("{categories}; preset {}, experts {} and {}\n", first.preset, first.experts[0], first.experts[1]));
    }
    line(format!("{:16}  image AUROC            pixel  AUPRO to      rejected           routed to their own", ""));
    line(format!("{:16}   RGB    SDF  fused   AUROC    0.3   0.01   good  defective      good  defective", "category"));
    for category in &measured.categories {
        let evaluation = &category.evaluation;
        let means = RoutedSummary::of(std::slice::from_ref(category), &[]).means;
        let rejected = [true, false].map(|is_good| {
            let (rejected, judged) = evaluation.rejected(is_good);
            format!("{rejected}/{judged}")
        });
        let routing = [&category.routing.good, &category.routing.defective].map(|c| format!("{}/{}", c.own, c.scans));
        line(row(&evaluation.name, &means, &rejected, &routing));
    }
    let summary = &measured.summary;
    let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
    let rejected = [summary.false_reject_rate, summary.detection_rate].map(share);
    let routing = [summary.routing_accuracy_good, summary.routing_accuracy_defective].map(share);
    line(row("mean", &summary.means, &rejected, &routing));

    line(String::new());
    for (what, counts) in [("good", &summary.routing.good), ("defective", &summary.routing.defective)] {
        if let Some(accuracy) = counts.accuracy() {
            line(format!(
                "{} of {} {what} scans routed to their own category ({}), {} called unknown",
                counts.own,
                counts.scans,
                percent(accuracy),
                counts.unknown
            ));
        }
    }
    for category in &measured.categories {
        strays(&category.evaluation.name, &category.routing).into_iter().for_each(&mut line);
    }
    for stranger in &measured.strangers {
        let all = stranger.routing.all();
        line(format!("{} (not in the model): {} of {} scans called unknown", stranger.name, all.unknown, all.scans));
        strays(&stranger.name, &stranger.routing).into_iter().for_each(&mut line);
    }
    if !measured.not_tested.is_empty() {
        line(format!("not tested: {}", measured.not_tested.join(", ")));
    }
    line(format!("{} not judged", output::counted(summary.not_judged, "scan")));
    for category in &measured.categories {
        for scan in &category.evaluation.scans {
            if let Some(reason) = &scan.not_judged {
                line(format!("    {}/{}: {reason}", category.evaluation.name, scan.name));
            }
        }
    }
    for stranger in &measured.strangers {
        for (scan, reason) in &stranger.not_routed {
            line(format!("    {}/{scan}: {reason}", stranger.name));
        }
    }
    line(format!("In all {:.1} s with reading and metrics", measured.seconds));
    if let Some(bytes) = measured.peak_memory_bytes {
        line(format!("Peak memory {}", output::bytes(bytes)));
    }
    text
}

fn row(name: &str, means: &[MeanMetrics], rejected: &[String; 2], routing: &[String; 2]) -> String {
    let figure = |value: Option<f64>| value.map_or_else(|| format!("{:>5}", "-"), |value| format!("{value:.3}"));
    let of = |channel: Channel| means.iter().find(|means| means.channel == channel);
    let image = Channel::ALL.map(|channel| figure(of(channel).and_then(|m| m.i_auroc))).join("  ");
    let fused = of(Channel::Fused);
    let aupro = LIMITS.map(|limit| figure(fused.and_then(|m| Some(m.aupro?[limit])))).join("  ");
    let pixel = figure(fused.and_then(|m| m.p_auroc));
    format!(
        "{name:16} {image}   {pixel}  {aupro}  {:>5}  {:>9}  {:>8}  {:>9}",
        rejected[0], rejected[1], routing[0], routing[1]
    )
}

/// A line for each other category that scans of this one went to.
fn strays(name: &str, routing: &Routing) -> Vec<String> {
    let of = |what: &'static str, counts: &RoutingCounts| {
        let line = move |(other, count): (&String, &usize)| {
            format!("  {name}: {count} {what} {} routed to {other}", if *count == 1 { "scan" } else { "scans" })
        };
        counts.elsewhere.iter().map(line).collect::<Vec<_>>()
    };
    [of("good", &routing.good), of("defective", &routing.defective)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_categories_lie_beside_the_overview() {
        assert_eq!(beside(Path::new("out/report.html"), "gear"), Path::new("out/report-gear.html"));
        assert_eq!(beside(Path::new("report"), "gear"), Path::new("report-gear.html"));
    }

    #[test]
    fn what_went_elsewhere_is_told_line_by_line() {
        let counts = |elsewhere: &[(&str, usize)]| RoutingCounts {
            elsewhere: elsewhere.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            ..RoutingCounts::default()
        };
        let routing = Routing { good: counts(&[("cork", 1)]), defective: counts(&[("cork", 2), ("pear", 1)]) };
        assert_eq!(
            strays("gear", &routing),
            [
                "  gear: 1 good scan routed to cork",
                "  gear: 2 defective scans routed to cork",
                "  gear: 1 defective scan routed to pear"
            ]
        );
    }
}
