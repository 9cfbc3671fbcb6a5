//! `shapeguard fit`: from a folder of good scans, or of several categories, to a model file.

mod several;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use shapeguard::experts::Experts;
use shapeguard::{Detector, FitError, FitInputs, FittedCategory, model_file, presets};
use shapeguard_core::calibration::{Threshold, ThresholdBasis};
use shapeguard_core::seams::Progress;
use shapeguard_core::settings::Settings;
use shapeguard_data::{Dataset, Datasets, SampleEntry};

use crate::device::{Device, DeviceOption};
use crate::output;
use crate::progress::Bars;
use crate::scans::{ScanOptions, ScanReader};

/// Learn what good parts look like, and write a model.
///
/// DIR is a category in the MVTec 3D-AD layout (train/good, validation/good), a folder with rgb/ and xyz/, or a folder of
/// organized clouds (pcd, ply, npz, npy). All scans must be of good parts; 30 or more are recommended. If DIR holds several
/// categories, one model learns them all, and later tells which of them a scan shows, or that it shows an unknown part.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard fit parts/good -o part.shapeguard\n  shapeguard fit parts/good -o part.shapeguard --set patches.points_per_patch=250 \\\n      --false-reject-rate 0.1\n  shapeguard fit dataset -o all-parts.shapeguard"
)]
pub struct FitArgs {
    /// Folder of good scans, or of several categories
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where the model goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Overwrite the model if it exists
    #[arg(long)]
    force: bool,
    /// Name of the part [default: the folder's name]; categories are called after their folders
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    settings: SettingsOptions,
    /// Leave out scans that cannot be used, instead of refusing to fit
    #[arg(long)]
    skip_unusable: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOption,
    #[command(flatten)]
    scans: ScanOptions,
}

/// How the method is set up.
#[derive(Debug, clap::Args)]
struct SettingsOptions {
    /// Settings to start from: best, default, paper, or a TOML file as `shapeguard preset` prints it
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    preset: String,
    /// Turn on all known deviations of the paper's reference implementation, to see what they are worth; each of them is
    /// also a setting (docs/method.md, "Reference behaviour")
    #[arg(long)]
    reference_quirks: bool,
    /// Change one setting, like patches.points_per_patch=250; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Largest share of good parts that may be rejected, like 0.05 [default: the preset's]
    #[arg(long, value_name = "RATE")]
    false_reject_rate: Option<f64>,
    /// Wide-ResNet-50-2 weights for the appearance expert (see `shapeguard weights`) [default: the preset's expert]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Shape expert: compact, paper, or a weight file [default: the preset's]
    #[arg(long, value_name = "NAME|FILE")]
    shape_expert: Option<String>,
}

impl SettingsOptions {
    fn settings(&self) -> Result<Settings> {
        let preset = presets::load(&self.preset)?;
        let preset = if self.reference_quirks { preset.with_reference_quirks() } else { preset };
        let mut settings = presets::change(preset, &self.preset, &self.set)?;
        if let Some(rate) = self.false_reject_rate {
            ensure!(
                rate > 0.0 && rate < 1.0,
                "--false-reject-rate: expected a share between 0 and 1, like 0.05, found {rate}"
            );
            settings.threshold.false_reject_rate = rate;
        }
        if let Some(weights) = &self.weights {
            let path = weights.to_str().with_context(|| {
                format!("--weights {}: expected a path in UTF-8; rename the file or its folder", weights.display())
            })?;
            path.clone_into(&mut settings.experts.appearance);
        }
        if let Some(expert) = &self.shape_expert {
            settings.experts.shape.clone_from(expert);
        }
        Ok(settings)
    }
}

/// What fitting came to.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    model: &'a Path,
    #[serde(flatten)]
    category: CategorySummary<'a>,
    preset: &'a str,
    seconds: f64,
    file_bytes: u64,
}

