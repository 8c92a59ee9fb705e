//! The connections to the database, and one search over them: [`Catalogue`].

use std::time::Duration;

use deadpool::{Runtime, managed::PoolError as WaitError};
use diesel::{ConnectionError, ConnectionResult, result::Error as QueryError};
use diesel_async::{
    AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod,
        deadpool::{Object, Pool},
    },
};
use mysql_async::OptsBuilder;
use secrecy::ExposeSecret;
use thiserror::Error;

use crate::{
    args::Search,
    config::Database,
    query,
    result::SearchResult,
    rows::{self, CountRow},
};

/// How long the database may work on one statement; it stops by itself, whether or not we still listen.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the statements of one search may take together, with their way over the network: a database that does not
/// answer at all stops nothing by itself.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may take to show that it is still alive.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no answer, in words for a model. The source is for the log.
#[derive(Debug, Error)]
pub enum Failure {
    /// There is no connection to be had.
    #[error("The product catalogue cannot be reached at the moment. Try again later.")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The search takes too long.
    #[error("The search took too long. Try again later, or ask for less: a more exact query, or a category or brand.")]
    TooSlow,
    /// The database does not understand us, or we do not understand it.
    #[error("The product catalogue could not be searched because of a fault in the server. Its log says more.")]
    Broken(#[source] QueryError),
}

/// A product catalogue in a database, which may be down: connections are made when they are needed.
#[derive(Clone)]
pub struct Catalogue {
    pool: Pool<AsyncMysqlConnection>,
    warm: usize,
}

impl Catalogue {
    /// A catalogue that is not connected yet.
    ///
    /// # Errors
    /// When a pool cannot be made of the settings.
    pub fn new(database: &Database) -> Result<Self, deadpool::managed::BuildError> {
        let options = OptsBuilder::default()
            .ip_or_hostname(&database.host)
            .tcp_port(database.port)
            .user(Some(&database.user))
            .pass(Some(database.password.expose_secret()))
            .db_name(Some(&database.name))
            // The driver would move from the address it was given to a socket that the server names.
            .prefer_socket(false);
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(move |_url| Box::pin(connect(options.clone())));
        // A connection that died in the pool is replaced before a search notices.
        config.recycling_method = RecyclingMethod::Verified;
        let manager = AsyncDieselConnectionManager::new_with_config("", config);
        let pool = Pool::builder(manager)
            .runtime(Runtime::Tokio1)
            .max_size(database.pool_max)
            .wait_timeout(Some(database.connect_timeout))
            .create_timeout(Some(database.connect_timeout))
            .recycle_timeout(Some(PING_TIMEOUT))
            .build()?;
        Ok(Self { pool, warm: database.pool_min })
    }

    /// Opens the connections that there should be from the start, so that the first search does not wait for one.
    pub async fn warm_up(&self) {
        let mut connections = Vec::with_capacity(self.warm);
        // All are held until all are there: the pool would hand out the same one again.
        for _ in 0..self.warm {
            match self.connection().await {
                Ok(connection) => connections.push(connection),
                Err(failure) => {
                    let cause = std::error::Error::source(&failure).map(ToString::to_string);
                    tracing::warn!(cause, "no connection to the database yet; each search tries again");
                    return;
                }
            }
        }
        tracing::info!(connections = self.warm, "connected to the database");
    }

    /// Makes one search.
    ///
    /// # Errors
    /// When the database is down, too slow, or has other tables than expected.
    pub async fn search(&self, search: &Search) -> Result<SearchResult, Failure> {
        let mut connection = self.connection().await?;
        // Dropped half-way, a connection reads the rest of its answer before it is used again.
        tokio::time::timeout(SEARCH_TIMEOUT, ask(&mut connection, search)).await.map_err(|_| Failure::TooSlow)?
    }

    async fn connection(&self) -> Result<Object<AsyncMysqlConnection>, Failure> {
        self.pool.get().await.map_err(|error| match error {
            // Named anew: the pool's own words lead with what is only its own step.
            WaitError::Backend(PoolError::ConnectionError(error)) => Failure::Unavailable(error.into()),
            error => Failure::Unavailable(error.into()),
        })
    }
}

async fn connect(options: OptsBuilder) -> ConnectionResult<AsyncMysqlConnection> {
    let connection = mysql_async::Conn::new(options).await;
    let connection = connection.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
    let mut connection = AsyncMysqlConnection::try_from(connection).await?;
    let setup = ConnectionError::CouldntSetupConfiguration;
    // We only read, and so can nobody through us do more.
    connection.batch_execute("SET SESSION TRANSACTION READ ONLY").await.map_err(setup)?;
    // MariaDB bounds statements in seconds, MySQL reading ones in milliseconds, each under a name that the other does
    // not know. Neither being there, the search's own bound is left.
    let seconds = STATEMENT_TIMEOUT.as_secs();
    if connection.batch_execute(&format!("SET SESSION max_statement_time = {seconds}")).await.is_err() {
        let bound = format!("SET SESSION max_execution_time = {}", STATEMENT_TIMEOUT.as_millis());
        if let Err(error) = connection.batch_execute(&bound).await {
            tracing::warn!(%error, "the database does not bound the time of its statements");
        }
    }
    Ok(connection)
}

async fn ask(connection: &mut AsyncMysqlConnection, search: &Search) -> Result<SearchResult, Failure> {
    let CountRow { total } = query::count(search).into_query().get_result(connection).await.map_err(failure)?;
    let page: Vec<rows::ProductRow> = if search.offset < total {
        query::page(search).into_query().load(connection).await.map_err(failure)?
    } else {
        Vec::new()
    };
    let ids: Vec<i64> = page.iter().map(|product| product.id).collect();
    let colors = if ids.is_empty() {
        Vec::new()
    } else {
        query::colors(search, &ids).into_query().load(connection).await.map_err(failure)?
    };
    let results = rows::products(page, colors);
    Ok(SearchResult {
        total,
        count: results.len(),
        limit: search.limit,
        offset: search.offset,
        sort_by: search.sort_by.name(),
        results,
    })
}

/// What an error is to a caller. Diesel knows no kinds for these: the driver's and the server's words are all there is.
fn failure(error: QueryError) -> Failure {
    let text = error.to_string();
    if text.contains("max_statement_time") || text.contains("maximum statement execution time") {
        Failure::TooSlow
    } else if ["Input/output error", "Driver error", "Connection was killed", "shutdown"]
        .iter()
        .any(|word| text.contains(word))
    {
        Failure::Unavailable(error.into())
    } else {
        Failure::Broken(error)
    }
}
