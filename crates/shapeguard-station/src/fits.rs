//! Fitting on the station: good scans come in one by one, then a model is fitted to them. What comes of it is a version of the
//! model that is kept but not active: a person looks at its scores first.
//!
//! One fit runs at a time, and inspections go on beside it. Scans lie in a folder that nothing outlives; a fit that a stop
//! interrupts is begun again by whoever wants it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use shapeguard::detector::UnusableScan;
use shapeguard::experts::Experts;
use shapeguard::model_file::save;
use shapeguard::{Detector, FitInputs, FittedCategory, LoadedScan, presets};
use shapeguard_core::calibration::Threshold;
use shapeguard_core::seams::Progress;
use shapeguard_core::settings::Settings;
use shapeguard_data::{DataError, NamedBytes, ReadOptions, ScanBytes, ScanSource, decode_scan};
use tempfile::TempDir;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::models_view::CategoryView;
use crate::shelf::check_name;
use crate::station::{Event, Station, UploadedFile};
use crate::store::{StoreError, VersionOrigin};
use crate::time::now_ms;

/// The folder of scans in the data folder.
const FOLDER: &str = "fits";
/// Fits that are kept; the oldest that ended or was forgotten makes room. More than a person follows.
const MOST_FITS: usize = 20;
/// Scans of one fit: twice what was measured in fitting (docs/performance.md).
pub const MOST_SCANS: usize = 2000;
/// Longest name of a scan, bytes: a file's name with its folder.
const LONGEST_SCAN_NAME: usize = 200;
/// A fit that nobody adds scans to for so long is forgotten, milliseconds: its page was closed.
const FORGOTTEN_AFTER_MS: i64 = 3_600_000;

/// How far a fit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FitState {
    /// Scans come in.
    Collecting,
    /// Another one is fitted.
    Waiting,
    /// It is fitted.
    Fitting,
    /// There is a model.
    Done,
    /// There is none, and why is said.
    Failed,
    /// Somebody stopped it.
    Stopped,
}

/// A fit as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FitView {
    /// Its name.
    pub id: String,
    /// The model that it makes a version of.
    pub model: String,
    /// The preset that it begins with.
    pub preset: String,
    /// The wished false-reject rate.
    pub false_reject_rate: f64,
    /// How far it is.
    pub state: FitState,
    /// Good scans that came in.
    pub scans: usize,
    /// Good scans that the rate needs.
    pub scans_needed: usize,
    /// What is being done.
    pub stage: Option<String>,
    /// Steps of that which are done.
    pub done: usize,
    /// Steps of that.
    pub total: usize,
    /// Why there is no model.
    pub error: Option<String>,
    /// What came of it.
    pub result: Option<FitResult>,
    /// Scans that could not be used.
    pub skipped: Vec<Skipped>,
}

/// What came of a fit.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FitResult {
    /// The model's file, to activate it by.
    pub sha256: String,
    /// What it learned.
    pub category: CategoryView,
}

/// A scan that could not be used.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Skipped {
    /// Its name.
    pub scan: String,
    /// Why.
    pub reason: String,
}

/// What is wished for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct NewFit {
    /// The model to make a version of.
    pub model: String,
    /// The preset: `default`, `paper` or `best`.
    #[serde(default = "default_preset")]
    pub preset: String,
    /// The wished false-reject rate.
    #[serde(default = "default_rate")]
    pub false_reject_rate: f64,
}

fn default_preset() -> String {
    "default".to_owned()
}

fn default_rate() -> f64 {
    0.05
}

/// Why a fit cannot be made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitsError {
    /// There is none of that name.
    #[error("there is no fit {id}; it may have been removed, or the station was started again since")]
    Unknown {
        /// The name.
        id: String,
    },
    /// It cannot be done now.
    #[error("{message}")]
    Refused {
        /// Why, and what can be done.
        message: String,
    },
    /// The disk is full.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its scans cannot be kept.
    #[error("the scan cannot be kept: {source}; check the room on the disk")]
    Disk {
        /// What the operating system says.
        source: std::io::Error,
    },
}

