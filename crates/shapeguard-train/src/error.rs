//! Why training does not go on.

use std::path::PathBuf;

use shapeguard_experts::shape::{ArchitectureError, ShapeWeightsError};

/// Why training does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting makes no sense.
    #[error("the training setting `{name}` is {found}, expected {expected}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What is possible.
        expected: &'static str,
    },
    /// The architecture is refused.
    #[error("the architecture is refused: {0}")]
    Architecture(#[from] ArchitectureError),
    /// No patches to learn from.
    #[error("there are {found} training patches, expected at least {needed}; give more scans or analytic surfaces")]
    TooFewPatches {
        /// Patches given.
        found: usize,
        /// Patches of one batch.
        needed: usize,
    },
    /// Patches differ in size.
    #[error("a patch has {found} points, but the others have {expected}; cut all patches with one setting")]
    PatchSizesDiffer {
        /// Points of the first patch.
        expected: usize,
        /// Points of this one.
        found: usize,
    },
    /// The loss is no number.
    #[error("the loss became {loss} in step {step}; lower the learning rate and resume from the last checkpoint")]
    Diverged {
        /// The step, counted from 1.
        step: usize,
        /// The loss.
        loss: f32,
    },
    /// A GPU cannot be used.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(#[from] shapeguard_gpu::GpuError),
    /// The device failed while it worked.
    #[error(
        "the device {device} failed: {reason}; resume from the last checkpoint, with another device or the CPU if it repeats"
    )]
    DeviceFailed {
        /// Name, kind and driver.
        device: String,
        /// What happened.
        reason: String,
    },
    /// A checkpoint cannot be read or written.
    #[error("checkpoint {path}: {source}", path = path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not a checkpoint of this program.
    #[error("{path} is not a usable checkpoint: {reason}; start anew or give another file", path = path.display())]
    Checkpoint {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The trained weights are refused.
    #[error("the trained weights are refused: {0}")]
    Weights(#[from] ShapeWeightsError),
}
