//! The models that the server judges with: the active version of each, loaded; all versions, kept for going back.
//!
//! A version is validated by loading it before it is kept, and swapped in whole: a request sees the old model or the new one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use shapeguard::Model;
use shapeguard::model_file::{ModelFileError, load_model};

use crate::store::{Store, StoreError, VersionOrigin};
use crate::time::now_ms;

/// What model files end in.
pub const MODEL_EXTENSION: &str = "shapeguard";
/// The name that means: whichever model routes scans to their categories.
pub const AUTO: &str = "auto";
/// Longest name of a model: it stands in addresses, tables and the names of files.
const LONGEST_NAME: usize = 64;

/// Brings a loaded model to the device that it runs on.
pub type Place = Box<dyn Fn(Model) -> Result<Model, String> + Send + Sync>;

/// A model that is loaded.
#[derive(Debug)]
pub struct LoadedModel {
    /// Its name.
    pub name: String,
    /// The hash of its file.
    pub sha256: String,
    /// The model.
    pub model: Model,
}

impl LoadedModel {
    /// The only category of a model that has but one.
    pub fn only_category(&self) -> Option<&str> {
        match &self.model {
            Model::Single(detector) => Some(&detector.provenance().name),
            Model::Routed(_) => None,
        }
    }
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// A name that no model can have.
    #[error(
        "{name:?} is no name for a model; expected 1 to {LONGEST_NAME} letters, digits, \".\", \"-\" or \"_\", the first a letter or digit, and not \"{AUTO}\""
    )]
    Name {
        /// The name.
        name: String,
    },
    /// There is no model of that name.
    #[error("there is no model {name:?}; {known}")]
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// No model routes.
    #[error(
        "no model for `auto`: expected exactly one loaded model that knows several categories, found {found}; name a model"
    )]
    NoRoutingModel {
        /// How many there are.
        found: usize,
    },
    /// The file is no model, or a damaged one.
    #[error("the model {name} cannot be used: {reason}")]
    Invalid {
        /// The model's name.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A folder or file cannot be read.
    #[error("{path}: cannot be read: {source}; check the path and the permissions")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The store cannot keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The models of a server.
pub struct Shelf {
    store: Arc<Store>,
    place: Place,
    active: RwLock<BTreeMap<String, Arc<LoadedModel>>>,
    /// Held while a version becomes active, so that the loaded model and the store agree.
    changing: Mutex<()>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("active", &self.active).finish_non_exhaustive()
    }
}

impl Shelf {
    /// Loads the active version of every model. Files in `folder` that are new to the store become versions, and active: who
    /// puts a file there wants it used.
    ///
    /// # Errors
    /// If the folder cannot be read, or any model not loaded: a station that silently lacks one judges nothing with it.
    pub fn open(store: Arc<Store>, folder: Option<&Path>, place: Place) -> Result<Self, ShelfError> {
        let shelf = Self { store, place, active: RwLock::default(), changing: Mutex::default() };
        if let Some(folder) = folder {
            for path in model_files(folder)? {
                shelf.take_in(&path)?;
            }
        }
        for name in shelf.store.model_names()? {
            let versions = shelf.store.versions(&name)?;
            let active = versions.iter().find(|version| version.active_since_ms.is_some());
            if let Some(version) = active.filter(|version| !shelf.is_loaded(&name, &version.sha256)) {
                let loaded = shelf.load(&name, &version.sha256)?;
                shelf.set(loaded);
            }
        }
        Ok(shelf)
    }

