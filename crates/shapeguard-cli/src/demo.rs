//! `shapeguard demo`: the whole way from simulated scans to pictures of their defects, in one folder.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use shapeguard::evaluation::{Evaluation, GOOD};
use shapeguard::outputs::{RecordVerdict, ScanRecord};
use shapeguard::{Detector, Model, Verdict, model_file, presets, report};
use shapeguard_data::simulator::Suite;
use shapeguard_data::{Dataset, atomic_write, check_folder, discover_scans, write_json};

use crate::Outcome;
use crate::device::Device;
use crate::inspect::{Inspector, inspect_all, tasks};
use crate::output::{counted, number, percent};
use crate::progress::Bars;
use crate::scans::ScanOptions;
use crate::{evaluate, fit, output};

/// Says that a folder was made by the demo, and may be replaced by it.
const MARKER: &str = ".shapeguard-demo";
/// Files and folders in the demo's folder.
const DATA: &str = "data";
const REPORT: &str = "report.html";
const METRICS: &str = "metrics.json";
const RESULTS: &str = "results.jsonl";
const PICTURES: &str = "pictures";

/// See it work: simulate a small inspection task, learn from the good parts, find the defects.
///
/// Leaves a folder with the scans, the model, an HTML report, and heat maps, overlays and coloured point clouds of all
/// test scans. Needs no data and no network.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  shapeguard demo\n  shapeguard demo --out another-folder --preset paper")]
pub struct DemoArgs {
    /// Folder to make
    #[arg(long, value_name = "DIR", default_value = "shapeguard-demo")]
    out: PathBuf,
    /// Replace the folder, with all that is in it, if a demo made it
    #[arg(long)]
    force: bool,
    /// Settings: best, default, paper, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    preset: String,
}

/// Runs the command.
///
/// # Errors
/// If the folder exists and may not be replaced, the preset is unusable, or something cannot be written.
pub fn run(args: &DemoArgs, bars: &Bars) -> Result<Outcome> {
    let settings = presets::load(&args.preset)?;
    let reader = ScanOptions::default().reader(settings.foreground.method)?;
    let out = args.out.as_path();
    make_folder(out, args.force)?;

    let suite = Suite::demo();
    let folders = suite.write(&out.join(DATA), false, bars)?;
    let [data] = &folders[..] else { bail!("the demo's suite must have one category, found {}", folders.len()) };
    let dataset = Dataset::open(data)?;
    let detector = fit::fit(&dataset, &dataset.name, settings, &reader, &Device::cpu(), false, bars)?;
    let model = out.join(format!("{}.shapeguard", dataset.name));
    model_file::save(&detector, &model, false)?;

    let known = Model::Single(Box::new(detector));
    let detector = &known.detectors()[0];
    let measured = evaluate::measure(detector, &dataset.test, &reader, true, bars)?;
    report::write(&out.join(REPORT), &measured.evaluation, &measured.strips, false)?;
    write_json(&out.join(METRICS), &measured, false)?;

    let tests = data.join("test");
    let tasks = tasks(discover_scans(&tests)?, Some(&out.join(PICTURES)), true, false)?;
    let mut records = Vec::with_capacity(tasks.len());
    let inspector = Inspector { model: &known, category: None, reader: &reader, force: false };
    inspect_all(&tasks, inspector, bars, |done| {
        ensure!(!done.pictures_failed, "{}", done.record.warnings.join("; "));
        records.push(done.record);
        Ok(())
    })?;
    write_records(&out.join(RESULTS), &records)?;
    output::text(&summary(out, &model, &tests, detector, &measured.evaluation, &records))?;
    Ok(measured.outcome())
}

/// Makes the folder; replaces an old one only where that is allowed and a demo made it.
fn make_folder(out: &Path, force: bool) -> Result<()> {
    match out.symlink_metadata() {
        Err(_) => {}
        Ok(metadata) => {
            ensure!(
                force,
                "{}: exists already; give another folder by --out, or pass --force to replace what an earlier demo made",
                out.display()
            );
            let is_demo = metadata.is_dir() && out.join(MARKER).is_file();
            ensure!(
                is_demo,
                "{}: --force replaces only what a demo made, and this is something else (it has no file {MARKER}); give another folder by --out",
                out.display()
            );
            std::fs::remove_dir_all(out).with_context(|| format!("cannot remove {}", out.display()))?;
        }
    }
    check_folder(out)?;
    // First of all: a demo that was interrupted can be replaced too.
    let version = env!("CARGO_PKG_VERSION");
    let text =
        format!("Made by `shapeguard demo`, version {version}; `shapeguard demo --force` replaces this folder.\n");
    atomic_write(&out.join(MARKER), false, |file| file.write_all(text.as_bytes()))?;
    Ok(())
}

