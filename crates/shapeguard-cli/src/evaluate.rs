//! `shapeguard evaluate`: how well a model does on scans whose defects are known.

mod several;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use shapeguard::bench::peak_memory_bytes;
use shapeguard::evaluation::{ChannelMetrics, Evaluation, GOOD, KindMetrics, LabelledScan, LoadFault, evaluate};
use shapeguard::report::{self, StripPng, channel_name};
use shapeguard::{Detector, Inspection, Model, model_file};
use shapeguard_core::seams::Progress;
use shapeguard_data::{DataError, Datasets, TestEntry, TruthRule, read_truth};

use crate::Outcome;
use crate::device::DeviceOption;
use crate::output::{self, counted, number, percent};
use crate::progress::Bars;
use crate::scans::{ScanOptions, ScanReader};

/// Measure a model on test scans whose defects are known.
///
/// DIR is a category in the MVTec 3D-AD layout: test/good and test/DEFECT, with ground-truth masks in gt/ for the
/// pixel-level figures. Scans that cannot be read or judged are counted and in no other figure; then the exit code is 2.
///
/// For a model that knows several categories, DIR is one of them or a folder of them, called as the model calls them. Each
/// category's figures are those of its own memory; how many scans are routed to their own category is measured beside them.
/// Of categories that the model does not know it is measured how many scans are called unknown.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard evaluate part.shapeguard parts --report report.html\n  shapeguard evaluate part.shapeguard parts --json > metrics.json\n  shapeguard evaluate all-parts.shapeguard dataset --report report.html"
)]
pub struct EvaluateArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Category with test scans, or a folder of categories
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Which category of the model DIR holds [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Print JSON: the figures, PRO curves, and the scores of every scan
    #[arg(long)]
    json: bool,
    /// Write an HTML report with figures, curves, and pictures of the best and worst scans; for a model that knows several
    /// categories an overview, and FILE-CATEGORY.html beside it for each
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Overwrite the report if it exists
    #[arg(long, requires = "report")]
    force: bool,
    #[command(flatten)]
    device: DeviceOption,
    #[command(flatten)]
    scans: ScanOptions,
}

/// An evaluation and what it took.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) evaluation: Evaluation,
    /// Wall-clock seconds of the whole evaluation.
    seconds: f64,
    /// Largest resident memory of the process so far, where the system tells.
    peak_memory_bytes: Option<u64>,
    /// Pictures of the scans, if wanted.
    #[serde(skip)]
    pub(crate) strips: Vec<Option<StripPng>>,
}

/// Runs the command.
///
/// # Errors
/// If the model, the device or the scans are unusable, or the report exists.
pub fn run(args: &EvaluateArgs, bars: &Bars) -> Result<Outcome> {
    if let Some(report) = &args.report {
        output::refuse_existing(report, args.force)?;
    }
    let device = args.device.open()?;
    let model = device.place_model(model_file::load_model(&args.model)?)?;
    let reader = args.scans.reader(model.settings().foreground.method)?;
    let datasets = Datasets::open(&args.dir)?;
    let (detector, tests) = match (&model, datasets) {
        (Model::Routed(routed), datasets) => {
            return several::run(args, &model, routed, datasets, &reader, &device, bars);
        }
        (Model::Single(detector), Datasets::One(dataset)) => {
            if let Some(name) = &args.category {
                model.category(name).context("--category")?;
            }
            (detector, dataset.test)
        }
        (Model::Single(detector), Datasets::Several(datasets)) => bail!(
            "{}: expected the tests of one category, since the model knows one, {}; found {}; give one of them, or a model that was fitted to all",
            args.dir.display(),
            detector.provenance().name,
            datasets.iter().map(|dataset| dataset.name.as_str()).collect::<Vec<_>>().join(", ")
        ),
    };
    refuse_no_tests(&tests, &args.dir)?;
    let measured = measure(detector, &tests, &reader, args.report.is_some(), bars)?;
    device.check()?;
    if let Some(path) = &args.report {
        report::write(path, &measured.evaluation, &measured.strips, args.force)?;
    }
    if args.json { output::json(&measured) } else { output::text(&table(&measured)) }?;
    Ok(measured.outcome())
}

fn refuse_no_tests(tests: &[TestEntry], dir: &Path) -> Result<()> {
    if tests.is_empty() {
        bail!(
            "{}: expected test scans in test/good and test/DEFECT, found none; `shapeguard inspect` judges scans of which nothing is known",
            dir.display()
        );
    }
    Ok(())
}

impl Measured {
    /// Not a success if a scan could not be judged.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.evaluation.not_judged > 0 { Outcome::Incomplete } else { Outcome::Success }
    }
}

/// Measures a detector.
///
/// # Errors
/// If a ground truth cannot be read.
pub(crate) fn measure(
    detector: &Detector,
    tests: &[TestEntry],
    reader: &ScanReader,
    with_strips: bool,
    progress: &dyn Progress,
) -> Result<Measured> {
    reader.check_masks(tests.iter().map(|test| &test.sample.source))?;
    let start = Instant::now();
    let rule = TruthRule::from(detector.settings().reference_quirks);
    let strips = Strips::new(tests.len(), with_strips);
    let evaluation = evaluate(
        detector,
        tests,
        |test| load(test, reader, rule),
        name,
        kind,
        |index, labelled, inspection| strips.keep(index, labelled, inspection, detector),
        progress,
    )?;
    Ok(Measured {
        evaluation,
        seconds: start.elapsed().as_secs_f64(),
        peak_memory_bytes: peak_memory_bytes(),
        strips: strips.finish()?,
    })
}

