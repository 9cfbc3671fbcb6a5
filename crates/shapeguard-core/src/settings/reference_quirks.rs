//! The reference's deviations from the paper, one setting each (docs/method.md, "Reference behaviour"). All are off in all
//! presets; the stages that know one say what it does where they do it.

use serde::{Deserialize, Serialize};

use super::Settings;

/// What the paper's authors' published implementation does and the paper does not say, one by one. These are there to measure what
/// they are worth, not to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceQuirks {
    /// DBSCAN's noise competes with the clusters for being the part.
    pub noise_competes: bool,
    /// The cloud takes the source pixel `floor(i S / side)`; ground truth goes on taking `floor((i + 0.5) S / side)`.
    pub cloud_at_pixel_corner: bool,
    /// Ground truth is what exceeds half of white, not every value above 0.
    pub truth_above_half: bool,
    /// A patch's cells are replaced by themselves shifted by two rows and by two columns, instead of dilated.
    pub cells_shifted: bool,
    /// For the alignment a training sample leaves out only the nearest feature of each of its own, not all of its own.
    pub nearest_left_out: bool,
    /// The alignment's statistics are taken over the pixels that are not zero after the blur, scored or not.
    pub aligned_over_nonzero: bool,
    /// Maps are blurred as images of 8 bits, by boxes.
    pub blur_in_8_bits: bool,
    /// In the minimum over the patches that share a pixel, a score of 0 means that there is none.
    pub zero_is_unset: bool,
}

impl ReferenceQuirks {
    /// All of them.
    pub const ALL: Self = Self {
        noise_competes: true,
        cloud_at_pixel_corner: true,
        truth_above_half: true,
        cells_shifted: true,
        nearest_left_out: true,
        aligned_over_nonzero: true,
        blur_in_8_bits: true,
        zero_is_unset: true,
    };

    /// Their names, as in a preset's group `reference_quirks`.
    pub const NAMES: [&'static str; 8] = [
        "noise_competes",
        "cloud_at_pixel_corner",
        "truth_above_half",
        "cells_shifted",
        "nearest_left_out",
        "aligned_over_nonzero",
        "blur_in_8_bits",
        "zero_is_unset",
    ];

    /// The one of this name alone; `None` if there is none.
    pub fn only(name: &str) -> Option<Self> {
        let mut quirks = Self::default();
        let quirk = match name {
            "noise_competes" => &mut quirks.noise_competes,
            "cloud_at_pixel_corner" => &mut quirks.cloud_at_pixel_corner,
            "truth_above_half" => &mut quirks.truth_above_half,
            "cells_shifted" => &mut quirks.cells_shifted,
            "nearest_left_out" => &mut quirks.nearest_left_out,
            "aligned_over_nonzero" => &mut quirks.aligned_over_nonzero,
            "blur_in_8_bits" => &mut quirks.blur_in_8_bits,
            "zero_is_unset" => &mut quirks.zero_is_unset,
            _ => return None,
        };
        *quirk = true;
        Some(quirks)
    }
}

impl Settings {
    /// The same settings with all of the reference's deviations: [`ReferenceQuirks::ALL`], and the two settings that are its
    /// behaviour too, colour without depth kept everywhere and no added centres. The settings' name tells.
    #[must_use]
    pub fn with_reference_quirks(mut self) -> Self {
        self.preset += " with reference quirks";
        self.reference_quirks = ReferenceQuirks::ALL;
        self.foreground.mask_colour_without_depth = false;
        self.patches.full_coverage = false;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Preset;

    #[test]
    fn presets_are_free_of_them_and_each_has_its_name() {
        for preset in [Preset::Paper, Preset::Default, Preset::Best] {
            assert_eq!(Settings::preset(preset).reference_quirks, ReferenceQuirks::default());
        }
        let on = |quirks: ReferenceQuirks| -> Vec<String> {
            let value = serde_json::to_value(quirks).unwrap();
            let all = value.as_object().unwrap();
            all.iter().filter(|(_, on)| **on == true).map(|(name, _)| name.clone()).collect()
        };
        let mut names = ReferenceQuirks::NAMES.map(str::to_owned);
        for name in &names {
            assert_eq!(on(ReferenceQuirks::only(name).unwrap()), std::slice::from_ref(name));
        }
        names.sort();
        assert_eq!(on(ReferenceQuirks::ALL), names);
        assert_eq!(ReferenceQuirks::only("unseeded"), None);
    }

    #[test]
    fn together_they_are_these_settings() {
        let paper = Settings::preset(Preset::Paper);
        let quirks = paper.clone().with_reference_quirks();
        assert_eq!(quirks.preset, "paper with reference quirks");
        assert_eq!(quirks.reference_quirks, ReferenceQuirks::ALL);
        assert!(!quirks.foreground.mask_colour_without_depth && !quirks.patches.full_coverage);
        let mut back = Settings { preset: paper.preset.clone(), reference_quirks: paper.reference_quirks, ..quirks };
        back.foreground.mask_colour_without_depth = true;
        back.patches.full_coverage = true;
        assert_eq!(back, paper);
    }
}
