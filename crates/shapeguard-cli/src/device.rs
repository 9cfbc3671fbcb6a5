//! `--device`: where the experts and the search of their banks run.

#[cfg(feature = "train")]
mod training;

use std::str::FromStr;

use anyhow::Result;
use shapeguard::Model;

/// Where the experts and the bank search run.
#[derive(Debug, clap::Args)]
pub struct DeviceOption {
    /// Where experts and bank search run: cpu; gpu, the best one; gpu:NAME, one whose name contains NAME; auto, a GPU if
    /// there is one
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceName,
}

/// What `--device` may say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DeviceName {
    Cpu,
    Auto,
    /// `gpu` or `gpu:NAME`.
    Gpu(String),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "auto" => Ok(Self::Auto),
            "gpu" => Ok(Self::Gpu(text.to_owned())),
            _ if text.strip_prefix("gpu:").is_some_and(|name| !name.is_empty()) => Ok(Self::Gpu(text.to_owned())),
            _ => Err(format!("expected cpu, auto, gpu or gpu:NAME, found {text:?}")),
        }
    }
}

impl DeviceOption {
    /// Opens the device.
    ///
    /// # Errors
    /// If a GPU is asked for and there is none, or this program knows none.
    pub fn open(&self) -> Result<Device> {
        match &self.device {
            DeviceName::Cpu => Ok(Device::cpu()),
            DeviceName::Auto => Ok(Device::auto()),
            DeviceName::Gpu(name) => Device::gpu(name),
        }
    }
}

#[cfg(feature = "train")]
pub use training::TrainingDeviceOption;
#[cfg(feature = "gpu")]
pub use with_gpu::Device;
#[cfg(not(feature = "gpu"))]
pub use without_gpu::Device;

impl Device {
    /// A loaded model on the device.
    ///
    /// # Errors
    /// As for `place`.
    pub fn place_model(&self, model: Model) -> Result<Model> {
        let experts = self.place(model.experts().clone())?;
        Ok(model.with_experts(experts))
    }
}

/// Says what `auto` took.
fn say(what: &str) {
    use std::io::Write;
    // Nobody is left to be told if stderr is closed.
    let _ = writeln!(std::io::stderr().lock(), "device: {what}");
}

#[cfg(feature = "gpu")]
mod with_gpu {
    use std::sync::Arc;

    use anyhow::Result;
    use shapeguard::experts::Experts;
    use shapeguard_core::seams::AppearanceExpert;
    use shapeguard_experts::appearance::{Network, WideResNet50};
    use shapeguard_gpu::{DeviceChoice, Gpu, GpuAppearanceExpert, GpuSearch, GpuShapeExpert};

    /// An open device: the CPU, or a GPU.
    #[derive(Debug)]
    pub struct Device {
        gpu: Option<Arc<Gpu>>,
    }

    impl Device {
        /// The CPU.
        pub fn cpu() -> Self {
            Self { gpu: None }
        }

        /// Whether this is the CPU.
        pub fn is_cpu(&self) -> bool {
            self.gpu.is_none()
        }

        /// What it is called.
        pub fn name(&self) -> &str {
            self.gpu.as_ref().map_or("cpu", |gpu| gpu.name())
        }

        /// The best GPU, or the CPU; says which.
        pub(super) fn auto() -> Self {
            match Gpu::open(&DeviceChoice::Any) {
                Ok(gpu) => {
                    super::say(gpu.name());
                    Self { gpu: Some(gpu) }
                }
                Err(error) => {
                    super::say(&format!("the CPU ({error})"));
                    Self::cpu()
                }
            }
        }

        pub(super) fn gpu(name: &str) -> Result<Self> {
            let choice: DeviceChoice = name.parse().map_err(anyhow::Error::msg)?;
            let gpu = Gpu::open(&choice)?;
            tracing::info!("device: {}", gpu.name());
            Ok(Self { gpu: Some(gpu) })
        }

        /// The experts and the search of their banks on the device; on the CPU they are as they were.
        ///
        /// # Errors
        /// If the device has not enough memory, or failed.
        pub fn place(&self, experts: Experts) -> Result<Experts> {
            let Some(gpu) = &self.gpu else { return Ok(experts) };
            Ok(Experts {
                shape: Arc::new(GpuShapeExpert::new(gpu, &experts.shape_network()?)?),
                appearance: Arc::new(GpuAppearanceExpert::new(gpu, &experts.appearance_network()?)?),
                search: Arc::new(GpuSearch::new(gpu)),
                ..experts
            })
        }

        /// Wide-ResNet-50-2 with random weights, to measure what it costs.
        ///
        /// # Errors
        /// As for `place`.
        pub fn random_wide_resnet(&self, seed: u64) -> Result<Arc<dyn AppearanceExpert>> {
            match &self.gpu {
                Some(gpu) => Ok(Arc::new(GpuAppearanceExpert::new(gpu, &Network::random_wide_resnet50(seed))?)),
                None => Ok(Arc::new(WideResNet50::random(seed))),
            }
        }

        /// Makes sure that the device computed everything.
        ///
        /// # Errors
        /// If it failed on the way.
        pub fn check(&self) -> Result<()> {
            self.gpu.as_ref().and_then(|gpu| gpu.fault()).map_or(Ok(()), |fault| Err(fault.into()))
        }
    }
}

#[cfg(not(feature = "gpu"))]
mod without_gpu {
    use std::sync::Arc;

    use anyhow::{Result, bail};
    use shapeguard::experts::Experts;
    use shapeguard_core::seams::AppearanceExpert;
    use shapeguard_experts::appearance::WideResNet50;

    /// The CPU.
    #[derive(Debug)]
    pub struct Device(());

    impl Device {
        /// The CPU.
        pub fn cpu() -> Self {
            Self(())
        }

        /// Whether this is the CPU.
        pub fn is_cpu(&self) -> bool {
            true
        }

        /// What it is called.
        pub fn name(&self) -> &'static str {
            "cpu"
        }

        /// The CPU; says so, and why.
        pub(super) fn auto() -> Self {
            super::say("the CPU (this program was built without GPUs)");
            Self::cpu()
        }

        pub(super) fn gpu(name: &str) -> Result<Self> {
            bail!(
                "--device {name}: this program was built without GPUs; in a checkout of the source run\n  cargo run --release --features gpu -- COMMAND --device {name}"
            )
        }

        /// The experts as they are.
        ///
        /// # Errors
        /// None.
        pub fn place(&self, experts: Experts) -> Result<Experts> {
            Ok(experts)
        }

        /// Wide-ResNet-50-2 with random weights, to measure what it costs.
        ///
        /// # Errors
        /// None.
        pub fn random_wide_resnet(&self, seed: u64) -> Result<Arc<dyn AppearanceExpert>> {
            Ok(Arc::new(WideResNet50::random(seed)))
        }

        /// Makes sure that the device computed everything.
        ///
        /// # Errors
        /// None.
        pub fn check(&self) -> Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        assert_eq!("cpu".parse(), Ok(DeviceName::Cpu));
        assert_eq!("auto".parse(), Ok(DeviceName::Auto));
        for name in ["gpu", "gpu:RTX 40"] {
            assert_eq!(name.parse(), Ok(DeviceName::Gpu(name.into())));
        }
        for wrong in ["", "gpu:", "GPU", "cuda", "cpu:0"] {
            let error = wrong.parse::<DeviceName>().unwrap_err();
            assert!(error.contains("gpu:NAME") && error.contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
