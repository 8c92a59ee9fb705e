//! How Redis is: [`RedisHealth`].

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chat_domain::{
    ports::health::{Health, HealthCheck, HealthState},
    time::Timestamp,
};
use tokio::time::Instant;

use crate::client::{Command, Inner};

/// How long Redis may take to show that it is well: less than probes wait for us.
const CHECK: Duration = Duration::from_secs(1);

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
        let (state, last_error) = match self.redis.run(write.by(Instant::now() + CHECK)).await {
            Ok(_) => (HealthState::Up, None),
            Err(error) => (HealthState::Down, Some(self.redis.presence.why(error).to_string())),
        };
        let seen = self.since(state);
        let since = Some(self.redis.presence.away_since().filter(|_| state == HealthState::Down).unwrap_or(seen));
        Health { name: "redis".into(), state, since, last_error, backlog: None, note: None }
    }
}
