//! Licences of everything that is linked in or that helps to build it, against a list of allowed ones.
//!
//! `cargo metadata` knows what each package declares, but lists optional dependencies that no feature turns on (a
//! `name?/feature` counts as turned on there). What is really used, with all features and on every platform, is what
//! `cargo tree` says, which resolves features as the build does. Tools for tests alone aren't passed on to anybody and
//! are left out.

use crate::process::{capture, cargo};
use crate::report::Findings;
use crate::workspace::{Package, Workspace};
use anyhow::{Context, Result, bail};
use spdx::{Expression, Licensee, ParseMode};
use std::collections::BTreeSet;

/// Licences that let anyone link and pass on the program under this project's own terms.
const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "0BSD",
    "CC0-1.0",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
];

/// One crate that is used under a licence that isn't allowed in general.
struct Exception {
    name: &'static str,
    /// What the crate declares; another declaration is looked at anew. `None`: no SPDX expression, but a text that
    /// somebody has read.
    declares: Option<&'static str>,
    /// Why it may be used.
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        name: "buildid",
        declares: Some("MPL-2.0"),
        reason: "burn's GPU backend needs it, so it is linked with the feature `train-gpu` only; the licence covers its own \
                 files, which are used unchanged",
    },
    Exception {
        name: "colored",
        declares: Some("MPL-2.0"),
        reason: "burn-tensor needs it, so it is linked with the feature `train` only; the licence covers its own files, \
                 which are used unchanged",
    },
];

/// `MIT/Apache-2.0` is how older manifests say OR. Everything else is read strictly.
const MODE: ParseMode = ParseMode { allow_slash_as_or_operator: true, ..ParseMode::STRICT };

/// Checks every package that a build of the workspace uses.
pub fn check(workspace: &Workspace) -> Result<Findings> {
    // `{p}` is "name vVERSION", then in brackets what doesn't matter here.
    let arguments = ["tree", "--workspace", "--all-features", "--target", "all"];
    let format = ["--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let tree = capture(cargo(&workspace.root).args(arguments).args(format))?;
    check_used(&workspace.all_packages()?, &used(&tree)?, EXCEPTIONS)
}

/// Name and version of every package in the output of `cargo tree`.
fn used(tree: &str) -> Result<BTreeSet<(String, String)>> {
    let mut used = BTreeSet::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        match (words.next(), words.next().and_then(|word| word.strip_prefix('v'))) {
            (Some(name), Some(version)) => used.insert((name.to_owned(), version.to_owned())),
            _ => bail!("`cargo tree` printed `{line}`, where this gate expects a name and a version"),
        };
    }
    Ok(used)
}

fn check_used(packages: &[Package], used: &BTreeSet<(String, String)>, exceptions: &[Exception]) -> Result<Findings> {
    let allowed = ALLOWED
        .iter()
        .map(|name| Licensee::parse(name).with_context(|| format!("`{name}` in the list of allowed licences")))
        .collect::<Result<Vec<_>>>()?;
    let mut findings = Findings::default();
    let mut used_exceptions = BTreeSet::new();
    for (name, version) in used {
        let Some(package) = packages.iter().find(|p| p.name == *name && p.version == *version) else {
            findings.errors.push(format!(
                "{name} {version}: `cargo tree` lists it, but `cargo metadata` doesn't; is Cargo.lock being changed \
                 meanwhile?"
            ));
            continue;
        };
        let Some(objection) = objection(package, &allowed) else { continue };
        if let Some(exception) =
            exceptions.iter().find(|e| e.name == name.as_str() && e.declares == package.license.as_deref())
        {
            used_exceptions.insert(exception.name);
            continue;
        }
        findings.errors.push(format!(
            "{name} {version}: {objection}; do without it (`cargo tree --workspace --all-features --target all --invert \
             {name}` says who needs it), or name it with a reason in EXCEPTIONS in xtask/src/licences.rs"
        ));
    }
    for exception in exceptions.iter().filter(|e| !used_exceptions.contains(e.name)) {
        findings.warnings.push(format!(
            "the exception for {} ({}) isn't needed any more; remove it from xtask/src/licences.rs",
            exception.name, exception.reason
        ));
    }
    findings.note = format!("{} crates", used.len());
    if !used_exceptions.is_empty() {
        let names: Vec<&str> = used_exceptions.into_iter().collect();
        findings.note.push_str(&format!(", by exception: {}", names.join(", ")));
    }
    Ok(findings)
}

