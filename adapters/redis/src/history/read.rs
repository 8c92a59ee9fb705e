//! How the archive is read.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use chat_domain::{
    ports::history::{ArchivedMessage, ArchivedSession, Page, SessionQuery},
    session::SessionId,
    time::Timestamp,
};
use fred::types::Value;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{RedisHistory, stored};
use crate::{client::Command, error::Error, keys::newest_first, scripts};

/// How long reading may take in all. It is many commands where there is much to read, or an index to complete: none of
/// them may keep one waiting for longer than [`PATIENCE`](crate::PATIENCE), but while Redis answers it is worth going on.
const READING: Duration = Duration::from_secs(8);
/// Names of sessions that are asked for at once: it does not keep Redis busy for long.
const AT_ONCE: i64 = 500;
/// Messages that are looked at at once. Each may be of a megabyte: of those that are not on the page only their places are
/// kept, however long the session is.
const MESSAGES_AT_ONCE: i64 = 100;
/// Looks that a listing takes at its page: each time those that are gone are taken out of the index.
const MOST_LOOKS: usize = 10;

/// How many names the set had that lead to no session, when all of it was last looked at: by so many more than the index it
/// has, and nothing can be done about it. Any other difference is a reason to look again.
#[derive(Default)]
pub(super) struct Counted(AtomicI64);

impl Counted {
    fn is_known(&self, difference: i64) -> bool {
        if difference == 0 {
            self.note(0);
        }
        difference == self.0.load(Ordering::Relaxed)
    }

    fn note(&self, nowhere: i64) {
        self.0.store(nowhere, Ordering::Relaxed);
    }
}

impl RedisHistory {
    pub(super) async fn read_sessions(&self, query: &SessionQuery) -> Result<Page<ArchivedSession>, Error> {
        let deadline = Instant::now() + READING;
        self.complete_index(deadline).await?;
        // Scores are negative: the latest time comes first.
        let bound = |time: Option<Timestamp>, none: &str| {
            time.map_or_else(|| none.to_owned(), |time| newest_first(time).to_string())
        };
        let (first, last) = (bound(query.until, "-inf"), bound(query.from, "+inf"));
        let mut items = Vec::new();
        for _ in 0..MOST_LOOKS {
            let range = Command::on("ZRANGEBYSCORE", self.index_key()).arg(first.as_str()).arg(last.as_str());
            let offset = i64::try_from(query.offset).unwrap_or(i64::MAX);
            let names = self.redis.run(range.arg("LIMIT").arg(offset).arg(i64::from(query.limit)).by(deadline)).await?;
            let names: Vec<String> = names.into_array().iter().filter_map(Value::as_string).collect();
            let (found, gone) = self.look_up(names, deadline).await?;
            items = found;
            if gone.is_empty() {
                break;
            }
            let remove = Command::on("ZREM", self.index_key());
            self.redis.run(gone.into_iter().fold(remove, Command::arg).by(deadline)).await?;
        }
        let count = Command::on("ZCOUNT", self.index_key()).arg(first).arg(last);
        let count = self.redis.run(count.by(deadline)).await?;
        let count = count.as_u64().ok_or(Error::Unreadable("the archive's index"))?;
        let seen = items.len();
        Ok(Page::counted_after(items, seen, query.offset, count))
    }

    /// The sessions of these names, and the names that have none.
    async fn look_up(
        &self,
        names: Vec<String>,
        deadline: Instant,
    ) -> Result<(Vec<ArchivedSession>, Vec<String>), Error> {
        let stored = names.iter().map(|name| async move {
            let Ok(id) = name.parse::<SessionId>() else { return Ok(None) };
            let fields = stored::FIELDS.into_iter().fold(Command::on("HMGET", self.session_key(id)), Command::arg);
            Ok(stored::read_session(id, &self.redis.run(fields.in_lane_of(&id).by(deadline)).await?))
        });
        let stored: Vec<Option<ArchivedSession>> = join_all(stored).await.into_iter().collect::<Result<_, Error>>()?;
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for (name, stored) in names.into_iter().zip(stored) {
            match stored {
                Some(session) => found.push(session),
                None => gone.push(name),
            }
        }
        Ok((found, gone))
    }

    /// Puts sessions into the index that only the set names, since the Python service knows of no index, and takes out
    /// those that the set no longer names. Two numbers tell whether there is anything to do.
    ///
    /// Others archive meanwhile. Each step looks at some names and puts these right, by what holds at that moment; what
    /// came where a step had been already makes a difference that the next listing finds.
    async fn complete_index(&self, deadline: Instant) -> Result<(), Error> {
        if self.counted.is_known(self.settle(Vec::new(), deadline).await?) {
            return Ok(());
        }
        let (mut nowhere, mut cursor) = (HashSet::new(), None);
        while let Some(names) = self.scan("SSCAN", self.sessions_key(), &mut cursor, deadline).await? {
            let missing = self.not_in_index(names, deadline).await?;
            let places = join_all(missing.iter().map(|name| self.place(name, deadline))).await;
            let mut found = Vec::new();
            for (name, place) in missing.into_iter().zip(places) {
                match place? {
                    Some(place) => found.push((name, place)),
                    // One may be seen more than once.
                    None => drop(nowhere.insert(name)),
                }
            }
            self.settle(found, deadline).await?;
        }
        let nowhere = nowhere.len() as i64;
        self.counted.note(nowhere);
        if self.settle(Vec::new(), deadline).await? == nowhere {
            return Ok(());
        }
        let mut cursor = None;
        while let Some(members) = self.scan("ZSCAN", self.index_key(), &mut cursor, deadline).await? {
            // Behind each name is its score.
            let names = members.into_iter().step_by(2).map(|name| (name, String::new()));
            self.settle(names.collect(), deadline).await?;
        }
        Ok(())
    }

