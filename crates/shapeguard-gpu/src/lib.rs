//! Both experts and the bank search on a GPU, through Vulkan, Metal or Direct3D 12.
//!
//! Own compute kernels in WGSL on `wgpu`: no GPU toolkit is needed to build, and the system's graphics driver is all that
//! runs. [`Gpu::open`] takes a device; [`GpuShapeExpert`], [`GpuAppearanceExpert`] and
//! [`GpuSearch`] are the method's seams on it, and may be called from many threads at once.
//!
//! - Activations lie feature by feature, `[features, rows]`, so that neighbouring threads read neighbouring rows, and a
//!   map of features needs no other layout than rows do. They stay on the device from the first layer to the last.
//! - Each output is one chain of multiply-adds in the order of the inputs, starting with the bias, as on the CPU.
//!   Reductions have a fixed order or are maxima: the same device gives the same bytes.
//! - The seams return plain values. Where the device fails, the results are not numbers, so that the scan is *not
//!   judged*; the reason is logged, kept in [`Gpu::fault`], and ends all later work on the device. Nothing falls back.

mod appearance;
mod device;
mod kernels;
mod layer;
mod search;
mod shape;
mod work;

pub use appearance::GpuAppearanceExpert;
pub use device::{BareDevice, DeviceChoice, Gpu, GpuError};
pub use search::GpuSearch;
pub use shape::GpuShapeExpert;
