//! The tables: made when they are missing, and given what those of the Python service do not have.

use std::collections::{HashMap, HashSet};

use mysql_async::{Conn, Error, prelude::Queryable};

use crate::{
    error::{PrepareError, is_forbidden, needed_column},
    tables::Tables,
};

/// So often it is looked at what is missing: another process may be making the same tables.
const ROUNDS: usize = 4;

/// The columns that are written, of each table.
const SESSION_COLUMNS: &str = "namespace, id, provider, memory_limit, created_at, metadata";
const MESSAGE_COLUMNS: &str = "namespace, session_id, message_id, role, content, created_at, stored_at";
const FORGOTTEN_COLUMNS: &str = "namespace, id, forgotten_at";

/// Something to do about the tables.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    statement: String,
    /// What an operator is told who does not let us do it, if it all works without; else nothing does.
    without: Option<&'static str>,
}

/// What is known of the tables once they are ready.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Whether the marks of deleted sessions can be found by their age.
    pub(crate) finds_old_marks: bool,
}

/// What there is: the columns of each table, and of each index, named by its table and whether it is unique.
#[derive(Debug, Default)]
struct Found {
    columns: HashMap<String, HashSet<String>>,
    indexes: HashMap<String, Vec<(bool, String)>>,
}

/// Makes the tables what the archive needs.
pub(crate) async fn prepare(connection: &mut Conn, tables: &Tables) -> Result<Ready, PrepareError> {
    let mut refused: HashSet<String> = HashSet::new();
    let mut last = None;
    for _ in 0..ROUNDS {
        let found = Found::look(connection, tables).await.map_err(|error| PrepareError::of(&error))?;
        let mut changes = found.missing(tables);
        changes.retain(|change| !refused.contains(&change.statement));
        if changes.is_empty() {
            may_use(connection, tables).await?;
            is_enough(connection, tables).await?;
            return Ok(Ready { finds_old_marks: found.has_time_index(tables) });
        }
        let mut forbidden: Option<(Vec<String>, Error)> = None;
        for Change { statement, without } in changes {
            match connection.query_drop(&statement).await {
                Ok(()) => tracing::info!(%statement, "changed the history database"),
                Err(error) => match without {
                    Some(words) => {
                        tracing::warn!(%error, %statement, "{words}");
                        refused.insert(statement);
                    }
                    None if is_forbidden(&error) => {
                        forbidden.get_or_insert_with(|| (Vec::new(), error)).0.push(statement);
                    }
                    // Somebody else may have done it meanwhile.
                    None => last = Some(error),
                },
            }
        }
        if let Some((statements, source)) = forbidden {
            let statement = format!("USE {}; {}", database(connection).await?, statements.join("; "));
            return Err(PrepareError::Forbidden { statement, source });
        }
    }
    Err(last.map_or_else(
        || PrepareError::Unavailable("its tables are being changed by somebody else".to_owned()),
        |error| PrepareError::of(&error),
    ))
}

/// The database that we are in, as a name in a statement.
async fn database(connection: &mut Conn) -> Result<String, PrepareError> {
    let name = connection.query_first("SELECT DATABASE()").await.map_err(|error| PrepareError::of(&error))?;
    let name: String = name.unwrap_or_default();
    Ok(format!("`{}`", name.replace('`', "``")))
}

/// The account that the server takes us for, as a name in a statement.
async fn account(connection: &mut Conn) -> Result<String, PrepareError> {
    let account = connection.query_first("SELECT CURRENT_USER()").await.map_err(|error| PrepareError::of(&error))?;
    let account: String = account.unwrap_or_default();
    let (user, host) = account.rsplit_once('@').unwrap_or((&account, "%"));
    Ok(format!("'{}'@'{}'", user.replace('\'', "''"), host.replace('\'', "''")))
}

/// Finds out whether we may do what the archive does, by doing it to no row.
async fn may_use(connection: &mut Conn, tables: &Tables) -> Result<(), PrepareError> {
    for table in [&tables.sessions, &tables.messages, &tables.forgotten] {
        for attempt in [
            format!("DELETE FROM `{table}` WHERE FALSE"),
            format!("UPDATE `{table}` SET namespace = namespace WHERE FALSE"),
            format!("INSERT INTO `{table}` (namespace) SELECT namespace FROM `{table}` WHERE FALSE"),
        ] {
            match connection.query_drop(attempt).await {
                Err(source) if is_forbidden(&source) => {
                    let (database, account) = (database(connection).await?, account(connection).await?);
                    let statement = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO {account}");
                    return Err(PrepareError::Forbidden { statement, source });
                }
                // Columns without a default are no matter of rights.
                Ok(()) | Err(Error::Server(_)) => {}
                Err(error) => return Err(PrepareError::of(&error)),
            }
        }
    }
    Ok(())
}

/// Finds out whether what we write is all that the tables want, by trying to write what cannot be: a value that is two.
/// What has no default is complained of first, and not where a trigger sees to it.
async fn is_enough(connection: &mut Conn, tables: &Tables) -> Result<(), PrepareError> {
    for (table, columns) in [
        (&tables.sessions, SESSION_COLUMNS),
        (&tables.messages, MESSAGE_COLUMNS),
        (&tables.forgotten, FORGOTTEN_COLUMNS),
    ] {
        let values = columns.split(',').map(|_| "(SELECT 1 UNION SELECT 2)").collect::<Vec<_>>().join(", ");
        let attempt = connection.query_drop(format!("INSERT INTO `{table}` ({columns}) VALUES ({values})")).await;
        if let Some(column) = attempt.as_ref().err().and_then(needed_column) {
            return Err(PrepareError::NeededColumn { table: table.clone(), column: column.to_owned() });
        }
    }
    Ok(())
}

