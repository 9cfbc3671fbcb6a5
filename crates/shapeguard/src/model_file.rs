//! The model file: one safetensors file with a versioned header (docs/model-file.md).
//!
//! The safetensors metadata holds one key, `shapeguard`, with the header as JSON; the tensors hold the banks, the
//! links, the alignment, the threshold's scores and, where they aren't built in, the experts' own weight files.
//! Nothing in a file is trusted: format, version, sizes, links and a digest over all tensors are checked before
//! anything is used. A model for several categories is another format, which holds such a file for each (`routed.rs`).

mod container;
mod parts;
mod routed;
mod versions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shapeguard_core::calibration::ThresholdBasis;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::settings::Settings;
use shapeguard_data::atomic_write;

use crate::detector::{Detector, Provenance};
use crate::experts::{ExpertIdentity, Experts, ExpertsError};
use crate::model::Model;
use crate::presets;
use container::{Container, Draft, Fault, Tensor, Tensors, Values, digest};
use parts::{Layout, alignment, memory, threshold, values};
pub use routed::{ROUTED_VERSION, save_routed};

/// What a header says it is.
const FORMAT: &str = "shapeguard-model";
/// The newest version that this program reads and the one that it writes; the older ones are read too.
pub const VERSION: u32 = 3;
/// Names of the tensors that only models with typical scores have.
const SDF_TYPICAL_DISTANCE: &str = "sdf_typical_distance";
const SDF_TYPICAL_RESIDUAL: &str = "sdf_typical_residual";
const RGB_TYPICAL_RESIDUAL: &str = "rgb_typical_residual";
/// Name of the tensor that only models with a metric of their own have.
const RGB_RESIDUAL_METRIC: &str = "rgb_residual_metric";
/// Names of the tensors that only models with experts from files have.
const SHAPE_EXPERT_FILE: &str = "shape_expert_file";
/// See [`SHAPE_EXPERT_FILE`].
const APPEARANCE_EXPERT_FILE: &str = "appearance_expert_file";

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// It cannot be read or written.
    #[error("{path}: the model cannot be read: {source}; check the path, the permissions and the disk")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] shapeguard_data::DataError),
    /// The detector's settings are such that no program would read the model.
    #[error("{path}: the model is not written, its settings make no sense: {message}; correct them and fit again")]
    Settings {
        /// The file that was to be written.
        path: PathBuf,
        /// Which setting, what was expected, what was found.
        message: String,
    },
    /// Not a model, or a damaged one.
    #[error(
        "{path}: not a usable Shapeguard model: {message}; fit it again with `shapeguard fit`, or restore it from a copy"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Written by a newer program.
    #[error("{path}: the model has version {found}, this program reads up to version {VERSION}; update Shapeguard")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// Written by a newer program, as a model for several categories.
    #[error(
        "{path}: the model for several categories has version {found}, this program reads up to version {ROUTED_VERSION}; update Shapeguard"
    )]
    NewerRouted {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// A model for several categories, where one for a single kind of part is wanted.
    #[error(
        "{path}: the model knows several kinds of parts ({categories}), expected one; take `model_file::load_model`, or a model that was fitted to one category"
    )]
    Several {
        /// The file.
        path: PathBuf,
        /// The categories that it says it has.
        categories: String,
    },
    /// Its experts are not at hand.
    #[error("{path}: {source}")]
    Experts {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<ExpertsError>,
    },
}

/// The header: everything but the tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    format: String,
    version: u32,
    /// Where the model is from.
    pub provenance: Provenance,
    /// The settings it was fitted with.
    pub settings: Settings,
    /// The shape expert.
    pub shape_expert: ExpertIdentity,
    /// The appearance expert.
    pub appearance_expert: ExpertIdentity,
    /// Wished false-reject rate.
    pub false_reject_rate: f64,
    /// Where the threshold's scores came from.
    pub threshold_basis: ThresholdBasis,
    /// SHA-256 over all tensors, by name.
    tensors_sha256: String,
}

impl Header {
    /// The version that the file has, which may be an earlier one than [`VERSION`].
    pub fn version(&self) -> u32 {
        self.version
    }
}

/// Only the fields that every version has.
#[derive(Deserialize)]
struct AnyHeader {
    format: String,
    version: u64,
}

/// Writes a detector. The same detector gives the same bytes.
///
/// # Errors
/// If the file exists and `overwrite` is off, or cannot be written; then nothing is left behind. If the detector's
/// settings are out of range.
pub fn save(detector: &Detector, path: &Path, overwrite: bool) -> Result<(), ModelFileError> {
    let draft = draft(detector, tensors_of(detector), path)?;
    atomic_write(path, overwrite, |file| draft.write(file))?;
    Ok(())
}

