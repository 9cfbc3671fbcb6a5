//! What is written is read back the same, and no file is lost or left in halves.

mod support;

use std::io::Write;
use std::path::Path;

use shapeguard_core::grid::{Grid, GridSize};
use shapeguard_data::{
    DEFAULT_MAX_PIXELS, DataError, ReadOptions, ScanSource, atomic_write, check_folder, encode_rgb_png,
    encode_xyz_tiff, read_mask, read_rgb, read_scan, write_coloured_ply, write_json, write_mask_png, write_rgb_png,
    write_xyz_tiff,
};
use support::{SIZE, rgb, scan};

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_scan_is_read_back_bit_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let (xyz, image) = (folder.path().join("new/xyz/0.tiff"), folder.path().join("new/rgb/0.png"));
    write_xyz_tiff(&xyz, scan().cloud(), false).unwrap();
    write_rgb_png(&image, &rgb(), false).unwrap();
    assert_eq!(read_scan(&ScanSource::with_rgb(&xyz, &image), &ReadOptions::default()).unwrap(), scan());
    assert_eq!(encode_rgb_png(&rgb()).unwrap(), std::fs::read(&image).unwrap());
    assert_eq!(encode_xyz_tiff(scan().cloud().points_m()).unwrap(), std::fs::read(&xyz).unwrap());
    assert_eq!(entries(xyz.parent().unwrap()), 1, "no temporary files are left");
}

#[test]
fn a_folder_is_checked_without_being_made() {
    let folder = tempfile::tempdir().unwrap();
    for fine in [folder.path(), &folder.path().join("new/folder"), Path::new(""), Path::new("not-made")] {
        check_folder(fine).unwrap();
    }
    assert_eq!(entries(folder.path()), 0, "nothing is left");
    assert!(!Path::new("not-made").exists());

    let file = folder.path().join("file");
    std::fs::write(&file, b"mine").unwrap();
    for below in [file.clone(), file.join("out"), file.join("deep/out")] {
        let error = check_folder(&below).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: cannot be written: ", below.display())), "{error}");
        assert!(error.contains(&format!("{} is not a folder", file.display())), "{error}");
    }
    // Where nobody can make a file, root neither.
    #[cfg(target_os = "linux")]
    assert!(matches!(check_folder(Path::new("/proc/out")), Err(DataError::Write { .. })));
}

#[test]
fn masks_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gt.png");
    let mask = Grid::from_fn(SIZE, |row, col| (row + col) % 3 == 0);
    write_mask_png(&path, &mask, false).unwrap();
    assert_eq!(read_mask(&path, DEFAULT_MAX_PIXELS).unwrap(), mask);
    let image = read_rgb(&path, DEFAULT_MAX_PIXELS).unwrap();
    assert_eq!((image[(0, 0)], image[(0, 1)]), ([255; 3], [0; 3]));
}

#[test]
fn a_coloured_cloud_holds_the_valid_points_and_their_scores() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ply");
    let scores = Grid::from_fn(SIZE, |row, col| (10 * row + col) as f32);
    write_coloured_ply(&path, scan().cloud(), &rgb(), &scores, false).unwrap();
    let valid = scan().cloud().valid().count();
    let bytes = std::fs::read(&path).unwrap();
    let end = bytes.windows(11).position(|window| window == b"end_header\n").unwrap() + 11;
    let header = std::str::from_utf8(&bytes[..end]).unwrap();
    assert!(header.contains(&format!("element vertex {valid}\n")) && header.contains("property float scalar_score"));
    assert_eq!(bytes.len() - end, valid * 19);
    // The first pixel is absent, so the first vertex is pixel (0, 1).
    let vertex = &bytes[end..end + 19];
    let float = |at: usize| f32::from_le_bytes(vertex[at..at + 4].try_into().unwrap());
    assert_eq!([float(0), float(4), float(8)], scan().cloud().points_m()[(0, 1)]);
    assert_eq!(vertex[12..15], rgb()[(0, 1)]);
    assert_eq!(float(15), 1.0);
    let options = ReadOptions { grid: Some(GridSize::new(valid / 4, 4)), ..ReadOptions::default() };
    assert_eq!(read_scan(&ScanSource::cloud_only(&path), &options).unwrap().cloud().valid().count(), valid);
}

#[test]
fn json_ends_with_a_newline() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    write_json(&path, &serde_json::json!({"a": [1, 2]}), false).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.ends_with("}\n") && text.contains("\n  \"a\""), "{text}");
}

#[test]
fn nothing_is_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    let write = |text: &'static str, overwrite| atomic_write(&path, overwrite, |file| file.write_all(text.as_bytes()));
    write("old", false).unwrap();
    let error = write("new", false).unwrap_err();
    assert!(matches!(error, DataError::Exists { .. }));
    assert!(error.to_string().contains("a.txt") && error.to_string().contains("not overwritten"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    write("new", true).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(entries(folder.path()), 1);
}

#[test]
fn a_file_made_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    let error = atomic_write(&path, false, |file| {
        std::fs::write(&path, "theirs")?;
        file.write_all(b"ours")
    })
    .unwrap_err();
    assert!(matches!(error, DataError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs");
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    std::fs::write(&path, "old").unwrap();
    let error = atomic_write(&path, true, |file| {
        file.write_all(b"half")?;
        Err(std::io::Error::other("the disk is full"))
    })
    .unwrap_err();
    assert!(error.to_string().contains("the disk is full") && error.to_string().contains("a.txt"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(entries(folder.path()), 1);
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.join("below"), folder.path().join("..")] {
        assert!(matches!(atomic_write(&path, true, |_| Ok(())).unwrap_err(), DataError::Write { .. }));
    }
    assert!(atomic_write(folder.path(), true, |_| Ok(())).is_err(), "a folder is no file");
}

#[cfg(unix)]
#[test]
fn files_are_readable_like_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (ours, plain) = (folder.path().join("a"), folder.path().join("b"));
    atomic_write(&ours, false, |_| Ok(())).unwrap();
    std::fs::write(&plain, "").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}
