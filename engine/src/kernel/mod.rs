//! The operations that a diffusion network spends its time in.
//!
//! Model code calls these instead of Burn's own. Each gives the same result as Burn's operations; with SPIR-V and CUDA it
//! *is* Burn's operations. What they add is that a sum which follows a layer is given along (`addend`), and an activation
//! which follows a norm is named (`then`), so that one pass over memory does for both; that attention never holds a
//! whole score matrix; and that the CPU has kernels of its own, in `cpu`, and GPUs whose shaders are WGSL others, in `wgsl`.
//!
//! With kernels of our own, pictures lie channels-last in memory whatever their shape says: what these operations return has the
//! usual `[batch, channels, height, width]`, with strides to match, and `permute([0, 2, 3, 1])` and a reshape to tokens
//! cost nothing. Burn's own operations take such tensors too, but may copy them.

mod attention;
mod convolution;
#[cfg(all(feature = "flex", not(target_family = "wasm")))]
mod cpu;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod flash;
mod layer;
mod pointwise;
mod spatial;
#[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
mod wgsl;

pub use attention::{Mask, attention, attention_heads, prepare_attention};
pub use layer::{Then, conv2d, group_norm, layer_norm, linear, linear_geglu, pixels_to_tokens, stored_weight, tokens_to_pixels};
pub use pointwise::{add, gelu, quick_gelu, silu};
pub use spatial::{concat_channels, nearest};
