//! What is written.
//!
//! There are no transactions: not every deployment has them. A session that is deleted gets its mark before anything of
//! it is removed; one that is recorded is looked up among the marks before and after. So of two who do this at one time,
//! the later one leaves nothing behind.

use std::sync::Arc;

use chat_domain::{
    message::Message,
    session::{Session, SessionId},
    time::Timestamp,
};
use mongodb::{
    bson::{Document, doc},
    error::{Error, Result},
};

use crate::{
    collections::{Collections, STATEMENT},
    documents::{date, message_document, session_document},
    error::{DUPLICATE, code},
};

impl Collections {
    /// Archives a session, if it is not yet there, and messages, those of them that are not; nothing if the session was
    /// forgotten.
    pub(crate) async fn record(&self, session: &Session, messages: &[Arc<Message>], now: Timestamp) -> Result<()> {
        let id = session.id.to_string();
        // What comes late does not even show for a moment. If an earlier attempt was given up on before its second look,
        // what it left is removed now.
        if self.is_forgotten(&id).await? {
            return self.remove(&id).await.map(drop);
        }
        let document = session_document(&self.namespace, &self.provider, session);
        unless_there(self.sessions.insert_one(document).await)?;
        if !messages.is_empty() {
            let documents = messages.iter().map(|message| message_document(&self.namespace, &id, message, now));
            // Not in order: what is there already stops nothing.
            unless_there(self.messages.insert_many(documents).ordered(false).await)?;
        }
        if self.is_forgotten(&id).await? {
            self.remove(&id).await?;
        }
        Ok(())
    }

    /// Removes a session and its messages for good; tells whether there was anything. What is not known and not here
    /// leaves no mark.
    pub(crate) async fn forget(&self, session: SessionId, is_known: bool, now: Timestamp) -> Result<bool> {
        let id = session.to_string();
        if !is_known && !self.has(&id).await? {
            return Ok(false);
        }
        let mark = doc! {"namespace": &self.namespace, "id": &id, "forgotten_at": date(now)};
        unless_there(self.forgotten.insert_one(mark).await)?;
        self.remove(&id).await
    }

    async fn remove(&self, id: &str) -> Result<bool> {
        let messages = self.messages.delete_many(doc! {"namespace": &self.namespace, "session_id": id}).await?;
        let sessions = self.sessions.delete_many(self.key(id)).await?;
        Ok(messages.deleted_count + sessions.deleted_count > 0)
    }

    async fn has(&self, id: &str) -> Result<bool> {
        if self.sessions.find_one(self.key(id)).projection(doc! {"_id": 1}).max_time(STATEMENT).await?.is_some() {
            return Ok(true);
        }
        let message = self.messages.find_one(doc! {"namespace": &self.namespace, "session_id": id});
        Ok(message.projection(doc! {"_id": 1}).max_time(STATEMENT).await?.is_some())
    }

    async fn is_forgotten(&self, id: &str) -> Result<bool> {
        Ok(self.forgotten.find_one(self.key(id)).max_time(STATEMENT).await?.is_some())
    }

    pub(crate) fn key(&self, id: &str) -> Document {
        doc! {"namespace": &self.namespace, "id": id}
    }
}

/// An insertion that failed for nothing but what was there already has not failed.
fn unless_there<T>(inserted: Result<T>) -> std::result::Result<(), Error> {
    match inserted {
        Err(error) if code(&error).is_none_or(|(code, _)| code != DUPLICATE) => Err(error),
        _ => Ok(()),
    }
}
