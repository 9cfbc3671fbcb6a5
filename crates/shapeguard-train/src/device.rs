//! Where a training computes: the CPU, or with the feature `gpu` a GPU through Vulkan, Metal or Direct3D 12 (docs/gpu.md).

use burn::tensor::Device;

#[cfg(feature = "gpu")]
use crate::TrainError;

/// Where a training computes.
#[derive(Clone, Debug)]
pub struct TrainingDevice {
    device: Device,
    name: String,
    /// `None` for the CPU.
    #[cfg(feature = "gpu")]
    handle: Option<burn::tensor::wgpu::wgpu::Device>,
}

impl TrainingDevice {
    /// The CPU.
    pub fn cpu() -> Self {
        Self {
            device: Device::flex(),
            name: "cpu".to_owned(),
            #[cfg(feature = "gpu")]
            handle: None,
        }
    }

    /// Opens a GPU; open it once, and clone it where it is needed again.
    ///
    /// # Errors
    /// If there is no such device, or its driver refuses. The message names what was looked for and what was found.
    #[cfg(feature = "gpu")]
    pub fn open(choice: &shapeguard_gpu::DeviceChoice) -> Result<Self, TrainError> {
        use burn::tensor::wgpu::WgpuSetup;

        let shapeguard_gpu::BareDevice { instance, adapter, device, queue, name } =
            shapeguard_gpu::BareDevice::open(choice)?;
        let handle = Some(device.clone());
        let backend = adapter.get_info().backend;
        let setup = WgpuSetup { instance, adapter, device, queue, backend };
        match Device::wgpu_options().setup(setup).init() {
            Ok(device) => Ok(Self { device, name, handle }),
            Err(error) => Err(shapeguard_gpu::GpuError::NotOpened { device: name, reason: error.to_string() }.into()),
        }
    }

    /// What it is called: `cpu`, or name, kind, interface and driver of a GPU.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is the CPU.
    pub fn is_cpu(&self) -> bool {
        self.device == Device::flex()
    }

    /// For tensors without gradients.
    pub(crate) fn tensors(&self) -> &Device {
        &self.device
    }

    /// Loses the device, as when its driver is reset: for tests of what becomes of that.
    #[cfg(feature = "gpu")]
    #[doc(hidden)]
    pub fn lose(&self) {
        if let Some(handle) = &self.handle {
            handle.destroy();
        }
    }
}
