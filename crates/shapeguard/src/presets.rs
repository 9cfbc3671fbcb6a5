//! Presets: commented TOML files that can be printed, changed and passed back.

use shapeguard_core::settings::Settings;

/// The names and texts of the built-in presets.
pub const BUILT_IN: [(&str, &str); 2] =
    [("default", include_str!("../presets/default.toml")), ("paper", include_str!("../presets/paper.toml"))];

/// Why a preset cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PresetError {
    /// Neither a built-in name nor a readable file.
    #[error("no preset named {name:?}, and no such file ({source}); built in: default, paper")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Why it could not be read as a file.
        source: std::io::Error,
    },
    /// Not a preset.
    #[error("{name}: not a preset: {message}; print one to start from with `shapeguard preset default`")]
    Invalid {
        /// File or preset name.
        name: String,
        /// What is wrong, and where.
        message: String,
    },
}

/// Reads a built-in preset by name, or a TOML file by path.
///
/// # Errors
/// If it is neither, has unknown or missing keys, or values that make no sense.
pub fn load(name_or_path: &str) -> Result<Settings, PresetError> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
        return parse(text, name);
    }
    let text = std::fs::read_to_string(name_or_path)
        .map_err(|source| PresetError::Unknown { name: name_or_path.into(), source })?;
    parse(&text, name_or_path)
}

/// Parses the text of a preset.
///
/// # Errors
/// As [`load`]; `name` is what the message calls it.
pub fn parse(text: &str, name: &str) -> Result<Settings, PresetError> {
    let invalid = |message: String| PresetError::Invalid { name: name.into(), message };
    let settings: Settings = toml::from_str(text).map_err(|e| invalid(e.to_string()))?;
    check(&settings).map_err(invalid)?;
    Ok(settings)
}

/// Refuses values that no stage can work with.
fn check(s: &Settings) -> Result<(), String> {
    let positive = [
        ("foreground.plane_inlier_m", f64::from(s.foreground.plane_inlier_m)),
        ("foreground.background_distance_m", f64::from(s.foreground.background_distance_m)),
        ("foreground.cluster_eps_m", f64::from(s.foreground.cluster_eps_m)),
        ("fusion.blur_sigma_px", f64::from(s.fusion.blur_sigma_px)),
        ("fusion.blur_truncate", f64::from(s.fusion.blur_truncate)),
    ];
    for (key, value) in positive {
        if !(value.is_finite() && value > 0.0) {
            return Err(format!("{key} must be greater than 0, found {value}"));
        }
    }
    let counts = [
        ("foreground.border_px", s.foreground.border_px, 1),
        ("foreground.plane_sample_points", s.foreground.plane_sample_points, 3),
        ("foreground.plane_hypotheses", s.foreground.plane_hypotheses, 1),
        ("foreground.pad_multiple_px", s.foreground.pad_multiple_px, 1),
        ("foreground.cluster_min_points", s.foreground.cluster_min_points, 1),
        ("patches.points_per_patch", s.patches.points_per_patch, 2),
        ("patches.overlap", s.patches.overlap, 1),
        ("memory.shape_neighbours", s.memory.shape_neighbours, 1),
        ("memory.appearance_neighbours", s.memory.appearance_neighbours, 1),
        ("memory.nonzeros", s.memory.nonzeros, 1),
        ("fusion.alignment_samples", s.fusion.alignment_samples, 1),
    ];
    for (key, value, least) in counts {
        if value < least || value > 1_000_000 {
            return Err(format!("{key} must be at least {least} and at most 1000000, found {value}"));
        }
    }
    if s.patches.cell_dilation > 28 {
        return Err(format!("patches.cell_dilation must be at most 28 cells, found {}", s.patches.cell_dilation));
    }
    for (key, share) in [
        ("foreground.plane_min_support", f64::from(s.foreground.plane_min_support)),
        ("threshold.false_reject_rate", s.threshold.false_reject_rate),
    ] {
        if !(share > 0.0 && share < 1.0) {
            return Err(format!("{key} must lie between 0 and 1, found {share}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapeguard_core::settings::Preset;

    #[test]
    fn the_printed_presets_are_the_built_in_settings() {
        assert_eq!(load("paper").unwrap(), Settings::preset(Preset::Paper));
        assert_eq!(load("default").unwrap(), Settings::preset(Preset::Default));
    }

    #[test]
    fn unknown_keys_and_senseless_values_are_named() {
        let text = BUILT_IN[0].1;
        let unknown = parse(&text.replace("overlap = 10", "overlapp = 10"), "mine.toml").unwrap_err().to_string();
        assert!(unknown.contains("mine.toml") && unknown.contains("overlapp"), "{unknown}");
        let zero = parse(&text.replace("blur_sigma_px = 4.0", "blur_sigma_px = nan"), "mine.toml").unwrap_err();
        assert!(zero.to_string().contains("fusion.blur_sigma_px"), "{zero}");
        assert!(load("/no/such/preset.toml").unwrap_err().to_string().contains("built in"));
    }
}
