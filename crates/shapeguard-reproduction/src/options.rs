//! What is to be measured.

use serde::{Deserialize, Serialize};
use shapeguard_core::seams::IMAGE_SIDE;
use shapeguard_core::settings::{AppearanceMetric, Settings};
use shapeguard_core::typical::TypicalScores;
use shapeguard_data::{GOOD, TestEntry};

use crate::error::ReproductionError;

/// Numbers of points of a patch in Table 4, but for the settings' own.
pub const SWEEP_POINTS: [usize; 3] = [1000, 750, 250];

/// A part of the tables that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The full bank and its coreset, unguided: most of Tables 1, 2, 3 and 5.
    FullBank,
    /// Table 4.
    PointsPerPatch,
    /// Table 6.
    Coding,
    /// PatchCore, PaDiM and BTF in Tables 1 and 2.
    Baselines,
    /// Table 3's seconds.
    Timing,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::FullBank, Self::PointsPerPatch, Self::Coding, Self::Baselines, Self::Timing];
}

/// What is measured, and on how many scans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Which parts of the tables are made.
    pub parts: Vec<Part>,
    /// Test scans of each category in Tables 4 and 6; `None` takes all.
    pub sweep_scans: Option<usize>,
    /// Test scans of each category that Table 3's seconds are measured on.
    pub timing_scans: usize,
}

impl Options {
    /// Whether a part is wanted.
    pub fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

/// Refuses settings that the paper's tables are not defined for.
///
/// # Errors
/// Names the setting.
pub fn check_settings(settings: &Settings) -> Result<(), ReproductionError> {
    let refuse = |message: String| Err(ReproductionError::Settings { message });
    shapeguard::presets::check(settings).map_err(|message| ReproductionError::Settings { message })?;
    if settings.image.side_px != IMAGE_SIDE {
        return refuse(format!(
            "image.side_px is {}, expected {IMAGE_SIDE}, the only side that the paper and its peers have; measure others by `fit` and `evaluate`, or name a preset by --also",
            settings.image.side_px
        ));
    }
    if TypicalScores::are_wanted(&settings.memory) {
        return refuse(
            "memory.shape_typical_power, memory.appearance_typical_power and memory.residual_power: expected 0, since the paper's tables know no typical scores; name a preset that has them by --also".into(),
        );
    }
    if settings.memory.appearance_metric != AppearanceMetric::Euclidean {
        return refuse(
            "memory.appearance_metric: expected \"euclidean\", the metric of the paper's tables; name a preset that has another by --also".into(),
        );
    }
    Ok(())
}

/// Some of the test scans, evenly spread over each kind of defect and the good ones: `count` of them, or all if there are
/// not more. Each kind gets its share of `count`, but at least one scan.
pub fn spread(tests: &[TestEntry], count: Option<usize>) -> Vec<&TestEntry> {
    let count = match count {
        Some(count) if count < tests.len() => count,
        _ => return tests.iter().collect(),
    };
    let mut chosen = Vec::new();
    let mut kinds: Vec<&str> = tests.iter().map(|test| test.defect.as_str()).collect();
    kinds.sort_unstable_by_key(|kind| (*kind != GOOD, *kind));
    kinds.dedup();
    for kind in kinds {
        let of_kind: Vec<&TestEntry> = tests.iter().filter(|test| test.defect == kind).collect();
        let share = (count as f64 * of_kind.len() as f64 / tests.len() as f64).round().max(1.0) as usize;
        chosen.extend((0..share).map(|i| of_kind[i * of_kind.len() / share]));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapeguard_core::settings::Preset;
    use shapeguard_data::{SampleEntry, ScanSource};

    fn tests(kinds: &[(&str, usize)]) -> Vec<TestEntry> {
        let entry = |kind: &str, i: usize| TestEntry {
            sample: SampleEntry { name: format!("{i:03}"), source: ScanSource::cloud_only("x.ply") },
            defect: kind.into(),
            truth: None,
        };
        kinds.iter().flat_map(|(kind, n)| (0..*n).map(move |i| entry(kind, i))).collect()
    }

    #[test]
    fn a_part_of_the_scans_has_every_kind_in_its_share() {
        let all = tests(&[("crack", 20), ("good", 30), ("hole", 10), ("rare", 1)]);
        let chosen = spread(&all, Some(12));
        let count = |kind: &str| chosen.iter().filter(|test| test.defect == kind).count();
        assert_eq!([count("good"), count("crack"), count("hole"), count("rare")], [6, 4, 2, 1]);
        let names: Vec<&str> =
            chosen.iter().filter(|test| test.defect == "crack").map(|test| test.sample.name.as_str()).collect();
        assert_eq!(names, ["000", "005", "010", "015"], "evenly spread");
        assert_eq!(spread(&all, None).len(), 61);
        assert_eq!(spread(&all, Some(100)).len(), 61);
    }

    #[test]
    fn settings_that_the_paper_does_not_have_are_refused() {
        let paper = Settings::preset(Preset::Paper);
        check_settings(&paper).unwrap();
        let error = check_settings(&Settings::preset(Preset::Default)).unwrap_err().to_string();
        assert!(error.contains("image.side_px") && error.contains("--also"), "{error}");
        let mut typical = paper.clone();
        typical.memory.residual_power = 0.5;
        assert!(check_settings(&typical).unwrap_err().to_string().contains("typical"));
        let mut absurd = paper;
        absurd.patches.overlap = 0;
        assert!(check_settings(&absurd).is_err());
    }
}
