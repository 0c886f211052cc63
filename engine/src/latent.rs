//! Latent formats: what the numbers between VAE and UNet mean.
//!
//! A VAE makes latents of some spread; the UNet was trained on them scaled to about unit variance. Which factor, which
//! shift, how many channels and how many pixels to a latent are facts of a model.

use burn::tensor::Tensor;

use crate::readback::Floats;

/// How a model's latents relate to its VAE's and to pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentFormat {
    /// Channels of a latent.
    pub channels: usize,
    /// Pixels along one side of what becomes one latent.
    pub factor: usize,
    /// What the VAE's latents are multiplied with for the UNet.
    pub scale: f64,
    /// What is subtracted before that.
    pub shift: f64,
    /// How to guess colours without the VAE, if it is known for this format.
    pub preview: Option<Preview>,
}

/// A linear guess of a latent's colour, for previews: one row per channel, red, green and blue in -1 to 1, and what is
/// added to their sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preview {
    /// The share of red, green and blue in each of four channels.
    pub rows: [[f32; 3]; 4],
    /// The colour of a latent of zeros.
    pub offset: [f32; 3],
}

/// Least-squares fits of the decoder's output, published by users of the models.
pub mod preview {
    use super::Preview;

    /// Stable Diffusion 1 and 2.
    pub const SD: Preview = Preview {
        rows: [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]],
        offset: [0.0; 3],
    };
    /// Stable Diffusion XL.
    pub const SDXL: Preview = Preview {
        rows: [[0.3920, 0.4054, 0.4549], [-0.2634, -0.0196, 0.0653], [0.0568, 0.1687, -0.0755], [-0.3112, -0.2359, -0.2076]],
        offset: [0.0; 3],
    };
}

impl LatentFormat {
    /// From the VAE's latents to the UNet's.
    pub fn to_model<const D: usize>(&self, latent: Tensor<D>) -> Tensor<D> {
        (latent - self.shift) * self.scale
    }

    /// From the UNet's latents to the VAE's.
    pub fn to_vae<const D: usize>(&self, latent: Tensor<D>) -> Tensor<D> {
        latent / self.scale + self.shift
    }

    /// The shape `[batch, channels, height, width]` of latents for pictures of a size in pixels.
    pub fn shape(&self, batch: usize, width: usize, height: usize) -> [usize; 4] {
        [batch, self.channels, height / self.factor, width / self.factor]
    }

    /// A small RGB picture of item `index` of a batch of latents, one pixel per latent; `None` if no matrix is known
    /// for this format or the latents are of another.
    pub fn preview(&self, latents: &Floats, index: usize) -> Option<Picture> {
        let Preview { rows, offset } = self.preview?;
        let &[_, channels, height, width] = latents.shape.as_slice() else { return None };
        let item = latents.item(index);
        let plane = height * width;
        if channels != rows.len() || plane == 0 || item.len() != channels * plane {
            return None;
        }
        let mut pixels = Vec::with_capacity(plane * 3);
        for at in 0..plane {
            for (color, start) in offset.into_iter().enumerate() {
                let channels = rows.iter().zip(item.iter().skip(at).step_by(plane));
                let value: f32 = start + channels.map(|(row, latent)| row[color] * latent).sum::<f32>();
                pixels.push(to_byte(value / 2.0 + 0.5));
            }
        }
        Some(Picture { width, height, pixels })
    }
}

/// A picture: red, green and blue of 8 bits, row by row from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Three bytes per pixel.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Item `index` of a batch `[batch, 3, height, width]` of values from 0 to 1; `None` if there is no such item.
    pub fn from_floats(images: &Floats, index: usize) -> Option<Self> {
        let &[_, 3, height, width] = images.shape.as_slice() else { return None };
        let item = images.item(index);
        let plane = height * width;
        if plane == 0 || item.len() != 3 * plane {
            return None;
        }
        let pixels = (0..plane).flat_map(|at| item.iter().skip(at).step_by(plane).map(|&value| to_byte(value))).collect();
        Some(Self { width, height, pixels })
    }
}

/// From 0 to 1 to a byte, halves to even as numpy and torch round; not a number becomes 0.
fn to_byte(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_as_the_reference_rounds() {
        for (value, byte) in
            [(0.0, 0), (1.0, 255), (-3.0, 0), (7.0, 255), (0.5, 128), (f32::NAN, 0), (2.5 / 255.0, 2), (3.5 / 255.0, 4)]
        {
            assert_eq!(to_byte(value), byte, "{value}");
        }
    }

    #[test]
    fn a_picture_is_interleaved() {
        let images = Floats { shape: vec![2, 3, 1, 2], values: (0..12).map(|v| v as f32 / 255.0).collect() };
        let second = Picture::from_floats(&images, 1).unwrap();
        assert_eq!((second.width, second.height, second.pixels), (2, 1, vec![6, 8, 10, 7, 9, 11]));
        assert_eq!(Picture::from_floats(&images, 2), None);
    }

    #[test]
    fn a_preview_has_one_pixel_per_latent() {
        let format = LatentFormat { channels: 4, factor: 8, scale: 0.18215, shift: 0.0, preview: Some(preview::SD) };
        assert_eq!(format.shape(2, 96, 64), [2, 4, 8, 12]);
        let mut latents = Floats { shape: vec![1, 4, 2, 3], values: vec![0.0; 24] };
        latents.values[4] = 1.0;
        let picture = format.preview(&latents, 0).unwrap();
        assert_eq!((picture.width, picture.height), (3, 2));
        assert_eq!(picture.pixels[..3], [128; 3]);
        assert_eq!(picture.pixels[12..15], [165, 154, 154]);
        assert_eq!(format.preview(&latents, 1), None);
        assert_eq!(LatentFormat { preview: None, ..format }.preview(&latents, 0), None);
    }
}
