//! Sessions in Redis: [`RedisSessions`].

mod open;
mod registry;
mod renewal;
mod ticket;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_domain::{
    message::Message,
    ports::sessions::{CreateError, Deletion, OpenError, Place, SessionStore, Snapshot, UNFINISHED_FOR, Unavailable},
    session::{Caller, Session, SessionId},
    time::Moment,
};
use fred::types::Value;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use self::{open::Asked, registry::Registry, ticket::Seat};
use crate::{
    client::{Command, Inner, PATIENCE},
    error::Error,
    keys::newest_first,
    scripts::{self, Lua},
};

/// The pause between attempts at what nobody waits for.
const AGAIN: Duration = Duration::from_millis(250);

/// How long a deletion waits for its own end, when all is gone already.
const AFTERTHOUGHT: Duration = Duration::from_millis(250);

/// Looks that a listing takes at its page: each time the dead are taken out of the index, and others move up.
const MOST_LOOKS: usize = 10;

/// What the operator decided about sessions in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPolicy {
    /// How long a session may be idle (`SESSION_TTL_SECONDS`); none: for ever.
    pub ttl: Option<Duration>,
    /// A turn whose replica has not been heard of for so long is taken for dead, and the next one let in.
    pub lease: Duration,
}

impl SessionPolicy {
    /// The usual lease: three missed renewals are no accident.
    pub const LEASE: Duration = Duration::from_secs(15);
}

/// Keeps sessions in Redis, where all replicas share them.
///
/// A turn of a free session is two round trips. Nobody else is needed for it: what a turn may do is decided by the
/// session's own keys, in which its ticket stands as long as it runs. A replica renews the leases of its running turns
/// all together, and learns by it when one was deleted or passed over; messages on the replica's channel only make that
/// faster.
///
/// Sessions that have expired leave the index by a sweep that one of the replicas makes every half a minute: until then
/// they count in totals, but they are not listed. Nor is one that cannot be read, which is logged.
pub struct RedisSessions(Arc<Store>);

pub(crate) struct Store {
    redis: Arc<Inner>,
    policy: SessionPolicy,
    registry: Registry,
}

impl RedisSessions {
    pub(crate) fn new(redis: Arc<Inner>, policy: SessionPolicy) -> Self {
        let store = Arc::new(Store { redis, policy, registry: Registry::default() });
        // Both end when the store does.
        store.redis.runtime.spawn(renewal::keep_leases(Arc::downgrade(&store), store.redis.messages(), policy.lease));
        store.redis.runtime.spawn(renewal::sweep_index(Arc::downgrade(&store)));
        Self(store)
    }
}

#[async_trait]
impl SessionStore for RedisSessions {
    async fn create(&self, session: Arc<Session>) -> Result<(), CreateError> {
        let (Store { redis, .. }, deadline) = (&*self.0, Instant::now() + PATIENCE);
        let stored =
            serde_json::to_string(&*session).map_err(|_| Error::Unreadable("a session")).map_err(Unavailable::from)?;
        let owner = Caller::Client(session.owner.as_deref().copied());
        let create = self.0.script(&scripts::CREATE, session.id).arg(stored).arg(caller_word(&owner));
        // Afterwards: what is in the index and has no session is taken for expired.
        let index =
            Command::on("ZADD", redis.keys.index()).arg(newest_first(session.created_at)).arg(session.id.to_string());
        let error = match redis.run(create.by(deadline)).await {
            Ok(_) => match redis.run(index.in_lane_of(&session.id).by(deadline)).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            },
            Err(error) if error.is_doubtful() => error,
            Err(error) => return Err(Unavailable::from(error).into()),
        };
        // Nobody will ever know its id, and whoever waits for an answer has waited long enough.
        let delete =
            move |store: &Store| store.script(&scripts::DELETE, session.id).arg(caller_word(&Caller::Operator));
        redis.runtime.spawn(see_to(self.0.clone(), error.is_doubtful(), delete));
        Err(Unavailable::from(error).into())
    }

    async fn read(&self, id: SessionId, caller: &Caller) -> Result<Option<Snapshot>, Unavailable> {
        let read = self.0.script(&scripts::READ, id).arg(caller_word(caller));
        match Asked::read(self.0.redis.run(read).await?)? {
            Asked::Open(snapshot) => Ok(Some(snapshot)),
            _ => Ok(None),
        }
    }

    async fn delete(&self, id: SessionId, caller: &Caller) -> Result<Deletion, Unavailable> {
        let (Store { redis, .. }, deadline) = (&*self.0, Instant::now() + PATIENCE);
        let delete = self.0.script(&scripts::DELETE, id).arg(caller_word(caller)).arg(millis(UNFINISHED_FOR));
        let deletion = match redis.run(delete.by(deadline)).await?.as_str().as_deref() {
            Some("foreign") => return Ok(Deletion::Foreign),
            Some("deleted") => Deletion::Deleted,
            _ => Deletion::Missing,
        };
        // The session is gone, whatever comes of this: the index is swept.
        let remove = Command::on("ZREM", redis.keys.index()).arg(id.to_string()).in_lane_of(&id);
        let _ = redis.run(remove.by(deadline)).await;
        Ok(deletion)
    }

    async fn finish_deletion(&self, id: SessionId) {
        // All that is left of a deleted session is the memory of its deletion, which also ends by itself.
        let [session, ..] = self.0.redis.keys.session(id);
        let forget = Command::on("DEL", session).in_lane_of(&id);
        let _ = self.0.redis.run(forget.by(Instant::now() + AFTERTHOUGHT)).await;
    }

    async fn list(&self, offset: usize, limit: usize) -> Result<(Vec<Arc<Session>>, usize), Unavailable> {
        let (mut found, deadline) = (Found::default(), Instant::now() + PATIENCE);
        for _ in 0..MOST_LOOKS {
            let ids = self.0.indexed(offset, limit, deadline).await?;
            found = self.0.look_up(&ids, deadline).await?;
            if found.dead.is_empty() {
                break;
            }
            self.0.forget(std::mem::take(&mut found.dead), deadline).await?;
        }
        if found.unreadable > 0 {
            tracing::warn!(count = found.unreadable, "sessions that Redis holds cannot be read, and are not listed");
        }
        Ok((found.sessions, self.0.count(deadline).await?))
    }

    async fn count(&self) -> Result<usize, Unavailable> {
        Ok(self.0.count(Instant::now() + PATIENCE).await?)
    }

    async fn open_turn(&self, id: SessionId, caller: &Caller, deadline: Moment) -> Result<Place, OpenError> {
        Seat::take(self.0.clone(), id, caller).open(deadline).await
    }
}

