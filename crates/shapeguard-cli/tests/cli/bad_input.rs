//! What people give by mistake: every message names the thing and the remedy, and nothing is left half done.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shapeguard_core::grid::{Grid, GridSize};
use shapeguard_core::sample::{Frame, OrganizedCloud};
use shapeguard_data::{write_rgb_png, write_xyz_tiff};

use crate::support::{FEW_PATCHES, fixture, names, run, truncate};

/// A cloud of one point after the other with its colour image, written as a scan.
fn write_scan(folder: &Path, name: &str, size: GridSize, point: impl Fn(usize, usize) -> [f32; 3]) -> PathBuf {
    let path = folder.join("xyz").join(name).with_extension("tiff");
    let cloud = OrganizedCloud::decode(Grid::from_fn(size, point), 1.0, Frame::Camera);
    write_xyz_tiff(&path, &cloud, false).unwrap();
    write_rgb_png(&folder.join("rgb").join(name).with_extension("png"), &Grid::filled(size, [90; 3]), false).unwrap();
    path
}

#[track_caller]
fn assert_names(error: &str, expected: &[&str]) {
    for expected in expected {
        assert!(error.contains(expected), "expected {expected:?} in: {error}");
    }
}

#[test]
fn scans_that_cannot_be_judged_are_reported_one_by_one() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let scans = folder.path();
    let size = GridSize::new(60, 60);
    write_scan(scans, "1-all-invalid", size, |_, _| [0.0; 3]);
    write_scan(scans, "2-one-pixel", GridSize::new(1, 1), |_, _| [0.1, 0.1, 0.4]);
    let (cut, _) = fixture.copy_scan(scans, "3-cut");
    truncate(&cut);
    write_scan(scans, "4-millimetres", size, |row, col| [col as f32, row as f32, 450.0]);
    write_scan(scans, "5-table-alone", size, |row, col| [col as f32 * 1e-3, row as f32 * 1e-3, 0.45]);
    write_scan(scans, "6-no-table", size, |row, col| {
        [col as f32 * 1e-3, row as f32 * 1e-3, 0.4 + ((row * 7 + col * 13) % 50) as f32 * 2e-3]
    });
    write_scan(scans, "7-tiny-part", GridSize::new(160, 160), |row, col| {
        let on_part = row.abs_diff(80) < 4 && col.abs_diff(80) < 4;
        [col as f32 * 1e-3, row as f32 * 1e-3, if on_part { 0.42 } else { 0.45 }]
    });
    let (_, image) = fixture.copy_scan(scans, "8-other-size");
    write_rgb_png(&image, &Grid::filled(GridSize::new(10, 10), [0; 3]), true).unwrap();
    fixture.copy_scan(scans, "9-good");

    let out = scans.join("out");
    let lines = run!["inspect", &fixture.model, scans, "--out", &out].json_lines(2);
    let expected = [
        "no valid point",
        "there is only one",
        "truncated or damaged",
        "--unit",
        "no part found",
        "no table found",
        "points_per_patch",
        "same resolution",
    ];
    assert_eq!(lines.len(), expected.len() + 1);
    for (line, expected) in lines.iter().zip(expected) {
        let (verdict, reason) = (&line["verdict"], line["reason"].as_str().unwrap());
        assert_eq!(verdict, &json!("not-judged"));
        let name = Path::new(line["scan"].as_str().unwrap()).file_stem().unwrap().to_str().unwrap();
        assert!(reason.contains(expected), "{name}: {reason}");
        for key in ["score", "p_value", "scores", "peak", "patches", "files", "seconds"] {
            assert_eq!(line[key], Value::Null, "{name}: {key}");
        }
    }
    assert_eq!(lines.last().unwrap()["verdict"], json!("good"));
    assert_eq!(names(&out), ["9-good-heat.png", "9-good-overlay.png"], "no pictures of what was not judged");
}

#[test]
fn a_cloud_without_colour_says_how_to_add_it() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let cloud = folder.path().join("part.tiff");
    std::fs::copy(fixture.cloud("train/good", "000"), &cloud).unwrap();
    let lines = run!["inspect", &fixture.model, &cloud].json_lines(2);
    assert_names(lines[0]["reason"].as_str().unwrap(), &["part.tiff", "NAME.png"]);
    let lines = run!["inspect", &fixture.model, &cloud, "--max-megapixels", "0.01"].json_lines(2);
    assert_names(lines[0]["reason"].as_str().unwrap(), &["part.tiff", "at most 10000 pixels", "--max-megapixels"]);
}

