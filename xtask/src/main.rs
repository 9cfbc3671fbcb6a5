//! The project's one gate: `cargo xtask ci` runs every check that a change must pass, and `.ci/run` runs nothing else.
//!
//! One profile (release) and one feature set (all but training on a GPU) serve every step but one, so that an empty target directory is filled
//! once: clippy and the documentation share the dependencies' metadata, the tests compile the rest. The exception checks,
//! without compiling it to the end, the program as it is built by default.

mod arrows;
mod core_source;
mod lengths;
mod licences;
mod process;
mod report;
mod spelling;
mod steps;
mod workspace;

use anyhow::Result;
use std::process::ExitCode;
use steps::{STEPS, Step};
use workspace::Workspace;

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Help,
    /// Run these steps in this order; `install` lets a step fetch the tool that it needs.
    Run {
        steps: Vec<&'static str>,
        fail_fast: bool,
        install: bool,
    },
    Wrong(String),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    match parse(&arguments) {
        Request::Help => {
            report::line(&help());
            ExitCode::SUCCESS
        }
        Request::Wrong(message) => {
            report::complain(&format!("error: {message}\n\n{}", help()));
            ExitCode::from(2)
        }
        Request::Run { steps, fail_fast, install } => match run(&steps, fail_fast, install) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => {
                report::complain(&format!("error: {error:#}"));
                ExitCode::from(2)
            }
        },
    }
}

fn run(names: &[&str], fail_fast: bool, install: bool) -> Result<bool> {
    let workspace = Workspace::load(install)?;
    let chosen: Vec<&Step> = names.iter().filter_map(|name| STEPS.iter().find(|step| step.name == *name)).collect();
    Ok(steps::run_all(&chosen, &workspace, fail_fast, &mut report::line))
}

fn parse(arguments: &[String]) -> Request {
    let (mut steps, mut fail_fast, mut install) = (Vec::new(), false, false);
    for argument in arguments {
        match argument.as_str() {
            "-h" | "--help" | "help" => return Request::Help,
            "--fail-fast" => fail_fast = true,
            "--install" => install = true,
            "ci" => {
                steps.extend(STEPS.iter().map(|step| step.name));
                install = true;
            }
            name => match STEPS.iter().find(|step| step.name == name) {
                Some(step) => steps.push(step.name),
                None => return Request::Wrong(format!("`{name}` is neither a step nor an option of `cargo xtask`")),
            },
        }
    }
    if steps.is_empty() {
        return Request::Wrong("no step is named; `ci` runs them all".to_owned());
    }
    Request::Run { steps, fail_fast, install }
}

fn help() -> String {
    let steps: String = STEPS.iter().map(|step| format!("  {:<10} {}\n", step.name, step.about)).collect();
    format!(
        "\
The one gate of this project.

Usage: cargo xtask <STEP>... [OPTIONS]

Steps:
  ci         all of the following, in this order; every failure is shown at the end
{steps}
Options:
  --fail-fast  stop at the first step that fails
  --install    fetch the spelling checker if it is absent (`ci` does so by itself)
  -h, --help   this text

Exit codes: 0 every step passed, 1 some step failed, 2 the gate could not run.

Examples:
  cargo xtask ci                      what continuous integration runs
  cargo xtask ci --fail-fast          the same, but stop at the first failure
  cargo xtask arrows licences         two cheap steps only
  cargo xtask spelling --install      the spelling, with the checker fetched into target/"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Request {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn ci_is_every_step_in_the_table_s_order() {
        let expected =
            ["format", "arrows", "lengths", "licences", "spelling", "clippy", "default", "docs", "tests"].to_vec();
        assert_eq!(request("ci"), Request::Run { steps: expected, fail_fast: false, install: true });
    }

    #[test]
    fn steps_and_options_combine() {
        let expected = Request::Run { steps: vec!["arrows", "licences"], fail_fast: true, install: false };
        assert_eq!(request("arrows --fail-fast licences"), expected);
    }

    #[test]
    fn an_unknown_word_or_none_at_all_is_a_usage_error() {
        assert!(matches!(request("lint"), Request::Wrong(message) if message.contains("`lint`")));
        assert!(matches!(request(""), Request::Wrong(message) if message.contains("`ci`")));
    }

    #[test]
    fn help_lists_every_step_and_an_example() {
        assert_eq!(request("clippy --help"), Request::Help);
        let text = help();
        for step in STEPS {
            assert!(text.contains(&format!("\n  {:<10} {}\n", step.name, step.about)), "{} is missing", step.name);
        }
        assert!(text.contains("cargo xtask ci   "));
    }
}
