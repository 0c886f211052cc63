//! An engine that is quick: its pictures are made of the seed and the prompt. What it does beside drawing, the prompt says, in
//! words between others: `slow:50` (milliseconds per step), `oom:2` (too little memory for more than two pictures at once),
//! `oom:tiles` (too little memory unless decoded in tiles), `broken` (the job fails), `lost` (the device is lost, each time),
//! `panic`. One that lets go of the model `touchy` panics.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use encaustic_protocol::{Card, Catalog, Entry, Failure, FailureKind, Progress, Request, Stage};
use encaustic_server::host::{Broken, Care, Device, Drawn, Engine, Host, Loaded, Memory, Model, Pixels, Transfer, Watch};

/// A machine of so many easels.
#[derive(Clone, Debug)]
pub struct Easel {
    /// Its devices: `easel:0`, ...
    pub devices: usize,
    /// The names of its models.
    pub models: Vec<String>,
    /// Whether its models of the hub (`hf:...`) are here; the first that is fetched brings them all.
    pub arrived: Arc<AtomicBool>,
    /// Whether the hub answers with 503.
    pub is_down: Arc<AtomicBool>,
    /// Whether nothing of a model called `gated` comes.
    pub is_shut: Arc<AtomicBool>,
    /// How often it finds none of its devices.
    pub hidden: Arc<AtomicUsize>,
    /// How often `easel:0` does not open.
    pub refused: Arc<AtomicUsize>,
}

