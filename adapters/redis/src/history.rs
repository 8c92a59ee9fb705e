//! The archive in Redis: [`RedisHistory`].

mod read;
mod stored;

use std::sync::Arc;

use async_trait::async_trait;
use chat_domain::{
    message::Message,
    ports::history::{
        ArchivedMessage, ArchivedSession, FORGOTTEN_FOR, HistoryError, HistoryOp, HistoryStore, Page, SessionQuery,
    },
    session::{Session, SessionId},
};
use fred::types::Value;
use futures_util::future::join_all;
use tokio::time::Instant;
use uuid::Uuid;

use self::read::Counted;
use crate::{
    client::{Command, Inner, PATIENCE},
    error::Error,
    keys::newest_first,
    scripts::{self, Lua},
};

/// An archive with the keys of the Python service, which can read it, and whose own it reads: a hash
/// `NS:session:ID`, a list `NS:messages:ID` of JSON, a set `NS:sessions`.
///
/// Beside them are an index of the sessions by the time they were made (`{NS:sessions}:by_time`), the ids of a session's
/// messages (`{NS:messages:ID}:ids`), and, for a month, a mark that a session was forgotten (`{NS:messages:ID}:forgotten`).
///
/// On a single server an operation is one step. In a cluster these lie in three slots, so there it is a sequence of
/// steps, each of which may be repeated: a session is put in before its messages, and the mark is looked for together
/// with the messages; whoever finds it takes out again what it has put in. So nothing is left of a session that is
/// forgotten while it is being recorded.
pub struct RedisHistory {
    redis: Arc<Inner>,
    namespace: Arc<str>,
    provider: Box<str>,
    counted: Counted,
}

impl RedisHistory {
    pub(crate) fn new(redis: Arc<Inner>, namespace: &str, provider: &str) -> Self {
        Self { redis, namespace: namespace.into(), provider: provider.into(), counted: Counted::default() }
    }

    fn session_key(&self, id: SessionId) -> String {
        format!("{}:session:{id}", self.namespace)
    }

    fn messages_key(&self, id: SessionId) -> String {
        format!("{}:messages:{id}", self.namespace)
    }

    /// A script on the list of messages, their ids and the mark of a session that was forgotten; on a single server also
    /// on what else there is of it.
    fn script(&self, script: &'static Lua, id: SessionId) -> Command {
        let list = self.messages_key(id);
        let mut keys = vec![list.clone(), format!("{{{list}}}:ids"), format!("{{{list}}}:forgotten")];
        if !self.redis.is_clustered() {
            keys.extend([self.session_key(id), self.sessions_key(), self.index_key()]);
        }
        Command::script(script, keys).in_lane_of(&id).arg(id.to_string())
    }

    fn sessions_key(&self) -> String {
        format!("{}:sessions", self.namespace)
    }

    fn index_key(&self) -> String {
        format!("{{{}:sessions}}:by_time", self.namespace)
    }

    async fn record(&self, session: &Session, messages: &[Arc<Message>]) -> Result<(), HistoryError> {
        let (id, deadline) = (session.id, Instant::now() + PATIENCE);
        let fields = stored::session(session, &self.provider);
        let mut record =
            self.script(&scripts::RECORD, id).arg(newest_first(session.created_at)).arg(2 * fields.len() as i64);
        for (field, value) in &fields {
            record = record.arg(*field).arg(value.as_str());
        }
        let stored_at = self.redis.clock.now();
        for message in messages {
            let stored = stored::message(message, stored_at).map_err(|error| HistoryError::Permanent(error.into()))?;
            record = record.arg(message.id.0.to_string()).arg(stored);
        }
        if self.redis.is_clustered() {
            let hash = Command::on("HSET", self.session_key(id));
            let hash = fields.into_iter().fold(hash, |command, (field, value)| command.arg(field).arg(value));
            let list = Command::script(&scripts::LIST, [self.sessions_key(), self.index_key()]);
            let list = list.arg(id.to_string()).arg(newest_first(session.created_at));
            self.run_all([hash, list], deadline).await?;
        }
        let answer = match self.redis.run(record.by(deadline)).await {
            Ok(answer) => answer,
            Err(error @ Error::Refused(_)) if !self.is_of_its_kind(id, deadline).await? => {
                return Err(HistoryError::Permanent(error.into()));
            }
            Err(error) => return Err(failed(error)),
        };
        if self.redis.is_clustered() && answer.as_str().as_deref() == Some("forgotten") {
            self.take_out(id, deadline).await?;
        }
        Ok(())
    }

