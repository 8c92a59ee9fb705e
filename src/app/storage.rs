//! Where sessions, limits, the bypass list and the archive are kept: in this process, or in the databases that the
//! settings name and this build has.

#[cfg(any(feature = "mysql", feature = "mongodb"))]
mod databases;

use std::{sync::Arc, time::Duration};

use chat_domain::{
    admission::BucketPolicy,
    archive::Archive,
    ports::{
        Clock, Observer, Tasks,
        health::HealthCheck,
        history::{HistoryStore, Spool, SpoolError},
        limits::{BypassList, RateLimiter},
        sessions::SessionStore,
    },
};
use chat_local::{
    bypass::LocalBypass,
    limits::LocalLimiter,
    sessions::{LocalSessions, SessionPolicy},
    spool::{DISK_BYTES, DiskSpool, MEMORY_BYTES, MemorySpool},
};
#[cfg(feature = "redis")]
use chat_redis::{Redis, RedisConfig};
#[cfg(feature = "redis")]
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;

use super::{StartError, backends::part};
use crate::config::{History, HistoryBackend, Settings};
#[cfg(feature = "redis")]
use crate::config::{REDIS_PREFIX, SecretUrl};

/// A wrong admin token may be tried once a second, ten times at once: the contract's numbers.
const ADMIN_RATE: (f64, u32) = (1.0, 10);

/// What is archived as the provider of a session.
#[cfg(any(feature = "redis", feature = "mysql", feature = "mongodb"))]
const PROVIDER: &str = "mcp-agent";

/// What is kept, and who keeps it.
pub(super) struct Storage {
    pub(super) sessions: Arc<dyn SessionStore>,
    pub(super) limiter: Arc<dyn RateLimiter>,
    /// Always in this process: it guards this process's token.
    pub(super) admin_limiter: Arc<dyn RateLimiter>,
    pub(super) bypass: Arc<dyn BypassList>,
    pub(super) archive: Archive,
    pub(super) checks: Vec<Arc<dyn HealthCheck>>,
    pub(super) upkeep: Upkeep,
    /// `memory` or `redis`.
    pub(super) memory_backend: &'static str,
}

/// What the archive needs besides a database.
pub(super) struct Surroundings {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) observer: Arc<dyn Observer>,
}

impl Storage {
    /// Opens all of it. A database that is down is no reason not to start; a wrong setting is.
    pub(super) async fn open(settings: &Settings, around: &Surroundings) -> Result<Self, StartError> {
        let clock = &around.clock;
        let policy = bucket(settings.access.rate_rps, settings.access.rate_burst)?;
        let admin_limiter = Arc::new(LocalLimiter::new(bucket(ADMIN_RATE.0, ADMIN_RATE.1)?, clock.clone()));
        let ttl = settings.memory.session_ttl;
        #[cfg(feature = "redis")]
        let redis = match &settings.memory.redis {
            Some(url) => Some(redis("REDIS_URL", url, clock).await?),
            None => None,
        };
        let history = &settings.history;
        let store: Option<Arc<dyn HistoryStore>> = match &history.backend {
            HistoryBackend::None => None,
            #[cfg(feature = "redis")]
            HistoryBackend::Redis(url) => {
                let is_same = |other: &SecretUrl| other.expose_secret() == url.expose_secret();
                let redis = match &redis {
                    Some(redis) if settings.memory.redis.as_ref().is_some_and(is_same) => redis.clone(),
                    _ => self::redis("HISTORY_REDIS_URL", url, clock).await?,
                };
                Some(Arc::new(redis.history(&history.namespace, PROVIDER)))
            }
            #[cfg(feature = "mysql")]
            HistoryBackend::MySql(mysql) => Some(databases::mysql(mysql, &history.namespace, clock).await?),
            #[cfg(feature = "mongodb")]
            HistoryBackend::MongoDb(mongodb) => Some(databases::mongodb(mongodb, &history.namespace, clock).await?),
            // What is not in this build was refused with the configuration.
            #[cfg(not(all(feature = "redis", feature = "mysql", feature = "mongodb")))]
            _ => None,
        };
        let archive = archive(history, store, around).await?;
        #[cfg(feature = "redis")]
        if let Some(redis) = redis {
            let sessions = chat_redis::SessionPolicy { ttl, lease: chat_redis::SessionPolicy::LEASE };
            return Ok(Self {
                sessions: Arc::new(redis.sessions(sessions)),
                limiter: Arc::new(redis.limiter(policy)),
                bypass: Arc::new(redis.bypass()),
                archive,
                checks: vec![Arc::new(redis.health())],
                upkeep: Upkeep { sessions: None, limiters: vec![admin_limiter.clone()], clock: clock.clone() },
                admin_limiter,
                memory_backend: "redis",
            });
        }
        let sessions = SessionPolicy { capacity: settings.memory.max_sessions, ttl };
        let sessions = Arc::new(LocalSessions::new(sessions, clock.clone()));
        let limiter = Arc::new(LocalLimiter::new(policy, clock.clone()));
        let limiters = vec![limiter.clone(), admin_limiter.clone()];
        Ok(Self {
            sessions: sessions.clone(),
            limiter,
            bypass: Arc::new(LocalBypass::new()),
            archive,
            checks: Vec::new(),
            upkeep: Upkeep { sessions: Some(sessions), limiters, clock: clock.clone() },
            admin_limiter,
            memory_backend: "memory",
        })
    }
}

