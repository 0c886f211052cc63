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
    use burn::tensor::DeviceType;

    let present = Device::enumerate(DeviceType::Wgpu).into_vec();
    let Some(device) = present.into_iter().next() else {
        panic!(
            "{VARIABLE}=vulkan, but no Vulkan adapter answers; on Debian the software driver is \
             `apt-get install mesa-vulkan-drivers libvulkan1`"
        );
    };
    device
}

#[cfg(not(feature = "wgpu"))]
fn vulkan() -> Device {
    panic!("the tests were built without the feature `wgpu`, which `{VARIABLE}=vulkan` needs")
}
