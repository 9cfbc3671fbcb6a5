//! The folder of a reproduction: one file of results for each category that is done, so that an interrupted run goes on,
//! and the pictures.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use shapeguard::experts::{ExpertIdentity, Experts};
use shapeguard_core::settings::Settings;
use shapeguard_data::{DataError, Dataset, GOOD, ScanSource, atomic_write, check_folder, write_json};

use crate::category::CategoryResult;
use crate::error::ReproductionError;
use crate::options::Options;
use crate::sheets::Sheet;

/// Says that a folder was made by a reproduction.
pub const MARKER: &str = ".shapeguard-reproduction";
/// Folder of the categories' results.
const CATEGORIES: &str = "categories";
/// Folder of the pictures.
pub const FIGURES: &str = "figures";
/// Pictures of a heading.
const PICTURES: usize = 4;

/// The folder.
#[derive(Clone, Debug)]
pub struct Results {
    folder: PathBuf,
}

/// Why a scan has a place on the sheets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// The scan of its kind of defect that is found most clearly.
    Clearest,
    /// Among the defective scans with the lowest scores.
    WorstMiss,
    /// Among the good scans with the highest scores.
    WorstFalseAlarm,
}

/// A picture and what it shows.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct Picture {
    /// The scan.
    pub name: String,
    /// Why it is shown.
    pub shown: Shown,
    /// Its fused score.
    pub score: f32,
    /// The file, relative to the folder.
    pub file: String,
}

/// What the figures of a category belong to; equal for equal figures.
#[derive(Serialize)]
struct Origin<'a> {
    program_version: &'static str,
    settings: &'a Settings,
    experts: [&'a ExpertIdentity; 2],
    also: Vec<(&'a Settings, [&'a ExpertIdentity; 2])>,
    backbone: Option<&'a str>,
    options: &'a Options,
    scans: Vec<(PathBuf, Option<u64>)>,
}

/// The digest of everything that a category's figures depend on. Scans count by their paths within the category and their
/// sizes: reading them all would take minutes.
pub fn fingerprint(
    root: &Path,
    dataset: &Dataset,
    settings: &Settings,
    experts: &Experts,
    also: &[(Settings, Experts)],
    backbone: Option<&str>,
    options: &Options,
) -> String {
    let of = |experts: &'_ Experts| -> [ExpertIdentity; 2] {
        [experts.shape_identity.clone(), experts.appearance_identity.clone()]
    };
    let own = of(experts);
    let others: Vec<[ExpertIdentity; 2]> = also.iter().map(|(_, experts)| of(experts)).collect();
    let sized = |path: &Path| {
        let size = std::fs::metadata(path).ok().map(|metadata| metadata.len());
        (path.strip_prefix(root).unwrap_or(path).to_path_buf(), size)
    };
    let files = |source: &ScanSource| {
        std::iter::once(source.cloud.clone()).chain(source.rgb.clone()).map(|path| sized(&path)).collect::<Vec<_>>()
    };
    let train = dataset.train.iter().flat_map(|entry| files(&entry.source));
    let test = dataset.test.iter().flat_map(|test| {
        files(&test.sample.source).into_iter().chain(test.truth.as_deref().map(sized)).collect::<Vec<_>>()
    });
    let origin = Origin {
        program_version: env!("CARGO_PKG_VERSION"),
        settings,
        experts: [&own[0], &own[1]],
        also: also.iter().zip(&others).map(|((settings, _), [a, b])| (settings, [a, b])).collect(),
        backbone,
        options,
        scans: train.chain(test).collect(),
    };
    let text = serde_json::to_vec(&origin).expect("plain values can be written");
    shapeguard::hex(&Sha256::digest(&text))
}

impl Results {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// If it is not empty and no reproduction made it, or it cannot be written.
    pub fn open(folder: &Path) -> Result<Self, ReproductionError> {
        let read = |source| DataError::Read { path: folder.to_path_buf(), source };
        if folder.symlink_metadata().is_ok() {
            let is_ours = folder.join(MARKER).is_file();
            let is_empty = folder.is_dir() && std::fs::read_dir(folder).map_err(read)?.next().is_none();
            if !is_ours && !is_empty {
                return Err(ReproductionError::OtherFolder { path: folder.to_path_buf(), marker: MARKER });
            }
        }
        check_folder(folder)?;
        let text = format!("Made by `shapeguard reproduce`, version {}.\n", env!("CARGO_PKG_VERSION"));
        atomic_write(&folder.join(MARKER), true, |file| file.write_all(text.as_bytes()))?;
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, category: &str) -> PathBuf {
        self.folder.join(CATEGORIES).join(format!("{category}.json"))
    }

    /// A category's results, if they are there and still hold.
    ///
    /// # Errors
    /// If results of other settings, experts or scans are there; if the file cannot be read. A file that holds no
    /// results counts as other results.
    pub fn load(&self, category: &str, fingerprint: &str) -> Result<Option<CategoryResult>, ReproductionError> {
        let path = self.file(category);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DataError::Read { path, source }.into()),
        };
        match serde_json::from_slice::<CategoryResult>(&text) {
            Ok(result) if result.fingerprint == fingerprint => Ok(Some(result)),
            _ => Err(ReproductionError::OtherResults { path }),
        }
    }

    /// Keeps a category's results and the pictures worth a look.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn save(&self, result: &mut CategoryResult, sheets: &[Option<Sheet>]) -> Result<(), ReproductionError> {
        result.pictures.clear();
        for (index, shown) in worth_a_look(result) {
            let Some(sheet) = sheets.get(index).and_then(Option::as_ref) else { continue };
            let scan = &result.scans[index];
            let file = format!("{FIGURES}/{}/{}.png", result.name, scan.name.replace(['/', '\\'], "-"));
            atomic_write(&self.folder.join(&file), true, |out| out.write_all(sheet.as_bytes()))?;
            result.pictures.push(Picture { name: scan.name.clone(), shown, score: scan.fused, file });
        }
        write_json(&self.file(&result.name), result, true)?;
        Ok(())
    }
}

/// The scans that the sheets show, by their places: the clearest find of each kind of defect, the worst misses, the worst false
/// alarms. A scan is shown once.
fn worth_a_look(result: &CategoryResult) -> Vec<(usize, Shown)> {
    let score = |i: &usize| result.scans[*i].fused;
    let mut order: Vec<usize> = (0..result.scans.len()).collect();
    order.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
    let is_good = |i: &usize| result.scans[*i].kind == GOOD;
    let mut kinds: Vec<&str> = Vec::new();
    let mut chosen: Vec<(usize, Shown)> = Vec::new();
    for index in order.iter().filter(|i| !is_good(i)) {
        let kind = result.scans[*index].kind.as_str();
        if !kinds.contains(&kind) {
            kinds.push(kind);
            chosen.push((*index, Shown::Clearest));
        }
    }
    let is_new = |i: &&usize, chosen: &[(usize, Shown)]| !chosen.iter().any(|(known, _)| known == *i);
    let misses: Vec<usize> =
        order.iter().rev().filter(|i| !is_good(i) && is_new(i, &chosen)).take(PICTURES).copied().collect();
    chosen.extend(misses.into_iter().map(|i| (i, Shown::WorstMiss)));
    chosen.extend(order.iter().filter(|i| is_good(i)).take(PICTURES).map(|i| (*i, Shown::WorstFalseAlarm)));
    chosen
}
