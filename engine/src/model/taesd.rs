//! TAESD: a tiny autoencoder with the same latents as the large one, for previews and for haste.
//!
//! diffusers' `AutoencoderTiny`, and the author's own files (github.com/madebyollin/taesd), which keep the two halves
//! apart and number their layers otherwise. Pictures are in -1..=1 here as for the large one; the latents are the
//! denoising network's, already scaled.

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};
use serde::Deserialize;

use super::activation::Activation;
use super::config::{Check, ConfigError, MAX_LAYERS, parse};
use super::layer::{Bias, Conv2d};
use crate::kernel::nearest;
use crate::weights::{Checkpoint, KeyMap};

/// Beyond this the decoder squashes latents.
const LATENT_LIMIT: f64 = 3.0;

/// `config.json` of an `AutoencoderTiny`, with diffusers' defaults; fields are documented there.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct TaesdConfig {
    pub in_channels: usize,
    pub out_channels: usize,
    pub encoder_block_out_channels: Vec<usize>,
    pub decoder_block_out_channels: Vec<usize>,
    pub act_fn: String,
    pub upsample_fn: String,
    pub latent_channels: usize,
    pub upsampling_scaling_factor: usize,
    pub num_encoder_blocks: Vec<usize>,
    pub num_decoder_blocks: Vec<usize>,
    pub scaling_factor: f64,
    pub shift_factor: Option<f64>,
}

impl Default for TaesdConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            encoder_block_out_channels: vec![64; 4],
            decoder_block_out_channels: vec![64; 4],
            act_fn: "relu".into(),
            upsample_fn: "nearest".into(),
            latent_channels: 4,
            upsampling_scaling_factor: 2,
            num_encoder_blocks: vec![1, 3, 3, 3],
            num_decoder_blocks: vec![3, 3, 3, 1],
            scaling_factor: 1.0,
            shift_factor: None,
        }
    }
}

impl TaesdConfig {
    /// Parses a `config.json`.
    ///
    /// # Errors
    /// Where the text is no such configuration. Its values are checked by [`Taesd::new`].
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        parse("taesd", text)
    }

    /// The configuration of the author's files, which bring none: read off the layers that they have. Either half
    /// may be absent and then keeps the defaults.
    pub fn infer(encoder: Option<&Checkpoint<'_>>, decoder: Option<&Checkpoint<'_>>) -> Self {
        let mut config = Self::default();
        if let Some(levels) = encoder.and_then(|file| Layout::read(file, 0)) {
            config.in_channels = levels.inputs;
            config.latent_channels = levels.outputs;
            config.encoder_block_out_channels = vec![levels.inner; levels.blocks.len()];
            config.num_encoder_blocks = levels.blocks;
        }
        if let Some(levels) = decoder.and_then(|file| Layout::read(file, 1)) {
            config.latent_channels = levels.inputs;
            config.out_channels = levels.outputs;
            config.decoder_block_out_channels = vec![levels.inner; levels.blocks.len()];
            config.num_decoder_blocks = levels.blocks;
        }
        config
    }

    fn check(&self) -> Result<Activation, ConfigError> {
        let check = Check("taesd");
        check.size("in_channels", self.in_channels)?;
        check.size("out_channels", self.out_channels)?;
        check.size("latent_channels", self.latent_channels)?;
        for (field, channels, counts_field, counts) in [
            ("encoder_block_out_channels", &self.encoder_block_out_channels, "num_encoder_blocks", &self.num_encoder_blocks),
            ("decoder_block_out_channels", &self.decoder_block_out_channels, "num_decoder_blocks", &self.num_decoder_blocks),
        ] {
            check.within(field, channels.len(), 8)?;
            check.per_block(counts_field, counts, channels.len())?;
            for size in channels {
                check.size(field, *size)?;
            }
            // Between levels the network keeps its width: the strided convolutions are square.
            if channels.windows(2).any(|pair| pair.first() != pair.last()) {
                return Err(check.unsupported(field, format_args!("{channels:?}"), "one number for all blocks is"));
            }
            if counts.iter().any(|count| *count > MAX_LAYERS) {
                return Err(check.invalid(
                    counts_field,
                    format_args!("{counts:?}"),
                    format_args!("at most {MAX_LAYERS} make sense"),
                ));
            }
        }
        if self.upsample_fn != "nearest" {
            return Err(check.unsupported("upsample_fn", &self.upsample_fn, "supported is nearest"));
        }
        check.within("upsampling_scaling_factor", self.upsampling_scaling_factor, 8)?;
        Activation::parse(&self.act_fn).ok_or_else(|| check.unsupported("act_fn", &self.act_fn, Activation::supported()))
    }
}

