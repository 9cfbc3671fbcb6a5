//! What the station says of one inspection: the JSON that is stored, answered and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shapeguard::outputs::{CategoryRecord, RecordVerdict, ScanRecord};
use shapeguard_core::calibration::ThresholdBasis;
use shapeguard_core::defects::{DefectRegion, ExpertShares};
use shapeguard_core::grid::GridSize;
use shapeguard_core::resample::MapFrame;
use shapeguard_core::sample::Frame;
use shapeguard_data::{ReadOptions, Unit};
use utoipa::ToSchema;

use crate::store::Summary;
use crate::time::to_rfc3339;

/// Everything that is stored of one inspection but its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// Its name, a UUID that sorts by time.
    pub id: String,
    /// When the scan came, RFC 3339 in UTC.
    pub received_at: String,
    /// The model that it was compared with.
    pub model: String,
    /// That model's file.
    pub model_sha256: String,
    /// The category that it was compared with; `null` of an unknown part, and where no part was found.
    pub category: Option<String>,
    /// How the scan was routed; only of models for several categories.
    pub routing: Option<Routing>,
    /// The part's serial number.
    pub serial: Option<String>,
    /// What else was said of the part.
    pub meta: BTreeMap<String, String>,
    /// The verdict.
    #[schema(value_type = Verdict)]
    pub verdict: RecordVerdict,
    /// The fused score; `null` if the scan was not judged, as are the options below.
    pub score: Option<f32>,
    /// The score above which a part is rejected; `null` if the category is not known.
    pub threshold: Option<f32>,
    /// Share of good parts that score at least as high.
    pub p_value: Option<f64>,
    /// The false-reject rate that the threshold was made for.
    pub false_reject_rate: f64,
    /// What the threshold was made of.
    #[schema(value_type = Option<Basis>)]
    pub threshold_basis: Option<ThresholdBasis>,
    /// Why the scan was not judged.
    pub reason: Option<String>,
    /// What the user should know although it was judged.
    pub warnings: Vec<String>,
    /// The scores of both experts.
    pub scores: Option<ExpertScores>,
    /// What part of the defects each expert accounts for; of rejected parts.
    pub shares: Option<Shares>,
    /// Where the fused map is highest.
    pub peak: Option<PeakPoint>,
    /// The value of the fused map that a region's pixels exceed; of rejected parts.
    pub region_level: Option<f32>,
    /// The defect regions of a rejected part, strongest first.
    pub regions: Vec<Region>,
    /// Rows and columns of the scan; `null` if it could not be read.
    pub scan_size: Option<[usize; 2]>,
    /// Where the maps lie on the scan.
    pub map: Option<MapPlace>,
    /// How the files were read.
    pub read_as: ReadAs,
    /// Number of patches.
    pub patches: Option<usize>,
    /// Wall-clock seconds of each stage.
    pub seconds: Option<BTreeMap<String, f64>>,
}

/// What was said of the scan's files that they don't say themselves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReadAs {
    /// Unit of the coordinates.
    pub unit: UnitName,
    /// Whether they are in the camera's frame.
    pub is_camera_frame: bool,
}

/// A unit of coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnitName {
    /// Metres.
    M,
    /// Millimetres.
    Mm,
    /// Micrometres.
    Um,
}

impl ReadAs {
    /// Of the options that a scan is read with.
    pub fn of(options: &ReadOptions) -> Self {
        let unit = match options.unit {
            Unit::Metre => UnitName::M,
            Unit::Millimetre => UnitName::Mm,
            Unit::Micrometre => UnitName::Um,
        };
        Self { unit, is_camera_frame: options.frame == Frame::Camera }
    }

    /// The options to read it with again.
    pub fn options(self, max_pixels: usize) -> ReadOptions {
        let unit = match self.unit {
            UnitName::M => Unit::Metre,
            UnitName::Mm => Unit::Millimetre,
            UnitName::Um => Unit::Micrometre,
        };
        let frame = if self.is_camera_frame { Frame::Camera } else { Frame::Other };
        ReadOptions { unit, frame, max_pixels, ..ReadOptions::default() }
    }
}

/// A verdict, for the description of the interface.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The score is not above the threshold.
    Good,
    /// The score is above the threshold.
    Rejected,
    /// The scan cannot be read or judged, which is never the same as good.
    NotJudged,
}

/// What a threshold was made of, for the description of the interface.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Good scans that were kept aside: the rate is guaranteed.
    Validation,
    /// Good scans, each scored without its own features: the rate is approximate.
    LeaveOneOut,
}

/// How a scan was routed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Routing {
    /// How sure the category is.
    pub confidence: Option<f32>,
    /// The nearest category.
    pub nearest_category: Option<String>,
    /// How far that is, 1 being typical of its good scans.
    pub distance: Option<f32>,
}

/// The scores of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExpertScores {
    /// The shape expert's.
    pub sdf: f32,
    /// The appearance expert's.
    pub rgb: f32,
    /// Both.
    pub fused: f32,
}

/// What part of a finding each expert accounts for; together 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Shares {
    /// The shape expert's.
    pub sdf: f32,
    /// The appearance expert's.
    pub rgb: f32,
}

impl From<ExpertShares> for Shares {
    fn from(shares: ExpertShares) -> Self {
        Self { sdf: shares.sdf, rgb: shares.rgb }
    }
}

