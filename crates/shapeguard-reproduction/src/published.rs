//! What the paper's tables say, as published, and what in them does not add up.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use shapeguard_core::settings::Coding;

/// The published figures; a file of their own, so that they can be checked against the paper line by line.
const TEXT: &str = include_str!("published.json");

/// All published figures.
pub static PUBLISHED: LazyLock<Published> =
    LazyLock::new(|| serde_json::from_str(TEXT).expect("the embedded figures are valid; a test reads them"));

/// The paper's figures, on MVTec 3D-AD.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Published {
    /// Where they are from.
    pub source: String,
    /// Names of the categories, as the dataset's folders have them, in the order of all rows.
    pub category_order: Vec<String>,
    /// Table 1: I-AUROC.
    pub i_auroc: Vec<PublishedRow>,
    /// Table 2: AUPRO up to a false-positive rate of 0.3.
    pub aupro_03: Vec<PublishedRow>,
    /// Table 5: AUPRO 0.3 of the guided RGB expert alone.
    pub guided_rgb_aupro_03: PublishedRow,
    /// Table 3.
    pub cost: Vec<PublishedCost>,
    /// Section 4.5.
    pub experts: Vec<PublishedExpert>,
    /// Table 4.
    pub points_per_patch: Vec<PublishedK>,
    /// Full bank against shape guidance.
    pub guidance: Vec<PublishedMeans>,
    /// Table 6.
    pub coding: Vec<PublishedCoding>,
    /// Scans of the dataset.
    pub scans: ScanCounts,
}

/// A method's figures of all categories.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishedRow {
    /// The method.
    pub method: String,
    /// What it sees.
    pub modality: String,
    /// In the order of [`Published::category_order`].
    pub categories: Vec<f64>,
    /// The published mean.
    pub mean: f64,
}

/// A line of Table 3.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishedCost {
    /// The method.
    pub method: String,
    /// Seconds a sample.
    pub seconds: f64,
    /// Frames per second, as printed.
    pub frames_per_second: f64,
    /// Features that are searched.
    pub features: u64,
    /// Share of the RGB memory, percent, as printed.
    pub share_percent: f64,
}

/// An expert's size, section 4.5.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishedExpert {
    /// The expert.
    pub expert: String,
    /// Multiply-adds, 10^9.
    pub gmac: f64,
    /// Parameters, 10^6.
    pub parameters_millions: f64,
}

/// A line of Table 4.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishedK {
    /// Points of a patch.
    pub k: usize,
    /// I-AUROC.
    pub i_auroc: f64,
    /// AUPRO 0.3.
    pub aupro_03: f64,
    /// AUPRO 0.01.
    pub aupro_001: f64,
    /// Seconds a sample.
    pub seconds: f64,
}

/// Means of a method.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishedMeans {
    /// The method.
    pub method: String,
    /// I-AUROC.
    pub i_auroc: f64,
    /// P-AUROC.
    pub p_auroc: f64,
    /// AUPRO 0.3.
    pub aupro_03: f64,
    /// AUPRO 0.01.
    pub aupro_001: f64,
}

/// A line of Table 6.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishedCoding {
    /// How RGB features are rebuilt.
    pub rgb: Coding,
    /// How SDF features are rebuilt.
    pub sdf: Coding,
    /// Whether the paper's marks can be read; else which line is which is presumed.
    pub legible: bool,
    /// I-AUROC.
    pub i_auroc: f64,
    /// P-AUROC.
    pub p_auroc: f64,
    /// AUPRO 0.3.
    pub aupro_03: f64,
    /// AUPRO 0.01.
    pub aupro_001: f64,
}

/// How many scans a dataset has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCounts {
    /// Good scans to learn from.
    pub train: usize,
    /// Further good scans.
    pub validation: usize,
    /// Good test scans.
    pub test_good: usize,
    /// Defective test scans.
    pub test_defective: usize,
}

impl Published {
    /// A row's figure for a category by its folder's name.
    pub fn figure(&self, row: &PublishedRow, category: &str) -> Option<f64> {
        let index = self.category_order.iter().position(|name| name == category)?;
        row.categories.get(index).copied()
    }
}

/// What in the published figures does not add up.
pub const DOUBTS: [&str; 4] = [
    "1.29 GMAC is one patch's work; a scan of about 150 patches needs about 191.",
    "2.05 s a sample are 0.49 frames a second, not 0.69.",
    "26,452 of 208,230 features are 12.7 %, not 13.5 %. The 208,230 are all 784 cells of the mean of 265.6 training samples a category, background included.",
    "Table 1's SDF row averages 0.915, not 0.916.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_row_is_complete_and_only_one_mean_does_not_add_up() {
        let published = &*PUBLISHED;
        let rows = published.i_auroc.iter().chain(&published.aupro_03).chain([&published.guided_rgb_aupro_03]);
        let mut doubtful = Vec::new();
        for row in rows {
            assert_eq!(row.categories.len(), published.category_order.len(), "{}", row.method);
            let mean = row.categories.iter().sum::<f64>() / row.categories.len() as f64;
            // Each figure is rounded to 0.001, and so is the mean.
            if (mean - row.mean).abs() > 0.001 + 1e-9 {
                doubtful.push((row.method.as_str(), row.mean));
            }
        }
        assert_eq!(doubtful, [("Shape-Guided, SDF", 0.916)], "DOUBTS names it");
    }

    #[test]
    fn the_named_doubts_are_what_the_figures_say() {
        let shape_guided = &PUBLISHED.cost[2];
        assert_eq!((1.0 / shape_guided.seconds * 100.0).round(), 49.0);
        assert_eq!(shape_guided.frames_per_second, 0.69);
        assert_eq!((26_452.0 / 208_230.0 * 1000.0_f64).round(), 127.0);
        assert_eq!(PUBLISHED.cost[1].features as f64 / 784.0, 208_230.0 / 784.0);
        assert_eq!(PUBLISHED.experts[1].gmac, 1.29);
    }

    #[test]
    fn a_category_is_found_by_its_folder() {
        let row = PUBLISHED.i_auroc.iter().find(|row| row.method == "Shape-Guided").unwrap();
        assert_eq!(PUBLISHED.figure(row, "foam"), Some(0.857));
        assert_eq!(PUBLISHED.figure(row, "biscuit"), None);
    }
}
