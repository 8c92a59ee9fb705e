//! The archive's databases: from settings to stores that are ready, or on the way to be.

use std::{future::Future, sync::Arc, time::Duration};

use chat_domain::ports::{Clock, history::HistoryStore};
use tokio::time::timeout;

use super::PROVIDER;
use crate::{
    app::{StartError, backends::part},
    config,
};

/// How long the start waits for tables and indexes to be made. A large table of the Python service takes longer to get
/// its index; it goes on beside the service, and the spool takes what comes meanwhile.
const PREPARATION: Duration = Duration::from_secs(5);

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
    let preparing = history.clone();
    prepared("history in MySQL", PrepareError::is_permanent, async move { preparing.prepare().await }).await?;
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
    let preparing = history.clone();
    prepared("history in MongoDB", PrepareError::is_permanent, async move { preparing.prepare().await }).await?;
    Ok(history)
}

/// Waits for a while until a database is ready. Only what waiting cannot mend keeps the service from starting.
#[expect(clippy::disallowed_methods, reason = "a large table's index goes on beside the service, until it is made")]
async fn prepared<E>(
    what: &'static str,
    is_permanent: fn(&E) -> bool,
    preparation: impl Future<Output = Result<(), E>> + Send + 'static,
) -> Result<(), StartError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let mut preparing = tokio::spawn(async move {
        let prepared = preparation.await;
        if let Err(error) = &prepared {
            tracing::warn!(error = %error, "{what} is not ready: what comes is spooled");
        }
        prepared
    });
    match timeout(PREPARATION, &mut preparing).await {
        Ok(Ok(Err(error))) if is_permanent(&error) => Err(part(what, error)),
        Ok(_) => Ok(()),
        Err(_) => {
            tracing::warn!("{what} is not ready yet: what comes is spooled");
            Ok(())
        }
    }
}
