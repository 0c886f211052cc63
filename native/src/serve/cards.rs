//! Cards of models, and their words for counting: opened without weights, and kept for a while.
//!
//! An opened model stays on the thread that opened it, so one thread has them all; whoever asks waits for its answer.

use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use encaustic_engine::card::card;
use encaustic_engine::prompt::Tokenizer;
use encaustic_protocol::{Card, Failure, FailureKind};

use super::models::{self, Chosen};
use crate::shell;

/// How many questions may wait.
const WAITING: usize = 32;
/// How many models are kept.
const KEPT: usize = 8;

/// The thread that knows the cards.
#[derive(Debug)]
pub(super) struct Cards {
    ask: SyncSender<Question>,
}

struct Question {
    about: About,
    answer: SyncSender<Result<Answer, Failure>>,
}

enum About {
    Card(Option<String>),
    Count(Option<String>, Vec<String>),
    Forget,
}

enum Answer {
    Card(Box<Card>),
    Counts(Vec<u32>),
    Nothing,
}

impl Cards {
    /// Begins; `usual` is the model that is meant where none is named.
    pub(super) fn start(usual: Option<String>) -> Result<Self, crate::failure::Failure> {
        let (ask, questions) = sync_channel(WAITING);
        thread::Builder::new()
            .name("cards".to_owned())
            .spawn(move || answer(&questions, usual.as_deref()))
            .map_err(|error| crate::failure::Failure::System(format!("no thread could be started: {error}")))?;
        Ok(Self { ask })
    }

    pub(super) fn card(&self, model: Option<&str>) -> Result<Card, Failure> {
        match self.question(About::Card(model.map(str::to_owned)))? {
            Answer::Card(card) => Ok(*card),
            Answer::Counts(_) | Answer::Nothing => Err(gone()),
        }
    }

    pub(super) fn count(&self, model: Option<&str>, texts: &[String]) -> Result<Vec<u32>, Failure> {
        match self.question(About::Count(model.map(str::to_owned), texts.to_vec()))? {
            Answer::Counts(counts) => Ok(counts),
            Answer::Card(_) | Answer::Nothing => Err(gone()),
        }
    }

    /// What is known of models may have changed.
    pub(super) fn forget(&self) {
        // Without that thread nothing is known.
        let _ = self.question(About::Forget);
    }

    fn question(&self, about: About) -> Result<Answer, Failure> {
        let (answer, answered) = sync_channel(1);
        self.ask.send(Question { about, answer }).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

fn gone() -> Failure {
    Failure { kind: FailureKind::Model, message: "models cannot be looked at any more; the server's log says why".to_owned() }
}

/// A model that was opened.
struct Opened {
    wanted: Option<String>,
    card: Card,
    tokenizer: Option<Rc<Tokenizer>>,
}

fn answer(questions: &Receiver<Question>, usual: Option<&str>) {
    let mut kept: Vec<Opened> = Vec::new();
    for Question { about, answer } in questions {
        let told = match about {
            About::Forget => {
                kept.clear();
                Ok(Answer::Nothing)
            }
            About::Card(wanted) => opened(&mut kept, wanted, usual).map(|model| Answer::Card(Box::new(model.card.clone()))),
            About::Count(wanted, texts) => opened(&mut kept, wanted, usual).map(|model| Answer::Counts(count(model, &texts))),
        };
        // Whoever asked may have gone.
        let _ = answer.send(told);
    }
}

fn opened<'a>(kept: &'a mut Vec<Opened>, wanted: Option<String>, usual: Option<&str>) -> Result<&'a Opened, Failure> {
    let model = match kept.iter().position(|model| model.wanted == wanted) {
        Some(place) => kept.remove(place),
        None => open(wanted, usual).map_err(|failure| models::told(&failure))?,
    };
    // The last asked for is the last to go.
    kept.insert(0, model);
    kept.truncate(KEPT);
    kept.first().ok_or_else(gone)
}

fn open(wanted: Option<String>, usual: Option<&str>) -> Result<Opened, crate::failure::Failure> {
    let Chosen { files, vae, .. } = models::choose(wanted.as_deref(), usual)?;
    let model = shell::open(&files, vae.as_ref())?;
    let card = card(&model).map_err(crate::failure::Failure::generate)?;
    Ok(Opened { wanted, card, tokenizer: model.tokenizer() })
}

fn count(model: &Opened, texts: &[String]) -> Vec<u32> {
    let tokens =
        |text: &String| model.tokenizer.as_ref().and_then(|tokenizer| tokenizer.tokens(text).ok()).map_or(0, |ids| ids.len());
    texts.iter().map(|text| u32::try_from(tokens(text)).unwrap_or(u32::MAX)).collect()
}
