//! Latent diffusion with a UNet: what Stable Diffusion 1, 2 and XL have in common (Rombach et al.,
//! <https://arxiv.org/abs/2112.10752>).

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::{Device, Tensor};
use encaustic_protocol::Request;

use super::contents::Origin;
use super::files::{Files, LoadError, required_text};
use super::original::{OriginalError, Use};
use super::package::Package;
use super::part::{Keep, Part};
use super::sketch::Sketch;
use super::text::{Conditioning, Lead, MicroConditioning, PromptError, Prompts, TextEncoder, TextEncoders};
use super::{Autoencoder, Decoder, Encoder, Family, Pooled, Role, detect, loadable};
use crate::catalog;
use crate::device::{Compute, DeviceKind, Precision};
use crate::guidance::Guidance;
use crate::latent::LatentFormat;
use crate::model::clip::{ClipConfig, ClipText};
use crate::model::unet::{AddedConditioning, InputError, UNet, UNetConfig, UNetFacts, UNetInput, guidance_embedding};
use crate::prediction::{Prediction, input_scale};
use crate::prompt::{Tokenizer, TokenizerFiles};
use crate::sampling::{Denoise, Level};
use crate::schedule::{NoiseTable, SchedulerConfig};
use crate::weights::{KeyMap, Manifest};

/// A model's own settings beside those of its scheduler: a [`Request`] that fills what a user leaves open.
pub(super) const DEFAULTS: &str = "encaustic.json";

/// How many latent points the UNet sees at once, over all pictures and both prompts; what is more goes through it in
/// turns. On a GPU many at once are faster (this is sixteen pictures of 512 x 512 pixels); a processor is busy with one.
const POINTS_ON_GPU: usize = 1 << 16;
const POINTS_ON_CPU: usize = 1 << 12;

/// A loaded model.
#[derive(Debug)]
pub struct LatentDiffusion {
    /// Its family.
    pub family: &'static Family,
    /// How its latents relate to pixels.
    pub latent: LatentFormat,
    /// Its scheduler's configuration.
    pub scheduler: SchedulerConfig,
    /// The noise levels that it was trained on.
    pub table: NoiseTable,
    /// The size of pictures that it was trained on, as `[width, height]` in pixels.
    pub size: [u32; 2],
    /// Its own settings.
    pub defaults: Request,
    /// Whether it was distilled to take the guidance as an input (LCM).
    pub is_distilled: bool,
    pub(super) text: TextEncoders,
    pub(super) unet: Part<UNet>,
    facts: UNetFacts,
    pub(super) autoencoder: Autoencoder,
    pub(super) origin: Origin,
    compute: Compute,
}

/// Loads the model in a folder as diffusers writes it, a packed one, or one file in the original layout; `vae` is another
/// autoencoder, or a model that has one. Every part is checked at once, whenever its weights are read.
pub fn load(
    files: &Rc<dyn Files>,
    vae: Option<&Rc<dyn Files>>,
    compute: &Compute,
    keep: Keep,
) -> Result<LatentDiffusion, LoadError> {
    let package = Rc::new(Package::model(files)?);
    let folder = &*package;
    let sketch = Sketch::read(folder)?;
    let family = detect(&sketch).ok_or_else(|| unknown(&sketch))?;
    if family.role == Role::Refines {
        return Err(OriginalError::Refiner(family.label).into());
    }
    if let Some(other) = package.manifest().map(|manifest| &manifest.family).filter(|named| *named != family.id) {
        let why = format!("the manifest says that it is {other:?}, and its configurations are those of {:?}", family.id);
        return Err(LoadError::Unsuitable(why));
    }
    let vae = vae.map(|other| Package::autoencoder(other, family)).transpose()?.map(Rc::new);
    if vae.is_none() {
        package.has_autoencoder()?;
    }
    let defaults = defaults(folder)?;
    let scheduler = SchedulerConfig::from_json(&required_text(folder, "scheduler/scheduler_config.json")?)?;
    let table = NoiseTable::new(&scheduler)?;
    let encoders = family.encoders.iter().map(|recipe| text_encoder(&package, *recipe, compute, keep));
    let text = TextEncoders {
        encoders: encoders.collect::<Result<_, _>>()?,
        zeros_for_empty: sketch.zeros_for_empty && family.encoders.iter().any(|encoder| encoder.pooled == Pooled::Conditions),
    };
    let (unet, facts) = unet(&package, compute, keep)?;
    let (autoencoder, mut latent) = match &vae {
        Some(other) => Autoencoder::load(other, other.autoencoder_folder(), compute, keep)?,
        None => Autoencoder::load(&package, "vae", compute, keep)?,
    };
    if autoencoder.is_standard() && latent.preview.is_none() {
        latent.preview = Some(family.preview);
    }
    agree(&facts, &text, &latent)?;
    let [height, width] = sketch.sample_size.unwrap_or([USUAL_SAMPLE; 2]).map(|side| pixels(side.saturating_mul(latent.factor)));
    Ok(LatentDiffusion {
        family,
        latent,
        scheduler,
        table,
        size: [width, height],
        defaults,
        is_distilled: facts.guidance_features.is_some(),
        text,
        unet,
        facts,
        autoencoder,
        origin: Origin { package, vae },
        compute: compute.clone(),
    })
}

