//! The steps of the gate, in the order in which they fail fastest, and the account of a run.

use crate::process::{cargo, pass_through};
use crate::report::Findings;
use crate::workspace::{Package, Workspace};
use crate::{arrows, lengths, licences, spelling};
use anyhow::{Result, ensure};
use std::process::Command;
use std::time::Instant;

/// One check.
pub struct Step {
    /// Its subcommand.
    pub name: &'static str,
    /// What it checks, for the help.
    pub about: &'static str,
    run: fn(&Workspace) -> Result<Findings>,
}

/// Every step. `ci` keeps this order: what takes no compiler comes first.
pub const STEPS: &[Step] = &[
    Step { name: "format", about: "cargo fmt: nothing left to format", run: format },
    Step {
        name: "arrows",
        about: "which crate uses which; core without files, clock or hidden randomness",
        run: arrows::check,
    },
    Step { name: "lengths", about: "a hint at Rust files of more than 800 lines; never fails", run: lengths::check },
    Step {
        name: "licences",
        about: "every crate that is linked in against the list of allowed licences",
        run: licences::check,
    },
    Step { name: "spelling", about: "typos, in British spelling", run: spelling::check },
    Step { name: "clippy", about: "all targets, all features but training on a GPU, warnings are errors", run: clippy },
    Step {
        name: "default",
        about: "clippy of the program as it is built by default: without training, and with its own dependencies alone",
        run: default_build,
    },
    Step { name: "docs", about: "rustdoc of every crate, warnings are errors", run: docs },
    Step { name: "tests", about: "all tests, documentation examples included", run: tests },
];

// One profile and one feature set: what one step has built, the next one finds. The default build is the exception: it has
// code of its own, and features of dependencies that other crates turn on could hide that it lacks them. So it is checked
// as a user builds it. It shares most dependencies with the other steps and does without the tensor framework.

const FORMAT: &[&str] = &["fmt", "--all", "--check"];
/// Features that no step compiles: the tensor framework's own GPU backend takes as long to compile as all else together
/// (docs/gpu.md). They add to what other features compile and change nothing of it. Their licences are checked all the same;
/// CONTRIBUTING.md names the commands that check the rest.
const LEFT_OUT: &[&str] = &["shapeguard-cli/train-gpu", "shapeguard-train/gpu"];

const CLIPPY: &[&str] = &["clippy", "--workspace", "--all-targets", "--release", "--", "-D", "warnings"];
const DEFAULT_BUILD: &[&str] = &["clippy", "--package", "shapeguard-cli", "--release", "--", "-D", "warnings"];
const DOCS: &[&str] = &["doc", "--workspace", "--no-deps", "--release"];
// Every test binary runs even if an earlier one fails, so that one run shows all failures.
const TESTS: &[&str] = &["test", "--workspace", "--release", "--no-fail-fast"];

/// Cargo with these arguments and the gate's features.
fn featured(workspace: &Workspace, arguments: &[&str]) -> Result<Command> {
    let mut command = cargo(&workspace.root);
    let (subcommand, rest) = arguments.split_first().expect("a subcommand");
    command.arg(subcommand).args(["--features", &features(&workspace.members)?]).args(rest);
    Ok(command)
}

/// Every feature of every member but those left out.
fn features(members: &[Package]) -> Result<String> {
    let declared: Vec<String> = members
        .iter()
        .flat_map(|member| member.features.iter().map(move |feature| format!("{}/{feature}", member.name)))
        .collect();
    for left_out in LEFT_OUT {
        ensure!(
            declared.iter().any(|feature| feature == left_out),
            "the gate leaves out the feature {left_out}, which no crate has; mend LEFT_OUT in xtask/src/steps.rs"
        );
    }
    Ok(declared.into_iter().filter(|feature| !LEFT_OUT.contains(&feature.as_str())).collect::<Vec<_>>().join(","))
}

fn format(workspace: &Workspace) -> Result<Findings> {
    let mut findings = pass_through(cargo(&workspace.root).args(FORMAT))?;
    for error in &mut findings.errors {
        error.push_str("; `cargo fmt --all` mends it");
    }
    Ok(findings)
}

fn clippy(workspace: &Workspace) -> Result<Findings> {
    pass_through(&mut featured(workspace, CLIPPY)?)
}

