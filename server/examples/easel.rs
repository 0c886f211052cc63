//! A server whose engine is quick and needs no GPU, for tests of the page that stands before it: `easel ADDRESS DATA
//! [SETTING=VALUE ...]`. It prints one line of JSON when it is ready.
//!
//! Its model is the one in the box by its name and its settings. What a drawing does beside, its prompt says: the words of
//! `tests/server/support/easel.rs`, and those of the fake worker that the page is tested with in a tab (`slow`, `endless`, `fail`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unreachable_pub)]

#[path = "../tests/server/support/easel.rs"]
mod easel;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use encaustic_picture::caption::{Tools, infotext};
use encaustic_protocol::{Card, Catalog, Entry, Failure, FailureKind, Request};
use encaustic_server::Server;
use encaustic_server::config::{Config, ENTRIES};
use encaustic_server::host::{Broken, Care, Device, Drawn, Engine, Host, Loaded, Memory, Model, Transfer, Watch};

use easel::Easel;

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let (listen, data) = (words.next().expect("an address"), words.next().expect("a folder"));
    let mut config = Config { listen: listen.parse().expect("an address"), open: false, ..Config::default() };
    for word in words {
        let (id, value) = word.split_once('=').expect("SETTING=VALUE");
        let entry = ENTRIES.iter().find(|entry| entry.id == id).expect("a setting");
        (entry.set)(&mut config, value).expect("a value of the setting");
    }
    let host = Front { easel: Easel { devices: 2, ..Easel::default() }, gone: Mutex::default() };
    let server = Server::start(config, Path::new(&data), Arc::new(host)).await.expect("a server");
    println!("{{\"address\": \"http://{}\"}}", server.address());
    tokio::signal::ctrl_c().await.expect("an interrupt");
    server.stop().await;
}

/// The easel with the model in the box.
struct Front {
    easel: Easel,
    /// The models that were deleted.
    gone: Mutex<Vec<String>>,
}

fn defaults() -> Request {
    Request {
        steps: Some(4),
        cfg: Some(3.0),
        sampler: Some("ddim".into()),
        schedule: Some("trailing".into()),
        width: Some(128),
        height: Some(128),
        ..Request::default()
    }
}

fn catalog() -> Catalog {
    let entry = |(id, label): (&str, &str)| Entry::new(id, label);
    Catalog {
        families: [("sd1", "Stable Diffusion 1.x"), ("sdxl", "Stable Diffusion XL")].map(entry).into(),
        samplers: [("euler", "Euler"), ("dpmpp-2m", "DPM++ 2M"), ("ddim", "DDIM")].map(entry).into(),
        schedules: [("trailing", "Trailing"), ("karras", "Karras"), ("normal", "Normal")].map(entry).into(),
    }
}

fn card() -> Card {
    Card {
        family: "sd1".into(),
        title: Some("Encaustic's model in the box".into()),
        license: Some("MIT OR Apache-2.0".into()),
        defaults: defaults(),
        multiple_of: 8,
        sizes: vec![[128, 128], [160, 96], [96, 160]],
        chunk_tokens: 75,
    }
}

impl Host for Front {
    fn catalog(&self) -> Catalog {
        catalog()
    }

    fn devices(&self) -> Vec<Device> {
        self.easel.devices()
    }

    fn open(&self, device: &str) -> Result<Box<dyn Engine>, Failure> {
        Ok(Box::new(Canvas(self.easel.open(device)?)))
    }

    fn models(&self) -> Result<Vec<Model>, Failure> {
        let own = |model: Model| {
            if model.name == "demo" {
                return Model { title: card().title.unwrap_or_default(), license: card().license, bytes: 20_842_870, ..model };
            }
            Model { title: "Another one".into(), ..model }
        };
        let gone = self.gone.lock().unwrap();
        Ok(self.easel.models()?.into_iter().filter(|model| !gone.contains(&model.name)).map(own).collect())
    }

    fn card(&self, model: Option<&str>) -> Result<Card, Failure> {
        let title = |card: Card| if model.is_none_or(|name| name == "demo") { card } else { Card { title: None, ..card } };
        self.easel.card(model).map(|_| title(card()))
    }

    fn count(&self, model: Option<&str>, texts: &[String]) -> Result<Vec<u32>, Failure> {
        self.easel.count(model, texts)
    }

    fn pull(&self, source: &str, told: &mut dyn FnMut(Transfer) -> ControlFlow<()>) -> Result<(), Failure> {
        let slowly = source.contains("slow");
        self.easel.pull(source, &mut |transfer| {
            if slowly {
                std::thread::sleep(std::time::Duration::from_millis(600));
            }
            told(transfer)
        })
    }

    fn remove(&self, model: &str) -> Result<(), Failure> {
        self.easel.remove(model)?;
        self.gone.lock().unwrap().push(model.to_owned());
        Ok(())
    }
}

struct Canvas(Box<dyn Engine>);

impl Engine for Canvas {
    fn device(&self) -> Device {
        self.0.device()
    }

    fn load(&mut self, model: Option<&str>) -> Result<Loaded, Broken> {
        self.0.load(model).map(|loaded| Loaded { card: card(), ..loaded })
    }

    fn unload(&mut self) {
        self.0.unload();
    }

    fn draw(&mut self, request: &Request, care: Care, watch: &mut dyn Watch) -> Result<Drawn, Broken> {
        // In the negative prompt they are not seen where prompts are shown.
        let words = || request.prompt.split_whitespace().chain(request.negative.split_whitespace());
        let has = |wanted: &str| words().any(|word| word == wanted);
        if has("fail") {
            let message = "the GPU has too little memory for this picture; make it smaller".to_owned();
            return Err(Broken::Failed(Failure { kind: FailureKind::Device, message }));
        }
        let own = defaults();
        let mut asked = Request {
            steps: request.steps.or(own.steps),
            cfg: request.cfg.or(own.cfg),
            sampler: request.sampler.clone().or(own.sampler),
            schedule: request.schedule.clone().or(own.schedule),
            width: request.width.or(own.width),
            height: request.height.or(own.height),
            ..request.clone()
        };
        if has("endless") {
            asked.steps = Some(1000);
        }
        if has("endless") || has("slow") {
            asked.prompt.push_str(" slow:120");
        }
        let drawn = self.0.draw(&asked, care, watch)?;
        let settings = Request { prompt: request.prompt.clone(), ..drawn.settings };
        let tools = Tools { model: card().title, ..Tools::default() };
        let parameters = |(seed, _): &(u64, _)| infotext(&settings, *seed, &tools, &catalog()).to_string();
        Ok(Drawn { parameters: drawn.pictures.iter().map(parameters).collect(), settings, ..drawn })
    }

    fn memory(&self) -> Memory {
        self.0.memory()
    }
}
