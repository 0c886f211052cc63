//! What a loaded model is and wants, for whoever shows a form for it.

use encaustic_protocol::{Card, Request};

use crate::error::GenerateError;
use crate::family::LatentDiffusion;
use crate::settings::resolve;

/// Sides of a picture are multiples of this where a model is used at another size than its family's: UNets halve latents of
/// eight pixels up to three times.
const STEP: u32 = 64;
/// The same for models of small pictures, whose UNets halve less often.
const SMALL_STEP: u32 = 32;
/// Sides below this are small.
const SMALL: u32 = 256;
/// Requests have sizes in steps of so many pixels.
const REQUEST_STEP: u32 = 8;

/// The card of a model.
///
/// # Errors
/// If its own settings make no sense.
pub fn card(model: &LatentDiffusion) -> Result<Card, GenerateError> {
    let settings = resolve(&Request::default(), model, 0)?;
    let defaults = Request { seed: None, ..settings.request() };
    let manifest = model.manifest();
    Ok(Card {
        family: model.family.id.to_owned(),
        title: manifest.and_then(|manifest| manifest.title.clone()),
        license: manifest.and_then(|manifest| manifest.license.clone()),
        defaults,
        multiple_of: (model.latent.factor as u32).max(REQUEST_STEP),
        sizes: sizes(model.family.sizes, [settings.width, settings.height]),
        chunk_tokens: u32::try_from(model.chunk_tokens()).unwrap_or(u32::MAX),
    })
}

/// The family's sizes, of which the first is the usual one, for a model whose own size is `own`.
fn sizes(family: &[[u32; 2]], own: [u32; 2]) -> Vec<[u32; 2]> {
    let Some(usual) = family.first().copied().filter(|usual| *usual != own) else { return family.to_vec() };
    let area = |[width, height]: [u32; 2]| f64::from(width) * f64::from(height);
    let scale = (area(own) / area(usual)).sqrt();
    let step = if own.iter().any(|side| *side < SMALL) { SMALL_STEP } else { STEP };
    let scaled = |side: u32| ((f64::from(side) * scale / f64::from(step)).round() as u32).max(1) * step;
    let mut sizes = vec![own];
    for [width, height] in family.iter().skip(1) {
        let size = [scaled(*width).max(STEP), scaled(*height).max(STEP)];
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_model_s_own() {
        let family = [[512, 512], [512, 640], [640, 512], [512, 768]];
        assert_eq!(sizes(&family, [512, 512]), family);
        assert_eq!(sizes(&family, [128, 128]), [[128, 128], [128, 160], [160, 128], [128, 192]]);
        assert_eq!(sizes(&family, [768, 768]), [[768, 768], [768, 960], [960, 768], [768, 1152]]);
        assert_eq!(sizes(&family, [64, 64]), [[64, 64], [64, 96], [96, 64]], "too small for all to differ");
        assert_eq!(sizes(&[], [64, 64]), Vec::<[u32; 2]>::new());
    }
}