    /// All loaded models, by name.
    pub fn models(&self) -> Vec<Arc<LoadedModel>> {
        self.active.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A loaded model by its name, or the one that routes for `auto`.
    ///
    /// # Errors
    /// If there is none, or several for `auto`.
    pub fn model(&self, name: &str) -> Result<Arc<LoadedModel>, ShelfError> {
        let models = self.models();
        if name == AUTO {
            let mut routing = models.into_iter().filter(|loaded| loaded.only_category().is_none());
            return match (routing.next(), routing.count()) {
                (Some(model), 0) => Ok(model),
                (first, more) => Err(ShelfError::NoRoutingModel { found: usize::from(first.is_some()) + more }),
            };
        }
        let found = models.iter().find(|loaded| loaded.name == name).cloned();
        found.ok_or_else(|| {
            let names: Vec<_> = models.iter().map(|loaded| loaded.name.as_str()).collect();
            let known = match names.as_slice() {
                [] => "none is loaded; upload one, or fit one".to_owned(),
                names => format!("loaded are {}", names.join(", ")),
            };
            ShelfError::Unknown { name: name.to_owned(), known }
        })
    }

    /// Validates a model file, keeps it as a version, and makes it active if `is_active`.
    ///
    /// # Errors
    /// If the name or the file is none of a model, or it cannot be kept; the active version stays as it was.
    pub fn add(&self, name: &str, bytes: &[u8], origin: VersionOrigin, is_active: bool) -> Result<String, ShelfError> {
        check_name(name)?;
        let model = self.validate(name, bytes)?;
        let program_version = model.detectors()[0].provenance().program_version.clone();
        let sha256 = self.store.add_version(name, bytes, origin, &program_version, now_ms())?;
        if is_active {
            self.change(LoadedModel { name: name.to_owned(), sha256: sha256.clone(), model }, |sha256| {
                self.store.activate(name, sha256, now_ms())
            })?;
        }
        Ok(sha256)
    }

    /// Makes a kept version active.
    ///
    /// # Errors
    /// If it is not kept, or cannot be loaded; the active version stays as it was.
    pub fn activate(&self, name: &str, sha256: &str) -> Result<(), ShelfError> {
        if !self.store.has_version(name, sha256)? {
            return Err(StoreError::NotFound { what: format!("version {sha256} of the model {name}") }.into());
        }
        let loaded = self.load(name, sha256)?;
        self.change(loaded, |sha256| self.store.activate(name, sha256, now_ms()))
    }

    /// Makes the version active that was so before.
    ///
    /// # Errors
    /// If there is none, or it cannot be loaded; the active version stays as it was.
    pub fn roll_back(&self, name: &str) -> Result<(), ShelfError> {
        self.model(name)?;
        let loaded = self.load(name, &self.store.previous_version(name)?)?;
        self.change(loaded, |sha256| self.store.roll_back(name, sha256, now_ms()))
    }

    fn change(
        &self,
        loaded: LoadedModel,
        commit: impl FnOnce(&str) -> Result<(), StoreError>,
    ) -> Result<(), ShelfError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        commit(&loaded.sha256)?;
        self.set(loaded);
        Ok(())
    }

    fn set(&self, loaded: LoadedModel) {
        tracing::info!(model = loaded.name, sha256 = loaded.sha256, "model active");
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        active.insert(loaded.name.clone(), Arc::new(loaded));
    }

    fn is_loaded(&self, name: &str, sha256: &str) -> bool {
        self.models().iter().any(|loaded| loaded.name == name && loaded.sha256 == sha256)
    }

    /// A file of the folder of models.
    fn take_in(&self, path: &Path) -> Result<(), ShelfError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        check_name(&name)?;
        let bytes = std::fs::read(path).map_err(|source| ShelfError::Read { path: path.to_path_buf(), source })?;
        let sha256 = crate::sha256(&bytes);
        if !self.store.has_version(&name, &sha256)? {
            self.add(&name, &bytes, VersionOrigin::Folder, true)?;
        }
        Ok(())
    }

    /// Loads a version that the store keeps.
    fn load(&self, name: &str, sha256: &str) -> Result<LoadedModel, ShelfError> {
        let model = self.read(name, &self.store.checked_path(sha256)?)?;
        Ok(LoadedModel { name: name.to_owned(), sha256: sha256.to_owned(), model })
    }

    /// Loads a model from memory, by way of a file beside those of the store: there is room for large ones.
    fn validate(&self, name: &str, bytes: &[u8]) -> Result<Model, ShelfError> {
        use std::io::Write;
        let disk = |source| StoreError::Write { path: self.store.folder().to_path_buf(), source };
        let mut file = tempfile::NamedTempFile::new_in(self.store.folder()).map_err(disk)?;
        file.write_all(bytes).and_then(|()| file.flush()).map_err(disk)?;
        self.read(name, file.path())
    }

    fn read(&self, name: &str, path: &Path) -> Result<Model, ShelfError> {
        let invalid = |reason: String| ShelfError::Invalid { name: name.to_owned(), reason };
        let model = load_model(path).map_err(|error| invalid(without_path(&error, path)))?;
        (self.place)(model).map_err(invalid)
    }
}

/// A message without the name of the file that only this program knows.
fn without_path(error: &ModelFileError, path: &Path) -> String {
    error.to_string().replace(&format!("{}: ", path.display()), "").replace(&path.display().to_string(), "the file")
}

/// Makes sure that a name is one for a model: it also names files and addresses.
///
/// # Errors
/// If it is not.
pub fn check_name(name: &str) -> Result<(), ShelfError> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins_well && name.len() <= LONGEST_NAME && name.bytes().all(is_fine) && name != AUTO {
        return Ok(());
    }
    Err(ShelfError::Name { name: name.to_owned() })
}

fn model_files(folder: &Path) -> Result<Vec<PathBuf>, ShelfError> {
    let fail = |source| ShelfError::Read { path: folder.to_path_buf(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|extension| extension == MODEL_EXTENSION) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["biscuit", "A-17_b.2", "0"] {
            check_name(name).unwrap();
        }
        for name in ["", ".", "..", "../x", "a/b", "a b", "-a", "auto", "é", &"a".repeat(65), "a\0"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
