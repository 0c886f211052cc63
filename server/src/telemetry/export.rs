//! Spans, sent in batches by a thread of their own.

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{Spans, TelemetryError};

/// The export; its end sends what is left.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!("the last traces were not sent: {error}");
        }
    }
}

/// Starts the export to an address.
pub(super) fn start(endpoint: &str) -> Result<(Spans, Traces), TelemetryError> {
    let failed = |problem: String| TelemetryError::Endpoint { given: endpoint.to_owned(), problem };
    if !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
        return Err(failed("it begins neither with http:// nor with https://".to_owned()));
    }
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|error| failed(error.to_string()))?;
    let resource = Resource::builder()
        .with_service_name("encaustic")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let ours = Targets::new().with_target("encaustic", LevelFilter::INFO);
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("encaustic")).with_filter(ours);
    Ok((spans.boxed(), Traces(provider)))
}
