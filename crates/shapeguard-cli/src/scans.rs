//! Which scans a command is about, and how they are read: options that several commands share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use shapeguard::LoadedScan;
use shapeguard_core::grid::GridSize;
use shapeguard_core::sample::Frame;
use shapeguard_core::settings::ForegroundMethod;
use shapeguard_data::{
    DEFAULT_MAX_PIXELS, DataError, Intrinsics, ReadOptions, ScanSource, TruthRule, Unit, discover_scans,
    parse_grid_size, read_scan, read_truth,
};

/// Pixels of a megapixel.
const MEGAPIXEL: f64 = 1e6;
/// Folders above a scan that may be repeated below `--mask`: the split and the kind of defect.
const MASK_FOLDERS: usize = 2;
/// Folders that hold one modality of the scans; they are not repeated below `--mask`.
const MODALITY_FOLDERS: [&str; 2] = ["xyz", "depth"];

/// What coordinates don't say about themselves.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Reading scans")]
pub struct CoordinateOptions {
    /// Unit of the coordinates: m, mm or um [default: m]
    #[arg(long, value_name = "UNIT")]
    unit: Option<Unit>,
    /// Frame of the coordinates; in the camera's, points with z <= 0 are invalid [default: camera]
    #[arg(long, value_name = "FRAME")]
    frame: Option<FrameName>,
}

impl CoordinateOptions {
    /// How scans of at most `max_pixels` are read.
    pub fn read_options(&self, max_pixels: usize) -> ReadOptions {
        ReadOptions {
            unit: self.unit.unwrap_or_default(),
            frame: match self.frame {
                Some(FrameName::Other) => Frame::Other,
                Some(FrameName::Camera) | None => Frame::Camera,
            },
            max_pixels,
            ..ReadOptions::default()
        }
    }
}

/// What scans don't say about themselves.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Reading scans")]
pub struct ScanOptions {
    #[command(flatten)]
    coordinates: CoordinateOptions,
    /// Rows and columns of clouds that don't tell theirs, like 480x640
    #[arg(long, value_name = "ROWSxCOLS", value_parser = parse_grid_size)]
    grid: Option<GridSize>,
    /// Camera intrinsics (JSON) for depth images [default: intrinsics.json beside the scans]
    #[arg(long, value_name = "FILE")]
    intrinsics: Option<PathBuf>,
    /// Refuse files that claim more pixels [default: 64]
    #[arg(long, value_name = "N")]
    max_megapixels: Option<f64>,
    /// Foreground masks for foreground.method = "mask": NAME.png for the scan NAME, or KIND/NAME.png, or
    /// SPLIT/KIND/NAME.png as in train/good/000.png; every value > 0 is the part
    #[arg(long, value_name = "DIR")]
    mask: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FrameName {
    /// z points away from the camera
    Camera,
    /// Any other, like a robot's
    Other,
}

impl ScanOptions {
    /// How scans are read for a model with this foreground method.
    ///
    /// # Errors
    /// If the options contradict each other or the model, or the intrinsics cannot be read.
    pub fn reader(&self, method: ForegroundMethod) -> Result<ScanReader> {
        match (&self.mask, method) {
            (None, ForegroundMethod::Mask) => {
                bail!("foreground.method is \"mask\": expected a folder of masks by --mask, found none; give one")
            }
            (Some(folder), ForegroundMethod::Mask) => {
                ensure!(folder.is_dir(), "--mask {}: expected a folder of masks; check the path", folder.display());
            }
            (Some(_), _) => {
                bail!(
                    "--mask has no effect unless foreground.method is \"mask\"; leave it out, or fit with --set foreground.method=mask"
                )
            }
            (None, _) => {}
        }
        let max_pixels = match self.max_megapixels {
            None => DEFAULT_MAX_PIXELS,
            Some(limit) => {
                // Beyond this, pixel indices no longer fit the method's 32-bit numbers.
                ensure!(
                    limit > 0.0 && limit <= 4000.0,
                    "--max-megapixels: expected a number above 0 and up to 4000, found {limit}"
                );
                (limit * MEGAPIXEL) as usize
            }
        };
        let intrinsics = self.intrinsics.as_deref().map(Intrinsics::read).transpose().context("--intrinsics")?;
        let options = ReadOptions { intrinsics, grid: self.grid, ..self.coordinates.read_options(max_pixels) };
        Ok(ScanReader { options, masks: self.mask.clone() })
    }
}

/// Reads scans.
#[derive(Clone, Debug)]
pub struct ScanReader {
    options: ReadOptions,
    masks: Option<PathBuf>,
}

impl ScanReader {
    /// Reads a scan, and its foreground mask if the model wants one.
    ///
    /// # Errors
    /// If a file cannot be read or they do not belong together.
    pub fn load(&self, source: &ScanSource) -> Result<LoadedScan, DataError> {
        let scan = read_scan(source, &self.options)?;
        let mask = match &self.masks {
            Some(folder) => Some(read_truth(&mask_path(folder, &source.cloud), scan.size(), TruthRule::AboveZero)?),
            None => None,
        };
        Ok(LoadedScan { scan, mask })
    }