/// What fitting to one kind of part came to.
#[derive(Debug, Serialize)]
struct CategorySummary<'a> {
    name: &'a str,
    training_scans: usize,
    validation_scans: usize,
    unusable_scans: usize,
    sdf_features: usize,
    rgb_features: usize,
    threshold: f32,
    false_reject_rate: f64,
    threshold_basis: ThresholdBasis,
    good_scores: usize,
}

impl<'a> CategorySummary<'a> {
    fn of(detector: &'a Detector, dataset: &Dataset) -> Self {
        let (provenance, memory, threshold) = (detector.provenance(), detector.memory(), detector.threshold());
        let given = dataset.train.len() + dataset.validation.len();
        Self {
            name: &provenance.name,
            training_scans: provenance.training_scans,
            validation_scans: provenance.validation_scans,
            unusable_scans: given - provenance.training_scans - provenance.validation_scans,
            sdf_features: memory.shape.rows(),
            rgb_features: memory.appearance.rows(),
            threshold: threshold.score,
            false_reject_rate: threshold.false_reject_rate,
            threshold_basis: threshold.basis,
            good_scores: threshold.good_scores.len(),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// If the model exists, settings, device or scans are unusable, or the scans are too few for the false-reject rate.
pub fn run(args: &FitArgs, bars: &Bars) -> Result<()> {
    output::refuse_existing(&args.output, args.force)?;
    let start = Instant::now();
    let settings = args.settings.settings()?;
    let reader = args.scans.reader(settings.foreground.method)?;
    let dataset = match Datasets::open(&args.dir)? {
        Datasets::One(dataset) => dataset,
        Datasets::Several(datasets) => return several::run(args, &datasets, settings, &reader, start, bars),
    };
    let device = args.device.open()?;
    let name = args.name.clone().unwrap_or_else(|| dataset.name.clone());
    let detector = fit(&dataset, &name, settings, &reader, &device, args.skip_unusable, bars)?;
    model_file::save(&detector, &args.output, args.force)?;

    let summary = Summary {
        model: &args.output,
        category: CategorySummary::of(&detector, &dataset),
        preset: &detector.settings().preset,
        seconds: start.elapsed().as_secs_f64(),
        file_bytes: file_bytes(&args.output)?,
    };
    if args.json { output::json(&summary) } else { output::text(&table(&summary, detector.threshold())) }
}

fn file_bytes(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| path.display().to_string())?.len())
}

/// Fits a detector to a dataset's good scans.
///
/// # Errors
/// If experts, device or scans are unusable, or the scans are too few.
pub(crate) fn fit(
    dataset: &Dataset,
    name: &str,
    settings: Settings,
    reader: &ScanReader,
    device: &Device,
    skip_unusable: bool,
    progress: &dyn Progress,
) -> Result<Detector> {
    check(dataset, reader, skip_unusable)?;
    let experts = device.place(Experts::from_settings(&settings.experts)?)?;
    let fitted = fit_category(dataset, name, settings, reader, experts, skip_unusable, progress);
    // Whatever fitting makes of it, this is why.
    device.check()?;
    Ok(fitted?.detector)
}

fn fit_category(
    dataset: &Dataset,
    name: &str,
    settings: Settings,
    reader: &ScanReader,
    experts: Experts,
    skip_unusable: bool,
    progress: &dyn Progress,
) -> Result<FittedCategory, FitError> {
    let inputs = FitInputs { name, train: &dataset.train, validation: &dataset.validation, skip_unusable };
    let load = |entry: &SampleEntry| reader.load(&entry.source);
    let describe = |entry: &SampleEntry| entry.source.cloud.display().to_string();
    Detector::fit_category(inputs, load, describe, settings, experts, progress)
}

/// Finds what is wrong with a dataset's scans before the work on them.
fn check(dataset: &Dataset, reader: &ScanReader, skip_unusable: bool) -> Result<()> {
    let sources = || dataset.train.iter().chain(&dataset.validation).map(|entry| &entry.source);
    reader.check_masks(sources())?;
    if !skip_unusable {
        // Reading them would tell the same, after the work on all others.
        let halves: Vec<String> =
            sources().filter_map(|source| source.check_partner().err()).map(|error| format!("  {error}")).collect();
        if !halves.is_empty() {
            return Err(FitError::UnusableScans { count: halves.len(), list: halves.join("\n") }.into());
        }
    }
    Ok(())
}

fn table(summary: &Summary, threshold: &Threshold) -> String {
    let category = &summary.category;
    let mut text = format!("{}: {}, preset {}\n", summary.model.display(), category.name, summary.preset);
    let mut row = |key: &str, value: String| text += &format!("  {key:10} {value}\n");
    category_rows(category, threshold, &mut row);
    row("time", format!("{:.1} s", summary.seconds));
    row("size", output::bytes(summary.file_bytes));
    text
}

fn category_rows(category: &CategorySummary<'_>, threshold: &Threshold, row: &mut impl FnMut(&str, String)) {
    let left_out = match category.unusable_scans {
        0 => String::new(),
        count => format!("; {count} left out as unusable"),
    };
    row(
        "scans",
        format!("{} learnt from, {} kept aside{left_out}", category.training_scans, category.validation_scans),
    );
    row("memories", format!("{} SDF features, {} RGB features", category.sdf_features, category.rgb_features));
    row("threshold", format!("{}: {}", output::number(f64::from(category.threshold)), promise(threshold)));
}

/// What a threshold promises.
pub(crate) fn promise(threshold: &Threshold) -> String {
    let rate = output::percent(threshold.false_reject_rate);
    let count = threshold.good_scores.len();
    match threshold.basis {
        ThresholdBasis::Validation => {
            format!("at most {rate} of good parts rejected, guaranteed (from {count} validation scans)")
        }
        ThresholdBasis::LeaveOneOut => format!(
            "about {rate} of good parts rejected, approximate (from {count} good scans, each scored without its own features)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapeguard_core::settings::Preset;

    fn options() -> SettingsOptions {
        SettingsOptions {
            preset: "default".into(),
            reference_quirks: false,
            set: Vec::new(),
            false_reject_rate: None,
            weights: None,
            shape_expert: None,
        }
    }

    #[test]
    fn options_come_after_the_preset() {
        let settings = SettingsOptions {
            set: vec!["threshold.false_reject_rate=0.3".into(), "memory.nonzeros=2".into()],
            false_reject_rate: Some(0.2),
            weights: Some("w.pth".into()),
            shape_expert: Some("paper".into()),
            ..options()
        }
        .settings()
        .unwrap();
        assert_eq!(settings.threshold.false_reject_rate, 0.2);
        assert_eq!(settings.memory.nonzeros, 2);
        assert_eq!((&*settings.experts.appearance, &*settings.experts.shape), ("w.pth", "paper"));
    }

    #[test]
    fn quirks_come_after_the_preset_and_before_single_settings() {
        let settings = SettingsOptions {
            preset: "paper".into(),
            reference_quirks: true,
            set: vec!["reference_quirks.blur_in_8_bits=false".into(), "patches.full_coverage=true".into()],
            ..options()
        }
        .settings()
        .unwrap();
        let mut expected = Settings::preset(Preset::Paper).with_reference_quirks();
        expected.reference_quirks.blur_in_8_bits = false;
        expected.patches.full_coverage = true;
        expected.preset = settings.preset.clone();
        assert_eq!(settings, expected);
        assert!(
            settings.preset.starts_with("paper with reference quirks with reference_quirks.blur_in_8_bits=false, ")
        );
        let quirks = SettingsOptions { reference_quirks: true, ..options() }.settings().unwrap();
        assert_eq!(quirks, Settings::preset(Preset::Default).with_reference_quirks());
    }

    #[test]
    fn a_rate_that_is_none_is_refused() {
        for rate in [0.0, 1.0, -0.1, f64::NAN] {
            let error = SettingsOptions { false_reject_rate: Some(rate), ..options() }.settings().unwrap_err();
            assert!(error.to_string().contains("between 0 and 1"), "{error}");
        }
    }
}
