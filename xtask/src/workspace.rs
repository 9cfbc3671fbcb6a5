//! The workspace as `cargo metadata` describes it, reduced to what the checks look at.

use crate::process;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What every step needs to know.
#[derive(Debug)]
pub struct Workspace {
    /// The folder with the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// Where cargo builds, and where the gate keeps the tools that it fetches.
    pub target: PathBuf,
    /// The workspace's own crates.
    pub members: Vec<Package>,
    /// Whether a step may fetch the tool that it needs.
    pub install: bool,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name on the registry.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The folder with its `Cargo.toml`.
    pub folder: PathBuf,
    /// The SPDX expression that it declares.
    pub license: Option<String>,
    /// The file with a licence text of its own.
    pub license_file: Option<String>,
    /// The dependencies that it declares, of all kinds and platforms.
    pub dependencies: Vec<Dependency>,
    /// The features that it declares.
    pub features: Vec<String>,
}

/// One declared dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The package's real name, also where the manifest renames it.
    pub name: String,
    /// What it is needed for.
    pub kind: Kind,
    /// Whether a feature must ask for it.
    pub optional: bool,
}

/// What a dependency is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The library or program itself.
    Normal,
    /// The build script.
    Build,
    /// Tests, examples and benches.
    Dev,
}

impl Workspace {
    /// Asks cargo about the workspace that the current folder belongs to. Needs no network.
    pub fn load(install: bool) -> Result<Self> {
        let here = std::env::current_dir().context("the current folder cannot be read")?;
        let text = process::capture(process::cargo(&here).args(["metadata", "--format-version", "1", "--no-deps"]))?;
        let metadata = parse_json(&text)?;
        Ok(Self {
            root: PathBuf::from(string(&metadata, "workspace_root")?),
            target: PathBuf::from(string(&metadata, "target_directory")?),
            members: packages(&metadata)?,
            install,
        })
    }

    /// Every package of the lock file with all features and platforms, used or not.
    pub fn all_packages(&self) -> Result<Vec<Package>> {
        let arguments = ["metadata", "--format-version", "1", "--all-features"];
        packages(&parse_json(&process::capture(process::cargo(&self.root).args(arguments))?)?)
    }
}

fn parse_json(text: &str) -> Result<Value> {
    serde_json::from_str(text).context("the output of `cargo metadata` is not JSON")
}

/// The packages in the output of `cargo metadata`.
pub fn packages(metadata: &Value) -> Result<Vec<Package>> {
    array(metadata, "packages")?.iter().map(package).collect()
}

fn package(value: &Value) -> Result<Package> {
    let manifest = string(value, "manifest_path")?;
    Ok(Package {
        name: string(value, "name")?,
        version: string(value, "version")?,
        folder: Path::new(&manifest).parent().unwrap_or(Path::new("")).to_owned(),
        license: optional_string(value, "license"),
        license_file: optional_string(value, "license_file"),
        dependencies: array(value, "dependencies")?.iter().map(dependency).collect::<Result<_>>()?,
        features: value.get("features").and_then(Value::as_object).map_or(vec![], |map| map.keys().cloned().collect()),
    })
}

fn dependency(value: &Value) -> Result<Dependency> {
    let kind = match value.get("kind").and_then(Value::as_str) {
        None => Kind::Normal,
        Some("build") => Kind::Build,
        Some("dev") => Kind::Dev,
        Some(other) => anyhow::bail!("`cargo metadata` speaks of a dependency kind `{other}`, unknown to this gate"),
    };
    let optional = value.get("optional").and_then(Value::as_bool).unwrap_or(false);
    Ok(Dependency { name: string(value, "name")?, kind, optional })
}

fn array<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value.get(key).and_then(Value::as_array).with_context(|| format!("`cargo metadata` gave no list `{key}`"))
}

fn string(value: &Value, key: &str) -> Result<String> {
    optional_string(value, key).with_context(|| format!("`cargo metadata` gave no text `{key}`"))
}

fn optional_string(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn packages_and_dependency_kinds_are_read() {
        let metadata = json!({"packages": [{
            "name": "a", "version": "0.1.0", "manifest_path": "/w/a/Cargo.toml", "license": "MIT", "license_file": null,
            "dependencies": [
                {"name": "n", "kind": null, "optional": true},
                {"name": "b", "kind": "build", "optional": false},
                {"name": "d", "kind": "dev", "optional": false, "rename": "e"},
            ],
            "features": {"f": ["dep:n"]},
        }]});
        let dependency = |name: &str, kind, optional| Dependency { name: name.to_owned(), kind, optional };
        let expected = Package {
            name: "a".to_owned(),
            version: "0.1.0".to_owned(),
            folder: PathBuf::from("/w/a"),
            license: Some("MIT".to_owned()),
            license_file: None,
            dependencies: vec![
                dependency("n", Kind::Normal, true),
                dependency("b", Kind::Build, false),
                dependency("d", Kind::Dev, false),
            ],
            features: vec!["f".to_owned()],
        };
        assert_eq!(packages(&metadata).unwrap(), [expected]);
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let message = |value| packages(&value).unwrap_err().to_string();
        assert!(message(json!({})).contains("`packages`"));
        assert!(message(json!({"packages": [{"name": "a"}]})).contains("`manifest_path`"));
        let odd = json!({"packages": [{"name": "a", "version": "1.0.0", "manifest_path": "/Cargo.toml",
            "dependencies": [{"name": "b", "kind": "odd"}]}]});
        assert!(message(odd).contains("`odd`"));
    }
}
