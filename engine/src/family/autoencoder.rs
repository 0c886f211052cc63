//! A model's autoencoder: its own, or another that takes its place.

use std::rc::Rc;

use burn::tensor::{Device, Tensor};
use serde_json::Value;

use super::files::{Files, LoadError, required_json, required_text};
use super::package::Package;
use super::part::{Keep, Part, Walk};
use crate::device::{Compute, Precision};
use crate::latent::LatentFormat;
use crate::model::taesd::{Taesd, TaesdConfig};
use crate::model::vae::{Tiling, Vae, VaeConfig};
use crate::weights::KeyMap;

/// From latents to pictures.
#[derive(Debug)]
pub struct Autoencoder {
    network: Network,
    facts: Facts,
}

/// What is known without the weights.
#[derive(Clone, Copy, Debug)]
struct Facts {
    /// Channels of the widest activation at the full size of a picture.
    widest: usize,
    /// The size of picture that it was trained on.
    sample_size: usize,
    is_standard: bool,
    /// Pixels per latent.
    factor: usize,
    largest_buffer: Option<u64>,
    /// Whether to decode in tiles that a whole picture would not need.
    is_sparing: bool,
}

/// Channels per level of the autoencoder of Stable Diffusion.
const STANDARD: &[usize] = &[128, 256, 512, 512];
/// Channels per level of the tiny one that stands in for it.
const STANDARD_TINY: &[usize] = &[64, 64, 64, 64];

#[derive(Debug)]
enum Network {
    Kl(Part<Vae>),
    Tiny(Part<Taesd>),
}

/// A network that is on the device.
#[derive(Debug)]
enum Held {
    Kl(Rc<Vae>),
    Tiny(Rc<Taesd>),
}

enum Config {
    Kl(VaeConfig),
    Tiny(TaesdConfig),
}

/// The size of tiles that are not too small to look natural.
const USUAL_TILE: usize = 512;
/// Tiles are a multiple of this.
const TILE_STEP: usize = 64;
/// The largest activation, in bytes, for which a picture is decoded in one piece.
pub(super) const ACTIVATION_BUDGET: u64 = 1 << 30;

impl Autoencoder {
    /// Loads the autoencoder in a folder, and tells the format of its latents.
    pub(super) fn load(
        package: &Rc<Package>,
        folder: &'static str,
        compute: &Compute,
        keep: Keep,
    ) -> Result<(Self, LatentFormat), LoadError> {
        let to = (compute, keep);
        Ok(match Config::read(&**package, folder)? {
            Config::Kl(config) => {
                let widest = config_widest(&config.block_out_channels);
                let preview = config.preview();
                let is_standard = config.block_out_channels == STANDARD;
                let new = move |device: &Device| Vae::new(&config, device);
                let (network, own) = package.network(folder, Vae::keys(), to, new, |network| *network.facts())?;
                let format = LatentFormat {
                    preview,
                    ..format(own.latent_channels, own.compression, own.scaling_factor, own.shift_factor)
                };
                let facts = Facts::new(widest, own.sample_size, is_standard, &format, compute);
                (Self { network: Network::Kl(network), facts }, format)
            }
            Config::Tiny(config) => {
                let widest = config.decoder_block_out_channels.iter().copied().max().unwrap_or(1);
                let is_standard = config.decoder_block_out_channels == STANDARD_TINY;
                let new = move |device: &Device| Taesd::new(&config, device);
                let (network, format) = package.network(folder, KeyMap::identity(), to, new, |network| {
                    let own = network.facts();
                    format(own.latent_channels, own.compression, own.scaling_factor, own.shift_factor)
                })?;
                let facts = Facts::new(widest, USUAL_TILE, is_standard, &format, compute);
                (Self { network: Network::Tiny(network), facts }, format)
            }
        })
    }

