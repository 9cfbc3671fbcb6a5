//! `--device` of training: the same words, for a tensor framework instead of own kernels.

use anyhow::Result;
use shapeguard_train::TrainingDevice;

use super::{DeviceName, DeviceOption};

/// Where the shape expert is trained.
#[derive(Debug, clap::Args)]
pub struct TrainingDeviceOption {
    /// Where to train: cpu; gpu, the best one; gpu:NAME, one whose name contains NAME; auto, a GPU if there is one
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceName,
}

impl TrainingDeviceOption {
    /// Opens the device.
    ///
    /// # Errors
    /// If a GPU is asked for and there is none, or this program cannot train on one.
    pub fn open(&self) -> Result<TrainingDevice> {
        self.device.open_for_training()
    }
}

impl DeviceOption {
    /// The device for a training that is part of other work.
    ///
    /// # Errors
    /// As [`TrainingDeviceOption::open`].
    pub fn open_for_training(&self) -> Result<TrainingDevice> {
        self.device.open_for_training()
    }
}

/// The CPU; says so, and why.
fn cpu(reason: &str) -> TrainingDevice {
    super::say(&format!("training on the CPU ({reason})"));
    TrainingDevice::cpu()
}

#[cfg(feature = "train-gpu")]
impl DeviceName {
    fn open_for_training(&self) -> Result<TrainingDevice> {
        use shapeguard_gpu::DeviceChoice;
        match self {
            Self::Cpu => Ok(TrainingDevice::cpu()),
            Self::Auto => Ok(match TrainingDevice::open(&DeviceChoice::Any) {
                Ok(device) => {
                    super::say(&format!("training on {}", device.name()));
                    device
                }
                Err(error) => cpu(&error.to_string()),
            }),
            Self::Gpu(name) => {
                let device = TrainingDevice::open(&name.parse().map_err(anyhow::Error::msg)?)?;
                tracing::info!("device: training on {}", device.name());
                Ok(device)
            }
        }
    }
}

#[cfg(not(feature = "train-gpu"))]
impl DeviceName {
    fn open_for_training(&self) -> Result<TrainingDevice> {
        match self {
            Self::Cpu => Ok(TrainingDevice::cpu()),
            Self::Auto => Ok(cpu("this program was built without training on GPUs")),
            Self::Gpu(name) => anyhow::bail!(
                "--device {name}: this program was built without training on GPUs; build it in a checkout of the source with\n  cargo build --release --features train-gpu"
            ),
        }
    }
}

#[cfg(all(test, not(feature = "train-gpu")))]
mod tests {
    use super::*;

    #[test]
    fn a_training_that_is_part_of_other_work_is_refused_too() {
        let device = |text: &str| DeviceOption { device: text.parse().unwrap() };
        let error = device("gpu").open_for_training().unwrap_err().to_string();
        assert!(error.contains("--device gpu: ") && error.contains("--features train-gpu"), "{error}");
        assert!(device("auto").open_for_training().unwrap().is_cpu());
    }
}
