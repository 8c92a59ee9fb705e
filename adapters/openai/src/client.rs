//! One call: [`OpenAiLlm`].

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use chat_domain::ports::{
    Clock, Propagation,
    llm::{Delivery, LlmError, LlmErrorKind, LlmEvent, LlmPort, LlmRequest, LlmStream},
};
use futures_util::{
    StreamExt,
    future::{Either, select},
    stream,
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::{
    answer,
    config::{BuildError, ModelChoice, OpenAiConfig},
    failure,
    http::{Endpoint, HttpClient, Response},
    redact::Redactor,
    request,
    stream::{AnswerStream, Patience},
};

/// How long the body of an error is waited for: it only explains what the status has said.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(2);

/// How much of it is read; enough to use the connection again after any sensible one.
const ERROR_BODY_MAX: usize = 64 * 1024;

/// Longer than anybody waits, and short enough to be added to any time.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One OpenAI-compatible backend.
///
/// Each call is one attempt, bounded by the request's deadline and by [`OpenAiConfig::attempt_timeout`]. Its failures are
/// told apart by [`LlmErrorKind`]: 401, 402 and 403 are `Auth`; 404, 405 and 410 `NotFound`; 408, 409 and 425 `Busy`; 429
/// is `RateLimited`; other 4xx are `Rejected`; 5xx and broken connections `Unavailable`; redirects and answers that make
/// no sense `InvalidResponse`. The error's source says in one line what happened, and holds no credentials; of
/// what a backend says only its codes are kept, since its texts may quote the conversation.
pub struct OpenAiLlm {
    /// Where a whole answer is asked for, and one in parts.
    endpoints: [Endpoint; 2],
    model: ModelChoice,
    attempt_timeout: Duration,
    max_body: usize,
    redactor: Arc<Redactor>,
    propagation: Propagation,
    clock: Arc<dyn Clock>,
}

impl OpenAiLlm {
    /// A backend that uses the connections of `http`; `clock` is the one that requests' deadlines are told by.
    ///
    /// # Errors
    /// When the URL or a header's value cannot be used, or TLS cannot be set up; see [`BuildError`].
    pub fn new(config: OpenAiConfig, http: &HttpClient, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let [whole, streamed] =
            headers(&config)?.map(|headers| http.endpoint(&config.base_url, &["chat", "completions"], headers));
        Ok(Self {
            endpoints: [whole?, streamed?],
            model: config.model,
            attempt_timeout: config.attempt_timeout.min(A_DAY),
            max_body: config.max_body,
            propagation: config.propagation,
            redactor: Arc::new(Redactor::new(config.api_key)),
            clock,
        })
    }

    async fn ask(&self, request: &LlmRequest) -> Result<LlmStream, LlmError> {
        let model = self.model.pick(request.options.model.as_deref());
        let body = request::body(request, model);
        let streamed = request.delivery == Delivery::Streamed;
        let endpoint = &self.endpoints[usize::from(streamed)];

        // Asked in this order, so that this deadline is never before the turn's, which says more to a client.
        let left = request.deadline.since(self.clock.moment()).min(A_DAY);
        let now = Instant::now();
        let deadline = now + left;
        let mut due = pin!(sleep_until(deadline.min(now + self.attempt_timeout)));
        let response = in_time(due.as_mut(), endpoint.post(&self.told(), body)).await?;
        let response = response.map_err(|error| failure::broken(error, &self.redactor))?;
        if !response.status.is_success() {
            return Err(self.refused(response, deadline).await);
        }
        if response.is_encoded() {
            return Err(LlmError::new(LlmErrorKind::InvalidResponse, "the answer is compressed, unasked"));
        }
        let retry_after = failure::retry_after(&response.headers, || self.clock.now());
        let answer = if streamed { self.in_parts(response, deadline).await } else { self.whole(response, due).await };
        answer.map_err(|error| error.retry_after(retry_after))
    }

    /// The headers that only this call has.
    fn told(&self) -> HeaderMap {
        let told = self.propagation.current().into_iter();
        told.filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?)))
            .collect()
    }

    async fn refused(&self, mut response: Response, deadline: Instant) -> LlmError {
        let due = deadline.min(Instant::now() + ERROR_BODY_PATIENCE);
        let readable = !response.is_encoded();
        let mut body = Vec::new();
        while readable && body.len() < ERROR_BODY_MAX {
            let Ok(Some(Ok(chunk))) = timeout_at(due, response.body.next()).await else { break };
            body.extend_from_slice(&chunk);
        }
        let retry_after = failure::retry_after(&response.headers, || self.clock.now());
        failure::refused(response.status, &body, &self.redactor).retry_after(retry_after)
    }

    async fn whole(&self, response: Response, due: Pin<&mut Sleep>) -> Result<LlmStream, LlmError> {
        let body = in_time(due, self.read(response)).await??;
        let completion = answer::whole(&body, &self.redactor)?;
        Ok(Box::pin(stream::iter([Ok(LlmEvent::End(completion))])))
    }

    async fn in_parts(&self, response: Response, deadline: Instant) -> Result<LlmStream, LlmError> {
        match media_type(&response.headers) {
            // Some backends cannot stream, or not with tools, and answer as if they had not been asked to.
            Some(json) if json.ends_with("json") => {
                let due = pin!(sleep_until(deadline.min(Instant::now() + self.attempt_timeout)));
                let body = in_time(due, self.read(response)).await??;
                let completion = answer::whole(&body, &self.redactor)?;
                let text = (!completion.text.is_empty()).then(|| LlmEvent::Text(completion.text.clone()));
                let events = text.into_iter().chain([LlmEvent::End(completion)]);
                Ok(Box::pin(stream::iter(events.map(Ok))))
            }
            Some("text/html") => Err(LlmError::new(LlmErrorKind::InvalidResponse, "the answer is a web page")),
            _ => {
                let patience = Patience::new(self.attempt_timeout, deadline);
                let answer = AnswerStream::new(response.body, patience, self.max_body, self.redactor.clone());
                Ok(Box::pin(answer.begun().await?))
            }
        }
    }

    /// Reads a body that is not too long.
    async fn read(&self, mut response: Response) -> Result<Vec<u8>, LlmError> {
        let announced = response.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let announced: usize = announced.unwrap_or(0);
        if announced > self.max_body {
            return Err(failure::too_long());
        }
        let mut whole = Vec::with_capacity(announced);
        while let Some(chunk) = response.body.next().await {
            let chunk = chunk.map_err(|error| failure::broken(error, &self.redactor))?;
            if whole.len() + chunk.len() > self.max_body {
                return Err(failure::too_long());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }
}

#[async_trait]
impl LlmPort for OpenAiLlm {
    async fn stream(&self, request: &LlmRequest) -> Result<LlmStream, LlmError> {
        self.ask(request).await
    }
}

/// A timer that is set once serves for all that has to be done by then.
async fn in_time<T>(due: Pin<&mut Sleep>, work: impl Future<Output = T>) -> Result<T, LlmError> {
    match select(pin!(work), due).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(failure::too_late()),
    }
}

/// What a body claims to be.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

fn headers(config: &OpenAiConfig) -> Result<[HeaderMap; 2], BuildError> {
    let mut whole = HeaderMap::new();
    whole.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    whole.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(key) = &config.api_key {
        whole.insert(AUTHORIZATION, bearer(key)?);
    }
    for (name, title, value) in
        [("http-referer", "the referer", &config.referer), ("x-title", "the title", &config.title)]
    {
        if let Some(value) = value {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| BuildError::Header(title))?;
            whole.insert(HeaderName::from_static(name), value);
        }
    }
    let mut streamed = whole.clone();
    streamed.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    Ok([whole, streamed])
}

/// Marked as sensitive: nothing that prints headers prints this one.
fn bearer(key: &SecretString) -> Result<HeaderValue, BuildError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).map_err(|_| BuildError::ApiKey)?;
    value.set_sensitive(true);
    Ok(value)
}
