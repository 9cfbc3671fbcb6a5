//! The shape expert's weight file: safetensors with a versioned header; batch norm and weight norm are folded.
//!
//! Metadata: `format` = [`FORMAT`], `version` = [`VERSION`], `architecture` = [`ShapeArchitecture`] as JSON, and any
//! other keys as provenance (`trained_on`, `loss`, ...). Tensors: those of [`ShapeArchitecture::tensor_shapes`],
//! all `F16` or `F32`. The header is written here, with sorted keys, so that equal weights give equal bytes.

use std::collections::BTreeMap;

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors};

use super::architecture::{ArchitectureError, ShapeArchitecture};

/// Value of the metadata key `format`.
pub const FORMAT: &str = "shapeguard-shape-expert";
/// Value of the metadata key `version`.
pub const VERSION: &str = "1";
/// Metadata keys that the format itself uses.
const RESERVED_KEYS: [&str; 3] = ["format", "version", "architecture"];
/// Largest file that is looked at: the largest architecture in single precision, and room for the header.
const MAX_FILE_BYTES: usize = 132_000_000;
/// Largest header: the longest list of tensors needs about 20 kB; the rest is room for provenance.
const MAX_HEADER_BYTES: u64 = 1_000_000;

/// Number format of the weights in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightPrecision {
    /// Half precision. A weight beyond 65,504 becomes infinite, and such a file is refused when it is read.
    F16,
    /// Single precision.
    F32,
}

/// Why a weight file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeWeightsError {
    /// The file is too large to be a shape expert.
    #[error("the weight file has {found} bytes, a shape expert has at most {MAX_FILE_BYTES}; is this the right file?")]
    FileTooLarge {
        /// Size of the file, bytes.
        found: usize,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("not a readable safetensors file ({reason}); it may be cut off: copy or download it again")]
    Unreadable {
        /// What the reader found.
        reason: String,
    },
    /// A safetensors file of something else.
    #[error("the file's `format` is {found:?}, expected {FORMAT:?}; give a file that `train-expert` wrote")]
    Foreign {
        /// Value of `format`, if there is one.
        found: Option<String>,
    },
    /// Written by another version of the format.
    #[error("the weight file has version {found:?}, this program reads {VERSION:?}; use a matching program")]
    Version {
        /// Value of `version`, if there is one.
        found: Option<String>,
    },
    /// The architecture is not readable.
    #[error("the weight file's `architecture` is not readable: {reason}")]
    UnreadableArchitecture {
        /// What the reader found.
        reason: String,
    },
    /// The architecture is empty or absurdly large.
    #[error("the weight file's architecture is refused: {0}")]
    Architecture(#[from] ArchitectureError),
    /// A tensor that the architecture needs is not there.
    #[error("the weight file lacks the tensor `{name}`, which its architecture needs")]
    MissingTensor {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor that the architecture has no place for.
    #[error("the weight file holds the tensor `{name}`, which its architecture has no place for")]
    ExtraTensor {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor's shape does not fit the architecture.
    #[error("the tensor `{name}` has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape that the architecture needs.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor's number format is not supported.
    #[error("the tensor `{name}` is {found}, expected F16 or F32; convert the file")]
    NumberFormat {
        /// Name of the tensor.
        name: String,
        /// Number format in the file.
        found: String,
    },
    /// A weight is NaN or infinite.
    #[error("the tensor `{name}` holds {value} at index {index}; the weights are damaged or their training diverged")]
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// Index of the value.
        index: usize,
        /// The value.
        value: f32,
    },
}

/// What a weight file holds.
pub(super) struct WeightFile {
    pub(super) architecture: ShapeArchitecture,
    /// Metadata that the format itself does not use.
    pub(super) provenance: BTreeMap<String, String>,
    /// Exactly the tensors of the architecture, in its order.
    pub(super) tensors: Vec<Vec<f32>>,
}

/// Reads a weight file, trusting nothing in it.
pub(super) fn read(bytes: &[u8]) -> Result<WeightFile, ShapeWeightsError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ShapeWeightsError::FileTooLarge { found: bytes.len() });
    }
    if let Some(length) = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length))
        && length > MAX_HEADER_BYTES
    {
        let reason = format!("its header claims {length} bytes, at most {MAX_HEADER_BYTES} are allowed");
        return Err(ShapeWeightsError::Unreadable { reason });
    }
    let unreadable = |error: safetensors::SafeTensorError| ShapeWeightsError::Unreadable { reason: error.to_string() };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
    let mut metadata: BTreeMap<String, String> = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let format = metadata.remove("format");
    if format.as_deref() != Some(FORMAT) {
        return Err(ShapeWeightsError::Foreign { found: format });
    }
    let version = metadata.remove("version");
    if version.as_deref() != Some(VERSION) {
        return Err(ShapeWeightsError::Version { found: version });
    }
    let architecture = metadata.remove("architecture").unwrap_or_default();
    let architecture: ShapeArchitecture = serde_json::from_str(&architecture)
        .map_err(|error| ShapeWeightsError::UnreadableArchitecture { reason: error.to_string() })?;
    architecture.check()?;

    let file = SafeTensors::deserialize(bytes).map_err(unreadable)?;
    let expected = architecture.tensor_shapes();
    let mut names = file.names();
    names.sort_unstable();
    if let Some(name) = names.iter().find(|name| !expected.iter().any(|(expected, _)| expected == **name)) {
        return Err(ShapeWeightsError::ExtraTensor { name: (*name).into() });
    }
    let tensors = expected.iter().map(|(name, shape)| read_tensor(&file, name, shape)).collect::<Result<_, _>>()?;
    Ok(WeightFile { architecture, provenance: metadata, tensors })
}

