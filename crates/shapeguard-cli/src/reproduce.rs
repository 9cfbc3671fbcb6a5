//! `shapeguard reproduce`: the paper's tables and figures on a dataset, beside the published ones.

#[cfg(feature = "train")]
mod training;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::HumanDuration;
use serde_json::json;
use shapeguard::experts::Experts;
use shapeguard::presets;
use shapeguard_baselines::Backbone;
use shapeguard_core::settings::Settings;
use shapeguard_data::{Dataset, category_roots};
use shapeguard_reproduction::category::{CategoryJob, check};
use shapeguard_reproduction::estimate::{Estimate, estimate};
use shapeguard_reproduction::options::{Options, Part, check_settings};
use shapeguard_reproduction::results::fingerprint;
use shapeguard_reproduction::study::{Laboratory, ReadScan};
use shapeguard_reproduction::tables::{Made, Reproduction, RowKind};
use shapeguard_reproduction::{ReproductionError, Results};

use crate::device::{Device, DeviceOption};
use crate::progress::Bars;
use crate::scans::{ScanOptions, ScanReader};
use crate::{output, weights};

/// The paper's colour network, as `shapeguard weights` calls it.
const WIDE_RESNET: &str = "wide-resnet50-2";
/// The embedded colour network.
const EMBEDDED: &str = "efficientnet-lite0";
/// The shape expert of the paper's size that the program carries.
const SHIPPED: &str = "paper";
/// What is said where training is not built in.
const WITHOUT_TRAINING: &str = "--shape-expert train: this program was built without training; in a checkout of the source run\n  cargo run --release --features train -- reproduce ...\nor take the built-in expert by --shape-expert shipped";
/// Scans of each category that Table 3's seconds are measured on, unless told otherwise.
const TIMING_SCANS: usize = 3;

