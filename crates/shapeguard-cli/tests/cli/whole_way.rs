//! simulate -> fit -> info -> inspect -> evaluate.

use std::path::Path;

use serde_json::{Value, json};
use shapeguard_core::grid::{Grid, GridSize};
use shapeguard_data::write_rgb_png;

use crate::support::{FEW_PATCHES, fixture, keys, names, run};

/// The keys of a line of `inspect`; `reason` comes to those of scans that were not judged.
const RECORD_KEYS: [&str; 16] = [
    "false_reject_rate",
    "files",
    "p_value",
    "patches",
    "peak",
    "region_level",
    "regions",
    "scan",
    "score",
    "scores",
    "seconds",
    "shares",
    "threshold",
    "threshold_basis",
    "verdict",
    "warnings",
];

/// The lines without what differs from run to run.
fn without_seconds(mut lines: Vec<Value>) -> Vec<Value> {
    for line in &mut lines {
        line["seconds"] = Value::Null;
    }
    lines
}

#[test]
fn simulate_writes_a_category_that_depends_on_the_seed_alone() {
    let fixture = fixture();
    assert_eq!(
        fixture.simulated,
        json!([{ "category": "biscuit", "folder": fixture.data, "scans": 9, "verified": null }])
    );
    assert_eq!(names(&fixture.data), ["calibration", "test", "train", "validation"]);
    assert_eq!(names(&fixture.data.join("train/good/xyz")), ["000.tiff", "001.tiff", "002.tiff", "003.tiff"]);

    let again = tempfile::tempdir().unwrap();
    let counts = ["--train", "1", "--validation", "0", "--good", "0", "--defective", "0", "--seed", "5"];
    let [train, one, validation, none, good, zero, defective, nil, seed, five] = counts;
    let printed = run![
        threads = 1;
        "simulate", "--category", "biscuit", train, one, validation, none, good, zero, defective, nil, seed, five,
        "--out", again.path()
    ]
    .expect(0);
    let folder = again.path().join("biscuit");
    assert_eq!(printed, format!("{}\n", folder.display()));
    let scan = Path::new("train/good/xyz/000.tiff");
    assert_eq!(std::fs::read(folder.join(scan)).unwrap(), std::fs::read(fixture.data.join(scan)).unwrap());

    let error = run!["simulate", "--category", "biscuit", "--out", again.path()].error();
    assert!(error.contains("exists already") && error.contains("--force"), "{error}");
    assert_eq!(names(again.path()), ["biscuit"], "nothing half made is left");
}