fn default_build(workspace: &Workspace) -> Result<Findings> {
    pass_through(cargo(&workspace.root).args(DEFAULT_BUILD))
}

fn docs(workspace: &Workspace) -> Result<Findings> {
    pass_through(&mut docs_command(workspace)?)
}

fn docs_command(workspace: &Workspace) -> Result<Command> {
    let mut command = featured(workspace, DOCS)?;
    command.env("RUSTDOCFLAGS", "-D warnings");
    Ok(command)
}

fn tests(workspace: &Workspace) -> Result<Findings> {
    pass_through(&mut featured(workspace, TESTS)?)
}

/// How one step went.
struct Outcome {
    name: &'static str,
    findings: Findings,
    seconds: f64,
}

/// Runs the steps one after another and says how it goes, a summary last. True if all passed.
pub fn run_all(steps: &[&Step], workspace: &Workspace, fail_fast: bool, say: &mut dyn FnMut(&str)) -> bool {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        say(&format!("== {} ({} of {}): {}", step.name, at + 1, steps.len(), step.about));
        let start = Instant::now();
        let findings = (step.run)(workspace)
            .unwrap_or_else(|error| Findings { errors: vec![format!("{error:#}")], ..Findings::default() });
        let outcome = Outcome { name: step.name, findings, seconds: start.elapsed().as_secs_f64() };
        for warning in &outcome.findings.warnings {
            say(&format!("   warning: {warning}"));
        }
        for error in &outcome.findings.errors {
            say(&format!("   error: {error}"));
        }
        say(&format!("-- {}: {}, {:.1} s\n", outcome.name, verdict(&outcome.findings), outcome.seconds));
        let stop = fail_fast && !outcome.findings.errors.is_empty();
        outcomes.push(outcome);
        if stop {
            break;
        }
    }
    say(&summary(&outcomes, steps.len()));
    outcomes.iter().all(|outcome| outcome.findings.errors.is_empty())
}

fn verdict(findings: &Findings) -> &'static str {
    if findings.errors.is_empty() { "ok" } else { "FAILED" }
}

