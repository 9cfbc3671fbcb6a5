//! Which experts look at a scan: built-in ones by name, others from weight files.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shapeguard_core::memory::ExactSearch;
use shapeguard_core::seams::{AppearanceExpert, BankSearch, ShapeExpert};
use shapeguard_core::settings::ExpertSettings;
use shapeguard_experts::appearance::{self, AppearanceWeightsError, Network, WideResNet50};
use shapeguard_experts::shape::{self, PointNetNif, ShapeWeightsError};

/// Largest weight file that is read: Wide-ResNet-50-2 has 132 MB.
const MAX_WEIGHT_BYTES: u64 = 1 << 30;

/// Which expert, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpertIdentity {
    /// Built-in name, or the file it was read from.
    pub name: String,
    /// SHA-256 of its weight file.
    pub sha256: String,
    /// Whether the program carries it; else the model file does.
    pub built_in: bool,
}

/// Both experts and the search of their banks, ready to run: on the CPU, unless others with the same weights take their
/// places (see [`Self::shape_network`]).
#[derive(Clone)]
pub struct Experts {
    /// The shape expert.
    pub shape: Arc<dyn ShapeExpert>,
    /// The appearance expert.
    pub appearance: Arc<dyn AppearanceExpert>,
    /// The search of both banks.
    pub search: Arc<dyn BankSearch>,
    /// Which shape expert.
    pub shape_identity: ExpertIdentity,
    /// Which appearance expert.
    pub appearance_identity: ExpertIdentity,
    /// The shape expert's weight file, unless it is built in.
    pub shape_file: Option<Arc<[u8]>>,
    /// The appearance expert's weight file, unless it is built in.
    pub appearance_file: Option<Arc<[u8]>>,
}

impl std::fmt::Debug for Experts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Experts")
            .field("shape", &self.shape_identity)
            .field("appearance", &self.appearance_identity)
            .finish()
    }
}

