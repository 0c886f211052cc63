//! The button that it is all about, and the one that stops it.

use leptos::prelude::*;
use phosphor_leptos::{SPARKLE, STOP};

use crate::amount;
use crate::page::maker::{DEMO_BYTES, Maker};
use crate::page::studio::{Model, Studio};
use crate::page::webgpu;
use crate::page::widgets::{Button, ButtonSize, Tone};

/// Generate and Cancel.
#[component]
pub fn Run() -> impl IntoView {
    let (studio, maker) = (Studio::here(), Maker::here());
    let can_compute = webgpu::obstacle().is_none();
    let is_busy = Memo::new(move |_| maker.busy().is_some());
    let is_stoppable = Memo::new(move |_| is_busy.get() || maker.pending.get());
    let label = move || match studio.model.get() {
        Model::Ready(_) if is_busy.get() => "Add to queue",
        Model::Ready(_) => "Generate",
        Model::Loading(_) => "Generate when it is loaded",
        Model::None | Model::Failed(_) if !can_compute => "Generate",
        Model::None | Model::Failed(_) if maker.has_demo() => "Load a model and generate",
        Model::None | Model::Failed(_) => "Get a model and generate",
    };
    let note = move || match studio.model.get() {
        Model::Loading(_) if maker.pending.get() => Some("It begins as soon as the model is loaded.".to_owned()),
        Model::None | Model::Failed(_) if can_compute && !maker.has_demo() => {
            Some(format!("Fetches a small model: {}, once.", amount::bytes(DEMO_BYTES)))
        }
        _ => None,
    };
    view! {
        <div class="run">
            <div class="run-row">
                <Button tone=Tone::Primary size=ButtonSize::Large icon=SPARKLE busy=maker.pending on_press=move || maker.generate()>
                    {label}
                </Button>
                {move || {
                    is_stoppable
                        .get()
                        .then(|| {
                            view! {
                                <Button size=ButtonSize::Large icon=STOP on_press=move || maker.cancel()>
                                    "Cancel"
                                </Button>
                            }
                        })
                }}
            </div>
            <p class="hint run-note">{note}</p>
        </div>
    }
}
