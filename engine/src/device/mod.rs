//! Devices: what is there, which one is meant, and in which precision it computes.
//!
//! The backends are compiled in by cargo features and chosen at run time. Nothing falls back in silence: a device
//! that is asked for and absent is an error that names what is present; only `auto` goes down its list, and the
//! result says where it ended.
//!
//! Through Vulkan the shaders are WGSL, the browser's code path, unless the feature `spirv` is on: then Burn compiles
//! SPIR-V for every adapter that can take it.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "wgpu")]
mod gpu;
mod name;

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType, Tensor};

use crate::{readback, weights};

pub use name::{Api, DeviceName, UnknownDevice};

/// The type of number that networks compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32 bits: what the references compute in.
    F32,
    /// 16 bits: half the memory and, on GPUs, less time.
    F16,
}

impl Precision {
    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Bytes per number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// Which copy of a model's files serves it best.
    pub fn files(self) -> weights::Precision {
        match self {
            Self::F32 => weights::Precision::Full,
            Self::F16 => weights::Precision::Half,
        }
    }

    /// As Burn calls it.
    pub fn dtype(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::F16 => FloatDType::F16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A precision that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no precision; use f32 or f16")]
pub struct UnknownPrecision(pub String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, UnknownPrecision> {
        let known = [Self::F32, Self::F16].into_iter().find(|precision| precision.name() == text.trim().to_lowercase());
        known.ok_or_else(|| UnknownPrecision(text.chars().take(40).collect()))
    }
}

/// A device that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The name by which to ask for it.
    pub name: DeviceName,
    /// What its maker calls it.
    pub label: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Bytes of memory of its own, if its driver tells.
    pub memory: Option<u64>,
    /// Bytes that one buffer may have, if that is limited.
    pub largest_buffer: Option<u64>,
    /// Whether it computes in f16.
    pub f16: bool,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.label)
    }
}

/// What a device is, the best to compute on first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    /// A graphics card.
    Discrete,
    /// A GPU that shares its memory with the processor.
    Integrated,
    /// A GPU lent to a virtual machine, or one that does not say what it is.
    Virtual,
    /// The processor.
    Cpu,
    /// The processor posing as a GPU: right, and slow.
    Software,
}

impl DeviceKind {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Virtual => "virtual GPU",
            Self::Cpu => "CPU",
            Self::Software => "software GPU",
        }
    }
}

/// A device that is open for work.
#[derive(Clone, Debug)]
pub struct Compute {
    /// Burn's handle.
    pub device: Device,
    /// What it is.
    pub info: DeviceInfo,
    /// The type of number that networks compute in; samplers and schedules compute in f32 whatever this is.
    pub precision: Precision,
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// It is not there.
    #[error("there is no device {name}; present: {}", list(.present))]
    Absent {
        /// What was asked for.
        name: DeviceName,
        /// What is there.
        present: Vec<DeviceInfo>,
    },
    /// This program was built without the backend.
    #[error("this program was built without {name}; present: {}", list(.present))]
    NotBuiltIn {
        /// What was asked for.
        name: DeviceName,
        /// What is there.
        present: Vec<DeviceInfo>,
    },
    /// It is there and does not work.
    #[error("{device} does not answer: {why}; another device may (see `--device`)")]
    Broken {
        /// Which device.
        device: DeviceInfo,
        /// What its driver said.
        why: String,
    },
    /// It has no numbers of that type.
    #[error("{device} cannot compute in f16: {why}; use f32")]
    NoF16 {
        /// Which device.
        device: DeviceInfo,
        /// Why not.
        why: &'static str,
    },
}