fn refused(message: impl Into<String>) -> FitsError {
    FitsError::Refused { message: message.into() }
}

struct Fit {
    view: FitView,
    settings: Settings,
    folder: TempDir,
    /// By name; numbered, so that no name reaches the file system.
    scans: BTreeMap<String, ScanSource>,
    files: usize,
    touched_ms: i64,
    stop: Arc<AtomicBool>,
}

impl Fit {
    fn makes_room(&self, now_ms: i64) -> bool {
        match self.view.state {
            FitState::Done | FitState::Failed | FitState::Stopped => true,
            FitState::Collecting => now_ms - self.touched_ms > FORGOTTEN_AFTER_MS,
            FitState::Waiting | FitState::Fitting => false,
        }
    }
}

/// The fits of a station.
pub struct Fits {
    station: Arc<Station>,
    fits: Mutex<Vec<Fit>>,
    /// Held by the one that is fitted.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Fits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fits").finish_non_exhaustive()
    }
}

impl Fits {
    /// None yet; what a station that was killed left of its own is removed.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn new(station: Arc<Station>) -> std::io::Result<Self> {
        let folder = station.store.folder().join(FOLDER);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&folder)?,
        }
        Ok(Self { station, fits: Mutex::default(), turn: Mutex::default() })
    }

    fn fits(&self) -> MutexGuard<'_, Vec<Fit>> {
        self.fits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a fit.
    ///
    /// # Errors
    /// If the name, the preset or the rate is none, or too many fits are under way.
    pub fn create(&self, new: &NewFit) -> Result<FitView, FitsError> {
        check_name(&new.model).map_err(|error| refused(error.to_string()))?;
        // Only built-in ones: what else `load` takes is the name of a file.
        let names = presets::BUILT_IN.map(|(name, _)| name);
        if !names.contains(&new.preset.as_str()) {
            return Err(refused(format!("there is no preset {:?}; expected one of {}", new.preset, names.join(", "))));
        }
        let mut settings = presets::load(&new.preset).map_err(|error| refused(error.to_string()))?;
        settings.threshold.false_reject_rate = new.false_reject_rate;
        presets::check(&settings).map_err(refused)?;
        let folder =
            TempDir::new_in(self.station.store.folder().join(FOLDER)).map_err(|source| FitsError::Disk { source })?;
        let touched_ms = now_ms();
        let mut fits = self.fits();
        if fits.len() >= MOST_FITS {
            let oldest = fits.iter().position(|fit| fit.makes_room(touched_ms));
            fits.remove(oldest.ok_or_else(|| refused("too many fits are under way; finish or remove one"))?);
        }
        let view = FitView {
            id: Uuid::new_v4().to_string(),
            model: new.model.clone(),
            preset: new.preset.clone(),
            false_reject_rate: new.false_reject_rate,
            state: FitState::Collecting,
            scans: 0,
            scans_needed: Threshold::samples_needed(new.false_reject_rate).max(2),
            stage: None,
            done: 0,
            total: 0,
            error: None,
            result: None,
            skipped: Vec::new(),
        };
        fits.push(Fit {
            view: view.clone(),
            settings,
            folder,
            scans: BTreeMap::new(),
            files: 0,
            touched_ms,
            stop: Arc::default(),
        });
        Ok(view)
    }

    /// All fits, oldest first.
    pub fn list(&self) -> Vec<FitView> {
        self.fits().iter().map(|fit| fit.view.clone()).collect()
    }

    /// One fit.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn get(&self, id: &str) -> Result<FitView, FitsError> {
        self.with(id, |fit| Ok(fit.view.clone()))
    }

    fn with<T>(&self, id: &str, f: impl FnOnce(&mut Fit) -> Result<T, FitsError>) -> Result<T, FitsError> {
        let mut fits = self.fits();
        let found = fits.iter_mut().find(|fit| fit.view.id == id);
        f(found.ok_or_else(|| FitsError::Unknown { id: id.to_owned() })?)
    }

    /// Adds a good scan; one of the same name is replaced.
    ///
    /// # Errors
    /// If the fit takes no more, or the disk fails.
    pub fn add_scan(
        &self,
        id: &str,
        name: &str,
        cloud: &UploadedFile,
        rgb: Option<&UploadedFile>,
    ) -> Result<(), FitsError> {
        if name.is_empty() || name.len() > LONGEST_SCAN_NAME {
            return Err(refused(format!("a scan's name has 1 to {LONGEST_SCAN_NAME} bytes, found {}", name.len())));
        }
        let disk = |source| FitsError::Disk { source };
        self.station.store.check_room((cloud.bytes.len() + rgb.map_or(0, |file| file.bytes.len())) as u64)?;
        // The files are written without holding everybody else up.
        let (number, folder) = self.with(id, |fit| {
            if fit.view.state != FitState::Collecting {
                return Err(refused("the fit has started and takes no more scans; begin another one"));
            }
            if fit.scans.len() >= MOST_SCANS && !fit.scans.contains_key(name) {
                return Err(refused(format!("a fit takes at most {MOST_SCANS} scans")));
            }
            fit.files += 1;
            fit.touched_ms = now_ms();
            Ok((fit.files, fit.folder.path().to_path_buf()))
        })?;
        let write = |file: &UploadedFile, role: &str| -> Result<PathBuf, FitsError> {
            let path = folder.join(format!("{number}.{role}"));
            std::fs::write(&path, &file.bytes).map_err(disk)?;
            Ok(path)
        };
        let source = ScanSource {
            cloud: write(cloud, "cloud")?,
            rgb: rgb.map(|file| write(file, "rgb")).transpose()?,
            intrinsics: None,
        };
        let view = self.with(id, |fit| {
            if let Some(old) = fit.scans.insert(name.to_owned(), source) {
                for path in [Some(old.cloud), old.rgb].into_iter().flatten() {
                    std::fs::remove_file(path).map_err(disk)?;
                }
            }
            fit.view.scans = fit.scans.len();
            Ok(fit.view.clone())
        })?;
        self.station.tell(Event::Fit(Box::new(view)));
        Ok(())
    }

    /// Starts fitting, on a thread of its own.
    ///
    /// # Errors
    /// If there are too few scans, or it has started already.
    pub fn start(self: &Arc<Self>, id: &str) -> Result<FitView, FitsError> {
        let view = self.with(id, |fit| {
            if fit.view.state != FitState::Collecting {
                return Err(refused("the fit has started already"));
            }
            if fit.scans.len() < fit.view.scans_needed {
                let (rate, needed) = (fit.view.false_reject_rate, fit.view.scans_needed);
                return Err(refused(format!(
                    "a false-reject rate of {rate} needs at least {needed} good scans, found {}; add more, or wish for a higher rate",
                    fit.scans.len()
                )));
            }
            fit.view.state = FitState::Waiting;
            Ok(fit.view.clone())
        })?;
        let (this, id) = (Arc::clone(self), id.to_owned());
        let spawned = std::thread::Builder::new().name("fit".to_owned()).spawn(move || this.run(&id));
        spawned.map_err(|source| FitsError::Disk { source })?;
        Ok(view)
    }

    /// Removes a fit; if it is being fitted, it ends before long and leaves nothing.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn remove(&self, id: &str) -> Result<(), FitsError> {
        let mut fits = self.fits();
        let at = fits.iter().position(|fit| fit.view.id == id);
        let fit = fits.remove(at.ok_or_else(|| FitsError::Unknown { id: id.to_owned() })?);
        fit.stop.store(true, Ordering::Relaxed);
        self.station.tell(Event::Fit(Box::new(FitView { state: FitState::Stopped, ..fit.view })));
        Ok(())
    }

    /// Changes what is shown of a fit, and tells.
    fn show(&self, id: &str, change: impl FnOnce(&mut FitView)) {
        let shown = self.with(id, |fit| {
            change(&mut fit.view);
            Ok(fit.view.clone())
        });
        // One that was removed has nobody to tell.
        if let Ok(view) = shown {
            self.station.tell(Event::Fit(Box::new(view)));
        }
    }

    fn run(&self, id: &str) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.with(id, |fit| {
            fit.view.state = FitState::Fitting;
            let scans: Vec<(String, ScanSource)> = fit.scans.clone().into_iter().collect();
            Ok((scans, fit.settings.clone(), fit.view.model.clone(), Arc::clone(&fit.stop)))
        });
        let Ok((scans, settings, model, stop)) = taken else { return };
        let worker = std::panic::AssertUnwindSafe(|| self.fit(id, &scans, settings, &model, &stop));
        let outcome = std::panic::catch_unwind(worker)
            .unwrap_or_else(|_| Err("fitting failed by a bug; the log has more".to_owned()));
        self.show(id, |view| {
            (view.stage, view.done, view.total) = (None, 0, 0);
            match outcome {
                Ok((result, skipped)) => {
                    (view.state, view.result, view.skipped) = (FitState::Done, Some(result), skipped);
                }
                Err(error) => (view.state, view.error) = (FitState::Failed, Some(error)),
            }
        });
        self.station.tell(Event::Models { name: model });
    }

    fn fit(
        &self,
        id: &str,
        scans: &[(String, ScanSource)],
        settings: Settings,
        model: &str,
        stop: &AtomicBool,
    ) -> Result<(FitResult, Vec<Skipped>), String> {
        let experts = Experts::from_settings(&settings.experts).map_err(|error| error.to_string())?;
        let progress = Steps { fits: self, id, done: AtomicUsize::new(0) };
        let options = ReadOptions::default();
        let load = |(name, source): &(String, ScanSource)| -> Result<LoadedScan, DataError> {
            let path = Path::new(name);
            let fail = |source| DataError::Read { path: path.to_path_buf(), source };
            if stop.load(Ordering::Relaxed) {
                return Err(fail(std::io::Error::new(std::io::ErrorKind::Interrupted, "the fit was stopped")));
            }
            // Read here, so that messages have the scan's own name.
            let cloud = std::fs::read(&source.cloud).map_err(fail)?;
            let rgb = source.rgb.as_ref().map(std::fs::read).transpose().map_err(fail)?;
            let named = |bytes| NamedBytes { name: path, bytes };
            let files = ScanBytes { cloud: named(&cloud), rgb: rgb.as_deref().map(named), intrinsics: None };
            Ok(LoadedScan { scan: decode_scan(&files, &options)?, mask: None })
        };
        let inputs = FitInputs { name: model, train: scans, validation: &[], skip_unusable: true };
        let FittedCategory { detector, unusable, .. } =
            Detector::fit_category(inputs, load, |(name, _)| name.clone(), settings, experts, &progress)
                .map_err(|error| error.to_string())?;
        let skipped = unusable.into_iter().map(Skipped::from).collect();
        let category = CategoryView::of(&detector);
        let folder = TempDir::new_in(self.station.store.folder().join(FOLDER)).map_err(|error| error.to_string())?;
        let path = folder.path().join("model");
        save(&detector, &path, false).map_err(|error| error.to_string())?;
        let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
        if stop.load(Ordering::Relaxed) {
            return Err("stopped".to_owned());
        }
        let sha256 =
            self.station.shelf.add(model, &bytes, VersionOrigin::Fit, false).map_err(|error| error.to_string())?;
        Ok((FitResult { sha256, category }, skipped))
    }
}

impl From<UnusableScan> for Skipped {
    fn from(scan: UnusableScan) -> Self {
        Self { scan: scan.name, reason: scan.reason }
    }
}

/// Shows the steps of a fit.
struct Steps<'a> {
    fits: &'a Fits,
    id: &'a str,
    done: AtomicUsize,
}

impl Progress for Steps<'_> {
    fn begin(&self, stage: &str, total: usize) {
        self.done.store(0, Ordering::Relaxed);
        self.fits.show(self.id, |view| (view.stage, view.done, view.total) = (Some(stage.to_owned()), 0, total));
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.fits.show(self.id, |view| view.done = view.done.max(done));
    }

    fn end(&self) {}
}