    /// Whether a session's own keys hold what belongs there, or nothing yet. One that does not stays in its way alone; what
    /// all sessions share somebody will want to put right.
    async fn is_of_its_kind(&self, id: SessionId, deadline: Instant) -> Result<bool, HistoryError> {
        let list = self.messages_key(id);
        let keys = [(list.clone(), "list"), (format!("{{{list}}}:ids"), "set"), (self.session_key(id), "hash")];
        let kinds = self.run_all(keys.clone().map(|(key, _)| Command::on("TYPE", key)), deadline).await?;
        let fits = |(kind, (_, right)): (&Value, &(String, &str))| {
            kind.as_str().is_some_and(|kind| kind == *right || kind == "none")
        };
        Ok(kinds.iter().zip(&keys).all(fits))
    }

    async fn forget(&self, id: SessionId, is_known: bool) -> Result<bool, HistoryError> {
        let (deadline, mut was_there) = (Instant::now() + PATIENCE, false);
        if !is_known && self.redis.is_clustered() {
            // Where a script cannot see it.
            let exists = Command::on("EXISTS", self.session_key(id)).by(deadline);
            was_there = self.redis.run(exists).await.map_err(failed)?.as_u64() != Some(0);
        }
        #[expect(clippy::disallowed_methods, reason = "it tells one deletion from the next, and is never shown")]
        let number = Uuid::new_v4();
        let forget = self.script(&scripts::FORGET, id).arg(FORGOTTEN_FOR.as_millis() as i64);
        let forget = forget.arg(i64::from(is_known || was_there)).arg(number.to_string());
        was_there |= self.redis.run(forget.by(deadline)).await.map_err(failed)?.as_u64() != Some(0);
        if self.redis.is_clustered() {
            was_there |= self.take_out(id, deadline).await? > 0;
        }
        Ok(was_there)
    }

    /// Takes a session out, but for its messages; tells how much there was.
    async fn take_out(&self, id: SessionId, deadline: Instant) -> Result<u64, HistoryError> {
        let name = id.to_string();
        let hash = Command::on("DEL", self.session_key(id));
        let set = Command::on("SREM", self.sessions_key()).arg(name.as_str());
        let index = Command::on("ZREM", self.index_key()).arg(name);
        let answers = self.run_all([hash, set, index], deadline).await?;
        Ok(answers.iter().filter_map(Value::as_u64).sum())
    }

    async fn run_all<const N: usize>(
        &self,
        commands: [Command; N],
        deadline: Instant,
    ) -> Result<Vec<Value>, HistoryError> {
        let answers = join_all(commands.map(|command| self.redis.run(command.by(deadline)))).await;
        answers.into_iter().collect::<Result<_, _>>().map_err(failed)
    }
}

#[async_trait]
impl HistoryStore for RedisHistory {
    async fn apply(&self, op: &HistoryOp) -> Result<bool, HistoryError> {
        match op {
            HistoryOp::Open { session, .. } | HistoryOp::Record { session, .. } => {
                self.record(session, op.messages()).await.map(|()| true)
            }
            HistoryOp::Forget { session, is_known } => self.forget(*session, *is_known).await,
        }
    }

    async fn sessions(&self, query: &SessionQuery) -> Result<Page<ArchivedSession>, HistoryError> {
        self.read_sessions(query).await.map_err(failed)
    }

    async fn messages(
        &self,
        session: SessionId,
        offset: u64,
        limit: u32,
    ) -> Result<Option<Page<ArchivedMessage>>, HistoryError> {
        self.read_messages(session, offset, limit).await.map_err(failed)
    }

    async fn ping(&self) -> Result<(), HistoryError> {
        self.redis.run(Command::on("EXISTS", self.sessions_key())).await.map(drop).map_err(failed)
    }
}

fn failed(error: Error) -> HistoryError {
    HistoryError::Unavailable(error.into())
}
