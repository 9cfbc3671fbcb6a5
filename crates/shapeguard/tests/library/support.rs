//! Small scans, and experts whose answers can be worked out by hand.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use shapeguard::experts::{ExpertIdentity, Experts};
use shapeguard::{Detector, FitError, FitInputs, Inspection, LoadedScan};
use shapeguard_core::grid::{Grid, GridSize, Mask};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::memory::ExactSearch;
use shapeguard_core::sample::{OrganizedCloud, Scan};
use shapeguard_core::seams::{AppearanceExpert, CELL_COUNT, CELL_GRID_SIDE, IMAGE_SIDE, Progress, ShapeExpert, Silent};
use shapeguard_core::settings::{Preset, Settings};

/// Side of the scans: that of the experts' image, so that scan and maps share their pixels.
pub const SIDE: usize = IMAGE_SIDE;
/// Rows and columns of the part.
pub const PART: Range<usize> = 80..144;
/// Distance between neighbouring pixels, metres.
const PITCH_M: f32 = 0.001;
/// Distance of the table, metres.
const TABLE_M: f32 = 0.5;
/// Height of the part's left edge, metres.
const HEIGHT_M: f32 = 0.012;

/// A part on a table, seen straight from above.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The part rises to the right by this.
    pub slope: f32,
    /// Colour of the part.
    pub colour: [u8; 3],
    /// Height of the part's ripple, metres, and its phase.
    pub ripple_m: f32,
    pub phase: f32,
    /// A bump of this height, metres.
    pub bump_m: f32,
    /// Colour of a stain.
    pub stain: Option<[u8; 3]>,
    /// Rows of the part.
    pub rows: Range<usize>,
    /// Columns of the part.
    pub cols: Range<usize>,
    /// How far the table is from being flat, metres.
    pub table_relief_m: f32,
}

impl Scene {
    /// A flat part with a fine ripple; `phase` tells one good part from the other.
    pub fn rippled(phase: f32) -> Self {
        Self {
            slope: 0.0,
            colour: [150, 110, 70],
            ripple_m: 0.0002,
            phase,
            bump_m: 0.0,
            stain: None,
            rows: PART,
            cols: PART,
            table_relief_m: 0.0,
        }
    }

    /// A part that carries a number which [`coded_experts`] read: from its slope and from its red. `amplitude` is the
    /// length of its colour features.
    pub fn coded(code: u8, amplitude: u8) -> Self {
        Self {
            slope: f32::from(code) / SLOPE_CODES,
            colour: [RED_STEP * (code + 1), BLUE_STEP, BLUE_STEP * amplitude],
            ripple_m: 0.0,
            ..Self::rippled(0.0)
        }
    }

    /// The table without a part.
    pub fn bare_table() -> Self {
        Self { rows: 0..0, cols: 0..0, ..Self::rippled(0.0) }
    }

    /// Where bump and stain are.
    pub fn is_defective(row: usize, col: usize) -> bool {
        let square = |x: usize, centre: f32| (x as f32 - centre).powi(2);
        square(row, 100.0) + square(col, 100.0) < 6.0f32.powi(2)
    }

    fn is_part(&self, row: usize, col: usize) -> bool {
        self.rows.contains(&row) && self.cols.contains(&col)
    }

    fn height_m(&self, row: usize, col: usize) -> f32 {
        if !self.is_part(row, col) {
            return self.table_relief_m * ((row * 7 + col * 13) % 11) as f32 / 10.0;
        }
        let from_left_m = (col - self.cols.start) as f32 * PITCH_M;
        let ripple = self.ripple_m * ((row as f32 * 0.9 + self.phase).sin() + (col as f32 * 0.7 + self.phase).cos());
        let bump = if Self::is_defective(row, col) { self.bump_m } else { 0.0 };
        HEIGHT_M + self.slope * from_left_m + ripple + bump
    }

    pub fn scan(&self) -> LoadedScan {
        let size = GridSize::new(SIDE, SIDE);
        let points_m = Grid::from_fn(size, |row, col| {
            [col as f32 * PITCH_M, row as f32 * PITCH_M, TABLE_M - self.height_m(row, col)]
        });
        let rgb = Grid::from_fn(size, |row, col| match self.stain {
            Some(stain) if self.is_part(row, col) && Self::is_defective(row, col) => stain,
            _ if self.is_part(row, col) => self.colour,
            _ => [60; 3],
        });
        let cloud = OrganizedCloud::from_parts(points_m, Mask::filled(size, true));
        LoadedScan { scan: Scan::new(cloud, rgb).unwrap(), mask: None }
    }
}

