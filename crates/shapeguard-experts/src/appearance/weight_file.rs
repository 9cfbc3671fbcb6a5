//! Reading CNN weights: safetensors, and PyTorch files old and new. No file is trusted: every tensor that is needed must
//! be there in the expected shape and hold finite numbers; others are ignored, since a checkpoint goes on to layers
//! that the expert has no use for.

use std::collections::HashMap;
use std::io::Write;

use half::{bf16, f16};
use pytorch_reader::{DType, PytorchReader, Tensor};
use safetensors::{Dtype, SafeTensors};

use super::convolution::FoldedWeights;

/// Bytes of the header's length, which open a safetensors file.
const SAFETENSORS_LENGTH_BYTES: usize = 8;
/// What a ZIP archive starts with: a PyTorch file since version 1.6.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// PyTorch's older files start with this number as a pickle.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// How far into the file that number begins at most: a pickle's preamble has up to 16 bytes.
const LEGACY_MAGIC_REACH: usize = 32;
/// Bytes of an unknown file that the error shows.
const SHOWN_BYTES: usize = 8;

/// Why a file does not hold the weights of an appearance expert.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppearanceWeightsError {
    /// Neither safetensors nor PyTorch.
    #[error(
        "expected weights as safetensors or as a PyTorch file (.pth), found a file of {bytes} bytes that starts with \"{start}\"; an interrupted download, or a web page saved in its place?"
    )]
    Unrecognised {
        /// Size of the file.
        bytes: usize,
        /// Its first bytes, escaped.
        start: String,
    },
    /// The container is damaged.
    #[error("the {format} file cannot be read: {reason}; get it again")]
    Unreadable {
        /// Which kind of file.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// PyTorch files are read from disk.
    #[error("a PyTorch file is unpacked by way of a temporary file, which could not be written: {source}")]
    TemporaryFile {
        /// Why.
        source: std::io::Error,
    },
    /// Not the weights of this network.
    #[error(
        "expected the weights of {network}, but there is no tensor {tensor:?}{hint}; names must be those of torchvision's state dictionary"
    )]
    MissingTensor {
        /// The network.
        network: &'static str,
        /// The tensor's name.
        tensor: String,
        /// What was found in its stead, if anything tells.
        hint: String,
    },
    /// Not the weights of this network.
    #[error("tensor {tensor:?}: expected the shape {expected:?} of {network}, found {found:?}")]
    Shape {
        /// The network.
        network: &'static str,
        /// The tensor's name.
        tensor: String,
        /// What the network has.
        expected: Vec<usize>,
        /// What the file has.
        found: Vec<usize>,
    },
    /// Integers, doubles, or something else.
    #[error("tensor {tensor:?}: expected 32-bit or 16-bit floating-point numbers, found {found}")]
    NumberFormat {
        /// The tensor's name.
        tensor: String,
        /// What the file has.
        found: String,
    },
    /// Infinite, or not a number.
    #[error("tensor {tensor:?}: expected finite numbers, found {value} at index {index}; the file is damaged")]
    NotFinite {
        /// The tensor's name.
        tensor: String,
        /// Where.
        index: usize,
        /// What.
        value: f32,
    },
    /// A batch norm whose variance is below zero.
    #[error("tensor {tensor:?}: expected variances, found {value} at index {index}; the file is damaged")]
    NegativeVariance {
        /// The tensor's name.
        tensor: String,
        /// Where.
        index: usize,
        /// What.
        value: f32,
    },
}

/// The tensors of an open file.
pub(super) struct WeightFile<'a> {
    network: &'static str,
    tensors: Tensors<'a>,
}

enum Tensors<'a> {
    Safetensors(SafeTensors<'a>),
    Pytorch {
        tensors: HashMap<String, Tensor>,
        /// The tensors read from it.
        _file: tempfile::NamedTempFile,
    },
}

impl<'a> WeightFile<'a> {
    /// Opens a file, whose kind is told by its first bytes.
    pub(super) fn open(bytes: &'a [u8], network: &'static str) -> Result<Self, AppearanceWeightsError> {
        let tensors = if bytes.starts_with(ZIP_MAGIC) || is_legacy_pytorch(bytes) {
            open_pytorch(bytes)?
        } else if bytes.get(SAFETENSORS_LENGTH_BYTES) == Some(&b'{') {
            let unreadable = |error: safetensors::SafeTensorError| AppearanceWeightsError::Unreadable {
                format: "safetensors",
                reason: error.to_string(),
            };
            Tensors::Safetensors(SafeTensors::deserialize(bytes).map_err(unreadable)?)
        } else {
            let start = bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii().to_string();
            return Err(AppearanceWeightsError::Unrecognised { bytes: bytes.len(), start });
        };
        Ok(Self { network, tensors })
    }

