//! CLIP's tokenizer, made from a model's own files.
//!
//! All CLIP text encoders share one way of cutting text: composed Unicode (NFC), white space run together, lower case;
//! then words, single digits and runs of signs; then byte pairs within each. Models differ in their vocabulary and in
//! the token that pads: the end mark for CLIP-L, `!` for OpenCLIP. So vocabulary, merges and special tokens are read
//! from the files, in either of the two layouts that are in use, and the cutting is always CLIP's.
//! Reference: transformers' `CLIPTokenizer`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, NormalizerWrapper, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::clip;

/// CLIP's mark of a text's beginning.
pub(super) const BOS: &str = "<|startoftext|>";
/// CLIP's mark of a text's end.
pub(super) const EOS: &str = "<|endoftext|>";

/// What CLIP takes for a word.
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Some files say 10^30 where they mean "no limit".
const LONGEST_WINDOW: f64 = 65536.0;

/// The files of a `tokenizer/` folder, each whole. Without any, the vocabulary is OpenAI CLIP's.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenizerFiles<'a> {
    /// `tokenizer.json`: vocabulary and merges in one file; used before the next two.
    pub tokenizer: Option<&'a [u8]>,
    /// `vocab.json`: token to id.
    pub vocab: Option<&'a [u8]>,
    /// `merges.txt`: one merge per line.
    pub merges: Option<&'a [u8]>,
    /// `tokenizer_config.json`: special tokens and the longest text.
    pub config: Option<&'a [u8]>,
    /// `special_tokens_map.json`: special tokens.
    pub special: Option<&'a [u8]>,
    /// The token that pads if no file names one; the end mark if this does not either.
    pub padding: Option<&'a str>,
}

/// Why a tokenizer could not be made, or a text not be cut.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file is not what its name says.
    #[error("{file} is not a tokenizer's: {why}")]
    Malformed {
        /// The file's name.
        file: &'static str,
        /// What is wrong in it.
        why: String,
    },
    /// Half of a vocabulary.
    #[error("the tokenizer has a {present} but no {absent}; it needs both, or a tokenizer.json")]
    Incomplete {
        /// The file that is there.
        present: &'static str,
        /// The file that is not.
        absent: &'static str,
    },
    /// A `tokenizer.json` of another kind.
    #[error("tokenizer.json holds a {kind} model; the text encoders known here use BPE with the word end \"</w>\"")]
    Kind {
        /// What the file calls it.
        kind: String,
    },
    /// A merge whose parts or product are no tokens.
    #[error("the tokenizer merges {left:?} and {right:?}, but its vocabulary lacks {missing:?}")]
    Merge {
        /// The merge's left part.
        left: String,
        /// Its right part.
        right: String,
        /// Which of the three tokens is missing.
        missing: String,
    },
    /// The library that does the cutting refused.
    #[error("the tokenizer failed: {0}")]
    Library(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Tokens with their ids, and the merges by rank.
pub(super) struct Vocabulary {
    pub(super) ids: HashMap<String, u32>,
    pub(super) merges: Vec<(String, String)>,
    pub(super) added: Vec<AddedToken>,
}

/// Cuts text into tokens.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: u32,
    eos: u32,
    pad: u32,
    comma: Option<u32>,
    max_id: u32,
    window: Option<usize>,
}