fn list(present: &[DeviceInfo]) -> String {
    if present.is_empty() {
        return "none".to_owned();
    }
    present.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// All devices that are there, in the order in which `auto` tries them.
pub async fn enumerate() -> Vec<DeviceInfo> {
    let mut found = Vec::new();
    #[cfg(feature = "cuda")]
    found.extend(cuda::enumerate());
    #[cfg(feature = "wgpu")]
    found.extend(gpu::enumerate().await);
    if cfg!(feature = "flex") {
        found.push(cpu());
    }
    // A stable sort: interfaces stay in order among devices of one kind.
    found.sort_by_key(|info| info.kind);
    found
}

/// Opens the device that `name` means, to compute in `precision`, or in the best it has.
///
/// Must be called on the thread that will use the device: Burn orders work by thread.
pub async fn open(name: DeviceName, precision: Option<Precision>) -> Result<Compute, DeviceError> {
    // Whoever wants the processor should not depend on the drivers of GPUs, which are slow to answer and may crash.
    let present = if name == DeviceName::Cpu && cfg!(feature = "flex") { vec![cpu()] } else { enumerate().await };
    let candidates: Vec<&DeviceInfo> = present.iter().filter(|info| is_meant(name, info.name)).collect();
    let mut failure = None;
    for info in candidates {
        match open_one(info, precision).await {
            Ok(compute) => return Ok(compute),
            // Only `auto` may go on to another device.
            Err(error) if name != DeviceName::Auto => return Err(error),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| match name {
        DeviceName::Gpu { api, .. } if !api.is_built_in() => DeviceError::NotBuiltIn { name, present },
        DeviceName::Cpu if !cfg!(feature = "flex") => DeviceError::NotBuiltIn { name, present },
        _ => DeviceError::Absent { name, present },
    }))
}

/// Whether `name` can mean the device that is called `device`.
fn is_meant(name: DeviceName, device: DeviceName) -> bool {
    match (name, device) {
        (DeviceName::Auto, _) => true,
        // Natively there is no such interface, but there are its shaders: through any interface of wgpu's.
        (DeviceName::Gpu { api: Api::WebGpu, index: None }, DeviceName::Gpu { api: of, .. }) => {
            of == Api::WebGpu || (of != Api::Cuda && Api::WebGpu.is_built_in())
        }
        (DeviceName::Gpu { api, index: None }, DeviceName::Gpu { api: of, .. }) => api == of,
        _ => name == device,
    }
}

/// The precision that serves best on a device.
pub fn best(info: &DeviceInfo) -> Precision {
    // A processor that poses as a GPU has f16, but no speed in it.
    if info.f16 && info.kind != DeviceKind::Software { Precision::F16 } else { Precision::F32 }
}

async fn open_one(info: &DeviceInfo, precision: Option<Precision>) -> Result<Compute, DeviceError> {
    if precision == Some(Precision::F16) && !info.f16 {
        let why = if info.kind == DeviceKind::Cpu { "processors are slower in it" } else { "its shaders have no such numbers" };
        return Err(DeviceError::NoF16 { device: info.clone(), why });
    }
    let best = best(info);
    let broken = |why: String| DeviceError::Broken { device: info.clone(), why };
    let device = start(info).await.map_err(broken)?;
    let compute = Compute { device, info: info.clone(), precision: precision.unwrap_or(best) };
    check(&compute).await.map_err(broken)?;
    Ok(compute)
}

async fn start(info: &DeviceInfo) -> Result<Device, String> {
    match info.name {
        #[cfg(feature = "flex")]
        DeviceName::Cpu => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        DeviceName::Gpu { api: Api::Cuda, index: Some(index) } => Ok(Device::cuda(index)),
        #[cfg(feature = "wgpu")]
        DeviceName::Gpu { api, index: Some(index) } => gpu::start(api, index).await,
        _ => Err("this program was built without it".to_owned()),
    }
}

/// Computes something whose result is known: a driver may list a device that then does nothing, or wrongly.
async fn check(compute: &Compute) -> Result<(), String> {
    let dtype = compute.precision.dtype();
    let x = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], &compute.device).cast(dtype).reshape([2, 2]);
    let product = readback::floats(x.clone().matmul(x) + 1.0).await.map_err(|error| error.to_string())?;
    if product.values == [8.0, 11.0, 16.0, 23.0] { Ok(()) } else { Err(format!("it multiplied wrongly ({:?})", product.values)) }
}

fn cpu() -> DeviceInfo {
    DeviceInfo {
        name: DeviceName::Cpu,
        label: format!("{} processor", std::env::consts::ARCH),
        kind: DeviceKind::Cpu,
        memory: None,
        largest_buffer: None,
        f16: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webgpu_is_any_interface_that_runs_its_shaders() {
        let gpu = |api, index| DeviceName::Gpu { api, index };
        let webgpu = gpu(Api::WebGpu, None);
        assert_eq!(is_meant(webgpu, gpu(Api::Vulkan, Some(1))), Api::WebGpu.is_built_in());
        assert!(is_meant(webgpu, gpu(Api::WebGpu, Some(0))));
        assert!(!is_meant(webgpu, gpu(Api::Cuda, Some(0))));
        assert!(!is_meant(webgpu, DeviceName::Cpu));
        assert!(!is_meant(gpu(Api::Vulkan, None), gpu(Api::Metal, Some(0))));
        assert!(is_meant(gpu(Api::Vulkan, Some(1)), gpu(Api::Vulkan, Some(1))));
        assert!(!is_meant(gpu(Api::Vulkan, Some(1)), gpu(Api::Vulkan, Some(0))));
    }
}
