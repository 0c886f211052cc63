//! Sends the messages: several at a time, one per host, each until it is taken or was tried often enough.
//!
//! A message is sent once or more: if the server dies after the receiver has taken it and before that is written down, it goes
//! out again under the same `webhook-id`.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use ureq::unversioned::transport::DefaultConnector;

use super::outbox::{self, DeliveryState, Due, Tried};
use super::target::{Guard, Refused, Target};
use crate::App;
use crate::app::Interrupted;
use crate::db::DbError;
use crate::events::{Event, News};
use crate::time::Millis;

/// Messages on their way at the same time.
const AT_ONCE: usize = 4;
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait at most before looking again.
const NAP: Duration = Duration::from_secs(60);
/// How long to leave the database alone after it failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// The longest that a receiver may have us wait, in seconds.
const LONGEST_WAIT: u64 = 24 * 60 * 60;

/// Sends what is due until `stopped` says so. What is on its way then is not waited for.
pub async fn run(app: App, mut stopped: watch::Receiver<bool>) {
    let mut news = app.hub.follow();
    let (free, mut freed) = mpsc::channel::<String>(AT_ONCE);
    let mut busy: Vec<String> = Vec::new();
    loop {
        let nap = if busy.len() < AT_ONCE {
            match next(&app, &busy).await {
                Ok(Ok(due)) => {
                    busy.push(due.host.clone());
                    let (app, free) = (app.clone(), free.clone());
                    let begun = std::thread::Builder::new().name("webhook".to_owned()).spawn(move || {
                        let host = due.host.clone();
                        deliver(&app, &due);
                        // Nobody listens any more if the server ends.
                        let _ = free.blocking_send(host);
                    });
                    match begun {
                        Ok(_) => continue,
                        Err(error) => {
                            tracing::error!("a webhook could not be sent: {error}");
                            busy.pop();
                            AFTER_FAILURE
                        }
                    }
                }
                Ok(Err(due)) => due.map_or(NAP, |due| until(&app, due)),
                Err(error) => {
                    tracing::error!("webhooks: {error}");
                    AFTER_FAILURE
                }
            }
        } else {
            NAP
        };
        tokio::select! {
            _ = stopped.wait_for(|is_stopped| *is_stopped) => return,
            host = freed.recv() => busy.retain(|known| Some(known) != host.as_ref()),
            () = ended(&mut news) => {}
            () = app.webhooks.bell.notified() => {}
            () = tokio::time::sleep(nap) => {}
        }
    }
}

/// Why the next message is not known.
#[derive(Debug, thiserror::Error)]
enum NextError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

async fn next(app: &App, busy: &[String]) -> Result<Result<Due, Option<Millis>>, NextError> {
    let busy = serde_json::json!(busy).to_string();
    app.blocking(move |app| Ok(outbox::next(&app.db, (app.clock)(), &busy)?)).await
}

fn until(app: &App, due: Millis) -> Duration {
    Duration::from_millis(u64::try_from(due - (app.clock)()).unwrap_or(0)).min(NAP)
}

/// Returns when a job has ended, or some events were missed.
async fn ended(news: &mut broadcast::Receiver<std::sync::Arc<Event>>) {
    loop {
        match news.recv().await {
            Ok(event) if matches!(&event.news, News::Job { change, .. } if change.is_last()) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Sends a message once, and writes down what came of it.
fn deliver(app: &App, due: &Due) {
    let at = (app.clock)();
    let answer = post(app, due, at);
    let tried = judge(app, due, answer);
    app.metrics.webhook(match tried.state {
        DeliveryState::Delivered => "delivered",
        DeliveryState::Waiting => "failed",
        DeliveryState::Failed => "given_up",
    });
    match &tried.problem {
        None => tracing::info!(job = due.job, id = due.id, "the webhook of job {} was taken by {}", due.job, due.host),
        Some(problem) => {
            let next = if tried.state == DeliveryState::Waiting { "it is sent again" } else { "it is given up" };
            tracing::warn!(job = due.job, id = due.id, "the webhook of job {} was not taken: {problem}; {next}", due.job);
        }
    }
    if let Err(error) = outbox::tried(&app.db, due, at, &tried) {
        tracing::error!("webhooks: {error}");
        // The message is due still: without a pause it would be sent again and again.
        std::thread::sleep(AFTER_FAILURE);
    }
}

/// An answer to a message.
struct Answer {
    status: u16,
    retry_after: Option<u64>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("{0}")]
    Target(#[from] super::target::TargetError),
    #[error("{host}: its address is one of this machine or of a private network; `webhook_hosts` can allow it")]
    Refused { host: String },
    #[error("{host}: {source}")]
    Net { host: String, source: Box<ureq::Error> },
}

fn post(app: &App, due: &Due, at: Millis) -> Result<Answer, PostError> {
    let target = Target::parse(&due.url, &app.settings.now().webhook_hosts.0)?;
    let settings = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("encaustic/", env!("CARGO_PKG_VERSION")))
        .build();
    let agent = ureq::Agent::with_parts(settings, DefaultConnector::default(), Guard { is_named: target.is_named });
    let seconds = at.div_euclid(1000);
    let answer = agent
        .post(&target.url)
        .header("content-type", "application/json")
        .header("webhook-id", &due.id)
        .header("webhook-timestamp", seconds.to_string())
        .header("webhook-signature", app.webhooks.signer.sign(&due.id, seconds, &due.body))
        .send(due.body.as_str());
    match answer {
        Ok(answer) => {
            let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Ok(Answer { status: answer.status().as_u16(), retry_after })
        }
        Err(ureq::Error::Io(io)) if io.get_ref().is_some_and(|inner| inner.is::<Refused>()) => {
            Err(PostError::Refused { host: target.host })
        }
        Err(source) => Err(PostError::Net { host: target.host, source: Box::new(source) }),
    }
}

fn judge(app: &App, due: &Due, answer: Result<Answer, PostError>) -> Tried {
    let now = (app.clock)();
    let (status, problem, is_final, least) = match answer {
        Ok(Answer { status, .. }) if (200..300).contains(&status) => {
            return Tried { state: DeliveryState::Delivered, due: now, status: Some(status), problem: None };
        }
        Ok(Answer { status: 410, .. }) => (Some(410), "the receiver is gone for good (410)".to_owned(), true, 0),
        Ok(Answer { status: status @ 300..400, .. }) => {
            (Some(status), format!("the receiver redirects ({status}), which is not followed"), false, 0)
        }
        Ok(Answer { status, retry_after }) => {
            let least = retry_after.unwrap_or(0).min(LONGEST_WAIT);
            (Some(status), format!("the receiver answered {status}"), false, least)
        }
        Err(error) => (None, error.to_string(), matches!(error, PostError::Target(_)), 0),
    };
    let again = app.config.webhook_retries.0.get(usize::try_from(due.tries).unwrap_or(usize::MAX)).filter(|_| !is_final);
    match again {
        Some(seconds) => {
            let wait = jittered(u64::from(*seconds) * 1000).max(least * 1000);
            let due = now.saturating_add(Millis::try_from(wait).unwrap_or(Millis::MAX));
            Tried { state: DeliveryState::Waiting, due, status, problem: Some(problem) }
        }
        None => Tried { state: DeliveryState::Failed, due: now, status, problem: Some(problem) },
    }
}

/// A fifth more or less, so that messages that failed together do not come back together.
fn jittered(millis: u64) -> u64 {
    let share = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    (millis as f64 * (0.8 + 0.4 * share)) as u64
}
