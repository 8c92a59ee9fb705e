//! The service's outside: HTTP in, the domain called, HTTP out. Sees the domain only; what it is given is composed in
//! [`crate::app`].

mod admin;
mod cors;
pub mod dto;
pub mod errors;
mod health;
mod json;
pub mod meta;
pub mod metrics;
pub mod openapi;
mod pages;
mod pipeline;
mod request;
pub mod server;
mod sessions;
mod sse;
mod views;

use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use chat_domain::{
    admission::Admission,
    archive::Archive,
    chat::ChatService,
    options::OptionPolicy,
    ports::sessions::SessionStore,
    session::{KeyHash, MemoryLimits},
};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::telemetry::Tracing;

pub use self::{
    cors::AllowedOrigins,
    health::HealthChecks,
    meta::{ConfigEntry, RuntimeInfo},
    pipeline::{Guesses, Service},
};

/// All that the API needs. Composed once, shared by all requests.
pub struct Context {
    /// The chat.
    pub chat: Arc<ChatService>,
    /// Its history.
    pub archive: Archive,
    /// Its sessions, for the operator to look at.
    pub sessions: Arc<dyn SessionStore>,
    /// How much a client may ask to be remembered.
    pub memory: MemoryLimits,
    /// What a client may ask of the model.
    pub options: OptionPolicy,
    /// Who may ask how often.
    pub admission: Admission,
    /// How often somebody may try a wrong admin token.
    pub admin_admission: Admission,
    /// Who has tried too often and has to wait.
    pub guesses: Guesses,
    /// The clients' keys; empty: none is asked for.
    pub api_keys: ApiKeys,
    /// The operator's token; none: there is no admin API.
    pub admin_token: Option<SecretString>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may call from a browser.
    pub cors: AllowedOrigins,
    /// The longest body, in bytes.
    pub max_body_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// The traces.
    pub tracing: Tracing,
    /// The counters.
    pub metrics: Arc<metrics::Metrics>,
    /// Whether anything is counted and shown.
    pub metrics_enabled: bool,
    /// What readiness looks at.
    pub checks: HealthChecks,
    /// What the operator is told about how all is set up; the tool servers as they are now.
    pub runtime: Box<dyn Fn() -> RuntimeInfo + Send + Sync>,
    /// The effective configuration, its secrets masked.
    pub config: Vec<ConfigEntry>,
    /// Whether the service is on its way out.
    pub draining: Arc<std::sync::atomic::AtomicBool>,
}

impl Context {
    /// Whose request it is.
    fn client_ip(&self, peer: IpAddr, headers: &poem::http::HeaderMap) -> IpAddr {
        let forwarded = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or("unreadable"));
        chat_domain::admission::client_ip(peer, forwarded, &self.trusted_proxies)
    }
}

/// The clients' keys, as hashes.
#[derive(Default)]
pub struct ApiKeys(HashSet<KeyHash>);

impl ApiKeys {
    /// These keys.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a SecretString>) -> Self {
        Self(keys.into_iter().map(|key| hash_key(key.expose_secret().as_bytes())).collect())
    }

    /// Whether a key is asked for.
    pub fn are_required(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether this is one of them. Takes the same time for every key: it looks at all of them.
    pub fn contains(&self, key: &KeyHash) -> bool {
        self.0.iter().fold(false, |found, known| bool::from(known.0.ct_eq(&key.0)) | found)
    }
}

/// A key as it is kept, compared and logged.
pub fn hash_key(key: &[u8]) -> KeyHash {
    KeyHash(Sha256::digest(key).into())
}

/// Whether two secrets are the same, in a time that tells nothing about where they differ.
fn same_secret(theirs: &[u8], ours: &SecretString) -> bool {
    hash_key(theirs).0.ct_eq(&hash_key(ours.expose_secret().as_bytes()).0).into()
}
