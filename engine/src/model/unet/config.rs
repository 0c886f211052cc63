//! `unet/config.json`, checked and turned into a plan of the network.

use serde::Deserialize;

use super::embedding::{MlpShape, TimeFacts};
use super::{AddedFacts, UNetFacts};
use crate::model::activation::Activation;
use crate::model::attention::Scores;
use crate::model::config::{Check, ConfigError, MAX_LAYERS, OneOrMany, parse};
use crate::model::residual::DownsamplePadding;

/// The most levels that a network may have.
const MAX_LEVELS: usize = 16;

/// `unet/config.json`, with diffusers' defaults. Fields are documented there; those that only training uses are left
/// out, those that select what is not implemented are read to be refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct UNetConfig {
    pub in_channels: usize,
    pub out_channels: usize,
    pub center_input_sample: bool,
    pub flip_sin_to_cos: bool,
    pub freq_shift: f64,
    pub down_block_types: Vec<String>,
    pub mid_block_type: Option<String>,
    pub up_block_types: Vec<String>,
    pub only_cross_attention: OneOrMany<bool>,
    pub block_out_channels: Vec<usize>,
    pub layers_per_block: OneOrMany<usize>,
    pub downsample_padding: usize,
    pub mid_block_scale_factor: f64,
    pub act_fn: String,
    pub norm_num_groups: Option<usize>,
    pub norm_eps: f64,
    pub cross_attention_dim: OneOrMany<usize>,
    pub transformer_layers_per_block: OneOrMany<OneOrMany<usize>>,
    pub reverse_transformer_layers_per_block: Option<OneOrMany<OneOrMany<usize>>>,
    pub encoder_hid_dim: Option<usize>,
    pub encoder_hid_dim_type: Option<String>,
    pub attention_head_dim: OneOrMany<usize>,
    pub num_attention_heads: Option<OneOrMany<usize>>,
    pub dual_cross_attention: bool,
    pub class_embed_type: Option<String>,
    pub addition_embed_type: Option<String>,
    pub addition_time_embed_dim: Option<usize>,
    pub num_class_embeds: Option<usize>,
    pub upcast_attention: Option<bool>,
    pub resnet_time_scale_shift: String,
    pub time_embedding_type: String,
    pub time_embedding_dim: Option<usize>,
    pub time_embedding_act_fn: Option<String>,
    pub timestep_post_act: Option<String>,
    pub time_cond_proj_dim: Option<usize>,
    pub conv_in_kernel: usize,
    pub conv_out_kernel: usize,
    pub projection_class_embeddings_input_dim: Option<usize>,
    pub attention_type: String,
    pub cross_attention_norm: Option<String>,
}

impl Default for UNetConfig {
    fn default() -> Self {
        let names = |names: [&str; 4]| names.map(str::to_owned).to_vec();
        let (cross_down, cross_up) = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D");
        Self {
            in_channels: 4,
            out_channels: 4,
            center_input_sample: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            down_block_types: names([cross_down, cross_down, cross_down, "DownBlock2D"]),
            mid_block_type: Some("UNetMidBlock2DCrossAttn".into()),
            up_block_types: names(["UpBlock2D", cross_up, cross_up, cross_up]),
            only_cross_attention: OneOrMany::One(false),
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: OneOrMany::One(2),
            downsample_padding: 1,
            mid_block_scale_factor: 1.0,
            act_fn: "silu".into(),
            norm_num_groups: Some(32),
            norm_eps: 1e-5,
            cross_attention_dim: OneOrMany::One(1280),
            transformer_layers_per_block: OneOrMany::One(OneOrMany::One(1)),
            reverse_transformer_layers_per_block: None,
            encoder_hid_dim: None,
            encoder_hid_dim_type: None,
            attention_head_dim: OneOrMany::One(8),
            num_attention_heads: None,
            dual_cross_attention: false,
            class_embed_type: None,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            num_class_embeds: None,
            upcast_attention: None,
            resnet_time_scale_shift: "default".into(),
            time_embedding_type: "positional".into(),
            time_embedding_dim: None,
            time_embedding_act_fn: None,
            timestep_post_act: None,
            time_cond_proj_dim: None,
            conv_in_kernel: 3,
            conv_out_kernel: 3,
            projection_class_embeddings_input_dim: None,
            attention_type: "default".into(),
            cross_attention_norm: None,
        }
    }
}

/// What all blocks share.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) groups: usize,
    pub(super) epsilon: f64,
    pub(super) activation: Activation,
    /// Features of the time embedding.
    pub(super) time: usize,
    pub(super) downsample_padding: DownsamplePadding,
}

/// The transformers of a block.
#[derive(Clone, Debug)]
pub(super) struct TransformerPlan {
    pub(super) heads: usize,
    pub(super) context: usize,
    pub(super) only_cross: bool,
    pub(super) scores: Scores,
    /// Layers of each transformer, one per residual block.
    pub(super) depths: Vec<usize>,
}

