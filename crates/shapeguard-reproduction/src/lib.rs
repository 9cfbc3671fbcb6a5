//! The paper's tables and figures on a dataset in the MVTec 3D-AD layout, beside the published ones
//! (docs/reproduction.md).
//!
//! [`CategoryJob::run`](category::CategoryJob::run) measures one category in all ways that the tables compare;
//! [`Results`] keeps them, category by category, so that an interrupted run goes on; [`Reproduction`] makes tables,
//! plots and pages of them.

pub mod category;
pub mod error;
pub mod estimate;
pub mod measures;
pub mod options;
mod page;
mod plots;
pub mod published;
pub mod results;
pub mod sheets;
pub mod study;
pub mod tables;
pub mod variant;

pub use error::ReproductionError;
pub use options::{Options, Part};
pub use results::Results;
pub use tables::Reproduction;
