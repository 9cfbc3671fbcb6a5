//! `reproduce`: tables on a few simulated scans, going on where it was interrupted, and what it refuses.

use std::path::Path;

use crate::support::{fixture, names, run};

/// Without the parts that take long on the paper's network.
const CHEAP: [&str; 6] = ["--shape-expert", "compact", "--colour", "embedded", "--without", "points-per-patch,timing"];

fn modified(path: &Path) -> std::time::SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

#[test]
fn tables_are_made_and_an_interrupted_run_goes_on() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tables");
    let [expert, compact, colour, embedded, without, parts] = CHEAP;
    let printed =
        run!["reproduce", &fixture.data, "-o", &out, expert, compact, colour, embedded, without, parts, "--json"]
            .json();
    let tables: Vec<&str> =
        printed["tables"].as_array().unwrap().iter().map(|table| table["id"].as_str().unwrap()).collect();
    assert_eq!(tables, ["table-1", "table-2", "figure-6", "table-3", "table-5", "table-6", "fired"]);
    assert!(printed["warnings"][0].as_str().unwrap().contains("MVTec 3D-AD"));
    let made = [
        ".shapeguard-reproduction",
        "categories",
        "figures",
        "reproduction.html",
        "reproduction.json",
        "reproduction.md",
    ];
    assert_eq!(names(&out), made);

    // The category is kept: the second run measures nothing, and says the same.
    let kept = out.join("categories/biscuit.json");
    let before = modified(&kept);
    let again = run![
        threads = 1; "reproduce", &fixture.data, "-o", &out, expert, compact, colour, embedded, without, parts, "--json"
    ]
    .json();
    assert_eq!(again["tables"], printed["tables"]);
    assert_eq!(modified(&kept), before);

    // Other settings are other figures: refused, unless told to measure again.
    let other = |more: &[&str]| {
        let mut args: Vec<std::ffi::OsString> =
            vec!["reproduce".into(), fixture.data.clone().into(), "-o".into(), out.clone().into()];
        args.extend([expert, compact, colour, embedded, "--set", "patches.overlap=2", without].map(Into::into));
        args.push("points-per-patch,timing,coding,full-bank,baselines".into());
        args.extend(more.iter().map(Into::into));
        crate::support::shapeguard(None, args)
    };
    let error = other(&[]).error();
    assert!(error.contains("biscuit.json") && error.contains("--force"), "{error}");
    let summary = other(&["--force"]).expect(0);
    assert!(summary.contains("Shape-Guided") && summary.contains("reproduction.html"), "{summary}");
    assert!(modified(&kept) > before);
    other(&[]).expect(0);
}

#[test]
fn the_estimate_writes_nothing() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tables");
    let [expert, compact, colour, embedded, ..] = CHEAP;
    let estimate =
        run!["reproduce", &fixture.data, "-o", &out, expert, compact, colour, embedded, "--estimate", "--json"].json();
    assert!(estimate["cpu_seconds"].as_f64().unwrap() > 0.0 && estimate["bytes"].as_u64().unwrap() > 100_000_000);
    // 4 training and 3 test scans, for each of four numbers of points, and three ways to be timed on three scans.
    assert_eq!(estimate["scans"], 4 * 7 + 9);
    assert!(!out.exists());
}

#[test]
fn what_it_cannot_work_with_is_refused_before_the_work() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tables");
    let refused = |options: &[&str]| {
        let mut args: Vec<std::ffi::OsString> =
            vec!["reproduce".into(), fixture.data.clone().into(), "-o".into(), out.clone().into()];
        args.extend(options.iter().map(Into::into));
        let mut command = crate::support::command();
        // No weights are there that somebody fetched.
        let run = command.args(&args).env("XDG_CACHE_HOME", folder.path()).output().unwrap();
        assert_eq!(run.status.code(), Some(2), "{options:?}");
        String::from_utf8(run.stderr).unwrap()
    };
    let no_weights = refused(&["--shape-expert", "compact"]);
    assert!(no_weights.contains("shapeguard weights pull wide-resnet50-2") && no_weights.contains("--colour embedded"));
    let no_category = refused(&["--colour", "embedded", "--categories", "teapot"]);
    assert!(no_category.contains("teapot") && no_category.contains("biscuit"), "{no_category}");
    let no_part = refused(&["--without", "figures"]);
    assert!(no_part.contains("full-bank, points-per-patch, coding, baselines, timing"), "{no_part}");
    let side = refused(&["--set", "image.side_px=320"]);
    assert!(side.contains("image.side_px is 320") && side.contains("--also"), "{side}");
    let steps = refused(&["--shape-expert", "shipped", "--training-steps", "5"]);
    assert!(steps.contains("--training-steps has no effect"), "{steps}");
    assert!(!out.exists(), "refused before anything is made");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("mine.txt"), "mine").unwrap();
    let foreign = refused(&["--shape-expert", "compact", "--colour", "embedded"]);
    assert!(foreign.contains("expected an empty folder"), "{foreign}");
    assert_eq!(names(&out), ["mine.txt"]);
}

#[test]
fn without_training_the_remedy_is_named() {
    if cfg!(feature = "train") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let error = run!["reproduce", &fixture().data, "-o", folder.path().join("tables"), "--colour", "embedded"].error();
    assert!(error.contains("--features train") && error.contains("--shape-expert shipped"), "{error}");
}

#[test]
fn an_expert_is_trained_on_the_datasets_own_scans_and_kept() {
    if !cfg!(feature = "train") {
        return;
    }
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tables");
    // One step of the published 600 epochs: that it goes through is tested here, what it learns elsewhere.
    let train = |quirks: Option<&str>| {
        let mut args: Vec<std::ffi::OsString> =
            vec!["reproduce".into(), fixture.data.clone().into(), "-o".into(), out.clone().into()];
        let options = ["--colour", "embedded", "--training-steps", "1", "--set", "patches.overlap=1", "--json"];
        args.extend(options.into_iter().map(Into::into));
        args.extend(["--without", "full-bank,points-per-patch,coding,baselines,timing"].map(Into::into));
        args.extend(quirks.map(Into::into));
        crate::support::shapeguard(None, args)
    };
    let first = train(None);
    assert!(first.err.contains("training takes about"), "{}", first.err);
    let printed = first.json();
    let expert = printed["origin"]["shape_expert"].as_str().unwrap();
    assert!(expert.starts_with("trained here (up to 20 scans of each category, 4 in all; 1 step, loss "), "{expert}");
    let weights = out.join("shape-expert.safetensors");
    let before = modified(&weights);
    let again = train(None);
    assert!(!again.err.contains("training takes"), "{}", again.err);
    assert_eq!(again.json()["tables"], printed["tables"]);
    assert_eq!(modified(&weights), before);
    // With the reference's encoder input it is another expert.
    let other = train(Some("--reference-quirks"));
    assert_eq!(other.code, 2);
    assert!(other.err.contains("shape-expert.safetensors") && other.err.contains("--force"), "{}", other.err);
}