/// Where the fused map is highest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeakPoint {
    /// Row of the scan, from 0.
    pub row: usize,
    /// Column of the scan, from 0.
    pub col: usize,
    /// The point measured there, metres.
    pub xyz_m: Option<[f32; 3]>,
    /// The map's value there.
    pub value: f32,
}

/// One defect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Region {
    /// Row of the middle, in the scan's pixels from 0.
    pub row: f32,
    /// Column of the middle.
    pub col: f32,
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Last row.
    pub bottom: usize,
    /// Last column.
    pub right: usize,
    /// Mean of the points measured in it, metres.
    pub xyz_m: Option<[f32; 3]>,
    /// Measured surface in it, square millimetres; `null` where nothing was measured.
    pub area_mm2: Option<f32>,
    /// Number of pixels of the scan.
    pub pixels: usize,
    /// Highest value of the fused map in it.
    pub peak: f32,
    /// What part of it each expert accounts for.
    pub shares: Shares,
}

impl From<DefectRegion> for Region {
    fn from(region: DefectRegion) -> Self {
        let DefectRegion { row, col, top, left, bottom, right, pixels, xyz_m, area_mm2, peak, shares } = region;
        Self { row, col, top, left, bottom, right, xyz_m, area_mm2, pixels, peak, shares: shares.into() }
    }
}

/// Where the maps lie on the scan, and what their values are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MapPlace {
    /// Pixels along each side of a map.
    pub side: usize,
    /// Side of the square that the scan was padded to, in the scan's pixels.
    pub square_side: usize,
    /// Row and column of the scan's first pixel on that square.
    pub offset: [usize; 2],
    /// The highest value that a good part's fused map reached.
    pub good_peak: f32,
}

impl Record {
    /// Puts together what the library and the request say.
    pub fn new(of: RecordParts<'_>) -> Self {
        let ScanRecord {
            category,
            verdict,
            score,
            threshold,
            p_value,
            false_reject_rate,
            threshold_basis,
            scores,
            peak,
            shares,
            region_level,
            regions,
            patches,
            warnings,
            reason,
            seconds,
            ..
        } = of.scan;
        let (category, routing) = match category {
            // A model of one category compares everything with that.
            None => (of.only_category.map(str::to_owned), None),
            Some(CategoryRecord { category, confidence, nearest_category, distance }) => {
                (category, nearest_category.is_some().then_some(Routing { confidence, nearest_category, distance }))
            }
        };
        Self {
            id: of.id,
            received_at: to_rfc3339(of.received_ms),
            model: of.model.to_owned(),
            model_sha256: of.model_sha256.to_owned(),
            category,
            routing,
            serial: of.serial,
            meta: of.meta,
            verdict,
            score,
            threshold,
            p_value,
            false_reject_rate,
            threshold_basis,
            reason,
            warnings,
            scores: scores.map(|s| ExpertScores { sdf: s.sdf, rgb: s.rgb, fused: s.fused }),
            shares: shares.map(Shares::from),
            peak: peak.map(|p| PeakPoint { row: p.row, col: p.col, xyz_m: p.xyz_m, value: p.value }),
            region_level,
            regions: regions.into_iter().map(Region::from).collect(),
            scan_size: of.scan_size.map(|size| [size.rows, size.cols]),
            map: of.map,
            read_as: of.read_as,
            patches,
            seconds: seconds.and_then(|seconds| {
                // A flat object of numbers by its declaration.
                serde_json::to_value(seconds).and_then(serde_json::from_value).ok()
            }),
        }
    }

    /// What lists show of it.
    pub fn summary(&self, received_ms: i64) -> Summary {
        Summary {
            n: 0,
            id: self.id.clone(),
            received_ms,
            model: self.model.clone(),
            model_sha256: self.model_sha256.clone(),
            category: self.category.clone(),
            serial: self.serial.clone(),
            verdict: self.verdict,
            score: self.score.map(f64::from),
            threshold: self.threshold.map(f64::from),
            p_value: self.p_value,
            reason: self.reason.clone(),
            warnings: self.warnings.len(),
            regions: self.regions.len(),
            feedback: None,
        }
    }

    /// Where its maps lie; `None` if it has none.
    pub fn frame(&self) -> Option<MapFrame> {
        let (map, [rows, cols]) = self.map.zip(self.scan_size)?;
        Some(MapFrame {
            side: map.side,
            square_side: map.square_side,
            source_size: GridSize::new(rows, cols),
            offset: (map.offset[0], map.offset[1]),
        })
    }
}

/// What a record is made of.
#[derive(Debug)]
pub struct RecordParts<'a> {
    /// What the library says.
    pub scan: ScanRecord,
    /// The inspection's name.
    pub id: String,
    /// When the scan came.
    pub received_ms: i64,
    /// The model's name.
    pub model: &'a str,
    /// The model's file.
    pub model_sha256: &'a str,
    /// The category of a model that has but one.
    pub only_category: Option<&'a str>,
    /// The part's serial number.
    pub serial: Option<String>,
    /// What else was said of it.
    pub meta: BTreeMap<String, String>,
    /// Size of the scan, if it could be read.
    pub scan_size: Option<GridSize>,
    /// Where the maps lie, if there are any.
    pub map: Option<MapPlace>,
    /// How the files were read.
    pub read_as: ReadAs,
}