#[test]
fn fit_tells_what_it_came_to_and_info_tells_the_same() {
    let fixture = fixture();
    let fitted = &fixture.fitted;
    assert_eq!(
        (&fitted["name"], &fitted["training_scans"], &fitted["validation_scans"], &fitted["unusable_scans"]),
        (&json!("biscuit"), &json!(4), &json!(2), &json!(0))
    );
    assert_eq!(fitted["preset"], json!(format!("default with {FEW_PATCHES}")));
    // Two validation scans are too few for this rate, all six are not.
    assert_eq!((&fitted["threshold_basis"], &fitted["good_scores"]), (&json!("leave-one-out"), &json!(6)));

    let info = run!["info", &fixture.model, "--json"].json();
    assert_eq!(info["threshold"]["score"], fitted["threshold"]);
    assert_eq!(info["threshold"]["false_reject_rate"], json!(0.25));
    assert_eq!(info["threshold"]["good_scores"].as_array().unwrap().len(), 6);
    assert_eq!(info["memories"]["sdf_features"], fitted["sdf_features"]);
    assert_eq!(info["memories"]["rgb_features"], fitted["rgb_features"]);
    assert_eq!(info["file_bytes"], fitted["file_bytes"]);
    assert_eq!(info["settings"]["patches"]["overlap"], json!(2));
    assert_eq!(info["provenance"]["program_version"], json!(env!("CARGO_PKG_VERSION")));
    assert_eq!((&info["shape_expert"]["name"], &info["shape_expert"]["built_in"]), (&json!("compact"), &json!(true)));
    assert_eq!(info["provenance"]["data_sha256"].as_str().unwrap().len(), 64);

    let text = run!["info", &fixture.model].expect(0);
    for expected in
        ["biscuit", "4 learnt from, 2 kept aside", "approximate", "compact (built in)", "efficientnet-lite0"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn settings_can_be_taken_from_a_model_and_given_to_the_next() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("mine.toml");
    let text = run!["info", &fixture.model, "--settings"].expect(0);
    std::fs::write(&settings, &text).unwrap();
    assert_eq!(run!["preset", &settings].expect(0), text);

    // The same scans with the same settings on another number of threads: the same model, byte for byte.
    let model = folder.path().join("again.shapeguard");
    let summary =
        run![threads = 1; "fit", &fixture.data, "-o", &model, "--preset", &settings, "--name", "biscuit"].expect(0);
    assert!(summary.contains("4 learnt from, 2 kept aside") && summary.contains("approximate"), "{summary}");
    assert!(std::fs::read(&model).unwrap() == std::fs::read(&fixture.model).unwrap());
    assert_eq!(names(folder.path()), ["again.shapeguard", "mine.toml"]);
}

#[test]
fn the_reference_s_quirks_are_turned_on_together_and_evaluated_with() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("quirks.shapeguard");
    let options = ["--reference-quirks", "--set", FEW_PATCHES, "--set", "reference_quirks.noise_competes=false"];
    let [quirks, set, few, again, no_noise] = options;
    let fitted = run![
        "fit",
        &fixture.data,
        "-o",
        &model,
        quirks,
        set,
        few,
        again,
        no_noise,
        "--false-reject-rate",
        "0.25",
        "--json"
    ]
    .json();
    assert!(fitted["preset"].as_str().unwrap().starts_with("default with reference quirks with "), "{fitted}");
    let settings = &run!["info", &model, "--json"].json()["settings"];
    let on: Vec<&str> = keys(&settings["reference_quirks"])
        .into_iter()
        .filter(|name| settings["reference_quirks"][*name] == json!(true))
        .collect();
    assert_eq!(on.len(), 7);
    assert!(!on.contains(&"noise_competes"));
    assert_eq!(settings["patches"]["full_coverage"], json!(false));
    // The masks of these two kinds of defects hold values below half of white: no defective pixel is left.
    let pixels =
        |model: &Path| run!["evaluate", model, &fixture.data, "--json"].json()["all"]["channels"][2]["pixels"].clone();
    assert_eq!(pixels(&model), Value::Null);
    assert!(pixels(&fixture.model)["p_auroc"].is_number());
}

#[test]
fn a_loaded_model_is_saved_unchanged() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.shapeguard");
    shapeguard::model_file::save(&shapeguard::model_file::load(&fixture.model).unwrap(), &copy, false).unwrap();
    assert!(std::fs::read(&copy).unwrap() == std::fs::read(&fixture.model).unwrap());
}

#[test]
fn enough_validation_scans_give_a_guarantee() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("part.shapeguard");
    let summary =
        run!["fit", &fixture.data, "-o", &model, "--set", FEW_PATCHES, "--false-reject-rate", "0.4"].expect(0);
    assert!(summary.contains("guaranteed (from 2 validation scans)"), "{summary}");
    let error = run!["fit", &fixture.data, "-o", &model].error();
    assert!(error.contains("exists already") && error.contains("--force"), "{error}");
}

