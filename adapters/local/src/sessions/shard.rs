//! A part of all sessions: [`Shard`].

use std::{collections::HashMap, mem, sync::Arc};

use chat_domain::session::{KeyHash, SessionId};

use super::entry::Entry;

/// Room for so many sessions is never given back: it is less than what asking for it again costs.
const SMALL: usize = 64;

/// Sessions by their id, laid out densely so that a sweep can go through them in steps: it stops anywhere, others insert
/// and remove, it goes on.
#[derive(Default)]
pub(super) struct Shard {
    /// Where in `entries` a session is.
    index: HashMap<SessionId, u32>,
    entries: Vec<Arc<Entry>>,
    /// The owners of deleted sessions of which something is left elsewhere. Few: one stays only where a deletion failed halfway
    /// and nobody asked again.
    pub(super) unfinished: HashMap<SessionId, Option<Box<KeyHash>>>,
}

impl Shard {
    pub(super) fn get(&self, id: SessionId) -> Option<&Arc<Entry>> {
        self.index.get(&id).map(|&at| &self.entries[at as usize])
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter()
    }

    /// Puts an entry in; gives the one that was there under its id.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let id = entry.session().id;
        match self.index.get(&id) {
            Some(&at) => Some(mem::replace(&mut self.entries[at as usize], entry)),
            None => {
                // 64 shards of u32: memory ends long before.
                self.index.insert(id, self.entries.len() as u32);
                self.entries.push(entry);
                None
            }
        }
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<Arc<Entry>> {
        let at = self.index.remove(&id)?;
        let removed = self.entries.swap_remove(at as usize);
        // The last entry fills the gap.
        if let Some(moved) = self.entries.get(at as usize) {
            self.index.insert(moved.session().id, at);
        }
        Some(removed)
    }

    /// Removes those of the last `most` of the first `unseen` entries that have `expired`. Gives them, and how many are
    /// unseen now.
    ///
    /// Going down is what makes it safe to stop in between: removing only ever moves the last entry, a seen one, to where
    /// another was. At worst one is seen twice.
    pub(super) fn expire(
        &mut self,
        unseen: usize,
        most: usize,
        expired: impl Fn(&Entry) -> bool,
    ) -> (Vec<Arc<Entry>>, usize) {
        let end = unseen.min(self.entries.len());
        let start = end.saturating_sub(most);
        let mut removed = Vec::new();
        for at in (start..end).rev() {
            if expired(&self.entries[at]) {
                removed.extend(self.remove(self.entries[at].session().id));
            }
        }
        (removed, start)
    }

    /// Gives memory back when far less is used than once was.
    pub(super) fn shrink(&mut self) {
        let used = self.entries.len();
        if self.entries.capacity() > SMALL.max(4 * used) {
            self.entries.shrink_to(2 * used);
            self.index.shrink_to(2 * used);
        }
    }
}
