//! The model file: one safetensors file with a versioned header (docs/model-file.md).
//!
//! The safetensors metadata holds one key, `shapeguard`, with the header as JSON; the tensors hold the banks, the
//! links, the alignment, the threshold's scores and, where they aren't built in, the experts' own weight files.
//! Nothing in a file is trusted: format, version, sizes, links and a digest over all tensors are checked before
//! anything is used.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shapeguard_core::alignment::Alignment;
use shapeguard_core::calibration::{Threshold, ThresholdBasis};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::memory::DualMemory;
use shapeguard_core::seams::CELL_COUNT;
use shapeguard_core::settings::Settings;
use shapeguard_data::atomic_write;

use crate::detector::{Detector, Provenance};
use crate::experts::{ExpertIdentity, Experts, ExpertsError};

/// What a header says it is.
const FORMAT: &str = "shapeguard-model";
/// The newest version that this program reads and the one that it writes.
pub const VERSION: u32 = 1;
/// Largest model file that is read: 16 GiB, some 5 million RGB features of Wide-ResNet-50-2.
const MAX_FILE_BYTES: u64 = 16 << 30;
/// Key of the header in the safetensors metadata.
const HEADER_KEY: &str = "shapeguard";

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] shapeguard_data::DataError),
    /// Not a model, or a damaged one.
    #[error("{path}: not a usable Shapeguard model: {message}; fit it again with `shapeguard fit`, or restore it from a copy")]
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
        found: u32,
    },
    /// Its experts are not at hand.
    #[error("{path}: {source}")]
    Experts {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ExpertsError,
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

/// Only the fields that every version has.
#[derive(Deserialize)]
struct AnyHeader {
    format: String,
    version: u32,
}

/// One tensor as it is written.
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn f32(shape: Vec<usize>, values: &[f32]) -> Self {
        Self { dtype: Dtype::F32, shape, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    fn u32(values: &[u32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: Dtype::U32, shape: vec![values.len()], bytes }
    }
}

/// Digest over names, shapes and bytes of all tensors, by name.
fn digest<'a>(tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    for (name, dtype, shape, bytes) in tensors {
        hash.update(format!("{name}:{dtype:?}:{shape:?};"));
        hash.update(bytes);
    }
    crate::hex(&hash.finalize())
}