#[test]
fn inspect_gives_the_same_lines_and_pictures_whatever_the_threads() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let tests = fixture.data.join("test");
    let mut all = Vec::new();
    for (threads, name) in [(1, "one"), (2, "two"), (2, "again")] {
        let out = folder.path().join(name);
        let run = run![threads = threads; "inspect", &fixture.model, &tests, "--out", &out, "--ply"];
        assert_eq!(run.err, "", "no bars where nobody looks");
        let rejected = run.out.contains("\"verdict\":\"rejected\"");
        let mut lines = without_seconds(run.json_lines(i32::from(rejected)));
        for line in &mut lines {
            for file in line["files"].as_object_mut().unwrap().values_mut() {
                let path = Path::new(file.as_str().unwrap());
                let bytes = std::fs::read(path).unwrap();
                *file = json!([path.file_name().unwrap().to_str().unwrap(), bytes.len(), shapeguard_digest(&bytes)]);
            }
        }
        all.push((lines, names(&out)));
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[1], all[2]);

    let (lines, files) = &all[0];
    assert_eq!(lines.len(), 3);
    assert_eq!(files.len(), 9);
    let kinds: Vec<&str> = files.iter().map(String::as_str).filter(|name| name.ends_with("-heat.png")).collect();
    assert_eq!(kinds, ["contamination-000-heat.png", "crack-000-heat.png", "good-000-heat.png"]);
    for line in lines {
        assert_eq!(keys(line), RECORD_KEYS);
        assert_eq!(keys(&line["scores"]), ["fused", "rgb", "sdf"]);
        assert_eq!(keys(&line["peak"]), ["col", "row", "value", "xyz_m"]);
        // Rejected parts alone have defects, and every one has some.
        assert_eq!(line["regions"].as_array().unwrap().is_empty(), line["verdict"] == "good");
        for key in ["region_level", "shares"] {
            assert_eq!(line[key].is_null(), line["verdict"] == "good", "{key}");
        }
        assert_eq!(keys(&line["files"]), ["heat_map", "overlay", "ply"]);
        let (score, threshold) = (line["score"].as_f64().unwrap(), line["threshold"].as_f64().unwrap());
        let verdict = if score > threshold { "rejected" } else { "good" };
        assert_eq!(line["verdict"], json!(verdict));
        assert_eq!(line["scores"]["fused"], line["score"]);
        assert_eq!(line["threshold"], fixture.fitted["threshold"]);
        assert_eq!((&line["false_reject_rate"], &line["threshold_basis"]), (&json!(0.25), &json!("leave-one-out")));
        let p_value = line["p_value"].as_f64().unwrap();
        assert!((1.0 / 7.0 - 1e-12..=1.0).contains(&p_value), "{p_value}");
        assert!(line["peak"]["row"].as_u64().unwrap() < 400 && line["peak"]["col"].as_u64().unwrap() < 400);
    }
}