    /// The reader of one of several categories, whose masks lie in a folder of its name.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn of_category(&self, name: &str) -> Result<Self> {
        let masks = self.masks.as_ref().map(|folder| folder.join(name));
        if let Some(folder) = masks.as_ref().filter(|folder| !folder.is_dir()) {
            bail!(
                "--mask: expected a folder of masks for each category, found no {}; put the masks of {name} there",
                folder.display()
            );
        }
        Ok(Self { masks, ..self.clone() })
    }

    /// Makes sure that no two scans would take the same mask.
    ///
    /// # Errors
    /// If two would.
    pub fn check_masks<'a>(&self, sources: impl IntoIterator<Item = &'a ScanSource>) -> Result<()> {
        let Some(folder) = &self.masks else { return Ok(()) };
        let mut taken: HashMap<PathBuf, &Path> = HashMap::new();
        for source in sources {
            let mask = mask_path(folder, &source.cloud);
            if let Some(other) = taken.insert(mask.clone(), &source.cloud)
                && other != source.cloud
            {
                bail!(
                    "--mask: {} and {} would both take the mask {}; arrange the masks as KIND/NAME.png or SPLIT/KIND/NAME.png, as in train/good/000.png",
                    other.display(),
                    source.cloud.display(),
                    mask.display()
                );
            }
        }
        Ok(())
    }
}

/// The mask of a scan: the one whose folders repeat most of the scan's, else the one in `folder` itself.
fn mask_path(folder: &Path, cloud: &Path) -> PathBuf {
    let mut file = cloud.file_stem().unwrap_or_default().to_owned();
    file.push(".png");
    let mut above: Vec<_> = cloud.parent().into_iter().flat_map(Path::components).map(|c| c.as_os_str()).collect();
    above.pop_if(|name| MODALITY_FOLDERS.iter().any(|modality| *name == *modality));
    (1..=MASK_FOLDERS.min(above.len()))
        .rev()
        .map(|count| folder.join(above[above.len() - count..].iter().collect::<PathBuf>()).join(&file))
        .find(|path| path.is_file())
        .unwrap_or_else(|| folder.join(&file))
}

/// The scans that arguments mean: files, folders and globs, in the order given.
///
/// A file that does not exist is one all the same: whether it can be judged is told with the others.
///
/// # Errors
/// If a folder holds no scans, a glob is malformed or matches nothing, or a colour image is given in place of its cloud.
pub fn expand(arguments: &[PathBuf]) -> Result<Vec<ScanSource>> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument.exists() {
            sources.extend(discover_scans(argument)?);
            continue;
        }
        match argument.to_str().filter(|text| text.contains(['*', '?', '['])) {
            None => sources.push(ScanSource::cloud_only(argument)),
            Some(pattern) => {
                let matches = matches(pattern)?;
                ensure!(
                    !matches.is_empty(),
                    "no scan matches {pattern:?}; expected clouds (tiff, pcd, ply, npz, npy) or folders of them; check the path and the pattern"
                );
                for path in matches {
                    sources.extend(discover_scans(&path)?);
                }
            }
        }
    }
    Ok(sources)
}

