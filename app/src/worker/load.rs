//! From an address to an engine with a model: the device, the files, the networks.

use std::rc::Rc;

use encaustic_engine::device::{self, Api, Compute, DeviceError, DeviceName, Precision};
use encaustic_engine::engine::Engine;
use encaustic_engine::family::{Files, Keep};
use encaustic_engine::weights::{MANIFEST, MAX_MANIFEST_BYTES, Manifest};
use encaustic_protocol::{Card, Failure, FailureKind};
use js_sys::Reflect;

use super::fetch::{Size, fetch, sha256};
use super::post::{scope, seconds, tell};
use super::store::{Memory, PackedModel, Store};
use crate::message::{Load, LoadSeconds, LoadStage, Loaded, Loading, News, Residency, Source};

/// Bytes of a shard after which the page is told again.
const GLANCE: u64 = 4 << 20;

/// The browser's best device.
const WEBGPU: DeviceName = DeviceName::Gpu { api: Api::WebGpu, index: None };

/// Loads models, one after another, on one device.
#[derive(Default)]
pub(super) struct Loader {
    compute: Option<Compute>,
}

impl Loader {
    /// Gets a model and brings it to the device.
    pub(super) async fn load(&mut self, load: &Load) -> Result<(Engine, Loaded), Failure> {
        let precision = load.precision.as_deref().map(str::parse::<Precision>).transpose();
        let precision = precision.map_err(|error| Failure { kind: FailureKind::Invalid, message: error.to_string() })?;
        let failed = |error| Failure { kind: FailureKind::Device, message: explain(error) };
        let model = |message: String| Failure { kind: FailureKind::Model, message };
        // Nobody should wait for a download that cannot be used; but to open the device takes longer than to look for it.
        if self.compute.is_none() && device::enumerate().await.is_empty() {
            return Err(failed(DeviceError::Absent { name: WEBGPU, present: Vec::new() }));
        }
        let Source::Address(address) = &load.from else { return Err(model("this source is not known yet".to_owned())) };
        let begun = seconds();
        let (manifest, files) = files(address).await.map_err(model)?;
        let fetched = seconds();
        let compute = self.open(precision).await.map_err(failed)?;
        let opened = seconds();
        let info = (compute.info.to_string(), compute.precision.to_string());
        // Most time in a browser goes into many pictures of one model.
        let engine = Engine::load(compute, &files, None, Keep::All).map_err(|error| model(error.to_string()))?;
        let loaded = Loaded {
            card: Card { family: engine.model().family.id.to_owned(), title: manifest.title.clone(), ..Card::default() },
            bytes: manifest.bytes(),
            residency: Residency::All,
            device: info.0,
            precision: info.1,
            seconds: LoadSeconds { files: fetched - begun, device: opened - fetched, model: seconds() - opened },
        };
        Ok((engine, loaded))
    }

    /// The device: opened once, as Burn does it.
    async fn open(&mut self, precision: Option<Precision>) -> Result<Compute, DeviceError> {
        if let Some(compute) = &self.compute
            && precision.is_none_or(|precision| precision == compute.precision)
        {
            return Ok(compute.clone());
        }
        let compute = device::open(WEBGPU, precision).await?;
        self.compute = Some(compute.clone());
        Ok(compute)
    }
}

/// Why there is no device, for somebody who has a browser before them and no command line.
fn explain(error: DeviceError) -> String {
    match error {
        DeviceError::Absent { .. } | DeviceError::NotBuiltIn { .. } => absent().to_owned(),
        DeviceError::Broken { device, why } => {
            format!("{device} cannot be used: {why}; another browser, or a newer driver of the graphics card, may do better")
        }
        other @ DeviceError::NoF16 { .. } => other.to_string(),
    }
}

fn absent() -> &'static str {
    let navigator = Reflect::get(&scope(), &"navigator".into());
    let has_webgpu = navigator.and_then(|navigator| Reflect::get(&navigator, &"gpu".into())).is_ok_and(|gpu| gpu.is_object());
    match (has_webgpu, scope().is_secure_context()) {
        (true, _) => {
            "this browser has WebGPU, but no graphics card that it would use: update the driver, turn hardware acceleration on \
             in the browser's settings, or see chrome://gpu for the reason"
        }
        (false, false) => "a browser has WebGPU only for pages that come by https or from this machine: open the page that way",
        (false, true) => "this browser has no WebGPU: use a recent Chrome, Edge, Firefox or Safari",
    }
}

/// The files of a packed model, each checked against its manifest.
async fn files(base: &str) -> Result<(Manifest, Rc<dyn Files>), String> {
    let base = base.trim_end_matches('/');
    let text = fetch(&format!("{base}/{MANIFEST}"), Size::UpTo(MAX_MANIFEST_BYTES as u64), |_| {}).await?.to_vec();
    let manifest = Manifest::parse(&text).map_err(|error| format!("{base}/{MANIFEST}: {error}"))?;
    let of = manifest.bytes();
    let (mut before, mut told) = (0, 0);
    tell(&News::Loading(Loading { stage: LoadStage::Files, bytes: 0, of }));
    let mut store = Memory::default();
    for shard in &manifest.shards {
        let seen = |there: u64| {
            if before + there >= told + GLANCE {
                told = before + there;
                tell(&News::Loading(Loading { stage: LoadStage::Files, bytes: told, of }));
            }
        };
        let bytes = fetch(&format!("{base}/{}", shard.file), Size::Exactly(shard.bytes), seen).await?;
        if sha256(&bytes).await? != shard.sha256 {
            return Err(format!(
                "{}: the SHA-256 is not the manifest's; the file is damaged or of another model, get it again",
                shard.file
            ));
        }
        store.put(&shard.file, bytes).map_err(|error| format!("{} cannot be kept: {error}", shard.file))?;
        before += shard.bytes;
        tell(&News::Loading(Loading { stage: LoadStage::Files, bytes: before, of }));
    }
    Ok((manifest, Rc::new(PackedModel { manifest: text, store })))
}