fn write_records(path: &Path, records: &[ScanRecord]) -> Result<()> {
    let lines = records.iter().map(|record| Ok(serde_json::to_string(record)? + "\n")).collect::<Result<String>>()?;
    atomic_write(path, false, |file| file.write_all(lines.as_bytes()))?;
    Ok(())
}

/// What was found, and what to open.
fn summary(
    out: &Path,
    model: &Path,
    tests: &Path,
    detector: &Detector,
    evaluation: &Evaluation,
    records: &[ScanRecord],
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    let rejected = |is_defective: bool| {
        let of: Vec<_> = evaluation.scans.iter().filter(|scan| (scan.kind != GOOD) == is_defective).collect();
        (of.iter().filter(|scan| scan.verdict == Some(Verdict::Rejected)).count(), of.len())
    };
    let ((found, defective), (false_alarms, good)) = (rejected(true), rejected(false));
    let learnt = detector.provenance();
    line(format!(
        "Learnt from {}, then looked at {} new ones:",
        counted(learnt.training_scans + learnt.validation_scans, "good scan"),
        evaluation.scans.len()
    ));
    line(format!(
        "  {found} of {defective} defective and {false_alarms} of {good} good ones rejected (asked for: {} of good ones)",
        percent(detector.threshold().false_reject_rate)
    ));
    let i_auroc: Vec<String> = evaluation
        .all
        .channels
        .iter()
        .map(|channel| {
            let value = channel.i_auroc.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
            format!("{} {value}", report::channel_name(channel.channel))
        })
        .collect();
    line(format!("  image AUROC: {}", i_auroc.join(", ")));
    if evaluation.not_judged > 0 {
        line(format!("  {} not judged, see {RESULTS}", counted(evaluation.not_judged, "scan")));
    }

    let mut open = vec![(out.join(REPORT), "figures, curves, best and worst scans".to_owned())];
    let highest = records
        .iter()
        .filter(|record| record.verdict != RecordVerdict::NotJudged)
        .max_by(|a, b| a.score.unwrap_or_default().total_cmp(&b.score.unwrap_or_default()));
    if let Some((record, files)) = highest.and_then(|record| Some((record, record.files.as_ref()?))) {
        let times = f64::from(record.score.unwrap_or_default() / detector.threshold().score);
        open.push((files.overlay.clone(), format!("the highest score, {} times the threshold", number(times))));
        if let Some(ply) = &files.ply {
            let what = "the same as a point cloud, for MeshLab, CloudCompare or Blender";
            open.push((ply.clone(), what.to_owned()));
        }
    }
    open.push((out.join(RESULTS), "verdict, score and place of the peak, scan by scan".to_owned()));
    line("Open".to_owned());
    columns(&open).into_iter().for_each(&mut line);
    line(format!("Try\n  shapeguard inspect {} {} --human", model.display(), tests.display()));
    text
}

/// Files and what is in them, one below the other.
fn columns(rows: &[(PathBuf, String)]) -> Vec<String> {
    let paths: Vec<String> = rows.iter().map(|(path, _)| path.display().to_string()).collect();
    let width = paths.iter().map(|path| path.chars().count()).max().unwrap_or_default();
    paths.iter().zip(rows).map(|(path, (_, what))| format!("  {path:width$}  {what}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_descriptions_stand_in_one_column_however_long_the_paths() {
        let long = Path::new("/über").join("folder".repeat(20)).join("pictures/hole-001.ply");
        let lines = columns(&[("demo/report.html".into(), "first".into()), (long, "second".into())]);
        let column = |line: &str, what: &str| line.split_once(what).unwrap().0.chars().count();
        assert_eq!(column(&lines[0], "first"), column(&lines[1], "second"));
        assert!(lines[1].ends_with("hole-001.ply  second"), "{lines:?}");
    }

    #[test]
    fn only_a_folder_that_a_demo_made_is_replaced_and_only_by_consent() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("demo");
        make_folder(&out, false).unwrap();
        std::fs::write(out.join("old"), b"").unwrap();
        let error = make_folder(&out, false).unwrap_err().to_string();
        assert!(error.contains("exists already") && out.join("old").exists(), "{error}");
        make_folder(&out, true).unwrap();
        assert!(!out.join("old").exists() && out.join(MARKER).is_file());

        let mine = parent.path().join("mine");
        std::fs::create_dir(&mine).unwrap();
        std::fs::write(mine.join("precious"), b"").unwrap();
        for force in [false, true] {
            assert!(make_folder(&mine, force).is_err());
        }
        let error = make_folder(&mine.join("precious"), true).unwrap_err().to_string();
        assert!(error.contains("something else") && mine.join("precious").exists(), "{error}");
    }
}