/// Writes a detector. The same detector gives the same bytes.
///
/// # Errors
/// If the file exists and `overwrite` is off, or cannot be written; then nothing is left behind.
pub fn save(detector: &Detector, path: &Path, overwrite: bool) -> Result<(), ModelFileError> {
    let memory = &detector.memory;
    let mut tensors = BTreeMap::from([
        ("alignment", Tensor::f32(vec![2], &[detector.alignment.a, detector.alignment.b])),
        ("rgb_bank", Tensor::f32(vec![memory.appearance.rows(), memory.appearance.cols()], memory.appearance.as_slice())),
        ("rgb_cell", Tensor::u32(&memory.appearance_cell.iter().map(|cell| u32::from(*cell)).collect::<Vec<_>>())),
        ("rgb_sample", Tensor::u32(&memory.appearance_sample)),
        ("sdf_bank", Tensor::f32(vec![memory.shape.rows(), memory.shape.cols()], memory.shape.as_slice())),
        ("sdf_link_rows", Tensor::u32(&memory.link_rows)),
        ("sdf_link_starts", Tensor::u32(&memory.link_starts)),
        ("sdf_sample", Tensor::u32(&memory.shape_sample)),
        ("threshold_score", Tensor::f32(vec![1], &[detector.threshold.score])),
        (
            "threshold_good_scores",
            Tensor::f32(vec![detector.threshold.good_scores.len()], &detector.threshold.good_scores),
        ),
    ]);
    for (name, bytes) in [
        ("shape_expert_file", detector.experts.shape_file.as_deref()),
        ("appearance_expert_file", detector.experts.appearance_file.as_deref()),
    ] {
        if let Some(bytes) = bytes {
            tensors.insert(name, Tensor { dtype: Dtype::U8, shape: vec![bytes.len()], bytes: bytes.to_vec() });
        }
    }
    let header = Header {
        format: FORMAT.into(),
        version: VERSION,
        provenance: detector.provenance.clone(),
        settings: detector.settings.clone(),
        shape_expert: detector.experts.shape_identity.clone(),
        appearance_expert: detector.experts.appearance_identity.clone(),
        false_reject_rate: detector.threshold.false_reject_rate,
        threshold_basis: detector.threshold.basis,
        tensors_sha256: digest(tensors.iter().map(|(name, t)| (*name, t.dtype, &t.shape[..], &t.bytes[..]))),
    };
    let invalid = |message: String| ModelFileError::Invalid { path: path.into(), message };
    let header = serde_json::to_string(&header).map_err(|e| invalid(e.to_string()))?;
    let views = tensors
        .iter()
        .map(|(name, t)| TensorView::new(t.dtype, t.shape.clone(), &t.bytes).map(|view| (*name, view)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| invalid(e.to_string()))?;
    let metadata = std::collections::HashMap::from([(HEADER_KEY.to_owned(), header)]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| invalid(e.to_string()))?;
    atomic_write(path, overwrite, |file| file.write_all(&bytes))?;
    Ok(())
}

/// Reads a detector.
///
/// # Errors
/// If the file is truncated, damaged, foreign, from a newer program, or needs experts that are not at hand.
pub fn load(path: &Path) -> Result<Detector, ModelFileError> {
    let bytes = read(path)?;
    from_bytes(&bytes, path)
}

/// Reads only the header.
///
/// # Errors
/// As [`load`], except for what concerns the tensors.
pub fn load_header(path: &Path) -> Result<Header, ModelFileError> {
    let bytes = read(path)?;
    header(&bytes, path)
}

fn read(path: &Path) -> Result<Vec<u8>, ModelFileError> {
    let io = |source| ModelFileError::Io { path: path.into(), source };
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length > MAX_FILE_BYTES {
        let message = format!("it has {length} bytes, more than the largest model ({MAX_FILE_BYTES} bytes)");
        return Err(ModelFileError::Invalid { path: path.into(), message });
    }
    std::fs::read(path).map_err(io)
}

fn header(bytes: &[u8], path: &Path) -> Result<Header, ModelFileError> {
    let invalid = |message: String| ModelFileError::Invalid { path: path.into(), message };
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|e| invalid(format!("expected a complete safetensors file, found something else or a part ({e})")))?;
    let text = metadata
        .metadata()
        .as_ref()
        .and_then(|map| map.get(HEADER_KEY))
        .ok_or_else(|| invalid("it is a safetensors file of another program: it has no Shapeguard header".into()))?;
    let any: AnyHeader = serde_json::from_str(text).map_err(|e| invalid(format!("its header is damaged ({e})")))?;
    if any.format != FORMAT {
        return Err(invalid(format!("expected the format {FORMAT:?}, found {:?}", any.format)));
    }
    if any.version > VERSION {
        return Err(ModelFileError::Newer { path: path.into(), found: any.version });
    }
    serde_json::from_str(text).map_err(|e| invalid(format!("its header is damaged ({e})")))
}

fn from_bytes(bytes: &[u8], path: &Path) -> Result<Detector, ModelFileError> {
    let header = header(bytes, path)?;
    let invalid = |message: String| ModelFileError::Invalid { path: path.into(), message };
    let file = SafeTensors::deserialize(bytes).map_err(|e| invalid(format!("it is truncated or damaged ({e})")))?;
    let mut all: Vec<_> = file.iter().collect();
    all.sort_by_key(|(name, _)| *name);
    let found = digest(all.iter().map(|(name, view)| (*name, view.dtype(), view.shape(), view.data())));
    if found != header.tensors_sha256 {
        return Err(invalid("its content does not have the digest that its header states".into()));
    }
    let tensors = Tensors { file: &file };
    let memory = memory(&tensors).map_err(invalid)?;
    let alignment = tensors.f32("alignment", 1).map_err(invalid)?;
    let [a, b] = alignment.1[..] else { return Err(invalid("the alignment must have 2 values".into())) };
    let score = tensors.f32("threshold_score", 1).map_err(invalid)?;
    let [score] = score.1[..] else { return Err(invalid("the threshold must be one value".into())) };
    let good_scores = tensors.f32("threshold_good_scores", 1).map_err(invalid)?.1;
    if !good_scores.is_sorted() || good_scores.is_empty() {
        return Err(invalid("the good scores must be ascending and not empty".into()));
    }
    let experts = Experts::restore(
        &header.settings.experts,
        &header.shape_expert,
        tensors.bytes("shape_expert_file").map_err(invalid)?,
        &header.appearance_expert,
        tensors.bytes("appearance_expert_file").map_err(invalid)?,
    )
    .map_err(|source| ModelFileError::Experts { path: path.into(), source })?;
    for (name, bank, expert) in [
        ("SDF", memory.shape.cols(), experts.shape.feature_dim()),
        ("RGB", memory.appearance.cols(), experts.appearance.feature_dim()),
    ] {
        if bank != expert {
            return Err(invalid(format!("the {name} bank has features of length {bank}, its expert's have {expert}")));
        }
    }
    Ok(Detector {
        threshold: Threshold {
            score,
            false_reject_rate: header.false_reject_rate,
            basis: header.threshold_basis,
            good_scores,
        },
        settings: header.settings,
        experts,
        memory,
        alignment: Alignment { a, b },
        provenance: header.provenance,
    })
}