impl Tokenizer {
    /// Builds the tokenizer that `files` describe.
    pub fn new(files: &TokenizerFiles<'_>) -> Result<Self, TokenizerError> {
        let (vocabulary, padding) = match files {
            TokenizerFiles { tokenizer: Some(bytes), .. } => from_tokenizer_json(bytes)?,
            TokenizerFiles { vocab: Some(vocab), merges: Some(merges), .. } => (from_two_files(vocab, merges)?, None),
            TokenizerFiles { vocab: Some(_), .. } => {
                return Err(TokenizerError::Incomplete { present: "vocab.json", absent: "merges.txt" });
            }
            TokenizerFiles { merges: Some(_), .. } => {
                return Err(TokenizerError::Incomplete { present: "merges.txt", absent: "vocab.json" });
            }
            _ => (clip::vocabulary(), None),
        };
        let config = json(files.config, "tokenizer_config.json")?;
        let map = json(files.special, "special_tokens_map.json")?;
        // The map is the older file and rules where both speak, unless the newer one lists all added tokens.
        let sources = if config.get("added_tokens_decoder").is_some() { [&config, &map] } else { [&map, &config] };
        let special = |role: &str| sources.iter().find_map(|source| special_token(source.get(role)?));
        let bos = special("bos_token").unwrap_or_else(|| AddedToken::from(BOS, true).normalized(true));
        let eos = special("eos_token").unwrap_or_else(|| AddedToken::from(EOS, true).normalized(true));
        let unknown = special("unk_token").unwrap_or_else(|| eos.clone());
        let pad = special("pad_token").or(padding).or_else(|| files.padding.map(|token| AddedToken::from(token, true)));
        let pad = pad.unwrap_or_else(|| eos.clone());
        let window = config.get("model_max_length").and_then(Value::as_f64);
        build(vocabulary, [bos, eos, pad, unknown], window)
    }

    /// The ids of a text, without marks and padding. Special tokens that the text spells out are taken as such.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.inner.encode_fast(text, false).map_err(TokenizerError::Library)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The id that begins a text.
    pub fn bos(&self) -> u32 {
        self.bos
    }

    /// The id that ends a text.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// The id that fills up a window.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// The highest id that can come out; a text encoder's table must reach it.
    pub fn max_id(&self) -> u32 {
        self.max_id
    }

    /// How many ids an encoder with `positions` positions reads at once: fewer if the tokenizer's files say so.
    pub fn window(&self, positions: usize) -> usize {
        self.window.map_or(positions, |window| window.min(positions))
    }

    pub(super) fn comma(&self) -> Option<u32> {
        self.comma
    }
}

fn build(vocabulary: Vocabulary, roles: [AddedToken; 4], window: Option<f64>) -> Result<Tokenizer, TokenizerError> {
    let Vocabulary { mut ids, merges, added } = vocabulary;
    for (left, right) in &merges {
        let missing = [left.clone(), right.clone(), format!("{left}{right}")].into_iter().find(|token| !ids.contains_key(token));
        if let Some(missing) = missing {
            return Err(TokenizerError::Merge { left: left.clone(), right: right.clone(), missing });
        }
    }
    let mut next = ids.values().max().map_or(0, |max| max.saturating_add(1));
    let mut id_of = |token: &AddedToken| {
        *ids.entry(token.content.clone()).or_insert_with(|| {
            let id = next;
            next = next.saturating_add(1);
            id
        })
    };
    let [bos, eos, pad, _] = roles.each_ref().map(&mut id_of);
    for token in &added {
        id_of(token);
    }
    let max_id = ids.values().max().copied().unwrap_or(0);
    let comma = ids.get(",</w>").copied();
    let [.., unknown] = &roles;
    let model = BPE::builder()
        .vocab_and_merges(ids.into_iter().collect::<tokenizers::models::bpe::Vocab>(), merges)
        .unk_token(unknown.content.clone())
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix("</w>".to_owned())
        .build()
        .map_err(TokenizerError::Library)?;
    let mut inner = tokenizers::Tokenizer::new(model);
    let blanks = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ").map_err(TokenizerError::Library)?;
    let normalizers: Vec<NormalizerWrapper> = vec![NFC.into(), blanks.into(), Lowercase.into()];
    inner.with_normalizer(Some(Normalizers::new(normalizers))).map_err(TokenizerError::Library)?;
    let words = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Removed, true)
        .map_err(TokenizerError::Library)?;
    let steps: Vec<PreTokenizerWrapper> = vec![words.into(), ByteLevel::default().add_prefix_space(false).into()];
    inner.with_pre_tokenizer(Some(PreTokenizers::new(steps)));
    inner.add_special_tokens(roles).map_err(TokenizerError::Library)?;
    inner.add_tokens(added).map_err(TokenizerError::Library)?;
    let window = window.filter(|&length| (3.0..=LONGEST_WINDOW).contains(&length)).map(|length| length as usize);
    Ok(Tokenizer { inner, bos, eos, pad, comma, max_id, window })
}

