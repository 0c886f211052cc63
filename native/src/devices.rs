//! `encaustic devices`: what there is to compute on.

use encaustic_engine::device::{self, DeviceInfo};
use serde::Serialize;

use crate::failure::Failure;
use crate::terminal;

/// A device for machines.
#[derive(Serialize)]
struct Report<'a> {
    /// The name to give to `--device`.
    name: String,
    label: &'a str,
    kind: &'static str,
    /// Bytes of memory of its own, if its driver tells.
    memory: Option<u64>,
    /// Bytes that one buffer may have, if that is limited.
    largest_buffer: Option<u64>,
    f16: bool,
}

/// Prints the devices, the one that `auto` tries first at the top.
///
/// # Errors
/// If the report cannot be put together.
pub fn run(json: bool) -> Result<(), Failure> {
    let found = futures_lite::future::block_on(device::enumerate());
    let devices: Vec<_> = found.iter().map(report).collect();
    if json {
        let text = serde_json::to_string(&serde_json::json!({ "devices": devices })).map_err(Failure::report)?;
        return terminal::tell(text);
    }
    let width = devices.iter().map(|device| device.name.len()).max().unwrap_or(0);
    for device in &devices {
        let mut notes = vec![device.kind.to_owned()];
        notes.extend(device.memory.map(|bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))));
        if device.f16 {
            notes.push("f16".to_owned());
        }
        terminal::tell(format_args!("{:width$}  {} ({})", device.name, device.label, notes.join(", ")))?;
    }
    terminal::say("`--device auto` takes the first of these that answers");
    Ok(())
}

fn report(info: &DeviceInfo) -> Report<'_> {
    Report {
        name: info.name.to_string(),
        label: &info.label,
        kind: info.kind.name(),
        memory: info.memory,
        largest_buffer: info.largest_buffer,
        f16: info.f16,
    }
}