fn load(test: &TestEntry, reader: &ScanReader, rule: TruthRule) -> Result<LabelledScan, LoadFault> {
    let loaded = reader.load(&test.sample.source)?;
    let truth = test.truth.as_deref().map(|path| read_truth(path, loaded.scan.size(), rule)).transpose();
    Ok(LabelledScan { loaded, truth: truth.map_err(LoadFault::Truth)? })
}

fn name(test: &TestEntry) -> String {
    format!("{}/{}", test.defect, test.sample.name)
}

fn kind(test: &TestEntry) -> String {
    test.defect.clone()
}

/// A scan's picture, once it is there.
type Strip = Mutex<Option<Result<StripPng, DataError>>>;

/// Pictures of scans, as they come.
struct Strips(Option<Vec<Strip>>);

impl Strips {
    fn new(count: usize, are_wanted: bool) -> Self {
        Self(are_wanted.then(|| (0..count).map(|_| Mutex::default()).collect()))
    }

    fn keep(&self, index: usize, labelled: &LabelledScan, inspection: &Inspection, detector: &Detector) {
        if let Some(strips) = &self.0 {
            let strip = StripPng::new(labelled, inspection, detector);
            *strips[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(strip);
        }
    }

    /// A picture for each scan, or none at all.
    fn finish(self) -> Result<Vec<Option<StripPng>>, DataError> {
        let strips = self.0.into_iter().flatten();
        strips.map(|strip| strip.into_inner().unwrap_or_else(PoisonError::into_inner).transpose()).collect()
    }
}

fn table(measured: &Measured) -> String {
    let evaluation = &measured.evaluation;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    let good = evaluation.scans.iter().filter(|scan| scan.kind == GOOD).count();
    line(format!(
        "{}: {} and {} defective; preset {}, experts {} and {}\n",
        evaluation.name,
        counted(good, "good test scan"),
        evaluation.scans.len() - good,
        evaluation.preset,
        evaluation.experts[0],
        evaluation.experts[1]
    ));
    let limits: String = evaluation.aupro_limits.iter().map(|limit| format!(" {limit:>6}")).collect();
    line(format!("{:26}   image level     pixel level    AUPRO, up to a false-positive rate of", ""));
    line(format!("{:26} AUROC F1-max   AUROC F1-max  {limits}", ""));
    for kind in std::iter::once(&evaluation.all).chain(&evaluation.kinds) {
        rows(kind).into_iter().for_each(&mut line);
    }
    line("(100 thresholds: AUPRO as published tables compute it, for comparison)\n".to_owned());

    let threshold = number(f64::from(evaluation.threshold));
    line(format!("At the model's threshold {threshold}:"));
    for (is_defective, what) in [(true, "defective"), (false, "good")] {
        let (rejected, judged) = evaluation.rejected(!is_defective);
        let share = if judged == 0 { "-".to_owned() } else { percent(rejected as f64 / judged as f64) };
        line(format!("  {rejected} of {judged} {what} scans rejected ({share})"));
    }
    line(format!("  {} not judged", counted(evaluation.not_judged, "scan")));
    for scan in &evaluation.scans {
        if let Some(reason) = &scan.not_judged {
            line(format!("    {}: {reason}", scan.name));
        }
    }

    line("\nMean seconds per scan, several scans side by side:".to_owned());
    let stages = &evaluation.mean_stage_seconds;
    for (stage, seconds) in [
        ("foreground", stages.foreground),
        ("resampling", stages.resample),
        ("patches", stages.patches),
        ("shape features", stages.shape_features),
        ("appearance features", stages.appearance_features),
        ("scoring", stages.scoring),
        ("fusion", stages.fusion),
    ] {
        line(format!("  {stage:20} {seconds:8.3}"));
    }
    line(format!("In all {:.1} s with reading and metrics", measured.seconds));
    if let Some(bytes) = measured.peak_memory_bytes {
        line(format!("Peak memory {}", output::bytes(bytes)));
    }
    text
}

/// The lines of one defect kind.
fn rows(kind: &KindMetrics) -> Vec<String> {
    let title = match &*kind.kind {
        "all" => format!("All defects ({})", kind.scans),
        name => format!("{name} ({})", kind.scans),
    };
    let mut lines = vec![title];
    for channel in &kind.channels {
        let ChannelMetrics { i_auroc, i_f1_max, pixels, .. } = channel;
        let name = channel_name(channel.channel);
        let image = format!("{}  {}", figure(*i_auroc), figure(*i_f1_max));
        let Some(pixels) = pixels else {
            lines.push(format!("  {name:24} {image}       -      -"));
            continue;
        };
        let aupro = |areas: &[f64; 7]| areas.iter().map(|area| format!(" {area:6.3}")).collect::<String>();
        lines.push(format!(
            "  {name:24} {image}   {:.3}  {:.3}  {}",
            pixels.p_auroc,
            pixels.f1_max,
            aupro(&pixels.aupro)
        ));
        lines.push(format!("    {:22} {:28}{}", "100 thresholds", "", aupro(&pixels.aupro_100_thresholds)));
    }
    lines
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "    -".to_owned(), |value| format!("{value:.3}"))
}