/// The table that ends a run, and below it every error once more, since the tests' output has buried the early ones.
fn summary(outcomes: &[Outcome], planned: usize) -> String {
    let mut lines = vec![format!("{:<10} {:<7} {:>8}", "step", "result", "seconds")];
    for Outcome { name, findings, seconds } in outcomes {
        let mut row = format!("{name:<10} {:<7} {seconds:>8.1}", verdict(findings));
        let warnings = match findings.warnings.len() {
            0 => String::new(),
            1 => "1 warning".to_owned(),
            n => format!("{n} warnings"),
        };
        for part in [findings.note.as_str(), warnings.as_str()].into_iter().filter(|part| !part.is_empty()) {
            row.push_str("  ");
            row.push_str(part);
        }
        lines.push(row);
    }
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.findings.errors.is_empty()).collect();
    for outcome in &failed {
        lines.extend(outcome.findings.errors.iter().map(|error| format!("{}: {error}", outcome.name)));
    }
    let seconds: f64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let left_out = match planned - outcomes.len() {
        0 => String::new(),
        n => format!(", {n} not run"),
    };
    let steps = if planned == 1 { "step" } else { "steps" };
    lines.push(match failed.len() {
        0 => format!("{planned} {steps} passed, {seconds:.1} s"),
        n => format!("{n} of {planned} {steps} failed{left_out}, {seconds:.1} s"),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn workspace() -> Workspace {
        let member = |name: &str, features: &[&str]| Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            folder: PathBuf::from("/w"),
            license: None,
            license_file: None,
            dependencies: vec![],
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        };
        let members = vec![
            member("shapeguard-cli", &["gpu", "train", "train-gpu"]),
            member("shapeguard-train", &["gpu"]),
            member("shapeguard-new", &["f"]),
        ];
        Workspace { root: PathBuf::from("/w"), target: PathBuf::from("/w/target"), members, install: false }
    }

    fn good(_: &Workspace) -> Result<Findings> {
        Ok(Findings { warnings: vec!["long".to_owned()], note: "3 files".to_owned(), ..Findings::default() })
    }

    fn bad(_: &Workspace) -> Result<Findings> {
        Ok(Findings { errors: vec!["a wrong arrow".to_owned()], ..Findings::default() })
    }

    fn broken(_: &Workspace) -> Result<Findings> {
        anyhow::bail!("cannot start `cargo`")
    }

    #[test]
    fn every_compiling_step_uses_one_profile_and_all_but_the_default_build_one_feature_set_and_the_whole_workspace() {
        for arguments in [CLIPPY, DOCS, TESTS] {
            let command = featured(&workspace(), arguments).unwrap();
            let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap()).collect();
            assert_eq!(arguments[1..3], ["--features", "shapeguard-cli/gpu,shapeguard-cli/train,shapeguard-new/f"]);
            for needed in ["--release", "--workspace"] {
                assert!(arguments.contains(&needed), "{arguments:?} lacks {needed}");
            }
        }
        assert!(DEFAULT_BUILD.contains(&"--release"));
        // Other members' features, or those of tests, must not help the program to compile.
        for foreign in ["--workspace", "--all-features", "--features", "--all-targets", "--tests"] {
            assert!(!DEFAULT_BUILD.contains(&foreign), "{foreign}");
        }
        // Any of these would leave the documentation's examples out of the tests.
        assert!(!TESTS.iter().any(|argument| ["--all-targets", "--lib", "--tests"].contains(argument)));
    }

    #[test]
    fn a_left_out_feature_that_is_no_more_is_an_error() {
        let mut workspace = workspace();
        workspace.members.remove(1);
        let error = features(&workspace.members).unwrap_err().to_string();
        assert!(error.contains("shapeguard-train/gpu"), "{error}");
    }

    #[test]
    fn a_warning_in_the_documentation_is_an_error() {
        let command = docs_command(&workspace()).unwrap();
        let flags = command.get_envs().find(|(name, _)| *name == "RUSTDOCFLAGS").and_then(|(_, value)| value);
        assert_eq!(flags, Some("-D warnings".as_ref()));
    }

    /// Whether the gate passed, and what it said.
    fn run(steps: &[&Step], fail_fast: bool) -> (bool, String) {
        let mut said = String::new();
        let passed = run_all(steps, &workspace(), fail_fast, &mut |text| said.extend([text, "\n"]));
        (passed, said)
    }

    #[test]
    fn a_failed_or_broken_step_fails_the_gate_but_the_others_still_run() {
        let step = |name, run| Step { name, about: "what it checks", run };
        let (good, bad, broken) = (step("good", good), step("bad", bad), step("broken", broken));
        assert!(run(&[&good], false).0);
        let (passed, said) = run(&[&bad, &broken, &good], false);
        assert!(!passed);
        assert!(said.contains("== bad (1 of 3): what it checks\n   error: a wrong arrow\n-- bad: FAILED, "), "{said}");
        assert!(said.contains("   error: cannot start `cargo`\n-- broken: FAILED, "), "{said}");
        assert!(said.contains("== good (3 of 3): what it checks\n   warning: long\n-- good: ok, "), "{said}");
    }

    #[test]
    fn failing_fast_leaves_the_later_steps_out() {
        let (bad, good) = (Step { name: "bad", about: "", run: bad }, Step { name: "good", about: "", run: good });
        let (passed, said) = run(&[&bad, &good], true);
        assert!(!passed && said.contains("1 of 2 steps failed, 1 not run"), "{said}");
        assert!(!said.contains("== good"), "{said}");
    }

    #[test]
    fn the_summary_counts_and_repeats_the_errors() {
        let outcome = |name, findings| Outcome { name, findings, seconds: 1.25 };
        let all = [outcome("arrows", bad(&workspace()).unwrap()), outcome("lengths", good(&workspace()).unwrap())];
        let text = summary(&all, 3);
        assert!(text.contains("arrows     FAILED       1.2"), "{text}");
        assert!(text.contains("lengths    ok           1.2  3 files  1 warning"), "{text}");
        assert!(text.ends_with("arrows: a wrong arrow\n1 of 3 steps failed, 1 not run, 2.5 s"), "{text}");
        assert!(summary(&all[1..], 1).ends_with("\n1 step passed, 1.2 s"));
    }
}
