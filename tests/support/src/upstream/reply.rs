//! What the upstream answers, faults included.

mod completions;
mod events;
mod faults;

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::completion::{self, Completion};
use super::{Gate, RecordedRequest};

/// One answer of the scripted upstream.
///
/// [`text`](Self::text), [`stream`](Self::stream) and [`tool_call`](Self::tool_call) come out as
/// JSON or as a stream, as the request wants; [`events`](Self::events) begins a stream that is
/// written by hand, and the others answer the same to every request. Delays and cuts are added
/// behind: `Reply::text("hi").after(delay).cut_after(20, Cut::Reset)`.
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    lead: Vec<Step>,
    shape: Shape,
    drip: Option<(usize, Duration)>,
    cut: Option<(usize, Cut)>,
}

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// An orderly end of the connection (FIN) in the middle of the answer.
    Close,
    /// A connection reset (RST).
    Reset,
}

#[derive(Clone, Debug)]
enum Shape {
    Completion(Completion),
    Body(Bytes),
    Events(Vec<Part>),
    /// For those who want a plain answer, and for those who want a stream.
    Either(Box<(Reply, Reply)>),
}

/// A part of a hand-written stream: some need the request to be put into bytes.
#[derive(Clone, Debug)]
enum Part {
    Raw(Bytes),
    Delta(Value),
    Finish(String),
    Usage(Value),
    Step(Step),
}

/// What the server does next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Bytes),
    Wait(Duration),
    Hold(Gate),
    Cut(Cut),
    Hang,
}

/// A reply put into the form that a request asks for.
pub(super) struct Rendered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Before the head of the answer.
    pub(super) lead: Vec<Step>,
    pub(super) body: Vec<Step>,
    /// The length to announce; `None` for a stream.
    pub(super) length: Option<usize>,
}

/// What any reply can have.
impl Reply {
    /// Another status.
    ///
    /// # Panics
    /// When the status is none.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        if let Shape::Either(choice) = self.shape {
            let (plain, streamed) = *choice;
            let choice = (plain.with_status(status), streamed.with_status(status));
            return Self { shape: Shape::Either(Box::new(choice)), ..self };
        }
        self.status = StatusCode::from_u16(status).expect("a status code");
        self
    }

    /// A header.
    ///
    /// # Panics
    /// When name or value are none.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// Answers only after a delay.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        self.led_by(Step::Wait(delay))
    }

    /// Answers only when the test opens the gate.
    #[must_use]
    pub fn held_by(self, gate: &Gate) -> Self {
        self.led_by(Step::Hold(gate.clone()))
    }

    /// Sends the body in drops of that many bytes, each after a pause.
    #[must_use]
    pub fn drip(mut self, bytes: usize, every: Duration) -> Self {
        assert!(bytes > 0, "drops of no bytes never end");
        self.drip = Some((bytes, every));
        self
    }

    /// Ends the connection after that many bytes of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize, cut: Cut) -> Self {
        self.cut = Some((bytes, cut));
        self
    }

    /// Answers this to those who want a plain answer, and the other to those who want a stream.
    #[must_use]
    pub fn or_streamed(self, streamed: Self) -> Self {
        Self::of(Shape::Either(Box::new((self, streamed))))
    }

    fn of(shape: Shape) -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), lead: Vec::new(), shape, drip: None, cut: None }
    }

    fn led_by(mut self, step: Step) -> Self {
        self.lead.push(step);
        self
    }

    /// Puts the reply into the form that the request asks for.
    pub(super) fn render(self, request: &RecordedRequest) -> Rendered {
        let (content_type, sends, streamed) = match self.shape {
            Shape::Either(choice) => {
                let (plain, streamed) = *choice;
                let mut chosen = if request.wants_stream() { streamed } else { plain };
                chosen.lead.splice(0..0, self.lead);
                chosen.headers.extend(self.headers);
                chosen.drip = self.drip.or(chosen.drip);
                chosen.cut = self.cut.or(chosen.cut);
                return chosen.render(request);
            }
            Shape::Completion(completion) if request.wants_stream() => {
                let frames = completion.frames(request).into_iter().map(Step::Send);
                (EVENT_STREAM, frames.collect(), true)
            }
            Shape::Completion(completion) => {
                let body = completion.json(request).to_string();
                (JSON, vec![Step::Send(body.into())], false)
            }
            Shape::Body(body) => (JSON, vec![Step::Send(body)], false),
            Shape::Events(parts) => {
                let steps = parts.into_iter().map(|part| part.render(request));
                (EVENT_STREAM, steps.collect(), true)
            }
        };
        let length = (!streamed).then(|| sends.iter().map(Step::length).sum());
        let mut headers = self.headers;
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        let body = divide(sends, self.drip, self.cut);
        Rendered { status: self.status, headers, lead: self.lead, body, length }
    }
}

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

/// Large bodies leave in pieces of this size, so that a client who goes away is noticed.
const PIECE: usize = 64 * 1024;

impl Part {
    fn render(self, request: &RecordedRequest) -> Step {
        Step::Send(match self {
            Self::Raw(bytes) => bytes,
            Self::Delta(delta) => completion::delta(request, &delta),
            Self::Finish(reason) => completion::finish(request, &reason),
            Self::Usage(usage) => completion::usage_chunk(request, &usage),
            Self::Step(step) => return step,
        })
    }
}

impl Step {
    fn length(&self) -> usize {
        match self {
            Self::Send(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// Cuts the bytes into drops, and off where the connection is to end.
fn divide(steps: Vec<Step>, drip: Option<(usize, Duration)>, cut: Option<(usize, Cut)>) -> Vec<Step> {
    let size = drip.map_or(PIECE, |(bytes, _)| bytes);
    let mut left = cut.map_or(usize::MAX, |(bytes, _)| bytes);
    let mut divided = Vec::new();
    for step in steps {
        let Step::Send(mut bytes) = step else {
            divided.push(step);
            continue;
        };
        bytes.truncate(left);
        left -= bytes.len();
        while !bytes.is_empty() {
            divided.extend(drip.map(|(_, every)| Step::Wait(every)));
            divided.push(Step::Send(bytes.split_to(size.min(bytes.len()))));
        }
        if left == 0 {
            break;
        }
    }
    divided.extend(cut.map(|(_, cut)| Step::Cut(cut)));
    divided
}
