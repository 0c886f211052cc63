//! From what a picture says about itself to the request that would make it again.
//!
//! Programs describe their pictures in ways of their own: A1111's and ours in a text ([`crate::infotext`]), ComfyUI with the
//! graph that was run, InvokeAI with a list. What a program tells and Encaustic cannot do is not lost silently: it is
//! told in sentences.

mod a1111;
mod comfy;
mod draft;
mod invoke;
mod json;
mod names;

use std::fmt;

use encaustic_protocol::{Catalog, Request};

use crate::infotext::{Infotext, KEYWORD};
use crate::png_text::PngText;

pub use names::{sampler, schedule};

/// Where ComfyUI keeps the graph that was run.
const COMFY: &str = "prompt";
/// Where it keeps the graph as its editor shows it.
const COMFY_EDITOR: &str = "workflow";
/// Where InvokeAI keeps its settings, the newest form first.
const INVOKE: [&str; 2] = ["invokeai_metadata", "sd-metadata"];
/// Where InvokeAI kept them at first: as a command line, which nobody writes any more.
const INVOKE_FIRST: &str = "Dream";

/// Settings of a picture, as far as they can be taken over.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// Who described the picture.
    pub program: Program,
    /// The request that comes closest to making it again.
    pub request: Request,
    /// What its model is called there; a request names none.
    pub model: Option<String>,
    /// What could not be taken over, in whole sentences.
    pub notes: Vec<String>,
}

/// A program that describes its pictures, or a way to do so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// We.
    Encaustic,
    /// Stable Diffusion web UI, and the many programs that write as it does.
    A1111,
    /// ComfyUI.
    ComfyUi,
    /// InvokeAI.
    InvokeAi,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encaustic => "Encaustic",
            Self::A1111 => "A1111 or a program like it",
            Self::ComfyUi => "ComfyUI",
            Self::InvokeAi => "InvokeAI",
        })
    }
}

/// Why nothing can be taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// There are no settings.
    #[error(
        "the picture holds no settings; many sites take them out of the pictures that they show, and only the original has them"
    )]
    Nothing,
    /// There are some, in a form that is not read.
    #[error("the picture holds settings that cannot be read here: {0}")]
    Form(&'static str),
    /// A text that should be JSON is not.
    #[error("{program}'s settings in the picture are damaged: {reason}")]
    Damaged {
        /// Whose settings.
        program: Program,
        /// What is wrong with them.
        reason: String,
    },
    /// More than anyone's settings take.
    #[error("{program}'s settings in the picture have {bytes} bytes, more than the {} MiB that are read", json::LIMIT >> 20)]
    TooLarge {
        /// Whose settings.
        program: Program,
        /// How long they are.
        bytes: usize,
    },
    /// A graph without a node that makes a picture.
    #[error("ComfyUI's graph in the picture has no sampler that is known here (such as KSampler)")]
    NoSampler,
}

/// Reads the settings in the texts of a PNG file, whoever wrote them. `catalog` says which samplers and schedules there
/// are; if it is empty, names are taken over as they stand.
///
/// # Errors
/// If there are none, or none that can be read.
pub fn read(png: &PngText, catalog: &Catalog) -> Result<Restored, RestoreError> {
    let mut restored = find(png, catalog)?;
    if let Some(damage) = &png.damage {
        restored.notes.push(format!("The file is damaged behind its settings: {damage}."));
    }
    Ok(restored)
}

fn find(png: &PngText, catalog: &Catalog) -> Result<Restored, RestoreError> {
    // Some programs add a text in A1111's form to their own; where it has settings it is the clearest.
    let parameters = png.get(KEYWORD).filter(|text| !text.trim().is_empty());
    let is_json = parameters.is_some_and(|text| text.trim_start().starts_with('{'));
    let own = parameters.filter(|_| !is_json).map(Infotext::parse);
    if let Some(info) = own.as_ref().filter(|info| !info.settings.is_empty()) {
        return Ok(a1111::restore(info, catalog));
    }
    if let Some(text) = png.get(COMFY) {
        return comfy::restore(text, catalog);
    }
    for keyword in INVOKE {
        if let Some(text) = png.get(keyword) {
            return invoke::restore(text, catalog);
        }
    }
    match own {
        Some(info) => Ok(a1111::restore(&info, catalog)),
        None if is_json => Err(RestoreError::Form("`parameters` is JSON of another program")),
        None if png.get(COMFY_EDITOR).is_some() => {
            Err(RestoreError::Form("ComfyUI's `workflow` alone; the graph that was run (`prompt`) is missing"))
        }
        None if png.get(INVOKE_FIRST).is_some() => Err(RestoreError::Form("InvokeAI's oldest form (`Dream`)")),
        None => Err(RestoreError::Nothing),
    }
}
