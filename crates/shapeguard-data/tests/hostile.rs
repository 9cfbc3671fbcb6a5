//! No file, however damaged, makes the readers panic or take memory that it does not account for.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use shapeguard_core::grid::{GridSize, Mask, RgbImage};
use shapeguard_core::sample::Scan;
use shapeguard_data::{DataError, Intrinsics, ReadOptions, ScanSource, TruthRule, read_rgb, read_scan, read_truth};
use support::{SIZE, golden, goldens};

/// Bytes at the front whose bits are flipped: every header here is shorter, but for the PLY ones.
const FLIPPED_BYTES: usize = 200;
/// Lengths to which each file is cut.
const CUTS: usize = 250;

fn cloud_names() -> Vec<String> {
    let mut names: Vec<String> =
        ["tiff", "pcd", "ply", "npy", "npz"].iter().flat_map(|kind| goldens("", kind)).collect();
    names.push("depth.png".into());
    names
}

fn options() -> ReadOptions {
    ReadOptions {
        intrinsics: Some(Intrinsics::read(&golden("intrinsics.json")).unwrap()),
        grid: Some(SIZE),
        ..ReadOptions::default()
    }
}

/// The largest allocation that any file of this test may cause: all are small, or refused by their headers.
const MAX_ALLOCATION: usize = 128 << 20;

/// Allocates as the system does, and remembers the largest request.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every request is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

fn assert_no_large_allocation() {
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest <= MAX_ALLOCATION, "{largest} bytes were asked for at once");
}

/// What a reader made of a file.
#[derive(PartialEq)]
enum Content {
    Scan(Scan),
    Image(Option<RgbImage>, Option<Mask>),
}

/// Reads `bytes` as their readers would; errors must name the file.
fn read_as(path: &Path, bytes: &[u8], options: &ReadOptions, image: bool) -> Option<Content> {
    std::fs::write(path, bytes).unwrap();
    let named = |error: DataError| assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    if image {
        let rgb = read_rgb(path, options.max_pixels).map_err(named).ok();
        let truth = read_truth(path, SIZE, TruthRule::AboveZero).map_err(named).ok();
        return (rgb.is_some() || truth.is_some()).then_some(Content::Image(rgb, truth));
    }
    let source = ScanSource::with_rgb(path, golden("rgb.png"));
    read_scan(&source, options).map_err(named).ok().map(Content::Scan)
}

fn scratch(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(format!("damaged-{name}"))
}

/// All golden files, and whether they are read as images.
fn all_names() -> Vec<(String, bool)> {
    let clouds = cloud_names().into_iter().map(|name| (name, false));
    clouds.chain(goldens("", ".png").into_iter().map(|name| (name, true))).collect()
}

#[test]
fn files_cut_anywhere_are_errors_or_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let options = options();
    all_names().into_par_iter().for_each(|(name, image)| {
        let bytes = std::fs::read(golden(&name)).unwrap();
        let path = scratch(&folder, &format!("{image}-{name}"));
        let whole = read_as(&path, &bytes, &options, image);
        // A cut within the last number of a text is invisible; what is cut off elsewhere is missing or was padding.
        let text = ["ascii", "comment", "range_grid_ascii"].iter().any(|start| name.starts_with(start));
        for length in (0..bytes.len()).step_by(bytes.len().div_ceil(CUTS)) {
            let cut = read_as(&path, &bytes[..length], &options, image);
            let last_number = text && length + 4 > bytes.len();
            assert!(cut.is_none() || cut == whole || last_number, "{name} cut to {length} of {}", bytes.len());
        }
    });
    assert_no_large_allocation();
}

#[test]
fn cut_clouds_say_so() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["xyz_plain.tiff", "xyz_lzw.tiff", "xyz_f4.npy", "stored.npz", "binary.pcd", "little.ply", "ascii.ply"]
    {
        let bytes = std::fs::read(golden(name)).unwrap();
        let path = scratch(&folder, name);
        std::fs::write(&path, &bytes[..bytes.len() * 3 / 5]).unwrap();
        let error = read_scan(&ScanSource::with_rgb(&path, golden("rgb.png")), &options()).unwrap_err();
        assert!(matches!(error, DataError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("copy or export the file again"), "{error}");
    }
}

#[test]
fn flipped_bits_are_errors_or_scans() {
    let folder = tempfile::tempdir().unwrap();
    // A small limit: what a flipped bit makes of a size is refused, and what passes stays small.
    let options = ReadOptions { max_pixels: 100_000, ..options() };
    all_names().into_par_iter().for_each(|(name, image)| {
        let bytes = std::fs::read(golden(&name)).unwrap();
        let path = scratch(&folder, &format!("{image}-{name}"));
        for at in 0..bytes.len().min(FLIPPED_BYTES) {
            for bit in [0, 7] {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                read_as(&path, &flipped, &options, image);
            }
        }
    });
    assert_no_large_allocation();
}

#[test]
fn extreme_bytes_in_directories_are_errors_or_scans() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReadOptions { max_pixels: 100_000, ..options() };
    for name in ["xyz_strips.tiff", "xyz_tiled_deflate_predictor3.tiff", "several_tiles_planar.tiff", "deflated.npz"] {
        let bytes = std::fs::read(golden(name)).unwrap();
        let path = scratch(&folder, name);
        // Where a TIFF's directory and a ZIP's central directory may stand: the two ends.
        for at in (0..bytes.len().min(300)).chain(bytes.len().saturating_sub(300)..bytes.len()) {
            for value in [0x00, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                read_as(&path, &changed, &options, false);
            }
        }
    }
    assert_no_large_allocation();
}