/// Make the paper's tables and figures on a dataset, the published figures beside ours.
///
/// ROOT is a dataset in the MVTec 3D-AD layout (a folder of categories), or one category. The folder --out gets
/// reproduction.html, .md and .json, plots and heat-map sheets. Each category is kept as soon as it is measured: the same command
/// goes on where it was interrupted. An estimate of time and memory is printed before the work starts.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "By default the shape expert is trained on the dataset's own training scans as published, which takes weeks on a CPU, and the colour network is Wide-ResNet-50-2, which `shapeguard weights pull wide-resnet50-2` fetches.\n\nExample:\n  shapeguard reproduce mvtec_3d_anomaly_detection --out tables\n  shapeguard reproduce parts --out tables --shape-expert shipped --colour embedded --also default"
)]
pub struct ReproduceArgs {
    /// Dataset: a folder of categories
    #[arg(value_name = "ROOT")]
    root: PathBuf,
    /// Folder for tables, figures and what is measured so far
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Categories, by their folders' names [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    categories: Vec<String>,
    /// train: on the dataset's own training scans (in builds with the feature `train`; with `train-gpu` on --device);
    /// shipped: the built-in one of the paper's size, trained on simulated scans; or compact, or a weight file
    #[arg(long, value_name = "train|shipped|NAME|FILE", default_value = "train")]
    shape_expert: String,
    /// Steps of that training instead of the published 600 epochs
    #[arg(long, value_name = "N")]
    training_steps: Option<usize>,
    /// wide-resnet50-2: the paper's, as `shapeguard weights pull` stores it; embedded: EfficientNet-Lite0; or a file of
    /// Wide-ResNet-50-2 weights
    #[arg(long, value_name = "NAME|FILE", default_value = WIDE_RESNET)]
    colour: String,
    /// Follow the published implementation where it deviates from the paper (docs/method.md, "Reference behaviour")
    #[arg(long)]
    reference_quirks: bool,
    /// Change one of the paper's settings, like patches.overlap=5; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of planes, alignment samples, training and resampling
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Take so many test scans of each category for Tables 4 and 6, with intervals [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    sweep_scans: Option<u64>,
    /// Leave out what costs time: full-bank, points-per-patch (Table 4), coding (Table 6), baselines, timing (of Table 3)
    #[arg(long, value_name = "PART", value_delimiter = ',', value_parser = parse_part)]
    without: Vec<Part>,
    /// Another preset for Tables 1 and 2, like default; can be repeated
    #[arg(long, value_name = "NAME|FILE")]
    also: Vec<String>,
    /// Print the estimate of time and memory, and stop
    #[arg(long)]
    estimate: bool,
    /// Measure again what the folder has of other settings, experts or scans
    #[arg(long)]
    force: bool,
    /// Print a summary as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOption,
    #[command(flatten)]
    scans: ScanOptions,
}

fn parse_part(text: &str) -> Result<Part, String> {
    serde_json::from_value(json!(text)).map_err(|_| {
        let names: Vec<String> =
            Part::ALL.iter().map(|part| json!(part).as_str().unwrap_or_default().to_owned()).collect();
        format!("expected one of {}, found {text:?}", names.join(", "))
    })
}

/// Runs the command.
///
/// # Errors
/// If dataset, settings, experts or folder are unusable.
pub fn run(args: &ReproduceArgs, bars: &Bars) -> Result<()> {
    let mut setup = Setup::new(args)?;
    let placeholder = setup.experts()?;
    if args.estimate {
        let expected = setup.expected(&placeholder, &setup.all(), bars)?;
        return args.print_estimate(expected);
    }
    // Before anything is made or estimated at length.
    ensure!(cfg!(feature = "train") || args.shape_expert != "train", WITHOUT_TRAINING);
    let results = Results::open(&args.out)?;
    let (experts, shape_expert) = match args.shape_expert.as_str() {
        "train" => {
            // Before the training: one of the paper's size that it has not learnt yet costs the same.
            let expected = setup.expected(&placeholder, &setup.all(), bars)?;
            say(bars, &estimate_text(expected, &setup.options));
            let (path, description) =
                args.train(&setup.all(), &setup.settings, &|source| setup.reader.load(source), results.folder(), bars)?;
            utf8(&path)?.clone_into(&mut setup.settings.experts.shape);
            (setup.experts()?, description)
        }
        "shipped" => (placeholder, "shipped (the paper's size, trained on simulated scans)".to_owned()),
        other => (placeholder, other.to_owned()),
    };
    let mut found = Vec::with_capacity(setup.datasets.len());
    for (root, dataset) in &setup.datasets {
        let backbone = setup.backbone.as_ref().map(|backbone| backbone.name());
        let fingerprint = fingerprint(root, dataset, &setup.settings, &experts, &setup.also, backbone, &setup.options);
        let known = match results.load(&dataset.name, &fingerprint) {
            Err(ReproductionError::OtherResults { .. }) if args.force => None,
            known => known?,
        };
        found.push((dataset, fingerprint, known));
    }
    let missing: Vec<&Dataset> =
        found.iter().filter(|(_, _, known)| known.is_none()).map(|(dataset, _, _)| *dataset).collect();
    if !missing.is_empty() && args.shape_expert != "train" {
        let expected = setup.expected(&experts, &missing, bars)?;
        say(bars, &estimate_text(expected, &setup.options));
    }

    let mut categories = Vec::with_capacity(found.len());
    for (dataset, fingerprint, known) in found {
        if let Some(known) = known {
            tracing::info!("{}: measured before", dataset.name);
            categories.push(known);
            continue;
        }
        let job = CategoryJob {
            laboratory: Laboratory { read: &|source| setup.reader.load(source), experts: &experts, progress: bars },
            dataset,
            settings: &setup.settings,
            options: &setup.options,
            backbone: setup.backbone.as_ref(),
            also: &setup.also,
            fingerprint,
        };
        let (mut result, sheets) = job.run()?;
        setup.device.check()?;
        results.save(&mut result, &sheets)?;
        categories.push(result);
    }

    let made = Made {
        dataset: folder_name(&args.root),
        shape_expert,
        settings_toml: presets::to_toml(&setup.settings)?,
        reference_quirks: args.reference_quirks,
    };
    let reproduction = Reproduction::new(made, categories, &setup.settings, &experts, setup.options);
    reproduction.write(results.folder())?;
    if args.json {
        output::json(&json!({
            "out": args.out, "warnings": reproduction.warnings, "origin": reproduction.origin, "tables": reproduction.tables,
        }))
    } else {
        output::text(&summary(&reproduction, results.folder()))
    }
}

/// Everything that is known before the work.
struct Setup {
    /// The paper's, changed as wished. The shape expert is one of the paper's size until it is trained.
    settings: Settings,
    options: Options,
    /// The wanted categories with their folders.
    datasets: Vec<(PathBuf, Dataset)>,
    /// The colour network of the baselines, if they are wanted.
    backbone: Option<Arc<Backbone>>,
    device: Device,
    /// Other presets with their experts, on the device.
    also: Vec<(Settings, Experts)>,
    reader: ScanReader,
}

impl Setup {
    fn new(args: &ReproduceArgs) -> Result<Self> {
        let mut settings = args.settings()?;
        let options = args.options();
        let datasets = args.datasets()?;
        let colour = args.colour_weights()?;
        if let Some(path) = &colour {
            utf8(path)?.clone_into(&mut settings.experts.appearance);
        }
        settings.experts.shape = match args.shape_expert.as_str() {
            "train" | "shipped" => SHIPPED.to_owned(),
            other => other.to_owned(),
        };
        let backbone = match (options.has(Part::Baselines), &colour) {
            (false, _) => None,
            (true, None) => Some(Arc::new(Backbone::embedded())),
            (true, Some(path)) => {
                let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                Some(Arc::new(Backbone::wide_resnet(&bytes, WIDE_RESNET)?))
            }
        };
        let reader = args.scans.reader(settings.foreground.method)?;
        let device = args.device.open()?;
        let place = |settings: Settings| -> Result<_> {
            let experts = device.place(Experts::from_settings(&settings.experts)?)?;
            Ok((settings, experts))
        };
        let also = args.also()?.into_iter().map(place).collect::<Result<_>>()?;
        Ok(Self { settings, options, datasets, backbone, device, also, reader })
    }