impl Found {
    async fn look(connection: &mut Conn, tables: &Tables) -> Result<Self, Error> {
        let names = || (&*tables.sessions, &*tables.messages, &*tables.forgotten);
        let mut found = Self::default();
        let columns = "SELECT table_name, column_name FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name IN (?, ?, ?)";
        for (table, column) in connection.exec::<(String, String), _, _>(columns, names()).await? {
            found.columns.entry(table.to_lowercase()).or_default().insert(column.to_lowercase());
        }
        let indexes = "SELECT table_name, non_unique, GROUP_CONCAT(column_name ORDER BY seq_in_index) \
             FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name IN (?, ?, ?) \
             GROUP BY table_name, index_name, non_unique";
        // An index of expressions alone has no columns.
        for (table, non_unique, columns) in
            connection.exec::<(String, u8, Option<String>), _, _>(indexes, names()).await?
        {
            let index = (non_unique == 0, columns.unwrap_or_default().to_lowercase());
            found.indexes.entry(table.to_lowercase()).or_default().push(index);
        }
        Ok(found)
    }

    fn has_table(&self, table: &str) -> bool {
        self.columns.contains_key(&table.to_lowercase())
    }

    fn has_column(&self, table: &str, column: &str) -> bool {
        self.columns.get(&table.to_lowercase()).is_some_and(|columns| columns.contains(column))
    }

    fn has_index(&self, table: &str, fits: impl Fn(bool, &str) -> bool) -> bool {
        let indexes = self.indexes.get(&table.to_lowercase());
        indexes.is_some_and(|indexes| indexes.iter().any(|(is_unique, columns)| fits(*is_unique, columns)))
    }

    fn has_time_index(&self, tables: &Tables) -> bool {
        self.has_index(&tables.forgotten, |_, columns| columns.starts_with("forgotten_at"))
    }

    fn missing(&self, tables: &Tables) -> Vec<Change> {
        const OPTIONS: &str = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin";
        const LIST: &str = "INDEX `chat_sessions_list` (namespace, created_at DESC, id)";
        const IDS: &str = "UNIQUE INDEX `chat_messages_ids` (namespace, message_id)";
        const SESSION: &str = "INDEX `chat_messages_session` (namespace, session_id)";
        const TIMES: &str = "INDEX `chat_forgotten_times` (forgotten_at)";
        const SLOW: Option<&str> = Some("reading history will be slow without this");
        const GROWS: Option<&str> = Some("the marks of deleted sessions will stay for ever without this");
        let Tables { sessions, messages, forgotten } = tables;
        let mut changes = Vec::new();
        let mut change = |statement: String, without| changes.push(Change { statement, without });

        if !self.has_table(sessions) {
            let columns = "namespace VARCHAR(64) NOT NULL, id CHAR(36) NOT NULL, provider VARCHAR(255), \
                 fallback_provider VARCHAR(255), memory_limit INT NOT NULL, created_at DATETIME(6) NOT NULL, \
                 metadata JSON, PRIMARY KEY (namespace, id)";
            change(format!("CREATE TABLE IF NOT EXISTS `{sessions}` ({columns}, {LIST}) {OPTIONS}"), None);
        } else if !self.has_index(sessions, |_, columns| columns.starts_with("namespace,created_at")) {
            change(format!("ALTER TABLE `{sessions}` ADD {LIST}"), SLOW);
        }

        if !self.has_table(messages) {
            let columns = "id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, namespace VARCHAR(64) NOT NULL, \
                 session_id CHAR(36) NOT NULL, role VARCHAR(32) NOT NULL, content LONGTEXT NOT NULL, \
                 created_at DATETIME(6) NOT NULL, stored_at DATETIME(6) NOT NULL, message_id CHAR(36)";
            change(format!("CREATE TABLE IF NOT EXISTS `{messages}` ({columns}, {SESSION}, {IDS}) {OPTIONS}"), None);
        } else if !self.has_column(messages, "message_id") {
            change(format!("ALTER TABLE `{messages}` ADD COLUMN message_id CHAR(36) NULL, ADD {IDS}"), None);
        } else if !self.has_index(messages, |is_unique, columns| is_unique && columns == "namespace,message_id") {
            change(format!("ALTER TABLE `{messages}` ADD {IDS}"), None);
        }
        let finds_session =
            |_, columns: &str| columns.starts_with("namespace,session_id") || columns.starts_with("session_id");
        if self.has_table(messages) && !self.has_index(messages, finds_session) {
            change(format!("ALTER TABLE `{messages}` ADD {SESSION}"), SLOW);
        }

        if !self.has_table(forgotten) {
            let columns = "namespace VARCHAR(64) NOT NULL, id CHAR(36) NOT NULL, forgotten_at DATETIME(6) NOT NULL, \
                 PRIMARY KEY (namespace, id)";
            change(format!("CREATE TABLE IF NOT EXISTS `{forgotten}` ({columns}, {TIMES}) {OPTIONS}"), None);
        } else if !self.has_time_index(tables) {
            change(format!("ALTER TABLE `{forgotten}` ADD {TIMES}"), GROWS);
        }
        changes
    }
}
