//! How many pictures, and where their noise begins: anywhere, where it began last, or next to it.

use encaustic_protocol::{Param, Value};
use leptos::prelude::*;
use phosphor_leptos::{DICE_FIVE, PLUS, RECYCLE};

use super::control::{Control, Number};
use crate::form;
use crate::page::maker::{Maker, control, param};
use crate::page::widgets::{Field, IconButton, Tone};

/// The number of pictures; the seed, with what one does with seeds.
#[component]
pub fn Seed() -> impl IntoView {
    let maker = Maker::here();
    let batch = param("batch").map(|param| view! { <Control param /> });
    view! { <div class="form-seed">{batch} {param("seed").map(|param| seed(maker, param))}</div> }
}

fn seed(maker: Maker, param: &'static Param) -> impl IntoView {
    let made = Memo::new(move |_| maker.last().iter().map(|image| image.seed).collect::<Vec<_>>());
    let last = Memo::new(move |_| made.with(|made| made.first().copied()));
    let own = Memo::new(move |_| if let Value::Integer(seed) = maker.value(param) { Some(seed) } else { None });
    let put = move |seed: Option<u64>| maker.set(param, seed.map_or(Value::Auto, Value::Integer));
    let again = move || put(last.get_untracked());
    let next = move || put(made.with_untracked(|made| form::next_seed(own.get_untracked(), made)));
    view! {
        <Field id=control(param) label=form::title(param) help=form::help(param) error=Memo::new(move |_| maker.fault(param))>
            <div class="joined">
                <Number param />
                <IconButton
                    icon=DICE_FIVE
                    label="Draw a seed for each picture"
                    tone=Tone::Plain
                    pressed=Memo::new(move |_| own.get().is_none())
                    on_press=move || put(None)
                />
                <IconButton
                    icon=RECYCLE
                    label="The last picture's seed"
                    tone=Tone::Plain
                    disabled=Memo::new(move |_| last.get().is_none())
                    on_press=again
                />
                <IconButton
                    icon=PLUS
                    label="The next seed"
                    tone=Tone::Plain
                    disabled=Memo::new(move |_| own.get().or(last.get()).is_none())
                    on_press=next
                />
            </div>
        </Field>
    }
}