    fn all(&self) -> Vec<&Dataset> {
        self.datasets.iter().map(|(_, dataset)| dataset).collect()
    }

    /// The experts of the settings, on the device.
    fn experts(&self) -> Result<Experts> {
        self.device.place(Experts::from_settings(&self.settings.experts)?)
    }

    fn expected(&self, experts: &Experts, datasets: &[&Dataset], bars: &Bars) -> Result<Estimate> {
        let laboratory = Laboratory { read: &|source| self.reader.load(source), experts, progress: bars };
        Ok(estimate(&laboratory, datasets, &self.settings, &self.options, self.backbone.as_ref(), &self.also)?)
    }
}

impl ReproduceArgs {
    fn settings(&self) -> Result<Settings> {
        let mut settings = presets::load("paper")?;
        if self.reference_quirks {
            settings = settings.with_reference_quirks();
        }
        let mut settings = presets::change(settings, "paper", &self.set)?;
        settings.seed = self.seed;
        check_settings(&settings)?;
        ensure!(
            self.training_steps.is_none() || self.shape_expert == "train",
            "--training-steps has no effect with --shape-expert {}; leave it out, or train",
            self.shape_expert
        );
        ensure!(self.training_steps != Some(0), "--training-steps: expected 1 or more, found 0");
        Ok(settings)
    }

    fn options(&self) -> Options {
        let parts = Part::ALL.into_iter().filter(|part| !self.without.contains(part)).collect();
        Options { parts, sweep_scans: self.sweep_scans.map(|scans| scans as usize), timing_scans: TIMING_SCANS }
    }

    /// The wanted categories with their folders, sorted by name.
    fn datasets(&self) -> Result<Vec<(PathBuf, Dataset)>> {
        let mut datasets = Vec::new();
        for root in category_roots(&self.root)? {
            let dataset = Dataset::open(&root)?;
            datasets.push((root, dataset));
        }
        let known: Vec<String> = datasets.iter().map(|(_, dataset)| dataset.name.clone()).collect();
        for name in &self.categories {
            if !known.contains(name) {
                return Err(ReproductionError::UnknownCategory { name: name.clone(), known: known.join(", ") }.into());
            }
        }
        if !self.categories.is_empty() {
            datasets.retain(|(_, dataset)| self.categories.contains(&dataset.name));
        }
        datasets.iter().try_for_each(|(_, dataset)| check(dataset))?;
        Ok(datasets)
    }

