//! The names of all keys and channels but the archive's: [`Keys`]; and the order of indexes.

use std::sync::Arc;

use chat_domain::{session::SessionId, time::Timestamp};

/// The names that begin with one prefix. What is changed in one step shares a hash tag, in braces: in a cluster it lies in
/// one slot.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    fn name(&self, rest: &str) -> String {
        format!("{}:{rest}", self.prefix)
    }

    /// The keys of a session: what it is and who has its turn (a hash), its memory (a list), who waits in which order
    /// (a list), and until when those who wait are taken for alive (a hash).
    pub(crate) fn session(&self, id: SessionId) -> [String; 4] {
        ["h", "m", "q", "w"].map(|part| format!("{}:s:{{{id}}}:{part}", self.prefix))
    }

    /// All sessions, by the time they were made (a sorted set, newest first).
    pub(crate) fn index(&self) -> String {
        self.name("sessions")
    }

    /// How far the last sweep came, counted from the oldest session; none: to the end.
    pub(crate) fn swept(&self) -> String {
        self.name("swept")
    }

    /// There while a sweep is not due again.
    pub(crate) fn sweep(&self) -> String {
        self.name("sweep")
    }

    /// What every replica's channel begins with.
    pub(crate) fn channels(&self) -> String {
        self.name("turn:")
    }

    /// The bucket of an identity.
    pub(crate) fn bucket(&self, identity: &str) -> String {
        format!("{}:{{rl}}:{identity}", self.prefix)
    }

    /// The bypass list (a set), and the channel on which its changes are told.
    pub(crate) fn bypass(&self) -> String {
        self.name("bypass")
    }

    /// What health checks write.
    pub(crate) fn health(&self) -> String {
        self.name("health")
    }
}

/// The score in an index of sessions by the time they were made. Members of one score are in the order of their names:
/// newest first, then by id.
pub(crate) fn newest_first(created_at: Timestamp) -> i64 {
    -created_at.as_millis()
}
