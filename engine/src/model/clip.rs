//! CLIP's text transformer: token numbers to one vector per token, and one for the whole prompt.
//!
//! Equal to `CLIPTextModel` and `CLIPTextModelWithProjection` of transformers. SD 1 takes the last layer's output of
//! CLIP-L, SD 2 the last but one of OpenCLIP-H, SDXL the last but one of CLIP-L and of OpenCLIP-bigG, and the latter's
//! pooled output.

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use serde::Deserialize;

use super::activation::Activation;
use super::config::{Check, ConfigError, MAX_SIZE, OneOrMany, parse};
use super::layer::{Bias, Embedding, LayerNorm, Linear};
use crate::kernel::{Mask, attention_heads};
use crate::weights::KeyMap;

/// Configurations before 2023 carry this end-of-text id, which is wrong; transformers then takes the largest id of
/// the prompt, which is right as long as no tokens have been added.
const LEGACY_EOS: i64 = 2;

/// `text_encoder/config.json`, with transformers' defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ClipConfig {
    /// How many tokens there are.
    pub vocab_size: usize,
    /// Features per token.
    pub hidden_size: usize,
    /// Features inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Features of the projected pooled output.
    pub projection_dim: Option<usize>,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads; they divide `hidden_size`.
    pub num_attention_heads: usize,
    /// The longest prompt, in tokens.
    pub max_position_embeddings: usize,
    /// The feed-forward layers' non-linearity, as in [`Activation::parse`].
    pub hidden_act: String,
    /// The norms' epsilon.
    pub layer_norm_eps: f64,
    /// The token that ends a prompt.
    pub eos_token_id: Option<OneOrMany<i64>>,
    /// The class that wrote the file: tells whether there is a projection.
    pub architectures: Option<Vec<String>>,
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            projection_dim: Some(512),
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
            eos_token_id: Some(OneOrMany::One(49407)),
            architectures: None,
        }
    }
}

impl ClipConfig {
    /// Parses a `config.json`.
    ///
    /// # Errors
    /// Where the text is no such configuration. Its values are checked by [`ClipText::new`].
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        parse("text encoder", text)
    }

    /// Whether the file says that it is a `CLIPTextModelWithProjection`.
    pub fn has_projection(&self) -> bool {
        let class = |name: &String| name == "CLIPTextModelWithProjection";
        self.architectures.as_ref().is_some_and(|names| names.iter().any(class))
    }

    fn eos(&self) -> i64 {
        match &self.eos_token_id {
            Some(OneOrMany::One(id)) => *id,
            Some(OneOrMany::Many(ids)) => ids.first().copied().unwrap_or(LEGACY_EOS),
            None => LEGACY_EOS,
        }
    }
}

/// The text encoder.
#[derive(Module, Debug)]
pub struct ClipText {
    text_model: TextModel,
    text_projection: Option<Linear>,
    #[module(skip)]
    facts: Facts,
}

/// What the forward pass needs besides parameters.
#[derive(Clone, Debug)]
struct Facts {
    vocab: usize,
    positions: usize,
    features: usize,
    eos: i64,
}

#[derive(Module, Debug)]
struct TextModel {
    embeddings: Embeddings,
    encoder: Encoder,
    final_layer_norm: LayerNorm,
}

#[derive(Module, Debug)]
struct Embeddings {
    token_embedding: Embedding,
    position_embedding: Embedding,
}

#[derive(Module, Debug)]
struct Encoder {
    layers: Vec<Layer>,
}

#[derive(Module, Debug)]
struct Layer {
    layer_norm1: LayerNorm,
    self_attn: SelfAttention,
    layer_norm2: LayerNorm,
    mlp: Mlp,
}

#[derive(Module, Debug)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    heads: usize,
}

#[derive(Module, Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    activation: Activation,
}