/// A digest that tells files apart in a message.
fn shapeguard_digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn exit_codes_are_0_for_good_1_for_rejected_2_for_not_judged() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    // What is in the memories is rebuilt without error.
    let known = fixture.cloud("train/good", "001");
    let lines = run!["inspect", &fixture.model, &known].json_lines(0);
    assert_eq!((lines.len(), &lines[0]["verdict"]), (1, &json!("good")));
    assert_eq!(lines[0]["scan"], json!(known));
    assert_eq!(lines[0]["files"], Value::Null);
    let stages = [
        "appearance_features",
        "foreground",
        "fusion",
        "patches",
        "pictures",
        "read",
        "resample",
        "scoring",
        "shape_features",
    ];
    assert_eq!(keys(&lines[0]["seconds"]), stages);

    // A part that is not in the memories, in colours that no good part has, against the lowest threshold there is.
    let strange = folder.path().join("xyz/strange.tiff");
    std::fs::create_dir(folder.path().join("xyz")).unwrap();
    std::fs::copy(fixture.cloud("test/crack", "000"), &strange).unwrap();
    let noise = Grid::from_fn(GridSize::new(400, 400), |row, col| {
        let hash = ((row as u32 / 3) * 400 + col as u32 / 3).wrapping_mul(2_654_435_761);
        [(hash >> 8) as u8, (hash >> 16) as u8, (hash >> 24) as u8]
    });
    write_rgb_png(&folder.path().join("rgb/strange.png"), &noise, false).unwrap();
    let low = folder.path().join("low.shapeguard");
    run!["fit", &fixture.data, "-o", &low, "--set", FEW_PATCHES, "--false-reject-rate", "0.9"].expect(0);
    let lines = run!["inspect", &low, &known, &strange].json_lines(1);
    let verdicts: Vec<_> = lines.iter().map(|line| line["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["good", "rejected"]);

    let missing = folder.path().join("missing.ply");
    let lines = run!["inspect", &low, &strange, &missing, &known].json_lines(2);
    let verdicts: Vec<_> = lines.iter().map(|line| line["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["rejected", "not-judged", "good"], "in the order given, and the run goes on");
    assert!(lines[1]["reason"].as_str().unwrap().contains("missing.ply"), "{}", lines[1]);

    let table = run!["inspect", &low, &known, &strange, &missing, "--human"].expect(2);
    assert!(table.contains("3 scans: 1 good, 1 rejected, 1 not judged; threshold"), "{table}");
    assert!(table.contains("not-judged") && table.contains("cannot be read"), "{table}");
}

#[test]
fn pictures_are_not_overwritten_without_force() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let known = fixture.cloud("train/good", "002");
    let pattern = fixture.data.join("train/good/xyz/00[2].tiff");
    run!["inspect", &fixture.model, &pattern, "--out", folder.path()].expect(0);
    assert_eq!(names(folder.path()), ["002-heat.png", "002-overlay.png"]);
    let error = run!["inspect", &fixture.model, &known, "--out", folder.path()].error();
    assert!(error.contains("002-heat.png") && error.contains("--force"), "{error}");
    run!["inspect", &fixture.model, &known, "--out", folder.path(), "--force"].expect(0);
}

#[test]
fn evaluate_prints_figures_and_writes_a_report() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let json = run!["evaluate", &fixture.model, &fixture.data, "--json", "--report", &report].json();
    assert_eq!(json["aupro_limits"], json!([0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.01]));
    assert_eq!((&json["not_judged"], &json["threshold"]), (&json!(0), &fixture.fitted["threshold"]));
    let kinds: Vec<_> = json["kinds"].as_array().unwrap().iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["contamination", "crack"]);
    for kind in [&json["all"], &json["kinds"][0]] {
        let channels: Vec<_> = kind["channels"].as_array().unwrap().iter().collect();
        let names: Vec<_> = channels.iter().map(|channel| channel["channel"].as_str().unwrap()).collect();
        assert_eq!(names, ["rgb", "sdf", "fused"]);
        for channel in channels {
            assert!((0.0..=1.0).contains(&channel["i_auroc"].as_f64().unwrap()));
            for figures in ["aupro", "aupro_100_thresholds"] {
                let figures = channel["pixels"][figures].as_array().unwrap();
                assert!(figures.len() == 7 && figures.iter().all(|f| (0.0..=1.0).contains(&f.as_f64().unwrap())));
            }
        }
    }
    let scans = json["scans"].as_array().unwrap();
    assert_eq!(
        scans.iter().map(|scan| scan["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["contamination/000", "crack/000", "good/000"]
    );
    #[cfg(target_os = "linux")]
    assert!(json["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);

    let html = std::fs::read_to_string(&report).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.contains("biscuit") && html.contains("data:image/png;base64,"));
    let error = run!["evaluate", &fixture.model, &fixture.data, "--report", &report].error();
    assert!(error.contains("report.html") && error.contains("--force"), "{error}");

    let table = run!["evaluate", &fixture.model, &fixture.data].expect(0);
    for expected in [
        "All defects (2)",
        "contamination (1)",
        "SDF",
        "Fused",
        "100 thresholds",
        "scans rejected",
        "0 scans not judged",
        "foreground",
    ] {
        assert!(table.contains(expected), "{expected}: {table}");
    }
}

#[test]
fn defects_without_masks_count_as_scans_but_not_as_pixels() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    for kind in ["good", "crack"] {
        let from = fixture.data.join("test").join(kind);
        for file in ["xyz/000.tiff", "rgb/000.png"] {
            let to = folder.path().join("test").join(kind).join(file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from.join(file), to).unwrap();
        }
    }
    let json = run!["evaluate", &fixture.model, folder.path(), "--json"].json();
    let fused = &json["all"]["channels"][2];
    assert!(fused["i_auroc"].is_number(), "{fused}");
    assert_eq!(fused["pixels"], Value::Null, "no defective pixel is known");
    run!["evaluate", &fixture.model, folder.path()].expect(0);
}

#[test]
fn scans_in_another_unit_are_the_same_scans() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let known = fixture.cloud("train/good", "000");
    let options = shapeguard_data::ReadOptions::default();
    let source = shapeguard_data::ScanSource::with_rgb(&known, fixture.image("train/good", "000"));
    let scan = shapeguard_data::read_scan(&source, &options).unwrap();
    let (cloud, _) = fixture.copy_scan(folder.path(), "mm");
    let millimetres = scan.cloud().points_m().map(|p| p.map(|x| x * 1000.0));
    let millimetres = shapeguard_core::sample::OrganizedCloud::from_parts(millimetres, scan.cloud().valid().clone());
    shapeguard_data::write_xyz_tiff(&cloud, &millimetres, true).unwrap();

    let lines = run!["inspect", &fixture.model, &cloud].json_lines(2);
    assert!(lines[0]["reason"].as_str().unwrap().contains("--unit"), "{}", lines[0]);
    let lines = run!["inspect", &fixture.model, &cloud, "--unit", "mm"].json_lines(0);
    assert_eq!(lines[0]["verdict"], json!("good"));
}

#[test]
fn a_foreground_mask_takes_the_place_of_the_table() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let masks = folder.path().join("masks");
    let middle = Grid::from_fn(GridSize::new(400, 400), |row, col| row.abs_diff(200) < 60 && col.abs_diff(200) < 60);
    for scan in ["train/good/000", "train/good/001", "train/good/002", "train/good/003", "good/000", "good/001"] {
        shapeguard_data::write_mask_png(&masks.join(scan).with_extension("png"), &middle, false).unwrap();
    }
    let model = folder.path().join("masked.shapeguard");
    let method = ["--set", "foreground.method=mask", "--false-reject-rate", "0.25"];
    let [set, mask_method, option, rate] = method;
    let error = run!["fit", &fixture.data, "-o", &model, set, mask_method, option, rate].error();
    assert!(error.contains("--mask"), "{error}");
    run!["fit", &fixture.data, "-o", &model, set, mask_method, option, rate, "--set", FEW_PATCHES, "--mask", &masks]
        .expect(0);

    let known = fixture.cloud("train/good", "001");
    assert_eq!(run!["inspect", &model, &known, "--mask", &masks].json_lines(0)[0]["verdict"], json!("good"));
    let lines = run!["inspect", &model, fixture.cloud("test/crack", "000"), "--mask", &masks].json_lines(2);
    assert!(lines[0]["reason"].as_str().unwrap().contains("000.png"), "the missing mask is named: {}", lines[0]);
    let error = run!["inspect", &fixture.model, &known, "--mask", &masks].error();
    assert!(error.contains("no effect"), "{error}");
}

