//! What watching a folder has inspected: each scan once, across restarts.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Rollback, Store, StoreError};

/// A scan of a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The folder, as it was resolved.
    pub folder: String,
    /// The cloud's path in it.
    pub cloud: String,
    /// What its files were: another content is another scan.
    pub fingerprint: String,
}

impl Watched {
    pub(super) fn insert(&self, transaction: &Connection, inspection: &str) -> Result<(), Rollback> {
        transaction.execute(
            "INSERT INTO watched (folder, cloud, fingerprint, inspection) VALUES (?, ?, ?, ?)",
            params![self.folder, self.cloud, self.fingerprint, inspection],
        )?;
        Ok(())
    }
}

impl Store {
    /// The inspection of a watched scan; `None` if it was not inspected yet.
    ///
    /// # Errors
    /// If the database fails.
    pub fn watched(&self, watched: &Watched) -> Result<Option<String>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT inspection FROM watched WHERE folder = ? AND cloud = ? AND fingerprint = ?")?
                .query_row(params![watched.folder, watched.cloud, watched.fingerprint], |row| row.get(0))
                .optional()
        })
    }

    /// The inspections of a watched folder whose results did not reach everybody who wants them, oldest first: each with its scan.
    ///
    /// # Errors
    /// If the database fails.
    pub fn undelivered(&self, folder: &str) -> Result<Vec<(Watched, String)>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT cloud, fingerprint, inspection FROM watched JOIN inspections ON inspections.id = inspection
                     WHERE folder = ? AND delivered = 0 ORDER BY n",
                )?
                .query_map([folder], |row| {
                    let watched = Watched { folder: folder.to_owned(), cloud: row.get(0)?, fingerprint: row.get(1)? };
                    Ok((watched, row.get(2)?))
                })?
                .collect()
        })
    }

    /// Notes that a watched scan's result reached everybody who wants it.
    ///
    /// # Errors
    /// If the database fails.
    pub fn set_delivered(&self, watched: &Watched) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE watched SET delivered = 1 WHERE folder = ? AND cloud = ? AND fingerprint = ?",
                params![watched.folder, watched.cloud, watched.fingerprint],
            )?;
            Ok(())
        })
    }
}