    /// The network, ready to decode.
    pub fn decoder(&self) -> Result<Decoder, LoadError> {
        let network = match &self.network {
            Network::Kl(vae) => Held::Kl(vae.get()?),
            Network::Tiny(taesd) => Held::Tiny(taesd.get()?),
        };
        Ok(Decoder { network, precision: self.precision(), facts: self.facts })
    }

    /// The network, if it is so quick that every step can be looked at (TAESD) and on the device anyway.
    pub fn quick(&self) -> Option<Decoder> {
        let Network::Tiny(taesd) = &self.network else { return None };
        Some(Decoder { network: Held::Tiny(taesd.held()?), precision: self.precision(), facts: self.facts })
    }

    /// Has it decode in smaller tiles than it must, or no longer: for devices that have little memory left.
    pub fn spare(&mut self, is_sparing: bool) {
        self.facts.is_sparing = is_sparing;
    }

    /// The way through its files.
    pub(super) fn walk(&self) -> Rc<dyn Walk> {
        match &self.network {
            Network::Kl(vae) => vae.walk(),
            Network::Tiny(taesd) => taesd.walk(),
        }
    }

    /// Whether it is built as Stable Diffusion's, so that its latents have the known colours.
    pub fn is_standard(&self) -> bool {
        self.facts.is_standard
    }

    /// The precision that it computes in.
    pub fn precision(&self) -> Precision {
        match &self.network {
            Network::Kl(vae) => vae.precision(),
            Network::Tiny(taesd) => taesd.precision(),
        }
    }

    /// Makes it compute in f32 from now on: some autoencoders overflow in f16.
    pub fn widen(&mut self) {
        match &mut self.network {
            Network::Kl(vae) => vae.set_precision(Precision::F32),
            Network::Tiny(taesd) => taesd.set_precision(Precision::F32),
        }
    }
}

impl Config {
    fn read(files: &dyn Files, folder: &str) -> Result<Self, LoadError> {
        let path = if folder.is_empty() { "config.json".to_owned() } else { format!("{folder}/config.json") };
        let text = required_text(files, &path)?;
        let class = required_json(files, &path)?.get("_class_name").and_then(Value::as_str).unwrap_or_default().to_owned();
        match class.as_str() {
            "AutoencoderKL" => Ok(Self::Kl(VaeConfig::parse(&text)?)),
            "AutoencoderTiny" => Ok(Self::Tiny(TaesdConfig::parse(&text)?)),
            other => Err(LoadError::Unsuitable(format!(
                "{path}: the autoencoder is a {other:?}; known are AutoencoderKL and AutoencoderTiny"
            ))),
        }
    }
}

/// Channels of the widest activation at the full size of a picture: the second level's upsampling hands its channels on to the
/// first.
fn config_widest(channels: &[usize]) -> usize {
    channels.iter().take(2).copied().max().unwrap_or(1)
}

/// What decoding takes, as far as a configuration tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoding {
    /// Channels of the widest activation.
    pub(super) widest: u64,
    /// Pixels along one side of a latent.
    pub(super) factor: u64,
    /// Whether it can be done in tiles.
    pub(super) has_tiles: bool,
}

/// What the autoencoder in a folder takes.
pub(super) fn decoding(files: &dyn Files, folder: &str) -> Result<Decoding, LoadError> {
    let (widest, levels, has_tiles) = match Config::read(files, folder)? {
        Config::Kl(config) => (config_widest(&config.block_out_channels), config.block_out_channels.len(), true),
        Config::Tiny(config) => {
            let channels = &config.decoder_block_out_channels;
            (channels.iter().copied().max().unwrap_or(1), channels.len(), false)
        }
    };
    Ok(Decoding { widest: widest as u64, factor: 1 << levels.clamp(1, 8).saturating_sub(1), has_tiles })
}

fn format(channels: usize, factor: usize, scale: f64, shift: f64) -> LatentFormat {
    LatentFormat { channels, factor, scale, shift, preview: None }
}

