//! Every format gives the same scan, bit by bit, and what cannot be read is refused with a remedy.

mod support;

use std::path::Path;

use shapeguard_core::grid::{Grid, GridSize};
use shapeguard_core::sample::{Frame, SampleError};
use shapeguard_core::settings::ReferenceQuirks;
use shapeguard_data::{
    DataError, Intrinsics, ReadOptions, ScanSource, TruthRule, Unit, parse_grid_size, read_rgb, read_scan, read_truth,
    scan_digest,
};
use support::{SIZE, golden, goldens, raw_xyz, rgb, scan};

fn with_rgb(cloud: &str) -> ScanSource {
    ScanSource::with_rgb(golden(cloud), golden("rgb.png"))
}

fn read(source: &ScanSource) -> Result<shapeguard_core::sample::Scan, DataError> {
    read_scan(source, &ReadOptions::default())
}

fn message(source: &ScanSource, options: &ReadOptions) -> String {
    read_scan(source, options).unwrap_err().to_string()
}

#[test]
fn every_tiff_variant_is_read_bit_exactly() {
    let names = goldens("xyz_", ".tiff");
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        assert_eq!(read(&with_rgb(&name)).unwrap_or_else(|error| panic!("{error}")), scan(), "{name}");
    }
}

#[test]
fn several_tiles_are_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.png");
    shapeguard_data::write_rgb_png(&image, &Grid::filled(GridSize::new(20, 35), [9; 3]), false).unwrap();
    let read = |name: &str| read(&ScanSource::with_rgb(golden(name), &image)).unwrap_or_else(|error| panic!("{error}"));
    let truth = read("several_tiles.npy");
    for name in goldens("several_tiles", ".tiff") {
        assert_eq!(read(&name), truth, "{name}");
    }
}

#[test]
fn clouds_with_colours_are_read_bit_exactly() {
    for name in [
        "ascii.pcd",
        "ascii_rgba.pcd",
        "binary.pcd",
        "binary_rgba.pcd",
        "binary_compressed.pcd",
        "ascii.ply",
        "little.ply",
        "big.ply",
        "comment_grid.ply",
        "range_grid.ply",
        "range_grid_ascii.ply",
        "stored.npz",
        "deflated.npz",
    ] {
        let read = read(&ScanSource::cloud_only(golden(name))).unwrap_or_else(|error| panic!("{error}"));
        // Colours of absent points are not in a range grid.
        assert_eq!(read.cloud(), scan().cloud(), "{name}");
        for (pixel, valid) in scan().cloud().valid().as_slice().iter().enumerate() {
            if *valid || !name.starts_with("range") {
                assert_eq!(read.rgb().as_slice()[pixel], rgb().as_slice()[pixel], "{name}");
            }
        }
    }
}

#[test]
fn clouds_without_colours_take_them_from_an_image() {
    for name in ["xyz_f4.npy", "xyz_f8.npy", "xyz_bigendian.npy", "xyz_fortran.npy", "cloud_only.npz", "cloud_only.pcd"]
    {
        assert_eq!(read(&with_rgb(name)).unwrap_or_else(|error| panic!("{error}")), scan(), "{name}");
        let error = read(&ScanSource::cloud_only(golden(name))).unwrap_err();
        assert!(matches!(error, DataError::MissingColour { .. }), "{error}");
        assert!(error.to_string().contains("NAME.png"), "{error}");
    }
}

#[test]
fn unorganized_clouds_need_a_grid() {
    for name in ["unorganized.pcd", "unorganized.ply"] {
        let source = ScanSource::cloud_only(golden(name));
        let error = read(&source).unwrap_err();
        assert!(matches!(error, DataError::Unorganized { points: 35, .. }), "{error}");
        assert!(error.to_string().contains("--grid ROWSxCOLS"), "{error}");
        let options = ReadOptions { grid: Some(SIZE), ..ReadOptions::default() };
        assert_eq!(read_scan(&source, &options).unwrap(), scan(), "{name}");
        let wrong = ReadOptions { grid: Some(GridSize::new(5, 8)), ..ReadOptions::default() };
        assert!(message(&source, &wrong).contains("--grid"), "{name}");
    }
}

