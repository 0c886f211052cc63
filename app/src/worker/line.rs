//! The engine's connection to the page.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;

use encaustic_engine::host::Line;
use encaustic_engine::latent;
use encaustic_engine::settings::Settings;
use encaustic_protocol::{Command, Event, JobId};

use super::post;
use crate::inbox::Inbox;
use crate::message::{News, Picture};

/// Commands from the inbox, events to the page.
pub(super) struct PageLine {
    inbox: Rc<RefCell<Inbox>>,
}

impl PageLine {
    pub(super) fn new(inbox: Rc<RefCell<Inbox>>) -> Self {
        Self { inbox }
    }
}

impl Line for PageLine {
    async fn next(&mut self) -> Option<Command> {
        poll_fn(|context| self.inbox.borrow_mut().poll_command(context)).await
    }

    fn poll(&mut self) -> Option<Command> {
        self.inbox.borrow_mut().command()
    }

    fn tell(&mut self, event: Event) {
        post::tell(&News::Event(event));
    }

    fn keep(&mut self, job: JobId, index: usize, picture: latent::Picture, _settings: &Settings) -> Result<String, String> {
        let side = |pixels| u32::try_from(pixels).map_err(|_| "the picture is too large".to_owned());
        let name = format!("{}-{index}", job.0);
        let (width, height) = (side(picture.width)?, side(picture.height)?);
        post::give(Picture { job, name: name.clone(), width, height, parameters: None }, &picture.pixels)?;
        Ok(name)
    }

    fn seed(&mut self) -> u64 {
        // As many as the native program draws from, and as many as other programs' seeds have.
        (js_sys::Math::random() * 2f64.powi(32)) as u64
    }
}