/// Why the package may not be used, unless it may.
fn objection(package: &Package, allowed: &[Licensee]) -> Option<String> {
    let Some(text) = &package.license else {
        return Some(match &package.license_file {
            Some(file) => format!("declares no SPDX licence, only a text of its own ({file})"),
            None => "declares no licence at all".to_owned(),
        });
    };
    match Expression::parse_mode(text, MODE) {
        Err(error) => Some(format!("its licence `{text}` is no SPDX expression ({})", error.reason)),
        Ok(expression) => {
            let fine = expression.evaluate(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted)));
            (!fine).then(|| format!("its licence `{text}` is not among the allowed ones"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn package(name: &str, license: Option<&str>, license_file: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            folder: PathBuf::new(),
            license: license.map(str::to_owned),
            license_file: license_file.map(str::to_owned),
            dependencies: vec![],
            features: vec![],
        }
    }

    fn findings(packages: &[Package], exceptions: &[Exception]) -> Findings {
        let used = packages.iter().map(|p| (p.name.clone(), p.version.clone())).collect();
        check_used(packages, &used, exceptions).unwrap()
    }

    fn passes(license: &str) -> bool {
        findings(&[package("a", Some(license), None)], &[]).errors.is_empty()
    }

    #[test]
    fn one_allowed_side_of_or_suffices_and_both_sides_of_and_are_needed() {
        for license in ALLOWED {
            assert!(passes(license), "{license}");
        }
        assert!(passes("GPL-3.0-only OR MIT"));
        assert!(passes("MIT OR Apache-2.0 OR LGPL-2.1-or-later"));
        assert!(passes("(MIT OR GPL-3.0-only) AND Unicode-3.0"));
        assert!(!passes("MIT AND GPL-3.0-only"));
        assert!(!passes("(MIT OR Apache-2.0) AND NCSA"));
        assert!(!passes("GPL-3.0-only OR AGPL-3.0-only"));
        // AND binds closer than OR.
        assert!(passes("MIT OR Apache-2.0 AND GPL-3.0-only"));
        assert!(!passes("MPL-2.0 OR MIT AND GPL-3.0-only"));
    }

    #[test]
    fn the_older_slash_means_or() {
        assert!(passes("MIT/Apache-2.0"));
        assert!(passes("GPL-3.0-only / MIT"));
        assert!(!passes("GPL-3.0-only/MPL-2.0"));
    }

    #[test]
    fn an_exception_to_a_licence_is_another_licence() {
        assert!(passes("Apache-2.0 WITH LLVM-exception"));
        assert!(!passes("GPL-2.0-only WITH Classpath-exception-2.0"));
        assert!(!passes("MIT WITH LLVM-exception"));
    }

    #[test]
    fn what_is_no_expression_or_missing_is_refused_and_named() {
        let errors = findings(
            &[
                package("odd", Some("Free for all"), None),
                package("none", None, None),
                package("own", None, Some("LICENSE.txt")),
            ],
            &[],
        )
        .errors;
        // In the order of the names.
        assert!(errors[0].starts_with("none 1.0.0: declares no licence at all"), "{errors:?}");
        assert!(errors[1].starts_with("odd 1.0.0: its licence `Free for all` is no SPDX expression"), "{errors:?}");
        assert!(errors[2].contains("only a text of its own (LICENSE.txt)"), "{errors:?}");
        assert!(errors.iter().all(|error| error.contains("EXCEPTIONS")), "{errors:?}");
    }

    #[test]
    fn a_named_exception_covers_what_it_was_given_for_only() {
        let exceptions = [Exception { name: "a", declares: Some("MPL-2.0"), reason: "read" }];
        let covered = findings(&[package("a", Some("MPL-2.0"), None)], &exceptions);
        assert_eq!((covered.errors.len(), covered.warnings.len()), (0, 0), "{covered:?}");
        assert_eq!(covered.note, "1 crates, by exception: a");
        let changed = findings(&[package("a", Some("GPL-3.0-only"), None)], &exceptions);
        assert_eq!(changed.errors.len(), 1, "{changed:?}");
        let other = findings(&[package("b", Some("MPL-2.0"), None)], &exceptions);
        assert_eq!((other.errors.len(), other.warnings.len()), (1, 1), "{other:?}");
        let own_text = [Exception { name: "a", declares: None, reason: "read" }];
        assert!(findings(&[package("a", None, Some("LICENSE"))], &own_text).errors.is_empty());
    }

    #[test]
    fn an_exception_that_nothing_needs_is_a_warning() {
        let exceptions = [Exception { name: "gone", declares: Some("MPL-2.0"), reason: "was needed once" }];
        let findings = findings(&[package("a", Some("MIT"), None)], &exceptions);
        assert!(findings.errors.is_empty() && findings.warnings[0].contains("gone"), "{findings:?}");
    }

    #[test]
    fn packages_that_no_build_uses_are_not_judged() {
        let packages = [package("a", Some("MIT"), None), package("unused", Some("GPL-3.0-only"), None)];
        let used = used("a v1.0.0 (proc-macro)\n\na v1.0.0 (*)\n").unwrap();
        assert_eq!(used.len(), 1);
        assert!(check_used(&packages, &used, &[]).unwrap().errors.is_empty());
    }

    #[test]
    fn a_used_package_without_metadata_is_an_error() {
        let errors = check_used(&[], &used("ghost v0.1.0 (/w/ghost)").unwrap(), &[]).unwrap().errors;
        assert!(errors.len() == 1 && errors[0].contains("ghost"), "{errors:?}");
        assert!(used("[build-dependencies]").is_err());
    }
}
