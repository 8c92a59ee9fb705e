//! How Redis is: [`RedisHealth`].

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chat_domain::{
    ports::health::{Health, HealthCheck, HealthState},
    time::Timestamp,
};

use crate::client::{Command, Inner};

/// Whether Redis takes writes: one that only answers (a replica, a full memory, a full disk) is as good as none.
pub struct RedisHealth {
    redis: Arc<Inner>,
    last: Mutex<Option<(HealthState, Timestamp)>>,
}

impl RedisHealth {
    pub(crate) fn new(redis: Arc<Inner>) -> Self {
        Self { redis, last: Mutex::default() }
    }

    /// Since when it has been like this, as far as checks have seen.
    fn since(&self, state: HealthState) -> Timestamp {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((known, since)) if known == state => since,
            _ => last.insert((state, self.redis.clock.now())).1,
        }
    }
}

#[async_trait]
impl HealthCheck for RedisHealth {
    async fn check(&self) -> Health {
        let write = Command::on("SET", self.redis.keys.health()).arg(&*self.redis.replica).arg("PX").arg(60_000i64);
        let (state, last_error) = match self.redis.run(write).await {
            Ok(_) => (HealthState::Up, None),
            Err(error) => (HealthState::Down, Some(error.to_string())),
        };
        let since = Some(self.since(state));
        Health { name: "redis".into(), state, since, last_error, backlog: None, note: None }
    }
}
