//! What the upstream remembers: requests, counts, the rest of the script.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{Reply, Respond, panic_message};

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// Its place in the order of arrival, from 1.
    pub number: usize,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The headers, with the credentials.
    pub headers: HeaderMap,
    /// The body as JSON; `null` when it is none.
    pub body: Value,
    /// The body as it was sent.
    pub raw: Bytes,
    /// When it had been read.
    pub at: Instant,
}

impl RecordedRequest {
    /// A header's value, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The bearer token.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The conversation that was sent; empty when there is none.
    #[must_use]
    pub fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The conversation as (role, content) pairs, with "" for content that is no text.
    #[must_use]
    pub fn conversation(&self) -> Vec<(&str, &str)> {
        self.messages()
            .iter()
            .map(|message| {
                let field = |name| message[name].as_str().unwrap_or_default();
                (field("role"), field("content"))
            })
            .collect()
    }

    /// The last user message, or "".
    #[must_use]
    pub fn last_user(&self) -> &str {
        let user = self.messages().iter().rfind(|message| message["role"] == "user");
        user.and_then(|message| message["content"].as_str()).unwrap_or_default()
    }

    /// The names of the tools that were offered.
    #[must_use]
    pub fn tool_names(&self) -> Vec<&str> {
        let tools = self.body["tools"].as_array();
        tools.into_iter().flatten().filter_map(|tool| tool["function"]["name"].as_str()).collect()
    }

    /// Whether the answer is wanted as a stream.
    #[must_use]
    pub fn wants_stream(&self) -> bool {
        self.body["stream"] == true
    }

    /// Whether a stream is to end with its usage: OpenAI sends it to those who ask only.
    #[must_use]
    pub fn wants_usage(&self) -> bool {
        self.body["stream_options"]["include_usage"] == true || self.body["usage"]["include"] == true
    }
}

/// How many of what.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) connections: usize,
    pub(super) open: usize,
    pub(super) peak: usize,
    pub(super) completed: usize,
    pub(super) aborted: usize,
}

/// Everything behind the upstream's one lock.
#[derive(Default)]
pub(super) struct Book {
    pub(super) requests: Vec<RecordedRequest>,
    pub(super) script: VecDeque<Reply>,
    pub(super) tally: Tally,
    pub(super) failures: Vec<String>,
}

/// The book, and who waits for a change of it.
pub(super) struct Ledger {
    book: Mutex<Book>,
    changed: Notify,
    default: Box<Respond>,
}

impl Ledger {
    pub(super) fn new(default: Box<Respond>) -> Self {
        Self { book: Mutex::default(), changed: Notify::new(), default }
    }

    /// Looks into the book.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes in the book and wakes who waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let result = change(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
        result
    }

    /// Resolves at the next change.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Takes a failure down for the test to see.
    pub(super) fn fail(&self, message: String) {
        self.change(|book| book.failures.push(message));
    }

    /// Records a request and finds its reply; `None` when the default panicked.
    pub(super) fn admit(self: &Arc<Self>, mut request: RecordedRequest) -> Option<(RecordedRequest, Reply, Ticket)> {
        let scripted = self.change(|book| {
            request.number = book.requests.len() + 1;
            book.requests.push(request.clone());
            book.tally.open += 1;
            book.tally.peak = book.tally.peak.max(book.tally.open);
            book.script.pop_front()
        });
        let ticket = Ticket { ledger: Arc::clone(self), open: true };
        // The default runs without the lock: it may ask the upstream about itself.
        let reply = match scripted {
            Some(reply) => Ok(reply),
            None => catch_unwind(AssertUnwindSafe(|| (self.default)(&request))),
        };
        reply.map_err(|panic| self.fail(panic_message(&*panic))).ok().map(|reply| (request, reply, ticket))
    }
}

/// One request being answered; dropped before its end, it counts as aborted.
pub(super) struct Ticket {
    ledger: Arc<Ledger>,
    open: bool,
}

impl Ticket {
    /// The answer has been handed over.
    pub(super) fn complete(&mut self) {
        if std::mem::take(&mut self.open) {
            self.ledger.change(|book| {
                book.tally.open -= 1;
                book.tally.completed += 1;
            });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            self.ledger.change(|book| {
                book.tally.open -= 1;
                book.tally.aborted += 1;
            });
        }
    }
}
