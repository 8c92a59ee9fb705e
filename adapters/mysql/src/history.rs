//! The archive: [`MySqlHistory`].

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_domain::{
    ports::{
        Clock,
        history::{
            ArchivedMessage, ArchivedSession, FORGOTTEN_FOR, HistoryError, HistoryOp, HistoryStore, Page, SessionQuery,
        },
    },
    session::SessionId,
    time::Timestamp,
};
use diesel::{QueryResult, result::Error as QueryError};
use diesel_async::{AsyncConnection, AsyncMysqlConnection};
use mysql_async::OptsBuilder;
use tokio::{sync::OnceCell, time::timeout};

use crate::{
    config::{BuildError, MySqlConfig},
    connection,
    error::{PrepareError, TooLate, failed, is_deadlock},
    pool::{CONNECT, Connections},
    read::Reader,
    schema::{self, Ready},
    tables::Tables,
    write::Writer,
};

/// How long one call may take, with all its statements and their way over the network: a server that does not answer at
/// all stops nothing by itself. Below it an operation that was given up may still be applied.
const CALL: Duration = Duration::from_secs(8);

/// How long making the tables ready may take: an archive of years gets its new index in minutes.
const PREPARATION: Duration = Duration::from_secs(10 * 60);

/// An operation that the database ended for another one's sake is begun anew so many times. Further ones are the
/// archive's.
const DEADLOCKS: u32 = 2;

/// The archive in MySQL 8 or MariaDB.
///
/// The database may be down: connections are made when they are needed, and so are the tables. Until they are ready
/// ([`MySqlHistory::prepare`]) nothing is archived, and nothing is lost by it: all errors that somebody can mend are
/// [`HistoryError::Unavailable`].
///
/// An operation is one transaction, its messages one statement (several, if they are many or large); the messages of a
/// deleted session are removed after it, some thousand at a time, so that attempts at a large one add up. A call takes at the
/// most 8 seconds; dropped, it is rolled back by the database as soon as its running statement ends (5 seconds at the
/// most), or committed if that was it. A message that is larger than the server's `max_allowed_packet` at that time is
/// refused for good.
///
/// Read from tables that others wrote: times finer than milliseconds are cut, metadata that is not an object (or larger
/// than metadata may be) is shown as empty, messages of roles that we do not know are not shown.
///
/// Ids of deleted sessions are kept for [`FORGOTTEN_FOR`], in a table of their own named `SESSIONS_forgotten` with the time
/// of the deletion. Each deletion removes some that are older, so that there are never many of them.
pub struct MySqlHistory {
    connections: Connections,
    options: OptsBuilder,
    tables: Tables,
    reader: Reader,
    writer: Writer,
    clock: Arc<dyn Clock>,
    ready: OnceCell<Ready>,
}

