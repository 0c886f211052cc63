//! A device's engine, as the server's worker uses it: the model stays, what it takes is known before it is tried, and what goes
//! wrong is told apart: too little memory, a device that is lost, a job that cannot be done.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use encaustic_engine::card::card;
use encaustic_engine::device::Compute;
use encaustic_engine::engine;
use encaustic_engine::error::{GenerateError, is_short_of_memory};
use encaustic_engine::family::{Amount, Files, Keep, Survey, survey};
use encaustic_engine::latent::Picture;
use encaustic_engine::pipeline::Outcome;
use encaustic_engine::settings::Settings;
use encaustic_protocol::{Failure, FailureKind, Request};
use encaustic_server::host::{Broken, Care, Device, Drawn, Engine, Loaded, Memory, Pixels, Watch};
use futures_lite::future::block_on;

use super::models::{self, Chosen};
use super::watch::Follow;
use crate::caption::{Caption, Hashes, Known};
use crate::machine::Machine;
use crate::seed;

/// A device with at most one model.
pub(super) struct Artist {
    compute: Compute,
    device: Device,
    usual: Option<String>,
    limit: Option<u64>,
    held: Option<Held>,
    /// What to load before the next drawing, where it could not be loaded anew for the last one.
    missing: Option<Missing>,
}

/// A model that should be on the device.
#[derive(Clone)]
struct Missing {
    wanted: Option<String>,
    chosen: Chosen,
    keep: Keep,
}

/// A model on the device.
struct Held {
    /// What it was asked for as.
    wanted: Option<String>,
    chosen: Chosen,
    engine: engine::Engine,
    keep: Keep,
    survey: Survey,
    machine: Machine,
    hashes: Digests,
    loaded: Loaded,
}

/// The hashes of a model's files, which are computed while it draws.
enum Digests {
    Pending(Option<Hashes>),
    Known(Known),
}

impl Artist {
    pub(super) fn new(compute: Compute, device: Device, usual: Option<String>, limit: Option<u64>) -> Self {
        Self { compute, device, usual, limit, held: None, missing: None }
    }

    /// Bytes that may be used, if that is known.
    fn budget(&self) -> Option<u64> {
        match (self.limit, self.device.memory) {
            (Some(limit), Some(memory)) => Some(limit.min(memory)),
            (limit, memory) => limit.or(memory),
        }
    }

    fn hold(&self, wanted: Option<&str>, chosen: Chosen, keep: Option<Keep>) -> Result<Held, Broken> {
        let refused = |error: String| {
            let message = format!("model: {}: {error}", chosen.files.place());
            if is_short_of_memory(&error) {
                return Broken::OutOfMemory { needed: None, available: self.budget() };
            }
            Broken::Failed(Failure { kind: FailureKind::Model, message })
        };
        let files: Rc<dyn Files> = Rc::new(chosen.files.clone());
        let vae = chosen.vae.clone().map(|vae| Rc::new(vae) as Rc<dyn Files>);
        let survey = survey(&files).map_err(|error| refused(error.to_string()))?;
        let all = survey.needs(self.compute.precision).all;
        let fits = self.budget().is_none_or(|budget| all <= budget);
        let keep = keep.unwrap_or(if fits { Keep::All } else { Keep::InTurn });
        let engine = engine::Engine::load(self.compute.clone(), &files, vae.as_ref(), keep);
        let engine = engine.map_err(|error| refused(error.to_string()))?;
        let card = card(engine.model()).map_err(|error| refused(error.to_string()))?;
        let machine = Machine {
            model: chosen.files.clone(),
            vae: chosen.vae.clone(),
            device: self.compute.info.name,
            precision: Some(self.compute.precision),
        };
        let hashes = Digests::Pending(Some(Hashes::begin(&machine)));
        let loaded = Loaded { name: chosen.name.clone(), hash: None, card };
        tracing::info!(model = chosen.name, ?keep, "model loaded");
        Ok(Held { wanted: wanted.map(str::to_owned), chosen, engine, keep, survey, machine, hashes, loaded })
    }

    /// Has the networks come and go one after another from now on, if all at once take too much for a job and that is enough.
    fn make_room(&mut self, settings: &Settings, care: Care) -> Result<(), Broken> {
        let (Some(budget), Some(held)) = (self.budget(), self.held.as_ref()) else { return Ok(()) };
        let needs = held.needs(&self.compute, settings, care);
        if held.keep == Keep::All && needs.all > budget && needs.in_turn <= budget {
            tracing::info!("networks are loaded one after another, as all at once would take {} bytes", needs.all);
            self.reload()?;
        }
        let needed = if self.held.as_ref().is_some_and(|held| held.keep == Keep::All) { needs.all } else { needs.in_turn };
        if needed > budget {
            return Err(Broken::OutOfMemory { needed: Some(needed), available: Some(budget) });
        }
        Ok(())
    }

    /// Loads the model anew, to have its networks come and go one after another.
    fn reload(&mut self) -> Result<(), Broken> {
        if let Some(held) = &self.held {
            let missing = Missing { wanted: held.wanted.clone(), chosen: held.chosen.clone(), keep: Keep::InTurn };
            self.unload();
            self.missing = Some(missing);
        }
        self.fetch()
    }

    /// Loads what is missing, if something is.
    fn fetch(&mut self) -> Result<(), Broken> {
        let Some(Missing { wanted, chosen, keep }) = self.missing.clone() else { return Ok(()) };
        self.held = Some(self.hold(wanted.as_deref(), chosen, Some(keep))?);
        self.missing = None;
        Ok(())
    }