    /// A tensor's values, row-major.
    pub(super) fn read(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, AppearanceWeightsError> {
        let shape = |found: &[usize]| {
            if found == expected {
                return Ok(());
            }
            let (expected, found) = (expected.to_vec(), found.to_vec());
            Err(AppearanceWeightsError::Shape { network: self.network, tensor: name.into(), expected, found })
        };
        let format = |found: String| AppearanceWeightsError::NumberFormat { tensor: name.into(), found };
        let values = match &self.tensors {
            Tensors::Safetensors(file) => {
                let view = file.tensor(name).map_err(|_| self.missing(name))?;
                shape(view.shape())?;
                match view.dtype() {
                    Dtype::F32 => decode(view.data(), f32::from_le_bytes),
                    Dtype::F16 => decode(view.data(), |bytes| f16::from_le_bytes(bytes).to_f32()),
                    Dtype::BF16 => decode(view.data(), |bytes| bf16::from_le_bytes(bytes).to_f32()),
                    other => return Err(format(format!("{other:?}"))),
                }
            }
            Tensors::Pytorch { tensors, .. } => {
                let tensor = tensors.get(name).ok_or_else(|| self.missing(name))?;
                shape(tensor.shape())?;
                let decoder: fn(&[u8]) -> Vec<f32> = match tensor.dtype() {
                    DType::F32 => |data| decode(data, f32::from_ne_bytes),
                    DType::F16 => |data| decode(data, |bytes| f16::from_ne_bytes(bytes).to_f32()),
                    DType::BF16 => |data| decode(data, |bytes| bf16::from_ne_bytes(bytes).to_f32()),
                    other => return Err(format(format!("{other:?}"))),
                };
                decoder(&tensor.read().map_err(|error| unreadable_pytorch(error.to_string()))?)
            }
        };
        check_finite(name, &values)?;
        Ok(values)
    }

    /// A convolution without bias and the batch norm in evaluation mode that follows it, as one convolution with bias.
    ///
    /// `shape` is `[outputs, inputs, kernel, kernel]`.
    pub(super) fn read_folded(
        &self,
        convolution: &str,
        norm: &str,
        shape: [usize; 4],
        epsilon: f64,
    ) -> Result<FoldedWeights, AppearanceWeightsError> {
        let name = format!("{convolution}.weight");
        let mut weight = self.read(&name, &shape)?;
        let of_norm = |part: &str| self.read(&format!("{norm}.{part}"), &shape[..1]);
        let (gain, shift, mean) = (of_norm("weight")?, of_norm("bias")?, of_norm("running_mean")?);
        let variance = of_norm("running_var")?;
        if let Some(index) = variance.iter().position(|value| *value < 0.0) {
            let tensor = format!("{norm}.running_var");
            return Err(AppearanceWeightsError::NegativeVariance { tensor, index, value: variance[index] });
        }
        let mut bias = Vec::with_capacity(shape[0]);
        for (output, weight) in weight.chunks_exact_mut(shape[1] * shape[2] * shape[3]).enumerate() {
            let scale = f64::from(gain[output]) / (f64::from(variance[output]) + epsilon).sqrt();
            weight.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
            bias.push((f64::from(shift[output]) - f64::from(mean[output]) * scale) as f32);
        }
        check_finite(&name, &weight)?;
        check_finite(norm, &bias)?;
        Ok(FoldedWeights { weight, bias })
    }

    fn missing(&self, name: &str) -> AppearanceWeightsError {
        let prefixed = format!(".{name}");
        let found = match &self.tensors {
            Tensors::Safetensors(file) => file.names().into_iter().find(|found| found.ends_with(&prefixed)),
            Tensors::Pytorch { tensors, .. } => {
                tensors.keys().map(String::as_str).filter(|found| found.ends_with(&prefixed)).min()
            }
        };
        let hint = found.map(|found| format!(" (but a {found:?})")).unwrap_or_default();
        AppearanceWeightsError::MissingTensor { network: self.network, tensor: name.into(), hint }
    }
}

fn is_legacy_pytorch(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(LEGACY_MAGIC_REACH)];
    start.windows(LEGACY_MAGIC.len()).any(|window| window == LEGACY_MAGIC)
}

fn open_pytorch<'a>(bytes: &[u8]) -> Result<Tensors<'a>, AppearanceWeightsError> {
    let temporary = |source| AppearanceWeightsError::TemporaryFile { source };
    let mut file = tempfile::NamedTempFile::new().map_err(temporary)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(temporary)?;
    let reader = PytorchReader::new(file.path()).map_err(|error| unreadable_pytorch(error.to_string()))?;
    Ok(Tensors::Pytorch { tensors: reader.into_tensors(), _file: file })
}

fn unreadable_pytorch(reason: String) -> AppearanceWeightsError {
    AppearanceWeightsError::Unreadable { format: "PyTorch", reason }
}

fn decode<const SIZE: usize>(data: &[u8], value: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
    data.as_chunks::<SIZE>().0.iter().map(|bytes| value(*bytes)).collect()
}

fn check_finite(tensor: &str, values: &[f32]) -> Result<(), AppearanceWeightsError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(AppearanceWeightsError::NotFinite { tensor: tensor.into(), index, value: values[index] }),
        None => Ok(()),
    }
}
