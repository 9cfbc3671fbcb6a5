//! Versions of models, and which of them is active.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::inspections::use_blob;
use super::{Store, StoreError};

/// Where a version is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VersionOrigin {
    /// The folder of models that the server was started with.
    Folder,
    /// Uploaded.
    Upload,
    /// Fitted by the server.
    Fit,
}

impl VersionOrigin {
    fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Upload => "upload",
            Self::Fit => "fit",
        }
    }
}

/// A version of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelVersion {
    /// The model's name.
    pub name: String,
    /// The hash of its file.
    pub sha256: String,
    /// When it came, milliseconds since 1970 in UTC.
    pub added_ms: i64,
    /// Where it is from.
    pub origin: VersionOrigin,
    /// Size of its file.
    pub bytes: u64,
    /// Version of the program that fitted it.
    pub program_version: String,
    /// When it was last made active, if it is active now.
    pub active_since_ms: Option<i64>,
}

impl Store {
    /// Keeps a version of a model, unless it is known; activating it is another thing.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn add_version(
        &self,
        name: &str,
        bytes: &[u8],
        origin: VersionOrigin,
        program_version: &str,
        now_ms: i64,
    ) -> Result<String, StoreError> {
        self.check_room(bytes.len() as u64)?;
        let pin = self.blobs.put(bytes)?;
        self.write(|transaction| {
            let known: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM model_versions WHERE name = ? AND sha256 = ?)",
                params![name, pin.sha256],
                |row| row.get(0),
            )?;
            if !known {
                use_blob(transaction, &pin)?;
                transaction.execute(
                    "INSERT INTO model_versions (name, sha256, added_ms, origin, program_version) VALUES (?, ?, ?, ?, ?)",
                    params![name, pin.sha256, now_ms, origin.name(), program_version],
                )?;
            }
            Ok(())
        })?;
        Ok(pin.sha256.clone())
    }

    /// Whether a version is known.
    ///
    /// # Errors
    /// If the database fails.
    pub fn has_version(&self, name: &str, sha256: &str) -> Result<bool, StoreError> {
        Ok(self.versions(name)?.iter().any(|version| version.sha256 == sha256))
    }

    /// Makes a version the active one.
    ///
    /// # Errors
    /// If it is unknown, or the database fails.
    pub fn activate(&self, name: &str, sha256: &str, now_ms: i64) -> Result<(), StoreError> {
        if !self.has_version(name, sha256)? {
            return Err(StoreError::NotFound { what: format!("version {sha256} of the model {name}") });
        }
        self.write(|transaction| {
            if active(transaction, name)?.is_some_and(|(_, active)| active == sha256) {
                return Ok(());
            }
            transaction.execute(
                "INSERT INTO activations (name, sha256, at_ms) VALUES (?, ?, ?)",
                params![name, sha256, now_ms],
            )?;
            Ok(())
        })
    }

    /// The version that [`Self::roll_back`] would make active.
    ///
    /// # Errors
    /// If there is none, or the database fails.
    pub fn previous_version(&self, name: &str) -> Result<String, StoreError> {
        let previous = self.read(|connection| {
            connection
                .query_row(
                    "SELECT sha256 FROM activations WHERE name = ? AND undone_ms IS NULL ORDER BY n DESC LIMIT 1 OFFSET 1",
                    [name],
                    |row| row.get(0),
                )
                .optional()
        })?;
        previous.ok_or_else(|| StoreError::Refused {
            message: format!("no other version of {name} was active before; activate one of its versions instead"),
        })
    }

    /// Makes the version active that was so before.
    ///
    /// # Errors
    /// If another one than `expected` would become active by now, there is none, or the database fails.
    pub fn roll_back(&self, name: &str, expected: &str, now_ms: i64) -> Result<(), StoreError> {
        let previous = self.previous_version(name)?;
        self.write(|transaction| {
            let refused = || StoreError::Refused {
                message: format!(
                    "another version of {name} was activated meanwhile; look at its versions and try again"
                ),
            };
            let (n, _) = active(transaction, name)?.ok_or_else(refused)?;
            if previous != expected {
                Err(refused())?;
            }
            transaction.execute("UPDATE activations SET undone_ms = ? WHERE n = ?", params![now_ms, n])?;
            Ok(())
        })
    }

    /// All models' names.
    ///
    /// # Errors
    /// If the database fails.
    pub fn model_names(&self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT DISTINCT name FROM model_versions ORDER BY name")?
                .query_map((), |row| row.get(0))?
                .collect()
        })
    }

    /// The versions of a model, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, StoreError> {
        self.read(|connection| {
            let active = active(connection, name)?;
            connection
                .prepare_cached(
                    "SELECT sha256, added_ms, origin, bytes, program_version,
                        (SELECT at_ms FROM activations WHERE n = ?)
                     FROM model_versions JOIN blobs USING (sha256) WHERE name = ? ORDER BY n DESC",
                )?
                .query_map(params![active.as_ref().map(|(n, _)| *n), name], |row| {
                    let sha256: String = row.get(0)?;
                    let origin: String = row.get(2)?;
                    let is_active = active.as_ref().is_some_and(|(_, active)| *active == sha256);
                    Ok(ModelVersion {
                        name: name.to_owned(),
                        sha256,
                        added_ms: row.get(1)?,
                        origin: match origin.as_str() {
                            "folder" => VersionOrigin::Folder,
                            "upload" => VersionOrigin::Upload,
                            _ => VersionOrigin::Fit,
                        },
                        bytes: row.get::<_, i64>(3)? as u64,
                        program_version: row.get(4)?,
                        active_since_ms: row.get::<_, Option<i64>>(5)?.filter(|_| is_active),
                    })
                })?
                .collect()
        })
    }
}

/// The activation that counts, and its version.
fn active(connection: &Connection, name: &str) -> rusqlite::Result<Option<(i64, String)>> {
    connection
        .prepare_cached(
            "SELECT n, sha256 FROM activations WHERE name = ? AND undone_ms IS NULL ORDER BY n DESC LIMIT 1",
        )?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}
