//! A fast OpenAI-compatible endpoint: it looks for the body's length and for `"stream":true`, and
//! writes bytes that were made before the first request.
//!
//! By hand, on one thread, so that it is not what is measured.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::{echo, listen, parent_gone};
use crate::Failure;

/// How many text deltas a stream has.
pub(crate) const STREAM_EVENTS: usize = 50;

/// Begins the content of every answer that is not streamed.
pub(crate) const MARK: &str = "An answer of the scripted upstream";

/// Where every turn is answered with a tool call first, and with text when the tool's result is there.
pub(crate) const WITH_TOOLS: &str = "/tools/v1";

/// The length of every message.
pub(crate) const MESSAGE_BYTES: usize = 150;

/// A text of a message's length that begins with these words.
pub(crate) fn message(words: &str) -> String {
    let filler = " and so it goes on, word after word";
    words.chars().chain(filler.chars().cycle()).take(MESSAGE_BYTES).collect()
}

/// Runs until the parent is gone.
pub(crate) fn run() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = listen().await?;
        let answers = Rc::new(Answers::new());
        let accepting = async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                // A connection that breaks is the client's to complain about.
                tokio::task::spawn_local(connection(stream, Rc::clone(&answers)));
            }
        };
        tokio::select! {
            failure = accepting => failure,
            () = parent_gone() => Ok(()),
        }
    })
}

struct Answers {
    completion: Vec<u8>,
    tool_call: Vec<u8>,
    /// The head of the stream, then one write for each event.
    stream: Vec<Vec<u8>>,
    /// The latest question, for `GET /last`: what the service really sends.
    last: RefCell<Vec<u8>>,
}

impl Answers {
    fn new() -> Self {
        let function = json!({"name": echo::FUNCTION, "arguments": echo::arguments().to_string()});
        let call = json!({"id": "call-1", "type": "function", "function": function});
        Self {
            completion: completion("stop", json!({"role": "assistant", "content": message(MARK)})),
            tool_call: completion("tool_calls", json!({"role": "assistant", "content": null, "tool_calls": [call]})),
            stream: stream(),
            last: RefCell::default(),
        }
    }
}

fn completion(finish_reason: &str, message: Value) -> Vec<u8> {
    let choice = json!({"index": 0, "finish_reason": finish_reason, "message": message});
    let body = json!({"id": "gen-1", "object": "chat.completion", "created": 1_700_000_000,
        "model": "bench/model", "choices": [choice], "usage": usage()});
    json_answer(body.to_string().as_bytes())
}

fn usage() -> Value {
    json!({"prompt_tokens": 420, "completion_tokens": 40, "total_tokens": 460})
}

fn json_answer(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn stream() -> Vec<Vec<u8>> {
    // The last header makes nginx pass each event on at once, as it should for a chat.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\
        x-accel-buffering: no\r\n\r\n";
    let event = |choices: Value, usage: Option<Value>| {
        let mut body = json!({"id": "gen-1", "object": "chat.completion.chunk",
            "created": 1_700_000_000, "model": "bench/model", "choices": choices});
        if let Some(usage) = usage {
            body["usage"] = usage;
        }
        chunk(&format!("data: {body}\n\n"))
    };
    let delta = |number| {
        // All of them together are as long as every other message.
        let content = format!("{number:02} ");
        json!([{"index": 0, "delta": {"content": content}, "finish_reason": null}])
    };
    let mut writes = vec![head.as_bytes().to_vec()];
    writes.extend((0..STREAM_EVENTS).map(|number| event(delta(number), None)));
    writes.push(event(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), None));
    writes.push(event(json!([]), Some(usage())));
    writes.push([chunk("data: [DONE]\n\n"), b"0\r\n\r\n".to_vec()].concat());
    writes
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

async fn connection(mut stream: TcpStream, answers: Rc<Answers>) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let Some((head, length)) = read_request(&mut stream, &mut buffer).await? else {
            return Ok(());
        };
        if buffer.starts_with(b"GET") {
            let last = answers.last.borrow().clone();
            stream.write_all(&json_answer(&last)).await?;
        } else {
            let body = &buffer[head..head + length];
            body.clone_into(&mut answers.last.borrow_mut());
            if wants_stream(body) {
                for write in &answers.stream {
                    stream.write_all(write).await?;
                }
            } else if path(&buffer).starts_with(WITH_TOOLS.as_bytes()) && !has_result(body) {
                stream.write_all(&answers.tool_call).await?;
            } else {
                stream.write_all(&answers.completion).await?;
            }
        }
        buffer.drain(..head + length);
    }
}

/// Reads a whole request and tells how long its head and its body are; `None` at the end.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<(usize, usize)>> {
    loop {
        if let Some(head) = find(buffer, b"\r\n\r\n").map(|end| end + 4) {
            let length = content_length(&buffer[..head]);
            while buffer.len() < head + length {
                if stream.read_buf(buffer).await? == 0 {
                    return Ok(None);
                }
            }
            return Ok(Some((head, length)));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let lines = head.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

fn wants_stream(body: &[u8]) -> bool {
    find(body, br#""stream":true"#).is_some()
}

/// What a POST is for.
fn path(request: &[u8]) -> &[u8] {
    request.strip_prefix(b"POST ").unwrap_or_default()
}

/// Whether the last message is what the tool has given back. Anything else gets another call, so that a tool that fails
/// never leads to an answer that looks right.
fn has_result(body: &[u8]) -> bool {
    // Inside of texts, quotes are escaped.
    let role = br#""role":""#;
    let last = body.windows(role.len()).rposition(|window| window == role);
    let last = last.map_or(body, |start| &body[start + role.len()..]);
    last.starts_with(b"tool\"") && find(last, echo::TEXT.as_bytes()).is_some()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_length() {
        assert_eq!(message(MARK).len(), MESSAGE_BYTES);
        assert!(message(MARK).starts_with(MARK));
    }

    #[test]
    fn reads_what_it_needs_of_a_request() {
        let head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nCONTENT-LENGTH: 12\r\n\r\n";
        assert_eq!(content_length(head), 12);
        assert!(wants_stream(br#"{"model":"m","stream":true}"#));
        assert!(!wants_stream(br#"{"model":"m","stream":false}"#));
        assert!(path(b"POST /tools/v1/chat/completions HTTP/1.1\r\n").starts_with(WITH_TOOLS.as_bytes()));
    }

    #[test]
    fn calls_the_tool_until_it_has_given_its_result() {
        // In the service's order of members.
        let user = r#"{"role":"user","content":"\"role\":\"tool\""}"#.to_owned();
        let tool = |text| format!(r#"{{"role":"tool","tool_call_id":"call-1","content":"{text}"}}"#);
        let body = |messages: [&str; 2]| format!(r#"{{"messages":[{}],"tools":[]}}"#, messages.join(",")).into_bytes();
        assert!(!has_result(&body([&tool(echo::TEXT), &user])));
        assert!(has_result(&body([&user, &tool(echo::TEXT)])));
        assert!(!has_result(&body([&user, &tool("The tool did not answer.")])));
    }
}
