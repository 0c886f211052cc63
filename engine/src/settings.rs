//! A request with everything filled in: what is to be done, exactly.
//!
//! A setting comes from the request, else from the model's own settings (`encaustic.json`), else from its other
//! configurations, else from its family.

use encaustic_protocol::{Invalid, Request, Rng, validate};

use crate::catalog::catalog;
use crate::error::GenerateError;
use crate::family::{Defaults, LatentDiffusion, MicroConditioning, Prompts};
use crate::guidance::Guidance;
use crate::noise::Noise;
use crate::sampling::{self, Sampler, SamplerKind, SamplerOptions, SamplingError};
use crate::schedule::{self, ScheduleKind};

/// What to make and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The texts.
    pub prompts: Prompts,
    /// The seed of the first picture.
    pub seed: u64,
    /// How many pictures.
    pub batch: usize,
    /// Their width in pixels.
    pub width: u32,
    /// Their height in pixels.
    pub height: u32,
    /// Denoising steps.
    pub steps: usize,
    /// How the prompt leads.
    pub guidance: Guidance,
    /// The sampler.
    pub sampler: SamplerKind,
    /// The schedule, or the named one that comes closest to the model's own.
    pub schedule: ScheduleKind,
    /// Whose random numbers.
    pub rng: Rng,
    /// How much noise each step adds, if not the sampler's own share.
    pub eta: Option<f64>,
    /// The sizes that SDXL is told.
    pub sizes: MicroConditioning,
    /// The sampler and schedule that were asked for; where none was, the model's configuration decides, in more detail
    /// than names can.
    asked: (Option<SamplerKind>, Option<ScheduleKind>),
}

/// What models that were distilled to a few steps do best.
const DISTILLED: Defaults = Defaults { steps: 4, cfg: 8.0 };
/// The same for samplers that such models use with guidance of the usual kind.
const FEW_STEPS: Defaults = Defaults { steps: 4, cfg: 1.5 };

/// Fills in what `request` leaves open; `seed` is taken if it names none.
pub fn resolve(request: &Request, model: &LatentDiffusion, seed: u64) -> Result<Settings, GenerateError> {
    validate(request, &catalog()).map_err(GenerateError::Invalid)?;
    let own = &model.defaults;
    let sampler = request.sampler.as_ref().or(own.sampler.as_ref());
    let schedule = request.schedule.as_ref().or(own.schedule.as_ref());
    let asked = (
        sampler.map(|name| sampling::parse(name)).transpose()?,
        schedule.map(|name| schedule::parse(name)).transpose().map_err(SamplingError::from)?,
    );
    let defaults = match asked.0.unwrap_or_else(|| SamplerKind::of(&model.scheduler)) {
        _ if model.is_distilled => DISTILLED,
        SamplerKind::Lcm | SamplerKind::Tcd => FEW_STEPS,
        _ => model.family.defaults,
    };
    let width = request.width.or(own.width).unwrap_or(model.size[0]);
    let height = request.height.or(own.height).unwrap_or(model.size[1]);
    whole_latents(model, width, height)?;
    let pixels = |value: Option<u32>, otherwise: u32| value.unwrap_or(otherwise) as f32;
    let mut settings = Settings {
        prompts: Prompts {
            positive: request.prompt.clone(),
            negative: request.negative.clone(),
            positive_2: request.prompt_2.clone(),
            negative_2: request.negative_2.clone(),
            clip_skip: request.clip_skip.or(own.clip_skip).unwrap_or(1),
        },
        seed: request.seed.unwrap_or(seed),
        batch: request.batch as usize,
        width,
        height,
        steps: request.steps.or(own.steps).unwrap_or(defaults.steps) as usize,
        guidance: Guidance {
            scale: request.cfg.or(own.cfg).unwrap_or(defaults.cfg),
            rescale: request.guidance_rescale.or(own.guidance_rescale).unwrap_or(0.0),
        },
        sampler: SamplerKind::of(&model.scheduler),
        schedule: ScheduleKind::Automatic,
        rng: request.rng,
        eta: request.eta.or(own.eta),
        sizes: MicroConditioning {
            original: [pixels(request.original_height, height), pixels(request.original_width, width)],
            crop: [request.crop_top as f32, request.crop_left as f32],
            target: [pixels(request.target_height, height), pixels(request.target_width, width)],
        },
        asked,
    };
    let run = settings.plan(model)?;
    (settings.sampler, settings.schedule) = (run.kind, run.schedule);
    Ok(settings)
}

