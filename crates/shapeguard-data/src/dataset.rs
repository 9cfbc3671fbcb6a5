//! Dataset layouts: which scans there are to learn from, to calibrate on and to test with.
//!
//! Known are an MVTec 3D-AD category (`train/good`, `validation/good`, `test/DEFECT`, each a folder of scans, the tests with
//! `gt/`), and a bare folder of scans, all good. Everything is sorted by name.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::folder::{
    Absent, CLOUDS, IMAGES, Listing, MASKS, SAMPLE_FOLDER_SHAPES, by_stem, check_partners, has_extension, name,
    samples_in, with_image_beside,
};
use crate::scan_file::ScanSource;

/// The name of the defect-free kind.
pub const GOOD: &str = "good";

/// A scan on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleEntry {
    /// Its file name without extension.
    pub name: String,
    /// Its files.
    pub source: ScanSource,
}

/// A scan on disk of which is known what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestEntry {
    /// The scan.
    pub sample: SampleEntry,
    /// Its kind of defect; [`GOOD`] for none.
    pub defect: String,
    /// Where the defect is, if it is known.
    pub truth: Option<PathBuf>,
}

/// The scans of one kind of part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The folder's name.
    pub name: String,
    /// Good scans to learn from.
    pub train: Vec<SampleEntry>,
    /// Further good scans, for the threshold.
    pub validation: Vec<SampleEntry>,
    /// Scans to test with.
    pub test: Vec<TestEntry>,
}

impl Dataset {
    /// Finds the scans of an MVTec 3D-AD category or of a bare folder of scans.
    ///
    /// # Errors
    /// If the folder cannot be read, is empty or has no known layout, or masks and scans don't belong together. A scan that
    /// lacks its cloud or its colour image is listed; reading it is the error.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        refuse_file(path)?;
        let listing = Listing::of(path)?;
        if listing.is_empty() {
            return Err(DataError::EmptyFolder { path: path.to_path_buf() });
        }
        let mut dataset = Self { name: folder_name(path), train: Vec::new(), validation: Vec::new(), test: Vec::new() };
        if is_category(&listing) {
            dataset.train = good_split(&path.join("train"))?;
            dataset.validation = good_split(&path.join("validation"))?;
            dataset.test = test_split(&path.join("test"))?;
        } else if let Some(samples) = samples_in(path, Absent::Refused)? {
            dataset.train = samples;
        } else {
            return Err(nothing_recognised(path, &listing));
        }
        Ok(dataset)
    }
}

/// The scans below a folder: of one kind of part, or of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datasets {
    /// A category, or a bare folder of scans.
    One(Dataset),
    /// The categories of a root, by name.
    Several(Vec<Dataset>),
}

impl Datasets {
    /// Finds the scans of a category, of a bare folder of scans, or of a root that holds at least two categories.
    ///
    /// # Errors
    /// As [`Dataset::open`], and if two categories have one name.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let error = match Dataset::open(path) {
            Ok(dataset) => return Ok(Self::One(dataset)),
            Err(error @ DataError::NothingRecognised { .. }) => error,
            Err(error) => return Err(error),
        };
        match category_roots(path) {
            Ok(roots) if roots.len() > 1 => {
                let datasets = roots.iter().map(|root| Dataset::open(root)).collect::<Result<Vec<_>, _>>()?;
                refuse_same_names(&datasets, path)?;
                Ok(Self::Several(datasets))
            }
            _ => Err(error),
        }
    }
}

/// Categories are told apart by their names; links to folders of one name have the same.
fn refuse_same_names(datasets: &[Dataset], root: &Path) -> Result<(), DataError> {
    let mut names: Vec<&str> = datasets.iter().map(|dataset| dataset.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(DataError::Unsupported {
            path: root.to_path_buf(),
            expected: "categories whose folders have names that differ".into(),
            found: format!("two called {:?}", pair[0]),
            remedy: "rename one of them".into(),
        }),
    }
}

/// The categories of a dataset's root, sorted; the folder itself if it is a category.
///
/// # Errors
/// If the folder cannot be read or holds no category.
pub fn category_roots(root: &Path) -> Result<Vec<PathBuf>, DataError> {
    refuse_file(root)?;
    let listing = Listing::of(root)?;
    if is_category(&listing) {
        return Ok(vec![root.to_path_buf()]);
    }
    let roots = categories_among(&listing)?;
    if roots.is_empty() {
        return Err(nothing_recognised(root, &listing));
    }
    Ok(roots)
}

