//! Whether everything that was stored is still there and whole, and removing what no row knows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use shapeguard_core::seams::Progress;

use super::{Store, StoreError};

/// What is younger may belong to an inspection that is just being kept.
const SWEEP_AGE: Duration = Duration::from_secs(3600);

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// SQLite finds its file damaged.
    Database(String),
    /// A file that rows count on is not there.
    Missing(PathBuf),
    /// A file does not hold what it held.
    Damaged(PathBuf),
    /// The number of uses that is noted for a file is not that of the rows.
    WrongUses(String),
    /// A file that no row knows: a leftover of an interrupted inspection. Harmless; [`Store::sweep`] removes it.
    Unknown(PathBuf),
}

impl Finding {
    /// Whether anything was lost; leftovers are none.
    pub fn is_loss(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(what) => write!(f, "database: {what}"),
            Self::Missing(path) => write!(f, "{}: missing", path.display()),
            Self::Damaged(path) => write!(f, "{}: damaged, its content has another hash", path.display()),
            Self::WrongUses(sha256) => write!(f, "{sha256}: noted for another number of uses than there are"),
            Self::Unknown(path) => write!(f, "{}: known to no inspection; a leftover", path.display()),
        }
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Number of inspections.
    pub inspections: u64,
    /// Number of files that were read.
    pub files: usize,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl Store {
    /// Reads everything: the database's own check, every file against its hash, every count against the rows.
    ///
    /// # Errors
    /// If the database cannot be read at all.
    pub fn verify(&self, progress: &dyn Progress) -> Result<Verification, StoreError> {
        let mut found = Verification { inspections: self.size()?.inspections, ..Verification::default() };
        let problems: Vec<String> = self.read(|connection| {
            connection.prepare("PRAGMA integrity_check")?.query_map((), |row| row.get(0))?.collect()
        })?;
        found.findings.extend(problems.into_iter().filter(|line| line != "ok").map(Finding::Database));
        let wrong: Vec<String> = self.read(|connection| {
            connection
                .prepare(
                    "SELECT sha256 FROM blobs WHERE uses != (SELECT count(*) FROM inspection_files f WHERE f.sha256 = blobs.sha256)
                     + (SELECT count(*) FROM model_versions v WHERE v.sha256 = blobs.sha256)",
                )?
                .query_map((), |row| row.get(0))?
                .collect()
        })?;
        found.findings.extend(wrong.into_iter().map(Finding::WrongUses));
        let known = self.known_blobs()?;
        progress.begin("Reading files", known.len());
        let mut hashes: Vec<&String> = known.keys().collect();
        hashes.sort();
        for sha256 in hashes {
            match self.blobs.get(sha256) {
                Ok(_) => found.files += 1,
                Err(StoreError::Read { path, .. }) => found.findings.push(Finding::Missing(path)),
                Err(StoreError::DamagedFile { path }) => found.findings.push(Finding::Damaged(path)),
                Err(error) => return Err(error),
            }
            progress.step();
        }
        progress.end();
        let listing = self.blobs.list()?;
        let unknown = listing.hashes.iter().filter(|sha256| !known.contains_key(*sha256));
        found.findings.extend(unknown.map(|sha256| Finding::Unknown(self.blobs.path(sha256))));
        found.findings.extend(listing.strange.into_iter().map(Finding::Unknown));
        Ok(found)
    }

    /// Removes leftovers of interrupted writing that are older than an hour; returns how many there were.
    ///
    /// # Errors
    /// If the database or the disk fails.
    pub fn sweep(&self, now: SystemTime) -> Result<usize, StoreError> {
        let listing = self.blobs.list()?;
        let is_old = |path: &PathBuf| {
            let modified = path.metadata().and_then(|metadata| metadata.modified());
            modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > SWEEP_AGE))
        };
        let mut removed = 0;
        for path in listing.strange.iter().filter(|path| is_old(path)) {
            // Only what this program leaves when it is interrupted.
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(".shapeguard-") && name.ends_with(".part") {
                std::fs::remove_file(path).map_err(|source| StoreError::Write { path: path.clone(), source })?;
                removed += 1;
            }
        }
        let known = self.known_blobs()?;
        let unknown = listing.hashes.iter().filter(|sha256| !known.contains_key(*sha256));
        for sha256 in unknown.filter(|sha256| is_old(&self.blobs.path(sha256))) {
            removed += usize::from(self.blobs.remove(sha256, || self.is_used(sha256))?);
        }
        Ok(removed)
    }

    /// Whether a row counts on a file.
    pub(super) fn is_used(&self, sha256: &str) -> Result<bool, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM blobs WHERE sha256 = ?)")?
                .query_row([sha256], |row| row.get(0))
        })
    }

    fn known_blobs(&self) -> Result<HashMap<String, u64>, StoreError> {
        self.read(|connection| {
            connection
                .prepare("SELECT sha256, bytes FROM blobs")?
                .query_map((), |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?
                .collect()
        })
    }
}
