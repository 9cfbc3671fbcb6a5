//! How much memory a model file takes to write and to read: one copy of what is in it, and for a header that lies about
//! its content next to nothing. A test of its own program, since it counts every allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shapeguard::experts::Experts;
use shapeguard::model_file::{load, load_header, save};
use shapeguard::{Detector, FitInputs, LoadedScan};
use shapeguard_core::grid::{Grid, GridSize, Mask};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::sample::{OrganizedCloud, Scan};
use shapeguard_core::seams::{AppearanceExpert, CELL_COUNT, ShapeExpert, Silent};
use shapeguard_core::settings::{ForegroundMethod, Preset, Settings};

/// Bytes in use, and the most that there were.
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is passed on to the system's allocator; only numbers are kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a computation gives, and the most bytes that it added to those in use.
fn peak_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = IN_USE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = run();
    (result, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

/// Features of any length, quickly.
struct Quick(usize);

impl ShapeExpert for Quick {
    fn feature_dim(&self) -> usize {
        self.0
    }

    fn encode(&self, points: &[[f32; 3]], patch_size: usize) -> Matrix {
        let rows = points.len() / patch_size;
        Matrix::from_vec(rows, self.0, (0..rows * self.0).map(|i| (i % 97) as f32).collect())
    }

    fn signed_distances(&self, _: &Matrix, queries: &[[f32; 3]], _: usize) -> Vec<f32> {
        queries.iter().map(|query| query[0]).collect()
    }
}

impl AppearanceExpert for Quick {
    fn feature_dim(&self) -> usize {
        self.0
    }

    fn describe(&self, _: &Grid<[f32; 3]>) -> Matrix {
        Matrix::from_vec(CELL_COUNT, self.0, (0..CELL_COUNT * self.0).map(|i| (i % 89) as f32).collect())
    }
}

/// A detector with an SDF bank of some MB, that says it has the built-in experts.
fn large_detector() -> Detector {
    let mut settings = Settings::preset(Preset::Paper);
    settings.foreground.method = ForegroundMethod::None;
    settings.foreground.pad_multiple_px = 224;
    settings.patches.points_per_patch = 20;
    settings.patches.overlap = 20;
    settings.memory.shape_neighbours = 2;
    settings.threshold.false_reject_rate = 0.5;
    let mut experts = Experts::from_settings(&settings.experts).unwrap();
    experts.shape = Arc::new(Quick(experts.shape.feature_dim()));
    experts.appearance = Arc::new(Quick(experts.appearance.feature_dim()));
    let inputs = FitInputs { name: "large", train: &[1.0f32, 2.0, 3.0, 4.0], validation: &[], skip_unusable: false };
    let load = |slope: &f32| {
        let size = GridSize::new(224, 224);
        let valid = Mask::from_fn(size, |row, col| row < 70 && col < 70);
        let at = |row: usize, col: usize| [col as f32 * 1e-3, row as f32 * 1e-3, 0.5 + slope * col as f32 * 1e-5];
        let cloud = OrganizedCloud::from_parts(Grid::from_fn(size, at), valid);
        Ok(LoadedScan { scan: Scan::new(cloud, Grid::filled(size, [90; 3])).unwrap(), mask: None })
    };
    Detector::fit(inputs, load, |_| String::new(), settings, experts, &Silent).unwrap()
}

#[test]
fn a_model_takes_one_copy_of_itself() {
    const KIB: usize = 1 << 10;
    let detector = large_detector();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.shapeguard");
    // Once before counting, so that nothing is made for the first time below.
    save(&detector, &path, false).unwrap();
    drop(load(&path).unwrap());
    let size = std::fs::metadata(&path).unwrap().len() as usize;
    assert!(size > 4 << 20, "the model has {size} bytes, too few to tell copies of it from the rest");

    let (saved, taken) = peak_of(|| save(&detector, &path, true));
    saved.unwrap();
    assert!(taken < 1024 * KIB, "writing {size} bytes took {taken}");

    let (experts, of_experts) = peak_of(|| Experts::from_settings(&detector.settings().experts));
    drop(experts);
    let (loaded, taken) = peak_of(|| load(&path));
    assert_eq!(loaded.unwrap().memory(), detector.memory());
    assert!(taken < size + size / 10 + of_experts, "reading {size} bytes took {taken}, of that experts {of_experts}");

    let (header, taken) = peak_of(|| load_header(&path));
    assert_eq!(header.unwrap().provenance.name, "large");
    assert!(taken < 64 * KIB, "reading the header alone took {taken}");

    // A file of 3 GiB, all of it a hole but the header.
    let bytes = std::fs::read(&path).unwrap();
    let start = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let mut table: serde_json::Value = serde_json::from_slice(&bytes[8..start]).unwrap();
    drop(bytes);
    table.as_object_mut().unwrap().retain(|name, _| name == "__metadata__");
    table["rgb_bank"] =
        serde_json::json!({ "dtype": "F32", "shape": [3 << 18, 1 << 10], "data_offsets": [0, 3u64 << 30] });
    let text = table.to_string();
    let huge = folder.path().join("huge.shapeguard");
    std::fs::write(&huge, [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()).unwrap();
    std::fs::File::options().append(true).open(&huge).unwrap().set_len(8 + text.len() as u64 + (3 << 30)).unwrap();
    let (header, taken) = peak_of(|| load_header(&huge));
    assert_eq!(header.unwrap().provenance.name, "large");
    assert!(taken < 64 * KIB, "the header of a file of 3 GiB took {taken}");
    let (refused, taken) = peak_of(|| load(&huge));
    assert!(refused.unwrap_err().to_string().contains("is missing"));
    assert!(taken < 64 * KIB, "refusing a file of 3 GiB took {taken}");

    // A header that claims to be long, and one that claims to have what the file has not.
    let claim = r#"{"rgb_bank":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#;
    for (length, text, says) in [(1 << 40, "{}", "claims 1099511627776"), (claim.len() as u64, claim, "truncated")] {
        std::fs::write(&huge, [&length.to_le_bytes(), text.as_bytes()].concat()).unwrap();
        let (refused, taken) = peak_of(|| load(&huge));
        assert!(refused.unwrap_err().to_string().contains(says));
        assert!(taken < 64 * KIB, "refusing a lie took {taken}");
    }
}
