//! From prompts to what a UNet is led by.

use std::rc::Rc;

use burn::tensor::{Device, Tensor};

use super::files::LoadError;
use super::part::Part;
use super::{Encoder, Layer, Pooled};
use crate::model::clip::{ClipOutput, ClipText, TokensError};
use crate::prompt::{Chunk, Tokenizer, TokenizerError, filler, split};

/// How many windows a text encoder reads at once; its layers' outputs are all kept until they are done.
const WINDOWS_AT_ONCE: usize = 16;

/// The texts that describe a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompts {
    /// What it shows.
    pub positive: String,
    /// What it should not show; read only where guidance is on.
    pub negative: String,
    /// Another positive prompt for the second text encoder; without it, or if it is empty, the first one's.
    pub positive_2: Option<String>,
    /// Another negative prompt for the second text encoder, likewise.
    pub negative_2: Option<String>,
    /// Which layer of the text encoders to read for the positive prompts, counted back from the one that the model was
    /// trained with, which is 1.
    pub clip_skip: u32,
}

/// Prompts that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The tokenizer failed.
    #[error("prompt: {0}")]
    Tokenizer(#[from] TokenizerError),
    /// The text encoder does not take the tokens.
    #[error("prompt: {0}")]
    Tokens(#[from] TokensError),
    /// There is no such layer.
    #[error("clip_skip: {asked} is not allowed with this model; use a whole number from 1 to {most}")]
    ClipSkip {
        /// What was asked for.
        asked: u32,
        /// The most that the text encoders have layers for.
        most: usize,
    },
}

/// What leads the UNet, for the prompt and, where guidance is on, for the negative prompt. f32.
#[derive(Clone, Debug)]
pub struct Conditioning {
    /// The prompt.
    pub positive: Lead,
    /// The negative prompt.
    pub negative: Option<Lead>,
}

/// One prompt, encoded.
#[derive(Clone, Debug)]
pub struct Lead {
    /// Text vectors, `[1, tokens, features]`.
    pub context: Tensor<3>,
    /// Pooled text, `[1, features]`, where the UNet takes it.
    pub pooled: Option<Tensor<2>>,
}

impl Lead {
    /// The same in zeros.
    fn zeros(&self) -> Self {
        Self { context: self.context.zeros_like(), pooled: self.pooled.as_ref().map(Tensor::zeros_like) }
    }
}

/// The sizes that SDXL is told a picture to have had, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MicroConditioning {
    /// Height and width before it was scaled for training.
    pub original: [f32; 2],
    /// How much was cut off at the top and at the left.
    pub crop: [f32; 2],
    /// Height and width after that.
    pub target: [f32; 2],
}

impl MicroConditioning {
    /// The numbers in the order in which the UNet takes them.
    pub fn numbers(&self) -> Vec<f32> {
        [self.original, self.crop, self.target].concat()
    }
}

/// A text encoder with its tokenizer.
#[derive(Debug)]
pub(super) struct TextEncoder {
    pub(super) network: Part<ClipText>,
    /// Features of its text vectors.
    pub(super) features: usize,
    /// The most tokens that it reads at once.
    pub(super) positions: usize,
    pub(super) tokenizer: Rc<Tokenizer>,
    pub(super) recipe: Encoder,
}

/// Windows of the positive and of the negative prompt, for one encoder.
struct Windows {
    positive: Vec<Chunk>,
    negative: Option<Vec<Chunk>>,
}

/// All text encoders of a model, side by side.
#[derive(Debug)]
pub(super) struct TextEncoders {
    pub(super) encoders: Vec<TextEncoder>,
    /// Whether an empty negative prompt means zeros instead of the encoding of nothing.
    pub(super) zeros_for_empty: bool,
}

impl TextEncoders {
    /// Features of the joined text vectors.
    pub(super) fn features(&self) -> usize {
        self.encoders.iter().map(|encoder| encoder.features).sum()
    }

    /// How many tokens are read together, marks included: all encoders read windows of one length, or their features could
    /// not be joined.
    pub(super) fn window(&self) -> usize {
        self.encoders.iter().map(|encoder| encoder.tokenizer.window(encoder.positions)).min().unwrap_or(0)
    }

    /// The networks, ready to read.
    pub(super) fn networks(&self) -> Result<Vec<Rc<ClipText>>, LoadError> {
        self.encoders.iter().map(|encoder| encoder.network.get()).collect()
    }

