//! Accuracy on a simulated suite: fits and evaluates every category and prints the means that docs/results.md holds.
//!
//! `cargo run --release -p shapeguard --example suite_accuracy -- PRESET [SUITE] [CATEGORY...] [--set KEY=VALUE]... [--seed N]
//! [--json FILE]`; PRESET is `paper`, `default` or a preset file, SUITE `v1` unless given, or a suite's definition in a file;
//! another seed makes other scans by the suite's definition. Scans are simulated in memory; nothing is written but the JSON
//! file and, with `--pictures DIR`, a strip of each test scan.

#![allow(clippy::print_stdout, reason = "the table is the result")]

mod suite;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use shapeguard::benchmark::{Benchmark, DEFAULT_SUITE, scan_kind, take_option};
use shapeguard::presets;
use shapeguard::report::strip;
use shapeguard_data::{write_json, write_rgb_png};

use suite::{HEADING, Scans, row};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut option = |name: &str| take_option(&mut arguments, name);
    let (json_path, pictures) = (option("--json"), option("--pictures").map(PathBuf::from));
    let seed = option("--seed").map(|seed| seed.parse()).transpose()?;
    let changes: Vec<String> = std::iter::from_fn(|| option("--set")).collect();
    let mut arguments = arguments.into_iter();
    let preset = arguments.next().ok_or("give a preset: paper, default or a file")?;
    let suite_name = arguments.next().unwrap_or_else(|| DEFAULT_SUITE.to_owned());
    let mut benchmark = Benchmark::new(&suite_name, &arguments.collect::<Vec<_>>())?;
    benchmark.suite.seed = seed.unwrap_or(benchmark.suite.seed);
    let settings = presets::load_with(&preset, &changes)?;

    println!("| category | {HEADING}");
    let (mut rows, mut all) = (BTreeMap::new(), Vec::new());
    for category in benchmark.categories.iter().copied() {
        let start = Instant::now();
        let scans = Scans::simulate(&benchmark, category);
        let evaluation = scans.evaluate(settings.clone(), |planned, labelled, inspection, detector| {
            if let Some(folder) = &pictures {
                let file = folder.join(category.name()).join(format!("{}-{}.png", scan_kind(planned), planned.name()));
                let strip = strip(labelled, inspection, detector.good_peak(), detector);
                write_rgb_png(&file, &strip, true).unwrap_or_else(|error| eprintln!("{error}"));
            }
        })?;
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
        let value =
            json!({ "preset": settings.preset, "suite": suite_name, "seed": benchmark.suite.seed, "categories": rows });
        write_json(Path::new(&path), &value, true)?;
    }
    Ok(())
}
