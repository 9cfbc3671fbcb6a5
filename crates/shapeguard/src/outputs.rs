//! What an inspection leaves behind: a record for machines, and pictures at the scan's own resolution.
//!
//! The record is the contract of `shapeguard inspect`: one JSON object per scan, with the same keys whether the scan could
//! be judged or not. Pictures are written whole or not at all, each by itself.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shapeguard_core::calibration::ThresholdBasis;
use shapeguard_core::defects::{DefectRegion, ExpertShares};
use shapeguard_core::sample::Scan;
use shapeguard_data::{DataError, ScanSource, write_coloured_ply, write_rgb_png};

use crate::detector::{Detector, Inspection, Verdict};
use crate::model::Model;
use crate::pictures;
use crate::pipeline::{StageSeconds, map_at_scan_size};
use crate::routed::RoutedInspection;

/// Folders that tell what kind of file is in them, not what is wrong with the part.
const MODALITY_FOLDERS: [&str; 6] = ["xyz", "depth", "pcd", "ply", "npz", "clouds"];

/// The verdict on a scan, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordVerdict {
    /// The score is not above the threshold.
    Good,
    /// The score is above the threshold.
    Rejected,
    /// The scan cannot be read or judged, which is never the same as good.
    NotJudged,
}

impl fmt::Display for RecordVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::Rejected => "rejected",
            Self::NotJudged => "not-judged",
        })
    }
}

/// The record of one scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScanRecord {
    /// The scan's cloud, as it was found.
    pub scan: String,
    /// What part it shows; only of a model for several categories.
    #[serde(flatten)]
    pub category: Option<CategoryRecord>,
    /// The verdict.
    pub verdict: RecordVerdict,
    /// The fused score, which the verdict is made of; `None` if the scan was not judged, as are all options below, but for the
    /// threshold of a scan whose category is known.
    pub score: Option<f32>,
    /// The score above which a scan of its category is rejected.
    pub threshold: Option<f32>,
    /// Share of good parts that score at least as high.
    pub p_value: Option<f64>,
    /// The false-reject rate that the threshold was made for.
    pub false_reject_rate: f64,
    /// What it was made of.
    pub threshold_basis: Option<ThresholdBasis>,
    /// The scores of the experts, and of both.
    pub scores: Option<RecordScores>,
    /// Where the fused map is highest.
    pub peak: Option<Peak>,
    /// What part of the defects each expert accounts for; of rejected parts.
    pub shares: Option<ExpertShares>,
    /// The value of the fused map that a defect's pixels exceed; of rejected parts.
    pub region_level: Option<f32>,
    /// The defects of a rejected part, strongest first.
    pub regions: Vec<DefectRegion>,
    /// Number of patches that the part was cut into.
    pub patches: Option<usize>,
    /// What the user should know although the scan was judged.
    pub warnings: Vec<String>,
    /// Why the scan was not judged; only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The pictures, if there are any.
    pub files: Option<OutputFiles>,
    /// Wall-clock time of each stage.
    pub seconds: Option<RecordSeconds>,
}

/// What part a scan shows, for a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CategoryRecord {
    /// The category that was given or that it was routed to; `None` of an unknown part, and where no part was found.
    pub category: Option<String>,
    /// How sure that is, or how probable the nearest category is for an unknown part (docs/method.md, "Routing"); `None` if the
    /// scan was not routed.
    pub confidence: Option<f32>,
    /// The nearest category of a scan that was routed.
    pub nearest_category: Option<String>,
    /// How far that is, 1 being typical of its good scans.
    pub distance: Option<f32>,
}

impl CategoryRecord {
    /// Of what a model says; `None` for a model of a single kind of part.
    fn of(model: &Model, inspection: &RoutedInspection<'_>) -> Option<Self> {
        let Model::Routed(routed) = model else { return None };
        let name = |detector: &Detector| detector.provenance().name.clone();
        let route = inspection.route.as_ref();
        Some(Self {
            category: inspection.detector.map(name),
            confidence: route.map(|route| route.confidence),
            nearest_category: route.map(|route| name(&routed.detectors()[route.nearest])),
            distance: route.map(|route| route.distance),
        })
    }
}

