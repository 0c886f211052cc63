//! What it would mean to load a model, and how it is loaded on this device: told without opening the device.

use std::rc::Rc;

use encaustic_engine::device::{self, Api, DeviceError, DeviceInfo, DeviceName, Precision};
use encaustic_engine::family::{Files, Needs, Survey, survey};
use encaustic_protocol::{Failure, FailureKind};
use js_sys::Reflect;
use web_sys::File;

use super::brake::Brake;
use super::files::{Form, Meter, ModelFiles, Vault};
use super::post::scope;
use super::shelf::{Found, Shelf, ShelfError};
use super::single::Single;
use crate::amount;
use crate::message::{Load, Outlook, Residency, Source};

/// The browser's best device.
pub(super) const WEBGPU: DeviceName = DeviceName::Gpu { api: Api::WebGpu, index: None };

/// Device memory that is counted on, in buffers of the largest size: WebGPU tells no amount of memory, but drivers let buffers
/// grow with it. (Chrome allows 2 GiB on graphics cards of 4 GiB and more, 128 MiB to 1 GiB on phones.)
const BUFFERS: u64 = 2;

/// Buffers of the largest size beyond which a device hardly has memory.
const MANY_BUFFERS: u64 = 4;

/// Looks at a model.
pub(super) async fn look(shelf: &Shelf, load: &Load, file: Option<File>, brake: &Brake) -> Result<Outlook, Failure> {
    let wanted = precision(load)?;
    let (survey, bytes, missing, title, license) = match &load.from {
        Source::File => {
            let single = Single::open(file)?;
            let survey = survey_of(single.files(&Rc::new(Meter::silent())))?;
            (survey, single.bytes, 0, Some(single.title()), single.training.license.clone())
        }
        Source::Address(address) => kept(shelf, shelf.at(address, brake).await?).await?,
        Source::Stored(id) => kept(shelf, shelf.kept(id).await?).await?,
    };
    let device = device::enumerate().await.into_iter().find(is_webgpu);
    let precision = wanted.or(device.as_ref().map(device::best)).unwrap_or(Precision::F32);
    let needs = survey.needs(precision);
    let free = shelf.free().await;
    let obstacle = match &device {
        None => Some(absent().to_owned()),
        Some(info) => obstacle(info, &survey, needs, precision),
    };
    let room = match free {
        Some(free) if missing > free => Some(ShelfError::Full { needed: missing, free: Some(free) }.to_string()),
        _ => None,
    };
    Ok(Outlook {
        title,
        family: survey.family.id.to_owned(),
        license,
        bytes,
        to_fetch: missing,
        free,
        device: device.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string),
        precision: precision.to_string(),
        needs_all: needs.all,
        needs_in_turn: needs.in_turn,
        largest_buffer: device.as_ref().and_then(|info| info.largest_buffer),
        residency: residency(load.residency, device.as_ref(), needs),
        obstacle: obstacle.or(room),
        caution: device.as_ref().and_then(|info| caution(info, needs, precision)),
    })
}

/// A survey, bytes of all files, bytes to fetch, title and licence.
type Seen = (Survey, u64, u64, Option<String>, Option<String>);

async fn kept(shelf: &Shelf, found: Found) -> Result<Seen, Failure> {
    let bytes = found.manifest.bytes();
    let missing = bytes.saturating_sub(shelf.there(&found).await?);
    let Found { text, manifest, .. } = found;
    let (vault, meter) = (Rc::new(Vault::default()), Rc::new(Meter::silent()));
    let survey = survey_of(ModelFiles { form: Form::Packed(text), vault, meter })?;
    Ok((survey, bytes, missing, manifest.title, manifest.license))
}

/// The survey of a model; what is wrong with it.
pub(super) fn survey_of(files: ModelFiles) -> Result<Survey, Failure> {
    let files: Rc<dyn Files> = Rc::new(files);
    survey(&files).map_err(|error| Failure { kind: FailureKind::Model, message: error.to_string() })
}

/// The precision that an order names.
pub(super) fn precision(load: &Load) -> Result<Option<Precision>, Failure> {
    let parsed = load.precision.as_deref().map(str::parse::<Precision>).transpose();
    parsed.map_err(|error| Failure { kind: FailureKind::Invalid, message: error.to_string() })
}

/// Whether a device is one of the browser's.
pub(super) fn is_webgpu(info: &DeviceInfo) -> bool {
    matches!(info.name, DeviceName::Gpu { api: Api::WebGpu, .. })
}

/// Which networks are on the device at once: as asked for, else all if they fit.
pub(super) fn residency(wanted: Option<Residency>, device: Option<&DeviceInfo>, needs: Needs) -> Residency {
    let budget = device.and_then(|info| info.largest_buffer).map(|bytes| bytes.saturating_mul(BUFFERS));
    let fits = budget.is_none_or(|budget| needs.all <= budget);
    wanted.unwrap_or(if fits { Residency::All } else { Residency::InTurn })
}

/// Why a device cannot have a model.
fn obstacle(info: &DeviceInfo, survey: &Survey, needs: Needs, precision: Precision) -> Option<String> {
    if precision == Precision::F16 && !info.f16 {
        return Some(explain(DeviceError::NoF16 { device: info.clone(), why: "its shaders have no such numbers" }));
    }
    let (most, part) = (info.largest_buffer?, survey.largest()?);
    if needs.tensor <= most {
        return None;
    }
    let remedy = match precision {
        Precision::F32 if info.f16 && needs.tensor / 2 <= most => "load it in f16",
        _ => "another browser or another graphics card may allow larger ones; a smaller model will do here",
    };
    Some(format!(
        "one tensor of this model ({} of {}) has {} in {precision}, and a buffer of this device {} at most: {remedy}",
        part.largest_name,
        part.name,
        amount::bytes(needs.tensor),
        amount::bytes(most)
    ))
}

/// What speaks against a model on a device, though it is not sure: that it needs more memory than there probably is.
fn caution(info: &DeviceInfo, needs: Needs, precision: Precision) -> Option<String> {
    let most = info.largest_buffer?;
    if needs.in_turn <= most.saturating_mul(MANY_BUFFERS) {
        return None;
    }
    let remedy = match precision {
        Precision::F32 if info.f16 => "load it in f16, or make smaller pictures",
        _ => "make small pictures, or take a smaller model",
    };
    Some(format!(
        "this model needs {} of graphics memory even with one network at a time, and this device, which allows buffers of {}, probably \
         has less: loading it may fail; {remedy}",
        amount::bytes(needs.in_turn),
        amount::bytes(most)
    ))
}

/// Why there is no device, for somebody who has a browser before them and no command line.
pub(super) fn explain(error: DeviceError) -> String {
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
        (false, true) => {
            "this browser has no WebGPU: use Chrome or Edge 113 or newer, Firefox 141 or newer, or Safari 26; on Linux, Chrome may \
             want it switched on under chrome://flags/#enable-unsafe-webgpu"
        }
    }
}
