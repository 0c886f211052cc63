//! How far the networks of two copies of a model are apart, on a fixed input.

use encaustic_engine::error::GenerateError;
use encaustic_engine::family::LatentDiffusion;
use futures_lite::future::block_on;
use serde::Serialize;

use crate::failure::Failure;
use crate::library::ModelFiles;
use crate::{interrupt, shell};

/// How far a network's output is from the source's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Output {
    /// Which network.
    pub component: &'static str,
    /// `||packed - source|| / ||source||`
    pub error: f64,
}

/// Runs each network of a packed model and of its source (with the autoencoder that was taken instead of its own) on the
/// CPU, one at a time.
///
/// # Errors
/// If one cannot be loaded or run, and on Ctrl-C.
pub fn compare(source: (&ModelFiles, Option<&ModelFiles>), packed: &ModelFiles) -> Result<Vec<Output>, Failure> {
    let [source, packed] = [shell::open(source.0, source.1)?, shell::open(packed, None)?];
    let mut outputs = Vec::new();
    for component in source.networks() {
        let run =
            |model: &LatentDiffusion| block_on(model.probe(component)).map_err(|error: GenerateError| Failure::generate(error));
        let (Some(expected), Some(found)) = (run(&source)?, run(&packed)?) else { continue };
        outputs.push(Output { component, error: relative(&found.values, &expected.values) });
        if interrupt::asked() {
            return Err(Failure::Interrupted("while both models were run; the packed model is whole".to_owned()));
        }
    }
    Ok(outputs)
}

fn relative(found: &[f32], expected: &[f32]) -> f64 {
    let square = |value: f64| value * value;
    let difference: f64 = found.iter().zip(expected).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let norm: f64 = expected.iter().map(|value| square(f64::from(*value))).sum();
    (difference / norm.max(f64::MIN_POSITIVE)).sqrt()
}
