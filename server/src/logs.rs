//! What the server tells about its work, on the standard error: lines for people, or JSON for programs.
//!
//! Whatever concerns a job is told inside its span ([`job`]), so every line has the job's number; what happens to a job is told
//! by the [`Hub`](crate::events::Hub), which all of it passes. Prompts are private: they are told only with `log_prompts`.

mod outlet;

use std::io::{self, IsTerminal};

use encaustic_protocol::Change;
use tracing::Span;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{Config, choices};
use crate::events::{Event, News};
use crate::job::Job;
use crate::telemetry::{self, TelemetryError, Traces};
use outlet::{Outlet, Rest};

choices! {
    /// How lines are written.
    pub enum Format {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error(
        "log_level: {given:?} is no level ({problem}); use error, warn, info, debug or trace, or a list like `info,encaustic_server=debug`"
    )]
    Level {
        /// What was given.
        given: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The collector of traces cannot be reached as it is configured.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The system gives no thread that writes it.
    #[error("no thread could be started for the log: {0}")]
    Thread(io::Error),
    /// Something else in this process has set a log up before.
    #[error("a log is set up already")]
    Twice,
}

/// Ends the log and the export of traces when it is dropped, after what is on its way has been written and sent.
#[derive(Debug)]
#[must_use = "what is not sent yet is lost when this is dropped"]
pub struct Logs {
    _traces: Option<Traces>,
    _rest: Rest,
}

/// Sets the log up, for the whole process. `verbose` (how often `-v` was given) asks for more than the settings do, `RUST_LOG`
/// has the last word.
///
/// # Errors
/// See [`LogError`].
pub fn start(config: &Config, verbose: u8) -> Result<Logs, LogError> {
    let level = match (std::env::var("RUST_LOG").ok().filter(|level| !level.is_empty()), verbose) {
        (Some(level), _) => level,
        (None, 0) => config.log_level.clone(),
        (None, 1) => "debug".to_owned(),
        (None, _) => "trace".to_owned(),
    };
    let filter = filter(&level).map_err(|problem| LogError::Level { given: level.clone(), problem })?;
    let (outlet, rest) = Outlet::new(io::stderr()).map_err(LogError::Thread)?;
    let lines = lines(config.log_format, outlet, io::stderr().is_terminal());
    let (spans, traces) = telemetry::layer(config)?.unzip();
    tracing_subscriber::registry().with(spans).with(lines.with_filter(filter)).try_init().map_err(|_| LogError::Twice)?;
    Ok(Logs { _traces: traces, _rest: rest })
}

/// What writes lines.
fn lines<S, W>(format: Format, to: W, is_terminal: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(to);
    match format {
        Format::Text => lines.with_ansi(is_terminal).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    }
}

/// The filter of a level. A single word spares the reader what libraries say about themselves.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let quiet = match level.trim() {
        level @ ("error" | "warn" | "info") => format!("{level},burn=error,cubecl=error,wgpu=error,naga=error"),
        "debug" => "debug,burn=info,cubecl=info,wgpu=warn,naga=warn,hyper=info,hyper_util=info,ureq=info".to_owned(),
        "trace" => "trace,wgpu=info,naga=info".to_owned(),
        list => list.to_owned(),
    };
    EnvFilter::try_new(quiet).map_err(|error| error.to_string())
}

/// The span of a job that a device works on.
pub fn job(job: &Job, device: &str) -> Span {
    let model = job.wish.model.as_deref().unwrap_or_default();
    tracing::info_span!("job", job = job.id.0, device, model, attempt = job.attempts)
}

/// Tells what the job is about, if that is wanted.
pub fn prompt(config: &Config, job: &Job) {
    if config.log_prompts {
        tracing::info!(prompt = job.wish.request.prompt, negative = job.wish.request.negative, "what is wanted");
    }
}

/// Tells a stored event.
pub(crate) fn event(event: &Event) {
    match &event.news {
        News::Job { job, change } => {
            let job = job.0;
            match change {
                Change::Queued { ahead } => tracing::info!(job, ahead, "queued"),
                Change::Started => tracing::info!(job, "begun"),
                Change::Finished(pictures) => tracing::info!(job, pictures = pictures.len(), "finished"),
                Change::Failed(failure) => tracing::warn!(job, kind = ?failure.kind, "failed: {}", failure.message),
                Change::Cancelled => tracing::info!(job, "cancelled"),
                Change::Progress(_) | Change::Preview(_) => {}
            }
        }
        News::Queue { is_paused } => tracing::info!(is_paused, "the queue was changed"),
        News::Models | News::Images | News::Pull { .. } | News::Resync => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use encaustic_protocol::{JobId, Request};
    use serde_json::Value;

    use super::*;
    use crate::job::{Client, NewJob, State};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
        }
    }

    /// What is written of a job that is worked on.
    fn told(format: Format, log_prompts: bool) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let request = Request { prompt: "a private thought".into(), ..Request::default() };
        let job = Job {
            id: JobId(17),
            client: Client::local(),
            wish: NewJob { request, ..NewJob::default() },
            state: State::Running,
            ahead: None,
            attempts: 1,
            crashes: 0,
            device: None,
            created: 0,
            started: None,
            ended: None,
            failure: None,
            images: Vec::new(),
            log: Vec::new(),
        };
        let subscriber = tracing_subscriber::registry().with(lines(format, move || writer.clone(), false));
        tracing::subscriber::with_default(subscriber, || {
            let _span = super::job(&job, "cpu").entered();
            prompt(&Config { log_prompts, ..Config::default() }, &job);
            tracing::warn!("a remark");
        });
        written.lines()
    }

    #[test]
    fn every_line_about_a_job_has_its_number_and_none_its_prompt() {
        for line in told(Format::Text, false) {
            assert!(line.contains("job{job=17 device=\"cpu\"") && !line.contains("private"), "{line}");
        }
        for line in told(Format::Json, false) {
            let object: Value = serde_json::from_str(&line).unwrap();
            assert_eq!((&object["spans"][0]["job"], &object["message"]), (&17.into(), &"a remark".into()), "{line}");
        }
        assert_eq!(told(Format::Text, false).len(), 1);
        assert!(told(Format::Text, true)[0].contains("a private thought"));
    }

    #[test]
    fn levels() {
        for level in ["error", "warn", "info", "debug", "trace", "info,encaustic_server=debug"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["a=b=c", "info,encaustic_server=loud"] {
            assert!(filter(level).is_err(), "{level}");
        }
    }
}
