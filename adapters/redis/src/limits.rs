//! Token buckets in Redis: [`RedisLimiter`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_domain::{
    admission::BucketPolicy,
    ports::{
        BoxError,
        limits::{Decision, Identity, RateLimiter},
    },
};

use tokio::time::Instant;

use crate::{
    client::{Command, Inner},
    error::Error,
    scripts,
};

/// How long a decision may take. It is a round trip in which Redis has next to nothing to do; and what a silent Redis takes
/// here is taken from the two seconds in which a request is promised its answer, of which the rest
/// ([`PATIENCE`](crate::PATIENCE)) is for finding out that its session cannot be had either.
pub const DECISION: Duration = Duration::from_millis(150);

/// Token buckets that all replicas share, by Redis's clock. One round trip decides about a request.
///
/// A bucket is one key that expires when the bucket would be full again. A request that is refused writes nothing.
pub struct RedisLimiter {
    redis: Arc<Inner>,
    policy: BucketPolicy,
    patience: Duration,
}

impl RedisLimiter {
    pub(crate) fn new(redis: Arc<Inner>, policy: BucketPolicy) -> Self {
        Self { redis, policy, patience: DECISION }
    }

    /// The same, waiting for another time than [`DECISION`] for an answer.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn key(&self, identity: &Identity) -> String {
        match identity {
            Identity::Ip(address) => self.redis.keys.bucket(&format!("ip:{address}")),
            Identity::Key(key) => self.redis.keys.bucket(&format!("key:{}", key.hex())),
        }
    }
}

#[async_trait]
impl RateLimiter for RedisLimiter {
    async fn take(&self, identities: &[Identity]) -> Result<Decision, BoxError> {
        if identities.is_empty() {
            return Ok(Decision::Allow);
        }
        let take = Command::script(&scripts::TAKE, identities.iter().map(|identity| self.key(identity)));
        // As text: so that no digit is lost on the way.
        let take = take.arg(self.policy.rate().to_string()).arg(self.policy.burst().to_string());
        let answer = self.redis.run(take.by(Instant::now() + self.patience)).await?;
        match answer.as_u64().ok_or(Error::Unreadable("an answer"))? {
            0 => Ok(Decision::Allow),
            micros => Ok(Decision::Refuse { retry_after: Duration::from_micros(micros) }),
        }
    }
}