fn read_tensor(file: &SafeTensors, name: &str, expected: &[usize]) -> Result<Vec<f32>, ShapeWeightsError> {
    let view = file.tensor(name).map_err(|_| ShapeWeightsError::MissingTensor { name: name.into() })?;
    if view.shape() != expected {
        let (expected, found) = (expected.to_vec(), view.shape().to_vec());
        return Err(ShapeWeightsError::Shape { name: name.into(), expected, found });
    }
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => view.data().as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        other => return Err(ShapeWeightsError::NumberFormat { name: name.into(), found: format!("{other:?}") }),
    };
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(ShapeWeightsError::NotFinite { name: name.into(), index, value: values[index] }),
        None => Ok(values),
    }
}

/// Writes a weight file; `tensors` are those of the architecture, in its order. Keys of `provenance` that the format
/// itself uses are ignored.
pub(super) fn write(
    architecture: &ShapeArchitecture,
    tensors: &[Vec<f32>],
    precision: WeightPrecision,
    provenance: &BTreeMap<String, String>,
) -> Vec<u8> {
    let (dtype, size) = match precision {
        WeightPrecision::F16 => ("F16", size_of::<f16>()),
        WeightPrecision::F32 => ("F32", size_of::<f32>()),
    };
    let mut metadata: BTreeMap<&str, String> =
        provenance.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    metadata.retain(|key, _| !RESERVED_KEYS.contains(key));
    metadata.insert("format", FORMAT.into());
    metadata.insert("version", VERSION.into());
    metadata.insert("architecture", serde_json::to_string(architecture).expect("lists of integers are JSON"));
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!(metadata));
    let mut offset = 0;
    for ((name, shape), values) in architecture.tensor_shapes().into_iter().zip(tensors) {
        let end = offset + values.len() * size;
        header.insert(name, serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let mut header = serde_json::Value::Object(header).to_string();
    // The format's own writer aligns the data to 8 bytes in the same way.
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut bytes = Vec::with_capacity(8 + header.len() + offset);
    bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    for value in tensors.iter().flatten() {
        match precision {
            WeightPrecision::F16 => bytes.extend_from_slice(&f16::from_f32(*value).to_le_bytes()),
            WeightPrecision::F32 => bytes.extend_from_slice(&value.to_le_bytes()),
        }
    }
    bytes
}