#[test]
fn hundred_megapixel_headers_are_refused_before_anything_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = scratch(&folder, name);
        std::fs::write(&path, bytes).unwrap();
        ScanSource::with_rgb(path, golden("rgb.png"))
    };
    let replaced = |name: &str, from: &str, to: &str| {
        let bytes = std::fs::read(golden(name)).unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
    };
    let mut tiff = std::fs::read(golden("xyz_plain.tiff")).unwrap();
    for (tag, side) in [(256u16, 10_000u16), (257, 10_000), (278, 10_000)] {
        let at = tiff.windows(2).position(|window| window == tag.to_le_bytes()).unwrap();
        tiff[at + 8..at + 10].copy_from_slice(&side.to_le_bytes());
    }
    let mut png = std::fs::read(golden("depth.png")).unwrap();
    png[16..24].copy_from_slice(&[0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10]);
    // The header's checksum, so that only the size is wrong.
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let sources = [
        write("a.tiff", &tiff),
        write("b.png", &png),
        write("c.pcd", &replaced("binary.pcd", "WIDTH 7\nHEIGHT 5", "WIDTH 10000\nHEIGHT 10000").replace_points()),
        write(
            "d.ply",
            &replaced("little.ply", "num_cols 7\nobj_info num_rows 5", "num_cols 10000\nobj_info num_rows 10000"),
        ),
        write("e.npy", &replaced("xyz_f4.npy", "(5, 7, 3), }        ", "(10000, 10000, 3), }")),
    ];
    for source in sources {
        let error = read_scan(&source, &options()).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { rows: 10_000, cols: 10_000, .. }), "{error}");
        assert!(error.to_string().contains("raise the limit with --max-megapixels"), "{error}");
    }
    // Within the limit, but with nothing behind it.
    let lie = write("f.pcd", &replaced("binary.pcd", "WIDTH 7\nHEIGHT 5", "WIDTH 8000\nHEIGHT 8000").replace_points());
    assert!(matches!(read_scan(&lie, &options()).unwrap_err(), DataError::Damaged { .. }));
    let lie = write("g.npy", &replaced("xyz_f4.npy", "(5, 7, 3), }      ", "(8000, 8000, 3), }"));
    assert!(matches!(read_scan(&lie, &options()).unwrap_err(), DataError::Damaged { .. }));
    assert_no_large_allocation();
}

/// Drops the optional POINTS line of a PCD header.
trait ReplacePoints {
    fn replace_points(self) -> Vec<u8>;
}

impl ReplacePoints for Vec<u8> {
    fn replace_points(self) -> Vec<u8> {
        let line = b"POINTS 35\n";
        let at = self.windows(line.len()).position(|window| window == line).unwrap();
        [&self[..at], &self[at + line.len()..]].concat()
    }
}

/// PNG's checksum (CRC-32, ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[test]
fn an_archive_bomb_stops_at_the_pixel_limit() {
    use std::io::{Seek, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.npz");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    archive.start_file("xyz.npy", zip::write::SimpleFileOptions::default()).unwrap();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 7, 3), }\n";
    archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
    archive.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    archive.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0u8; 1 << 20];
    for _ in 0..64 {
        archive.write_all(&zeros).unwrap();
    }
    let mut file = archive.finish().unwrap();
    assert!(file.stream_position().unwrap() < 1 << 20, "64 MiB of zeros in less than one");
    // Only the 35 points of its shape are read: all of them absent.
    let error = read_scan(&ScanSource::with_rgb(&path, golden("rgb.png")), &options()).unwrap_err();
    assert!(error.to_string().contains("no valid point"), "{error}");
    let tight = ReadOptions { max_pixels: 30, ..options() };
    let error = read_scan(&ScanSource::with_rgb(&path, golden("rgb.png")), &tight).unwrap_err();
    assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
}

#[test]
fn deeply_nested_headers_do_not_exhaust_the_stack() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nested.npy");
    let header = format!("{{'descr': {}, 'shape': {}}}", "[(".repeat(1000), "(".repeat(1000));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    std::fs::write(&path, bytes).unwrap();
    assert!(read_scan(&ScanSource::cloud_only(&path), &options()).is_err());
    let json = folder.path().join("nested.json");
    std::fs::write(&json, "[".repeat(100_000)).unwrap();
    assert!(Intrinsics::read(&json).is_err());
}

#[test]
fn ply_elements_cannot_promise_more_than_the_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ply");
    let start = "ply\nformat binary_little_endian 1.0\n";
    for elements in [
        "element vertex 60000000\nproperty float x\nproperty float y\nproperty float z\n",
        "element huge 18446744073709551615\nproperty list uchar int i\nelement vertex 35\nproperty float x\n",
        "element empty 18446744073709551615\nelement vertex 35\nproperty float x\nproperty float y\nproperty float z\n",
        "element vertex 18446744073709551615\nproperty float x\nproperty float y\nproperty float z\n",
        "element vertex 35\nproperty float x\nproperty float y\nproperty float z\nelement range_grid 35\nproperty list double int i\n",
    ] {
        std::fs::write(&path, format!("{start}{elements}end_header\n\x01\x02")).unwrap();
        let options = ReadOptions { grid: Some(GridSize::new(5, 7)), ..ReadOptions::default() };
        let error = read_scan(&ScanSource::cloud_only(&path), &options).unwrap_err();
        assert!(matches!(error, DataError::Damaged { .. } | DataError::TooLarge { .. }), "{elements}: {error}");
    }
}
