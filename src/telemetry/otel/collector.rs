//! Who gets the spans: [`Collector`].

use std::{
    error::Error,
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use chat_domain::ports::BoxError;
use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope},
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{SpanData, SpanExporter},
};
use prost::Message;
use reqwest::{
    Client,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;

use crate::config::SecretUrl;

/// How long a batch may take. It is not sent again: the next ones are waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// An OpenTelemetry collector: OTLP over HTTP, with protobuf.
///
/// The library's own exporter would read the process's environment beside our configuration, bring a client of its own,
/// and log every failed batch. This one says once that the collector is away, and once that it is back.
pub(super) struct Collector {
    client: Client,
    endpoint: SecretUrl,
    /// Where requests are made: batches come on a thread of the library's.
    runtime: Handle,
    resource: ResourceAttributesWithSchema,
    /// The spans that were lost since it has been away; none if it is there.
    lost: AtomicU64,
}

impl Collector {
    /// # Errors
    /// When a header cannot be sent, or TLS cannot be set up.
    pub(super) fn new(endpoint: &SecretUrl, headers: &[(String, SecretString)]) -> Result<Self, BoxError> {
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let mut value = HeaderValue::try_from(value.expose_secret())?;
            value.set_sensitive(true);
            all.insert(HeaderName::try_from(name.as_str())?, value);
        }
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let client = Client::builder()
            .timeout(PATIENCE)
            // Redirects would carry the headers elsewhere.
            .redirect(Policy::none())
            .user_agent(concat!("chat-agent/", env!("CARGO_PKG_VERSION")))
            .default_headers(all)
            .build()?;
        Ok(Self {
            client,
            endpoint: endpoint.clone(),
            runtime: Handle::current(),
            resource: ResourceAttributesWithSchema::default(),
            lost: AtomicU64::new(0),
        })
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), String> {
        let request = self.client.post(self.endpoint.expose_secret()).body(body);
        // In there from its beginning, since it sets a timer.
        let sent =
            self.runtime.spawn(async { request.send().await }).await.map_err(|_| "the runtime is gone".to_owned())?;
        let status = sent.map_err(|error| innermost(&error.without_url()))?.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answers with {status}")) }
    }
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        match self.post(ExportTraceServiceRequest { resource_spans }.encode_to_vec()).await {
            Ok(()) => {
                let lost = self.lost.swap(0, Relaxed);
                if lost > 0 {
                    tracing::info!(lost, "the collector of traces is back");
                }
                Ok(())
            }
            Err(why) => {
                if self.lost.fetch_add(spans, Relaxed) == 0 {
                    tracing::warn!(error = why, "the collector of traces is away: spans are dropped until it is back");
                }
                Err(OTelSdkError::InternalFailure(why))
            }
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The last of the causes, which says what happened: the others only say where.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
