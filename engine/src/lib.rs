//! Encaustic's engine: text in, pictures out.
//!
//! A diffusion model begins with noise and takes a little of it away at each step, led by a prompt. Each axis of
//! that is a room of its own here, and none knows the others' insides: the *family* (which networks), the
//! *prediction* (what the network's output means), the *latent format*, the *schedule* (which noise levels are
//! visited) and the *sampler* (how one gets from a level to the next).
//!
//! The crate owns no file, socket, clock or thread: bytes come in through [`weights::WeightSource`], tensors live
//! on a Burn device that the caller chose, and the same code runs natively and in a browser tab.

pub mod card;
pub mod catalog;
pub mod device;
pub mod engine;
pub mod error;
pub mod family;
pub mod guidance;
pub mod host;
pub mod kernel;
pub mod latent;
pub mod model;
pub mod noise;
pub mod pipeline;
pub mod prediction;
pub mod prompt;
pub mod readback;
pub mod sampling;
pub mod schedule;
pub mod settings;
pub mod weights;
