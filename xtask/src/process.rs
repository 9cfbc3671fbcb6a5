//! Starting other programs.

use crate::report::{Findings, line};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// A cargo command in `directory`, without standard input and without what the `cargo run` that started this program
/// left in the environment: some build scripts watch `CARGO_PKG_*` and would be run again for nothing.
pub fn cargo(directory: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(belongs_to_the_running_package) {
            command.env_remove(name);
        }
    }
    command
}

fn belongs_to_the_running_package(variable: &str) -> bool {
    const EXACT: [&str; 6] = [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_MANIFEST_LINKS",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
    ];
    variable.starts_with("CARGO_PKG_") || EXACT.contains(&variable)
}

/// Runs the command with its output passed through; a failure is one error that names the command.
pub fn pass_through(command: &mut Command) -> Result<Findings> {
    let shown = show(command);
    line(&format!("   $ {shown}"));
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    let errors = if status.success() { vec![] } else { vec![format!("`{shown}` failed ({status}); see its output")] };
    Ok(Findings { errors, ..Findings::default() })
}

/// Runs the command and returns its standard output; a failure carries what it said on standard error.
pub fn capture(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of `{shown}` is not UTF-8"))
}

/// The command as one would type it, the variables set for it first.
fn show(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}=\"{}\"", name.to_string_lossy(), value.to_string_lossy()))
    });
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy().into_owned());
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_package_s_variables_are_dropped_and_the_user_s_settings_kept() {
        assert!(belongs_to_the_running_package("CARGO_PKG_NAME"));
        assert!(belongs_to_the_running_package("CARGO_MANIFEST_DIR"));
        for kept in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "CARGO_NET_OFFLINE", "CARGO"] {
            assert!(!belongs_to_the_running_package(kept), "{kept}");
        }
    }

    #[test]
    fn commands_are_shown_as_one_would_type_them() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["doc", "--release"]).env("RUSTDOCFLAGS", "-D warnings").env_remove("CARGO_PKG_NAME");
        assert_eq!(show(&command), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --release");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = capture(&mut Command::new("no-such-program-anywhere")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-anywhere"), "{error}");
    }
}
