//! A training on disk, to be resumed: one safetensors file with the parameters, Adam's moments, the number of steps
//! done and the settings. Written beside its place and renamed, so that a crash leaves the last whole one.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::training::{HostState, Learnt, Trainer, TrainingSettings};

/// Value of the metadata key `format`.
const FORMAT: &str = "shapeguard-shape-training";
/// Value of the metadata key `version`.
const VERSION: &str = "1";
/// Largest file that is looked at: three times the largest architecture in single precision.
const MAX_FILE_BYTES: u64 = 400_000_000;
/// Names of the three lists of tensors.
const LISTS: [&str; 3] = ["parameter", "adam.mean", "adam.square"];

/// What stands beside the tensors, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    settings: TrainingSettings,
    steps_done: usize,
    /// The loss as bits, so that it comes back exactly.
    smoothed_loss_bits: u32,
}

impl Trainer {
    /// Writes a checkpoint, replacing the last one as a whole.
    ///
    /// # Errors
    /// If the file cannot be written, or the device failed.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let failed = |source: std::io::Error| TrainError::File { path: path.to_owned(), source };
        let bytes = self.to_bytes(&*self.host_state()?);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Reads a checkpoint; the training goes on as if it had never stopped, on the CPU unless [`Trainer::on`] moves it.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a whole checkpoint of this program.
    pub fn resume(path: &Path) -> Result<Self, TrainError> {
        let failed = |source: std::io::Error| TrainError::File { path: path.to_owned(), source };
        let unusable = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > MAX_FILE_BYTES {
            return Err(unusable(format!("it has {size} bytes, a checkpoint has at most {MAX_FILE_BYTES}")));
        }
        Self::from_bytes(&std::fs::read(path).map_err(failed)?).map_err(unusable)
    }

    fn to_bytes(&self, host: &HostState) -> Vec<u8> {
        let state = State {
            settings: self.settings.clone(),
            steps_done: self.steps_done,
            smoothed_loss_bits: self.smoothed_loss.to_bits(),
        };
        let metadata = HashMap::from([
            ("format".to_string(), FORMAT.to_string()),
            ("version".to_string(), VERSION.to_string()),
            ("state".to_string(), serde_json::to_string(&state).expect("numbers and names are JSON")),
        ]);
        let HostState { parameters, adam } = host;
        let values = parameters.list.iter().map(|p| &p.values);
        let lists = [values.collect(), adam.mean.iter().collect(), adam.square.iter().collect()];
        let tensors: Vec<(String, Vec<u8>)> = LISTS
            .iter()
            .zip::<[Vec<&Vec<f32>>; 3]>(lists)
            .flat_map(|(list, values)| {
                parameters.list.iter().zip(values).map(move |(parameter, values)| {
                    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                    (format!("{list}.{}", parameter.name), bytes)
                })
            })
            .collect();
        let views = tensors.iter().map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / size_of::<f32>()], bytes);
            (name.as_str(), view.expect("as many bytes as the shape says"))
        });
        serialize(views, Some(metadata)).expect("named tensors of known size")
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let unreadable = |error: safetensors::SafeTensorError| format!("it is damaged or cut off ({error})");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        for (key, expected) in [("format", FORMAT), ("version", VERSION)] {
            let found = metadata.get(key);
            if found.map(String::as_str) != Some(expected) {
                return Err(format!("its `{key}` is {found:?}, expected {expected:?}"));
            }
        }
        let state = metadata.get("state").map_or("", String::as_str);
        let state: State =
            serde_json::from_str(state).map_err(|error| format!("its state is not readable: {error}"))?;
        state.settings.check().map_err(|error| error.to_string())?;
        let mut host = HostState::new(&state.settings);
        let file = SafeTensors::deserialize(bytes).map_err(unreadable)?;
        let moments = host.adam.mean.iter_mut().zip(&mut host.adam.square);
        for (parameter, (mean, square)) in host.parameters.list.iter_mut().zip(moments) {
            for (list, values) in LISTS.iter().zip([&mut parameter.values, mean, square]) {
                let name = format!("{list}.{}", parameter.name);
                let view = file.tensor(&name).map_err(|_| format!("the tensor `{name}` is missing"))?;
                if view.dtype() != Dtype::F32 || view.shape() != [values.len()] {
                    let found = (view.dtype(), view.shape());
                    return Err(format!(
                        "the tensor `{name}` is {found:?}, expected {} single-precision values",
                        values.len()
                    ));
                }
                let found = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                values.iter_mut().zip(found).for_each(|(value, found)| *value = found);
            }
        }
        Ok(Self {
            settings: state.settings,
            steps_done: state.steps_done,
            smoothed_loss: f32::from_bits(state.smoothed_loss_bits),
            learnt: Learnt::OnHost(host),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::EncoderInput;
    use crate::{Schedule, TrainingData, surface_patches};
    use shapeguard_experts::shape::ShapeArchitecture;

    fn settings() -> TrainingSettings {
        let architecture =
            ShapeArchitecture { encoder_point: vec![8, 16], encoder_dense: vec![8], nif_width: 12, nif_hidden: 2 };
        let schedule = Schedule { patches: 4, queries: 16, ..Schedule::fast(20) };
        TrainingSettings {
            architecture,
            schedule,
            seed: 7,
            surface_share: 1.0,
            turn: true,
            encoder_input: EncoderInput::Patch,
        }
    }

    #[test]
    fn a_resumed_training_ends_like_one_that_was_not_stopped() {
        let data = TrainingData::new(vec![], surface_patches(1, 12, 100)).unwrap();
        let mut whole = Trainer::new(settings()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        for step in 0..20 {
            whole.step(&data).unwrap();
            if step == 11 {
                whole.save(&path).unwrap();
            }
        }
        let mut resumed = Trainer::resume(&path).unwrap();
        assert_eq!(resumed.steps_done(), 12);
        while !resumed.is_done() {
            resumed.step(&data).unwrap();
        }
        assert_eq!((resumed.steps_done, resumed.smoothed_loss), (whole.steps_done, whole.smoothed_loss));
        assert_eq!(*resumed.host_state().unwrap(), *whole.host_state().unwrap());
    }

    #[test]
    fn damaged_and_foreign_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Trainer::resume(&path).unwrap_err().to_string()
        };
        Trainer::new(settings()).unwrap().save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 5, 100, bytes.len() / 2, bytes.len() - 1] {
            assert!(refused(&bytes[..length]).contains("damaged"), "{length}");
        }
        let foreign = String::from_utf8_lossy(&bytes[8..]).find(FORMAT).unwrap() + 8;
        let mut other = bytes.clone();
        other[foreign] = b'x';
        assert!(refused(&other).contains("`format`"));
        assert!(Trainer::resume(&folder.path().join("nothing")).unwrap_err().to_string().contains("nothing"));
    }
}
