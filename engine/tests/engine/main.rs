//! What the engine computes, against references and on its own terms; `--test engine unet::` runs one subject.
//!
//! One program for all subjects, because each program compiles the parts of Burn that it uses anew.

mod common;

mod attention;
mod clip;
mod devices;
mod family;
mod generate;
mod kernels;
mod noise;
mod original;
mod packed;
mod pipeline;
mod sampler_properties;
mod samplers;
mod schedules;
mod single_file;
mod taesd;
mod tokenizer;
mod unet;
mod vae;
mod weights;
