//! Which of the files in a model's folder hold its weights.
//!
//! The libraries write `model.safetensors` (text encoders) or `diffusion_pytorch_model.safetensors` (everything
//! else); half-precision copies carry `fp16` in the name; a large component is cut into shards that an
//! `*.safetensors.index.json` lists.

/// Which copy of the weights is wanted where a folder has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// The copy as trained.
    Full,
    /// The half-precision copy: half the bytes to read.
    Half,
}

/// The files to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSet {
    /// One file.
    Single(String),
    /// The index of a sharded checkpoint.
    Sharded(String),
}

/// Why a folder has no usable weights.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FilesError {
    /// Only formats that are not read.
    #[error(
        "the only weights here are {0}, in a format that can run programs when it is opened, so it is not read; get the \
         `.safetensors` files of this model, or convert it"
    )]
    Pickle(String),
    /// Nothing at all.
    #[error(
        "no weights here: `model.safetensors`, `diffusion_pytorch_model.safetensors` or a sharded `.safetensors.index.json` is needed"
    )]
    None,
}

/// The base names that the libraries use.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];

/// Chooses among the file names of a component's folder.
///
/// The preferred precision comes first, the other one stands in for it; a single file comes before shards.
///
/// # Errors
/// Where there is no safetensors file that the libraries would have written.
pub fn choose_files<S: AsRef<str>>(names: &[S], precision: Precision) -> Result<FileSet, FilesError> {
    let has = |name: &str| names.iter().any(|n| n.as_ref() == name);
    let variants = match precision {
        Precision::Full => ["", ".fp16"],
        Precision::Half => [".fp16", ""],
    };
    for variant in variants {
        for stem in STEMS {
            let single = format!("{stem}{variant}.safetensors");
            if has(&single) {
                return Ok(FileSet::Single(single));
            }
            // Two spellings are about: the second is the older one.
            for index in [format!("{stem}{variant}.safetensors.index.json"), format!("{stem}.safetensors.index{variant}.json")] {
                if has(&index) {
                    return Ok(FileSet::Sharded(index));
                }
            }
        }
    }
    let pickled = names.iter().map(AsRef::as_ref).find(|name: &&str| {
        let lower = name.to_ascii_lowercase();
        [".bin", ".ckpt", ".pt", ".pth", ".pkl"].iter().any(|ending| lower.ends_with(ending))
    });
    Err(pickled.map_or(FilesError::None, |name| FilesError::Pickle(name.to_owned())))
}
