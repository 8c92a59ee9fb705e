//! The indexes: those of the Python service, and ours.

use std::time::Duration;

use chat_domain::ports::history::FORGOTTEN_FOR;
use futures_util::TryStreamExt;
use mongodb::{
    Collection, IndexModel,
    bson::{Document, doc},
    error::Error,
    options::IndexOptions,
};

use crate::{
    collections::Collections,
    documents::number,
    error::{DUPLICATE, PrepareError, UNAUTHORIZED, code},
};

/// There is no such collection yet.
const NO_COLLECTION: i32 = 26;
/// There is an index of the same keys or the same name that is otherwise not the same.
const CONFLICTS: [i32; 2] = [85, 86];

struct Index<'a> {
    collection: &'a Collection<Document>,
    keys: Document,
    is_unique: bool,
    /// Documents that lack this member are not in it.
    only_with: Option<&'static str>,
    /// Documents are removed when the time in them is so long ago.
    expires_after: Option<Duration>,
    /// What an operator is told who does not let us make it, if it all works without; else nothing does.
    without: Option<&'static str>,
}

const SLOW: Option<&str> = Some("reading history will be slow without this");
const GROWS: Option<&str> = Some("the marks of deleted sessions will stay for ever without this");

/// Makes the indexes that are missing, and the collections with them, and finds out whether we may write.
pub(crate) async fn prepare(collections: &Collections) -> Result<(), PrepareError> {
    let Collections { sessions, messages, forgotten, .. } = collections;
    let plain = |collection, keys| Index {
        collection,
        keys,
        is_unique: false,
        only_with: None,
        expires_after: None,
        without: SLOW,
    };
    let unique = |collection, keys| Index { is_unique: true, without: None, ..plain(collection, keys) };
    let wanted = [
        unique(sessions, doc! {"namespace": 1, "id": 1}),
        // Read backwards: the newest first.
        plain(sessions, doc! {"namespace": 1, "created_at": 1, "id": -1}),
        plain(messages, doc! {"namespace": 1, "session_id": 1}),
        // The Python service's messages have no identity, and are not all the same for that.
        Index { only_with: Some("message_id"), ..unique(messages, doc! {"namespace": 1, "message_id": 1}) },
        unique(forgotten, doc! {"namespace": 1, "id": 1}),
        Index { expires_after: Some(FORGOTTEN_FOR), without: GROWS, ..plain(forgotten, doc! {"forgotten_at": 1}) },
    ];
    for index in wanted {
        index.ensure().await?;
    }
    for collection in [sessions, messages, forgotten] {
        may_write(collection).await?;
    }
    Ok(())
}

async fn may_write(collection: &Collection<Document>) -> Result<(), PrepareError> {
    // Nothing has this id: it only shows whether we may.
    match collection.delete_one(doc! {"_id": "a right"}).await {
        Ok(_) => Ok(()),
        Err(error) if code(&error).is_some_and(|(code, _)| code == UNAUTHORIZED) => {
            let database = &collection.namespace().db;
            let statement = format!("db.grantRolesToUser(USER, [{{role: \"readWrite\", db: \"{database}\"}}])");
            Err(PrepareError::Forbidden { statement })
        }
        Err(error) => Err(PrepareError::of(&error)),
    }
}

impl Index<'_> {
    async fn ensure(&self) -> Result<(), PrepareError> {
        let existing = match self.existing().await {
            Ok(existing) => existing,
            Err(error) if code(&error).is_some_and(|(code, _)| code == NO_COLLECTION) => Vec::new(),
            Err(error) => return Err(PrepareError::of(&error)),
        };
        if existing.iter().any(|index| self.is(index)) {
            return Ok(());
        }
        let statement = self.statement();
        let Err(error) = self.collection.create_index(self.model()).await else {
            tracing::info!(%statement, "changed the history database");
            return Ok(());
        };
        match code(&error) {
            Some((UNAUTHORIZED, _)) if self.without.is_none() => Err(PrepareError::Forbidden { statement }),
            Some((DUPLICATE, _)) => {
                let collection = self.collection.name();
                Err(PrepareError::Refused(format!(
                    "{collection} holds doubles, and so cannot get its index: {statement}"
                )))
            }
            Some((code, _)) if CONFLICTS.contains(&code) && self.without.is_none() => {
                let collection = self.collection.name();
                Err(PrepareError::Refused(format!(
                    "{collection} has another index of the same keys or name; drop that first, then run: {statement}"
                )))
            }
            Some(_) if let Some(words) = self.without => {
                let error = PrepareError::of(&error);
                tracing::warn!(%error, %statement, "{words}");
                Ok(())
            }
            _ => Err(PrepareError::of(&error)),
        }
    }

    async fn existing(&self) -> Result<Vec<IndexModel>, Error> {
        self.collection.list_indexes().await?.try_collect().await
    }

    /// Whether the other one does what this one is for, whatever it is called.
    fn is(&self, other: &IndexModel) -> bool {
        let options = other.options.as_ref();
        let is_unique = options.is_some_and(|options| options.unique == Some(true));
        // An operator may have chosen another time.
        let expires = options.is_some_and(|options| options.expire_after.is_some());
        is_unique >= self.is_unique
            && expires >= self.expires_after.is_some()
            && directions(&other.keys) == directions(&self.keys)
    }

    fn model(&self) -> IndexModel {
        let options = IndexOptions::builder()
            .unique(self.is_unique.then_some(true))
            .partial_filter_expression(self.filter())
            .expire_after(self.expires_after)
            .build();
        IndexModel::builder().keys(self.keys.clone()).options(options).build()
    }

    fn filter(&self) -> Option<Document> {
        self.only_with.map(|member| doc! {member: {"$exists": true}})
    }

    /// What an operator would run.
    fn statement(&self) -> String {
        let mut options = Document::new();
        if self.is_unique {
            options.insert("unique", true);
        }
        if let Some(filter) = self.filter() {
            options.insert("partialFilterExpression", filter);
        }
        if let Some(after) = self.expires_after {
            options.insert("expireAfterSeconds", after.as_secs() as i64);
        }
        format!("db.getCollection({:?}).createIndex({}, {options})", self.collection.name(), self.keys)
    }
}

/// Keys in their order, with their directions.
fn directions(keys: &Document) -> Vec<(&str, Option<i64>)> {
    keys.iter().map(|(key, value)| (key.as_str(), number(value))).collect()
}
