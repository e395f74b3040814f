//! Traces for a collector, over OTLP (HTTP and protobuf), with the cargo feature `otlp`.
//!
//! The standard variables set the endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT`), the headers, and the service name; without
//! an endpoint nothing is traced. Only the spans that the actors make for this are sent, and no line of the log. A
//! separate thread sends them in batches and drops what does not fit: a collector that is slow or away delays nobody.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use std::{env, sync::OnceLock, time::Duration};
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// The target of spans for a trace.
const TARGET: &str = "segno::trace";

/// How long the last spans may take: a service has ten seconds to end, and has spent most of them.
const FLUSH_WITHIN: Duration = Duration::from_millis(800);

/// The provider that sends the spans, once traces are set up.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// The layer that turns spans into traces; `None` if nobody has asked for them.
pub fn layer<S>() -> Result<Option<impl Layer<S>>, ExporterBuildError>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    if !is_wanted() {
        return Ok(None);
    }
    let resource = Resource::builder();
    let resource = if is_set("OTEL_SERVICE_NAME") { resource } else { resource.with_service_name("segno") };
    crate::tls::install();
    let exporter = SpanExporter::builder().with_http().build()?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let provider = PROVIDER.get_or_init(|| provider);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("segno"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false);
    Ok(Some(layer.with_filter(filter_fn(|of| of.is_span() && of.target() == TARGET))))
}

/// Sends what is left. No span is traced after it.
pub fn finish() {
    if let Some(provider) = PROVIDER.get() {
        // A collector that it did not reach was reported before, or is gone.
        let _ = provider.shutdown_with_timeout(FLUSH_WITHIN);
    }
}

fn is_wanted() -> bool {
    let is_off = env::var("OTEL_SDK_DISABLED").is_ok_and(|word| word.eq_ignore_ascii_case("true"));
    !is_off && (is_set("OTEL_EXPORTER_OTLP_ENDPOINT") || is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
}

/// By the standard an empty variable counts as unset.
fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}
