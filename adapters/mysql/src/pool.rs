//! The connections to the server: [`Connections`].

use std::time::Duration;

use chat_domain::ports::history::HistoryError;
use deadpool::Runtime;
use diesel::{ConnectionError, ConnectionResult, QueryResult};
use diesel_async::{
    AsyncMysqlConnection, RunQueryDsl,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{Object, Pool},
    },
};
use mysql_async::OptsBuilder;

use crate::{
    config::BuildError,
    connection,
    error::{PrepareError, failed, is_wrong_server, no_connection},
    rows::Packets,
    statement::Statement,
};

/// Connections at the most. A write takes some milliseconds: these do thousands a second.
const MOST: usize = 16;

/// How long to wait for another one's connection.
const WAIT: Duration = Duration::from_secs(2);

/// How long a new connection may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(3);

/// How long a connection may take to show that it is still alive.
const PING: Duration = Duration::from_secs(1);

/// A message of so many bytes goes through without asking: every server of use takes it.
const SMALL: usize = 64 * 1024;

/// What a statement has besides a message's content, generously.
const BESIDES: usize = 1024;

/// Connections that are made when they are needed.
pub(crate) struct Connections(Pool<AsyncMysqlConnection>);

impl Connections {
    pub(crate) fn new(options: OptsBuilder) -> Result<Self, BuildError> {
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(move |_url| Box::pin(connect(options.clone())));
        // A connection that died in the pool is replaced before anybody notices.
        config.recycling_method = RecyclingMethod::Verified;
        let pool = Pool::builder(AsyncDieselConnectionManager::new_with_config("", config))
            .runtime(Runtime::Tokio1)
            .max_size(MOST)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CONNECT))
            .recycle_timeout(Some(PING))
            .build()
            .map_err(BuildError::Pool)?;
        Ok(Self(pool))
    }

    /// Lends a connection that answers. One that turns out to lead to a server that only reads is not used again: another
    /// has taken over, and a new connection finds it.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(crate) async fn lend<T>(
        &self,
        work: impl AsyncFnOnce(&mut AsyncMysqlConnection) -> QueryResult<T>,
    ) -> Result<QueryResult<T>, HistoryError> {
        self.lend_for(0, work).await
    }

    /// The same, for a message of so many bytes. How much a server takes at a time a connection knows from when it was
    /// made: those from before it was told to take more are closed.
    ///
    /// # Errors
    /// When there is none to be had; for good if the server does not take as much now. It would hang up on it without a
    /// word, as if it were away.
    pub(crate) async fn lend_for<T>(
        &self,
        largest: usize,
        work: impl AsyncFnOnce(&mut AsyncMysqlConnection) -> QueryResult<T>,
    ) -> Result<QueryResult<T>, HistoryError> {
        for _ in 0..=MOST {
            let mut lent = Lent(None);
            let connection = lent.0.insert(self.0.get().await.map_err(no_connection)?);
            if largest > SMALL && !takes(connection, largest).await? {
                continue;
            }
            let result = work(connection).await;
            if !result.as_ref().is_err_and(is_wrong_server) {
                drop(lent.0.take());
            }
            return Ok(result);
        }
        Err(HistoryError::Unavailable("new connections take smaller packets than its max_allowed_packet says".into()))
    }
}

/// Whether a message goes over this connection; if not, it does over a new one.
async fn takes(connection: &mut AsyncMysqlConnection, largest: usize) -> Result<bool, HistoryError> {
    let ask = "SELECT CAST(@@session.max_allowed_packet AS SIGNED) AS here, \
         CAST(@@global.max_allowed_packet AS SIGNED) AS anew";
    let Packets { here, anew } = Statement::kept(ask, Vec::new()).get_result(connection).await.map_err(failed)?;
    let fits = |packet: i64| usize::try_from(packet).is_ok_and(|packet| largest.saturating_add(BESIDES) <= packet);
    if !fits(here) && !fits(anew) {
        let words = format!("a message of {largest} bytes does not fit into a max_allowed_packet of {anew}");
        return Err(HistoryError::Permanent(words.into()));
    }
    Ok(fits(here))
}

async fn connect(options: OptsBuilder) -> ConnectionResult<AsyncMysqlConnection> {
    let connection = connection::quick(options).await;
    let words = |error| ConnectionError::BadConnection(PrepareError::of(&error).to_string());
    AsyncMysqlConnection::try_from(connection.map_err(words)?).await
}

/// A connection in use. Dropped with it still inside it is closed: half-way through its work, in the pool, it would hold
/// a transaction open, with its locks, until it is used again.
struct Lent(Option<Object<AsyncMysqlConnection>>);

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
