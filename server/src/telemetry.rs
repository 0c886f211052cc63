//! Traces for an OpenTelemetry collector: what requests and jobs took. A build without the feature `otel` has none, and says so
//! when they are asked for.

#[cfg(feature = "otel")]
mod export;

use tracing_subscriber::Layer;
use tracing_subscriber::registry::Registry;

use crate::config::Config;

#[cfg(feature = "otel")]
pub(crate) use export::Traces;

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// This build cannot.
    #[error(
        "otel_endpoint: this build has no OpenTelemetry; build it with `cargo build --release -p encaustic --features otel`, or leave the setting empty"
    )]
    Absent,
    /// The exporter does not start.
    #[error(
        "otel_endpoint: {given:?}: {problem}; give the address of a collector that takes OTLP over HTTP, like http://127.0.0.1:4318/v1/traces"
    )]
    Endpoint {
        /// The setting.
        given: String,
        /// What is wrong.
        problem: String,
    },
}

/// What takes spans up.
type Spans = Box<dyn Layer<Registry> + Send + Sync>;

/// What takes spans up and sends them, if the settings ask for it.
pub(crate) fn layer(config: &Config) -> Result<Option<(Spans, Traces)>, TelemetryError> {
    match &config.otel_endpoint {
        None => Ok(None),
        #[cfg(feature = "otel")]
        Some(endpoint) => export::start(endpoint).map(Some),
        #[cfg(not(feature = "otel"))]
        Some(_) => Err(TelemetryError::Absent),
    }
}

/// Traces that are never made.
#[cfg(not(feature = "otel"))]
#[derive(Debug)]
pub(crate) enum Traces {}