/// The scans that a path means: a cloud's file with the image that belongs to it, a folder of scans, a folder of such
/// folders (`test/`), or the tests of a category. Sorted. In a folder, scans that lack their cloud or their colour image
/// are listed too; reading them is the error.
///
/// # Errors
/// If the path cannot be read, is empty, or holds no scans; if a colour image is given in place of its cloud.
pub fn discover_scans(path: &Path) -> Result<Vec<ScanSource>, DataError> {
    let metadata = std::fs::metadata(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    if !metadata.is_dir() {
        return discover_file(path).map(|source| vec![source]);
    }
    let listing = Listing::of(path)?;
    if listing.is_empty() {
        return Err(DataError::EmptyFolder { path: path.to_path_buf() });
    }
    if is_category(&listing) {
        let test = path.join("test");
        return if test.is_dir() { discover_scans(&test) } else { Err(nothing_recognised(path, &listing)) };
    }
    let sources = |samples: Vec<SampleEntry>| samples.into_iter().map(|sample| sample.source);
    if let Some(samples) = samples_in(path, Absent::Refused)? {
        return Ok(sources(samples).collect());
    }
    let mut found = Vec::new();
    for folder in &listing.folders {
        found.extend(samples_in(folder, Absent::Refused)?.into_iter().flat_map(sources));
    }
    if found.is_empty() { Err(nothing_recognised(path, &listing)) } else { Ok(found) }
}

/// The scans of a folder that is being filled, or of its folders: none yet is no error, and a modality of which there is
/// nothing is still to come, as is the other file of a scan. Sorted.
///
/// # Errors
/// If the folder cannot be read, or two clouds or two images have one name.
pub fn discover_arriving(folder: &Path) -> Result<Vec<ScanSource>, DataError> {
    let mut samples = samples_in(folder, Absent::Awaited)?.unwrap_or_default();
    if samples.is_empty() {
        for folder in &Listing::of(folder)?.folders {
            samples.extend(samples_in(folder, Absent::Awaited)?.unwrap_or_default());
        }
    }
    Ok(samples.into_iter().map(|sample| sample.source).collect())
}

/// Refuses a single file where a folder of scans is meant.
fn refuse_file(path: &Path) -> Result<(), DataError> {
    if path.is_file() {
        return Err(DataError::Unsupported {
            path: path.to_path_buf(),
            expected: "a folder of scans".into(),
            found: "a single file".into(),
            remedy: "give the folder that holds the scans".into(),
        });
    }
    Ok(())
}

fn discover_file(path: &Path) -> Result<ScanSource, DataError> {
    if has_extension(path, IMAGES) {
        let parent = path.parent().map(name).unwrap_or_default();
        let cloud_beside = CLOUDS.iter().any(|extension| path.with_extension(extension).is_file());
        if cloud_beside || parent == "rgb" || parent == "gt" {
            return Err(DataError::Unsupported {
                path: path.to_path_buf(),
                expected: "a cloud or a depth image".into(),
                found: "the colour image or mask that belongs to one".into(),
                remedy: "give the cloud; its colour image is found by its name".into(),
            });
        }
    }
    Ok(with_image_beside(path.to_path_buf()))
}

fn folder_name(path: &Path) -> String {
    // `.` and `..` have names only once resolved.
    path.canonicalize().map_or_else(|_| name(path), |path| name(&path))
}

fn is_category(listing: &Listing) -> bool {
    listing.folders.iter().any(|folder| matches!(name(folder).as_str(), "train" | "test"))
}

fn categories_among(listing: &Listing) -> Result<Vec<PathBuf>, DataError> {
    let mut roots = Vec::new();
    for folder in &listing.folders {
        if is_category(&Listing::of(folder)?) {
            roots.push(folder.clone());
        }
    }
    Ok(roots)
}

/// Good scans of `train/good` or, in users' own folders, `train` itself; none if there is no such split.
fn good_split(split: &Path) -> Result<Vec<SampleEntry>, DataError> {
    if !split.is_dir() {
        return Ok(Vec::new());
    }
    let good = split.join(GOOD);
    samples_of(if good.is_dir() { &good } else { split })
}

/// A folder's scans; it is an error if there are none.
fn samples_of(folder: &Path) -> Result<Vec<SampleEntry>, DataError> {
    let listing = Listing::of(folder)?;
    if listing.is_empty() {
        return Err(DataError::EmptyFolder { path: folder.to_path_buf() });
    }
    samples_in(folder, Absent::Refused)?.ok_or_else(|| DataError::NothingRecognised {
        path: folder.to_path_buf(),
        expected: SAMPLE_FOLDER_SHAPES.into(),
        found: listing.describe(),
    })
}

fn test_split(split: &Path) -> Result<Vec<TestEntry>, DataError> {
    if !split.is_dir() {
        return Ok(Vec::new());
    }
    let listing = Listing::of(split)?;
    if listing.folders.is_empty() {
        return Err(DataError::NothingRecognised {
            path: split.to_path_buf(),
            expected: "one folder per kind of defect, and good/".into(),
            found: listing.describe(),
        });
    }
    let mut entries = Vec::new();
    for folder in listing.folders {
        let defect = name(&folder);
        let samples = samples_of(&folder)?;
        let truths_folder = folder.join("gt");
        let mut truths = match truths_folder.is_dir() {
            true => by_stem(&Listing::of(&truths_folder)?.files, MASKS)?,
            false => Default::default(),
        };
        let scans = samples.iter().map(|sample| (sample.name.clone(), ())).collect();
        check_partners(&truths_folder, &truths, &folder, &scans, "add the scans or remove these masks")?;
        // A good scan needs no mask; a defect lacks all masks or none.
        if defect != GOOD && !truths.is_empty() {
            check_partners(&folder, &scans, &truths_folder, &truths, "add the masks, or remove the folder gt")?;
        }
        entries.extend(samples.into_iter().map(|sample| {
            let truth = truths.remove(&sample.name);
            TestEntry { sample, defect: defect.clone(), truth }
        }));
    }
    Ok(entries)
}

fn nothing_recognised(path: &Path, listing: &Listing) -> DataError {
    let mut found = listing.describe();
    if let Ok(roots) = categories_among(listing)
        && !roots.is_empty()
    {
        let names: Vec<String> = roots.iter().map(|root| name(root)).collect();
        found = format!("the categories {}: give one of them", names.join(", "));
    }
    DataError::NothingRecognised {
        path: path.to_path_buf(),
        expected: format!(
            "a category (train/good, validation/good, test/DEFECT with {SAMPLE_FOLDER_SHAPES}), or {SAMPLE_FOLDER_SHAPES}"
        ),
        found,
    }
}
