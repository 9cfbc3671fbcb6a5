//! The crate arrows: which crate may use which, and what the method's crate may use at all.

use crate::core_source;
use crate::report::Findings;
use crate::workspace::{Dependency, Kind, Package, Workspace};
use anyhow::Result;

/// What one crate of the workspace may use.
struct Rule {
    name: &'static str,
    /// Crates of this workspace.
    ours: &'static [&'static str],
    /// Crates of this workspace that its tests and examples alone may use.
    ours_for_tests: &'static [&'static str],
    /// The only foreign crates for the library itself; `None` leaves them free.
    foreign: Option<&'static [&'static str]>,
}

const CORE: &str = "shapeguard-core";
const TRAIN: &str = "shapeguard-train";
const NONE: &[&str] = &[];

/// The house. An arrow that isn't here is refused; so is a crate that isn't here.
const RULES: &[Rule] = &[
    // No files, clock, global randomness, async or tensor framework: numerics crates only.
    Rule {
        name: CORE,
        ours: NONE,
        ours_for_tests: NONE,
        foreign: Some(&["gemm", "pulp", "rand", "rand_chacha", "rayon", "serde", "thiserror"]),
    },
    Rule { name: "shapeguard-experts", ours: &[CORE], ours_for_tests: NONE, foreign: None },
    // The devices of `-gpu` to train on.
    Rule { name: TRAIN, ours: &[CORE, "shapeguard-experts", "shapeguard-gpu"], ours_for_tests: NONE, foreign: None },
    Rule { name: "shapeguard-gpu", ours: &[CORE, "shapeguard-experts"], ours_for_tests: NONE, foreign: None },
    Rule { name: "shapeguard-data", ours: &[CORE], ours_for_tests: NONE, foreign: None },
    Rule {
        name: "shapeguard",
        ours: &[CORE, "shapeguard-experts", "shapeguard-data"],
        ours_for_tests: NONE,
        foreign: None,
    },
    Rule {
        name: "shapeguard-baselines",
        ours: &[CORE, "shapeguard-experts"],
        ours_for_tests: &["shapeguard-data", "shapeguard"],
        foreign: None,
    },
    Rule {
        name: "shapeguard-reproduction",
        ours: &[CORE, "shapeguard-data", "shapeguard", "shapeguard-baselines"],
        ours_for_tests: NONE,
        foreign: None,
    },
    Rule {
        name: "shapeguard-station",
        ours: &[CORE, "shapeguard-data", "shapeguard"],
        ours_for_tests: NONE,
        foreign: None,
    },
    Rule {
        name: "shapeguard-cli",
        ours: &[
            CORE,
            "shapeguard-experts",
            "shapeguard-gpu",
            "shapeguard-data",
            TRAIN,
            "shapeguard",
            "shapeguard-baselines",
            "shapeguard-reproduction",
            "shapeguard-station",
        ],
        ours_for_tests: NONE,
        foreign: None,
    },
    Rule { name: "xtask", ours: NONE, ours_for_tests: NONE, foreign: None },
];

/// Checks the declared dependencies of every crate, then the source of the method's crate.
pub fn check(workspace: &Workspace) -> Result<Findings> {
    let mut errors = check_arrows(&workspace.members, RULES);
    let mut files = 0;
    if let Some(core) = workspace.members.iter().find(|package| package.name == CORE) {
        let source = core_source::check(&core.folder.join("src"))?;
        files = source.files;
        errors.extend(source.errors);
    }
    let note = format!("{} crates, {files} source files of {CORE}", workspace.members.len());
    Ok(Findings { errors, note, ..Findings::default() })
}

fn check_arrows(members: &[Package], rules: &[Rule]) -> Vec<String> {
    let mut errors = Vec::new();
    for package in members {
        let Some(rule) = rules.iter().find(|rule| rule.name == package.name) else {
            errors.push(format!(
                "{}: the table of crate arrows has no such crate; add it, with what it may use, to RULES in \
                 xtask/src/arrows.rs and to the map in ARCHITECTURE.md",
                package.name
            ));
            continue;
        };
        errors.extend(package.dependencies.iter().filter_map(|dependency| {
            let ours = members.iter().any(|member| member.name == dependency.name);
            if ours { refuse_ours(rule, dependency) } else { refuse_foreign(rule, dependency) }
        }));
    }
    errors
}

fn refuse_ours(rule: &Rule, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    // Tests may always lean on the method's crate.
    let for_tests =
        dependency.kind == Kind::Dev && (name == CORE && rule.name != CORE || rule.ours_for_tests.contains(&name));
    if !rule.ours.contains(&name) && !for_tests {
        let allowed = if rule.ours.is_empty() { "no crate of this workspace".to_owned() } else { rule.ours.join(", ") };
        return Some(format!(
            "{}: uses {name} ({}), but may use {allowed}; move what it needs to where both may reach it",
            rule.name,
            show(dependency.kind)
        ));
    }
    if name == TRAIN && !dependency.optional {
        return Some(format!(
            "{}: uses {TRAIN} always; make it an optional dependency behind the feature `train`, since it pulls in the \
             tensor framework",
            rule.name
        ));
    }
    None
}

fn refuse_foreign(rule: &Rule, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    if rule.name != TRAIN && (name == "burn" || name.starts_with("burn-")) {
        return Some(format!("{}: uses {name}; only {TRAIN} may use the tensor framework", rule.name));
    }
    let allowed = rule.foreign?;
    if dependency.kind == Kind::Dev || allowed.contains(&name) {
        return None;
    }
    Some(format!(
        "{}: uses {name} ({}), but of foreign crates it may use {} only; do that work in a crate above it",
        rule.name,
        show(dependency.kind),
        allowed.join(", ")
    ))
}

