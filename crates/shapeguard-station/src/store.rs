//! The memory of every part: inspections with their files, operators' feedback, versions of models, tokens.
//!
//! An SQLite database in write-ahead mode, and beside it files under the hash of their content (docs/station.md, "What is
//! stored"). Files reach the disk before the row that counts on them is committed, so what was answered is there after any
//! crash, and nothing is half there: at most a file that no row knows, which [`Store::sweep`] removes.

mod blobs;
mod export;
mod feedback;
mod inspections;
mod models;
mod outbox;
mod retention;
mod tokens;
mod verify;
mod watched;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

pub use blobs::WriteFile;
pub use export::{CSV_COLUMNS, ExportError, export_csv, export_parquet};
pub use feedback::{Feedback, FeedbackKind, Judgement};
pub use inspections::{FileRole, Filter, NewInspection, Page, StoredInspection, Summary};
pub use models::{ModelVersion, VersionOrigin};
pub use outbox::Undelivered;
pub use retention::{Forgotten, Retention};
pub use tokens::{Role, TokenInfo};
pub use verify::{Finding, Verification};
pub use watched::{Seen, WatchedScan};

use blobs::Blobs;

/// The database's file in the data folder.
const DATABASE: &str = "station.sqlite3";
/// The folder of files in the data folder.
const FILES: &str = "files";
/// The schema that this program writes; `PRAGMA user_version`.
const SCHEMA_VERSION: i32 = SCHEMAS.len() as i32;
/// What turns each version into the next, beginning with an empty database.
const SCHEMAS: [&str; 2] = [include_str!("store/schema.sql"), include_str!("store/schema_2.sql")];
/// How long a connection waits for another process (`shapeguard history` beside a server) before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that read at the same time; more wait for one.
const READERS: usize = 4;
/// Room on the disk that writing leaves alone unless told otherwise: the database itself has to be able to grow.
pub const DEFAULT_KEEP_FREE_BYTES: u64 = 256 << 20;

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database.
    #[error("{path}: {source}; check that the folder may be written to and that no other program changed the file")]
    Database {
        /// The database's file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A file cannot be read.
    #[error("{path}: cannot be read: {source}; check the disk with `shapeguard history verify`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{path}: cannot be written: {source}; check the folder's permissions and the room on the disk")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file does not hold what it held.
    #[error("{path}: damaged: its content no longer has the hash that it is named by; restore it from a copy")]
    DamagedFile {
        /// The file.
        path: PathBuf,
    },
    /// A row of the database does not hold what this program writes.
    #[error("{path}: damaged: {what}; restore the database from a copy")]
    DamagedRow {
        /// The database's file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Too little room on the disk.
    #[error(
        "{path}: {free_mib} MiB are free, and {keep_mib} MiB are to stay so; make room, or let old inspections go (--keep-days, --keep-gib)"
    )]
    DiskFull {
        /// The data folder.
        path: PathBuf,
        /// What is free.
        free_mib: u64,
        /// What is to stay free.
        keep_mib: u64,
    },
    /// Written by a newer program.
    #[error(
        "{path}: written by a newer version of this program (schema {found}, expected at most {SCHEMA_VERSION}); use that version"
    )]
    NewerSchema {
        /// The database's file.
        path: PathBuf,
        /// Its schema.
        found: i32,
    },
    /// There is nothing here yet, and nothing is to be made.
    #[error(
        "{path}: no station's data here; expected the folder that `shapeguard serve --data` or `watch --data` wrote"
    )]
    Missing {
        /// The data folder.
        path: PathBuf,
    },
    /// What was asked for is not there.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// What was asked for cannot be.
    #[error("{message}")]
    Refused {
        /// Why, and what can be done.
        message: String,
    },
}

impl StoreError {
    /// Whether the disk has no room: what is to be stored may be sent again when it has.
    pub fn is_disk_full(&self) -> bool {
        let is_full = |kind: io::ErrorKind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match self {
            Self::DiskFull { .. } => true,
            Self::Write { source, .. } => is_full(source.kind()),
            Self::Database { source, .. } => source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            _ => false,
        }
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Writing is refused when less than this would stay free on the disk.
    pub keep_free_bytes: u64,
    /// How files are written.
    pub write_file: WriteFile,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { keep_free_bytes: DEFAULT_KEEP_FREE_BYTES, write_file: blobs::write_to_disk }
    }
}