/// Writes a model of either kind. The same model gives the same bytes.
///
/// # Errors
/// As [`save`].
pub fn save_model(model: &Model, path: &Path, overwrite: bool) -> Result<(), ModelFileError> {
    match model {
        Model::Single(detector) => save(detector, path, overwrite),
        Model::Routed(routed) => save_routed(routed, path, overwrite),
    }
}

/// A detector's container with these of its tensors, to be written to `path` or into a file there.
fn draft<'a>(
    detector: &'a Detector,
    tensors: BTreeMap<&'static str, Tensor<'a>>,
    path: &Path,
) -> Result<Draft<'a>, ModelFileError> {
    let settings = |message: String| ModelFileError::Settings { path: path.into(), message };
    presets::check(&detector.settings).map_err(settings)?;
    let header = Header {
        format: FORMAT.into(),
        version: VERSION,
        provenance: detector.provenance.clone(),
        settings: detector.settings.clone(),
        shape_expert: detector.experts.shape_identity.clone(),
        appearance_expert: detector.experts.appearance_identity.clone(),
        false_reject_rate: detector.threshold.false_reject_rate,
        threshold_basis: detector.threshold.basis,
        tensors_sha256: digest(&tensors),
    };
    let header = serde_json::to_string(&header).map_err(|error| settings(error.to_string()))?;
    Draft::new(header, tensors).map_err(|source| ModelFileError::Io { path: path.into(), source })
}

fn tensors_of(detector: &Detector) -> BTreeMap<&'static str, Tensor<'_>> {
    let memory = &detector.memory;
    let (threshold, alignment) = (&detector.threshold, detector.alignment);
    let cells: Vec<u32> = memory.appearance_cell.iter().map(|cell| u32::from(*cell)).collect();
    let floats = |values: Vec<f32>| Tensor::list(Values::F32(values.into()));
    let indices = |values| Tensor::list(Values::U32(values));
    let mut tensors = BTreeMap::from([
        ("alignment", floats(vec![alignment.a, alignment.b, alignment.mean, alignment.deviation])),
        ("good_peak", floats(vec![detector.good_peak])),
        ("rgb_bank", bank(&memory.appearance)),
        ("rgb_cell", indices(cells.into())),
        ("rgb_sample", indices((&memory.appearance_sample).into())),
        ("sdf_bank", bank(&memory.shape)),
        ("sdf_link_rows", indices((&memory.link_rows).into())),
        ("sdf_link_starts", indices((&memory.link_starts).into())),
        ("sdf_sample", indices((&memory.shape_sample).into())),
        ("threshold_good_scores", floats(threshold.good_scores.clone())),
        ("threshold_score", floats(vec![threshold.score])),
    ]);
    if let Some(typical) = &memory.typical {
        tensors.extend([
            (SDF_TYPICAL_DISTANCE, floats(typical.distance.values().to_vec())),
            (SDF_TYPICAL_RESIDUAL, floats(typical.residual.values().to_vec())),
            (RGB_TYPICAL_RESIDUAL, floats(typical.cell.values().to_vec())),
        ]);
    }
    if let Some(metric) = &memory.appearance_metric {
        tensors.insert(RGB_RESIDUAL_METRIC, bank(metric.whitening()));
    }
    tensors.extend(expert_files(&detector.experts));
    tensors
}

/// The weight files of the experts that are not built in.
fn expert_files(experts: &Experts) -> BTreeMap<&'static str, Tensor<'_>> {
    let files = [(SHAPE_EXPERT_FILE, &experts.shape_file), (APPEARANCE_EXPERT_FILE, &experts.appearance_file)];
    files
        .into_iter()
        .filter_map(|(name, file)| Some((name, Tensor::list(Values::U8(file.as_deref()?.into())))))
        .collect()
}

fn bank(features: &Matrix) -> Tensor<'_> {
    Tensor { shape: vec![features.rows(), features.cols()], values: Values::F32(features.as_slice().into()) }
}

/// Reads a detector.
///
/// # Errors
/// If the file is truncated, damaged, foreign, from a newer program, or needs experts that are not at hand.
pub fn load(path: &Path) -> Result<Detector, ModelFileError> {
    let (container, header) = open(path)?;
    read(container, header, path, None)
}

/// Reads a model of either kind.
///
/// # Errors
/// As [`load`].
pub fn load_model(path: &Path) -> Result<Model, ModelFileError> {
    let container = Container::open(path).map_err(|fault| at(path, fault))?;
    if routed::is_routed(&container) {
        return routed::load(container, path).map(Model::Routed);
    }
    let header = header(&container, path)?;
    read(container, header, path, None).map(|detector| Model::Single(detector.into()))
}