    /// Whether to try once more with networks that come and go, after all at once took too much: not every device tells how much
    /// memory it has, so it cannot always be known before.
    fn can_shrink(&self, broken: &Broken) -> bool {
        matches!(broken, Broken::OutOfMemory { .. }) && self.held.as_ref().is_some_and(|held| held.keep == Keep::All)
    }
}

impl Held {
    fn needs(&self, compute: &Compute, settings: &Settings, care: Care) -> encaustic_engine::family::Needs {
        let amount = Amount {
            width: settings.width,
            height: settings.height,
            batch: u32::try_from(settings.lanes().first().map_or(1, Vec::len)).unwrap_or(u32::MAX),
            is_guided: self.engine.model().is_guided(settings.guidance),
            is_sparing: care.tile_vae,
        };
        self.survey.needs_for(&compute.info, compute.precision, &amount)
    }

    fn hashes(&mut self) -> Known {
        if let Digests::Pending(pending) = &mut self.hashes {
            self.hashes = Digests::Known(pending.take().map(Hashes::finish).unwrap_or_default());
        }
        match &self.hashes {
            Digests::Known(known) => known.clone(),
            Digests::Pending(_) => Known::default(),
        }
    }
}

impl Engine for Artist {
    fn device(&self) -> Device {
        self.device.clone()
    }

    fn load(&mut self, model: Option<&str>) -> Result<Loaded, Broken> {
        let wanted = model.map(str::to_owned);
        if let Some(held) = self.held.as_ref().filter(|held| held.wanted == wanted) {
            return Ok(held.loaded.clone());
        }
        let chosen = models::choose(model, self.usual.as_deref()).map_err(|failure| Broken::Failed(models::told(&failure)))?;
        if let Some(held) = self.held.as_mut().filter(|held| held.chosen.name == chosen.name && held.chosen.files == chosen.files)
        {
            held.wanted = wanted;
            return Ok(held.loaded.clone());
        }
        self.unload();
        let held = match guarded(self.budget(), || self.hold(model, chosen.clone(), None)) {
            Err(Broken::OutOfMemory { .. }) => {
                // Not every device tells how much memory it has. What was half loaded must go first.
                self.compute.device.memory_cleanup();
                tracing::info!("networks are loaded one after another, as all at once take too much memory");
                guarded(self.budget(), || self.hold(model, chosen, Some(Keep::InTurn)))?
            }
            held => held?,
        };
        let loaded = held.loaded.clone();
        self.held = Some(held);
        Ok(loaded)
    }

    fn unload(&mut self) {
        self.held = None;
        self.missing = None;
        self.compute.device.memory_cleanup();
    }

    fn draw(&mut self, request: &Request, care: Care, watch: &mut dyn Watch) -> Result<Drawn, Broken> {
        let nothing = || Broken::Failed(Failure { kind: FailureKind::Model, message: "no model is loaded".to_owned() });
        guarded(self.budget(), || self.fetch())?;
        let held = self.held.as_ref().ok_or_else(nothing)?;
        let settings = held.engine.resolve(request, seed::random()).map_err(|error| Broken::Failed(error.failure()))?;
        let budget = self.budget();
        guarded(budget, || self.make_room(&settings, care))?;
        let memory = self.memory();
        let held = self.held.as_mut().ok_or_else(nothing)?;
        held.engine.spare(care.tile_vae);
        let compute = self.compute.clone();
        let mut follow = Follow::new(watch, &compute, memory.total);
        let outcome =
            guarded(budget, || block_on(held.engine.generate(&settings, &mut follow)).map_err(|error| broken(&error, budget)));
        let seconds = follow.seconds();
        let pictures = match outcome {
            Ok(Outcome::Finished(pictures)) => pictures,
            Ok(Outcome::Cancelled) => return Err(Broken::Stopped),
            Err(broken) => {
                // What was half done must not be in the way of what is tried next.
                compute.device.memory_cleanup();
                if self.can_shrink(&broken) {
                    tracing::info!("networks are loaded one after another, as all at once take too much memory");
                    guarded(budget, || self.reload())?;
                    return self.draw(request, care, watch);
                }
                return Err(broken);
            }
        };
        let seeds = settings.seeds();
        let caption = Caption { settings: &settings, machine: &held.machine.clone(), hashes: held.hashes() };
        let parameters = seeds.iter().map(|seed| caption.infotext(*seed).to_string()).collect();
        let pictures = seeds.into_iter().zip(pictures.into_iter().map(pixels)).collect();
        Ok(Drawn { pictures, settings: settings.request(), parameters, seconds })
    }

    fn memory(&self) -> Memory {
        let used = self.compute.device.memory_pool_usage().map(|usage| usage.bytes_reserved);
        Memory { used: used.or_else(|| crate::memory::now().filter(|_| self.device.kind == "cpu")), total: self.device.memory }
    }
}

pub(super) fn pixels(picture: Picture) -> Pixels {
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    Pixels { width: side(picture.width), height: side(picture.height), rgb: picture.pixels }
}

/// What a failure of the engine means for its device.
fn broken(error: &GenerateError, available: Option<u64>) -> Broken {
    let failure = error.failure();
    match error {
        error if is_short_of_memory(&error.to_string()) => Broken::OutOfMemory { needed: None, available },
        GenerateError::Device(_) => Broken::Lost(failure),
        _ => Broken::Failed(failure),
    }
}

/// Runs something on the device; a panic in its layers is a failure like others.
fn guarded<T>(available: Option<u64>, run: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = words(panic.as_ref());
        if is_short_of_memory(&text) {
            return Err(Broken::OutOfMemory { needed: None, available });
        }
        let message = format!("the engine broke down: {text}");
        Err(Broken::Lost(Failure { kind: FailureKind::Device, message }))
    })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it did not say why".to_owned())
}
