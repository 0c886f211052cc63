//! Token ids equal those of transformers' `CLIPTokenizer`, from every layout of files and from the built-in table.

use crate::common::{golden_dir, golden_json};
use encaustic_engine::prompt::{Tokenizer, TokenizerError, TokenizerFiles, split};

/// The files of a tokenizer's folder, read whole.
#[derive(Default)]
struct Folder {
    tokenizer: Option<Vec<u8>>,
    vocab: Option<Vec<u8>>,
    merges: Option<Vec<u8>>,
    config: Option<Vec<u8>>,
    special: Option<Vec<u8>>,
}

impl Folder {
    fn open(name: &str) -> Self {
        let read = |file: &str| std::fs::read(golden_dir().join("files").join(name).join(file)).ok();
        Self {
            tokenizer: read("tokenizer.json"),
            vocab: read("vocab.json"),
            merges: read("merges.txt"),
            config: read("tokenizer_config.json"),
            special: read("special_tokens_map.json"),
        }
    }

    fn load(&self) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::new(&TokenizerFiles {
            tokenizer: self.tokenizer.as_deref(),
            vocab: self.vocab.as_deref(),
            merges: self.merges.as_deref(),
            config: self.config.as_deref(),
            special: self.special.as_deref(),
            padding: None,
        })
    }
}

fn ids(row: &serde_json::Value, key: &str) -> Vec<u32> {
    row[key].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// Compares every text of a golden case; texts that fill more than one window are compared in their ids only, since
/// the reference cuts them off and we begin another window.
fn check(case: &str, tokenizer: &Tokenizer) {
    let goldens = golden_json("tokenizer");
    let rows = goldens["cases"][case]["rows"].as_array().unwrap();
    assert!(rows.len() > 30);
    for row in rows {
        let text = row["text"].as_str().unwrap();
        let tokens = tokenizer.tokens(text).unwrap();
        let framed: Vec<u32> = [tokenizer.bos()].into_iter().chain(tokens.clone()).chain([tokenizer.eos()]).collect();
        assert_eq!(framed, ids(row, "ids"), "{case}: {text:?}");
        let windows = split(&tokens, tokenizer, tokenizer.window(77));
        if row.get("padded77").is_some() && framed.len() <= 77 {
            assert_eq!(windows.len(), 1);
            assert_eq!(windows[0].ids, ids(row, "padded77"), "{case}: {text:?}, padded");
        }
    }
}

#[test]
fn vocab_and_merges_padded_with_the_end_mark() {
    check("eos_pad", &Folder::open("tokenizer_eos_pad").load().unwrap());
}

#[test]
fn vocab_and_merges_padded_with_a_token() {
    let folder = Folder { tokenizer: None, ..Folder::open("tokenizer_bang_pad") };
    check("bang_pad", &folder.load().unwrap());
}

#[test]
fn tokenizer_json() {
    let whole = Folder::open("tokenizer_bang_pad");
    check("bang_pad", &whole.load().unwrap());
    // By itself it says with what it pads.
    check("bang_pad", &Folder { tokenizer: whole.tokenizer, ..Folder::default() }.load().unwrap());
}

#[test]
fn the_built_in_vocabulary() {
    let tokenizer = Folder::default().load().unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad(), tokenizer.max_id()), (49406, 49407, 49407, 49407));
    check("real_clip_vocab", &tokenizer);
}

#[test]
fn the_built_in_vocabulary_with_a_padding_of_its_own() {
    let special = Some(br#"{"pad_token": "!"}"#.to_vec());
    let tokenizer = Folder { special, ..Folder::default() }.load().unwrap();
    assert_eq!(tokenizer.pad(), 0);
    let tokenizer = Tokenizer::new(&TokenizerFiles { padding: Some("!"), ..TokenizerFiles::default() }).unwrap();
    assert_eq!((tokenizer.pad(), tokenizer.eos()), (0, 49407));
}

#[test]
fn a_window_is_never_absurd() {
    let windows = [
        ("77", 77),
        ("9", 9),
        ("1e30", 77),
        ("1000000000000000019884624838656", 77),
        ("-1", 77),
        ("0", 77),
        ("null", 77),
        ("\"x\"", 77),
    ];
    for (length, window) in windows {
        let config = format!(r#"{{"model_max_length": {length}}}"#).into_bytes();
        let tokenizer = Folder { config: Some(config), ..Folder::default() }.load().unwrap();
        assert_eq!(tokenizer.window(77), window, "{length}");
    }
    assert_eq!(Folder::default().load().unwrap().window(77), 77);
}

#[test]
fn faulty_files_are_named() {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let cases = [
        (Folder { vocab: text("{}"), ..Folder::default() }, "has a vocab.json but no merges.txt"),
        (Folder { merges: text(""), ..Folder::default() }, "has a merges.txt but no vocab.json"),
        (Folder { vocab: text("["), merges: text(""), ..Folder::default() }, "vocab.json is not a tokenizer's"),
        (Folder { vocab: text(r#"{"a": -1}"#), merges: text(""), ..Folder::default() }, "vocab.json is not a tokenizer's"),
        (Folder { vocab: text("{}"), merges: Some(vec![0xff]), ..Folder::default() }, "merges.txt is not a tokenizer's"),
        (Folder { vocab: text(r#"{"a": 0, "b": 1}"#), merges: text("a b\n"), ..Folder::default() }, "lacks \"ab\""),
        (Folder { vocab: text(r#"{"a": 0}"#), merges: text("a b\n"), ..Folder::default() }, "lacks \"b\""),
        (Folder { config: text("nonsense"), ..Folder::default() }, "tokenizer_config.json is not"),
        (Folder { special: text("{"), ..Folder::default() }, "special_tokens_map.json is not"),
        (Folder { tokenizer: text("{}"), ..Folder::default() }, "tokenizer.json is not"),
        (
            Folder { tokenizer: text(r#"{"model": {"type": "Unigram", "vocab": []}}"#), ..Folder::default() },
            "holds a Unigram model",
        ),
        (
            Folder { tokenizer: text(r#"{"model": {"type": "BPE", "vocab": {}, "merges": []}}"#), ..Folder::default() },
            "holds a BPE (word end None)",
        ),
    ];
    for (folder, message) in cases {
        let error = folder.load().unwrap_err().to_string();
        assert!(error.contains(message), "{error:?} should say {message:?}");
    }
}

#[test]
fn odd_texts_are_cut_in_reasonable_time() {
    let tokenizer = Folder::default().load().unwrap();
    let texts = [
        "a".repeat(16 << 10),
        "(".repeat(16 << 10),
        "\0\u{feff}\u{202e}".repeat(2000),
        "🙂".repeat(4000),
        "<|endoftext|>".repeat(1000),
    ];
    for text in texts {
        let tokens = tokenizer.tokens(&text).unwrap();
        assert!(!tokens.is_empty() && tokens.iter().all(|&id| id <= tokenizer.max_id()));
        assert!(tokens.len() <= text.len());
    }
}

#[test]
fn a_vocabulary_without_its_special_tokens_is_completed() {
    let folder = Folder { vocab: Some(br#"{"a</w>": 5, "a": 6}"#.to_vec()), merges: Some(Vec::new()), ..Folder::default() };
    let tokenizer = folder.load().unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad(), tokenizer.max_id()), (7, 8, 8, 8));
    // Bytes that the vocabulary lacks come out as the unknown token, which is the end mark.
    assert_eq!(tokenizer.tokens("a b").unwrap(), [5, 8]);
}
