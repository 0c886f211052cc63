//! What each network of a model makes of a fixed input: two copies of a model that agree on it are one model, and how far
//! they are apart is what rounding did to the weights.

use burn::tensor::{Tensor, TensorData};
use encaustic_protocol::Rng;

use super::{LatentDiffusion, LoadError};
use crate::error::GenerateError;
use crate::model::unet::{AddedConditioning, UNetInput};
use crate::noise::Generator;
use crate::prompt::{filler, split};
use crate::readback::{self, Floats};

/// What the text encoders read.
const PROMPT: &str = "a photograph of an astronaut riding a horse on a lighthouse above a blue square";
/// The seed of all noise.
const SEED: u64 = 1;
/// Text vectors that the UNet reads.
const TOKENS: usize = 77;
/// A side of latents: small, so that this takes less than a step does, and more than the smallest of any UNet.
const SIDE: usize = 16;
/// The time at which the UNet looks at its input: about the middle of all noise levels.
const TIMESTEP: f32 = 500.0;
/// The six sizes that XL is told.
const SIZES: [f32; 6] = [1024.0, 1024.0, 0.0, 0.0, 1024.0, 1024.0];

impl LatentDiffusion {
    /// The networks that [`probe`](Self::probe) knows, in the order of a run.
    pub fn networks(&self) -> Vec<&'static str> {
        self.text.encoders.iter().map(|encoder| encoder.recipe.folder).chain(["unet", "vae"]).collect()
    }

    /// Runs one network on an input that is the same every time: a text encoder on a prompt, the UNet on noise at the
    /// middle of the schedule with noise for text, the autoencoder's decoder on noise for latents. `None` for an unknown
    /// name.
    ///
    /// # Errors
    /// If the network cannot be read, or the device fails.
    pub async fn probe(&self, network: &str) -> Result<Option<Floats>, GenerateError> {
        let output = match network {
            "unet" => self.probe_unet()?,
            "vae" => {
                let latents = self.noise([1, self.latent.channels, SIDE, SIDE]);
                flat(self.decode(&self.decoder().map_err(boxed)?, latents))
            }
            _ => match self.probe_text(network)? {
                Some(output) => output,
                None => return Ok(None),
            },
        };
        Ok(Some(readback::floats(output).await?))
    }

    fn probe_text(&self, folder: &str) -> Result<Option<Tensor<1>>, GenerateError> {
        let Some(encoder) = self.text.encoders.iter().find(|encoder| encoder.recipe.folder == folder) else { return Ok(None) };
        let tokenizer = &encoder.tokenizer;
        let window = tokenizer.window(encoder.positions);
        let chunks = split(&tokenizer.tokens(PROMPT).map_err(super::PromptError::from)?, tokenizer, window);
        let chunk = chunks.into_iter().next().unwrap_or_else(|| filler(tokenizer, window));
        let network = encoder.network.get().map_err(boxed)?;
        let output = network.forward(&[chunk.ids], self.device()).map_err(super::PromptError::from)?;
        Ok(Some(flat(output.last)))
    }

    fn probe_unet(&self) -> Result<Tensor<1>, GenerateError> {
        let facts = self.facts();
        let side = facts.least_size.next_multiple_of(SIDE);
        let features = facts.added.map(|added| added.total.saturating_sub(added.per_number * SIZES.len()));
        let numbers = [SIZES.to_vec()];
        let added = features.map(|features| AddedConditioning { text: self.noise([1, features]), numbers: &numbers });
        let input = UNetInput {
            sample: self.noise([1, facts.in_channels, side, side]),
            timesteps: &[TIMESTEP],
            context: self.noise([1, TOKENS, facts.context_features]),
            added,
            guidance: None,
            control: None,
        };
        let unet = self.unet().map_err(boxed)?;
        unet.accepts(&input)?;
        Ok(flat(unet.forward(input)))
    }

    /// Unit normal numbers.
    fn noise<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let values = Generator::new(Rng::Nv, SEED).normal(shape.iter().product());
        Tensor::from_data(TensorData::new(values, shape), self.device())
    }
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count: usize = tensor.dims().iter().product();
    tensor.reshape([count])
}

fn boxed(error: LoadError) -> GenerateError {
    Box::new(error).into()
}