/// The scores of a record.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RecordScores {
    /// The shape expert's.
    pub sdf: f32,
    /// The appearance expert's.
    pub rgb: f32,
    /// Both.
    pub fused: f32,
}

/// Wall-clock time of one scan, stage by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RecordSeconds {
    /// Reading the files.
    pub read: f64,
    /// From foreground to fusion.
    #[serde(flatten)]
    pub stages: StageSeconds,
    /// Drawing and writing the pictures.
    pub pictures: f64,
}

impl ScanRecord {
    /// The record of a scan that was read; the caller adds what it knows of files and time.
    pub fn of(name: String, scan: &Scan, inspection: &RoutedInspection<'_>, model: &Model) -> Self {
        let record =
            Self { category: CategoryRecord::of(model, inspection), ..Self::empty(name, inspection.detector, model) };
        match &inspection.outcome {
            Ok(judged) => record.judged(scan, judged).with_defects(scan, judged, inspection.detector),
            Err(reason) => Self { reason: Some(reason.to_string()), ..record },
        }
    }

    /// The record of a scan that cannot be read; `given` is the category that it should be compared with, if that was said.
    pub fn not_read(name: String, reason: String, given: Option<&Detector>, model: &Model) -> Self {
        let only = match model {
            Model::Single(detector) => Some(&**detector),
            Model::Routed(_) => given,
        };
        let category = matches!(model, Model::Routed(_)).then(|| CategoryRecord {
            category: given.map(|detector| detector.provenance().name.clone()),
            confidence: None,
            nearest_category: None,
            distance: None,
        });
        Self { reason: Some(reason), category, ..Self::empty(name, only, model) }
    }

    fn judged(self, scan: &Scan, inspection: &Inspection) -> Self {
        let scores = &inspection.scores;
        Self {
            verdict: match inspection.verdict {
                Verdict::Good => RecordVerdict::Good,
                Verdict::Rejected => RecordVerdict::Rejected,
            },
            score: Some(scores.fused),
            p_value: Some(inspection.p_value),
            scores: Some(RecordScores { sdf: scores.shape, rgb: scores.appearance, fused: scores.fused }),
            peak: Some(Peak::of(scan, inspection)),
            patches: Some(inspection.patches),
            warnings: inspection.warnings.iter().map(ToString::to_string).collect(),
            seconds: Some(RecordSeconds { stages: inspection.seconds, ..RecordSeconds::default() }),
            ..self
        }
    }

    fn with_defects(self, scan: &Scan, inspection: &Inspection, detector: Option<&Detector>) -> Self {
        match detector.and_then(|detector| detector.defects(scan, inspection)) {
            None => self,
            Some(defects) => {
                Self { shares: defects.shares, region_level: Some(defects.level), regions: defects.regions, ..self }
            }
        }
    }

    /// `detector` is that of the scan's category, if it is known.
    fn empty(scan: String, detector: Option<&Detector>, model: &Model) -> Self {
        let threshold = detector.map(Detector::threshold);
        Self {
            scan,
            category: None,
            verdict: RecordVerdict::NotJudged,
            score: None,
            threshold: threshold.map(|threshold| threshold.score),
            p_value: None,
            // All categories were fitted for one rate.
            false_reject_rate: model.detectors()[0].threshold().false_reject_rate,
            threshold_basis: threshold.map(|threshold| threshold.basis),
            scores: None,
            peak: None,
            shares: None,
            region_level: None,
            regions: Vec::new(),
            patches: None,
            warnings: Vec::new(),
            reason: None,
            files: None,
            seconds: None,
        }
    }
}

