//! Training of the shape expert (paper section 3.2; docs/method.md, "Training the shape expert").
//!
//! The only crate of the project that uses a tensor framework; what it trains, `shapeguard-experts` runs.

mod adam;
mod checkpoint;
mod device;
mod error;
mod evaluation;
mod folding;
mod network;
mod parameters;
mod patches;
mod pooling;
mod random;
mod resident;
mod surfaces;
mod training;

pub use device::TrainingDevice;
pub use error::TrainError;
pub use evaluation::{Evaluation, HeldBackPatch, SignedDistance, evaluate};
pub use patches::TrainingPatch;
pub use surfaces::{held_back_surface_patches, surface_patches};
pub use training::{EncoderInput, Schedule, StepReport, Trainer, TrainingData, TrainingSettings};
