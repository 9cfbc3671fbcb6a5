//! Both experts of the method: their weights and their inference on a CPU, without a tensor framework
//! (docs/method.md, "Shape expert" and "Appearance expert").

pub mod appearance;
pub mod peak;
mod random;
pub mod shape;
mod simd;