#[test]
fn a_scan_without_its_other_file_is_reported_alone() {
    let fixture = fixture();
    let category = tempfile::tempdir().unwrap();
    let good = category.path().join("test/good");
    fixture.copy_scan(&good, "000");
    let (_, image) = fixture.copy_scan(&good, "001");
    std::fs::remove_file(image).unwrap();
    let (cloud, _) = fixture.copy_scan(&good, "002");
    std::fs::remove_file(cloud).unwrap();
    let at = |place: &str| good.join(place).display().to_string();
    let (no_image, no_cloud) = ([at("xyz/001.tiff"), at("rgb/001.png")], [at("rgb/002.png"), at("xyz/002.tiff")]);

    let lines = run!["inspect", &fixture.model, &good].json_lines(2);
    let told: Vec<_> = lines.iter().map(|line| (&line["scan"], line["verdict"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [
            (&json!(at("xyz/000.tiff")), "good"),
            (&json!(at("xyz/001.tiff")), "not-judged"),
            (&json!(at("xyz/002.tiff")), "not-judged")
        ]
    );
    for (line, [there, missing]) in lines[1..].iter().zip([&no_image, &no_cloud]) {
        assert_names(line["reason"].as_str().unwrap(), &[there, missing, "no such file"]);
    }

    let table = run!["evaluate", &fixture.model, category.path()].expect(2);
    assert_names(&table, &["2 scans not judged", "of 1 good scan", "good/001", &no_image[1], "good/002", &no_cloud[1]]);

    // What is learnt from must be whole, and that it is not is said before the work.
    fixture.copy_scan(&good, "003");
    let model = category.path().join("part.shapeguard");
    let fit = |option: &'static str| {
        run!["fit", &good, "-o", &model, "--set", FEW_PATCHES, "--false-reject-rate", "0.5", "--json", option]
    };
    let error = fit("-v").error();
    assert_names(&error, &["2 of the good scans cannot be used", &no_image[1], &no_cloud[1], "--skip-unusable"]);
    assert!(!model.exists());
    assert_eq!(fit("--skip-unusable").json()["unusable_scans"], json!(2));
}

#[test]
fn results_that_could_not_be_written_are_refused_before_the_work() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"mine").unwrap();
    let scan = fixture.cloud("train/good", "000");
    for out in [file.clone(), file.join("pictures")] {
        let run = run!["inspect", &fixture.model, &scan, "--out", &out];
        assert_eq!(run.out, "", "no scan was judged");
        let said = format!("{}: cannot be written: {} is not a folder", out.display(), file.display());
        assert_names(&run.error(), &[&said]);
    }
    let below = file.join("result");
    assert_names(&run!["fit", &fixture.data, "-o", &below].error(), &["file is not a folder"]);
    let run = run!["evaluate", &fixture.model, &fixture.data, "--report", &below];
    assert_names(&run.error(), &["file is not a folder"]);
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn inspect_refuses_what_names_no_scan() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let error = run!["inspect", &fixture.model, folder.path().join("*.ply")].error();
    assert_names(&error, &["no scan matches", "*.ply"]);
    let error = run!["inspect", &fixture.model, folder.path()].error();
    assert_names(&error, &["empty folder"]);
    let error = run!["inspect", &fixture.model, fixture.image("test/crack", "000")].error();
    assert_names(&error, &["give the cloud"]);
    std::fs::create_dir(folder.path().join("rgb")).unwrap();
    std::fs::copy(fixture.image("test/crack", "000"), folder.path().join("rgb/000.png")).unwrap();
    let error = run!["inspect", &fixture.model, folder.path()].error();
    assert_names(&error, &["xyz/ or depth/", "both shape and colour"]);
}