fn show(kind: Kind) -> &'static str {
    match kind {
        Kind::Normal => "dependency",
        Kind::Build => "build-dependency",
        Kind::Dev => "dev-dependency",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::packages;
    use serde_json::{Value, json};

    /// A workspace of every crate in the table, in which `user` declares `dependency` besides.
    fn with(user: &str, dependency: &Value) -> Vec<String> {
        let members: Vec<Value> = RULES
            .iter()
            .map(|rule| {
                let dependencies = if rule.name == user { vec![dependency.clone()] } else { vec![] };
                json!({"name": rule.name, "version": "0.1.0", "manifest_path": "/w/Cargo.toml", "dependencies": dependencies})
            })
            .collect();
        check_arrows(&packages(&json!({ "packages": members })).unwrap(), RULES)
    }

    fn uses(user: &str, name: &str, kind: Option<&str>) -> Vec<String> {
        with(user, &json!({"name": name, "kind": kind, "optional": false}))
    }

    #[test]
    fn arrows_of_the_table_pass() {
        for (user, used) in [
            ("shapeguard-experts", CORE),
            ("shapeguard-gpu", "shapeguard-experts"),
            (TRAIN, "shapeguard-experts"),
            ("shapeguard-data", CORE),
            ("shapeguard", "shapeguard-data"),
            ("shapeguard-cli", "shapeguard"),
        ] {
            assert_eq!(uses(user, used, None), Vec::<String>::new(), "{user} -> {used}");
            assert_eq!(uses(user, used, Some("build")), Vec::<String>::new(), "{user} -> {used}");
        }
    }

    #[test]
    fn arrows_against_the_table_are_refused_for_every_kind() {
        for (user, used) in [
            (CORE, "shapeguard-experts"),
            ("shapeguard-experts", "shapeguard-data"),
            ("shapeguard-data", TRAIN),
            (TRAIN, "shapeguard-data"),
            ("shapeguard", "shapeguard-cli"),
            ("shapeguard", "shapeguard-gpu"),
            ("shapeguard-gpu", "shapeguard"),
            ("xtask", "shapeguard"),
        ] {
            for kind in [None, Some("build"), Some("dev")] {
                let errors = uses(user, used, kind);
                assert_eq!(errors.len(), 1, "{user} -> {used}: {errors:?}");
                assert!(errors[0].starts_with(user) && errors[0].contains(used), "{}", errors[0]);
            }
        }
    }

    #[test]
    fn tests_may_lean_on_core_except_core_s_own() {
        assert_eq!(uses("xtask", CORE, Some("dev")), Vec::<String>::new());
        assert_eq!(uses("xtask", CORE, None).len(), 1);
        assert_eq!(uses(CORE, CORE, Some("dev")).len(), 1);
    }

    #[test]
    fn what_tests_and_examples_may_use_the_library_may_not() {
        for used in ["shapeguard", "shapeguard-data"] {
            assert_eq!(uses("shapeguard-baselines", used, Some("dev")), Vec::<String>::new());
            for kind in [None, Some("build")] {
                assert_eq!(uses("shapeguard-baselines", used, kind).len(), 1, "{used} {kind:?}");
            }
        }
        assert_eq!(uses("shapeguard", "shapeguard-baselines", Some("dev")).len(), 1);
    }

    #[test]
    fn core_uses_numerics_crates_only_but_its_tests_may_use_more() {
        assert_eq!(uses(CORE, "gemm", None), Vec::<String>::new());
        assert_eq!(uses(CORE, "proptest", Some("dev")), Vec::<String>::new());
        for kind in [None, Some("build")] {
            let errors = uses(CORE, "image", kind);
            assert!(errors.len() == 1 && errors[0].contains("image") && errors[0].contains("gemm"), "{errors:?}");
        }
        assert_eq!(uses("shapeguard-data", "image", None), Vec::<String>::new());
    }

    #[test]
    fn the_tensor_framework_is_train_s_alone() {
        assert_eq!(uses(TRAIN, "burn", None), Vec::<String>::new());
        for (user, name) in [("shapeguard-experts", "burn"), ("shapeguard-cli", "burn-tensor")] {
            for kind in [None, Some("dev")] {
                let errors = uses(user, name, kind);
                assert!(errors.len() == 1 && errors[0].contains(name), "{errors:?}");
            }
        }
        // A name that merely begins alike is no part of it.
        assert_eq!(uses("shapeguard", "burned", None), Vec::<String>::new());
    }

    #[test]
    fn training_stays_behind_a_feature() {
        assert_eq!(with("shapeguard-cli", &json!({"name": TRAIN, "optional": true})), Vec::<String>::new());
        let errors = uses("shapeguard-cli", TRAIN, None);
        assert!(errors.len() == 1 && errors[0].contains("`train`"), "{errors:?}");
    }

    #[test]
    fn a_crate_that_the_table_lacks_is_an_error_that_says_to_add_it() {
        let value = json!({"packages": [
            {"name": "shapeguard-new", "version": "0.1.0", "manifest_path": "/w/Cargo.toml", "dependencies": []}]});
        let errors = check_arrows(&packages(&value).unwrap(), RULES);
        assert!(
            errors.len() == 1 && errors[0].contains("shapeguard-new") && errors[0].contains("add it"),
            "{errors:?}"
        );
    }
}