/// Settings for these scenes: small patches, and scans that are not padded.
pub fn settings() -> Settings {
    // The paper's scoring, whose figures can be worked out by hand.
    let default = Settings::preset(Preset::Default);
    let paper = Settings::preset(Preset::Paper);
    let mut settings = Settings { foreground: default.foreground, experts: default.experts, ..paper };
    settings.preset = "test".into();
    settings.foreground.pad_multiple_px = SIDE;
    settings.patches.points_per_patch = 100;
    settings.patches.overlap = 2;
    settings.threshold.false_reject_rate = 0.2;
    settings
}

pub fn fit(name: &str, train: &[Scene], validation: &[Scene], settings: Settings, experts: Experts) -> Detector {
    try_fit(name, train, validation, settings, experts).unwrap()
}

pub fn try_fit(
    name: &str,
    train: &[Scene],
    validation: &[Scene],
    settings: Settings,
    experts: Experts,
) -> Result<Detector, FitError> {
    let inputs = FitInputs { name, train, validation, skip_unusable: false };
    Detector::fit(inputs, |scene| Ok(scene.scan()), |_| "a scene".into(), settings, experts, &Silent)
}

/// Everything of an inspection but its times, in bits.
#[derive(Debug, PartialEq)]
pub struct Bits {
    verdict: shapeguard::Verdict,
    scores: [u32; 3],
    p_value: u64,
    maps: [Vec<u32>; 3],
    patches: usize,
    dictionary_size: usize,
}

pub fn bits(inspection: &Inspection) -> Bits {
    let (scores, maps) = (inspection.scores, &inspection.maps);
    Bits {
        verdict: inspection.verdict,
        scores: [scores.shape, scores.appearance, scores.fused].map(f32::to_bits),
        p_value: inspection.p_value.to_bits(),
        maps: [&maps.shape, &maps.appearance, &maps.fused]
            .map(|map| map.as_slice().iter().map(|value| value.to_bits()).collect()),
        patches: inspection.patches,
        dictionary_size: inspection.dictionary_size,
    }
}

/// A small shape expert from a file, and the built-in appearance expert.
pub fn real_experts() -> (Settings, Experts) {
    let mut settings = settings();
    settings.experts.shape = tiny_shape_expert().display().to_string();
    let experts = Experts::from_settings(&settings.experts).unwrap();
    (settings, experts)
}

/// The shape expert of the experts' goldens.
pub fn tiny_shape_expert() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shapeguard-experts/tests/goldens/shape_tiny.safetensors")
}

/// Runs with a number of threads.
pub fn with_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

fn experts(shape: impl ShapeExpert + 'static, appearance: impl AppearanceExpert + 'static) -> Experts {
    let identity = |name: &str| ExpertIdentity { name: name.into(), sha256: "0".repeat(64), built_in: true };
    Experts {
        shape: Arc::new(shape),
        appearance: Arc::new(appearance),
        search: Arc::new(ExactSearch),
        shape_identity: identity("fake shape"),
        appearance_identity: identity("fake appearance"),
        shape_file: None,
        appearance_file: None,
    }
}

/// Experts that read the number of a [`Scene::coded`] part. The features of part `i` are the `i`-th unit vector, of
/// colour times the amplitude; the signed distance is 1 less the length of the feature. So a part whose number the
/// memory knows scores exactly 0, any other exactly 1 in shape, its amplitude in colour, and the product of both.
pub fn coded_experts() -> Experts {
    experts(CodedShape, CodedColour)
}

/// Numbers per unit of slope.
const SLOPE_CODES: f32 = 40.0;
/// Red per number.
const RED_STEP: u8 = 8;
/// Blue per unit of amplitude.
const BLUE_STEP: u8 = 40;
/// Numbers that a feature has room for.
const CODES: usize = 32;

struct CodedShape;

impl ShapeExpert for CodedShape {
    fn feature_dim(&self) -> usize {
        CODES
    }

    fn encode(&self, points: &[[f32; 3]], patch_size: usize) -> Matrix {
        let mut features = Matrix::zeros(points.len() / patch_size, CODES);
        for (row, patch) in points.chunks_exact(patch_size).enumerate() {
            // The slope by least squares; the points of a patch have mean 0.
            let sum = |of: fn(&[f32; 3]) -> f32| patch.iter().map(of).sum::<f32>();
            let slope = sum(|p| p[0] * p[2]) / sum(|p| p[0] * p[0]);
            features.row_mut(row)[(slope.abs() * SLOPE_CODES).round() as usize] = 1.0;
        }
        features
    }

