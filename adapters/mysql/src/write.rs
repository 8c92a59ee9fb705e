//! The statements of one operation, to be run within one transaction.
//!
//! Both kinds of operations begin by locking the session's row, and make it first if it is not there. So those of one
//! session come one after the other, and the later one sees whether the session was forgotten.

use std::sync::Arc;

use chat_domain::{
    message::Message,
    session::{Session, SessionId},
    time::Timestamp,
};
use chrono::NaiveDateTime;
use diesel::{QueryResult, result::Error};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::{
    rows::{Count, stored_metadata},
    statement::{Statement, Value},
    tables::Tables,
};

/// Messages in one statement at the most: the protocol knows 65,535 values.
const MOST_ROWS: usize = 500;

/// Bytes of content in one statement, unless one message has more: servers refuse packets of 16 MiB, some of 1 MiB.
const MOST_BYTES: usize = 512 * 1024;

/// Messages that one statement removes. A session of years has more than a statement may take time for; this way what
/// was done of it is done, also when the next statement is given up.
const REMOVED_AT_ONCE: usize = 5_000;

/// Old marks that one deletion removes: more than it leaves, so that they become fewer, and few enough to cost nothing.
const PRUNED_AT_ONCE: usize = 20;

/// Statements of so many rows are kept prepared: a prompt, a turn.
const KEPT_ROWS: usize = 2;

/// The statements' texts, and what every row has.
#[derive(Debug)]
pub(crate) struct Writer {
    namespace: String,
    provider: String,
    lock: String,
    is_forgotten: String,
    insert: String,
    has_messages: String,
    forget: [String; 2],
    remove: String,
    prune: String,
}

impl Writer {
    pub(crate) fn new(Tables { sessions, messages, forgotten }: &Tables, namespace: String, provider: String) -> Self {
        Self {
            namespace,
            provider,
            // Setting something to itself changes nothing, and leaves all other errors to be told.
            lock: format!(
                "INSERT INTO `{sessions}` (namespace, id, provider, memory_limit, created_at, metadata) \
                 VALUES (?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE id = id"
            ),
            is_forgotten: format!("SELECT COUNT(*) AS n FROM `{forgotten}` WHERE namespace = ? AND id = ?"),
            insert: format!(
                "INSERT INTO `{messages}` (namespace, session_id, message_id, role, content, created_at, stored_at) \
                 VALUES "
            ),
            has_messages: format!(
                "SELECT COUNT(*) AS n FROM (SELECT 1 FROM `{messages}` WHERE namespace = ? AND session_id = ? LIMIT 1) AS found"
            ),
            forget: [
                format!(
                    "INSERT INTO `{forgotten}` (namespace, id, forgotten_at) VALUES (?, ?, ?) \
                     ON DUPLICATE KEY UPDATE id = id"
                ),
                format!("DELETE FROM `{sessions}` WHERE namespace = ? AND id = ?"),
            ],
            remove: format!("DELETE FROM `{messages}` WHERE namespace = ? AND session_id = ? LIMIT {REMOVED_AT_ONCE}"),
            // In the index's order, so that of two who do it at one time the later one waits for the first, and no longer.
            prune: format!(
                "DELETE FROM `{forgotten}` WHERE forgotten_at < ? ORDER BY forgotten_at LIMIT {PRUNED_AT_ONCE}"
            ),
        }
    }

    /// Archives a session, if it is not yet there, and messages, those of them that are not.
    ///
    /// # Errors
    /// [`Error::RollbackTransaction`] if the session was forgotten.
    pub(crate) async fn record(
        &self,
        connection: &mut AsyncMysqlConnection,
        session: &Session,
        messages: &[Arc<Message>],
        now: Timestamp,
    ) -> QueryResult<bool> {
        let id = session.id.to_string();
        let metadata = stored_metadata(&session.metadata);
        self.lock(connection, &id, session.memory_limit.get(), session.created_at, metadata).await?;
        let is_forgotten = Statement::kept(&self.is_forgotten, vec![Value::from(&*self.namespace), id.clone().into()]);
        if is_forgotten.get_result::<Count>(connection).await?.n > 0 {
            return Err(Error::RollbackTransaction);
        }
        for messages in in_parts(messages) {
            self.insert(&id, messages, now).execute(connection).await?;
        }
        Ok(true)
    }

