//! Runs the program, and shares what takes long to make.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// What a run of the program came to.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// The output of a run that must have ended with this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self.out
    }

    /// The error of a run that must have failed, told in words and without a panic.
    #[track_caller]
    pub fn error(self) -> String {
        assert_eq!(self.code, 2, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        assert!(self.err.starts_with("error: "), "{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.err
    }

    /// Lines of JSON of a run that must have ended with this exit code.
    #[track_caller]
    pub fn json_lines(self, code: i32) -> Vec<Value> {
        self.expect(code).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The JSON of a run that must have succeeded.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.expect(0)).unwrap()
    }
}

/// The program, shielded from the environment of the test.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shapeguard"));
    // A width for help texts; without a terminal on stdin it is the one that counts.
    command.env("COLUMNS", "100").env_remove("RUST_LOG").env_remove("RAYON_NUM_THREADS").stdin(Stdio::null());
    command
}

/// Runs the program.
pub fn shapeguard(threads: Option<usize>, args: Vec<OsString>) -> Run {
    let mut command = command();
    if let Some(threads) = threads {
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    let output = command.args(args).output().unwrap();
    Run {
        code: output.status.code().expect("not ended by a signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program with arguments of any kind of text; `threads = N;` in front sets their number.
macro_rules! run {
    (threads = $threads:expr; $($arg:expr),* $(,)?) => {
        $crate::support::shapeguard(Some($threads), vec![$(std::ffi::OsString::from($arg)),*])
    };
    ($($arg:expr),* $(,)?) => {
        $crate::support::shapeguard(None, vec![$(std::ffi::OsString::from($arg)),*])
    };
}
pub(crate) use run;

/// A small simulated dataset and a model that was fitted to it.
pub struct Fixture {
    _folder: TempDir,
    /// What `simulate --json` printed.
    pub simulated: Value,
    /// The category's folder: 4 training, 2 validation, 1 good and 2 defective test scans.
    pub data: PathBuf,
    /// The model.
    pub model: PathBuf,
    /// What `fit --json` printed.
    pub fitted: Value,
}

/// Few patches, for speed.
pub const FEW_PATCHES: &str = "patches.overlap=2";

/// The one dataset and model of all tests.
pub fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let simulated = run![
            "simulate",
            "--category",
            "biscuit",
            "--train",
            "4",
            "--validation",
            "2",
            "--good",
            "1",
            "--defective",
            "2",
            "--strength",
            "2",
            "--seed",
            "5",
            "--out",
            folder.path(),
            "--json"
        ]
        .json();
        let data = folder.path().join("biscuit");
        let model = folder.path().join("biscuit.shapeguard");
        let fitted =
            run!["fit", &data, "-o", &model, "--set", FEW_PATCHES, "--false-reject-rate", "0.25", "--json"].json();
        Fixture { _folder: folder, simulated, data, model, fitted }
    })
}

impl Fixture {
    /// A scan's cloud.
    pub fn cloud(&self, folder: &str, name: &str) -> PathBuf {
        self.data.join(folder).join("xyz").join(name).with_extension("tiff")
    }

    /// A scan's colour image.
    pub fn image(&self, folder: &str, name: &str) -> PathBuf {
        self.data.join(folder).join("rgb").join(name).with_extension("png")
    }

    /// Copies the first training scan to `folder/{xyz,rgb}/name`; returns the paths of cloud and image.
    pub fn copy_scan(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        self.copy_training_scan("000", folder, name)
    }

    /// Copies a training scan to `folder/{xyz,rgb}/name`; returns the paths of cloud and image.
    pub fn copy_training_scan(&self, which: &str, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let cloud = folder.join("xyz").join(name).with_extension("tiff");
        let image = folder.join("rgb").join(name).with_extension("png");
        for (from, to) in [(self.cloud("train/good", which), &cloud), (self.image("train/good", which), &image)] {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
        (cloud, image)
    }
}

/// Cuts a file in the middle.
pub fn truncate(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// Names in a folder, sorted; hidden ones too, so that what was left behind shows.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The keys of a JSON object, sorted.
pub fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