    /// The file of the colour network's weights; `None` for the embedded one.
    fn colour_weights(&self) -> Result<Option<PathBuf>> {
        match self.colour.as_str() {
            "embedded" | EMBEDDED => Ok(None),
            WIDE_RESNET => {
                let path = weights::stored(WIDE_RESNET)?;
                ensure!(
                    path.is_file(),
                    "the weights of Wide-ResNet-50-2, the paper's colour network, are not at {}; fetch them by `shapeguard weights pull {WIDE_RESNET}`, give their file by --colour FILE, or take the embedded network by --colour embedded (the tables name it)",
                    path.display()
                );
                Ok(Some(path))
            }
            file => Ok(Some(PathBuf::from(file))),
        }
    }

    /// The other presets, with the experts that they name.
    fn also(&self) -> Result<Vec<Settings>> {
        let mut all: Vec<Settings> = Vec::new();
        for name in &self.also {
            let mut settings = presets::load(name)?;
            settings.seed = self.seed;
            ensure!(
                all.iter().all(|other| other.preset != settings.preset),
                "--also {name}: the preset {:?} is named twice; change `preset` in the file, so that the tables can tell them apart",
                settings.preset
            );
            all.push(settings);
        }
        Ok(all)
    }

    #[cfg(feature = "train")]
    fn train(
        &self,
        datasets: &[&Dataset],
        settings: &Settings,
        read: &ReadScan<'_>,
        out: &Path,
        bars: &Bars,
    ) -> Result<(PathBuf, String)> {
        let plan = training::Plan {
            steps: self.training_steps,
            seed: self.seed,
            encoder_sees_targets: self.reference_quirks,
            device: &self.device,
            force: self.force,
        };
        plan.expert(datasets, settings, read, out, bars)
    }

    #[cfg(not(feature = "train"))]
    fn train(&self, _: &[&Dataset], _: &Settings, _: &ReadScan<'_>, _: &Path, _: &Bars) -> Result<(PathBuf, String)> {
        anyhow::bail!(WITHOUT_TRAINING)
    }

    fn print_estimate(&self, expected: Estimate) -> Result<()> {
        if self.json {
            output::json(&expected)
        } else {
            output::text(&(estimate_text(expected, &self.options()) + "\n"))
        }
    }
}

/// The name of a folder, also of `.`.
fn folder_name(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.file_name().map_or_else(|| "dataset".into(), |name| name.to_string_lossy().into_owned())
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{}: expected a path in UTF-8; rename the file or its folder", path.display()))
}

fn estimate_text(expected: Estimate, options: &Options) -> String {
    let sweep = match options.sweep_scans {
        Some(scans) => format!("{scans} test scans of each category"),
        None => "all test scans (fewer by --sweep-scans)".into(),
    };
    format!(
        "about {} on this machine ({:.1} CPU hours), up to {} of memory; Tables 4 and 6 on {sweep}; training comes on top",
        HumanDuration(Duration::from_secs_f64(expected.seconds.min(1e9))),
        expected.cpu_seconds / 3600.0,
        output::bytes(expected.bytes),
    )
}

/// Tells something beside the results, between two drawings of the bars.
fn say(bars: &Bars, what: &str) {
    use std::io::Write;
    // Nobody is left to be told if stderr is closed.
    bars.suspend(|| {
        let _ = writeln!(std::io::stderr().lock(), "reproduce: {what}");
    });
}

/// The means, and what to open.
fn summary(reproduction: &Reproduction, folder: &Path) -> String {
    let mut text = String::new();
    for warning in &reproduction.warnings {
        text += &format!("note: {warning}\n");
    }
    for table in reproduction.tables.iter().filter(|table| table.id == "table-1" || table.id == "table-2") {
        text += &format!("{}, means\n", table.title);
        for row in table.rows.iter().filter(|row| row.kind == RowKind::Ours) {
            let mean = row.cells.last().map_or("", String::as_str);
            text += &format!("  {:28} {mean}\n", row.name);
        }
    }
    text + &format!("open {}\n", folder.join("reproduction.html").display())
}
