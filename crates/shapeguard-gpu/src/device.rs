//! A GPU: which one, its kernels, and what becomes of its faults.

use std::str::FromStr;
use std::sync::{Arc, Once, OnceLock};

use wgpu::{
    Adapter, AdapterInfo, Backends, DeviceDescriptor, DeviceType, Features, Instance, InstanceDescriptor, Queue,
};

use crate::kernels::Kernels;
use crate::work::{Limit, Pool};

/// Which device to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best GPU; software that plays one is not taken.
    Any,
    /// The best device whose name contains this text, in upper or lower case; software devices too.
    Named(String),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("gpu:")) {
            ("gpu", _) => Ok(Self::Any),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Named(name.to_owned())),
            _ => Err(format!("expected a device `gpu` or `gpu:NAME`, found {text:?}")),
        }
    }
}

/// Why a GPU cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// There is no such device.
    #[error(
        "no {wanted} by {backends}; found {found}; install the graphics driver (on Linux with its Vulkan part), name one of the devices found as gpu:NAME, or use the CPU"
    )]
    NoDevice {
        /// What was looked for.
        wanted: String,
        /// Which interfaces were asked.
        backends: String,
        /// All devices found.
        found: String,
    },
    /// The device is there but cannot be opened.
    #[error("the device {device} cannot be opened: {reason}; update its driver, or use another device or the CPU")]
    NotOpened {
        /// Name, kind and driver.
        device: String,
        /// What the driver says.
        reason: String,
    },
    /// The driver refuses a kernel.
    #[error("the device {device} refuses the kernel `{kernel}`: {reason}; update its driver, or use the CPU")]
    Kernel {
        /// Name, kind and driver.
        device: String,
        /// The kernel.
        kernel: String,
        /// What the driver says.
        reason: String,
    },
    /// The device failed while it worked. What it was to compute since is not judged.
    #[error(
        "the device {device} failed: {reason}; nothing that it was to compute after that is judged; run again, with another device or the CPU if it repeats"
    )]
    Failed {
        /// Name, kind and driver.
        device: String,
        /// What happened.
        reason: String,
    },
}

/// The interfaces that devices are looked for by. Others, which another crate of the same program may turn on, would list the
/// same devices again, with less that they can do.
const INTERFACES: Backends = Backends::VULKAN.union(Backends::METAL).union(Backends::DX12);

/// An open device with its kernels.
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) kernels: Kernels,
    pub(crate) pool: Pool,
    pub(crate) limit: Limit,
    name: String,
    fault: Arc<OnceLock<String>>,
    logged: Once,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpu").field("name", &self.name).field("fault", &self.fault.get()).finish_non_exhaustive()
    }
}

impl Gpu {
    /// Opens a device and compiles the kernels for it.
    ///
    /// # Errors
    /// If there is no such device, or its driver refuses. The message names what was looked for and what was found.
    pub fn open(choice: &DeviceChoice) -> Result<Arc<Self>, GpuError> {
        let (_, adapter) = find(choice)?;
        let name = describe(&adapter.get_info());
        let offered = adapter.limits();
        let required_limits = wgpu::Limits {
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            ..wgpu::Limits::default()
        };
        let (device, queue) = request(&adapter, &DeviceDescriptor { required_limits, ..Default::default() })?;

        let fault = Arc::new(OnceLock::new());
        let lost = Arc::clone(&fault);
        // The first reason stands; whatever follows from it is no news.
        device.set_device_lost_callback(move |reason, message| {
            let _ = lost.set(format!("it was lost ({reason:?}) {message}"));
        });
        let uncaptured = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let _ = uncaptured.set(error.to_string());
        }));
        let kernels = Kernels::compile(&device).map_err(|(kernel, reason)| GpuError::Kernel {
            device: name.clone(),
            kernel,
            reason,
        })?;
        let (pool, limit, logged) = (Pool::default(), Limit::default(), Once::new());
        Ok(Arc::new(Self { device, queue, kernels, pool, limit, name, fault, logged }))
    }

    /// Name, kind, interface and driver of the device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What went wrong, if anything did. From then on the device computes nothing.
    pub fn fault(&self) -> Option<GpuError> {
        self.fault.get().map(|reason| GpuError::Failed { device: self.name.clone(), reason: reason.clone() })
    }

    /// Loses the device, as when its driver is reset: for tests of what becomes of that.
    #[doc(hidden)]
    pub fn lose(&self) {
        self.device.destroy();
    }

    /// Makes sure that nothing went wrong so far.
    pub(crate) fn check(&self) -> Result<(), GpuError> {
        let Some(fault) = self.fault() else { return Ok(()) };
        self.logged.call_once(|| tracing::error!("{fault}"));
        Err(fault)
    }

    /// Notes a fault; the first one stands.
    pub(crate) fn fail(&self, reason: String) -> GpuError {
        let _ = self.fault.set(reason);
        self.check().expect_err("a fault was just set")
    }
}

/// An open device without kernels, for a tensor framework to take over: with everything that the device offers.
#[derive(Debug)]
pub struct BareDevice {
    /// Where it was found.
    pub instance: Instance,
    /// What it can do.
    pub adapter: Adapter,
    /// The open device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: Queue,
    /// Name, kind, interface and driver.
    pub name: String,
}

