//! A scan that lies in the folder: what its files are called, when they were written, and what they hold.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use shapeguard_data::{DataError, ScanSource};

use crate::sha256;
use crate::station::UploadedFile;

/// What stands for a file that is not there.
const GONE: &str = "-";

/// A scan that lies in the folder.
pub(super) struct Found {
    /// The file of its cloud, relative to the folder.
    pub(super) name: String,
    pub(super) source: ScanSource,
    /// Sizes and times of cloud and colour image.
    pub(super) stamp: String,
    /// When the cloud was written.
    pub(super) written: Option<SystemTime>,
}

impl Found {
    /// `None` if it has vanished again.
    pub(super) fn of(root: &Path, source: ScanSource) -> Option<Self> {
        let name = source.cloud.strip_prefix(root).unwrap_or(&source.cloud).to_string_lossy().replace('\\', "/");
        let (stamp, written) = stamp_of(&source);
        let is_there = stamp.split(' ').any(|file| file != GONE);
        is_there.then_some(Self { name, source, stamp, written })
    }

    /// Whether its files are no longer what they were when it was found.
    pub(super) fn has_changed(&self) -> bool {
        stamp_of(&self.source).0 != self.stamp
    }

    /// All that it may still be waiting for: its stamp, and the intrinsics', which belong to all scans and make none another.
    pub(super) fn awaited(&self) -> String {
        let intrinsics = self.source.intrinsics.as_deref().and_then(|path| std::fs::metadata(path).ok());
        format!("{} {}", self.stamp, file_stamp(intrinsics.as_ref()))
    }
}

/// Whether of a scan of the stamp `seen` nothing but files was taken away: no other scan, but an old one that is cleaned up.
pub(super) fn is_cleaned_up(seen: &str, stamp: &str) -> bool {
    let (mut before, mut now) = (seen.split(' '), stamp.split(' '));
    seen != stamp && before.by_ref().zip(now.by_ref()).all(|(before, now)| now == before || now == GONE)
}

fn stamp_of(source: &ScanSource) -> (String, Option<SystemTime>) {
    let cloud = std::fs::metadata(&source.cloud).ok();
    let rgb = source.rgb.as_deref().and_then(|path| std::fs::metadata(path).ok());
    let stamp = format!("{} {}", file_stamp(cloud.as_ref()), file_stamp(rgb.as_ref()));
    (stamp, cloud.and_then(|cloud| cloud.modified().ok()))
}

fn file_stamp(metadata: Option<&Metadata>) -> String {
    let Some(metadata) = metadata else { return GONE.to_owned() };
    let written = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{}:{}", metadata.len(), written.map_or(0, |since| since.as_nanos()))
}

/// What a scan's files hold.
#[derive(Default)]
pub(super) struct Files {
    pub(super) cloud: Option<UploadedFile>,
    pub(super) rgb: Option<UploadedFile>,
    pub(super) intrinsics: Option<UploadedFile>,
}

impl Files {
    /// Reads them, those that are not there left out.
    ///
    /// # Errors
    /// If one that is there cannot be read, or is larger than `largest` bytes.
    pub(super) fn read(source: &ScanSource, largest: u64) -> Result<Self, DataError> {
        let read = |path: Option<&Path>| path.map(|path| read(path, largest)).transpose().map(Option::flatten);
        Ok(Self {
            cloud: read(Some(&source.cloud))?,
            rgb: read(source.rgb.as_deref())?,
            intrinsics: read(source.intrinsics.as_deref())?,
        })
    }

    /// Hashes of what makes the scan.
    pub(super) fn content(&self) -> String {
        let hash = |file: &Option<UploadedFile>| file.as_ref().map_or(GONE.to_owned(), |file| sha256(&file.bytes));
        format!("{} {}", hash(&self.cloud), hash(&self.rgb))
    }
}

fn read(path: &Path, largest: u64) -> Result<Option<UploadedFile>, DataError> {
    let fail = |source| DataError::Read { path: path.to_path_buf(), source };
    let bytes = match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > largest => {
            return Err(DataError::Unsupported {
                path: path.to_path_buf(),
                expected: format!("a file of at most {} MiB", largest >> 20),
                found: format!("{} MiB", metadata.len() >> 20),
                remedy: "raise --max-upload-mib".into(),
            });
        }
        Ok(_) => std::fs::read(path).map_err(fail)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some(UploadedFile { name, bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_that_only_lost_files_is_no_other_scan() {
        assert!(is_cleaned_up("1:1 2:2", "1:1 -") && is_cleaned_up("1:1 2:2", "- 2:2"));
        for (seen, stamp) in
            [("1:1 2:2", "1:1 2:2"), ("1:1 -", "1:1 2:2"), ("1:1 2:2", "1:3 -"), ("- 2:2", "1:1 -"), ("", "1:1 -")]
        {
            assert!(!is_cleaned_up(seen, stamp), "{seen} {stamp}");
        }
    }
}
