//! Spelling, by the `typos` program with the settings in `typos.toml`.
//!
//! It comes as a wheel from PyPI, so that nothing is compiled merely as a tool, in a virtual environment of its own
//! below the target folder. Another version on the PATH serves too, with a warning: its word list may differ.

use crate::process::{capture, pass_through};
use crate::report::{Findings, line};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A newer version knows more words, so a step up is a change like any other.
const VERSION: &str = "1.52.0";

/// Checks every file that git doesn't ignore.
pub fn check(workspace: &Workspace) -> Result<Findings> {
    let folder = workspace.target.join("tools").join(format!("typos-{VERSION}"));
    let pinned = program(&folder);
    let on_path = Path::new("typos");
    let mut warnings = Vec::new();
    let chosen = if version(&pinned).is_some_and(|found| found == VERSION) {
        pinned
    } else {
        match version(on_path) {
            Some(found) if found == VERSION => on_path.to_owned(),
            _ if workspace.install => install(&folder)?,
            Some(found) => {
                warnings.push(format!("typos {found} from the PATH is used; continuous integration uses {VERSION}"));
                on_path.to_owned()
            }
            None => bail!(
                "the spelling checker `typos` is neither on the PATH nor at {}; `cargo xtask spelling --install` fetches \
                 it there (needs python3), or `pip install typos=={VERSION}` puts it on the PATH",
                pinned.display()
            ),
        }
    };
    let mut command = Command::new(chosen);
    command.current_dir(&workspace.root).stdin(Stdio::null());
    let mut findings = pass_through(command.args(["--config", "typos.toml", "."]))?;
    for error in &mut findings.errors {
        error.push_str("; correct the words, or list those that are right in typos.toml");
    }
    findings.warnings = warnings;
    Ok(findings)
}

/// Where a virtual environment keeps the program.
fn program(folder: &Path) -> PathBuf {
    if cfg!(windows) { folder.join("Scripts").join("typos.exe") } else { folder.join("bin").join("typos") }
}

/// The version of the program, if it can be run.
fn version(program: &Path) -> Option<String> {
    let text = capture(Command::new(program).arg("--version").stdin(Stdio::null())).ok()?;
    parse_version(&text)
}

fn parse_version(text: &str) -> Option<String> {
    text.trim().strip_prefix("typos-cli ").map(str::to_owned)
}

/// Makes the virtual environment anew and puts the wheel into it.
fn install(folder: &Path) -> Result<PathBuf> {
    line(&format!("   fetching typos {VERSION} into {}", folder.display()));
    let remedy =
        "install python3 with its venv module (Debian: `apt-get install python3-venv`), or put `typos` on the PATH";
    let python = if cfg!(windows) { "python" } else { "python3" };
    let mut environment = Command::new(python);
    environment.args(["-m", "venv", "--clear"]).arg(folder).stdin(Stdio::null());
    capture(&mut environment).with_context(|| format!("no virtual environment for the spelling checker; {remedy}"))?;
    let interpreter = if cfg!(windows) { folder.join("Scripts").join("python.exe") } else { folder.join("bin/python") };
    let mut pip = Command::new(interpreter);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary", ":all:"])
        .arg(format!("typos=={VERSION}"))
        .stdin(Stdio::null());
    capture(&mut pip).context("the wheel of the spelling checker could not be fetched; is PyPI reachable?")?;
    let program = program(folder);
    match version(&program) {
        Some(found) if found == VERSION => Ok(program),
        found => bail!(
            "{} was installed as typos {VERSION} but calls itself {}; remove {} and run the step again",
            program.display(),
            found.as_deref().unwrap_or("nothing that can be read"),
            folder.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_program_prints() {
        assert_eq!(parse_version("typos-cli 1.52.0\n").as_deref(), Some("1.52.0"));
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn an_absent_program_has_no_version() {
        assert_eq!(version(Path::new("/no/such/typos")), None);
    }

    #[test]
    fn the_settings_exclude_what_is_no_prose() {
        let settings = include_str!("../../typos.toml");
        for excluded in ["Cargo.lock", "*.svg", "goldens", "weights"] {
            assert!(settings.contains(excluded), "typos.toml doesn't exclude {excluded}");
        }
        assert!(settings.contains("locale = \"en-gb\""));
    }
}
