//! What a model consists of, for those who write it down in another form.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::files::{Files, LoadError};
use super::latent_diffusion::DEFAULTS;
use super::package::Package;
use super::part::Walk;
use super::{Family, LatentDiffusion};
use crate::weights::{Manifest, Parameter, Precision, See};

/// Files of a model beside its weights that lie at fixed places, but for those of its text encoders.
const FILES: [&str; 4] = ["model_index.json", "scheduler/scheduler_config.json", "unet/config.json", DEFAULTS];
/// The files of a tokenizer.
const TOKENIZER: [&str; 5] = ["tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];

/// Where a model comes from.
pub(super) struct Origin {
    pub(super) package: Rc<Package>,
    /// What its autoencoder comes from, if it is another's.
    pub(super) vae: Option<Rc<Package>>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("has_another_vae", &self.vae.is_some()).finish_non_exhaustive()
    }
}

/// What a model consists of.
pub struct Contents {
    /// Its family.
    pub family: &'static Family,
    /// Its small files in diffusers' layout, read or made: configurations, tokenizers, its own settings.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Its networks, in the order in which a run needs them.
    pub components: Vec<Component>,
    /// What it says of itself, if it was packed.
    pub manifest: Option<Manifest>,
}

/// A network of a model.
pub struct Component {
    /// Its folder in diffusers' layout.
    pub name: &'static str,
    walk: Rc<dyn Walk>,
}

impl Component {
    /// Its parameters in the order of their files, and how many bytes each takes of these.
    ///
    /// # Errors
    /// If the files have changed, or cannot be read.
    pub fn list(&self, files: Precision) -> Result<Vec<(Parameter, u64)>, LoadError> {
        self.walk.list(files)
    }

    /// Goes through its parameters one by one, in the order of [`list`](Self::list), from number `from` on. `see` reads them, and
    /// may end it.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn each(&self, files: Precision, from: usize, see: &mut See<'_>) -> Result<ControlFlow<()>, LoadError> {
        self.walk.each(files, from, see)
    }
}

impl LatentDiffusion {
    /// What the model consists of: everything that is needed to load it again.
    ///
    /// # Errors
    /// If a small file cannot be read.
    pub fn contents(&self) -> Result<Contents, LoadError> {
        let Origin { package, vae } = &self.origin;
        let mut paths: Vec<String> = FILES.iter().map(|path| (*path).to_owned()).collect();
        for encoder in self.family.encoders {
            paths.push(format!("{}/config.json", encoder.folder));
            paths.extend(TOKENIZER.iter().map(|name| format!("{}/{name}", encoder.tokenizer)));
        }
        let mut files = BTreeMap::new();
        for path in paths {
            if let Some(text) = package.text(&path)? {
                files.insert(path, text);
            }
        }
        let (owner, folder) = vae.as_ref().map_or((package, "vae"), |other| (other, other.autoencoder_folder()));
        let config = if folder.is_empty() { "config.json".to_owned() } else { format!("{folder}/config.json") };
        if let Some(text) = owner.text(&config)? {
            files.insert("vae/config.json".to_owned(), text);
        }
        let encoders = self.text.encoders.iter().map(|encoder| (encoder.recipe.folder, encoder.network.walk()));
        let rest = [("unet", self.unet.walk()), ("vae", self.autoencoder.walk())];
        let components = encoders.chain(rest).map(|(name, walk)| Component { name, walk }).collect();
        Ok(Contents { family: self.family, files, components, manifest: package.manifest().cloned() })
    }
}
