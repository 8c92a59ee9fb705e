//! A limiter that is not waited for long.

use std::time::Duration;

use async_trait::async_trait;
use chat_domain::ports::{
    BoxError,
    limits::{Decision, Identity, RateLimiter},
};
use tokio::time::timeout;

/// What a Redis that is silent may take of the two seconds in which a request is promised its answer: the rest is for
/// finding out that its session cannot be had either.
const PATIENCE: Duration = Duration::from_millis(150);

/// A limiter that has failed when it does not decide at once.
pub(super) struct Prompt<L>(pub(super) L);

#[async_trait]
impl<L: RateLimiter> RateLimiter for Prompt<L> {
    async fn take(&self, identities: &[Identity]) -> Result<Decision, BoxError> {
        let decision = timeout(PATIENCE, self.0.take(identities)).await;
        decision.unwrap_or_else(|_| Err("no answer in time".into()))
    }
}
