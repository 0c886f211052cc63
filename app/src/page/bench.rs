//! `?bench`: how fast this browser is on this graphics card. Instead of the page there is a table ([`crate::bench`]).

use std::rc::Rc;

use encaustic_protocol::{Command, Event, JobId, Submit};
use leptos::prelude::*;

use super::backend::{Arrival, Backend, WorkerBackend};
use super::mark::Mark;
use crate::bench::{Report, Stopwatch, Times, request};
use crate::message::{Load, LoadSeconds, LoadStage, News, Order, Source};

/// The model that everybody has.
const MODEL: &str = "models/demo";

/// Whether the address asks for it.
pub(super) fn is_wanted() -> bool {
    let asked = window().location().search().ok().and_then(|text| web_sys::UrlSearchParams::new_with_str(&text).ok());
    asked.is_some_and(|asked| asked.has("bench"))
}

/// How far it is.
#[derive(Clone, Debug, PartialEq)]
enum Stand {
    /// What is being done.
    Working(String),
    /// What came of it, and on which device.
    Done(Report, String),
    /// Why nothing came of it.
    Failed(String),
}

/// A run: one worker, one model, two pictures.
#[derive(Clone, Copy)]
struct Run {
    stand: RwSignal<Stand>,
    worker: StoredValue<Option<Rc<WorkerBackend>>, LocalStorage>,
    loaded: StoredValue<(LoadSeconds, String)>,
    watch: StoredValue<Option<Stopwatch>>,
    cold: StoredValue<Option<Times>>,
}

impl Run {
    fn begin() -> Self {
        let run = Self {
            stand: RwSignal::new(Stand::Working("The engine starts".to_owned())),
            worker: StoredValue::new_local(None),
            loaded: StoredValue::new((LoadSeconds::default(), String::new())),
            watch: StoredValue::new(None),
            cold: StoredValue::new(None),
        };
        match WorkerBackend::start("worker.js", move |arrival| run.hear(arrival)) {
            Ok(worker) => run.worker.set_value(Some(Rc::new(worker))),
            Err(error) => run.stand.set(Stand::Failed(error.to_string())),
        }
        let load = Load { from: Source::Address(MODEL.to_owned()), precision: None, residency: None };
        run.send(&Order::Load(load));
        run
    }

    fn send(self, order: &Order) {
        if let Some(worker) = self.worker.get_value()
            && let Err(error) = worker.send(order, None)
        {
            self.stand.set(Stand::Failed(error.to_string()));
        }
    }

    /// Asks for the picture; the job's number says which time it is.
    fn draw(self, job: u64) {
        self.stand.set(Stand::Working(format!("Picture {job} of 2")));
        self.watch.set_value(Some(Stopwatch::new(now())));
        self.send(&Order::Command(Command::Submit(Submit { job: JobId(job), request: Box::new(request()) })));
    }

    fn hear(self, arrival: Arrival) {
        match arrival.news {
            News::Loading(loading) => self.stand.set(Stand::Working(words(loading.stage).to_owned())),
            News::Loaded(loaded) => {
                self.loaded.set_value((loaded.seconds, format!("{}, {}", loaded.device, loaded.precision)));
                self.draw(1);
            }
            News::NotLoaded(failure) => self.stand.set(Stand::Failed(failure.message)),
            News::Dead { message, .. } => self.stand.set(Stand::Failed(message)),
            News::Event(Event::Job { change, .. }) => {
                if let encaustic_protocol::Change::Failed(failure) = &change {
                    self.stand.set(Stand::Failed(failure.message.clone()));
                }
                self.watch.update_value(|watch| {
                    if let Some(watch) = watch {
                        watch.hear(now(), &change);
                    }
                });
                if let Some(times) = self.watch.with_value(|watch| watch.as_ref().and_then(Stopwatch::times)) {
                    self.finished(times);
                }
            }
            _ => {}
        }
    }

    fn finished(self, warm: Times) {
        self.watch.set_value(None);
        let Some(cold) = self.cold.get_value() else {
            self.cold.set_value(Some(warm));
            return self.draw(2);
        };
        let (load, device) = self.loaded.get_value();
        self.worker.set_value(None);
        self.stand.set(Stand::Done(Report { load, cold, warm }, device));
    }
}

fn words(stage: LoadStage) -> &'static str {
    match stage {
        LoadStage::Files => "The model is fetched",
        LoadStage::Device => "The device is opened",
        LoadStage::Weights => "The weights go to the device",
    }
}

/// Seconds on a clock that only goes forward.
fn now() -> f64 {
    window().performance().map_or(0.0, |clock| clock.now() / 1000.0)
}

/// The table, or how far it is.
#[component]
pub fn Bench() -> impl IntoView {
    let run = Run::begin();
    let body = move || match run.stand.get() {
        Stand::Working(what) => view! { <p role="status">{what} "…"</p> }.into_any(),
        Stand::Failed(why) => view! { <p role="alert">{why}</p> }.into_any(),
        Stand::Done(report, device) => {
            let json = serde_json::to_string(&report).unwrap_or_default();
            let rows = report.rows().into_iter().map(|(name, cold, warm)| {
                view! { <tr><th scope="row">{name}</th><td>{format!("{cold:.2}")}</td><td>{format!("{warm:.2}")}</td></tr> }
            });
            let LoadSeconds { files, device: opening, model } = report.load;
            view! {
                <p>{device}</p>
                <p>{format!("Load: files {files:.1} s, device {opening:.1} s, weights {model:.1} s")}</p>
                <table>
                    <thead><tr><th scope="col">"seconds"</th><th scope="col">"first"</th><th scope="col">"second"</th></tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
                <details><summary>"For programs"</summary><output id="bench">{json}</output></details>
            }
            .into_any()
        }
    };
    view! {
        <main class="bench">
            <h1><Mark /> "Bench"</h1>
            <p>"The model in the box makes one picture twice: the first time with what a browser does once, the second time without."</p>
            {body}
            <p><a href="./">"Back to Encaustic"</a></p>
        </main>
    }
}
