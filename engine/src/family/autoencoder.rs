//! A model's autoencoder: its own, or another that takes its place.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{FloatDType, Tensor};
use serde_json::Value;

use super::files::{Files, LoadError, checkpoint, required_json, required_text};
use crate::device::{Compute, Precision};
use crate::latent::LatentFormat;
use crate::model::taesd::{Taesd, TaesdConfig};
use crate::model::vae::{Tiling, Vae, VaeConfig};
use crate::weights::{KeyMap, load_into};

/// From latents to pictures.
#[derive(Debug)]
pub struct Autoencoder {
    network: Network,
    precision: Precision,
    /// Channels of the widest activation at the full size of a picture.
    widest: usize,
    /// The size of picture that it was trained on.
    sample_size: usize,
    is_standard: bool,
}

/// Channels per level of the autoencoder of Stable Diffusion.
const STANDARD: &[usize] = &[128, 256, 512, 512];
/// Channels per level of the tiny one that stands in for it.
const STANDARD_TINY: &[usize] = &[64, 64, 64, 64];

#[derive(Debug)]
enum Network {
    Kl(Box<Vae>),
    Tiny(Box<Taesd>),
}

/// The size of tiles that are not too small to look natural.
const USUAL_TILE: usize = 512;
/// Tiles are a multiple of this.
const TILE_STEP: usize = 64;
/// The largest activation, in bytes, for which a picture is decoded in one piece.
const ACTIVATION_BUDGET: u64 = 1 << 30;

impl Autoencoder {
    /// Loads the autoencoder in a folder, and tells the format of its latents.
    pub(super) fn load(files: &dyn Files, folder: &str, compute: &Compute) -> Result<(Self, LatentFormat), LoadError> {
        let path = if folder.is_empty() { "config.json".to_owned() } else { format!("{folder}/config.json") };
        let text = required_text(files, &path)?;
        let class = required_json(files, &path)?.get("_class_name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Compute { device, precision, .. } = compute;
        let weights = checkpoint(files, folder, precision.files())?;
        let name = if folder.is_empty() { "vae" } else { folder };
        match class.as_str() {
            "AutoencoderKL" => {
                let config = VaeConfig::parse(&text)?;
                let network = load_into(Vae::new(&config, device)?, name, &weights, &Vae::keys(), precision.dtype(), device)?;
                let facts = *network.facts();
                let format = LatentFormat {
                    channels: facts.latent_channels,
                    factor: facts.compression,
                    scale: facts.scaling_factor,
                    shift: facts.shift_factor,
                    preview: None,
                };
                // The second level's upsampling hands its channels on to the first, at the full size.
                let widest = config.block_out_channels.iter().take(2).copied().max().unwrap_or(1);
                let own = Self {
                    network: Network::Kl(Box::new(network)),
                    precision: *precision,
                    widest,
                    sample_size: facts.sample_size,
                    is_standard: config.block_out_channels == STANDARD,
                };
                Ok((own, format))
            }
            "AutoencoderTiny" => {
                let config = TaesdConfig::parse(&text)?;
                let network =
                    load_into(Taesd::new(&config, device)?, name, &weights, &KeyMap::identity(), precision.dtype(), device)?;
                let facts = network.facts();
                let format = LatentFormat {
                    channels: facts.latent_channels,
                    factor: facts.compression,
                    scale: facts.scaling_factor,
                    shift: facts.shift_factor,
                    preview: None,
                };
                let widest = config.decoder_block_out_channels.iter().copied().max().unwrap_or(1);
                let own = Self {
                    network: Network::Tiny(Box::new(network)),
                    precision: *precision,
                    widest,
                    sample_size: USUAL_TILE,
                    is_standard: config.decoder_block_out_channels == STANDARD_TINY,
                };
                Ok((own, format))
            }
            other => Err(LoadError::Unsuitable(format!(
                "{path}: the autoencoder is a {other:?}; known are AutoencoderKL and AutoencoderTiny"
            ))),
        }
    }

    /// Decodes latents in the autoencoder's own format to pictures `[batch, 3, height, width]` in -1 to 1.
    ///
    /// A picture whose activations would exceed `largest_buffer` bytes, or a budget of 1 GiB, is decoded in
    /// overlapping tiles.
    pub fn decode(&self, latents: Tensor<4>, factor: usize, largest_buffer: Option<u64>) -> Tensor<4> {
        let [_, _, height, width] = latents.dims();
        let tiling = self.tiling(height * factor, width * factor, largest_buffer);
        match (&self.network, tiling) {
            (Network::Kl(vae), Some(tiling)) => vae.decode_tiled(latents, tiling),
            (Network::Kl(vae), None) => vae.decode(latents),
            // Its activations are small enough for any picture.
            (Network::Tiny(taesd), _) => taesd.decode(latents),
        }
    }

    /// How a picture is cut, if it must be.
    fn tiling(&self, height: usize, width: usize, largest_buffer: Option<u64>) -> Option<Tiling> {
        let bytes_per_pixel = (self.widest * self.precision.bytes()) as u64;
        let budget = ACTIVATION_BUDGET.min(largest_buffer.unwrap_or(u64::MAX));
        if (height * width) as u64 * bytes_per_pixel <= budget {
            return None;
        }
        let most = ((budget / bytes_per_pixel.max(1)) as f64).sqrt() as usize;
        let size = self.sample_size.max(USUAL_TILE).min(most) / TILE_STEP * TILE_STEP;
        Some(Tiling::of_size(size.max(TILE_STEP)))
    }

    /// Whether it is built as Stable Diffusion's, so that its latents have the known colours.
    pub fn is_standard(&self) -> bool {
        self.is_standard
    }

    /// The precision that it computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Makes it compute in f32 from now on: some autoencoders overflow in f16.
    pub fn widen(&mut self) {
        fn cast<M: Module>(module: &M) -> M {
            module.clone().map(&mut Widen)
        }
        match &mut self.network {
            Network::Kl(vae) => **vae = cast(&**vae),
            Network::Tiny(taesd) => **taesd = cast(&**taesd),
        }
        self.precision = Precision::F32;
    }
}

struct Widen;

impl ModuleMapper for Widen {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(FloatDType::F32))
    }
}
