//! `shapeguard preset`: the settings of the method, to be printed, changed and passed back.

use anyhow::Result;
use shapeguard::presets;

use crate::output;

/// Print a preset: every setting with its value, unit and source, as TOML.
///
/// Without a name, lists the built-in presets.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  shapeguard preset default > mine.toml\n  shapeguard fit parts/good -o part.shapeguard --preset mine.toml"
)]
pub struct PresetArgs {
    /// `best`, `default`, `paper`, or a TOML file to check and print
    #[arg(value_name = "NAME|FILE")]
    preset: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// If the preset is unknown or no preset.
pub fn run(args: &PresetArgs) -> Result<()> {
    let Some(preset) = &args.preset else {
        let line = |(name, text): &(&str, &str)| format!("{name:10} {}\n", presets::description(text));
        return output::text(&presets::BUILT_IN.iter().map(line).collect::<String>());
    };
    let text = presets::text(preset)?;
    presets::parse(&text, preset)?;
    output::text(&text)
}
