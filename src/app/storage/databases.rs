//! The archive's databases: from settings to stores that are ready, or on the way to be.

use std::{future::Future, sync::Arc, time::Duration};

use chat_domain::ports::{Clock, history::HistoryStore};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::PROVIDER;
use crate::{
    app::{StartError, backends::part},
    config,
};

/// How long the start waits for tables and indexes to be made. A large table of the Python service takes longer to get
/// its index; it goes on beside the service, and the spool takes what comes meanwhile.
const PREPARATION: Duration = Duration::from_secs(5);

/// The pause before a database that was not there is prepared again. What is used meanwhile prepares it as well, but
/// within a call's time, in which a large table does not get its index.
const AGAIN: Duration = Duration::from_secs(5);

#[cfg(feature = "mysql")]
pub(super) async fn mysql(
    settings: &config::MySql,
    namespace: &str,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn HistoryStore>, StartError> {
    use chat_mysql::{MySqlConfig, MySqlHistory, PrepareError};

    let config::MySql { host, port, user, password, database, session_table, message_table } = settings.clone();
    let config = MySqlConfig {
        host,
        port,
        user,
        password,
        database,
        session_table,
        message_table,
        namespace: namespace.to_owned(),
        provider: PROVIDER.to_owned(),
    };
    let history = MySqlHistory::new(config, clock.clone()).map_err(|error| part("history in MySQL", error))?;
    let history = Arc::new(history);
    let prepare = |history: Arc<MySqlHistory>| async move { history.prepare().await };
    prepared("history in MySQL", &history, prepare, PrepareError::is_permanent).await?;
    Ok(history)
}

#[cfg(feature = "mongodb")]
pub(super) async fn mongodb(
    settings: &config::MongoDb,
    namespace: &str,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn HistoryStore>, StartError> {
    use chat_mongodb::{MongoDbConfig, MongoDbHistory, PrepareError};
    use secrecy::ExposeSecret;

    let config::MongoDb { uri, database, session_collection, message_collection } = settings.clone();
    let config = MongoDbConfig {
        uri: uri.expose_secret().into(),
        database,
        session_collection,
        message_collection,
        namespace: namespace.to_owned(),
        provider: PROVIDER.to_owned(),
    };
    let history = MongoDbHistory::new(config, clock.clone()).map_err(|error| part("history in MongoDB", error))?;
    let history = Arc::new(history);
    let prepare = |history: Arc<MongoDbHistory>| async move { history.prepare().await };
    prepared("history in MongoDB", &history, prepare, PrepareError::is_permanent).await?;
    Ok(history)
}

/// Waits for a while until a database is ready. Only what waiting cannot mend keeps the service from starting; what it can
/// goes on beside the service, again and again, until it is done or nobody has the database any more.
#[expect(clippy::disallowed_methods, reason = "a database that comes late is prepared beside the service")]
async fn prepared<S, P, E>(
    what: &'static str,
    store: &Arc<S>,
    prepare: impl Fn(Arc<S>) -> P + Send + 'static,
    is_permanent: fn(&E) -> bool,
) -> Result<(), StartError>
where
    S: Send + Sync + 'static,
    P: Future<Output = Result<(), E>> + Send,
    E: std::error::Error + Send + Sync + 'static,
{
    let (tell, told) = oneshot::channel();
    let (store, mut tell) = (Arc::downgrade(store), Some(tell));
    tokio::spawn(async move {
        let mut known = String::new();
        while let Some(store) = store.upgrade() {
            let Err(error) = prepare(store).await else {
                if !known.is_empty() {
                    tracing::info!("{what} is ready");
                }
                return;
            };
            if error.to_string() != known {
                known = error.to_string();
                tracing::warn!(%error, "{what} is not ready: what comes is spooled");
            }
            let is_over = is_permanent(&error);
            if let Some(tell) = tell.take() {
                // If the start no longer waits, the log has it.
                let _ = tell.send(error);
            }
            if is_over {
                return;
            }
            sleep(AGAIN).await;
        }
    });
    match timeout(PREPARATION, told).await {
        Ok(Ok(error)) if is_permanent(&error) => Err(part(what, error)),
        Ok(_) => Ok(()),
        Err(_) => {
            tracing::warn!("{what} is not ready yet: what comes is spooled");
            Ok(())
        }
    }
}
