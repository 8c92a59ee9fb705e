//! What the log knows of requests: whose request a line belongs to, and the line that each of them ends with.
//!
//! Both go past `tracing`, whose spans and dispatch would be a tenth of a turn's work for the sake of that one line. The
//! format for people keeps to spans and events.

use std::{
    cell::RefCell,
    mem,
    net::IpAddr,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use poem::http::HeaderValue;
use tracing::{Level, Span};

use super::{Attached, RequestSpan, line::Line, writer::Lines};

/// Where lines of JSON go, once the log has been set up for them.
static JSON: OnceLock<Lines> = OnceLock::new();

/// From now on requests log as JSON, and to this buffer.
pub(super) fn log_as_json(lines: &Lines) {
    // A process sets up one log.
    let _ = JSON.set(lines.clone());
}

thread_local! {
    /// The id of the request that this thread is working on.
    static CURRENT: RefCell<Option<HeaderValue>> = const { RefCell::new(None) };
}

fn swap_current(id: &mut Option<HeaderValue>) {
    // A thread that is ending works on no request.
    let _ = CURRENT.try_with(|current| mem::swap(&mut *current.borrow_mut(), id));
}

/// Adds the id of the request that this thread is working on, if it is.
pub(super) fn write_current(line: &mut Line) {
    let _ = CURRENT.try_with(|current| {
        if let Some(id) = &*current.borrow() {
            line.text("request_id", id.to_str().unwrap_or_default());
        }
    });
}

/// What is logged inside of it carries a request's id, and what is traced belongs to the request's trace.
pub struct RequestScope {
    id: Option<HeaderValue>,
    span: Span,
    traced: RequestSpan,
}

impl RequestScope {
    /// The scope of the request with this id and this span.
    pub fn new(id: HeaderValue, traced: RequestSpan) -> Self {
        let span = match JSON.get() {
            Some(_) => Span::none(),
            None => tracing::info_span!(parent: None, "request", request_id = id.to_str().unwrap_or_default()),
        };
        Self { id: Some(id), span, traced }
    }

    /// From now on, and until what it gives is dropped, this thread works within it.
    pub fn enter(&mut self) -> Entered<'_> {
        swap_current(&mut self.id);
        Entered { id: &mut self.id, _span: self.span.enter(), _traced: self.traced.attach() }
    }
}

/// A thread's stay in a [`RequestScope`].
pub struct Entered<'a> {
    id: &'a mut Option<HeaderValue>,
    _span: tracing::span::Entered<'a>,
    _traced: Attached,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        swap_current(self.id);
    }
}

pin_project! {
    /// A request's work, done and also dropped within its scope.
    pub struct InRequest<F> {
        #[pin]
        work: Option<F>,
        scope: RequestScope,
    }

    impl<F> PinnedDrop for InRequest<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.scope.enter();
            this.work.set(None);
        }
    }
}

impl<F> InRequest<F> {
    /// This work, in this scope.
    pub fn new(work: F, scope: RequestScope) -> Self {
        Self { work: Some(work), scope }
    }
}

impl<F: Future> Future for InRequest<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.scope.enter();
        this.work.as_pin_mut().map_or(Poll::Pending, |work| work.poll(cx))
    }
}

/// A member of a request's last line.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A text in which nothing has to be escaped.
    Plain(&'a str),
    /// A whole number.
    Count(u64),
    /// Any number.
    Number(f64),
    /// An address.
    Address(IpAddr),
}

/// What requests are logged as.
const TARGET: &str = "chat_agent::http::request";
const MESSAGE: &str = "request completed";

/// Logs that a request is over, at INFO, with what is known of it.
pub fn request_completed(members: &[(&'static str, Option<Value<'_>>)]) {
    if !tracing::enabled!(target: TARGET, Level::INFO) {
        return;
    }
    let known = members.iter().filter_map(|&(name, value)| Some((name, value?)));
    let Some(lines) = JSON.get() else {
        let texts = known.map(|(name, value)| match value {
            Value::Text(text) | Value::Plain(text) => format!(" {name}={text:?}"),
            Value::Count(count) => format!(" {name}={count}"),
            Value::Number(number) => format!(" {name}={number:?}"),
            Value::Address(address) => format!(" {name}={address}"),
        });
        tracing::info!(target: TARGET, "{MESSAGE}{}", texts.collect::<String>());
        return;
    };
    lines.push(&line(known));
}

fn line<'a>(members: impl Iterator<Item = (&'static str, Value<'a>)>) -> Vec<u8> {
    let mut line = Line::new(Level::INFO, TARGET);
    line.plain("message", MESSAGE);
    for (name, value) in members {
        match value {
            Value::Text(text) => line.text(name, text),
            Value::Plain(text) => line.plain(name, text),
            Value::Count(count) => line.bare(name, count),
            Value::Number(number) => line.bare(name, number),
            Value::Address(address) => line.address(name, address),
        }
    }
    line.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: [(&str, Option<Value<'static>>); 5] = [
        ("event", Some(Value::Plain("request_completed"))),
        ("path", Some(Value::Text("/a\"b"))),
        ("status_code", Some(Value::Count(200))),
        ("api_key", None),
        ("duration_ms", Some(Value::Number(1.0))),
    ];

    #[test]
    fn a_requests_line_has_what_every_line_has_and_its_members_in_their_order() {
        let line = line(MEMBERS.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let line = String::from_utf8(line).expect("UTF-8");
        let (time, rest) = line.split_at(r#"{"timestamp":"2026-11-22T10:00:00.000Z","#.len());
        assert!(time.starts_with(r#"{"timestamp":"2"#) && time.ends_with(r#"Z","#), "{line}");
        let expected = concat!(
            r#""level":"INFO","target":"chat_agent::http::request","message":"request completed","#,
            r#""event":"request_completed","path":"/a\"b","status_code":200,"duration_ms":1.0}"#,
            "\n"
        );
        assert_eq!(rest, expected);
    }
}
