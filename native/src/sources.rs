//! What a packed model remembers of the files that it was made from.

use encaustic_engine::weights::{Header, MAX_TEXT, Manifest, Precision, Source};
use encaustic_importer::Training;

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
        let Self { title, license } = match model {
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
        };
        Self { title: title.as_deref().map(line), license: license.as_deref().map(line) }
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

/// What an autoencoder is called among a model's components.
const VAE: &str = "vae";

/// The files that a model's components came from, with their hashes: of the model, but for its autoencoder if another is
/// given. A packed model hands on what it was itself made from. `precision` tells which copy of a model's files is read.
///
/// # Errors
/// If a file cannot be read, and on Ctrl-C.
pub fn hashes(
    model: &ModelFiles,
    vae: Option<&ModelFiles>,
    components: &[&str],
    precision: Precision,
) -> Result<Vec<Source>, Failure> {
    let own: Vec<&str> = components.iter().copied().filter(|name| vae.is_none() || *name != VAE).collect();
    let mut sources = of(model, &own, precision)?;
    if let Some(vae) = vae {
        sources.extend(of(vae, &[VAE], precision)?);
    }
    Ok(sources)
}

fn of(model: &ModelFiles, components: &[&str], precision: Precision) -> Result<Vec<Source>, Failure> {
    if let Some(manifest) = model.manifest()? {
        let kept = manifest.sources.into_iter().map(|mut source| {
            source.components.retain(|name| components.contains(&name.as_str()));
            source
        });
        return Ok(kept.filter(|source| !source.components.is_empty()).collect());
    }
    let mut names: Vec<(String, Vec<&str>)> = Vec::new();
    match model {
        ModelFiles::Single(single) => names.push((single.offer().path.to_owned(), components.to_vec())),
        ModelFiles::Folder(_) | ModelFiles::Demo => {
            for component in components {
                // An autoencoder alone lies in the folder itself.
                let folder = if *component == VAE { info::autoencoder_folder(model) } else { component };
                if let Some((files, _)) = info::weights(model, folder, precision)? {
                    names.extend(files.into_iter().map(|file| (file, vec![*component])));
                }
            }
        }
    }
    let failed = |name: &str, error| Failure::hashing(&format!("{}: {name}", model.place()), error);
    let source = |(name, components): (String, Vec<&str>)| {
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
        let components = components.into_iter().map(str::to_owned).collect();
        Ok(Source { file: line(&name), bytes, sha256: sha.full().to_owned(), components })
    };
    names.into_iter().map(source).collect()
}

/// As much of a text as a manifest takes, on one line.
fn line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    while line.len() > MAX_TEXT {
        line.pop();
    }
    line
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