/// The size in latents of a model that does not tell.
pub(super) const USUAL_SAMPLE: usize = 64;

/// A side of a picture as requests allow it: between 64 and 8192, and a multiple of 8.
fn pixels(side: usize) -> u32 {
    (side.clamp(64, 8192) / 8 * 8) as u32
}

pub(super) fn unknown(sketch: &Sketch) -> LoadError {
    let parts = match sketch.encoders.as_slice() {
        [] => "no text encoder".to_owned(),
        names => names.join(" and "),
    };
    let class = if sketch.class.is_empty() { "model".to_owned() } else { sketch.class.clone() };
    let known: Vec<_> = loadable().map(|family| family.label).collect();
    LoadError::Unknown { class, parts, known: known.join(", ") }
}

fn defaults(files: &dyn Files) -> Result<Request, LoadError> {
    let Some(text) = files.text(DEFAULTS)? else { return Ok(Request::default()) };
    let request: Request = serde_json::from_slice(&text).map_err(|error| LoadError::Defaults(error.to_string()))?;
    encaustic_protocol::validate(&request, &catalog::catalog())
        .map_err(|faults| LoadError::Defaults(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    let Request { sampler, schedule, steps, cfg, guidance_rescale, eta, width, height, clip_skip, .. } = request.clone();
    let taken = Request { sampler, schedule, steps, cfg, guidance_rescale, eta, width, height, clip_skip, ..Request::default() };
    if request != taken {
        return Err(LoadError::Defaults(
            "a model may set sampler, schedule, steps, cfg, guidance_rescale, eta, width, height and clip_skip; the rest is its user's".into(),
        ));
    }
    Ok(request)
}

fn text_encoder(package: &Rc<Package>, recipe: Encoder, compute: &Compute, keep: Keep) -> Result<TextEncoder, LoadError> {
    let config = ClipConfig::parse(&required_text(&**package, &format!("{}/config.json", recipe.folder))?)?;
    let tokenizer = Rc::new(tokenizer(&**package, recipe)?);
    let new = move |device: &Device| ClipText::new(&config, device);
    let tell = |network: &ClipText| (network.features(), network.positions());
    let (network, (features, positions)) = package.network(recipe.folder, ClipText::keys(), (compute, keep), new, tell)?;
    Ok(TextEncoder { network, features, positions, tokenizer, recipe })
}

fn tokenizer(files: &dyn Files, recipe: Encoder) -> Result<Tokenizer, LoadError> {
    let folder = recipe.tokenizer;
    let read = |name: &str| files.text(&format!("{folder}/{name}"));
    let [tokenizer, vocab, merges] = [read("tokenizer.json")?, read("vocab.json")?, read("merges.txt")?];
    let [config, special] = [read("tokenizer_config.json")?, read("special_tokens_map.json")?];
    let files = TokenizerFiles {
        tokenizer: tokenizer.as_deref(),
        vocab: vocab.as_deref(),
        merges: merges.as_deref(),
        config: config.as_deref(),
        special: special.as_deref(),
        padding: recipe.padding,
    };
    Tokenizer::new(&files).map_err(|error| LoadError::Tokenizer { folder, error })
}

fn unet(package: &Rc<Package>, compute: &Compute, keep: Keep) -> Result<(Part<UNet>, UNetFacts), LoadError> {
    let config = UNetConfig::parse(&required_text(&**package, "unet/config.json")?)?;
    let new = move |device: &Device| UNet::new(&config, device);
    package.network("unet", KeyMap::identity(), (compute, keep), new, |network| network.facts().clone())
}

/// Whether the parts of a model fit each other.
fn agree(facts: &UNetFacts, text: &TextEncoders, latent: &LatentFormat) -> Result<(), LoadError> {
    let refuse = |why: String| Err(LoadError::Unsuitable(why));
    if facts.in_channels != latent.channels {
        return match Use::of(facts.in_channels, latent.channels) {
            Use::TextToImage | Use::Other(_) => {
                refuse(format!("unet: it takes {} channels, but the vae makes latents of {}", facts.in_channels, latent.channels))
            }
            purpose => Err(OriginalError::Purpose(purpose.words()).into()),
        };
    }
    if facts.out_channels != latent.channels {
        return refuse(format!("unet: it gives {} channels for latents of {}", facts.out_channels, latent.channels));
    }
    if facts.context_features != text.features() {
        return refuse(format!(
            "unet: it takes text vectors of {} features, but the text encoders give {}",
            facts.context_features,
            text.features()
        ));
    }
    Ok(())
}

impl LatentDiffusion {
    /// The text encoders, ready to read.
    pub fn reader(&self) -> Result<Reader<'_>, LoadError> {
        Ok(Reader { model: self, networks: self.text.networks()? })
    }

    /// The tokenizer of its first text encoder: what counts the words of a prompt.
    pub fn tokenizer(&self) -> Option<Rc<Tokenizer>> {
        self.text.encoders.first().map(|encoder| Rc::clone(&encoder.tokenizer))
    }

    /// How many tokens of a prompt its text encoders read together.
    pub fn chunk_tokens(&self) -> usize {
        self.text.window().saturating_sub(2)
    }

    /// What its maker says of it, if it was packed.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.origin.package.manifest()
    }

    /// What is known of the UNet without its weights.
    pub(super) fn facts(&self) -> &UNetFacts {
        &self.facts
    }

    /// The UNet, ready to predict.
    pub fn unet(&self) -> Result<Rc<UNet>, LoadError> {
        self.unet.get()
    }

    /// The autoencoder, ready to decode.
    pub fn decoder(&self) -> Result<Decoder, LoadError> {
        self.autoencoder.decoder()
    }

    /// The autoencoder, if it is quick enough for previews and on the device anyway.
    pub fn quick_decoder(&self) -> Option<Decoder> {
        self.autoencoder.quick()
    }

    /// Whether guidance takes a second prediction from this model.
    pub fn is_guided(&self, guidance: Guidance) -> bool {
        guidance.is_on() && !self.is_distilled
    }

    /// The model with its [`unet`](Self::unet) as samplers see it, for `batch` pictures of one prompt with latents of `shape` (height and width).
    pub fn denoiser(
        &self,
        unet: Rc<UNet>,
        conditioning: &Conditioning,
        guidance: Guidance,
        batch: usize,
        shape: [usize; 2],
        sizes: MicroConditioning,
    ) -> Result<Denoiser, InputError> {
        let leads: Vec<&Lead> = conditioning.negative.iter().chain([&conditioning.positive]).collect();
        let context = Tensor::cat(leads.iter().map(|lead| lead.context.clone().repeat_dim(0, batch)).collect(), 0);
        let pooled: Vec<_> =
            leads.iter().filter_map(|lead| lead.pooled.clone()).map(|pooled| pooled.repeat_dim(0, batch)).collect();
        let rows = leads.len() * batch;
        let device = &self.compute.device;
        let embedding = |features| guidance_embedding(&vec![(guidance.scale - 1.0) as f32; rows], features, device);
        let denoiser = Denoiser {
            unet,
            prediction: self.scheduler.prediction(),
            guidance,
            context,
            pooled: if pooled.is_empty() { None } else { Some(Tensor::cat(pooled, 0)) },
            numbers: vec![sizes.numbers(); rows],
            embedding: self.facts.guidance_features.map(embedding),
            passes: leads.len(),
            rows_at_once: self.rows_at_once(shape),
            guess: RefCell::new(None),
        };
        // One look at an input of the right shape, so that nothing can go wrong in the middle of a run.
        let [height, width] = shape;
        let sample = Tensor::zeros([rows, self.latent.channels, height, width], device);
        denoiser.unet.accepts(&denoiser.input(sample, &[0.0], 0, rows))?;
        Ok(denoiser)
    }

    fn rows_at_once(&self, [height, width]: [usize; 2]) -> usize {
        let bytes = self.facts.widest.saturating_mul(self.compute.precision.bytes());
        let points = points_at_once(self.compute.info.kind);
        rows_of(height.saturating_mul(width), points, bytes, self.compute.info.largest_buffer)
    }

    /// Decodes clean latents to pictures `[batch, 3, height, width]`, nominally from 0 to 1 and not yet held to that: a
    /// clamp on the device could turn what is not a number into one.
    pub fn decode(&self, decoder: &Decoder, latents: Tensor<4>) -> Tensor<4> {
        decoder.decode(self.latent.to_vae(latents)) / 2.0 + 0.5
    }

    /// The precision that the autoencoder computes in.
    pub fn decoder_precision(&self) -> Precision {
        self.autoencoder.precision()
    }

    /// Has the autoencoder decode in smaller tiles than it must, or no longer: for devices that have little memory left.
    pub fn spare(&mut self, is_sparing: bool) {
        self.autoencoder.spare(is_sparing);
    }

    /// Makes the autoencoder compute in f32 from now on.
    pub fn widen_decoder(&mut self) {
        self.autoencoder.widen();
    }

    /// The device that the model is on.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// Burn's handle of that device.
    pub fn device(&self) -> &Device {
        &self.compute.device
    }
}

