//! One model for several categories, from `fit` to `bench`.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{FEW_PATCHES, Run, fixture, keys, names, run};

/// Categories on disk, and a model of two of them.
pub struct Several {
    _folder: TempDir,
    /// `biscuit` and `cork`, as the other tests' category is, and `hinge`, which has tests alone.
    root: PathBuf,
    /// Knows biscuit and cork.
    pub model: PathBuf,
    /// What `fit --json` printed.
    fitted: Value,
}

pub fn several() -> &'static Several {
    static SEVERAL: OnceLock<Several> = OnceLock::new();
    SEVERAL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("parts");
        copy(&fixture().data, &root.join("biscuit"));
        simulate("cork", [4, 2, 1, 2], &root);
        let model = folder.path().join("parts.shapeguard");
        let fitted = fit(&root, &model, "--json").json();
        simulate("hinge", [0, 0, 1, 1], &root);
        Several { _folder: folder, root, model, fitted }
    })
}

fn simulate(category: &str, counts: [usize; 4], root: &Path) {
    let [train, validation, good, defective] = counts.map(|count| count.to_string());
    let counts =
        ["--train", &train, "--validation", &validation, "--good", &good, "--defective", &defective, "--strength", "2"];
    let mut args: Vec<std::ffi::OsString> = vec!["simulate".into(), "--category".into(), category.into()];
    args.extend(counts.map(Into::into));
    args.extend(["--seed".into(), "5".into(), "--out".into(), root.into()]);
    crate::support::shapeguard(None, args).expect(0);
}

