//! Pictures to latents and back: diffusers' `AutoencoderKL`.
//!
//! An encoder halves the picture three times (for eight-fold compression) and gives mean and variance of every latent
//! value; a decoder goes the other way. Latents here are the network's own: scaling for the denoising network is
//! [`VaeFacts::scaling_factor`], applied by the caller.

mod coder;
mod config;
mod tiling;

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};

pub use config::VaeConfig;
pub use tiling::Tiling;

use super::Observer;
use super::config::ConfigError;
use super::layer::{Bias, Conv2d};
use crate::weights::KeyMap;
use coder::{Decoder, Encoder};

/// The autoencoder.
#[derive(Module, Debug)]
pub struct Vae {
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Conv2d>,
    post_quant_conv: Option<Conv2d>,
    #[module(skip)]
    facts: VaeFacts,
}

/// What a caller needs to know of an autoencoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VaeFacts {
    /// Channels of pictures.
    pub in_channels: usize,
    /// Channels of latents.
    pub latent_channels: usize,
    /// Picture points per latent point, in each direction.
    pub compression: usize,
    /// The denoising network sees `(latent - shift_factor) * scaling_factor`.
    pub scaling_factor: f64,
    /// See [`Self::scaling_factor`]; 0 for most.
    pub shift_factor: f64,
    /// Whether the network is known to overflow in f16 and wants f32.
    pub force_upcast: bool,
    /// The size of picture that it was trained on, which is the usual size of a tile.
    pub sample_size: usize,
}

/// What the encoder says about a picture: a normal distribution for every latent value. f32.
#[derive(Clone, Debug)]
pub struct Moments {
    /// `[batch, latent_channels, height, width]`; also the distribution's mode.
    pub mean: Tensor<4>,
    /// The variances' logarithms, within -30..=20.
    pub log_variance: Tensor<4>,
}

impl Moments {
    /// Splits `[batch, 2 * channels, height, width]`.
    fn new(both: Tensor<4>) -> Self {
        let both = both.cast(FloatDType::F32);
        let channels = both.dims()[1] / 2;
        Self { mean: both.clone().narrow(1, 0, channels), log_variance: both.narrow(1, channels, channels).clamp(-30.0, 20.0) }
    }

    /// The latent that unit normal `noise` of the mean's shape picks.
    pub fn sample(&self, noise: Tensor<4>) -> Tensor<4> {
        self.mean.clone() + (self.log_variance.clone() * 0.5).exp() * noise
    }
}

impl Vae {
    /// An empty autoencoder.
    ///
    /// # Errors
    /// Where the configuration asks for something that is not implemented or makes no sense.
    pub fn new(config: &VaeConfig, device: &Device) -> Result<Self, ConfigError> {
        let plan = config.plan()?;
        let latent = plan.facts.latent_channels;
        let mix = |wanted: bool, channels| wanted.then(|| Conv2d::same(channels, channels, 1, Bias::With, device));
        Ok(Self {
            encoder: Encoder::new(&plan, device),
            decoder: Decoder::new(&plan, device),
            quant_conv: mix(config.use_quant_conv, 2 * latent),
            post_quant_conv: mix(config.use_post_quant_conv, latent),
            facts: plan.facts,
        })
    }

    /// How files call the parameters: the attention's projections have had two sets of names.
    pub fn keys() -> KeyMap {
        const OLD: [(&str, &str); 4] =
            [(".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")];
        KeyMap::identity().or(|name| {
            let (new, old) = OLD.iter().find(|(new, _)| name.contains(new))?;
            Some(name.replace(new, old))
        })
    }

    /// What a caller needs to know.
    pub fn facts(&self) -> &VaeFacts {
        &self.facts
    }

    /// Encodes pictures `[batch, in_channels, height, width]` in -1..=1; height and width are multiples of
    /// [`VaeFacts::compression`].
    pub fn encode(&self, pictures: Tensor<4>) -> Moments {
        self.encode_observed(pictures, &mut |_, _| ())
    }

    /// [`Self::encode`], showing `observe` what each part gives (`encoder.down_blocks.0`, `encoder.mid_block`,
    /// `encoder`).
    pub fn encode_observed(&self, pictures: Tensor<4>, observe: Observer<'_>) -> Moments {
        Moments::new(self.encode_raw(pictures.cast(self.encoder.dtype()), observe))
    }

    fn encode_raw(&self, pictures: Tensor<4>, observe: Observer<'_>) -> Tensor<4> {
        let moments = self.encoder.forward(pictures, observe);
        match &self.quant_conv {
            Some(conv) => conv.forward(moments),
            None => moments,
        }
    }

    /// Decodes latents `[batch, latent_channels, height, width]` to pictures in f32, nominally in -1..=1.
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        self.decode_observed(latents, &mut |_, _| ())
    }

    /// [`Self::decode`], showing `observe` what each part gives (`decoder.conv_in`, `decoder.mid_block`,
    /// `decoder.up_blocks.0`).
    pub fn decode_observed(&self, latents: Tensor<4>, observe: Observer<'_>) -> Tensor<4> {
        self.decode_raw(latents.cast(self.decoder.dtype()), observe).cast(FloatDType::F32)
    }

    fn decode_raw(&self, latents: Tensor<4>, observe: Observer<'_>) -> Tensor<4> {
        let latents = match &self.post_quant_conv {
            Some(conv) => conv.forward(latents),
            None => latents,
        };
        self.decoder.forward(latents, observe)
    }

    /// [`Self::encode`] in overlapping tiles, for pictures whose activations would not fit.
    ///
    /// Each tile has its own statistics, so the result is close to, not equal to, the whole.
    pub fn encode_tiled(&self, pictures: Tensor<4>, tiling: Tiling) -> Moments {
        let pictures = pictures.cast(self.encoder.dtype());
        let grid = tiling.encoding(self.facts.compression);
        Moments::new(tiling::tiled(pictures, grid, |tile| self.encode_raw(tile, &mut |_, _| ())))
    }

    /// [`Self::decode`] in overlapping tiles, likewise.
    pub fn decode_tiled(&self, latents: Tensor<4>, tiling: Tiling) -> Tensor<4> {
        let latents = latents.cast(self.decoder.dtype());
        let grid = tiling.decoding(self.facts.compression);
        tiling::tiled(latents, grid, |tile| self.decode_raw(tile, &mut |_, _| ())).cast(FloatDType::F32)
    }
}