/// What is behind some ids of the index.
#[derive(Default)]
struct Found {
    sessions: Vec<Arc<Session>>,
    /// Ids without a session.
    dead: Vec<String>,
    /// How many sessions cannot be read: they must not hide the others.
    unreadable: usize,
}

impl Store {
    /// A script of a session, with the arguments that all of them have.
    fn script(&self, script: &'static Lua, id: SessionId) -> Command {
        let ttl = self.policy.ttl.map_or(0, |ttl| millis(ttl).max(1));
        let command = Command::script(script, self.redis.keys.session(id)).in_lane_of(&id);
        command.arg(ttl).arg(self.redis.keys.channels())
    }

    /// Ids of the index, newest first.
    async fn indexed(&self, offset: usize, limit: usize, deadline: Instant) -> Result<Vec<String>, Error> {
        let last = offset.saturating_add(limit).min(i64::MAX as usize) as i64 - 1;
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        if last < offset {
            return Ok(Vec::new());
        }
        let range = Command::on("ZRANGE", self.redis.keys.index()).arg(offset).arg(last);
        let ids = self.redis.run(range.by(deadline)).await?;
        Ok(ids.into_array().iter().filter_map(Value::as_string).collect())
    }

    async fn look_up(&self, ids: &[String], deadline: Instant) -> Result<Found, Error> {
        let stored = join_all(ids.iter().map(|id| async move {
            let Ok(id) = id.parse::<SessionId>() else { return Ok(Value::Null) };
            let [session, ..] = self.redis.keys.session(id);
            self.redis.run(Command::on("HGET", session).arg("s").in_lane_of(&id).by(deadline)).await
        }));
        let mut found = Found::default();
        for (id, stored) in ids.iter().zip(stored.await) {
            match stored? {
                Value::Null => found.dead.push(id.clone()),
                stored => match read_session(&stored) {
                    Ok(session) => found.sessions.push(Arc::new(session)),
                    Err(_) => found.unreadable += 1,
                },
            }
        }
        Ok(found)
    }

    /// Takes ids out of the index.
    async fn forget(&self, ids: Vec<String>, deadline: Instant) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let remove = Command::on("ZREM", self.redis.keys.index());
        self.redis.run(ids.into_iter().fold(remove, Command::arg).by(deadline)).await.map(drop)
    }

    async fn count(&self, deadline: Instant) -> Result<usize, Error> {
        let count = self.redis.run(Command::on("ZCARD", self.redis.keys.index()).by(deadline)).await?;
        count.as_usize().ok_or(Error::Unreadable("the index of sessions"))
    }
}

/// Has something carried out that nobody waits for. Tried for as long as a lease.
///
/// `is_doubtful`: what it undoes may be carried out late. What a connection carried that is lost by now may be read after
/// what came on the next one, but not after what is sent when that has been answered: then it is sent once more.
async fn see_to(store: Arc<Store>, is_doubtful: bool, command: impl Fn(&Store) -> Command) {
    let end = Instant::now() + store.policy.lease;
    let mut attempts_left = if is_doubtful { 2 } else { 1 };
    while attempts_left > 0 && Instant::now() < end {
        match store.redis.run(command(&store)).await {
            Ok(_) => attempts_left -= 1,
            Err(error) => tracing::debug!(error = %error, "a session or a turn's place cannot be given up yet"),
        }
        if attempts_left > 0 {
            sleep(AGAIN).await;
        }
    }
}

/// On whose behalf, in a word: see `may_use` in `scripts/session.lua`.
fn caller_word(caller: &Caller) -> String {
    match caller {
        Caller::Operator => "*".into(),
        Caller::Client(None) => String::new(),
        Caller::Client(Some(key)) => key.hex(),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn read_session(stored: &Value) -> Result<Session, Error> {
    let bytes = stored.as_bytes().ok_or(Error::Unreadable("a session"))?;
    serde_json::from_slice(bytes).map_err(|_| Error::Unreadable("a session"))
}

fn read_message(stored: &Value) -> Result<Arc<Message>, Error> {
    let bytes = stored.as_bytes().ok_or(Error::Unreadable("a message"))?;
    serde_json::from_slice(bytes).map(Arc::new).map_err(|_| Error::Unreadable("a message"))
}
