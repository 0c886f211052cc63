//! The device that the tests run on, chosen by the environment variable `ENCAUSTIC_TEST_DEVICE`.
//!
//! | value | device |
//! |---|---|
//! | unset, `cpu` | Burn's flex, f32 |
//! | `vulkan` | the first Vulkan adapter through wgpu, software drivers (lavapipe) included |
//!
//! A device that is asked for and absent fails the test: nothing falls back, so nothing passes silently.

use burn::tensor::Device;

/// The environment variable that chooses the device.
pub const VARIABLE: &str = "ENCAUSTIC_TEST_DEVICE";

/// The device that this run of the tests is for.
pub fn device() -> Device {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("" | "cpu") => cpu(),
        Ok("vulkan") => vulkan(),
        Ok(other) => panic!("{VARIABLE}={other}: there are tests for `cpu` and `vulkan`"),
    }
}

/// The CPU, for tests of what does not depend on the device.
#[cfg(feature = "flex")]
pub fn cpu() -> Device {
    Device::flex()
}

#[cfg(not(feature = "flex"))]
pub fn cpu() -> Device {
    panic!("the tests were built without the feature `flex`, which the CPU needs")
}

#[cfg(feature = "wgpu")]
fn vulkan() -> Device {
    use encaustic_engine::device::{Api, DeviceName, Precision, open};

    let name = DeviceName::Gpu { api: Api::Vulkan, index: None };
    let compute = futures_lite::future::block_on(open(name, Some(Precision::F32))).unwrap_or_else(|error| {
        panic!(
            "{VARIABLE}=vulkan: {error}; on Debian the software driver is \
             `apt-get install mesa-vulkan-drivers libvulkan1`"
        )
    });
    compute.device
}

#[cfg(not(feature = "wgpu"))]
fn vulkan() -> Device {
    panic!("the tests were built without the feature `wgpu`, which `{VARIABLE}=vulkan` needs")
}
