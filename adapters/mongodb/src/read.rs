//! What is read, each within a page.

use chat_domain::{
    ports::history::{ArchivedMessage, ArchivedSession, Page, SessionQuery},
    session::SessionId,
    time::Timestamp,
};
use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{Document, doc},
    error::Result,
};

use crate::{
    collections::{Collections, STATEMENT},
    documents::{date, read_message, read_session},
};

impl Collections {
    pub(crate) async fn sessions(&self, query: &SessionQuery) -> Result<Page<ArchivedSession>> {
        let mut filter = doc! {"namespace": &self.namespace};
        let mut range = Document::new();
        if let Some(from) = query.from {
            range.insert("$gte", date(from));
        }
        if let Some(until) = query.until {
            // Dates are whole milliseconds. The server of the tests takes the end of a range out of it in some indexes.
            range.insert("$lt", date(Timestamp::from_millis(until.as_millis() + 1)));
        }
        if !range.is_empty() {
            filter.insert("created_at", range);
        }
        let order = doc! {"created_at": -1, "id": 1};
        page(&self.sessions, filter, order, query.offset, query.limit, read_session).await
    }

    pub(crate) async fn messages(
        &self,
        session: SessionId,
        offset: u64,
        limit: u32,
    ) -> Result<Option<Page<ArchivedMessage>>> {
        let id = session.to_string();
        if self.sessions.find_one(self.key(&id)).projection(doc! {"_id": 1}).max_time(STATEMENT).await?.is_none() {
            return Ok(None);
        }
        let visible = doc! {"$in": ["user", "assistant"]};
        let filter = doc! {"namespace": &self.namespace, "session_id": id, "role": visible};
        // Those of the Python service have no `message_id`; their documents' ids are in the order in which they were said.
        let order = doc! {"created_at": 1, "message_id": 1, "_id": 1};
        page(&self.messages, filter, order, offset, limit, read_message).await.map(Some)
    }
}

async fn page<T>(
    collection: &Collection<Document>,
    filter: Document,
    order: Document,
    offset: u64,
    limit: u32,
    read: fn(Document) -> Option<T>,
) -> Result<Page<T>> {
    let mut items: Vec<Document> = Vec::new();
    // To MongoDB no documents are all of them.
    if limit > 0 {
        let found = collection.find(filter.clone()).sort(order).skip(offset.min(i64::MAX as u64)).limit(limit.into());
        items = found.allow_disk_use(true).max_time(STATEMENT).await?.try_collect().await?;
    }
    let counted = collection.count_documents(filter).max_time(STATEMENT).await?;
    let seen = items.len();
    Ok(Page::counted_after(items.into_iter().filter_map(read).collect(), seen, offset, counted))
}
