//! The button that it is all about, and the one that stops it.

use leptos::prelude::*;
use phosphor_leptos::{SPARKLE, STOP};

use crate::amount;
use crate::page::maker::{DEMO_BYTES, Maker};
use crate::page::studio::{Model, Studio};
use crate::page::webgpu;
use crate::page::widgets::{Button, ButtonSize, Tone, focus};

/// The button's id.
const GENERATE: &str = "generate";

/// Generate and Cancel.
#[component]
pub fn Run() -> impl IntoView {
    let (studio, maker) = (Studio::here(), Maker::here());
    let can_compute = webgpu::obstacle().is_none();
    let is_busy = Memo::new(move |_| maker.busy().is_some());
    let label = move || match studio.model.get() {
        Model::Ready(_) if is_busy.get() => "Add to queue",
        Model::Ready(_) => "Generate",
        Model::Loading(_) if is_busy.get() => "Add to queue",
        Model::Loading(_) => "Generate when it is loaded",
        Model::None | Model::Failed(_) if !can_compute => "Generate",
        Model::None | Model::Failed(_) if maker.has_demo() => "Load a model and generate",
        Model::None | Model::Failed(_) => "Get a model and generate",
    };
    let note = move || match studio.model.get() {
        Model::Loading(_) if is_busy.get() => Some("It begins as soon as the model is loaded.".to_owned()),
        Model::None | Model::Failed(_) if can_compute && !maker.has_demo() => {
            Some(format!("Fetches a small model: {}, once.", amount::bytes(DEMO_BYTES)))
        }
        _ => None,
    };
    view! {
        <div class="run">
            <div class="run-row">
                <Button tone=Tone::Primary size=ButtonSize::Large icon=SPARKLE on_press=move || maker.generate() attr:id=GENERATE>
                    {label}
                </Button>
                {move || {
                    if !is_busy.get() {
                        // The button that goes takes the focus along.
                        keep_focus();
                    }
                    is_busy
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

/// Where Cancel has the focus and is about to go, gives it to Generate.
fn keep_focus() {
    let is_here = document()
        .active_element()
        .is_some_and(|focused| focused.id() != GENERATE && focused.closest(".run-row").is_ok_and(|row| row.is_some()));
    if is_here {
        focus(GENERATE);
    }
}
