//! The method of *Shape-Guided Dual-Memory Learning for 3D Anomaly Detection* (ICML 2023), stage by stage:
//! sample, foreground, patches, memory, sparse coding, scoring, alignment, detection, metrics.
//!
//! `docs/method.md` in the repository is the specification that the modules cite. This crate does no input
//! or output, reads no clock, uses no global randomness and depends on no tensor framework; the experts, the
//! bank search and progress reporting come in through the traits in [`seams`].

pub mod alignment;
pub mod calibration;
pub mod coreset;
pub mod defects;
pub mod expert_inputs;
pub mod foreground;
pub mod fusion;
pub mod grid;
pub mod matrix;
pub mod memory;
pub mod metrics;
pub mod patches;
pub mod resample;
pub mod residual_metric;
pub mod routing;
pub mod sample;
pub mod scoring;
pub mod seams;
pub mod settings;
pub mod sparse_coding;
mod square_matrix;
pub mod typical;
