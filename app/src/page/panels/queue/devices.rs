//! The server's devices: what each does, which model it holds, and how full its memory is.

use std::time::Duration;

use leptos::prelude::*;
use phosphor_leptos::CPU;

use crate::amount;
use crate::page::server::{Link, Server};
use crate::page::studio::{Studio, sentence};
use crate::page::widgets::{Button, ButtonSize, Glyph, Tone};
use crate::remote::wire::{Device, Doing};

/// How often the devices are asked for while they are looked at.
const OFTEN: Duration = Duration::from_secs(2);

/// All devices.
#[component]
pub fn Devices(
    /// What the panels share.
    studio: Studio,
    /// The server.
    server: Server,
) -> impl IntoView {
    let ask = move || {
        let is_seen = studio.panel.get_untracked() == "queue" && !document().hidden();
        if is_seen && server.link.get_untracked() == Link::Open {
            server.ask_devices();
        }
    };
    // As long as the page lives.
    let _asks = set_interval_with_handle(ask, OFTEN);
    Effect::new(move || {
        studio.panel.track();
        ask();
    });
    let names =
        Memo::new(move |_| server.devices.with(|devices| devices.iter().map(|device| device.name.clone()).collect::<Vec<_>>()));
    view! {
        <section class="card stack" aria-labelledby="line-devices">
            <h2 id="line-devices">"Devices"</h2>
            <Show when=move || names.with(Vec::is_empty)>
                <p class="hint">"The server is opening them."</p>
            </Show>
            <ul class="line-devices">
                <For each=move || names.get() key=Clone::clone let:name>
                    <One studio server name />
                </For>
            </ul>
        </section>
    }
}

#[component]
fn One(studio: Studio, server: Server, name: String) -> impl IntoView {
    let own = name.clone();
    let device = Memo::new(move |_| {
        server.devices.with(|devices| devices.iter().find(|device| device.name == own).cloned()).unwrap_or_default()
    });
    let is_admin = server.is_admin();
    let label = move || {
        let label = device.with(|device| device.device.as_ref().map(|make| make.label.clone()).unwrap_or_default());
        (!label.is_empty()).then(|| view! { <p class="hint">{label}</p> })
    };
    let doing = move || {
        let Device { doing, job, .. } = device.get();
        let of = |job: Option<encaustic_protocol::JobId>| job.map(|job| format!(" #{}", job.0)).unwrap_or_default();
        match doing {
            Doing::Opening => "Opening".to_owned(),
            Doing::Idle => "Idle".to_owned(),
            Doing::Loading => format!("Loading the model for{}", of(job)),
            Doing::Drawing => {
                let rate = job.and_then(|job| server.rate(job)).map(|rate| format!(", {}", amount::rate(rate)));
                format!("Drawing{}{}", of(job), rate.unwrap_or_default())
            }
            Doing::Broken => "Broken".to_owned(),
            Doing::Gone => "Away".to_owned(),
        }
    };
    let badge = move || match device.with(|device| device.doing) {
        Doing::Loading | Doing::Drawing => "badge badge-accent figures",
        Doing::Idle => "badge badge-good",
        Doing::Broken => "badge badge-bad",
        Doing::Opening | Doing::Gone => "badge",
    };
    let problem = move || device.with(|device| device.problem.as_deref().map(sentence));
    let memory = move || {
        let Device { memory, device, .. } = device.get();
        let total = memory.total.or(device.and_then(|make| make.memory));
        match (memory.used, total) {
            (Some(used), Some(total)) if total > 0 => Some((used, Some(total))),
            (Some(used), _) => Some((used, None)),
            _ => None,
        }
    };
    let part = Memo::new(move |_| memory().and_then(|(used, total)| Some((used as f64 / total? as f64).clamp(0.0, 1.0))));
    let amounts = move || {
        memory().map(|(used, total)| match total {
            Some(total) => format!("{} of {}", amount::bytes(used), amount::bytes(total)),
            None => format!("{} in use", amount::bytes(used)),
        })
    };
    let meter = move || {
        part.get().map(|part| {
            let is_full = part > 0.9;
            view! {
                <div
                    class="models-meter"
                    class:is-full=is_full
                    role="meter"
                    aria-label="Memory in use"
                    aria-valuemin="0"
                    aria-valuemax="100"
                    aria-valuenow=format!("{:.0}", part * 100.0)
                >
                    <div style:transform=format!("scaleX({part:.4})")></div>
                </div>
            }
        })
    };
    let model = Memo::new(move |_| device.with(|device| device.model.clone()));
    let unload_name = StoredValue::new(name.clone());
    let unload = move || {
        model.get().map(|model| {
            let label = format!("Unload {model} from {}", unload_name.get_value());
            let press = move || server.unload(studio, unload_name.get_value());
            view! {
                <div class="row spread">
                    <span class="clip">{model}</span>
                    <Show when=move || is_admin.get()>
                        <Button
                            tone=Tone::Quiet
                            size=ButtonSize::Small
                            on_press=press
                            attr:aria-label=label.clone()
                        >
                            "Unload"
                        </Button>
                    </Show>
                </div>
            }
        })
    };
    view! {
        <li class="line-device">
            <div class="row spread">
                <h3>
                    <Glyph icon=CPU />
                    {name}
                </h3>
                <span class=badge aria-live="polite">{doing}</span>
            </div>
            {label}
            <p class="line-why">{problem}</p>
            {unload}
            {meter}
            <p class="hint figures">{amounts}</p>
        </li>
    }
}