/// What the text encoder says about a batch of prompts, in f32.
#[derive(Clone, Debug)]
pub struct ClipOutput {
    /// `[batch, tokens, features]` before the first layer and after each: one more than there are layers. None is
    /// normalised.
    pub hidden_states: Vec<Tensor<3>>,
    /// The last of them, normalised.
    pub last: Tensor<3>,
    /// The normalised last state at each prompt's end, `[batch, features]`; projected where the model has a
    /// projection.
    pub pooled: Tensor<2>,
}

impl ClipOutput {
    /// The state after the last layer but `back`: 0 is the last layer's, 1 the penultimate's. `None` beyond the
    /// embedding.
    pub fn from_last(&self, back: usize) -> Option<Tensor<3>> {
        let index = self.hidden_states.len().checked_sub(back + 1)?;
        self.hidden_states.get(index).cloned()
    }
}

/// Token numbers that the encoder cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// No prompt, or prompts of different lengths.
    #[error("prompts of one batch must have the same number of tokens, at least one; these have {0:?}")]
    Ragged(Vec<usize>),
    /// A prompt is too long.
    #[error("a prompt has {tokens} tokens, and this text encoder takes {positions} at a time")]
    TooLong {
        /// Its length.
        tokens: usize,
        /// The limit.
        positions: usize,
    },
    /// A token that the encoder has no vector for.
    #[error("token {id} is outside the text encoder's vocabulary of {vocab}: tokenizer and text encoder do not belong together")]
    Unknown {
        /// The token.
        id: u32,
        /// How many there are.
        vocab: usize,
    },
}

impl ClipText {
    /// An empty encoder; with a projection where [`ClipConfig::has_projection`] says so.
    ///
    /// # Errors
    /// Where a value of the configuration is unknown or out of range.
    pub fn new(config: &ClipConfig, device: &Device) -> Result<Self, ConfigError> {
        let check = Check("text encoder");
        let features = check.size("hidden_size", config.hidden_size)?;
        let inner = check.size("intermediate_size", config.intermediate_size)?;
        let vocab = check.size("vocab_size", config.vocab_size)?;
        let positions = check.size("max_position_embeddings", config.max_position_embeddings)?;
        let layers = check.layers("num_hidden_layers", config.num_hidden_layers)?;
        let heads = config.num_attention_heads;
        check.divides("num_attention_heads", heads, "hidden_size", features)?;
        let epsilon = check.positive("layer_norm_eps", config.layer_norm_eps)?;
        let activation = Activation::parse(&config.hidden_act)
            .ok_or_else(|| check.unsupported("hidden_act", &config.hidden_act, Activation::supported()))?;
        let text_projection = match (config.has_projection(), config.projection_dim) {
            (false, _) => None,
            (true, Some(size)) => {
                check.size("projection_dim", size)?;
                Some(Linear::new(features, size, Bias::Without, device))
            }
            (true, None) => {
                return Err(check.invalid("projection_dim", "null", format_args!("it must be between 1 and {MAX_SIZE}")));
            }
        };
        let linear = |inputs, outputs| Linear::new(inputs, outputs, Bias::With, device);
        let layer = || Layer {
            layer_norm1: LayerNorm::new(features, epsilon, device),
            self_attn: SelfAttention {
                q_proj: linear(features, features),
                k_proj: linear(features, features),
                v_proj: linear(features, features),
                out_proj: linear(features, features),
                heads,
            },
            layer_norm2: LayerNorm::new(features, epsilon, device),
            mlp: Mlp { fc1: linear(features, inner), fc2: linear(inner, features), activation },
        };
        Ok(Self {
            text_model: TextModel {
                embeddings: Embeddings {
                    token_embedding: Embedding::new(vocab, features, device),
                    position_embedding: Embedding::new(positions, features, device),
                },
                encoder: Encoder { layers: (0..layers).map(|_| layer()).collect() },
                final_layer_norm: LayerNorm::new(features, epsilon, device),
            },
            text_projection,
            facts: Facts { vocab, positions, features, eos: config.eos() },
        })
    }

    /// How files call the parameters: with `text_model.` in front, as most have it, or without, as transformers 5
    /// writes them.
    pub fn keys() -> KeyMap {
        KeyMap::identity().or(|name| name.strip_prefix("text_model.").map(str::to_owned))
    }

