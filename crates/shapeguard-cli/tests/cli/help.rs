//! The help texts, as they are committed in `help/*.txt`.
//!
//! Regenerate with `SHAPEGUARD_UPDATE_HELP=1 cargo test --release -p shapeguard-cli --features train --test cli help`, and
//! read the diff. Without the feature `train` only the help of `train-expert` is left out; all others are the same.

use std::path::Path;

use crate::support::{command, run, shapeguard};

const COMMANDS: [&[&str]; 22] = [
    &[],
    &["demo"],
    &["simulate"],
    &["fit"],
    &["inspect"],
    &["evaluate"],
    &["bench"],
    &["reproduce"],
    &["serve"],
    &["watch"],
    &["token"],
    &["token", "add"],
    &["history"],
    &["history", "list"],
    &["history", "export"],
    &["history", "verify"],
    &["info"],
    &["preset"],
    &["weights"],
    &["weights", "list"],
    &["weights", "pull"],
    TRAIN_EXPERT,
];

const TRAIN_EXPERT: &[&str] = &["train-expert"];

#[test]
fn help_is_as_committed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help");
    let update = std::env::var_os("SHAPEGUARD_UPDATE_HELP").is_some();
    for words in COMMANDS {
        if words == TRAIN_EXPERT && !cfg!(feature = "train") {
            continue;
        }
        let args = words.iter().chain(&["--help"]).map(Into::into).collect();
        let help = shapeguard(None, args).expect(0);
        let name = if words.is_empty() { "shapeguard".to_owned() } else { words.join("-") };
        let path = folder.join(name).with_extension("txt");
        if update {
            std::fs::write(&path, &help).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(help == committed, "the help of {words:?} differs from {}; it is now\n{help}", path.display());
        assert!(help.lines().all(|line| line.chars().count() <= 100 || line.contains("shapeguard ")), "{help}");
    }
}

#[test]
fn training_that_is_not_built_in_names_the_command_that_has_it() {
    if cfg!(feature = "train") {
        return;
    }
    for args in [vec!["train-expert"], vec!["train-expert", "--help"], vec!["train-expert", "--steps", "5", "x"]] {
        let error = shapeguard(None, args.iter().map(Into::into).collect()).error();
        assert!(error.contains("cargo run --release --features train -- train-expert"), "{error}");
    }
}

#[test]
fn version_is_the_packages() {
    assert_eq!(run!["--version"].expect(0).trim(), format!("shapeguard {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_right() {
    for (args, expected) in [
        (vec!["fit"], "--output <FILE>"),
        (vec!["inspect", "model"], "<SCAN>"),
        (vec!["inspect", "model", "scan", "--ply"], "--out <DIR>"),
        (vec!["simulate", "--suite", "v1", "--train", "3", "--out", "x"], "cannot be used with"),
        (vec!["inspect", "model", "scan", "--unit", "inch"], "expected a unit m, mm or um"),
        (vec!["inspect", "model", "scan", "--grid", "640"], "ROWSxCOLS"),
        (vec!["inspect", "model", "scan", "--frame", "world"], "camera, other"),
        (vec!["preset", "-v", "-q"], "cannot be used with"),
        (vec!["fitt"], "fit"),
    ] {
        let run = shapeguard(None, args.iter().map(Into::into).collect());
        assert_eq!(run.code, 2, "{args:?}");
        assert!(run.err.contains(expected) && run.out.is_empty(), "{args:?}: {}", run.err);
    }
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command().args(["preset", "paper"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
