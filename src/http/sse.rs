//! A turn as Server-Sent Events: its events written out, one frame each.

use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use chat_domain::agent::events::TurnEvent;
use futures_util::Stream;
use poem::{
    Body, IntoResponse, Response,
    http::{HeaderValue, header},
};
use poem_openapi::{
    payload::Payload,
    registry::{MetaSchema, MetaSchemaRef},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    errors::ApiError,
    request::RequestRecord,
    views::{arguments, write_turn},
};
use crate::telemetry::{RequestScope, TurnStream};

/// How often a silent stream shows that it is alive: proxies close connections after 30 to 60 s without a byte.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A response body of `text/event-stream`.
pub(super) struct EventFrames {
    events: TurnStream,
    record: Arc<RequestRecord>,
}

impl EventFrames {
    /// The events of a turn. The request is over when the stream is.
    pub(super) fn new(events: TurnStream, record: Arc<RequestRecord>) -> Self {
        Self { events, record }
    }
}

impl Payload for EventFrames {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn schema_ref() -> MetaSchemaRef {
        let description = "Events `message.started`, `message.delta`, `tool.started`, `tool.finished` and at the end `message.completed`, whose data is the whole JSON answer, or `error`, whose data is an error body.";
        MetaSchemaRef::Inline(Box::new(MetaSchema { description: Some(description), ..MetaSchema::new("string") }))
    }
}

impl IntoResponse for EventFrames {
    fn into_response(self) -> Response {
        let frames = Frames {
            events: self.events,
            scope: RequestScope::new(self.record.id.to_header(), self.record.span.clone()),
            record: Some(self.record),
            silent_since: Instant::now(),
            alive: Box::pin(sleep(KEEP_ALIVE)),
            next_id: 1,
        };
        let mut response = Response::builder().content_type(Self::CONTENT_TYPE).body(Body::from_bytes_stream(frames));
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx would gather the events until its buffer is full.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

struct Frames {
    events: TurnStream,
    /// Let go with the last frame.
    record: Option<Arc<RequestRecord>>,
    /// For what the turn logs.
    scope: RequestScope,
    silent_since: Instant,
    /// Not set anew for every frame: what matters is the silence when it fires.
    alive: Pin<Box<Sleep>>,
    next_id: u64,
}

impl Frames {
    /// Ready when nothing has been said for so long that it is time for a sign of life.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.alive.as_mut().poll(cx));
            let due = self.silent_since + KEEP_ALIVE;
            let now = Instant::now();
            if now >= due {
                self.silent_since = now;
                self.alive.as_mut().reset(now + KEEP_ALIVE);
                return Poll::Ready(());
            }
            self.alive.as_mut().reset(due);
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if let Some(record) = &self.record {
            record.abandon();
        }
    }
}

impl Stream for Frames {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(record) = &this.record else { return Poll::Ready(None) };
        let entered = this.scope.enter();
        // The turn runs in here, where the pipeline does not catch its panics any more.
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.events).poll_next(cx)));
        let polled = match polled {
            Ok(polled) => polled,
            // The log has been told by the process's panic hook.
            Err(_panic) => {
                let frame = failed(&ApiError::internal(), this.next_id, record);
                this.record = None;
                return Poll::Ready(Some(Ok(frame)));
            }
        };
        match polled {
            Poll::Ready(Some(event)) => {
                let is_last = matches!(event, TurnEvent::Completed(_) | TurnEvent::Failed(_));
                let frame = frame(event, this.next_id, record);
                this.next_id += 1;
                this.silent_since = Instant::now();
                if is_last {
                    this.record = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.record = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                drop(entered);
                ready!(this.poll_silence(cx));
                Poll::Ready(Some(Ok(Bytes::from_static(b": alive\n\n"))))
            }
        }
    }
}

/// One event as it goes over the wire.
fn frame(event: TurnEvent, id: u64, record: &RequestRecord) -> Bytes {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Data<'a> {
        Started { session_id: chat_domain::session::SessionId, request_id: &'a str },
        Delta { content: &'a str },
        ToolStarted { call_id: &'a str, server: &'a str, tool: &'a str, arguments: Box<RawValue> },
        ToolFinished { call_id: &'a str, server: &'a str, tool: &'a str, is_error: bool, duration_ms: u64 },
    }
    match event {
        TurnEvent::Started { session } => {
            write("message.started", id, &Data::Started { session_id: session, request_id: record.id.as_str() })
        }
        TurnEvent::Delta(content) => write("message.delta", id, &Data::Delta { content: &content }),
        TurnEvent::ToolStarted { call, server, tool } => {
            let arguments = arguments(&call.arguments);
            write("tool.started", id, &Data::ToolStarted { call_id: &call.id, server: &server, tool: &tool, arguments })
        }
        TurnEvent::ToolFinished { call_id, server, tool, is_error, took } => {
            let duration_ms = took.as_millis().try_into().unwrap_or(u64::MAX);
            let (call_id, server, tool) = (&*call_id, &*server, &*tool);
            write("tool.finished", id, &Data::ToolFinished { call_id, server, tool, is_error, duration_ms })
        }
        TurnEvent::Completed(outcome) => {
            record.set_turn(&outcome);
            write_with("message.completed", id, |frame| write_turn(frame, &outcome))
        }
        TurnEvent::Failed(error) => failed(&ApiError::from(error), id, record),
    }
}

fn failed(error: &ApiError, id: u64, record: &RequestRecord) -> Bytes {
    record.set_status(error.status.as_u16());
    write("error", id, &error.body(record.id.as_str()))
}

fn write(name: &str, id: u64, data: &impl Serialize) -> Bytes {
    // Writing to a Vec cannot fail, and our values have string keys.
    write_with(name, id, |frame| drop(serde_json::to_writer(frame, data)))
}

/// Our JSON is on one line: line ends in strings are escaped.
fn write_with(name: &str, id: u64, data: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut frame = Vec::with_capacity(128);
    // Writing to a Vec cannot fail.
    let _ = write!(frame, "id: {id}\nevent: {name}\ndata: ");
    data(&mut frame);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}