impl fmt::Debug for MySqlHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlHistory").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl MySqlHistory {
    /// An archive that is not connected yet.
    ///
    /// # Errors
    /// When a name in the configuration cannot be one. Whether the database is there makes no difference.
    pub fn new(config: MySqlConfig, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let tables = Tables::new(&config)?;
        let options = connection::options(&config);
        let MySqlConfig { namespace, provider, .. } = config;
        if !(1..=64).contains(&namespace.chars().count()) {
            return Err(BuildError::Namespace);
        }
        if provider.chars().count() > 255 {
            return Err(BuildError::Provider);
        }
        Ok(Self {
            connections: Connections::new(options.clone())?,
            reader: Reader::new(tables.clone(), namespace.clone()),
            writer: Writer::new(&tables, namespace, provider),
            options,
            tables,
            clock,
            ready: OnceCell::new(),
        })
    }

    /// Makes the tables and indexes that are missing, adds `message_id` to a table of the Python service, and finds out
    /// whether all rights are there that the archive needs. Nothing to do once it has succeeded.
    ///
    /// To be called at the start, to know before the first turn, and again while it fails for now. Each use does it as
    /// well, but within its own 8 seconds; here it may take 10 minutes, since a large table gets its index no sooner.
    ///
    /// # Errors
    /// Permanent ones ([`PrepareError::is_permanent`]) name the statement to run or what is wrong in the configuration.
    /// With others the service may start: the archive's spool takes what comes.
    pub async fn prepare(&self) -> Result<(), PrepareError> {
        self.ready.get_or_try_init(|| self.make_ready()).await.map(drop)
    }

    async fn make_ready(&self) -> Result<Ready, PrepareError> {
        let late = |_| PrepareError::Unavailable(TooLate.to_string());
        let connecting = timeout(CONNECT, connection::patient(self.options.clone()));
        let mut connection = connecting.await.map_err(late)?.map_err(|error| PrepareError::of(&error))?;
        let preparing = schema::prepare(&mut connection, &self.tables);
        let ready = timeout(PREPARATION, preparing).await.map_err(late)??;
        // It has done its work; whether it says goodbye does not matter.
        let _ = timeout(CONNECT, connection.disconnect()).await;
        Ok(ready)
    }

    /// Makes a call, within its bound, once the tables are ready.
    async fn call<T>(&self, call: impl Future<Output = Result<T, HistoryError>>) -> Result<T, HistoryError> {
        let call = async {
            self.prepare().await?;
            call.await
        };
        timeout(CALL, call).await.unwrap_or_else(|_| Err(HistoryError::Unavailable(TooLate.into())))
    }

    /// One attempt at an operation, as one transaction.
    async fn attempt(&self, op: &HistoryOp, now: Timestamp) -> Result<QueryResult<bool>, HistoryError> {
        let writer = &self.writer;
        let write = async |connection: &mut AsyncMysqlConnection| match op {
            HistoryOp::Open { session, .. } | HistoryOp::Record { session, .. } => {
                writer.record(connection, session, op.messages(), now).await
            }
            HistoryOp::Forget { session, is_known } => writer.forget(connection, *session, *is_known, now).await,
        };
        let attempt = async |connection: &mut AsyncMysqlConnection| {
            let applied = connection.transaction(write).await?;
            if let HistoryOp::Forget { session, .. } = op {
                writer.remove(connection, *session).await?;
                self.prune(connection, now).await;
            }
            Ok(applied)
        };
        let largest = op.messages().iter().map(|message| message.content.len()).max().unwrap_or_default();
        self.connections.lend_for(largest, attempt).await
    }

    /// Removes marks that are old enough. It is only about room: the operation, which is done, does not fail for it.
    async fn prune(&self, connection: &mut AsyncMysqlConnection, now: Timestamp) {
        // Without the index it would look at all of them.
        if self.ready.get().is_some_and(|ready| ready.finds_old_marks) {
            let before = now.as_millis().saturating_sub(FORGOTTEN_FOR.as_millis() as i64);
            if let Err(error) = self.writer.prune(connection, Timestamp::from_millis(before)).await {
                tracing::debug!(%error, "old marks of deleted sessions cannot be removed now");
            }
        }
    }
}

#[async_trait]
impl HistoryStore for MySqlHistory {
    async fn apply(&self, op: &HistoryOp) -> Result<bool, HistoryError> {
        let now = self.clock.now();
        let applying = async {
            let mut deadlocks = 0;
            loop {
                match self.attempt(op, now).await? {
                    Ok(answer) => return Ok(answer),
                    // The session was forgotten, or there was nothing to forget: there is nothing to do.
                    Err(QueryError::RollbackTransaction) => return Ok(!matches!(op, HistoryOp::Forget { .. })),
                    Err(error) if is_deadlock(&error) && deadlocks < DEADLOCKS => deadlocks += 1,
                    Err(error) => return Err(failed(error)),
                }
            }
        };
        self.call(applying).await
    }

    async fn sessions(&self, query: &SessionQuery) -> Result<Page<ArchivedSession>, HistoryError> {
        let read = self.connections.lend(async |connection| self.reader.sessions(connection, query).await);
        self.call(async { read.await?.map_err(failed) }).await
    }

    async fn messages(
        &self,
        session: SessionId,
        offset: u64,
        limit: u32,
    ) -> Result<Option<Page<ArchivedMessage>>, HistoryError> {
        let read = async |connection: &mut _| self.reader.messages(connection, session, offset, limit).await;
        self.call(async { self.connections.lend(read).await?.map_err(failed) }).await
    }

    async fn ping(&self) -> Result<(), HistoryError> {
        // Only a connection that has just answered is lent.
        self.call(async { self.connections.lend(async |_| Ok(())).await?.map_err(failed) }).await
    }
}