/// A block on the way down or up.
#[derive(Clone, Debug)]
pub(super) struct BlockPlan {
    /// Channels into each residual block, skips included.
    pub(super) resnet_inputs: Vec<usize>,
    pub(super) outputs: usize,
    pub(super) transformer: Option<TransformerPlan>,
    /// Whether the size changes at its end.
    pub(super) resample: bool,
}

/// The middle.
#[derive(Clone, Debug)]
pub(super) struct MidPlan {
    pub(super) channels: usize,
    pub(super) scale: f64,
    pub(super) transformer: Option<TransformerPlan>,
}

/// A checked network.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) facts: UNetFacts,
    pub(super) common: Common,
    pub(super) conv_in_kernel: usize,
    pub(super) conv_out_kernel: usize,
    pub(super) time: MlpShape,
    pub(super) added: Option<MlpShape>,
    pub(super) down: Vec<BlockPlan>,
    pub(super) mid: Option<MidPlan>,
    pub(super) up: Vec<BlockPlan>,
}

/// Whether a block's name asks for transformers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Cross,
}

const CHECK: Check = Check("unet");

fn kind(field: &'static str, name: &str, plain: &str, cross: &str) -> Result<Kind, ConfigError> {
    // Very old configurations put `UNetRes` in front.
    match name.strip_prefix("UNetRes").unwrap_or(name) {
        name if name == plain => Ok(Kind::Plain),
        name if name == cross => Ok(Kind::Cross),
        _ => Err(CHECK.unsupported(field, name, format_args!("supported are {plain} and {cross}"))),
    }
}