#[test]
fn depth_images_become_clouds() {
    let intrinsics = Intrinsics::read(&golden("intrinsics.json")).unwrap();
    let bytes = std::fs::read(golden("depth.u16")).unwrap();
    let depths: Vec<u16> = bytes.chunks_exact(2).map(|b| u16::from_le_bytes(b.try_into().unwrap())).collect();
    for name in ["depth.png", "depth.tiff", "depth_float.tiff"] {
        let by_option =
            ReadOptions { intrinsics: Some(intrinsics.clone()), unit: Unit::Millimetre, ..Default::default() };
        let read = read_scan(&with_rgb(name), &by_option).unwrap_or_else(|error| panic!("{error}"));
        for row in 0..SIZE.rows {
            for col in 0..SIZE.cols {
                let z = f64::from(depths[row * SIZE.cols + col]) * 0.0001;
                let expected = [(col as f64 - 3.1) / 60.0 * z, (row as f64 - 2.2) / 61.0 * z, z];
                assert_eq!(read.cloud().valid()[(row, col)], z > 0.0);
                for (found, expected) in read.cloud().points_m()[(row, col)].iter().zip(expected) {
                    assert!((f64::from(*found) - expected).abs() < 1e-6, "{name} {row} {col}: {found} {expected}");
                }
            }
        }
        let by_file = ScanSource { intrinsics: Some(golden("intrinsics.json")), ..with_rgb(name) };
        assert_eq!(read_scan(&by_file, &ReadOptions::default()).unwrap(), read);
        let error = read_scan(&with_rgb(name), &ReadOptions::default()).unwrap_err();
        assert!(matches!(error, DataError::MissingIntrinsics { .. }), "{error}");
        assert!(error.to_string().contains("--intrinsics"), "{error}");
    }
}

