//! Folders of scans: which files belong together.
//!
//! Two shapes are known: `xyz/` (or `depth/`) and `rgb/` with one file per scan each, paired by name; and clouds that lie
//! in the folder itself or in its `pcd/`, `ply/`, `npz/` or `clouds/`, with their own colours or an image of the same
//! name beside them. Hidden files and files of other kinds are passed over. A file of a pair whose partner is missing is a
//! scan all the same: reading it tells what is missing, and the others can be used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::dataset::SampleEntry;
use crate::error::DataError;
use crate::scan_file::ScanSource;

/// Extensions of clouds.
pub(crate) const CLOUDS: &[&str] = &["tiff", "tif", "pcd", "ply", "npz", "npy"];
/// Extensions of depth images.
const DEPTHS: &[&str] = &["png", "tiff", "tif"];
/// Extensions of colour images.
pub(crate) const IMAGES: &[&str] = &["png", "jpg", "jpeg", "bmp"];
/// Extension of masks.
pub(crate) const MASKS: &[&str] = &["png"];
/// Folders of clouds that need no `rgb/`.
const CLOUD_FOLDERS: &[&str] = &["pcd", "ply", "npz", "clouds"];
/// Where the intrinsics of depth images stand: beside the folders, or up to so many levels above (a category's root).
const INTRINSICS_LEVELS: usize = 3;
/// Names that an error message lists.
const NAMES_SHOWN: usize = 5;

/// What was looked for in a folder of scans, for messages.
pub(crate) const SAMPLE_FOLDER_SHAPES: &str =
    "folders rgb/ and xyz/ (or rgb/ and depth/) with files of the same names, or *.pcd, *.ply, *.npz clouds";

/// What a folder holds, sorted, without hidden entries.
pub(crate) struct Listing {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) folders: Vec<PathBuf>,
}

impl Listing {
    /// Lists a folder.
    pub(crate) fn of(path: &Path) -> Result<Self, DataError> {
        let fail = |source| DataError::Read { path: path.to_path_buf(), source };
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(path).map_err(fail)? {
            let entry = entry.map_err(fail)?.path();
            if name(&entry).starts_with('.') {
                continue;
            }
            if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
        }
        files.sort();
        folders.sort();
        Ok(Self { files, folders })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }

    /// What it holds, for messages.
    pub(crate) fn describe(&self) -> String {
        let kind = |paths: &[PathBuf], what: &str| match paths {
            [] => format!("no {what}"),
            paths => format!("{} {what} ({})", paths.len(), some_names(paths.iter().map(|path| name(path)))),
        };
        format!("{} and {}", kind(&self.folders, "folder(s)"), kind(&self.files, "file(s)"))
    }
}

/// A path's last part.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

