//! What a backend is made of: [`OpenAiConfig`].

use std::{fmt, time::Duration};

use chat_domain::ports::{BoxError, Propagation};
use secrecy::SecretString;
use thiserror::Error;

/// How long one attempt may take, unless configured otherwise.
pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an answer is read, unless configured otherwise: far more than any model writes, little enough that a
/// broken endpoint cannot fill the memory.
pub const DEFAULT_MAX_BODY: usize = 16 * 1024 * 1024;

/// A backend's address, its credentials and its bounds.
#[derive(Clone)]
pub struct OpenAiConfig {
    /// Everything before `/chat/completions`; a query is kept.
    pub base_url: String,
    /// The bearer token; a model server of one's own may need none.
    pub api_key: Option<SecretString>,
    /// Which model is asked.
    pub model: ModelChoice,
    /// The site that OpenRouter attributes the calls to (`HTTP-Referer`).
    pub referer: Option<String>,
    /// The name that OpenRouter shows for it (`X-Title`).
    pub title: Option<String>,
    /// What calls tell the backend of the trace that they are a part of, in headers.
    pub propagation: Propagation,
    /// Bounds one attempt: the whole answer, or, when it is streamed, its first byte and then each gap between bytes.
    pub attempt_timeout: Duration,
    /// Bounds an answer, in bytes: its body, or, when it is streamed, one event and what all of them amount to.
    pub max_body: usize,
}

impl OpenAiConfig {
    /// A backend without credentials, with the default bounds.
    pub fn new(base_url: impl Into<String>, model: ModelChoice) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            model,
            referer: None,
            title: None,
            propagation: Propagation::default(),
            attempt_timeout: DEFAULT_ATTEMPT_TIMEOUT,
            max_body: DEFAULT_MAX_BODY,
        }
    }
}

/// Says nothing of the key, and nothing of the URL, which may have a password in it.
impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiConfig")
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .field("model", &self.model)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}

/// Which model a backend is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChoice {
    /// The one the client names in its options, else this.
    Default(String),
    /// This, whatever the client names: a fallback backend may not have the other one.
    Always(String),
}

impl ModelChoice {
    /// The model to ask, `wanted` being the client's.
    pub(crate) fn pick<'a>(&'a self, wanted: Option<&'a str>) -> &'a str {
        match self {
            Self::Default(model) => wanted.unwrap_or(model),
            Self::Always(model) => model,
        }
    }
}

/// Why a backend cannot be made of its configuration. Names no secret.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The base URL is none that can be asked over HTTP.
    #[error("the base URL must be an absolute http:// or https:// URL")]
    BaseUrl,
    /// The base URL has a user or a password in it, which would end up beside the bearer token.
    #[error("the base URL must not contain credentials; use the API key")]
    CredentialsInUrl,
    /// The key has characters that no HTTP header can carry.
    #[error("the API key contains characters that cannot be sent")]
    ApiKey,
    /// A header's value has characters that no HTTP header can carry.
    #[error("{0} contains characters that cannot be sent")]
    Header(&'static str),
    /// The proxy's URL is none.
    #[error("the proxy URL cannot be used")]
    Proxy,
    /// The proxy speaks a protocol that is not spoken here, such as SOCKS.
    #[error("the proxy must be one with an http:// URL; it is used for https:// backends as well")]
    ProxyScheme,
    /// The HTTP client cannot be set up; usually because the system has no root certificates.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] BoxError),
}