/// What a glob matches, sorted.
fn matches(pattern: &str) -> Result<Vec<PathBuf>> {
    let paths = glob::glob(pattern).with_context(|| format!("{pattern:?} is not a pattern like scans/*.ply"))?;
    let mut found = paths.collect::<Result<Vec<_>, _>>().with_context(|| format!("looking for {pattern:?}"))?;
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }

    #[test]
    fn files_folders_and_globs_become_scans_in_the_order_given() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b.ply", "a.ply", "test/hole/xyz/000.tiff", "test/hole/rgb/000.png"] {
            touch(&root.join(name));
        }
        let clouds = |arguments: &[&str]| -> Vec<String> {
            let arguments: Vec<PathBuf> = arguments.iter().map(|argument| root.join(argument)).collect();
            let sources = expand(&arguments).unwrap();
            sources.iter().map(|s| s.cloud.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/")).collect()
        };
        assert_eq!(clouds(&["test", "*.ply"]), ["test/hole/xyz/000.tiff", "a.ply", "b.ply"]);
        assert_eq!(clouds(&["b.ply", "a.ply"]), ["b.ply", "a.ply"]);
        assert_eq!(clouds(&["te*/hole"]), ["test/hole/xyz/000.tiff"]);
        assert_eq!(clouds(&["missing.ply"]), ["missing.ply"]);

        let error = |argument: &str| expand(&[root.join(argument)]).unwrap_err().to_string();
        assert!(error("*.pcd").contains("no scan matches"), "{}", error("*.pcd"));
        assert!(error("test/hole/rgb/000.png").contains("give the cloud"), "{}", error("test/hole/rgb/000.png"));
        touch(&root.join("empty/.hidden"));
        assert!(error("empty").contains("empty folder"), "{}", error("empty"));
    }

    #[test]
    fn a_name_with_the_signs_of_a_glob_is_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part[1].ply");
        touch(&path);
        assert_eq!(expand(std::slice::from_ref(&path)).unwrap()[0].cloud, path);
    }

    #[test]
    fn masks_are_found_by_the_scans_folders_and_name() {
        let folder = tempfile::tempdir().unwrap();
        let masks = folder.path();
        let scan = |path: &str| ScanSource::cloud_only(path);
        for name in ["train/good/000.png", "good/000.png", "000.png", "001.png"] {
            touch(&masks.join(name));
        }
        let of = |cloud: &str| mask_path(masks, Path::new(cloud)).strip_prefix(masks).unwrap().to_path_buf();
        assert_eq!(of("data/train/good/xyz/000.tiff"), Path::new("train/good/000.png"));
        assert_eq!(of("data/validation/good/xyz/000.tiff"), Path::new("good/000.png"));
        assert_eq!(of("000.ply"), Path::new("000.png"));
        assert_eq!(of("parts/999.ply"), Path::new("999.png"), "what is missing is named by the plain rule");

        let options = ScanOptions { mask: Some(masks.to_path_buf()), ..ScanOptions::default() };
        let reader = options.reader(ForegroundMethod::Mask).unwrap();
        reader.check_masks(&[scan("train/good/xyz/000.tiff"), scan("test/good/xyz/000.tiff")]).unwrap();
        let error = reader.check_masks(&[scan("a/001.ply"), scan("b/001.ply")]).unwrap_err().to_string();
        assert!(error.contains("would both take the mask") && error.contains("001.png"), "{error}");
    }

    #[test]
    fn masks_and_the_models_method_must_fit() {
        let error = ScanOptions::default().reader(ForegroundMethod::Mask).unwrap_err().to_string();
        assert!(error.contains("--mask"), "{error}");
        let options = ScanOptions { mask: Some("masks".into()), ..ScanOptions::default() };
        let error = options.reader(ForegroundMethod::Plane).unwrap_err().to_string();
        assert!(error.contains("no effect"), "{error}");
        let error = options.reader(ForegroundMethod::Mask).unwrap_err().to_string();
        assert!(error.contains("expected a folder of masks"), "{error}");
    }

    #[test]
    fn each_of_several_categories_has_its_own_masks() {
        let folder = tempfile::tempdir().unwrap();
        touch(&folder.path().join("gear/000.png"));
        let options = ScanOptions { mask: Some(folder.path().to_path_buf()), ..ScanOptions::default() };
        let reader = options.reader(ForegroundMethod::Mask).unwrap();
        assert_eq!(reader.of_category("gear").unwrap().masks, Some(folder.path().join("gear")));
        let error = reader.of_category("cork").unwrap_err().to_string();
        assert!(error.contains("cork; put the masks of cork there"), "{error}");
        let without = ScanOptions::default().reader(ForegroundMethod::Plane).unwrap();
        assert_eq!(without.of_category("cork").unwrap().masks, None);
    }

    #[test]
    fn a_pixel_limit_is_a_sensible_number() {
        for limit in [0.0, -1.0, f64::NAN, 1e9] {
            let options = ScanOptions { max_megapixels: Some(limit), ..ScanOptions::default() };
            assert!(options.reader(ForegroundMethod::Plane).is_err(), "{limit}");
        }
    }
}