/// The merges of a `merges.txt`; its first line may tell a version.
pub(super) fn parse_merges(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().enumerate().filter(|(number, line)| *number > 0 || !line.starts_with("#version"));
    lines.filter_map(|(_, line)| line.split_once(' ')).map(|(left, right)| (left.to_owned(), right.to_owned())).collect()
}

fn from_two_files(vocab: &[u8], merges: &[u8]) -> Result<Vocabulary, TokenizerError> {
    let malformed = |file, why: String| TokenizerError::Malformed { file, why };
    let ids = serde_json::from_slice(vocab).map_err(|error| malformed("vocab.json", error.to_string()))?;
    let merges = std::str::from_utf8(merges).map_err(|error| malformed("merges.txt", error.to_string()))?;
    Ok(Vocabulary { ids, merges: parse_merges(merges), added: Vec::new() })
}

/// What is read of a `tokenizer.json`.
#[derive(Deserialize)]
struct TokenizerJson {
    model: Value,
    #[serde(default)]
    added_tokens: Vec<Value>,
    #[serde(default)]
    padding: Value,
}

#[derive(Deserialize)]
struct BpeJson {
    #[serde(rename = "type", default = "BpeJson::kind")]
    kind: String,
    end_of_word_suffix: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Vec<MergeJson>,
}

impl BpeJson {
    fn kind() -> String {
        "BPE".to_owned()
    }
}

/// Older files write a merge as one string.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergeJson {
    Pair(String, String),
    Joined(String),
}

fn from_tokenizer_json(bytes: &[u8]) -> Result<(Vocabulary, Option<AddedToken>), TokenizerError> {
    let malformed = |error: serde_json::Error| TokenizerError::Malformed { file: "tokenizer.json", why: error.to_string() };
    let file: TokenizerJson = serde_json::from_slice(bytes).map_err(malformed)?;
    if let Some(kind) = file.model.get("type").and_then(Value::as_str).filter(|&kind| kind != "BPE") {
        return Err(TokenizerError::Kind { kind: kind.to_owned() });
    }
    let model: BpeJson = serde_json::from_value(file.model).map_err(malformed)?;
    if model.end_of_word_suffix.as_deref() != Some("</w>") {
        return Err(TokenizerError::Kind { kind: format!("{} (word end {:?})", model.kind, model.end_of_word_suffix) });
    }
    let merges = model.merges.into_iter().filter_map(|merge| match merge {
        MergeJson::Pair(left, right) => Some((left, right)),
        MergeJson::Joined(line) => line.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())),
    });
    let mut ids = model.vocab;
    for token in &file.added_tokens {
        if let (Some(content), Some(id)) = (token.get("content").and_then(Value::as_str), token.get("id").and_then(Value::as_u64))
        {
            ids.entry(content.to_owned()).or_insert(u32::try_from(id).unwrap_or(u32::MAX));
        }
    }
    let added = file.added_tokens.iter().filter_map(special_token).collect();
    let padding = file.padding.get("pad_token").and_then(special_token);
    Ok((Vocabulary { ids, merges: merges.collect(), added }, padding))
}

fn json(bytes: Option<&[u8]>, file: &'static str) -> Result<Value, TokenizerError> {
    let Some(bytes) = bytes else { return Ok(Value::Null) };
    serde_json::from_slice(bytes).map_err(|error| TokenizerError::Malformed { file, why: error.to_string() })
}

/// A special token as configuration files write it: its text, or an object with its text and how it is to be found.
fn special_token(value: &Value) -> Option<AddedToken> {
    if let Some(content) = value.as_str() {
        return Some(AddedToken::from(content, true)).filter(|token| !token.content.is_empty());
    }
    let flag = |name: &str, default: bool| value.get(name).and_then(Value::as_bool).unwrap_or(default);
    let content = value.get("content")?.as_str().filter(|content| !content.is_empty())?;
    let token = AddedToken::from(content, flag("special", true))
        .single_word(flag("single_word", false))
        .lstrip(flag("lstrip", false))
        .rstrip(flag("rstrip", false));
    Some(token.normalized(flag("normalized", true)))
}