pub(crate) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|extension| extensions.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// The first few names, and that there are more.
fn some_names(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let mut text = names.take(NAMES_SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

/// Files of these kinds by their names without extension.
///
/// # Errors
/// If two have the same name.
pub(crate) fn by_stem(files: &[PathBuf], extensions: &[&str]) -> Result<BTreeMap<String, PathBuf>, DataError> {
    let mut found = BTreeMap::new();
    for file in files.iter().filter(|file| has_extension(file, extensions)) {
        if let Some(other) = found.insert(stem(file), file.clone()) {
            return Err(DataError::Unsupported {
                path: file.clone(),
                expected: "one file of this name".into(),
                found: format!("{} too", name(&other)),
                remedy: "remove or rename one of them".into(),
            });
        }
    }
    Ok(found)
}

/// What a modality means of which there is nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It is an error.
    Refused,
    /// It is still to come, as is the other file of a scan.
    Awaited,
}

/// The scans of a folder, sorted by name; `None` where it has no known shape.
pub(crate) fn samples_in(folder: &Path, absent: Absent) -> Result<Option<Vec<SampleEntry>>, DataError> {
    let listing = Listing::of(folder)?;
    let has = |wanted: &str| listing.folders.iter().any(|entry| name(entry) == wanted);
    let shape = match () {
        () if has("xyz") => Some(("xyz", CLOUDS)),
        () if has("depth") => Some(("depth", DEPTHS)),
        () if has("rgb") && absent == Absent::Awaited => Some(("xyz", CLOUDS)),
        () => None,
    };
    match shape {
        Some((cloud_folder, extensions)) if has("rgb") || absent == Absent::Awaited => {
            paired(folder, &folder.join(cloud_folder), extensions, &folder.join("rgb"), absent).map(Some)
        }
        Some((cloud_folder, _)) => Err(missing(folder, "rgb/", cloud_folder, &listing)),
        None if has("rgb") => Err(missing(folder, "xyz/ or depth/", "rgb", &listing)),
        None => {
            let mut clouds = listing.files;
            for subfolder in listing.folders.iter().filter(|entry| CLOUD_FOLDERS.contains(&name(entry).as_str())) {
                clouds.extend(Listing::of(subfolder)?.files);
            }
            let samples: Vec<SampleEntry> = by_stem(&clouds, CLOUDS)?
                .into_iter()
                .map(|(name, cloud)| SampleEntry { name, source: with_image_beside(cloud) })
                .collect();
            Ok(Some(samples).filter(|samples| !samples.is_empty()))
        }
    }
}

fn missing(folder: &Path, wanted: &str, there: &str, listing: &Listing) -> DataError {
    DataError::NothingRecognised {
        path: folder.to_path_buf(),
        expected: format!("a folder {wanted} beside {there}/: a scan needs both shape and colour"),
        found: listing.describe(),
    }
}

fn paired(
    folder: &Path,
    clouds: &Path,
    extensions: &[&str],
    images: &Path,
    absent: Absent,
) -> Result<Vec<SampleEntry>, DataError> {
    let files = |folder: &Path, extensions: &[&str]| {
        if absent == Absent::Awaited && !folder.is_dir() {
            return Ok(BTreeMap::new());
        }
        let files = by_stem(&Listing::of(folder)?.files, extensions)?;
        if absent == Absent::Refused && files.is_empty() {
            return Err(DataError::EmptyFolder { path: folder.to_path_buf() });
        }
        Ok(files)
    };
    let mut cloud_files = files(clouds, extensions)?;
    let mut image_files = files(images, IMAGES)?;
    let intrinsics = intrinsics_for(folder);
    let cloud_extension = usual_extension(&cloud_files, extensions);
    let image_extension = usual_extension(&image_files, IMAGES);
    let names: BTreeSet<String> = cloud_files.keys().chain(image_files.keys()).cloned().collect();
    Ok(names
        .into_iter()
        .map(|name| {
            let expected = |folder: &Path, extension: &str| folder.join(format!("{name}.{extension}"));
            let cloud = cloud_files.remove(&name).unwrap_or_else(|| expected(clouds, &cloud_extension));
            let rgb = image_files.remove(&name).unwrap_or_else(|| expected(images, &image_extension));
            let source = ScanSource { cloud, rgb: Some(rgb), intrinsics: intrinsics.clone() };
            SampleEntry { name, source }
        })
        .collect())
}

/// The extension that most of the files have, the first of the alphabet among equals, the first of `known` if there are none:
/// what a missing one would have.
fn usual_extension(files: &BTreeMap<String, PathBuf>, known: &[&str]) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for file in files.values() {
        *counts.entry(file.extension().unwrap_or_default().to_string_lossy().into_owned()).or_default() += 1;
    }
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map_or_else(|| known[0].to_owned(), |(extension, _)| extension)
}

/// That each of `files` has a partner of the same name.
pub(crate) fn check_partners<A, B>(
    folder: &Path,
    files: &BTreeMap<String, A>,
    partner_folder: &Path,
    partners: &BTreeMap<String, B>,
    remedy: &str,
) -> Result<(), DataError> {
    let lonely: Vec<String> = files.keys().filter(|name| !partners.contains_key(*name)).cloned().collect();
    if lonely.is_empty() {
        return Ok(());
    }
    Err(DataError::Unmatched {
        path: folder.to_path_buf(),
        partner: partner_folder.to_path_buf(),
        names: some_names(lonely.into_iter()),
        remedy: remedy.to_owned(),
    })
}

/// `intrinsics.json` of a folder of scans, if there is one.
fn intrinsics_for(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().take(INTRINSICS_LEVELS).map(|level| level.join("intrinsics.json")).find(|path| path.is_file())
}

/// A cloud with the colour image that belongs to it by its place: `../rgb/NAME` of `xyz/NAME` or `depth/NAME`, else of
/// the same name beside it, else none.
pub(crate) fn with_image_beside(cloud: PathBuf) -> ScanSource {
    let parent = cloud.parent().unwrap_or(Path::new(""));
    let image_in = |folder: &Path| {
        IMAGES.iter().map(|extension| folder.join(format!("{}.{extension}", stem(&cloud)))).find(|path| path.is_file())
    };
    let sibling = || image_in(parent).filter(|image| *image != cloud);
    let grandparent = parent.parent().filter(|_| !name(parent).is_empty());
    let rgb = grandparent.and_then(|folder| image_in(&folder.join("rgb"))).or_else(sibling);
    let intrinsics = intrinsics_for(grandparent.unwrap_or(parent)).or_else(|| intrinsics_for(parent));
    ScanSource { rgb, intrinsics, cloud }
}
