//! The archive: [`MongoDbHistory`].

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_domain::{
    ports::{
        Clock,
        history::{ArchivedMessage, ArchivedSession, HistoryError, HistoryOp, HistoryStore, Page, SessionQuery},
    },
    session::SessionId,
};
use mongodb::{bson::doc, error::Result as Answer};
use tokio::{sync::OnceCell, time::timeout};

use crate::{
    collections::Collections,
    config::{BuildError, MongoDbConfig},
    error::{PrepareError, TooLate, failed},
    indexes,
};

/// How long one call may take, with all its commands and their way over the network: a server that does not answer at
/// all stops nothing by itself. Below it an operation that was given up may still be applied.
const CALL: Duration = Duration::from_secs(8);

/// How long making the indexes may take: an archive of years gets its new one in minutes.
const PREPARATION: Duration = Duration::from_secs(10 * 60);

/// The archive in MongoDB 4.4 or later.
///
/// The deployment may be down: connections are made when they are needed, and so are the indexes. Until they are ready
/// ([`MongoDbHistory::prepare`]) nothing is archived, and nothing is lost by it: all errors that somebody can mend are
/// [`HistoryError::Unavailable`].
///
/// An operation's messages are one command. There are no transactions, which not every deployment has: an operation that
/// is interrupted between its commands is whole when it is applied again, as it is until it was acknowledged. A call
/// takes at the most 8 seconds. A message that is larger than a document may be (16 MiB) is refused for good.
///
/// Read from documents that others wrote: times finer than milliseconds are cut; metadata that is not an object (or
/// larger than metadata may be) is shown as empty; messages of roles that we do not know are not shown; times that are
/// text are shown, but come last in a list and are not found by a range.
///
/// Ids of deleted sessions are kept for [`FORGOTTEN_FOR`](chat_domain::ports::history::FORGOTTEN_FOR), in a collection of their own named `SESSIONS_forgotten` with the
/// time of the deletion. MongoDB removes them by itself then.
pub struct MongoDbHistory {
    config: MongoDbConfig,
    clock: Arc<dyn Clock>,
    /// Made once: a client has tasks that watch the servers.
    collections: OnceCell<Collections>,
    ready: OnceCell<()>,
}

impl fmt::Debug for MongoDbHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoDbHistory").field("config", &self.config).finish_non_exhaustive()
    }
}

impl MongoDbHistory {
    /// An archive that is not connected yet.
    ///
    /// # Errors
    /// When the URI or a name in the configuration cannot be one. Whether the deployment is there makes no difference.
    pub fn new(config: MongoDbConfig, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        config.check()?;
        Ok(Self { config, clock, collections: OnceCell::new(), ready: OnceCell::new() })
    }

    /// Makes the indexes that are missing, and finds out whether all rights are there that the archive needs. Nothing to
    /// do once it has succeeded.
    ///
    /// To be called at the start, to know before the first turn, and again while it fails for now. Each use does it as
    /// well, but within its own 8 seconds; here it may take 10 minutes, since a large collection gets its index no sooner.
    ///
    /// # Errors
    /// Permanent ones ([`PrepareError::is_permanent`]) name the statement to run or what is wrong in the configuration.
    /// With others the service may start: the archive's spool takes what comes.
    pub async fn prepare(&self) -> Result<(), PrepareError> {
        self.collections().await.map(drop)
    }

    async fn collections(&self) -> Result<&Collections, PrepareError> {
        let make = async || Collections::new(&self.config).await.map_err(|error| PrepareError::of(&error));
        let collections = self.collections.get_or_try_init(make).await?;
        let prepare = async || {
            let preparing = timeout(PREPARATION, indexes::prepare(collections)).await;
            preparing.unwrap_or_else(|_| Err(PrepareError::Unavailable(TooLate.to_string())))
        };
        self.ready.get_or_try_init(prepare).await?;
        Ok(collections)
    }

    /// Makes a call, within its bound, once the indexes are ready.
    async fn call<T>(&self, call: impl AsyncFnOnce(&Collections) -> Answer<T>) -> Result<T, HistoryError> {
        let call = async { call(self.collections().await?).await.map_err(failed) };
        timeout(CALL, call).await.unwrap_or_else(|_| Err(HistoryError::Unavailable(TooLate.into())))
    }
}

#[async_trait]
impl HistoryStore for MongoDbHistory {
    async fn apply(&self, op: &HistoryOp) -> Result<bool, HistoryError> {
        let now = self.clock.now();
        let apply = async |collections: &Collections| match op {
            HistoryOp::Open { session, .. } | HistoryOp::Record { session, .. } => {
                collections.record(session, op.messages(), now).await.map(|()| true)
            }
            HistoryOp::Forget { session, is_known } => collections.forget(*session, *is_known, now).await,
        };
        self.call(apply).await
    }

    async fn sessions(&self, query: &SessionQuery) -> Result<Page<ArchivedSession>, HistoryError> {
        self.call(async |collections| collections.sessions(query).await).await
    }

    async fn messages(
        &self,
        session: SessionId,
        offset: u64,
        limit: u32,
    ) -> Result<Option<Page<ArchivedMessage>>, HistoryError> {
        self.call(async |collections| collections.messages(session, offset, limit).await).await
    }

    async fn ping(&self) -> Result<(), HistoryError> {
        self.call(async |collections| collections.database.run_command(doc! {"ping": 1}).await.map(drop)).await
    }
}
