use bytes::{Buf, BytesMut};
use http::HeaderMap;
use serde_json::Value;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Its `id`, or "".
    pub id: String,
    /// Its `event`, or "".
    pub event: String,
    /// Its data as JSON; a JSON string when it is none.
    pub data: Value,
}

/// An answer of Server-Sent Events, read one by one; dropped before its end, the client is gone.
#[derive(Debug)]
pub struct Events {
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The comments so far, without their colon.
    pub comments: Vec<String>,
    response: reqwest::Response,
    buffer: BytesMut,
}

impl Events {
    pub(super) fn new(response: reqwest::Response) -> Self {
        let headers = response.headers().clone();
        Self { headers, comments: Vec::new(), response, buffer: BytesMut::new() }
    }

    /// The next event; `None` at the stream's end.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn next(&mut self) -> Option<Event> {
        self.try_next().await.expect("an unbroken stream")
    }

    /// The next event; `None` at the stream's end; an error when the connection breaks.
    pub async fn try_next(&mut self) -> reqwest::Result<Option<Event>> {
        let mut event = Event::default();
        let mut data = Vec::new();
        while let Some(line) = self.line().await? {
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() => {
                    if data.is_empty() && event == Event::default() {
                        continue; // the blank line behind a comment
                    }
                    let data = data.join("\n");
                    event.data = serde_json::from_str(&data).unwrap_or(Value::from(data));
                    return Ok(Some(event));
                }
                "" => self.comments.push(value.to_owned()),
                "id" => value.clone_into(&mut event.id),
                "event" => value.clone_into(&mut event.event),
                "data" => data.push(value.to_owned()),
                _ => {}
            }
        }
        Ok(None)
    }

    /// All events to the stream's end.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn collect(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    async fn line(&mut self) -> reqwest::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                let line = line.strip_suffix(b"\r").unwrap_or(&line);
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                // An event without its blank line is not one.
                None => return Ok(None),
            }
        }
    }
}
