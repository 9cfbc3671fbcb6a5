//! Files under the hash of what they hold: `files/ab/abcd…`. Written whole or not at all, and never changed.
//!
//! A file must not vanish between somebody finding that it is there already and the row that counts on it. Whoever writes
//! holds a [`Pin`] until the row is committed; what is pinned is not removed.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use shapeguard::hex;
use shapeguard_data::{DataError, atomic_write};

use super::StoreError;

/// Puts bytes into a file, whole or not at all. Tests put a faulty disk in its place.
pub type WriteFile = fn(&Path, &[u8]) -> io::Result<()>;

/// The folder of files.
#[derive(Debug)]
pub(super) struct Blobs {
    root: PathBuf,
    pins: Arc<Mutex<HashMap<String, usize>>>,
    write: WriteFile,
}

/// A file that is there and stays while this lives.
#[derive(Debug)]
pub(super) struct Pin {
    pub(super) sha256: String,
    pub(super) bytes: u64,
    pins: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pins.get_mut(&self.sha256) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.sha256);
            }
        }
    }
}

impl Blobs {
    pub(super) fn new(root: PathBuf, write: WriteFile) -> Self {
        Self { root, pins: Arc::default(), write }
    }

    /// Where a file lies.
    pub(super) fn path(&self, sha256: &str) -> PathBuf {
        self.root.join(&sha256[..2]).join(sha256)
    }

    /// Puts bytes on the disk, unless they are there already.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<Pin, StoreError> {
        let sha256 = hex(&Sha256::digest(bytes));
        let path = self.path(&sha256);
        *self.pins.lock().unwrap_or_else(PoisonError::into_inner).entry(sha256.clone()).or_default() += 1;
        let pin = Pin { sha256, bytes: bytes.len() as u64, pins: Arc::clone(&self.pins) };
        // A file of another length is a damaged one, which this mends.
        if path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == pin.bytes) {
            return Ok(pin);
        }
        (self.write)(&path, bytes).map_err(|source| StoreError::Write { path, source })?;
        Ok(pin)
    }

    /// Reads a file and makes sure that it is what it was.
    pub(super) fn get(&self, sha256: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.path(sha256);
        let bytes = std::fs::read(&path).map_err(|source| StoreError::Read { path: path.clone(), source })?;
        if hex(&Sha256::digest(&bytes)) == sha256 { Ok(bytes) } else { Err(StoreError::DamagedFile { path }) }
    }

    /// Removes a file that no row counts on, unless somebody is about to; `is_used` asks the rows. Returns whether it did.
    pub(super) fn remove(
        &self,
        sha256: &str,
        is_used: impl FnOnce() -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        // Held to the end: whoever pinned and let go before has committed a row, and whoever comes after finds no file.
        let pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if pins.contains_key(sha256) || is_used()? {
            return Ok(false);
        }
        let path = self.path(sha256);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::Write { path, source }),
            _ => Ok(true),
        }
    }

    /// All files, by their hashes, and what else lies there.
    pub(super) fn list(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        let read = |path: &Path| -> Result<Vec<PathBuf>, StoreError> {
            let fail = |source| StoreError::Read { path: path.to_path_buf(), source };
            match std::fs::read_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(fail(error)),
                Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(fail)).collect(),
            }
        };
        for folder in read(&self.root)? {
            if !folder.is_dir() {
                listing.strange.push(folder);
                continue;
            }
            for path in read(&folder)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let is_hash = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
                if is_hash && self.path(&name) == path { listing.hashes.push(name) } else { listing.strange.push(path) }
            }
        }
        listing.hashes.sort();
        listing.strange.sort();
        Ok(listing)
    }
}

/// What lies in the folder of files.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) hashes: Vec<String>,
    /// Leftovers of interrupted writing, and what somebody else put there.
    pub(super) strange: Vec<PathBuf>,
}

/// Writes to the real disk.
pub(super) fn write_to_disk(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write;
    // A file of the same name holds the same bytes, or is damaged.
    atomic_write(path, true, |file| file.write_all(bytes)).map_err(|error| match error {
        DataError::Write { source, .. } => source,
        other => io::Error::other(other),
    })
}
