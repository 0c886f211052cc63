//! From an order to an engine with a model: the files, the device, the networks.

use std::rc::Rc;

use encaustic_engine::card::card;
use encaustic_engine::device::{self, Compute, DeviceError, Precision};
use encaustic_engine::engine::Engine;
use encaustic_engine::family::{Files, Keep};
use encaustic_protocol::{Failure, FailureKind};
use web_sys::File;

use super::Ready;
use super::brake::Brake;
use super::files::{Form, Meter, ModelFiles};
use super::look::{WEBGPU, explain, is_webgpu, precision, residency, survey_of};
use super::post::{breathe, seconds};
use super::shelf::{Shelf, ShelfError};
use super::single::Single;
use crate::message::{Load, LoadSeconds, LoadStage, Loaded, Residency, Source};

/// Loads models, one after another, on one device.
#[derive(Default)]
pub(super) struct Loader {
    compute: Option<Compute>,
}

/// A model's files, ready to be read.
struct Gathered {
    files: ModelFiles,
    /// Its id on the shelf, if it is there.
    id: Option<String>,
    bytes: u64,
    title: Option<String>,
    license: Option<String>,
}

impl Loader {
    /// Gets a model and brings it to the device.
    pub(super) async fn load(
        &mut self,
        shelf: &Shelf,
        load: &Load,
        file: Option<File>,
        brake: &Brake,
    ) -> Result<(Engine, Ready, Loaded), Failure> {
        let precision = precision(load)?;
        // Nobody should wait for a download that cannot be used; but to open the device takes longer than to look for it.
        if self.compute.is_none() && !device::enumerate().await.iter().any(is_webgpu) {
            return Err(failed(DeviceError::Absent { name: WEBGPU, present: Vec::new() }));
        }
        let begun = seconds();
        let Gathered { files, id, bytes, title, license } = gather(shelf, load, file, brake).await?;
        let fetched = seconds();
        let (meter, vault) = (Rc::clone(&files.meter), Rc::clone(&files.vault));
        meter.begin(LoadStage::Device);
        let compute = self.open(precision).await?;
        let opened = seconds();
        // The last moment at which a stop can be heard: what comes next takes the thread.
        breathe().await;
        if brake.is_pulled() {
            return Err(ShelfError::Stopped.into());
        }
        let survey =
            survey_of(ModelFiles { form: files.form.clone(), vault: Rc::clone(&vault), meter: Rc::new(Meter::silent()) })?;
        let residency = residency(load.residency, Some(&compute.info), survey.needs(compute.precision));
        let info = (compute.info.to_string(), compute.precision.to_string());
        meter.begin(LoadStage::Weights);
        let keep = match residency {
            Residency::All => Keep::All,
            Residency::InTurn => Keep::InTurn,
        };
        let files: Rc<dyn Files> = Rc::new(files);
        let model = |message: String| Failure { kind: FailureKind::Model, message };
        let engine = Engine::load(compute, &files, None, keep).map_err(|error| model(error.to_string()))?;
        meter.end();
        let mut card = card(engine.model()).map_err(|error| error.failure())?;
        card.title = card.title.or(title);
        card.license = card.license.or(license);
        let loaded = Loaded {
            card,
            bytes,
            device: info.0,
            precision: info.1,
            residency,
            seconds: LoadSeconds { files: fetched - begun, device: opened - fetched, model: seconds() - opened },
        };
        let (title, tokenizer) = (loaded.card.title.clone(), engine.model().tokenizer());
        let ready = Ready { id, title, residency, loaded: loaded.clone(), vault, tokenizer };
        Ok((engine, ready, loaded))
    }

    /// Gives memory back to the device that no model needs any more.
    pub(super) fn tidy(&self) {
        if let Some(compute) = &self.compute {
            compute.device.memory_cleanup();
        }
    }

    /// The device: opened once, as Burn does it.
    pub(super) async fn open(&mut self, precision: Option<Precision>) -> Result<Compute, Failure> {
        if let Some(compute) = &self.compute
            && precision.is_none_or(|precision| precision == compute.precision)
        {
            return Ok(compute.clone());
        }
        let compute = device::open(WEBGPU, precision).await.map_err(failed)?;
        self.compute = Some(compute.clone());
        Ok(compute)
    }
}

fn failed(error: DeviceError) -> Failure {
    Failure { kind: FailureKind::Device, message: explain(error) }
}

/// The files of a model, whole and checked.
async fn gather(shelf: &Shelf, load: &Load, file: Option<File>, brake: &Brake) -> Result<Gathered, Failure> {
    let (found, address) = match &load.from {
        Source::File => {
            let single = Single::open(file)?;
            let meter = Rc::new(Meter::new(single.bytes));
            let files = single.files(&meter);
            let (bytes, title, license) = (single.bytes, Some(single.title()), single.training.license.clone());
            return Ok(Gathered { files, id: None, bytes, title, license });
        }
        Source::Address(address) => (shelf.at(address, brake).await?, Some(address.trim_end_matches('/'))),
        Source::Stored(id) => (shelf.kept(id).await?, None),
    };
    let bytes = found.manifest.bytes();
    let meter = Rc::new(Meter::new(bytes));
    meter.begin(LoadStage::Files);
    shelf.complete(&found, address, brake, &mut |there| meter.at(there)).await?;
    let vault = shelf.vault(&found).await?;
    let files = ModelFiles { form: Form::Packed(found.text), vault, meter };
    Ok(Gathered { files, id: Some(found.id), bytes, title: found.manifest.title, license: found.manifest.license })
}