/// How many latent points the UNet sees at once on a device.
pub(super) fn points_at_once(kind: DeviceKind) -> usize {
    match kind {
        DeviceKind::Cpu | DeviceKind::Software => POINTS_ON_CPU,
        DeviceKind::Discrete | DeviceKind::Integrated | DeviceKind::Virtual => POINTS_ON_GPU,
    }
}

/// How many rows of `area` points go through the UNet at once: as many as have so many points, and as its widest activation, of
/// `bytes` per point, finds a buffer for.
fn rows_of(area: usize, points: usize, bytes: usize, largest_buffer: Option<u64>) -> usize {
    let area = area.max(1);
    let room = largest_buffer.map_or(u64::MAX, |most| most / (area as u64).saturating_mul(bytes as u64).max(1));
    (points / area).min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
}

/// The text encoders of a model.
pub struct Reader<'a> {
    model: &'a LatentDiffusion,
    networks: Vec<Rc<ClipText>>,
}

impl Reader<'_> {
    /// Encodes prompts; the negative one only if the guidance is on.
    pub fn condition(&self, prompts: &Prompts, guidance: Guidance) -> Result<Conditioning, PromptError> {
        let Self { model, networks } = self;
        model.text.encode(networks, prompts, model.is_guided(guidance), &model.compute.device)
    }
}

