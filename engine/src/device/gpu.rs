//! GPUs through wgpu: Vulkan, Metal, Direct3D 12, and WebGPU in a browser.
//!
//! Adapters are listed through wgpu itself: it neither opens a device nor panics where there is no driver.

use std::sync::{Mutex, OnceLock, PoisonError};

use async_lock::Mutex as AsyncMutex;
use burn::tensor::wgpu::wgpu;
use burn::tensor::wgpu::{WgpuBackend, WgpuInitError};
use burn::tensor::{Device, DeviceKind as Adapter};

use super::{Api, DeviceInfo, DeviceKind, DeviceName};

/// Burn opens each device once for the whole process and takes a second try for a fault, so the first handle is
/// kept, and whoever asks while it is being opened waits.
static STARTED: AsyncMutex<Vec<((Api, usize), Device)>> = AsyncMutex::new(Vec::new());

/// All adapters, in the order of their interfaces.
pub(super) async fn enumerate() -> Vec<DeviceInfo> {
    let mut found = Vec::new();
    for api in Api::ALL {
        let adapters = adapters(api).await;
        found.extend(adapters.iter().enumerate().map(|(index, adapter)| describe(api, index, adapter)));
    }
    found
}

/// Opens the adapter that has this place in the list of its interface.
pub(super) async fn start(api: Api, index: usize) -> Result<Device, String> {
    let mut started = STARTED.lock().await;
    if let Some((_, device)) = started.iter().find(|(key, _)| *key == (api, index)) {
        return Ok(device.clone());
    }
    let Some(backend) = backend(api) else { return Err("this program was built without it".to_owned()) };
    let adapters = adapters(api).await;
    // Natively Burn then takes the host's clock; in a browser, where it would have to wait, it panics.
    let measures_time = adapters.get(index).is_none_or(|adapter| adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY));
    if api == Api::WebGpu && !measures_time {
        return Err("it lacks WebGPU's feature timestamp-query".to_owned());
    }
    let kinds: Vec<_> = adapters.iter().map(|adapter| adapter.get_info().device_type).collect();
    let Some(selector) = select(&kinds, index) else { return Err("it has gone".to_owned()) };
    let options = Device::wgpu_options().device_kind(selector).graphics_api(backend);
    let device = options.init_async().await.map_err(|error: WgpuInitError| error.to_string())?;
    started.push(((api, index), device.clone()));
    Ok(device)
}

/// Burn's selector for adapter `index`: it counts each type of adapter by itself, and knows one of the software kind.
fn select(kinds: &[wgpu::DeviceType], index: usize) -> Option<Adapter> {
    let kind = *kinds.get(index)?;
    let before = kinds.iter().take(index).filter(|other| **other == kind).count();
    match kind {
        wgpu::DeviceType::DiscreteGpu => Some(Adapter::DiscreteGpu(before)),
        wgpu::DeviceType::IntegratedGpu => Some(Adapter::IntegratedGpu(before)),
        wgpu::DeviceType::VirtualGpu => Some(Adapter::VirtualGpu(before)),
        wgpu::DeviceType::Cpu => Some(Adapter::Cpu),
        // No selector of Burn's means these, except when there is nothing else.
        wgpu::DeviceType::Other => (kinds.len() == 1).then_some(Adapter::DefaultDevice),
    }
}

fn describe(api: Api, index: usize, adapter: &wgpu::Adapter) -> DeviceInfo {
    let info = adapter.get_info();
    let limits = adapter.limits();
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::Integrated,
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => DeviceKind::Virtual,
        wgpu::DeviceType::Cpu => DeviceKind::Software,
    };
    DeviceInfo {
        name: DeviceName::Gpu { api, index: Some(index) },
        label: if info.name.is_empty() { format!("{} adapter", api.name()) } else { info.name },
        kind,
        memory: memory(adapter),
        largest_buffer: Some(limits.max_buffer_size.min(limits.max_storage_buffer_binding_size)),
        f16: adapter.features().contains(wgpu::Features::SHADER_F16),
    }
}

/// Bytes of the memory that is the adapter's own, as far as Vulkan tells.
#[cfg(any(target_os = "linux", windows))]
#[expect(unsafe_code, reason = "wgpu tells no amount of memory; its Vulkan handle does")]
fn memory(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: the handle is used while the adapter lives, for a query that changes nothing.
    let properties = unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        vulkan.shared_instance().raw_instance().get_physical_device_memory_properties(vulkan.raw_physical_device())
    };
    // The first flag of Vulkan's memory heaps: VK_MEMORY_HEAP_DEVICE_LOCAL_BIT.
    let own = properties.memory_heaps_as_slice().iter().filter(|heap| heap.flags.as_raw() & 1 != 0);
    own.map(|heap| heap.size).max()
}

#[cfg(not(any(target_os = "linux", windows)))]
fn memory(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}

/// The adapters of an interface, looked up once: drivers take their time, and some grumble on every look.
async fn adapters(api: Api) -> Vec<wgpu::Adapter> {
    static FOUND: Mutex<Vec<(Api, Vec<wgpu::Adapter>)>> = Mutex::new(Vec::new());
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    let backends = match api {
        Api::Cuda => return Vec::new(),
        Api::Vulkan => wgpu::Backends::VULKAN,
        Api::Metal => wgpu::Backends::METAL,
        Api::Dx12 => wgpu::Backends::DX12,
        Api::WebGpu => wgpu::Backends::BROWSER_WEBGPU,
    };
    if !wgpu::Instance::enabled_backend_features().contains(backends) {
        return Vec::new();
    }
    let known = |found: &[(Api, Vec<wgpu::Adapter>)]| found.iter().find(|(of, _)| *of == api).map(|(_, list)| list.clone());
    if let Some(list) = known(&FOUND.lock().unwrap_or_else(PoisonError::into_inner)) {
        return list;
    }
    // One instance for the whole process: loaders do not like them to come and go.
    let every = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::BROWSER_WEBGPU;
    let descriptor = || wgpu::InstanceDescriptor { backends: every, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let list = INSTANCE.get_or_init(|| wgpu::Instance::new(descriptor())).enumerate_adapters(backends).await;
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).push((api, list.clone()));
    list
}

fn backend(api: Api) -> Option<WgpuBackend> {
    match api {
        Api::Cuda => None,
        Api::Vulkan => Some(WgpuBackend::Vulkan),
        Api::Metal => Some(WgpuBackend::Metal),
        Api::Dx12 => Some(WgpuBackend::Dx12),
        Api::WebGpu => Some(WgpuBackend::WebGpu),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_of_adapter_is_counted_by_itself() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other};
        let kinds = [IntegratedGpu, DiscreteGpu, Cpu, DiscreteGpu, Other];
        let expected = [
            Some(Adapter::IntegratedGpu(0)),
            Some(Adapter::DiscreteGpu(0)),
            Some(Adapter::Cpu),
            Some(Adapter::DiscreteGpu(1)),
            None,
            None,
        ];
        for (index, selector) in expected.into_iter().enumerate() {
            assert_eq!(select(&kinds, index), selector, "{index}");
        }
        assert_eq!(select(&[Other], 0), Some(Adapter::DefaultDevice));
    }
}
