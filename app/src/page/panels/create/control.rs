//! A setting's control, made from its range.

use encaustic_protocol::{Catalog, Entry, Names, Param, Range, Value};
use leptos::prelude::*;
use phosphor_leptos::ARROW_COUNTER_CLOCKWISE;

use crate::form::{self, Reach};
use crate::page::maker::{Maker, control};
use crate::page::studio::Studio;
use crate::page::widgets::{ButtonSize, Choice, Field, IconButton, NumberBox, Select, Slider, TextArea, focus};

/// A setting: label, control, help, fault, and a way back to what the model would take.
#[component]
pub fn Control(
    /// Which one.
    param: &'static Param,
) -> impl IntoView {
    let maker = Maker::here();
    let error = Memo::new(move |_| maker.fault(param));
    let inside = match (form::reach(param), param.range) {
        (_, Range::Text { .. }) => text(maker, param).into_any(),
        (_, Range::Name(names)) => name(maker, param, names).into_any(),
        (Some(reach), _) => slider(maker, param, reach).into_any(),
        (None, _) => view! { <Number param /> }.into_any(),
    };
    view! {
        <Field id=control(param) label=form::title(param) help=form::help(param) error aside=move || reset(maker, param)>
            {inside}
        </Field>
    }
}

/// A button that gives a setting back to the model, while the form has a word of its own.
fn reset(maker: Maker, param: &'static Param) -> impl IntoView {
    let default = (param.default)();
    let is_own = Memo::new(move |_| maker.value(param) != default || maker.drafts.with(|drafts| drafts.contains_key(param.id)));
    let label = match (param.default)() {
        Value::Auto => format!("{}: leave it to the model", form::title(param)),
        value => format!("{}: back to {}", form::title(param), form::show(&value)),
    };
    move || {
        let label = label.clone();
        is_own.get().then(|| {
            view! {
                <IconButton
                    icon=ARROW_COUNTER_CLOCKWISE
                    label
                    size=ButtonSize::Small
                    on_press=move || {
                        maker.set(param, (param.default)());
                        // The button goes, and would take the focus along.
                        focus(&control(param));
                    }
                />
            }
        })
    }
}

/// A box for a setting that is a number.
#[component]
pub fn Number(
    /// Which one.
    param: &'static Param,
    /// Its name, where no field gives it one.
    #[prop(optional, into)]
    label: Option<String>,
) -> impl IntoView {
    let maker = Maker::here();
    let nudge = move |by: i32| {
        if let Some(value) = untrack(|| form::nudge(param, &maker.meant(param), by)) {
            maker.set(param, value);
        }
    };
    let placeholder = Memo::new(move |_| match maker.usual(param) {
        Value::Auto => "auto".to_owned(),
        value => form::show(&value),
    });
    let invalid = Memo::new(move |_| maker.fault(param).is_some());
    view! {
        <NumberBox
            id=control(param)
            label=label.unwrap_or_else(|| form::title(param))
            value=Memo::new(move |_| maker.text(param))
            placeholder
            invalid
            on_text=move |text| maker.typed(param, text)
            on_nudge=nudge
        />
    }
}

fn slider(maker: Maker, param: &'static Param, Reach { min, max, step }: Reach) -> impl IntoView {
    let value = Memo::new(move |_| match maker.meant(param) {
        Value::Integer(number) => number as f64,
        Value::Number(number) => number,
        Value::Text(_) | Value::Auto => min,
    });
    let change = move |moved: f64| {
        // Sums of twentieths are shown as such.
        let moved = (moved * 1000.0).round() / 1000.0;
        let value = match param.range {
            Range::Integer { .. } => Value::Integer(moved.max(0.0) as u64),
            _ => Value::Number(moved),
        };
        maker.set(param, value);
    };
    view! {
        <div class="slider-row">
            <Slider
                label=form::title(param)
                value
                min
                max
                step
                is_auto=Memo::new(move |_| maker.value(param) == Value::Auto)
                on_change=change
            />
            <Number param />
        </div>
    }
}

fn text(maker: Maker, param: &'static Param) -> impl IntoView {
    view! {
        <TextArea
            id=control(param)
            rows=1
            value=Memo::new(move |_| maker.text(param))
            invalid=Memo::new(move |_| maker.fault(param).is_some())
            on_text=move |text| maker.typed(param, text)
        />
    }
}

/// The entries that a name is chosen from.
fn entries(names: Names, catalog: &Catalog) -> Vec<Entry> {
    match names {
        Names::Samplers => catalog.samplers.clone(),
        Names::Schedules => catalog.schedules.clone(),
        Names::Fixed(names) => names.iter().map(|name| Entry::new(name, &form::label(name))).collect(),
    }
}

fn name(maker: Maker, param: &'static Param, names: Names) -> impl IntoView {
    let studio = Studio::here();
    let entries = Memo::new(move |_| studio.catalog.with(|catalog| entries(names, catalog)));
    let find = move |name: &str| entries.with(|all| all.iter().find(|entry| entry.is_called(name)).cloned());
    let options = Memo::new(move |_| {
        let auto = ((param.default)() == Value::Auto).then(|| {
            let usual = match maker.usual(param) {
                Value::Text(name) => format!("{} (auto)", find(&name).map_or(name, |entry| entry.label)),
                _ => "Model's own".to_owned(),
            };
            Choice::new("", usual)
        });
        let mut options: Vec<_> = auto.into_iter().collect();
        options.extend(entries.get().into_iter().map(|entry| Choice::new(entry.id, entry.label)));
        // A name that the engine does not know stays in sight, with what is wrong with it.
        if let Value::Text(own) = maker.value(param)
            && find(&own).is_none()
        {
            options.push(Choice::new(own.clone(), own));
        }
        options
    });
    let value = Memo::new(move |_| match maker.value(param) {
        Value::Text(name) => find(&name).map_or(name, |entry| entry.id),
        _ => String::new(),
    });
    let about = move || match maker.meant(param) {
        Value::Text(name) => find(&name).map(|entry| form::capital(&entry.help.replace("--", ""))),
        _ => None,
    };
    view! {
        <Select
            id=control(param)
            options
            value
            invalid=Memo::new(move |_| maker.fault(param).is_some())
            on_change=move |chosen| maker.typed(param, chosen)
        />
        <p class="hint">{about}</p>
    }
}
