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

use crate::{
    client::{Command, Inner},
    error::Error,
    scripts,
};

/// Token buckets that all replicas share, by Redis's clock. One round trip decides about a request.
///
/// A bucket is one key that expires when the bucket would be full again. A request that is refused writes nothing.
pub struct RedisLimiter {
    redis: Arc<Inner>,
    policy: BucketPolicy,
}

impl RedisLimiter {
    pub(crate) fn new(redis: Arc<Inner>, policy: BucketPolicy) -> Self {
        Self { redis, policy }
    }

    fn key(&self, identity: &Identity) -> String {
        match identity {
            Identity::Ip(address) => self.redis.keys.bucket(&format!("ip:{address}")),
            Identity::Key(key) => {
                let hash: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
                self.redis.keys.bucket(&format!("key:{hash}"))
            }
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
        let answer = self.redis.run(take).await?;
        match answer.as_u64().ok_or(Error::Unreadable("an answer"))? {
            0 => Ok(Decision::Allow),
            micros => Ok(Decision::Refuse { retry_after: Duration::from_micros(micros) }),
        }
    }
}