/// Where a scan's fused map is highest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Peak {
    /// Row of the scan, from 0.
    pub row: usize,
    /// Column of the scan, from 0.
    pub col: usize,
    /// The point measured there, metres; `None` where there is none.
    pub xyz_m: Option<[f32; 3]>,
    /// The map's value there.
    pub value: f32,
}

impl Peak {
    /// Finds the peak; the first in reading order among equals.
    pub fn of(scan: &Scan, inspection: &Inspection) -> Self {
        let map = map_at_scan_size(&inspection.maps.fused, inspection.sample.frame());
        let mut highest = 0;
        for (pixel, score) in map.as_slice().iter().enumerate() {
            if *score > map.as_slice()[highest] {
                highest = pixel;
            }
        }
        let (row, col) = (highest / map.size().cols, highest % map.size().cols);
        let cloud = scan.cloud();
        let xyz_m = cloud.valid()[(row, col)].then(|| cloud.points_m()[(row, col)]);
        Self { row, col, xyz_m, value: map[(row, col)] }
    }
}

/// The pictures of one scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputFiles {
    /// The fused map in colours.
    pub heat_map: PathBuf,
    /// The colour image with the fused map over it.
    pub overlay: PathBuf,
    /// The point cloud in the overlay's colours, with the score of each point.
    pub ply: Option<PathBuf>,
}

impl OutputFiles {
    /// The files of the scan `name` in `folder`: `NAME-heat.png`, `NAME-overlay.png` and, if wished, `NAME.ply`.
    pub fn named(folder: &Path, name: &str, with_ply: bool) -> Self {
        Self {
            heat_map: folder.join(format!("{name}-heat.png")),
            overlay: folder.join(format!("{name}-overlay.png")),
            ply: with_ply.then(|| folder.join(format!("{name}.ply"))),
        }
    }

    /// All paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.heat_map, &self.overlay].into_iter().chain(&self.ply).map(PathBuf::as_path)
    }

    /// Draws an inspection at the scan's own resolution. `reference` is the middle of the colour scale:
    /// [`Detector::good_peak`], so that pictures of one model can be compared.
    ///
    /// # Errors
    /// If a file exists and `overwrite` is off, or cannot be written; no file is ever left half written.
    ///
    /// # Panics
    /// If the inspection is of a scan of another size: a bug of the caller.
    pub fn write(
        &self,
        scan: &Scan,
        inspection: &Inspection,
        reference: f32,
        overwrite: bool,
    ) -> Result<(), DataError> {
        let map = map_at_scan_size(&inspection.maps.fused, inspection.sample.frame());
        let overlay = pictures::overlay(scan.rgb(), &map, reference);
        write_rgb_png(&self.heat_map, &pictures::heat_map(&map, reference), overwrite)?;
        write_rgb_png(&self.overlay, &overlay, overwrite)?;
        if let Some(path) = &self.ply {
            write_coloured_ply(path, scan.cloud(), &overlay, &map, overwrite)?;
        }
        Ok(())
    }
}

/// A name for each scan's files, no two alike: the cloud's file name without extension; if any scans share it, all have
/// the folder of the defect in front; those for which that is not enough have a number in front. Names that differ in
/// case alone count as alike, since some file systems think so.
pub fn unique_names(sources: &[ScanSource]) -> Vec<String> {
    let mut names: Vec<String> = sources.iter().map(|source| stem(&source.cloud)).collect();
    if !repeated(&names).is_empty() {
        for (name, source) in names.iter_mut().zip(sources) {
            if let Some(kind) = kind_folder(&source.cloud) {
                *name = format!("{kind}-{name}");
            }
        }
    }
    let again = repeated(&names);
    let mut taken: HashSet<String> =
        (0..names.len()).filter(|i| !again.contains(i)).map(|i| names[i].to_lowercase()).collect();
    for i in again {
        let mut numbered = (1..).map(|number| format!("{number}-{}", names[i]));
        if let Some(free) = numbered.find(|name| taken.insert(name.to_lowercase())) {
            names[i] = free;
        }
    }
    names
}