/// Why an expert is not at hand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpertsError {
    /// The weight file cannot be read.
    #[error("{path}: {source}; {expected}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
        /// What could have been given instead.
        expected: &'static str,
    },
    /// Too large to be weights.
    #[error("{path}: expected a weight file of at most 1 GiB, found {bytes} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Not the weights of a shape expert.
    #[error("shape expert {name}: {source}")]
    Shape {
        /// Name or file.
        name: String,
        /// What is wrong.
        source: ShapeWeightsError,
    },
    /// Not the weights of an appearance expert.
    #[error("appearance expert {name}: {source}")]
    Appearance {
        /// Name or file.
        name: String,
        /// What is wrong.
        source: AppearanceWeightsError,
    },
    /// The model was fitted with other weights than those that this program carries.
    #[error(
        "the model was fitted with the built-in {kind} expert {name:?} of SHA-256 {wanted}, this program carries {found}; fit the model again, or use the program version that it was fitted with"
    )]
    OtherBuiltIn {
        /// `shape` or `appearance`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the model needs.
        wanted: String,
        /// What the program has.
        found: String,
    },
    /// The model needs an expert that only other versions of the program carry.
    #[error(
        "the model needs a built-in {kind} expert {name:?}, this program has none of that name; update Shapeguard, or fit the model again"
    )]
    UnknownBuiltIn {
        /// `shape` or `appearance`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The model should carry an expert but does not, or carries another.
    #[error(
        "the model should carry the {kind} expert {name:?}, but its weights are missing or altered; restore the model from a copy, or fit it again"
    )]
    Altered {
        /// `shape` or `appearance`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

/// The built-in appearance expert's name.
const EFFICIENTNET: &str = "efficientnet-lite0";

impl Experts {
    /// The experts that the settings name.
    ///
    /// # Errors
    /// If a name is unknown and no readable weight file, or the weights do not fit.
    pub fn from_settings(settings: &ExpertSettings) -> Result<Self, ExpertsError> {
        let (shape, shape_identity, shape_file) = match shape::builtin(&settings.shape) {
            Some(expert) => {
                let identity = built_in(&settings.shape, expert.sha256());
                (Arc::new(expert), identity, None)
            }
            None => {
                let bytes =
                    read(&settings.shape, "expected `paper`, `compact`, or the path of a shape expert's weights")?;
                (shape_from(&bytes, &settings.shape)?, from_file(&settings.shape, &bytes), Some(bytes.into()))
            }
        };
        let (appearance, appearance_identity, appearance_file): (Arc<dyn AppearanceExpert>, _, _) =
            if settings.appearance == EFFICIENTNET {
                let expert = appearance::efficientnet_lite0();
                let identity = built_in(EFFICIENTNET, expert.sha256());
                (Arc::new(expert), identity, None)
            } else {
                let bytes = read(
                    &settings.appearance,
                    "expected `efficientnet-lite0`, or the path of Wide-ResNet-50-2 weights (see `shapeguard weights`)",
                )?;
                let expert = appearance_from(&bytes, &settings.appearance)?;
                (expert, from_file(&settings.appearance, &bytes), Some(bytes.into()))
            };
        let search = Arc::new(ExactSearch);
        Ok(Self { shape, appearance, search, shape_identity, appearance_identity, shape_file, appearance_file })
    }

    /// The experts of a saved model: built-in ones by name and digest, others from the model itself.
    ///
    /// # Errors
    /// If this program carries other weights, or the model's own are missing or altered.
    pub fn restore(
        shape_identity: &ExpertIdentity,
        shape_file: Option<Vec<u8>>,
        appearance_identity: &ExpertIdentity,
        appearance_file: Option<Vec<u8>>,
    ) -> Result<Self, ExpertsError> {
        let shape = match (shape_identity.built_in, &shape_file) {
            (true, None) => {
                let expert = shape::builtin(&shape_identity.name).ok_or_else(|| unknown("shape", shape_identity))?;
                same("shape", shape_identity, expert.sha256())?;
                Arc::new(expert)
            }
            (false, Some(bytes)) if digest(bytes) == shape_identity.sha256 => shape_from(bytes, &shape_identity.name)?,
            _ => return Err(altered("shape", shape_identity)),
        };
        let appearance: Arc<dyn AppearanceExpert> = match (appearance_identity.built_in, &appearance_file) {
            (true, None) if appearance_identity.name == EFFICIENTNET => {
                let expert = appearance::efficientnet_lite0();
                same("appearance", appearance_identity, expert.sha256())?;
                Arc::new(expert)
            }
            (true, None) => return Err(unknown("appearance", appearance_identity)),
            (false, Some(bytes)) if digest(bytes) == appearance_identity.sha256 => {
                appearance_from(bytes, &appearance_identity.name)?
            }
            _ => return Err(altered("appearance", appearance_identity)),
        };
        Ok(Self {
            shape,
            appearance,
            search: Arc::new(ExactSearch),
            shape_identity: shape_identity.clone(),
            appearance_identity: appearance_identity.clone(),
            shape_file: shape_file.map(Into::into),
            appearance_file: appearance_file.map(Into::into),
        })
    }

    /// The shape expert's weights, for whoever runs it elsewhere than on the CPU.
    ///
    /// # Errors
    /// If it is neither built in nor from a file.
    pub fn shape_network(&self) -> Result<PointNetNif, ExpertsError> {
        let name = &self.shape_identity.name;
        match &self.shape_file {
            Some(bytes) => PointNetNif::from_safetensors(bytes)
                .map_err(|source| ExpertsError::Shape { name: name.clone(), source }),
            None => shape::builtin(name).ok_or_else(|| unknown("shape", &self.shape_identity)),
        }
    }

    /// The appearance expert's weights, for whoever runs it elsewhere than on the CPU.
    ///
    /// # Errors
    /// If it is neither built in nor from a file.
    pub fn appearance_network(&self) -> Result<Network, ExpertsError> {
        let name = &self.appearance_identity.name;
        match &self.appearance_file {
            Some(bytes) => {
                Network::wide_resnet50(bytes).map_err(|source| ExpertsError::Appearance { name: name.clone(), source })
            }
            None if name == EFFICIENTNET => Ok(Network::efficientnet_lite0()),
            None => Err(unknown("appearance", &self.appearance_identity)),
        }
    }
}

fn shape_from(bytes: &[u8], name: &str) -> Result<Arc<PointNetNif>, ExpertsError> {
    let expert =
        PointNetNif::from_safetensors(bytes).map_err(|source| ExpertsError::Shape { name: name.to_owned(), source })?;
    Ok(Arc::new(expert))
}

fn appearance_from(bytes: &[u8], name: &str) -> Result<Arc<dyn AppearanceExpert>, ExpertsError> {
    let expert = WideResNet50::from_bytes(bytes, name)
        .map_err(|source| ExpertsError::Appearance { name: name.to_owned(), source })?;
    Ok(Arc::new(expert))
}

fn read(path: &str, expected: &'static str) -> Result<Vec<u8>, ExpertsError> {
    let io = |source| ExpertsError::Io { path: path.into(), source, expected };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(io(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if metadata.len() > MAX_WEIGHT_BYTES {
        return Err(ExpertsError::TooLarge { path: path.into(), bytes: metadata.len() });
    }
    std::fs::read(path).map_err(io)
}

fn digest(bytes: &[u8]) -> String {
    crate::hex(&Sha256::digest(bytes))
}

fn built_in(name: &str, sha256: &str) -> ExpertIdentity {
    ExpertIdentity { name: name.to_owned(), sha256: sha256.to_owned(), built_in: true }
}

fn from_file(path: &str, bytes: &[u8]) -> ExpertIdentity {
    let name = std::path::Path::new(path).file_name().map_or_else(|| path.into(), |name| name.to_string_lossy());
    ExpertIdentity { name: name.into_owned(), sha256: digest(bytes), built_in: false }
}

fn same(kind: &'static str, wanted: &ExpertIdentity, found: &str) -> Result<(), ExpertsError> {
    if wanted.sha256 == found {
        return Ok(());
    }
    Err(ExpertsError::OtherBuiltIn {
        kind,
        name: wanted.name.clone(),
        wanted: wanted.sha256.clone(),
        found: found.to_owned(),
    })
}

fn unknown(kind: &'static str, identity: &ExpertIdentity) -> ExpertsError {
    ExpertsError::UnknownBuiltIn { kind, name: identity.name.clone() }
}

fn altered(kind: &'static str, identity: &ExpertIdentity) -> ExpertsError {
    ExpertsError::Altered { kind, name: identity.name.clone() }
}