    /// The next members of a set; none after the last. What is in it all the time is seen at least once.
    async fn scan(
        &self,
        command: &'static str,
        key: String,
        cursor: &mut Option<String>,
        deadline: Instant,
    ) -> Result<Option<Vec<String>>, Error> {
        if cursor.as_deref() == Some("0") {
            return Ok(None);
        }
        let from = cursor.take().unwrap_or_else(|| "0".to_owned());
        let scan = Command::on(command, key).arg(from).arg("COUNT").arg(AT_ONCE);
        let mut answer = self.redis.run(scan.by(deadline)).await?.into_array().into_iter();
        *cursor = answer.next().and_then(|cursor| cursor.as_string());
        let members = answer.next().filter(|_| cursor.is_some()).ok_or(Error::Unreadable("the archive"))?;
        Ok(Some(members.into_array().iter().filter_map(Value::as_string).collect()))
    }

    async fn not_in_index(&self, mut names: Vec<String>, deadline: Instant) -> Result<Vec<String>, Error> {
        if names.is_empty() {
            return Ok(names);
        }
        let scores = names.iter().fold(Command::on("ZMSCORE", self.index_key()), |ask, name| ask.arg(name.as_str()));
        let scores = self.redis.run(scores.by(deadline)).await?.into_array();
        let mut scores = scores.iter();
        names.retain(|_| scores.next().is_none_or(Value::is_null));
        Ok(names)
    }

    /// Where a session belongs in the index; none if there is no such session.
    async fn place(&self, name: &str, deadline: Instant) -> Result<Option<String>, Error> {
        let Ok(id) = name.parse::<SessionId>() else { return Ok(None) };
        let created_at = Command::on("HGET", self.session_key(id)).arg("created_at").in_lane_of(&id);
        let created_at = stored::created_at(&self.redis.run(created_at.by(deadline)).await?);
        Ok(created_at.map(|created_at| newest_first(created_at).to_string()))
    }

    /// Puts these names into the index, at their places, if the set has them; else takes them out of it. Tells how many
    /// more there are in the set than in the index.
    async fn settle(&self, names: Vec<(String, String)>, deadline: Instant) -> Result<i64, Error> {
        let settle = Command::script(&scripts::SETTLE, [self.sessions_key(), self.index_key()]);
        let settle = names.into_iter().fold(settle, |settle, (name, place)| settle.arg(name).arg(place));
        self.redis.run(settle.by(deadline)).await?.as_i64().ok_or(Error::Unreadable("the archive"))
    }

    pub(super) async fn read_messages(
        &self,
        id: SessionId,
        offset: u64,
        limit: u32,
    ) -> Result<Option<Page<ArchivedMessage>>, Error> {
        let (mut visible, mut count, mut unreadable) = (Vec::new(), 0, 0);
        let deadline = Instant::now() + READING;
        loop {
            let range = Command::on("LRANGE", self.messages_key(id)).arg(count).arg(count + MESSAGES_AT_ONCE - 1);
            let some = self.redis.run(range.in_lane_of(&id).by(deadline)).await?.into_array();
            for (place, stored) in (count..).zip(&some) {
                // One that nobody can read hides none of the others.
                match stored::Stored::read(stored.as_bytes().unwrap_or_default()) {
                    Some(message) => visible.extend(message.role.map(|_| (message.at, message.id, place))),
                    None => unreadable += 1,
                }
            }
            count += some.len() as i64;
            if (some.len() as i64) < MESSAGES_AT_ONCE {
                break;
            }
        }
        if count == 0 {
            let exists = Command::on("EXISTS", self.session_key(id)).in_lane_of(&id);
            let exists = self.redis.run(exists.by(deadline)).await?;
            return Ok((exists.as_u64() != Some(0)).then(Page::default));
        }
        if unreadable > 0 {
            tracing::warn!(session_id = %id, unreadable, "archived messages that cannot be read are not shown");
        }
        // The order in which they came is not that in which they were said; but of those without ids, and of one time, it
        // is all there is. What comes is added behind: a message stays in its place.
        visible.sort_unstable();
        let page = visible.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX)).take(limit as usize);
        let messages = page.map(|(_, _, place)| {
            self.redis.run(Command::on("LINDEX", self.messages_key(id)).arg(*place).in_lane_of(&id).by(deadline))
        });
        let mut items = Vec::new();
        for stored in join_all(messages).await {
            match stored? {
                // The session was forgotten meanwhile.
                Value::Null => return Ok(None),
                stored => items.extend(stored::read_message(stored.as_bytes().unwrap_or_default())),
            }
        }
        Ok(Some(Page { items, total: visible.len() as u64 }))
    }
}