    fn signed_distances(&self, features: &Matrix, queries: &[[f32; 3]], patch_size: usize) -> Vec<f32> {
        (0..queries.len()).map(|query| 1.0 - features.row(query / patch_size).iter().sum::<f32>()).collect()
    }
}

struct CodedColour;

impl AppearanceExpert for CodedColour {
    fn feature_dim(&self) -> usize {
        CODES
    }

    fn describe(&self, rgb: &Grid<[f32; 3]>) -> Matrix {
        let [red, _, blue] = rgb[(IMAGE_SIDE / 2, IMAGE_SIDE / 2)].map(|channel| channel * 255.0);
        let code = (red / f32::from(RED_STEP)).round() as usize - 1;
        let mut features = Matrix::zeros(CELL_COUNT, CODES);
        for cell in 0..CELL_COUNT {
            features.row_mut(cell)[code] = (blue / f32::from(BLUE_STEP)).round();
        }
        features
    }
}

/// Experts that see what a [`Scene::rippled`] part shows: how far it sticks out of the plane, and its colours. A
/// value is told by two neighbouring entries of a feature, so that what the memory has not seen cannot be rebuilt.
pub fn seeing_experts() -> Experts {
    experts(Relief, Colours)
}

/// Writes a value in `0.0..=1.0` into two neighbouring entries.
fn hat(value: f32, entries: &mut [f32]) {
    let position = value.clamp(0.0, 1.0) * (entries.len() - 1) as f32;
    let low = (position as usize).min(entries.len() - 2);
    entries[low] += low as f32 + 1.0 - position;
    entries[low + 1] += position - low as f32;
}

struct Relief;

/// Entries of a feature of [`Relief`]; in a patch's units, whose largest extent is 1.
const RELIEF_ENTRIES: usize = 12;

impl ShapeExpert for Relief {
    fn feature_dim(&self) -> usize {
        RELIEF_ENTRIES
    }

    fn encode(&self, points: &[[f32; 3]], patch_size: usize) -> Matrix {
        let mut features = Matrix::zeros(points.len() / patch_size, RELIEF_ENTRIES);
        for (row, patch) in points.chunks_exact(patch_size).enumerate() {
            hat(patch.iter().map(|p| p[2].abs()).fold(0.0, f32::max), features.row_mut(row));
        }
        features
    }

    fn signed_distances(&self, _: &Matrix, queries: &[[f32; 3]], _: usize) -> Vec<f32> {
        queries.iter().map(|query| query[2]).collect()
    }
}

struct Colours;

/// Entries of a channel in a feature of [`Colours`].
const CHANNEL_ENTRIES: usize = 9;

impl AppearanceExpert for Colours {
    fn feature_dim(&self) -> usize {
        3 * CHANNEL_ENTRIES
    }

    fn describe(&self, rgb: &Grid<[f32; 3]>) -> Matrix {
        const CELL_PX: usize = IMAGE_SIDE / CELL_GRID_SIDE;
        let mut features = Matrix::zeros(CELL_COUNT, self.feature_dim());
        for cell in 0..CELL_COUNT {
            let (top, left) = (cell / CELL_GRID_SIDE * CELL_PX, cell % CELL_GRID_SIDE * CELL_PX);
            for (channel, entries) in features.row_mut(cell).chunks_exact_mut(CHANNEL_ENTRIES).enumerate() {
                let sum: f32 =
                    (0..CELL_PX * CELL_PX).map(|i| rgb[(top + i / CELL_PX, left + i % CELL_PX)][channel]).sum();
                hat(sum / (CELL_PX * CELL_PX) as f32, entries);
            }
        }
        features
    }
}

/// Notes what is told of the progress: each stage with its announced and its counted steps.
#[derive(Debug, Default)]
pub struct Notes(pub Mutex<Vec<(String, usize, usize)>>);

impl Progress for Notes {
    fn begin(&self, stage: &str, total: usize) {
        self.0.lock().unwrap().push((stage.into(), total, 0));
    }

    fn step(&self) {
        if let Some((_, _, steps)) = self.0.lock().unwrap().last_mut() {
            *steps += 1;
        }
    }

    fn end(&self) {}
}

/// A detector that knows the coded parts 0 to 3, with the threshold 0 from four validation scans.
pub fn coded_detector() -> &'static Detector {
    static DETECTOR: OnceLock<Detector> = OnceLock::new();
    DETECTOR.get_or_init(|| {
        let scenes: Vec<Scene> = (0..4).map(|code| Scene::coded(code, 1)).collect();
        fit("coded", &scenes, &scenes, settings(), coded_experts())
    })
}
