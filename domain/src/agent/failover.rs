//! One [`LlmPort`] over several: in what order they are asked, how often, and when one is left alone.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::Stream;

use crate::{
    ports::{
        CallCount, Clock, Observer, Random,
        llm::{Delivery, LlmError, LlmErrorKind, LlmEvent, LlmPort, LlmRequest, LlmStatus, LlmStream},
    },
    time::Moment,
};

/// Failures in a row after which a backend is left alone.
pub const FAILURES_TO_OPEN: u32 = 5;
/// How long it is left alone before one turn tries it again.
pub const OPEN_FOR: Duration = Duration::from_secs(10);
/// The pause before the first retry; doubled for each further one, up to [`MAX_PAUSE`].
pub const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between retries, unless the backend asks for more.
pub const MAX_PAUSE: Duration = Duration::from_secs(5);

/// A backend with its configured name and what is known of its health.
pub struct Backend {
    name: Arc<str>,
    llm: Arc<dyn LlmPort>,
    breaker: Arc<Breaker>,
}

impl Backend {
    /// A backend that is thought to be well.
    pub fn new(name: impl Into<Arc<str>>, llm: Arc<dyn LlmPort>) -> Self {
        Self { name: name.into(), llm, breaker: Arc::default() }
    }
}

/// Asks the first backend, again while that can help, then the next.
///
/// Only the future of [`LlmPort::stream`] is retried, and it resolves with the first part of an answer: what a client has
/// seen is never taken back.
pub struct Failover {
    backends: Vec<Backend>,
    max_retries: u32,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    observer: Arc<dyn Observer>,
}

impl Failover {
    /// Over these backends, in this order, each asked at most `1 + max_retries` times a call.
    pub fn new(
        backends: Vec<Backend>,
        max_retries: u32,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { backends, max_retries, clock, random, observer }
    }

    async fn ask(&self, backend: &Backend, request: &LlmRequest) -> Result<LlmStream, LlmError> {
        let mut retries = 0;
        loop {
            let began = self.clock.moment();
            let result = backend.llm.stream(request).await;
            let ended = self.clock.moment();
            let count = CallCount { name: &backend.name, took: ended.since(began), failed: result.is_err() };
            self.observer.llm_call(count);
            let error = match result {
                Ok(stream) if request.delivery == Delivery::Whole => {
                    self.note(backend, None, ended);
                    return Ok(stream);
                }
                Ok(inner) => {
                    return Ok(Box::pin(Watched {
                        inner,
                        breaker: backend.breaker.clone(),
                        name: backend.name.clone(),
                        clock: self.clock.clone(),
                        observer: self.observer.clone(),
                    }));
                }
                Err(error) => error,
            };
            self.note(backend, Some(error.kind), ended);
            let pause = self.pause(&error, retries, request.deadline);
            let cause = error.source.as_ref().map(tracing::field::display);
            tracing::warn!(
                backend = &*backend.name,
                kind = error.kind.as_str(),
                attempt = retries + 1,
                cause,
                "LLM attempt failed"
            );
            let Some(pause) = pause else { return Err(error) };
            self.clock.sleep_until(self.clock.moment().plus(pause)).await;
            retries += 1;
        }
    }

    fn note(&self, backend: &Backend, outcome: Option<LlmErrorKind>, now: Moment) {
        note(&backend.breaker, &backend.name, outcome, now, &*self.observer);
    }

    /// How long to wait before the same backend is asked once more; none if it is not.
    fn pause(&self, error: &LlmError, retries: u32, deadline: Moment) -> Option<Duration> {
        if !error.kind.is_retryable() || retries >= self.max_retries {
            return None;
        }
        let pause = error.retry_after.unwrap_or(Duration::ZERO).max(self.backoff(retries));
        (self.clock.moment().plus(pause) < deadline).then_some(pause)
    }

    /// Half of the exponential pause for sure and the other half by chance, so that many clients of one broken backend
    /// do not come back together.
    fn backoff(&self, retries: u32) -> Duration {
        let full = FIRST_PAUSE.saturating_mul(1 << retries.min(16)).min(MAX_PAUSE);
        full.mul_f64(0.5 + 0.5 * self.random.unit())
    }
}