    /// Marks a session as forgotten and removes its row: from then on it is shown no more, and nothing more is archived
    /// of it. Its messages are left to [`Writer::remove`]. Tells whether there was anything.
    ///
    /// # Errors
    /// [`Error::RollbackTransaction`] if there was nothing, and nothing is known of it either.
    pub(crate) async fn forget(
        &self,
        connection: &mut AsyncMysqlConnection,
        session: SessionId,
        is_known: bool,
        now: Timestamp,
    ) -> QueryResult<bool> {
        let id = session.to_string();
        let was_there = self.lock(connection, &id, 1, now, "{}".to_owned()).await? == 0;
        let key = || vec![Value::from(&*self.namespace), id.clone().into()];
        let was_there =
            was_there || Statement::kept(&self.has_messages, key()).get_result::<Count>(connection).await?.n > 0;
        if !was_there && !is_known {
            return Err(Error::RollbackTransaction);
        }
        let [forgotten, sessions] = &self.forget;
        let mut values = key();
        values.push(datetime(now).into());
        Statement::kept(forgotten, values).execute(connection).await?;
        Statement::kept(sessions, key()).execute(connection).await?;
        Ok(was_there)
    }

    /// Removes the messages of a session that is forgotten.
    pub(crate) async fn remove(&self, connection: &mut AsyncMysqlConnection, session: SessionId) -> QueryResult<()> {
        let id = session.to_string();
        let key = || vec![Value::from(&*self.namespace), id.clone().into()];
        while Statement::kept(&self.remove, key()).execute(connection).await? == REMOVED_AT_ONCE {}
        Ok(())
    }

    /// Removes some of the marks that are older.
    pub(crate) async fn prune(&self, connection: &mut AsyncMysqlConnection, before: Timestamp) -> QueryResult<usize> {
        Statement::kept(&self.prune, vec![datetime(before).into()]).execute(connection).await
    }

    /// Locks the session's row until the transaction ends; tells how many rows it made for that.
    async fn lock(
        &self,
        connection: &mut AsyncMysqlConnection,
        id: &str,
        memory_limit: u32,
        created_at: Timestamp,
        metadata: String,
    ) -> QueryResult<usize> {
        let values = vec![
            Value::from(&*self.namespace),
            id.into(),
            Value::from(&*self.provider),
            // The column's largest.
            i64::from(memory_limit).min(i32::MAX.into()).into(),
            datetime(created_at).into(),
            metadata.into(),
        ];
        Statement::kept(&self.lock, values).execute(connection).await
    }

    fn insert<'a>(&'a self, session: &str, messages: &'a [Arc<Message>], now: Timestamp) -> Statement<'a> {
        const ROW: &str = "(?, ?, ?, ?, ?, ?, ?)";
        let mut sql = self.insert.clone();
        let mut values = Vec::with_capacity(messages.len() * 7);
        for (index, message) in messages.iter().enumerate() {
            sql.push_str(if index == 0 { "" } else { ", " });
            sql.push_str(ROW);
            values.extend([
                Value::from(&*self.namespace),
                session.to_owned().into(),
                message.id.0.to_string().into(),
                message.role.as_str().into(),
                Value::from(&*message.content),
                datetime(message.at).into(),
                datetime(now).into(),
            ]);
        }
        sql.push_str(" ON DUPLICATE KEY UPDATE id = id");
        if messages.len() <= KEPT_ROWS { Statement::kept(sql, values) } else { Statement::once(sql, values) }
    }
}

/// The messages in as few parts as statements may take.
fn in_parts(messages: &[Arc<Message>]) -> impl Iterator<Item = &[Arc<Message>]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |message: &&Arc<Message>| {
            bytes += message.content.len();
            bytes <= MOST_BYTES
        };
        let fitting = rest.iter().take(MOST_ROWS).take_while(fits).count();
        let (part, others) = rest.split_at(fitting.max(1).min(rest.len()));
        rest = others;
        (!part.is_empty()).then_some(part)
    })
}

/// A time as a `DATETIME(6)` has it.
pub(crate) fn datetime(time: Timestamp) -> NaiveDateTime {
    time.as_datetime().naive_utc()
}

#[cfg(test)]
mod tests {
    use chat_domain::{message::Role, testing::samples::said};

    use super::*;

    #[test]
    fn messages_go_in_few_parts_and_none_is_left_out() {
        let parts = |sizes: &[usize]| -> Vec<usize> {
            let messages: Vec<_> = sizes.iter().map(|size| said(Role::User, &"x".repeat(*size), 0)).collect();
            in_parts(&messages).map(<[_]>::len).collect()
        };
        assert_eq!(parts(&[]), [0; 0]);
        assert_eq!(parts(&[1; 1001]), [500, 500, 1]);
        assert_eq!(parts(&[MOST_BYTES, 1, MOST_BYTES + 1, 1, MOST_BYTES - 1, 1]), [1, 1, 1, 2, 1]);
    }
}