/// The layers of one half as its file shows them.
struct Layout {
    inputs: usize,
    inner: usize,
    outputs: usize,
    /// Residual blocks per level.
    blocks: Vec<usize>,
}

impl Layout {
    /// `first` is the number of the first convolution: the decoder has a clamp before it.
    fn read(file: &Checkpoint<'_>, first: usize) -> Option<Self> {
        let conv = |layer: usize| Some(&file.get(&format!("{layer}.weight"))?.shape);
        let (inputs, inner) = (*conv(first)?.get(1)?, *conv(first)?.first()?);
        let last = file.tensors().filter_map(|(name, _)| name.split('.').next()?.parse::<usize>().ok()).max()?;
        let outputs = *conv(last)?.first()?;
        let mut blocks = vec![0];
        for layer in first + 1..=last {
            if file.get(&format!("{layer}.conv.0.weight")).is_some() {
                *blocks.last_mut()? += 1;
            } else if layer != last && conv(layer).is_some() {
                blocks.push(0);
            }
        }
        Some(Self { inputs, inner, outputs, blocks })
    }
}

/// The tiny autoencoder.
#[derive(Module, Debug)]
pub struct Taesd {
    encoder: Stack,
    decoder: Stack,
    #[module(skip)]
    facts: TaesdFacts,
}

/// What a caller needs to know of a tiny autoencoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaesdFacts {
    /// Channels of latents.
    pub latent_channels: usize,
    /// Picture points per latent point, in each direction.
    pub compression: usize,
    /// As for the large one; 1, because these latents are scaled already.
    pub scaling_factor: f64,
    /// As for the large one; 0.
    pub shift_factor: f64,
}

/// Layers one after the other, numbered as in PyTorch's `Sequential`.
#[derive(Module, Debug)]
pub struct Stack {
    layers: Vec<Layer>,
}

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are a dozen in all, and most are blocks")]
enum Layer {
    Conv(Conv2d),
    Block(Block),
    Pointwise(Pointwise),
    Enlarge(Enlarge),
}

/// Three convolutions around a shortcut.
#[derive(Module, Debug)]
struct Block {
    conv: BlockConvs,
    #[module(skip)]
    activation: Activation,
}

#[derive(Module, Debug)]
struct BlockConvs {
    _0: Conv2d,
    _2: Conv2d,
    _4: Conv2d,
}

#[derive(Module, Debug)]
struct Pointwise {
    #[module(skip)]
    activation: Activation,
}

#[derive(Module, Debug)]
struct Enlarge {
    factor: usize,
}

impl Taesd {
    /// An empty network.
    ///
    /// # Errors
    /// Where the configuration asks for something that is not implemented or makes no sense.
    pub fn new(config: &TaesdConfig, device: &Device) -> Result<Self, ConfigError> {
        let activation = config.check()?;
        let factor = config.upsampling_scaling_factor;
        let levels = config.decoder_block_out_channels.len() as u32;
        Ok(Self {
            encoder: Stack::encoder(config, activation, device),
            decoder: Stack::decoder(config, activation, device),
            facts: TaesdFacts {
                latent_channels: config.latent_channels,
                compression: factor.pow(levels - 1),
                scaling_factor: config.scaling_factor,
                shift_factor: config.shift_factor.unwrap_or(0.0),
            },
        })
    }

    /// What a caller needs to know.
    pub fn facts(&self) -> &TaesdFacts {
        &self.facts
    }

    /// The two halves, to be loaded from the author's files with [`Self::original_encoder_keys`] and
    /// [`Self::original_decoder_keys`].
    pub fn into_halves(self) -> (Stack, Stack) {
        (self.encoder, self.decoder)
    }

    /// The network with halves that have been loaded.
    #[must_use]
    pub fn with_halves(self, encoder: Stack, decoder: Stack) -> Self {
        Self { encoder, decoder, ..self }
    }

    /// How the author's `taesd_encoder` calls the parameters.
    pub fn original_encoder_keys() -> KeyMap {
        KeyMap::default().or(|name| renumber(name, 0))
    }

