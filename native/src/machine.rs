//! The options that say with what to compute, understood.

use std::path::Path;

use encaustic_engine::device::{DeviceName, Precision};
use encaustic_engine::prediction::Prediction;
use encaustic_engine::weights;
use encaustic_importer::Predicts;

use crate::cli;
use crate::failure::{Failure, Refusal};
use crate::library::ModelFiles;
use crate::single::Single;
use crate::{pull, terminal};

/// With what to compute.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The model.
    pub model: ModelFiles,
    /// An autoencoder that takes the place of the model's own.
    pub vae: Option<ModelFiles>,
    /// The device that is wanted.
    pub device: DeviceName,
    /// The precision that is wanted; `None` for the best that the device has.
    pub precision: Option<Precision>,
}

impl Machine {
    /// Understands the options and finds the files. Whether the device is there shows when it is opened.
    ///
    /// # Errors
    /// The first option that is wrong.
    pub fn find(args: &cli::Engine) -> Result<Self, Failure> {
        let precision = match args.dtype.trim() {
            "auto" => None,
            name => Some(name.parse::<Precision>().map_err(|error| Refusal::new("dtype", error.to_string()))?),
        };
        let device = args
            .device
            .parse()
            .map_err(|error: encaustic_engine::device::UnknownDevice| Refusal::new("device", error.to_string()))?;
        // The last: a model that has to be fetched takes its time.
        let (model, vae) = files(args.model.as_deref(), &args.parts, weights::Precision::Half)?;
        Ok(Self { model, vae, device, precision })
    }
}

/// The model and, if another takes the place of its own, the autoencoder. `copy` is the one of the weights that is fetched from
/// the hub where it has several.
///
/// # Errors
/// The first option that is wrong.
pub fn files(
    model: Option<&str>,
    args: &cli::Parts,
    copy: weights::Precision,
) -> Result<(ModelFiles, Option<ModelFiles>), Failure> {
    let config = args.config.as_deref();
    if let Some(config) = config.filter(|config| !config.is_dir()) {
        return Err(Refusal::new("config", format!("{}: not a folder", config.display())).into());
    }
    let prediction = args.prediction.as_deref().map(prediction).transpose()?;
    let vae = args.vae.as_deref().map(|vae| pull::find_vae(vae, config, copy)).transpose()?;
    complete(pull::find(model, copy)?, vae, config, prediction)
}

/// A model with what lies beside it and is meant for it, where nobody has said more than its name.
///
/// # Errors
/// If it is no model, or what lies beside it is broken.
pub fn whole(model: ModelFiles) -> Result<(ModelFiles, Option<ModelFiles>), Failure> {
    complete(model, None, None, None)
}

fn complete(
    model: ModelFiles,
    mut vae: Option<ModelFiles>,
    config: Option<&Path>,
    prediction: Option<Prediction>,
) -> Result<(ModelFiles, Option<ModelFiles>), Failure> {
    let model = match model {
        ModelFiles::Single(single) => {
            let report = single.model()?;
            let prediction = prediction.or_else(|| beside(&single, report.prediction.as_ref()));
            // Noise is what most models predict; the other assumption may be worth a second try.
            let is_guess = report.prediction.is_some_and(|told| told.told_by.is_none() && told.kind == Prediction::V.name());
            if is_guess && prediction.is_none() {
                terminal::say("it is assumed that the UNet predicts v; if the picture is noise, try --prediction epsilon");
            }
            // What lies beside a checkpoint under its name is meant for it.
            if let (None, Some(beside)) = (&vae, single.sibling()) {
                terminal::say(format_args!("{}: the VAE beside the checkpoint is used", beside.display()));
                vae = Some(ModelFiles::autoencoder(&beside, config)?);
            }
            ModelFiles::Single(single.with_config(config.map(Path::to_owned)).with_prediction(prediction))
        }
        model => {
            let given = [("config", config.is_some()), ("prediction", prediction.is_some())];
            if let Some((option, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
                return Err(Refusal::new(option, "this is for a model in one file; a folder has its own configurations").into());
            }
            model
        }
    };
    Ok((model, vae))
}

/// What the UNet predicts by a configuration beside the file, where the file itself does not say.
fn beside(single: &Single, told: Option<&Predicts>) -> Option<Prediction> {
    if told.is_some_and(|told| told.told_by.is_some()) {
        return None;
    }
    let (path, prediction) = single.predicted_beside()?;
    terminal::say(format_args!("{}: the UNet predicts {}", path.display(), prediction.name()));
    Some(prediction)
}

fn prediction(name: &str) -> Result<Prediction, Refusal> {
    let known = [("epsilon", Prediction::Epsilon), ("v", Prediction::V), ("v_prediction", Prediction::V)];
    let found = known.into_iter().find(|(known, _)| name.trim().eq_ignore_ascii_case(known));
    found
        .map(|(_, prediction)| prediction)
        .ok_or_else(|| Refusal::new("prediction", format!("{name:?} is not known")).hint("give `epsilon` (noise) or `v`"))
}
