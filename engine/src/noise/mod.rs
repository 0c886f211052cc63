//! Noise, made on the CPU and bit for bit as torch and NVIDIA make it: one seed, one image everywhere.

use burn::tensor::Tensor;

/// Where samplers draw unit normal noise from.
pub trait NoiseSource {
    /// Fresh unit normal noise `[batch, channels, height, width]` in the shape of the run's latents, f32, on the run's device.
    fn draw(&mut self) -> Tensor<4>;
}