#[test]
fn intrinsics_that_cannot_be_used_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("intrinsics.json");
    let check = |json: &str, expected: &str| {
        std::fs::write(&path, json).unwrap();
        let message = Intrinsics::read(&path).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("intrinsics.json"), "{message}");
    };
    check("", "fx, fy, cx, cy and depth_scale");
    check(r#"{"fx": 1, "fy": 1, "cx": 0, "cy": 0}"#, "depth_scale");
    check(r#"{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "depth_scale": 0.001, "k1": 0.1}"#, "k1");
    check(r#"{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "depth_scale": 0.001, "distortion": [0.1]}"#, "undistort");
    check(r#"{"fx": 0, "fy": 1, "cx": 0, "cy": 0, "depth_scale": 0.001}"#, "fx > 0");
    check(r#"{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "depth_scale": 1000}"#, "metres per unit");
    check(r#"{"fx": 1, "fy": 1, "cx": 1e999, "cy": 0, "depth_scale": 0.001}"#, "number");
    let small = Intrinsics { width: Some(3), ..Intrinsics::read(&golden("intrinsics.json")).unwrap() };
    let options = ReadOptions { intrinsics: Some(small), ..ReadOptions::default() };
    assert!(message(&with_rgb("depth.png"), &options).contains("resolution"));
}

#[test]
fn colour_images_of_every_kind() {
    let max = ReadOptions::default().max_pixels;
    assert_eq!(read_rgb(&golden("rgb.png"), max).unwrap(), rgb());
    assert_eq!(read_rgb(&golden("rgba_opaque.png"), max).unwrap(), rgb());
    assert_eq!(read_rgb(&golden("grey.png"), max).unwrap(), rgb().map(|p| [p[0]; 3]));
    let palette = Grid::from_fn(SIZE, |row, col| {
        let i = (row * SIZE.cols + col) as u8;
        [i, 255 - 2 * i, 3 * i]
    });
    assert_eq!(read_rgb(&golden("palette.png"), max).unwrap(), palette);
    for (name, remedy) in [
        ("refused_rgb16.png", "convert it to 8 bits"),
        ("refused_rgba_transparent.png", "without alpha"),
        ("xyz_plain.tiff", "give the colour image"),
        ("generate.py", "export the scan"),
    ] {
        let message = read_rgb(&golden(name), max).unwrap_err().to_string();
        assert!(message.contains(remedy) && message.contains(name), "{message}");
    }
}

#[test]
fn jpeg_and_bmp_colours() {
    let folder = tempfile::tempdir().unwrap();
    let max = ReadOptions::default().max_pixels;
    let flat = image::RgbImage::from_pixel(7, 5, image::Rgb([90, 120, 200]));
    let bmp = folder.path().join("a.bmp");
    flat.save(&bmp).unwrap();
    assert_eq!(read_rgb(&bmp, max).unwrap(), Grid::filled(SIZE, [90, 120, 200]));
    let jpeg = folder.path().join("a.jpg");
    flat.save(&jpeg).unwrap();
    let read = read_rgb(&jpeg, max).unwrap();
    assert_eq!(read.size(), SIZE);
    // One JPEG rounding step of each channel, and its colour transform's.
    assert!(read.as_slice().iter().all(|p| p.iter().zip([90, 120, 200u8]).all(|(a, b)| a.abs_diff(b) <= 4)));
    let bytes = std::fs::read(&jpeg).unwrap();
    std::fs::write(&jpeg, &bytes[..bytes.len() - 10]).unwrap();
    assert!(matches!(read_rgb(&jpeg, max).unwrap_err(), DataError::Damaged { .. }));
}

#[test]
fn every_truth_value_above_zero_is_defect() {
    let expected: Vec<bool> = std::fs::read(golden("truth.u8")).unwrap().iter().map(|value| *value > 0).collect();
    assert_eq!(expected.iter().filter(|set| **set).count(), 4);
    for name in goldens("truth", ".png") {
        assert_eq!(read_truth(&golden(&name), SIZE, TruthRule::AboveZero).unwrap().as_slice(), expected, "{name}");
    }
    let error = read_truth(&golden("truth.png"), GridSize::new(5, 8), TruthRule::AboveZero).unwrap_err();
    assert!(matches!(error, DataError::MaskSize { .. }), "{error}");
    let error = read_truth(&golden("xyz_plain.tiff"), SIZE, TruthRule::AboveZero).unwrap_err();
    assert!(error.to_string().contains("convert it to PNG"), "{error}");
}

#[test]
fn truth_above_half_of_white_loses_small_values() {
    let values = std::fs::read(golden("truth.u8")).unwrap();
    // The values are 1, 3 and 255. Half of white is 127.5 of 8 bits, 32767.5 of 16, and half of the only value of 1.
    let of_8_bits: Vec<bool> = values.iter().map(|value| *value > 127).collect();
    assert_eq!(of_8_bits.iter().filter(|set| **set).count(), 1);
    let cases = [
        ("truth.png", of_8_bits.clone()),
        ("truth_rgb.png", of_8_bits.clone()),
        ("truth_rgba.png", of_8_bits.clone()),
        ("truth_palette.png", of_8_bits),
        ("truth16.png", vec![false; values.len()]),
        ("truth_1bit.png", values.iter().map(|value| *value > 0).collect()),
    ];
    assert_eq!(cases.len(), goldens("truth", ".png").len());
    for (name, expected) in cases {
        assert_eq!(read_truth(&golden(name), SIZE, TruthRule::AboveHalf).unwrap().as_slice(), expected, "{name}");
    }
    let quirks = ReferenceQuirks { truth_above_half: true, ..ReferenceQuirks::default() };
    assert_eq!([quirks, ReferenceQuirks::default()].map(TruthRule::from), [TruthRule::AboveHalf, TruthRule::AboveZero]);
}

#[test]
fn what_is_no_scan_is_refused_with_a_remedy() {
    let refused = |name: &str| goldens(name, "").pop().unwrap();
    for (name, remedy) in [
        ("refused_integers.tiff", "3-channel float TIFF"),
        ("refused_one_channel.tiff", "--intrinsics"),
        ("refused_pages.tiff", "3-channel float TIFF"),
        ("refused_flat.npy", "one point per pixel"),
        ("refused_integers.npy", "give the cloud"),
        ("refused_names.npz", "numpy.savez"),
        ("refused_rgb16.png", "give the cloud"),
        ("rgb.png", "give the cloud"),
        ("README.md", "export the scan"),
    ] {
        let error = message(&with_rgb(&refused(name)), &ReadOptions::default());
        assert!(error.contains(remedy) && error.contains(name), "{error}");
    }
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    for path in [golden("no such file"), golden("")] {
        let error = message(&ScanSource::cloud_only(&path), &ReadOptions::default());
        assert!(error.contains(path.to_str().unwrap()) && error.contains("check the path"), "{error}");
    }
    let source = ScanSource::with_rgb(golden("xyz_plain.tiff"), golden("missing.png"));
    assert!(message(&source, &ReadOptions::default()).contains("missing.png"));
}

#[test]
fn empty_files_are_said_to_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tiff");
    std::fs::write(&path, "").unwrap();
    assert!(message(&ScanSource::cloud_only(&path), &ReadOptions::default()).contains("an empty file"));
}

#[test]
fn the_format_is_told_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tiff");
    std::fs::copy(golden("binary.pcd"), &path).unwrap();
    assert_eq!(read(&ScanSource::cloud_only(&path)).unwrap(), scan());
}

#[test]
fn sizes_that_differ_name_both_files() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.png");
    shapeguard_data::write_rgb_png(&image, &Grid::filled(GridSize::new(7, 5), [1; 3]), false).unwrap();
    let error = read(&ScanSource::with_rgb(golden("xyz_plain.tiff"), &image)).unwrap_err();
    assert!(matches!(error, DataError::SizesDiffer { .. }));
    let error = error.to_string();
    assert!(
        error.contains("xyz_plain.tiff") && error.contains("a.png") && error.contains("7 rows x 5 columns"),
        "{error}"
    );
}

#[test]
fn the_unit_scales_and_a_wrong_unit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mm.npy");
    let mut bytes = std::fs::read(golden("xyz_f4.npy")).unwrap();
    let start = bytes.len() - SIZE.area() * 12;
    for (value, xyz) in bytes[start..].chunks_exact_mut(4).zip(raw_xyz().as_slice().as_flattened()) {
        value.copy_from_slice(&(xyz * 1000.0).to_le_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    let source = ScanSource::with_rgb(&path, golden("rgb.png"));
    let error = read(&source).unwrap_err();
    assert!(matches!(error, DataError::Sample { source: SampleError::ImplausibleExtent { .. }, .. }), "{error}");
    assert!(error.to_string().contains("--unit") && error.to_string().contains("mm.npy"), "{error}");
    let millimetres = ReadOptions { unit: "mm".parse().unwrap(), ..ReadOptions::default() };
    let read = read_scan(&source, &millimetres).unwrap();
    for (a, b) in read.cloud().points_m().as_slice().iter().zip(scan().cloud().points_m().as_slice()) {
        // Two roundings of f32 at half a metre.
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-7));
    }
    assert!("inch".parse::<Unit>().unwrap_err().contains("m, mm or um"));
}

#[test]
fn the_frame_decides_about_points_behind_the_camera() {
    let other = ReadOptions { frame: Frame::Other, ..ReadOptions::default() };
    let camera = read(&with_rgb("xyz_plain.tiff")).unwrap();
    let other = read_scan(&with_rgb("xyz_plain.tiff"), &other).unwrap();
    assert_eq!(other.cloud().valid().count(), camera.cloud().valid().count() + 1);
}

#[test]
fn clouds_without_any_valid_point_and_single_pixels_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, header: &str, points: &str| {
        let path = folder.path().join(name);
        let text = format!("VERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\n{header}\nDATA ascii\n{points}");
        std::fs::write(&path, text).unwrap();
        message(&ScanSource::cloud_only(&path), &ReadOptions::default())
    };
    let nan = write("nan.pcd", "WIDTH 2\nHEIGHT 2", "nan nan nan 1\n0 0 0 2\nnan 1 1 3\n1 1 -1 4\n");
    assert!(nan.contains("no valid point") && nan.contains("nan.pcd"), "{nan}");
    let single = write("one.pcd", "WIDTH 1\nHEIGHT 1", "0.1 0.1 0.5 1\n");
    assert!(single.contains("there is only one"), "{single}");
    let none = write("none.pcd", "WIDTH 0\nHEIGHT 0", "");
    assert!(none.contains("at least one pixel"), "{none}");
}

