//! An answer in parts: [`AnswerStream`].

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use chat_domain::ports::llm::{LlmError, LlmErrorKind, LlmEvent};
use futures_util::Stream;
use tokio::time::{Instant, Sleep};

use crate::{
    answer::Gathered,
    failure,
    http::Body,
    redact::Redactor,
    sse::{EVENT_END, SseParser},
};

/// What ends a stream beyond doubt.
const DONE: &[u8] = b"[DONE]";

/// How long the usage may take to follow the answer's end. Some backends never send it, and no mark of the end either.
const USAGE_GRACE: Duration = Duration::from_secs(3);

/// How long the end of the body may take to follow the end of the stream. It comes at once or never; a connection whose
/// body has been read to its end can be used again.
const END_GRACE: Duration = Duration::from_millis(50);

/// Reads Server-Sent Events and tells what they amount to.
///
/// Boxes, channels and tasks are made per stream at the most, never per event.
pub(crate) struct AnswerStream {
    body: Body,
    /// What has been received and not been read.
    input: Bytes,
    parser: SseParser,
    gathered: Gathered,
    patience: Patience,
    redactor: Arc<Redactor>,
    state: State,
    /// Whether the stream has said its last word; what comes behind it does not count.
    done: bool,
    /// An event that has been polled for in advance.
    ahead: Option<LlmEvent>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The answer is coming in.
    Reading,
    /// The body is over, perhaps within the last event, which is to be read.
    Flushing,
    /// The end, or an error, has been told.
    Over,
}

impl AnswerStream {
    /// Over this body, with bounds on the gaps between bytes and on the answer's size.
    pub(crate) fn new(body: Body, patience: Patience, max_size: usize, redactor: Arc<Redactor>) -> Self {
        Self {
            body,
            input: Bytes::new(),
            parser: SseParser::new(max_size),
            gathered: Gathered::new(max_size),
            patience,
            redactor,
            state: State::Reading,
            done: false,
            ahead: None,
        }
    }

    /// Resolves when the first part of a usable answer is there, which the stream then begins with.
    pub(crate) async fn begun(mut self) -> Result<Self, LlmError> {
        let first = std::future::poll_fn(|cx| self.poll_event(cx)).await?;
        self.ahead = Some(first);
        Ok(self)
    }

    /// The next event. Not to be called once the state is over.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<LlmEvent, LlmError>> {
        loop {
            if let Some(text) = self.read()? {
                return Poll::Ready(Ok(LlmEvent::Text(text)));
            }
            if self.state == State::Flushing {
                return Poll::Ready(self.end_or(|| LlmError::new(LlmErrorKind::Unavailable, "the stream was cut off")));
            }
            match Pin::new(&mut self.body).poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.patience.renew();
                    self.input = bytes;
                }
                Poll::Ready(None) => {
                    self.state = State::Flushing;
                    self.input = Bytes::from_static(EVENT_END);
                }
                Poll::Ready(Some(Err(error))) => {
                    let redactor = self.redactor.clone();
                    return Poll::Ready(self.end_or(|| failure::broken(error, &redactor)));
                }
                Poll::Pending => {
                    ready!(self.patience.poll_gone(cx));
                    return Poll::Ready(self.end_or(failure::too_late));
                }
            }
        }
    }

    /// Reads what has been received up to the next text.
    fn read(&mut self) -> Result<Option<String>, LlmError> {
        while !self.done
            && let Some(data) = self.parser.next(&mut self.input).map_err(|_| failure::too_long())?
        {
            if data.trim_ascii() == DONE {
                self.done = true;
                self.patience.limit(END_GRACE);
                break;
            }
            match self.gathered.add(data, &self.redactor) {
                // Half an event is no JSON: it tells that the stream was cut, and nothing else.
                Err(error) if self.state == State::Flushing && error.kind == LlmErrorKind::InvalidResponse => break,
                added => added?,
            }
            if self.gathered.is_finished() {
                self.patience.limit(if self.gathered.has_usage() { END_GRACE } else { USAGE_GRACE });
            }
            if let Some(text) = self.gathered.news() {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The answer if all of it is there, so that no end of the stream can spoil it; else this failure.
    fn end_or(&mut self, failure: impl FnOnce() -> LlmError) -> Result<LlmEvent, LlmError> {
        if !self.done && !self.gathered.is_finished() {
            return Err(failure());
        }
        std::mem::replace(&mut self.gathered, Gathered::new(0)).complete().map(LlmEvent::End)
    }
}

impl Stream for AnswerStream {
    type Item = Result<LlmEvent, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = match self.ahead.take() {
            Some(event) => Ok(event),
            None if self.state == State::Over => return Poll::Ready(None),
            None => ready!(self.poll_event(cx)),
        };
        if !matches!(event, Ok(LlmEvent::Text(_))) {
            self.state = State::Over;
        }
        Poll::Ready(Some(event))
    }
}

/// Waits for the next byte, but not for ever. The one timer of a stream is set when it is waited for and due, not with
/// every byte.
pub(crate) struct Patience {
    gap: Duration,
    deadline: Instant,
    until: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Patience {
    /// Waits at most `gap` for each byte, and not beyond `deadline`.
    pub(crate) fn new(gap: Duration, deadline: Instant) -> Self {
        let until = deadline.min(Instant::now() + gap);
        Self { gap, deadline, until, sleep: Box::pin(tokio::time::sleep_until(until)) }
    }

    /// A byte has come.
    fn renew(&mut self) {
        self.until = self.deadline.min(Instant::now() + self.gap);
    }

    /// From now on it is over within `grace`, whatever comes.
    fn limit(&mut self, grace: Duration) {
        self.deadline = self.deadline.min(Instant::now() + grace);
        self.until = self.until.min(self.deadline);
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.sleep.deadline() > self.until {
                self.sleep.as_mut().reset(self.until);
            }
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() >= self.until {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.until);
        }
    }
}
