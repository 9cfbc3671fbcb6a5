//! Headers of earlier versions: what each lacked is added, with the values that it worked by (docs/model-file.md, "Versions").

use serde_json::json;
use shapeguard_core::settings::{Preset, Settings};

/// Makes a header of the version that it has one of today's.
pub(super) fn upgrade(header: &mut serde_json::Value, version: u64) -> Result<(), String> {
    if version < 2 {
        upgrade_from_1(header)?;
    }
    if version < 3 {
        upgrade_from_2(header)?;
    }
    Ok(())
}

/// Adds the settings that version 1 did not have, with the values that it worked by: the paper's.
fn upgrade_from_1(header: &mut serde_json::Value) -> Result<(), String> {
    let paper = Settings::preset(Preset::Paper);
    let (memory, fusion) = (&paper.memory, &paper.fusion);
    let added = [
        ("image", None, json!(paper.image)),
        ("memory", Some("overlap_rule"), json!(memory.overlap_rule)),
        ("memory", Some("shape_typical_power"), json!(memory.shape_typical_power)),
        ("memory", Some("appearance_typical_power"), json!(memory.appearance_typical_power)),
        ("memory", Some("residual_power"), json!(memory.residual_power)),
        ("fusion", Some("rule"), json!(fusion.rule)),
    ];
    add_settings(header, added, 1)
}

/// Adds the settings that versions 1 and 2 did not have: one coding was both experts', all features were kept, and none of the
/// reference's deviations was known.
fn upgrade_from_2(header: &mut serde_json::Value) -> Result<(), String> {
    let paper = Settings::preset(Preset::Paper);
    let memory = header.pointer_mut("/settings/memory").and_then(serde_json::Value::as_object_mut);
    let coding = memory.and_then(|memory| memory.remove("coding"));
    let coding = coding.ok_or("its header has no setting memory.coding, which versions 1 and 2 had")?;
    let added = [
        ("memory", Some("shape_coding"), coding.clone()),
        ("memory", Some("appearance_coding"), coding),
        ("memory", Some("appearance_share"), json!(paper.memory.appearance_share)),
        ("memory", Some("appearance_metric"), json!(paper.memory.appearance_metric)),
        ("memory", Some("shape_score"), json!(paper.memory.shape_score)),
        ("reference_quirks", None, json!(paper.reference_quirks)),
    ];
    add_settings(header, added, 2)
}

/// Adds settings by group and key, or whole groups; none of them may be there, as `version` did not have them.
fn add_settings<const N: usize>(
    header: &mut serde_json::Value,
    added: [(&str, Option<&str>, serde_json::Value); N],
    version: u32,
) -> Result<(), String> {
    for (group, key, value) in added {
        let settings = header.get_mut("settings").and_then(serde_json::Value::as_object_mut);
        let (place, key) = match key {
            None => (settings, group),
            Some(key) => (settings.and_then(|s| s.get_mut(group)?.as_object_mut()), key),
        };
        let Some(place) = place else { return Err(format!("its header has no settings of the group {group:?}")) };
        if place.insert(key.to_owned(), value).is_some() {
            let name = if key == group { key.to_owned() } else { format!("{group}.{key}") };
            return Err(format!("its header has the setting {name}, which version {version} did not have"));
        }
    }
    Ok(())
}