/// A picture consists of whole latents.
fn whole_latents(model: &LatentDiffusion, width: u32, height: u32) -> Result<(), GenerateError> {
    let factor = model.latent.factor as u32;
    let fault = |(field, value): (&str, u32)| Invalid {
        field: field.to_owned(),
        value: value.to_string(),
        allowed: format!("a multiple of {factor} with this model"),
        nearest: None,
    };
    let sides = [("width", width), ("height", height)];
    let faults: Vec<_> = sides.into_iter().filter(|(_, side)| !side.is_multiple_of(factor)).map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(GenerateError::Invalid(faults)) }
}

impl Settings {
    /// The request that asks for just this, with nothing left open but the sizes that SDXL is told where they are the
    /// picture's own.
    pub fn request(&self) -> Request {
        let other = |told: f32, own: u32| (told != own as f32).then_some(told as u32);
        let MicroConditioning { original, crop, target } = self.sizes;
        Request {
            prompt: self.prompts.positive.clone(),
            negative: self.prompts.negative.clone(),
            seed: Some(self.seed),
            steps: u32::try_from(self.steps).ok(),
            cfg: Some(self.guidance.scale),
            sampler: Some(self.sampler.info().name.to_owned()),
            schedule: Some(self.schedule.info().name.to_owned()),
            width: Some(self.width),
            height: Some(self.height),
            batch: u32::try_from(self.batch).unwrap_or(1),
            clip_skip: Some(self.prompts.clip_skip),
            rng: self.rng,
            eta: self.eta,
            guidance_rescale: Some(self.guidance.rescale),
            prompt_2: self.prompts.positive_2.clone(),
            negative_2: self.prompts.negative_2.clone(),
            original_width: other(original[1], self.width),
            original_height: other(original[0], self.height),
            crop_left: crop[1] as u32,
            crop_top: crop[0] as u32,
            target_width: other(target[1], self.width),
            target_height: other(target[0], self.height),
        }
    }

    /// The seed of each picture.
    pub fn seeds(&self) -> Vec<u64> {
        Noise::seeds(self.seed, self.batch)
    }

    /// The seeds of pictures that are made together. Most samplers treat each picture of a batch as if it were alone;
    /// for those that do not, each is alone, so that no picture depends on its batch.
    pub fn lanes(&self) -> Vec<Vec<u64>> {
        let seeds = self.seeds();
        if self.sampler.info().couples_batch { seeds.into_iter().map(|seed| vec![seed]).collect() } else { vec![seeds] }
    }

    /// The shape of the latents of one picture: channels, height and width.
    pub fn latent_shape(&self, model: &LatentDiffusion) -> [usize; 3] {
        let [_, channels, height, width] = model.latent.shape(1, self.width as usize, self.height as usize);
        [channels, height, width]
    }

    /// A sampler at the beginning of its run.
    pub fn start(&self, model: &LatentDiffusion) -> Result<Box<dyn Sampler>, SamplingError> {
        Ok(self.plan(model)?.sampler)
    }

    fn plan(&self, model: &LatentDiffusion) -> Result<sampling::Run, SamplingError> {
        let (sampler, schedule) = self.asked;
        sampling::build(&sampling::Request {
            config: &model.scheduler,
            sampler,
            schedule,
            steps: self.steps,
            start: 0,
            aligned_to: model.family.aligned_to,
            options: &SamplerOptions { eta: self.eta, ..SamplerOptions::default() },
        })
    }
}