/// Reads the tensors of a container whose header was read. With `experts` they are those of a model that this one is a part of.
fn read(
    container: Container,
    header: Header,
    path: &Path,
    experts: Option<&Experts>,
) -> Result<Detector, ModelFileError> {
    let invalid = |message: String| ModelFileError::Invalid { path: path.into(), message };
    let layout = Layout::of(&container, &header).map_err(invalid)?;
    if experts.is_some() && [SHAPE_EXPERT_FILE, APPEARANCE_EXPERT_FILE].iter().any(|name| container.has(name)) {
        return Err(invalid("a category has an expert's weights of its own, which the whole model shares".into()));
    }
    let (mut tensors, found) = container.read_all().map_err(|fault| at(path, fault))?;
    if found != header.tensors_sha256 {
        return Err(invalid("its content does not have the digest that its header states".into()));
    }
    let memory = memory(&mut tensors, layout, &header).map_err(invalid)?;
    let threshold = threshold(&mut tensors, &header).map_err(invalid)?;
    let alignment = alignment(&mut tensors, &header).map_err(invalid)?;
    let [good_peak] = values(&mut tensors, "good_peak").map_err(invalid)?;
    let experts = match experts {
        Some(experts) => experts.clone(),
        None => restore_experts(&mut tensors, &header.shape_expert, &header.appearance_expert, path)?,
    };
    for (name, bank, expert) in [
        ("SDF", memory.shape.cols(), experts.shape.feature_dim()),
        ("RGB", memory.appearance.cols(), experts.appearance.feature_dim()),
    ] {
        if bank != expert {
            return Err(invalid(format!("the {name} bank has features of length {bank}, its expert's have {expert}")));
        }
    }
    let Header { settings, provenance, .. } = header;
    Ok(Detector { settings, experts, memory, alignment, threshold, good_peak, provenance })
}

/// The experts of a model: built in, or from these tensors.
fn restore_experts(
    tensors: &mut Tensors,
    shape: &ExpertIdentity,
    appearance: &ExpertIdentity,
    path: &Path,
) -> Result<Experts, ModelFileError> {
    let mut file = |name| {
        let bytes = tensors.has(name).then(|| tensors.bytes(name)).transpose();
        bytes.map_err(|message| ModelFileError::Invalid { path: path.into(), message })
    };
    let (shape_file, appearance_file) = (file(SHAPE_EXPERT_FILE)?, file(APPEARANCE_EXPERT_FILE)?);
    Experts::restore(shape, shape_file, appearance, appearance_file)
        .map_err(|source| ModelFileError::Experts { path: path.into(), source: source.into() })
}

/// Reads only the header.
///
/// # Errors
/// As [`load`], except for what concerns the tensors.
pub fn load_header(path: &Path) -> Result<Header, ModelFileError> {
    open(path).map(|(_, header)| header)
}

fn at(path: &Path, fault: Fault) -> ModelFileError {
    match fault {
        Fault::Io(source) => ModelFileError::Io { path: path.into(), source },
        Fault::Invalid(message) => ModelFileError::Invalid { path: path.into(), message },
    }
}

fn open(path: &Path) -> Result<(Container, Header), ModelFileError> {
    let container = Container::open(path).map_err(|fault| at(path, fault))?;
    let header = header(&container, path)?;
    Ok((container, header))
}

fn header(container: &Container, path: &Path) -> Result<Header, ModelFileError> {
    let invalid = |message: String| ModelFileError::Invalid { path: path.into(), message };
    let damaged = |error: serde_json::Error| invalid(format!("its header is damaged ({error})"));
    let text = container.header().map_err(invalid)?;
    let any: AnyHeader = serde_json::from_str(text).map_err(damaged)?;
    if let Some(categories) = routed::categories_of(container) {
        return Err(ModelFileError::Several { path: path.into(), categories: categories.join(", ") });
    }
    if any.format != FORMAT {
        return Err(invalid(format!("expected the format {FORMAT:?}, found {:?}", any.format)));
    }
    if any.version > u64::from(VERSION) {
        return Err(ModelFileError::Newer { path: path.into(), found: any.version });
    }
    if any.version == 0 {
        return Err(invalid("expected the version 1 or later, found 0".into()));
    }
    let mut header: serde_json::Value = serde_json::from_str(text).map_err(damaged)?;
    versions::upgrade(&mut header, any.version).map_err(invalid)?;
    let header: Header = serde_json::from_value(header).map_err(damaged)?;
    presets::check(&header.settings).map_err(|message| invalid(format!("its settings make no sense: {message}")))?;
    if !(header.false_reject_rate > 0.0 && header.false_reject_rate < 1.0) {
        let found = header.false_reject_rate;
        return Err(invalid(format!("expected a false-reject rate between 0 and 1, found {found}")));
    }
    Ok(header)
}