impl Facts {
    fn new(widest: usize, sample_size: usize, is_standard: bool, format: &LatentFormat, compute: &Compute) -> Self {
        let largest_buffer = compute.info.largest_buffer;
        Self { widest, sample_size, is_standard, factor: format.factor, largest_buffer, is_sparing: false }
    }
}

/// An autoencoder whose weights are on the device.
#[derive(Debug)]
pub struct Decoder {
    network: Held,
    precision: Precision,
    facts: Facts,
}

impl Decoder {
    /// Decodes latents in the autoencoder's own format to pictures `[batch, 3, height, width]` in -1 to 1.
    ///
    /// A picture whose activations would exceed the device's largest buffer, or a budget of 1 GiB, is decoded in
    /// overlapping tiles.
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = latents.dims();
        let tiling = self.facts.tiling(height, width, self.precision);
        match (&self.network, tiling) {
            (Held::Kl(vae), Some(tiling)) => vae.decode_tiled(latents, tiling),
            (Held::Kl(vae), None) => vae.decode(latents),
            // Its activations are small enough for any picture.
            (Held::Tiny(taesd), _) => taesd.decode(latents),
        }
    }

    /// The precision that it computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }
}

impl Facts {
    /// How a picture of so many latents is cut, if it must be.
    fn tiling(&self, height: usize, width: usize, precision: Precision) -> Option<Tiling> {
        let bytes_per_pixel = (self.widest * precision.bytes()) as u64;
        let budget = ACTIVATION_BUDGET.min(self.largest_buffer.unwrap_or(u64::MAX));
        let pixels = (height * self.factor) as u64 * (width * self.factor) as u64;
        let sparing = self.is_sparing.then(|| sparing_tile(height * self.factor, width * self.factor));
        if pixels * bytes_per_pixel <= budget {
            return sparing.map(Tiling::of_size);
        }
        let most = ((budget / bytes_per_pixel.max(1)) as f64).sqrt() as usize;
        let size = self.sample_size.max(USUAL_TILE).min(most) / TILE_STEP * TILE_STEP;
        Some(Tiling::of_size(size.min(sparing.unwrap_or(size)).max(TILE_STEP)))
    }
}

/// The tiles of a picture that is to take little memory: half of its longer side, and not more than is usual.
pub(super) fn sparing_tile(height: usize, width: usize) -> usize {
    (height.max(width) / 2).next_multiple_of(TILE_STEP).clamp(TILE_STEP, USUAL_TILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_cut_where_its_activations_exceed_the_budget() {
        let facts = |largest_buffer| Facts {
            widest: 256,
            sample_size: 512,
            is_standard: true,
            factor: 8,
            largest_buffer,
            is_sparing: false,
        };
        let cut = |facts: Facts, [width, height]: [usize; 2], precision| facts.tiling(height / 8, width / 8, precision);
        let tile = |size| Some(Tiling::of_size(size));
        for (largest_buffer, size, precision, expected) in [
            (None, [512, 512], Precision::F32, None),
            (None, [1024, 1024], Precision::F32, None),
            (None, [1032, 1024], Precision::F32, tile(512)),
            (None, [1024, 2048], Precision::F16, None),
            (None, [8192, 8192], Precision::F16, tile(512)),
            (Some(128 << 20), [512, 512], Precision::F32, tile(320)),
            (Some(128 << 20), [512, 512], Precision::F16, None),
            (Some(1 << 10), [64, 64], Precision::F32, tile(TILE_STEP)),
        ] {
            let found = cut(facts(largest_buffer), size, precision);
            assert_eq!(found, expected, "{size:?} in {precision}, buffers of {largest_buffer:?}");
        }
        for (size, expected) in [([128, 128], 64), ([512, 384], 256), ([1024, 1024], 512), ([2048, 8192], 512), ([64, 64], 64)] {
            let found = cut(Facts { is_sparing: true, ..facts(None) }, size, Precision::F32);
            assert_eq!(found, tile(expected), "{size:?}, sparing memory");
        }
    }
}
