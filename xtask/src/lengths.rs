//! Long files: a hint to split them, never a failure.

use crate::report::Findings;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// One file holds one stage; beyond this many lines it probably holds two.
const LONG: usize = 800;

/// Warns about every Rust file of more than [`LONG`] lines.
pub fn check(workspace: &Workspace) -> Result<Findings> {
    let mut files = Vec::new();
    for member in &workspace.members {
        files.extend(rust_files(&member.folder)?);
    }
    let mut warnings = Vec::new();
    for file in &files {
        let lines = read(file)?.lines().count();
        if lines > LONG {
            let shown = file.strip_prefix(&workspace.root).unwrap_or(file).display();
            warnings.push(format!(
                "{shown}: {lines} lines, more than {LONG}; split it by stage, or say in its header why not"
            ));
        }
    }
    Ok(Findings { warnings, note: format!("{} files", files.len()), ..Findings::default() })
}

/// The text of a file, which an error names.
pub fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Every `.rs` file below `folder`, sorted, without build output and hidden folders.
pub fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list the folder {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(rust_files(&path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    #[test]
    fn only_files_beyond_the_limit_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        std::fs::create_dir_all(root.join("src/deep")).unwrap();
        std::fs::create_dir_all(root.join("target")).unwrap();
        std::fs::write(root.join("src/short.rs"), "\n".repeat(LONG)).unwrap();
        std::fs::write(root.join("src/deep/long.rs"), "\n".repeat(LONG + 1)).unwrap();
        std::fs::write(root.join("src/table.csv"), "\n".repeat(LONG + 1)).unwrap();
        std::fs::write(root.join("target/built.rs"), "\n".repeat(LONG + 1)).unwrap();
        let member = Package {
            name: "a".to_owned(),
            version: "0.1.0".to_owned(),
            folder: root.clone(),
            license: None,
            license_file: None,
            dependencies: vec![],
            features: vec![],
        };
        let workspace = Workspace { target: root.join("target"), root, members: vec![member], install: false };
        let findings = check(&workspace).unwrap();
        assert_eq!((findings.errors.len(), findings.warnings.len()), (0, 1), "{findings:?}");
        assert!(findings.warnings[0].contains("long.rs: 801 lines"), "{}", findings.warnings[0]);
        assert_eq!(findings.note, "2 files");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = rust_files(Path::new("/no/such/folder")).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
    }
}