    /// Encodes the prompts with the [`networks`](Self::networks); the negative one only where `guided`.
    pub(super) fn encode(
        &self,
        networks: &[Rc<ClipText>],
        prompts: &Prompts,
        guided: bool,
        device: &Device,
    ) -> Result<Conditioning, PromptError> {
        let windows = self.windows(prompts, guided)?;
        let mut positive = Vec::new();
        let mut negative = Vec::new();
        for ((encoder, network), windows) in self.encoders.iter().zip(networks).zip(windows) {
            positive.push(encoder.lead(network, windows.positive, prompts.clip_skip, device)?);
            if let Some(windows) = windows.negative {
                // As in diffusers, only the prompt itself is read at another layer.
                negative.push(encoder.lead(network, windows, 1, device)?);
            }
        }
        let positive = side_by_side(positive);
        let is_empty = prompts.negative.is_empty() && prompts.negative_2.as_deref().unwrap_or_default().is_empty();
        let negative = if guided && is_empty && self.zeros_for_empty {
            Some(positive.zeros())
        } else {
            guided.then(|| side_by_side(negative))
        };
        Ok(Conditioning { positive, negative })
    }

    /// Cuts the prompts into windows for each encoder, as many for each.
    fn windows(&self, prompts: &Prompts, guided: bool) -> Result<Vec<Windows>, PromptError> {
        let window = self.window();
        let second = |other: &Option<String>, first: &str| match other.as_deref() {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => first.to_owned(),
        };
        let mut all = Vec::new();
        for (index, encoder) in self.encoders.iter().enumerate() {
            let (positive, negative) = if index == 0 {
                (prompts.positive.clone(), prompts.negative.clone())
            } else {
                (second(&prompts.positive_2, &prompts.positive), second(&prompts.negative_2, &prompts.negative))
            };
            let tokenizer = &encoder.tokenizer;
            let cut = |text: &str| Ok::<_, PromptError>(split(&tokenizer.tokens(text)?, tokenizer, window));
            all.push(Windows { positive: cut(&positive)?, negative: if guided { Some(cut(&negative)?) } else { None } });
        }
        let lists = all.iter().flat_map(|windows| [Some(&windows.positive), windows.negative.as_ref()]);
        let most = lists.flatten().map(Vec::len).max().unwrap_or(1);
        for (encoder, windows) in self.encoders.iter().zip(&mut all) {
            let empty = filler(&encoder.tokenizer, window);
            windows.positive.resize(most, empty.clone());
            if let Some(negative) = &mut windows.negative {
                negative.resize(most, empty);
            }
        }
        Ok(all)
    }
}

impl TextEncoder {
    /// Encodes the windows of one prompt. What is pooled comes from the first.
    fn lead(&self, network: &ClipText, windows: Vec<Chunk>, clip_skip: u32, device: &Device) -> Result<Lead, PromptError> {
        let windows: Vec<_> = windows.into_iter().map(|chunk| chunk.ids).collect();
        let mut states = Vec::new();
        let mut pooled = None;
        for some in windows.chunks(WINDOWS_AT_ONCE) {
            let output = network.forward(some, device)?;
            states.push(self.state(network, &output, clip_skip)?);
            pooled = pooled.or_else(|| Some(output.pooled.narrow(0, 0, 1)));
        }
        let states = Tensor::cat(states, 0);
        let [count, tokens, features] = states.dims();
        let pooled = pooled.filter(|_| self.recipe.pooled == Pooled::Conditions);
        // Windows lie one behind the other.
        Ok(Lead { context: states.reshape([1, count * tokens, features]), pooled })
    }

    fn state(&self, network: &ClipText, output: &ClipOutput, clip_skip: u32) -> Result<Tensor<3>, PromptError> {
        let usual = match self.recipe.layer {
            Layer::LastNormed => 0,
            Layer::Penultimate => 1,
        };
        // The first of the states is what goes into the first layer.
        let most = output.hidden_states.len().saturating_sub(1 + usual);
        let back = usual + (clip_skip.max(1) - 1) as usize;
        let state = if back < usual + most { output.from_last(back) } else { None };
        let state = state.ok_or(PromptError::ClipSkip { asked: clip_skip, most })?;
        Ok(match self.recipe.layer {
            Layer::LastNormed if back == 0 => output.last.clone(),
            Layer::LastNormed => network.final_norm(state),
            Layer::Penultimate => state,
        })
    }
}

/// The features of several encoders side by side.
fn side_by_side(leads: Vec<Lead>) -> Lead {
    let (contexts, pooled): (Vec<_>, Vec<_>) = leads.into_iter().map(|lead| (lead.context, lead.pooled)).unzip();
    let pooled: Vec<_> = pooled.into_iter().flatten().collect();
    Lead { context: Tensor::cat(contexts, 2), pooled: if pooled.is_empty() { None } else { Some(Tensor::cat(pooled, 1)) } }
}
