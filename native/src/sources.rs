//! What a packed model remembers of the files that it was made from.

use encaustic_engine::weights::{Header, Manifest, Precision, Source};
use encaustic_importer::Training;
use serde_json::Value;

use crate::failure::Failure;
use crate::library::ModelFiles;
use crate::mapped::MappedFile;
use crate::{hash, info};

/// The largest model card that is read.
const CARD_LIMIT: usize = 1 << 20;

/// What a model says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// What it is called.
    pub title: Option<String>,
    /// Under which terms it is given.
    pub license: Option<String>,
}

impl About {
    /// From a packed model's manifest, a file's metadata, or a folder's card.
    pub fn of(model: &ModelFiles, manifest: Option<&Manifest>) -> Self {
        if let Some(manifest) = manifest {
            return Self { title: manifest.title.clone(), license: manifest.license.clone() };
        }
        match model {
            ModelFiles::Single(single) => {
                let header = MappedFile::open(single.path()).ok().and_then(|file| Header::read(&file).ok());
                let training = header.map(|header| Training::read(header.metadata())).unwrap_or_default();
                Self { title: training.title, license: training.license }
            }
            ModelFiles::Folder(_) | ModelFiles::Demo => {
                let card = model.read("README.md").ok().flatten().filter(|text| text.len() <= CARD_LIMIT);
                let card = card.and_then(|text| String::from_utf8(text).ok()).unwrap_or_default();
                Self { title: None, license: front_matter(&card, "license") }
            }
        }
    }
}

/// A field of the block between two lines of `---` that model cards begin with.
fn front_matter(card: &str, field: &str) -> Option<String> {
    let mut lines = card.lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let block = lines.take_while(|line| line.trim_end() != "---");
    let value = block.filter_map(|line| line.split_once(':')).find(|(name, _)| *name == field)?.1;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty() && value.len() <= 200).then(|| value.to_owned())
}

/// The files with a model's weights, and the file of another autoencoder, with their hashes. A packed model hands on what
/// it was itself made from.
///
/// # Errors
/// If a file cannot be read.
pub fn hashes(
    model: &ModelFiles,
    vae: Option<&ModelFiles>,
    packed: Option<&Manifest>,
    precision: Precision,
) -> Result<Vec<Source>, Failure> {
    let mut sources = match packed {
        Some(manifest) => manifest.sources.clone(),
        None => of_files(model, precision)?,
    };
    if let Some(vae) = vae {
        sources.extend(of_files(vae, precision)?);
    }
    Ok(sources)
}

fn of_files(model: &ModelFiles, precision: Precision) -> Result<Vec<Source>, Failure> {
    let mut names = Vec::new();
    match model {
        ModelFiles::Single(single) => names.push(single.offer().path.to_owned()),
        ModelFiles::Folder(_) | ModelFiles::Demo => {
            let text = model.read("model_index.json").ok().flatten().unwrap_or_default();
            let index: Value = serde_json::from_slice(&text).unwrap_or_default();
            let folders = index.as_object().into_iter().flatten().map(|(folder, _)| folder.as_str());
            // (An autoencoder alone lies in the folder itself.)
            for folder in folders.chain([""]) {
                let is_network = ["", "unet", "vae"].contains(&folder) || folder.starts_with("text_encoder");
                if is_network && let Some((files, _)) = info::weights(model, folder, precision)? {
                    names.extend(files.into_iter().map(|file| file.trim_start_matches('/').to_owned()));
                }
            }
        }
    }
    let failed = |name: &str, error: std::io::Error| Failure::System(format!("{}: {name}: {error}", model.place()));
    let source = |name: String| {
        let (bytes, sha) = match model.path(&name) {
            Some(path) => {
                let bytes = path.metadata().map_err(|error| failed(&name, error))?.len();
                (bytes, hash::of_file(&path).map_err(|error| failed(&name, error))?)
            }
            None => {
                let source = model.source(&name).map_err(|error| failed(&name, error))?;
                (source.bytes().len() as u64, hash::of_bytes(source.bytes()))
            }
        };
        Ok(Source { file: name, bytes, sha256: sha.full().to_owned() })
    };
    names.into_iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_tells_the_licence() {
        for (card, expected) in [
            ("---\nlicense: creativeml-openrail-m\ntags:\n- x\n---\n# Model", Some("creativeml-openrail-m")),
            ("---\r\ntags: a\r\nlicense: \"mit\"\r\n---\r\n", Some("mit")),
            ("---\ntags: a\n---\nlicense: mit", None),
            ("license: mit", None),
            ("---\nlicense:\n---", None),
            ("", None),
        ] {
            assert_eq!(front_matter(card, "license").as_deref(), expected, "{card:?}");
        }
    }
}
