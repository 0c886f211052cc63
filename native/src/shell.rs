//! A model opened on the processor as if to make pictures: everything about it is checked, and no weight is read until somebody
//! asks for a network.

use std::rc::Rc;

use encaustic_engine::device::{self, DeviceName, Precision};
use encaustic_engine::family::{Files, Keep, LatentDiffusion, LoadError, load};
use futures_lite::future::block_on;

use crate::failure::{Failure, Refusal};
use crate::library::ModelFiles;

/// Opens a model, with another autoencoder if one is given; what is wrong with it is the inner error.
///
/// # Errors
/// If the processor cannot be had.
pub fn attempt(model: &ModelFiles, vae: Option<&ModelFiles>) -> Result<Result<LatentDiffusion, LoadError>, Failure> {
    let compute = block_on(device::open(DeviceName::Cpu, Some(Precision::F32))).map_err(Failure::device)?;
    let shared = |files: &ModelFiles| -> Rc<dyn Files> { Rc::new(files.clone()) };
    Ok(load(&shared(model), vae.map(shared).as_ref(), &compute, Keep::InTurn))
}

/// Opens a model, with another autoencoder if one is given.
///
/// # Errors
/// If it cannot be used.
pub fn open(model: &ModelFiles, vae: Option<&ModelFiles>) -> Result<LatentDiffusion, Failure> {
    attempt(model, vae)?.map_err(|error| refused(model, &error))
}

/// What is wrong with a model, to whoever named it.
pub fn refused(model: &ModelFiles, error: &LoadError) -> Failure {
    Refusal::new("model", format!("{}: {error}", model.place())).into()
}