#[test]
fn files_that_are_no_model_are_refused_by_every_command() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let scan = fixture.cloud("train/good", "000");
    let cut = folder.path().join("cut.shapeguard");
    std::fs::copy(&fixture.model, &cut).unwrap();
    truncate(&cut);
    let text = folder.path().join("text.shapeguard");
    std::fs::write(&text, b"not a model").unwrap();
    let missing = folder.path().join("missing.shapeguard");
    for (model, expected) in [
        (&cut, ["cut.shapeguard", "fit it again"].as_slice()),
        (&text, &["text.shapeguard", "not a usable Shapeguard model"]),
        (&scan, &["000.tiff", "not a usable Shapeguard model"]),
        (&missing, &["missing.shapeguard", "the model cannot be read", "No such file", "check the path"]),
    ] {
        assert_names(&run!["info", model].error(), expected);
        assert_names(&run!["inspect", model, &scan].error(), expected);
        assert_names(&run!["evaluate", model, &fixture.data].error(), expected);
    }
}

#[test]
fn fit_refuses_folders_without_whole_scans() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("part.shapeguard");
    let fit = |dir: &Path| run!["fit", dir, "-o", &model, "--set", FEW_PATCHES, "--false-reject-rate", "0.5"].error();

    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_names(&fit(&empty), &["empty", "empty folder"]);
    assert_names(
        &fit(&folder.path().join("missing")),
        &["missing", "cannot be read", "No such file", "check the path"],
    );
    let file = fit(&fixture.cloud("train/good", "000"));
    assert_names(&file, &["000.tiff", "expected a folder of scans", "give the folder"]);

    let no_colour = folder.path().join("no-colour");
    let (_, image) = fixture.copy_scan(&no_colour, "000");
    std::fs::remove_dir_all(image.parent().unwrap()).unwrap();
    assert_names(&fit(&no_colour), &["no-colour", "rgb/"]);

    let unpaired = folder.path().join("unpaired");
    fixture.copy_scan(&unpaired, "000");
    let (_, image) = fixture.copy_scan(&unpaired, "001");
    std::fs::remove_file(image).unwrap();
    assert_names(&fit(&unpaired), &["unpaired", "001"]);

    let single = folder.path().join("single");
    fixture.copy_scan(&single, "000");
    assert_names(&fit(&single), &["at least 2 usable good scans, found 1"]);

    let (cut, _) = fixture.copy_scan(&single, "001");
    truncate(&cut);
    fixture.copy_scan(&single, "002");
    assert_names(&fit(&single), &["1 of the good scans cannot be used", "001.tiff", "--skip-unusable"]);
    assert!(!model.exists());
    assert!(names(folder.path()).iter().all(|name| !name.starts_with('.')), "nothing is left behind");
}

#[test]
fn fit_checks_everything_it_can_before_the_work() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("part.shapeguard");
    macro_rules! fit {
        ($($arg:expr),*) => { run!["fit", &fixture.data, "-o", &model, $($arg),*].error() };
    }
    assert_names(&fit!("--false-reject-rate", "0.01"), &["at least 99 good samples, found 6", "0.1429"]);
    assert_names(&fit!("--false-reject-rate", "1.5"), &["between 0 and 1", "1.5"]);
    assert_names(&fit!("--preset", "fast"), &["no preset named \"fast\"", "default, paper"]);
    assert_names(&fit!("--set", "patches.overlapp=5"), &["patches.overlapp", "points_per_patch"]);
    assert_names(&fit!("--set", "patches.overlap=0"), &["patches.overlap must be at least 1"]);
    assert_names(&fit!("--weights", folder.path().join("w.pth")), &["w.pth", "shapeguard weights"]);
    assert_names(&fit!("--weights", fixture.cloud("train/good", "000")), &["000.tiff"]);
    assert_names(&fit!("--shape-expert", "huge"), &["huge", "`paper`, `compact`"]);
    assert_names(&fit!("--mask", folder.path()), &["--mask", "no effect"]);
    assert_names(&fit!("--intrinsics", folder.path().join("camera.json")), &["--intrinsics", "camera.json"]);

    let preset = folder.path().join("mine.toml");
    let text = run!["preset", "default"].expect(0);
    std::fs::write(&preset, text.replace("\noverlap = ", "\noverlapp = ")).unwrap();
    assert_names(&fit!("--preset", &preset), &["mine.toml", "overlapp", "shapeguard preset default"]);
    assert_names(&run!["preset", &preset].error(), &["mine.toml", "overlapp"]);
    assert_names(&run!["preset", folder.path().join("none.toml")].error(), &["none.toml", "default, paper"]);
    // A model's settings are a preset, but the model itself is not.
    let model_for_preset = ["biscuit.shapeguard", "not a preset", "not text", "shapeguard info MODEL --settings"];
    assert_names(&run!["preset", &fixture.model].error(), &model_for_preset);
    assert_names(&fit!("--preset", &fixture.model), &model_for_preset);
    assert_names(&run!["preset", folder.path()].error(), &["not a preset", "found a folder"]);

    std::fs::write(&model, b"mine").unwrap();
    assert_names(&fit!(), &["part.shapeguard", "exists already", "--force"]);
    assert_eq!(std::fs::read(&model).unwrap(), b"mine");
    assert_names(&run!["fit", &fixture.data, "-o", folder.path()].error(), &["found a folder"]);
}

