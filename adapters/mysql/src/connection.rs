//! One connection to the server, set up as the archive needs it.

use std::time::Duration;

use mysql_async::{Conn, Error, OptsBuilder, prelude::Queryable};
use secrecy::ExposeSecret;

use crate::config::MySqlConfig;

/// How long the server may work on one statement: it stops by itself, whether or not we still listen.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// - Read committed: each statement sees what was committed before it, and locks no gaps between rows.
/// - Strict, whatever the server's default: a value that does not fit is an error and is not cut.
/// - English errors: some kinds of them are only known by their words.
/// - Waits for locks are bounded, those for tables, too.
const SETUP: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', lc_messages = 'en_US', \
     innodb_lock_wait_timeout = 4, lock_wait_timeout = 4",
];

/// Seconds after which a silent peer is asked whether it is there: what is given up half-way waits for its end unseen.
const KEEP_ALIVE: u32 = 10;

pub(crate) fn options(config: &MySqlConfig) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(&config.host)
        .tcp_port(config.port)
        .user(Some(&config.user))
        .pass(config.password.as_ref().map(|password| password.expose_secret()))
        .db_name(Some(&config.database))
        // The driver would move from the address it was given to a socket that the server names.
        .prefer_socket(false)
        .tcp_keepalive(Some(KEEP_ALIVE * 1000))
        // Statements are kept prepared elsewhere.
        .stmt_cache_size(0)
        .setup(SETUP.to_vec())
}

/// A connection whose statements may take their time.
pub(crate) async fn patient(options: OptsBuilder) -> Result<Conn, Error> {
    Conn::new(options).await
}

/// A connection whose statements have to be quick.
pub(crate) async fn quick(options: OptsBuilder) -> Result<Conn, Error> {
    let mut connection = Conn::new(options).await?;
    // MariaDB bounds statements in seconds, MySQL reading ones in milliseconds, each under a name that the other does
    // not know. Neither being there, the bounds on waiting are left.
    let seconds = STATEMENT_TIMEOUT.as_secs();
    if connection.query_drop(format!("SET SESSION max_statement_time = {seconds}")).await.is_err() {
        let bound = format!("SET SESSION max_execution_time = {}", STATEMENT_TIMEOUT.as_millis());
        if let Err(Error::Server(error)) = connection.query_drop(bound).await {
            tracing::debug!(%error, "the database does not bound the time of its statements");
        }
    }
    Ok(connection)
}
