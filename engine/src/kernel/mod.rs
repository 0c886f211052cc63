//! The operations that a diffusion network spends its time in.
//!
//! Model code calls these instead of Burn's own layers' `forward`. Each takes the same parameters (Burn's `Conv2d`,
//! `Linear`, `GroupNorm`, ...) and gives the same result as Burn's operations; on other backends it *is* Burn's
//! operations. What it adds is that sums which follow a layer are given along (`conv2d_add`, `linear_add`) and that an
//! activation which follows a norm is named (`group_norm`), so that a backend may do both in one pass over memory, and
//! that attention never holds a whole score matrix.

mod activation;
mod attention;
#[cfg(all(feature = "flex", not(target_family = "wasm")))]
mod cpu;
mod layer;
mod spatial;

pub use activation::{add, geglu, gelu, quick_gelu, silu};
pub use attention::{Mask, attention, attention_heads};
pub use layer::{Activation, conv2d, conv2d_add, group_norm, layer_norm, linear, linear_add};
pub use spatial::{concat_channels, upsample_nearest};