#[test]
fn evaluate_refuses_what_has_no_tests_or_other_masks() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    fixture.copy_scan(folder.path(), "000");
    let error = run!["evaluate", &fixture.model, folder.path()].error();
    assert_names(&error, &["test/good and test/DEFECT", "shapeguard inspect"]);
    let error = run!["evaluate", &fixture.model, folder.path().join("xyz/000.tiff")].error();
    assert_names(&error, &["000.tiff", "expected a folder of scans"]);

    let category = tempfile::tempdir().unwrap();
    let crack = category.path().join("test/crack");
    fixture.copy_scan(&crack, "000");
    let mask = Grid::filled(GridSize::new(8, 8), true);
    shapeguard_data::write_mask_png(&crack.join("gt/000.png"), &mask, false).unwrap();
    let error = run!["evaluate", &fixture.model, category.path()].error();
    assert_names(&error, &["000.png", "8 rows x 8 columns"]);
}

#[test]
fn evaluate_counts_scans_that_cannot_be_read_and_says_so_by_its_exit_code() {
    let fixture = fixture();
    let table = run!["evaluate", &fixture.model, &fixture.data, "--unit", "mm"].expect(2);
    assert_names(&table, &["not judged", "--unit"]);

    let category = tempfile::tempdir().unwrap();
    let good = category.path().join("test/good");
    fixture.copy_scan(&good, "000");
    let (cloud, _) = fixture.copy_scan(&good, "001");
    truncate(&cloud);
    let table = run!["evaluate", &fixture.model, category.path()].expect(2);
    assert_names(&table, &["1 scan not judged", "good/001", "of 1 good scan"]);
}

#[test]
fn simulate_names_what_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    assert_names(&run!["simulate", "--suite", "v9", "--out", out].error(), &["v9", "demo, v1"]);
    assert_names(&run!["simulate", "--out", out].error(), &["--suite or --category"]);
    assert_names(&run!["simulate", "--category", "cake", "--out", out].error(), &["cake", "biscuit"]);
    std::fs::write(out.join("file"), b"").unwrap();
    let error = run!["simulate", "--category", "gear", "--out", out.join("file")].error();
    assert_names(&error, &["file is not a folder"]);
    std::fs::remove_file(out.join("file")).unwrap();
    let error = run!["simulate", "--suite", "demo", "--category", "gear", "--out", out].error();
    assert_names(&error, &["no category \"gear\"", "biscuit"]);
    assert_names(&run!["simulate", "--category", "gear,gear", "--out", out].error(), &["gear is given twice"]);
    let zeros = ["--train", "0", "--validation", "0", "--good", "0", "--defective", "0"];
    let [a, b, c, d, e, f, g, h] = zeros;
    let error = run!["simulate", "--category", "gear", a, b, c, d, e, f, g, h, "--out", out].error();
    assert_names(&error, &["at least one scan in all"]);
    assert_names(&run!["simulate", "--category", "gear", "--strength", "0", "--out", out].error(), &["--strength"]);
    assert!(names(out).is_empty());
}

#[test]
fn the_demo_does_not_touch_what_it_did_not_make() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), b"mine").unwrap();
    assert_names(&run!["demo", "--out", folder.path()].error(), &["exists already", "--out"]);
    assert_names(&run!["demo", "--out", folder.path(), "--force"].error(), &["something else"]);
    assert_names(&run!["demo", "--out", folder.path().join("new"), "--preset", "fast"].error(), &["fast"]);
    let below_a_file = run!["demo", "--out", folder.path().join("precious/demo")].error();
    assert_names(&below_a_file, &["precious is not a folder"]);
    assert_eq!(names(folder.path()), ["precious"]);
}