/// Checked access to a file's tensors.
struct Tensors<'a> {
    file: &'a SafeTensors<'a>,
}

impl<'a> Tensors<'a> {
    fn view(&self, name: &str, dtype: Dtype, rank: usize) -> Result<TensorView<'a>, String> {
        let view = self.file.tensor(name).map_err(|_| format!("the tensor {name:?} is missing"))?;
        if view.dtype() != dtype || view.shape().len() != rank {
            return Err(format!(
                "the tensor {name:?} must be {dtype:?} of rank {rank}, found {:?} {:?}",
                view.dtype(),
                view.shape()
            ));
        }
        Ok(view)
    }

    /// Shape and values; refuses anything that is not finite.
    fn f32(&self, name: &str, rank: usize) -> Result<(Vec<usize>, Vec<f32>), String> {
        let view = self.view(name, Dtype::F32, rank)?;
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if values.iter().any(|v| !v.is_finite()) {
            return Err(format!("the tensor {name:?} has values that are not finite"));
        }
        Ok((view.shape().to_vec(), values))
    }

    fn matrix(&self, name: &str) -> Result<Matrix, String> {
        let (shape, values) = self.f32(name, 2)?;
        Ok(Matrix::from_vec(shape[0], shape[1], values))
    }

    fn u32(&self, name: &str) -> Result<Vec<u32>, String> {
        let view = self.view(name, Dtype::U32, 1)?;
        Ok(view.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// An optional embedded file.
    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        if self.file.tensor(name).is_err() {
            return Ok(None);
        }
        Ok(Some(self.view(name, Dtype::U8, 1)?.data().to_vec()))
    }
}

/// The memories, with every index checked.
fn memory(tensors: &Tensors) -> Result<DualMemory, String> {
    let shape = tensors.matrix("sdf_bank")?;
    let appearance = tensors.matrix("rgb_bank")?;
    let shape_sample = tensors.u32("sdf_sample")?;
    let appearance_sample = tensors.u32("rgb_sample")?;
    let cells = tensors.u32("rgb_cell")?;
    let link_starts = tensors.u32("sdf_link_starts")?;
    let link_rows = tensors.u32("sdf_link_rows")?;
    if shape.rows() == 0 || appearance.rows() == 0 {
        return Err("a memory bank is empty".into());
    }
    if shape_sample.len() != shape.rows() || appearance_sample.len() != appearance.rows() || cells.len() != appearance.rows()
    {
        return Err("banks and their sample numbers have different lengths".into());
    }
    if !shape_sample.is_sorted() || !appearance_sample.is_sorted() {
        return Err("the banks' sample numbers are not ascending".into());
    }
    if cells.iter().any(|cell| *cell as usize >= CELL_COUNT) {
        return Err(format!("an RGB feature is of a cell beyond {CELL_COUNT}"));
    }
    let starts_fit = link_starts.len() == shape.rows() + 1
        && link_starts.first() == Some(&0)
        && link_starts.is_sorted()
        && link_starts.last().is_some_and(|end| *end as usize == link_rows.len());
    if !starts_fit || link_rows.iter().any(|row| *row as usize >= appearance.rows()) {
        return Err("the links between the banks do not fit them".into());
    }
    if link_starts.windows(2).any(|w| !link_rows[w[0] as usize..w[1] as usize].is_sorted()) {
        return Err("the links between the banks are not ascending".into());
    }
    Ok(DualMemory {
        shape,
        shape_sample,
        appearance,
        appearance_sample,
        appearance_cell: cells.into_iter().map(|cell| cell as u16).collect(),
        link_starts,
        link_rows,
    })
}
