//! Where a service may keep what it has to remember, and what can be found out there afterwards.

use std::path::Path;

use chat_test_support::{MariaDb, RedisServer};

use crate::Failure;

/// A place to keep things; a server of its own ends with it.
///
/// Both servers write what they acknowledge to disk about once a second: Redis with an append-only file, MariaDB with
/// `innodb-flush-log-at-trx-commit=2`.
pub(crate) enum Keeper {
    /// The service itself, which archives nothing.
    Process,
    /// Sessions, their memory and the limits are in Redis.
    Redis(RedisServer),
    /// The archive is there as well.
    RedisHistory(RedisServer),
    /// The archive is in this database of a MariaDB.
    MySqlHistory(MariaDb, String),
}

impl Keeper {
    /// A new Redis, with the archive or without.
    pub(crate) fn redis(archive: bool) -> Self {
        let server = RedisServer::start();
        if archive { Self::RedisHistory(server) } else { Self::Redis(server) }
    }

    /// A new MariaDB.
    pub(crate) fn mysql() -> Self {
        let server = MariaDb::start();
        let database = server.database().name().to_owned();
        Self::MySqlHistory(server, database)
    }

    /// What a service has to be told for it; what it has to spool goes into the folder.
    pub(crate) fn variables(&self, folder: &Path) -> Vec<(&'static str, String)> {
        let backend = |name: &str| ("HISTORY_STORAGE_BACKEND", name.to_owned());
        let spool = ("HISTORY_SPOOL_DIR", folder.join("spool").display().to_string());
        match self {
            Self::Process => Vec::new(),
            Self::Redis(server) => vec![("REDIS_URL", server.url())],
            Self::RedisHistory(server) => vec![("REDIS_URL", server.url()), backend("redis"), spool],
            Self::MySqlHistory(server, database) => vec![
                backend("mysql"),
                ("HISTORY_MYSQL_HOST", server.host().to_owned()),
                ("HISTORY_MYSQL_PORT", server.port().to_string()),
                ("HISTORY_MYSQL_USER", server.user().to_owned()),
                ("HISTORY_MYSQL_PASSWORD", server.password().to_owned()),
                ("HISTORY_MYSQL_DATABASE", database.clone()),
                spool,
            ],
        }
    }

    /// Whether anything is archived.
    pub(crate) fn has_archive(&self) -> bool {
        matches!(self, Self::RedisHistory(_) | Self::MySqlHistory(..))
    }

    /// How often the server was asked so far, where there is one: scripts in Redis, of which a turn is made there, and
    /// statements in MariaDB, prepared or carried out.
    pub(crate) fn round_trips(&self) -> Result<Option<u64>, Failure> {
        match self {
            Self::Process => Ok(None),
            Self::Redis(server) | Self::RedisHistory(server) => {
                Ok(Some(server.calls("evalsha") + server.calls("eval")))
            }
            Self::MySqlHistory(server, _) => {
                let count = "SELECT SUM(variable_value) FROM information_schema.global_status \
                    WHERE variable_name IN ('QUESTIONS', 'COM_STMT_PREPARE')";
                Ok(Some(server.sql("", count).trim().parse::<f64>()? as u64))
            }
        }
    }

    /// How many messages are archived.
    pub(crate) fn archived(&self) -> Result<usize, Failure> {
        let counted = match self {
            Self::Process | Self::Redis(_) => return Ok(0),
            Self::RedisHistory(server) => {
                let script = "local sum = 0 \
                    for _, key in ipairs(redis.call('KEYS', 'chat_history:messages:*')) do \
                    sum = sum + redis.call('LLEN', key) end return sum";
                server.cli(&["EVAL", script, "0"])
            }
            Self::MySqlHistory(server, database) => server.sql(database, "SELECT COUNT(*) FROM chat_messages"),
        };
        Ok(counted.trim().parse().map_err(|_| format!("no number of archived messages: {counted}"))?)
    }
}
