//! The server's queue: what runs, what waits and in which order, what came to nothing; and the devices that work it off.

pub mod devices;
pub mod row;

use encaustic_protocol::JobId;
use leptos::prelude::*;
use phosphor_leptos::{PAUSE, PLAY, QUEUE};

use self::devices::Devices;
use self::row::{Ended, Running, Waiting};
use crate::page::server::Server;
use crate::page::studio::Studio;
use crate::page::widgets::{Button, Empty, Tone};
use crate::remote::wire::{Job, State};

/// The panel; nothing without a server.
#[component]
pub fn Queue() -> impl IntoView {
    let studio = Studio::here();
    studio.server.map(|server| view! { <Inside studio server /> })
}

#[component]
fn Inside(studio: Studio, server: Server) -> impl IntoView {
    let of = move |wanted: fn(State) -> bool| {
        Memo::new(move |_| {
            let fits = |job: &&Job| wanted(job.state);
            server.jobs.with(|jobs| jobs.iter().filter(fits).map(|job| job.id).collect::<Vec<JobId>>())
        })
    };
    let running = of(|state| state == State::Running);
    let waiting = of(|state| state == State::Waiting);
    let ended = of(|state| matches!(state, State::Failed | State::Cancelled));
    let is_paused = Memo::new(move |_| server.counts.with(|counts| counts.is_paused));
    let is_admin = server.is_admin();
    let told = move || {
        let counts = server.counts.get();
        let waits = match (counts.waiting, counts.scheduled) {
            (0, _) => "Nothing waits".to_owned(),
            (waiting, 0) => format!("{waiting} wait"),
            (waiting, scheduled) => format!("{waiting} wait, {scheduled} of them for their moment"),
        };
        let room = if counts.capacity > 0 {
            format!(" \u{b7} room for {}", counts.capacity.saturating_sub(counts.waiting))
        } else {
            String::new()
        };
        if counts.is_paused { format!("Paused \u{b7} {waits}{room}") } else { format!("{waits}{room}") }
    };
    let pause = move || {
        let is_paused = is_paused.get();
        let (icon, words) = if is_paused { (PLAY, "Go on") } else { (PAUSE, "Pause") };
        let tone = if is_paused { Tone::Primary } else { Tone::Plain };
        is_admin
            .get()
            .then(|| view! { <Button tone icon=icon on_press=move || server.pause(studio, !is_paused)>{words}</Button> })
    };
    // A long queue is not shown to its end.
    let more = move || {
        let all = usize::try_from(server.counts.with(|counts| counts.waiting)).unwrap_or(usize::MAX);
        let left = all.saturating_sub(waiting.with(Vec::len));
        (left > 0 && waiting.with(|waiting| !waiting.is_empty())).then(|| format!("and {left} more"))
    };
    let is_empty = Memo::new(move |_| running.with(Vec::is_empty) && waiting.with(Vec::is_empty));
    // The job that is being dragged.
    let dragged = RwSignal::new(None::<JobId>);
    view! {
        <div class="line">
            <header class="line-head">
                <div>
                    <h1>"Queue"</h1>
                    <p class="hint figures" aria-live="polite">{told}</p>
                </div>
                {pause}
            </header>
            <div class="line-main">
                <section aria-labelledby="line-running" hidden=move || running.with(Vec::is_empty)>
                    <h2 id="line-running" class="side-title">"At work"</h2>
                    <ul class="line-list">
                        <For each=move || running.get() key=|id| *id let:id>
                            <Running studio server id />
                        </For>
                    </ul>
                </section>
                <section aria-labelledby="line-waiting" hidden=move || waiting.with(Vec::is_empty)>
                    <h2 id="line-waiting" class="side-title">"Waiting"</h2>
                    <ol class="line-list">
                        <For each=move || waiting.get() key=|id| *id let:id>
                            <Waiting studio server id dragged />
                        </For>
                    </ol>
                    <p class="hint line-more">{more}</p>
                </section>
                <Show when=move || is_empty.get()>
                    <Empty icon=QUEUE title="Nothing to do">
                        <p>"What anybody asks of this server stands here until it is made: yours, and what other programs send."</p>
                        <Button on_press=move || studio.panel.set("create")>"Make a picture"</Button>
                    </Empty>
                </Show>
                <section aria-labelledby="line-ended" hidden=move || ended.with(Vec::is_empty)>
                    <h2 id="line-ended" class="side-title">"Came to nothing"</h2>
                    <ul class="line-list">
                        <For each=move || ended.get() key=|id| *id let:id>
                            <Ended studio server id />
                        </For>
                    </ul>
                </section>
            </div>
            <aside class="line-side" aria-label="Devices">
                <Devices studio server />
            </aside>
        </div>
    }
}