/// The memory of every part.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    options: StoreOptions,
    blobs: Blobs,
    writer: Mutex<Connection>,
    readers: Readers,
}

impl Store {
    /// Opens the data folder, and makes it if it is not there.
    ///
    /// # Errors
    /// If the folder or its database cannot be made, read or written, or a newer program wrote it.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::Write { path: folder.to_path_buf(), source })?;
        let path = folder.join(DATABASE);
        let at = |source| StoreError::Database { path: path.clone(), source };
        let mut writer = Connection::open(&path).map_err(at)?;
        set_up(&writer).map_err(at)?;
        migrate(&mut writer, &path)?;
        Ok(Self {
            blobs: Blobs::new(folder.join(FILES), options.write_file),
            folder: folder.to_path_buf(),
            options,
            writer: Mutex::new(writer),
            readers: Readers { path, idle: Mutex::default() },
        })
    }

    /// Opens a data folder that is there already, as `shapeguard history` does.
    ///
    /// # Errors
    /// As [`Self::open`], and if there is none.
    pub fn open_existing(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        if folder.join(DATABASE).is_file() {
            return Self::open(folder, options);
        }
        Err(StoreError::Missing { path: folder.to_path_buf() })
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the store holds, and the room beside it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn size(&self) -> Result<StoreSize, StoreError> {
        self.read(|connection| {
            // The number of rows from the ends of the key would be wrong once old ones were let go from the middle.
            let count = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
            let inspections = count("SELECT count(*) FROM inspections")? as u64;
            let bytes = count("SELECT coalesce(sum(bytes), 0) FROM blobs")? as u64;
            Ok(StoreSize { inspections, bytes, free_bytes: 0 })
        })
        .and_then(|size| Ok(StoreSize { free_bytes: self.free_bytes()?, ..size }))
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        fs4::available_space(&self.folder).map_err(|source| StoreError::Read { path: self.folder.clone(), source })
    }

    /// Makes sure, before anything is written, that the disk has room for it.
    ///
    /// # Errors
    /// If it has not.
    pub fn check_room(&self, bytes: u64) -> Result<(), StoreError> {
        let (free, keep) = (self.free_bytes()?, self.options.keep_free_bytes);
        if free >= keep.saturating_add(bytes) {
            return Ok(());
        }
        Err(StoreError::DiskFull { path: self.folder.clone(), free_mib: free >> 20, keep_mib: keep >> 20 })
    }

    /// Reads what one moment shows.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.readers.with(query).map_err(|source| self.fault(source))
    }

    /// Changes all or nothing.
    fn write<T>(
        &self,
        change: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, Rollback>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer();
        let begun = writer.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(|source| self.fault(source))?;
        let value = match change(&transaction) {
            Ok(value) => value,
            Err(Rollback::Database(source)) => return Err(self.fault(source)),
            Err(Rollback::Refused(error)) => return Err(error),
        };
        transaction.commit().map_err(|source| self.fault(source))?;
        Ok(value)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic interrupted was rolled back when it was dropped.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.folder.join(DATABASE), source }
    }

    fn damaged_row(&self, what: impl Into<String>) -> StoreError {
        StoreError::DamagedRow { path: self.folder.join(DATABASE), what: what.into() }
    }
}

/// What the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSize {
    /// Number of inspections.
    pub inspections: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that are free on the disk.
    pub free_bytes: u64,
}

/// Why a change is not made.
enum Rollback {
    Database(rusqlite::Error),
    Refused(StoreError),
}

impl From<rusqlite::Error> for Rollback {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Rollback {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// Connections that read, opened when they are first needed.
#[derive(Debug)]
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    fn with<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let connection = match taken {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&self.path, flags)?;
                connection.busy_timeout(BUSY_TIMEOUT)?;
                connection
            }
        };
        let result = query(&connection);
        let mut idle = idle();
        if idle.len() < READERS {
            idle.push(connection);
        }
        result
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The log reaches the disk with every commit: what was answered survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let at = |source| StoreError::Database { path: path.to_path_buf(), source };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
    let found: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(at)?;
    let steps = usize::try_from(found).ok().and_then(|found| SCHEMAS.get(found..));
    let steps = steps.ok_or_else(|| StoreError::NewerSchema { path: path.to_path_buf(), found })?;
    for step in steps {
        transaction.execute_batch(step).map_err(at)?;
    }
    if !steps.is_empty() {
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(at)?;
    }
    transaction.commit().map_err(at)
}

#[cfg(test)]
mod tests;