    /// Features per token.
    pub fn features(&self) -> usize {
        self.facts.features
    }

    /// The longest prompt, in tokens.
    pub fn positions(&self) -> usize {
        self.facts.positions
    }

    /// Encodes a batch of prompts, given as token numbers including the ones that begin and end a prompt.
    ///
    /// # Errors
    /// Where prompts differ in length, are too long, or have tokens that the encoder does not know.
    pub fn forward(&self, prompts: &[Vec<u32>], device: &Device) -> Result<ClipOutput, TokensError> {
        let tokens = self.check(prompts)?;
        let flat: Vec<i32> = prompts.iter().flatten().map(|id| id.cast_signed()).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(flat, [prompts.len(), tokens]), device);

        let embeddings = &self.text_model.embeddings;
        let positions = embeddings.position_embedding.first(tokens);
        let mut x = embeddings.token_embedding.forward(ids) + positions.unsqueeze();
        let mut hidden_states = vec![x.clone().cast(FloatDType::F32)];
        for layer in &self.text_model.encoder.layers {
            x = layer.forward(x);
            hidden_states.push(x.clone().cast(FloatDType::F32));
        }
        let last = self.text_model.final_layer_norm.forward(x);

        let ends = prompts.iter().enumerate().map(|(row, ids)| {
            let end = end_of(ids, self.facts.eos);
            last.clone().slice([row..row + 1, end..end + 1]).squeeze_dim::<2>(1)
        });
        let pooled = Tensor::cat(ends.collect(), 0);
        let pooled = match &self.text_projection {
            Some(projection) => projection.rows(pooled),
            None => pooled,
        };
        Ok(ClipOutput { hidden_states, last: last.cast(FloatDType::F32), pooled: pooled.cast(FloatDType::F32) })
    }

    /// The norm behind the last layer, for states from before it (`clip skip`). f32 in and out.
    pub fn final_norm(&self, state: Tensor<3>) -> Tensor<3> {
        let dtype = self.text_model.embeddings.token_embedding.dtype();
        self.text_model.final_layer_norm.forward(state.cast(dtype)).cast(FloatDType::F32)
    }

    /// The common length of the prompts.
    fn check(&self, prompts: &[Vec<u32>]) -> Result<usize, TokensError> {
        let Facts { vocab, positions, .. } = self.facts;
        let tokens = prompts.first().map_or(0, Vec::len);
        if tokens == 0 || prompts.iter().any(|ids| ids.len() != tokens) {
            return Err(TokensError::Ragged(prompts.iter().map(Vec::len).collect()));
        }
        if tokens > positions {
            return Err(TokensError::TooLong { tokens, positions });
        }
        match prompts.iter().flatten().find(|id| **id as usize >= vocab) {
            Some(id) => Err(TokensError::Unknown { id: *id, vocab }),
            None => Ok(tokens),
        }
    }
}

/// Where a prompt ends, as transformers finds it: at the first end-of-text token, or, for configurations with the
/// legacy id, at the largest id. Both fall back on the first place.
fn end_of(ids: &[u32], eos: i64) -> usize {
    if eos == LEGACY_EOS {
        // The first of equals, where `max_by_key` would take the last.
        let largest = ids.iter().max();
        ids.iter().position(|id| Some(id) == largest).unwrap_or(0)
    } else {
        ids.iter().position(|id| i64::from(*id) == eos).unwrap_or(0)
    }
}

impl Layer {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.self_attn.forward(self.layer_norm1.forward(x));
        let inner = self.mlp.activation.apply(self.mlp.fc1.tokens(self.layer_norm2.forward(x.clone())));
        x + self.mlp.fc2.tokens(inner)
    }
}

impl SelfAttention {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let q = self.q_proj.tokens(x.clone());
        let k = self.k_proj.tokens(x.clone());
        let v = self.v_proj.tokens(x);
        self.out_proj.tokens(attention_heads(q, k, v, self.heads, Mask::Causal))
    }
}