#[test]
fn presets_are_listed_and_printed() {
    let list = run!["preset"].expect(0);
    assert!(list.contains("default ") && list.contains("paper "), "{list}");
    let text = run!["preset", "paper"].expect(0);
    assert!(text.contains("points_per_patch = 500") && text.contains("# paper: K"), "{text}");
}

#[test]
fn simulate_lists_what_there_is() {
    let text = run!["simulate", "--list"].expect(0);
    assert!(text.contains("biscuit") && text.contains("gear*") && text.contains("missing-part"), "{text}");
    let json = run!["simulate", "--list", "--json"].json();
    assert_eq!(keys(&json), ["categories", "suites"]);
}

#[test]
fn logs_go_to_stderr_and_follow_the_options() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("scans");
    for name in ["000", "001", "002", "003"] {
        fixture.copy_training_scan(name, &broken, name);
    }
    let (cloud, _) = fixture.copy_scan(&broken, "004");
    crate::support::truncate(&cloud);
    let model = folder.path().join("part.shapeguard");
    let args = |quiet: &'static str| {
        run![
            "fit",
            &broken,
            "-o",
            &model,
            "--set",
            FEW_PATCHES,
            "--false-reject-rate",
            "0.5",
            "--skip-unusable",
            "--force",
            "--json",
            quiet
        ]
    };
    let loud = args("-v");
    assert!(loud.err.contains("004.tiff") && loud.err.contains("left out 1 unusable"), "{}", loud.err);
    assert_eq!(loud.json()["unusable_scans"], json!(1));
    let quiet = args("-q");
    assert_eq!(quiet.err, "");
    quiet.json();
}

#[test]
fn the_demo_leaves_a_folder_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let text = run!["demo", "--out", &out].expect(0);
    assert!(text.contains("report.html") && text.contains("image AUROC"), "{text}");
    assert_eq!(
        names(&out),
        [".shapeguard-demo", "biscuit.shapeguard", "data", "metrics.json", "pictures", "report.html", "results.jsonl"]
    );
    let results = std::fs::read_to_string(out.join("results.jsonl")).unwrap();
    assert_eq!(names(&out.join("pictures")).len(), 3 * results.lines().count());
    let error = run!["demo", "--out", &out].error();
    assert!(error.contains("--force"), "{error}");
    run!["demo", "--out", &out, "--force", "--preset", "no-such"].error();
    assert!(out.join("report.html").exists(), "nothing is removed before the preset is known");
}

#[test]
fn info_tells_the_version_that_the_file_has() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shapeguard/tests/fixtures");
    for version in 1..=3 {
        let info = run!["info", fixtures.join(format!("model-v{version}.shapeguard"))].expect(0);
        assert!(info.contains(&format!(", format {version}, written by")), "{info}");
    }
}