    /// How the author's `taesd_decoder` calls the parameters: its layer 0 is the clamp.
    pub fn original_decoder_keys() -> KeyMap {
        KeyMap::default().or(|name| renumber(name, 1))
    }

    /// Latents of pictures `[batch, 3, height, width]` in -1..=1.
    pub fn encode(&self, pictures: Tensor<4>) -> Tensor<4> {
        let pictures = pictures.cast(self.encoder.dtype());
        self.encoder.forward((pictures + 1.0) / 2.0).cast(FloatDType::F32)
    }

    /// Pictures of latents `[batch, latent_channels, height, width]`, nominally in -1..=1.
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        let limited = (latents.cast(self.decoder.dtype()) / LATENT_LIMIT).tanh() * LATENT_LIMIT;
        self.decoder.forward(limited).cast(FloatDType::F32) * 2.0 - 1.0
    }
}

/// `layers.<n>.rest` as `<n + shift>.rest`.
fn renumber(name: &str, shift: usize) -> Option<String> {
    let (number, rest) = name.strip_prefix("layers.")?.split_once('.')?;
    Some(format!("{}.{rest}", number.parse::<usize>().ok()? + shift))
}

impl Stack {
    fn encoder(config: &TaesdConfig, activation: Activation, device: &Device) -> Self {
        let mut layers = Vec::new();
        let channels = &config.encoder_block_out_channels;
        for (level, (size, blocks)) in channels.iter().zip(&config.num_encoder_blocks).enumerate() {
            layers.push(Layer::Conv(match level {
                0 => Conv2d::same(config.in_channels, *size, 3, Bias::With, device),
                _ => Conv2d::strided(*size, *size, 3, 2, 1, Bias::Without, device),
            }));
            layers.extend((0..*blocks).map(|_| Layer::Block(Block::new(*size, activation, device))));
        }
        let last = channels.last().copied().unwrap_or(0);
        layers.push(Layer::Conv(Conv2d::same(last, config.latent_channels, 3, Bias::With, device)));
        Self { layers }
    }

    fn decoder(config: &TaesdConfig, activation: Activation, device: &Device) -> Self {
        let channels = &config.decoder_block_out_channels;
        let first = channels.first().copied().unwrap_or(0);
        let mut layers = vec![
            Layer::Conv(Conv2d::same(config.latent_channels, first, 3, Bias::With, device)),
            Layer::Pointwise(Pointwise { activation }),
        ];
        for (level, (size, blocks)) in channels.iter().zip(&config.num_decoder_blocks).enumerate() {
            layers.extend((0..*blocks).map(|_| Layer::Block(Block::new(*size, activation, device))));
            if level + 1 < channels.len() {
                layers.push(Layer::Enlarge(Enlarge { factor: config.upsampling_scaling_factor }));
                layers.push(Layer::Conv(Conv2d::same(*size, *size, 3, Bias::Without, device)));
            } else {
                layers.push(Layer::Conv(Conv2d::same(*size, config.out_channels, 3, Bias::With, device)));
            }
        }
        Self { layers }
    }

    fn dtype(&self) -> FloatDType {
        let conv = self.layers.iter().find_map(|layer| match layer {
            Layer::Conv(conv) => Some(conv.dtype()),
            _ => None,
        });
        conv.unwrap_or(FloatDType::F32)
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.layers.iter().fold(x, |x, layer| match layer {
            Layer::Conv(conv) => conv.forward(x),
            Layer::Block(block) => block.forward(x),
            Layer::Pointwise(pointwise) => pointwise.activation.apply(x),
            Layer::Enlarge(enlarge) => {
                let [_, _, height, width] = x.dims();
                nearest(x, [height * enlarge.factor, width * enlarge.factor])
            }
        })
    }
}

impl Block {
    fn new(channels: usize, activation: Activation, device: &Device) -> Self {
        let conv = || Conv2d::same(channels, channels, 3, Bias::With, device);
        Self { conv: BlockConvs { _0: conv(), _2: conv(), _4: conv() }, activation }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = self.activation.apply(self.conv._0.forward(x.clone()));
        let h = self.activation.apply(self.conv._2.forward(h));
        // The sum goes through a ReLU whatever the activation is.
        Activation::Relu.apply(self.conv._4.forward(h) + x)
    }
}