#[async_trait]
impl LlmPort for Failover {
    async fn stream(&self, request: &LlmRequest) -> Result<LlmStream, LlmError> {
        let mut last = None;
        for backend in &self.backends {
            if !backend.breaker.lets_through(self.clock.moment()) {
                continue;
            }
            match self.ask(backend, request).await {
                Ok(stream) => return Ok(stream),
                Err(error) if error.kind == LlmErrorKind::Rejected => return Err(error),
                Err(error) => last = Some(error),
            }
            if self.clock.moment() >= request.deadline {
                break;
            }
        }
        match (last, self.backends.first()) {
            (Some(error), _) => Err(error),
            // All circuits are open, or that of the only backend: asking nobody would be worse than asking the one that is
            // meant to answer.
            (None, Some(first)) => self.ask(first, request).await,
            (None, None) => Err(LlmErrorKind::Unavailable.into()),
        }
    }

    /// Unconfigured only if all backends are: one that can be asked is enough for turns.
    fn status(&self) -> LlmStatus {
        let mut usable = false;
        let (mut failing, mut unconfigured) = (None, None);
        for backend in &self.backends {
            let status = backend.llm.status();
            usable |= !matches!(status, LlmStatus::Unconfigured { .. });
            if status != LlmStatus::Ready || backend.breaker.is_open() {
                failing.get_or_insert(&backend.name);
            }
            if let LlmStatus::Unconfigured { .. } = status {
                unconfigured.get_or_insert(status);
            }
        }
        match (unconfigured, failing) {
            (Some(unconfigured), _) if !usable => unconfigured,
            (_, Some(backend)) => LlmStatus::Degraded { backend: backend.clone() },
            (_, None) => LlmStatus::Ready,
        }
    }
}

fn note(breaker: &Breaker, name: &str, outcome: Option<LlmErrorKind>, now: Moment, observer: &dyn Observer) {
    match breaker.note(outcome.is_some_and(LlmErrorKind::is_outage), now) {
        Some(true) => {
            tracing::warn!(
                backend = name,
                failures = FAILURES_TO_OPEN,
                "LLM backend is failing: left alone for a while"
            );
            observer.circuit(name, true);
        }
        Some(false) => {
            tracing::info!(backend = name, "LLM backend is well again");
            observer.circuit(name, false);
        }
        None => {}
    }
}

/// Counts failures in a row.
#[derive(Default)]
struct Breaker(Mutex<Health>);

#[derive(Default)]
struct Health {
    failures: u32,
    /// While it is open: when it may be tried again.
    retry_at: Option<Moment>,
}

impl Breaker {
    fn lock(&self) -> std::sync::MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call may be made. When an open circuit's time has come, the one who asks is let through to try and the
    /// others go on waiting.
    fn lets_through(&self, now: Moment) -> bool {
        let mut health = self.lock();
        match health.retry_at {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                health.retry_at = Some(now.plus(OPEN_FOR));
                true
            }
        }
    }

    /// Whether it is thought to be dead: also when its time to be tried has come, until somebody has.
    fn is_open(&self) -> bool {
        self.lock().retry_at.is_some()
    }

    /// Counts a call's end; tells if that opened (`true`) or closed (`false`) the circuit.
    fn note(&self, failed: bool, now: Moment) -> Option<bool> {
        let mut health = self.lock();
        if !failed {
            health.failures = 0;
            return health.retry_at.take().map(|_| false);
        }
        health.failures = health.failures.saturating_add(1);
        if health.failures < FAILURES_TO_OPEN {
            return None;
        }
        let was_open = health.retry_at.replace(now.plus(OPEN_FOR)).is_some();
        (!was_open).then_some(true)
    }
}

/// A stream whose end is told to the breaker: a backend that breaks off every answer is as dead as one that gives none.
struct Watched {
    inner: LlmStream,
    breaker: Arc<Breaker>,
    name: Arc<str>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

impl Stream for Watched {
    type Item = Result<LlmEvent, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.inner.as_mut().poll_next(cx);
        let outcome = match &next {
            Poll::Ready(Some(Ok(LlmEvent::End(_)))) => None,
            Poll::Ready(Some(Err(error))) => Some(error.kind),
            _ => return next,
        };
        note(&self.breaker, &self.name, outcome, self.clock.moment(), &*self.observer);
        next
    }
}

#[cfg(test)]
mod tests;
