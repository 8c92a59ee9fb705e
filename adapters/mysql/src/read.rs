//! The statements that read, each within a page.

use chat_domain::{
    ports::history::{ArchivedMessage, ArchivedSession, Page, SessionQuery},
    session::SessionId,
};
use chrono::TimeDelta;
use diesel::QueryResult;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::{
    rows::{Count, MessageRow, SessionRow},
    statement::{Statement, Value},
    tables::Tables,
    write::datetime,
};

/// A session's messages that are shown.
const VISIBLE: &str = "namespace = ? AND session_id = ? AND role IN ('user', 'assistant')";

/// Sessions whose id looks like one: others are not shown, and not counted either.
const NAMED: &str = "id LIKE '________-____-____-____-____________'";

/// The tables, and where in them.
#[derive(Debug)]
pub(crate) struct Reader {
    tables: Tables,
    namespace: String,
}

impl Reader {
    pub(crate) fn new(tables: Tables, namespace: String) -> Self {
        Self { tables, namespace }
    }

    pub(crate) async fn sessions(
        &self,
        connection: &mut AsyncMysqlConnection,
        query: &SessionQuery,
    ) -> QueryResult<Page<ArchivedSession>> {
        let table = &self.tables.sessions;
        let condition = || {
            let (mut sql, mut values) = (format!("namespace = ? AND {NAMED}"), vec![Value::from(&*self.namespace)]);
            if let Some(from) = query.from {
                sql.push_str(" AND created_at >= ?");
                values.push(datetime(from).into());
            }
            if let Some(until) = query.until {
                sql.push_str(" AND created_at <= ?");
                // The Python service wrote microseconds; its times are shown, and so meant, as milliseconds.
                values.push((datetime(until) + TimeDelta::microseconds(999)).into());
            }
            (sql, values)
        };

        let (sql, mut values) = condition();
        // As text, whatever it is; MySQL would else refuse to sort by what it has not read.
        let page = format!(
            "SELECT id, provider, fallback_provider, CAST(memory_limit AS SIGNED) AS memory_limit, created_at, \
             CAST(metadata AS CHAR) AS metadata FROM `{table}` WHERE {sql} ORDER BY created_at DESC, id LIMIT ? OFFSET ?"
        );
        values.extend([i64::from(query.limit).into(), offset(query.offset)]);
        let rows: Vec<SessionRow> = Statement::once(page, values).load(connection).await?;
        let (sql, values) = condition();
        let total = format!("SELECT COUNT(*) AS n FROM `{table}` WHERE {sql}");
        let total = count(connection, total, values).await?;
        let seen = rows.len();
        Ok(Page::counted_after(rows.into_iter().filter_map(SessionRow::read).collect(), seen, query.offset, total))
    }

    pub(crate) async fn messages(
        &self,
        connection: &mut AsyncMysqlConnection,
        session: SessionId,
        from: u64,
        limit: u32,
    ) -> QueryResult<Option<Page<ArchivedMessage>>> {
        let Tables { sessions, messages, .. } = &self.tables;
        let key = || vec![Value::from(&*self.namespace), session.to_string().into()];
        let known = format!("SELECT COUNT(*) AS n FROM `{sessions}` WHERE namespace = ? AND id = ?");
        if count(connection, known, key()).await? == 0 {
            return Ok(None);
        }
        // Those of the Python service have no `message_id`; their rows' ids are in the order in which they were said.
        let page = format!(
            "SELECT message_id, role, content, created_at, stored_at FROM `{messages}` WHERE {VISIBLE} \
             ORDER BY created_at, message_id, id LIMIT ? OFFSET ?"
        );
        let mut values = key();
        values.extend([i64::from(limit).into(), offset(from)]);
        let rows: Vec<MessageRow> = Statement::once(page, values).load(connection).await?;
        let total = format!("SELECT COUNT(*) AS n FROM `{messages}` WHERE {VISIBLE}");
        let total = count(connection, total, key()).await?;
        let seen = rows.len();
        Ok(Some(Page::counted_after(rows.into_iter().map(MessageRow::read).collect(), seen, from, total)))
    }
}

async fn count(connection: &mut AsyncMysqlConnection, sql: String, values: Vec<Value<'_>>) -> QueryResult<u64> {
    let Count { n } = Statement::once(sql, values).get_result(connection).await?;
    Ok(u64::try_from(n).unwrap_or_default())
}

fn offset(offset: u64) -> Value<'static> {
    i64::try_from(offset).unwrap_or(i64::MAX).into()
}
