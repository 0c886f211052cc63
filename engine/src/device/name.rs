//! How people name devices: `cpu`, `vulkan`, `vulkan:1`, `cuda:0`, `auto`.

use std::fmt;
use std::str::FromStr;

use encaustic_protocol::{Entry, nearest};

/// A device that somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceName {
    /// The best that answers.
    Auto,
    /// The processor.
    Cpu,
    /// A GPU, or whatever poses as one.
    Gpu {
        /// The interface through which it is reached.
        api: Api,
        /// Which one of those that the interface lists; `None` for the best of them.
        index: Option<usize>,
    },
}

/// An interface to GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// NVIDIA's own.
    Cuda,
    /// Khronos' Vulkan, through wgpu.
    Vulkan,
    /// Apple's Metal, through wgpu.
    Metal,
    /// Microsoft's Direct3D 12, through wgpu.
    Dx12,
    /// A browser's WebGPU; natively, whichever of the others runs the same shaders (in WGSL).
    WebGpu,
}

impl Api {
    /// All of them, the one that is likely the fastest first.
    pub const ALL: [Self; 5] = [Self::Cuda, Self::Metal, Self::Vulkan, Self::Dx12, Self::WebGpu];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Dx12 => "dx12",
            Self::WebGpu => "webgpu",
        }
    }

    /// Whether this program can use it at all, if a device is there.
    pub fn is_built_in(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Vulkan => cfg!(all(feature = "wgpu", not(target_family = "wasm"))),
            Self::Metal => cfg!(all(feature = "wgpu", target_vendor = "apple")),
            Self::Dx12 => cfg!(all(feature = "wgpu", windows)),
            // With SPIR-V built in, an adapter that can take it gets nothing else.
            Self::WebGpu => cfg!(all(feature = "wgpu", any(target_family = "wasm", not(feature = "spirv")))),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu { api, index: None } => f.write_str(api.name()),
            Self::Gpu { api, index: Some(index) } => write!(f, "{}:{index}", api.name()),
        }
    }
}

/// A name that means no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} names no device; use auto, cpu, {apis}, with :N for the Nth of a kind{}", meant(.nearest))]
pub struct UnknownDevice {
    /// What was said.
    pub name: String,
    /// The names of interfaces.
    pub apis: String,
    /// What was probably meant.
    pub nearest: Option<String>,
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"))
}

impl FromStr for DeviceName {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let wanted = text.trim().to_lowercase();
        let (kind, number) = match wanted.split_once(':') {
            Some((kind, number)) => (kind, Some(number)),
            None => (wanted.as_str(), None),
        };
        let index: Option<Option<usize>> = number.map(|number| number.parse().ok());
        match (kind, index) {
            ("auto", None) => return Ok(Self::Auto),
            ("cpu", None) => return Ok(Self::Cpu),
            _ => {}
        }
        let api = Api::ALL.into_iter().find(|api| api.name() == kind);
        match (api, index) {
            (Some(api), None) => Ok(Self::Gpu { api, index: None }),
            (Some(api), Some(Some(index))) => Ok(Self::Gpu { api, index: Some(index) }),
            _ => {
                let names = ["auto", "cpu"].into_iter().chain(Api::ALL.map(Api::name));
                let entries: Vec<_> = names.map(|name| Entry::new(name, name)).collect();
                Err(UnknownDevice {
                    name: text.chars().take(40).collect(),
                    apis: Api::ALL.map(Api::name).join(", "),
                    nearest: nearest(kind, &entries).map(str::to_owned),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in ["auto", "cpu", "cuda", "cuda:0", "vulkan", "vulkan:3", "metal", "dx12", "webgpu"] {
            assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
        }
        assert_eq!(" Vulkan:1 ".parse(), Ok(DeviceName::Gpu { api: Api::Vulkan, index: Some(1) }));
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        let cases = [
            ("vulcan", "did you mean \"vulkan\"?"),
            ("cdua:1", "did you mean \"cuda\"?"),
            ("gpu", "use auto, cpu, cuda, metal, vulkan, dx12, webgpu, with :N"),
            ("cpu:1", "did you mean \"cpu\"?"),
            ("vulkan:x", "did you mean \"vulkan\"?"),
            ("vulkan:99999999999999999999", "names no device"),
            ("", "names no device"),
        ];
        for (name, message) in cases {
            let error = name.parse::<DeviceName>().unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!("x".repeat(1 << 20).parse::<DeviceName>().unwrap_err().to_string().len() < 300);
    }
}
