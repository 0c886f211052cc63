//! From a prompt to the token ids that a text encoder reads.
//!
//! ```text
//! text --syntax--> plain text --tokenizer--> ids --chunks--> windows of ids, ready for the encoder
//! ```
//!
//! - *Syntax* has no file yet: a prompt is plain text. Emphasis, schedules and their kin belong in a file `syntax.rs`
//!   that turns a prompt into spans of plain text with weights, and the weights beside the ids in [`Chunk`].
//! - [`tokenizer`] builds CLIP's byte-pair tokenizer from a model's own files or from CLIP's table ([`clip`]).
//! - [`chunks`] cuts ids into windows of the encoder's length, so a prompt may be longer than one of them.
//!
//! What becomes of the windows, a model family knows: which encoder, which of its layers, how windows are joined.

mod chunks;
mod clip;
mod tokenizer;

pub use chunks::{Chunk, filler, split};
pub use tokenizer::{Tokenizer, TokenizerError, TokenizerFiles};
