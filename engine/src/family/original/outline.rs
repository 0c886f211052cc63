//! What names and shapes in a file's header tell of the model, before anything is read of it.

use super::{UNET, Use, vae};
use crate::family::{FAMILIES, Family};
use crate::prediction::Prediction;
use crate::weights::{Cut, Header, KeyMap, Place};

/// A file by its header.
#[derive(Clone, Copy, Debug)]
pub struct Outline<'a> {
    header: &'a Header,
}

/// What a UNet was trained to predict, as far as a header tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicted {
    /// What it predicts.
    pub prediction: Prediction,
    /// Whether it was trained down to a signal of zero (Lin et al. 2023).
    pub zero_snr: bool,
    /// The tensor or the entry of the metadata that says so; `None` if nothing does and it is only what the family's
    /// models usually do.
    pub told_by: Option<&'static str>,
}

impl<'a> Outline<'a> {
    /// The outline of a file.
    pub fn new(header: &'a Header) -> Self {
        Self { header }
    }

    /// The header that it was made of.
    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// A tensor's dimensions.
    pub fn shape(&self, tensor: &str) -> Option<&'a [usize]> {
        self.header.tensors().get(tensor).map(|info| info.shape.as_slice())
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, tensor: &str) -> bool {
        self.header.tensors().contains_key(tensor)
    }

    /// Whether there are tensors whose names begin so.
    pub fn has_below(&self, prefix: &str) -> bool {
        let after = self.header.tensors().range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        after.into_iter().next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// The dimensions of a network's parameter, which the file has where `keys` say.
    pub(super) fn parameter(&self, keys: &KeyMap, name: &str) -> Option<Vec<usize>> {
        let found = |Place { tensor, cut }: Place| {
            let shape = self.shape(&tensor)?;
            Some(match (cut, shape) {
                (Cut::Third(_), [first, rest @ ..]) => std::iter::once(first / 3).chain(rest.iter().copied()).collect(),
                (Cut::Transposed, [rows, columns]) => vec![*columns, *rows],
                _ => shape.to_vec(),
            })
        };
        keys.candidates(name).find_map(found)
    }

    /// The part of a checkpoint of `family` that a tensor belongs to, by its name: `unet`, `vae` or a text encoder's
    /// folder.
    pub fn part(tensor: &str, family: Option<&Family>) -> Option<&'static str> {
        let encoders = family.into_iter().flat_map(|family| family.encoders);
        let encoders = encoders.map(|encoder| (encoder.original.prefix, encoder.folder));
        let mut parts = [(UNET, "unet"), (vae::PREFIX, "vae")].into_iter().chain(encoders);
        parts.find(|(prefix, _)| tensor.starts_with(prefix)).map(|(_, part)| part)
    }

    /// Whether it has a UNet in the original layout that takes the guidance as an input, as those distilled for few steps
    /// do (LCM).
    pub fn takes_guidance(&self) -> bool {
        self.has(&format!("{UNET}time_embed.cond_proj.weight"))
    }

    /// Whether it has a UNet in the original layout.
    pub fn has_unet(&self) -> bool {
        self.has_below(UNET)
    }

    /// Whether it has an autoencoder in the original layout, among other networks.
    pub fn has_autoencoder(&self) -> bool {
        self.has_below(vae::PREFIX)
    }

    /// Whether it has all text encoders of a family.
    pub fn has_encoders(&self, family: &Family) -> bool {
        family.encoders.iter().all(|encoder| self.has_below(encoder.original.prefix))
    }

    /// What the UNet is for, by the channels of its input and its output.
    pub fn purpose(&self) -> Option<Use> {
        let input = self.shape(&format!("{UNET}input_blocks.0.0.weight"))?;
        let output = self.shape(&format!("{UNET}out.2.weight"))?;
        Some(Use::of(*input.get(1)?, *output.first()?))
    }

    /// Features of the text vectors that a UNet looks at: those that go into its keys. Names of all layouts have the same
    /// words for this, with points or, in adapters, with underscores between them.
    pub fn context(&self) -> Option<usize> {
        let inputs = [".weight", ".lora_A.weight", ".lora_down.weight", ".down.weight", ".hada_w1_b"];
        let outputs = [".lora_B.weight", ".lora_up.weight", ".up.weight", "lora_mid.weight"];
        self.header.tensors().iter().find_map(|(name, info)| {
            let is_key = name.contains("attn2") && (name.contains("to_k.") || name.contains("to_k_lora."));
            let is_input = inputs.iter().any(|end| name.ends_with(end)) && !outputs.iter().any(|end| name.ends_with(end));
            if is_key && is_input { info.shape.get(1).copied() } else { None }
        })
    }

    /// The family of the model that the file holds, or that it is a part of or an addition to: by its text encoders, or
    /// if there are none by the width of the text that its UNet reads, or by what the metadata calls it.
    pub fn family(&self) -> Option<&'static Family> {
        let by_text = || FAMILIES.iter().find(|family| self.has_encoders(family));
        let by_width = || {
            let width = self.context()?;
            FAMILIES.iter().find(|family| family.original.context == width)
        };
        let by_name = || {
            let named = [MODELSPEC_ARCHITECTURE, KOHYA_BASE].into_iter().filter_map(|key| self.header.metadata().get(key));
            let named: Vec<_> = named.map(|name| name.trim().to_ascii_lowercase()).collect();
            let is_called = |family: &Family| {
                named.iter().any(|name| family.original.named.iter().any(|beginning| name.starts_with(beginning)))
            };
            FAMILIES.iter().find(|family| is_called(family))
        };
        by_text().or_else(by_width).or_else(by_name).copied()
    }

    /// Whether it was trained on noise levels of another kind (Karras et al. 2022), as Playground 2.5 was.
    pub fn is_edm(&self) -> bool {
        ["edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min"].into_iter().any(|name| self.has(name))
    }

    /// What its UNet predicts: by its marks, else by its metadata, else as usual in the family.
    pub fn predicted(&self, family: &Family) -> Predicted {
        let metadata = self.header.metadata();
        let entry = |key: &str| metadata.get(key).map(|value| value.trim().to_ascii_lowercase());
        let marked = |name: &str| self.header.is_marked(name) || self.has(name);
        let zero_snr = marked("ztsnr") || entry("ss_zero_terminal_snr").is_some_and(|value| value == "true");
        let told = |prediction, told_by| Predicted { prediction, zero_snr, told_by: Some(told_by) };
        if marked("v_pred") {
            return told(Prediction::V, "v_pred");
        }
        match entry(MODELSPEC_PREDICTION).as_deref() {
            Some("v" | "v_prediction" | "v-prediction") => return told(Prediction::V, MODELSPEC_PREDICTION),
            Some("epsilon" | "eps") => return told(Prediction::Epsilon, MODELSPEC_PREDICTION),
            _ => {}
        }
        match entry(MODELSPEC_ARCHITECTURE).as_deref() {
            Some(name) if name.contains("v2-768-v") => return told(Prediction::V, MODELSPEC_ARCHITECTURE),
            Some(name) if name.contains("v2-512") => return told(Prediction::Epsilon, MODELSPEC_ARCHITECTURE),
            _ => {}
        }
        if entry(KOHYA_BASE).is_some_and(|base| base.ends_with("_v")) {
            return told(Prediction::V, KOHYA_BASE);
        }
        Predicted { prediction: family.original.prediction, zero_snr, told_by: None }
    }

    /// The size of picture, in pixels along each side, that the metadata names: width and height.
    pub fn resolution(&self) -> Option<[usize; 2]> {
        let text = self.header.metadata().get("modelspec.resolution")?;
        let side = |text: &str| text.trim().parse().ok().filter(|side| (64..=8192).contains(side));
        match text.split_once(['x', 'X']) {
            Some((width, height)) => Some([side(width)?, side(height)?]),
            None => side(text).map(|side| [side, side]),
        }
    }
}

/// Entries of the metadata: Stability AI's ModelSpec and kohya's trainer.
const MODELSPEC_PREDICTION: &str = "modelspec.prediction_type";
const MODELSPEC_ARCHITECTURE: &str = "modelspec.architecture";
const KOHYA_BASE: &str = "ss_base_model_version";
