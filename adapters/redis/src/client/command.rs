//! What is sent: [`Command`].

use std::hash::{DefaultHasher, Hash, Hasher};

use fred::types::{ClusterHash, Value};
use tokio::time::Instant;

use crate::scripts::Lua;

/// A command with its arguments. It may be sent more than once, after an answer that was lost, so the second time must do
/// no harm, and its answer may be that of the second time.
pub(crate) struct Command {
    name: &'static str,
    args: Vec<Value>,
    script: Option<&'static Lua>,
    lane: Option<usize>,
    insists: bool,
    deadline: Option<Instant>,
}

impl Command {
    /// A command on a key.
    pub(crate) fn on(name: &'static str, key: impl Into<Value>) -> Self {
        Self { name, args: vec![key.into()], script: None, lane: None, insists: false, deadline: None }
    }

    /// A script on keys, which share a slot.
    pub(crate) fn script(script: &'static Lua, keys: impl IntoIterator<Item = String>) -> Self {
        let mut args = vec![Value::from(script.sha1().clone()), Value::Null];
        args.extend(keys.into_iter().map(Value::from));
        args[1] = Value::from((args.len() - 2) as i64);
        Self { name: "EVALSHA", args, script: Some(script), lane: None, insists: false, deadline: None }
    }

    /// With one more argument.
    #[must_use]
    pub(crate) fn arg(mut self, arg: impl Into<Value>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// On the connection of `whose`: what is sent there is carried out in that order.
    #[must_use]
    pub(crate) fn in_lane_of(mut self, whose: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        whose.hash(&mut hasher);
        self.lane = Some(hasher.finish() as usize);
        self
    }

    /// Tried as long as there is patience, although there is no connection.
    #[must_use]
    pub(crate) fn insisting(mut self) -> Self {
        self.insists = true;
        self
    }

    /// To be over by then, if that is sooner than patience ends: the commands of one operation share what time it has.
    #[must_use]
    pub(crate) fn by(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sends the script itself from now on instead of its name; false if it does so already.
    pub(super) fn carry_script(&mut self) -> bool {
        let Some(source) = self.script.take().and_then(|script| script.lua()) else { return false };
        self.name = "EVAL";
        self.args[0] = Value::from(source.clone());
        true
    }

    /// Which argument says where it is to be sent in a cluster.
    pub(super) fn slot(&self) -> ClusterHash {
        ClusterHash::Offset(if self.name.starts_with("EVAL") { 2 } else { 0 })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn args(&self) -> &[Value] {
        &self.args
    }

    pub(super) fn lane(&self) -> Option<usize> {
        self.lane
    }

    pub(super) fn insists(&self) -> bool {
        self.insists
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