/// Counts one down; whether there was one.
fn one_of(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

impl Default for Easel {
    fn default() -> Self {
        Self {
            devices: 1,
            models: vec!["demo".to_owned(), "other".to_owned()],
            arrived: Arc::default(),
            is_down: Arc::default(),
            is_shut: Arc::default(),
            hidden: Arc::default(),
            refused: Arc::default(),
        }
    }
}

fn device(name: &str) -> Device {
    Device { name: name.into(), label: "An easel".into(), kind: "discrete".into(), memory: Some(1 << 30) }
}

fn card() -> Card {
    let defaults = Request {
        steps: Some(4),
        cfg: Some(7.0),
        sampler: Some("euler".to_owned()),
        schedule: Some("karras".to_owned()),
        width: Some(64),
        height: Some(64),
        ..Request::default()
    };
    Card {
        family: "sd1".into(),
        title: Some("Easel".into()),
        defaults,
        multiple_of: 8,
        sizes: vec![[64, 64]],
        chunk_tokens: 75,
        ..Card::default()
    }
}

impl Host for Easel {
    fn catalog(&self) -> Catalog {
        Catalog {
            samplers: vec![Entry::new("euler", "Euler"), Entry::new("dpmpp-2m", "DPM++ 2M")],
            schedules: vec![Entry::new("karras", "Karras"), Entry::new("normal", "Normal")],
            ..Catalog::default()
        }
    }

    fn devices(&self) -> Vec<Device> {
        let devices = if one_of(&self.hidden) { 0 } else { self.devices };
        (0..devices).map(|n| device(&format!("easel:{n}"))).collect()
    }

    fn open(&self, device: &str) -> Result<Box<dyn Engine>, Failure> {
        if device == "easel:0" && one_of(&self.refused) {
            return Err(Failure { kind: FailureKind::Device, message: format!("{device}: its driver does not answer") });
        }
        if device.starts_with("easel:") {
            let device = self::device(device);
            return Ok(Box::new(Canvas { host: self.clone(), device, loaded: None }));
        }
        Err(Failure { kind: FailureKind::Device, message: format!("{device}: there is no such device") })
    }

    fn models(&self) -> Result<Vec<Model>, Failure> {
        let model = |name: &String| Model {
            name: name.clone(),
            title: name.clone(),
            kind: "checkpoint".into(),
            family: Some("sd1".into()),
            bytes: 1 << 20,
            sha256: Some("6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa".into()),
            path: Some(format!("/a/secret/folder/{name}")),
            is_own: name != "demo",
            is_usable: true,
            ..Model::default()
        };
        Ok(self.models.iter().map(model).collect())
    }

    fn card(&self, model: Option<&str>) -> Result<Card, Failure> {
        self.find(model).map(|_| card())
    }

    fn count(&self, model: Option<&str>, texts: &[String]) -> Result<Vec<u32>, Failure> {
        self.find(model)?;
        Ok(texts.iter().map(|text| text.split_whitespace().count() as u32).collect())
    }

    fn pull(&self, source: &str, told: &mut dyn FnMut(Transfer) -> ControlFlow<()>) -> Result<(), Failure> {
        for bytes in 0..=10 {
            let transfer = Transfer { file: "weights.safetensors".into(), bytes: bytes * 100, of: 1000 };
            if told(transfer).is_break() {
                return Err(Failure { kind: FailureKind::Storage, message: format!("{source}: stopped") });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        while source.contains("gated") && self.is_shut.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.is_down.load(Ordering::SeqCst) {
            return Err(Failure { kind: FailureKind::Storage, message: format!("{source}: the hub answers with 503") });
        }
        if source.contains("nowhere") {
            return Err(Failure { kind: FailureKind::Model, message: format!("{source}: there is no such model") });
        }
        self.arrived.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn remove(&self, model: &str) -> Result<(), Failure> {
        self.find(Some(model)).map(|_| ())
    }
}

impl Easel {
    fn find(&self, model: Option<&str>) -> Result<String, Failure> {
        let name = model.unwrap_or("demo");
        let message = format!("model: there is no model `{name}`; `encaustic models` lists them");
        let is_here = !name.starts_with("hf:") || self.arrived.load(Ordering::SeqCst);
        if is_here && self.models.iter().any(|known| known == name) {
            Ok(name.to_owned())
        } else {
            Err(Failure { kind: FailureKind::Model, message })
        }
    }
}

struct Canvas {
    host: Easel,
    device: Device,
    loaded: Option<Loaded>,
}

impl Engine for Canvas {
    fn device(&self) -> Device {
        self.device.clone()
    }

    fn load(&mut self, model: Option<&str>) -> Result<Loaded, Broken> {
        self.loaded = None;
        let name = self.host.find(model).map_err(Broken::Failed)?;
        let loaded = Loaded { name, hash: Some("6ce0161689".into()), card: card() };
        self.loaded = Some(loaded.clone());
        Ok(loaded)
    }

    fn unload(&mut self) {
        let loaded = self.loaded.take();
        assert!(loaded.is_none_or(|loaded| loaded.name != "touchy"), "asked for");
    }

    fn draw(&mut self, request: &Request, care: Care, watch: &mut dyn Watch) -> Result<Drawn, Broken> {
        let words: Vec<&str> = request.prompt.split_whitespace().collect();
        let told = |key: &str| words.iter().find_map(|word| word.strip_prefix(key));
        let failure = |kind, message: &str| Failure { kind, message: message.to_owned() };
        match told("oom:") {
            Some("tiles") if !care.tile_vae => {
                return Err(Broken::OutOfMemory { needed: Some(2 << 30), available: Some(1 << 30) });
            }
            Some(most) if most.parse().is_ok_and(|most: u32| request.batch > most) => {
                return Err(Broken::OutOfMemory { needed: Some(2 << 30), available: Some(1 << 30) });
            }
            _ => {}
        }
        if words.contains(&"broken") {
            return Err(Broken::Failed(failure(FailureKind::Device, "step 1 gave numbers beyond the range of f16")));
        }
        if words.contains(&"lost") {
            return Err(Broken::Lost(failure(FailureKind::Device, "the device is lost")));
        }
        assert!(!words.contains(&"panic"), "asked for");
        let own = card().defaults;
        let settings = Request {
            steps: request.steps.or(own.steps),
            cfg: request.cfg.or(own.cfg),
            sampler: request.sampler.clone().or(own.sampler),
            schedule: request.schedule.clone().or(own.schedule),
            width: request.width.or(own.width),
            height: request.height.or(own.height),
            ..request.clone()
        };
        let (width, height) = (settings.width.unwrap_or(64), settings.height.unwrap_or(64));
        let steps = settings.steps.unwrap_or(4);
        let seed = settings.seed.unwrap_or(0);
        let pause = Duration::from_millis(told("slow:").and_then(|ms| ms.parse().ok()).unwrap_or(0));
        for done in 1..=steps {
            std::thread::sleep(pause);
            if watch.wants_look() {
                watch.look(picture(width / 8, height / 8, seed));
            }
            if watch.at(Progress { stage: Stage::Denoise, done, of: steps }).is_break() {
                return Err(Broken::Stopped);
            }
        }
        let seeds = (0..u64::from(settings.batch)).map(|i| seed.wrapping_add(i));
        let pictures: Vec<_> = seeds.map(|seed| (seed, picture(width, height, seed))).collect();
        let model = self.loaded.as_ref().map(|loaded| loaded.name.clone()).unwrap_or_default();
        let parameters = pictures.iter().map(|(seed, _)| {
            format!(
                "{}\nSteps: {steps}, Sampler: Euler, CFG scale: 7, Seed: {seed}, Size: {width}x{height}, Model: {model}",
                request.prompt
            )
        });
        let parameters = parameters.collect();
        Ok(Drawn { pictures, settings, parameters, seconds: vec![("denoise", pause.as_secs_f64() * f64::from(steps))] })
    }

    fn memory(&self) -> Memory {
        Memory { used: Some(1 << 20), total: Some(1 << 30) }
    }
}

/// A gradient in a colour of the seed's.
fn picture(width: u32, height: u32, seed: u64) -> Pixels {
    let [red, green, blue, ..] = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let pixel = |x: u32, y: u32| [red.wrapping_add(x as u8), green.wrapping_add(y as u8), blue];
    let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    Pixels { width, height, rgb }
}
