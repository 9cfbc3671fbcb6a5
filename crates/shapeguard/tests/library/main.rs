//! Tests of the library through its public interface: detector, model file, evaluation, report.

mod compatibility;
mod detector;
mod evaluation;
mod experts;
mod model_file;
mod not_judged;
mod quirks;
mod report;
mod routed;
mod routed_file;
mod support;
