//! The pictures of this session, the newest first. They are in the gallery as well; here they are at hand without waiting.

use encaustic_protocol::{ImageRef, Request};
use leptos::prelude::*;

use super::studio::{Finished, Pixels, Studio};
use super::viewer::{Shown, Viewer};

/// How many bytes of pixels are kept at most: the newest picture always is.
const MOST_BYTES: usize = 256 << 20;

/// How many are kept at most; the gallery has them all.
const MOST: usize = 100;

/// A picture that was made since the page was opened.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its name and seed.
    pub image: ImageRef,
    /// What was asked for.
    pub request: Request,
    /// How it looks.
    pub pixels: Pixels,
}

impl Made {
    /// What it shows, as far as words tell.
    pub fn alt(&self) -> String {
        if self.request.prompt.trim().is_empty() {
            format!("A picture without a prompt, seed {}", self.image.seed)
        } else {
            format!("{}, seed {}", self.request.prompt.trim(), self.image.seed)
        }
    }

    /// The same for the viewer.
    pub fn shown(&self) -> Shown {
        Shown {
            key: self.image.name.clone(),
            alt: self.alt(),
            caption: self.request.prompt.trim().to_owned(),
            width: self.image.width,
            height: self.image.height,
            seed: self.image.seed,
            pixels: self.pixels.clone(),
        }
    }

    fn bytes(&self) -> usize {
        self.image.width as usize * self.image.height as usize * 4
    }
}

/// The pictures of this session. It is copied like a number.
#[derive(Clone, Copy)]
pub struct Session(RwSignal<Vec<Made>, LocalStorage>);

impl Session {
    /// An empty session that takes in what is finished from now on.
    pub fn provide(studio: Studio) -> Self {
        let session = Self(RwSignal::new_local(Vec::new()));
        studio.on_finished(move |finished| session.take(finished));
        provide_context(session);
        session
    }

    /// The session of the component that asks.
    pub fn here() -> Self {
        expect_context()
    }

    fn take(self, Finished { job, pictures, .. }: &Finished) {
        let crate::jobs::State::Finished(images) = &job.state else { return };
        let made = images.iter().filter_map(|image| {
            let pixels = pictures.iter().find(|pixels| pixels.about.name == image.name)?;
            Some(Made { image: image.clone(), request: job.request.clone(), pixels: pixels.clone() })
        });
        let new: Vec<_> = made.collect();
        self.0.update(|all| {
            all.splice(0..0, new);
            let mut bytes = 0_usize;
            let fit = all.iter().take(MOST).take_while(|made| {
                bytes = bytes.saturating_add(made.bytes());
                bytes <= MOST_BYTES
            });
            let fit = fit.count().max(1);
            all.truncate(fit);
        });
    }

    /// All pictures, the newest first.
    pub fn all(self) -> Vec<Made> {
        self.0.get()
    }

    /// A picture by its name.
    pub fn find(self, name: &str) -> Option<Made> {
        self.0.with(|all| all.iter().find(|made| made.image.name == name).cloned())
    }

    /// The newest picture: the first one of its job.
    pub fn newest(self) -> Option<Made> {
        self.0.with(|all| all.first().cloned())
    }

    /// Shows the pictures in the viewer, beginning with one of them.
    pub fn view(self, viewer: Viewer, name: &str) {
        let all = self.0.get_untracked();
        let at = all.iter().position(|made| made.image.name == name).unwrap_or_default();
        viewer.open(all.iter().map(Made::shown).collect(), at);
    }
}