impl BareDevice {
    /// Opens the device that [`Gpu::open`] takes.
    ///
    /// # Errors
    /// As there.
    pub fn open(choice: &DeviceChoice) -> Result<Self, GpuError> {
        let (instance, adapter) = find(choice)?;
        let name = describe(&adapter.get_info());
        // Mapping of the device's own memory costs speed on cards of their own; experiments need a promise that is not ours.
        let unwanted = Features::MAPPABLE_PRIMARY_BUFFERS | Features::all_experimental_mask();
        let descriptor = DeviceDescriptor {
            required_features: adapter.features() - unwanted,
            required_limits: adapter.limits(),
            // Frameworks divide large buffers by themselves.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = request(&adapter, &descriptor)?;
        Ok(Self { instance, adapter, device, queue, name })
    }
}

/// The best device that the choice allows.
fn find(choice: &DeviceChoice) -> Result<(Instance, Adapter), GpuError> {
    let backends = Instance::enabled_backend_features() & INTERFACES;
    let instance = Instance::new(InstanceDescriptor { backends, ..InstanceDescriptor::new_without_display_handle() });
    let adapters = pollster::block_on(instance.enumerate_adapters(backends));
    let adapter = choose(choice, adapters, backends)?;
    Ok((instance, adapter))
}

fn request(adapter: &Adapter, descriptor: &DeviceDescriptor<'_>) -> Result<(wgpu::Device, Queue), GpuError> {
    let descriptor = DeviceDescriptor { label: Some("shapeguard"), ..descriptor.clone() };
    pollster::block_on(adapter.request_device(&descriptor))
        .map_err(|error| GpuError::NotOpened { device: describe(&adapter.get_info()), reason: error.to_string() })
}

/// The best of the adapters that the choice allows.
fn choose(choice: &DeviceChoice, adapters: Vec<Adapter>, backends: Backends) -> Result<Adapter, GpuError> {
    let infos: Vec<AdapterInfo> = adapters.iter().map(Adapter::get_info).collect();
    match best(choice, &infos) {
        Some(index) => Ok(adapters.into_iter().nth(index).expect("an index of theirs")),
        None => Err(no_device(choice, &infos, backends)),
    }
}

fn best(choice: &DeviceChoice, infos: &[AdapterInfo]) -> Option<usize> {
    let allowed = |info: &AdapterInfo| match choice {
        DeviceChoice::Any => info.device_type != DeviceType::Cpu,
        DeviceChoice::Named(name) => info.name.to_lowercase().contains(&name.to_lowercase()),
    };
    let rank = |info: &AdapterInfo| match info.device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::VirtualGpu => 1,
        DeviceType::IntegratedGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    };
    // Of equals the first one, which is the one that the driver recommends.
    infos.iter().enumerate().filter(|(_, info)| allowed(info)).min_by_key(|(_, info)| rank(info)).map(|(i, _)| i)
}

fn no_device(choice: &DeviceChoice, infos: &[AdapterInfo], backends: Backends) -> GpuError {
    let wanted = match choice {
        DeviceChoice::Any => "GPU".to_owned(),
        DeviceChoice::Named(name) => format!("device whose name contains {name:?}"),
    };
    let backends = backends.iter_names().map(|(name, _)| name.to_lowercase()).collect::<Vec<_>>().join(", ");
    let found = match infos {
        [] => "no device at all".to_owned(),
        _ => infos.iter().map(describe).collect::<Vec<_>>().join("; "),
    };
    GpuError::NoDevice { wanted, backends, found }
}

fn describe(info: &AdapterInfo) -> String {
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => "GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software device",
        DeviceType::Other => "device of unknown kind",
    };
    let driver = format!("{} {}", info.driver, info.driver_info);
    format!("{} ({kind}, {}, driver {})", info.name, info.backend, driver.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, device_type: DeviceType) -> AdapterInfo {
        let mut info = AdapterInfo::new(device_type, wgpu::Backend::Vulkan);
        info.name = name.into();
        info.driver = "driver".into();
        info.driver_info = "1.2".into();
        info
    }

    #[test]
    fn hardware_comes_first_and_software_by_name_only() {
        let infos = [
            adapter("llvmpipe (LLVM 15)", DeviceType::Cpu),
            adapter("Iris", DeviceType::IntegratedGpu),
            adapter("GeForce A", DeviceType::DiscreteGpu),
            adapter("GeForce B", DeviceType::DiscreteGpu),
        ];
        let named = |name: &str| DeviceChoice::Named(name.into());
        assert_eq!(best(&DeviceChoice::Any, &infos), Some(2));
        assert_eq!(best(&named("geforce b"), &infos), Some(3));
        assert_eq!(best(&named("LLVM"), &infos), Some(0));
        assert_eq!(best(&named("radeon"), &infos), None);
        assert_eq!(best(&DeviceChoice::Any, &infos[..1]), None);
    }

    #[test]
    fn no_device_names_what_was_sought_and_found() {
        let message = no_device(
            &DeviceChoice::Named("radeon".into()),
            &[adapter("Iris", DeviceType::IntegratedGpu)],
            Backends::VULKAN | Backends::DX12,
        )
        .to_string();
        for part in ["\"radeon\"", "by vulkan, dx12", "Iris (integrated GPU, vulkan, driver driver 1.2)", "the CPU"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        let message = no_device(&DeviceChoice::Any, &[], Backends::VULKAN).to_string();
        assert!(message.starts_with("no GPU by vulkan; found no device at all"), "{message}");
    }
}
