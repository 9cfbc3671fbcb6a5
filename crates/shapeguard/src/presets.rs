//! Presets: commented TOML files that can be printed, changed and passed back.

use std::io::ErrorKind;

use shapeguard_core::sample::MAX_EXTENT_M;
use shapeguard_core::seams::CELL_PX;
use shapeguard_core::settings::Settings;

/// The names and texts of the built-in presets.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("best", include_str!("../presets/best.toml")),
    ("default", include_str!("../presets/default.toml")),
    ("paper", include_str!("../presets/paper.toml")),
];

/// Why a preset cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PresetError {
    /// Neither a built-in name nor a readable file.
    #[error("no preset named {name:?}, and no such file ({source}); built in: best, default, paper")]
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
    /// A single setting that cannot be changed like this.
    #[error("setting {change:?}: {message}; `shapeguard preset {preset}` prints all settings with their values")]
    Change {
        /// The change as it was asked for.
        change: String,
        /// What is wrong.
        message: String,
        /// Name of the preset.
        preset: String,
    },
}

/// Reads a built-in preset by name, or a TOML file by path.
///
/// # Errors
/// If it is neither, has unknown or missing keys, or values that make no sense.
pub fn load(name_or_path: &str) -> Result<Settings, PresetError> {
    parse(&text(name_or_path)?, name_or_path)
}

/// The text of a built-in preset, or of a TOML file, with its comments; not yet checked.
///
/// # Errors
/// If it is neither a built-in name nor a readable text file.
pub fn text(name_or_path: &str) -> Result<String, PresetError> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
        return Ok((*text).to_owned());
    }
    let invalid = |found: &str| PresetError::Invalid {
        name: name_or_path.into(),
        message: format!(
            "expected a TOML file, found {found} (the settings of a model file are printed by `shapeguard info MODEL --settings`)"
        ),
    };
    std::fs::read_to_string(name_or_path).map_err(|source| match source.kind() {
        ErrorKind::IsADirectory => invalid("a folder"),
        ErrorKind::InvalidData => invalid("a file that is not text"),
        _ => PresetError::Unknown { name: name_or_path.into(), source },
    })
}

/// What a built-in preset is for: the second line of its text.
pub fn description(text: &str) -> &str {
    text.lines().nth(1).unwrap_or_default().trim_start_matches(['#', ' '])
}

/// Reads a preset as [`load`] does and changes single settings of it, as [`change`] does.
///
/// # Errors
/// As [`load`] and [`change`].
pub fn load_with(name_or_path: &str, changes: &[String]) -> Result<Settings, PresetError> {
    change(load(name_or_path)?, name_or_path, changes)
}

/// Changes single settings of a preset that was loaded by this name, each given as `key=value` with a dotted key, like
/// `patches.points_per_patch=250`. Values are TOML; text needs no quotes. The settings' name tells what was changed.
///
/// # Errors
/// If a change names no setting or has a value that makes no sense.
pub fn change(settings: Settings, name_or_path: &str, changes: &[String]) -> Result<Settings, PresetError> {
    if changes.is_empty() {
        return Ok(settings);
    }
    let invalid = |message: String| PresetError::Invalid { name: name_or_path.into(), message };
    let mut table = toml::Table::try_from(&settings).map_err(|e| invalid(e.to_string()))?;
    for change in changes {
        let fail = |message| PresetError::Change { change: change.clone(), message, preset: name_or_path.into() };
        apply(&mut table, change).map_err(fail)?;
        // Change by change, so that the message names the one that is wrong.
        let changed: Settings =
            table.clone().try_into().map_err(|e: toml::de::Error| fail(e.to_string().trim_end().replace('\n', " ")))?;
        check(&changed).map_err(fail)?;
    }
    let mut changed: Settings = table.try_into().map_err(|e: toml::de::Error| invalid(e.to_string()))?;
    if changed.preset == settings.preset {
        changed.preset = format!("{} with {}", settings.preset, changes.join(", "));
    }
    Ok(changed)
}

/// The settings as TOML that [`parse`] reads back to the same settings.
///
/// # Errors
/// If a number is beyond what TOML can hold.
pub fn to_toml(settings: &Settings) -> Result<String, PresetError> {
    toml::to_string(settings)
        .map_err(|e| PresetError::Invalid { name: settings.preset.clone(), message: e.to_string() })
}

