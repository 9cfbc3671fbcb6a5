//! What was seen in watched folders.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Rollback, Store, StoreError};

/// How long it is remembered that a scan was inspected whose files are gone: a share that was away for a while comes back with
/// all of them.
const REMEMBERED_MS: i64 = 30 * 86_400_000;

/// A scan in a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedScan {
    /// The folder.
    pub folder: String,
    /// The file of its cloud, relative to the folder.
    pub scan: String,
    /// What was seen of it.
    pub seen: Seen,
}

/// What was seen of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Sizes and times of its files: if they are the same, so are the files.
    pub stamp: String,
    /// Hash of what they held.
    pub content: String,
}

impl Store {
    /// What was inspected of a scan in a folder.
    ///
    /// # Errors
    /// If the database fails.
    pub fn watched(&self, folder: &str, scan: &str) -> Result<Option<Seen>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT stamp, content FROM watched WHERE folder = ? AND scan = ?")?
                .query_row([folder, scan], |row| Ok(Seen { stamp: row.get(0)?, content: row.get(1)? }))
                .optional()
        })
    }

    /// Remembers scans as inspected without inspecting them: those whose files changed but not what they hold, and those that
    /// nobody wants inspected.
    ///
    /// # Errors
    /// If the database fails.
    pub fn note_watched(&self, scans: &[WatchedScan], now_ms: i64) -> Result<(), StoreError> {
        self.write(|transaction| scans.iter().try_for_each(|scan| note(transaction, scan, now_ms)))
    }

    /// Notes which scans lie in a folder, and forgets those that have been gone for long.
    ///
    /// # Errors
    /// If the database fails.
    pub fn forget_watched<'a>(
        &self,
        folder: &str,
        there: impl IntoIterator<Item = &'a str>,
        now_ms: i64,
    ) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let mut touch =
                transaction.prepare_cached("UPDATE watched SET seen_ms = ? WHERE folder = ? AND scan = ?")?;
            for scan in there {
                touch.execute(params![now_ms, folder, scan])?;
            }
            Ok(transaction
                .prepare_cached("DELETE FROM watched WHERE folder = ? AND seen_ms < ?")?
                .execute(params![folder, now_ms - REMEMBERED_MS])?)
        })
    }
}

pub(super) fn note(transaction: &Connection, scan: &WatchedScan, now_ms: i64) -> Result<(), Rollback> {
    let WatchedScan { folder, scan, seen } = scan;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO watched (folder, scan, stamp, content, seen_ms) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![folder, scan, seen.stamp, seen.content, now_ms])?;
    Ok(())
}
