//! A file of the user's: a checkpoint, told by its header, read in place.

use std::rc::Rc;

use encaustic_engine::weights::Header;
use encaustic_importer::{Training, inspect};
use encaustic_protocol::{Failure, FailureKind};
use web_sys::File;

use super::blob::BlobSource;
use super::files::{Form, Meter, ModelFiles, Vault};

/// A checkpoint.
pub(super) struct Single {
    /// The file's name.
    pub(super) name: String,
    /// What its trainer noted.
    pub(super) training: Training,
    /// Its bytes.
    pub(super) bytes: u64,
    source: Rc<BlobSource>,
}

impl Single {
    /// Looks at a file: what it is, if pictures can be made from it.
    pub(super) fn open(file: Option<File>) -> Result<Self, Failure> {
        let refuse = |message: String| Failure { kind: FailureKind::Model, message };
        let file = file.ok_or_else(|| refuse("this order needs a file beside it, and none came".to_owned()))?;
        let (name, bytes) = (file.name(), file.size() as u64);
        let named = |problem: String| refuse(format!("{name}: {problem}"));
        let source = BlobSource::new(file.into()).map_err(named)?;
        let header = Header::read(&source).map_err(|error| named(error.to_string()))?;
        let report = inspect(&header);
        match report.unfit() {
            Some(why) => Err(named(why)),
            // The command can be given one beside the file.
            None if !report.has_autoencoder() => {
                Err(named("the file has no VAE, and here it needs one: get a checkpoint with the VAE in it".to_owned()))
            }
            None => Ok(Self { training: Training::read(header.metadata()), bytes, source: Rc::new(source), name }),
        }
    }

    /// What it is called: by its trainer, else by its name without the ending.
    pub(super) fn title(&self) -> String {
        let stem = self.name.rsplit_once('.').map_or(self.name.as_str(), |(stem, _)| stem);
        self.training.title.clone().unwrap_or_else(|| stem.to_owned())
    }

    /// The model that the file is.
    pub(super) fn files(&self, meter: &Rc<Meter>) -> ModelFiles {
        let vault = Vault::default();
        vault.put(&self.name, self.source.clone());
        ModelFiles { form: Form::Single(self.name.clone()), vault: Rc::new(vault), meter: Rc::clone(meter) }
    }
}