#[test]
fn too_many_pixels_are_refused_in_every_format() {
    let options = ReadOptions { max_pixels: 34, ..ReadOptions::default() };
    for name in
        ["xyz_plain.tiff", "xyz_f4.npy", "stored.npz", "binary.pcd", "little.ply", "range_grid.ply", "depth.png"]
    {
        let error = read_scan(&with_rgb(name), &options).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { max_pixels: 34, .. }), "{name}: {error}");
    }
    let error = read_rgb(&golden("rgb.png"), 34).unwrap_err();
    assert!(matches!(error, DataError::TooLarge { rows: 5, cols: 7, .. }), "{error}");
}

#[test]
fn the_same_scan_has_the_same_digest_in_every_format() {
    let digest = scan_digest(&scan());
    for name in ["xyz_planar.tiff", "xyz_fortran.npy", "cloud_only.pcd"] {
        assert_eq!(scan_digest(&read(&with_rgb(name)).unwrap()), digest, "{name}");
    }
    // Recorded in model files: must not change. SHA-256 of goldens/README.md's scan, tag "shapeguard scan 1".
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("goldens/digest.txt").trim());
    let other = read(&ScanSource::with_rgb(golden("xyz_plain.tiff"), golden("grey.png"))).unwrap();
    assert_ne!(scan_digest(&other), digest);
}

#[test]
fn grids_on_the_command_line() {
    assert_eq!(parse_grid_size("480x640").unwrap(), GridSize::new(480, 640));
    for wrong in ["", "480", "0x1", "ax1", "1x1x1", "99999999999x99999999999"] {
        assert!(parse_grid_size(wrong).unwrap_err().contains("ROWSxCOLS"), "{wrong}");
    }
}

#[test]
fn sources_are_plain_values() {
    let source = ScanSource::with_rgb("a.tiff", "a.png");
    assert_eq!(source.rgb.as_deref(), Some(Path::new("a.png")));
    assert_eq!(ScanSource::cloud_only("a.ply").rgb, None);
}
