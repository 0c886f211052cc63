//! What a loaded model is and wants, told to whoever shows a form for it.

use serde::{Deserialize, Serialize};

use crate::Request;

/// A model that is ready for work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The id of its family, as in the catalog.
    pub family: String,
    /// What its maker calls it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Under which terms it may be used, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// What a request gets that asks for nothing: every setting that has a value, except prompts and seed.
    pub defaults: Request,
    /// Width and height are multiples of this many pixels.
    pub multiple_of: u32,
    /// Sizes that suit it, as width and height in pixels; the first is its own.
    pub sizes: Vec<[u32; 2]>,
    /// How many tokens of a prompt are read together; longer prompts are read in pieces of as many.
    pub chunk_tokens: u32,
}
