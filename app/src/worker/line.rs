//! The engine's connection to the page.

use std::future::poll_fn;
use std::rc::Rc;

use encaustic_engine::catalog::catalog;
use encaustic_engine::host::Line;
use encaustic_engine::latent;
use encaustic_engine::settings::Settings;
use encaustic_picture::caption::{Tools, infotext};
use encaustic_protocol::{Command, Event, JobId};

use super::{State, post};
use crate::message::{News, Picture};

/// Commands from the inbox, events to the page.
pub(super) struct PageLine {
    state: Rc<State>,
    /// When the last preview was shown.
    shown: f64,
}

/// Seconds between two previews: more than ten a second nobody sees.
const PAUSE: f64 = 0.1;

impl PageLine {
    pub(super) fn new(state: Rc<State>) -> Self {
        Self { state, shown: f64::NEG_INFINITY }
    }
}

/// Hands pixels to the page.
fn give(job: JobId, name: &str, picture: &latent::Picture, parameters: Option<String>) -> Result<(), String> {
    let side = |pixels| u32::try_from(pixels).map_err(|_| "the picture is too large".to_owned());
    let (width, height) = (side(picture.width)?, side(picture.height)?);
    post::give(Picture { job, name: name.to_owned(), width, height, parameters }, &picture.pixels)
}

impl Line for PageLine {
    async fn next(&mut self) -> Option<Command> {
        poll_fn(|context| self.state.inbox.borrow_mut().poll_command(context)).await
    }

    fn poll(&mut self) -> Option<Command> {
        self.state.inbox.borrow_mut().command()
    }

    fn tell(&mut self, event: Event) {
        post::tell(&News::Event(event));
    }

    fn keep(&mut self, job: JobId, index: usize, picture: latent::Picture, settings: &Settings) -> Result<String, String> {
        let name = format!("{}-{index}", job.0);
        let seed = settings.seeds().get(index).copied().unwrap_or(settings.seed);
        let model = self.state.ready.borrow().as_ref().and_then(|ready| ready.title.clone());
        let tools = Tools { model, ..Tools::default() };
        let parameters = infotext(&settings.request(), seed, &tools, &catalog()).to_string();
        give(job, &name, &picture, Some(parameters))?;
        Ok(name)
    }

    fn wants_preview(&mut self) -> bool {
        post::seconds() - self.shown >= PAUSE
    }

    fn preview(&mut self, job: JobId, step: usize, picture: latent::Picture) -> Option<String> {
        let name = format!("{}-preview-{step}", job.0);
        give(job, &name, &picture, None).ok()?;
        self.shown = post::seconds();
        Some(name)
    }

    fn seed(&mut self) -> u64 {
        // As many as the native program draws from, and as many as other programs' seeds have.
        (js_sys::Math::random() * 2f64.powi(32)) as u64
    }
}
