//! Accuracy on a simulated suite: fits and evaluates every category and prints the means that docs/results.md holds.
//!
//! `cargo run --release -p shapeguard --example suite_accuracy -- PRESET [SUITE] [CATEGORY...] [--json FILE]`; PRESET is
//! `paper`, `default` or a preset file, SUITE `v1` unless given, or a suite's definition in a file. Scans are simulated in
//! memory; nothing is written but the JSON file and, with `--pictures DIR`, a strip of each test scan.

#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use shapeguard::benchmark::{Benchmark, DEFAULT_SUITE, mean, scan_kind, scan_name, take_option};
use shapeguard::evaluation::{Channel, ChannelMetrics, Evaluation, LabelledScan, evaluate};
use shapeguard::experts::Experts;
use shapeguard::report::strip;
use shapeguard::{Detector, FitInputs, LoadedScan, presets};
use shapeguard_core::seams::Silent;
use shapeguard_data::simulator::{Category, Split};
use shapeguard_data::{write_json, write_rgb_png};

/// Positions of the limits 0.3 and 0.01 among the seven.
const LIMITS: [usize; 2] = [0, 6];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut option = |name: &str| take_option(&mut arguments, name);
    let (json_path, pictures) = (option("--json"), option("--pictures").map(PathBuf::from));
    let mut arguments = arguments.into_iter();
    let preset = arguments.next().ok_or("give a preset: paper, default or a file")?;
    let suite_name = arguments.next().unwrap_or_else(|| DEFAULT_SUITE.to_owned());
    let benchmark = Benchmark::new(&suite_name, &arguments.collect::<Vec<_>>())?;

    println!("| category | I-AUROC RGB / SDF / fused | P-AUROC | AUPRO 0.3 | AUPRO 0.01 | false rejects | detected |");
    println!("|---|---|---|---|---|---|---|");
    let (mut rows, mut all) = (BTreeMap::new(), Vec::new());
    for category in benchmark.categories.iter().copied() {
        let start = Instant::now();
        let evaluation = run(&benchmark, category, &preset, pictures.as_deref())?;
        println!("{}", row(category.name(), &[&evaluation]));
        eprintln!("{category}: {:.0} s", start.elapsed().as_secs_f64());
        for kind in &evaluation.kinds {
            let figures = kind.channels.iter().map(|c| format!("{:.2}", c.i_auroc.unwrap_or(f64::NAN)));
            eprintln!("  {}: I-AUROC {}", kind.kind, figures.collect::<Vec<_>>().join(" / "));
        }
        rows.insert(category.name(), json!(evaluation.all));
        all.push(evaluation);
    }
    println!("{}", row("**mean**", &all.iter().collect::<Vec<_>>()));
    if let Some(path) = json_path {
        let value = json!({ "preset": preset, "suite": suite_name, "categories": rows });
        write_json(Path::new(&path), &value, true)?;
    }
    Ok(())
}

fn run(
    benchmark: &Benchmark,
    category: Category,
    preset: &str,
    pictures: Option<&Path>,
) -> Result<Evaluation, Box<dyn Error>> {
    let settings = presets::load(preset)?;
    let experts = Experts::from_settings(&settings.experts)?;
    let of = |split| benchmark.scans(category, split);
    let (train, validation, test) = (of(Split::Train), of(Split::Validation), of(Split::Test));
    let detector = Detector::fit(
        FitInputs { name: category.name(), train: &train, validation: &validation, skip_unusable: false },
        |planned| Ok(LoadedScan { scan: benchmark.simulate(category, planned).scan, mask: None }),
        scan_name,
        settings,
        experts,
        &Silent,
    )?;
    let evaluation = evaluate(
        &detector,
        &test,
        |planned| {
            let simulated = benchmark.simulate(category, planned);
            Ok(LabelledScan { loaded: LoadedScan { scan: simulated.scan, mask: None }, truth: Some(simulated.truth) })
        },
        scan_name,
        |planned| scan_kind(planned).to_owned(),
        |index, labelled, inspection| {
            if let Some(folder) = pictures {
                let kind = scan_kind(&test[index]);
                let file = folder.join(category.name()).join(format!("{kind}-{}.png", test[index].name()));
                let strip = strip(labelled, inspection, detector.good_peak(), &detector);
                write_rgb_png(&file, &strip, true).unwrap_or_else(|error| eprintln!("{error}"));
            }
        },
        &Silent,
    )?;
    if evaluation.not_judged > 0 {
        eprintln!("{category}: {} scans not judged", evaluation.not_judged);
    }
    Ok(evaluation)
}

/// Means over evaluations as a line of the table.
fn row(name: &str, evaluations: &[&Evaluation]) -> String {
    let mean_of = |figure: &dyn Fn(&Evaluation) -> Option<f64>| mean(evaluations.iter().map(|e| figure(e)));
    let three = |figure: fn(&ChannelMetrics) -> Option<f64>| {
        let of = |index: usize| format!("{:.3}", mean_of(&|e| figure(&e.all.channels[index])));
        (0..Channel::ALL.len()).map(of).collect::<Vec<_>>().join(" / ")
    };
    let cells = [
        three(|c| c.i_auroc),
        three(|c| c.pixels.as_ref().map(|p| p.p_auroc)),
        three(|c| c.pixels.as_ref().map(|p| p.aupro[LIMITS[0]])),
        three(|c| c.pixels.as_ref().map(|p| p.aupro[LIMITS[1]])),
        format!("{:.2}", mean_of(&|e| e.false_reject_rate)),
        format!("{:.2}", mean_of(&|e| e.detection_rate)),
    ];
    format!("| {name} | {} |", cells.join(" | "))
}
