//! The types of `cubecl-llvm` that `cubecl-cuda` names, without LLVM behind them. See `README.md`.
//!
//! Compiling a kernel returns an error; everything else exists only for the type checker.

use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_environment::backtrace::BackTrace;
use cubecl_runtime::compiler::{CompilationError, Compiler};
use cubecl_runtime::kernel::BufferIOAttr;

/// What belongs to NVIDIA's intermediate code.
pub mod nvptx {
    /// Its versions.
    pub mod ptx_version {
        use core::fmt::{Display, Formatter, Result};

        /// A version; no driver has one here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// The newest that a driver takes: none.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl Display for PtxVersion {
            fn fmt(&self, _: &mut Formatter<'_>) -> Result {
                match *self {}
            }
        }
    }
}

/// What the targets share.
pub mod shared {
    /// What a target cannot lower.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// A GPU that LLVM compiles for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA.
            Nvptx,
        }

        /// Takes nothing away.
        pub fn restrict_features(_: &mut DeviceProperties, _: GpuTarget) {}
    }
}

/// What to compile for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// The processor.
    #[default]
    Cpu,
    /// NVIDIA's GPUs.
    Nvptx,
}

/// The compiler, which refuses.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// What for.
    pub target: LlvmTarget,
}

/// Its options.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// The processor's architecture.
    pub arch: Option<()>,
    /// The GPU's architecture.
    pub sm_arch: Option<SmArch>,
    /// The version of the intermediate code.
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// Whether kernel parameters are constants of the grid.
    pub grid_constants: bool,
}

/// A compiled module.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// The code.
    pub ptx: Vec<core::ffi::c_char>,
    /// Its kernel.
    pub entrypoint: String,
    /// The intermediate form.
    pub ir: String,
    /// Bytes of shared memory.
    pub shared_memory_size: usize,
    /// How each buffer is used.
    pub io: Vec<BufferIOAttr>,
}

/// What compiling makes.
#[derive(Clone, Debug)]
pub enum PlironArtifact {
    /// Code for NVIDIA.
    NvptxCode(NvptxModule),
    /// Nothing.
    None,
}

impl core::fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("no code")
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(&mut self, _: KernelDefinition, _: &PlironOptions) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this build has an empty LLVM backend, made for compile checks only".into(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}
