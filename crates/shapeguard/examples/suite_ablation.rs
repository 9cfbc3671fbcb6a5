//! What each step from the paper's method to the preset `default` is worth on a simulated suite (docs/results.md).
//!
//! `cargo run --release -p shapeguard --example suite_ablation -- [SUITE] [CATEGORY...] [--seed N]`. Each line has the settings of
//! the line above and one change more; the first is the preset `paper` with the compact shape expert, the last is `default`.
//! Every category is simulated once.

#![allow(clippy::print_stdout, reason = "the table is the result")]

mod suite;

use std::error::Error;

use shapeguard::presets;
use shapeguard_core::settings::Settings;

use suite::{HEADING, row, sweep};

/// The steps, each with the settings that it takes from `default`.
const STEPS: [(&str, &[&str]); 10] = [
    ("`paper` with the compact shape expert", &["experts", "foreground"]),
    ("image of 400 pixels", &["image"]),
    ("patches of 350 points, overlap 6", &["patches"]),
    ("mean over overlapping patches", &["memory.overlap_rule"]),
    ("typical scores", &["memory.shape_typical_power", "memory.appearance_typical_power"]),
    ("distances times the patch's residual", &["memory.residual_power"]),
    ("root of the sum of squares", &["fusion.rule"]),
    ("product times top of the map", &["fusion.sample_score"]),
    ("RGB residuals in the deviations of good parts", &["memory.appearance_metric"]),
    ("shared residuals as SDF score: `default`", &["memory.shape_score"]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let evaluations = sweep(&steps()?)?;
    println!("| step | {HEADING}");
    for ((name, _), evaluations) in STEPS.iter().zip(&evaluations) {
        println!("{}", row(name, &evaluations.iter().collect::<Vec<_>>()));
    }
    Ok(())
}

/// The settings of every step.
fn steps() -> Result<Vec<Settings>, Box<dyn Error>> {
    let table = |name| -> Result<toml::Table, Box<dyn Error>> { Ok(toml::Table::try_from(presets::load(name)?)?) };
    let (mut settings, default) = (table("paper")?, table("default")?);
    let mut steps = Vec::new();
    for (_, keys) in STEPS {
        for key in keys {
            let (group, name) = key.split_once('.').map_or((*key, None), |(group, name)| (group, Some(name)));
            match name {
                None => settings[group] = default[group].clone(),
                Some(name) => settings[group][name] = default[group][name].clone(),
            }
        }
        steps.push(settings.clone().try_into()?);
    }
    let last: &Settings = steps.last().ok_or("there is no step")?;
    if (Settings { preset: String::new(), ..last.clone() })
        != (Settings { preset: String::new(), ..presets::load("default")? })
    {
        return Err("the steps do not lead to `default`".into());
    }
    Ok(steps)
}