/// The positions of names that are not the only one of their kind, ascending.
fn repeated(names: &[String]) -> Vec<usize> {
    let (mut seen, mut several) = (HashSet::new(), HashSet::new());
    for name in names {
        if !seen.insert(name.to_lowercase()) {
            several.insert(name.to_lowercase());
        }
    }
    (0..names.len()).filter(|i| several.contains(&names[*i].to_lowercase())).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The folder that says what is wrong with a part: the cloud's, or the one above a folder like `xyz`.
fn kind_folder(cloud: &Path) -> Option<String> {
    let folder = cloud.parent()?;
    let name = folder.file_name()?.to_string_lossy();
    if MODALITY_FOLDERS.contains(&&*name) {
        return Some(folder.parent()?.file_name()?.to_string_lossy().into_owned());
    }
    Some(name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapeguard_core::fusion::{AnomalyMaps, Scores};
    use shapeguard_core::grid::{Grid, GridSize, ScoreMap};
    use shapeguard_core::resample::Sample;
    use shapeguard_core::sample::{Frame, OrganizedCloud};
    use shapeguard_core::seams::IMAGE_SIDE;
    use shapeguard_data::{ReadOptions, read_rgb, read_scan};

    const SIZE: GridSize = GridSize::new(60, 90);

    /// A tilted plane with a hole in the measurement, 60 x 90 pixels, on a square of 100.
    fn scan() -> Scan {
        let points = Grid::from_fn(SIZE, |row, col| {
            if row < 5 { [0.0; 3] } else { [col as f32 * 1e-3, row as f32 * 1e-3, 0.5 + col as f32 * 1e-4] }
        });
        let rgb = Grid::from_fn(SIZE, |row, col| [row as u8, col as u8, 100]);
        Scan::new(OrganizedCloud::decode(points, 1.0, Frame::Camera), rgb).unwrap()
    }

    /// An inspection of [`scan`] whose fused map rises towards a pixel of the scan.
    fn inspection(peak: (usize, usize)) -> Inspection {
        let (side, offset) = (100usize, (20usize, 5usize));
        let scale = IMAGE_SIDE as f32 / side as f32;
        let centre = [(peak.0 + offset.0) as f32, (peak.1 + offset.1) as f32].map(|p| (p + 0.5) * scale - 0.5);
        let size = GridSize::new(IMAGE_SIDE, IMAGE_SIDE);
        let fused = ScoreMap::from_fn(size, |row, col| {
            4.0 / (1.0 + 0.01 * ((row as f32 - centre[0]).powi(2) + (col as f32 - centre[1]).powi(2)))
        });
        let none = ScoreMap::filled(size, 0.0);
        let cloud = OrganizedCloud::from_parts(Grid::filled(size, [0.0; 3]), Grid::filled(size, false));
        Inspection {
            verdict: Verdict::Rejected,
            scores: Scores { shape: 1.0, appearance: 2.0, fused: 3.0 },
            p_value: 0.05,
            maps: AnomalyMaps { shape: none.clone(), appearance: none, fused },
            sample: Sample { cloud, rgb: Grid::filled(size, [0.0; 3]), square_side: side, source_size: SIZE, offset },
            patches: 7,
            dictionary_size: 11,
            warnings: Vec::new(),
            seconds: StageSeconds::default(),
        }
    }

    #[test]
    fn the_peak_is_in_the_scans_own_pixels_and_metres() {
        let scan = scan();
        let peak = Peak::of(&scan, &inspection((30, 70)));
        assert_eq!((peak.row, peak.col), (30, 70));
        assert_eq!(peak.xyz_m, Some(scan.cloud().points_m()[(30, 70)]));
        // The peak lies between pixels of the map, whose hill is wide.
        assert!((peak.value - 4.0).abs() < 0.1, "{}", peak.value);
        assert_eq!(Peak::of(&scan, &inspection((2, 40))).xyz_m, None, "nothing is measured there");
    }

    #[test]
    fn pictures_have_the_scans_size_and_the_cloud_its_points() {
        let folder = tempfile::tempdir().unwrap();
        let (scan, inspection) = (scan(), inspection((30, 70)));
        let files = OutputFiles::named(&folder.path().join("new"), "part", true);
        files.write(&scan, &inspection, 1.0, false).unwrap();
        let names: Vec<_> = files.paths().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["part-heat.png", "part-overlay.png", "part.ply"]);

        let heat = read_rgb(&files.heat_map, SIZE.area()).unwrap();
        let overlay = read_rgb(&files.overlay, SIZE.area()).unwrap();
        assert_eq!((heat.size(), overlay.size()), (SIZE, SIZE));
        let brightness = |pixel: [u8; 3]| pixel.iter().map(|c| u32::from(*c)).sum::<u32>();
        assert!(brightness(heat[(30, 70)]) > 500 && brightness(heat[(59, 0)]) < 100);
        assert_eq!(overlay[(59, 0)], scan.rgb()[(59, 0)], "far from the peak the part is seen as it is");
        assert_ne!(overlay[(30, 70)], scan.rgb()[(30, 70)]);

        let grid = GridSize::new(1, scan.cloud().valid().count());
        let options = ReadOptions { grid: Some(grid), ..ReadOptions::default() };
        let cloud = read_scan(&ScanSource::cloud_only(files.ply.clone().unwrap()), &options).unwrap();
        assert_eq!(cloud.cloud().valid().count(), grid.cols);
        assert_eq!(cloud.rgb()[(0, (30 - 5) * SIZE.cols + 70)], overlay[(30, 70)]);
    }

    #[test]
    fn nothing_is_overwritten_without_consent() {
        let folder = tempfile::tempdir().unwrap();
        let (scan, inspection) = (scan(), inspection((30, 70)));
        let files = OutputFiles::named(folder.path(), "part", false);
        std::fs::write(&files.overlay, b"mine").unwrap();
        let error = files.write(&scan, &inspection, 1.0, false).unwrap_err();
        assert!(error.to_string().contains("part-overlay.png"), "{error}");
        assert_eq!(std::fs::read(&files.overlay).unwrap(), b"mine");
        files.write(&scan, &inspection, 1.0, true).unwrap();
        assert_ne!(std::fs::read(&files.overlay).unwrap(), b"mine");
    }

    #[test]
    fn names_are_unique_and_as_short_as_that_allows() {
        let names = |clouds: &[&str]| {
            let sources: Vec<_> = clouds.iter().map(ScanSource::cloud_only).collect();
            unique_names(&sources)
        };
        assert_eq!(names(&["a/xyz/000.tiff", "b/001.pcd"]), ["000", "001"]);
        assert_eq!(
            names(&["test/crack/xyz/000.tiff", "test/hole/xyz/000.tiff", "test/hole/xyz/001.tiff"]),
            ["crack-000", "hole-000", "hole-001"]
        );
        assert_eq!(names(&["crack/000.pcd", "hole/000.ply"]), ["crack-000", "hole-000"]);
        assert_eq!(names(&["a/good/xyz/000.tiff", "b/good/xyz/000.tiff"]), ["1-good-000", "2-good-000"]);
        assert_eq!(names(&["000.pcd", "000.pcd"]), ["1-000", "2-000"]);
        assert_eq!(names(&["x/Part.pcd", "x/part.pcd"]), ["1-x-Part", "2-x-part"]);
        // A name that looks like one with a number in front is not taken away from its scan.
        assert_eq!(names(&["1-000.pcd", "000.pcd", "000.pcd"]), ["1-000", "2-000", "3-000"]);
    }
}
