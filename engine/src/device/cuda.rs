//! NVIDIA cards through CUDA.

use burn::tensor::{Device, DeviceType};

use super::{Api, DeviceInfo, DeviceKind, DeviceName};

/// All cards, in CUDA's order. Without a driver there are none.
pub(super) fn enumerate() -> Vec<DeviceInfo> {
    let devices = Device::enumerate(DeviceType::Cuda).into_vec();
    let info = |index: usize, device: Device| DeviceInfo {
        name: DeviceName::Gpu { api: Api::Cuda, index: Some(index) },
        label: device.identity().map_or_else(|| "NVIDIA GPU".to_owned(), |identity| identity.name),
        kind: DeviceKind::Discrete,
        memory: None,
        largest_buffer: None,
        f16: true,
    };
    devices.into_iter().enumerate().map(|(index, device)| info(index, device)).collect()
}