/// A model led by a prompt.
pub struct Denoiser {
    unet: Rc<UNet>,
    prediction: Prediction,
    guidance: Guidance,
    /// One row per picture and prompt: all pictures with the negative prompt, if there is one, then all with the prompt.
    context: Tensor<3>,
    pooled: Option<Tensor<2>>,
    numbers: Vec<Vec<f32>>,
    embedding: Option<Tensor<2>>,
    /// 2 with guidance, 1 without.
    passes: usize,
    rows_at_once: usize,
    /// What was predicted last.
    guess: RefCell<Option<Tensor<4>>>,
}

impl Denoiser {
    /// The clean latents that were predicted last, once.
    pub(crate) fn take_guess(&self) -> Option<Tensor<4>> {
        self.guess.take()
    }

    /// The UNet's input for rows `start` up to `end`, `sample` being theirs.
    fn input<'a>(&'a self, sample: Tensor<4>, timesteps: &'a [f32], start: usize, end: usize) -> UNetInput<'a> {
        let count = end - start;
        let added = self.pooled.as_ref().map(|pooled| AddedConditioning {
            text: pooled.clone().narrow(0, start, count),
            numbers: self.numbers.get(start..end).unwrap_or_default(),
        });
        UNetInput {
            sample,
            timesteps,
            context: self.context.clone().narrow(0, start, count),
            added,
            guidance: self.embedding.as_ref().map(|embedding| embedding.clone().narrow(0, start, count)),
            control: None,
        }
    }
}

impl Denoise for Denoiser {
    fn denoise(&self, x: Tensor<4>, at: Level) -> Tensor<4> {
        let batch = x.dims()[0];
        let rows = (x.clone() * input_scale(at)).repeat_dim(0, self.passes);
        let timesteps = [at.timestep as f32];
        let all = batch * self.passes;
        let mut outputs = Vec::new();
        for start in (0..all).step_by(self.rows_at_once) {
            let end = (start + self.rows_at_once).min(all);
            let some = rows.clone().narrow(0, start, end - start);
            outputs.push(self.unet.forward(self.input(some, &timesteps, start, end)));
        }
        let output = Tensor::cat(outputs, 0);
        let output = if self.passes == 2 {
            let positive = output.clone().narrow(0, batch, batch);
            self.guidance.combine(output.narrow(0, 0, batch), positive)
        } else {
            output
        };
        let clean = self.prediction.clean(output, x, at);
        self.guess.replace(Some(clean.clone()));
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stable Diffusion 1, whose widest activation has 1280 numbers per point.
    #[test]
    fn rows_fit_the_points_and_the_buffers() {
        let rows = |side: usize, precision: Precision, most| rows_of(side * side, POINTS_ON_GPU, 1280 * precision.bytes(), most);
        let usual = Some(128 << 20);
        for (side, precision, most, expected) in [
            (64, Precision::F32, None, 16),
            (64, Precision::F32, Some(2 << 30), 16),
            (64, Precision::F16, usual, 12),
            (64, Precision::F32, usual, 6),
            (128, Precision::F32, usual, 1),
            // One row is the least, whatever there is.
            (1024, Precision::F32, usual, 1),
            (1, Precision::F32, Some(0), 1),
        ] {
            assert_eq!(rows(side, precision, most), expected, "{side} in {precision}, buffers of {most:?}");
        }
    }
}