fn fit(root: &Path, model: &Path, option: &str) -> Run {
    run!["fit", root, "-o", model, "--set", FEW_PATCHES, "--false-reject-rate", "0.25", option]
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

fn cloud(category: &str, folder: &str) -> PathBuf {
    several().root.join(category).join(folder).join("xyz/000.tiff")
}

#[test]
fn fit_over_several_categories_tells_of_each_and_info_tells_the_same() {
    let Several { model, fitted, .. } = several();
    let of_each = fitted["categories"].as_array().unwrap();
    let names: Vec<&str> = of_each.iter().map(|category| category["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["biscuit", "cork"]);
    // Each category is learnt as a model for it alone would.
    for key in ["training_scans", "validation_scans", "sdf_features", "rgb_features", "threshold", "threshold_basis"] {
        assert_eq!(of_each[0][key], fixture().fitted[key], "{key}");
    }
    let info = run!["info", model, "--json"].json();
    assert_eq!(info["file_bytes"], fitted["file_bytes"]);
    assert_eq!(info["categories"][1]["threshold"]["score"], of_each[1]["threshold"]);
    assert_eq!(info["categories"][1]["provenance"]["name"], "cork");
    assert!(info["categories"][0]["typical_distance"].as_f64().unwrap() > 0.0);
    let text = run!["info", model].expect(0);
    for expected in ["categories         2", "cork", "4 scans learnt from, 2 kept aside", "compact (built in)"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let one = run!["info", model, "--category", "cork", "--json"].json();
    assert_eq!((&one["provenance"]["name"], &one["threshold"]["score"]), (&json!("cork"), &of_each[1]["threshold"]));
    assert_eq!(run!["info", model, "--settings"].expect(0), run!["info", &fixture().model, "--settings"].expect(0));
    let error = run!["info", model, "--category", "fig"].error();
    assert!(error.contains("--category") && error.contains("it has biscuit, cork"), "{error}");
}

#[test]
fn one_thread_fits_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("parts");
    ["biscuit", "cork"].iter().for_each(|name| copy(&several().root.join(name), &root.join(name)));
    let again = folder.path().join("again.shapeguard");
    let rate = "0.25";
    let text =
        run![threads = 1; "fit", &root, "-o", &again, "--set", FEW_PATCHES, "--false-reject-rate", rate].expect(0);
    assert!(text.contains("2 categories, preset default") && text.contains("4 learnt from, 2 kept aside"), "{text}");
    assert!(std::fs::read(&again).unwrap() == std::fs::read(&several().model).unwrap());
    assert_eq!(names(folder.path()), ["again.shapeguard", "parts"]);
}

#[test]
fn what_is_wrong_with_one_category_is_said_before_the_work_on_any() {
    let folder = tempfile::tempdir().unwrap();
    let (root, model) = (folder.path().join("parts"), folder.path().join("model"));
    ["biscuit", "cork"].iter().for_each(|name| copy(&several().root.join(name), &root.join(name)));
    let error = run!["fit", &root, "-o", &model, "--name", "all"].error();
    assert!(error.contains("--name all") && error.contains("called after their folders"), "{error}");
    let error = run!["fit", &root, "-o", &model].error();
    assert!(error.contains("category biscuit") && error.contains("at least 19 good samples, found 6"), "{error}");
    std::fs::remove_file(root.join("cork/train/good/rgb/002.png")).unwrap();
    let error = fit(&root, &model, "-q").error();
    assert!(error.contains("category cork") && error.contains("1 of the good scans cannot be used"), "{error}");
    simulate("hinge", [0, 0, 1, 1], &root);
    let error = fit(&root, &model, "--skip-unusable").error();
    assert!(error.contains("category hinge") && error.contains("at least 2 usable good scans, found 0"), "{error}");
    assert!(!model.exists());
}

#[test]
fn inspect_says_which_part_it_is() {
    let Several { model, root, .. } = several();
    let (biscuit, cork) = (cloud("biscuit", "train/good"), cloud("cork", "test/good"));
    let run = run!["inspect", model, &biscuit, &cork];
    let code = run.code;
    let lines = run.json_lines(code);
    for (line, category) in lines.iter().zip(["biscuit", "cork"]) {
        assert_eq!((&line["category"], &line["nearest_category"]), (&json!(category), &json!(category)));
        assert!(line["confidence"].as_f64().unwrap() > 0.5 && line["distance"].as_f64().unwrap() <= 2.0, "{line}");
    }
    // The same verdict as that of a model for biscuits alone.
    let alone = &run!["inspect", &fixture().model, &biscuit].json_lines(0)[0];
    for key in ["verdict", "score", "threshold", "p_value", "scores", "peak", "patches", "threshold_basis"] {
        assert_eq!(lines[0][key], alone[key], "{key}");
    }
    let extra: Vec<&str> = keys(&lines[0]).into_iter().filter(|key| !keys(alone).contains(key)).collect();
    assert_eq!(extra, ["category", "confidence", "distance", "nearest_category"]);

    // A part that it never saw is not judged, unless its category is given.
    let hinge = root.join("hinge/test");
    let lines = run!["inspect", model, &hinge].json_lines(2);
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!((&line["verdict"], &line["category"]), (&json!("not-judged"), &Value::Null));
        assert!(line["reason"].as_str().unwrap().contains("the model knows biscuit, cork"), "{line}");
        assert!(line["confidence"].as_f64().unwrap() < 0.5 && line["distance"].as_f64().unwrap() > 2.0, "{line}");
    }
    let lines = run!["inspect", model, &hinge, "--category", "cork"].json_lines(1);
    assert!(lines.iter().all(|line| line["category"] == "cork" && line["confidence"] == Value::Null));

    let folder = tempfile::tempdir().unwrap();
    let table = run!["inspect", model, &biscuit, &hinge, "--human", "--out", folder.path()].expect(2);
    for expected in
        ["category", "biscuit  ", "unknown  ", "thresholds biscuit ", "3 scans: 1 good, 0 rejected, 2 not judged"]
    {
        assert!(table.contains(expected), "{expected}: {table}");
    }
    let pictures = names(folder.path());
    assert_eq!(pictures.len(), 2, "there is nothing to draw of an unknown part: {pictures:?}");
    let error = run!["inspect", model, &biscuit, "--category", "hinge"].error();
    assert!(error.contains("no category \"hinge\"") && error.contains("biscuit, cork"), "{error}");
    let error = run!["inspect", &fixture().model, &biscuit, "--category", "cork"].error();
    assert!(error.contains("no category \"cork\"; it has biscuit"), "{error}");
    run!["inspect", &fixture().model, &biscuit, "--category", "biscuit"].expect(0);
    let missing = &run!["inspect", model, root.join("missing.ply"), "--category", "cork"].json_lines(2)[0];
    assert_eq!((&missing["category"], &missing["verdict"]), (&json!("cork"), &json!("not-judged")));
}

#[test]
fn evaluate_measures_each_category_and_the_routing() {
    let Several { model, root, .. } = several();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let json = run!["evaluate", model, root, "--json", "--report", &report].json();
    let categories = json["categories"].as_array().unwrap();
    // Each as a model for it alone.
    let alone = run!["evaluate", &fixture().model, &fixture().data, "--json"].json();
    assert_eq!(categories[0]["name"], "biscuit");
    for key in ["all", "kinds", "scans", "false_reject_rate", "detection_rate"] {
        assert_eq!(categories[0][key], alone[key], "{key}");
    }
    for category in categories {
        let routing = &category["routing"];
        assert_eq!((&routing["good"]["scans"], &routing["defective"]["scans"]), (&json!(1), &json!(2)));
        assert_eq!(routing["good"]["own"], json!(1), "{routing}");
    }
    let summary = &json["summary"];
    let i_auroc = |category: &Value| category["all"]["channels"][2]["i_auroc"].as_f64().unwrap();
    let mean = (i_auroc(&categories[0]) + i_auroc(&categories[1])) / 2.0;
    assert!((summary["means"][2]["i_auroc"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert_eq!(summary["routing_accuracy_good"], json!(1.0));
    let hinge = &json["strangers"][0];
    assert_eq!((&hinge["name"], &hinge["routing"]["good"]["unknown"]), (&json!("hinge"), &json!(1)));
    assert_eq!((&summary["strangers"]["good"]["scans"], &json["not_tested"]), (&json!(1), &json!([])));

    // An overview, and a report for each category that the model knows.
    assert_eq!(names(folder.path()), ["report-biscuit.html", "report-cork.html", "report.html"]);
    let html = std::fs::read_to_string(&report).unwrap();
    for expected in ["2 categories in one model", "href=\"report-cork.html\"", "hinge", "not in the model"] {
        assert!(html.contains(expected), "{expected}: {html}");
    }
    std::fs::remove_file(&report).unwrap();
    let error = run!["evaluate", model, root, "--report", &report].error();
    assert!(error.contains("report-biscuit.html") && error.contains("--force"), "{error}");
    assert_eq!(names(folder.path()).len(), 2, "refused before the work");

    let table = run!["evaluate", model, root].expect(0);
    for expected in [
        "2 categories; preset default",
        "mean ",
        "2 of 2 good scans routed to their own category (100 %), 0 called unknown",
        "hinge (not in the model): 2 of 2 scans called unknown",
        "0 scans not judged",
    ] {
        assert!(table.contains(expected), "{expected}: {table}");
    }
}

#[test]
fn evaluate_takes_one_category_of_several() {
    let Several { model, root, .. } = several();
    let json = run!["evaluate", model, root.join("cork"), "--json"].json();
    assert_eq!(json["categories"].as_array().unwrap().len(), 1);
    assert_eq!(json["not_tested"], json!(["biscuit"]));
    let folder = tempfile::tempdir().unwrap();
    let renamed = folder.path().join("stoppers");
    copy(&root.join("cork"), &renamed);
    let error = run!["evaluate", model, &renamed].error();
    assert!(error.contains("no category \"stoppers\"") && error.contains("--category"), "{error}");
    let again = run!["evaluate", model, &renamed, "--category", "cork", "--json"].json();
    assert_eq!(again["categories"][0]["all"], json["categories"][0]["all"]);
    let error = run!["evaluate", model, root, "--category", "cork"].error();
    assert!(error.contains("holds several categories") && error.contains("leave it out"), "{error}");
    let error = run!["evaluate", &fixture().model, root].error();
    assert!(error.contains("the model knows one, biscuit; found biscuit, cork, hinge"), "{error}");
    // Nothing of what is there is known.
    let strangers = folder.path().join("strangers");
    copy(&root.join("hinge"), &strangers.join("a"));
    copy(&root.join("hinge"), &strangers.join("b"));
    let error = run!["evaluate", model, &strangers].error();
    assert!(error.contains("called like a category of the model") && error.contains("found a, b"), "{error}");
}

#[test]
fn bench_measures_routing_too() {
    let Several { model, .. } = several();
    let printed = run!["bench", model, cloud("cork", "train/good"), "--json"].json();
    let preset = &printed["presets"][0];
    assert_eq!(preset["good_scans"], 8);
    let stages = preset["inspection"]["stages"].as_array().unwrap();
    assert!(stages.iter().any(|stage| stage["stage"] == "routing"), "{preset}");
    let error = run!["bench", model, cloud("hinge", "test/good")].error();
    assert!(error.contains("unknown part"), "{error}");
}