#[cfg(feature = "redis")]
async fn redis(variable: &'static str, url: &SecretUrl, clock: &Arc<dyn Clock>) -> Result<Redis, StartError> {
    let config = RedisConfig::new(url.expose_secret().into()).with_prefix(REDIS_PREFIX);
    Redis::connect(&config, clock.clone()).await.map_err(|error| part(variable, error))
}

fn bucket(rate: f64, burst: u32) -> Result<BucketPolicy, StartError> {
    BucketPolicy::new(rate, burst)
        .ok_or_else(|| part("the rate limiter", "RATE_RPS must be above 0 and RATE_BURST at least 1"))
}

/// The archive over its database, with what earlier processes left in the spool already under way.
async fn archive(
    history: &History,
    store: Option<Arc<dyn HistoryStore>>,
    around: &Surroundings,
) -> Result<Archive, StartError> {
    let Some(store) = store else { return Ok(Archive::disabled()) };
    // Where it is and what the system says, and not only that it failed.
    let unusable = |error: SpoolError| {
        let place = history.spool_dir.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default();
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        part("the history spool (HISTORY_SPOOL_DIR)", format!("{place}{cause}"))
    };
    let spool: Arc<dyn Spool> = match &history.spool_dir {
        Some(directory) => Arc::new(DiskSpool::open(directory, DISK_BYTES).await.map_err(unusable)?),
        None => Arc::new(MemorySpool::new(MEMORY_BYTES)),
    };
    let Surroundings { clock, tasks, observer } = around;
    let archive = Archive::new(store, spool, clock.clone(), tasks.clone(), observer.clone());
    let backlog = archive.resume().await.map_err(unusable)?;
    if backlog > 0 {
        tracing::info!(backlog, "history left in the spool is being written");
    }
    Ok(archive)
}

/// What has to be done every now and then: freeing what is idle in this process.
pub(super) struct Upkeep {
    sessions: Option<Arc<LocalSessions>>,
    limiters: Vec<Arc<LocalLimiter>>,
    clock: Arc<dyn Clock>,
}

/// Memory is given back within this time of falling idle.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

impl Upkeep {
    #[expect(clippy::disallowed_methods, reason = "upkeep runs beside all requests, from the start to the end")]
    pub(super) fn start(self) -> JoinHandle<()> {
        let upkeep = Arc::new(self);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SWEEP_EVERY);
            loop {
                ticks.tick().await;
                let upkeep = upkeep.clone();
                // Looking at a hundred thousand sessions takes 20 ms, which no turn should wait for.
                if let Err(error) = tokio::task::spawn_blocking(move || upkeep.sweep()).await {
                    tracing::error!(error = %error, "upkeep failed");
                }
            }
        })
    }

    fn sweep(&self) {
        let now = self.clock.moment();
        let freed = self.sessions.as_ref().map_or(0, |sessions| sessions.sweep(now));
        if freed > 0 {
            tracing::info!(freed, "idle sessions ended");
        }
        self.limiters.iter().for_each(|limiter| limiter.sweep(now));
    }
}