/// Changes one setting, given as `key=value`.
fn apply(table: &mut toml::Table, change: &str) -> Result<(), String> {
    let (key, text) = change.split_once('=').ok_or("expected KEY=VALUE, found no `=`")?;
    let (key, text) = (key.trim(), text.trim());
    let mut group = table;
    let mut names = key.split('.').peekable();
    while let Some(name) = names.next() {
        let known = group.keys().cloned().collect::<Vec<_>>().join(", ");
        let value = group.get_mut(name).ok_or_else(|| format!("there is no setting {key}; found {known}"))?;
        match (value, names.peek()) {
            (toml::Value::Table(inner), Some(_)) => group = inner,
            (toml::Value::Table(inner), None) => {
                let inner: Vec<_> = inner.keys().map(|inner| format!("{key}.{inner}")).collect();
                return Err(format!("{key} is a group of settings; set one of {}", inner.join(", ")));
            }
            (_, Some(_)) => return Err(format!("there is no setting {key}; {name} is a single value")),
            (value, None) => {
                // What is no TOML value by itself is text without quotes.
                let parsed = toml::from_str::<toml::Table>(&format!("value = {text}")).ok();
                let single = parsed.filter(|parsed| parsed.len() == 1).and_then(|mut parsed| parsed.remove("value"));
                *value = single.unwrap_or_else(|| toml::Value::String(text.to_owned()));
                return Ok(());
            }
        }
    }
    Ok(())
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

/// Smallest length that makes sense in a scan, metres: the foreground's own limit.
const MIN_LENGTH_M: f32 = 1e-5;

/// Most members, cells and neighbours that the patches of one scan may have together, some bytes each: sixteen times what
/// `default` has on a part that fills the image.
const MAX_KEPT_PER_SCAN: usize = 64 << 20;
/// Smallest side of the experts' image, pixels: a grid of 8 x 8 cells.
const MIN_IMAGE_SIDE_PX: usize = 64;
/// Largest side of the experts' image, pixels: five times the paper's area; time and memory grow with it.
const MAX_IMAGE_SIDE_PX: usize = 512;

/// Refuses values that no stage can work with, or with which one scan would take more time or memory than any machine
/// has: settings also come from model files, which are not trusted.
///
/// # Errors
/// Names the setting, what is possible, and what was found.
pub fn check(s: &Settings) -> Result<(), String> {
    let side = s.image.side_px;
    if !(MIN_IMAGE_SIDE_PX..=MAX_IMAGE_SIDE_PX).contains(&side) || !side.is_multiple_of(CELL_PX) {
        return Err(format!(
            "image.side_px must be a multiple of {CELL_PX} from {MIN_IMAGE_SIDE_PX} to {MAX_IMAGE_SIDE_PX}, found {side}"
        ));
    }
    let lengths = [
        // Metres: from what no camera resolves to the largest scan.
        ("foreground.plane_inlier_m", s.foreground.plane_inlier_m, MIN_LENGTH_M, MAX_EXTENT_M),
        ("foreground.background_distance_m", s.foreground.background_distance_m, MIN_LENGTH_M, MAX_EXTENT_M),
        ("foreground.cluster_eps_m", s.foreground.cluster_eps_m, MIN_LENGTH_M, MAX_EXTENT_M),
        // Pixels: from no blur worth the name to the whole map.
        ("fusion.blur_sigma_px", s.fusion.blur_sigma_px, 0.01, side as f32),
        ("fusion.blur_truncate", s.fusion.blur_truncate, 0.01, 16.0),
        // Beyond, single precision loses the small scores.
        ("memory.shape_typical_power", s.memory.shape_typical_power, 0.0, 4.0),
        ("memory.appearance_typical_power", s.memory.appearance_typical_power, 0.0, 4.0),
        ("memory.residual_power", s.memory.residual_power, 0.0, 4.0),
    ];
    for (key, value, least, most) in lengths {
        if !(value >= least && value <= most) {
            return Err(format!("{key} must be at least {least} and at most {most}, found {value}"));
        }
    }
    let counts = [
        ("foreground.border_px", s.foreground.border_px, 1, 10_000),
        ("foreground.plane_sample_points", s.foreground.plane_sample_points, 3, 1000),
        ("foreground.plane_hypotheses", s.foreground.plane_hypotheses, 1, 100_000),
        // The square grows by up to as much.
        ("foreground.pad_multiple_px", s.foreground.pad_multiple_px, 1, 1000),
        ("foreground.cluster_min_points", s.foreground.cluster_min_points, 1, 1_000_000),
        // A part has no more points than the experts' image has pixels.
        ("patches.points_per_patch", s.patches.points_per_patch, 2, side * side),
        // Every point is in about so many patches: time and memory grow with it.
        ("patches.overlap", s.patches.overlap, 1, 100),
        ("patches.cell_dilation", s.patches.cell_dilation, 0, side / CELL_PX),
        ("memory.shape_neighbours", s.memory.shape_neighbours, 1, 1000),
        ("memory.appearance_neighbours", s.memory.appearance_neighbours, 1, 1000),
        ("memory.nonzeros", s.memory.nonzeros, 1, 100),
        ("fusion.alignment_samples", s.fusion.alignment_samples, 1, 1_000_000),
    ];
    for (key, value, least, most) in counts {
        if value < least || value > most {
            return Err(format!("{key} must be at least {least} and at most {most}, found {value}"));
        }
    }
    // What each patch brings along, for a part that fills the whole image.
    let patches = (side * side * s.patches.overlap).div_ceil(s.patches.points_per_patch);
    let cells = (side / CELL_PX).pow(2);
    let kept = patches.saturating_mul(cells + s.memory.shape_neighbours + s.patches.points_per_patch);
    if kept > MAX_KEPT_PER_SCAN {
        return Err(format!(
            "patches.points_per_patch and patches.overlap make up to {patches} patches of an image of {side} pixels, which with their cells and neighbours take more memory than one scan may; set points_per_patch higher or overlap lower"
        ));
    }
    let share = s.memory.appearance_share;
    if !(share > 0.0 && share <= 1.0) {
        return Err(format!("memory.appearance_share must be above 0 and at most 1, found {share}"));
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
        assert_eq!(load("best").unwrap(), Settings::preset(Preset::Best));
    }

    #[test]
    fn unknown_keys_and_senseless_values_are_named() {
        let text = text("paper").unwrap();
        let unknown = parse(&text.replace("overlap = 10", "overlapp = 10"), "mine.toml").unwrap_err().to_string();
        assert!(unknown.contains("mine.toml") && unknown.contains("overlapp"), "{unknown}");
        let zero = parse(&text.replace("blur_sigma_px = 4.0", "blur_sigma_px = nan"), "mine.toml").unwrap_err();
        assert!(zero.to_string().contains("fusion.blur_sigma_px"), "{zero}");
        assert!(load("/no/such/preset.toml").unwrap_err().to_string().contains("built in"));
    }

    #[test]
    fn every_preset_says_what_it_is_for() {
        for (name, text) in BUILT_IN {
            let description = description(text);
            assert!(description.len() > 20 && !description.contains('='), "{name}: {description:?}");
        }
    }

    #[test]
    fn single_settings_change_and_the_name_says_so() {
        let changes = ["patches.points_per_patch=250", "foreground.method = none", "foreground.cluster_eps_m=1"];
        let changed = load_with("default", &changes.map(String::from)).unwrap();
        let mut expected = Settings::preset(Preset::Default);
        expected.patches.points_per_patch = 250;
        expected.foreground.method = shapeguard_core::settings::ForegroundMethod::None;
        expected.foreground.cluster_eps_m = 1.0;
        expected.preset = format!("default with {}", changes.join(", "));
        assert_eq!(changed, expected);
        assert_eq!(load_with("paper", &[]).unwrap(), Settings::preset(Preset::Paper));
        assert_eq!(load_with("paper", &["preset=mine".into()]).unwrap().preset, "mine");
    }

    #[test]
    fn changes_are_checked_like_a_preset() {
        let cases = [
            ("patches.overlapp=5", "there is no setting patches.overlapp; found cell_dilation"),
            ("patches=5", "set one of patches.cell_dilation"),
            ("seed.x=5", "seed is a single value"),
            ("patches.overlap", "expected KEY=VALUE"),
            ("patches.overlap=many", "expected usize"),
            ("patches.overlap=0", "patches.overlap must be at least 1"),
            ("patches.points_per_patch=2", "make up to 480000 patches"),
            ("image.side_px=225", "image.side_px must be a multiple of 8"),
            ("image.side_px=1000000000000", "image.side_px must be a multiple of 8"),
            ("image.side_px=8", "image.side_px must be a multiple of 8 from 64"),
            ("patches.overlap=1\nseed=2", "expected usize"),
            ("foreground.method=magic", "unknown variant"),
            ("threshold.false_reject_rate=1.5", "must lie between 0 and 1"),
            ("reference_quirks=true", "set one of reference_quirks.aligned_over_nonzero"),
            ("reference_quirks.zero_is_unset=1", "expected a boolean"),
            ("memory.coding=sparse", "there is no setting memory.coding"),
            ("memory.shape_coding=dense", "unknown variant"),
            ("memory.appearance_share=0", "memory.appearance_share must be above 0 and at most 1, found 0"),
            ("memory.appearance_share=1.01", "memory.appearance_share must be above 0 and at most 1"),
            ("memory.appearance_share=nan", "memory.appearance_share must be above 0 and at most 1"),
        ];
        for (change, expected) in cases {
            let error = load_with("default", &[change.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(expected), "{change}: {error}");
            assert!(error.contains("shapeguard preset default"), "{error}");
        }
    }

    #[test]
    fn printed_settings_are_read_back_unchanged() {
        let settings = load_with("paper", &["foreground.cluster_eps_m=0.0061".into()]).unwrap();
        let text = to_toml(&settings).unwrap();
        assert_eq!(parse(&text, "printed").unwrap(), settings, "{text}");
        assert!(text.contains("cluster_eps_m = 0.0061\n"), "{text}");
    }
}
