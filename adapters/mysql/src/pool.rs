//! The connections to the server: [`Connections`].

use std::time::Duration;

use chat_domain::ports::history::HistoryError;
use deadpool::Runtime;
use diesel::{ConnectionError, ConnectionResult, QueryResult};
use diesel_async::{
    AsyncMysqlConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{Object, Pool},
    },
};
use mysql_async::OptsBuilder;

use crate::{
    config::BuildError,
    connection,
    error::{PrepareError, is_wrong_server, no_connection},
};

/// Connections at the most. A write takes some milliseconds: these do thousands a second.
const MOST: usize = 16;

/// How long to wait for another one's connection.
const WAIT: Duration = Duration::from_secs(2);

/// How long a new connection may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(3);

/// How long a connection may take to show that it is still alive.
const PING: Duration = Duration::from_secs(1);

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
        let connection = self.0.get().await.map_err(no_connection)?;
        let mut lent = Lent(None);
        let result = work(lent.0.insert(connection)).await;
        if !result.as_ref().is_err_and(is_wrong_server) {
            drop(lent.0.take());
        }
        Ok(result)
    }
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
