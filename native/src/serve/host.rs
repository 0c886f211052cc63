//! What the server asks of this machine.

use std::ops::ControlFlow;
use std::sync::Mutex;

use encaustic_engine::catalog::catalog;
use encaustic_engine::device::{self, DeviceInfo, DeviceKind, DeviceName, Precision};
use encaustic_protocol::{Card, Catalog, Failure, FailureKind};
use encaustic_server::config::Config;
use encaustic_server::host::{Device, Engine, Host, Model, Transfer};
use futures_lite::future::block_on;

use super::cards::Cards;
use super::engine::Artist;
use super::models::{self, Shelf};
use crate::failure::{self, Refusal};
use crate::{memory, pull, rm};

/// What is said of a download that somebody has stopped.
const STOPPED: &str = "it was stopped; what has come is kept, and the next try goes on from there";

/// This machine.
pub(super) struct Machine {
    /// The model for jobs that name none: a name, or a path of whoever started the server.
    usual: Option<String>,
    precision: Option<Precision>,
    memory_limit: Option<u64>,
    shelf: Mutex<Shelf>,
    cards: Cards,
}

impl Machine {
    pub(super) fn new(config: &Config) -> Result<Self, failure::Failure> {
        let precision = match config.precision.trim() {
            "" | "auto" => None,
            name => Some(name.parse::<Precision>().map_err(|error| Refusal::new("precision", error.to_string()))?),
        };
        for name in config.devices.0.iter().filter(|name| !["auto", "all"].contains(&name.as_str())) {
            name.parse::<DeviceName>().map_err(|error| Refusal::new("devices", error.to_string()))?;
        }
        Ok(Self {
            usual: config.model.clone(),
            precision,
            memory_limit: config.memory_limit,
            shelf: Mutex::default(),
            cards: Cards::start(config.model.clone())?,
        })
    }

    /// What is on the shelf, and what the cards say, is not what it was.
    fn changed(&self) {
        models::lock(&self.shelf).forget();
        self.cards.forget();
    }
}

impl Host for Machine {
    fn catalog(&self) -> Catalog {
        catalog()
    }

    fn devices(&self) -> Vec<Device> {
        block_on(device::enumerate()).iter().map(|info| describe(info, self.memory_limit)).collect()
    }

    fn open(&self, device: &str) -> Result<Box<dyn Engine>, Failure> {
        let name = device.parse::<DeviceName>().map_err(|error| Failure {
            kind: FailureKind::Device,
            message: format!("{error}; `encaustic devices` lists them"),
        })?;
        let compute = block_on(device::open(name, self.precision))
            .map_err(|error| Failure { kind: FailureKind::Device, message: error.to_string() })?;
        let device = describe(&compute.info, self.memory_limit);
        tracing::info!(device = device.name, precision = %compute.precision, "open");
        Ok(Box::new(Artist::new(compute, device, self.usual.clone(), self.memory_limit)))
    }

    fn models(&self) -> Result<Vec<Model>, Failure> {
        Ok(models::lock(&self.shelf).all())
    }

    fn card(&self, model: Option<&str>) -> Result<Card, Failure> {
        self.cards.card(model)
    }

    fn count(&self, model: Option<&str>, texts: &[String]) -> Result<Vec<u32>, Failure> {
        self.cards.count(model, texts)
    }

    fn pull(&self, source: &str, told: &mut dyn FnMut(Transfer) -> ControlFlow<()>) -> Result<(), Failure> {
        let outcome = pull::followed(source, told);
        self.changed();
        outcome.map_err(|failure| match failure {
            // Nobody has pressed Ctrl-C here.
            failure::Failure::Interrupted(_) => Failure { kind: FailureKind::Storage, message: STOPPED.to_owned() },
            failure => models::told(&failure),
        })
    }

    fn remove(&self, model: &str) -> Result<(), Failure> {
        let outcome = rm::removed(model).map_err(|failure| models::told(&failure));
        self.changed();
        outcome
    }
}

/// A device for the server. A processor's memory is the machine's.
fn describe(info: &DeviceInfo, limit: Option<u64>) -> Device {
    let memory = info.memory.or_else(|| memory::total().filter(|_| info.kind == DeviceKind::Cpu));
    Device {
        name: info.name.to_string(),
        label: info.label.clone(),
        kind: kind(info.kind).to_owned(),
        memory: memory.map_or(limit, |memory| Some(memory.min(limit.unwrap_or(u64::MAX)))),
    }
}

fn kind(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Discrete => "discrete",
        DeviceKind::Integrated => "integrated",
        DeviceKind::Virtual => "virtual",
        DeviceKind::Cpu => "cpu",
        DeviceKind::Software => "software",
    }
}