impl UNetConfig {
    /// Parses a `config.json`.
    ///
    /// # Errors
    /// Where the text is no such configuration. Its values are checked by [`super::UNet::new`].
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        parse("unet", text)
    }

    /// Refuses what is not implemented.
    fn check_variants(&self) -> Result<(), ConfigError> {
        CHECK.absent("encoder_hid_dim_type", &self.encoder_hid_dim_type)?;
        CHECK.absent("encoder_hid_dim", &self.encoder_hid_dim)?;
        CHECK.absent("class_embed_type", &self.class_embed_type)?;
        CHECK.absent("num_class_embeds", &self.num_class_embeds)?;
        CHECK.absent("time_embedding_act_fn", &self.time_embedding_act_fn)?;
        CHECK.absent("timestep_post_act", &self.timestep_post_act)?;
        CHECK.absent("cross_attention_norm", &self.cross_attention_norm)?;
        let only = |field, value: &str, supported: &str| {
            if value == supported {
                return Ok(());
            }
            Err(CHECK.unsupported(field, value, format_args!("supported is {supported}")))
        };
        only("resnet_time_scale_shift", &self.resnet_time_scale_shift, "default")?;
        only("time_embedding_type", &self.time_embedding_type, "positional")?;
        only("attention_type", &self.attention_type, "default")?;
        if self.dual_cross_attention {
            return Err(CHECK.unsupported("dual_cross_attention", true, "supported is false"));
        }
        Ok(())
    }

    /// Checks everything and lays the network out.
    pub(super) fn plan(&self) -> Result<Plan, ConfigError> {
        self.check_variants()?;
        let channels = &self.block_out_channels;
        let levels = CHECK.within("block_out_channels", channels.len(), MAX_LEVELS)?;
        CHECK.per_block("down_block_types", &self.down_block_types, levels)?;
        CHECK.per_block("up_block_types", &self.up_block_types, levels)?;
        let per_level = self.per_level(levels)?;

        let Some(groups) = self.norm_num_groups else {
            return Err(CHECK.unsupported("norm_num_groups", "null", "a number is"));
        };
        let activation =
            Activation::parse(&self.act_fn).ok_or_else(|| CHECK.unsupported("act_fn", &self.act_fn, Activation::supported()))?;
        let first = channels.first().copied().unwrap_or(0);
        for size in channels {
            CHECK.size("block_out_channels", *size)?;
        }
        let time_features = self.time_embedding_dim.unwrap_or(4 * first);
        let common = Common {
            groups,
            epsilon: CHECK.positive("norm_eps", self.norm_eps)?,
            activation,
            time: CHECK.size("time_embedding_dim", time_features)?,
            downsample_padding: match self.downsample_padding {
                0 => DownsamplePadding::After,
                zeros => DownsamplePadding::Even(CHECK.within("downsample_padding", zeros, 2)?),
            },
        };
        for (field, kernel) in [("conv_in_kernel", self.conv_in_kernel), ("conv_out_kernel", self.conv_out_kernel)] {
            if CHECK.within(field, kernel, 31)?.is_multiple_of(2) {
                return Err(CHECK.invalid(field, kernel, "it must be odd"));
            }
        }

        let mut down = Vec::with_capacity(levels);
        let mut inputs = first;
        for ((name, outputs), level) in self.down_block_types.iter().zip(channels).zip(&per_level) {
            let kind = kind("down_block_types", name, "DownBlock2D", "CrossAttnDownBlock2D")?;
            let resnet_inputs: Vec<usize> = (0..level.layers).map(|index| if index == 0 { inputs } else { *outputs }).collect();
            let transformer = self.transformer(kind, *outputs, level, &level.depths, level.layers)?;
            down.push(BlockPlan { resnet_inputs, outputs: *outputs, transformer, resample: down.len() + 1 < levels });
            inputs = *outputs;
        }

        let last = per_level.last();
        let mid = match (self.mid_block_type.as_deref(), last) {
            (None, _) | (_, None) => None,
            (Some(name), Some(level)) => {
                let kind = kind("mid_block_type", name, "UNetMidBlock2D", "UNetMidBlock2DCrossAttn")?;
                let level = Level { only_cross: false, ..level.clone() };
                let transformer = self.transformer(kind, inputs, &level, &level.depths, 1)?;
                let scale = CHECK.positive("mid_block_scale_factor", self.mid_block_scale_factor)?;
                Some(MidPlan { channels: inputs, scale, transformer })
            }
        };

        let up_depths = match &self.reverse_transformer_layers_per_block {
            None => per_level.iter().rev().map(|level| level.depths.clone()).collect(),
            Some(depths) => depths.expand(CHECK, "reverse_transformer_layers_per_block", levels)?,
        };
        let mut up = Vec::with_capacity(levels);
        let mut previous = inputs;
        for (index, name) in self.up_block_types.iter().enumerate() {
            let reversed = |back: usize| levels.checked_sub(back + 1);
            let at = |back: usize| reversed(back).and_then(|level| channels.get(level)).copied().unwrap_or(first);
            let Some((level, depths)) = reversed(index).and_then(|l| per_level.get(l)).zip(up_depths.get(index)) else {
                continue;
            };
            let kind = kind("up_block_types", name, "UpBlock2D", "CrossAttnUpBlock2D")?;
            let (outputs, below) = (at(index), at(index + 1));
            let layers = level.layers + 1;
            let resnet_inputs: Vec<usize> = (0..layers)
                .map(|layer| {
                    let skip = if layer + 1 == layers { below } else { outputs };
                    skip + if layer == 0 { previous } else { outputs }
                })
                .collect();
            let transformer = self.transformer(kind, outputs, level, depths, layers)?;
            up.push(BlockPlan { resnet_inputs, outputs, transformer, resample: index + 1 < levels });
            previous = outputs;
        }

        for block in down.iter().chain(&up) {
            for size in block.resnet_inputs.iter().chain([&block.outputs]) {
                CHECK.divides("norm_num_groups", groups, "every block's channels", *size)?;
            }
        }
        let skips = 1 + down.iter().map(|b| b.resnet_inputs.len() + usize::from(b.resample)).sum::<usize>();
        let (facts, added) = self.facts(&down, &up, mid.as_ref(), skips, activation, time_features)?;
        Ok(Plan {
            facts,
            time: MlpShape { inputs: first, outputs: common.time, activation },
            common,
            conv_in_kernel: self.conv_in_kernel,
            conv_out_kernel: self.conv_out_kernel,
            added,
            down,
            mid,
            up,
        })
    }

    /// Expands what may be given per level.
    fn per_level(&self, levels: usize) -> Result<Vec<Level>, ConfigError> {
        // `attention_head_dim` has always meant the number of heads in this network: a slip of the library's early
        // days that forty thousand configurations keep alive.
        let heads = match &self.num_attention_heads {
            Some(heads) => heads.expand(CHECK, "num_attention_heads", levels)?,
            None => self.attention_head_dim.expand(CHECK, "attention_head_dim", levels)?,
        };
        let layers = self.layers_per_block.expand(CHECK, "layers_per_block", levels)?;
        let context = self.cross_attention_dim.expand(CHECK, "cross_attention_dim", levels)?;
        let only_cross = self.only_cross_attention.expand(CHECK, "only_cross_attention", levels)?;
        let depths = self.transformer_layers_per_block.expand(CHECK, "transformer_layers_per_block", levels)?;
        let mut all = Vec::with_capacity(levels);
        for ((((heads, layers), context), only_cross), depths) in
            heads.into_iter().zip(layers).zip(context).zip(only_cross).zip(depths)
        {
            CHECK.layers("layers_per_block", layers)?;
            all.push(Level { heads, layers, context, only_cross, depths });
        }
        Ok(all)
    }

    fn transformer(
        &self,
        kind: Kind,
        channels: usize,
        level: &Level,
        depths: &OneOrMany<usize>,
        count: usize,
    ) -> Result<Option<TransformerPlan>, ConfigError> {
        if kind == Kind::Plain {
            return Ok(None);
        }
        let field = if self.num_attention_heads.is_some() { "num_attention_heads" } else { "attention_head_dim" };
        CHECK.divides(field, level.heads, "the block's channels (it is the number of heads)", channels)?;
        CHECK.size("cross_attention_dim", level.context)?;
        let mut depths = match depths {
            OneOrMany::One(depth) => vec![*depth; count],
            OneOrMany::Many(depths) => depths.clone(),
        };
        if depths.len() < count || depths.iter().any(|depth| *depth > MAX_LAYERS) {
            let expected = format!("{count} entries of at most {MAX_LAYERS} are needed");
            return Err(CHECK.invalid("transformer_layers_per_block", format!("{depths:?}"), expected));
        }
        depths.truncate(count);
        Ok(Some(TransformerPlan {
            heads: level.heads,
            context: level.context,
            only_cross: level.only_cross,
            scores: if self.upcast_attention.unwrap_or(false) { Scores::Wide } else { Scores::Native },
            depths,
        }))
    }

    fn facts(
        &self,
        down: &[BlockPlan],
        up: &[BlockPlan],
        mid: Option<&MidPlan>,
        skips: usize,
        activation: Activation,
        time_features: usize,
    ) -> Result<(UNetFacts, Option<MlpShape>), ConfigError> {
        let blocks = down.iter().chain(up).map(|block| &block.transformer);
        let transformers = blocks.chain(mid.map(|mid| &mid.transformer)).flatten();
        let mut contexts: Vec<usize> = transformers.map(|transformer| transformer.context).collect();
        contexts.sort_unstable();
        contexts.dedup();
        if contexts.len() > 1 {
            return Err(CHECK.unsupported("cross_attention_dim", format!("{contexts:?}"), "one size for all blocks is"));
        }
        let fallback = match &self.cross_attention_dim {
            OneOrMany::One(size) => *size,
            OneOrMany::Many(sizes) => sizes.first().copied().unwrap_or(0),
        };
        let added = match self.addition_embed_type.as_deref() {
            None => None,
            Some("text_time") => {
                let field = |name, value: Option<usize>| CHECK.size(name, value.unwrap_or(0));
                Some(AddedFacts {
                    per_number: field("addition_time_embed_dim", self.addition_time_embed_dim)?,
                    total: field("projection_class_embeddings_input_dim", self.projection_class_embeddings_input_dim)?,
                })
            }
            Some(other) => {
                return Err(CHECK.unsupported("addition_embed_type", other, "supported are text_time and null"));
            }
        };
        if let Some(features) = self.time_cond_proj_dim {
            CHECK.size("time_cond_proj_dim", features)?;
        }
        if !self.freq_shift.is_finite() || !(0.0..=1.0).contains(&self.freq_shift) {
            return Err(CHECK.invalid("freq_shift", self.freq_shift, "it must be between 0 and 1"));
        }
        let facts = UNetFacts {
            in_channels: CHECK.size("in_channels", self.in_channels)?,
            out_channels: CHECK.size("out_channels", self.out_channels)?,
            context_features: contexts.first().copied().unwrap_or(fallback),
            added,
            guidance_features: self.time_cond_proj_dim,
            skips,
            // A halving that pads on both sides rounds up, so it stops at one point; the other kind rounds down.
            least_size: match self.downsample_padding {
                0 => 1 << down.len().saturating_sub(1),
                _ => 1,
            },
            widest: widest(&self.block_out_channels),
            time: TimeFacts {
                features: self.block_out_channels.first().copied().unwrap_or(0),
                cosines_first: self.flip_sin_to_cos,
                shift: self.freq_shift,
            },
            activation,
            center_input: self.center_input_sample,
        };
        // The extra conditioning is activated by SiLU whatever the network uses.
        let mlp = added.map(|a| MlpShape { inputs: a.total, outputs: time_features, activation: Activation::Silu });
        Ok((facts, mlp))
    }
}

/// [`UNetFacts::widest`] for so many channels on each level, of which each has a quarter of the points of the one before.
fn widest(channels: &[usize]) -> usize {
    let level = |(level, channels): (usize, &usize)| {
        channels.saturating_mul(4).checked_shr(u32::try_from(2 * level).unwrap_or(u32::MAX)).unwrap_or(0)
    };
    channels.iter().enumerate().map(level).max().unwrap_or(0)
}

/// One level, expanded.
#[derive(Clone, Debug)]
struct Level {
    heads: usize,
    layers: usize,
    context: usize,
    only_cross: bool,
    depths: OneOrMany<usize>,
}
