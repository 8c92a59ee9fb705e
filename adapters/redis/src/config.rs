//! Where Redis is: [`RedisConfig`].

use std::{fmt, time::Duration};

use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, TcpConfig, UnresponsiveConfig,
};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::client::PATIENCE;

/// What the names of all keys begin with, unless configured otherwise.
pub const DEFAULT_PREFIX: &str = "chat";

/// A connection that has not answered for so long is taken for dead and made anew.
const UNRESPONSIVE: Duration = Duration::from_secs(2);
/// How long making a connection may take, and each step of greeting the server.
const CONNECTING: Duration = Duration::from_secs(1);
/// Pauses between attempts to connect, in milliseconds: a Redis that comes back is noticed after the longest.
const PAUSES: (u32, u32) = (50, 1_000);
/// Commands that wait to be sent on one connection: what a full service has in flight.
const MOST_WAITING: usize = 10_000;
/// Messages of publish and subscribe that wait to be looked at; beyond it they are lost, and found out by asking.
const MOST_HINTS: usize = 1_024;

/// Where Redis is, and what its keys are called.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://`, `rediss://` (TLS), `redis-cluster://`, `redis-sentinel://` and the latter two with TLS
    /// (`rediss-cluster://` …): `SCHEME://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, then `?node=HOST:PORT&node=…` for more
    /// nodes of a cluster or more sentinels, and `sentinelServiceName=NAME` (`sentinelUsername`, `sentinelPassword`).
    pub url: SecretString,
    /// What the names of all keys begin with, but for the archive's.
    pub prefix: String,
}

impl RedisConfig {
    /// A Redis whose keys begin with [`DEFAULT_PREFIX`].
    pub fn new(url: SecretString) -> Self {
        Self { url, prefix: DEFAULT_PREFIX.into() }
    }

    /// The same, with keys that begin otherwise.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The driver's settings, every one with a bound.
    pub(crate) fn driver(&self) -> Result<Driver, BuildError> {
        if self.prefix.is_empty() || self.prefix.contains(['{', '}']) {
            return Err(BuildError::Prefix);
        }
        let url = self.url.expose_secret();
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        let (kind, is_tls) = match scheme.strip_prefix("rediss") {
            Some(kind) => (kind, true),
            None => (scheme.strip_prefix("redis").ok_or(BuildError::Url)?, false),
        };
        if !matches!(kind, "" | "-cluster" | "-sentinel") {
            return Err(BuildError::Url);
        }
        if is_tls {
            // An error says that somebody else was first, which serves us as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        // The driver's own error may quote the URL.
        let mut config = Config::from_url(url).map_err(|_| match kind {
            "-sentinel" => BuildError::SentinelUrl,
            _ => BuildError::Url,
        })?;
        // The first attempt is made at once, and repeated by us; later ones follow the policy.
        config.fail_fast = true;

        let connection = ConnectionConfig {
            connection_timeout: CONNECTING,
            internal_command_timeout: CONNECTING,
            unresponsive: UnresponsiveConfig { max_timeout: Some(UNRESPONSIVE), interval: UNRESPONSIVE / 4 },
            reconnect_on_auth_error: true,
            max_command_buffer_len: MOST_WAITING,
            // Many turns share a connection: a command would wait until the one before it has arrived.
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            ..ConnectionConfig::default()
        };
        let performance = PerformanceConfig {
            default_command_timeout: PATIENCE,
            broadcast_channel_capacity: MOST_HINTS,
            ..PerformanceConfig::default()
        };
        let (shortest, longest) = PAUSES;
        Ok(Driver {
            config,
            performance,
            connection,
            policy: ReconnectPolicy::new_exponential(0, shortest, longest, 2),
        })
    }
}

/// Says nothing of the URL, which may have a password in it.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// What a client of the driver is made of. Not `Debug`: the driver prints its password.
pub(crate) struct Driver {
    pub(crate) config: Config,
    performance: PerformanceConfig,
    connection: ConnectionConfig,
    policy: ReconnectPolicy,
}

impl Driver {
    pub(crate) fn client(&self) -> fred::clients::Client {
        let Driver { config, performance, connection, policy } = self;
        fred::clients::Client::new(
            config.clone(),
            Some(performance.clone()),
            Some(connection.clone()),
            Some(policy.clone()),
        )
    }
}

/// Why Redis cannot be used as it is configured. Names no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BuildError {
    /// The URL is none of Redis.
    #[error("expected a URL like redis://HOST:6379/0, rediss://…, redis-cluster://… or redis-sentinel://…")]
    Url,
    /// The URL of a sentinel says too little.
    #[error("expected a URL like redis-sentinel://HOST:26379/0?sentinelServiceName=NAME&node=HOST:26379")]
    SentinelUrl,
    /// The prefix would end up in the wrong slot of a cluster.
    #[error("the prefix of the keys must not be empty, nor contain braces")]
    Prefix,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(url: &str) -> Result<Config, BuildError> {
        RedisConfig::new(url.into()).driver().map(|driver| driver.config)
    }

    #[test]
    fn urls_of_every_kind_are_read() {
        let plain = built("redis://user:p%40ss%2Fword@localhost:6380/3").expect("a URL");
        assert_eq!(plain.password.as_deref(), Some("p@ss/word"));
        assert_eq!((plain.username.as_deref(), plain.database), (Some("user"), Some(3)));
        assert!(built("redis-cluster://h:7000?node=h:7001").expect("a URL").server.is_clustered());
        assert!(built("redis-sentinel://h:26379/0?sentinelServiceName=m").expect("a URL").server.is_sentinel());
        assert!(built("rediss://h").expect("a URL").uses_tls());
        assert!(built("rediss-cluster://h").expect("a URL").uses_tls());
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_quoting_it() {
        for url in
            ["", "localhost:6379", "http://h", "redis+unix:///s", "redis://", "redisss://h", "redis://:secret@h:x"]
        {
            assert_eq!(built(url).err(), Some(BuildError::Url), "{url}");
        }
        assert_eq!(built("redis-sentinel://h:26379/0").err(), Some(BuildError::SentinelUrl));
        for prefix in ["", "{chat}"] {
            let config = RedisConfig::new("redis://h".into()).with_prefix(prefix);
            assert_eq!(config.driver().err(), Some(BuildError::Prefix));
        }
        let config = RedisConfig::new("redis://:secret@h".into());
        assert!(!format!("{config:?}").contains("secret"));
    }
}
